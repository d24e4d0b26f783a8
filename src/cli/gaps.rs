//! What could not be checked: each gap once, as an entry of the report and as a finding.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::{Change, ChangeKind, Environment};
use milvus_guard::model::declaration::{Declaration, Form, NotChecked, NotCheckedKind};
use milvus_guard::model::finding::{Finding, Gap};
use milvus_guard::model::place::Place;
use milvus_guard::policy::{self, Policies};
use milvus_guard::report;

/// Adds gaps of the state before, where the state after does not have them too, and tells them. Their lines are those of another text, so they keep the file only.
pub(crate) fn add_before(gaps: &mut Vec<NotChecked>, before: impl Iterator<Item = NotChecked>, added: &mut Vec<NotChecked>) {
    let known: BTreeSet<(Arc<str>, NotCheckedKind)> = gaps.iter().map(|gap| (Arc::clone(&gap.file), gap.kind)).collect();
    for gap in before.filter(|gap| !known.contains(&(Arc::clone(&gap.file), gap.kind))) {
        let gap = NotChecked { place: None, reason: format!("before the change: {}", gap.reason).into(), ..gap };
        added.push(gap.clone());
        gaps.push(gap);
    }
}

/// Each gap that concerns Milvus, once.
pub(crate) fn distinct(gaps: Vec<NotChecked>) -> Vec<NotChecked> {
    let mut seen: BTreeSet<(Arc<str>, Option<Place>, Arc<str>)> = BTreeSet::new();
    gaps.into_iter().filter(|gap| gap.mentions_milvus && seen.insert((Arc::clone(&gap.file), gap.place.clone(), Arc::clone(&gap.reason)))).collect()
}

/// Gaps as the report lists them.
pub(crate) fn entries(gaps: &[NotChecked]) -> Vec<Gap> {
    gaps.iter().map(|gap| Gap { file: Arc::clone(&gap.file), place: gap.place.clone(), reason: Arc::clone(&gap.reason), kind: gap.kind }).collect()
}

/// Whether a finding tells of something that was not checked.
pub(crate) fn is_about_a_gap(finding: &Finding) -> bool {
    [NotCheckedKind::NotRead, NotCheckedKind::PartlyChecked, NotCheckedKind::LimitsExceeded].iter().any(|kind| report::gap_rule(*kind) == &*finding.rule)
}

/// Findings for gaps that belong to no release, in the words of their rules: each file is judged as a release of which nothing is known but its gaps.
pub(crate) fn findings(gaps: &[NotChecked]) -> Vec<Finding> {
    let mut by_file: BTreeMap<&Arc<str>, Vec<NotChecked>> = BTreeMap::new();
    for gap in gaps {
        let place = gap.place.clone().unwrap_or_else(|| Place::file_start(&gap.file));
        by_file.entry(&gap.file).or_default().push(NotChecked { place: Some(place), ..gap.clone() });
    }
    let judge = |(file, gaps): (&Arc<str>, Vec<NotChecked>)| {
        let mut nothing_known = Declaration::blank(Form::Values, file, Place::file_start(file));
        nothing_known.gaps = gaps;
        let change = Change::new(None, Some(nothing_known), ChangeKind::Present, Environment::default(), Catalogue::embedded());
        change.map(|change| policy::check(&change, Policies::embedded())).unwrap_or_default()
    };
    by_file.into_iter().flat_map(judge).filter(is_about_a_gap).collect()
}

/// The message of a finding about a gap says all; its place needs no label of the same words.
pub(crate) fn clear_labels(findings: &mut [Finding]) {
    for label in findings.iter_mut().filter(|finding| is_about_a_gap(finding)).flat_map(|finding| &mut finding.locations) {
        label.text.clear();
    }
}
