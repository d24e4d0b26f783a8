//! Carries a deed out: one write, on the very state that it was decided on, that leaves no field owned by us.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, GroupVersionKind, NamespaceResourceScope};
use kube::{Client, Resource};
use milvus_guard::rollout::observed::Stamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::left::Left;
use super::{EPOCH_ANNOTATION, FIELD_MANAGER, KEEP, refused, seen};
use crate::admission::hold::{
    HELD_LABEL, HOLD_ANNOTATIONS, JUDGED_FOR_ANNOTATION, MARKS_ANNOTATION, PARTITION_ANNOTATION, STOPPED_ANNOTATION, STOPPED_FOR_ANNOTATION, WAITING_SUFFIX,
    is_held, loosen,
};
use crate::admission::patch::Patching;
use crate::cluster::{annotation, text};
use crate::leave::{self, disowning};

/// The label that Kubernetes puts on the templates of ReplicaSets.
const HASH_LABEL: &str = "pod-template-hash";

/// Marks that keep an applier from deleting a workload: Helm reads the first on the live object, Argo CD the second.
const MARKS: [(&str, &str); 2] = [KEEP, ("argocd.argoproj.io/sync-options", "PruneLast=true")];

/// Times that others may write in between while we take ourselves off the owners of fields.
const DISOWNINGS: usize = 20;

/// Why a deed was not done.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// The object is not as it was when this was decided: look again.
    #[error("{0} has moved on")]
    Stale(Arc<str>),
    /// The API server refuses it, and will again: why.
    #[error("{0}: {1}")]
    Denied(Arc<str>, String),
    /// The API server could not do it now, or did not answer.
    #[error("{0}: {1}")]
    Refused(Arc<str>, String),
    /// What is needed for it is not there.
    #[error("{0}")]
    Impossible(String),
}

/// Writes in one namespace.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    namespace: Arc<str>,
}

impl Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Writer {
    /// Writes in a namespace.
    #[must_use]
    pub const fn new(client: Client, namespace: Arc<str>) -> Self {
        Self { client, namespace }
    }

    fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Reads an object, if it still is as it was when a decision was made on it.
    async fn read<K>(&self, name: &str, stamp: &Stamp) -> Result<Value, Undone>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug,
    {
        let found = self.api::<K>().get_opt(name).await.map_err(|error| refused(name, &error))?;
        let object = found.map(serde_json::to_value).transpose().unwrap_or_default();
        object.filter(|object| seen::stamp(object) == *stamp).ok_or_else(|| Undone::Stale(name.into()))
    }

    /// Changes an object on the very state that was read, and takes us off the owners of its fields.
    async fn change<K>(&self, object: &Value, patch: json_patch::Patch) -> Result<Value, Undone>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug,
    {
        if patch.0.is_empty() {
            return Ok(object.clone());
        }
        let name = text(object, "/metadata/name").unwrap_or_default();
        let mut operations = vec![json!({"op": "test", "path": "/metadata/uid", "value": text(object, "/metadata/uid")})];
        operations.push(json!({"op": "test", "path": "/metadata/resourceVersion", "value": text(object, "/metadata/resourceVersion")}));
        operations.extend(patch.0.iter().filter_map(|operation| serde_json::to_value(operation).ok()));
        let after = self.send::<K>(name, Value::Array(operations)).await?;
        self.disown::<K>(name, after).await
    }

    async fn send<K>(&self, name: &str, operations: Value) -> Result<Value, Undone>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug,
    {
        let patch: json_patch::Patch = serde_json::from_value(operations).map_err(|error| Undone::Impossible(error.to_string()))?;
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let after = self.api::<K>().patch(name, &parameters, &Patch::<()>::Json(patch)).await.map_err(|error| refused(name, &error))?;
        serde_json::to_value(after).map_err(|error| Undone::Impossible(error.to_string()))
    }

