//! The tables that rules share: removed values, bad versions, and the version graph with its gates.

use serde::{Deserialize, Serialize};

use super::bound::{Chart, Milvus};
use super::condition::{Condition, ValuePath};
use super::words::{FlagKind, Mode, Severity};

/// A value that a chart line read once (`removed-values.yaml`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovedValue {
    /// The path, `*` for any one key; everything under it counts.
    pub path: ValuePath,
    /// First chart version that no longer reads it.
    pub at: Chart,
    /// First chart version that reads it again, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Chart>,
    /// How bad the loss is.
    pub severity: Severity,
    /// What replaces it, as a text that follows "use".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// What the loss does, as a sentence.
    pub effect: String,
}

/// A release with a known defect (`bad-versions.yaml`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BadVersion {
    /// A short name.
    pub name: String,
    /// What is the matter.
    pub kind: BadKind,
    /// First version that has it.
    pub at_least: Milvus,
    /// First version without it.
    pub below: Milvus,
    /// What else must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, as a sentence.
    pub text: String,
    /// The version to take instead.
    pub better: Milvus,
    /// Where it is written.
    #[serde(default, skip_serializing)]
    pub sources: Vec<String>,
}

/// Kinds of bad versions; each has its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadKind {
    /// A defect (MV215).
    Defect,
    /// A vulnerability (MV216).
    Vulnerability,
    /// A line without fixes (MV217).
    EndOfLife,
    /// A later patch fixes defects of this very upgrade (MV219).
    BetterTarget,
}

/// A version boundary that asks for something (`gates.yaml`). It lies between before and after when before is below `from_below` and after is `to_at_least` or later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Its name: `metadata-2-2`.
    pub id: String,
    /// In words.
    pub title: String,
    /// Versions below this one must not pass it in one step.
    pub from_below: Milvus,
    /// The first version behind it.
    pub to_at_least: Milvus,
    /// What it is.
    pub kind: GateKind,
    /// The rule that speaks for it.
    pub rule: String,
    /// Where to stop before it, for stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// What must be done before it is passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<GateNeed>,
    /// Whether an image or Helm rollback brings the release back over it.
    pub rollback: Rollback,
    /// Where it is written.
    #[serde(default)]
    pub sources: Vec<String>,
}

/// What a gate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateKind {
    /// No way through.
    Closed,
    /// Only from a version within `stop`.
    RequiredStop,
    /// Better from a version within `stop`.
    RecommendedStop,
    /// Passable once `needs` is done.
    Door,
}

/// Where to stop before a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Lowest version that will do.
    pub at_least: Milvus,
    /// First version that is too far.
    pub below: Milvus,
    /// The version to plan with.
    pub prefer: Milvus,
    /// The chart to install it with.
    pub chart: Chart,
    /// Whether the chart needs an explicit image tag to run it.
    pub image_tag: bool,
}

/// What must be done before a gate is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateNeed {
    /// A backup of metadata.
    MetadataBackup,
    /// A backup of metadata and of object storage.
    FullBackup,
    /// The metadata migration of 2.1 to 2.2.
    MetadataMigration,
    /// Cluster: the mix coordinator runs, the separate coordinators do not.
    MixCoordinator,
    /// Cluster: streaming node on, index node off, after the gate.
    StreamingNode,
    /// The chart does not change in the step.
    SameChart,
}

/// Whether a rollback works over a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rollback {
    /// It does.
    Possible,
    /// Only with a procedure (a restore, the migration tool's rollback).
    Procedure,
    /// It does not.
    Impossible,
}

