//! Judges changes by rules that are data: conditions, find kinds, messages, precedence, evidence. `policies/README.md` documents the language.

mod answer;
mod bound;
pub mod case;
mod check;
pub mod condition;
mod evaluate;
mod facts;
mod find;
mod fixture;
pub mod format;
mod judge;
pub mod known;
pub mod load;
mod names;
mod place;
pub mod plan;
mod precedence;
mod range;
mod render;
mod selftest;
pub mod tables;
pub mod text;
pub mod vocabulary;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::model::declaration::{Declaration, Evidence, EvidenceKind, NotChecked, NotCheckedKind};
use crate::model::{credential, path, words};

pub use self::bound::{Chart, Milvus};
pub use self::check::{check, check_by, not_checked};
pub use self::format::{Needs, Rule, Scope};
pub use self::load::{Bundle, LoadError};
pub use self::selftest::{Tested, selftest};
pub use self::tables::{BadVersion, Gate, GateKind, GateNeed, Planning, RemovedValue, Rollback, Stop};

/// Rules and their tables, ready to judge.
#[derive(Debug, Clone, PartialEq)]
pub struct Policies {
    bundle: Bundle,
}

static EMBEDDED: LazyLock<Policies> = LazyLock::new(|| {
    // The build script wrote and checked it, with the same types; a library without rules is better than a panic, and a test watches over it.
    let bundle = serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/policies.json"))).unwrap_or_default();
    Policies { bundle }
});

/// The rule files, for pages: `{id: text}`.
const PAGES: &str = include_str!(concat!(env!("OUT_DIR"), "/pages.json"));

impl Policies {
    /// The rules of this repository.
    #[must_use]
    pub fn embedded() -> &'static Self {
        &EMBEDDED
    }

    /// Rules from files: paths relative to the policies folder (`rules/MV205-stop-at-2-5-16.yaml`), and their texts.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn load<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<LoadError>> {
        load::load(files).map(|bundle| Self { bundle })
    }

    /// The rules of this repository with all that pages and tests need (`why`, `sources`, `tests`); parsed anew at each call.
    #[must_use]
    pub fn with_pages() -> Self {
        let pages: BTreeMap<String, String> = serde_json::from_str(PAGES).unwrap_or_default();
        let mut all = Self::embedded().clone();
        for rule in &mut all.bundle.rules {
            if let Some(full) = pages.get(&rule.id).and_then(|text| load::read_rule(text).ok()) {
                *rule = full;
            }
        }
        all
    }

    /// All rules, by id.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.bundle.rules
    }

    /// A rule by its id (`MV205`) or name (`stop-at-2-5-16`).
    #[must_use]
    pub fn rule(&self, id_or_name: &str) -> Option<&Rule> {
        self.rules().iter().find(|rule| rule.id.eq_ignore_ascii_case(id_or_name) || rule.name == id_or_name)
    }

    /// Why an acknowledgement counts for nothing: it names no rule, or one that takes none. Nothing for other evidence.
    #[must_use]
    pub fn why_idle(&self, evidence: &Evidence) -> Option<String> {
        let EvidenceKind::Acknowledged { rule, .. } = &evidence.kind else { return None };
        match self.takes_acknowledgement(rule) {
            Some(true) => None,
            Some(false) => Some(format!("the acknowledgement of {rule} does not count: the rule takes none; `milvus-lint explain {rule}` tells what to do")),
            None => Some(format!("the acknowledgement of {rule} does not count: there is no such rule; `milvus-lint rules list` prints all")),
        }
    }

    /// What was written beside a release to be an acknowledgement and counts for nothing (see [`Self::why_idle`]).
    #[must_use]
    pub fn idle_evidence(&self, declaration: &Declaration) -> Vec<NotChecked> {
        let gap = |evidence: &Evidence| {
            let (reason, place) = (self.why_idle(evidence)?, evidence.place.clone()?);
            Some(NotChecked::at(place, NotCheckedKind::NotRead, &reason))
        };
        declaration.evidence.iter().filter_map(gap).collect()
    }

    /// Whether a rule takes an acknowledgement; nothing where there is no rule of this id.
    #[must_use]
    pub fn takes_acknowledgement(&self, id: &str) -> Option<bool> {
        let rule = self.rules().iter().find(|rule| rule.id == id)?;
        Some(rule.door.as_ref().is_some_and(|door| door.evidence.contains(&condition::EvidenceWord::Acknowledged)))
    }

    /// The version graph.
    #[must_use]
    pub fn gates(&self) -> &[Gate] {
        &self.bundle.gates
    }

    /// Releases with known defects.
    #[must_use]
    pub fn bad_versions(&self) -> &[BadVersion] {
        &self.bundle.bad_versions
    }

    /// Values that the chart line read once.
    #[must_use]
    pub fn removed_values(&self) -> &[RemovedValue] {
        &self.bundle.removed_values
    }

    /// Everything.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }
}

/// A rule of this repository with all that its page tells (`why`, `sources`, `tests`); parsed when asked for.
#[must_use]
pub fn page(id: &str) -> Option<Rule> {
    let rule = Policies::embedded().rule(id)?;
    let pages: BTreeMap<String, String> = serde_json::from_str(PAGES).ok()?;
    load::read_rule(pages.get(&rule.id)?).ok()
}

#[cfg(test)]
mod tests;
