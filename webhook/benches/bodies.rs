//! A Milvus that runs, and reviews of what is done to it.

use std::fmt::Write as _;

use axum::body::Bytes;
use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::value::{Node, Value as Values};
use milvus_guard_webhook::admission::Gate;
use milvus_guard_webhook::cluster::Snapshot;
use serde_json::{Value, json};

use super::shapes::{self, Words};

const NAMESPACE: &str = "db";
const CHART: &str = "4.2.58";
const COMPONENTS: [&str; 6] = ["proxy", "mixcoord", "querynode", "datanode", "indexnode", "streamingnode"];

/// Reviews that are sent in turn to a gate over a cluster.
pub(super) struct Measure {
    pub(super) name: String,
    pub(super) gate: Gate,
    pub(super) cluster: Snapshot,
    pub(super) bodies: Vec<Bytes>,
}

pub(super) fn measures() -> Vec<Measure> {
    let gitops = |name: &str, bodies: Vec<Bytes>| Measure { name: name.into(), gate: Gate::GitOps, cluster: cluster(), bodies };
    // More than any memory of reviews holds, so that none is met again in the next round.
    let count = 2000;
    let change = |number: u64| (release(2 * number, "v2.5.16"), release(2 * number + 1, if number.is_multiple_of(2) { "v2.5.22" } else { "v2.5.16" }));
    let mut all = vec![gitops(
        "HelmRelease, both states never seen",
        (0..count).map(change).map(|(before, after)| body(&after, Some(&before), number_of(&after), false)).collect(),
    )];
    let next = |number: u64| (release(number, "v2.5.16"), release(number + 1, "v2.5.16"));
    all.push(gitops(
        "HelmRelease, each from the one before",
        (0..count).map(next).map(|(before, after)| body(&after, Some(&before), number_of(&after), false)).collect(),
    ));
    all.push(gitops(
        "HelmRelease, dry run and then the write",
        (0..count / 2)
            .map(next)
            .flat_map(|(before, after)| [body(&after, Some(&before), number_of(&after), true), body(&after, Some(&before), number_of(&after) + 1, false)])
            .collect(),
    ));
    all.push(gitops(
        "HelmRelease, 32 again and again",
        (0..count).map(|number| next(number % 32)).map(|(before, after)| body(&after, Some(&before), 7, false)).collect(),
    ));
    all.push(gitops(
        "HelmRelease that is refused",
        (0..count / 10)
            .map(|number| (release(2 * number, "v2.5.16"), release(2 * number + 1, "v2.6.15")))
            .map(|(before, after)| body(&after, Some(&before), 7, false))
            .collect(),
    ));
    let stranger = |number: u64| {
        let mut object = release(number, "v1");
        let text = object.to_string().replace("milvus", "valkey");
        object = serde_json::from_str(&text).unwrap();
        object
    };
    all.push(gitops("HelmRelease of another chart", (0..count).map(|number| body(&stranger(number), Some(&stranger(number + 1)), number, false)).collect()));
    for kib in [100, 1024] {
        let bodies = vec![body(&secret(2, "pending-upgrade", "v2.5.22", kib), None, 7, false); 20];
        let mut cluster = cluster();
        cluster.put(secret(1, "deployed", "v2.5.16", kib));
        all.push(Measure { name: format!("Secret of {kib} KiB, and the revision before"), gate: Gate::HelmStorage, cluster, bodies });
    }
    all
}

fn number_of(object: &Value) -> u64 {
    object["metadata"]["generation"].as_u64().unwrap()
}

/// A review as the API server sends it; each number is another request.
fn body(object: &Value, before: Option<&Value>, number: u64, dry_run: bool) -> Bytes {
    let mut review = shapes::review(object, before, NAMESPACE);
    review["request"]["uid"] = format!("705ab4f5-6393-11e8-b7cc-{number:012}").into();
    review["request"]["dryRun"] = dry_run.into();
    Bytes::from(serde_json::to_vec(&review).unwrap())
}

/// A HelmRelease of some size; each number is another one.
fn release(number: u64, tag: &str) -> Value {
    let mut object = shapes::milvus_release(number, tag, NAMESPACE);
    object["metadata"]["resourceVersion"] = (88_126 + number).to_string().into();
    object["metadata"]["generation"] = number.into();
    object
}

