//! Plans for files of every form, followed as they are told: each edit is applied, each answer written, and `check` finds nothing that the plan did not ask for.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::Sandbox;

/// A release as people keep it.
struct Case {
    /// What it is.
    name: &'static str,
    /// All files, with their texts.
    files: &'static [(&'static str, &'static str)],
    /// The file that declares the release.
    path: &'static str,
    /// What the file does not say.
    more: &'static [&'static str],
    /// Answers are written above the first line that begins so.
    beside: &'static str,
    /// The hops, as version and chart.
    hops: &'static [(&'static str, &'static str)],
}

const TO: &str = "2.6.15";
const LAST: [(&str, &str); 1] = [("2.6.15", "5.0.19")];
const TWO: [(&str, &str); 2] = [("2.5.22", "4.2.58"), ("2.6.15", "5.0.19")];
const THREE: [(&str, &str); 3] = [("2.2.16", "4.0.34"), ("2.5.22", "4.2.58"), ("2.6.15", "5.0.19")];

const CASES: &[Case] = &[
    Case {
        name: "a Flux release on Kafka and an external store, with settings of separate coordinators",
        files: &[(
            "apps/milvus.yaml",
            r##"apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: zilliztech, namespace: vectors}
spec: {interval: 1h, url: https://zilliztech.github.io/milvus-helm/}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: milvus
  namespace: vectors
spec:
  interval: 10m
  timeout: 5m
  chart:
    spec:
      chart: milvus
      version: 4.1.24
      sourceRef: {kind: HelmRepository, name: zilliztech}
  upgrade:
    preserveValues: true
    remediation:
      retries: 3
      remediateLastFailure: true
  values:
    cluster: {enabled: true}
    queryCoordinator:
      resources: {limits: {memory: 4Gi}}
      nodeSelector: {pool: vectors}
    rootCoordinator:
      replicas: 1
      nodeSelector: {pool: vectors}
    queryNode:
      replicas: 4
    externalS3:
      enabled: true
      host: s3.eu-central-1.amazonaws.com
      port: "443"
      useSSL: true
      bucketName: acme-vectors
      rootPath: prod
      cloudProvider: aws
      useIAM: true
    minio: {enabled: false}
    kafka:
      enabled: true
    pulsar: {enabled: false}
    etcd:
      replicaCount: 3
      persistence: {size: 20Gi}
"##,
        )],
        path: "apps/milvus.yaml",
        more: &["--from", "2.3.11"],
        beside: "      version: ",
        hops: &TWO,
    },
    Case {
        name: "a Flux release before the metadata migration",
        files: &[(
            "milvus.yaml",
            r##"apiVersion: helm.toolkit.fluxcd.io/v2beta2
kind: HelmRelease
metadata:
  name: search
  namespace: db
spec:
  interval: 10m
  chart:
    spec:
      chart: milvus
      version: 3.2.18
      sourceRef: {kind: HelmRepository, name: zilliztech}
  values:
    cluster:
      enabled: true
    proxy:
      replicas: 2
    log:
      level: info
---
apiVersion: source.toolkit.fluxcd.io/v1beta2
kind: HelmRepository
metadata: {name: zilliztech, namespace: db}
spec: {interval: 1h, url: https://zilliztech.github.io/milvus-helm/}
"##,
        )],
        path: "milvus.yaml",
        more: &[],
        beside: "      version: ",
        hops: &THREE,
    },
    Case {
        name: "an Argo CD Application with parameters and Pulsar 2",
        files: &[(
            "apps/vec.yaml",
            r##"apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: vec
  namespace: argocd
spec:
  project: default
  destination: {server: https://kubernetes.default.svc, namespace: vectors}
  source:
    repoURL: https://zilliztech.github.io/milvus-helm/
    chart: milvus
    targetRevision: 4.2.21
    helm:
      releaseName: vec
      parameters:
        - name: image.all.tag
          value: v2.4.17
        - name: queryNode.replicas
          value: "4"
      valuesObject:
        cluster: {enabled: true}
        pulsar:
          broker: {replicaCount: 2}
        ingress:
          enabled: true
          rules:
            - host: milvus.example.com
              path: /
              pathType: Prefix
  syncPolicy:
    automated: {prune: true, selfHeal: true}
    syncOptions:
      - CreateNamespace=true
      - Replace=true
"##,
        )],
        path: "apps/vec.yaml",
        more: &[],
        beside: "    targetRevision: ",
        hops: &TWO,
    },
    Case {
        name: "an Argo CD standalone with values in a text",
        files: &[(
            "vec.yaml",
            r##"apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: vec
spec:
  project: default
  destination: {server: https://kubernetes.default.svc, namespace: vectors}
  source:
    repoURL: https://zilliztech.github.io/milvus-helm
    chart: milvus
    targetRevision: 4.2.40
    helm:
      values: |
        cluster:
          enabled: false
        etcd:
          replicaCount: 1
        minio:
          mode: standalone
        pulsarv3:
          enabled: false
        standalone:
          resources:
            limits: {memory: 8Gi}
"##,
        )],
        path: "vec.yaml",
        more: &[],
        beside: "    targetRevision: ",
        hops: &TWO,
    },
    Case {
        name: "an umbrella chart on external Kafka and etcd",
        files: &[
            (
                "charts/search/Chart.yaml",
                r##"apiVersion: v2
name: search
version: 1.4.0
dependencies:
  - name: milvus
    version: 4.2.36
    repository: https://zilliztech.github.io/milvus-helm/
"##,
            ),
            (
                "charts/search/Chart.lock",
                r##"dependencies:
- name: milvus
  repository: https://zilliztech.github.io/milvus-helm/
  version: 4.2.36
digest: sha256:2d7a5b1ee4f4c0b0c5a1e5a3f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff00010203
generated: "2025-02-01T10:00:00Z"
"##,
            ),
            (
                "charts/search/values.yaml",
                r##"api:
  replicas: 2
milvus:
  cluster:
    enabled: true
  pulsarv3:
    enabled: false
  externalKafka:
    enabled: true
    brokerList: kafka-0.kafka:9092
  externalEtcd:
    enabled: true
    endpoints:
      - etcd-0.example.com:2379
  etcd:
    enabled: false
  dataNode:
    replicas: 3
"##,
            ),
        ],
        path: "charts/search/Chart.yaml",
        more: &[],
        beside: "    version: ",
        hops: &TWO,
    },
    Case {
        name: "a helmfile with a values file",
        files: &[
            (
                "helmfile.yaml",
                r##"repositories:
  - name: zilliztech
    url: https://zilliztech.github.io/milvus-helm/
releases:
  - name: milvus
    namespace: vectors
    chart: zilliztech/milvus
    version: 4.2.20
    atomic: true
    values:
      - values/milvus.yaml
"##,
            ),
            (
                "values/milvus.yaml",
                r##"cluster:
  enabled: true
pulsar:
  enabled: true
  bookkeeper:
    replicaCount: 3
queryNode:
  replicas: 3
  resources:
    requests: {cpu: "4", memory: 16Gi}
"##,
            ),
        ],
        path: "helmfile.yaml",
        more: &[],
        beside: "    version: ",
        hops: &TWO,
    },
    Case {
        name: "a standalone of k3s",
        files: &[(
            "milvus.yaml",
            r##"apiVersion: helm.cattle.io/v1
kind: HelmChart
metadata:
  name: milvus
  namespace: kube-system
spec:
  repo: https://zilliztech.github.io/milvus-helm/
  chart: milvus
  version: 4.2.55
  targetNamespace: vectors
  set:
    cluster.enabled: "false"
  valuesContent: |-
    etcd:
      replicaCount: 1
    minio:
      mode: standalone
      persistence: {size: 100Gi}
    pulsarv3: {enabled: false}
"##,
        )],
        path: "milvus.yaml",
        more: &[],
        beside: "  version: ",
        hops: &TWO,
    },
    Case {
        name: "a script that reuses values and rolls back",
        files: &[(
            "deploy.sh",
            r##"#!/bin/bash
set -euo pipefail
helm repo add zilliztech https://zilliztech.github.io/milvus-helm/
helm upgrade --install milvus zilliztech/milvus \
  --namespace vectors --version 4.2.30 --reuse-values \
  --set cluster.enabled=true --set queryNode.replicas=3 \
  --atomic --timeout 5m
"##,
        )],
        path: "deploy.sh",
        more: &["--from", "2.5.0-beta"],
        beside: "helm upgrade",
        hops: &TWO,
    },
    Case {
        name: "a script with a values file and separate coordinators with standby",
        files: &[
            (
                "deploy.sh",
                r##"#!/bin/sh
helm upgrade milvus zilliztech/milvus -n vectors --version 4.2.48 -f prod.yaml --wait
"##,
            ),
            (
                "prod.yaml",
                r##"cluster:
  enabled: true
mixCoordinator:
  enabled: false
rootCoordinator:
  enabled: true
  activeStandby: {enabled: true}
  replicas: 2
queryCoordinator:
  enabled: true
  activeStandby: {enabled: true}
  replicas: 2
dataCoordinator:
  enabled: true
  activeStandby: {enabled: true}
  replicas: 2
indexCoordinator:
  enabled: true
  activeStandby: {enabled: true}
  replicas: 2
  resources:
    limits:
      cpu: "2"
pulsarv3:
  bookkeeper:
    replicaCount: 4
"##,
            ),
        ],
        path: "deploy.sh",
        more: &[],
        beside: "helm upgrade",
        hops: &TWO,
    },
    Case {
        name: "a chart of a kustomization",
        files: &[(
            "kustomization.yaml",
            r##"apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: vectors
helmCharts:
  - name: milvus
    repo: https://zilliztech.github.io/milvus-helm/
    version: 4.2.58
    releaseName: milvus
    namespace: vectors
    valuesInline:
      cluster:
        enabled: true
      pulsarv3:
        zookeeper:
          replicaCount: 3
"##,
        )],
        path: "kustomization.yaml",
        more: &[],
        beside: "    version: ",
        hops: &LAST,
    },
    Case {
        name: "a values file on external Pulsar",
        files: &[(
            "values.yaml",
            r##"cluster:
  enabled: true
image:
  all:
    tag: v2.5.10
attu:
  enabled: true
pulsar:
  enabled: false
pulsarv3:
  enabled: false
externalPulsar:
  enabled: true
  host: pulsar.example.com
  port: 6650
  tenant: acme
"##,
        )],
        path: "values.yaml",
        more: &["--chart", "4.2.48", "--release", "milvus"],
        beside: "    tag: ",
        hops: &TWO,
    },
    Case {
        name: "a Flux release without values",
        files: &[(
            "milvus.yaml",
            r##"apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: milvus
  namespace: vectors
spec:
  interval: 10m
  chart:
    spec:
      chart: milvus
      version: 4.2.58
      sourceRef: {kind: HelmRepository, name: zilliztech}
"##,
        )],
        path: "milvus.yaml",
        more: &[],
        beside: "      version: ",
        hops: &LAST,
    },
];

/// The rules that a plan names in a step to be done by hand.
fn asked(actions: &[Json]) -> BTreeSet<String> {
    let texts = actions.iter().filter(|action| action["kind"] == "prepare").filter_map(|action| action["text"].as_str());
    texts.flat_map(|text| text.split(['[', ']']).filter(|part| part.starts_with("MV")).map(str::to_owned)).collect()
}

/// The answers that a plan asks for, with a reference of one's own.
fn answers(actions: &[Json], hop: usize) -> Vec<String> {
    let texts = actions.iter().filter_map(|action| action["text"].as_str());
    let asked = texts.flat_map(|text| text.split('`').filter(|part| part.starts_with("guard.milvus-guard.dev/ack: ")));
    asked.map(|text| format!("# {} OPS-{hop}", text.split(" <").next().unwrap())).collect()
}

/// A file with answers above a line, and without those of another hop.
fn answered(text: &str, beside: &str, answers: &[String]) -> String {
    let mut lines: Vec<String> = text.lines().filter(|line| !line.contains("guard.milvus-guard.dev/ack")).map(str::to_owned).collect();
    let at = lines.iter().position(|line| line.starts_with(beside)).unwrap_or_else(|| panic!("no line `{beside}` in\n{text}"));
    let indent: String = beside.chars().take_while(|c| *c == ' ').collect();
    lines.splice(at..at, answers.iter().map(|answer| format!("{indent}{answer}")));
    lines.join("\n") + "\n"
}

/// Plans for the file as it stands.
fn hops(case: &Case, sandbox: &Sandbox, chart: Option<&str>) -> Vec<Json> {
    let mut arguments = vec!["plan", "--to", TO, "--for", case.path, "--format", "json"];
    match chart {
        // After the first hop a file tells the version; one of values still tells no chart.
        Some(chart) if case.more.contains(&"--chart") => arguments.extend(["--chart", chart]),
        Some(_) => {}
        None => arguments.extend(case.more),
    }
    let outcome = sandbox.run(&arguments);
    assert_eq!(outcome.code, 0, "{}: {}", case.name, outcome.shown());
    outcome.json()["hops"].as_array().unwrap().clone()
}

/// What `check` finds in the edited files and the plan did not ask for.
fn left(case: &Case, sandbox: &Sandbox, asked: &BTreeSet<String>) -> Vec<String> {
    let mut arguments = vec!["check", ".", "--base", "HEAD", "--format", "json"];
    if case.more.contains(&"--chart") {
        arguments.extend(["--values", case.path]);
    }
    let report = sandbox.run(&arguments).json();
    assert_eq!(report["summary"]["changes"], 1, "{}: {report:#}", case.name);
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["severity"] != "info");
    findings
        .filter(|finding| !asked.contains(finding["rule"].as_str().unwrap()))
        .map(|finding| format!("{}: {}", finding["rule"], finding["message"]))
        .collect()
}

fn follow(case: &Case) {
    let sandbox = Sandbox::new();
    for (file, text) in case.files {
        sandbox.write(file, text);
    }
    sandbox.git("", &["init", "-q"]);
    sandbox.commit("", "before");
    let told: Vec<(String, String)> = hops(case, &sandbox, None).iter().map(|hop| (text_of(hop, "milvus"), text_of(hop, "chart"))).collect();
    let expected: Vec<(String, String)> = case.hops.iter().map(|(milvus, chart)| ((*milvus).to_owned(), (*chart).to_owned())).collect();
    assert_eq!(told, expected, "{}", case.name);
    let mut chart = None;
    for (number, expected) in told.iter().enumerate() {
        // The plan of the file as it is now goes on where the one before stopped.
        let hop = hops(case, &sandbox, chart.as_deref()).remove(0);
        assert_eq!((text_of(&hop, "milvus"), text_of(&hop, "chart")), *expected, "{}", case.name);
        let actions = hop["actions"].as_array().unwrap();
        let diff = actions.iter().find_map(|action| action["diff"].as_str()).unwrap_or_else(|| panic!("{}: no edit in {hop:#}", case.name));
        sandbox.write("hop.patch", diff);
        sandbox.git("", &["apply", "hop.patch"]);
        std::fs::remove_file(sandbox.path().join("hop.patch")).unwrap();
        let text = std::fs::read_to_string(sandbox.path().join(case.path)).unwrap();
        sandbox.write(case.path, answered(&text, case.beside, &answers(actions, number)));
        let by_hand = actions.iter().filter_map(|action| action["text"].as_str()).find(|text| text.contains("by hand:"));
        assert_eq!(by_hand, None, "{}: nothing is left to the hand", case.name);
        relock(&sandbox, case, &text_of(&hop, "chart"));
        assert_eq!(left(case, &sandbox, &asked(actions)), Vec::<String>::new(), "{}, hop {}", case.name, number + 1);
        sandbox.commit("", "hop");
        chart = Some(text_of(&hop, "chart"));
    }
    let done = hops(case, &sandbox, chart.as_deref());
    assert_eq!(done, Vec::<Json>::new(), "{}", case.name);
}

fn text_of(hop: &Json, key: &str) -> String {
    hop[key].as_str().unwrap().to_owned()
}

/// What `helm dependency update` writes.
fn relock(sandbox: &Sandbox, case: &Case, chart: &str) {
    if let Some((file, text)) = case.files.iter().find(|(file, _)| file.ends_with("Chart.lock")) {
        let lines = text.lines().map(|line| if line.starts_with("  version: ") { format!("  version: {chart}") } else { line.to_owned() });
        sandbox.write(file, lines.collect::<Vec<_>>().join("\n") + "\n");
    }
}

#[test]
fn a_plan_that_is_followed_in_a_file_leaves_nothing_to_find() {
    let failed: Vec<String> = CASES
        .iter()
        .filter_map(|case| std::panic::catch_unwind(|| follow(case)).err())
        .map(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn answers_that_are_left_as_they_are_printed_do_not_count() {
    let case = CASES.iter().find(|case| case.path == "apps/milvus.yaml").unwrap();
    let sandbox = Sandbox::new();
    let [(file, text)] = case.files else { panic!("one file") };
    sandbox.write(file, text.replace("4.1.24", "4.2.58").replace("  values:\n", "  values:\n    image: {all: {tag: v2.5.22}}\n"));
    sandbox.git("", &["init", "-q"]);
    sandbox.commit("", "before");
    let outcome = sandbox.run(&["plan", "--from", "2.5.22", "--to", TO, "--for", case.path, "--format", "json"]);
    let hop = outcome.json()["hops"][0].clone();
    let actions = hop["actions"].as_array().unwrap();
    sandbox.write("hop.patch", actions.iter().find_map(|action| action["diff"].as_str()).unwrap());
    sandbox.git("", &["apply", "hop.patch"]);
    let printed: Vec<String> = actions
        .iter()
        .filter_map(|action| action["text"].as_str())
        .flat_map(|text| text.split('`').filter(|part| part.starts_with("guard.milvus-guard.dev/ack: ")).map(|text| format!("# {text}")))
        .collect();
    assert!(printed.len() >= 3, "{printed:?}");
    let text = std::fs::read_to_string(sandbox.path().join(case.path)).unwrap();
    let found = |answers: &[String]| {
        sandbox.write(case.path, answered(&text, case.beside, answers));
        left(case, &sandbox, &asked(actions)).iter().map(|finding| finding[1..6].to_owned()).collect::<Vec<_>>()
    };
    // They are told of as such, and open nothing.
    let as_printed = found(&printed);
    assert!(found(&[]).iter().all(|rule| as_printed.contains(rule)) && as_printed.contains(&"MV901".to_owned()), "{as_printed:?}");
    assert_eq!(found(&answers(actions, 1)), Vec::<String>::new());
}
