//! Puts the gates into force: writes `webhooks` with the CA into the two configurations, once a replica answers, and keeps them there.
//!
//! The chart makes both configurations without `webhooks` (so nothing can be refused by a server that is not there yet, and they go away with the
//! chart); the entries lie in a file. They are applied server-side under our own field manager, so neither Helm nor Argo CD sees a difference.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::certificates::certificates;
use crate::telemetry::Telemetry;

/// Our name as the owner of fields.
pub const FIELD_MANAGER: &str = "milvus-guard";

const GROUP: &str = "admissionregistration.k8s.io";

/// One configuration that is to be registered.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    kind: String,
    name: String,
    webhooks: Vec<Value>,
}

/// Reads the file of entries: YAML documents of the kinds `ValidatingWebhookConfiguration` and `MutatingWebhookConfiguration`. With `base` the
/// service of each webhook is replaced by that URL and the service's path.
///
/// # Errors
/// When the text is not that.
pub fn entries(text: &str, base: Option<&str>) -> anyhow::Result<Vec<Entry>> {
    use serde::Deserialize as _;
    let mut entries = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document).context("the registration is no YAML")?;
        if !value.is_null() {
            entries.push(entry(&value, base)?);
        }
    }
    Ok(entries)
}

fn entry(value: &Value, base: Option<&str>) -> anyhow::Result<Entry> {
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    if !matches!(kind.as_str(), "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") {
        bail!("the registration holds a `{kind}`, which is no webhook configuration");
    }
    let name = value.pointer("/metadata/name").and_then(Value::as_str).context("a webhook configuration has no name")?.to_owned();
    let mut webhooks = value["webhooks"].as_array().cloned().unwrap_or_default();
    for webhook in &mut webhooks {
        let client = webhook.get_mut("clientConfig").and_then(Value::as_object_mut).context("a webhook has no clientConfig")?;
        if let Some(base) = base {
            let service = client.remove("service").unwrap_or_default();
            let path = service.get("path").and_then(Value::as_str).unwrap_or_default();
            client.insert("url".into(), json!(format!("{}{path}", base.trim_end_matches('/'))));
        }
    }
    Ok(Entry { kind, name, webhooks })
}

impl Entry {
    /// The object to apply, with the CA in it.
    fn object(&self, trusted: &str) -> Value {
        let mut webhooks = self.webhooks.clone();
        if !trusted.is_empty() {
            for webhook in &mut webhooks {
                if let Some(client) = webhook.get_mut("clientConfig").and_then(Value::as_object_mut) {
                    client.insert("caBundle".into(), json!(STANDARD.encode(trusted)));
                }
            }
        }
        json!({"apiVersion": format!("{GROUP}/v1"), "kind": self.kind, "metadata": {"name": self.name}, "webhooks": webhooks})
    }

