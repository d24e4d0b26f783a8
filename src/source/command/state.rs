//! What a job did before a command: clusters, tools, files, flushes, uninstalls, migrations.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chart::Fetched;
use super::deletion::Deletion;
use crate::document::extract::Extract;
use crate::document::script::condition::{Condition, exclude};
use crate::document::shell::{Resolved, excludes};
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
    ways: Vec<(usize, usize)>,
    /// It depends on a command before it.
    conditional: bool,
    /// The list of commands in which it happened, where it begins.
    list: Option<usize>,
    under: Vec<Condition>,
}

impl Before {
    /// Whether it happened whenever a command that stands under these conditions runs.
    pub(super) fn is_certain(&self, command: &Resolved, under: &[Condition]) -> bool {
        !self.conditional && command.ways.starts_with(&self.ways) && self.under.iter().all(|condition| under.contains(condition))
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub(super) enum Happened {
    /// `helm uninstall` of a release.
    Uninstall(Release),
    /// A flush of all collections.
    Flush,
    /// `kubectl delete` of claims or namespaces.
    Deletion(Deletion),
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
    /// The namespace as it is written, where it is not known.
    pub(super) namespace_written: String,
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
    /// What must hold for the current step to run.
    pub(super) under: Vec<Condition>,
}

/// Bound on what is remembered of one job.
const MAX_BEFORE: usize = 200;

impl JobState {
    /// Keeps what happened, and in which command if it was one.
    pub(super) fn remember(&mut self, what: Happened, place: Place, command: Option<&Resolved>) {
        if self.before.len() < MAX_BEFORE {
            let ways = command.map(|command| command.ways.clone()).unwrap_or_default();
            let (conditional, list) = (command.is_some_and(|command| command.conditional), command.map(|command| command.list));
            self.before.push(Before { what, place, ways, conditional, list, under: self.under.clone() });
        }
    }

    /// What happened before in a way that leads to a command of the current step.
    pub(super) fn leading_to<'s>(&'s self, command: &'s Resolved) -> impl Iterator<Item = &'s Before> {
        self.before.iter().filter(|before| !excludes(&before.ways, &command.ways) && !exclude(&before.under, &self.under))
    }

    /// A command ends the script: what happened in its branch, and what `&&` made the condition for it, leads to nothing after it.
    pub(super) fn leave(&mut self, command: &Resolved) {
        if command.and {
            self.before.retain(|before| before.list != Some(command.list));
        }
        if !command.conditional && !command.ways.is_empty() {
            self.before.retain(|before| !before.ways.starts_with(&command.ways));
        }
    }
}
