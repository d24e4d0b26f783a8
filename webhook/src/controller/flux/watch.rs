//! Watches Flux's objects, where the cluster has Flux, and what people declare and waive; says when what is due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind, PartialObjectMeta, TypeMeta};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::work::{Key, Work};
use super::{HELM_RELEASES, HelmRelease, REQUESTED_AT, opens, refusal};
use crate::admission::opening::{excepts, token};
use crate::admission::request::mentions_milvus;
use crate::api;
use crate::cluster::listing::PAGE;
use crate::cluster::{annotation, text};
use crate::controller::excepted::Excepted;
use crate::controller::lease::Leadership;

/// API versions of Flux's Kustomization, the newest first.
const KUSTOMIZATIONS: &[&str] = &["kustomize.toolkit.fluxcd.io/v1", "kustomize.toolkit.fluxcd.io/v1beta2"];

/// How often it is looked whether a kind is served by now, and the longest wait after an error.
const NOT_SERVED: Duration = Duration::from_secs(60);

/// What moves together is looked at together.
const SETTLE: Duration = Duration::from_millis(50);

/// The longest wait between two looks at whether we lead.
const IDLE: Duration = Duration::from_secs(5);

/// A Kustomization that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kustomization {
    api_version: String,
    message: String,
    requested: Option<String>,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    HelmRelease(Key),
    Kustomization(Key),
}

/// What is known.
#[derive(Debug, Default)]
struct Known {
    helm_releases: RwLock<BTreeMap<Key, HelmRelease>>,
    kustomizations: RwLock<BTreeMap<Key, Kustomization>>,
    upgrades: RwLock<BTreeMap<Key, String>>,
    namespaces: Arc<Excepted>,
    /// What people say is known whole once both watches of it were filled.
    filled: AtomicUsize,
}

/// Puts a value in place of another, or takes it away; whether that changed anything.
fn put<T: PartialEq>(map: &RwLock<BTreeMap<Key, T>>, key: Key, value: Option<T>) -> bool {
    let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
    match value {
        Some(value) if map.get(&key) == Some(&value) => false,
        Some(value) => {
            map.insert(key, value);
            true
        }
        None => map.remove(&key).is_some(),
    }
}

fn read<T: Clone>(map: &RwLock<BTreeMap<Key, T>>, key: &Key) -> Option<T> {
    map.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
}

/// Forgets what a whole listing does not have.
fn retain<T>(map: &RwLock<BTreeMap<Key, T>>, listed: &BTreeSet<Key>) {
    map.write().unwrap_or_else(PoisonError::into_inner).retain(|key, _| listed.contains(key));
}

impl Known {
    /// What may have opened a way for a HelmRelease.
    fn token_of(&self, key: &Key, release: &HelmRelease) -> Option<String> {
        let target: Arc<str> = release.target.as_str().into();
        let upgrade = read(&self.upgrades, &(Arc::clone(&target), release.release.as_str().into()));
        let excepted = [target, Arc::clone(&key.0)].map(|namespace| self.namespaces.of(&namespace));
        let all: Vec<String> = upgrade.into_iter().chain(excepted.into_iter().flatten()).collect();
        token(all.iter().map(String::as_str))
    }

    /// The same for a Kustomization, of whose objects the message names one with its namespace.
    fn token_for(&self, message: &str) -> Option<String> {
        let is_meant = |namespace: &str| message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).any(|word| word == namespace);
        let upgrades = self.upgrades.read().unwrap_or_else(PoisonError::into_inner);
        let namespaces = self.namespaces.all();
        let upgrades = upgrades.iter().filter(|(key, _)| is_meant(&key.0)).map(|(_, said)| said.as_str());
        token(upgrades.chain(namespaces.iter().filter(|(namespace, _)| is_meant(namespace)).map(|(_, said)| said.as_str())))
    }

    /// What may be let through now by something that was declared or waived.
    fn refused(&self) -> Vec<Item> {
        let releases = self.helm_releases.read().unwrap_or_else(PoisonError::into_inner);
        let kustomizations = self.kustomizations.read().unwrap_or_else(PoisonError::into_inner);
        let releases = releases.iter().filter(|(_, release)| release.is_refused).map(|(key, _)| Item::HelmRelease(key.clone()));
        releases.chain(kustomizations.keys().cloned().map(Item::Kustomization)).collect()
    }

    fn all(&self) -> Vec<Item> {
        let releases = self.helm_releases.read().unwrap_or_else(PoisonError::into_inner);
        let kustomizations = self.kustomizations.read().unwrap_or_else(PoisonError::into_inner);
        releases.keys().cloned().map(Item::HelmRelease).chain(kustomizations.keys().cloned().map(Item::Kustomization)).collect()
    }
}

