//! One round for one release: look, decide, do one thing, tell.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::Client;
use kube::api::Api;
use kube::runtime::events::{Event, EventType, Recorder};
use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::observed::{Arrival, Hold, Known, Moment, Observed};
use milvus_guard::rollout::orders::{Gate, Order};
use milvus_guard::rollout::{Action, Component, Deed, Orders, Stop, Waiting, next};
use serde_json::Value;

use super::act::{Undone, Writer};
use super::caches::{self, Caches};
use super::elsewhere::Elsewhere;
use super::excepted::Excepted;
use super::kept::{Kept, name_of};
use super::lease::{self, Others};
use super::metrics::Metrics;
use super::migration::Migration;
use super::observe::Seen;
use super::plan::{self, Situation, Upgrade, situation};
use super::seen::{Workload, epoch_after};
use super::status::{Phase, Status, Way};
use super::stores::{self, Due};
use super::tell::{self, Idle, Kind};
use super::{ReleaseKey, adopt, helm, migration, moment, receipt, refused, standby, turn, uninstalled, witness, written};
use crate::admission::opening;
use crate::api;
use crate::cluster::{annotation, text};
use crate::migration::state::Proof;

/// How often a pending Helm revision is looked at: nothing tells when it is done.
const HELM_EVERY: Duration = Duration::from_secs(1);

/// How often Jobs and etcd are looked at while one of them is waited for: no watch tells of either.
const ETCD_EVERY: Duration = Duration::from_secs(2);

/// How often they are looked at where a migration waits for a person, or for an etcd that does not answer.
const ETCD_AFTER_STOP: Duration = Duration::from_secs(15);

/// When to look again after something was judged again: the gates may not know yet what was declared.
const AFTER_ASKING: Duration = Duration::from_secs(2);

/// When to look again after a write whose effect the caches have not seen.
const AFTER_WRITE: Duration = Duration::from_secs(1);

/// Why an upgrade that has ended is not `Ready`: stores and queues follow with a change of their own, or one of them does not become complete.
const FOLLOWS: &str = "AwaitingDependency";

/// The latter.
const OVERDUE: &str = "ProgressDeadlineExceeded";

/// When a release is looked at again, if nothing of it moves before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Only when something moves.
    Never,
    /// After this time.
    After(Duration),
}

impl Again {
    /// After this time, if not before.
    fn at_most(self, longest: Duration) -> Self {
        match self {
            Self::Never => Self::After(longest),
            Self::After(time) => Self::After(time.min(longest)),
        }
    }
}

/// When to try again to write down which version runs, where that was refused.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// What came of having held workloads judged again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    /// There was nothing to judge.
    Nothing,
    /// All of it was judged.
    Judged,
    /// A gate does not know yet what was declared: it is asked again.
    Behind,
    /// The same of something that nothing blocks: nothing is decided before it was judged.
    Unjudged,
}

/// What rounds work with.
#[derive(Clone)]
pub struct Work {
    /// A way to the API server.
    pub client: Client,
    /// What is seen.
    pub caches: Arc<Caches>,
    /// Who writes Events.
    pub recorder: Recorder,
    /// What was found of Helm's revisions.
    pub revisions: Arc<helm::Revisions>,
    /// Who acts on releases from elsewhere.
    pub others: Arc<Others>,
    /// What namespaces waive; nothing where no gate judges what waits.
    pub excepted: Option<Arc<Excepted>>,
    /// Rounds that wait for an etcd.
    pub elsewhere: Arc<Elsewhere>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where upgrades are kept.
    pub kept: Kept,
    /// Our own image, for the Jobs of a migration.
    pub image: Option<Arc<str>>,
    /// Whether this controller may write now.
    pub may_write: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Whether a change arrives as long as Helm's revision is pending; not where that waits for us.
    pub heeds_helm: bool,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Moment + Send + Sync>,
}

/// The time of this machine.
#[must_use]
pub fn wall_clock() -> Moment {
    moment(Timestamp::now())
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}

/// Whether anything of a release may need us; told from the caches alone.
#[must_use]
pub fn needs_a_look(seen: &Seen, upgrade: Option<&caches::Upgrade>) -> bool {
    let is_traced = seen.workloads.iter().any(|workload| workload.is_traced || matches!(workload.hold, Hold::Held | Hold::Blocked(_)))
        || seen.stores.iter().any(|store| store.is_traced || store.hold == Hold::Held);
    upgrade.is_some_and(|upgrade| upgrade.phase.as_deref() != Some("Completed") || upgrade.generation != upgrade.observed) || is_traced
}

impl Work {
    /// One round.
    ///
    /// # Errors
    /// When the API server did not answer, or refused.
    pub async fn round(&self, key: &ReleaseKey) -> anyhow::Result<Again> {
        // First what is cached, then what is read: a plan that is read is never older than a seal that is seen.
        let (all, cached) = self.caches.seen(key);
        // Whoever acts alone looks because it was asked to.
        let needs_a_look = self.kept == Kept::InConfigMaps || needs_a_look(&all, cached.as_deref());
        if !needs_a_look && witness::unwitnessed(&all).is_none() {
            return Ok(Again::Never);
        }
        let upgrade = self.kept.read(&self.client, key).await?;
        let all = upgrade.as_ref().map(api::image_versions).into_iter().fold(all, |all, said| all.told(&said));
        let again = self.witness(key, &all).await;
        if !needs_a_look {
            return Ok(again);
        }
        // What is kept in a ConfigMap is carried out under that Lease itself.
        if self.kept == Kept::AsObjects
            && let Some(other) = self.others.acting(&self.client, key).await?
        {
            return self.leave_to(key, upgrade.as_ref(), &other).await;
        }
        let asked = self.have_judged(key, &all, upgrade.as_ref()).await?;
        match asked {
            Asked::Judged => return Ok(Again::After(AFTER_WRITE)),
            Asked::Unjudged => return Ok(Again::After(AFTER_ASKING)),
            Asked::Nothing | Asked::Behind => {}
        }
        let again = self.look(key, &all, upgrade).await?;
        Ok(if asked == Asked::Behind { again.at_most(AFTER_ASKING) } else { again })
    }

