//! Three-valued logic: yes, no, or not decidable from what is known.

use std::ops::Not;

use serde::{Deserialize, Serialize};

/// Whether a condition holds; for a version interval `Maybe` means that it holds on a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truth {
    /// It does not hold.
    No,
    /// It holds for a part of what is possible, or cannot be known.
    Maybe,
    /// It holds.
    Yes,
}

impl Truth {
    /// Both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.min(other)
    }

    /// At least one holds.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.max(other)
    }

    /// Certainly holds.
    #[must_use]
    pub fn is_yes(self) -> bool {
        self == Self::Yes
    }

    /// Certainly does not hold.
    #[must_use]
    pub fn is_no(self) -> bool {
        self == Self::No
    }

    /// Holds, or may hold.
    #[must_use]
    pub fn is_possible(self) -> bool {
        self != Self::No
    }
}

impl Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
            Self::Yes => Self::No,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

impl From<Option<bool>> for Truth {
    fn from(value: Option<bool>) -> Self {
        value.map_or(Self::Maybe, Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{Maybe, No, Yes};

    #[test]
    fn doubt_spreads_only_where_it_decides() {
        assert_eq!((Yes.and(Maybe), No.and(Maybe), Yes.or(Maybe), No.or(Maybe), !Maybe), (Maybe, No, Yes, Maybe, Maybe));
    }
}
