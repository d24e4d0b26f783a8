//! Whatever breaks, no verdict is wrong: replicas killed and replaced under load, none left, a control plane that is slow or begins anew, a cache that is
//! behind, clocks that differ.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use milvus_guard_e2e::commands::{Ended, Program};
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::latency::Wire;
use milvus_guard_e2e::programs::repository;
use milvus_guard_e2e::sandbox::{Sandbox, wait};
use milvus_guard_e2e::webhook::Installed;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::gates::SMALL;
use crate::gitops::define;
use crate::leaving::gone;

const MILVUS: &str = "m-milvus-standalone";

/// Gate 1 as strict as it can be, certificates and registration looked at often, and quick ends.
const STRICT: [&str; 3] = ["gates.helmStorage.failurePolicy=Fail", "drain.delay=1s", "extraArgs={--certificate-poll=1s,--registration-poll=1s}"];

async fn helm(sandbox: &Sandbox, verb: &str, version: &str) -> Ended {
    let chart = sandbox.chart(version);
    sandbox.helm(Program::Helm3, [verb, "m", chart.to_str().unwrap(), "--set", SMALL]).run().await
}

async fn install(sandbox: &Sandbox) {
    let ended = helm(sandbox, "install", "4.2.20").await;
    assert!(ended.status.success(), "{ended}");
    sandbox.wait_until_rolled_out().await;
}

/// An upgrade that loses data is refused, for that reason.
async fn must_refuse(sandbox: &Sandbox) {
    let ended = helm(sandbox, "upgrade", "5.0.19").await;
    assert!(!ended.status.success() && ended.stderr.contains("MV205"), "{ended}");
}

/// Sets the image of Milvus; whether it is held then.
async fn held_with(client: &Client, namespace: &str, tag: &str) -> Result<bool, kube::Error> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "standalone", "image": format!("milvusdb/milvus:{tag}")}]}}}});
    let after = deployments.patch(MILVUS, &PatchParams::default(), &Patch::Strategic(image)).await?;
    Ok(after.spec.and_then(|spec| spec.paused) == Some(true))
}

async fn must_hold(sandbox: &Sandbox) {
    for (tag, waits) in [("v2.5.16", true), ("v2.4.16", false)] {
        assert_eq!(held_with(&sandbox.admin, &sandbox.namespace, tag).await.unwrap(), waits, "{tag}");
    }
}

/// Writes of every kind, again and again. A wrong verdict ends the test.
struct Load {
    is_over: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Tally>>,
}

/// How often a writer was answered, and how often nobody judged.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    judged: usize,
    failed: usize,
}

impl Tally {
    fn add(&mut self, what: &str, is_right: bool, failure: Option<kube::Error>) {
        match failure {
            Some(kube::Error::Api(status)) if status.message.contains("failed calling webhook") => self.failed += 1,
            Some(other) if !is_right => panic!("{what}: {other}"),
            None if !is_right => panic!("{what}: a wrong verdict"),
            _ => self.judged += 1,
        }
    }
}

fn helm_releases(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("helm.toolkit.fluxcd.io", "v2", "HelmRelease"));
    Api::namespaced_with(client.clone(), namespace, &kind)
}

fn helm_release(name: &str, version: &str, interval: usize) -> Value {
    json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": name}, "spec": {"interval": format!("{interval}m"),
        "releaseName": "m", "chart": {"spec": {"chart": "milvus", "version": version, "sourceRef": {"kind": "HelmRepository", "name": "zilliz"}}},
        "values": {"cluster": {"enabled": false}, "pulsar": {"enabled": false}}}})
}

impl Load {
    const WRITERS: usize = 6;

