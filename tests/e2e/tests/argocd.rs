//! Real Argo CD, with automated sync, prune and self-heal, before the guard: a suite of its own (`.ci/e2e-argocd`). The order is read from pod starts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use milvus_guard::rollout::{Pair, Topology};
use milvus_guard_e2e::argocd::{ArgoCd, plane};
use milvus_guard_e2e::chart::{packed, umbrella_with_hook};
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::kubelet::{Behaviour, PodStart};
use milvus_guard_e2e::programs::say;
use milvus_guard_e2e::sandbox::{Sandbox, wait};
use milvus_guard_e2e::webhook::hook;
use serde_json::{Value, json};

use crate::migration::{AFTER, BEFORE, Guarded, INTO_2_2, Release, class_for_backups};
use crate::upgrades::{Served, Upgrading, hops, into_2_6, pair, positions, separate, values, violations};

/// The components of a hop, in the order in which their first pods were started.
fn order(starts: &[PodStart], pair: &Pair) -> String {
    let found = positions(starts, &format!(":v{}", pair.to));
    let mut all: Vec<(usize, &String)> = found.iter().map(|(component, at)| (at[0], component)).collect();
    all.sort_unstable();
    let names: Vec<&str> = all.iter().map(|(_, component)| component.as_str()).collect();
    format!("{} -> {}: {}", pair.from, pair.to, names.join(", "))
}

async fn object(sandbox: &Sandbox, name: &str) -> Value {
    serde_json::to_value(sandbox.api::<Deployment>().get(name).await.unwrap()).unwrap()
}

const ANNOTATIONS: [&str; 2] = ["guard.milvus-guard.dev/hold", "argocd.argoproj.io/sync-options"];

#[tokio::test]
async fn argo_cd_goes_from_2_2_to_2_6_in_the_order_of_the_policy_and_not_without_the_guard() {
    let Some(plane) = plane("Argo CD from 2.2 to 2.6").await else { return };
    let charts: Vec<PathBuf> = ["4.0.31"].into_iter().chain(hops().iter().map(|hop| hop.0)).map(packed).collect();
    let argocd = ArgoCd::start(plane, "hops", &charts).await;
    let upgrading = Upgrading::on(plane, "hops", &[&argocd.namespace]).await;
    let sandbox = &upgrading.sandbox;
    argocd.deploy(&sandbox.namespace, &packed("4.0.31"), &values(&separate())).await;
    argocd.is_done_with(&packed("4.0.31")).await;
    sandbox.wait_until_rolled_out().await;
    upgrading.runs_only("2.2.13").await;
    for (chart, more, pair) in hops() {
        upgrading.declare(json!({"to": pair.to.to_string()})).await;
        upgrading.reaches("Prepared").await;
        let served = Served::by(sandbox, &["rootcoord", "mixcoord"]);
        // It stands still at one component, so that what Argo CD does to the others can be seen.
        let (stands_at, tag) = (if chart == "4.1.24" { "rootcoord" } else { "mixcoord" }, format!("v{}", pair.to));
        sandbox.behave(|pods| pods.component(stands_at).image(&tag), Behaviour::NeverReady);
        argocd.deploy(&sandbox.namespace, &packed(chart), &values(&more)).await;
        match chart {
            "4.1.24" => self_heal_leaves_the_hold(&argocd, &upgrading, stands_at, &tag).await,
            "4.2.58" | "5.0.19" => what_goes_outlives_the_sync(&argocd, &upgrading, stands_at, &tag).await,
            _ => {}
        }
        sandbox.behave(|pods| pods.component(stands_at).image(&tag), Behaviour::ReadyAfter(Duration::from_millis(20)));
        upgrading.reaches("Completed").await;
        assert!(served.looks().await > 10, "{chart}");
        let starts = sandbox.starts();
        say(&format!("with the guard, {}", order(&starts, &pair)));
        assert_eq!(violations(&starts, &pair), Vec::<String>::new(), "{chart}");
        upgrading.runs_only(&pair.to.to_string()).await;
        upgrading.nothing_is_left().await;
        let left = if pair.after == Topology::SeparateCoordinators { 4 } else { 0 };
        assert_eq!(upgrading.separate_coordinators().await, left, "{chart}");
        argocd.is_done_with(&packed(chart)).await;
    }
    assert!(!upgrading.deployments().await.iter().any(|name| name.ends_with("indexnode")), "the index node goes at the end");

    // The same without the guard, so that this test can fail.
    let argocd = ArgoCd::start(plane, "without", &["4.2.58", "5.0.19"].map(packed)).await;
    let plain = Sandbox::on(plane, "without").await;
    argocd.deploy(&plain.namespace, &packed("4.2.58"), &values("")).await;
    argocd.is_done_with(&packed("4.2.58")).await;
    plain.wait_until_rolled_out().await;
    // Of two query nodes the second one comes when the first is ready.
    plain.behave(|pods| pods.component("querynode").image("v2.6.15"), Behaviour::ReadyAfter(Duration::from_secs(3)));
    argocd.deploy(&plain.namespace, &packed("5.0.19"), &values("")).await;
    argocd.is_done_with(&packed("5.0.19")).await;
    plain.wait_until_rolled_out().await;
    let starts = plain.starts();
    let found = violations(&starts, &into_2_6());
    say(&format!("without the guard, {} ({})", order(&starts, &into_2_6()), found.join("; ")));
    assert_ne!(found, Vec::<String>::new(), "Argo CD alone keeps the order, so this test proves nothing");
}

