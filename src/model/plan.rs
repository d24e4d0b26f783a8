//! A plan: the ordered hops from one Milvus version to another (wire form: JSON of `plan`).

use std::sync::Arc;

use serde::Serialize;

use super::finding::Gap;
use super::release::Release;
use super::version::MilvusVersion;
use super::words::FlagKind;

/// The answer of `plan`.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Version now, as given.
    pub from: String,
    /// Version wanted.
    pub to: String,
    /// Why there is no path, or null.
    pub refused: Option<Refusal>,
    /// Hops in order; empty when refused or nothing is to be done.
    pub hops: Vec<Hop>,
    /// Parts of the declared release that could not be read: steps that depend on them are missing.
    pub not_checked: Vec<Gap>,
    /// What each hop changes, in the order of the hops. Not printed.
    pub runs: Vec<Run>,
}

/// What a hop changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The version that runs before.
    pub from: MilvusVersion,
    /// The version that runs after.
    pub to: MilvusVersion,
    /// The release before.
    pub before: Arc<Release>,
    /// The release after.
    pub after: Arc<Release>,
}

/// Why there is no path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refusal {
    /// In words, with what to do instead.
    pub reason: String,
    /// The rule that says so.
    pub rule: String,
}

/// One step of a plan: one `helm upgrade`, with what goes before and after it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hop {
    /// Milvus version that it reaches.
    pub milvus: String,
    /// Chart version.
    pub chart: String,
    /// `image.all.tag` to set, where the chart's default is not the version wanted.
    pub image_tag: Option<String>,
    /// Why this stop.
    pub reason: String,
    /// What is to be done, in order.
    pub actions: Vec<Action>,
    /// Cannot be walked back by a rollback.
    pub one_way_door: bool,
    /// Verdict on the way back, in words.
    pub rollback: String,
    /// Downtime class.
    pub downtime: Downtime,
    /// What is away meanwhile, and for how long, in words.
    pub interruption: String,
    /// Whether a backup is demanded before.
    pub backup: bool,
    /// The commands of all actions, in order.
    pub commands: Vec<String>,
    /// Documents and issues behind it.
    pub sources: Vec<String>,
    /// What runs when, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
}

/// What runs when in a hop, in an imagined cluster where nothing goes wrong. Seconds are assumed; the sequence is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// The rollout order, as the end of a sentence.
    pub order: Option<String>,
    /// What speaks against the order, and why it was chosen all the same.
    pub disputed: Option<String>,
    /// Steps in their sequence.
    pub events: Vec<TimelineEvent>,
    /// What is away, and when.
    pub away: Vec<Absence>,
    /// How long all takes.
    pub seconds: u64,
    /// What of the values it does not look at, in words.
    pub assumed: Vec<String>,
    /// Why it is not drawn to its end.
    pub not_drawn: Option<String>,
}

/// A step of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimelineEvent {
    /// Seconds after the change has arrived.
    pub seconds: u64,
    /// What is done.
    pub text: String,
    /// Why now.
    pub reason: Option<String>,
    /// From here on milvus-guard takes nothing back; whether a rollback by hand can is told by the hop.
    pub one_way: bool,
}

/// Something that is away for some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Absence {
    /// What: `proxy`.
    pub what: String,
    /// Seconds after the change has arrived.
    pub from_seconds: u64,
    /// When it is there again.
    pub until_seconds: u64,
}

/// A step within a hop.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Action {
    /// What kind of step.
    pub kind: ActionKind,
    /// In words.
    pub text: String,
    /// Exact command, where there is one.
    pub command: Option<String>,
    /// Values to set (dotted path to value), where it sets some; null takes a value of the user's away.
    pub values: serde_json::Map<String, serde_json::Value>,
    /// The edit of the user's own files as a unified diff, where a file was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Settings of the applying tool that this step changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool: Vec<ToolChange>,
}

impl Action {
    /// A step in words.
    #[must_use]
    pub fn new(kind: ActionKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), command: None, values: serde_json::Map::new(), diff: None, tool: Vec::new() }
    }

    /// With its exact command.
    #[must_use]
    pub fn with_command(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }
}

/// A setting of the applying tool that a plan changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolChange {
    /// It must not be there: `{"off": "atomic"}`.
    Off(FlagKind),
    /// The tool waits for thirty minutes.
    Timeout,
    /// The command says `--reset-then-reuse-values`.
    ResetThenReuse,
}

/// Kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// Back up metadata and data.
    Backup,
    /// Look at something before.
    Check,
    /// Change a value or a setting of one's own: in the edit of the hop, or by hand.
    Prepare,
    /// Answer for a risk: the text to write, with a reference.
    Acknowledge,
    /// Migrate metadata.
    Migrate,
    /// Uninstall (Pulsar 2 to 3).
    Uninstall,
    /// The Helm upgrade.
    HelmUpgrade,
    /// The Helm install.
    HelmInstall,
    /// Verify afterwards.
    Verify,
}

/// How long the service is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Downtime {
    /// None expected.
    None,
    /// Seconds to minutes for parts of the service.
    Partial,
    /// Restart of everything.
    Restart,
    /// Stopped for a migration.
    Migration,
}
