//! Helm values as a tree in which each node keeps its origin; tables and lists are shared, so that a merge copies only what it touches.

use std::borrow::Cow;
use std::sync::Arc;

use super::entries::Entries;
pub use super::path::split_path;
use super::place::Origin;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value itself.
    pub value: Value,
    /// Where the value stands.
    pub origin: Origin,
}

/// A value as Helm's templates see it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// A switch.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction, or one too large for `Int`.
    Float(f64),
    /// A text.
    String(Arc<str>),
    /// A list.
    List(Arc<Vec<Node>>),
    /// A table.
    Table(Arc<Table>),
    /// Templated or kept elsewhere; the reason in words. Never guessed.
    Unknown(Arc<str>),
}

/// A key's entry in a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key itself is written (findings about the key as such point here).
    pub key: Origin,
    /// The value.
    pub node: Node,
}

/// Keys and their entries, in the order of the keys (as Helm prints them).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The entries.
    pub entries: Entries,
    /// Why keys that are not listed may be set all the same (a layer of values that cannot be seen), if so.
    pub rest_unknown: Option<Arc<str>>,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lookup<'a> {
    /// This entry.
    Found(&'a Entry),
    /// Nothing, for certain.
    Absent,
    /// Cannot be known: the reason in words.
    Unknown(&'a Arc<str>),
}

impl<'a> Lookup<'a> {
    /// The entry, if something is there.
    #[must_use]
    pub fn found(self) -> Option<&'a Entry> {
        match self {
            Self::Found(entry) => Some(entry),
            Self::Absent | Self::Unknown(_) => None,
        }
    }
}

impl Node {
    /// An empty table.
    #[must_use]
    pub fn empty_table(origin: Origin) -> Self {
        Self { value: Value::Table(Arc::default()), origin }
    }

    /// What stands at a dotted path (`etcd.persistence.size`; a dot inside a key is written `\.`, list items are not addressed).
    /// `null` found at the end counts as found; a templated or unseen part on the way gives `Unknown`.
    #[must_use]
    pub fn lookup(&self, path: &str) -> Lookup<'_> {
        if path.contains('\\') { self.walk(split_path(path).iter().map(String::as_str)) } else { self.walk(path.split('.')) }
    }

    fn walk<'k>(&self, keys: impl Iterator<Item = &'k str>) -> Lookup<'_> {
        let mut node = self;
        let mut found = None;
        for key in keys {
            let table = match &node.value {
                Value::Table(table) => table,
                Value::Unknown(reason) => return Lookup::Unknown(reason),
                _ => return Lookup::Absent,
            };
            match table.entries.get(key) {
                Some(entry) => {
                    found = Some(entry);
                    node = &entry.node;
                }
                None => {
                    return match &table.rest_unknown {
                        Some(reason) => Lookup::Unknown(reason),
                        None => Lookup::Absent,
                    };
                }
            }
        }
        match found {
            Some(entry) => match &entry.node.value {
                Value::Unknown(reason) => Lookup::Unknown(reason),
                _ => Lookup::Found(entry),
            },
            None => Lookup::Absent,
        }
    }

    /// The table, if the value is one.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Whether a value that is not known stands anywhere in it, lists left out.
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        match &self.value {
            Value::Unknown(_) => true,
            Value::Table(table) => table.entries.values().any(|entry| entry.node.has_unknown()),
            _ => false,
        }
    }

    /// Calls `visit` for every leaf with its path (keys with dots escaped as `\.`), depth first; empty tables and lists are leaves.
    pub fn for_each_leaf(&self, visit: &mut dyn FnMut(&str, &Entry)) {
        fn walk(table: &Table, prefix: &mut String, visit: &mut dyn FnMut(&str, &Entry)) {
            for (key, entry) in &table.entries {
                let before = prefix.len();
                if before > 0 {
                    prefix.push('.');
                }
                prefix.push_str(&escape_key(key));
                match &entry.node.value {
                    Value::Table(inner) if !inner.entries.is_empty() => walk(inner, prefix, visit),
                    _ => visit(prefix, entry),
                }
                prefix.truncate(before);
            }
        }
        if let Some(table) = self.table() {
            walk(table, &mut String::new(), visit);
        }
    }
}

impl Value {
    /// A number as Helm holds it: whole where it is whole and fits, else with a fraction.
    #[must_use]
    pub fn number(number: f64) -> Self {
        // Both bounds are exact doubles; the upper one is 2^63, which is itself too large.
        let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
        if fits && number.fract() == 0.0 && (number != 0.0 || number.is_sign_positive()) {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within bounds")]
            return Self::Int(number as i64);
        }
        Self::Float(number)
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The switch, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Whether a Go template's `if` takes it as true (a non-empty text such as `"false"` is true); unknown gives `None`.
    #[must_use]
    pub fn truthy(&self) -> Option<bool> {
        Some(match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::String(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Table(table) => {
                if table.entries.is_empty() && table.rest_unknown.is_some() {
                    return None;
                }
                !table.entries.is_empty()
            }
            Self::Unknown(_) => return None,
        })
    }
}

/// A key as it stands in a dotted path.
#[must_use]
pub fn escape_key(key: &str) -> Cow<'_, str> {
    if key.contains('.') { key.replace('.', "\\.").into() } else { key.into() }
}
