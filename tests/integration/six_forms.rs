//! One pull request, expressed in six forms, gives the same verdicts of MV2 to MV6: what a release is does not depend on how it is written down.

use std::fmt::Write as _;

use milvus_guard::model::finding::Severity;

use crate::forms::{Form, SIX_FORMS, State, Verdict, shown, values};

/// A change: chart and values (in short) before and after, and what must be found: all errors and warnings, and those infos that are named.
struct Case {
    name: &'static str,
    before: (&'static str, &'static str),
    after: (&'static str, &'static str),
    expected: &'static str,
}

const fn case(name: &'static str, before: (&'static str, &'static str), after: (&'static str, &'static str), expected: &'static str) -> Case {
    Case { name, before, after, expected }
}

/// Where a form rightly says something else: id, form, what it says instead (`-`: nothing), and why.
const EXCEPTIONS: &[(&str, Form, &str, &str)] = &[
    ("MV404", Form::ArgoCd, "-", "Argo CD renders as an install: the init Jobs of Pulsar run"),
    ("MV404", Form::Umbrella, "-", "nobody knows what applies an umbrella chart"),
    ("MV406", Form::ArgoCd, "E", "Argo CD cannot look up the live Deployment: the queue is switched for certain"),
];

const CASES: &[Case] = &[
    // Version path
    case("a patch within 2.6", ("5.0.17", ""), ("5.0.19", ""), ""),
    case("2.5.8 to 2.6.15", ("4.2.44", ""), ("5.0.19", ""), "MV205 E, MV506 W"),
];

#[test]
fn one_verdict_in_six_forms() {
    let mut wrong = String::new();
    for case in CASES {
        let state = |(chart, short): (&str, &str)| State { chart: chart.to_owned(), values: values(short) };
        let (before, after) = (state(case.before), state(case.after));
        let verdicts = SIX_FORMS.map(|form| {
            let (mut verdict, changed) = form.judge(&before, &after);
            assert_eq!(changed, 1, "{}: {form:?}", case.name);
            verdict.retain(|id, _| ("MV2".."MV7").contains(&id.as_str()));
            (form, verdict)
        });
        let [(_, flux), ..] = &verdicts;
        for (form, verdict) in &verdicts {
            let wanted = with_exceptions(flux, *form);
            if *verdict != wanted {
                writeln!(wrong, "{}: {form:?} says {}; Flux says {}", case.name, shown(verdict), shown(flux)).unwrap();
            }
        }
        let expected: Vec<&str> = case.expected.split(", ").filter(|word| !word.is_empty()).collect();
        let told: Verdict =
            flux.iter().filter(|(id, severity)| **severity > Severity::Info || case.expected.contains(id.as_str())).map(|(id, s)| (id.clone(), *s)).collect();
        if shown(&told) != expected.join(", ") {
            writeln!(wrong, "{}: {} instead of {}", case.name, shown(&told), case.expected).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// What a form must say where Flux says this.
fn with_exceptions(flux: &Verdict, form: Form) -> Verdict {
    let mut verdict = flux.clone();
    for (id, _, instead, _) in EXCEPTIONS.iter().filter(|(id, of, ..)| *of == form && flux.contains_key(*id)) {
        match *instead {
            "-" => verdict.remove(*id),
            "E" => verdict.insert((*id).to_owned(), Severity::Error),
            other => panic!("`{other}` is no severity"),
        };
    }
    verdict
}
