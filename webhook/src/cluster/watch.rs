//! The cluster as the API server tells it: small caches kept by watches, and few reads by name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use milvus_guard::model::release::component_names;
use serde_json::Value;

use super::generations::{Generations, Touched};
use super::{Cluster, Kind, ReadError};
use crate::admission::release::Driver;

type ByNamespace = BTreeMap<String, BTreeMap<String, Arc<Value>>>;

/// The objects of one kind.
#[derive(Debug, Default)]
struct Store {
    objects: RwLock<ByNamespace>,
    filled: AtomicBool,
    /// Changes of all stores so far.
    generations: Arc<Generations>,
}

impl Store {
    fn write(&self, change: impl FnOnce(&mut ByNamespace) -> Touched) {
        let touched = change(&mut self.objects.write().unwrap_or_else(PoisonError::into_inner));
        self.generations.count(&touched);
    }
}

/// A cluster behind an API server.
pub struct Watched {
    client: Client,
    stores: BTreeMap<Kind, Arc<Store>>,
    version: OnceLock<(u32, u32)>,
    generations: Arc<Generations>,
}

impl Watched {
    /// Begins to watch; the caches fill in the background. The watches end when the returned value is dropped.
    ///
    /// `namespaces`: only these, or all of them where there are none.
    #[must_use]
    pub fn start(client: &Client) -> Arc<Self> {
        let generations = Arc::<Generations>::default();
        let store = || Arc::new(Store { generations: Arc::clone(&generations), ..Store::default() });
        let stores: BTreeMap<Kind, Arc<Store>> = Kind::ALL.into_iter().map(|kind| (kind, store())).collect();
        for (kind, store) in &stores {
            tokio::spawn(keep(client.clone(), *kind, Arc::downgrade(store)));
        }
        let watched = Arc::new(Self { client: client.clone(), stores, version: OnceLock::new(), generations });
        let asking = Arc::downgrade(&watched);
        let client = client.clone();
        tokio::spawn(async move {
            if let (Ok(info), Some(watched)) = (client.apiserver_version().await, asking.upgrade()) {
                let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
                if let Some(version) = number(&info.major).zip(number(&info.minor)) {
                    let _known = watched.version.set(version);
                    watched.generations.count(&Touched::All);
                }
            }
        });
        watched
    }

    async fn get(&self, api: (&str, &str), namespace: &str, name: &str) -> Result<Option<Value>, ReadError> {
        let resource = resource(api.0, api.1);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        match api.get_opt(name).await {
            Ok(found) => Ok(found.and_then(|object| serde_json::to_value(object).ok())),
            Err(error) => Err(ReadError(reason(&error))),
        }
    }
}

/// An error in few words; a response's body may hold anything and is left out.
fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.reason, status.code),
        _ => "no answer".to_owned(),
    }
}

fn resource(version: &str, kind: &str) -> ApiResource {
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// What to watch of a kind.
fn selection(kind: Kind) -> watcher::Config {
    let config = watcher::Config::default().page_size(200);
    match kind {
        Kind::Deployment | Kind::ReplicaSet => config.labels(&format!("component in ({})", component_names().collect::<Vec<_>>().join(","))),
        Kind::Operated => config.labels("app.kubernetes.io/managed-by=milvus-operator"),
        Kind::Claim | Kind::GuardedUpgrade | Kind::UpgradeReceipt | Kind::Namespace | Kind::HelmRepository => config,
    }
}

/// Keeps one store up to date until nobody holds it any more.
async fn keep(client: Client, kind: Kind, store: std::sync::Weak<Store>) {
    let (version, name) = kind.api();
    let api: Api<DynamicObject> = Api::all_with(client, &resource(version, name));
    let mut events = std::pin::pin!(watcher(api, selection(kind)));
    let mut fresh = ByNamespace::new();
    let mut pause_seconds = 1;
    while let Some(event) = events.next().await {
        let Some(store) = store.upgrade() else { return };
        match event {
            Ok(Event::Init) => fresh = ByNamespace::new(),
            Ok(Event::InitApply(object)) => {
                insert(&mut fresh, kind, object);
            }
            Ok(Event::InitDone) => {
                let whole = std::mem::take(&mut fresh);
                store.write(|objects| {
                    let touched = if *objects == whole { Touched::Nothing } else { Touched::All };
                    *objects = whole;
                    touched
                });
                store.filled.store(true, Ordering::Release);
                pause_seconds = 1;
            }
            Ok(Event::Apply(object)) => store.write(|objects| insert(objects, kind, object)),
            Ok(Event::Delete(object)) => store.write(|objects| remove(objects, kind, &object)),
            Err(error) => {
                // A kind that is not served (its definition is not installed yet) has no objects. Repositories of charts are a help, no need.
                if is_not_served(&error) || kind == Kind::HelmRepository {
                    store.filled.store(true, Ordering::Release);
                    tracing::debug!(kind = name, "not to be watched (yet)");
                } else {
                    tracing::warn!(kind = name, "a watch was interrupted and begins anew");
                }
                drop(store);
                tokio::time::sleep(std::time::Duration::from_secs(pause_seconds)).await;
                pause_seconds = (pause_seconds * 2).min(30);
            }
        }
    }
}

fn is_not_served(error: &watcher::Error) -> bool {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        _ => return false,
    };
    status.code == 404
}

