//! YAML as a tree of nodes with spans: anchors, aliases and merge keys resolved, templated scalars marked, one broken document costs only itself.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span as ParserSpan};

use super::scalar;
use super::template::{Masked, mask};

mod json;
mod plain;

/// Nesting of block collections that is read. Readers walk trees recursively on threads with 2 MiB of stack, so depth is bounded where trees are made.
const BLOCK_DEPTH: usize = 80;

/// Nesting of flow collections that is read.
const FLOW_DEPTH: usize = 48;

/// Bounds on what one stream may expand to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Documents in one stream.
    pub documents: usize,
    /// Nodes in one document, aliases expanded.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { documents: 10_000, nodes: 500_000 }
    }
}

/// A point in a text: byte offset, 1-based line, 1-based column in code points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Point {
    /// Byte offset in the source.
    pub byte: usize,
    /// 1-based line.
    pub line: u32,
    /// 1-based column in code points.
    pub column: u32,
}

/// A range of a text; `end` is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First character.
    pub start: Point,
    /// One past the last character.
    pub end: Point,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `text`
    Plain,
    /// `'text'` or `"text"`
    Quoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

/// A node with its span. Aliases are replaced by what they refer to, with the span of the anchor's node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it is written; of a quoted scalar with its quotes.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A scalar: its text after YAML's escapes, not yet typed.
    Scalar {
        /// The text, shared by all that is made of it. Where `templated`, the source text between its ends.
        text: Arc<str>,
        /// How it is written.
        style: Style,
        /// The core-schema suffix of an explicit tag (`str`, `int`, ...), or the tag as written.
        tag: Option<Box<str>>,
        /// A template expression stands in it: its value is not known.
        templated: bool,
    },
    /// A sequence.
    Sequence(Vec<Node>),
    /// A mapping, in source order, merge keys applied; of a key given twice the last entry counts.
    Mapping(Vec<(Node, Node)>),
}

/// A document that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its content; an empty document is a plain empty scalar.
    pub root: Node,
    /// Bytes of the stream that it takes.
    pub bytes: Range<usize>,
}

/// A document that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Why, in words.
    pub reason: String,
    /// Where reading stopped.
    pub at: Point,
    /// Bytes of the stream that it takes.
    pub bytes: Range<usize>,
    /// Whether a bound was exceeded (not an error of the author's YAML).
    pub limit: bool,
}

/// What a node is, however it keeps its parts.
#[derive(Debug)]
pub enum Shape<'n, N> {
    /// A scalar; always [`Kind::Scalar`].
    Scalar(&'n Kind),
    /// A sequence.
    Sequence(&'n [N]),
    /// A mapping, in source order.
    Mapping(&'n [(N, N)]),
}

/// A node of YAML: one of a document, or one that knows its file.
pub trait Shaped: Sized {
    /// What it is.
    fn shape(&self) -> Shape<'_, Self>;
}

impl Shaped for Node {
    fn shape(&self) -> Shape<'_, Self> {
        match &self.kind {
            scalar @ Kind::Scalar { .. } => Shape::Scalar(scalar),
            Kind::Sequence(items) => Shape::Sequence(items),
            Kind::Mapping(entries) => Shape::Mapping(entries),
        }
    }
}

impl Node {
    /// The value of a key of a mapping (compared as text).
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The key and value nodes of a key of a mapping.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<(&Self, &Self)> {
        match &self.kind {
            Kind::Mapping(entries) => entries.iter().find(|(k, _)| k.text() == Some(key)).map(|(k, v)| (k, v)),
            _ => None,
        }
    }

    /// The value at a path of mapping keys.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The text of a scalar that is not templated.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, templated: false, .. } => Some(text),
            _ => None,
        }
    }

    /// The text at a path, if it is a scalar that is not templated.
    #[must_use]
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).and_then(Self::text)
    }

    /// The items of a sequence; none for anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The entries of a mapping; none for anything else.
    #[must_use]
    pub fn entries(&self) -> &[(Self, Self)] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// Whether it is a scalar with a template expression in it.
    #[must_use]
    pub fn is_templated(&self) -> bool {
        matches!(self.kind, Kind::Scalar { templated: true, .. })
    }
}