/// Argo CD puts replicas back on a workload that is held, and the hold stays.
async fn self_heal_leaves_the_hold(argocd: &ArgoCd, upgrading: &Upgrading, stands_at: &str, tag: &str) {
    let sandbox = &upgrading.sandbox;
    stands(sandbox, stands_at, tag).await;
    argocd
        .says("that it applied the change", |status| {
            let operation = &status["operationState"];
            operation["phase"] == "Succeeded" && operation["syncResult"]["revision"] == "4.1.24"
        })
        .await;
    let name = "m-milvus-proxy";
    for replicas in ["3", "1"] {
        let before = argocd.writes_of(&sandbox.namespace, "deployments", name);
        sandbox.kubectl(["scale", "deployment", name, "--replicas", replicas]).ok().await;
        wait("that Argo CD puts the replicas back", async || {
            let is_back = object(sandbox, name).await["spec"]["replicas"] == 2;
            (is_back && argocd.writes_of(&sandbox.namespace, "deployments", name) > before).then_some(())
        })
        .await;
        let proxy = object(sandbox, name).await;
        assert_eq!(proxy["spec"]["paused"], true, "{proxy:#}");
        assert!(proxy["metadata"]["annotations"][ANNOTATIONS[0]].is_string(), "{proxy:#}");
    }
    assert!(!sandbox.images_of("proxy").iter().any(|image| image.ends_with(tag)));
}

/// What the chart no longer has is there until its turn comes; Argo CD, which would prune it, waits.
async fn what_goes_outlives_the_sync(argocd: &ArgoCd, upgrading: &Upgrading, stands_at: &str, tag: &str) {
    let sandbox = &upgrading.sandbox;
    stands(sandbox, stands_at, tag).await;
    argocd.says("that it waits with pruning", waits_with_pruning).await;
    let goes = if tag.starts_with("v2.6") { "m-milvus-indexnode" } else { "m-milvus-rootcoord" };
    let live = object(sandbox, goes).await;
    assert!(live["metadata"].get("deletionTimestamp").is_none(), "{live:#}");
    assert_eq!(live["metadata"]["annotations"][ANNOTATIONS[1]], "PruneLast=true", "{live:#}");
}

/// Whether an operation goes on until what is held is healthy.
fn waits_with_pruning(status: &Value) -> bool {
    let operation = &status["operationState"];
    operation["phase"] == "Running" && operation["message"].as_str().is_some_and(|message| message.starts_with("waiting for healthy state of"))
}

/// Waits until a component of the new version was started, which does not become ready.
async fn stands(sandbox: &Sandbox, component: &str, tag: &str) {
    wait(&format!("a {component} of {tag}"), async || sandbox.images_of(component).last().is_some_and(|image| image.ends_with(tag)).then_some(())).await;
}

