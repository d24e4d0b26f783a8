//! Our own objects: what their schema cannot say, and who may write what only the controller knows.
//!
//! Doubt: refused; nobody but us waits for these objects.

use jiff::Timestamp;
use milvus_guard::model::version::MilvusVersion;
use serde_json::Value;

use super::guard::Guard;
use super::request::{Operation, Request};
use super::{Answer, Cause};
use crate::api;
use crate::cluster::{Cluster, running, text};
use crate::controller::{moment, plan};

/// Judges a request about a `GuardedUpgrade` or `UpgradeReceipt`.
pub(super) fn judge<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    let is_controller = request.user_info.username == guard.configuration.controller;
    match request.kind.kind.as_str() {
        "GuardedUpgrade" if request.sub_resource.as_deref() == Some("status") => {
            by_controller(is_controller, "the status of a GuardedUpgrade is written by the controller only", "status")
        }
        "GuardedUpgrade" if matches!(request.operation, Operation::Create | Operation::Update) => upgrade(guard, request),
        "UpgradeReceipt" if request.operation == Operation::Create => by_controller(is_controller, "a receipt is written by the controller only", "spec"),
        "UpgradeReceipt" if request.operation == Operation::Update && request.object.get("spec") != request.old_object.get("spec") => {
            refused("a receipt does not change", "spec")
        }
        _ => Answer::admitted(),
    }
}

fn by_controller(is_controller: bool, sentence: &str, field: &str) -> Answer {
    if is_controller { Answer::admitted() } else { refused(sentence, field) }
}

fn refused(sentence: &str, field: &str) -> Answer {
    let cause = Cause { rule: "Forbidden".into(), message: sentence.into(), field: Some(field.into()) };
    Answer { refused: Some(sentence.into()), causes: vec![cause], ..Answer::default() }
}

fn upgrade<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    let object: &Value = &request.object;
    let Some(to) = api::upgrade_to(object) else { return refused("spec.to is missing: the Milvus version to go to", "spec.to") };
    if to.trim().parse::<MilvusVersion>().is_err() {
        return refused("spec.to is no Milvus version, such as 2.6.15", "spec.to");
    }
    let mut answer = Answer::admitted();
    answer.warnings = api::idle_acknowledgements(object);
    if plan::closed(object, moment(Timestamp::now())) == Some(None) {
        answer.warnings.push("all of spec.windows are over: nothing is changed until one is to come".into());
    }
    let name = text(object, "/metadata/name").unwrap_or_default();
    if request.operation == Operation::Create && running::serving(&*guard.cluster, &request.namespace, name).is_empty() {
        answer.warnings.push(format!("no Milvus release {name} runs in namespace {}; a GuardedUpgrade is named as its release", request.namespace));
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::admission::guard::Configuration;
    use crate::admission::request::{Kind, User};
    use crate::cluster::Snapshot;

    fn ask(kind: &str, operation: Operation, sub: Option<&str>, user: &str, object: Value, old: Value) -> Answer {
        let guard = Guard::new(Arc::new(Snapshot::default()), Configuration { controller: "guard".into(), ..Configuration::default() });
        let request = Request {
            uid: "u".into(),
            kind: Kind { group: api::GROUP.into(), version: "v1alpha1".into(), kind: kind.into() },
            sub_resource: sub.map(Into::into),
            name: "m".into(),
            namespace: "db".into(),
            operation,
            user_info: User { username: user.into(), groups: vec![] },
            object,
            old_object: old,
            dry_run: None,
            options: Value::Null,
            known_by: None,
        };
        judge(&guard, &request)
    }

    #[test]
    fn status_and_receipts_are_the_controllers() {
        let receipt = json!({"spec": {"release": "m", "to": "2.6.15"}});
        for (user, passes) in [("guard", true), ("ada", false)] {
            assert_eq!(ask("UpgradeReceipt", Operation::Create, None, user, receipt.clone(), Value::Null).is_admitted(), passes);
            assert_eq!(ask("GuardedUpgrade", Operation::Update, Some("status"), user, json!({}), json!({})).is_admitted(), passes);
        }
        assert!(!ask("UpgradeReceipt", Operation::Update, None, "guard", receipt, json!({"spec": {}})).is_admitted());
    }

    #[test]
    fn a_target_is_a_version() {
        let ask = |to: &str| ask("GuardedUpgrade", Operation::Create, None, "ada", api::guarded_upgrade("db", "m", to), Value::Null);
        assert!(!ask("newest").is_admitted());
        let known = ask("v2.6.15");
        assert!(known.is_admitted() && known.warnings.len() == 1, "{known:?}");
    }

    #[test]
    fn windows_that_are_all_over_are_told_at_once() {
        let warnings = |until: &str| {
            let mut object = api::guarded_upgrade("db", "m", "2.6.15");
            object["spec"]["windows"] = json!([{"from": "2020-01-01T00:00:00Z", "until": until}]);
            ask("GuardedUpgrade", Operation::Create, None, "ada", object, Value::Null).warnings
        };
        assert!(warnings("2020-01-01T01:00:00Z")[0].starts_with("all of spec.windows are over"));
        assert_eq!(warnings("9000-01-01T00:00:00Z").len(), 1, "that nothing runs there");
    }

    #[test]
    fn acknowledgements_that_count_for_nothing_are_told_at_once() {
        let declaring = |acknowledged: &str| {
            let object = api::guarded_upgrade_acknowledging("db", "m", "2.6.15", &[acknowledged.into()]);
            ask("GuardedUpgrade", Operation::Create, None, "ada", object, Value::Null).warnings
        };
        assert_eq!(declaring("MV503 copied").len(), 1, "that nothing runs there");
        for (wrong, words) in
            [("MV503 <reference>", "text to fill in"), ("MV205 ticket-7", "takes none"), ("MV999 ticket-7", "no such rule"), ("please", "no rule id")]
        {
            assert!(declaring(wrong)[0].contains(words), "{:?}", declaring(wrong));
        }
    }
}
