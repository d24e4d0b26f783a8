//! The guard leaves, wanted or not, in every phase of an upgrade: nothing of it stays, nothing restarts, and nothing hangs.

use futures::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use milvus_guard_e2e::commands::{Ended, Program};
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::sandbox::{Sandbox, wait};
use milvus_guard_e2e::users::User;
use milvus_guard_e2e::webhook::{Installed, binary};
use serde_json::{Value, json};

use crate::gates::SMALL;
use crate::gitops::define;

/// How far an upgrade is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was changed yet; values stand ready to be carried.
    Before,
    /// The change is stored and nothing of it runs; a HelmRelease was mutated, too.
    Held,
    /// Its etcd and MinIO were let go, its Milvus not.
    Partly,
    /// All of it was let go and runs.
    Finished,
    /// Its Milvus is stopped for a migration of metadata.
    Migrating,
}

const PHASES: [Phase; 5] = [Phase::Before, Phase::Held, Phase::Partly, Phase::Finished, Phase::Migrating];

/// A release named `m` in a namespace of its own.
struct Release {
    phase: Phase,
    sandbox: Sandbox,
    account: User,
}

const MILVUS: &str = "deployment/m-milvus-standalone";

impl Release {
    async fn install(plane: &'static ControlPlane, phase: Phase, account: &User) -> Self {
        let sandbox = Sandbox::on(plane, &format!("{phase:?}").to_lowercase()).await;
        let release = Self { phase, sandbox, account: account.clone() };
        release.helm(Program::Helm4, "install", if phase == Phase::Migrating { "3.2.18" } else { "4.2.20" }, &[]).await;
        release.sandbox.wait_until_rolled_out().await;
        release
    }

    async fn helm(&self, helm: Program, verb: &str, version: &str, more: &[&str]) -> Ended {
        let chart = self.sandbox.chart(version);
        let mut arguments = vec![verb, "m", chart.to_str().unwrap(), "--set", SMALL];
        arguments.extend(more);
        self.sandbox.helm(helm, arguments).ok().await
    }

