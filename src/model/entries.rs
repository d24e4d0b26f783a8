//! The entries of a table of values: a sorted list while they are few, as nearly always; a tree where they are many, so that no text makes a table slow.

use std::collections::{BTreeMap, btree_map};
use std::iter::{Enumerate, Zip};
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
    Few(Few),
    /// What many tables share (the defaults of a chart), and what stands instead at some of its positions, in their order.
    Shared {
        base: Arc<Few>,
        over: Vec<(usize, Entry)>,
    },
    Many(BTreeMap<Arc<str>, Entry>),
}

/// Sorted by key. Keys lie apart, so that a look-up reads little memory: lengths tell most of them apart.
#[derive(Debug, Clone, Default)]
struct Few {
    keys: Vec<Arc<str>>,
    entries: Vec<Entry>,
}

impl Few {
    fn position(&self, key: &str) -> Option<usize> {
        self.keys.iter().position(|known| **known == *key)
    }

    fn iter(&self) -> FewIter<'_> {
        self.keys.iter().zip(&self.entries).enumerate()
    }
}

type FewIter<'a> = Enumerate<Zip<slice::Iter<'a, Arc<str>>, slice::Iter<'a, Entry>>>;

fn put<T>(list: &mut [T], at: usize, item: T) {
    if let Some(slot) = list.get_mut(at) {
        *slot = item;
    }
}

/// What stands at a position of a shared list instead.
fn instead(over: &[(usize, Entry)], at: usize) -> Option<&Entry> {
    over.iter().find(|(other, _)| *other == at).map(|(_, entry)| entry)
}

impl Entries {
    /// No entries.
    #[must_use]
    pub const fn new() -> Self {
        Self(Kept::Few(Few { keys: Vec::new(), entries: Vec::new() }))
    }

