//! A change of stores and queues alone, with the real controller in an imagined cluster.

use serde_json::{Value, json};

use super::super::fixture::MIX;
use super::super::status::{Phase, Status};
use super::World;
use super::points::Stage;
use super::server::Point;
use super::steered::{bring, etcd, names, nothing_is_left, release, runs, says};
use crate::admission::hold::is_held;
use crate::cluster::text;

/// A release whose etcd and queue are held with another image, and nothing of its Milvus.
fn held() -> World {
    let mut world = release(&MIX);
    for (name, image) in [("m-etcd", "etcd:new"), ("m-pulsar-bookie", "pulsar:new")] {
        let mut set = etcd(image, true);
        set["metadata"]["name"] = json!(name);
        if name != "m-etcd" {
            ["/metadata/labels", "/spec/selector/matchLabels"].iter().for_each(|at| *set.pointer_mut(at).unwrap() = json!({"app": "pulsar", "release": "m"}));
        }
        world.put("statefulsets", set);
    }
    world
}

fn is_store(object: &Value) -> bool {
    object["metadata"]["labels"].get("component").is_none()
}

/// The release's MinIO, held with another image.
fn minio(image: &str) -> Value {
    let labels = json!({"app": "minio", "release": "m"});
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "m-minio", "namespace": "db", "labels": labels, "annotations": {"guard.milvus-guard.dev/hold": "why", "meta.helm.sh/release-name": "m"}},
        "spec": {"replicas": 1, "paused": true, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "minio", "image": image}]}}}})
}

fn waiting(world: &World) -> Vec<String> {
    world
        .all("statefulsets")
        .chain(world.all("deployments"))
        .filter(|store| is_store(store) && is_held(store))
        .map(|set| text(set, "/metadata/name").unwrap().to_owned())
        .collect()
}

/// Stores in the sequence in which they were let go, and when.
fn let_go(points: &[Point]) -> Vec<(String, u64)> {
    let of = |point: &Point| {
        let after = waiting(&point.after);
        waiting(&point.before).into_iter().find(|name| !after.contains(name)).map(|name| (name, point.after.now))
    };
    points.iter().filter_map(of).collect()
}

fn is_complete(world: &World, name: &str) -> bool {
    let store = world.object("statefulsets", name).or_else(|| world.object("deployments", name)).unwrap();
    store["status"]["observedGeneration"] == store["metadata"]["generation"] && store["status"]["updatedReplicas"] == 1
}

#[tokio::test]
async fn stores_that_alone_are_held_are_let_go_one_after_the_other_once_nothing_more_comes() {
    let stage = Stage::new();
    let mut world = held();
    world.delete("guardedupgrades", "m");
    let written = world.now;
    let (world, points) = stage.run(world).await;
    let gone = let_go(&points);
    assert_eq!(names(&gone), ["m-etcd", "m-pulsar-bookie"], "{:?}", points.iter().map(|point| &point.what).collect::<Vec<_>>());
    assert!(gone[0].1 >= written + 15, "what is written beside them would be held, and come into the change: {gone:?}");
    let is_last = |point: &&Point| !waiting(&point.before).is_empty() && waiting(&point.after).is_empty();
    assert!(points.iter().filter(is_last).all(|point| is_complete(&point.before, "m-etcd")));
    assert!(world.upgrade().is_null(), "nobody declared anything");
    nothing_is_left(&world);
}

#[tokio::test]
async fn stores_are_let_go_beside_an_upgrade_that_is_complete_as_it_asks_for() {
    let stage = Stage::new();
    let mut world = held();
    world.ask("to", json!("2.5.16"));
    world.ask("paused", json!(true));
    let (mut world, points) = stage.run(world).await;
    assert!(let_go(&points).is_empty() && says(&world, "Paused"), "{:#}", world.upgrade()["status"]);
    world.ask("paused", json!(false));
    world.ask("windows", json!([{"from": "2020-01-01T00:00:00Z", "until": "2020-01-01T01:00:00Z"}]));
    let (mut world, points) = stage.run(world).await;
    assert!(let_go(&points).is_empty() && says(&world, "NoWindow"), "{:#}", world.upgrade()["status"]);
    let opens = world.now + 500;
    let at = |seconds: u64| super::written(super::super::Moment(seconds));
    world.ask("windows", json!([{"from": at(opens), "until": at(opens + 1_000)}]));
    let (world, points) = stage.run(world).await;
    let gone = let_go(&points);
    assert!(names(&gone) == ["m-etcd", "m-pulsar-bookie"] && gone[0].1 >= opens, "{gone:?} {:#}", world.upgrade()["status"]);
    let status = Status::of(world.upgrade());
    assert!(status.phase == Some(Phase::Completed) && status.message.as_ref().is_some_and(|message| message.starts_with("2.5.16 serves")), "{status:?}");
}

