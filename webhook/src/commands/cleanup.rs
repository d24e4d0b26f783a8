//! `milvus-guard cleanup`: takes everything of the guard off the objects of a cluster, without a restart of anything.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use clap::Args;
use kube::api::DeleteParams;
use milvus_guard_webhook::admission::gitops;
use milvus_guard_webhook::admission::hold::{FENCE_LABEL, FENCE_NAMESPACE_LABEL, Identity, stopped};
use milvus_guard_webhook::api;
use milvus_guard_webhook::cluster::{Snapshot, label, running, text};
use milvus_guard_webhook::controller::flux::HELM_RELEASES;
use milvus_guard_webhook::leave::{self, Undo};
use milvus_guard_webhook::server::registration::FIELD_MANAGER;
use serde_json::Value;

use super::cluster::Cluster;
use super::output::say;

/// Arguments of `cleanup`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done, or nothing to do, 2 something could not be put back, 3 refused: an upgrade is open.

Examples:
  milvus-guard cleanup -n db m --dry-run    # what would be done for one release
  milvus-guard cleanup --configuration milvus-guard    # everywhere, before the guard is uninstalled")]
pub(crate) struct Cleanup {
    /// Only this release
    release: Option<String>,
    /// Only this namespace; default: all of them
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Also while an upgrade or migration is open
    #[arg(long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// First delete the webhook configurations of this name, so that nothing is held again; replicas cannot make them anew
    #[arg(long, value_name = "NAME")]
    configuration: Option<String>,
}

/// Nothing was done: it would leave an upgrade half way.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

impl Refused {
    /// What is open, as namespace and name.
    fn of(open: &[(String, String)]) -> Self {
        let places: Vec<String> = open.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
        let ways: Vec<String> = open.iter().map(|(namespace, name)| format!("milvus-guard abort {name} -n {namespace}")).collect();
        Self(format!("upgrades are open: {}. Take them back first: {}. Or wait for them, or go on with --force", places.join(", "), ways.join("; ")))
    }
}

/// What selects the webhook configurations of a guard, as our chart labels them.
const OURS: &str = "app.kubernetes.io/name=milvus-guard";

/// Runs it.
pub(crate) fn run(arguments: Cleanup) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(clean(arguments))
}