/// What the planner knows beside the gates (`planning.yaml`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planning {
    /// First Milvus version whose coordinators can be replaced while they serve (active standby).
    pub rolling_since: Option<Milvus>,
    /// Patches that no chart carries.
    pub releases: Vec<LineRelease>,
    /// Values that a hop has to set.
    pub settings: Vec<Setting>,
    /// Values that go on as they are where the chart's default moves.
    pub keep: Vec<Keep>,
    /// Values that have no effect any more where they stand, and move.
    #[serde(default)]
    pub moves: Vec<Move>,
    /// Settings of the applying tool that a plan switches off, with the reason.
    #[serde(default)]
    pub tool: Vec<ToolRow>,
    /// Rules whose errors the user mends by a change of the release's own values: a step of the plan, no refusal.
    #[serde(default)]
    pub by_hand: Vec<String>,
    /// What to do about a rule's finding that the release has before the first hop, instead of the rule's remedy.
    #[serde(default)]
    pub today: std::collections::BTreeMap<String, String>,
    /// What is away in a hop; the first that holds.
    #[serde(default)]
    pub interruptions: Vec<Interruption>,
    /// What else is to be known of some hops.
    #[serde(default)]
    pub notes: Vec<Note>,
    /// Warnings that a person has to answer for.
    pub acknowledge: Vec<Acknowledge>,
}

/// The release to plan with in a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineRelease {
    /// `2.5`
    pub line: String,
    /// The release.
    pub milvus: Milvus,
    /// Where it is written.
    pub sources: Vec<String>,
}

/// Values that a hop has to set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its name.
    pub id: String,
    /// Only in the hop that prepares a gate with this need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<GateNeed>,
    /// Not in the hop that prepares a gate with this need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<GateNeed>,
    /// What must hold.
    pub when: Vec<Condition>,
    /// Value path to value.
    pub set: std::collections::BTreeMap<String, serde_json::Value>,
    /// Why, as a text that follows "which".
    pub reason: String,
    /// Where it is written.
    pub sources: Vec<String>,
}

/// Values that go on as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// The paths.
    pub paths: Vec<ValuePath>,
    /// The switch that must be on before.
    #[serde(rename = "while")]
    pub switch: ValuePath,
    /// Only in this mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What else must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// Why.
    pub reason: String,
    /// Where it is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
}

/// Values that move to another table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// What must hold.
    pub when: Vec<Condition>,
    /// The tables that nothing reads any more.
    pub from: Vec<ValuePath>,
    /// The table that is read instead.
    pub to: ValuePath,
    /// Keys that stay where they are.
    pub stay: Vec<String>,
    /// Keys that move by themselves where all tables that have them agree; others are left to the user.
    pub keys: Vec<String>,
    /// Why, as a sentence; `{list}` is what moves.
    pub reason: String,
    /// What the user has to decide for keys that do not move by themselves, as a sentence; `{list}` is those.
    pub ask: String,
}

/// A setting of the applying tool that a plan changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolRow {
    /// The setting.
    pub flag: FlagKind,
    /// What is done and why, as a sentence or two.
    pub text: String,
}

/// What is away in a hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interruption {
    /// Only in the hop that does this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<GateNeed>,
    /// What must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// What, and for how long: sentences.
    pub text: String,
}

/// Something to be known of a hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Where in the hop.
    pub at: NoteAt,
    /// What must hold.
    pub when: Vec<Condition>,
    /// What: sentences.
    pub text: String,
    /// A command that shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Where in a hop a note stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteAt {
    /// Among the checks before.
    Check,
    /// In the verification afterwards.
    Verify,
}

/// A warning that a person has to answer for before a hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// The rule.
    pub rule: String,
    /// Which kind of step it is.
    pub kind: AcknowledgeKind,
    /// What to do, in words.
    pub text: String,
    /// What to write as reference: `where the backup lies`.
    pub reference: String,
    /// The severity up to which it may be answered for.
    #[serde(default = "warning", skip_serializing_if = "is_warning")]
    pub up_to: Severity,
}

fn warning() -> Severity {
    Severity::Warning
}

fn is_warning(severity: &Severity) -> bool {
    *severity == Severity::Warning
}

/// Kinds of acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcknowledgeKind {
    /// A backup is made.
    Backup,
    /// A risk is known.
    Acknowledge,
}
