//! Settings of the applying tool, edited where each form keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use milvus_guard::model::declaration::{Declaration, Flag, FlagKind, Form};
use milvus_guard::model::place::Place;
use milvus_guard::model::plan::ToolChange;
use milvus_guard::source::Tree;

use super::draft::block;
use super::edit::{Edits, entry_lines};
use super::object::{self, Setting};

type Files = BTreeMap<Arc<str>, Edits>;

/// How long the tool waits.
const WAIT: &str = "30m";

/// Edits a setting; false where no edit is known for the form.
pub(super) fn edit(change: ToolChange, declaration: &Declaration, tree: &dyn Tree, files: &mut Files) -> bool {
    match declaration.identity.form {
        Form::Flux => flux(change, declaration, tree, files),
        Form::Command => command(change, declaration, tree, files),
        Form::Helmfile => helmfile(change, declaration, tree, files),
        Form::K3s => change == ToolChange::Off(FlagKind::DeleteBeforeReplace) && replace_flag(FlagKind::DeleteBeforeReplace, "abort", declaration, files),
        Form::ArgoCd => change == ToolChange::Off(FlagKind::Force) && remove_item(FlagKind::Force, declaration, tree, files),
        Form::Kustomize | Form::Umbrella | Form::Values | Form::Manifest | Form::HelmRelease => false,
    }
}

/// A setting that is left to the hand: what, and how it is to be.
pub(super) fn by_hand(change: ToolChange) -> (String, String) {
    let (what, how) = match change {
        ToolChange::Off(FlagKind::RollbackRemediation) => ("automatic rollback (`upgrade.remediation`)", "off"),
        ToolChange::Off(FlagKind::Atomic) => ("automatic rollback (`--atomic`, `atomic`)", "off"),
        ToolChange::Off(FlagKind::DeleteBeforeReplace) => ("uninstall after a failure", "off"),
        ToolChange::Off(FlagKind::Force) => ("replacing by force", "off"),
        ToolChange::Off(FlagKind::RecreatePods) => ("recreating all pods", "off"),
        ToolChange::Off(_) => ("reusing the values of the running release", "off"),
        ToolChange::Timeout => ("time to wait", WAIT),
        ToolChange::ResetThenReuse => ("`--reset-then-reuse-values`", "on"),
    };
    (what.to_owned(), how.to_owned())
}

/// Whether a file says what a change wants.
pub(super) fn is_settled(change: ToolChange, after: &Declaration) -> bool {
    match change {
        ToolChange::Off(kind) => flag(after, kind).is_none(),
        ToolChange::Timeout => flag(after, FlagKind::Timeout).is_some_and(|flag| flag.value.as_deref().is_some_and(|text| [WAIT, "1800s"].contains(&text))),
        ToolChange::ResetThenReuse => flag(after, FlagKind::ResetThenReuseValues).is_some(),
    }
}

fn flag(declaration: &Declaration, kind: FlagKind) -> Option<&Flag> {
    declaration.flags.iter().find(|flag| flag.kind == kind)
}

fn replace_flag(kind: FlagKind, text: &str, declaration: &Declaration, files: &mut Files) -> bool {
    flag(declaration, kind).is_some_and(|flag| files.entry(Arc::clone(&flag.place.file)).or_default().replace(&flag.place, text))
}

fn flux(change: ToolChange, declaration: &Declaration, tree: &dyn Tree, files: &mut Files) -> bool {
    let settings: &[(&[&str], &str, bool)] = match change {
        ToolChange::Off(FlagKind::RollbackRemediation) => {
            &[(&["spec", "upgrade", "remediation", "retries"], "0", true), (&["spec", "upgrade", "remediation", "remediateLastFailure"], "false", false)]
        }
        ToolChange::Off(FlagKind::DeleteBeforeReplace) => &[
            (&["spec", "upgrade", "remediation", "retries"], "0", true),
            (&["spec", "upgrade", "remediation", "remediateLastFailure"], "false", false),
            (&["spec", "upgrade", "remediation", "strategy"], "rollback", false),
        ],
        ToolChange::Off(FlagKind::ReuseValues) => &[(&["spec", "upgrade", "preserveValues"], "false", true)],
        ToolChange::Off(FlagKind::Force) => &[(&["spec", "upgrade", "force"], "false", true)],
        ToolChange::Timeout => &[(&["spec", "timeout"], WAIT, true), (&["spec", "upgrade", "timeout"], WAIT, false)],
        ToolChange::Off(_) | ToolChange::ResetThenReuse => &[],
    };
    let object = &declaration.place;
    !settings.is_empty() && settings.iter().all(|(path, text, is_wanted)| set(object, path, text, *is_wanted, tree, files))
}

