//! `milvus-guard cleanup`: takes everything of the guard off the objects of a cluster, without a restart of anything.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use clap::Args;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use milvus_guard_webhook::admission::gitops;
use milvus_guard_webhook::admission::hold::Identity;
use milvus_guard_webhook::api;
use milvus_guard_webhook::cluster::{Snapshot, label, running, text};
use milvus_guard_webhook::leave::{self, Undo};
use milvus_guard_webhook::server::registration::FIELD_MANAGER;
use serde_json::{Value, json};

/// Arguments of `cleanup`.
#[derive(Debug, Args)]
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
#[error("upgrades are open: {0}. Wait for them, or go on with --force")]
pub(crate) struct Refused(String);

/// API versions of Flux's HelmRelease, the newest first.
const HELM_RELEASES: [&str; 3] = ["helm.toolkit.fluxcd.io/v2", "helm.toolkit.fluxcd.io/v2beta2", "helm.toolkit.fluxcd.io/v2beta1"];

struct Cluster {
    client: Client,
    namespace: Option<String>,
}

impl Cluster {
    fn api(&self, version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// All objects of a kind; none where the API server does not know it.
    async fn list(&self, version: &str, kind: &str) -> anyhow::Result<Vec<Value>> {
        Ok(self.list_served(version, kind).await?.unwrap_or_default())
    }

    /// All objects of a kind; nothing where the API server does not know it.
    async fn list_served(&self, version: &str, kind: &str) -> anyhow::Result<Option<Vec<Value>>> {
        let api = self.api(version, kind, self.namespace.as_deref());
        let mut found = Vec::new();
        let mut parameters = ListParams::default().limit(500);
        loop {
            let page = match api.list(&parameters).await {
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
                page => page.with_context(|| format!("listing {kind}"))?,
            };
            for object in page.items {
                let mut object = serde_json::to_value(object)?;
                if let Some(table) = object.as_object_mut() {
                    table.insert("apiVersion".into(), json!(version));
                    table.insert("kind".into(), json!(kind));
                }
                found.push(object);
            }
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => parameters = parameters.continue_token(&next),
                None => return Ok(Some(found)),
            }
        }
    }
}

/// Runs it.
pub(crate) fn run(arguments: Cleanup) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(clean(arguments))
}

async fn clean(arguments: Cleanup) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("no way to the API server")?;
    let cluster = Cluster { client, namespace: arguments.namespace.clone() };
    let open = open(&cluster, arguments.release.as_deref()).await?;
    if !open.is_empty() && !arguments.force {
        return Err(Refused(open.join(", ")).into());
    }
    if let Some(name) = &arguments.configuration {
        unregister(&cluster, name, arguments.dry_run).await?;
    }
    let mut failed = 0;
    let mut configurations = BTreeSet::new();
    for (version, object) in helm_releases(&cluster).await? {
        let is_wanted = arguments.release.as_deref().is_none_or(|release| gitops::release_name(&object).as_deref() == Some(release));
        if is_wanted && let Err(error) = restore(&cluster, version, &object, arguments.dry_run).await {
            eprintln!("HelmRelease {}: {error:#}", place(&object));
            failed += 1;
        }
    }
    for (version, kind) in [("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("v1", "PersistentVolumeClaim")] {
        for object in cluster.list(version, kind).await? {
            let is_wanted = arguments.release.as_deref().is_none_or(|release| is_of(&object, release));
            if is_wanted && let Err(error) = put_back(&cluster, version, kind, &object, arguments.dry_run).await {
                eprintln!("{kind} {}: {error:#}", place(&object));
                failed += 1;
            }
            let name = object.pointer("/spec/template").and_then(running::configuration_name).filter(|_| is_wanted && kind == "Deployment");
            configurations.extend(name.map(|name| (text(&object, "/metadata/namespace").unwrap_or_default().to_owned(), name.to_owned())));
        }
    }
    for (namespace, name) in configurations {
        if let Err(error) = forget(&cluster, &namespace, &name, arguments.dry_run).await {
            eprintln!("ConfigMap {namespace}/{name}: {error:#}");
            failed += 1;
        }
    }
    if failed > 0 {
        bail!("{failed} objects could not be put back; run it again");
    }
    Ok(())
}

/// Upgrades that are being carried out.
async fn open(cluster: &Cluster, release: Option<&str>) -> anyhow::Result<Vec<String>> {
    let all = cluster.list(api::API_VERSION, "GuardedUpgrade").await?;
    let is_wanted = |object: &&Value| api::is_open(object) && release.is_none_or(|release| text(object, "/metadata/name") == Some(release));
    Ok(all.iter().filter(is_wanted).map(place).collect())
}

/// Deletes the configurations: replicas may only change those that are there.
async fn unregister(cluster: &Cluster, name: &str, dry_run: bool) -> anyhow::Result<()> {
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        println!("{kind} {name}: deleted");
        if dry_run {
            continue;
        }
        let api = cluster.api("admissionregistration.k8s.io/v1", kind, None);
        match api.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            result => drop(result.with_context(|| format!("{kind} {name}"))?),
        }
    }
    Ok(())
}

