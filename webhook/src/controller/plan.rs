//! What is to be done with a release: from its `GuardedUpgrade`, from what the status remembers, and from what runs and is held. Pure.

use std::collections::{BTreeMap, BTreeSet};

use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::observed::{Hold, Moment};
use milvus_guard::rollout::orders::{Order, StepKind};
use milvus_guard::rollout::plan::{Approval, Limits, OnFailure, Window};
use milvus_guard::rollout::{Component, Orders, Pair, Plan, Refusal, Stop, Topology};
use serde_json::Value;

use super::left::Left;
use super::observe::{Before, Seen};
use super::seen::{Workload, believed, epoch_after};
use super::status::{Line, Phase, State, Status, Way};
use super::{read_moment, written};
use crate::admission::hold::HELD_LABEL;
use crate::api;
use crate::cluster::text;

/// Seconds between a change and the answer that it makes no sense, while its objects still arrive.
const SETTLE_SECONDS: u64 = 15;

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Situation {
    /// Nothing: the target serves.
    AtTarget(MilvusVersion),
    /// Nothing: an upgrade was taken back, and nothing of it is left. What runs.
    WentBack(MilvusVersion),
    /// Nothing of the release runs.
    NothingRuns,
    /// Nothing: the change that was declared has not come. What it would remove is to be kept.
    Declared {
        /// What runs.
        from: MilvusVersion,
        /// What is wanted.
        to: MilvusVersion,
        /// What the change may remove.
        removals: BTreeSet<Component>,
    },
    /// Not enough of the change is there to tell what it is: when that becomes an error.
    Arriving(Moment),
    /// It cannot be carried out: a word, and why.
    Stuck(&'static str, String),
    /// Another change is held than the one that is declared, and we may follow it.
    Retarget(MilvusVersion),
    /// An upgrade.
    Upgrade(Box<Upgrade>),
}

/// An upgrade to be carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Upgrade {
    /// What decisions are made from.
    pub plan: Plan,
    /// The templates that served before.
    pub before: Before,
    /// The change that is held.
    pub change: Option<String>,
    /// The migration that another `GuardedUpgrade` had begun, and this one goes on with.
    pub migration: Option<String>,
}

/// Why a switch goes back that was aborted, and still waits.
const ABORTED: &str = "spec.abort is set";

/// Why a switch goes back that whoever applied it took back while it waited.
const WITHDRAWN: &str = "what waited for it was taken back by whoever applied it";

/// What is to be done, and the memory that this asks for: where it differs from the status in course, epoch or attempt, it is to be written first.
#[must_use]
pub fn situation(upgrade: &Value, seen: &Seen, now: Moment) -> (Status, Situation) {
    let mut status = Status::of(upgrade);
    let Some(to) = api::upgrade_to(upgrade).and_then(|to| to.trim().parse::<MilvusVersion>().ok()) else {
        return (status, Situation::Stuck("InvalidTarget", "spec.to is no Milvus version".into()));
    };
    begin_attempt(upgrade, &mut status, now);
    end_pause(upgrade, &mut status, now);
    if status.is_begun() && is_another(&status, seen) {
        forget(&mut status);
    }
    if !status.is_begun()
        && !is_ours(upgrade)
        && let Some(left) = Left::of(seen)
    {
        if left.pair.to != to {
            return (status, Situation::Stuck("TargetDiffers", leads_elsewhere(&left, to)));
        }
        left.take_up(&mut status, now);
    }
    let situation = if status.is_begun() { resume(upgrade, &mut status, seen) } else { begin(upgrade, to, &mut status, seen, now) };
    (status, situation)
}

/// What to say where the migration that a `GuardedUpgrade` which is gone had begun leads elsewhere.
fn leads_elsewhere(left: &Left, to: MilvusVersion) -> String {
    let Pair { from, to: begun, .. } = left.pair;
    format!(
        "the migration of metadata from {from} to {begun} was begun and has not ended, and this GuardedUpgrade leads to {to}: set spec.to to {begun}, and it goes on; with spec.abort: true it goes back"
    )
}

/// A raised `spec.retry` is a new attempt.
fn begin_attempt(upgrade: &Value, status: &mut Status, now: Moment) {
    let wanted = retry(upgrade);
    if wanted > status.attempt.unwrap_or_default() {
        status.attempt = Some(wanted);
        status.attempt_at = Some(written(now));
        if status.turned_back.take().is_some() && !is_aborted(upgrade) {
            turn(status, Way::Forwards);
        }
    }
}

/// A pause that is over counts towards no deadline: all of them begin anew.
fn end_pause(upgrade: &Value, status: &mut Status, now: Moment) {
    let was_paused = status.condition("Stalled").is_some_and(|stalled| stalled.reason == Stop::Paused(None).reason());
    if was_paused && !is_paused(upgrade) {
        status.attempt_at = Some(written(now));
    }
}

/// Sets a course that is another one than before, and counts it.
fn turn(status: &mut Status, way: Way) {
    if status.course.unwrap_or(Way::Forwards) != way {
        status.epoch = Some(epoch_after(status.epoch.unwrap_or_default()));
    }
    status.course = Some(way);
}

/// Forgets an upgrade that has ended, or that another one took the place of, or whose release is gone.
pub(super) fn forget(status: &mut Status) {
    let kept = Status {
        epoch: status.epoch,
        course: status.course,
        attempt: status.attempt,
        attempt_at: status.attempt_at.take(),
        helm_revision: status.helm_revision,
        observed_generation: status.observed_generation,
        conditions: std::mem::take(&mut status.conditions),
        ..Status::default()
    };
    *status = kept;
}

/// Forgets a change, and what was approved of it: the next one to the same version, of another repository or with another setting, is not that.
fn forget_approved(upgrade: &Value, to: MilvusVersion, status: &mut Status) {
    let is_approved = status.to.is_some() && matches!(approval(upgrade, to, status), Approval::Manual(Some(_)));
    forget(status);
    if is_approved {
        status.epoch = Some(epoch_after(status.epoch.unwrap_or_default()));
    }
}

