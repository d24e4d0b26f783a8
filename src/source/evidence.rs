//! Evidence that names its release: `GuardedUpgrade` objects anywhere in the tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::{Context, nearness};
use super::index::objects;
use super::item::Item;
use super::{Reading, SourceFile};
use crate::model::declaration::{Declaration, Evidence, EvidenceKind, Form};

/// Objects of evidence that are joined to releases, in one tree.
const MAX_JOINED: usize = 1_000;

/// Reads the `GuardedUpgrade` objects of a file.
#[must_use]
pub fn read(file: &SourceFile, _: &Context<'_>) -> Reading {
    let mut reading = Reading::default();
    if memchr::memmem::find(file.text.as_bytes(), b"GuardedUpgrade").is_none() {
        return reading;
    }
    for object in objects(file).into_iter().filter(|object| object.is("guard.milvus-guard.dev", "GuardedUpgrade")) {
        let (Some(name), Some(to)) = (object.name(), object.root.at(&["spec", "to"])) else {
            continue;
        };
        let Some(version) = to.text() else {
            continue;
        };
        let evidence = Evidence {
            kind: EvidenceKind::GuardedUpgrade { to: version.into(), rolling: object.root.text_at(&["spec", "strategy"]) == Some("Rolling") },
            text: format!("GuardedUpgrade {name} to {version}").into(),
            place: Some(Item::of_file(file, to).place()),
        };
        reading.evidence.push((name.into(), object.namespace().map(Into::into), evidence));
    }
    reading
}

/// Gives the evidence that stands elsewhere to the releases that it names: same name, and the same namespace where both say one. Where several
/// releases of one form fit (the same name in several clusters), it belongs to those whose files are nearest to it.
pub fn join(reading: &mut Reading) {
    let mut by_name: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
    if !reading.evidence.is_empty() {
        for (i, declaration) in reading.declarations.iter().enumerate() {
            if let Some(name) = declaration.name.known() {
                by_name.entry(name.clone()).or_default().push(i);
            }
        }
    }
    for (name, namespace, evidence) in reading.evidence.iter().take(MAX_JOINED) {
        let at = |i: usize| reading.declarations.get(i).filter(|d| may_be_in(d, namespace.as_deref()));
        let near = |d: &Declaration| evidence.place.as_ref().map_or(0, |place| nearness(&place.file, &d.path));
        let named = by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut nearest: BTreeMap<Form, usize> = BTreeMap::new();
        for declaration in named.iter().filter_map(|i| at(*i)) {
            let best = nearest.entry(declaration.identity.form).or_default();
            *best = (*best).max(near(declaration));
        }
        let chosen: Vec<usize> =
            named.iter().copied().filter(|i| at(*i).is_some_and(|d| nearest.get(&d.identity.form).is_some_and(|best| *best == near(d)))).collect();
        for i in chosen {
            if let Some(declaration) = reading.declarations.get_mut(i) {
                declaration.evidence.push(evidence.clone());
            }
        }
    }
}

fn may_be_in(declaration: &Declaration, namespace: Option<&str>) -> bool {
    match (declaration.namespace.known(), namespace) {
        (Some(own), Some(wanted)) => **own == *wanted,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::place::{Fact, Origin, Place};

    fn declared(path: &str, namespace: Option<&str>) -> Declaration {
        let mut declaration = Declaration::blank(Form::Flux, path, Place::file_start(&path.into()));
        declaration.name = Fact::Known("milvus".into(), Origin::At(declaration.place.clone()));
        if let Some(namespace) = namespace {
            declaration.namespace = Fact::Known(namespace.into(), Origin::At(declaration.place.clone()));
        }
        declaration
    }

    #[test]
    fn a_guarded_upgrade_belongs_to_the_nearest_release_of_its_name() {
        let object = "apiVersion: guard.milvus-guard.dev/v1alpha1\nkind: GuardedUpgrade\nmetadata: {name: milvus, namespace: db}\nspec: {to: 2.6.15}\n";
        let file = SourceFile::new("clusters/a/upgrade.yaml".into(), object.into());
        let tree = crate::source::memory::MemoryTree::default();
        let mut reading = read(&file, &Context::new(&tree, &[]));
        reading.declarations =
            vec![declared("clusters/a/milvus.yaml", Some("db")), declared("clusters/b/milvus.yaml", None), declared("clusters/a/x.yaml", Some("other"))];
        join(&mut reading);
        let counts: Vec<usize> = reading.declarations.iter().map(|d| d.evidence.len()).collect();
        assert_eq!(counts, [1, 0, 0]);
    }
}
