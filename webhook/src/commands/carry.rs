//! Carries a new image of a release out: looks, judges, says what will be done, declares it, lets every workload wait with it, and follows whoever lets them go.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::observed::{Known, Layout, Moment};
use milvus_guard::rollout::orders::StepKind;
use milvus_guard_webhook::admission::milvus::{repository_of, tag_of};
use milvus_guard_webhook::api;
use milvus_guard_webhook::cluster::{Cluster as _, Kind, running, text};
use milvus_guard_webhook::controller::ReleaseKey;
use milvus_guard_webhook::controller::alone::{Alone, Means};
use milvus_guard_webhook::controller::kept::{Kept, name_of};
use milvus_guard_webhook::controller::left::Left;
use milvus_guard_webhook::direct::{self, Asked, Rolling};
use milvus_guard_webhook::doctor::{self, Probe, Seen};
use milvus_guard_webhook::leave;
use milvus_guard_webhook::metadata::layout::word;
use milvus_guard_webhook::migration::observe::{Asked as About, observe};
use milvus_guard_webhook::migration::{Attempt, RELEASE_LABEL};
use milvus_guard_webhook::server::registration::FIELD_MANAGER;
use serde_json::{Value, json};

use super::cluster::{Cluster, why};
use super::doctor::{look_at, probe};
use super::follow::{Ended, Screen, follow};
use super::output::{say, to_stdout};
use super::status::read;

/// The step is not made.
#[derive(Debug, thiserror::Error)]
#[error("{why}\n  -> {next}")]
pub(crate) struct Refused {
    why: String,
    next: String,
}

impl Refused {
    pub(super) fn new(why: impl Into<String>, next: impl Into<String>) -> Self {
        Self { why: why.into(), next: next.into() }
    }
}

impl From<direct::Refused> for Refused {
    fn from(refused: direct::Refused) -> Self {
        Self { why: refused.why, next: refused.next }
    }
}

/// How long a controller may take to look at a new GuardedUpgrade.
const CONTROLLER_ANSWERS: Duration = Duration::from_secs(20);

/// How long somebody else who acts on the release is waited for: longer than a Lease lasts that nobody renews.
const OTHERS_END: Duration = Duration::from_secs(25);

/// What is to be carried out, and how.
pub(super) struct Carry {
    pub(super) asked: Asked,
    /// The version that is said to run, where that is said.
    pub(super) source: Option<MilvusVersion>,
    pub(super) dry_run: bool,
    pub(super) yes: bool,
    /// What it works with where it acts itself.
    pub(super) means: Means,
    /// The backup of a migration is deleted once all is complete.
    pub(super) deletes_backup: bool,
}

/// Runs it.
pub(super) fn run(carry: Carry) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(async {
        let cluster = Cluster::of_kubeconfig(Some(carry.asked.namespace.clone())).await?;
        Carrying { cluster, carry }.run().await
    })
}

struct Carrying {
    cluster: Cluster,
    carry: Carry,
}

