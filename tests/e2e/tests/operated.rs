//! Milvus that its operator runs is left alone, and Helm that touches it is told so.

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::gates::{Guarded, SMALL};
use crate::gitops::{apply_as, define};

/// A Deployment as the operator writes it for the Milvus with this uid.
fn deployment(owner: &str, image: &str) -> Value {
    let labels = json!({
        "app.kubernetes.io/name": "milvus", "app.kubernetes.io/instance": "m", "app.kubernetes.io/component": "standalone",
        "app.kubernetes.io/managed-by": "milvus-operator",
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "m-milvus-standalone", "labels": labels, "ownerReferences": [
            {"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "name": "m", "uid": owner, "controller": true, "blockOwnerDeletion": true}]},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
            "containers": [{"name": "standalone", "image": image, "args": ["milvus", "run", "standalone"]}]}}},
    })
}

#[tokio::test]
async fn milvus_of_the_operator_is_left_alone() {
    let Some(guarded) = Guarded::new("operated").await else { return };
    let sandbox = &guarded.sandbox;
    define(sandbox).await;
    let operator = guarded.tool("milvus-operator").await;
    let apply = async |object: &Value| {
        let ended = apply_as(&guarded, &operator, "milvus-operator", &[object], &["-o", "json"]).await;
        assert!(ended.status.success(), "{ended}");
        ended
    };
    let milvus = json!({"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "metadata": {"name": "m"}, "spec": {"mode": "standalone"}});
    let owner = apply(&milvus).await.json()["metadata"]["uid"].as_str().unwrap().to_owned();
    apply(&deployment(&owner, "milvusdb/milvus:v2.4.16")).await;
    sandbox.wait_until_rolled_out().await;
    // A jump that would be held from anybody's chart: the operator knows its own way.
    let moved = apply(&deployment(&owner, "milvusdb/milvus:v2.6.15")).await;
    assert!(!moved.stderr.contains("Warning"), "{moved}");
    sandbox.wait_until_rolled_out().await;
    assert_eq!(sandbox.images_of("milvus"), ["milvusdb/milvus:v2.4.16", "milvusdb/milvus:v2.6.15"]);
    let live = guarded.deployment("m-milvus-standalone").await;
    assert!(!live.annotations().keys().chain(live.labels().keys()).any(|key| key.starts_with("guard.milvus-guard.dev/")), "{:?}", live.metadata);
    // A release of the same name that takes the object over.
    let before = guarded.objects().await;
    for helm in milvus_guard_e2e::commands::HELMS {
        let chart = sandbox.chart("4.2.58");
        let ended = sandbox.helm(helm, ["install", "m", chart.to_str().unwrap(), "--set", SMALL, "--take-ownership"]).run().await;
        guarded.refuses("MV708", &["belongs to the Milvus operator", "Give the release another name"], &before, ended).await;
    }
}
