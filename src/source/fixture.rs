//! What the tests of readers have in common: trees of a few texts, and what is said about a release.

use super::context::Context;
use super::memory::MemoryTree;
use super::{Reader, Reading, read_tree};
use crate::model::declaration::{Declaration, Layer};
use crate::model::value::Value;

/// What all readers find in a tree of these paths and texts.
pub(super) fn read_texts(files: &[(&str, &str)]) -> Reading {
    let tree = MemoryTree::new(files.iter().copied());
    read_tree(&tree, &tree.candidates())
}

/// What one reader finds.
pub(super) fn read_with(reader: Reader, files: &[(&str, &str)]) -> Reading {
    let tree = MemoryTree::new(files.iter().copied());
    let files = tree.candidates();
    let context = Context::new(&tree, &files);
    let mut all = Reading::default();
    files.iter().for_each(|file| all.extend(reader(file, &context)));
    all
}

/// The only release of a tree.
pub(super) fn only(files: &[(&str, &str)]) -> Declaration {
    let mut all = read_texts(files).declarations;
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

/// The chart version that is asked for, empty where it is not known.
pub(super) fn version(declaration: &Declaration) -> String {
    declaration.chart.version.known().map(ToString::to_string).unwrap_or_default()
}

/// What the tables say at a path and where, the last one that speaks.
pub(super) fn said_at(declaration: &Declaration, path: &str) -> Option<(Value, String)> {
    declaration.layers.iter().rev().find_map(|layer| match layer {
        Layer::Table { values, .. } => {
            let entry = values.lookup(path).found()?;
            Some((entry.node.value.clone(), entry.node.origin.place().map(ToString::to_string).unwrap_or_default()))
        }
        _ => None,
    })
}
