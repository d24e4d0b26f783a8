//! Template expressions inside YAML (`{{ }}`, `${ }`, `${{ }}`): hidden from the YAML parser, remembered by place, never guessed.

use std::borrow::Cow;
use std::ops::Range;

/// A text whose template expressions are replaced by harmless characters of the same number, so that every line and column stays.
#[derive(Debug)]
pub struct Masked<'s> {
    /// The text for the parser.
    pub text: Cow<'s, str>,
    /// Byte ranges of the expressions, in `text` and in the source alike, ascending.
    pub ranges: Vec<Range<usize>>,
}

impl Masked<'_> {
    /// Whether a template expression touches these bytes.
    #[must_use]
    pub fn touches(&self, bytes: &Range<usize>) -> bool {
        let first = self.ranges.partition_point(|r| r.end <= bytes.start);
        self.ranges.get(first).is_some_and(|r| r.start < bytes.end)
    }
}

/// Whether a text is nothing but a variable (`$TAG`), which `envsubst` or a shell fills in.
#[must_use]
pub fn is_variable(text: &str) -> bool {
    text.strip_prefix('$')
        .is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// Hides template expressions. A line of nothing but Go template actions becomes a comment. An expression that is never closed stays as it is.
#[must_use]
pub fn mask(source: &str) -> Masked<'_> {
    if memchr::memmem::find(source.as_bytes(), b"{{").is_none() && memchr::memmem::find(source.as_bytes(), b"${").is_none() {
        return Masked { text: Cow::Borrowed(source), ranges: Vec::new() };
    }
    let ranges = expressions(source);
    if ranges.is_empty() {
        return Masked { text: Cow::Borrowed(source), ranges };
    }
    let mut text = String::with_capacity(source.len());
    let mut at = 0;
    for range in &ranges {
        text.push_str(source.get(at..range.start).unwrap_or_default());
        let hidden = source.get(range.clone()).unwrap_or_default();
        let alone = is_alone_on_its_lines(source, range, &ranges);
        let filler = if alone { '#' } else { 'T' };
        // Bytes keep their number too: a character of several bytes becomes as many fillers only where that keeps offsets right.
        for c in hidden.chars() {
            match c {
                '\n' | '\r' => text.push(c),
                _ if c.is_ascii() => text.push(filler),
                _ => text.push(c),
            }
        }
        at = range.end;
    }
    text.push_str(source.get(at..).unwrap_or_default());
    Masked { text: Cow::Owned(text), ranges }
}

/// Byte ranges of all closed expressions, ascending and disjoint.
fn expressions(source: &str) -> Vec<Range<usize>> {
    let bytes = source.as_bytes();
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'{', b'$', rest)) {
        let start = at + found;
        let rest = bytes.get(start..).unwrap_or_default();
        let (open, close): (usize, &[u8]) = if rest.starts_with(b"${{") {
            (3, b"}}")
        } else if rest.starts_with(b"{{") {
            (2, b"}}")
        } else if rest.starts_with(b"${") {
            (2, b"}")
        } else {
            at = start + 1;
            continue;
        };
        // An expression does not run over more than a few lines; what is not closed there is not one.
        let window = rest.get(open..rest.len().min(open + 4096)).unwrap_or_default();
        match memchr::memmem::find(window, close) {
            Some(length) => {
                let end = start + open + length + close.len();
                ranges.push(start..end);
                at = end;
            }
            None => at = start + open,
        }
    }
    ranges
}

/// Whether nothing but blanks and other expressions shares the lines of this expression.
fn is_alone_on_its_lines(source: &str, range: &Range<usize>, all: &[Range<usize>]) -> bool {
    let is_hidden = |at: usize| {
        let i = all.partition_point(|r| r.end <= at);
        all.get(i).is_some_and(|r| r.contains(&at))
    };
    let before = source.get(..range.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let after = source.get(range.end..).unwrap_or_default();
    let line_end = range.end + after.find('\n').unwrap_or(after.len());
    let line = source.as_bytes();
    (line_start..range.start).chain(range.end..line_end).all(|at| line.get(at).is_some_and(u8::is_ascii_whitespace) || is_hidden(at))
        && source.get(range.clone()).is_some_and(|text| text.starts_with("{{"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_keeps_its_width_and_lines_of_actions_become_comments() {
        let masked = mask("{{- if .x }}\na: {{ .y }}\nb: ${{ z }}-${V}\n{{ end }}\n");
        assert_eq!(masked.text, "############\na: TTTTTTTT\nb: TTTTTTTT-TTTT\n#########\n");
        assert_eq!(masked.ranges.len(), 5);
    }

    #[test]
    fn an_open_expression_is_left_alone() {
        assert_eq!(mask("a: {{ b\n").text, "a: {{ b\n");
    }
}
