//! What comes next in situations that are set up by hand; everything between them is the search's (`simulate`).

use super::action::{Action, Deed, Stop, Waiting};
use super::component::{Component, Duty, Topology};
use super::observed::{Arrival, Backup, Hold, Job, JobKind, JobState, Known, Layout, Moment, Pods, Session, Trouble};
use super::orders::{Orders, Pair};
use super::plan::{Approval, Course, OnFailure, Plan, Window};
use super::simulate::{World, setting};

/// A release whose change has arrived, all of it held.
fn arrived(versions: (&str, &str), before: Topology, after: Topology) -> (World, Plan) {
    let pair = Pair { from: versions.0.parse().unwrap(), to: versions.1.parse().unwrap(), before, after };
    let order = Orders::embedded().find(&pair).unwrap();
    let mut world = World::new(setting(pair, order, |_| 2, &[Component::IndexNode]), order);
    let wanted = world.setting.after.clone();
    wanted.keys().for_each(|component| world.write(*component));
    world.truth.workloads.values_mut().for_each(|workload| workload.is_marked = true);
    world.end(&wanted);
    (world, Plan::new(pair))
}

fn mix() -> (World, Plan) {
    arrived(("2.5.16", "2.5.22"), Topology::MixCoordinator, Topology::MixCoordinator)
}

fn to_mix() -> (World, Plan) {
    arrived(("2.5.16", "2.5.22"), Topology::SeparateCoordinators, Topology::MixCoordinator)
}

fn migration() -> (World, Plan) {
    arrived(("2.1.4", "2.2.16"), Topology::Standalone, Topology::Standalone)
}

fn next(world: &World, plan: &Plan) -> Action {
    super::next(&world.truth, plan, Orders::embedded(), world.now)
}

/// Everything that moves by itself does.
fn rest(world: &mut World) {
    for component in Component::ALL {
        while world.reconcile(component) | world.ready(component) | world.gone(component) {}
    }
    for role in Component::ALL {
        world.session(role);
        if world.truth.sessions.get().is_some_and(|sessions| sessions.iter().any(|session| session.role == role && session.holder.is_none())) {
            world.session(role);
            world.session(role);
        }
    }
    world.complete_dependency();
    world.end_job(true);
}

/// Carries out what comes next until a deed is about a component, and that one too; nothing moves after it.
fn let_go(world: &mut World, plan: &Plan, component: Component) {
    for _ in 0..200 {
        match next(world, plan) {
            Action::Do(deed) => {
                assert!(world.carry_out(&deed));
                if matches!(deed, Deed::Release(..)) && deed.component() == Some(component) {
                    return;
                }
            }
            Action::Wait(_) => rest(world),
            other => panic!("{other:?}"),
        }
    }
    panic!("{component} is never let go");
}

fn reason(world: &World, plan: &Plan) -> String {
    match next(world, plan) {
        Action::Stop(stop) => stop.reason().to_owned(),
        Action::Wait(wait) => format!("waits for {}", wait.what),
        Action::Do(deed) => format!("{deed:?}"),
        Action::Done(_) => "Done".to_owned(),
    }
}

fn later(world: &mut World) {
    world.now = world.now.plus(1_000);
}

#[test]
fn an_upgrade_goes_step_by_step_to_its_end() {
    let (mut world, plan) = mix();
    let mut released = Vec::new();
    loop {
        match next(&world, &plan) {
            Action::Do(deed) => {
                assert!(world.carry_out(&deed));
                released.extend(matches!(deed, Deed::Release(..)).then(|| deed.component().unwrap().name()));
            }
            Action::Wait(_) => rest(&mut world),
            Action::Stop(stop) => panic!("{stop:?}"),
            Action::Done(done) => {
                assert_eq!(done.afterwards, None);
                break;
            }
        }
    }
    assert_eq!(released, ["indexnode", "mixcoord", "querynode", "datanode", "proxy"]);
}

#[test]
fn a_wait_says_for_what_and_since_when_and_when_it_ends() {
    let (mut world, plan) = mix();
    let_go(&mut world, &plan, Component::QueryNode);
    world.reconcile(Component::QueryNode);
    let since = world.now;
    world.now = world.now.plus(30);
    let Action::Wait(wait) = next(&world, &plan) else { panic!() };
    assert_eq!((wait.what.to_string().as_str(), wait.since, wait.until), ("querynode: 0 of 2 ready", Some(since), Some(since.plus(900))));
}

