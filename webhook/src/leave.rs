//! Leaving: what is put back on an object so that nothing of the guard is left on it, and nothing restarts. Pure; `milvus-guard cleanup` runs it.

use milvus_guard::source::configuration::FILES;
use serde_json::{Value, json};

use crate::admission::change::same_template;
use crate::admission::gitops::{carried_values, carried_values_secret};
use crate::admission::hold::{
    HELD_LABEL, HOLD_ANNOTATIONS, KEPT_FILES_ANNOTATION, MARKS_ANNOTATION, PARTITION_ANNOTATION, SERVING_CONFIGURATION_ANNOTATION, STOPPED_ANNOTATION,
    STOPPED_FOR_ANNOTATION, WAITING_SUFFIX, is_held, loosen, may_join, stopped,
};
use crate::admission::patch::Patching;
use crate::cluster::running::Serving;
use crate::cluster::{annotation, text};
use crate::controller::EPOCH_ANNOTATION;

/// The label that Kubernetes puts on the templates of ReplicaSets.
const HASH_LABEL: &str = "pod-template-hash";

const LEFT_PAUSED: &str = "left paused: it never ran and does not fit what serves; delete it, or apply what belongs to the version that serves";

/// What is to be done with an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Undo {
    /// Applied to the object as it was read.
    pub patch: json_patch::Patch,
    /// What that does, in words.
    pub what: &'static str,
}

/// Puts a Deployment back: the template that serves, running; no annotation or mark of ours. Nothing, where nothing of ours is on it.
///
/// A held component that never ran has nothing to go back to: it runs where it fits what serves of its release, and else stays paused, for a person to decide.
#[must_use]
pub fn deployment(object: &Value, serving: &[Serving], release: &[Serving]) -> Option<Undo> {
    let mut patching = Patching::new(object);
    let mut what = "marks taken off";
    if is_held(object) {
        // Where two templates serve, the one with more pods; the newest among equals, as they are sorted.
        let most = serving.iter().map(|set| set.pods).max().unwrap_or_default();
        match serving.iter().find(|set| set.pods == most) {
            Some(set) => {
                what = "the template that serves is back, and not paused";
                let template = without_hash(set.template());
                if object.pointer("/spec/template").is_none_or(|current| !same_template(current, &template)) {
                    patching.set("/spec/template", template);
                }
            }
            None if may_join(object, release) => what = "not paused: it is of the version that serves",
            None => return Some(Undo { patch: json_patch::Patch::default(), what: LEFT_PAUSED }),
        }
        patching.remove("/spec/paused");
    }
    if let Some(wanted) = stopped(object).and_then(|wanted| wanted.parse::<u64>().ok()) {
        patching.set("/spec/replicas", json!(wanted));
        what = "the replicas from before the stop are back";
    }
    HOLD_ANNOTATIONS.iter().chain([&STOPPED_ANNOTATION, &STOPPED_FOR_ANNOTATION, &EPOCH_ANNOTATION]).for_each(|name| patching.unannotate(name));
    patching.unlabel(HELD_LABEL);
    marks(object, &mut patching);
    finish(patching, what)
}

/// The same operations for a stopped Deployment where the webhook is in force: it puts back a stop that only lacks, and takes off what gives it up within the same write.
#[must_use]
pub fn giving_up(mut operations: Value) -> Value {
    if let Some(operations) = operations.as_array_mut() {
        operations.push(json!({"op": "add", "path": format!("/metadata/annotations/{}", STOPPED_ANNOTATION.replace('/', "~1")), "value": ""}));
    }
    operations
}

/// What stands on a workload although it was put back, in words: somebody put it on again.
#[must_use]
pub fn still(object: &Value) -> Option<&'static str> {
    if stopped(object).is_some() { Some("it is stopped") } else { is_held(object).then_some("it is held") }
}

/// Puts a StatefulSet back: the template of the revision that serves (`status.currentRevision`, given as its ControllerRevision), and the partition
/// from before.
#[must_use]
pub fn stateful_set(object: &Value, current: Option<&Value>) -> Option<Undo> {
    let mut patching = Patching::new(object);
    let mut what = "marks taken off";
    if is_held(object) {
        let Some(template) = current.and_then(|revision| revision.pointer("/data/spec/template")) else {
            return Some(Undo { patch: json_patch::Patch::default(), what: "left as it is: the revision that serves was not found" });
        };
        let mut template = template.clone();
        if let Some(table) = template.as_object_mut() {
            table.remove("$patch");
        }
        what = "the template that serves and the partition from before are back";
        if object.pointer("/spec/template").is_none_or(|now| !same_template(now, &template)) {
            patching.set("/spec/template", template);
        }
        loosen(object, annotation(object, PARTITION_ANNOTATION).unwrap_or_default(), &mut patching);
    }
    HOLD_ANNOTATIONS.iter().for_each(|name| patching.unannotate(name));
    patching.unlabel(HELD_LABEL);
    marks(object, &mut patching);
    finish(patching, what)
}

