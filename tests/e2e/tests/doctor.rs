//! What `milvus-guard doctor`, `status` and the intents say and do from a laptop, with a real guard and its real faults.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, DeleteParams, PostParams};
use milvus_guard_e2e::commands::Program;
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::sandbox::{Sandbox, wait};
use milvus_guard_e2e::users::User;
use milvus_guard_e2e::webhook::{Installed, binary};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::process::Output;

use crate::gates::SMALL;
use crate::gitops::define;

/// `milvus-guard ARGUMENTS` as somebody.
pub(crate) async fn guard(user: &User, arguments: &[&str]) -> Output {
    tokio::process::Command::new(binary()).args(arguments).env("KUBECONFIG", &user.kubeconfig).output().await.unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

struct Patient {
    sandbox: Sandbox,
    admin: User,
}

impl Patient {
    /// What is wrong, by check; and the exit code.
    async fn wrong(&self, user: &User) -> (Option<i32>, Vec<(String, String)>, Value) {
        let output = guard(user, &["doctor", "-n", &self.sandbox.namespace, "-o", "json"]).await;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let wrong = report["checks"].as_array().unwrap().iter().filter(|entry| entry["state"] != "ok" && entry["state"] != "note");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut wrong: Vec<(String, String)> = wrong.map(|entry| (text(&entry["check"]), text(&entry["rule"]))).collect();
        wrong.sort();
        wrong.dedup();
        (output.status.code(), wrong, report)
    }

    /// Exactly this is wrong.
    async fn has(&self, wanted: &[(&str, &str)]) {
        let (code, wrong, report) = self.wrong(&self.admin).await;
        let wanted: Vec<(String, String)> = wanted.iter().map(|(check, rule)| ((*check).to_owned(), (*rule).to_owned())).collect();
        assert_eq!((code, &wrong), (Some(i32::from(!wanted.is_empty())), &wanted), "{report:#}");
    }

    async fn kubectl(&self, arguments: &[&str]) {
        let mut all = vec!["-n", &self.sandbox.namespace];
        all.extend(arguments);
        self.sandbox.command_as(&self.admin, Program::Kubectl, all).ok().await;
    }

    async fn apply(&self, object: &Value) {
        let arguments = ["apply", "--server-side", "-n", &self.sandbox.namespace, "-f", "-"];
        self.sandbox.command_as(&self.admin, Program::Kubectl, arguments).input(object.to_string()).ok().await;
    }

    /// A revision as an interrupted Helm leaves it, an hour ago, whose manifest has an API that is gone.
    async fn interrupt(&self, revision: u32) {
        let secrets: Api<Secret> = self.sandbox.api();
        let mut last = secrets.get(&format!("sh.helm.release.v1.m.v{}", revision - 1)).await.unwrap();
        let once = STANDARD.decode(&last.data.as_ref().unwrap()["release"].0).unwrap();
        let mut json = String::new();
        GzDecoder::new(&*once).read_to_string(&mut json).unwrap();
        let mut release: Value = serde_json::from_str(&json).unwrap();
        release["version"] = json!(revision);
        release["info"]["status"] = json!("pending-upgrade");
        let manifest =
            format!("{}\n---\napiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {{name: old}}\n", release["manifest"].as_str().unwrap());
        release["manifest"] = json!(manifest);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(release.to_string().as_bytes()).unwrap();
        let packed = STANDARD.encode(gzip.finish().unwrap());
        last.metadata = kube::api::ObjectMeta { name: Some(format!("sh.helm.release.v1.m.v{revision}")), labels: last.metadata.labels, ..Default::default() };
        let labels = last.metadata.labels.as_mut().unwrap();
        labels.insert("status".into(), "pending-upgrade".into());
        labels.insert("version".into(), revision.to_string());
        for written in ["modifiedAt", "createdAt"] {
            labels.insert(written.into(), "1700000000".into());
        }
        last.data.as_mut().unwrap().insert("release".into(), k8s_openapi::ByteString(packed.into_bytes()));
        secrets.create(&PostParams::default(), &last).await.unwrap();
    }
}

#[tokio::test]
async fn a_cluster_is_found_clean_and_each_thing_that_is_wrong_by_its_name() {
    let Some(plane) = ControlPlane::own("doctor").await else { return };
    let mut installed = Installed::new(plane, "doctor", 1, &[], &[]).await;
    let sandbox = Sandbox::on(plane, "patient").await;
    define(&sandbox).await;
    let admin = plane.admin().await;
    let chart = sandbox.chart("4.2.20");
    sandbox.helm(Program::Helm4, ["install", "m", chart.to_str().unwrap(), "--set", SMALL]).ok().await;
    sandbox.wait_until_rolled_out().await;
    let patient = Patient { sandbox, admin };
    let sandbox = &patient.sandbox;
    wait("the guard's pods", async || patient.wrong(&patient.admin).await.1.is_empty().then_some(())).await;

    // Clean; and looking changes nothing.
    let before = sandbox.objects().await;
    patient.has(&[]).await;
    let text = stdout(&guard(&patient.admin, &["doctor", "-A"]).await);
    for said in ["webhook: it answers the API server", "the webhook's certificate ends in", "milvusdb/milvus:v2.4.16 serves", "0 problems"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(sandbox.objects().await, before);
    let status = stdout(&guard(&sandbox.deployer, &["status", "-n", &sandbox.namespace]).await);
    assert!(!status.contains("held"), "{status}");

    // Who may look at little is told which right lacks, and what can be seen all the same.
    let (code, wrong, report) = patient.wrong(&sandbox.deployer).await;
    assert_eq!((code, wrong.iter().all(|(check, _)| ["read", "registration"].contains(&check.as_str()))), (Some(2), true), "{report:#}");
    assert!(report.to_string().contains("cannot list resource \\\"validatingwebhookconfigurations\\\""), "{report:#}");

    // A held release without an upgrade, an interrupted Helm, an API that is gone.
    let chart = sandbox.chart("4.2.58");
    sandbox.helm(Program::Helm4, ["upgrade", "m", chart.to_str().unwrap(), "--set", SMALL]).ok().await;
    patient.has(&[("hold", "")]).await;
    let (_, _, report) = patient.wrong(&patient.admin).await;
    assert!(report.to_string().contains("3 workloads are held") && report.to_string().contains("| kubectl apply -f -"), "{report:#}");
    patient.interrupt(3).await;
    patient.has(&[("hold", ""), ("pending-release", "MV709"), ("stored-manifest", "MV118")]).await;
    sandbox.api::<Secret>().delete("sh.helm.release.v1.m.v3", &DeleteParams::default()).await.unwrap();

    // Status of it, and what is wanted of an upgrade.
    let status = |more: &[&'static str]| {
        let all: Vec<&str> = ["status", "m", "-n", &sandbox.namespace].into_iter().chain(more.iter().copied()).collect();
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        let user = sandbox.deployer.clone();
        async move { stdout(&guard(&user, &all.iter().map(String::as_str).collect::<Vec<_>>()).await) }
    };
    let told: Value = serde_json::from_str(&status(&["-o", "json"]).await).unwrap();
    let standalone = told["workloads"].as_array().unwrap().iter().find(|workload| workload["name"] == "standalone").unwrap();
    assert_eq!((&standalone["state"], &standalone["serving"][0], &standalone["waiting"]), (&json!("Held"), &json!("v2.4.16"), &json!("v2.5.16")));
    assert!(status(&[]).await.contains("3 held, and no upgrade of them is open"));
    let missing = guard(&patient.admin, &["pause", "m", "-n", &sandbox.namespace]).await;
    assert!(missing.status.code() == Some(2) && String::from_utf8_lossy(&missing.stderr).contains("there is no GuardedUpgrade m in namespace"), "{missing:?}");
    for verb in ["status", "cleanup"] {
        let nowhere = guard(&patient.admin, &[verb, "-n", "nowhere"]).await;
        assert!(nowhere.status.code() == Some(2) && String::from_utf8_lossy(&nowhere.stderr).contains("there is no namespace nowhere"), "{nowhere:?}");
    }
    patient
        .apply(&json!({"apiVersion": "guard.milvus-guard.dev/v1alpha1", "kind": "GuardedUpgrade", "metadata": {"name": "m"}, "spec": {"to": "2.5.16"}}))
        .await;
    for (verb, field, wanted) in [("pause", "paused", json!(true)), ("abort", "abort", json!(true)), ("retry", "retry", json!(1)), ("retry", "retry", json!(2))]
    {
        let done = guard(&patient.admin, &[verb, "m", "-n", &sandbox.namespace]).await;
        // Its Deployment is there, whether or not it works.
        assert!(done.status.success() && !stdout(&done).contains("No controller is installed"), "{done:?}");
        let upgrade = sandbox.command_as(&patient.admin, Program::Kubectl, ["get", "gu", "m", "-o", "json", "-n", &sandbox.namespace]).ok().await.json();
        assert_eq!(upgrade["spec"][field], wanted, "{upgrade:#}");
    }
    assert!(status(&[]).await.contains("New    2.4.16  2.5.16  the controller has not seen it yet"), "{}", status(&[]).await);
    let refused = guard(&sandbox.deployer, &["pause", "m", "-n", &sandbox.namespace]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot patch resource \"guardedupgrades\""), "{refused:?}");
    patient.kubectl(&["delete", "gu", "m"]).await;
    sandbox.helm(Program::Helm4, ["rollback", "m", "1"]).ok().await;
    sandbox.wait_until_rolled_out().await;
    patient.has(&[]).await;

    // Changed behind Helm's back.
    let admin_sets = ["annotate", "deployment/m-milvus-standalone", "guard.milvus-guard.dev/marks=helm.sh/resource-policy"];
    patient.kubectl(&admin_sets).await;
    patient.apply(&json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "fence-m", "labels": {
        "guard.milvus-guard.dev/fence": "m", "guard.milvus-guard.dev/fence-namespace": sandbox.namespace}},
        "spec": {"validations": [{"expression": "false"}], "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}}}))
    .await;
    patient.has(&[("fence", ""), ("marks", "")]).await;
    patient.kubectl(&["delete", "validatingadmissionpolicy", "fence-m"]).await;
    patient.kubectl(&["annotate", "deployment/m-milvus-standalone", "guard.milvus-guard.dev/marks-"]).await;

    // The operator takes it over.
    patient.apply(&json!({"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "metadata": {"name": "m"}, "spec": {"mode": "standalone"}})).await;
    let get = ["get", "milvus", "m", "-o", "jsonpath={.metadata.uid}", "-n", &sandbox.namespace];
    let uid = sandbox.command_as(&patient.admin, Program::Kubectl, get).ok().await.stdout;
    let owner = json!([{"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "name": "m", "uid": uid}]);
    let patch = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "milvus-operator"}, "ownerReferences": owner}}).to_string();
    patient.kubectl(&["patch", "deployment/m-milvus-standalone", "--type=merge", "-p", &patch]).await;
    patient.has(&[("operator", "MV708")]).await;
    let back = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "ownerReferences": null}}).to_string();
    patient.kubectl(&["patch", "deployment/m-milvus-standalone", "--type=merge", "-p", &back]).await;

    // Its rights are lost, then its definition, then its replicas.
    let bindings: Api<ClusterRoleBinding> = Api::all(patient.admin.client.clone());
    let binding = bindings.get(&installed.name).await.unwrap();
    bindings.delete(&installed.name, &DeleteParams::default()).await.unwrap();
    wait("lost rights", async || patient.wrong(&patient.admin).await.1.iter().any(|(check, _)| check == "rights").then_some(())).await;
    let again = ClusterRoleBinding { metadata: kube::api::ObjectMeta { name: binding.metadata.name, ..Default::default() }, ..binding };
    bindings.create(&PostParams::default(), &again).await.unwrap();
    let lacks = json!([{"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/windows"}]).to_string();
    patient.kubectl(&["patch", "crd", "guardedupgrades.guard.milvus-guard.dev", "--type=json", "-p", &lacks]).await;
    wait("the definition alone", async || (patient.wrong(&patient.admin).await.1 == [("definitions".to_owned(), String::new())]).then_some(())).await;
    installed.replicas[0].process().kill();
    patient.has(&[("definitions", ""), ("webhook", "")]).await;
    drop((patient, installed));
    plane.end();
}
