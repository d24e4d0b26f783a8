//! `catalogue`: what is known about the versions of the chart, and what changes between two of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, anyhow};
use serde_json::{Value as Json, json};

use milvus_guard::model::catalogue::{Catalogue, ChartEntry, ChartStatus};
use milvus_guard::model::value::{Node, Value};
use milvus_guard::model::version::ChartVersion;

use super::args::{CatalogueCommand, TableFormat};
use super::{emit, known, output, table};

/// Runs a subcommand of `catalogue`.
///
/// # Errors
/// When a version is not known, or standard output cannot be written.
pub(crate) fn run(command: &CatalogueCommand) -> anyhow::Result<()> {
    let catalogue = Catalogue::embedded();
    let text = match command {
        CatalogueCommand::List { format } => list(catalogue, *format),
        CatalogueCommand::Show { version, format } => show(find(catalogue, version)?, *format),
        CatalogueCommand::Diff { before, after, format } => diff(catalogue, find(catalogue, before)?, find(catalogue, after)?, *format)?,
    };
    output::to_stdout(text.as_bytes())
}

fn find<'c>(catalogue: &'c Catalogue, text: &str) -> anyhow::Result<&'c ChartEntry> {
    let version: ChartVersion = text.parse()?;
    catalogue.get(&version).ok_or_else(|| {
        let hint = known::carriers(text)
            .unwrap_or_else(|| catalogue.newest().map_or_else(String::new, |chart| format!("; the newest version known here is {}", chart.version)));
        anyhow!("chart {version} is not known{hint} (`milvus-lint catalogue list` prints all)")
    })
}

fn list(catalogue: &Catalogue, format: TableFormat) -> String {
    match format {
        TableFormat::Json => pretty(&catalogue.versions().iter().map(wire).collect()),
        TableFormat::Text => {
            let mut rows = vec![["CHART", "DATE", "STATUS", "IMAGE TAG", "APP", "NOTE"].map(str::to_owned)];
            for chart in catalogue.versions().iter().rev() {
                let tag = chart.image_tag.as_deref().unwrap_or("-");
                let note = chart.note.as_deref().unwrap_or_default();
                rows.push([&chart.version.to_string(), &*chart.date, status(chart.status), tag, &*chart.app, note].map(str::to_owned));
            }
            table::aligned(&rows)
        }
    }
}

fn show(chart: &ChartEntry, format: TableFormat) -> String {
    if format == TableFormat::Json {
        return pretty(&wire(chart));
    }
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<13}{value}");
    };
    line("chart", &chart.version.to_string());
    line("date", &chart.date);
    line("status", &format!("{}{}", status(chart.status), if chart.archived { ", also in the archived repository" } else { "" }));
    let image = [chart.image_repository.as_deref(), chart.image_tag.as_deref()].map(|part| part.unwrap_or("unknown"));
    line("image", &image.join(":"));
    line("milvus", &chart.milvus.map_or_else(|| "unknown".to_owned(), |milvus| milvus.to_string()));
    line("appVersion", &chart.app);
    line("kubeVersion", chart.kube_version.as_deref().unwrap_or("not said"));
    for (index, dependency) in chart.dependencies.iter().enumerate() {
        let alias = dependency.alias.as_ref().map_or_else(String::new, |alias| format!(" as {alias}"));
        line(if index == 0 { "dependencies" } else { "" }, &format!("{} {}{alias}", dependency.name, dependency.version));
    }
    line("defaults", if chart.has_defaults { "known" } else { "not known" });
    if let Some(note) = &chart.note {
        line("note", note);
    }
    out
}

