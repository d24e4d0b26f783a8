//! Reads the files of a policies folder and checks them: used by the build script for ours, at run time for a user's own and in tests.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::case::Expect;
use super::condition::{Condition, ValueIs, ValuePath};
use super::format::{At, Find, Rule};
use super::tables::{BadVersion, Gate, Planning, RemovedValue};
use super::text::{Template, is_secret};

/// All that is needed to judge changes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Bundle {
    /// The rules, by id.
    pub rules: Vec<Rule>,
    /// `removed-values.yaml`.
    pub removed_values: Vec<RemovedValue>,
    /// `bad-versions.yaml`.
    pub bad_versions: Vec<BadVersion>,
    /// `gates.yaml`.
    pub gates: Vec<Gate>,
    /// `planning.yaml`.
    pub planning: Planning,
}

/// What is wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadError {
    /// The file, relative to the policies folder.
    pub file: String,
    /// What, and what to do.
    pub problem: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policies/{}: {}", self.file, self.problem)
    }
}

/// Files and folders of `policies/` that are no rules and are read elsewhere.
const ELSEWHERE: &[&str] = &["README.md", "rollout-orders.yaml", "catalogue/", "schema/"];

/// Reads one rule file.
///
/// # Errors
/// With line and column, when it has not the form of one.
pub fn read_rule(text: &str) -> Result<Rule, String> {
    read(text)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_yaml::with::singleton_map_recursive::deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| error.to_string())
}

/// Reads and checks all files: paths relative to the policies folder, and texts.
///
/// # Errors
/// All that is wrong, sorted by file.
pub fn load<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Bundle, Vec<LoadError>> {
    let mut bundle = Bundle::default();
    let mut errors = Vec::new();
    let mut read_files: Vec<(&str, Rule)> = Vec::new();
    for (path, text) in files {
        let result = match path {
            "removed-values.yaml" => read(text).map(|rows| bundle.removed_values = rows),
            "bad-versions.yaml" => read(text).map(|rows| bundle.bad_versions = rows),
            "gates.yaml" => read(text).map(|rows| bundle.gates = rows),
            "planning.yaml" => read(text).map(|tables| bundle.planning = tables),
            _ if path.strip_prefix("rules/").is_some_and(|name| name.ends_with(".yaml") && !name.contains('/')) => {
                read_rule(text).map(|rule| read_files.push((path, rule)))
            }
            _ if ELSEWHERE.iter().any(|known| path == *known || (known.ends_with('/') && path.starts_with(known))) => Ok(()),
            _ => Err("a stray file: rules are `rules/<id>-<name>.yaml`".to_owned()),
        };
        if let Err(problem) = result {
            errors.push(LoadError { file: path.to_owned(), problem });
        }
    }
    let gates: Vec<String> = bundle.gates.iter().map(|gate| gate.id.clone()).collect();
    let mut ids: BTreeMap<String, &str> = BTreeMap::new();
    for (path, rule) in &read_files {
        let mut problems = problems_of(rule, &gates);
        if *path != format!("rules/{}-{}.yaml", rule.id, rule.name) {
            problems.push(format!("the file must be called `{}-{}.yaml`", rule.id, rule.name));
        }
        if let Some(other) = ids.insert(rule.id.clone(), path) {
            problems.push(format!("id {} is taken by {other}", rule.id));
        }
        errors.extend(problems.into_iter().map(|problem| LoadError { file: (*path).to_owned(), problem }));
    }
    for row in &bundle.bad_versions {
        let mut problems = Vec::new();
        if row.sources.is_empty() {
            problems.push(format!("{}: no source", row.name));
        }
        for condition in &row.when {
            check_condition(condition, &Find::Release, &gates, &mut problems);
        }
        errors.extend(problems.into_iter().map(|problem| LoadError { file: "bad-versions.yaml".to_owned(), problem }));
    }
    if !errors.is_empty() {
        errors.sort();
        return Err(errors);
    }
    bundle.rules = read_files.into_iter().map(|(_, rule)| rule).collect();
    bundle.rules.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(bundle)
}

