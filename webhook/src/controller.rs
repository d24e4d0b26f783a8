//! Carries upgrades out in the cluster: observes a release, asks [`milvus_guard::rollout::next`] what is due, does that one thing, and observes again.
//!
//! Nothing is remembered between two rounds but what the status of a `GuardedUpgrade` and annotations say. Every write carries the state that it was decided on and is refused where that has
//! moved on, so a second controller, or one that was frozen, does no harm: the Lease only saves work.

pub mod act;
pub mod adopt;
pub mod alone;
pub mod caches;
pub mod elsewhere;
pub mod excepted;
#[cfg(test)]
pub(crate) mod fixture;
pub mod flux;
pub mod helm;
#[cfg(test)]
mod imagined;
pub mod kept;
pub mod lease;
pub mod left;
pub mod metrics;
pub mod migration;
pub mod observe;
pub mod plan;
pub mod receipt;
pub mod refused;
pub mod round;
pub mod run;
pub mod seen;
pub mod standby;
pub mod status;
pub mod stores;
pub mod tell;
pub mod turn;
pub mod uninstalled;
pub mod witness;

use jiff::Timestamp;
use milvus_guard::rollout::Moment;

/// Who our writes are by, in `metadata.managedFields`. Nothing of it stays when an upgrade has ended.
pub const FIELD_MANAGER: &str = "milvus-guard-controller";

/// The annotation of a workload: the course that it was last sealed for.
pub const EPOCH_ANNOTATION: &str = "guard.milvus-guard.dev/epoch";

/// The annotation of a `GuardedUpgrade` that the controller made: it may lead it elsewhere when another change is held.
pub const CREATED_ANNOTATION: &str = "guard.milvus-guard.dev/created-by";

/// The annotation of a `GuardedUpgrade`: the version that the controller led it to, for a change that was held. Where `spec.to` is that, nobody has declared it.
pub const LED_TO_ANNOTATION: &str = "guard.milvus-guard.dev/led-to";

/// The annotation by which Helm keeps an object that a revision no longer has.
pub const KEEP: (&str, &str) = ("helm.sh/resource-policy", "keep");

/// A release: its namespace and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseKey {
    /// The namespace.
    pub namespace: std::sync::Arc<str>,
    /// The name.
    pub name: std::sync::Arc<str>,
}

impl std::fmt::Display for ReleaseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Seconds of Unix time.
#[must_use]
pub fn moment(time: Timestamp) -> Moment {
    Moment(u64::try_from(time.as_second()).unwrap_or_default())
}

/// A moment as Kubernetes writes times.
#[must_use]
pub fn written(moment: Moment) -> String {
    let second = i64::try_from(moment.0).unwrap_or(i64::MAX);
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// A time as Kubernetes writes it; nothing where it is none.
#[must_use]
pub fn read_moment(text: &str) -> Option<Moment> {
    text.parse::<Timestamp>().ok().map(moment)
}