    /// Whether `live` has all webhooks of ours, each trusting at least what is served.
    fn is_in_force(&self, live: &Value, trusted: &str) -> bool {
        let live = live["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
        let wanted = certificates(trusted);
        self.webhooks.iter().all(|webhook| {
            let found = live.iter().find(|other| other["name"] == webhook["name"]);
            let bundle = found.and_then(|found| found.pointer("/clientConfig/caBundle")).and_then(Value::as_str).unwrap_or_default();
            let bundle = STANDARD.decode(bundle).ok().and_then(|pem| String::from_utf8(pem).ok()).unwrap_or_default();
            let bundle = certificates(&bundle);
            found.is_some() && wanted.iter().all(|certificate| bundle.contains(certificate))
        })
    }

    fn api(&self, client: Client) -> Api<DynamicObject> {
        Api::all_with(client, &ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", &self.kind)))
    }
}

/// Keeps the registration in force.
pub struct Registration {
    /// Talks to the API server.
    pub client: Client,
    /// What is registered.
    pub entries: Vec<Entry>,
    /// Where a replica is reached as the API server will reach it; asked before anything is registered.
    pub reached_at: Probe,
    /// How often the live configurations are read.
    pub every: Duration,
    /// What is counted.
    pub telemetry: Arc<Telemetry>,
}

/// How to see that a replica answers.
#[derive(Debug, Clone)]
pub enum Probe {
    /// An HTTPS address whose path `/answers` is asked, with the CA that will be registered.
    Https(String),
    /// Host and port that accept a connection; for servers that only let the API server in.
    Connect(String),
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration").field("entries", &self.entries.len()).field("reached_at", &self.reached_at).finish_non_exhaustive()
    }
}

impl Registration {
    /// Registers what is `served` once `is_ready`, again when it changes, and again when somebody took it away. Tells through `announced` what the API
    /// server trusts. `wanted` is what is served now and what is going to be (PEM).
    pub async fn keep(self, wanted: watch::Receiver<Option<String>>, announced: watch::Sender<Option<String>>, is_ready: impl Fn() -> bool) {
        let mut wanted = wanted;
        let mut applied: Option<String> = None;
        let mut pause = Duration::from_millis(250);
        loop {
            let trusted = wanted.borrow_and_update().clone();
            if let Some(trusted) = trusted.filter(|_| is_ready()) {
                match self.round(&trusted, applied.as_deref()).await {
                    Ok(()) => {
                        announced.send_if_modified(|current| current.replace(trusted.clone()).as_ref() != Some(&trusted));
                        applied = Some(trusted);
                        pause = self.every;
                        self.telemetry.registered(true);
                    }
                    Err(error) => {
                        tracing::warn!(error = %format!("{error:#}"), "not registered (yet)");
                        pause = (pause * 2).min(self.every);
                        self.telemetry.registered(false);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = wanted.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn round(&self, trusted: &str, applied: Option<&str>) -> anyhow::Result<()> {
        let mut missing = Vec::new();
        for entry in &self.entries {
            let live = entry.api(self.client.clone()).get_opt(&entry.name).await.with_context(|| format!("reading {} {}", entry.kind, entry.name))?;
            let live =
                live.with_context(|| format!("{} {} is not there: the chart makes it, and milvus-guard cleanup deletes it", entry.kind, entry.name))?.data;
            if applied != Some(trusted) || !entry.is_in_force(&live, trusted) {
                missing.push(entry);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        if applied.is_none() {
            self.reached_at.ask(trusted).await.context("no replica answers where the API server will ask")?;
        }
        for entry in missing {
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            let patch = Patch::Apply(entry.object(trusted));
            let api = entry.api(self.client.clone());
            api.patch(&entry.name, &parameters, &patch).await.with_context(|| format!("writing {} {}", entry.kind, entry.name))?;
            tracing::info!(kind = %entry.kind, name = %entry.name, "registered");
        }
        Ok(())
    }
}

impl Probe {
    async fn ask(&self, trusted: &str) -> anyhow::Result<()> {
        let asked = async {
            match self {
                Self::Connect(address) => tokio::net::TcpStream::connect(address).await.map(drop).context("connecting"),
                Self::Https(base) => {
                    let mut config = kube::Config::new(base.parse().context("the address is no URL")?);
                    let roots: Vec<Vec<u8>> = certificates(trusted).iter().map(|certificate| certificate.to_vec()).collect();
                    config.root_cert = (!roots.is_empty()).then_some(roots);
                    let request = axum::http::Request::get("/answers").body(Vec::new())?;
                    Client::try_from(config)?.request_text(request).await.map(drop).with_context(|| format!("GET {base}/answers"))
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), asked).await.context("no answer within 5 s")?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::certificates::authority::{Lifetimes, Step, next};

    const FILE: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: guard}
webhooks:
  - name: a.guard
    failurePolicy: Fail
    clientConfig: {service: {name: guard, namespace: ns, path: /gates/gitops}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: guard}
webhooks: []
";

    fn authority() -> String {
        let Step::Store(shared, _) = next(None, &[], &Lifetimes::default(), &|_| true, 1_800_000_000).unwrap() else { panic!() };
        shared.authorities.concat()
    }

    #[test]
    fn the_service_is_swapped_for_a_url_and_the_ca_put_in() {
        let entries = entries(FILE, Some("https://127.0.0.1:9443/")).unwrap();
        assert_eq!((entries.len(), entries[1].webhooks.len()), (2, 0));
        let object = entries[0].object("pem");
        assert_eq!(object["webhooks"][0]["clientConfig"], json!({"url": "https://127.0.0.1:9443/gates/gitops", "caBundle": "cGVt"}));
    }

    #[test]
    fn what_somebody_took_away_is_noticed() {
        let entry = &entries(FILE, None).unwrap()[0];
        let (first, second) = (authority(), authority());
        let live = entry.object(&format!("{first}{second}"));
        assert!(entry.is_in_force(&live, &first) && entry.is_in_force(&live, &second), "more trust than needed is no difference");
        assert!(!entry.is_in_force(&entry.object(&first), &second));
        assert!(!entry.is_in_force(&json!({"webhooks": []}), &first));
    }

    #[test]
    fn another_kind_is_refused() {
        assert!(entries("kind: Secret", None).unwrap_err().to_string().contains("Secret"));
    }
}
