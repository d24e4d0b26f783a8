//! `values`: the effective values that Helm would compute, and where each comes from.

use std::cell::RefCell;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::coalesce::{self, ChartValues, WarningKind};
use milvus_guard::model::declaration::{Declaration, Layer, SetKind};
use milvus_guard::model::helm::HelmMajor;
use milvus_guard::model::merge;
use milvus_guard::model::place::{Origin, Place};
use milvus_guard::model::strvals::Argument;
use milvus_guard::model::value::{Entry, Node, Table, Value};
use milvus_guard::model::version::{ChartVersion, VersionSpec};
use milvus_guard::source::convert::verbatim_values_of_file;

use super::args::{DataFormat, ValuesArguments};
use super::release::{self, MAX_FILE_BYTES};
use super::{emit, known, output, secrets, walk};

/// What file a `--set` argument is said to stand in.
const COMMAND_LINE: &str = "command line";

/// Runs `values`.
///
/// # Errors
/// When a file cannot be read, names no release or no chart version, or Helm would refuse the values.
pub(crate) fn run(arguments: &ValuesArguments) -> anyhow::Result<ExitCode> {
    let declaration = arguments.path.as_deref().map(|path| declared(path, arguments)).transpose()?.flatten();
    let version = chart_version(arguments, declaration.as_ref())?;
    let mut layers = match (declaration, &arguments.path) {
        (Some(declaration), _) => declaration.layers,
        // It declares no release, so it can only be a file of values.
        (None, Some(path)) => vec![values_file(path, arguments.helm)?],
        (None, None) => Vec::new(),
    };
    for file in &arguments.files {
        layers.push(values_file(file, arguments.helm)?);
    }
    let user = with_flags(merge::user_values(&layers, arguments.helm).map_err(refused)?, arguments)?;
    let chart = chart_values(&version)?;
    let effective = coalesce::effective(&chart, &user, arguments.helm);
    if let Some(refused) = &effective.refused {
        bail!("Helm refuses these values: `{}`: {}", refused.path, remark(refused.kind));
    }
    for warning in &effective.warnings {
        output::warn(&format!("`{}`: {}", warning.path, remark(warning.kind)));
    }
    for (path, reason) in emit::unseen(&effective.values) {
        let place = if path.is_empty() { "the values".to_owned() } else { format!("`{path}`") };
        output::warn(&format!("{place} may hold more than is printed: {reason}"));
    }
    let values = if arguments.only_set { only_set(&effective.values) } else { effective.values };
    let values = if arguments.show_secrets { values } else { masked(values) };
    output::to_stdout(print(arguments, &values, &version).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The release that a file declares; nothing when it declares none and is a mere file of values.
fn declared(path: &Path, arguments: &ValuesArguments) -> anyhow::Result<Option<Declaration>> {
    let (inputs, found) = release::find(path, arguments.release.as_deref(), arguments.environment.as_deref())?;
    if found.is_none() && (arguments.chart.is_none() || inputs.scope.files.is_empty()) {
        let reason = release::why_none(&inputs);
        bail!("`{}` declares no Milvus release that can be read{reason}; name a file that does, or give a chart version with --chart", path.display());
    }
    Ok(found)
}

/// The chart version: given, or declared.
fn chart_version(arguments: &ValuesArguments, declaration: Option<&Declaration>) -> anyhow::Result<ChartVersion> {
    let what = "a chart version such as 4.2.58";
    let spec = match (&arguments.chart, declaration) {
        (Some(text), _) => VersionSpec::parse(text),
        (None, Some(declaration)) => {
            let version = declaration.chart.version.known().cloned();
            version.ok_or_else(|| anyhow!("the file does not say the chart version, or not in a way that can be read here; give {what} with --chart"))?
        }
        (None, None) => bail!("name a file that declares a release, or give {what} with --chart"),
    };
    match spec {
        VersionSpec::Exact(version) => Ok(version),
        VersionSpec::Range(range) => {
            let newest = Catalogue::embedded().newest_admitted(&range);
            let newest = newest.with_context(|| format!("no chart version that is known here fits the range `{}`; give {what} with --chart", range.text()))?;
            output::warn(&format!("the range `{}` is taken as {}, the newest version in it that is known here", range.text(), newest.version));
            Ok(newest.version.clone())
        }
        VersionSpec::Malformed(text) => bail!("`{text}` is no chart version; give {what} with --chart"),
    }
}

/// The chart's own values and its dependencies.
fn chart_values(version: &ChartVersion) -> anyhow::Result<ChartValues> {
    let catalogue = Catalogue::embedded();
    let Some(chart) = catalogue.chart_values(version) else {
        let hint = known::carriers(&version.to_string()).unwrap_or_else(|| format!("; nearest published: {}", known::nearest_charts(version)));
        bail!("the default values of chart {version} are not known{hint} (`milvus-lint catalogue list` prints all)");
    };
    known::chart(version, "the values printed are those of a chart that cannot be had")?;
    Ok(chart)
}

/// The values with the `--set` family of our own command line, whose shell has filled in all variables.
fn with_flags(user: Node, arguments: &ValuesArguments) -> anyhow::Result<Node> {
    let place = Place::file_start(&COMMAND_LINE.into());
    let unread = RefCell::new(None);
    let files = |name: &str| walk::read_named(Path::new(name), MAX_FILE_BYTES).map_err(|error| unread.replace(Some(error))).ok();
    let families = [
        (SetKind::Set, &arguments.set),
        (SetKind::SetString, &arguments.set_string),
        (SetKind::SetJson, &arguments.set_json),
        (SetKind::SetLiteral, &arguments.set_literal),
        (SetKind::SetFile, &arguments.set_file),
    ];
    let flags = families.iter().flat_map(|(kind, texts)| texts.iter().map(|text| (*kind, text)));
    let flags: Vec<Argument<'_>> = flags.map(|(kind, text)| Argument { kind, text, place: &place, files: &files, verbatim: true }).collect();
    let user = merge::with_flags(user, &flags, arguments.helm).map_err(refused)?;
    drop(flags);
    unread.into_inner().map_or(Ok(user), Err)
}

fn refused(refused: impl Display) -> anyhow::Error {
    // A flag has no line and column that would help to find it.
    let reason = refused.to_string().replace(&format!("{COMMAND_LINE}:1:1: "), "on the command line: ");
    anyhow!("Helm refuses these values: {reason}")
}

/// A file that is handed to Helm as it is.
pub(crate) fn values_file(file: &Path, helm: HelmMajor) -> anyhow::Result<Layer> {
    let name: Arc<str> = file.to_string_lossy().into();
    let text = walk::read_named(file, MAX_FILE_BYTES)?;
    let values = verbatim_values_of_file(&name, &text, helm).map_err(refused)?;
    Ok(Layer::Table { values, what: format!("values file {name}").into() })
}

fn print(arguments: &ValuesArguments, values: &Node, version: &ChartVersion) -> String {
    let words = |origin: &Origin| match origin {
        Origin::ChartDefault => format!("chart default of {version}"),
        Origin::At(place) if &*place.file == COMMAND_LINE => COMMAND_LINE.to_owned(),
        Origin::At(place) => place.to_string(),
        Origin::Secret(secret) => format!("{} ({})", secret.place, secret.what),
        Origin::Given(words) => words.to_string(),
    };
    match arguments.format {
        DataFormat::Yaml => emit::yaml(values, arguments.origin.then_some(&words)),
        DataFormat::Json => {
            let mut json = emit::json(values);
            if arguments.origin {
                let mut origins = serde_json::Map::new();
                values.for_each_leaf(&mut |path, entry| {
                    origins.insert(path.to_owned(), words(&entry.node.origin).into());
                });
                json = serde_json::json!({ "values": json, "origins": origins });
            }
            format!("{json:#}\n")
        }
    }
}

/// The values without what should not stand in a log, which is told.
fn masked(values: Node) -> Node {
    let masked = secrets::masked(&values);
    if masked != values {
        output::warn("values that look like credentials are masked; --show-secrets prints them");
    }
    masked
}

/// The values that files and flags set. What they set to null is gone, as Helm has it.
fn only_set(values: &Node) -> Node {
    let Value::Table(table) = &values.value else { return values.clone() };
    let is_set = |node: &Node| node.origin != Origin::ChartDefault;
    let entries = table.entries.iter().filter_map(|(key, entry)| {
        let node = only_set(&entry.node);
        let is_empty = node.table().is_some_and(|table| table.entries.is_empty());
        let keeps = match &node.value {
            Value::Table(_) if is_empty => is_set(&entry.node) && entry.node.table().is_some_and(|table| table.entries.is_empty()),
            Value::Table(_) => true,
            _ => is_set(&node),
        };
        keeps.then(|| (key.clone(), Entry { node, ..entry.clone() }))
    });
    let table = Table { entries: entries.collect(), rest_unknown: table.rest_unknown.clone() };
    Node { value: Value::Table(Arc::new(table)), origin: values.origin.clone() }
}

fn remark(kind: WarningKind) -> &'static str {
    match kind {
        WarningKind::ValueOverTable => "the chart has a table here, and a value takes its place",
        WarningKind::TableOverValue => "the chart has a value here, and a table takes its place",
        WarningKind::GlobalIsNoTable => "`global` is no table here, so it is not passed on",
        WarningKind::GlobalConflict => "a global is a table in one chart and a value in another, so it is not passed on",
        WarningKind::DependencyIsNoTable => "what stands under the name of a dependency must be a table",
    }
}
