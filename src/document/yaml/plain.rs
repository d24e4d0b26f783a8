//! The plain subset of YAML in which nearly all values are written, read several times faster than the parser does: block mappings and sequences of one-line
//! scalars and literal blocks in ASCII. Gives nothing at the first thing that it does not know; then the parser reads the document. A test holds that both read the same.

use super::{BLOCK_DEPTH, Kind, Node, Point, Span, Style, dedupe};

/// The longest key.
const KEY_BYTES: usize = 256;

/// Reads a document. `first` is where the text begins in its file: its column is that of the first character of every line.
pub(super) fn read(text: &str, first: Point, nodes: usize) -> Option<Node> {
    if !text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)) {
        return None;
    }
    let mut reader = Reader { text, first, at: 0, line_start: 0, lines: 0, nodes_left: nodes, open_entries: Vec::new(), open_items: Vec::new() };
    if text.starts_with("---\n") {
        reader.at = 3;
        reader.next_line();
    } else {
        reader.begin_line(0);
    }
    let root = reader.block(reader.indent()?, 0)?;
    reader.indent().is_none().then_some(root)
}

struct Reader<'t> {
    text: &'t str,
    first: Point,
    /// The next byte.
    at: usize,
    /// Where the line begins that it stands on.
    line_start: usize,
    /// How many lines are above.
    lines: u32,
    nodes_left: usize,
    /// Entries and items of collections that are still open, the outer ones first: each collection is made once, of the right size.
    open_entries: Vec<(Node, Node)>,
    open_items: Vec<Node>,
}

