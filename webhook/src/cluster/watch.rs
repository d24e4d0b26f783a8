//! The cluster as the API server tells it: small caches kept by watches, and few reads by name.

use std::sync::{Arc, Weak};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use milvus_guard::model::release::component_names;
use serde_json::Value;

use super::cached::Cached;
use super::listing::{PAGE, Turns};
use super::stores::Objects;
use super::{Kind, ReadError, Reads};

/// A cluster behind an API server. The watches end when this is dropped.
pub type Watched = Cached<Client>;

impl Watched {
    /// Begins to watch; the caches fill in the background.
    #[must_use]
    pub fn start(client: &Client) -> Arc<Self> {
        let watched = Arc::new(Self::empty(client.clone()));
        let turns = Turns::default();
        for kind in Kind::ALL {
            tokio::spawn(keep(client.clone(), kind, Arc::downgrade(&watched), turns.clone()));
        }
        let asking = Arc::downgrade(&watched);
        let client = client.clone();
        tokio::spawn(async move {
            if let (Ok(info), Some(watched)) = (client.apiserver_version().await, asking.upgrade()) {
                let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
                if let Some(version) = number(&info.major).zip(number(&info.minor)) {
                    watched.is_of(version);
                }
            }
        });
        watched
    }
}

impl Reads for Client {
    fn read<'a>(&'a self, (version, kind): super::Api, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        async move {
            let api: Api<DynamicObject> = Api::namespaced_with(self.clone(), namespace, &resource(version, kind));
            match api.get_opt(name).await {
                Ok(found) => Ok(found.and_then(|object| serde_json::to_value(object).ok())),
                // Its kind is not installed.
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
                Err(error) => Err(ReadError(reason(&error))),
            }
        }
        .boxed()
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
async fn keep(client: Client, kind: Kind, watched: Weak<Watched>, turns: Turns) {
    let (version, name) = kind.api();
    let api: Api<DynamicObject> = Api::all_with(client, &resource(version, name));
    let mut events = std::pin::pin!(watcher(api, selection(kind)));
    let mut fresh = Objects::new();
    let mut turn = None;
    let mut pause_seconds = 1;
    while let Some(event) = events.next().await {
        let Some(watched) = watched.upgrade() else { return };
        let stores = &watched.stores;
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
                drop(watched);
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
