//! What may open a way for what was refused or blocked: what people declare and waive, in few letters that are the same for the same.

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::exceptions::{ALLOW_ANNOTATION, BREAK_GLASS_ANNOTATION, Exceptions, MODE_LABEL};
use crate::api;
use crate::cluster::{annotation, label};

/// What stands on an object that was held without a verdict: it differs from all that may stand there, and from nothing, so that it is judged as soon as a gate can.
pub const NOT_JUDGED: &str = "not-judged";

/// What begins a note of the controller's own: that it had what never ran judged beside what serves now.
const BESIDE: &str = "beside-";

/// What stands for all that may open a way for the held workloads of a release: its `GuardedUpgrade` as people wrote it, and what its namespace says, as far as that counts at a moment. Nothing
/// where nobody says anything. The gate notes it on what it holds, the controller compares that with what stands now.
#[must_use]
pub fn of_release(upgrade: Option<&Value>, excepted: Option<&str>, now: Timestamp) -> Option<String> {
    let declared = upgrade.map(|upgrade| {
        let metadata = |key: &str| upgrade.pointer("/metadata").and_then(|metadata| metadata.get(key));
        json!([metadata("uid"), upgrade.get("spec"), said(upgrade)]).to_string()
    });
    let idle = idle(upgrade, excepted, now);
    token(declared.as_deref().into_iter().chain(excepted).chain(idle.as_deref()))
}

/// What of that does not count at a moment: a waiver that expires is none from then on.
fn idle(upgrade: Option<&Value>, excepted: Option<&str>, now: Timestamp) -> Option<String> {
    let namespace = excepted
        .and_then(|said| serde_json::from_str::<[Value; 3]>(said).ok())
        .map(|[allow, break_glass, _]| json!({"metadata": {"annotations": {ALLOW_ANNOTATION: allow, BREAK_GLASS_ANNOTATION: break_glass}}}));
    let notes = Exceptions::read(upgrade.into_iter().chain(&namespace), now).notes;
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// The note of the controller that it had what never ran judged for what stands now beside the versions that serve.
#[must_use]
pub fn beside(judged_for: Option<&str>, serves: &str) -> String {
    format!("{BESIDE}{}", token(judged_for.into_iter().chain([serves])).unwrap_or_default())
}

/// Whether a note is such a one.
#[must_use]
pub fn is_beside(note: &str) -> bool {
    note.starts_with(BESIDE)
}

/// The annotations of our group on an object.
#[must_use]
pub fn said(object: &Value) -> Vec<(&String, &Value)> {
    let all = object.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten();
    all.filter(|(name, _)| name.starts_with(api::GROUP)).collect()
}

/// Of a namespace what may open a way; nothing where it says nothing of the kind.
#[must_use]
pub fn excepts(namespace: &Value) -> Option<String> {
    let said = [annotation(namespace, ALLOW_ANNOTATION), annotation(namespace, BREAK_GLASS_ANNOTATION), label(namespace, MODE_LABEL)];
    said.iter().any(Option::is_some).then(|| json!(said).to_string())
}

/// What stands for all that may open a way now; nothing where there is nothing. The same for the same, so that each change is asked about once, whoever asks.
#[must_use]
pub fn token<'t>(opening: impl IntoIterator<Item = &'t str>) -> Option<String> {
    let mut opening = opening.into_iter().peekable();
    opening.peek()?;
    let mut digest = Sha256::new();
    for one in opening {
        digest.update(one);
        digest.update([0]);
    }
    let short: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Some(format!("milvus-guard-{short}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_a_release_waits_for_changes_with_what_people_write_and_with_nothing_else() {
        let upgrade = |to: &str, phase: &str| json!({"metadata": {"uid": "u", "resourceVersion": phase}, "spec": {"to": to}, "status": {"phase": phase}});
        let of = |upgrade: &Value| of_release(Some(upgrade), None, now()).unwrap();
        assert_eq!(of_release(None, None, now()), None, "nothing was declared or waived");
        assert_eq!(of(&upgrade("2.6.15", "Held")), of(&upgrade("2.6.15", "Failed")));
        assert_ne!(of(&upgrade("2.6.15", "Held")), of(&upgrade("2.6.20", "Held")));
        let mut waived = upgrade("2.6.15", "Held");
        waived["metadata"]["annotations"] = json!({ALLOW_ANNOTATION: "MV402 reason=x"});
        assert_ne!(of(&waived), of(&upgrade("2.6.15", "Held")));
        waived["metadata"]["annotations"] = json!({"note": "of somebody else's"});
        assert_eq!(of(&waived), of(&upgrade("2.6.15", "Held")));
        assert_ne!(of_release(Some(&waived), Some("waived"), now()), of_release(Some(&waived), None, now()));
    }

    #[test]
    fn a_namespace_counts_where_it_waives_something() {
        assert_eq!(excepts(&json!({"metadata": {"name": "db", "annotations": {"a": "b"}, "labels": {"c": "d"}}})), None);
        let waived = |text: &str| excepts(&json!({"metadata": {"annotations": {ALLOW_ANNOTATION: text}}})).unwrap();
        assert_ne!(waived("MV402 reason=x"), waived("MV508 reason=x"));
    }

    #[test]
    fn a_waiver_that_expires_is_something_else_from_then_on() {
        let waives = |object: &str, text: &str| json!({"metadata": {"uid": object, "annotations": {ALLOW_ANNOTATION: text}}});
        let until = "MV210 until=2026-11-21T12:00:01Z reason=x; MV402 reason=y";
        let later = |seconds: i64| now().checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        for of in [&|now| of_release(Some(&waives("u", until)), None, now), &|now| of_release(None, excepts(&waives("n", until)).as_deref(), now)]
            as [&dyn Fn(Timestamp) -> Option<String>; 2]
        {
            assert_eq!((of(now()), of(later(2))), (of(later(1)), of(later(9_999))));
            assert_ne!(of(now()), of(later(2)));
        }
    }
}
