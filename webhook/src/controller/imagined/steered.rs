//! What people steer, with the real controller in an imagined cluster: windows, a part of a change, and the way back once the receipt is written.

use serde_json::{Value, json};

use super::super::fixture::{MIX, deployment, held, upgrade};
use super::super::kept::packed;
use super::super::status::{Phase, Status};
use super::super::{ReleaseKey, read_moment, written};
use super::points::Stage;
use super::server::Point;
use super::{Ills, Keys, World, of_2_2, of_kubectl};
use crate::cluster::{annotation, text};

/// The components of a second Milvus of the release, by which its workloads are named.
const SECOND: [&str; 5] = ["b-datanode", "b-indexnode", "b-mixcoord", "b-proxy", "b-querynode"];

/// A workload as the charts make it: of the second Milvus where it is named so.
fn of(component: &str, make: fn(&str, &str) -> Value, tag: &str) -> Value {
    let Some(of_second) = component.strip_prefix("b-") else { return of_kubectl(make(component, tag)) };
    let text = of_kubectl(make(of_second, tag)).to_string();
    let mut object: Value = serde_json::from_str(&text.replace("\"app.kubernetes.io/name\":\"milvus\"", "\"app.kubernetes.io/name\":\"b\"")).unwrap();
    object["metadata"]["name"] = json!(format!("m-milvus-{component}"));
    object["metadata"]["uid"] = json!(component);
    object
}

/// A release of 2.5.16 that runs, and a declared upgrade to 2.5.22.
pub(super) fn release(components: &[&'static str]) -> World {
    let now = read_moment("2026-11-21T20:00:00Z").unwrap().0;
    let (metadata, sessions, backups) = (of_2_2(), Keys::new(), std::collections::BTreeMap::new());
    let components = components.to_vec();
    let mut world = World {
        objects: std::collections::BTreeMap::new(),
        version: 0,
        now,
        metadata,
        sessions,
        backups,
        components,
        has_arrived: true,
        rounds: 0,
        ills: Ills::default(),
        behind: None,
        waived: None,
        violations: Vec::new(),
    };
    for component in world.components.clone() {
        world.put("deployments", of(component, deployment, "v2.5.16"));
    }
    let mut declared = upgrade("2.5.22", json!({}));
    declared.as_object_mut().unwrap().remove("status");
    world.put("guardedupgrades", declared);
    for _ in 0..3 {
        world.step(None);
    }
    world
}

/// A change of these components arrives, and the webhook holds it.
pub(super) fn bring(world: &mut World, components: &[&str], tag: &str) {
    for component in components {
        let mut object = world.object("deployments", &format!("m-milvus-{component}")).cloned().unwrap();
        let wanted = of(component, held, tag);
        object["spec"] = wanted["spec"].clone();
        object["metadata"]["labels"] = wanted["metadata"]["labels"].clone();
        object["metadata"]["annotations"].as_object_mut().unwrap().extend(wanted["metadata"]["annotations"].as_object().unwrap().clone());
        world.put("deployments", object);
    }
}

/// Components in the sequence in which they were let go, and when.
pub(super) fn let_go(points: &[Point]) -> Vec<(String, u64)> {
    let paused = |world: &World, name: &str| world.object("deployments", name).is_some_and(|object| object.pointer("/spec/paused") == Some(&json!(true)));
    let of = |point: &Point| {
        let one = point.after.components.iter().find(|component| {
            let name = format!("m-milvus-{component}");
            paused(&point.before, &name) && !paused(&point.after, &name)
        });
        one.map(|component| ((*component).to_owned(), point.after.now))
    };
    points.iter().filter_map(of).collect()
}

pub(super) fn names(let_go: &[(String, u64)]) -> Vec<&str> {
    let_go.iter().map(|(component, _)| component.as_str()).collect()
}

/// The image tags that the pods of a component run.
fn tags(world: &World, component: &str) -> Vec<String> {
    let of = |pod: &&Value| pod["metadata"]["labels"]["component"] == component;
    world.all("pods").filter(of).map(|pod| text(pod, "/spec/containers/0/image").unwrap().rsplit(':').next().unwrap().to_owned()).collect()
}

pub(super) fn runs(world: &World, tag: &str) -> bool {
    MIX.iter().all(|component| tags(world, component) == [tag])
}

pub(super) fn nothing_is_left(world: &World) {
    for object in world.all("deployments") {
        let ours = object["metadata"]["annotations"].as_object().unwrap().keys().any(|key| key.contains("milvus-guard"));
        let owned = object.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(|entries| !entries.is_empty());
        assert!(!ours && !owned && object.pointer("/spec/paused").is_none(), "{object:#}");
    }
}

pub(super) fn says(world: &World, reason: &str) -> bool {
    Status::of(world.upgrade()).conditions.iter().any(|condition| condition.reason == reason)
}

pub(super) const ORDER: [&str; 5] = ["indexnode", "mixcoord", "querynode", "datanode", "proxy"];

#[tokio::test]
async fn steps_begin_within_windows_and_wait_for_the_next_one() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    let at = |seconds: u64| world.now + seconds;
    // The first one is over before the second component is complete.
    let windows = [(at(1_000), at(1_003)), (at(9_000), at(12_000))];
    let told: Vec<Value> =
        windows.iter().map(|(from, until)| json!({"from": written(super::super::Moment(*from)), "until": written(super::super::Moment(*until))})).collect();
    world.ask("windows", json!(told));
    bring(&mut world, &MIX, "v2.5.22");
    let (world, points) = stage.run(world).await;
    let let_go = let_go(&points);
    assert_eq!(names(&let_go), ORDER);
    for (component, time) in &let_go {
        assert!(windows.iter().any(|(from, until)| (from..until).contains(&time)), "{component} at {time}, windows {windows:?}");
    }
    assert!(let_go[0].1 < windows[0].1 && let_go[4].1 >= windows[1].0, "{let_go:?}");
    assert!(points.iter().any(|point| says(&point.after, "AwaitingWindow")));
    assert!(Status::of(world.upgrade()).phase == Some(Phase::Completed) && runs(&world, "v2.5.22"));
}

