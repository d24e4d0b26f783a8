//! What the other tests stand on: pods live and die as told, Helm and kubectl work, nothing is left behind.

use std::process::Stdio;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use milvus_guard_e2e::commands::{HELMS, Program};
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::kubelet::Behaviour;
use milvus_guard_e2e::sandbox::{Sandbox, names, wait};

const COMPONENTS: [&str; 5] = ["datanode", "indexnode", "mixcoord", "proxy", "querynode"];

#[tokio::test]
async fn a_release_installs_upgrades_and_goes_with_both_helms() {
    for helm in HELMS {
        let Some(sandbox) = Sandbox::new(&format!("life-{}", helm.file())).await else { return };
        let (before, after) = (sandbox.chart("4.2.20"), sandbox.chart("4.2.58"));
        sandbox.helm(helm, ["install", "m", before.to_str().unwrap(), "--set=pulsar.enabled=false", "--wait"]).ok().await;
        sandbox.wait_until_rolled_out().await;
        for component in COMPONENTS {
            assert_eq!(sandbox.images_of(component), ["milvusdb/milvus:v2.4.16"], "{component}");
        }
        let keep = "--set=pulsar.enabled=false,pulsarv3.enabled=false";
        sandbox.helm(helm, ["upgrade", "m", after.to_str().unwrap(), keep, "--wait"]).ok().await;
        sandbox.wait_until_rolled_out().await;
        for component in COMPONENTS {
            assert_eq!(sandbox.images_of(component), ["milvusdb/milvus:v2.4.16", "milvusdb/milvus:v2.5.16"], "{component}");
        }
        let start = sandbox.starts().into_iter().rfind(|start| start.component == "proxy").unwrap();
        assert_eq!(start.release, "m");
        assert!(start.configuration["m-milvus"]["default.yaml"].contains("m-minio"), "{:?}", start.configuration);

        sandbox.helm(helm, ["uninstall", "m", "--wait"]).ok().await;
        wait("no pods", async || sandbox.pods().await.is_empty().then_some(())).await;
        let deployments = sandbox.api::<Deployment>().list(&ListParams::default()).await.unwrap();
        assert!(deployments.items.is_empty(), "{:?}", names(&deployments.items));
    }
}

#[tokio::test]
async fn a_killed_pod_comes_back() {
    let Some(sandbox) = Sandbox::new("killed").await else { return };
    install_small(&sandbox, "4.2.58").await;
    let pod = pod_of(&sandbox, "standalone").await;
    sandbox.kubectl(["delete", "pod", &pod.name_any(), "--wait=false"]).ok().await;
    let next = wait("another pod", async || {
        let pods = sandbox.pods().await;
        pods.into_iter().find(|other| other.labels().get("component").is_some_and(|name| name == "standalone") && other.uid() != pod.uid() && is_ready(other))
    })
    .await;
    assert_ne!(next.uid(), pod.uid());
    let starts: Vec<_> = sandbox.starts().into_iter().filter(|start| start.component == "standalone").collect();
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[0].image(), starts[1].image());
}

#[tokio::test]
async fn pods_behave_as_told_and_can_be_told_otherwise() {
    let Some(sandbox) = Sandbox::new("behaviour").await else { return };
    sandbox.behave(|pods| pods.component("standalone"), Behaviour::NeverReady);
    sandbox.behave(|pods| pods.component("etcd"), Behaviour::CrashLooping);
    let chart = sandbox.chart("4.2.58");
    sandbox.helm(Program::Helm3, ["install", "m", chart.to_str().unwrap(), "--set", SMALL]).ok().await;
    let crashing = async || {
        let pods = sandbox.pods().await;
        let pod = pods.into_iter().find(|pod| pod.name_any() == "m-etcd-0")?;
        let state = pod.status?.container_statuses?.into_iter().next()?.state?;
        state.waiting.and_then(|waiting| waiting.reason)
    };
    assert_eq!(wait("a crashing etcd", crashing).await, "CrashLoopBackOff");
    wait("a started standalone", async || sandbox.starts().iter().any(|start| start.component == "standalone").then_some(())).await;
    assert!(!is_ready(&pod_of(&sandbox, "standalone").await));
    sandbox.behave(|pods| pods, Behaviour::ReadyAfter(Duration::from_millis(10)));
    sandbox.wait_until_rolled_out().await;

    sandbox.behave(|pods| pods.component("standalone"), Behaviour::StuckTerminating);
    let stuck = pod_of(&sandbox, "standalone").await.name_any();
    sandbox.kubectl(["delete", "pod", &stuck, "--wait=false"]).ok().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(sandbox.api::<Pod>().get(&stuck).await.unwrap().metadata.deletion_timestamp.is_some());
    sandbox.behave(|pods| pods, Behaviour::ReadyAfter(Duration::ZERO));
    wait("the stuck pod gone", async || sandbox.api::<Pod>().get_opt(&stuck).await.unwrap().is_none().then_some(())).await;
}

#[tokio::test]
async fn the_deletion_of_a_namespace_finishes() {
    let Some(sandbox) = Sandbox::new("deletion").await else { return };
    install_small(&sandbox, "4.2.58").await;
    let namespaces: Api<Namespace> = Api::all(sandbox.admin.clone());
    namespaces.delete(&sandbox.namespace, &DeleteParams::default()).await.unwrap();
    wait("the namespace gone", async || namespaces.get_opt(&sandbox.namespace).await.unwrap().is_none().then_some(())).await;
}

