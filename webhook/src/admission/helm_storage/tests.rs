use std::sync::Arc;

use serde_json::{Value, json};

use super::super::fixture::Recipe;
use super::super::guard::{Configuration, Guard};
use super::super::release::tests::pack;
use super::super::request::{Kind as ObjectKind, User};
use super::super::{Gate, Judge as _};
use super::*;
use crate::cluster::running::tests::replica_set;
use crate::cluster::{Cached, Measured, Snapshot};
use crate::telemetry::Telemetry;

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
        known_by: None,
    }
}

async fn judged(cluster: Snapshot, object: Value) -> Answer {
    let request = Arc::new(request(object));
    let cached = Guard::new(Cached::of(&cluster), Configuration::default()).judge(Gate::HelmStorage, Arc::clone(&request)).await;
    let whole = Guard::new(Arc::new(cluster), Configuration::default()).judge(Gate::HelmStorage, request).await;
    assert_eq!(cached, whole, "what the caches keep is read as the objects themselves are");
    whole
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
async fn where_the_revision_before_cannot_be_read_what_runs_speaks() {
    let before = Recipe::new("4.2.20", 1, json!({}));
    let mut cluster = running(&before);
    let mut unreadable = before.secret();
    unreadable["data"]["release"] = json!("bm90aGluZw==");
    cluster.put(unreadable);
    let unsafe_one = judged(cluster.clone(), Recipe::new("5.0.19", 2, json!({})).status("pending-upgrade").secret()).await;
    assert!(rules(&unsafe_one).contains(&"MV205"), "{unsafe_one:?}");
    let safe =
        judged(cluster, Recipe::new("4.2.58", 2, json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}})).status("pending-upgrade").secret())
            .await;
    assert!(safe.is_admitted(), "{safe:?}");
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
    let object = message.split("echo '").nth(1).unwrap().split('\'').next().unwrap();
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
    for refused in [refused, judged(cluster.clone(), after()).await] {
        let text = refused.refused.unwrap();
        for said in ["'guard.milvus-guard.dev/allow=MV711 until=YYYY-MM-DD reason=", "'guard.milvus-guard.dev/break-glass=until=YYYY-MM-DDTHH:MM:SSZ reason="] {
            assert!(text.contains(said) && !text.contains("Prepared"), "{text}");
        }
    }
    // A waiver counts where the image stays, since the coordinator then runs at once; with another image it would be held, and nothing would coordinate.
    let mut waived = running(&before);
    waived.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db", "annotations": {"guard.milvus-guard.dev/allow": "MV711 reason=x"}}}));
    assert!(judged(waived.clone(), after()).await.is_admitted());
    let patched = || Recipe::new("4.2.20", 2, json!({"image": {"all": {"tag": "v2.4.17"}}})).status("pending-upgrade").secret();
    let refused = judged(waived.clone(), patched()).await;
    assert_eq!(rules(&refused), ["MV711"], "{refused:?}");
    // Declared, it is kept by the controller, and that is waited for.
    assert_eq!(asked_for(&refused), api::guarded_upgrade("db", "m", "2.4.17"));
    let mut unordered = waived.clone();
    waived.put(api::guarded_upgrade("db", "m", "2.4.17"));
    let refused = judged(waived, patched()).await;
    assert!(refused.refused.as_ref().unwrap().contains("kubectl wait -n db --for=condition=Prepared guardedupgrade/m"), "{refused:?}");
    // One that can never be carried out is not waited for.
    let mut failed = api::guarded_upgrade("db", "m", "2.4.17");
    failed["status"] = json!({"phase": "Failed", "message": "No order is known."});
    unordered.put(failed);
    let told = judged(unordered, patched()).await.refused.unwrap();
    assert!(told.contains("cannot be carried out: No order is known.") && !told.contains("kubectl wait"), "{told}");
    // The way back takes the mix coordinator away from what replaces it.
    let to_separate = judged(running(&Recipe::new("4.2.20", 1, json!({}))), Recipe { revision: 2, ..before.clone() }.status("pending-upgrade").secret()).await;
    assert!(rules(&to_separate).contains(&"MV711"), "{to_separate:?}");
    declared["status"] = json!({"conditions": [{"type": "Prepared", "status": "True"}]});
    cluster.put(declared);
    let passed = judged(cluster, after()).await;
    assert!(!rules(&passed).contains(&"MV711"), "{passed:?}");
}

