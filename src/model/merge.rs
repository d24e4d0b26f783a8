//! Helm's value semantics: layers into user values, user values over chart defaults, dependencies and `global`; exactly, for Helm 3 and Helm 4.
//!
//! Follows `cli/values`, `chartutil/coalesce.go` and `chartutil/dependencies.go` of Helm 3.22 and 4.3. Tables are shared: a merge copies only the spine
//! that user values touch. What cannot be seen (`Layer::Unseen`, templates) makes what it may override unknown.

use std::sync::Arc;

use super::declaration::{Layer, SetKind};
use super::helm::HelmMajor;
use super::place::{Origin, Place};
use super::strvals::{self, Argument, ItemBudget};
use super::value::{Entry, Node, Table, Value};

/// Why Helm refuses the values of a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct Refused {
    /// Where it stands.
    pub place: Place,
    /// Why, in words. Never a value.
    pub reason: String,
}

/// Merges layers, lowest precedence first, into the values that the user gives. Nulls are kept.
///
/// Tables come first in their order, then the `--set` family in Helm's fixed order (`--set-json`, `--set`, `--set-string`, `--set-file`,
/// `--set-literal`), whatever order they are written in. A layer that cannot be seen stands where it is written: after a `--set` it covers that too.
///
/// # Errors
/// With the first `--set` text that Helm refuses.
pub fn user_values(layers: &[Layer], helm: HelmMajor) -> Result<Node, Refused> {
    let mut values = Table::default();
    let mut origin = Origin::Given("no values".into());
    let first_set = layers.iter().position(|layer| matches!(layer, Layer::Set { .. })).unwrap_or(layers.len());
    for (i, layer) in layers.iter().enumerate() {
        match layer {
            Layer::Table { values: layer, .. } => {
                match &layer.value {
                    Value::Table(table) => merge_over(&mut values, table),
                    Value::Unknown(reason) => values = unseen(reason),
                    _ => continue,
                }
                origin = layer.origin.clone();
            }
            Layer::Unseen { what, place } if i < first_set => {
                values = unseen(&format!("{what} is not in sight").into());
                origin = Origin::At(place.clone());
            }
            Layer::Unseen { .. } | Layer::Set { .. } => {}
        }
    }
    let files: Vec<_> = layers.iter().map(|layer| move |_: &str| if let Layer::Set { file, .. } = layer { file.clone() } else { None }).collect();
    let flags = layers.iter().zip(&files).filter_map(|(layer, files)| match layer {
        Layer::Set { kind, text, place, .. } => Some(Argument { kind: *kind, text, place, files, verbatim: false }),
        Layer::Table { .. } | Layer::Unseen { .. } => None,
    });
    apply_in_order(&mut values, &flags.collect::<Vec<_>>(), helm)?;
    for layer in layers.iter().skip(first_set) {
        if let Layer::Unseen { what, .. } = layer {
            values = unseen(&format!("{what} is not in sight").into());
        }
    }
    Ok(Node { value: Value::Table(Arc::new(values)), origin })
}

