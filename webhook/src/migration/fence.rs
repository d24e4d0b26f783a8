//! The fence: a ValidatingAdmissionPolicy that refuses every pod of a stopped release. It stands in the API server, also while the guard is down. Pure.

use std::collections::BTreeSet;

use milvus_guard::rollout::Component;
use serde_json::{Value, json};

use crate::admission::hold::{FENCE_LABEL, FENCE_NAMESPACE_LABEL};

/// Whose fence.
#[derive(Debug, Clone, Copy)]
pub struct Of<'f> {
    /// The namespace.
    pub namespace: &'f str,
    /// The release.
    pub release: &'f str,
}

impl Of<'_> {
    /// The name of policy and binding. A namespace has no dot, so that no two have the same.
    #[must_use]
    pub fn name(&self) -> String {
        format!("milvus-guard-fence.{}.{}", self.namespace, self.release)
    }

    /// What both are found by.
    #[must_use]
    pub fn selector(&self) -> String {
        format!("{FENCE_LABEL}={},{FENCE_NAMESPACE_LABEL}={}", self.release, self.namespace)
    }

    fn metadata(&self) -> Value {
        json!({
            "name": self.name(),
            "labels": {
                FENCE_LABEL: self.release,
                FENCE_NAMESPACE_LABEL: self.namespace,
                "app.kubernetes.io/managed-by": "milvus-guard",
            },
        })
    }

    /// The policy. `names`: what the Milvus of the release is called in `app.kubernetes.io/name`.
    #[must_use]
    pub fn policy(&self, names: &BTreeSet<String>) -> Value {
        let Self { namespace, release } = self;
        let components: Vec<&str> = Component::ALL.iter().map(|component| component.name()).collect();
        let message = format!(
            "Milvus release {release} is stopped while its metadata is migrated, and no pod of it may start; milvus-guard starts them again. To give that up: milvus-guard cleanup {release} -n {namespace} --force"
        );
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": self.metadata(),
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                    // Stores and queues have the label of the release, too: they go on.
                    "objectSelector": {"matchExpressions": [
                        {"key": "app.kubernetes.io/instance", "operator": "In", "values": [release]},
                        {"key": "app.kubernetes.io/name", "operator": "In", "values": names},
                        {"key": "component", "operator": "In", "values": components},
                    ]},
                    "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                },
                "validations": [{"expression": "false", "message": message, "reason": "Forbidden"}],
            },
        })
    }

    /// The binding, without which a policy does nothing.
    #[must_use]
    pub fn binding(&self) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": self.metadata(),
            "spec": {"policyName": self.name(), "validationActions": ["Deny"]},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_names_its_release_and_its_way_out() {
        let fence = Of { namespace: "db", release: "m" };
        let policy = fence.policy(&BTreeSet::from(["milvus".to_owned()]));
        assert_eq!(policy["metadata"]["name"], fence.binding()["spec"]["policyName"]);
        assert!(policy["spec"]["validations"][0]["message"].as_str().unwrap().ends_with("milvus-guard cleanup m -n db --force"));
        assert_eq!(policy["metadata"]["labels"][FENCE_LABEL], "m");
        assert_ne!(Of { namespace: "a", release: "b-c" }.name(), Of { namespace: "a-b", release: "c" }.name());
    }
}
