//! `milvus-guard webhook`: serves the gates until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use milvus_guard_webhook::admission::judge::AdmitAll;
use milvus_guard_webhook::admission::{DoubtPolicy, Judge};
use milvus_guard_webhook::server::{Gates, Limits};
use milvus_guard_webhook::telemetry::Telemetry;

/// Arguments of `webhook`.
#[derive(Debug, Args)]
pub(crate) struct Webhook {
    /// Where reviews are answered
    #[arg(long, default_value = "[::]:9443", value_name = "ADDRESS")]
    listen: SocketAddr,
}

/// Runs it.
pub(crate) fn run(arguments: Webhook) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime does not start")?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: Webhook) -> anyhow::Result<()> {
    let telemetry = Arc::new(Telemetry::default());
    let judge = Arc::new(judge());
    let router = Gates::new(judge, telemetry, Limits::default(), DoubtPolicy::Admit).router();
    axum_server::bind(arguments.listen).serve(router.into_make_service()).await.context("the server ended")
}

/// What judges. The gates take the place of this.
fn judge() -> impl Judge {
    AdmitAll
}
