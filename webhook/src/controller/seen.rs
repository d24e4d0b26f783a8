//! What is kept of each object: a few fields of it, so that 500 releases fit in little memory. Read from JSON; pure.

use std::sync::Arc;

use milvus_guard::model::version::{ImageTag, MilvusVersion};
use milvus_guard::rollout::Component;
use milvus_guard::rollout::observed::{Hold, Moment, Stamp, Template, Trouble};
use serde_json::Value;

use super::{EPOCH_ANNOTATION, FIELD_MANAGER, KEEP, ReleaseKey, read_moment};
use crate::admission::change::digest;
use crate::admission::hold::{
    BLOCKED_ANNOTATION, CHANGE_ANNOTATION, DECLARED_ANNOTATION, Identity, JUDGED_FOR_ANNOTATION, MARKS_ANNOTATION, STOPPED_ANNOTATION, STOPPED_FOR_ANNOTATION,
    is_held,
};
use crate::admission::milvus::tag_of;
use crate::admission::workload::is_by_operator;
use crate::cluster::running::{configuration_names, image};
use crate::cluster::{annotation, label, text};

/// What the charts call stores and queues, in `app.kubernetes.io/name`, `app` or `component`.
pub const DEPENDENCIES: &[&str] = &["etcd", "minio", "mysql", "kafka", "zookeeper", "pulsar", "pulsarv2", "pulsarv3", "woodpecker"];

/// The highest epoch that is believed: it counts changes of course, so what is beyond was not written by us. Nor do we write any beyond it, which would not be believed.
const MAX_EPOCH: u64 = 1_000_000;

/// The epoch that passes another one.
#[must_use]
pub fn epoch_after(epoch: u64) -> u64 {
    epoch.saturating_add(1).min(MAX_EPOCH)
}

/// An epoch as far as it is believed.
#[must_use]
pub fn believed(epoch: u64) -> u64 {
    epoch.min(MAX_EPOCH)
}

/// A Deployment of Milvus.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Its release.
    pub release: ReleaseKey,
    /// Which Milvus of the release (`app.kubernetes.io/name`).
    pub label: Arc<str>,
    /// Its component.
    pub component: Component,
    /// Its name.
    pub name: Arc<str>,
    /// The state that this was read from.
    pub stamp: Stamp,
    /// The template that it says.
    pub template: Template,
    /// Its image, where that tells no version.
    pub untold: Option<Arc<str>>,
    /// The ConfigMaps that files of Milvus's configuration are mounted from.
    pub configurations: Vec<Arc<str>>,
    /// `spec.replicas`.
    pub replicas: u32,
    /// Whether its template may run.
    pub hold: Hold,
    /// What was declared and waived when it was judged.
    pub judged_for: Option<Arc<str>>,
    /// The change that it is held for.
    pub change: Option<Arc<str>>,
    /// It is held, and a person declared its change.
    pub is_declared: bool,
    /// Replicas that are remembered.
    pub stopped: Option<u32>,
    /// The migration that it is stopped for, as it is noted there.
    pub stopped_for: Option<Arc<str>>,
    /// Whether the marks that keep it are on.
    pub is_marked: bool,
    /// Whether it was us who told Helm to keep it.
    pub is_kept: bool,
    /// Whether anything of ours is on it: an annotation, or fields that we own.
    pub is_traced: bool,
    /// The course that it was sealed for.
    pub epoch: u64,
    /// Its controller has seen what it says.
    pub is_seen: bool,
    /// Earlier and later pods may live side by side.
    pub is_rolling: bool,
    /// Whether Helm wrote it.
    pub is_helms: bool,
    /// When it was made.
    pub made: Moment,
    /// When it was last written by other than controllers.
    pub written: Moment,
    /// When its rollout last moved.
    pub progressed: Option<Moment>,
    /// The API server refuses to make its pods.
    pub is_refused: bool,
}

/// A ReplicaSet of Milvus.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// Its release.
    pub release: ReleaseKey,
    /// Its name.
    pub name: Arc<str>,
    /// The Deployment that owns it.
    pub deployment: Arc<str>,
    /// Its template.
    pub template: Template,
    /// Its image, where that tells no version.
    pub untold: Option<Arc<str>>,
    /// Which revision of the Deployment it is.
    pub revision: u64,
    /// When it was made.
    pub made: Moment,
    /// Pods that it has, by its own count.
    pub pods: u64,
}

