//! The edits of one hop in the files that declare the release, and what is left to the hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use milvus_guard::model::declaration::{Declaration, Form, Layer, SetKind};
use milvus_guard::model::place::{Origin, Place};
use milvus_guard::model::plan::{ActionKind, Hop};
use milvus_guard::model::value::{Lookup, Node, Table, Value, split_path};
use milvus_guard::source::Tree;

use super::edit::{Edits, entry_lines};
use super::{flags, tool};
use crate::cli::emit;

/// What is left to the hand where the chart's version cannot be replaced.
pub(super) const CHART: &str = "chart version";

/// Values of a hop: path and value; null takes a value away.
pub(super) fn wanted(hop: &Hop) -> impl Iterator<Item = (&String, &Json)> {
    hop.actions.iter().filter(|action| action.kind == ActionKind::HelmUpgrade).flat_map(|action| &action.values)
}

/// The edits of one hop, and what has to be done by hand.
pub(super) struct Draft<'a> {
    pub(super) tree: &'a dyn Tree,
    pub(super) files: BTreeMap<Arc<str>, Edits>,
    pub(super) by_hand: Vec<(String, String)>,
}

impl Draft<'_> {
    /// Everything that a hop changes.
    pub(super) fn hop(&mut self, declaration: &Declaration, hop: &Hop) {
        let is_same = declaration.chart.version.known().is_some_and(|version| version.to_string() == hop.chart);
        // A file of values names no chart; the command that takes it does.
        let is_elsewhere = declaration.identity.form == Form::Values;
        if !is_same && !is_elsewhere && !declaration.chart.version.place().is_some_and(|place| self.replace(place, &hop.chart)) {
            self.by_hand.push((CHART.to_owned(), hop.chart.clone()));
        }
        let mut missing = Map::new();
        let mut away = Vec::new();
        for (path, value) in wanted(hop) {
            if value.is_null() {
                away.push(split_path(path));
            } else if !self.set_existing(&declaration.layers, path, value) {
                nest(&mut missing, &split_path(path), value);
            }
        }
        self.take_away(declaration, &away, &missing);
        for change in hop.actions.iter().flat_map(|action| &action.tool) {
            if !tool::edit(*change, declaration, self.tree, &mut self.files) {
                self.by_hand.push(tool::by_hand(*change));
            }
        }
        if missing.is_empty() {
            return;
        }
        let last = declaration.layers.iter().rev().find_map(|layer| match layer {
            Layer::Table { values, .. } => values.table().filter(|table| first_key(table).is_some()),
            _ => None,
        });
        match last {
            Some(table) => self.add(table, missing, ""),
            None if declaration.identity.form == Form::Command => self.add_flags(declaration, &missing),
            None if tool::add_values(declaration, self.tree, &mut self.files, &missing) => {}
            None => self.leave(&Json::Object(missing), ""),
        }
    }

    /// Takes values away from every layer that has them; a table that would be left empty goes as a whole, since a key without a value means something else to Helm.
    fn take_away(&mut self, declaration: &Declaration, away: &[Vec<String>], added: &Map<String, Json>) {
        for layer in &declaration.layers {
            let Layer::Table { values, .. } = layer else { continue };
            for path in topmost(values, away, added) {
                let Some((key, place)) = find(values, &path) else { continue };
                let text = self.tree.read(&place.file).unwrap_or_default();
                match entry_lines(&text, &place) {
                    Some(lines) => self.files.entry(Arc::clone(&place.file)).or_default().remove(lines),
                    None if self.rewrite_without(values, &path) => {}
                    None => self.by_hand.push((key, "take it away".to_owned())),
                }
            }
        }
    }

    /// Writes a flow mapping again without one of its keys.
    fn rewrite_without(&mut self, values: &Node, path: &[String]) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let parent = parents.iter().try_fold(values, |node, key| node.table()?.entries.get(key.as_str()).map(|entry| &entry.node));
        let Some((parent, place)) = parent.and_then(|parent| Some((parent, editable(&parent.origin)?))) else { return false };
        let Json::Object(mut table) = emit::json(parent) else { return false };
        table.remove(last);
        !self.is_touched(place) && self.replace(place, &flow(&Json::Object(table)))
    }

    /// Whether something on a line is edited already.
    fn is_touched(&self, place: &Place) -> bool {
        self.files.get(&place.file).is_some_and(|edits| edits.touches(place.start.line))
    }

    /// Adds values to a command that names its chart's version: flags right behind it.
    fn add_flags(&mut self, declaration: &Declaration, missing: &Map<String, Json>) {
        let place = declaration.chart.version.place().filter(|place| declaration.identity.form == Form::Command && self.is_version_flag(place)).cloned();
        let mut values = Vec::new();
        leaves(missing, "", &mut values);
        let mut arguments = String::new();
        for (path, value) in values {
            match flags::added(&path, value).filter(|_| place.is_some()) {
                Some(flag) => arguments.push_str(&flag),
                None => self.by_hand.push((path, flow(value))),
            }
        }
        if let Some(place) = place {
            self.files.entry(Arc::clone(&place.file)).or_default().insert_within(place.end.line, place.end.column, &arguments);
        }
    }

    /// Whether what stands at a place is the bare argument of `--version`.
    fn is_version_flag(&self, place: &Place) -> bool {
        let text = self.tree.read(&place.file).unwrap_or_default();
        let line = text.lines().nth((place.end.line as usize).saturating_sub(1)).unwrap_or_default();
        let before: String = line.chars().take((place.start.column as usize).saturating_sub(1)).collect();
        let after = line.chars().nth((place.end.column as usize).saturating_sub(1));
        ["--version ", "--version="].iter().any(|flag| before.ends_with(flag)) && after.is_none_or(char::is_whitespace)
    }

    /// Sets a value that is written somewhere already.
    fn set_existing(&mut self, layers: &[Layer], path: &str, value: &Json) -> bool {
        for layer in layers.iter().rev() {
            let values = match layer {
                Layer::Table { values, .. } => values,
                Layer::Set { kind, text, place, .. } => match flags::replaced(*kind, text, path, value) {
                    Some(argument) => return self.set_argument(*kind, place, path, &argument, value),
                    None => continue,
                },
                Layer::Unseen { .. } => continue,
            };
            let Lookup::Found(entry) = values.lookup(path) else { continue };
            if emit::json(&entry.node) == *value {
                return true;
            }
            let text = flow(value);
            return match (&entry.node.value, editable(&entry.node.origin)) {
                (Value::Table(_) | Value::List(_), _) | (_, None) => false,
                (_, Some(place)) => self.replace(place, &text),
            };
        }
        false
    }

    /// An argument of a command stands there as a whole; in a list of parameters only its value does, as a text.
    fn set_argument(&mut self, kind: SetKind, place: &Place, path: &str, argument: &str, value: &Json) -> bool {
        let text = self.tree.read(&place.file).unwrap_or_default();
        let line = text.lines().nth((place.start.line as usize).saturating_sub(1)).unwrap_or_default();
        let rest: String = line.chars().skip((place.start.column as usize).saturating_sub(1)).collect();
        if rest.trim_start_matches(['"', '\'']).starts_with(path) {
            return self.replace(place, argument);
        }
        let text = match value {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        let is_plain = kind == SetKind::Set && value.is_string();
        let quoted = if is_plain { emit::scalar_text(&text) } else { format!("\"{text}\"") };
        self.replace(place, &quoted)
    }

    /// Adds values to a table that is written in a file.
    fn add(&mut self, table: &Table, values: Map<String, Json>, path: &str) {
        let mut missing = Map::new();
        for (key, value) in values {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match (table.entries.get(&key).map(|entry| &entry.node), value) {
                (None, value) => {
                    missing.insert(key, value);
                }
                (Some(Node { value: Value::Table(below), .. }), Json::Object(value)) if first_key(below).is_some() => self.add(below, value, &inner),
                (Some(node), value) => {
                    let is_replaced =
                        matches!(&node.value, Value::Table(_) | Value::Null) && editable(&node.origin).is_some_and(|place| self.replace(place, &flow(&value)));
                    if !is_replaced {
                        self.leave(&value, &inner);
                    }
                }
            }
        }
        if missing.is_empty() {
            return;
        }
        match first_key(table) {
            Some(place) => self.insert(place, missing, path),
            None => self.leave(&Json::Object(missing), path),
        }
    }

    /// Puts keys before the first key of a table: on lines of their own in its indent, or in a flow mapping on the same line.
    fn insert(&mut self, first: &Place, values: Map<String, Json>, path: &str) {
        let text = self.tree.read(&first.file).unwrap_or_default();
        let line = text.lines().nth((first.start.line as usize).saturating_sub(1)).unwrap_or_default();
        let indent = first.start.column.saturating_sub(1) as usize;
        let before: String = line.chars().take(indent).collect();
        let edits = self.files.entry(Arc::clone(&first.file)).or_default();
        if before.trim().is_empty() {
            let mut lines = Vec::new();
            block(&values, indent, &mut lines);
            edits.insert(first.start.line, lines);
        } else if before.trim_end().ends_with(['{', ',']) {
            let entries: String = values.iter().map(|(key, value)| format!("{}: {}, ", emit::scalar_text(key), flow(value))).collect();
            edits.insert_within(first.start.line, first.start.column, &entries);
        } else {
            self.leave(&Json::Object(values), path);
        }
    }

    fn replace(&mut self, place: &Place, text: &str) -> bool {
        self.files.entry(Arc::clone(&place.file)).or_default().replace(place, text)
    }

    /// Leaves values to the user.
    fn leave(&mut self, value: &Json, path: &str) {
        match value {
            Json::Object(table) => {
                for (key, value) in table {
                    self.leave(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") });
                }
            }
            value => self.by_hand.push((path.to_owned(), flow(value))),
        }
    }
}

/// Paths to take away from a table, and instead of all of a table's keys the table itself, where nothing is added to it.
fn topmost(values: &Node, away: &[Vec<String>], added: &Map<String, Json>) -> Vec<Vec<String>> {
    let mut paths: Vec<Vec<String>> = away.iter().filter(|path| find(values, path).is_some()).cloned().collect();
    loop {
        let emptied = paths.iter().find_map(|path| {
            let (_, parent) = path.split_last().filter(|(_, parent)| !parent.is_empty())?;
            let node = parent.iter().try_fold(values, |node, key| node.table()?.entries.get(key.as_str()).map(|entry| &entry.node))?;
            let all_go = node.table()?.entries.keys().all(|key| paths.contains(&[parent, &[key.to_string()]].concat()));
            let mut keys = parent.iter();
            let is_added_to = keys.next().and_then(|key| added.get(key)).and_then(|table| keys.try_fold(table, |table, key| table.get(key))).is_some();
            (all_go && !is_added_to).then(|| parent.to_vec())
        });
        let Some(parent) = emptied else { return paths };
        paths.retain(|path| !path.starts_with(&parent));
        paths.push(parent);
    }
}

/// A path in words, and where its key stands.
fn find(values: &Node, path: &[String]) -> Option<(String, Place)> {
    let mut node = values;
    let mut at = None;
    for key in path {
        let entry = node.table()?.entries.get(key.as_str())?;
        at = editable(&entry.key).cloned();
        node = &entry.node;
    }
    Some((path.join("."), at?))
}

/// The single values of a table, by path.
fn leaves<'v>(table: &'v Map<String, Json>, path: &str, all: &mut Vec<(String, &'v Json)>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Json::Object(below) => leaves(below, &path, all),
            value => all.push((path, value)),
        }
    }
}