    /// Takes us off the owners of an object's fields: whoever applies server-side would meet a conflict. Others may write at the same time.
    async fn disown<K>(&self, name: &str, mut object: Value) -> Result<Value, Undone>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug,
    {
        for _ in 0..DISOWNINGS {
            let Some(operations) = disowning(&object, FIELD_MANAGER) else { return Ok(object) };
            object = match self.send::<K>(name, operations).await {
                Ok(after) => after,
                // Found again by its trace, and taken off at the end.
                Err(Undone::Stale(_)) => self.send::<K>(name, json!([])).await?,
                Err(error) => return Err(error),
            };
        }
        Ok(object)
    }

    /// Puts the marks on a workload, or takes them off.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn mark(&self, name: &str, stamp: &Stamp, wanted: bool) -> Result<(), Undone> {
        let object = self.read::<Deployment>(name, stamp).await?;
        self.change::<Deployment>(&object, if wanted { marking(&object) } else { unmarking(&object) }).await.map(drop)
    }

    /// Notes a course on a workload.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn seal(&self, name: &str, stamp: &Stamp, epoch: u64) -> Result<(), Undone> {
        let object = self.read::<Deployment>(name, stamp).await?;
        let mut patching = Patching::new(&object);
        patching.annotate(EPOCH_ANNOTATION, &epoch.to_string());
        self.change::<Deployment>(&object, patching.finish()).await.map(drop)
    }

    /// Lets the stored template of a workload run. Files of its configuration that wait take the place of those that served.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn release(&self, name: &str, stamp: &Stamp, configurations: &[Arc<str>]) -> Result<(), Undone> {
        let object = self.read::<Deployment>(name, stamp).await?;
        for configuration in configurations {
            self.switch_configuration(configuration).await?;
        }
        self.change::<Deployment>(&object, releasing(&object)).await.map(drop)
    }

    async fn switch_configuration(&self, name: &str) -> Result<(), Undone> {
        let Some(map) = self.api::<ConfigMap>().get_opt(name).await.map_err(|error| refused(name, &error))? else { return Ok(()) };
        let map = serde_json::to_value(map).unwrap_or_default();
        self.change::<ConfigMap>(&map, switching(&map)).await.map(drop)
    }

    /// Has a held workload judged again by gate 3, for what is declared and waived now; whether it was, or the gate does not know of that yet.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn have_judged(&self, name: &str, stamp: &Stamp, judged_for: Option<&str>) -> Result<bool, Undone> {
        let object = self.read::<Deployment>(name, stamp).await?;
        let mut patching = Patching::new(&object);
        patching.note(JUDGED_FOR_ANNOTATION, judged_for);
        let after = self.change::<Deployment>(&object, patching.finish()).await?;
        Ok(!is_held(&after) || annotation(&after, JUDGED_FOR_ANNOTATION) == judged_for)
    }

    /// Takes a hold off that has nothing to hold.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn unhold(&self, name: &str, stamp: &Stamp) -> Result<(), Undone> {
        self.release(name, stamp, &[]).await
    }

    /// Puts the template of one of its ReplicaSets back, and lets it run.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn revert(&self, name: &str, stamp: &Stamp, set: &str) -> Result<(), Undone> {
        let object = self.read::<Deployment>(name, stamp).await?;
        let set_name: Arc<str> = set.into();
        let found = self.api::<k8s_openapi::api::apps::v1::ReplicaSet>().get_opt(set).await.map_err(|error| refused(set, &error))?;
        let Some(set) = found.map(serde_json::to_value).transpose().unwrap_or_default() else {
            return Err(Undone::Impossible(format!("the template that served before is gone with ReplicaSet {set_name}")));
        };
        self.change::<Deployment>(&object, reverting(&object, &set)).await.map(drop)
    }

    /// Deletes a workload; its pods go after it.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn remove(&self, name: &str, stamp: &Stamp) -> Result<(), Undone> {
        let preconditions = Preconditions { resource_version: Some(stamp.resource_version.to_string()), uid: Some(stamp.uid.to_string()) };
        let parameters =
            DeleteParams { preconditions: Some(preconditions), propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
        match self.api::<Deployment>().delete(name, &parameters).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Err(Undone::Stale(name.into())),
            done => done.map(drop).map_err(|error| refused(name, &error)),
        }
    }

    /// Remembers the replicas of a workload and what it is stopped for, then scales it to none.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn stop(&self, name: &str, stamp: &Stamp, remembered: u32, stopped_for: Option<&Left>) -> Result<(), Undone> {
        let object = self.read::<Deployment>(name, stamp).await?;
        let mut patching = Patching::new(&object);
        patching.annotate(STOPPED_ANNOTATION, &remembered.to_string());
        if let Some(migration) = stopped_for {
            patching.annotate(STOPPED_FOR_ANNOTATION, &migration.text());
        }
        let noted = self.change::<Deployment>(&object, patching.finish()).await?;
        self.scale(name, &noted, 0).await.map(drop)
    }

    /// Scales a workload to what is remembered, then forgets that.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn start(&self, name: &str, stamp: &Stamp, replicas: u32) -> Result<(), Undone> {
        let object = self.read::<Deployment>(name, stamp).await?;
        let scaled = self.scale(name, &object, replicas).await?;
        let mut patching = Patching::new(&scaled);
        patching.unannotate(STOPPED_ANNOTATION);
        patching.unannotate(STOPPED_FOR_ANNOTATION);
        self.change::<Deployment>(&scaled, patching.finish()).await.map(drop)
    }

    /// Through the subresource, which leaves `spec.replicas` to the chart.
    async fn scale(&self, name: &str, object: &Value, replicas: u32) -> Result<Value, Undone> {
        let api = self.api::<Deployment>();
        let mut scale = api.get_scale(name).await.map_err(|error| refused(name, &error))?;
        if scale.metadata.resource_version.as_deref() != text(object, "/metadata/resourceVersion") {
            return Err(Undone::Stale(name.into()));
        }
        scale.spec = Some(k8s_openapi::api::autoscaling::v1::ScaleSpec { replicas: i32::try_from(replicas).ok() });
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        api.replace_scale(name, &parameters, &scale).await.map_err(|error| refused(name, &error))?;
        let after = self.send::<Deployment>(name, json!([])).await?;
        self.disown::<Deployment>(name, after).await
    }

    /// Lets the stored template of a store or a queue run.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn release_store(&self, store: &seen::Store) -> Result<(), Undone> {
        if store.is_set {
            let object = self.read::<StatefulSet>(&store.name, &store.stamp).await?;
            return self.change::<StatefulSet>(&object, releasing(&object)).await.map(drop);
        }
        let object = self.read::<Deployment>(&store.name, &store.stamp).await?;
        self.change::<Deployment>(&object, releasing(&object)).await.map(drop)
    }

    /// Takes everything of ours off a workload that runs what it says.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn give_back(&self, workload: &seen::Workload) -> Result<(), Undone> {
        let object = self.read::<Deployment>(&workload.name, &workload.stamp).await?;
        let after = self.change::<Deployment>(&object, forgetting(&object)).await?;
        self.disown::<Deployment>(&workload.name, after).await.map(drop)
    }

    /// Takes us off the owners of a store's fields.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn give_back_store(&self, store: &seen::Store) -> Result<(), Undone> {
        if store.is_set {
            let object = self.read::<StatefulSet>(&store.name, &store.stamp).await?;
            return self.disown::<StatefulSet>(&store.name, object).await.map(drop);
        }
        let object = self.read::<Deployment>(&store.name, &store.stamp).await?;
        self.disown::<Deployment>(&store.name, object).await.map(drop)
    }

    /// Takes the marks off the claims of a release, and what is noted off its configurations.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn give_back_others(&self, release: &str, configurations: impl IntoIterator<Item = Arc<str>>) -> Result<(), Undone> {
        for label in ["app.kubernetes.io/instance", "release"] {
            let listed = self.api::<PersistentVolumeClaim>().list(&ListParams::default().labels(&format!("{label}={release}"))).await;
            for claim in listed.map_err(|error| refused("claims", &error))?.items {
                let claim = serde_json::to_value(claim).unwrap_or_default();
                if let Some(undo) = leave::marked(&claim) {
                    self.change::<PersistentVolumeClaim>(&claim, undo.patch).await?;
                }
            }
        }
        for name in configurations {
            let found = self.api::<ConfigMap>().get_opt(&name).await.map_err(|error| refused(&name, &error))?;
            let Some(map) = found.map(serde_json::to_value).transpose().unwrap_or_default() else { continue };
            if let Some(undo) = leave::configuration(&map) {
                self.change::<ConfigMap>(&map, undo.patch).await?;
            }
        }
        Ok(())
    }

    /// Makes an object of ours; that it is there already is as good.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn make(&self, object: &Value) -> Result<(), Undone> {
        let kind = text(object, "/kind").unwrap_or_default();
        let name = text(object, "/metadata/name").unwrap_or_default();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(crate::api::GROUP, "v1alpha1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let object = serde_json::from_value(object.clone()).map_err(|error| Undone::Impossible(error.to_string()))?;
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match api.create(&parameters, &object).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            done => done.map(drop).map_err(|error| refused(name, &error)),
        }
    }
}

