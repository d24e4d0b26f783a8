//! From YAML nodes to Helm values: types as Helm's decoder gives them, every node with its place, templates as unknown.

use std::ops::Range;
use std::sync::Arc;

use crate::document::scalar::{self, Scalar};
use crate::document::template::{is_bare_variable, is_variable, nothing_sets};
use crate::document::yaml::{self, Broken, Document, Kind, Limits, Node as YamlNode, Point, Shape, Shaped, Span, Style, parse_verbatim};
use crate::model::entries::Entries;
use crate::model::helm::HelmMajor;
use crate::model::merge::merge_over;
use crate::model::place::{Origin, Place, Position};
use crate::model::value::{Entry, Node, Table, Value};

/// Something for which Helm refuses the whole file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct Refused {
    /// Where it stands.
    pub place: Place,
    /// Why, in words.
    pub reason: String,
}

/// The place of a span.
#[must_use]
pub fn place(file: &Arc<str>, span: &Span) -> Place {
    Place {
        file: Arc::clone(file),
        start: Position { line: span.start.line, column: span.start.column },
        end: Position { line: span.end.line, column: span.end.column },
    }
}

/// A node whose place in its file is known.
pub trait Written: Shaped {
    /// Where it stands; `file` is the file of nodes that do not know it themselves.
    fn place(&self, file: &Arc<str>) -> Place;
}

impl Written for YamlNode {
    fn place(&self, file: &Arc<str>) -> Place {
        place(file, &self.span)
    }
}

/// A YAML node as a value. What Helm would refuse is unknown.
#[must_use]
pub fn to_value<N: Written>(file: &Arc<str>, node: &N) -> Node {
    Converter { file, refused: None, verbatim: false }.node(node)
}

/// A YAML node as a value.
///
/// # Errors
/// With the first thing for which Helm refuses the file: a key that is null or a collection, a tag that does not fit, a number that is not finite.
pub fn to_exact_value(file: &Arc<str>, node: &YamlNode) -> Result<Node, Refused> {
    let mut converter = Converter { file, refused: None, verbatim: false };
    let value = converter.node(node);
    converter.refused.map_or(Ok(value), Err)
}

/// The root of a values file: a table, or nothing at all, which is an empty one.
///
/// # Errors
/// As [`to_exact_value`], and when the root is neither.
pub fn to_values_table(file: &Arc<str>, root: &YamlNode) -> Result<Node, Refused> {
    as_table(file, root, to_exact_value(file, root)?)
}

/// As [`to_values_table`], for a file that is handed to Helm as it is (read with [`crate::document::yaml::parse_verbatim`]): `$TAG` is a text.
///
/// # Errors
/// As [`to_values_table`].
pub fn to_verbatim_table(file: &Arc<str>, root: &YamlNode) -> Result<Node, Refused> {
    let mut converter = Converter { file, refused: None, verbatim: true };
    let node = converter.node(root);
    as_table(file, root, converter.refused.map_or(Ok(node), Err)?)
}

fn as_table(file: &Arc<str>, root: &YamlNode, mut node: Node) -> Result<Node, Refused> {
    match &node.value {
        Value::Table(_) => Ok(node),
        Value::Null => {
            node.value = Value::Table(Arc::default());
            Ok(node)
        }
        Value::Unknown(reason) => {
            node.value = Value::Table(Arc::new(Table { rest_unknown: Some(Arc::clone(reason)), ..Table::default() }));
            Ok(node)
        }
        _ => Err(Refused { place: place(file, &root.span), reason: "values are not a table".into() }),
    }
}

/// A values file as Helm reads it: Helm 3 takes the first document and leaves the rest, Helm 4 merges all of them. A file without content is an empty table.
/// Templates and variables are unknown: the file is filled in before Helm sees it.
///
/// # Errors
/// When Helm refuses the file; where the YAML itself is broken, with the place where reading stopped.
pub fn values_of_file(file: &Arc<str>, text: &str, documents: &[Result<Document, Broken>], helm: HelmMajor) -> Result<Node, Refused> {
    merge_documents(file, text, documents, helm, to_values_table)
}

/// As [`values_of_file`], for a file that is handed to Helm as it is (see [`to_verbatim_table`]).
///
/// # Errors
/// As [`values_of_file`].
pub fn verbatim_values_of_file(file: &Arc<str>, text: &str, helm: HelmMajor) -> Result<Node, Refused> {
    merge_documents(file, text, &parse_verbatim(text, &Limits::default()), helm, to_verbatim_table)
}

type ReadRoot = fn(&Arc<str>, &YamlNode) -> Result<Node, Refused>;

