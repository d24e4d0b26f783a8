//! `load`: how fast the webhook answers and how much memory it takes, beside a real control plane on the same machine.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what it is for")]

pub mod bodies;
pub mod client;
pub mod gauge;
mod shapes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};

use self::bodies::{Bodies, Stored};
use self::client::{Load, Outcome, Pace, Protocol, Target, send};
use self::gauge::{Busy, Histogram, Memory, Used, high_water};
use crate::commands::Program;
use crate::control_plane::ControlPlane;
use crate::sandbox::Sandbox;
use crate::users::User;
use crate::webhook::Guard;

/// The handler's own time.
const HANDLER: &str = "milvus_guard_handler_seconds";

/// Reads of the API server meanwhile.
const REMOTE: &str = "milvus_guard_remote_read_seconds";

/// Arguments of `load`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only measurements with one of these words in their name
    #[arg(long, value_name = "WORD")]
    only: Vec<String>,
    /// How long one round lasts, in seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds of each measurement; the one in the middle is told, with the p99 of all of them
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// HelmReleases a second
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// More arguments of `milvus-guard webhook`
    #[arg(last = true)]
    webhook: Vec<String>,
}

/// One measurement.
struct Measure {
    name: String,
    /// The handler's p99 that is wanted, in milliseconds.
    limit: Option<f64>,
    load: Load,
}

/// What a round gave.
struct Round {
    outcome: Outcome,
    handler: Histogram,
    remote: Histogram,
    used: Used,
}

/// Runs the measurements, and prints a table of each kind.
pub async fn run(arguments: Arguments) {
    let Some(plane) = ControlPlane::own("load").await else { return };
    let sandbox = Sandbox::on(plane, "load").await;
    let chart = sandbox.chart("4.2.58");
    sandbox.helm(Program::Helm3, ["install", "m", chart.to_str().unwrap(), "--wait"]).ok().await;
    let admin = plane.admin().await;
    let mut more: Vec<&str> = vec!["--log-level=info"];
    more.extend(arguments.webhook.iter().map(String::as_str));

    starts(plane, &admin, &more, arguments.rounds).await;
    let mut guard = Guard::start(plane, &admin, "measured", &more).await;
    let process = guard.process().inner_id().unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    remember("idle, 3 s after the start", Memory::of(process), process);

    let target = Target { port: guard.port(), authority: guard.authority().certificate().to_owned() };
    let secrets: Api<Secret> = sandbox.api();
    let stored = secrets.get("sh.helm.release.v1.m.v1").await.unwrap();
    let stored = Stored::of(serde_json::to_value(stored).unwrap());
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|word| name.contains(word.as_str()));
    println!(
        "\n| measured | HTTP | sent/s | answered/s | handler p50 ms | p99 ms | p99 of all rounds | within limit | remote reads, mean ms | client p50 ms | p99 ms | CPU us/review | others' CPU | answers |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for measure in measures(&arguments, &stored, &sandbox.namespace) {
        if !wanted(&measure.name) {
            continue;
        }
        if let Some(kib) = size_of_release(&measure.name) {
            // What came before is about as large as what arrives.
            let before = serde_json::from_value(stored.secret(kib)).unwrap();
            secrets.replace("sh.helm.release.v1.m.v1", &PostParams::default(), &before).await.unwrap();
        }
        let mut rounds = Vec::new();
        for _ in 0..arguments.rounds {
            rounds.push(round(&guard, process, &target, &measure.load).await);
        }
        println!("{}", row(&measure, rounds));
    }
    println!();
    remember("right after the load", Memory::of(process), process);
    if wanted("bombs") {
        bombs(&guard, process, &target, stored.harmful(&sandbox.namespace), &arguments, &sandbox.namespace).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    remember("5 s later", Memory::of(process), process);
    drop(guard);
    plane.end();
}

