//! What runs: the pod templates of the ReplicaSets that have pods. Deployments tell what is wanted, releases what was asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use milvus_guard::model::release::is_component;
use serde_json::Value;

use super::{Cluster, Kind, annotation, at, text};

const REVISION: &str = "deployment.kubernetes.io/revision";

/// Where Milvus's containers mount its configuration.
const CONFIGURATION_FOLDER: &str = "/milvus/configs";

/// A ReplicaSet that serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Serving {
    /// The Deployment that owns it, or that made it where it was left behind (`--cascade=orphan`).
    pub deployment: Arc<str>,
    /// The `component` label; empty where there is none.
    pub component: Arc<str>,
    /// `app.kubernetes.io/name`: tells one Milvus of a release from another.
    pub label: Arc<str>,
    /// Pods that it has; none where the Deployment was scaled to zero and this is what it ran last.
    pub pods: u64,
    /// The ReplicaSet.
    pub object: Arc<Value>,
}

impl Serving {
    /// The pod template.
    #[must_use]
    pub fn template(&self) -> &Value {
        self.object.pointer("/spec/template").unwrap_or(&Value::Null)
    }

    /// The image of the component's container.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        image(self.template(), &self.component)
    }

    /// Which configuration its pods started with.
    #[must_use]
    pub fn config_checksum(&self) -> Option<&str> {
        self.template().pointer("/metadata/annotations")?.get("checksum/config")?.as_str()
    }
}

/// The image of the container that is named like the component, else of the only one.
#[must_use]
pub fn image<'v>(template: &'v Value, component: &str) -> Option<&'v str> {
    text(container(template, component)?, "/image")
}

/// The container that is named like the component, else the only one.
#[must_use]
pub fn container<'v>(template: &'v Value, component: &str) -> Option<&'v Value> {
    let containers = template.pointer("/spec/containers")?.as_array()?;
    let named = containers.iter().find(|container| text(container, "/name") == Some(component));
    named.or(if containers.len() == 1 { containers.first() } else { None })
}

/// The ConfigMap that Milvus's configuration is mounted from; the first of several.
#[must_use]
pub fn configuration_name(template: &Value) -> Option<&str> {
    configuration_mounts(template).find_map(|mount| config_map_of(template, mount))
}

/// All ConfigMaps that files of Milvus's configuration are mounted from.
#[must_use]
pub fn configuration_names(template: &Value) -> BTreeSet<&str> {
    configuration_mounts(template).filter_map(|mount| config_map_of(template, mount)).collect()
}

/// The ConfigMap that a mount shows.
fn config_map_of<'v>(template: &'v Value, mount: &Value) -> Option<&'v str> {
    text(volume_of(template, mount)?, "/configMap/name")
}

/// The volume that a mount shows.
pub(crate) fn volume_of<'v>(template: &'v Value, mount: &Value) -> Option<&'v Value> {
    list(template, "/spec/volumes").find(|volume| text(volume, "/name") == text(mount, "/name"))
}

/// Whether pods of a template mount this file as a part of Milvus's configuration.
#[must_use]
pub fn mounts_configuration(template: &Value, file: &str) -> bool {
    configuration_mounts(template).any(|mount| text(mount, "/subPath") == Some(file))
}

/// Mounts of the folder of Milvus's configuration, or below it.
pub(crate) fn configuration_mounts(template: &Value) -> impl Iterator<Item = &Value> {
    let mounts = list(template, "/spec/containers").flat_map(|container| list(container, "/volumeMounts"));
    let is_in = |path: &str| path.strip_prefix(CONFIGURATION_FOLDER).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    mounts.filter(move |mount| text(mount, "/mountPath").is_some_and(is_in))
}

/// The items of a list.
pub(crate) fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// What serves of a release: per Deployment the ReplicaSets with pods, or where none has any, the newest.
#[must_use]
pub fn serving(cluster: &dyn Cluster, namespace: &str, release: &str) -> Vec<Serving> {
    let of_release = |object: &&Arc<Value>| pod_label(object, "app.kubernetes.io/instance") == Some(release);
    let all = cluster.naming(Kind::ReplicaSet, namespace, release);
    from_sets(all.iter().filter(of_release)).into_iter().filter(|serving| is_component(&serving.component)).collect()
}

