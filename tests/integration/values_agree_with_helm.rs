//! The library and real Helm compute the same values, for Helm 3 and Helm 4 each, on thousands of made-up cases.

use std::time::Instant;

use milvus_guard::model::helm::HelmMajor;

use crate::controlplane;
use crate::helm_case::{Case, Chart, RealHelm, disagreement};
use crate::helm_generator::{Dice, case};

const HELMS: [HelmMajor; 2] = [HelmMajor::Three, HelmMajor::Four];

/// Cases; more with `HELM_CASES=100000`, others with `HELM_SEED=2`.
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn every_made_up_case_gives_the_same_values() {
    let Some(programs) = controlplane::programs("values_agree_with_helm") else { return };
    let begin = Instant::now();
    let mut real = RealHelm::start(programs);
    let mut dice = Dice::new(setting("HELM_SEED", 1));
    let (mut differing, mut refused) = (Vec::new(), [0, 0]);
    let cases = setting("HELM_CASES", 6_000);
    for number in 0..cases {
        let case = case(&mut dice);
        let outcomes = real.ask(&case);
        for (i, helm) in HELMS.into_iter().enumerate() {
            refused[i] += usize::from(outcomes[i].is_err());
            if let Some(how) = disagreement(&outcomes[i], &case.run_library(helm)) {
                differing.push((number, i, how, case.clone()));
            }
        }
    }
    for (number, i, how, case) in differing.iter().take(5) {
        // The same way of differing: a smaller case that fails for another reason explains nothing.
        let side = |how: &str| match how.split_once(" (") {
            Some(("we refuse it", error)) => error.rsplit(": ").next().map(str::to_owned),
            other => other.map(|(side, _)| side.to_owned()).filter(|side| side.ends_with("refuses it")),
        };
        let small =
            shrink(case.clone(), &mut |case| disagreement(&real.ask(case)[*i], &case.run_library(HELMS[*i])).is_some_and(|now| side(&now) == side(how)));
        let small_how = disagreement(&real.ask(&small)[*i], &small.run_library(HELMS[*i]));
        controlplane::say(&format!("\ncase {number}, {:?}: {how}\n  as small as it gets: {small_how:?}\n{}", HELMS[*i], describe(&small)));
    }
    controlplane::say(&format!(
        "{cases} cases, {} differ; Helm 3 refuses {}, Helm 4 {}; {:.1} s",
        differing.len(),
        refused[0],
        refused[1],
        begin.elapsed().as_secs_f64()
    ));
    assert!(differing.is_empty(), "{} of {cases} cases differ", differing.len());
    assert!(refused.iter().all(|refused| *refused * 3 < usize::try_from(cases).unwrap()), "too many cases are refused to say much");
}

/// What people's editors leave behind, and what parsers of YAML take in different ways. Not among them is what is told as not read although Helm takes it (a byte
/// order mark that begins a key or a value, a tab alone on a line within quotes), nor spaces alone on the last line of a `|+`.
const UNUSUAL: [&str; 42] = [
    "a: 1\n\t\nb: 2\n",
    "a:\n  b: 1\n\t\n  c: 2\n",
    "a: 1\n\t",
    "a: 1\n\t# x\nb: 2\n",
    "a: |\n  x\n\t\n  y\nb: 1\n",
    "a: |\n  x\n  \t\n  y\n",
    "a: {\n\t\nb: 1}\n",
    "a: 1\t\nb: 2\n",
    "a: 1\n---\nb: 1\n\t\n",
    "a: x\u{feff}y\n",
    "a: \"x\u{feff}y\"\n",
    "# x\u{feff}\na: 1\n",
    "a\u{feff}b: 1\n",
    "a: |\n  x\u{feff}y\n",
    "a: x\u{feff}\n",
    "\u{feff}a: 1\n",
    "{}: 1\n",
    "{ }: 1\nb: 2\n",
    "[]: 1\n",
    "a: 1\n{}: 1\n",
    "{a: 1}: 1\n",
    "--- {a: 1}\n",
    "--- {a: 1}\n---\nb: 2\n",
    "a: 1\n--- {b: 1}\n",
    "--- # c\na: 1\n",
    "---a: 1\n",
    "a: 1\n---\t\nb: 2\n",
    "a: |\n  x",
    "a: |+\n  x",
    "a: |-\n  x",
    "a: >\n  x\n  y",
    "a: |\n  x\n ",
    "a: |\n  x\n  ",
    "a: |\n  x ",
    "a:\n- |\n  x",
    "a:\n  b: |\n    x\n# c",
    "a: |\n  x\n---\nb: 1",
    "a: |2\n   x",
    "a: |\r\n  x\r\n  y",
    "a: -0.0\n",
    "a: -0\n",
    "a: -.0\n",
];