/// Sets a setting of an object; one that is not there is added where it is wanted.
fn set(object: &Place, path: &[&str], text: &str, is_wanted: bool, tree: &dyn Tree, files: &mut Files) -> bool {
    let source = tree.read(&object.file).unwrap_or_default();
    let Some(document) = object::document_at(&source, object) else { return false };
    let edits = files.entry(Arc::clone(&object.file)).or_default();
    match object::setting(&document.root, path) {
        Some(Setting::Said(node)) => node.text() == Some(text) || edits.replace(&object::place(&object.file, &node.span), text),
        Some(Setting::Missing(..)) | None if !is_wanted => true,
        Some(Setting::Missing(table, missing)) => insert(edits, &source, &object.file, table, missing, text),
        None => false,
    }
}

/// Puts a setting before the first key of a table.
fn insert(edits: &mut Edits, source: &str, file: &Arc<str>, table: &milvus_guard::document::yaml::Node, missing: &[&str], text: &str) -> bool {
    let Some((key, _)) = table.entries().first() else { return false };
    let place = object::place(file, &key.span);
    let indent = (place.start.column as usize).saturating_sub(1);
    let before: String = source.lines().nth((place.start.line as usize).saturating_sub(1)).unwrap_or_default().chars().take(indent).collect();
    let Some((last, tables)) = missing.split_last() else { return false };
    if before.trim().is_empty() {
        let around = tables.iter().enumerate().map(|(depth, key)| format!("{}{key}:", " ".repeat(indent + 2 * depth)));
        let lines: Vec<String> = around.chain([format!("{}{last}: {text}", " ".repeat(indent + 2 * tables.len()))]).collect();
        edits.insert(place.start.line, lines);
    } else if before.trim_end().ends_with(['{', ',']) {
        let opened: String = tables.iter().map(|key| format!("{key}: {{")).collect();
        edits.insert_within(place.start.line, place.start.column, &format!("{opened}{last}: {text}{}, ", "}".repeat(tables.len())));
    } else {
        return false;
    }
    true
}

fn command(change: ToolChange, declaration: &Declaration, tree: &dyn Tree, files: &mut Files) -> bool {
    match change {
        ToolChange::Off(FlagKind::Atomic) => {
            let waits = flag(declaration, FlagKind::Wait).is_some();
            if waits { remove_word(FlagKind::Atomic, declaration, tree, files) } else { replace_flag(FlagKind::Atomic, "--wait", declaration, files) }
        }
        // `--reset-then-reuse-values` takes its place.
        ToolChange::Off(FlagKind::ReuseValues) => replace_flag(FlagKind::ReuseValues, "--reset-then-reuse-values", declaration, files),
        ToolChange::ResetThenReuse if flag(declaration, FlagKind::ReuseValues).is_some() => true,
        ToolChange::Off(kind) => remove_word(kind, declaration, tree, files),
        ToolChange::ResetThenReuse => add_words(" --reset-then-reuse-values", declaration, files),
        ToolChange::Timeout if flag(declaration, FlagKind::Timeout).is_some() => {
            replace_flag(FlagKind::Timeout, &format!("--timeout {WAIT}"), declaration, files)
        }
        ToolChange::Timeout => add_words(&format!(" --timeout {WAIT}"), declaration, files),
    }
}

/// Puts words behind the chart's version.
fn add_words(words: &str, declaration: &Declaration, files: &mut Files) -> bool {
    let Some(place) = declaration.chart.version.place() else { return false };
    files.entry(Arc::clone(&place.file)).or_default().insert_within(place.end.line, place.end.column, words);
    true
}

