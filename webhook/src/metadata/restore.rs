//! Puts metadata back to what a backup holds: writes what is missing or differs, deletes what is not in it. Begun again after a fault, it goes on where it was.
//!
//! Upstream's rollback deletes first and reads the file last. Here the file is read through and checked before anything is touched, and each write is refused where somebody else has
//! written the key meanwhile.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io::{self, BufRead};
use std::time::{Duration, Instant};

use super::backup::{Broken, Manifest, Reader, Sum};
use super::compare;
use super::etcd::{Entry, Etcd, EtcdError, Scan, Write};
use super::location::Location;
use super::sessions::{MIGRATION, Role};

/// Writes of one transaction; etcd takes 128 unless it is told otherwise.
const WRITES: usize = 64;

/// Bytes of one transaction; etcd takes 1.5 MiB unless it is told otherwise.
const BYTES: usize = 512 << 10;

/// What our lock holds.
const OURS: &[u8] = br#"{"ServerName":"milvus-guard","Exclusive":true}"#;

/// How long the lock of a migration outlives who held it, in seconds; as upstream's tool has it.
const LEASE_SECONDS: i64 = 60;

/// How often the lock is kept.
const KEEP_EACH: Duration = Duration::from_secs(15);

/// Why metadata was not put back.
#[derive(Debug, thiserror::Error)]
pub enum NotRestored {
    /// The backup is not whole: nothing was touched.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// etcd did not do what was asked.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// Milvus runs: nothing was touched.
    #[error("Milvus runs: {0} has a session")]
    Alive(String),
    /// A migration runs, or was killed less than a minute ago: nothing was touched.
    #[error("a migration runs, or was killed less than a minute ago")]
    Busy,
    /// Somebody else writes.
    #[error("somebody else writes metadata, or another restore has begun: `{0}` or the lock changed meanwhile")]
    Changed(String),
    /// All was written, and it is not what the backup holds.
    #[error("everything was put back, and etcd holds {} keys ({}) instead of {} ({})", .found.entries, .found.digest, .wanted.entries, .wanted.digest)]
    Differs {
        /// What etcd holds.
        found: Sum,
        /// What the backup holds.
        wanted: Sum,
    },
}

impl From<io::Error> for NotRestored {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.into())
    }
}

impl NotRestored {
    /// Whether it may pass by itself.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Busy => true,
            Self::Etcd(error) => error.may_pass() || matches!(error, EtcdError::LeaseGone),
            _ => false,
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Keys that were written.
    pub written: u64,
    /// Keys that were deleted.
    pub deleted: u64,
}

/// Puts metadata back. `open` gives the backup from its beginning.
///
/// # Errors
/// When it was not put back in full. It may be called again.
pub async fn restore<R: BufRead>(etcd: &Etcd, location: &Location, manifest: &Manifest, open: impl Fn() -> io::Result<R>) -> Result<Restored, NotRestored> {
    Reader::new(open()?, location)?.check(manifest)?;
    nobody_lives(etcd, location).await?;
    let mut lock = Lock::take(etcd, location).await?;
    let result = async {
        // Whoever came before the lock is seen now.
        nobody_lives(etcd, location).await?;
        let restored = put_back(etcd, location, Reader::new(open()?, location)?, manifest, &mut lock).await?;
        let found = compare::sum(etcd, location, 0).await?;
        if found == manifest.sum { Ok(restored) } else { Err(NotRestored::Differs { found, wanted: manifest.sum.clone() }) }
    }
    .await;
    // Where that fails it ends by itself.
    let _ = etcd.end_lease(lock.lease).await;
    result
}

/// Whether all sessions have ended, but for those of migrations.
///
/// # Errors
/// When one lives, or etcd cannot be read.
pub async fn nobody_lives(etcd: &Etcd, location: &Location) -> Result<(), NotRestored> {
    let sessions = super::sessions(etcd, location).await?;
    match sessions.iter().find(|session| session.role != Role::Migration) {
        Some(session) => Err(NotRestored::Alive(session.owner())),
        None => Ok(()),
    }
}

/// What keeps upstream's tool from running at the same time: the key that it takes itself. A restore that begins anew takes over from one that was killed; each write of a restore is refused
/// once it has lost the key.
#[derive(Debug)]
struct Lock {
    key: Vec<u8>,
    written_at: i64,
    lease: i64,
    kept: Instant,
}

