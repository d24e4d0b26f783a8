//! `milvus-guard pause`, `resume`, `abort`, `retry` and `approve`: set what the controller reads from a `GuardedUpgrade`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use kube::api::{Patch, PatchParams};
use milvus_guard_webhook::api;
use milvus_guard_webhook::cluster::text;
use milvus_guard_webhook::controller::ReleaseKey;
use milvus_guard_webhook::controller::alone::{Alone, Means};
use milvus_guard_webhook::controller::kept::{Kept, name_of};
use milvus_guard_webhook::progress::Upgrade;
use milvus_guard_webhook::server::registration::FIELD_MANAGER;
use serde_json::{Value, json};

use super::carry::{identity, is_wanted};
use super::cleanup;
use super::cluster::{Cluster, why};
use super::output::say;

/// Which release.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The release; its GuardedUpgrade has the same name
    release: String,
    /// Its namespace; default: that of the kubeconfig's context
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// With abort: our own image, for the Jobs of a migration that was begun without a guard
    #[arg(long, value_name = "IMAGE", default_value = GUARD_IMAGE, hide_short_help = true)]
    guard_image: String,
}

/// Our own image, as it is published.
pub(super) const GUARD_IMAGE: &str = concat!("ghcr.io/milvus-guard/milvus-guard:", env!("CARGO_PKG_VERSION"));

impl Target {
    pub(super) const fn new(release: String, namespace: String, guard_image: String) -> Self {
        Self { release, namespace: Some(namespace), guard_image }
    }
}

/// Arguments of `approve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without a STEP it approves what the upgrade waits for: a step (spec.approval: Manual), or that it goes on with the part of a change that has arrived.

Examples:
  milvus-guard approve m -n db
  milvus-guard approve m mixcoord -n db    # only if that is what is waited for")]
pub(crate) struct Approve {
    #[command(flatten)]
    target: Target,
    /// The step that is waited for, as `status` names it, or its component
    step: Option<String>,
}

/// What is wanted of an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    Pause,
    Resume,
    Abort,
    Retry,
}

/// Runs one of them.
pub(crate) fn run(intent: Intent, target: &Target) -> anyhow::Result<()> {
    change(target, Some(intent), |upgrade| decide(intent, upgrade))
}

/// Runs `approve`.
pub(crate) fn approve(arguments: &Approve) -> anyhow::Result<()> {
    change(&arguments.target, None, |upgrade| approval(upgrade, arguments.step.as_deref()))
}

/// What is written into `spec`, and what that does, in words. Nothing to write where it is so already.
struct Change {
    spec: Value,
    words: String,
}

impl Change {
    fn new(spec: Value, words: impl Into<String>) -> Self {
        Self { spec, words: words.into() }
    }

    fn is_empty(&self) -> bool {
        self.spec.as_object().is_none_or(serde_json::Map::is_empty)
    }
}

fn change(target: &Target, intent: Option<Intent>, decide: impl Fn(&Value) -> anyhow::Result<Change>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (cluster, key) = place(target).await?;
        write(&cluster, &key, intent, &target.guard_image, decide).await
    })
}

async fn place(target: &Target) -> anyhow::Result<(Cluster, ReleaseKey)> {
    let cluster = Cluster::of_kubeconfig(None).await?;
    let namespace = target.namespace.clone().unwrap_or_else(|| cluster.client.default_namespace().to_owned());
    let key = ReleaseKey { namespace: namespace.as_str().into(), name: target.release.as_str().into() };
    Ok((cluster, key))
}

async fn write(
    cluster: &Cluster,
    key: &ReleaseKey,
    intent: Option<Intent>,
    image: &str,
    decide: impl Fn(&Value) -> anyhow::Result<Change>,
) -> anyhow::Result<()> {
    let declared = cluster.get(api::API_VERSION, "GuardedUpgrade", Some(&key.namespace), &key.name).await;
    if !matches!(declared, Ok(Some(_)))
        && let Ok(Some(upgrade)) = Kept::InConfigMaps.read(&cluster.client, key).await
    {
        return begun_alone(cluster, key, intent, &upgrade, image).await;
    }
    let change = steer(cluster, &key.namespace, &key.name, decide).await?;
    let nobody = if cluster.lacks_controller().await { " No controller is installed in this cluster, so nothing comes of it before there is one." } else { "" };
    say(&format!("{key}: {change}{nobody}"));
    Ok(())
}

