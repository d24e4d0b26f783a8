//! `rules`: the list of rules, and their own tests.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value as Json, json};

use milvus_guard::policy::{Needs, Policies, Tested, selftest};

use super::args::{RulesCommand, TableFormat};
use super::explain::{severity, shown};
use super::{exit, output, table};

/// Runs a subcommand of `rules`.
///
/// # Errors
/// When a rule is not known, or standard output cannot be written.
pub(crate) fn run(command: &RulesCommand) -> anyhow::Result<ExitCode> {
    match command {
        RulesCommand::List { format } => {
            output::to_stdout(list(*format).as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        RulesCommand::Test { rules, format } => test(rules, *format),
    }
}

/// Runs the cases and mutations of some rules, or of all.
fn test(wanted: &[String], format: TableFormat) -> anyhow::Result<ExitCode> {
    let policies = Policies::with_pages();
    let mut tested: Vec<Tested> = Vec::new();
    if wanted.is_empty() {
        tested = selftest(&policies, None);
    }
    for rule in wanted {
        let of_rule = selftest(&policies, Some(rule));
        if of_rule.is_empty() {
            bail!("there is no rule `{rule}`; `milvus-lint rules list` prints all");
        }
        tested.extend(of_rule);
    }
    let text = match format {
        TableFormat::Json => format!("{:#}\n", tested.iter().map(wire).collect::<Json>()),
        TableFormat::Text => report(&tested),
    };
    output::to_stdout(text.as_bytes())?;
    let code = if tested.iter().all(Tested::passed) { ExitCode::SUCCESS } else { ExitCode::from(exit::FINDINGS) };
    Ok(code)
}

fn wire(tested: &Tested) -> Json {
    json!({
        "rule": tested.rule,
        "name": tested.name,
        "cases": tested.cases,
        "firing": tested.firing,
        "mutations": tested.mutations,
        "passed": tested.passed(),
        "failures": tested.failures,
        "survivors": tested.survivors,
    })
}

fn report(tested: &[Tested]) -> String {
    let mut rows = vec![["ID", "NAME", "CASES", "FIRING", "SILENT", "MUTATIONS", "RESULT"].map(str::to_owned)];
    for rule in tested {
        let silent = rule.cases.saturating_sub(rule.firing);
        let result = if rule.passed() { "ok" } else { "FAILED" };
        let numbers = [rule.cases, rule.firing, silent, rule.mutations].map(|number| number.to_string());
        let [cases, firing, silent, mutations] = numbers;
        rows.push([rule.rule.clone(), rule.name.clone(), cases, firing, silent, mutations, result.to_owned()]);
    }
    let mut out = table::aligned(&rows);
    for rule in tested {
        for failure in &rule.failures {
            let _ = writeln!(out, "{}: case failed: {failure}", rule.rule);
        }
        for survivor in &rule.survivors {
            let _ = writeln!(out, "{}: no case notices when this is negated: {survivor}", rule.rule);
        }
    }
    let sum = |count: fn(&Tested) -> usize| tested.iter().map(count).sum::<usize>();
    let failed = tested.iter().filter(|rule| !rule.passed()).count();
    let _ = writeln!(out, "{} rules, {} cases, {} mutations: {failed} failed", tested.len(), sum(|rule| rule.cases), sum(|rule| rule.mutations));
    out
}

fn list(format: TableFormat) -> String {
    let rules = Policies::embedded().rules();
    let needs = |needs: Needs| match needs {
        Needs::After => "after",
        Needs::Before => "before",
    };
    match format {
        TableFormat::Json => {
            let rules: Json = rules
                .iter()
                .map(|rule| json!({ "id": rule.id, "name": rule.name, "severity": severity(rule.severity), "needs": needs(rule.needs), "summary": shown(&rule.summary) }))
                .collect();
            format!("{rules:#}\n")
        }
        TableFormat::Text => {
            let mut rows = vec![["ID", "NAME", "SEVERITY", "NEEDS", "SUMMARY"].map(str::to_owned)];
            rows.extend(
                rules.iter().map(|rule| [rule.id.clone(), rule.name.clone(), severity(rule.severity).into(), needs(rule.needs).into(), shown(&rule.summary)]),
            );
            table::aligned(&rows)
        }
    }
}
