//! What is held for want of a declaration goes on once that is there, with nothing applied a second time.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use milvus_guard_e2e::commands::Program;
use milvus_guard_e2e::sandbox::wait;
use serde_json::{Value, json};

use crate::gates::{BLOCKED, SMALL};
use crate::upgrades::Upgrading;

#[tokio::test]
async fn a_change_over_a_door_waits_for_its_declaration_and_then_goes_on_by_itself() {
    let Some(upgrading) = Upgrading::new("judged-again").await else { return };
    let sandbox = &upgrading.sandbox;
    let helm = async |verb: &str, version: &str| {
        let chart = sandbox.chart(version);
        let values = format!("{SMALL},standalone.messageQueue=rocksmq");
        let ended = sandbox.helm(Program::Helm4, [verb, "m", chart.to_str().unwrap(), "--set", &values]).run().await;
        assert!(ended.status.success(), "{ended}");
        ended
    };
    let blocked = async || {
        let standalone: Deployment = sandbox.api().get("m-milvus-standalone").await.unwrap();
        standalone.annotations().get(BLOCKED).cloned()
    };
    helm("install", "4.2.58").await;
    sandbox.wait_until_rolled_out().await;
    let ended = helm("upgrade", "5.0.19").await;
    assert!(ended.stderr.contains("MV210: Milvus 2.6.15 cannot be walked back to 2.5.16"), "{ended}");
    let why = blocked().await.unwrap_or_default();
    // Nobody gets round the hold by naming another owner for it, or other labels and images.
    let admin = sandbox.plane.admin().await;
    let owner = json!({"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "name": "m", "uid": "1"});
    let other = json!({"labels": {"app.kubernetes.io/name": "x", "helm.sh/chart": "x-1.0.0"}});
    for metadata in [json!({"ownerReferences": [owner]}), other] {
        let patch = json!({"metadata": metadata, "spec": {"paused": false}}).to_string();
        let tried = ["patch", "deployment/m-milvus-standalone", "-n", &sandbox.namespace, "--type=merge", "--dry-run=server", "-o", "json", "-p", &patch];
        let tried = sandbox.command_as(&admin, Program::Kubectl, tried).ok().await.json();
        assert_eq!(tried["spec"]["paused"], true, "{patch}: {tried:#}");
    }
    let declared = why.split_once("declare it: ").unwrap_or_else(|| panic!("{why}: {ended}")).1;
    // Another declaration than the one that is asked for has it judged again, and opens nothing.
    let other = declared.replace("2.6.15", "2.6.14");
    let apply = async |object: &str| sandbox.command_as(&admin, Program::Kubectl, ["apply", "-f", "-"]).input(object.to_owned()).ok().await;
    apply(&other).await;
    wait("that it was judged for what is declared", async || {
        let standalone: Deployment = sandbox.api().get("m-milvus-standalone").await.unwrap();
        standalone.annotations().contains_key("guard.milvus-guard.dev/judged-for").then_some(())
    })
    .await;
    assert!(blocked().await.is_some() && sandbox.images_of("standalone") == ["milvusdb/milvus:v2.5.16"]);
    apply(declared).await;
    let status = upgrading.reaches("Completed").await;
    assert_ne!(status["receipt"], Value::Null, "{status:#}");
    assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.5.16", "milvusdb/milvus:v2.6.15"]);
    upgrading.nothing_is_left().await;
}
