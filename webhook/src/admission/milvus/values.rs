//! The values of one Milvus in a stored release: whose defaults lie below, and what the user and a wrapper chart set.

use std::sync::Arc;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::declaration::{Defaults, Layer};
use milvus_guard::model::place::Origin;
use milvus_guard::model::value::{Entry, Lookup, Node, Table, Value, escape_key};
use milvus_guard::model::version::ChartVersion;

use super::super::release::StoredRelease;
use super::at;
use super::rendered::{self, Rendering};

/// Levels of wrappers that are looked through for a dependency's values.
const MAX_WRAPPERS: usize = 3;

/// Values of one Milvus.
pub(super) struct Values {
    /// Whose defaults lie below.
    pub(super) defaults: Defaults,
    /// What is set over them, lowest first.
    pub(super) layers: Vec<Layer>,
    /// The chart whose defaults were kept.
    pub(super) reused_from: Option<ChartVersion>,
    /// Paths that only the new chart has.
    pub(super) nil_keys: Vec<String>,
}

/// The keys that lead to the values of the chart with this name.
pub(super) fn key(release: &StoredRelease, chart_name: &str) -> Vec<Arc<str>> {
    if *release.chart_name == *chart_name {
        return Vec::new();
    }
    if let Some(dependency) = release.dependencies.iter().find(|dependency| **dependency.key() == *chart_name) {
        return vec![Arc::clone(dependency.key())];
    }
    search(&release.chart_values, chart_name, MAX_WRAPPERS).or_else(|| search(&release.config, chart_name, MAX_WRAPPERS)).unwrap_or_default()
}

/// The keys to a table of this name below wrappers of wrappers.
fn search(node: &Node, name: &str, levels: usize) -> Option<Vec<Arc<str>>> {
    let table = node.table()?;
    if table.entries.get(name).is_some_and(|entry| entry.node.table().is_some()) {
        return Some(vec![name.into()]);
    }
    let deeper = levels.checked_sub(1)?;
    table.entries.iter().find_map(|(key, entry)| {
        let mut path = search(&entry.node, name, deeper)?;
        path.insert(0, Arc::clone(key));
        Some(path)
    })
}

/// The image tag that the values say, by the user, else by the chart that the release carries.
pub(super) fn said_tag(release: &StoredRelease, key: &[Arc<str>]) -> Option<Arc<str>> {
    let tag = |root: &Node| match at(root, key)?.lookup("image.all.tag") {
        Lookup::Found(entry) => entry.node.value.as_str().map(Arc::from),
        Lookup::Absent | Lookup::Unknown(_) => None,
    };
    tag(&release.config).or_else(|| tag(&release.chart_values))
}

/// Reads the values at a key.
pub(super) fn read(release: &StoredRelease, key: &[Arc<str>], rendering: &Rendering, earlier: Option<&StoredRelease>, catalogue: &Catalogue) -> Values {
    let version: Option<ChartVersion> = rendering.chart_version.parse().ok();
    let carried = at(&release.chart_values, key);
    let mut values = Values { defaults: Defaults::OfChart, layers: Vec::new(), reused_from: None, nil_keys: Vec::new() };
    let own = version.as_ref().and_then(|version| catalogue.defaults(version));
    let users: Vec<&Node> = [at(&release.config, key), earlier.and_then(|earlier| at(&earlier.config, key))].into_iter().flatten().collect();
    let is_own = carried.zip(own.as_deref()).is_some_and(|(carried, own)| is_within(own, carried, &users));
    let reused = carried.filter(|_| !is_own).and_then(|carried| reused(carried, version.as_ref()?, key, release, earlier, &users, catalogue));
    if let (Some(reused), Some(own), Some(carried)) = (&reused, &own, carried) {
        values.nil_keys = missing(own, carried);
        values.reused_from = Some(reused.clone());
    } else {
        values.reused_from.clone_from(&reused);
    }
    let below = match &reused {
        Some(reused) => catalogue.defaults(reused),
        None => own,
    };
    let is_below = |below: &Node| if reused.is_some() { carried.is_some_and(|carried| is_within(below, carried, &users)) } else { is_own };
    match (below, carried.map(|node| &node.value)) {
        (Some(below), Some(Value::Table(table))) if key.is_empty() && !is_below(&below) => {
            // A chart of somebody's own under a published number.
            values.defaults = Defaults::Carried(as_defaults(table));
        }
        (Some(below), Some(_)) => {
            values.defaults = reused.map_or(Defaults::OfChart, Defaults::Of);
            if !key.is_empty()
                && let Some(carried) = carried
            {
                values.layers.extend(table_layer(over(&below, carried, catalogue), "values of the wrapper chart"));
            }
        }
        (None, Some(Value::Table(table))) => values.defaults = Defaults::Carried(as_defaults(table)),
        _ => {}
    }
    if let Some(user) = at(&release.config, key) {
        values.layers.extend(table_layer(user.clone(), "values of the release"));
    }
    values
}

