//! The conditions of rules: few kinds, typed, each evaluated to yes, no or in doubt (`evaluate.rs`). Documented for authors in `policies/README.md`.

use serde::{Deserialize, Serialize};

use super::bound::{Chart, Milvus};
use super::words::{Applier, ChangeKind, FlagKind, Form, Lineage, Mode, ObjectStoreKind, Operation, QueueKind, QueueServer, ValuesStrategy};

pub use super::vocabulary::{
    ChartSpec, ChartState, Direction, EvidenceWord, Field, Knowable, LockState, Scalar, SetBy, Side, TagKind, ToolVersion, ValuePath, ValueTree, ValueType,
    one_or_many,
};

/// One condition. In YAML a table with one key, the kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// At least one holds.
    Any(Vec<Self>),
    /// All hold.
    All(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// At least that many of several hold.
    Several(Several),
    /// The effective Milvus version lies in a range.
    Milvus(MilvusIs),
    /// The chart version lies in a range.
    Chart(ChartIs),
    /// A version boundary lies between before and after.
    Crosses(Crosses),
    /// A gate of `gates.yaml` lies between before and after.
    CrossesGate(String),
    /// How the effective Milvus version moves.
    MilvusChange(Direction),
    /// How the chart version moves.
    ChartChange(Direction),
    /// What is known of the chart's version.
    ChartState(#[serde(deserialize_with = "one_or_many")] Vec<ChartState>),
    /// Whether the number given as chart version is one of a Milvus line (`2.5.11`).
    ChartNumberIsMilvus(bool),
    /// How the chart's version is written.
    ChartSpec(#[serde(deserialize_with = "one_or_many")] Vec<ChartSpec>),
    /// Whether a range of chart versions admits charts on both sides of a gate.
    RangeSpansGate(bool),
    /// What the image tag in force says.
    ImageTag(ImageTagIs),
    /// What happened to the release.
    ChangeKind(#[serde(deserialize_with = "one_or_many")] Vec<ChangeKind>),
    /// Standalone or cluster.
    Mode(ModeIs),
    /// Something differs between before and after.
    Changed(Field),
    /// An effective value differs between before and after.
    ValueChanged(ValuePath),
    /// A value of Milvus's own configuration (`user.yaml`) differs between before and after.
    ConfigChanged(ValuePath),
    /// The effective message queue.
    Queue(QueueIs),
    /// An enabled component.
    Component(ComponentIs),
    /// The object store.
    ObjectStore(ObjectStoreIs),
    /// A value.
    Value(ValueIs),
    /// A setting of the applying tool.
    Flag(FlagIs),
    /// What is done to the release.
    Operation(#[serde(deserialize_with = "one_or_many")] Vec<Operation>),
    /// How the change reaches the cluster.
    Applier(#[serde(deserialize_with = "one_or_many")] Vec<Applier>),
    /// What happens to the values of the running release.
    Strategy(#[serde(deserialize_with = "one_or_many")] Vec<ValuesStrategy>),
    /// Where the chart comes from.
    Lineage(#[serde(deserialize_with = "one_or_many")] Vec<Lineage>),
    /// The form in which the release is kept.
    Form(#[serde(deserialize_with = "one_or_many")] Vec<Form>),
    /// The chart's repository contains one of these texts.
    Repository(RepositoryIs),
    /// The lock file of an umbrella chart.
    Lock(#[serde(deserialize_with = "one_or_many")] Vec<LockState>),
    /// Whether a rolling upgrade is asked for (rolling script, `GuardedUpgrade` with strategy Rolling, RollingUpdate on a coordinator).
    RollingAsked(bool),
    /// Whether the chart's files merely lie in the tree.
    SourceOnly(bool),
    /// Evidence that belongs to the release.
    Evidence(EvidenceIs),
    /// Whether something is known at all; never in doubt itself.
    Known(Known),
    /// The Helm client.
    HelmClient(ToolIs),
    /// Kubernetes.
    Kubernetes(ToolIs),
    /// A variable of the hit.
    Hit(HitIs),
}

impl Condition {
    /// Whether its answer depends on the chart's version or default values.
    #[must_use]
    pub fn rests_on_chart(&self) -> bool {
        match self {
            Self::Any(inner) | Self::All(inner) => inner.iter().any(Self::rests_on_chart),
            Self::Not(inner) => inner.rests_on_chart(),
            Self::Several(several) => several.of.iter().any(Self::rests_on_chart),
            Self::Value(value) => value.of == ValueTree::Effective,
            Self::Milvus(_)
            | Self::Chart(_)
            | Self::Crosses(_)
            | Self::CrossesGate(_)
            | Self::MilvusChange(_)
            | Self::ChartChange(_)
            | Self::Mode(_)
            | Self::Changed(_)
            | Self::ValueChanged(_)
            | Self::Queue(_)
            | Self::Component(_)
            | Self::ObjectStore(_) => true,
            Self::ChartSpec(_)
            | Self::ChangeKind(_)
            | Self::Flag(_)
            | Self::Operation(_)
            | Self::Applier(_)
            | Self::Strategy(_)
            | Self::Lineage(_)
            | Self::Form(_)
            | Self::Repository(_)
            | Self::Lock(_)
            | Self::RollingAsked(_)
            | Self::SourceOnly(_)
            | Self::Evidence(_)
            | Self::Known(_)
            | Self::HelmClient(_)
            | Self::Kubernetes(_)
            | Self::Hit(_)
            | Self::ConfigChanged(_)
            | Self::ChartNumberIsMilvus(_)
            | Self::ImageTag(_)
            | Self::RangeSpansGate(_)
            | Self::ChartState(_) => false,
        }
    }
}

/// A number of conditions, of which some must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Several {
    /// How many.
    pub at_least: usize,
    /// The conditions.
    pub of: Vec<Condition>,
}

/// A range of Milvus versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MilvusIs {
    /// Which state.
    #[serde(default)]
    pub side: Side,
    /// This version or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Milvus>,
    /// Earlier than this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Milvus>,
    /// One of these versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<Milvus>,
    /// A pre-release, or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_release: Option<bool>,
}

/// A range of chart versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChartIs {
    /// Which state.
    #[serde(default)]
    pub side: Side,
    /// This version or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Chart>,
    /// Earlier than this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Chart>,
    /// One of these versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<Chart>,
}

/// A boundary between before and after: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crosses {
    /// Milvus: before is below it, after is it or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milvus: Option<Milvus>,
    /// Chart: before is below it, after is it or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<Chart>,
    /// The other way round: before is it or later, after is below.
    #[serde(default)]
    pub downwards: bool,
}

/// What an image tag says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageTagIs {
    /// Which state.
    #[serde(default)]
    pub side: Side,
    /// One of these holds.
    #[serde(deserialize_with = "one_or_many")]
    pub is: Vec<TagKind>,
}

/// Standalone or cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeIs {
    /// Which state.
    #[serde(default)]
    pub side: Side,
    /// Which mode.
    pub is: Mode,
}

/// The effective message queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueIs {
    /// Which state.
    #[serde(default)]
    pub side: Side,
    /// There is none (or there is one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<bool>,
    /// One of these kinds.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub kind: Vec<QueueKind>,
    /// One of these servers.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub server: Vec<QueueServer>,
    /// The look-up of chart 5 could decide otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_lookup: Option<bool>,
    /// Who set the value that decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_by: Option<SetBy>,
}

/// An enabled component; holds when one of them fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentIs {
    /// Which state.
    #[serde(default)]
    pub side: Side,
    /// Values keys (`mixCoordinator`, `queryNode`); none: any component.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<String>,
    /// At least that many replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas_at_least: Option<i64>,
    /// Fewer replicas than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas_below: Option<i64>,
    /// With active-standby in force, or without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_standby: Option<bool>,
}

/// The object store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectStoreIs {
    /// Which state.
    #[serde(default)]
    pub side: Side,
    /// One of these kinds.
    #[serde(deserialize_with = "one_or_many")]
    pub kind: Vec<ObjectStoreKind>,
}