/// Applies flags of the `--set` family to user values, in Helm's fixed order.
///
/// # Errors
/// With the first text that Helm refuses.
pub fn with_flags(mut user: Node, flags: &[Argument<'_>], helm: HelmMajor) -> Result<Node, Refused> {
    if let Value::Table(table) = &mut user.value {
        apply_in_order(Arc::make_mut(table), flags, helm)?;
    }
    Ok(user)
}

fn apply_in_order(values: &mut Table, flags: &[Argument<'_>], helm: HelmMajor) -> Result<(), Refused> {
    let mut budget = ItemBudget::default();
    for family in [SetKind::SetJson, SetKind::Set, SetKind::SetString, SetKind::SetFile, SetKind::SetLiteral] {
        for flag in flags.iter().filter(|flag| flag.kind == family) {
            strvals::apply(flag, values, helm, &mut budget).map_err(|error| Refused { place: flag.place.clone(), reason: error.reason })?;
        }
    }
    Ok(())
}

/// Values of which nothing is known.
fn unseen(reason: &Arc<str>) -> Table {
    Table { rest_unknown: Some(Arc::clone(reason)), ..Table::default() }
}

/// Merges a table over another, as Helm merges values files: tables merge, everything else (null too) replaces.
pub fn merge_over(lower: &mut Table, higher: &Table) {
    if let Some(reason) = &higher.rest_unknown {
        // What the higher table may say besides what is seen covers everything below.
        lower.entries.retain(|key, _| higher.entries.contains_key(key));
        lower.rest_unknown = Some(Arc::clone(reason));
    }
    let rest_unknown = lower.rest_unknown.clone();
    for (key, over) in &higher.entries {
        let merged = match (&over.node.value, lower.entries.get_mut(key).map(|entry| &mut entry.node.value)) {
            (Value::Table(above), Some(Value::Table(below))) => {
                let mut below = std::mem::take(below);
                merge_over(Arc::make_mut(&mut below), above);
                Entry { key: over.key.clone(), node: Node { value: Value::Table(below), origin: over.node.origin.clone() } }
            }
            (Value::Table(above), Some(Value::Unknown(reason))) => with_unknown_rest(over, above, reason),
            (Value::Table(above), None) => match &rest_unknown {
                Some(reason) => with_unknown_rest(over, above, reason),
                None => over.clone(),
            },
            _ => over.clone(),
        };
        lower.entries.insert(Arc::clone(key), merged);
    }
}

/// The entry with a table of which more may be set than is seen, at every depth.
fn with_unknown_rest(entry: &Entry, table: &Table, reason: &Arc<str>) -> Entry {
    Entry { key: entry.key.clone(), node: Node { value: Value::Table(Arc::new(mark_unknown_rest(table, reason))), origin: entry.node.origin.clone() } }
}

fn mark_unknown_rest(table: &Table, reason: &Arc<str>) -> Table {
    let entries = table.entries.iter().map(|(key, entry)| {
        let entry = match &entry.node.value {
            Value::Table(inner) => with_unknown_rest(entry, inner, reason),
            _ => entry.clone(),
        };
        (Arc::clone(key), entry)
    });
    Table { entries: entries.collect(), rest_unknown: table.rest_unknown.clone().or_else(|| Some(Arc::clone(reason))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::place::Position;
    use crate::model::value::Lookup;

    pub(crate) fn table(text: &str) -> Node {
        crate::model::json::read(text, &|_, _| Origin::Given("test".into())).unwrap()
    }

    fn place() -> Place {
        Place { file: "x".into(), start: Position { line: 1, column: 1 }, end: Position { line: 1, column: 1 } }
    }

    fn file(text: &str) -> Layer {
        Layer::Table { values: table(text), what: "file".into() }
    }

    fn set(kind: SetKind, text: &str) -> Layer {
        Layer::Set { kind, text: text.into(), place: place(), file: None }
    }

    fn hidden() -> Layer {
        Layer::Unseen { what: "Secret x".into(), place: place() }
    }

    fn merged(layers: &[Layer]) -> Node {
        user_values(layers, HelmMajor::Three).unwrap()
    }

    #[test]
    fn later_files_win_and_sets_win_over_files_in_helms_order() {
        let values =
            merged(&[set(SetKind::SetString, "a.b=text"), set(SetKind::Set, "a.b=2"), file(r#"{"a":{"b":1,"c":[1]}}"#), file(r#"{"a":{"c":[2],"d":null}}"#)]);
        assert_eq!(values.lookup("a.b").found().unwrap().node.value.as_str(), Some("text"));
        assert_eq!(values.lookup("a.c").found().unwrap().node.value, table("[2]").value);
        assert_eq!(values.lookup("a.d").found().unwrap().node.value, Value::Null);
    }

    #[test]
    fn a_layer_out_of_sight_hides_what_is_below_and_the_rest_of_what_is_above() {
        let values = merged(&[file(r#"{"a":1}"#), hidden(), file(r#"{"t":{"x":1}}"#), set(SetKind::Set, "u.y=2")]);
        assert!(matches!(values.lookup("a"), Lookup::Unknown(_)));
        assert!(matches!(values.lookup("t.z"), Lookup::Unknown(_)));
        assert!(matches!(values.lookup("u.z"), Lookup::Unknown(_)));
        assert_eq!(values.lookup("t.x").found().unwrap().node.value, Value::Int(1));
        assert_eq!(values.lookup("u.y").found().unwrap().node.value, Value::Int(2));
    }

    #[test]
    fn a_refused_set_is_an_error() {
        assert!(user_values(&[file(r#"{"a":1}"#), set(SetKind::Set, "a.b=1")], HelmMajor::Three).is_err());
    }
}