#[tokio::test]
async fn windows_that_are_all_over_are_told_with_what_to_do_and_another_one_goes_on() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    world.ask("windows", json!([{"from": "2020-01-01T00:00:00Z", "until": "2020-01-01T01:00:00Z"}]));
    bring(&mut world, &MIX, "v2.5.22");
    let (mut world, points) = stage.run(world).await;
    let stalled = Status::of(world.upgrade()).condition("Stalled").cloned().unwrap();
    assert_eq!(
        (let_go(&points).len(), &*stalled.reason, &*stalled.message),
        (
            0,
            "NoWindow",
            "all of spec.windows are over, and none is to come: write one that is, or take them away (kubectl -n db edit guardedupgrade m). The rest stays held."
        )
    );
    world.ask("windows", json!([{"from": "2020-01-01T00:00:00Z", "until": "2040-01-01T01:00:00Z"}]));
    let (world, _) = stage.run(world).await;
    assert!(says(&world, "Completed") && runs(&world, "v2.5.22"), "{:#}", world.upgrade()["status"]);
}

#[tokio::test]
async fn a_part_of_a_change_goes_on_only_once_a_person_accepts_that_very_part() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    bring(&mut world, &["querynode", "proxy"], "v2.5.22");
    let (mut world, points) = stage.run(world).await;
    assert!(says(&world, "ChangeIncomplete") && let_go(&points).is_empty(), "{:#}", world.upgrade()["status"]);
    // Another change's id accepts nothing.
    world.ask("acceptPartial", json!("another"));
    let (mut world, points) = stage.run(world).await;
    assert!(let_go(&points).is_empty());
    let change = Status::of(world.upgrade()).change.unwrap();
    world.ask("acceptPartial", json!(change));
    let (world, points) = stage.run(world).await;
    assert_eq!(names(&let_go(&points)), ["querynode", "proxy"], "{:#}", world.upgrade()["status"]);
    for (component, tag) in [("querynode", "v2.5.22"), ("proxy", "v2.5.22"), ("mixcoord", "v2.5.16"), ("datanode", "v2.5.16")] {
        assert_eq!(tags(&world, component), [tag], "{component}");
    }
    // A part is not the whole: no receipt, and it is told what lacks until that comes.
    let status = Status::of(world.upgrade());
    assert!(says(&world, "ChangeIncomplete") && status.finished_at.is_none() && world.receipts() == 0, "{status:?}");
    let message = status.message.unwrap();
    assert!(message.contains("missing: indexnode, mixcoord, datanode.") && !message.contains("acceptPartial"), "{message}");
    let mut world = world;
    bring(&mut world, &["indexnode", "mixcoord", "datanode"], "v2.5.22");
    let (world, points) = stage.run(world).await;
    assert_eq!(names(&let_go(&points)), ["indexnode", "mixcoord", "datanode"], "{:#}", world.upgrade()["status"]);
    assert!(Status::of(world.upgrade()).phase == Some(Phase::Completed) && runs(&world, "v2.5.22") && world.receipts() == 1);
    nothing_is_left(&world);
}

