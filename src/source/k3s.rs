//! `HelmChart` of k3s and RKE2, with the `HelmChartConfig` of the same name. Their controller runs `helm upgrade` and never reuses values.

use super::acknowledgement::of_rendering;
use super::context::Context;
use super::gitops::{Rendering, chart, prove_lineage, renderings, table, unseen, version};
use super::index::{Key, objects};
use super::item::{Item, no_expansion};
use super::kept::{Kept, Reference};
use super::lineage::{is_milvus_chart, is_operator_chart};
use super::{Reading, SourceFile};
use crate::model::declaration::{Applier, Declaration, Flag, FlagKind, Form, Layer, SetKind};
use crate::model::place::Fact;

const GROUP: &str = "helm.cattle.io";

/// Reads the Milvus charts that k3s or RKE2 applies.
#[must_use]
pub fn read(file: &SourceFile, context: &Context<'_>) -> Reading {
    let mut reading = Reading::default();
    if memchr::memmem::find(file.text.as_bytes(), GROUP.as_bytes()).is_none() {
        return reading;
    }
    for object in objects(file).into_iter().filter(|object| object.is(GROUP, "HelmChart")) {
        for rendering in renderings(&object, context) {
            let evidence = of_rendering(&object, &rendering, context);
            if let Some(mut declaration) = declare(&rendering, context) {
                declaration.path = rendering.path;
                declaration.gaps.extend(rendering.gaps);
                declaration.evidence.extend(evidence);
                reading.declarations.push(declaration);
            }
        }
    }
    reading
}

fn declare(rendering: &Rendering<'_>, context: &Context<'_>) -> Option<Declaration> {
    let (item, scope) = (&rendering.item, &rendering.scope);
    let spec = item.get("spec")?;
    let name = spec.get("chart")?;
    if !name.text().is_some_and(|text| is_milvus_chart(text) && !is_operator_chart(text)) {
        return None;
    }
    let mut declaration = Declaration::blank(Form::K3s, scope, item.get("kind").unwrap_or(item).place());
    declaration.applier = Applier::HelmUpgrade;
    declaration.chart = chart(spec.fact_at(&["repo"]), name.fact(), version(spec.fact_at(&["version"])));
    declaration.name = item.fact_at(&["metadata", "name"]);
    declaration.namespace = match spec.fact_at(&["targetNamespace"]) {
        Fact::Absent => item.fact_at(&["metadata", "namespace"]),
        said => said,
    };
    declaration.identity.name = declaration.name.known().cloned();
    declaration.identity.namespace = declaration.namespace.known().cloned();
    let kept = Kept { item, environment: &rendering.environment, context, expand: &no_expansion };
    add_content(spec, "spec.valuesContent", &mut declaration);
    add_secrets(spec, &kept, &mut declaration);
    if let Some(name) = item.text_at(&["metadata", "name"]) {
        let key = Key { group: GROUP, kind: "HelmChartConfig", name, namespace: item.text_at(&["metadata", "namespace"]) };
        if let Some(config) = context.find(&key, &item.source.path).as_ref().and_then(|config| config.get("spec")) {
            add_content(config, "HelmChartConfig", &mut declaration);
            add_secrets(config, &kept, &mut declaration);
        }
    }
    for (key, value) in spec.get("set").map(Item::entries).unwrap_or_default() {
        add_set(key, value, &mut declaration);
    }
    // Reinstalling after a failure deletes the release; it is k3s's default, and judged where somebody wrote it.
    if let Some(policy) = spec.get("failurePolicy").filter(|policy| policy.text() == Some("reinstall")) {
        declaration.flags.push(Flag { kind: FlagKind::DeleteBeforeReplace, value: None, place: policy.place() });
    }
    Some(declaration)
}

/// `valuesContent`, and `values` over it.
fn add_content(spec: &Item, what: &str, declaration: &mut Declaration) {
    match spec.get("valuesContent").map(|content| (content, content.embedded(&no_expansion))) {
        Some((_, Ok(Some(values)))) => {
            prove_lineage(declaration, Some(&values));
            declaration.layers.extend(table(&values, what));
        }
        None | Some((_, Ok(None))) => {}
        Some((content, Err(gap))) => {
            declaration.layers.push(Layer::Unseen { what: what.into(), place: content.place() });
            declaration.gaps.push(gap);
        }
    }
    if let Some(values) = spec.get("values").filter(|values| values.is_mapping()) {
        prove_lineage(declaration, Some(values));
        declaration.layers.extend(table(values, what));
    }
}