/// Whether another change took the place of the one that was begun, before anything of it ran or after all of it went back.
fn is_another(status: &Status, seen: &Seen) -> bool {
    // What is stopped for a migration has begun, although nothing runs.
    if seen.workloads.iter().any(|workload| workload.stopped.is_some()) {
        return false;
    }
    let (from, to) = (status.version_from(), status.version_to());
    let held: Vec<Option<MilvusVersion>> = seen.held().map(|workload| workload.template.version).collect();
    let runs_before = seen.versions().iter().all(|version| *version == from);
    runs_before && !held.is_empty() && held.iter().all(|version| *version != from && *version != to)
}

/// Goes on with what was begun.
fn resume(upgrade: &Value, status: &mut Status, seen: &Seen) -> Situation {
    let (Some(from), Some(to), Some(before), Some(after)) = (status.version_from(), status.version_to(), status.topology_before, status.topology_after) else {
        return Situation::Stuck(
            "StatusIncomplete",
            "the status does not tell what the upgrade goes from and to; delete the GuardedUpgrade and declare it anew".into(),
        );
    };
    let pair = Pair { from, to, before, after };
    let is_aborted = is_aborted(upgrade) || status.turned_back.is_some();
    let is_back = is_aborted || is_taken_back(upgrade, status, &pair, seen);
    turn(status, if is_back { Way::Back } else { Way::Forwards });
    ready(upgrade, status, pair, status.before(), seen)
}

/// Whether the applier has put the version before back: on all workloads, since some of them may be what we put back ourselves; or where that does not tell, on one that it had let run.
fn is_taken_back(upgrade: &Value, status: &Status, pair: &Pair, seen: &Seen) -> bool {
    let before = status.before();
    let order = Orders::embedded().find(pair).ok();
    let rolls = |component: Component| order.and_then(|order| order.step(component)).is_some_and(|step| step.kind == StepKind::Roll);
    let mut replaced = seen.workloads.iter().filter(|workload| before.contains_key(&workload.component) && rolls(workload.component)).peekable();
    let is_old = |workload: &Workload| before.get(&workload.component) == Some(&workload.template.digest);
    let is_held = |workload: &Workload| matches!(workload.hold, Hold::Held | Hold::Blocked(_));
    let serving = seen.serving_templates();
    let runs_other = |workload: &Workload| serving.get(&workload.component) != Some(&workload.template.digest);
    if pair.from != pair.to && !takes_partial(upgrade, status) {
        // With another setting, it is the version before all the same.
        let is_before = |workload: &Workload| is_old(workload) || workload.template.version == Some(pair.from);
        return replaced.peek().is_some() && replaced.all(|workload| is_before(workload));
    }
    replaced.any(|workload| is_old(workload) && is_held(workload) && runs_other(workload))
}

/// Tells what a change that was not begun is.
fn begin(upgrade: &Value, declared: MilvusVersion, status: &mut Status, seen: &Seen, now: Moment) -> Situation {
    let versions = seen.versions();
    if versions.is_empty() {
        return Situation::NothingRuns;
    }
    let Some(running) = versions.into_iter().collect::<Option<BTreeSet<MilvusVersion>>>() else {
        let names = seen.pods.iter().filter(|pod| pod.version.is_none()).filter_map(|pod| pod.untold.as_deref());
        return Situation::Stuck("VersionUnknown", untold(upgrade, "what runs", names));
    };
    let held: Vec<&Workload> = seen.held().collect();
    // Before anything of it is let go, its stores included.
    if let Some((workload, why)) = held.iter().find_map(|workload| if let Hold::Blocked(why) = &workload.hold { Some((workload, why)) } else { None }) {
        return Situation::Stuck(
            "Blocked",
            format!(
                "{} is not to be released: {why} What is declared or waived for it is taken up by itself; after anything else have it judged again: kubectl -n {} annotate deployments -l {HELD_LABEL} --overwrite kubernetes.io/change-cause=judged-again",
                workload.component, workload.release.namespace
            ),
        );
    }
    let Some(wanted) = held.iter().map(|workload| workload.template.version).collect::<Option<BTreeSet<MilvusVersion>>>() else {
        let names = held.iter().filter(|workload| workload.template.version.is_none()).filter_map(|workload| workload.untold.as_deref());
        return Situation::Stuck("VersionUnknown", untold(upgrade, "what is held", names));
    };
    let mut wanted: Vec<MilvusVersion> = wanted.into_iter().collect();
    // What a change brings beside its own version is of the version that runs: held because an upgrade is open.
    if wanted.len() > 1 {
        wanted.retain(|version| !running.contains(version));
    }
    let from = match running.iter().collect::<Vec<_>>().as_slice() {
        [one] => **one,
        // Some of it runs already: what is not the target is where it came from.
        [one, two] if wanted.first().is_some_and(|wanted| wanted == *one || wanted == *two) || declared == **one || declared == **two => {
            let target = wanted.first().copied().unwrap_or(declared);
            if **one == target { **two } else { **one }
        }
        _ => return Situation::Stuck("MixedVersions", format!("pods of several versions run: {}", list(&running))),
    };
    match wanted.as_slice() {
        [] if running.len() == 1 && from == declared => Situation::AtTarget(declared),
        // The way down that we took up was taken back before any of it ran.
        [] if is_ours(upgrade) && declared < from && seen.workloads.iter().all(|workload| workload.template.version == Some(from)) => Situation::Retarget(from),
        [] => announced(upgrade, status, (from, declared), seen),
        [to] if *to == declared || *to <= from => attempt(upgrade, (from, *to), status, seen, now),
        [to] if is_ours(upgrade) => Situation::Retarget(*to),
        [to] => Situation::Stuck(
            "TargetDiffers",
            format!("the change that is held leads to {to}, this GuardedUpgrade to {declared}: edit spec.to, or bring the change that it declares"),
        ),
        _ => Situation::Stuck(
            "MixedTargets",
            format!("workloads of several versions are held: {}", wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        ),
    }
}

/// That images do not tell their version, and how it is said.
fn untold<'n>(upgrade: &Value, what: &str, names: impl Iterator<Item = &'n str>) -> String {
    let said: BTreeMap<&str, &str> = names.map(|name| (name, "X.Y.Z")).collect();
    let of = |pointer: &str| text(upgrade, pointer).unwrap_or_default();
    let patch = serde_json::json!({"spec": {"imageVersions": said}});
    format!(
        "the image of {what} does not tell its Milvus version ({}). Say which it is: kubectl -n {} patch guardedupgrade {} --type merge -p '{patch}'",
        said.keys().copied().collect::<Vec<_>>().join(", "),
        of("/metadata/namespace"),
        of("/metadata/name")
    )
}