#[tokio::test]
async fn a_release_without_a_component_is_complete_once_a_person_says_that_it_has_none() {
    let stage = Stage::new();
    let components = ["indexnode", "mixcoord", "proxy", "querynode"];
    let mut world = release(&components);
    bring(&mut world, &components, "v2.5.22");
    let (mut world, points) = stage.run(world).await;
    let status = Status::of(world.upgrade());
    assert!(let_go(&points).is_empty() && says(&world, "ChangeIncomplete"));
    assert!(status.message.unwrap().contains("The release has no datanode: where that is on purpose, accept it, and the upgrade completes without."));
    world.ask("acceptPartial", json!(status.change.unwrap()));
    let (world, points) = stage.run(world).await;
    assert_eq!(names(&let_go(&points)), ["indexnode", "mixcoord", "querynode", "proxy"]);
    let status = Status::of(world.upgrade());
    assert!(status.phase == Some(Phase::Completed) && world.receipts() == 1, "{status:?}");
    nothing_is_left(&world);
}

#[tokio::test]
async fn what_is_kept_of_a_change_that_was_taken_back_before_it_began_goes_and_the_upgrade_stays_declared() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    world.ask("to", json!("2.6.15"));
    world.ask("approval", json!("Manual"));
    bring(&mut world, &["datanode", "mixcoord", "proxy", "querynode"], "v2.6.15");
    world.put("deployments", of("streamingnode", held, "v2.6.15"));
    world.components.push("streamingnode");
    let (mut world, points) = stage.run(world).await;
    assert!(says(&world, "AwaitingApproval") && let_go(&points).is_empty(), "{:#}", world.upgrade()["status"]);
    // The applier rolls back; what was marked stays.
    for component in ["datanode", "mixcoord", "proxy", "querynode"] {
        world.put("deployments", of(component, deployment, "v2.5.16"));
    }
    world.components.retain(|component| *component != "streamingnode");
    let (world, points) = stage.run(world).await;
    assert!(world.object("deployments", "m-milvus-streamingnode").is_none(), "{:#}", world.upgrade()["status"]);
    let status = Status::of(world.upgrade());
    assert_eq!((status.phase, status.started_at, status.to), (Some(Phase::Prepared), None, None));
    assert!(let_go(&points).is_empty() && world.receipts() == 0);
    let kept = world.object("deployments", "m-milvus-indexnode").unwrap();
    assert_eq!(annotation(kept, "helm.sh/resource-policy"), Some("keep"));
}

#[tokio::test]
async fn what_is_complete_with_a_receipt_goes_back_in_reverse_and_forwards_again() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    bring(&mut world, &MIX, "v2.5.22");
    let (mut world, points) = stage.run(world).await;
    assert_eq!(names(&let_go(&points)), ORDER);
    assert!(Status::of(world.upgrade()).receipt.is_some() && runs(&world, "v2.5.22"));
    // From when on it ran, too: had it been uninstalled in the middle, nothing else would tell that.
    let upgraded = ["Observed 2.5.16", "Observed 2.5.22", "Upgrade 2.5.22"];
    assert_eq!(world.witnessed(), upgraded);
    nothing_is_left(&world);
    // The applier rolls back.
    bring(&mut world, &MIX, "v2.5.16");
    let (mut world, points) = stage.run(world).await;
    let reverse: Vec<&str> = ORDER.into_iter().rev().collect();
    assert_eq!(names(&let_go(&points)), reverse);
    assert!(runs(&world, "v2.5.16") && Status::of(world.upgrade()).phase == Some(Phase::Aborted), "{:#}", world.upgrade()["status"]);
    nothing_is_left(&world);
    assert_eq!(world.receipts(), 1, "going back is no upgrade");
    assert_eq!(world.witnessed(), [&upgraded[..], &upgraded[..1]].concat());
    // And brings the change once more.
    bring(&mut world, &MIX, "v2.5.22");
    let (world, points) = stage.run(world).await;
    assert_eq!(names(&let_go(&points)), ORDER);
    assert!(Status::of(world.upgrade()).phase == Some(Phase::Completed) && runs(&world, "v2.5.22"));
    assert_eq!(world.receipts(), 2);
    assert_eq!(world.witnessed(), [upgraded, upgraded].concat());
    assert!(world.all("deployments").all(|object| annotation(object, "guard.milvus-guard.dev/hold").is_none()));
}

