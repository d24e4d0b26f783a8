//! The metadata migration of 2.2 in the cluster: what it works with, its Jobs, its fence, and what is seen of them. Decisions are made in [`milvus_guard::rollout`].
//!
//! Who can do what: backup, verification and restore are run by our own image, the migration itself by upstream's. Each Job has a name that is derived from upgrade, kind and attempt, so
//! that a second controller, or one that was frozen, cannot make it twice. Right before upstream's tool starts, an init container of ours checks once more that nobody lives, that the
//! layout is that of 2.1, and that the backup is what is in etcd; it writes the tool's configuration into memory, so that credentials are nowhere but in their Secret.

pub mod act;
pub mod fence;
pub mod jobs;
pub mod observe;
pub mod settings;
pub mod state;

use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::observed::JobKind;
use sha2::{Digest as _, Sha256};

/// The label of all objects of a migration: the release.
pub const RELEASE_LABEL: &str = "guard.milvus-guard.dev/migration-of";

/// The label of Jobs and their pods: which upgrade they belong to ([`Attempt::id`]).
pub const ID_LABEL: &str = "guard.milvus-guard.dev/migration";

/// The label of Jobs and their pods: which attempt.
pub const ATTEMPT_LABEL: &str = "guard.milvus-guard.dev/attempt";

/// The label of Jobs and their pods: what they do ([`JobKind::name`]).
pub const KIND_LABEL: &str = "guard.milvus-guard.dev/job";

/// What all objects of migrations are called in `app.kubernetes.io/name`.
pub const NAME: &str = "milvus-guard-metadata";

/// Kinds of Jobs.
pub const KINDS: [JobKind; 4] = [JobKind::Backup, JobKind::Verify, JobKind::Migrate, JobKind::Restore];

/// Characters of a release's name that stand in names of Jobs, whose labels take 63.
const LONGEST_RELEASE: usize = 24;

/// An object with whose end, and that of all others like it, a migration's Jobs end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its `apiVersion`.
    pub api_version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its `metadata.uid`.
    pub uid: String,
}

/// What tells an upgrade from all others, the same for all of its attempts: of what keeps it (`uid`), and the versions.
#[must_use]
pub fn id_of(uid: &str, from: MilvusVersion, to: MilvusVersion) -> String {
    let digest = Sha256::digest(format!("{uid}/{from}/{to}"));
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// One attempt at one upgrade over the migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The namespace.
    pub namespace: String,
    /// The release.
    pub release: String,
    /// What tells the upgrade from all others ([`id_of`]): that of the first, where it was declared again.
    pub id: String,
    /// What Jobs go with: what keeps the upgrade and, where that may be deleted meanwhile, the workloads. What upstream's tool has begun is read from its Job.
    pub owners: Vec<Owner>,
    /// The version before.
    pub from: MilvusVersion,
    /// The version after.
    pub to: MilvusVersion,
    /// Which attempt: later ones have higher numbers.
    pub number: u32,
    /// How long a Job may take, in seconds.
    pub job_seconds: u64,
}

impl Attempt {
    /// The name of a Job.
    #[must_use]
    pub fn job(&self, kind: JobKind) -> String {
        format!("{}-metadata-{}-{}-{}", self.short(), kind.name(), self.id, self.number)
    }

    /// The name of the claim that the backups of all attempts are kept on.
    #[must_use]
    pub fn claim(&self) -> String {
        format!("{}-metadata-backup-{}", self.short(), self.id)
    }

    /// The backup's file on the claim.
    #[must_use]
    pub fn file(&self) -> String {
        format!("attempt-{}.bak", self.number)
    }

    fn short(&self) -> &str {
        let end = self.release.floor_char_boundary(LONGEST_RELEASE);
        self.release.get(..end).unwrap_or_default().trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;

    /// An attempt of release `m` in namespace `db`, 2.1.4 to 2.2.16.
    pub(crate) fn attempt(number: u32) -> Attempt {
        Attempt {
            namespace: "db".into(),
            release: "m".into(),
            id: id_of("3b9d", MilvusVersion::new(2, 1, 4), MilvusVersion::new(2, 2, 16)),
            owners: vec![Owner { api_version: crate::api::API_VERSION, kind: "GuardedUpgrade", name: "m".into(), uid: "3b9d".into() }],
            from: MilvusVersion::new(2, 1, 4),
            to: MilvusVersion::new(2, 2, 16),
            number,
            job_seconds: 3_600,
        }
    }

    #[test]
    fn names_tell_upgrade_kind_and_attempt_and_fit_into_a_label() {
        let (one, two) = (attempt(0), attempt(1));
        assert_eq!(one.job(JobKind::Backup), format!("m-metadata-backup-{}-0", one.id));
        let names: std::collections::BTreeSet<String> = [&one, &two].iter().flat_map(|attempt| KINDS.map(|kind| attempt.job(kind))).collect();
        assert_eq!(names.len(), 8);
        assert_eq!((one.claim(), &one.id), (two.claim(), &two.id));
        assert_ne!(id_of("3b9d", one.from, MilvusVersion::new(2, 2, 15)), one.id);
        let long = Attempt { release: "a-release-whose-name.is-as-long-as-helm-lets-it-be-53".into(), number: u32::MAX, ..attempt(0) };
        assert!(KINDS.iter().all(|kind| long.job(*kind).len() <= 63), "{}", long.job(JobKind::Migrate));
        assert!(long.job(JobKind::Backup).starts_with("a-release-whose-name.is-metadata-"), "{}", long.job(JobKind::Backup));
    }
}
