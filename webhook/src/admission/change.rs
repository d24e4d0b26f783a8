//! Which change an object belongs to: an id that all objects of one change share, and a digest of what each of them has to become.
//!
//! A gate sees one object at a time, and the others may not have arrived: the id is made of what each object of a change says by itself, and nothing else. No cache is asked (two
//! replicas would differ for a moment), no revision (Argo CD and `kubectl apply` have none), no clock (a dry run and a second apply would differ). What is the same on all workloads of one
//! Milvus, and another for another target, is: namespace, release and name label; the chart in `helm.sh/chart`; the image of the component's container; and `checksum/config`, the chart's hash
//! of the whole rendered configuration, which is on every pod template and stands for the identity of queue, metadata and storage too. Whatever else a template has (resources, environment,
//! a restart) is one component's own; the digest beside the id tells when it moves.
//!
//! The etcd, object store and queue of a release say nothing of Milvus: they are softwares and versions of their own, so each of them is a change of its own, of its images, and all
//! StatefulSets of one Pulsar share an id. That they belong to one upgrade with Milvus is told by their release.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::hold::Identity;
use crate::cluster::running::image;
use crate::cluster::{label, text};

/// Hexadecimal digits of ids and digests.
const BYTES: usize = 8;

/// The change that a workload of Milvus belongs to.
#[must_use]
pub fn of_workload(namespace: &str, identity: &Identity<'_>, object: &Value) -> String {
    let template = object.pointer("/spec/template").unwrap_or(&Value::Null);
    let chart = label(object, "helm.sh/chart").unwrap_or_default();
    let configuration = template.pointer("/metadata/annotations/checksum~1config").and_then(Value::as_str).unwrap_or_default();
    id(&[namespace, identity.release, identity.label, chart, image(template, identity.component).unwrap_or_default(), configuration])
}

/// The change that a workload of a release's etcd, object store or queue belongs to; `software` is what the charts call it.
#[must_use]
pub fn of_dependency(namespace: &str, release: &str, software: &str, object: &Value) -> String {
    let mut parts = vec![namespace, release, software];
    // All StatefulSets of one Pulsar run one image, whatever else stands beside it.
    parts.extend(object.pointer("/spec/template/spec/containers/0").and_then(|container| text(container, "/image")));
    id(&parts)
}

/// A hash of a pod template, whatever the order of its keys; the label that Kubernetes adds does not count.
#[must_use]
pub fn digest(template: &Value) -> String {
    let mut hash = Sha256::new();
    feed(template, &mut hash);
    hex(hash)
}