    /// Brings it into its phase. The guard's own account stands for its controller.
    async fn advance(&self, round: u32) {
        match self.phase {
            // Its HelmRelease was stored before its values were there to be carried.
            Phase::Before => {
                self.apply(&helm_release(round)).await;
                self.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "milvus-guard-carried-m"}})).await;
                assert_eq!(self.get("helmrelease/m").await["spec"]["upgrade"]["preserveValues"], true);
            }
            Phase::Held => {
                self.helm(Program::Helm4, "upgrade", "4.2.58", &[]).await;
                self.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "milvus-guard-carried-m"}})).await;
                self.apply(&helm_release(round)).await;
                assert_eq!(self.get("helmrelease/m").await["spec"]["valuesFrom"][0]["name"], "milvus-guard-carried-m");
            }
            Phase::Partly => {
                self.helm(Program::Helm4, "upgrade", "4.2.58", &[]).await;
                self.declare("2.5.16", "Running").await;
                self.let_go("statefulset/m-etcd").await;
                self.let_go("deployment/m-minio").await;
                self.sandbox.wait_until_rolled_out_but("m-milvus-standalone").await;
            }
            Phase::Finished => {
                self.helm(Program::Helm4, "upgrade", "4.2.58", &[]).await;
                self.declare("2.5.16", "Running").await;
                for object in ["statefulset/m-etcd", "deployment/m-minio", MILVUS] {
                    self.let_go(object).await;
                }
                self.sandbox.wait_until_rolled_out().await;
                self.declare("2.5.16", "Completed").await;
            }
            Phase::Migrating => {
                self.declare("2.2.16", "Prepared").await;
                self.helm(Program::Helm4, "upgrade", "4.0.31", &["--set", "image.all.tag=v2.2.16,minio.image.tag=RELEASE.2022-03-17T06-34-49Z"]).await;
                self.declare("2.2.16", "Running").await;
                self.patch(MILVUS, &json!({"metadata": {"annotations": {"guard.milvus-guard.dev/stopped": "1"}}, "spec": {"replicas": 0}})).await;
                wait("Milvus stopped", async || self.sandbox.pods().await.iter().all(|pod| !pod.name_any().contains("standalone")).then_some(())).await;
            }
        }
        let is_held = matches!(self.phase, Phase::Held | Phase::Partly | Phase::Migrating);
        assert_eq!(self.get(MILVUS).await["spec"]["paused"] == true, is_held, "{:?}", self.phase);
    }

    async fn get(&self, what: &str) -> Value {
        self.as_account(&["get", what, "-o", "json"]).ok().await.json()
    }

    fn as_account(&self, arguments: &[&str]) -> milvus_guard_e2e::commands::Invocation {
        let mut all = arguments.to_vec();
        all.extend(["-n", &self.sandbox.namespace]);
        self.sandbox.command_as(&self.account, Program::Kubectl, all)
    }

    /// As a person would, whom the gates judge.
    async fn apply(&self, object: &Value) {
        let admin = self.sandbox.plane.admin().await;
        let arguments = ["apply", "--server-side", "-n", &self.sandbox.namespace, "-f", "-"];
        self.sandbox.command_as(&admin, Program::Kubectl, arguments).input(object.to_string()).ok().await;
    }

    async fn patch(&self, what: &str, patch: &Value) {
        self.as_account(&["patch", what, "--type=merge", "-p", &patch.to_string()]).ok().await;
    }

    async fn declare(&self, to: &str, phase: &str) {
        self.apply(&json!({"apiVersion": "guard.milvus-guard.dev/v1alpha1", "kind": "GuardedUpgrade", "metadata": {"name": "m"}, "spec": {"to": to}})).await;
        let status = json!({"status": {"phase": phase}}).to_string();
        self.as_account(&["patch", "guardedupgrade/m", "--subresource=status", "--type=merge", "-p", &status]).ok().await;
    }

    async fn let_go(&self, what: &str) {
        let gone = ["hold", "change", "template", "blocked", "declared", "serving", "serving-chart", "partition"]
            .map(|name| (format!("guard.milvus-guard.dev/{name}"), Value::Null));
        let spec = if what.starts_with("stateful") { json!({"updateStrategy": {"rollingUpdate": {"partition": 0}}}) } else { json!({"paused": null}) };
        self.patch(
            what,
            &json!({"metadata": {"labels": {"guard.milvus-guard.dev/held": null}, "annotations": serde_json::Map::from_iter(gone)}, "spec": spec}),
        )
        .await;
    }

    /// Pods by name and uid.
    async fn pods(&self) -> Vec<(String, String)> {
        let mut pods: Vec<_> = self.sandbox.pods().await.iter().map(|pod| (pod.name_any(), pod.uid().unwrap())).collect();
        pods.sort();
        pods
    }

    /// What still names the guard: nothing but what the user declared.
    async fn must_be_clean(&self, pods_before: &[(String, String)]) {
        self.sandbox.wait_until_rolled_out().await;
        for (key, object) in self.sandbox.objects().await {
            // Into the history of a StatefulSet Kubernetes copies annotations; receipts are kept.
            let may_stay = ["GuardedUpgrade/", "UpgradeReceipt/", "ControllerRevision/"].iter().any(|kind| key.starts_with(kind));
            assert!(may_stay || !object.contains("milvus-guard"), "{:?}: {key} still names the guard: {object}", self.phase);
        }
        let pods = self.pods().await;
        // A stopped Milvus starts again; nothing else is started or ended.
        let started: Vec<_> = pods.iter().filter(|pod| !pods_before.contains(pod)).collect();
        assert!(pods_before.iter().all(|pod| pods.contains(pod)), "{:?}: a pod was ended: {pods_before:?}, {pods:?}", self.phase);
        assert_eq!(started.len(), usize::from(self.phase == Phase::Migrating), "{:?}: {started:?}", self.phase);
        let serves = match self.phase {
            Phase::Before | Phase::Held | Phase::Partly => "milvusdb/milvus:v2.4.16",
            Phase::Finished => "milvusdb/milvus:v2.5.16",
            Phase::Migrating => "milvusdb/milvus:v2.1.4",
        };
        let milvus = self.get(MILVUS).await;
        let spec = &milvus["spec"];
        assert_eq!((&spec["template"]["spec"]["containers"][0]["image"], &spec["replicas"]), (&json!(serves), &json!(1)), "{:?}", self.phase);
        if matches!(self.phase, Phase::Before | Phase::Held) {
            let flux = self.get("helmrelease/m").await;
            assert_eq!((&flux["spec"]["upgrade"]["preserveValues"], flux["spec"].get("valuesFrom")), (&json!(true), None));
            self.as_account(&["get", "secret/milvus-guard-carried-m"]).fails().await;
        }
    }
}

