//! The object of a YAML file that declares a release: its name, and edits of its settings.

use std::sync::Arc;

use milvus_guard::document::yaml::{Document, Limits, Node, Span, parse_stream};
use milvus_guard::model::place::{Place, Position};

/// The document of a text that holds a place.
pub(super) fn document_at(text: &str, place: &Place) -> Option<Document> {
    let documents = parse_stream(text, &Limits::default());
    documents.into_iter().filter_map(Result::ok).find(|document| {
        let span = &document.root.span;
        span.start.line <= place.start.line && place.start.line <= span.end.line
    })
}

/// Name and namespace of the object that declares a release, where the file is one of objects.
pub(super) fn name(text: &str, place: &Place) -> Option<(Arc<str>, Option<Arc<str>>)> {
    let document = document_at(text, place)?;
    document.root.get("kind")?;
    let name = document.root.text_at(&["metadata", "name"])?;
    Some((name.into(), document.root.text_at(&["metadata", "namespace"]).map(Into::into)))
}

/// What an edit of an object does with a setting.
pub(super) enum Setting<'n> {
    /// It stands there: its value can be replaced.
    Said(&'n Node),
    /// It is not there: it goes before the first key of this mapping, with these tables around it.
    Missing(&'n Node, &'n [&'n str]),
}

/// Looks a setting up, as far down as tables are there.
pub(super) fn setting<'n>(root: &'n Node, path: &'n [&'n str]) -> Option<Setting<'n>> {
    let mut node = root;
    for (depth, key) in path.iter().enumerate() {
        match node.get(key) {
            Some(below) => node = below,
            None => return node.entries().first().map(|_| Setting::Missing(node, path.get(depth..).unwrap_or_default())),
        }
    }
    Some(Setting::Said(node))
}

/// The place of a span.
pub(super) fn place(file: &Arc<str>, span: &Span) -> Place {
    let position = |point: &milvus_guard::document::yaml::Point| Position { line: point.line, column: point.column };
    Place { file: Arc::clone(file), start: position(&span.start), end: position(&span.end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str =
        "kind: HelmRepository\nmetadata: {name: a}\n---\nkind: HelmRelease\nmetadata:\n  name: milvus\n  namespace: vectors\nspec:\n  timeout: 5m\n";

    fn at(line: u32) -> Place {
        let start = Position { line, column: 1 };
        Place { file: "a.yaml".into(), start, end: start }
    }

    #[test]
    fn the_object_at_a_place_is_named() {
        assert_eq!(name(TWO, &at(1)).unwrap(), ("a".into(), None));
        assert_eq!(name(TWO, &at(4)).unwrap(), ("milvus".into(), Some("vectors".into())));
        assert_eq!(name("a: 1\n", &at(1)), None);
    }

    #[test]
    fn a_setting_is_found_or_the_table_that_it_belongs_to() {
        let root = document_at(TWO, &at(4)).unwrap().root;
        assert!(matches!(setting(&root, &["spec", "timeout"]), Some(Setting::Said(node)) if node.text() == Some("5m")));
        assert!(matches!(setting(&root, &["spec", "upgrade", "timeout"]), Some(Setting::Missing(_, ["upgrade", "timeout"]))));
        assert!(setting(&root, &["spec", "timeout", "x"]).is_none());
    }
}