/// Reads all documents of a stream. A byte order mark is skipped. Documents beyond the limit are one `Broken`.
#[must_use]
pub fn parse_stream(source: &str, limits: &Limits) -> Vec<Result<Document, Broken>> {
    parse_masked(source, &mask(source), limits)
}

/// As [`parse_stream`], for a text that nothing fills in any more: `{{ }}` and `${ }` are what they are in YAML.
#[must_use]
pub fn parse_verbatim(source: &str, limits: &Limits) -> Vec<Result<Document, Broken>> {
    parse_masked(source, &Masked { text: source.into(), ranges: Vec::new() }, limits)
}

fn parse_masked(source: &str, masked: &Masked<'_>, limits: &Limits) -> Vec<Result<Document, Broken>> {
    let mut documents = Vec::new();
    for (bytes, line) in document_ranges(&masked.text) {
        if documents.len() >= limits.documents {
            documents.push(Err(Broken {
                reason: format!("more than {} documents in one file; the rest is not read", limits.documents),
                at: Point { byte: bytes.start, line, column: 1 },
                bytes: bytes.start..source.len(),
                limit: true,
            }));
            break;
        }
        documents.push(parse_document(source, masked, bytes, line, 0, limits));
    }
    documents
}

/// Reads the YAML inside a block scalar (`values: |`), with the places of the outer file. `source` is the text of the outer file.
/// Gives nothing for scalars that are not literal blocks: their text can be parsed with [`parse_stream`], without places.
#[must_use]
pub fn parse_embedded(source: &str, scalar: &Node, limits: &Limits) -> Option<Result<Document, Broken>> {
    let Kind::Scalar { style: Style::Literal, .. } = &scalar.kind else {
        return None;
    };
    // The parser's span of a block scalar begins at its first content; the block begins with that line.
    let base = source.get(..scalar.span.start.byte)?.rfind('\n').map_or(0, |i| i + 1);
    let first_line = scalar.span.start.line;
    let body = source.get(base..scalar.span.end.byte)?;
    let spaces_of = |line: &str| line.bytes().take_while(|byte| *byte == b' ').count();
    let indent = body.lines().filter(|line| !line.trim().is_empty()).map(spaces_of).min()?;
    // The same text with the block's indent taken off each line; columns are put back by `indent`.
    let mut dedented = String::with_capacity(body.len());
    for line in body.split_inclusive('\n') {
        dedented.push_str(line.get(indent.min(spaces_of(line))..).unwrap_or_default());
    }
    let masked = mask(&dedented);
    let length = dedented.len();
    let shift = u32::try_from(indent).unwrap_or(0);
    let mut result = parse_document(&dedented, &masked, 0..length, first_line, shift, limits);
    if let Ok(document) = &mut result {
        let starts: Vec<usize> = std::iter::once(0).chain(memchr::memchr_iter(b'\n', body.as_bytes()).map(|i| i + 1)).collect();
        restore_bytes(&mut document.root, source, base, &starts, first_line);
    }
    Some(result)
}

/// Puts byte offsets of an embedded document back into terms of the outer file, from their lines and columns.
fn restore_bytes(node: &mut Node, source: &str, base: usize, line_starts: &[usize], first_line: u32) {
    let restore = |point: &mut Point| {
        let line = point.line.saturating_sub(first_line) as usize;
        let start = base + line_starts.get(line).copied().unwrap_or_default();
        let column = point.column.saturating_sub(1) as usize;
        let rest = source.get(start..).unwrap_or_default();
        point.byte = start + rest.char_indices().nth(column).map_or(rest.len(), |(i, _)| i);
    };
    restore(&mut node.span.start);
    restore(&mut node.span.end);
    match &mut node.kind {
        Kind::Scalar { .. } => {}
        Kind::Sequence(items) => {
            for item in items {
                restore_bytes(item, source, base, line_starts, first_line);
            }
        }
        Kind::Mapping(entries) => {
            for (key, value) in entries {
                restore_bytes(key, source, base, line_starts, first_line);
                restore_bytes(value, source, base, line_starts, first_line);
            }
        }
    }
}

