//! What one request and all requests together may cost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounds of the server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest body, in bytes; longer ones are answered with 413.
    pub body_bytes: usize,
    /// The most values in one body (an estimate from its punctuation); more are answered with 413.
    pub nodes: usize,
    /// Requests judged at the same time.
    pub in_flight: usize,
    /// Bytes of bodies in memory at the same time.
    pub in_flight_bytes: usize,
    /// How long a request waits for a place before it is answered with 429.
    pub queue: Duration,
    /// From the whole body to the answer; then the doubt policy answers. Well below `timeoutSeconds` of the registration.
    pub budget: Duration,
    /// How long a body may take to arrive.
    pub body_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 << 20,
            nodes: 300_000,
            in_flight: 128,
            in_flight_bytes: 24 << 20,
            queue: Duration::from_millis(500),
            budget: Duration::from_secs(4),
            body_time: Duration::from_secs(4),
        }
    }
}

/// Bytes per permit of the memory semaphore.
const PAGE: usize = 4096;

/// Places for requests in flight.
#[derive(Debug)]
pub(super) struct Places {
    requests: Arc<Semaphore>,
    pages: Arc<Semaphore>,
    most_pages: usize,
}

/// A request's place; given back on drop.
#[derive(Debug)]
pub(super) struct Place {
    _request: OwnedSemaphorePermit,
    _pages: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        let most_pages = pages(limits.in_flight_bytes.max(limits.body_bytes));
        Self { requests: Arc::new(Semaphore::new(limits.in_flight)), pages: Arc::new(Semaphore::new(most_pages)), most_pages }
    }

    /// A place for a body of `bytes`, or nothing when none comes free within `queue`.
    pub(super) async fn enter(&self, bytes: usize, queue: Duration) -> Option<Place> {
        let wanted = u32::try_from(pages(bytes).min(self.most_pages)).ok()?;
        let both = async {
            let request = Arc::clone(&self.requests).acquire_owned().await.ok()?;
            let pages = Arc::clone(&self.pages).acquire_many_owned(wanted).await.ok()?;
            Some(Place { _request: request, _pages: pages })
        };
        tokio::time::timeout(queue, both).await.ok().flatten()
    }
}

const fn pages(bytes: usize) -> usize {
    bytes.div_ceil(PAGE)
}

/// At most how many JSON values `body` holds: each needs a bracket or a comma of its own, and what stands in strings counts too.
pub(super) fn nodes_at_most(body: &[u8]) -> usize {
    1 + body.iter().map(|byte| usize::from(matches!(byte, b',' | b'[' | b'{'))).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_refused_when_memory_is_taken_and_free_again_after() {
        let limits = Limits { in_flight_bytes: 10 * PAGE, body_bytes: 10 * PAGE, ..Limits::default() };
        let places = Places::new(&limits);
        let first = places.enter(8 * PAGE, Duration::ZERO).await.unwrap();
        assert!(places.enter(3 * PAGE, Duration::from_millis(1)).await.is_none());
        drop(first);
        assert!(places.enter(3 * PAGE, Duration::from_millis(1)).await.is_some());
    }

    #[test]
    fn nodes_are_never_counted_too_low() {
        for text in ["{}", "[1,2,3]", r#"{"a":{"b":[[],[]]}}"#] {
            fn count(value: &serde_json::Value) -> usize {
                1 + match value {
                    serde_json::Value::Array(items) => items.iter().map(count).sum(),
                    serde_json::Value::Object(items) => items.values().map(count).sum(),
                    _ => 0,
                }
            }
            assert!(nodes_at_most(text.as_bytes()) >= count(&serde_json::from_str(text).unwrap()), "{text}");
        }
    }
}
