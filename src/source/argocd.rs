//! Argo CD: `Application` and `ApplicationSet` objects. Argo CD renders as an install (no look-ups) and stores no Helm release.

mod flags;
mod generators;
mod glob;
mod parameters;
mod values;

use std::sync::Arc;

use super::acknowledgement::of_rendering;
use super::context::{Context, join};
use super::gitops::{Rendering, chart, prove_lineage, renderings, through_chart, version};
use super::index::objects;
use super::item::{Expander, Item, no_expansion};
use super::kustomize::patch::merge;
use super::lineage::{is_milvus_chart, is_operator_chart};
use super::{Reading, SourceFile};
use crate::document::yaml;
use crate::model::declaration::{Applier, Declaration, Evidence, Flag, FlagKind, Form, NotChecked, NotCheckedKind};
use crate::model::place::Fact;

const GROUP: &str = "argoproj.io";
/// Applications that are asked whether they apply a folder.
const MAX_APPLICATIONS: usize = 1_000;

/// Reads the releases of Milvus that Argo CD makes of a file.
#[must_use]
pub fn read(file: &SourceFile, context: &Context<'_>) -> Reading {
    let mut reading = Reading::default();
    if memchr::memmem::find(file.text.as_bytes(), GROUP.as_bytes()).is_none() {
        return reading;
    }
    for object in objects(file) {
        if object.is(GROUP, "Application") {
            for rendering in renderings(&object, context) {
                let found = declare(&rendering.item, &rendering, &no_expansion, context);
                add(found, &of_rendering(&object, &rendering, context), &mut reading);
            }
        } else if object.is(GROUP, "ApplicationSet") {
            for rendering in renderings(&object, context) {
                let found = read_set(&rendering, context, &mut reading.gaps);
                add(found, &of_rendering(&object, &rendering, context), &mut reading);
            }
        }
    }
    reading
}

fn add(mut declarations: Vec<Declaration>, evidence: &[Evidence], reading: &mut Reading) {
    for declaration in &mut declarations {
        declaration.evidence.extend(evidence.iter().cloned());
    }
    reading.declarations.append(&mut declarations);
}

/// The applications of an `ApplicationSet`, one for each set of parameters.
fn read_set(rendering: &Rendering<'_>, context: &Context<'_>, skipped: &mut Vec<NotChecked>) -> Vec<Declaration> {
    let Some(spec) = rendering.item.get("spec") else {
        return Vec::new();
    };
    let Some(template) = spec.get("template") else {
        return Vec::new();
    };
    let is_go_template = spec.is_true_at(&["goTemplate"]);
    let mut found: Vec<Declaration> = Vec::new();
    let (sets, is_too_long) = generators::read(spec, is_go_template, context);
    for generated in sets {
        let mut application = template.clone();
        if let Some(own) = &generated.template {
            merge(&mut application, own);
        }
        let mut gaps = Vec::new();
        if let Some(patch) = spec.get("templatePatch") {
            apply_template_patch(&mut application, patch, &generated.parameters, &mut gaps);
        }
        let mut declarations = declare(&application.expanded(&generated.parameters), rendering, &generated.parameters, context);
        for declaration in &mut declarations {
            declaration.gaps.extend(gaps.iter().cloned());
        }
        found.append(&mut declarations);
    }
    if is_too_long && !found.is_empty() {
        let reason = "the ApplicationSet makes more applications than are checked: the rest is not read; split it";
        skipped.push(NotChecked::at(spec.place(), NotCheckedKind::LimitsExceeded, reason));
    }
    distinct(found)
}

/// How Argo CD applies a folder of the tree: what the applications that point at it say.
pub(super) struct Deployment {
    /// Their settings.
    pub(super) flags: Vec<Flag>,
    /// The namespace that they name.
    pub(super) namespace: Fact<Arc<str>>,
}

/// What the applications say that apply a folder, of those that mention Milvus.
#[must_use]
pub(super) fn deployment_of(folder: &str, context: &Context<'_>) -> Deployment {
    let mut deployment = Deployment { flags: Vec::new(), namespace: Fact::Absent };
    if !context.index.has_kind("Application") {
        return deployment;
    }
    for object in context.index.all(context.files, GROUP, "Application").into_iter().take(MAX_APPLICATIONS) {
        let spec = object.root.get("spec");
        let sources =
            spec.and_then(|spec| spec.get("sources")).map(yaml::Node::items).unwrap_or_default().iter().chain(spec.and_then(|spec| spec.get("source")));
        if sources.filter_map(|source| source.text_at(&["path"])).any(|path| join("", path).as_deref() == Some(folder)) {
            let application = Item::of_file(object.file, object.root);
            deployment.flags.extend(flags::read(&application));
            deployment.namespace = application.fact_at(&["spec", "destination", "namespace"]);
        }
    }
    deployment
}

