//! A tree of value paths that tells what held at which chart version; read from the catalogue's delta-coded text.

use std::sync::Arc;

use crate::model::entries::Entries;
use crate::model::place::Origin;
use crate::model::value::{Entry, Node, Table, Value};
use crate::model::version::ChartVersion;

/// A tree of keys. Children are in the order of their keys.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    children: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    name: Arc<str>,
    /// What the path itself is from that version on (nothing: absent), oldest first.
    changes: Vec<(ChartVersion, Option<Value>)>,
    below: Timeline,
}

/// A path that is gone down, in what was there at any version since a first one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spot<'t> {
    /// A part of it was there as a whole, so that all below it was.
    Whole,
    /// These are the keys below.
    Within(&'t Timeline),
    /// Nothing.
    Nowhere,
}

impl Spot<'_> {
    pub(super) fn below(self, key: &str, since: &ChartVersion) -> Self {
        match self {
            Self::Within(timeline) => match timeline.child(key) {
                Some(child) if child.was_there(since) => Self::Whole,
                Some(child) => Self::Within(&child.below),
                None => Self::Nowhere,
            },
            other => other,
        }
    }

    pub(super) fn is_there(self, since: &ChartVersion) -> bool {
        match self {
            Self::Whole => true,
            Self::Within(timeline) => timeline.any(&|key| key.was_there(since)),
            Self::Nowhere => false,
        }
    }
}

impl Key {
    /// Whether the path was there at any version since `since`.
    fn was_there(&self, since: &ChartVersion) -> bool {
        self.at(since).is_some() || self.changes.iter().any(|(version, value)| version >= since && value.is_some())
    }

    fn at(&self, version: &ChartVersion) -> Option<&Value> {
        let after = self.changes.partition_point(|(since, _)| since <= version);
        self.changes.get(after.checked_sub(1)?)?.1.as_ref()
    }
}

impl Timeline {
    /// Reads the text: keys indented by depth, `=VERSION value` lines below each. What cannot be read is left out (a test holds the embedded text to be whole).
    pub(super) fn read(text: &str) -> Self {
        let mut root = Self::default();
        // The open keys from the root down; a key is put into its parent when the next one of its depth or above begins.
        let mut open: Vec<Key> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(change) = line.strip_prefix('=') {
                let (version, value) = change.split_once(' ').map_or((change, None), |(version, value)| (version, Some(value)));
                if let (Some(key), Ok(version)) = (open.last_mut(), version.parse()) {
                    key.changes.push((version, value.map(read_value)));
                }
                continue;
            }
            let name = line.trim_start_matches(' ');
            let depth = line.len() - name.len();
            root.close(&mut open, depth);
            open.push(Key { name: name.into(), changes: Vec::new(), below: Self::default() });
        }
        root.close(&mut open, 0);
        root
    }

    /// Moves the open keys at `depth` and below into their parents.
    fn close(&mut self, open: &mut Vec<Key>, depth: usize) {
        while open.len() > depth {
            let Some(key) = open.pop() else { return };
            match open.last_mut() {
                Some(parent) => parent.below.children.push(key),
                None => self.children.push(key),
            }
        }
    }

    fn child(&self, name: &str) -> Option<&Key> {
        self.children.binary_search_by(|key| key.name.as_ref().cmp(name)).ok().and_then(|i| self.children.get(i))
    }

    /// The tree of values at a version.
    pub(super) fn build(&self, version: &ChartVersion) -> Table {
        let entries: Entries = self
            .children
            .iter()
            .filter_map(|key| {
                let value = match key.at(version) {
                    Some(value) => value.clone(),
                    None => {
                        let table = key.below.build(version);
                        if table.entries.is_empty() {
                            return None;
                        }
                        Value::Table(Arc::new(table))
                    }
                };
                let node = Node { value, origin: Origin::ChartDefault };
                Some((Arc::clone(&key.name), Entry { key: Origin::ChartDefault, node }))
            })
            .collect();
        Table { entries: entries.shared(), rest_unknown: None }
    }

    /// Whether a path is there at a version: itself, as part of a path that is there as a whole, or as the beginning of one.
    pub(super) fn covers(&self, keys: &[String], version: &ChartVersion) -> bool {
        self.covered(keys, &|key| key.at(version).is_some())
    }

    fn covered(&self, keys: &[String], is_there: &dyn Fn(&Key) -> bool) -> bool {
        let mut here = self;
        for name in keys {
            match here.child(name) {
                Some(key) if is_there(key) => return true,
                Some(key) => here = &key.below,
                None => return false,
            }
        }
        here.any(is_there)
    }

    fn any(&self, is_there: &dyn Fn(&Key) -> bool) -> bool {
        self.children.iter().any(|key| is_there(key) || key.below.any(is_there))
    }
}