    fn start(sandbox: &Sandbox) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let writer = |n: usize| {
            let (is_over, client, namespace) = (Arc::clone(&is_over), sandbox.admin.clone(), sandbox.namespace.clone());
            tokio::spawn(async move {
                let mut tally = Tally::default();
                let mut round = 0;
                while !is_over.load(Ordering::Relaxed) {
                    round += 1;
                    match n {
                        0 => Self::hold(&client, &namespace, &mut tally).await,
                        n if n % 2 == 0 => Self::pass(&client, &namespace, &format!("safe-{n}"), round, &mut tally).await,
                        _ => Self::refuse(&client, &namespace, &mut tally).await,
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                tally
            })
        };
        let writers = (0..Self::WRITERS).map(writer).collect();
        Self { is_over, writers }
    }

    async fn hold(client: &Client, namespace: &str, tally: &mut Tally) {
        for (tag, waits) in [("v2.5.16", true), ("v2.4.16", false)] {
            match held_with(client, namespace, tag).await {
                Ok(is_held) => tally.add("an image", is_held == waits, None),
                Err(error) => tally.add("an image", false, Some(error)),
            }
        }
    }

    async fn pass(client: &Client, namespace: &str, name: &str, round: usize, tally: &mut Tally) {
        let object = helm_release(name, "4.2.20", round);
        let applied = helm_releases(client, namespace).patch(name, &PatchParams::apply("e2e"), &Patch::Apply(&object)).await;
        tally.add("a safe HelmRelease", applied.is_ok(), applied.err());
    }

    async fn refuse(client: &Client, namespace: &str, tally: &mut Tally) {
        let object = serde_json::from_value(helm_release("unsafe", "5.0.19", 1)).unwrap();
        let created = helm_releases(client, namespace).create(&PostParams::default(), &object).await;
        let is_refused = matches!(&created, Err(kube::Error::Api(status)) if status.message.contains("MV205"));
        tally.add("an unsafe HelmRelease", is_refused, created.err());
    }

    /// Ends it, and adds up.
    async fn end(self) -> Tally {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for writer in self.writers {
            let tally = writer.await.unwrap();
            assert!(tally.judged > 3, "a writer hardly wrote: {tally:?}");
            all = Tally { judged: all.judged + tally.judged, failed: all.failed + tally.failed };
        }
        all
    }
}

#[tokio::test]
async fn replicas_are_killed_replaced_and_gone_and_no_verdict_is_wrong() {
    let Some(sandbox) = Sandbox::new("replicas").await else { return };
    let other = Sandbox::new("replicas-other").await.unwrap();
    define(&sandbox).await;
    let mut guard = Installed::new(sandbox.plane, "faults", 2, &[&sandbox.namespace, &other.namespace], &STRICT).await;
    tokio::join!(install(&sandbox), install(&other));

    // One is killed: only what it was judging fails, as failurePolicy says, and nothing after that.
    let load = Load::start(&sandbox);
    tokio::time::sleep(Duration::from_secs(1)).await;
    guard.replicas[0].process().kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let tally = load.end().await;
    assert!(tally.failed <= Load::WRITERS, "{tally:?}");
    println!("one of two killed: {tally:?}");
    guard.replicas[0].restart().await;

    // The chart's next version, and a new replica for each: nothing fails.
    let load = Load::start(&sandbox);
    let next = next_version(sandbox.folder());
    guard.helm(Program::Helm4, "upgrade", &[next.to_str().unwrap(), "--reset-then-reuse-values"]).ok().await;
    for i in 0..2 {
        guard.start(1);
        guard.replicas.last_mut().unwrap().wait_until_ready().await;
        guard.replicas[i].process().terminate();
        let ended = guard.replicas[i].process().wait(Duration::from_secs(30));
        assert!(ended.is_some_and(|status| status.success()), "{}", guard.replicas[i].process().tail());
    }
    let tally = load.end().await;
    assert_eq!(tally.failed, 0, "{tally:?}");
    println!("both replaced: {tally:?}");

    // None is left: what failurePolicy says for users, and nothing at all for the controllers of Kubernetes and for our own namespace.
    for replica in &mut guard.replicas {
        replica.process().kill();
    }
    let refused = helm(&sandbox, "upgrade", "4.2.20").await;
    assert!(!refused.status.success() && refused.stderr.contains("failed calling webhook"), "{refused}");
    sandbox.kubectl(["set", "image", &format!("deployment/{MILVUS}"), "standalone=milvusdb/milvus:v2.5.16"]).fails().await;
    let starts = sandbox.starts().len();
    sandbox.kubectl(["autoscale", &format!("deployment/{MILVUS}"), "--min=2", "--max=3"]).ok().await;
    wait("a second pod, by the autoscaler", async || (sandbox.starts().len() > starts).then_some(())).await;
    sandbox.api::<Pod>().delete("m-etcd-0", &DeleteParams::default()).await.unwrap();
    wait("etcd again", async || (sandbox.starts().len() > starts + 1).then_some(())).await;
    sandbox.kubectl(["delete", "deployment/m-minio", "--cascade=foreground", "--timeout=60s"]).ok().await;
    wait("its pods collected", async || sandbox.pods().await.iter().all(|pod| !pod.name_any().contains("minio")).then_some(())).await;
    gone(other.plane, &[&other.namespace]).await;
    guard.helm(Program::Helm4, "upgrade", &[next.to_str().unwrap(), "--reset-then-reuse-values", "--set=log.level=debug"]).ok().await;
    guard.start(1);
    guard.replicas.last_mut().unwrap().wait_until_ready().await;
    must_refuse(&sandbox).await;
}

/// The chart as its next version.
fn next_version(folder: &std::path::Path) -> std::path::PathBuf {
    let (from, to) = (repository().join("charts/milvus-guard"), folder.join("milvus-guard"));
    assert!(std::process::Command::new("cp").arg("-r").args([&from, &to]).status().unwrap().success());
    let own = std::fs::read_to_string(to.join("Chart.yaml")).unwrap();
    std::fs::write(to.join("Chart.yaml"), own.replace("ersion: 0.", "ersion: 99.")).unwrap();
    to
}

#[tokio::test]
async fn a_control_plane_that_is_slow_or_begins_anew_changes_no_verdict() {
    let Some(plane) = ControlPlane::own("faults").await else { return };
    let sandbox = Sandbox::on(plane, "faults").await;
    let mut guard = Installed::not_started(plane, "faults", &[], &STRICT).await;
    // The guard's own way to the API server.
    let wire = Wire::to(plane.server().rsplit(':').next().unwrap().parse().unwrap()).await;
    let kubeconfig = std::fs::read_to_string(&guard.account.kubeconfig).unwrap();
    guard.account.kubeconfig = sandbox.file("guard.kubeconfig", &kubeconfig.replace(&plane.server(), &format!("https://127.0.0.1:{}", wire.port())));
    guard.start(2);
    guard.wait_until_in_force().await;
    install(&sandbox).await;
    must_refuse(&sandbox).await;

    // etcd takes half a second for all that is written, and read past the cache.
    plane.set_etcd_latency(Duration::from_millis(500));
    must_refuse(&sandbox).await;
    must_hold(&sandbox).await;
    plane.set_etcd_latency(Duration::ZERO);

    // The API server begins anew: the replicas are what they were, and judge its first requests.
    plane.stop_api_server();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for replica in &guard.replicas {
        assert_eq!(replica.get("/healthz").map(|(status, _)| status), Some(200));
    }
    plane.restart_api_server().await;
    must_hold(&sandbox).await;
    must_refuse(&sandbox).await;

    // No watch says anything any more: what a request itself shows is believed over the cache.
    wire.set_silent(true);
    let fresh = Sandbox::on(plane, "fresh").await;
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": MILVUS}, "spec": {
        "selector": {"matchLabels": {"app.kubernetes.io/instance": "m", "app.kubernetes.io/name": "milvus", "component": "standalone"}},
        "template": {"metadata": {"labels": {"app.kubernetes.io/instance": "m", "app.kubernetes.io/name": "milvus", "component": "standalone"}},
            "spec": {"containers": [{"name": "standalone", "image": "milvusdb/milvus:v2.4.16"}]}}}});
    fresh.kubectl(["create", "-f", "-"]).input(deployment.to_string()).ok().await;
    fresh.wait_until_rolled_out().await;
    assert!(held_with(&fresh.admin, &fresh.namespace, "v2.5.16").await.unwrap(), "nothing of this release was ever seen");
    wire.set_silent(false);
    wait("the watches caught up", async || (!held_with(&fresh.admin, &fresh.namespace, "v2.4.16").await.unwrap()).then_some(())).await;
    drop((sandbox, fresh, guard));
    plane.end();
}

