//! The JSON of `check`, schema version 1; the schema is `policies/schema/check.schema.json`.

use std::borrow::Cow;
use std::io;

use serde::{Serialize, Serializer};

use super::wire::{GapWire, PlaceWire};
use super::{Tool, ordered_findings, ordered_gaps, places_before, places_now};
use crate::model::declaration::{Applier, Form};
use crate::model::finding::{Baseline, EvidenceNote, Finding, Fix, Gap, Label, Report, Severity, Summary};

/// Version of the shape; a change that breaks readers counts it up.
pub const SCHEMA_VERSION: u32 = 1;

/// Writes a report as indented JSON with a line end. Give it a buffered writer.
///
/// # Errors
/// When the writer fails.
pub fn write(out: &mut dyn io::Write, report: &Report, tool: &Tool) -> io::Result<()> {
    let wire = CheckWire {
        schema_version: SCHEMA_VERSION,
        tool: ToolWire { name: &tool.name, version: &tool.version, catalogue: CatalogueWire { charts: tool.catalogue_charts, newest: &tool.catalogue_newest } },
        base: report.base.as_deref(),
        findings: Each(ordered_findings(report), finding),
        not_checked: Each(ordered_gaps(report), GapWire::from),
        summary: report.summary,
    };
    serde_json::to_writer_pretty(&mut *out, &wire)?;
    out.write_all(b"\n")
}

/// Items that are turned into their wire form one by one while they are written.
struct Each<'a, T, W>(Vec<&'a T>, fn(&'a T) -> W);

impl<T, W: Serialize> Serialize for Each<'_, T, W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|item| (self.1)(item)))
    }
}

#[derive(Serialize)]
struct CheckWire<'a> {
    schema_version: u32,
    tool: ToolWire<'a>,
    base: Option<&'a str>,
    findings: Each<'a, Finding, FindingWire<'a>>,
    not_checked: Each<'a, Gap, GapWire<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct ToolWire<'a> {
    name: &'a str,
    version: &'a str,
    catalogue: CatalogueWire<'a>,
}

#[derive(Serialize)]
struct CatalogueWire<'a> {
    charts: usize,
    newest: &'a str,
}

#[derive(Serialize)]
struct FindingWire<'a> {
    rule: &'a str,
    name: &'a str,
    severity: Severity,
    message: &'a str,
    release: ReleaseWire<'a>,
    before: Option<&'a str>,
    after: Option<&'a str>,
    locations: Vec<LabelWire<'a>>,
    remedy: &'a str,
    evidence: Vec<EvidenceWire<'a>>,
    fixes: Vec<FixWire<'a>>,
    waived: bool,
    baseline: Option<Baseline>,
    fingerprint: &'a str,
}

#[derive(Serialize)]
struct ReleaseWire<'a> {
    form: Form,
    path: &'a str,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    chart: Option<&'a str>,
    milvus: Option<&'a str>,
    applier: Applier,
}

#[derive(Serialize)]
struct LabelWire<'a> {
    #[serde(flatten)]
    place: PlaceWire<'a>,
    label: &'a str,
}

#[derive(Serialize)]
struct EvidenceWire<'a> {
    text: Cow<'a, str>,
    location: Option<PlaceWire<'a>>,
}

#[derive(Serialize)]
struct FixWire<'a> {
    title: &'a str,
    safe: bool,
    location: PlaceWire<'a>,
    replacement: &'a str,
}

fn finding(finding: &Finding) -> FindingWire<'_> {
    let release = &finding.release;
    FindingWire {
        rule: &finding.rule,
        name: &finding.name,
        severity: finding.severity,
        message: &finding.message,
        release: ReleaseWire {
            form: release.form,
            path: &release.path,
            namespace: release.namespace.as_deref(),
            name: release.name.as_deref(),
            chart: release.chart.as_deref(),
            milvus: release.milvus.as_deref(),
            applier: release.applier,
        },
        before: finding.before.as_deref(),
        after: finding.after.as_deref(),
        locations: places_now(finding).map(|Label { place, text, .. }| LabelWire { place: place.into(), label: text }).collect(),
        remedy: &finding.remedy,
        evidence: finding
            .evidence
            .iter()
            .map(|EvidenceNote { text, place }| EvidenceWire { text: text.into(), location: place.as_ref().map(Into::into) })
            .chain(places_before(finding).map(|text| EvidenceWire { text: text.into(), location: None }))
            .collect(),
        fixes: finding
            .fixes
            .iter()
            .map(|Fix { title, safe, place, replacement }| FixWire { title, safe: *safe, location: place.into(), replacement })
            .collect(),
        waived: finding.waived,
        baseline: finding.baseline,
        fingerprint: &finding.fingerprint,
    }
}
