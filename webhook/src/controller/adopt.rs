//! A `GuardedUpgrade` for a held change that only needs an order. A one-way door is declared by a person.

use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::observed::{Arrival, Hold};
use milvus_guard::rollout::{Orders, Pair, Topology};
use serde_json::{Value, json};

use super::observe::Seen;
use super::{CREATED_ANNOTATION, LED_TO_ANNOTATION, ReleaseKey};
use crate::api;

/// Whether a `GuardedUpgrade` may be made for what is held: something is, nothing of it is blocked, and nobody had declared it or begun to migrate for it. Whose `GuardedUpgrade` was deleted has
/// to declare it again: nobody else knows which doors it opened, and who approves its steps.
#[must_use]
pub fn is_adoptable(seen: &Seen) -> bool {
    seen.held().next().is_some()
        && seen.held().all(|workload| workload.hold == Hold::Held && !workload.is_declared)
        && seen.workloads.iter().all(|workload| workload.stopped.is_none())
}

/// Whether what is held is what an upgrade leads to.
#[must_use]
pub fn is_of(seen: &Seen, upgrade: &Value) -> bool {
    let to = api::upgrade_to(upgrade).and_then(|to| to.trim().parse::<MilvusVersion>().ok());
    to.is_some() && seen.held().any(|workload| workload.template.version == to)
}

/// Whether a change is what is left of an upgrade that had begun, or was taken back, and whose `GuardedUpgrade` is gone. What goes back needs none.
fn is_left_over(seen: &Seen, to: MilvusVersion) -> bool {
    let running = seen.versions();
    let goes_back = running.iter().flatten().any(|version| *version > to) && running.iter().flatten().all(|version| *version >= to);
    let has_begun = (running.len() > 1 && running.contains(&Some(to))) || seen.workloads.iter().any(|workload| workload.epoch > 0);
    has_begun && !goes_back
}

/// Whether metadata is migrated on the way from what runs.
fn migrates(seen: &Seen, to: MilvusVersion) -> bool {
    let Some(before) = Topology::of(&seen.serving().into_iter().collect::<Vec<_>>()) else { return false };
    let order = |from: MilvusVersion, after: Topology| Orders::embedded().find(&Pair { from, to, before, after });
    seen.versions().into_iter().flatten().any(|from| Topology::ALL.into_iter().any(|after| order(from, after).is_ok_and(|order| order.migration)))
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
    if running.is_empty() || is_left_over(seen, *to) || migrates(seen, *to) {
        return None;
    }
    let mut object = api::guarded_upgrade(&release.namespace, &release.name, &to.to_string());
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    let created_by = "milvus-guard controller, for a held change that only needs an order";
    metadata.insert("annotations".into(), json!({CREATED_ANNOTATION: created_by, LED_TO_ANNOTATION: to.to_string()}));
    Some(object)
}

#[cfg(test)]
mod tests {
    use milvus_guard::rollout::observed::Moment;

    use super::super::fixture::{MIX, hold, pod, running, seen, set};
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
        assert!(made["metadata"]["annotations"].get(CREATED_ANNOTATION).is_some() && !api::is_by_person(&made));
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

    fn of(objects: &[Value]) -> Option<Value> {
        adopted(&ReleaseKey { namespace: "db".into(), name: "m".into() }, &seen(objects), &Arrival::Written(Moment(1))).map(|made| made["spec"]["to"].clone())
    }

    fn annotate(objects: &mut [Value], component: &str, name: &str, value: &str) {
        let found = objects.iter_mut().rfind(|object| object["metadata"]["name"] == format!("m-milvus-{component}").as_str());
        found.unwrap()["metadata"]["annotations"][format!("guard.milvus-guard.dev/{name}")] = json!(value);
    }

    #[test]
    fn what_is_left_of_a_deleted_upgrade_is_not_taken_up() {
        let mut held = running(&MIX, "v2.5.16");
        MIX.iter().for_each(|component| hold(&mut held, component, "v2.6.15"));
        hold(&mut held, "streamingnode", "v2.6.15");
        assert_eq!(of(&held), Some(json!("2.6.15")), "nobody had declared it");
        for (name, value) in [("declared", "u-1"), ("stopped", "1"), ("epoch", "2")] {
            let mut objects = held.clone();
            annotate(&mut objects, "proxy", name, value);
            assert_eq!(of(&objects), None, "{name}");
        }
        let mut begun = held.clone();
        begun.extend([set("mixcoord", "v2.6.15", 2), pod("mixcoord", "v2.6.15", 2)]);
        assert_eq!(of(&begun), None, "a part of it runs");
        let mut migration = running(&["standalone"], "v2.1.4");
        hold(&mut migration, "standalone", "v2.2.16");
        assert_eq!(of(&migration), None, "metadata is migrated on a declaration only");
    }

    #[test]
    fn a_rollback_over_what_is_left_of_a_deleted_upgrade_is_taken_up() {
        let mut objects = running(&MIX, "v2.5.16");
        objects.extend([set("mixcoord", "v2.5.22", 2), pod("mixcoord", "v2.5.22", 2)]);
        hold(&mut objects, "mixcoord", "v2.5.16");
        annotate(&mut objects, "mixcoord", "epoch", "1");
        assert_eq!(of(&objects), Some(json!("2.5.16")));
    }
}
