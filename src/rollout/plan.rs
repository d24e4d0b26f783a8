//! What is to be done: taken from the `GuardedUpgrade` and from what the controller decided earlier.

use super::component::Component;
use super::observed::Moment;
use super::orders::Pair;

/// What is to be done with a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Versions and topologies of the upgrade; unchanged when it goes back.
    pub pair: Pair,
    /// Forwards, or back.
    pub course: Course,
    /// Counts the changes of course, so that a controller with an old plan does nothing on what a newer one sealed.
    pub epoch: u64,
    /// A person paused it.
    pub is_paused: bool,
    /// Whoever applied the change took it back before anything of it ran, although nothing that is stored tells: a switch at the version that runs.
    pub is_withdrawn: bool,
    /// A person approved that it goes on with a change that has not arrived in full.
    pub takes_partial: bool,
    /// Whether a person lets each step go.
    pub approval: Approval,
    /// When steps may begin; always, where there is none.
    pub windows: Vec<Window>,
    /// What happens when a step fails.
    pub on_failure: OnFailure,
    /// How long things may take.
    pub limits: Limits,
}

impl Plan {
    /// A plan with nothing but defaults.
    #[must_use]
    pub fn new(pair: Pair) -> Self {
        Self {
            pair,
            course: Course::Forwards,
            epoch: 0,
            is_paused: false,
            is_withdrawn: false,
            takes_partial: false,
            approval: Approval::Automatic,
            windows: Vec::new(),
            on_failure: OnFailure::Pause,
            limits: Limits::default(),
        }
    }
}

/// Which way a release goes. Once back, it stays back until a person retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// To the version that is wanted.
    Forwards,
    /// To the version before, in reverse order: an abort (what was let go is taken back, the rest stays held) and a rollback by the applier (the version before is stored again) alike.
    Back,
}

/// Whether a person lets each step go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// No.
    Automatic,
    /// Yes: the step that may begin.
    Manual(Option<Component>),
}

/// When steps may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From then on.
    pub from: Moment,
    /// Until then.
    pub until: Moment,
}

/// What happens when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The rest stays held.
    Pause,
    /// It goes back, where there is a way back.
    Rollback,
}

/// How long things may take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A component, since something of it last moved.
    pub component_seconds: u64,
    /// The arrival of all objects of a change, since the last one was written.
    pub arrival_seconds: u64,
    /// A Job of the migration.
    pub job_seconds: u64,
    /// A session whose pod is gone; etcd ends it after 60 seconds.
    pub session_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { component_seconds: 900, arrival_seconds: 600, job_seconds: 3_600, session_seconds: 180 }
    }
}
