//! The controller killed before and after each of its writes, one case for each; and what else may go wrong with a migration. Every case ends upgraded or safely stopped: the metadata is
//! whole, or a verified backup of it is there and nothing runs, and a next step is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::runtime::events::{Recorder, Reporter};
use milvus_guard::rollout::observed::JobKind;
use serde_json::{Value, json};

use super::super::caches::Caches;
use super::super::elsewhere::Elsewhere;
use super::super::kept::Kept;
use super::super::round::{Again, Work};
use super::super::status::{Phase, Status};
use super::super::{Moment, ReleaseKey};
use super::server::{Imagined, Point, Shared, client};
use super::{Ills, Tool, World, etcd, of_2_1, of_2_2};
use crate::admission::hold::{HOLD_ANNOTATIONS, STOPPED_ANNOTATION};
use crate::cluster::{annotation, label, text};
use crate::metadata::etcd::imagined::answer_by;
use crate::migration::KIND_LABEL;

/// The components of a cluster of 2.1.
const CLUSTER: [&str; 8] = ["datacoord", "datanode", "indexcoord", "indexnode", "proxy", "querycoord", "querynode", "rootcoord"];

/// Rounds after which something turns in a circle.
const LONGEST: usize = 600;

/// Rounds in which nothing moves, after which nothing will.
const STILL: usize = 2;

/// Where a run ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// 2.2.16 serves, on metadata of 2.2.
    Upgraded,
    /// 2.1.4 serves, on its metadata as it was: why.
    AsBefore(String),
    /// 2.2.16 runs on metadata of 2.2, all of it or what was started, and yet it stopped: why.
    After(String),
    /// Nothing runs and nothing can start, the metadata is whole or in a verified backup: why.
    Stopped(String),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Upgraded => f.write_str("upgraded"),
            Self::AsBefore(why) => write!(f, "2.1.4 runs again ({why})"),
            Self::After(why) => write!(f, "2.2.16 runs ({why})"),
            Self::Stopped(why) => write!(f, "stopped, fenced, backup kept ({why})"),
        }
    }
}

/// The imagined cluster, and etcd as this thread sees it.
pub(super) struct Stage {
    shared: Shared,
    elsewhere: Arc<Elsewhere>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let world = World::new(&["standalone"], &json!({}));
        let shared: Shared = Arc::new(Mutex::new(Imagined { world, points: Vec::new() }));
        let asked = Arc::clone(&shared);
        let elsewhere: Arc<Elsewhere> = Arc::default();
        let waits = Arc::clone(&elsewhere);
        answer_by(move |request| {
            assert_eq!(waits.waiting(), 1, "who asks etcd leaves its place to others");
            etcd::range(&asked.lock().unwrap().world, request)
        });
        Self { shared, elsewhere }
    }

    /// Runs a controller from this state of the cluster on, until nothing moves any more: the state then, and its writes.
    pub(super) async fn run(&self, world: World) -> (World, Vec<Point>) {
        *self.shared.lock().unwrap() = Imagined { world, points: Vec::new() };
        self.settle().await;
        let has_arrived = std::mem::replace(&mut self.shared.lock().unwrap().world.has_arrived, true);
        if !has_arrived {
            self.shared.lock().unwrap().world.arrive();
            self.settle().await;
        }
        let mut imagined = self.shared.lock().unwrap();
        (imagined.world.clone(), std::mem::take(&mut imagined.points))
    }

    /// Rounds, with time for everybody else between them.
    async fn settle(&self) {
        let client = client(&self.shared);
        let clock = Arc::clone(&self.shared);
        let mut work = Work {
            client: client.clone(),
            caches: Caches::of([]),
            recorder: Recorder::new(client, Reporter { controller: "test".into(), instance: None }),
            revisions: Arc::default(),
            others: Arc::default(),
            excepted: Some(Arc::default()),
            elsewhere: Arc::clone(&self.elsewhere),
            metrics: Arc::default(),
            kept: Kept::AsObjects,
            image: Some("guard:1".into()),
            may_write: Arc::new(|| true),
            heeds_helm: true,
            clock: Arc::new(move || Moment(clock.lock().unwrap().world.now)),
        };
        let key = ReleaseKey { namespace: "db".into(), name: "m".into() };
        let mut still = 0;
        for _ in 0..LONGEST {
            let version = {
                let world = &self.shared.lock().unwrap().world;
                work.caches = Caches::of(world.objects.values());
                work.excepted.as_ref().unwrap().put("db".into(), world.waived.clone());
                world.version
            };
            let again = work.round(&key).await.unwrap_or(Again::After(Duration::from_secs(2)));
            let world = &mut self.shared.lock().unwrap().world;
            world.rounds += 1;
            let wrote = world.version != version;
            // Where nothing was done, time passes until it would be looked at again.
            let wait = if let (false, Again::After(wait)) = (wrote, again) { Some(wait.as_secs()) } else { None };
            let moved = world.step(wait) || wrote || world.is_etcd_down();
            still = if moved { 0 } else { still + 1 };
            let waits = again != Again::Never && !is_stalled(world);
            if still >= STILL && !waits {
                return;
            }
        }
        let world = &self.shared.lock().unwrap().world;
        panic!("it turns in a circle: {:#}", world.upgrade()["status"]);
    }
}