#[tokio::test]
async fn what_was_only_held_is_no_baseline_where_all_is_at_zero_either() {
    let before = Recipe::new("4.2.20", 1, json!({}));
    let keep = json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}});
    let mut cluster = Snapshot::new([before.secret(), Recipe::new("4.2.58", 2, keep.clone()).status("deployed").secret()]);
    for component in before.components() {
        cluster.put(replica_set(&before.deployment(component), 1, 0));
    }
    let on_top = judged(cluster, Recipe::new("5.0.19", 3, keep).status("pending-upgrade").secret()).await;
    assert!(rules(&on_top).contains(&"MV205"), "{on_top:?}");
}

#[tokio::test]
async fn a_component_that_helm_deletes_before_the_rest_is_released_is_told_with_the_way_to_keep_it() {
    let keep = json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}, "image": {"all": {"tag": "v2.5.22"}}});
    let before = Recipe::new("4.2.58", 1, keep);
    let after = || Recipe::new("5.0.19", 2, json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}})).status("pending-upgrade").secret();
    let mut cluster = running(&before);
    let told = |answer: &Answer| answer.warnings.iter().find(|text| text.starts_with("MV711")).cloned();
    let text = told(&judged(cluster.clone(), after()).await).unwrap();
    assert!(text.ends_with("kubectl annotate -n db deployment/m-milvus-indexnode helm.sh/resource-policy=keep") && text.len() <= 256, "{text}");
    let mut kept = before.deployment("indexnode");
    kept["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("keep");
    cluster.put(kept);
    assert_eq!(told(&judged(cluster, after()).await), None);
    // Where nothing is held, it goes as it always did.
    let same = Recipe::new(
        "4.2.58",
        2,
        json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}, "image": {"all": {"tag": "v2.5.22"}}, "indexNode": {"enabled": false}}),
    );
    assert_eq!(told(&judged(running(&before), same.status("pending-upgrade").secret()).await), None);
}

#[tokio::test]
async fn an_install_over_what_runs_is_judged_from_there_and_over_what_is_about_to_go_it_is_not() {
    let before = Recipe::new("4.2.20", 1, json!({}));
    let install = || Recipe::new("5.0.19", 1, json!({})).status("pending-install").secret();
    let mut history_lost = Snapshot::default();
    let mut uninstalled = Snapshot::default();
    for component in before.components() {
        let deployment = before.deployment(component);
        history_lost.put(replica_set(&deployment, 1, 1));
        uninstalled.put(replica_set(&deployment, 1, 1));
        history_lost.put(deployment);
    }
    assert!(rules(&judged(history_lost, install()).await).contains(&"MV205"));
    assert!(judged(uninstalled, install()).await.is_admitted());
}

#[tokio::test]
async fn an_install_over_claims_is_no_first_install() {
    let install = || Recipe::new("4.2.20", 1, json!({})).status("pending-install").secret();
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "export-m-minio-0", "namespace": "db", "labels": {"app": "minio", "release": "m"}}});
    let fresh = judged(Snapshot::default(), install()).await;
    assert!(fresh.is_admitted() && !fresh.warnings.iter().any(|text| text.contains("MV704")), "{fresh:?}");
    let over = judged(Snapshot::new([claim.clone()]), install()).await;
    assert!(over.is_admitted() && over.warnings.iter().any(|text| text.starts_with("MV704")), "{over:?}");
    assert!(over.warnings.iter().any(|text| text.contains("=MV704 until=YYYY-MM-DD reason=")), "not for ever: {over:?}");
    // A receipt knows what wrote the data.
    let receipt = json!({"apiVersion": api::API_VERSION, "kind": "UpgradeReceipt", "metadata": {"name": "m-1", "namespace": "db"}, "spec": {"release": "m", "kind": "Upgrade", "to": "2.3.11", "finishedAt": "2026-01-01T00:00:00Z"}});
    let known = judged(Snapshot::new([claim, receipt]), Recipe::new("5.0.19", 1, json!({})).status("pending-install").secret()).await;
    assert!(rules(&known).contains(&"MV205"), "{known:?}");
}

