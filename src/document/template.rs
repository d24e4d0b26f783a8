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

/// How reasons tell of a variable that nothing in sight sets.
const NOTHING_SETS_IT: &str = "nothing here sets";

/// Why the value of a variable is unknown that nothing in sight sets: `nothing here sets TAG`.
#[must_use]
pub fn nothing_sets(name: &str) -> String {
    format!("{NOTHING_SETS_IT} `{name}`")
}

/// Whether a reason tells of a variable that nothing in sight sets.
#[must_use]
pub fn is_set_by_nothing(reason: &str) -> bool {
    reason.contains(NOTHING_SETS_IT)
}

/// Whether a text is one variable without a default, as `envsubst`, a shell or Flux fills it in: `$TAG`, `${TAG}`.
#[must_use]
pub fn is_bare_variable(text: &str) -> bool {
    let text = text.trim_matches(['"', '\'']);
    let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inner.map_or_else(|| is_variable(text), |name| is_variable(&format!("${name}")))
}

/// Hides template expressions. A line of nothing but Go template actions becomes a comment. An expression that is never closed stays as it is.
#[must_use]
pub fn mask(source: &str) -> Masked<'_> {
    if memchr::memchr2(b'{', b'$', source.as_bytes()).is_none() {
        return Masked { text: Cow::Borrowed(source), ranges: Vec::new() };
    }
    let ranges = expressions(source);
    if ranges.is_empty() {
        return Masked { text: Cow::Borrowed(source), ranges };
    }
    let lines = Lines::of(source, &ranges);
    let mut text = String::with_capacity(source.len());
    let mut at = 0;
    for range in &ranges {
        text.push_str(source.get(at..range.start).unwrap_or_default());
        let hidden = source.get(range.clone()).unwrap_or_default();
        let alone = lines.is_alone(source, range);
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

/// The longest expression, in bytes.
const MAX_EXPRESSION_BYTES: usize = 4096;

/// Finds the next end of an expression. It remembers what it found, so that a text full of beginnings is searched once.
struct Next {
    end: &'static [u8],
    found: Option<usize>,
    searched_from: Option<usize>,
}

impl Next {
    fn of(end: &'static [u8]) -> Self {
        Self { end, found: None, searched_from: None }
    }

    /// One past the next end at or after a position.
    fn at(&mut self, bytes: &[u8], from: usize) -> Option<usize> {
        let is_known = self.searched_from.is_some_and(|searched| searched <= from) && self.found.is_none_or(|end| end >= from + self.end.len());
        if !is_known {
            self.found = bytes.get(from..).and_then(|rest| memchr::memmem::find(rest, self.end)).map(|at| from + at + self.end.len());
            self.searched_from = Some(from);
        }
        self.found
    }
}

/// Byte ranges of all closed expressions, ascending and disjoint.
fn expressions(source: &str) -> Vec<Range<usize>> {
    let bytes = source.as_bytes();
    let mut ranges = Vec::new();
    let (mut double, mut single) = (Next::of(b"}}"), Next::of(b"}"));
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'{', b'$', rest)) {
        let start = at + found;
        let rest = bytes.get(start..).unwrap_or_default();
        let (open, close) = if rest.starts_with(b"${{") {
            (3, &mut double)
        } else if rest.starts_with(b"{{") {
            (2, &mut double)
        } else if rest.starts_with(b"${") {
            (2, &mut single)
        } else {
            at = start + 1;
            continue;
        };
        // An expression does not run over more than a few lines; what is not closed there is not one.
        let inner = start + open;
        match close.at(bytes, inner) {
            Some(end) if end - inner <= MAX_EXPRESSION_BYTES => {
                ranges.push(start..end);
                at = end;
            }
            _ => at = inner,
        }
    }
    ranges
}

/// The lines of a text on which something visible stands outside of expressions.
struct Lines {
    /// Where lines end, ascending.
    ends: Vec<usize>,
    /// For each line whether something visible stands on it.
    has_text: Vec<bool>,
}

impl Lines {
    fn of(source: &str, ranges: &[Range<usize>]) -> Self {
        let bytes = source.as_bytes();
        let ends: Vec<usize> = memchr::memchr_iter(b'\n', bytes).collect();
        let mut has_text = vec![false; ends.len() + 1];
        let starts = std::iter::once(0).chain(ranges.iter().map(|range| range.end));
        let stops = ranges.iter().map(|range| range.start).chain(std::iter::once(bytes.len()));
        for (start, stop) in starts.zip(stops) {
            let mut line = ends.partition_point(|end| *end < start);
            for byte in bytes.get(start..stop).unwrap_or_default() {
                if *byte == b'\n' {
                    line += 1;
                } else if !byte.is_ascii_whitespace()
                    && let Some(has_text) = has_text.get_mut(line)
                {
                    *has_text = true;
                }
            }
        }
        Self { ends, has_text }
    }

    /// Whether nothing but blanks and other expressions shares the lines of a Go template action.
    fn is_alone(&self, source: &str, range: &Range<usize>) -> bool {
        let is_free = |at: usize| !self.has_text.get(self.ends.partition_point(|end| *end < at)).copied().unwrap_or(true);
        source.get(range.clone()).is_some_and(|text| text.starts_with("{{")) && is_free(range.start) && is_free(range.end)
    }
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
    fn a_line_full_of_expressions_is_searched_once() {
        let started = std::time::Instant::now();
        let text = "{{".repeat(1_000_000);
        assert_eq!(mask(&text).ranges, []);
        assert_eq!(mask(&format!("{text} }}}}")).ranges.len(), 1);
        assert_eq!(mask(&"{{a}}".repeat(200_000)).text, "#".repeat(1_000_000));
        assert!(started.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn an_open_expression_is_left_alone() {
        assert_eq!(mask("a: {{ b\n").text, "a: {{ b\n");
    }
}
