//! Rendered manifests: Deployments with the labels of zilliztech's chart, grouped into releases.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::context::Context;
use super::convert::place;
use super::index::{Object, objects};
use super::{Reading, SourceFile};
use crate::document::yaml::{Limits, Node, parse_embedded};
use crate::model::declaration::{Applier, Declaration, Form, Lineage, Operation, Rendered};
use crate::model::place::{Fact, Origin, Place};
use crate::model::release::is_component;
use crate::model::version::VersionSpec;

/// Files of one folder that are looked at for the other objects of a release.
const MAX_FILES: usize = 100;

/// Text of the files of one folder that is looked at for the other objects of a release.
const MAX_BYTES: usize = 8 << 20;

/// A workload of Milvus among rendered objects.
struct Workload<'a> {
    object: Object<'a>,
    component: &'a str,
}

/// The release that objects say they belong to: instance label and namespace.
type Key = (Arc<str>, Option<Arc<str>>);

/// The objects of one or several files.
#[derive(Default)]
struct Group<'a> {
    workloads: BTreeMap<Key, Vec<Workload<'a>>>,
    /// All objects by the release that their labels name.
    owned: HashMap<&'a str, Vec<Object<'a>>>,
    /// Objects that name none.
    others: Vec<Object<'a>>,
}

/// Reads the releases in a file. A file with one component alone is one of several that together are a release: the first of the folder speaks for all.
#[must_use]
pub fn read(file: &SourceFile, context: &Context<'_>) -> Reading {
    let mut reading = Reading::default();
    if !is_rendered(file) {
        return reading;
    }
    let group = Group::of(&[file]);
    let folder = if group.workloads.values().any(|own| is_one_of_several(own)) { folder_of(file, context) } else { Group::default() };
    for (key, workloads) in &group.workloads {
        let in_folder = if is_one_of_several(workloads) { folder.workloads.get(key).map(Vec::as_slice).unwrap_or_default() } else { &[] };
        // A file with several components is a release of its own, beside those that are one together.
        let mut of_file: HashMap<&str, usize> = HashMap::new();
        in_folder.iter().for_each(|one| *of_file.entry(&one.object.file.path).or_default() += 1);
        let together: Vec<&Workload<'_>> = in_folder.iter().filter(|one| of_file.get(&*one.object.file.path) == Some(&1)).collect();
        match together.as_slice() {
            [] | [_] => reading.declarations.extend(declaration(key, &group, workloads.iter().collect(), &file.path)),
            [first, ..] if first.object.file.path == file.path => {
                reading.declarations.extend(declaration(key, &folder, together, file.folder()));
            }
            _ => {}
        }
    }
    reading
}

/// The objects of all files beside this one; nothing where there are too many.
fn folder_of<'a>(file: &'a SourceFile, context: &Context<'a>) -> Group<'a> {
    let prefix = if file.folder().is_empty() { String::new() } else { format!("{}/", file.folder()) };
    let start = context.files.partition_point(|other| *other.path < *prefix);
    let below = context.files.get(start..).unwrap_or_default().iter().take_while(|other| other.path.starts_with(&prefix));
    let files: Vec<&SourceFile> = below.filter(|other| other.folder() == file.folder()).take(MAX_FILES + 1).collect();
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    if files.len() > MAX_FILES || bytes > MAX_BYTES { Group::default() } else { Group::of(&files) }
}

fn is_one_of_several(workloads: &[Workload<'_>]) -> bool {
    matches!(workloads, [only] if only.component != "standalone")
}

impl<'a> Group<'a> {
    fn of(files: &[&'a SourceFile]) -> Self {
        let mut group = Self::default();
        for object in files.iter().flat_map(|file| objects(file)) {
            if let Some((key, workload)) = workload(&object) {
                group.workloads.entry(key).or_default().push(workload);
            }
            match instance(&object).or_else(|| label(&object, "release")) {
                Some(release) => group.owned.entry(release).or_default().push(object),
                None => group.others.push(object),
            }
        }
        group
    }
}

/// A Milvus Deployment and the release that it belongs to.
fn workload<'a>(object: &Object<'a>) -> Option<(Key, Workload<'a>)> {
    if object.kind() != Some("Deployment") || label(object, "helm.sh/chart").is_none() {
        return None;
    }
    let component = label(object, "component").filter(|name| is_component(name)).filter(|component| is_milvus(object, component))?;
    Some(((instance(object)?.into(), object.namespace().map(Into::into)), Workload { object: object.clone(), component }))
}

/// A cheap look before parsing.
fn is_rendered(file: &SourceFile) -> bool {
    memchr::memmem::find(file.text.as_bytes(), b"helm.sh/chart").is_some() && memchr::memmem::find(file.text.as_bytes(), b"Deployment").is_some()
}

fn label<'a>(object: &Object<'a>, name: &str) -> Option<&'a str> {
    object.root.text_at(&["metadata", "labels", name])
}

