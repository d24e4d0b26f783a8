//! The hold as a state: whether an object may run what it says, from what serves. Pure; says nothing about how it was written.

use milvus_guard::model::release::is_component;
use milvus_guard::model::version::{ImageTag, MilvusVersion};
use serde_json::{Value, json};

use super::change::same_template;
use super::patch::Patching;
use crate::cluster::running::{Serving, counted, image};
use crate::cluster::{annotation, label, text};

/// The annotation of a held object: why, in words.
pub const HOLD_ANNOTATION: &str = "guard.milvus-guard.dev/hold";

/// The annotation of a held object: which change it is part of, the same on all objects of the change (see [`super::change`]).
pub const CHANGE_ANNOTATION: &str = "guard.milvus-guard.dev/change";

/// The annotation of a held object: the digest of the template that waits.
pub const TEMPLATE_ANNOTATION: &str = "guard.milvus-guard.dev/template";

/// The annotation of a held object that the controller must not release: the rule and why.
pub const BLOCKED_ANNOTATION: &str = "guard.milvus-guard.dev/blocked";

/// The annotation of a held object: what was declared and waived when it was judged (see [`super::opening`]). Where the controller writes another one, it is judged again.
pub const JUDGED_FOR_ANNOTATION: &str = "guard.milvus-guard.dev/judged-for";

/// The annotation of a held object: the uid of the `GuardedUpgrade` by which a person declared its change. Where that is deleted, it has to be declared again.
pub const DECLARED_ANNOTATION: &str = "guard.milvus-guard.dev/declared";

/// The annotation of a held StatefulSet: the hash of the template that serves.
pub const SERVING_ANNOTATION: &str = "guard.milvus-guard.dev/serving";

/// The annotation of a held StatefulSet: its partition before, or [`ON_DELETE`].
pub const PARTITION_ANNOTATION: &str = "guard.milvus-guard.dev/partition";

/// The annotation of a held Deployment: the chart that serves, as `helm.sh/chart` names it.
pub const SERVING_CHART_ANNOTATION: &str = "guard.milvus-guard.dev/serving-chart";

/// The annotation of a workload that was stopped for a migration: the replicas that are wanted; empty where the stop is given up.
pub const STOPPED_ANNOTATION: &str = "guard.milvus-guard.dev/stopped";

/// The annotation of a workload that was stopped for a migration: which one ([`crate::controller::left`]).
pub const STOPPED_FOR_ANNOTATION: &str = "guard.milvus-guard.dev/stopped-for";

/// The annotation of a ConfigMap that moves data: where data lies for the pods that serve, by the hash of the configuration that they started with.
pub const SERVING_CONFIGURATION_ANNOTATION: &str = "guard.milvus-guard.dev/serving-configuration";

/// The annotation of a ConfigMap: files that a write left out and that pods which serve still mount, parted by commas.
pub const KEPT_FILES_ANNOTATION: &str = "guard.milvus-guard.dev/kept-files";

/// What follows a file's name in a ConfigMap while it waits: beside the one that serves, and mounted by nobody.
pub const WAITING_SUFFIX: &str = ".waiting";

/// The label of a fence, which keeps the pods of a release away during its migration, with the release's name.
pub const FENCE_LABEL: &str = "guard.milvus-guard.dev/fence";

/// The label of a fence with the release's namespace: admission policies have none of their own.
pub const FENCE_NAMESPACE_LABEL: &str = "guard.milvus-guard.dev/fence-namespace";

/// The label of a held object, with the change that it is part of: for lists and selectors (`kubectl get deployments,statefulsets -l guard.milvus-guard.dev/held`).
pub const HELD_LABEL: &str = "guard.milvus-guard.dev/held";

/// What a hold puts on an object: taken off with it.
pub const HOLD_ANNOTATIONS: [&str; 9] = [
    HOLD_ANNOTATION,
    CHANGE_ANNOTATION,
    TEMPLATE_ANNOTATION,
    BLOCKED_ANNOTATION,
    JUDGED_FOR_ANNOTATION,
    DECLARED_ANNOTATION,
    SERVING_ANNOTATION,
    SERVING_CHART_ANNOTATION,
    PARTITION_ANNOTATION,
];

/// The annotation that lists the marks that we put on an object, parted by commas.
pub const MARKS_ANNOTATION: &str = "guard.milvus-guard.dev/marks";

