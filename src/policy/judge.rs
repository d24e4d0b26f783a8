//! Judges a change by one rule: the rule's own conditions, its hits, the first outcome that holds, and evidence for one-way doors.

use crate::model::declaration::{Evidence, EvidenceKind};
use crate::model::finding::EvidenceNote;
use crate::model::release::Release;
use crate::model::version::MilvusVersion;
use crate::model::words::Severity;
use crate::policy::answer::Answer;
use crate::policy::condition::{EvidenceWord, Side};
use crate::policy::evaluate::Context;
use crate::policy::find::{self, Hit};
use crate::policy::format::{Door, Find, Needs, Outcome, Rule, Scope};
use crate::policy::load::Bundle;

/// What a rule would say about one hit, before precedence.
#[derive(Debug, Clone)]
pub(crate) struct Draft<'a> {
    /// The rule.
    pub(crate) rule: &'a Rule,
    /// The outcome that holds.
    pub(crate) outcome: &'a Outcome,
    /// How bad it is, doubt and evidence counted in.
    pub(crate) severity: Severity,
    /// Doubt about versions made it milder.
    pub(crate) lowered: bool,
    /// Evidence opened the door.
    pub(crate) opened: bool,
    /// What it is about.
    pub(crate) hit: Option<Hit>,
    /// What supports it.
    pub(crate) notes: Vec<EvidenceNote>,
}

/// What a rule would say about a change.
pub(crate) fn judge<'a>(rule: &'a Rule, context: &Context<'a>, bundle: &'a Bundle, drafts: &mut Vec<Draft<'a>>) {
    if !applies(rule, context) {
        return;
    }
    let own = context.all(&rule.when);
    if own == Answer::No {
        return;
    }
    if rule.find == Find::Release {
        outcome(rule, context, own, None, drafts);
    } else {
        for hit in find::hits(rule, context, bundle) {
            let answer = own.and(hit.certain);
            outcome(rule, context, answer, Some(hit), drafts);
        }
    }
}

/// Whether what the rule needs is there, and the chart is one that it is about.
fn applies(rule: &Rule, context: &Context<'_>) -> bool {
    let (before, after) = (context.facts.before, context.facts.after);
    if after.is_none() || (rule.needs == Needs::Before && before.is_none()) {
        return false;
    }
    let zilliztech = |release: Option<&Release>| release.is_none_or(|release| release.declaration.chart.lineage.is_zilliztech());
    match rule.lineage {
        Scope::Any => true,
        // A rule that needs no before may still speak about a chart that replaces one of another lineage.
        Scope::Zilliztech => zilliztech(after) && (rule.needs == Needs::After || zilliztech(before)),
    }
}

fn outcome<'a>(rule: &'a Rule, context: &Context<'a>, own: Answer, hit: Option<Hit>, drafts: &mut Vec<Draft<'a>>) {
    let on_hit = Context { hit: hit.as_ref(), ..*context };
    let spoken = rule.outcomes.iter().find_map(|outcome| match own.and(on_hit.all(&outcome.when)) {
        Answer::Yes => Some((outcome, outcome.severity, false)),
        Answer::Partly => Some((outcome, outcome.severity.min(Severity::Warning), outcome.severity > Severity::Warning)),
        Answer::Unknown => outcome.when_unknown.map(|severity| (outcome, severity, false)),
        Answer::No => None,
    });
    let Some((outcome, severity, lowered)) = spoken else { return };
    let mut draft = Draft { rule, outcome, severity, lowered, opened: false, hit, notes: Vec::new() };
    if let Some(door) = &rule.door {
        open(door, context, &mut draft);
    }
    drafts.push(draft);
}

/// Evidence of the right kind and target makes a finding about a door informational.
fn open(door: &Door, context: &Context<'_>, draft: &mut Draft<'_>) {
    let Some(after) = context.facts.side(Side::After) else { return };
    for evidence in &after.declaration.evidence {
        match fits(door, evidence, after, &draft.rule.id) {
            Fit::Yes => (draft.severity, draft.opened) = (Severity::Info, true),
            Fit::TargetUnreadable if !draft.opened => draft.severity = draft.severity.min(Severity::Warning),
            Fit::TargetUnreadable | Fit::No => continue,
        }
        draft.notes.push(EvidenceNote { text: evidence.text.to_string(), place: evidence.place.clone() });
    }
}

enum Fit {
    Yes,
    /// The right kind, but where it leads cannot be read.
    TargetUnreadable,
    No,
}

fn fits(door: &Door, evidence: &Evidence, after: &Release, rule: &str) -> Fit {
    let takes = |word| door.evidence.contains(&word);
    let leads_here = |to: &str| match to.trim().parse::<MilvusVersion>() {
        Ok(version) if after.milvus.is(&version).is_yes() => Fit::Yes,
        Ok(_) => Fit::No,
        Err(_) => Fit::TargetUnreadable,
    };
    match &evidence.kind {
        EvidenceKind::GuardedUpgrade { to } if takes(EvidenceWord::GuardedUpgrade) => leads_here(to),
        // The migration makes metadata of a line; any version of that line takes it over.
        EvidenceKind::MigrateCall { to: Some(to) } if takes(EvidenceWord::MigrateCall) => match to.trim().parse::<MilvusVersion>() {
            Ok(version) if after.milvus.exact().is_some_and(|after| after.line() == version.line()) => Fit::Yes,
            Ok(_) => Fit::No,
            Err(_) => Fit::TargetUnreadable,
        },
        EvidenceKind::MigrateCall { to: None } if takes(EvidenceWord::MigrateCall) => Fit::TargetUnreadable,
        EvidenceKind::Acknowledged { rule: acknowledged, .. } if takes(EvidenceWord::Acknowledged) && **acknowledged == *rule => Fit::Yes,
        _ => Fit::No,
    }
}
