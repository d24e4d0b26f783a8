//! Find kinds that read one state only: user values, settings, components, misplaced keys, gaps.

use std::sync::Arc;

use super::paths::{each_match, printed};
use super::{Hit, MAX_HITS};
use crate::model::catalogue::Catalogue;
use crate::model::declaration::{Declaration, Flag, FlagKind, NotChecked, NotCheckedKind, Operation, ValuesStrategy};
use crate::model::place::Place;
use crate::model::release::Release;
use crate::model::value::Value;
use crate::policy::answer::Answer;
use crate::policy::condition::{ComponentIs, ValuePath};
use crate::policy::evaluate::component_fits;
use crate::policy::facts::{self, Facts, Found, values_equal, walk};
use crate::policy::format::{FlagsFind, GapsFind, Paths};
use crate::policy::place::{flag_label, word};
use crate::policy::render;

/// What is said of kept values that nobody sees, and what to do.
const KEPT: &str = "the values of the running release are kept and are not in sight: the version and the queue that result were not judged, or only as if nothing else were set";
const KEPT_BEFORE: &str = "the command before kept the values of the running release, which are not in sight: the version and the queue that run were not judged, or only as if nothing else were set";
const SHOW_KEPT: &str = "give the values with `-f`, or check with `--before FILE` and what `helm get values` prints";

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

/// That an upgrade keeps, or takes over from one that kept, values of which nothing is known, where the version or the queue depends on them.
fn kept_values(facts: &Facts<'_>) -> Option<NotChecked> {
    let (before, after) = (facts.before?, facts.after?);
    let keeps = |release: &Release| {
        let Declaration { strategy, operation, .. } = &*release.declaration;
        let is_open = release.milvus_assumes.is_some() || !facts::milvus_known(&release.milvus) || release.queue.is_unknown();
        matches!(strategy, ValuesStrategy::ResetThenReuse | ValuesStrategy::KeptByDefault)
            && matches!(operation, Operation::Upgrade | Operation::UpgradeInstall | Operation::Declare)
            && release.keeps_unseen_values()
            && is_open
    };
    let what = if keeps(after) { KEPT } else { KEPT_BEFORE };
    let is_moved = before.chart != after.chart || before.milvus != after.milvus;
    ((keeps(after) || keeps(before)) && is_moved).then(|| {
        let flip = queue_by_default(facts)
            .map_or_else(String::new, |(from, to)| format!("; where they leave the queue to the chart's default, it changes from {from} to {to}"));
        partly(&after.declaration.place, &format!("{what}{flip}; {SHOW_KEPT}"))
    })
}

/// The queues before and after if the running release had no values of its own, in words, where they differ.
fn queue_by_default(facts: &Facts<'_>) -> Option<(String, String)> {
    let nothing_kept = |release: &Release, before: Option<&Release>| {
        let declaration = Declaration { strategy: ValuesStrategy::Replace, ..Declaration::clone(&release.declaration) };
        Release::resolve(Arc::new(declaration), before, &facts.change.environment, Catalogue::embedded())
    };
    let before = nothing_kept(facts.before?, None);
    let after = nothing_kept(facts.after?, Some(&before));
    let (from, to) = (before.queue.known()?, after.queue.known()?);
    ((from.kind, from.server) != (to.kind, to.server)).then(|| (render::queue(&before), render::queue(&after)))
}

fn partly(place: &Place, reason: &str) -> NotChecked {
    NotChecked::at(place.clone(), NotCheckedKind::PartlyChecked, reason)
}

/// Parts that could not be seen.
pub(crate) fn gaps(facts: &Facts<'_>, find: &GapsFind) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    // A tag or version that nothing sets is told as such.
    let open = |flag: &&Flag| matches!(flag.kind, FlagKind::OpenTag | FlagKind::OpenChart);
    let is_told = |gap: &NotChecked| after.declaration.flags.iter().filter(open).any(|flag| gap.place.as_ref() == Some(&flag.place));
    let kept = kept_values(facts);
    let wanted = after.declaration.gaps.iter().chain(&kept).filter(|gap| find.kinds.contains(&gap.kind) && !is_told(gap));
    let hit = |gap: &NotChecked| Hit::new(&*gap.reason).with("reason", &*gap.reason).with("gap", word(gap.kind)).placed(gap.place.as_ref());
    wanted.map(|gap| Hit { listed: "this part".to_owned(), ..hit(gap) }).collect()
}
