//! Starts the listeners, loads certificates as they come, and ends in order.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto::Builder;
use tokio::sync::watch;

use super::certificates::Material;
use super::side::{self, Health};
use super::tls::{self, Clients, Floor};
use crate::admission::Judge;
use crate::telemetry::Telemetry;

/// Where and how the server listens.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Reviews, over TLS.
    pub reviews: SocketAddr,
    /// Health and metrics, plain.
    pub side: SocketAddr,
    /// Lowest TLS version.
    pub floor: Floor,
    /// Who may send reviews; absent: anybody who reaches the port.
    pub clients: Option<Clients>,
    /// From the signal to the end of listening: time for the endpoints to be taken off.
    pub drain_delay: Duration,
    /// The longest that requests in flight are waited for after that.
    pub drain_time: Duration,
}

/// What is offered to be served, what should be trusted, and what the API server is known to trust.
#[derive(Debug)]
pub struct Channels {
    /// Certificates as their source offers them.
    pub offered: watch::Receiver<Option<Material>>,
    /// PEM that the registration should carry: of what is served and of what is offered.
    pub wanted: watch::Sender<Option<String>>,
    /// PEM that the registration carries; absent: not known (yet).
    pub announced: watch::Receiver<Option<String>>,
    /// Whether this process registers anything, so that `announced` will come.
    pub registers: bool,
}

/// The longest that a certificate of a strange authority waits for its announcement.
const ANNOUNCEMENT: Duration = Duration::from_secs(60);

/// Time for the API server's own caches to see an announcement.
const SETTLE: Duration = Duration::from_secs(2);

/// Serves until `end` resolves, then drains.
///
/// # Errors
/// When a port cannot be bound, or the first certificate never comes.
pub async fn serve<J: Judge>(
    listen: Listen,
    router: Router,
    health: Arc<Health<J>>,
    telemetry: Arc<Telemetry>,
    channels: Channels,
    end: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let side_listener = bind(listen.side).context("the port of health and metrics")?;
    let side_handle = Handle::new();
    let mut side_server = axum_server::from_tcp(side_listener)?.handle(side_handle.clone());
    limits(side_server.http_builder());
    let side = tokio::spawn(side_server.serve(side::router(Arc::clone(&health), Arc::clone(&telemetry)).into_make_service()));

    let Channels { mut offered, wanted, announced, registers } = channels;
    let mut end = std::pin::pin!(end);
    let first = tokio::select! {
        first = offered.wait_for(Option::is_some) => first.context("the certificate's source ended")?.clone(),
        () = &mut end => return Ok(()),
    };
    let first = first.context("no certificate")?;
    let config = RustlsConfig::from_config(tls::configuration(&first, listen.floor, listen.clients.as_ref())?);
    telemetry.certificate_ends(first.ends);

    let handle = Handle::new();
    // An answer is more than one write (headers, body): without this the second waits for the API server's delayed acknowledgement of the first, 40 ms.
    let acceptor = RustlsAcceptor::new(config.clone()).handshake_timeout(Duration::from_secs(5)).acceptor(NoDelayAcceptor::new());
    let reviews = bind(listen.reviews).context("the port of reviews")?;
    let side_address = side_handle.listening().await.map_or_else(String::new, |address| address.to_string());
    tracing::info!(reviews = %reviews.local_addr()?, side = %side_address, "listening");
    let mut server = axum_server::from_tcp(reviews)?.acceptor(acceptor).handle(handle.clone());
    limits(server.http_builder());
    let server = tokio::spawn(server.serve(router.into_make_service()));
    health.certificate_loaded();
    wanted.send_replace(Some(first.trusted.clone()));
    let reloads = tokio::spawn(reload(config, first, listen.clone(), Arc::clone(&telemetry), Channels { offered, wanted, announced, registers }));

    end.await;
    tracing::info!("draining");
    health.drain();
    tokio::time::sleep(listen.drain_delay).await;
    handle.graceful_shutdown(Some(listen.drain_time));
    let ended = server.await;
    reloads.abort();
    side_handle.graceful_shutdown(Some(Duration::from_secs(1)));
    let _ = side.await;
    tracing::info!("ended");
    ended.context("the server's task")?.context("the server")
}

/// Serves each certificate as it is offered, without touching a connection; one of a strange authority only when clients know that.
async fn reload(config: RustlsConfig, first: Material, listen: Listen, telemetry: Arc<Telemetry>, channels: Channels) {
    let Channels { mut offered, wanted, announced, registers } = channels;
    let mut served = first;
    while offered.changed().await.is_ok() {
        let Some(next) = offered.borrow_and_update().clone() else { continue };
        if registers && next.trusted != served.trusted {
            // Both, so that neither this replica nor one that is ahead is distrusted for a moment.
            wanted.send_replace(Some(union(&next.trusted, &served.trusted)));
            await_announcement(announced.clone(), &next.trusted).await;
        }
        match tls::configuration(&next, listen.floor, listen.clients.as_ref()) {
            Ok(configuration) => {
                config.reload_from_config(configuration);
                telemetry.certificate_ends(next.ends);
                wanted.send_replace(Some(next.trusted.clone()));
                tracing::info!(ends = next.ends, "another certificate is served");
                served = next;
            }
            Err(error) => tracing::error!(%error, "the certificate that is offered cannot be served; the one before it is"),
        }
    }
}

async fn await_announcement(mut announced: watch::Receiver<Option<String>>, trusted: &str) {
    let known = announced.wait_for(|known| known.as_ref().is_some_and(|known| known.contains(trusted.trim())));
    if tokio::time::timeout(ANNOUNCEMENT, known).await.is_err() {
        tracing::warn!("the new authority could not be announced in time; its certificate is served all the same");
    }
    tokio::time::sleep(SETTLE).await;
}

/// `next`, and what of `served` is not in it.
fn union(next: &str, served: &str) -> String {
    if next.contains(served.trim()) || served.is_empty() || next.is_empty() { next.to_owned() } else { format!("{}\n{served}", next.trim_end()) }
}

/// A dual-stack address falls back to IPv4 where there is no IPv6.
fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).or_else(|error| match address {
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, v6.port())),
        _ => Err(error),
    });
    let listener = bound.with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Bounds on headers and streams, and keep-alive that notices dead peers.
fn limits(builder: &mut Builder<hyper_util::rt::TokioExecutor>) {
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(20)).max_headers(64).max_buf_size(64 << 10).keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(16 << 10)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
}
