//! The one function: a change in, findings out.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::model::change::Change;
use crate::model::declaration::NotChecked;
use crate::model::finding::{EvidenceNote, Finding, Fix, ReleaseSummary};
use crate::model::release::{ChartResolution, Release};
use crate::policy::Policies;
use crate::policy::condition::Condition;
use crate::policy::evaluate::Context;
use crate::policy::facts::{self, Facts};
use crate::policy::find::gaps::resolved;
use crate::policy::format::{Find, Rule};
use crate::policy::judge::{Draft, judge};
use crate::policy::load::Bundle;
use crate::policy::place;
use crate::policy::precedence::settle;
use crate::policy::render::{self, Words};

/// Judges a change by all rules.
#[must_use]
pub fn check(change: &Change, policies: &Policies) -> Vec<Finding> {
    check_with(change, policies.bundle(), policies.bundle().rules.iter())
}

/// What these rules say of a change, beside all others. What stays silent beside them is not among their evidence notes.
#[must_use]
pub fn check_by(change: &Change, policies: &Policies, wanted: &BTreeSet<&str>) -> Vec<Finding> {
    let mut asked = wanted.clone();
    let mut open: Vec<&str> = wanted.iter().copied().collect();
    while let Some(id) = open.pop() {
        let yields_to = policies.rules().iter().filter(|rule| rule.id == id).flat_map(|rule| &rule.yields_to);
        open.extend(yields_to.map(String::as_str).filter(|id| asked.insert(id)));
    }
    let rules = policies.rules().iter().filter(|rule| asked.contains(rule.id.as_str()));
    let mut found = check_with(change, policies.bundle(), rules);
    found.retain(|finding| wanted.contains(&*finding.rule));
    found
}

/// What could not be judged, of which the declarations themselves do not tell: it shows when both states are resolved. MV902 tells of it, too.
#[must_use]
pub fn not_checked(change: &Change) -> Vec<NotChecked> {
    resolved(&Facts::new(change))
}

/// Judges a change by some rules; precedence counts among them.
pub(super) fn check_with<'a>(change: &'a Change, bundle: &'a Bundle, rules: impl Iterator<Item = &'a Rule>) -> Vec<Finding> {
    let context = Context { facts: Facts::new(change), hit: None, gates: &bundle.gates };
    let mut drafts = Vec::new();
    for rule in rules {
        judge(rule, &context, bundle, &mut drafts);
    }
    if drafts.is_empty() {
        return Vec::new();
    }
    let facts = context.facts;
    let say = |draft: &Draft<'_>| {
        let list: Vec<String> = draft.hit.iter().map(|hit| hit.listed.clone()).collect();
        Words { gates: &bundle.gates, facts: &facts, hit: draft.hit.as_ref(), list: &list }.render(&draft.outcome.message)
    };
    let drafts = settle(drafts, say);
    merged(drafts).into_iter().map(|(draft, list)| finding(&draft, &list, &context)).collect()
}

