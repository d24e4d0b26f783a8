//! Which layout metadata has, by keys that only one of the layouts has. Pure: from counts.
//!
//! Source: the migration tool's lists of what it deletes and writes (milvus-io/milvus, `cmd/tools/migration/backend/etcd210.go` and `etcd220.go`, `internal/metastore/kv`). Keys that
//! both have, or that a migration leaves behind (`root-coord/collection/`, `queryCoord-collectionMeta`, `session/id`), prove nothing. A slash at the end matters: `root-coord/collection`
//! is also the beginning of `root-coord/collection-alias`.

use milvus_guard::rollout::observed::Layout;
use serde::{Deserialize, Serialize};

/// Which layout has keys of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Only 2.1.
    V21,
    /// Only 2.2 and later.
    V22,
    /// Both.
    Both,
}

/// Keys that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Their prefix, below root path and meta path.
    pub prefix: &'static str,
    /// Who has such keys.
    pub side: Side,
}

const fn group(side: Side, prefix: &'static str) -> Group {
    Group { prefix, side }
}

/// Definitions of indexes in 2.1.
pub const INDEXES_21: &str = "root-coord/index/";
/// Indexes of segments in 2.1.
pub const SEGMENT_INDEXES_21: &str = "root-coord/segment-index/";
/// Indexes of segments in 2.2.
pub const SEGMENT_INDEXES_22: &str = "segment-index/";
/// Definitions of indexes in 2.2.
pub const INDEXES_22: &str = "field-index/";
/// Collections, in both.
pub const COLLECTIONS: &str = "root-coord/collection/";

/// All groups that are counted.
pub const GROUPS: [Group; 20] = [
    group(Side::V21, INDEXES_21),
    group(Side::V21, SEGMENT_INDEXES_21),
    group(Side::V21, "indexes/"),
    group(Side::V21, "root-coord/collection-alias/"),
    group(Side::V21, "snapshots/root-coord/collection-alias/"),
    group(Side::V21, "root-coord/dd-operation"),
    group(Side::V21, "root-coord/dd-msg-send"),
    group(Side::V21, "snapshots/root-coord/dd-operation"),
    group(Side::V21, "snapshots/root-coord/dd-msg-send"),
    group(Side::V22, INDEXES_22),
    group(Side::V22, SEGMENT_INDEXES_22),
    group(Side::V22, "root-coord/aliases/"),
    group(Side::V22, "snapshots/root-coord/aliases/"),
    group(Side::V22, "querycoord-collection-loadinfo/"),
    group(Side::V22, "querycoord-partition-loadinfo/"),
    group(Side::V22, "root-coord/partitions/"),
    group(Side::V22, "root-coord/fields/"),
    group(Side::V22, "root-coord/database/"),
    group(Side::Both, COLLECTIONS),
    group(Side::Both, "snapshots/root-coord/collection/"),
];

/// How many keys each group has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// The revision of etcd at which they were counted.
    pub revision: i64,
    by_group: [u64; GROUPS.len()],
}

impl Counts {
    pub(super) fn set(&mut self, index: usize, count: u64) {
        if let Some(place) = self.by_group.get_mut(index) {
            *place = count;
        }
    }

    /// Three keys in each of these groups.
    #[cfg(test)]
    pub(crate) fn with(prefixes: &[&str]) -> Self {
        let mut counts = Self::default();
        for prefix in prefixes {
            counts.set(GROUPS.iter().position(|group| group.prefix == *prefix).unwrap(), 3);
        }
        counts
    }

