//! What rules walk: each find kind gives hits, and each hit is judged on its own.

mod bad_versions;
mod changed_values;
mod dead;
mod defaults;
pub(crate) mod gaps;
mod paths;
mod simple;
mod tables;
mod types;

use crate::model::place::Place;
use crate::policy::answer::Answer;
use crate::policy::condition::Condition;
use crate::policy::evaluate::Context;
use crate::policy::format::{Find, Rule};
use crate::policy::load::Bundle;

pub(crate) use self::paths::printed;

/// Something that a rule looks at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hit {
    /// What tells it from other hits of the rule: the value path, the setting, the row. Part of the fingerprint.
    pub(crate) key: String,
    /// The value path, where the hit is one.
    pub(crate) path: Option<String>,
    /// The variables, as [`Find::variables`] lists them.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Where it stands.
    pub(crate) place: Option<Place>,
    /// Where it stood before, for hits that are gone after.
    pub(crate) place_before: Option<Place>,
    /// How sure it is that the hit is one at all.
    pub(crate) certain: Answer,
    /// How it is named in a list of hits.
    pub(crate) listed: String,
}

impl Hit {
    /// A hit without variables or place.
    #[must_use]
    pub(crate) fn new(key: impl Into<String>) -> Self {
        let key = key.into();
        Self { listed: format!("`{key}`"), key, path: None, variables: Vec::new(), place: None, place_before: None, certain: Answer::Yes }
    }

    /// A hit at a value path.
    #[must_use]
    pub(crate) fn at_path(path: &str) -> Self {
        Self { path: Some(path.to_owned()), ..Self::new(path) }.with("path", path)
    }

    /// With a variable.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// With a place.
    #[must_use]
    pub(crate) fn placed(mut self, place: Option<&Place>) -> Self {
        self.place = place.cloned();
        self
    }

    /// A variable's value.
    #[must_use]
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// The most hits that one rule takes on one change; the rest would not be read by anyone.
pub(crate) const MAX_HITS: usize = 200;

/// The hits of a rule. `Find::Release` has none here: it is judged without a hit.
#[must_use]
pub(crate) fn hits(rule: &Rule, context: &Context<'_>, bundle: &Bundle) -> Vec<Hit> {
    let facts = &context.facts;
    let mut hits = match &rule.find {
        Find::Release => Vec::new(),
        Find::RemovedValues => tables::removed_values(facts, bundle),
        Find::BadVersions => bad_versions::bad_versions(rule, context, bundle),
        Find::UserValues(paths) => simple::user_values(facts, paths),
        Find::ChangedValues(paths) => changed_values::changed_values(facts, paths),
        Find::Flags(flags) => simple::flags(facts, flags),
        Find::Components(is) => simple::components(facts, is),
        Find::MisplacedValues => simple::misplaced(facts),
        Find::Gaps(gaps) => gaps::gaps(facts, gaps),
        Find::DeadValues => dead::dead_values(facts),
        Find::DroppedValues => defaults::dropped_values(facts),
        Find::DefaultFlips(find) => defaults::default_flips(facts, find),
        Find::CopiedDefaults(find) => defaults::copied_defaults(facts, find),
        Find::WrongTypes => types::wrong_types(facts),
        Find::DependencyImages(find) => types::dependency_images(facts, find),
    };
    hits.truncate(MAX_HITS);
    hits
}

/// Whether an outcome of a rule may take a hit with this variable: what none takes needs not be found.
fn may_take(rule: &Rule, name: &str, value: &str) -> bool {
    let refuses = |condition: &Condition| matches!(condition, Condition::Hit(is) if is.name == name && is.one_of.iter().all(|one| one != value));
    rule.outcomes.iter().any(|outcome| !outcome.when.iter().any(refuses))
}
