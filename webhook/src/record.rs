//! Stores reviews for a replay, with everything that may be a secret replaced by keyed hashes that keep equality.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};

use axum::body::Bytes;

use crate::admission::Gate;

pub mod redact;

pub use redact::Redactor;

/// Reviews that wait to be written; more are passed over.
const WAITING: usize = 4;

/// Files in the folder; no more are written after that.
const MOST_FILES: usize = 10_000;

/// Writes reviews into a folder, on a thread of its own.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: SyncSender<(Gate, Bytes)>,
}

impl Recorder {
    /// Begins to record into `folder`, which is made. The key of the hashes is made here and never stored: equal values are equal within one run.
    ///
    /// # Errors
    /// When the folder cannot be made, or the system has no randomness.
    pub fn start(folder: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let redactor = Redactor::new(random()?);
        let (queue, waiting) = sync_channel::<(Gate, Bytes)>(WAITING);
        std::thread::Builder::new().name("record".into()).spawn(move || {
            for (number, (gate, body)) in waiting.into_iter().take(MOST_FILES).enumerate() {
                if let Err(error) = write(&folder, number, gate, &body, &redactor) {
                    tracing::warn!(%error, "a review was not recorded");
                }
            }
            tracing::warn!("no more reviews are recorded");
        })?;
        Ok(Self { queue })
    }

    /// Hands a body over; when the writer is behind, it is passed over.
    pub fn offer(&self, gate: Gate, body: &Bytes) {
        let _ = self.queue.try_send((gate, body.clone()));
    }
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut key = [0; 32];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.secure_random.fill(&mut key).map_err(|_| anyhow::anyhow!("the system gives no randomness"))?;
    Ok(key)
}

#[allow(clippy::disallowed_methods, reason = "recording is writing")]
fn write(folder: &Path, number: usize, gate: Gate, body: &[u8], redactor: &Redactor) -> anyhow::Result<()> {
    let review = redactor.review(serde_json::from_slice(body)?);
    let uid: String =
        review.pointer("/request/uid").and_then(serde_json::Value::as_str).unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
    let uid = uid.get(..uid.len().min(12)).unwrap_or_default();
    let path = folder.join(format!("{number:05}-{}-{uid}.json", gate.name()));
    std::fs::write(path, serde_json::to_vec(&review)?)?;
    Ok(())
}
