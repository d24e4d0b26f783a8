//! Which of several declarations, gone here and new there, moved where: by the words that tell them apart, then by the likeness of paths and values.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::declaration::{Declaration, Layer};
use crate::source::environments::environment_word;

/// Groups larger than this are compared by their own words only, not one with all.
const MAX_COMPARED: usize = 200;
/// Values are compared in groups of at most so many combinations.
const MAX_VALUES_COMPARED: usize = 400;
/// More than this part of their words (in percent) and two paths may be the same thing moved.
const LIKE_PERCENT: usize = 50;
/// Folders of clusters and environments: one that goes and one that comes there are no move.
const FOLDERS_OF_PLACES: &[&str] =
    &["cluster", "clusters", "environment", "environments", "env", "envs", "overlays", "region", "regions", "site", "sites", "stages"];

/// What became of a group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    /// Positions before and after that are one release.
    pub(super) pairs: Vec<(usize, usize)>,
    /// Positions before and after of which it cannot be told.
    pub(super) doubts: Vec<(usize, usize)>,
}

/// Finds the moves in a group. `is_named` says that those in it have more in common than their form: the only ones of both sides are one then.
pub(super) fn find(before: &[&Declaration], after: &[&Declaration], is_named: bool) -> Moves {
    let with_values = !is_named && before.len() * after.len() <= MAX_VALUES_COMPARED;
    let group = Group { before: members(before, with_values), after: members(after, with_values), is_named };
    let mut left = Left { before: (0..before.len()).collect(), after: (0..after.len()).collect(), pairs: Vec::new() };
    group.by_equal_own_words(&mut left);
    if left.before.len().max(left.after.len()) <= MAX_COMPARED {
        group.by_kept_own_words(&mut left);
        group.by_likeness(&mut left);
    }
    let doubts = group.doubts(&left);
    Moves { pairs: left.pairs, doubts }
}

struct Group<'d> {
    before: Vec<Member<'d>>,
    after: Vec<Member<'d>>,
    is_named: bool,
}

struct Member<'d> {
    path: &'d str,
    words: BTreeSet<String>,
    /// The words that not all of its side have.
    own: BTreeSet<String>,
    /// The values that it sets, as `path=value`; of unnamed ones only.
    values: BTreeSet<String>,
}

/// Positions without a partner yet, and the pairs that were found.
struct Left {
    before: BTreeSet<usize>,
    after: BTreeSet<usize>,
    pairs: Vec<(usize, usize)>,
}

impl Left {
    fn join(&mut self, before: usize, after: usize) {
        if self.before.remove(&before) && self.after.remove(&after) {
            self.pairs.push((before, after));
        }
    }
}

fn members<'d>(side: &[&'d Declaration], with_values: bool) -> Vec<Member<'d>> {
    let words: Vec<BTreeSet<String>> = side.iter().map(|d| words(&format!("{} {}", d.path, d.identity.scope))).collect();
    let common = words.iter().skip(1).fold(words.first().cloned().unwrap_or_default(), |common, words| &common & words);
    let member = |(declaration, words): (&&'d Declaration, BTreeSet<String>)| {
        let values = if with_values { values(declaration) } else { BTreeSet::new() };
        Member { path: &declaration.path, own: &words - &common, words, values }
    };
    side.iter().zip(words).map(member).collect()
}

/// The words of a path; those that name environments in one spelling.
fn words(text: &str) -> BTreeSet<String> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !matches!(*word, "" | "yaml" | "yml"));
    words.map(|word| environment_word(word).unwrap_or(word).to_owned()).collect()
}

/// Whether two paths name environments, and not the same.
pub(super) fn name_different_environments(before: &str, after: &str) -> bool {
    are_different(&environments(before), &environments(after))
}

/// The environments that a text names, in one spelling.
pub(super) fn environments(text: &str) -> BTreeSet<&'static str> {
    environments_of(&words(text))
}

fn environments_of(words: &BTreeSet<String>) -> BTreeSet<&'static str> {
    words.iter().filter_map(|word| environment_word(word)).collect()
}

/// Whether each of two sets of environments has one that the other has not.
pub(super) fn are_different(before: &BTreeSet<&str>, after: &BTreeSet<&str>) -> bool {
    !before.is_subset(after) && !after.is_subset(before)
}

fn values(declaration: &Declaration) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    for layer in &declaration.layers {
        if let Layer::Table { values: table, .. } = layer {
            table.for_each_leaf(&mut |path, entry| {
                values.insert(format!("{path}={:?}", entry.node.value));
            });
        }
    }
    values
}

/// How much two sets share, in percent of the larger.
fn shared_percent(a: &BTreeSet<String>, b: &BTreeSet<String>) -> usize {
    a.intersection(b).count() * 100 / a.len().max(b.len()).max(1)
}

/// Whether the paths name different environments, or different folders where each folder is a cluster.
fn are_different_places(before: &Member<'_>, after: &Member<'_>) -> bool {
    are_different(&environments_of(&before.words), &environments_of(&after.words)) || are_neighbours(before.path, after.path)
}