fn instance<'a>(object: &Object<'a>) -> Option<&'a str> {
    label(object, "app.kubernetes.io/instance")
}

/// Where Milvus's containers mount its configuration.
const CONFIGURATION_FOLDER: &str = "/milvus/configs/";

/// The chart calls itself milvus, or (under an alias) the component's container runs Milvus, or (from a mirror, too) it mounts Milvus's configuration. What the operator runs is its own.
fn is_milvus(object: &Object<'_>, component: &str) -> bool {
    let by_label = label(object, "helm.sh/chart").is_some_and(|chart| chart_version(chart, "milvus").is_some());
    let by_image = image(object, component).and_then(Node::text).is_some_and(|image| repository(image).ends_with("/milvus"));
    (by_label || by_image || mounts_configuration(object)) && label(object, "app.kubernetes.io/managed-by") != Some("milvus-operator")
}

fn mounts_configuration(object: &Object<'_>) -> bool {
    let containers = object.root.at(&["spec", "template", "spec", "containers"]).map(Node::items).unwrap_or_default();
    let mounts = containers.iter().flat_map(|container| container.get("volumeMounts").map(Node::items).unwrap_or_default());
    mounts.filter_map(|mount| mount.text_at(&["mountPath"])).any(|path| path.starts_with(CONFIGURATION_FOLDER))
}

/// The version in a chart label: `4.2.58` of `milvus-4.2.58`.
fn chart_version<'c>(label: &'c str, name: &str) -> Option<&'c str> {
    label.strip_prefix(name)?.strip_prefix('-').filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// An image without tag and digest.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

/// The image of the container that is called like the component.
fn image<'a>(object: &Object<'a>, component: &str) -> Option<&'a Node> {
    let containers = object.root.at(&["spec", "template", "spec", "containers"])?.items();
    let named = containers.iter().find(|container| container.text_at(&["name"]) == Some(component));
    named.or(if containers.len() == 1 { containers.first() } else { None })?.get("image")
}

fn declaration(key: &Key, group: &Group<'_>, own: Vec<&Workload<'_>>, scope: &str) -> Option<Declaration> {
    let (instance, namespace) = key;
    let first = &own.first()?.object;
    let mut declaration = Declaration::blank(Form::Manifest, scope, place(&first.file.path, &first.root.get("kind")?.span));
    let fact = |object: &Object<'_>, path: &[&str]| match object.root.at(path) {
        Some(node) => match node.text() {
            Some(text) => Fact::Known(Arc::from(text), Origin::At(place(&object.file.path, &node.span))),
            None => Fact::Unknown("it is templated".into(), Origin::At(place(&object.file.path, &node.span))),
        },
        None => Fact::Absent,
    };
    declaration.name = fact(first, &["metadata", "labels", "app.kubernetes.io/instance"]);
    declaration.namespace = fact(first, &["metadata", "namespace"]);
    declaration.identity.name = Some(instance.clone());
    declaration.identity.namespace.clone_from(namespace);
    let label: Fact<Arc<str>> = fact(first, &["metadata", "labels", "helm.sh/chart"]);
    declaration.chart.version = match label.known().and_then(|label| label.rsplit_once('-').map(|_| label.clone())) {
        Some(text) => label.map(|_| VersionSpec::parse(version_of_label(&text))),
        None => Fact::Absent,
    };
    declaration.chart.name = Fact::Known("milvus".into(), Origin::At(declaration.place.clone()));
    declaration.image = common_image(&own);
    let is_suse = declaration.image.known().is_some_and(|image| image.contains("apps.rancher.io"));
    declaration.chart.lineage = if is_suse { Lineage::Suse } else { Lineage::Zilliztech };
    declaration.operation = Operation::Declare;
    declaration.applier = Applier::Template;
    declaration.rendered = Some(rendered(&own, group, instance));
    Some(declaration)
}

/// `4.2.58` of `milvus-4.2.58`, `5.0.0-rc.1` of `vectors-5.0.0-rc.1`; labels write `+` as `_`.
fn version_of_label(label: &str) -> &str {
    let start = label.match_indices('-').map(|(at, _)| at + 1).find(|at| label.get(*at..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())));
    let version = start.and_then(|at| label.get(at..)).unwrap_or(label);
    version.split('_').next().unwrap_or(version)
}

