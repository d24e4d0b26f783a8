//! What was worked out lately, by what it was made from (mostly a fingerprint of all of that): a dry run and the write after it, and a state that was the new one a moment ago, are worked out once.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;
use std::sync::{Mutex, PoisonError};

/// Things worked out lately, by what they were made from; `V` is cheap to clone.
///
/// Half of them are recent ones. Once that half is full, those of the other half that were not asked for since go.
#[derive(Debug)]
pub(crate) struct Memo<K, V> {
    half: usize,
    kept: Mutex<Halves<K, V>>,
}

#[derive(Debug)]
struct Halves<K, V> {
    recent: HashMap<K, V>,
    older: HashMap<K, V>,
}

impl<K: Copy + Eq + Hash, V: Clone> Memo<K, V> {
    /// Keeps up to `most` things.
    pub(crate) fn of(most: usize) -> Self {
        Self { half: most.div_ceil(2), kept: Mutex::new(Halves { recent: HashMap::new(), older: HashMap::new() }) }
    }

    /// What was made from this.
    pub(crate) fn get(&self, of: &K) -> Option<V> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = kept.recent.get(of) {
            return Some(value.clone());
        }
        let value = kept.older.remove(of)?;
        self.keep(&mut kept, of, value.clone());
        Some(value)
    }

    /// Keeps what was made from this.
    pub(crate) fn put(&self, of: &K, value: V) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.older.remove(of);
        self.keep(&mut kept, of, value);
    }

    fn keep(&self, kept: &mut Halves<K, V>, of: &K, value: V) {
        if kept.recent.len() >= self.half && !kept.recent.contains_key(of) {
            kept.older = mem::take(&mut kept.recent);
        }
        kept.recent.insert(*of, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_last_stays_and_memory_is_bounded() {
        let memo = Memo::of(8);
        for number in 0..1000 {
            memo.put(&number, number);
            assert_eq!((memo.get(&0), memo.get(&number)), (Some(0), Some(number)));
        }
        let kept = memo.kept.lock().unwrap();
        assert!(kept.recent.len() <= 4 && kept.older.len() <= 4);
        drop(kept);
        assert!((1..990).all(|number| memo.get(&number).is_none()));
        memo.put(&0, 77);
        assert_eq!(memo.get(&0), Some(77));
    }

    #[test]
    fn what_is_put_again_is_the_new_one_wherever_the_old_one_was() {
        let memo = Memo::of(4);
        (0..3).for_each(|number| memo.put(&number, number));
        // The first is among the older ones now.
        memo.put(&0, 10);
        memo.put(&3, 3);
        assert_eq!(memo.get(&0), Some(10));
    }
}
