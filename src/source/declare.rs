//! Places of spans, for readers.

use std::sync::Arc;

use crate::document::yaml::Span;
use crate::model::place::{Place, Position};

/// The place of a span in a file.
#[must_use]
pub fn place_of(file: &Arc<str>, span: &Span) -> Place {
    let position = |point: crate::document::yaml::Point| Position { line: point.line, column: point.column };
    Place { file: Arc::clone(file), start: position(span.start), end: position(span.end) }
}
