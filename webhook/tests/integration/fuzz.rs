//! Bodies of every broken kind through the router, without sockets: always an AdmissionReview or a 4xx, no panic, bounded memory.
//!
//! `MILVUS_GUARD_FUZZ=100000` sends more of them.

use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request as Http, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use milvus_guard_webhook::admission::{DoubtPolicy, Gate};
use milvus_guard_webhook::server::{Gates, Limits};
use milvus_guard_webhook::telemetry::Telemetry;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::judged;

/// The most that the whole test program may ever have taken, in KiB: the webhook's share of it is what all permits together allow.
const MOST_KIB: u64 = 400 << 10;

/// A fixed sequence, so that a failure is found again.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

fn packed(text: &[u8]) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    STANDARD.encode(STANDARD.encode(encoder.finish().unwrap()))
}

fn release(chart: &str, tag: &str, manifest: &str) -> Value {
    json!({
        "name": "m", "namespace": "db", "version": 2,
        "info": {"status": "pending-upgrade", "description": "Preparing upgrade", "first_deployed": "2026-01-01T00:00:00Z"},
        "chart": {"metadata": {"name": "milvus", "version": chart, "appVersion": tag}, "values": {"image": {"all": {"tag": tag}}, "cluster": {"enabled": true}}},
        "config": {"messageQueue": "kafka", "pulsar": {"enabled": false}},
        "manifest": manifest,
    })
}

const MANIFEST: &str = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: m-milvus-proxy\n  labels: {app.kubernetes.io/name: milvus, app.kubernetes.io/instance: m, \
                        component: proxy, helm.sh/chart: milvus-4.2.58}\nspec:\n  template:\n    spec:\n      containers: [{name: proxy, image: 'milvusdb/milvus:v2.5.16'}]\n";

/// Releases that are broken or mean harm, ready for `data.release`.
fn bad_releases() -> Vec<String> {
    let whole = serde_json::to_vec(&release("4.2.58", "v2.5.16", MANIFEST)).unwrap();
    let zeros = vec![b' '; 34 << 20];
    let mut bomb = whole.clone();
    bomb.extend_from_slice(&zeros);
    let deep = [b"{\"name\":\"m\",\"config\":".to_vec(), vec![b'['; 200_000]].concat();
    let wide = format!("{{\"name\":\"m\",\"config\":[{}0]}}", "0,".repeat(150_000));
    let anchors = format!("---\nkind: Deployment\na: &a [x]\n{}", (0..30).fold(String::new(), |text, n| text + &format!("k{n}: &b{n} [*a,*a,*a,*a]\n")));
    let long_line = format!("---\nkind: Deployment\nmetadata: {{name: {}}}\n", "milvus".repeat(50_000));
    let in_text = |manifest: &str| packed(&serde_json::to_vec(&release("4.2.58", "v2.5.16", manifest)).unwrap());
    let mut cut = STANDARD.decode(STANDARD.decode(packed(&whole)).unwrap()).unwrap();
    cut.truncate(cut.len() / 2);
    vec![
        packed(&bomb),
        packed(&deep),
        packed(wide.as_bytes()),
        STANDARD.encode(STANDARD.encode(&cut)),
        STANDARD.encode(STANDARD.encode(b"\x1f\x8b\x08")),
        STANDARD.encode("no base64"),
        packed(packed(&whole).as_bytes()),
        in_text(&anchors),
        in_text(&long_line),
        in_text(&"---\n".repeat(100_000)),
        in_text(&"- [".repeat(30_000)),
        in_text("kind: Deployment\nkind: Secret\n\tx: y\n"),
        packed(b"null"),
        packed(&serde_json::to_vec(&release("99.99.99999999999999999999", "v9.9.9-\u{202e}", MANIFEST)).unwrap()),
    ]
}

