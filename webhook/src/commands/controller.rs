//! `milvus-guard controller`: carries upgrades out until it is told to end.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use clap::Args;
use kube::Client;
use milvus_guard_webhook::controller::caches::Caches;
use milvus_guard_webhook::controller::excepted::Excepted;
use milvus_guard_webhook::controller::flux;
use milvus_guard_webhook::controller::lease::Leadership;
use milvus_guard_webhook::controller::metrics::Metrics;
use milvus_guard_webhook::controller::run;
use milvus_guard_webhook::server::logs;
use milvus_guard_webhook::server::side::OPEN_METRICS;

use super::webhook::LogFormat;

/// Arguments of `controller`.
#[derive(Debug, Args)]
pub(crate) struct Controller {
    /// Where /healthz, /readyz and /metrics are answered, in plain HTTP
    #[arg(long, default_value = "[::]:9444", value_name = "ADDRESS")]
    health_listen: SocketAddr,
    /// The Lease by which one of several controllers works at a time
    #[arg(long, default_value = "milvus-guard-controller", value_name = "NAME")]
    lease: String,
    /// Our namespace, where the Lease is; default: that of the service account
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Carry out upgrades in this namespace only; may be given more than once. Default: in all of them
    #[arg(long, value_name = "NAMESPACE")]
    watch_namespace: Vec<String>,
    /// The image that the Jobs of a metadata migration run: this program's own
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Carry preserved values of Flux's HelmReleases in this namespace, in a Secret beside each; may be given more than once. Default: nowhere
    #[arg(long, value_name = "NAMESPACE")]
    carry_values_in: Vec<String>,
    /// The name of the guard's webhook configurations: values are carried while they are in force
    #[arg(long, default_value = "milvus-guard", value_name = "NAME")]
    configuration: String,
    /// What tells this controller from others; default: the host's name and the process
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// How a log line looks
    #[arg(long, default_value = "json", value_name = "FORMAT")]
    log_format: LogFormat,
    /// What is logged: what is done, and what keeps it, from info on
    #[arg(long, default_value = "info", value_name = "LEVEL", value_parser = ["error", "warn", "info", "debug", "trace"])]
    log_level: String,
}

/// Runs it.
pub(crate) fn run(arguments: Controller) -> anyhow::Result<()> {
    logs::start(arguments.log_format.into(), &arguments.log_level);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(2).enable_all().build().context("the runtime does not start")?;
    runtime.block_on(start(arguments))
}

async fn start(arguments: Controller) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("no way to the API server")?;
    let namespace = arguments.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let caches: Arc<OnceLock<Arc<Caches>>> = Arc::default();
    let metrics: Arc<Metrics> = Arc::default();
    let listener = tokio::net::TcpListener::bind(arguments.health_listen).await.with_context(|| format!("cannot listen on {}", arguments.health_listen))?;
    let leadership = Leadership::start(&client, &namespace, &arguments.lease, arguments.identity.clone().unwrap_or_else(identity));
    let side = side(Arc::clone(&caches), Arc::clone(&metrics), Arc::clone(&leadership));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, side).await {
            tracing::error!(%error, "health and metrics are not answered any more");
        }
    });
    let flux = flux::work::Work { client: client.clone(), carries_in: arguments.carry_values_in.into(), configuration: arguments.configuration.into() };
    let excepted: Arc<Excepted> = Arc::default();
    let flux = flux::watch::run(flux, arguments.watch_namespace.clone(), Arc::clone(&leadership), Arc::clone(&excepted));
    let started = move |started| drop(caches.set(started));
    let upgrades = run::Controller { client, namespaces: arguments.watch_namespace, image: arguments.image, leadership, excepted, metrics };
    let upgrades = run::run(upgrades, started, super::told_to_end()?);
    tokio::select! {
        () = upgrades => {}
        () = flux => tracing::error!("Flux is not looked after any more"),
    }
    tracing::info!("ended");
    Ok(())
}

/// `/healthz`, `/readyz` and `/metrics`. Ready once the caches are filled, whether or not this controller leads: it is what takes over.
fn side(caches: Arc<OnceLock<Arc<Caches>>>, metrics: Arc<Metrics>, leadership: Arc<Leadership>) -> Router {
    let seen = Arc::clone(&caches);
    let told = move || async move {
        let releases: Vec<_> = seen.get().map_or_else(Vec::new, |caches| caches.all());
        ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.text(&releases, leadership.is_held()))
    };
    let ready = move || async move {
        if caches.get().is_some_and(|caches| caches.are_filled()) {
            (StatusCode::OK, "ready")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "caches are not filled yet")
        }
    };
    Router::new().route("/healthz", get(|| async { "alive" })).route("/readyz", get(ready)).route("/metrics", get(told))
}

#[allow(clippy::disallowed_methods, reason = "the pod's name is its host's")]
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "controller".into());
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_millis());
    format!("{host}-{}-{started}", std::process::id())
}
