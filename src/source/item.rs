//! YAML nodes that know their file, so that patches and values from other files can be laid over each other without losing places.

use std::sync::Arc;

use super::SourceFile;
use super::convert::{Written, to_value};
use crate::document::template::{is_bare_variable, nothing_sets};
use crate::document::yaml::{self, Kind, Limits, Shape, Shaped, Span, Style};
use crate::model::declaration::{NotChecked, NotCheckedKind};
use crate::model::place::{Fact, Origin, Place, Position};
use crate::model::value::Node;

/// A file's path and text, shared by all of its nodes.
#[derive(Debug)]
pub struct Text {
    /// Path in the tree.
    pub path: Arc<str>,
    /// The file's text.
    pub text: Arc<str>,
}

/// A node and the file it stands in.
#[derive(Debug, Clone)]
pub struct Item {
    /// The file.
    pub source: Arc<Text>,
    /// Where in the file.
    pub span: Span,
    /// What it is.
    pub body: Body,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Body {
    /// A scalar; always [`Kind::Scalar`].
    Scalar(Kind),
    /// A sequence.
    Sequence(Vec<Item>),
    /// A mapping, in source order.
    Mapping(Vec<(Item, Item)>),
}

impl Shaped for Item {
    fn shape(&self) -> Shape<'_, Self> {
        match &self.body {
            Body::Scalar(scalar) => Shape::Scalar(scalar),
            Body::Sequence(items) => Shape::Sequence(items),
            Body::Mapping(entries) => Shape::Mapping(entries),
        }
    }
}

impl Written for Item {
    fn place(&self, _: &Arc<str>) -> Place {
        self.place()
    }
}

/// Replaces template expressions by what they stand for.
pub trait Expander {
    /// The text with all of its expressions replaced; `None` where one of them is not known.
    fn expand(&self, text: &str) -> Option<String>;

    /// Where the value is written, for a text that is nothing but one expression.
    fn written_at(&self, _text: &str) -> Option<(Arc<Text>, Span)> {
        None
    }
}

impl<F: Fn(&str) -> Option<String>> Expander for F {
    fn expand(&self, text: &str) -> Option<String> {
        self(text)
    }
}

impl Item {
    /// A node of a file.
    #[must_use]
    pub fn of_file(file: &SourceFile, node: &yaml::Node) -> Self {
        Self::new(&Arc::new(Text { path: file.path.clone(), text: file.text.clone() }), node)
    }

    /// A node of a text.
    #[must_use]
    pub fn new(source: &Arc<Text>, node: &yaml::Node) -> Self {
        let body = match &node.kind {
            Kind::Scalar { .. } => Body::Scalar(node.kind.clone()),
            Kind::Sequence(items) => Body::Sequence(items.iter().map(|item| Self::new(source, item)).collect()),
            Kind::Mapping(entries) => Body::Mapping(entries.iter().map(|(key, value)| (Self::new(source, key), Self::new(source, value))).collect()),
        };
        Self { source: Arc::clone(source), span: node.span, body }
    }

    /// A scalar text with the place of another node.
    #[must_use]
    pub fn scalar(like: &Self, text: &str) -> Self {
        let kind = Kind::Scalar { text: text.into(), style: Style::Quoted, tag: None, templated: false };
        Self { source: Arc::clone(&like.source), span: like.span, body: Body::Scalar(kind) }
    }

    /// A mapping of one entry with the place of the value.
    #[must_use]
    pub fn mapping_of(key: &str, value: Self) -> Self {
        let key = Self::scalar(&value, key);
        Self { source: Arc::clone(&value.source), span: value.span, body: Body::Mapping(vec![(key, value)]) }
    }