/// `valuesSecrets`, each of the listed keys a values file; without keys a Secret is not used.
fn add_secrets(spec: &Item, kept: &Kept<'_>, declaration: &mut Declaration) {
    for secret in spec.get("valuesSecrets").map(Item::items).unwrap_or_default() {
        for key in secret.get("keys").map(Item::items).unwrap_or_default() {
            match (secret.text_at(&["name"]), key.text()) {
                (Some(name), Some(key)) => kept.add_table(&Reference::of_secret(secret, name, key), declaration),
                _ => unseen("Secret", "its name or key is templated", secret.place(), &mut declaration.layers, &mut declaration.gaps),
            }
        }
    }
}

/// Switches and numbers go through `--set`, texts through `--set-string`.
fn add_set(key: &Item, value: &Item, declaration: &mut Declaration) {
    let Some((path, text)) = key.text().zip(value.text()) else {
        unseen("spec.set", "a value is templated", value.place(), &mut declaration.layers, &mut declaration.gaps);
        return;
    };
    let is_typed = matches!(text, "true" | "false" | "null") || text.parse::<f64>().is_ok();
    let kind = if is_typed { SetKind::Set } else { SetKind::SetString };
    declaration.layers.push(Layer::Set { kind, text: format!("{path}={}", text.replace(',', "\\,")).into(), place: value.place(), file: None });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::declaration::Lineage;
    use crate::source::memory::MemoryTree;
    use crate::source::read_tree;

    const CHART: &str = "apiVersion: helm.cattle.io/v1
kind: HelmChart
metadata: {name: milvus, namespace: kube-system}
spec:
  chart: milvus
  repo: https://zilliztech.github.io/milvus-helm
  version: 4.2.58
  targetNamespace: db
  failurePolicy: reinstall
  set: {cluster.enabled: 'false', image.all.tag: v2.5.16}
  valuesContent: |-
    etcd:
      replicaCount: 1
---
apiVersion: helm.cattle.io/v1
kind: HelmChartConfig
metadata: {name: milvus, namespace: kube-system}
spec:
  valuesContent: |-
    etcd:
      replicaCount: 3
";

    #[test]
    fn a_chart_and_its_configuration_are_one_release() {
        let tree = MemoryTree::new([("a.yaml", CHART)]);
        let found = read_tree(&tree, &tree.candidates()).declarations;
        let [found] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((found.chart.lineage, found.applier, found.identity.namespace.as_deref()), (Lineage::Zilliztech, Applier::HelmUpgrade, Some("db")));
        assert_eq!(found.flags[0].kind, FlagKind::DeleteBeforeReplace);
        let [Layer::Table { .. }, Layer::Table { values, .. }, Layer::Set { kind: SetKind::Set, .. }, Layer::Set { kind: SetKind::SetString, .. }] =
            found.layers.as_slice()
        else {
            panic!("{:#?}", found.layers)
        };
        assert_eq!(values.lookup("etcd.replicaCount").found().unwrap().node.origin.place().unwrap().to_string(), "a.yaml:21:21");
    }

    #[test]
    fn secrets_of_the_tree_are_judged_under_what_the_configuration_sets() {
        let secret = "kind: Secret\napiVersion: v1\nmetadata: {name: mv, namespace: kube-system}\nstringData:\n  a.yaml: |\n    etcd: {replicaCount: 2}\n    minio: {mode: standalone}\n";
        let chart = CHART.replacen(
            "  valuesContent:",
            "  valuesSecrets: [{name: mv, keys: [a.yaml]}, {name: unused}, {name: away, keys: [b]}]\n  values: {etcd: {replicaCount: 5}}\n  valuesContent:",
            1,
        );
        let tree = MemoryTree::new([("a.yaml", chart.as_str()), ("b.yaml", secret)]);
        let found = read_tree(&tree, &tree.candidates()).declarations;
        let told = |layer: &Layer| match layer {
            Layer::Table { values, what } => {
                let replicas = values.lookup("etcd.replicaCount").found().map(|entry| entry.node.clone());
                format!("{what} {:?} {:?}", replicas.as_ref().map(|node| &node.value), replicas.as_ref().and_then(|node| node.origin.secret()))
            }
            Layer::Unseen { what, .. } => format!("{what} unseen"),
            Layer::Set { text, .. } => text.to_string(),
        };
        let layers: Vec<String> = found[0].layers.iter().map(told).collect();
        assert_eq!(
            layers,
            [
                "spec.valuesContent Some(Int(1)) None",
                "spec.valuesContent Some(Int(5)) None",
                "Secret mv Some(Int(2)) Some(\"Secret mv, key a.yaml\")",
                "Secret away unseen",
                "HelmChartConfig Some(Int(3)) None",
                "cluster.enabled=false",
                "image.all.tag=v2.5.16"
            ]
        );
    }
}
