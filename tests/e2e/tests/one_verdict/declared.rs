//! The objects of GitOps tools that declare a release; the tests of the gates without a cluster take this file too.

use serde_json::{Value, json};

use crate::changes::State;

const REPOSITORY: &str = "https://zilliztech.github.io/milvus-helm";

/// Group, version, kind, plural.
pub(crate) type Kind = (&'static str, &'static str, &'static str, &'static str);

pub(crate) const HELM_RELEASE: Kind = ("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases");
pub(crate) const APPLICATION: Kind = ("argoproj.io", "v1alpha1", "Application", "applications");
pub(crate) const HELM_CHART: Kind = ("helm.cattle.io", "v1", "HelmChart", "helmcharts");

/// A release as an object declares it.
pub(crate) struct Declared<'a> {
    /// The release, and the name of the object.
    pub(crate) release: &'a str,
    /// Where the object lies.
    pub(crate) namespace: &'a str,
    /// Where the release lies.
    pub(crate) target: &'a str,
    pub(crate) state: &'a State,
    /// Helm reuses values.
    pub(crate) reuses: bool,
}

impl Declared<'_> {
    /// The object of a kind: a `HelmRelease`, an `Application` or a `HelmChart`.
    pub(crate) fn object(&self, kind: &Kind) -> Value {
        let Self { release, namespace, target, state, reuses } = *self;
        let values: Value = serde_yaml::from_str(&state.values).unwrap();
        let spec = match *kind {
            HELM_RELEASE => {
                let mut spec = json!({"interval": "10m", "releaseName": release, "targetNamespace": target, "values": values,
                    "chart": {"spec": {"chart": "milvus", "version": state.chart, "sourceRef": {"kind": "HelmRepository", "name": "zilliztech"}}}});
                if reuses {
                    spec["upgrade"] = json!({"preserveValues": true});
                }
                spec
            }
            APPLICATION => json!({"project": "default", "destination": {"server": "https://kubernetes.default.svc", "namespace": target},
                "source": {"repoURL": REPOSITORY, "chart": "milvus", "targetRevision": state.chart,
                    "helm": {"releaseName": release, "valuesObject": values}}}),
            _ => json!({"repo": REPOSITORY, "chart": "milvus", "version": state.chart, "targetNamespace": target, "valuesContent": state.values}),
        };
        let (group, version, name, _) = kind;
        json!({"apiVersion": format!("{group}/{version}"), "kind": name, "metadata": {"name": release, "namespace": namespace}, "spec": spec})
    }
}

/// The repository that a `HelmRelease` refers to.
pub(crate) fn repository(namespace: &str) -> Value {
    json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "metadata": {"name": "zilliztech", "namespace": namespace},
        "spec": {"interval": "1h", "url": REPOSITORY}})
}