#[test]
fn nothing_is_let_go_before_the_whole_change_is_there() {
    let (mut world, plan) = mix();
    world.truth.arrival = Arrival::Pending(world.now);
    assert_eq!(reason(&world, &plan), "waits for the Helm revision to leave its pending state");
    world.truth.arrival = Arrival::Written(world.now);
    world.write_back(Component::Proxy);
    assert_eq!(reason(&world, &plan), "waits for the rest of the change: proxy");
    later(&mut world);
    assert_eq!(reason(&world, &plan), "ChangeIncomplete");
    let partial = Plan { takes_partial: true, ..plan };
    assert!(reason(&world, &partial).starts_with("Release(IndexNode"));
}

fn into_2_6() -> (World, Plan) {
    arrived(("2.5.16", "2.6.15"), Topology::MixCoordinator, Topology::Streaming)
}

/// Carries out what comes next until nothing does: the deeds on components, and why it stops.
fn carried_out(world: &mut World, plan: &Plan) -> (Vec<String>, String) {
    let mut deeds = Vec::new();
    for _ in 0..200 {
        match next(world, plan) {
            Action::Do(deed) => {
                assert!(world.carry_out(&deed));
                deeds.push(format!("{deed:?}").split(',').next().unwrap().to_owned());
            }
            Action::Wait(_) => rest(world),
            Action::Stop(_) | Action::Done(_) => return (deeds, reason(world, plan)),
        }
    }
    panic!("no end");
}

#[test]
fn a_part_that_a_person_takes_removes_nothing_and_is_complete_with_the_rest_only() {
    let (mut world, plan) = into_2_6();
    let partial = Plan { takes_partial: true, ..plan };
    world.write_back(Component::MixCoord);
    world.write_back(Component::Proxy);
    let (deeds, why) = carried_out(&mut world, &partial);
    assert_eq!((deeds, why.as_str()), (vec!["Release(StreamingNode".to_owned(), "Release(QueryNode".into(), "Release(DataNode".into()], "ChangeIncomplete"));
    let Action::Stop(Stop::ChangeIncomplete(missing)) = next(&world, &partial) else { panic!() };
    assert_eq!(missing, [Component::MixCoord, Component::Proxy]);
    // The rest arrives.
    world.write(Component::MixCoord);
    world.write(Component::Proxy);
    let (deeds, why) = carried_out(&mut world, &partial);
    let wanted = ["Release(MixCoord", "Release(Proxy", "Remove(IndexNode", "Record"];
    assert_eq!((deeds.iter().filter(|deed| !deed.starts_with("Mark")).map(String::as_str).collect::<Vec<_>>(), why.as_str()), (wanted.to_vec(), "Done"));
}

#[test]
fn what_a_release_never_had_is_no_part_of_the_rest_once_a_person_took_what_there_is() {
    let (mut world, plan) = into_2_6();
    world.truth.workloads.remove(&Component::DataNode);
    later(&mut world);
    assert_eq!(next(&world, &plan), Action::Stop(Stop::ChangeIncomplete(vec![Component::DataNode])));
    let partial = Plan { takes_partial: true, ..plan };
    // What is new with the change may still come.
    let mut without = world.clone();
    without.truth.workloads.remove(&Component::StreamingNode);
    assert_eq!(carried_out(&mut without, &partial).1, "ChangeIncomplete");
    let (deeds, why) = carried_out(&mut world, &partial);
    let wanted = ["Release(StreamingNode", "Release(MixCoord", "Release(QueryNode", "Release(Proxy", "Remove(IndexNode", "Record"];
    assert_eq!((deeds.iter().filter(|deed| !deed.starts_with("Mark")).map(String::as_str).collect::<Vec<_>>(), why.as_str()), (wanted.to_vec(), "Done"));
}

#[test]
fn another_change_that_is_stored_over_this_one_is_no_part_of_it() {
    let (mut world, plan) = mix();
    let_go(&mut world, &plan, Component::IndexNode);
    for component in [Component::MixCoord, Component::Proxy] {
        world.truth.workloads.get_mut(&component).unwrap().stored.version = Some("2.5.26".parse().unwrap());
    }
    for takes_partial in [false, true] {
        let stop = next(&world, &Plan { takes_partial, ..plan.clone() });
        assert_eq!(stop, Action::Stop(Stop::AnotherChange("2.5.26".parse().unwrap(), vec![Component::MixCoord, Component::Proxy])));
    }
}

