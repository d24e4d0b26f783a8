//! Carries one upgrade out without an installed guard: the same rounds, from wherever this runs, with what a person may do in one namespace.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::ReleaseKey;
use super::caches::Caches;
use super::kept::{Kept, name_of};
use super::lease::Leadership;
use super::round::{Again, Work, wall_clock};

/// When to look again where nothing moved.
const IDLE: Duration = Duration::from_secs(10);

/// When to look again where all seems done.
const SHORT: Duration = Duration::from_millis(200);

/// After a round that failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Rounds that may fail one after the other.
const FAILURES: u32 = 20;

/// What it works with.
#[derive(Debug, Clone, Default)]
pub struct Means {
    /// Our own image, for the Jobs of a migration.
    pub image: Option<String>,
    /// Helm waits for this: that its revision is pending says nothing.
    pub within_hook: bool,
}

/// One upgrade that is carried out here.
pub struct Alone {
    client: Client,
    key: ReleaseKey,
    leadership: Arc<Leadership>,
    caches: Arc<Caches>,
    moved: UnboundedReceiver<ReleaseKey>,
    work: Work,
    failures: u32,
}

impl std::fmt::Debug for Alone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alone").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Alone {
    /// Takes the Lease of the release, and begins to watch its namespace. `identity` tells this one from others.
    #[must_use]
    pub fn start(client: &Client, key: ReleaseKey, identity: String, means: Means) -> Self {
        let (sender, moved) = unbounded_channel();
        let leadership = Leadership::start(client, &key.namespace, &name_of(&key.name), identity);
        let caches = Caches::start_alone(client, &key.namespace, &sender);
        let recorder = Recorder::new(client.clone(), Reporter { controller: super::FIELD_MANAGER.into(), instance: None });
        let leads = Arc::clone(&leadership);
        let work = Work {
            client: client.clone(),
            caches: Arc::clone(&caches),
            recorder,
            revisions: Arc::default(),
            others: Arc::default(),
            excepted: None,
            elsewhere: Arc::default(),
            metrics: Arc::default(),
            kept: Kept::InConfigMaps,
            image: means.image.map(Arc::from),
            heeds_helm: !means.within_hook,
            may_write: Arc::new(move || leads.is_held()),
            clock: Arc::new(wall_clock),
        };
        Self { client: client.clone(), key, leadership, caches, moved, work, failures: 0 }
    }

    /// Waits for the Lease and for the first look; whether both came within a time. Another one that acts on this release keeps it.
    pub async fn is_ready(&self, within: Duration) -> bool {
        let begin = tokio::time::Instant::now();
        while !(self.leadership.is_held() && self.caches.are_filled()) {
            if begin.elapsed() >= within {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    }

    /// One round, and the wait for the next; the upgrade as it is then, and whether traces of ours are left on workloads.
    ///
    /// # Errors
    /// When the API server refuses again and again.
    pub async fn step(&mut self) -> anyhow::Result<(Option<Value>, bool)> {
        let again = match self.work.round(&self.key).await {
            Ok(again) => {
                self.failures = 0;
                again
            }
            Err(error) => {
                self.failures += 1;
                if self.failures >= FAILURES {
                    return Err(error);
                }
                Again::After(AFTER_ERROR)
            }
        };
        let upgrade = Kept::InConfigMaps.read(&self.client, &self.key).await?;
        let wait = match again {
            Again::After(wait) => wait.min(IDLE),
            Again::Never if self.is_traced() => IDLE,
            Again::Never => SHORT,
        };
        if tokio::time::timeout(wait, self.moved.recv()).await.is_ok() {
            // What moves together is looked at together.
            tokio::time::sleep(Duration::from_millis(20)).await;
            while self.moved.try_recv().is_ok() {}
        }
        Ok((upgrade, self.is_traced()))
    }

    fn is_traced(&self) -> bool {
        let (seen, _) = self.caches.seen(&self.key);
        seen.held().next().is_some() || seen.workloads.iter().any(|workload| workload.is_traced) || seen.stores.iter().any(|store| store.is_traced)
    }

    /// Forgets the upgrade and gives the Lease back.
    ///
    /// # Errors
    /// When the API server refused.
    pub async fn end(self) -> anyhow::Result<()> {
        Kept::forget(&self.client, &self.key).await?;
        self.give_back().await
    }

    /// Gives the Lease back, so that the next one need not wait until it has run out.
    ///
    /// # Errors
    /// When the API server refused.
    pub async fn give_back(self) -> anyhow::Result<()> {
        Ok(self.leadership.remove().await?)
    }
}
