//! A cluster whose remote reads are timed, and whose holds are counted.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;

use super::{Api, Cluster, Kind, ReadError, Reads, text};
use crate::admission::hold::{HOLD_ANNOTATION, is_held};
use crate::remote;
use crate::telemetry::Telemetry;

/// How often holds are counted.
const EVERY: Duration = Duration::from_secs(10);

/// Tells [`Telemetry`] what is read and what is held.
pub struct Measured<C> {
    inner: Arc<C>,
    telemetry: Arc<Telemetry>,
}

impl<C: Cluster> Measured<C> {
    /// Measures `inner`, and counts its holds for as long as it is used.
    #[must_use]
    pub fn start(inner: Arc<C>, telemetry: Arc<Telemetry>) -> Arc<Self> {
        tokio::spawn(count(Arc::downgrade(&inner), Arc::clone(&telemetry)));
        Arc::new(Self { inner, telemetry })
    }
}

async fn count<C: Cluster>(cluster: Weak<C>, telemetry: Arc<Telemetry>) {
    while let Some(cluster) = cluster.upgrade() {
        for namespace in cluster.objects(Kind::Namespace, "") {
            let Some(name) = text(&namespace, "/metadata/name") else { continue };
            let held = cluster.naming(Kind::Deployment, name, HOLD_ANNOTATION).iter().filter(|object| is_held(object)).count();
            telemetry.holds_open(name, i64::try_from(held).unwrap_or(i64::MAX));
        }
        drop(cluster);
        tokio::time::sleep(EVERY).await;
    }
}

impl<C: Cluster> Reads for Measured<C> {
    fn read<'a>(&'a self, api: Api, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        async move {
            let (result, took) = remote::timed(self.inner.read(api, namespace, name)).await;
            self.telemetry.remote_read(took);
            result
        }
        .boxed()
    }
}

impl<C: Cluster> Cluster for Measured<C> {
    fn objects(&self, kind: Kind, namespace: &str) -> Vec<Arc<Value>> {
        self.inner.objects(kind, namespace)
    }

    fn naming(&self, kind: Kind, namespace: &str, word: &str) -> Vec<Arc<Value>> {
        self.inner.naming(kind, namespace, word)
    }

    fn kubernetes(&self) -> Option<(u32, u32)> {
        self.inner.kubernetes()
    }

    fn generation(&self) -> Option<u64> {
        self.inner.generation()
    }

    fn generation_in(&self, namespace: &str) -> Option<u64> {
        self.inner.generation_in(namespace)
    }

    fn is_ready(&self) -> bool {
        self.inner.is_ready()
    }

    fn object(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.inner.object(kind, namespace, name)
    }
}
