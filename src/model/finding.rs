//! A finding: one rule's result on one change, and its wire form (JSON of `check`, schema version 1).

use std::sync::Arc;

use serde::Serialize;

use super::declaration::{Form, NotCheckedKind};
use super::place::Place;

pub use super::words::Severity;

/// One rule's result on one change.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Rule id, `MV205`.
    pub rule: Arc<str>,
    /// Rule name, `stop-at-2-5-16`.
    pub name: Arc<str>,
    /// Severity of this finding.
    pub severity: Severity,
    /// What is known and what happens, one sentence or two.
    pub message: String,
    /// The release.
    pub release: ReleaseSummary,
    /// What was before (version or value), where the rule compares.
    pub before: Option<String>,
    /// What is after.
    pub after: Option<String>,
    /// Places with labels; the first is the primary one. Empty only for findings without any file.
    pub locations: Vec<Label>,
    /// What to do, with the exact text to write.
    pub remedy: String,
    /// What supports the finding, or makes it informational.
    pub evidence: Vec<EvidenceNote>,
    /// Edits that would apply the remedy.
    pub fixes: Vec<Fix>,
    /// Waived by the user (later issue; always false now).
    pub waived: bool,
    /// Whether it was there before the change; nothing where no state before was read.
    pub baseline: Option<Baseline>,
    /// Identifies the finding by rule, release and value path, not by line.
    pub fingerprint: String,
}

/// Whether a finding was there before the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// The change brings it.
    New,
    /// The state before has it too, as bad and at the same text: the change does not touch its cause.
    PreExisting,
}

/// A place and what is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Where.
    pub place: Place,
    /// What is there, a few words.
    pub text: String,
    /// The place is in the text before the change, not in the text that was checked.
    pub before: bool,
}

/// A supporting fact.
#[derive(Debug, Clone, PartialEq)]
pub struct EvidenceNote {
    /// In words.
    pub text: String,
    /// Where, if in a file.
    pub place: Option<Place>,
}

/// An edit of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix {
    /// Imperative title.
    pub title: String,
    /// Whether it can be applied without looking.
    pub safe: bool,
    /// What is replaced.
    pub place: Place,
    /// By what.
    pub replacement: String,
}

/// The release that a finding is about.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseSummary {
    /// Form.
    pub form: Form,
    /// File.
    pub path: Arc<str>,
    /// Namespace, if said.
    pub namespace: Option<Arc<str>>,
    /// Name, if said.
    pub name: Option<Arc<str>>,
    /// Chart version after (or range), as text.
    pub chart: Option<String>,
    /// Effective Milvus version after, as text; `unknown` is `None`.
    pub milvus: Option<String>,
    /// `helm-upgrade`, `template`, `unknown`.
    pub applier: super::declaration::Applier,
}

/// A part of the tree that was not checked, as reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// File.
    pub file: Arc<str>,
    /// Place in it.
    pub place: Option<Place>,
    /// Reason.
    pub reason: Arc<str>,
    /// MV901, MV902 or MV905.
    pub kind: NotCheckedKind,
}

/// All that a run of `check` found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// The git revision compared with, if any.
    pub base: Option<String>,
    /// Findings, sorted by file, place, rule.
    pub findings: Vec<Finding>,
    /// What was not checked.
    pub not_checked: Vec<Gap>,
    /// Counts.
    pub summary: Summary,
}

/// Counts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Files looked at.
    pub files: usize,
    /// Milvus releases found.
    pub releases: usize,
    /// Releases that changed.
    pub changes: usize,
    /// Findings of severity error.
    pub errors: usize,
    /// Findings of severity warning.
    pub warnings: usize,
    /// Findings of severity info.
    pub infos: usize,
    /// Findings that were there before the change.
    pub pre_existing: usize,
    /// Entries of `not_checked`.
    pub not_checked: usize,
}