/// A pod of Milvus.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    /// Its release.
    pub release: ReleaseKey,
    /// Which Milvus of the release.
    pub label: Arc<str>,
    /// Its component.
    pub component: Component,
    /// Its name.
    pub name: Arc<str>,
    /// The ReplicaSet that owns it.
    pub set: Option<Arc<str>>,
    /// The version of its image.
    pub version: Option<MilvusVersion>,
    /// Its image, where that tells no version.
    pub untold: Option<Arc<str>>,
    /// It runs and is ready.
    pub is_ready: bool,
    /// It is being deleted.
    pub is_terminating: bool,
    /// Its containers were started.
    pub has_started: bool,
    /// What keeps it from becoming ready.
    pub trouble: Option<Trouble>,
    /// When it came.
    pub came: Moment,
    /// Since when it is ready.
    pub ready: Option<Moment>,
    /// When it has to have ended.
    pub ended: Option<Moment>,
}

/// A workload of a release's etcd, object store or queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// Its release.
    pub release: ReleaseKey,
    /// Its name, with its kind where that is no StatefulSet.
    pub name: Arc<str>,
    /// A StatefulSet; else a Deployment.
    pub is_set: bool,
    /// The state that this was read from.
    pub stamp: Stamp,
    /// Whether its template may run.
    pub hold: Hold,
    /// All its pods are ready and of the stored template.
    pub is_complete: bool,
    /// Whether fields of it are ours.
    pub is_traced: bool,
    /// When something of it last moved, as far as it says.
    pub moved: Moment,
}

/// What a receipt tells of a release.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The release.
    pub release: ReleaseKey,
    /// Its own name.
    pub name: Arc<str>,
    /// The version that wrote the data from then on.
    pub to: Option<MilvusVersion>,
    /// From when on.
    pub finished: Moment,
}

/// A receipt.
#[must_use]
pub fn receipt(object: &Value) -> Option<Receipt> {
    Some(Receipt {
        release: key(object, text(object, "/spec/release")?),
        name: text(object, "/metadata/name")?.into(),
        to: text(object, "/spec/to").and_then(|to| to.trim_start_matches('v').parse().ok()),
        finished: text(object, "/spec/finishedAt").and_then(read_moment).unwrap_or_default(),
    })
}

/// A Deployment of Milvus; nothing where it is something else, or the Milvus operator's.
#[must_use]
pub fn workload(object: &Value) -> Option<Workload> {
    let identity = Identity::of(object).filter(|_| !is_by_operator(object))?;
    let component = Component::named(identity.component)?;
    let stored = object.pointer("/spec/template")?;
    let is_paused = flag(object, "/spec/paused");
    let hold = match (is_held(object), annotation(object, BLOCKED_ANNOTATION)) {
        (true, Some(why)) => Hold::Blocked(why.into()),
        (true, None) => Hold::Held,
        (false, _) if is_paused => Hold::Foreign,
        (false, _) => Hold::None,
    };
    let stopped = annotation(object, STOPPED_ANNOTATION).and_then(|replicas| replicas.parse().ok());
    let sealed = annotation(object, EPOCH_ANNOTATION);
    let epoch = sealed.and_then(|epoch| epoch.parse().ok()).filter(|epoch| *epoch <= MAX_EPOCH).unwrap_or_default();
    let has_marks = annotation(object, MARKS_ANNOTATION).is_some();
    Some(Workload {
        release: key(object, identity.release),
        label: identity.label.into(),
        component,
        name: text(object, "/metadata/name")?.into(),
        stamp: stamp(object),
        template: template(stored, identity.component),
        untold: untold(stored, identity.component),
        configurations: configuration_names(stored).into_iter().map(Into::into).collect(),
        replicas: number(object, "/spec/replicas").map_or(1, |replicas| u32::try_from(replicas).unwrap_or(u32::MAX)),
        hold,
        judged_for: annotation(object, JUDGED_FOR_ANNOTATION).map(Into::into),
        change: annotation(object, CHANGE_ANNOTATION).map(Into::into),
        is_declared: annotation(object, DECLARED_ANNOTATION).is_some(),
        stopped,
        stopped_for: annotation(object, STOPPED_FOR_ANNOTATION).filter(|_| stopped.is_some()).map(Into::into),
        is_marked: marks(object),
        is_kept: listed(object).any(|mark| mark == KEEP.0) && annotation(object, KEEP.0) == Some(KEEP.1),
        is_traced: has_marks || stopped.is_some() || sealed.is_some() || is_owned(object),
        epoch,
        is_seen: is_seen(object),
        is_rolling: text(object, "/spec/strategy/type") != Some("Recreate"),
        is_helms: annotation(object, "meta.helm.sh/release-name").is_some(),
        made: text(object, "/metadata/creationTimestamp").and_then(read_moment).unwrap_or_default(),
        written: last_write(object),
        progressed: conditions(object)
            .filter(|condition| is_progress(condition))
            .filter_map(|condition| read_moment(text(condition, "/lastUpdateTime")?))
            .max(),
        is_refused: conditions(object).any(|condition| text(condition, "/type") == Some("ReplicaFailure") && text(condition, "/status") == Some("True")),
    })
}

