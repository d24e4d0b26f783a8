//! Gate 3: workloads of a Milvus release.

/// The chart's `component` labels of Milvus itself.
pub const COMPONENTS: &[&str] =
    &["standalone", "proxy", "rootcoord", "querycoord", "indexcoord", "datacoord", "mixcoord", "querynode", "datanode", "indexnode", "streamingnode", "cdc"];

/// Whether a `component` label names a component of Milvus.
#[must_use]
pub fn is_component(name: &str) -> bool {
    COMPONENTS.contains(&name)
}
