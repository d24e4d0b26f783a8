//! Held, stopped and marked objects, and what is left on them.

use std::sync::Arc;

use super::*;
use crate::admission::hold::{BLOCKED_ANNOTATION, CHANGE_ANNOTATION, HOLD_ANNOTATION, PARTITION, SERVING_ANNOTATION, TEMPLATE_ANNOTATION};

fn template(tag: &str) -> Value {
    json!({"metadata": {"labels": {"component": "proxy"}}, "spec": {"containers": [{"name": "proxy", "image": format!("milvusdb/milvus:{tag}")}]}})
}

fn held() -> Value {
    json!({"metadata": {"name": "m-milvus-proxy", "resourceVersion": "7", "annotations": {"own": "x", HOLD_ANNOTATION: "why", CHANGE_ANNOTATION: "id", TEMPLATE_ANNOTATION: "t", BLOCKED_ANNOTATION: "no",
        MARKS_ANNOTATION: "helm.sh/resource-policy", "helm.sh/resource-policy": "keep"}}, "spec": {"paused": true, "replicas": 2, "template": template("v2.5.16")}})
}

fn serving(tag: &str, pods: u64) -> Serving {
    let mut template = template(tag);
    template["metadata"]["labels"][HASH_LABEL] = json!("abc");
    Serving {
        deployment: "m-milvus-proxy".into(),
        component: "proxy".into(),
        label: "milvus".into(),
        pods,
        object: Arc::new(json!({"spec": {"template": template}})),
    }
}

fn applied(object: &Value, undo: &Undo) -> Value {
    let mut object = object.clone();
    json_patch::patch(&mut object, &undo.patch).unwrap();
    object
}

#[test]
fn what_is_sent_counts_only_for_the_very_object_that_was_read() {
    let mut read = held();
    read["metadata"]["uid"] = json!("u");
    let sent: json_patch::Patch = serde_json::from_value(guarded(&read, &marked(&read).unwrap().patch)).unwrap();
    let taken = |uid: &str, version: &str| {
        let mut object = read.clone();
        object["metadata"]["uid"] = json!(uid);
        object["metadata"]["resourceVersion"] = json!(version);
        json_patch::patch(&mut object, &sent).is_ok()
    };
    assert!(taken("u", "7") && !taken("u", "8") && !taken("other", "7"));
}

#[test]
fn a_held_deployment_goes_back_to_what_serves_and_keeps_what_is_not_ours() {
    let undo = deployment(&held(), &[serving("v2.4.16", 2)], &[]).unwrap();
    let after = applied(&held(), &undo);
    assert_eq!(after["spec"]["template"], template("v2.4.16"), "the very template of the ReplicaSet, so that no pod is replaced");
    assert!(after["spec"].get("paused").is_none());
    assert_eq!((still(&held()), still(&after)), (Some("it is held"), None));
    assert_eq!(after["metadata"]["annotations"], json!({"own": "x"}));
}

#[test]
fn the_template_with_more_pods_wins() {
    let undo = deployment(&held(), &[serving("v2.5.1", 1), serving("v2.4.16", 2)], &[]).unwrap();
    assert_eq!(applied(&held(), &undo)["spec"]["template"], template("v2.4.16"));
}

#[test]
fn a_component_that_never_ran_is_left_paused_and_told() {
    let undo = deployment(&held(), &[], &[]).unwrap();
    assert!(undo.patch.0.is_empty() && undo.what.contains("left paused"));
}

#[test]
fn a_component_that_never_ran_and_fits_what_serves_runs() {
    let labels = |component: &str| json!({"app.kubernetes.io/instance": "m", "component": component});
    let mut object = held();
    object["spec"]["selector"] = json!({"matchLabels": labels("indexnode")});
    object["spec"]["template"] =
        json!({"metadata": {"labels": labels("indexnode")}, "spec": {"containers": [{"name": "indexnode", "image": "milvusdb/milvus:v2.5.16"}]}});
    let undo = deployment(&object, &[], &[serving("v2.5.16", 2)]).unwrap();
    let after = applied(&object, &undo);
    assert!(after["spec"].get("paused").is_none() && !is_held(&after), "{undo:?}");
    for others in [vec![serving("v2.4.16", 2)], vec![serving("v2.5.16", 0)], vec![]] {
        assert!(deployment(&object, &[], &others).unwrap().patch.0.is_empty());
    }
}

#[test]
fn an_object_without_a_trace_of_ours_is_not_touched() {
    let plain = json!({"metadata": {"annotations": {"helm.sh/resource-policy": "keep"}}, "spec": {"paused": true, "template": template("v2.4.16")}});
    assert_eq!((deployment(&plain, &[serving("v2.3.1", 1)], &[]), stateful_set(&plain, None), marked(&plain)), (None, None, None));
}