fn remember(when: &str, memory: Memory, process: u32) {
    println!(
        "memory {when}: resident {:.1} MiB, proportional {:.1} MiB, anonymous {:.1} MiB; most resident ever {:.1} MiB",
        memory.resident,
        memory.proportional,
        memory.anonymous,
        high_water(process)
    );
}

/// From the start of the program to the first time that it says it is ready.
async fn starts(plane: &ControlPlane, admin: &User, more: &[&str], rounds: usize) {
    let mut taken = Vec::new();
    for number in 0..rounds.max(1) {
        let begin = Instant::now();
        let guard = Guard::start_only(plane, admin, &format!("start-{number}"), more);
        while !matches!(guard.get("/readyz"), Some((200, _))) {
            assert!(begin.elapsed() < Duration::from_secs(60), "it does not become ready");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        taken.push(begin.elapsed().as_millis());
    }
    taken.sort_unstable();
    println!("start to ready: {} ms ({taken:?})", taken[taken.len() / 2]);
}

fn measures(arguments: &Arguments, stored: &Stored, namespace: &str) -> Vec<Measure> {
    let time = Duration::from_secs(arguments.seconds);
    let mut all = Vec::new();
    let mut add = |name: String, limit: Option<f64>, path: &'static str, bodies: &Bodies, protocol: Protocol, pace: Pace| {
        let (connections, streams) = if protocol == Protocol::H2 { (2, 32) } else { (16, 1) };
        let load = Load { path, bodies: Arc::clone(bodies), protocol, pace, connections, streams, time };
        all.push(Measure { name, limit, load });
    };
    let releases = [
        ("HelmRelease", bodies::helm_releases(namespace)),
        ("HelmRelease never seen", bodies::unseen_helm_releases(namespace)),
        ("HelmRelease again and again", bodies::helm_releases_again(namespace)),
    ];
    for (pace, limit, word) in [(Pace::PerSecond(arguments.rate), Some(1.0), ""), (Pace::AsAnswered, None, ", the most")] {
        for (name, bodies) in &releases {
            for protocol in [Protocol::H2, Protocol::Http1] {
                add(format!("{name}{word}"), limit, "/gates/gitops", bodies, protocol, pace);
            }
        }
    }
    for (kib, limit, rate) in [(100, 2.0, 50), (1024, 15.0, 10)] {
        let bodies = stored.upgraded("v2.5.22").reviews(kib, namespace);
        add(format!("Secret of {kib} KiB"), Some(limit), "/gates/helm-storage", &bodies, Protocol::H2, Pace::PerSecond(rate));
    }
    for (name, path, bodies) in bodies::strangers(namespace) {
        add(name.into(), Some(0.1), path, &bodies, Protocol::H2, Pace::PerSecond(500));
    }
    for (kib, rate) in [(20, 200), (100, 100), (1024, 10)] {
        let bodies = stored.of_another().reviews(kib, namespace);
        add(format!("Secret of another chart, {kib} KiB"), None, "/gates/helm-storage", &bodies, Protocol::H2, Pace::PerSecond(rate));
    }
    all
}

fn size_of_release(name: &str) -> Option<usize> {
    name.strip_prefix("Secret of ")?.strip_suffix(" KiB")?.parse().ok()
}