/// Aborts the upgrade of a release once it is known to be the one that is meant, and somebody wants it: what `migrate -o rollback` does.
pub(super) fn take_back(target: &Target, is_meant: impl Fn(&Value) -> anyhow::Result<()>, dry_run: bool, yes: bool) -> anyhow::Result<ExitCode> {
    let decide = |upgrade: &Value| {
        let change = decide(Intent::Abort, upgrade)?;
        is_meant(upgrade).map(|()| change)
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (cluster, key) = place(target).await?;
        let declared = cluster.get(api::API_VERSION, "GuardedUpgrade", Some(&key.namespace), &key.name).await;
        let declared = declared.map_err(|error| anyhow::anyhow!("reading GuardedUpgrade {key}: {}", why(&error)))?;
        let upgrade = match declared {
            Some(declared) => declared,
            None => match Kept::InConfigMaps.read(&cluster.client, &key).await? {
                Some(kept) => kept,
                None => bail!("no upgrade of {key} is open: there is nothing to take back"),
            },
        };
        let change = decide(&upgrade)?;
        say(&format!("{key}: the upgrade to {} is to be taken back: metadata from its verified backup, then the version before", Upgrade::of(&upgrade).to));
        if dry_run || change.is_empty() {
            say(if dry_run { "nothing was changed" } else { &change.words });
            return Ok(ExitCode::SUCCESS);
        }
        if !yes && !is_wanted()? {
            say("nothing was changed");
            return Ok(ExitCode::from(1));
        }
        write(&cluster, &key, Some(Intent::Abort), &target.guard_image, decide).await.map(|()| ExitCode::SUCCESS)
    })
}

/// An upgrade that somebody began from a laptop, in a cluster without a guard: whoever runs `rolling-update` carries it out, and nobody else.
async fn begun_alone(cluster: &Cluster, key: &ReleaseKey, intent: Option<Intent>, upgrade: &Value, image: &str) -> anyhow::Result<()> {
    let to = api::upgrade_to(upgrade).unwrap_or("its target");
    let command = if upgrade.pointer("/spec/metadataMigration").is_some() { "migrate" } else { "rolling-update" };
    let again = format!("run again what began it: milvus-guard {command} -i {} -n {} with the image of {to}", key.name, key.namespace);
    let set = async |name: &str| {
        let mut wanted = upgrade.clone();
        if let Some(spec) = wanted.get_mut("spec").and_then(Value::as_object_mut) {
            spec.insert(name.to_owned(), json!(true));
        }
        let written = Kept::InConfigMaps.write_spec(&cluster.client, key, &wanted).await;
        written.map_err(|error| error.context(format!("ConfigMap {} in namespace {}", name_of(&key.name), key.namespace)))
    };
    match intent {
        Some(Intent::Pause) => {
            set("paused").await?;
            say(&format!(
                "{key}: paused: the command that carries it out stops within ten seconds, or now with Ctrl-C; what was let go goes on rolling out. To go on, {again}"
            ));
            Ok(())
        }
        Some(Intent::Abort) => {
            set("abort").await?;
            go_back(cluster, key, image).await
        }
        Some(Intent::Resume | Intent::Retry) | None => {
            bail!("it was begun from a laptop, without a guard, and nobody but that command carries it out: {again}")
        }
    }
}

/// How long a command that carries the upgrade out is waited for: it looks every ten seconds, and goes back itself then.
const OTHERS_END: Duration = Duration::from_secs(60);

