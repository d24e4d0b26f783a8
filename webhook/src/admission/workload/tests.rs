use futures::executor::block_on;

use super::super::fixture::Recipe;
use super::super::guard::Configuration;
use super::super::hold::{PARTITION_ANNOTATION, SERVING_ANNOTATION, SERVING_CONFIGURATION_ANNOTATION};
use super::super::request::{Kind as ObjectKind, User};
use super::*;
use crate::cluster::running::tests::replica_set;
use crate::cluster::{Cached, Snapshot, label};
use crate::controller::{CREATED_ANNOTATION, LED_TO_ANNOTATION};

const KEEP_PULSAR: &str = r#"{"pulsar":{"enabled":true},"pulsarv3":{"enabled":false}}"#;

fn recipe(chart: &'static str) -> Recipe {
    Recipe::new(chart, 1, serde_json::from_str(KEEP_PULSAR).unwrap())
}

fn ready(mut set: Value) -> Value {
    set["status"]["readyReplicas"] = json!(1);
    set
}

/// A cluster in which these components of a release run.
fn running(recipe: &Recipe, components: &[&str]) -> Snapshot {
    let mut cluster = Snapshot::default();
    for component in components {
        let deployment = recipe.deployment(component);
        cluster.put(ready(replica_set(&deployment, 1, 1)));
        cluster.put(deployment);
    }
    cluster.put(recipe.config_map());
    cluster
}

fn whole(recipe: &Recipe) -> Snapshot {
    running(recipe, &recipe.components())
}

fn request(object: Value, old: Value) -> Request {
    Request {
        uid: "u".into(),
        kind: ObjectKind { group: "apps".into(), version: "v1".into(), kind: object["kind"].as_str().unwrap().into() },
        sub_resource: None,
        name: object["metadata"]["name"].as_str().unwrap().into(),
        namespace: "db".into(),
        operation: if old.is_null() { Operation::Create } else { Operation::Update },
        user_info: User { username: "ada".into(), groups: vec![] },
        object,
        old_object: old,
        dry_run: None,
        options: Value::Null,
        known_by: None,
    }
}

fn ask(cluster: &Snapshot, object: &Value, old: &Value) -> Answer {
    let configuration = || Configuration { controller: "guard".into(), ..Configuration::default() };
    let request = request(object.clone(), old.clone());
    let whole = block_on(judge(&Guard::new(Arc::new(cluster.clone()), configuration()), &request));
    let cached = block_on(judge(&Guard::new(Cached::of(cluster), configuration()), &request));
    assert_eq!(cached, whole, "what the caches keep is read as the objects themselves are");
    whole
}

/// The object as it leaves admission.
fn admitted(cluster: &Snapshot, object: &Value, old: &Value) -> Value {
    let answer = ask(cluster, object, old);
    assert!(answer.is_admitted());
    let mut stored = object.clone();
    json_patch::patch(&mut stored, &answer.patch).unwrap();
    stored
}

fn is_waiting(object: &Value) -> bool {
    object["spec"]["paused"] == json!(true) && is_held(object) && annotation(object, CHANGE_ANNOTATION).is_some()
}

#[test]
fn a_new_image_waits_whatever_is_done_to_the_hold() {
    let (before, after) = (recipe("4.2.20"), recipe("4.2.58"));
    let cluster = whole(&before);
    let (old, new) = (before.deployment("proxy"), after.deployment("proxy"));
    let held = admitted(&cluster, &new, &old);
    assert!(is_waiting(&held) && annotation(&held, BLOCKED_ANNOTATION).is_none(), "{held}");
    assert!(annotation(&held, HOLD_ANNOTATION).unwrap().contains("v2.4.16 serves"));
    // The same again changes nothing; neither does what a user or a tool does to it.
    assert!(ask(&cluster, &held, &held).patch.0.is_empty());
    let mut resumed = held.clone();
    resumed["spec"]["paused"] = json!(false);
    let mut unannotated = held.clone();
    unannotated["metadata"]["annotations"].as_object_mut().unwrap().remove(HOLD_ANNOTATION);
    for write in [resumed, unannotated, new.clone()] {
        assert_eq!(admitted(&cluster, &write, &held), held);
    }
    // The label that the controller watches by stays with the hold.
    for before in [&held, &old] {
        for relabel in [|labels: &mut Value| drop(labels.as_object_mut().unwrap().remove("component")), |labels: &mut Value| *labels = Value::Null] {
            let mut unlabelled = new.clone();
            relabel(&mut unlabelled["metadata"]["labels"]);
            unlabelled["metadata"].as_object_mut().unwrap().retain(|_, part| !part.is_null());
            let stored = admitted(&cluster, &unlabelled, before);
            assert!(is_waiting(&stored) && label(&stored, "component") == Some("proxy"), "{stored}");
        }
    }
    // Deleted and created anew.
    assert!(is_waiting(&admitted(&cluster, &new, &Value::Null)));
    // kubectl set image.
    let mut set = old.clone();
    set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("milvusdb/milvus:v2.4.17");
    assert!(is_waiting(&admitted(&cluster, &set, &old)));
    // Put back to what serves.
    let mut back = held.clone();
    back["spec"]["template"] = old["spec"]["template"].clone();
    let back = admitted(&cluster, &back, &held);
    assert!(back["spec"].get("paused").is_none() && !is_held(&back) && annotation(&back, CHANGE_ANNOTATION).is_none(), "{back}");
}

#[test]
fn a_cache_that_is_behind_lets_nothing_through() {
    let (before, after) = (recipe("4.2.20"), recipe("4.2.58"));
    // The release was installed a moment ago, and no ReplicaSet of it was seen.
    assert!(is_waiting(&admitted(&Snapshot::default(), &after.deployment("proxy"), &before.deployment("proxy"))));
    // The upgrade was let go a moment ago: only the ReplicaSet before it was seen, and going back to its image is a change of what runs.
    let cluster = whole(&before);
    assert!(is_waiting(&admitted(&cluster, &before.deployment("proxy"), &after.deployment("proxy"))));
    // Nothing that stays as it was let go is stopped.
    let mut scaled = after.deployment("proxy");
    scaled["spec"]["replicas"] = json!(5);
    assert!(ask(&cluster, &scaled, &after.deployment("proxy")).patch.0.is_empty());
}

#[test]
fn configuration_replicas_and_restarts_run_outside_an_upgrade_only() {
    let before = recipe("4.2.20");
    let mut cluster = whole(&before);
    let old = before.deployment("querynode");
    let mut configured = old.clone();
    configured["spec"]["template"]["metadata"]["annotations"]["checksum/config"] = json!("other");
    configured["spec"]["replicas"] = json!(5);
    assert!(ask(&cluster, &configured, &old).patch.0.is_empty());
    let mut held = recipe("4.2.58").deployment("proxy");
    held["metadata"]["annotations"][HOLD_ANNOTATION] = json!("x");
    cluster.put(held);
    assert!(is_waiting(&admitted(&cluster, &configured, &old)));
    let mut scaled = old.clone();
    scaled["spec"]["replicas"] = json!(5);
    assert!(ask(&cluster, &scaled, &old).patch.0.is_empty());
}

#[test]
fn what_the_controller_let_go_is_not_stopped_half_way() {
    // Unpaused a moment ago: the old ReplicaSet still has the pods.
    let (before, after) = (recipe("4.2.20"), recipe("4.2.58"));
    let mut cluster = whole(&before);
    let released = after.deployment("proxy");
    cluster.put(replica_set(&released, 2, 0));
    let mut again = released.clone();
    again["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!("x");
    assert!(ask(&cluster, &again, &released).patch.0.is_empty());
}

#[test]
fn a_first_install_runs_and_a_component_new_to_a_running_release_waits() {
    for chart in ["4.1.24", "4.2.58", "5.0.19"] {
        let recipe = recipe(chart);
        let mut names = recipe.components();
        names.sort_unstable();
        for at in 0..names.len() {
            let cluster = running(&recipe, &names[..at]);
            assert!(ask(&cluster, &recipe.deployment(names[at]), &Value::Null).patch.0.is_empty(), "{chart} {}", names[at]);
        }
    }
    let recipe = recipe("4.1.24");
    assert!(is_waiting(&admitted(&whole(&recipe), &recipe.deployment("mixcoord"), &Value::Null)));
    // Another resource group of a component that runs is none.
    let mut group = recipe.deployment("querynode");
    group["metadata"]["name"] = json!("m-milvus-querynode-rg1");
    assert!(ask(&whole(&recipe), &group, &Value::Null).patch.0.is_empty());
}

#[test]
fn a_waived_switch_of_the_coordinators_runs_at_once_with_the_image_that_serves_only() {
    let recipe = recipe("4.1.24");
    let mut cluster = whole(&recipe);
    cluster
        .put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db", "annotations": {"guard.milvus-guard.dev/allow": "MV711 reason=x"}}}));
    let answer = ask(&cluster, &recipe.deployment("mixcoord"), &Value::Null);
    assert!(answer.patch.0.is_empty() && answer.warnings[0].starts_with("MV711 is waived: x"), "{answer:?}");
    assert!(is_waiting(&admitted(&cluster, &super::tests::recipe("4.2.20").deployment("mixcoord"), &Value::Null)));
}

#[test]
fn what_helm_deleted_and_a_rollback_brings_back_runs_while_the_rest_is_still_held() {
    let before = recipe("4.2.58");
    let running_but = |missing: &str| running(&before, &before.components().into_iter().filter(|component| *component != missing).collect::<Vec<_>>());
    let mut upgraded = running_but("indexnode");
    upgraded.put(admitted(&upgraded, &recipe("5.0.19").deployment("querynode"), &before.deployment("querynode")));
    assert!(ask(&upgraded, &before.deployment("indexnode"), &Value::Null).patch.0.is_empty());
    let mut held = before.deployment("indexnode");
    held["metadata"]["annotations"][HOLD_ANNOTATION] = json!("x");
    held["spec"]["paused"] = json!(true);
    assert!(!is_held(&admitted(&running_but("indexnode"), &before.deployment("indexnode"), &held)));
    // Streaming nodes belong to 2.6, and a standalone to no cluster.
    let mut streaming = before.deployment("querynode");
    streaming = serde_json::from_str(&streaming.to_string().replace("querynode", "streamingnode")).unwrap();
    assert!(is_waiting(&admitted(&whole(&before), &streaming, &Value::Null)));
}

#[test]
fn an_install_over_old_claims_waits_until_somebody_knows_the_version() {
    let claim =
        |name: &str| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "db", "labels": {"release": "m"}}});
    let object = recipe("4.2.58").deployment("datanode");
    let held = admitted(&Snapshot::new([claim("export-m-minio-0")]), &object, &Value::Null);
    assert_eq!(ask(&Snapshot::new([claim("export-m-minio-0")]), &object, &Value::Null).warnings[0].matches("MV704").count(), 1);
    assert!(is_waiting(&held) && annotation(&held, BLOCKED_ANNOTATION).unwrap().starts_with("MV704"));
    assert!(ask(&Snapshot::new([claim("m-minio")]), &object, &Value::Null).patch.0.is_empty());
    // The way out is named, and counts.
    let way = annotation(&held, BLOCKED_ANNOTATION).unwrap();
    assert!(way.contains("kubectl annotate namespace db 'guard.milvus-guard.dev/allow=MV704 until="), "{way}");
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db", "annotations": {"guard.milvus-guard.dev/allow": "MV704 reason=known"}}});
    let waived = ask(&Snapshot::new([claim("export-m-minio-0"), namespace]), &object, &Value::Null);
    assert!(waived.patch.0.is_empty() && waived.warnings[0].starts_with("MV704 is waived: known"), "{waived:?}");
    // The newest receipt tells the state before: the same version runs, another is judged from there.
    let receipt = |name: &str, to: &str, at: &str| json!({"apiVersion": api::API_VERSION, "kind": "UpgradeReceipt", "metadata": {"name": name, "namespace": "db"}, "spec": {"release": "m", "to": to, "finishedAt": at}});
    let over = |to: &str| {
        let cluster = Snapshot::new([claim("export-m-minio-0"), receipt("new", to, "2026-02-01T00:00:00Z"), receipt("old", "2.5.16", "2026-01-01T00:00:00Z")]);
        let stored = admitted(&cluster, &object, &Value::Null);
        (is_waiting(&stored), annotation(&stored, BLOCKED_ANNOTATION).map(|text| text.chars().take(5).collect::<String>()))
    };
    assert_eq!(over("v2.5.16"), (false, None));
    assert_eq!(over("2.4.16"), (true, Some("MV704".into())), "nothing runs that could be upgraded");
    assert_eq!(over("2.1.4"), (true, Some("MV201".into())));
    assert_eq!(over("2.6.15"), (true, Some("MV211".into())));
    // What was only seen to serve tells it as well.
    let mut seen = receipt("seen", "2.5.16", "2026-02-01T00:00:00Z");
    seen["spec"]["kind"] = json!(api::OBSERVED);
    let cluster = Snapshot::new([claim("export-m-minio-0"), seen, receipt("old", "2.4.16", "2026-01-01T00:00:00Z")]);
    assert!(!is_waiting(&admitted(&cluster, &object, &Value::Null)));
    // Of another release it proves nothing.
    let mut other = receipt("r", "2.5.16", "2026-02-01T00:00:00Z");
    other["spec"]["release"] = json!("n");
    assert!(is_waiting(&admitted(&Snapshot::new([claim("export-m-minio-0"), other]), &object, &Value::Null)));
}

