//! The objects that declare the releases of the changes, and where they lie.

use serde_json::Value;

use super::Change;
use super::columns::Column;
use super::declared::{APPLICATION, Declared, HELM_CHART, HELM_RELEASE, Kind};

const HELM_REPOSITORY: Kind = ("source.toolkit.fluxcd.io", "v1", "HelmRepository", "helmrepositories");

/// The objects of one tool: file and gate.
pub(super) struct Tool {
    pub(super) file: Column,
    pub(super) gate: Column,
    kind: Kind,
}

pub(super) const TOOLS: [Tool; 3] = [
    Tool { file: Column::Files, gate: Column::HelmRelease, kind: HELM_RELEASE },
    Tool { file: Column::ApplicationFile, gate: Column::Application, kind: APPLICATION },
    Tool { file: Column::HelmChartFile, gate: Column::HelmChart, kind: HELM_CHART },
];

/// The namespace of a change's objects: those of tools lie elsewhere than what they install.
pub(super) fn namespace(change: &Change) -> String {
    format!("objects-{}", change.slug())
}

/// Where the objects of a kind are.
pub(super) fn path(kind: &Kind, namespace: &str) -> String {
    format!("/apis/{}/{}/namespaces/{namespace}/{}", kind.0, kind.1, kind.3)
}

impl Tool {
    pub(super) fn path(&self, change: &Change) -> String {
        path(&self.kind, &namespace(change))
    }

    /// The object that declares a release before or after a change; `target` is where the release lies.
    pub(super) fn object(&self, change: &Change, is_before: bool, target: &str) -> Value {
        let state = if is_before { change.before() } else { change.after() };
        let reuses = change.reuses && !is_before;
        Declared { release: change.release, namespace: &namespace(change), target, state: &state, reuses }.object(&self.kind)
    }
}

pub(super) fn repositories_path(namespace: &str) -> String {
    path(&HELM_REPOSITORY, namespace)
}