/// A library that moves the wall clock by `CLOCK_OFFSET` seconds, for one process.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    const char *offset = getenv("CLOCK_OFFSET");
    if (result == 0 && id == CLOCK_REALTIME && offset) at->tv_sec += atol(offset);
    return result;
}
"#;

fn clock(sandbox: &Sandbox) -> String {
    let source = sandbox.file("clock.c", CLOCK);
    let library = sandbox.folder().join("clock.so");
    let built = std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").status();
    assert!(built.is_ok_and(|status| status.success()), "a C compiler is needed, as for the guard itself");
    library.display().to_string()
}

#[tokio::test]
async fn an_authority_gives_way_to_the_next_under_load() {
    let Some(sandbox) = Sandbox::new("authority").await else { return };
    define(&sandbox).await;
    install(&sandbox).await;
    let lifetimes = ["certificates.authorityLifetime=4000s", "certificates.lifetime=1900s", "certificates.overlap=3s"];
    let sets: Vec<&str> = STRICT.iter().chain(&lifetimes).copied().collect();
    let mut guard = Installed::not_started(sandbox.plane, "authority", &[&sandbox.namespace], &sets).await;
    // An authority of 45 minutes ago, whose time is over in two thirds of 4,000 s, and a serving certificate of 17 minutes ago.
    let library = clock(&sandbox);
    let secrets: Api<Secret> = Api::namespaced(sandbox.admin.clone(), &guard.namespace);
    let name = format!("{}-tls", guard.name);
    let stored = async || secrets.get(&name).await.unwrap();
    let authority = |secret: &Secret| secret.data.as_ref().and_then(|data| Some(String::from_utf8(data.get("ca.crt")?.0.clone()).unwrap())).unwrap_or_default();
    for ago in ["-2700", "-1000"] {
        let before = stored().await.resource_version();
        let mut replica = guard.one_more(&[("LD_PRELOAD", &library), ("CLOCK_OFFSET", ago)]);
        wait("a certificate of earlier", async || (stored().await.resource_version() != before).then_some(())).await;
        replica.process().kill();
    }
    let first = authority(&stored().await);
    assert_eq!(first.matches("BEGIN").count(), 1);

    guard.start(2);
    guard.wait_until_in_force().await;
    let load = Load::start(&sandbox);
    let mut handshakes = 0;
    wait("another authority alone", async || {
        // As the API server does: with what is registered now, and a new connection.
        let trusted = guard.registered_authorities().await;
        for replica in &guard.replicas {
            answers(replica.port(), &trusted).await;
            handshakes += 1;
        }
        let now = authority(&stored().await);
        (!now.contains(first.trim()) && now.matches("BEGIN").count() == 1).then_some(())
    })
    .await;
    let tally = load.end().await;
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert!(handshakes >= 6, "{handshakes} handshakes");
    println!("authority replaced: {tally:?}, {handshakes} more handshakes, none failed");
}

