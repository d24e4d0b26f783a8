//! Gate 2 before a real API server: Argo CD's and k3s's objects, by people who may write them.

use std::path::PathBuf;

use milvus_guard_e2e::commands::{Ended, Program};
use milvus_guard_e2e::planted::PLANTED;
use milvus_guard_e2e::sandbox::{Sandbox, wait};
use milvus_guard_e2e::users::User;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::gates::Guarded;

/// Definitions of others' kinds, as far as these tests need them: group, version, kind, plural.
const DEFINITIONS: &[(&str, &str, &str, &str)] = &[
    ("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases"),
    ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations"),
    ("source.toolkit.fluxcd.io", "v1", "HelmRepository", "helmrepositories"),
    ("argoproj.io", "v1alpha1", "Application", "applications"),
    ("argoproj.io", "v1alpha1", "ApplicationSet", "applicationsets"),
    ("helm.cattle.io", "v1", "HelmChart", "helmcharts"),
    ("milvus.io", "v1beta1", "Milvus", "milvuses"),
];

/// Makes an API server serve them, once.
pub(crate) async fn define(sandbox: &Sandbox) {
    static DEFINED: Mutex<Vec<PathBuf>> = Mutex::const_new(Vec::new());
    let mut defined = DEFINED.lock().await;
    let plane = sandbox.plane;
    if defined.iter().any(|folder| folder == plane.folder()) {
        return;
    }
    let admin = plane.admin().await;
    let all: Vec<String> = DEFINITIONS.iter().map(definition).collect();
    sandbox.command_as(&admin, Program::Kubectl, ["apply", "--server-side", "-f", "-"]).input(all.join("\n---\n")).ok().await;
    let mut served = vec!["wait".to_owned(), "--for=condition=Established".to_owned()];
    served.extend(DEFINITIONS.iter().map(|(group, _, _, plural)| format!("crd/{plural}.{group}")));
    // Where a definition has no conditions yet, `kubectl wait` fails at once.
    wait("others' kinds", async || sandbox.command_as(&admin, Program::Kubectl, &served).run().await.status.success().then_some(())).await;
    defined.push(plane.folder().to_owned());
}

fn definition((group, version, kind, plural): &(&str, &str, &str, &str)) -> String {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")}, "spec": {
        "group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
        "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}}}]}})
    .to_string()
}

/// `kubectl apply --server-side` of objects, by a tool that names itself.
pub(crate) async fn apply_as(guarded: &Guarded, user: &User, manager: &str, objects: &[&Value], more: &[&str]) -> Ended {
    let text: Vec<String> = objects.iter().map(ToString::to_string).collect();
    let manager = format!("--field-manager={manager}");
    let mut arguments = vec!["apply", "--server-side", &manager, "-f", "-"];
    arguments.extend(more);
    guarded.sandbox.command_as(user, Program::Kubectl, arguments).input(text.join("\n---\n")).run().await
}

/// A release as each of the tools has it: chart version, and values as YAML.
type Form = fn(&str, &str) -> Value;

fn application(version: &str, values: &str) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "m"}, "spec": source(version, json!({"releaseName": "m", "values": values}))})
}

fn application_of_an_object(version: &str, values: &str) -> Value {
    let values: Value = serde_yaml::from_str(values).unwrap();
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "mo"}, "spec": source(version, json!({"releaseName": "m", "valuesObject": values}))})
}

fn application_set(version: &str, values: &str) -> Value {
    let spec = source(version, json!({"releaseName": "m", "values": values}));
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "metadata": {"name": "m"}, "spec": {
        "generators": [{"list": {"elements": [{"name": "milvus"}]}}], "template": {"metadata": {"name": "{{name}}"}, "spec": spec}}})
}

fn source(version: &str, helm: Value) -> Value {
    json!({"project": "default", "destination": {"server": "https://kubernetes.default.svc", "namespace": "NAMESPACE"}, "source": {
        "repoURL": "https://zilliztech.github.io/milvus-helm", "chart": "milvus", "targetRevision": version, "helm": helm}})
}