/// A ReplicaSet of Milvus that a Deployment owns.
#[must_use]
pub fn set(object: &Value) -> Option<Set> {
    let stored = object.pointer("/spec/template")?;
    let component = pod_label(stored, "component")?;
    Component::named(component)?;
    Some(Set {
        release: key(object, pod_label(stored, "app.kubernetes.io/instance")?),
        name: text(object, "/metadata/name")?.into(),
        deployment: owner(object, "Deployment")?.into(),
        template: template(stored, component),
        untold: untold(stored, component),
        revision: annotation(object, "deployment.kubernetes.io/revision").and_then(|revision| revision.parse().ok()).unwrap_or_default(),
        made: text(object, "/metadata/creationTimestamp").and_then(read_moment).unwrap_or_default(),
        pods: number(object, "/status/replicas").unwrap_or_default(),
    })
}

/// A pod of Milvus.
#[must_use]
pub fn pod(object: &Value) -> Option<Pod> {
    let component = label(object, "component")?;
    let is_terminating = object.pointer("/metadata/deletionTimestamp").is_some();
    // One that has ended holds nothing; its ReplicaSet makes another.
    let has_ended = matches!(text(object, "/status/phase"), Some("Succeeded" | "Failed"));
    let is = |condition: &&Value, kind: &str| text(condition, "/type") == Some(kind);
    let ready = conditions(object).find(|condition| is(condition, "Ready") && text(condition, "/status") == Some("True"));
    let time = |pointer: &str| read_moment(text(object, pointer)?);
    Some(Pod {
        release: key(object, label(object, "app.kubernetes.io/instance")?),
        label: label(object, "app.kubernetes.io/name").unwrap_or("milvus").into(),
        component: Component::named(component)?,
        name: text(object, "/metadata/name")?.into(),
        set: owner(object, "ReplicaSet").map(Into::into),
        version: image(object, component).and_then(version),
        untold: untold(object, component),
        is_ready: ready.is_some() && !is_terminating,
        is_terminating,
        has_started: text(object, "/status/phase") == Some("Running"),
        trouble: trouble(object),
        came: time("/metadata/creationTimestamp").unwrap_or_default(),
        ready: ready.and_then(|condition| read_moment(text(condition, "/lastTransitionTime")?)),
        ended: time("/metadata/deletionTimestamp"),
    })
    .filter(|_| !has_ended)
}

/// A StatefulSet or Deployment of a release's etcd, object store or queue.
#[must_use]
pub fn store(object: &Value, is_set: bool) -> Option<Store> {
    if Identity::of(object).is_some() {
        return None;
    }
    ["app.kubernetes.io/name", "app", "component"].iter().filter_map(|name| label(object, name)).find(|name| DEPENDENCIES.contains(name))?;
    let release = ["app.kubernetes.io/instance", "release"].iter().find_map(|name| label(object, name))?;
    let hold = if is_held(object) { Hold::Held } else { Hold::None };
    Some(Store {
        release: key(object, release),
        name: text(object, "/metadata/name")?.into(),
        is_set,
        stamp: stamp(object),
        hold,
        is_complete: if is_set { set_is_complete(object) } else { deployment_is_complete(object) },
        is_traced: is_owned(object),
        moved: conditions(object)
            .filter_map(|condition| read_moment(text(condition, "/lastUpdateTime")?))
            .chain([last_write(object)])
            .max()
            .unwrap_or_default(),
    })
}

fn set_is_complete(object: &Value) -> bool {
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let is_ready = number(object, "/status/readyReplicas").unwrap_or_default() >= wanted;
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or_default();
    let is_updated = text(object, "/spec/updateStrategy/type") == Some("OnDelete")
        || text(object, "/status/currentRevision") == text(object, "/status/updateRevision")
        || number(object, "/status/updatedReplicas").unwrap_or_default() >= wanted.saturating_sub(partition);
    is_seen(object) && is_ready && is_updated
}

fn deployment_is_complete(object: &Value) -> bool {
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let count = |pointer: &str| number(object, pointer).unwrap_or_default();
    is_seen(object) && count("/status/updatedReplicas") >= wanted && count("/status/readyReplicas") >= wanted && count("/status/replicas") <= wanted
}

/// What a template is known by.
#[must_use]
pub fn template(template: &Value, component: &str) -> Template {
    Template { digest: digest(template).into(), version: image(template, component).and_then(version) }
}

fn untold(pod: &Value, component: &str) -> Option<Arc<str>> {
    image(pod, component).filter(|image| version(image).is_none()).map(Into::into)
}

fn version(image: &str) -> Option<MilvusVersion> {
    ImageTag::parse(tag_of(image)?).version()
}