fn key_of(object: &impl kube::ResourceExt) -> Key {
    (object.namespace().unwrap_or_default().into(), object.name_any().into())
}

/// Runs for as long as it is polled, in these namespaces, or in all where there are none. Keeps `excepted` up to date meanwhile.
pub async fn run(work: Work, namespaces: Vec<String>, leadership: Arc<Leadership>, excepted: Arc<Excepted>) {
    let (moved, events) = unbounded_channel();
    let known = Arc::new(Known { namespaces: excepted, ..Known::default() });
    let watching = Watching { client: work.client.clone(), known: Arc::clone(&known), namespaces: namespaces.into(), work: work.clone(), moved };
    let served = async {
        tokio::join!(
            watching.keep(HELM_RELEASES, "HelmRelease"),
            watching.keep(KUSTOMIZATIONS, "Kustomization"),
            watching.keep(&[api::API_VERSION], "GuardedUpgrade"),
            watching.keep_namespaces()
        )
    };
    tokio::select! {
        _ = served => {}
        () = serve(work, &known, events, &leadership) => {}
    }
}

/// Looks at what moved, one after the other, while we lead.
async fn serve(work: Work, known: &Known, mut events: UnboundedReceiver<Vec<Item>>, leadership: &Leadership) {
    let mut due: BTreeMap<Item, (Instant, u32)> = BTreeMap::new();
    let mut led = false;
    loop {
        let leads = leadership.is_held() && known.filled.load(Ordering::Acquire) >= 2;
        if leads && !led {
            due.extend(known.all().into_iter().map(|item| (item, (Instant::now(), 0))));
        }
        led = leads;
        let next = due.values().map(|(when, _)| *when).min().filter(|_| leads);
        let wait = next.map_or(IDLE, |next| next.saturating_duration_since(Instant::now()).min(IDLE));
        let wait = if known.filled.load(Ordering::Acquire) < 2 { SETTLE } else { wait };
        tokio::select! {
            biased;
            items = events.recv() => {
                let Some(items) = items else { return };
                due.extend(items.into_iter().map(|item| (item, (Instant::now() + SETTLE, 0))));
                continue;
            }
            () = tokio::time::sleep(wait) => {}
        }
        if !leads {
            continue;
        }
        let ready: Vec<(Item, u32)> =
            due.iter().filter(|(_, (when, _))| *when <= Instant::now()).map(|(item, (_, failures))| (item.clone(), *failures)).collect();
        for (item, failures) in ready {
            due.remove(&item);
            match look(&work, known, &item).await {
                Ok(Some(again)) => drop(due.insert(item, (Instant::now() + again, 0))),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(?item, error = %in_words(&error), "an object of Flux's could not be looked after, and is tried again");
                    let wait = Duration::from_secs(1 << failures.min(6)).min(NOT_SERVED);
                    due.insert(item, (Instant::now() + wait, failures.saturating_add(1)));
                }
            }
        }
    }
}

/// An error without what an API server may have quoted of an object.
fn in_words(error: &anyhow::Error) -> String {
    match error.downcast_ref() {
        Some(kube::Error::Api(status)) => format!("{} ({})", status.reason, status.code),
        Some(_) => "no answer".to_owned(),
        None => error.to_string(),
    }
}

async fn look(work: &Work, known: &Known, item: &Item) -> anyhow::Result<Option<Duration>> {
    match item {
        Item::HelmRelease(key) => {
            let Some(release) = read(&known.helm_releases, key) else { return Ok(None) };
            work.helm_release(key, &release, known.token_of(key, &release).as_deref()).await
        }
        Item::Kustomization(key) => {
            let Some(found) = read(&known.kustomizations, key) else { return Ok(None) };
            if let Some(token) = known.token_for(&found.message) {
                work.kustomization(key, &found.api_version, found.requested.as_deref(), &token).await?;
            }
            Ok(None)
        }
    }
}

