//! Webhooks under test: runs the real `milvus-guard`, registers configurations at the API server with the URL form swapped in.

mod controller;
mod guard;
pub mod hook;
mod installed;
mod service;

use std::path::Path;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::control_plane::background;
use crate::sandbox::wait;

pub use controller::Controller;
pub use guard::{Guard, binary};
pub use installed::{Installed, define_kinds};
pub use service::Service;

/// Registered configurations; they are taken away when this is dropped.
pub struct Registered {
    client_of: std::path::PathBuf,
    validating: Vec<String>,
    mutating: Vec<String>,
}

/// Registers every webhook configuration in a stream of YAML documents (others are passed over), as a chart renders them, with `clientConfig.service`
/// replaced by `https://127.0.0.1:<port><path>` and this authority. With `namespaces`, each webhook is narrowed to them on top of its own selector, so that
/// tests on one control plane do not meet. Returns once the API server asks them.
pub async fn register(admin: &Client, admin_kubeconfig: &Path, manifests: &str, authority: &str, port: u16, namespaces: &[&str]) -> Registered {
    let mut registered = Registered { client_of: admin_kubeconfig.to_owned(), validating: Vec::new(), mutating: Vec::new() };
    for document in serde_yaml::Deserializer::from_str(manifests) {
        let mut object = Value::deserialize(document).unwrap();
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        if !matches!(kind.as_str(), "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") {
            continue;
        }
        for webhook in object["webhooks"].as_array_mut().unwrap() {
            swap_url_in(webhook, authority, port);
            if !namespaces.is_empty() {
                narrow(webhook, namespaces);
            }
        }
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        object["webhooks"].as_array_mut().unwrap().push(marker(&mark(&kind, &name)));
        let apply = PatchParams::apply("e2e").force();
        if kind.starts_with('V') {
            Api::<ValidatingWebhookConfiguration>::all(admin.clone()).patch(&name, &apply, &Patch::Apply(&object)).await.unwrap();
            registered.validating.push(name.clone());
        } else {
            Api::<MutatingWebhookConfiguration>::all(admin.clone()).patch(&name, &apply, &Patch::Apply(&object)).await.unwrap();
            registered.mutating.push(name.clone());
        }
        wait_until(admin, &mark(&kind, &name), true).await;
    }
    registered
}

/// The same stream of YAML documents with every webhook narrowed to these namespaces (none: as it is), for a guard that registers itself.
pub fn narrowed(manifests: &str, namespaces: &[&str]) -> String {
    if namespaces.is_empty() {
        return manifests.to_owned();
    }
    let documents = serde_yaml::Deserializer::from_str(manifests).map(|document| Value::deserialize(document).unwrap());
    let narrowed = documents.filter(|object| !object.is_null()).map(|mut object| {
        object["webhooks"].as_array_mut().into_iter().flatten().for_each(|webhook| narrow(webhook, namespaces));
        object.to_string()
    });
    narrowed.collect::<Vec<_>>().join("\n---\n")
}

/// Both kinds may have the same name.
fn mark(kind: &str, name: &str) -> String {
    format!("{}-{name}", kind.chars().next().unwrap_or_default())
}

/// A webhook that refuses a ConfigMap with a label, by leading nowhere: it tells that its configuration is in force.
fn marker(configuration: &str) -> Value {
    json!({
        "name": "in-force.e2e.test",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 1,
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "objectSelector": {"matchLabels": {"in-force": configuration}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
    })
}

/// The API server learns of configurations a moment after they are stored.
async fn wait_until(admin: &Client, configuration: &str, in_force: bool) {
    let maps: Api<ConfigMap> = Api::namespaced(admin.clone(), "default");
    let map = json!({"metadata": {"generateName": "in-force-", "labels": {"in-force": configuration}}});
    let map = serde_json::from_value(map).unwrap();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let what = format!("webhook configuration {configuration}, in force: {in_force}");
    wait(&what, async || (maps.create(&dry, &map).await.is_err() == in_force).then_some(())).await;
}

fn swap_url_in(webhook: &mut Value, authority: &str, port: u16) {
    use base64::Engine;
    let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap_or("/").to_owned();
    let bundle = base64::engine::general_purpose::STANDARD.encode(authority);
    webhook["clientConfig"] = json!({"url": format!("https://127.0.0.1:{port}{path}"), "caBundle": bundle});
}

fn narrow(webhook: &mut Value, namespaces: &[&str]) {
    let only = json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces});
    if let Some(expressions) = webhook["namespaceSelector"]["matchExpressions"].as_array_mut() {
        expressions.push(only);
    } else {
        webhook["namespaceSelector"]["matchExpressions"] = json!([only]);
    }
}

impl Registered {
    /// Takes the configurations away. Returns once the API server asks them no more.
    pub async fn take_away(mut self, admin: &Client) {
        let validating = self.validating.iter().map(|name| mark("V", name));
        let all: Vec<String> = validating.chain(self.mutating.iter().map(|name| mark("M", name))).collect();
        remove(admin.clone(), std::mem::take(&mut self.validating), std::mem::take(&mut self.mutating)).await;
        for configuration in all {
            wait_until(admin, &configuration, false).await;
        }
    }
}

async fn remove(admin: Client, validating: Vec<String>, mutating: Vec<String>) {
    for name in validating {
        let _ = Api::<ValidatingWebhookConfiguration>::all(admin.clone()).delete(&name, &DeleteParams::default()).await;
    }
    for name in mutating {
        let _ = Api::<MutatingWebhookConfiguration>::all(admin.clone()).delete(&name, &DeleteParams::default()).await;
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if self.validating.is_empty() && self.mutating.is_empty() {
            return;
        }
        let (kubeconfig, validating, mutating) = (self.client_of.clone(), std::mem::take(&mut self.validating), std::mem::take(&mut self.mutating));
        background().spawn(async move { remove(crate::users::client(&kubeconfig).await, validating, mutating).await });
    }
}