/// Takes off the ConfigMap of a release what waits, and notes of ours: the files that serve are in place.
#[must_use]
pub fn configuration(object: &Value) -> Option<Undo> {
    let mut patching = Patching::new(object);
    let is_ours = annotation(object, SERVING_CONFIGURATION_ANNOTATION).is_some();
    let keys = object.get("data").and_then(Value::as_object).into_iter().flat_map(|data| data.keys());
    let waiting = keys.filter(|key| key.strip_suffix(WAITING_SUFFIX).is_some_and(|file| is_ours || FILES.contains(&file)));
    waiting.for_each(|key| patching.remove(&format!("/data/{key}")));
    [SERVING_CONFIGURATION_ANNOTATION, KEPT_FILES_ANNOTATION].iter().for_each(|name| patching.unannotate(name));
    finish(patching, "the files that wait and the notes of what serves are taken off")
}

/// The Secret of carried values that a Flux HelmRelease takes, or that stands ready for it.
#[must_use]
pub fn carried_for(object: &Value) -> Option<String> {
    let is_asked_for = object.pointer("/spec/upgrade/preserveValues") == Some(&json!(true));
    (is_asked_for || helm_release(object).is_some()).then(|| text(object, "/metadata/name").map(carried_values_secret))?
}

/// Puts a Flux HelmRelease back: `preserveValues` in place of the Secret of carried values, which nobody keeps up any more.
#[must_use]
pub fn helm_release(object: &Value) -> Option<Undo> {
    let carried = carried_values(&carried_values_secret(text(object, "/metadata/name")?));
    let sources = object.pointer("/spec/valuesFrom")?.as_array()?;
    let others: Vec<Value> = sources.iter().filter(|source| **source != carried).cloned().collect();
    if others.len() == sources.len() {
        return None;
    }
    let mut patching = Patching::new(object);
    if others.is_empty() {
        patching.remove("/spec/valuesFrom");
    } else {
        patching.set("/spec/valuesFrom", Value::Array(others));
    }
    if object.pointer("/spec/upgrade/preserveValues") == Some(&json!(false)) {
        patching.set("/spec/upgrade/preserveValues", json!(true));
    }
    finish(patching, "upgrade.preserveValues is back, in place of the Secret of carried values")
}

/// Takes marks of ours off any other object.
#[must_use]
pub fn marked(object: &Value) -> Option<Undo> {
    let mut patching = Patching::new(object);
    marks(object, &mut patching);
    finish(patching, "marks taken off")
}

fn marks(object: &Value, patching: &mut Patching<'_>) {
    let Some(marks) = annotation(object, MARKS_ANNOTATION) else { return };
    marks.split(',').map(str::trim).for_each(|mark| patching.unannotate(mark));
    patching.unannotate(MARKS_ANNOTATION);
}

/// With the version that was read, so that a write in between is noticed.
fn finish(patching: Patching<'_>, what: &'static str) -> Option<Undo> {
    let patch = patching.finish();
    (!patch.0.is_empty()).then_some(Undo { patch, what })
}

/// The operations of a patch as they are sent: only on the very version of `object` that was read.
#[must_use]
pub fn guarded(object: &Value, patch: &json_patch::Patch) -> Value {
    let test = |path: &str| json!({"op": "test", "path": path, "value": text(object, path)});
    let mut operations = vec![test("/metadata/uid"), test("/metadata/resourceVersion")];
    operations.extend(patch.0.iter().filter_map(|operation| serde_json::to_value(operation).ok()));
    Value::Array(operations)
}

/// Operations that take a manager off the owners of an object's fields, one entry at a time; nothing, where it owns nothing.
#[must_use]
pub fn disowning(object: &Value, manager: &str) -> Option<Value> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    let at = entries.iter().position(|entry| text(entry, "/manager") == Some(manager))?;
    let path = format!("/metadata/managedFields/{at}");
    Some(json!([{"op": "test", "path": format!("{path}/manager"), "value": manager}, {"op": "remove", "path": path}]))
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    template
}

#[cfg(test)]
mod tests;