/// What runs, with a repository and a namespace.
fn cluster() -> Snapshot {
    let mut cluster = Snapshot::default();
    for component in COMPONENTS {
        let deployment = deployment(component, "v2.5.16");
        cluster.put(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": format!("m-milvus-{component}-1"), "namespace": NAMESPACE, "annotations": {"deployment.kubernetes.io/revision": "1"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"], "uid": "u", "controller": true}]},
            "spec": {"replicas": 1, "template": deployment["spec"]["template"]}, "status": {"replicas": 1}}));
        cluster.put(deployment);
    }
    cluster.put(json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "metadata": {"name": "charts", "namespace": NAMESPACE},
        "spec": {"url": "https://zilliztech.github.io/milvus-helm"}}));
    cluster.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}));
    cluster
}

fn deployment(component: &str, tag: &str) -> Value {
    let labels = json!({"app.kubernetes.io/name": "milvus", "app.kubernetes.io/instance": "m", "component": component});
    let mut meta = labels.as_object().unwrap().clone();
    meta.insert("helm.sh/chart".into(), format!("milvus-{CHART}").into());
    meta.insert("app.kubernetes.io/managed-by".into(), "Helm".into());
    let probe = json!({"httpGet": {"path": "/healthz", "port": "metrics"}, "initialDelaySeconds": 90, "periodSeconds": 30, "timeoutSeconds": 5, "successThreshold": 1, "failureThreshold": 5});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": format!("m-milvus-{component}"), "namespace": NAMESPACE, "labels": meta,
            "annotations": {"meta.helm.sh/release-name": "m", "meta.helm.sh/release-namespace": NAMESPACE}},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels, "annotations": {"checksum/config": "0123abcd"}},
            "spec": {"containers": [{"name": component, "image": format!("milvusdb/milvus:{tag}"), "args": ["/milvus/tools/run.sh", "milvus", "run", component],
                "livenessProbe": probe, "readinessProbe": probe, "resources": {"requests": {"cpu": "1", "memory": "4Gi"}},
                "volumeMounts": [{"name": "milvus-config", "mountPath": "/milvus/configs/default.yaml", "subPath": "default.yaml"}]}],
                "volumes": [{"name": "milvus-config", "configMap": {"name": "m-milvus"}}]}}}
    })
}

/// A release as Helm stores it; `kib` of text in `data.release` at least, by templates.
fn secret(revision: u64, status: &str, tag: &str, kib: usize) -> Value {
    let values = to_json(&Catalogue::embedded().defaults(&CHART.parse().unwrap()).unwrap());
    let mut manifest = String::new();
    for part in 0..40 {
        let data = Words(part + 5).text(1500).replace('\n', "\n    ");
        write!(manifest, "---\n# Source: milvus/charts/pulsarv3/templates/part-{part}.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m-pulsarv3-{part}\ndata:\n  text: |\n    {data}\n").unwrap();
    }
    let configuration = "mq:\n  type: pulsar\netcd:\n  endpoints:\n    - m-etcd:2379\n  rootPath: by-dev\n".replace('\n', "\n    ");
    let filling = Words(3).text(40_000).replace('\n', "\n    # ");
    write!(manifest, "---\n# Source: milvus/templates/config.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m-milvus\ndata:\n  default.yaml: |\n    {configuration}\n    # {filling}\n").unwrap();
    for component in COMPONENTS {
        write!(manifest, "---\n# Source: milvus/templates/{component}-deployment.yaml\n{}", serde_yaml::to_string(&deployment(component, tag)).unwrap())
            .unwrap();
    }
    let config = release(3, tag)["spec"]["values"].clone();
    let mut stored = json!({
        "name": "m", "namespace": NAMESPACE, "version": revision, "info": {"status": status, "description": ""},
        "chart": {"metadata": {"name": "milvus", "version": CHART}, "values": values, "templates": []}, "config": config, "manifest": manifest, "hooks": []
    });
    let packed = shapes::packed_to(&mut stored, kib);
    json!({"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
        "metadata": {"name": format!("sh.helm.release.v1.m.v{revision}"), "namespace": NAMESPACE,
            "labels": {"owner": "helm", "name": "m", "status": status, "version": revision.to_string()}},
        "data": {"release": packed}})
}

/// Values as JSON; what the catalogue does not know is left out.
fn to_json(node: &Node) -> Value {
    match &node.value {
        Values::Null => Value::Null,
        Values::Unknown(_) => json!("kept elsewhere"),
        Values::Bool(value) => json!(value),
        Values::Int(value) => json!(value),
        Values::Float(value) => json!(value),
        Values::String(text) => json!(&**text),
        Values::List(items) => items.iter().map(to_json).collect(),
        Values::Table(table) => table.entries.iter().map(|(key, entry)| (key.to_string(), to_json(&entry.node))).collect(),
    }
}
