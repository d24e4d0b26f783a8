//! What a job did before a command: clusters, tools, files, flushes, uninstalls, migrations.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chart::Fetched;
use crate::document::extract::Extract;
use crate::document::shell::excludes;
use crate::model::declaration::Evidence;
use crate::model::place::{Fact, Place};

/// What a script wrote to a file.
#[derive(Debug, Clone)]
pub(super) enum Written {
    /// A here-document.
    Text(Extract),
    /// Another file of the tree, changed on the way (`envsubst`, `sed`): known but for its variables.
    Copy(String),
    /// Something else: the reason in words.
    Unknown(&'static str),
}

/// Something that happened before.
#[derive(Debug, Clone)]
pub(super) struct Before {
    pub(super) what: Happened,
    pub(super) place: Place,
    pub(super) ways: Vec<(usize, usize)>,
}

/// What happened.
#[derive(Debug, Clone)]
pub(super) enum Happened {
    /// `helm uninstall` of a release.
    Uninstall(Release),
    /// A flush of all collections.
    Flush,
    /// A metadata migration of a release.
    Migration(Release, Evidence),
    /// A throw-away cluster was made.
    Cluster,
}

/// A release as commands name it: equal where both names are known and equal, or written the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) name: Option<Arc<str>>,
    /// The name as it is written, where it is not known.
    pub(super) written: String,
    pub(super) namespace: Option<Arc<str>>,
}

impl Release {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let named = match (&self.name, &other.name) {
            (Some(a), Some(b)) => a == b,
            (None, None) => self.written == other.written && !self.written.is_empty(),
            _ => false,
        };
        named && (self.namespace == other.namespace || self.namespace.is_none() || other.namespace.is_none())
    }
}

/// What is known so far in a job.
#[derive(Debug, Default)]
pub(super) struct JobState {
    pub(super) helm: Fact<Arc<str>>,
    pub(super) kubernetes: Fact<Arc<str>>,
    pub(super) before: Vec<Before>,
    pub(super) written: BTreeMap<String, Written>,
    pub(super) fetched: Fetched,
    pub(super) cloned: Option<Fact<Arc<str>>>,
}

/// Bound on what is remembered of one job.
const MAX_BEFORE: usize = 200;

impl JobState {
    pub(super) fn remember(&mut self, what: Happened, place: Place, ways: &[(usize, usize)]) {
        if self.before.len() < MAX_BEFORE {
            self.before.push(Before { what, place, ways: ways.to_vec() });
        }
    }

    /// What happened before in a way that leads to a command with these alternatives.
    pub(super) fn leading_to(&self, ways: &[(usize, usize)]) -> impl Iterator<Item = &Before> {
        self.before.iter().filter(move |before| !excludes(&before.ways, ways))
    }

    /// A branch ends the script: what happened in it leads to nothing after it.
    pub(super) fn leave(&mut self, ways: &[(usize, usize)]) {
        if !ways.is_empty() {
            self.before.retain(|before| !before.ways.starts_with(ways));
        }
    }
}
