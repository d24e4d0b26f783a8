//! The caches: what is kept of the objects of each kind, and what of it was asked for lately.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::Value;

use super::Kind;
use super::generations::{Generations, Touched};
use super::kept::{Kept, Word};
use crate::memo::Memo;

/// Objects that stay read: those of some releases. Each takes some KiB, a ReplicaSet up to 20.
const READ: usize = 256;

/// Objects of one kind, by namespace and name.
pub(super) type Objects = BTreeMap<String, BTreeMap<String, Kept>>;

/// The caches of all kinds.
#[derive(Debug)]
pub(super) struct Stores {
    stores: BTreeMap<Kind, Store>,
    /// Changes of all of them.
    pub(super) generations: Generations,
    read: Memo<u64, Arc<Value>>,
}

#[derive(Debug, Default)]
struct Store {
    objects: RwLock<Objects>,
    filled: AtomicBool,
}

impl Default for Stores {
    fn default() -> Self {
        let stores = Kind::ALL.into_iter().map(|kind| (kind, Store::default())).collect();
        Self { stores, generations: Generations::default(), read: Memo::of(READ) }
    }
}

impl Stores {
    /// Keeps an object as it is now.
    pub(super) fn put(&self, kind: Kind, object: DynamicObject) {
        self.write(kind, |objects| insert(objects, kind, object));
    }

    /// Forgets an object.
    pub(super) fn remove(&self, kind: Kind, object: &DynamicObject) {
        self.write(kind, |objects| remove(objects, kind, object));
    }

    /// Adds an object to a new listing of its kind. What is known of it already is not kept twice meanwhile.
    pub(super) fn list(&self, listing: &mut Objects, kind: Kind, object: DynamicObject) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let kept = Kept::of(kind, object);
        let known = self.look(kind, |objects| objects.get(&namespace)?.get(&name).filter(|known| **known == kept).cloned());
        listing.entry(namespace).or_default().insert(name, known.unwrap_or(kept));
    }

    /// Keeps these objects of a kind and no others.
    pub(super) fn replace(&self, kind: Kind, whole: Objects) {
        self.write(kind, |objects| {
            let touched = if *objects == whole { Touched::Nothing } else { Touched::All };
            *objects = whole;
            touched
        });
        self.are_filled(kind);
    }

    /// Notes that all objects of a kind are there.
    pub(super) fn are_filled(&self, kind: Kind) {
        if let Some(store) = self.stores.get(&kind) {
            store.filled.store(true, Ordering::Release);
        }
    }

    /// Whether all of them were filled once.
    pub(super) fn is_ready(&self) -> bool {
        self.stores.values().all(|store| store.filled.load(Ordering::Acquire))
    }

    /// The objects of a kind in a namespace; with a word, only those that have it as a text, or before a dash of one.
    pub(super) fn objects(&self, kind: Kind, namespace: &str, word: Option<&str>) -> Vec<Arc<Value>> {
        let word = word.map(Word::new);
        let is_wanted = |kept: &&Kept| word.as_ref().is_none_or(|word| kept.has(word));
        let found: Vec<Kept> = self
            .look(kind, |objects| objects.get(namespace).map(|of_namespace| of_namespace.values().filter(is_wanted).cloned().collect()))
            .unwrap_or_default();
        found.iter().filter_map(|kept| self.value(kept)).collect()
    }

    /// One object.
    pub(super) fn object(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let kept = self.look(kind, |objects| objects.get(namespace)?.get(name).cloned())?;
        self.value(&kept)
    }

    fn value(&self, kept: &Kept) -> Option<Arc<Value>> {
        if let Some(value) = self.read.get(&kept.number) {
            return Some(value);
        }
        let value = Arc::new(kept.read()?);
        self.read.put(&kept.number, Arc::clone(&value));
        Some(value)
    }

    fn look<T>(&self, kind: Kind, at: impl FnOnce(&Objects) -> Option<T>) -> Option<T> {
        at(&self.stores.get(&kind)?.objects.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, kind: Kind, change: impl FnOnce(&mut Objects) -> Touched) {
        let Some(store) = self.stores.get(&kind) else { return };
        let touched = change(&mut store.objects.write().unwrap_or_else(PoisonError::into_inner));
        self.generations.count(&touched);
    }
}

