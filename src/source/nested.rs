//! Takes the values of a dependency out of the values of the chart that holds it: below its name or alias, with `global` handed on.

use std::sync::Arc;

use crate::model::declaration::{Declaration, Layer, SetKind};
use crate::model::entries::Entries;
use crate::model::place::Place;
use crate::model::value::{Entry, Lookup, Node, Table, Value, escape_key, split_path};

/// What a table of values says to a dependency, lowest precedence first.
#[must_use]
pub fn under(layers: &[Layer], key: &str) -> Vec<Layer> {
    let mut own = Vec::new();
    let mut globals = Vec::new();
    for layer in layers {
        match layer {
            Layer::Table { values, what } => {
                own.extend(part(values, key, what));
                globals.extend(global(values, what));
            }
            Layer::Set { kind, text, place, file } => {
                own.extend(strip_set(*kind, text, key).map(|text| Layer::Set { kind: *kind, text: text.into(), place: place.clone(), file: file.clone() }));
            }
            Layer::Unseen { what, place } => own.push(Layer::Unseen { what: what.clone(), place: place.clone() }),
        }
    }
    // A parent's globals win over those of the dependency's own table.
    own.extend(globals);
    own
}

/// The layers without what they say at exactly this dotted path.
#[must_use]
pub fn without(layers: Vec<Layer>, path: &str) -> Vec<Layer> {
    let keys = split_path(path);
    let leave = |layer: Layer| match layer {
        Layer::Table { values, what } if values.lookup(path) != Lookup::Absent => {
            Some(Layer::Table { values: without_key(&values, &keys), what }).filter(|layer| !matches!(layer, Layer::Table { values, .. } if is_empty(values)))
        }
        Layer::Set { kind: kind @ (SetKind::Set | SetKind::SetString), text, place, file } => {
            let assigns = |piece: &&str| piece.trim_start().strip_prefix(path).is_some_and(|rest| rest.starts_with('='));
            let kept: Vec<&str> = pieces(&text, false).into_iter().filter(|piece| !assigns(piece)).collect();
            (!kept.is_empty()).then(|| Layer::Set { kind, text: kept.join(",").into(), place, file })
        }
        other => Some(other),
    };
    layers.into_iter().filter_map(leave).collect()
}

fn without_key(node: &Node, keys: &[String]) -> Node {
    let (Value::Table(table), Some((key, rest))) = (&node.value, keys.split_first()) else { return node.clone() };
    let mut table = Table::clone(table);
    if rest.is_empty() {
        table.entries.remove(key.as_str());
    } else if let Some(entry) = table.entries.get_mut(key.as_str()) {
        entry.node = without_key(&entry.node, rest);
    }
    Node { value: Value::Table(Arc::new(table)), origin: node.origin.clone() }
}

fn is_empty(node: &Node) -> bool {
    node.table().is_some_and(|table| table.entries.is_empty() && table.rest_unknown.is_none())
}

/// What tables of values hold below a key, without handing on anything else.
#[must_use]
pub fn part_at(layers: &[Layer], key: &str) -> Vec<Layer> {
    let of_table = |layer: &Layer| match layer {
        Layer::Table { values, what } => part(values, key, what),
        Layer::Set { .. } | Layer::Unseen { .. } => None,
    };
    layers.iter().filter_map(of_table).collect()
}

fn part(values: &Node, key: &str, what: &Arc<str>) -> Option<Layer> {
    let unseen = |place: &Place, reason: &str| Some(Layer::Unseen { what: format!("{what}: {reason}").into(), place: place.clone() });
    match values.lookup(&escape_key(key)) {
        Lookup::Found(entry) => match &entry.node.value {
            Value::Table(_) => Some(Layer::Table { values: entry.node.clone(), what: what.clone() }),
            _ => None,
        },
        Lookup::Unknown(reason) => values.origin.place().and_then(|place| unseen(place, reason)),
        Lookup::Absent => None,
    }
}

