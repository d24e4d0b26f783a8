//! Find kind `changed_values`: effective values that differ between before and after.

use std::collections::BTreeSet;

use super::paths::{each_match, printed};
use super::{Hit, MAX_HITS};
use crate::model::release::Release;
use crate::model::value::{Node, Value};
use crate::policy::condition::{SetBy, ValuePath, ValueTree};
use crate::policy::facts::{self, Facts, Found};
use crate::policy::format::ChangedFind;

/// Effective values at the given paths that differ.
pub(crate) fn changed_values(facts: &Facts<'_>, find: &ChangedFind) -> Vec<Hit> {
    let (Some(before), Some(after)) = (facts.before, facts.after) else { return Vec::new() };
    let mut hits: Vec<Hit> = Vec::new();
    for pattern in &find.paths {
        if !pattern.keys.iter().any(|key| key == "*") {
            hits.extend(compare(before, after, find, pattern));
            continue;
        }
        let mut names = BTreeSet::new();
        for tree in [&before.user, &after.user] {
            each_match(tree, pattern, &mut |path, _| {
                if names.len() < 10 * MAX_HITS {
                    names.insert(path.to_owned());
                }
            });
        }
        hits.extend(names.into_iter().filter_map(|name| compare(before, after, find, &ValuePath::from(name))));
    }
    hits.sort_by(|a, b| a.key.cmp(&b.key));
    hits.dedup_by(|a, b| a.key == b.key);
    hits
}

/// Whether both trees share what lies at a path, so that there is nothing to compare: the quick answer for most paths.
fn shared(before: &Node, after: &Node, keys: &[String]) -> bool {
    let (mut before, mut after) = (before, after);
    for key in keys {
        let (Some(one), Some(other)) = (before.table(), after.table()) else { return false };
        if std::ptr::eq(one, other) {
            return true;
        }
        match (one.entries.get(key.as_str()), other.entries.get(key.as_str())) {
            (Some(one), Some(other)) => (before, after) = (&one.node, &other.node),
            _ => return false,
        }
    }
    false
}

fn compare(before: &Release, after: &Release, find: &ChangedFind, path: &ValuePath) -> Option<Hit> {
    if shared(&before.effective, &after.effective, &path.keys) {
        return None;
    }
    let (earlier, later) = (facts::value(before, ValueTree::Effective, path), facts::value(after, ValueTree::Effective, path));
    let differ = match (earlier, later) {
        (Found::Entry(a), Found::Entry(b)) => {
            let (a, b) = (&a.node.value, &b.node.value);
            facts::values_equal(a, b) == Some(false) && !same_quantity(a, b) && !facts::both_empty(a, b)
        }
        (Found::Entry(entry), Found::Nothing) | (Found::Nothing, Found::Entry(entry)) => entry.node.value.truthy() == Some(true),
        _ => false,
    };
    if !differ || !switched_on(before, find, path) || !switched_on(after, find, path) {
        return None;
    }
    let print = |found: Found<'_>| match found {
        Found::Entry(entry) => printed(&path.text, &entry.node.value, &entry.node.origin),
        Found::Nothing | Found::Unknown => "nothing".to_owned(),
    };
    let by = |set_by| match set_by {
        Some(SetBy::User) => "user",
        Some(SetBy::Default) => "default",
        None => "unknown",
    };
    let place = match later {
        Found::Entry(entry) => entry.node.origin.place(),
        Found::Nothing | Found::Unknown => None,
    };
    let (before_value, after_value) = (print(earlier), print(later));
    // Both are kept back: the same words would not tell that they differ.
    let after_value = if before_value == after_value { "another one".to_owned() } else { after_value };
    let listed = format!("`{}` ({before_value} -> {after_value})", path.text);
    let hit = Hit::at_path(&path.text)
        .with("key", path.keys.last().cloned().unwrap_or_default())
        .with("before_value", before_value)
        .with("after_value", after_value)
        .with("change", direction(earlier, later))
        .with("before_set_by", by(facts::set_by(before, &path.keys)))
        .with("after_set_by", by(facts::set_by(after, &path.keys)))
        .placed(place);
    Some(Hit { listed, ..hit })
}

/// Whether the switch that a path hangs on is on; a path without one always is.
fn switched_on(release: &Release, find: &ChangedFind, path: &ValuePath) -> bool {
    find.while_on.iter().filter(|on| path.keys.starts_with(&on.under.keys)).all(|on| match facts::value(release, ValueTree::Effective, &on.switch) {
        Found::Entry(entry) => entry.node.value.truthy() == Some(true),
        Found::Nothing | Found::Unknown => false,
    })
}

fn direction(earlier: Found<'_>, later: Found<'_>) -> &'static str {
    match (earlier, later) {
        (Found::Nothing, _) => "added",
        (_, Found::Nothing) => "removed",
        (Found::Entry(a), Found::Entry(b)) => match (quantity(&a.node.value), quantity(&b.node.value)) {
            (Some(a), Some(b)) if a < b => "grows",
            (Some(a), Some(b)) if a > b => "shrinks",
            _ => match (dated(&a.node.value), dated(&b.node.value)) {
                (Some(a), Some(b)) if a < b => "grows",
                (Some(a), Some(b)) if a > b => "shrinks",
                _ => "differs",
            },
        },
        _ => "differs",
    }
}

/// The same amount in another unit, `10Gi` and `10240Mi`.
fn same_quantity(a: &Value, b: &Value) -> bool {
    quantity(a).zip(quantity(b)).is_some_and(|(a, b)| a.total_cmp(&b).is_eq())
}

/// A tag that begins with its date, as MinIO's do (`RELEASE.2023-03-20T20-16-18Z`): sorts by text.
fn dated(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| text.starts_with("RELEASE.2"))
}

/// A number or a Kubernetes quantity (`10Gi`, `500M`, `2`), in units.
#[must_use]
pub(crate) fn quantity(value: &Value) -> Option<f64> {
    match value {
        #[allow(clippy::cast_precision_loss, reason = "only compared")]
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::String(text) => {
            let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
            let (number, unit) = text.split_at_checked(end)?;
            let (base, power) = match unit {
                "" => (1.0, 0),
                "m" => (0.001, 1),
                "k" => (1000.0, 1),
                "M" => (1000.0, 2),
                "G" => (1000.0, 3),
                "T" => (1000.0, 4),
                "P" => (1000.0, 5),
                "Ki" => (1024.0, 1),
                "Mi" => (1024.0, 2),
                "Gi" => (1024.0, 3),
                "Ti" => (1024.0, 4),
                "Pi" => (1024.0, 5),
                _ => return None,
            };
            Some(number.parse::<f64>().ok()? * f64::powi(base, power))
        }
        _ => None,
    }
}
