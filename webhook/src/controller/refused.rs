//! What people are told of a deed that was not done, because the API server refuses it or because what it takes is not there.

use milvus_guard::rollout::observed::Moment;
use serde_json::Value;

use super::act::Undone;
use super::status::{Phase, Status, cut};
use super::tell::{self, Idle, Kind};

/// A refusal, as the status tells it.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A word for it.
    reason: &'static str,
    /// What was refused, and what to do.
    message: String,
}

/// What of an error does not go away by itself; nothing where trying again may do: no answer, too many requests, a conflict.
#[must_use]
pub fn refusal(error: &anyhow::Error) -> Option<Refusal> {
    let denied = |what: &str, why: &str| Refusal {
        reason: "WriteRefused",
        message: format!(
            "the API server refuses {what}: {why}. Mend that (a right of the guard's account, a policy, a quota); it is tried again until it is done."
        ),
    };
    match error.downcast_ref::<Undone>() {
        Some(Undone::Denied(name, why)) => return Some(denied(&format!("a write to {name}"), why)),
        Some(Undone::Impossible(why)) => {
            let message = format!("{why}. Put the release back yourself, with the tool that applies it: roll it back (`helm rollback`, or the commit).");
            return Some(Refusal { reason: "NeedsApplier", message });
        }
        Some(_) => return None,
        None => {}
    }
    match error.downcast_ref::<kube::Error>()? {
        kube::Error::Api(status) if is_refusal(status.code) => Some(denied("what is due", &words(status))),
        _ => None,
    }
}

/// Codes of answers that are a verdict.
#[must_use]
pub const fn is_refusal(code: u16) -> bool {
    matches!(code, 400 | 401 | 403 | 405 | 413 | 422)
}

/// Why, in the words of the API server. What is invalid is told by its fields alone: the message may hold what the object says.
#[must_use]
pub fn words(status: &kube::core::Status) -> String {
    const LONGEST: usize = 400;
    let is_a_verdict = status.code != 422 || status.message.contains("denied") || status.message.contains("is forbidden");
    if is_a_verdict && !status.message.is_empty() {
        return cut(status.message.trim_end_matches('.'), LONGEST);
    }
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let fields: Vec<&str> = causes.map(|cause| cause.field.as_str()).filter(|field| !field.is_empty()).collect();
    let of = if fields.is_empty() { String::new() } else { format!(": {}", fields.join(", ")) };
    cut(&format!("{} ({}){of}", status.reason, status.code), LONGEST)
}

/// The status that tells it, on top of what is known; the same as before where that is told already.
#[must_use]
pub fn told(upgrade: &Value, refusal: &Refusal, now: Moment) -> Status {
    let mut status = Status::of(upgrade);
    status.observed_generation = upgrade.pointer("/metadata/generation").and_then(Value::as_i64);
    let phase = status.phase.unwrap_or(Phase::Pending);
    tell::idle(&mut status, &Idle { phase, reason: refusal.reason, message: &refusal.message, kind: Kind::Stalled, waiting_for: None }, now);
    status
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(code: u16, message: &str) -> kube::core::Status {
        serde_json::from_value(json!({"status": "Failure", "code": code, "message": message, "reason": "Invalid",
            "details": {"causes": [{"field": "spec.selector", "message": "x", "reason": "y"}]}}))
        .unwrap()
    }

    #[test]
    fn what_is_refused_is_told_with_the_words_of_the_api_server_and_only_once() {
        let denied = "deployments.apps \"m-proxy\" is forbidden: ValidatingAdmissionPolicy 'freeze' with binding 'freeze' denied request: frozen";
        let error = anyhow::Error::from(Undone::Denied("m-proxy".into(), words(&answer(422, denied))));
        let refusal = refusal(&error).unwrap();
        let upgrade = json!({"metadata": {"generation": 2}, "spec": {"to": "2.6.15"}, "status": {"phase": "Running"}});
        let status = told(&upgrade, &refusal, Moment(100));
        let stalled = status.condition("Stalled").unwrap();
        assert_eq!((stalled.reason.as_str(), status.phase), ("WriteRefused", Some(Phase::Running)));
        assert!(stalled.message.contains("m-proxy") && stalled.message.contains("denied request: frozen"), "{stalled:?}");
        let again = json!({"metadata": {"generation": 2}, "status": serde_json::to_value(&status).unwrap()});
        assert_eq!(told(&again, &refusal, Moment(900)), status);
    }

    #[test]
    fn what_is_gone_takes_whoever_applies_the_release() {
        let refusal = refusal(&Undone::Impossible("the template is gone".into()).into()).unwrap();
        assert_eq!(refusal.reason, "NeedsApplier");
    }

    #[test]
    fn what_may_pass_by_itself_is_not_told_and_an_invalid_value_never_is() {
        let of = |code| anyhow::Error::from(kube::Error::Api(Box::new(answer(code, "x")))).context("reading");
        assert!([404, 409, 429, 500, 503].into_iter().all(|code| refusal(&of(code)).is_none()));
        assert!(refusal(&of(403)).is_some());
        assert!(refusal(&Undone::Stale("x".into()).into()).is_none());
        assert_eq!(words(&answer(422, "Invalid value: \"hunter2\"")), "Invalid (422): spec.selector");
    }
}
