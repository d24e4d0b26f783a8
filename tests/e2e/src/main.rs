//! A control plane to play with, and the test chart as an archive.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use milvus_guard_e2e::chart;
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::kubelet::{Behaviour, Pods};
use milvus_guard_e2e::webhook::Installed;
use milvus_guard_e2e::{load, scale};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a control plane with a stand-in for kubelets, prints how to reach it, and waits for Ctrl-C
    Up {
        /// How long pods of the namespaces `default` and `milvus` take until they are ready, in milliseconds
        #[arg(long, default_value_t = 1000)]
        ready_after: u64,
        /// Installs the guard's chart and runs its webhook and its controller, for all namespaces
        #[arg(long)]
        guard: bool,
    },
    /// Packs the test chart in a version, and prints where the archive is
    Chart {
        /// The chart's version: 4.2.58
        version: String,
        /// The file that the archive is copied to
        #[arg(long)]
        to: Option<PathBuf>,
    },
    /// Measures the webhook under load: latency, rate, memory. Run it in release: the webhook is built as this program is
    Load(load::Arguments),
    /// Measures the controller with many releases: memory, processor time, how soon it acts. Run it in release: the controller is built as this program is
    Scale(scale::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Up { ready_after, guard } => up(Duration::from_millis(ready_after), guard).await,
        Command::Chart { version, to } => pack(&version, to),
        Command::Load(arguments) => {
            load::run(arguments).await;
            ExitCode::SUCCESS
        }
        Command::Scale(arguments) => {
            scale::run(arguments).await;
            ExitCode::SUCCESS
        }
    }
}

async fn up(ready_after: Duration, guard: bool) -> ExitCode {
    eprintln!("Building the programs where that is needed (the first time takes some minutes) ...");
    let Some(plane) = ControlPlane::own("up").await else { return ExitCode::FAILURE };
    for namespace in ["default", "milvus"] {
        plane.kubelet().behave(Pods::of(namespace), Behaviour::ReadyAfter(ready_after));
    }
    let installed = match guard {
        true => Some(Installed::new(plane, "guard", 1, &[], &[]).await),
        false => None,
    };
    let _controller = installed.as_ref().map(|installed| installed.controller("controller", &[]));
    println!("# ready after {:?}; logs are in {}", plane.started_in(), plane.folder().display());
    println!("export KUBECONFIG={}", plane.admin_kubeconfig().display());
    println!("export PATH={}:$PATH  # kubectl, helm3, helm4", plane.programs().display());
    println!("# a chart: cargo run -p milvus-guard-e2e -- chart 4.2.58");
    if tokio::signal::ctrl_c().await.is_err() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn pack(version: &str, to: Option<PathBuf>) -> ExitCode {
    let packed = chart::packed(version);
    if let Some(to) = &to
        && let Err(error) = std::fs::copy(&packed, to)
    {
        eprintln!("{}: {error}", to.display());
        return ExitCode::FAILURE;
    }
    println!("{}", to.unwrap_or(packed).display());
    ExitCode::SUCCESS
}
