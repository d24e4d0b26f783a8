//! Where findings point: places of a release with their labels.

use crate::model::declaration::{Declaration, Flag, FlagKind, Form};
use crate::model::finding::Label;
use crate::model::place::{Fact, Place};
use crate::model::release::Release;
use crate::model::value::Entry;
use crate::policy::condition::ValuePath;
use crate::policy::facts::{self, Facts, Found};
use crate::policy::find::Hit;
use crate::policy::format::At;
use crate::policy::render;

/// A place with its label, where it exists.
#[must_use]
pub(crate) fn resolve(at: &At, facts: &Facts<'_>, hit: Option<&Hit>) -> Option<Label> {
    match at {
        At::Before(inner) if **inner == At::Hit => before_hit(hit?),
        At::Before(inner) => on_release(inner, facts.before?, None).map(of_before),
        at => match facts.after {
            Some(after) => on_release(at, after, hit),
            None => on_release(at, facts.before?, hit).map(of_before),
        },
    }
}

/// The places of a finding: the first candidate that exists, then the further ones, each once. Never empty when there is a release.
#[must_use]
pub(crate) fn places(at: &[At], also: &[At], facts: &Facts<'_>, hit: Option<&Hit>) -> Vec<Label> {
    let hit_first = if at.is_empty() { hit.and_then(of_hit) } else { None };
    let primary = hit_first.or_else(|| at.iter().find_map(|at| resolve(at, facts, hit))).or_else(|| resolve(&At::Declaration, facts, hit));
    let mut labels: Vec<Label> = primary.into_iter().collect();
    for label in also.iter().filter_map(|at| resolve(at, facts, hit)).chain(hit.and_then(before_hit)) {
        if !labels.iter().any(|known| known.place == label.place && known.before == label.before) {
            labels.push(label);
        }
    }
    labels
}

fn of_hit(hit: &Hit) -> Option<Label> {
    let text = hit.path.as_ref().map_or_else(|| hit.listed.clone(), |path| format!("`{path}`"));
    hit.place.clone().map(|place| Label { place, text, before: false })
}

fn before_hit(hit: &Hit) -> Option<Label> {
    hit.place_before.clone().map(|place| Label { place, text: format!("`{}` before", hit.key), before: true })
}

fn of_before(label: Label) -> Label {
    Label { before: true, ..label }
}

fn on_release(at: &At, release: &Release, hit: Option<&Hit>) -> Option<Label> {
    let declaration = &release.declaration;
    let label = |place: Option<&Place>, text: String| place.map(|place| Label { place: place.clone(), text, before: false });
    match at {
        At::MilvusVersion => {
            let place = release.image_tag.place().or_else(|| declaration.image.place()).or_else(|| declaration.chart.version.place());
            label(place, format!("Milvus {}", render::milvus(release)))
        }
        At::ChartVersion => label(declaration.chart.version.place(), format!("chart {}", render::chart(release))),
        At::ChartName => label(declaration.chart.name.place(), "the chart".to_owned()),
        At::Repository => label(declaration.chart.repository.place(), "the chart's repository".to_owned()),
        At::Declaration => label(Some(&declaration.place), declaration_label(declaration)),
        At::ReleaseName => label(declaration.name.place(), "the release's name".to_owned()),
        At::Namespace => label(declaration.namespace.place(), "the namespace".to_owned()),
        At::Hit => hit.and_then(of_hit),
        At::Queue => {
            let Fact::Known(queue, origin) = &release.queue else { return None };
            let by_path = entry(release, &ValuePath::from(queue.decided_by.to_string())).and_then(|entry| entry.node.origin.place());
            label(by_path.or_else(|| origin.place()), format!("message queue: {}", render::queue(release)))
        }
        At::Value(path) => label(entry(release, path).and_then(|entry| entry.node.origin.place()), format!("`{}`", path.text)),
        At::Key(path) => label(entry(release, path).and_then(|entry| entry.key.place().or_else(|| entry.node.origin.place())), format!("`{}`", path.text)),
        At::Config(path) => match facts::walk(&release.config, &path.keys) {
            Found::Entry(entry) => label(entry.node.origin.place(), format!("`{}` in user.yaml", path.text)),
            Found::Nothing | Found::Unknown => None,
        },
        At::Flag(kind) => flag(declaration, *kind).and_then(|flag| label(Some(&flag.place), flag_label(flag.kind, declaration.identity.form))),
        At::Before(inner) => on_release(inner, release, None),
    }
}

fn entry<'a>(release: &'a Release, path: &ValuePath) -> Option<&'a Entry> {
    match facts::walk(&release.user, &path.keys) {
        Found::Entry(entry) => Some(entry),
        Found::Nothing | Found::Unknown => None,
    }
}

fn flag(declaration: &Declaration, kind: FlagKind) -> Option<&Flag> {
    declaration.flags.iter().find(|flag| flag.kind == kind)
}

fn declaration_label(declaration: &Declaration) -> String {
    match declaration.name.known() {
        Some(name) => format!("release `{name}`"),
        None => "this release".to_owned(),
    }
}

/// The word of a plain enumeration, as files write it.
#[must_use]
pub(crate) fn word<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// What a setting of the applying tool does, for people: tools call it by different names.
#[must_use]
pub(crate) fn flag_label(kind: FlagKind, form: Form) -> String {
    let text = match (kind, form) {
        (FlagKind::ReuseValues, Form::Flux) => "keeps the values of the running release (preserveValues)",
        (FlagKind::ReuseValues, _) => "reuses the values of the running release",
        (FlagKind::ResetThenReuseValues, _) => "lays the values of the running release over the new defaults",
        (FlagKind::ResetValues, _) => "drops the values of the running release",
        (FlagKind::Set, _) => "sets values here",
        (FlagKind::ValuesFile, _) => "takes values from this file",
        (FlagKind::Atomic | FlagKind::RollbackRemediation, _) => "rolls back by itself",
        (FlagKind::Force, _) => "replaces or deletes objects",
        (FlagKind::Timeout | FlagKind::Wait, _) => "waits here",
        (FlagKind::OpenTag | FlagKind::OpenChart, _) => "a variable without a default",
        (FlagKind::RecreatePods, _) => "deletes the pods",
        (FlagKind::DeleteBeforeReplace, _) => "deletes the release first",
        (FlagKind::Prune, _) => "deletes what is no longer declared",
        (FlagKind::DeleteFinalizer, _) => "deletes the release with its object",
        (FlagKind::ThrowAwayCluster, _) => "makes a cluster to throw away",
        (FlagKind::Pipeline, _) => "runs in a pipeline",
        (FlagKind::NoHooks, _) => "runs no hooks",
        (FlagKind::DryRun, _) => "changes nothing",
        (FlagKind::Suspended, _) => "is not applied for now",
        (FlagKind::AfterUninstall, _) => "uninstalls the release before",
        (FlagKind::AfterFlush, _) => "flushes the collections before",
        (FlagKind::AfterClaimDeletion, _) => "deletes the data before",
        (FlagKind::Cluster, _) => "the cluster",
        (FlagKind::StorageNamespace, _) => "where Helm's record is kept",
    };
    text.to_owned()
}
