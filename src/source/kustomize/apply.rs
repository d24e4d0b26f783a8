//! What the kustomizations of an environment make of one object.

use super::graph::{Environment, Graph, Kustomization};
use super::patch::{apply_operations, merge};
use crate::model::declaration::NotChecked;
use crate::source::context::{Context, join};
use crate::source::item::{Body, Item, no_expansion};

/// An object on its way through the kustomizations.
struct Subject {
    item: Item,
    /// All names that it has had: patches may use any of them.
    names: Vec<String>,
    gaps: Vec<NotChecked>,
}

/// The object as the environment applies it, and what could not be applied.
#[must_use]
pub fn render(object: Item, environment: &Environment<'_>, graph: &Graph, context: &Context<'_>) -> (Item, Vec<NotChecked>) {
    let names = object.text_at(&["metadata", "name"]).map(str::to_owned).into_iter().collect();
    let mut subject = Subject { item: object, names, gaps: Vec::new() };
    for layer in &environment.layers {
        for component in components(layer, graph) {
            if !environment.layers.iter().any(|layer| std::ptr::eq(*layer, component)) {
                subject.apply_kustomization(component, context);
            }
        }
        subject.apply_kustomization(layer, context);
    }
    if let Some(spec) = environment.flux.and_then(|flux| flux.object.get("spec")) {
        subject.apply_patches(spec, None, context);
        subject.rename(spec);
        if let Some(namespace) = spec.get("targetNamespace") {
            set(&mut subject.item, &["metadata", "namespace"], namespace);
        }
    }
    (subject.item, subject.gaps)
}

/// Components of one kustomization.
const MAX_COMPONENTS: usize = 200;

/// The components of a kustomization, their own first.
pub(super) fn components<'g>(layer: &Kustomization, graph: &'g Graph) -> Vec<&'g Kustomization> {
    let mut found = Vec::new();
    add_components(layer, graph, 0, &mut found);
    found
}

fn add_components<'g>(layer: &Kustomization, graph: &'g Graph, depth: usize, found: &mut Vec<&'g Kustomization>) {
    for component in layer.references("components").filter_map(|folder| graph.in_folder(&folder)) {
        if depth >= 4 || found.len() >= MAX_COMPONENTS || found.iter().any(|known| std::ptr::eq(*known, component)) {
            continue;
        }
        add_components(component, graph, depth + 1, found);
        found.push(component);
    }
}

impl Subject {
    fn apply_kustomization(&mut self, kustomization: &Kustomization, context: &Context<'_>) {
        self.apply_patches(&kustomization.root, Some(&kustomization.folder), context);
        if let Some(namespace) = kustomization.root.get("namespace") {
            set(&mut self.item, &["metadata", "namespace"], namespace);
        }
        self.rename(&kustomization.root);
        self.note_replacements(kustomization);
    }

    /// `folder` is where paths start; Flux Kustomizations have none.
    fn apply_patches(&mut self, root: &Item, folder: Option<&str>, context: &Context<'_>) {
        for entry in list(root, "patchesStrategicMerge") {
            match &entry.body {
                Body::Mapping(_) => self.apply_patch(entry, None, entry),
                _ if entry.text().is_some_and(|text| text.contains('\n')) => self.apply_inline(entry, None),
                _ => self.apply_file(entry, folder, None, context),
            }
        }
        for entry in list(root, "patches").iter().chain(list(root, "patchesJson6902")) {
            let target = entry.get("target");
            match (entry.get("patch"), entry.get("path")) {
                (Some(patch), _) if matches!(patch.body, Body::Scalar(_)) => self.apply_inline(patch, target),
                (Some(patch), _) => self.apply_patch(patch, target, patch),
                (None, Some(path)) => self.apply_file(path, folder, target, context),
                (None, None) => {}
            }
        }
    }

    fn apply_inline(&mut self, patch: &Item, target: Option<&Item>) {
        match patch.embedded(&no_expansion) {
            Ok(Some(content)) => self.apply_patch(&content, target, patch),
            Ok(None) => {}
            Err(gap) if target.is_none_or(|target| self.fits(target) != Fit::No) => self.gaps.push(gap),
            Err(_) => {}
        }
    }

    fn apply_file(&mut self, path: &Item, folder: Option<&str>, target: Option<&Item>, context: &Context<'_>) {
        if target.is_some_and(|target| self.fits(target) == Fit::No) {
            return;
        }
        let Some((folder, text)) = folder.zip(path.text()) else {
            return;
        };
        match join(folder, text).ok_or(crate::source::ReadError::Missing).and_then(|path| context.file(&path)) {
            Ok(file) => {
                for document in file.documents() {
                    match document {
                        Ok(document) => self.apply_patch(&Item::of_file(&file, &document.root), target, path),
                        Err(broken) => self.gaps.push(path.partly(&format!("the patch {text} cannot be read: {}", broken.reason))),
                    }
                }
            }
            Err(error) => self.gaps.push(path.partly(&format!("the patch {text} is not applied: {error}"))),
        }
    }

