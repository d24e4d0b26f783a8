//! Parts that several machine formats share.

use serde::Serialize;

use super::gap_rule;
use crate::model::finding::Gap;
use crate::model::place::{Place, Position};

/// A range in 1-based lines and columns, `end` exclusive and never before the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) start: Position,
    pub(super) end: Position,
}

impl Region {
    /// The range of a place, made sound where the place is not.
    pub(super) fn of(place: &Place) -> Self {
        let sound = |position: Position| Position { line: position.line.max(1), column: position.column.max(1) };
        let start = sound(place.start);
        Self { start, end: sound(place.end).max(start) }
    }
}

/// A place as JSON shows it.
#[derive(Debug, Serialize)]
pub(super) struct PlaceWire<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
}

impl<'a> From<&'a Place> for PlaceWire<'a> {
    fn from(place: &'a Place) -> Self {
        let Region { start, end } = Region::of(place);
        Self { file: &place.file, line: start.line, column: start.column, end_line: end.line, end_column: end.column }
    }
}

/// A gap as JSON shows it.
#[derive(Debug, Serialize)]
pub(super) struct GapWire<'a> {
    file: &'a str,
    place: Option<PlaceWire<'a>>,
    reason: &'a str,
    rule: &'static str,
}

impl<'a> From<&'a Gap> for GapWire<'a> {
    fn from(gap: &'a Gap) -> Self {
        Self { file: &gap.file, place: gap.place.as_ref().map(Into::into), reason: &gap.reason, rule: gap_rule(gap.kind) }
    }
}
