//! A text taken out of a file (a script in a workflow, a string in Groovy), with the place of each of its bytes in the file.

use std::ops::Range;

use super::yaml::{Point, Span};

/// Code points between two marks of a [`LineIndex`].
const MARK_BYTES: usize = 1024;

/// Lines and code points of a text, so that a byte offset becomes a line and a column in about constant time, also in endless lines.
#[derive(Debug)]
pub struct LineIndex<'s> {
    source: &'s str,
    starts: Vec<usize>,
    marks: Vec<usize>,
}

impl<'s> LineIndex<'s> {
    /// Reads a text once.
    #[must_use]
    pub fn new(source: &'s str) -> Self {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', source.as_bytes()).map(|i| i + 1)).collect();
        let mut marks = Vec::with_capacity(source.len() / MARK_BYTES + 1);
        let mut count = 0;
        for chunk in source.as_bytes().chunks(MARK_BYTES) {
            marks.push(count);
            count += code_points(chunk);
        }
        Self { source, starts, marks }
    }

    /// The text.
    #[must_use]
    pub fn source(&self) -> &'s str {
        self.source
    }

    /// The point at a byte offset (clamped to the text).
    #[must_use]
    pub fn point(&self, byte: usize) -> Point {
        let byte = byte.min(self.source.len());
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = line.checked_sub(1).and_then(|i| self.starts.get(i)).copied().unwrap_or_default();
        let column = self.code_points_before(byte) - self.code_points_before(start) + 1;
        Point { byte, line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    /// The span of a byte range.
    #[must_use]
    pub fn span(&self, bytes: &Range<usize>) -> Span {
        Span { start: self.point(bytes.start), end: self.point(bytes.end.max(bytes.start)) }
    }

    /// Byte offset of the first character of a 1-based line.
    #[must_use]
    pub fn line_start(&self, line: u32) -> usize {
        let line = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
        self.starts.get(line).copied().unwrap_or(self.source.len())
    }

    fn code_points_before(&self, byte: usize) -> usize {
        let block = byte / MARK_BYTES;
        let before = self.marks.get(block).copied();
        match before {
            Some(count) => count + code_points(self.source.as_bytes().get(block * MARK_BYTES..byte).unwrap_or_default()),
            // One past the last block: the text's length is a multiple of the block's.
            None => {
                let last = block.saturating_sub(1);
                let count = self.marks.get(last).copied().unwrap_or_default();
                count + code_points(self.source.as_bytes().get(last * MARK_BYTES..byte).unwrap_or_default())
            }
        }
    }
}

fn code_points(bytes: &[u8]) -> usize {
    bytes.iter().filter(|b| (**b & 0xc0) != 0x80).count()
}

/// A text and where its bytes stand in the file that it was taken from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extract {
    text: String,
    runs: Vec<Run>,
}

/// From `at` in the extract on, bytes are those from `source` on in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    at: usize,
    source: usize,
}

impl Extract {
    /// A whole file.
    #[must_use]
    pub fn whole(source: &str) -> Self {
        let mut extract = Self::default();
        extract.push(source, 0);
        extract
    }

    /// A part of a file, as it stands there.
    #[must_use]
    pub fn part(source: &str, bytes: Range<usize>) -> Self {
        let mut extract = Self::default();
        extract.push(source.get(bytes.clone()).unwrap_or_default(), bytes.start);
        extract
    }

    /// Appends a text that stands at this byte of the file.
    pub fn push(&mut self, text: &str, source: usize) {
        let at = self.text.len();
        let goes_on = self.runs.last().is_some_and(|last| last.source + (at - last.at) == source);
        if !goes_on {
            self.runs.push(Run { at, source });
        }
        self.text.push_str(text);
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The byte of the file at which a byte of the extract stands.
    #[must_use]
    pub fn source_byte(&self, at: usize) -> usize {
        let after = self.runs.partition_point(|run| run.at <= at);
        match after.checked_sub(1).and_then(|i| self.runs.get(i)) {
            Some(run) => run.source + (at - run.at),
            None => at,
        }
    }

    /// The bytes of the file that a range of the extract stands for.
    #[must_use]
    pub fn source_bytes(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.source_byte(range.start);
        if range.end <= range.start {
            return start..start;
        }
        // The end is one past the last byte, not the start of what follows elsewhere.
        start..self.source_byte(range.end - 1) + 1
    }

    /// The pieces of the text, each with the byte of the file at which it stands.
    pub fn runs(&self) -> impl Iterator<Item = (&str, usize)> {
        self.runs.iter().enumerate().map(|(i, run)| {
            let end = self.runs.get(i + 1).map_or(self.text.len(), |next| next.at);
            (self.text.get(run.at..end).unwrap_or_default(), run.source)
        })
    }

    /// A part of the extract, with its places in the file.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let mut part = Self::default();
        let mut at = range.start;
        let mut next = self.runs.partition_point(|run| run.at <= at);
        while at < range.end {
            let end = self.runs.get(next).map_or(range.end, |run| run.at.min(range.end));
            part.push(self.text.get(at..end).unwrap_or_default(), self.source_byte(at));
            if end <= at {
                break;
            }
            at = end;
            next += 1;
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_count_code_points_also_far_into_a_line() {
        let source = format!("é\n{}x", "é".repeat(3000));
        let lines = LineIndex::new(&source);
        let point = lines.point(source.len() - 1);
        assert_eq!((point.line, point.column), (2, 3001));
        let end = lines.point(source.len());
        assert_eq!((end.line, end.column), (2, 3002));
        let full = "a".repeat(MARK_BYTES * 2);
        assert_eq!(LineIndex::new(&full).point(full.len()).column, 2049);
    }

    #[test]
    fn an_extract_remembers_where_its_pieces_stood() {
        let mut extract = Extract::default();
        extract.push("ab", 10);
        extract.push("cd", 12);
        extract.push("ef", 20);
        assert_eq!((extract.text(), extract.runs.len()), ("abcdef", 2));
        assert_eq!(extract.source_bytes(&(1..4)), 11..14);
        assert_eq!(extract.source_bytes(&(3..5)), 13..21);
        let part = extract.slice(3..6);
        assert_eq!((part.text(), part.source_byte(0), part.source_byte(1)), ("def", 13, 20));
    }
}
