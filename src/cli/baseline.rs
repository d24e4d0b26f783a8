//! Which findings were there before the change: the state before is judged alone, and compared by rule, release, value path and the text that is pointed at.

use std::collections::BTreeMap;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::{Change, ChangeKind, Environment};
use milvus_guard::model::declaration::{Declaration, Identity, NotChecked};
use milvus_guard::model::finding::{Baseline, Finding};
use milvus_guard::model::place::Place;
use milvus_guard::policy::{self, Policies};
use milvus_guard::report::Sources;

use super::gaps;

/// Marks the findings of a change as new, or as there before. Rules that compare both states speak of the change itself: what they find is new. `before` is the state
/// in the base; absent for a release that the change adds.
pub(crate) fn mark(findings: &mut [Finding], before: Option<Declaration>, identity: &Identity, environment: &Environment, sources: &dyn Sources) {
    if findings.is_empty() {
        return;
    }
    let change = before.and_then(|before| Change::new(None, Some(before), ChangeKind::Present, environment.clone(), Catalogue::embedded()));
    // The file may have moved, or the form changed: what the release is called now identifies its findings.
    let change = change.map(|change| Change { identity: identity.clone(), ..change });
    let earlier = change.map(|change| policy::check(&change, Policies::embedded())).unwrap_or_default();
    let mut by_fingerprint: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in &earlier {
        by_fingerprint.entry(&finding.fingerprint).or_default().push(finding);
    }
    for finding in findings {
        let was_there = by_fingerprint.get(finding.fingerprint.as_str()).is_some_and(|all| all.iter().any(|earlier| is_untouched(earlier, finding, sources)));
        finding.baseline = Some(if was_there { Baseline::PreExisting } else { Baseline::New });
    }
}

/// As [`mark`], for what could not be checked and belongs to no release.
pub(crate) fn mark_gaps(findings: &mut [Finding], before: &[NotChecked]) {
    let earlier = gaps::findings(before);
    for finding in findings {
        let was_there = earlier.iter().any(|earlier| earlier.fingerprint == finding.fingerprint);
        finding.baseline = Some(if was_there { Baseline::PreExisting } else { Baseline::New });
    }
}

/// Whether a finding is no worse than before, and the text that it points at is the same.
fn is_untouched(earlier: &Finding, now: &Finding, sources: &dyn Sources) -> bool {
    let place = |finding: &Finding| finding.locations.first().map(|label| label.place.clone());
    let text = |place: Option<Place>, text: &dyn Fn(&str) -> Option<std::sync::Arc<str>>| {
        let place = place?;
        excerpt(&text(&place.file)?, &place)
    };
    // Of a rule that puts all hits into one finding, the first place alone does not tell what is there.
    let is_list = Policies::embedded().rule(&now.rule).is_some_and(|rule| rule.one_finding);
    let before = text(place(earlier), &|file| sources.text_before(file));
    let after = text(place(now), &|file| sources.text(file));
    let is_same = if !is_list && before.is_some() && after.is_some() { before == after } else { earlier.message == now.message };
    earlier.severity >= now.severity && is_same
}

/// The text of a place.
fn excerpt(text: &str, place: &Place) -> Option<String> {
    let (first, last) = (place.start.line as usize, place.end.line.max(place.start.line) as usize);
    let lines: Vec<&str> = text.lines().skip(first.checked_sub(1)?).take(last - first + 1).collect();
    let end = place.end.column.saturating_sub(1) as usize;
    let start = place.start.column.saturating_sub(1) as usize;
    let shown = lines.iter().enumerate().map(|(index, line)| {
        let line: Vec<char> = line.chars().collect();
        let from = if index == 0 { start } else { 0 };
        let to = if index + 1 == lines.len() { end.max(from) } else { line.len() };
        line.get(from.min(line.len())..to.min(line.len())).unwrap_or_default().iter().collect::<String>()
    });
    Some(shown.collect::<Vec<_>>().join("\n"))
}
