//! What `milvus-guard doctor` says of a cluster: of the guard's installation, and of each Milvus release. Pure: from what was read, to entries.
//!
//! What rules say of a cluster (MV708, MV709, MV710) is asked of the functions that the gates ask; nothing has a second verdict here.

pub mod back;
pub mod installation;
pub mod releases;
pub mod report;

use std::collections::BTreeMap;
use std::sync::Arc;

use milvus_guard::model::catalogue::Catalogue;
use serde::Serialize;
use serde_json::Value;

use crate::admission::release::{self, Driver, StoredRelease};
use crate::admission::{helm_storage, milvus};
use crate::cluster::{Snapshot, text};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Worth knowing, and nothing to be done.
    Note,
    /// It could not be told.
    Unknown,
    /// Something is to be done.
    Problem,
}

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// How it ended.
    pub state: State,
    /// The check's name, kebab-case.
    pub check: &'static str,
    /// The rule behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Arc<str>>,
    /// The namespace; nothing for what belongs to the whole cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// What there is, one line.
    pub message: String,
    /// What to do, one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// What to do about a right that lacks.
const ASK: &str = "Ask for that right, or have somebody run this who has it.";

impl Entry {
    fn new(state: State, check: &'static str, message: impl Into<String>) -> Self {
        Self { state, check, rule: None, namespace: None, release: None, message: message.into(), remedy: None }
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    fn rule(self, rule: &str) -> Self {
        Self { rule: Some(rule.into()), ..self }
    }

    fn of(self, namespace: &str, release: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), release: Some(release.to_owned()), ..self }
    }
}

/// The newest revision of a Helm release, by the labels of what stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Where it is stored.
    pub namespace: String,
    /// The release.
    pub release: String,
    /// Its number.
    pub number: u32,
    /// `deployed`, `pending-upgrade`, ...
    pub status: String,
    /// When it was last written, in seconds of Unix time.
    pub since: Option<i64>,
    /// What stores it.
    pub driver: Driver,
    /// The newest revision before it that Helm completed.
    pub completed_before: Option<u32>,
}

/// A stored release, as far as it could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Which revision.
    pub revision: Revision,
    /// What it says; nothing where it is no Milvus.
    pub content: Result<Option<StoredRelease>, String>,
    /// Kinds of its manifest that the API server does not serve: `policy/v1beta1 PodDisruptionBudget`.
    pub not_served: Vec<String>,
}

/// How the webhook answered a request that it has to refuse and that stores nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It refused, in its own words.
    Answered,
    /// The API server did not reach it: what it said.
    Unanswered(String),
    /// The request passed: nobody was asked.
    NotAsked,
    /// It could not be tried: why.
    Untried(String),
}

/// What was read of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Objects of all kinds.
    pub cluster: Snapshot,
    /// The time, in seconds of Unix time.
    pub now: i64,
    /// Namespaces that were looked at.
    pub namespaces: Vec<String>,
    /// How the webhook answered, and in which namespace.
    pub probe: Option<(String, Probe)>,
    /// The certificate that the webhook serves, PEM.
    pub serving_certificate: Option<String>,
    /// The newest revisions of Helm releases.
    pub revisions: Vec<Revision>,
    /// Those of them that may be Milvus, read.
    pub stored: Vec<Stored>,
    /// Why a release may not go back by `helm rollback`, by namespace and release.
    pub no_rollback: BTreeMap<(String, String), String>,
    /// What the guard's own account may not do, in words, with the account.
    pub lacking: Vec<(String, String)>,
    /// What the user may not do that commands need, in words.
    pub denied: Vec<String>,
    /// What could not be read, and why.
    pub unread: Vec<(String, String)>,
    /// That the API server does not answer, which one, and why: nothing more was asked then.
    pub unanswered: Option<String>,
}

impl Seen {
    /// Whether things whose name ends so could not be read.
    fn is_unread(&self, name: &str) -> bool {
        self.unread.iter().any(|(what, _)| what.ends_with(name))
    }
}

