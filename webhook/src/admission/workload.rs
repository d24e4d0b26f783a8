//! Gate 3: workloads of a Milvus release.

/// The chart's `component` labels of Milvus itself.
pub const COMPONENTS: &[&str] =
    &["standalone", "proxy", "rootcoord", "querycoord", "indexcoord", "datacoord", "mixcoord", "querynode", "datanode", "indexnode", "streamingnode", "cdc"];

/// Whether a `component` label names a component of Milvus.
#[must_use]
pub fn is_component(name: &str) -> bool {
    COMPONENTS.contains(&name)
}

use serde_json::Value;

use super::Answer;
use super::guard::Guard;
use super::judge::Doubt;
use super::request::Request;
use crate::cluster::{Cluster, label};

/// Whether the Milvus operator owns or manages an object.
#[must_use]
pub fn is_operated(object: &Value) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let is_operators = |owner: &Value| crate::cluster::text(owner, "/apiVersion").is_some_and(|version| version.starts_with("milvus.io/"));
    label(object, "app.kubernetes.io/managed-by") == Some("milvus-operator") || owners.into_iter().flatten().any(is_operators)
}

/// Judges a request of gate 3.
pub(super) fn judge<C: Cluster>(_guard: &Guard<C>, _request: &Request) -> Answer {
    Answer::admitted()
}

/// The answer without a verdict.
pub(super) fn in_doubt<C: Cluster>(_guard: &Guard<C>, _request: &Request, _doubt: Doubt) -> Answer {
    Answer::admitted()
}
