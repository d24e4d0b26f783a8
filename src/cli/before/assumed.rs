//! What a chart version alone tells of the release before, and what it leaves open.

use std::sync::Arc;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::declaration::{Declaration, Form, Layer, NotChecked, NotCheckedKind, SetKind};
use milvus_guard::model::place::{Fact, Origin};
use milvus_guard::model::value::Value;
use milvus_guard::model::version::ChartVersion;
use milvus_guard::source::gitops::unknown_at;

/// What of the values says which queue is used.
const QUEUE_SWITCHES: [&str; 5] = ["standalone.messageQueue", "pulsar.enabled", "pulsarv3.enabled", "kafka.enabled", "woodpecker.enabled"];

/// Rendered manifests tell of the chart after: of the one before only the mode is taken to be the same.
pub(super) fn leave_out_rendered(before: &mut Declaration) {
    let Some(rendered) = before.rendered.take() else { return };
    before.identity.form = Form::HelmRelease;
    before.image = Fact::Absent;
    let place = before.place.clone();
    let is_standalone = rendered.components.iter().any(|(name, _)| &**name == "standalone");
    let mode = format!("cluster.enabled={}", !is_standalone);
    before.layers = vec![
        Layer::Unseen { what: "the values that the release runs with".into(), place: place.clone() },
        Layer::Set { kind: SetKind::Set, text: mode.into(), place, file: None },
    ];
}

/// The values before are taken to be those after. Where those choose the queue in a way that the chart before does not know, they cannot have been: which queue
/// there was is unknown.
pub(super) fn unknown_queue(after: &Declaration, chart: &ChartVersion) -> Vec<Layer> {
    let Some(later) = queue_of_later(after, chart) else { return Vec::new() };
    let origin = Origin::Given(format!("--before {chart}").into());
    let reason = format!("`{later}` is set after, and chart {chart} does not know it");
    let unknown = QUEUE_SWITCHES.iter().filter_map(|path| unknown_at(path, &reason, &origin));
    unknown.map(|values| Layer::Table { values, what: "the queue before".into() }).collect()
}

/// Says that a change of the queue cannot be judged.
pub(super) fn queue_gap(after: &Declaration, chart: &ChartVersion) -> Option<NotChecked> {
    let later = queue_of_later(after, chart)?;
    let reason = format!(
        "`{later}` chooses a queue that chart {chart} does not know: which queue ran before is not known; give the values that run with a second --before"
    );
    Some(NotChecked { file: Arc::clone(&after.path), ..NotChecked::at(after.place.clone(), NotCheckedKind::PartlyChecked, &reason) })
}

/// The switch of a queue that the values set and a chart does not know.
fn queue_of_later(after: &Declaration, chart: &ChartVersion) -> Option<&'static str> {
    let catalogue = Catalogue::embedded();
    let is_of_later = |path: &&&str| match said(after, path) {
        None | Some(Value::Bool(false)) => false,
        // Standalones know it since it is their default.
        Some(Value::String(queue)) if &*queue == "woodpecker" => catalogue.default_at(chart, path) != Some(Value::String(queue)),
        Some(_) => catalogue.reads(chart, path).is_no(),
    };
    QUEUE_SWITCHES.iter().find(is_of_later).copied()
}

/// Whether the layers that can be read set a path.
pub(super) fn sets(declaration: &Declaration, path: &str) -> bool {
    said(declaration, path).is_some()
}

/// The last value that the layers give to a path, as far as it can be read.
fn said(declaration: &Declaration, path: &str) -> Option<Value> {
    declaration.layers.iter().rev().find_map(|layer| match layer {
        Layer::Table { values, .. } => values.lookup(path).found().map(|entry| entry.node.value.clone()),
        Layer::Set { text, .. } => text.split(',').rev().find_map(|one| one.strip_prefix(path)?.strip_prefix('=')).map(|value| Value::String(value.into())),
        Layer::Unseen { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use milvus_guard::source::memory::MemoryTree;
    use milvus_guard::source::{self, SourceFile};

    fn declared(text: &str) -> Declaration {
        let tree = MemoryTree::new([("v.yaml", "")]);
        source::read_tree(&tree, &[SourceFile::new("v.yaml".into(), text.into()).into_values()]).declarations.remove(0)
    }

    #[test]
    fn a_queue_that_the_chart_before_does_not_know_was_not_used_before() {
        let chart = |text: &str| text.parse::<ChartVersion>().unwrap();
        let woodpecker = declared("standalone: {messageQueue: woodpecker}\n");
        assert_eq!(queue_of_later(&woodpecker, &chart("4.2.58")), Some("standalone.messageQueue"));
        assert_eq!(queue_of_later(&woodpecker, &chart("5.0.0")), None);
        let pulsar_3 = declared("pulsar: {enabled: false}\npulsarv3: {enabled: true}\n");
        assert_eq!(queue_of_later(&pulsar_3, &chart("4.1.24")), Some("pulsarv3.enabled"));
        assert_eq!(queue_of_later(&pulsar_3, &chart("4.2.58")), None);
        assert!(queue_of_later(&declared("pulsarv3: {enabled: false}\n"), &chart("4.1.24")).is_none());
    }
}
