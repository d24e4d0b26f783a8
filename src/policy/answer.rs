//! What a condition answers: yes, no, or in doubt, and why in doubt.

use std::ops::Not;

use crate::model::truth::Truth;

/// The answer of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It holds.
    Yes,
    /// It holds for a part of the versions that are possible.
    Partly,
    /// Unknown values leave it open.
    Unknown,
    /// It does not hold.
    No,
}

impl Answer {
    /// Both hold.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        use Answer::{No, Partly, Unknown, Yes};
        match (self, other) {
            (No, _) | (_, No) => No,
            (Unknown, _) | (_, Unknown) => Unknown,
            (Partly, _) | (_, Partly) => Partly,
            (Yes, Yes) => Yes,
        }
    }

    /// At least one holds.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        use Answer::{No, Partly, Unknown, Yes};
        match (self, other) {
            (Yes, _) | (_, Yes) => Yes,
            (Partly, _) | (_, Partly) => Partly,
            (Unknown, _) | (_, Unknown) => Unknown,
            (No, No) => No,
        }
    }

    /// The answer for something that may be unknown.
    #[must_use]
    pub(crate) fn from_option(known: Option<bool>) -> Self {
        known.map_or(Self::Unknown, Self::from)
    }

    /// The answer for a version: doubt about an interval is another one than doubt about everything.
    #[must_use]
    pub(crate) fn of_version(truth: Truth, anything_known: bool) -> Self {
        match truth {
            Truth::Yes => Self::Yes,
            Truth::No => Self::No,
            Truth::Maybe if anything_known => Self::Partly,
            Truth::Maybe => Self::Unknown,
        }
    }
}

impl From<bool> for Answer {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

impl Not for Answer {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            doubt => doubt,
        }
    }
}
