//! What readers may look at: the tree, the files that mention Milvus, the index of objects, and other files on demand.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::command::repositories_roughly;
use super::index::{Index, Key, objects};
use super::item::Item;
use super::kustomize::Graph;
use super::{ReadError, SourceFile, Tree, umbrella};
use crate::model::place::Place;

/// Files that are read on demand, at most, in one tree.
const MAX_READ_ON_DEMAND: usize = 5_000;
/// Files of one folder that are looked through for an object.
const MAX_BESIDE: usize = 64;
/// Files elsewhere that are looked through for an object.
const MAX_HINTED: usize = 300;
/// Objects that are looked for outside of the index, in one tree.
const MAX_SEARCHES: usize = 500;

/// Repositories by the alias that `helm repo add` gives them; nothing where files disagree.
type Aliases = HashMap<String, Option<(Arc<str>, Place)>>;

type OnDemand = HashMap<Arc<str>, Result<Arc<SourceFile>, ReadError>>;

/// What readers may look at.
pub struct Context<'a> {
    /// The whole tree, for files that are named by others.
    pub tree: &'a dyn Tree,
    /// The files that mention Milvus, sorted by path.
    pub files: &'a [SourceFile],
    /// The Kubernetes objects in those files.
    pub index: Index,
    on_demand: Mutex<OnDemand>,
    kustomizations: OnceLock<Graph>,
    beside: Mutex<HashMap<String, Option<Arc<str>>>>,
    aliases: OnceLock<Aliases>,
    charts_taken_in: OnceLock<HashSet<String>>,
}

/// A file of the tree: one that mentions Milvus, or one that was read on demand.
#[derive(Debug, Clone)]
pub enum FileRef<'a> {
    /// It mentions Milvus.
    Candidate(&'a SourceFile),
    /// It was named by another.
    OnDemand(Arc<SourceFile>),
}

impl Deref for FileRef<'_> {
    type Target = SourceFile;

    fn deref(&self) -> &SourceFile {
        match self {
            Self::Candidate(file) => file,
            Self::OnDemand(file) => file,
        }
    }
}

impl<'a> Context<'a> {
    /// Looks over the files once. `files` must be sorted by path.
    #[must_use]
    pub fn new(tree: &'a dyn Tree, files: &'a [SourceFile]) -> Self {
        Self {
            tree,
            files,
            index: Index::new(files),
            on_demand: Mutex::default(),
            kustomizations: OnceLock::new(),
            beside: Mutex::default(),
            aliases: OnceLock::new(),
            charts_taken_in: OnceLock::new(),
        }
    }

