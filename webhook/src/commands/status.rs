//! `milvus-guard status`: how far upgrades are; for releases without one, what runs and what is held. Reads only.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::runtime::watcher::{self, watcher};
use milvus_guard_webhook::api;
use milvus_guard_webhook::cluster::{Snapshot, text};
use milvus_guard_webhook::controller::kept::{KEPT_LABEL, unpacked};
use milvus_guard_webhook::progress::{self, Release};

use super::cluster::{Cluster, plural, why};
use super::output::{say, to_stdout};

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --watch and a RELEASE it ends when the upgrade does: exit code 0 when it is complete, 1 when it failed or went back.

Examples:
  milvus-guard status -A
  milvus-guard status m -n db --watch
  milvus-guard status m -n db -o json | jq -r .upgrade.waitingFor")]
pub(crate) struct Status {
    /// Only this release, with its components
    release: Option<String>,
    /// The namespace; default: that of the kubeconfig's context
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Go on, and print again when something moves
    #[arg(short, long)]
    watch: bool,
    /// How it is printed; wide adds the components
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Wide,
    Json,
    Yaml,
}

/// Runs it.
pub(crate) fn run(arguments: &Status) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut cluster = if arguments.watch { Cluster::of_kubeconfig(None).await? } else { Cluster::for_a_look(None).await? };
        if !arguments.all_namespaces {
            cluster.namespace = Some(arguments.namespace.clone().unwrap_or_else(|| cluster.client.default_namespace().to_owned()));
        }
        if arguments.watch { watch(&cluster, arguments).await } else { once(&cluster, arguments).await }
    })
}

