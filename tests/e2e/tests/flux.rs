//! Gate 2 before a real API server, in the order in which Flux applies: dry-runs of everything first, then kinds by API group.

use kube::ResourceExt;
use milvus_guard_e2e::commands::{Ended, Program};
use milvus_guard_e2e::planted::PLANTED;
use milvus_guard_e2e::users::User;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::gates::{BLOCKED, Guarded};
use crate::gitops::{apply_as, define};
use crate::held::{killed_pods_come_back_as_they_were, render, versions};

#[tokio::test]
async fn flux_declares_and_upgrades_in_one_apply() {
    let Some(guarded) = Guarded::new("flux").await else { return };
    let sandbox = &guarded.sandbox;
    define(sandbox).await;
    let flux = guarded.tool("kustomize-controller").await;
    let apply = async |objects: &[&Value], more: &[&str]| -> Ended { apply_as(&guarded, &flux, "kustomize-controller", objects, more).await };
    guarded.installed(Program::Helm3, "m", "3.2.18", &[]).await;

    let values = json!({"cluster": {"enabled": false}, "pulsar": {"enabled": false}, "minio": {"mode": "standalone", "secretKey": format!("{PLANTED}-minio"), "image": {"tag": "RELEASE.2022-03-17T06-34-49Z"}}});
    let release = |version: &str, tag: Option<&str>, preserve: bool| {
        let mut object = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "m"}, "spec": {"interval": "5m",
            "chart": {"spec": {"chart": "milvus", "version": version, "sourceRef": {"kind": "HelmRepository", "name": "zilliz"}}}, "values": values.clone(),
            "valuesFrom": [{"kind": "Secret", "name": "more-values"}]}});
        if let Some(tag) = tag {
            object["spec"]["values"]["image"] = json!({"all": {"tag": tag}});
        }
        if preserve {
            object["spec"]["upgrade"] = json!({"preserveValues": true});
        }
        object
    };
    let ok = |ended: Ended| assert!(ended.status.success(), "{ended}");
    let more = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "more-values"}, "stringData": {"values.yaml": format!("minio: {{accessKey: {PLANTED}-access}}")}});
    ok(apply(&[&more], &[]).await);
    ok(apply(&[&release("3.2.18", None, false)], &[]).await);

    // The dry run of all objects passes, the release alone does not.
    let (upgrade, next) = (
        json!({"apiVersion": "guard.milvus-guard.dev/v1alpha1", "kind": "GuardedUpgrade", "metadata": {"name": "m"}, "spec": {"to": "2.2.16"}}),
        release("4.0.34", Some("v2.2.16"), false),
    );
    let dry = apply(&[&next, &upgrade], &["--dry-run=server"]).await;
    assert!(dry.status.success() && dry.stderr.contains("MV201"), "{dry}");
    let alone = apply(&[&next], &[]).await;
    assert!(!alone.status.success() && alone.stderr.contains("MV201"), "{alone}");
    reconcile(&guarded, &flux, &[next, upgrade]).await;

    // Preserved values are carried by a Secret once it is there, and applying again changes nothing.
    ok(apply(&[&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "milvus-guard-carried-m"}, "stringData": {"values.yaml": format!("a: {PLANTED}-carried")}})], &[]).await);
    let preserving = release("4.0.34", Some("v2.2.16"), true);
    ok(apply(&[&preserving], &[]).await);
    let stored = async || sandbox.command_as(&flux, Program::Kubectl, ["get", "helmrelease", "m", "-o", "json"]).ok().await.json();
    let first = stored().await;
    assert_eq!((&first["spec"]["upgrade"]["preserveValues"], &first["spec"]["valuesFrom"][0]["name"]), (&json!(false), &json!("milvus-guard-carried-m")));
    for more in [&["--dry-run=server"] as &[&str], &[], &[]] {
        ok(apply(&[&preserving], more).await);
    }
    let again = stored().await;
    assert_eq!((&again["spec"], &again["metadata"]["resourceVersion"]), (&first["spec"], &first["metadata"]["resourceVersion"]));
}

/// Kinds that Flux applies before all others, in this order (fluxcd/pkg `ssa/sort.go`); the others follow by API group and kind.
const FIRST: [&str; 9] = ["Namespace", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Secret", "Service", "Deployment", "StatefulSet"];

/// What Flux's kustomize-controller does with the objects of a Kustomization: dry-runs of all of them, then each in its order, until the first refusal.
async fn reconcile(guarded: &Guarded, flux: &User, objects: &[Value]) {
    let mut ordered: Vec<&Value> = objects.iter().collect();
    ordered.sort_by_key(|object| {
        let (group, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        (FIRST.iter().position(|first| *first == kind).unwrap_or(FIRST.len()), group.to_owned(), kind.to_owned())
    });
    let dry = apply_as(guarded, flux, "kustomize-controller", &ordered, &["--force-conflicts", "--dry-run=server"]).await;
    assert!(dry.status.success(), "{dry}");
    for object in ordered {
        let applied = apply_as(guarded, flux, "kustomize-controller", &[object], &["--force-conflicts"]).await;
        assert!(applied.status.success(), "{applied}");
    }
}

#[tokio::test]
async fn rendered_manifests_and_their_declaration_go_through_flux_together() {
    let Some(guarded) = Guarded::new("flux-rendered").await else { return };
    let sandbox = &guarded.sandbox;
    let flux = guarded.tool("kustomize-controller").await;
    let documents = |text: &str| -> Vec<Value> {
        let all = serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap());
        all.filter(|object| !object.is_null()).collect()
    };
    let before = documents(&render(&guarded, "3.2.18", "").await);
    reconcile(&guarded, &flux, &before).await;
    sandbox.wait_until_rolled_out().await;
    let mut after = documents(&render(&guarded, "4.0.31", ",image.all.tag=v2.2.16,minio.image.tag=RELEASE.2022-03-17T06-34-49Z").await);
    after.push(json!({"apiVersion": "guard.milvus-guard.dev/v1alpha1", "kind": "GuardedUpgrade", "metadata": {"name": "m"}, "spec": {"to": "2.2.16"}}));
    let name = "m-milvus-standalone";
    let blocked = async || guarded.deployment(name).await.annotations().get(BLOCKED).cloned();
    // The Deployments come before the declaration: held for want of it, until they are applied again.
    reconcile(&guarded, &flux, &after).await;
    assert!(guarded.is_held(name).await && blocked().await.is_some_and(|blocked| blocked.starts_with("MV201")));
    reconcile(&guarded, &flux, &after).await;
    assert!(guarded.is_held(name).await);
    assert_eq!(blocked().await, None);
    let held = versions(sandbox).await;
    reconcile(&guarded, &flux, &after).await;
    assert_eq!(versions(sandbox).await, held);
    // Chart 4 keeps its configuration under other names than chart 3: the pods that serve still find theirs.
    killed_pods_come_back_as_they_were(sandbox).await;
    assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.1.4"]);
}
