//! The entries of a table of values: a sorted list while they are few, as nearly always; a tree where they are many, so that no text makes a table slow.

use std::collections::{BTreeMap, btree_map};
use std::iter::Zip;
use std::slice;
use std::sync::Arc;

use super::value::Entry;

/// Entries that are kept in a list.
const FEW: usize = 64;

/// Keys and their entries, in the order of the keys.
#[derive(Debug, Clone)]
pub struct Entries(Kept);

#[derive(Debug, Clone)]
enum Kept {
    /// Sorted by key. Keys lie apart, so that a look-up reads little memory: lengths tell most of them apart.
    Few {
        keys: Vec<Arc<str>>,
        entries: Vec<Entry>,
    },
    Many(BTreeMap<Arc<str>, Entry>),
}

impl Entries {
    /// No entries.
    #[must_use]
    pub const fn new() -> Self {
        Self(Kept::Few { keys: Vec::new(), entries: Vec::new() })
    }

    /// No entries, with room for as many.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self(Kept::Few { keys: Vec::with_capacity(count.min(FEW)), entries: Vec::with_capacity(count.min(FEW)) })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Kept::Few { keys, .. } => keys.len(),
            Kept::Many(tree) => tree.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.0 {
            Kept::Few { keys, entries } => entries.get(position(keys, key)?),
            Kept::Many(tree) => tree.get(key),
        }
    }

    /// The entry of a key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        match &mut self.0 {
            Kept::Few { keys, entries } => entries.get_mut(position(keys, key)?),
            Kept::Many(tree) => tree.get_mut(key),
        }
    }

    /// Whether there is an entry of a key.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Puts an entry at a key; gives the one that was there.
    pub fn insert(&mut self, key: Arc<str>, entry: Entry) -> Option<Entry> {
        match &mut self.0 {
            Kept::Few { keys, entries } => match keys.binary_search(&key) {
                Ok(at) => entries.get_mut(at).map(|there| std::mem::replace(there, entry)),
                Err(at) if keys.len() < FEW => {
                    keys.insert(at, key);
                    entries.insert(at, entry);
                    None
                }
                Err(_) => {
                    let mut tree: BTreeMap<_, _> = keys.drain(..).zip(entries.drain(..)).collect();
                    tree.insert(key, entry);
                    self.0 = Kept::Many(tree);
                    None
                }
            },
            Kept::Many(tree) => tree.insert(key, entry),
        }
    }

    /// Takes the entry of a key out.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        match &mut self.0 {
            Kept::Few { keys, entries } => {
                let at = position(keys, key)?;
                keys.remove(at);
                Some(entries.remove(at))
            }
            Kept::Many(tree) => tree.remove(key),
        }
    }

    /// Keeps the entries that fit.
    pub fn retain(&mut self, mut fits: impl FnMut(&Arc<str>, &mut Entry) -> bool) {
        match &mut self.0 {
            Kept::Few { keys, entries } => {
                let kept = keys.drain(..).zip(entries.drain(..)).filter_map(|(key, mut entry)| fits(&key, &mut entry).then_some((key, entry)));
                (*keys, *entries) = kept.collect();
            }
            Kept::Many(tree) => tree.retain(fits),
        }
    }

    /// Keys and entries, in the order of the keys.
    pub fn iter(&self) -> Iter<'_> {
        match &self.0 {
            Kept::Few { keys, entries } => Iter::Few(keys.iter().zip(entries)),
            Kept::Many(tree) => Iter::Many(tree.iter()),
        }
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.iter().map(|(key, _)| key)
    }

    /// The entries, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &Entry> {
        self.iter().map(|(_, entry)| entry)
    }

    /// The entries, in the order of their keys, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        let (few, many) = match &mut self.0 {
            Kept::Few { entries, .. } => (entries.as_mut_slice(), None),
            Kept::Many(tree) => (Default::default(), Some(tree)),
        };
        few.iter_mut().chain(many.into_iter().flat_map(BTreeMap::values_mut))
    }
}

/// Where a key is among few.
fn position(keys: &[Arc<str>], key: &str) -> Option<usize> {
    keys.iter().position(|known| **known == *key)
}

impl Default for Entries {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other)
    }
}

impl FromIterator<(Arc<str>, Entry)> for Entries {
    fn from_iter<T: IntoIterator<Item = (Arc<str>, Entry)>>(entries: T) -> Self {
        let mut all = Self::new();
        for (key, entry) in entries {
            all.insert(key, entry);
        }
        all
    }
}

impl<const N: usize> From<[(Arc<str>, Entry); N]> for Entries {
    fn from(entries: [(Arc<str>, Entry); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Entries {
    type Item = (&'a Arc<str>, &'a Entry);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Goes through entries in the order of their keys.
#[derive(Debug)]
pub enum Iter<'a> {
    /// Few.
    Few(Zip<slice::Iter<'a, Arc<str>>, slice::Iter<'a, Entry>>),
    /// Many.
    Many(btree_map::Iter<'a, Arc<str>, Entry>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Arc<str>, &'a Entry);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(list) => list.next(),
            Self::Many(tree) => tree.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Few(list) => list.size_hint(),
            Self::Many(tree) => tree.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::place::Origin;
    use crate::model::value::{Node, Value};

    fn entry(number: usize) -> Entry {
        Entry { key: Origin::ChartDefault, node: Node { value: Value::Int(i64::try_from(number).unwrap()), origin: Origin::ChartDefault } }
    }

    /// Keys in an order of their own, each twice.
    fn shuffled(count: usize) -> impl Iterator<Item = (Arc<str>, Entry)> {
        (0..2 * count).map(move |i| (Arc::from(format!("key-{}", i * 7919 % count)), entry(i)))
    }

    #[test]
    fn few_and_many_entries_behave_as_a_tree_does() {
        for count in [0, 1, 2, FEW - 1, FEW, FEW + 1, 10 * FEW] {
            let (mut entries, mut tree) = (Entries::new(), BTreeMap::new());
            for (key, entry) in shuffled(count) {
                assert_eq!(entries.insert(key.clone(), entry.clone()), tree.insert(key, entry));
            }
            for key in ["key-0", "key-1", "key-63", "none"] {
                assert_eq!(entries.get(key), tree.get(key));
                assert_eq!(entries.get_mut(key), tree.get_mut(key));
                assert_eq!(entries.remove(key), tree.remove(key));
            }
            entries.retain(|key, _| !key.ends_with('5'));
            tree.retain(|key, _| !key.ends_with('5'));
            assert!(entries.iter().eq(&tree) && entries.values_mut().eq(tree.values_mut()), "{count}");
            assert_eq!(entries.len(), tree.len());
        }
    }

    #[test]
    fn equal_entries_are_equal_however_they_are_kept() {
        let few: Entries = shuffled(3).collect();
        let mut once_many: Entries = shuffled(FEW + 1).collect();
        once_many.retain(|key, _| few.contains_key(key));
        for (key, entry) in &few {
            once_many.insert(key.clone(), entry.clone());
        }
        assert_eq!(few, once_many);
        assert!(matches!(once_many.0, Kept::Many(_)));
    }

    #[test]
    fn many_keys_in_the_worst_order_are_quick() {
        let started = std::time::Instant::now();
        let entries: Entries = (0..200_000).rev().map(|i| (Arc::from(format!("{i:09}")), entry(i))).collect();
        assert_eq!(entries.len(), 200_000);
        assert!(started.elapsed() < std::time::Duration::from_secs(20));
    }
}
