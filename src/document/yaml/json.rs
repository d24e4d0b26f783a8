//! The part of YAML that is JSON, read without the YAML parser: objects of an API server come as such, many a second. What differs in YAML is left to it.

use std::sync::Arc;

use super::{FLOW_DEPTH, Kind, Node, Point, Span, Style, dedupe};

/// Keys that YAML takes without a `?`.
const KEY_BYTES: usize = 1000;

/// Reads a text that is one JSON object and nothing else; `start` is the place of its first byte, whose column all lines begin with. Nothing for all that YAML could read in another way: then
/// the YAML parser has the last word, as it has about errors.
pub(super) fn read(text: &str, start: Point, nodes: usize) -> Option<Node> {
    let mut reader = Reader { bytes: text.as_bytes(), text, at: 0, start, line: start.line, line_start: 0, column_before: start.column, nodes_left: nodes };
    reader.blanks()?;
    if reader.peek() != Some(b'{') {
        return None;
    }
    let root = reader.value(0)?;
    reader.blanks()?;
    (reader.at == text.len()).then_some(root)
}

struct Reader<'t> {
    bytes: &'t [u8],
    text: &'t str,
    at: usize,
    start: Point,
    line: u32,
    /// Where columns are counted from: a byte of this line, and its column. All between it and `at` is ASCII.
    line_start: usize,
    column_before: u32,
    nodes_left: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn point(&self) -> Point {
        let columns = u32::try_from(self.at - self.line_start).unwrap_or(u32::MAX);
        Point { byte: self.start.byte + self.at, line: self.line, column: self.column_before.saturating_add(columns) }
    }

    /// Skips blanks and line ends. Tabs and carriage returns have their own rules in YAML.
    fn blanks(&mut self) -> Option<()> {
        loop {
            match self.peek() {
                Some(b' ') => self.at += 1,
                Some(b'\n') => {
                    self.at += 1;
                    self.line = self.line.checked_add(1)?;
                    (self.line_start, self.column_before) = (self.at, self.start.column);
                }
                Some(b'\t' | b'\r') => return None,
                _ => return Some(()),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        self.nodes_left = self.nodes_left.checked_sub(1)?;
        match self.peek()? {
            b'{' if depth < FLOW_DEPTH => self.object(depth),
            b'[' if depth < FLOW_DEPTH => self.array(depth),
            b'"' => self.string(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => None,
        }
    }

    fn object(&mut self, depth: usize) -> Option<Node> {
        let begin = self.point();
        self.at += 1;
        let mut entries = Vec::new();
        self.blanks()?;
        if self.peek()? == b'}' {
            return Some(self.closed(begin, Kind::Mapping(entries)));
        }
        loop {
            self.blanks()?;
            self.nodes_left = self.nodes_left.checked_sub(1)?;
            let key = if self.peek()? == b'"' { self.string()? } else { return None };
            // A key and its colon stand on one line.
            while self.peek()? == b' ' {
                self.at += 1;
            }
            if self.peek()? != b':' || key.span.end.byte - key.span.start.byte > KEY_BYTES {
                return None;
            }
            self.at += 1;
            self.blanks()?;
            let value = self.value(depth + 1)?;
            entries.push((key, value));
            self.blanks()?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => return Some(self.closed(begin, Kind::Mapping(dedupe(entries)))),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Node> {
        let begin = self.point();
        self.at += 1;
        let mut items = Vec::new();
        self.blanks()?;
        if self.peek()? == b']' {
            return Some(self.closed(begin, Kind::Sequence(items)));
        }
        loop {
            self.blanks()?;
            items.push(self.value(depth + 1)?);
            self.blanks()?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => return Some(self.closed(begin, Kind::Sequence(items))),
                _ => return None,
            }
        }
    }

    /// A collection whose last bracket comes now.
    fn closed(&mut self, start: Point, kind: Kind) -> Node {
        self.at += 1;
        Node { span: Span { start, end: self.point() }, kind }
    }

    fn scalar(&self, start: Point, text: Arc<str>, style: Style) -> Node {
        Node { span: Span { start, end: self.point() }, kind: Kind::Scalar { text, style, tag: None, templated: false } }
    }

    /// A word, or a number that has been looked at: it ends where a plain scalar does.
    fn plain(&mut self, length: usize) -> Option<Node> {
        let start = self.point();
        let text = self.text.get(self.at..self.at + length)?;
        self.at += length;
        matches!(self.peek(), Some(b',' | b'}' | b']' | b' ' | b'\n')).then(|| self.scalar(start, text.into(), Style::Plain))
    }

    fn word(&mut self, word: &str) -> Option<Node> {
        if self.bytes.get(self.at..)?.starts_with(word.as_bytes()) { self.plain(word.len()) } else { None }
    }

    fn number(&mut self) -> Option<Node> {
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).unwrap_or(rest.len());
        // A dash alone begins a sequence in YAML.
        if rest.get(1).is_none_or(|byte| !byte.is_ascii_digit()) && rest.first() == Some(&b'-') {
            return None;
        }
        self.plain(length)
    }

    fn string(&mut self) -> Option<Node> {
        let start = self.point();
        self.at += 1;
        let begin = self.at;
        let length = memchr::memchr2(b'"', b'\\', self.bytes.get(begin..)?)?;
        self.step(length)?;
        let text: Arc<str> = if self.peek()? == b'"' { self.text.get(begin..self.at)?.into() } else { self.escaped(begin)?.into() };
        self.at += 1;
        Some(self.scalar(start, text, Style::Quoted))
    }

    /// Goes over characters of a string that stand for themselves.
    fn step(&mut self, length: usize) -> Option<()> {
        let piece = self.bytes.get(self.at..self.at + length)?;
        let (mut is_plain, mut is_ascii) = (true, true);
        for byte in piece {
            is_plain &= *byte >= 0x20 && *byte != 0x7f;
            is_ascii &= *byte < 0x80;
        }
        if !is_plain {
            return None;
        }
        if is_ascii {
            self.at += length;
            return Some(());
        }
        let piece = self.text.get(self.at..self.at + length)?;
        // Line ends of Unicode, byte order marks and what no text has: YAML has rules of its own.
        if piece.chars().any(|c| matches!(c, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')) {
            return None;
        }
        let before = self.point();
        self.at += length;
        let columns = u32::try_from(piece.chars().count()).ok()?;
        (self.line_start, self.column_before) = (self.at, before.column.checked_add(columns)?);
        Some(())
    }

    /// The text of a string that began at `begin` and has an escape here. It ends at the closing quote.
    fn escaped(&mut self, begin: usize) -> Option<String> {
        let mut text = self.text.get(begin..self.at)?.to_owned();
        loop {
            match self.peek()? {
                b'"' => return Some(text),
                b'\\' => {
                    let (c, length) = match self.bytes.get(self.at + 1)? {
                        b'"' => ('"', 2),
                        b'\\' => ('\\', 2),
                        b'/' => ('/', 2),
                        b'b' => ('\u{8}', 2),
                        b'f' => ('\u{c}', 2),
                        b'n' => ('\n', 2),
                        b'r' => ('\r', 2),
                        b't' => ('\t', 2),
                        b'u' => (self.code_point()?, 6),
                        _ => return None,
                    };
                    text.push(c);
                    self.at += length;
                }
                _ => {
                    let length = memchr::memchr2(b'"', b'\\', self.bytes.get(self.at..)?)?;
                    let from = self.at;
                    self.step(length)?;
                    text.push_str(self.text.get(from..self.at)?);
                }
            }
        }
    }

    /// The character of `\u0000`; none for half of a pair.
    fn code_point(&self) -> Option<char> {
        let digits = self.text.get(self.at + 2..self.at + 6)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        char::from_u32(u32::from_str_radix(digits, 16).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::{Limits, Masked, parse_any};
    use super::*;

    fn by_yaml(text: &str) -> Node {
        let masked = Masked { text: text.into(), ranges: Vec::new() };
        parse_any(text, &masked, 0..text.len(), 1, 0, &Limits::default()).unwrap().root
    }

    fn by_json(text: &str) -> Option<Node> {
        read(text, Point { byte: 0, line: 1, column: 1 }, Limits::default().nodes)
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = "[ -~éλ日\n\t\u{1}]{0,12}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1.0e9_f64..1.0e9).prop_map(Value::from),
            text.prop_map(Value::from)
        ];
        let nested = leaf.prop_recursive(5, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(text, inner, 0..8).prop_map(|table| Value::Object(table.into_iter().collect()))
            ]
        });
        prop::collection::btree_map(text, nested, 0..8).prop_map(|table| Value::Object(table.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn json_is_read_as_the_yaml_parser_reads_it(value in any_json(), is_pretty: bool) {
            let text = if is_pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(by_json(&text), Some(by_yaml(&text)), "{}", text);
        }
    }

    #[test]
    fn what_yaml_reads_in_another_way_is_left_to_it() {
        for text in [
            "a: 1",
            "[1]",
            "{a: 1}",
            r#"{"a": 1, }"#,
            "{\"a\":\t1}",
            "{\"a\"\n:1}",
            r#"{"a": 01x}"#,
            r#"{"a": -}"#,
            r#"{"a": "\ud83d\ude00"}"#,
            r#"{"a": "\x41"}"#,
            "{\"a\": \"x\ny\"}",
            "{\"a\": 1} # c",
            r#"{"a": 1} {"b": 2}"#,
            r#"{"a": &x 1}"#,
            r#"{"a""#,
            r#"{"a": 1"#,
            "{\"a\": \"\u{2028}\"}",
        ] {
            assert_eq!(by_json(text), None, "{text}");
        }
        assert_eq!(by_json(&format!(r#"{{"a": {}1{}}}"#, "[".repeat(FLOW_DEPTH), "]".repeat(FLOW_DEPTH))), None);
        assert_eq!(by_json(&format!(r#"{{"{}": 1}}"#, "a".repeat(KEY_BYTES))), None);
        assert_eq!(read(r#"{"a": [1, 2]}"#, Point { byte: 0, line: 1, column: 1 }, 4), None, "more nodes than allowed");
    }

    #[test]
    fn escapes_and_duplicates_are_as_in_yaml() {
        for text in [r#"{"a\n\"\\\/\té": "\u00e9 é x", "b": [1, -2.5e3, true, null, {}, []]}"#, r#"{"a": 1, "b": 2, "a": {"<<": {"x": 1}}}"#, "{}", "{ }\n"] {
            assert_eq!(by_json(text), Some(by_yaml(text)), "{text}");
        }
    }
}
