//! Parts of a declaration that are filled in by a template or a variable: each release says so once, so that silence never means that they were checked.

use std::sync::Arc;

use crate::model::declaration::{Declaration, Layer, NotChecked, NotCheckedKind};
use crate::model::place::{Fact, Place};
use crate::model::value::Value;

/// Adds a gap for a templated chart version, and one for all templated values.
pub(crate) fn tell(declaration: &mut Declaration) {
    let version = match &declaration.chart.version {
        Fact::Unknown(_, origin) => Some(origin.place().cloned()),
        Fact::Known(..) | Fact::Absent => None,
    };
    if let Some(place) = version {
        add(declaration, place, "the chart version is filled in elsewhere; what depends on it was not checked".into());
    }
    let mut found = Vec::new();
    for layer in &declaration.layers {
        if let Layer::Table { values, .. } = layer {
            values.for_each_leaf(&mut |path, entry| {
                // What comes from a Secret has no place, and is told of by its reader.
                if let (Value::Unknown(_), Some(place)) = (&entry.node.value, entry.node.origin.place()) {
                    found.push((path.to_owned(), place.clone()));
                }
            });
        }
    }
    if let Some((path, place)) = found.first().cloned() {
        let more = match found.len() {
            1 => String::new(),
            number => format!(" and {} more", number - 1),
        };
        add(declaration, Some(place), format!("`{path}`{more} is filled in elsewhere; what depends on it was not checked").into());
    }
}

/// A place that a reader told of already is not told again.
fn add(declaration: &mut Declaration, place: Option<Place>, reason: Arc<str>) {
    if declaration.gaps.iter().any(|gap| gap.place.is_some() && gap.place == place) {
        return;
    }
    let file = place.as_ref().map_or_else(|| Arc::clone(&declaration.path), |place| Arc::clone(&place.file));
    declaration.gaps.push(NotChecked { file, place, reason, kind: NotCheckedKind::PartlyChecked, mentions_milvus: true });
}