/// Without their parameters several generators give the same application.
fn distinct(declarations: Vec<Declaration>) -> Vec<Declaration> {
    let mut kept: Vec<Declaration> = Vec::with_capacity(declarations.len());
    for declaration in declarations {
        if declaration.name.known().is_some() || !kept.contains(&declaration) {
            kept.push(declaration);
        }
    }
    kept
}

/// `templatePatch` is a Go template of YAML: read where it is plain substitution.
fn apply_template_patch(application: &mut Item, patch: &Item, expand: &dyn Expander, gaps: &mut Vec<NotChecked>) {
    let text = patch.raw_text().unwrap_or_default();
    let is_program =
        ["if ", "range ", "with ", "toYaml", "end"].iter().any(|word| text.contains(&format!("{{{{ {word}")) || text.contains(&format!("{{{{- {word}")));
    match (is_program, patch.embedded(expand)) {
        (false, Ok(Some(content))) => merge(application, &content),
        (false, Ok(None)) => {}
        _ => gaps.push(patch.partly("the `templatePatch` is not applied: it is more than a substitution")),
    }
}

/// The releases of an application: of each source that is a chart of Milvus or holds one.
fn declare(application: &Item, rendering: &Rendering<'_>, expand: &dyn Expander, context: &Context<'_>) -> Vec<Declaration> {
    let Some(spec) = application.get("spec") else {
        return Vec::new();
    };
    let sources: Vec<&Item> = match spec.get("sources") {
        Some(sources) if !sources.items().is_empty() => sources.items().iter().collect(),
        _ => spec.get("source").into_iter().collect(),
    };
    sources.iter().flat_map(|source| declare_source(source, &sources, application, rendering, expand, context)).collect()
}

fn declare_source(
    source: &Item,
    all: &[&Item],
    application: &Item,
    rendering: &Rendering<'_>,
    expand: &dyn Expander,
    context: &Context<'_>,
) -> Vec<Declaration> {
    let name = source.fact_at(&["chart"]);
    let folder = match (&name, source.text_at(&["path"])) {
        (Fact::Absent, Some(path)) => match join("", path).filter(|folder| context.exists(&format!("{folder}/Chart.yaml"))) {
            Some(folder) => Some(folder),
            None => return Vec::new(),
        },
        (Fact::Absent, None) => return Vec::new(),
        (Fact::Known(name, _), _) if !is_milvus(name) => return Vec::new(),
        _ => None,
    };
    let place = rendering.item.get("kind").unwrap_or(&rendering.item).place();
    let mut declaration = Declaration::blank(Form::ArgoCd, &rendering.scope, place);
    declaration.path = rendering.path.clone();
    declaration.gaps = rendering.gaps.clone();
    declaration.applier = Applier::Template;
    declaration.chart = chart(source.fact_at(&["repoURL"]), name, version(source.fact_at(&["targetRevision"])));
    if declaration.chart.name.is_unknown() && !declaration.chart.lineage.is_zilliztech() {
        return Vec::new();
    }
    identify(&mut declaration, source, application);
    declaration.flags = flags::read(application);
    let cluster = flags::cluster(application);
    declaration.flags.extend(cluster.map(|at| Flag { kind: FlagKind::Cluster, value: at.text().map(Into::into), place: at.place() }));
    values::add(&values::Place { source, all, folder: folder.as_deref() }, expand, context, &mut declaration);
    prove_lineage(&mut declaration, source.at(&["helm", "valuesObject"]));
    match folder {
        Some(folder) => through_chart(&declaration, &folder, context),
        None => vec![declaration],
    }
}

fn is_milvus(chart: &str) -> bool {
    is_milvus_chart(chart) && !is_operator_chart(chart)
}

/// Names, namespace and cluster as Argo CD takes them.
fn identify(declaration: &mut Declaration, source: &Item, application: &Item) {
    let first = |facts: [Fact<Arc<str>>; 2]| facts.into_iter().find(|fact| !fact.is_absent()).unwrap_or_default();
    declaration.name = first([source.fact_at(&["helm", "releaseName"]), application.fact_at(&["metadata", "name"])]);
    declaration.namespace = first([source.fact_at(&["helm", "namespace"]), application.fact_at(&["spec", "destination", "namespace"])]);
    declaration.identity.name = declaration.name.known().cloned();
    declaration.identity.namespace = declaration.namespace.known().cloned();
    if let Some(cluster) = flags::cluster(application).and_then(Item::text) {
        declaration.identity.scope = cluster.into();
    }
}

#[cfg(test)]
mod tests;
