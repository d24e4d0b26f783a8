//! Which Helm reads the values: 3 and 4 disagree on some nulls, on files of several documents and on a few malformed `--set` texts.

/// A major version of Helm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum HelmMajor {
    /// Helm 3 (as of 3.22).
    #[default]
    Three,
    /// Helm 4 (as of 4.3).
    Four,
}