    /// Of keys below a prefix.
    #[cfg(test)]
    pub(crate) fn of_keys<'k>(keys: impl Iterator<Item = &'k String> + Clone, prefix: &str) -> Self {
        let mut counts = Self::default();
        for (index, group) in GROUPS.iter().enumerate() {
            let of_group = keys.clone().filter(|key| key.strip_prefix(prefix).is_some_and(|key| key.starts_with(group.prefix)));
            counts.set(index, of_group.count() as u64);
        }
        counts
    }

    /// All groups with their counts.
    pub fn each(&self) -> impl Iterator<Item = (&'static Group, u64)> {
        GROUPS.iter().zip(self.by_group)
    }

    /// The count of one group; 0 for what is none.
    #[must_use]
    pub fn of(&self, prefix: &str) -> u64 {
        self.each().find(|(group, _)| group.prefix == prefix).map_or(0, |(_, count)| count)
    }

    /// The layout that they tell.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let has = |side: Side| self.each().any(|(group, count)| group.side == side && count > 0);
        match (has(Side::V21), has(Side::V22), has(Side::Both)) {
            (true, true, _) => Layout::Mixed,
            (true, false, _) => Layout::V21,
            (false, true, _) => Layout::V22,
            (false, false, true) => Layout::Undecided,
            (false, false, false) => Layout::Empty,
        }
    }

    /// What a migration that ended well should have written and did not, by the counts before it. Collections stay; indexes of segments that were never
    /// built share one key in 2.2, so that there may be fewer of them, but not none.
    #[must_use]
    pub fn lacks(&self, before: &Self) -> Option<String> {
        let pairs = [(SEGMENT_INDEXES_21, SEGMENT_INDEXES_22, "indexes of segments"), (COLLECTIONS, COLLECTIONS, "collections")];
        pairs
            .iter()
            .find(|(earlier, later, _)| self.of(later) < before.of(earlier))
            .map(|(earlier, later, what)| format!("there were {} {what}, and there are {}", before.of(earlier), self.of(later)))
    }
}

/// A layout in words.
#[must_use]
pub const fn word(layout: Layout) -> &'static str {
    match layout {
        Layout::Empty => "empty",
        Layout::V21 => "2.1",
        Layout::V22 => "2.2",
        Layout::Mixed => "mixed",
        Layout::Undecided => "undecided",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(prefixes: &[&str]) -> Counts {
        Counts::with(prefixes)
    }

    #[test]
    fn every_row_of_the_layout_test_has_its_verdict() {
        assert_eq!(counts(&[]).layout(), Layout::Empty);
        assert_eq!(counts(&[COLLECTIONS]).layout(), Layout::Undecided);
        for earlier in GROUPS.iter().filter(|group| group.side == Side::V21) {
            assert_eq!(counts(&[earlier.prefix]).layout(), Layout::V21);
            assert_eq!(counts(&[earlier.prefix, COLLECTIONS]).layout(), Layout::V21);
            for later in GROUPS.iter().filter(|group| group.side == Side::V22) {
                assert_eq!(counts(&[later.prefix]).layout(), Layout::V22);
                assert_eq!(counts(&[later.prefix, COLLECTIONS]).layout(), Layout::V22);
                assert_eq!(counts(&[earlier.prefix, later.prefix, COLLECTIONS]).layout(), Layout::Mixed);
            }
        }
    }

    #[test]
    fn no_group_of_one_layout_begins_like_a_key_of_another() {
        for one in &GROUPS {
            for other in GROUPS.iter().filter(|other| other.prefix != one.prefix) {
                assert!(!other.prefix.starts_with(one.prefix), "{} counts {}, too", one.prefix, other.prefix);
            }
        }
    }

    #[test]
    fn a_migration_that_lost_something_is_told() {
        let before = counts(&[SEGMENT_INDEXES_21, COLLECTIONS]);
        assert_eq!(counts(&[SEGMENT_INDEXES_22, COLLECTIONS]).lacks(&before), None);
        assert_eq!(counts(&[COLLECTIONS]).lacks(&before).unwrap(), "there were 3 indexes of segments, and there are 0");
        assert_eq!(counts(&[SEGMENT_INDEXES_22]).lacks(&before).unwrap(), "there were 3 collections, and there are 0");
    }
}