struct Watching {
    client: Client,
    known: Arc<Known>,
    namespaces: Arc<[String]>,
    work: Work,
    moved: UnboundedSender<Vec<Item>>,
}

impl Watching {
    /// Notes an object, or that it is gone; what has to be looked at.
    fn note(&self, resource: &ApiResource, mut object: DynamicObject, is_gone: bool) -> Vec<Item> {
        let (key, kind) = (key_of(&object), resource.kind.as_str());
        object.types.get_or_insert_with(|| TypeMeta { api_version: resource.api_version.clone(), kind: kind.to_owned() });
        if !self.namespaces.is_empty() && !self.namespaces.iter().any(|namespace| **namespace == *key.0) {
            return Vec::new();
        }
        let object = Some(object).filter(|_| !is_gone).and_then(|object| serde_json::to_value(object).ok());
        match kind {
            "HelmRelease" => {
                // Where values may be carried, any of Milvus may have a Secret that it no longer takes.
                let is_concerned =
                    |found: &HelmRelease| found.is_refused || found.refers || (self.work.carries_in(&key.0) && object.as_ref().is_some_and(is_milvus));
                let found = object.as_ref().and_then(HelmRelease::read).filter(is_concerned);
                let is_new = put(&self.known.helm_releases, key.clone(), found);
                is_new.then_some(Item::HelmRelease(key)).into_iter().collect()
            }
            "Kustomization" => {
                let found = object.as_ref().and_then(|object| {
                    Some(Kustomization {
                        api_version: text(object, "/apiVersion")?.to_owned(),
                        message: refusal(object)?.to_owned(),
                        requested: annotation(object, REQUESTED_AT).map(str::to_owned),
                    })
                });
                let is_new = put(&self.known.kustomizations, key.clone(), found);
                is_new.then_some(Item::Kustomization(key)).into_iter().collect()
            }
            _ => {
                let is_new = put(&self.known.upgrades, key, object.as_ref().map(opens));
                if is_new { self.known.refused() } else { Vec::new() }
            }
        }
    }

    fn retain(&self, kind: &str, listed: &BTreeSet<Key>) {
        match kind {
            "HelmRelease" => retain(&self.known.helm_releases, listed),
            "Kustomization" => retain(&self.known.kustomizations, listed),
            _ => retain(&self.known.upgrades, listed),
        }
    }

    /// Keeps what is known of one kind up to date, in the newest version that is served. A cluster without Flux has none of its kinds, until it has.
    async fn keep(&self, versions: &[&str], kind: &str) {
        let mut is_filled = false;
        loop {
            for (group, version) in versions.iter().filter_map(|version| version.split_once('/')) {
                let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
                let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
                let mut events = std::pin::pin!(watcher(api, watcher::Config::default().page_size(PAGE)));
                let mut listed = BTreeSet::new();
                let mut pause = Duration::from_secs(1);
                while let Some(event) = events.next().await {
                    let items = match event {
                        Ok(Event::Init) => {
                            listed.clear();
                            Vec::new()
                        }
                        Ok(Event::InitApply(object)) => {
                            listed.insert(key_of(&object));
                            self.note(&resource, object, false)
                        }
                        Ok(Event::InitDone) => {
                            pause = Duration::from_secs(1);
                            self.retain(kind, &listed);
                            self.fill(&mut is_filled, kind == "GuardedUpgrade");
                            Vec::new()
                        }
                        Ok(Event::Apply(object)) => self.note(&resource, object, false),
                        Ok(Event::Delete(object)) => self.note(&resource, object, true),
                        Err(error) => {
                            if code(&error) == Some(404) {
                                break;
                            }
                            tracing::warn!(kind, code = code(&error), "a watch was interrupted and begins anew");
                            tokio::time::sleep(pause).await;
                            pause = (pause * 2).min(NOT_SERVED);
                            Vec::new()
                        }
                    };
                    self.tell(items);
                }
            }
            self.fill(&mut is_filled, kind == "GuardedUpgrade");
            tokio::time::sleep(NOT_SERVED).await;
        }
    }