fn merge_documents(file: &Arc<str>, text: &str, documents: &[Result<Document, Broken>], helm: HelmMajor, read_root: ReadRoot) -> Result<Node, Refused> {
    let mut values = Node::empty_table(Origin::At(Place::file_start(file)));
    let read = |document: &Result<Document, Broken>| match document {
        Ok(document) => {
            as_helm_reads(file, text, document)?;
            let nothing = is_empty_flow_key(&document.root);
            let root = if helm == HelmMajor::Three { without_last_line_end(text, document) } else { None };
            if nothing { Ok(Node::empty_table(Origin::At(Place::file_start(file)))) } else { read_root(file, root.as_ref().unwrap_or(&document.root)) }
        }
        Err(broken) => Err(Refused { place: place(file, &Span { start: broken.at, end: broken.at }), reason: broken.reason.clone() }),
    };
    match helm {
        HelmMajor::Three => match documents.first() {
            Some(document) if !follows_an_empty_document(text, document) => read(document),
            _ => Ok(values),
        },
        HelmMajor::Four => {
            if let Some(at) = wrong_separator(text) {
                return Err(Refused { place: place(file, &Span { start: at, end: at }), reason: "Helm 4 takes nothing but a comment behind `---`".into() });
            }
            for document in documents {
                let above = read(document)?;
                if let (Value::Table(below), Value::Table(above)) = (&mut values.value, &above.value) {
                    merge_over(Arc::make_mut(below), above);
                }
            }
            Ok(values)
        }
    }
}

/// What Helm's parser refuses and this one reads.
///
/// # Errors
/// With the first line that begins with a tab where a block expects its indent.
pub fn as_helm_reads(file: &Arc<str>, text: &str, document: &Document) -> Result<(), Refused> {
    let body = text.get(document.bytes.clone()).unwrap_or_default();
    if !body.starts_with('\t') && !body.contains("\n\t") {
        return Ok(());
    }
    let mut free = Vec::new();
    free_of_indent(text, &document.root, &mut free);
    let mut at = document.bytes.start;
    for line in body.split_inclusive('\n') {
        if line.starts_with('\t') && !free.iter().any(|bytes| bytes.contains(&at)) {
            let place = place(file, &Span { start: point(text, at), end: point(text, at) });
            return Err(Refused { place, reason: "a line begins with a tab; YAML is indented with spaces".into() });
        }
        at += line.len();
    }
    Ok(())
}

/// The bytes of quoted texts and of collections in brackets, in which indents do not count.
fn free_of_indent(text: &str, node: &YamlNode, found: &mut Vec<Range<usize>>) {
    let bytes = node.span.start.byte..node.span.end.byte;
    match &node.kind {
        Kind::Scalar { style: Style::Quoted, .. } => found.push(bytes),
        Kind::Scalar { .. } => {}
        _ if matches!(text.as_bytes().get(bytes.start), Some(b'{' | b'[')) => found.push(bytes),
        Kind::Sequence(items) => items.iter().for_each(|item| free_of_indent(text, item, found)),
        Kind::Mapping(entries) => entries.iter().for_each(|(key, value)| [key, value].iter().for_each(|node| free_of_indent(text, node, found))),
    }
}

fn point(text: &str, byte: usize) -> Point {
    let lines = memchr::memchr_iter(b'\n', text.as_bytes().get(..byte).unwrap_or_default()).count();
    Point { byte, line: u32::try_from(lines + 1).unwrap_or(u32::MAX), column: 1 }
}

/// `{}: 1` is to Helm's parser an empty table with which the document ends.
fn is_empty_flow_key(root: &YamlNode) -> bool {
    root.entries().first().is_some_and(|(key, _)| matches!(&key.kind, Kind::Mapping(entries) if entries.is_empty()))
}

/// A line that begins with `---` and goes on with anything but a comment: Helm 4 splits a file into documents before it parses them.
fn wrong_separator(text: &str) -> Option<Point> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let rest = line.trim_start_matches('\u{feff}').strip_prefix("---").map(str::trim);
        if rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('#')) {
            return Some(point(text, at));
        }
        at += line.len();
    }
    None
}

/// The document as Helm 3 reads it where the file ends in a block scalar without a line end: the text has none either. Helm 4 puts one there.
fn without_last_line_end(text: &str, document: &Document) -> Option<YamlNode> {
    if text.ends_with('\n') || document.bytes.end != text.len() {
        return None;
    }
    let last = last_scalar(&document.root);
    let before = text.get(..last.span.start.byte)?;
    let first_line = text.get(before.rfind('\n').map_or(0, |at| at + 1)..)?.lines().next()?;
    let last_line = text.rsplit('\n').next()?;
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let is_in_block = indent(last_line) >= indent(first_line) && !last_line.trim().is_empty();
    let Kind::Scalar { text: value, style: Style::Literal | Style::Folded, templated: false, .. } = &last.kind else { return None };
    let shorter: Arc<str> = value.strip_suffix('\n').filter(|_| is_in_block)?.into();
    let mut root = document.root.clone();
    set_last_scalar(&mut root, shorter);
    Some(root)
}

