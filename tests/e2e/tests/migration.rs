//! The metadata migration of 2.2 from end to end: the real controller, real Helm, and metadata in a real etcd of each release's own. Upstream's tool is a stand-in that does what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use milvus_guard_e2e::commands::{Ended, Program};
use milvus_guard_e2e::control_plane::{ControlPlane, free_port};
use milvus_guard_e2e::etcd::{self, All, Keys};
use milvus_guard_e2e::kubelet::Behaviour;
use milvus_guard_e2e::metadata::of_2_1;
use milvus_guard_e2e::metadata::tool::of_2_2;
use milvus_guard_e2e::process::Process;
use milvus_guard_e2e::sandbox::{PATIENCE, Sandbox, wait};
use milvus_guard_e2e::webhook::{Controller, Installed, binary};
use serde_json::{Value, json};

use crate::doctor::guard;
use crate::rights::{asked, of_migrations};
use crate::unguarded::line;
use crate::upgrades::run_helm;

pub(crate) const BEFORE: &str = "3.2.18";
pub(crate) const AFTER: &str = "4.0.34";

/// What else is said on the way from one to the other.
pub(crate) const INTO_2_2: &str = ",image.all.tag=v2.2.16,minio.image.tag=RELEASE.2022-03-17T06-34-49Z";

/// A release of Milvus 2.1.4 with metadata in an etcd of its own.
pub(crate) struct Release {
    pub(crate) sandbox: Sandbox,
    pub(crate) keys: Keys,
    pub(crate) before: All,
    _etcd: Process,
}

/// A guard and a controller for some releases.
pub(crate) struct Guarded {
    pub(crate) releases: Vec<Release>,
    guard: Installed,
    pub(crate) controller: Controller,
}

impl Guarded {
    /// One release for each name.
    async fn new(name: &str, releases: &[&str]) -> Option<Self> {
        let plane = ControlPlane::shared(name).await?;
        let admin = plane.admin().await;
        class_for_backups(&admin.client).await;
        let mut all = Vec::new();
        for release in releases {
            all.push(Release::new(plane, release).await);
        }
        Some(Self::over(plane, name, all, &[]).await)
    }

    /// For releases that are there; the guard judges more namespaces besides: those of GitOps tools.
    pub(crate) async fn over(plane: &'static ControlPlane, name: &str, releases: Vec<Release>, beside: &[&str]) -> Self {
        let namespaces: Vec<&str> = releases.iter().map(|release| release.sandbox.namespace.as_str()).collect();
        let sets = ["gates.helmStorage.failurePolicy=Fail", "gates.helmStorage.doubt=refuse", "limits.budget=8s", "log.level=debug"];
        let timeouts = ["helmStorage", "gitops", "workloads", "dependencies", "own"].map(|gate| format!("gates.{gate}.timeoutSeconds=10"));
        let sets: Vec<&str> = sets.into_iter().chain(timeouts.iter().map(String::as_str)).collect();
        let guard = Installed::new(plane, name, 1, &[&namespaces, beside].concat(), &sets).await;
        let mut controller = guard.controller(&format!("controller-{name}"), &namespaces);
        controller.wait_until_ready().await;
        Self { releases, guard, controller }
    }
}

/// Where backups are kept: the StorageClass `backups`.
pub(crate) async fn class_for_backups(admin: &Client) {
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "backups"}, "provisioner": "example.com/none"});
    Api::<StorageClass>::all(admin.clone()).patch("backups", &PatchParams::apply("e2e").force(), &Patch::Apply(&class)).await.unwrap();
}

impl Release {
    /// One that Helm 3 installed, and that runs.
    pub(crate) async fn new(plane: &'static ControlPlane, name: &str) -> Self {
        let release = Self::with_metadata(plane, name).await;
        let installed = run_helm(&release.sandbox, Program::Helm3, "install", BEFORE, "").await;
        assert!(installed.status.success(), "{installed}");
        release.sandbox.wait_until_rolled_out().await;
        release
    }