#[test]
fn what_is_left_of_a_change_that_was_taken_back_before_it_began_is_removed() {
    let (mut world, plan) = into_2_6();
    let before = world.setting.before.clone();
    before.keys().for_each(|component| world.write_back(*component));
    world.truth.workloads.get_mut(&Component::StreamingNode).unwrap().is_kept = true;
    let partial = Plan { takes_partial: true, ..plan.clone() };
    for plan in [&plan, &partial] {
        assert!(reason(&world, plan).starts_with("waits for the rest of the change"), "{}", reason(&world, plan));
    }
    later(&mut world);
    // One that a person keeps, one that ran, and one beside a part of the change stay.
    let with = |change: &dyn Fn(&mut World)| {
        let mut world = world.clone();
        change(&mut world);
        reason(&world, &plan)
    };
    let streaming = |world: &mut World, change: fn(&mut super::observed::Workload)| change(world.truth.workloads.get_mut(&Component::StreamingNode).unwrap());
    assert_eq!(with(&|world| streaming(world, |workload| workload.is_kept = false)), "ChangeIncomplete");
    assert_eq!(with(&|world| streaming(world, |workload| workload.has_sets = true)), "ChangeIncomplete");
    assert_eq!(with(&|world| world.write(Component::Proxy)), "ChangeIncomplete");
    for plan in [&plan, &partial] {
        assert!(reason(&world, plan).starts_with("Discard(StreamingNode"), "{}", reason(&world, plan));
    }
}

#[test]
fn what_nobody_knows_or_ordered_is_not_touched() {
    let (mut world, plan) = mix();
    let refused = Plan { pair: Pair { to: "2.6.15".parse().unwrap(), ..plan.pair }, ..plan.clone() };
    assert_eq!(reason(&world, &refused), "NoOrder");
    world.truth.strangers.push("newnode".into());
    assert_eq!(reason(&world, &plan), "UnknownComponent");
    world.truth.strangers.clear();
    let stray = world.truth.workloads[&Component::Proxy].clone();
    world.truth.workloads.insert(Component::StreamingNode, stray);
    assert_eq!(reason(&world, &plan), "UnknownComponent");
}

#[test]
fn people_pause_approve_and_set_windows() {
    let (mut world, plan) = mix();
    assert_eq!(reason(&world, &Plan { is_paused: true, ..plan.clone() }), "Paused");
    assert_eq!(reason(&world, &Plan { approval: Approval::Manual(None), ..plan.clone() }), "waits for approval of step indexnode");
    assert!(reason(&world, &Plan { approval: Approval::Manual(Some(Component::IndexNode)), ..plan.clone() }).starts_with("Release(IndexNode"));
    let opens = world.now.plus(10);
    let windows = vec![Window { from: opens, until: opens.plus(10) }];
    let Action::Wait(wait) = next(&world, &Plan { windows: windows.clone(), ..plan.clone() }) else { panic!() };
    assert_eq!(wait.what, Waiting::Window(opens));
    // Those that are over, and those that end before they begin, never open.
    let never = [Window { from: world.now, until: world.now }, Window { from: opens.plus(10), until: opens }];
    assert_eq!(reason(&world, &Plan { windows: never.to_vec(), ..plan.clone() }), "NoWindow");
    assert_eq!(reason(&world, &Plan { windows: [&never[..], &windows].concat(), ..plan.clone() }), "waits for a maintenance window");
    world.now = opens;
    assert!(reason(&world, &Plan { windows, ..plan.clone() }).starts_with("Release(IndexNode"));
    // Nothing is stopped where no metadata is migrated, whoever says so.
    world.truth.workloads.get_mut(&Component::Proxy).unwrap().stopped = Some(1);
    assert_eq!(reason(&world, &Plan { approval: Approval::Manual(None), ..plan.clone() }), "waits for approval of step indexnode");
    world.truth.workloads.get_mut(&Component::IndexNode).unwrap().hold = Hold::Blocked("MV402: the queue changes".into());
    assert_eq!(reason(&world, &plan), "Blocked");
}

#[test]
fn a_plan_that_is_older_than_the_seals_does_nothing() {
    let (mut world, plan) = mix();
    world.truth.workloads.get_mut(&Component::Proxy).unwrap().epoch = 3;
    assert_eq!(reason(&world, &Plan { epoch: 2, ..plan.clone() }), "waits for a fresh view of the upgrade");
    assert!(reason(&world, &Plan { epoch: 3, ..plan }).starts_with("Seal(IndexNode"));
}

