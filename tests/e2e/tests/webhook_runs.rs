//! The real program answers the API server over TLS, registered with the URL form swapped in.

use milvus_guard_e2e::commands::Program;
use milvus_guard_e2e::sandbox::Sandbox;
use milvus_guard_e2e::webhook::{Guard, Installed, register};

const STORAGE: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: webhook-runs}
webhooks:
- name: helm-storage.guard.milvus-guard.dev
  admissionReviewVersions: [v1]
  sideEffects: NoneOnDryRun
  failurePolicy: Fail
  timeoutSeconds: 5
  clientConfig: {service: {name: milvus-guard, namespace: milvus-guard, path: /gates/helm-storage}}
  objectSelector: {matchLabels: {owner: helm}}
  rules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [secrets, configmaps]}]
";

#[tokio::test]
async fn a_release_goes_through_the_webhook_and_not_without_it() {
    let Some(sandbox) = Sandbox::new("webhook-runs").await else { return };
    let user = sandbox.plane.admin().await;
    let mut guard = Guard::start(sandbox.plane, &user, "webhook-runs", &["--client-ca", sandbox.plane.authority_file().to_str().unwrap()]).await;
    let registered = register(&sandbox.admin, &user.kubeconfig, STORAGE, guard.authority().certificate(), guard.port(), &[&sandbox.namespace]).await;
    let chart = sandbox.chart("4.2.58");
    let set = "--set=cluster.enabled=false,etcd.replicaCount=1,minio.mode=standalone,pulsarv3.enabled=false";
    let install = |name: &str| sandbox.helm(Program::Helm3, ["install", name, chart.to_str().unwrap(), set]);
    install("m").ok().await;
    assert!(guard.metrics().contains("helm"), "{}", guard.metrics());

    guard.process().kill();
    let refused = install("n").fails().await;
    assert!(refused.stderr.contains("failed calling webhook"), "{refused}");
    guard.restart().await;
    install("n").ok().await;

    guard.process().kill();
    registered.take_away(&sandbox.admin).await;
    install("o").ok().await;
}

#[tokio::test]
async fn the_chart_s_own_rights_arguments_and_registration_are_enough_to_run() {
    let Some(sandbox) = Sandbox::new("installed").await else { return };
    let mut installed = Installed::new(sandbox.plane, "chart-runs", 2, &[&sandbox.namespace], &[]).await;
    let chart = sandbox.chart("4.2.58");
    let set = "--set=cluster.enabled=false,etcd.replicaCount=1,minio.mode=standalone,pulsarv3.enabled=false";
    sandbox.helm(Program::Helm4, ["install", "m", chart.to_str().unwrap(), set]).ok().await;
    let asked = |installed: &Installed| installed.replicas.iter().map(|guard| guard.metric("milvus_guard_reviews_total", "")).sum::<f64>();
    assert!(asked(&installed) > 0.0, "{}", installed.replicas[0].metrics());
    installed.replicas[0].process().kill();
    sandbox.helm(Program::Helm3, ["upgrade", "m", chart.to_str().unwrap(), set, "--set=log.level=debug"]).ok().await;
    sandbox.wait_until_rolled_out().await;

    // The configuration moves the queue under a running release: nothing takes it up by itself.
    let moved = r#"{"data":{"user.yaml":"mq: {type: kafka}\n"}}"#;
    let patched = sandbox.kubectl(["patch", "configmap", "m-milvus", "--type=merge", "-p", moved]).ok().await;
    assert!(patched.stderr.contains("moves the message queue"), "{patched}");
    sandbox.kubectl(["rollout", "restart", "deployment/m-milvus-standalone"]).ok().await;
    let held = sandbox.kubectl(["get", "deployment", "m-milvus-standalone", "-o", "jsonpath={.spec.paused} {.metadata.annotations}"]).ok().await;
    assert!(held.stdout.starts_with("true ") && held.stdout.contains("kafka waits"), "{held}");
}
