//! The text of a YAML scalar with the place of each of its bytes, and settings in YAML as values of variables.

use std::ops::Range;

use crate::document::extract::Extract;
use crate::document::shell::{Outer, Piece, Value};
use crate::document::yaml::{Kind, Node, Style};

/// How long a template expression may be.
const TEMPLATE_BYTES: usize = 1024;
/// Pieces of one value.
const PIECE_LIMIT: usize = 64;
/// How much text template expressions may add to one script.
const FILLED_BYTES: usize = 256 * 1024;

/// The text of a scalar as YAML reads it. Template expressions stay as they are written. Nothing for what is no scalar.
#[must_use]
pub fn extract(source: &str, node: &Node) -> Option<Extract> {
    let Kind::Scalar { style, .. } = &node.kind else { return None };
    let (start, end) = (node.span.start.byte, node.span.end.byte);
    Some(match style {
        Style::Literal | Style::Folded => {
            // The span begins at the first content; the block begins with that line.
            let base = source.get(..start)?.rfind('\n').map_or(0, |i| i + 1);
            block(source, base, end, *style == Style::Folded)
        }
        Style::Quoted if source.get(start..)?.starts_with('"') => double_quoted(source, start + 1, end.saturating_sub(1)),
        Style::Quoted => single_quoted(source, start + 1, end.saturating_sub(1)),
        Style::Plain => flow_lines(source, start, end),
    })
}

fn block(source: &str, base: usize, end: usize, folds: bool) -> Extract {
    let mut extract = Extract::default();
    let body = source.get(base..end).unwrap_or_default();
    let indent_of = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let indent = body.lines().filter(|line| !line.trim().is_empty()).map(indent_of).min().unwrap_or_default();
    let mut at = base;
    let mut lines = body.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let skip = indent.min(indent_of(line));
        let content = line.get(skip..).unwrap_or_default();
        let bare = content.trim_end_matches(['\n', '\r']);
        let joins = folds && is_foldable(bare) && lines.peek().is_some_and(|next| is_foldable(next.get(indent..).unwrap_or_default().trim_end()));
        if joins {
            extract.push(bare, at + skip);
            extract.push(" ", at + skip + bare.len());
        } else {
            extract.push(content, at + skip);
        }
        at += line.len();
    }
    extract
}

/// Whether a line of a folded block joins its neighbours: it is not empty and not indented further.
fn is_foldable(line: &str) -> bool {
    !line.is_empty() && !line.starts_with([' ', '\t'])
}

/// A plain scalar: its lines are joined by blanks.
fn flow_lines(source: &str, start: usize, end: usize) -> Extract {
    let mut extract = Extract::default();
    let text = source.get(start..end).unwrap_or_default();
    let mut at = start;
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let content = if i > 0 { line.trim_start() } else { line };
        let skip = line.len() - content.len();
        let bare = content.trim_end();
        if i > 0 {
            extract.push(if bare.is_empty() { "\n" } else { " " }, at);
        }
        extract.push(bare, at + skip);
        at += line.len();
    }
    extract
}

fn single_quoted(source: &str, start: usize, end: usize) -> Extract {
    let lines = flow_lines(source, start, end);
    let mut extract = Extract::default();
    let mut at = 0;
    while let Some(offset) = memchr::memmem::find(lines.text().as_bytes().get(at..).unwrap_or_default(), b"''") {
        push_slice(&mut extract, &lines, at, at + offset + 1);
        at += offset + 2;
    }
    push_slice(&mut extract, &lines, at, lines.text().len());
    extract
}

fn double_quoted(source: &str, start: usize, end: usize) -> Extract {
    let lines = flow_lines(source, start, end);
    let text = lines.text();
    let mut extract = Extract::default();
    let mut at = 0;
    while let Some(offset) = memchr::memchr(b'\\', text.as_bytes().get(at..).unwrap_or_default()) {
        let slash = at + offset;
        push_slice(&mut extract, &lines, at, slash);
        let (replacement, taken) = match text.as_bytes().get(slash + 1) {
            Some(b'n') => ("\n", 2),
            Some(b't') => ("\t", 2),
            Some(b'r') => ("\r", 2),
            Some(b'0') => ("\0", 2),
            // An escaped end of line, which joining has made a blank.
            Some(b' ') => ("", 2),
            // The character itself: quotes, backslashes, slashes, and what is not understood.
            _ => ("", 1),
        };
        extract.push(replacement, lines.source_byte(slash));
        at = slash + taken;
        if taken == 1 {
            let length = text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
            push_slice(&mut extract, &lines, at, at + length);
            at += length;
        }
    }
    push_slice(&mut extract, &lines, at, text.len());
    extract
}