    /// Only its metadata, in an etcd of its own.
    pub(crate) async fn with_metadata(plane: &'static ControlPlane, name: &str) -> Self {
        let sandbox = Sandbox::on(plane, name).await;
        let log = plane.folder().join(format!("etcd-of-{}.log", sandbox.namespace));
        let mut started: Option<(Process, Keys)> = None;
        let (etcd, keys) = wait("an etcd", async || {
            // A port that was free a moment ago may be another's now.
            if started.as_mut().is_none_or(|(etcd, _)| etcd.ended().is_some()) {
                let keys = Keys { port: free_port() };
                let data = sandbox.folder().join(format!("etcd-{}", keys.port));
                started = Some((etcd::start(plane.programs(), &data, &log, &[etcd::plain(keys.port)], &[]), keys));
            }
            let keys = started.as_ref().map(|(_, keys)| *keys)?;
            keys.try_ask("/v3/kv/range", &json!({"key": "YQ=="})).await.ok()?;
            // Whoever else has the port does not count.
            started.take_if(|(etcd, _)| etcd.ended().is_none())
        })
        .await;
        let before = of_2_1("by-dev", 3, 5);
        keys.put_all(&before).await;
        Self { sandbox, keys, before, _etcd: etcd }
    }

    fn upgrades(&self) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("guard.milvus-guard.dev", "v1alpha1", "GuardedUpgrade"));
        Api::namespaced_with(self.sandbox.admin.clone(), &self.sandbox.namespace, &resource)
    }

    /// Declares the upgrade; `image`: of the tool.
    pub(crate) async fn declare(&self, more: Value) {
        let mut migration = json!({"etcdEndpoints": [format!("127.0.0.1:{}", self.keys.port)], "storageClass": "backups"});
        migration.as_object_mut().unwrap().extend(more["metadataMigration"].as_object().cloned().unwrap_or_default());
        let mut spec = json!({"to": "2.2.16"});
        spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        spec["metadataMigration"] = migration;
        let object = json!({"apiVersion": "guard.milvus-guard.dev/v1alpha1", "kind": "GuardedUpgrade", "metadata": {"name": "m"}, "spec": spec});
        let admin = self.sandbox.plane.admin().await;
        let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=person", "-n", &self.sandbox.namespace, "-f", "-"];
        self.sandbox.command_as(&admin, Program::Kubectl, apply).input(object.to_string()).ok().await;
    }

    async fn upgrade(&self) {
        let ended = run_helm(&self.sandbox, Program::Helm3, "upgrade", AFTER, INTO_2_2).await;
        assert!(ended.status.success(), "{ended}");
    }

    pub(crate) async fn status(&self) -> Value {
        self.upgrades().get_opt("m").await.unwrap().map_or(Value::Null, |object| object.data["status"].clone())
    }

    /// Waits until the upgrade is in a phase and, where it stops, for that reason.
    pub(crate) async fn reaches(&self, phase: &str, reason: &str, controller: &Process) -> Value {
        let begin = Instant::now();
        loop {
            let status = self.status().await;
            let stalled = status["conditions"].as_array().into_iter().flatten().any(|condition| condition["reason"] == reason);
            if status["phase"] == phase && (reason.is_empty() || stalled) {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "{}: not {phase} {reason}: {status:#}\n{}", self.sandbox.namespace, controller.tail());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn all(&self) -> All {
        self.keys.all("by-dev/").await
    }

    /// What 2.2 finds: what the tool makes of it, and what it leaves.
    pub(crate) fn after(&self) -> All {
        let gone = ["root-coord/collection", "root-coord/index/", "root-coord/segment-index/", "root-coord/dd-", "indexes/"];
        let is_left = |key: &str| {
            let below = key.strip_prefix("by-dev/meta/").map(|below| below.strip_prefix("snapshots/").unwrap_or(below));
            below.is_none_or(|below| !gone.iter().any(|gone| below.starts_with(gone)))
        };
        let mut after: All = self.before.iter().filter(|(key, _)| is_left(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
        after.extend(of_2_2(&self.before, "by-dev/meta"));
        after
    }

    /// Replicas of each Deployment of Milvus.
    pub(crate) async fn replicas(&self) -> BTreeMap<String, i32> {
        let all = self.sandbox.api::<Deployment>().list(&ListParams::default().labels("app.kubernetes.io/name=milvus")).await.unwrap();
        all.items.iter().map(|deployment| (deployment.name_any(), deployment.spec.as_ref().unwrap().replicas.unwrap_or(1))).collect()
    }

    /// Images of the pods of Milvus that are there.
    pub(crate) async fn runs(&self) -> Vec<String> {
        let pods = self.sandbox.pods().await;
        let milvus = pods.iter().filter(|pod| pod.labels().get("app.kubernetes.io/name").is_some_and(|name| name == "milvus"));
        let mut images: Vec<String> = milvus.filter_map(|pod| pod.spec.as_ref()?.containers[0].image.clone()).collect();
        images.sort();
        images.dedup();
        images
    }

    pub(crate) async fn fences(&self) -> String {
        let admin = self.sandbox.plane.admin().await;
        let label = format!("guard.milvus-guard.dev/fence-namespace={}", self.sandbox.namespace);
        let kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings";
        self.sandbox.command_as(&admin, Program::Kubectl, ["get", kinds, "-l", &label, "-o", "name"]).ok().await.stdout
    }

    /// Waits until the fence is in force, some time after it was put up; how it refuses a pod.
    pub(crate) async fn is_fenced_in(&self) -> Ended {
        let admin = self.sandbox.plane.admin().await;
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "by-hand", "labels": {
            "app.kubernetes.io/name": "milvus", "app.kubernetes.io/instance": "m", "component": "rootcoord"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}});
        wait("a fence in force", async || {
            let create = ["create", "--dry-run=server", "-n", &self.sandbox.namespace, "-f", "-"];
            let ended = self.sandbox.command_as(&admin, Program::Kubectl, create).input(pod.to_string()).run().await;
            (!ended.status.success()).then_some(ended)
        })
        .await
    }

    /// The backups of all attempts.
    fn backups(&self) -> Vec<PathBuf> {
        let claims = milvus_guard_e2e::kubelet::jobs::claim_folder(&self.sandbox.namespace, "x");
        let folders = std::fs::read_dir(claims.parent().unwrap()).unwrap().flatten();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten()).map(|file| file.path());
        files.filter(|file| file.extension().is_some_and(|extension| extension == "bak")).collect()
    }

    /// Deletes the GuardedUpgrade, of which Kubernetes then collects no Job, and declares it again.
    async fn declare_anew(&self) {
        let owners = ["get", "jobs", "-o", "jsonpath={.items[*].metadata.ownerReferences[*].kind}"];
        assert!(self.sandbox.kubectl(owners).ok().await.stdout.contains("GuardedUpgrade"));
        let admin = self.sandbox.plane.admin().await;
        let delete = ["delete", "gu", "m", "-n", &self.sandbox.namespace];
        self.sandbox.command_as(&admin, Program::Kubectl, delete).ok().await;
        wait("the collector of garbage", async || {
            let left = self.sandbox.kubectl(owners).ok().await.stdout;
            (!left.contains("GuardedUpgrade") && left.contains("Deployment")).then_some(())
        })
        .await;
        assert_eq!((self.runs().await, self.fences().await.lines().count()), (vec![], 2));
        let advice = crate::doctor::stdout(&crate::doctor::guard(&admin, &["doctor", "-n", &self.sandbox.namespace]).await);
        assert!(advice.contains("Declare the upgrade again: a GuardedUpgrade m"), "{advice}");
        self.declare(json!({})).await;
    }
}

