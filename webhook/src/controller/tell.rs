//! What people are told of a round: phase, conditions, one line per workload, what is next and what it waits for. Pure.

use milvus_guard::rollout::action::{Stalled, names};
use milvus_guard::rollout::observed::{Hold, Moment, Observed, Template, Workload};
use milvus_guard::rollout::orders::{Order, Step, StepKind};
use milvus_guard::rollout::{Action, Component, Course, Deed, Plan, Stop, Wait, Waiting};

use super::plan::step_to_approve;
use super::status::{Line, Mark, Phase, State, Status, TURN_BACK, cut};
use super::{ReleaseKey, written};

/// What is told of a state in which nothing is carried out.
#[derive(Debug, Clone, Copy)]
pub struct Idle<'t> {
    /// The phase.
    pub phase: Phase,
    /// A word for it.
    pub reason: &'t str,
    /// A sentence.
    pub message: &'t str,
    /// What kind of state it is.
    pub kind: Kind,
    /// What is waited for, if anything.
    pub waiting_for: Option<&'t str>,
}

/// Kinds of states, as `kubectl wait` and Flux tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was wanted is there.
    Ready,
    /// Something goes on, or is waited for.
    Reconciling,
    /// Nothing goes on without a person.
    Stalled,
}

/// Tells a state in which nothing is carried out.
pub fn idle(status: &mut Status, told: &Idle<'_>, now: Moment) {
    let was = status.waiting_for.take();
    status.phase = Some(told.phase);
    status.component = None;
    status.awaits_approval = None;
    status.next_action = None;
    status.message = Some(cut(told.message, 1024));
    status.waiting_for = told.waiting_for.map(|what| cut(what, 512));
    if status.waiting_for != was {
        status.waiting_since = status.waiting_for.is_some().then(|| written(now));
    }
    conditions(status, told.kind, told.reason, told.message, now);
}

fn conditions(status: &mut Status, kind: Kind, reason: &str, message: &str, now: Moment) {
    let is = |wanted: Kind| if kind == wanted { "True" } else { "False" };
    status.say("Ready", is(Kind::Ready), reason, message, now);
    for (name, wanted) in [("Reconciling", Kind::Reconciling), ("Stalled", Kind::Stalled)] {
        if kind == wanted { status.say(name, "True", reason, message, now) } else { status.unsay(name) }
    }
}

/// An upgrade, and what is due in it.
#[derive(Debug, Clone, Copy)]
pub struct Round<'r> {
    /// The release.
    pub release: &'r ReleaseKey,
    /// Whether a person asks for the way back (`spec.abort`).
    pub is_aborted: bool,
    /// The plan.
    pub plan: &'r Plan,
    /// The order that is followed.
    pub order: Option<&'r Order>,
    /// What is observed.
    pub observed: &'r Observed,
    /// What is due.
    pub action: &'r Action,
    /// Now.
    pub now: Moment,
}

/// Tells a round of an upgrade.
pub fn round(status: &mut Status, round: &Round<'_>) {
    let now = round.now;
    let lines = lines(status, round);
    let states = |lines: &[Line]| lines.iter().map(|line| (line.name.clone(), line.state)).collect::<Vec<_>>();
    if status.is_begun() && states(&lines) != states(&status.components) {
        status.last_progress_at = Some(written(now));
    }
    status.components = lines;
    let (reason, message, kind) = sentence(status, round);
    let was = status.waiting_for.take();
    status.phase = Some(phase(status, round));
    status.component = component(round.action).map(|component| component.name().to_owned());
    status.awaits_approval = None;
    status.next_action = None;
    status.message = Some(cut(&message, 1024));
    match round.action {
        Action::Do(deed) => status.next_action = Some(cut(&words(deed), 512)),
        Action::Wait(wait) => {
            status.waiting_for = Some(cut(&wait.what.to_string(), 512));
            if let Waiting::Approval(component) = wait.what {
                status.awaits_approval = Some(step_to_approve(round.plan.pair.to, component, status));
                // What is approved lets go of them, too, and first.
                let store = round.observed.dependencies.iter().find(|(_, dependency)| dependency.hold == Hold::Held);
                status.next_action = store.map(|(name, _)| cut(&format!("release {name}, and then {component}"), 512));
            }
        }
        Action::Stop(_) | Action::Done(_) => {}
    }
    if status.waiting_for.is_none() {
        status.waiting_since = None;
    } else if status.waiting_for != was || status.waiting_since.is_none() {
        let since = if let Action::Wait(Wait { since: Some(since), .. }) = round.action { *since } else { now };
        status.waiting_since = Some(written(since));
    }
    conditions(status, kind, &reason, &message, now);
}