    /// Writes down which version runs, where no receipt tells it. That it was refused hinders nothing else.
    async fn witness(&self, key: &ReleaseKey, all: &Seen) -> Again {
        let Some(unwitnessed) = witness::unwitnessed(all).filter(|_| self.kept == Kept::AsObjects && (self.may_write)()) else { return Again::Never };
        let receipt = unwitnessed.receipt(key, (self.clock)());
        match self.writer(key).make(&receipt).await {
            Ok(()) => {
                tracing::info!(release = %key, version = text(&receipt, "/spec/to"), "runs, and no receipt told of it");
                Again::Never
            }
            Err(error) => {
                tracing::warn!(release = %key, %error, "which version runs was not written down");
                Again::After(AFTER_REFUSAL)
            }
        }
    }

    /// Looks at a release, decides and does.
    async fn look(&self, key: &ReleaseKey, all: &Seen, upgrade: Option<Value>) -> anyhow::Result<Again> {
        let milvus = turn::turn(all, upgrade.as_ref());
        let seen = milvus.as_deref().map_or_else(|| all.clone(), |label| all.of(label));
        let Some(upgrade) = upgrade else { return self.without_upgrade(key, &seen).await };
        if upgrade.pointer("/metadata/deletionTimestamp").is_some() {
            return Ok(Again::Never);
        }
        let milvus = milvus.as_deref();
        let now = (self.clock)();
        let ended = Round { work: self, key, all, milvus, seen: &seen, upgrade: &upgrade, writer: self.writer(key), now }.run().await;
        if let Some(refusal) = ended.as_ref().err().and_then(refused::refusal) {
            let told = self.write_status(key, &upgrade, refused::told(&upgrade, &refusal, now)).await;
            if let Err(error) = told {
                tracing::debug!(release = %key, %error, "the refusal was not written into the status");
            }
        }
        ended
    }

    /// Has what is blocked judged again where something else is declared or waived by now; what is held since something was, as long as nothing of it has begun; and once what may be held for
    /// nothing any more.
    async fn have_judged(&self, key: &ReleaseKey, all: &Seen, upgrade: Option<&Value>) -> anyhow::Result<Asked> {
        let Some(excepted) = &self.excepted else { return Ok(Asked::Nothing) };
        let now = i64::try_from((self.clock)().0).ok().and_then(|second| Timestamp::from_second(second).ok()).unwrap_or_default();
        let judged_for = opening::of_release(upgrade, excepted.of(&key.namespace).as_deref(), now);
        let is_begun = upgrade.is_some_and(|upgrade| Status::of(upgrade).is_begun());
        let stranded = if is_begun { Vec::new() } else { all.stranded() };
        let (due, judged_for): (Vec<&Arc<Workload>>, Option<String>) = if stranded.is_empty() {
            // Whose declaration is gone waits for another one in any case.
            let was_let_through = |workload: &Workload| workload.judged_for.is_some() && (upgrade.is_some() || !workload.is_declared);
            let is_due = |workload: &&Arc<Workload>| match workload.hold {
                Hold::Blocked(_) => true,
                Hold::Held => !is_begun && workload.stopped.is_none() && was_let_through(workload),
                Hold::None | Hold::Foreign => false,
            };
            (all.workloads.iter().filter(is_due).collect(), judged_for)
        } else {
            let serves: Vec<String> = all.versions().into_iter().flatten().map(|version| version.to_string()).collect();
            (stranded, Some(opening::beside(judged_for.as_deref(), &serves.join(","))))
        };
        let mut asked = Asked::Nothing;
        for workload in due.into_iter().filter(|workload| workload.judged_for.as_deref() != judged_for.as_deref()) {
            if !(self.may_write)() {
                return Ok(Asked::Nothing);
            }
            let is_judged = match self.writer(key).have_judged(&workload.name, &workload.stamp, judged_for.as_deref()).await {
                Err(Undone::Stale(_)) => false,
                done => done?,
            };
            tracing::info!(release = %key, workload = &*workload.name, is_judged, "held, and something else is declared, waived or runs by now: judged again");
            asked = asked.max(match (is_judged, &workload.hold) {
                (true, _) => Asked::Judged,
                (false, Hold::Blocked(_)) => Asked::Behind,
                (false, _) => Asked::Unjudged,
            });
        }
        Ok(asked)
    }

    fn writer(&self, key: &ReleaseKey) -> Writer {
        Writer::new(self.client.clone(), Arc::clone(&key.namespace))
    }

