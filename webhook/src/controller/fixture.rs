//! A release in the API's JSON, for tests.

use std::sync::Arc;

use serde_json::{Value, json};

use super::observe::Seen;
use super::seen;

/// The components of a cluster with the mix coordinator.
pub(crate) const MIX: [&str; 5] = ["datanode", "indexnode", "mixcoord", "proxy", "querynode"];

fn template(component: &str, tag: &str) -> Value {
    json!({"metadata": {"labels": {"app.kubernetes.io/instance": "m", "app.kubernetes.io/name": "milvus", "component": component}},
        "spec": {"containers": [{"name": component, "image": format!("milvusdb/milvus:{tag}")}]}})
}

/// A Deployment that runs what it says.
pub(crate) fn deployment(component: &str, tag: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": format!("m-milvus-{component}"), "namespace": "db", "uid": component, "resourceVersion": "7", "generation": 1,
            "creationTimestamp": "2026-11-21T20:00:00Z", "annotations": {"meta.helm.sh/release-name": "m"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": template(component, tag)["metadata"]["labels"]}, "template": template(component, tag)},
        "status": {"observedGeneration": 1}})
}

/// The same, held with another image.
pub(crate) fn held(component: &str, tag: &str) -> Value {
    let mut object = deployment(component, tag);
    object["spec"]["paused"] = json!(true);
    let hold = json!({"guard.milvus-guard.dev/hold": "why", "guard.milvus-guard.dev/change": "c1", "guard.milvus-guard.dev/template": "t"});
    object["metadata"]["annotations"].as_object_mut().unwrap().extend(hold.as_object().unwrap().clone());
    object["metadata"]["labels"] = json!({"guard.milvus-guard.dev/held": "c1"});
    object
}

/// A ReplicaSet of a Deployment.
pub(crate) fn set(component: &str, tag: &str, revision: u64) -> Value {
    let mut template = template(component, tag);
    template["metadata"]["labels"]["pod-template-hash"] = json!(format!("h{revision}"));
    json!({"metadata": {"name": format!("m-milvus-{component}-{revision}"), "namespace": "db", "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
            "ownerReferences": [{"kind": "Deployment", "name": format!("m-milvus-{component}")}]},
        "spec": {"template": template}, "status": {"replicas": 1}})
}

/// A ready pod of a ReplicaSet.
pub(crate) fn pod(component: &str, tag: &str, revision: u64) -> Value {
    let mut pod = template(component, tag);
    let set = format!("m-milvus-{component}-{revision}");
    pod["metadata"]["name"] = json!(format!("{set}-x"));
    pod["metadata"]["namespace"] = json!("db");
    pod["metadata"]["creationTimestamp"] = json!("2026-11-21T20:00:10Z");
    pod["metadata"]["ownerReferences"] = json!([{"kind": "ReplicaSet", "name": set}]);
    pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-21T20:00:20Z"}]});
    pod
}

/// What is seen of objects, in any order.
pub(crate) fn seen(objects: &[Value]) -> Seen {
    let mut all = Seen::default();
    for object in objects {
        if object.pointer("/spec/selector").is_some() {
            all.workloads.extend(seen::workload(object).map(Arc::new));
        } else if object.pointer("/spec/template").is_some() {
            all.sets.extend(seen::set(object).map(Arc::new));
        } else {
            all.pods.extend(seen::pod(object).map(Arc::new));
        }
    }
    all
}

/// A release whose components run a tag.
pub(crate) fn running(components: &[&str], tag: &str) -> Vec<Value> {
    components.iter().flat_map(|component| [deployment(component, tag), set(component, tag, 1), pod(component, tag, 1)]).collect()
}

/// Another tag is stored on a component, and held.
pub(crate) fn hold(objects: &mut Vec<Value>, component: &str, tag: &str) {
    let name = format!("m-milvus-{component}");
    objects.retain(|object| object["metadata"]["name"] != name.as_str());
    objects.push(held(component, tag));
}

/// A `GuardedUpgrade` to a version.
pub(crate) fn upgrade(to: &str, status: Value) -> Value {
    json!({"apiVersion": "guard.milvus-guard.dev/v1alpha1", "kind": "GuardedUpgrade", "metadata": {"name": "m", "namespace": "db", "uid": "u", "generation": 1}, "spec": {"to": to}, "status": status})
}
