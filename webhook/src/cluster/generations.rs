//! Counts changes of what caches tell, of all of it and by namespace, so that what was worked out from them is known to be out of date.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that namespaces share: those that meet in one are only taken to have changed together.
const COUNTERS: usize = 256;

/// What a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Touched {
    /// Nothing that the caches keep.
    Nothing,
    /// A namespace: its objects, or itself.
    Namespace(String),
    /// Any of them.
    All,
}

/// Counts changes.
#[derive(Debug)]
pub(super) struct Generations {
    all: AtomicU64,
    namespaces: Vec<AtomicU64>,
    hasher: RandomState,
}

impl Default for Generations {
    fn default() -> Self {
        Self { all: AtomicU64::new(0), namespaces: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }
}

impl Generations {
    /// Counts a change that was made.
    pub(super) fn count(&self, touched: &Touched) {
        if *touched == Touched::Nothing {
            return;
        }
        // The sum comes first: who sees a namespace's new number sees that the sum is another one, too.
        self.all.fetch_add(1, Ordering::SeqCst);
        match touched {
            Touched::Namespace(name) => add(self.counter(name)),
            Touched::All | Touched::Nothing => self.namespaces.iter().for_each(add),
        }
    }

    /// Changes of anything.
    pub(super) fn all(&self) -> u64 {
        self.all.load(Ordering::SeqCst)
    }

    /// Changes of a namespace, and of some others.
    pub(super) fn of(&self, namespace: &str) -> u64 {
        self.counter(namespace).load(Ordering::SeqCst)
    }

    fn counter(&self, namespace: &str) -> &AtomicU64 {
        let at = usize::try_from(self.hasher.hash_one(namespace)).unwrap_or_default() % COUNTERS;
        self.namespaces.get(at).unwrap_or(&self.all)
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_counted_where_it_is_made() {
        let counted = Generations::default();
        let elsewhere = (0..).map(|number| format!("ns{number}")).find(|name| !std::ptr::eq(counted.counter(name), counted.counter("db"))).unwrap();
        let told = || (counted.all(), counted.of("db"), counted.of(&elsewhere));
        counted.count(&Touched::Nothing);
        assert_eq!(told(), (0, 0, 0));
        counted.count(&Touched::Namespace("db".into()));
        assert_eq!(told(), (1, 1, 0));
        counted.count(&Touched::All);
        assert_eq!(told(), (2, 2, 1));
    }
}
