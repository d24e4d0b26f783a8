//! `HelmChart` of k3s and RKE2, with the `HelmChartConfig` of the same name. Their controller runs `helm upgrade` and never reuses values.

use super::acknowledgement::of_rendering;
use super::context::Context;
use super::gitops::{chart, prove_lineage, renderings, table, unseen, version};
use super::index::{Key, objects};
use super::item::{Item, no_expansion};
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
            if let Some(mut declaration) = declare(&rendering.item, &rendering.scope, context) {
                declaration.path = rendering.path;
                declaration.gaps.extend(rendering.gaps);
                declaration.evidence.extend(evidence);
                reading.declarations.push(declaration);
            }
        }
    }
    reading
}

fn declare(item: &Item, scope: &str, context: &Context<'_>) -> Option<Declaration> {
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
    add_content(spec, "spec.valuesContent", &mut declaration);
    if let Some(name) = item.text_at(&["metadata", "name"]) {
        let key = Key { group: GROUP, kind: "HelmChartConfig", name, namespace: item.text_at(&["metadata", "namespace"]) };
        if let Some(config) = context.find(&key, &item.source.path).as_ref().and_then(|config| config.get("spec")) {
            add_content(config, "HelmChartConfig", &mut declaration);
        }
    }
    for secret in spec.get("valuesSecrets").map(Item::items).unwrap_or_default() {
        let what = format!("Secret {}", secret.text_at(&["name"]).unwrap_or("with a templated name"));
        unseen(&what, "what is set there is not checked", secret.place(), &mut declaration.layers, &mut declaration.gaps);
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

fn add_content(spec: &Item, what: &str, declaration: &mut Declaration) {
    if let Some(values) = spec.get("values").filter(|values| values.is_mapping()) {
        prove_lineage(declaration, Some(values));
        declaration.layers.extend(table(values, what));
    }
    let Some(content) = spec.get("valuesContent") else {
        return;
    };
    match content.embedded(&no_expansion) {
        Ok(Some(values)) => {
            prove_lineage(declaration, Some(&values));
            declaration.layers.extend(table(&values, what));
        }
        Ok(None) => {}
        Err(gap) => {
            declaration.layers.push(Layer::Unseen { what: what.into(), place: content.place() });
            declaration.gaps.push(gap);
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
}