#[tokio::test]
async fn a_receipt_speaks_of_data_only_where_an_install_may_find_some() {
    let receipt = json!({"apiVersion": api::API_VERSION, "kind": "UpgradeReceipt", "metadata": {"name": "m-1", "namespace": "db"}, "spec": {"release": "m", "kind": "Upgrade", "to": "2.6.15"}});
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-m-etcd-0", "namespace": "db", "labels": {"app.kubernetes.io/instance": "m"}}});
    let install = async |objects: &[&Value], values: Value| {
        judged(Snapshot::new(objects.iter().map(|object| (*object).clone())), Recipe::new("4.2.58", 1, values).status("pending-install").secret()).await
    };
    let external = json!({"etcd": {"enabled": false}, "externalEtcd": {"enabled": true, "endpoints": ["etcd:2379"]}});
    let elsewhere = json!({"etcd": {"persistence": {"existingClaim": "mine"}}});
    assert!(install(&[&receipt], json!({})).await.is_admitted(), "its claims are gone, and with them all data");
    for (objects, values) in [(vec![&receipt, &claim], json!({})), (vec![&receipt], external), (vec![&receipt], elsewhere)] {
        let refused = install(&objects, values).await;
        assert!(rules(&refused).contains(&"MV211"), "{refused:?}");
        assert!(refused.refused.unwrap().contains("kubectl delete upgradereceipt -n db -l app.kubernetes.io/instance=m"));
    }
}

#[tokio::test]
async fn metadata_that_was_made_since_the_newest_receipt_is_nobody_s() {
    let receipt = |kind: &str, to: &str, at: &str| json!({"apiVersion": api::API_VERSION, "kind": "UpgradeReceipt", "metadata": {"name": format!("m-{to}"), "namespace": "db"}, "spec": {"release": "m", "kind": kind, "to": to, "finishedAt": at}});
    let claim = |number: u8, at: &str| {
        let labels = json!({"app.kubernetes.io/instance": "m", "app.kubernetes.io/name": "etcd"});
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": format!("data-m-etcd-{number}"), "namespace": "db", "labels": labels, "creationTimestamp": at}})
    };
    let install =
        async |objects: &[Value]| judged(Snapshot::new(objects.iter().cloned()), Recipe::new("4.2.58", 1, json!({})).status("pending-install").secret()).await;
    let said = |answer: &Answer, words: &str| answer.warnings.iter().any(|text| text.starts_with("MV704") && text.contains(words));
    let upgraded = receipt("Upgrade", "2.5.16", "2026-02-01T00:00:00Z");
    let known = install(&[upgraded.clone(), claim(0, "2026-01-01T00:00:00Z"), claim(1, "2026-03-01T00:00:00Z")]).await;
    assert!(said(&known, "Milvus 2.5.16 wrote them"), "one member more is no other data: {known:?}");
    let anew = install(&[upgraded.clone(), claim(0, "2026-03-01T00:00:00Z")]).await;
    assert!(said(&anew, "It is held; once you know") && !said(&anew, "2.5.16"), "{anew:?}");
    // A version was seen to run since: from there it is judged, whoever let it.
    let seen = receipt("Observed", "2.6.15", "2026-03-01T00:01:00Z");
    for claim in [claim(0, "2026-01-01T00:00:00Z"), claim(0, "2026-03-01T00:00:00Z")] {
        let refused = install(&[upgraded.clone(), seen.clone(), claim]).await;
        assert!(rules(&refused).contains(&"MV211"), "{refused:?}");
    }
}