/// Keeps an object. What no gate looks at is no change.
fn insert(objects: &mut ByNamespace, kind: Kind, object: DynamicObject) -> Touched {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let touched = Touched::Namespace(if kind == Kind::Namespace { name.clone() } else { namespace.clone() });
    let (version, kind_name) = kind.api();
    let Ok(mut value) = serde_json::to_value(object) else { return Touched::Nothing };
    strip(&mut value, kind);
    if let Some(table) = value.as_object_mut() {
        table.insert("apiVersion".into(), version.into());
        table.insert("kind".into(), kind_name.into());
    }
    let of_namespace = objects.entry(namespace).or_default();
    if of_namespace.get(&name).is_some_and(|known| **known == value) {
        return Touched::Nothing;
    }
    of_namespace.insert(name, Arc::new(value));
    touched
}

fn remove(objects: &mut ByNamespace, kind: Kind, object: &DynamicObject) -> Touched {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let Some(of_namespace) = objects.get_mut(&namespace) else { return Touched::Nothing };
    if of_namespace.remove(&name).is_none() {
        return Touched::Nothing;
    }
    if of_namespace.is_empty() {
        objects.remove(&namespace);
    }
    Touched::Namespace(if kind == Kind::Namespace { name } else { namespace })
}

/// Leaves out what no gate looks at.
fn strip(object: &mut Value, kind: Kind) {
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    let Some(table) = object.as_object_mut() else { return };
    if matches!(kind, Kind::Claim | Kind::Namespace | Kind::Operated) {
        table.remove("spec");
    }
    // How far a rollout is, and what an upgrade says of itself.
    let looked_at: &[&str] = match kind {
        Kind::Deployment => &["observedGeneration", "replicas", "updatedReplicas", "availableReplicas"],
        Kind::ReplicaSet => &["replicas", "readyReplicas"],
        Kind::GuardedUpgrade | Kind::UpgradeReceipt => return,
        Kind::Claim | Kind::Namespace | Kind::Operated | Kind::HelmRepository => &[],
    };
    if let Some(status) = table.get_mut("status").and_then(Value::as_object_mut) {
        status.retain(|key, _| looked_at.contains(&key.as_str()));
    }
    if looked_at.is_empty() {
        table.remove("status");
    }
}

impl Cluster for Watched {
    fn objects(&self, kind: Kind, namespace: &str) -> Vec<Arc<Value>> {
        let Some(store) = self.stores.get(&kind) else { return Vec::new() };
        let objects = store.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.get(namespace).map(|of_namespace| of_namespace.values().cloned().collect()).unwrap_or_default()
    }

    fn object(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let objects = self.stores.get(&kind)?.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.get(namespace)?.get(name).cloned()
    }

    fn kubernetes(&self) -> Option<(u32, u32)> {
        self.version.get().copied()
    }

    fn generation(&self) -> Option<u64> {
        Some(self.generations.all())
    }

    fn generation_in(&self, namespace: &str) -> Option<u64> {
        Some(self.generations.of(namespace))
    }

    fn is_ready(&self) -> bool {
        self.stores.values().all(|store| store.filled.load(Ordering::Acquire))
    }

    fn release<'a>(&'a self, namespace: &'a str, name: &'a str, revision: u32, driver: Driver) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        let kind = if driver == Driver::Secret { "Secret" } else { "ConfigMap" };
        async move { self.get(("v1", kind), namespace, &format!("sh.helm.release.v1.{name}.v{revision}")).await }.boxed()
    }

    fn guarded_upgrade<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        async move {
            match self.get(Kind::GuardedUpgrade.api(), namespace, name).await {
                // Not installed.
                Err(error) if error.0.ends_with("(404)") => Ok(None),
                other => other,
            }
        }
        .boxed()
    }

    fn config_map<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        self.get(("v1", "ConfigMap"), namespace, name).boxed()
    }

    fn has_secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<bool, ReadError>> {
        async move { self.get(("v1", "Secret"), namespace, name).await.map(|found| found.is_some()) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn deployment(available: u64, image: &str) -> DynamicObject {
        object(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "m-milvus-proxy", "namespace": "db", "resourceVersion": available.to_string(), "generation": 3},
            "spec": {"template": {"image": image}}, "status": {"observedGeneration": 3, "availableReplicas": available, "conditions": [{"lastUpdateTime": available}]}}),
        )
    }

    #[test]
    fn only_what_a_gate_looks_at_is_kept_and_is_a_change() {
        let mut objects = ByNamespace::new();
        let db = || Touched::Namespace("db".into());
        let kind = Kind::Deployment;
        assert_eq!(insert(&mut objects, kind, deployment(1, "a")), db());
        assert_eq!(objects["db"]["m-milvus-proxy"]["status"], json!({"observedGeneration": 3, "availableReplicas": 1}));
        let mut same = deployment(1, "a");
        same.metadata.resource_version = Some("9".into());
        same.data["status"]["conditions"] = json!([]);
        assert_eq!(insert(&mut objects, kind, same), Touched::Nothing);
        assert_eq!(insert(&mut objects, kind, deployment(2, "a")), db());
        assert_eq!(insert(&mut objects, kind, deployment(2, "b")), db());
        assert_eq!((remove(&mut objects, kind, &deployment(2, "b")), remove(&mut objects, kind, &deployment(2, "b"))), (db(), Touched::Nothing));
        assert!(objects.is_empty());
    }

    #[test]
    fn a_namespace_is_a_change_of_itself() {
        let mut objects = ByNamespace::new();
        let named = |mode: &str| {
            object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db", "labels": {"mode": mode}}, "status": {"phase": mode}}))
        };
        assert_eq!(insert(&mut objects, Kind::Namespace, named("warn")), Touched::Namespace("db".into()));
        assert_eq!(objects[""]["db"].get("status"), None);
        assert_eq!(remove(&mut objects, Kind::Namespace, &named("warn")), Touched::Namespace("db".into()));
    }
}
