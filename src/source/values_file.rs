//! Values files that nothing in the tree refers to: recognised by their content, or named as values by the user.

use super::context::{Context, join};
use super::lineage::values_lineage;
use super::nested::under;
use super::values_layer;
use super::{Reading, SourceFile};
use crate::document::yaml::Node;
use crate::model::declaration::{Declaration, Form, Layer, Lineage};
use crate::model::place::Place;

/// The name under which charts of the user's own take Milvus in, where its chart is not in the tree.
const USUAL_KEY: &str = "milvus";

/// Reads a values file. Those that another declaration takes values from are left out afterwards.
#[must_use]
pub fn read(file: &SourceFile, context: &Context<'_>) -> Reading {
    let mut reading = Reading::default();
    let Some(subject) = subject(file, context) else {
        return reading;
    };
    let values = values_layer::of_file(file);
    let Some(layer) = values.layer else {
        return reading;
    };
    let mut declaration = Declaration::blank(Form::Values, &file.path, Place::file_start(&file.path));
    match subject {
        Subject::Values(lineage) => {
            declaration.chart.lineage = lineage;
            declaration.layers = vec![layer];
        }
        Subject::BelowKey => {
            declaration.chart.lineage = Lineage::Zilliztech;
            declaration.layers = under(&[layer], USUAL_KEY);
        }
    }
    declaration.gaps = values.gap.into_iter().collect();
    reading.declarations.push(declaration);
    reading
}

enum Subject {
    /// Values of a chart called milvus.
    Values(Lineage),
    /// Values of a chart that has Milvus as a dependency.
    BelowKey,
}

fn subject(file: &SourceFile, context: &Context<'_>) -> Option<Subject> {
    if file.named_as_values {
        let root = file.documents().first().and_then(|d| d.as_ref().ok()).map(|d| &d.root);
        return Some(Subject::Values(root.and_then(values_lineage).unwrap_or(Lineage::Unknown)));
    }
    if !may_hold_values(file) || belongs_to_chart(file, context) {
        return None;
    }
    let [Ok(document)] = file.documents() else {
        return None;
    };
    match values_lineage(&document.root) {
        Some(Lineage::Zilliztech) => Some(Subject::Values(Lineage::Zilliztech)),
        Some(_) => None,
        None => is_below_key(&document.root).then_some(Subject::BelowKey),
    }
}

/// A cheap look before parsing.
fn may_hold_values(file: &SourceFile) -> bool {
    const SIGNS: [&str; 8] = ["all:", "cluster", "queryNode", "Coordinator", "pulsar", "standalone", "minio", "user.yaml"];
    let name = file.file_name();
    let is_other = matches!(name, "Chart.yaml" | "Chart.lock" | "requirements.yaml" | "kustomization.yaml" | "kustomization.yml" | "milvus.yaml.template");
    !is_other && (file.is_yaml() || name == "-") && SIGNS.iter().any(|sign| memchr::memmem::find(file.text.as_bytes(), sign.as_bytes()).is_some())
}

/// The chart's own values.yaml, and what charts keep for their tests, are defaults of a chart and no user's values.
fn belongs_to_chart(file: &SourceFile, context: &Context<'_>) -> bool {
    let folder = file.folder();
    let has_chart = |folder: &str| join(folder, "Chart.yaml").is_some_and(|path| context.exists(&path));
    let above = folder.rsplit_once('/').map_or("", |(above, _)| above);
    match file.file_name() {
        "values.yaml" | "values.yml" => has_chart(folder),
        _ => folder.rsplit('/').next() == Some("ci") && has_chart(above),
    }
}

fn is_below_key(root: &Node) -> bool {
    root.get("kind").is_none() && root.get(USUAL_KEY).is_some_and(|inner| values_lineage(inner) == Some(Lineage::Zilliztech))
}