/// That etcd and MinIO followed one after the other, and that nobody was told meanwhile that all is done.
fn followed(world: &World, points: &[Point]) {
    assert_eq!(names(&let_go(points)), ["m-etcd", "m-minio"], "{:#}", world.upgrade()["status"]);
    let is_ready = |world: &World| Status::of(world.upgrade()).condition("Ready").is_some_and(|ready| ready.status == "True");
    for point in points {
        let follows = !waiting(&point.after).is_empty() || ["m-etcd", "m-minio"].iter().any(|name| !is_complete(&point.after, name));
        assert!(!follows || !is_ready(&point.after), "{}: {:#}", point.what, point.after.upgrade()["status"]);
        let is_last = !waiting(&point.before).is_empty() && waiting(&point.after).is_empty();
        assert!(!is_last || is_complete(&point.before, "m-etcd"), "{}", point.what);
    }
    nothing_is_left(world);
}

#[tokio::test]
async fn stores_that_change_by_themselves_after_a_complete_upgrade_follow_in_turn_and_it_is_ready_only_then() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    bring(&mut world, &MIX, "v2.5.22");
    let (mut world, _) = stage.run(world).await;
    assert!(says(&world, "Completed") && runs(&world, "v2.5.22"));
    world.put("statefulsets", etcd("etcd:new", true));
    world.put("deployments", minio("minio:new"));
    world.step(None);
    let (world, points) = stage.run(world).await;
    followed(&world, &points);
    let status = Status::of(world.upgrade());
    assert_eq!((status.phase, status.message.as_deref()), (Some(Phase::Completed), Some("2.5.22 serves.")));
}

#[tokio::test]
async fn stores_that_change_by_themselves_after_an_upgrade_went_back_follow_in_turn() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    bring(&mut world, &MIX, "v2.5.22");
    let (mut world, _) = stage.run(world).await;
    bring(&mut world, &MIX, "v2.5.16");
    let (mut world, _) = stage.run(world).await;
    assert!(says(&world, "WentBack") && runs(&world, "v2.5.16"), "{:#}", world.upgrade()["status"]);
    world.put("statefulsets", etcd("etcd:new", true));
    world.put("deployments", minio("minio:new"));
    world.step(None);
    let (world, points) = stage.run(world).await;
    followed(&world, &points);
    let status = Status::of(world.upgrade());
    assert!(status.phase == Some(Phase::Aborted) && status.message.unwrap().starts_with("2.5.16 serves again. To go forwards"));
}

#[tokio::test]
async fn a_store_that_does_not_become_complete_is_told_as_what_keeps_the_next_one() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    world.ask("to", json!("2.5.16"));
    let mut broken = etcd("etcd:new", true);
    broken["spec"]["replicas"] = json!(3);
    world.put("statefulsets", broken);
    let (alone, _) = stage.run(world.clone()).await;
    let told = Status::of(alone.upgrade());
    assert!(
        waiting(&alone).is_empty() && told.phase == Some(Phase::Held) && told.condition("Ready").unwrap().status == "False",
        "the last one is let go: {told:?}"
    );
    world.put("deployments", minio("minio:new"));
    let (mut world, points) = stage.run(world).await;
    let told = Status::of(world.upgrade());
    let stalled = told.condition("Stalled").unwrap();
    assert_eq!((names(&let_go(&points)), stalled.reason.as_str()), (vec!["m-etcd"], "ProgressDeadlineExceeded"), "{told:?}");
    assert!(stalled.message.contains("m-minio held") && stalled.message.contains("m-etcd does not become complete: kubectl -n db get pods"), "{told:?}");
    // It is, at last.
    let mut mended = world.object("statefulsets", "m-etcd").cloned().unwrap();
    mended["spec"]["replicas"] = json!(1);
    world.put("statefulsets", mended);
    let (world, points) = stage.run(world).await;
    assert!(names(&let_go(&points)) == ["m-minio"] && says(&world, "Completed"), "{:#}", world.upgrade()["status"]);
}

#[tokio::test]
async fn stores_wait_for_the_change_that_is_declared_and_it_is_told_how_they_go_without_it() {
    let stage = Stage::new();
    let (mut world, points) = stage.run(held()).await;
    let message = |world: &World| Status::of(world.upgrade()).message.unwrap_or_default();
    assert!(let_go(&points).is_empty() && message(&world).contains("m-etcd, m-pulsar-bookie held until then"), "{}", message(&world));
    assert!(message(&world).contains("kubectl delete guardedupgrade m -n db"), "{}", message(&world));
    world.undeclare();
    let (world, points) = stage.run(world).await;
    assert_eq!((names(&let_go(&points)).len(), world.upgrade()), (2, &Value::Null));
}

#[tokio::test]
async fn stores_of_a_release_that_is_gone_stay_as_they_are() {
    let stage = Stage::new();
    let mut world = held();
    world.delete("guardedupgrades", "m");
    world.objects.retain(|(plural, _), _| !matches!(plural.as_str(), "deployments" | "replicasets" | "pods"));
    world.components.clear();
    let (world, points) = stage.run(world).await;
    assert!(points.is_empty() && waiting(&world).len() == 2);
}