impl Lock {
    async fn take(etcd: &Etcd, location: &Location) -> Result<Self, NotRestored> {
        let key = location.key(MIGRATION).into_bytes();
        let lease = etcd.lease(LEASE_SECONDS).await?;
        let there = etcd.scan(&key, 0).next(etcd).await?.into_iter().flatten().find(|entry| entry.key == key);
        let is_free = there.as_ref().is_none_or(|entry| entry.value == OURS);
        let write = Write { key: key.clone(), value: Some(OURS.to_vec()), lease, written_at: there.map_or(0, |entry| entry.written_at) };
        let taken = if is_free { etcd.write(&[write], None).await? } else { None };
        match taken {
            Some(written_at) => Ok(Self { key, written_at, lease, kept: Instant::now() }),
            None => {
                let _ = etcd.end_lease(lease).await;
                Err(NotRestored::Busy)
            }
        }
    }

    async fn keep(&mut self, etcd: &Etcd) -> Result<(), EtcdError> {
        if self.kept.elapsed() >= KEEP_EACH {
            etcd.keep(self.lease).await?;
            self.kept = Instant::now();
        }
        Ok(())
    }
}

/// Walks through backup and etcd side by side, both in the order of keys.
async fn put_back<R: BufRead>(etcd: &Etcd, location: &Location, mut backup: Reader<R>, manifest: &Manifest, lock: &mut Lock) -> Result<Restored, NotRestored> {
    let mut there = There { scan: etcd.scan(location.key("").as_bytes(), 0), page: VecDeque::new() };
    let mut batch = Batch::default();
    let mut wanted = backup.read()?;
    loop {
        lock.keep(etcd).await?;
        let write = match (wanted.take(), there.peek(etcd).await?) {
            (None, None) => break,
            (Some((key, value)), None) => Some(Write { key, value: Some(value), lease: 0, written_at: 0 }),
            (None, Some(_)) => there.take().and_then(deletion),
            (Some((key, value)), Some(entry)) => match key.cmp(&entry.key) {
                Ordering::Less => Some(Write { key, value: Some(value), lease: 0, written_at: 0 }),
                Ordering::Greater => {
                    wanted = Some((key, value));
                    there.take().and_then(deletion)
                }
                Ordering::Equal => there.take().filter(|entry| entry.value != value || entry.lease != 0).map(|entry| Write {
                    key,
                    value: Some(value),
                    lease: 0,
                    written_at: entry.written_at,
                }),
            },
        };
        if wanted.is_none() {
            wanted = backup.read()?;
        }
        if let Some(write) = write {
            batch.add(etcd, lock, write).await?;
        }
    }
    batch.flush(etcd, lock).await?;
    backup.end(manifest)?;
    Ok(batch.done)
}

/// Takes a key away that is not in the backup; what has a lease ends by itself.
fn deletion(entry: Entry) -> Option<Write> {
    (entry.lease == 0).then_some(Write { key: entry.key, value: None, lease: 0, written_at: entry.written_at })
}

/// Keys as they are in etcd.
struct There {
    scan: Scan,
    page: VecDeque<Entry>,
}

impl There {
    async fn peek(&mut self, etcd: &Etcd) -> Result<Option<&Entry>, EtcdError> {
        while self.page.is_empty() {
            match self.scan.next(etcd).await? {
                Some(page) => self.page = page.into(),
                None => return Ok(None),
            }
        }
        Ok(self.page.front())
    }

    fn take(&mut self) -> Option<Entry> {
        self.page.pop_front()
    }
}

/// Writes that are sent together.
#[derive(Default)]
struct Batch {
    writes: Vec<Write>,
    bytes: usize,
    done: Restored,
}

impl Batch {
    async fn add(&mut self, etcd: &Etcd, lock: &Lock, write: Write) -> Result<(), NotRestored> {
        let bytes = write.key.len() * 2 + write.value.as_ref().map_or(0, Vec::len);
        if self.writes.len() >= WRITES || self.bytes + bytes > BYTES {
            self.flush(etcd, lock).await?;
        }
        self.bytes += bytes;
        self.writes.push(write);
        Ok(())
    }

    async fn flush(&mut self, etcd: &Etcd, lock: &Lock) -> Result<(), NotRestored> {
        let Some(first) = self.writes.first() else { return Ok(()) };
        if etcd.write(&self.writes, Some((&lock.key, lock.written_at))).await?.is_none() {
            return Err(NotRestored::Changed(String::from_utf8_lossy(&first.key).into_owned()));
        }
        for write in self.writes.drain(..) {
            *(if write.value.is_some() { &mut self.done.written } else { &mut self.done.deleted }) += 1;
        }
        self.bytes = 0;
        Ok(())
    }
}