/// Goes back to the version before with the rounds of the controller, here; then takes the new image off what never had its turn.
async fn go_back(cluster: &Cluster, key: &ReleaseKey, image: &str) -> anyhow::Result<()> {
    let means = Means { image: Some(image.to_owned()), within_hook: false };
    let mut alone = Alone::start(&cluster.client, key.clone(), identity(), means);
    if !alone.is_ready(OTHERS_END).await {
        bail!("{key}: the command that carries it out goes back now: once it has ended, run this again, so that what waits is put back, too");
    }
    let told = loop {
        let (upgrade, _) = alone.step().await?;
        let Some(upgrade) = upgrade else { bail!("{key}: somebody else has ended it") };
        let told = Upgrade::of(&upgrade);
        if told.is_seen && (told.stalled.is_some() || told.end().is_some()) {
            break told;
        }
    };
    if told.phase.as_deref() != Some("Aborted") {
        alone.give_back().await?;
        bail!("{key}: it does not go back: {}", told.message.unwrap_or_default());
    }
    cleanup::take_off(cluster, &key.namespace, &key.name).await?;
    alone.end().await?;
    say(&format!("{key}: {} serves again", told.from.unwrap_or_default()));
    Ok(())
}

/// Reads the upgrade, decides, and writes on the very version that was read; once more where somebody else was faster.
async fn steer(cluster: &Cluster, namespace: &str, release: &str, decide: impl Fn(&Value) -> anyhow::Result<Change>) -> anyhow::Result<String> {
    const ATTEMPTS: usize = 5;
    let upgrades = cluster.api(api::API_VERSION, "GuardedUpgrade", Some(namespace));
    for _ in 0..ATTEMPTS {
        let found = cluster.get(api::API_VERSION, "GuardedUpgrade", Some(namespace), release).await;
        let upgrade = found.map_err(|error| anyhow::anyhow!("reading GuardedUpgrade {namespace}/{release}: {}", why(&error)))?;
        let upgrade = match upgrade {
            Some(upgrade) => upgrade,
            None if matches!(cluster.has_our_kinds().await, Ok(false)) => bail!(NOT_INSTALLED),
            None => bail!(missing(namespace, release)),
        };
        let change = decide(&upgrade)?;
        if change.is_empty() {
            return Ok(change.words);
        }
        let patch = json!({"metadata": {"resourceVersion": text(&upgrade, "/metadata/resourceVersion")}, "spec": change.spec});
        match upgrades.patch(release, &PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }, &Patch::Merge(&patch)).await {
            Ok(after) => {
                let after = serde_json::to_value(after)?;
                if let Some(field) = pruned(&change.spec, &after) {
                    bail!(
                        "the definition of GuardedUpgrade in this cluster has no spec.{field}: bring it up to date with `milvus-guard crd | kubectl apply --server-side -f -`"
                    );
                }
                return Ok(format!("{}. `milvus-guard status {release} -n {namespace} --watch` follows it.", change.words));
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => bail!("writing GuardedUpgrade {namespace}/{release}: {}", why(&error)),
        }
    }
    bail!("GuardedUpgrade {namespace}/{release} is written by others all the time; try again")
}

/// A field that was written and is not there: the API server drops what a definition does not have.
fn pruned<'s>(spec: &'s Value, after: &Value) -> Option<&'s str> {
    let is_lost = |(name, value): &(&String, &Value)| !value.is_null() && after.pointer("/spec").and_then(|spec| spec.get(*name)) != Some(*value);
    spec.as_object()?.iter().find(is_lost).map(|(name, _)| name.as_str())
}

const NOT_INSTALLED: &str =
    "milvus-guard is not installed in this cluster (no GuardedUpgrade is defined), so there is nothing to pause, resume, abort, retry or approve";

fn missing(namespace: &str, release: &str) -> String {
    format!(
        "there is no GuardedUpgrade {release} in namespace {namespace}: no upgrade of that release is declared (`milvus-guard status -n {namespace}` lists what there is; -n names another namespace)"
    )
}

