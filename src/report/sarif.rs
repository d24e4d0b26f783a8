//! SARIF 2.1.0: the subset that code scanning services read, valid against the official schema.

mod percent;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use serde::{Serialize, Serializer};

use super::wire::Region;
use super::{RuleInfo, Tool, gap_rule, gap_severity, notes, ordered_findings, ordered_gaps, places_before, places_now};
use crate::model::finding::{Baseline, Finding, Fix, Gap, Report, Severity};
use crate::model::place::Place;

/// Paths are relative to the root of the repository.
const ROOT: &str = "%SRCROOT%";
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Writes a report. Of `rules` only those that occur are told. Give it a buffered writer.
///
/// # Errors
/// When the writer fails.
pub fn write(out: &mut dyn io::Write, report: &Report, tool: &Tool, rules: &[RuleInfo]) -> io::Result<()> {
    let findings = ordered_findings(report);
    let gaps = ordered_gaps(report);
    let known: BTreeMap<&str, &RuleInfo> = rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
    let occurring: BTreeMap<&str, &Finding> = findings.iter().rev().map(|finding| (&*finding.rule, *finding)).collect();
    let indexes: BTreeMap<&str, usize> = occurring.keys().enumerate().map(|(index, id)| (*id, index)).collect();
    let gap_kinds: BTreeMap<&str, &Gap> = gaps.iter().map(|gap| (gap_rule(gap.kind), *gap)).collect();
    let log = Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [Run {
            tool: ToolWire {
                driver: Driver {
                    name: &tool.name,
                    semantic_version: &tool.version,
                    information_uri: env!("CARGO_PKG_REPOSITORY"),
                    properties: DriverProperties { catalogue_charts: tool.catalogue_charts, catalogue_newest: &tool.catalogue_newest },
                    rules: occurring.values().map(|finding| Descriptor::find(&known, &finding.rule, &finding.name, finding.severity)).collect(),
                    notifications: gap_kinds.iter().map(|(id, gap)| Descriptor::find(&known, id, "not-checked", gap_severity(gap.kind))).collect(),
                },
            },
            column_kind: "unicodeCodePoints",
            original_uri_base_ids: BTreeMap::from([(ROOT, UriBase { description: Text::new("The root of the checked tree.") })]),
            invocations: [Invocation { execution_successful: true, notifications: gaps.into_iter().map(Notification::of).collect() }],
            results: Results { findings, indexes },
        }],
    };
    serde_json::to_writer_pretty(&mut *out, &log)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: ToolWire<'a>,
    column_kind: &'static str,
    original_uri_base_ids: BTreeMap<&'static str, UriBase>,
    invocations: [Invocation<'a>; 1],
    results: Results<'a>,
}

#[derive(Serialize)]
struct ToolWire<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'a str,
    semantic_version: &'a str,
    information_uri: &'static str,
    properties: DriverProperties<'a>,
    rules: Vec<Descriptor<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notifications: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DriverProperties<'a> {
    catalogue_charts: usize,
    catalogue_newest: &'a str,
}

/// A rule, or a kind of notification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    id: &'a str,
    name: &'a str,
    short_description: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_description: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help_uri: Option<&'a str>,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    markdown: Option<&'a str>,
}

#[derive(Serialize)]
struct UriBase {
    description: Text<'static>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation<'a> {
    execution_successful: bool,
    #[serde(rename = "toolExecutionNotifications", skip_serializing_if = "Vec::is_empty")]
    notifications: Vec<Notification<'a>>,
}

#[derive(Serialize)]
struct Notification<'a> {
    descriptor: Reference,
    level: &'static str,
    message: Text<'a>,
    locations: [Location<'a>; 1],
}

#[derive(Serialize)]
struct Reference {
    id: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultWire<'a> {
    rule_id: &'a str,
    rule_index: usize,
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_state: Option<&'static str>,
    message: OwnedText,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<Location<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location<'a>>,
    partial_fingerprints: Fingerprints<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixes: Vec<FixWire<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppression>,
    properties: ResultProperties<'a>,
}

#[derive(Serialize)]
struct OwnedText {
    text: String,
}

/// Both names carry our fingerprint: the first is the one by which GitHub follows an alert over line moves.
#[derive(Serialize)]
struct Fingerprints<'a> {
    #[serde(rename = "primaryLocationLineHash")]
    github: &'a str,
    #[serde(rename = "milvusGuard/v1")]
    own: &'a str,
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
}

