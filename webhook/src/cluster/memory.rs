//! A cluster of a few objects: for tests, and for judging a stored review offline.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use serde_json::Value;

use super::{Api, Cluster, Kind, ReadError, Reads, text};

/// Objects as the API server would give them.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    objects: Vec<Arc<Value>>,
    /// Kubernetes' version.
    pub kubernetes: Option<(u32, u32)>,
}

impl Snapshot {
    /// A cluster with these objects.
    #[must_use]
    pub fn new(objects: impl IntoIterator<Item = Value>) -> Self {
        Self { objects: objects.into_iter().map(Arc::new).collect(), kubernetes: None }
    }

    /// The same with another object; one of the same kind, namespace and name is replaced.
    pub fn put(&mut self, object: Value) {
        let key = |object: &Value| ["/kind", "/metadata/namespace", "/metadata/name"].map(|pointer| text(object, pointer).map(str::to_owned));
        let new = key(&object);
        self.objects.retain(|known| key(known) != new);
        self.objects.push(Arc::new(object));
    }

    /// All objects of a kind, in every namespace.
    pub fn of_kind<'s>(&'s self, kind: &str) -> impl Iterator<Item = &'s Arc<Value>> + use<'s> {
        let kind = kind.to_owned();
        self.objects.iter().filter(move |object| text(object, "/kind") == Some(&*kind))
    }
}

impl Reads for Snapshot {
    fn read<'a>(&'a self, api: Api, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        let is_it = |object: &&Arc<Value>| {
            text(object, "/apiVersion") == Some(api.0)
                && text(object, "/kind") == Some(api.1)
                && text(object, "/metadata/namespace").unwrap_or_default() == namespace
                && text(object, "/metadata/name") == Some(name)
        };
        ready(Ok(self.objects.iter().find(is_it).map(|object| Value::clone(object)))).boxed()
    }
}

impl Cluster for Snapshot {
    fn objects(&self, kind: Kind, namespace: &str) -> Vec<Arc<Value>> {
        let (version, name) = kind.api();
        let is_it = |object: &&Arc<Value>| {
            text(object, "/kind") == Some(name)
                && text(object, "/apiVersion") == Some(version)
                && (kind == Kind::Namespace || text(object, "/metadata/namespace").unwrap_or_default() == namespace)
        };
        self.objects.iter().filter(is_it).cloned().collect()
    }

    fn kubernetes(&self) -> Option<(u32, u32)> {
        self.kubernetes
    }

    fn generation(&self) -> Option<u64> {
        // A snapshot that is used is shared, so that nothing is put into it any more.
        Some(0)
    }

    fn is_ready(&self) -> bool {
        true
    }
}
