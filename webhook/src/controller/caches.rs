//! Small caches kept by watches: of each object only what is needed, found by release. Tells which release moved.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use milvus_guard::model::release::component_names;
use milvus_guard::rollout::Component;
use milvus_guard::rollout::observed::Moment;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::observe::Seen;
use super::{ReleaseKey, moment, read_moment, seen};
use crate::api;
use crate::cluster::listing::{PAGE, Turns};
use crate::cluster::text;

/// What is watched: kind, labels, and how it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Watch {
    Workloads,
    Sets,
    Pods,
    /// StatefulSets of stores and queues, by the label that their charts use.
    Stores(&'static str),
    /// The same as Deployments (a standalone MinIO).
    StoreDeployments(&'static str),
    Upgrades,
    Receipts,
}

const WATCHES: [Watch; 9] = [
    Watch::Workloads,
    Watch::Sets,
    Watch::Pods,
    Watch::Stores("app.kubernetes.io/name"),
    Watch::Stores("app"),
    Watch::StoreDeployments("app.kubernetes.io/name"),
    Watch::StoreDeployments("app"),
    Watch::Upgrades,
    Watch::Receipts,
];

/// What is not there in a cluster without our kinds.
const OF_OURS: [Watch; 2] = [Watch::Upgrades, Watch::Receipts];

impl Watch {
    const fn api(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Workloads | Self::StoreDeployments(_) => ("apps", "v1", "Deployment"),
            Self::Sets => ("apps", "v1", "ReplicaSet"),
            Self::Pods => ("", "v1", "Pod"),
            Self::Stores(_) => ("apps", "v1", "StatefulSet"),
            Self::Upgrades => (api::GROUP, "v1alpha1", "GuardedUpgrade"),
            Self::Receipts => (api::GROUP, "v1alpha1", "UpgradeReceipt"),
        }
    }

    fn selection(self) -> watcher::Config {
        let config = watcher::Config::default().page_size(PAGE);
        match self {
            Self::Workloads | Self::Sets | Self::Pods => config.labels(&format!("component in ({})", component_names().collect::<Vec<_>>().join(","))),
            Self::Stores(label) | Self::StoreDeployments(label) => config.labels(&format!("{label} in ({})", seen::DEPENDENCIES.join(","))),
            Self::Upgrades | Self::Receipts => config,
        }
    }

    fn read(self, object: &Value) -> Option<(ReleaseKey, Kept)> {
        match self {
            Self::Workloads => seen::workload(object).map(|workload| (workload.release.clone(), Kept::Workload(Arc::new(workload)))),
            Self::Sets => seen::set(object).map(|set| (set.release.clone(), Kept::Set(Arc::new(set)))),
            Self::Pods => seen::pod(object).map(|pod| (pod.release.clone(), Kept::Pod(Arc::new(pod)))),
            Self::Stores(_) | Self::StoreDeployments(_) => {
                let store = seen::store(object, matches!(self, Self::Stores(_)))?;
                Some((store.release.clone(), Kept::Store(Arc::new(store))))
            }
            Self::Upgrades => {
                let key = ReleaseKey { namespace: text(object, "/metadata/namespace")?.into(), name: text(object, "/metadata/name")?.into() };
                Some((key, Kept::Upgrade(Arc::new(upgrade(object)))))
            }
            Self::Receipts => seen::receipt(object).map(|receipt| (receipt.release.clone(), Kept::Receipt(Arc::new(receipt)))),
        }
    }
}

/// Of a `GuardedUpgrade` what tells whether it needs a look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upgrade {
    /// Its generation.
    pub generation: i64,
    /// The generation that its status was written for.
    pub observed: i64,
    /// `status.phase`.
    pub phase: Option<String>,
    /// When it last moved, or began.
    pub progressed: Option<Moment>,
    /// The version of the object.
    pub version: String,
}