/// A change that was declared and has not come.
fn announced(upgrade: &Value, status: &mut Status, (from, to): (MilvusVersion, MilvusVersion), seen: &Seen) -> Situation {
    let generation = upgrade.pointer("/metadata/generation").and_then(Value::as_i64);
    // What has ended goes back once more only where a store still follows.
    let went_back = status.phase == Some(Phase::Aborted) || (status.phase == Some(Phase::RollingBack) && status.finished_at.is_some());
    if went_back && status.observed_generation == generation {
        return Situation::WentBack(from);
    }
    let Some(before) = Topology::of(&seen.serving().into_iter().collect::<Vec<_>>()) else {
        return Situation::Stuck("NoOrder", unknown_topology("runs").reason);
    };
    let find = |after: Topology| Orders::embedded().find(&Pair { from, to, before, after });
    if !Topology::ALL.into_iter().any(|after| find(after).is_ok()) {
        let refusal = find(before).err().map(|refusal| format!("{}: {}", refusal.rule, refusal.reason));
        return Situation::Stuck("NoOrder", refusal.unwrap_or_default());
    }
    // What was told of this very state stays, or each look would be something new to tell.
    if status.finished_at.is_some() || status.to.is_some() || status.version_from() != Some(from) {
        forget_approved(upgrade, to, status);
    }
    status.from = Some(from.to_string());
    Situation::Declared { from, to, removals: removals(from, to, seen) }
}

/// An upgrade from what runs to what is held, or, where that is the lower version, the way back.
fn attempt(upgrade: &Value, (from, to): (MilvusVersion, MilvusVersion), status: &mut Status, seen: &Seen, now: Moment) -> Situation {
    let descends = to < from;
    let pair = if descends { pair_back(to, from, seen) } else { pair_of(from, to, seen) };
    let pair = match pair {
        Ok(pair) => pair,
        Err(refusal) => {
            let until = seen.written().plus(SETTLE_SECONDS);
            let words = format!("{}: {}", refusal.rule, refusal.reason);
            return if now < until { Situation::Arriving(until) } else { Situation::Stuck("NoOrder", words) };
        }
    };
    let before = if descends {
        seen.workloads
            .iter()
            .filter(|workload| workload.template.version == Some(to))
            .map(|workload| (workload.component, workload.template.digest.clone()))
            .collect()
    } else {
        seen.serving_templates()
    };
    if status.finished_at.is_some() || (status.version_from(), status.version_to()) != (Some(pair.from), Some(pair.to)) {
        forget_approved(upgrade, pair.to, status);
    }
    let is_withdrawn = pair.from == pair.to && {
        status.turned_back = switch_turned_back(upgrade, status, seen).map(str::to_owned);
        status.turned_back.as_deref() == Some(WITHDRAWN)
    };
    turn(status, if descends || is_aborted(upgrade) || is_withdrawn { Way::Back } else { Way::Forwards });
    status.from = Some(pair.from.to_string());
    status.to = Some(pair.to.to_string());
    status.topology_before = Some(pair.before);
    status.topology_after = Some(pair.after);
    ready(upgrade, status, pair, before, seen)
}

/// Why a switch to another kind of coordinator goes back, at the version that runs and before anything of it ran. What is new of it stays when it is taken back, since it was kept, and looks as
/// if it still were to come: so what waits with it is remembered, and where that stores again what serves, it was taken back.
fn switch_turned_back(upgrade: &Value, status: &Status, seen: &Seen) -> Option<&'static str> {
    let serving = seen.serving_templates();
    if seen.held().any(|workload| serving.contains_key(&workload.component)) {
        return is_aborted(upgrade).then_some(ABORTED);
    }
    let before = status.before();
    let is_back = |component: Component| {
        let stored = seen.workload(component).map(|workload| &workload.template.digest);
        stored.is_some() && stored == before.get(&component) && stored == serving.get(&component)
    };
    let waited = |line: &Line| line.state == State::Held && Component::named(&line.name).is_some_and(is_back);
    let is_known = matches!(status.turned_back.as_deref(), Some(ABORTED | WITHDRAWN));
    (is_known || status.components.iter().any(waited)).then_some(WITHDRAWN)
}

/// The pair of an upgrade: what is wanted is told by what was written, and while the rest still arrives, by what is there.
fn pair_of(from: MilvusVersion, to: MilvusVersion, seen: &Seen) -> Result<Pair, Refusal> {
    let before = Topology::of(&seen.serving().into_iter().collect::<Vec<_>>()).ok_or_else(|| unknown_topology("runs"))?;
    let written: Vec<Component> = seen.workloads.iter().filter(|workload| workload.template.version == Some(to)).map(|workload| workload.component).collect();
    let new = |component: Component| seen.held().any(|workload| workload.component == component) && !seen.serving().contains(&component);
    // Where the image stays, what a new kind of coordinator takes over from is still there.
    let replaced = |component: &Component| from == to && new(Component::MixCoord) && component.is_coordinator() && *component != Component::MixCoord;
    let written: Vec<Component> = written.into_iter().filter(|component| !replaced(component)).collect();
    let all: Vec<Component> = seen.workloads.iter().map(|workload| workload.component).collect();
    let afters = [Topology::of(&written), Topology::of(&all), Some(before)];
    let mut refused = None;
    for after in afters.into_iter().flatten() {
        let pair = Pair { from, to, before, after };
        match Orders::embedded().find(&pair) {
            Ok(_) => return Ok(pair),
            Err(refusal) => drop(refused.get_or_insert(refusal)),
        }
    }
    Err(refused.unwrap_or_else(|| unknown_topology("is wanted")))
}

