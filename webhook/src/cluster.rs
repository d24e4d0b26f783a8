//! What the gates know of the cluster, behind one trait: verdicts are made from a snapshot, whether a cache, a file or a test gives it.

mod cached;
mod generations;
mod kept;
pub(crate) mod listing;
pub mod measured;
pub mod memory;
pub mod running;
mod stores;
pub mod watch;

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::admission::release::Driver;

pub use cached::Cached;
pub use measured::Measured;
pub use memory::Snapshot;
pub use watch::Watched;

/// The kinds of objects that are cached. Each is narrowed by labels to what Milvus releases have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Deployments of components.
    Deployment,
    /// Their ReplicaSets.
    ReplicaSet,
    /// Deployments that the Milvus operator manages, which have other labels: their names, and who owns them.
    Operated,
    /// Claims.
    Claim,
    /// `GuardedUpgrade`.
    GuardedUpgrade,
    /// `UpgradeReceipt`.
    UpgradeReceipt,
    /// Namespaces, for modes.
    Namespace,
    /// Flux's `HelmRepository`: where a chart comes from.
    HelmRepository,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Deployment, Self::Operated, Self::ReplicaSet, Self::Claim, Self::GuardedUpgrade, Self::UpgradeReceipt, Self::Namespace, Self::HelmRepository];

    /// API version and kind.
    #[must_use]
    pub const fn api(self) -> Api {
        match self {
            Self::Deployment | Self::Operated => ("apps/v1", "Deployment"),
            Self::ReplicaSet => ("apps/v1", "ReplicaSet"),
            Self::Claim => ("v1", "PersistentVolumeClaim"),
            Self::GuardedUpgrade => ("guard.milvus-guard.dev/v1alpha1", "GuardedUpgrade"),
            Self::UpgradeReceipt => ("guard.milvus-guard.dev/v1alpha1", "UpgradeReceipt"),
            Self::Namespace => ("v1", "Namespace"),
            Self::HelmRepository => ("source.toolkit.fluxcd.io/v1", "HelmRepository"),
        }
    }
}

/// Why the API server did not give an object; never with a part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the API server could not be asked: {0}")]
pub struct ReadError(pub String);

/// API version and kind of an object.
pub type Api = (&'static str, &'static str);

/// What is asked of the API server each time: what no cache keeps, and what a cache may not have yet.
pub trait Reads: Send + Sync + 'static {
    /// An object as it is now; nothing when there is none.
    fn read<'a>(&'a self, api: Api, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>>;
}

/// What the gates know of the cluster.
pub trait Cluster: Reads {
    /// The cached objects of a kind in a namespace (of the cluster, for namespaces themselves: pass ``).
    fn objects(&self, kind: Kind, namespace: &str) -> Vec<Arc<Value>>;

    /// Those among them that have this text somewhere, whole or before a dash; others may come with them. Cheaper than all, where there are many.
    fn naming(&self, kind: Kind, namespace: &str, _word: &str) -> Vec<Arc<Value>> {
        self.objects(kind, namespace)
    }

    /// Kubernetes' version, where it is known.
    fn kubernetes(&self) -> Option<(u32, u32)>;

    /// A number that grows after every change of what the caches tell; absent: nobody counts.
    fn generation(&self) -> Option<u64> {
        None
    }

    /// A number that grows after every change of what the caches tell of a namespace (for namespaces themselves too), and after `generation` did; absent: nobody counts.
    fn generation_in(&self, _namespace: &str) -> Option<u64> {
        self.generation()
    }

    /// Whether all caches were filled once.
    fn is_ready(&self) -> bool;

    /// One cached object.
    fn object(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.objects(kind, namespace).into_iter().find(|object| text(object, "/metadata/name") == Some(name))
    }

    /// The object that stores a revision of a release; nothing when there is none.
    fn release<'a>(&'a self, namespace: &'a str, name: &'a str, revision: u32, driver: Driver) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        let kind = if driver == Driver::Secret { "Secret" } else { "ConfigMap" };
        async move { self.read(("v1", kind), namespace, &format!("sh.helm.release.v1.{name}.v{revision}")).await }.boxed()
    }

    /// A `GuardedUpgrade` as it is now: the cache may lag behind a person.
    fn guarded_upgrade<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        self.read(Kind::GuardedUpgrade.api(), namespace, name)
    }

    /// A ConfigMap as it is now.
    fn config_map<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        self.read(("v1", "ConfigMap"), namespace, name)
    }

    /// Whether a Secret of this name is there; nothing of it is kept.
    fn has_secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<bool, ReadError>> {
        async move { Ok(self.read(("v1", "Secret"), namespace, name).await?.is_some()) }.boxed()
    }
}

/// The text at a JSON pointer.
#[must_use]
pub fn text<'v>(object: &'v Value, pointer: &str) -> Option<&'v str> {
    at(object, pointer).and_then(Value::as_str)
}

/// What stands at a JSON pointer; without copies of its keys where none has an escape, as hardly ever.
#[must_use]
pub fn at<'v>(object: &'v Value, pointer: &str) -> Option<&'v Value> {
    match pointer.strip_prefix('/').filter(|_| !pointer.contains('~')) {
        Some(keys) => keys.split('/').try_fold(object, |value, key| if value.is_array() { value.pointer(&format!("/{key}")) } else { value.get(key) }),
        None => object.pointer(pointer),
    }
}

/// A label of an object.
#[must_use]
pub fn label<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    at(object, "/metadata/labels")?.get(name)?.as_str()
}

/// An annotation of an object.
#[must_use]
pub fn annotation<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    at(object, "/metadata/annotations")?.get(name)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stands_at_a_pointer_is_what_serde_finds_there() {
        let object = json!({"a": {"b/c": [{"d": 1}, 2], "": 3}, "x~y": {"0": 4}});
        for pointer in ["", "/", "a", "/a", "/a/", "/a/b~1c/0/d", "/a/b~1c/01", "/x~0y/0", "/x", "/a/b", "/a//"] {
            assert_eq!(at(&object, pointer), object.pointer(pointer), "{pointer}");
        }
        let lists = json!({"l": [[1, {"m": "n"}], 2]});
        for pointer in ["/l/0/1/m", "/l/0/01", "/l/2", "/l/+1", "/l/1/m", "/l/x", "/l/"] {
            assert_eq!(at(&lists, pointer), lists.pointer(pointer), "{pointer}");
        }
    }
}