#[tokio::test]
async fn an_install_of_another_version_than_a_receipt_names_is_told_that_it_is_held_and_what_to_do() {
    let receipt = json!({"apiVersion": api::API_VERSION, "kind": "UpgradeReceipt", "metadata": {"name": "m-1", "namespace": "db"}, "spec": {"release": "m", "kind": "Upgrade", "to": "2.5.16", "finishedAt": "2026-02-01T00:00:00Z"}});
    let external = json!({"enabled": true, "endpoints": ["etcd:2379"]});
    let install = async |tag: &str| {
        let values = json!({"etcd": {"enabled": false}, "externalEtcd": external, "image": {"all": {"tag": tag}}});
        judged(Snapshot::new([receipt.clone()]), Recipe::new("4.2.58", 1, values).status("pending-install").secret()).await
    };
    let other = install("v2.5.22").await;
    let is_told = |text: &String| text.starts_with("MV704") && text.contains("Install Milvus 2.5.16 first") && text.contains("kubectl delete upgradereceipt");
    assert!(other.is_admitted() && other.warnings.iter().any(is_told), "{other:?}");
    let same = install("v2.5.16").await;
    assert!(same.is_admitted() && !same.warnings.iter().any(|text| text.contains("MV704")), "{same:?}");
}

#[tokio::test]
async fn a_receipt_opens_no_door_for_another_life_of_the_release() {
    let receipt = json!({"apiVersion": api::API_VERSION, "kind": "UpgradeReceipt", "metadata": {"name": "m-1", "namespace": "db"}, "spec": {"release": "m", "kind": "MetadataMigration", "to": "2.2.16"}});
    let upgrade = async |runs: &str| {
        let mut cluster = running(&Recipe::new("3.2.18", 1, json!({})));
        let served = Recipe::new("3.2.18", 1, json!({"image": {"all": {"tag": runs}}}));
        served.components().iter().for_each(|component| cluster.put(replica_set(&served.deployment(component), 1, 1)));
        cluster.put(receipt.clone());
        let after = Recipe::new("4.0.34", 2, json!({"image": {"all": {"tag": "v2.2.16"}}}));
        judged(cluster, after.status("pending-upgrade").secret()).await
    };
    assert!(rules(&upgrade("v2.1.4").await).contains(&"MV201"), "what was migrated was another release's");
    assert!(!rules(&upgrade("v2.2.16").await).contains(&"MV201"), "it was migrated, and runs");
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

#[tokio::test]
async fn an_unsupported_jump_is_not_declared_away() {
    let before = Recipe::new("4.2.20", 1, json!({}));
    let mut cluster = running(&before);
    let mut declared = api::guarded_upgrade_acknowledging("db", "m", "2.6.15", &["MV205 ticket-7".into()]);
    declared["status"] = json!({"conditions": [{"type": "Prepared", "status": "True"}]});
    cluster.put(declared);
    let refused = judged(cluster, Recipe::new("5.0.19", 2, json!({})).status("pending-upgrade").secret()).await;
    assert!(rules(&refused).contains(&"MV205"), "{refused:?}");
    let message = refused.refused.unwrap();
    assert!(message.starts_with("MV205: ") && message.contains("Go to Milvus 2.5.16") && !message.contains("kubectl apply"), "{message}");
    // Nor is metadata of 2.1 brought beyond what the tool migrates to.
    let refused = upgraded(&Recipe::new("3.2.18", 1, json!({})), Recipe::new("4.1.36", 2, json!({}))).await;
    assert!(rules(&refused).contains(&"MV201") && !refused.refused.as_ref().unwrap().contains("kubectl apply"), "{refused:?}");
}

/// The object that a refusal asks for.
fn asked_for(answer: &Answer) -> Value {
    let message = answer.refused.as_deref().unwrap();
    serde_json::from_str(message.split("echo '").nth(1).unwrap_or_else(|| panic!("{message}")).split('\'').next().unwrap()).unwrap()
}

#[tokio::test]
async fn a_door_that_asks_for_a_proof_is_opened_by_the_object_that_the_refusal_shows_once_it_is_filled_in() {
    let standalone = json!({"minio": {"mode": "standalone"}, "image": {"all": {"tag": "v2.2.16"}}});
    let before = Recipe::new("4.0.5", 1, standalone.clone());
    let after = || Recipe::new("4.0.34", 2, standalone.clone()).status("pending-upgrade").secret();
    let refused = judged(running(&before), after()).await;
    assert!(rules(&refused).contains(&"MV503"), "{refused:?}");
    let mut object = asked_for(&refused);
    let acknowledged = object["metadata"]["annotations"]["guard.milvus-guard.dev/ack"].as_str().unwrap().to_owned();
    assert_eq!((acknowledged.as_str(), &object["spec"]["to"]), ("MV503 <reference>", &json!("2.2.16")));
    // Left as it is, it proves nothing.
    let mut cluster = running(&before);
    cluster.put(object.clone());
    assert!(rules(&judged(cluster.clone(), after()).await).contains(&"MV503"));
    object["metadata"]["annotations"]["guard.milvus-guard.dev/ack"] = json!("MV503 copied-with-mc-on-friday");
    cluster.put(object.clone());
    let passed = judged(cluster.clone(), after()).await;
    assert!(!rules(&passed).contains(&"MV503"), "{passed:?}");
    // What was acknowledged for another step does not answer for this one.
    object["spec"]["to"] = json!("2.2.9");
    cluster.put(object);
    assert!(rules(&judged(cluster, after()).await).contains(&"MV503"));
}

/// A Deployment's status; `available` of two replicas.
fn rolled(mut deployment: Value, available: u64) -> Value {
    deployment["spec"]["replicas"] = json!(2);
    deployment["metadata"]["generation"] = json!(3);
    deployment["status"] = json!({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": available});
    deployment
}

#[tokio::test]
async fn a_step_to_another_line_begins_with_all_workloads_ready() {
    let keep = json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}});
    let before = Recipe::new("4.2.20", 1, keep.clone());
    let to = |chart, config: Value| Recipe::new(chart, 2, config).status("pending-upgrade").secret();
    let with = |available| {
        let mut cluster = running(&before);
        cluster.put(rolled(before.deployment("proxy"), available));
        cluster
    };
    assert!(!rules(&judged(with(2), to("4.2.58", keep.clone())).await).contains(&"MV710"));
    let refused = judged(with(1), to("4.2.58", keep.clone())).await;
    assert!(
        rules(&refused).contains(&"MV710") && refused.refused.as_ref().unwrap().contains("kubectl rollout status -n db deployment/m-milvus-proxy"),
        "{refused:?}"
    );
    // A patch, or a change without another image, may be what mends it; so may anything once a second version is there.
    let patch = judged(with(1), to("4.2.21", json!({"pulsar": {"enabled": true}, "image": {"all": {"tag": "v2.4.17"}}}))).await;
    assert!(!rules(&patch).contains(&"MV710") && patch.warnings.iter().any(|text| text.starts_with("MV710")), "{patch:?}");
    let same = judged(
        with(1),
        Recipe::new("4.2.20", 2, json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}, "log": {"level": "debug"}}))
            .status("pending-upgrade")
            .secret(),
    )
    .await;
    assert!(!format!("{same:?}").contains("MV710"), "{same:?}");
    let mut half = with(1);
    half.put(replica_set(&Recipe::new("4.2.58", 2, keep.clone()).deployment("querynode"), 2, 1));
    assert!(!rules(&judged(half, to("4.2.58", keep.clone())).await).contains(&"MV710"));
    // What is held or stopped by the guard waits on purpose, and a rollback is the way out.
    let mut held = rolled(before.deployment("proxy"), 1);
    held["metadata"]["annotations"]["guard.milvus-guard.dev/hold"] = json!("x");
    let mut cluster = running(&before);
    cluster.put(held);
    assert!(!format!("{:?}", judged(cluster, to("4.2.58", keep.clone())).await).contains("MV710"));
    let back = judged(with(1), Recipe::new("4.2.58", 2, keep).status("pending-rollback").secret()).await;
    assert!(!format!("{back:?}").contains("MV710"), "{back:?}");
}

