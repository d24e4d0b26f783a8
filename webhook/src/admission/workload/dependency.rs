//! Workloads of a release's etcd, object store and queue: StatefulSets are held by the partition of their rolling update, Deployments (a standalone MinIO) by a pause.
//! What serves is remembered as a hash on the object itself. What else the release has of such software, as an umbrella chart's own MySQL, is somebody else's: Milvus's configuration names its own.

use serde_json::{Value, json};

use super::super::Answer;
use super::super::change::{self, digest};
use super::super::exceptions::Mode;
use super::super::guard::Guard;
use super::super::hold::{HELD_LABEL, HOLD_ANNOTATIONS, ON_DELETE, PARTITION, PARTITION_ANNOTATION, SERVING_ANNOTATION, is_held, loosen};
use super::super::patch::Patching;
use super::super::request::{Operation, Request};
use super::configuration::DataPlaces;
use super::{annotate, exceptions, is_open, may_stop, old, put_marks_back};
use crate::cluster::running::serving;
use crate::cluster::{Cluster, Kind, annotation, label, text};

/// The partition of a held StatefulSet: beyond any number of replicas that it may be scaled to, since those beyond a partition start with the template that waits.
const BRAKE: u32 = 1_000_000;

/// What the charts call them, in `app.kubernetes.io/name` or `app`.
const NAMES: &[&str] = &["etcd", "minio", "mysql", "kafka", "zookeeper", "pulsar", "pulsarv2", "pulsarv3", "woodpecker"];

/// Labels that tell the software of a workload. Milvus's own chart labels its Woodpecker as a component.
const SOFTWARE_LABELS: [&str; 3] = ["app.kubernetes.io/name", "app", "component"];

/// Labels that tell the release of a workload.
const RELEASE_LABELS: [&str; 2] = ["app.kubernetes.io/instance", "release"];

/// The labels of an object's pods that it selects them by, which cannot change; and its own.
const TELLING: [&str; 2] = ["/spec/selector/matchLabels", "/metadata/labels"];

/// Which store or queue of which release a workload is a part of.
fn part(object: &Value) -> Option<(&str, &str)> {
    TELLING.iter().filter_map(|at| object.pointer(at)).find_map(|labels| {
        let label = |name: &&str| labels.get(*name).and_then(Value::as_str);
        let software = SOFTWARE_LABELS.iter().filter_map(label).find(|name| NAMES.contains(name))?;
        Some((software, RELEASE_LABELS.iter().find_map(label)?))
    })
}

/// The same of a request: what was one before the write is one whatever the write says of it.
fn part_of(request: &Request) -> Option<(&str, &str)> {
    old(request).and_then(part).or_else(|| part(&request.object))
}

/// Whether a request is about a store or a queue.
pub(super) fn is_one(request: &Request) -> bool {
    part_of(request).is_some()
}

/// Judges a StatefulSet, or a Deployment of a dependency.
pub(super) async fn judge<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    let mut answer = Answer::admitted();
    let namespace = request.namespace.as_str();
    let Some((software, release)) = part_of(request) else { return answer };
    let (Some(before), Operation::Update) = (old(request), request.operation) else { return answer };
    let (Some(template), Some(template_before)) = (request.object.pointer("/spec/template"), before.pointer("/spec/template")) else { return answer };
    let is_open = is_open(guard, namespace, release, None);
    let serving = serving(&*guard.cluster, namespace, release);
    // No Milvus runs or ran under this name; one that is stopped needs its stores as they are.
    if serving.is_empty() && !is_held(before) && !is_open {
        return answer;
    }
    let places = DataPlaces::read(guard, namespace, &serving).await;
    if !is_held(before) && places.is_some_and(|places| is_anothers(software, text(&request.object, "/metadata/name").unwrap_or_default(), &places)) {
        return answer;
    }
    let serves = if is_held(before) { annotation(before, SERVING_ANNOTATION).map(str::to_owned) } else { Some(digest(template_before)) };
    let is_serving = serves.as_deref() == Some(&digest(template));
    let waits = !is_serving && (is_held(before) || images(template) != images(template_before) || is_open);
    let upgrade = guard.cluster.object(Kind::GuardedUpgrade, namespace, release);
    let mut patching = Patching::new(&request.object);
    // The same words at every write: the hold is a state.
    let why = "it is a store or queue of a release that changes";
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

