//! A change of one release: before, after, how it is applied, and what the environment tells.

use std::sync::Arc;

use super::catalogue::Catalogue;
use super::declaration::{Declaration, Identity};
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

impl Change {
    /// Resolves both states; the state before is what the release runs when the state after is applied. Nothing when neither is given.
    #[must_use]
    pub fn new(before: Option<Declaration>, after: Option<Declaration>, kind: ChangeKind, environment: Environment, catalogue: &Catalogue) -> Option<Self> {
        let identity = after.as_ref().or(before.as_ref())?.identity.clone();
        let before = before.map(|declaration| Release::resolve(Arc::new(declaration), None, &environment, catalogue));
        let after = after.map(|declaration| Release::resolve(Arc::new(declaration), before.as_ref(), &environment, catalogue));
        Some(Self { identity, kind, before, after, environment })
    }
}

/// What was told on the command line (or is known of the cluster).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Environment {
    /// Kubernetes version: `--kube-version`.
    pub kubernetes: Option<(u32, u32)>,
    /// Helm client version: `--helm-version`.
    pub helm: Option<(u32, u32, u32)>,
}
