//! Version ranges as Helm means them (`^4.1`, `~> 4.1`, `4.x`, `>=4.1 <5`, `1.2 - 1.4`, `||`, `*`).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::version::{ChartVersion, VersionError, is_pre_release, read_number};

/// A range, as written and as understood.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionRange {
    text: Arc<str>,
    /// One of these must hold; in each, all comparators.
    alternatives: Arc<[Vec<Comparator>]>,
}

#[derive(Debug, Clone, PartialEq)]
struct Comparator {
    operator: Operator,
    version: ChartVersion,
    /// How many numbers were written before the first missing one or `x`.
    precision: Precision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Any,
    Major,
    Minor,
    Patch,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operator {
    /// `=` or nothing: exact where complete, else as `~`.
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    /// `~`, `~>`
    Tilde,
    Caret,
}

/// Longest first, so that `>=` is not read as `>`.
const OPERATORS: &[(&str, Operator)] = &[
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("!=", Operator::NotEqual),
    ("~>", Operator::Tilde),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
    ("=", Operator::Equal),
];

/// More than anyone writes; a longer text is not a range.
const MAX_TEXT_BYTES: usize = 512;

impl VersionRange {
    /// Reads a range.
    ///
    /// # Errors
    /// When Helm would not take it for one.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let alternatives = if text.len() > MAX_TEXT_BYTES { None } else { text.split("||").map(comparators).collect::<Option<Vec<_>>>() };
        match alternatives {
            Some(alternatives) => Ok(Self { text: text.trim().into(), alternatives: alternatives.into() }),
            None => Err(VersionError { text: text.chars().take(60).collect(), expected: "version or version range as Helm reads it" }),
        }
    }

    /// Whether Helm would take this version. A pre-release is taken only by a part that names one itself.
    #[must_use]
    pub fn admits(&self, version: &ChartVersion) -> bool {
        self.alternatives.iter().any(|all| {
            let asks_for_pre = all.iter().any(|c| c.version.pre_release().is_some());
            (asks_for_pre || version.pre_release().is_none()) && all.iter().all(|c| c.holds(version))
        })
    }

    /// The first version above everything that it admits; nothing when there is no such bound.
    #[must_use]
    pub fn below(&self) -> Option<ChartVersion> {
        self.alternatives
            .iter()
            .map(|all| all.iter().filter_map(Comparator::below).min())
            .try_fold(ChartVersion::new(0, 0, 0), |highest, bound| Some(highest.max(bound?)))
    }

    /// As written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl FromStr for VersionRange {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        Self::parse(text)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads comparators separated by blanks or commas; `a - b` is `>=a <=b`.
fn comparators(text: &str) -> Option<Vec<Comparator>> {
    if let Some((low, high)) = text.split_once(" - ") {
        let (low, high) = (low.trim(), high.trim());
        let (from, rest) = partial_version(low)?;
        let (to, end) = partial_version(high)?;
        return (rest.is_empty() && end.is_empty())
            .then(|| vec![Comparator { operator: Operator::GreaterOrEqual, ..from }, Comparator { operator: Operator::LessOrEqual, ..to }]);
    }
    let mut rest = text.trim();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (operator, after) =
            OPERATORS.iter().find_map(|(sign, operator)| rest.strip_prefix(sign).map(|after| (*operator, after))).unwrap_or((Operator::Equal, rest));
        let (comparator, after) = partial_version(after.trim_start())?;
        all.push(Comparator { operator, ..comparator });
        rest = after.trim_start();
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
            if rest.is_empty() {
                return None;
            }
        }
    }
    (!all.is_empty()).then_some(all)
}

/// A version of up to three numbers, each of which may be `x`, `X` or `*`, and the text behind it.
fn partial_version(text: &str) -> Option<(Comparator, &str)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '*'))).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    let word = word.split_once('+').map_or(word, |(version, _)| version);
    let (numbers, pre) = word.split_once('-').map_or((word, None), |(numbers, pre)| (numbers, Some(pre)));
    if !pre.is_none_or(is_pre_release) {
        return None;
    }
    let mut read = [0_u32; 3];
    let mut known = 0;
    let mut open = false;
    let parts: Vec<&str> = numbers.split('.').collect();
    if parts.len() > 3 {
        return None;
    }
    for (slot, part) in read.iter_mut().zip(parts) {
        if matches!(part, "x" | "X" | "*") {
            open = true;
            continue;
        }
        let number = read_number(part)?;
        if !open {
            *slot = number;
            known += 1;
        }
    }
    let [major, minor, patch] = read;
    let precision = match known {
        0 => Precision::Any,
        1 => Precision::Major,
        2 => Precision::Minor,
        _ => Precision::Patch,
    };
    Some((Comparator { operator: Operator::Equal, version: ChartVersion::with_pre(major, minor, patch, pre), precision }, rest))
}

