//! Where a fact was written: file, line and column, or "chart default".

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A point in a text: 1-based line, 1-based column counted in Unicode code points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// 1-based line.
    pub line: u32,
    /// 1-based column in Unicode code points.
    pub column: u32,
}

/// A range in a file; `end` is exclusive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Path relative to the tree's root, with `/` separators; `-` is standard input.
    pub file: Arc<str>,
    /// First character.
    pub start: Position,
    /// One past the last character.
    pub end: Position,
}

impl Place {
    /// The place of a whole file: its first character.
    #[must_use]
    pub fn file_start(file: &Arc<str>) -> Self {
        let start = Position { line: 1, column: 1 };
        Self { file: Arc::clone(file), start, end: start }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.start.line, self.start.column)
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The chart's own `values.yaml`; the release knows which chart version.
    ChartDefault,
    /// Written in a file.
    At(Place),
    /// Written in a Kubernetes Secret: judged as any other value, and never printed.
    Secret(Arc<InSecret>),
    /// Given in another way, in words: `--set on the command line`, `revision 4`.
    Given(Arc<str>),
}

/// Where a value stands that a Kubernetes Secret holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InSecret {
    /// The Secret in words: `Secret milvus-values, key values.yaml`.
    pub what: Arc<str>,
    /// Where the value is written: the text at this place is not shown either.
    pub place: Place,
}

impl Origin {
    /// The place in a file, if it has one.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::At(place) => Some(place),
            Self::Secret(secret) => Some(&secret.place),
            Self::ChartDefault | Self::Given(_) => None,
        }
    }

    /// The Secret that holds it, in words, if one does.
    #[must_use]
    pub fn secret(&self) -> Option<&Arc<str>> {
        match self {
            Self::Secret(secret) => Some(&secret.what),
            Self::At(_) | Self::ChartDefault | Self::Given(_) => None,
        }
    }

    /// The origin of a part of it that stands at this place.
    #[must_use]
    pub fn part_at(&self, place: Place) -> Self {
        match self {
            Self::Secret(secret) => Self::Secret(Arc::new(InSecret { what: Arc::clone(&secret.what), place })),
            Self::At(_) | Self::ChartDefault | Self::Given(_) => Self::At(place),
        }
    }
}

/// Something that a declaration may say, may leave out, or may say in a way that cannot be read here.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Fact<T> {
    /// Said, and readable.
    Known(T, Origin),
    /// Said, but templated or kept elsewhere: the reason in words.
    Unknown(Arc<str>, Origin),
    /// Not said.
    #[default]
    Absent,
}

impl<T> Fact<T> {
    /// The value, if known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value, _) => Some(value),
            Self::Unknown(..) | Self::Absent => None,
        }
    }

    /// Where it was said, if it was.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Known(_, origin) | Self::Unknown(_, origin) => Some(origin),
            Self::Absent => None,
        }
    }

    /// The place in a file where it was said.
    pub fn place(&self) -> Option<&Place> {
        self.origin().and_then(Origin::place)
    }

    /// True when nothing was said.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// True when it was said in a way that cannot be read here.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(..))
    }

    /// The same fact with its value mapped.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value, origin) => Fact::Known(f(value), origin),
            Self::Unknown(reason, origin) => Fact::Unknown(reason, origin),
            Self::Absent => Fact::Absent,
        }
    }
}
