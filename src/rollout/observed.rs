//! What is observed of a release. Filled anew from the cluster in each round; only what a field says is "remembered" comes from an annotation.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::component::{Component, Duty, Topology};
use crate::model::version::MilvusVersion;

/// Seconds since some moment that is the same for all of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// Seconds since an earlier moment; none where it is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// So many seconds later.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

/// The state of an object that a decision was made on. The write that follows must be refused by the API server if the object has moved on since.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`.
    pub resource_version: u64,
}

/// A pod template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Template {
    /// A hash of it.
    pub digest: Arc<str>,
    /// The version of its image; nothing where the tag tells none.
    pub version: Option<MilvusVersion>,
}

impl Template {
    /// Whether it runs this version.
    #[must_use]
    pub fn is_of(&self, version: MilvusVersion) -> bool {
        self.version == Some(version)
    }
}

/// What is known of a release.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// Its workloads: Deployments with a `component` label of Milvus.
    pub workloads: BTreeMap<Component, Workload>,
    /// Workloads that no order tells of: with a `component` label that is not known here, or one that another workload has, too.
    pub strangers: Vec<Arc<str>>,
    /// Its etcd, object store and queue, by name of the workload.
    pub dependencies: BTreeMap<Arc<str>, Dependency>,
    /// How far the change has come.
    pub arrival: Arrival,
    /// Sessions in etcd.
    pub sessions: Known<Vec<Session>>,
    /// Whether coordinators have a standby, by the configuration that their pods mount.
    pub active_standby: Known<bool>,
    /// Metadata and its migration; only looked at where an order migrates.
    pub metadata: Metadata,
    /// The receipt of this very upgrade is written.
    pub is_recorded: bool,
}

/// Something that can be read from the cluster, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    /// It was read.
    Yes(T),
    /// It could not be: why.
    No(Arc<str>),
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self::No("it was not looked at".into())
    }
}

impl<T> Known<T> {
    /// What was read.
    #[must_use]
    pub const fn get(&self) -> Option<&T> {
        match self {
            Self::Yes(value) => Some(value),
            Self::No(_) => None,
        }
    }
}

/// A Deployment of Milvus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The state that all of this was read from.
    pub stamp: Stamp,
    /// The pod template that it says.
    pub stored: Template,
    /// The template that served before this upgrade: that of its newest ReplicaSet of another template; nothing for what is new.
    pub before: Option<Template>,
    /// Whether the stored template may run.
    pub hold: Hold,
    /// `spec.replicas`.
    pub wanted: u32,
    /// The replicas that are remembered (annotation) while it is stopped for a migration.
    pub stopped: Option<u32>,
    /// Its pods, by template; terminating ones counted apart.
    pub pods: Vec<Pods>,
    /// The Deployment's controller has seen the stored state (`observedGeneration`).
    pub is_seen: bool,
    /// Earlier and later pods may live side by side.
    pub is_rolling: bool,
    /// It has a ReplicaSet, which makes its pods anew where they fall; one that was deleted and made anew while it is held has none.
    pub has_sets: bool,
    /// The Deployment is deleted, and pods of it are left.
    pub is_gone: bool,
    /// It carries the marks that keep appliers from deleting it.
    pub is_marked: bool,
    /// It is there only because of those: nobody else asked to keep it.
    pub is_kept: bool,
    /// The course that it was last sealed for (annotation; `Plan::epoch`).
    pub epoch: u64,
    /// When something of it last moved: a pod came, went, or became ready.
    pub moved: Moment,
}

/// Whether the stored template of a workload may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// It runs.
    None,
    /// Held by the guard.
    Held,
    /// Held by the guard, and not to be released: a rule and why.
    Blocked(Arc<str>),
    /// Paused by somebody else.
    Foreign,
}

/// The pods of one template of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pods {
    /// Their template.
    pub template: Template,
    /// Pods that are not terminating.
    pub running: u32,
    /// Those of them that are ready.
    pub ready: u32,
    /// Pods that are being deleted and still there.
    pub terminating: u32,
    /// What keeps one of them from becoming ready.
    pub trouble: Option<Trouble>,
}

impl Pods {
    /// All that are there.
    #[must_use]
    pub const fn all(&self) -> u32 {
        self.running.saturating_add(self.terminating)
    }
}

/// What keeps a pod from becoming ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// The image cannot be pulled.
    ImagePull,
    /// No node takes it.
    Unschedulable,
    /// It crashes again and again.
    Crashing,
    /// The API server refuses to make it: a quota, or an admission policy.
    Refused,
}

impl Trouble {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImagePull => "the image of its new pods cannot be pulled",
            Self::Unschedulable => "no node takes its new pods",
            Self::Crashing => "its new pods crash again and again",
            Self::Refused => "the API server refuses its new pods (a quota, or an admission policy)",
        }
    }
}

/// A part of etcd, the object store or the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The state that all of this was read from.
    pub stamp: Stamp,
    /// Whether its stored template may run.
    pub hold: Hold,
    /// It was let go in this upgrade. Where it is held again, what is stored is another template, and what runs is that of the change.
    pub was_let_go: bool,
    /// All its pods are ready and of the stored template.
    pub is_complete: bool,
    /// When something of it last moved.
    pub moved: Moment,
}

