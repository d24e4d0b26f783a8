//! Stores and queues that are held where no workload of Milvus is: a change of theirs alone, beside no upgrade or one that has ended, or what is left of one that was taken back. They are let go one after the other. Pure.

use std::sync::Arc;

use milvus_guard::rollout::observed::{Hold, Moment};

use super::observe::Seen;
use super::seen::Store;

/// Seconds after the last write in which more of a change may come: what tools write beside a store would be held, and decides then.
const SETTLE_SECONDS: u64 = 15;

/// What is due of some stores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Due<'s> {
    /// Nothing is held.
    Nothing,
    /// One that was let go is not complete; another one is next.
    After(&'s Arc<Store>),
    /// This one may be let go.
    Next(&'s Arc<Store>),
}

/// What is due of those stores that are chosen.
#[must_use]
pub fn due(seen: &Seen, chosen: impl Fn(&Store) -> bool) -> Due<'_> {
    let all = || seen.stores.iter().filter(|store| chosen(store));
    let Some(next) = all().find(|store| store.hold == Hold::Held) else { return Due::Nothing };
    all().find(|store| is_rolling(store)).map_or(Due::Next(next), Due::After)
}

fn is_rolling(store: &Store) -> bool {
    store.hold == Hold::None && !store.is_complete
}

/// One that is not held, and not complete.
#[must_use]
pub fn rolling(seen: &Seen) -> Option<&Store> {
    seen.stores.iter().map(|store| &**store).find(|store| is_rolling(store))
}

/// Whether stores alone are held of a release that is there: nothing of its Milvus waits, and none of it is stopped for a migration.
#[must_use]
pub fn are_alone(seen: &Seen) -> bool {
    !seen.workloads.is_empty() && seen.held().next().is_none() && seen.workloads.iter().all(|workload| workload.stopped.is_none())
}

/// When a change of stores alone counts as arrived.
#[must_use]
pub fn arrived(seen: &Seen) -> Moment {
    seen.written().plus(SETTLE_SECONDS)
}

/// The names of those that are held; nothing where none is.
#[must_use]
pub fn held(seen: &Seen) -> Option<String> {
    let names: Vec<&str> = seen.stores.iter().filter(|store| store.hold == Hold::Held).map(|store| &*store.name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
