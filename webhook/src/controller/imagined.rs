//! A cluster that is only imagined, around the real controller: objects in memory behind its API, an etcd that answers over a socket, and what controllers, nodes and Jobs would do.

mod etcd;
mod judged;
mod points;
mod server;
mod steered;
mod stores;

use std::collections::BTreeMap;

use milvus_guard::rollout::observed::JobKind;
use serde_json::{Value, json};

use super::fixture::{deployment, held, upgrade};
use super::{read_moment, written};
use crate::admission::hold::STOPPED_ANNOTATION;
use crate::api;
use crate::cluster::{annotation, label, text};
use crate::metadata::layout::Counts;
use crate::migration::jobs::TOOL;
use crate::migration::{KIND_LABEL, KINDS};

/// Keys in etcd.
type Keys = BTreeMap<String, Vec<u8>>;

/// The image of the version before, by its tag.
const BEFORE: &str = "v2.1.4";

/// The image of the version after, by its tag.
const AFTER: &str = "v2.2.16";

/// Where metadata lies.
const META: &str = "m/meta/";

/// The label that Kubernetes puts on pods and templates of ReplicaSets.
const HASH_LABEL: &str = "pod-template-hash";

/// Seconds that one step takes.
const STEP_SECONDS: u64 = 2;

/// What upstream's tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tool {
    #[default]
    Works,
    FailsFirst,
    DiesHalfDeleted,
    DiesHalfWritten,
    HangsHalfWritten,
    DoesNothing,
}

/// What goes wrong.
#[derive(Debug, Clone, Default, PartialEq)]
struct Ills {
    tool: Tool,
    /// Jobs of these kinds fail.
    failing: Vec<JobKind>,
    /// The claim for backups is not bound.
    is_unbound: bool,
    /// A pod that is deleted stays until then.
    pod_stays_until: u64,
    /// A session stays until then although its pod is gone.
    session_stays_until: u64,
    /// Somebody puts replicas back in every third step.
    applier_scales: bool,
    /// etcd gives no answer in these rounds: the first, and how many.
    outage: (usize, usize),
    /// Until then pods of 2.5.22 are evicted in every step, and none becomes ready.
    evicts_until: u64,
    /// Until then the gate does not know what was declared.
    gate_is_behind_until: u64,
    /// Until then the gate judges nothing in time.
    gate_doubts_until: u64,
}

/// The cluster, as it truly is.
#[derive(Debug, Clone)]
struct World {
    /// By the plural of their kind, and their name.
    objects: BTreeMap<(String, String), Value>,
    /// The last resource version given out.
    version: u64,
    /// Seconds of Unix time.
    now: u64,
    /// etcd without sessions.
    metadata: Keys,
    sessions: Keys,
    /// By their file.
    backups: BTreeMap<String, Keys>,
    components: Vec<&'static str>,
    has_arrived: bool,
    rounds: usize,
    ills: Ills,
    /// What the gate takes for declared while it is behind.
    behind: Option<Value>,
    /// What the namespace waives.
    waived: Option<String>,
    /// What must never be, and was.
    violations: Vec<String>,
}

/// Metadata as 2.1 has it.
fn of_2_1() -> Keys {
    let below = [
        ("root-coord/collection/1", "collection"),
        ("root-coord/collection-alias/a", "alias"),
        ("root-coord/index/1/2", "index"),
        ("root-coord/segment-index/10/2", "segment 10"),
        ("indexes/11", "build of 10"),
        ("session/id", "42"),
    ];
    let mut keys: Keys = below.iter().map(|(key, value)| (format!("{META}{key}"), value.as_bytes().to_vec())).collect();
    keys.insert("m/kv/tso/timestamp".into(), b"17".to_vec());
    keys
}

/// The same as upstream's tool leaves it.
fn of_2_2() -> Keys {
    let mut keys = of_2_1();
    keys.retain(|key, _| !is_replaced(key));
    let new = [
        ("root-coord/collection/1", "collection of 2.2"),
        ("root-coord/aliases/a", "alias"),
        ("field-index/1/2", "index"),
        ("segment-index/1/1/10/11", "segment 10"),
    ];
    keys.extend(new.iter().map(|(key, value)| (format!("{META}{key}"), value.as_bytes().to_vec())));
    keys
}

