//! The start of a declaration, for readers to fill in.

use std::sync::Arc;

use crate::document::yaml::Span;
use crate::model::declaration::{Applier, ChartSource, Declaration, Form, Identity, Lineage, Operation, ValuesStrategy};
use crate::model::place::{Fact, Place, Position};

/// A declared state about which nothing is known yet but its form, scope and place; its file is the one of the place.
#[must_use]
pub fn blank(form: Form, scope: &str, place: Place) -> Declaration {
    Declaration {
        identity: Identity { form, scope: scope.into(), namespace: None, name: None },
        path: place.file.clone(),
        place,
        name: Fact::Absent,
        namespace: Fact::Absent,
        operation: Operation::Declare,
        chart: ChartSource { repository: Fact::Absent, name: Fact::Absent, version: Fact::Absent, lineage: Lineage::Unknown, vendored: None },
        layers: Vec::new(),
        image: Fact::Absent,
        applier: Applier::Unknown,
        strategy: ValuesStrategy::Replace,
        flags: Vec::new(),
        helm: Fact::Absent,
        kubernetes: Fact::Absent,
        evidence: Vec::new(),
        gaps: Vec::new(),
        lock: None,
        rendered: None,
        misplaced: Vec::new(),
        source_only: false,
    }
}

/// The place of a span in a file.
#[must_use]
pub fn place_of(file: &Arc<str>, span: &Span) -> Place {
    let position = |point: crate::document::yaml::Point| Position { line: point.line, column: point.column };
    Place { file: Arc::clone(file), start: position(span.start), end: position(span.end) }
}
