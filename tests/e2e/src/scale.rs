//! `scale`: what the controller takes where there are many releases, beside a real control plane on the same machine.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what it is for")]

pub mod fleet;
pub mod hops;

use std::time::{Duration, Instant};

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;

use self::fleet::{Fleet, WORKLOADS};
use self::hops::Hops;
use crate::control_plane::ControlPlane;
use crate::load::gauge::{Busy, Memory, high_water};
use crate::sandbox::wait;
use crate::webhook::{Controller, Installed};

/// Arguments of `scale`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How many releases there are; each of the numbers is measured, from the smallest on
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_values_t = [50, 500])]
    releases: Vec<usize>,
    /// Pods of each workload
    #[arg(long, default_value_t = 2)]
    pods: usize,
    /// ReplicaSets of earlier revisions of each workload
    #[arg(long, default_value_t = 1)]
    history: usize,
    /// How long nothing happens while processor time is counted
    #[arg(long, default_value_t = 300)]
    idle_seconds: u64,
    /// How many changes of pods' readiness tell what one event costs
    #[arg(long, default_value_t = 2000)]
    events: usize,
}

/// What is measured at one number of releases.
struct Figures {
    releases: usize,
    ready: Duration,
    caught_up: Duration,
    /// Processor time until all caches are filled, in seconds.
    start: f64,
    /// How long each component but the first waited after all before it were complete.
    hops: Vec<Duration>,
    /// Processor time of one whole upgrade, in seconds.
    upgrade: f64,
    /// Processor time of one event, in microseconds.
    event: f64,
    /// Processor time at rest, in percent of a core.
    idle: f64,
    after_start: Memory,
    at_rest: Memory,
    most: f64,
    /// The webhook's, which remembers workloads too.
    webhook: Memory,
    /// What everything else took of the machine's processors while hops were measured, in percent of a core.
    others: f64,
}

/// Runs the measurements, and prints a table.
pub async fn run(arguments: Arguments) {
    let Some(plane) = ControlPlane::own("scale").await else { return };
    let mut fleet = Fleet::new(plane, arguments.pods, arguments.history).await;
    let mut sizes = arguments.releases.clone();
    sizes.sort_unstable();
    let mut all = Vec::new();
    for size in sizes {
        let begin = Instant::now();
        fleet.grow_to(size).await;
        eprintln!("{size} releases, {} workloads, {} pods: made in {:?}", size * WORKLOADS, size * WORKLOADS * arguments.pods, begin.elapsed());
        all.push(measure(plane, &fleet, &arguments).await);
    }
    print(&all);
    plane.end();
}

async fn measure(plane: &'static ControlPlane, fleet: &Fleet, arguments: &Arguments) -> Figures {
    let last = fleet.last();
    let timeouts = ["helmStorage", "gitops", "workloads", "dependencies", "own"].map(|gate| format!("gates.{gate}.timeoutSeconds=10"));
    let sets: Vec<&str> = ["limits.budget=8s"].into_iter().chain(timeouts.iter().map(String::as_str)).collect();
    let mut guard = Installed::new(plane, &format!("s{}", fleet.size()), 1, &[&last.namespace], &sets).await;
    // A change came while no controller was there, to the release that is looked at last.
    fleet.change(last, "v2.5.22").await;
    let mut hops = Hops::of(plane, last, ":v2.5.22").await;
    let begin = Instant::now();
    let mut controller = guard.controller("controller", &[]);
    controller.wait_until_ready().await;
    let ready = begin.elapsed();
    let process = controller.process().inner_id().unwrap();
    let (after_start, start) = (Memory::of(process), Busy::now(process).of_guard());
    let caught_up = hops.first_release().await.duration_since(begin);
    let busy = Busy::now(process);
    hops.all_complete().await;
    completed(plane, fleet, &controller).await;
    let used = Busy::now(process).since(&busy);
    // From here on nothing moves but what is moved.
    plane.stop_controllers();
    let event = event(plane, process, arguments.events).await;
    let resting = Busy::now(process);
    tokio::time::sleep(Duration::from_secs(arguments.idle_seconds)).await;
    let rested = Busy::now(process).since(&resting);
    let figures = Figures {
        releases: fleet.size(),
        ready,
        caught_up,
        start,
        hops: hops.waits(),
        upgrade: used.guard,
        event,
        idle: rested.guard / rested.time.as_secs_f64() * 100.0,
        after_start,
        at_rest: Memory::of(process),
        most: high_water(process),
        webhook: Memory::of(guard.replicas[0].process().inner_id().unwrap()),
        others: used.others / used.time.as_secs_f64() * 100.0,
    };
    eprintln!("{}", figures.line());
    drop(controller);
    plane.start_controllers();
    figures
}

