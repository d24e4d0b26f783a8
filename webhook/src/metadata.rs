//! Milvus's metadata in etcd: where it lies, its layout, who has a session, and a backup that is compared before anything relies on it.
//!
//! etcd is spoken to in gRPC, as Milvus itself does: its JSON gateway may be switched off, and does not take client certificates for users. Only the few calls that are needed are
//! written out ([`wire`], [`grpc`]), over the HTTP client that the API server is asked with.

pub mod backup;
pub mod compare;
pub mod etcd;
pub mod grpc;
pub mod layout;
pub mod location;
pub mod restore;
pub mod sessions;
pub mod tool;
pub mod wire;

use etcd::{Etcd, EtcdError};
use layout::{Counts, GROUPS};
use location::Location;
use sessions::Session;

/// Counts the keys that tell the layout, all at one revision, from the leader of etcd.
///
/// # Errors
/// When etcd cannot be read.
pub async fn counts(etcd: &Etcd, location: &Location) -> Result<Counts, EtcdError> {
    let mut revision = 0;
    let mut counts = Counts::default();
    for (index, group) in GROUPS.iter().enumerate() {
        let (count, seen) = etcd.count(location.key(group.prefix).as_bytes(), revision).await?;
        revision = seen;
        counts.set(index, count);
    }
    counts.revision = revision;
    Ok(counts)
}

/// Reads the sessions of all components.
///
/// # Errors
/// When etcd cannot be read.
pub async fn sessions(etcd: &Etcd, location: &Location) -> Result<Vec<Session>, EtcdError> {
    let prefix = location.key(sessions::PREFIX);
    let mut scan = etcd.scan(prefix.as_bytes(), 0);
    let mut found = Vec::new();
    while let Some(page) = scan.next(etcd).await? {
        found.extend(page.iter().filter_map(|entry| Session::read(prefix.as_bytes(), entry)));
    }
    Ok(found)
}