fn helm_release(minutes: u32) -> Value {
    json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "m"}, "spec": {"interval": format!("{minutes}m"),
        "chart": {"spec": {"chart": "milvus", "version": "4.2.58", "sourceRef": {"kind": "HelmRepository", "name": "zilliz"}}},
        "upgrade": {"preserveValues": true}, "values": {"cluster": {"enabled": false}, "pulsar": {"enabled": false}}}})
}

/// What the whole cluster has of a guard: nothing, once it is gone.
async fn cluster_must_be_clean(sandbox: &Sandbox) {
    let admin = sandbox.plane.admin().await;
    let kinds = "clusterroles,clusterrolebindings,validatingwebhookconfigurations,mutatingwebhookconfigurations";
    let listed = sandbox.command_as(&admin, Program::Kubectl, ["get", kinds, "-o", "name"]).ok().await.stdout;
    // The first is the test's own, for what stands for the controller.
    let left: Vec<&str> = listed.lines().filter(|name| name.contains("milvus-guard") && !name.contains("e2e")).collect();
    assert!(left.is_empty(), "{left:?}");
}

pub(crate) async fn gone(plane: &ControlPlane, namespaces: &[&str]) {
    let all: Api<Namespace> = Api::all(plane.admin().await.client);
    for name in namespaces {
        all.delete(name, &DeleteParams::default()).await.unwrap();
    }
    for name in namespaces {
        wait(&format!("{name} gone"), async || all.get_opt(name).await.unwrap().is_none().then_some(())).await;
    }
}

/// `milvus-guard cleanup` from a laptop, as an administrator.
async fn cleanup(plane: &ControlPlane, arguments: &[&str]) -> std::process::Output {
    let mut command = tokio::process::Command::new(binary());
    command.arg("cleanup").args(arguments).env("KUBECONFIG", plane.admin_kubeconfig());
    command.output().await.unwrap()
}

/// What the guard's account may do besides its own rights, as a controller will.
async fn may_control(plane: &ControlPlane, guard: &Installed) {
    let bindings: Api<ClusterRoleBinding> = Api::all(plane.admin().await.client);
    // One of an account with the same name, of a guard that is gone, serves again.
    if !bindings.list(&ListParams::default()).await.unwrap().iter().any(|binding| binding.name_any().contains(&guard.namespace)) {
        plane.bind_everywhere(&guard.account, "e2e-controller").await;
    }
}

