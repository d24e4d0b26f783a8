//! The hops of a plan as edits of the files that declare the release: chart version and values, each hop on top of the one before.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use milvus_guard::model::declaration::{Declaration, Layer};
use milvus_guard::model::place::{Origin, Place};
use milvus_guard::model::plan::{ActionKind, Hop, Plan};
use milvus_guard::model::value::{Lookup, Node, Table, Value, split_path};
use milvus_guard::source::{self, ReadError, SourceFile, Tree};

use super::edit::Edits;
use crate::cli::args::PlanFormat;
use crate::cli::emit;
use crate::cli::inputs::Inputs;

/// All hops as diffs.
pub(super) fn edits(plan: &Plan, inputs: &Inputs, declaration: Declaration, format: PlanFormat) -> String {
    let mut out = String::new();
    let mut edited = Edited { inputs, texts: BTreeMap::new() };
    let mut declaration = declaration;
    for (number, hop) in (1..).zip(&plan.hops) {
        let mut draft = Draft { tree: &edited, files: BTreeMap::new(), by_hand: Vec::new() };
        draft.hop(&declaration, hop);
        let heading = format!("Edit for hop {number}, Milvus {} on chart {}", hop.milvus, hop.chart);
        let (fence, end) = match format {
            PlanFormat::Markdown => (format!("\n### {heading}\n\n```diff\n"), "```\n"),
            PlanFormat::Text | PlanFormat::Json => (format!("\n{heading}:\n\n"), ""),
        };
        out.push_str(&fence);
        let Draft { files, by_hand, .. } = draft;
        for (file, edits) in files.iter().filter(|(_, edits)| !edits.is_empty()) {
            let Ok(text) = edited.read(file) else { continue };
            let (after, diff) = edits.apply(file, &text);
            out.push_str(&diff);
            edited.texts.insert(Arc::clone(file), after.into());
        }
        out.push_str(end);
        for (what, value) in &by_hand {
            let _ = writeln!(out, "by hand: {what}: {value}");
        }
        if declaration.lock.is_some() {
            out.push_str("then run `helm dependency update` and commit the lock\n");
        }
        match edited.read_again(&declaration) {
            Some(after) => declaration = after,
            None => {
                out.push_str("the file cannot be followed any further; make this edit, then plan again\n");
                break;
            }
        }
    }
    out
}

/// The tree with the edits so far.
struct Edited<'a> {
    inputs: &'a Inputs,
    texts: BTreeMap<Arc<str>, Arc<str>>,
}

impl Tree for Edited<'_> {
    fn paths(&self) -> &[Arc<str>] {
        self.inputs.walked.tree.paths()
    }

    fn read(&self, path: &str) -> Result<Arc<str>, ReadError> {
        self.texts.get(path).map_or_else(|| self.inputs.walked.tree.read(path), |text| Ok(Arc::clone(text)))
    }
}

impl Edited<'_> {
    /// The declaration as it stands in the edited files.
    fn read_again(&self, before: &Declaration) -> Option<Declaration> {
        let files: Vec<SourceFile> = self
            .inputs
            .walked
            .candidates
            .iter()
            .map(|file| self.texts.get(&file.path).map_or_else(|| file.clone(), |text| SourceFile::new(Arc::clone(&file.path), Arc::clone(text))))
            .collect();
        source::read_tree(self, &files).declarations.into_iter().find(|after| after.identity == before.identity && after.operation == before.operation)
    }
}

/// The edits of one hop, and what has to be done by hand.
struct Draft<'a> {
    tree: &'a dyn Tree,
    files: BTreeMap<Arc<str>, Edits>,
    by_hand: Vec<(String, String)>,
}

impl Draft<'_> {
    fn hop(&mut self, declaration: &Declaration, hop: &Hop) {
        let is_same = declaration.chart.version.known().is_some_and(|version| version.to_string() == hop.chart);
        if !is_same && !declaration.chart.version.place().is_some_and(|place| self.replace(place, &hop.chart)) {
            self.by_hand.push(("chart version".to_owned(), hop.chart.clone()));
        }
        let mut missing = Map::new();
        for (path, value) in hop.actions.iter().filter(|action| action.kind == ActionKind::HelmUpgrade).flat_map(|action| &action.values) {
            if !self.set_existing(&declaration.layers, path, value) {
                nest(&mut missing, &split_path(path), value);
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
            None => self.leave(&Json::Object(missing), ""),
        }
    }

    /// Sets a value that is written somewhere already.
    fn set_existing(&mut self, layers: &[Layer], path: &str, value: &Json) -> bool {
        for layer in layers.iter().rev() {
            let Layer::Table { values, .. } = layer else { continue };
            let Lookup::Found(entry) = values.lookup(path) else { continue };
            if emit::json(&entry.node) == *value {
                return true;
            }
            let text = flow(value);
            return match (&entry.node.value, entry.node.origin.place()) {
                (Value::Table(_) | Value::List(_), _) | (_, None) => false,
                (_, Some(place)) => self.replace(place, &text),
            };
        }
        false
    }

    /// Adds values to a table that is written in a file.
    fn add(&mut self, table: &Table, values: Map<String, Json>, path: &str) {
        let mut missing = Map::new();
        for (key, value) in values {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match (table.entries.get(&*key).map(|entry| &entry.node), value) {
                (None, value) => {
                    missing.insert(key, value);
                }
                (Some(Node { value: Value::Table(below), .. }), Json::Object(value)) if first_key(below).is_some() => self.add(below, value, &inner),
                (Some(node), value) => {
                    let is_replaced =
                        matches!(&node.value, Value::Table(_) | Value::Null) && node.origin.place().is_some_and(|place| self.replace(place, &flow(&value)));
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

/// Where the first key of a table stands in a file.
fn first_key(table: &Table) -> Option<&Place> {
    table.entries.values().filter_map(|entry| if let Origin::At(place) = &entry.key { Some(place) } else { None }).min_by_key(|place| place.start)
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
fn flow(value: &Json) -> String {
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
fn block(table: &Map<String, Json>, indent: usize, lines: &mut Vec<String>) {
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
