//! Rollout orders: which component after which, for a pair of versions and topologies. Data: `policies/rollout-orders.yaml`.

mod load;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::component::{Component, Topology};
use crate::model::version::MilvusVersion;

const TEXT: &str = include_str!("../../policies/rollout-orders.yaml");

/// All orders and refusals.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Orders {
    orders: Vec<Order>,
    refusals: Vec<Refused>,
}

/// What is asked of the orders: what runs, and what shall run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The version that runs.
    pub from: MilvusVersion,
    /// The version that is wanted.
    pub to: MilvusVersion,
    /// The topology that runs.
    pub before: Topology,
    /// The topology that is wanted.
    pub after: Topology,
}

impl Pair {
    /// The other way round.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { from: self.to, to: self.from, before: self.after, after: self.before }
    }
}

/// The order of one kind of upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Order {
    /// Its name, kebab-case.
    pub id: String,
    /// What it is for, as the end of a sentence.
    pub title: String,
    /// Versions that run.
    from: Versions,
    /// Versions that are wanted.
    to: Versions,
    /// What runs and what is wanted.
    topologies: Vec<TopologyPair>,
    /// The metadata is migrated while everything is stopped, before the first step.
    #[serde(default)]
    pub migration: bool,
    /// What speaks against it, and why it was chosen all the same.
    #[serde(default)]
    pub disputed: Option<String>,
    /// Where it is written.
    pub sources: Vec<String>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// How far there is a way back.
    back: Back,
    /// What to do when all is done and something does not work.
    #[serde(default)]
    pub afterwards: Option<String>,
    /// What fails meanwhile although a pod serves it.
    #[serde(default)]
    pub windows: Vec<Window>,
}

/// Something that fails from one step to another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Window {
    /// What: `flush`.
    pub what: String,
    /// The component with whose step it begins.
    pub from: Component,
    /// The component that has to be replaced for it to end.
    pub until: Component,
    /// Versions that are wanted, where it is not so for all of the order.
    #[serde(default)]
    to: Versions,
    /// Where it is written.
    pub sources: Vec<String>,
}

impl Window {
    /// Whether it is so on the way to a version.
    #[must_use]
    pub fn holds_for(&self, to: MilvusVersion) -> bool {
        self.to.admits(to)
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// What is done.
    #[serde(rename = "do")]
    pub kind: StepKind,
    /// To which component.
    pub component: Component,
    /// A release may be without it.
    #[serde(default)]
    pub optional: bool,
    /// What has to be real before the next step.
    pub gates: Vec<Gate>,
    /// Components started by earlier steps that have to be complete before the next step, as if `ready` and `old-pods-gone` were asked of them.
    #[serde(default)]
    pub completes: Vec<Component>,
    /// Why it stands here.
    pub reason: String,
}

impl Step {
    /// Its name, unique within an order: `mixcoord`, `remove-indexnode`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            StepKind::Roll => self.component.name().to_owned(),
            StepKind::Remove => format!("remove-{}", self.component),
        }
    }
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Lets the stored template run: replaces what serves, or starts what is new.
    Roll,
    /// Deletes it.
    Remove,
}

/// What has to be real before the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// As many pods of the target template exist as are wanted; they need not be ready.
    Started,
    /// As many pods of the target template are ready as are wanted.
    Ready,
    /// Where coordinators have a standby, as `ready`; else as `started`, because a coordinator without one cannot become ready beside another.
    Handover,
    /// No pod of another template is there, terminating ones included.
    OldPodsGone,
    /// The active session of the coordinator in etcd is of the target version; where sessions cannot be read, what the pods tell.
    ActiveSession,
    /// No session of this component is left in etcd but the successor's.
    SessionsGone,
}

/// How far there is a way back: `until` a step begins, or at any time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Back {
    open: Open,
    /// The step that closes it.
    #[serde(default)]
    step: Option<Component>,
    reason: String,
    sources: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Open {
    /// At any time, also when the upgrade is complete.
    Always,
    /// At any time within a minor version, else until the step begins.
    SameMinor,
    /// Until the step begins.
    Until,
}

/// The way back of one upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WayBack<'o> {
    /// The step that closes it, as soon as it has begun; none where it never closes.
    pub closes_with: Option<Component>,
    /// Why.
    pub reason: &'o str,
}

/// A range of versions; a bound that is the first release of a line counts the line's pre-releases in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versions {
    #[serde(default)]
    at_least: Option<Bound>,
    #[serde(default)]
    below: Option<Bound>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct Bound(MilvusVersion);

impl TryFrom<String> for Bound {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(|version: MilvusVersion| Self(version.first_build())).map_err(|_| format!("`{text}` is not a Milvus version such as 2.5.16"))
    }
}

impl Versions {
    fn admits(&self, version: MilvusVersion) -> bool {
        self.at_least.is_none_or(|bound| version >= bound.0) && self.below.is_none_or(|bound| version < bound.0)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let starts_before_end = |a: &Self, b: &Self| match (a.at_least, b.below) {
            (Some(start), Some(end)) => start < end,
            _ => true,
        };
        starts_before_end(self, other) && starts_before_end(other, self)
    }

