//! Versions: of charts, of Milvus, and the tags that name them; each its own type.

mod effective;
mod milvus;
mod tag;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::effective::EffectiveVersion;
pub use self::milvus::{MilvusVersion, Stage};
pub use self::tag::{ImageTag, TagMeaning};
use super::range::VersionRange;

/// A text that is not the version it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {expected}")]
pub struct VersionError {
    /// The text.
    pub text: String,
    /// What was expected, in words.
    pub expected: &'static str,
}

/// A chart version, `4.2.58`. Ordered by number; a pre-release sorts before its release. Build metadata (`+...`) counts for nothing and is dropped.
#[derive(Debug, Clone, Eq)]
pub struct ChartVersion {
    numbers: [u32; 3],
    pre: Option<Arc<str>>,
}

impl ChartVersion {
    /// A release version.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { numbers: [major, minor, patch], pre: None }
    }

    /// The first number.
    #[must_use]
    pub const fn major(&self) -> u32 {
        self.numbers[0]
    }

    /// The second number.
    #[must_use]
    pub const fn minor(&self) -> u32 {
        self.numbers[1]
    }

    /// The third number.
    #[must_use]
    pub const fn patch(&self) -> u32 {
        self.numbers[2]
    }

    /// What stands after the dash (`rc.1` of `5.0.0-rc.1`), if anything.
    #[must_use]
    pub fn pre_release(&self) -> Option<&str> {
        self.pre.as_deref()
    }

    /// The same numbers with another pre-release part.
    pub(crate) fn with_pre(major: u32, minor: u32, patch: u32, pre: Option<&str>) -> Self {
        Self { numbers: [major, minor, patch], pre: pre.map(Arc::from) }
    }
}

impl FromStr for ChartVersion {
    type Err = VersionError;

    /// Reads what Helm reads as a version: an optional `v`, one to three numbers, a pre-release, build metadata.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        read_semver(text).ok_or_else(|| VersionError { text: excerpt(text), expected: "chart version such as 4.2.58" })
    }
}

fn read_semver(text: &str) -> Option<ChartVersion> {
    let text = text.trim();
    let text = text.strip_prefix('v').unwrap_or(text);
    let text = text.split_once('+').map_or(text, |(version, _)| version);
    let (numbers, pre) = text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
    let mut parts = numbers.split('.');
    let major = read_number(parts.next()?)?;
    let minor = parts.next().map_or(Some(0), read_number)?;
    let patch = parts.next().map_or(Some(0), read_number)?;
    if parts.next().is_some() || !pre.is_none_or(is_pre_release) {
        return None;
    }
    Some(ChartVersion { numbers: [major, minor, patch], pre: pre.map(Arc::from) })
}

/// Digits only; `None` beyond 32 bits.
pub(crate) fn read_number(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Whether a text may stand as a pre-release: dot-separated identifiers of letters, digits and dashes, numbers without leading zeros.
pub(crate) fn is_pre_release(text: &str) -> bool {
    text.split('.').all(|part| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !(part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// A text short enough for a message.
fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

impl Ord for ChartVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (&self.pre, &other.pre) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => compare_pre(a, b),
        })
    }
}

/// Semver's order of pre-releases: identifier by identifier, numbers below words, fewer before more.
fn compare_pre(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl PartialOrd for ChartVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ChartVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Hash for ChartVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Identifiers that compare equal are equal texts, but for numbers too long for 64 bits; those are words then.
        self.numbers.hash(state);
        self.pre.hash(state);
    }
}

impl fmt::Display for ChartVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        match &self.pre {
            Some(pre) => write!(f, "-{pre}"),
            None => Ok(()),
        }
    }
}

/// What a declaration asks for as chart version.
#[derive(Debug, Clone, PartialEq)]
pub enum VersionSpec {
    /// One version.
    Exact(ChartVersion),
    /// A range in Helm's meaning (`^4.1`, `~> 4.1`, `4.x`, `>=4.1 <5`, `*`).
    Range(VersionRange),
    /// Not a version at all, as written.
    Malformed(Arc<str>),
}

