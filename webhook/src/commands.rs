//! The command line of `milvus-guard`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line writes to its streams")]

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use milvus_guard_webhook::api;
use tokio::signal::unix::{SignalKind, signal};

mod carry;
mod cleanup;
mod cluster;
mod controller;
mod doctor;
mod follow;
mod judge;
mod metadata;
mod migrate;
mod output;
mod review;
mod rolling_update;
mod server;
mod status;
mod steer;
mod webhook;

#[derive(Debug, Parser)]
#[command(name = "milvus-guard", version, about = "Makes Helm upgrades of the Milvus vector database safe, in the cluster")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the admission webhook
    Webhook(Box<webhook::Webhook>),
    /// Carries upgrades out: releases what the webhook holds, in the safe order
    Controller(controller::Controller),
    /// Judges a stored AdmissionReview, without a cluster
    Review(review::Review),
    /// Says what is wrong with the guard and with the Milvus releases of a cluster, and what to do
    Doctor(doctor::Doctor),
    /// Says how far the upgrades of Milvus releases are; of others what runs and what is held
    Status(status::Status),
    /// Stops an upgrade where it is: nothing more is released
    Pause(steer::Target),
    /// Lets a paused upgrade go on
    Resume(steer::Target),
    /// Takes an upgrade back to the version before, where there is a way back
    Abort(steer::Target),
    /// Tries an upgrade again that failed or was aborted
    Retry(steer::Target),
    /// Lets the step begin that an upgrade waits for, or a change go on that arrived in part
    Approve(steer::Approve),
    /// Puts a new image on all components of a release, one after the other; takes the flags of upstream's rollingUpdate.sh
    RollingUpdate(rolling_update::RollingUpdate),
    /// Migrates metadata of 2.1 to 2.2; takes the flags of upstream's migrate.sh
    Migrate(Box<migrate::Migrate>),
    /// Takes everything of the guard off the objects of a cluster, without a restart of anything
    Cleanup(cleanup::Cleanup),
    /// Looks at metadata in etcd, backs it up, verifies a backup, puts it back
    Metadata(metadata::Metadata),
    /// Prints the definitions of our own kinds (YAML), for `kubectl apply --server-side -f -`
    Crd,
    /// Prints the completions for a shell
    #[command(after_help = "Example:\n  milvus-guard completions bash > /etc/bash_completion.d/milvus-guard")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Parses the arguments and runs what they ask for.
pub(crate) fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Webhook(arguments) => webhook::run(*arguments).map(|()| ExitCode::SUCCESS),
        Command::Controller(arguments) => controller::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Review(arguments) => review::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Pause(target) => steer::run(steer::Intent::Pause, &target).map(|()| ExitCode::SUCCESS),
        Command::Resume(target) => steer::run(steer::Intent::Resume, &target).map(|()| ExitCode::SUCCESS),
        Command::Abort(target) => steer::run(steer::Intent::Abort, &target).map(|()| ExitCode::SUCCESS),
        Command::Retry(target) => steer::run(steer::Intent::Retry, &target).map(|()| ExitCode::SUCCESS),
        Command::Approve(arguments) => steer::approve(&arguments).map(|()| ExitCode::SUCCESS),
        Command::RollingUpdate(arguments) => rolling_update::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Cleanup(arguments) => cleanup::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Metadata(arguments) => metadata::run(&arguments),
        Command::Crd => output::to_stdout(&crds()).map(|_| ExitCode::SUCCESS),
        Command::Completions { shell } => output::to_stdout(&completions(shell)).map(|_| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            // Trying again helps only in the last case.
            ExitCode::from(match () {
                () if error.is::<cleanup::Refused>() => 3,
                () if error.is::<carry::Refused>() => 1,
                () => 2,
            })
        }
    }
}

/// Resolves at SIGTERM or SIGINT.
fn told_to_end() -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate()).context("no signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("no signals")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "milvus-guard", &mut script);
    // The generator takes the hyphen of the name for a step down in the names of bash's cases, and not in what it compares with them.
    String::from_utf8_lossy(&script).replace("milvus__subcmd__guard", "milvus__guard")
}

/// Both definitions as one YAML stream.
fn crds() -> String {
    [api::GUARDED_UPGRADE_CRD, api::UPGRADE_RECEIPT_CRD].map(|definition| format!("---\n{}", definition.trim_start_matches("---\n"))).concat()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;
    use clap_complete::Shell;

    use super::*;

    #[test]
    fn each_command_that_bash_tells_apart_has_a_case() {
        let script = completions(Shell::Bash);
        let set: Vec<&str> = script.lines().filter_map(|line| line.trim().strip_prefix("cmd=\"")?.strip_suffix('"')).filter(|name| !name.is_empty()).collect();
        assert!(set.len() > 20, "{set:?}");
        for name in set {
            assert!(script.lines().any(|line| line.trim() == format!("{name})")), "no case for {name}");
        }
    }

    #[test]
    fn completions_of_every_shell_are_printed() {
        for shell in Shell::value_variants() {
            let script = completions(*shell);
            assert!(script.contains("milvus-guard") && script.contains("rolling-update"), "{shell}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
