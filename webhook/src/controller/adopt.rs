//! A `GuardedUpgrade` for a held change that only needs an order. A one-way door is declared by a person.

use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::observed::{Arrival, Hold};
use serde_json::{Value, json};

use super::observe::Seen;
use super::{CREATED_ANNOTATION, ReleaseKey};
use crate::api;

/// Whether a `GuardedUpgrade` may be made for what is held: something is, and nothing of it is blocked.
#[must_use]
pub fn is_adoptable(seen: &Seen) -> bool {
    seen.held().next().is_some() && seen.held().all(|workload| workload.hold == Hold::Held)
}

/// The object to make; nothing while the change still arrives, where a part of it is blocked, or where it does not lead to one version.
#[must_use]
pub fn adopted(release: &ReleaseKey, seen: &Seen, arrival: &Arrival) -> Option<Value> {
    if matches!(arrival, Arrival::Pending(_)) || !is_adoptable(seen) {
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

#[cfg(test)]
mod tests {
    use milvus_guard::rollout::observed::Moment;

    use super::super::fixture::{MIX, hold, running, seen};
    use super::*;

    #[test]
    fn only_a_whole_change_to_one_version_that_nothing_blocks_is_taken_up() {
        let release = ReleaseKey { namespace: "db".into(), name: "m".into() };
        let of = |objects: &[Value], arrival: Arrival| adopted(&release, &seen(objects), &arrival);
        let done = Arrival::Written(Moment(1));
        let mut objects = running(&MIX, "v2.5.16");
        assert_eq!(of(&objects, done), None, "nothing is held");
        hold(&mut objects, "proxy", "v2.5.22");
        let made = of(&objects, done).unwrap();
        assert_eq!((&made["spec"], &made["metadata"]["name"]), (&json!({"to": "2.5.22"}), &json!("m")));
        assert!(made["metadata"]["annotations"].get(CREATED_ANNOTATION).is_some());
        assert_eq!(of(&objects, Arrival::Pending(Moment(1))), None);
        // What is held beside it at the version that runs is part of it; a third version is not.
        hold(&mut objects, "datanode", "v2.5.16");
        assert_eq!(of(&objects, done).unwrap()["spec"]["to"], "2.5.22");
        hold(&mut objects, "querynode", "v2.5.23");
        assert_eq!(of(&objects, done), None);
        let mut blocked = running(&MIX, "v2.5.16");
        hold(&mut blocked, "proxy", "v2.6.15");
        blocked.last_mut().unwrap()["metadata"]["annotations"]["guard.milvus-guard.dev/blocked"] = json!("MV405: why");
        assert_eq!(of(&blocked, done), None, "what a person has to declare is never declared for them");
    }
}