/// Takes out the values files that another declaration reads, or that a reader claimed.
pub(super) fn leave_out_claimed(reading: &mut Reading) {
    let mut claimed: std::collections::HashSet<std::sync::Arc<str>> = std::mem::take(&mut reading.claimed).into_iter().collect();
    for declaration in reading.declarations.iter().filter(|d| d.identity.form != Form::Values) {
        claimed.extend(super::nested::files_of(&declaration.layers).cloned());
        claimed.extend(declaration.layers.iter().filter_map(|layer| match layer {
            Layer::Table { .. } | Layer::Unseen { .. } => None,
            Layer::Set { place, .. } => Some(place.file.clone()),
        }));
        claimed.extend(declaration.misplaced.iter().map(|(_, place)| place.file.clone()));
    }
    reading.declarations.retain(|d| d.identity.form != Form::Values || !claimed.contains(&d.path));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Value;
    use crate::source::fixture::read_texts;
    use crate::source::memory::MemoryTree;
    use crate::source::nested::{Said, said};
    use crate::source::read_tree;

    const VALUES: &str = "image: {all: {repository: milvusdb/milvus, tag: v2.5.10}}\ncluster: {enabled: true}\n";

    fn read_all(files: &[(&str, &str)]) -> Vec<Declaration> {
        read_texts(files).declarations
    }

    #[test]
    fn a_values_file_is_recognised_wherever_it_stands() {
        let all = read_all(&[("db/prod.yaml", VALUES)]);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].identity.form, &*all[0].identity.scope, all[0].chart.lineage), (Form::Values, "db/prod.yaml", Lineage::Zilliztech));
        assert!(all[0].chart.version.is_absent());
        assert_eq!(said(&all[0].layers, "cluster.enabled"), Said::Value(Value::Bool(true)));
    }

    #[test]
    fn values_below_the_usual_key_are_taken_out() {
        let all = read_all(&[("db/prod.yaml", "milvus:\n  image: {all: {tag: v2.5.10}}\nweb: {replicas: 3}\n")]);
        assert_eq!(all.len(), 1);
        assert_eq!(said(&all[0].layers, "image.all.tag"), Said::Value(Value::String("v2.5.10".into())));
        assert!(read_all(&[("db/prod.yaml", "milvus: {host: milvus.db, minio: {}}\n")]).is_empty());
    }

    #[test]
    fn what_a_chart_or_an_umbrella_holds_is_not_a_values_file_of_its_own() {
        let copy = "apiVersion: v1\nname: milvus\nversion: 4.2.20\nhome: https://milvus.io/\n";
        let forms = |files: &[(&str, &str)]| read_all(files).iter().map(|d| d.identity.form).collect::<Vec<_>>();
        assert_eq!(forms(&[("milvus/Chart.yaml", copy), ("milvus/values.yaml", VALUES), ("milvus/ci/test.yaml", VALUES)]), [Form::Umbrella]);
        let umbrella = "apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies: [{name: milvus, version: 4.2.58, repository: 'https://zilliztech.github.io/milvus-helm'}]\n";
        let nested = format!("milvus: {{{}}}\n", VALUES.replace('\n', ", "));
        assert_eq!(forms(&[("a/Chart.yaml", umbrella), ("a/values-prod.yaml", &nested)]), [Form::Umbrella]);
        assert_eq!(forms(&[("a/Chart.yaml", umbrella), ("a/values-prod.yaml", VALUES)]), [Form::Umbrella]);
    }

    #[test]
    fn look_alikes_are_left_alone() {
        for text in [
            "# milvus\netcd: {endpoints: [localhost]}\nminio: {address: x}\nmq: {type: pulsar}\nqueryNode: {port: 1}\ndataNode: {port: 1}\n",
            "services: {milvus: {image: 'milvusdb/milvus:v2.5.0'}, minio: {}}\n",
            "apiVersion: milvus.io/v1beta1\nkind: Milvus\nmetadata: {name: m}\nspec: {mode: cluster}\n",
            "milvus: {image: {repository: bitnami/milvus}}\nqueryNode: {a: 1}\ndataNode: {a: 1}\n",
        ] {
            assert!(read_all(&[("a/values.yaml", text)]).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_file_that_the_user_names_is_read_whatever_it_holds() {
        let tree = MemoryTree::new([("x/odd.conf", "attu: {enabled: true}\n")]);
        let files = [SourceFile::new("x/odd.conf".into(), "attu: {enabled: true}\n".into()).into_values()];
        let all = read_tree(&tree, &files).declarations;
        assert_eq!((all.len(), all[0].chart.lineage), (1, Lineage::Unknown));
    }
}
