//! What the resolvers look at: effective values, configuration and the chart whose templates are in force.

use std::sync::Arc;

use super::scalar_text;
use crate::model::place::{Fact, Origin};
use crate::model::truth::Truth;
use crate::model::value::{Lookup, Node, Value};
use crate::model::version::ChartVersion;

/// The inputs of a release's derived facts.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// Effective values.
    pub values: &'a Node,
    /// Configuration given by the user.
    pub config: &'a Node,
    /// The chart whose templates are in force, if its templates are known.
    pub chart: Option<&'a ChartVersion>,
}

/// A switch as a template's `if` takes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Switch {
    /// On, and where that is said.
    On(Origin),
    /// Off, or not said.
    Off,
    /// Cannot be known: the reason.
    Unknown(Arc<str>),
}

impl Switch {
    pub(super) fn truth(&self) -> Truth {
        match self {
            Self::On(_) => Truth::Yes,
            Self::Off => Truth::No,
            Self::Unknown(_) => Truth::Maybe,
        }
    }
}

impl View<'_> {
    /// Whether the chart is this version or later.
    pub(super) fn since(&self, major: u32, minor: u32, patch: u32) -> Truth {
        self.chart.map(|chart| *chart >= ChartVersion::new(major, minor, patch)).into()
    }

    /// A value as a switch.
    pub(super) fn switch(&self, path: &str) -> Switch {
        match self.values.lookup(path) {
            Lookup::Absent => Switch::Off,
            Lookup::Unknown(reason) => Switch::Unknown(Arc::clone(reason)),
            Lookup::Found(entry) => match entry.node.value.truthy() {
                Some(true) => Switch::On(entry.node.origin.clone()),
                Some(false) => Switch::Off,
                None => Switch::Unknown(format!("{path} cannot be seen").into()),
            },
        }
    }

    /// A switch that exists only from a chart version on.
    pub(super) fn switch_since(&self, path: &str, (major, minor, patch): (u32, u32, u32)) -> Switch {
        match self.since(major, minor, patch) {
            Truth::No => Switch::Off,
            Truth::Yes => self.switch(path),
            Truth::Maybe => match self.switch(path) {
                Switch::On(_) => Switch::Unknown("the chart version is not known".into()),
                other => other,
            },
        }
    }

    /// A value as text; an empty text and `null` count as not said.
    pub(super) fn text(&self, path: &str) -> Fact<Arc<str>> {
        text_at(self.values, path)
    }

    /// A setting of the user's configuration as text.
    pub(super) fn config_text(&self, path: &str) -> Fact<Arc<str>> {
        text_at(self.config, path)
    }

    /// The setting of the user's configuration, else the value.
    pub(super) fn config_or_value(&self, config: &str, value: &str) -> Fact<Arc<str>> {
        match self.config_text(config) {
            Fact::Absent => self.text(value),
            said => said,
        }
    }
}

/// A scalar at a path as text; an empty text and `null` count as not said, tables and lists as unknown.
pub(super) fn text_at(root: &Node, path: &str) -> Fact<Arc<str>> {
    match root.lookup(path) {
        Lookup::Absent => Fact::Absent,
        Lookup::Unknown(reason) => Fact::Unknown(Arc::clone(reason), root.origin.clone()),
        Lookup::Found(entry) => match scalar_text(&entry.node.value) {
            Some(text) if text.is_empty() => Fact::Absent,
            Some(text) => Fact::Known(text, entry.node.origin.clone()),
            None if entry.node.value == Value::Null => Fact::Absent,
            None => Fact::Unknown(format!("{path} is not a text").into(), entry.node.origin.clone()),
        },
    }
}
