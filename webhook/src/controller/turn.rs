//! Which Milvus of a release is dealt with: a release may have several (an umbrella chart with two aliases), and one `GuardedUpgrade`, which is named as it. They have their turns one after the other. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::observed::Hold;
use serde_json::Value;

use super::observe::Seen;
use super::status::Status;
use crate::api;

/// The Milvus (`app.kubernetes.io/name`) whose turn it is; nothing where the release has no more than one. What was begun is brought to its end first, and then what is held for the declared version.
#[must_use]
pub fn turn(seen: &Seen, upgrade: Option<&Value>) -> Option<Arc<str>> {
    let labels = seen.labels();
    if labels.len() < 2 {
        return None;
    }
    let status = upgrade.map(Status::of).unwrap_or_default();
    let to = upgrade.and_then(api::upgrade_to).and_then(|to| to.trim().parse::<MilvusVersion>().ok());
    let generation = upgrade.and_then(|upgrade| upgrade.pointer("/metadata/generation")?.as_i64());
    let last = labels.iter().find(|label| status.milvus.as_deref() == Some(&***label));
    if let Some(last) = last.filter(|_| status.is_begun()) {
        return Some(Arc::clone(last));
    }
    let of = |label: &Arc<str>| seen.workloads.iter().filter(|workload| workload.label == *label).map(Arc::clone).collect::<Vec<_>>();
    let is_held = |label: &Arc<str>| of(label).iter().any(|workload| workload.hold == Hold::Held);
    let leads_there = |label: &Arc<str>| of(label).iter().any(|workload| workload.hold == Hold::Held && workload.template.version == to);
    let is_blocked = |label: &Arc<str>| of(label).iter().any(|workload| matches!(workload.hold, Hold::Blocked(_)));
    let runs_other = |label: &Arc<str>| seen.of(label).versions() != BTreeSet::from([to]);
    let is_traced = |label: &Arc<str>| of(label).iter().any(|workload| workload.is_traced);
    let ended = || last.filter(|_| status.observed_generation == generation);
    let first = |is: &dyn Fn(&Arc<str>) -> bool| labels.iter().find(|label| is(label));
    let found = first(&leads_there).or_else(|| first(&is_held)).or_else(|| first(&is_blocked)).or_else(ended);
    found.or_else(|| first(&runs_other)).or_else(|| first(&is_traced)).or_else(|| labels.first()).map(Arc::clone)
}

/// Whether another Milvus of the release waits for its turn.
#[must_use]
pub fn others_wait(seen: &Seen, label: &str) -> bool {
    seen.held().any(|workload| *workload.label != *label)
}

/// All Milvus of the release that run what one of them runs, each by itself.
#[must_use]
pub fn alike(seen: &Seen, one: &Seen) -> Vec<Seen> {
    seen.labels().iter().map(|label| seen.of(label)).filter(|other| other.versions() == one.versions()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{MIX, hold, running, seen, upgrade};
    use super::*;

    /// The same objects as those of another Milvus of the release.
    fn as_label(label: &str, objects: &[Value]) -> Vec<Value> {
        let text = Value::from(objects).to_string();
        let renamed = text
            .replace("m-milvus-", &format!("m-{label}-"))
            .replace("\"app.kubernetes.io/name\":\"milvus\"", &format!("\"app.kubernetes.io/name\":\"{label}\""));
        serde_json::from_str(&renamed).unwrap()
    }

    fn two(a: &[Value], b: &[Value]) -> Seen {
        seen(&[as_label("a", a), as_label("b", b)].concat())
    }

    fn held(to: &str) -> Vec<Value> {
        let mut objects = running(&MIX, "v2.5.16");
        MIX.iter().for_each(|component| hold(&mut objects, component, to));
        objects
    }

    fn of(seen: &Seen, upgrade: &Value) -> String {
        turn(seen, Some(upgrade)).unwrap().to_string()
    }

    #[test]
    fn one_milvus_needs_no_turn() {
        assert_eq!(turn(&seen(&held("v2.5.22")), Some(&upgrade("2.5.22", json!({})))), None);
        assert_eq!(turn(&Seen::default(), None), None);
    }

    #[test]
    fn what_was_begun_comes_first_and_then_what_is_held_for_the_declared_version() {
        let declared = upgrade("2.5.22", json!({}));
        let both = two(&held("v2.5.22"), &held("v2.5.22"));
        assert_eq!(of(&both, &declared), "a");
        let begun = upgrade("2.5.22", json!({"milvus": "b", "startedAt": "2026-11-21T20:30:00Z"}));
        assert_eq!(of(&both, &begun), "b");
        let ended =
            upgrade("2.5.22", json!({"milvus": "b", "startedAt": "2026-11-21T20:30:00Z", "finishedAt": "2026-11-21T20:31:00Z", "observedGeneration": 1}));
        assert_eq!(of(&both, &ended), "a", "its turn is over");
        // What leads elsewhere waits until the declaration does, too.
        assert_eq!(of(&two(&held("v2.6.15"), &held("v2.5.22")), &declared), "b");
        let mut blocked = held("v2.5.22");
        blocked.iter_mut().filter(|object| object["metadata"]["annotations"].get("guard.milvus-guard.dev/hold").is_some()).for_each(|object| {
            object["metadata"]["annotations"]["guard.milvus-guard.dev/blocked"] = json!("MV405: why");
        });
        assert_eq!(of(&two(&blocked, &held("v2.5.22")), &declared), "b");
    }

    #[test]
    fn where_nothing_is_held_it_is_the_one_that_was_dealt_with_or_has_the_way_before_it() {
        let (old, new) = (running(&MIX, "v2.5.16"), running(&MIX, "v2.5.22"));
        let declared = upgrade("2.5.22", json!({}));
        assert_eq!(of(&two(&new, &old), &declared), "b");
        let ended = upgrade("2.5.22", json!({"milvus": "a", "finishedAt": "2026-11-21T20:31:00Z", "observedGeneration": 1}));
        assert_eq!(of(&two(&new, &old), &ended), "a", "what was told of it stays told");
        let raised = upgrade("2.5.22", json!({"milvus": "a", "finishedAt": "2026-11-21T20:31:00Z", "observedGeneration": 0}));
        assert_eq!(of(&two(&new, &old), &raised), "b", "something else is declared");
    }

    #[test]
    fn who_waits_and_who_runs_the_same_is_told_apart() {
        let all = two(&running(&MIX, "v2.5.16"), &held("v2.5.22"));
        assert!(others_wait(&all, "a") && !others_wait(&all, "b"));
        assert_eq!(alike(&all, &all.of("a")).len(), 2, "both run 2.5.16");
        let all = two(&running(&MIX, "v2.5.16"), &running(&MIX, "v2.5.22"));
        assert_eq!(alike(&all, &all.of("b")).iter().map(|one| one.workloads.len()).collect::<Vec<_>>(), [MIX.len()]);
    }
}
