//! What [`next`](super::next) answers: one deed, a wait that says for what and since when, a stop that says why, or that all is done.

use std::fmt;
use std::sync::Arc;

use super::component::{Component, Duty};
use super::observed::{JobKind, Moment, Stamp, Trouble};
use super::orders::{Gate, Refusal};
use crate::model::version::MilvusVersion;

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// One write. Observe again after it, whatever became of it.
    Do(Deed),
    /// Nothing is to be done until something moves.
    Wait(Wait),
    /// Nothing goes on without a person.
    Stop(Stop),
    /// The upgrade is complete, recorded, and nothing of it is left.
    Done(Done),
}

/// A write. Those on objects carry the state that they were decided on; Jobs and fences have names derived from the upgrade, so that a second one cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Marks a workload so that no applier deletes it, or takes the marks off.
    Mark(Component, Stamp, bool),
    /// Notes the present course on a workload. What was decided on it before, by a controller that was frozen meanwhile, is refused from then on.
    Seal(Component, Stamp, u64),
    /// Takes a hold off that has nothing to hold.
    Unhold(Component, Stamp),
    /// Lets the stored template of a dependency run.
    ReleaseDependency(Arc<str>, Stamp),
    /// Lets the stored template run.
    Release(Component, Stamp),
    /// Puts the template that served before back, which the guard's own hold lets through.
    Revert(Component, Stamp),
    /// Deletes the workload.
    Remove(Component, Stamp),
    /// Deletes a workload that never ran and was only kept, once its change was taken back.
    Discard(Component, Stamp),
    /// Remembers the replicas (annotation), then scales to none.
    Stop(Component, Stamp, u32),
    /// Scales to what is remembered, then forgets it.
    Start(Component, Stamp, u32),
    /// Puts the fence up.
    Fence,
    /// Takes the fence away.
    Unfence,
    /// Makes the Job of this attempt.
    Run(JobKind),
    /// Takes the name of the Job of this attempt without running it (`suspend: true`; it counts as failed), so that a controller that was frozen cannot run it later.
    Bar(JobKind),
    /// Notes that the upgrade goes back from here on (`Plan::course`), and why.
    TurnBack(Stalled),
    /// Writes the receipt.
    Record,
}

impl Deed {
    /// The component that it is about.
    #[must_use]
    pub const fn component(&self) -> Option<Component> {
        match self {
            Self::Mark(component, ..)
            | Self::Seal(component, ..)
            | Self::Unhold(component, _)
            | Self::Release(component, _)
            | Self::Revert(component, _)
            | Self::Remove(component, _)
            | Self::Discard(component, _)
            | Self::Stop(component, ..)
            | Self::Start(component, ..) => Some(*component),
            _ => None,
        }
    }
}

/// A wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// For what.
    pub what: Waiting,
    /// Since when, where that is known.
    pub since: Option<Moment>,
    /// When it becomes a stop, if it does.
    pub until: Option<Moment>,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// This controller to see the present course: its view of the plan is old.
    Plan,
    /// The applier to finish writing the change.
    Applier,
    /// The rest of the change: components of the order that are neither held nor at the target.
    Arrival(Vec<Component>),
    /// A dependency to complete.
    Dependency(Arc<str>),
    /// A dependency of which the applier has not taken the change back yet.
    TakenBack(Arc<str>),
    /// A gate of a component.
    Gate {
        /// The component.
        component: Component,
        /// The gate.
        gate: Gate,
        /// What is there and what is missing: `2 of 3 ready`.
        detail: String,
    },
    /// A removed workload's pods to go.
    Gone(Component),
    /// A window to open: when.
    Window(Moment),
    /// A person to approve a step.
    Approval(Component),
    /// All pods of a stopped release to go: how many are left.
    NoPods(u32),
    /// All sessions of a stopped release to end: how many are left.
    NoSessions(usize),
    /// A Job; what it says that it lacks.
    Job(JobKind, Option<Arc<str>>),
}

/// Why nothing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// There is no order for this.
    Refused(Refusal),
    /// Workloads that this version of the guard does not know.
    UnknownComponent(Arc<str>),
    /// A person paused it. Where that leaves a duty undone, which.
    Paused(Option<Duty>),
    /// None of the windows is open, or to come.
    NoWindow,
    /// What must not be released, and why: the rule.
    Blocked(Arc<str>, Arc<str>),
    /// Only a part of the change has arrived: what is missing.
    ChangeIncomplete(Vec<Component>),
    /// Another change was stored over this one: its version, and where.
    AnotherChange(MilvusVersion, Vec<Component>),
    /// A step does not come to its end.
    Stalled(Stalled),
    /// There is no way back from here: the step that closed it, and why.
    NoWayBack(Component, String),
    /// The way back needs a workload that only the applier can bring back.
    NeedsApplier(Vec<Component>),
    /// It went back; what the change stored stays held.
    WentBack,
    /// The migration cannot begin, or cannot go on.
    Migration(MigrationStop),
}

/// A step that does not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stalled {
    /// The component, or nothing for a dependency.
    pub component: Option<Component>,
    /// Why.
    pub why: Why,
    /// Since when nothing moved.
    pub since: Moment,
}