/// Whether two templates make the same pods: they have the same digest.
#[must_use]
pub fn same_template(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let counted = |table: &Map<String, Value>| table.keys().filter(|key| counts(key)).count();
            counted(a) == counted(b) && a.iter().filter(|(key, _)| counts(key)).all(|(key, value)| b.get(key).is_some_and(|other| same_template(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_template(a, b)),
        _ => a == b,
    }
}

/// Whether a key of a template is said by somebody, and not added by Kubernetes.
fn counts(key: &str) -> bool {
    !matches!(key, "pod-template-hash" | "creationTimestamp")
}

/// A hash of a text, for comparing what must not be repeated.
#[must_use]
pub fn digest_of_text(text: &str) -> String {
    id(&[text])
}

fn id(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex(hash)
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect()
}

fn feed(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Object(table) => {
            let mut keys: Vec<&String> = table.keys().filter(|key| counts(key)).collect();
            keys.sort_unstable();
            hash.update(b"{");
            for key in keys {
                hash.update(key.as_bytes());
                hash.update([0]);
                table.get(key).into_iter().for_each(|value| feed(value, hash));
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            items.iter().for_each(|item| feed(item, hash));
            hash.update(b"]");
        }
        scalar => {
            hash.update(scalar.to_string().as_bytes());
            hash.update([0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::Recipe;
    use super::*;

    fn ids(recipe: &Recipe) -> Vec<String> {
        let of = |component: &&str| {
            let object = recipe.deployment(component);
            of_workload("db", &Identity::of(&object).unwrap(), &object)
        };
        let mut ids: Vec<String> = recipe.components().iter().map(of).collect();
        assert!(ids.len() > 3);
        ids.dedup();
        ids
    }

    #[test]
    fn all_objects_of_a_change_have_one_id_and_another_target_has_another() {
        let after = Recipe::new("4.2.58", 2, json!({}));
        let [id] = ids(&after).try_into().unwrap();
        // Another revision of the same, whoever brings it.
        assert_eq!(ids(&Recipe::new("4.2.58", 7, json!({})).status("failed")), std::slice::from_ref(&id));
        let others = [
            Recipe::new("4.2.57", 2, json!({})),
            Recipe::new("4.2.58", 2, json!({"image": {"all": {"tag": "v2.5.22"}}})),
            Recipe::new("4.2.58", 2, json!({"log": {"level": "debug"}})),
            Recipe { name: "n", ..after.clone() },
            Recipe { name_override: Some("vec"), ..after.clone() },
        ];
        for other in others {
            let [other] = ids(&other).try_into().unwrap();
            assert_ne!(other, id);
        }
    }

    #[test]
    fn what_one_component_has_of_its_own_moves_its_digest_and_not_the_id() {
        let object = Recipe::new("4.2.58", 2, json!({})).deployment("querynode");
        let mut larger = object.clone();
        larger["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "8Gi"}});
        let id = |object: &Value| of_workload("db", &Identity::of(object).unwrap(), object);
        assert_eq!(id(&object), id(&larger));
        assert!(!same_template(&object["spec"]["template"], &larger["spec"]["template"]));
    }

    #[test]
    fn the_parts_of_a_queue_share_an_id_and_a_store_has_its_own() {
        let set = |image: &str, name: &str| {
            let init = json!([{"name": "wait", "image": "busybox:1"}]);
            json!({"metadata": {"name": name}, "spec": {"template": {"spec": {"initContainers": init, "containers": [{"name": name, "image": image}]}}}})
        };
        let id = |software: &str, object: &Value| of_dependency("db", "m", software, object);
        assert_eq!(id("pulsar", &set("pulsar:2.9.5", "bookie")), id("pulsar", &set("pulsar:2.9.5", "broker")));
        assert_ne!(id("pulsar", &set("pulsar:2.9.5", "bookie")), id("pulsar", &set("pulsar:2.9.4", "bookie")));
        assert_ne!(id("pulsar", &set("x", "a")), id("etcd", &set("x", "a")));
    }

    #[test]
    fn the_order_of_keys_and_what_kubernetes_adds_do_not_count() {
        let (a, b) = (
            json!({"metadata": {"labels": {"a": "1", "pod-template-hash": "x"}}, "spec": [1, 2]}),
            json!({"spec": [1, 2], "metadata": {"labels": {"a": "1"}}}),
        );
        assert!(same_template(&a, &b));
        let others = [
            json!({"metadata": {"labels": {"a": "1"}}, "spec": [2, 1]}),
            json!({"metadata": {"labels": {"a": "1"}}, "spec": [1]}),
            json!({"metadata": {"labels": {"a": "1", "b": "1"}}, "spec": [1, 2]}),
            json!({"metadata": {"labels": {"b": "1"}}, "spec": [1, 2]}),
            json!({"metadata": {"labels": {"a": 1}}, "spec": [1, 2]}),
            json!({"metadata": {"labels": {"a": "1"}}, "spec": [1, 2.0]}),
        ];
        for other in &others {
            assert!(!same_template(&a, other) && !same_template(other, &a), "{other}");
            assert_ne!(digest(&a), digest(other));
        }
        assert_eq!(digest(&a), digest(&b));
    }
}