/// The scalar that stands last in the text.
fn last_scalar(node: &YamlNode) -> &YamlNode {
    let inner = match &node.kind {
        Kind::Mapping(entries) => entries.iter().map(|(_, value)| value).max_by_key(|value| value.span.end.byte),
        Kind::Sequence(items) => items.last(),
        Kind::Scalar { .. } => None,
    };
    inner.map_or(node, last_scalar)
}

fn set_last_scalar(node: &mut YamlNode, to: Arc<str>) {
    let inner = match &mut node.kind {
        Kind::Mapping(entries) => entries.iter_mut().map(|(_, value)| value).max_by_key(|value| value.span.end.byte),
        Kind::Sequence(items) => items.last_mut(),
        Kind::Scalar { text, .. } => {
            *text = to;
            return;
        }
    };
    if let Some(inner) = inner {
        set_last_scalar(inner, to);
    }
}

/// Whether an explicit document without content (`---` twice) stands before this one: that is the one that Helm 3 takes.
fn follows_an_empty_document(text: &str, document: &Result<Document, Broken>) -> bool {
    let (Ok(Document { bytes, .. }) | Err(Broken { bytes, .. })) = document;
    let before = text.get(..bytes.start).unwrap_or_default();
    before.trim_start_matches('\u{feff}').lines().any(|line| line.strip_prefix("---").is_some_and(|rest| rest.chars().next().is_none_or(char::is_whitespace)))
}

struct Converter<'f> {
    file: &'f Arc<str>,
    refused: Option<Refused>,
    /// Nothing fills in variables any more.
    verbatim: bool,
}

impl Converter<'_> {
    fn node<N: Written>(&mut self, node: &N) -> Node {
        let value = match node.shape() {
            Shape::Scalar(scalar) => self.scalar(node, scalar),
            Shape::Sequence(items) => Value::List(Arc::new(items.iter().map(|item| self.node(item)).collect())),
            Shape::Mapping(entries) => Value::Table(Arc::new(self.table(entries))),
        };
        Node { value, origin: self.origin(node) }
    }

    fn scalar<N: Written>(&mut self, node: &N, scalar: &Kind) -> Value {
        let Kind::Scalar { text, style, tag, templated } = scalar else { return Value::Null };
        if *templated && is_bare_variable(text) {
            return Value::Unknown(nothing_sets(shorten(text)).into());
        }
        if *templated {
            return Value::Unknown(format!("`{}` is a template expression", shorten(text)).into());
        }
        if !self.verbatim && is_variable(text) {
            return Value::Unknown(nothing_sets(shorten(text)).into());
        }
        match scalar::resolve(text, *style, tag.as_deref()) {
            Ok(Scalar::Text(_)) => Value::String(Arc::clone(text)),
            Ok(scalar) => to_model(scalar),
            Err(reason) => {
                self.refuse(node, reason.clone());
                Value::Unknown(reason.into())
            }
        }
    }

    fn table<N: Written>(&mut self, entries: &[(N, N)]) -> Table {
        let mut table = Table { entries: Entries::with_capacity(entries.len()), rest_unknown: None };
        // From the end, since the last of several equal keys stands: the others are only looked at for what the decoder refuses anyhow.
        for (key, value) in entries.iter().rev() {
            let name = match key.shape() {
                Shape::Scalar(name) if is_templated(name) || (is_merge_key(name) && matches!(value.shape(), Shape::Scalar(value) if is_templated(value))) => {
                    table.rest_unknown = Some("a key is a template expression".into());
                    continue;
                }
                Shape::Scalar(name) => scalar::key_of(name),
                Shape::Sequence(_) | Shape::Mapping(_) => Err("a key is a collection".into()),
            };
            match name {
                Ok(text) if !table.entries.contains_key(&text) => {
                    let entry = Entry { key: self.origin(key), node: self.node(value) };
                    table.entries.insert(text, entry);
                }
                Ok(_) if yaml::is_refused(value) => self.refuse(value, "what stands here cannot be what its tag says, or has a collection as a key".into()),
                Ok(_) => {}
                Err(reason) => self.refuse(key, reason),
            }
        }
        table
    }

    fn origin<N: Written>(&self, node: &N) -> Origin {
        Origin::At(node.place(self.file))
    }

    fn refuse<N: Written>(&mut self, node: &N, reason: String) {
        let place = node.place(self.file);
        if self.refused.as_ref().is_none_or(|first| place < first.place) {
            self.refused = Some(Refused { place, reason });
        }
    }
}