/// Takes a flag away, with the blank before it.
fn remove_word(kind: FlagKind, declaration: &Declaration, tree: &dyn Tree, files: &mut Files) -> bool {
    let Some(flag) = flag(declaration, kind) else { return false };
    let mut place = flag.place.clone();
    let text = tree.read(&place.file).unwrap_or_default();
    let line = text.lines().nth((place.start.line as usize).saturating_sub(1)).unwrap_or_default();
    let before: String = line.chars().take((place.start.column as usize).saturating_sub(1)).collect();
    if before.ends_with(' ') && !before.trim().is_empty() {
        place.start.column -= 1;
    }
    files.entry(Arc::clone(&place.file)).or_default().replace(&place, "")
}

fn helmfile(change: ToolChange, declaration: &Declaration, tree: &dyn Tree, files: &mut Files) -> bool {
    match change {
        ToolChange::Timeout if flag(declaration, FlagKind::Timeout).is_some() => replace_flag(FlagKind::Timeout, "1800", declaration, files),
        ToolChange::Timeout => beside_name("timeout: 1800", declaration, tree, files),
        ToolChange::ResetThenReuse => false,
        ToolChange::Off(kind) => {
            let said = flag(declaration, kind).map(|flag| text_at(&flag.place, tree));
            let is_switch = said.is_some_and(|text| text.eq_ignore_ascii_case("true"));
            let done = if is_switch { replace_flag(kind, "false", declaration, files) } else { remove_item(kind, declaration, tree, files) };
            let waits = kind != FlagKind::Atomic || flag(declaration, FlagKind::Wait).is_some() || beside_name("wait: true", declaration, tree, files);
            done && waits
        }
    }
}

/// Puts a setting behind the name of a release of a helmfile.
fn beside_name(setting: &str, declaration: &Declaration, tree: &dyn Tree, files: &mut Files) -> bool {
    let place = &declaration.place;
    let text = tree.read(&place.file).unwrap_or_default();
    let line = text.lines().nth((place.start.line as usize).saturating_sub(1)).unwrap_or_default();
    let Some(at) = line.find("name:").filter(|_| !line.contains('{')) else { return false };
    files.entry(Arc::clone(&place.file)).or_default().insert(place.start.line + 1, [format!("{}{setting}", " ".repeat(line.chars().count().min(at)))]);
    true
}

/// Takes away the item of a list that is a setting.
fn remove_item(kind: FlagKind, declaration: &Declaration, tree: &dyn Tree, files: &mut Files) -> bool {
    let Some(flag) = flag(declaration, kind) else { return false };
    let text = tree.read(&flag.place.file).unwrap_or_default();
    let line = text.lines().nth((flag.place.start.line as usize).saturating_sub(1)).unwrap_or_default();
    if !line.trim_start().starts_with("- ") || flag.place.start.line != flag.place.end.line {
        return false;
    }
    let number = flag.place.start.line as usize;
    files.entry(Arc::clone(&flag.place.file)).or_default().remove(number..=number);
    true
}

fn text_at(place: &Place, tree: &dyn Tree) -> String {
    let text = tree.read(&place.file).unwrap_or_default();
    let line = text.lines().nth((place.start.line as usize).saturating_sub(1)).unwrap_or_default();
    let length = (place.end.column as usize).saturating_sub(place.start.column as usize);
    line.chars().skip((place.start.column as usize).saturating_sub(1)).take(length).collect()
}

/// Writes values where an object has none yet.
pub(super) fn add_values(declaration: &Declaration, tree: &dyn Tree, files: &mut Files, values: &Map<String, Json>) -> bool {
    let object = &declaration.place;
    if declaration.identity.form != Form::Flux {
        return false;
    }
    let source = tree.read(&object.file).unwrap_or_default();
    let Some(document) = object::document_at(&source, object) else { return false };
    let Some(Setting::Missing(spec, ["values"])) = object::setting(&document.root, &["spec", "values"]) else { return false };
    let Some((key, _)) = spec.entries().first() else { return false };
    let place = object::place(&object.file, &key.span);
    if entry_lines(&source, &place).is_none() {
        return false;
    }
    let indent = (place.start.column as usize).saturating_sub(1);
    let mut lines = vec![format!("{}values:", " ".repeat(indent))];
    block(values, indent + 2, &mut lines);
    files.entry(Arc::clone(&object.file)).or_default().insert(place.start.line, lines);
    true
}
