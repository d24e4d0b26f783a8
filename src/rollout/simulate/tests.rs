//! Searches random schedules of arrivals, delays, lost watches, crashes and frozen controllers for a violated invariant.

mod invariants;
mod scenarios;
mod schedule;

use std::collections::BTreeMap;

use self::scenarios::{Scenario, scenarios};
use self::schedule::Schedule;
use super::{Ills, World};
use crate::rollout::action::{Action, Deed, Stop};
use crate::rollout::component::Component;
use crate::rollout::observed::{Backup, JobKind, Known, Moment, Observed, Pods};
use crate::rollout::orders::Orders;
use crate::rollout::plan::{Course, Plan};

/// What decides: `next`, or a planted bug.
type Decide = fn(&Observed, &Plan, &Orders, Moment) -> Action;

/// Schedules in an ordinary run; `MILVUS_GUARD_SCHEDULES` asks for more.
const SCHEDULES: u64 = 10_000;

/// xorshift64: the same numbers in every run.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }

    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// The violation of a schedule, if there is one.
fn run(scenario: &Scenario, seed: u64, decide: Decide) -> Option<String> {
    Schedule::new(scenario, seed, decide).run().err()
}

/// The first violation among some schedules of all scenarios.
fn search(seeds: std::ops::Range<u64>, decide: Decide) -> Option<String> {
    let scenarios = scenarios();
    seeds.into_iter().find_map(|seed| {
        let scenario = &scenarios[seed as usize % scenarios.len()];
        run(scenario, seed, decide).map(|violation| format!("seed {seed}, {}: {violation}", scenario.name))
    })
}

#[test]
fn no_schedule_violates_an_invariant() {
    #[allow(clippy::disallowed_methods, reason = "more schedules on demand")]
    let asked = std::env::var("MILVUS_GUARD_SCHEDULES").ok().and_then(|text| text.parse().ok());
    let schedules: u64 = asked.unwrap_or(SCHEDULES);
    let half = schedules / 2;
    let found = std::thread::scope(|scope| {
        let first = scope.spawn(|| search(0..half, crate::rollout::next));
        search(half..schedules, crate::rollout::next).or(first.join().unwrap())
    });
    assert_eq!(found, None);
}

/// Each planted bug: a part of what the search has to say of it, and the scenario in which it shows.
const PLANTED: &[(&str, &str, Decide)] = &[
    ("before the whole change", "within 2.6", releases_before_arrival),
    ("before the steps before it", "within 2.6", believes_all_complete),
    ("no migration while", "migration of a standalone", migrates_with_pods),
    ("without a verified backup", "migration of a standalone", trusts_any_backup),
    ("replicas of", "migration of a standalone", forgets_replicas),
    ("nobody is left to do", "to the mix coordinator", removes_the_only_one),
    ("no progress", "into 2.6", waits_for_streaming_nodes),
    ("a hold is taken off", "into 2.6, query nodes fail", lets_the_rest_go),
    ("on metadata of", "migration of a standalone, webhook dead", unfences_early),
    ("is taken back before", "mix coordinator, aborted", takes_back_in_any_order),
    ("still waits", "mix coordinator, rolled back", forgets_the_stores),
    ("streamingnode is left", "into 2.6, rolled back", leaves_what_never_ran),
    ("a receipt is written before", "mix coordinator, a part of it", records_a_part),
    ("is removed before the whole change", "into 2.6, a part of it", removes_after_a_part),
];

/// Schedules of one scenario that a planted bug may take to show.
const TRIES: u64 = 1_500;

/// The scenario of a name.
fn named(name: &str) -> Scenario {
    scenarios().into_iter().find(|scenario| scenario.name == name).unwrap()
}

fn releases_before_arrival(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    let mut observed = observed.clone();
    observed.arrival = crate::rollout::observed::Arrival::Written(now);
    crate::rollout::next(&observed, &Plan { takes_partial: true, ..plan.clone() }, orders, now)
}

fn believes_all_complete(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    let mut observed = observed.clone();
    for workload in observed.workloads.values_mut().filter(|workload| !workload.is_held()) {
        let pods = Pods { template: workload.stored.clone(), running: workload.wanted, ready: workload.wanted, terminating: 0, trouble: None };
        (workload.pods, workload.is_seen) = (vec![pods], true);
    }
    observed.sessions = Known::No("not read".into());
    crate::rollout::next(&observed, plan, orders, now)
}