async fn round(guard: &Guard, process: u32, target: &Target, load: &Load) -> Round {
    // The first reviews of each kind fill what is computed once.
    let warm = Load { time: Duration::from_millis(300), ..load.clone() };
    send(target, &warm).await;
    let gate = format!("gate=\"{}\"", load.path.trim_start_matches("/gates/"));
    let (before, busy) = (guard.metrics(), Busy::now(process));
    let outcome = send(target, load).await;
    let (used, after) = (Busy::now(process).since(&busy), guard.metrics());
    let histogram = |name: &str, labels: &str| Histogram::read(&after, name, labels).since(&Histogram::read(&before, name, labels));
    Round { outcome, handler: histogram(HANDLER, &gate), remote: histogram(REMOTE, ""), used }
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn row(measure: &Measure, mut rounds: Vec<Round>) -> String {
    let by_rate = measure.load.pace == Pace::AsAnswered;
    let key = |round: &Round| if by_rate { round.outcome.rate() } else { round.handler.quantile(0.99) };
    rounds.sort_by(|a, b| key(a).total_cmp(&key(b)));
    let all: Vec<String> = rounds.iter().map(|round| format!("{:.3}", round.handler.quantile(0.99))).collect();
    let middle = &rounds[rounds.len() / 2];
    let (outcome, used) = (&middle.outcome, &middle.used);
    let within = measure.limit.map_or_else(|| "-".to_owned(), |limit| format!("{:.2} % in {limit} ms", middle.handler.within(limit) * 100.0));
    let remote = if middle.remote.count() > 0.0 { format!("{:.2} ({} reads)", middle.remote.mean(), middle.remote.count()) } else { "-".to_owned() };
    let sent = match measure.load.pace {
        Pace::PerSecond(rate) => rate.to_string(),
        Pace::AsAnswered => "as answered".to_owned(),
    };
    let sample = serde_json::from_slice::<serde_json::Value>(&outcome.sample).unwrap_or_default();
    let allowed = if sample["response"]["allowed"] == true { "allowed" } else { "refused" };
    format!(
        "| {} | {:?} | {sent} | {:.0} | {:.3} | {:.3} | {} | {within} | {remote} | {:.2} | {:.2} | {:.0} | {:.0} % | {} {allowed}, {} turned away, {} failed |",
        measure.name,
        measure.load.protocol,
        outcome.rate(),
        middle.handler.quantile(0.5),
        middle.handler.quantile(0.99),
        all.join(" "),
        outcome.percentile(0.5),
        outcome.percentile(0.99),
        used.guard / outcome.micros.len() as f64 * 1e6,
        used.others / used.time.as_secs_f64() * 100.0,
        outcome.reviews,
        outcome.turned_away,
        outcome.failed,
    )
}

/// Everything that means harm at once, and HelmReleases beside it that are answered all the same.
async fn bombs(guard: &Guard, process: u32, target: &Target, harmful: Bodies, arguments: &Arguments, namespace: &str) {
    let time = Duration::from_secs(arguments.seconds);
    let load = Load { path: "/gates/helm-storage", bodies: harmful, protocol: Protocol::H2, pace: Pace::AsAnswered, connections: 4, streams: 16, time };
    let beside = Load { path: "/gates/gitops", bodies: bodies::helm_releases(namespace), pace: Pace::PerSecond(50), connections: 1, ..load.clone() };
    let ends = Arc::new(AtomicBool::new(false));
    let sampling = std::thread::spawn({
        let ends = Arc::clone(&ends);
        move || {
            let mut most = Memory::default();
            while !ends.load(Ordering::Relaxed) {
                most = most.most(Memory::of(process));
                std::thread::sleep(Duration::from_millis(10));
            }
            most
        }
    });
    let (bad, good) = tokio::join!(send(target, &load), send(target, &beside));
    ends.store(true, Ordering::Relaxed);
    remember("under bombs, the most of each", sampling.join().unwrap(), process);
    for (what, outcome) in [("bombs", bad), ("HelmReleases beside them", good)] {
        println!(
            "{what}: {:.0}/s answered: {} reviews, {} turned away, {} failed; p50 {:.1} ms, p99 {:.1} ms",
            outcome.rate(),
            outcome.reviews,
            outcome.turned_away,
            outcome.failed,
            outcome.percentile(0.5),
            outcome.percentile(0.99)
        );
    }
    let doubts: Vec<String> = guard.metrics().lines().filter(|line| line.starts_with("milvus_guard_in_doubt_total")).map(str::to_owned).collect();
    println!("in doubt: {}", if doubts.is_empty() { "none".to_owned() } else { doubts.join("; ") });
}
