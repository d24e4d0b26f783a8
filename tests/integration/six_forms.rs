//! One pull request, expressed in six forms, gives the same verdicts of MV2 to MV6: what a release is does not depend on how it is written down.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use milvus_guard::model::finding::Severity;

use crate::changes::{CASES, Case, state};
use crate::forms::{Form, SIX_FORMS, Verdict, shown};

/// Where a form rightly says something else than Flux.
struct Exception {
    case: &'static str,
    form: Form,
    /// What Flux says.
    instead_of: &'static str,
    /// What the form says.
    says: &'static str,
    reason: &'static str,
}

const RENDERED: &str = "Argo CD renders as an install: the init Jobs of Pulsar run, and only the queue itself is another one";
const UNKNOWN: &str = "nobody knows what applies an umbrella chart: no word on Jobs that may run";
const NO_LOOK_UP: &str = "Argo CD cannot look at the live Deployment: the queue is switched for certain";
const EMPTY_FILE: &str = "the values file holds nothing any more: Helm keeps the values that the release has, as if no file were given";

const EXCEPTIONS: &[Exception] = &[
    Exception { case: "Kafka to the chart's Pulsar 3", form: Form::ArgoCd, instead_of: "MV404 E", says: "MV401 E", reason: RENDERED },
    Exception { case: "Kafka to the chart's Pulsar 3", form: Form::Umbrella, instead_of: "MV404 E", says: "MV401 E", reason: UNKNOWN },
    Exception { case: "a Pulsar elsewhere to the chart's own", form: Form::ArgoCd, instead_of: "MV404 E", says: "MV413 E", reason: RENDERED },
    Exception { case: "a Pulsar elsewhere to the chart's own", form: Form::Umbrella, instead_of: "MV404 E", says: "MV413 E", reason: UNKNOWN },
    Exception { case: "a standalone that leaves its queue open", form: Form::ArgoCd, instead_of: "MV406 W", says: "MV406 E", reason: NO_LOOK_UP },
    Exception { case: "a better target is known", form: Form::Shell, instead_of: "MV210 W, MV219 W, MV308 I", says: "", reason: EMPTY_FILE },
    Exception { case: "a better target is known", form: Form::Values, instead_of: "MV210 W, MV219 W, MV308 I", says: "", reason: EMPTY_FILE },
    Exception { case: "Kafka to the chart's Pulsar 3", form: Form::Shell, instead_of: "MV404 E", says: "", reason: EMPTY_FILE },
    Exception { case: "Kafka to the chart's Pulsar 3", form: Form::Values, instead_of: "MV404 E", says: "", reason: EMPTY_FILE },
    Exception { case: "a Pulsar elsewhere to the chart's own", form: Form::Shell, instead_of: "MV404 E", says: "", reason: EMPTY_FILE },
    Exception { case: "a Pulsar elsewhere to the chart's own", form: Form::Values, instead_of: "MV404 E", says: "", reason: EMPTY_FILE },
    Exception { case: "a value is lost", form: Form::Shell, instead_of: "MV603 W", says: "", reason: EMPTY_FILE },
    Exception { case: "a value is lost", form: Form::Values, instead_of: "MV603 W", says: "", reason: EMPTY_FILE },
];

#[test]
fn one_verdict_in_six_forms() {
    let mut wrong = String::new();
    for case in CASES {
        let (before, after) = (state(case.before), state(case.after));
        let verdicts = SIX_FORMS.map(|form| {
            let (mut verdict, changed) = form.judge(&before, &after);
            assert_eq!(changed, 1, "{}: {form:?}", case.name);
            verdict.retain(|id, _| ("MV2".."MV7").contains(&id.as_str()));
            (form, verdict)
        });
        let [(_, flux), ..] = &verdicts;
        for (form, verdict) in &verdicts {
            let said: BTreeSet<String> = words(&shown(verdict));
            let wanted = with_exceptions(words(&shown(flux)), case, *form);
            if said != wanted {
                let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| one.difference(other).cloned().collect::<Vec<_>>().join(", ");
                writeln!(wrong, "{}: {form:?} says [{}] where Flux says [{}]", case.name, only(&said, &wanted), only(&wanted, &said)).unwrap();
            }
        }
        let told: Verdict =
            flux.iter().filter(|(id, severity)| **severity > Severity::Info || case.expected.contains(id.as_str())).map(|(id, s)| (id.clone(), *s)).collect();
        if shown(&told) != case.expected {
            writeln!(wrong, "{}: [{}] instead of [{}]", case.name, shown(&told), case.expected).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(CASES.len() >= 40);
    assert!(EXCEPTIONS.iter().all(|exception| !exception.reason.is_empty() && CASES.iter().any(|case| case.name == exception.case)));
}

/// `MV205 E, MV506 W` as a set.
fn words(shown: &str) -> BTreeSet<String> {
    shown.split(", ").filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
}

/// What a form must say where Flux says this.
fn with_exceptions(mut verdict: BTreeSet<String>, case: &Case, form: Form) -> BTreeSet<String> {
    for exception in EXCEPTIONS.iter().filter(|exception| exception.case == case.name && exception.form == form) {
        for word in words(exception.instead_of) {
            assert!(verdict.remove(&word), "{}: Flux says {verdict:?}", case.name);
        }
        verdict.extend(words(exception.says));
    }
    verdict
}
