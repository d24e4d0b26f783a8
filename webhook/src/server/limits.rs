//! What one request and all requests together may cost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounds of the server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest body, in bytes; longer ones are answered with 413.
    pub body_bytes: usize,
    /// Requests judged at the same time.
    pub in_flight: usize,
    /// Bytes of bodies in memory at the same time.
    pub in_flight_bytes: usize,
    /// Bytes of decoded bodies in memory at the same time (an estimate from their punctuation); a body that alone takes more is answered with 413.
    pub decoded_bytes: usize,
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
            in_flight: 128,
            in_flight_bytes: 10 << 20,
            decoded_bytes: 12 << 20,
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
    bodies: Memory,
    decoded: Memory,
}

/// A request's place; given back on drop.
#[derive(Debug)]
pub(super) struct Place {
    _request: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

/// Memory that requests share.
#[derive(Debug)]
struct Memory {
    pages: Arc<Semaphore>,
    most: usize,
}

impl Memory {
    fn new(bytes: usize) -> Self {
        Self { pages: Arc::new(Semaphore::new(pages(bytes))), most: bytes }
    }

    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.pages).acquire_many_owned(u32::try_from(pages(bytes.min(self.most))).ok()?).await.ok()
    }
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(limits.in_flight)),
            bodies: Memory::new(limits.in_flight_bytes.max(limits.body_bytes)),
            decoded: Memory::new(limits.decoded_bytes),
        }
    }

    /// A place for a body of `bytes`, or nothing when none comes free within `queue`.
    pub(super) async fn enter(&self, bytes: usize, queue: Duration) -> Option<Place> {
        let both = async {
            let request = Arc::clone(&self.requests).acquire_owned().await.ok()?;
            Some(Place { _request: request, _memory: self.bodies.take(bytes).await? })
        };
        tokio::time::timeout(queue, both).await.ok().flatten()
    }

    /// Memory for what a body is decoded to, while the body is there too; nothing when none comes free within `queue`. Whoever has it waits for no other.
    pub(super) async fn decode(&self, bytes: usize, queue: Duration) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(queue, self.decoded.take(bytes)).await.ok().flatten()
    }
}

impl Place {
    /// The place of a body that is decoded and gone.
    pub(super) fn decoded(self, memory: OwnedSemaphorePermit) -> Self {
        Self { _memory: memory, ..self }
    }
}

const fn pages(bytes: usize) -> usize {
    bytes.div_ceil(PAGE)
}

/// Memory of a table with up to eleven entries: a leaf of a `BTreeMap` has room for so many keys (24 bytes) and values (32 bytes).
const TABLE_BYTES: usize = 640;

/// Memory of an entry or item beyond these, in collections that are half empty at worst; a list begins with room for four values.
const ITEM_BYTES: usize = 128;

/// How much memory the JSON in `body` takes once it is decoded, at most: each table and list begins with a bracket, each further item with a comma, and texts
/// are no longer than they are written. What stands in texts counts too.
pub(super) fn decoded_bytes_at_most(body: &[u8]) -> usize {
    let (mut tables, mut items) = (0, 1);
    // Counted in single bytes, many at once.
    for piece in body.chunks(255) {
        tables += usize::from(piece.iter().map(|byte| u8::from(*byte == b'{')).sum::<u8>());
        items += usize::from(piece.iter().map(|byte| u8::from(matches!(byte, b',' | b'['))).sum::<u8>());
    }
    body.len() + tables * TABLE_BYTES + items * ITEM_BYTES
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

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

    #[tokio::test]
    async fn memory_of_a_body_is_free_once_it_is_decoded() {
        let limits = Limits { in_flight_bytes: PAGE, body_bytes: PAGE, decoded_bytes: 2 * PAGE, ..Limits::default() };
        let places = Places::new(&limits);
        let place = places.enter(PAGE, Duration::ZERO).await.unwrap();
        let memory = places.decode(2 * PAGE, Duration::ZERO).await.unwrap();
        assert!(places.enter(PAGE, Duration::from_millis(1)).await.is_none());
        let place = place.decoded(memory);
        assert!(places.enter(PAGE, Duration::ZERO).await.is_some());
        assert!(places.decode(PAGE, Duration::from_millis(1)).await.is_none());
        drop(place);
        assert!(places.decode(2 * PAGE, Duration::ZERO).await.is_some());
    }

    #[test]
    fn decoded_memory_is_never_counted_too_low() {
        /// Room of a list, of leaves, and of texts, as the standard library's collections take it.
        fn count(value: &Value) -> usize {
            match value {
                Value::Array(items) => items.capacity() * size_of::<Value>() + items.iter().map(count).sum::<usize>(),
                Value::Object(items) => {
                    let leaves = items.len().div_ceil(if items.len() > 11 { 5 } else { 11 });
                    leaves * (11 * (size_of::<String>() + size_of::<Value>()) + 16)
                        + items.iter().map(|(key, value)| key.capacity() + count(value)).sum::<usize>()
                }
                Value::String(text) => text.capacity(),
                _ => 0,
            }
        }
        let numbers = format!("[{}0]", "0,".repeat(1000));
        let tables = format!("[{}0]", "{\"a\":0},".repeat(1000));
        let wide = format!("{{{}\"z\":0}}", (0..1000).map(|n| format!("\"{n}\":[],")).collect::<String>());
        for text in ["{}", "[1,2,3]", r#"{"a":{"b":[[],[{}]]}}"#, &numbers, &tables, &wide, &format!("{}{}", "[".repeat(100), "]".repeat(100))] {
            let decoded = count(&serde_json::from_str(text).unwrap());
            assert!(decoded_bytes_at_most(text.as_bytes()) >= decoded, "{decoded}: {}", text.chars().take(40).collect::<String>());
        }
    }
}
