//! What was worked out lately, by exactly what it was made from: a dry run and the write after it, and a state that was the new one a moment ago, are worked out once.
//!
//! A key is the whole text that something was made from, and is compared whole: what has another key is worked out anew. Whatever else counts must be in the key too, or not change.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

/// Entries that are kept; the one that was asked for longest ago goes first.
const ENTRIES: usize = 32;

/// Longer keys are not kept, in bytes.
const MAX_KEY_BYTES: usize = 16 << 10;

/// Things worked out lately; `V` is cheap to clone.
#[derive(Debug)]
pub(super) struct Memo<V> {
    entries: Mutex<VecDeque<Entry<V>>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Entry<V> {
    hash: u64,
    key: Box<str>,
    value: V,
}

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self { entries: Mutex::default(), hasher: RandomState::new() }
    }
}

impl<V: Clone> Memo<V> {
    /// What was made from exactly this.
    pub(super) fn get(&self, key: &str) -> Option<V> {
        let hash = self.hasher.hash_one(key);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().position(|entry| entry.hash == hash && *entry.key == *key)?;
        let entry = entries.remove(at)?;
        let value = entry.value.clone();
        entries.push_back(entry);
        Some(value)
    }

    /// Keeps what was made from this.
    pub(super) fn put(&self, key: &str, value: V) {
        if key.len() > MAX_KEY_BYTES {
            return;
        }
        let entry = Entry { hash: self.hasher.hash_one(key), key: key.into(), value };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|known| known.hash != entry.hash || known.key != entry.key);
        if entries.len() >= ENTRIES {
            entries.pop_front();
        }
        entries.push_back(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_last_stays_and_memory_is_bounded() {
        let memo = Memo::default();
        for number in 0..ENTRIES {
            memo.put(&number.to_string(), number);
        }
        assert_eq!(memo.get("0"), Some(0));
        memo.put("new", 77);
        assert_eq!((memo.get("0"), memo.get("1"), memo.get("2"), memo.get("new")), (Some(0), None, Some(2), Some(77)));
        memo.put("new", 78);
        memo.put(&"x".repeat(MAX_KEY_BYTES + 1), 79);
        assert_eq!((memo.get("new"), memo.get(&"x".repeat(MAX_KEY_BYTES + 1)), memo.entries.lock().unwrap().len()), (Some(78), None, ENTRIES));
    }
}
