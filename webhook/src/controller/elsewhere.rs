//! Rounds that wait for what is no part of Kubernetes, such as an etcd that gives no answer: they keep no other release from its turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// How many ask at a time; the others wait for them, and for nobody else.
const AT_ONCE: usize = 16;

/// Who waits elsewhere.
#[derive(Debug)]
pub struct Elsewhere {
    waiting: AtomicUsize,
    asking: Semaphore,
    began: Notify,
}

impl Default for Elsewhere {
    fn default() -> Self {
        Self { waiting: AtomicUsize::new(0), asking: Semaphore::new(AT_ONCE), began: Notify::new() }
    }
}

/// For as long as this lives, its round waits elsewhere.
#[derive(Debug)]
pub struct Waiting<'e> {
    of: &'e Elsewhere,
    turn: Option<SemaphorePermit<'e>>,
}

impl Elsewhere {
    /// Waits for the turn to ask elsewhere. From now on the round counts as one that waits.
    pub async fn begin(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.began.notify_one();
        let mut waiting = Waiting { of: self, turn: None };
        waiting.turn = self.asking.acquire().await.ok();
        waiting
    }

    /// How many rounds wait elsewhere.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Resolves once one more waits; for one who listens.
    pub async fn began(&self) {
        self.began.notified().await;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        drop(self.turn.take());
        self.of.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_counted_from_its_first_moment_to_its_last() {
        let elsewhere = Elsewhere::default();
        let mut all = Vec::new();
        for _ in 0..AT_ONCE {
            all.push(elsewhere.begin().await);
        }
        assert_eq!(elsewhere.waiting(), AT_ONCE);
        elsewhere.began().await;
        {
            let mut late = std::pin::pin!(elsewhere.begin());
            assert!(futures::poll!(&mut late).is_pending(), "one too many asks");
            assert_eq!(elsewhere.waiting(), AT_ONCE + 1);
        }
        assert_eq!(elsewhere.waiting(), AT_ONCE, "it gave up");
        all.clear();
        assert_eq!(elsewhere.waiting(), 0);
    }
}
