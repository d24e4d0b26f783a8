//! Looks after Flux: carries preserved values for its HelmReleases, and asks it again once what was refused may pass.
//!
//! What is here tells from objects what is due; [`work`] does it, [`watch`] says when.

pub mod carried;
pub mod watch;
pub mod work;

use serde_json::{Value, json};

use crate::admission::gitops::{carried_values, carried_values_secret, release_name};
use crate::admission::opening;
use crate::api;
use crate::cluster::{annotation, text};

/// The annotation that makes Flux look at an object at once: whatever it says, once it says something else.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// The annotation that makes Flux forget failures of a HelmRelease, where it says the same as [`REQUESTED_AT`].
pub const RESET_AT: &str = "reconcile.fluxcd.io/resetAt";

/// API versions of HelmRelease, the newest first.
pub const HELM_RELEASES: &[&str] = &["helm.toolkit.fluxcd.io/v2", "helm.toolkit.fluxcd.io/v2beta2", "helm.toolkit.fluxcd.io/v2beta1"];

/// What the API server says of a refusal of ours, after the name of one of our gates.
const DENIED: &str = ".guard.milvus-guard.dev\" denied the request";

/// Of a HelmRelease what tells whether it needs us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmRelease {
    /// Its uid.
    pub uid: String,
    /// Its API version.
    pub api_version: String,
    /// The name of the Helm release that it makes.
    pub release: String,
    /// Where that release runs.
    pub target: String,
    /// Where Helm keeps its revisions.
    pub storage: String,
    /// Whether it has `preserveValues`, so that a write of it puts the carried values in its place.
    pub asks: bool,
    /// Whether it takes the carried values.
    pub refers: bool,
    /// Whether it is about this cluster.
    pub is_here: bool,
    /// The newest revision that Flux knows of.
    pub revision: Option<u64>,
    /// Whether Flux says that it stands: what keeps it may be a Secret that is gone.
    pub is_ready: Option<bool>,
    /// Whether Flux was refused by us.
    pub is_refused: bool,
    /// What Flux was asked with the last time.
    pub requested: Option<String>,
    /// What its failures were forgotten with the last time.
    pub reset: Option<String>,
}

impl HelmRelease {
    /// Reads an object; nothing where it is being deleted or has no name.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return None;
        }
        let own = |pointer: &str| text(object, pointer).map(str::to_owned);
        let namespace = own("/metadata/namespace")?;
        let reference = carried_values(&carried_values_secret(text(object, "/metadata/name")?));
        Some(Self {
            uid: own("/metadata/uid")?,
            api_version: own("/apiVersion")?,
            release: release_name(object)?,
            target: own("/spec/targetNamespace").unwrap_or_else(|| namespace.clone()),
            storage: own("/spec/storageNamespace").unwrap_or(namespace),
            asks: object.pointer("/spec/upgrade/preserveValues") == Some(&json!(true)),
            refers: object.pointer("/spec/valuesFrom").and_then(Value::as_array).is_some_and(|sources| sources.contains(&reference)),
            is_here: object.pointer("/spec/kubeConfig").is_none_or(Value::is_null),
            revision: revision(object),
            is_ready: condition(object, "Ready").and_then(|ready| Some(text(ready, "/status")? == "True")),
            is_refused: refusal(object).is_some(),
            requested: annotation(object, REQUESTED_AT).map(str::to_owned),
            reset: annotation(object, RESET_AT).map(str::to_owned),
        })
    }
}

/// The newest revision that a HelmRelease tells of.
fn revision(object: &Value) -> Option<u64> {
    let told = object.pointer("/status/history").and_then(Value::as_array).into_iter().flatten();
    let newest = told.filter_map(|entry| entry.get("version")?.as_u64()).max();
    newest.or_else(|| object.pointer("/status/lastReleaseRevision")?.as_u64())
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}

fn condition<'o>(object: &'o Value, type_: &str) -> Option<&'o Value> {
    conditions(object).find(|condition| text(condition, "/type") == Some(type_))
}

/// What an object of Flux's says of a refusal of ours that it has not come over.
#[must_use]
pub fn refusal(object: &Value) -> Option<&str> {
    conditions(object)
        .filter(|condition| text(condition, "/status") == Some("False"))
        .filter_map(|condition| text(condition, "/message"))
        .find(|message| message.contains(DENIED))
}