fn is_id(text: &str) -> bool {
    text.strip_prefix("MV").is_some_and(|digits| digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn problems_of(rule: &Rule, gates: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut must = |holds: bool, problem: &str| {
        if !holds {
            problems.push(problem.to_owned());
        }
    };
    must(is_id(&rule.id), "`id` must be MV and three digits");
    must(!rule.name.is_empty() && rule.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "`name` must be in kebab-case");
    must(rule.summary.0.trim_end().ends_with('.'), "`summary` must be a sentence that ends with a period");
    must(rule.why.trim_end().ends_with('.'), "`why` must be a text that ends with a period");
    must(rule.remedy.0.trim_end().len() > 10, "`remedy` is missing");
    must(!rule.sources.is_empty(), "`sources` is missing: a URL or issue for each claim, or `derived: ...`, `judgment: ...`");
    must(!rule.outcomes.is_empty(), "`outcomes` is missing");
    must(rule.outcomes.iter().map(|outcome| outcome.severity).max() == Some(rule.severity), "`severity` must be the worst of the outcomes");
    must(!rule.yields_to.contains(&rule.id) && rule.yields_to.iter().all(|id| is_id(id)), "`yields_to` must list ids of other rules");
    let firing = rule.tests.iter().filter(|case| case.expect != Expect::Silent).count();
    must(firing >= 2, "`tests` needs at least two cases that find something");
    must(rule.tests.len() - firing >= 2, "`tests` needs at least two silent cases, a near miss among them");
    must(rule.tests.iter().all(|case| case.before.is_some() || case.after.is_some()), "a case needs `before` or `after`");
    for source in &rule.sources {
        let known = ["https://", "derived: ", "judgment: ", "rendered: ", "measured: "].iter().any(|start| source.starts_with(start));
        must(
            known || is_issue(source),
            &format!("source `{source}` is neither a URL, `owner/repository#number`, nor begins with `derived: `, `judgment: `, `rendered: ` or `measured: `"),
        );
    }
    for condition in rule.when.iter().chain(rule.outcomes.iter().flat_map(|outcome| &outcome.when)) {
        check_condition(condition, &rule.find, gates, &mut problems);
    }
    let variables = rule.find.variables();
    let texts: Vec<&Template> = [&rule.remedy, &rule.summary]
        .into_iter()
        .chain(rule.outcomes.iter().flat_map(|o| [Some(&o.message), o.before.as_ref(), o.after.as_ref(), o.remedy.as_ref()].into_iter().flatten()))
        .chain(rule.fix.iter().flat_map(|fix| [&fix.title, &fix.with]))
        .collect();
    for text in texts {
        if let Err(problem) = text.check(variables) {
            problems.push(problem);
        }
    }
    let mut places: Vec<&At> = rule.at.iter().chain(&rule.also).chain(rule.outcomes.iter().flat_map(|outcome| &outcome.at)).collect();
    places.extend(rule.fix.iter().map(|fix| &fix.replace));
    if places.contains(&&At::Hit) && rule.find == Find::Release {
        problems.push("place `hit` needs a `find` other than `release`".to_owned());
    }
    let printed: &[ValuePath] = match &rule.find {
        Find::UserValues(find) => &find.paths,
        Find::ChangedValues(find) => &find.paths,
        _ => &[],
    };
    if let Some(path) = printed.iter().find(|path| is_secret(&path.text)) {
        problems.push(format!("`{}` would print a secret", path.text));
    }
    problems
}

/// `owner/repository#123`
fn is_issue(text: &str) -> bool {
    text.split_once('#')
        .is_some_and(|(repository, number)| repository.split('/').count() == 2 && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn check_condition(condition: &Condition, find: &Find, gates: &[String], problems: &mut Vec<String>) {
    match condition {
        Condition::Any(inner) | Condition::All(inner) => {
            if inner.is_empty() {
                problems.push("an empty `any` or `all`".to_owned());
            }
            for condition in inner {
                check_condition(condition, find, gates, problems);
            }
        }
        Condition::Not(inner) => check_condition(inner, find, gates, problems),
        Condition::Several(several) => {
            for condition in &several.of {
                check_condition(condition, find, gates, problems);
            }
        }
        Condition::CrossesGate(id) if !gates.contains(id) => problems.push(format!("no gate `{id}` in gates.yaml; known: {}", gates.join(", "))),
        Condition::Crosses(crosses) if crosses.milvus.is_some() == crosses.chart.is_some() => {
            problems.push("`crosses` takes exactly one of `milvus` and `chart`".to_owned())
        }
        Condition::Hit(hit) if !find.variables().iter().any(|(name, _)| *name == hit.name) => {
            let known: Vec<&str> = find.variables().iter().map(|(name, _)| *name).collect();
            problems.push(format!("a hit of this `find` has no variable `{}`; known: {}", hit.name, known.join(", ")));
        }
        Condition::Value(value) if !has_test(value) => problems.push(format!("`value` of `{}` tests nothing", value.path.text)),
        _ => {}
    }
}

fn has_test(value: &ValueIs) -> bool {
    value.exists.is_some()
        || value.truthy.is_some()
        || value.is.is_some()
        || !value.one_of.is_empty()
        || value.at_least.is_some()
        || value.below.is_some()
        || !value.starts_with.is_empty()
        || !value.contains.is_empty()
        || value.text_below.is_some()
        || value.set_by.is_some()
        || !value.types.is_empty()
}
