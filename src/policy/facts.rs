//! A change as conditions see it: both states, and look-ups that never take a default for certain where unseen values may override it.

use crate::model::catalogue::Catalogue;
use crate::model::change::Change;
use crate::model::declaration::{Declaration, Flag, FlagKind, Operation};
use crate::model::place::{Fact, Origin};
use crate::model::release::{ChartResolution, Release};
use crate::model::truth::Truth;
use crate::model::value::{Entry, Node, Value};
use crate::model::version::{EffectiveVersion, MilvusVersion};
use crate::policy::condition::{SetBy, Side, ValuePath, ValueTree};

/// A change under judgement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The change.
    pub(crate) change: &'a Change,
    /// The state before.
    pub(crate) before: Option<&'a Release>,
    /// The state after.
    pub(crate) after: Option<&'a Release>,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found<'a> {
    /// This.
    Entry(&'a Entry),
    /// Nothing.
    Nothing,
    /// Cannot be known.
    Unknown,
}

impl<'a> Facts<'a> {
    /// A change, looked at. What upgrades nothing that runs has no state before.
    #[must_use]
    pub(crate) fn new(change: &'a Change) -> Self {
        let upgrades = change.after.as_ref().is_none_or(|after| upgrades(&after.declaration));
        Self { change, before: change.before.as_ref().filter(|_| upgrades), after: change.after.as_ref() }
    }

    /// One state.
    #[must_use]
    pub(crate) fn side(&self, side: Side) -> Option<&'a Release> {
        match side {
            Side::Before => self.before,
            Side::After => self.after,
        }
    }
}

/// Whether it may upgrade something that runs: a chart that is only fetched, a dry run, and what goes into a cluster that is surely made right before, do not.
fn upgrades(declaration: &Declaration) -> bool {
    let is_harmless = |flag: &Flag| match flag.kind {
        FlagKind::DryRun => true,
        FlagKind::ThrowAwayCluster => flag.value.is_none(),
        _ => false,
    };
    declaration.operation != Operation::Pull && !declaration.flags.iter().any(is_harmless)
}

/// Looks a path up in a tree of values.
#[must_use]
pub(crate) fn walk<'a>(root: &'a Node, keys: &[String]) -> Found<'a> {
    let mut node = root;
    let mut found = None;
    for key in keys {
        let table = match &node.value {
            Value::Table(table) => table,
            Value::Unknown(_) => return Found::Unknown,
            _ => return Found::Nothing,
        };
        match table.entries.get(key.as_str()) {
            Some(entry) => {
                found = Some(entry);
                node = &entry.node;
            }
            None if table.rest_unknown.is_some() => return Found::Unknown,
            None => return Found::Nothing,
        }
    }
    match found {
        Some(entry) if !matches!(entry.node.value, Value::Unknown(_)) => Found::Entry(entry),
        Some(_) => Found::Unknown,
        None => Found::Nothing,
    }
}

/// Looks a value of a release up. A chart default counts only where no unseen values may override it.
#[must_use]
pub(crate) fn value<'a>(release: &'a Release, tree: ValueTree, path: &ValuePath) -> Found<'a> {
    match tree {
        ValueTree::User => walk(&release.user, &path.keys),
        ValueTree::Config => walk(&release.config, &path.keys),
        ValueTree::Effective => {
            let found = walk(&release.effective, &path.keys);
            let by_user = match found {
                Found::Entry(entry) => entry.node.origin != Origin::ChartDefault,
                Found::Nothing => false,
                Found::Unknown => return Found::Unknown,
            };
            if !by_user && matches!(walk(&release.user, &path.keys), Found::Unknown) { Found::Unknown } else { found }
        }
    }
}

/// The Secret that holds one of these values, in words: what stands there is not shown.
#[must_use]
pub(crate) fn secret_of<'a>(release: &'a Release, paths: &[(ValueTree, &str)]) -> Option<&'a str> {
    paths.iter().find_map(|(tree, path)| match value(release, *tree, &ValuePath::from((*path).to_owned())) {
        Found::Entry(entry) => entry.node.origin.secret().map(|secret| &**secret),
        Found::Nothing | Found::Unknown => None,
    })
}