fn is_stalled(world: &World) -> bool {
    Status::of(world.upgrade()).condition("Stalled").is_some()
}

/// Where it ended, and that what must hold there does.
fn end_of(world: &World) -> Result<End, String> {
    let told = || format!("{:#}\nviolations: {:?}\nmetadata: {:?}", world.upgrade()["status"], world.violations, world.metadata.keys().collect::<Vec<_>>());
    let must = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {}", told())) };
    must(world.violations.is_empty(), "what must never be")?;
    let status = Status::of(world.upgrade());
    let pods: Vec<&Value> = world.all("pods").filter(|pod| label(pod, KIND_LABEL).is_none()).collect();
    let runs = |tag: &str| pods.len() == world.components.len() && pods.iter().all(|pod| text(pod, "/spec/containers/0/image").unwrap().ends_with(tag));
    let has_replicas = world.all("deployments").all(|object| object["spec"]["replicas"] == json!(1) && annotation(object, STOPPED_ANNOTATION).is_none());
    let reason = || status.condition("Stalled").map(|condition| condition.reason.clone()).unwrap_or_default();
    let is_told = status.condition("Stalled").is_some() && status.message.as_ref().is_some_and(|message| !message.is_empty());
    if status.phase == Some(Phase::Completed) {
        must(world.metadata == of_2_2() && runs(super::AFTER) && has_replicas && !world.is_fenced(), "complete, and not upgraded")?;
        let is_held = |object: &Value| HOLD_ANNOTATIONS.iter().any(|name| annotation(object, name).is_some()) || object.pointer("/spec/paused").is_some();
        let is_owned = |object: &Value| object.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(|entries| !entries.is_empty());
        must(!world.all("deployments").any(|object| is_held(object) || is_owned(object)), "complete, and something of ours is left")?;
        must(
            world.receipts() <= 1 && world.witnessed().last().is_some_and(|newest| newest.ends_with(" 2.2.16")),
            "complete, without a receipt, or with too many",
        )?;
        return Ok(End::Upgraded);
    }
    must(is_told, "neither complete nor stopped with a reason")?;
    if world.metadata == of_2_1() && runs(super::BEFORE) && has_replicas && !world.is_fenced() {
        return Ok(End::AsBefore(reason()));
    }
    let runs_only_after = pods.iter().all(|pod| text(pod, "/spec/containers/0/image").unwrap().ends_with(super::AFTER));
    if world.metadata == of_2_2() && runs_only_after && !world.is_fenced() && !pods.is_empty() {
        return Ok(End::After(reason()));
    }
    let is_ending = |pod: &&Value| pod.pointer("/metadata/deletionTimestamp").is_some();
    must(pods.iter().all(is_ending) && world.is_fenced(), "neither of both serves, and something runs")?;
    let is_backed_up = world.backups.values().any(|backup| *backup == of_2_1());
    must(world.metadata == of_2_1() || world.metadata == of_2_2() || is_backed_up, "metadata is lost")?;
    Ok(End::Stopped(reason()))
}

