//! Gate 2 before a real API server, in the order in which Flux applies: dry-runs of everything first, then kinds by API group.

use milvus_guard_e2e::commands::{Ended, Program};
use serde_json::{Value, json};

use crate::gates::{Guarded, define_own_objects};

/// Definitions of others' kinds, as far as these tests need them.
const DEFINITIONS: &[(&str, &str, &str, &str)] =
    &[("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases"), ("source.toolkit.fluxcd.io", "v1", "HelmRepository", "helmrepositories")];

fn definition((group, version, kind, plural): &(&str, &str, &str, &str)) -> String {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")}, "spec": {
        "group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
        "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}}}]}})
    .to_string()
}

#[tokio::test]
async fn flux_declares_and_upgrades_in_one_apply() {
    let Some(guarded) = Guarded::new("flux").await else { return };
    let sandbox = &guarded.sandbox;
    define_own_objects(sandbox).await;
    let admin = sandbox.plane.admin().await;
    let apply = async |objects: &[&Value], more: &[&str]| -> Ended {
        let text: Vec<String> = objects.iter().map(ToString::to_string).collect();
        let mut arguments = vec!["apply", "--server-side", "--field-manager=kustomize-controller", "-n", sandbox.namespace.as_str(), "-f", "-"];
        arguments.extend(more);
        sandbox.command_as(&admin, Program::Kubectl, arguments).input(text.join("\n---\n")).run().await
    };
    for one in DEFINITIONS {
        sandbox.command_as(&admin, Program::Kubectl, ["apply", "--server-side", "-f", "-"]).input(definition(one)).ok().await;
        sandbox.command_as(&admin, Program::Kubectl, ["wait", "--for=condition=Established", &format!("crd/{}.{}", one.3, one.0)]).ok().await;
    }
    guarded.installed(Program::Helm3, "m", "3.2.18", &[]).await;

    let values =
        json!({"cluster": {"enabled": false}, "pulsar": {"enabled": false}, "minio": {"mode": "standalone", "image": {"tag": "RELEASE.2022-03-17T06-34-49Z"}}});
    let release = |version: &str, tag: Option<&str>, preserve: bool| {
        let mut object = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "m"}, "spec": {"interval": "5m",
            "chart": {"spec": {"chart": "milvus", "version": version, "sourceRef": {"kind": "HelmRepository", "name": "zilliz"}}}, "values": values.clone()}});
        if let Some(tag) = tag {
            object["spec"]["values"]["image"] = json!({"all": {"tag": tag}});
        }
        if preserve {
            object["spec"]["upgrade"] = json!({"preserveValues": true});
        }
        object
    };
    let ok = |ended: Ended| assert!(ended.status.success(), "{ended}");
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
    // By API group: ours sorts before Flux's.
    ok(apply(&[&upgrade], &[]).await);
    ok(apply(&[&next], &[]).await);

    // Preserved values are carried by a Secret once it is there, and applying again changes nothing.
    ok(apply(&[&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "milvus-guard-carried-m"}})], &[]).await);
    let preserving = release("4.0.34", Some("v2.2.16"), true);
    ok(apply(&[&preserving], &[]).await);
    let stored = async || sandbox.command_as(&admin, Program::Kubectl, ["get", "helmrelease", "m", "-n", &sandbox.namespace, "-o", "json"]).ok().await.json();
    let first = stored().await;
    assert_eq!((&first["spec"]["upgrade"]["preserveValues"], &first["spec"]["valuesFrom"][0]["name"]), (&json!(false), &json!("milvus-guard-carried-m")));
    for more in [&["--dry-run=server"] as &[&str], &[], &[]] {
        ok(apply(&[&preserving], more).await);
    }
    let again = stored().await;
    assert_eq!((&again["spec"], &again["metadata"]["resourceVersion"]), (&first["spec"], &first["metadata"]["resourceVersion"]));
}