#[tokio::test]
async fn metadata_is_migrated_before_the_first_pod_of_2_2() {
    let Some(mut guarded) = Guarded::new("migrates", &["migrated"]).await else { return };
    let release = &guarded.releases[0];
    let replicas = release.replicas().await;
    // A hook of Helm is not needed here.
    let hook = line(release, &["--yes", "--within-hook"]);
    let refused = guard(&release.sandbox.plane.admin().await, &hook.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && told.contains("a guard judges namespace") && told.contains(r#""kind":"GuardedUpgrade""#), "{refused:?}");
    release.declare(json!({})).await;
    release.reaches("Prepared", "", guarded.controller.process()).await;
    // A session that outlives its pod for a while is waited for.
    let session = release.keys.put_leased("by-dev/meta/session/querynode-9", br#"{"Address":"10.0.0.9:21123"}"#, 300).await;
    release.upgrade().await;
    wait("the wait for the session", async || release.status().await["waitingFor"].as_str().is_some_and(|words| words.contains("1 sessions")).then_some(()))
        .await;
    assert_eq!((release.runs().await, release.all().await.len()), (vec![], release.before.len() + 1));
    // Whoever puts replicas back gets no pod.
    let admin = release.sandbox.plane.admin().await;
    let refused = release.is_fenced_in().await;
    assert!(refused.stderr.contains("is stopped while its metadata is migrated") && refused.stderr.contains("milvus-guard cleanup m"), "{refused}");
    guarded.controller.restart();
    release.keys.end_lease(&session).await;
    // Killed whenever a step has begun: every point is tried without a cluster (webhook/src/migration/crash-points.md), some of them here.
    for kind in ["backup", "verify", "migrate"] {
        let jobs = ["get", "jobs", "-l", &format!("guard.milvus-guard.dev/job={kind}"), "-o", "name"].map(str::to_owned);
        wait(kind, async || (!release.sandbox.kubectl(&jobs).ok().await.stdout.is_empty()).then_some(())).await;
        // Deleted, and declared again: the next attempt goes on from there.
        if kind == "verify" {
            guarded.controller.process().kill();
            release.declare_anew().await;
        }
        guarded.controller.restart();
    }
    wait("2.2", async || release.sandbox.starts().iter().any(|start| start.image().ends_with("v2.2.16")).then_some(())).await;
    guarded.controller.restart();

    let status = release.reaches("Completed", "", guarded.controller.process()).await;
    assert_eq!(release.all().await, release.after());
    assert_eq!((release.replicas().await, release.fences().await), (replicas, String::new()));
    assert_eq!(release.runs().await, ["milvusdb/milvus:v2.2.16"]);
    // No pod of 2.1 was started after the upgrade began.
    let starts = release.sandbox.starts();
    let first = starts.iter().position(|start| start.image().ends_with("v2.2.16")).unwrap();
    assert!(starts[first..].iter().all(|start| !start.image().ends_with("v2.1.4")));
    let backups = release.backups();
    assert!(!backups.is_empty() && backups.iter().all(|file| file.metadata().unwrap().len() > 1_000), "those of both attempts stay: {backups:?}");
    let receipt = status["receipt"].as_str().unwrap();
    let receipt =
        release.sandbox.command_as(&admin, Program::Kubectl, ["get", "ur", receipt, "-o", "json", "-n", &release.sandbox.namespace]).ok().await.json();
    assert_eq!(receipt["spec"]["kind"], "MetadataMigration");
    assert!(receipt["spec"]["backupDigest"].as_str().unwrap().starts_with("sha256:"), "{receipt:#}");
    let (asked, denied) = asked(&release.sandbox, &guarded.guard.controller_account().name);
    assert_eq!(denied, BTreeSet::new(), "denied to the controller");
    assert_eq!(of_migrations().difference(&asked).collect::<Vec<_>>(), Vec::<&(String, String, String)>::new(), "granted for migrations, and never asked for");
}

/// What goes wrong, what it comes to, and whether upstream's tool had begun.
struct Fault {
    name: &'static str,
    /// What follows the tag of the tool's image.
    tool: &'static str,
    /// What kubelets do with the Job of this kind.
    job: Option<(&'static str, Behaviour)>,
    /// More of the spec.
    more: Value,
    /// The phase and the reason that it ends in.
    ends: (&'static str, &'static str),
    /// Whether 2.1 runs again.
    runs_before: bool,
}

#[tokio::test]
async fn whatever_goes_wrong_metadata_is_whole_and_2_1_runs_again_or_nothing() {
    let fault = |name, tool, job, more, ends, runs_before| Fault { name, tool, job, more, ends, runs_before };
    let faults = [
        fault("first", "fails-first", None, json!({}), ("Paused", "MigrationFailed"), true),
        fault("deleted", "dies-half-deleted", None, json!({}), ("Paused", "MigrationFailed"), true),
        fault("written", "dies-half-written", None, json!({}), ("Paused", "MigrationFailed"), true),
        fault("hangs", "hangs-half-written", None, json!({"timeouts": {"migration": "50s"}}), ("Paused", "MigrationFailed"), true),
        fault("nothing", "does-nothing", None, json!({}), ("Paused", "MigrationFailed"), true),
        fault("nobackup", "", Some(("backup", Behaviour::CrashLooping)), json!({}), ("Paused", "MigrationFailed"), true),
        fault("empty", "", Some(("backup", Behaviour::LosingFiles)), json!({}), ("Paused", "MigrationFailed"), true),
        fault("norestore", "dies-half-deleted", Some(("restore", Behaviour::CrashLooping)), json!({}), ("Paused", "RestoreFailed"), false),
    ];
    let names: Vec<&str> = faults.iter().map(|fault| fault.name).chain(["commanded"]).collect();
    let Some(mut guarded) = Guarded::new("faults", &names).await else { return };
    // Meanwhile one is migrated by the command, which declares the upgrade and follows the controller.
    let commanded = &guarded.releases[faults.len()];
    let admin = commanded.sandbox.plane.admin().await;
    let mut command = tokio::process::Command::new(binary());
    command.args(line(commanded, &["--yes"])).env("KUBECONFIG", &admin.kubeconfig).stdout(Stdio::piped()).stderr(Stdio::piped());
    let command = command.kill_on_drop(true).spawn().unwrap();
    for (fault, release) in faults.iter().zip(&guarded.releases) {
        if let Some((kind, behaviour)) = fault.job {
            release.sandbox.behave(|pods| pods.label("guard.milvus-guard.dev/job", kind), behaviour);
        }
        let mut more = fault.more.clone();
        more["metadataMigration"] = json!({"image": format!("milvusdb/meta-migration:v2.2.0-{}", fault.tool)});
        release.declare(more).await;
    }
    for release in guarded.releases.iter().take(faults.len()) {
        release.reaches("Prepared", "", guarded.controller.process()).await;
        release.upgrade().await;
    }
    let mut table = String::from("fault | ends | metadata | runs | says\n");
    for (fault, release) in faults.iter().zip(&guarded.releases) {
        let status = release.reaches(fault.ends.0, fault.ends.1, guarded.controller.process()).await;
        let is_whole = release.all().await == release.before;
        if fault.runs_before {
            release.sandbox.wait_until_ready().await;
        }
        let runs = release.runs().await;
        table += &format!(
            "{} | {} {} | {} | {runs:?} | {}\n",
            fault.name,
            fault.ends.0,
            fault.ends.1,
            if is_whole { "as before" } else { "not as before" },
            status["message"]
        );
        assert_eq!(is_whole, fault.runs_before, "{table}");
        let expected: &[&str] = if fault.runs_before { &["milvusdb/milvus:v2.1.4"] } else { &[] };
        assert_eq!(runs, expected, "{table}");
        assert_eq!(release.fences().await.is_empty(), fault.runs_before, "{table}");
    }
    milvus_guard_e2e::programs::say(&table);
    let done = command.wait_with_output().await.unwrap();
    assert!(done.status.success() && String::from_utf8_lossy(&done.stdout).contains("image.all.tag: v2.2.16"), "{done:?}");
    let status = commanded.status().await;
    assert_eq!((&status["phase"], &status["from"]), (&json!("Completed"), &json!("2.1.4")), "{status:#}");
    assert_eq!((commanded.all().await, commanded.runs().await), (commanded.after(), vec!["milvusdb/milvus:v2.2.16".to_owned()]));

    // A retry forgets none of it: what was not put back is put back from the backup of the attempt before.
    let (left, whole) = (&guarded.releases[7], &guarded.releases[1]);
    left.sandbox.behave(|pods| pods.label("guard.milvus-guard.dev/job", "restore"), Behaviour::ReadyAfter(Duration::ZERO));
    left.declare(json!({"retry": 1})).await;
    left.reaches("Paused", "MigrationFailed", guarded.controller.process()).await;
    left.sandbox.wait_until_ready().await;
    assert_eq!((left.all().await == left.before, left.runs().await), (true, vec!["milvusdb/milvus:v2.1.4".to_owned()]));
    whole.declare(json!({"retry": 1})).await;
    whole.reaches("Completed", "", guarded.controller.process()).await;
    assert_eq!(whole.all().await, whole.after());
}
