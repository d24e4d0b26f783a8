//! Which version was seen to run, where no receipt tells it: after a first install, behind break-glass and in modes that stop nothing, and from the moment when the first component of another version
//! starts in an upgrade. So the newest receipt of a release always tells the version that wrote its data last, whatever became of the upgrade. One for each change of the version and each life of the
//! release's name. Pure.

use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::Component;
use milvus_guard::rollout::observed::{Hold, Moment};
use serde_json::{Value, json};

use super::observe::Seen;
use super::{ReleaseKey, seen, written};
use crate::admission::change::digest_of_text;
use crate::api;

/// A version that runs, and that the newest receipt of the release does not tell of.
#[derive(Debug, Clone, Copy)]
pub struct Unwitnessed<'s> {
    version: MilvusVersion,
    newest: Option<&'s seen::Receipt>,
    /// The latest moment that the cluster tells of what runs: its clock may be ahead of ours.
    latest: Moment,
}

/// The newest receipt of a release.
#[must_use]
pub fn newest(seen: &Seen) -> Option<&seen::Receipt> {
    seen.receipts.iter().max_by_key(|receipt| receipt.finished).map(|receipt| &**receipt)
}

/// One of them is there as long as a release is not about to go.
const COORDINATORS: [Component; 3] = [Component::MixCoord, Component::RootCoord, Component::Standalone];

/// The version that runs, where no receipt tells it yet: the highest one whose pods have started. A lower one than the receipt's counts only once the whole release is of it, with nothing held: while one is
/// uninstalled, its pods go in any sequence. The same one counts where all Deployments were made since.
#[must_use]
pub fn unwitnessed(seen: &Seen) -> Option<Unwitnessed<'_>> {
    let live = || seen.pods.iter().filter(|pod| pod.has_started && !pod.is_terminating);
    let version = live().filter_map(|pod| pod.version).max()?;
    let newest = newest(seen);
    if let Some(newest) = newest {
        let is_higher = |pod: &seen::Pod| pod.version.is_none_or(|other| other > version);
        let is_its = |workload: &seen::Workload| workload.template.version == Some(version) && !matches!(workload.hold, Hold::Held | Hold::Blocked(_));
        let has_coordinator = || live().any(|pod| COORDINATORS.contains(&pod.component) && seen.workload(pod.component).is_some());
        let is_back = || !seen.pods.iter().any(|pod| is_higher(pod)) && seen.workloads.iter().all(|workload| is_its(workload)) && has_coordinator();
        let is_anew = || !seen.workloads.is_empty() && seen.workloads.iter().all(|workload| workload.made > newest.finished);
        let is_told = match newest.to {
            Some(to) if to == version => !is_anew(),
            Some(to) if to > version => !is_back(),
            _ => false,
        };
        if is_told {
            return None;
        }
    }
    let of_pods = live().map(|pod| pod.came.max(pod.ready.unwrap_or_default()));
    let latest = seen.workloads.iter().map(|workload| workload.made).chain(of_pods).max().unwrap_or_default();
    Some(Unwitnessed { version, newest, latest })
}

