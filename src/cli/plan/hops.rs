//! The hops of a plan as edits of the files that declare the release: chart version and values, each hop on top of the one before.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use milvus_guard::model::declaration::{Declaration, Form, Layer};
use milvus_guard::model::helm::HelmMajor;
use milvus_guard::model::merge;
use milvus_guard::model::place::{Origin, Place};
use milvus_guard::model::plan::{ActionKind, Hop, Plan};
use milvus_guard::model::value::{Lookup, Node, Table, Value, split_path};
use milvus_guard::source::{self, ReadError, SourceFile, Tree};

use super::edit::Edits;
use super::flags;
use crate::cli::args::PlanFormat;
use crate::cli::emit;
use crate::cli::inputs::Inputs;

/// What is left to the hand where the chart's version cannot be replaced.
const CHART: &str = "chart version";

/// All hops as diffs.
pub(super) fn edits(plan: &Plan, inputs: &Inputs, declaration: Declaration, format: PlanFormat) -> String {
    let mut out = String::new();
    let mut edited = Edited { inputs, texts: BTreeMap::new() };
    let mut declaration = declaration;
    for (number, hop) in (1..).zip(&plan.hops) {
        let mut draft = Draft { tree: &edited, files: BTreeMap::new(), by_hand: Vec::new() };
        draft.hop(&declaration, hop);
        let Draft { files, by_hand, .. } = draft;
        let mut texts = edited.texts.clone();
        let mut diffs = String::new();
        for (file, edits) in files.iter().filter(|(_, edits)| !edits.is_empty()) {
            let Ok(text) = edited.read(file) else { continue };
            let (after, diff) = edits.apply(file, &text);
            diffs.push_str(&diff);
            texts.insert(Arc::clone(file), after.into());
        }
        let heading = format!("Edit for hop {number}, Milvus {} on chart {}", hop.milvus, hop.chart);
        let (fence, end) = match format {
            PlanFormat::Markdown => (format!("\n### {heading}\n\n```diff\n"), "```\n"),
            PlanFormat::Text | PlanFormat::Json => (format!("\n{heading}:\n\n"), ""),
        };
        let next = Edited { inputs, texts };
        let Some(after) = next.read_again(&declaration).filter(|after| says(after, hop, &by_hand)) else {
            let _ = writeln!(out, "{}no edit of the file leads there for certain; set by hand, then plan again:", fence.replace("```diff\n", ""));
            leave_all(&mut out, hop);
            break;
        };
        out.push_str(&fence);
        out.push_str(&diffs);
        out.push_str(end);
        for (what, value) in &by_hand {
            let _ = writeln!(out, "by hand: {what}: {value}");
        }
        if declaration.lock.is_some() {
            out.push_str("then run `helm dependency update` and commit the lock\n");
        }
        (declaration, edited) = (after, next);
    }
    out
}

/// Values of a hop: path and value.
fn wanted(hop: &Hop) -> impl Iterator<Item = (&String, &Json)> {
    hop.actions.iter().filter(|action| action.kind == ActionKind::HelmUpgrade).flat_map(|action| &action.values)
}

/// Whether an edited file says what the hop wants, but for what is left to the hand.
fn says(after: &Declaration, hop: &Hop, by_hand: &[(String, String)]) -> bool {
    let is_left = |what: &str| by_hand.iter().any(|(left, _)| left == what || left.starts_with(&format!("{what}.")));
    let is_chart = is_left(CHART) || after.chart.version.known().is_some_and(|version| version.to_string() == hop.chart);
    let Ok(values) = merge::user_values(&after.layers, HelmMajor::Three) else { return false };
    let is_set = |path: &str, value: &Json| matches!(values.lookup(path), Lookup::Found(entry) if emit::json(&entry.node) == *value);
    is_chart && wanted(hop).all(|(path, value)| is_left(path) || is_set(path, value))
}

fn leave_all(out: &mut String, hop: &Hop) {
    let _ = writeln!(out, "by hand: {CHART}: {}", hop.chart);
    for (path, value) in wanted(hop) {
        let _ = writeln!(out, "by hand: {path}: {}", flow(value));
    }
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
            self.by_hand.push((CHART.to_owned(), hop.chart.clone()));
        }
        let mut missing = Map::new();
        for (path, value) in wanted(hop) {
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
            None => self.add_flags(declaration, &missing),
        }
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
                    Some(argument) => return self.replace(place, &argument),
                    None => continue,
                },
                Layer::Unseen { .. } => continue,
            };
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