/// Waits for the end of the upgrade that was measured.
async fn completed(plane: &ControlPlane, fleet: &Fleet, controller: &Controller) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("guard.milvus-guard.dev", "v1alpha1", "GuardedUpgrade"));
    let upgrades: Api<DynamicObject> = Api::namespaced_with(plane.admin().await.client, &fleet.last().namespace, &resource);
    wait(&format!("a completed upgrade\n{}", controller.tail()), async || {
        let upgrade = upgrades.get_opt(&fleet.last().name).await.ok()??;
        (upgrade.data["status"]["phase"] == "Completed").then_some(())
    })
    .await;
}

/// Microseconds of the controller's processor time for one pod that becomes ready or unready, over releases from all of the cluster.
#[allow(clippy::cast_precision_loss, reason = "counts are small")]
async fn event(plane: &ControlPlane, process: u32, events: usize) -> f64 {
    let client = plane.admin().await.client;
    let mut pods = Api::<Pod>::all(client.clone()).list(&ListParams::default().match_any()).await.unwrap().items;
    // Neighbours in the list are of one release.
    let step = (pods.len() / 997).max(1);
    pods = pods.into_iter().step_by(step).collect();
    quiet(process).await;
    let before = Busy::now(process);
    for at in 0..events {
        let (pod, is_ready) = (&pods[at % pods.len()], at / pods.len() % 2 == 1);
        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        let condition = json!({"type": "Ready", "status": if is_ready { "True" } else { "False" }, "lastTransitionTime": now});
        let patch = json!({"status": {"conditions": [condition]}});
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap());
        api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(&patch)).await.unwrap();
    }
    quiet(process).await;
    let used = Busy::now(process).since(&before).guard;
    // All are ready again.
    for pod in &pods {
        let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap());
        api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(&patch)).await.unwrap();
    }
    quiet(process).await;
    used / events as f64 * 1e6
}

/// Waits until the controller has nothing to do.
async fn quiet(process: u32) {
    wait("a controller that rests", async || {
        let before = Busy::now(process);
        tokio::time::sleep(Duration::from_secs(2)).await;
        (Busy::now(process).since(&before).guard < 0.015).then_some(())
    })
    .await;
}

impl Figures {
    fn line(&self) -> String {
        let hops: Vec<String> = self.hops.iter().map(|wait| wait.as_millis().to_string()).collect();
        format!(
            "{} releases: ready {:?} with {:.2} s CPU, caught up {:?}, hops [{}] ms, an upgrade {:.2} s CPU, an event {:.0} us CPU, idle {:.3} %, resident {:.1} MiB after the start, {:.1} at rest (anonymous {:.1}), at most {:.1}",
            self.releases,
            self.ready,
            self.start,
            self.caught_up,
            hops.join(" "),
            self.upgrade,
            self.event,
            self.idle,
            self.after_start.resident,
            self.at_rest.resident,
            self.at_rest.anonymous,
            self.most
        )
    }

    fn longest_hop(&self) -> Duration {
        self.hops.iter().copied().max().unwrap_or_default()
    }
}

/// A figure: its name, what it should be, and how it is written.
type Row = (&'static str, &'static str, fn(&Figures) -> String);

const ROWS: [Row; 11] = [
    ("memory at rest, MiB (of these not of a file)", "< 60", |figures| format!("{:.1} ({:.1})", figures.at_rest.resident, figures.at_rest.anonymous)),
    ("the most memory ever, MiB", "< 60", |figures| format!("{:.1}", figures.most)),
    ("processor time at rest, % of a core", "< 1", |figures| format!("{:.3}", figures.idle)),
    ("the next component after its gate opens, longest, ms", "< 1000", |figures| figures.longest_hop().as_millis().to_string()),
    ("start to caught up, ms", "< 10000", |figures| figures.caught_up.as_millis().to_string()),
    ("start to filled caches, ms", "", |figures| figures.ready.as_millis().to_string()),
    ("processor time of the start, ms", "", |figures| format!("{:.0}", figures.start * 1000.0)),
    ("processor time of an event, us", "flat", |figures| format!("{:.0}", figures.event)),
    ("processor time of an upgrade, ms", "flat", |figures| format!("{:.0}", figures.upgrade * 1000.0)),
    ("the webhook's memory at rest, MiB (of these not of a file)", "", |figures| format!("{:.1} ({:.1})", figures.webhook.resident, figures.webhook.anonymous)),
    ("others' CPU meanwhile, % of a core", "", |figures| format!("{:.0}", figures.others)),
];

fn print(all: &[Figures]) {
    let cells = |cells: Vec<String>| println!("| {} |", cells.join(" | "));
    cells(["measured".to_owned(), "target".to_owned()].into_iter().chain(all.iter().map(|figures| format!("{} releases", figures.releases))).collect());
    println!("|---|---|{}", "---|".repeat(all.len()));
    for (name, target, of) in ROWS {
        cells([name.to_owned(), target.to_owned()].into_iter().chain(all.iter().map(of)).collect());
    }
}
