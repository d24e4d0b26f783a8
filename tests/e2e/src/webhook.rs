//! Webhooks under test: registers configurations at the API server, with the URL form swapped in.

use std::path::Path;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::control_plane::background;

/// Registered configurations; they are taken away when this is dropped.
pub struct Registered {
    client_of: std::path::PathBuf,
    validating: Vec<String>,
    mutating: Vec<String>,
}

/// Registers every webhook configuration in a stream of YAML documents (others are passed over), as a chart renders them, with `clientConfig.service`
/// replaced by `https://127.0.0.1:<port><path>` and this authority. With `namespaces`, each webhook is narrowed to them on top of its own selector, so that
/// tests on one control plane do not meet.
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
        let apply = PatchParams::apply("e2e").force();
        if kind.starts_with('V') {
            Api::<ValidatingWebhookConfiguration>::all(admin.clone()).patch(&name, &apply, &Patch::Apply(&object)).await.unwrap();
            registered.validating.push(name);
        } else {
            Api::<MutatingWebhookConfiguration>::all(admin.clone()).patch(&name, &apply, &Patch::Apply(&object)).await.unwrap();
            registered.mutating.push(name);
        }
    }
    registered
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
    /// Takes the configurations away.
    pub async fn take_away(mut self, admin: &Client) {
        remove(admin.clone(), std::mem::take(&mut self.validating), std::mem::take(&mut self.mutating)).await;
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