async fn clean(arguments: Cleanup) -> anyhow::Result<()> {
    let cluster = Cluster::of_kubeconfig(arguments.namespace.clone()).await?;
    let open = open(&cluster, arguments.release.as_deref()).await?;
    if !open.is_empty() && !arguments.force {
        let refused = Refused::of(&open);
        if !arguments.dry_run {
            return Err(refused.into());
        }
        eprintln!("without --dry-run this is refused: {refused}");
    }
    if let Some(name) = &arguments.configuration {
        unregister(&cluster, name, arguments.dry_run).await?;
    }
    let mut failed = 0;
    let mut is_touched = false;
    let mut note = |kind: &str, place: String, done: anyhow::Result<bool>| match done {
        Ok(touched) => is_touched |= touched,
        Err(error) => {
            eprintln!("{kind} {place}: {error:#}");
            failed += 1;
        }
    };
    let mut configurations = BTreeSet::new();
    for object in helm_releases(&cluster).await? {
        let is_wanted = arguments.release.as_deref().is_none_or(|release| gitops::release_name(&object).as_deref() == Some(release));
        if is_wanted {
            note("HelmRelease", place(&object), restore(&cluster, &object, arguments.dry_run).await);
        }
    }
    for (version, kind) in [("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("v1", "PersistentVolumeClaim")] {
        for object in cluster.list(version, kind).await? {
            let is_wanted = arguments.release.as_deref().is_none_or(|release| is_of(&object, release));
            if is_wanted {
                note(kind, place(&object), put_back(&cluster, kind, &object, arguments.dry_run).await);
            }
            if let Some(template) = object.pointer("/spec/template").filter(|_| is_wanted && kind == "Deployment") {
                let namespace = text(&object, "/metadata/namespace").unwrap_or_default();
                configurations.extend(running::configuration_names(template).into_iter().map(|name| (namespace.to_owned(), name.to_owned())));
            }
        }
    }
    for (namespace, name) in configurations {
        note("ConfigMap", format!("{namespace}/{name}"), forget(&cluster, &namespace, &name, arguments.dry_run).await);
    }
    // Last: as long as it stands, nothing starts that is not as it should be.
    for (kind, object) in fences(&cluster, &arguments).await? {
        let name = text(&object, "/metadata/name").unwrap_or_default();
        note(kind, name.to_owned(), unfence(&cluster, kind, &object, arguments.dry_run).await);
    }
    if failed > 0 {
        bail!("{failed} objects could not be put back; run it again");
    }
    if !is_touched {
        if let Some(namespace) = &arguments.namespace
            && cluster.lacks_namespace(namespace).await
        {
            bail!("there is no namespace {namespace}");
        }
        say(&nothing(arguments.release.as_deref(), arguments.namespace.as_deref()));
    }
    Ok(())
}

/// Takes everything of ours off the workloads of a release and their configurations, as far as an upgrade from a laptop leaves something there: with the rights that such an upgrade needs, and no more.
pub(super) async fn take_off(cluster: &Cluster, namespace: &str, release: &str) -> anyhow::Result<()> {
    let own = Cluster { namespace: Some(namespace.to_owned()), ..cluster.clone() };
    let mut configurations = BTreeSet::new();
    for object in own.list("apps/v1", "Deployment").await?.into_iter().filter(|object| is_of(object, release)) {
        put_back(&own, "Deployment", &object, false).await.with_context(|| place(&object))?;
        let template = object.pointer("/spec/template").unwrap_or(&Value::Null);
        configurations.extend(running::configuration_names(template).into_iter().map(str::to_owned));
    }
    for name in configurations {
        forget(&own, namespace, &name, false).await.with_context(|| format!("ConfigMap {name}"))?;
    }
    Ok(())
}

/// Fences of migrations: bindings first, without which a policy does nothing.
async fn fences(cluster: &Cluster, arguments: &Cleanup) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let everywhere = Cluster { namespace: None, ..cluster.clone() };
    let mut found = Vec::new();
    for kind in ["ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"] {
        for object in everywhere.list("admissionregistration.k8s.io/v1", kind).await? {
            let (Some(release), Some(namespace)) = (label(&object, FENCE_LABEL), label(&object, FENCE_NAMESPACE_LABEL)) else { continue };
            let is_wanted = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
            if is_wanted(&arguments.release, release) && is_wanted(&arguments.namespace, namespace) {
                found.push((kind, object));
            }
        }
    }
    Ok(found)
}

async fn unfence(cluster: &Cluster, kind: &str, object: &Value, dry_run: bool) -> anyhow::Result<bool> {
    let name = text(object, "/metadata/name").unwrap_or_default();
    let release = format!("{}/{}", label(object, FENCE_NAMESPACE_LABEL).unwrap_or_default(), label(object, FENCE_LABEL).unwrap_or_default());
    let done = if dry_run { "would be deleted" } else { "deleted" };
    say(&format!(
        "{kind} {name}: {done}; pods of {release} may start again: `milvus-guard metadata layout` tells whether its metadata is that of the version that starts"
    ));
    if !dry_run {
        match cluster.api("admissionregistration.k8s.io/v1", kind, None).delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            result => drop(result.with_context(|| format!("deleting {kind} {name}"))?),
        }
    }
    Ok(true)
}

/// Upgrades that are being carried out.
async fn open(cluster: &Cluster, release: Option<&str>) -> anyhow::Result<Vec<(String, String)>> {
    let all = cluster.list(api::API_VERSION, "GuardedUpgrade").await?;
    let is_wanted = |object: &&Value| api::is_open(object) && release.is_none_or(|release| text(object, "/metadata/name") == Some(release));
    let of = |object: &Value| [text(object, "/metadata/namespace"), text(object, "/metadata/name")].map(|word| word.unwrap_or_default().to_owned());
    Ok(all.iter().filter(is_wanted).map(of).map(|[namespace, name]| (namespace, name)).collect())
}