impl Carrying {
    async fn run(&self) -> anyhow::Result<ExitCode> {
        let asked = &self.carry.asked;
        let seen = look_at(self.cluster.clone()).await;
        must_see_workloads(&seen)?;
        let upgrade = seen.cluster.object(Kind::GuardedUpgrade, &asked.namespace, &asked.release);
        // Begun from a laptop, and not brought to its end.
        let kept = Kept::InConfigMaps.read(&self.cluster.client, &self.key()).await.ok().flatten();
        if self.carry.means.within_hook
            && kept.is_none()
            && let Some(words) = direct::nothing_to_migrate(&seen.cluster, asked)
        {
            say(&words);
            return Ok(ExitCode::SUCCESS);
        }
        let runs = direct::versions(&seen.cluster, &asked.namespace, &asked.release).unwrap_or_default();
        if let (Some(source), Some(first)) = (self.carry.source, runs.first())
            && !runs.contains(&source)
            && *first != asked.target.version
        {
            return Err(Refused::new(format!("-s says {source}, and {first} runs"), "Nothing was changed.").into());
        }
        // Or its declaration was deleted in the middle of its migration, and is made anew.
        let left = Left::of_release(&seen.cluster, &asked.namespace, &asked.release).filter(|left| left.pair.to == asked.target.version);
        let known = kept.as_ref().or(upgrade.as_deref().filter(|upgrade| api::is_open(upgrade)));
        let begun = known.and_then(|known| from_of(known, asked)).or(left.as_ref().map(|left| left.pair.from));
        let rolling = direct::rolling(&seen.cluster, asked, begun).await.map_err(Refused::from)?;
        if rolling.is_done() && kept.is_none() && !upgrade.as_deref().is_some_and(api::is_open) {
            say(&format!("every component of {} runs {} already", asked.release, asked.target.image));
            to_stdout(&values(asked, &seen))?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(source) = self.carry.source.filter(|source| *source != rolling.pair.from) {
            return Err(Refused::new(format!("-s says {source}, and {} runs", rolling.pair.from), "Nothing was changed.").into());
        }
        let is_ours = |upgrade: &Value| api::upgrade_to(upgrade).and_then(|to| to.parse().ok()) == Some(asked.target.version);
        let is_begun = |upgrade: &&Value| api::is_open(upgrade) || (is_ours(upgrade) && text(upgrade, "/status/phase") == Some("Failed"));
        let declared = kept.as_ref().or(upgrade.as_deref().filter(is_begun));
        let goes_on = check(asked, &seen, &rolling, declared, left.is_some(), self.carry.means.within_hook)?;
        let is_guarded = self.is_guarded().await?;
        to_stdout(&plan(&rolling, asked))?;
        // The controller asks from where it runs; who acts alone asks from here, and nothing has stopped yet.
        if rolling.order.migration && (kept.is_some() || !is_guarded) && !goes_on {
            self.must_be_fit(&rolling).await?;
        }
        if self.carry.dry_run {
            match self.must_wait(&rolling, &seen).await {
                Err(error) if error.is::<Refused>() => return Err(error),
                Err(error) => eprintln!("warning: whether the workloads would wait could not be tried: {error:#}"),
                Ok(()) => {}
            }
            say("nothing was changed");
            return Ok(ExitCode::SUCCESS);
        }
        if !goes_on && !self.carry.yes && !is_wanted()? {
            say("nothing was changed");
            return Ok(ExitCode::from(1));
        }
        let ended = if is_guarded { self.declare_and_follow(rolling, upgrade.as_deref(), &seen).await? } else { self.act_alone(rolling, &seen).await? };
        match ended {
            Ended::Complete => {
                say(&format!("{} runs {} on all components", asked.release, asked.target.version));
                if asked.migration.is_some() {
                    self.backup().await;
                }
                if !self.carry.means.within_hook {
                    to_stdout(&values(asked, &seen))?;
                }
            }
            Ended::Stopped if self.is_alone().await => eprintln!("it stopped; once what stands in its way is mended, the same command goes on"),
            Ended::Stopped => {
                let of = format!("{} -n {}", asked.release, asked.namespace);
                eprintln!(
                    "it stopped. `milvus-guard status {of}` tells why; then `milvus-guard retry {of}`, or `milvus-guard abort {of}` to go back where there is a way back"
                );
            }
            Ended::Left if self.is_alone().await => eprintln!("\ninterrupted: what waits stays as it is, and the same command goes on with it"),
            Ended::Left => eprintln!("\nno longer followed; the upgrade goes on in the cluster, and the same command follows it again"),
        }
        Ok(ended.code())
    }

    fn key(&self) -> ReleaseKey {
        ReleaseKey { namespace: self.carry.asked.namespace.as_str().into(), name: self.carry.asked.release.as_str().into() }
    }

    async fn is_alone(&self) -> bool {
        Kept::InConfigMaps.read(&self.cluster.client, &self.key()).await.is_ok_and(|kept| kept.is_some())
    }

    /// Whether a guard judges what is written here: its definitions stay where it is uninstalled, and are there for all namespaces where it judges one. A hook of Helm runs only where none does.
    async fn is_guarded(&self) -> anyhow::Result<bool> {
        if !self.cluster.has_our_kinds().await.map_err(|error| self.cluster.server.failed(&error))? {
            return Ok(false);
        }
        let asked = &self.carry.asked;
        match probe(&self.cluster, &asked.namespace).await {
            None | Some(Probe::NotAsked) => Ok(false),
            Some(Probe::Untried(why)) if self.carry.means.within_hook => {
                bail!("whether a guard judges namespace {} could not be tried: {why}", asked.namespace)
            }
            Some(_) if self.carry.means.within_hook => {
                let next = format!("Switch this hook off, and declare the upgrade to the guard: echo '{}' | kubectl apply -f -", asked.upgrade());
                Err(Refused::new(format!("a guard judges namespace {}, and migrates the metadata of what is declared to it", asked.namespace), next).into())
            }
            Some(_) => Ok(true),
        }
    }

    /// Declares the upgrade, lets every workload wait with the new image, and follows the controller that lets them go.
    async fn declare_and_follow(&self, rolling: Rolling, upgrade: Option<&Value>, seen: &Seen) -> anyhow::Result<Ended> {
        self.must_wait(&rolling, seen).await?;
        let is_new = self.declare(upgrade).await?;
        if self.is_watched().await? {
            // A while has passed, and it is declared now.
            if let Err(error) = self.must_wait(&rolling, seen).await {
                if is_new {
                    self.withdraw().await;
                }
                return Err(error);
            }
            self.store(rolling).await?;
            return follow(&self.cluster, &self.carry.asked.release).await;
        }
        if is_new {
            self.withdraw().await;
        }
        // What we let go the webhook holds again.
        bail!("{NO_CONTROLLER}")
    }

    /// The rounds of the controller, here, as long as nobody else acts on the release.
    async fn act_alone(&self, rolling: Rolling, seen: &Seen) -> anyhow::Result<Ended> {
        let asked = &self.carry.asked;
        let client = &self.cluster.client;
        let mut alone = Alone::start(client, self.key(), identity(), self.carry.means.clone());
        if !alone.is_ready(OTHERS_END).await {
            bail!(
                "somebody else acts on {} (Lease {} in namespace {}), or the right to create and update leases lacks; try again later",
                asked.release,
                name_of(&asked.release),
                asked.namespace
            );
        }
        if let Err(error) = self.must_wait(&rolling, seen).await {
            alone.give_back().await?;
            return Err(error);
        }
        self.remember().await?;
        self.store(rolling).await?;
        let ended = self.rounds(&mut alone).await?;
        if ended == Ended::Complete {
            alone.end().await?
        } else {
            alone.give_back().await?
        }
        Ok(ended)
    }

    /// Rounds until the upgrade ends, waits for a person, or somebody interrupts.
    async fn rounds(&self, alone: &mut Alone) -> anyhow::Result<Ended> {
        let asked = &self.carry.asked;
        let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let mut screen = Screen::default();
        let mut unread_since: Option<tokio::time::Instant> = None;
        loop {
            let (upgrade, is_traced) = tokio::select! {
                step = alone.step() => step?,
                _ = interrupt.recv() => return Ok(Ended::Left),
                _ = terminate.recv() => return Ok(Ended::Left),
            };
            if let Some(found) = read(&self.cluster).await?.into_iter().find(|found| found.release == asked.release) {
                screen.show(&found)?;
                let told = found.upgrade.filter(|_| upgrade.is_some());
                let Some(told) = told.filter(|told| told.is_seen) else { continue };
                if told.end() == Some(true) && !is_traced {
                    return Ok(Ended::Complete);
                }
                let is_unread = told.stalled.as_deref().is_some_and(|reason| UNREAD.contains(&reason));
                let since = *unread_since.get_or_insert_with(tokio::time::Instant::now);
                if !is_unread {
                    unread_since = None;
                }
                let waits = is_unread && since.elapsed() < ETCD_COMES_BACK;
                if (told.stalled.is_some() && !waits) || told.end() == Some(false) {
                    return Ok(Ended::Stopped);
                }
            }
        }
    }

    /// What a migration needs is there: the way to etcd from here, metadata of the version that runs, a class for the backup.
    async fn must_be_fit(&self, rolling: &Rolling) -> anyhow::Result<()> {
        let asked = &self.carry.asked;
        let template = rolling.drafts.iter().find_map(|draft| draft.object.pointer("/spec/template"));
        let attempt = Attempt {
            namespace: asked.namespace.clone(),
            release: asked.release.clone(),
            id: String::new(),
            owners: Vec::new(),
            from: rolling.pair.from,
            to: rolling.pair.to,
            number: 0,
            job_seconds: 1,
        };
        let upgrade = asked.upgrade();
        let spec = upgrade.get("spec").unwrap_or(&Value::Null);
        let names = template.map(running::configuration_names).unwrap_or_default();
        let configurations: Vec<Arc<str>> = names.into_iter().map(Arc::from).collect();
        let about = About { attempt: &attempt, spec, configurations: &configurations };
        let seen = observe(&self.cluster.client, about, |_| None, Moment::default()).await?;
        match seen.metadata.layout {
            Known::Yes(Layout::V21) => Ok(()),
            Known::Yes(other) => {
                let why = format!("the layout of the metadata is `{}`, and not that of 2.1", word(other));
                Err(Refused::new(why, "Nothing was changed. `milvus-guard metadata layout` shows the keys; see that -r and -e are right.").into())
            }
            Known::No(why) => Err(Refused::new(format!("{why}"), NOT_FROM_HERE).into()),
        }
    }

    /// Tells of the claim with the backup, or deletes it where that was asked for.
    async fn backup(&self) {
        let asked = &self.carry.asked;
        let claims = self.cluster.select("v1", "PersistentVolumeClaim", &format!("{RELEASE_LABEL}={}", asked.release)).await;
        for claim in claims.ok().flatten().unwrap_or_default() {
            let name = text(&claim, "/metadata/name").unwrap_or_default();
            if !self.carry.deletes_backup {
                say(&format!("the backup of the metadata stays on PersistentVolumeClaim {name}"));
                continue;
            }
            match self.cluster.api("v1", "PersistentVolumeClaim", Some(&asked.namespace)).delete(name, &DeleteParams::default()).await {
                Ok(_) => say(&format!("PersistentVolumeClaim {name} with the backup is deleted")),
                Err(error) => eprintln!("PersistentVolumeClaim {name} with the backup is left: {}", why(&error)),
            }
        }
    }

    /// Keeps what the controller would keep in a `GuardedUpgrade`; a run after one that stopped is a new attempt.
    async fn remember(&self) -> anyhow::Result<()> {
        let asked = &self.carry.asked;
        let client = &self.cluster.client;
        let place = || format!("ConfigMap {} in namespace {}", name_of(&asked.release), asked.namespace);
        let Some(mut known) = Kept::InConfigMaps.read(client, &self.key()).await.with_context(place)? else {
            return Kept::begin(client, &self.key(), &asked.upgrade()).await.map_err(|error| anyhow::anyhow!("{}: {}", place(), why(&error)));
        };
        // One that was only interrupted goes on as it is.
        let is_asked = |what: &str| known.pointer(what) == Some(&json!(true));
        if !is_stalled(&known) && !is_asked("/spec/abort") && !is_asked("/spec/paused") {
            return Ok(());
        }
        if let Some(spec) = known.get_mut("spec").and_then(Value::as_object_mut) {
            let next = spec.get("retry").and_then(Value::as_i64).unwrap_or_default().saturating_add(1);
            spec.insert("retry".into(), json!(next));
            // Asking again is going on, forwards, and with what is asked for now.
            ["paused", "abort"].iter().for_each(|name| drop(spec.remove(*name)));
            spec.extend(asked.upgrade().get("spec").and_then(Value::as_object).cloned().unwrap_or_default());
        }
        Kept::InConfigMaps.write_spec(client, &self.key(), &known).await.with_context(place)
    }

    /// Makes the `GuardedUpgrade`, or leads the one that is there to the target; whether it is new.
    async fn declare(&self, upgrade: Option<&Value>) -> anyhow::Result<bool> {
        let asked = &self.carry.asked;
        let upgrades = self.cluster.api(api::API_VERSION, "GuardedUpgrade", Some(&asked.namespace));
        let rights = || {
            format!(
                "declaring the upgrade of {}/{} (the guard's role milvus-guard-declare may, or RELEASE-milvus-guard-declare where its release has another name)",
                asked.namespace, asked.release
            )
        };
        let wanted = asked.upgrade();
        let written = match upgrade {
            Some(upgrade) if is_declared(upgrade, &wanted) => return Ok(false),
            Some(upgrade) => {
                // Asking again is trying again.
                let retry = upgrade.pointer("/spec/retry").and_then(Value::as_i64).unwrap_or_default().saturating_add(1);
                let mut patch = json!({"metadata": {"resourceVersion": text(upgrade, "/metadata/resourceVersion")}, "spec": {"abort": null, "paused": null, "retry": retry}});
                if let (Some(spec), Some(wanted)) = (patch.get_mut("spec").and_then(Value::as_object_mut), wanted.get("spec").and_then(Value::as_object)) {
                    spec.extend(wanted.clone());
                }
                let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
                upgrades.patch(&asked.release, &parameters, &Patch::Merge(&patch)).await
            }
            None => {
                let object: DynamicObject = serde_json::from_value(wanted)?;
                upgrades.create(&PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }, &object).await
            }
        };
        match written {
            Ok(_) => Ok(upgrade.is_none()),
            Err(error) => Err(anyhow::anyhow!(why(&error))).with_context(rights),
        }
    }

