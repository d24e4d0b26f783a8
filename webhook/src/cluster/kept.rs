//! What the caches keep of an object: the parts that gates look at, as text. As values they would take five to ten times as much, and of most objects nobody asks for a day.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kube::api::DynamicObject;
use memchr::memmem::{self, Finder};
use serde_json::{Value, json};

use super::Kind;

/// What is kept of an object.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// Tells it from all others, and from what was kept of the same object before.
    pub(super) number: u64,
    text: Arc<str>,
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Kept {
    /// Of an object as the API server tells it.
    pub(super) fn of(kind: Kind, object: DynamicObject) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Self { number: NUMBERS.fetch_add(1, Ordering::Relaxed), text: parts(kind, object).to_string().into() }
    }

    /// The parts that are kept, each where the object has it.
    pub(super) fn read(&self) -> Option<Value> {
        serde_json::from_str(&self.text).ok()
    }

    /// Whether a word is in it.
    pub(super) fn has(&self, word: &Word<'_>) -> bool {
        let text = self.text.as_bytes();
        word.begin.find_iter(text).any(|at| matches!(text.get(at + word.begin.needle().len()), Some(b'"' | b'-')))
    }
}

/// A text, or the part of one before a dash, that an object may have somewhere.
pub(super) struct Word<'w> {
    begin: Finder<'w>,
}

impl Word<'_> {
    pub(super) fn new(word: &str) -> Self {
        let quoted = json!(word).to_string();
        Self { begin: memmem::Finder::new(quoted.strip_suffix('"').unwrap_or(&quoted)).into_owned() }
    }
}

/// Where the parts are that gates look at. A gate that reads another one of a cached object has to name it here; what is not named is no change either.
const fn looked_at(kind: Kind) -> &'static [&'static str] {
    match kind {
        // Who it is, what is noted on it, and how far its rollout is. What its pods are made from, its ReplicaSets tell.
        Kind::Deployment => &[
            "/metadata/name",
            "/metadata/namespace",
            "/metadata/labels",
            "/metadata/annotations",
            "/metadata/generation",
            "/spec/replicas",
            "/spec/selector/matchLabels",
            "/spec/template/metadata/labels",
            "/status/observedGeneration",
            "/status/replicas",
            "/status/updatedReplicas",
            "/status/availableReplicas",
        ],
        Kind::ReplicaSet => &[
            "/metadata/name",
            "/metadata/namespace",
            "/metadata/labels/pod-template-hash",
            "/metadata/annotations/deployment.kubernetes.io~1revision",
            "/metadata/annotations/milvus.io~1message-queue",
            "/metadata/ownerReferences",
            "/metadata/deletionTimestamp",
            "/spec/template",
            "/status/replicas",
            "/status/readyReplicas",
        ],
        Kind::Operated => &["/metadata/name", "/metadata/namespace", "/metadata/ownerReferences"],
        Kind::Claim => &["/metadata/name", "/metadata/namespace", "/metadata/labels", "/metadata/creationTimestamp"],
        Kind::Namespace => &["/metadata/name", "/metadata/labels", "/metadata/annotations"],
        Kind::HelmRepository => &["/metadata/name", "/metadata/namespace", "/metadata/labels", "/metadata/annotations", "/spec"],
        Kind::GuardedUpgrade | Kind::UpgradeReceipt => {
            &["/metadata/name", "/metadata/namespace", "/metadata/uid", "/metadata/generation", "/metadata/labels", "/metadata/annotations", "/spec", "/status"]
        }
    }
}

/// Those parts of an object, and its kind.
fn parts(kind: Kind, mut object: DynamicObject) -> Value {
    object.metadata.managed_fields = None;
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    let metadata = serde_json::to_value(object.metadata).unwrap_or_default();
    let mut whole = object.data;
    put(&mut whole, "/metadata", metadata);
    let (version, name) = kind.api();
    let mut parts = json!({"apiVersion": version, "kind": name});
    for path in looked_at(kind) {
        if let Some(part) = whole.pointer_mut(path) {
            put(&mut parts, path, part.take());
        }
    }
    parts
}

/// Puts a value where a JSON pointer says, into tables that are made where they are missing.
fn put(into: &mut Value, path: &str, value: Value) {
    let mut at = into;
    for key in path.split('/').skip(1) {
        let Some(table) = at.as_object_mut() else { return };
        at = table.entry(key.replace("~1", "/")).or_insert_with(|| json!({}));
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(kind: Kind, object: Value) -> Kept {
        Kept::of(kind, serde_json::from_value(object).unwrap())
    }

    #[test]
    fn the_parts_of_an_object_are_where_the_object_has_them_and_nothing_else_is_kept() {
        let object = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": "m-proxy-5d4c8", "namespace": "db", "uid": "u", "labels": {"pod-template-hash": "5d4c8", "component": "proxy"},
                "annotations": {"deployment.kubernetes.io/revision": "3", "deployment.kubernetes.io/max-replicas": "2"}, "managedFields": [{"manager": "helm"}]},
            "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "proxy", "image": "a"}]}}}, "status": {"replicas": 1, "fullyLabeledReplicas": 1}});
        let left = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": "m-proxy-5d4c8", "namespace": "db", "labels": {"pod-template-hash": "5d4c8"}, "annotations": {"deployment.kubernetes.io/revision": "3"}},
            "spec": {"template": {"spec": {"containers": [{"name": "proxy", "image": "a"}]}}}, "status": {"replicas": 1}});
        assert_eq!(kept(Kind::ReplicaSet, object).read(), Some(left));
    }

    #[test]
    fn an_object_has_a_word_as_a_text_of_its_own_or_as_the_begin_of_one() {
        let named = kept(Kind::Claim, json!({"metadata": {"name": "data-m-etcd-0", "labels": {"release": "m", "app\"s": "x\\y"}}}));
        for word in ["m", "data-m", "data", "data-m-etcd-0", "release", "app\"s", "x\\y"] {
            assert!(named.has(&Word::new(word)), "{word}");
        }
        for word in ["", "dat", "data-m-etcd-", "etcd", "n", "x", "rel"] {
            assert!(!named.has(&Word::new(word)), "{word}");
        }
    }
}