/// Who set a value; nothing where unseen values leave it open.
#[must_use]
pub(crate) fn set_by(release: &Release, keys: &[String]) -> Option<SetBy> {
    match walk(&release.user, keys) {
        Found::Entry(_) => Some(SetBy::User),
        Found::Nothing => Some(SetBy::Default),
        Found::Unknown => None,
    }
}

/// Whether a chart is earlier than another.
#[must_use]
pub(crate) fn chart_lower(chart: &ChartResolution, other: &ChartResolution) -> Truth {
    match other {
        ChartResolution::Known(version) | ChartResolution::NotPublished(version) => chart.below(version),
        ChartResolution::Unknown(_) => Truth::Maybe,
        ChartResolution::Interval { at_least, below, .. } => {
            if chart.below(at_least).is_yes() {
                Truth::Yes
            } else if below.as_ref().is_some_and(|below| chart.at_least(below).is_yes()) {
                Truth::No
            } else {
                Truth::Maybe
            }
        }
    }
}

/// Whether anything is known of a chart version.
#[must_use]
pub(crate) fn chart_known(chart: &ChartResolution) -> bool {
    !matches!(chart, ChartResolution::Unknown(_))
}

/// The Milvus version that a published chart installs by default.
#[must_use]
pub(crate) fn chart_app(chart: &ChartResolution) -> Option<MilvusVersion> {
    match chart {
        ChartResolution::Known(version) => Catalogue::embedded().milvus(version),
        _ => None,
    }
}

/// Whether the number given as chart version is one of a Milvus line that the catalogue knows.
#[must_use]
pub(crate) fn chart_number_is_milvus(chart: &ChartResolution) -> bool {
    let (ChartResolution::Known(version) | ChartResolution::NotPublished(version)) = chart else { return false };
    Catalogue::embedded().newest_of_line((version.major(), version.minor())).is_some()
}

/// Whether anything is known of a Milvus version.
#[must_use]
pub(crate) fn milvus_known(version: &EffectiveVersion) -> bool {
    version.unknown_because().is_none()
}

/// Two facts that may be unknown: whether they differ.
#[must_use]
pub(crate) fn facts_differ<T, U: PartialEq>(before: &Fact<T>, after: &Fact<T>, part: impl Fn(&T) -> U) -> Option<bool> {
    match (before, after) {
        (Fact::Known(before, _), Fact::Known(after, _)) => Some(part(before) != part(after)),
        (Fact::Absent, Fact::Absent) => Some(false),
        (Fact::Known(..), Fact::Absent) | (Fact::Absent, Fact::Known(..)) => Some(true),
        (Fact::Unknown(..), _) | (_, Fact::Unknown(..)) => None,
    }
}

/// Two values without their origins: whether they are equal; nothing where a part is unknown.
#[must_use]
pub(crate) fn values_equal(a: &Value, b: &Value) -> Option<bool> {
    match (a, b) {
        (Value::Unknown(_), _) | (_, Value::Unknown(_)) => None,
        (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => Some(int_equals_float(*a, *b)),
        // A template prints them alike.
        (Value::Int(number), Value::String(text)) | (Value::String(text), Value::Int(number)) => Some(number.to_string() == **text),
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Some(false);
            }
            all_equal(a.iter().zip(b.iter()).map(|(a, b)| values_equal(&a.value, &b.value)))
        }
        (Value::Table(a), Value::Table(b)) => {
            let same_keys = a.entries.len() == b.entries.len() && a.entries.keys().eq(b.entries.keys());
            if !same_keys {
                return if a.rest_unknown.is_some() || b.rest_unknown.is_some() { None } else { Some(false) };
            }
            all_equal(a.entries.values().zip(b.entries.values()).map(|(a, b)| values_equal(&a.node.value, &b.node.value)))
        }
        (a, b) => Some(a == b),
    }
}

/// Null and the empty text say the same to a template, "nothing is set".
#[must_use]
pub(crate) fn both_empty(a: &Value, b: &Value) -> bool {
    let empty = |value: &Value| *value == Value::Null || value.as_str() == Some("");
    empty(a) && empty(b)
}

fn all_equal(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut all = Some(true);
    for part in parts {
        match part {
            Some(false) => return Some(false),
            None => all = None,
            Some(true) => {}
        }
    }
    all
}

#[allow(clippy::cast_precision_loss, reason = "a value beyond 2^53 equals no float that anyone writes")]
fn int_equals_float(int: i64, float: f64) -> bool {
    (int as f64) == float
}