/// Byte range and first line of each document. A `---` at a line's start always begins one, also inside what is broken.
fn document_ranges(text: &str) -> Vec<(Range<usize>, u32)> {
    let mut ranges = Vec::new();
    let mut start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let (mut at, mut line, mut start_line) = (start, 1, 1);
    let mut content = false;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |end| end + 1);
        let after_marker = rest.strip_prefix("---").filter(|after| after.chars().next().is_none_or(char::is_whitespace));
        if let Some(after) = after_marker {
            if content {
                ranges.push((start..at, start_line));
            }
            (start, start_line) = (at, line);
            content = !after.get(..length - 3).unwrap_or_default().trim_end().is_empty();
        } else if !content {
            let piece = rest.get(..length).unwrap_or_default().trim_start();
            content = !piece.is_empty() && !piece.starts_with('#') && !piece.starts_with("...");
        }
        at += length;
        line += 1;
    }
    if content {
        ranges.push((start..text.len(), start_line));
    }
    ranges
}

fn parse_document(source: &str, masked: &Masked<'_>, bytes: Range<usize>, first_line: u32, column_shift: u32, limits: &Limits) -> Result<Document, Broken> {
    let text = masked.text.get(bytes.clone()).unwrap_or_default();
    if !masked.touches(&bytes) {
        let first = Point { byte: bytes.start, line: first_line, column: column_shift + 1 };
        let read = if text.starts_with('{') { json::read } else { plain::read };
        if let Some(root) = read(text, first, limits.nodes) {
            return Ok(Document { root, bytes });
        }
    }
    parse_any(source, masked, bytes, first_line, column_shift, limits)
}

/// Reads a document with the parser of all of YAML.
fn parse_any(source: &str, masked: &Masked<'_>, bytes: Range<usize>, first_line: u32, column_shift: u32, limits: &Limits) -> Result<Document, Broken> {
    let text = masked.text.get(bytes.clone()).unwrap_or_default();
    let mut builder = Builder {
        source,
        masked,
        offset: bytes.start,
        first_line,
        column_shift,
        anchors: HashMap::new(),
        limits,
        nodes_left: limits.nodes,
        has_aliases: false,
        end: Point::default(),
        open_entries: Vec::new(),
        open_items: Vec::new(),
    };
    // Comments are no nodes. Another crate of a build may switch the parser's feature for them on.
    let options = granit_parser::options! { block_nesting_limit: BLOCK_DEPTH, flow_nesting_limit: FLOW_DEPTH, emit_comments: false };
    let mut parser = Parser::new_from_str_with_options(text, options);
    match builder.document(&mut parser) {
        Ok(root) => Ok(Document { root, bytes }),
        Err(failure) => Err(Broken { reason: failure.reason, at: failure.at, bytes, limit: failure.limit }),
    }
}

struct Failure {
    reason: String,
    at: Point,
    limit: bool,
}

struct Builder<'s, 'm> {
    source: &'s str,
    masked: &'m Masked<'m>,
    offset: usize,
    first_line: u32,
    column_shift: u32,
    anchors: HashMap<usize, (Node, usize)>,
    limits: &'m Limits,
    nodes_left: usize,
    /// Whether some of the nodes are copies.
    has_aliases: bool,
    end: Point,
    /// Entries and items of collections that are still open, the outer ones first: each collection is made once, of the right size.
    open_entries: Vec<(Node, Node)>,
    open_items: Vec<Node>,
}

type Events<'i> = Parser<'i, granit_parser::StrInput<'i>>;

impl Builder<'_, '_> {
    fn document(&mut self, parser: &mut Events<'_>) -> Result<Node, Failure> {
        loop {
            let (event, span) = self.next(parser)?;
            match event {
                Event::StreamStart | Event::DocumentStart(..) => {}
                Event::StreamEnd | Event::DocumentEnd => {
                    return Ok(Node { span, kind: Kind::Scalar { text: "".into(), style: Style::Plain, tag: None, templated: false } });
                }
                event => {
                    let root = self.node(parser, event, span)?;
                    // What follows must end the document, or it is not YAML.
                    while let Some(next) = parser.next_event() {
                        next.map_err(|e| self.failure(&e))?;
                    }
                    return Ok(root);
                }
            }
        }
    }

