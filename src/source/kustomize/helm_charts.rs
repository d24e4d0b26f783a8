//! `helmCharts` in a kustomization: kustomize renders the chart as an install, overlays change what it rendered.

use super::graph::{Environment, Kustomization};
use super::images;
use crate::model::declaration::{Applier, Declaration, Form, Layer, Operation};
use crate::model::place::Fact;
use crate::source::acknowledgement::in_file;
use crate::source::argocd::deployment_of;
use crate::source::context::{Context, join};
use crate::source::gitops::{chart, prove_lineage, table, through_chart, unseen, version};
use crate::source::item::Item;
use crate::source::lineage::{is_milvus_chart, is_operator_chart};
use crate::source::{Reading, SourceFile, values_layer};

/// Reads the Milvus charts of a kustomization: one release per environment that the kustomization is part of.
#[must_use]
pub fn read(file: &SourceFile, context: &Context<'_>) -> Reading {
    let mut reading = Reading::default();
    let has_charts = memchr::memmem::find(file.text.as_bytes(), b"helmChart").is_some();
    if !has_charts || !matches!(file.file_name(), "kustomization.yaml" | "kustomization.yml" | "Kustomization") {
        return reading;
    }
    let graph = context.kustomizations();
    let Some(kustomization) = graph.in_folder(file.folder()).filter(|kustomization| kustomization.path == file.path) else {
        return reading;
    };
    // `helmChartInflationGenerator` is the same under older names.
    let charts = ["helmCharts", "helmChartInflationGenerator"].iter().filter_map(|key| kustomization.root.get(key)).flat_map(Item::items);
    for entry in charts {
        let environments = graph.environments_of(kustomization);
        for environment in &environments {
            let mut found = declare(entry, kustomization, environment, context);
            for declaration in &mut found {
                for layer in &environment.layers {
                    if let Ok(file) = context.file(&layer.path) {
                        declaration.evidence.extend(in_file(&file));
                    }
                }
                if let Some(layer) = environment.layers.last().filter(|_| environments.len() > 1) {
                    declaration.path = layer.path.clone();
                }
            }
            reading.declarations.append(&mut found);
        }
    }
    reading
}

fn declare(entry: &Item, kustomization: &Kustomization, environment: &Environment<'_>, context: &Context<'_>) -> Vec<Declaration> {
    let name = entry.get("name").or_else(|| entry.get("chartName"));
    let Some(name) = name.filter(|name| name.text().is_some_and(|text| is_milvus_chart(text) && !is_operator_chart(text))) else {
        return Vec::new();
    };
    let scope = environment.layers.last().map_or(&kustomization.folder, |layer| &layer.folder);
    let mut declaration = Declaration::blank(Form::Kustomize, scope, name.place());
    declaration.operation = Operation::Template;
    declaration.applier = Applier::Template;
    let repository = entry.get("repo").or_else(|| entry.get("chartRepo"));
    declaration.chart = chart(repository.map_or(Fact::Absent, Item::fact), name.fact(), version(entry.fact_at(&["version"])));
    declaration.name = entry.fact_at(&["releaseName"]);
    declaration.namespace = namespace(entry, environment);
    let deployment = deployment_of(scope, context);
    declaration.flags = deployment.flags;
    if declaration.namespace.is_absent() {
        declaration.namespace = deployment.namespace;
    }
    declaration.identity.name = declaration.name.known().cloned();
    declaration.identity.namespace = declaration.namespace.known().cloned();
    declaration.kubernetes = entry.fact_at(&["kubeVersion"]);
    add_values(entry, kustomization, context, &mut declaration);
    prove_lineage(&mut declaration, entry.get("valuesInline"));
    for layer in &environment.layers {
        images::add(&layer.root, &mut declaration);
    }
    if repository.is_none()
        && let Some(folder) = chart_folder(name, kustomization, context)
    {
        return through_chart(&declaration, &folder, context);
    }
    vec![declaration]
}

/// The outermost namespace wins: kustomize sets it on all that was rendered.
fn namespace(entry: &Item, environment: &Environment<'_>) -> Fact<std::sync::Arc<str>> {
    let target = environment.flux.map(|flux| flux.object.fact_at(&["spec", "targetNamespace"]));
    let layers = environment.layers.iter().rev().map(|layer| layer.root.fact_at(&["namespace"]));
    target.into_iter().chain(layers).find(|fact| !fact.is_absent()).unwrap_or_else(|| entry.fact_at(&["namespace"]))
}

/// `valuesFile` under `valuesInline` (or over it, or not at all: `valuesMerge`), then `additionalValuesFiles`.
fn add_values(entry: &Item, kustomization: &Kustomization, context: &Context<'_>, declaration: &mut Declaration) {
    let inline = ["valuesInline", "values"].iter().find_map(|key| entry.get(key)).filter(|values| values.is_mapping());
    let inline: Vec<Layer> = inline.and_then(|values| table(values, "valuesInline")).into_iter().collect();
    let mode = entry.text_at(&["valuesMerge"]).unwrap_or("override");
    if mode == "merge" {
        declaration.layers.extend(inline.clone());
    }
    if let Some(file) = entry.get("valuesFile").filter(|file| !file.is_null() && (mode != "replace" || inline.is_empty())) {
        add_file(file, kustomization, context, declaration);
    }
    if mode != "merge" {
        declaration.layers.extend(inline);
    }
    for file in entry.get("additionalValuesFiles").map(Item::items).unwrap_or_default() {
        add_file(file, kustomization, context, declaration);
    }
}

