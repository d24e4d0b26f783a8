//! Milvus in a stored release: found by its rendered objects, declared with the values that the release itself carries.

mod rendered;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::declaration::{Applier, Declaration, Flag, FlagKind, Form, Layer, Lineage, Operation, SetKind};
use milvus_guard::model::place::{Fact, Origin, Place};
use milvus_guard::model::value::Node;
use milvus_guard::model::version::{ChartVersion, ImageTag, MilvusVersion, VersionSpec};

pub use self::rendered::{Part, Rendering, renderings};
use super::release::StoredRelease;

/// The keys named when `--reuse-values` leaves some nil.
const MAX_NIL_KEYS: usize = 200;

/// One Milvus of a stored release.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMilvus {
    /// The keys that lead to its values in the release's chart: none for the Milvus chart itself, `vec` below a wrapper.
    pub key: Vec<Arc<str>>,
    /// `app.kubernetes.io/name` of its objects: the chart's name, its alias or the override.
    pub label: Arc<str>,
    /// What the release says about it.
    pub declaration: Declaration,
    /// Its Deployments.
    pub parts: Vec<Part>,
    /// The message queue that its rendered configuration names, where that was read.
    pub queue: Option<Arc<str>>,
    /// The chart whose default values were kept by `--reuse-values`.
    pub reused_from: Option<ChartVersion>,
    /// Value paths that only the new chart has and that are nil, so far as they are known.
    pub nil_keys: Vec<String>,
}

/// Finds every Milvus that a release renders. `earlier` is the revision before, where it is known: values that were kept are recognised by it where the catalogue does not
/// know the charts.
#[must_use]
pub fn find(release: &StoredRelease, earlier: Option<&StoredRelease>, catalogue: &Catalogue) -> Vec<StoredMilvus> {
    declare_all(release, renderings(&release.manifest), earlier, catalogue)
}

/// The same, where the rendered objects were looked through already.
#[must_use]
pub fn declare_all(release: &StoredRelease, renderings: Vec<Rendering>, earlier: Option<&StoredRelease>, catalogue: &Catalogue) -> Vec<StoredMilvus> {
    renderings.into_iter().map(|rendering| declare(release, rendering, earlier, catalogue)).collect()
}

fn declare(release: &StoredRelease, rendering: Rendering, earlier: Option<&StoredRelease>, catalogue: &Catalogue) -> StoredMilvus {
    let key = values::key(release, &rendering.chart_name);
    let file: Arc<str> = format!("release {} revision {}", release.name, release.revision).into();
    let place = Place::file_start(&file);
    let origin = || Origin::Given(format!("revision {}", release.revision).into());
    let mut declaration = Declaration::blank(Form::HelmRelease, "", place.clone());
    declaration.identity.name = Some(Arc::clone(&release.name));
    declaration.identity.namespace = Some(Arc::clone(&release.namespace));
    declaration.name = Fact::Known(Arc::clone(&release.name), origin());
    declaration.namespace = Fact::Known(Arc::clone(&release.namespace), origin());
    declaration.operation = operation(&release.status);
    declaration.applier = Applier::HelmUpgrade;
    declaration.chart.name = Fact::Known("milvus".into(), origin());
    let is_suse = rendering.common_image.as_deref().is_some_and(|image| image.contains("apps.rancher.io"));
    declaration.chart.lineage = if is_suse { Lineage::Suse } else { Lineage::Zilliztech };
    declaration.chart.version = Fact::Known(VersionSpec::parse(&rendering.chart_version), origin());
    if !key.is_empty() {
        let path: Vec<&str> = key.iter().map(|key| &**key).collect();
        declaration.umbrella = Some(format!("{}/{}", release.chart_name, path.join("/")).into());
    }
    let read = values::read(release, &key, &rendering, earlier, catalogue);
    declaration.defaults = read.defaults;
    declaration.layers = read.layers;
    if let Some(reused) = &read.reused_from {
        declaration.flags.push(Flag { kind: FlagKind::ReuseValues, value: Some(reused.to_string().into()), place: place.clone() });
    }
    if let Some(image) = &rendering.common_image
        && let Some(said) = values::said_tag(release, &key)
        && tag_of(image).is_some_and(|tag| tag != &*said)
    {
        // What is rendered is what will run: a post-renderer or a changed chart has another image than the values say.
        declaration.layers.extend(image_layers(image, &place));
    }
    let mut nil_keys = read.nil_keys;
    nil_keys.truncate(MAX_NIL_KEYS);
    StoredMilvus { key, label: rendering.label, declaration, parts: rendering.parts, queue: rendering.queue, reused_from: read.reused_from, nil_keys }
}

/// What Helm does, by the status that it stores before it begins.
fn operation(status: &str) -> Operation {
    match status {
        "pending-install" => Operation::Install,
        "pending-upgrade" => Operation::Upgrade,
        "pending-rollback" => Operation::Rollback,
        _ => Operation::Declare,
    }
}

/// The layers that put an image over all other values.
#[must_use]
pub fn image_layers(image: &str, place: &Place) -> Vec<Layer> {
    let set = |path: &str, value: &str| Layer::Set { kind: SetKind::SetLiteral, text: format!("{path}={value}").into(), place: place.clone(), file: None };
    match (repository_of(image), tag_of(image)) {
        (repository, Some(tag)) => vec![set("image.all.repository", repository), set("image.all.tag", tag)],
        _ => Vec::new(),
    }
}

/// The tag of an image, if it has one: `v2.4.16` of `milvusdb/milvus:v2.4.16@sha256:...`.
#[must_use]
pub fn tag_of(image: &str) -> Option<&str> {
    let name = image.split('@').next().unwrap_or(image);
    name.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'))
}

/// The Milvus version of an image: what its tag tells, else what is said of it.
#[must_use]
pub fn version_of(image: &str, said: &BTreeMap<String, MilvusVersion>) -> Option<MilvusVersion> {
    tag_of(image).and_then(|tag| ImageTag::parse(tag).version()).or_else(|| said.get(image).copied())
}

/// The repository of an image.
#[must_use]
pub fn repository_of(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    match tag_of(image) {
        Some(tag) => name.get(..name.len().saturating_sub(tag.len() + 1)).unwrap_or(name),
        None => name,
    }
}

/// A table at a path of keys.
fn at<'n>(node: &'n Node, key: &[Arc<str>]) -> Option<&'n Node> {
    key.iter().try_fold(node, |node, key| node.table()?.entries.get(key).map(|entry| &entry.node))
}

#[cfg(test)]
pub(crate) mod tests;
