//! What judges: the gates, over the API server's objects or over given ones.

use std::sync::Arc;

use kube::Client;
use milvus_guard_webhook::admission::Judge;
use milvus_guard_webhook::admission::guard::{Configuration, Guard};
use milvus_guard_webhook::cluster::{Measured, Snapshot, Watched};
use milvus_guard_webhook::telemetry::Telemetry;
use serde_json::Value;

/// The gates over a live cluster.
pub(super) fn live(client: &Client, configuration: Configuration, telemetry: &Arc<Telemetry>) -> impl Judge {
    Guard::new(Measured::start(Watched::start(client), Arc::clone(telemetry)), configuration)
}

/// The gates over these objects.
pub(super) fn over(objects: Vec<Value>) -> impl Judge {
    Guard::new(Arc::new(Snapshot::new(objects)), Configuration::default())
}
