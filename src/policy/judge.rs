//! Judges a change by one rule: the rule's own conditions, its hits, the first outcome that holds, and evidence for one-way doors.

use crate::model::declaration::{Evidence, EvidenceKind};
use crate::model::finding::EvidenceNote;
use crate::model::release::{ChartResolution, Release};
use crate::model::version::MilvusVersion;
use crate::model::words::Severity;
use crate::policy::answer::Answer;
use crate::policy::condition::{EvidenceWord, Side};
use crate::policy::evaluate::Context;
use crate::policy::find::{self, Hit};
use crate::policy::format::{Door, Find, Needs, Outcome, Rule, Scope};
use crate::policy::load::Bundle;
use crate::policy::render;

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
    if let Some(door) = rule.door.as_ref().filter(|_| !outcome.closed) {
        open(door, context, &mut draft);
    }
    drafts.push(draft);
}

/// Evidence of the right kind and target makes a finding about a door informational.
fn open(door: &Door, context: &Context<'_>, draft: &mut Draft<'_>) {
    let Some(after) = context.facts.side(Side::After) else { return };
    let mut of_earlier_changes = Vec::new();
    for evidence in &after.declaration.evidence {
        match fits(door, evidence, after, &draft.rule.id) {
            Fit::Yes if !answers(draft.rule, evidence, context) => {
                of_earlier_changes.push(earlier(evidence, after));
                continue;
            }
            Fit::Yes => (draft.severity, draft.opened) = (Severity::Info, true),
            Fit::TargetUnreadable if !draft.opened => draft.severity = draft.severity.min(Severity::Warning),
            Fit::TargetUnreadable | Fit::No => continue,
        }
        draft.notes.push(EvidenceNote { text: evidence.text.to_string(), place: evidence.place.clone() });
    }
    if !draft.opened {
        draft.notes.append(&mut of_earlier_changes);
    }
}

/// Whether evidence is about this change. A `GuardedUpgrade` and a migration name where they lead. An acknowledgement stays in the file when its change is done, and
/// must not open the next door: it answers for the change that brings it (new, or another reference), for the version that its reference names, and for what was
/// the same before the change (a version that is still the same bad one).
fn answers(rule: &Rule, evidence: &Evidence, context: &Context<'_>) -> bool {
    let (EvidenceKind::Acknowledged { reference, .. }, Some(before), Some(after)) = (&evidence.kind, context.facts.before, context.facts.after) else {
        return true;
    };
    let is_new = !before.declaration.evidence.iter().any(|earlier| earlier.kind == evidence.kind);
    let runs_the_same = before.milvus == after.milvus && before.chart == after.chart;
    is_new || if runs_the_same { rule.needs == Needs::After } else { versions(after).any(|version| names(reference, &version)) }
}

/// What a release leads to, as people write it.
fn versions(release: &Release) -> impl Iterator<Item = String> {
    let chart = matches!(release.chart, ChartResolution::Known(_)).then(|| render::chart(release));
    release.milvus.exact().map(|milvus| milvus.to_string()).into_iter().chain(chart)
}

/// Whether a text names this version, not a longer one.
fn names(text: &str, version: &str) -> bool {
    text.match_indices(version).any(|(at, _)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + version.len()..).unwrap_or_default());
        let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_alphanumeric());
        let is_start = !before.trim_end_matches('v').ends_with(|c: char| c.is_ascii_digit() || c == '.');
        is_start && !goes_on(after) && !after.strip_prefix(['.', '-', '+']).is_some_and(goes_on)
    })
}

fn earlier(evidence: &Evidence, after: &Release) -> EvidenceNote {
    let version = versions(after).next().map_or_else(String::new, |version| format!(", or name {version} in it"));
    let text = format!("{} (it was there before this change, so it does not answer for it: write the reference of this change{version})", evidence.text);
    EvidenceNote { text, place: evidence.place.clone() }
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
        EvidenceKind::GuardedUpgrade { to, .. } if takes(EvidenceWord::GuardedUpgrade) => leads_here(to),
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

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_reference_names_a_version_and_not_a_longer_one() {
        for text in ["2.6.15", "backup-7 for v2.6.15.", "backup-for-2.6.15", "(2.6.15)", "2.6.15, by Ann"] {
            assert!(names(text, "2.6.15"), "{text}");
        }
        for text in ["2.6.150", "12.6.15", "1.2.6.15", "2.6.15-rc1", "2.6.15.1", "2026-11-20", ""] {
            assert!(!names(text, "2.6.15"), "{text}");
        }
    }
}
