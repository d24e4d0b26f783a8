//! First listings of watches: objects are large before they are reduced, so a few are read at a time, of few kinds at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Objects that are read at a time.
pub(crate) const PAGE: u32 = 50;

/// Kinds that are listed at a time.
const AT_ONCE: usize = 2;

/// Whose turn it is to list.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Turns {
    /// Waits for a turn, which lasts until it is dropped.
    pub(crate) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}