/// Deletes the configurations: replicas may only change those that are there.
async fn unregister(cluster: &Cluster, name: &str, dry_run: bool) -> anyhow::Result<()> {
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        let api = cluster.api("admissionregistration.k8s.io/v1", kind, None);
        if dry_run {
            let is_there = api.get_opt(name).await.with_context(|| format!("{kind} {name}"))?.is_some();
            say(&format!("{kind} {name}: {}", if is_there { "would be deleted" } else { "not found" }));
            continue;
        }
        match api.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                say(&format!("{kind} {name}: not found; `kubectl get {}s -l {OURS}` lists what a guard registered", kind.to_lowercase()))
            }
            result => {
                drop(result.with_context(|| format!("{kind} {name}"))?);
                say(&format!("{kind} {name}: deleted"));
            }
        }
    }
    Ok(())
}

/// That there was nothing to do, and where.
fn nothing(release: Option<&str>, namespace: Option<&str>) -> String {
    let place = namespace.map_or_else(|| "any namespace".to_owned(), |namespace| format!("namespace {namespace}"));
    let of = release.map_or_else(String::new, |release| format!(" on release {release}"));
    format!("nothing of the guard found{of} in {place}")
}

/// What becomes of an object, in words; in a dry run, what would.
fn told(undo: &Undo, dry_run: bool) -> String {
    if dry_run && !undo.patch.0.is_empty() { format!("would be written, so that: {}", undo.what) } else { undo.what.to_owned() }
}