#[test]
fn what_service_needs_comes_first_when_it_is_gone() {
    let (mut world, plan) = to_mix();
    // A pod that fell comes back by itself: its Deployment is there.
    world.hurt(Component::RootCoord, true);
    world.hurt(Component::RootCoord, true);
    world.truth.arrival = Arrival::Pending(world.now);
    assert_eq!(reason(&world, &plan), "waits for the Helm revision to leave its pending state");
    world.truth.workloads.remove(&Component::RootCoord);
    let strict = Plan { approval: Approval::Manual(None), ..plan.clone() };
    assert!(reason(&world, &strict).starts_with("Release(MixCoord"));
    let Action::Stop(paused) = next(&world, &Plan { is_paused: true, ..plan }) else { panic!() };
    assert_eq!(paused, Stop::Paused(Some(Duty::Root)));
}

#[test]
fn what_keeps_pods_from_becoming_ready_is_told_at_once_and_fails_the_step_in_its_time() {
    for (trouble, words) in
        [(Trouble::Refused, "the API server refuses its new pods (a quota, or an admission policy)"), (Trouble::Unschedulable, "no node takes its new pods")]
    {
        let (mut world, plan) = mix();
        let_go(&mut world, &plan, Component::IndexNode);
        let workload = world.truth.workloads.get_mut(&Component::IndexNode).unwrap();
        workload.pods.push(Pods { template: workload.stored.clone(), running: 0, ready: 0, terminating: 0, trouble: Some(trouble) });
        workload.is_seen = true;
        assert_eq!(reason(&world, &plan), format!("waits for indexnode: 0 of 2 ready: {words}"));
        later(&mut world);
        let Action::Stop(Stop::Stalled(stalled)) = next(&world, &plan) else { panic!() };
        assert_eq!(stalled.why, super::action::Why::Pods(trouble));
    }
}

/// A component was deleted and made anew, and is held without a pod.
fn made_anew(world: &mut World, component: Component) {
    let workload = world.truth.workloads.get_mut(&component).unwrap();
    workload.pods.clear();
    workload.has_sets = false;
}

#[test]
fn what_is_deleted_and_made_anew_is_let_go_at_once_on_the_way_forwards() {
    let (mut world, plan) = mix();
    made_anew(&mut world, Component::Proxy);
    assert!(reason(&world, &plan).starts_with("Release(Proxy"), "{}", reason(&world, &plan));
}

#[test]
fn what_is_deleted_and_made_anew_is_told_on_the_way_back_and_comes_with_the_rollback() {
    let (mut world, plan) = mix();
    made_anew(&mut world, Component::Proxy);
    let back = Plan { course: Course::Back, ..plan };
    let said = reason(&world, &back);
    assert_eq!(said, "NeedsApplier");
    let (from, proxy) = (back.pair.from, world.truth.workloads.get_mut(&Component::Proxy).unwrap());
    proxy.stored = super::observed::Template { digest: "before, with another value".into(), version: Some(from) };
    assert!(reason(&world, &back).starts_with("Release(Proxy"), "{}", reason(&world, &back));
}

#[test]
fn a_rollback_with_another_setting_is_let_go_on_the_way_back() {
    let (mut world, plan) = mix();
    let back = Plan { course: Course::Back, ..plan };
    assert_eq!(reason(&world, &back), "WentBack");
    let from = back.pair.from;
    world.truth.workloads.values_mut().for_each(|workload| {
        workload.stored = super::observed::Template { digest: "before, with another value".into(), version: Some(from) };
    });
    let said = reason(&world, &back);
    assert!(said.starts_with("Release(Proxy"), "{said}");
    let proxy = world.truth.workloads.get_mut(&Component::Proxy).unwrap();
    (proxy.hold, proxy.is_seen) = (Hold::None, false);
    let said = reason(&world, &back);
    assert!(said.starts_with("waits for"), "{said}");
}

#[test]
fn dependencies_come_before_any_component_one_by_one() {
    let (mut world, plan) = mix();
    let dependency =
        super::observed::Dependency { stamp: super::observed::Stamp::default(), hold: Hold::Held, was_let_go: false, is_complete: true, moved: world.now };
    world.truth.dependencies.insert("etcd".into(), dependency.clone());
    world.truth.dependencies.insert("minio".into(), dependency);
    assert!(reason(&world, &plan).starts_with("ReleaseDependency(\"etcd\""));
    let etcd = world.truth.dependencies.get_mut("etcd").unwrap();
    (etcd.hold, etcd.is_complete) = (Hold::None, false);
    assert_eq!(reason(&world, &plan), "waits for etcd to roll out");
    later(&mut world);
    assert_eq!(reason(&world, &plan), "ProgressDeadlineExceeded");
    world.truth.dependencies.get_mut("minio").unwrap().hold = Hold::Blocked("MV503".into());
    world.truth.dependencies.get_mut("etcd").unwrap().is_complete = true;
    assert_eq!(reason(&world, &plan), "Blocked");
}