#[test]
fn a_stopped_deployment_gets_its_replicas_back() {
    let mut stopped = held();
    stopped["spec"]["replicas"] = json!(0);
    stopped["metadata"]["uid"] = json!("u");
    stopped["metadata"]["annotations"] = json!({STOPPED_ANNOTATION: "3", STOPPED_FOR_ANNOTATION: "which"});
    let after = applied(&stopped, &deployment(&stopped, &[], &[]).unwrap());
    assert_eq!((&after["spec"]["replicas"], after["metadata"]["annotations"].as_object().unwrap().len()), (&json!(3), 0));
    assert_eq!((still(&stopped), still(&after)), (Some("it is stopped"), None));
    // Where the webhook would put it back, it is given up by a word that the webhook takes off.
    let sent = giving_up(guarded(&stopped, &deployment(&stopped, &[], &[]).unwrap().patch));
    json_patch::patch(&mut stopped, &serde_json::from_value::<json_patch::Patch>(sent).unwrap()).unwrap();
    assert_eq!((&stopped["spec"]["replicas"], &stopped["metadata"]["annotations"]), (&json!(3), &json!({STOPPED_ANNOTATION: ""})));
}

#[test]
fn a_held_stateful_set_goes_back_to_its_current_revision_and_partition() {
    let object = json!({"metadata": {"resourceVersion": "7", "annotations": {HOLD_ANNOTATION: "why", SERVING_ANNOTATION: "h", PARTITION_ANNOTATION: "1"}},
        "spec": {"template": template("v2"), "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}}});
    let mut old = template("v1");
    old["$patch"] = json!("replace");
    let revision = json!({"data": {"spec": {"template": old}}});
    let after = applied(&object, &stateful_set(&object, Some(&revision)).unwrap());
    assert_eq!((&after["spec"]["template"], after.pointer(PARTITION)), (&template("v1"), Some(&json!(1))));
    assert!(stateful_set(&object, None).unwrap().patch.0.is_empty(), "nothing is guessed");
    let mut on_delete = object.clone();
    on_delete["metadata"]["annotations"][PARTITION_ANNOTATION] = json!("OnDelete");
    assert_eq!(applied(&on_delete, &stateful_set(&on_delete, Some(&revision)).unwrap())["spec"]["updateStrategy"], json!({"type": "OnDelete"}));
}

#[test]
fn notes_on_a_configuration_and_what_waits_are_taken_off() {
    let map = json!({"metadata": {"resourceVersion": "7", "annotations": {"own": "x", "guard.milvus-guard.dev/serving-configuration": "{}"}}, "data": {"default.yaml": "b", "default.yaml.waiting": "c"}});
    let after = applied(&map, &configuration(&map).unwrap());
    assert_eq!(after["data"], json!({"default.yaml": "b"}));
    assert_eq!(after["metadata"]["annotations"], json!({"own": "x"}));
    assert!(configuration(&after).is_none());
}

#[test]
fn a_helm_release_gets_preserve_values_back_and_keeps_its_other_sources() {
    let release = |sources: Value, preserve: bool| json!({"metadata": {"name": "m", "resourceVersion": "7"}, "spec": {"releaseName": "vec", "upgrade": {"preserveValues": preserve}, "valuesFrom": sources}});
    let (carried, own) = (json!({"kind": "Secret", "name": "milvus-guard-carried-m"}), json!({"kind": "ConfigMap", "name": "mine"}));
    for (sources, left) in [(json!([carried, own]), Some(&json!([own]))), (json!([carried]), None)] {
        let mutated = release(sources, false);
        let after = applied(&mutated, &helm_release(&mutated).unwrap());
        assert_eq!((&after["spec"]["upgrade"]["preserveValues"], after["spec"].get("valuesFrom")), (&json!(true), left));
        assert_eq!(helm_release(&after), None);
        // A run after one that was cut short finds the Secret.
        assert_eq!([&mutated, &after].map(carried_for), [Some("milvus-guard-carried-m".to_owned()), Some("milvus-guard-carried-m".to_owned())]);
    }
    let others = release(json!([own]), false);
    assert_eq!((helm_release(&others), carried_for(&others)), (None, None), "what we did not change is not touched");
}

#[test]
fn nothing_of_fields_stays_ours() {
    let entry = |manager: &str| json!({"manager": manager, "operation": "Update"});
    let object = json!({"metadata": {"resourceVersion": "7", "managedFields": [entry("helm"), entry("milvus-guard")]}});
    let patch: json_patch::Patch = serde_json::from_value(disowning(&object, "milvus-guard").unwrap()).unwrap();
    let mut after = object.clone();
    json_patch::patch(&mut after, &patch).unwrap();
    assert_eq!(after["metadata"]["managedFields"], json!([entry("helm")]));
    assert_eq!(disowning(&after, "milvus-guard"), None);
}