#[derive(Serialize)]
struct ResultProperties<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    physical_location: Physical,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<RegionWire>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    uri: String,
    uri_base_id: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegionWire {
    start_line: u32,
    start_column: u32,
    end_line: u32,
    end_column: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FixWire<'a> {
    description: Text<'a>,
    artifact_changes: [Change<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change<'a> {
    artifact_location: Artifact,
    replacements: [Replacement<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replacement<'a> {
    deleted_region: RegionWire,
    inserted_content: Text<'a>,
}

/// Results, turned into their wire form one by one while they are written.
struct Results<'a> {
    findings: Vec<&'a Finding>,
    indexes: BTreeMap<&'a str, usize>,
}

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let index = |finding: &Finding| self.indexes.get(&*finding.rule).copied().unwrap_or_default();
        serializer.collect_seq(self.findings.iter().map(|finding| ResultWire::of(finding, index(finding))))
    }
}

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, markdown: None }
    }
}

impl<'a> Descriptor<'a> {
    fn find(known: &BTreeMap<&str, &'a RuleInfo>, id: &'a str, name: &'a str, severity: Severity) -> Self {
        known.get(id).map_or_else(|| Self::bare(id, name, severity), |rule| Self::of(rule))
    }

    fn of(rule: &'a RuleInfo) -> Self {
        Self {
            id: &rule.id,
            name: &rule.name,
            short_description: Text::new(&rule.summary),
            full_description: Some(Text::new(&rule.description)),
            help: Some(Text { text: &rule.help_text, markdown: Some(&rule.help_markdown) }),
            help_uri: rule.help_uri.as_deref(),
            default_configuration: Configuration { level: level(rule.severity) },
        }
    }

    /// A rule of which only a finding tells.
    fn bare(id: &'a str, name: &'a str, severity: Severity) -> Self {
        Self {
            id,
            name,
            short_description: Text::new(name),
            full_description: None,
            help: None,
            help_uri: None,
            default_configuration: Configuration { level: level(severity) },
        }
    }
}

impl<'a> Notification<'a> {
    fn of(gap: &'a Gap) -> Self {
        Self {
            descriptor: Reference { id: gap_rule(gap.kind) },
            level: level(gap_severity(gap.kind)),
            message: Text::new(&gap.reason),
            locations: [Location { id: None, physical_location: Physical::of(&gap.file, gap.place.as_ref()), message: None }],
        }
    }
}

impl<'a> ResultWire<'a> {
    fn of(finding: &'a Finding, rule_index: usize) -> Self {
        let location = |place: &Place, text: &'a str, id: Option<usize>| Location {
            id,
            physical_location: Physical::of(&place.file, Some(place)),
            message: (!text.is_empty()).then(|| Text::new(text)),
        };
        let others = places_now(finding).skip(1).map(|label| (&label.place, label.text.as_str()));
        let evidence = finding.evidence.iter().filter_map(|note| note.place.as_ref().map(|place| (place, note.text.as_str())));
        Self {
            rule_id: &finding.rule,
            rule_index,
            level: level(finding.severity),
            baseline_state: finding.baseline.map(|baseline| match baseline {
                Baseline::New => "new",
                Baseline::PreExisting => "unchanged",
            }),
            message: OwnedText { text: message(finding) },
            locations: finding.locations.first().map(|label| location(&label.place, &label.text, None)).into_iter().collect(),
            related_locations: others.chain(evidence).enumerate().map(|(index, (place, text))| location(place, text, Some(index + 1))).collect(),
            partial_fingerprints: Fingerprints { github: &finding.fingerprint, own: &finding.fingerprint },
            fixes: finding.fixes.iter().map(FixWire::of).collect(),
            suppressions: if finding.waived { vec![Suppression { kind: "external" }] } else { Vec::new() },
            properties: ResultProperties {
                namespace: finding.release.namespace.as_deref(),
                release: finding.release.name.as_deref(),
                before: finding.before.as_deref(),
                after: finding.after.as_deref(),
                evidence: finding.evidence.iter().map(|note| note.text.as_str().into()).chain(places_before(finding).map(Into::into)).collect(),
            },
        }
    }
}

impl<'a> FixWire<'a> {
    fn of(fix: &'a Fix) -> Self {
        let replacement = Replacement { deleted_region: RegionWire::of(&fix.place), inserted_content: Text::new(&fix.replacement) };
        Self {
            description: Text::new(&fix.title),
            artifact_changes: [Change { artifact_location: Artifact::of(&fix.place.file), replacements: [replacement] }],
        }
    }
}

impl Physical {
    fn of(file: &str, place: Option<&Place>) -> Self {
        Self { artifact_location: Artifact::of(file), region: place.map(RegionWire::of) }
    }
}

impl Artifact {
    fn of(file: &str) -> Self {
        Self { uri: percent::encode_path(file), uri_base_id: ROOT }
    }
}

impl RegionWire {
    fn of(place: &Place) -> Self {
        let Region { start, end } = Region::of(place);
        Self { start_line: start.line, start_column: start.column, end_line: end.line, end_column: end.column }
    }
}

/// What code scanning services show of a result is its message: it carries all that people need.
fn message(finding: &Finding) -> String {
    let notes: Vec<String> = notes(finding).map(|note| format!("note: {note}")).collect();
    let parts = [finding.message.clone(), notes.join("\n"), finding.remedy.clone()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}