/// The state of an object.
#[must_use]
pub fn stamp(object: &Value) -> Stamp {
    Stamp {
        uid: text(object, "/metadata/uid").unwrap_or_default().into(),
        resource_version: text(object, "/metadata/resourceVersion").and_then(|version| version.parse().ok()).unwrap_or_default(),
    }
}

fn key(object: &Value, release: &str) -> ReleaseKey {
    ReleaseKey { namespace: text(object, "/metadata/namespace").unwrap_or_default().into(), name: release.into() }
}

/// The marks that we put on an object.
fn listed(object: &Value) -> impl Iterator<Item = &str> {
    annotation(object, MARKS_ANNOTATION).into_iter().flat_map(|marks| marks.split(',')).map(str::trim)
}

/// Whether all marks that we put on an object are there.
fn marks(object: &Value) -> bool {
    annotation(object, MARKS_ANNOTATION).is_some_and(|marks| marks.split(',').all(|mark| annotation(object, mark.trim()).is_some()))
}

/// Whether we own fields of an object.
fn is_owned(object: &Value) -> bool {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| text(entry, "/manager") == Some(FIELD_MANAGER))
}

/// When anybody but the controllers of Kubernetes last wrote it.
fn last_write(object: &Value) -> Moment {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let is_writer =
        |entry: &&Value| text(entry, "/subresource").is_none() && !matches!(text(entry, "/manager"), Some(FIELD_MANAGER | "kube-controller-manager"));
    let times = entries.into_iter().flatten().filter(is_writer).filter_map(|entry| text(entry, "/time"));
    times.chain(text(object, "/metadata/creationTimestamp")).filter_map(read_moment).max().unwrap_or_default()
}

fn trouble(pod: &Value) -> Option<Trouble> {
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let mut reasons =
        statuses.iter().filter_map(|pointer| pod.pointer(pointer)?.as_array()).flatten().filter_map(|status| text(status, "/state/waiting/reason"));
    let by_container = reasons.find_map(|reason| match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => Some(Trouble::ImagePull),
        "CrashLoopBackOff" => Some(Trouble::Crashing),
        _ => None,
    });
    let is_unschedulable = |condition: &Value| text(condition, "/type") == Some("PodScheduled") && text(condition, "/reason") == Some("Unschedulable");
    by_container.or_else(|| conditions(pod).any(is_unschedulable).then_some(Trouble::Unschedulable))
}

fn is_seen(object: &Value) -> bool {
    number(object, "/status/observedGeneration").unwrap_or_default() >= number(object, "/metadata/generation").unwrap_or(u64::MAX)
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}

/// Whether a condition of a Deployment tells of its rollout: resumed, begun, or complete. Counts of ready pods move it, too (`ReplicaSetUpdated`), those of earlier ones among them: these are read from the pods.
fn is_progress(condition: &Value) -> bool {
    text(condition, "/type") == Some("Progressing") && text(condition, "/reason") != Some("ReplicaSetUpdated")
}

fn owner<'v>(object: &'v Value, kind: &str) -> Option<&'v str> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    owners.iter().find(|owner| text(owner, "/kind") == Some(kind)).and_then(|owner| text(owner, "/name"))
}

fn pod_label<'v>(template: &'v Value, name: &str) -> Option<&'v str> {
    template.pointer("/metadata/labels")?.get(name)?.as_str()
}

fn number(object: &Value, pointer: &str) -> Option<u64> {
    object.pointer(pointer).and_then(Value::as_u64)
}

fn flag(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::deployment;
    use super::*;

    #[test]
    fn an_epoch_that_nobody_of_us_wrote_is_none_and_is_taken_off() {
        for (said, epoch) in
            [("3", 3), ("1000000", 1_000_000), ("4294967295", 0), ("18446744073709551615", 0), ("9223372036854775807", 0), ("-1", 0), ("soon", 0)]
        {
            let mut object = deployment("proxy", "v2.5.16");
            object["metadata"]["annotations"][EPOCH_ANNOTATION] = json!(said);
            let workload = workload(&object).unwrap();
            assert_eq!((workload.epoch, workload.is_traced), (epoch, true), "{said}");
        }
    }

    #[test]
    fn all_config_maps_that_a_template_mounts_are_known() {
        let mut object = deployment("proxy", "v2.5.16");
        let mount = |name: &str, file: &str| json!({"name": name, "mountPath": format!("/milvus/configs/{file}"), "subPath": file});
        let volume = |name: &str, map: &str| json!({"name": name, "configMap": {"name": map}});
        object["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
            json!([mount("a", "default.yaml"), mount("b", "user.yaml"), {"name": "c", "mountPath": "/tools"}]);
        object["spec"]["template"]["spec"]["volumes"] = json!([volume("a", "m-milvus"), volume("b", "my-own"), volume("c", "tools")]);
        let names = workload(&object).unwrap().configurations;
        assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["m-milvus", "my-own"]);
    }
}