fn is_templated(scalar: &Kind) -> bool {
    matches!(scalar, Kind::Scalar { templated: true, .. })
}

fn is_merge_key(scalar: &Kind) -> bool {
    matches!(scalar, Kind::Scalar { text, style: Style::Plain, .. } if &**text == "<<")
}

/// Numbers of files pass through a double, as all of JSON does in Go.
fn to_model(scalar: Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::Bool(value),
        #[expect(clippy::cast_precision_loss, reason = "as Helm does")]
        Scalar::Int(value) => Value::number(value as f64),
        #[expect(clippy::cast_precision_loss, reason = "as Helm does")]
        Scalar::Uint(value) => Value::number(value as f64),
        Scalar::Float(value) => Value::number(value),
        Scalar::Text(text) => Value::String(text.into()),
        Scalar::Decoded(text) => Value::String(text.into()),
    }
}

/// Enough of an expression to recognise it.
fn shorten(text: &str) -> &str {
    text.char_indices().nth(60).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::yaml::parse_stream;
    use crate::model::value::Lookup;

    fn read(source: &str) -> Node {
        to_value(&"values.yaml".into(), &parse_stream(source, &Limits::default()).remove(0).unwrap().root)
    }

    #[test]
    fn every_leaf_knows_its_place() {
        let values = read("image:\n  all:\n    tag: v2.5.16\n");
        let entry = values.lookup("image.all.tag").found().unwrap();
        assert_eq!(entry.node.value.as_str(), Some("v2.5.16"));
        assert_eq!(entry.node.origin.place().unwrap().to_string(), "values.yaml:3:10");
        assert_eq!(entry.key.place().unwrap().to_string(), "values.yaml:3:5");
    }

    #[test]
    fn scalars_are_typed_as_helm_types_them() {
        let values = read("on: yes\nmode: 0644\nbig: 9007199254740993\nhuge: 1e20\nname: '1'\n");
        assert_eq!(values.lookup("true").found().unwrap().node.value, Value::Bool(true));
        assert_eq!(values.lookup("mode").found().unwrap().node.value, Value::Int(420));
        assert_eq!(values.lookup("big").found().unwrap().node.value, Value::Int(9_007_199_254_740_992));
        assert_eq!(values.lookup("huge").found().unwrap().node.value, Value::Float(1e20));
        assert_eq!(values.lookup("name").found().unwrap().node.value.as_str(), Some("1"));
    }

    #[test]
    fn templates_and_variables_are_unknown() {
        let values = read("tag: {{ .Values.tag }}\nother: ${TAG}\nthird: $TAG\nprice: $5\nm:\n  {{ .key }}: x\n");
        for path in ["tag", "other", "third", "m.anything"] {
            assert!(matches!(values.lookup(path), Lookup::Unknown(_)), "{path}");
        }
        assert_eq!(values.lookup("price").found().unwrap().node.value.as_str(), Some("$5"));
    }

    #[test]
    fn helm_3_takes_the_first_document_and_helm_4_all() {
        let read = |text: &str, helm| {
            let values = values_of_file(&"v.yaml".into(), text, &parse_stream(text, &Limits::default()), helm).unwrap();
            let mut keys = Vec::new();
            values.for_each_leaf(&mut |path, _| keys.push(path.to_owned()));
            keys.join(" ")
        };
        assert_eq!(read("a: 1\n---\nb: 1\n", HelmMajor::Three), "a");
        assert_eq!(read("a: 1\n---\nb: 1\n", HelmMajor::Four), "a b");
        assert_eq!(read("---\n# nothing\n---\nb: 1\n", HelmMajor::Three), "");
        assert_eq!(read("# about\n---\nb: 1\n", HelmMajor::Three), "b");
        assert_eq!(read("", HelmMajor::Three), "");
    }

    #[test]
    fn what_helm_refuses_is_said_with_its_place() {
        let refused = |source: &str| {
            let document = parse_stream(source, &Limits::default()).remove(0).unwrap();
            to_values_table(&"v.yaml".into(), &document.root).unwrap_err().place.to_string()
        };
        assert_eq!(refused("a:\n  ~: 1\n"), "v.yaml:2:3");
        assert_eq!(refused("a: .inf\n"), "v.yaml:1:4");
        assert_eq!(refused("- a\n"), "v.yaml:1:1");
        assert_eq!(refused("[a, b]: 1\n"), "v.yaml:1:1");
    }
}
