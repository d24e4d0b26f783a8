//! Runs the cases of rules, and the mutation test: a condition that can be negated without any case noticing is not tested.

use rayon::prelude::*;

use super::case::Case;
use super::condition::Condition;
use super::fixture;
use crate::model::change::Change;
use crate::model::finding::{Finding, Severity};
use crate::policy::check::check_with;
use crate::policy::{Policies, Rule};

/// What the test of one rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// The rule's id.
    pub rule: String,
    /// Its name.
    pub name: String,
    /// How many cases it has.
    pub cases: usize,
    /// How many of them find something.
    pub firing: usize,
    /// How many conditions were negated.
    pub mutations: usize,
    /// Cases that fail, each with what the rule said.
    pub failures: Vec<String>,
    /// Conditions that were negated without any case failing.
    pub survivors: Vec<String>,
}

impl Tested {
    /// Whether all cases pass and no mutation survives.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.survivors.is_empty()
    }
}

/// Tests the rules whose id or name is `only` (all without it). The rules must come with their cases: from [`Policies::with_pages`] or [`Policies::load`], not [`Policies::embedded`].
#[must_use]
pub fn selftest(policies: &Policies, only: Option<&str>) -> Vec<Tested> {
    let wanted = |rule: &&Rule| only.is_none_or(|only| rule.id.eq_ignore_ascii_case(only) || rule.name == only);
    let rules: Vec<&Rule> = policies.rules().iter().filter(wanted).collect();
    rules.into_par_iter().map(|rule| test(rule, policies)).collect()
}

fn test(rule: &Rule, policies: &Policies) -> Tested {
    let mut tested = Tested {
        rule: rule.id.clone(),
        name: rule.name.clone(),
        cases: rule.tests.len(),
        firing: rule.tests.iter().filter(|case| case.expect.severity().is_some()).count(),
        mutations: 0,
        failures: Vec::new(),
        survivors: Vec::new(),
    };
    let mut built: Vec<(&Case, Change)> = Vec::new();
    for case in &rule.tests {
        match fixture::change(case) {
            Ok(change) => built.push((case, change)),
            Err(problem) => tested.failures.push(format!("{}: {problem}", case.name)),
        }
    }
    for (case, change) in &built {
        if let Err(problem) = run(case, change, rule, policies) {
            tested.failures.push(format!("{}: {problem}", case.name));
        }
    }
    if tested.failures.is_empty() {
        for (what, mutant) in mutants(rule) {
            tested.mutations += 1;
            if built.iter().all(|(case, change)| run(case, change, &mutant, policies).is_ok()) {
                tested.survivors.push(what);
            }
        }
    }
    tested
}

/// Runs one case with a rule (or a mutant of it).
fn run(case: &Case, change: &Change, rule: &Rule, policies: &Policies) -> Result<(), String> {
    let findings: Vec<Finding> = if case.among_all {
        let others = policies.rules().iter().filter(|other| other.id != rule.id);
        check_with(change, policies.bundle(), others.chain([rule])).into_iter().filter(|finding| *finding.rule == *rule.id).collect()
    } else {
        check_with(change, policies.bundle(), std::iter::once(rule))
    };
    let said = || match findings.as_slice() {
        [] => "it was silent".to_owned(),
        all => all.iter().map(spoken).collect::<Vec<_>>().join("\n      and "),
    };
    let must = |holds: bool, what: String| if holds { Ok(()) } else { Err(format!("expected {what}, but {}", said())) };
    let worst: Option<Severity> = findings.iter().map(|finding| finding.severity).max();
    must(worst == case.expect.severity(), format!("{:?}", case.expect).to_lowercase())?;
    if let Some(number) = case.findings {
        must(findings.len() == number, format!("{number} findings"))?;
    }
    for text in &case.message_has {
        must(findings.iter().any(|finding| finding.message.contains(text.as_str())), format!("`{text}` in the message"))?;
    }
    for text in &case.remedy_has {
        let remedies: Vec<&str> = findings.iter().map(|finding| finding.remedy.as_str()).collect();
        must(remedies.iter().any(|remedy| remedy.contains(text.as_str())), format!("`{text}` in the remedy {remedies:?}"))?;
    }
    if let Some(at) = &case.at {
        let wanted = if at.starts_with("before:") { at.clone() } else { format!("after:{at}") };
        must(findings.iter().any(|finding| finding.locations.first().is_some_and(|label| *label.place.file == *wanted)), format!("a finding at `{wanted}`"))?;
    }
    Ok(())
}