    /// The same for namespaces, of which only what is said of them is read.
    async fn keep_namespaces(&self) {
        let mut is_filled = false;
        let mut events = std::pin::pin!(watcher(Api::<PartialObjectMeta<Namespace>>::all(self.client.clone()), watcher::Config::default().page_size(PAGE)));
        let mut pause = Duration::from_secs(1);
        while let Some(event) = events.next().await {
            let (object, is_gone) = match event {
                Ok(Event::InitApply(object) | Event::Apply(object)) => (object, false),
                Ok(Event::Delete(object)) => (object, true),
                Ok(Event::Init) => continue,
                Ok(Event::InitDone) => {
                    pause = Duration::from_secs(1);
                    self.fill(&mut is_filled, true);
                    continue;
                }
                Err(error) => {
                    tracing::warn!(kind = "Namespace", code = code(&error), "a watch was interrupted and begins anew");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(NOT_SERVED);
                    continue;
                }
            };
            let said = Some(json!({"metadata": object.metadata})).filter(|_| !is_gone).as_ref().and_then(excepts);
            if self.known.namespaces.put(key_of(&object).1, said) {
                self.tell(self.known.refused());
            }
        }
    }

    fn fill(&self, is_filled: &mut bool, counts: bool) {
        if counts && !std::mem::replace(is_filled, true) {
            self.known.filled.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn tell(&self, items: Vec<Item>) {
        if !items.is_empty() {
            // Nobody listens any more when all of this ends.
            let _told = self.moved.send(items);
        }
    }
}

/// Whether a HelmRelease may be one of Milvus, as gate 2 is asked about it.
fn is_milvus(object: &Value) -> bool {
    let said = ["/metadata/name", "/spec/releaseName", "/spec/chart/spec/chart", "/spec/chartRef/name"].into_iter().filter_map(|pointer| text(object, pointer));
    let keys = object.pointer("/spec/values").and_then(Value::as_object).into_iter().flat_map(|values| values.keys().map(String::as_str));
    said.chain(keys).any(|text| mentions_milvus(text.as_bytes()))
}

fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str, name: &str) -> Key {
        (namespace.into(), name.into())
    }

    #[test]
    fn a_kustomization_is_asked_for_what_was_declared_where_its_refused_object_is() {
        let known = Known::default();
        let message = "HelmRelease/db/m dry-run failed (Forbidden): admission webhook \"helmreleases.guard.milvus-guard.dev\" denied the request: MV201: ...";
        assert_eq!(known.token_for(message), None);
        put(&known.upgrades, key("other", "m"), Some("1".into()));
        assert_eq!(known.token_for(message), None, "declared elsewhere");
        put(&known.upgrades, key("db", "m"), Some("1".into()));
        let declared = known.token_for(message).unwrap();
        known.namespaces.put("db".into(), Some("waived".into()));
        assert_ne!(known.token_for(message).unwrap(), declared);
    }

    #[test]
    fn a_helm_release_is_asked_for_what_was_declared_of_its_release_where_that_runs() {
        let object = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "metadata": {"name": "m", "namespace": "flux", "uid": "u"}, "spec": {"releaseName": "vec", "targetNamespace": "db"}});
        let (known, release) = (Known::default(), HelmRelease::read(&object).unwrap());
        let token = || known.token_of(&key("flux", "m"), &release);
        put(&known.upgrades, key("flux", "m"), Some("1".into()));
        assert_eq!(token(), None);
        put(&known.upgrades, key("db", "vec"), Some("1".into()));
        let declared = token().unwrap();
        known.namespaces.put("flux".into(), Some("waived".into()));
        assert_ne!(token().unwrap(), declared);
        assert!(known.namespaces.put("flux".into(), None));
        assert_eq!(token().unwrap(), declared);
    }

    #[test]
    fn only_what_may_be_milvus_is_kept() {
        let of = |spec: Value| is_milvus(&json!({"metadata": {"name": "x"}, "spec": spec}));
        assert!(of(json!({"chart": {"spec": {"chart": "milvus"}}})) && of(json!({"values": {"milvus": {}}})));
        assert!(!of(json!({"chart": {"spec": {"chart": "redis"}}, "values": {"a": "milvus"}})));
    }
}