#[test]
fn stores_are_let_go_with_the_approval_of_the_first_step_that_there_is() {
    let (mut world, plan) = into_2_6();
    assert_eq!(Orders::embedded().find(&plan.pair).unwrap().steps[0].component, Component::Cdc);
    let etcd =
        super::observed::Dependency { stamp: super::observed::Stamp::default(), hold: Hold::Held, was_let_go: false, is_complete: true, moved: world.now };
    world.truth.dependencies.insert("etcd".into(), etcd);
    assert_eq!(reason(&world, &Plan { approval: Approval::Manual(None), ..plan.clone() }), "waits for approval of step streamingnode");
    assert!(reason(&world, &Plan { approval: Approval::Manual(Some(Component::StreamingNode)), ..plan }).starts_with("ReleaseDependency(\"etcd\""));
}

#[test]
fn stores_go_back_once_the_applier_has_taken_the_change_back() {
    let (mut world, plan) = mix();
    world.write_back(Component::IndexNode);
    let back = Plan { course: Course::Back, ..plan };
    let etcd =
        super::observed::Dependency { stamp: super::observed::Stamp::default(), hold: Hold::Held, was_let_go: true, is_complete: true, moved: world.now };
    for (name, was_let_go) in [("etcd", true), ("minio", true), ("kafka", false)] {
        world.truth.dependencies.insert(name.into(), super::observed::Dependency { was_let_go, ..etcd.clone() });
    }
    assert_eq!(reason(&world, &back), "WentBack", "the rest of the change is still stored");
    let mut other = world.clone();
    let rest = other.truth.workloads.values_mut().filter(|workload| workload.stored.is_of(back.pair.to));
    rest.for_each(|workload| workload.stored = super::observed::Template { digest: "other".into(), version: Some("2.5.26".parse().unwrap()) });
    other.truth.workloads.values_mut().for_each(|workload| workload.is_marked = false);
    assert_eq!(reason(&other, &back), "WentBack", "another change is stored");
    let before = world.setting.before.clone();
    before.keys().for_each(|component| world.write_back(*component));
    assert!(reason(&world, &back).starts_with("ReleaseDependency(\"etcd\""), "{}", reason(&world, &back));
    let opens = world.now.plus(10);
    let windows = vec![Window { from: opens, until: opens.plus(10) }];
    assert_eq!(reason(&world, &Plan { windows, ..back.clone() }), "waits for a maintenance window");
    let windows = vec![Window { from: Moment(0), until: Moment(1) }];
    assert_eq!(reason(&world, &Plan { windows, ..back.clone() }), "NoWindow");
    let etcd = world.truth.dependencies.get_mut("etcd").unwrap();
    (etcd.hold, etcd.is_complete) = (Hold::None, false);
    assert_eq!(reason(&world, &back), "waits for etcd to roll out");
    etcd_is_complete(&mut world);
    // One that was never let go may still hold what the change brought.
    assert!(
        reason(&world, &back)
            .starts_with("waits for whoever applied the change to take it back from kafka, too, which is still held: once timeouts.arrival has")
    );
    world.now = world.now.plus(600);
    assert!(reason(&world, &back).starts_with("ReleaseDependency(\"kafka\""), "{}", reason(&world, &back));
    world.truth.dependencies.get_mut("kafka").unwrap().hold = Hold::None;
    assert!(reason(&world, &back).starts_with("ReleaseDependency(\"minio\""), "{}", reason(&world, &back));
    world.truth.dependencies.get_mut("minio").unwrap().hold = Hold::None;
    world.truth.workloads.values_mut().for_each(|workload| workload.is_marked = false);
    assert_eq!(reason(&world, &back), "WentBack");
}

fn etcd_is_complete(world: &mut World) {
    world.truth.dependencies.get_mut("etcd").unwrap().is_complete = true;
}

