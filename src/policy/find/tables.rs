//! Find kinds that read a table: removed values, bad versions.

use super::Hit;
use super::paths::each_match;
use crate::model::value::Value;
use crate::model::words::Severity;
use crate::policy::answer::Answer;
use crate::policy::evaluate::Context;
use crate::policy::facts::{self, Facts};
use crate::policy::load::Bundle;
use crate::policy::tables::BadKind;

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

/// Rows that the version after falls under. A part of an interval that is bad says nothing about the version that will run.
pub(crate) fn bad_versions(context: &Context<'_>, bundle: &Bundle) -> Vec<Hit> {
    let Some(after) = context.facts.after else { return Vec::new() };
    let mut hits = Vec::new();
    for row in &bundle.bad_versions {
        if !after.milvus.within(&row.at_least.0, Some(&row.below.0)).is_yes() || context.all(&row.when) != Answer::Yes {
            continue;
        }
        let hit = Hit::new(&*row.name)
            .with("bad", &*row.name)
            .with("text", &*row.text)
            .with("better", &*row.better)
            .with("row_severity", severity_word(row.severity))
            .with("kind", kind_word(row.kind));
        let certain = if after.milvus_assumes.is_some() { Answer::Partly } else { Answer::Yes };
        hits.push(Hit { certain, ..hit });
    }
    hits
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

fn kind_word(kind: BadKind) -> &'static str {
    match kind {
        BadKind::Defect => "defect",
        BadKind::Vulnerability => "vulnerability",
        BadKind::EndOfLife => "end-of-life",
        BadKind::BetterTarget => "better-target",
    }
}