/// The pair of the upgrade that a change to a lower version takes back.
fn pair_back(from: MilvusVersion, to: MilvusVersion, seen: &Seen) -> Result<Pair, Refusal> {
    let after = Topology::of(&seen.serving().into_iter().collect::<Vec<_>>()).ok_or_else(|| unknown_topology("runs"))?;
    let written: Vec<Component> = seen.workloads.iter().filter(|workload| workload.template.version == Some(from)).map(|workload| workload.component).collect();
    let before = Topology::of(&written).unwrap_or(after);
    let pair = Pair { from, to, before, after };
    Orders::embedded().find(&pair).map(|_| pair)
}

fn unknown_topology(what: &str) -> Refusal {
    Refusal { rule: "MV222".into(), reason: format!("The components of what {what} make no topology of Milvus, or two at a time.") }
}

/// What changes of these versions may remove, whatever their topology.
fn removals(from: MilvusVersion, to: MilvusVersion, seen: &Seen) -> BTreeSet<Component> {
    let Some(before) = Topology::of(&seen.serving().into_iter().collect::<Vec<_>>()) else { return BTreeSet::new() };
    let orders = Topology::ALL.into_iter().filter_map(|after| Orders::embedded().find(&Pair { from, to, before, after }).ok());
    let removed = |order: &Order| order.steps.iter().filter(|step| step.kind == StepKind::Remove).map(|step| step.component).collect::<Vec<_>>();
    orders.flat_map(removed).filter(|component| seen.workload(*component).is_some()).collect()
}

fn ready(upgrade: &Value, status: &mut Status, pair: Pair, before: Before, seen: &Seen) -> Situation {
    // An epoch on a workload that the status does not know of: the status was lost.
    let sealed = seen.workloads.iter().map(|workload| workload.epoch).max().unwrap_or_default();
    status.epoch = status.epoch.map(believed);
    if sealed > status.epoch.unwrap_or_default() {
        status.epoch = Some(epoch_after(sealed));
    }
    let change = seen.held().find_map(|workload| workload.change.as_deref().map(str::to_owned)).or_else(|| status.change.clone());
    status.change.clone_from(&change);
    status.order = Orders::embedded().find(&pair).ok().map(|order| order.id.clone());
    let plan = Plan {
        pair,
        course: status.course.unwrap_or(Way::Forwards).into(),
        epoch: status.epoch.unwrap_or_default(),
        is_paused: is_paused(upgrade),
        is_withdrawn: status.turned_back.as_deref() == Some(WITHDRAWN),
        takes_partial: takes_partial(upgrade, status),
        approval: approval(upgrade, pair.to, status),
        windows: windows(upgrade),
        on_failure: if text(upgrade, "/spec/onFailure") == Some("Rollback") { OnFailure::Rollback } else { OnFailure::Pause },
        limits: limits(upgrade),
    };
    Situation::Upgrade(Box::new(Upgrade { plan, before, change, migration: status.migration.clone() }))
}

/// The same upgrade led to another target, without what was said of the change before: that one was given up, accepted or approved, and this one was not.
#[must_use]
pub fn retargeted(upgrade: &Value, to: MilvusVersion) -> Value {
    let mut object = upgrade.clone();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("to".into(), to.to_string().into());
        ["abort", "acceptPartial", "approvedStep"].iter().for_each(|said| drop(spec.remove(*said)));
    }
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(super::LED_TO_ANNOTATION.into(), to.to_string().into());
    }
    object
}

fn is_ours(upgrade: &Value) -> bool {
    crate::cluster::annotation(upgrade, super::CREATED_ANNOTATION).is_some()
}

pub(super) fn is_aborted(upgrade: &Value) -> bool {
    upgrade.pointer("/spec/abort").and_then(Value::as_bool).unwrap_or_default()
}

pub(super) fn is_paused(upgrade: &Value) -> bool {
    upgrade.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or_default()
}

/// Where no window is open: when the next one opens, if any does.
pub(crate) fn closed(upgrade: &Value, now: Moment) -> Option<Option<Moment>> {
    let windows = windows(upgrade);
    let is_open = windows.is_empty() || windows.iter().any(|window| window.from <= now && now < window.until);
    let to_come = |window: &&Window| window.from < window.until && window.from > now;
    (!is_open).then(|| windows.iter().filter(to_come).map(|window| window.from).min())
}

fn retry(upgrade: &Value) -> u32 {
    upgrade.pointer("/spec/retry").and_then(Value::as_u64).map_or(0, |retry| u32::try_from(retry).unwrap_or(u32::MAX))
}

fn takes_partial(upgrade: &Value, status: &Status) -> bool {
    let accepted = text(upgrade, "/spec/acceptPartial");
    accepted.is_some() && accepted == status.change.as_deref()
}

/// What `spec.approvedStep` has to say for a step. What was approved in an attempt, or on a course, counts in that one only.
#[must_use]
pub fn step_to_approve(to: MilvusVersion, component: Component, status: &Status) -> String {
    match u64::from(status.attempt.unwrap_or_default()).saturating_add(status.epoch.unwrap_or_default()) {
        0 => format!("{to}/{component}"),
        later => format!("{to}/{component}#{later}"),
    }
}

fn approval(upgrade: &Value, to: MilvusVersion, status: &Status) -> Approval {
    if text(upgrade, "/spec/approval") != Some("Manual") {
        return Approval::Automatic;
    }
    let approved = text(upgrade, "/spec/approvedStep");
    Approval::Manual(Component::ALL.into_iter().find(|component| approved == Some(step_to_approve(to, *component, status).as_str())))
}

fn windows(upgrade: &Value) -> Vec<Window> {
    let all = upgrade.pointer("/spec/windows").and_then(Value::as_array);
    let one = |window: &Value| Some(Window { from: read_moment(text(window, "/from")?)?, until: read_moment(text(window, "/until")?)? });
    // One that cannot be read admits nothing.
    all.into_iter().flatten().map(|window| one(window).unwrap_or(Window { from: Moment(0), until: Moment(0) })).collect()
}