/// Keeps an object. What no gate looks at is no change.
fn insert(objects: &mut Objects, kind: Kind, object: DynamicObject) -> Touched {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let touched = Touched::Namespace(if kind == Kind::Namespace { name.clone() } else { namespace.clone() });
    let kept = Kept::of(kind, object);
    let of_namespace = objects.entry(namespace).or_default();
    if of_namespace.get(&name) == Some(&kept) {
        return Touched::Nothing;
    }
    of_namespace.insert(name, kept);
    touched
}

fn remove(objects: &mut Objects, kind: Kind, object: &DynamicObject) -> Touched {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn deployment(available: u64, chart: &str) -> DynamicObject {
        object(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "m-milvus-proxy", "namespace": "db", "resourceVersion": available.to_string(), "generation": 3,
                "labels": {"helm.sh/chart": chart}}, "status": {"observedGeneration": 3, "availableReplicas": available, "conditions": [{"lastUpdateTime": available}]}}),
        )
    }

    #[test]
    fn only_what_a_gate_looks_at_is_kept_and_is_a_change() {
        let mut objects = Objects::new();
        let db = || Touched::Namespace("db".into());
        let kind = Kind::Deployment;
        assert_eq!(insert(&mut objects, kind, deployment(1, "a")), db());
        assert_eq!(objects["db"]["m-milvus-proxy"].read().unwrap()["status"], json!({"observedGeneration": 3, "availableReplicas": 1}));
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
        let mut objects = Objects::new();
        let named = |mode: &str| {
            object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db", "labels": {"mode": mode}}, "status": {"phase": mode}}))
        };
        assert_eq!(insert(&mut objects, Kind::Namespace, named("warn")), Touched::Namespace("db".into()));
        assert_eq!(objects[""]["db"].read().unwrap().get("status"), None);
        assert_eq!(remove(&mut objects, Kind::Namespace, &named("warn")), Touched::Namespace("db".into()));
    }

    #[test]
    fn a_listing_keeps_what_is_known_and_forgets_what_it_does_not_have() {
        let stores = Stores::default();
        let kind = Kind::Deployment;
        let mut gone = deployment(1, "a");
        gone.metadata.name = Some("m-milvus-querynode".into());
        [deployment(1, "a"), gone].into_iter().for_each(|object| stores.put(kind, object));
        let known = stores.object(kind, "db", "m-milvus-proxy").unwrap();
        let (mut same, mut other) = (Objects::new(), Objects::new());
        stores.list(&mut same, kind, deployment(1, "a"));
        stores.list(&mut other, kind, deployment(1, "b"));
        stores.replace(kind, same);
        assert!(Arc::ptr_eq(&known, &stores.object(kind, "db", "m-milvus-proxy").unwrap()), "it is not even read again");
        assert_eq!(stores.objects(kind, "db", None).len(), 1);
        stores.replace(kind, other);
        assert_eq!(stores.object(kind, "db", "m-milvus-proxy").unwrap()["metadata"]["labels"]["helm.sh/chart"], "b");
    }

    #[test]
    fn an_object_that_changed_is_read_anew() {
        let stores = Stores::default();
        for chart in ["a", "b", "a"] {
            stores.put(Kind::Deployment, deployment(1, chart));
            let found = stores.object(Kind::Deployment, "db", "m-milvus-proxy").unwrap();
            assert_eq!(found["metadata"]["labels"]["helm.sh/chart"], chart);
            assert_eq!(stores.objects(Kind::Deployment, "db", Some(chart)), [found]);
            assert!(stores.objects(Kind::Deployment, "db", Some("c")).is_empty() && stores.objects(Kind::Deployment, "other", None).is_empty());
        }
    }
}
