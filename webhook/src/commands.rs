//! The command line of `milvus-guard`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line writes to its streams")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use milvus_guard_webhook::api;

mod cleanup;
mod cluster;
mod controller;
mod doctor;
mod judge;
mod metadata;
mod review;
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
    /// Takes everything of the guard off the objects of a cluster, without a restart of anything
    Cleanup(cleanup::Cleanup),
    /// Looks at metadata in etcd, backs it up, verifies a backup, puts it back
    Metadata(metadata::Metadata),
    /// Prints the definitions of our own kinds (YAML), for `kubectl apply -f -`
    Crd,
}

/// Parses the arguments and runs what they ask for.
pub(crate) fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Webhook(arguments) => webhook::run(*arguments).map(|()| ExitCode::SUCCESS),
        Command::Controller(arguments) => controller::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Review(arguments) => review::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Cleanup(arguments) => cleanup::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Metadata(arguments) => metadata::run(&arguments),
        Command::Crd => {
            print!("{}", crds());
            Ok(ExitCode::SUCCESS)
        }
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            // Trying again helps only in the second case.
            ExitCode::from(if error.is::<cleanup::Refused>() { 3 } else { 2 })
        }
    }
}

/// Both definitions as one YAML stream.
fn crds() -> String {
    [api::GUARDED_UPGRADE_CRD, api::UPGRADE_RECEIPT_CRD].map(|definition| format!("---\n{}", definition.trim_start_matches("---\n"))).concat()
}
