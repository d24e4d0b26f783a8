//! The cluster as the API server tells it: small caches kept by watches, and few reads by name.

use std::sync::{Arc, OnceLock, Weak};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use milvus_guard::model::release::component_names;
use serde_json::Value;

use super::generations::Touched;
use super::listing::{PAGE, Turns};
use super::stores::{Objects, Stores};
use super::{Cluster, Kind, ReadError};
use crate::admission::release::Driver;

/// A cluster behind an API server.
pub struct Watched {
    client: Client,
    stores: Arc<Stores>,
    version: OnceLock<(u32, u32)>,
}

impl Watched {
    /// Begins to watch; the caches fill in the background. The watches end when the returned value is dropped.
    #[must_use]
    pub fn start(client: &Client) -> Arc<Self> {
        let (stores, turns) = (Arc::<Stores>::default(), Turns::default());
        for kind in Kind::ALL {
            tokio::spawn(keep(client.clone(), kind, Arc::downgrade(&stores), turns.clone()));
        }
        let watched = Arc::new(Self { client: client.clone(), stores, version: OnceLock::new() });
        let asking = Arc::downgrade(&watched);
        let client = client.clone();
        tokio::spawn(async move {
            if let (Ok(info), Some(watched)) = (client.apiserver_version().await, asking.upgrade()) {
                let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
                if let Some(version) = number(&info.major).zip(number(&info.minor)) {
                    let _known = watched.version.set(version);
                    watched.stores.generations.count(&Touched::All);
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
    let config = watcher::Config::default().page_size(PAGE);
    match kind {
        Kind::Deployment | Kind::ReplicaSet => config.labels(&format!("component in ({})", component_names().collect::<Vec<_>>().join(","))),
        Kind::Operated => config.labels("app.kubernetes.io/managed-by=milvus-operator"),
        Kind::Claim | Kind::GuardedUpgrade | Kind::UpgradeReceipt | Kind::Namespace | Kind::HelmRepository => config,
    }
}

/// Keeps the objects of one kind up to date until nobody asks for them any more.
async fn keep(client: Client, kind: Kind, stores: Weak<Stores>, turns: Turns) {
    let (version, name) = kind.api();
    let api: Api<DynamicObject> = Api::all_with(client, &resource(version, name));
    let mut events = std::pin::pin!(watcher(api, selection(kind)));
    let mut fresh = Objects::new();
    let mut turn = None;
    let mut pause_seconds = 1;
    while let Some(event) = events.next().await {
        let Some(stores) = stores.upgrade() else { return };
        match event {
            Ok(Event::Init) => {
                fresh = Objects::new();
                // Nothing is asked for before the stream is polled again.
                drop(turn.take());
                turn = turns.take().await;
            }
            Ok(Event::InitApply(object)) => stores.list(&mut fresh, kind, object),
            Ok(Event::InitDone) => {
                turn = None;
                stores.replace(kind, std::mem::take(&mut fresh));
                pause_seconds = 1;
            }
            Ok(Event::Apply(object)) => stores.put(kind, object),
            Ok(Event::Delete(object)) => stores.remove(kind, &object),
            Err(error) => {
                turn = None;
                // A kind that is not served (its definition is not installed yet) has no objects. Repositories of charts are a help, no need.
                if is_not_served(&error) || kind == Kind::HelmRepository {
                    stores.are_filled(kind);
                    tracing::debug!(kind = name, "not to be watched (yet)");
                } else {
                    tracing::warn!(kind = name, "a watch was interrupted and begins anew");
                }
                drop(stores);
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

impl Cluster for Watched {
    fn objects(&self, kind: Kind, namespace: &str) -> Vec<Arc<Value>> {
        self.stores.objects(kind, namespace, None)
    }

    fn naming(&self, kind: Kind, namespace: &str, word: &str) -> Vec<Arc<Value>> {
        self.stores.objects(kind, namespace, Some(word))
    }

    fn object(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.stores.object(kind, namespace, name)
    }

    fn kubernetes(&self) -> Option<(u32, u32)> {
        self.version.get().copied()
    }

    fn generation(&self) -> Option<u64> {
        Some(self.stores.generations.all())
    }

    fn generation_in(&self, namespace: &str) -> Option<u64> {
        Some(self.stores.generations.of(namespace))
    }

    fn is_ready(&self) -> bool {
        self.stores.is_ready()
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
