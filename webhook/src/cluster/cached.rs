//! A cluster whose objects are kept in caches; what those do not have is read each time.

use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use serde_json::Value;

use super::generations::Touched;
use super::stores::Stores;
use super::{Api, Cluster, Kind, ReadError, Reads};

/// Caches, and `R` by which the rest is read.
pub struct Cached<R> {
    pub(super) stores: Stores,
    version: OnceLock<(u32, u32)>,
    reads: R,
}

impl<R> Cached<R> {
    /// Nothing is in the caches yet.
    pub(super) fn empty(reads: R) -> Self {
        Self { stores: Stores::default(), version: OnceLock::new(), reads }
    }

    /// Notes Kubernetes' version.
    pub(super) fn is_of(&self, version: (u32, u32)) {
        if self.version.set(version).is_ok() {
            self.stores.generations.count(&Touched::All);
        }
    }
}

impl<R: Reads> Reads for Cached<R> {
    fn read<'a>(&'a self, api: Api, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        self.reads.read(api, namespace, name)
    }
}

impl<R: Reads> Cluster for Cached<R> {
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
}

#[cfg(test)]
mod tests {
    use super::super::Snapshot;
    use super::super::stores::Objects;
    use super::*;

    impl Cached<Snapshot> {
        /// Objects as the caches tell them: what a gate says of those, it says of the real ones.
        pub(crate) fn of(all: &Snapshot) -> Arc<Self> {
            let cached = Self::empty(all.clone());
            for kind in Kind::ALL {
                let mut objects = Objects::new();
                for object in all.of_kind(kind.api().1) {
                    cached.stores.list(&mut objects, kind, serde_json::from_value(Value::clone(object)).unwrap());
                }
                cached.stores.replace(kind, objects);
            }
            all.kubernetes.into_iter().for_each(|version| cached.is_of(version));
            Arc::new(cached)
        }
    }
}