    fn next<'i>(&self, parser: &mut Events<'i>) -> Result<(Event<'i>, Span), Failure> {
        match parser.next_event() {
            Some(Ok((event, span))) => Ok((event, self.span(&span))),
            Some(Err(error)) => Err(self.failure(&error)),
            None => Err(Failure { reason: "the document ends too early".into(), at: self.end, limit: false }),
        }
    }

    /// Builds the node that `event` begins. The parser bounds nesting, so the recursion is bounded.
    fn node(&mut self, parser: &mut Events<'_>, event: Event<'_>, start: Span) -> Result<Node, Failure> {
        self.take(1, start.start)?;
        let before = self.nodes_left;
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let bytes = start.start.byte..start.end.byte;
                let templated = self.masked.touches(&bytes);
                let text: Arc<str> = if templated { self.source.get(bytes).unwrap_or_default().trim_end().into() } else { text.into() };
                let node = Node {
                    span: start,
                    kind: Kind::Scalar {
                        text,
                        style: match style {
                            ScalarStyle::Plain => Style::Plain,
                            ScalarStyle::Literal => Style::Literal,
                            ScalarStyle::Folded => Style::Folded,
                            _ => Style::Quoted,
                        },
                        tag: tag.map(|t| t.core_suffix().map_or_else(|| t.original().into(), Into::into)),
                        templated,
                    },
                };
                self.remember(anchor, &node, 1);
                Ok(node)
            }
            Event::SequenceStart(_, anchor, _) => {
                let first = self.open_items.len();
                let end = loop {
                    let (event, span) = self.next(parser)?;
                    if matches!(event, Event::SequenceEnd) {
                        break span;
                    }
                    let item = self.node(parser, event, span)?;
                    self.open_items.push(item);
                };
                let items: Vec<Node> = self.open_items.drain(first..).collect();
                let node = Node { span: self.collection_span(start, items.last().map(|n| n.span), end), kind: Kind::Sequence(items) };
                self.remember(anchor, &node, before - self.nodes_left + 1);
                Ok(node)
            }
            Event::MappingStart(_, anchor, _) => {
                let first = self.open_entries.len();
                let mut last = None;
                let end = loop {
                    let (event, span) = self.next(parser)?;
                    if matches!(event, Event::MappingEnd) {
                        break span;
                    }
                    let key = self.node(parser, event, span)?;
                    let (event, span) = self.next(parser)?;
                    let value = self.node(parser, event, span)?;
                    last = Some(value.span);
                    if is_merge_key(&key) && !value.is_templated() {
                        self.merge(value)?;
                    } else {
                        self.open_entries.push((key, value));
                    }
                };
                let entries = self.open_entries.drain(first..).collect();
                let node = Node { span: self.collection_span(start, last, end), kind: Kind::Mapping(dedupe(entries)) };
                self.remember(anchor, &node, before - self.nodes_left + 1);
                Ok(node)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some((node, size)) => {
                    let (node, size) = (node.clone(), *size);
                    self.has_aliases = true;
                    self.take(size, start.start)?;
                    Ok(node)
                }
                None => Err(Failure { reason: "an alias refers to an anchor that contains it, or to none".into(), at: start.start, limit: false }),
            },
            _ => Err(Failure { reason: "unexpected structure".into(), at: start.start, limit: false }),
        }
    }

    /// Entries of a merge key (`<<`) stand where the merge key stands, as go-yaml v2 (and so Helm, Flux and Kubernetes) reads them: they lose to what
    /// the mapping says after them and win over what it says before. The first of several sources wins.
    fn merge(&mut self, merged: Node) -> Result<(), Failure> {
        let at = merged.span.start;
        let sources = match merged.kind {
            Kind::Sequence(items) => items,
            kind => vec![Node { span: merged.span, kind }],
        };
        for source in sources.into_iter().rev() {
            let Kind::Mapping(inherited) = source.kind else {
                return Err(Failure { reason: "a merge key needs a mapping, or a sequence of mappings".into(), at, limit: false });
            };
            self.take(inherited.len(), at)?;
            self.open_entries.extend(inherited);
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, node: &Node, size: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
    }

    fn take(&mut self, nodes: usize, at: Point) -> Result<(), Failure> {
        match self.nodes_left.checked_sub(nodes) {
            Some(left) => {
                self.nodes_left = left;
                Ok(())
            }
            None => {
                let most = self.limits.nodes;
                let once = if self.has_aliases { " once its aliases are expanded" } else { "" };
                Err(Failure { reason: format!("the document has more than {most} keys and values{once}"), at, limit: true })
            }
        }
    }

    fn collection_span(&self, start: Span, last: Option<Span>, end: Span) -> Span {
        // A block collection's end event stands at the next token; its last child tells where it really ends.
        let end = match last {
            Some(last) if end.start.byte == end.end.byte => last.end,
            _ => end.end,
        };
        Span { start: start.start, end }
    }

    fn span(&self, span: &ParserSpan) -> Span {
        Span { start: self.point(&span.start), end: self.point(&span.end) }
    }

    fn point(&self, marker: &granit_parser::Marker) -> Point {
        Point {
            byte: self.offset + marker.byte_offset().unwrap_or_default(),
            line: self.first_line + u32::try_from(marker.line()).unwrap_or(u32::MAX).saturating_sub(1),
            column: self.column_shift + u32::try_from(marker.col()).unwrap_or(u32::MAX).saturating_add(1),
        }
    }

    fn failure(&self, error: &granit_parser::ScanError) -> Failure {
        let limit = matches!(error.kind(), granit_parser::ErrorKind::RecursionLimitExceeded);
        let reason = if limit { format!("collections are nested more than {BLOCK_DEPTH} deep, or more than {FLOW_DEPTH} in brackets") } else { error.info() };
        Failure { reason, at: self.point(error.marker()), limit }
    }
}

