//! Values files as layers: read from the tree, encrypted parts unknown, what cannot be read said once.

use std::sync::Arc;

use super::context::Context;
use super::convert::{as_helm_reads, to_values_table};
use super::{ReadError, SourceFile};
use crate::model::declaration::{Layer, NotChecked, NotCheckedKind};
use crate::model::place::Place;
use crate::model::value::{Node, Value};

/// A values file as a layer, with the gap if it could not be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The layer; absent for an empty file.
    pub layer: Option<Layer>,
    /// Why it is unseen, if it is.
    pub gap: Option<NotChecked>,
}

/// Reads a values file that is named at a place.
#[must_use]
pub fn read(context: &Context<'_>, path: &str, named_at: &Place) -> Read {
    match context.file(path) {
        Ok(file) => of_file(&file),
        Err(error) => {
            let reason = match error {
                ReadError::Missing => format!("values file {path} is not in the tree: what it sets is not checked"),
                error => format!("values file {path} cannot be read ({error}): what it sets is not checked"),
            };
            unseen(path, named_at, &reason, NotCheckedKind::PartlyChecked)
        }
    }
}

/// A file of values as a layer. Helm reads its first document only.
#[must_use]
pub fn of_file(file: &SourceFile) -> Read {
    let whole = Place::file_start(&file.path);
    match file.documents().first() {
        None => Read { layer: None, gap: None },
        Some(Err(broken)) => {
            let kind = if broken.limit { NotCheckedKind::LimitsExceeded } else { NotCheckedKind::NotRead };
            let mut at = whole;
            at.start = crate::model::place::Position { line: broken.at.line, column: broken.at.column };
            at.end = at.start;
            unseen(&file.path, &at, &format!("the values cannot be read: {}; correct the YAML", broken.reason), kind)
        }
        Some(Ok(document)) => match as_helm_reads(&file.path, &file.text, document).and_then(|()| to_values_table(&file.path, &document.root)) {
            Ok(mut values) => {
                if document.root.at(&["sops", "mac"]).is_some() {
                    hide_encrypted(&mut values);
                }
                Read { layer: Some(Layer::Table { values, what: format!("values file {}", file.path).into() }), gap: None }
            }
            Err(refused) => unseen(&file.path, &refused.place, &format!("Helm refuses these values: {}", refused.reason), NotCheckedKind::NotRead),
        },
    }
}

fn unseen(path: &str, at: &Place, reason: &str, kind: NotCheckedKind) -> Read {
    Read { layer: Some(Layer::Unseen { what: format!("values file {path}").into(), place: at.clone() }), gap: Some(NotChecked::at(at.clone(), kind, reason)) }
}

/// Texts that SOPS encrypted are unknown.
fn hide_encrypted(node: &mut Node) {
    match &mut node.value {
        Value::String(text) if text.starts_with("ENC[") => node.value = Value::Unknown("it is encrypted by SOPS".into()),
        Value::List(items) => Arc::make_mut(items).iter_mut().for_each(hide_encrypted),
        Value::Table(table) => {
            let table = Arc::make_mut(table);
            table.entries.remove("sops");
            table.entries.values_mut().for_each(|entry| hide_encrypted(&mut entry.node));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Lookup;

    #[test]
    fn encrypted_values_are_unknown_and_the_rest_is_read() {
        let text = "minio:\n  accessKey: ENC[AES256_GCM,data:x]\n  mode: standalone\nsops:\n  mac: ENC[x]\n";
        let Some(Layer::Table { values, .. }) = of_file(&SourceFile::new("s.yaml".into(), text.into())).layer else { panic!("a table") };
        assert!(matches!(values.lookup("minio.accessKey"), Lookup::Unknown(_)));
        assert!(matches!(values.lookup("minio.mode"), Lookup::Found(_)));
        assert!(matches!(values.lookup("sops"), Lookup::Absent));
    }

    #[test]
    fn broken_values_are_unseen_with_their_place() {
        let read = of_file(&SourceFile::new("v.yaml".into(), "a: 1\nb: [\n".into()));
        assert!(matches!(read.layer, Some(Layer::Unseen { .. })));
        assert_eq!(read.gap.unwrap().kind, NotCheckedKind::NotRead);
    }
}