    /// Whether a controller looks at the `GuardedUpgrade` as it is now.
    async fn is_watched(&self) -> anyhow::Result<bool> {
        let asked = &self.carry.asked;
        let begin = tokio::time::Instant::now();
        while begin.elapsed() < CONTROLLER_ANSWERS {
            let found = self.cluster.get(api::API_VERSION, "GuardedUpgrade", Some(&asked.namespace), &asked.release).await;
            let found = found.map_err(|error| anyhow::anyhow!("reading GuardedUpgrade {}: {}", asked.release, why(&error)))?;
            let number = |pointer: &str| found.as_ref().and_then(|found| found.pointer(pointer)).and_then(Value::as_i64);
            if number("/status/observedGeneration").is_some() && number("/status/observedGeneration") == number("/metadata/generation") {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(false)
    }

    /// Takes a declaration of ours away again.
    async fn withdraw(&self) {
        let asked = &self.carry.asked;
        let upgrades = self.cluster.api(api::API_VERSION, "GuardedUpgrade", Some(&asked.namespace));
        if let Err(error) = upgrades.delete(&asked.release, &DeleteParams::default()).await {
            eprintln!("GuardedUpgrade {} is left behind: {}", asked.release, why(&error));
        }
    }

    /// What is written has to wait: an installed guard takes the hold off again where it holds nothing, and the new image would run at once, beside the old one and on its metadata. The API server
    /// answers a dry run as it would answer the write; what somebody else wrote meanwhile is tried again when it is written.
    async fn must_wait(&self, rolling: &Rolling, seen: &Seen) -> anyhow::Result<()> {
        for draft in rolling.drafts.iter().filter(|draft| !draft.patch.0.is_empty()) {
            let name = text(&draft.object, "/metadata/name").unwrap_or_default();
            match self.cluster.send(&draft.object, &leave::guarded(&draft.object, &draft.patch), true).await {
                Ok(after) if direct::waits(&after) => {}
                Ok(_) => return Err(Refused::from(direct::not_held(&seen.cluster, &self.carry.asked, name)).into()),
                Err(error) if has_moved(&error) => {}
                Err(error) => bail!("Deployment {name} cannot be changed: {}", why(&error)),
            }
        }
        Ok(())
    }

    /// Writes the new image into every workload, which waits with it. What somebody else wrote meanwhile is read and judged again.
    async fn store(&self, mut rolling: Rolling) -> anyhow::Result<()> {
        const ATTEMPTS: u64 = 5;
        let asked = &self.carry.asked;
        for attempt in 1..=ATTEMPTS {
            let mut is_stale = false;
            for draft in rolling.drafts.iter().filter(|draft| !draft.patch.0.is_empty()) {
                let name = text(&draft.object, "/metadata/name").unwrap_or_default();
                match self.cluster.change(&draft.object, &draft.patch).await {
                    Ok(_) => {}
                    Err(error) if has_moved(&error) => is_stale = true,
                    Err(error) => bail!("Deployment {name} was not changed: {}. What was changed before it waits; the same command goes on", why(&error)),
                }
            }
            if !is_stale {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200 * attempt)).await;
            let seen = look_at(self.cluster.clone()).await;
            rolling = direct::rolling(&seen.cluster, asked, Some(rolling.pair.from)).await.map_err(Refused::from)?;
            if let Some(blocked) = rolling.blocked().first() {
                bail!("somebody else changed the release meanwhile: {blocked}");
            }
            self.must_wait(&rolling, &seen).await?;
        }
        bail!("the workloads of {} are written by others all the time; try again", asked.release)
    }
}

const NO_CONTROLLER: &str = "the guard is installed in this cluster, and no controller of it answers: its webhook would hold what is let go from here. Nothing was changed: \
                             see what keeps the controller (milvus-guard doctor), and run this again";

const NOT_FROM_HERE: &str = "Nothing was changed. Without an installed guard metadata is looked at from where this runs: name a way to etcd with -e that is one from here and from the cluster, or \
                             run this in the cluster (charts/milvus-migration-hook), or install the guard.";

/// Why an upgrade stops that passes by itself, once etcd answers.
const UNREAD: [&str; 2] = ["LayoutUnknown", "SessionsUnknown"];

/// How long that is waited for.
const ETCD_COMES_BACK: Duration = Duration::from_secs(180);

/// The version that a begun upgrade to this target comes from.
fn from_of(upgrade: &Value, asked: &Asked) -> Option<MilvusVersion> {
    let is_to = text(upgrade, "/status/to").and_then(|to| to.parse().ok()) == Some(asked.target.version);
    text(upgrade, "/status/from").filter(|_| is_to)?.parse().ok()
}

/// What tells this run from others.
pub(super) fn identity() -> String {
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_millis());
    format!("milvus-guard-{}-{started}", std::process::id())
}