/// The release's etcd with a template of the chart, held or not.
pub(super) fn etcd(image: &str, is_held: bool) -> Value {
    let labels = json!({"app.kubernetes.io/name": "etcd", "app.kubernetes.io/instance": "m"});
    let (hold, partition) =
        if is_held { (json!({"guard.milvus-guard.dev/hold": "why", "guard.milvus-guard.dev/partition": "0"}), 1_000_000) } else { (json!({}), 0) };
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "m-etcd", "namespace": "db", "labels": labels, "annotations": hold},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "serviceName": "m-etcd", "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "etcd", "image": image}]}}}})
}

fn is_etcd_held(world: &World) -> bool {
    annotation(world.object("statefulsets", "m-etcd").unwrap(), "guard.milvus-guard.dev/hold").is_some()
}

#[tokio::test]
async fn a_store_that_was_let_go_follows_when_the_change_is_taken_back() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    world.ills.evicts_until = world.now + 2_000;
    bring(&mut world, &MIX, "v2.5.22");
    world.put("statefulsets", etcd("etcd:new", true));
    let (mut world, points) = stage.run(world).await;
    assert_eq!((names(&let_go(&points)), is_etcd_held(&world)), (vec!["indexnode"], false), "{:#}", world.upgrade()["status"]);
    world.ask("abort", json!(true));
    let (mut world, _) = stage.run(world).await;
    let status = Status::of(world.upgrade());
    assert!(status.phase == Some(Phase::Aborted) && status.finished_at.is_none(), "the change is still stored: {status:?}");
    // The applier rolls back; the gate holds what differs from what serves.
    for component in MIX {
        world.put("deployments", of(component, deployment, "v2.5.16"));
    }
    world.put("statefulsets", etcd("etcd:old", true));
    let (mut world, points) = stage.run(world).await;
    let told = |points: &[Point], what: &str| {
        points.iter().any(|point| {
            let status = Status::of(point.after.upgrade());
            status.phase == Some(Phase::RollingBack) && status.message.is_some_and(|message| message.contains(what))
        })
    };
    assert!(told(&points, "back to 2.5.16: release m-etcd"), "{:#}", world.upgrade()["status"]);
    assert!(!is_etcd_held(&world) && points.iter().all(|point| !is_etcd_held(&point.after) || Status::of(point.after.upgrade()).finished_at.is_none()));
    let status = Status::of(world.upgrade());
    assert!(status.phase == Some(Phase::Aborted) && status.finished_at.is_some() && status.message.unwrap().starts_with("2.5.16 serves again."));
    // What all of it had gone back of already, before the applier took it back.
    world.put("statefulsets", etcd("etcd:older", true));
    let (world, points) = stage.run(world).await;
    assert!(told(&points, "m-etcd is still held with the earlier template") && !is_etcd_held(&world), "{:#}", world.upgrade()["status"]);
    assert_eq!(Status::of(world.upgrade()).phase, Some(Phase::Aborted));
    nothing_is_left(&world);
}

#[tokio::test]
async fn pods_that_are_evicted_again_and_again_put_no_deadline_off() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    world.ills.evicts_until = world.now + 1_200;
    let deadline = world.now + 1_000;
    bring(&mut world, &MIX, "v2.5.22");
    let (world, points) = stage.run(world).await;
    assert_eq!(names(&let_go(&points)), ["indexnode"]);
    let stalled = Status::of(world.upgrade()).condition("Stalled").cloned().unwrap();
    assert_eq!(stalled.reason, "ProgressDeadlineExceeded");
    assert!(read_moment(&stalled.last_transition_time).unwrap().0 < deadline, "{stalled:?}");
}