/// Why a step does not come to its end: known deadlocks by name, else the deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Nothing moved for longer than allowed.
    Deadline(Waiting),
    /// Pods of the target template cannot start.
    Pods(Trouble),
    /// Somebody else paused the Deployment: it never rolls out.
    PausedByOther,
    /// It is scaled to none, so no coordinator can become active.
    ScaledToZero,
    /// Pods of the earlier template do not end.
    DrainStuck(u32),
    /// A session is held by a pod that is gone, or by an earlier version whose pods are gone: the standby never takes over.
    SessionStuck(Component),
    /// The later pod waits for the volume or the store that the earlier pod holds.
    SharedStore,
    /// A coordinator that has no standby waits for the session that the earlier one holds.
    HandoverBlocked(Component),
    /// The fence of a migration stands although nothing is stopped for one.
    FenceLeft,
}

/// Why a migration cannot begin, or cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationStop {
    /// The layout cannot be read: why.
    LayoutUnknown(Arc<str>),
    /// There is no metadata below this root path.
    Empty,
    /// The layout cannot be told from its keys.
    Undecided,
    /// Keys of both layouts, and no verified backup of this attempt.
    Mixed,
    /// Sessions cannot be read, so nobody can tell that everything has stopped: why.
    SessionsUnknown(Arc<str>),
    /// Sessions are left although all pods are gone: whose, and when the last pod went.
    SessionLeft(Arc<str>, Moment),
    /// Pods do not end.
    PodsLeft(u32),
    /// The backup failed, or is not what is in etcd.
    Backup(Arc<str>),
    /// A Job takes longer than allowed.
    Overdue(JobKind),
    /// The restore failed; everything stays stopped, the backup is there.
    Restore(Arc<str>),
    /// The migration failed, the metadata is as it was, the version before runs again.
    Failed(Arc<str>),
    /// Pods of the version before run on metadata of the later layout, or the other way round.
    Inconsistent,
    /// Somebody else paused, or left unheld, a workload that would start the version before.
    NotHeld(Component),
}

/// What an upgrade came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What to do where something does not work.
    pub afterwards: Option<String>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan => f.write_str("a fresh view of the upgrade"),
            Self::Applier => f.write_str("the Helm revision to leave its pending state"),
            Self::Arrival(missing) => write!(f, "the rest of the change: {}", names(missing)),
            Self::Dependency(name) => write!(f, "{name} to roll out"),
            Self::TakenBack(name) => write!(
                f,
                "whoever applied the change to take it back from {name}, too, which is still held: once timeouts.arrival has passed since the last write, what {name} says by then is let go, and that is what the change brought where nobody took it back"
            ),
            Self::Gate { component, detail, .. } => write!(f, "{component}: {detail}"),
            Self::Gone(component) => write!(f, "the pods of {component} to go"),
            Self::Window(_) => f.write_str("a maintenance window"),
            Self::Approval(component) => write!(f, "approval of step {component}"),
            Self::NoPods(left) => write!(f, "{left} pods to end"),
            Self::NoSessions(left) => write!(f, "{left} sessions in etcd to end"),
            Self::Job(kind, None) => write!(f, "the {} job", kind.name()),
            Self::Job(kind, Some(lacks)) => write!(f, "the {} job ({lacks})", kind.name()),
        }
    }
}

impl Stop {
    /// A short word for a condition's reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(_) => "NoOrder",
            Self::UnknownComponent(_) => "UnknownComponent",
            Self::Paused(_) => "Paused",
            Self::NoWindow => "NoWindow",
            Self::Blocked(..) => "Blocked",
            Self::ChangeIncomplete(_) => "ChangeIncomplete",
            Self::AnotherChange(..) => "MixedTargets",
            Self::Stalled(stalled) => stalled.why.reason(),
            Self::NoWayBack(..) => "NoWayBack",
            Self::NeedsApplier(_) => "NeedsApplier",
            Self::WentBack => "WentBack",
            Self::Migration(stop) => stop.reason(),
        }
    }
}

impl Why {
    /// A short word for a condition's reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Deadline(_) => "ProgressDeadlineExceeded",
            Self::Pods(Trouble::ImagePull) => "ImagePullFailed",
            Self::Pods(Trouble::Unschedulable) => "Unschedulable",
            Self::Pods(Trouble::Crashing) => "PodsCrash",
            Self::Pods(Trouble::Refused) => "PodsRefused",
            Self::PausedByOther => "PausedByOther",
            Self::ScaledToZero => "ScaledToZero",
            Self::DrainStuck(_) => "DrainStuck",
            Self::SessionStuck(_) => "SessionStuck",
            Self::SharedStore => "SharedStore",
            Self::HandoverBlocked(_) => "HandoverBlocked",
            Self::FenceLeft => "FenceLeft",
        }
    }
}

impl MigrationStop {
    /// A short word for a condition's reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::LayoutUnknown(_) => "LayoutUnknown",
            Self::Empty => "MetadataEmpty",
            Self::Undecided => "LayoutUndecided",
            Self::Mixed => "LayoutMixed",
            Self::SessionsUnknown(_) => "SessionsUnknown",
            Self::SessionLeft(..) => "SessionLeft",
            Self::PodsLeft(_) => "PodsLeft",
            Self::Backup(_) => "BackupFailed",
            Self::Overdue(_) => "JobOverdue",
            Self::Restore(_) => "RestoreFailed",
            Self::Failed(_) => "MigrationFailed",
            Self::Inconsistent => "VersionsAndLayoutDisagree",
            Self::NotHeld(_) => "NotHeld",
        }
    }
}

/// Components in words.
#[must_use]
pub fn names(components: &[Component]) -> String {
    components.iter().map(|component| component.name()).collect::<Vec<_>>().join(", ")
}