fn decide(intent: Intent, upgrade: &Value) -> anyhow::Result<Change> {
    let said = |name: &str| upgrade.pointer(&format!("/spec/{name}"));
    let is = |name: &str| said(name).and_then(Value::as_bool) == Some(true);
    let phase = text(upgrade, "/status/phase").unwrap_or_default();
    let has_ended = matches!(phase, "Completed" | "Aborted");
    Ok(match intent {
        Intent::Pause if is("paused") => Change::new(json!({}), "it is paused already"),
        Intent::Pause if has_ended => bail!("the upgrade is {phase}: there is nothing to pause"),
        Intent::Pause => Change::new(json!({"paused": true}), "paused: nothing more is released, stopped or removed; what was released goes on rolling out"),
        Intent::Resume if !is("paused") => Change::new(json!({}), "it is not paused"),
        Intent::Resume => Change::new(json!({"paused": null}), "goes on"),
        Intent::Abort if is("abort") => Change::new(json!({}), "it is aborted already"),
        Intent::Abort if has_ended => {
            let tells = text(upgrade, "/status/from").zip(text(upgrade, "/status/to")).filter(|_| phase == "Completed");
            let way = tells.map(|(from, to)| format!("; whether a way leads back, milvus-lint plan --from {to} --to {from} tells"));
            bail!("the upgrade is {phase}: there is nothing to abort{}", way.unwrap_or_default())
        }
        // A pause would keep it from going back.
        Intent::Abort => Change::new(
            json!({"abort": true, "paused": null}),
            "aborted: it goes back to the version before in reverse order, where there is a way back; what the change stored stays held until the release is rolled back",
        ),
        Intent::Retry if phase == "Completed" => bail!("the upgrade is Completed: there is nothing to try again"),
        Intent::Retry => {
            let next = said("retry").and_then(Value::as_i64).unwrap_or_default().saturating_add(1);
            Change::new(json!({"retry": next, "abort": null}), format!("attempt {next} begins: deadlines count anew, and it goes forwards"))
        }
    })
}

fn approval(upgrade: &Value, step: Option<&str>) -> anyhow::Result<Change> {
    let awaited = text(upgrade, "/status/awaitsApproval");
    let approved = text(upgrade, "/spec/approvedStep");
    let is_approved = |step: &str| Change::new(json!({}), format!("step {step} is approved already"));
    if let Some(awaited) = awaited.filter(|awaited| step.is_none_or(|step| step == *awaited || step == component_of(awaited))) {
        return Ok(if approved == Some(awaited) {
            is_approved(awaited)
        } else {
            Change::new(json!({"approvedStep": awaited}), format!("step {awaited} is approved"))
        });
    }
    let waits = || text(upgrade, "/status/waitingFor").map_or_else(String::new, |waiting| format!("; it waits for {waiting}"));
    if let Some(step) = step {
        return match awaited {
            None if approved == Some(step) => Ok(is_approved(step)),
            None => bail!("step {step} is not waited for: the upgrade waits for the approval of no step{}", waits()),
            Some(awaited) => bail!("step {step} is not waited for: the upgrade waits for the approval of {awaited}"),
        };
    }
    let conditions = upgrade.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let is_partial = conditions.clone().any(|condition| text(condition, "/status") == Some("True") && text(condition, "/reason") == Some("ChangeIncomplete"));
    match text(upgrade, "/status/change").filter(|_| is_partial) {
        // The controller says what lacks, and that only the rest completes it.
        Some(change) if text(upgrade, "/spec/acceptPartial") == Some(change) => {
            bail!("change {change} was accepted in part already: {}", text(upgrade, "/status/message").unwrap_or("it is complete once the rest has arrived"))
        }
        Some(change) => Ok(Change::new(json!({"acceptPartial": change}), format!("change {change} may go on with the part of it that has arrived"))),
        None => bail!("the upgrade waits for no approval{}", waits()),
    }
}