fn upgrade(object: &Value) -> Upgrade {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    Upgrade {
        generation: number("/metadata/generation"),
        observed: number("/status/observedGeneration"),
        phase: text(object, "/status/phase").map(str::to_owned),
        progressed: ["/status/lastProgressAt", "/status/startedAt"].iter().filter_map(|pointer| read_moment(text(object, pointer)?)).max(),
        version: text(object, "/metadata/resourceVersion").unwrap_or_default().to_owned(),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Kept {
    Workload(Arc<seen::Workload>),
    Set(Arc<seen::Set>),
    Pod(Arc<seen::Pod>),
    Store(Arc<seen::Store>),
    Upgrade(Arc<Upgrade>),
    Receipt(Arc<seen::Receipt>),
}

/// What is kept of one release, by watch and name.
#[derive(Debug, Default)]
struct Release {
    kept: BTreeMap<(Watch, Arc<str>), Kept>,
    went: BTreeMap<Component, Moment>,
}

impl Release {
    fn seen(&self) -> (Seen, Option<Arc<Upgrade>>) {
        let mut seen = Seen { went: self.went.clone(), ..Seen::default() };
        let mut upgrade = None;
        for kept in self.kept.values() {
            match kept {
                Kept::Workload(workload) => seen.workloads.push(Arc::clone(workload)),
                Kept::Set(set) => seen.sets.push(Arc::clone(set)),
                Kept::Pod(pod) => seen.pods.push(Arc::clone(pod)),
                Kept::Store(store) => seen.stores.push(Arc::clone(store)),
                Kept::Upgrade(found) => upgrade = Some(Arc::clone(found)),
                Kept::Receipt(receipt) => seen.receipts.push(Arc::clone(receipt)),
            }
        }
        (seen, upgrade)
    }
}

/// The caches.
#[derive(Debug, Default)]
pub struct Caches {
    releases: RwLock<BTreeMap<ReleaseKey, Release>>,
    filled: AtomicUsize,
    /// Only these namespaces; all of them where there are none.
    namespaces: Vec<String>,
}

impl Caches {
    /// Begins to watch, in these namespaces or in all; the caches fill in the background, and `moved` is told of each release that something moved of.
    #[must_use]
    pub fn start(client: &Client, namespaces: Vec<String>, moved: &UnboundedSender<ReleaseKey>) -> Arc<Self> {
        let caches = Arc::new(Self { namespaces, ..Self::default() });
        caches.keep(client, WATCHES, moved);
        caches
    }

    /// The same in one namespace of a cluster that has no kinds of ours.
    #[must_use]
    pub fn start_alone(client: &Client, namespace: &str, moved: &UnboundedSender<ReleaseKey>) -> Arc<Self> {
        let caches = Arc::new(Self { namespaces: vec![namespace.to_owned()], filled: AtomicUsize::new(OF_OURS.len()), ..Self::default() });
        caches.keep(client, WATCHES.into_iter().filter(|watch| !OF_OURS.contains(watch)), moved);
        caches
    }

    fn keep(self: &Arc<Self>, client: &Client, watches: impl IntoIterator<Item = Watch>, moved: &UnboundedSender<ReleaseKey>) {
        let turns = Turns::default();
        for watch in watches {
            tokio::spawn(keep(client.clone(), watch, Arc::clone(self), turns.clone(), moved.clone()));
        }
    }

    /// Filled with these objects, and never changed.
    #[cfg(test)]
    pub(super) fn of<'o>(objects: impl IntoIterator<Item = &'o Value>) -> Arc<Self> {
        let caches = Self { filled: AtomicUsize::new(WATCHES.len()), ..Self::default() };
        for object in objects {
            for watch in WATCHES.into_iter().filter(|watch| text(object, "/kind") == Some(watch.api().2)) {
                caches.put(watch, serde_json::from_value(object.clone()).unwrap());
            }
        }
        Arc::new(caches)
    }

    /// Whether all of them were filled once.
    #[must_use]
    pub fn are_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire) >= WATCHES.len()
    }

    /// All releases that anything is known of.
    #[must_use]
    pub fn releases(&self) -> Vec<ReleaseKey> {
        self.releases.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// All that is seen of a release now, and its `GuardedUpgrade`.
    #[must_use]
    pub fn seen(&self, key: &ReleaseKey) -> (Seen, Option<Arc<Upgrade>>) {
        let releases = self.releases.read().unwrap_or_else(PoisonError::into_inner);
        releases.get(key).map_or_else(Default::default, Release::seen)
    }

    /// The same of all releases.
    #[must_use]
    pub fn all(&self) -> Vec<(ReleaseKey, Seen, Option<Arc<Upgrade>>)> {
        let releases = self.releases.read().unwrap_or_else(PoisonError::into_inner);
        let one = |(key, release): (&ReleaseKey, &Release)| {
            let (seen, upgrade) = release.seen();
            (key.clone(), seen, upgrade)
        };
        releases.iter().map(one).collect()
    }

    fn write<T>(&self, change: impl FnOnce(&mut BTreeMap<ReleaseKey, Release>) -> T) -> T {
        change(&mut self.releases.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps an object; the release that moved by it.
    fn put(&self, watch: Watch, object: DynamicObject) -> Option<ReleaseKey> {
        if !self.namespaces.is_empty() && !object.namespace().is_some_and(|namespace| self.namespaces.contains(&namespace)) {
            return None;
        }
        let name: Arc<str> = object.name_any().into();
        let value = whole(watch, object);
        let (key, kept) = watch.read(&value)?;
        let is_new = self.write(|releases| {
            let before = releases.entry(key.clone()).or_default().kept.insert((watch, name), kept.clone());
            before.as_ref() != Some(&kept)
        });
        is_new.then_some(key)
    }

    /// Forgets an object; the release that moved by it.
    fn remove(&self, watch: Watch, object: DynamicObject) -> Option<ReleaseKey> {
        let name: Arc<str> = object.name_any().into();
        let value = whole(watch, object);
        let (key, _) = watch.read(&value).or_else(|| ended_pod(watch, &value))?;
        self.write(|releases| {
            let release = releases.get_mut(&key)?;
            if let Some(Kept::Pod(pod)) = release.kept.remove(&(watch, name)) {
                release.went.insert(pod.component, moment(Timestamp::now()));
            }
            if release.kept.is_empty() {
                releases.remove(&key);
            }
            Some(key.clone())
        })
    }

    /// Forgets what a whole listing does not have; the releases that moved by it.
    fn retain(&self, watch: Watch, listed: &BTreeMap<(Arc<str>, Arc<str>), ()>) -> Vec<ReleaseKey> {
        self.write(|releases| {
            let mut moved = Vec::new();
            for (key, release) in releases.iter_mut() {
                let before = release.kept.len();
                release.kept.retain(|(of, name), _| *of != watch || listed.contains_key(&(Arc::clone(&key.namespace), Arc::clone(name))));
                if release.kept.len() != before {
                    moved.push(key.clone());
                }
            }
            releases.retain(|_, release| !release.kept.is_empty());
            moved
        })
    }
}

/// A pod that has ended is none any more, but it was one.
fn ended_pod(watch: Watch, object: &Value) -> Option<(ReleaseKey, Kept)> {
    let mut object = object.clone();
    object.get_mut("status")?.as_object_mut()?.remove("phase");
    watch.read(&object).filter(|_| watch == Watch::Pods)
}

fn whole(watch: Watch, object: DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(table) = value.as_object_mut() {
        table.insert("kind".into(), json!(watch.api().2));
    }
    value
}

/// Keeps the caches up to date by one watch.
async fn keep(client: Client, watch: Watch, caches: Arc<Caches>, turns: Turns, moved: UnboundedSender<ReleaseKey>) {
    let (group, version, kind) = watch.api();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    // Who looks at one namespace may have no right beyond it.
    let api: Api<DynamicObject> = match caches.namespaces.as_slice() {
        [one] => Api::namespaced_with(client, one, &resource),
        _ => Api::all_with(client, &resource),
    };
    let mut events = std::pin::pin!(watcher(api, watch.selection()));
    let mut listed = BTreeMap::new();
    let mut turn = None;
    let mut is_filled = false;
    let mut pause_seconds = 1;
    while let Some(event) = events.next().await {
        let of: Vec<ReleaseKey> = match event {
            Ok(Event::Init) => {
                listed.clear();
                // Nothing is asked for before the stream is polled again.
                drop(turn.take());
                turn = turns.take().await;
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                listed.insert((object.namespace().unwrap_or_default().into(), object.name_any().into()), ());
                caches.put(watch, object).into_iter().collect()
            }
            Ok(Event::InitDone) => {
                turn = None;
                pause_seconds = 1;
                if !std::mem::replace(&mut is_filled, true) {
                    caches.filled.fetch_add(1, Ordering::AcqRel);
                }
                caches.retain(watch, &std::mem::take(&mut listed))
            }
            // A pod that has ended stays as an object, and is none any more.
            Ok(Event::Apply(object)) if watch == Watch::Pods && has_ended(&object) => caches.remove(watch, object).into_iter().collect(),
            Ok(Event::Apply(object)) => caches.put(watch, object).into_iter().collect(),
            Ok(Event::Delete(object)) => caches.remove(watch, object).into_iter().collect(),
            Err(error) => {
                turn = None;
                tracing::warn!(kind, error = %reason(&error), "a watch was interrupted and begins anew");
                tokio::time::sleep(Duration::from_secs(pause_seconds)).await;
                pause_seconds = (pause_seconds * 2).min(30);
                Vec::new()
            }
        };
        for key in of {
            if moved.send(key).is_err() {
                return;
            }
        }
    }
}

fn has_ended(object: &DynamicObject) -> bool {
    matches!(object.data.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
}

/// An error in few words.
fn reason(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => {
            format!("{} ({})", status.reason, status.code)
        }
        watcher::Error::WatchError(status) => format!("{} ({})", status.reason, status.code),
        _ => "no answer".to_owned(),
    }
}