#[test]
fn unusual_yaml_is_read_as_helm_reads_it() {
    let Some(programs) = controlplane::programs("unusual_yaml") else { return };
    let mut real = RealHelm::start(programs);
    let mut differing = Vec::new();
    for text in UNUSUAL {
        let chart = Chart { name: "c".into(), ..Chart::default() };
        let case = Case { chart, files: vec![text.to_owned()], ..Case::default() };
        let outcomes = real.ask(&case);
        for (i, helm) in HELMS.into_iter().enumerate() {
            let ours = case.run_library(helm);
            differing.extend(disagreement(&outcomes[i], &ours).map(|how| format!("{text:?} {helm:?}: {how}; Helm {:?}, ours {ours:?}", outcomes[i])));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn the_program_that_stands_for_helm_agrees_with_the_helm_binaries() {
    let Some(programs) = controlplane::programs("the_program_that_stands_for_helm") else { return };
    let mut real = RealHelm::start(programs);
    let mut dice = Dice::new(setting("HELM_SEED", 1) + 1_000_000);
    for number in 0..50 {
        let case = case(&mut dice);
        let outcomes = real.ask(&case);
        for (outcome, name) in outcomes.iter().zip(["helm3", "helm4"]) {
            let folder = tempfile::tempdir().unwrap();
            let binary = case.run_binary(&programs.join(name), folder.path());
            match (outcome, &binary) {
                (Ok(program), Ok(binary)) => assert_eq!(program, binary, "case {number}, {name}\n{}", describe(&case)),
                (Err(_), Err(_)) => {}
                _ => panic!("case {number}, {name}: program {outcome:?}, binary {binary:?}\n{}", describe(&case)),
            }
        }
    }
}

/// Takes away whatever is not needed for `fails`.
fn shrink(mut case: Case, fails: &mut dyn FnMut(&Case) -> bool) -> Case {
    loop {
        let before = describe(&case).len();
        for smaller in candidates(&case) {
            if describe(&smaller).len() < describe(&case).len() && fails(&smaller) {
                case = smaller;
                break;
            }
        }
        if describe(&case).len() == before {
            return case;
        }
    }
}

/// The case with one thing less, each.
fn candidates(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    for i in 0..case.files.len() {
        let mut smaller = case.clone();
        smaller.files.remove(i);
        found.push(smaller);
    }
    for i in 0..case.sets.len() {
        let mut smaller = case.clone();
        smaller.sets.remove(i);
        found.push(smaller);
    }
    for i in 0..case.chart.dependencies.len() {
        let mut smaller = case.clone();
        let gone = smaller.chart.dependencies.remove(i);
        if !smaller.chart.dependencies.iter().any(|listed| listed.name == gone.name) {
            smaller.chart.bundled.retain(|chart| chart.name != gone.name);
        }
        found.push(smaller);
    }
    for i in 0..case.chart.bundled.len() {
        if !case.chart.bundled[i].dependencies.is_empty() {
            let mut smaller = case.clone();
            smaller.chart.bundled[i].dependencies.clear();
            smaller.chart.bundled[i].bundled.clear();
            found.push(smaller);
        }
        for text in without_a_line(&case.chart.bundled[i].values) {
            let mut smaller = case.clone();
            smaller.chart.bundled[i].values = text;
            found.push(smaller);
        }
    }
    for text in without_a_line(&case.chart.values) {
        let mut smaller = case.clone();
        smaller.chart.values = text;
        found.push(smaller);
    }
    for i in 0..case.files.len() {
        for text in without_a_line(&case.files[i]) {
            let mut smaller = case.clone();
            smaller.files[i] = text;
            found.push(smaller);
        }
    }
    found
}

fn without_a_line(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let halves = [lines.len() / 2, lines.len()];
    let mut found: Vec<String> = halves.iter().filter(|n| **n > 1).map(|n| lines[lines.len() - n..].concat()).filter(|half| half.len() < text.len()).collect();
    found.extend((0..lines.len()).map(|i| [&lines[..i], &lines[i + 1..]].concat().concat()));
    found
}

fn describe(case: &Case) -> String {
    let mut text = String::new();
    describe_chart(&case.chart, "chart", &mut text);
    for file in &case.files {
        text.push_str(&format!("-- -f\n{file}"));
    }
    for (kind, argument) in &case.sets {
        text.push_str(&format!("-- {kind:?} {argument:?}\n"));
    }
    text
}

fn describe_chart(chart: &crate::helm_case::Chart, path: &str, text: &mut String) {
    for listed in &chart.dependencies {
        text.push_str(&format!("-- {path} lists {} alias {:?} condition {:?} tags {:?}\n", listed.name, listed.alias, listed.condition, listed.tags));
    }
    text.push_str(&format!("-- {path}/values.yaml\n{}", chart.values));
    for inner in &chart.bundled {
        describe_chart(inner, &format!("{path}/{}", inner.name), text);
    }
}
