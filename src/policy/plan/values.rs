//! Values that a plan sets, takes away and moves, as dotted paths over the user's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::state;
use crate::model::change::Change;
use crate::model::merge::merge_over;
use crate::model::release::Release;
use crate::model::value::{Node, Table, Value, escape_key, split_path};
use crate::policy::condition::{ValuePath, ValueTree};
use crate::policy::facts::{self, Found};
use crate::policy::tables::Move;

/// Paths and what is set there; null takes the user's value away.
pub(super) type Set = BTreeMap<String, Json>;

/// Values that move, in words.
pub(super) struct Moved {
    /// What is set in their stead, and taken away.
    pub(super) set: Set,
    /// What moves by itself, `path: value to path`.
    pub(super) moves: Vec<String>,
    /// What the user has to decide.
    pub(super) asks: Vec<String>,
}

/// Dotted paths as a table of values; what is taken away is null.
pub(super) fn table_of(set: &Set) -> Table {
    let mut all = Table::default();
    for (path, value) in set {
        let nested = split_path(path).into_iter().rev().fold(value.clone(), |inner, key| serde_json::json!({ key: inner }));
        merge_over(&mut all, &state::table(&nested));
    }
    all
}

/// The user's values with what a plan sets, and without what it takes away.
pub(super) fn applied(user: &Table, set: &Set) -> Table {
    let mut after = user.clone();
    merge_over(&mut after, &table_of(set));
    for path in set.iter().filter(|(_, value)| value.is_null()).map(|(path, _)| split_path(path)) {
        remove(&mut after, &path);
    }
    after
}

fn remove(table: &mut Table, keys: &[String]) {
    match keys {
        [] => {}
        [key] => {
            table.entries.remove(key.as_str());
        }
        [key, below @ ..] => {
            if let Some(Value::Table(inner)) = table.entries.get_mut(key.as_str()).map(|entry| &mut entry.node.value) {
                remove(Arc::make_mut(inner), below);
            }
        }
    }
}

/// A value as JSON; nothing where a part of it is not known.
pub(super) fn json(node: &Node) -> Option<Json> {
    Some(match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(text) => (&**text).into(),
        Value::List(items) => items.iter().map(json).collect::<Option<Vec<_>>>()?.into(),
        Value::Table(table) if table.rest_unknown.is_some() => return None,
        Value::Table(table) => Json::Object(table.entries.iter().map(|(key, entry)| Some((key.to_string(), json(&entry.node)?))).collect::<Option<_>>()?),
        Value::Unknown(_) => return None,
    })
}

/// What of the user's values moves by a row of the table; nothing where none of it is set.
pub(super) fn moved(row: &Move, change: &Change) -> Option<Moved> {
    let after = change.after.as_ref()?;
    let mut moved = Moved { set: Set::new(), moves: Vec::new(), asks: Vec::new() };
    let mut by_key: BTreeMap<String, Vec<(String, Option<Json>)>> = BTreeMap::new();
    for from in &row.from {
        for (key, node) in keys_of(after, from).filter(|(key, _)| !row.stay.contains(key) && is_read(row, after, key)) {
            let path = format!("{}.{}", from.text, escape_key(&key));
            moved.set.insert(path.clone(), Json::Null);
            // What a Secret holds is moved by people.
            let value = if node.origin.secret().is_some() { None } else { json(&node) };
            by_key.entry(key).or_default().push((path, value));
        }
    }
    for (key, said) in by_key {
        let to = format!("{}.{}", row.to.text, escape_key(&key));
        let is_set = matches!(facts::value(after, ValueTree::User, &ValuePath::from(to.clone())), Found::Entry(_));
        let first = said.first().and_then(|(_, value)| value.clone()).filter(|first| said.iter().all(|(_, value)| value.as_ref() == Some(first)));
        let paths = said.iter().map(|(path, _)| format!("`{path}`")).collect::<Vec<_>>().join(", ");
        match first {
            _ if is_set => moved.moves.push(format!("{paths} away, since `{to}` is set")),
            // One replica is what there is anyway.
            Some(Json::Number(one)) if key == "replicas" && one.as_i64() == Some(1) => moved.moves.push(format!("{paths} away")),
            Some(value) if row.keys.contains(&key) => {
                moved.moves.push(format!("{paths} to `{to}` ({value})"));
                moved.set.insert(to, value);
            }
            _ => moved.asks.push(format!("`{to}` ({})", said.iter().map(|(path, value)| was(path, value.as_ref(), row)).collect::<Vec<_>>().join(", "))),
        }
    }
    (!moved.set.is_empty()).then_some(moved)
}

/// Whether a key means something in the table that is read: others are no matter of moving.
fn is_read(row: &Move, after: &Release, key: &str) -> bool {
    let path = ValuePath::from(format!("{}.{}", row.to.text, escape_key(key)));
    row.keys.iter().any(|known| known == key) || matches!(facts::value(after, ValueTree::Effective, &path), Found::Entry(_))
}

/// A path, with its value where that is a setting of which all is known to be harmless.
fn was(path: &str, value: Option<&Json>, row: &Move) -> String {
    let key = path.rsplit('.').next().unwrap_or_default();
    let is_shown = row.keys.iter().any(|known| known == key) || key == "resources";
    match value.filter(|_| is_shown) {
        Some(value) => format!("`{path}` was {value}"),
        None => format!("`{path}`"),
    }
}

fn keys_of<'r>(release: &'r Release, path: &ValuePath) -> impl Iterator<Item = (String, Node)> + use<'r> {
    let table = match facts::value(release, ValueTree::User, path) {
        Found::Entry(entry) => entry.node.table(),
        Found::Nothing | Found::Unknown => None,
    };
    let said = table.into_iter().flat_map(|table| table.entries.iter().filter(|(_, entry)| entry.node.value != Value::Null));
    said.map(|(key, entry)| (key.to_string(), entry.node.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_set_and_taken_away_leaves_the_rest_as_it_is() {
        let user = state::table(&json!({"a": {"b": 1, "c": [2]}, "d": {"e": true}}));
        let set = Set::from([("a.b".to_owned(), Json::Null), ("d.f".to_owned(), json!("x")), ("g.h".to_owned(), json!(3))]);
        let after = applied(&user, &set);
        let after = json(&Node { value: Value::Table(Arc::new(after)), origin: crate::model::place::Origin::ChartDefault });
        assert_eq!(after, Some(json!({"a": {"c": [2]}, "d": {"e": true, "f": "x"}, "g": {"h": 3}})));
    }
}
