//! The objects of our own API, `guard.milvus-guard.dev/v1alpha1`: their definitions, and views of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use milvus_guard::model::declaration::{Evidence, EvidenceKind};
use milvus_guard::model::version::MilvusVersion;
use milvus_guard::policy::Policies;
use milvus_guard::source::{SourceFile, acknowledgement};
use serde_json::{Value, json};

use crate::cluster::running::list;
use crate::cluster::{annotation, text};
use crate::controller::{CREATED_ANNOTATION, LED_TO_ANNOTATION};

/// The API group.
pub const GROUP: &str = "guard.milvus-guard.dev";

/// The API version.
pub const API_VERSION: &str = "guard.milvus-guard.dev/v1alpha1";

/// The definition of `GuardedUpgrade`, YAML.
pub const GUARDED_UPGRADE_CRD: &str = include_str!("api/guardedupgrades.yaml");

/// The definition of `UpgradeReceipt`, YAML.
pub const UPGRADE_RECEIPT_CRD: &str = include_str!("api/upgradereceipts.yaml");

/// A `GuardedUpgrade` as people must write it: named as its release.
#[must_use]
pub fn guarded_upgrade(namespace: &str, release: &str, to: &str) -> Value {
    json!({"apiVersion": API_VERSION, "kind": "GuardedUpgrade", "metadata": {"name": release, "namespace": namespace}, "spec": {"to": to}})
}

/// A `GuardedUpgrade` on which something is acknowledged: `MV503 <reference>` each.
#[must_use]
pub fn guarded_upgrade_acknowledging(namespace: &str, release: &str, to: &str, acknowledged: &[String]) -> Value {
    let mut object = guarded_upgrade(namespace, release, to);
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut).filter(|_| !acknowledged.is_empty()) {
        metadata.insert("annotations".into(), json!({acknowledgement::ACKNOWLEDGEMENT: acknowledged.join("; ")}));
    }
    object
}

/// Where a `GuardedUpgrade` leads to.
#[must_use]
pub fn upgrade_to(upgrade: &Value) -> Option<&str> {
    text(upgrade, "/spec/to")
}

/// The versions of images whose tag does not tell theirs, as a `GuardedUpgrade` says them: by the image as it is written.
#[must_use]
pub fn image_versions(upgrade: &Value) -> BTreeMap<String, MilvusVersion> {
    let said = upgrade.pointer("/spec/imageVersions").and_then(Value::as_object).into_iter().flatten();
    said.filter_map(|(name, version)| Some((name.clone(), version.as_str()?.trim().parse().ok()?))).collect()
}

/// Whether a `GuardedUpgrade` is being carried out: it began and did not end.
#[must_use]
pub fn is_open(upgrade: &Value) -> bool {
    matches!(text(upgrade, "/status/phase"), Some("Prepared" | "Held" | "Migrating" | "Running" | "RollingBack" | "Paused"))
}

/// Where the upgrade leads to that changes the cluster at this moment, or stands half done: what it began with, whatever is written into its `spec` now.
#[must_use]
pub fn target_under_way(upgrade: &Value) -> Option<&str> {
    let is_at_work = match text(upgrade, "/status/phase") {
        Some("Migrating" | "Running" | "RollingBack") => true,
        Some("Paused") => list(upgrade, "/status/components").any(|line| text(line, "/startedAt").is_some()),
        _ => false,
    };
    text(upgrade, "/status/to").or_else(|| upgrade_to(upgrade)).filter(|_| is_at_work)
}

/// Whether everything that has to outlive the change is kept: said by the controller for this very generation.
#[must_use]
pub fn is_prepared(upgrade: &Value) -> bool {
    let conditions = upgrade.pointer("/status/conditions").and_then(Value::as_array);
    let generation = upgrade.pointer("/metadata/generation").and_then(Value::as_i64);
    conditions.into_iter().flatten().any(|condition| {
        let seen = condition.get("observedGeneration").and_then(Value::as_i64);
        text(condition, "/type") == Some("Prepared") && text(condition, "/status") == Some("True") && (generation.is_none() || seen == generation)
    })
}