#[tokio::test]
async fn a_pause_counts_towards_no_deadline_and_what_turned_back_says_why() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    world.ask("onFailure", json!("Rollback"));
    world.ills.evicts_until = world.now + 50_000;
    bring(&mut world, &MIX, "v2.5.22");
    let (turned, points) = stage.run(world).await;
    assert!(Status::of(turned.upgrade()).phase == Some(Phase::Aborted) && names(&let_go(&points)) == ["indexnode"], "{:#}", turned.upgrade()["status"]);
    let why = "by itself (indexnode: nothing moved for longer than allowed";
    let message = Status::of(turned.upgrade()).message.unwrap();
    assert!(message.contains(&format!("it went back to 2.5.16 {why}")) && message.contains("go forwards again: raise spec.retry, and"), "{message}");
    assert!(points.iter().any(|point| point.after.upgrade()["status"]["message"].as_str().unwrap_or_default().starts_with(&format!("back to 2.5.16 {why}"))));
    // The same, paused for hours once the first one is let go; its pod comes right after the pause.
    let is_let_go = |point: &&Point| point.what == "Deployment indexnode: not paused";
    let mut world = points.iter().find(is_let_go).unwrap().after.clone();
    world.ask("paused", json!(true));
    world.ills.evicts_until = world.now + 10;
    let (mut world, _) = stage.run(world).await;
    assert!(says(&world, "Paused"), "{:#}", world.upgrade()["status"]);
    world.now += 20_000;
    let is_new = |object: &Value| text(object, "/spec/containers/0/image").is_some_and(|image| image.ends_with("v2.5.22"));
    world.objects.retain(|(plural, _), object| plural != "pods" || !is_new(object));
    world.ask("paused", json!(false));
    let (world, _) = stage.run(world).await;
    let status = Status::of(world.upgrade());
    assert!(status.phase == Some(Phase::Completed) && status.turned_back.is_none() && runs(&world, "v2.5.22"), "{status:?}");
}

#[tokio::test]
async fn a_way_down_that_the_controller_took_up_and_that_is_taken_back_while_it_waits_leaves_nothing() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    bring(&mut world, &MIX, "v2.5.22");
    let (mut world, _) = stage.run(world).await;
    // It is as the controller makes it, and somebody pauses it.
    let mut made = world.undeclare();
    made["metadata"]["annotations"] = json!({super::super::CREATED_ANNOTATION: "us"});
    made["spec"] = json!({"to": "2.5.16", "paused": true});
    world.declare(made);
    bring(&mut world, &MIX, "v2.5.16");
    let (mut world, points) = stage.run(world).await;
    assert!(says(&world, "Paused") && let_go(&points).is_empty(), "{:#}", world.upgrade()["status"]);
    assert!(world.all("deployments").all(|object| annotation(object, "guard.milvus-guard.dev/epoch").is_some()));
    for component in MIX {
        let mut back = of(component, deployment, "v2.5.22");
        back["metadata"]["annotations"]["guard.milvus-guard.dev/epoch"] = json!("1");
        world.put("deployments", back);
    }
    world.ask("paused", json!(false));
    let (world, _) = stage.run(world).await;
    assert!(says(&world, "Completed") && world.upgrade()["spec"]["to"] == "2.5.22", "{:#}", world.upgrade());
    nothing_is_left(&world);
}

#[tokio::test]
async fn two_milvus_of_a_release_have_their_turns_one_after_the_other() {
    let stage = Stage::new();
    let both = [MIX, SECOND].concat();
    let mut world = release(&both);
    bring(&mut world, &both, "v2.5.22");
    let (world, points) = stage.run(world).await;
    let second = ORDER.map(|component| format!("b-{component}"));
    let wanted: Vec<&str> = second.iter().map(String::as_str).chain(ORDER).collect();
    assert_eq!(names(&let_go(&points)), wanted, "{:#}", world.upgrade()["status"]);
    for point in &points {
        let waits = point.after.all("deployments").any(|object| annotation(object, "guard.milvus-guard.dev/hold").is_some());
        assert!(!waits || Status::of(point.after.upgrade()).phase != Some(Phase::Completed), "complete, and one waits: {}", point.what);
    }
    assert_eq!(Status::of(world.upgrade()).phase, Some(Phase::Completed), "{:#}", world.upgrade()["status"]);
    assert!(world.all("pods").all(|pod| text(pod, "/spec/containers/0/image").unwrap().ends_with("v2.5.22")));
    assert_eq!(world.receipts(), 2);
    nothing_is_left(&world);
}

