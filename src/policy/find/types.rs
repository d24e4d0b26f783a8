//! Find kinds `wrong_types` and `dependency_images`: user values that contradict what the chart expects.

use super::Hit;
use super::changed_values::quantity;
use super::paths::printed;
use crate::model::catalogue::Catalogue;
use crate::model::value::{Node, Value};
use crate::policy::answer::Answer;
use crate::policy::condition::{ValuePath, ValueType};
use crate::policy::evaluate::type_of;
use crate::policy::facts::{self, Facts, Found};
use crate::policy::format::DependenciesFind;
use crate::policy::place::secret_files;

/// User values whose type or unit the default contradicts.
pub(crate) fn wrong_types(facts: &Facts<'_>) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    let Some(defaults) = after.chart.judged_as().and_then(|chart| Catalogue::embedded().defaults(chart)) else { return Vec::new() };
    let mut hits = Vec::new();
    after.user.for_each_leaf(&mut |path, entry| {
        let value = &entry.node.value;
        if matches!(value, Value::Null | Value::Unknown(_)) {
            return;
        }
        let keys = ValuePath::from(path.to_owned()).keys;
        let Some((expected, found)) = contradiction(&defaults, &keys, value) else { return };
        let place = entry.node.origin.place().or_else(|| entry.key.place());
        hits.push(Hit::at_path(path).with("expected", expected).with("found", found).placed(place));
    });
    hits
}

/// What the default expects and what the user wrote, in words, where they do not fit.
fn contradiction(defaults: &Node, keys: &[String], value: &Value) -> Option<(String, String)> {
    let words = |expected: &str, found: &str| Some((expected.to_owned(), found.to_owned()));
    if is_quantity_path(keys)
        && let Value::String(text) = value
        && !text.contains("{{")
        && quantity(value).is_none()
    {
        return words("a quantity such as 2Gi", "a text that is no quantity");
    }
    let default = match facts::walk(defaults, keys) {
        Found::Entry(entry) => &entry.node.value,
        // A scalar may stand above: then the user's table replaces it.
        Found::Nothing | Found::Unknown => return above(defaults, keys),
    };
    let (expected, found) = (type_of(default), type_of(value));
    let fits = match expected {
        // Nothing is said about the type, or a number may be written as a text.
        ValueType::Null => true,
        ValueType::Text | ValueType::Number => default.as_str().is_some_and(str::is_empty) || !matches!(found, ValueType::List | ValueType::Table),
        ValueType::Bool => found == ValueType::Bool,
        ValueType::List => found == ValueType::List,
        ValueType::Table => found == ValueType::Table,
    };
    if fits { None } else { words(name(expected), name(found)) }
}

fn above(defaults: &Node, keys: &[String]) -> Option<(String, String)> {
    let (_, parents) = keys.split_last()?;
    match facts::walk(defaults, parents) {
        Found::Entry(entry) if type_of(&entry.node.value) == ValueType::Bool => Some((name(ValueType::Bool).to_owned(), name(ValueType::Table).to_owned())),
        _ => None,
    }
}

fn name(of: ValueType) -> &'static str {
    match of {
        ValueType::Null => "nothing",
        ValueType::Bool => "a switch (true or false)",
        ValueType::Number => "a number",
        ValueType::Text => "a text",
        ValueType::List => "a list",
        ValueType::Table => "a table",
    }
}

/// `resources.requests.memory`, `persistence.size` and the like.
fn is_quantity_path(keys: &[String]) -> bool {
    let last = keys.last().map(String::as_str);
    let under_resources = keys.iter().any(|key| key == "resources") && keys.iter().any(|key| key == "requests" || key == "limits");
    (under_resources && matches!(last, Some("memory" | "cpu" | "ephemeral-storage")))
        || (last == Some("size") && keys.iter().any(|key| key.to_ascii_lowercase().contains("persisten")))
}

/// Image tags of dependencies that do not start as those that fit.
pub(crate) fn dependency_images(facts: &Facts<'_>, find: &DependenciesFind) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    let secrets = secret_files(after);
    let defaults = after.chart.judged_as().and_then(|chart| Catalogue::embedded().defaults(chart));
    let mut hits = Vec::new();
    for image in &find.images {
        for path in &image.tags {
            let Found::Entry(entry) = facts::walk(&after.user, &path.keys) else { continue };
            let Some(tag) = entry.node.value.as_str() else { continue };
            let bare = tag.strip_prefix('v').unwrap_or(tag);
            if image.fits.iter().any(|fit| bare.starts_with(fit.as_str())) {
                continue;
            }
            // A name that says no version may be anything.
            let certain = if bare.starts_with(|c: char| c.is_ascii_digit()) || tag.starts_with("RELEASE.") { Answer::Yes } else { Answer::Partly };
            let default = defaults.as_ref().map_or(Found::Nothing, |defaults| facts::walk(defaults, &path.keys));
            let default = match default {
                Found::Entry(entry) => printed(&path.text, &entry.node.value, &entry.node.origin, &[]),
                Found::Nothing | Found::Unknown => "that of the subchart".to_owned(),
            };
            let value = printed(&path.text, &entry.node.value, &entry.node.origin, &secrets);
            let hit =
                Hit::at_path(&path.text).with("dependency", &*image.dependency).with("value", value).with("default", default).placed(entry.node.origin.place());
            hits.push(Hit { certain, ..hit });
        }
    }
    hits
}