/// What counts as running of these: the sets with pods, or where none has any (all is scaled to zero), what ran last.
#[must_use]
pub fn counted<'s>(all: impl IntoIterator<Item = &'s Serving>) -> Vec<&'s Serving> {
    let all: Vec<&Serving> = all.into_iter().collect();
    let has_pods = all.iter().any(|serving| serving.pods > 0);
    all.into_iter().filter(|serving| serving.pods > 0 || !has_pods).collect()
}

/// Whether what serves will go on: its Deployment is there, or left it behind on purpose. That of a release which was just uninstalled is about to go.
#[must_use]
pub fn stays(cluster: &dyn Cluster, namespace: &str, serving: &Serving) -> bool {
    list(&serving.object, "/metadata/ownerReferences").next().is_none() || cluster.object(Kind::Deployment, namespace, &serving.deployment).is_some()
}

/// What serves in a namespace, of all releases.
#[must_use]
pub fn serving_in(cluster: &dyn Cluster, namespace: &str) -> Vec<Serving> {
    from_sets(cluster.objects(Kind::ReplicaSet, namespace).iter()).into_iter().filter(|serving| is_component(&serving.component)).collect()
}

/// What serves in a namespace of those Deployments of which any ReplicaSet has a text, such as the name of a ConfigMap.
#[must_use]
pub fn serving_with(cluster: &dyn Cluster, namespace: &str, word: &str) -> Vec<Serving> {
    let with = cluster.naming(Kind::ReplicaSet, namespace, word);
    let deployments: BTreeSet<&str> = with.iter().filter_map(|object| deployment_of(object)).collect();
    deployments.into_iter().flat_map(|name| serving_of(cluster, namespace, name)).filter(|serving| is_component(&serving.component)).collect()
}

/// What serves of one Deployment, of Milvus or of what it needs.
#[must_use]
pub fn serving_of(cluster: &dyn Cluster, namespace: &str, deployment: &str) -> Vec<Serving> {
    let all = cluster.naming(Kind::ReplicaSet, namespace, deployment);
    from_sets(all.iter().filter(|object| deployment_of(object) == Some(deployment)))
}

fn from_sets<'o>(sets: impl Iterator<Item = &'o Arc<Value>>) -> Vec<Serving> {
    // What is being deleted and has no pods is about to be gone with its release.
    let mut all: Vec<(Serving, u64)> = sets.filter_map(|object| Some((read(object)?, revision(object)))).collect();
    all.retain(|(set, _)| set.pods > 0 || set.object.pointer("/metadata/deletionTimestamp").is_none());
    // The newest first, so that among those without pods the newest speaks.
    all.sort_by(|(a, a_revision), (b, b_revision)| a.deployment.cmp(&b.deployment).then(b_revision.cmp(a_revision)));
    let mut serving: Vec<Serving> = Vec::new();
    for (set, _) in &all {
        let has_pods = |other: &Serving| other.deployment == set.deployment && other.pods > 0;
        let is_last = !all.iter().any(|(other, _)| has_pods(other)) && !serving.iter().any(|other| other.deployment == set.deployment);
        if set.pods > 0 || is_last {
            serving.push(set.clone());
        }
    }
    serving
}

fn read(object: &Arc<Value>) -> Option<Serving> {
    Some(Serving {
        deployment: deployment_of(object)?.into(),
        component: pod_label(object, "component").unwrap_or_default().into(),
        label: pod_label(object, "app.kubernetes.io/name").unwrap_or("milvus").into(),
        pods: object.pointer("/status/replicas").and_then(Value::as_u64).unwrap_or_default(),
        object: Arc::clone(object),
    })
}

pub(crate) fn pod_label<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    at(object, "/spec/template/metadata/labels")?.get(name)?.as_str()
}

