//! One hop: which chart, which values, and what the rules say of it.

use std::sync::Arc;

use super::state::{self, State};
use super::values::{self, Moved, Set};
use super::{Request, StopAt, actions, planning, refusal};
use crate::model::catalogue::Catalogue;
use crate::model::change::{Change, Environment};
use crate::model::declaration::{Evidence, EvidenceKind};
use crate::model::finding::Finding;
use crate::model::plan::{Hop, Refusal, ToolChange};
use crate::model::release::Release;
use crate::model::value::Value;
use crate::model::version::{ChartVersion, MilvusVersion};
use crate::model::words::{ChangeKind, Mode, Severity};
use crate::policy::answer::Answer;
use crate::policy::condition::{Condition, Direction, ValueTree};
use crate::policy::evaluate::Context;
use crate::policy::facts::{self, Facts, Found};
use crate::policy::tables::{GateNeed, Keep, Move, Setting};
use crate::policy::{Policies, check};

/// Charts that are tried for one hop; the first without complaint is taken.
const CANDIDATES: usize = 16;

/// Why some values are set.
pub(super) struct Reason {
    /// Their paths.
    pub(super) paths: Vec<String>,
    /// Why, as a clause.
    pub(super) text: String,
    /// Where it is written.
    pub(super) sources: Vec<String>,
}

/// A hop that was tried.
pub(super) struct Tried {
    /// The chart.
    pub(super) chart: ChartVersion,
    /// What is set, by path.
    pub(super) set: Set,
    /// Why, for each group of values.
    pub(super) reasons: Vec<Reason>,
    /// Values that move, as sentences: what the hop does by itself, and what the user decides.
    pub(super) moves: Vec<String>,
    /// Settings of the applying tool that change.
    pub(super) tool: Vec<ToolChange>,
    /// The rules that want an acknowledgement.
    pub(super) acknowledged: Vec<Finding>,
    /// What the user mends by hand, or lives with.
    pub(super) by_hand: Vec<Finding>,
    /// Errors that no step mends.
    pub(super) left: Vec<Finding>,
    /// The change.
    pub(super) change: Change,
}

/// The hop to a stop, and the release after it.
///
/// # Errors
/// When every chart leaves an error that no step mends.
pub(super) fn hop(
    before: &State,
    stop: &StopAt,
    is_first: bool,
    request: &Request,
    policies: &Policies,
    catalogue: &Catalogue,
) -> Result<(Hop, State), Refusal> {
    let mut best: Option<Tried> = None;
    let mut first_complaint = None;
    for chart in candidates(before, stop, catalogue) {
        let tried = attempt(before, stop, &chart, request, policies, catalogue);
        if let Some(complaint) = tried.left.iter().max_by_key(|finding| finding.severity) {
            // The best guess tells why best; the others are tried for want of it.
            first_complaint.get_or_insert_with(|| refused(complaint, before, stop, &chart));
        } else if tried.by_hand.iter().all(|finding| before.told.knows(finding)) {
            best = Some(tried);
            break;
        } else if best.is_none() {
            best = Some(tried);
        }
    }
    let Some(mut tried) = best else {
        return Err(first_complaint.unwrap_or_else(|| Refusal {
            reason: format!("No chart is known that brings Milvus {} to {}.", before.milvus, stop.milvus),
            rule: "MV222".to_owned(),
        }));
    };
    tried.by_hand.retain(|finding| !before.told.steps.contains(&finding.fingerprint));
    let Some(after) = &tried.change.after else {
        return Err(Refusal { reason: format!("Milvus {} cannot be resolved.", stop.milvus), rule: "MV222".to_owned() });
    };
    let mut state = before.after(request, after, stop.milvus, tried.chart.clone(), catalogue);
    state.told.steps.extend(tried.by_hand.iter().map(|finding| finding.fingerprint.clone()));
    let hop = actions::hop(&tried, before, stop, is_first, request, policies);
    Ok((hop, state))
}

/// A refusal that names the hop.
fn refused(finding: &Finding, before: &State, stop: &StopAt, chart: &ChartVersion) -> Refusal {
    let told = refusal(finding);
    Refusal { reason: format!("The hop from Milvus {} to {} on chart {chart} cannot be made: {}", before.milvus, stop.milvus, told.reason), ..told }
}