    /// `named` is what names the patch in the kustomization.
    fn apply_patch(&mut self, patch: &Item, target: Option<&Item>, named: &Item) {
        let fit = match target {
            Some(target) => self.fits(target),
            None if patch.is_mapping() => self.is_named_by(patch),
            None => Fit::No,
        };
        match fit {
            Fit::No => {}
            Fit::Unsure => self.gaps.push(named.partly("this patch may change the release: its target cannot be resolved here; name the object in `target`")),
            Fit::Yes if patch.is_mapping() => {
                let mut patch = patch.clone();
                if let Body::Mapping(entries) = &mut patch.body {
                    // What identifies the object is no change.
                    entries.retain(|(key, _)| !matches!(key.text(), Some("apiVersion" | "kind")));
                    if let Some((_, metadata)) = entries.iter_mut().find(|(key, _)| key.text() == Some("metadata"))
                        && let Body::Mapping(metadata) = &mut metadata.body
                    {
                        metadata.retain(|(key, _)| !matches!(key.text(), Some("name" | "namespace")));
                    }
                }
                merge(&mut self.item, &patch);
            }
            Fit::Yes => {
                if let Err(reason) = apply_operations(&mut self.item, patch) {
                    self.gaps.push(named.partly(&format!("this patch is not applied in full: {reason}")));
                }
            }
        }
    }

    fn is_named_by(&self, patch: &Item) -> Fit {
        let same_kind = patch.text_at(&["kind"]).is_some_and(|kind| Some(kind) == self.item.text_at(&["kind"]));
        let same_name = patch.text_at(&["metadata", "name"]).is_some_and(|name| self.names.iter().any(|n| n == name));
        if same_kind && same_name { Fit::Yes } else { Fit::No }
    }

    fn fits(&self, target: &Item) -> Fit {
        let item = &self.item;
        let group = item.text_at(&["apiVersion"]).map(|version| version.rsplit_once('/').map_or("", |(group, _)| group));
        if target.text_at(&["group"]).is_some_and(|wanted| Some(wanted) != group) {
            return Fit::No;
        }
        let mut fit = Fit::Yes;
        if let Some(kind) = target.text_at(&["kind"]) {
            fit = fit.and(matches_pattern(kind, item.text_at(&["kind"]).unwrap_or_default()));
        }
        if let Some(name) = target.text_at(&["name"]) {
            let any = self.names.iter().map(|own| matches_pattern(name, own)).max().unwrap_or(Fit::No);
            fit = fit.and(any);
        }
        if let Some(namespace) = target.text_at(&["namespace"])
            && let Some(own) = item.text_at(&["metadata", "namespace"])
        {
            fit = fit.and(matches_pattern(namespace, own));
        }
        for (selector, field) in [("labelSelector", "labels"), ("annotationSelector", "annotations")] {
            if let Some(selector) = target.text_at(&[selector]) {
                fit = fit.and(matches_selector(selector, item.at(&["metadata", field])));
            }
        }
        fit
    }

    fn rename(&mut self, root: &Item) {
        let prefix = root.text_at(&["namePrefix"]).unwrap_or_default();
        let suffix = root.text_at(&["nameSuffix"]).unwrap_or_default();
        if let Some(name) = self.item.at(&["metadata", "name"])
            && let Some(text) = name.text()
            && (!prefix.is_empty() || !suffix.is_empty())
        {
            let renamed = format!("{prefix}{text}{suffix}");
            let value = Item::scalar(name, &renamed);
            self.names.push(renamed);
            set(&mut self.item, &["metadata", "name"], &value);
        }
    }

    fn note_replacements(&mut self, kustomization: &Kustomization) {
        let kind = self.item.text_at(&["kind"]).unwrap_or_default();
        for replacement in list(&kustomization.root, "replacements") {
            let targets = list(replacement, "targets");
            if targets.is_empty() || targets.iter().any(|target| target.text_at(&["select", "kind"]).is_none_or(|k| k == kind)) {
                self.gaps.push(replacement.partly("kustomize `replacements` may change the release: they are not applied here"));
            }
        }
    }
}

fn list<'i>(root: &'i Item, key: &str) -> &'i [Item] {
    root.get(key).map(Item::items).unwrap_or_default()
}

/// Sets the value at a path, making mappings on the way.
pub fn set(item: &mut Item, path: &[&str], value: &Item) {
    let patch = path.iter().rev().fold(value.clone(), |inner, key| Item::mapping_of(key, inner));
    merge(item, &patch);
}

/// Whether a patch is meant for an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    No,
    Unsure,
    Yes,
}

impl Fit {
    fn and(self, other: Self) -> Self {
        self.min(other)
    }
}

/// kustomize's targets are regular expressions over the whole name: plain names and `.*` are understood.
fn matches_pattern(pattern: &str, text: &str) -> Fit {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let pattern = pattern.strip_suffix('$').unwrap_or(pattern);
    if pattern == text {
        return Fit::Yes;
    }
    let pieces: Vec<&str> = pattern.split(".*").collect();
    if pieces.iter().any(|piece| piece.contains(['[', ']', '(', ')', '{', '}', '|', '+', '?', '*', '\\', '^', '$'])) {
        return Fit::Unsure;
    }
    let [first, middle @ .., last] = pieces.as_slice() else {
        return Fit::No;
    };
    let Some(mut rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return Fit::No;
    };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return Fit::No,
        }
    }
    Fit::Yes
}