fn global(values: &Node, what: &Arc<str>) -> Option<Layer> {
    let entry = values.table()?.entries.get("global")?;
    if entry.node.table().is_none_or(|table| table.entries.is_empty()) {
        return None;
    }
    let table = Table { entries: Entries::from([(Arc::from("global"), Entry::clone(entry))]), rest_unknown: None };
    Some(Layer::Table { values: Node { value: Value::Table(Arc::new(table)), origin: entry.node.origin.clone() }, what: what.clone() })
}

/// The parts of a `--set` argument that reach a dependency, written for the dependency itself; `None` when nothing does.
#[must_use]
pub fn strip_set(kind: SetKind, text: &str, key: &str) -> Option<String> {
    let prefix = format!("{}.", escape_key(key));
    let keep = |piece: &str| -> Option<String> {
        let piece = piece.trim_start();
        if piece.starts_with("global.") { Some(piece.to_owned()) } else { piece.strip_prefix(&prefix).map(str::to_owned) }
    };
    if kind == SetKind::SetLiteral {
        return keep(text);
    }
    if kind == SetKind::SetJson && text.trim_start().starts_with('{') {
        let object: serde_json::Value = serde_json::from_str(text).ok()?;
        let mut inner = object.get(key).and_then(serde_json::Value::as_object).cloned().unwrap_or_default();
        if let Some(global) = object.get("global") {
            inner.insert("global".into(), global.clone());
        }
        return (!inner.is_empty()).then(|| serde_json::Value::Object(inner).to_string());
    }
    let kept: Vec<String> = pieces(text, kind == SetKind::SetJson).into_iter().filter_map(keep).collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// Splits at the commas between assignments: not at escaped ones, nor inside `{...}`, nor, in JSON, inside brackets and texts.
fn pieces(text: &str, json: bool) -> Vec<&str> {
    let mut all = Vec::new();
    let (mut start, mut depth, mut quoted, mut escaped) = (0, 0_u32, false, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\\' => escaped = true,
            '"' if json => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '[' if json && !quoted => depth += 1,
            '}' if !quoted => depth = depth.saturating_sub(1),
            ']' if json && !quoted => depth = depth.saturating_sub(1),
            ',' if depth == 0 && !quoted => {
                all.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    all.extend(text.get(start..));
    all
}

/// What the layers say at a path, the highest first.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// This value.
    Value(Value),
    /// It may be said in a part that cannot be read.
    Unknown,
    /// Nothing.
    Nothing,
}

/// What the layers say at a dotted path. A layer that cannot be seen makes it unknown only when no layer says it.
#[must_use]
pub fn said(layers: &[Layer], path: &str) -> Said {
    let mut unknown = false;
    for layer in layers.iter().rev() {
        match layer {
            Layer::Table { values, .. } => match values.lookup(path) {
                Lookup::Found(entry) => return Said::Value(entry.node.value.clone()),
                Lookup::Unknown(_) => unknown = true,
                Lookup::Absent => {}
            },
            Layer::Set { kind, text, .. } => {
                if let Some(value) = set_at(*kind, text, path) {
                    return Said::Value(value);
                }
            }
            Layer::Unseen { .. } => unknown = true,
        }
    }
    if unknown { Said::Unknown } else { Said::Nothing }
}

/// The scalar that a flag sets at exactly this path.
fn set_at(kind: SetKind, text: &str, path: &str) -> Option<Value> {
    let value = pieces(text, kind == SetKind::SetJson).into_iter().rev().find_map(|piece| piece.trim_start().strip_prefix(path)?.strip_prefix('='))?;
    Some(match (kind, value) {
        (SetKind::Set | SetKind::SetJson, "true") => Value::Bool(true),
        (SetKind::Set | SetKind::SetJson, "false") => Value::Bool(false),
        (SetKind::Set | SetKind::SetJson, "null") => Value::Null,
        _ => Value::String(value.into()),
    })
}

/// The files that layers come from.
pub fn files_of(layers: &[Layer]) -> impl Iterator<Item = &Arc<str>> {
    fn of_node(node: &Node) -> Option<&Arc<str>> {
        node.origin.place().map(|place| &place.file)
    }
    layers.iter().filter_map(|layer| match layer {
        Layer::Table { values, .. } => of_node(values),
        Layer::Set { .. } | Layer::Unseen { .. } => None,
    })
}

/// The files that a declaration is made of: its own, its chart's, the lock, and those of its values.
pub fn files_of_declaration(declaration: &Declaration) -> impl Iterator<Item = &Arc<str>> {
    let chart = &declaration.chart;
    let lock = declaration.lock.as_ref().and_then(|lock| lock.version.place());
    let places = [Some(&declaration.place), chart.name.place(), chart.version.place(), chart.repository.place(), lock, declaration.image.place()];
    std::iter::once(&declaration.path).chain(places.into_iter().flatten().map(|place| &place.file)).chain(files_of(&declaration.layers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::yaml::{Limits, parse_stream};
    use crate::source::convert::to_value;

    fn layer(text: &str) -> Layer {
        let document = parse_stream(text, &Limits::default()).remove(0).unwrap();
        Layer::Table { values: to_value(&"values.yaml".into(), &document.root), what: "values.yaml".into() }
    }

    fn set(kind: SetKind, text: &str) -> Layer {
        Layer::Set { kind, text: text.into(), place: Place::file_start(&"a.sh".into()), file: None }
    }

    #[test]
    fn only_the_table_below_the_key_and_globals_are_handed_on() {
        let layers = under(&[layer("milvus: {cluster: {enabled: true}, global: {a: 1}}\nother: {b: 2}\nglobal: {a: 3}\n")], "milvus");
        assert_eq!(said(&layers, "cluster.enabled"), Said::Value(Value::Bool(true)));
        assert_eq!(said(&layers, "global.a"), Said::Value(Value::Int(3)));
        assert_eq!(said(&layers, "b"), Said::Nothing);
        assert!(under(&[layer("other: {b: 2}\n")], "milvus").is_empty());
    }

    #[test]
    fn a_templated_table_is_not_seen() {
        let layers = under(&[layer("milvus: {{ toYaml .Values.x }}\n")], "milvus");
        assert!(matches!(&layers[..], [Layer::Unseen { .. }]));
    }

    #[test]
    fn set_flags_lose_their_prefix() {
        let strip = |kind, text| strip_set(kind, text, "milvus");
        assert_eq!(strip(SetKind::Set, "milvus.a=1,other.b=2,milvus.c={x,y},global.d=e").as_deref(), Some("a=1,c={x,y},global.d=e"));
        assert_eq!(strip(SetKind::Set, r"milvus.a=x\,milvus.b=y").as_deref(), Some(r"a=x\,milvus.b=y"));
        assert_eq!(strip(SetKind::SetLiteral, "milvus.a=x,milvus.b=y").as_deref(), Some("a=x,milvus.b=y"));
        assert_eq!(strip(SetKind::SetJson, r#"milvus.a={"x":[1,2]},other=3"#).as_deref(), Some(r#"a={"x":[1,2]}"#));
        assert_eq!(strip(SetKind::SetJson, r#"{"milvus":{"a":1},"b":2}"#).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(strip(SetKind::Set, "other=1"), None);
        assert_eq!(strip_set(SetKind::Set, r"my\.db.a=1", "my.db").as_deref(), Some("a=1"));
    }

    #[test]
    fn the_highest_layer_that_says_a_switch_decides() {
        let layers = [layer("milvus: {enabled: true}\n"), set(SetKind::Set, "milvus.enabled=false")];
        assert_eq!(said(&layers, "milvus.enabled"), Said::Value(Value::Bool(false)));
        assert_eq!(said(&[set(SetKind::SetString, "a=true")], "a"), Said::Value(Value::String("true".into())));
    }
}
