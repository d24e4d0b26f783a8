use std::sync::Arc;

use serde_json::{Value, json};

use super::super::fixture::Recipe;
use super::super::guard::{Configuration, Guard};
use super::super::request::{Kind as ObjectKind, User};
use super::super::{Gate, Judge as _};
use super::*;
use crate::cluster::Snapshot;
use crate::cluster::running::tests::replica_set;

/// A cluster in which a recipe was installed and runs.
fn running(recipe: &Recipe) -> Snapshot {
    let mut cluster = Snapshot::new([recipe.secret()]);
    for component in recipe.components() {
        let deployment = recipe.deployment(component);
        cluster.put(replica_set(&deployment, 1, 1));
        cluster.put(deployment);
    }
    cluster
}

fn request(object: Value) -> Request {
    Request {
        uid: "u".into(),
        kind: ObjectKind { group: String::new(), version: "v1".into(), kind: object["kind"].as_str().unwrap().into() },
        sub_resource: None,
        name: object["metadata"]["name"].as_str().unwrap().into(),
        namespace: "db".into(),
        operation: Operation::Create,
        user_info: User { username: "ada".into(), groups: vec![] },
        object,
        old_object: Value::Null,
        dry_run: None,
        options: Value::Null,
    }
}

async fn judged(cluster: Snapshot, object: Value) -> Answer {
    Guard::new(Arc::new(cluster), Configuration::default()).judge(Gate::HelmStorage, Arc::new(request(object))).await
}

async fn upgraded(before: &Recipe, after: Recipe) -> Answer {
    judged(running(before), after.status("pending-upgrade").secret()).await
}

fn rules(answer: &Answer) -> Vec<&str> {
    answer.causes.iter().map(|cause| cause.rule.as_str()).collect()
}

#[tokio::test]
async fn an_unsafe_upgrade_is_refused_and_a_safe_one_passes() {
    let before = Recipe::new("4.2.20", 1, json!({}));
    let refused = upgraded(&before, Recipe::new("5.0.19", 2, json!({}))).await;
    assert!(rules(&refused).contains(&"MV205"), "{refused:?}");
    assert!(refused.refused.unwrap().starts_with("MV205: "));
    let safe = upgraded(&before, Recipe::new("4.2.20", 2, json!({"queryNode": {"replicas": 4}}))).await;
    assert!(safe.is_admitted(), "{safe:?}");
    let patch = upgraded(&Recipe::new("4.2.10", 1, json!({})), Recipe::new("4.2.20", 2, json!({}))).await;
    assert!(patch.is_admitted(), "{patch:?}");
}

#[tokio::test]
async fn wrappers_overrides_and_config_maps_do_not_hide_an_unsafe_upgrade() {
    let umbrella = |chart, revision| Recipe { wrapper: Some(("search", "vec")), ..Recipe::new(chart, revision, json!({})) };
    assert!(rules(&upgraded(&umbrella("4.2.20", 1), umbrella("5.0.19", 2)).await).contains(&"MV205"));
    let renamed = |chart, revision| Recipe { name_override: Some("vec"), ..Recipe::new(chart, revision, json!({})) };
    assert!(rules(&upgraded(&renamed("4.2.20", 1), renamed("5.0.19", 2)).await).contains(&"MV205"));

    let map = |recipe: &Recipe| {
        let mut object = recipe.secret();
        object["kind"] = json!("ConfigMap");
        object.as_object_mut().unwrap().remove("type");
        object["data"]["release"] = json!(crate::admission::release::tests::pack(&recipe.stored(), Driver::ConfigMap));
        object
    };
    let before = Recipe::new("4.2.20", 1, json!({}));
    let mut cluster = running(&before);
    cluster.put(map(&before));
    assert!(rules(&judged(cluster, map(&Recipe::new("5.0.19", 2, json!({})).status("pending-upgrade"))).await).contains(&"MV205"));
}

#[tokio::test]
async fn a_held_revision_is_no_baseline() {
    let before = Recipe::new("4.2.20", 1, json!({}));
    let keep = json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}});
    let mut cluster = running(&before);
    cluster.put(Recipe::new("4.2.58", 2, keep.clone()).status("deployed").secret());
    let on_top = judged(cluster.clone(), Recipe::new("5.0.19", 3, keep).status("pending-upgrade").secret()).await;
    assert!(rules(&on_top).contains(&"MV205"), "{on_top:?}");
    let back = judged(cluster.clone(), Recipe::new("4.2.20", 3, json!({})).status("pending-rollback").secret()).await;
    assert!(back.is_admitted(), "{back:?}");
    let reverted = judged(cluster, Recipe::new("4.2.20", 3, json!({})).status("pending-upgrade").secret()).await;
    assert!(reverted.is_admitted(), "{reverted:?}");
}

#[tokio::test]
async fn a_rollback_over_a_door_is_a_downgrade() {
    let values = json!({"pulsarv3": {"enabled": false}, "kafka": {"enabled": true}});
    let mut cluster = running(&Recipe::new("5.0.19", 2, values.clone()).status("deployed"));
    cluster.put(Recipe::new("4.2.58", 1, values.clone()).secret());
    let back = judged(cluster, Recipe::new("4.2.58", 3, values).status("pending-rollback").secret()).await;
    assert!(rules(&back).contains(&"MV211"), "{back:?}");
}

