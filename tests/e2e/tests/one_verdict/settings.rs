//! What runs before: a namespace with the releases that some changes start from, and the objects that declared them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures::StreamExt;
use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::Client;
use kube::api::{Api, ListParams, PostParams};
use milvus_guard_e2e::chart;
use milvus_guard_e2e::commands::{Invocation, Program};
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::sandbox::{Sandbox, wait};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::declared::repository;
use super::objects::{self, TOOLS};
use super::{AT_ONCE, Change, Chart};
use crate::changes::State;

/// A namespace in which the releases of some changes run as they are before. Nothing is ever changed there: what the gates let pass, a quota refuses.
pub(super) struct Setting {
    pub(super) sandbox: Sandbox,
    /// Changes that start here, by their place in the table.
    pub(super) changes: Vec<usize>,
    objects: Vec<String>,
    /// What Helm rendered for each release.
    manifests: BTreeMap<&'static str, String>,
    /// Held while the configuration is another one.
    pub(super) configuring: Mutex<()>,
}

impl Setting {
    /// Installs whatever the changes start from, with Helm 3, and waits until it runs.
    pub(super) async fn prepare(plane: &'static ControlPlane, changes: &[Change]) -> Vec<Self> {
        let mut shared: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, change) in changes.iter().enumerate() {
            let own = format!("{} {:?} {:?}", change.release, change.chart, change.case.before);
            let key = if change.together.is_empty() { own } else { change.together.to_owned() };
            shared.entry(key).or_default().push(at);
        }
        let prepared = futures::stream::iter(shared.into_values()).map(async |at| Self::install(plane, changes, at).await);
        let settings: Vec<Self> = prepared.buffer_unordered(AT_ONCE).collect().await;
        for setting in &settings {
            setting.wait_until_serving().await;
        }
        settings
    }

    async fn install(plane: &'static ControlPlane, all: &[Change], changes: Vec<usize>) -> Self {
        let sandbox = Sandbox::on(plane, "verdict").await;
        let mut setting = Self {
            sandbox,
            objects: changes.iter().map(|at| objects::namespace(&all[*at])).collect(),
            changes,
            manifests: BTreeMap::new(),
            configuring: Mutex::new(()),
        };
        for change in setting.changes.clone().into_iter().map(|at| &all[at]) {
            if !setting.manifests.contains_key(change.release) {
                let before = change.before();
                let installed = setting.helm(Program::Helm3, &["install", "--output=json"], change, &before).ok().await.json();
                setting.manifests.insert(change.release, installed["manifest"].as_str().unwrap().to_owned());
            }
            setting.declare(change).await;
        }
        let quota = json!({"metadata": {"name": "nothing-new"}, "spec": {"hard": {"count/secrets": "0"}}});
        setting.sandbox.api::<ResourceQuota>().create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
        setting
    }

    /// The objects of GitOps tools, as they were before.
    async fn declare(&self, change: &Change) {
        if change.chart != Chart::Own {
            return;
        }
        let admin = &self.sandbox.admin;
        let namespace = objects::namespace(change);
        let object = json!({"metadata": {"name": namespace}});
        Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        send(admin, Method::POST, &objects::repositories_path(&namespace), &repository(&namespace)).await.ok();
        for tool in &TOOLS {
            let object = tool.object(change, true, &self.sandbox.namespace);
            send(admin, Method::POST, &tool.path(change), &object).await.ok();
        }
    }

    async fn wait_until_serving(&self) {
        wait(&format!("all Deployments in {}", self.sandbox.namespace), async || {
            let deployments = self.sandbox.api::<Deployment>().list(&ListParams::default()).await.unwrap().items;
            let is_ready = |deployment: &Deployment| {
                let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or_default() == wanted
            };
            deployments.iter().all(is_ready).then_some(())
        })
        .await;
    }

    /// `helm VERB... RELEASE CHART` for a state of a change.
    pub(super) fn helm(&self, helm: Program, verb: &[&str], change: &Change, state: &State) -> Invocation {
        let mut arguments: Vec<String> = verb.iter().map(|word| (*word).to_owned()).collect();
        arguments.extend([change.release.to_owned(), archive(change, state).display().to_string()]);
        let is_upgrade = verb == ["upgrade"];
        if change.chart != Chart::Wrapped && !(change.reuses && is_upgrade) {
            let text = if change.chart == Chart::Aliased { below("vec", &state.values) } else { state.values.clone() };
            let file = self.sandbox.file(&format!("{}-{}.yaml", change.slug(), state.chart), &text);
            arguments.extend(["--values".to_owned(), file.display().to_string()]);
        }
        if is_upgrade {
            // Without a flag an empty file of values keeps those of the revision before, which Flux and Argo CD never do.
            arguments.push(if change.reuses { "--reuse-values" } else { "--reset-values" }.to_owned());
        }
        self.sandbox.helm(helm, arguments)
    }

    /// What Helm rendered for the release that a change starts from.
    pub(super) fn manifest(&self, change: &Change) -> &str {
        &self.manifests[change.release]
    }

    /// Its namespace, and those of the objects of its changes.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.sandbox.namespace.as_str()).chain(self.objects.iter().map(String::as_str))
    }

    /// How many releases were installed.
    pub(super) fn releases(&self) -> usize {
        self.manifests.len()
    }
}

/// The chart of a state.
fn archive(change: &Change, state: &State) -> PathBuf {
    match change.chart {
        Chart::Own => chart::packed(&state.chart),
        Chart::Wrapped => chart::umbrella("search", &state.chart, None, &below("milvus", &state.values)),
        Chart::Aliased => chart::umbrella("search", &state.chart, Some("vec"), "{}"),
    }
}

/// Values below a key.
pub(super) fn below(key: &str, values: &str) -> String {
    let lines: String = values.lines().map(|line| format!("  {line}\n")).collect();
    format!("{key}:\n{lines}")
}

/// An answer of the API server.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) warnings: Vec<String>,
    pub(super) body: Value,
}

impl Answered {
    /// The object, which was taken.
    pub(super) fn ok(self) -> Value {
        assert!(self.status < 300, "{}", self.body);
        self.body
    }
}

/// Sends an object, with the warnings that come back.
pub(super) async fn send(client: &Client, method: Method, path: &str, object: &Value) -> Answered {
    let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let body = kube::client::Body::from(object.to_string().into_bytes());
    let answer = client.send(request.body(body).unwrap()).await.unwrap();
    let text = |value: &http::HeaderValue| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        value.split_once('"').map_or(value.clone(), |(_, rest)| rest.trim_end_matches('"').replace("\\\"", "\""))
    };
    let warnings = answer.headers().get_all("warning").iter().map(text).collect();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect_bytes().await.unwrap();
    Answered { status, warnings, body: serde_json::from_slice(&body).unwrap() }
}