fn table_layer(values: Node, what: &str) -> Option<Layer> {
    values.table().is_some_and(|table| !table.entries.is_empty()).then(|| Layer::Table { values, what: what.into() })
}

/// The chart whose defaults a release carries, where they are not its own chart's. Helm puts the user's previous values into what it keeps, so a value that the user set proves nothing.
fn reused(
    carried: &Node,
    version: &ChartVersion,
    key: &[Arc<str>],
    release: &StoredRelease,
    earlier: Option<&StoredRelease>,
    user: &[&Node],
    catalogue: &Catalogue,
) -> Option<ChartVersion> {
    let moved = earlier.filter(|earlier| earlier.chart_version != release.chart_version);
    if let Some(earlier) = moved
        && at(&earlier.chart_values, key).is_some_and(|before| is_within(before, carried, user))
        && let Some(kept) = version_before(earlier, key.last().unwrap_or(&release.chart_name))
    {
        return Some(kept);
    }
    // Below a wrapper the values of the wrapper hide whose defaults they are.
    let is_it = |candidate: &ChartVersion| candidate != version && catalogue.defaults(candidate).is_some_and(|node| is_within(&node, carried, user));
    candidates(carried, catalogue).find(is_it).filter(|_| key.is_empty())
}

/// Charts with the default image that is carried, newest first.
fn candidates<'c>(carried: &'c Node, catalogue: &'c Catalogue) -> impl Iterator<Item = ChartVersion> + 'c {
    let tag = carried.lookup("image.all.tag").found().and_then(|entry| entry.node.value.as_str());
    catalogue.versions().iter().rev().filter(move |chart| chart.image_tag.as_deref() == tag && tag.is_some()).map(|chart| chart.version.clone())
}

/// The Milvus chart that a revision was rendered from, as the chart of this name.
fn version_before(earlier: &StoredRelease, chart_name: &str) -> Option<ChartVersion> {
    rendered::renderings(&earlier.manifest).into_iter().find(|rendering| *rendering.chart_name == *chart_name)?.chart_version.parse().ok()
}

/// Whether every default value of a chart stands in what a release carries, or is overridden by the user. Null and empty defaults may be left out, as Helm does.
fn is_within(defaults: &Node, carried: &Node, user: &[&Node]) -> bool {
    let is_set = |path: &str| user.iter().any(|values| values.lookup(path) != Lookup::Absent);
    let holds = |path: &str, entry: &Entry| {
        let is_there = match (&entry.node.value, carried.lookup(path)) {
            (Value::Unknown(_), _) => true,
            (value, Lookup::Found(found)) => same(value, &found.node.value) || both_empty(value, &found.node.value) || is_grown(value, &found.node.value),
            (value, Lookup::Absent) => value.truthy() == Some(false) && !matches!(value, Value::Bool(_) | Value::Int(_)),
            (_, Lookup::Unknown(_)) => false,
        };
        is_there || is_set(path)
    };
    defaults.table().is_none_or(|table| stands_in(table, Some(carried), None, &holds))
}

/// The keys that lead to an entry, the last one first.
#[derive(Clone, Copy)]
struct Keys<'k> {
    last: &'k str,
    before: Option<&'k Self>,
}

impl Keys<'_> {
    /// As a dotted path.
    fn path(&self) -> String {
        let mut path = self.before.map_or_else(String::new, |before| format!("{}.", before.path()));
        path.push_str(&escape_key(self.last));
        path
    }
}

