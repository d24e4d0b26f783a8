//! Milvus versions that charts carry or the planner names, and what is to be said of one that is none of them.

use std::collections::BTreeSet;

use super::Policies;
use crate::model::catalogue::Catalogue;
use crate::model::version::MilvusVersion;

/// All Milvus versions that charts carry or the planner names.
#[must_use]
pub fn milvus_versions() -> BTreeSet<MilvusVersion> {
    let policies = Policies::embedded();
    let carried = Catalogue::embedded().versions().iter().filter_map(|entry| entry.milvus);
    let planned = policies.bundle().planning.releases.iter().map(|row| row.milvus.0);
    let stops = policies.gates().iter().filter_map(|gate| gate.stop.as_ref()).flat_map(|stop| [stop.at_least.0, stop.prefer.0]);
    carried.chain(planned).chain(stops).collect()
}

/// That a version is known to nobody here, with what is nearest, as a sentence without a full stop; nothing of one that is known.
#[must_use]
pub fn unknown_milvus(version: MilvusVersion) -> Option<String> {
    let known = milvus_versions();
    if known.contains(&version) {
        return None;
    }
    let below = known.iter().rfind(|known| **known < version);
    let above = known.iter().find(|known| **known > version);
    let of_line: Vec<String> = [below, above].into_iter().flatten().filter(|known| known.line() == version.line()).map(ToString::to_string).collect();
    let nearest = if of_line.is_empty() { String::new() } else { format!(" (nearest known of its line: {})", of_line.join(" and ")) };
    Some(format!(
        "Milvus {version} is not known here{nearest}, so it is judged by its number alone; look whether the image `milvusdb/milvus:v{version}` exists"
    ))
}