fn add_file(file: &Item, kustomization: &Kustomization, context: &Context<'_>, declaration: &mut Declaration) {
    match file.text().and_then(|path| join(&kustomization.folder, path)) {
        Some(path) => {
            let read = values_layer::read(context, &path, &file.place());
            declaration.layers.extend(read.layer);
            declaration.gaps.extend(read.gap);
        }
        None => unseen("values file", "its path is templated or leads out of the repository", file.place(), &mut declaration.layers, &mut declaration.gaps),
    }
}

/// A chart without repository lies under `helmGlobals.chartHome` (default `charts`).
fn chart_folder(name: &Item, kustomization: &Kustomization, context: &Context<'_>) -> Option<String> {
    let home = kustomization.root.text_at(&["helmGlobals", "chartHome"]).unwrap_or("charts");
    let folder = join(&kustomization.folder, &format!("{home}/{}", name.text()?))?;
    context.exists(&format!("{folder}/Chart.yaml")).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::declaration::Lineage;
    use crate::source::fixture::read_texts;

    const BASE: &str = "namespace: db
helmCharts:
- name: milvus
  repo: https://zilliztech.github.io/milvus-helm
  version: 4.2.58
  releaseName: vectors
  kubeVersion: '1.30'
  valuesFile: values.yaml
  valuesInline:
    image: {all: {tag: v2.5.16}}
  additionalValuesFiles: [more.yaml]
";

    fn read(files: &[(&str, &str)]) -> Vec<Declaration> {
        read_texts(files).declarations
    }

    fn layers(declaration: &Declaration) -> Vec<String> {
        let words = |layer: &Layer| match layer {
            Layer::Table { what, .. } | Layer::Unseen { what, .. } => what.to_string(),
            Layer::Set { text, .. } => text.to_string(),
        };
        declaration.layers.iter().map(words).collect()
    }

    #[test]
    fn a_chart_is_read_with_its_files_in_order() {
        let found = read(&[("app/kustomization.yaml", BASE), ("app/values.yaml", "etcd: {replicaCount: 1}\n"), ("app/more.yaml", "etcd: {replicaCount: 3}\n")]);
        let [found] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!(layers(found), ["values file app/values.yaml", "valuesInline", "values file app/more.yaml"]);
        assert_eq!((found.applier, found.chart.lineage, found.identity.name.as_deref()), (Applier::Template, Lineage::Zilliztech, Some("vectors")));
        assert_eq!(found.chart.version.place().unwrap().to_string(), "app/kustomization.yaml:5:12");
        assert_eq!((found.identity.namespace.as_deref(), found.kubernetes.known().map(|k| &**k)), (Some("db"), Some("1.30")));
    }

    #[test]
    fn the_mode_of_merging_decides_who_wins() {
        let merge = BASE.replace("  valuesInline", "  valuesMerge: merge\n  valuesInline");
        let files = [("app/values.yaml", "a: 1\n"), ("app/more.yaml", "a: 1\n")];
        assert_eq!(
            layers(&read(&[("app/kustomization.yaml", &merge), files[0], files[1]])[0]),
            ["valuesInline", "values file app/values.yaml", "values file app/more.yaml"]
        );
        let replace = BASE.replace("  valuesInline", "  valuesMerge: replace\n  valuesInline");
        assert_eq!(layers(&read(&[("app/kustomization.yaml", &replace), files[0], files[1]])[0]), ["valuesInline", "values file app/more.yaml"]);
    }

    #[test]
    fn overlays_change_namespace_and_image() {
        let found = read(&[
            ("base/kustomization.yaml", BASE),
            ("base/values.yaml", ""),
            ("base/more.yaml", ""),
            ("a/kustomization.yaml", "resources: [../base]\nnamespace: a\nimages: [{name: milvusdb/milvus, newTag: v2.5.20}]\n"),
            ("b/kustomization.yaml", "resources: [../base]\n"),
        ]);
        let [a, b] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((a.identity.namespace.as_deref(), a.image.known().map(|i| &**i)), (Some("a"), Some("milvusdb/milvus:v2.5.20")));
        assert_eq!((b.identity.namespace.as_deref(), b.image.is_absent(), &*b.path), (Some("db"), true, "b/kustomization.yaml"));
    }

    #[test]
    fn an_application_that_points_at_the_kustomization_tells_how_it_is_applied() {
        let application = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: milvus}\nspec:\n  destination: {namespace: vectors}\n  source: {repoURL: x, path: ./app/}\n  syncPolicy: {syncOptions: [Replace=true]}\n";
        let found = read(&[("app/kustomization.yaml", &BASE.replace("namespace: db\n", "")), ("argo.yaml", application)]);
        let [found] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((found.identity.namespace.as_deref(), found.flags.len()), (Some("vectors"), 1));
    }

    #[test]
    fn a_missing_file_is_unseen_and_other_charts_are_no_releases() {
        let found = read(&[("app/kustomization.yaml", BASE)]);
        assert_eq!(found[0].gaps.len(), 2);
        assert!(read(&[("app/kustomization.yaml", &BASE.replace("name: milvus", "name: attu"))]).is_empty());
    }
}
