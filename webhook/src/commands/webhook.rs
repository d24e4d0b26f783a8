//! `milvus-guard webhook`: serves the gates until it is told to end.
#![allow(clippy::disallowed_methods, reason = "reads the files that the arguments name")]

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use kube::Client;
use milvus_guard_webhook::record::Recorder;
use milvus_guard_webhook::server::certificates::files::Files;
use milvus_guard_webhook::server::certificates::secret::Kept;
use milvus_guard_webhook::server::events::Events;
use milvus_guard_webhook::server::registration::{Probe, Registration, entries};
use milvus_guard_webhook::server::run::{Channels, Listen, serve};
use milvus_guard_webhook::server::side::Health;
use milvus_guard_webhook::server::tls::Clients;
use milvus_guard_webhook::server::{Gates, logs};
use milvus_guard_webhook::telemetry::Telemetry;
use tokio::sync::watch;

use super::judge;

mod arguments;

pub(crate) use arguments::{LogFormat, Webhook};

/// Threads that serve, at most: each keeps some memory for itself, and a webhook that needs more of them has other troubles.
const MOST_THREADS: usize = 4;

/// Threads for what keeps one busy, at least: reading two revisions of a release at a time, and files.
const BLOCKING_THREADS: usize = 2;

/// As many threads as the container may use processors, but not more than are of use.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).clamp(1, MOST_THREADS)
}

/// Runs it.
pub(crate) fn run(arguments: Webhook) -> anyhow::Result<()> {
    logs::start(arguments.log_format.into(), &arguments.log_level);
    // A second provider would be an error of ours; the first is kept.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let lifetimes = arguments.certificates.lifetimes();
    ensure!(lifetimes.are_possible(), "a certificate has to last more than six overlaps, and an authority more than two certificates");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .max_blocking_threads(threads().max(BLOCKING_THREADS))
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    runtime.block_on(start(arguments))
}

async fn start(arguments: Webhook) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("no way to the API server")?;
    let telemetry = Arc::new(Telemetry::default());
    let judge = Arc::new(judge::live(&client, arguments.configuration(), &telemetry));
    let health = Arc::new(Health::new(Arc::clone(&judge)));
    let clients = arguments.certificates.client_ca.as_deref().map(|file| authorities(file, &arguments.certificates.client_name)).transpose()?;
    let listen = Listen {
        reviews: arguments.listen,
        side: arguments.health_listen,
        floor: arguments.certificates.tls_min.into(),
        clients,
        drain_delay: arguments.drain_delay,
        drain_time: arguments.drain_time,
    };
    let gates = Gates::new(judge, Arc::clone(&telemetry), arguments.bounds.limits(), arguments.helm_doubt.into());
    let recorder = arguments.record.clone().map(Recorder::start).transpose().context("nothing can be recorded")?;
    let gates = gates.recording(recorder).telling(Events::start(client.clone()));

    let (offer, offered) = watch::channel(None);
    let (wanted_in, wanted) = watch::channel(None);
    let (announced_in, announced) = watch::channel(None);
    match (&arguments.certificates.folder, &arguments.certificates.certificate_secret) {
        (Some(folder), _) => {
            tokio::spawn(Files { folder: folder.clone(), every: arguments.certificates.certificate_poll }.watch(offer));
        }
        (None, Some(name)) => {
            let own = &arguments.certificates;
            let namespace = own.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
            let kept = Kept::new(client.clone(), &namespace, name.clone(), own.names.clone(), own.lifetimes(), own.certificate_poll);
            // Where nothing is registered by us, time alone tells when an authority is known.
            let announced = arguments.registration.file.is_some().then(|| announced.clone());
            tokio::spawn(kept.watch(offer, announced));
        }
        (None, None) => anyhow::bail!("no source of certificates"),
    }
    let registers = arguments.registration.file.is_some();
    if let Some(registration) = registration(&arguments, client, Arc::clone(&telemetry))? {
        let health = Arc::clone(&health);
        tokio::spawn(registration.keep(wanted, announced_in, move || health.missing().is_none()));
    }
    let channels = Channels { offered, wanted: wanted_in, announced, registers };
    serve(listen, gates.router(), health, telemetry, channels, super::told_to_end()?).await
}

fn authorities(file: &Path, names: &[String]) -> anyhow::Result<Clients> {
    let authorities = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(Clients { authorities, names: names.to_vec() })
}

fn registration(arguments: &Webhook, client: Client, telemetry: Arc<Telemetry>) -> anyhow::Result<Option<Registration>> {
    let (Some(file), Some(address)) = (&arguments.registration.file, &arguments.registration.reached_at) else { return Ok(None) };
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let base = arguments.registration.register_url.then_some(address.as_str());
    let entries = entries(&text, base).with_context(|| file.display().to_string())?;
    let reached_at = match &arguments.certificates.client_ca {
        // We have no certificate that would let us in.
        Some(_) => Probe::Connect(host_and_port(address)?),
        None => Probe::Https(address.clone()),
    };
    Ok(Some(Registration { client, entries, reached_at, every: arguments.registration.registration_poll, telemetry }))
}

fn host_and_port(address: &str) -> anyhow::Result<String> {
    let uri: axum::http::Uri = address.parse().context("the address is no URL")?;
    let host = uri.host().context("the address has no host")?;
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(443)))
}