#[tokio::test]
async fn an_operation_that_did_not_end_is_told_and_a_rollback_is_the_way_out() {
    let before = Recipe::new("4.2.20", 1, json!({}));
    let mut cluster = running(&before);
    cluster.put(Recipe::new("4.2.20", 2, json!({})).status("pending-upgrade").secret());
    let upgrade = judged(cluster.clone(), Recipe::new("4.2.20", 3, json!({"log": {"level": "debug"}})).status("pending-upgrade").secret()).await;
    assert_eq!(rules(&upgrade), ["MV709"]);
    assert!(upgrade.refused.unwrap().contains("helm rollback m REVISION -n db"));
    assert!(judged(cluster, Recipe::new("4.2.20", 3, json!({})).status("pending-rollback").secret()).await.is_admitted());
    // Of a first install there is nothing to go back to.
    let mut cluster = running(&before);
    cluster.put(before.clone().status("pending-install").secret());
    let upgrade = judged(cluster, Recipe::new("4.2.20", 2, json!({"log": {"level": "debug"}})).status("pending-upgrade").secret()).await.refused.unwrap();
    assert!(upgrade.contains("helm uninstall m -n db") && !upgrade.contains("rollback"), "{upgrade}");
}

#[tokio::test]
async fn a_declaration_as_it_is_shown_asks_for_nothing_that_the_release_does_not_have() {
    // A mix coordinator without a standby, as the chart has it; a rolling upgrade of it would be refused (MV302).
    let keep = |chart, revision| Recipe::new(chart, revision, json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}}));
    for strategy in [None, Some("Recreate"), Some("Rolling")] {
        let mut upgrade = api::guarded_upgrade("db", "m", "2.5.16");
        upgrade["spec"]["strategy"] = json!(strategy);
        let mut cluster = running(&keep("4.2.20", 1));
        cluster.put(upgrade);
        let receipt = json!({"apiVersion": api::API_VERSION, "kind": "UpgradeReceipt", "metadata": {"name": "r", "namespace": "db"}, "spec": {"release": "m", "kind": "Upgrade", "to": "2.4.16"}});
        cluster.put(receipt);
        let answer = judged(cluster, keep("4.2.58", 2).status("pending-upgrade").secret()).await;
        assert_eq!(rules(&answer).contains(&"MV302"), strategy == Some("Rolling"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_second_upgrade_waits_for_the_first() {
    let keep = json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}});
    let before = Recipe::new("4.2.20", 1, keep.clone());
    let mut upgrade = api::guarded_upgrade("db", "m", "2.5.22");
    upgrade["status"] = json!({"phase": "Running", "to": "2.5.16"});
    let mut cluster = running(&before);
    cluster.put(upgrade.clone());
    let to = |tag: &str, status| {
        let mut config = keep.clone();
        config["image"] = json!({"all": {"tag": tag}});
        Recipe::new("4.2.58", 2, config).status(status).secret()
    };
    let refused = judged(cluster.clone(), to("v2.5.22", "pending-upgrade")).await;
    assert_eq!(rules(&refused), ["MV712"], "{refused:?}");
    assert!(!rules(&judged(cluster.clone(), to("v2.5.16", "pending-upgrade")).await).contains(&"MV712"));
    let back = judged(cluster.clone(), to("v2.5.22", "pending-rollback")).await;
    assert!(!rules(&back).contains(&"MV712") && back.warnings.iter().any(|text| text.starts_with("MV712")), "{back:?}");
    upgrade["status"]["phase"] = json!("Paused");
    cluster.put(upgrade.clone());
    assert!(!rules(&judged(cluster.clone(), to("v2.5.22", "pending-upgrade")).await).contains(&"MV712"), "nothing of it ran");
    upgrade["status"]["components"] = json!([{"name": "mixcoord", "state": "Released", "startedAt": "2026-11-22T00:00:00Z"}]);
    upgrade["status"]["from"] = json!("2.4.16");
    cluster.put(upgrade);
    let refused = judged(cluster.clone(), to("v2.5.22", "pending-upgrade")).await;
    assert_eq!(rules(&refused), ["MV712"], "{refused:?}");
    assert!(
        refused
            .refused
            .unwrap()
            .contains("stands half done, and this change leads elsewhere. Wait until it is done (milvus-guard status m -n db), or take it back first")
    );
    let mut config = keep.clone();
    config["log"] = json!({"level": "debug"});
    let back = judged(cluster, Recipe::new("4.2.20", 2, config).status("pending-upgrade").secret()).await;
    assert!(!rules(&back).contains(&"MV712") && back.warnings.iter().any(|text| text.starts_with("MV712")), "a commit that is reverted: {back:?}");
}

