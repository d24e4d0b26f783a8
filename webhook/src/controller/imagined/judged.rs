//! What is blocked for want of a declaration, and goes on once that is there, without another write of whoever applied it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::fixture::{MIX, upgrade};
use super::super::status::{Phase, Status};
use super::super::{CREATED_ANNOTATION, LED_TO_ANNOTATION};
use super::World;
use super::points::Stage;
use super::server::Point;
use super::steered::{ORDER, bring, let_go, names, nothing_is_left, release, runs};
use crate::admission::hold::{BLOCKED_ANNOTATION, HELD_LABEL, HOLD_ANNOTATIONS, JUDGED_FOR_ANNOTATION, is_held};
use crate::admission::opening;
use crate::api;
use crate::cluster::annotation;

/// The part of gate 3 that is asked for by the controller: what is blocked is blocked until the upgrade is declared. Which rules block, its own tests tell.
pub(super) fn admit(world: &World, before: &Value, after: &mut Value) {
    let is_asked = annotation(before, JUDGED_FOR_ANNOTATION) != annotation(after, JUDGED_FOR_ANNOTATION);
    if !is_asked || !is_held(before) || !is_held(after) {
        return;
    }
    let annotations = after["metadata"]["annotations"].as_object_mut().unwrap();
    if annotations.get(JUDGED_FOR_ANNOTATION).and_then(Value::as_str).is_some_and(opening::is_beside) {
        // The kinds of coordinators exclude each other, and so it stays held beside them.
        let runs = |component: &str| world.all("pods").any(|pod| pod["metadata"]["labels"]["component"] == component);
        if before["metadata"]["name"] == "m-milvus-mixcoord" && runs("rootcoord") {
            return;
        }
        // Nothing is there any more that it must not run beside.
        HOLD_ANNOTATIONS.iter().for_each(|name| drop(annotations.remove(*name)));
        drop(after["metadata"]["labels"].as_object_mut().unwrap().remove(HELD_LABEL));
        drop(after["spec"].as_object_mut().unwrap().remove("paused"));
        return;
    }
    annotations.remove(JUDGED_FOR_ANNOTATION);
    if world.now < world.ills.gate_doubts_until {
        annotations.extend(annotation(before, JUDGED_FOR_ANNOTATION).map(|note| (JUDGED_FOR_ANNOTATION.to_owned(), json!(note))));
        return;
    }
    let is_behind = world.now < world.ills.gate_is_behind_until;
    let declared = if is_behind { world.behind.as_ref() } else { world.object("guardedupgrades", "m") };
    let opens = |upgrade: &Value| {
        ["2.5.22", "2.5.16"].contains(&upgrade["spec"]["to"].as_str().unwrap_or_default()) && (api::is_by_person(upgrade) || Status::of(upgrade).is_begun())
    };
    if world.waived.is_some() || declared.is_some_and(opens) {
        annotations.remove(BLOCKED_ANNOTATION);
    } else {
        annotations.insert(BLOCKED_ANNOTATION.into(), json!("MV210: declare it"));
    }
    let now = Timestamp::from_second(i64::try_from(world.now).unwrap()).unwrap();
    annotations.extend(opening::of_release(declared, world.waived.as_deref(), now).map(|note| (JUDGED_FOR_ANNOTATION.to_owned(), json!(note))));
}

/// A change that is held and blocked, and that nobody declared.
fn blocked() -> World {
    let mut world = release(&MIX);
    world.delete("guardedupgrades", "m");
    bring(&mut world, &MIX, "v2.5.22");
    for component in MIX {
        let mut object = world.object("deployments", &format!("m-milvus-{component}")).cloned().unwrap();
        object["metadata"]["annotations"][BLOCKED_ANNOTATION] = json!("MV210: declare it");
        world.put("deployments", object);
    }
    world
}

fn declare(world: &mut World, to: &str) {
    let mut declared = upgrade(to, json!({}));
    declared.as_object_mut().unwrap().remove("status");
    world.put("guardedupgrades", declared);
}

fn is_waiting(world: &World) -> bool {
    world.all("deployments").all(is_held)
}

/// Writes that asked for a verdict.
fn asked(points: &[Point]) -> usize {
    points.iter().filter(|point| point.what.contains("judged-for") || point.what.contains("blocked")).count()
}