/// A conflict, a failed test and a missing object mean that the state moved on.
fn refused(name: &str, error: &kube::Error) -> Undone {
    match error {
        kube::Error::Api(status) if status.code == 409 || status.code == 404 => Undone::Stale(name.into()),
        kube::Error::Api(status) if status.code == 422 && status.message.contains("the server rejected our request") => Undone::Stale(name.into()),
        kube::Error::Api(status) if refused::is_refusal(status.code) => Undone::Denied(name.into(), refused::words(status)),
        kube::Error::Api(status) => Undone::Refused(name.into(), format!("{} ({})", status.reason, status.code)),
        _ => Undone::Refused(name.into(), "no answer".into()),
    }
}

/// Marks, each only where the object says nothing of its own there.
fn marking(object: &Value) -> json_patch::Patch {
    let ours: Vec<&str> = annotation(object, MARKS_ANNOTATION).into_iter().flat_map(|marks| marks.split(',')).map(str::trim).collect();
    let mut patching = Patching::new(object);
    let mut put = Vec::new();
    for (name, value) in MARKS {
        if annotation(object, name).is_none() || ours.contains(&name) {
            patching.annotate(name, value);
            put.push(name);
        }
    }
    patching.annotate(MARKS_ANNOTATION, &put.join(","));
    patching.finish()
}