/// Whether a person declared where a `GuardedUpgrade` leads to: not where the controller led it there itself, for a held change that needed only an order, or was waived. Whatever else is said on it
/// (windows, approvals) says how it goes, and not that it is meant.
#[must_use]
pub fn is_by_person(upgrade: &Value) -> bool {
    match annotation(upgrade, LED_TO_ANNOTATION) {
        Some(led_to) => upgrade_to(upgrade) != Some(led_to),
        None => annotation(upgrade, CREATED_ANNOTATION).is_none(),
    }
}

/// The command by which a person declares where the controller led a `GuardedUpgrade`.
#[must_use]
pub fn taking_over(namespace: &str, release: &str) -> String {
    format!("kubectl annotate guardedupgrade {release} -n {namespace} --overwrite {LED_TO_ANNOTATION}=")
}

/// A declaration as it has to be written over what is there: one that the controller led is taken over by it.
#[must_use]
pub fn declaring_over(upgrade: Option<&Value>, mut declaration: Value) -> Value {
    if upgrade.is_some_and(|upgrade| !is_by_person(upgrade))
        && let Some(annotations) = declaration
            .pointer_mut("/metadata")
            .and_then(Value::as_object_mut)
            .and_then(|metadata| metadata.entry("annotations").or_insert_with(|| json!({})).as_object_mut())
    {
        annotations.insert(LED_TO_ANNOTATION.into(), json!(""));
    }
    declaration
}

/// What a `GuardedUpgrade` proves: where it leads to, and what is acknowledged on it.
#[must_use]
pub fn evidence_of_upgrade(upgrade: &Value) -> Vec<Evidence> {
    let name = text(upgrade, "/metadata/name").unwrap_or_default();
    let to = upgrade_to(upgrade).map(|to| Evidence {
        kind: EvidenceKind::GuardedUpgrade { to: to.into(), rolling: text(upgrade, "/spec/strategy") == Some("Rolling") },
        text: format!("GuardedUpgrade {name} to {to}").into(),
        place: None,
    });
    to.into_iter().chain(acknowledged(upgrade)).collect()
}

/// What is acknowledged in the annotations of an object.
#[must_use]
pub fn acknowledged(object: &Value) -> Vec<Evidence> {
    let Some(file) = annotations(object) else { return Vec::new() };
    acknowledgement::in_file(&file).into_iter().map(|evidence| Evidence { place: None, ..evidence }).collect()
}

/// Acknowledgements in the annotations of an object that count for nothing, in words: malformed ones, and those of rules that take none.
#[must_use]
pub fn idle_acknowledgements(object: &Value) -> Vec<String> {
    let Some(file) = annotations(object) else { return Vec::new() };
    let unread = acknowledgement::idle_in_file(&file).into_iter().map(|gap| gap.reason);
    let unasked = acknowledgement::in_file(&file).into_iter().filter_map(|evidence| Policies::embedded().why_idle(&evidence).map(Into::into));
    unread.chain(unasked).map(|reason| reason.to_string()).collect()
}

/// The annotations of an object as a file that the readers take.
fn annotations(object: &Value) -> Option<SourceFile> {
    let annotations = object.pointer("/metadata/annotations")?;
    Some(SourceFile::new("object.yaml".into(), json!({"metadata": {"annotations": annotations}}).to_string().into()))
}

/// The newest receipt of a release: it tells the version that wrote its data.
#[must_use]
pub fn newest_receipt<'r>(receipts: &'r [Arc<Value>], release: &str) -> Option<&'r Value> {
    let of_release = receipts.iter().filter(|receipt| text(receipt, "/spec/release") == Some(release));
    of_release.max_by_key(|receipt| text(receipt, "/spec/finishedAt")).map(|receipt| &**receipt)
}

/// The kind of a receipt that tells what was seen to serve, and of nothing that was done.
pub const OBSERVED: &str = "Observed";