/// The image that all components run; unknown where they differ.
fn common_image(own: &[&Workload<'_>]) -> Fact<Arc<str>> {
    let images: Vec<(&Object<'_>, &Node)> = own.iter().filter_map(|w| Some((&w.object, image(&w.object, w.component)?))).collect();
    let Some((object, node)) = images.first() else {
        return Fact::Absent;
    };
    let origin = Origin::At(place(&object.file.path, &node.span));
    match node.text() {
        None => Fact::Unknown("the image is templated".into(), origin),
        Some(text) if images.iter().all(|(_, other)| other.text() == Some(text)) => Fact::Known(text.into(), origin),
        Some(_) => Fact::Unknown("the components run different images".into(), origin),
    }
}

fn rendered(own: &[&Workload<'_>], group: &Group<'_>, instance: &str) -> Rendered {
    let mut components: Vec<(Arc<str>, Option<u32>)> = Vec::new();
    for Workload { object, component } in own.iter().copied() {
        let replicas = object.root.text_at(&["spec", "replicas"]).and_then(|text| text.parse().ok());
        match components.iter_mut().find(|(name, _)| **name == **component) {
            // Resource groups have a Deployment each.
            Some((_, sum)) => *sum = sum.zip(replicas).map(|(a, b): (u32, u32)| a.saturating_add(b)),
            None => components.push(((*component).into(), replicas)),
        }
    }
    let annotated = own.iter().find_map(|w| w.object.root.text_at(&["metadata", "annotations", "milvus.io/message-queue"]));
    let mut apis: Vec<(Arc<str>, Arc<str>, Place)> = Vec::new();
    let mut configured: Option<Arc<str>> = None;
    let owned = group.owned.get(instance).map(Vec::as_slice).unwrap_or_default();
    // What names no release belongs to the only one.
    let others = if group.workloads.len() == 1 { group.others.as_slice() } else { &[] };
    for object in owned.iter().chain(others) {
        if let (Some(version), Some(kind), Some(node)) = (object.root.text_at(&["apiVersion"]), object.kind(), object.root.get("apiVersion")) {
            apis.push((version.into(), kind.into(), place(&object.file.path, &node.span)));
        }
        if object.kind() == Some("ConfigMap") && configured.is_none() {
            configured = message_queue(object);
        }
    }
    apis.sort_by(|a, b| (&a.2.file, a.2.start).cmp(&(&b.2.file, b.2.start)));
    let is_part = matches!(own, [only] if only.component != "standalone");
    Rendered { components, is_part, message_queue: configured.or_else(|| annotated.map(Into::into)), apis }
}

/// The queue that a rendered configuration names; the user's own file wins.
fn message_queue(object: &Object<'_>) -> Option<Arc<str>> {
    ["user.yaml", "default.yaml"].iter().find_map(|key| {
        let scalar = object.root.at(&["data", key])?;
        let document = match parse_embedded(&object.file.text, scalar, &Limits::default()) {
            Some(document) => document,
            None => crate::document::yaml::parse_stream(scalar.text()?, &Limits::default()).into_iter().next()?,
        };
        let root = document.ok()?.root;
        let queue = root.text_at(&["mq", "type"]).or_else(|| root.text_at(&["messageQueue"]))?;
        (!queue.is_empty() && queue != "default").then(|| queue.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::fixture::read_texts;

    fn deployment(instance: &str, component: &str, image: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {instance}-milvus-{component}\n  labels:\n    helm.sh/chart: milvus-4.2.58\n    app.kubernetes.io/instance: {instance}\n    component: \"{component}\"\nspec:\n  replicas: 2\n  template:\n    spec:\n      containers:\n      - name: {component}\n        image: \"{image}\"\n---\n"
        )
    }

    fn config(instance: &str, text: &str) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {instance}-milvus\n  labels: {{app.kubernetes.io/instance: {instance}}}\ndata:\n  default.yaml: |+\n{text}---\n"
        )
    }

    fn read_all(files: &[(&str, &str)]) -> Vec<Declaration> {
        read_texts(files).declarations
    }

    #[test]
    fn a_rendered_release_tells_image_components_and_queue() {
        let text = [
            config("m", "    mq:\n      type: pulsar\n    etcd:\n      rootPath: by-dev\n").as_str(),
            &deployment("m", "mixcoord", "milvusdb/milvus:v2.5.10"),
            &deployment("m", "querynode", "milvusdb/milvus:v2.5.10"),
            "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: x, labels: {release: m}}\n",
        ]
        .concat();
        let all = read_all(&[("out/all.yaml", &text)]);
        assert_eq!(all.len(), 1);
        let d = &all[0];
        assert_eq!((d.identity.form, d.name.known().map(|n| &**n), d.chart.lineage), (Form::Manifest, Some("m"), Lineage::Zilliztech));
        assert_eq!(d.chart.version.known(), Some(&VersionSpec::parse("4.2.58")));
        assert_eq!(d.image.known().map(|i| &**i), Some("milvusdb/milvus:v2.5.10"));
        assert_eq!(d.image.place().unwrap().to_string(), "out/all.yaml:27:16");
        let rendered = d.rendered.as_ref().unwrap();
        assert_eq!(rendered.components, [("mixcoord".into(), Some(2)), ("querynode".into(), Some(2))]);
        assert_eq!(rendered.message_queue.as_deref(), Some("pulsar"));
        assert_eq!(
            rendered.apis.iter().map(|(v, k, _)| format!("{v} {k}")).collect::<Vec<_>>(),
            ["v1 ConfigMap", "apps/v1 Deployment", "apps/v1 Deployment", "policy/v1beta1 PodDisruptionBudget"]
        );
    }

    #[test]
    fn two_instances_in_a_file_are_two_releases() {
        let text = [deployment("a", "standalone", "milvusdb/milvus:v2.5.10"), deployment("b", "standalone", "milvusdb/milvus:v2.4.1")].concat();
        let all = read_all(&[("all.yaml", &text)]);
        assert_eq!(all.iter().map(|d| d.image.known().unwrap().to_string()).collect::<Vec<_>>(), ["milvusdb/milvus:v2.5.10", "milvusdb/milvus:v2.4.1"]);
    }

    #[test]
    fn one_object_a_file_is_one_release_a_folder() {
        let (proxy, node) = (deployment("m", "proxy", "milvusdb/milvus:v2.5.10"), deployment("m", "querynode", "milvusdb/milvus:v2.5.10"));
        let all = read_all(&[
            ("out/milvus/templates/proxy.yaml", &proxy),
            ("out/milvus/templates/querynode.yaml", &node),
            ("out/milvus/templates/config.yaml", &config("m", "    messageQueue: kafka\n")),
        ]);
        assert_eq!(all.len(), 1);
        assert_eq!(&*all[0].identity.scope, "out/milvus/templates");
        assert_eq!(all[0].rendered.as_ref().unwrap().components.len(), 2);
        assert_eq!(all[0].rendered.as_ref().unwrap().message_queue.as_deref(), Some("kafka"));
    }

    #[test]
    fn one_workload_of_a_cluster_alone_does_not_tell_what_else_there_is() {
        let alone = |component| read_all(&[("a.yaml", &deployment("m", component, "milvusdb/milvus:v2.6.15"))])[0].rendered.clone().unwrap();
        assert!(alone("querynode").is_part);
        assert!(!alone("standalone").is_part);
    }

    #[test]
    fn an_alias_and_different_images_are_told() {
        let alias = deployment("m", "proxy", "registry.example.com/milvusdb/milvus:v2.5.10").replace("milvus-4.2.58", "vector-db-4.2.58");
        let all = read_all(&[("a.yaml", &format!("{alias}{}", deployment("m", "querynode", "milvusdb/milvus:v2.5.11")))]);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].chart.version.known(), Some(&VersionSpec::parse("4.2.58")));
        assert!(all[0].image.is_unknown());
    }

    #[test]
    fn an_alias_with_a_mirrored_image_is_told_by_the_configuration_that_it_mounts() {
        let other = deployment("m", "proxy", "corp/vectordb:v2.5.10").replace("milvus-4.2.58", "vec-4.2.58");
        assert!(read_all(&[("a.yaml", &other)]).is_empty(), "other software has a proxy, too");
        let mounts = "        volumeMounts:\n        - {name: c, mountPath: /milvus/configs/default.yaml, subPath: default.yaml}\n---";
        let all = read_all(&[("a.yaml", &other.replace("---", mounts))]);
        assert_eq!(all.iter().map(|d| d.image.known().unwrap().to_string()).collect::<Vec<_>>(), ["corp/vectordb:v2.5.10"]);
    }

    #[test]
    fn hand_written_manifests_other_charts_and_templates_are_no_release() {
        let bare = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: milvus, labels: {app: milvus, component: standalone}}\nspec: {}\n";
        let bitnami = deployment("m", "proxy", "bitnami/milvus:2.5.10").replace("    component:", "    app.kubernetes.io/component:");
        let template =
            deployment("m", "proxy", "x").replace("milvus-4.2.58", "{{ include \"milvus.chart\" . }}").replace("instance: m", "instance: {{ .Release.Name }}");
        let operator =
            deployment("m", "proxy", "milvusdb/milvus:v2.5.10").replace("    component:", "    app.kubernetes.io/managed-by: milvus-operator\n    component:");
        for text in [bare, &bitnami, &template, &operator] {
            assert!(read_all(&[("a.yaml", text)]).is_empty(), "{text}");
        }
    }

    #[test]
    fn versions_in_labels() {
        for (label, version) in [("milvus-4.2.58", "4.2.58"), ("milvus-5.0.0-rc.1", "5.0.0-rc.1"), ("my-db-4.2.1_build", "4.2.1")] {
            assert_eq!(version_of_label(label), version);
        }
    }
}