#[tokio::test]
async fn the_guard_leaves_in_every_phase_and_nothing_of_it_stays() {
    let Some(plane) = ControlPlane::own("leaving").await else { return };
    let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "patch"]}]);
    plane.cluster_role("e2e-controller", all).await;
    let first = Installed::new(plane, "first", 2, &[], &[]).await;
    may_control(plane, &first).await;
    let mut releases = join_all(PHASES.map(|phase| Release::install(plane, phase, &first.account))).await;
    define(&releases[0].sandbox).await;

    // Uninstalled: refused while something is open, and nothing was touched; clean by force.
    join_all(releases.iter().map(|release| release.advance(1))).await;
    let pods = join_all(releases.iter().map(Release::pods)).await;
    let (ended, printed) = first.uninstall(Program::Helm3).await;
    assert!(!ended.status.success(), "{ended}");
    for release in &releases {
        let is_open = matches!(release.phase, Phase::Partly | Phase::Migrating);
        assert_eq!(printed.contains(&format!("{}/m", release.sandbox.namespace)), is_open, "{printed}");
    }
    assert_eq!(releases[1].get(MILVUS).await["spec"]["paused"], true);
    let chart = milvus_guard_e2e::programs::repository().join("charts/milvus-guard");
    // Helm takes a release that it began to uninstall for gone, until it is rolled back.
    first.helm(Program::Helm3, "rollback", &["1"]).ok().await;
    first.helm(Program::Helm3, "upgrade", &[chart.to_str().unwrap(), "--reuse-values", "--set=uninstall.force=true"]).ok().await;
    let (ended, printed) = first.uninstall(Program::Helm4).await;
    assert!(ended.status.success(), "{ended}\n{printed}");
    cluster_must_be_clean(&releases[0].sandbox).await;
    // The account is gone, too.
    let admin = plane.admin().await;
    releases.iter_mut().for_each(|release| release.account = admin.clone());
    for (release, pods) in releases.iter().zip(&pods) {
        release.must_be_clean(pods).await;
    }
    drop(first);

    // Its namespace is deleted: nothing hangs, all stays held, and a cleanup from a laptop puts it back. Helm 4 upgrades over what a cleanup wrote.
    let mut second = Installed::new(plane, "second", 2, &[], &[]).await;
    may_control(plane, &second).await;
    releases.iter_mut().for_each(|release| release.account = second.account.clone());
    join_all(releases.iter().map(|release| release.advance(2))).await;
    let pods = join_all(releases.iter().map(Release::pods)).await;
    second.replicas.iter_mut().for_each(|replica| replica.process().kill());
    gone(plane, &[&second.namespace]).await;
    releases.iter_mut().for_each(|release| release.account = admin.clone());
    assert_eq!(cleanup(plane, &[]).await.status.code(), Some(3), "upgrades are open");
    let blocked = cleanup(plane, &["--force"]).await;
    assert!(String::from_utf8_lossy(&blocked.stderr).contains("--configuration"), "{blocked:?}");
    let done = cleanup(plane, &["--force", "--configuration", &second.name]).await;
    assert!(done.status.success(), "{done:?}");
    for (release, pods) in releases.iter().zip(&pods) {
        release.must_be_clean(pods).await;
    }

    // Installed again over what was left. Then nobody answers, and the namespaces of the releases are deleted.
    let mut third = Installed::new(plane, "second", 2, &[], &[]).await;
    may_control(plane, &third).await;
    releases.iter_mut().for_each(|release| release.account = third.account.clone());
    join_all(releases.iter().map(|release| release.advance(3))).await;
    // A stop is given up while the webhook is in force, too.
    let migrating = releases.iter().find(|release| release.phase == Phase::Migrating).unwrap();
    let done = cleanup(plane, &["m", "--force", "-n", &migrating.sandbox.namespace]).await;
    let milvus = migrating.get(MILVUS).await;
    assert!(done.status.success() && milvus["spec"]["replicas"] == 1, "{done:?}: {milvus:#}");
    assert!(!milvus["metadata"]["annotations"].to_string().contains("dev/stopped"), "{milvus:#}");
    third.replicas.iter_mut().for_each(|replica| replica.process().kill());
    let names: Vec<&str> = releases.iter().map(|release| release.sandbox.namespace.as_str()).collect();
    gone(plane, &names).await;
    drop((releases, second, third));
    plane.end();
}
