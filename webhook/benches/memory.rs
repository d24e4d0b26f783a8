//! What the caches of the webhook take beside many releases, and what asking them costs: they are filled from an API server that is only imagined, in pages as from a real one.
//! Prints figures; asserts nothing. `cargo bench -p milvus-guard-webhook --bench memory [-- RELEASES]`; memory is about the same with `--profile dev`.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints its figures"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response, Uri};
use kube::Client;
use kube::client::Body;
use milvus_guard_webhook::cluster::{Cluster as _, Watched, running};
use serde_json::{Value, json};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const COMPONENTS: [&str; 8] = ["rootcoord", "querycoord", "datacoord", "indexcoord", "querynode", "datanode", "indexnode", "proxy"];

const RELEASES_OF_A_NAMESPACE: usize = 10;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let releases = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(500);
    println!("{releases} releases: {} Deployments, {} ReplicaSets", releases * COMPONENTS.len(), releases * COMPONENTS.len() * 2);
    let before = memory();
    let client = Client::new(tower::service_fn(move |request: Request<Body>| answer(releases, request.uri().clone())), "default");
    let begin = Instant::now();
    let watched = Watched::start(&client);
    while !watched.is_ready() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("filled in {:?}; the most meanwhile {:.1} MiB", begin.elapsed(), high_water());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = memory();
    println!("before {before:.1} MiB, after {after:.1} MiB: {:.1} KiB for each release", (after - before) * 1024.0 / releases as f64);
    for when in ["the first time", "again"] {
        let mut times: Vec<Duration> = (0..16).map(|at| at * releases / 16).map(|number| ask(&watched, number)).collect();
        times.sort_unstable();
        println!("what serves of a release, asked {when}: {:?}", times[times.len() / 2]);
    }
    let times: Vec<Duration> = (0..100).map(|_| ask(&watched, 0)).collect();
    println!("the same one over and over: {:?}", times[99]);
    println!("at the end {:.1} MiB", memory());
}

fn ask(watched: &Arc<Watched>, number: usize) -> Duration {
    let begin = Instant::now();
    let found = running::serving(&**watched, &namespace(number), &name(number));
    assert_eq!(found.iter().filter_map(running::Serving::image).count(), COMPONENTS.len());
    begin.elapsed()
}

fn namespace(number: usize) -> String {
    format!("fleet-{:03}", number / RELEASES_OF_A_NAMESPACE)
}

fn name(number: usize) -> String {
    format!("m{number:04}")
}

/// Lists what there is, and says nothing more.
async fn answer(releases: usize, asked: Uri) -> Result<Response<Body>, std::convert::Infallible> {
    let query = asked.query().unwrap_or_default();
    if query.contains("watch=true") {
        return std::future::pending().await;
    }
    let number = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
    let (limit, from): (usize, usize) = (number("limit").unwrap_or(500), number("continue").unwrap_or_default());
    let all = |count: usize, object: fn(usize) -> Value| {
        let items: Vec<Value> = (from..count.min(from + limit)).map(object).collect();
        let next = if from + limit < count { (from + limit).to_string() } else { String::new() };
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1", "continue": next}, "items": items})
    };
    let listed = match asked.path().rsplit('/').next() {
        Some("version") => {
            json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""})
        }
        Some("deployments") if query.contains("component") => all(releases * COMPONENTS.len(), deployment),
        Some("replicasets") => all(releases * COMPONENTS.len() * 2, replica_set),
        Some("namespaces") => all(
            releases.div_ceil(RELEASES_OF_A_NAMESPACE),
            |number| json!({"metadata": {"name": namespace(number * RELEASES_OF_A_NAMESPACE), "labels": {"kubernetes.io/metadata.name": "x"}}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}),
        ),
        _ => all(0, |_| Value::Null),
    };
    Ok(Response::new(Body::from(listed.to_string().into_bytes())))
}

