//! What the readers of GitOps objects have in common: charts, layers of values, files that are named.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::ReadError;
use super::Reading;
use super::context::Context;
use super::index::Object;
use super::item::{Expander, Item};
use super::kustomize::{Environment, apply};
use super::lineage::{lineage, values_lineage};
use super::nested::files_of;
use super::umbrella::declarations_of_chart;
use crate::document::template::{is_variable, nothing_sets};
use crate::model::declaration::{ChartSource, Declaration, Form, Layer, Lineage, NotChecked, NotCheckedKind};
use crate::model::place::{Fact, InSecret, Origin, Place};
use crate::model::value::{Entry, Node, Table, Value};
use crate::model::version::VersionSpec;

/// An object as one environment applies it.
pub struct Rendering<'g> {
    /// The object, patched.
    pub item: Item,
    /// What could not be applied.
    pub gaps: Vec<NotChecked>,
    /// The kustomizations over it.
    pub environment: Environment<'g>,
    /// The folder that stands for the cluster or environment.
    pub scope: String,
    /// The file that stands for the release: the object's, or the overlay's where there are several.
    pub path: Arc<str>,
}

/// What the kustomizations of the tree make of an object: one rendering per environment. Nothing for what is itself a patch.
#[must_use]
pub fn renderings<'g>(object: &Object<'_>, context: &'g Context<'_>) -> Vec<Rendering<'g>> {
    let graph = context.kustomizations();
    if graph.is_patch(&object.file.path) {
        return Vec::new();
    }
    let environments = graph.environments(&object.file.path);
    let item = Item::of_file(object.file, object.root);
    let several = environments.len() > 1;
    let root = |e: &Environment<'_>| e.layers.last().map_or_else(|| object.file.folder().to_owned(), |layer| layer.folder.clone());
    let roots: Vec<String> = environments.iter().map(root).collect();
    let render = |((environment, own), item): ((Environment<'g>, &String), Item)| {
        let (item, gaps) = apply::render(item, &environment, graph, context);
        let shared = roots.iter().filter(|root| *root == own).count() > 1;
        let scope = match environment.flux.filter(|_| shared) {
            Some(flux) => format!("{own} {}", flux.path),
            None => own.clone(),
        };
        let path = environment.layers.last().filter(|_| several).map_or_else(|| object.file.path.clone(), |layer| layer.path.clone());
        Rendering { item, gaps, environment, scope, path }
    };
    let items = std::iter::repeat_n(item, roots.len());
    environments.into_iter().zip(&roots).zip(items).map(render).collect()
}

/// A chart version as written, read as Helm reads it; a variable is unknown.
#[must_use]
pub fn version(fact: Fact<Arc<str>>) -> Fact<VersionSpec> {
    match fact {
        Fact::Known(text, origin) if is_variable(&text) => Fact::Unknown(nothing_sets(&text).into(), origin),
        fact => fact.map(|text| VersionSpec::parse(&text)),
    }
}

/// A chart from a repository whose URL is known or not.
#[must_use]
pub fn chart(repository: Fact<Arc<str>>, name: Fact<Arc<str>>, version: Fact<VersionSpec>) -> ChartSource {
    let lineage = match &repository {
        // A repository is named but not in sight: nothing can be presumed.
        Fact::Unknown(..) => Lineage::Unknown,
        repository => lineage(repository.known().map(|url| &**url), name.known().map_or("milvus", |name| name)),
    };
    ChartSource { repository, name, version, lineage, vendored: None }
}

/// Where the origin of a chart cannot be told, its values may prove it.
pub fn prove_lineage(declaration: &mut Declaration, values: Option<&Item>) {
    if declaration.chart.lineage == Lineage::Unknown
        && let Some(proven) = values.and_then(|values| values_lineage(&values.to_yaml()))
    {
        declaration.chart.lineage = proven;
    }
}

/// A layer of values that stand in a table; nothing for an empty one.
#[must_use]
pub fn table(values: &Item, what: &str) -> Option<Layer> {
    (!values.is_null()).then(|| Layer::Table { values: values.to_value(), what: what.into() })
}

/// A layer of values that cannot be seen, and the gap that says so.
pub fn unseen(what: &str, reason: &str, place: Place, layers: &mut Vec<Layer>, gaps: &mut Vec<NotChecked>) {
    layers.push(Layer::Unseen { what: what.into(), place: place.clone() });
    gaps.push(NotChecked::at(place, NotCheckedKind::PartlyChecked, &format!("{what}: {reason}")));
}

/// The values in a file of the tree; `named` is where it is named.
///
/// # Errors
/// The gap, where it cannot be read.
pub fn values_file(path: &str, named: &Item, expand: &dyn Expander, context: &Context<'_>) -> Result<Option<Item>, NotChecked> {
    let file = context.file(path).map_err(|error| named.partly(&missing(path, &error)))?;
    match file.documents().first() {
        None => Ok(None),
        Some(Ok(document)) if document.root.get("sops").is_some() => {
            Err(named.partly(&format!("the values file {path} is encrypted with SOPS: what is set there is not checked")))
        }
        Some(Ok(document)) => Ok(Some(Item::of_file(&file, &document.root).expanded(expand))),
        Some(Err(broken)) => {
            let kind = if broken.limit { NotCheckedKind::LimitsExceeded } else { NotCheckedKind::NotRead };
            Err(NotChecked::at(named.place(), kind, &format!("the values file {path} cannot be read (line {}): {}", broken.at.line, broken.reason)))
        }
    }
}