fn start(components: &[&'static str], spec: &Value, ills: Ills) -> World {
    let mut world = World::new(components, spec);
    world.ills = ills;
    world
}

/// One row of a table: a write, and where it ends when the controller is killed before it and after it.
struct Row {
    what: String,
    ends: [End; 2],
}

/// What is the same for whoever comes later: not the time, and not how often was looked.
fn is_same(one: &World, other: &World) -> bool {
    one.objects == other.objects && one.metadata == other.metadata && one.sessions == other.sessions && one.backups == other.backups
}

impl Stage {
    async fn end(&self, world: World, of: &str) -> End {
        end_of(&self.run(world).await.0).unwrap_or_else(|why| panic!("{of}: {why}"))
    }

    /// The run that nothing disturbs, and a case for each point of it; `then`: what else happens there.
    async fn every_point(&self, world: World, then: impl Fn(&mut World)) -> (End, Vec<Row>) {
        let (last, points) = self.run(world).await;
        let undisturbed = end_of(&last).unwrap_or_else(|why| panic!("undisturbed: {why}"));
        let mut rows: Vec<Row> = Vec::new();
        let mut last: Option<(World, End)> = None;
        for point in points {
            let mut ends = Vec::new();
            for (side, state) in [("before", point.before), ("after", point.after)] {
                let end = match last.take().filter(|(known, _)| is_same(known, &state)) {
                    Some((_, end)) => end,
                    None => {
                        let mut disturbed = state.clone();
                        then(&mut disturbed);
                        self.end(disturbed, &format!("{side} `{}`", point.what)).await
                    }
                };
                ends.push(end.clone());
                last = Some((state, end));
            }
            rows.push(Row { what: point.what, ends: ends.try_into().unwrap() });
        }
        (undisturbed, rows)
    }
}

/// What goes wrong, in words; and the reason that it ends with, where it does not end upgraded.
fn scenarios() -> Vec<(&'static str, Value, Ills, &'static str)> {
    let tool = |tool| Ills { tool, ..Ills::default() };
    let failing = |kinds: &[JobKind]| Ills { failing: kinds.to_vec(), ..Ills::default() };
    let none = || json!({});
    vec![
        ("nothing", none(), Ills::default(), "upgraded"),
        ("the tool fails at its start", none(), tool(Tool::FailsFirst), "2.1.4 runs again (MigrationFailed)"),
        ("the tool dies when half is deleted", none(), tool(Tool::DiesHalfDeleted), "2.1.4 runs again (MigrationFailed)"),
        ("the tool dies when half is written", none(), tool(Tool::DiesHalfWritten), "2.1.4 runs again (MigrationFailed)"),
        ("the tool hangs when half is written", json!({"timeouts": {"migration": "90s"}}), tool(Tool::HangsHalfWritten), "2.1.4 runs again (MigrationFailed)"),
        ("the tool does nothing, and says that all is well", none(), tool(Tool::DoesNothing), "2.1.4 runs again (MigrationFailed)"),
        ("the backup fails", none(), failing(&[JobKind::Backup]), "2.1.4 runs again (MigrationFailed)"),
        ("the backup is not what is in etcd", none(), failing(&[JobKind::Verify]), "2.1.4 runs again (MigrationFailed)"),
        (
            "the claim for the backup is never bound",
            json!({"timeouts": {"migration": "90s"}}),
            Ills { is_unbound: true, ..Ills::default() },
            "2.1.4 runs again (MigrationFailed)",
        ),
        (
            "the tool dies when half is deleted, and the restore fails",
            none(),
            Ills { tool: Tool::DiesHalfDeleted, ..failing(&[JobKind::Restore]) },
            "stopped, fenced, backup kept (RestoreFailed)",
        ),
    ]
}

/// The document that tells all of it, and the variable that makes it anew (`write`) or tries every line of it (`all`).
const DOCUMENT: &str = include_str!("../../migration/crash-points.md");
const VARIABLE: &str = "MILVUS_GUARD_CRASH_POINTS";

/// Kills the controller at every write of a scenario; all of them have to end as the one that is not killed does.
async fn killed_everywhere(stage: &Stage, components: &[&'static str], (what, spec, ills, expected): &(&'static str, Value, Ills, &'static str)) -> Vec<Row> {
    let (end, rows) = stage.every_point(start(components, spec, ills.clone()), |_| ()).await;
    assert_eq!(end.to_string(), *expected, "{what}");
    for row in &rows {
        assert_eq!(row.ends, [end.clone(), end.clone()], "{what}: `{}`", row.what);
    }
    rows
}

fn line((what, _, _, end): &(&'static str, Value, Ills, &'static str), components: usize, writes: usize) -> String {
    format!("| {what} | {components} | {writes} | {} | {end} |\n", writes * 2)
}

/// Some scenarios here; all of them, and a whole cluster, where the variable is set.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "the whole search, and its document anew, on demand")]
async fn killed_before_or_after_any_write_a_migration_ends_where_it_would_have() {
    let stage = Stage::new();
    let mode = std::env::var(VARIABLE).ok();
    let scenarios = scenarios();
    let quick = ["nothing", "the tool dies when half is deleted", "the tool dies when half is deleted, and the restore fails"];
    let (mut table, mut summary) = (String::new(), String::new());
    for scenario in scenarios.iter().filter(|(what, ..)| mode.is_some() || quick.contains(what)) {
        let rows = killed_everywhere(&stage, &["standalone"], scenario).await;
        let told = line(scenario, 1, rows.len());
        if scenario.0 == "nothing" {
            table = rows.iter().map(|row| format!("| {} | {} | {} |\n", row.what, row.ends[0], row.ends[1])).collect();
        }
        assert!(mode.is_some() || DOCUMENT.contains(&told), "{told}");
        summary += &told;
    }
    if mode.is_some() {
        let rows = killed_everywhere(&stage, &CLUSTER, &scenarios[0]).await;
        summary += &line(&scenarios[0], CLUSTER.len(), rows.len());
    }
    let (intro, _) = DOCUMENT.split_once("\n| ").unwrap();
    let head = "| what goes wrong besides | workloads | writes | cases | every case ends |\n| --- | --- | --- | --- | --- |\n";
    let rows = "| write of the controller | killed before it | killed after it |\n| --- | --- | --- |\n";
    let whole = format!("{intro}\n{head}{summary}\nThe first line, write by write:\n\n{rows}{table}");
    match mode.as_deref() {
        Some("write") => std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/migration/crash-points.md"), whole).unwrap(),
        Some(_) => assert_eq!(whole, DOCUMENT),
        None => assert!(DOCUMENT.ends_with(&table), "{table}"),
    }
}

#[tokio::test]
async fn an_applier_that_puts_replicas_back_all_the_time_gets_no_pod_and_stops_nothing() {
    let stage = Stage::new();
    for components in [&["standalone"][..], &CLUSTER] {
        let ills = Ills { applier_scales: true, ..Ills::default() };
        let end = stage.end(start(components, &json!({}), ills), "an applier").await;
        assert_eq!(end, End::Upgraded, "{components:?}");
        let ills = Ills { applier_scales: true, tool: Tool::DiesHalfDeleted, ..Ills::default() };
        let end = stage.end(start(components, &json!({}), ills), "an applier").await;
        assert_eq!(end.to_string(), "2.1.4 runs again (MigrationFailed)", "{components:?}");
    }
}

#[tokio::test]
async fn etcd_may_be_away_at_any_time() {
    let stage = Stage::new();
    let (last, _) = stage.run(start(&["standalone"], &json!({}), Ills::default())).await;
    let mut failed = 0;
    for first in 0..last.rounds {
        let ills = Ills { outage: (first, 2), ..Ills::default() };
        let (mut world, _) = stage.run(start(&["standalone"], &json!({}), ills)).await;
        let end = end_of(&world).unwrap();
        if end != End::Upgraded {
            // A Job that met it failed; the next attempt succeeds.
            assert_eq!(end.to_string(), "2.1.4 runs again (MigrationFailed)", "from round {first} on");
            failed += 1;
            world.ask("retry", json!(1));
            assert_eq!(stage.end(world, "the next attempt").await, End::Upgraded);
        }
    }
    assert!((1..last.rounds / 2).contains(&failed), "{failed} of {}", last.rounds);
}

#[tokio::test]
async fn a_pod_or_a_session_that_stays_is_told_and_waited_for_and_once_it_is_gone_it_goes_on() {
    let stage = Stage::new();
    let for_ever = u64::MAX;
    for (ills, reason, words) in [
        (Ills { pod_stays_until: for_ever, ..Ills::default() }, "PodsLeft", "pods do not end"),
        (Ills { session_stays_until: for_ever, ..Ills::default() }, "SessionLeft", "rootcoord of m-milvus-standalone-1"),
    ] {
        let (mut world, _) = stage.run(start(&["standalone"], &json!({}), ills)).await;
        let end = end_of(&world).unwrap();
        assert_eq!(end, End::Stopped(reason.into()));
        let message = Status::of(world.upgrade()).message.unwrap();
        assert!(message.contains(words), "{message}");
        assert_eq!((world.all("jobs").count(), &world.metadata), (0, &of_2_1()));
        world.ills = Ills::default();
        assert_eq!(stage.end(world, reason).await, End::Upgraded);
    }
}

#[tokio::test]
async fn an_abort_at_any_write_goes_back_or_tells_why_there_is_no_way_back() {
    let stage = Stage::new();
    let (_, rows) = stage.every_point(start(&["standalone"], &json!({}), Ills::default()), |world| world.ask("abort", json!(true))).await;
    let ends: Vec<&End> = rows.iter().flat_map(|row| &row.ends).collect();
    let [back, kept] = [End::AsBefore("WentBack".into()), End::After("NoWayBack".into())];
    let turn = ends.iter().position(|end| **end != back).unwrap();
    assert!(ends[turn..ends.len() - 1].iter().all(|end| **end == kept), "{ends:?}");
    assert_eq!(*ends[ends.len() - 1], End::Upgraded);
    assert!(rows[turn / 2].what.starts_with("Deployment standalone: replicas 0 to 1"), "{}", rows[turn / 2].what);
}

/// Deletes the `GuardedUpgrade` after each write of a scenario, and once nothing moves any more declares it anew; the ends.
async fn deleted_everywhere(stage: &Stage, ills: &Ills, declares: impl Fn(&mut Value)) -> Vec<(String, End)> {
    let (_, points) = stage.run(start(&["standalone"], &json!({}), ills.clone())).await;
    let mut ends = Vec::new();
    for point in points {
        let mut world = point.after;
        let mut declared = world.undeclare();
        let (mut world, done) = stage.run(world).await;
        let done: Vec<&str> = done.iter().map(|point| point.what.as_str()).filter(|what| !what.ends_with("owns no field any more")).collect();
        assert!(done.is_empty(), "deleted after `{}`, and yet: {done:?}", point.what);
        assert!(world.violations.is_empty(), "deleted after `{}`: {:?}", point.what, world.violations);
        declares(&mut declared);
        world.declare(declared);
        ends.push((point.what.clone(), stage.end(world, &format!("deleted after `{}`", point.what)).await));
    }
    ends
}

#[tokio::test]
async fn what_is_deleted_at_any_write_goes_on_once_it_is_declared_anew_and_not_before() {
    let stage = Stage::new();
    for (what, end) in deleted_everywhere(&stage, &Ills::default(), |_| ()).await {
        assert_eq!(end, End::Upgraded, "{what}");
    }
    // A new attempt, in which the tool dies again.
    for (what, end) in deleted_everywhere(&stage, &Ills { tool: Tool::DiesHalfDeleted, ..Ills::default() }, |_| ()).await {
        assert_eq!(end.to_string(), "2.1.4 runs again (MigrationFailed)", "{what}");
    }
}

#[tokio::test]
async fn what_is_deleted_at_any_write_goes_back_where_it_is_declared_anew_with_an_abort() {
    let stage = Stage::new();
    let ends = deleted_everywhere(&stage, &Ills::default(), |declared| declared["spec"]["abort"] = json!(true)).await;
    let back = ends.iter().take_while(|(_, end)| matches!(end, End::AsBefore(_))).count();
    assert!(ends[back].0.starts_with("Deployment standalone: replicas 0 to 1"), "{ends:?}");
    assert!(ends[back..].iter().all(|(_, end)| matches!(end, End::After(_) | End::Upgraded)), "{ends:?}");
}

#[tokio::test]
async fn a_retry_at_any_write_ends_well() {
    let stage = Stage::new();
    let ills = Ills { tool: Tool::DiesHalfDeleted, ..Ills::default() };
    let (end, rows) = stage.every_point(start(&["standalone"], &json!({}), ills), |world| world.ask("retry", json!(1))).await;
    for row in &rows {
        assert_eq!(row.ends, [end.clone(), end.clone()], "{}", row.what);
    }
}

#[tokio::test]
async fn what_failed_is_put_right_by_a_retry() {
    let stage = Stage::new();
    let failing = Ills { tool: Tool::DiesHalfDeleted, failing: vec![JobKind::Restore], ..Ills::default() };
    let (mut world, _) = stage.run(start(&["standalone"], &json!({}), failing)).await;
    assert_eq!(end_of(&world).unwrap().to_string(), "stopped, fenced, backup kept (RestoreFailed)");
    world.ills = Ills::default();
    world.ask("retry", json!(1));
    let (mut world, _) = stage.run(world).await;
    assert_eq!(end_of(&world).unwrap().to_string(), "2.1.4 runs again (MigrationFailed)");
    world.ask("retry", json!(2));
    assert_eq!(stage.end(world, "again").await, End::Upgraded);
}
