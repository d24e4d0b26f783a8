//! Versions of Milvus itself.

use std::fmt;
use std::str::FromStr;

use super::{VersionError, excerpt, read_number};

/// How far a build is on the way to its release; earlier stages sort first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// `-dev`
    Dev,
    /// `-alpha`
    Alpha,
    /// `-beta`
    Beta,
    /// `-rcN`, `-rc.N`
    Candidate,
    /// `-pre-ga`
    PreGa,
    /// The release.
    Release,
}

/// A Milvus version, `2.5.16`. A pre-release (`-beta`, `-rc1`, `-pre-ga`) sorts before its release, `-hotfix` after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MilvusVersion {
    major: u32,
    minor: u32,
    patch: u32,
    stage: Stage,
    /// N of `-rcN`; 0 when none is written.
    number: u32,
    /// 0 for none, 1 for `-hotfix`, N + 1 for `-hotfixN`.
    hotfix: u32,
}

impl MilvusVersion {
    /// A release.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch, stage: Stage::Release, number: 0, hotfix: 0 }
    }

    /// The first number.
    #[must_use]
    pub const fn major(&self) -> u32 {
        self.major
    }

    /// The second number.
    #[must_use]
    pub const fn minor(&self) -> u32 {
        self.minor
    }

    /// The third number.
    #[must_use]
    pub const fn patch(&self) -> u32 {
        self.patch
    }

    /// The line that it belongs to: `(2, 5)` of `2.5.16`.
    #[must_use]
    pub const fn line(&self) -> (u32, u32) {
        (self.major, self.minor)
    }

    /// How far it is on the way to its release.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether it is a pre-release.
    #[must_use]
    pub fn is_pre_release(&self) -> bool {
        self.stage != Stage::Release
    }

    /// The release with the same numbers.
    #[must_use]
    pub const fn release(&self) -> Self {
        Self::new(self.major, self.minor, self.patch)
    }

    /// The first build that counts as this version where it bounds something: of a line's first release (`3.0.0`) its earliest pre-release, which has the
    /// formats and roles of the line already; else the version itself.
    #[must_use]
    pub const fn first_build(&self) -> Self {
        match (self.patch, self.stage) {
            (0, Stage::Release) => Self { stage: Stage::Dev, hotfix: 0, ..*self },
            _ => *self,
        }
    }

    /// The same numbers at the stage that the words after the first dash name; gives the words that say nothing about it too (`gpu`, dates).
    pub(super) fn at_stage<'w>(self, words: impl Iterator<Item = &'w str>) -> (Self, Vec<&'w str>) {
        let mut version = self;
        let mut rest = Vec::new();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let lower = word.to_ascii_lowercase();
            if let Some(number) = stage_number(&lower, "hotfix") {
                version.hotfix = number.map_or(1, |n| n.saturating_add(1));
            } else if version.stage == Stage::Release
                && let Some((stage, number)) = pre_release(&lower)
            {
                (version.stage, version.number) = (stage, number);
            } else if version.stage == Stage::Release && (lower == "prega" || (lower == "pre" && words.next_if(|w| w.eq_ignore_ascii_case("ga")).is_some())) {
                version.stage = Stage::PreGa;
            } else {
                rest.push(word);
            }
        }
        (version, rest)
    }
}

fn pre_release(word: &str) -> Option<(Stage, u32)> {
    [("rc", Stage::Candidate), ("beta", Stage::Beta), ("alpha", Stage::Alpha), ("dev", Stage::Dev)]
        .into_iter()
        .find_map(|(name, stage)| stage_number(word, name).map(|number| (stage, number.unwrap_or(0))))
}

/// The number of `rc8` or `rc.8` (`Some(None)` for a bare `rc`); nothing when the word is another one.
fn stage_number(word: &str, name: &str) -> Option<Option<u32>> {
    let rest = word.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(None);
    }
    read_number(rest.strip_prefix('.').unwrap_or(rest)).map(Some)
}

impl FromStr for MilvusVersion {
    type Err = VersionError;

    /// Reads `2.5.16`, `v2.5.16`, `2.6`, `2.0.0-rc8`, `2.4.13-hotfix`; anything else after a dash is an error (image tags have their own type).
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError { text: excerpt(text), expected: "Milvus version such as 2.5.16" };
        let bare = text.trim();
        let bare = bare.strip_prefix('v').unwrap_or(bare);
        let mut words = bare.split('-');
        let mut numbers = words.next().unwrap_or_default().split('.');
        let mut next = |required: bool| match numbers.next() {
            Some(number) => read_number(number).ok_or_else(error),
            None if required => Err(error()),
            None => Ok(0),
        };
        let base = Self::new(next(true)?, next(true)?, next(false)?);
        if numbers.next().is_some() {
            return Err(error());
        }
        match base.at_stage(words) {
            (version, rest) if rest.is_empty() => Ok(version),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for MilvusVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        let name = match self.stage {
            Stage::Dev => "-dev",
            Stage::Alpha => "-alpha",
            Stage::Beta => "-beta",
            Stage::Candidate => "-rc",
            Stage::PreGa => "-pre-ga",
            Stage::Release => "",
        };
        f.write_str(name)?;
        if self.number > 0 {
            write!(f, "{}", self.number)?;
        }
        match self.hotfix {
            0 => Ok(()),
            1 => f.write_str("-hotfix"),
            n => write!(f, "-hotfix{}", n - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milvus(text: &str) -> MilvusVersion {
        text.parse().unwrap()
    }

    #[test]
    fn milvus_versions_sort_candidates_before_and_hotfixes_after_the_release() {
        let ascending = [
            "1.1.1",
            "2.0.0-rc1",
            "2.0.0-rc5",
            "2.0.0-rc5-hotfix1",
            "2.0.0-rc.8",
            "2.0.0-pre-ga",
            "2.0.0",
            "2.0.2",
            "2.3.0-beta",
            "2.3.0",
            "2.4.13",
            "2.4.13-hotfix",
            "2.4.14",
            "2.5.0-beta",
            "2.5.0",
            "2.5.16",
            "2.6.0-dev",
            "2.6.0-rc1",
            "2.6.0",
            "2.6.15",
            "3.0-beta",
            "3.0.0",
        ];
        for pair in ascending.windows(2) {
            assert!(milvus(pair[0]) < milvus(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn milvus_versions_print_as_they_are_spoken_of() {
        for (text, printed) in [
            ("v2.5.16", "2.5.16"),
            ("2.6", "2.6.0"),
            ("2.0.0-rc.8", "2.0.0-rc8"),
            ("3.0-beta", "3.0.0-beta"),
            ("v2.4.13-hotfix", "2.4.13-hotfix"),
            ("2.0.0-rc5-hotfix1", "2.0.0-rc5-hotfix1"),
        ] {
            assert_eq!(milvus(text).to_string(), printed);
            assert_eq!(milvus(printed), milvus(text));
        }
    }

    #[test]
    fn what_is_not_a_milvus_version_is_an_error() {
        for bad in ["", "2", "v", "2.x", "2.5.16.1", "2.5.16-gpu", "2.5.16-", "latest", "4294967296.0.0"] {
            assert!(bad.parse::<MilvusVersion>().is_err(), "{bad}");
        }
    }
}