#[tokio::test]
async fn reused_values_and_a_changed_queue_and_a_lower_chart_are_refused() {
    let reused = upgraded(&Recipe::new("4.1.24", 1, json!({})), Recipe { values_of: Some("4.1.24"), ..Recipe::new("4.2.20", 2, json!({})) }).await;
    assert!(rules(&reused).contains(&"MV108") && reused.causes.iter().any(|cause| cause.message.contains("Nil: ")), "{reused:?}");
    let before = Recipe::new("4.2.20", 1, json!({}));
    let queue = upgraded(&before, Recipe::new("4.2.20", 2, json!({"pulsar": {"enabled": false}, "kafka": {"enabled": true}}))).await;
    assert!(rules(&queue).contains(&"MV401"), "{queue:?}");
    let lower = upgraded(&before, Recipe::new("4.2.10", 2, json!({}))).await;
    assert!(rules(&lower).contains(&"MV110"), "{lower:?}");
}

#[tokio::test]
async fn a_door_asks_for_the_exact_declaration_and_takes_it_also_from_the_api_server() {
    let (before, after) = (Recipe::new("3.2.18", 1, json!({})), || Recipe::new("4.0.34", 2, json!({"image": {"all": {"tag": "v2.2.16"}}})));
    let refused = upgraded(&before, after()).await;
    let message = refused.refused.clone().unwrap();
    assert!(rules(&refused).contains(&"MV201"), "{refused:?}");
    let object = message.split("<<< '").nth(1).unwrap().split('\'').next().unwrap();
    let mut declared: Value = serde_json::from_str(object).unwrap();
    assert_eq!((&declared["metadata"]["name"], &declared["spec"]["to"]), (&json!("m"), &json!("2.2.16")));
    declared["metadata"]["namespace"] = json!("db");
    let mut cluster = running(&before);
    cluster.put(declared);
    let passed = judged(cluster, after().status("pending-upgrade").secret()).await;
    assert!(!rules(&passed).contains(&"MV201"), "{passed:?}");
}

#[tokio::test]
async fn separate_coordinators_must_be_kept_before_they_are_replaced() {
    let separate = json!({"mixCoordinator": {"enabled": false}, "rootCoordinator": {"enabled": true}, "queryCoordinator": {"enabled": true}, "indexCoordinator": {"enabled": true}, "dataCoordinator": {"enabled": true}});
    let before = Recipe::new("4.2.20", 1, separate);
    let after = || Recipe::new("4.2.20", 2, json!({"mixCoordinator": {"activeStandby": {"enabled": true}}})).status("pending-upgrade").secret();
    let refused = judged(running(&before), after()).await;
    assert!(rules(&refused).contains(&"MV711"), "{refused:?}");
    let mut declared = api::guarded_upgrade("db", "m", "2.4.16");
    let mut cluster = running(&before);
    cluster.put(declared.clone());
    let waiting = judged(cluster.clone(), after()).await;
    assert!(waiting.refused.as_deref().is_some_and(|text| text.contains("kubectl wait")), "{waiting:?}");
    declared["status"] = json!({"conditions": [{"type": "Prepared", "status": "True"}]});
    cluster.put(declared);
    let passed = judged(cluster, after()).await;
    assert!(!rules(&passed).contains(&"MV711"), "{passed:?}");
}

#[tokio::test]
async fn an_install_over_claims_is_no_first_install() {
    let install = || Recipe::new("4.2.20", 1, json!({})).status("pending-install").secret();
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "export-m-minio-0", "namespace": "db", "labels": {"app": "minio", "release": "m"}}});
    let fresh = judged(Snapshot::default(), install()).await;
    assert!(fresh.is_admitted() && !fresh.warnings.iter().any(|text| text.contains("MV704")), "{fresh:?}");
    let over = judged(Snapshot::new([claim.clone()]), install()).await;
    assert!(over.is_admitted() && over.warnings.iter().any(|text| text.starts_with("MV704")), "{over:?}");
    // A receipt knows what wrote the data.
    let receipt = json!({"apiVersion": api::API_VERSION, "kind": "UpgradeReceipt", "metadata": {"name": "m-1", "namespace": "db"}, "spec": {"release": "m", "kind": "Upgrade", "to": "2.3.11", "finishedAt": "2026-01-01T00:00:00Z"}});
    let known = judged(Snapshot::new([claim, receipt]), Recipe::new("5.0.19", 1, json!({})).status("pending-install").secret()).await;
    assert!(rules(&known).contains(&"MV205"), "{known:?}");
}

#[tokio::test]
async fn other_releases_pass_and_broken_ones_only_where_milvus_runs() {
    let mut other = Recipe::new("4.2.20", 2, json!({})).status("pending-upgrade").secret();
    let redis = json!({"name": "redis", "version": 2, "chart": {"metadata": {"name": "redis"}}, "manifest": "kind: Deployment\n"});
    other["data"]["release"] = json!(crate::admission::release::tests::pack(&redis, Driver::Secret));
    assert_eq!(judged(Snapshot::default(), other.clone()).await, Answer::admitted());
    other["data"]["release"] = json!("bm90IGEgcmVsZWFzZQ==");
    assert!(judged(Snapshot::default(), other.clone()).await.is_admitted());
    assert!(!judged(running(&Recipe::new("4.2.20", 1, json!({}))), other.clone()).await.is_admitted());
    other["metadata"]["labels"]["status"] = json!("deployed");
    assert_eq!(judged(Snapshot::default(), other).await, Answer::admitted());
}

#[tokio::test]
async fn no_value_of_a_release_comes_out() {
    let secret = "planted-7f3a";
    let config = |tag: &str| json!({"minio": {"secretKey": secret}, "extraConfigFiles": {"user.yaml": format!("minio: {{secretAccessKey: {secret}}}")}, "image": {"all": {"tag": tag}}, "unknownKey": secret});
    let answer = upgraded(&Recipe::new("4.2.20", 1, config("v2.4.16")), Recipe::new("5.0.19", 2, config("v2.6.15"))).await;
    assert!(!answer.is_admitted() && !format!("{answer:?}").contains(secret));
}