fn phase(status: &Status, round: &Round<'_>) -> Phase {
    let migrates = round.order.is_some_and(|order| order.migration) && round.observed.is_stopped();
    let under_way = match (status.is_begun(), round.plan.course) {
        (false, _) => Phase::Held,
        (true, _) if migrates => Phase::Migrating,
        (true, Course::Forwards) => Phase::Running,
        (true, Course::Back) => Phase::RollingBack,
    };
    match round.action {
        Action::Do(_) | Action::Wait(_) => under_way,
        Action::Done(_) => Phase::Completed,
        Action::Stop(Stop::WentBack) => Phase::Aborted,
        Action::Stop(_) if status.is_begun() || matches!(round.action, Action::Stop(Stop::Paused(_))) => Phase::Paused,
        Action::Stop(_) => Phase::Held,
    }
}

fn sentence(status: &Status, round: &Round<'_>) -> (String, String, Kind) {
    let (from, to) = (round.plan.pair.from, round.plan.pair.to);
    let way = match round.plan.course {
        Course::Forwards => format!("from {from} to {to}"),
        Course::Back => format!("back to {from}{}", because(status)),
    };
    match round.action {
        Action::Do(deed) => ("Progressing".into(), format!("{way}: {}", words(deed)), Kind::Reconciling),
        Action::Wait(wait) => (reason_of_wait(&wait.what).into(), format!("{way}: waits for {}", wait.what), Kind::Reconciling),
        Action::Stop(stop) => (stop.reason().into(), explain(status, stop, round), Kind::Stalled),
        Action::Done(done) => {
            let more = done.afterwards.as_ref().map(|more| format!(" {more}")).unwrap_or_default();
            ("Completed".into(), format!("{to} serves on all components.{more}"), Kind::Ready)
        }
    }
}

/// The component that is dealt with.
#[must_use]
pub fn component(action: &Action) -> Option<Component> {
    match action {
        Action::Do(deed) => deed.component(),
        Action::Wait(wait) => match &wait.what {
            Waiting::Gate { component, .. } | Waiting::Gone(component) | Waiting::Approval(component) => Some(*component),
            _ => None,
        },
        Action::Stop(Stop::Stalled(stalled)) => stalled.component,
        Action::Stop(Stop::NoWayBack(component, _)) => Some(*component),
        Action::Stop(_) | Action::Done(_) => None,
    }
}

const fn reason_of_wait(waiting: &Waiting) -> &'static str {
    match waiting {
        Waiting::Plan => "Progressing",
        Waiting::Applier => "HelmPending",
        Waiting::Arrival(_) => "ChangeArriving",
        Waiting::Dependency(_) | Waiting::TakenBack(_) => "AwaitingDependency",
        Waiting::Gate { .. } | Waiting::Gone(_) => "AwaitingGate",
        Waiting::Window(_) => "AwaitingWindow",
        Waiting::Approval(_) => "AwaitingApproval",
        Waiting::NoPods(_) | Waiting::NoSessions(_) => "Stopping",
        Waiting::Job(..) => "AwaitingJob",
    }
}

