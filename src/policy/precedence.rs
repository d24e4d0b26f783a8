//! One cause, one finding: which drafts stay silent in favour of another.

use crate::model::finding::EvidenceNote;
use crate::model::words::Severity;
use crate::policy::format::Find;
use crate::policy::judge::Draft;

/// Takes the drafts out that yield to another one and makes them its evidence notes. `say` renders a draft's message.
pub(crate) fn settle<'a>(drafts: Vec<Draft<'a>>, say: impl Fn(&Draft<'a>) -> String) -> Vec<Draft<'a>> {
    let winners: Vec<Option<usize>> = drafts.iter().map(|draft| winner(draft, &drafts)).collect();
    let mut kept: Vec<Option<Draft<'a>>> = drafts.into_iter().map(Some).collect();
    for index in 0..kept.len() {
        let Some(mut to) = winners.get(index).copied().flatten() else { continue };
        // Up to the one that speaks. Every step goes to a rule that the one before yields to; the bound ends a circle in rule files.
        for _ in 0..winners.len() {
            match winners.get(to).copied().flatten() {
                Some(next) => to = next,
                None => break,
            }
        }
        if winners.get(to).copied().flatten().is_some() {
            continue;
        }
        let Some(silent) = kept.get_mut(index).and_then(Option::take) else { continue };
        // What is only good to know says nothing beside something worse, or the opposite of it.
        if silent.severity == Severity::Info && kept.get(to).and_then(Option::as_ref).is_some_and(|speaker| speaker.severity > Severity::Info) {
            continue;
        }
        // What is the matter with a version is all in the one message.
        let tells_all = |speaker: &Draft<'_>| speaker.rule.find == Find::BadVersions && silent.rule.find == Find::BadVersions;
        if kept.get(to).and_then(Option::as_ref).is_some_and(tells_all) {
            continue;
        }
        let note = EvidenceNote { text: format!("{} {}: {}", silent.rule.id, silent.rule.name, say(&silent)), place: None };
        if let Some(Some(speaker)) = kept.get_mut(to)
            && !speaker.notes.contains(&note)
        {
            speaker.notes.push(note);
        }
    }
    kept.into_iter().flatten().collect()
}

/// The draft that this one yields to: the first of its list that speaks for the same cause. One that evidence or doubt made mild takes no worse one with it.
fn winner(draft: &Draft<'_>, drafts: &[Draft<'_>]) -> Option<usize> {
    draft.rule.yields_to.iter().find_map(|id| {
        drafts.iter().position(|other| other.rule.id == *id && !other.opened && !(other.lowered && draft.severity > other.severity) && same_cause(draft, other))
    })
}

/// Whether two drafts are about the same paths; one that names none is about the whole release.
fn same_cause(a: &Draft<'_>, b: &Draft<'_>) -> bool {
    let (a, b) = (paths(a), paths(b));
    a.is_empty() || b.is_empty() || a.iter().any(|a| b.iter().any(|b| within(a, b) || within(b, a)))
}

fn paths<'d>(draft: &'d Draft<'_>) -> Vec<&'d str> {
    match draft.hit.as_ref().and_then(|hit| hit.path.as_deref()) {
        Some(path) => vec![path],
        None => draft.rule.covers.iter().map(String::as_str).collect(),
    }
}

fn within(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
