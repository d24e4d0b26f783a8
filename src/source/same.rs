//! Whether two declarations say the same, wherever they stand.

use crate::model::declaration::{ChartSource, Declaration, Flag, Layer, Rendered};
use crate::model::place::Fact;
use crate::model::value::{Node, Value};

/// Whether two declarations say the same; places, paths and identities do not count.
#[must_use]
pub fn says_the_same(a: &Declaration, b: &Declaration) -> bool {
    same_fact(&a.name, &b.name)
        && same_fact(&a.namespace, &b.namespace)
        && a.operation == b.operation
        && same_chart(&a.chart, &b.chart)
        && same_lists(&a.layers, &b.layers, same_layer)
        && same_fact(&a.image, &b.image)
        && (a.applier, a.strategy, a.source_only) == (b.applier, b.strategy, b.source_only)
        && same_lists(&a.flags, &b.flags, |a: &Flag, b: &Flag| a.kind == b.kind && a.value == b.value)
        && same_fact(&a.helm, &b.helm)
        && same_fact(&a.kubernetes, &b.kubernetes)
        && same_lists(&a.evidence, &b.evidence, |a, b| a.kind == b.kind)
        && match (&a.lock, &b.lock) {
            (Some(a), Some(b)) => a.disagrees == b.disagrees && same_fact(&a.version, &b.version),
            (None, None) => true,
            _ => false,
        }
        && match (&a.rendered, &b.rendered) {
            (Some(a), Some(b)) => same_rendered(a, b),
            (None, None) => true,
            _ => false,
        }
        && a.chart_alias() == b.chart_alias()
        && same_lists(&a.misplaced, &b.misplaced, |a, b| a.0 == b.0)
}

/// Whether two commands make the same of a release: the same chart with the same values.
#[must_use]
pub fn deploys_the_same(a: &Declaration, b: &Declaration) -> bool {
    let is_same_namespace = a.namespace.is_absent() || b.namespace.is_absent() || same_fact(&a.namespace, &b.namespace);
    same_fact(&a.name, &b.name) && is_same_namespace && same_chart(&a.chart, &b.chart) && same_lists(&a.layers, &b.layers, same_layer)
}

/// Whether two values are equal; where they are written does not count.
#[must_use]
pub fn same_value(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::List(a), Value::List(b)) => same_lists(a, b, same_value),
        (Value::Table(a), Value::Table(b)) => {
            a.rest_unknown.is_some() == b.rest_unknown.is_some()
                && a.entries.len() == b.entries.len()
                && a.entries.iter().zip(&b.entries).all(|((ka, a), (kb, b))| ka == kb && same_value(&a.node, &b.node))
        }
        (a, b) => a == b,
    }
}

/// Whether two facts say the same; where does not count, nor the words of a reason.
#[must_use]
pub fn same_fact<T: PartialEq>(a: &Fact<T>, b: &Fact<T>) -> bool {
    match (a, b) {
        (Fact::Known(a, _), Fact::Known(b, _)) => a == b,
        (Fact::Unknown(a, _), Fact::Unknown(b, _)) => a == b,
        (Fact::Absent, Fact::Absent) => true,
        _ => false,
    }
}

fn same_lists<T>(a: &[T], b: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn same_chart(a: &ChartSource, b: &ChartSource) -> bool {
    same_fact(&a.repository, &b.repository) && same_fact(&a.name, &b.name) && same_fact(&a.version, &b.version) && a.lineage == b.lineage
}

fn same_layer(a: &Layer, b: &Layer) -> bool {
    match (a, b) {
        (Layer::Table { values: a, .. }, Layer::Table { values: b, .. }) => same_value(a, b),
        (Layer::Set { kind, text, file, .. }, Layer::Set { kind: other_kind, text: other_text, file: other_file, .. }) => {
            (kind, text, file) == (other_kind, other_text, other_file)
        }
        (Layer::Unseen { what, .. }, Layer::Unseen { what: other, .. }) => what == other,
        _ => false,
    }
}

fn same_rendered(a: &Rendered, b: &Rendered) -> bool {
    a.components == b.components && a.message_queue == b.message_queue && same_lists(&a.apis, &b.apis, |a, b| (&a.0, &a.1) == (&b.0, &b.1))
}