/// What takes over from the separate coordinators.
pub const MIXED_COORDINATOR: &str = "mixcoord";

/// Separate coordinators: what the mix coordinator takes over.
pub const SEPARATE_COORDINATORS: &[&str] = &["rootcoord", "querycoord", "datacoord", "indexcoord"];

/// Where the message queue of a standalone is told, since chart 5.
const QUEUE_ANNOTATION: &str = "milvus.io/message-queue";

/// Where the partition of a StatefulSet's rolling update is.
pub const PARTITION: &str = "/spec/updateStrategy/rollingUpdate/partition";

/// The update strategy by which nothing but a deleted pod takes up a new template.
pub const ON_DELETE: &str = "OnDelete";

/// Puts the update strategy of a held StatefulSet back to what is remembered of it.
pub fn loosen(object: &Value, remembered: &str, patching: &mut Patching<'_>) {
    if remembered == ON_DELETE {
        patching.set("/spec/updateStrategy", json!({"type": ON_DELETE}));
    } else if object.pointer(PARTITION).is_some() {
        patching.set(PARTITION, json!(remembered.parse::<u64>().unwrap_or_default()));
    }
}

/// The replicas that a workload remembers that is stopped for a migration.
#[must_use]
pub fn stopped(object: &Value) -> Option<&str> {
    annotation(object, STOPPED_ANNOTATION).filter(|replicas| !replicas.is_empty())
}

/// Whether an object is held by us.
#[must_use]
pub fn is_held(object: &Value) -> bool {
    annotation(object, HOLD_ANNOTATION).is_some()
}

/// The chart that rendered what serves of a Deployment, as its label names it: a held one has the label of what waits.
#[must_use]
pub fn serving_chart(object: &Value) -> Option<&str> {
    if is_held(object) { annotation(object, SERVING_CHART_ANNOTATION) } else { label(object, "helm.sh/chart") }
}

/// A workload of a Milvus release, by what selects its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'o> {
    /// The release.
    pub release: &'o str,
    /// Which Milvus of the release.
    pub label: &'o str,
    /// The component.
    pub component: &'o str,
}

impl<'o> Identity<'o> {
    /// Read from `spec.selector.matchLabels`, which cannot change; else from the labels of the pods.
    #[must_use]
    pub fn of(object: &'o Value) -> Option<Self> {
        let by = |pointer: &str| {
            let labels = object.pointer(pointer)?;
            let label = |name: &str| labels.get(name).and_then(Value::as_str);
            let component = label("component").filter(|component| is_component(component))?;
            Some(Self { release: label("app.kubernetes.io/instance")?, label: label("app.kubernetes.io/name").unwrap_or("milvus"), component })
        };
        by("/spec/selector/matchLabels").or_else(|| by("/spec/template/metadata/labels"))
    }

    /// Whether an object selects its pods by a component of Milvus, in the words of its charts.
    #[must_use]
    pub fn is_of_charts(object: &Value) -> bool {
        text(object, "/spec/selector/matchLabels/component").is_some_and(is_component)
    }
}

/// What is known around a workload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surroundings<'s> {
    /// What serves of the same Deployment.
    pub own: &'s [Serving],
    /// What serves of the same Milvus.
    pub release: &'s [Serving],
    /// Another object of the release is held, or an upgrade of it is open.
    pub is_open: bool,
    /// What the configuration that waits keeps elsewhere than the one that serves, in words.
    pub moved: Option<&'s str>,
    /// Why it cannot be known whether what waits has its data where what serves has it.
    pub unknown: Option<&'static str>,
    /// Data of an earlier release of this name, where nothing runs.
    pub old_data: &'s OldData,
}

/// Data that an earlier release of the name left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldData {
    /// There is none in sight.
    None,
    /// Claims are there, and nobody knows which version wrote them.
    Unknown,
    /// The newest receipt tells the version that wrote it.
    Of(String),
}

