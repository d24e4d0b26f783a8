//! What a job did before a command: clusters, tools, files, flushes, uninstalls, migrations.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chart::Fetched;
use super::kubectl::Deletion;
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

impl Deletion {
    /// What of a release it takes away, in words. Claims of a Pulsar alone are part of the documented way to Pulsar 3, after a flush.
    pub(super) fn hits(&self, release: &Release, is_flushed: bool) -> Option<&'static str> {
        match self {
            Self::Namespaces(names) => {
                let is_its_own =
                    |name: &String| release.namespace.as_deref() == Some(name.as_str()) || (release.namespace.is_none() && release.namespace_written == *name);
                names.iter().any(is_its_own).then_some("its namespace")
            }
            Self::Claims { namespace, targets, all } => {
                let is_here = namespace.is_none() || release.namespace.is_none() || *namespace == release.namespace;
                let known = release.name.as_deref().unwrap_or(&release.written);
                let of_release = |target: &String| holds_word(target, known) || target.contains("milvus");
                let is_of_pulsar = !targets.is_empty() && targets.iter().all(|target| target.contains("pulsar"));
                let is_hit = is_here && (*all || targets.iter().any(of_release)) && !(is_flushed && is_of_pulsar);
                is_hit.then_some("claims that hold its data")
            }
        }
    }
}

/// Whether a text holds a name as a whole word: `data-my-release-etcd-0` holds `my-release`.
fn holds_word(text: &str, name: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !name.is_empty()
        && text.match_indices(name).any(|(at, _)| {
            let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + name.len()..).unwrap_or_default());
            !is_part(before.chars().next_back()) && !is_part(after.chars().next())
        })
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