/// A value as it is written behind a version: JSON, or a remark on a text that is not kept word for word.
fn read_value(text: &str) -> Value {
    if let Some(lines) = text.strip_prefix("#comments ") {
        return Value::String(format!("# {lines} lines of comments in the chart's own values\n").into());
    }
    if text.starts_with("#text ") {
        return Value::Unknown("a text of the chart's own values that the catalogue does not keep".into());
    }
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        "{}" => Value::Table(Arc::default()),
        "[]" => Value::List(Arc::default()),
        _ => match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(plain) if !plain.contains('\\') => Value::String(plain.into()),
            _ => serde_json::from_str(text).map_or_else(|_| Value::Unknown("a value that the catalogue does not hold".into()), from_json),
        },
    }
}

fn from_json(value: serde_json::Value) -> Value {
    let node = |value| Node { value: from_json(value), origin: Origin::ChartDefault };
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(b),
        serde_json::Value::Number(number) => number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN)), Value::Int),
        serde_json::Value::String(text) => Value::String(text.into()),
        serde_json::Value::Array(items) => Value::List(Arc::new(items.into_iter().map(node).collect())),
        serde_json::Value::Object(fields) => {
            let entries = fields.into_iter().map(|(name, value)| (name.into(), Entry { key: Origin::ChartDefault, node: node(value) })).collect();
            Value::Table(Arc::new(Table { entries, rest_unknown: None }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# head\na\n b\n=2.0.0 1\n=3.0.0\n c\n=2.5.0 {}\nd.e\n=2.0.0 \"x\"\n=4.0.0 [1,\"y\"]\n";

    fn at(version: &str) -> Node {
        Node { value: Value::Table(Arc::new(Timeline::read(TEXT).build(&version.parse().unwrap()))), origin: Origin::ChartDefault }
    }

    #[test]
    fn values_hold_from_their_version_until_the_next() {
        assert!(at("2.0.0").lookup("a.b").found().is_some_and(|e| e.node.value == Value::Int(1)));
        assert!(at("2.0.0").lookup("a.c").found().is_none());
        assert!(at("3.0.0").lookup("a.b").found().is_none());
        assert!(at("3.0.0").lookup("d\\.e").found().is_some_and(|e| e.node.value.as_str() == Some("x")));
        assert!(matches!(&at("4.1.0").lookup("d\\.e").found().unwrap().node.value, Value::List(items) if items.len() == 2));
        assert!(at("1.0.0").table().unwrap().entries.is_empty());
    }

    #[test]
    fn a_path_is_covered_by_what_stands_above_and_below_it() {
        let timeline = Timeline::read(TEXT);
        let covers = |path: &[&str], version: &str| timeline.covers(&path.iter().map(|k| (*k).to_owned()).collect::<Vec<_>>(), &version.parse().unwrap());
        assert!(covers(&["a"], "2.0.0") && covers(&["a", "b"], "2.0.0") && covers(&["a", "c", "anything"], "3.0.0"));
        assert!(!covers(&["a", "b"], "3.0.0") && !covers(&["a", "x"], "2.0.0") && !covers(&["z"], "2.0.0"));
    }
}