#[tokio::test]
async fn users_have_the_rights_that_they_were_given_and_no_others() {
    let Some(sandbox) = Sandbox::new("users").await else { return };
    let can = async |user, what: &[&str]| {
        let mut arguments = vec!["auth", "can-i"];
        arguments.extend(what);
        sandbox.command_as(user, Program::Kubectl, arguments).run().await.stdout.trim() == "yes"
    };
    assert!(can(&sandbox.deployer, &["create", "secrets"]).await);
    assert!(!can(&sandbox.deployer, &["create", "secrets", "-n", "default"]).await);
    let account = sandbox.plane.service_account(&sandbox.namespace, "argocd").await;
    assert!(!can(&account, &["get", "deployments"]).await);
    sandbox.plane.bind(&account, "view", &sandbox.namespace).await;
    assert!(can(&account, &["get", "deployments"]).await);
    assert!(!can(&account, &["delete", "deployments"]).await);
    let who = sandbox.command_as(&account, Program::Kubectl, ["auth", "whoami", "-o", "json"]).ok().await.json();
    assert_eq!(who["status"]["userInfo"]["username"], format!("system:serviceaccount:{}:argocd", sandbox.namespace));
}

#[tokio::test]
async fn a_control_plane_of_ones_own_can_be_broken_and_comes_back() {
    let Some(plane) = ControlPlane::own("broken").await else { return };
    let sandbox = Sandbox::on(plane, "broken").await;
    let write = async |name: &str| {
        let begin = Instant::now();
        sandbox.kubectl(["create", "configmap", name]).ok().await;
        begin.elapsed()
    };
    plane.set_etcd_latency(Duration::from_millis(500));
    assert!(write("slow").await >= Duration::from_millis(500));
    plane.set_etcd_latency(Duration::ZERO);
    plane.stop_api_server();
    sandbox.kubectl(["create", "configmap", "refused"]).fails().await;
    plane.restart_api_server().await;
    write("after").await;
    plane.stop_controllers();
    install_nothing_rolls(&sandbox).await;
    plane.start_controllers();
    sandbox.wait_until_rolled_out().await;
    // A watch that begins anew does not start pods twice, and goes on.
    plane.restart_api_server().await;
    sandbox.kubectl(["delete", "pod", "m-etcd-0"]).ok().await;
    let starts = |component: &str| sandbox.starts().iter().filter(|start| start.component == component).count();
    wait("etcd started again", async || (starts("etcd") == 2).then_some(())).await;
    assert_eq!(starts("standalone"), 1);
    drop(sandbox);
    plane.end();
}

async fn install_nothing_rolls(sandbox: &Sandbox) {
    let chart = sandbox.chart("4.2.58");
    sandbox.helm(Program::Helm3, ["install", "m", chart.to_str().unwrap(), "--set", SMALL]).ok().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(sandbox.pods().await.is_empty());
}

/// A process that is killed takes its control plane along: its parts see their standard input end.
#[tokio::test]
async fn no_part_outlives_the_process_that_started_it() {
    let Some(sandbox) = Sandbox::new("orphans").await else { return };
    let etcd = sandbox.plane.programs().join("controlplane");
    let data = sandbox.folder().join("data");
    // A shell that is killed stands for the test's process; the kernel closes its end of the pipe.
    let script = "sleep 1000 | exec \"$0\" etcd --data-dir \"$1\" --listen-client-urls http://127.0.0.1:0 --advertise-client-urls http://127.0.0.1:0 \
                  --listen-peer-urls http://127.0.0.1:0";
    let mut child = std::process::Command::new("sh");
    child.args(["-c", script]).arg(&etcd).arg(&data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.spawn().unwrap();
    let children = async |name: &str| {
        let listed = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
        let named = |id: &&str| std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|comm| comm.trim() == name);
        listed.split_whitespace().find(named).map(str::to_owned)
    };
    let sleeper = wait("the pipe's other end", async || children("sleep").await).await;
    let part = wait("etcd", async || children("controlplane").await).await;
    wait("etcd at work", async || data.is_dir().then_some(())).await;
    assert!(std::process::Command::new("kill").args(["-KILL", &sleeper]).status().unwrap().success());
    wait("etcd gone", async || children("controlplane").await.is_none().then_some(())).await;
    assert!(!part.is_empty());
    child.wait().unwrap();
}

/// A standalone without a queue of its own: five pods less than the whole.
const SMALL: &str = "cluster.enabled=false,etcd.replicaCount=1,minio.mode=standalone,pulsarv3.enabled=false";

async fn install_small(sandbox: &Sandbox, version: &str) {
    let chart = sandbox.chart(version);
    sandbox.helm(Program::Helm3, ["install", "m", chart.to_str().unwrap(), "--set", SMALL]).ok().await;
    sandbox.wait_until_rolled_out().await;
}

async fn pod_of(sandbox: &Sandbox, component: &str) -> Pod {
    let pods = sandbox.pods().await;
    pods.into_iter().find(|pod| pod.labels().get("component").is_some_and(|name| name == component)).unwrap()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