/// Whether a key is `<<` as a merge key.
fn is_merge_key(key: &Node) -> bool {
    matches!(&key.kind, Kind::Scalar { text, style: Style::Plain, templated: false, .. } if &**text == "<<")
}

/// Keeps the last of several entries with the same key, as Helm's decoder does; an entry that makes the decoder refuse the document is kept as well.
fn dedupe(mut entries: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
    if entries.len() > 64 {
        let mut last: HashMap<String, usize> = HashMap::new();
        for (i, (key, _)) in entries.iter().enumerate() {
            if let Some(text) = key.text() {
                last.insert(text.to_owned(), i);
            }
        }
        return entries
            .into_iter()
            .enumerate()
            .filter(|(i, (key, value))| key.text().is_none_or(|t| last.get(t) == Some(i)) || is_refused(value))
            .map(|(_, e)| e)
            .collect();
    }
    let is_said_later = |(i, (key, value)): (usize, &(Node, Node))| {
        key.text().is_some_and(|text| entries.iter().skip(i + 1).any(|(later, _)| later.text() == Some(text))) && !is_refused(value)
    };
    if !entries.iter().enumerate().any(is_said_later) {
        return entries;
    }
    let said_later: Vec<bool> = entries.iter().enumerate().map(is_said_later).collect();
    let mut said_later = said_later.into_iter();
    entries.retain(|_| !said_later.next().unwrap_or_default());
    entries
}

