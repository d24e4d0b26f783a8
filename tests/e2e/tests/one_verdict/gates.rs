//! What the gates say of a change.

use std::collections::BTreeMap;

use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use milvus_guard_e2e::commands::{Ended, Program};
use milvus_guard_e2e::programs::say;
use serde::Deserialize;
use serde_json::{Value, json};

use super::columns::{Column, Verdict, refused_by, verdict, warned_by};
use super::objects::{TOOLS, Tool};
use super::settings::{Setting, send};
use super::{Change, Chart, State};

/// What the gates say, and what was applied at gate 3.
pub(super) struct Judged {
    pub(super) told: BTreeMap<Column, Verdict>,
    /// The namespace of the release.
    pub(super) namespace: String,
    /// Rendered manifests before and after.
    pub(super) manifests: (String, String),
}

/// In place of a verdict: the tool or the API server itself refuses the change before a gate is asked.
const NOT_ASKED: &str = "not asked";

/// How often a change that comes to no gate is sent: what a crowded machine breaks off does not break off again and again.
const TIMES_SENT: usize = 4;

/// Asks all gates.
pub(super) async fn judge(setting: &Setting, change: &Change) -> Judged {
    let after = change.after();
    let mut told = BTreeMap::new();
    for (helm, column) in [(Program::Helm3, Column::Helm3), (Program::Helm4, Column::Helm4)] {
        told.insert(column, by_helm(setting, helm, change, &after).await);
    }
    for tool in TOOLS.iter().filter(|tool| change.chart == Chart::Own && (!change.reuses || tool.gate == Column::HelmRelease)) {
        told.insert(tool.gate, by_object(setting, change, tool).await);
    }
    let rendered = setting.helm(Program::Helm3, &["template"], change, &after).ok().await.stdout;
    if !change.reuses {
        told.insert(Column::Applied, by_apply(setting, change, &rendered).await);
    }
    Judged { told, namespace: setting.sandbox.namespace.clone(), manifests: (setting.manifest(change).to_owned(), rendered) }
}

/// Gate 1, by what Helm prints.
async fn by_helm(setting: &Setting, helm: Program, change: &Change, after: &State) -> Verdict {
    for _ in 0..TIMES_SENT {
        let ended = setting.helm(helm, &["upgrade"], change, after).run().await;
        assert!(!ended.status.success(), "{ended}");
        if let Some(verdict) = printed_by_helm(&ended) {
            return verdict;
        }
        say(&ended.to_string());
    }
    Verdict::from([NOT_ASKED.to_owned()])
}

/// What a gate says in what Helm prints; `None` where no gate was asked.
fn printed_by_helm(ended: &Ended) -> Option<Verdict> {
    let refusal = ended.stderr.split_once("denied the request: ").map(|(_, text)| text);
    if refusal.is_none() && !ended.stderr.contains("exceeded quota") {
        return None;
    }
    // What is printed before the error itself.
    let printed = ended.stderr.split("Error: ").next().unwrap_or_default();
    assert!(!printed.contains("more; see them with"), "{ended}");
    let warnings = printed.match_indices("MV").filter(|(at, _)| printed[..*at].ends_with(['"', ']', ' '])).filter_map(|(at, _)| warned_by(&printed[at..]));
    Some(verdict(refusal.map(refused_by).unwrap_or_default(), warnings))
}

/// Gate 2, by the answer to an update.
async fn by_object(setting: &Setting, change: &Change, tool: &Tool) -> Verdict {
    let client = &setting.sandbox.admin;
    let path = format!("{}/{}", tool.path(change), change.release);
    let mut object = send(client, Method::GET, &path, &Value::Null).await.ok();
    object["spec"] = tool.object(change, false, &setting.sandbox.namespace)["spec"].clone();
    let answer = send(client, Method::PUT, &path, &object).await;
    let causes = answer.body["details"]["causes"].as_array().cloned().unwrap_or_default();
    assert!(answer.status == 200 || (answer.status == 403 && !causes.is_empty()), "{}: {}", change.case.name, answer.body);
    assert!(!answer.warnings.iter().any(|warning| warning.contains("more; see them with")), "{:?}", answer.warnings);
    let refused = causes.iter().map(|cause| cause["reason"].as_str().unwrap());
    verdict(refused, answer.warnings.iter().filter_map(|warning| warned_by(warning)))
}

/// Gate 3, by what is written on the Deployments that come back. ConfigMaps are stored, as they always are before workloads; workloads are not, so that the next
/// change finds what runs.
async fn by_apply(setting: &Setting, change: &Change, rendered: &str) -> Verdict {
    let _alone = setting.configuring.lock().await;
    apply_configuration(setting, rendered).await;
    let deployments: Vec<String> =
        objects(rendered, "Deployment").filter(|object| !object["metadata"]["labels"]["component"].is_null()).map(|object| object.to_string()).collect();
    assert!(!deployments.is_empty(), "{}", change.case.name);
    let arguments = ["apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "--dry-run=server", "-o", "json", "-f", "-"];
    let applied = setting.sandbox.kubectl(arguments).input(deployments.join("\n---\n")).run().await;
    apply_configuration(setting, setting.manifest(change)).await;
    if !applied.status.success() {
        say(&applied.to_string());
        return Verdict::from([NOT_ASKED.to_owned()]);
    }
    let applied = applied.json();
    let returned = applied["items"].as_array().cloned().unwrap_or_else(|| vec![applied.clone()]);
    let blocked = |object: &Value| object["metadata"]["annotations"]["guard.milvus-guard.dev/blocked"].as_str().map(str::to_owned);
    let texts: Vec<String> = returned.iter().filter_map(blocked).collect();
    verdict(texts.iter().flat_map(|text| refused_by(text)), [])
}

/// Applies what is rendered of Milvus's configuration.
async fn apply_configuration(setting: &Setting, rendered: &str) {
    let is_milvus = |object: &Value| ["milvus.yaml", "default.yaml"].iter().any(|file| !object["data"][*file].is_null());
    for mut object in objects(rendered, "ConfigMap").filter(is_milvus) {
        object["metadata"]["namespace"] = json!(setting.sandbox.namespace);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let apply = PatchParams::apply("argocd-controller").force();
        setting.sandbox.api::<ConfigMap>().patch(&name, &apply, &Patch::Apply(&object)).await.unwrap();
    }
}

/// The rendered objects of a kind.
fn objects<'r>(rendered: &'r str, kind: &'static str) -> impl Iterator<Item = Value> + use<'r> {
    let documents = serde_yaml::Deserializer::from_str(rendered).map(|document| Value::deserialize(document).unwrap());
    documents.filter(move |object| object["kind"] == kind)
}
