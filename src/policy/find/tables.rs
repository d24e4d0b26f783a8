//! Find kind `removed_values`: user values that the chart line read once.

use super::Hit;
use super::paths::each_match;
use crate::model::truth::Truth;
use crate::model::value::Value;
use crate::model::words::Severity;
use crate::policy::answer::Answer;
use crate::policy::facts::{self, Facts};
use crate::policy::load::Bundle;
use crate::policy::tables::RemovedValue;

/// User values that the chart line read once and the chart after does not.
pub(crate) fn removed_values(facts: &Facts<'_>, bundle: &Bundle) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    let mut hits: Vec<Hit> = Vec::new();
    for row in &bundle.removed_values {
        let mut truth = after.chart.at_least(&row.at.0);
        if let Some(until) = &row.until {
            truth = truth.and(after.chart.below(&until.0));
        }
        let certain = Answer::of_version(truth, facts::chart_known(&after.chart));
        if certain == Answer::No {
            continue;
        }
        each_match(&after.user, &row.path, &mut |path, entry| {
            if entry.node.value == Value::Null || hits.iter().any(|hit| hit.key == path) {
                return;
            }
            let was_read = was_read(row, facts);
            let effect = if was_read == Truth::No { "The chart before did not read it either." } else { &*row.effect };
            let place = entry.key.place().or_else(|| entry.node.origin.place());
            let hit = Hit::at_path(path)
                .with("row", &*row.path.text)
                .with("removed_at", row.at.0.to_string())
                .with("advice", advice(row, path, was_read))
                .with("effect", effect)
                .with("row_severity", severity_word(row.severity))
                .with("switched_off", if entry.node.value == Value::Bool(false) { "yes" } else { "no" })
                .placed(place);
            hits.push(Hit { certain, ..hit });
        });
    }
    hits
}

/// Whether the chart before read a value that is gone; `Maybe` where that chart is not known.
fn was_read(row: &RemovedValue, facts: &Facts<'_>) -> Truth {
    let Some(before) = facts.before.filter(|before| facts::chart_known(&before.chart)) else { return Truth::Maybe };
    let until = row.until.as_ref().map_or(Truth::No, |until| before.chart.at_least(&until.0));
    before.chart.below(&row.at.0).or(until)
}

/// What to do with a value that is gone. One that was not read before either is not to come back by itself: the release has run without it, and what it says (a root path) would
/// move what is there.
fn advice(row: &RemovedValue, path: &str, was_read: Truth) -> String {
    let Some(replacement) = &row.replacement else { return format!("Remove `{path}`: nothing takes its place.") };
    match was_read {
        Truth::Yes => format!("Use {replacement} instead, and remove `{path}`."),
        Truth::No => format!(
            "Remove `{path}`: it was without effect before this change, too. Do not move its value to {replacement} without a look at what runs: that would be a change of its own."
        ),
        Truth::Maybe => format!(
            "Where the release comes from a chart below {}, use {replacement} instead, and remove `{path}`. Where it does not, `{path}` has been without effect: remove it, and do not move its value there without a look at what runs.",
            row.at.0
        ),
    }
}

/// The word for a severity.
pub(super) fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}