fn spoken(finding: &Finding) -> String {
    let at = finding.locations.first().map_or("nowhere", |label| &*label.place.file);
    format!("it said {} at `{at}`: {}", format!("{:?}", finding.severity).to_lowercase(), finding.message)
}

/// The rule with each of its conditions negated, one at a time, and what was negated.
fn mutants(rule: &Rule) -> Vec<(String, Rule)> {
    let mut all = Vec::new();
    loop {
        let mut mutant = rule.clone();
        let mut left = all.len();
        let mut what = negate_in(&mut mutant.when, &mut left).map(|what| format!("when: {what}"));
        for (index, outcome) in mutant.outcomes.iter_mut().enumerate() {
            if what.is_none() {
                what = negate_in(&mut outcome.when, &mut left).map(|what| format!("outcome {}: {what}", index + 1));
            }
        }
        match what {
            Some(what) => all.push((what, mutant)),
            None => return all,
        }
    }
}

/// Negates the condition number `left` (leaves only, depth first) and says which it was.
fn negate_in(conditions: &mut [Condition], left: &mut usize) -> Option<String> {
    conditions.iter_mut().find_map(|condition| negate(condition, left))
}

fn negate(condition: &mut Condition, left: &mut usize) -> Option<String> {
    match condition {
        Condition::Any(inner) | Condition::All(inner) => negate_in(inner, left),
        Condition::Not(inner) => negate(inner, left),
        Condition::Several(several) => negate_in(&mut several.of, left),
        leaf => {
            if *left > 0 {
                *left -= 1;
                return None;
            }
            let what = serde_json::to_string(leaf).unwrap_or_default();
            *leaf = Condition::Not(Box::new(leaf.clone()));
            Some(what)
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "reads the rule files when it runs, so that authors need no build after an edit")]
pub(super) mod tests {
    use std::path::Path;

    use super::*;

    /// The policies of this repository as they lie in the folder now, with cases and pages.
    pub(in crate::policy) fn from_folder() -> Policies {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let mut files = Vec::new();
        for folder in ["", "rules/"] {
            let mut names: Vec<String> = std::fs::read_dir(root.join(folder))
                .unwrap()
                .map(Result::unwrap)
                .filter(|entry| entry.file_type().unwrap().is_file())
                .map(|entry| format!("{folder}{}", entry.file_name().to_string_lossy()))
                .collect();
            names.sort();
            files.extend(names.into_iter().map(|name| (std::fs::read_to_string(root.join(&name)).unwrap(), name)));
        }
        Policies::load(files.iter().map(|(text, name)| (name.as_str(), text.as_str()))).unwrap_or_else(|errors| {
            let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
            panic!("\n{}\n", list.join("\n"))
        })
    }

    #[test]
    fn rules_pass_their_cases_and_every_condition_is_tested() {
        let only = std::env::var("RULE").ok();
        let tested = selftest(&from_folder(), only.as_deref());
        assert!(!tested.is_empty(), "no rule {only:?}");
        let mut problems = Vec::new();
        for rule in &tested {
            println!("{} {}: {} cases, {} firing, {} mutations", rule.rule, rule.name, rule.cases, rule.firing, rule.mutations);
            problems.extend(rule.failures.iter().map(|failure| format!("{} case fails: {failure}", rule.rule)));
            problems.extend(rule.survivors.iter().map(|survivor| format!("{} no case notices when this is negated: {survivor}", rule.rule)));
        }
        assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
    }
}
