//! Evidence written beside releases: acknowledgements, and `GuardedUpgrade` objects anywhere in the tree.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::context::{Context, nearness};
use super::gitops::Rendering;
use super::index::{Object, objects};
use super::item::Item;
use super::{Reading, SourceFile};
use crate::model::declaration::{Declaration, Evidence, EvidenceKind, Form};
use crate::model::place::{Place, Position};

/// The annotation, or the beginning of the comment, that acknowledges a rule.
const ACKNOWLEDGEMENT: &str = "guard.milvus-guard.dev/ack";

/// Objects of evidence that are joined to releases, in one tree.
const MAX_JOINED: usize = 1_000;

/// The acknowledgements in a part of a file, as annotation or comment: `guard.milvus-guard.dev/ack: MV210 <reference>`; several are parted by `;`.
#[must_use]
pub fn acknowledgements(file: &SourceFile, bytes: &Range<usize>) -> Vec<Evidence> {
    let text = file.text.get(bytes.clone()).unwrap_or_default();
    if memchr::memmem::find(text.as_bytes(), ACKNOWLEDGEMENT.as_bytes()).is_none() {
        return Vec::new();
    }
    let lines_before = memchr::memchr_iter(b'\n', file.text.as_bytes().get(..bytes.start).unwrap_or_default()).count();
    let mut found = Vec::new();
    for (number, line) in (lines_before + 1..).zip(text.lines()) {
        let Some((before, rest)) = line.split_once(ACKNOWLEDGEMENT) else {
            continue;
        };
        let Some(said) = rest.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':') else {
            continue;
        };
        let column = before.chars().count() + 1;
        let position = |column| Position { line: u32::try_from(number).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) };
        let place = Place { file: file.path.clone(), start: position(column), end: position(column + ACKNOWLEDGEMENT.len()) };
        for part in said.trim().trim_matches(['"', '\'']).split(';') {
            found.extend(acknowledgement(part.trim(), &place));
        }
    }
    found
}

/// The acknowledgements of an object as an environment applies it: beside the object, in the kustomizations over it, or patched in.
#[must_use]
pub fn of_rendering(object: &Object<'_>, rendering: &Rendering<'_>, context: &Context<'_>) -> Vec<Evidence> {
    let mut found = acknowledgements(object.file, &object.bytes);
    for layer in &rendering.environment.layers {
        if let Ok(file) = context.file(&layer.path) {
            found.extend(acknowledgements(&file, &(0..file.text.len())));
        }
    }
    if let Some(said) = rendering.item.at(&["metadata", "annotations", ACKNOWLEDGEMENT])
        && said.source.path != object.file.path
        && let Some(text) = said.text()
    {
        found.extend(text.split(';').filter_map(|part| acknowledgement(part.trim(), &said.place())));
    }
    found
}

fn acknowledgement(text: &str, place: &Place) -> Option<Evidence> {
    let (rule, reference) = text.split_once(char::is_whitespace)?;
    let reference = reference.trim();
    let is_rule = rule.strip_prefix("MV").is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
    if !is_rule || reference.is_empty() {
        return None;
    }
    let words: Arc<str> = format!("{rule} acknowledged: {reference}").into();
    Some(Evidence { kind: EvidenceKind::Acknowledged { rule: rule.into(), reference: reference.into() }, text: words, place: Some(place.clone()) })
}

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
            kind: EvidenceKind::GuardedUpgrade { to: version.into() },
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
    use crate::model::place::{Fact, Origin};

    #[test]
    fn annotations_and_comments_acknowledge_rules() {
        let text = "a: 1\n---\n# guard.milvus-guard.dev/ack: MV210 backup-2026-11\nmetadata:\n  annotations:\n    guard.milvus-guard.dev/ack: \"MV201 OPS-1; MV206 OPS-2\"\n    guard.milvus-guard.dev/ack2: MV1\n# guard.milvus-guard.dev/ack: MV202\n";
        let file = SourceFile::new("a.yaml".into(), text.into());
        let found = acknowledgements(&file, &(5..text.len()));
        let texts: Vec<&str> = found.iter().map(|e| &*e.text).collect();
        assert_eq!(texts, ["MV210 acknowledged: backup-2026-11", "MV201 acknowledged: OPS-1", "MV206 acknowledged: OPS-2"]);
        assert_eq!(found[0].place.as_ref().unwrap().to_string(), "a.yaml:3:3");
    }

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