fn migrates_with_pods(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    let mut observed = observed.clone();
    observed.workloads.values_mut().for_each(|workload| workload.pods.clear());
    observed.sessions = Known::Yes(Vec::new());
    crate::rollout::next(&observed, plan, orders, now)
}

fn trusts_any_backup(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    let mut observed = observed.clone();
    observed.metadata.backup = Backup::Verified;
    crate::rollout::next(&observed, plan, orders, now)
}

fn forgets_replicas(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    match crate::rollout::next(observed, plan, orders, now) {
        // What is there now, instead of what was there first.
        Action::Do(Deed::Stop(component, stamp, _)) => {
            let wanted = observed.workloads[&component].pods.iter().map(|pods| pods.ready).sum();
            Action::Do(Deed::Stop(component, stamp, wanted))
        }
        action => action,
    }
}

fn removes_the_only_one(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    let mut observed = observed.clone();
    if let Some(mix) = observed.workloads.get_mut(&Component::MixCoord).filter(|mix| !mix.is_held() && mix.pods.is_empty()) {
        let stored = mix.stored.clone();
        mix.pods.push(Pods { template: stored, running: mix.wanted, ready: mix.wanted, terminating: 0, trouble: None });
        mix.is_seen = true;
    }
    crate::rollout::next(&observed, plan, orders, now)
}

fn waits_for_streaming_nodes(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    let is_ready =
        |component| observed.workloads.get(&component).is_some_and(|workload| workload.running() > 0 && workload.pods.iter().all(|pods| pods.ready > 0));
    match crate::rollout::next(observed, plan, orders, now) {
        Action::Do(Deed::Release(Component::MixCoord, _))
            if observed.workloads.contains_key(&Component::StreamingNode) && !is_ready(Component::StreamingNode) =>
        {
            Action::Wait(crate::rollout::Wait { what: crate::rollout::Waiting::Gone(Component::StreamingNode), since: None, until: None })
        }
        action => action,
    }
}

fn lets_the_rest_go(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    let action = crate::rollout::next(observed, plan, orders, now);
    let held = observed.workloads.iter().find(|(_, workload)| workload.is_held());
    match (&action, held) {
        (Action::Stop(Stop::Stalled(_)), Some((component, workload))) => Action::Do(Deed::Unhold(*component, workload.stamp.clone())),
        _ => action,
    }
}

fn unfences_early(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    match crate::rollout::next(observed, plan, orders, now) {
        Action::Do(Deed::Release(..)) if observed.metadata.is_fenced => Action::Do(Deed::Unfence),
        action => action,
    }
}

fn takes_back_in_any_order(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    let action = crate::rollout::next(observed, plan, orders, now);
    let first =
        observed.workloads.iter().find(|(_, workload)| !workload.is_held() && workload.before.as_ref().is_some_and(|before| workload.stored != *before));
    match (&action, first) {
        (Action::Do(Deed::Revert(..)), Some((component, workload))) => Action::Do(Deed::Revert(*component, workload.stamp.clone())),
        _ => action,
    }
}

fn forgets_the_stores(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    let mut observed = observed.clone();
    if plan.course == Course::Back {
        observed.dependencies.clear();
    }
    crate::rollout::next(&observed, plan, orders, now)
}

fn leaves_what_never_ran(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    match crate::rollout::next(observed, plan, orders, now) {
        Action::Do(Deed::Discard(..)) => Action::Stop(Stop::WentBack),
        action => action,
    }
}

fn records_a_part(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    match crate::rollout::next(observed, plan, orders, now) {
        Action::Stop(Stop::ChangeIncomplete(_)) => Action::Do(Deed::Record),
        action => action,
    }
}

fn removes_after_a_part(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    match (crate::rollout::next(observed, plan, orders, now), observed.workloads.get(&Component::IndexNode)) {
        (Action::Stop(Stop::ChangeIncomplete(_)), Some(left)) => Action::Do(Deed::Remove(Component::IndexNode, left.stamp.clone())),
        (action, _) => action,
    }
}

#[test]
fn a_planted_bug_per_invariant_is_found() {
    for (invariant, name, bug) in PLANTED {
        let scenario = named(name);
        let mut found = (0..TRIES).filter_map(|seed| run(&scenario, seed, *bug));
        assert!(found.any(|violation| violation.contains(invariant)), "nobody found: {invariant}");
    }
}

#[test]
fn an_api_server_that_takes_second_jobs_is_found() {
    let scenario = Scenario { ills: Ills { takes_second_jobs: true, ..Ills::default() }, ..named("migration of a standalone") };
    let mut found = (0..2 * TRIES).filter_map(|seed| run(&scenario, seed, crate::rollout::next));
    assert!(found.any(|violation| violation.contains("two jobs")));
}