/// `clusters/a/milvus.yaml` and `clusters/b/milvus.yaml`; `clusters/prod` and `clusters/production` say the same, `clusters/prod-eu` says more.
fn are_neighbours(before: &str, after: &str) -> bool {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.split('/').collect(), after.split('/').collect());
    let mut differing = before.iter().zip(&after).enumerate().filter(|(_, (b, a))| b != a).map(|(at, _)| at);
    let Some(at) = differing.next().filter(|at| before.len() == after.len() && *at > 0 && *at + 1 < before.len()) else {
        return false;
    };
    let is_place = before.get(at - 1).is_some_and(|folder| FOLDERS_OF_PLACES.contains(folder));
    let names = |path: &[&str]| path.get(at).map(|folder| words(folder)).unwrap_or_default();
    let (earlier, later) = (names(&before), names(&after));
    differing.next().is_none() && is_place && !earlier.is_subset(&later) && !later.is_subset(&earlier)
}

impl Group<'_> {
    fn likeness(&self, before: &Member<'_>, after: &Member<'_>) -> usize {
        shared_percent(&before.words, &after.words).max(shared_percent(&before.values, &after.values))
    }

    fn may_be_one(&self, before: &Member<'_>, after: &Member<'_>) -> bool {
        !are_different_places(before, after) && (self.is_named || self.likeness(before, after) > LIKE_PERCENT)
    }

    /// Those that are told apart by the same words on both sides: `clusters/a` and `fleet/a`.
    fn by_equal_own_words(&self, left: &mut Left) {
        let mut by_own: BTreeMap<&BTreeSet<String>, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (at, member) in self.before.iter().enumerate() {
            by_own.entry(&member.own).or_default().0.push(at);
        }
        for (at, member) in self.after.iter().enumerate() {
            by_own.entry(&member.own).or_default().1.push(at);
        }
        for positions in by_own.values() {
            if let ([b], [a]) = (positions.0.as_slice(), positions.1.as_slice())
                && let (Some(before), Some(after)) = (self.before.get(*b), self.after.get(*a))
                && self.may_be_one(before, after)
            {
                left.join(*b, *a);
            }
        }
    }

    /// Those whose own words stand in each other's path, where that fits only one: `clusters/a` and `clusters/b`, of which only `fleet/a` stays.
    fn by_kept_own_words(&self, left: &mut Left) {
        let fits = |b: usize, a: usize| {
            let (Some(before), Some(after)) = (self.before.get(b), self.after.get(a)) else { return false };
            before.own.is_subset(&after.words) && after.own.is_subset(&before.words) && self.may_be_one(before, after)
        };
        let (befores, afters) = (left.before.clone(), left.after.clone());
        for b in &befores {
            let mut fitting = afters.iter().filter(|a| fits(*b, **a));
            if let (Some(a), None) = (fitting.next(), fitting.next())
                && befores.iter().filter(|b| fits(**b, *a)).count() == 1
            {
                left.join(*b, *a);
            }
        }
    }

    /// Those that are more like each other than like any other.
    fn by_likeness(&self, left: &mut Left) {
        let mut candidates: Vec<(usize, usize, usize)> = Vec::new();
        for b in &left.before {
            for a in &left.after {
                if let (Some(before), Some(after)) = (self.before.get(*b), self.after.get(*a))
                    && self.may_be_one(before, after)
                {
                    candidates.push((self.likeness(before, after), *b, *a));
                }
            }
        }
        candidates.retain(|(likeness, ..)| *likeness > LIKE_PERCENT);
        candidates.sort_unstable_by(|x, y| y.cmp(x));
        // The likeness that is the most, and of how many others.
        type Best = BTreeMap<usize, (usize, usize)>;
        let mut most: (Best, Best) = Default::default();
        for (likeness, b, a) in &candidates {
            for (best, at) in [(&mut most.0, b), (&mut most.1, a)] {
                let entry = best.entry(*at).or_insert((*likeness, 0));
                entry.1 += usize::from(entry.0 == *likeness);
            }
        }
        for (likeness, b, a) in candidates {
            let is_the_only_best = |best: Option<&(usize, usize)>| best == Some(&(likeness, 1));
            if is_the_only_best(most.0.get(&b)) && is_the_only_best(most.1.get(&a)) {
                left.join(b, a);
            }
        }
    }

    /// For each that is new, the likest of those that are gone.
    fn doubts(&self, left: &Left) -> Vec<(usize, usize)> {
        let doubt = |a: &usize| {
            let after = self.after.get(*a)?;
            let gone = left.before.iter().take(MAX_COMPARED).filter_map(|b| Some((self.likeness(self.before.get(*b)?, after), std::cmp::Reverse(*b))));
            let (likeness, std::cmp::Reverse(b)) = gone.max()?;
            (self.is_named || likeness >= LIKE_PERCENT).then_some((b, *a))
        };
        left.after.iter().filter_map(doubt).collect()
    }
}