#[test]
fn what_was_kept_of_a_change_that_the_applier_took_back_is_removed() {
    let (mut world, plan) = into_2_6();
    world.truth.workloads.get_mut(&Component::StreamingNode).unwrap().is_kept = true;
    let back = Plan { course: Course::Back, ..plan };
    assert_eq!(reason(&world, &back), "WentBack", "after an abort the change is still stored");
    let before = world.setting.before.clone();
    before.keys().for_each(|component| world.write_back(*component));
    let (deeds, why) = carried_out(&mut world, &back);
    assert!(deeds.first().is_some_and(|deed| deed == "Discard(StreamingNode") && why == "WentBack", "{deeds:?} {why}");
}

/// A rollout of a component that hangs, changed by hand, long after something moved.
fn hanging(setup: fn() -> (World, Plan), component: Component, change: impl FnOnce(&mut World)) -> String {
    let (mut world, plan) = setup();
    let_go(&mut world, &plan, component);
    world.reconcile(component);
    change(&mut world);
    later(&mut world);
    reason(&world, &plan)
}

#[test]
fn known_deadlocks_are_told_by_name() {
    use Component::{MixCoord, QueryNode, Standalone};
    let trouble = |trouble| hanging(mix, QueryNode, |world| world.truth.workloads.get_mut(&QueryNode).unwrap().pods[1].trouble = Some(trouble));
    assert_eq!(trouble(Trouble::ImagePull), "ImagePullFailed");
    assert_eq!(trouble(Trouble::Unschedulable), "Unschedulable");
    assert_eq!(trouble(Trouble::Crashing), "PodsCrash");
    assert_eq!(trouble(Trouble::Refused), "PodsRefused");
    assert_eq!(hanging(mix, QueryNode, |_| {}), "ProgressDeadlineExceeded");
    let drains = |world: &mut World| {
        let workload = world.truth.workloads.get_mut(&QueryNode).unwrap();
        let before = workload.before.clone().unwrap();
        let pods = |template, running, terminating| Pods { template, running, ready: running, terminating, trouble: None };
        workload.pods = vec![pods(before, 0, 1), pods(workload.stored.clone(), 2, 0)];
        workload.is_seen = true;
    };
    assert_eq!(hanging(mix, QueryNode, drains), "DrainStuck");
    let stale = |world: &mut World| {
        while world.reconcile(MixCoord) | world.ready(MixCoord) | world.gone(MixCoord) {}
        let Known::Yes(sessions) = &mut world.truth.sessions else { panic!() };
        sessions.iter_mut().for_each(|session| session.holder = None);
    };
    assert_eq!(hanging(mix, MixCoord, stale), "SessionStuck");
    let shared = |world: &mut World| {
        let workload = world.truth.workloads.get_mut(&Standalone).unwrap();
        workload.is_rolling = true;
        workload.pods[0].running = 1;
        workload.pods.push(Pods { template: workload.stored.clone(), running: 1, ready: 0, terminating: 0, trouble: None });
    };
    let standalone = || arrived(("2.5.16", "2.5.22"), Topology::Standalone, Topology::Standalone);
    assert_eq!(hanging(standalone, Standalone, shared), "SharedStore");
    assert_eq!(hanging(to_mix, MixCoord, |_| {}), "HandoverBlocked");
}

#[test]
fn what_no_time_mends_is_told_at_once() {
    let at_once = |change: fn(&mut World)| {
        let (mut world, plan) = mix();
        let_go(&mut world, &plan, Component::MixCoord);
        change(&mut world);
        reason(&world, &plan)
    };
    assert_eq!(at_once(|world| world.truth.workloads.get_mut(&Component::MixCoord).unwrap().hold = Hold::Foreign), "PausedByOther");
    let to_zero = |world: &mut World| {
        let workload = world.truth.workloads.get_mut(&Component::MixCoord).unwrap();
        (workload.wanted, workload.is_seen) = (0, true);
        workload.pods.clear();
    };
    assert_eq!(at_once(to_zero), "ScaledToZero");
    assert_eq!(at_once(|world| world.truth.metadata.is_fenced = true), "FenceLeft");
}

#[test]
fn without_etcd_the_pods_are_the_evidence() {
    let (mut world, plan) = mix();
    world.truth.sessions = Known::No("no credentials".into());
    let_go(&mut world, &plan, Component::MixCoord);
    rest(&mut world);
    assert!(reason(&world, &plan).starts_with("Release(QueryNode"));
}

#[test]
fn an_earlier_session_keeps_the_next_step_waiting() {
    let (mut world, plan) = mix();
    let_go(&mut world, &plan, Component::MixCoord);
    let sessions = world.truth.sessions.clone();
    rest(&mut world);
    world.truth.sessions = sessions;
    assert_eq!(reason(&world, &plan), "waits for mixcoord: no active session of rootcoord, datacoord, querycoord at 2.5.22");
}

