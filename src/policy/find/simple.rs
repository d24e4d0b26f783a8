//! Find kinds that read one state only: user values, settings, components, misplaced keys.

use super::paths::{each_match, printed};
use super::{Hit, MAX_HITS};
use crate::model::catalogue::Catalogue;
use crate::model::declaration::Flag;
use crate::model::value::Value;
use crate::policy::answer::Answer;
use crate::policy::condition::{ComponentIs, ValuePath};
use crate::policy::evaluate::component_fits;
use crate::policy::facts::{Facts, Found, values_equal, walk};
use crate::policy::format::{FlagsFind, Paths};
use crate::policy::place::{flag_label, word};

/// User values at the given paths.
pub(crate) fn user_values(facts: &Facts<'_>, paths: &Paths) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    let defaults = after.chart.judged_as().and_then(|chart| Catalogue::embedded().defaults(chart));
    let is_default =
        |path: &str, value: &Value| match defaults.as_ref().map_or(Found::Nothing, |defaults| walk(defaults, &ValuePath::from(path.to_owned()).keys)) {
            Found::Entry(default) => values_equal(value, &default.node.value) == Some(true),
            Found::Nothing | Found::Unknown => value.truthy() == Some(false),
        };
    let mut hits = Vec::new();
    for pattern in &paths.paths {
        each_match(&after.user, pattern, &mut |path, entry| {
            // Null takes a value away, it sets none.
            if hits.len() >= MAX_HITS || entry.node.value == Value::Null {
                return;
            }
            let place = entry.node.origin.place().or_else(|| entry.key.place());
            let key = path.rsplit_once('.').map_or(path, |(_, key)| key).to_owned();
            let value = printed(path, &entry.node.value, &entry.node.origin);
            let top = path.split('.').next().unwrap_or(path);
            let is_default = if is_default(path, &entry.node.value) { "yes" } else { "no" };
            hits.push(Hit::at_path(path).with("key", key).with("value", value).with("top", top).with("is_default", is_default).placed(place));
        });
    }
    hits
}

/// Settings of the applying tool.
pub(crate) fn flags(facts: &Facts<'_>, find: &FlagsFind) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    let wanted = after.declaration.flags.iter().filter(|flag| find.any_of.contains(&flag.kind));
    let hit = |flag: &Flag| {
        let name = word(flag.kind);
        let value = flag.value.as_deref().unwrap_or("none").chars().take(40).collect::<String>();
        let listed = flag_label(flag.kind, after.declaration.identity.form);
        Hit { listed, ..Hit::new(&*name).with("flag", &*name).with("value", value).placed(Some(&flag.place)) }
    };
    wanted.map(hit).collect()
}

/// Enabled components that fit.
pub(crate) fn components(facts: &Facts<'_>, is: &ComponentIs) -> Vec<Hit> {
    let Some(release) = facts.side(is.side) else { return Vec::new() };
    let mut hits = Vec::new();
    for component in &release.components {
        let certain = component_fits(component, is);
        if certain == Answer::No {
            continue;
        }
        let place = match walk(&release.user, &[component.values_key.to_owned()]) {
            Found::Entry(entry) => entry.key.place().or_else(|| entry.node.origin.place()),
            Found::Nothing | Found::Unknown => None,
        };
        let replicas = component.replicas.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
        let hit = Hit::new(component.values_key).with("component", component.values_key).with("label", component.name).with("replicas", replicas);
        hits.push(Hit { path: Some(component.values_key.to_owned()), certain, ..hit.placed(place) });
    }
    hits
}

/// Keys of an umbrella's values at the wrong level.
pub(crate) fn misplaced(facts: &Facts<'_>) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    after.declaration.misplaced.iter().map(|(path, place)| Hit::at_path(path).placed(Some(place))).collect()
}