/// Whether an object was written by others since it was read.
fn has_moved(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 || (status.code == 422 && status.message.contains("the server rejected our request")))
}

/// Whether an upgrade says all that is wanted already, goes on, and is not to go back.
fn is_declared(upgrade: &Value, wanted: &Value) -> bool {
    let spec = |object: &Value, name: &str| object.pointer("/spec").and_then(|spec| spec.get(name)).cloned();
    let is_so =
        wanted.get("spec").and_then(Value::as_object).is_some_and(|wanted| wanted.iter().all(|(name, value)| spec(upgrade, name).as_ref() == Some(value)));
    is_so && !is_stalled(upgrade) && spec(upgrade, "abort") != Some(json!(true)) && spec(upgrade, "paused") != Some(json!(true))
}

fn is_stalled(upgrade: &Value) -> bool {
    let conditions = upgrade.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    conditions.into_iter().any(|condition| text(condition, "/type") == Some("Stalled") && text(condition, "/status") == Some("True"))
}

/// Without the workloads nothing can be told; what else could not be read is said.
fn must_see_workloads(seen: &Seen) -> anyhow::Result<()> {
    if let Some(why) = &seen.unanswered {
        bail!("{why}");
    }
    for (what, why) in &seen.unread {
        if ["Deployments", "ReplicaSets", "StatefulSets", "PersistentVolumeClaims", "GuardedUpgrades"].contains(&what.as_str()) {
            bail!("{what} could not be read: {why}");
        }
        eprintln!("warning: {what} could not be read, so nothing of it was checked: {why}");
    }
    Ok(())
}