fn unmarking(object: &Value) -> json_patch::Patch {
    leave::marked(object).map(|undo| undo.patch).unwrap_or_default()
}

/// Takes a hold off: the pause, or the partition, and what says why.
fn releasing(object: &Value) -> json_patch::Patch {
    let mut patching = Patching::new(object);
    let_go(object, &mut patching);
    patching.finish()
}

fn let_go(object: &Value, patching: &mut Patching<'_>) {
    patching.remove("/spec/paused");
    if let Some(before) = annotation(object, PARTITION_ANNOTATION) {
        loosen(object, before, patching);
    }
    patching.unlabel(HELD_LABEL);
    HOLD_ANNOTATIONS.iter().for_each(|name| patching.unannotate(name));
}

fn reverting(object: &Value, set: &Value) -> json_patch::Patch {
    let mut template = set.pointer("/spec/template").cloned().unwrap_or_default();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    let mut patching = Patching::new(object);
    patching.set("/spec/template", template);
    let_go(object, &mut patching);
    patching.finish()
}

/// Puts the files that wait in the place of those that served. What is noted of those stays as long as pods run on them.
fn switching(map: &Value) -> json_patch::Patch {
    let mut patching = Patching::new(map);
    let keys = map.get("data").and_then(Value::as_object).into_iter().flat_map(|data| data.keys());
    for file in keys.filter_map(|key| key.strip_suffix(WAITING_SUFFIX)) {
        let waiting = format!("/data/{file}{WAITING_SUFFIX}");
        let Some(waits) = text(map, &waiting) else { continue };
        // One that the change leaves out waits empty.
        if waits.is_empty() {
            patching.remove(&format!("/data/{file}"))
        } else {
            patching.set(&format!("/data/{file}"), waits.into())
        }
        patching.remove(&waiting);
    }
    patching.finish()
}

