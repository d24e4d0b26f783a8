//! Find kinds about the chart's defaults: dropped values, default flips, copied defaults.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::paths::printed;
use super::{Hit, MAX_HITS};
use crate::model::catalogue::Catalogue;
use crate::model::place::{Origin, Place};
use crate::model::release::{Mode, Release, is_of_cluster};
use crate::model::truth::Truth;
use crate::model::value::{Node, Table, Value, escape_key};
use crate::model::version::ChartVersion;
use crate::policy::condition::{ValuePath, ValueTree};
use crate::policy::facts::{self, Facts, Found, values_equal};
use crate::policy::format::{CopiedFind, FlipsFind};

/// User values of before that are missing after while the default in force now differs from what the user had. What the user had is not printed.
pub(crate) fn dropped_values(facts: &Facts<'_>) -> Vec<Hit> {
    let (Some(before), Some(after)) = (facts.before, facts.after) else { return Vec::new() };
    // Shared values were not dropped.
    if before.user.table().is_none_or(|before| !may_lack(before, &after.user)) {
        return Vec::new();
    }
    let catalogue = Catalogue::embedded();
    let mut hits = Vec::new();
    before.user.for_each_leaf(&mut |text, entry| {
        if hits.len() >= MAX_HITS {
            return;
        }
        let path = ValuePath::from(text.to_owned());
        if !matches!(facts::walk(&after.user, &path.keys), Found::Nothing) {
            return;
        }
        // What neither state runs sets nothing.
        if path.keys.first().is_some_and(|part| of_other_mode(before, part) && of_other_mode(after, part)) {
            return;
        }
        // Settings of a part that is off had to go; the switch itself is told.
        if path.keys.get(1).is_some_and(|key| key != "enabled") && path.keys.first().is_some_and(|part| switched_off(after, part)) {
            return;
        }
        let now = match facts::value(after, ValueTree::Effective, &path) {
            Found::Entry(now) => Some(&now.node),
            Found::Nothing => None,
            Found::Unknown => return,
        };
        let same = values_equal(&entry.node.value, now.map_or(&Value::Null, |now| &now.value));
        let dependency = path.keys.first().is_some_and(|key| catalogue.is_dependency_key(key));
        let read = after.defaults_of.as_ref().is_some_and(|chart| catalogue.reads(chart, text) == Truth::Yes);
        if same != Some(false) || !(read || (dependency && now.is_some())) {
            return;
        }
        let value = now.map_or_else(|| "nothing".to_owned(), |now| printed(text, &now.value, &now.origin));
        let listed = format!("`{text}` (now the default, {value})");
        // There is no place after; the place before is a further one.
        let hit = Hit::at_path(text).with("after_value", value);
        hits.push(Hit { listed, place_before: entry.node.origin.place().cloned(), ..hit });
    });
    hits
}

/// Whether a value of `before` may be missing in `after`.
fn may_lack(before: &Table, after: &Node) -> bool {
    let Some(after) = after.table() else { return true };
    !std::ptr::eq(before, after)
        && before.entries.iter().any(|(key, entry)| match (after.entries.get(key), &entry.node.value) {
            (None, _) => true,
            (Some(kept), Value::Table(inner)) if !inner.entries.is_empty() => may_lack(inner, &kept.node),
            (Some(_), _) => false,
        })
}

/// Defaults that differ between the charts of before and after where the user's values say nothing.
pub(crate) fn default_flips(facts: &Facts<'_>, find: &FlipsFind) -> Vec<Hit> {
    let (Some(before), Some(after)) = (facts.before, facts.after) else { return Vec::new() };
    let (Some(from), Some(to)) = (&before.defaults_of, &after.defaults_of) else { return Vec::new() };
    if from == to {
        return Vec::new();
    }
    let is_open = |release: &Release, flip: &Flip| matches!(facts::walk(&release.user, &flip.path.keys), Found::Nothing);
    let matters = |part: &str| !(switched_off(before, part) && switched_off(after, part) || of_other_mode(before, part) && of_other_mode(after, part));
    let flips = flips_between(from, to);
    let of_parts = flips.chunk_by(|a, b| a.path.keys.first() == b.path.keys.first());
    let of_parts = of_parts.filter(|flips| flips.first().and_then(|flip| flip.path.keys.first()).is_some_and(|part| matters(part)));
    of_parts.flatten().filter(|flip| flip.is_wanted(find) && is_open(before, flip) && is_open(after, flip)).map(Flip::hit).collect()
}

/// Whether a part of the chart is off, so that its defaults do not matter.
fn switched_off(release: &Release, key: &str) -> bool {
    let part = release.effective.table().and_then(|values| values.entries.get(key));
    let switch = part.and_then(|part| part.node.table()).and_then(|part| part.entries.get("enabled"));
    switch.is_some_and(|switch| switch.node.value.truthy() == Some(false))
}

/// Whether a part belongs to the mode that the release does not run in.
fn of_other_mode(release: &Release, key: &str) -> bool {
    match release.mode {
        Some(Mode::Cluster) => key == "standalone",
        Some(Mode::Standalone) => is_of_cluster(key),
        None => false,
    }
}

