//! A change of one release: before, after, how it is applied, and what the environment tells.

use super::declaration::Identity;
use super::release::Release;

pub use super::words::ChangeKind;

/// A change of one release.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Who.
    pub identity: Identity,
    /// What happened.
    pub kind: ChangeKind,
    /// State before, where known.
    pub before: Option<Release>,
    /// State after; absent when removed.
    pub after: Option<Release>,
    /// Versions that files do not say.
    pub environment: Environment,
}

/// What was told on the command line (or is known of the cluster).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Environment {
    /// Kubernetes version: `--kube-version`.
    pub kubernetes: Option<(u32, u32)>,
    /// Helm client version: `--helm-version`.
    pub helm: Option<(u32, u32, u32)>,
}
