//! Which findings were there before the change: the state before is judged alone, and compared by rule, release, value path and the text that is pointed at.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use milvus_guard::document::lines::Lines;
use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::{Change, ChangeKind, Environment};
use milvus_guard::model::declaration::{Declaration, Identity, NotChecked};
use milvus_guard::model::finding::{Baseline, Finding};
use milvus_guard::model::place::Place;
use milvus_guard::policy::{self, Policies};
use milvus_guard::report::Sources;

use super::gaps;

/// The texts of both states by their lines, each looked through once.
pub(crate) struct Excerpts<'s> {
    sources: &'s (dyn Sources + Sync),
    read: Mutex<Read>,
}

/// The lines of each file in each state; nothing where there is no text.
type Read = HashMap<(Arc<str>, State), Option<Arc<Lines>>>;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Before,
    After,
}

impl<'s> Excerpts<'s> {
    pub(crate) fn new(sources: &'s (dyn Sources + Sync)) -> Self {
        Self { sources, read: Mutex::default() }
    }

    /// The text of a place.
    fn of(&self, place: &Place, state: State) -> Option<String> {
        excerpt(&*self.lines(&place.file, state)?, place)
    }

    fn lines(&self, file: &Arc<str>, state: State) -> Option<Arc<Lines>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let text = || if state == State::Before { self.sources.text_before(file) } else { self.sources.text(file) };
        read.entry((Arc::clone(file), state)).or_insert_with(|| text().map(|text| Arc::new(Lines::new(text)))).clone()
    }
}

/// Marks the findings of a change as new, or as there before. Rules that compare both states speak of the change itself: what they find is new. `before` is the state
/// in the base; absent for a release that the change adds.
pub(crate) fn mark(findings: &mut [Finding], before: Option<Declaration>, identity: &Identity, environment: &Environment, excerpts: &Excerpts<'_>) {
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
        let was_there = by_fingerprint.get(finding.fingerprint.as_str()).is_some_and(|all| all.iter().any(|earlier| is_untouched(earlier, finding, excerpts)));
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
fn is_untouched(earlier: &Finding, now: &Finding, excerpts: &Excerpts<'_>) -> bool {
    let text = |finding: &Finding, state| excerpts.of(&finding.locations.first()?.place, state);
    // Of a rule that puts all hits into one finding, the first place alone does not tell what is there.
    let is_list = Policies::embedded().rule(&now.rule).is_some_and(|rule| rule.one_finding);
    let (before, after) = (text(earlier, State::Before), text(now, State::After));
    let is_same = if !is_list && before.is_some() && after.is_some() { before == after } else { earlier.message == now.message };
    earlier.severity >= now.severity && is_same
}

/// The text of a place; as far as it goes, where the text ends before.
fn excerpt(text: &Lines, place: &Place) -> Option<String> {
    let (first, last) = (place.start.line, place.end.line.max(place.start.line));
    let lines: Vec<&str> = (first..=last).map_while(|number| text.line(number)).collect();
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use milvus_guard::model::place::Position;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Sources for Counted {
        fn text(&self, _file: &str) -> Option<Arc<str>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Some("a\nbcd\ne\n".into())
        }
    }

    #[test]
    fn a_text_is_looked_through_once_whatever_is_shown_of_it() {
        let counted = Counted::default();
        let excerpts = Excerpts::new(&counted);
        let shown = |start: (u32, u32), end: (u32, u32)| {
            let position = |(line, column)| Position { line, column };
            excerpts.of(&Place { file: "f".into(), start: position(start), end: position(end) }, State::After).unwrap()
        };
        assert_eq!([shown((2, 2), (2, 4)), shown((1, 1), (2, 2)), shown((9, 1), (9, 2))], ["cd", "a\nb", ""]);
        assert_eq!(counted.0.load(Ordering::Relaxed), 1);
        assert_eq!(excerpts.lines(&"f".into(), State::Before).map(|_| ()), None);
    }
}
