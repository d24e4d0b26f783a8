//! Find kinds `wrong_types` and `dependency_images`: user values that contradict what the chart expects.

use super::changed_values::quantity;
use super::paths::printed;
use super::{Hit, MAX_HITS};
use crate::model::catalogue::Catalogue;
use crate::model::value::{Node, Value, escape_key};
use crate::policy::answer::Answer;
use crate::policy::condition::ValueType;
use crate::policy::evaluate::type_of;
use crate::policy::facts::{self, Facts, Found};
use crate::policy::format::DependenciesFind;

/// User values whose type or unit the default contradicts.
pub(crate) fn wrong_types(facts: &Facts<'_>) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    let Some(defaults) = after.chart.judged_as().and_then(|chart| Catalogue::embedded().defaults(chart)) else { return Vec::new() };
    let mut hits = Vec::new();
    compare(&after.user, Some(&defaults), &mut String::new(), &mut hits);
    hits
}

/// Walks user values and defaults side by side; what has no default is only asked for its unit.
fn compare(user: &Node, default: Option<&Node>, path: &mut String, hits: &mut Vec<Hit>) {
    let Some(table) = user.table() else { return };
    let defaults = default.and_then(Node::table);
    for (key, entry) in &table.entries {
        if hits.len() >= MAX_HITS {
            return;
        }
        let above = path.len();
        if above > 0 {
            path.push('.');
        }
        path.push_str(&escape_key(key));
        let default = defaults.and_then(|defaults| defaults.entries.get(key)).map(|entry| &entry.node);
        let problem = default.and_then(|default| contradiction(&default.value, &entry.node.value)).or_else(|| wrong_unit(path, &entry.node.value));
        match problem {
            Some((expected, found)) => {
                let place = entry.node.origin.place().or_else(|| entry.key.place());
                hits.push(Hit::at_path(path).with("expected", expected).with("found", found).placed(place));
            }
            None => compare(&entry.node, default, path, hits),
        }
        path.truncate(above);
    }
}

/// What the default expects and what the user wrote, in words, where they do not fit.
fn contradiction(default: &Value, value: &Value) -> Option<(&'static str, &'static str)> {
    // Null takes a default away, an empty text is nothing to most templates, and what is templated may be anything.
    if matches!(value, Value::Null | Value::Unknown(_)) || value.as_str() == Some("") {
        return None;
    }
    let (expected, found) = (type_of(default), type_of(value));
    let fits = match expected {
        ValueType::Null => true,
        // `0` and `1` mean what they say to a template, and so does any text but one that reads as no.
        ValueType::Bool => match value {
            Value::String(text) => !["false", "no", "off", "0", "n", "f"].contains(&text.to_ascii_lowercase().as_str()),
            Value::List(_) | Value::Table(_) => false,
            _ => true,
        },
        // A number may be written as a text and a text as a number.
        ValueType::Text | ValueType::Number => default.as_str() == Some("") || !matches!(found, ValueType::List | ValueType::Table),
        ValueType::List => found == ValueType::List,
        ValueType::Table => found == ValueType::Table,
    };
    if fits { None } else { Some((name(expected), name(found))) }
}

/// A quantity that Kubernetes would refuse.
fn wrong_unit(path: &str, value: &Value) -> Option<(&'static str, &'static str)> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    (is_quantity_path(path) && !text.contains("{{") && quantity(value).is_none()).then_some(("a quantity such as 2Gi", "a text that is no quantity"))
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
fn is_quantity_path(path: &str) -> bool {
    let Some((above, last)) = path.rsplit_once('.') else { return false };
    match last {
        "memory" | "cpu" | "ephemeral-storage" => above.ends_with("resources.requests") || above.ends_with("resources.limits"),
        "size" => above.to_ascii_lowercase().contains("persisten"),
        _ => false,
    }
}

/// Image tags of dependencies that do not start as those that fit.
pub(crate) fn dependency_images(facts: &Facts<'_>, find: &DependenciesFind) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
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
                Found::Entry(entry) => printed(&path.text, &entry.node.value, &entry.node.origin),
                Found::Nothing | Found::Unknown => "that of the subchart".to_owned(),
            };
            let value = printed(&path.text, &entry.node.value, &entry.node.origin);
            let hit =
                Hit::at_path(&path.text).with("dependency", &*image.dependency).with("value", value).with("default", default).placed(entry.node.origin.place());
            hits.push(Hit { certain, ..hit });
        }
    }
    hits
}