/// Whether Milvus's configuration says that a store or queue of the release is not its own: Milvus uses none of that software, or one of another name. What it does not tell is taken for its own.
fn is_anothers(software: &str, name: &str, places: &DataPlaces) -> bool {
    let uses_queue = |kinds: &[&str]| places.get("mq.type").is_none_or(|kind| kinds.contains(&kind));
    let is_named = |path: &str| {
        places.get(path).is_none_or(|hosts| {
            // A set is called as its service, or as that with a part of its own after it; the services of Pulsar's parts as its sets.
            let mut stems = hosts.split(',').map(|host| host.split(['.', ':']).next().unwrap_or(host)).map(|host| host.strip_suffix("-proxy").unwrap_or(host));
            stems.any(|stem| !stem.is_empty() && (stem.starts_with(name) || name.starts_with(stem)))
        })
    };
    let is_own = match software {
        "etcd" => is_named("etcd.endpoints"),
        "minio" => is_named("minio.address"),
        "mysql" => places.get("metastore.type").is_none_or(|kind| kind == "mysql"),
        "kafka" => uses_queue(&["kafka"]) && is_named("kafka.brokerList"),
        "zookeeper" => uses_queue(&["kafka", "pulsar"]),
        "woodpecker" => uses_queue(&["woodpecker"]),
        _ => uses_queue(&["pulsar"]) && is_named("pulsar.address"),
    };
    !is_own
}

fn hold(request: &Request, before: &Value, (release, software): (&str, &str), serves: &str, why: &str, patching: &mut Patching<'_>, answer: &mut Answer) {
    let object = &request.object;
    let id = change::of_dependency(&request.namespace, release, software, object);
    if request.kind.kind == "Deployment" {
        patching.set("/spec/paused", json!(true));
    } else if !brake(object, before, patching) {
        answer.warnings.push(format!(
            "{} cannot be held: it is updated as pods are deleted (OnDelete), and its pods are of several templates; whichever pod is deleted now starts with the new one",
            request.name
        ));
        return;
    }
    keep_labels(object, before, patching);
    patching.annotate(SERVING_ANNOTATION, serves);
    annotate(request, release, why, &id, patching);
    answer.audit.insert("held".into(), id.clone());
    answer.warnings.push(format!("{} is held ({why}); its pods stay as they are until milvus-guard releases change {id}", request.name));
}

/// Puts back what told the controller, which watches by labels, that the object is one.
fn keep_labels(object: &Value, before: &Value, patching: &mut Patching<'_>) {
    let told = |name: &str| TELLING.iter().find_map(|at| before.pointer(at)?.get(name)?.as_str());
    for name in SOFTWARE_LABELS.into_iter().chain(RELEASE_LABELS) {
        if let Some(value) = told(name).filter(|value| label(object, name) != Some(*value)) {
            patching.label(name, value);
        }
    }
}

/// Sets the update strategy so that no pod is replaced and none begins with what waits, and remembers the one before. Under `OnDelete` Kubernetes knows a template that serves only as long as
/// all pods have it; false where they do not.
fn brake(object: &Value, before: &Value, patching: &mut Patching<'_>) -> bool {
    let is_on_delete = text(before, "/spec/updateStrategy/type") == Some(ON_DELETE);
    let revision = |name: &str| text(before, &format!("/status/{name}"));
    if is_on_delete && !is_held(before) && (revision("currentRevision").is_none() || revision("currentRevision") != revision("updateRevision")) {
        return false;
    }
    if text(object, "/spec/updateStrategy/type") != Some(ON_DELETE) && object.pointer("/spec/updateStrategy/rollingUpdate").is_some() {
        patching.set(PARTITION, json!(BRAKE));
    } else {
        patching.set("/spec/updateStrategy", json!({"type": "RollingUpdate", "rollingUpdate": {"partition": BRAKE}}));
    }
    let of_before = || match before.pointer(PARTITION).and_then(Value::as_u64) {
        _ if is_on_delete => ON_DELETE.to_owned(),
        partition => partition.unwrap_or_default().to_string(),
    };
    let remembered = annotation(before, PARTITION_ANNOTATION).map_or_else(of_before, str::to_owned);
    patching.annotate(PARTITION_ANNOTATION, &remembered);
    true
}

/// Puts the update strategy back to what it was, or lets go of the pause.
fn release_hold(object: &Value, before: &Value, patching: &mut Patching<'_>) {
    patching.remove("/spec/paused");
    loosen(object, annotation(before, PARTITION_ANNOTATION).unwrap_or_default(), patching);
    patching.unlabel(HELD_LABEL);
    HOLD_ANNOTATIONS.iter().for_each(|name| patching.unannotate(name));
}

/// Images of all containers, init containers included.
fn images(template: &Value) -> Vec<&str> {
    let of = |pointer: &str| template.pointer(pointer).and_then(Value::as_array).into_iter().flatten().filter_map(|container| text(container, "/image"));
    of("/spec/initContainers").chain(of("/spec/containers")).collect()
}
