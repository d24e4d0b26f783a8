//! What the engine talks about: versions, values, releases, changes, findings, plans. No I/O, no Kubernetes.

pub mod catalogue;
pub mod change;
pub mod coalesce;
pub mod credential;
pub mod declaration;
pub mod entries;
pub mod finding;
pub mod helm;
pub mod json;
pub mod merge;
pub mod path;
pub mod place;
pub mod plan;
pub mod range;
pub mod release;
pub mod strvals;
pub mod truth;
pub mod value;
pub mod version;
pub mod words;