    /// A file of the tree by its path (`a/b.yaml`; `.` and `..` are resolved), read and parsed at most once.
    ///
    /// # Errors
    /// When it is missing, cannot be read, or too many files were asked for.
    pub fn file(&self, path: &str) -> Result<FileRef<'a>, ReadError> {
        let path = normalize(path).ok_or(ReadError::Missing)?;
        if let Ok(at) = self.files.binary_search_by(|file| (*file.path).cmp(&path)) {
            return self.files.get(at).map(FileRef::Candidate).ok_or(ReadError::Missing);
        }
        if !self.exists(&path) {
            return Err(ReadError::Missing);
        }
        let known = |files: &OnDemand| files.get(path.as_str()).cloned().ok_or(files.len());
        let path = match known(&self.on_demand.lock().unwrap_or_else(PoisonError::into_inner)) {
            Ok(file) => return file.map(FileRef::OnDemand),
            Err(count) if count >= MAX_READ_ON_DEMAND => {
                return Err(ReadError::Failed(format!("more than {MAX_READ_ON_DEMAND} files are named by others; the rest is not read")));
            }
            Err(_) => Arc::<str>::from(path),
        };
        // Read without the lock: two threads may read the same file, the first one stays.
        let file = self.tree.read(&path).map(|text| Arc::new(SourceFile::new(path.clone(), text)));
        let mut files = self.on_demand.lock().unwrap_or_else(PoisonError::into_inner);
        files.entry(path).or_insert(file).clone().map(FileRef::OnDemand)
    }

    /// The kustomizations of the tree, read when first asked for.
    pub fn kustomizations(&self) -> &Graph {
        self.kustomizations.get_or_init(|| Graph::new(self))
    }

    /// The object that is nearest to the file `from`, among the files that mention Milvus.
    #[must_use]
    pub fn find(&self, key: &Key<'_>, from: &str) -> Option<Item> {
        self.index.find(self.files, key, from).map(|object| Item::of_file(object.file, object.root))
    }

    /// An object in one file.
    #[must_use]
    pub fn find_in(&self, key: &Key<'_>, path: &str) -> Option<Item> {
        let file = self.file(path).ok()?;
        if !file.text.contains(key.name) || !file.text.contains(key.kind) {
            return None;
        }
        objects(&file).iter().find(|object| key.fits(object)).map(|object| Item::of_file(&file, object.root))
    }

    /// An object in files that do not mention Milvus: those in the same folder, then those whose path tells that they may hold it.
    #[must_use]
    pub fn find_beside(&self, key: &Key<'_>, from: &str) -> Option<Item> {
        let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
        let id = format!("{} {} {} {folder}", key.kind, key.name, key.namespace.unwrap_or_default());
        let known = {
            let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
            beside.get(&id).cloned().ok_or(beside.len())
        };
        let path = match known {
            Ok(path) => path?,
            Err(count) if count >= MAX_SEARCHES => return None,
            Err(_) => {
                let found = self.search_beside(key, folder);
                self.beside.lock().unwrap_or_else(PoisonError::into_inner).insert(id, found.clone());
                found?
            }
        };
        self.find_in(key, &path)
    }

    fn search_beside(&self, key: &Key<'_>, folder: &str) -> Option<Arc<str>> {
        let is_here = |path: &&Arc<str>| path.rsplit_once('/').map_or("", |(folder, _)| folder) == folder;
        let holds_it = |path: &&Arc<str>| self.find_in(key, path).is_some();
        let mut here = self.below(folder).iter().filter(is_here).filter(|path| is_manifest(path)).take(MAX_BESIDE);
        if let Some(found) = here.find(holds_it) {
            return Some(Arc::clone(found));
        }
        let hints: &[&str] = if key.kind == "ConfigMap" { &["config", "vars", "settings", "values"] } else { &["repo", "source", "flux-system"] };
        let may_hold = |path: &&Arc<str>| is_manifest(path) && (path.contains(key.name) || hints.iter().any(|hint| path.contains(hint)));
        let mut hinted: Vec<&Arc<str>> = self.tree.paths().iter().filter(may_hold).collect();
        hinted.sort_by_key(|path| std::cmp::Reverse(nearness(path, folder)));
        hinted.into_iter().take(MAX_HINTED).find(holds_it).cloned()
    }

    /// The URL that `helm repo add` gives to an alias anywhere in the files that mention Milvus, and where; nothing where files disagree.
    #[must_use]
    pub fn repository_alias(&self, alias: &str) -> Option<(Arc<str>, Place)> {
        let aliases = self.aliases.get_or_init(|| {
            let mut aliases = Aliases::new();
            for (alias, url, place) in self.files.iter().flat_map(repositories_roughly) {
                let known = aliases.entry(alias).or_insert_with(|| Some((Arc::clone(&url), place)));
                if known.as_ref().is_some_and(|(known, _)| known.trim_end_matches('/') != url.trim_end_matches('/')) {
                    *known = None;
                }
            }
            aliases
        });
        aliases.get(alias).cloned().flatten()
    }

    /// Whether another chart of the tree takes the chart in this folder in as its own, by `file://`.
    #[must_use]
    pub fn is_taken_in(&self, folder: &str) -> bool {
        self.charts_taken_in.get_or_init(|| umbrella::charts_taken_in(self)).contains(folder)
    }

    /// Whether a file stands at this (normal) path.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.tree.paths().binary_search_by(|p| (**p).cmp(path)).is_ok()
    }

    /// The paths of all files below a folder (`` is the root), sorted.
    #[must_use]
    pub fn below(&self, folder: &str) -> &'a [Arc<str>] {
        let paths = self.tree.paths();
        if folder.is_empty() {
            return paths;
        }
        let prefix = format!("{folder}/");
        let start = paths.partition_point(|p| **p < *prefix);
        let rest = paths.get(start..).unwrap_or_default();
        let length = rest.partition_point(|p| p.starts_with(&prefix));
        rest.get(..length).unwrap_or_default()
    }
}

fn is_manifest(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

/// A path relative to the tree's root with `.` and `..` resolved and no leading `/`; nothing where it leads out of the tree.
#[must_use]
pub fn normalize(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A path as a file in `folder` names it.
#[must_use]
pub fn join(folder: &str, path: &str) -> Option<String> {
    normalize(&format!("{folder}/{path}"))
}

/// How many leading folders two paths share; the larger, the nearer.
#[must_use]
pub fn nearness(a: &str, b: &str) -> usize {
    a.split('/').zip(b.split('/')).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::MemoryTree;

    #[test]
    fn files_are_found_by_path_whether_or_not_they_mention_milvus() {
        let tree = MemoryTree::new([("a/milvus.yaml", "a: 1\n"), ("a/b/other.yaml", "b: 2\n"), ("ab.yaml", "")]);
        let files = tree.candidates();
        let context = Context::new(&tree, &files);
        assert!(matches!(context.file("a/b/../milvus.yaml"), Ok(FileRef::Candidate(_))));
        assert!(matches!(context.file("./a/b/other.yaml"), Ok(FileRef::OnDemand(_))));
        assert_eq!(context.file("../a/milvus.yaml").unwrap_err(), ReadError::Missing);
        assert_eq!(context.below("a").len(), 2);
    }
}
