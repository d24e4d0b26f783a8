//! Find kind `removed_values`: user values that the chart line read once.

use super::Hit;
use super::paths::each_match;
use crate::model::value::Value;
use crate::model::words::Severity;
use crate::policy::answer::Answer;
use crate::policy::facts::{self, Facts};
use crate::policy::load::Bundle;

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
            let place = entry.key.place().or_else(|| entry.node.origin.place());
            let hit = Hit::at_path(path)
                .with("row", &*row.path.text)
                .with("removed_at", row.at.0.to_string())
                .with("replacement", row.replacement.as_deref().unwrap_or("nothing; it is gone"))
                .with("effect", &*row.effect)
                .with("row_severity", severity_word(row.severity))
                .with("switched_off", if entry.node.value == Value::Bool(false) { "yes" } else { "no" })
                .placed(place);
            hits.push(Hit { certain, ..hit });
        });
    }
    hits
}

/// The word for a severity.
pub(super) fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}