/// Why a workload is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Another image than the one that serves.
    Image {
        /// What serves.
        serving: String,
        /// What is wanted.
        wanted: String,
    },
    /// Another message queue, other metadata, another store or another claim: what differs, in words.
    Identity(String),
    /// It cannot be known whether its data lies where what serves has it, and why.
    Unknown(&'static str),
    /// A component that must not run beside those that serve.
    NewComponent,
    /// Some other change while an upgrade is open.
    WhileOpen,
    /// Nothing runs, and old data lies there: nobody knows which version wrote it.
    OldData,
    /// Nothing runs, and a receipt tells that another version wrote the data that lies there.
    Written {
        /// Who wrote it.
        by: String,
        /// The image that is wanted.
        wanted: String,
    },
}

impl Reason {
    /// In words.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Image { serving, wanted } => format!("image {serving} serves, {wanted} waits"),
            Self::Identity(what) => format!("{what} differs from what serves"),
            Self::Unknown(why) => format!("MV902: {why}, so it is not known whether its data lies where the pods that serve have theirs"),
            Self::NewComponent => "it must not run beside the components that serve".to_owned(),
            Self::WhileOpen => "an upgrade of the release is open".to_owned(),
            Self::OldData => "MV704: an earlier release left data, and the version that wrote it is not known".to_owned(),
            Self::Written { by, wanted } => format!("Milvus {by} wrote the data that is there, as its receipt says, and {wanted} waits"),
        }
    }
}

/// Whether a Deployment must wait, by its state alone.
#[must_use]
pub fn reason(object: &Value, old: Option<&Value>, identity: &Identity<'_>, around: &Surroundings<'_>) -> Option<Reason> {
    let template = object.pointer("/spec/template")?;
    let wanted = image(template, identity.component);
    if old.is_some_and(|old| is_let_go(old, template)) {
        return None;
    }
    if around.own.is_empty() {
        return reason_of_new(identity, wanted, around, old.is_some_and(is_held));
    }
    let same_image = |serving: &&Serving| serving.image() == wanted;
    let Some(serving) = around.own.iter().find(same_image) else {
        let serving = around.own.first().and_then(Serving::image).unwrap_or("(none)").to_owned();
        return Some(Reason::Image { serving, wanted: wanted.unwrap_or("(none)").to_owned() });
    };
    if around.own.iter().filter(same_image).all(|serving| claims(serving.template()) != claims(template)) {
        return Some(Reason::Identity("the claim".to_owned()));
    }
    if around.own.iter().any(|serving| same_template(serving.template(), template)) {
        return None;
    }
    if let (Some(before), Some(after)) = (queue(&serving.object), queue(object))
        && before != after
    {
        return Some(Reason::Identity(format!("the message queue ({before} serves, {after} waits)")));
    }
    if let Some(moved) = around.moved {
        return Some(Reason::Identity(moved.to_owned()));
    }
    if let Some(why) = around.unknown {
        return Some(Reason::Unknown(why));
    }
    (around.is_open && serving.pods > 0).then_some(Reason::WhileOpen)
}

/// Whether this very template was let go already: a pause now would stop a rollout half way, and with the strategy Recreate leave nothing running.
pub(super) fn is_let_go(old: &Value, template: &Value) -> bool {
    let is_paused = old.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or_default();
    !is_held(old) && !is_paused && old.pointer("/spec/template").is_some_and(|before| same_template(before, template))
}

/// A Deployment that runs nothing. One that was held waited for something, so where nothing is left of that either, somebody took it away.
fn reason_of_new(identity: &Identity<'_>, wanted: Option<&str>, around: &Surroundings<'_>, was_held: bool) -> Option<Reason> {
    let running = counted(around.release);
    if running.is_empty() {
        let is_gone = was_held && *around.old_data == OldData::None;
        return reason_of_old_data(wanted, if is_gone { &OldData::Unknown } else { around.old_data });
    }
    if !running.iter().any(|serving| serving.image() == wanted) {
        let serving = running.first().and_then(|serving| serving.image()).unwrap_or("(none)").to_owned();
        return Some(Reason::Image { serving, wanted: wanted.unwrap_or("(none)").to_owned() });
    }
    if let Some(moved) = around.moved {
        return Some(Reason::Identity(moved.to_owned()));
    }
    if let Some(why) = around.unknown {
        return Some(Reason::Unknown(why));
    }
    let stands_apart = !fits(identity.component, wanted, &running);
    (stands_apart && (around.is_open || is_complete(&running))).then_some(Reason::NewComponent)
}

