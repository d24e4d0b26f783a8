//! Workloads of a release's etcd, object store and queue: StatefulSets are held by the partition of their rolling update, Deployments (a standalone MinIO) by a pause.
//! What serves is remembered as a hash on the object itself.

use serde_json::{Value, json};

use super::super::Answer;
use super::super::change::{self, digest};
use super::super::exceptions::Mode;
use super::super::guard::{Guard, releases_of};
use super::super::hold::{HELD_LABEL, HOLD_ANNOTATIONS, PARTITION_ANNOTATION, SERVING_ANNOTATION, is_held};
use super::super::patch::Patching;
use super::super::request::{Operation, Request};
use super::{annotate, exceptions, is_open, may_stop, old, put_marks_back};
use crate::cluster::running::serving;
use crate::cluster::{Cluster, Kind, annotation, label, text};

const PARTITION: &str = "/spec/updateStrategy/rollingUpdate/partition";

/// What the charts call them, in `app.kubernetes.io/name` or `app`.
const NAMES: &[&str] = &["etcd", "minio", "mysql", "kafka", "zookeeper", "pulsar", "pulsarv2", "pulsarv3", "woodpecker"];

/// Which store or queue a workload is a part of, by its labels. Milvus's own chart labels its Woodpecker as a component.
pub(super) fn software(object: &Value) -> Option<&str> {
    ["app.kubernetes.io/name", "app", "component"].iter().filter_map(|name| label(object, name)).find(|name| NAMES.contains(name))
}

/// Judges a StatefulSet, or a Deployment of a dependency.
pub(super) fn judge<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    let mut answer = Answer::admitted();
    let namespace = request.namespace.as_str();
    let (Some(software), Some(release)) = (software(&request.object), releases_of(&request.object).next()) else { return answer };
    let (Some(before), Operation::Update) = (old(request), request.operation) else { return answer };
    let (Some(template), Some(template_before)) = (request.object.pointer("/spec/template"), before.pointer("/spec/template")) else { return answer };
    let is_open = is_open(guard, namespace, release, None);
    // Somebody else's, or a release that does not run; one that is stopped for a migration needs its etcd as it is.
    if serving(&*guard.cluster, namespace, release).iter().all(|serving| serving.pods == 0) && !is_held(before) && !is_open {
        return answer;
    }
    let serves = if is_held(before) { annotation(before, SERVING_ANNOTATION).map(str::to_owned) } else { Some(digest(template_before)) };
    let is_serving = serves.as_deref() == Some(&digest(template));
    let waits = !is_serving && (is_held(before) || images(template) != images(template_before) || is_open);
    let upgrade = guard.cluster.object(Kind::GuardedUpgrade, namespace, release);
    let mut patching = Patching::new(&request.object);
    // The same words at every write: the hold is a state.
    let why = "it differs from what serves while an upgrade is open";
    if waits && may_stop(guard, request, &exceptions(guard, request, upgrade.as_deref()), &mut answer, why) {
        hold(request, before, (release, software), serves.as_deref().unwrap_or_default(), why, &mut patching, &mut answer);
    } else if is_held(before) || is_held(&request.object) {
        release_hold(&request.object, before, &mut patching);
    }
    if guard.mode(namespace) != Mode::Audit {
        if is_open {
            put_marks_back(request, &mut patching, &mut answer);
        }
        answer.patch = patching.finish();
    }
    answer
}

fn hold(request: &Request, before: &Value, (release, software): (&str, &str), serves: &str, why: &str, patching: &mut Patching<'_>, answer: &mut Answer) {
    let object = &request.object;
    if text(object, "/spec/updateStrategy/type") == Some("OnDelete") {
        return;
    }
    let id = change::of_dependency(&request.namespace, release, software, object);
    if request.kind.kind == "Deployment" {
        patching.set("/spec/paused", json!(true));
    } else {
        brake(object, before, patching);
    }
    patching.annotate(SERVING_ANNOTATION, serves);
    annotate(request, release, why, &id, patching);
    answer.audit.insert("held".into(), id.clone());
    answer.warnings.push(format!("{} is held ({why}); its pods stay as they are until milvus-guard releases change {id}", request.name));
}

/// Sets the partition so that no pod is replaced, and remembers the one before.
fn brake(object: &Value, before: &Value, patching: &mut Patching<'_>) {
    let replicas = object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1).max(1);
    let partition = json!(replicas);
    if object.pointer("/spec/updateStrategy/rollingUpdate").is_some() {
        patching.set(PARTITION, partition);
    } else if object.pointer("/spec/updateStrategy").is_some() {
        patching.set("/spec/updateStrategy/rollingUpdate", json!({"partition": partition}));
    } else {
        patching.set("/spec/updateStrategy", json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}));
    }
    let remembered = annotation(before, PARTITION_ANNOTATION)
        .map(str::to_owned)
        .unwrap_or_else(|| before.pointer(PARTITION).and_then(Value::as_u64).unwrap_or_default().to_string());
    patching.annotate(PARTITION_ANNOTATION, &remembered);
}

/// Puts the partition back to what it was, or lets go of the pause.
fn release_hold(object: &Value, before: &Value, patching: &mut Patching<'_>) {
    patching.remove("/spec/paused");
    let remembered = annotation(before, PARTITION_ANNOTATION).and_then(|partition| partition.parse::<u64>().ok()).unwrap_or_default();
    if object.pointer(PARTITION).is_some() {
        patching.set(PARTITION, json!(remembered));
    }
    patching.unlabel(HELD_LABEL);
    HOLD_ANNOTATIONS.iter().for_each(|name| patching.unannotate(name));
}

/// Images of all containers, init containers included.
fn images(template: &Value) -> Vec<&str> {
    let of = |pointer: &str| template.pointer(pointer).and_then(Value::as_array).into_iter().flatten().filter_map(|container| text(container, "/image"));
    of("/spec/initContainers").chain(of("/spec/containers")).collect()
}