/// Drafts of rules that ask for one finding are put together; the worst one speaks for all.
fn merged(drafts: Vec<Draft<'_>>) -> Vec<(Draft<'_>, Vec<String>)> {
    let mut all: Vec<(Draft<'_>, Vec<String>)> = Vec::new();
    for draft in drafts {
        let listed = draft.hit.as_ref().map(|hit| hit.listed.clone());
        let together = if draft.rule.one_finding { all.iter_mut().find(|(other, _)| other.rule.id == draft.rule.id) } else { None };
        match together {
            Some((worst, list)) => {
                list.extend(listed);
                if draft.severity > worst.severity {
                    *worst = draft;
                }
            }
            None => all.push((draft, listed.into_iter().collect())),
        }
    }
    all
}

fn finding(draft: &Draft<'_>, list: &[String], context: &Context<'_>) -> Finding {
    let facts = &context.facts;
    let (rule, outcome, hit) = (draft.rule, draft.outcome, draft.hit.as_ref());
    let words = Words { gates: context.gates, facts, hit, list };
    let at = if outcome.at.is_empty() { &rule.at } else { &outcome.at };
    let mut evidence = draft.notes.clone();
    if draft.lowered || rests_on_chart(rule) {
        for release in [facts.before, facts.after].into_iter().flatten() {
            for (text, origin) in render::assumptions(release) {
                if !evidence.iter().any(|note| note.text == text) {
                    evidence.push(EvidenceNote { text, place: origin.and_then(|origin| origin.place().cloned()) });
                }
            }
        }
    }
    let fixes = rule.fix.iter().filter_map(|fix| {
        let place = place::resolve(&fix.replace, facts, hit)?.place;
        Some(Fix { title: words.render(&fix.title), safe: fix.safe, place, replacement: words.render(&fix.with) })
    });
    let key = if rule.one_finding { None } else { hit.map(|hit| hit.key.as_str()) };
    Finding {
        rule: rule.id.as_str().into(),
        name: rule.name.as_str().into(),
        severity: draft.severity,
        message: words.render(&outcome.message),
        release: summary(facts.after.or(facts.before), facts),
        before: outcome.before.as_ref().and_then(|text| words.render_known(text)),
        after: outcome.after.as_ref().and_then(|text| words.render_known(text)),
        locations: place::places(at, &rule.also, facts, hit),
        remedy: words.render(outcome.remedy.as_ref().unwrap_or(&rule.remedy)),
        evidence,
        fixes: fixes.collect(),
        waived: false,
        baseline: None,
        fingerprint: fingerprint(rule, facts, key),
    }
}

/// Whether what a rule says depends on the chart's version or values, so that what was assumed about them belongs to it.
fn rests_on_chart(rule: &Rule) -> bool {
    let by_find = match rule.find {
        Find::Release | Find::DeadValues | Find::UserValues(_) | Find::Flags(_) | Find::MisplacedValues | Find::Gaps(_) => false,
        Find::RemovedValues
        | Find::ChangedValues(_)
        | Find::Components(_)
        | Find::BadVersions
        | Find::DroppedValues
        | Find::DefaultFlips(_)
        | Find::CopiedDefaults(_)
        | Find::WrongTypes
        | Find::DependencyImages(_) => true,
    };
    by_find || rule.when.iter().chain(rule.outcomes.iter().flat_map(|outcome| &outcome.when)).any(Condition::rests_on_chart)
}

fn summary(release: Option<&Release>, facts: &Facts<'_>) -> ReleaseSummary {
    let identity = &facts.change.identity;
    let declaration = release.map(|release| &release.declaration);
    ReleaseSummary {
        form: identity.form,
        path: declaration.map_or_else(|| "".into(), |declaration| declaration.path.clone()),
        namespace: identity.namespace.clone(),
        name: identity.name.clone(),
        chart: release.filter(|release| !matches!(release.chart, ChartResolution::Unknown(_))).map(render::chart),
        milvus: release.filter(|release| facts::milvus_known(&release.milvus)).map(render::milvus),
        applier: declaration.map_or(crate::model::words::Applier::Unknown, |declaration| declaration.applier),
    }
}

/// Identifies a finding by rule, release and what it is about; lines and files do not count.
fn fingerprint(rule: &Rule, facts: &Facts<'_>, key: Option<&str>) -> String {
    let identity = &facts.change.identity;
    let mut hash = Sha256::new();
    let form = serde_json::to_string(&identity.form).unwrap_or_default();
    let namespace = identity.namespace.as_deref().unwrap_or("");
    let name = identity.name.as_deref().unwrap_or("");
    let release_wide = if rule.find == Find::Release { "" } else { key.unwrap_or("") };
    for part in [rule.id.as_str(), &form, &identity.scope, namespace, name, release_wide] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize().iter().take(12).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    format!("{digest:024x}")
}