#[test]
fn a_coordinator_without_a_standby_is_only_started_before_the_others_go() {
    for (active_standby, next_step) in [(false, "Remove(RootCoord"), (true, "waits for mixcoord: 0 of 2 ready")] {
        let (mut world, plan) = to_mix();
        world.truth.active_standby = Known::Yes(active_standby);
        let_go(&mut world, &plan, Component::MixCoord);
        while world.reconcile(Component::MixCoord) {}
        let said = reason(&world, &plan);
        assert!(said.starts_with(next_step), "{said}");
    }
}

#[test]
fn a_failure_turns_back_only_where_that_was_asked_for_and_there_is_a_way() {
    let failing = |versions, before, after, on_failure| {
        let (mut world, plan) = arrived(versions, before, after);
        let plan = Plan { on_failure, ..plan };
        let_go(&mut world, &plan, Component::QueryNode);
        later(&mut world);
        reason(&world, &plan)
    };
    use Topology::{MixCoordinator as Mix, Streaming};
    assert!(failing(("2.5.16", "2.5.22"), Mix, Mix, OnFailure::Rollback).starts_with("TurnBack"));
    assert_eq!(failing(("2.5.16", "2.5.22"), Mix, Mix, OnFailure::Pause), "ProgressDeadlineExceeded");
    // 2.5 does not read what the mix coordinator of 2.6 wrote.
    assert_eq!(failing(("2.5.22", "2.6.15"), Mix, Streaming, OnFailure::Rollback), "ProgressDeadlineExceeded");
}

#[test]
fn an_abort_behind_the_one_way_door_is_refused() {
    let (mut world, plan) = arrived(("2.5.22", "2.6.15"), Topology::MixCoordinator, Topology::Streaming);
    let_go(&mut world, &plan, Component::MixCoord);
    let back = Plan { course: Course::Back, ..plan };
    assert_eq!(reason(&world, &back), "NoWayBack");
}

#[test]
fn a_hold_with_nothing_to_hold_is_taken_off() {
    let (mut world, plan) = mix();
    let_go(&mut world, &plan, Component::IndexNode);
    rest(&mut world);
    world.truth.workloads.get_mut(&Component::IndexNode).unwrap().hold = Hold::Held;
    assert!(reason(&world, &plan).starts_with("Unhold(IndexNode"));
}

#[test]
fn a_migration_does_not_begin_where_it_cannot_end() {
    let with = |change: fn(&mut World)| {
        let (mut world, plan) = migration();
        change(&mut world);
        reason(&world, &plan)
    };
    assert!(with(|_| {}).starts_with("Stop(Standalone"));
    assert_eq!(with(|world| world.truth.metadata.layout = Known::Yes(Layout::Empty)), "MetadataEmpty");
    assert_eq!(with(|world| world.truth.metadata.layout = Known::Yes(Layout::Undecided)), "LayoutUndecided");
    assert_eq!(with(|world| world.truth.metadata.layout = Known::Yes(Layout::Mixed)), "LayoutMixed");
    assert_eq!(with(|world| world.truth.metadata.layout = Known::No("etcd is down".into())), "LayoutUnknown");
    assert_eq!(with(|world| world.truth.metadata.layout = Known::Yes(Layout::V22)), "VersionsAndLayoutDisagree");
    assert_eq!(with(|world| world.truth.sessions = Known::No("no credentials".into())), "SessionsUnknown");
    assert_eq!(with(|world| world.truth.workloads.get_mut(&Component::Standalone).unwrap().hold = Hold::Foreign), "NotHeld");
}

#[test]
fn no_store_is_let_go_before_the_metadata_could_be_migrated() {
    let (mut world, plan) = migration();
    let etcd =
        super::observed::Dependency { stamp: super::observed::Stamp::default(), hold: Hold::Held, was_let_go: false, is_complete: true, moved: world.now };
    world.truth.dependencies.insert("etcd".into(), etcd);
    assert!(reason(&world, &plan).starts_with("ReleaseDependency"), "{}", reason(&world, &plan));
    let with = |change: &dyn Fn(&mut World)| {
        let mut world = world.clone();
        change(&mut world);
        reason(&world, &plan)
    };
    assert_eq!(with(&|world| world.truth.metadata.layout = Known::No("there is no StorageClass".into())), "LayoutUnknown");
    assert_eq!(with(&|world| world.truth.metadata.layout = Known::Yes(Layout::Mixed)), "LayoutMixed");
    assert_eq!(with(&|world| world.truth.sessions = Known::No("etcd is down".into())), "SessionsUnknown");
    assert_eq!(with(&|world| world.truth.metadata.layout = Known::Yes(Layout::V22)), "VersionsAndLayoutDisagree");
}