/// A deed in words.
#[must_use]
pub fn words(deed: &Deed) -> String {
    match deed {
        Deed::Mark(component, _, true) => format!("keep {component} from being deleted"),
        Deed::Mark(component, _, false) => format!("take the marks off {component}"),
        Deed::Seal(component, _, _) => format!("note the present course on {component}"),
        Deed::Unhold(component, _) => format!("take a hold off {component} that holds nothing"),
        Deed::ReleaseDependency(name, _) => format!("release {name}"),
        Deed::Release(component, _) => format!("release {component}"),
        Deed::Revert(component, _) => format!("put {component} back to what served before"),
        Deed::Remove(component, _) => format!("remove {component}"),
        Deed::Discard(component, _) => format!("remove {component}, which never ran and was kept for a change that was taken back"),
        Deed::Stop(component, ..) => format!("stop {component}"),
        Deed::Start(component, ..) => format!("start {component}"),
        Deed::Fence => "put up the fence that keeps pods from starting".into(),
        Deed::Unfence => "take the fence away".into(),
        Deed::Run(kind) => format!("run the {} job", kind.name()),
        Deed::Bar(kind) => format!("bar the {} job", kind.name()),
        Deed::TurnBack(stalled) => format!("{TURN_BACK}{}", failure(stalled)),
        Deed::Record => "write the receipt".into(),
    }
}

/// A word for a deed that was done, for an Event.
#[must_use]
pub const fn word(deed: &Deed) -> &'static str {
    match deed {
        Deed::Mark(..) => "ComponentMarked",
        Deed::Seal(..) => "CourseNoted",
        Deed::Unhold(..) => "HoldTakenOff",
        Deed::ReleaseDependency(..) => "DependencyReleased",
        Deed::Release(..) => "ComponentReleased",
        Deed::Revert(..) => "ComponentReverted",
        Deed::Remove(..) => "ComponentRemoved",
        Deed::Discard(..) => "LeftoverRemoved",
        Deed::Stop(..) => "ComponentStopped",
        Deed::Start(..) => "ComponentStarted",
        Deed::Fence => "FenceUp",
        Deed::Unfence => "FenceGone",
        Deed::Run(_) => "JobMade",
        Deed::Bar(_) => "JobBarred",
        Deed::TurnBack(_) => "TurnedBack",
        Deed::Record => "ReceiptWritten",
    }
}

fn why(why: &milvus_guard::rollout::action::Why) -> String {
    use milvus_guard::rollout::action::Why;
    use milvus_guard::rollout::observed::Trouble;
    match why {
        Why::Deadline(waiting) => format!("nothing moved for longer than allowed while it waited for {waiting}"),
        Why::Pods(Trouble::Refused) => format!("{}: see `kubectl describe` of its ReplicaSet", Trouble::Refused.name()),
        Why::Pods(trouble) => trouble.name().into(),
        Why::PausedByOther => "somebody else paused it: `kubectl rollout resume` it, or undo the pause where it was set".into(),
        Why::ScaledToZero => "it is scaled to 0, so no coordinator can become active: scale it up".into(),
        Why::DrainStuck(left) => format!("{left} earlier pods do not end; `kubectl describe pod` tells what they wait for"),
        Why::SessionStuck(role) => format!("the session of {role} in etcd is held by a pod that is gone"),
        Why::SharedStore => "the new pod waits for the volume or the store that the earlier one holds: set the strategy Recreate".into(),
        Why::HandoverBlocked(role) => format!("the session of {role} is held by the earlier coordinator, and there is no standby"),
        Why::FenceLeft => "the fence of a migration stands although nothing is stopped for one: `milvus-guard cleanup` takes it away".into(),
    }
}

/// That no window is to come, and what to do.
#[must_use]
pub fn no_window(release: &ReleaseKey) -> String {
    let ReleaseKey { namespace, name } = release;
    format!("all of spec.windows are over, and none is to come: write one that is, or take them away (kubectl -n {namespace} edit guardedupgrade {name})")
}