impl Unwitnessed<'_> {
    /// The receipt that tells it: newer than all others of the release, and the same however often it is asked for.
    #[must_use]
    pub fn receipt(&self, release: &ReleaseKey, now: Moment) -> Value {
        let Self { version, newest, latest } = self;
        let after = newest.map_or("", |newest| &*newest.name);
        let of = digest_of_text(&format!("{after} {version}"));
        let name = format!("{}-{}-{}", release.name, version.to_string().to_ascii_lowercase(), of.get(..8).unwrap_or(&of));
        let seen = now.max(*latest).max(newest.map_or(Moment(0), |newest| Moment(newest.finished.0.saturating_add(1))));
        let mut spec = json!({"release": release.name, "kind": api::OBSERVED, "to": version.to_string(), "finishedAt": written(seen)});
        if let (Some(from), Some(table)) = (newest.and_then(|newest| newest.to), spec.as_object_mut()) {
            table.insert("from".into(), json!(from.to_string()));
        }
        json!({
            "apiVersion": api::API_VERSION,
            "kind": "UpgradeReceipt",
            "metadata": {"name": name, "namespace": release.namespace, "labels": {"app.kubernetes.io/instance": release.name}},
            "spec": spec,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fixture::{MIX, hold, pod, running, seen as seen_of, set};
    use super::*;

    const LATER: Moment = Moment(1_900_000_000);

    /// What is witnessed of a release, receipt by receipt, until all is told.
    fn witness(seen: &mut Seen) -> Vec<String> {
        let release = ReleaseKey { namespace: "db".into(), name: "m".into() };
        let mut told = Vec::new();
        while let Some(found) = unwitnessed(seen) {
            let receipt = found.receipt(&release, LATER);
            told.push(receipt["spec"]["to"].as_str().unwrap().to_owned());
            assert!(told.len() < 5, "one receipt for each change: {told:?}");
            seen.receipts.push(Arc::new(seen::receipt(&receipt).unwrap()));
        }
        told
    }

    fn again(earlier: &Seen, objects: &[Value]) -> Seen {
        Seen { receipts: earlier.receipts.clone(), ..seen_of(objects) }
    }

    #[test]
    fn a_first_install_is_witnessed_once_its_pods_have_started_and_only_once() {
        let mut waiting = running(&MIX, "v2.5.16");
        waiting.iter_mut().filter(|object| object["status"]["phase"] == "Running").for_each(|pod| pod["status"] = json!({"phase": "Pending"}));
        assert_eq!(witness(&mut seen_of(&waiting)), Vec::<String>::new());
        let mut seen = seen_of(&running(&MIX, "v2.5.16"));
        assert_eq!(witness(&mut seen), ["2.5.16"]);
        assert_eq!(seen.receipts[0].finished, LATER);
        // A version that nobody can tell is not guessed.
        assert_eq!(witness(&mut seen_of(&running(&MIX, "nightly"))), Vec::<String>::new());
    }

    #[test]
    fn an_upgrade_that_began_is_witnessed_and_what_goes_back_only_once_it_is_back() {
        let mut objects = running(&MIX, "v2.5.16");
        let mut seen = seen_of(&objects);
        witness(&mut seen);
        for component in MIX {
            hold(&mut objects, component, "v2.6.15");
        }
        assert_eq!(witness(&mut again(&seen, &objects)), Vec::<String>::new(), "what is held did not run");
        // The first component was let go, and its pod started.
        let let_go = super::super::fixture::deployment("mixcoord", "v2.6.15");
        objects.retain(|object| object["metadata"]["name"] != "m-milvus-mixcoord" && object["metadata"]["name"] != "m-milvus-mixcoord-1-x");
        objects.extend([let_go.clone(), set("mixcoord", "v2.6.15", 2), pod("mixcoord", "v2.6.15", 2)]);
        let mut begun = again(&seen, &objects);
        assert_eq!(witness(&mut begun), ["2.6.15"]);
        // Its pod is evicted: it will start again.
        let evicted: Vec<Value> = objects.iter().filter(|object| object["metadata"]["name"] != "m-milvus-mixcoord-2-x").cloned().collect();
        assert_eq!(witness(&mut again(&begun, &evicted)), Vec::<String>::new());
        // It is uninstalled in the middle: objects and pods go in any sequence.
        for at in 0..objects.len() {
            let left: Vec<Value> = objects.iter().cycle().skip(at).take(objects.len() / 2).cloned().collect();
            assert_eq!(witness(&mut again(&begun, &left)), Vec::<String>::new(), "{at}");
        }
        let is_later = |object: &Value| object["metadata"]["name"].as_str().unwrap().starts_with("m-milvus-mixcoord");
        objects.retain(|object| !is_later(object));
        assert_eq!(witness(&mut again(&begun, &objects)), Vec::<String>::new());
        objects.retain(|object| object.pointer("/spec/selector").is_none());
        assert_eq!(witness(&mut again(&begun, &objects)), Vec::<String>::new());
        // It goes back, and the pod of the later version is still ending.
        let mut back = running(&MIX, "v2.5.16");
        let mut ending = pod("mixcoord", "v2.6.15", 2);
        ending["metadata"]["deletionTimestamp"] = json!("2026-11-21T21:00:00Z");
        back.push(ending);
        assert_eq!(witness(&mut again(&begun, &back)), Vec::<String>::new());
        back.pop();
        assert_eq!(witness(&mut again(&begun, &back)), ["2.5.16"]);
    }

    #[test]
    fn each_life_of_a_name_has_a_receipt_of_its_own_whatever_clocks_say() {
        let mut seen = seen_of(&running(&MIX, "v2.5.16"));
        witness(&mut seen);
        for (tag, told) in [("v2.5.16", "2.5.16"), ("v2.4.17", "2.4.17"), ("v2.6.15", "2.6.15")] {
            let mut objects = running(&MIX, tag);
            // Made later than any clock of ours says.
            objects.iter_mut().for_each(|object| object["metadata"]["creationTimestamp"] = json!("2031-01-01T00:00:00Z"));
            let mut second = again(&seen, &objects);
            assert_eq!(witness(&mut second), [told]);
            assert!(second.receipts[1].finished > second.receipts[0].finished);
        }
    }
}