/// A test of one value. All tests that are given must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueIs {
    /// Which state.
    #[serde(default)]
    pub side: Side,
    /// Which tree.
    #[serde(default)]
    pub of: ValueTree,
    /// The path.
    pub path: ValuePath,
    /// Something other than null is there (or nothing is).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// A Go template's `if` takes it as true (or as false; what is absent is false).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truthy: Option<bool>,
    /// Equals one of these.
    #[serde(default, rename = "in", skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<Scalar>,
    /// Equals this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<Scalar>,
    /// A number, at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// A number below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// A text that starts with one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts_with: Vec<String>,
    /// A text that contains one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contains: Vec<String>,
    /// A text that sorts before this one (`RELEASE.2024-12` for MinIO's tags).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_below: Option<String>,
    /// Who set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_by: Option<SetBy>,
    /// Its type.
    #[serde(default, rename = "type", deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<ValueType>,
}

/// A setting of the applying tool; holds when one of them is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagIs {
    /// Which state.
    #[serde(default)]
    pub side: Side,
    /// Which settings.
    #[serde(deserialize_with = "one_or_many")]
    pub any_of: Vec<FlagKind>,
    /// Its value is a duration below this many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below_seconds: Option<u64>,
}

/// The chart's repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryIs {
    /// The URL contains one of these.
    #[serde(deserialize_with = "one_or_many")]
    pub contains: Vec<String>,
}

/// Evidence that belongs to the release; holds when one piece fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceIs {
    /// One of these kinds.
    #[serde(deserialize_with = "one_or_many")]
    pub kind: Vec<EvidenceWord>,
    /// An acknowledgement that names this rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// Whether something is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Which state.
    #[serde(default)]
    pub side: Side,
    /// What.
    pub what: Knowable,
}

/// A tool's version, `major.minor` or `major.minor.patch`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolIs {
    /// Below this version.
    pub below: ToolVersion,
}

/// A variable of the hit (see the find kinds) equals one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HitIs {
    /// The variable.
    pub name: String,
    /// Its texts.
    #[serde(rename = "in", deserialize_with = "one_or_many")]
    pub one_of: Vec<String>,
}