fn diff(catalogue: &Catalogue, before: &ChartEntry, after: &ChartEntry, format: TableFormat) -> anyhow::Result<String> {
    let leaves = |chart: &ChartEntry| -> anyhow::Result<BTreeMap<String, Node>> {
        let defaults = catalogue.defaults(&chart.version).with_context(|| format!("the default values of chart {} are not known", chart.version))?;
        let mut leaves = BTreeMap::new();
        defaults.for_each_leaf(&mut |path, entry| {
            leaves.insert(path.to_owned(), entry.node.clone());
        });
        Ok(leaves)
    };
    let (leaves_before, leaves_after) = (leaves(before)?, leaves(after)?);
    let removed = only_in(&leaves_before, &leaves_after);
    let added = only_in(&leaves_after, &leaves_before);
    let changed: Vec<(&str, &Node, &Node)> = leaves_before
        .iter()
        .filter_map(|(path, value)| leaves_after.get(path).filter(|other| !same(&value.value, &other.value)).map(|other| (path.as_str(), value, other)))
        .collect();
    if format == TableFormat::Json {
        let values = |list: &[(&str, &Node)]| list.iter().map(|(path, value)| ((*path).to_owned(), emit::json(value))).collect::<serde_json::Map<_, _>>();
        let changed: Vec<Json> =
            changed.iter().map(|(path, before, after)| json!({ "path": path, "before": emit::json(before), "after": emit::json(after) })).collect();
        return Ok(pretty(&json!({
            "before": before.version.to_string(),
            "after": after.version.to_string(),
            "changed": changed,
            "added": values(&added),
            "removed": values(&removed),
        })));
    }
    let mut out = String::new();
    let _ = writeln!(
        out,
        "chart {} -> {}: default values: {} changed, {} added, {} removed",
        before.version,
        after.version,
        changed.len(),
        added.len(),
        removed.len()
    );
    section(&mut out, "changed", changed.iter().map(|(path, before, after)| format!("~ {path}: {} -> {}", shown(before), shown(after))));
    section(&mut out, "added", added.iter().map(|(path, value)| format!("+ {path}: {}", shown(value))));
    section(&mut out, "removed", removed.iter().map(|(path, value)| format!("- {path}: {}", shown(value))));
    Ok(out)
}

fn only_in<'l>(these: &'l BTreeMap<String, Node>, those: &BTreeMap<String, Node>) -> Vec<(&'l str, &'l Node)> {
    these.iter().filter(|(path, _)| !those.contains_key(*path)).map(|(path, value)| (path.as_str(), value)).collect()
}

fn section(out: &mut String, title: &str, lines: impl ExactSizeIterator<Item = String>) {
    if lines.len() == 0 {
        return;
    }
    let _ = writeln!(out, "\n{title}:");
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
}

/// Whether two values are the same, wherever they come from.
fn same(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::List(before), Value::List(after)) => before.len() == after.len() && before.iter().zip(&**after).all(|(a, b)| same(&a.value, &b.value)),
        (Value::Table(before), Value::Table(after)) => {
            before.entries.len() == after.entries.len()
                && before.entries.iter().zip(&after.entries).all(|((key, a), (other, b))| key == other && same(&a.node.value, &b.node.value))
        }
        (before, after) => before == after,
    }
}

/// A value on one line.
fn shown(node: &Node) -> String {
    emit::json(node).to_string()
}

fn status(status: ChartStatus) -> &'static str {
    match status {
        ChartStatus::Published => "published",
        ChartStatus::Retracted => "retracted",
        ChartStatus::TagOnly => "tag only",
        ChartStatus::SourceOnly => "source only",
    }
}

fn wire(chart: &ChartEntry) -> Json {
    let dependencies: Vec<Json> = chart
        .dependencies
        .iter()
        .map(|dependency| json!({ "name": *dependency.name, "alias": dependency.alias.as_deref(), "version": *dependency.version }))
        .collect();
    json!({
        "version": chart.version.to_string(),
        "date": *chart.date,
        "status": status(chart.status).replace(' ', "-"),
        "archived": chart.archived,
        "image_repository": chart.image_repository.as_deref(),
        "image_tag": chart.image_tag.as_deref(),
        "milvus": chart.milvus.map(|milvus| milvus.to_string()),
        "app_version": *chart.app,
        "kube_version": chart.kube_version.as_deref(),
        "dependencies": dependencies,
        "defaults_known": chart.has_defaults,
        "note": chart.note.as_deref(),
    })
}

fn pretty(json: &Json) -> String {
    format!("{json:#}\n")
}