    /// A held change that nobody declared: a `GuardedUpgrade` for it, where it needs only an order.
    async fn without_upgrade(&self, key: &ReleaseKey, seen: &Seen) -> anyhow::Result<Again> {
        if seen.held().next().is_none() || self.kept == Kept::InConfigMaps {
            let followed = if self.kept == Kept::AsObjects { self.stores_alone(key, seen, None).await? } else { None };
            return match followed {
                Some(again) => Ok(again),
                None => self.tidy(key, seen).await,
            };
        }
        if !adopt::is_adoptable(seen) {
            return Ok(Again::Never);
        }
        // Whoever began it from a laptop goes on with it there, or declares it: nobody else was told to.
        let laptops = Kept::InConfigMaps.read(&self.client, key).await?;
        if laptops.is_some_and(|laptops| adopt::is_of(seen, &laptops)) {
            return Ok(Again::Never);
        }
        let revision = if seen.is_helms() { self.revisions.newest(&self.client, key, None, seen.written()).await? } else { None };
        let arrival = helm::arrival(revision.as_ref(), seen.written());
        let Some(object) = adopt::adopted(key, seen, &arrival) else {
            return Ok(if matches!(arrival, Arrival::Pending(_)) { Again::After(HELM_EVERY) } else { Again::Never });
        };
        if (self.may_write)() {
            self.writer(key).make(&object).await?;
            tracing::info!(release = %key, to = text(&object, "/spec/to"), "a held change needs only an order: a GuardedUpgrade is made for it");
        }
        Ok(Again::After(AFTER_WRITE))
    }

    /// A change of stores and queues alone: each is let go once the one before it is complete. When to look again; nothing where none is held by itself.
    async fn stores_alone(&self, key: &ReleaseKey, seen: &Seen, known: Option<u64>) -> anyhow::Result<Option<Again>> {
        let now = (self.clock)();
        let arrived = stores::arrived(seen);
        let due = if stores::are_alone(seen) { stores::due(seen, |_| true) } else { Due::Nothing };
        let Due::Next(next) = due else { return Ok(matches!(due, Due::After(_)).then_some(Again::After(HELM_EVERY))) };
        let again = if now < arrived {
            Again::After(Duration::from_secs(arrived.since(now).max(1)))
        } else if self.is_helm_pending(key, seen, known).await? {
            Again::After(HELM_EVERY)
        } else {
            if (self.may_write)() {
                settled(self.writer(key).release_store(next).await)?;
                tracing::info!(release = %key, store = &*next.name, "held by itself, and let go");
            }
            Again::After(AFTER_WRITE)
        };
        Ok(Some(again))
    }

    /// Whether Helm is at work on a release, or was when it died.
    async fn is_helm_pending(&self, key: &ReleaseKey, seen: &Seen, known: Option<u64>) -> anyhow::Result<bool> {
        if !seen.is_helms() || !self.heeds_helm {
            return Ok(false);
        }
        Ok(self.revisions.newest(&self.client, key, known, seen.written()).await?.is_some_and(|revision| revision.is_pending()))
    }

    /// Somebody else carries it out, and began without us.
    async fn leave_to(&self, key: &ReleaseKey, upgrade: Option<&Value>, other: &str) -> anyhow::Result<Again> {
        if let Some(upgrade) = upgrade {
            let mut status = Status::of(upgrade);
            let words = format!("{other} carries out an upgrade of {} from elsewhere (Lease {})", key.name, name_of(&key.name));
            let phase = status.phase.unwrap_or(Phase::Pending);
            let told =
                Idle { phase, reason: "CarriedOutElsewhere", message: &words, kind: Kind::Reconciling, waiting_for: Some("whoever carries it out to end") };
            tell::idle(&mut status, &told, (self.clock)());
            self.write_status(key, upgrade, status).await?;
        }
        Ok(Again::After(lease::EVERY))
    }

    /// Takes everything of ours off what runs what it says.
    async fn tidy(&self, key: &ReleaseKey, seen: &Seen) -> anyhow::Result<Again> {
        let is_left = seen.workloads.iter().any(|workload| workload.is_traced && workload.stopped.is_none()) || seen.stores.iter().any(|store| store.is_traced);
        if !is_left || !(self.may_write)() {
            return Ok(Again::Never);
        }
        let writer = self.writer(key);
        let configurations: std::collections::BTreeSet<Arc<str>> = seen.workloads.iter().flat_map(|workload| workload.configurations.iter().cloned()).collect();
        // First what no later round would find: claims and configurations are not watched.
        writer.give_back_others(&key.name, configurations).await?;
        for store in seen.stores.iter().filter(|store| store.is_traced) {
            settled(writer.give_back_store(store).await)?;
        }
        for workload in seen.workloads.iter().filter(|workload| workload.is_traced && workload.stopped.is_none()) {
            settled(writer.give_back(workload).await)?;
        }
        Ok(Again::After(AFTER_WRITE))
    }

    /// Writes a status that differs from the one that is there, on the very object that was read; whether it was written.
    async fn write_status(&self, key: &ReleaseKey, upgrade: &Value, mut status: Status) -> anyhow::Result<bool> {
        let before = Status::of(upgrade);
        status.observed_generation = upgrade.pointer("/metadata/generation").and_then(Value::as_i64);
        if status == before || !(self.may_write)() {
            return Ok(false);
        }
        let mut object = upgrade.clone();
        if let Some(table) = object.as_object_mut() {
            table.insert("status".into(), serde_json::to_value(&status)?);
        }
        self.kept.write_status(&self.client, key, &object).await?;
        self.metrics.told(&before, &status);
        self.announce(key, upgrade, &before, &status).await;
        Ok(true)
    }

    /// An Event where the phase moved, or something new keeps the upgrade.
    async fn announce(&self, key: &ReleaseKey, upgrade: &Value, before: &Status, status: &Status) {
        let stalled = |status: &Status| status.condition("Stalled").map(|condition| condition.reason.clone());
        let message = status.message.clone().unwrap_or_default();
        if let Some(reason) = stalled(status).filter(|reason| stalled(before).as_ref() != Some(reason)) {
            self.event(key, upgrade, EventType::Warning, &reason, message).await;
        } else if let Some(phase) = status.phase.filter(|phase| before.phase != Some(*phase)) {
            tracing::info!(release = %key, phase = phase.name(), message, "phase");
            self.event(key, upgrade, EventType::Normal, &format!("Upgrade{}", phase.name()), message).await;
        }
    }