#[tokio::test]
async fn argo_cd_that_applies_server_side_keeps_the_order_of_what_nobody_declared() {
    let Some(plane) = plane("Argo CD that applies server-side").await else { return };
    let charts = ["4.2.20", "4.2.58", "5.0.19"];
    let argocd = ArgoCd::start(plane, "server-side", &charts.map(packed)).await.server_side();
    let upgrading = Upgrading::on(plane, "server-side", &[&argocd.namespace]).await;
    let sandbox = &upgrading.sandbox;
    argocd.deploy(&sandbox.namespace, &packed("4.2.20"), &values("")).await;
    argocd.is_done_with(&packed("4.2.20")).await;
    sandbox.wait_until_rolled_out().await;
    for (chart, pair) in [("4.2.58", pair("2.4.16", "2.5.16", Topology::MixCoordinator, Topology::MixCoordinator)), ("5.0.19", into_2_6())] {
        let tag = format!("v{}", pair.to);
        sandbox.behave(|pods| pods.component("mixcoord").image(&tag), Behaviour::NeverReady);
        if chart == "5.0.19" {
            upgrading.declare(json!({"to": "2.6.15"})).await;
            upgrading.reaches("Prepared").await;
        }
        argocd.deploy(&sandbox.namespace, &packed(chart), &values("")).await;
        stands(sandbox, "mixcoord", &tag).await;
        // What waits is no difference to it; what is to be pruned is one.
        match chart {
            "5.0.19" => argocd.says("that it waits with pruning", waits_with_pruning).await,
            _ => argocd.says("that what is held is synced", |status| status["sync"]["status"] == "Synced" && status["sync"]["revision"] == chart).await,
        };
        let proxy = object(sandbox, "m-milvus-proxy").await;
        assert!(proxy["spec"]["paused"] == true && proxy["metadata"]["annotations"][ANNOTATIONS[0]].is_string(), "{proxy:#}");
        sandbox.behave(|pods| pods.component("mixcoord").image(&tag), Behaviour::ReadyAfter(Duration::from_millis(20)));
        upgrading.reaches("Completed").await;
        assert_eq!(violations(&sandbox.starts(), &pair), Vec::<String>::new(), "{chart}");
        upgrading.runs_only(&pair.to.to_string()).await;
        upgrading.nothing_is_left().await;
        argocd.is_done_with(&packed(chart)).await;
    }
}

#[tokio::test]
async fn a_commit_that_is_reverted_in_the_middle_is_taken_back() {
    let Some(plane) = plane("Argo CD and a commit that is reverted").await else { return };
    let argocd = ArgoCd::start(plane, "reverted", &["4.2.58", "5.0.19"].map(packed)).await;
    let upgrading = Upgrading::on(plane, "reverted", &[&argocd.namespace]).await;
    let sandbox = &upgrading.sandbox;
    let deploy = async |chart: &str, more: &str| argocd.deploy(&sandbox.namespace, &packed(chart), &values(more)).await;
    let is_back = async || {
        upgrading.runs_only("2.5.16").await;
        argocd.is_done_with(&packed("4.2.58")).await;
        sandbox.wait_until_rolled_out().await;
    };
    deploy("4.2.58", "").await;
    argocd.is_done_with(&packed("4.2.58")).await;
    sandbox.wait_until_rolled_out().await;

    sandbox.behave(|pods| pods.component("querynode").image("v2.5.22"), Behaviour::NeverReady);
    deploy("4.2.58", ",image.all.tag=v2.5.22").await;
    stands(sandbox, "querynode", "v2.5.22").await;
    assert!(!sandbox.images_of("proxy").iter().any(|image| image.ends_with("v2.5.22")));
    deploy("4.2.58", "").await;
    upgrading.reaches("Aborted").await;
    upgrading.nothing_is_left().await;
    is_back().await;

    // Where something goes, the operation waits for what is held, and Argo CD begins none for the next commit: a person ends it.
    upgrading.declare(json!({"to": "2.6.15", "approval": "Manual"})).await;
    upgrading.reaches("Prepared").await;
    deploy("5.0.19", "").await;
    wait("that a step waits for approval", async || upgrading.status().await["awaitsApproval"].is_string().then_some(())).await;
    argocd.says("that it waits with pruning", waits_with_pruning).await;
    // Nothing of what is taken back ran, so gate 2 takes it for no way down.
    deploy("4.2.58", "").await;
    argocd.says("that it saw the next commit", |status| status["sync"]["revision"] == "4.2.58" && waits_with_pruning(status)).await;
    argocd.terminate().await;
    // Nothing of it ran, and it stays declared.
    upgrading.reaches("Prepared").await;
    is_back().await;
    let left = upgrading.deployments().await;
    assert!(left.iter().any(|name| name.ends_with("indexnode")) && !left.iter().any(|name| name.ends_with("streamingnode")), "{left:?}");
    assert!(!sandbox.starts().iter().any(|start| start.image().ends_with("v2.6.15")));
}

