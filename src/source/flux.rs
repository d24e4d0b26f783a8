//! Flux: `HelmRelease` objects with the repositories, values, kustomizations and substitutions that they refer to.

mod chart;
mod flags;
mod substitute;
mod values;

use std::sync::Arc;

use super::acknowledgement::of_rendering;
use super::context::Context;
use super::gitops::{Rendering, prove_lineage, renderings, through_chart};
use super::index::{Object, objects};
use super::item::Item;
use super::kustomize::images;
use super::templated::set_elsewhere;
use super::{Reading, SourceFile};
use crate::model::declaration::{Applier, Declaration, FlagKind, Form, Layer, ValuesStrategy};
use crate::model::place::{Fact, Origin};
use substitute::Substitution;

/// The API group of `HelmRelease`.
const GROUP: &str = "helm.toolkit.fluxcd.io";

/// Reads the releases of Milvus that Flux makes of a file: one per environment.
#[must_use]
pub fn read(file: &SourceFile, context: &Context<'_>) -> Reading {
    let mut reading = Reading::default();
    if memchr::memmem::find(file.text.as_bytes(), GROUP.as_bytes()).is_none() {
        return reading;
    }
    for object in objects(file).into_iter().filter(|object| object.is(GROUP, "HelmRelease")) {
        if may_be_milvus(&object) {
            read_object(&object, context, &mut reading);
        }
    }
    reading
}

/// A cheap look: the chart is not said to be another one. (An overlay changes versions and values, not the chart.)
fn may_be_milvus(object: &Object<'_>) -> bool {
    let spec = |path: &[&str]| object.root.get("spec").and_then(|spec| spec.at(path));
    match spec(&["chart", "spec", "chart"]).and_then(|chart| chart.text()) {
        Some(name) => chart::may_be_milvus(name),
        None => spec(&["chart", "spec", "chart"]).is_some() || spec(&["chartRef"]).is_some(),
    }
}

fn read_object(object: &Object<'_>, context: &Context<'_>, reading: &mut Reading) {
    let renderings = renderings(object, context);
    // Where one environment has its Flux Kustomization in the tree, the variables of another are not guessed from it.
    let may_guess = renderings.iter().all(|rendering| rendering.environment.flux.is_none());
    for rendering in renderings {
        let substitution = Substitution::of(&rendering.environment, may_guess, context);
        let evidence = of_rendering(object, &rendering, context);
        let mut declarations = declare(rendering, &substitution, context).unwrap_or_default();
        for declaration in &mut declarations {
            declaration.evidence.extend(evidence.iter().cloned());
        }
        reading.extend(Reading { declarations, ..Reading::default() });
    }
}

fn declare(rendering: Rendering<'_>, substitution: &Substitution, context: &Context<'_>) -> Option<Vec<Declaration>> {
    let item = &rendering.item.expanded(substitution);
    let environment = &rendering.environment;
    let spec = item.get("spec")?;
    let chart = chart::resolve(item, substitution, context)?;
    let place = item.get("kind").unwrap_or(item).place();
    let mut declaration = Declaration::blank(Form::Flux, &rendering.scope, place);
    declaration.path = rendering.path;
    declaration.chart = chart.source;
    declaration.gaps = rendering.gaps;
    declaration.gaps.extend(chart.gaps);
    declaration.applier = Applier::HelmUpgrade;
    declaration.namespace = match spec.fact_at(&["targetNamespace"]) {
        Fact::Absent => item.fact_at(&["metadata", "namespace"]),
        said => said,
    };
    declaration.name = release_name(item, spec);
    declaration.identity.name = declaration.name.known().cloned();
    declaration.identity.namespace = declaration.namespace.known().cloned();
    values::add(item, environment, substitution, context, &mut declaration);
    prove_lineage(&mut declaration, spec.get("values"));
    declaration.flags = flags::read(item, environment);
    if declaration.flags.iter().any(|flag| flag.kind == FlagKind::ReuseValues) {
        declaration.strategy = ValuesStrategy::Reuse;
    }
    if substitution.has_more() {
        let elsewhere: Arc<str> = "Flux substitutes it from an object that is not in this tree".into();
        for layer in &mut declaration.layers {
            if let Layer::Table { values, .. } = layer {
                *values = set_elsewhere(values, &elsewhere);
            }
        }
        if let Fact::Unknown(reason, _) = &mut declaration.chart.version {
            *reason = elsewhere;
        }
    }
    for renderer in spec.get("postRenderers").map(Item::items).unwrap_or_default() {
        if let Some(kustomize) = renderer.get("kustomize") {
            images::add(kustomize, &mut declaration);
        }
    }
    Some(match chart.folder {
        Some(folder) => through_chart(&declaration, &folder, context),
        None => vec![declaration],
    })
}

/// `releaseName`, else `[targetNamespace-]name`, as Flux makes it.
fn release_name(item: &Item, spec: &Item) -> Fact<Arc<str>> {
    let name = match spec.fact_at(&["releaseName"]) {
        Fact::Absent => item.fact_at(&["metadata", "name"]),
        said => return said,
    };
    match (name, spec.fact_at(&["targetNamespace"])) {
        (Fact::Known(name, origin), Fact::Known(namespace, _)) => Fact::Known(format!("{namespace}-{name}").into(), origin),
        (Fact::Known(_, origin), Fact::Unknown(reason, _)) => Fact::Unknown(reason, origin),
        (name, _) => name,
    }
}

/// An origin at a node.
fn at(item: &Item) -> Origin {
    Origin::At(item.place())
}

#[cfg(test)]
mod tests;
