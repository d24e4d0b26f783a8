//! `milvus-guard rolling-update` from a laptop: without anything installed, and through an installed guard. What was done is read from pod starts and objects, never from what it prints.

use std::collections::BTreeMap;
use std::process::Stdio;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use milvus_guard_e2e::commands::Program;
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::sandbox::{Sandbox, wait};
use milvus_guard_e2e::users::User;
use milvus_guard_e2e::webhook::{Installed, binary};
use serde_json::json;

use crate::doctor::{guard, stdout};
use crate::upgrades::run_helm;

const NEW: &str = "milvusdb/milvus:v2.5.22";

/// In the order of the policy for a cluster with the mix coordinator.
const ORDER: [&str; 5] = ["indexnode", "mixcoord", "querynode", "datanode", "proxy"];

fn line(sandbox: &Sandbox, more: &[&str]) -> Vec<String> {
    let all = ["rolling-update", "-i", "m", "-n", &sandbox.namespace, "-t", "v2.5.22", "-w", NEW, "-o", "update"];
    all.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

async fn run(user: &User, line: &[String]) -> std::process::Output {
    guard(user, &line.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// Starts of the new image: each component after the whole of the one before.
fn must_be_in_order(sandbox: &Sandbox) {
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, start) in sandbox.starts().iter().enumerate().filter(|(_, start)| start.image() == NEW) {
        found.entry(start.component.clone()).or_default().push(at);
    }
    for pair in ORDER.windows(2) {
        assert!(found[pair[0]].iter().max() < found[pair[1]].iter().min(), "{pair:?}: {found:?}");
    }
    assert_eq!(found.len(), ORDER.len(), "{found:?}");
}

/// The image that each Deployment says.
async fn images_of(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let all = sandbox.api::<Deployment>().list(&ListParams::default()).await.unwrap().items;
    let image = |deployment: &Deployment| serde_json::to_value(deployment).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"].to_string();
    all.iter().map(|deployment| (deployment.metadata.name.clone().unwrap(), image(deployment))).collect()
}

async fn nothing_is_left(sandbox: &Sandbox) {
    let all = sandbox.objects().await;
    let kinds = ["Deployment/", "StatefulSet/", "ConfigMap/", "PersistentVolumeClaim/"];
    let left: Vec<&String> =
        all.iter().filter(|(name, object)| kinds.iter().any(|kind| name.starts_with(kind)) && object.contains("milvus-guard")).map(|(name, _)| name).collect();
    assert!(left.is_empty(), "{left:?}");
    let leases = sandbox.kubectl(["get", "leases", "-o", "name"]).ok().await.stdout;
    assert!(leases.is_empty(), "{leases}");
}

#[tokio::test]
async fn a_rolling_update_from_a_laptop_keeps_the_order_with_and_without_a_guard() {
    let Some(plane) = ControlPlane::own("laptop").await else { return };
    let sandbox = Sandbox::on(plane, "bare").await;
    let ended = run_helm(&sandbox, Program::Helm4, "install", "4.2.58", "").await;
    assert!(ended.status.success(), "{ended}");
    sandbox.wait_until_rolled_out().await;

    // A dry run tells, a refused step says why; neither changes anything.
    let before = sandbox.objects().await;
    let told = run(&sandbox.deployer, &line(&sandbox, &["--dry-run"])).await;
    let text = stdout(&told);
    assert!(told.status.success(), "{told:?}");
    let places: Vec<usize> =
        ORDER.iter().map(|component| text.find(&format!("m-milvus-{component}: ")).unwrap_or_else(|| panic!("{component}: {text}"))).collect();
    assert!(places.is_sorted(), "{text}");
    for (tag, image, why) in [
        ("v2.6.15", "milvusdb/milvus:v2.6.15", "milvus-lint plan --from 2.5.16 --to 2.6.15"),
        ("v2.5.22", "milvusdb/milvus:v2.2.3", "-t says 2.5.22 and -w says 2.2.3"),
        ("v2.5.14", "milvusdb/milvus:v2.5.14", "Go back with Helm, to the revision that put 2.5.14 in place"),
    ] {
        let refused = guard(&sandbox.deployer, &["rolling-update", "-i", "m", "-n", &sandbox.namespace, "-t", tag, "-w", image]).await;
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(why), "{tag}: {refused:?}");
    }
    assert_eq!(sandbox.objects().await, before);

    // Interrupted in the middle: what has not had its turn waits. The next run goes on, as the same ordinary user.
    let mut child = tokio::process::Command::new(binary());
    child.args(line(&sandbox, &[])).env("KUBECONFIG", &sandbox.deployer.kubeconfig).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    wait("the mix coordinator's turn", async || sandbox.images_of("mixcoord").contains(&NEW.to_owned()).then_some(())).await;
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let interrupted = child.wait_with_output().await.unwrap();
    assert_eq!(interrupted.status.code(), Some(130), "{interrupted:?}");
    assert!(!sandbox.images_of("proxy").contains(&NEW.to_owned()), "{interrupted:?}");
    let status = stdout(&guard(&sandbox.deployer, &["status", "m", "-n", &sandbox.namespace]).await);
    assert!(status.contains("2.5.16  2.5.22") && status.contains("Held"), "{status}");
    let done = run(&sandbox.deployer, &line(&sandbox, &["--yes"])).await;
    assert!(done.status.success(), "{done:?}");
    assert!(stdout(&done).contains("image.all.tag: v2.5.22"), "{done:?}");
    must_be_in_order(&sandbox);
    nothing_is_left(&sandbox).await;
    // Again: nothing is to be done.
    let again = run(&sandbox.deployer, &line(&sandbox, &[])).await;
    assert!(again.status.success() && stdout(&again).contains("already"), "{again:?}");
    // Helm goes on from there, with the values that it was told, and restarts nothing.
    let starts = sandbox.starts().iter().filter(|start| start.component != "querynode").count();
    for (helm, replicas) in [(Program::Helm4, 3), (Program::Helm3, 2)] {
        let chart = sandbox.chart("4.2.58");
        let set = format!("image.all.repository=milvusdb/milvus,image.all.tag=v2.5.22,queryNode.replicas={replicas}");
        sandbox.helm(helm, ["upgrade", "m", chart.to_str().unwrap(), "--reset-then-reuse-values", "--set", &set]).ok().await;
        sandbox.wait_until_rolled_out().await;
    }
    assert_eq!(sandbox.starts().iter().filter(|start| start.component != "querynode").count(), starts);

    // Taken back: what had its turn goes back in reverse, and what waits is as it was.
    let newer = "milvusdb/milvus:v2.5.23";
    let line_of = ["rolling-update", "-i", "m", "-n", &sandbox.namespace, "-t", "v2.5.23", "-w", newer, "--yes"];
    let images = images_of(&sandbox).await;
    let mut child = tokio::process::Command::new(binary());
    let mut child = child.args(line_of).env("KUBECONFIG", &sandbox.deployer.kubeconfig).stdout(Stdio::null()).spawn().unwrap();
    wait("the mix coordinator's turn", async || sandbox.images_of("mixcoord").iter().any(|image| image == newer).then_some(())).await;
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    child.wait().await.unwrap();
    let aborted = guard(&sandbox.deployer, &["abort", "m", "-n", &sandbox.namespace]).await;
    assert!(aborted.status.success() && stdout(&aborted).contains("2.5.22 serves again"), "{aborted:?}");
    assert_eq!(images_of(&sandbox).await, images);
    assert!(!sandbox.images_of("proxy").iter().any(|image| image == newer), "it never had its turn");
    nothing_is_left(&sandbox).await;

    // Through an installed guard: it declares, the controller does it, and the receipt stays.
    let sandbox = Sandbox::on(plane, "guarded").await;
    let ended = run_helm(&sandbox, Program::Helm3, "install", "4.2.58", "").await;
    assert!(ended.status.success(), "{ended}");
    sandbox.wait_until_rolled_out().await;
    let timeouts = ["helmStorage", "gitops", "workloads", "dependencies", "own"].map(|gate| format!("gates.{gate}.timeoutSeconds=10"));
    let sets: Vec<&str> = ["limits.budget=8s"].into_iter().chain(timeouts.iter().map(String::as_str)).collect();
    let installed = Installed::new(plane, "laptop", 1, &[&sandbox.namespace], &sets).await;
    let refused = run(&sandbox.deployer, &line(&sandbox, &[])).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot create resource \"guardedupgrades\""), "{refused:?}");
    let mut controller = installed.controller("laptop-controller", &[&sandbox.namespace]);
    controller.wait_until_ready().await;
    plane.cluster_role("may-declare", json!([{"apiGroups": ["guard.milvus-guard.dev"], "resources": ["guardedupgrades"], "verbs": ["*"]}])).await;
    plane.bind(&sandbox.deployer, "may-declare", &sandbox.namespace).await;
    // Where the guard holds nothing, all components would start at once: refused before anything is written or declared.
    let admin = plane.admin().await;
    let witnessed = async || {
        let all = sandbox.command_as(&admin, Program::Kubectl, ["get", "upgradereceipts", "-o", "name", "-n", &sandbox.namespace]).ok().await.stdout;
        (!all.is_empty()).then_some(())
    };
    wait("which version runs is written down", witnessed).await;
    for (mode, code) in [("warn", Some(1)), ("enforce", Some(0))] {
        let label = format!("guard.milvus-guard.dev/mode={mode}");
        sandbox.command_as(&admin, Program::Kubectl, ["label", "namespace", &sandbox.namespace, "--overwrite", &label]).ok().await;
        let before = sandbox.objects().await;
        wait("the webhook sees the mode", async || (run(&sandbox.deployer, &line(&sandbox, &["--dry-run"])).await.status.code() == code).then_some(())).await;
        if mode == "warn" {
            let refused = run(&sandbox.deployer, &line(&sandbox, &["--yes"])).await;
            let said = String::from_utf8_lossy(&refused.stderr);
            assert!(refused.status.code() == Some(1) && said.contains(&label) && said.contains("Nothing was changed"), "{refused:?}");
            let declared = sandbox.command_as(&admin, Program::Kubectl, ["get", "guardedupgrades", "-o", "name"]).ok().await.stdout;
            assert!(declared.is_empty(), "{declared}");
        }
        assert_eq!(sandbox.objects().await, before);
    }
    let done = run(&sandbox.deployer, &line(&sandbox, &["--yes"])).await;
    assert!(done.status.success(), "{done:?}\n{}", controller.process().tail());
    must_be_in_order(&sandbox);
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("guard.milvus-guard.dev", "v1alpha1", "GuardedUpgrade"));
    let upgrades: Api<DynamicObject> = Api::namespaced_with(sandbox.admin.clone(), &sandbox.namespace, &resource);
    let upgrade = upgrades.get("m").await.unwrap();
    assert_eq!((&upgrade.data["spec"]["to"], &upgrade.data["status"]["phase"]), (&json!("2.5.22"), &json!("Completed")));
    assert!(upgrade.data["status"]["receipt"].is_string(), "{upgrade:?}");
    drop((sandbox, installed, controller));
    plane.end();
}