    /// The same node as plain YAML, its file forgotten.
    #[must_use]
    pub fn to_yaml(&self) -> yaml::Node {
        let kind = match &self.body {
            Body::Scalar(kind) => kind.clone(),
            Body::Sequence(items) => Kind::Sequence(items.iter().map(Self::to_yaml).collect()),
            Body::Mapping(entries) => Kind::Mapping(entries.iter().map(|(key, value)| (key.to_yaml(), value.to_yaml())).collect()),
        };
        yaml::Node { span: self.span, kind }
    }

    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        let position = |point: yaml::Point| Position { line: point.line, column: point.column };
        Place { file: self.source.path.clone(), start: position(self.span.start), end: position(self.span.end) }
    }

    /// The value of a key of a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(k, _)| k.text() == Some(key)).map(|(_, value)| value)
    }

    /// The value at a path of mapping keys.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The text of a scalar that is not templated.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.body {
            Body::Scalar(Kind::Scalar { text, templated: false, .. }) => Some(text),
            _ => None,
        }
    }

    /// The text of a scalar, templated or not.
    #[must_use]
    pub fn raw_text(&self) -> Option<&str> {
        match &self.body {
            Body::Scalar(Kind::Scalar { text, .. }) => Some(text),
            _ => None,
        }
    }

    /// The text at a path, if it is a scalar that is not templated.
    #[must_use]
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).and_then(Self::text)
    }

    /// Whether a switch at a path is on.
    #[must_use]
    pub fn is_true_at(&self, path: &[&str]) -> bool {
        self.text_at(path).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// The items of a sequence; none for anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.body {
            Body::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The entries of a mapping; none for anything else.
    #[must_use]
    pub fn entries(&self) -> &[(Self, Self)] {
        match &self.body {
            Body::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// Whether it is a scalar with a template expression in it.
    #[must_use]
    pub fn is_templated(&self) -> bool {
        matches!(self.body, Body::Scalar(Kind::Scalar { templated: true, .. }))
    }

    /// Whether it is a plain `null`, `~` or nothing at all.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.body, Body::Scalar(Kind::Scalar { text, style: Style::Plain, templated: false, .. }) if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Whether it is a mapping.
    #[must_use]
    pub fn is_mapping(&self) -> bool {
        matches!(self.body, Body::Mapping(_))
    }

    /// A scalar as a fact; `null` and the empty text count as not said.
    #[must_use]
    pub fn fact(&self) -> Fact<Arc<str>> {
        let origin = Origin::At(self.place());
        if self.is_null() {
            return Fact::Absent;
        }
        match &self.body {
            Body::Scalar(Kind::Scalar { text, templated: true, .. }) if is_bare_variable(text) => Fact::Unknown(nothing_sets(&shorten(text)).into(), origin),
            Body::Scalar(Kind::Scalar { text, templated: true, .. }) => Fact::Unknown(format!("it is templated: {}", shorten(text)).into(), origin),
            Body::Scalar(Kind::Scalar { text, .. }) if text.is_empty() => Fact::Absent,
            Body::Scalar(Kind::Scalar { text, .. }) => Fact::Known(text.trim().into(), origin),
            _ => Fact::Unknown("it is not a text".into(), origin),
        }
    }

    /// The scalar at a path as a fact.
    #[must_use]
    pub fn fact_at(&self, path: &[&str]) -> Fact<Arc<str>> {
        self.at(path).map_or(Fact::Absent, Self::fact)
    }

    /// The YAML inside a scalar (`values: |`), with places where the scalar is a literal block, else with the scalar's own place throughout.
    ///
    /// # Errors
    /// The gap, where it is not YAML.
    pub fn embedded(&self, expand: &dyn Expander) -> Result<Option<Self>, NotChecked> {
        let Body::Scalar(kind @ Kind::Scalar { text, .. }) = &self.body else {
            return Ok(None);
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let node = yaml::Node { span: self.span, kind: kind.clone() };
        let (document, has_places) = match yaml::parse_embedded(&self.source.text, &node, &Limits::default()) {
            Some(document) => (Some(document), true),
            None => (yaml::parse_stream(unquoted(kind).as_deref().unwrap_or(text), &Limits::default()).into_iter().next(), false),
        };
        match document {
            None => Ok(None),
            Some(Ok(document)) => {
                let mut item = Self::new(&self.source, &document.root);
                if !has_places {
                    item.set_span(self.span);
                }
                Ok(Some(item.expanded(expand)))
            }
            Some(Err(broken)) => {
                let mut place = self.place();
                if has_places {
                    place.start = Position { line: broken.at.line, column: broken.at.column };
                    place.end = place.start;
                }
                let kind = if broken.limit { NotCheckedKind::LimitsExceeded } else { NotCheckedKind::NotRead };
                Err(NotChecked::at(
                    place,
                    kind,
                    &format!("the YAML in this block cannot be read: {}; correct it, or keep the values as a mapping", broken.reason),
                ))
            }
        }
    }

    fn set_span(&mut self, span: Span) {
        self.span = span;
        match &mut self.body {
            Body::Scalar(_) => {}
            Body::Sequence(items) => items.iter_mut().for_each(|item| item.set_span(span)),
            Body::Mapping(entries) => {
                for (key, value) in entries {
                    key.set_span(span);
                    value.set_span(span);
                }
            }
        }
    }

    /// The same node with known template expressions replaced. Literal blocks stay as they are: [`Item::embedded`] expands their content.
    #[must_use]
    pub fn expanded(mut self, expand: &dyn Expander) -> Self {
        self.expand_in_place(expand);
        self
    }

    fn expand_in_place(&mut self, expand: &dyn Expander) {
        match &mut self.body {
            Body::Scalar(kind) => {
                if let Kind::Scalar { templated: true, style, .. } = kind
                    && *style != Style::Literal
                    && let Some(written) = unquoted(kind)
                    && let Some(text) = expand.expand(&written)
                    && let Kind::Scalar { text: into, templated, .. } = kind
                {
                    *into = text.into();
                    *templated = false;
                    if let Some((source, span)) = expand.written_at(&written) {
                        self.source = source;
                        self.span = span;
                    }
                }
            }
            Body::Sequence(items) => items.iter_mut().for_each(|item| item.expand_in_place(expand)),
            Body::Mapping(entries) => {
                for (key, value) in entries {
                    key.expand_in_place(expand);
                    value.expand_in_place(expand);
                }
            }
        }
    }

    /// How many nodes it has.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.body {
            Body::Scalar(_) => 1,
            Body::Sequence(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Body::Mapping(entries) => 1 + entries.iter().map(|(_, value)| 1 + value.count()).sum::<usize>(),
        }
    }

    /// Whether a template expression stands anywhere in it.
    #[must_use]
    pub fn has_templates(&self) -> bool {
        match &self.body {
            Body::Scalar(_) => self.is_templated(),
            Body::Sequence(items) => items.iter().any(Self::has_templates),
            Body::Mapping(entries) => entries.iter().any(|(key, value)| key.has_templates() || value.has_templates()),
        }
    }

    /// The node as Helm values; places in several files are kept.
    #[must_use]
    pub fn to_value(&self) -> Node {
        to_value(&self.source.path, self)
    }

    /// A gap at this place.
    #[must_use]
    pub fn partly(&self, reason: &str) -> NotChecked {
        NotChecked::at(self.place(), NotCheckedKind::PartlyChecked, reason)
    }
}

/// Leaves templates alone.
#[must_use]
pub fn no_expansion(_: &str) -> Option<String> {
    None
}

/// The text of a scalar. A templated scalar keeps its source text: its quotes are taken off here.
fn unquoted(kind: &Kind) -> Option<String> {
    let Kind::Scalar { text, style, templated, .. } = kind else {
        return None;
    };
    if !*templated || *style != Style::Quoted {
        return Some(text.to_string());
    }
    if let Some(inner) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        return Some(inner.replace("''", "'"));
    }
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'))?;
    // Within an expression the quotes of its own strings are escaped: `"{{ index . \"x\" }}"`.
    Some(inner.replace("\\\"", "\"").replace("\\\\", "\\"))
}

/// A text for a message: one line, not too long.
fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    let short: String = line.chars().take(60).collect();
    if short.len() < text.trim().len() { format!("{short}...") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Item {
        let file = SourceFile::new("a.yaml".into(), text.into());
        Item::of_file(&file, &file.documents()[0].as_ref().unwrap().root)
    }

    #[test]
    fn quoted_templates_are_expanded_without_their_quotes() {
        let expand = |text: &str| text.contains("{{name}}").then(|| text.replace("{{name}}", "prod"));
        let item = item("a: '{{name}}-milvus'\nb: \"{{ other }}\"\n").expanded(&expand);
        assert_eq!(item.text_at(&["a"]), Some("prod-milvus"));
        assert!(item.get("b").unwrap().is_templated());
    }

    #[test]
    fn embedded_yaml_has_places_and_is_expanded() {
        let expand = |text: &str| Some(text.replace("{{tag}}", "v2.5.16"));
        let item = item("values: |\n  image:\n    all:\n      tag: {{tag}}\n");
        let values = item.get("values").unwrap().embedded(&expand).unwrap().unwrap();
        let tag = values.at(&["image", "all", "tag"]).unwrap();
        assert_eq!(tag.text(), Some("v2.5.16"));
        assert_eq!((tag.place().start.line, tag.place().start.column), (4, 12));
    }

    #[test]
    fn broken_embedded_yaml_is_a_gap_with_its_place() {
        let gap = item("values: |\n  a: [1\n  b: 2\n").get("values").unwrap().embedded(&no_expansion).unwrap_err();
        assert_eq!(gap.kind, NotCheckedKind::NotRead);
        assert!(gap.place.unwrap().start.line >= 2);
    }
}