#[tokio::test]
async fn a_rollback_among_revisions_that_were_only_held_is_judged_from_what_runs() {
    let keep = |tag: &str| json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}, "image": {"all": {"tag": tag}}});
    let mut cluster = running(&Recipe::new("4.2.20", 1, keep("v2.4.16")));
    cluster.put(Recipe::new("4.2.57", 2, keep("v2.5.15")).status("superseded").secret());
    cluster.put(Recipe::new("4.2.58", 3, keep("v2.5.16")).status("deployed").secret());
    let to = |status| Recipe::new("4.2.57", 4, keep("v2.5.15")).status(status).secret();
    let back = judged(cluster.clone(), to("pending-rollback")).await;
    assert!(!rules(&back).contains(&"MV110"), "{back:?}");
    // As an upgrade it would take the chart back.
    assert!(rules(&judged(cluster, to("pending-upgrade")).await).contains(&"MV110"));
}

#[tokio::test]
async fn a_way_back_to_a_lower_chart_in_the_middle_of_an_upgrade_says_to_abort_it_first() {
    let keep = |tag: &str| json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}, "image": {"all": {"tag": tag}}});
    let (before, after) = (Recipe::new("4.2.57", 1, keep("v2.5.15")), Recipe::new("4.2.58", 2, keep("v2.5.16")));
    let mut cluster = running(&before);
    cluster.put(after.clone().status("deployed").secret());
    let mut upgrade = api::guarded_upgrade("db", "m", "2.5.16");
    upgrade["status"] = json!({"phase": "Running", "from": "2.5.15", "to": "2.5.16"});
    cluster.put(upgrade);
    let back = || Recipe::new("4.2.57", 3, keep("v2.5.15")).status("pending-upgrade").secret();
    let first = "take it back first (milvus-guard abort m -n db), and apply this again once 2.5.15 serves";
    let mut halfway = cluster.clone();
    let mut released = replica_set(&after.deployment("mixcoord"), 2, 1);
    released["metadata"]["name"] = replica_set(&before.deployment("mixcoord"), 1, 1)["metadata"]["name"].clone();
    halfway.put(released);
    let refused = judged(halfway, back()).await;
    assert_eq!(rules(&refused), ["MV110"], "{refused:?}");
    assert!(refused.refused.unwrap().contains(first));
    // That is what an abort leaves.
    let passes = judged(cluster, back()).await;
    assert!(passes.is_admitted(), "{passes:?}");
}