/// Flux's HelmReleases, with the API version that is served.
async fn helm_releases(cluster: &Cluster) -> anyhow::Result<Vec<(&'static str, Value)>> {
    for version in HELM_RELEASES {
        if let Some(found) = cluster.list_served(version, "HelmRelease").await? {
            return Ok(found.into_iter().map(|object| (version, object)).collect());
        }
    }
    Ok(Vec::new())
}

/// Puts a HelmRelease back, and deletes the Secret that carried its values. That comes first, so that a run after one that was cut short finds what is left; but
/// only where the HelmRelease can be written.
async fn restore(cluster: &Cluster, version: &str, object: &Value, dry_run: bool) -> anyhow::Result<()> {
    let Some((undo, secret)) = leave::helm_release(object) else { return Ok(()) };
    println!("HelmRelease {}: {}; Secret {secret} deleted", place(object), undo.what);
    if dry_run {
        return Ok(());
    }
    let tried = PatchParams { dry_run: true, ..parameters() };
    let after = send(cluster, version, "HelmRelease", object, &leave::guarded(object, &undo), &tried).await?;
    if leave::helm_release(&after).is_some() {
        bail!("milvus-guard would put it in again: it is still in force; delete its webhook configurations first, with --configuration NAME");
    }
    let secrets = cluster.api("v1", "Secret", text(object, "/metadata/namespace"));
    match secrets.delete(&secret, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        result => drop(result.with_context(|| format!("deleting Secret {secret}"))?),
    }
    write(cluster, version, "HelmRelease", object, &undo).await
}

async fn put_back(cluster: &Cluster, version: &str, kind: &str, object: &Value, dry_run: bool) -> anyhow::Result<()> {
    let undo = match kind {
        "Deployment" => {
            if leave::deployment(object, &[], &[]).is_none() {
                return Ok(());
            }
            let (own, release) = serving(cluster, object).await?;
            leave::deployment(object, &own, &release)
        }
        "StatefulSet" => {
            if leave::stateful_set(object, None).is_none() {
                return Ok(());
            }
            leave::stateful_set(object, current_revision(cluster, object).await?.as_ref())
        }
        _ => leave::marked(object),
    };
    let Some(undo) = undo else { return Ok(()) };
    println!("{kind} {}: {}", place(object), undo.what);
    if dry_run || undo.patch.0.is_empty() { Ok(()) } else { write(cluster, version, kind, object, &undo).await }
}

/// Takes the note of what serves off the ConfigMap of a release.
async fn forget(cluster: &Cluster, namespace: &str, name: &str, dry_run: bool) -> anyhow::Result<()> {
    let Some(object) = cluster.api("v1", "ConfigMap", Some(namespace)).get_opt(name).await? else { return Ok(()) };
    let object = serde_json::to_value(object)?;
    let Some(undo) = leave::configuration(&object) else { return Ok(()) };
    println!("ConfigMap {namespace}/{name}: {}", undo.what);
    if dry_run { Ok(()) } else { write(cluster, "v1", "ConfigMap", &object, &undo).await }
}

/// Writes it, and leaves no trace of us as an owner of fields: Helm 4 applies server-side, and would meet a conflict at its next upgrade.
async fn write(cluster: &Cluster, version: &str, kind: &str, object: &Value, undo: &Undo) -> anyhow::Result<()> {
    let mut after = send(cluster, version, kind, object, &leave::guarded(object, undo), &parameters()).await?;
    // Controllers write at the same time; an empty patch reads.
    for _ in 0..20 {
        let Some(disowning) = leave::disowning(&after, FIELD_MANAGER) else { return Ok(()) };
        after = match send(cluster, version, kind, object, &disowning, &parameters()).await {
            Ok(after) => after,
            Err(_) => send(cluster, version, kind, object, &json!([]), &parameters()).await?,
        };
    }
    bail!("it is put back, but fields of it stay owned by {FIELD_MANAGER}: others write it all the time")
}

/// Sends a JSON patch; what became of the object.
async fn send(cluster: &Cluster, version: &str, kind: &str, object: &Value, operations: &Value, parameters: &PatchParams) -> anyhow::Result<Value> {
    let api = cluster.api(version, kind, text(object, "/metadata/namespace"));
    let patch = Patch::<()>::Json(serde_json::from_value(operations.clone())?);
    let after = api.patch(text(object, "/metadata/name").unwrap_or_default(), parameters, &patch).await.map_err(explained)?;
    Ok(serde_json::to_value(after)?)
}

/// What to do where the webhook itself is in the way.
fn explained(error: kube::Error) -> anyhow::Error {
    let is_dead = matches!(&error, kube::Error::Api(status) if status.message.contains("failed calling webhook"));
    let error = anyhow::Error::from(error);
    if is_dead { error.context("no replica of milvus-guard answers: delete its webhook configurations first, with --configuration NAME") } else { error }
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

/// What serves of a Deployment, and of its release.
async fn serving(cluster: &Cluster, object: &Value) -> anyhow::Result<(Vec<running::Serving>, Vec<running::Serving>)> {
    let (namespace, name) = (text(object, "/metadata/namespace").unwrap_or_default(), text(object, "/metadata/name").unwrap_or_default());
    let own = Cluster { client: cluster.client.clone(), namespace: Some(namespace.to_owned()) };
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