/// Whether all values of a table stand where the same keys lead to, or `holds` says otherwise of one by its path.
fn stands_in(table: &Table, carried: Option<&Node>, before: Option<&Keys<'_>>, holds: &dyn Fn(&str, &Entry) -> bool) -> bool {
    // Both are in the order of their keys.
    let mut others = carried.and_then(Node::table).map(|table| table.entries.iter()).into_iter().flatten().peekable();
    table.entries.iter().all(|(key, entry)| {
        while others.next_if(|(other, _)| *other < key).is_some() {}
        let there = others.next_if(|(other, _)| *other == key).map(|(_, entry)| &entry.node);
        let keys = Keys { last: key, before };
        match &entry.node.value {
            Value::Table(inner) if !inner.entries.is_empty() => stands_in(inner, there, Some(&keys), holds),
            value => there.is_some_and(|there| same(value, &there.value)) || holds(&keys.path(), entry),
        }
    })
}

/// An empty table of the chart that its subchart filled.
fn is_grown(default: &Value, carried: &Value) -> bool {
    matches!((default, carried), (Value::Table(default), Value::Table(_)) if default.entries.is_empty())
}

/// Paths that a chart has a value at and what is carried has not.
fn missing(defaults: &Node, carried: &Node) -> Vec<String> {
    let mut paths = Vec::new();
    defaults.for_each_leaf(&mut |path, entry| {
        if entry.node.value != Value::Null && carried.lookup(path) == Lookup::Absent {
            paths.push(path.to_owned());
        }
    });
    paths
}

/// What a wrapper sets over a chart's defaults. Of the chart's own subcharts only what the chart itself has a default for can be told from their defaults.
fn over(defaults: &Node, carried: &Node, catalogue: &Catalogue) -> Node {
    fn walk(defaults: Option<&Node>, carried: &Table, in_subchart: bool, catalogue: &Catalogue) -> Table {
        let mut differing = Table::default();
        for (key, entry) in &carried.entries {
            let default = defaults.and_then(|node| node.table()).and_then(|table| table.entries.get(key)).map(|entry| &entry.node);
            let in_subchart = in_subchart || catalogue.is_dependency_key(key);
            if let Value::Table(inner) = &entry.node.value {
                let inner = walk(default, inner, in_subchart, catalogue);
                if !inner.entries.is_empty() {
                    let node = Node { value: Value::Table(Arc::new(inner)), origin: entry.node.origin.clone() };
                    differing.entries.insert(Arc::clone(key), Entry { key: entry.key.clone(), node });
                }
                continue;
            }
            let is_default = match default {
                Some(default) => {
                    same(&default.value, &entry.node.value) || both_empty(&default.value, &entry.node.value) || matches!(default.value, Value::Unknown(_))
                }
                None => in_subchart || entry.node.value == Value::Null,
            };
            if !is_default {
                differing.entries.insert(Arc::clone(key), entry.clone());
            }
        }
        differing
    }
    let table = carried.table().map(|table| walk(Some(defaults), table, false, catalogue)).unwrap_or_default();
    Node { value: Value::Table(Arc::new(table)), origin: carried.origin.clone() }
}

/// A table of values as default values.
fn as_defaults(table: &Table) -> Arc<Table> {
    fn value(value: &Value) -> Value {
        match value {
            Value::Table(inner) => Value::Table(as_defaults(inner)),
            Value::List(items) => Value::List(Arc::new(items.iter().map(node).collect())),
            other => other.clone(),
        }
    }
    fn node(inner: &Node) -> Node {
        Node { value: value(&inner.value), origin: Origin::ChartDefault }
    }
    let entry = |entry: &Entry| Entry { key: Origin::ChartDefault, node: node(&entry.node) };
    Arc::new(Table { entries: table.entries.iter().map(|(key, inner)| (Arc::clone(key), entry(inner))).collect(), rest_unknown: None })
}

fn both_empty(a: &Value, b: &Value) -> bool {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Table(table) => table.entries.is_empty(),
        _ => false,
    };
    empty(a) && empty(b)
}

/// Whether two values are equal, wherever they stand.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Table(a), Value::Table(b)) => {
            Arc::ptr_eq(a, b)
                || (a.entries.len() == b.entries.len()
                    && a.entries.iter().zip(&b.entries).all(|((key, one), (other_key, other))| key == other_key && same(&one.node.value, &other.node.value)))
        }
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(&a.value, &b.value)),
        #[allow(clippy::cast_precision_loss, reason = "beyond 2^53 nobody writes a whole number as a fraction")]
        (Value::Int(int), Value::Float(float)) | (Value::Float(float), Value::Int(int)) => (*int as f64) == *float,
        _ => a == b,
    }
}