#[tokio::test]
async fn a_release_that_cannot_be_decoded_is_marked_for_the_metric() {
    let mut broken = Recipe::new("4.2.20", 2, json!({})).status("pending-upgrade").secret();
    broken["data"]["release"] = json!("bm90IGEgcmVsZWFzZQ==");
    assert!(judged(Snapshot::default(), broken.clone()).await.audit.contains_key(UNDECODABLE));
    // An earlier revision, too.
    let before = Recipe::new("4.2.20", 1, json!({}));
    let mut cluster = running(&before);
    let mut earlier = before.secret();
    earlier["data"]["release"] = broken["data"]["release"].clone();
    cluster.put(earlier);
    let answer = judged(cluster, Recipe::new("4.2.20", 2, json!({})).status("pending-upgrade").secret()).await;
    assert!(answer.audit[UNDECODABLE].starts_with("revision 1: "), "{answer:?}");
    assert!(!upgraded(&before, Recipe::new("4.2.20", 2, json!({}))).await.audit.contains_key(UNDECODABLE));
}

#[tokio::test]
async fn an_acknowledged_switch_of_the_queue_that_cannot_be_is_not_asked_for_and_bars_no_way_back() {
    let before = Recipe::new("4.2.20", 1, json!({}));
    let kafka = || Recipe::new("4.2.20", 2, json!({"pulsar": {"enabled": false}, "kafka": {"enabled": true}})).status("pending-upgrade").secret();
    let refused = judged(running(&before), kafka()).await;
    let text = refused.refused.clone().unwrap();
    assert!(rules(&refused).contains(&"MV401") && !text.contains("guard.milvus-guard.dev/ack"), "{text}");
    let mut cluster = running(&before);
    cluster.put(api::guarded_upgrade_acknowledging("db", "m", "2.4.16", &["MV401 ticket-7".into()]));
    assert!(rules(&judged(cluster.clone(), kafka()).await).contains(&"MV412"));
    for status in ["pending-rollback", "pending-upgrade"] {
        let back = judged(cluster.clone(), Recipe::new("4.2.20", 2, json!({})).status(status).secret()).await;
        assert!(back.is_admitted(), "{back:?}");
    }
}