#[tokio::test]
async fn what_a_change_removes_is_kept_of_every_milvus_of_the_release() {
    let stage = Stage::new();
    let mut world = release(&[MIX, SECOND].concat());
    world.ask("to", json!("2.6.15"));
    let (world, _) = stage.run(world).await;
    assert_eq!(Status::of(world.upgrade()).phase, Some(Phase::Prepared), "{:#}", world.upgrade()["status"]);
    for component in ["indexnode", "b-indexnode"] {
        let object = world.object("deployments", &format!("m-milvus-{component}")).unwrap();
        assert_eq!(annotation(object, "helm.sh/resource-policy"), Some("keep"), "{component}");
    }
}

#[tokio::test]
async fn what_was_left_from_a_laptop_waits_until_somebody_goes_on_with_it() {
    let stage = Stage::new();
    let mut left = release(&MIX);
    let declared = left.undeclare();
    bring(&mut left, &MIX, "v2.5.22");
    let key = ReleaseKey { namespace: "db".into(), name: "m".into() };
    let keeping = |to: &str| serde_json::to_value(packed(&key, &upgrade(to, json!({}))).unwrap()).unwrap();
    left.put("configmaps", keeping("2.5.22"));
    let (left, points) = stage.run(left).await;
    assert!(points.is_empty() && left.upgrade().is_null() && runs(&left, "v2.5.16"), "{:?}", points.iter().map(|point| &point.what).collect::<Vec<_>>());
    // A person declares it, gives it up, or another change took its place.
    let given_up = |world: &mut World| assert!(world.delete("configmaps", "milvus-guard-upgrade-m"));
    let another = |world: &mut World| assert!(world.put("configmaps", keeping("2.5.21")));
    let ways: [&dyn Fn(&mut World); 3] = [&|world| world.declare(declared.clone()), &given_up, &another];
    for way in ways {
        let mut world = left.clone();
        way(&mut world);
        let (world, points) = stage.run(world).await;
        assert_eq!(names(&let_go(&points)), ORDER, "{:#}", world.upgrade()["status"]);
    }
}

#[tokio::test]
async fn a_second_deployment_of_a_component_is_told_and_nothing_is_written_until_it_is_gone() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    let mut clone = of("querynode", deployment, "v2.5.16");
    clone["metadata"]["name"] = json!("m-milvus-querynode-b");
    world.put("deployments", clone);
    bring(&mut world, &MIX, "v2.5.22");
    let (mut world, points) = stage.run(world).await;
    let stalled = Status::of(world.upgrade()).condition("Stalled").cloned().unwrap();
    assert!(
        stalled.reason == "UnknownComponent" && stalled.message.contains("m-milvus-querynode-b beside m-milvus-querynode (both are querynode"),
        "{stalled:?}"
    );
    assert!(points.iter().all(|point| point.what.starts_with("GuardedUpgrade")), "{:?}", points.iter().map(|point| &point.what).collect::<Vec<_>>());
    assert!(world.delete("deployments", "m-milvus-querynode-b"));
    let (world, points) = stage.run(world).await;
    assert_eq!(names(&let_go(&points)), ORDER, "{:#}", world.upgrade()["status"]);
    assert!(Status::of(world.upgrade()).phase == Some(Phase::Completed) && runs(&world, "v2.5.22"));
}

const SEPARATE: [&str; 8] = ["datacoord", "datanode", "indexcoord", "indexnode", "proxy", "querycoord", "querynode", "rootcoord"];

/// A switch to the mix coordinator, at the version that runs: with another configuration of the nodes, and held.
fn switch(world: &mut World) {
    let nodes = ["datanode", "indexnode", "proxy", "querynode"];
    bring(world, &nodes, "v2.5.16");
    for component in nodes {
        let mut object = world.object("deployments", &format!("m-milvus-{component}")).cloned().unwrap();
        object["spec"]["template"]["metadata"]["annotations"] = json!({"checksum/config": "of the switch"});
        world.put("deployments", object);
    }
    world.put("deployments", of("mixcoord", held, "v2.5.16"));
    world.components.push("mixcoord");
}

