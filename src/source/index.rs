//! The Kubernetes objects in the files that mention Milvus, found by kind and name; built once per tree.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::SourceFile;
use super::context::nearness;
use super::each::each;
use crate::document::yaml::Node;

/// A Kubernetes object in a file: a document, or an item of a `List`.
#[derive(Debug, Clone)]
pub struct Object<'a> {
    /// The file.
    pub file: &'a SourceFile,
    /// The object.
    pub root: &'a Node,
    /// Bytes of the document that holds it (with the comments around).
    pub bytes: Range<usize>,
    /// Which document of the file, and which item of its `List`.
    at: (usize, Option<usize>),
}

impl<'a> Object<'a> {
    /// `kind`, if it is readable.
    #[must_use]
    pub fn kind(&self) -> Option<&'a str> {
        self.root.text_at(&["kind"])
    }

    /// The group of `apiVersion` (`` for core objects), if it is readable.
    #[must_use]
    pub fn group(&self) -> Option<&'a str> {
        self.root.text_at(&["apiVersion"]).map(|version| version.rsplit_once('/').map_or("", |(group, _)| group))
    }

    /// `metadata.name`, if it is readable.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        self.root.text_at(&["metadata", "name"])
    }

    /// `metadata.namespace`, if it is readable.
    #[must_use]
    pub fn namespace(&self) -> Option<&'a str> {
        self.root.text_at(&["metadata", "namespace"])
    }

    /// Whether it is of this group and kind.
    #[must_use]
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.kind() == Some(kind) && self.group() == Some(group)
    }
}

/// The Kubernetes objects of a file (`apiVersion` and `kind` given), the items of a `List` one by one.
#[must_use]
pub fn objects(file: &SourceFile) -> Vec<Object<'_>> {
    if !may_hold_objects(file) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, document) in file.documents().iter().enumerate() {
        let Ok(document) = document else {
            continue;
        };
        let object = |root, item| Object { file, root, bytes: document.bytes.clone(), at: (at, item) };
        if document.root.text_at(&["kind"]) == Some("List") {
            let items = document.root.get("items").map(Node::items).unwrap_or_default();
            found.extend(items.iter().enumerate().map(|(i, root)| object(root, Some(i))));
        } else if document.root.get("kind").is_some() {
            found.push(object(&document.root, None));
        }
    }
    found
}

/// The object at a place that [`objects`] gave.
fn object_at(file: &SourceFile, at: (usize, Option<usize>)) -> Option<Object<'_>> {
    let document = file.documents().get(at.0)?.as_ref().ok()?;
    let root = match at.1 {
        None => &document.root,
        Some(item) => document.root.get("items")?.items().get(item)?,
    };
    Some(Object { file, root, bytes: document.bytes.clone(), at })
}

/// A cheap look before parsing.
fn may_hold_objects(file: &SourceFile) -> bool {
    let name = file.file_name();
    (file.is_yaml() || name.ends_with(".json") || name == "Kustomization" || name == "-") && memchr::memmem::find(file.text.as_bytes(), b"kind").is_some()
}

#[derive(Debug)]
struct Entry {
    group: Box<str>,
    namespace: Option<Box<str>>,
    file: usize,
    at: (usize, Option<usize>),
    path: Arc<str>,
}

/// Kind, name and entry.
type Named = (Box<str>, Box<str>, Entry);

/// Where the objects stand.
#[derive(Debug, Default)]
pub struct Index {
    by_kind: HashMap<Box<str>, HashMap<Box<str>, Vec<Entry>>>,
}

impl Index {
    /// Looks through these files.
    #[must_use]
    pub fn new(files: &[SourceFile]) -> Self {
        let entries: Vec<Vec<Named>> = each(files, entries);
        let mut index = Self::default();
        for (kind, name, entry) in entries.into_iter().flatten() {
            index.by_kind.entry(kind).or_default().entry(name).or_default().push(entry);
        }
        index
    }