#[tokio::test]
async fn what_a_version_wrote_is_told_of_the_one_that_runs_not_of_one_that_was_held() {
    let keep = |tag: &str| json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}, "image": {"all": {"tag": tag}}});
    let mut cluster = running(&Recipe::new("4.2.58", 1, keep("v2.5.16")));
    cluster.put(Recipe::new("4.2.58", 2, keep("v2.5.22")).status("deployed").secret());
    let to = |chart, tag: &str| Recipe::new(chart, 3, keep(tag)).status("pending-upgrade").secret();
    let up = judged(cluster, to("5.0.19", "v2.6.15")).await;
    let told = format!("{:?} {:?}", up.warnings, up.causes);
    assert!(told.contains("cannot be walked back to 2.5.16") && !told.contains("walked back to 2.5.22"), "{told}");
    let mut cluster = running(&Recipe::new("4.2.20", 1, keep("v2.4.16")));
    cluster.put(Recipe::new("4.2.58", 2, keep("v2.5.16")).status("deployed").secret());
    let patch = judged(cluster, to("4.2.58", "v2.4.17")).await;
    assert!(!format!("{patch:?}").contains("MV212"), "{patch:?}");
}

#[tokio::test]
async fn a_label_that_names_another_revision_changes_no_verdict() {
    let before = Recipe::new("4.2.20", 3, json!({}));
    for after in [Recipe::new("5.0.19", 4, json!({})), Recipe::new("4.2.20", 4, json!({"queryNode": {"replicas": 4}}))] {
        let right = upgraded(&before, after.clone()).await;
        for version in ["3", "9", "1", "0", "x", ""] {
            let mut secret = after.clone().status("pending-upgrade").secret();
            secret["metadata"]["labels"]["version"] = json!(version);
            assert_eq!(judged(running(&before), secret).await, right, "{version}");
        }
    }
}

#[tokio::test]
async fn the_revision_before_is_asked_for_once_and_only_where_milvus_is() {
    let reads = async |cluster: Snapshot, secret: Value| {
        let telemetry = Arc::new(Telemetry::default());
        let guard = Guard::new(Measured::start(Arc::new(cluster), Arc::clone(&telemetry)), Configuration::default());
        guard.judge(Gate::HelmStorage, Arc::new(request(secret))).await;
        let text = telemetry.text();
        let line = text.lines().find_map(|line| line.strip_prefix("milvus_guard_remote_read_seconds_count ")).unwrap();
        line.parse::<u64>().unwrap()
    };
    let (before, after) = (Recipe::new("4.2.20", 1, json!({})), Recipe::new("4.2.58", 2, json!({})).status("pending-upgrade"));
    assert_eq!(reads(running(&before), after.secret()).await, 1);
    let stranger: Value = serde_json::from_str(&after.stored().to_string().replace("milvus", "valkey")).unwrap();
    let mut secret = after.secret();
    secret["data"]["release"] = json!(pack(&stranger, Driver::Secret));
    assert_eq!(reads(Snapshot::default(), secret).await, 0);
}