/// Whether Helm's decoder refuses what is in a node, also where a later entry takes its place.
#[must_use]
pub fn is_refused<N: Shaped>(node: &N) -> bool {
    match node.shape() {
        Shape::Scalar(Kind::Scalar { text, style, tag, templated }) => !templated && scalar::is_misfit(text, *style, tag.as_deref()),
        Shape::Scalar(_) => false,
        Shape::Sequence(items) => items.iter().any(is_refused),
        Shape::Mapping(entries) => entries.iter().any(|(key, value)| !matches!(key.shape(), Shape::Scalar(_)) || is_refused(key) || is_refused(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(source: &str) -> Node {
        parse_stream(source, &Limits::default()).remove(0).unwrap().root
    }

    #[test]
    fn spans_point_at_the_value_in_code_points() {
        let root = one("é: 'v2.5'  # c\nb: [x, y]\n");
        let value = root.get("é").unwrap();
        assert_eq!((value.span.start.line, value.span.start.column, value.span.end.column), (1, 4, 10));
        assert_eq!(value.text(), Some("v2.5"));
        let list = root.get("b").unwrap();
        assert_eq!((list.span.start.column, list.span.end.column), (4, 10));
    }

    #[test]
    fn a_broken_document_costs_only_itself() {
        let documents = parse_stream("a: 1\n---\nb: *missing\n---\nc: 3\n", &Limits::default());
        assert!(documents[0].is_ok() && documents[1].is_err() && documents[2].is_ok());
        assert_eq!(documents[1].as_ref().unwrap_err().at.line, 3);
        assert_eq!(documents[2].as_ref().unwrap().root.get("c").unwrap().span.start.line, 5);
    }

    #[test]
    fn merge_keys_stand_where_they_are_written() {
        let root = one("base: &b {x: 1, y: 2}\nme:\n  <<: *b\n  y: 3\nbefore:\n  y: 3\n  <<: [*b, {x: 9, z: 9}]\n");
        assert_eq!(root.text_at(&["me", "x"]), Some("1"));
        assert_eq!(root.text_at(&["me", "y"]), Some("3"));
        assert_eq!(root.text_at(&["before", "x"]), Some("1"));
        assert_eq!(root.text_at(&["before", "y"]), Some("2"));
        assert_eq!(root.text_at(&["before", "z"]), Some("9"));
        assert!(parse_stream("me:\n  <<: 3\n", &Limits::default())[0].is_err());
    }

    #[test]
    fn an_alias_bomb_ends_at_the_limit() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            bomb.push_str(&format!("a{i}: &a{i} [*a{0},*a{0},*a{0},*a{0},*a{0},*a{0},*a{0},*a{0},*a{0}]\n", i - 1));
        }
        let broken = parse_stream(&bomb, &Limits::default()).remove(0).unwrap_err();
        assert!(broken.limit && broken.reason.ends_with("keys and values once its aliases are expanded"), "{}", broken.reason);
    }

    #[test]
    fn too_many_keys_are_told_as_such_and_not_as_aliases() {
        for text in ["a: 1\nb: 2\nc: 3\n", "a: 1\nb: 2\nc: {d: 3}\n"] {
            let broken = parse_stream(text, &Limits { nodes: 6, ..Limits::default() }).remove(0).unwrap_err();
            assert_eq!((broken.limit, &*broken.reason), (true, "the document has more than 6 keys and values"));
        }
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        for (open, depth) in [("[", FLOW_DEPTH + 1), ("{a: ", FLOW_DEPTH + 1), ("- ", BLOCK_DEPTH + 1), ("[", 100_000)] {
            let broken = parse_stream(&format!("a:\n {}", open.repeat(depth)), &Limits::default()).remove(0).unwrap_err();
            assert!(broken.limit, "{open}: {}", broken.reason);
        }
        let deep = format!("a: {}{}", "[".repeat(FLOW_DEPTH), "]".repeat(FLOW_DEPTH));
        assert!(parse_stream(&deep, &Limits::default()).remove(0).is_ok());
    }

    #[test]
    fn templated_scalars_are_marked_and_the_rest_is_read() {
        let root = one("chart:\n  version: {{ .Values.version }}\n  name: milvus\n");
        assert!(root.at(&["chart", "version"]).unwrap().is_templated());
        assert_eq!(root.text_at(&["chart", "name"]), Some("milvus"));
    }

    #[test]
    fn an_embedded_block_keeps_the_places_of_the_file() {
        let source = "spec:\n  values: |\n    image:\n      all:\n        tag: v2.5.16\n";
        let root = one(source);
        let inner = parse_embedded(source, root.at(&["spec", "values"]).unwrap(), &Limits::default()).unwrap().unwrap();
        let tag = inner.root.at(&["image", "all", "tag"]).unwrap();
        assert_eq!((tag.span.start.line, tag.span.start.column), (5, 14));
        assert_eq!(&source[tag.span.start.byte..tag.span.end.byte], "v2.5.16");
    }
}
