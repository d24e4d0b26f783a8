//! The kustomizations of a tree, who refers to whom, and the environments in which a file is applied.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::source::SourceFile;
use crate::source::context::{Context, join, nearness, normalize};
use crate::source::index::objects;
use crate::source::item::Item;

/// Kustomizations that are read in one tree, the nearest to what mentions Milvus first.
const MAX_KUSTOMIZATIONS: usize = 1_000;
/// Files that are looked into for Flux Kustomizations although they do not mention Milvus.
const MAX_FLUX_FILES: usize = 300;
/// Environments of one file.
const MAX_ENVIRONMENTS: usize = 64;
/// Overlays over one base.
const MAX_LAYERS: usize = 12;
/// Steps from a file up to its environments.
const MAX_STEPS: usize = 2_000;

/// A `kustomization.yaml`.
#[derive(Debug)]
pub struct Kustomization {
    /// Its path.
    pub path: Arc<str>,
    /// Its folder.
    pub folder: String,
    /// Its content.
    pub root: Item,
}

impl Kustomization {
    /// The paths in a list (`resources`, `components`, ...), as paths of the tree; what is elsewhere is left out.
    pub fn references<'k>(&'k self, list: &str) -> impl Iterator<Item = String> + 'k {
        let items = self.root.get(list).map(Item::items).unwrap_or_default();
        items.iter().filter_map(Item::text).filter(|text| !text.contains("://") && !text.contains('\n')).filter_map(|text| join(&self.folder, text))
    }
}

/// A Flux `Kustomization`.
#[derive(Debug)]
pub struct FluxKustomization {
    /// The file that holds it.
    pub path: Arc<str>,
    /// The folder that it applies, where readable.
    pub folder: Option<String>,
    /// The object.
    pub object: Item,
}

/// One way in which a file is applied.
#[derive(Debug, Clone, Default)]
pub struct Environment<'g> {
    /// Kustomizations over it, the innermost first.
    pub layers: Vec<&'g Kustomization>,
    /// The Flux Kustomization that applies the outermost one.
    pub flux: Option<&'g FluxKustomization>,
}

/// The kustomizations of a tree.
#[derive(Debug, Default)]
pub struct Graph {
    kustomizations: Vec<Kustomization>,
    by_folder: HashMap<String, usize>,
    users: HashMap<String, Vec<usize>>,
    patch_files: HashSet<String>,
    flux: Vec<FluxKustomization>,
}

impl Graph {
    /// Reads the kustomizations around the files that mention Milvus.
    #[must_use]
    pub fn new(context: &Context<'_>) -> Self {
        let mut graph = Self::default();
        for path in nearest(context, is_kustomization_path, MAX_KUSTOMIZATIONS) {
            if let Ok(file) = context.file(&path)
                && let Some(Ok(document)) = file.documents().first()
            {
                graph.add(Kustomization { path: file.path.clone(), folder: file.folder().to_owned(), root: Item::of_file(&file, &document.root) });
            }
        }
        for file in context.files.iter().filter(|file| file.text.contains(FLUX_GROUP)) {
            graph.add_flux(file);
        }
        for path in nearest(context, may_hold_flux_kustomizations, MAX_FLUX_FILES) {
            if context.files.binary_search_by(|file| (*file.path).cmp(&path)).is_err()
                && let Ok(file) = context.file(&path)
                && file.text.contains(FLUX_GROUP)
            {
                graph.add_flux(&file);
            }
        }
        graph
    }

    fn add(&mut self, kustomization: Kustomization) {
        let at = self.kustomizations.len();
        let targets: BTreeSet<String> = ["resources", "bases", "components"].iter().flat_map(|list| kustomization.references(list)).collect();
        for target in targets {
            self.users.entry(target).or_default().push(at);
        }
        self.patch_files.extend(kustomization.references("patchesStrategicMerge"));
        for list in ["patches", "patchesJson6902"] {
            for patch in kustomization.root.get(list).map(Item::items).unwrap_or_default() {
                self.patch_files.extend(patch.text_at(&["path"]).and_then(|path| join(&kustomization.folder, path)));
            }
        }
        self.by_folder.insert(kustomization.folder.clone(), at);
        self.kustomizations.push(kustomization);
    }