#[tokio::test]
async fn what_lacked_its_declaration_goes_on_once_it_is_declared() {
    for seconds_behind in [0, 3] {
        let stage = Stage::new();
        let (mut world, points) = stage.run(blocked()).await;
        assert!(let_go(&points).is_empty() && runs(&world, "v2.5.16"));
        declare(&mut world, "2.5.22");
        world.ills.gate_is_behind_until = world.now + seconds_behind;
        let (world, points) = stage.run(world).await;
        assert_eq!(names(&let_go(&points)), ORDER, "{:#}", world.upgrade()["status"]);
        assert!(Status::of(world.upgrade()).phase == Some(Phase::Completed) && runs(&world, "v2.5.22"));
        nothing_is_left(&world);
    }
}

#[tokio::test]
async fn what_could_not_be_judged_in_time_waits_until_it_was() {
    for is_declared in [false, true] {
        let stage = Stage::new();
        let mut world = blocked();
        for component in MIX {
            let mut object = world.object("deployments", &format!("m-milvus-{component}")).cloned().unwrap();
            object["metadata"]["annotations"][JUDGED_FOR_ANNOTATION] = json!(opening::NOT_JUDGED);
            world.put("deployments", object);
        }
        if is_declared {
            declare(&mut world, "2.5.22");
        }
        world.ills.gate_doubts_until = world.now + 100;
        let until = world.ills.gate_doubts_until;
        let (mut world, points) = stage.run(world).await;
        // What is blocked is told, and asked again for as long as it takes.
        world.now = world.now.max(until);
        let (world, later) = stage.run(world).await;
        let points = [points, later].concat();
        let let_go = let_go(&points);
        assert!(let_go.iter().all(|(_, time)| *time >= until), "{let_go:?}");
        if is_declared {
            assert_eq!(names(&let_go), ORDER, "{:#}", world.upgrade()["status"]);
        } else {
            assert!(let_go.is_empty() && world.upgrade().is_null() && runs(&world, "v2.5.16"));
            assert!(world.all("deployments").all(|object| annotation(object, JUDGED_FOR_ANNOTATION).is_none()), "asked until it was judged");
        }
    }
}

#[tokio::test]
async fn what_was_held_beside_pods_of_an_earlier_release_runs_once_those_are_gone() {
    for serves in [true, false] {
        let stage = Stage::new();
        let mut world = release(&MIX);
        world.delete("guardedupgrades", "m");
        let stays = |name: &str| serves && name.contains("mixcoord");
        world.objects.retain(|(plural, name), _| plural == "deployments" || !name.starts_with("m-milvus-") || stays(name));
        let stranded: Vec<&str> = MIX.into_iter().filter(|component| !stays(component)).collect();
        bring(&mut world, &stranded, "v2.5.16");
        let (world, _) = stage.run(world).await;
        assert!(runs(&world, "v2.5.16"), "{serves}");
        nothing_is_left(&world);
    }
}

#[tokio::test]
async fn what_is_declared_and_opens_nothing_is_judged_once_for_each_change() {
    let stage = Stage::new();
    let mut world = blocked();
    declare(&mut world, "2.5.21");
    let (mut world, points) = stage.run(world).await;
    assert!(let_go(&points).is_empty() && asked(&points) == MIX.len(), "{:?}", points.iter().map(|point| &point.what).collect::<Vec<_>>());
    assert_eq!(Status::of(world.upgrade()).condition("Stalled").unwrap().reason, "Blocked");
    let (again, points) = stage.run(world.clone()).await;
    assert_eq!(asked(&points), 0);
    world = again;
    world.ask("to", json!("2.5.22"));
    let (world, points) = stage.run(world).await;
    assert_eq!(names(&let_go(&points)), ORDER, "{:#}", world.upgrade()["status"]);
}

#[tokio::test]
async fn what_let_a_change_through_and_is_withdrawn_before_anything_began_lets_nothing_through() {
    for (seconds_behind, is_deleted) in [(0, false), (0, true), (3, false), (3, true)] {
        let stage = Stage::new();
        let mut world = blocked();
        declare(&mut world, "2.5.22");
        world.ask("windows", json!([{"from": "2030-01-01T00:00:00Z", "until": "2030-01-01T01:00:00Z"}]));
        // Declared and let through, and its window is far away: the run ends there.
        world.ask("paused", json!(true));
        let (mut world, points) = stage.run(world).await;
        assert!(let_go(&points).is_empty() && world.all("deployments").all(|object| annotation(object, BLOCKED_ANNOTATION).is_none()));
        let noted = |world: &World| world.all("deployments").filter(|object| annotation(object, JUDGED_FOR_ANNOTATION).is_some()).count();
        assert_eq!(noted(&world), MIX.len());
        world.behind = world.object("guardedupgrades", "m").cloned();
        world.ills.gate_is_behind_until = world.now + seconds_behind;
        if is_deleted {
            world.undeclare();
        } else {
            world.undeclare();
            declare(&mut world, "2.5.21");
        }
        let (world, points) = stage.run(world).await;
        assert!(let_go(&points).is_empty() && runs(&world, "v2.5.16"), "{:#}", world.upgrade()["status"]);
        assert!(world.all("deployments").all(|object| annotation(object, BLOCKED_ANNOTATION).is_some()), "{seconds_behind} {is_deleted}");
        let asked = asked(&points);
        assert!(asked <= MIX.len() * 2, "{asked}");
    }
}