/// How far a change has come, by what writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// A Helm revision is `pending-*`, since then.
    Pending(Moment),
    /// No Helm revision is pending; an object of the release was last written then.
    Written(Moment),
}

impl Default for Arrival {
    fn default() -> Self {
        Self::Written(Moment::default())
    }
}

/// A session of a component in etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose: `rootcoord`, `mixcoord`, `querynode`, ...
    pub role: Component,
    /// It is the one that serves, not a standby.
    pub is_active: bool,
    /// The version of the server that holds it.
    pub version: Option<MilvusVersion>,
    /// The component of the pod that holds it; nothing where that pod is gone.
    pub holder: Option<Component>,
    /// When it was first seen.
    pub since: Moment,
    /// Whose it is and where, in words.
    pub owner: Arc<str>,
}

/// Metadata and the state of its migration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Its layout, by the test of keys; read after the Jobs, from the leader of etcd.
    pub layout: Known<Layout>,
    /// The backup of this attempt.
    pub backup: Backup,
    /// Jobs of this attempt, at most one of a kind.
    pub jobs: BTreeMap<JobKind, Job>,
    /// The fence stands: no pod of the release can be made.
    pub is_fenced: bool,
}

/// Layouts of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// No key of either: nothing is there, or the root path is wrong.
    Empty,
    /// Of 2.1.
    V21,
    /// Of 2.2 and later.
    V22,
    /// Keys of both: a migration that was interrupted.
    Mixed,
    /// Collections, and nothing that tells the layout.
    Undecided,
}

/// The backup of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Backup {
    /// There is none.
    #[default]
    None,
    /// It is written, and nobody compared it with etcd.
    Unverified,
    /// It is complete: count and digest agree with etcd.
    Verified,
    /// It is not what is in etcd: why.
    Bad(Arc<str>),
}

/// Jobs of a migration; the name of each is derived from upgrade, kind and attempt, so that there cannot be two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobKind {
    /// Reads all metadata into a file.
    Backup,
    /// Compares the file with etcd.
    Verify,
    /// Rewrites the metadata.
    Migrate,
    /// Puts the metadata of the backup back.
    Restore,
}

impl JobKind {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::Migrate => "migrate",
            Self::Restore => "restore",
        }
    }
}

/// A Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// How far it is.
    pub state: JobState,
    /// When it was made.
    pub since: Moment,
}

/// How far a Job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Its pod runs or may still run; what it waits for, where that is known (an image, a claim).
    Active(Option<Arc<str>>),
    /// It ended well.
    Succeeded,
    /// It failed and no pod of it is left.
    Failed(Arc<str>),
}

impl Workload {
    /// The pods of a template.
    #[must_use]
    pub fn of(&self, template: &Template) -> Option<&Pods> {
        self.pods.iter().find(|pods| pods.template == *template)
    }

    /// Pods of other templates, terminating ones included.
    #[must_use]
    pub fn others(&self, template: &Template) -> u32 {
        self.pods.iter().filter(|pods| pods.template != *template).map(Pods::all).sum()
    }

    /// All pods, terminating ones included.
    #[must_use]
    pub fn all_pods(&self) -> u32 {
        self.pods.iter().map(Pods::all).sum()
    }

    /// Pods that are not terminating.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.pods.iter().map(|pods| pods.running).sum()
    }

    /// Whether it served before this upgrade, and still makes pods of that by itself.
    #[must_use]
    pub const fn has_served(&self) -> bool {
        self.before.is_some() && self.has_sets
    }

    /// Whether the guard holds it.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        matches!(self.hold, Hold::Held | Hold::Blocked(_))
    }

    /// Whether it is new, waits, never ran, and is there only because it was kept.
    #[must_use]
    pub fn is_left_over(&self) -> bool {
        self.is_kept && self.is_held() && !self.is_gone && self.before.is_none() && !self.has_sets && self.all_pods() == 0
    }

    /// Whether it is held although the stored template is the one that serves.
    #[must_use]
    pub fn is_held_for_nothing(&self) -> bool {
        self.hold == Hold::Held && self.all_pods() > 0 && self.others(&self.stored) == 0
    }
}

impl Observed {
    /// Whether a duty has a workload that does it, or will as soon as its pods are back: one that serves, or may make pods.
    #[must_use]
    pub fn is_provided(&self, duty: Duty) -> bool {
        let can = |workload: &Workload| workload.wanted > 0 && (workload.has_served() || workload.hold == Hold::None);
        let does = |workload: &Workload| !workload.is_gone && (workload.running() > 0 || can(workload));
        self.workloads.iter().any(|(component, workload)| component.duties().contains(&duty) && does(workload))
    }

    /// Whether the release has no such component, although its topology may have one: then nothing of it is to come, unless somebody adds it.
    #[must_use]
    pub fn lacks(&self, component: Component, before: Topology) -> bool {
        !self.workloads.contains_key(&component) && before.may_have(component)
    }

    /// Whether anything is stopped, or fenced, for a migration.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.metadata.is_fenced || self.workloads.values().any(|workload| workload.stopped.is_some())
    }
}
