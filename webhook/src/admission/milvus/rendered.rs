//! The rendered objects of a release: which Milvus they are, and what they run.

use std::mem;
use std::sync::Arc;

use memchr::memmem;
use milvus_guard::document::yaml::{Limits, Node, parse_stream};
use milvus_guard::model::release::is_component;
use milvus_guard::source::memory::MemoryTree;
use milvus_guard::source::{Context, SourceFile, manifest};

/// Objects of a release that are looked at; the chart renders about a dozen Deployments.
const MAX_OBJECTS: usize = 200;

/// A Deployment of a Milvus component as it is rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The `component` label.
    pub component: Arc<str>,
    /// The Deployment's name.
    pub deployment: Arc<str>,
    /// The image of the container that is named like the component.
    pub image: Option<Arc<str>>,
    /// `checksum/config` of the pod template: which configuration it starts with.
    pub config_checksum: Option<Arc<str>>,
}

/// A Milvus among rendered objects.
#[derive(Debug, Clone)]
pub struct Rendering {
    /// The chart's name in `helm.sh/chart`: `milvus`, or an alias.
    pub(super) chart_name: Arc<str>,
    /// The chart's version there.
    pub(super) chart_version: Arc<str>,
    /// `app.kubernetes.io/name`.
    pub(super) label: Arc<str>,
    /// Its Deployments.
    pub parts: Vec<Part>,
    /// The image that all of them run, if it is one.
    pub(super) common_image: Option<Arc<str>>,
    /// The message queue that its configuration names, once that was read.
    pub(super) queue: Option<Arc<str>>,
}

impl Rendering {
    /// The same with the queue that its rendered configuration names.
    #[must_use]
    pub fn with_queue(self, manifest: &str) -> Self {
        Self { queue: self.parts.first().and_then(|part| message_queue(manifest, part)), ..self }
    }
}

struct Object<'m> {
    text: &'m str,
    root: Node,
}

impl Object<'_> {
    fn label(&self, name: &str) -> Option<&str> {
        self.root.text_at(&["metadata", "labels", name])
    }

    /// The image of a component's container, also where the pod has others beside it.
    fn image(&self, component: &str) -> Option<Arc<str>> {
        let containers = self.root.at(&["spec", "template", "spec", "containers"])?.items();
        let named = containers.iter().find(|container| container.text_at(&["name"]) == Some(component));
        Some(named.or(containers.first())?.text_at(&["image"])?.into())
    }
}

/// Finds every Milvus in a manifest. Two of them in one release differ in their name label.
#[must_use]
pub fn renderings(manifest: &str) -> Vec<Rendering> {
    let mut found: Vec<Rendering> = Vec::new();
    for text in documents(manifest).filter(|text| is_deployment(text)) {
        if let Some((object, part)) = object(text).and_then(|object| part(&object).map(|part| (object, part))) {
            add(&mut found, &object, part);
        }
    }
    for rendering in &mut found {
        let first = rendering.parts.first().and_then(|part| part.image.clone());
        rendering.common_image = first.filter(|image| rendering.parts.iter().all(|part| part.image.as_ref() == Some(image)));
    }
    found
}

/// The message queue that the rendered configuration of a Deployment's release names, as the linter reads it.
fn message_queue(manifest: &str, part: &Part) -> Option<Arc<str>> {
    let is_its = |text: &&str| is_deployment(text) && text.contains(&*part.deployment);
    let mut text = documents(manifest).find(is_its)?.to_owned();
    for map in documents(manifest).filter(|text| kind(text) == Some("ConfigMap") && text.contains("default.yaml")) {
        text.push_str("\n---\n");
        text.push_str(map);
    }
    let tree = MemoryTree::new([("manifest.yaml", text.as_str())]);
    let files = [SourceFile::new("manifest.yaml".into(), text.as_str().into())];
    let declaration = manifest::read(files.first()?, &Context::new(&tree, &files)).declarations.into_iter().next()?;
    declaration.rendered?.message_queue
}

fn is_deployment(text: &str) -> bool {
    kind(text) == Some("Deployment") && text.contains("helm.sh/chart")
}

/// The documents of a stream as Helm writes it.
fn documents(manifest: &str) -> impl Iterator<Item = &str> {
    const BREAK: &str = "\n---";
    let mut begin = 0;
    let ends = memmem::find_iter(manifest.as_bytes(), BREAK).chain([manifest.len()]);
    let texts = ends.filter_map(move |end| manifest.get(mem::replace(&mut begin, end + BREAK.len())..end));
    texts.map(|text| text.trim_start_matches("---")).filter(|text| !text.trim().is_empty()).take(10_000)
}

/// The kind of a document, without parsing it.
fn kind(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("kind:")).map(|kind| kind.trim().trim_matches('"'))
}

fn object(text: &str) -> Option<Object<'_>> {
    let document = parse_stream(text, &Limits::default()).into_iter().next()?.ok()?;
    Some(Object { text, root: document.root })
}

fn part(object: &Object<'_>) -> Option<Part> {
    let component = object.label("component").filter(|name| is_component(name))?;
    let chart = object.label("helm.sh/chart")?;
    let image = object.image(component);
    let is_milvus =
        chart.starts_with("milvus-") || image.as_deref().is_some_and(|image| super::repository_of(image).ends_with("/milvus")) || mounts_milvus(object);
    (is_milvus && object.label("app.kubernetes.io/managed-by") != Some("milvus-operator")).then(|| Part {
        component: component.into(),
        deployment: object.root.text_at(&["metadata", "name"]).unwrap_or_default().into(),
        image,
        config_checksum: object.root.text_at(&["spec", "template", "metadata", "annotations", "checksum/config"]).map(Into::into),
    })
}

/// Whether a container mounts the chart's configuration: true whatever the chart and the image are called.
fn mounts_milvus(object: &Object<'_>) -> bool {
    object.text.contains("/milvus/configs/")
}

fn add(found: &mut Vec<Rendering>, object: &Object<'_>, part: Part) {
    let (Some(chart), label) = (object.label("helm.sh/chart"), object.label("app.kubernetes.io/name").unwrap_or("milvus")) else { return };
    let (name, version) = split_chart(chart);
    match found.iter_mut().find(|rendering| *rendering.label == *label && *rendering.chart_name == *name) {
        Some(rendering) if rendering.parts.len() < MAX_OBJECTS => rendering.parts.push(part),
        Some(_) => {}
        None => found.push(Rendering {
            chart_name: name.into(),
            chart_version: version.into(),
            label: label.into(),
            parts: vec![part],
            common_image: None,
            queue: None,
        }),
    }
}

/// Name and version of a chart label: `my-db-4.2.58` is `my-db` and `4.2.58`; labels write `+` as `_`.
fn split_chart(label: &str) -> (&str, &str) {
    let cut = label.match_indices('-').map(|(at, _)| at).find(|at| label.get(at + 1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())));
    match cut.and_then(|at| Some((label.get(..at)?, label.get(at + 1..)?))) {
        Some((name, version)) => (name, version.split('_').next().unwrap_or(version)),
        None => (label, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_what_stands_between_their_marks() {
        for (manifest, wanted) in [
            ("", &[] as &[&str]),
            ("a", &["a"]),
            ("---\na\n---\nb", &["\na", "\nb"]),
            ("a\n---\n---\n \n--- # c\nb\n---", &["a", " # c\nb"]),
            ("a: |\n  ---\n  b\n-- -", &["a: |\n  ---\n  b\n-- -"]),
        ] {
            assert_eq!(documents(manifest).collect::<Vec<_>>(), wanted, "{manifest:?}");
        }
    }
}
