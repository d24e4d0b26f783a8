//! Logs on stderr, as text or one JSON object a line. What is logged never holds a body, an object, or anything of a Secret.

use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging at `level` (`error` to `trace`). Libraries speak up from warnings on, whatever the level: their debug lines may hold bodies.
pub fn start(format: Format, level: &str) {
    let filter = EnvFilter::new(format!("warn,milvus_guard={level},milvus_guard_webhook={level}"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        Format::Text => builder.with_ansi(false).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    // A second start changes nothing.
    drop(started);
}
