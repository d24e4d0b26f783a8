//! Words: quotes, escapes, literal text. Expansions are in `expansion`.

use std::ops::Range;

use super::super::{Part, RawWord};
use super::{Lexer, OPEN_QUOTE};

impl Lexer<'_> {
    /// Reads one word. It has no parts when none begins here.
    pub(super) fn word(&mut self) -> RawWord {
        let start = self.at;
        let mut parts = Vec::new();
        while let Some(c) = self.peek(0) {
            match c {
                b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' => break,
                b'\r' if self.peek(1) == Some(b'\n') => break,
                b'<' | b'>' if self.peek(1) == Some(b'(') => {
                    let from = self.at;
                    self.at += 2;
                    self.substitution();
                    parts.push(Part::Unknown { reason: "it is what another command writes", quoted: true, bytes: from..self.at });
                }
                b'<' if self.at_template() => self.template(&mut parts),
                b'<' | b'>' => break,
                b'\\' => {
                    if self.continuation().is_some() || self.sloppy_continuation().is_some() {
                        break;
                    }
                    self.escape(&mut parts);
                }
                b'\'' => self.single_quoted(&mut parts),
                b'"' => self.double_quoted(&mut parts),
                b'`' => self.backquotes(&mut parts, false),
                b'$' => self.dollar(&mut parts, false),
                b'{' if self.starts_with(b"{{") => self.template(&mut parts),
                _ => self.plain(&mut parts),
            }
        }
        RawWord { parts, bytes: start..self.at }
    }

    fn plain(&mut self, parts: &mut Vec<Part>) {
        let from = self.at;
        let is_special =
            |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' | b'\\' | b'\'' | b'"' | b'`' | b'$' | b'{');
        let length = self.rest().iter().position(is_special).unwrap_or(self.end - self.at);
        // A lone `{` or carriage return is text.
        self.at += length.max(1);
        push_text(parts, self.slice(from..self.at), from..self.at, false);
    }

    fn escape(&mut self, parts: &mut Vec<Part>) {
        let from = self.at + 1;
        self.at = from + self.character_length(from);
        push_text(parts, self.slice(from..self.at), from..self.at, true);
    }

    /// Bytes of the character at a byte offset.
    pub(super) fn character_length(&self, at: usize) -> usize {
        self.text.get(at..self.end).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
    }

    pub(super) fn single_quoted(&mut self, parts: &mut Vec<Part>) {
        let from = self.at + 1;
        let (to, next) = match self.closing(b'\'', from) {
            Ok(to) => (to, to + 1),
            Err(limit) => {
                self.report_open_quote(self.at);
                (limit, limit)
            }
        };
        // What surrounds a script may fill in templates inside quotes too.
        let mut run = from;
        self.at = from;
        while let Some(offset) = memchr::memmem::find(self.bytes.get(self.at..to).unwrap_or_default(), b"{{") {
            let mut at = self.at + offset;
            if at > run && self.bytes.get(at - 1) == Some(&b'$') {
                at -= 1;
            }
            self.at = at;
            match self.template_at() {
                Some((expression, end)) if end <= to => {
                    if run < at {
                        push_text(parts, self.slice(run..at), run..at, true);
                    }
                    parts.push(Part::Template { expression, bytes: at..end });
                    self.at = end;
                    run = end;
                }
                _ => self.at = (at + 3).min(to),
            }
        }
        if run < to || run == from {
            push_text(parts, self.slice(run..to), run..to, true);
        }
        self.at = next;
    }

    /// Where a quote closes, or where it must end because it does not.
    pub(super) fn closing(&self, quote: u8, from: usize) -> Result<usize, usize> {
        let rest = self.bytes.get(from..self.end).unwrap_or_default();
        let found = if self.quotes_end_with_line { memchr::memchr2(quote, b'\n', rest) } else { memchr::memchr(quote, rest) };
        match found.map(|i| from + i) {
            Some(at) if self.bytes.get(at) == Some(&quote) => Ok(at),
            Some(at) => Err(at),
            None => Err(self.end),
        }
    }

    pub(super) fn report_open_quote(&mut self, at: usize) {
        self.open_quote.get_or_insert(at);
        self.break_at(at, OPEN_QUOTE);
    }

    pub(super) fn double_quoted(&mut self, parts: &mut Vec<Part>) {
        let opened = self.at;
        self.at += 1;
        let before = parts.len();
        let mut run = self.at;
        loop {
            let Some(c) = self.peek(0) else {
                self.flush(parts, run);
                self.report_open_quote(opened);
                break;
            };
            match c {
                b'"' => {
                    self.flush(parts, run);
                    self.at += 1;
                    break;
                }
                b'\n' if self.quotes_end_with_line => {
                    self.flush(parts, run);
                    self.report_open_quote(opened);
                    break;
                }
                b'\\' => {
                    // A continuation vanishes; before some characters only the backslash does.
                    let vanishes = self.continuation().or_else(|| matches!(self.peek(1), Some(b'$' | b'`' | b'"' | b'\\')).then_some(1));
                    match vanishes {
                        Some(skip) => {
                            self.flush(parts, run);
                            self.at += skip;
                            run = self.at;
                            self.at += usize::from(skip == 1);
                        }
                        None => self.at += 1,
                    }
                }
                b'$' | b'`' => {
                    self.flush(parts, run);
                    if c == b'$' {
                        self.dollar(parts, true)
                    } else {
                        self.backquotes(parts, true)
                    }
                    run = self.at;
                }
                b'{' | b'<' if self.at_template() => {
                    self.flush(parts, run);
                    self.template(parts);
                    run = self.at;
                }
                _ => {
                    let is_special = |b: &u8| matches!(b, b'"' | b'\\' | b'$' | b'`' | b'\n' | b'{' | b'<');
                    let length = self.rest().iter().position(is_special).unwrap_or(self.end - self.at);
                    self.at += length.max(1);
                }
            }
        }
        if parts.len() == before {
            parts.push(Part::Text { text: String::new(), bytes: opened + 1..opened + 1, quoted: true });
        }
    }

    /// All the rest as the text of a here-document: only `$`, backquotes and backslashes mean something.
    pub(super) fn heredoc_parts(&mut self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut run = self.at;
        while let Some(offset) = memchr::memchr3(b'$', b'`', b'\\', self.rest()) {
            self.at += offset;
            match self.peek(0) {
                Some(b'\\') => match self.continuation().or_else(|| matches!(self.peek(1), Some(b'$' | b'`' | b'\\')).then_some(1)) {
                    Some(skip) => {
                        self.flush(&mut parts, run);
                        self.at += skip;
                        run = self.at;
                        self.at += usize::from(skip == 1);
                    }
                    None => self.at += 1,
                },
                c => {
                    self.flush(&mut parts, run);
                    if c == Some(b'$') {
                        self.dollar(&mut parts, true)
                    } else {
                        self.backquotes(&mut parts, true)
                    }
                    run = self.at;
                }
            }
        }
        self.at = self.end;
        self.flush(&mut parts, run);
        parts
    }

    /// Takes the text since `run` as a part.
    pub(super) fn flush(&self, parts: &mut Vec<Part>, run: usize) {
        if run < self.at {
            push_text(parts, self.slice(run..self.at), run..self.at, true);
        }
    }

    /// `$'...'`
    pub(super) fn ansi_quoted(&mut self, parts: &mut Vec<Part>) {
        let opened = self.at;
        self.at += 2;
        let start = self.at;
        let mut run = start;
        while let Some(c) = self.peek(0) {
            match c {
                b'\n' if self.quotes_end_with_line => break,
                b'\'' => {
                    self.flush(parts, run);
                    if self.at == start {
                        parts.push(Part::Text { text: String::new(), bytes: start..start, quoted: true });
                    }
                    self.at += 1;
                    return;
                }
                b'\\' => {
                    self.flush(parts, run);
                    let text = match self.peek(1) {
                        Some(b'n') => "\n",
                        Some(b't') => "\t",
                        Some(b'r') => "\r",
                        Some(b'\\') => "\\",
                        Some(b'\'') => "'",
                        Some(b'"') => "\"",
                        _ => {
                            self.at += 1;
                            run = self.at;
                            continue;
                        }
                    };
                    parts.push(Part::Text { text: text.into(), bytes: self.at..self.at + 2, quoted: true });
                    self.at += 2;
                    run = self.at;
                }
                _ => self.at += 1,
            }
        }
        self.flush(parts, run);
        self.report_open_quote(opened);
    }
}

/// Adds text; what directly follows text of the same kind is joined with it.
pub(super) fn push_text(parts: &mut Vec<Part>, text: &str, bytes: Range<usize>, quoted: bool) {
    if let Some(Part::Text { text: last, bytes: last_bytes, quoted: last_quoted }) = parts.last_mut()
        && last_bytes.end == bytes.start
        && *last_quoted == quoted
        && last_bytes.len() == last.len()
    {
        last.push_str(text);
        last_bytes.end = bytes.end;
        return;
    }
    parts.push(Part::Text { text: text.to_owned(), bytes, quoted });
}