pub(super) fn limits(upgrade: &Value) -> Limits {
    let usual = Limits::default();
    let seconds = |name: &str, usual: u64| text(upgrade, &format!("/spec/timeouts/{name}")).and_then(seconds).unwrap_or(usual);
    Limits {
        component_seconds: seconds("component", usual.component_seconds),
        arrival_seconds: seconds("arrival", usual.arrival_seconds),
        job_seconds: seconds("migration", usual.job_seconds),
        ..usual
    }
}

/// `1h30m`, `90s`, `1.5m` in whole seconds, rounded up.
fn seconds(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut milliseconds: f64 = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let (factor, length) = [("ms", 1.0), ("s", 1_000.0), ("m", 60_000.0), ("h", 3_600_000.0)]
            .iter()
            .find_map(|(unit, factor)| after.starts_with(unit).then_some((*factor, unit.len())))?;
        milliseconds += number.parse::<f64>().ok()? * factor;
        rest = after.get(length..)?;
    }
    let whole = (milliseconds / 1_000.0).ceil();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds that are checked")]
    (0.0..1e12).contains(&whole).then_some(whole as u64)
}

fn list(versions: &BTreeSet<MilvusVersion>) -> String {
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use milvus_guard::rollout::observed::Observed;
    use milvus_guard::rollout::{Action, Course, Wait, Waiting};
    use serde_json::json;

    use super::super::ReleaseKey;
    use super::super::observe::Reached;
    use super::super::tell::{self, Idle, Kind};

    use super::super::fixture::{MIX, deployment, hold, pod, running, seen, set, upgrade};
    use super::*;

    /// Long after everything was written.
    const LATER: Moment = Moment(4_000_000_000);

    fn into_2_6() -> Vec<Value> {
        let mut objects = running(&MIX, "v2.5.16");
        for component in ["datanode", "mixcoord", "proxy", "querynode", "streamingnode"] {
            hold(&mut objects, component, "v2.6.15");
        }
        objects
    }

    #[test]
    fn an_image_that_tells_no_version_goes_on_once_that_is_said_as_the_message_asks() {
        let mut objects = running(&MIX, "nightly");
        MIX.iter().for_each(|component| hold(&mut objects, component, "build-77"));
        let stuck = |upgrade: &Value, objects: &[Value]| match situation(upgrade, &seen(objects).told(&api::image_versions(upgrade)), LATER).1 {
            Situation::Stuck("VersionUnknown", words) => words,
            other => panic!("{other:?}"),
        };
        // Each message is followed by the letter, with the version in the place that it names.
        let mut declared = upgrade("2.5.22", json!({}));
        for (what, version) in [("what runs", "2.5.16"), ("what is held", "2.5.22")] {
            let words = stuck(&declared, &objects);
            assert!(words.contains(what) && words.contains("kubectl -n db patch guardedupgrade m --type merge -p '"), "{words}");
            let patch = words.rsplit_once(" -p '").unwrap().1.trim_end_matches('\'').replace("X.Y.Z", version);
            json_patch::merge(&mut declared, &serde_json::from_str(&patch).unwrap());
        }
        assert_eq!(declared["spec"]["imageVersions"], json!({"milvusdb/milvus:nightly": "2.5.16", "milvusdb/milvus:build-77": "2.5.22"}));
        let (_, now) = situation(&declared, &seen(&objects).told(&api::image_versions(&declared)), LATER);
        let Situation::Upgrade(upgrade) = now else { panic!("{now:?}") };
        assert_eq!((upgrade.plan.pair.from, upgrade.plan.pair.to), ("2.5.16".parse().unwrap(), "2.5.22".parse().unwrap()));
    }

    fn plan(upgrade: &Value, objects: &[Value]) -> (Status, Upgrade) {
        match situation(upgrade, &seen(objects), LATER) {
            (status, Situation::Upgrade(upgrade)) => (status, *upgrade),
            (_, other) => panic!("{other:?}"),
        }
    }

    /// The same upgrade once its first deed is due.
    fn begun(upgrade: &Value, objects: &[Value]) -> Value {
        let (mut status, carried) = plan(upgrade, objects);
        status.started_at = Some("2026-11-21T20:30:00Z".into());
        let line = |(component, digest): (&Component, &std::sync::Arc<str>)| json!({"name": component.name(), "state": "Held", "before": digest});
        let mut object = upgrade.clone();
        object["status"] = serde_json::to_value(&status).unwrap();
        object["status"]["components"] = carried.before.iter().map(line).collect();
        object
    }

    fn release() -> ReleaseKey {
        ReleaseKey { namespace: "db".into(), name: "m".into() }
    }

    #[test]
    fn a_lower_version_behind_the_door_is_told_without_an_abort() {
        let mut objects = running(&["standalone"], "v2.5.16");
        hold(&mut objects, "standalone", "v2.4.5");
        let declared = upgrade("2.5.16", json!({}));
        let (mut status, mut carried) = plan(&declared, &objects);
        carried.plan.epoch = 0;
        let observed = Observed { workloads: seen(&objects).observe(&carried.before, Moment(0), &Reached::new()), ..Observed::default() };
        let action = milvus_guard::rollout::next(&observed, &carried.plan, Orders::embedded(), LATER);
        let order = Orders::embedded().find(&carried.plan.pair).ok();
        let release = release();
        let mut told = |is_aborted: bool| {
            tell::round(
                &mut status,
                &tell::Round { release: &release, is_aborted, plan: &carried.plan, order, observed: &observed, action: &action, now: LATER },
            );
            status.message.clone().unwrap()
        };
        assert_eq!(
            told(false),
            "2.4.5 is held, and there is no way back to it, since standalone began: Metadata and indexes of a later minor are not read by an earlier one. Put back what serves: milvus-guard cleanup -n db m --force, or apply 2.5.16 again."
        );
        assert!(told(true).ends_with("an earlier one. To go on, set spec.abort to false and raise spec.retry."));
    }

    #[test]
    fn a_pause_counts_towards_no_deadline_of_components_or_stores() {
        let mut objects = running(&MIX, "v2.5.16");
        MIX.iter().for_each(|component| hold(&mut objects, component, "v2.5.22"));
        let mut under_way = begun(&upgrade("2.5.22", json!({})), &objects);
        assert_eq!(situation(&under_way, &seen(&objects), LATER).0.since(), Moment(0));
        let mut paused = Status::of(&under_way);
        paused.say("Stalled", "True", "Paused", "paused by spec.paused", Moment(5));
        under_way["status"] = serde_json::to_value(&paused).unwrap();
        under_way["spec"]["paused"] = json!(true);
        assert_eq!(situation(&under_way, &seen(&objects), LATER).0.since(), Moment(0), "as long as it lasts, there is nothing new to tell");
        under_way["spec"]["paused"] = json!(false);
        let (status, now) = situation(&under_way, &seen(&objects), LATER);
        let Situation::Upgrade(upgrade) = now else { panic!("{now:?}") };
        assert_eq!(seen(&objects).observe(&upgrade.before, status.since(), &status.reached())[&Component::Proxy].moved, LATER);
    }

    #[test]
    fn a_rollback_with_another_setting_goes_back_too() {
        let mut objects = running(&MIX, "v2.5.16");
        MIX.iter().for_each(|component| hold(&mut objects, component, "v2.5.22"));
        let under_way = begun(&upgrade("2.5.22", json!({})), &objects);
        for object in objects.iter_mut().filter(|object| object.pointer("/spec/selector").is_some()) {
            let component = object["spec"]["selector"]["matchLabels"]["component"].as_str().unwrap().to_owned();
            *object = deployment(&component, "v2.5.16");
            object["spec"]["template"]["metadata"]["annotations"] = json!({"another": "value"});
        }
        assert_eq!(plan(&under_way, &objects).1.plan.course, Course::Back);
    }

    fn stuck(upgrade: &Value, objects: &[Value]) -> &'static str {
        match situation(upgrade, &seen(objects), LATER).1 {
            Situation::Stuck(reason, _) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_declared_is_waited_for_and_what_it_may_remove_is_known() {
        let objects = running(&MIX, "v2.5.16");
        let (_, declared) = situation(&upgrade("2.6.15", json!({})), &seen(&objects), LATER);
        let Situation::Declared { removals, .. } = declared else { panic!("{declared:?}") };
        assert_eq!(removals, BTreeSet::from([Component::IndexNode]));
        assert_eq!(situation(&upgrade("v2.5.16", json!({})), &seen(&objects), LATER).1, Situation::AtTarget("2.5.16".parse().unwrap()));
        assert_eq!(situation(&upgrade("2.6.15", json!({})), &seen(&[]), LATER).1, Situation::NothingRuns);
        assert_eq!(stuck(&upgrade("2.6.15", json!({})), &running(&MIX, "v2.4.16")), "NoOrder");
        assert_eq!(stuck(&upgrade("2.6.15", json!({})), &running(&MIX, "latest")), "VersionUnknown");
    }

    #[test]
    fn a_held_change_is_an_upgrade_from_what_runs_to_what_waits() {
        let (status, carried) = plan(&upgrade("2.6.15", json!({})), &into_2_6());
        let pair = carried.plan.pair;
        assert_eq!((pair.before, pair.after), (Topology::MixCoordinator, Topology::Streaming));
        assert_eq!((carried.plan.course, carried.plan.epoch, carried.change.as_deref()), (Course::Forwards, 0, Some("c1")));
        assert_eq!((status.from.as_deref(), status.order.as_deref()), (Some("2.5.16"), Some("into-2-6")));
        assert!(carried.before.contains_key(&Component::MixCoord) && !carried.before.contains_key(&Component::StreamingNode));
    }

    #[test]
    fn a_part_of_a_change_is_no_error_while_the_rest_may_come() {
        let mut objects = running(&MIX, "v2.5.16");
        hold(&mut objects, "mixcoord", "v2.6.15");
        let at = seen(&objects).written();
        let declared = upgrade("2.6.15", json!({}));
        assert!(matches!(situation(&declared, &seen(&objects), at.plus(1)).1, Situation::Arriving(_)));
        assert_eq!(stuck(&declared, &objects), "NoOrder");
        hold(&mut objects, "streamingnode", "v2.6.15");
        assert_eq!(plan(&declared, &objects).1.plan.pair.after, Topology::Streaming);
    }

    #[test]
    fn only_what_we_declared_ourselves_follows_another_change() {
        let mut objects = running(&MIX, "v2.5.16");
        hold(&mut objects, "proxy", "v2.5.23");
        let mut declared = upgrade("2.5.22", json!({}));
        assert_eq!(stuck(&declared, &objects), "TargetDiffers");
        declared["metadata"]["annotations"] = json!({super::super::CREATED_ANNOTATION: "us"});
        assert_eq!(situation(&declared, &seen(&objects), LATER).1, Situation::Retarget("2.5.23".parse().unwrap()));
        hold(&mut objects, "querynode", "v2.5.24");
        assert_eq!(stuck(&declared, &objects), "MixedTargets");
    }

    #[test]
    fn what_was_said_of_a_change_is_not_said_of_the_one_that_takes_its_place() {
        let mut objects = running(&MIX, "v2.5.22");
        MIX.iter().for_each(|component| hold(&mut objects, component, "v2.5.24"));
        let mut declared = upgrade("2.5.26", json!({"phase": "Aborted", "from": "2.5.22", "observedGeneration": 1, "attempt": 2}));
        declared["metadata"]["annotations"] = json!({super::super::CREATED_ANNOTATION: "us"});
        declared["spec"] = json!({"to": "2.5.26", "abort": true, "acceptPartial": "c1", "approvedStep": "2.5.26/mixcoord", "approval": "Manual", "retry": 2,
            "onFailure": "Rollback", "timeouts": {"component": "30m"}});
        let to = "2.5.24".parse().unwrap();
        assert_eq!(situation(&declared, &seen(&objects), LATER).1, Situation::Retarget(to));
        let follows = retargeted(&declared, to);
        // How upgrades go stays; so do attempts, which count on.
        assert!(api::is_by_person(&upgrade("2.5.24", json!({}))) && !api::is_by_person(&follows), "and nobody has said that it is meant");
        assert_eq!(follows["spec"], json!({"to": "2.5.24", "approval": "Manual", "retry": 2, "onFailure": "Rollback", "timeouts": {"component": "30m"}}));
        let (status, carried) = plan(&follows, &objects);
        assert_eq!((carried.plan.course, carried.plan.pair.to, status.attempt), (Course::Forwards, to, Some(2)));
    }

    #[test]
    fn what_was_approved_of_a_change_is_not_approved_of_the_next_one_to_the_same_version() {
        let mut objects = running(&["standalone"], "v2.5.16");
        hold(&mut objects, "standalone", "v2.5.22");
        let mut declared = upgrade("2.5.22", json!({}));
        declared["spec"] = json!({"to": "2.5.22", "approval": "Manual", "approvedStep": "2.5.22/standalone"});
        let approved = |declared: &Value, objects: &[Value]| plan(declared, objects).1.plan.approval;
        let (status, first) = plan(&declared, &objects);
        assert_eq!(first.plan.approval, Approval::Manual(Some(Component::Standalone)));
        let is_anothers = |declared: &Value, objects: &[Value]| {
            let (status, carried) = plan(declared, objects);
            assert_eq!(carried.plan.approval, Approval::Manual(None));
            // It is asked for once more, and counts then.
            let mut anew = declared.clone();
            anew["status"] = serde_json::to_value(&status).unwrap();
            anew["spec"]["approvedStep"] = json!(step_to_approve("2.5.22".parse().unwrap(), Component::Standalone, &status));
            assert_eq!(approved(&anew, objects), Approval::Manual(Some(Component::Standalone)));
        };
        // It has ended, and the same version comes from elsewhere.
        let mut ended = declared.clone();
        ended["status"] = serde_json::to_value(&status).unwrap();
        ended["status"]["startedAt"] = json!("2026-11-21T20:30:00Z");
        ended["status"]["finishedAt"] = json!("2026-11-21T20:31:00Z");
        let mut elsewhere = running(&["standalone"], "v2.5.22");
        hold(&mut elsewhere, "standalone", "v2.5.22");
        elsewhere.last_mut().unwrap()["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.example.com/mine/milvus:v2.5.22");
        is_anothers(&ended, &elsewhere);
        // It was taken back before it began, and another one comes.
        let mut taken_back = declared.clone();
        taken_back["status"] = serde_json::to_value(&status).unwrap();
        let (status, now) = situation(&taken_back, &seen(&running(&["standalone"], "v2.5.16")), LATER);
        assert!(matches!(now, Situation::Declared { .. }));
        taken_back["status"] = serde_json::to_value(&status).unwrap();
        is_anothers(&taken_back, &objects);
    }

    #[test]
    fn what_is_blocked_is_told_before_anything_of_the_change_is_let_go() {
        let mut objects = into_2_6();
        objects.last_mut().unwrap()["metadata"]["annotations"]["guard.milvus-guard.dev/blocked"] = json!("MV405: why.");
        assert_eq!(stuck(&upgrade("2.6.15", json!({})), &objects), "Blocked");
    }

    #[test]
    fn a_lower_version_is_the_way_back_of_the_upgrade_before() {
        let mut objects = running(&MIX, "v2.5.22");
        MIX.iter().for_each(|component| hold(&mut objects, component, "v2.5.16"));
        let (status, carried) = plan(&upgrade("2.5.22", json!({"epoch": 3})), &objects);
        assert_eq!((status.from.as_deref(), status.to.as_deref()), (Some("2.5.16"), Some("2.5.22")));
        assert_eq!((carried.plan.course, carried.plan.epoch), (Course::Back, 4));
        // What serves again is what is stored.
        assert_eq!(carried.before[&Component::Proxy], seen(&objects).workload(Component::Proxy).unwrap().template.digest);
    }

    #[test]
    fn what_was_begun_goes_back_when_a_person_or_the_applier_says_so_and_not_by_our_own_reverts() {
        let mut objects = running(&MIX, "v2.5.16");
        MIX.iter().for_each(|component| hold(&mut objects, component, "v2.5.22"));
        let mut under_way = begun(&upgrade("2.5.22", json!({})), &objects);
        assert_eq!(plan(&under_way, &objects).1.plan.course, Course::Forwards);
        under_way["spec"]["abort"] = json!(true);
        let (status, carried) = plan(&under_way, &objects);
        assert_eq!((carried.plan.course, carried.plan.epoch), (Course::Back, 1));
        under_way["status"] = serde_json::to_value(&status).unwrap();
        // Two are put back; then the person goes on.
        for component in ["indexnode", "mixcoord"] {
            objects.retain(|object| object["metadata"]["name"] != format!("m-milvus-{component}").as_str());
            objects.push(deployment(component, "v2.5.16"));
        }
        under_way["spec"] = json!({"to": "2.5.22", "abort": false, "retry": 1});
        let lines: Vec<Value> = carried.before.iter().map(|(component, digest)| json!({"name": component.name(), "state": "Held", "before": digest})).collect();
        under_way["status"]["components"] = json!(lines);
        let (status, carried) = plan(&under_way, &objects);
        assert_eq!((carried.plan.course, carried.plan.epoch, status.attempt), (Course::Forwards, 2, Some(1)));
        assert_eq!(status.since(), LATER);
        // The applier puts all of it back.
        let stored = running(&MIX, "v2.5.16");
        assert_eq!(plan(&under_way, &stored).1.plan.course, Course::Back);
    }

    #[test]
    fn another_change_over_one_of_which_nothing_runs_takes_its_place() {
        let mut objects = running(&MIX, "v2.5.16");
        MIX.iter().for_each(|component| hold(&mut objects, component, "v2.5.22"));
        let mut under_way = begun(&upgrade("2.5.22", json!({})), &objects);
        MIX.iter().for_each(|component| hold(&mut objects, component, "v2.5.23"));
        under_way["spec"]["to"] = json!("2.5.23");
        let (status, carried) = plan(&under_way, &objects);
        assert_eq!((carried.plan.pair.to, status.started_at), ("2.5.23".parse().unwrap(), None));
        // Where something of it runs, it stays what it is.
        objects.push(set("mixcoord", "v2.5.22", 2));
        objects.push(pod("mixcoord", "v2.5.22", 2));
        assert_eq!(plan(&under_way, &objects).1.plan.pair.to, "2.5.22".parse().unwrap());
    }

    #[test]
    fn another_look_at_the_same_finds_nothing_new_to_tell() {
        let same_again = |declared: &mut Value, objects: &[Value], told: &mut dyn FnMut(&mut Status, Moment)| {
            let mut looks = Vec::new();
            for later in [0, 50, 100] {
                let now = LATER.plus(later);
                let (mut status, _) = situation(declared, &seen(objects), now);
                told(&mut status, now);
                declared["status"] = serde_json::to_value(&status).unwrap();
                looks.push(status);
            }
            assert_eq!(looks[1], looks[2]);
            assert!(looks[0].waiting_since.is_some() && looks[0].waiting_since == looks[2].waiting_since);
        };
        let waits = Idle { phase: Phase::Prepared, reason: "AwaitingChange", message: "it may come", kind: Kind::Reconciling, waiting_for: Some("the change") };
        same_again(&mut upgrade("2.6.15", json!({})), &running(&MIX, "v2.5.16"), &mut |status, now| tell::idle(status, &waits, now));
        let mut declared = upgrade("2.6.15", json!({}));
        let (_, carried) = plan(&declared, &into_2_6());
        let action = Action::Wait(Wait { what: Waiting::Approval(Component::StreamingNode), since: None, until: None });
        let observed = Observed { workloads: seen(&into_2_6()).observe(&carried.before, Moment(0), &Reached::new()), ..Observed::default() };
        let order = Orders::embedded().find(&carried.plan.pair).ok();
        same_again(&mut declared, &into_2_6(), &mut |status, now| {
            tell::round(status, &tell::Round { release: &release(), is_aborted: false, plan: &carried.plan, order, observed: &observed, action: &action, now })
        });
        assert_eq!(declared["status"]["awaitsApproval"], "2.6.15/streamingnode");
        let mix = declared["status"]["components"].as_array().unwrap().iter().find(|line| line["name"] == "mixcoord").unwrap();
        assert_eq!((&mix["state"], mix["before"].as_str()), (&json!("Held"), Some(&*carried.before[&Component::MixCoord])));
    }

    #[test]
    fn an_epoch_that_the_status_does_not_know_is_passed() {
        let mut objects = into_2_6();
        objects.iter_mut().filter(|object| object["metadata"]["name"] == "m-milvus-proxy").for_each(|object| {
            object["metadata"]["annotations"]["guard.milvus-guard.dev/epoch"] = json!("5");
        });
        assert_eq!(plan(&upgrade("2.6.15", json!({})), &objects).1.plan.epoch, 6);
        assert_eq!(plan(&upgrade("2.6.15", json!({"epoch": 5})), &objects).1.plan.epoch, 5);
        // Whatever is written there, and was taken over from there once: what is noted then is believed, so it is noted once.
        for (forged, known) in [("4294967295", json!({})), ("1000000", json!({})), ("3", json!({"epoch": 4_294_967_296_u64}))] {
            objects.iter_mut().filter(|object| object["metadata"]["name"] == "m-milvus-proxy").for_each(|object| {
                object["metadata"]["annotations"]["guard.milvus-guard.dev/epoch"] = json!(forged);
            });
            let epoch = plan(&upgrade("2.6.15", known), &objects).1.plan.epoch;
            objects.iter_mut().filter(|object| object["metadata"]["name"] == "m-milvus-proxy").for_each(|object| {
                object["metadata"]["annotations"]["guard.milvus-guard.dev/epoch"] = json!(epoch.to_string());
            });
            assert_eq!(seen(&objects).workload(Component::Proxy).unwrap().epoch, epoch, "{forged}");
            assert_eq!(plan(&upgrade("2.6.15", json!({"epoch": epoch})), &objects).1.plan.epoch, epoch, "{forged}");
        }
    }

    #[test]
    fn what_people_write_is_read_and_what_cannot_be_read_admits_nothing() {
        let mut declared = upgrade("2.6.15", json!({"change": "c1"}));
        declared["spec"] = json!({"to": "2.6.15", "approval": "Manual", "approvedStep": "2.6.15/mixcoord", "paused": true, "acceptPartial": "c1", "onFailure": "Rollback",
            "timeouts": {"component": "1h30m", "arrival": "1500ms"}, "windows": [{"from": "2026-12-01T02:00:00Z", "until": "2026-12-01T05:00:00Z"}, {"from": "soon", "until": "later"}]});
        let objects = into_2_6();
        let (status, _) = plan(&declared, &objects);
        declared["status"] = serde_json::to_value(&status).unwrap();
        declared["status"]["startedAt"] = json!("2026-11-21T20:30:00Z");
        let plan = plan(&declared, &objects).1.plan;
        assert_eq!(plan.approval, Approval::Manual(Some(Component::MixCoord)));
        assert_eq!((plan.limits.component_seconds, plan.limits.arrival_seconds, plan.limits.job_seconds), (5_400, 2, 3_600));
        assert_eq!((plan.is_paused, plan.takes_partial, plan.on_failure), (true, true, OnFailure::Rollback));
        assert_eq!(plan.windows.len(), 2);
        assert!(plan.windows[1].from >= plan.windows[1].until);
        // Approved for another upgrade.
        declared["spec"]["approvedStep"] = json!("2.5.22/mixcoord");
        let approved = |declared: &Value, status: &Status| approval(declared, "2.6.15".parse().unwrap(), status);
        assert_eq!(approved(&declared, &status), Approval::Manual(None));
        // Approved in an attempt before this one.
        declared["spec"]["approvedStep"] = json!("2.6.15/mixcoord");
        assert_eq!(approved(&declared, &status), Approval::Manual(Some(Component::MixCoord)));
        let again = [Status { attempt: Some(1), ..status.clone() }, Status { epoch: Some(1), ..status }];
        for status in again {
            assert_eq!(approved(&declared, &status), Approval::Manual(None));
            let mut anew = declared.clone();
            anew["spec"]["approvedStep"] = json!(step_to_approve("2.6.15".parse().unwrap(), Component::MixCoord, &status));
            assert_eq!(approved(&anew, &status), Approval::Manual(Some(Component::MixCoord)));
        }
    }
}
