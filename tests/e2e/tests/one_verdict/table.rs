//! The table: a row for each change.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Change;
use super::columns::{Column, Verdict};
use super::gates::Judged;
use super::linter::Read;

/// What is said of a change.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// What the table of changes expects of the linter.
    pub(super) expected: &'static str,
    /// Columns that have no such object are absent.
    pub(super) told: BTreeMap<Column, Verdict>,
    /// What the linter says, together with what was so before.
    pub(super) all: Verdict,
}

impl Row {
    pub(super) fn new(change: &Change, read: &BTreeMap<Column, Read>, judged: &Judged) -> Self {
        let told = read.iter().map(|(column, read)| (column, &read.new)).chain(&judged.told).map(|(column, verdict)| (*column, verdict.clone())).collect();
        Self { name: change.case.name, expected: change.case.expected, told, all: read[&Column::Files].all.clone() }
    }

    pub(super) fn of(&self, column: Column) -> Option<&Verdict> {
        self.told.get(&column)
    }
}

/// In Markdown: what the linter says, and where another says something else.
pub(super) fn shown(rows: &[Row]) -> String {
    let columns = [Column::Files, Column::Helm3, Column::Helm4, Column::HelmRelease, Column::Application, Column::HelmChart, Column::Applied];
    let mut lines = vec![std::iter::once("change").chain(columns.map(Column::title)).map(str::to_owned).collect::<Vec<_>>()];
    for row in rows {
        let files = &row.told[&Column::Files];
        let cell = |column: Column| match row.of(column) {
            None => "-".to_owned(),
            Some(verdict) if column != Column::Files && verdict == files => "=".to_owned(),
            Some(verdict) if verdict.is_empty() => "nothing".to_owned(),
            Some(verdict) => verdict.iter().cloned().collect::<Vec<_>>().join(", "),
        };
        lines.push(std::iter::once(row.name.to_owned()).chain(columns.map(cell)).collect());
    }
    let widths: Vec<usize> = (0..=columns.len()).map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or_default()).collect();
    lines.insert(1, widths.iter().map(|width| "-".repeat(*width)).collect());
    let mut text = String::from("\n`=`: what milvus-lint says of the files; `-`: no such object; E refuses (gate 3: holds and blocks), W warns.\n\n");
    for line in lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(text, "| {} |", cells.join(" | ")).unwrap();
    }
    text
}