impl VersionSpec {
    /// Reads a version as Helm reads the one it is asked for: three numbers are that version, anything else is a range (`4.1` is any `4.1.x`), an empty text is any version.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let trimmed = text.trim();
        let bare = trimmed.strip_prefix('=').map_or(trimmed, str::trim_start);
        let numbers = bare.split(['-', '+']).next().unwrap_or_default();
        if numbers.split('.').count() == 3
            && let Ok(version) = bare.parse()
        {
            return Self::Exact(version);
        }
        match VersionRange::parse(if trimmed.is_empty() { "*" } else { trimmed }) {
            Ok(range) => Self::Range(range),
            Err(_) => Self::Malformed(text.into()),
        }
    }

    /// Whether Helm would take this version for it.
    #[must_use]
    pub fn admits(&self, version: &ChartVersion) -> bool {
        match self {
            Self::Exact(exact) => exact == version,
            Self::Range(range) => range.admits(version),
            Self::Malformed(_) => false,
        }
    }

    /// The one version, if it is one.
    #[must_use]
    pub fn exact(&self) -> Option<&ChartVersion> {
        match self {
            Self::Exact(version) => Some(version),
            Self::Range(_) | Self::Malformed(_) => None,
        }
    }
}

impl fmt::Display for VersionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(version) => version.fmt(f),
            Self::Range(range) => range.fmt(f),
            Self::Malformed(text) => f.write_str(text),
        }
    }
}

/// Serde as text, through `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(ChartVersion, MilvusVersion, VersionRange);

impl Serialize for VersionSpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(text: &str) -> ChartVersion {
        text.parse().unwrap()
    }

    #[test]
    fn chart_versions_order_by_number_and_pre_releases_come_first() {
        let ascending = ["0.9.1", "2.0.9", "2.0.10", "4.2.9", "4.2.58", "5.0.0-alpha", "5.0.0-rc.2", "5.0.0-rc.10", "5.0.0", "5.1.0"];
        for pair in ascending.windows(2) {
            assert!(chart(pair[0]) < chart(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn a_leading_v_and_missing_numbers_are_read_as_helm_does() {
        assert_eq!(chart("v4.1"), ChartVersion::new(4, 1, 0));
        assert_eq!(chart("5.0.19+up1").to_string(), "5.0.19");
        for bad in ["", "x", "4.", "4..1", "4.1.2.3", "4.1.2-", "4.1.2-01", "99999999999.0.0", "-1.0.0", "4.1 .2", "٤.1.2"] {
            assert!(bad.parse::<ChartVersion>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_spec_is_one_version_a_range_or_malformed() {
        assert_eq!(VersionSpec::parse("v5.0.19"), VersionSpec::Exact(ChartVersion::new(5, 0, 19)));
        assert_eq!(VersionSpec::parse("= 5.0.19"), VersionSpec::Exact(ChartVersion::new(5, 0, 19)));
        assert!(matches!(VersionSpec::parse("4.1"), VersionSpec::Range(_)));
        assert!(matches!(VersionSpec::parse(""), VersionSpec::Range(_)));
        assert!(matches!(VersionSpec::parse("newest"), VersionSpec::Malformed(_)));
        assert!(VersionSpec::parse("4.1").admits(&ChartVersion::new(4, 1, 36)));
    }

    #[test]
    fn versions_are_texts_on_the_wire() {
        assert_eq!(serde_json::to_string(&chart("v4.2.58")).unwrap(), "\"4.2.58\"");
        assert_eq!(serde_json::from_str::<ChartVersion>("\"4.2.58\"").unwrap(), ChartVersion::new(4, 2, 58));
        assert!(serde_json::from_str::<MilvusVersion>("\"new\"").unwrap_err().to_string().contains("`new` is not a Milvus version"));
    }
}
