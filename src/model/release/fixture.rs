//! Declarations for tests.

use std::sync::Arc;

use super::Release;
use crate::model::catalogue::Catalogue;
use crate::model::change::Environment;
use crate::model::declaration::{Applier, Declaration, Form, Layer, Lineage};
use crate::model::json;
use crate::model::place::{Fact, Origin, Place, Position};
use crate::model::version::VersionSpec;

/// A place in a made-up file.
pub(super) fn place() -> Place {
    let start = Position { line: 1, column: 1 };
    Place { file: "values.yaml".into(), start, end: start }
}

/// A Flux release of zilliztech's chart with one table of values, written as JSON.
pub(super) fn declaration(chart: Option<&str>, values: &str) -> Declaration {
    let layer = Layer::Table { values: json::read(values, &|_, _| Origin::At(place())).unwrap(), what: "spec.values".into() };
    let mut declaration = Declaration::blank(Form::Flux, "", place());
    declaration.chart.version = chart.map_or(Fact::Absent, |chart| Fact::Known(VersionSpec::parse(chart), Origin::At(place())));
    declaration.chart.lineage = Lineage::Zilliztech;
    declaration.layers.push(layer);
    declaration.applier = Applier::HelmUpgrade;
    declaration
}

/// A layer that cannot be seen.
pub(super) fn unseen() -> Layer {
    Layer::Unseen { what: "Secret milvus-credentials".into(), place: place() }
}

/// Resolves a declaration with the embedded catalogue.
pub(super) fn resolve(declaration: Declaration, before: Option<&Release>) -> Release {
    Release::resolve(Arc::new(declaration), before, &Environment::default(), Catalogue::embedded())
}

/// A release of a chart with values, written as JSON.
pub(super) fn release(chart: &str, values: &str) -> Release {
    resolve(declaration(Some(chart), values), None)
}
