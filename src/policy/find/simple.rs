//! Find kinds that read one state only: user values, settings, components, misplaced keys, gaps.

use std::sync::Arc;

use super::paths::{each_match, printed};
use super::{Hit, MAX_HITS};
use crate::model::catalogue::Catalogue;
use crate::model::declaration::{Flag, FlagKind, Hidden, NotChecked, NotCheckedKind, Operation, ValuesStrategy};
use crate::model::place::Place;
use crate::model::value::Value;
use crate::policy::answer::Answer;
use crate::policy::condition::{ComponentIs, ValuePath};
use crate::policy::evaluate::component_fits;
use crate::policy::facts::{self, Facts, Found, values_equal, walk};
use crate::policy::format::{FlagsFind, GapsFind, Paths};
use crate::policy::place::{flag_label, secret_files, word};

/// What is said of kept values that nobody sees.
const KEPT: &str = "the values of the running release are kept and are not in sight: the version and the queue that result were not judged, or only as if nothing else were set; \
    give the values with `-f`, or check with `--before FILE` and what `helm get values` prints";

/// User values at the given paths.
pub(crate) fn user_values(facts: &Facts<'_>, paths: &Paths) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    let secrets = secret_files(after);
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
            let value = printed(path, &entry.node.value, &entry.node.origin, &secrets);
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

/// That an upgrade keeps values of which nothing is known, where the version or the queue that results depends on them.
fn kept_values(facts: &Facts<'_>) -> Option<NotChecked> {
    let (before, after) = (facts.before?, facts.after?);
    let declaration = &after.declaration;
    let is_kept = matches!(declaration.strategy, ValuesStrategy::ResetThenReuse | ValuesStrategy::KeptByDefault)
        && matches!(declaration.operation, Operation::Upgrade | Operation::UpgradeInstall | Operation::Declare)
        && after.keeps_unseen_values();
    let is_moved = before.chart != after.chart || before.milvus != after.milvus;
    let is_open = after.milvus_assumes.is_some() || !facts::milvus_known(&after.milvus) || after.queue.is_unknown();
    (is_kept && is_moved && is_open).then(|| partly(&declaration.place, KEPT))
}

fn partly(place: &Place, reason: &str) -> NotChecked {
    NotChecked { file: Arc::clone(&place.file), place: Some(place.clone()), reason: reason.into(), kind: NotCheckedKind::PartlyChecked, mentions_milvus: true }
}

/// Secrets of which texts change that are never compared by rules.
fn changed_secrets(facts: &Facts<'_>) -> Vec<NotChecked> {
    let (Some(before), Some(after)) = (facts.before, facts.after) else { return Vec::new() };
    let earlier = &before.declaration.hidden;
    let is_changed =
        |hidden: &&Hidden| earlier.iter().any(|earlier| earlier.what == hidden.what) && !earlier.iter().any(|earlier| earlier.digest == hidden.digest);
    let gap = |hidden: &Hidden| {
        let what = &hidden.what;
        partly(
            &hidden.place,
            &format!(
                "values in {what} changed and were not judged, since what a Secret holds is kept back (storage, etcd and queue may move): keep what is no credential in a ConfigMap or in `values`"
            ),
        )
    };
    after.declaration.hidden.iter().filter(is_changed).map(gap).collect()
}

/// Parts that could not be seen.
pub(crate) fn gaps(facts: &Facts<'_>, find: &GapsFind) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    // A tag or version that nothing sets is told as such.
    let open = |flag: &&Flag| matches!(flag.kind, FlagKind::OpenTag | FlagKind::OpenChart);
    let is_told = |gap: &NotChecked| after.declaration.flags.iter().filter(open).any(|flag| gap.place.as_ref() == Some(&flag.place));
    let more: Vec<NotChecked> = kept_values(facts).into_iter().chain(changed_secrets(facts)).collect();
    let wanted = after.declaration.gaps.iter().chain(&more).filter(|gap| find.kinds.contains(&gap.kind) && !is_told(gap));
    let hit = |gap: &NotChecked| Hit::new(&*gap.reason).with("reason", &*gap.reason).with("gap", word(gap.kind)).placed(gap.place.as_ref());
    wanted.map(|gap| Hit { listed: "this part".to_owned(), ..hit(gap) }).collect()
}

#[cfg(test)]
mod tests {
    use crate::model::change::{Change, ChangeKind, Environment};
    use crate::model::declaration::{Declaration, Form};
    use crate::model::place::Position;

    use super::*;

    #[test]
    fn a_secret_that_changes_is_a_gap_and_one_that_stays_or_is_new_is_none() {
        let start = Position { line: 1, column: 1 };
        let place = Place { file: "release.yaml".into(), start, end: start };
        let told = |before: Option<u64>, after: u64| {
            let declare = |digest: Option<u64>| {
                let mut declaration = Declaration::blank(Form::Flux, "", place.clone());
                declaration.hidden = digest.map(|digest| Hidden { what: "Secret mv".into(), digest, place: place.clone() }).into_iter().collect();
                Some(declaration)
            };
            let change = Change::new(declare(before), declare(Some(after)), ChangeKind::Changed, Environment::default(), Catalogue::embedded()).unwrap();
            changed_secrets(&Facts::new(&change)).len()
        };
        assert_eq!([told(Some(1), 2), told(Some(1), 1), told(None, 1)], [1, 0, 0]);
    }
}