/// A default that is another one in another chart.
#[derive(Debug)]
struct Flip {
    path: ValuePath,
    before_value: String,
    after_value: String,
}

/// What differs between two charts never changes. A tree, and a cluster, knows few pairs of them; so many are kept.
const MAX_KEPT_PAIRS: usize = 64;

type Pairs = BTreeMap<(ChartVersion, ChartVersion), Arc<[Flip]>>;

/// The defaults that differ between two charts, in the order of their paths.
fn flips_between(from: &ChartVersion, to: &ChartVersion) -> Arc<[Flip]> {
    static KEPT: LazyLock<Mutex<Pairs>> = LazyLock::new(Mutex::default);
    let pair = (from.clone(), to.clone());
    if let Some(flips) = KEPT.lock().unwrap_or_else(PoisonError::into_inner).get(&pair) {
        return Arc::clone(flips);
    }
    let catalogue = Catalogue::embedded();
    let mut flips = Vec::new();
    if let (Some(from), Some(to)) = (catalogue.defaults(from), catalogue.defaults(to)) {
        compare(&mut String::new(), &from, &to, &mut flips);
    }
    let flips: Arc<[Flip]> = flips.into();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= MAX_KEPT_PAIRS {
        kept.clear();
    }
    kept.insert(pair, Arc::clone(&flips));
    flips
}

fn compare(path: &mut String, from: &Node, to: &Node, flips: &mut Vec<Flip>) {
    if let (Value::Table(from), Value::Table(to)) = (&from.value, &to.value) {
        if !Arc::ptr_eq(from, to) {
            inside(path, from, to, flips);
        }
        return;
    }
    if values_equal(&from.value, &to.value) != Some(false) {
        return;
    }
    let print = |value: &Value| printed(path, value, &Origin::ChartDefault);
    let (before_value, after_value) = (print(&from.value), print(&to.value));
    // Of two long texts nobody would see the difference.
    if before_value != after_value {
        flips.push(Flip { path: ValuePath::from(path.clone()), before_value, after_value });
    }
}

fn inside(path: &mut String, from: &Table, to: &Table, flips: &mut Vec<Flip>) {
    for (key, entry) in &from.entries {
        if let Some(later) = to.entries.get(key) {
            let above = path.len();
            if above > 0 {
                path.push('.');
            }
            path.push_str(&escape_key(key));
            compare(path, &entry.node, &later.node, flips);
            path.truncate(above);
        }
    }
}

impl Flip {
    fn is_wanted(&self, find: &FlipsFind) -> bool {
        let within = |root: &ValuePath| self.path.text.strip_prefix(root.text.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        (find.under.is_empty() || find.under.iter().any(within)) && !find.except.iter().any(within)
    }

    fn hit(&self) -> Hit {
        let Self { path, before_value, after_value } = self;
        let listed = format!("`{}` ({before_value} -> {after_value})", path.text);
        Hit { listed, ..Hit::at_path(&path.text).with("before_value", &**before_value).with("after_value", &**after_value) }
    }
}

/// One hit where most of a user's values equal the defaults.
pub(crate) fn copied_defaults(facts: &Facts<'_>, find: &CopiedFind) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    let Some(chart) = after.chart.judged_as() else { return Vec::new() };
    let Some(defaults) = Catalogue::embedded().defaults(chart) else { return Vec::new() };
    if leaves(&after.user) < u64::from(find.at_least) {
        return Vec::new();
    }
    let mut copied = Copied::default();
    if let Some(user) = after.user.table() {
        copied.count(user, defaults.table());
    }
    let Copied { count, total, first } = copied;
    if count < find.at_least || u64::from(count) * 100 < u64::from(total) * u64::from(find.share_percent) {
        return Vec::new();
    }
    let hit = Hit::new("copied").with("count", count.to_string()).with("total", total.to_string()).with("chart", chart.to_string()).placed(first.as_ref());
    vec![Hit { listed: "the first of them".to_owned(), ..hit }]
}

/// Values that equal the defaults, of how many, and where the first of these stands.
#[derive(Default)]
struct Copied {
    count: u32,
    total: u32,
    first: Option<Place>,
}

impl Copied {
    fn count(&mut self, user: &Table, defaults: Option<&Table>) {
        for (key, entry) in &user.entries {
            let default = defaults.and_then(|defaults| defaults.entries.get(key)).map(|entry| &entry.node);
            match &entry.node.value {
                Value::Table(inner) if !inner.entries.is_empty() => self.count(inner, default.and_then(Node::table)),
                value => {
                    self.total = self.total.saturating_add(1);
                    if self.first.is_none() {
                        self.first = entry.key.place().or_else(|| entry.node.origin.place()).cloned();
                    }
                    if default.is_some_and(|default| values_equal(value, &default.value) == Some(true)) {
                        self.count = self.count.saturating_add(1);
                    }
                }
            }
        }
    }
}

fn leaves(node: &Node) -> u64 {
    match node.table() {
        Some(table) if !table.entries.is_empty() => table.entries.values().map(|entry| leaves(&entry.node)).sum(),
        _ => 1,
    }
}
