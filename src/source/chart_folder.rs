//! A chart in the tree: its Chart.yaml, requirements and lock, as far as Milvus needs them.

use std::sync::Arc;

use super::context::{Context, FileRef, join};
use super::gitops::version;
use super::item::Item;
use super::lineage::{archive_version, is_milvus_chart};
use crate::model::declaration::Lock;
use crate::model::place::{Fact, Origin, Place};
use crate::model::version::{ChartVersion, VersionSpec};

/// Dependencies of one chart beyond this number are not looked at.
const MAX_DEPENDENCIES: usize = 500;

/// A chart in the tree.
#[derive(Debug, Clone)]
pub struct ChartFolder {
    /// Its folder, `` for the root.
    pub folder: Arc<str>,
    /// The content of Chart.yaml.
    pub metadata: Item,
    /// The file that lists the dependencies: Chart.yaml, or requirements.yaml, which wins where it lists any.
    pub dependencies_file: Arc<str>,
    /// The dependencies.
    pub dependencies: Vec<Dependency>,
}

/// A dependency as it is written.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The whole entry.
    pub item: Item,
    /// Its name.
    pub name: Arc<str>,
    /// The key of its values: its alias, or its name.
    pub key: Arc<str>,
}

impl ChartFolder {
    /// The chart in a folder, if a readable Chart.yaml or requirements.yaml stands there.
    #[must_use]
    pub fn load(folder: &str, context: &Context<'_>) -> Option<Self> {
        let document = |name: &str| join(folder, name).and_then(|path| context.file(&path).ok()).and_then(|file| first_document(&file));
        let requirements = document("requirements.yaml");
        // Requirements tell of their dependencies even where Chart.yaml is missing or broken.
        let metadata = document("Chart.yaml").or_else(|| requirements.clone())?;
        let source = requirements.as_ref().filter(|r| r.get("dependencies").is_some_and(|d| !d.items().is_empty())).unwrap_or(&metadata);
        let dependencies = source.get("dependencies").map(dependencies).unwrap_or_default();
        Some(Self { folder: folder.into(), dependencies_file: source.source.path.clone(), dependencies, metadata })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.metadata.text_at(&["name"])
    }

    /// Whether it is a copy of zilliztech's chart: called milvus, of Milvus's own home or repository, with no Milvus below it.
    #[must_use]
    pub fn is_copy_of_zilliztech(&self) -> bool {
        let speaks_of = |text: &str| {
            let text = text.to_ascii_lowercase();
            text.contains("milvus.io") || text.contains("/milvus-helm") || text.contains("github.com/milvus-io/milvus")
        };
        let mut told = self.metadata.get("sources").map(Item::items).unwrap_or_default().iter().chain(self.metadata.get("home")).filter_map(Item::text);
        self.name() == Some("milvus") && told.any(speaks_of) && !self.dependencies.iter().any(|d| is_milvus_chart(&d.name))
    }

    /// Its own version.
    #[must_use]
    pub fn version(&self) -> Fact<VersionSpec> {
        version(self.metadata.fact_at(&["version"]))
    }

    /// The lock's entry for a dependency, `nth` of those with its name. Without a lock file its version is absent.
    #[must_use]
    pub fn lock(&self, dependency: &Dependency, nth: usize, asked: Option<&VersionSpec>, context: &Context<'_>) -> Lock {
        let name = if self.dependencies_file.ends_with("requirements.yaml") { "requirements.lock" } else { "Chart.lock" };
        let Some(lock) = join(&self.folder, name).and_then(|path| context.file(&path).ok()).and_then(|file| first_document(&file)) else {
            return Lock { version: Fact::Absent, disagrees: false };
        };
        let entries = lock.get("dependencies").map(Item::items).unwrap_or_default();
        let Some(entry) = entries.iter().filter(|e| e.text_at(&["name"]) == Some(&*dependency.name)).nth(nth) else {
            return Lock { version: Fact::Absent, disagrees: true };
        };
        let version = exact(entry.fact_at(&["version"]));
        let other_version = matches!((asked, version.known()), (Some(asked), Some(version)) if !asked.admits(version));
        let other_repository = match (dependency.item.text_at(&["repository"]), entry.text_at(&["repository"])) {
            (Some(asked), Some(locked)) => is_remote(asked) && is_remote(locked) && asked.trim_end_matches('/') != locked.trim_end_matches('/'),
            _ => false,
        };
        Lock { version, disagrees: other_version || other_repository }
    }

    /// The archive of a dependency under `charts/`, and its version.
    #[must_use]
    pub fn archive(&self, name: &str, context: &Context<'_>) -> Option<(Arc<str>, ChartVersion)> {
        let folder = join(&self.folder, "charts")?;
        let archives = context.below(&folder).iter().filter(|path| path.get(folder.len() + 1..).is_some_and(|file| !file.contains('/')));
        archives.filter_map(|path| Some((path.clone(), archive_version(path, name)?.parse::<ChartVersion>().ok()?))).max_by(|a, b| a.1.cmp(&b.1))
    }
}

/// A text as an exact version.
fn exact(fact: Fact<Arc<str>>) -> Fact<ChartVersion> {
    match fact {
        Fact::Known(text, origin) => match text.parse() {
            Ok(version) => Fact::Known(version, origin),
            Err(_) => Fact::Unknown(format!("`{text}` is not a version").into(), origin),
        },
        Fact::Unknown(reason, origin) => Fact::Unknown(reason, origin),
        Fact::Absent => Fact::Absent,
    }
}

/// A version that an archive's name tells.
#[must_use]
pub fn told_by(path: &Arc<str>, version: ChartVersion) -> Fact<ChartVersion> {
    Fact::Known(version, Origin::At(Place::file_start(path)))
}

fn is_remote(repository: &str) -> bool {
    repository.contains("://") && !repository.starts_with("file:")
}

/// The first document of a file that can be read.
#[must_use]
pub fn first_document(file: &FileRef<'_>) -> Option<Item> {
    file.documents().iter().flatten().next().map(|document| Item::of_file(file, &document.root))
}

fn dependencies(list: &Item) -> Vec<Dependency> {
    let one = |item: &Item| -> Option<Dependency> {
        let name: Arc<str> = item.text_at(&["name"])?.into();
        let key = item.text_at(&["alias"]).filter(|alias| !alias.is_empty()).map_or_else(|| name.clone(), Into::into);
        Some(Dependency { item: item.clone(), name, key })
    };
    list.items().iter().take(MAX_DEPENDENCIES).filter_map(one).collect()
}