/// A Deployment of a release of which nothing runs or ran.
fn reason_of_old_data(wanted: Option<&str>, data: &OldData) -> Option<Reason> {
    match data {
        OldData::None => None,
        OldData::Unknown => Some(Reason::OldData),
        OldData::Of(by) => {
            let written = by.parse::<MilvusVersion>().ok();
            let is_same = written.is_some() && version_of(wanted) == written;
            (!is_same).then(|| Reason::Written { by: by.clone(), wanted: wanted.unwrap_or("(none)").to_owned() })
        }
    }
}

/// The Milvus version in an image's tag.
fn version_of(image: Option<&str>) -> Option<MilvusVersion> {
    ImageTag::parse(image.and_then(super::milvus::tag_of)?).version()
}

/// Whether a Deployment that is held and never ran may run beside what serves of its release: it has the image that serves, and leaves the coordinators as they are.
#[must_use]
pub fn may_join(object: &Value, release: &[Serving]) -> bool {
    let Some(identity) = Identity::of(object) else { return false };
    let running: Vec<&Serving> = release.iter().filter(|serving| serving.pods > 0 && *serving.label == *identity.label).collect();
    let wanted = object.pointer("/spec/template").and_then(|template| image(template, identity.component));
    !running.is_empty() && running.iter().all(|serving| serving.image() == wanted) && fits(identity.component, wanted, &running)
}

/// Whether a component of the image that serves may run beside what serves. The kinds of coordinators exclude each other, as do standalone and cluster; a streaming node changes who writes,
/// and below 2.6 it is no part of a cluster. While two images serve, nothing joins that is not there.
fn fits(component: &str, wanted: Option<&str>, running: &[&Serving]) -> bool {
    let has = |name: &str| running.iter().any(|serving| *serving.component == *name);
    if has(component) {
        return true;
    }
    let is_alone = has("standalone") || component == "standalone";
    let is_other_kind = match component {
        MIXED_COORDINATOR => SEPARATE_COORDINATORS.iter().any(|name| has(name)),
        name if SEPARATE_COORDINATORS.contains(&name) => has(MIXED_COORDINATOR),
        "streamingnode" => !streams(wanted),
        _ => false,
    };
    !is_alone && !is_other_kind && running.iter().all(|serving| serving.image() == wanted)
}

/// Whether a cluster of this image has streaming nodes: from 2.6 on.
fn streams(image: Option<&str>) -> bool {
    version_of(image).is_none_or(|version| version.line() >= (2, 6))
}

/// Whether a release runs: all that Milvus needs is there and something is ready. While the first install arrives, object by object, it is not.
fn is_complete(running: &[&Serving]) -> bool {
    let has = |component: &str| running.iter().any(|serving| *serving.component == *component);
    let is_ready = running.iter().any(|serving| serving.object.pointer("/status/readyReplicas").and_then(Value::as_u64).is_some_and(|ready| ready > 0));
    let coordinated = has("mixcoord") || ["rootcoord", "querycoord", "datacoord"].iter().all(|component| has(component));
    // From 2.6 on a cluster has streaming nodes, and they arrive last.
    let streams = streams(running.first().and_then(|serving| serving.image()));
    is_ready && (has("standalone") || (coordinated && has("proxy") && has("querynode") && has("datanode") && (has("streamingnode") || !streams)))
}

/// The queue that chart 5 writes on a standalone; Kubernetes copies it to the ReplicaSet, so it is known of what serves too.
fn queue(object: &Value) -> Option<&str> {
    crate::cluster::annotation(object, QUEUE_ANNOTATION)
}

/// The claims that a pod mounts: where a standalone keeps its data.
fn claims(template: &Value) -> Vec<&str> {
    let volumes = template.pointer("/spec/volumes").and_then(Value::as_array);
    let mut names: Vec<&str> = volumes.into_iter().flatten().filter_map(|volume| text(volume, "/persistentVolumeClaim/claimName")).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_comes_from_the_selector() {
        let object = json!({"metadata": {"labels": {"component": "proxy"}}, "spec": {"selector": {"matchLabels": {"app.kubernetes.io/instance": "m", "app.kubernetes.io/name": "vec", "component": "querynode"}}}});
        assert_eq!(Identity::of(&object), Some(Identity { release: "m", label: "vec", component: "querynode" }));
        assert_eq!(Identity::of(&json!({"spec": {"selector": {"matchLabels": {"app": "x"}}}})), None);
    }
}
