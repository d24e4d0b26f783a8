//! The judge that the tests put behind the router: the gates over an empty cluster.

use std::sync::Arc;

use milvus_guard_webhook::admission::Judge;
use milvus_guard_webhook::admission::guard::{Configuration, Guard};
use milvus_guard_webhook::cluster::Snapshot;

pub(crate) fn offline() -> impl Judge {
    Guard::new(Arc::new(Snapshot::default()), Configuration::default())
}
