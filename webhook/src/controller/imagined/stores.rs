//! A change of stores and queues alone, with the real controller in an imagined cluster.

use serde_json::{Value, json};

use super::super::fixture::MIX;
use super::super::status::{Phase, Status};
use super::World;
use super::points::Stage;
use super::server::Point;
use super::steered::{etcd, names, nothing_is_left, release, says};
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

fn waiting(world: &World) -> Vec<String> {
    world.all("statefulsets").filter(|set| is_held(set)).map(|set| text(set, "/metadata/name").unwrap().to_owned()).collect()
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
    let set = world.object("statefulsets", name).unwrap();
    set["status"]["observedGeneration"] == set["metadata"]["generation"]
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
    let opens = world.now + 500;
    let at = |seconds: u64| super::written(super::super::Moment(seconds));
    world.ask("windows", json!([{"from": at(opens), "until": at(opens + 1_000)}]));
    let (world, points) = stage.run(world).await;
    let gone = let_go(&points);
    assert!(names(&gone) == ["m-etcd", "m-pulsar-bookie"] && gone[0].1 >= opens, "{gone:?} {:#}", world.upgrade()["status"]);
    let status = Status::of(world.upgrade());
    assert!(status.phase == Some(Phase::Completed) && status.message.as_ref().is_some_and(|message| message.starts_with("2.5.16 serves")), "{status:?}");
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
