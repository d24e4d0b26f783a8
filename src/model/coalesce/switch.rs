//! Whether a dependency is enabled: its condition, else its tags (`processDependencyConditions`, `processDependencyTags`).

use super::Dependency;
use crate::model::value::{Lookup, Node, Value};

/// What the condition of a dependency, else its tags, say; nothing where that cannot be known.
pub(super) fn is_enabled(dependency: &Dependency, values: &Node, path: &str) -> Option<bool> {
    for condition in dependency.condition.as_deref().unwrap_or_default().trim().split(',').filter(|condition| !condition.is_empty()) {
        match look_up(values, &format!("{path}{condition}")) {
            Lookup::Found(entry) => {
                if let Value::Bool(enabled) = entry.node.value {
                    return Some(enabled);
                }
            }
            Lookup::Unknown(_) => return None,
            Lookup::Absent => {}
        }
    }
    let (mut any_on, mut any_off, mut any_unknown) = (false, false, false);
    for tag in &dependency.tags {
        match look_up_keys(values, ["tags", tag].into_iter()) {
            Lookup::Found(entry) => match entry.node.value {
                Value::Bool(true) => any_on = true,
                Value::Bool(false) => any_off = true,
                _ => {}
            },
            Lookup::Unknown(_) => any_unknown = true,
            Lookup::Absent => {}
        }
    }
    match (any_on, any_unknown) {
        (true, _) => Some(true),
        (false, true) => None,
        (false, false) => Some(!any_off),
    }
}

/// What stands at a path as Helm's conditions write it: every dot separates.
fn look_up<'v>(values: &'v Node, path: &str) -> Lookup<'v> {
    look_up_keys(values, path.split('.'))
}

fn look_up_keys<'v, 'k>(values: &'v Node, keys: impl Iterator<Item = &'k str>) -> Lookup<'v> {
    let mut node = values;
    let mut found = Lookup::Absent;
    for key in keys {
        let table = match &node.value {
            Value::Table(table) => table,
            Value::Unknown(reason) => return Lookup::Unknown(reason),
            _ => return Lookup::Absent,
        };
        match (table.entries.get(key), &table.rest_unknown) {
            (Some(entry), _) => {
                found = Lookup::Found(entry);
                node = &entry.node;
            }
            (None, Some(reason)) => return Lookup::Unknown(reason),
            (None, None) => return Lookup::Absent,
        }
    }
    match &node.value {
        Value::Unknown(reason) => Lookup::Unknown(reason),
        _ => found,
    }
}