/// What failed, and where.
fn failure(stalled: &Stalled) -> String {
    let who = stalled.component.map_or_else(|| "a dependency".to_owned(), |component| component.to_string());
    format!("{who}: {}", why(&stalled.why))
}

/// Why an upgrade went back by itself, as what follows the words that it did.
fn because(status: &Status) -> String {
    status.failure().map_or_else(String::new, |why| format!(" by itself ({why})"))
}

/// What a person writes so that an upgrade goes forwards again.
const fn forwards(round: &Round<'_>) -> &'static str {
    if round.is_aborted { "set spec.abort to false and raise spec.retry" } else { "raise spec.retry" }
}

fn explain(status: &Status, stop: &Stop, round: &Round<'_>) -> String {
    use milvus_guard::rollout::action::MigrationStop;
    let held = if round.plan.course == Course::Forwards { " The rest stays held." } else { "" };
    match stop {
        Stop::Refused(refusal) => format!("{}: {}", refusal.rule, refusal.reason),
        Stop::UnknownComponent(name) => format!("no order tells when {name} is to be replaced"),
        Stop::Paused(None) => "paused by spec.paused".into(),
        Stop::Paused(Some(duty)) => format!("paused by spec.paused, and meanwhile nothing does the work of the {}: resume it soon", duty.name()),
        Stop::NoWindow => format!("{}.{held}", no_window(round.release)),
        Stop::Blocked(what, why) => format!("{what} is not to be released: {why}"),
        Stop::ChangeIncomplete(missing) if round.plan.takes_partial => format!(
            "the part of the change that has arrived was let go, and it is not complete before the rest is there; missing: {}. Apply the rest; or go back: set spec.abort.",
            names(missing)
        ),
        Stop::AnotherChange(version, components) => {
            let (from, to) = (round.plan.pair.from, round.plan.pair.to);
            format!(
                "{version} is stored on {}, and the change from {from} to {to} has not ended: the two are not mixed. Apply {to} again, and it goes on; or set spec.abort: what has begun goes back to {from}, and then {version} has its turn.",
                names(components)
            )
        }
        Stop::ChangeIncomplete(missing) => {
            let mut lacking = missing.clone();
            lacking.retain(|component| round.observed.lacks(*component, round.plan.pair.before));
            let on_purpose = if lacking.is_empty() {
                String::new()
            } else {
                format!(" The release has no {}: where that is on purpose, accept it, and the upgrade completes without.", names(&lacking))
            };
            format!(
                "only a part of the change has arrived; missing: {}. Apply the rest, or let the part go on its own with spec.acceptPartial (status.change).{on_purpose}",
                names(missing)
            )
        }
        Stop::Stalled(stalled) => {
            format!("{}.{held} To try again, raise spec.retry; to go back, set spec.abort.", failure(stalled))
        }
        Stop::NoWayBack(component, reason) => {
            let (from, to, reason) = (round.plan.pair.from, round.plan.pair.to, reason.trim_end_matches('.'));
            let ReleaseKey { namespace, name } = round.release;
            if round.is_aborted || status.turned_back.is_some() {
                let again = forwards(round);
                format!("there is no way back any more, since {component} began: {reason}. To go on, {again}.")
            } else if status.is_begun() {
                format!("{from} is held, and there is no way back to it, since {component} began: {reason}. To go on, apply {to} again.")
            } else {
                format!(
                    "{from} is held, and there is no way back to it, since {component} began: {reason}. Put back what serves: milvus-guard cleanup -n {namespace} {name} --force, or apply {to} again."
                )
            }
        }
        Stop::NeedsApplier(components) => {
            format!("{} can only be brought back by whoever applies the release: roll it back (`helm rollback`, or the commit)", names(components))
        }
        Stop::WentBack if !round.observed.workloads.values().any(Workload::is_held) => format!("it went back to {}{}", round.plan.pair.from, because(status)),
        Stop::WentBack => format!(
            "it went back to {}{}; what the change stored stays held. Roll the release back; or go forwards again: {}, and apply the change again.",
            round.plan.pair.from,
            because(status),
            forwards(round)
        ),
        Stop::Migration(MigrationStop::LayoutUnknown(why)) => {
            let state = if round.observed.is_stopped() { "Everything stays stopped, and it goes on once it can be read." } else { "Nothing was touched." };
            format!("the metadata has to be migrated, and its layout cannot be read: {why}. {state}")
        }
        Stop::Migration(MigrationStop::SessionsUnknown(why)) => {
            format!("nobody can tell that everything has stopped, since the sessions in etcd cannot be read: {why}")
        }
        Stop::Migration(MigrationStop::Empty) => "there is no metadata below this root path: is it the right one?".into(),
        Stop::Migration(MigrationStop::Undecided) => "the layout of the metadata cannot be told from its keys".into(),
        Stop::Migration(MigrationStop::Mixed) => {
            "there is metadata of both layouts, and no verified backup from before that: nothing is touched. `milvus-guard metadata` looks at it, and puts a backup back that you have".into()
        }
        Stop::Migration(MigrationStop::SessionLeft(owners, since)) => format!(
            "left in etcd although the last pod went at {}: {owners}. End that process, wherever it runs; if it is gone for good, delete the key (etcdctl del). It then goes on by itself.",
            written(*since)
        ),
        Stop::Migration(MigrationStop::PodsLeft(left)) => format!(
            "{left} pods do not end: `kubectl describe pod` tells what they wait for; where their node is gone for good, `kubectl delete pod --force` them. It then goes on by itself."
        ),
        Stop::Migration(MigrationStop::Backup(why)) => format!("the backup failed: {why}"),
        Stop::Migration(MigrationStop::Overdue(kind)) => {
            format!("the {} job takes longer than allowed: `kubectl describe` its pod. Once that has ended, it goes on by itself.", kind.name())
        }
        Stop::Migration(MigrationStop::Restore(why)) => {
            format!("the restore failed: {why}. Everything stays stopped, and the backup is there. Once that is mended, raise spec.retry: it is put back again.")
        }
        Stop::Migration(MigrationStop::Failed(why)) => format!(
            "the migration failed ({why}); the metadata is as it was, and the version before runs again. Once that is mended, raise spec.retry; or roll the release back."
        ),
        Stop::Migration(MigrationStop::Inconsistent) => "pods of one version run on metadata of the other".into(),
        Stop::Migration(MigrationStop::NotHeld(component)) => format!("{component} is not held, and would start the version before on migrated metadata"),
    }
}

fn lines(status: &Status, round: &Round<'_>) -> Vec<Line> {
    let stores = round.observed.dependencies.iter().map(|(name, dependency)| {
        let state = match (&dependency.hold, dependency.is_complete) {
            (Hold::Held | Hold::Blocked(_), _) => State::Held,
            (_, true) => State::Complete,
            (_, false) => State::Released,
        };
        let line = line(status, round, name, state, None, None);
        let known = status.components.iter().find(|known| known.name == line.name && known.state == State::Released);
        let awaited = || known.and_then(|known| known.mark.clone()).unwrap_or_else(|| Mark { reached_at: written(round.now), ..Mark::default() });
        Line { mark: (state == State::Released).then(awaited), ..line }
    });
    let steps = round.order.into_iter().flat_map(|order| &order.steps).filter_map(|step| step_line(status, round, step));
    stores.chain(steps).collect()
}

fn step_line(status: &Status, round: &Round<'_>, step: &Step) -> Option<Line> {
    let known = status.components.iter().find(|line| line.name == step.component.name());
    let before = known.and_then(|line| line.before.clone());
    let Some(workload) = round.observed.workloads.get(&step.component) else {
        let state = match step.kind {
            StepKind::Remove if known.is_some() => State::Removed,
            StepKind::Roll if !step.optional => State::Waiting,
            StepKind::Remove | StepKind::Roll => return None,
        };
        return Some(line(status, round, step.component.name(), state, None, before));
    };
    let mark = mark(status, round, workload, step);
    let before = workload.before.as_ref().map(|template| template.digest.to_string()).or(before);
    let (state, message) = state(round, step, workload);
    let is_failed = matches!(round.action, Action::Stop(Stop::Stalled(stalled)) if stalled.component == Some(step.component));
    let mark = Some(mark).filter(|_| matches!(state, State::Released | State::Complete));
    Some(Line { mark, ..line(status, round, step.component.name(), if is_failed { State::Failed } else { state }, message, before) })
}

/// The nearest that a workload came to its end. Where another number of pods is wanted, what is left counts from then on.
fn mark(status: &Status, round: &Round<'_>, workload: &Workload, step: &Step) -> Mark {
    let target = match round.plan.course {
        Course::Back => workload.before.as_ref().unwrap_or(&workload.stored),
        Course::Forwards => &workload.stored,
    };
    let ready = workload.of(target).map_or(0, |pods| pods.ready);
    let left = workload.wanted.saturating_sub(ready).saturating_add(workload.others(target));
    let known = status.components.iter().find(|line| line.name == step.component.name()).and_then(|line| line.mark.clone());
    match known.filter(|mark| *mark.template == *target.digest) {
        Some(mark) if mark.wanted != workload.wanted => Mark { wanted: workload.wanted, left, ..mark },
        Some(mark) if mark.left <= left => mark,
        _ => Mark { template: target.digest.to_string(), wanted: workload.wanted, left, reached_at: written(round.now) },
    }
}

fn state(round: &Round<'_>, step: &Step, workload: &Workload) -> (State, Option<String>) {
    if step.kind == StepKind::Remove && round.plan.course == Course::Forwards {
        return if workload.is_gone { (State::Released, Some(format!("{} pods end", workload.all_pods()))) } else { (State::Kept, None) };
    }
    let target = match round.plan.course {
        Course::Back => workload.before.as_ref().unwrap_or(&workload.stored),
        Course::Forwards => &workload.stored,
    };
    match &workload.hold {
        Hold::Blocked(why) => (State::Held, Some(why.to_string())),
        Hold::Held if round.plan.course == Course::Forwards => (State::Held, None),
        _ if round.plan.course == Course::Forwards && !workload.stored.is_of(round.plan.pair.to) => (State::Waiting, None),
        _ => progress(workload, target),
    }
}

fn progress(workload: &Workload, target: &Template) -> (State, Option<String>) {
    let ready = workload.of(target).map_or(0, |pods| pods.ready);
    let others = workload.others(target);
    if ready >= workload.wanted && others == 0 && workload.is_seen {
        return (State::Complete, None);
    }
    let left = if others > 0 { format!(", {others} other pods left") } else { String::new() };
    (State::Released, Some(format!("{ready} of {} ready{left}", workload.wanted)))
}

/// A line; the times at which a workload was let go and complete are noted when that is seen for the first time.
fn line(status: &Status, round: &Round<'_>, name: &str, state: State, message: Option<String>, before: Option<String>) -> Line {
    let known = status.components.iter().find(|line| line.name == name);
    let now = status.is_begun().then(|| written(round.now));
    let waited = known.is_some_and(|line| matches!(line.state, State::Held | State::Waiting | State::Kept));
    let is_let_go = matches!(state, State::Released | State::Complete | State::Removed);
    let started = known.and_then(|line| line.started_at.clone()).or_else(|| now.clone().filter(|_| waited && is_let_go));
    let ended = matches!(state, State::Complete | State::Removed);
    let finished = known.and_then(|line| line.finished_at.clone()).filter(|_| ended).or_else(|| now.filter(|_| ended && started.is_some()));
    Line { name: name.to_owned(), state, message: message.map(|message| cut(&message, 512)), before, started_at: started, finished_at: finished, mark: None }
}