impl Comparator {
    fn holds(&self, v: &ChartVersion) -> bool {
        let c = &self.version;
        let complete = self.precision == Precision::Patch;
        match self.operator {
            Operator::Equal if complete => v == c,
            Operator::Equal | Operator::Tilde => self.same_line(v),
            Operator::NotEqual if complete => v != c,
            Operator::NotEqual => match self.precision {
                Precision::Any => v != c,
                Precision::Major => v.major() != c.major(),
                Precision::Minor | Precision::Patch => (v.major(), v.minor()) != (c.major(), c.minor()),
            },
            Operator::Greater => match self.precision {
                Precision::Major => v.major() > c.major(),
                Precision::Minor => (v.major(), v.minor()) > (c.major(), c.minor()),
                Precision::Any | Precision::Patch => v > c,
            },
            Operator::GreaterOrEqual => v >= c,
            Operator::Less => v < c,
            Operator::LessOrEqual => match self.precision {
                Precision::Patch => v <= c,
                Precision::Major => v.major() <= c.major(),
                Precision::Any | Precision::Minor => (v.major(), v.minor()) <= (c.major(), c.minor()),
            },
            Operator::Caret => v >= c && self.same_leading_number(v),
        }
    }

    /// `~`: the numbers that are given stay, but for the last one of three.
    fn same_line(&self, v: &ChartVersion) -> bool {
        let c = &self.version;
        if v < c {
            return false;
        }
        match self.precision {
            Precision::Any => true,
            Precision::Major => v.major() == c.major(),
            // `~0.0.0` takes everything.
            Precision::Patch if (c.major(), c.minor(), c.patch()) == (0, 0, 0) => true,
            Precision::Minor | Precision::Patch => (v.major(), v.minor()) == (c.major(), c.minor()),
        }
    }

    /// `^`: the first number that is not zero stays; of `^*` nothing is left but zeros.
    fn same_leading_number(&self, v: &ChartVersion) -> bool {
        let c = &self.version;
        match self.precision {
            _ if c.major() > 0 => v.major() == c.major(),
            Precision::Major => v.major() == 0,
            _ if v.major() > 0 => false,
            Precision::Minor => v.minor() == c.minor(),
            Precision::Patch if c.minor() > 0 => v.minor() == c.minor(),
            Precision::Any | Precision::Patch => v.minor() == 0 && v.patch() == c.patch(),
        }
    }