#[tokio::test]
async fn what_is_waived_goes_on_by_itself_and_what_is_waived_no_more_does_not() {
    let waived = || Some(json!(["MV210 reason=known", null, null]).to_string());
    let stage = Stage::new();
    let mut world = blocked();
    world.waived = waived();
    let (world, points) = stage.run(world).await;
    assert_eq!(names(&let_go(&points)), ORDER, "{:#}", world.upgrade()["status"]);
    assert!(asked(&points) <= 2 * MIX.len(), "once for the waiver, and once for what the controller declared: {}", asked(&points));
    nothing_is_left(&world);

    let mut world = blocked();
    declare(&mut world, "2.5.21");
    world.waived = waived();
    let (mut world, points) = stage.run(world).await;
    assert!(let_go(&points).is_empty() && world.all("deployments").all(|object| annotation(object, BLOCKED_ANNOTATION).is_none()));
    world.waived = None;
    world.undeclare();
    let (world, points) = stage.run(world).await;
    assert!(let_go(&points).is_empty() && world.upgrade().is_null() && runs(&world, "v2.5.16"), "{:#}", world.upgrade());
}

/// What `api::taking_over` says.
fn take_over(world: &mut World) {
    let mut declared = world.upgrade().clone();
    declared["metadata"]["annotations"][LED_TO_ANNOTATION] = json!("");
    world.put("guardedupgrades", declared);
}

#[tokio::test]
async fn where_the_controller_led_an_upgrade_for_a_waiver_that_is_withdrawn_nobody_declared_whatever_else_people_said_on_it() {
    let stage = Stage::new();
    let mut world = blocked();
    declare(&mut world, "2.5.21");
    let mut forged = world.upgrade().clone();
    forged["metadata"]["annotations"] = json!({CREATED_ANNOTATION: "milvus-guard controller, for a held change that only needs an order"});
    forged["spec"]["approval"] = json!("Manual");
    world.put("guardedupgrades", forged);
    world.waived = Some(json!(["MV210 reason=known", null, null]).to_string());
    let (mut world, points) = stage.run(world).await;
    assert!(let_go(&points).is_empty() && world.upgrade()["spec"]["to"] == "2.5.22", "{:#}", world.upgrade());
    world.waived = None;
    let (mut world, _) = stage.run(world).await;
    world.ask("approval", json!(null));
    let (mut world, points) = stage.run(world).await;
    assert!(let_go(&points).is_empty() && runs(&world, "v2.5.16"), "{:#}", world.upgrade()["status"]);
    assert_eq!(Status::of(world.upgrade()).condition("Stalled").unwrap().reason, "Blocked");
    take_over(&mut world);
    let (world, points) = stage.run(world).await;
    assert_eq!(names(&let_go(&points)), ORDER, "{:#}", world.upgrade()["status"]);
}

#[tokio::test]
async fn what_is_waived_no_more_once_the_controller_took_it_up_waits_until_a_person_declares_it() {
    let stage = Stage::new();
    let mut world = blocked();
    world.waived = Some(json!(["MV210 reason=known", null, null]).to_string());
    let (_, points) = stage.run(world).await;
    let is_before_any = |point: &&Point| !point.after.upgrade().is_null() && !Status::of(point.after.upgrade()).is_begun() && is_waiting(&point.after);
    let taken_up: Vec<&Point> = points.iter().filter(is_before_any).collect();
    assert!(taken_up.len() > MIX.len(), "it is judged again once it was taken up");
    for point in taken_up {
        let mut world = point.after.clone();
        world.waived = None;
        let (mut world, points) = stage.run(world).await;
        assert!(let_go(&points).is_empty() && runs(&world, "v2.5.16"), "{}: {:#}", point.what, world.upgrade()["status"]);
        assert_eq!(Status::of(world.upgrade()).condition("Stalled").unwrap().reason, "Blocked", "{}", point.what);
        take_over(&mut world);
        let (world, points) = stage.run(world).await;
        assert_eq!(names(&let_go(&points)), ORDER, "{}: {:#}", point.what, world.upgrade()["status"]);
    }
}