/// Takes marks and notes of ours off.
fn forgetting(object: &Value) -> json_patch::Patch {
    let mut patching = Patching::new(object);
    for mark in annotation(object, MARKS_ANNOTATION).into_iter().flat_map(|marks| marks.split(',')).map(str::trim).filter(|mark| !mark.is_empty()) {
        patching.unannotate(mark);
    }
    patching.unannotate(MARKS_ANNOTATION);
    patching.unannotate(EPOCH_ANNOTATION);
    patching.finish()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{deployment, held, set};
    use super::*;
    use crate::admission::hold::PARTITION;

    fn after(object: &Value, patch: &json_patch::Patch) -> Value {
        let mut object = object.clone();
        json_patch::patch(&mut object, patch).unwrap();
        object
    }

    #[test]
    fn a_release_leaves_what_the_applier_wrote() {
        let object = held("proxy", "v2.5.22");
        let mut wanted = deployment("proxy", "v2.5.22");
        wanted["metadata"]["labels"] = json!({});
        assert_eq!(after(&object, &releasing(&object)), wanted);
    }

    #[test]
    fn a_store_gets_its_partition_back() {
        let mut object = json!({"metadata": {"annotations": {"guard.milvus-guard.dev/hold": "why", "guard.milvus-guard.dev/partition": "1"}},
            "spec": {"updateStrategy": {"rollingUpdate": {"partition": 3}}}});
        let released = after(&object, &releasing(&object));
        assert_eq!(released.pointer(PARTITION), Some(&json!(1)));
        // One that is not ours stays.
        object["metadata"]["annotations"] = json!({});
        assert!(releasing(&object).0.is_empty());
    }

    #[test]
    fn marks_come_and_go_and_what_a_person_marked_stays() {
        let object = deployment("indexnode", "v2.5.16");
        let marked = after(&object, &marking(&object));
        assert!(seen::workload(&marked).unwrap().is_marked);
        assert!(marking(&marked).0.is_empty(), "once is enough");
        assert_eq!(after(&marked, &unmarking(&marked)), object);
        let mut own = object;
        own["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("keep");
        let marked = after(&own, &marking(&own));
        assert_eq!(after(&marked, &forgetting(&marked)), own);
    }

    #[test]
    fn a_revert_brings_the_template_back_without_the_label_of_its_set() {
        let object = held("proxy", "v2.5.22");
        let reverted = after(&object, &reverting(&object, &set("proxy", "v2.5.16", 1)));
        assert_eq!(reverted["spec"]["template"], deployment("proxy", "v2.5.16")["spec"]["template"]);
        assert!(reverted["spec"].get("paused").is_none());
    }

    #[test]
    fn files_that_wait_take_their_place_and_one_that_waits_empty_goes() {
        let map = json!({"data": {"default.yaml": "a", "default.yaml.waiting": "b", "user.yaml": "c", "user.yaml.waiting": "", "other": "d"}});
        assert_eq!(after(&map, &switching(&map)), json!({"data": {"default.yaml": "b", "other": "d"}}));
        let still = json!({"data": {"default.yaml": "a"}});
        assert!(switching(&still).0.is_empty());
    }
}