    /// The first version above everything that it admits.
    fn below(&self) -> Option<ChartVersion> {
        let c = &self.version;
        let next_major = || ChartVersion::new(c.major().saturating_add(1), 0, 0);
        let next_minor = || ChartVersion::new(c.major(), c.minor().saturating_add(1), 0);
        let next_patch = || ChartVersion::new(c.major(), c.minor(), c.patch().saturating_add(1));
        match (self.operator, self.precision) {
            (Operator::NotEqual | Operator::Greater | Operator::GreaterOrEqual, _) => None,
            (Operator::Less, _) => Some(c.clone()),
            (Operator::LessOrEqual, Precision::Any) => Some(next_minor()),
            (Operator::Equal | Operator::Tilde, Precision::Any) => None,
            (Operator::Caret, Precision::Any) => Some(next_patch()),
            (_, Precision::Major) => Some(next_major()),
            (Operator::Equal | Operator::LessOrEqual, Precision::Patch) => Some(next_patch()),
            (Operator::Caret, _) if c.major() > 0 => Some(next_major()),
            (Operator::Caret, Precision::Patch) if c.minor() == 0 => Some(next_patch()),
            (Operator::Tilde, Precision::Patch) if (c.major(), c.minor(), c.patch()) == (0, 0, 0) => None,
            (_, Precision::Minor | Precision::Patch) => Some(next_minor()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(range: &str, version: &str) -> bool {
        VersionRange::parse(range).unwrap().admits(&version.parse().unwrap())
    }

    #[test]
    fn ranges_mean_what_helm_means() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("^4.1", &["4.1.0", "4.2.58"], &["4.0.34", "5.0.0"]),
            ("^4.1.5", &["4.1.5", "4.2.0"], &["4.1.4", "5.0.0"]),
            ("~4.1", &["4.1.0", "4.1.36"], &["4.2.0", "4.0.9"]),
            ("~> 4.1", &["4.1.0", "4.1.36"], &["4.2.0"]),
            ("~>4.1.7", &["4.1.7", "4.1.36"], &["4.1.6", "4.2.0"]),
            ("~4", &["4.0.0", "4.2.58"], &["5.0.0", "3.3.6"]),
            ("4.x", &["4.0.0", "4.2.58"], &["5.0.0"]),
            ("4.1.X", &["4.1.0"], &["4.2.0"]),
            ("4", &["4.2.58"], &["5.0.0"]),
            ("4.1", &["4.1.36"], &["4.2.0"]),
            (">=4.1 <5", &["4.1.0", "4.2.58"], &["4.0.34", "5.0.0"]),
            (">=4.1, <5", &["4.1.0", "4.2.58"], &["4.0.34", "5.0.0"]),
            (">= 4.1.0 , < 5.0.0", &["4.2.58"], &["5.0.0"]),
            (">4.1", &["4.2.0"], &["4.1.36"]),
            (">4", &["5.0.0"], &["4.2.58"]),
            (">4.1.0", &["4.1.1"], &["4.1.0"]),
            ("<=4.1", &["4.1.36", "3.0.0"], &["4.2.0"]),
            ("<=4", &["4.2.58"], &["5.0.0"]),
            ("!=4.2", &["4.1.0", "5.0.0"], &["4.2.3"]),
            ("!=4.2.46 ~4.2", &["4.2.45"], &["4.2.46"]),
            ("3.x || ^5.0.3", &["3.2.1", "5.0.3"], &["4.0.0", "5.0.2"]),
            ("4.1 - 4.2.20", &["4.1.0", "4.2.20"], &["4.2.21", "4.0.34"]),
            ("4.0.0 - 4.1", &["4.1.36"], &["4.2.0"]),
            ("*", &["0.9.1", "5.0.19"], &["6.0.0-rc.1"]),
            (">0.0.0-0", &["6.0.0-rc.1", "5.0.19"], &[]),
            (">=5.0.0-0", &["5.0.0-rc.1", "5.0.19"], &["4.2.58"]),
            ("^0.10.2", &["0.10.6"], &["0.11.0"]),
            ("^0.0.3", &["0.0.3"], &["0.0.4"]),
            ("v4.1.x", &["4.1.1"], &["4.2.0"]),
            ("^4.5.0-0", &["4.5.0-rc.1", "4.9.0"], &["5.0.0-rc.1", "5.0.0"]),
            ("^*", &["0.0.0"], &["0.0.1", "4.2.58"]),
            ("3.3.x || 4.1 - 4.2", &["3.3.6", "4.2.58"], &["4.0.0"]),
        ];
        for (range, yes, no) in table {
            for version in *yes {
                assert!(admits(range, version), "{range} admits {version}");
            }
            for version in *no {
                assert!(!admits(range, version), "{range} does not admit {version}");
            }
        }
    }

    #[test]
    fn the_bound_of_a_range_is_the_first_version_it_cannot_be() {
        for (range, below) in
            [("^4.1", "5.0.0"), ("~> 4.1", "4.2.0"), (">=4.1 <5", "5.0.0"), ("4.1 - 4.2.20", "4.2.21"), ("3.x || ~4.1.2", "4.2.0"), ("<=4", "5.0.0")]
        {
            assert_eq!(VersionRange::parse(range).unwrap().below(), Some(below.parse().unwrap()), "{range}");
        }
        for range in ["*", ">=4.1", "4.x || >5", "!=4.2.46"] {
            assert_eq!(VersionRange::parse(range).unwrap().below(), None, "{range}");
        }
    }

    #[test]
    fn what_helm_would_refuse_is_an_error() {
        for bad in ["newest", "4.1.2.3", ">=", ">=4.1,", "4.1 - ", "||", "4.a", "^", "4.1 && 5", "0_1"] {
            assert!(VersionRange::parse(bad).is_err(), "{bad}");
        }
        assert!(VersionRange::parse(&"4 ".repeat(400)).is_err());
    }
}
