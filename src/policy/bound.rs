//! Versions as rule files write them. The build script has a twin that checks the shape only.

use serde::{Deserialize, Serialize};

use crate::model::version::{ChartVersion, MilvusVersion};

/// A chart version in a rule file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Chart(pub ChartVersion);

/// A Milvus version in a rule file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Milvus(pub MilvusVersion);

impl Milvus {
    /// The version to compare with: a bound `3.0.0` counts `3.0.0-beta` in.
    #[must_use]
    pub const fn bound(&self) -> MilvusVersion {
        self.0.first_build()
    }

    /// Whether a version is this one or later, the pre-releases of a new line counted in.
    #[must_use]
    pub fn is_reached_by(&self, version: &MilvusVersion) -> bool {
        *version >= self.bound()
    }
}

macro_rules! as_text {
    ($type:ident, $what:literal) => {
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse().map(Self).map_err(|_| format!("`{text}` is not a {} version such as {}", $what, "4.2.58"))
            }
        }

        impl From<$type> for String {
            fn from(version: $type) -> Self {
                version.0.to_string()
            }
        }
    };
}

as_text!(Chart, "chart");
as_text!(Milvus, "Milvus");