fn matches_selector(selector: &str, labels: Option<&Item>) -> Fit {
    let mut fit = Fit::Yes;
    for term in selector.split(',') {
        let Some((key, value)) = term.split_once('=') else {
            return Fit::Unsure;
        };
        if key.ends_with('!') || value.contains(['(', ')']) {
            return Fit::Unsure;
        }
        let value = value.trim_start_matches('=').trim();
        if labels.and_then(|labels| labels.text_at(&[key.trim()])) != Some(value) {
            fit = Fit::No;
        }
    }
    fit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::MemoryTree;

    fn rendered(files: &[(&str, &str)], path: &str) -> Vec<(Item, Vec<NotChecked>)> {
        let tree = MemoryTree::new(files.iter().copied());
        let files = tree.candidates();
        let context = Context::new(&tree, &files);
        let graph = Graph::new(&context);
        let file = context.file(path).unwrap();
        let object = Item::of_file(&file, &file.documents()[0].as_ref().unwrap().root);
        graph.environments(path).iter().map(|environment| render(object.clone(), environment, &graph, &context)).collect()
    }

    const RELEASE: &str =
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: milvus}\nspec: {chart: {spec: {chart: milvus, version: 4.1.1}}}\n";

    #[test]
    fn overlays_patch_a_base_each_in_its_own_way() {
        let found = rendered(
            &[
                ("base/milvus.yaml", RELEASE),
                ("base/kustomization.yaml", "resources: [milvus.yaml]\n"),
                (
                    "prod/kustomization.yaml",
                    "resources: [../base]\nnamespace: prod\nnamePrefix: p-\npatches:\n- path: version.yaml\n- target: {kind: HelmRelease, name: mil.*}\n  patch: |\n    - op: add\n      path: /spec/values\n      value: {a: 1}\n",
                ),
                ("prod/version.yaml", "kind: HelmRelease\nmetadata: {name: milvus}\nspec: {chart: {spec: {version: 4.2.0}}}\n"),
                (
                    "test/kustomization.yaml",
                    "resources: [../base]\npatchesStrategicMerge:\n- |-\n  kind: HelmRelease\n  metadata: {name: other}\n  spec: null\n",
                ),
            ],
            "base/milvus.yaml",
        );
        let (prod, gaps) = &found[0];
        assert!(gaps.is_empty());
        let version = prod.at(&["spec", "chart", "spec", "version"]).unwrap();
        assert_eq!((version.text(), &*version.place().file), (Some("4.2.0"), "prod/version.yaml"));
        assert_eq!(prod.text_at(&["spec", "values", "a"]), Some("1"));
        assert_eq!(prod.text_at(&["metadata", "name"]), Some("p-milvus"));
        assert_eq!(prod.text_at(&["metadata", "namespace"]), Some("prod"));
        assert_eq!(found[1].0.text_at(&["spec", "chart", "spec", "version"]), Some("4.1.1"));
    }

    #[test]
    fn a_patch_that_cannot_be_applied_is_a_gap() {
        let found = rendered(
            &[
                ("base/milvus.yaml", RELEASE),
                (
                    "base/kustomization.yaml",
                    "resources: [milvus.yaml]\npatches:\n- path: gone.yaml\n- target: {kind: HelmRelease, name: '(a|b)'}\n  patch: '[]'\n- target: {kind: Deployment}\n  path: gone.yaml\n",
                ),
            ],
            "base/milvus.yaml",
        );
        assert_eq!(found[0].1.len(), 2);
    }

    #[test]
    fn flux_patches_and_components_apply_too() {
        let found = rendered(
            &[
                ("base/milvus.yaml", RELEASE),
                ("base/kustomization.yaml", "resources: [milvus.yaml]\ncomponents: [../ha]\n"),
                (
                    "ha/kustomization.yaml",
                    "kind: Component\npatches:\n- target: {labelSelector: a=b}\n  patch: |\n    spec: {no: 1}\n- patch: |\n    kind: HelmRelease\n    metadata: {name: milvus}\n    spec: {timeout: 20m}\n",
                ),
                (
                    "clusters/milvus.yaml",
                    "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: milvus}\nspec:\n  path: ./base\n  targetNamespace: db\n  patches:\n  - target: {kind: HelmRelease}\n    patch: |\n      - {op: replace, path: /spec/chart/spec/version, value: 5.0.0}\n",
                ),
            ],
            "base/milvus.yaml",
        );
        let item = &found[0].0;
        assert_eq!(item.text_at(&["spec", "timeout"]), Some("20m"));
        assert_eq!(item.text_at(&["spec", "no"]), None);
        assert_eq!(item.text_at(&["spec", "chart", "spec", "version"]), Some("5.0.0"));
        assert_eq!(item.text_at(&["metadata", "namespace"]), Some("db"));
    }
}