#[tokio::test]
async fn a_switch_of_coordinators_that_is_taken_back_while_it_waits_leaves_nothing_and_is_not_carried_out() {
    for is_aborted in [false, true] {
        let stage = Stage::new();
        let mut world = release(&SEPARATE);
        world.ask("to", json!("2.5.16"));
        world.ask("approval", json!("Manual"));
        switch(&mut world);
        let (mut world, points) = stage.run(world).await;
        assert!(says(&world, "AwaitingApproval") && let_go(&points).is_empty(), "{:#}", world.upgrade()["status"]);
        if is_aborted {
            world.ask("abort", json!(true));
            world = stage.run(world).await.0;
            assert!(world.object("deployments", "m-milvus-mixcoord").is_some(), "the change is still stored");
        }
        // Whoever applied it takes it back; the mix coordinator stays, since it was kept.
        for component in ["datanode", "indexnode", "proxy", "querynode"] {
            world.put("deployments", of(component, deployment, "v2.5.16"));
        }
        world.components.retain(|component| *component != "mixcoord");
        let (mut world, points) = stage.run(world).await;
        assert!(let_go(&points).is_empty() && world.object("deployments", "m-milvus-mixcoord").is_none(), "{:#}", world.upgrade()["status"]);
        world.ask("approval", json!("Automatic"));
        let (mut world, points) = stage.run(world).await;
        assert!(let_go(&points).is_empty() && SEPARATE.iter().all(|component| tags(&world, component) == ["v2.5.16"]), "{:#}", world.upgrade()["status"]);
        nothing_is_left(&world);
        // It may come again.
        world.ask("approval", json!("Manual"));
        world.ask("abort", json!(false));
        world.ask("retry", json!(1));
        switch(&mut world);
        let (world, _) = stage.run(world).await;
        assert!(says(&world, "AwaitingApproval"), "{:#}", world.upgrade()["status"]);
        assert!(world.object("deployments", "m-milvus-mixcoord").is_some());
    }
}

#[tokio::test]
async fn a_switch_of_coordinators_that_changes_nothing_else_waits_for_its_turn() {
    let stage = Stage::new();
    let mut world = release(&SEPARATE);
    world.ask("to", json!("2.5.16"));
    world.ask("approval", json!("Manual"));
    world.put("deployments", of("mixcoord", held, "v2.5.16"));
    world.components.push("mixcoord");
    let (mut world, _) = stage.run(world).await;
    assert!(says(&world, "AwaitingApproval"), "{:#}", world.upgrade()["status"]);
    // Another write of what serves is no sign of it.
    world.put("deployments", of("proxy", deployment, "v2.5.16"));
    let (world, _) = stage.run(world).await;
    assert!(says(&world, "AwaitingApproval") && world.object("deployments", "m-milvus-mixcoord").is_some(), "{:#}", world.upgrade()["status"]);
}

#[tokio::test]
async fn a_version_that_came_without_the_upgrade_that_asks_for_it_has_a_receipt_that_opens_no_door() {
    let stage = Stage::new();
    let mut world = release(&MIX);
    bring(&mut world, &MIX, "v2.5.22");
    let (_, points) = stage.run(world).await;
    let last = points.iter().rfind(|point| point.after.receipts() == 0).unwrap();
    // Deleted after its last step, before the receipt was written.
    let mut world = last.after.clone();
    let declared = world.undeclare();
    let (mut world, _) = stage.run(world).await;
    assert!(runs(&world, "v2.5.22") && world.receipts() == 0);
    world.declare(declared);
    let (world, _) = stage.run(world).await;
    let told = |world: &World| {
        let status = Status::of(world.upgrade());
        assert_eq!(status.phase, Some(Phase::Completed));
        assert!(status.message.unwrap().contains("nothing was carried out for it here"));
        let receipt = &world.object("upgradereceipts", &status.receipt.unwrap()).unwrap()["spec"];
        assert_eq!((&receipt["kind"], receipt.get("components")), (&json!("Observed"), None));
        world.witnessed()
    };
    assert_eq!(told(&world), ["Observed 2.5.16", "Observed 2.5.22"]);
    // Another version that nothing held: by broken glass, or in mode `warn`.
    let mut behind = world.clone();
    for component in MIX {
        behind.put("deployments", of(component, deployment, "v2.5.24"));
    }
    for _ in 0..3 {
        behind.step(None);
    }
    behind.ask("to", json!("2.5.24"));
    let (behind, _) = stage.run(behind).await;
    assert_eq!(told(&behind), ["Observed 2.5.16", "Observed 2.5.22", "Observed 2.5.24"]);
    // It is told once.
    let (behind, points) = stage.run(behind).await;
    assert!(points.is_empty() && told(&behind).len() == 3);
    nothing_is_left(&behind);
}
