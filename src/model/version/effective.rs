//! The Milvus version in force: one, an interval, or unknown; compared in three values.

use std::fmt;
use std::sync::Arc;

use super::MilvusVersion;
use crate::model::truth::Truth;

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

impl EffectiveVersion {
    /// Whether it is `version` or later: on the whole interval, on a part of it, or nowhere.
    #[must_use]
    pub fn at_least(&self, version: &MilvusVersion) -> Truth {
        match self {
            Self::Exact(exact) => (exact >= version).into(),
            Self::Interval { at_least, .. } if at_least >= version => Truth::Yes,
            Self::Interval { below: Some(below), .. } if below.first_build() <= *version => Truth::No,
            Self::Interval { .. } | Self::Unknown(_) => Truth::Maybe,
        }
    }

    /// Whether it is earlier than `version`.
    #[must_use]
    pub fn below(&self, version: &MilvusVersion) -> Truth {
        !self.at_least(version)
    }

    /// Whether it is `version` itself.
    #[must_use]
    pub fn is(&self, version: &MilvusVersion) -> Truth {
        match self {
            Self::Exact(exact) => (exact == version).into(),
            Self::Interval { at_least, below } if version < at_least || below.as_ref().is_some_and(|b| version >= b) => Truth::No,
            Self::Interval { .. } | Self::Unknown(_) => Truth::Maybe,
        }
    }

    /// Whether it lies in `from..below` (no upper bound: from there on).
    #[must_use]
    pub fn within(&self, from: &MilvusVersion, below: Option<&MilvusVersion>) -> Truth {
        let lower = self.at_least(from);
        let Some(below) = below else { return lower };
        match (self, lower.and(self.below(below))) {
            // Each bound cuts the interval on its own; together they may leave nothing of it.
            (Self::Interval { at_least, .. }, Truth::Maybe) if at_least >= below => Truth::No,
            (_, truth) => truth,
        }
    }

    /// Whether it is earlier than another one, for certain or possibly.
    #[must_use]
    pub fn lower_than(&self, other: &Self) -> Truth {
        match other {
            Self::Exact(version) => self.below(version),
            Self::Unknown(_) => Truth::Maybe,
            Self::Interval { at_least, below } => match (self.below(at_least), below.as_ref().map(|b| self.at_least(b))) {
                (Truth::Yes, _) => Truth::Yes,
                (_, Some(Truth::Yes)) => Truth::No,
                _ => Truth::Maybe,
            },
        }
    }

    /// The lowest version that it may be, if anything is known.
    #[must_use]
    pub fn lowest(&self) -> Option<MilvusVersion> {
        match self {
            Self::Exact(version) | Self::Interval { at_least: version, .. } => Some(*version),
            Self::Unknown(_) => None,
        }
    }

    /// The one version, if it is one.
    #[must_use]
    pub fn exact(&self) -> Option<MilvusVersion> {
        match self {
            Self::Exact(version) => Some(*version),
            Self::Interval { .. } | Self::Unknown(_) => None,
        }
    }

    /// Why nothing is known, if nothing is.
    #[must_use]
    pub fn unknown_because(&self) -> Option<&Arc<str>> {
        match self {
            Self::Unknown(reason) => Some(reason),
            Self::Exact(_) | Self::Interval { .. } => None,
        }
    }
}

impl fmt::Display for EffectiveVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(version) => version.fmt(f),
            Self::Interval { at_least, below: None } => write!(f, "{at_least} or later"),
            Self::Interval { at_least, below: Some(below) } => write!(f, "{at_least} or later, below {below}"),
            Self::Unknown(_) => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Truth::{Maybe, No, Yes};

    fn v(text: &str) -> MilvusVersion {
        text.parse().unwrap()
    }

    fn interval(at_least: &str, below: Option<&str>) -> EffectiveVersion {
        EffectiveVersion::Interval { at_least: v(at_least), below: below.map(v) }
    }

    #[test]
    fn an_interval_holds_on_all_on_a_part_or_nowhere() {
        let open = interval("2.6.15", None);
        assert_eq!([open.at_least(&v("2.6.0")), open.at_least(&v("3.0.0")), open.below(&v("2.6.0")), open.is(&v("2.6.0"))], [Yes, Maybe, No, No]);
        let closed = interval("2.5.16", Some("2.6.0"));
        assert_eq!([closed.at_least(&v("2.6.0")), closed.at_least(&v("2.5.20")), closed.below(&v("2.6.0")), closed.is(&v("2.5.22"))], [No, Maybe, Yes, Maybe]);
        assert_eq!(closed.within(&v("2.5.0"), Some(&v("2.6.0"))), Yes);
        assert_eq!(closed.within(&v("2.5.20"), Some(&v("2.5.22"))), Maybe);
        assert_eq!(open.within(&v("2.6.0"), Some(&v("2.6.10"))), No);
    }

    #[test]
    fn versions_in_force_compare_with_each_other() {
        let one = |text| EffectiveVersion::Exact(v(text));
        assert_eq!(one("2.5.16").lower_than(&one("2.6.0")), Yes);
        assert_eq!(one("2.6.15").lower_than(&interval("2.6.15", None)), Maybe);
        assert_eq!(one("2.6.14").lower_than(&interval("2.6.15", None)), Yes);
        assert_eq!(one("2.6.0").lower_than(&interval("2.5.16", Some("2.6.0"))), No);
        assert_eq!(interval("2.6.15", None).lower_than(&one("2.6.15")), No);
        assert_eq!(EffectiveVersion::Unknown("x".into()).lower_than(&one("2.6.0")), Maybe);
    }
}
