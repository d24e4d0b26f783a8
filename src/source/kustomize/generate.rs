//! ConfigMaps and Secrets that kustomize generates from files and literals.

use std::collections::BTreeMap;

use super::apply::components;
use super::graph::{Environment, Graph, Kustomization};
use crate::source::context::join;
use crate::source::item::Item;

/// Where a key of a generated object comes from.
#[derive(Debug, Clone)]
pub enum Generated {
    /// The whole file at this path; the item names it.
    File(String, Item),
    /// A text in the kustomization; the item holds `key=text`.
    Literal(String, Item),
}

/// The kinds that can be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generator {
    /// `configMapGenerator`
    ConfigMap,
    /// `secretGenerator`
    Secret,
}

/// The keys of a generated object of this name in an environment; nothing where none generates it. The suffix of the content's hash is ignored.
#[must_use]
pub fn generated(generator: Generator, name: &str, environment: &Environment<'_>, graph: &Graph) -> Option<BTreeMap<String, Generated>> {
    let list = match generator {
        Generator::ConfigMap => "configMapGenerator",
        Generator::Secret => "secretGenerator",
    };
    let mut found: Option<BTreeMap<String, Generated>> = None;
    for layer in &environment.layers {
        let around = components(layer, graph);
        for kustomization in around.into_iter().chain([*layer]) {
            for entry in kustomization.root.get(list).map(Item::items).unwrap_or_default() {
                if !is_called(entry, name, kustomization) {
                    continue;
                }
                let data = found.get_or_insert_with(BTreeMap::new);
                if entry.text_at(&["behavior"]) == Some("replace") {
                    data.clear();
                }
                data.extend(files(entry, kustomization));
                data.extend(literals(entry));
            }
        }
    }
    found
}

fn is_called(entry: &Item, name: &str, kustomization: &Kustomization) -> bool {
    let Some(own) = entry.text_at(&["name"]) else {
        return false;
    };
    let affix = |key| kustomization.root.text_at(&[key]).unwrap_or_default();
    own == name || format!("{}{own}{}", affix("namePrefix"), affix("nameSuffix")) == name
}

fn files(entry: &Item, kustomization: &Kustomization) -> Vec<(String, Generated)> {
    let items = entry.get("files").map(Item::items).unwrap_or_default();
    let file = |item: &Item| {
        let text = item.text()?;
        let (key, path) = text.split_once('=').unwrap_or_else(|| (text.rsplit('/').next().unwrap_or(text), text));
        Some((key.trim().to_owned(), Generated::File(join(&kustomization.folder, path.trim())?, item.clone())))
    };
    items.iter().filter_map(file).collect()
}

fn literals(entry: &Item) -> Vec<(String, Generated)> {
    let items = entry.get("literals").map(Item::items).unwrap_or_default();
    let literal = |item: &Item| {
        let (key, text) = item.text()?.split_once('=')?;
        Some((key.to_owned(), Generated::Literal(text.to_owned(), item.clone())))
    };
    items.iter().filter_map(literal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::context::Context;
    use crate::source::memory::MemoryTree;

    #[test]
    fn an_overlay_adds_to_what_the_base_generates() {
        let tree = MemoryTree::new([
            ("base/milvus.yaml", ""),
            (
                "base/kustomization.yaml",
                "resources: [milvus.yaml]\nconfigMapGenerator:\n- {name: milvus-values, files: [values.yaml=v/milvus.yaml], literals: [a=b=c]}\n",
            ),
            ("prod/kustomization.yaml", "resources: [../base]\nconfigMapGenerator:\n- {name: milvus-values, behavior: merge, files: [values.yaml]}\n"),
        ]);
        let files = tree.candidates();
        let context = Context::new(&tree, &files);
        let graph = Graph::new(&context);
        let environments = graph.environments("base/milvus.yaml");
        let found = generated(Generator::ConfigMap, "milvus-values", &environments[0], &graph).unwrap();
        assert!(matches!(&found["values.yaml"], Generated::File(path, _) if path == "prod/values.yaml"));
        assert!(matches!(&found["a"], Generated::Literal(text, _) if text == "b=c"));
        assert!(generated(Generator::Secret, "milvus-values", &environments[0], &graph).is_none());
    }
}