    fn is_empty(&self) -> bool {
        matches!((self.at_least, self.below), (Some(start), Some(end)) if start >= end)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopologyPair {
    before: Topology,
    after: Topology,
}

/// A row of pairs for which there is no order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    id: String,
    #[serde(default)]
    from: Versions,
    #[serde(default)]
    to: Versions,
    #[serde(default)]
    before: Vec<Topology>,
    #[serde(default)]
    after: Vec<Topology>,
    rule: String,
    reason: String,
    sources: Vec<String>,
}

impl Refused {
    fn holds(&self, pair: &Pair) -> bool {
        let among = |list: &[Topology], topology| list.is_empty() || list.contains(&topology);
        self.from.admits(pair.from) && self.to.admits(pair.to) && among(&self.before, pair.before) && among(&self.after, pair.after)
    }
}

/// Why there is no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that tells more.
    pub rule: String,
    /// Why, and what to do instead.
    pub reason: String,
}

impl Order {
    fn holds(&self, pair: &Pair) -> bool {
        let is_pair = |topologies: &TopologyPair| topologies.before == pair.before && topologies.after == pair.after;
        pair.from <= pair.to && self.from.admits(pair.from) && self.to.admits(pair.to) && self.topologies.iter().any(is_pair)
    }

    /// How far there is a way back from an upgrade.
    #[must_use]
    pub fn way_back(&self, pair: &Pair) -> WayBack<'_> {
        let is_open = match self.back.open {
            Open::Always => true,
            Open::SameMinor => pair.from.line() == pair.to.line(),
            Open::Until => false,
        };
        WayBack { closes_with: if is_open { None } else { self.back.step }, reason: &self.back.reason }
    }

    /// The step of a component.
    #[must_use]
    pub fn step(&self, component: Component) -> Option<&Step> {
        self.steps.iter().find(|step| step.component == component)
    }
}

impl Orders {
    /// The orders of this repository.
    #[must_use]
    pub fn embedded() -> &'static Self {
        // Without orders everything is refused, which is better than a panic; a test watches over the file.
        static EMBEDDED: LazyLock<Orders> = LazyLock::new(|| Orders::load(TEXT).unwrap_or_default());
        &EMBEDDED
    }

    /// Orders from a text of the form of `rollout-orders.yaml`.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(text: &str) -> Result<Self, Vec<String>> {
        load::load(text)
    }

    /// The order of an upgrade. A pair that goes down in version has none: its way back is that of the upgrade (`Order::way_back`).
    ///
    /// # Errors
    /// Why there is none.
    pub fn find(&self, pair: &Pair) -> Result<&Order, Refusal> {
        if pair.from > pair.to {
            return Err(self.refusal_of_descent(pair));
        }
        if let Some(refused) = self.refusals.iter().find(|row| row.holds(pair)) {
            return Err(Refusal { rule: refused.rule.clone(), reason: refused.reason.clone() });
        }
        self.orders.iter().find(|order| order.holds(pair)).ok_or_else(|| unknown(pair))
    }

    /// The order of the upgrade that a rollback takes back, where all of it can be.
    ///
    /// # Errors
    /// Why there is no way back.
    pub fn find_rollback(&self, pair: &Pair) -> Result<&Order, Refusal> {
        let upgrade = pair.reversed();
        let refusal =
            |why: &str| Refusal { rule: rule_of_descent(pair).to_owned(), reason: format!("There is no way back from {} to {}{why}", pair.from, pair.to) };
        // Why there is no such upgrade is no reason against the way down.
        let order = self.find(&upgrade).map_err(|_| refusal("."))?;
        let way = order.way_back(&upgrade);
        if way.closes_with.is_some() { Err(refusal(&format!(": {}", way.reason))) } else { Ok(order) }
    }

    fn refusal_of_descent(&self, pair: &Pair) -> Refusal {
        match self.find_rollback(pair) {
            Ok(_) => Refusal {
                rule: rule_of_descent(pair).to_owned(),
                reason: format!("From {} to {} is a rollback: it is carried out as the upgrade in reverse.", pair.from, pair.to),
            },
            Err(refusal) => refusal,
        }
    }

    /// All orders.
    #[must_use]
    pub fn all(&self) -> &[Order] {
        &self.orders
    }
}

/// MV211 tells of ways down over a door, MV212 of all others.
fn rule_of_descent(pair: &Pair) -> &'static str {
    let doors = [MilvusVersion::new(2, 2, 0), MilvusVersion::new(2, 6, 0), MilvusVersion::new(3, 0, 0)].map(|door| door.first_build());
    if doors.iter().any(|door| pair.to < *door && pair.from >= *door) { "MV211" } else { "MV212" }
}

fn unknown(pair: &Pair) -> Refusal {
    Refusal {
        rule: "MV222".to_owned(),
        reason: format!("No rollout order is known from {} ({}) to {} ({}).", pair.from, pair.before.name(), pair.to, pair.after.name()),
    }
}

#[cfg(test)]
mod tests;