/// Flux's HelmReleases, in the API version that is served.
async fn helm_releases(cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
    for version in HELM_RELEASES {
        if let Some(found) = cluster.list_served(version, "HelmRelease").await? {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// Puts a HelmRelease back, then deletes the Secret that carried its values: while Flux is told to take it, it is there.
async fn restore(cluster: &Cluster, object: &Value, dry_run: bool) -> anyhow::Result<bool> {
    let Some(secret) = leave::carried_for(object) else { return Ok(false) };
    let undo = leave::helm_release(object);
    if let Some(undo) = &undo {
        say(&format!("HelmRelease {}: {}", place(object), told(undo, dry_run)));
    }
    if let Some(undo) = undo.as_ref().filter(|_| !dry_run) {
        let after = cluster.send(object, &leave::guarded(object, &undo.patch), true).await.map_err(explained)?;
        if leave::helm_release(&after).is_some() {
            bail!("milvus-guard would put it in again: it is still in force; delete its webhook configurations first, with --configuration NAME");
        }
        write(cluster, object, undo).await?;
    }
    let secrets = cluster.api("v1", "Secret", text(object, "/metadata/namespace"));
    // Who leaves may delete Secrets, and not read them: a dry run tells whether one is there.
    let deletion = DeleteParams { dry_run, ..DeleteParams::default() };
    match secrets.delete(&secret, &deletion).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(undo.is_some()),
        result => drop(result.with_context(|| format!("deleting Secret {secret}"))?),
    }
    say(&format!("Secret {}/{secret}: {}", text(object, "/metadata/namespace").unwrap_or_default(), if dry_run { "would be deleted" } else { "deleted" }));
    Ok(true)
}

async fn put_back(cluster: &Cluster, kind: &str, object: &Value, dry_run: bool) -> anyhow::Result<bool> {
    let undo = match kind {
        "Deployment" => {
            if leave::deployment(object, &[], &[]).is_none() {
                return Ok(false);
            }
            let (own, release) = serving(cluster, object).await?;
            leave::deployment(object, &own, &release)
        }
        "StatefulSet" => {
            if leave::stateful_set(object, None).is_none() {
                return Ok(false);
            }
            leave::stateful_set(object, current_revision(cluster, object).await?.as_ref())
        }
        _ => leave::marked(object),
    };
    let Some(undo) = undo else { return Ok(false) };
    if !dry_run && !undo.patch.0.is_empty() {
        write(cluster, object, &undo).await?;
    }
    say(&format!("{kind} {}: {}", place(object), told(&undo, dry_run)));
    Ok(true)
}

/// Takes the note of what serves off the ConfigMap of a release.
async fn forget(cluster: &Cluster, namespace: &str, name: &str, dry_run: bool) -> anyhow::Result<bool> {
    let Some(object) = cluster.get("v1", "ConfigMap", Some(namespace), name).await? else { return Ok(false) };
    let Some(undo) = leave::configuration(&object) else { return Ok(false) };
    say(&format!("ConfigMap {namespace}/{name}: {}", told(&undo, dry_run)));
    if !dry_run {
        write(cluster, &object, &undo).await?;
    }
    Ok(true)
}

/// Writes it, looks at what was stored, and leaves no trace of us as an owner of fields.
async fn write(cluster: &Cluster, object: &Value, undo: &Undo) -> anyhow::Result<()> {
    let mut operations = leave::guarded(object, &undo.patch);
    if stopped(object).is_some() && stopped(&cluster.send(object, &operations, true).await.map_err(explained)?).is_some() {
        operations = leave::giving_up(operations);
    }
    let (after, is_disowned) = cluster.change_by(object, &operations).await.map_err(explained)?;
    if let Some(still) = leave::still(&after) {
        bail!(
            "{still} again as soon as it was put back: milvus-guard is in force; see its hold, or delete its webhook configurations first, with --configuration NAME"
        );
    }
    if !is_disowned {
        bail!("it is put back, but fields of it stay owned by {FIELD_MANAGER}: others write it all the time");
    }
    Ok(())
}

/// What to do where the webhook itself is in the way.
fn explained(error: kube::Error) -> anyhow::Error {
    let is_dead = matches!(&error, kube::Error::Api(status) if status.message.contains("failed calling webhook"));
    let error = anyhow::Error::from(error);
    if is_dead { error.context("no replica of milvus-guard answers: delete its webhook configurations first, with --configuration NAME") } else { error }
}

/// What serves of a Deployment, and of its release.
async fn serving(cluster: &Cluster, object: &Value) -> anyhow::Result<(Vec<running::Serving>, Vec<running::Serving>)> {
    let (namespace, name) = (text(object, "/metadata/namespace").unwrap_or_default(), text(object, "/metadata/name").unwrap_or_default());
    let own = Cluster { namespace: Some(namespace.to_owned()), ..cluster.clone() };
    let sets = Snapshot::new(own.list("apps/v1", "ReplicaSet").await?);
    let release = Identity::of(object).map(|identity| running::serving(&sets, namespace, identity.release));
    Ok((running::serving_of(&sets, namespace, name), release.unwrap_or_default()))
}

/// The ControllerRevision that a StatefulSet's pods were made from.
async fn current_revision(cluster: &Cluster, object: &Value) -> anyhow::Result<Option<Value>> {
    let Some(name) = text(object, "/status/currentRevision") else { return Ok(None) };
    let api = cluster.api("apps/v1", "ControllerRevision", text(object, "/metadata/namespace"));
    let found = api.get_opt(name).await.context("reading the revision that serves")?;
    Ok(found.map(serde_json::to_value).transpose()?)
}

fn is_of(object: &Value, release: &str) -> bool {
    ["app.kubernetes.io/instance", "release"].iter().any(|name| label(object, name) == Some(release))
}

fn place(object: &Value) -> String {
    format!("{}/{}", text(object, "/metadata/namespace").unwrap_or_default(), text(object, "/metadata/name").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_open_is_told_with_the_command_that_takes_it_back() {
        let told = Refused::of(&[("db".into(), "m".into())]).to_string();
        assert_eq!(told, "upgrades are open: db/m. Take them back first: milvus-guard abort m -n db. Or wait for them, or go on with --force");
    }

    #[test]
    fn what_was_not_done_is_not_told_as_done() {
        let object = json!({"metadata": {"annotations": {"guard.milvus-guard.dev/marks": "helm.sh/resource-policy"}}});
        let undo = leave::marked(&object).unwrap();
        assert_eq!((told(&undo, false).as_str(), told(&undo, true).as_str()), ("marks taken off", "would be written, so that: marks taken off"));
        assert_eq!(nothing(Some("m"), Some("db")), "nothing of the guard found on release m in namespace db");
        assert_eq!(nothing(None, None), "nothing of the guard found in any namespace");
    }
}
