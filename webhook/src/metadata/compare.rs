//! Metadata as it is in etcd: its sum, and a copy of it. Keys with a lease are left out: sessions, which end by themselves.

use std::io::{self, Write};

use super::backup::{Digest, Manifest, Sum, Writer};
use super::etcd::{Etcd, EtcdError};
use super::layout::Counts;
use super::location::Location;

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum NoBackup {
    /// etcd cannot be read.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The file cannot be written.
    #[error("the backup cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// The sum of all metadata, at one revision. 0: now.
///
/// # Errors
/// When etcd cannot be read.
pub async fn sum(etcd: &Etcd, location: &Location, revision: i64) -> Result<Sum, EtcdError> {
    let mut digest = Digest::default();
    let mut scan = etcd.scan(location.key("").as_bytes(), revision);
    while let Some(page) = scan.next(etcd).await? {
        page.iter().filter(|entry| entry.lease == 0).for_each(|entry| digest.add(&entry.key, &entry.value));
    }
    Ok(digest.sum())
}

/// Copies all metadata, at the revision at which `counts` were taken.
///
/// # Errors
/// When etcd cannot be read, or `out` not written.
pub async fn copy<W: Write>(etcd: &Etcd, location: &Location, counts: Counts, out: W) -> Result<(W, Manifest), NoBackup> {
    let (prefix, revision) = (location.key(""), counts.revision);
    let mut entries = 0;
    let mut keys = etcd.scan(prefix.as_bytes(), revision).keys_only();
    while let Some(page) = keys.next(etcd).await? {
        entries += page.iter().filter(|entry| entry.lease == 0).count() as u64;
    }
    let mut writer = Writer::new(out, location, entries)?;
    let mut scan = etcd.scan(prefix.as_bytes(), revision);
    while let Some(page) = scan.next(etcd).await? {
        for entry in page.iter().filter(|entry| entry.lease == 0) {
            writer.add(&entry.key, &entry.value)?;
        }
    }
    let (out, sum) = writer.finish()?;
    Ok((out, Manifest { of: format!("{}/{}", location.root, location.meta), revision, sum, counts }))
}