/// The Deployment of a set. One that was deleted with `--cascade=orphan` left its sets with their pods and without an owner: its name is theirs without the hash.
fn deployment_of(object: &Value) -> Option<&str> {
    let mut owners = list(object, "/metadata/ownerReferences").peekable();
    if owners.peek().is_none() {
        let hash = super::label(object, "pod-template-hash")?;
        return text(object, "/metadata/name")?.strip_suffix(hash)?.strip_suffix('-');
    }
    owners.find(|owner| text(owner, "/kind") == Some("Deployment")).and_then(|owner| text(owner, "/name"))
}

fn revision(object: &Value) -> u64 {
    annotation(object, REVISION).and_then(|revision| revision.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::Snapshot;

    /// A ReplicaSet of a Deployment.
    pub(crate) fn replica_set(deployment: &Value, revision: u64, pods: u64) -> Value {
        let name = deployment["metadata"]["name"].as_str().unwrap();
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": format!("{name}-{revision}"), "namespace": deployment["metadata"]["namespace"], "annotations": {REVISION: revision.to_string()},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": "u", "controller": true}]},
            "spec": {"replicas": pods, "template": deployment["spec"]["template"]}, "status": {"replicas": pods}
        })
    }

    fn deployment(tag: &str) -> Value {
        json!({"metadata": {"name": "m-milvus-proxy", "namespace": "db"}, "spec": {"template": {
            "metadata": {"labels": {"app.kubernetes.io/instance": "m", "app.kubernetes.io/name": "milvus", "component": "proxy"}},
            "spec": {"containers": [{"name": "side", "image": "envoy:1"}, {"name": "proxy", "image": format!("milvusdb/milvus:{tag}")}]}}}})
    }

    #[test]
    fn pods_tell_what_serves_and_without_any_the_newest_set() {
        let sets = |pods: [u64; 3]| {
            ["v2.3.11", "v2.4.16", "v2.5.16"].iter().zip(pods).enumerate().map(|(i, (tag, pods))| replica_set(&deployment(tag), i as u64 + 1, pods))
        };
        let images = |pods| {
            let cluster = Snapshot::new(sets(pods));
            serving(&cluster, "db", "m").iter().map(|serving| serving.image().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(images([0, 2, 0]), ["milvusdb/milvus:v2.4.16"]);
        assert_eq!(images([0, 1, 1]), ["milvusdb/milvus:v2.5.16", "milvusdb/milvus:v2.4.16"]);
        assert_eq!(images([0, 0, 0]), ["milvusdb/milvus:v2.5.16"]);
        assert!(serving(&Snapshot::new(sets([1, 1, 1])), "db", "other").is_empty());
    }

    #[test]
    fn what_was_left_behind_by_its_deployment_still_serves() {
        let mut orphan = replica_set(&deployment("v2.4.16"), 1, 1);
        orphan["metadata"].as_object_mut().unwrap().remove("ownerReferences");
        orphan["metadata"]["name"] = json!("m-milvus-proxy-5d4c8");
        orphan["metadata"]["labels"] = json!({"pod-template-hash": "5d4c8"});
        let mut others = orphan.clone();
        others["metadata"]["name"] = json!("m-milvus-proxy-canary-77f");
        others["metadata"]["ownerReferences"] = json!([{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "m-milvus-proxy"}]);
        let found = serving_of(&Snapshot::new([orphan, others]), "db", "m-milvus-proxy");
        assert_eq!(found.iter().map(|serving| (serving.pods, serving.image().unwrap())).collect::<Vec<_>>(), [(1, "milvusdb/milvus:v2.4.16")]);
    }

    #[test]
    fn what_has_pods_counts_and_only_where_nothing_has_what_ran_last() {
        let sets = |pods: [u64; 2]| {
            let other = |tag| serde_json::from_str::<Value>(&deployment(tag).to_string().replace("proxy", "querynode")).unwrap();
            Snapshot::new([replica_set(&deployment("v2.4.16"), 1, pods[0]), replica_set(&other("v2.5.16"), 1, pods[1])])
        };
        let names = |pods| counted(&serving(&sets(pods), "db", "m")).iter().map(|serving| serving.component.to_string()).collect::<Vec<_>>();
        assert_eq!(names([0, 0]), ["proxy", "querynode"]);
        assert_eq!(names([0, 2]), ["querynode"]);
    }
}
