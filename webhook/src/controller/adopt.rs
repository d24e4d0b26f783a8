//! A `GuardedUpgrade` for a held change that only needs an order. A one-way door is declared by a person.

use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::observed::{Arrival, Hold};
use serde_json::{Value, json};

use super::observe::Seen;
use super::{CREATED_ANNOTATION, ReleaseKey};
use crate::api;

/// The object to make; nothing while the change still arrives, where a part of it is blocked, or where it does not lead to one version.
#[must_use]
pub fn adopted(release: &ReleaseKey, seen: &Seen, arrival: &Arrival) -> Option<Value> {
    if matches!(arrival, Arrival::Pending(_)) || seen.held().any(|workload| workload.hold != Hold::Held) {
        return None;
    }
    let running = seen.versions();
    let mut wanted: Vec<MilvusVersion> = seen.held().map(|workload| workload.template.version).collect::<Option<Vec<_>>>()?;
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.len() > 1 {
        wanted.retain(|version| !running.contains(&Some(*version)));
    }
    let [to] = wanted.as_slice() else { return None };
    if running.is_empty() {
        return None;
    }
    let mut object = api::guarded_upgrade(&release.namespace, &release.name, &to.to_string());
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    metadata.insert("annotations".into(), json!({CREATED_ANNOTATION: "milvus-guard controller, for a held change that only needs an order"}));
    Some(object)
}