#[test]
fn a_migration_waits_for_pods_sessions_and_jobs_and_says_what_is_left() {
    let (mut world, plan) = migration();
    for _ in 0..2 {
        let Action::Do(deed) = next(&world, &plan) else { panic!() };
        assert!(world.carry_out(&deed));
    }
    assert_eq!(reason(&world, &plan), "waits for 2 pods to end");
    let mut stuck = world.clone();
    later(&mut stuck);
    assert_eq!(reason(&stuck, &plan), "PodsLeft");
    while world.reconcile(Component::Standalone) | world.gone(Component::Standalone) {}
    let left = Session { role: Component::RootCoord, is_active: true, version: None, holder: None, since: Moment(1), owner: "rootcoord of 10.0.0.7".into() };
    world.truth.sessions = Known::Yes(vec![left]);
    assert_eq!(reason(&world, &plan), "waits for 1 sessions in etcd to end");
    let mut stuck = world.clone();
    later(&mut stuck);
    assert_eq!(reason(&stuck, &plan), "SessionLeft");
    world.truth.sessions = Known::Yes(Vec::new());
    assert_eq!(reason(&world, &plan), "Run(Backup)");
    let job = Job { state: JobState::Active(Some("the claim is pending".into())), since: world.now };
    world.truth.metadata.jobs.insert(JobKind::Backup, job);
    assert_eq!(reason(&world, &plan), "waits for the backup job (the claim is pending)");
    world.now = world.now.plus(4_000);
    assert_eq!(reason(&world, &plan), "JobOverdue");
}

#[test]
fn a_failed_migration_is_put_back_from_its_backup_and_says_so() {
    let (mut world, plan) = migration();
    let mut deeds = Vec::new();
    for _ in 0..40 {
        match next(&world, &plan) {
            Action::Do(deed) => {
                deeds.push(format!("{deed:?}").split(['(', ',']).take(2).collect::<Vec<_>>().join(" "));
                assert!(world.carry_out(&deed));
                // It dies in the middle of writing.
                if deed == Deed::Run(JobKind::Migrate) {
                    world.begin_job();
                    world.end_job(false);
                }
            }
            Action::Wait(_) => rest(&mut world),
            Action::Stop(stop) => {
                assert_eq!(stop.reason(), "MigrationFailed");
                break;
            }
            Action::Done(_) => panic!(),
        }
    }
    let expected = ["Stop Standalone", "Fence", "Run Backup)", "Run Verify)", "Run Migrate)", "Run Restore)", "Unfence", "Start Standalone"];
    assert_eq!(deeds, expected);
    let workload = &world.truth.workloads[&Component::Standalone];
    assert_eq!((workload.wanted, workload.stopped, world.truth.metadata.layout.get()), (2, None, Some(&Layout::V21)));
    rest(&mut world);
    assert!(world.truth.workloads[&Component::Standalone].pods.iter().all(|pods| pods.template.version == Some(plan.pair.from)));
}

#[test]
fn nothing_is_restored_from_a_backup_that_nobody_verified() {
    let (mut world, plan) = migration();
    world.truth.metadata.layout = Known::Yes(Layout::Mixed);
    world.truth.metadata.jobs.insert(JobKind::Migrate, Job { state: JobState::Failed("killed".into()), since: world.now });
    for (backup, said) in [(Backup::None, "LayoutMixed"), (Backup::Unverified, "LayoutMixed"), (Backup::Verified, "Stop(Standalone")] {
        world.truth.metadata.backup = backup;
        assert!(reason(&world, &plan).starts_with(said), "{}", reason(&world, &plan));
    }
}

#[test]
fn a_backup_that_is_not_what_is_in_etcd_ends_the_attempt_before_anything_is_written() {
    let (mut world, plan) = migration();
    world.truth.metadata.backup = Backup::Bad("12 of 14 keys".into());
    let Action::Do(Deed::Bar(JobKind::Migrate)) = next(&world, &plan) else { panic!("{}", reason(&world, &plan)) };
    assert!(world.carry_out(&Deed::Bar(JobKind::Migrate)));
    assert_eq!(reason(&world, &plan), "MigrationFailed");
}