/// What a receipt proves; nothing when it is of another release, or only tells what was seen.
#[must_use]
pub fn evidence_of_receipt(receipt: &Value, release: &str) -> Vec<Evidence> {
    let (Some(to), true) = (text(receipt, "/spec/to"), text(receipt, "/spec/release") == Some(release)) else { return Vec::new() };
    let name = text(receipt, "/metadata/name").unwrap_or_default();
    let words = format!("UpgradeReceipt {name}: {to}").into();
    let kind = match text(receipt, "/spec/kind") {
        Some(OBSERVED) => return Vec::new(),
        Some("MetadataMigration") => EvidenceKind::MigrateCall { to: Some(to.into()) },
        _ => EvidenceKind::GuardedUpgrade { to: to.into(), rolling: false },
    };
    vec![Evidence { kind, text: words, place: None }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_read_and_name_what_the_design_asks_for() {
        for (text, plural, short) in [(GUARDED_UPGRADE_CRD, "guardedupgrades", "gu"), (UPGRADE_RECEIPT_CRD, "upgradereceipts", "ur")] {
            let crd: Value = serde_yaml::from_str(text).unwrap();
            assert_eq!(crd["metadata"]["name"], format!("{plural}.{GROUP}"));
            assert_eq!(crd["spec"]["names"]["shortNames"][0], short);
            assert!(crd["spec"]["names"]["categories"].as_array().unwrap().contains(&json!("milvus-guard")));
            assert!(!crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap().is_empty());
            assert!(text.contains("x-kubernetes-validations"));
        }
    }

    #[test]
    fn every_field_is_explained() {
        /// Fields without a description, by their path.
        fn unexplained(schema: &Value, path: &str) -> Vec<String> {
            let below = |schema: &Value| schema["properties"].as_object().cloned().unwrap_or_default();
            let fields = below(schema).into_iter().chain(below(&schema["items"]));
            // What every object has is explained by Kubernetes.
            let own = fields.filter(|(name, _)| !path.is_empty() || !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"));
            own.flat_map(|(name, schema)| {
                let path = format!("{path}.{name}");
                let below = unexplained(&schema, &path);
                schema["description"].is_null().then_some(path).into_iter().chain(below).collect::<Vec<_>>()
            })
            .collect()
        }
        for text in [GUARDED_UPGRADE_CRD, UPGRADE_RECEIPT_CRD] {
            let crd: Value = serde_yaml::from_str(text).unwrap();
            assert_eq!(unexplained(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], ""), Vec::<String>::new());
        }
    }

    #[test]
    fn prepared_counts_for_the_generation_that_it_was_said_for() {
        let upgrade = |generation: i64, seen: i64| json!({"metadata": {"generation": generation}, "status": {"conditions": [{"type": "Prepared", "status": "True", "observedGeneration": seen}]}});
        assert!(is_prepared(&upgrade(2, 2)) && !is_prepared(&upgrade(3, 2)));
        let unsaid = json!({"metadata": {"generation": 2}, "status": {"conditions": [{"type": "Prepared", "status": "True"}]}});
        assert!(!is_prepared(&unsaid));
    }

    #[test]
    fn what_runs_is_what_it_began_with() {
        let mut upgrade = guarded_upgrade("db", "m", "3.0.0");
        assert_eq!(target_under_way(&upgrade), None);
        upgrade["status"] = json!({"phase": "Running"});
        assert_eq!(target_under_way(&upgrade), Some("3.0.0"));
        upgrade["status"]["to"] = json!("2.6.15");
        assert_eq!(target_under_way(&upgrade), Some("2.6.15"));
        upgrade["status"]["phase"] = json!("Paused");
        assert_eq!((target_under_way(&upgrade), is_open(&upgrade)), (None, true));
        upgrade["status"]["components"] = json!([{"name": "mixcoord", "state": "Released", "startedAt": "2026-11-22T00:00:00Z"}]);
        assert_eq!(target_under_way(&upgrade), Some("2.6.15"), "half of it is done");
    }

    #[test]
    fn evidence_names_its_target_and_its_acknowledgements() {
        let mut upgrade = guarded_upgrade("db", "m", "2.6.15");
        upgrade["metadata"]["annotations"] = json!({"guard.milvus-guard.dev/ack": "MV503 moved-with-mc"});
        let texts: Vec<String> = evidence_of_upgrade(&upgrade).iter().map(|evidence| evidence.text.to_string()).collect();
        assert_eq!(texts, ["GuardedUpgrade m to 2.6.15", "MV503 acknowledged: moved-with-mc"]);
        let mut receipt = json!({"metadata": {"name": "m-1"}, "spec": {"release": "m", "to": "2.2.16", "kind": OBSERVED}});
        assert!(evidence_of_receipt(&receipt, "m").is_empty(), "what was seen opens no door");
        receipt["spec"]["kind"] = json!("MetadataMigration");
        assert!(matches!(evidence_of_receipt(&receipt, "m")[0].kind, EvidenceKind::MigrateCall { .. }));
        assert!(evidence_of_receipt(&receipt, "other").is_empty());
    }
}