/// A good review for each gate.
fn seeds() -> Vec<(Gate, Value)> {
    let template = json!({"metadata": {"labels": {"app.kubernetes.io/name": "milvus", "app.kubernetes.io/instance": "m", "component": "proxy"}},
        "spec": {"containers": [{"name": "proxy", "image": "milvusdb/milvus:v2.5.16"}]}});
    let workload = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "m-milvus-proxy", "namespace": "db", "generation": 3,
        "labels": {"app.kubernetes.io/name": "milvus", "app.kubernetes.io/instance": "m", "component": "proxy", "helm.sh/chart": "milvus-4.2.58"}},
        "spec": {"replicas": 2, "paused": false, "selector": {"matchLabels": {"app.kubernetes.io/instance": "m", "component": "proxy"}}, "template": template}});
    let scale = json!({"kind": "Scale", "metadata": {"name": "m-milvus-proxy"}, "spec": {"replicas": 3},
        "status": {"selector": "app.kubernetes.io/instance=m,app.kubernetes.io/name=milvus,component=proxy"}});
    let helm_release = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "m", "namespace": "db"},
        "spec": {"chart": {"spec": {"chart": "milvus", "version": "4.2.58"}}, "upgrade": {"preserveValues": true}, "values": {"image": {"all": {"tag": "v2.5.16"}}}}});
    let application = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "m"},
        "spec": {"source": {"chart": "milvus", "targetRevision": "4.2.58", "helm": {"values": "cluster: {enabled: true}\n", "parameters": [{"name": "a", "value": "b"}]}}}});
    let set = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "metadata": {"name": "m"},
        "spec": {"generators": [{"list": {"elements": [{"v": "4.2.58"}]}}], "template": {"spec": {"source": {"chart": "milvus", "targetRevision": "{{v}}"}}}}});
    let helm_chart = json!({"apiVersion": "helm.cattle.io/v1", "kind": "HelmChart", "metadata": {"name": "m"},
        "spec": {"chart": "milvus", "version": "4.2.58", "valuesContent": "cluster:\n  enabled: true\n", "set": {"a": 1}}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "metadata": {"name": "sh.helm.release.v1.m.v2", "namespace": "db",
        "labels": {"owner": "helm", "name": "m", "status": "pending-upgrade", "version": "2"}},
        "data": {"release": packed(&serde_json::to_vec(&release("4.2.58", "v2.5.16", MANIFEST)).unwrap())}});
    let upgrade = json!({"apiVersion": "guard.milvus-guard.dev/v1alpha1", "kind": "GuardedUpgrade", "metadata": {"name": "m", "namespace": "db"}, "spec": {"to": "2.6.15"}});
    let receipt = json!({"apiVersion": "guard.milvus-guard.dev/v1alpha1", "kind": "UpgradeReceipt", "metadata": {"name": "m-1"}, "spec": {"from": "2.1.4", "to": "2.2.17"}});
    [
        (Gate::HelmStorage, secret),
        (Gate::GitOps, helm_release),
        (Gate::GitOps, application),
        (Gate::GitOps, set),
        (Gate::GitOps, helm_chart),
        (Gate::Workload, workload),
        (Gate::Workload, scale),
        (Gate::Own, upgrade),
        (Gate::Own, receipt),
    ]
    .into_iter()
    .map(|(gate, object)| (gate, review(object)))
    .collect()
}

fn review(object: Value) -> Value {
    let (group, version) = object["apiVersion"].as_str().unwrap_or("autoscaling/v1").rsplit_once('/').unwrap_or(("", "v1"));
    let mut before = object.clone();
    before["metadata"]["generation"] = json!(2);
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "6f2b", "kind": {"group": group, "version": version, "kind": object["kind"]}, "resource": {"group": group, "version": version, "resource": "x"},
        "name": object["metadata"]["name"], "namespace": "db", "operation": "UPDATE", "userInfo": {"username": "alice", "groups": ["dev"]},
        "object": object, "oldObject": before, "dryRun": false, "options": {"fieldManager": "helm"}}})
}

/// A node of `value`, chosen evenly enough.
fn any_node<'v>(value: &'v mut Value, dice: &mut Dice) -> &'v mut Value {
    let count = match value {
        Value::Object(table) => table.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    if count == 0 || dice.below(6) == 0 {
        return value;
    }
    let at = dice.below(count);
    match value {
        Value::Object(table) => any_node(table.values_mut().nth(at).unwrap(), dice),
        Value::Array(items) => any_node(&mut items[at], dice),
        _ => value,
    }
}

fn strange(dice: &mut Dice) -> Value {
    match dice.below(15) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(1e308),
        4 => json!(u64::MAX),
        5 => json!(""),
        6 => json!("\u{0}\u{202e}é"),
        7 => json!("v".repeat(70_000)),
        8 => json!("{{ .Values.x }}"),
        9 => json!([]),
        10 => json!({}),
        11 => json!([null, 1, "x", {"": {}}]),
        12 => json!("a: &a [*a]\n"),
        13 => json!("2.5.16"),
        _ => (0..dice.below(110)).fold(json!(1), |inner, n| if n % 2 == 0 { json!([inner]) } else { json!({"a": inner}) }),
    }
}

