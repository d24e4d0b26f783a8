//! The status of a `GuardedUpgrade`: what the controller remembers there, and what it tells people.

use std::sync::Arc;

use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::observed::Moment;
use milvus_guard::rollout::{Component, Course, Topology};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::observe::{self, Before, KnownStore, Reached, Stores};
use super::{read_moment, written};

/// How `turned_back` begins where a failure was the reason.
pub const TURN_BACK: &str = "turn back: ";

/// The status of a `GuardedUpgrade`, as its definition has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the definition describes them")]
pub struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milvus: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology_before: Option<Topology>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology_after: Option<Topology>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub course: Option<Way>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turned_back: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helm_revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaits_approval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_away_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_away_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_progress_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// How far an upgrade is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the definition's words")]
pub enum Phase {
    Pending,
    Prepared,
    Held,
    Migrating,
    Running,
    RollingBack,
    Paused,
    Completed,
    Failed,
    Aborted,
}

impl Phase {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Prepared => "Prepared",
            Self::Held => "Held",
            Self::Migrating => "Migrating",
            Self::Running => "Running",
            Self::RollingBack => "RollingBack",
            Self::Paused => "Paused",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Aborted => "Aborted",
        }
    }
}

/// Which way an upgrade goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// To the version that is wanted.
    Forwards,
    /// To the version before.
    Back,
}

impl From<Way> for Course {
    fn from(way: Way) -> Self {
        match way {
            Way::Forwards => Self::Forwards,
            Way::Back => Self::Back,
        }
    }
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Its component, or its name where it is a store or a queue.
    pub name: String,
    /// How far it is.
    pub state: State,
    /// What is to say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The digest of the template that served before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// When it was let go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// How near it came to its end, once it was let go; of a store or a queue, since when it is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

/// The nearest that a workload came to its end. Pods that come, go and come again are no progress, and put no deadline off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The digest of the template that it is to run.
    pub template: String,
    /// Pods that are wanted of it.
    pub wanted: u32,
    /// Pods that were still to become ready or to go.
    pub left: u32,
    /// When it came so near.
    pub reached_at: String,
}

/// How far a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Its change has not arrived.
    Waiting,
    /// Its template waits.
    Held,
    /// Its template was let go.
    Released,
    /// It serves the target template.
    Complete,
    /// It is to be removed, and kept until then.
    Kept,
    /// It was removed.
    Removed,
    /// It does not come to its end.
    Failed,
}

/// A condition, by the conventions that `kubectl wait` and Flux read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A word for it.
    #[serde(default)]
    pub reason: String,
    /// A sentence.
    #[serde(default)]
    pub message: String,
    /// The generation of the object that it was said for.
    #[serde(default)]
    pub observed_generation: i64,
    /// Since when `status` is so.
    #[serde(default)]
    pub last_transition_time: String,
}

impl Status {
    /// The status of an object; an empty one where there is none, or it is not to be read.
    #[must_use]
    pub fn of(upgrade: &Value) -> Self {
        upgrade.get("status").cloned().and_then(|status| serde_json::from_value(status).ok()).unwrap_or_default()
    }

    /// Whether an upgrade was begun and has not ended: what it goes from and to is fixed.
    #[must_use]
    pub const fn is_begun(&self) -> bool {
        self.started_at.is_some() && self.finished_at.is_none()
    }

    /// The version that ran before.
    #[must_use]
    pub fn version_from(&self) -> Option<MilvusVersion> {
        self.from.as_ref()?.parse().ok()
    }

    /// The version that is wanted.
    #[must_use]
    pub fn version_to(&self) -> Option<MilvusVersion> {
        self.to.as_ref()?.parse().ok()
    }

    /// Why it went back by itself, where it did.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.turned_back.as_deref()?.strip_prefix(TURN_BACK)
    }

    /// When this attempt began.
    #[must_use]
    pub fn since(&self) -> Moment {
        self.attempt_at.as_deref().and_then(read_moment).unwrap_or_default()
    }

    /// The templates that served when it began.
    #[must_use]
    pub fn before(&self) -> Before {
        let one = |line: &Line| Some((Component::named(&line.name)?, Arc::from(line.before.as_deref()?)));
        self.components.iter().filter_map(one).collect()
    }

    /// Workloads that were let go, and when they came the nearest to their end.
    #[must_use]
    pub fn reached(&self) -> Reached {
        let one = |line: &Line| {
            let mark = observe::Mark { let_go: read_moment(line.started_at.as_deref()?)?, reached: read_moment(&line.mark.as_ref()?.reached_at)? };
            Some((Component::named(&line.name)?, mark))
        };
        self.components.iter().filter_map(one).collect()
    }

    /// What is remembered of stores and queues.
    #[must_use]
    pub fn stores(&self) -> Stores {
        let awaited = |line: &Line| line.mark.as_ref().filter(|_| line.state == State::Released).and_then(|mark| read_moment(&mark.reached_at));
        let one = |line: &Line| (Arc::from(line.name.as_str()), KnownStore { awaited: awaited(line), was_let_go: line.started_at.is_some() });
        self.components.iter().filter(|line| Component::named(&line.name).is_none()).map(one).collect()
    }

    /// Says that a condition is so; the time moves only when that is another answer than before.
    pub fn say(&mut self, kind: &str, status: &str, reason: &str, message: &str, now: Moment) {
        let generation = self.observed_generation.unwrap_or_default();
        let said = Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: cut(message, 1024),
            observed_generation: generation,
            last_transition_time: written(now),
        };
        match self.conditions.iter_mut().find(|condition| condition.kind == kind) {
            Some(known) => {
                let since = if known.status == status { std::mem::take(&mut known.last_transition_time) } else { said.last_transition_time.clone() };
                *known = Condition { last_transition_time: since, ..said };
            }
            None => self.conditions.push(said),
        }
    }

    /// Takes a condition away.
    pub fn unsay(&mut self, kind: &str) {
        self.conditions.retain(|condition| condition.kind != kind);
    }

    /// A condition.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
}

/// A text of at most so many bytes.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default().to_owned()
}