async fn once(cluster: &Cluster, arguments: &Status) -> anyhow::Result<ExitCode> {
    let releases = chosen(read(cluster).await?, arguments.release.as_deref());
    if releases.is_empty() {
        if let Some(namespace) = &cluster.namespace
            && cluster.lacks_namespace(namespace).await
        {
            bail!("there is no namespace {namespace}");
        }
        let place = cluster.namespace.as_ref().map_or_else(|| "in any namespace".to_owned(), |namespace| format!("in namespace {namespace}"));
        match &arguments.release {
            Some(release) => bail!("there is no Milvus release {release} {place}, and no GuardedUpgrade of that name"),
            None if arguments.output.is_none() => {
                say(&format!("no Milvus release {place}"));
                return Ok(ExitCode::SUCCESS);
            }
            None => {}
        }
    }
    to_stdout(&shown(&releases, arguments)?)?;
    let is_text = !matches!(arguments.output, Some(Format::Json | Format::Yaml));
    if is_text && releases.iter().any(|release| release.upgrade.is_some()) && goes_nowhere(cluster).await {
        say("no controller is installed in this cluster, so no upgrade that is declared goes on; milvus-guard doctor tells what to do");
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether an upgrade is declared that has not ended, and there is nobody to carry it out.
async fn goes_nowhere(cluster: &Cluster) -> bool {
    let declared = cluster.list(api::API_VERSION, "GuardedUpgrade").await.unwrap_or_default();
    declared.iter().any(|upgrade| !matches!(text(upgrade, "/status/phase"), Some("Completed" | "Aborted"))) && cluster.lacks_controller().await
}

/// Prints at each move; on a terminal over what it printed before.
async fn watch(cluster: &Cluster, arguments: &Status) -> anyhow::Result<ExitCode> {
    let is_terminal = std::io::stdout().is_terminal() && !matches!(arguments.output, Some(Format::Json | Format::Yaml));
    let mut moves = Moves::of(cluster);
    let mut last = String::new();
    loop {
        let releases = chosen(read(cluster).await?, arguments.release.as_deref());
        let text = shown(&releases, arguments)?;
        if text != last {
            // Home, and all below is cleared.
            let clear = if is_terminal { "\x1b[H\x1b[2J" } else { "" };
            if !to_stdout(&format!("{clear}{text}"))? {
                return Ok(ExitCode::SUCCESS);
            }
            last = text;
        }
        let end = arguments.release.as_ref().and_then(|_| releases.first()?.upgrade.as_ref()?.end());
        if let Some(is_good) = end {
            return Ok(ExitCode::from(u8::from(!is_good)));
        }
        moves.next().await;
    }
}

fn chosen(mut releases: Vec<Release>, release: Option<&str>) -> Vec<Release> {
    releases.retain(|known| release.is_none_or(|release| known.release == release));
    releases
}

fn shown(releases: &[Release], arguments: &Status) -> anyhow::Result<String> {
    let now = Timestamp::now().as_second();
    Ok(match (arguments.output, arguments.release.is_some(), releases) {
        (Some(Format::Json), true, [one]) => format!("{}\n", serde_json::to_string_pretty(one)?),
        (Some(Format::Json), ..) => format!("{}\n", serde_json::to_string_pretty(releases)?),
        (Some(Format::Yaml), true, [one]) => serde_yaml::to_string(one)?,
        (Some(Format::Yaml), ..) => serde_yaml::to_string(releases)?,
        (Some(Format::Wide), ..) | (None, true, _) => progress::table(releases, true, now),
        (None, false, _) => progress::table(releases, false, now),
    })
}

/// All releases of the cluster or of one namespace.
pub(super) async fn read(cluster: &Cluster) -> anyhow::Result<Vec<Release>> {
    let mut objects = Vec::new();
    let is_ours = cluster.has_our_kinds().await.map_err(|error| cluster.server.failed(&error))?;
    let ours = is_ours.then_some((api::API_VERSION, "GuardedUpgrade"));
    for (version, kind) in [("apps/v1", "Deployment"), ("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet")].into_iter().chain(ours) {
        match cluster.select(version, kind, "").await {
            Ok(found) => objects.extend(found.unwrap_or_default()),
            Err(error) => bail!("listing {}: {}", plural(kind), why(&error)),
        }
    }
    // Those that somebody carries out from a laptop; whoever may not list ConfigMaps sees what is held.
    let maps = cluster.select("v1", "ConfigMap", KEPT_LABEL).await.ok().flatten().unwrap_or_default();
    objects.extend(maps.into_iter().filter_map(|map| unpacked(&serde_json::from_value(map).ok()?)));
    Ok(progress::releases(&Snapshot::new(objects)))
}

/// Tells when something of what status reads has moved.
pub(super) struct Moves {
    events: stream::BoxStream<'static, ()>,
}

/// Moves that come together are one.
const TOGETHER: Duration = Duration::from_millis(200);

/// Times that are told grow older without a move.
const AT_LEAST_EVERY: Duration = Duration::from_secs(15);

impl Moves {
    /// Begins to watch.
    pub(super) fn of(cluster: &Cluster) -> Self {
        let kinds = [("apps/v1", "Deployment"), (api::API_VERSION, "GuardedUpgrade")];
        let one = |(version, kind): (&str, &str)| {
            let api = cluster.api(version, kind, cluster.namespace.as_deref());
            // What cannot be watched, because it is not served or not allowed, is looked at from time to time.
            let events = watcher(api, watcher::Config::default()).filter_map(async |event| match event {
                Ok(_) => Some(()),
                Err(_) => {
                    tokio::time::sleep(AT_LEAST_EVERY).await;
                    None
                }
            });
            events.boxed()
        };
        Self { events: stream::select_all(kinds.map(one)).boxed() }
    }

    /// Waits for the next move, or until times have to be told anew.
    pub(super) async fn next(&mut self) {
        let _moved = tokio::time::timeout(AT_LEAST_EVERY, self.events.next()).await;
        let deadline = tokio::time::Instant::now() + TOGETHER;
        while tokio::time::timeout_at(deadline, self.events.next()).await.is_ok_and(|event| event.is_some()) {}
    }
}