/// All that there is to say.
#[must_use]
pub fn examine(seen: &Seen) -> Vec<Entry> {
    if let Some(why) = &seen.unanswered {
        let entry = Entry::new(State::Unknown, "read", why.as_str());
        return vec![entry.remedy("See that the kubeconfig's context names the cluster that you mean, and that it can be reached: kubectl cluster-info")];
    }
    let mut all = installation::entries(seen);
    all.extend(releases::entries(seen));
    all.extend(nothing_there(seen));
    all.extend(
        seen.unread.iter().map(|(what, why)| Entry::new(State::Unknown, "read", format!("{what} could not be read: {why}")).remedy(remedy_of_unread(why))),
    );
    all
}

/// That no release was found where one namespace was looked at.
fn nothing_there(seen: &Seen) -> Option<Entry> {
    let [namespace] = seen.namespaces.as_slice() else { return None };
    let is_there = seen.cluster.of_kind("Namespace").any(|object| name(object) == namespace);
    if !is_there && !seen.is_unread(&format!("Namespace {namespace}")) {
        let entry = Entry::new(State::Unknown, "release", format!("there is no namespace {namespace}"));
        return Some(entry.remedy("Name the namespace of the release with -n; -A looks everywhere."));
    }
    let is_empty = !releases::any(seen) && !seen.is_unread("Deployments");
    is_empty.then(|| Entry::new(State::Note, "release", format!("no Milvus release in namespace {namespace}; -A looks everywhere")))
}

/// Problems of one release that keep an upgrade of it from beginning.
#[must_use]
pub fn obstacles(seen: &Seen, release: &str) -> Vec<Entry> {
    const CHECKS: [&str; 7] = ["pending-release", "stored-manifest", "operator", "rollout", "stopped", "fence", "upgrade"];
    let is_obstacle = |entry: &Entry| entry.release.as_deref() == Some(release) && entry.state == State::Problem && CHECKS.contains(&entry.check);
    releases::entries(seen).into_iter().filter(is_obstacle).collect()
}

/// The keys that lead to Milvus's values in the chart of a release: none but below a wrapper.
#[must_use]
pub fn values_key(seen: &Seen, release: &str) -> Vec<Arc<str>> {
    let stored = seen.stored.iter().find(|stored| stored.revision.release == release).and_then(|stored| stored.content.as_ref().ok()?.as_ref());
    let found = stored.map(|stored| milvus::find(stored, None, Catalogue::embedded())).unwrap_or_default();
    found.into_iter().next().map(|milvus| milvus.key).unwrap_or_default()
}

fn remedy_of_unread(why: &str) -> &'static str {
    if why.contains("forbidden") || why.contains("cannot ") { ASK } else { "Look at the API server, and run it again." }
}

/// The exit code: 0 clean, 1 problems, 2 something could not be told.
#[must_use]
pub fn exit_code(entries: &[Entry]) -> u8 {
    match entries.iter().map(|entry| entry.state).max() {
        Some(State::Problem) => 1,
        Some(State::Unknown) => 2,
        _ => 0,
    }
}

/// Reads a stored release; nothing where it cannot be Milvus.
///
/// # Errors
/// Why it cannot be read, in words without any of its content.
pub fn read_stored(object: &Value, driver: Driver) -> Result<Option<StoredRelease>, String> {
    let packed = release::encoded(object).and_then(|text| release::Packed::of(text, driver));
    packed.and_then(|packed| helm_storage::decode(&packed, None)).map(|decoded| decoded.map(|decoded| decoded.release)).map_err(|error| error.to_string())
}

/// API version and kind of every object of a rendered manifest, each once.
#[must_use]
pub fn kinds(manifest: &str) -> Vec<(String, String)> {
    let mut kinds: Vec<(String, String)> = Vec::new();
    for document in manifest.split("\n---") {
        let field = |name: &str| document.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().trim_matches(['"', '\'']).to_owned());
        if let (Some(version), Some(kind)) = (field("apiVersion:"), field("kind:"))
            && !kinds.iter().any(|known| *known == (version.clone(), kind.clone()))
        {
            kinds.push((version, kind));
        }
    }
    kinds
}

fn name(object: &Value) -> &str {
    text(object, "/metadata/name").unwrap_or_default()
}

/// A few names in words: `a, b, c and 2 more`.
fn few(names: &[&str]) -> String {
    const SHOWN: usize = 4;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

/// A time in words: `45s`, `12m`, `3h`, `5d`.
#[must_use]
pub fn age(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