/// Charts for a stop, the best guess first; never one below the chart that is installed.
fn candidates(before: &State, stop: &StopAt, catalogue: &Catalogue) -> Vec<ChartVersion> {
    let mut charts: Vec<ChartVersion> = Vec::new();
    if stop.needs.contains(&GateNeed::SameChart) {
        return vec![before.chart.clone()];
    }
    charts.extend(stop.chart.clone());
    charts.extend(catalogue.charts_of(stop.milvus).rev().map(|chart| chart.version.clone()));
    charts.extend(state::chart_for(stop.milvus, catalogue));
    let same_line = |milvus: MilvusVersion| milvus.line() == stop.milvus.line();
    charts.extend(catalogue.published().rev().filter(|chart| chart.milvus.is_some_and(same_line)).map(|chart| chart.version.clone()));
    charts.push(before.chart.clone());
    let mut seen = Vec::new();
    charts.retain(|chart| {
        *chart >= before.chart && !seen.contains(chart) && {
            seen.push(chart.clone());
            true
        }
    });
    charts.truncate(CANDIDATES);
    charts
}

fn attempt(before: &State, stop: &StopAt, chart: &ChartVersion, request: &Request, policies: &Policies, catalogue: &Catalogue) -> Tried {
    let mut set = Set::from([("image.all.tag".to_owned(), serde_json::Value::from(format!("v{}", stop.milvus)))]);
    let mut reasons = Vec::new();
    let mut tool = Vec::new();
    let mut change = |set: &Set, evidence: Vec<Evidence>| {
        let (mut after, changes) = state::proposed(request, before, chart, set, planning(policies));
        tool = changes;
        after.evidence = evidence;
        let environment = Environment::default();
        Change {
            identity: after.identity.clone(),
            kind: ChangeKind::Changed,
            after: Some(Release::resolve(Arc::new(after), Some(&before.release), &environment, catalogue)),
            before: Some((*before.release).clone()),
            environment,
        }
    };
    let mut current = change(&set, Vec::new());
    for setting in planning(policies).settings.iter().filter(|setting| applies(setting, stop)) {
        if holds(&setting.when, &current, policies) {
            let missing = |path: &str, value: &serde_json::Value| differs(current.after.as_ref(), path, value);
            let new: Vec<_> = setting.set.iter().filter(|(path, value)| missing(path, value)).map(|(path, value)| (path.clone(), value.clone())).collect();
            if !new.is_empty() {
                match reasons.iter_mut().find(|reason: &&mut Reason| reason.text == setting.reason) {
                    Some(reason) => reason.paths.extend(paths_of(&new)),
                    None => reasons.push(Reason { paths: paths_of(&new), text: setting.reason.clone(), sources: setting.sources.clone() }),
                }
                set.extend(new);
                current = change(&set, Vec::new());
            }
        }
    }
    for keep in &planning(policies).keep {
        if !kept(keep, &current, policies) {
            continue;
        }
        let moved: Vec<_> = keep.paths.iter().filter_map(|path| Some((path.text.clone(), moved_default(&current, path)?))).collect();
        if !moved.is_empty() {
            reasons.push(Reason { paths: paths_of(&moved), text: keep.reason.clone(), sources: keep.sources.clone() });
            set.extend(moved);
            current = change(&set, Vec::new());
        }
    }
    let mut moves = Vec::new();
    for row in &planning(policies).moves {
        if let Some(moved) = holds(&row.when, &current, policies).then(|| values::moved(row, &current)).flatten() {
            set.extend(moved.set.clone());
            moves.extend(in_words(row, &moved));
            current = change(&set, Vec::new());
        }
    }
    let mut evidence: Vec<Evidence> = Vec::new();
    // A script holds the call of the migration; a file that declares the release needs a word about it.
    if stop.needs.contains(&GateNeed::MetadataMigration) && request.declared.is_none() {
        let to = stop.milvus.to_string();
        evidence.push(Evidence { kind: EvidenceKind::MigrateCall { to: Some(to.as_str().into()) }, text: "the migration of this hop".into(), place: None });
    }
    let asked = |finding: &Finding| planning(policies).acknowledge.iter().any(|row| row.rule == *finding.rule && finding.severity <= row.up_to);
    let mut acknowledged: Vec<Finding> = Vec::new();
    // An answered finding no longer speaks for those that yielded to it, so each answer may bring up the next question.
    let (current, left) = loop {
        let current = change(&set, evidence.clone());
        let (new, left): (Vec<Finding>, Vec<Finding>) = check(&current, policies)
            .into_iter()
            .filter(|finding| finding.severity > Severity::Info)
            .partition(|finding| asked(finding) && !acknowledged.iter().any(|known| known.rule == finding.rule));
        if new.is_empty() {
            break (current, left);
        }
        evidence.extend(new.iter().map(|finding| Evidence {
            kind: EvidenceKind::Acknowledged { rule: finding.rule.clone(), reference: "plan".into() },
            text: format!("acknowledged {}", finding.rule).into(),
            place: None,
        }));
        acknowledged.extend(new);
    };
    let is_by_hand = |finding: &Finding| finding.severity < Severity::Error || planning(policies).by_hand.iter().any(|rule| *rule == *finding.rule);
    let (by_hand, left) = left.into_iter().partition(is_by_hand);
    Tried { chart: chart.clone(), set, reasons, moves, tool, acknowledged, by_hand, left, change: current }
}