fn missing(path: &str, error: &ReadError) -> String {
    match error {
        ReadError::Missing => format!("the values file {path} is not in this tree: what is set there is not checked; give the tree that holds it"),
        error => format!("the values file {path} is not read: {error}"),
    }
}

/// Adds the values in a file as a layer, or what is missing as a gap.
pub fn add_values_file(path: &str, named: &Item, expand: &dyn Expander, context: &Context<'_>, declaration: &mut Declaration) {
    let what = format!("values file {path}");
    match values_file(path, named, expand, context) {
        Ok(Some(values)) => {
            prove_lineage(declaration, Some(&values));
            declaration.layers.extend(table(&values, &what));
        }
        Ok(None) => {}
        Err(gap) => {
            declaration.layers.push(Layer::Unseen { what: what.into(), place: named.place() });
            declaration.gaps.push(gap);
        }
    }
}

/// What a chart in the tree makes of a declaration whose layers are values of that chart: one declaration per Milvus in it.
#[must_use]
pub fn through_chart(declaration: &Declaration, folder: &str, context: &Context<'_>) -> Vec<Declaration> {
    let inner = declarations_of_chart(folder, &declaration.layers, context);
    let combine = |inner: Declaration| {
        let gaps = declaration.gaps.iter().cloned().chain(inner.gaps).collect();
        Declaration {
            chart: inner.chart,
            layers: inner.layers,
            lock: inner.lock,
            misplaced: inner.misplaced,
            umbrella: inner.umbrella,
            gaps,
            ..declaration.clone()
        }
    };
    inner.into_iter().map(combine).collect()
}

/// Leaves out what an umbrella chart says by itself where a GitOps object deploys that chart with the same files.
pub fn drop_deployed_charts(reading: &mut Reading) {
    if reading.declarations.iter().all(|d| d.identity.form != Form::Umbrella) {
        return;
    }
    let chart_file = |d: &Declaration| d.chart.name.place().map(|place| place.file.clone());
    let mut deployed: HashMap<Arc<str>, Vec<HashSet<Arc<str>>>> = HashMap::new();
    for declaration in reading.declarations.iter().filter(|d| d.identity.form != Form::Umbrella) {
        if let Some(file) = chart_file(declaration) {
            deployed.entry(file).or_default().push(files_of(&declaration.layers).cloned().collect());
        }
    }
    reading.declarations.retain(|declaration| {
        let covered = |files: &HashSet<Arc<str>>| files_of(&declaration.layers).all(|file| files.contains(file));
        declaration.identity.form != Form::Umbrella
            || declaration.source_only
            || !chart_file(declaration).and_then(|file| deployed.get(&file)).is_some_and(|all| all.iter().any(covered))
    });
}

/// Values that stand in a Secret (`Secret milvus-values, key values.yaml`): known, and marked as never to be printed. What is encrypted or templated in it is unknown.
#[must_use]
pub fn in_secret(node: &Node, secret: &Arc<str>) -> Node {
    let origin_of = |origin: &Origin| match origin.place() {
        Some(place) => Origin::Secret(Arc::new(InSecret { what: Arc::clone(secret), place: place.clone() })),
        None => origin.clone(),
    };
    let value = match &node.value {
        Value::List(items) => Value::List(Arc::new(items.iter().map(|item| in_secret(item, secret)).collect())),
        Value::Table(table) => {
            let entry = |(key, entry): (&Arc<str>, &Entry)| (Arc::clone(key), Entry { key: origin_of(&entry.key), node: in_secret(&entry.node, secret) });
            Value::Table(Arc::new(Table { entries: table.entries.iter().map(entry).collect(), rest_unknown: table.rest_unknown.clone() }))
        }
        Value::String(text) if text.starts_with(ENCRYPTED) => Value::Unknown(format!("it is encrypted in {secret}").into()),
        // The reason may repeat what stands there.
        Value::Unknown(_) => Value::Unknown(format!("it is kept in {secret}, and templated or not readable").into()),
        other => other.clone(),
    };
    Node { value, origin: origin_of(&node.origin) }
}

/// How a text begins that SOPS has encrypted.
pub const ENCRYPTED: &str = "ENC[";

/// A table with nothing but an unknown value at a dotted path; nothing where the path has lists or other syntax in it.
#[must_use]
pub fn unknown_at(path: &str, reason: &str, origin: &Origin) -> Option<Node> {
    if path.is_empty() || path.contains(['[', ']', ',', '=', '{', '}']) {
        return None;
    }
    let leaf = Node { value: Value::Unknown(reason.into()), origin: origin.clone() };
    let keys = crate::model::value::split_path(path);
    Some(keys.into_iter().rev().fold(leaf, |node, key| {
        let entry = Entry { key: origin.clone(), node };
        let table = Table { entries: [(Arc::from(key), entry)].into(), rest_unknown: None };
        Node { value: Value::Table(Arc::new(table)), origin: origin.clone() }
    }))
}