/// A component's Deployment as the chart renders it and the API server completes it.
fn deployment(at: usize) -> Value {
    let (release, component) = (name(at / COMPONENTS.len()), COMPONENTS[at % COMPONENTS.len()]);
    let selected = json!({"app.kubernetes.io/name": "milvus", "app.kubernetes.io/instance": release, "component": component});
    let mut labels = selected.clone();
    for (key, value) in [("helm.sh/chart", "milvus-4.2.58"), ("app.kubernetes.io/version", "2.5.22"), ("app.kubernetes.io/managed-by", "Helm")] {
        labels[key] = json!(value);
    }
    let mut template = json!({
        "metadata": {"creationTimestamp": null, "labels": selected, "annotations": {"checksum/config": "4f0f1c2f9ce0c1e3a6c1a4b1f2f6a5e0d7d0e6a2f3c4b5a697887766554433aa"}},
        "spec": {
            "serviceAccountName": "default", "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "securityContext": {}, "schedulerName": "default-scheduler",
            "initContainers": [{"name": "config", "image": "milvusdb/milvus-config-tool:v0.1.2", "command": ["/cp", "/run-helm.sh,/merge", "/milvus/tools/run-helm.sh,/milvus/tools/merge"],
                "resources": {}, "volumeMounts": [{"name": "tools", "mountPath": "/milvus/tools"}], "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent"}],
            "containers": [{"name": component, "image": "milvusdb/milvus:v2.5.22", "args": ["/milvus/tools/run-helm.sh", "milvus", "run", component],
                "ports": [{"name": component, "containerPort": 19530, "protocol": "TCP"}, {"name": "metrics", "containerPort": 9091, "protocol": "TCP"}],
                "env": [{"name": "CACHE_SIZE", "value": "4GB"}], "resources": {},
                "volumeMounts": [{"name": "milvus-config", "readOnly": true, "mountPath": "/milvus/configs/default.yaml", "subPath": "default.yaml"},
                    {"name": "milvus-config", "readOnly": true, "mountPath": "/milvus/configs/user.yaml", "subPath": "user.yaml"}, {"name": "tools", "mountPath": "/milvus/tools"}],
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent"}],
            "volumes": [{"name": "milvus-config", "configMap": {"name": format!("{release}-milvus"), "defaultMode": 420}}, {"name": "tools", "emptyDir": {}}]
        }
    });
    for probe in ["livenessProbe", "readinessProbe"] {
        template["spec"]["containers"][0][probe] = json!({"httpGet": {"path": "/healthz", "port": "metrics", "scheme": "HTTP"},
            "initialDelaySeconds": 90, "timeoutSeconds": 5, "periodSeconds": 30, "successThreshold": 1, "failureThreshold": 5});
    }
    let conditions = ["Available", "Progressing"].map(|kind| {
        json!({"type": kind, "status": "True", "lastUpdateTime": "2026-11-22T00:00:00Z", "lastTransitionTime": "2026-11-22T00:00:00Z",
            "reason": "NewReplicaSetAvailable", "message": "ReplicaSet has successfully progressed."})
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": format!("{release}-milvus-{component}"), "namespace": namespace(at / COMPONENTS.len()), "uid": "0f6e1e9e-4d6e-4f0e-9d53-3e0b8a8b8f5e", "resourceVersion": "1", "generation": 1,
            "creationTimestamp": "2026-11-22T00:00:00Z", "labels": labels, "managedFields": managed_fields(&template),
            "annotations": {"deployment.kubernetes.io/revision": "2", "meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace(at / COMPONENTS.len())}},
        "spec": {"replicas": 2, "selector": {"matchLabels": selected}, "template": template, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600},
        "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2, "conditions": conditions}
    })
}

/// Two of each Deployment, of which the second has pods.
fn replica_set(at: usize) -> Value {
    let Value::Object(mut set) = deployment(at / 2) else { return Value::Null };
    let hash = ["5d4c8f7b96", "77f9c6b5d4"][at % 2];
    let name = format!("{}-{hash}", set["metadata"]["name"].as_str().unwrap());
    set["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": set["metadata"]["name"], "uid": set["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true}]);
    set["metadata"]["name"] = json!(name);
    set["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!((at % 2 + 1).to_string());
    set["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    let pods = at % 2 * 2;
    set.insert("kind".into(), json!("ReplicaSet"));
    set.insert(
        "status".into(),
        json!({"replicas": pods, "fullyLabeledReplicas": pods, "readyReplicas": pods, "availableReplicas": pods, "observedGeneration": 1}),
    );
    Value::Object(set)
}

/// Who wrote what: about as large as what was written.
fn managed_fields(written: &Value) -> Value {
    fn fields(value: &Value) -> Value {
        match value {
            Value::Object(table) => table.iter().map(|(key, value)| (format!("f:{key}"), fields(value))).collect::<serde_json::Map<_, _>>().into(),
            Value::Array(items) => {
                items.iter().map(|item| (format!("k:{{\"name\":{}}}", item["name"]), fields(item))).collect::<serde_json::Map<_, _>>().into()
            }
            _ => json!({}),
        }
    }
    json!([{"manager": "helm", "operation": "Update", "apiVersion": "apps/v1", "time": "2026-11-22T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:template": fields(written)}}}])
}

/// Resident memory that is no file's, in MiB.
fn memory() -> f64 {
    mebibytes("/proc/self/smaps_rollup", "Anonymous:")
}

fn high_water() -> f64 {
    mebibytes("/proc/self/status", "VmHWM:")
}

fn mebibytes(file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<f64>().ok()).unwrap() / 1024.0
}