    fn add_flux(&mut self, file: &SourceFile) {
        for object in objects(file).into_iter().filter(|object| object.is(FLUX_GROUP, "Kustomization")) {
            let folder = object.root.text_at(&["spec", "path"]).and_then(normalize);
            self.flux.push(FluxKustomization { path: file.path.clone(), folder, object: Item::of_file(file, object.root) });
        }
    }

    /// Whether a file is a patch of some kustomization, not an object of its own.
    #[must_use]
    pub fn is_patch(&self, path: &str) -> bool {
        self.patch_files.contains(path)
    }

    /// The Flux Kustomizations of the tree, as far as they were found.
    #[must_use]
    pub fn flux(&self) -> &[FluxKustomization] {
        &self.flux
    }

    /// The kustomization in a folder.
    #[must_use]
    pub fn in_folder(&self, folder: &str) -> Option<&Kustomization> {
        self.kustomizations.get(*self.by_folder.get(folder)?)
    }

    /// The environments of a file: one per outermost kustomization and Flux Kustomization that leads to it; never empty.
    #[must_use]
    pub fn environments(&self, path: &str) -> Vec<Environment<'_>> {
        let mut found = Vec::new();
        self.climb(path, &mut Vec::new(), &mut found, &mut 0);
        if found.is_empty() {
            found.push(Environment::default());
        }
        found
    }

    /// The environments of what a kustomization makes itself (generated objects, charts); the kustomization is the innermost layer.
    #[must_use]
    pub fn environments_of<'g>(&'g self, kustomization: &'g Kustomization) -> Vec<Environment<'g>> {
        let mut found = Vec::new();
        self.climb(&kustomization.folder, &mut vec![kustomization], &mut found, &mut 0);
        if found.is_empty() {
            found.push(Environment { layers: vec![kustomization], flux: None });
        }
        found
    }

    fn climb<'g>(&'g self, target: &str, layers: &mut Vec<&'g Kustomization>, found: &mut Vec<Environment<'g>>, steps: &mut usize) {
        *steps += 1;
        if found.len() >= MAX_ENVIRONMENTS || layers.len() >= MAX_LAYERS || *steps > MAX_STEPS {
            return;
        }
        let mut applied = false;
        if !layers.is_empty() {
            for flux in self.flux.iter().filter(|flux| flux.folder.as_deref() == Some(target)) {
                found.push(Environment { layers: layers.clone(), flux: Some(flux) });
                applied = true;
            }
        }
        let users = self.users.get(target).map(Vec::as_slice).unwrap_or_default();
        for user in users.iter().filter_map(|user| self.kustomizations.get(*user)) {
            if !layers.iter().any(|layer| std::ptr::eq(*layer, user)) {
                layers.push(user);
                self.climb(&user.folder, layers, found, steps);
                layers.pop();
            }
        }
        if users.is_empty() && !applied {
            let around = self.flux_around(target);
            if around.is_empty() {
                found.push(Environment { layers: layers.clone(), flux: None });
            }
            found.extend(around.into_iter().map(|flux| Environment { layers: layers.clone(), flux: Some(flux) }));
        }
    }

    /// Flux applies all files below a folder that has no kustomization of its own: those with the nearest such folder.
    fn flux_around(&self, path: &str) -> Vec<&FluxKustomization> {
        let covers = |flux: &&FluxKustomization| {
            flux.folder.as_deref().is_some_and(|folder| {
                let inside = folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
                inside && !self.by_folder.contains_key(folder)
            })
        };
        let length = |flux: &FluxKustomization| flux.folder.as_deref().map_or(0, str::len);
        let longest = self.flux.iter().filter(covers).map(length).max();
        self.flux.iter().filter(covers).filter(|flux| Some(length(flux)) == longest).take(MAX_ENVIRONMENTS).collect()
    }
}

const FLUX_GROUP: &str = "kustomize.toolkit.fluxcd.io";

fn is_kustomization_path(path: &str) -> bool {
    matches!(file_name(path), "kustomization.yaml" | "kustomization.yml" | "Kustomization")
}