/// Of a `GuardedUpgrade` what may open a way.
#[must_use]
pub fn opens(upgrade: &Value) -> String {
    let metadata = |key: &str| upgrade.pointer("/metadata").and_then(|metadata| metadata.get(key));
    json!([
        metadata("uid"),
        metadata("generation"),
        opening::said(upgrade),
        api::is_prepared(upgrade),
        api::target_under_way(upgrade),
        text(upgrade, "/status/receipt")
    ])
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::exceptions::ALLOW_ANNOTATION;
    use crate::admission::opening::token;

    fn object(spec: Value, status: Value) -> Value {
        json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "m", "namespace": "db", "uid": "u"}, "spec": spec, "status": status})
    }

    #[test]
    fn a_helm_release_tells_what_it_asks_for_and_where_its_revisions_are() {
        let read = |spec: Value| {
            HelmRelease::read(&object(spec, json!({"history": [{"version": 4, "status": "failed"}, {"version": 3, "status": "deployed"}]}))).unwrap()
        };
        let asks = read(json!({"upgrade": {"preserveValues": true}, "targetNamespace": "run", "storageNamespace": "keep"}));
        assert_eq!((asks.asks, asks.refers, asks.release.as_str(), asks.target.as_str(), asks.storage.as_str()), (true, false, "run-m", "run", "keep"));
        assert_eq!((asks.revision, asks.is_here), (Some(4), true));
        let refers =
            read(json!({"releaseName": "vec", "upgrade": {"preserveValues": false}, "valuesFrom": [{"kind": "Secret", "name": "milvus-guard-carried-m"}]}));
        assert_eq!((refers.asks, refers.refers, refers.release.as_str(), refers.storage.as_str()), (false, true, "vec", "db"));
        assert!(!read(json!({"kubeConfig": {"secretRef": {"name": "other"}}})).is_here);
        let mut going = object(json!({}), json!({}));
        going["metadata"]["deletionTimestamp"] = json!("2026-11-21T12:00:00Z");
        assert_eq!(HelmRelease::read(&going), None);
    }

    #[test]
    fn only_a_refusal_of_ours_that_still_stands_is_one() {
        let of = |status: &str, message: &str| {
            let conditions = json!([{"type": "Ready", "status": "False", "message": "x"}, {"type": "Released", "status": status, "message": message}]);
            refusal(&object(json!({}), json!({"conditions": conditions}))).is_some()
        };
        let ours = "Helm upgrade failed for release db/m with chart milvus@5.0.19: create: failed to create: admission webhook \"helm-storage.guard.milvus-guard.dev\" denied the request: MV711: ...";
        assert!(of("False", ours) && !of("True", ours));
        assert!(!of("False", "admission webhook \"policy.example.com\" denied the request: no"));
        assert!(!of("False", "failed calling webhook \"helm-storage.guard.milvus-guard.dev\": no endpoints"));
    }

    #[test]
    fn flux_is_asked_with_the_same_words_until_something_changes() {
        let upgrade = |generation: i64, prepared: &str, phase: &str| {
            json!({"metadata": {"uid": "u", "generation": generation, "resourceVersion": phase}, "spec": {"to": "2.6.15"},
            "status": {"phase": phase, "conditions": [{"type": "Prepared", "status": prepared, "observedGeneration": generation}]}})
        };
        let of = |upgrade: &Value| token([opens(upgrade).as_str()]).unwrap();
        assert_eq!(token([]), None, "nothing was declared or waived");
        assert_eq!(of(&upgrade(1, "False", "Pending")), of(&upgrade(1, "False", "Failed")), "what opens nothing is no change");
        assert_ne!(of(&upgrade(1, "False", "Pending")), of(&upgrade(1, "True", "Prepared")));
        assert_ne!(of(&upgrade(1, "True", "Prepared")), of(&upgrade(2, "True", "Prepared")));
        let mut waived = upgrade(1, "True", "Prepared");
        waived["metadata"]["annotations"] = json!({ALLOW_ANNOTATION: "MV402 reason=x"});
        assert_ne!(of(&waived), of(&upgrade(1, "True", "Prepared")));
        waived["metadata"]["annotations"] = json!({"note": "of somebody else's"});
        assert_eq!(of(&waived), of(&upgrade(1, "True", "Prepared")));
        let mut proven = upgrade(1, "True", "Completed");
        proven["status"]["receipt"] = json!("m-1");
        assert_ne!(of(&proven), of(&upgrade(1, "True", "Completed")));
    }
}
