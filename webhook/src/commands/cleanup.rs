//! `milvus-guard cleanup`: takes everything of the guard off the objects of a cluster, without a restart of anything.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use clap::Args;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use milvus_guard_webhook::api;
use milvus_guard_webhook::cluster::{Snapshot, label, running, text};
use milvus_guard_webhook::leave::{self, Undo};
use milvus_guard_webhook::server::registration::{FIELD_MANAGER, LEAVING_ANNOTATION};
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
    /// First take the webhooks out of these configurations for good, so that nothing is held again (the name that the chart gave them)
    #[arg(long, value_name = "NAME")]
    configuration: Option<String>,
}

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
        let api = self.api(version, kind, self.namespace.as_deref());
        let mut found = Vec::new();
        let mut parameters = ListParams::default().limit(500);
        loop {
            let page = match api.list(&parameters).await {
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(found),
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
                None => return Ok(found),
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
        bail!("upgrades are open: {}. Wait for them, or go on with --force", open.join(", "));
    }
    if let Some(name) = &arguments.configuration {
        unregister(&cluster, name, arguments.dry_run).await?;
    }
    let mut failed = 0;
    let mut configurations = BTreeSet::new();
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

/// Marks the configurations, so that no replica registers again, and empties them.
async fn unregister(cluster: &Cluster, name: &str, dry_run: bool) -> anyhow::Result<()> {
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        println!("{kind} {name}: webhooks taken out");
        if dry_run {
            continue;
        }
        let patch = json!({"metadata": {"annotations": {LEAVING_ANNOTATION: "true"}}, "webhooks": null});
        let api = cluster.api("admissionregistration.k8s.io/v1", kind, None);
        match api.patch(name, &parameters(), &Patch::Merge(patch)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            result => drop(result.with_context(|| format!("{kind} {name}"))?),
        }
    }
    Ok(())
}

async fn put_back(cluster: &Cluster, version: &str, kind: &str, object: &Value, dry_run: bool) -> anyhow::Result<()> {
    let undo = match kind {
        "Deployment" => {
            if leave::deployment(object, &[]).is_none() {
                return Ok(());
            }
            leave::deployment(object, &serving(cluster, object).await?)
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
    if !dry_run && !undo.patch.0.is_empty() {
        send(cluster, version, kind, object, &undo).await?;
    }
    Ok(())
}

/// Takes the note of what serves off the ConfigMap of a release.
async fn forget(cluster: &Cluster, namespace: &str, name: &str, dry_run: bool) -> anyhow::Result<()> {
    let Some(object) = cluster.api("v1", "ConfigMap", Some(namespace)).get_opt(name).await? else { return Ok(()) };
    let object = serde_json::to_value(object)?;
    let Some(undo) = leave::configuration(&object) else { return Ok(()) };
    println!("ConfigMap {namespace}/{name}: {}", undo.what);
    if !dry_run {
        send(cluster, "v1", "ConfigMap", &object, &undo).await?;
    }
    Ok(())
}

async fn send(cluster: &Cluster, version: &str, kind: &str, object: &Value, undo: &Undo) -> anyhow::Result<()> {
    let patch: json_patch::Patch = serde_json::from_value(leave::guarded(object, undo))?;
    let api = cluster.api(version, kind, text(object, "/metadata/namespace"));
    api.patch(text(object, "/metadata/name").unwrap_or_default(), &parameters(), &Patch::<()>::Json(patch)).await?;
    Ok(())
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

/// What serves of a Deployment.
async fn serving(cluster: &Cluster, object: &Value) -> anyhow::Result<Vec<running::Serving>> {
    let (namespace, name) = (text(object, "/metadata/namespace").unwrap_or_default(), text(object, "/metadata/name").unwrap_or_default());
    let own = Cluster { client: cluster.client.clone(), namespace: Some(namespace.to_owned()) };
    let sets = own.list("apps/v1", "ReplicaSet").await?;
    Ok(running::serving_of(&Snapshot::new(sets), namespace, name))
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