fn push_slice(extract: &mut Extract, from: &Extract, start: usize, end: usize) {
    if start < end {
        let part = from.slice(start..end);
        for (text, source) in part.runs() {
            extract.push(text, source);
        }
    }
}

/// A setting as the value of a variable; `${{ x }}` and `<< x >>` are replaced as far as they are known.
pub(super) fn value(source: &str, node: &Node, outer: &Outer) -> Option<Value> {
    let extract = extract(source, node)?;
    let mut pieces = Vec::new();
    for part in templates(extract.text()) {
        match part {
            Part::Text(range) => push_text(&mut pieces, &extract, range.start, range.end),
            Part::Template(range, expression) => {
                let bytes = extract.source_bytes(&range);
                match outer.evaluate(expression, &bytes) {
                    Some(value) => pieces.extend(value.pieces),
                    None => pieces.push(Piece::Unknown { reason: "it is a template expression that is filled in elsewhere".into(), bytes }),
                }
            }
        }
        if pieces.len() > PIECE_LIMIT {
            return Some(Value::unknown("it is put together from too many parts", extract.source_bytes(&(0..extract.text().len()))));
        }
    }
    Some(Value { pieces, unset: false })
}

/// A script in which the template expressions that are known are replaced: pipelines do so before a shell sees it. Each text keeps its place.
pub(super) fn filled_in(script: Extract, outer: &Outer) -> Extract {
    let mut filled = Extract::default();
    let mut replaced = 0;
    for part in templates(script.text()) {
        let range = match part {
            Part::Text(range) => range,
            Part::Template(range, expression) => {
                let value = outer.evaluate(expression, &script.source_bytes(&range)).filter(|value| value.text().is_some());
                if let Some(value) = value.filter(|_| replaced < FILLED_BYTES) {
                    for piece in &value.pieces {
                        if let Piece::Text { text, bytes } = piece {
                            filled.push(text, bytes.start);
                            replaced += text.len();
                        }
                    }
                    continue;
                }
                range
            }
        };
        push_slice(&mut filled, &script, range.start, range.end);
    }
    if replaced == 0 { script } else { filled }
}

/// A part of a text with template expressions.
enum Part<'t> {
    Text(Range<usize>),
    Template(Range<usize>, &'t str),
}

/// The template expressions in a text (`${{ x }}`, `<< x >>`), and what is between them.
fn templates(text: &str) -> Vec<Part<'_>> {
    let bytes = text.as_bytes();
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(offset) = memchr::memchr2(b'$', b'<', bytes.get(at..).unwrap_or_default()) {
        let open = at + offset;
        let rest = bytes.get(open..).unwrap_or_default();
        let (width, close): (usize, &[u8]) = if rest.starts_with(b"${{") { (3, b"}}") } else { (2, b">>") };
        let is_template = width == 3
            || rest.starts_with(b"<< ")
                && ["parameters.", "pipeline.", "matrix."].iter().any(|start| rest.get(3..).is_some_and(|r| r.starts_with(start.as_bytes())));
        let window = rest.get(..TEMPLATE_BYTES).unwrap_or(rest);
        match memchr::memmem::find(window, close).filter(|_| is_template) {
            Some(length) => {
                let end = open + length + 2;
                if from < open {
                    parts.push(Part::Text(from..open));
                }
                parts.push(Part::Template(open..end, text.get(open + width..open + length).unwrap_or_default().trim()));
                from = end;
                at = end;
            }
            None => at = open + 1,
        }
    }
    if from < text.len() {
        parts.push(Part::Text(from..text.len()));
    }
    parts
}

fn push_text(pieces: &mut Vec<Piece>, extract: &Extract, start: usize, end: usize) {
    if start < end {
        let text = extract.text().get(start..end).unwrap_or_default();
        pieces.push(Piece::Text { text: text.into(), bytes: extract.source_bytes(&(start..end)) });
    }
}
