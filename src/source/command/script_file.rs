//! The file that is being read, with its places.

use std::ops::Range;

use crate::document::extract::LineIndex;
use crate::document::shell::{Piece, Word};
use crate::model::place::{Fact, Origin, Place};
use crate::source::SourceFile;
use crate::source::context::Context;
use crate::source::declare::place_of;

/// How much of an expression a message repeats.
const EXPRESSION_CHARACTERS: usize = 60;

/// A file with scripts.
pub(super) struct ScriptFile<'a> {
    pub(super) source: &'a SourceFile,
    pub(super) context: &'a Context<'a>,
    pub(super) lines: LineIndex<'a>,
}

impl<'a> ScriptFile<'a> {
    pub(super) fn new(source: &'a SourceFile, context: &'a Context<'a>) -> Self {
        Self { source, context, lines: LineIndex::new(&source.text) }
    }

    pub(super) fn place(&self, bytes: &Range<usize>) -> Place {
        place_of(&self.source.path, &self.lines.span(bytes))
    }

    /// The text of the file at some bytes.
    pub(super) fn written(&self, bytes: &Range<usize>) -> &'a str {
        self.lines.source().get(bytes.clone()).unwrap_or_default()
    }

    /// A word as it is written, without its quotes.
    pub(super) fn word_written(&self, word: &Word) -> String {
        self.written(&word.bytes).trim_matches('"').to_owned()
    }

    /// The first expression in a word that is not known, as it is written; never more than a few words of it, and nothing around it.
    pub(super) fn expression(&self, word: &Word) -> String {
        let unknown = word.pieces.iter().find(|piece| matches!(piece, Piece::Unknown { .. }));
        let bytes = unknown.map_or(&word.bytes, Piece::bytes);
        let text = self.written(bytes).lines().next().unwrap_or_default();
        text.chars().take(EXPRESSION_CHARACTERS).collect()
    }

    /// What a word says, with its place.
    pub(super) fn fact(&self, word: &Word) -> Fact<std::sync::Arc<str>> {
        let origin = Origin::At(self.place(&word.value_bytes()));
        match (word.text(), word.unknown()) {
            (Some(text), _) if text.trim().is_empty() => Fact::Absent,
            (Some(text), _) => Fact::Known(text.into(), origin),
            (None, reason) => {
                let reason = reason.map(|reason| reason.to_string()).unwrap_or_default();
                Fact::Unknown(format!("`{}`: {reason}", self.expression(word)).into(), origin)
            }
        }
    }

    /// The bytes of the lines on which some bytes stand.
    pub(super) fn whole_lines(&self, bytes: &Range<usize>) -> Range<usize> {
        let start = self.lines.line_start(self.lines.point(bytes.start).line);
        let rest = self.lines.source().as_bytes().get(bytes.end..).unwrap_or_default();
        start..bytes.end + memchr::memchr(b'\n', rest).unwrap_or(rest.len())
    }
}