/// A release of 2.1.4 with its metadata, installed by Argo CD.
async fn release_of_2_1(plane: &'static ControlPlane, argocd: &ArgoCd, name: &str) -> Release {
    class_for_backups(&plane.admin().await.client).await;
    let release = Release::with_metadata(plane, name).await;
    argocd.deploy(&release.sandbox.namespace, &packed(BEFORE), &values("")).await;
    argocd.is_done_with(&packed(BEFORE)).await;
    release.sandbox.wait_until_rolled_out().await;
    assert_eq!(release.runs().await, ["milvusdb/milvus:v2.1.4"]);
    release
}

/// Metadata is that of 2.2, everything runs 2.2 with as many pods as before, and no pod of 2.1 came after the first one of 2.2.
async fn is_migrated(release: &Release, replicas: &BTreeMap<String, i32>) {
    assert_eq!(release.all().await, release.after());
    assert_eq!((&release.replicas().await, release.fences().await), (replicas, String::new()));
    assert_eq!(release.runs().await, ["milvusdb/milvus:v2.2.16"]);
    let starts = release.sandbox.starts();
    let first = starts.iter().position(|start| start.image().ends_with("v2.2.16")).unwrap();
    assert!(starts[first..].iter().all(|start| !start.image().ends_with("v2.1.4")));
}

#[tokio::test]
async fn a_release_stays_stopped_for_its_migration_although_argo_cd_puts_its_replicas_back() {
    let Some(plane) = plane("Argo CD and a migration of metadata").await else { return };
    let argocd = ArgoCd::start(plane, "migrated", &[BEFORE, AFTER].map(packed)).await;
    let release = release_of_2_1(plane, &argocd, "migrated").await;
    let replicas = release.replicas().await;
    let mut guarded = Guarded::over(plane, "migrated", vec![release], &[&argocd.namespace]).await;
    let release = &guarded.releases[0];
    let namespace = &release.sandbox.namespace;
    release.declare(json!({})).await;
    release.reaches("Prepared", "", guarded.controller.process()).await;
    // As long as a session is left, it stays stopped.
    let session = release.keys.put_leased("by-dev/meta/session/querynode-9", br#"{"Address":"10.0.0.9:21123"}"#, 300).await;
    argocd.deploy(namespace, &packed(AFTER), &values(INTO_2_2)).await;
    wait("the wait for the session", async || release.status().await["waitingFor"].as_str().is_some_and(|words| words.contains("1 sessions")).then_some(()))
        .await;
    let (starts, writes) = (release.sandbox.starts().len(), argocd.writes_of(namespace, "deployments", "m-milvus-proxy"));
    wait("that Argo CD put the replicas back three times", async || (argocd.writes_of(namespace, "deployments", "m-milvus-proxy") >= writes + 3).then_some(()))
        .await;
    assert_eq!((release.runs().await, release.sandbox.starts().len()), (vec![], starts));
    release.keys.end_lease(&session).await;
    release.reaches("Completed", "", guarded.controller.process()).await;
    is_migrated(release, &replicas).await;
    argocd.is_done_with(&packed(AFTER)).await;
}

#[tokio::test]
async fn the_hook_migrates_before_argo_cd_writes_the_first_object_of_2_2() {
    // The guards of this control plane judge other namespaces.
    let Some(plane) = plane("Argo CD and the hook that migrates metadata").await else { return };
    let argocd = ArgoCd::start(plane, "hooked", &[packed(BEFORE)]).await;
    let release = release_of_2_1(plane, &argocd, "hooked").await;
    let replicas = release.replicas().await;
    let own = json!({"milvus": {}, "milvus-migration-hook": {
        "enabled": true, "target": "2.2.16", "migration": {"storageClass": "backups", "etcdEndpoints": [format!("127.0.0.1:{}", release.keys.port)]}}});
    let umbrella = umbrella_with_hook("search", AFTER, &own.to_string());
    argocd.add(&umbrella).await;
    let parameters: Vec<String> = values(INTO_2_2).split(',').map(|parameter| format!("milvus.{parameter}")).collect();
    argocd.deploy(&release.sandbox.namespace, &umbrella, &parameters.join(",")).await;
    let argocd = Arc::new(argocd);
    let done = tokio::spawn({
        let (argocd, umbrella) = (Arc::clone(&argocd), umbrella.clone());
        async move { argocd.is_done_with(&umbrella).await }
    });
    let printed = hook::run(plane, &release.sandbox.namespace, "milvus-migration-hook", &done).await;
    done.await.unwrap_or_else(|error| panic!("{error}; the hook said:\n{printed}"));
    assert!(!printed.is_empty(), "Argo CD ran no hook");
    is_migrated(&release, &replicas).await;
}