    /// Whether there is any object of this kind.
    #[must_use]
    pub fn has_kind(&self, kind: &str) -> bool {
        self.by_kind.contains_key(kind)
    }

    /// All objects of a group and kind, in no special order of names but files in order.
    #[must_use]
    pub fn all<'a>(&self, files: &'a [SourceFile], group: &str, kind: &str) -> Vec<Object<'a>> {
        let entries = self.by_kind.get(kind).into_iter().flat_map(HashMap::values).flatten();
        let mut places: Vec<(usize, (usize, Option<usize>))> = entries.filter(|e| *e.group == *group).map(|e| (e.file, e.at)).collect();
        places.sort_unstable();
        places.into_iter().filter_map(|(file, at)| object_at(files.get(file)?, at)).collect()
    }

    /// The object of this name that is nearest to the file `from`; one of the wanted namespace before one that names none, and never one of another.
    #[must_use]
    pub fn find<'a>(&self, files: &'a [SourceFile], key: &Key<'_>, from: &str) -> Option<Object<'a>> {
        let entries = self.by_kind.get(key.kind)?.get(key.name)?;
        let fits = |e: &&Entry| *e.group == *key.group && (e.namespace.is_none() || key.namespace.is_none() || e.namespace.as_deref() == key.namespace);
        let best = entries.iter().filter(fits).max_by_key(|e| (nearness(&e.path, from), e.namespace.is_some(), std::cmp::Reverse((e.file, e.at))))?;
        object_at(files.get(best.file)?, best.at)
    }
}

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// API group, `` for core.
    pub group: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Name.
    pub name: &'a str,
    /// Namespace, if known.
    pub namespace: Option<&'a str>,
}

impl Key<'_> {
    /// The same in any namespace.
    #[must_use]
    pub fn anywhere(self) -> Self {
        Self { namespace: None, ..self }
    }

    /// Whether an object is the one that is looked for.
    #[must_use]
    pub fn fits(&self, object: &Object<'_>) -> bool {
        let same_namespace = || self.namespace.is_none() || object.namespace().is_none() || object.namespace() == self.namespace;
        object.is(self.group, self.kind) && object.name() == Some(self.name) && same_namespace()
    }
}

fn entries(at: usize, file: &SourceFile) -> Vec<Named> {
    let entry = |object: Object<'_>| {
        let entry = Entry { group: object.group()?.into(), namespace: object.namespace().map(Into::into), file: at, at: object.at, path: file.path.clone() };
        Some((object.kind()?.into(), object.name().unwrap_or_default().into(), entry))
    };
    objects(file).into_iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::MemoryTree;

    const REPOSITORY: &str =
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: milvus, namespace: flux-system}\nspec: {url: U}\n";

    #[test]
    fn the_nearest_of_several_objects_with_one_name_is_found() {
        let (a, b) = (REPOSITORY.replace('U', "https://a"), REPOSITORY.replace('U', "https://b"));
        let tree = MemoryTree::new([("clusters/a/repo.yaml", &*a), ("clusters/b/repo.yaml", &*b)]);
        let files = tree.candidates();
        let index = Index::new(&files);
        let key = Key { group: "source.toolkit.fluxcd.io", kind: "HelmRepository", name: "milvus", namespace: Some("flux-system") };
        let found = index.find(&files, &key, "clusters/b/apps/milvus.yaml").unwrap();
        assert_eq!(found.root.text_at(&["spec", "url"]), Some("https://b"));
        assert!(index.find(&files, &Key { namespace: Some("other"), ..key }, "clusters/b/x.yaml").is_none());
    }

    #[test]
    fn items_of_a_list_are_objects() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: milvus}}\n- {apiVersion: v1, kind: Secret, metadata: {name: milvus}}\n";
        let tree = MemoryTree::new([("a.yaml", text)]);
        let files = tree.candidates();
        let index = Index::new(&files);
        assert_eq!(index.all(&files, "", "Secret").len(), 1);
    }
}