fn is_replaced(key: &str) -> bool {
    key.strip_prefix(META).is_some_and(|key| !key.starts_with("session/"))
}

impl World {
    /// A release of 2.1.4, and the `GuardedUpgrade` that declares what is to come.
    fn new(components: &[&'static str], spec: &Value) -> Self {
        let now = read_moment("2026-11-21T20:00:00Z").map(|moment| moment.0).unwrap();
        let mut world = Self {
            objects: BTreeMap::new(),
            version: 0,
            now,
            metadata: of_2_1(),
            sessions: Keys::new(),
            backups: BTreeMap::new(),
            components: components.to_vec(),
            has_arrived: false,
            rounds: 0,
            ills: Ills::default(),
            behind: None,
            waived: None,
            violations: Vec::new(),
        };
        let configuration = "etcd:\n  endpoints:\n    - m-etcd:2379\n  rootPath: m\n";
        world.put(
            "configmaps",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m-milvus", "namespace": "db"}, "data": {"milvus.yaml": configuration}}),
        );
        let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "backups"}, "provisioner": "example.com/none"});
        world.put("storageclasses", class);
        for component in components {
            world.put("deployments", of_kubectl(deployment(component, BEFORE)));
        }
        let mut declared = upgrade("2.2.16", json!({}));
        declared["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        declared["spec"]["metadataMigration"] = json!({"storageClass": "backups"});
        declared.as_object_mut().unwrap().remove("status");
        world.put("guardedupgrades", declared);
        for _ in 0..3 {
            world.step(None);
        }
        world
    }

    /// The change arrives, and the webhook holds it.
    fn arrive(&mut self) {
        self.has_arrived = true;
        for component in self.components.clone() {
            let mut object = self.object("deployments", &format!("m-milvus-{component}")).cloned().unwrap();
            let wanted = of_kubectl(held(component, AFTER));
            object["spec"] = wanted["spec"].clone();
            object["metadata"]["labels"] = wanted["metadata"]["labels"].clone();
            object["metadata"]["annotations"].as_object_mut().unwrap().extend(wanted["metadata"]["annotations"].as_object().unwrap().clone());
            self.put("deployments", object);
        }
    }

    /// A person writes into the `GuardedUpgrade`.
    fn ask(&mut self, field: &str, value: Value) {
        let mut upgrade = self.upgrade().clone();
        upgrade["spec"][field] = value;
        self.put("guardedupgrades", upgrade);
    }

    /// Nothing, where it was deleted.
    fn upgrade(&self) -> &Value {
        self.object("guardedupgrades", "m").unwrap_or(&Value::Null)
    }

    /// A person deletes the `GuardedUpgrade`, and Kubernetes collects what only that owned; what was declared.
    fn undeclare(&mut self) -> Value {
        let declared = self.objects.remove(&("guardedupgrades".to_owned(), "m".to_owned())).unwrap();
        self.version += 1;
        for owned in ["jobs", "pods"] {
            let uids: Vec<Value> = self.objects.values().map(|object| object["metadata"]["uid"].clone()).collect();
            let is_owned = |object: &Value| {
                let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
                // Those of ReplicaSets are left to them.
                owners.is_none_or(|owners| owners.iter().any(|owner| owner["kind"] == "ReplicaSet" || uids.contains(&owner["uid"])))
            };
            self.objects.retain(|(plural, _), object| plural != owned || is_owned(object));
        }
        declared
    }

    /// A person declares it anew.
    fn declare(&mut self, mut declared: Value) {
        declared.as_object_mut().unwrap().remove("status");
        let metadata = declared["metadata"].as_object_mut().unwrap();
        ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"].iter().for_each(|field| drop(metadata.remove(*field)));
        self.put("guardedupgrades", declared);
    }

    fn object(&self, plural: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(plural.to_owned(), name.to_owned()))
    }

    fn all(&self, plural: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |((of, _), _)| of == plural).map(|(_, object)| object)
    }

    /// Stores an object where it differs from what is stored, as the API server does; whether it did.
    /// How many receipts of upgrades there are.
    fn receipts(&self) -> usize {
        self.all("upgradereceipts").filter(|receipt| text(receipt, "/spec/kind") != Some(api::OBSERVED)).count()
    }

    /// What receipts tell, in the sequence in which it came to write the data.
    fn witnessed(&self) -> Vec<String> {
        let mut told: Vec<(&str, String)> = self
            .all("upgradereceipts")
            .map(|receipt| {
                let said = |field| text(receipt, field).unwrap();
                (said("/spec/finishedAt"), format!("{} {}", said("/spec/kind"), said("/spec/to")))
            })
            .collect();
        told.sort_unstable();
        told.into_iter().map(|(_, words)| words).collect()
    }

    fn put(&mut self, plural: &str, mut object: Value) -> bool {
        let key = (plural.to_owned(), text(&object, "/metadata/name").unwrap().to_owned());
        let before = self.objects.get(&key);
        if before == Some(&object) {
            return false;
        }
        self.version += 1;
        let generation = before.and_then(|before| before.pointer("/metadata/generation")).and_then(Value::as_u64).unwrap_or_default();
        let is_changed = before.is_none_or(|before| before.get("spec") != object.get("spec"));
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.insert("generation".into(), json!(generation + u64::from(is_changed)));
        metadata.insert("resourceVersion".into(), json!(self.version.to_string()));
        metadata.entry("uid").or_insert_with(|| json!(format!("uid-{}", self.version)));
        let created = written(super::Moment(self.now));
        metadata.entry("creationTimestamp").or_insert_with(|| json!(created));
        self.objects.insert(key, object);
        true
    }

    fn delete(&mut self, plural: &str, name: &str) -> bool {
        self.objects.remove(&(plural.to_owned(), name.to_owned())).is_some()
    }

    fn is_fenced(&self) -> bool {
        self.all("validatingadmissionpolicies").count() > 0 && self.all("validatingadmissionpolicybindings").count() > 0
    }

    fn is_etcd_down(&self) -> bool {
        let (first, rounds) = self.ills.outage;
        (first..first + rounds).contains(&self.rounds)
    }

    /// Time passes, and everybody but the controller does what is due; whether anything moved. `wait`: how long nobody would look.
    fn step(&mut self, wait: Option<u64>) -> bool {
        let before = (self.version, self.objects.len(), self.sessions.clone());
        self.now += wait.unwrap_or(STEP_SECONDS).max(STEP_SECONDS);
        self.evict();
        self.end_pods();
        for component in self.components.clone() {
            self.reconcile(component);
        }
        self.roll_stores();
        self.run_jobs();
        before != (self.version, self.objects.len(), self.sessions.clone())
    }

    fn evicts(&self) -> bool {
        self.now < self.ills.evicts_until
    }

    fn evict(&mut self) {
        let is_new = |pod: &&Value| is_evicted(text(pod, "/spec/containers/0/image").unwrap());
        let pods: Vec<Value> = if self.evicts() { self.all("pods").filter(is_new).cloned().collect() } else { Vec::new() };
        for mut pod in pods {
            pod["metadata"]["deletionTimestamp"] = json!(written(super::Moment(self.now)));
            self.put("pods", pod);
        }
    }

    /// Pods that are being deleted go, and later their sessions.
    fn end_pods(&mut self) {
        let is_due = self.now >= self.ills.session_stays_until;
        let alive: Vec<String> = self.all("pods").filter_map(|pod| text(pod, "/metadata/name")).map(str::to_owned).collect();
        self.sessions.retain(|_, value| !is_due || alive.iter().any(|name| String::from_utf8_lossy(value).contains(name.as_str())));
        let stays = self.now < self.ills.pod_stays_until;
        let ending: Vec<String> = self
            .all("pods")
            .filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_some())
            .map(|pod| text(pod, "/metadata/name").unwrap().to_owned())
            .collect();
        for name in ending.into_iter().skip(usize::from(stays)) {
            self.delete("pods", &name);
        }
    }

    /// What the controllers of a StatefulSet, and of a Deployment that is a store, do, all at once.
    fn roll_stores(&mut self) {
        for mut store in self.all("deployments").filter(|object| label(object, "component").is_none()).cloned().collect::<Vec<_>>() {
            let updated = u64::from(store.pointer("/spec/paused") != Some(&json!(true)));
            store["status"] = json!({"observedGeneration": store["metadata"]["generation"], "replicas": 1, "readyReplicas": 1, "updatedReplicas": updated});
            self.put("deployments", store);
        }
        for mut store in self.all("statefulsets").cloned().collect::<Vec<_>>() {
            store["status"] = json!({"observedGeneration": store["metadata"]["generation"], "readyReplicas": 1, "updatedReplicas": 1});
            self.put("statefulsets", store);
        }
    }

    /// What the controller of a Deployment does, all at once.
    fn reconcile(&mut self, component: &str) {
        let name = format!("m-milvus-{component}");
        let object = self.object("deployments", &name).cloned().unwrap();
        let is_paused = object.pointer("/spec/paused") == Some(&json!(true));
        let mut sets: Vec<Value> = self.all("replicasets").filter(|set| text(set, "/metadata/ownerReferences/0/name") == Some(&name)).cloned().collect();
        let revision = |set: &Value| annotation(set, "deployment.kubernetes.io/revision").unwrap().parse::<u64>().unwrap();
        sets.sort_by_key(revision);
        let newest = sets.last().map(revision).unwrap_or_default();
        let stored = sets.iter().position(|set| without_hash(&set["spec"]["template"]) == object["spec"]["template"]);
        let serving = match stored {
            _ if is_paused => sets.pop(),
            Some(at) => {
                let mut set = sets.remove(at);
                if revision(&set) < newest {
                    set["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!((newest + 1).to_string());
                }
                Some(set)
            }
            None => Some(set_of(&object, newest + 1)),
        };
        let wanted = object["spec"]["replicas"].as_u64().unwrap();
        for set in sets.into_iter().chain(serving.clone()) {
            let is_serving = serving.as_ref() == Some(&set);
            self.scale(set, if is_serving { wanted } else { 0 });
        }
        let mut seen = object;
        if seen["status"]["observedGeneration"] != seen["metadata"]["generation"] {
            let moved = written(super::Moment(self.now));
            seen["status"] = json!({"observedGeneration": seen["metadata"]["generation"],
                "conditions": [{"type": "Progressing", "status": "True", "lastUpdateTime": moved, "lastTransitionTime": moved}]});
            self.put("deployments", seen.clone());
        }
        if self.ills.applier_scales && (self.now / STEP_SECONDS).is_multiple_of(3) && annotation(&seen, STOPPED_ANNOTATION).is_some() {
            let mut wanted = self.object("deployments", &name).cloned().unwrap();
            wanted["spec"]["replicas"] = json!(1);
            self.put("deployments", wanted);
        }
    }

    fn scale(&mut self, mut set: Value, wanted: u64) {
        let name = text(&set, "/metadata/name").unwrap().to_owned();
        let own: Vec<Value> = self.all("pods").filter(|pod| text(pod, "/metadata/ownerReferences/0/name") == Some(&name)).cloned().collect();
        let alive = || own.iter().filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
        let there = alive().count() as u64;
        let ending: Vec<Value> = alive().skip(usize::try_from(wanted).unwrap()).cloned().collect();
        for mut pod in ending {
            pod["metadata"]["deletionTimestamp"] = json!(written(super::Moment(self.now)));
            self.put("pods", pod);
        }
        let is_refused = there < wanted && self.is_fenced();
        if there < wanted && !is_refused {
            self.start(&set, there);
        }
        set["status"] = json!({"replicas": there.min(wanted)});
        self.put("replicasets", set);
    }

    fn start(&mut self, set: &Value, number: u64) {
        let name = format!("{}-{}-{number}", text(set, "/metadata/name").unwrap(), self.version);
        let template = &set["spec"]["template"];
        let component = label(template, "component").unwrap().to_owned();
        let image = text(template, "/spec/containers/0/image").unwrap();
        let expected = if image.ends_with(BEFORE) { of_2_1() } else { of_2_2() };
        if self.metadata != expected {
            self.violations.push(format!("a pod of {image} starts on metadata that it cannot read"));
        }
        if self.all("jobs").any(|job| !is_over(job) && !is_suspended(job)) {
            self.violations.push(format!("a pod of {image} starts beside a Job"));
        }
        let now = written(super::Moment(self.now));
        let is_ready = if self.evicts() && is_evicted(image) { "False" } else { "True" };
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "db", "labels": template["metadata"]["labels"], "creationTimestamp": now,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set["metadata"]["name"], "uid": "x"}]},
            "spec": template["spec"],
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": is_ready, "lastTransitionTime": now}]},
        });
        let role = if component == "standalone" { "rootcoord" } else { component.as_str() };
        self.sessions.insert(format!("{META}session/{role}-{}", self.version), json!({"Address": format!("{name}:21123")}).to_string().into_bytes());
        self.put("pods", pod);
    }

    /// Every Job that may run does: its pod starts in one step and ends in the next.
    fn run_jobs(&mut self) {
        let open: Vec<Value> = self.all("jobs").filter(|job| !is_over(job) && !is_suspended(job)).cloned().collect();
        for job in open {
            let name = format!("{}-x", text(&job, "/metadata/name").unwrap());
            let kind = KINDS.into_iter().find(|kind| label(&job, KIND_LABEL) == Some(kind.name())).unwrap();
            let started = read_moment(text(&job, "/metadata/creationTimestamp").unwrap()).unwrap();
            let is_late = self.now >= started.0 + job["spec"]["activeDeadlineSeconds"].as_u64().unwrap();
            match self.object("pods", &name).cloned() {
                None => {
                    let lacks = json!([{"type": "PodScheduled", "status": "False", "message": "pod has unbound immediate PersistentVolumeClaims"}]);
                    let status = if self.ills.is_unbound { json!({"phase": "Pending", "conditions": lacks}) } else { json!({"phase": "Running"}) };
                    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "db", "labels": job["metadata"]["labels"],
                        "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}]},
                        "spec": job["spec"]["template"]["spec"], "status": status});
                    self.put("pods", pod);
                }
                Some(_) if self.ills.is_unbound && is_late => {
                    self.delete("pods", &name);
                    self.end(job, Err("DeadlineExceeded"));
                }
                Some(_) if self.ills.is_unbound => {}
                Some(pod) if kind == JobKind::Migrate && self.ills.tool == Tool::HangsHalfWritten && !is_late => {
                    self.half_written();
                    let running = json!({"phase": "Running", "initContainerStatuses": ended("milvus-guard", 0, ""),
                        "containerStatuses": [{"name": TOOL, "image": "t", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": written(super::Moment(self.now))}}}]});
                    self.put("pods", with_status(pod, running));
                }
                Some(pod) if kind == JobKind::Migrate && self.ills.tool == Tool::HangsHalfWritten => {
                    self.put(
                        "pods",
                        with_status(
                            pod,
                            json!({"phase": "Failed", "initContainerStatuses": ended("milvus-guard", 0, ""), "containerStatuses": ended(TOOL, 137, "")}),
                        ),
                    );
                    self.end(job, Err("DeadlineExceeded"));
                }
                Some(pod) => {
                    let pod_spec = &job["spec"]["template"]["spec"];
                    let containers = pod_spec["initContainers"].as_array().or(pod_spec["containers"].as_array()).unwrap();
                    let file =
                        containers[0]["args"].as_array().unwrap().iter().find_map(|argument| argument.as_str()?.strip_prefix("--file=")).unwrap().to_owned();
                    let (status, is_good) = self.work(kind, &file);
                    let phase = if is_good { "Succeeded" } else { "Failed" };
                    let mut pod = with_status(pod, status);
                    pod["status"]["phase"] = json!(phase);
                    self.put("pods", pod);
                    self.end(job, if is_good { Ok(()) } else { Err("BackoffLimitExceeded") });
                }
            }
        }
    }

    fn end(&mut self, mut job: Value, ended: Result<(), &str>) {
        let (kind, reason) = match ended {
            Ok(()) => ("Complete", "CompletionsReached"),
            Err(reason) => ("Failed", reason),
        };
        job["status"] = json!({"conditions": [{"type": kind, "status": "True", "reason": reason, "message": reason}]});
        self.put("jobs", job);
    }

    /// What a Job does to metadata and backups: the status of its pod, and whether it ended well.
    fn work(&mut self, kind: JobKind, file: &str) -> (Value, bool) {
        let ours = |error: Option<&str>, words: Value| {
            let words = error.map_or(words, |error| json!({"error": error}));
            (json!({"containerStatuses": ended("milvus-guard", i32::from(error.is_some()), &words.to_string())}), error.is_none())
        };
        let refused = if self.is_etcd_down() { Some("etcd gives no answer") } else { self.ills.failing.contains(&kind).then_some("it was told to fail") };
        let is_same = self.backups.get(file) == Some(&self.metadata);
        match kind {
            _ if refused.is_some() && kind != JobKind::Migrate => ours(refused, Value::Null),
            JobKind::Backup => {
                self.backups.insert(file.to_owned(), self.metadata.clone());
                ours(None, json!({}))
            }
            JobKind::Verify if !is_same => ours(Some("the backup is not what is in etcd"), Value::Null),
            JobKind::Verify => {
                let counts = Counts::of_keys(self.metadata.keys(), META);
                ours(None, json!({"of": "m/meta", "revision": 5, "entries": self.metadata.len(), "digest": "sha256:x", "layout": "2.1", "counts": counts}))
            }
            JobKind::Restore => {
                self.metadata = self.backups.get(file).unwrap().clone();
                ours(None, json!({}))
            }
            JobKind::Migrate => {
                let lives = self.all("pods").any(|pod| label(pod, KIND_LABEL).is_none());
                if lives || !self.sessions.is_empty() || !is_same || self.metadata != of_2_1() || refused.is_some() {
                    if lives || !is_same {
                        self.violations.push("the migration was begun beside a pod, or without a backup".into());
                    }
                    let status = json!({"initContainerStatuses": ended("milvus-guard", 1, r#"{"error":"not fit to migrate"}"#),
                        "containerStatuses": [{"name": TOOL, "image": "t", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}]});
                    return (status, false);
                }
                let is_good = matches!(self.ills.tool, Tool::Works | Tool::DoesNothing);
                match self.ills.tool {
                    Tool::Works => self.metadata = of_2_2(),
                    Tool::DoesNothing | Tool::FailsFirst => {}
                    // Collections first, as upstream deletes.
                    Tool::DiesHalfDeleted => self.metadata.retain(|key, _| !key.contains("root-coord/collection")),
                    Tool::DiesHalfWritten | Tool::HangsHalfWritten => self.half_written(),
                }
                let tool = ended(TOOL, i32::from(!is_good), "the tool's last words");
                (json!({"initContainerStatuses": ended("milvus-guard", 0, ""), "containerStatuses": tool}), is_good)
            }
        }
    }

    fn half_written(&mut self) {
        self.metadata = of_2_2();
        self.metadata.retain(|key, _| !key.contains("segment-index/"));
    }
}

/// Nothing of Helm's on it: whether a revision is pending is not what is tried here.
fn of_kubectl(mut object: Value) -> Value {
    object["metadata"]["annotations"].as_object_mut().unwrap().remove("meta.helm.sh/release-name");
    ["uid", "resourceVersion", "generation"].iter().for_each(|field| drop(object["metadata"].as_object_mut().unwrap().remove(*field)));
    let pod = &mut object["spec"]["template"]["spec"];
    pod["containers"][0]["volumeMounts"] = json!([{"name": "milvus-config", "mountPath": "/milvus/configs/milvus.yaml", "subPath": "milvus.yaml"}]);
    pod["volumes"] = json!([{"name": "milvus-config", "configMap": {"name": "m-milvus"}}]);
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    let all = object["metadata"].as_object_mut().unwrap().entry("labels").or_insert_with(|| json!({}));
    all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
    object
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    template["metadata"]["labels"].as_object_mut().unwrap().remove(HASH_LABEL);
    template
}

fn set_of(deployment: &Value, revision: u64) -> Value {
    let name = format!("{}-{revision}", text(deployment, "/metadata/name").unwrap());
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"][HASH_LABEL] = json!(format!("h{revision}"));
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "db", "labels": template["metadata"]["labels"], "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"], "uid": deployment["metadata"]["uid"]}]},
        "spec": {"selector": {}, "template": template}, "status": {"replicas": 0}})
}

fn with_status(mut pod: Value, status: Value) -> Value {
    pod["status"] = status;
    pod
}

/// The statuses of one container that has ended.
fn ended(name: &str, code: i32, words: &str) -> Value {
    let state = json!({"terminated": {"exitCode": code, "startedAt": "2026-11-21T20:00:00Z", "finishedAt": "2026-11-21T20:00:01Z", "message": words}});
    json!([{"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state}])
}

fn is_evicted(image: &str) -> bool {
    image.ends_with("v2.5.22")
}

fn is_over(job: &Value) -> bool {
    job.pointer("/status/conditions").is_some()
}

fn is_suspended(job: &Value) -> bool {
    job.pointer("/spec/suspend") == Some(&json!(true))
}