/// Whether it goes on with the upgrade to the same version that was begun and has not ended.
fn check(asked: &Asked, seen: &Seen, rolling: &Rolling, begun: Option<&Value>, is_left: bool, within_hook: bool) -> Result<bool, Refused> {
    let to: Option<MilvusVersion> = begun.and_then(api::upgrade_to).and_then(|to| to.parse().ok());
    let goes_on = to.map_or(is_left, |to| to == asked.target.version);
    if let (Some(to), false) = (to, goes_on) {
        let next = format!("Wait for it, or take it back first: milvus-guard abort {} -n {}", asked.release, asked.namespace);
        return Err(Refused::new(format!("MV712: an upgrade of {} to {to} is open", asked.release), next));
    }
    // What was begun is not rolled out everywhere, as it should be.
    let is_begun = goes_on || rolling.drafts.iter().any(|draft| draft.patch.0.is_empty());
    // Nor is it wrong that everything is stopped in the middle of a migration, or that Helm waits for its hook.
    let is_expected = |check: &str| match check {
        "rollout" | "upgrade" => is_begun,
        "stopped" | "fence" => goes_on,
        "pending-release" => within_hook,
        _ => false,
    };
    if let Some(obstacle) = doctor::obstacles(seen, &asked.release).into_iter().find(|entry| !is_expected(entry.check)) {
        let rule = obstacle.rule.map_or_else(String::new, |rule| format!("{rule}: "));
        return Err(Refused::new(format!("{rule}{}", obstacle.message), obstacle.remedy.unwrap_or_default()));
    }
    if !rolling.blocked().is_empty() {
        let next = format!("milvus-lint plan --from {} --to {} prints the way.", rolling.pair.from, rolling.pair.to);
        return Err(Refused::new(rolling.blocked().join("\n"), next));
    }
    for warning in rolling.warnings() {
        eprintln!("warning: {warning}");
    }
    Ok(goes_on)
}