    async fn event(&self, key: &ReleaseKey, upgrade: &Value, type_: EventType, reason: &str, note: String) {
        if self.kept == Kept::InConfigMaps {
            return;
        }
        let about = ObjectReference {
            api_version: Some(api::API_VERSION.into()),
            kind: Some("GuardedUpgrade".into()),
            namespace: Some(key.namespace.to_string()),
            name: Some(key.name.to_string()),
            uid: text(upgrade, "/metadata/uid").map(str::to_owned),
            ..ObjectReference::default()
        };
        let event = Event { type_, reason: reason.into(), note: Some(super::status::cut(&note, 1000)), action: "Upgrade".into(), secondary: None };
        if let Err(error) = self.recorder.publish(&event, &about).await {
            tracing::warn!(release = %key, %error, "an event was not written");
        }
    }
}

/// What moved on is looked at again; all else is an error.
fn settled(done: Result<(), Undone>) -> Result<(), Undone> {
    match done {
        Err(Undone::Stale(_)) => Ok(()),
        done => done,
    }
}

/// A round of a release with a `GuardedUpgrade`.
struct Round<'r> {
    work: &'r Work,
    key: &'r ReleaseKey,
    /// All of the release.
    all: &'r Seen,
    /// The Milvus whose turn it is, where the release has several.
    milvus: Option<&'r str>,
    /// What is seen of that one.
    seen: &'r Seen,
    upgrade: &'r Value,
    writer: Writer,
    now: Moment,
}