fn helm_chart(version: &str, values: &str) -> Value {
    json!({"apiVersion": "helm.cattle.io/v1", "kind": "HelmChart", "metadata": {"name": "m"}, "spec": {
        "repo": "https://zilliztech.github.io/milvus-helm", "chart": "milvus", "version": version, "targetNamespace": "NAMESPACE", "valuesContent": values}})
}

#[tokio::test]
async fn objects_of_argo_cd_and_k3s_are_refused_where_they_name_what_is_unsafe() {
    let Some(guarded) = Guarded::new("argo").await else { return };
    let sandbox = &guarded.sandbox;
    define(sandbox).await;
    let person = guarded.tool("argocd").await;
    guarded.installed(Program::Helm3, "m", "4.2.20", &[]).await;
    let values = format!(
        "cluster: {{enabled: false}}\netcd: {{replicaCount: 1}}\nminio: {{mode: standalone, secretKey: {PLANTED}-minio}}\npulsar: {{enabled: false}}\npulsarv3: {{enabled: false}}\n"
    );
    let forms: [(&str, Form); 4] = [
        ("spec.source.targetRevision", application),
        ("spec.source.targetRevision", application_of_an_object),
        ("spec.template.spec.source.targetRevision", application_set),
        ("spec.version", helm_chart),
    ];
    for (field, form) in forms {
        let object = |version: &str| {
            let text = form(version, &values).to_string().replace("NAMESPACE", &sandbox.namespace);
            serde_json::from_str::<Value>(&text).unwrap()
        };
        let apply = async |version: &str, more: &[&str]| apply_as(&guarded, &person, "argocd-controller", &[&object(version)], more).await;
        let kind = object("4.2.20")["kind"].as_str().unwrap().to_owned();
        let stands = apply("4.2.20", &[]).await;
        assert!(stands.status.success(), "{stands}");
        // What the objects say is refused, also in a dry run, with the field that says it.
        for more in [&[] as &[&str], &["--dry-run=server"]] {
            let refused = apply("5.0.19", &[&["-o", "json"], more].concat()).await;
            assert!(!refused.status.success() && refused.stderr.contains("MV205: "), "{kind}: {refused}");
            assert!(refused.stderr.contains("Go to Milvus 2.5.16 or later first"), "{kind}: {refused}");
        }
        let error = raw_refusal(&guarded, &person, &object("5.0.19")).await;
        let causes = error["details"]["causes"].as_array().unwrap_or_else(|| panic!("{kind}: {error}"));
        assert!(causes.iter().any(|cause| cause["reason"] == "MV205" && cause["field"] == field), "{kind}: {causes:?}");
        // What is safe passes, and the same again is no change.
        let safe = apply("4.2.58", &[]).await;
        assert!(safe.status.success(), "{kind}: {safe}");
        let again = apply("4.2.58", &["-o", "json"]).await.json();
        assert_eq!(apply("4.2.58", &["-o", "json"]).await.json()["metadata"]["resourceVersion"], again["metadata"]["resourceVersion"], "{kind}");
    }
}

/// The API server's own answer to an object, as tools get it: kubectl shows only its message.
async fn raw_refusal(guarded: &Guarded, user: &User, object: &Value) -> Value {
    use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
    let (group, version) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
    let kind = object["kind"].as_str().unwrap();
    let plural = DEFINITIONS.iter().find(|known| known.2 == kind).unwrap().3;
    let resource = ApiResource::from_gvk_with_plural(&kube::core::GroupVersionKind::gvk(group, version, kind), plural);
    let api: Api<DynamicObject> = Api::namespaced_with(user.client.clone(), &guarded.sandbox.namespace, &resource);
    let name = object["metadata"]["name"].as_str().unwrap();
    match api.patch(name, &PatchParams::apply("argocd-controller").force(), &Patch::Apply(object)).await {
        Err(kube::Error::Api(status)) => serde_json::to_value(&*status).unwrap(),
        other => panic!("{kind}: {other:?}"),
    }
}