/// Where a plan may edit: what a Secret holds is left to people.
fn editable(origin: &Origin) -> Option<&Place> {
    origin.place().filter(|_| origin.secret().is_none())
}

/// Where the first key of a table stands in a file.
fn first_key(table: &Table) -> Option<&Place> {
    table.entries.values().filter_map(|entry| editable(&entry.key)).min_by_key(|place| place.start)
}

/// Puts a value at a path of a JSON object.
fn nest(table: &mut Map<String, Json>, keys: &[String], value: &Json) {
    match keys {
        [] => {}
        [key] => {
            table.insert(key.clone(), value.clone());
        }
        [key, below @ ..] => {
            if let Json::Object(inner) = table.entry(key.clone()).or_insert_with(|| Json::Object(Map::new())) {
                nest(inner, below, value);
            }
        }
    }
}

/// A value on one line.
pub(super) fn flow(value: &Json) -> String {
    match value {
        Json::String(text) => emit::scalar_text(text),
        Json::Object(table) => {
            format!("{{{}}}", table.iter().map(|(key, value)| format!("{}: {}", emit::scalar_text(key), flow(value))).collect::<Vec<_>>().join(", "))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// A table as lines of block mappings.
pub(super) fn block(table: &Map<String, Json>, indent: usize, lines: &mut Vec<String>) {
    for (key, value) in table {
        let key = emit::scalar_text(key);
        let blanks = " ".repeat(indent);
        match value {
            Json::Object(below) if !below.is_empty() => {
                lines.push(format!("{blanks}{key}:"));
                block(below, indent + 2, lines);
            }
            value => lines.push(format!("{blanks}{key}: {}", flow(value))),
        }
    }
}