impl Round<'_> {
    async fn run(&self) -> anyhow::Result<Again> {
        let known = Status::of(self.upgrade);
        let is_open = known.is_begun() || !self.all.workloads.is_empty();
        if !is_open || !uninstalled::may_be_gone(self.all, known.helm_revision) {
            return self.carry_on().await;
        }
        let newest = helm::newest_now(&self.work.client, self.key, known.helm_revision).await?;
        match uninstalled::left_behind(self.all, known.helm_revision, newest.as_ref()) {
            Some(left) => self.clear(known, left).await,
            // That its revision goes at last is told by nothing.
            None if newest.is_some_and(|newest| newest.is_pending()) => Ok(self.carry_on().await?.at_most(HELM_EVERY)),
            None => self.carry_on().await,
        }
    }

    /// The release was uninstalled: what was kept for its upgrade goes, too, and the upgrade is no more.
    async fn clear(&self, mut status: Status, left: &[Arc<Workload>]) -> anyhow::Result<Again> {
        for workload in left {
            if (self.work.may_write)() {
                settled(self.writer.remove(&workload.name, &workload.stamp).await)?;
                let words = format!("the release was uninstalled: {} is deleted, which was kept for its upgrade", workload.name);
                tracing::info!(release = %self.key, workload = &*workload.name, "deleted: kept for an upgrade of a release that was uninstalled");
                self.work.event(self.key, self.upgrade, EventType::Normal, "ComponentRemoved", words).await;
            }
        }
        plan::forget(&mut status);
        status.helm_revision = None;
        let words = format!("release {} was uninstalled; what was kept for its upgrade is deleted, its claims stay", self.key.name);
        let told = Idle { phase: Phase::Pending, reason: "NothingRuns", message: &words, kind: Kind::Reconciling, waiting_for: Some("the release to run") };
        // Remembered for as long as something is left.
        if left.is_empty() {
            self.idle(status, &told).await?;
            return Ok(Again::Never);
        }
        Ok(Again::After(AFTER_WRITE))
    }

    async fn carry_on(&self) -> anyhow::Result<Again> {
        let (mut status, situation) = situation(self.upgrade, self.seen, self.now);
        match situation {
            Situation::Upgrade(upgrade) => self.carry_out(status, &upgrade).await,
            Situation::Declared { from, to, removals } => {
                let follows = stores::held(self.seen).map_or_else(String::new, |names| {
                    let (name, namespace) = (&self.key.name, &self.key.namespace);
                    format!("; {names} held until then (to let that go without it: kubectl delete guardedupgrade {name} -n {namespace})")
                });
                let words = format!("{from} runs; the change to {to} may come{follows}");
                let mut is_prepared = self.prepare(self.seen, &removals).await?;
                let others = self.all.labels().into_iter().filter(|label| self.milvus.is_some_and(|milvus| **label != *milvus));
                for other in others.map(|label| self.all.of(&label)) {
                    if let (_, Situation::Declared { removals, .. }) = plan::situation(self.upgrade, &other, self.now) {
                        is_prepared &= self.prepare(&other, &removals).await?;
                    }
                }
                let phase = if is_prepared { Phase::Prepared } else { Phase::Pending };
                status.observed_generation = self.upgrade.pointer("/metadata/generation").and_then(Value::as_i64);
                let (said, why) = if is_prepared { ("True", "Kept") } else { ("False", "Marking") };
                let kept = if removals.is_empty() {
                    "nothing is removed".to_owned()
                } else {
                    format!("kept until their turn: {}", milvus_guard::rollout::action::names(&removals.into_iter().collect::<Vec<_>>()))
                };
                status.say("Prepared", said, why, &kept, self.now);
                self.idle(
                    status,
                    &Idle { phase, reason: "AwaitingChange", message: &words, kind: Kind::Reconciling, waiting_for: Some(&format!("the change to {to}")) },
                )
                .await?;
                Ok(if is_prepared { Again::Never } else { Again::After(AFTER_WRITE) })
            }
            Situation::AtTarget(version) => {
                if let Some(again) = self.stores_follow(&status, Phase::Held, &format!("{version} serves")).await? {
                    return Ok(again);
                }
                self.name_witness(&mut status, version).await?;
                let words = status.message.clone().filter(|_| status.phase == Some(Phase::Completed)).unwrap_or_else(|| format!("{version} serves."));
                self.idle(status, &Idle { phase: Phase::Completed, reason: "Completed", message: &words, kind: Kind::Ready, waiting_for: None }).await?;
                self.tidy().await
            }
            Situation::WentBack(version) => {
                if let Some(again) = self.stores_back(&status, version).await? {
                    return Ok(again);
                }
                if let Some(again) = self.stores_follow(&status, Phase::RollingBack, &format!("{version} serves again")).await? {
                    return Ok(again);
                }
                let again = if plan::is_aborted(self.upgrade) { "set spec.abort to false and raise spec.retry, and apply" } else { "apply" };
                let because = status.failure().map_or_else(String::new, |why| format!(" It went back by itself ({why})."));
                let words = format!("{version} serves again.{because} To go forwards, {again} the change again.");
                self.idle(status, &Idle { phase: Phase::Aborted, reason: "WentBack", message: &words, kind: Kind::Stalled, waiting_for: None }).await?;
                self.tidy().await
            }
            Situation::NothingRuns => {
                let held = self.seen.held().find_map(|workload| if let Hold::Blocked(why) = &workload.hold { Some((&workload.name, why)) } else { None });
                let words = match held {
                    Some((name, why)) => format!("nothing of {} runs, so there is no upgrade; {name} is held: {why}", self.key.name),
                    None => format!("no pod of a Milvus release {} runs here; a GuardedUpgrade is named as its release", self.key.name),
                };
                self.idle(
                    status,
                    &Idle { phase: Phase::Pending, reason: "NothingRuns", message: &words, kind: Kind::Reconciling, waiting_for: Some("the release to run") },
                )
                .await?;
                Ok(Again::Never)
            }
            Situation::Arriving(until) => {
                let told = Idle {
                    phase: Phase::Held,
                    reason: "ChangeArriving",
                    message: "the change arrives",
                    kind: Kind::Reconciling,
                    waiting_for: Some("the rest of the change"),
                };
                self.idle(status, &told).await?;
                Ok(Again::After(Duration::from_secs(until.since(self.now).clamp(1, 5))))
            }
            Situation::Retarget(to) => self.retarget(to).await,
            Situation::Stuck(reason, words) => {
                // A Helm revision that is written may be what it takes.
                let phase = if self.seen.held().next().is_some() { Phase::Held } else { Phase::Failed };
                self.idle(status, &Idle { phase, reason, message: &words, kind: Kind::Stalled, waiting_for: None }).await?;
                Ok(Again::Never)
            }
        }
    }

    /// Stores that the upgrade let go, and whose part of it was taken back only when all else had gone back: they follow one after the other.
    async fn stores_back(&self, status: &Status, version: MilvusVersion) -> anyhow::Result<Option<Again>> {
        let known = status.stores();
        let due = stores::due(self.seen, |store| known.get(&store.name).is_some_and(|known| known.was_let_go));
        let next = match due {
            Due::Nothing => return Ok(None),
            Due::After(rolling) => {
                return self.stores_roll(status, Phase::RollingBack, &format!("{version} serves again"), &rolling.name).await.map(Some);
            }
            Due::Next(next) => next,
        };
        let words = format!("{version} serves again; {} is still held with the earlier template, and is let go next", next.name);
        let told =
            Idle { phase: Phase::RollingBack, reason: "AwaitingDependency", message: &words, kind: Kind::Reconciling, waiting_for: Some("stores and queues") };
        self.idle(status.clone(), &told).await?;
        if self.work.is_helm_pending(self.key, self.seen, status.helm_revision).await? {
            return Ok(Some(Again::After(HELM_EVERY)));
        }
        if (self.work.may_write)() {
            settled(self.writer.release_store(next).await)?;
        }
        Ok(Some(Again::After(AFTER_WRITE)))
    }

    /// Names the receipt of what serves as it is declared, where nothing was carried out for it here: a GuardedUpgrade was deleted after its last step, or the change came where nothing holds one.
    async fn name_witness(&self, status: &mut Status, version: MilvusVersion) -> anyhow::Result<()> {
        let is_recorded = status.receipt.is_some() && status.version_to() == Some(version);
        let is_all = self.all.versions().iter().all(|serves| *serves == Some(version)) && !self.all.is_any_held();
        if is_recorded || !is_all || self.work.kept != Kept::AsObjects || !(self.work.may_write)() {
            return Ok(());
        }
        let newest = witness::newest(self.all).filter(|newest| newest.to == Some(version));
        let name = match (newest, witness::unwitnessed(self.all)) {
            (Some(newest), _) => Some(newest.name.to_string()),
            (None, Some(unwitnessed)) => {
                let receipt = unwitnessed.receipt(self.key, self.now);
                self.writer.make(&receipt).await?;
                text(&receipt, "/metadata/name").map(str::to_owned)
            }
            (None, None) => return Ok(()),
        };
        plan::forget(status);
        status.to = Some(version.to_string());
        status.receipt = name;
        status.phase = Some(Phase::Completed);
        status.message = Some(format!("{version} serves, and nothing was carried out for it here: the receipt says no more than that."));
        Ok(())
    }

    /// A change of stores and queues alone, where an upgrade has ended: that it has is told (`phase`) only once the last of them is complete. When to look again; nothing where none follows. `serves`:
    /// what does, in words.
    async fn stores_follow(&self, status: &Status, phase: Phase, serves: &str) -> anyhow::Result<Option<Again>> {
        let Some(names) = stores::held(self.all) else {
            let follows = status.condition("Ready").is_some_and(|ready| ready.status == "False" && matches!(&*ready.reason, FOLLOWS | OVERDUE));
            let Some(rolling) = stores::rolling(self.all).filter(|_| follows) else { return Ok(None) };
            return self.stores_roll(status, phase, serves, &rolling.name).await.map(Some);
        };
        let tell = async |phase: Phase, reason: &'static str, kind: Kind, keeps: &str| {
            let words = format!("{serves}; {names} held with a change of its own, and {keeps}");
            self.idle(status.clone(), &Idle { phase, reason, message: &words, kind, waiting_for: Some("stores and queues") }).await
        };
        if !stores::are_alone(self.all) {
            tell(phase, FOLLOWS, Kind::Reconciling, "waits for what else of the release is held or stopped").await?;
            return Ok(Some(Again::Never));
        }
        if plan::is_paused(self.upgrade) {
            tell(Phase::Paused, "Paused", Kind::Stalled, "waits until spec.paused is false").await?;
            return Ok(Some(Again::Never));
        }
        if let Some(opens) = plan::closed(self.upgrade, self.now) {
            let Some(opens) = opens else {
                tell(phase, Stop::NoWindow.reason(), Kind::Stalled, &format!("stays so: {}", tell::no_window(self.key))).await?;
                return Ok(Some(Again::Never));
            };
            tell(phase, "AwaitingWindow", Kind::Reconciling, "waits for a window").await?;
            return Ok(Some(Again::After(Duration::from_secs(opens.since(self.now).max(1)))));
        }
        if let Due::After(rolling) = stores::due(self.all, |_| true) {
            return self.stores_roll(status, phase, &format!("{serves}; {names} held with a change of its own"), &rolling.name).await.map(Some);
        }
        tell(phase, FOLLOWS, Kind::Reconciling, "is let go, one after the other").await?;
        self.work.stores_alone(self.key, self.all, status.helm_revision).await
    }

    /// Tells of a store or a queue that is not complete, and after the time that a component has, that this needs a person. It goes on by itself once it is.
    async fn stores_roll(&self, status: &Status, phase: Phase, serves: &str, name: &str) -> anyhow::Result<Again> {
        let waiting = Waiting::Dependency(name.into()).to_string();
        let since =
            status.waiting_since.as_deref().filter(|_| status.waiting_for.as_deref() == Some(&*waiting)).and_then(super::read_moment).unwrap_or(self.now);
        let until = since.plus(plan::limits(self.upgrade).component_seconds);
        let is_late = self.now >= until;
        let (reason, kind, words) = if is_late {
            let words = format!(
                "{serves}; {name} does not become complete: kubectl -n {} get pods tells why. Once it is, the rest follows by itself",
                self.key.namespace
            );
            (OVERDUE, Kind::Stalled, words)
        } else {
            (FOLLOWS, Kind::Reconciling, format!("{serves}; waits for {waiting}"))
        };
        let phase = if is_late && phase == Phase::RollingBack { Phase::Aborted } else { phase };
        self.idle(status.clone(), &Idle { phase, reason, message: &words, kind, waiting_for: Some(&waiting) }).await?;
        Ok(if is_late { Again::Never } else { Again::After(Duration::from_secs(until.since(self.now).max(1))) })
    }

    /// Of all that runs what this one runs: each had its turn.
    async fn tidy(&self) -> anyhow::Result<Again> {
        let mut again = Again::Never;
        for seen in turn::alike(self.all, self.seen) {
            if let Again::After(time) = self.work.tidy(self.key, &seen).await? {
                again = again.at_most(time);
            }
        }
        Ok(again)
    }

    async fn idle(&self, mut status: Status, told: &Idle<'_>) -> anyhow::Result<bool> {
        status.observed_generation = self.upgrade.pointer("/metadata/generation").and_then(Value::as_i64);
        tell::idle(&mut status, told, self.now);
        self.work.write_status(self.key, self.upgrade, status).await
    }

    /// Leads an upgrade that we declared ourselves to another target.
    async fn retarget(&self, to: MilvusVersion) -> anyhow::Result<Again> {
        let object = plan::retargeted(self.upgrade, to);
        if (self.work.may_write)() {
            self.work.kept.write_spec(&self.work.client, self.key, &object).await?;
        }
        Ok(Again::After(AFTER_WRITE))
    }

    /// Keeps what the change may remove; whether all of it is kept.
    async fn prepare(&self, seen: &Seen, removals: &std::collections::BTreeSet<Component>) -> anyhow::Result<bool> {
        let missing: Vec<_> = removals.iter().filter_map(|component| seen.workload(*component)).filter(|workload| !workload.is_marked).collect();
        for workload in &missing {
            if (self.work.may_write)() {
                settled(self.writer.mark(&workload.name, &workload.stamp, true).await)?;
            }
        }
        Ok(missing.is_empty())
    }

    async fn carry_out(&self, mut status: Status, upgrade: &Upgrade) -> anyhow::Result<Again> {
        status.observed_generation = self.upgrade.pointer("/metadata/generation").and_then(Value::as_i64);
        let plan = &upgrade.plan;
        let order = Orders::embedded().find(&plan.pair).ok();
        status.milvus = self.milvus.map(str::to_owned);
        if let Some(milvus) = self.milvus.filter(|_| order.is_some_and(|order| order.migration)) {
            let words = format!(
                "the release has several Milvus, and their metadata is not migrated by the controller; it is the turn of {milvus}. Deploy each as a release of its own, and migrate it there. Nothing was touched."
            );
            self.idle(status, &Idle { phase: Phase::Held, reason: "SeveralMilvus", message: &words, kind: Kind::Stalled, waiting_for: None }).await?;
            return Ok(Again::Never);
        }
        let revision = if self.seen.is_helms() && self.work.heeds_helm {
            self.work.revisions.newest(&self.work.client, self.key, status.helm_revision, self.seen.written()).await?
        } else {
            None
        };
        status.helm_revision = revision.as_ref().map(|revision| revision.number).or(status.helm_revision);
        let (observed, proof) = self.observe(&status, upgrade, order, helm::arrival(revision.as_ref(), self.seen.written())).await?;
        self.watch_proxy(&mut status);
        let action = next(&observed, plan, Orders::embedded(), self.now);
        let is_aborted = plan::is_aborted(self.upgrade);
        let told = tell::Round { release: self.key, is_aborted, plan, order, observed: &observed, action: &action, now: self.now };
        match &action {
            Action::Do(Deed::TurnBack(stalled)) => {
                status.turned_back = Some(tell::words(&Deed::TurnBack(stalled.clone())));
                status.course = Some(Way::Back);
                status.epoch = Some(epoch_after(plan.epoch));
                tell::round(&mut status, &told);
                self.work.write_status(self.key, self.upgrade, status).await?;
                Ok(Again::After(Duration::ZERO))
            }
            Action::Do(deed) => {
                if lets_go(deed) && !status.is_begun() {
                    status.started_at = Some(written(self.now));
                }
                tell::round(&mut status, &told);
                // What is done is done by what is remembered, and on the very memory that was read.
                if is_new_memory(&Status::of(self.upgrade), &status) {
                    self.work.write_status(self.key, self.upgrade, status).await?;
                    return Ok(Again::After(Duration::ZERO));
                }
                self.act(status, upgrade, (&observed, proof.as_ref()), deed).await
            }
            Action::Wait(wait) => {
                tell::round(&mut status, &told);
                self.work.write_status(self.key, self.upgrade, status).await?;
                let is_pending = matches!(wait.what, Waiting::Applier);
                let until = wait.until.map(|until| Duration::from_secs(until.since(self.now).max(1)));
                let opens = if let Waiting::Window(opens) = wait.what { Some(Duration::from_secs(opens.since(self.now).max(1))) } else { None };
                let again = if is_pending { Again::After(HELM_EVERY) } else { until.or(opens).map_or(Again::Never, Again::After) };
                Ok(if order.is_some_and(|order| order.migration) { again.at_most(ETCD_EVERY) } else { again })
            }
            Action::Stop(stop) => {
                tell::round(&mut status, &told);
                if *stop == Stop::WentBack && !self.seen.is_any_held() {
                    status.finished_at.get_or_insert_with(|| written(self.now));
                }
                self.work.write_status(self.key, self.upgrade, status).await?;
                Ok(if matches!(stop, Stop::Migration(_)) { Again::After(ETCD_AFTER_STOP) } else { Again::Never })
            }
            Action::Done(_) => {
                tell::round(&mut status, &told);
                status.finished_at = Some(written(self.now));
                if let Some(milvus) = self.milvus.filter(|milvus| turn::others_wait(self.all, milvus)) {
                    let words = format!("{milvus} is complete; the next Milvus of the release has its turn");
                    let next = Idle { phase: Phase::Running, reason: "Progressing", message: &words, kind: Kind::Reconciling, waiting_for: None };
                    tell::idle(&mut status, &next, self.now);
                }
                self.work.write_status(self.key, self.upgrade, status).await?;
                Ok(Again::After(Duration::ZERO))
            }
        }
    }

    async fn observe(&self, status: &Status, upgrade: &Upgrade, order: Option<&Order>, arrival: Arrival) -> anyhow::Result<(Observed, Option<Proof>)> {
        let since = status.since();
        let migrates = order.is_some_and(|order| order.migration);
        let migration = if migrates {
            let _waiting = self.work.elsewhere.begin().await;
            self.migration(upgrade).observe(self.now).await?
        } else {
            migration::unread(&"sessions are read only where metadata is migrated".into())
        };
        let hands_over = order.is_some_and(|order| order.steps.iter().any(|step| step.gates.contains(&Gate::Handover)));
        let active_standby = if hands_over { self.active_standby().await? } else { Known::No("it was not asked for".into()) };
        let observed = Observed {
            workloads: self.seen.observe(&upgrade.before, since, &status.reached()),
            strangers: self.seen.doubles(),
            dependencies: self.seen.dependencies(since, &status.stores(), self.now),
            arrival,
            sessions: migration.sessions,
            active_standby,
            metadata: migration.metadata,
            is_recorded: status.receipt.is_some(),
        };
        Ok((observed, migration.proof))
    }

    fn migration<'m>(&'m self, upgrade: &'m Upgrade) -> Migration<'m> {
        let Work { client, image, kept, .. } = self.work;
        let began = upgrade.migration.as_deref();
        Migration { client, kept: *kept, release: self.key, upgrade: self.upgrade, seen: self.seen, plan: &upgrade.plan, began, image: image.as_deref() }
    }

    async fn active_standby(&self) -> anyhow::Result<Known<bool>> {
        let names: std::collections::BTreeSet<_> = self.seen.workloads.iter().flat_map(|workload| &workload.configurations).collect();
        let api: Api<ConfigMap> = Api::namespaced(self.work.client.clone(), &self.key.namespace);
        let mut maps = Vec::new();
        for name in names {
            let Some(map) = api.get_opt(name).await? else { return Ok(Known::No(format!("ConfigMap {name} is not there").into())) };
            maps.push(serde_json::to_value(map)?);
        }
        Ok(standby::active_standby(&maps))
    }

    /// Counts the time without a ready proxy.
    fn watch_proxy(&self, status: &mut Status) {
        if !status.is_begun() {
            return;
        }
        match (self.seen.has_ready_proxy(), &status.proxy_away_since) {
            (false, None) => status.proxy_away_since = Some(written(self.now)),
            (true, Some(since)) => {
                let away = super::read_moment(since).map_or(0, |since| self.now.since(since));
                status.proxy_away_seconds = Some(status.proxy_away_seconds.unwrap_or_default().saturating_add(away));
                status.proxy_away_since = None;
            }
            _ => {}
        }
    }

    async fn act(&self, mut status: Status, upgrade: &Upgrade, (observed, proof): (&Observed, Option<&Proof>), deed: &Deed) -> anyhow::Result<Again> {
        if !(self.work.may_write)() {
            return Ok(Again::Never);
        }
        if *deed == Deed::Record {
            let receipt = receipt::receipt(self.key, self.upgrade, &status, &upgrade.plan, observed, proof, self.now);
            // In a cluster without our kinds nobody could read it.
            if self.work.kept == Kept::AsObjects {
                self.writer.make(&receipt).await?;
            }
            status.receipt = text(&receipt, "/metadata/name").map(str::to_owned);
            self.work.write_status(self.key, self.upgrade, status).await?;
            return Ok(Again::After(Duration::ZERO));
        }
        match self.carry(upgrade, deed).await {
            Ok(()) => {
                tracing::info!(release = %self.key, deed = tell::words(deed), "done");
                self.work.event(self.key, self.upgrade, EventType::Normal, tell::word(deed), tell::words(deed)).await;
                self.work.write_status(self.key, self.upgrade, status).await.or_else(|error| if is_conflict(&error) { Ok(false) } else { Err(error) })?;
            }
            Err(error) if matches!(error.downcast_ref(), Some(Undone::Stale(_))) => tracing::debug!(release = %self.key, %error, "decided anew"),
            Err(error) => return Err(error),
        }
        Ok(Again::After(AFTER_WRITE))
    }

    async fn carry(&self, upgrade: &Upgrade, deed: &Deed) -> anyhow::Result<()> {
        let name = |component: &Component| {
            self.seen.workload(*component).map(|workload| Arc::clone(&workload.name)).ok_or_else(|| Undone::Stale(component.name().into()))
        };
        match deed {
            Deed::Mark(component, stamp, wanted) => self.writer.mark(&name(component)?, stamp, *wanted).await?,
            Deed::Seal(component, stamp, epoch) => self.writer.seal(&name(component)?, stamp, *epoch).await?,
            Deed::Unhold(component, stamp) => self.writer.unhold(&name(component)?, stamp).await?,
            Deed::Release(component, stamp) => {
                let configurations = self.seen.workload(*component).map_or(&[][..], |workload| &workload.configurations);
                self.writer.release(&name(component)?, stamp, configurations).await?;
            }
            Deed::Revert(component, stamp) => {
                let set = upgrade.before.get(component).and_then(|digest| self.seen.set_of(*component, digest));
                let set = set.ok_or_else(|| Undone::Impossible(format!("the template that served before is gone from the ReplicaSets of {component}")))?;
                self.writer.revert(&name(component)?, stamp, &set.name).await?;
            }
            Deed::Remove(component, stamp) | Deed::Discard(component, stamp) => self.writer.remove(&name(component)?, stamp).await?,
            Deed::Stop(component, stamp, remembered) => {
                // The Jobs of an upgrade that is kept in a ConfigMap go with that: nobody could go on with them.
                let left = (self.work.kept == Kept::AsObjects).then(|| self.migration(upgrade).left(&upgrade.before));
                self.writer.stop(&name(component)?, stamp, *remembered, left.as_ref()).await?;
            }
            Deed::Start(component, stamp, replicas) => self.writer.start(&name(component)?, stamp, *replicas).await?,
            Deed::ReleaseDependency(name, stamp) => {
                let store =
                    self.seen.stores.iter().find(|store| store.name == *name && store.stamp == *stamp).ok_or_else(|| Undone::Stale(Arc::clone(name)))?;
                self.writer.release_store(store).await?;
            }
            Deed::Fence | Deed::Unfence | Deed::Run(_) | Deed::Bar(_) => self.migration(upgrade).act(deed).await?,
            Deed::TurnBack(_) | Deed::Record => {}
        }
        Ok(())
    }
}

/// Whether a deed makes something run, stop or go: from the first of them on, what the upgrade goes from and to is fixed.
const fn lets_go(deed: &Deed) -> bool {
    !matches!(deed, Deed::Mark(..) | Deed::Seal(..) | Deed::Unhold(..) | Deed::Discard(..) | Deed::TurnBack(_) | Deed::Record)
}

/// Whether a status remembers something else than another.
fn is_new_memory(before: &Status, after: &Status) -> bool {
    let memory = |status: &Status| {
        let told = (status.from.clone(), status.to.clone(), status.topology_before, status.topology_after, status.before());
        let begun = (status.started_at.clone(), status.migration.clone());
        (told, status.course, status.epoch, status.attempt, status.attempt_at.clone(), begun, status.helm_revision)
    };
    memory(before) != memory(after)
}

fn is_conflict(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.code == 409)
}

/// Whether a `GuardedUpgrade` was made by us.
#[must_use]
pub fn is_ours(upgrade: &Value) -> bool {
    annotation(upgrade, super::CREATED_ANNOTATION).is_some()
}