/// Whether files of this name usually hold Flux Kustomizations.
fn may_hold_flux_kustomizations(path: &str) -> bool {
    let name = file_name(path);
    let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    let by_name = || {
        ["ks", "kustomiz", "apps", "infra", "gotk-sync", "sync"].iter().any(|start| name.starts_with(start))
            || name.contains("-ks.")
            || name.contains("kustomization")
    };
    let by_folder = || path.split('/').any(|part| matches!(part, "clusters" | "cluster" | "flux-system" | "flux"));
    is_yaml && !is_kustomization_path(path) && (by_name() || by_folder())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The paths that fit, those nearest to a file that mentions Milvus first, at most `limit`.
fn nearest(context: &Context<'_>, fits: fn(&str) -> bool, limit: usize) -> Vec<Arc<str>> {
    let fitting = context.tree.paths().iter().filter(|path| fits(path));
    let mut paths: Vec<(usize, &Arc<str>)> = fitting.map(|path| (nearness_to_any(context, path), path)).collect();
    paths.sort_by_key(|(near, path)| (Reverse(*near), *path));
    paths.into_iter().take(limit).map(|(_, path)| Arc::clone(path)).collect()
}

/// Nearness to the nearest file that mentions Milvus: in sorted order that is a neighbour.
fn nearness_to_any(context: &Context<'_>, path: &str) -> usize {
    let at = context.files.partition_point(|file| *file.path < *path);
    let neighbours = [at.checked_sub(1), Some(at)];
    neighbours.into_iter().flatten().filter_map(|at| context.files.get(at)).map(|file| nearness(&file.path, path)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::MemoryTree;

    fn layers(tree: &MemoryTree, path: &str) -> Vec<(Vec<String>, Option<String>)> {
        let files = tree.candidates();
        let context = Context::new(tree, &files);
        let graph = Graph::new(&context);
        let environments = graph.environments(path);
        environments.iter().map(|e| (e.layers.iter().map(|l| l.folder.clone()).collect(), e.flux.map(|f| f.path.to_string()))).collect()
    }

    #[test]
    fn each_overlay_of_a_base_is_an_environment() {
        let tree = MemoryTree::new([
            ("apps/base/milvus/release.yaml", "kind: HelmRelease\n"),
            ("apps/base/milvus/kustomization.yaml", "resources: [release.yaml]\n"),
            ("apps/prod/kustomization.yaml", "resources: [../base/milvus]\n"),
            ("apps/staging/kustomization.yaml", "resources: [../base/milvus/]\n"),
            ("clusters/prod/apps.yaml", "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\nspec: {path: ./apps/prod}\n"),
        ]);
        let found = layers(&tree, "apps/base/milvus/release.yaml");
        let base = "apps/base/milvus".to_owned();
        assert_eq!(found, [(vec![base.clone(), "apps/prod".into()], Some("clusters/prod/apps.yaml".into())), (vec![base, "apps/staging".into()], None)]);
    }

    #[test]
    fn flux_applies_a_folder_without_a_kustomization_as_a_whole() {
        let flux = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: milvus}\nspec: {path: deploy/milvus}\n";
        let tree = MemoryTree::new([("deploy/milvus/a/release.yaml", "kind: HelmRelease\n"), ("flux/milvus.yaml", flux)]);
        assert_eq!(layers(&tree, "deploy/milvus/a/release.yaml"), [(Vec::new(), Some("flux/milvus.yaml".into()))]);
        assert_eq!(layers(&tree, "other/milvus.yaml"), [(Vec::new(), None)]);
    }

    #[test]
    fn a_hundred_kustomizations_that_all_refer_to_each_other_end_soon() {
        let everyone: String = (0..100).map(|i| format!("- ../k{i}\n")).collect();
        let text = format!("# milvus\nresources:\n- a.yaml\n{everyone}");
        let paths: Vec<String> = (0..100).map(|i| format!("k{i}/kustomization.yaml")).collect();
        let tree = MemoryTree::new(paths.iter().map(|path| (path.as_str(), text.as_str())));
        assert!(layers(&tree, "k1/a.yaml").len() <= MAX_ENVIRONMENTS);
    }

    #[test]
    fn kustomizations_that_refer_to_each_other_end() {
        let tree = MemoryTree::new([
            ("milvus/kustomization.yaml", "resources: [../other, a.yaml]\n"),
            ("other/kustomization.yaml", "resources: [../milvus]\n"),
            ("milvus/a.yaml", ""),
        ]);
        assert_eq!(layers(&tree, "milvus/a.yaml").len(), 1);
    }
}