/// A new connection to a replica, trusting these authorities (PEM). Anything but an answer ends the test.
async fn answers(port: u16, trusted: &str) {
    let mut config = kube::Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
    let ders = trusted.split("-----END CERTIFICATE-----").filter_map(|block| block.split("-----BEGIN CERTIFICATE-----").nth(1));
    let decode = |block: &str| base64::engine::general_purpose::STANDARD.decode(block.split_whitespace().collect::<String>()).unwrap();
    config.root_cert = Some(ders.map(decode).collect());
    let request = http::Request::get("/answers").body(Vec::new()).unwrap();
    Client::try_from(config).unwrap().request_text(request).await.unwrap();
}

#[tokio::test]
async fn replicas_whose_clocks_are_ten_minutes_apart_agree() {
    let Some(sandbox) = Sandbox::new("clocks").await else { return };
    let library = clock(&sandbox);
    let mut guard = Installed::not_started(sandbox.plane, "clocks", &[&sandbox.namespace], &STRICT).await;
    // The one that is ahead makes the certificates; for the API server they begin in time.
    for offset in ["300", "-300"] {
        guard.start_in(1, &[("LD_PRELOAD", &library), ("CLOCK_OFFSET", offset)]);
        guard.replicas.last_mut().unwrap().wait_until_ready().await;
    }
    guard.wait_until_in_force().await;
    for (replica, offset) in guard.replicas.iter_mut().zip([300, -300]) {
        let output = replica.process().output();
        let first: Value = serde_json::from_str(output.lines().next().unwrap()).unwrap();
        let said: Timestamp = first["timestamp"].as_str().unwrap().parse().unwrap();
        assert!((said.as_second() - Timestamp::now().as_second() - offset).abs() < 150, "the clock was not moved: {first}");
    }
    install(&sandbox).await;
    let secrets: Api<Secret> = Api::namespaced(sandbox.admin.clone(), &guard.namespace);
    let stored = async || secrets.get(&format!("{}-tls", guard.name)).await.unwrap().resource_version();
    let before = stored().await;
    // Each alone: the verdict is the same, and break-glass counts that ends later, or ended earlier, than clocks differ.
    for replica in &guard.replicas {
        guard.service.set_backends(&[replica.port()]);
        must_refuse(&sandbox).await;
        must_hold(&sandbox).await;
        for (minutes, waits) in [(-8, true), (8, false)] {
            assert_eq!(is_held_behind_glass(&sandbox, minutes).await, waits, "{minutes} minutes");
        }
    }
    assert_eq!(stored().await, before, "the replicas write certificates against each other");
}

/// Whether another image is held although glass is broken until some minutes from now. Nothing is stored.
async fn is_held_behind_glass(sandbox: &Sandbox, minutes: i64) -> bool {
    let until = Timestamp::now() + SignedDuration::from_mins(minutes);
    let patch = json!({"metadata": {"annotations": {"guard.milvus-guard.dev/break-glass": format!("until={until} reason=\"INC-7\"")}},
        "spec": {"template": {"spec": {"containers": [{"name": "standalone", "image": "milvusdb/milvus:v2.5.16"}]}}}});
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let after = sandbox.api::<Deployment>().patch(MILVUS, &dry, &Patch::Strategic(patch)).await.unwrap();
    after.spec.and_then(|spec| spec.paused) == Some(true)
}
