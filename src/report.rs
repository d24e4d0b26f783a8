//! Turns what was found, and what was planned, into text for people and machines. Knows no rule: rule pages are handed in.

pub mod clean;
mod excerpt;
pub mod github;
pub mod json;
pub mod mask;
pub mod plan_json;
pub mod plan_markdown;
pub mod plan_text;
pub mod sarif;
pub mod schema;
pub mod text;
mod wire;
pub mod wrap;

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::declaration::NotCheckedKind;
use crate::model::finding::{Finding, Gap, Label, Report, Severity};
use crate::model::place::Place;

/// Which program made a report, and on which knowledge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The program, `milvus-lint`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Number of chart versions in the catalogue.
    pub catalogue_charts: usize,
    /// Newest chart version in the catalogue.
    pub catalogue_newest: String,
}

/// What a report says about a rule beyond its findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// Id, `MV205`.
    pub id: String,
    /// Name, kebab-case.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Why it matters; a paragraph.
    pub description: String,
    /// The rule's page as plain text.
    pub help_text: String,
    /// The rule's page as Markdown.
    pub help_markdown: String,
    /// Severity that the rule has when nothing changes it.
    pub severity: Severity,
    /// Where the page can be read.
    pub help_uri: Option<String>,
}

/// The texts of the files that findings point at.
pub trait Sources {
    /// The text of a file as it was checked; nothing when it is not at hand, then no excerpt is shown.
    fn text(&self, file: &str) -> Option<Arc<str>>;

    /// The text of a file as it was before the change, where there was one.
    fn text_before(&self, _file: &str) -> Option<Arc<str>> {
        None
    }
}

/// No text is at hand: reports name places without excerpts.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSources;

impl Sources for NoSources {
    fn text(&self, _file: &str) -> Option<Arc<str>> {
        None
    }
}

/// The rule that stands for a kind of gap.
#[must_use]
pub fn gap_rule(kind: NotCheckedKind) -> &'static str {
    match kind {
        NotCheckedKind::NotRead => "MV901",
        NotCheckedKind::PartlyChecked => "MV902",
        NotCheckedKind::LimitsExceeded => "MV905",
    }
}

/// The severity with which a gap is shown.
fn gap_severity(kind: NotCheckedKind) -> Severity {
    match kind {
        NotCheckedKind::NotRead | NotCheckedKind::LimitsExceeded => Severity::Warning,
        NotCheckedKind::PartlyChecked => Severity::Info,
    }
}

/// Findings by file, place, rule and fingerprint: every format shows this order, whatever order they were found in.
fn ordered_findings(report: &Report) -> Vec<&Finding> {
    let mut findings: Vec<&Finding> = report.findings.iter().collect();
    findings.sort_by(|a, b| finding_key(a).cmp(&finding_key(b)));
    findings
}

fn finding_key(finding: &Finding) -> (&str, Option<&Place>, &str, &str, &str) {
    let place = finding.locations.first().map(|label| &label.place);
    let file = place.map_or(&*finding.release.path, |place| &*place.file);
    (file, place, &finding.rule, &finding.fingerprint, &finding.message)
}

/// The places of a finding in the text that was checked: the first, and the others but those of the text before.
fn places_now(finding: &Finding) -> impl Iterator<Item = &Label> {
    finding.locations.iter().enumerate().filter(|(index, label)| *index == 0 || !label.before).map(|(_, label)| label)
}

/// The further places of a finding in the text before the change, in words: formats that know one text only cannot point there.
fn places_before(finding: &Finding) -> impl Iterator<Item = String> {
    finding.locations.iter().skip(1).filter(|label| label.before).map(|label| format!("before the change: {} ({})", label.text, label.place))
}

/// What supports a finding, in words and with its places: for formats that have one text for all.
fn notes(finding: &Finding) -> impl Iterator<Item = String> {
    let evidence = finding.evidence.iter().map(|note| match &note.place {
        Some(place) => format!("{} ({place})", note.text),
        None => note.text.clone(),
    });
    evidence.chain(places_before(finding))
}

/// Gaps by file, place, kind and reason.
fn ordered_gaps(report: &Report) -> Vec<&Gap> {
    let mut gaps: Vec<&Gap> = report.not_checked.iter().collect();
    gaps.sort_by(|a, b| (&a.file, &a.place, gap_rule(a.kind), &a.reason).cmp(&(&b.file, &b.place, gap_rule(b.kind), &b.reason)));
    gaps
}

/// Gaps that no finding tells of: what people read names each once.
fn untold_gaps(report: &Report) -> Vec<&Gap> {
    let mut by_place: HashMap<(&str, &str), Vec<&Finding>> = HashMap::new();
    for finding in &report.findings {
        if let Some(label) = finding.locations.first() {
            by_place.entry((&finding.rule, &label.place.file)).or_default().push(finding);
        }
    }
    let is_told = |gap: &Gap| by_place.get(&(gap_rule(gap.kind), &*gap.file)).is_some_and(|findings| findings.iter().any(|finding| is_about(finding, gap)));
    ordered_gaps(report).into_iter().filter(|gap| !is_told(gap)).collect()
}

/// Whether a finding already tells of a gap.
fn is_about(finding: &Finding, gap: &Gap) -> bool {
    *finding.rule == *gap_rule(gap.kind)
        && finding.locations.first().is_some_and(|label| label.place.file == gap.file && gap.place.as_ref().is_none_or(|place| *place == label.place))
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod robustness;