fn body(dice: &mut Dice, seeds: &[(Gate, Value)], bad: &[String]) -> (Gate, Vec<u8>) {
    let (gate, mut review) = dice.of(seeds).clone();
    match dice.below(10) {
        // The shape of the object, and of the review around it.
        0..=3 => {
            for _ in 0..=dice.below(3) {
                let with = strange(dice);
                // Mostly inside of the object: around it the review is soon none.
                let at = *dice.of(&["", "/request/object", "/request/object", "/request/oldObject"]);
                let root = if review.pointer(at).is_some() { review.pointer_mut(at).unwrap() } else { &mut review };
                *any_node(root, dice) = with;
            }
        }
        4 => {
            if let Value::Object(table) = any_node(review.pointer_mut("/request/object").unwrap(), dice) {
                table.retain(|_, _| dice.below(3) != 0);
            }
        }
        5 => review["request"]["object"]["data"] = json!({"release": dice.of(bad)}),
        6 => {
            // Deeper than any reader may go.
            let mut text = serde_json::to_vec(&review).unwrap();
            let depth = dice.below(100_000);
            let at = dice.below(text.len());
            text.splice(at..at, std::iter::repeat_n(*dice.of(b"[{\""), depth));
            return (gate, text);
        }
        7 => {
            let text = serde_json::to_string(&review).unwrap();
            let number = *dice.of(&["1e999999", "-0", "99999999999999999999999999999999", "1.0000000000000000000000000001", "0x10", "NaN", "1e-400"]);
            return (gate, text.replacen(*dice.of(&["2", "3", "false", "null", "\"db\""]), number, 1).into_bytes());
        }
        _ => {
            let mut text = serde_json::to_vec(&review).unwrap();
            match dice.below(4) {
                0 => text.truncate(dice.below(text.len())),
                1 => (0..=dice.below(20)).for_each(|_| {
                    let at = dice.below(text.len());
                    text[at] = u8::try_from(dice.next() % 256).unwrap();
                }),
                2 => {
                    let (from, to) = (dice.below(text.len()), dice.below(text.len()));
                    let slice = text[from.min(to)..from.max(to)].to_vec();
                    text.splice(from..from, slice);
                }
                _ => text = (0..dice.below(5000)).map(|_| u8::try_from(dice.next() % 256).unwrap()).collect(),
            }
            return (gate, text);
        }
    }
    (*dice.of(&[gate, gate, gate, Gate::HelmStorage]), serde_json::to_vec(&review).unwrap())
}

async fn send(router: &Router, gate: Gate, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let request = Http::post(gate.path()).header(header::CONTENT_LENGTH, body.len()).body(Body::from(body)).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (status, to_bytes(response.into_body(), 16 << 20).await.unwrap().to_vec())
}

/// What is wrong with an answer.
fn wrong(status: StatusCode, answer: &[u8]) -> Option<String> {
    if status.is_client_error() {
        return None;
    }
    if status != StatusCode::OK {
        return Some(format!("status {status}"));
    }
    let review: Value = match serde_json::from_slice(answer) {
        Ok(review) => review,
        Err(error) => return Some(format!("no JSON: {error}")),
    };
    let has_verdict = review["response"]["allowed"].is_boolean() && review["response"]["uid"].is_string();
    (review["kind"] != "AdmissionReview" || !has_verdict).then(|| "no AdmissionReview".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_bodies_are_answered_with_a_review_or_a_client_error() {
    let count: usize = std::env::var("MILVUS_GUARD_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let telemetry = Arc::new(Telemetry::default());
    let router = Gates::new(Arc::new(judged::offline()), Arc::clone(&telemetry), Limits::default(), DoubtPolicy::Admit).router();
    let (seeds, bad) = (seeds(), bad_releases());
    let mut dice = Dice(0x5eed_1234_abcd_0001);
    let mut by_status = std::collections::BTreeMap::new();
    let mut sent = 0;
    while sent < count {
        // Several at once, as an API server sends them.
        let batch: Vec<(Gate, Vec<u8>)> = (0..16).map(|_| body(&mut dice, &seeds, &bad)).collect();
        let answers = futures::future::join_all(batch.iter().map(|(gate, body)| send(&router, *gate, body.clone()))).await;
        for ((gate, body), (status, answer)) in batch.iter().zip(&answers) {
            if let Some(what) = wrong(*status, answer) {
                panic!("body {sent} at {}: {what}: {}", gate.path(), String::from_utf8_lossy(&body[..body.len().min(2000)]));
            }
            *by_status.entry(status.as_u16()).or_insert(0_usize) += 1;
            sent += 1;
        }
    }
    let metrics = telemetry.text();
    assert!(!metrics.contains("reason=\"fault\""), "a judge panicked: {metrics}");
    assert!(by_status.keys().all(|status| matches!(status, 200 | 400 | 413 | 429)), "{by_status:?}");
    assert!(by_status[&200] > count / 10, "most bodies never came to a judge: {by_status:?}");
    let peak = peak_kib();
    eprintln!("{sent} bodies: {by_status:?}; peak {} MiB", peak >> 10);
    assert!(peak < MOST_KIB, "the program took {peak} KiB");
}

/// The most memory that this program ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}
