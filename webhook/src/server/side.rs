//! The other port: health, readiness and metrics, in plain HTTP, so that probes need no certificate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::admission::Judge;
use crate::telemetry::Telemetry;

/// The media type of metrics.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What readiness is made of.
#[derive(Debug)]
pub struct Health<J> {
    judge: Arc<J>,
    has_certificate: AtomicBool,
    is_draining: AtomicBool,
}

impl<J: Judge> Health<J> {
    /// Nothing is there yet.
    pub const fn new(judge: Arc<J>) -> Self {
        Self { judge, has_certificate: AtomicBool::new(false), is_draining: AtomicBool::new(false) }
    }

    /// A certificate is served from now on.
    pub fn certificate_loaded(&self) {
        self.has_certificate.store(true, Ordering::Release);
    }

    /// No new work is wanted from now on.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// What is missing before requests may come.
    pub fn missing(&self) -> Option<&'static str> {
        if self.is_draining.load(Ordering::Acquire) {
            Some("draining")
        } else if !self.has_certificate.load(Ordering::Acquire) {
            Some("no certificate yet")
        } else if !self.judge.is_ready() {
            Some("caches are not filled yet")
        } else {
            None
        }
    }
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router<J: Judge>(health: Arc<Health<J>>, telemetry: Arc<Telemetry>) -> Router {
    let ready = move || async move {
        match health.missing() {
            None => (StatusCode::OK, "ready"),
            Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing),
        }
    };
    Router::new().route("/healthz", get(|| async { "alive" })).route("/readyz", get(ready)).route("/metrics", get(metrics)).with_state(telemetry)
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], telemetry.text())
}