#[test]
fn a_receipt_is_heard_where_the_stores_are_somebody_elses_and_no_claim_is_there() {
    let receipt = json!({"apiVersion": api::API_VERSION, "kind": "UpgradeReceipt", "metadata": {"name": "m-1", "namespace": "db"}, "spec": {"release": "m", "kind": "Upgrade", "to": "2.5.16", "finishedAt": "2026-02-01T00:00:00Z"}});
    let recipe = recipe("5.0.19");
    let endpoints = |all: &str| {
        let mut map = recipe.config_map();
        map["data"]["default.yaml"] = json!(map["data"]["default.yaml"].as_str().unwrap().replace("m-etcd:2379", all));
        map
    };
    let held = |objects: &[Value], change: &dyn Fn(&mut Value)| {
        let mut cluster = Snapshot::new(objects.iter().cloned());
        cluster.put(receipt.clone());
        let mut object = recipe.deployment("mixcoord");
        change(&mut object);
        let stored = admitted(&cluster, &object, &Value::Null);
        is_waiting(&stored)
    };
    let as_it_is = |_: &mut Value| {};
    for own in ["m-etcd:2379", "m-etcd.db:2379", "http://m-etcd.db.svc.cluster.local:2379"] {
        assert!(!held(&[endpoints(own)], &as_it_is), "{own} begins empty");
    }
    for other in ["etcd:2379", "m-etcd:2379,etcd:2379", "m-etcd.stores:2379", "m-etcd-of-all:2379"] {
        assert!(held(&[endpoints(other)], &as_it_is), "{other} may hold what 2.5.16 wrote");
    }
    // A release of its own, which is named so.
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-m-etcd-0", "namespace": "db", "labels": {"app.kubernetes.io/instance": "m-etcd"}}});
    assert!(held(&[recipe.config_map(), claim], &as_it_is));
    // What cannot be read may be anything.
    assert!(held(&[], &as_it_is));
    let variable = |variable: Value| move |object: &mut Value| object["spec"]["template"]["spec"]["containers"][0]["env"] = json!([variable]);
    assert!(held(&[recipe.config_map()], &variable(json!({"name": "ETCD_ENDPOINTS", "value": "other:2379"}))));
    assert!(held(&[recipe.config_map()], &variable(json!({"name": "ETCD_ENDPOINTS", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}))));
    assert!(held(&[recipe.config_map()], &variable(json!({"name": "METASTORE_TYPE", "value": "tikv"}))));
    let from_elsewhere = |object: &mut Value| object["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "s"}}]);
    assert!(held(&[recipe.config_map()], &from_elsewhere));
    // The version that wrote it runs.
    let mut cluster = Snapshot::new([endpoints("etcd:2379")]);
    cluster.put(receipt.clone());
    assert!(ask(&cluster, &super::tests::recipe("4.2.58").deployment("mixcoord"), &Value::Null).patch.0.is_empty());
}

#[test]
fn each_way_out_of_a_hold_over_data_that_a_receipt_names_leads_out() {
    let receipt = |to: &str| json!({"apiVersion": api::API_VERSION, "kind": "UpgradeReceipt", "metadata": {"name": "m-1", "namespace": "db"}, "spec": {"release": "m", "kind": "Observed", "to": to, "finishedAt": "2026-02-01T00:00:00Z"}});
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-m-etcd-0", "namespace": "db", "labels": {"app.kubernetes.io/instance": "m"}}});
    let patched = Recipe { config: json!({"image": {"all": {"tag": "v2.5.22"}}}), ..recipe("4.2.58") };
    for (comes, written, rule) in [(&patched, "4.2.58", "MV704"), (&recipe("5.0.19"), "4.2.58", "MV704"), (&recipe("4.2.58"), "5.0.19", "MV211")] {
        let (written, by) = (recipe(written), if rule == "MV211" { "2.6.15" } else { "2.5.16" });
        let mut cluster = Snapshot::new([claim.clone(), receipt(by)]);
        // To declare it leads nowhere, since nothing runs: it is not told.
        cluster.put(api::guarded_upgrade("db", "m", "2.5.22"));
        let held = admitted(&cluster, &comes.deployment("mixcoord"), &Value::Null);
        let told = annotation(&held, BLOCKED_ANNOTATION).unwrap().to_owned();
        assert!(is_waiting(&held) && told.starts_with(rule) && !told.contains("declare"), "{told}");
        assert_eq!(told.contains(&format!("Install Milvus {by} first, wait until it runs, then")), rule == "MV704", "{told}");
        assert!(told.contains(&format!("Install Milvus {by}")), "{told}");
        assert!(told.contains("kubectl delete upgradereceipt -n db -l app.kubernetes.io/instance=m, "), "{told}");
        // The version that wrote it, over what is held; then the upgrade is one of what runs.
        cluster.put(held.clone());
        let runs = admitted(&cluster, &written.deployment("mixcoord"), &held);
        assert!(!is_waiting(&runs) && !is_held(&runs), "{runs}");
        // Without the receipt: with claims a person says that it is known, without them it begins.
        let asked = admitted(&Snapshot::new([claim.clone()]), &comes.deployment("mixcoord"), &Value::Null);
        assert!(annotation(&asked, BLOCKED_ANNOTATION).unwrap().contains("allow=MV704 until="), "{asked}");
        assert!(ask(&Snapshot::default(), &comes.deployment("mixcoord"), &Value::Null).patch.0.is_empty());
    }
    // A tag that tells no version.
    let mut untold = recipe("4.2.58").deployment("mixcoord");
    untold["spec"]["template"]["spec"]["containers"][0]["image"] = json!("corp/milvus:ours");
    let held = admitted(&Snapshot::new([claim, receipt("2.5.16")]), &untold, &Value::Null);
    let told = annotation(&held, BLOCKED_ANNOTATION).unwrap();
    assert!(told.starts_with("MV704") && told.contains("is known to read it: kubectl delete upgradereceipt"), "{told}");
}

#[test]
fn what_ran_last_counts_where_all_is_at_zero_or_left_behind() {
    let (before, legal, illegal) = (recipe("4.2.20"), recipe("4.2.58"), recipe("5.0.19"));
    let with = |change: fn(&mut Value)| {
        let mut cluster = Snapshot::default();
        for component in before.components() {
            let mut set = replica_set(&before.deployment(component), 1, 0);
            change(&mut set);
            cluster.put(set);
        }
        cluster.put(before.config_map());
        cluster
    };
    let at_zero = with(|_| {});
    let left_behind = with(|set| {
        let metadata = set["metadata"].as_object_mut().unwrap();
        metadata.remove("ownerReferences");
        metadata.insert("labels".into(), json!({"pod-template-hash": "1"}));
        set["status"] = json!({"replicas": 1, "readyReplicas": 1});
    });
    for cluster in [at_zero, left_behind] {
        for (component, old) in [("proxy", Value::Null), ("proxy", before.deployment("proxy")), ("streamingnode", Value::Null)] {
            let held = admitted(&cluster, &illegal.deployment(component), &old);
            assert!(is_waiting(&held) && annotation(&held, BLOCKED_ANNOTATION).is_some_and(|text| text.starts_with("MV205")), "{component}: {held}");
        }
        let held = admitted(&cluster, &legal.deployment("proxy"), &Value::Null);
        assert!(is_waiting(&held) && annotation(&held, BLOCKED_ANNOTATION).is_none(), "{held}");
        assert!(ask(&cluster, &before.deployment("proxy"), &Value::Null).patch.0.is_empty());
    }
}

#[test]
fn the_way_is_told_from_the_chart_that_serves() {
    let (before, after) = (recipe("4.2.20"), recipe("5.0.19"));
    let mut cluster = whole(&before);
    let held = admitted(&cluster, &after.deployment("proxy"), &before.deployment("proxy"));
    let told = annotation(&held, BLOCKED_ANNOTATION).unwrap();
    assert!(told.contains("2.5.16 or later first, wait until") && !told.contains("as it is"), "{told}");
    cluster.put(held.clone());
    // The same words whatever was written before, and for a component that is new.
    assert_eq!(admitted(&cluster, &after.deployment("proxy"), &held), held);
    assert_eq!(annotation(&admitted(&cluster, &after.deployment("streamingnode"), &Value::Null), BLOCKED_ANNOTATION), Some(told));
    // Nothing of it stays on what is not held.
    let back = admitted(&cluster, &before.deployment("proxy"), &held);
    assert_eq!(annotation(&back, SERVING_CHART_ANNOTATION), None);
}

#[test]
fn what_the_environment_says_of_where_data_lies_counts() {
    let before = recipe("4.2.20");
    let cluster = whole(&before);
    let with = |variables: Value| {
        let mut object = before.deployment("proxy");
        object["spec"]["template"]["spec"]["containers"][0]["env"] = variables;
        object
    };
    let old = before.deployment("proxy");
    for (variables, words, rule) in [
        (json!([{"name": "ETCD_ENDPOINTS", "value": "other:2379"}]), "the metadata (etcd.endpoints)", Some("MV501")),
        (json!([{"name": "MQ_TYPE", "value": "kafka"}]), "the message queue (pulsar serves, kafka waits)", Some("MV401")),
        (json!([{"name": "MINIO_BUCKET_NAME", "value": "other"}]), "the object storage (minio.bucketName)", Some("MV502")),
        (json!([{"name": "METASTORE_TYPE", "value": "mysql"}]), "the metadata (etcd serves, mysql waits)", Some("MV501")),
        (json!([{"name": "ETCD_ROOT_PATH", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]), "the metadata (etcd.rootPath)", Some("MV501")),
        // Of a setting that no file names it is not known that it is the same.
        (json!([{"name": "COMMON_STORAGETYPE", "value": "local"}]), "the object storage (common.storageType)", Some("MV502")),
        (json!([{"name": "MILVUSCONF", "value": "/tmp"}]), "the folder of the configuration (MILVUSCONF)", Some("MV501")),
        // Another address of a queue may be another name of the same.
        (json!([{"name": "PULSAR_ADDRESS", "value": "pulsar://other:6650"}]), "the message queue (pulsar.address)", None),
    ] {
        let held = admitted(&cluster, &with(variables.clone()), &old);
        assert!(is_waiting(&held) && annotation(&held, HOLD_ANNOTATION).unwrap().contains(words), "{variables}: {held}");
        assert_eq!(annotation(&held, BLOCKED_ANNOTATION).and_then(|text| text.split(':').next()), rule, "{variables}: {held}");
        assert!(!held.to_string().contains("other-than"), "{held}");
        // With what serves it is nothing new.
        let mut serving = replica_set(&with(variables.clone()), 1, 1);
        serving["spec"]["template"]["metadata"]["annotations"]["restarted"] = json!("x");
        let mut same = cluster.clone();
        same.put(ready(serving));
        assert!(ask(&same, &with(variables.clone()), &old).patch.0.is_empty(), "{variables}");
    }
    for variables in [
        json!([{"name": "ETCD_ENDPOINTS", "value": "m-etcd:2379"}, {"name": "MINIO_ADDRESS", "value": "m-minio:9000"}]),
        json!([{"name": "CACHE_SIZE", "value": "4"}, {"name": "MINIO_ACCESS_KEY_ID", "value": "x"}]),
    ] {
        assert!(ask(&cluster, &with(variables), &old).patch.0.is_empty());
    }
    // What is taken from elsewhere as a whole is not seen, and that is told.
    let mut object = old.clone();
    object["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "more"}}]);
    let answer = ask(&cluster, &object, &old);
    assert!(answer.patch.0.is_empty() && answer.warnings[0].contains("envFrom"), "{answer:?}");
}

#[test]
fn settings_that_rules_name_are_those_that_are_compared() {
    use milvus_guard::policy::Policies;
    use milvus_guard::source::configuration::Part;
    for rule in Policies::embedded().rules() {
        for path in &rule.moves {
            assert!(Part::of(path).is_some(), "{}: {path}", rule.id);
        }
    }
}

#[test]
fn a_configuration_that_is_made_anew_while_pods_serve_is_not_trusted() {
    let (before, after) = (configuring(""), configuring("etcd: {rootPath: other}\n"));
    let mut cluster = whole(&before);
    let answer = ask(&cluster, &after.config_map(), &Value::Null);
    assert!(answer.warnings[0].contains("made anew while pods serve"), "{answer:?}");
    cluster.put(admitted(&cluster, &after.config_map(), &Value::Null));
    let (old, new) = (before.deployment("proxy"), after.deployment("proxy"));
    let held = admitted(&cluster, &new, &old);
    assert!(is_waiting(&held) && annotation(&held, BLOCKED_ANNOTATION).unwrap().starts_with("MV902"), "{held}");
    assert_eq!(admitted(&cluster, &new, &held), held, "a state, not a difference");
    // Writing it again forgets nothing; what moves against what lies there waits beside it.
    let (cluster, warnings) = configured(&cluster, &after.config_map());
    assert!(warnings.is_empty() && noted(&cluster).is_some(), "{warnings:?}");
    let (moved, warnings) = configured(&cluster, &configuring("etcd: {rootPath: third}\n").config_map());
    assert!(warnings[0].contains("waits beside it") && noted(&moved).is_some(), "{warnings:?}");
    let mut known = new.clone();
    known["metadata"]["annotations"]["guard.milvus-guard.dev/allow"] = json!("MV902 reason=\"the same places\"");
    assert!(!is_held(&admitted(&cluster, &known, &held)));
    // Once none of the pods before is there, nothing is noted any more.
    let mut done = cluster.clone();
    for component in after.components() {
        done.put(ready(replica_set(&after.deployment(component), 1, 1)));
    }
    assert_eq!(noted(&configured(&done, &after.config_map()).0), None);
    // A first install, whatever comes first, and a release that was uninstalled a moment ago.
    let mut installing = Snapshot::default();
    installing.put(replica_set(&old, 1, 1));
    installing.put(old.clone());
    let mut leaving = Snapshot::default();
    leaving.put(ready(replica_set(&old, 1, 1)));
    for cluster in [Snapshot::default(), installing, leaving] {
        assert_eq!(ask(&cluster, &after.config_map(), &Value::Null), Answer::admitted());
    }
}

#[test]
fn files_of_several_config_maps_are_one_configuration() {
    // The chart's customConfigMap: the user's file comes from a ConfigMap of the user's own.
    let before = configuring("");
    let with = |object: &Value| {
        let mut object = object.clone();
        let pod = &mut object["spec"]["template"]["spec"];
        pod["containers"][0]["volumeMounts"].as_array_mut().unwrap().push(json!({"name": "own", "mountPath": "/milvus/configs/user.yaml", "subPath": "mine"}));
        pod["volumes"].as_array_mut().unwrap().push(json!({"name": "own", "configMap": {"name": "own"}}));
        object
    };
    let own = |text: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own", "namespace": "db"}, "data": {"mine": text}});
    let old = with(&before.deployment("proxy"));
    let mut cluster = Snapshot::new([ready(replica_set(&old, 1, 1)), old.clone(), before.config_map(), own("log: {level: info}\n")]);
    let harmless = ask(&cluster, &own("log: {level: debug}\n"), &own("log: {level: info}\n"));
    assert_eq!(harmless, Answer::admitted());
    let (moved, warnings) = configured(&cluster, &own("mq: {type: kafka}\n"));
    assert!(warnings[0].contains("the message queue (pulsar serves, kafka waits)"), "{warnings:?}");
    let map = block_on(moved.config_map("db", "own")).unwrap().unwrap();
    assert_eq!((&map["data"]["mine"], &map["data"]["mine.waiting"]), (&json!("log: {level: info}\n"), &json!("mq: {type: kafka}\n")));
    let mut restarted = old.clone();
    restarted["spec"]["template"]["metadata"]["annotations"]["checksum/config"] = json!("other");
    let held = admitted(&moved, &restarted, &old);
    assert!(is_waiting(&held) && annotation(&held, BLOCKED_ANNOTATION).unwrap().starts_with("MV401"), "{held}");
    let back = configured(&moved, &own("log: {level: info}\n")).0;
    assert_eq!(block_on(back.config_map("db", "own")).unwrap().unwrap()["data"], json!({"mine": "log: {level: info}\n"}));

    // Another ConfigMap in place of the chart's, and a volume that nobody reads.
    let plain = before.deployment("proxy");
    cluster.put(ready(replica_set(&plain, 1, 1)));
    cluster.put(own("etcd: {rootPath: other}\n"));
    let held = admitted(&cluster, &with(&plain), &plain);
    assert!(is_waiting(&held) && annotation(&held, BLOCKED_ANNOTATION).unwrap().starts_with("MV501"), "{held}");
    let mut secret = with(&plain);
    secret["spec"]["template"]["spec"]["volumes"][1] = json!({"name": "own", "secret": {"secretName": "own"}});
    let held = admitted(&cluster, &secret, &plain);
    assert!(is_waiting(&held) && annotation(&held, BLOCKED_ANNOTATION).unwrap().starts_with("MV902"), "{held}");
    assert_eq!(admitted(&cluster, &secret, &held), held);
}

#[test]
fn what_is_held_stays_so_when_what_served_is_taken_away() {
    let (before, after) = (recipe("4.2.20"), recipe("4.2.58"));
    let held = admitted(&whole(&before), &after.deployment("standalone"), &before.deployment("standalone"));
    let alone = admitted(&Snapshot::default(), &after.deployment("standalone"), &held);
    assert!(is_waiting(&alone) && annotation(&alone, BLOCKED_ANNOTATION).unwrap().starts_with("MV704"), "{alone}");
}

#[test]
fn a_configuration_that_moves_while_all_is_at_zero_waits_too() {
    let (before, after) = (configuring(""), configuring("mq: {type: kafka}\n"));
    let mut cluster = Snapshot::default();
    for component in before.components() {
        cluster.put(replica_set(&before.deployment(component), 1, 0));
    }
    cluster.put(before.config_map());
    let (cluster, warnings) = configured(&cluster, &after.config_map());
    assert!(warnings[0].contains("pulsar serves, kafka waits"), "{warnings:?}");
    assert!(is_waiting(&admitted(&cluster, &after.deployment("proxy"), &before.deployment("proxy"))));
}

#[test]
fn an_illegal_path_is_held_with_its_rule() {
    let (before, after) = (recipe("4.2.20"), recipe("5.0.19"));
    let mut cluster = whole(&before);
    let mut held = recipe("4.2.58").deployment("proxy");
    held = admitted(&cluster, &held, &before.deployment("proxy"));
    cluster.put(held.clone());
    let on_top = admitted(&cluster, &after.deployment("proxy"), &held);
    assert!(is_waiting(&on_top) && annotation(&on_top, BLOCKED_ANNOTATION).unwrap().starts_with("MV205"), "{on_top}");
    // The newer change that is legal replaces it.
    let legal = admitted(&cluster, &recipe("4.2.58").deployment("proxy"), &on_top);
    assert!(annotation(&legal, BLOCKED_ANNOTATION).is_none());
}

#[test]
fn an_alias_and_a_mirror_do_not_hide_an_illegal_path_and_what_cannot_be_read_waits_for_a_person() {
    let (before, after) = (recipe("4.2.20"), recipe("5.0.19"));
    let of = |recipe: &Recipe| {
        let mut object = recipe.deployment("proxy");
        object["metadata"]["labels"]["helm.sh/chart"] = json!(format!("vectors-{}", recipe.chart));
        let tag = recipe.image().rsplit(':').next().unwrap().to_owned();
        object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(format!("mirror.corp/db/vectordb:{tag}"));
        object
    };
    let cluster = Snapshot::new([ready(replica_set(&of(&before), 1, 1)), of(&before)]);
    let held = admitted(&cluster, &of(&after), &of(&before));
    assert!(annotation(&held, BLOCKED_ANNOTATION).unwrap().starts_with("MV205"), "{held}");
    let mut bare = of(&after);
    bare["metadata"]["labels"].as_object_mut().unwrap().remove("helm.sh/chart");
    assert!(annotation(&admitted(&cluster, &bare, &of(&before)), BLOCKED_ANNOTATION).unwrap().starts_with("MV902"));
    bare["metadata"]["annotations"]["guard.milvus-guard.dev/allow"] = json!("MV902 reason=\"looked at it\"");
    assert!(annotation(&admitted(&cluster, &bare, &of(&before)), BLOCKED_ANNOTATION).is_none());
}

#[test]
fn one_workload_of_a_cluster_is_not_taken_for_all_of_it() {
    let tagged = |chart, tag: &str, more: Value| {
        let mut values = json!({"image": {"all": {"tag": tag}}, "pulsar": {"enabled": false}, "pulsarv3": {"enabled": true}});
        values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Recipe::new(chart, 1, values)
    };
    let separate: Value =
        ["rootCoordinator", "queryCoordinator", "dataCoordinator", "indexCoordinator"].map(|key| (key, json!({"enabled": true}))).into_iter().collect();
    let mut with_separate = separate.clone();
    with_separate["mixCoordinator"] = json!({"enabled": false});
    let (before, after) = (tagged("4.2.58", "v2.5.22", json!({})), tagged("5.0.19", "v2.6.16", json!({})));
    let mut cluster = whole(&before);
    let blocked = |cluster: &Snapshot, object: &Value, old: &Value| annotation(&admitted(cluster, object, old), BLOCKED_ANNOTATION).map(str::to_owned);
    // There is no way back from 2.6, so a person has to know.
    let undeclared = blocked(&cluster, &after.deployment("proxy"), &before.deployment("proxy")).unwrap();
    let declared = api::guarded_upgrade("db", "m", "2.6.16");
    assert!(undeclared.starts_with("MV210: Milvus 2.6.16 cannot be walked back to 2.5.22") && undeclared.ends_with(&declared.to_string()), "{undeclared}");
    cluster.put(declared);
    // Streaming nodes arrive last, and index nodes go last: a legal change waits, and nothing keeps it from being released.
    for component in after.components() {
        let old = if before.components().contains(&component) { before.deployment(component) } else { Value::Null };
        assert_eq!(blocked(&cluster, &after.deployment(component), &old), None, "{component}");
    }
    // What runs is in sight as a whole.
    let separately = whole(&tagged("4.2.58", "v2.5.22", with_separate));
    assert!(blocked(&separately, &after.deployment("mixcoord"), &Value::Null).unwrap().starts_with("MV206"));
    assert!(
        blocked(&cluster, &tagged("4.2.58", "v2.5.22", json!({"cluster": {"enabled": false}})).deployment("standalone"), &Value::Null)
            .unwrap()
            .starts_with("MV213")
    );
}

#[test]
fn images_are_judged_by_the_versions_that_are_said_of_them() {
    let tagged = |chart, tag: &str| Recipe::new(chart, 1, json!({"image": {"all": {"tag": tag}}, "pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}}));
    let (before, after) = (tagged("4.2.58", "nightly"), tagged("4.2.58", "build-77"));
    let mut cluster = whole(&before);
    let mut blocked = |versions: Value| {
        let mut upgrade = api::guarded_upgrade("db", "m", "2.6.15");
        let named = |(tag, version): (&String, &Value)| (format!("milvusdb/milvus:{tag}"), version.clone());
        upgrade["spec"]["imageVersions"] = versions.as_object().unwrap().iter().map(named).collect();
        cluster.put(upgrade);
        annotation(&admitted(&cluster, &after.deployment("proxy"), &before.deployment("proxy")), BLOCKED_ANNOTATION).map(str::to_owned)
    };
    assert_eq!(blocked(json!({})), None, "nothing is known of it");
    assert!(blocked(json!({"nightly": "2.5.8", "build-77": "2.6.15"})).unwrap().starts_with("MV205"));
    assert!(blocked(json!({"nightly": "2.6.15", "build-77": "2.5.22"})).unwrap().starts_with("MV211"));
    assert_eq!(blocked(json!({"nightly": "2.5.16", "build-77": "2.5.22"})), None);
    // One tag of two images is not one version.
    let mut upgrade = api::guarded_upgrade("db", "m", "2.6.15");
    upgrade["spec"]["imageVersions"] = json!({"corp/milvus:nightly": "2.5.8", "corp/milvus:build-77": "2.6.15"});
    cluster.put(upgrade);
    assert_eq!(annotation(&admitted(&cluster, &after.deployment("proxy"), &before.deployment("proxy")), BLOCKED_ANNOTATION), None);
}

#[test]
fn all_rules_that_block_are_named_however_long_the_first_is() {
    let (before, after) = (recipe("4.2.20"), recipe("5.0.19"));
    let (cluster, _) = configured(&whole(&before), &Recipe::new("5.0.19", 1, json!({"kafka": {"enabled": true}})).config_map());
    let held = admitted(&cluster, &after.deployment("proxy"), &before.deployment("proxy"));
    let blocked = annotation(&held, BLOCKED_ANNOTATION).unwrap();
    assert!(blocked.starts_with("MV205") && blocked.ends_with(" Also: MV401.") && blocked.len() <= 400, "{blocked}");
}

#[test]
fn a_missing_declaration_is_a_hold_with_that_reason() {
    let (before, mut after) = (Recipe::new("3.2.18", 1, json!({})), Recipe::new("4.0.34", 1, json!({"image": {"all": {"tag": "v2.2.16"}}})));
    after.revision = 2;
    let mut cluster = whole(&before);
    let (old, new) = (before.deployment("proxy"), after.deployment("proxy"));
    assert!(annotation(&admitted(&cluster, &new, &old), BLOCKED_ANNOTATION).unwrap().starts_with("MV201"));
    cluster.put(api::guarded_upgrade("db", "m", "2.2.16"));
    let declared = admitted(&cluster, &new, &old);
    assert!(is_waiting(&declared) && annotation(&declared, BLOCKED_ANNOTATION).is_none(), "{declared}");
}

/// What the controller writes where it asks for a verdict, and what comes of it.
fn judged_again(cluster: &Snapshot, held: &Value, judged_for: &str) -> Value {
    let mut asked = held.clone();
    asked["metadata"]["annotations"][JUDGED_FOR_ANNOTATION] = json!(judged_for);
    as_controller(cluster, &asked, held)
}

/// What comes of a write of the controller.
fn as_controller(cluster: &Snapshot, object: &Value, old: &Value) -> Value {
    let mut request = request(object.clone(), old.clone());
    request.user_info.username = "guard".into();
    let guard = Guard::new(Arc::new(cluster.clone()), Configuration { controller: "guard".into(), ..Configuration::default() });
    let mut stored = object.clone();
    json_patch::patch(&mut stored, &block_on(judge(&guard, &request)).patch).unwrap();
    stored
}

#[test]
fn what_is_blocked_is_judged_again_where_the_controller_asks_and_notes_what_it_was_judged_for() {
    let (before, mut after) = (Recipe::new("3.2.18", 1, json!({})), Recipe::new("4.0.34", 1, json!({"image": {"all": {"tag": "v2.2.16"}}})));
    after.revision = 2;
    let mut cluster = whole(&before);
    let held = admitted(&cluster, &after.deployment("proxy"), &before.deployment("proxy"));
    assert!(annotation(&held, BLOCKED_ANNOTATION).is_some() && annotation(&held, JUDGED_FOR_ANNOTATION).is_none(), "nothing was declared: {held}");
    // A gate that has not seen yet what was declared leaves it as it is, so that it is asked again.
    assert_eq!(judged_again(&cluster, &held, "t1"), held);
    let upgrade = |to: &str| api::guarded_upgrade("db", "m", to);
    cluster.put(upgrade("2.3.12"));
    let still = judged_again(&cluster, &held, "t1");
    assert!(is_waiting(&still) && annotation(&still, BLOCKED_ANNOTATION).is_some());
    assert_eq!(annotation(&still, JUDGED_FOR_ANNOTATION).map(str::to_owned), opening::of_release(Some(&upgrade("2.3.12")), None, Timestamp::now()));
    cluster.put(upgrade("2.2.16"));
    let open = judged_again(&cluster, &still, "t2");
    assert!(is_waiting(&open) && annotation(&open, BLOCKED_ANNOTATION).is_none(), "{open}");
    // It is told what let it through, so that it is noticed where that is withdrawn; a gate that does not know of it yet says so by what it notes.
    let noted = opening::of_release(Some(&upgrade("2.2.16")), None, Timestamp::now());
    assert_eq!(annotation(&open, JUDGED_FOR_ANNOTATION).map(str::to_owned), noted);
    assert_eq!(judged_again(&cluster, &open, "t3"), open);
    let withdrawn = judged_again(&whole(&before), &open, "t3");
    assert!(annotation(&withdrawn, BLOCKED_ANNOTATION).unwrap().starts_with("MV201") && annotation(&withdrawn, JUDGED_FOR_ANNOTATION).is_none(), "{withdrawn}");
    // What the controller lets go loses its note, too, and asks for nothing by that.
    let mut let_go = open.clone();
    let_go["spec"].as_object_mut().unwrap().remove("paused");
    HOLD_ANNOTATIONS.iter().for_each(|name| drop(let_go["metadata"]["annotations"].as_object_mut().unwrap().remove(*name)));
    assert_eq!(as_controller(&cluster, &let_go, &open), let_go);
    // Where nothing is held any more, what is held stays so: all of it at once would be no order.
    let until = Timestamp::now().checked_add(jiff::SignedDuration::from_hours(1)).unwrap();
    let glass = json!({"annotations": {"guard.milvus-guard.dev/break-glass": format!("until={until} reason=x")}});
    for said in [json!({"labels": {"guard.milvus-guard.dev/mode": "warn"}}), glass] {
        let mut namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db"}});
        namespace["metadata"].as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let mut cluster = cluster.clone();
        cluster.put(namespace);
        let left = judged_again(&cluster, &still, "t3");
        assert!(is_waiting(&left) && annotation(&left, BLOCKED_ANNOTATION).is_some() && annotation(&left, JUDGED_FOR_ANNOTATION) == Some("t3"), "{left}");
    }
}

#[test]
fn what_never_ran_is_let_go_once_nothing_of_another_version_serves_any_more() {
    let (earlier, now) = (recipe("4.2.20"), recipe("4.2.58"));
    let held = admitted(&running(&earlier, &["mixcoord"]), &now.deployment("proxy"), &Value::Null);
    assert!(is_waiting(&held) && annotation(&held, BLOCKED_ANNOTATION).is_none(), "{held}");
    let note = opening::beside(None, "2.4.16");
    let still = judged_again(&running(&earlier, &["mixcoord"]), &held, &note);
    assert!(is_waiting(&still) && annotation(&still, JUDGED_FOR_ANNOTATION) == Some(&*note), "asked once: {still}");
    let free = judged_again(&running(&now, &["mixcoord"]), &held, &note);
    assert!(!is_held(&free) && free["spec"].get("paused").is_none() && annotation(&free, JUDGED_FOR_ANNOTATION).is_none(), "{free}");
}

#[test]
fn what_could_not_be_judged_in_time_is_asked_again() {
    let (before, after) = (Recipe::new("3.2.18", 1, json!({})), Recipe::new("4.0.34", 1, json!({"image": {"all": {"tag": "v2.2.16"}}})));
    let cluster = whole(&before);
    let held = admitted(&cluster, &after.deployment("proxy"), &before.deployment("proxy"));
    let mut asked = held.clone();
    asked["metadata"]["annotations"][JUDGED_FOR_ANNOTATION] = json!("t1");
    let mut request = request(asked.clone(), held.clone());
    request.user_info.username = "guard".into();
    let guard = Guard::new(Arc::new(cluster), Configuration { controller: "guard".into(), ..Configuration::default() });
    let answer = in_doubt(&guard, &request, Doubt::Budget);
    json_patch::patch(&mut asked, &answer.patch).unwrap();
    assert_eq!(asked, held);
}

#[test]
fn what_a_person_declared_says_so_and_what_the_controller_took_up_does_not() {
    let (before, mut after) = (Recipe::new("3.2.18", 1, json!({})), Recipe::new("4.0.34", 1, json!({"image": {"all": {"tag": "v2.2.16"}}})));
    after.revision = 2;
    let mut cluster = whole(&before);
    let (old, new) = (before.deployment("proxy"), after.deployment("proxy"));
    let mut upgrade = api::guarded_upgrade("db", "m", "2.2.16");
    upgrade["metadata"]["uid"] = json!("u-1");
    let mut declared = |upgrade: &Value| {
        cluster.put(upgrade.clone());
        annotation(&admitted(&cluster, &new, &old), DECLARED_ANNOTATION).map(str::to_owned)
    };
    assert_eq!(declared(&upgrade).as_deref(), Some("u-1"));
    upgrade["metadata"]["annotations"] = json!({CREATED_ANNOTATION: "us"});
    assert_eq!(declared(&upgrade), None);
    upgrade["spec"]["approval"] = json!("Manual");
    assert_eq!(declared(&upgrade), None, "a person said how it is to be carried out, and not that it is meant");
    upgrade["metadata"]["annotations"][LED_TO_ANNOTATION] = json!("");
    assert_eq!(declared(&upgrade).as_deref(), Some("u-1"), "a person took it over");
    let to = upgrade["spec"]["to"].clone();
    upgrade["metadata"]["annotations"] = json!({LED_TO_ANNOTATION: to});
    assert_eq!(declared(&upgrade), None, "the controller led it there");
    upgrade["metadata"]["annotations"] = json!({LED_TO_ANNOTATION: "2.2.15"});
    assert_eq!(declared(&upgrade).as_deref(), Some("u-1"), "a person leads it elsewhere");
    upgrade["spec"]["to"] = json!("2.2.15");
    assert_eq!(declared(&upgrade), None, "it leads elsewhere");
}

#[test]
fn what_the_controller_took_up_opens_no_door_before_it_began() {
    let (before, mut after) = (Recipe::new("3.2.18", 1, json!({})), Recipe::new("4.0.34", 1, json!({"image": {"all": {"tag": "v2.2.16"}}})));
    after.revision = 2;
    let cluster = whole(&before);
    let cluster = std::cell::RefCell::new(cluster);
    let why = |upgrade: &Value| {
        cluster.borrow_mut().put(upgrade.clone());
        let held = admitted(&cluster.borrow(), &after.deployment("proxy"), &before.deployment("proxy"));
        annotation(&held, BLOCKED_ANNOTATION).unwrap_or_default().to_owned()
    };
    let blocked = |upgrade: &Value| !why(upgrade).is_empty();
    let mut upgrade = api::guarded_upgrade("db", "m", "2.2.16");
    assert!(!blocked(&upgrade));
    upgrade["metadata"]["annotations"] = json!({CREATED_ANNOTATION: "us"});
    assert!(blocked(&upgrade), "what was waived, and is no more");
    upgrade["status"] = json!({"phase": "Running", "startedAt": "2026-11-22T00:00:00Z"});
    assert!(!blocked(&upgrade), "it is under way");
    upgrade["status"]["finishedAt"] = json!("2026-11-22T00:10:00Z");
    assert!(blocked(&upgrade), "it is over");
    upgrade["spec"]["approval"] = json!("Manual");
    assert!(blocked(&upgrade), "that says how it goes");
    upgrade["metadata"]["annotations"][LED_TO_ANNOTATION] = json!("2.2.16");
    assert!(blocked(&upgrade));
    let words = "GuardedUpgrade m followed the change by itself, and declares nothing; if it is meant: kubectl annotate guardedupgrade m -n db --overwrite guard.milvus-guard.dev/led-to=";
    assert!(why(&upgrade).contains(words), "{}", why(&upgrade));
    upgrade["metadata"]["annotations"][LED_TO_ANNOTATION] = json!("");
    assert!(!blocked(&upgrade), "a person declared it");
}

#[test]
fn the_operators_objects_and_other_charts_are_untouched() {
    let (before, after) = (recipe("4.2.20"), recipe("4.2.58"));
    let cluster = whole(&before);
    let owned = |mut object: Value| {
        object["metadata"]["ownerReferences"] = json!([{"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "name": "m", "uid": "1"}]);
        object
    };
    // As the operator makes them, by its own labels.
    let operators = |image: &str| {
        let mut object = owned(before.deployment("proxy"));
        let labels = json!({"app.kubernetes.io/name": "milvus", "app.kubernetes.io/instance": "m", "app.kubernetes.io/component": "proxy"});
        ["/metadata/labels", "/spec/selector/matchLabels", "/spec/template/metadata/labels"]
            .iter()
            .for_each(|at| *object.pointer_mut(at).unwrap() = labels.clone());
        object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        object
    };
    let answer = ask(&cluster, &operators("milvusdb/milvus:v2.6.15"), &operators("milvusdb/milvus:v2.4.16"));
    assert!(answer.patch.0.is_empty() && answer.warnings[0].starts_with("MV708"), "{answer:?}");
    assert!(ask(&cluster, &operators("milvusdb/milvus:v2.6.15"), &Value::Null).patch.0.is_empty());
    // What the charts made stays ours, whoever is written down as its owner before the change: its selector cannot change.
    let adopted = admitted(&cluster, &owned(before.deployment("proxy")), &before.deployment("proxy"));
    assert_eq!(adopted, owned(before.deployment("proxy")));
    for old in [&adopted, &Value::Null] {
        let answer = ask(&cluster, &owned(after.deployment("proxy")), old);
        assert!(answer.warnings.iter().any(|warning| warning.starts_with("MV708")), "{answer:?}");
        assert!(is_waiting(&admitted(&cluster, &owned(after.deployment("proxy")), old)));
    }
    let store = |image: &str| owned(etcd(image));
    assert!(is_held(&admitted(&cluster, &store("etcd:3.5.25"), &store("etcd:3.5.5"))), "nor does the operator own stores of a release");
    let (map, moved) = (configuring("").config_map(), configuring("etcd: {rootPath: other}\n").config_map());
    let mounted = whole(&configuring(""));
    assert!(!ask(&mounted, &owned(moved), &owned(map)).warnings.is_empty(), "nor the configuration that its pods mount");
    // An owner that comes with the change, or on what is held, takes no hold off: by one write, or by two.
    assert!(is_waiting(&admitted(&cluster, &owned(after.deployment("proxy")), &before.deployment("proxy"))));
    let held = admitted(&cluster, &after.deployment("proxy"), &before.deployment("proxy"));
    let adopted = admitted(&cluster, &owned(held.clone()), &held);
    for old in [&held, &adopted] {
        let mut resumed = owned(after.deployment("proxy"));
        resumed["spec"]["paused"] = json!(false);
        assert!(is_waiting(&admitted(&cluster, &resumed, old)) && is_waiting(&doubted(&cluster, &resumed, old)));
    }
    let mut labelled = after.deployment("proxy");
    labelled["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("milvus-operator");
    assert!(is_waiting(&admitted(&cluster, &labelled, &before.deployment("proxy"))), "a label is no owner");
    let mut attu = after.deployment("proxy");
    attu["spec"]["selector"]["matchLabels"]["component"] = json!("attu");
    attu["spec"]["template"]["metadata"]["labels"]["component"] = json!("attu");
    assert!(ask(&cluster, &attu, &Value::Null).patch.0.is_empty());
}

#[test]
fn an_alias_with_a_mirrored_image_is_told_by_what_it_mounts_and_other_software_is_left_alone() {
    let alias = |chart| Recipe { wrapper: Some(("search", "vec")), ..recipe(chart) };
    let mirrored = |chart: &'static str| {
        let recipe = alias(chart);
        let mut object = recipe.deployment("proxy");
        let image = recipe.image().replace("milvusdb/milvus", "corp/vectordb");
        object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        object
    };
    let bare = |mut object: Value| {
        object["spec"]["template"]["spec"]["containers"][0].as_object_mut().unwrap().remove("volumeMounts");
        object
    };
    let (before, after) = (mirrored("4.2.20"), mirrored("4.2.58"));
    let cluster = |before: &Value| {
        let mut cluster = running(&alias("4.2.20"), &[]);
        cluster.put(ready(replica_set(before, 1, 1)));
        cluster.put(before.clone());
        cluster
    };
    let held = admitted(&cluster(&before), &after, &before);
    assert!(is_waiting(&held) && is_waiting(&doubted(&cluster(&before), &after, &before)));
    // What it was tells what it is.
    assert!(is_waiting(&admitted(&cluster(&before), &bare(after.clone()), &before)));
    assert!(is_waiting(&admitted(&cluster(&before), &bare(after.clone()), &held)));
    // A proxy of other software.
    let (before, after) = (bare(before), bare(after));
    assert!(ask(&cluster(&before), &after, &before).patch.0.is_empty() && ask(&cluster(&before), &after, &Value::Null).patch.0.is_empty());
    assert_eq!(doubted(&cluster(&before), &after, &before), after);
}

#[test]
fn a_mode_that_there_is_not_is_told() {
    let (before, after) = (recipe("4.2.20"), recipe("4.2.58"));
    let mut cluster = whole(&before);
    cluster.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db", "labels": {"guard.milvus-guard.dev/mode": "off"}}}));
    let answer = ask(&cluster, &after.deployment("proxy"), &before.deployment("proxy"));
    assert!(!answer.patch.0.is_empty() && answer.warnings[0].contains("mode=off, which is no mode (enforce, warn, audit): enforce"), "{answer:?}");
}

#[test]
fn modes_break_glass_and_the_controller_let_run() {
    let (before, after) = (recipe("4.2.20"), recipe("4.2.58"));
    let (old, new) = (before.deployment("proxy"), after.deployment("proxy"));
    for (mode, warnings) in [("warn", 1), ("audit", 0)] {
        let mut cluster = whole(&before);
        cluster.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db", "labels": {"guard.milvus-guard.dev/mode": mode}}}));
        let answer = ask(&cluster, &new, &old);
        assert_eq!((answer.patch.0.len(), answer.warnings.len(), answer.audit.contains_key("would-hold")), (0, warnings, true), "{mode}");
    }
    let until = Timestamp::now().checked_add(jiff::SignedDuration::from_hours(1)).unwrap();
    let mut broken = new.clone();
    broken["metadata"]["annotations"]["guard.milvus-guard.dev/break-glass"] = json!(format!("reason=\"INC-7\" until={until}"));
    let answer = ask(&whole(&before), &broken, &old);
    assert!(answer.patch.0.is_empty() && answer.audit["break-glass"].starts_with("ada: INC-7"), "{answer:?}");
    let guard = Guard::new(Arc::new(whole(&before)), Configuration { controller: "ada".into(), ..Configuration::default() });
    assert_eq!(block_on(judge(&guard, &request(new, old))), Answer::admitted());
}

#[test]
fn a_stopped_workload_stays_at_zero_and_marks_come_back() {
    let before = recipe("4.2.20");
    let mut cluster = whole(&before);
    let mut old = before.deployment("proxy");
    old["spec"]["replicas"] = json!(0);
    old["metadata"]["annotations"][STOPPED_ANNOTATION] = json!("1");
    old["metadata"]["annotations"][STOPPED_FOR_ANNOTATION] = json!("which");
    let mut new = before.deployment("proxy");
    new["spec"]["replicas"] = json!(3);
    let stored = admitted(&cluster, &new, &old);
    assert_eq!((&stored["spec"]["replicas"], annotation(&stored, STOPPED_ANNOTATION)), (&json!(0), Some("3")));
    assert_eq!(annotation(&stored, STOPPED_FOR_ANNOTATION), Some("which"));
    // A stop that is left out comes back, and one that is given up goes.
    assert_eq!(annotation(&admitted(&cluster, &before.deployment("proxy"), &stored), STOPPED_ANNOTATION), Some("1"));
    new["metadata"]["annotations"][STOPPED_ANNOTATION] = json!("");
    for given_up in [admitted(&cluster, &new, &old), doubted(&cluster, &new, &old)] {
        assert_eq!((&given_up["spec"]["replicas"], annotation(&given_up, STOPPED_ANNOTATION)), (&json!(3), None));
        assert_eq!(annotation(&given_up, STOPPED_FOR_ANNOTATION), None);
    }
    // Where it is left at zero, what is remembered is not lost.
    let mut emptied = old.clone();
    emptied["metadata"]["annotations"][STOPPED_ANNOTATION] = json!("");
    let mut remembering = old.clone();
    remembering["metadata"]["annotations"][STOPPED_ANNOTATION] = json!("3");
    for given_up in [admitted(&cluster, &emptied, &remembering), doubted(&cluster, &emptied, &remembering)] {
        assert_eq!((&given_up["spec"]["replicas"], annotation(&given_up, STOPPED_ANNOTATION)), (&json!(3), None));
    }
    cluster.put(old);
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "m-milvus-proxy", "namespace": "db"}, "spec": {"replicas": 4}});
    assert_eq!(admitted(&cluster, &scale, &scale)["spec"]["replicas"], json!(0));

    let mut declared = api::guarded_upgrade("db", "m", "2.5.16");
    declared["status"] = json!({"phase": "Running"});
    let mut cluster = whole(&before);
    cluster.put(declared);
    let mut marked = before.deployment("rootcoord");
    marked["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("keep");
    marked["metadata"]["annotations"][MARKS_ANNOTATION] = json!("helm.sh/resource-policy");
    let stored = admitted(&cluster, &before.deployment("rootcoord"), &marked);
    assert_eq!(annotation(&stored, "helm.sh/resource-policy"), Some("keep"));
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-m-etcd-0", "namespace": "db", "labels": {"app.kubernetes.io/instance": "m"}}});
    assert_eq!(annotation(&admitted(&cluster, &claim, &claim), "helm.sh/resource-policy"), Some("keep"));
}

#[test]
fn nobody_but_the_controller_says_that_a_workload_is_stopped() {
    let before = recipe("4.2.20");
    let old = before.deployment("proxy");
    let mut said = old.clone();
    said["metadata"]["annotations"][STOPPED_ANNOTATION] = json!("1");
    said["metadata"]["annotations"][STOPPED_FOR_ANNOTATION] = json!("which");
    assert_eq!(admitted(&whole(&before), &said, &old), old);
    assert_eq!(doubted(&whole(&before), &said, &old), old, "nor where there is no time to judge it");
    // One that is restored from a backup has the replicas that it says.
    said["spec"]["replicas"] = json!(0);
    let answer = ask(&whole(&before), &said, &Value::Null);
    assert!(answer.warnings[0].contains("only the controller tells") && answer.warnings[0].contains("the 0 replicas"), "{answer:?}");
    let restored = admitted(&whole(&before), &said, &Value::Null);
    assert_eq!(
        (&restored["spec"]["replicas"], annotation(&restored, STOPPED_ANNOTATION), annotation(&restored, STOPPED_FOR_ANNOTATION)),
        (&json!(0), None, None)
    );
    assert_eq!(as_controller(&whole(&before), &said, &old), said);
}

fn etcd(image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "m-etcd", "namespace": "db", "labels": {"app.kubernetes.io/instance": "m", "app.kubernetes.io/name": "etcd"}},
        "spec": {"replicas": 3, "updateStrategy": {"type": "RollingUpdate"}, "template": {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "etcd", "image": image}]}}}})
}

#[test]
fn dependencies_wait_by_partition_and_get_it_back() {
    let cluster = whole(&recipe("4.2.20"));
    let (old, new) = (etcd("etcd:3.5.5"), etcd("etcd:3.5.25"));
    let held = admitted(&cluster, &new, &old);
    assert_eq!(
        held["spec"]["updateStrategy"]["rollingUpdate"]["partition"],
        json!(1_000_000),
        "beyond any replicas: those after a partition begin with what waits"
    );
    assert!(annotation(&held, HOLD_ANNOTATION).unwrap().starts_with("it is a store or queue of a release that changes"), "true also where no upgrade is open");
    assert!(is_held(&held) && annotation(&held, SERVING_ANNOTATION).is_some() && annotation(&held, PARTITION_ANNOTATION) == Some("0"));
    assert!(ask(&cluster, &held, &held).patch.0.is_empty());
    assert_eq!(admitted(&cluster, &new, &held), held);
    let mut back = held.clone();
    back["spec"]["template"] = old["spec"]["template"].clone();
    let back = admitted(&cluster, &back, &held);
    assert!(back["spec"]["updateStrategy"]["rollingUpdate"]["partition"] == json!(0) && !is_held(&back), "{back}");
    // No Milvus runs under this name.
    assert!(ask(&Snapshot::default(), &new, &old).patch.0.is_empty());
    // One that is scaled to zero needs its stores as they are.
    let mut at_zero = Snapshot::default();
    recipe("4.2.20").components().iter().for_each(|component| at_zero.put(replica_set(&recipe("4.2.20").deployment(component), 1, 0)));
    assert!(is_held(&admitted(&at_zero, &new, &old)));

    // A standalone MinIO is a Deployment.
    let minio = |image: &str| {
        let mut object = etcd(image);
        object["kind"] = json!("Deployment");
        object["metadata"]["name"] = json!("m-minio");
        object["metadata"]["labels"] = json!({"app": "minio", "release": "m"});
        object["spec"].as_object_mut().unwrap().remove("updateStrategy");
        object
    };
    let held = admitted(&cluster, &minio("minio:2024"), &minio("minio:2023"));
    assert!(is_waiting(&held), "{held}");
    assert!(ask(&cluster, &held, &held).patch.0.is_empty());
    let mut back = held.clone();
    back["spec"]["template"] = minio("minio:2023")["spec"]["template"].clone();
    let back = admitted(&cluster, &back, &held);
    assert!(back["spec"].get("paused").is_none() && !is_held(&back), "{back}");
}

#[test]
fn what_was_a_store_before_a_write_is_one_whatever_the_write_says_of_it() {
    let cluster = whole(&recipe("4.2.20"));
    let relabelled: [fn(&mut Value); 4] = [
        |object| drop(object["metadata"].as_object_mut().unwrap().remove("labels")),
        |object| object["metadata"]["labels"] = json!({"app.kubernetes.io/name": "etcd"}),
        |object| object["metadata"]["labels"]["app.kubernetes.io/name"] = json!("cache"),
        |object| object["metadata"]["labels"]["app.kubernetes.io/instance"] = json!("another"),
    ];
    let told = |object: &Value| (label(object, "app.kubernetes.io/name").map(str::to_owned), label(object, "app.kubernetes.io/instance").map(str::to_owned));
    let selecting = |mut object: Value| {
        object["spec"]["selector"] = json!({"matchLabels": {"app.kubernetes.io/name": "etcd", "app.kubernetes.io/instance": "m"}});
        object
    };
    for relabel in relabelled {
        for (old, new) in [(etcd("etcd:3.5.5"), etcd("etcd:3.5.25")), (selecting(etcd("etcd:3.5.5")), selecting(etcd("etcd:3.5.25")))] {
            let held = admitted(&cluster, &new, &old);
            let mut loosened = new.clone();
            relabel(&mut loosened);
            // With the change, and over the hold.
            for before in [&old, &held] {
                let stored = admitted(&cluster, &loosened, before);
                assert_eq!((&stored["spec"], told(&stored)), (&held["spec"], told(&old)), "the controller finds it by its labels: {stored}");
                assert!(is_held(&stored));
            }
        }
        // In two writes, where its selector tells: that does not change.
        let mut before = selecting(etcd("etcd:3.5.5"));
        relabel(&mut before);
        assert!(ask(&cluster, &before, &selecting(etcd("etcd:3.5.5"))).patch.0.is_empty());
        let mut after = selecting(etcd("etcd:3.5.25"));
        relabel(&mut after);
        let stored = admitted(&cluster, &after, &before);
        assert!(is_held(&stored) && told(&stored) == told(&etcd("")), "{stored}");
    }
}

#[test]
fn a_set_that_is_updated_as_its_pods_are_deleted_waits_too() {
    let cluster = whole(&recipe("4.2.20"));
    let on_delete = |image: &str, revisions: [&str; 2]| {
        let mut object = etcd(image);
        object["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
        object["status"] = json!({"currentRevision": revisions[0], "updateRevision": revisions[1]});
        object
    };
    let (old, new) = (on_delete("etcd:3.5.5", ["a", "a"]), on_delete("etcd:3.5.25", ["a", "a"]));
    let held = admitted(&cluster, &new, &old);
    assert_eq!(held["spec"]["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1_000_000}}));
    assert!(ask(&cluster, &held, &held).patch.0.is_empty());
    // As Helm 3 sends it, and as a replace does.
    let mut merged = held.clone();
    merged["spec"]["updateStrategy"]["type"] = json!("OnDelete");
    for sent in [merged, new.clone()] {
        assert_eq!(admitted(&cluster, &sent, &held), held);
    }
    let mut back = held.clone();
    back["spec"]["template"] = old["spec"]["template"].clone();
    let back = admitted(&cluster, &back, &held);
    assert!(back["spec"]["updateStrategy"] == json!({"type": "OnDelete"}) && !is_held(&back), "{back}");
    // Kubernetes would bring back the first template, and not the one that a pod has now.
    let mixed = ask(&cluster, &on_delete("etcd:3.5.25", ["a", "b"]), &on_delete("etcd:3.5.5", ["a", "b"]));
    assert!(mixed.patch.0.is_empty() && mixed.warnings[0].contains("cannot be held"), "{mixed:?}");
}

#[test]
fn only_the_stores_and_the_queue_that_milvus_names_are_its_own() {
    let cluster = whole(&recipe("4.2.20"));
    let is_held = |name: &str, software: &str| {
        let set = |image: &str| {
            let mut object = etcd(image);
            object["metadata"]["name"] = json!(name);
            object["metadata"]["labels"]["app.kubernetes.io/name"] = json!(software);
            object
        };
        !ask(&cluster, &set("x:2"), &set("x:1")).patch.0.is_empty()
    };
    for (name, software) in [("m-etcd", "etcd"), ("m-minio", "minio"), ("m-pulsar-bookie", "pulsar"), ("m-zookeeper", "zookeeper")] {
        assert!(is_held(name, software), "{name}");
    }
    for (name, software) in [("m-mysql", "mysql"), ("shop-etcd", "etcd"), ("m-backups-minio", "minio"), ("m-kafka", "kafka")] {
        assert!(!is_held(name, software), "{name}");
    }
    // Without the configuration nobody knows.
    let mut unread = Snapshot::default();
    cluster.objects(Kind::ReplicaSet, "db").iter().for_each(|set| unread.put((**set).clone()));
    assert!(!ask(&unread, &etcd("x:2"), &etcd("x:1")).patch.0.is_empty());
}

/// A cluster after a ConfigMap was written: what is stored of it, and what was said.
fn configured(cluster: &Snapshot, map: &Value) -> (Snapshot, Vec<String>) {
    let mut cluster = cluster.clone();
    let old = block_on(cluster.config_map("db", map["metadata"]["name"].as_str().unwrap())).unwrap().unwrap();
    let mut sent = map.clone();
    // As Helm's three-way merge and server-side apply do: an annotation that nobody sent stays.
    sent["metadata"]["annotations"] = old["metadata"]["annotations"].clone();
    if sent["metadata"]["annotations"].is_null() {
        sent["metadata"].as_object_mut().unwrap().remove("annotations");
    }
    let mut again = map.clone();
    let apply = |sent: &Value, old: &Value| {
        // A key that nobody sent stays, too.
        let mut sent = sent.clone();
        let kept: Vec<(String, Value)> =
            old["data"].as_object().unwrap().iter().filter(|(key, _)| key.ends_with(".waiting")).map(|(key, text)| (key.clone(), text.clone())).collect();
        sent["data"].as_object_mut().unwrap().extend(kept);
        (ask(&cluster, &sent, old).warnings, admitted(&cluster, &sent, old))
    };
    let (warnings, stored) = apply(&sent, &old);
    again["metadata"] = stored["metadata"].clone();
    assert_eq!(apply(&again, &stored).1, stored, "the same again changes nothing");
    cluster.put(stored);
    (cluster, warnings)
}

fn noted(cluster: &Snapshot) -> Option<String> {
    let map = block_on(cluster.config_map("db", "m-milvus")).unwrap().unwrap();
    annotation(&map, SERVING_CONFIGURATION_ANNOTATION).map(str::to_owned)
}

fn configuring(user: &str) -> Recipe {
    Recipe::new("4.2.20", 2, json!({"extraConfigFiles": {"user.yaml": user}}))
}

#[test]
fn another_queue_or_store_waits_although_the_image_is_the_same() {
    let before = configuring("");
    let cases = [
        ("mq: {type: kafka}\n", "the message queue (pulsar serves, kafka waits)", "MV401"),
        ("etcd: {rootPath: other}\n", "the metadata (etcd.rootPath)", "MV501"),
        ("minio: {bucketName: other}\n", "the object storage (minio.bucketName)", "MV502"),
        ("minio: {bucketName: other}\netcd: {endpoints: [x]}\n", "the metadata (etcd.endpoints), the object storage (minio.bucketName)", "MV501"),
    ];
    for (user, words, rule) in cases {
        let after = configuring(user);
        let (cluster, warnings) = configured(&whole(&before), &after.config_map());
        assert!(warnings[0].contains(words), "{warnings:?}");
        // A pod that restarts meanwhile finds what serves; what was written waits beside it.
        let files = |cluster: &Snapshot| block_on(cluster.config_map("db", "m-milvus")).unwrap().unwrap()["data"].clone();
        assert_eq!((&files(&cluster)["user.yaml"], &files(&cluster)["user.yaml.waiting"]), (&json!(""), &json!(user)));
        let (old, new) = (before.deployment("proxy"), after.deployment("proxy"));
        let held = admitted(&cluster, &new, &old);
        assert!(is_waiting(&held) && annotation(&held, HOLD_ANNOTATION).unwrap().contains(words), "{held}");
        // What gate 1 refuses is released by nothing.
        assert!(annotation(&held, BLOCKED_ANNOTATION).unwrap().starts_with(rule), "{held}");
        assert_eq!(admitted(&cluster, &new, &held), held, "a state, not a difference");
        // Another log level on top: it still waits for the same reason.
        let later = configuring(&format!("{user}log: {{level: debug}}\n"));
        let (cluster, _) = configured(&cluster, &later.config_map());
        let again = admitted(&cluster, &later.deployment("proxy"), &held);
        assert!(is_waiting(&again) && annotation(&again, HOLD_ANNOTATION).unwrap().contains(words), "{again}");
        // Put back: nothing is noted, nothing is held.
        let (cluster, warnings) = configured(&cluster, &before.config_map());
        assert!(noted(&cluster).is_none() && warnings.is_empty(), "{warnings:?}");
        assert_eq!(files(&cluster), before.config_map()["data"]);
        assert!(!is_held(&admitted(&cluster, &old, &held)));
    }
}

#[test]
fn a_file_that_serving_pods_mount_stays_until_none_does() {
    let (before, after) = (configuring(""), Recipe::new("4.2.58", 2, json!({})));
    // Chart 3 called its file milvus.yaml, chart 4 calls it default.yaml.
    let in_chart_3 = |text: &Value| serde_json::from_str::<Value>(&text.to_string().replace("default.yaml", "milvus.yaml")).unwrap();
    let with = |objects: &Snapshot, map: &Value| {
        let mut cluster = Snapshot::default();
        objects.objects(Kind::ReplicaSet, "db").iter().for_each(|set| cluster.put((**set).clone()));
        cluster.put(map.clone());
        cluster
    };
    let chart_3 = {
        let mut cluster = Snapshot::default();
        whole(&before).objects(Kind::ReplicaSet, "db").iter().for_each(|set| cluster.put(in_chart_3(set)));
        cluster
    };
    let (cluster, warnings) = configured(&with(&chart_3, &in_chart_3(&before.config_map())), &after.config_map());
    assert_eq!(warnings, ["ConfigMap m-milvus keeps milvus.yaml: pods that serve mount it"]);
    let map = block_on(cluster.config_map("db", "m-milvus")).unwrap().unwrap();
    assert_eq!(map["data"]["milvus.yaml"], before.config_map()["data"]["default.yaml"]);
    assert_eq!(map["data"]["default.yaml"], after.config_map()["data"]["default.yaml"]);
    // The same again, as a tool sends it that leaves alone what it did not write; then with pods that no longer mount it.
    assert_eq!(admitted(&cluster, &map, &map), map);
    let done = admitted(&with(&whole(&after), &map), &map, &map);
    assert_eq!((&done["data"], &done["metadata"]["annotations"]), (&after.config_map()["data"], &json!({})));
}

#[test]
fn what_moves_by_broken_glass_or_under_warn_passes() {
    let (before, mut after) = (configuring(""), configuring("mq: {type: kafka}\n").config_map());
    let mut cluster = whole(&before);
    let until = Timestamp::now().checked_add(jiff::SignedDuration::from_hours(1)).unwrap();
    after["metadata"]["annotations"] = json!({"guard.milvus-guard.dev/break-glass": format!("reason=\"INC-7\" until={until}")});
    let passed = admitted(&cluster, &after, &before.config_map());
    assert_eq!(passed["data"], after["data"]);
    after["metadata"].as_object_mut().unwrap().remove("annotations");
    cluster.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db", "labels": {"guard.milvus-guard.dev/mode": "warn"}}}));
    assert_eq!(admitted(&cluster, &after, &before.config_map())["data"], after["data"]);
}

#[test]
fn a_queue_that_changes_at_gate_3_is_told_with_its_rule() {
    let (before, after) = (configuring(""), configuring("mq: {type: kafka}\n"));
    let (cluster, _) = configured(&whole(&before), &after.config_map());
    let held = admitted(&cluster, &after.deployment("proxy"), &before.deployment("proxy"));
    assert!(annotation(&held, BLOCKED_ANNOTATION).unwrap().starts_with("MV401"), "{held}");
}

#[test]
fn other_configuration_runs_and_what_took_a_queue_up_is_no_longer_compared_with_the_one_before() {
    let (before, level) = (configuring(""), configuring("log: {level: debug}\n"));
    let (cluster, warnings) = configured(&whole(&before), &level.config_map());
    assert!(warnings.is_empty() && noted(&cluster).is_none());
    assert!(ask(&cluster, &level.deployment("proxy"), &before.deployment("proxy")).patch.0.is_empty());
    // The controller let Kafka go; the note is of pods that are gone.
    let kafka = configuring("mq: {type: kafka}\n");
    let (stale, _) = configured(&whole(&before), &kafka.config_map());
    let note = noted(&stale).unwrap();
    let mut cluster = whole(&kafka);
    let mut map = kafka.config_map();
    map["metadata"]["annotations"] = json!({SERVING_CONFIGURATION_ANNOTATION: note});
    cluster.put(map);
    let later = configuring("mq: {type: kafka}\nlog: {level: debug}\n");
    let (cluster, _) = configured(&cluster, &later.config_map());
    assert!(noted(&cluster).is_none());
    assert!(ask(&cluster, &later.deployment("proxy"), &kafka.deployment("proxy")).patch.0.is_empty());
}

#[test]
fn a_restart_after_a_configuration_was_edited_by_hand_waits_too() {
    let (before, after) = (configuring(""), configuring("mq: {type: kafka}\n"));
    let (cluster, _) = configured(&whole(&before), &after.config_map());
    let mut restarted = before.deployment("proxy");
    restarted["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = json!("x");
    assert!(is_waiting(&admitted(&cluster, &restarted, &before.deployment("proxy"))));
    // Replicas alone make no new pods of another template.
    let mut scaled = before.deployment("proxy");
    scaled["spec"]["replicas"] = json!(4);
    assert!(ask(&cluster, &scaled, &before.deployment("proxy")).patch.0.is_empty());
}

#[test]
fn a_configuration_that_is_not_there_is_told_and_holds_nothing() {
    let (before, mut after) = (configuring(""), configuring("log: {level: debug}\n").deployment("proxy"));
    after["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"] = json!("own");
    let answer = ask(&whole(&before), &after, &before.deployment("proxy"));
    assert!(answer.patch.0.is_empty() && answer.warnings[0].contains("ConfigMap own is not there"), "{answer:?}");
    // Another ConfigMap with another queue is compared with the one that serves.
    let mut cluster = whole(&before);
    let mut map = configuring("mq: {type: kafka}\n").config_map();
    map["metadata"]["name"] = json!("own");
    cluster.put(map);
    assert!(is_waiting(&admitted(&cluster, &after, &before.deployment("proxy"))));
}

#[test]
fn a_configuration_of_nobody_and_one_in_audit_are_left_alone() {
    let after = configuring("mq: {type: kafka}\n").config_map();
    let before = configuring("").config_map();
    assert_eq!(ask(&Snapshot::default(), &after, &before), Answer::admitted());
    let mut cluster = whole(&configuring(""));
    cluster.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db", "labels": {"guard.milvus-guard.dev/mode": "audit"}}}));
    assert_eq!(ask(&cluster, &after, &before), Answer::admitted());
}

#[test]
fn all_workloads_of_a_change_say_so_however_it_arrives() {
    let (before, after) = (recipe("4.2.20"), recipe("4.2.58"));
    let mut cluster = whole(&before);
    let mut ids = Vec::new();
    for component in before.components() {
        let (old, new) = (before.deployment(component), after.deployment(component));
        let held = admitted(&cluster, &new, &old);
        // Alone, after its neighbours, in a dry run, before a replica that knows of none of them: the same.
        let mut dry = request(new.clone(), old.clone());
        dry.dry_run = Some(true);
        let guard = Guard::new(Arc::new(whole(&before)), Configuration::default());
        let mut tried = new.clone();
        json_patch::patch(&mut tried, &block_on(judge(&guard, &dry)).patch).unwrap();
        assert_eq!(tried, held);
        ids.push(annotation(&held, CHANGE_ANNOTATION).unwrap().to_owned());
        cluster.put(held);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    // A newer change replaces it, on each of them.
    let newer = Recipe::new("4.2.58", 3, json!({"pulsar": {"enabled": true}, "pulsarv3": {"enabled": false}, "image": {"all": {"tag": "v2.5.22"}}}));
    let held = cluster.object(Kind::Deployment, "db", "m-milvus-proxy").unwrap();
    let replaced = admitted(&cluster, &newer.deployment("proxy"), &held);
    assert_ne!(annotation(&replaced, CHANGE_ANNOTATION), Some(ids[0].as_str()));
    // More memory for one of them is the same change, and another template.
    let mut larger = (*held).clone();
    larger["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "8Gi"}});
    let larger = admitted(&cluster, &larger, &held);
    assert_eq!(annotation(&larger, CHANGE_ANNOTATION), Some(ids[0].as_str()));
    assert_ne!(annotation(&larger, TEMPLATE_ANNOTATION), annotation(&held, TEMPLATE_ANNOTATION));
}

#[test]
fn claims_are_kept_by_either_label_while_an_upgrade_is_open_and_only_then() {
    let claim =
        |labels: Value| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-0", "namespace": "db", "labels": labels}});
    let recipe = recipe("4.2.20");
    let closed = whole(&recipe);
    let mut held = recipe.deployment("proxy");
    held["metadata"]["annotations"][HOLD_ANNOTATION] = json!("x");
    let mut by_hold = closed.clone();
    by_hold.put(held);
    let mut upgrade = api::guarded_upgrade("db", "m", "2.2.16");
    upgrade["status"] = json!({"phase": "Running"});
    let by_upgrade = Snapshot::new([upgrade]);
    for labels in [json!({"app.kubernetes.io/instance": "m"}), json!({"release": "m"}), json!({"app.kubernetes.io/instance": "other", "release": "m"})] {
        let claim = claim(labels);
        assert_eq!(ask(&closed, &claim, &claim), Answer::admitted());
        for open in [&by_hold, &by_upgrade] {
            for old in [&claim, &Value::Null] {
                let kept = admitted(open, &claim, old);
                assert_eq!(
                    (annotation(&kept, "helm.sh/resource-policy"), annotation(&kept, MARKS_ANNOTATION)),
                    (Some("keep"), Some("helm.sh/resource-policy"))
                );
                assert_eq!(ask(open, &kept, &kept), Answer::admitted());
            }
        }
    }
    for others in [json!({"release": "n"}), json!({})] {
        let claim = claim(others);
        assert_eq!(ask(&by_hold, &claim, &claim), Answer::admitted());
    }
}

#[test]
fn stores_wait_while_milvus_is_stopped_for_a_migration() {
    let mut upgrade = api::guarded_upgrade("db", "m", "2.2.16");
    upgrade["status"] = json!({"phase": "Running"});
    let stopped = Snapshot::new([upgrade]);
    let held = admitted(&stopped, &etcd("etcd:3.5.25"), &etcd("etcd:3.5.5"));
    assert!(is_held(&held), "{held}");
    // Somebody else's set under the same instance label.
    let other = |image: &str| {
        let mut object = etcd(image);
        object["metadata"]["labels"]["app.kubernetes.io/name"] = json!("postgresql");
        object
    };
    assert_eq!(ask(&whole(&recipe("4.2.20")), &other("pg:17"), &other("pg:16")), Answer::admitted());
}

#[test]
fn two_releases_of_a_namespace_do_not_hold_each_other() {
    let (mine, other) = (recipe("4.2.20"), Recipe { name: "n", ..recipe("4.2.20") });
    let mut cluster = whole(&mine);
    for component in other.components() {
        cluster.put(ready(replica_set(&other.deployment(component), 1, 1)));
        cluster.put(other.deployment(component));
    }
    let held = admitted(&cluster, &Recipe { name: "n", ..recipe("4.2.58") }.deployment("proxy"), &other.deployment("proxy"));
    assert!(is_waiting(&held));
    cluster.put(held);
    let mut configured = mine.deployment("querynode");
    configured["spec"]["template"]["metadata"]["annotations"]["checksum/config"] = json!("other");
    assert!(ask(&cluster, &configured, &mine.deployment("querynode")).patch.0.is_empty());
    // Two of one release, told apart by their name label.
    let hot = Recipe { name_override: Some("hot"), ..recipe("4.2.20") };
    for component in hot.components() {
        cluster.put(ready(replica_set(&hot.deployment(component), 1, 1)));
    }
    let held = admitted(&cluster, &Recipe { name_override: Some("hot"), ..recipe("4.2.58") }.deployment("proxy"), &hot.deployment("proxy"));
    assert!(is_waiting(&held));
    cluster.put(held);
    assert!(ask(&cluster, &configured, &mine.deployment("querynode")).patch.0.is_empty());
}

#[test]
fn in_doubt_what_moves_is_held() {
    let guard = Guard::new(Arc::new(Snapshot::default()), Configuration::default());
    let (old, new) = (recipe("4.2.20").deployment("proxy"), recipe("4.2.58").deployment("proxy"));
    assert!(!in_doubt(&guard, &request(new, old.clone()), Doubt::Budget).patch.0.is_empty());
    assert!(in_doubt(&guard, &request(old.clone(), old), Doubt::Budget).patch.0.is_empty());
}

/// The object as it leaves admission without a verdict.
fn doubted(cluster: &Snapshot, object: &Value, old: &Value) -> Value {
    let guard = Guard::new(Arc::new(cluster.clone()), Configuration { controller: "guard".into(), ..Configuration::default() });
    let mut stored = object.clone();
    json_patch::patch(&mut stored, &in_doubt(&guard, &request(object.clone(), old.clone()), Doubt::Budget).patch).unwrap();
    stored
}

#[test]
fn what_is_held_in_doubt_is_blocked_until_the_controller_had_it_judged() {
    let (before, mut after) = (Recipe::new("3.2.18", 1, json!({})), Recipe::new("4.0.34", 1, json!({"image": {"all": {"tag": "v2.2.16"}}})));
    after.revision = 2;
    let mut cluster = whole(&before);
    let (old, new) = (before.deployment("proxy"), after.deployment("proxy"));
    let held = admitted(&cluster, &new, &old);
    let why = annotation(&held, BLOCKED_ANNOTATION).unwrap();
    assert!(why.starts_with("MV201"), "{why}");
    // Of the same template nothing is forgotten, whatever the write leaves out; another one, and a first write, say that they were not judged.
    let mut bare = held.clone();
    bare["metadata"]["annotations"] = json!({"note": "x"});
    let again = doubted(&cluster, &bare, &held);
    assert!(is_waiting(&again) && annotation(&again, BLOCKED_ANNOTATION) == Some(why), "{again}");
    assert_eq!(annotation(&again, SERVING_CHART_ANNOTATION), annotation(&held, SERVING_CHART_ANNOTATION));
    let mut third = held.clone();
    third["spec"]["template"]["spec"]["containers"][0]["image"] = json!("milvusdb/milvus:v2.2.15");
    for fresh in [doubted(&cluster, &new, &old), doubted(&cluster, &new, &Value::Null), doubted(&cluster, &third, &held)] {
        assert!(is_waiting(&fresh) && annotation(&fresh, BLOCKED_ANNOTATION).unwrap().starts_with("it could not be judged in time"), "{fresh}");
    }
    // Whatever stands now, the note differs from it; once it can be judged, it is as if there had been no doubt.
    let fresh = doubted(&cluster, &new, &old);
    assert_eq!((annotation(&again, JUDGED_FOR_ANNOTATION), annotation(&fresh, JUDGED_FOR_ANNOTATION)), (Some(opening::NOT_JUDGED), Some(opening::NOT_JUDGED)));
    assert_eq!(judged_again(&cluster, &fresh, ""), held);
    let judged = judged_again(&cluster, &again, "");
    assert!(HOLD_ANNOTATIONS.iter().all(|name| annotation(&judged, name) == annotation(&held, name)), "{judged}");
    cluster.put(api::guarded_upgrade("db", "m", "2.2.16"));
    let open = judged_again(&cluster, &fresh, "t1");
    assert!(is_waiting(&open) && annotation(&open, BLOCKED_ANNOTATION).is_none(), "{open}");
    // What moves nothing was held for the doubt alone.
    let mut configured = old.clone();
    configured["spec"]["template"]["metadata"]["annotations"]["checksum/config"] = json!("other");
    let waits = doubted(&whole(&before), &configured, &old);
    assert!(is_waiting(&waits) && judged_again(&whole(&before), &waits, "") == configured, "{waits}");
    // Where nothing of the release serves, what is new is a first install.
    assert!(!is_held(&doubted(&Snapshot::default(), &new, &Value::Null)));
}
