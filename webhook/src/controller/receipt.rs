//! The receipt of a completed upgrade. Pure.

use milvus_guard::rollout::Plan;
use milvus_guard::rollout::observed::{Known, Moment, Observed};
use serde_json::{Value, json};

use super::status::{State, Status};
use super::{ReleaseKey, written};
use crate::admission::change::digest_of_text;
use crate::api;
use crate::cluster::text;
use crate::migration::state::Proof;

/// The name of the receipt of an upgrade: the same for the same upgrade, however often it is asked for.
#[must_use]
pub fn name(release: &ReleaseKey, upgrade: &Value, status: &Status) -> String {
    let uid = text(upgrade, "/metadata/uid").unwrap_or_default();
    let milvus = status.milvus.as_ref().map_or_else(String::new, |milvus| format!(" {milvus}"));
    let of = digest_of_text(&format!("{uid} {}{milvus}", status.started_at.as_deref().unwrap_or_default()));
    let to = status.to.as_deref().unwrap_or_default().to_ascii_lowercase();
    format!("{}-{to}-{}", release.name, of.get(..8).unwrap_or(&of))
}

/// The receipt. `proof`: what the verified backup of a metadata migration holds.
#[must_use]
pub fn receipt(release: &ReleaseKey, upgrade: &Value, status: &Status, plan: &Plan, observed: &Observed, proof: Option<&Proof>, now: Moment) -> Value {
    let done = status.components.iter().filter(|line| matches!(line.state, State::Complete | State::Removed) && line.started_at.is_some());
    let components: Vec<Value> = done
        .map(|line| {
            let action = if line.state == State::Removed { "Removed" } else { "Released" };
            let mut component = json!({"name": line.name, "action": action});
            for (key, time) in [("startedAt", &line.started_at), ("finishedAt", &line.finished_at)] {
                if let (Some(time), Some(table)) = (time, component.as_object_mut()) {
                    table.insert(key.into(), json!(time));
                }
            }
            component
        })
        .collect();
    let mut spec = json!({
        "release": release.name,
        "kind": if proof.is_some() { "MetadataMigration" } else { "Upgrade" },
        "from": plan.pair.from.to_string(),
        "to": plan.pair.to.to_string(),
        "components": components,
        "proxyAwaySeconds": status.proxy_away_seconds.unwrap_or_default(),
        "evidence": evidence(observed),
        "finishedAt": written(now),
    });
    let acknowledged: Vec<String> = api::acknowledged(upgrade).iter().map(|evidence| evidence.text.to_string()).collect();
    let optional = [
        ("order", status.order.as_ref().map(|order| json!(order))),
        ("change", status.change.as_ref().map(|change| json!(change))),
        ("startedAt", status.started_at.as_ref().map(|time| json!(time))),
        ("backupDigest", proof.map(|proof| json!(proof.sum.digest))),
        ("backup", proof.map(|proof| json!(format!("{} keys of {} at revision {}", proof.sum.entries, proof.of, proof.revision)))),
        ("waived", (!acknowledged.is_empty()).then(|| json!(acknowledged))),
    ];
    if let Some(table) = spec.as_object_mut() {
        table.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    }
    json!({
        "apiVersion": api::API_VERSION,
        "kind": "UpgradeReceipt",
        "metadata": {"name": name(release, upgrade, status), "namespace": release.namespace, "labels": {"app.kubernetes.io/instance": release.name}},
        "spec": spec,
    })
}

/// What the gates were read from, where not everything could be.
#[must_use]
pub fn evidence(observed: &Observed) -> Vec<String> {
    let mut told = Vec::new();
    if let Known::No(why) = &observed.sessions {
        told.push(format!("sessions in etcd were not read ({why}): ready pods of the target and none of another template stood for them"));
    }
    if let Known::No(why) = &observed.active_standby {
        told.push(format!("it is not known whether coordinators have a standby ({why}): none was taken for granted"));
    }
    told
}