/// Goes on until `until` is what comes next, and gives that deed; to the end where it never comes.
fn go_on(world: &mut World, plan: &Plan, until: impl Fn(&Deed) -> bool) -> Option<Deed> {
    for _ in 0..2_000 {
        for component in Component::ALL {
            while world.reconcile(component) | world.ready(component) | world.gone(component) {}
            while world.session(component) && !world.truth.sessions.get().is_some_and(|sessions| sessions.iter().any(|session| session.role == component)) {}
        }
        world.complete_dependency();
        world.end_job(true);
        match crate::rollout::next(&world.truth, plan, Orders::embedded(), world.now) {
            Action::Do(deed) if until(&deed) => return Some(deed),
            Action::Do(deed) => assert!(world.carry_out(&deed), "{deed:?}"),
            Action::Wait(_) => world.now = world.now.plus(60),
            Action::Stop(_) | Action::Done(_) => return None,
        }
    }
    panic!("no end");
}

/// A controller decides, is frozen, and writes when another one has gone back to the end.
#[test]
fn what_a_frozen_controller_decided_is_refused_after_an_abort() {
    let release = |deed: &Deed| matches!(deed, Deed::Release(Component::QueryNode, _));
    let migrate = |deed: &Deed| matches!(deed, Deed::Run(JobKind::Migrate));
    for (name, until) in [("mix coordinator, aborted", release as fn(&Deed) -> bool), ("migration of a standalone", migrate)] {
        let scenario = named(name);
        let mut world = World::new(scenario.setting.clone(), &scenario.order);
        world.begin();
        scenario.setting.after.keys().for_each(|component| world.write(*component));
        world.end(&scenario.setting.after);
        let plan = Plan::new(scenario.setting.pair);
        let frozen = go_on(&mut world, &plan, until).unwrap();
        let back = Plan { course: Course::Back, epoch: 1, ..plan };
        assert_eq!(go_on(&mut world, &back, |_| false), None);
        world.ills = Ills { takes_stale_writes: true, takes_second_jobs: true, ..Ills::default() };
        assert!(world.clone().carry_out(&frozen), "{name}: nothing else stands in its way");
        world.ills = Ills::default();
        assert!(!world.carry_out(&frozen), "{name}: {frozen:?}");
    }
}

#[test]
fn every_scenario_reaches_the_ends_that_it_is_about() {
    let mut ends: BTreeMap<&str, std::collections::BTreeSet<String>> = BTreeMap::new();
    let all = scenarios();
    for seed in 0..4_000 {
        let scenario = &all[seed as usize % all.len()];
        if let Ok(end) = Schedule::new(scenario, seed, crate::rollout::next).run() {
            ends.entry(scenario.name).or_default().insert(end);
        }
    }
    let told: Vec<String> = ends.iter().map(|(name, ends)| format!("{name}: {}", ends.iter().cloned().collect::<Vec<_>>().join(", "))).collect();
    assert_eq!(told.join("\n"), ENDS.trim());
}

/// Ends of the scenarios, by reason.
const ENDS: &str = "
into 2.6: Done
into 2.6, a part of it: ChangeIncomplete
into 2.6, aborted: Done, NoWayBack, WentBack
into 2.6, mix coordinator fails, rolls back: ProgressDeadlineExceeded
into 2.6, no standby: Done
into 2.6, query nodes fail: ProgressDeadlineExceeded
into 2.6, rolled back: Done, NoWayBack, WentBack
migration: Done
migration of a standalone: Done
migration of a standalone, webhook dead: Done
migration, aborted: Done, MigrationFailed, RestoreFailed, WentBack
migration, jobs fail: Done, MigrationFailed, RestoreFailed
migration, webhook dead: Done, MigrationFailed, RestoreFailed
mix coordinator to 2.5: Done
mix coordinator, a part of it: ChangeIncomplete
mix coordinator, aborted: Done, WentBack
mix coordinator, query nodes fail, rolls back: WentBack
mix coordinator, rolled back: Done, WentBack
separate coordinators in 2.2: Done
separate coordinators to 2.3: Done
standalone into 2.6: Done
to the mix coordinator: Done
to the mix coordinator, aborted: Done, NeedsApplier, WentBack
to the mix coordinator, deleted first: Done
to the mix coordinator, no standby: Done
to the mix coordinator, rolled back: Done, NeedsApplier, WentBack
within 2.6: Done
";
