//! Parts that could not be seen: those that readers told of, and those that show only when both states are resolved.

use std::sync::Arc;

use super::Hit;
use crate::model::catalogue::Catalogue;
use crate::model::declaration::{Declaration, Flag, FlagKind, NotChecked, NotCheckedKind, Operation, ValuesStrategy};
use crate::model::place::{Fact, Origin, Place};
use crate::model::release::Release;
use crate::model::value::Value;
use crate::policy::facts::{self, Facts, Found, walk};
use crate::policy::format::GapsFind;
use crate::policy::place::word;
use crate::policy::render;

/// What is said of kept values that nobody sees, and what to do.
const KEPT: &str = "the values of the running release are kept and are not in sight: the version and the queue that result were not judged, or only as if nothing else were set";
const KEPT_BEFORE: &str = "the command before kept the values of the running release, which are not in sight: the version and the queue that run were not judged, or only as if nothing else were set";
const SHOW_KEPT: &str = "give the values with `-f`, or check with `--before FILE` and what `helm get values` prints";
/// A ConfigMap of the user's replaces the configuration that the chart renders.
const CUSTOM: &str = "customConfigMap";

/// Parts that could not be seen.
pub(crate) fn gaps(facts: &Facts<'_>, find: &GapsFind) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    // A tag or version that nothing sets is told as such.
    let open = |flag: &&Flag| matches!(flag.kind, FlagKind::OpenTag | FlagKind::OpenChart);
    let is_told = |gap: &NotChecked| after.declaration.flags.iter().filter(open).any(|flag| gap.place.as_ref() == Some(&flag.place));
    let resolved = resolved(facts);
    let wanted = after.declaration.gaps.iter().chain(&resolved).filter(|gap| find.kinds.contains(&gap.kind) && !is_told(gap));
    let hit = |gap: &NotChecked| Hit::new(&*gap.reason).with("reason", &*gap.reason).with("gap", word(gap.kind)).placed(gap.place.as_ref());
    wanted.map(|gap| Hit { listed: "this part".to_owned(), ..hit(gap) }).collect()
}

/// What no reader can tell: it shows when both states are resolved.
pub(crate) fn resolved(facts: &Facts<'_>) -> Vec<NotChecked> {
    let kept = kept_values(facts);
    // What was kept is the reason why it is not known what ran.
    let before = if kept.is_some() { None } else { unknown_before(facts) };
    kept.into_iter().chain(before).chain(custom_configuration(facts)).collect()
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

/// That a part of the state before is unknown which is known after: no rule that compares them says anything. What is unknown after was told by its reader.
fn unknown_before(facts: &Facts<'_>) -> Option<NotChecked> {
    let (before, after) = (facts.before?, facts.after?);
    // What a version that was given leaves open is told where it is taken.
    if matches!(before.declaration.chart.version.origin(), Some(Origin::Given(_))) {
        return None;
    }
    let chart = match &before.declaration.chart.version {
        Fact::Unknown(..) if facts::chart_known(&after.chart) => after.declaration.chart.version.place(),
        _ => None,
    };
    let mut parts = Vec::new();
    if let Some(place) = chart {
        // All else follows from it.
        parts.push(("the chart version", Some(place)));
    } else {
        let tag = after.image_tag.place().or_else(|| after.declaration.image.place());
        let is_missing = |before: bool, after: bool| before && !after;
        let all = [
            ("the Milvus version", tag, is_missing(!facts::milvus_known(&before.milvus), !facts::milvus_known(&after.milvus))),
            ("the mode", None, is_missing(before.mode.is_none(), after.mode.is_none())),
            ("the message queue", after.queue.place(), is_missing(before.queue.is_unknown(), after.queue.is_unknown())),
            ("the metadata store", after.metadata.place(), is_missing(before.metadata.is_unknown(), after.metadata.is_unknown())),
            ("the object store", after.objects.place(), is_missing(before.objects.is_unknown(), after.objects.is_unknown())),
        ];
        parts.extend(all.into_iter().filter(|(.., is_missing)| *is_missing).map(|(part, place, _)| (part, place)));
    }
    let place = parts.first()?.1.unwrap_or(&after.declaration.place);
    let names: Vec<&str> = parts.iter().map(|(part, _)| *part).collect();
    let (is, it) = if names.len() == 1 { ("is", "it") } else { ("are", "they") };
    let reason = format!(
        "{} before this change {is} not known here: whether {it} may change to what stands here was not checked; give what runs with `--before`",
        names.join(", ")
    );
    Some(partly(place, &reason))
}

/// That the configuration lies in a ConfigMap which replaces that of the chart.
fn custom_configuration(facts: &Facts<'_>) -> Option<NotChecked> {
    let after = facts.after.filter(|after| matches!(after.config.value, Value::Unknown(_)))?;
    let Found::Entry(entry) = walk(&after.user, &[CUSTOM.to_owned()]) else { return None };
    let place = entry.node.origin.place().unwrap_or(&after.declaration.place);
    let is_set = entry.node.value.truthy() == Some(true);
    is_set.then(|| {
        partly(
            place,
            &format!("`{CUSTOM}` replaces the whole configuration of the chart: the queue, etcd's root path and the object store that its ConfigMap names were not checked"),
        )
    })
}

fn partly(place: &Place, reason: &str) -> NotChecked {
    NotChecked::at(place.clone(), NotCheckedKind::PartlyChecked, reason)
}
