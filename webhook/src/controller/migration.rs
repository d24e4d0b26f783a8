//! What the metadata migration of 2.2 adds to a round: what is observed of it, and the deeds that are its own.

use std::sync::Arc;

use kube::Client;
use milvus_guard::rollout::action::Deed;
use milvus_guard::rollout::observed::{Known, Metadata, Session};
use serde_json::Value;

use super::ReleaseKey;
use super::observe::Seen;

/// What is observed of metadata and sessions. Asked in each round of an upgrade that migrates; sessions, where they can be read, in each round of any.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Metadata and the state of its migration.
    pub metadata: Metadata,
    /// Sessions in etcd.
    pub sessions: Known<Vec<Session>>,
}

/// Observes metadata and sessions of a release.
pub async fn observe(_client: &Client, _release: &ReleaseKey, _upgrade: &Value, _seen: &Seen, migrates: bool) -> Observed {
    let why: Arc<str> = "this version of milvus-guard does not read etcd".into();
    let layout = if migrates { Known::No(Arc::clone(&why)) } else { Known::No("it was not looked at".into()) };
    Observed { metadata: Metadata { layout, ..Metadata::default() }, sessions: Known::No(why) }
}

/// Carries out `Fence`, `Unfence`, `Run` and `Bar`.
///
/// # Errors
/// Why it could not be done. [`next`](milvus_guard::rollout::next) does not ask for any of these as long as the layout of the metadata is not known.
pub async fn act(_client: &Client, release: &ReleaseKey, _upgrade: &Value, deed: &Deed) -> anyhow::Result<()> {
    anyhow::bail!("{release}: this version of milvus-guard does not carry out {deed:?}")
}