fn paths_of(values: &[(String, serde_json::Value)]) -> Vec<String> {
    values.iter().map(|(path, _)| path.clone()).collect()
}

/// What moves, as sentences.
fn in_words(row: &Move, moved: &Moved) -> Vec<String> {
    let said = |sentence: &str, list: &[String]| (!list.is_empty()).then(|| sentence.replace("{list}", &list.join("; ")));
    [said(&row.reason, &moved.moves), said(&row.ask, &moved.asks)].into_iter().flatten().collect()
}

fn applies(setting: &Setting, stop: &StopAt) -> bool {
    setting.only.is_none_or(|need| stop.prepares.contains(&need)) && setting.unless.is_none_or(|need| !stop.prepares.contains(&need))
}

pub(super) fn holds(conditions: &[Condition], change: &Change, policies: &Policies) -> bool {
    let context = Context { facts: Facts::new(change), hit: None, gates: policies.gates() };
    matches!(context.all(conditions), Answer::Yes | Answer::Partly)
}

fn kept(keep: &Keep, change: &Change, policies: &Policies) -> bool {
    let moves = Condition::ChartChange(Direction::Up);
    let on = change.before.as_ref().is_some_and(|before| {
        let mode = keep.mode.is_none_or(|mode: Mode| before.mode == Some(mode));
        mode && matches!(facts::value(before, ValueTree::Effective, &keep.switch), Found::Entry(entry) if entry.node.value.truthy() == Some(true))
    });
    on && holds(std::slice::from_ref(&moves), change, policies) && holds(&keep.when, change, policies)
}

/// The value before, where the default moves away from it.
fn moved_default(change: &Change, path: &crate::policy::condition::ValuePath) -> Option<serde_json::Value> {
    let (before, after) = (change.before.as_ref()?, change.after.as_ref()?);
    let (Found::Entry(earlier), Found::Entry(later)) = (facts::value(before, ValueTree::Effective, path), facts::value(after, ValueTree::Effective, path))
    else {
        return None;
    };
    if facts::values_equal(&earlier.node.value, &later.node.value) != Some(false) {
        return None;
    }
    match &earlier.node.value {
        Value::String(text) => Some((&**text).into()),
        Value::Bool(value) => Some((*value).into()),
        Value::Int(value) => Some((*value).into()),
        _ => None,
    }
}

/// Whether the user's values do not say this yet.
fn differs(release: Option<&Release>, path: &str, value: &serde_json::Value) -> bool {
    let path = crate::policy::condition::ValuePath::from(path.to_owned());
    let Some(Found::Entry(entry)) = release.map(|release| facts::value(release, ValueTree::User, &path)) else { return true };
    match (&entry.node.value, value) {
        (Value::Bool(said), serde_json::Value::Bool(wanted)) => said != wanted,
        (Value::String(said), serde_json::Value::String(wanted)) => **said != **wanted,
        _ => true,
    }
}
