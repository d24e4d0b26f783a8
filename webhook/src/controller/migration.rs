//! What the metadata migration of 2.2 adds to a round: what is observed of it, and the deeds that are its own. All of it is in [`crate::migration`].

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::Client;
use milvus_guard::rollout::Plan;
use milvus_guard::rollout::action::Deed;
use milvus_guard::rollout::observed::{Known, Moment};
use serde_json::Value;

use super::kept::Kept;
use super::left::Left;
use super::observe::{Before, Seen};
use super::seen::Workload;
use super::{FIELD_MANAGER, ReleaseKey, read_moment};
use crate::cluster::text;
use crate::migration::act::{Means, act as carry_out};
pub use crate::migration::observe::Observation;
use crate::migration::observe::{Asked, observe as look};
use crate::migration::{Attempt, Owner, id_of};

/// The migration of a release, as a round looks at it.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations, reason = "a client of the API server has none")]
pub struct Migration<'m> {
    /// A way to the API server.
    pub client: &'m Client,
    /// Where its upgrade is kept.
    pub kept: Kept,
    /// The release.
    pub release: &'m ReleaseKey,
    /// Its `GuardedUpgrade`.
    pub upgrade: &'m Value,
    /// What is seen of it.
    pub seen: &'m Seen,
    /// What is to be done with it.
    pub plan: &'m Plan,
    /// The migration that another `GuardedUpgrade` had begun, and this one goes on with.
    pub began: Option<&'m str>,
    /// Our own image, for Jobs.
    pub image: Option<&'m str>,
}

impl Migration<'_> {
    /// Observes metadata and sessions.
    ///
    /// # Errors
    /// When the API server gave no answer.
    pub async fn observe(&self, now: Moment) -> anyhow::Result<Observation> {
        if self.image.is_none() {
            let why: Arc<str> = "no image of milvus-guard is known to run Jobs with (--image of the controller)".into();
            return Ok(unread(&why));
        }
        let attempt = self.attempt();
        let pods = &self.seen.pods;
        let holder = |session: &crate::metadata::sessions::Session| pods.iter().find(|pod| session.is_held_by(&pod.name, None)).map(|pod| pod.component);
        look(self.client, self.asked(&attempt), holder, now).await
    }

    /// Carries out `Fence`, `Unfence`, `Run` and `Bar`.
    ///
    /// # Errors
    /// Why it could not be done.
    pub async fn act(&self, deed: &Deed) -> anyhow::Result<()> {
        let attempt = self.attempt();
        let names: BTreeSet<String> = self.seen.workloads.iter().map(|workload| workload.label.to_string()).collect();
        let image = self.image.unwrap_or_default();
        carry_out(self.client, self.asked(&attempt), Means { image, names: &names, manager: FIELD_MANAGER }, deed).await
    }

    fn asked<'a>(&'a self, attempt: &'a Attempt) -> Asked<'a> {
        Asked {
            attempt,
            spec: self.upgrade.get("spec").unwrap_or(&Value::Null),
            configurations: self.seen.workloads.iter().map(|workload| workload.configurations.as_slice()).find(|all| !all.is_empty()).unwrap_or_default(),
        }
    }

    /// What stopped workloads remember of it.
    pub fn left(&self, before: &Before) -> Left {
        Left { id: self.id(), pair: self.plan.pair, before: before.clone() }
    }

    fn uid(&self) -> &str {
        text(self.upgrade, "/metadata/uid").unwrap_or_default()
    }

    fn id(&self) -> String {
        self.began.map_or_else(|| id_of(self.uid(), self.plan.pair.from, self.plan.pair.to), str::to_owned)
    }

    /// Each raised `spec.retry` is one more; those of a `GuardedUpgrade` that goes on with another's come after all of that one.
    fn number(&self) -> u32 {
        let retry = self.upgrade.pointer("/spec/retry").and_then(Value::as_u64).and_then(|retry| u32::try_from(retry).ok()).unwrap_or_default();
        let made = || text(self.upgrade, "/metadata/creationTimestamp").and_then(read_moment).and_then(|made| u32::try_from(made.0).ok()).unwrap_or(1);
        self.began.map_or(retry, |_| made().saturating_add(retry))
    }

    /// Whoever deletes the `GuardedUpgrade` must not delete what its Jobs tell. Who acts alone takes what keeps the upgrade away when all is done.
    fn owners(&self) -> Vec<Owner> {
        let mut owners = vec![self.kept.owner(&self.release.name, self.uid())];
        if self.kept == Kept::AsObjects || self.began.is_some() {
            let workload = |workload: &Arc<Workload>| Owner {
                api_version: "apps/v1",
                kind: "Deployment",
                name: workload.name.to_string(),
                uid: workload.stamp.uid.to_string(),
            };
            owners.extend(self.seen.workloads.iter().map(workload));
        }
        owners
    }

    fn attempt(&self) -> Attempt {
        Attempt {
            namespace: self.release.namespace.to_string(),
            release: self.release.name.to_string(),
            id: self.id(),
            owners: self.owners(),
            from: self.plan.pair.from,
            to: self.plan.pair.to,
            number: self.number(),
            job_seconds: self.plan.limits.job_seconds,
        }
    }
}

/// Nothing is known, and nothing that needs it goes on.
#[must_use]
pub fn unread(why: &Arc<str>) -> Observation {
    let mut nothing = Observation { sessions: Known::No(Arc::clone(why)), ..Observation::default() };
    nothing.metadata.layout = Known::No(Arc::clone(why));
    nothing
}