/// What will be done, in its order.
fn plan(rolling: &Rolling, asked: &Asked) -> String {
    let pair = &rolling.pair;
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(text, "{} -> {} ({}), in this order:", pair.from, pair.to, pair.before.name());
    if rolling.order.migration {
        let _ = writeln!(text, "  all components stop; metadata is backed up, verified and migrated; then they start:");
    }
    for step in rolling.order.steps.iter().filter(|step| step.kind == StepKind::Roll) {
        let Some(draft) = rolling.drafts.iter().find(|draft| draft.component == step.component) else { continue };
        let name = milvus_guard_webhook::cluster::text(&draft.object, "/metadata/name").unwrap_or_default();
        let has_it = draft.before == asked.target.image;
        let _ = if has_it { writeln!(text, "  {name}: has the image") } else { writeln!(text, "  {name}: {} -> {}", draft.before, asked.target.image) };
    }
    let way = rolling.order.way_back(pair);
    let _ = match way.closes_with {
        Some(component) => writeln!(text, "no way back once {component} has begun: {}", way.reason),
        None => writeln!(text, "there is a way back at any time"),
    };
    text
}

/// Asks on a terminal. Where there is none nobody can be asked, and it goes on: upstream's scripts ask nothing, and the pipelines that call them have decided.
pub(super) fn is_wanted() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        say("there is no terminal to ask on, so it goes on, as upstream's script does; --dry-run only tells");
        return Ok(true);
    }
    print!("Go on? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What the release's values have to say, or its next upgrade takes all of it back.
fn values(asked: &Asked, seen: &Seen) -> String {
    let (repository, tag) = (repository_of(&asked.target.image), tag_of(&asked.target.image).unwrap_or_default());
    let prefix: String = doctor::values_key(seen, &asked.release).iter().map(|key| format!("{key}.")).collect();
    format!(
        "Put this into the release's values before its next upgrade, which else puts the image before back, on all components at once:\n  {prefix}image.all.repository: {repository}\n  \
         {prefix}image.all.tag: {tag}\nWith Helm alone: helm upgrade {} CHART -n {} --reset-then-reuse-values --set {prefix}image.all.repository={repository},{prefix}image.all.tag={tag}\n",
        asked.release, asked.namespace
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_that_says_all_that_is_wanted_is_not_written_again() {
        let wanted = json!({"spec": {"to": "2.5.22"}});
        for (spec, is_so) in [
            (json!({"to": "2.5.22", "approval": "Manual"}), true),
            (json!({"to": "2.5.16"}), false),
            (json!({"to": "2.5.22", "abort": true}), false),
            (json!({"to": "2.5.22", "paused": true}), false),
        ] {
            assert_eq!(is_declared(&json!({"spec": spec}), &wanted), is_so, "{spec}");
        }
    }
}