/// The component of a step such as `2.6.15/mixcoord#3`, of the third attempt.
fn component_of(step: &str) -> &str {
    let component = step.rsplit_once('/').map_or(step, |(_, component)| component);
    component.split_once('#').map_or(component, |(component, _)| component)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade(spec: Value, status: Value) -> Value {
        json!({"metadata": {"name": "m"}, "spec": spec, "status": status})
    }

    #[test]
    fn an_intent_sets_what_the_controller_reads_and_nothing_twice() {
        let set = |intent, spec: Value| decide(intent, &upgrade(spec, json!({"phase": "Running"}))).unwrap().spec;
        assert_eq!(set(Intent::Pause, json!({})), json!({"paused": true}));
        assert_eq!(set(Intent::Pause, json!({"paused": true})), json!({}));
        assert_eq!(set(Intent::Resume, json!({"paused": true})), json!({"paused": null}));
        assert_eq!(set(Intent::Resume, json!({})), json!({}));
        assert_eq!(set(Intent::Abort, json!({"paused": true})), json!({"abort": true, "paused": null}));
        assert_eq!(set(Intent::Abort, json!({"abort": true})), json!({}));
        assert_eq!(set(Intent::Retry, json!({"retry": 2, "abort": true})), json!({"retry": 3, "abort": null}));
    }

    #[test]
    fn a_field_that_an_old_definition_drops_is_noticed() {
        let spec = json!({"abort": true, "paused": null});
        assert_eq!(pruned(&spec, &upgrade(json!({"to": "2.6.15"}), json!({}))), Some("abort"));
        assert_eq!(pruned(&spec, &upgrade(json!({"to": "2.6.15", "abort": true}), json!({}))), None);
    }

    #[test]
    fn what_has_ended_is_neither_paused_nor_aborted() {
        for phase in ["Completed", "Aborted"] {
            for intent in [Intent::Pause, Intent::Abort] {
                assert!(decide(intent, &upgrade(json!({}), json!({"phase": phase}))).is_err());
            }
        }
        assert!(decide(Intent::Retry, &upgrade(json!({}), json!({"phase": "Completed"}))).is_err());
        assert!(decide(Intent::Retry, &upgrade(json!({}), json!({"phase": "Aborted"}))).is_ok());
    }

    #[test]
    fn a_part_that_was_accepted_is_not_offered_again() {
        let status = json!({"change": "c1", "message": "missing: datanode. Apply the rest.", "conditions": [{"type": "Stalled", "status": "True", "reason": "ChangeIncomplete"}]});
        let refused = |accepted: &str| {
            approval(&upgrade(json!({"acceptPartial": accepted}), status.clone()), None).map(|change| change.spec).map_err(|error| error.to_string())
        };
        assert_eq!(refused("c1"), Err("change c1 was accepted in part already: missing: datanode. Apply the rest.".to_owned()));
        assert_eq!(refused("c0"), Ok(json!({"acceptPartial": "c1"})), "that was of another change");
    }

    #[test]
    fn an_approval_is_of_what_is_waited_for() {
        let set = |status: Value, step| approval(&upgrade(json!({"approvedStep": "2.6.15/streamingnode"}), status), step).map(|change| change.spec);
        assert_eq!(set(json!({"awaitsApproval": "2.6.15/mixcoord"}), None).unwrap(), json!({"approvedStep": "2.6.15/mixcoord"}));
        assert_eq!(set(json!({"awaitsApproval": "2.6.15/streamingnode"}), None).unwrap(), json!({}));
        for step in ["2.6.15/mixcoord#3", "mixcoord"] {
            assert_eq!(set(json!({"awaitsApproval": "2.6.15/mixcoord#3"}), Some(step)).unwrap(), json!({"approvedStep": "2.6.15/mixcoord#3"}));
        }
        // What the controller would never read as an approval.
        for step in ["2.6.15/proxy", "streamingnode", "wrong/step", "2.6.15/mixcoord"] {
            let refused = set(json!({"awaitsApproval": "2.6.15/mixcoord#3"}), Some(step)).unwrap_err().to_string();
            assert_eq!(refused, format!("step {step} is not waited for: the upgrade waits for the approval of 2.6.15/mixcoord#3"));
        }
        let refused = set(json!({"waitingFor": "mixcoord: 0 of 1 ready"}), Some("2.6.15/proxy")).unwrap_err().to_string();
        assert!(refused.ends_with("waits for the approval of no step; it waits for mixcoord: 0 of 1 ready"), "{refused}");
        assert_eq!(set(json!({}), Some("2.6.15/streamingnode")).unwrap(), json!({}));
        let partial = json!({"change": "c1", "conditions": [{"type": "Stalled", "status": "True", "reason": "ChangeIncomplete"}]});
        assert_eq!(set(partial, None).unwrap(), json!({"acceptPartial": "c1"}));
        assert_eq!(
            set(json!({"waitingFor": "mixcoord: 0 of 1 ready"}), None).unwrap_err().to_string(),
            "the upgrade waits for no approval; it waits for mixcoord: 0 of 1 ready"
        );
    }
}