    /// No entries, with room for as many.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self(Kept::Few(Few { keys: Vec::with_capacity(count.min(FEW)), entries: Vec::with_capacity(count.min(FEW)) }))
    }

    /// The same entries, so kept that copies share them as far as they stay the same.
    #[must_use]
    pub fn shared(self) -> Self {
        match self.0 {
            Kept::Few(few) => Self(Kept::Shared { base: Arc::new(few), over: Vec::new() }),
            kept => Self(kept),
        }
    }

    /// The entries in a form in which keys can come and go.
    fn own(&mut self) -> &mut Kept {
        if let Kept::Shared { base, over } = &mut self.0 {
            let mut few = Few::clone(base);
            for (at, entry) in over.drain(..) {
                put(&mut few.entries, at, entry);
            }
            self.0 = Kept::Few(few);
        }
        &mut self.0
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Kept::Few(few) => few.keys.len(),
            Kept::Shared { base, .. } => base.keys.len(),
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
            Kept::Few(few) => few.entries.get(few.position(key)?),
            Kept::Shared { base, over } => {
                let at = base.position(key)?;
                instead(over, at).or_else(|| base.entries.get(at))
            }
            Kept::Many(tree) => tree.get(key),
        }
    }

    /// The entry of a key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        match self.own() {
            Kept::Few(few) => {
                let at = few.position(key)?;
                few.entries.get_mut(at)
            }
            Kept::Many(tree) => tree.get_mut(key),
            Kept::Shared { .. } => None,
        }
    }

    /// Whether there is an entry of a key.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Puts an entry at a key, instead of the one that is there.
    pub fn insert(&mut self, key: Arc<str>, entry: Entry) {
        if let Kept::Shared { base, over } = &mut self.0
            && let Some(at) = base.position(&key)
        {
            match over.binary_search_by_key(&at, |(other, _)| *other) {
                Ok(i) => put(over, i, (at, entry)),
                Err(i) => over.insert(i, (at, entry)),
            }
            return;
        }
        match self.own() {
            Kept::Few(few) => match few.keys.binary_search(&key) {
                Ok(at) => put(&mut few.entries, at, entry),
                Err(at) if few.keys.len() < FEW => {
                    few.keys.insert(at, key);
                    few.entries.insert(at, entry);
                }
                Err(_) => {
                    let few = std::mem::take(few);
                    let mut tree: BTreeMap<_, _> = few.keys.into_iter().zip(few.entries).collect();
                    tree.insert(key, entry);
                    self.0 = Kept::Many(tree);
                }
            },
            Kept::Many(tree) => drop(tree.insert(key, entry)),
            Kept::Shared { .. } => {}
        }
    }

    /// Takes the entry of a key out.
    pub fn remove(&mut self, key: &str) {
        match self.own() {
            Kept::Few(few) => {
                if let Some(at) = few.position(key) {
                    few.keys.remove(at);
                    few.entries.remove(at);
                }
            }
            Kept::Many(tree) => drop(tree.remove(key)),
            Kept::Shared { .. } => {}
        }
    }

    /// Keeps the entries that fit.
    pub fn retain(&mut self, mut fits: impl FnMut(&Arc<str>, &mut Entry) -> bool) {
        match self.own() {
            Kept::Few(few) => {
                let all = std::mem::take(few);
                let kept = all.keys.into_iter().zip(all.entries).filter_map(|(key, mut entry)| fits(&key, &mut entry).then_some((key, entry)));
                (few.keys, few.entries) = kept.collect();
            }
            Kept::Many(tree) => tree.retain(fits),
            Kept::Shared { .. } => {}
        }
    }

    /// Keys and entries, in the order of the keys.
    pub fn iter(&self) -> Iter<'_> {
        match &self.0 {
            Kept::Few(few) => Iter::Few(few.iter(), &[]),
            Kept::Shared { base, over } => Iter::Few(base.iter(), over),
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
        let (few, many) = match self.own() {
            Kept::Few(few) => (few.entries.as_mut_slice(), None),
            Kept::Many(tree) => (Default::default(), Some(tree)),
            Kept::Shared { .. } => (Default::default(), None),
        };
        few.iter_mut().chain(many.into_iter().flat_map(BTreeMap::values_mut))
    }
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
    /// Few, and what stands instead at some positions.
    Few(FewIter<'a>, &'a [(usize, Entry)]),
    /// Many.
    Many(btree_map::Iter<'a, Arc<str>, Entry>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Arc<str>, &'a Entry);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(list, over) => {
                let (at, (key, entry)) = list.next()?;
                match over.split_first() {
                    Some(((other, instead), rest)) if *other == at => {
                        *over = rest;
                        Some((key, instead))
                    }
                    _ => Some((key, entry)),
                }
            }
            Self::Many(tree) => tree.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Few(list, _) => list.size_hint(),
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
                entries.insert(key.clone(), entry.clone());
                tree.insert(key, entry);
            }
            behave_alike(entries.clone().shared(), tree.clone());
            behave_alike(entries, tree);
        }
    }

    fn behave_alike(mut entries: Entries, mut tree: BTreeMap<Arc<str>, Entry>) {
        for (number, key) in [(70, "key-7"), (71, "key-2"), (72, "key-7")] {
            if tree.contains_key(key) {
                entries.insert(key.into(), entry(number));
                tree.insert(key.into(), entry(number));
            }
            assert!(entries.iter().eq(&tree) && entries.get(key) == tree.get(key), "{}", tree.len());
        }
        let untouched = entries.clone();
        for key in ["key-0", "key-1", "key-63", "none"] {
            assert_eq!(entries.get(key), tree.get(key));
            assert_eq!(entries.get_mut(key), tree.get_mut(key));
            entries.remove(key);
            tree.remove(key);
        }
        entries.insert("new".into(), entry(73));
        tree.insert("new".into(), entry(73));
        entries.retain(|key, _| !key.ends_with('5'));
        tree.retain(|key, _| !key.ends_with('5'));
        assert!(entries.iter().eq(&tree) && entries.values_mut().eq(tree.values_mut()), "{}", tree.len());
        assert_eq!(entries.len(), tree.len());
        assert!(!untouched.contains_key("new"));
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