impl Reader<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// Whether a space or the end of the line is here.
    fn is_blank(&self, at: usize) -> bool {
        matches!(self.byte(at), None | Some(b' ' | b'\n'))
    }

    fn is_item(&self) -> bool {
        self.byte(self.at) == Some(b'-') && self.is_blank(self.at + 1)
    }

    /// Whether nothing but a comment follows on the line.
    fn ends_line(&self, at: usize) -> bool {
        let end = self.skip_spaces(at);
        match self.byte(end) {
            None | Some(b'\n') => true,
            Some(b'#') => end > at,
            Some(_) => false,
        }
    }

    fn skip_spaces(&self, at: usize) -> usize {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| **byte == b' ').count()
    }

    /// Goes to the first character of the next line with content, or to the end.
    fn next_line(&mut self) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        match memchr::memchr(b'\n', rest) {
            Some(length) => {
                self.lines += 1;
                self.begin_line(self.at + length + 1);
            }
            None => self.at = self.text.len(),
        }
    }

    fn begin_line(&mut self, start: usize) {
        let mut start = start;
        loop {
            (self.line_start, self.at) = (start, self.skip_spaces(start));
            let length = match self.byte(self.at) {
                Some(b'\n') => Some(0),
                Some(b'#') => memchr::memchr(b'\n', self.text.as_bytes().get(self.at..).unwrap_or_default()),
                _ => return,
            };
            let Some(length) = length else {
                self.at = self.text.len();
                return;
            };
            start = self.at + length + 1;
            self.lines += 1;
        }
    }

    /// The column of the next character, from 0; nothing at the end of the text.
    fn indent(&self) -> Option<usize> {
        (self.at < self.text.len()).then(|| self.at - self.line_start)
    }

    fn point(&self, at: usize) -> Point {
        let column = u32::try_from(at - self.line_start).unwrap_or(u32::MAX);
        Point { byte: self.first.byte + at, line: self.first.line + self.lines, column: self.first.column.saturating_add(column) }
    }

    fn node(&mut self, span: Span, kind: Kind) -> Option<Node> {
        self.nodes_left = self.nodes_left.checked_sub(1)?;
        Some(Node { span, kind })
    }

    /// A scalar on this line; its text lies `quotes` bytes within its ends.
    fn scalar(&mut self, end: usize, quotes: usize, style: Style) -> Option<Node> {
        let text = self.text.get(self.at + quotes..end - quotes)?.into();
        let span = Span { start: self.point(self.at), end: self.point(end) };
        self.at = end;
        self.node(span, Kind::Scalar { text, style, tag: None, templated: false })
    }

    /// What begins here at a column: a mapping or a sequence.
    fn block(&mut self, indent: usize, depth: usize) -> Option<Node> {
        if depth > BLOCK_DEPTH / 2 {
            return None;
        }
        if self.is_item() { self.sequence(indent, depth, false) } else { self.mapping(indent, depth) }
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Option<Node> {
        let (start, first) = (self.point(self.at), self.open_entries.len());
        let mut end = start;
        while self.indent() == Some(indent) {
            let key = self.scalar(self.key_end()?, 0, Style::Plain)?;
            let value = self.value(indent, depth)?;
            end = value.span.end;
            self.open_entries.push((key, value));
        }
        let entries = self.open_entries.drain(first..).collect();
        self.node(Span { start, end }, Kind::Mapping(dedupe(entries)))
    }

    /// Where the key ends that begins here, if one does.
    fn key_end(&self) -> Option<usize> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let length = rest.iter().take(KEY_BYTES).position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/')))?;
        let end = self.at + length;
        let begins_well = rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        (begins_well && self.byte(end) == Some(b':') && self.is_blank(end + 1)).then_some(end)
    }

    /// The value of the key that ends here.
    fn value(&mut self, indent: usize, depth: usize) -> Option<Node> {
        let colon = self.at;
        if !self.ends_line(colon + 1) {
            self.at = self.skip_spaces(colon + 1);
            return if self.byte(self.at) == Some(b'|') { self.literal(indent) } else { self.rest_of_line() };
        }
        let nothing = Span { start: self.point(colon), end: self.point(colon) };
        self.next_line();
        match self.indent() {
            Some(inner) if inner > indent => self.block(inner, depth + 1),
            Some(inner) if inner == indent && self.is_item() => self.sequence(inner, depth + 1, true),
            _ => self.node(nothing, Kind::Scalar { text: "~".into(), style: Style::Plain, tag: None, templated: false }),
        }
    }

    /// A sequence; `under_key` where it stands at the column of its key, and then the parser has it begin with its first item.
    fn sequence(&mut self, indent: usize, depth: usize, under_key: bool) -> Option<Node> {
        let (mut start, first) = (self.point(self.at), self.open_items.len());
        let mut end = start;
        while self.indent() == Some(indent) && self.is_item() {
            self.at = self.skip_spaces(self.at + 1);
            let item = if self.key_end().is_some() { self.block(self.at - self.line_start, depth + 1)? } else { self.rest_of_line()? };
            if under_key && self.open_items.len() == first {
                start = item.span.start;
            }
            end = item.span.end;
            self.open_items.push(item);
        }
        let items = self.open_items.drain(first..).collect();
        self.node(Span { start, end }, Kind::Sequence(items))
    }

    /// What stands on the rest of the line, and then the next line.
    fn rest_of_line(&mut self) -> Option<Node> {
        let node = match self.byte(self.at)? {
            quote @ (b'\'' | b'"') => self.scalar(self.quoted_end(quote)?, 1, Style::Quoted)?,
            b'{' => self.empty(b'}', Kind::Mapping(Vec::new()))?,
            b'[' => self.empty(b']', Kind::Sequence(Vec::new()))?,
            _ => self.scalar(self.plain_end()?, 0, Style::Plain)?,
        };
        if !self.ends_line(self.at) {
            return None;
        }
        self.next_line();
        Some(node)
    }

    /// A literal block of a key at a column, and then the next line: `|`, `|-` or `|+`, and all lines that stand further in than the key.
    fn literal(&mut self, indent: usize) -> Option<Node> {
        let chomping = self.byte(self.at + 1).filter(|byte| matches!(byte, b'-' | b'+'));
        if !self.ends_line(self.at + 1 + usize::from(chomping.is_some())) {
            return None;
        }
        let mut next = self.at + memchr::memchr(b'\n', self.text.as_bytes().get(self.at..)?)? + 1;
        let (mut text, mut begin, mut widest_blank) = (String::new(), None, 0);
        (self.lines, self.line_start, self.at) = (self.lines + 1, next, next);
        for line in self.text.get(next..)?.split_inclusive('\n') {
            let content = line.strip_suffix('\n').unwrap_or(line);
            let spaces = content.len() - content.trim_start_matches(' ').len();
            let is_blank = spaces == content.len();
            let column = match begin {
                Some((column, _)) if is_blank || spaces >= column => column,
                None if is_blank => {
                    widest_blank = widest_blank.max(spaces);
                    spaces
                }
                None if spaces > indent && spaces >= widest_blank => {
                    begin = Some((spaces, self.point(next + spaces)));
                    spaces
                }
                None => return None,
                Some(_) => {
                    self.at = next + spaces;
                    break;
                }
            };
            text.push_str(content.get(column..).unwrap_or_default());
            text.push('\n');
            next += line.len();
            self.at = next;
            if line.len() > content.len() {
                (self.lines, self.line_start) = (self.lines + 1, next);
            }
        }
        let span = Span { start: begin?.1, end: self.point(self.at) };
        if chomping != Some(b'+') {
            text.truncate(text.trim_end_matches('\n').len() + usize::from(chomping.is_none()));
        }
        if self.at < self.text.len() {
            self.begin_line(self.line_start);
        }
        self.node(span, Kind::Scalar { text: text.into(), style: Style::Literal, tag: None, templated: false })
    }

    /// `{}` or `[]`.
    fn empty(&mut self, close: u8, kind: Kind) -> Option<Node> {
        if self.byte(self.at + 1) != Some(close) {
            return None;
        }
        let span = Span { start: self.point(self.at), end: self.point(self.at + 2) };
        self.at += 2;
        self.node(span, kind)
    }

    /// One past the quote that ends a scalar without escapes.
    fn quoted_end(&self, quote: u8) -> Option<usize> {
        let inner = self.at + 1;
        let rest = self.text.as_bytes().get(inner..).unwrap_or_default();
        let end = inner + memchr::memchr3(quote, b'\\', b'\n', rest)?;
        (self.byte(end) == Some(quote)).then_some(end + 1)
    }

    /// One past the last character of a plain scalar.
    fn plain_end(&self) -> Option<usize> {
        let begins_well = match self.byte(self.at)? {
            b'-' => !self.is_blank(self.at + 1),
            byte => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'~' | b'+' | b'$' | b'('),
        };
        let mut end = self.at;
        let line = self.text.as_bytes().get(self.at..)?.iter().take_while(|byte| **byte != b'\n');
        for (at, byte) in (self.at..).zip(line) {
            match byte {
                b' ' => {}
                b'#' if at > end => break,
                b':' if self.is_blank(at + 1) => return None,
                _ => end = at + 1,
            }
        }
        begins_well.then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::{Limits, Masked, document_ranges, parse_any};
    use super::*;

    const VALUES: &str = "---\n# a release\nimage:\n  all: {tag: x}\n";
    const TYPICAL: &str = "# values\nimage:\n  all:\n    tag: v2.5.16 # pinned\n    pullPolicy: 'Always'\n\nqueryNode:\n  tolerations: []\n  files: # read by it\n    user.yaml: |\n      # more\n      a:\n        b: {c: 1}\n\n  extraEnv:\n  - name: \"A B\"\n    value:\n  replicas: 3\nhosts:\n  - http://a:9000/x\n  - b\n";

    /// Reads all documents of a text both ways; how many the short way read.
    fn read_both_ways(text: &str) -> usize {
        let mut count = 0;
        let masked = Masked { text: text.into(), ranges: Vec::new() };
        for (bytes, line) in document_ranges(text) {
            let document = &text[bytes.clone()];
            let Some(root) = read(document, Point { byte: bytes.start, line, column: 4 }, 1000) else { continue };
            let all = parse_any(text, &masked, bytes, line, 3, &Limits::default());
            assert!(all.is_ok_and(|all| all.root == root), "read in another way: {root:?} of\n{document}");
            count += 1;
        }
        count
    }

    fn files(folder: &Path, all: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, all);
            } else {
                #[allow(clippy::disallowed_methods, reason = "a test reads the fixtures")]
                all.extend(std::fs::read_to_string(path).ok().filter(|text| text.len() < 50_000));
            }
        }
    }

    #[test]
    fn a_typical_file_is_read_the_short_way_and_flow_collections_are_not() {
        assert_eq!(read_both_ways(TYPICAL), 1);
        assert_eq!(read_both_ways(VALUES), 0);
        assert!(read(TYPICAL, Point::default(), 10).is_none());
    }

    #[test]
    fn the_files_of_the_repository_are_read_as_the_parser_reads_them_whatever_is_cut_out_of_them() {
        let mut texts = Vec::new();
        for folder in ["examples", "fuzz/corpus", "policies/rules", "charts"] {
            files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut texts);
        }
        let mut count = 0;
        for text in &texts {
            count += read_both_ways(text);
            for step in 1..20 {
                let (from, to) = (text.len() * step / 20, text.len() * step / 20 + step % 4);
                if let (Some(head), Some(tail)) = (text.get(..from), text.get(to..)) {
                    read_both_ways(&format!("{head}{tail}"));
                }
            }
        }
        assert!(count > 50, "{count} documents of {} files", texts.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn lines_in_any_order_are_read_as_the_parser_reads_them(lines in prop::collection::vec((0..5_usize, prop::sample::select(LINES)), 0..12)) {
            let text: String = lines.iter().map(|(indent, line)| format!("{}{line}\n", " ".repeat(*indent))).collect();
            read_both_ways(&text);
            read_both_ways(text.trim_end());
            ["|", "|-", "|+ "].iter().for_each(|header| {
                read_both_ways(&format!("- a: {header}\n{text}"));
                read_both_ways(&format!("a: {header}\n{}", text.trim_end()));
            });
        }

        #[test]
        fn pieces_in_any_order_are_read_as_the_parser_reads_them(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..16)) {
            read_both_ways(&pieces.concat());
            read_both_ways(&format!("a:\n  b: {}", pieces.concat()));
        }
    }

    const LINES: &[&str] = &[
        "a:",
        "b: 1",
        "c: # d",
        "d:   'x' # y",
        "- a",
        "- b: 2",
        "-   c:",
        "- 'q'",
        "-",
        "- - x",
        "e: |",
        "e: |-  # f",
        "- e: |+",
        "g: 1 | 2",
        "",
        "  ",
        "# no",
        "a: {}",
        "plain",
        "--- ",
        "---",
        "a : 1",
        "a: b: c",
    ];

    const PIECES: &[&str] = &[
        "a", "key", "v2.5", "1", "~", " ", "  ", "\n", "\n  ", "\n    ", ":", ": ", "- ", "-", "#", " # c", "'", "'x'", "\"", "\"x y\"", "\\", "{}", "[]", "[",
        "}", ",", "|", ">", "&", "*a", "!!str ", "?", "? ", "<<", "---", "...", "é", "\t", "\r", "%", "@", "`", "=", "$", "(", "+", ".", "/",
    ];
}
