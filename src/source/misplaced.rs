//! Keys of an umbrella chart's values that would be Milvus values if they stood under the dependency's name (MV609).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::chart_folder::ChartFolder;
use super::context::{Context, join};
use crate::model::declaration::Layer;
use crate::model::place::Place;
use crate::model::value::{Node, escape_key};

/// Keys that only zilliztech's chart has.
const OWN: &[&str] = &[
    "mixCoordinator",
    "rootCoordinator",
    "queryCoordinator",
    "dataCoordinator",
    "indexCoordinator",
    "queryNode",
    "dataNode",
    "indexNode",
    "streamingNode",
    "pulsarv3",
    "externalPulsar",
    "externalEtcd",
    "extraConfigFiles",
];

/// Paths that only zilliztech's chart has.
const OWN_PATHS: &[&[&str]] = &[&["image", "all"], &["standalone", "messageQueue"]];

/// Keys that others have too; misplaced only beside one of its own.
const SHARED: &[&str] = &["cluster", "standalone", "etcd", "minio", "pulsar", "kafka", "woodpecker", "externalS3", "externalKafka", "attu", "streaming"];

/// Templates of the chart that are looked through for what they read, at most.
const MAX_TEMPLATES: usize = 200;

/// The misplaced keys in the values of a chart; `keys` lead to Milvus's own table.
#[must_use]
pub(super) fn misplaced(chart: &ChartFolder, keys: &[Arc<str>], layers: &[Layer], context: &Context<'_>) -> Vec<(Arc<str>, Place)> {
    let mut found: Vec<(Arc<str>, Place)> = Vec::new();
    for layer in layers {
        if let Layer::Table { values, .. } = layer {
            found.extend(at_the_top(chart, values));
            found.extend(below_another_name(chart, keys, values));
        }
    }
    if !found.is_empty() {
        let read = keys_read_by_templates(chart, context);
        found.retain(|(key, _)| !read.iter().any(|text| reads(text, key)));
    }
    found.dedup();
    found
}

fn at_the_top(chart: &ChartFolder, values: &Node) -> Vec<(Arc<str>, Place)> {
    let is_dependency = |key: &str| chart.dependencies.iter().any(|d| &*d.key == key);
    let place = |path: &[&str]| -> Option<(Arc<str>, Place)> {
        let dotted = path.iter().map(|key| escape_key(key)).collect::<Vec<_>>().join(".");
        let entry = values.lookup(&dotted).found()?;
        Some((dotted.into(), entry.key.place()?.clone()))
    };
    let own = OWN.iter().filter(|key| !is_dependency(key)).filter_map(|key| place(&[key]));
    let own_paths = OWN_PATHS.iter().filter(|path| path.first().is_some_and(|key| !is_dependency(key))).filter_map(|path| place(path));
    let mut found: Vec<_> = own.chain(own_paths).collect();
    let looks_alike = || {
        let count = SHARED.iter().filter(|key| !is_dependency(key) && values.lookup(key).found().is_some()).count();
        count >= 3 && values.lookup("cluster.enabled").found().is_some()
    };
    if !found.is_empty() || looks_alike() {
        let covered = |key: &str, found: &[(Arc<str>, Place)]| found.iter().any(|(path, _)| path.split('.').next() == Some(key));
        let shared: Vec<_> = SHARED.iter().filter(|key| !is_dependency(key) && !covered(key, &found)).filter_map(|key| place(&[key])).collect();
        found.extend(shared);
    }
    found.sort_by_key(|(_, place)| place.start);
    found
}

/// Values under the dependency's name although it has an alias, or under its name twice.
fn below_another_name(chart: &ChartFolder, keys: &[Arc<str>], values: &Node) -> Vec<(Arc<str>, Place)> {
    let Some(key) = keys.first() else {
        return Vec::new();
    };
    let name = chart.dependencies.iter().find(|d| d.key == *key).map_or(key, |d| &d.name);
    let entry_at = |path: &str| values.lookup(path).found().filter(|e| e.node.table().is_some_and(|t| !t.entries.is_empty()));
    let mut found = Vec::new();
    if name != key
        && !chart.dependencies.iter().any(|d| d.key == *name)
        && let Some(entry) = entry_at(&escape_key(name))
    {
        found.extend(entry.key.place().map(|place| (name.clone(), place.clone())));
    }
    let twice = format!("{}.{}", escape_key(key), escape_key(name));
    if keys.len() == 1
        && let Some(entry) = entry_at(&twice)
    {
        found.extend(entry.key.place().map(|place| (Arc::from(twice.as_str()), place.clone())));
    }
    found
}

fn keys_read_by_templates(chart: &ChartFolder, context: &Context<'_>) -> Vec<Arc<str>> {
    let folder = join(&chart.folder, "templates").unwrap_or_default();
    context.below(&folder).iter().take(MAX_TEMPLATES).filter_map(|path| context.file(path).ok().map(|file| file.text.clone())).collect()
}

/// The first keys below a key of the values that the chart's own templates read: `backup` of `.Values.milvus.backup.schedule`.
pub(super) fn keys_read_below(chart: &ChartFolder, key: &str, context: &Context<'_>) -> BTreeSet<String> {
    let start = format!(".Values.{key}.");
    let mut found = BTreeSet::new();
    for template in keys_read_by_templates(chart, context) {
        for (_, rest) in template.match_indices(&start).filter_map(|(at, _)| template.split_at_checked(at + start.len())) {
            let read = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
            if !read.is_empty() {
                found.insert(read.to_owned());
            }
        }
    }
    found
}

/// Whether a template reads a key of the chart's values.
fn reads(template: &str, key: &str) -> bool {
    let key = key.split('.').next().unwrap_or(key);
    let mut rest = template;
    while let Some((_, after)) = rest.split_once(".Values.") {
        if after.strip_prefix(key).is_some_and(|end| !end.starts_with(|c: char| c.is_alphanumeric() || c == '_')) {
            return true;
        }
        rest = after;
    }
    false
}
