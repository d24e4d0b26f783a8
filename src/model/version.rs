//! Versions: of charts, of Milvus, and the tags that name them; each its own type.

use std::sync::Arc;

/// A chart version, `4.2.58`. Ordered by number; a pre-release sorts before its release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChartVersion(pub(crate) Arc<str>);

/// A Milvus version, `2.5.16`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MilvusVersion(pub(crate) Arc<str>);

/// What a declaration asks for as chart version.
#[derive(Debug, Clone, PartialEq)]
pub enum VersionSpec {
    /// One version.
    Exact(ChartVersion),
    /// A range in Helm's meaning (`^4.1`, `~> 4.1`, `4.x`, `>=4.1 <5`, `*`), as written.
    Range(Arc<str>),
    /// Not a version at all.
    Malformed(Arc<str>),
}

/// The Milvus version in force.
#[derive(Debug, Clone, PartialEq)]
pub enum EffectiveVersion {
    /// One version.
    Exact(MilvusVersion),
    /// Any version from `at_least` on (below `below`, if bounded).
    Interval {
        /// Lowest.
        at_least: MilvusVersion,
        /// First that it cannot be.
        below: Option<MilvusVersion>,
    },
    /// Cannot be known: the reason in words.
    Unknown(Arc<str>),
}
