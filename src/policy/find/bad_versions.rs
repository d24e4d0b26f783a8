//! Find kind `bad_versions`: rows that the version after falls under, and the version to take instead.

use super::tables::severity_word;
use super::{Hit, may_take};
use crate::model::version::MilvusVersion;
use crate::policy::answer::Answer;
use crate::policy::condition::Side;
use crate::policy::evaluate::Context;
use crate::policy::format::Rule;
use crate::policy::load::Bundle;
use crate::policy::tables::{BadKind, BadVersion};

/// Rows that the version after falls under and that a rule is about. A part of an interval that is bad says nothing about the version that will run.
pub(crate) fn bad_versions(rule: &Rule, context: &Context<'_>, bundle: &Bundle) -> Vec<Hit> {
    let Some(after) = context.facts.after else { return Vec::new() };
    let wanted = |row: &BadVersion| may_take(rule, "kind", kind_word(row.kind));
    let is_under = |row: &BadVersion| after.milvus.within(&row.at_least.0, Some(&row.below.0)).is_yes();
    if !bundle.bad_versions.iter().any(|row| is_under(row) && wanted(row)) {
        return Vec::new();
    }
    let holding: Vec<&BadVersion> = bundle.bad_versions.iter().filter(|row| context.all(&row.when) == Answer::Yes).collect();
    let mut rows: Vec<&BadVersion> = holding.iter().copied().filter(|row| is_under(row)).collect();
    let Some(version) = after.milvus.lowest().filter(|_| !rows.is_empty()) else { return Vec::new() };
    rows.sort_by_key(|row| (std::cmp::Reverse(row.severity), row.kind == BadKind::Vulnerability));
    let issues = issues(&rows);
    let from = context.facts.side(Side::Before).and_then(|before| before.milvus.lowest()).unwrap_or(version);
    let mut later: Vec<MilvusVersion> = holding.iter().map(|row| row.better.0).filter(|better| *better > version).collect();
    later.sort_unstable();
    let instead = Instead { context, rows: &holding, from, version, later: &later };
    let certain = if after.milvus_assumes.is_some() { Answer::Partly } else { Answer::Yes };
    let hit = |row: &&BadVersion| {
        let (better, advice) = if row.kind == BadKind::EndOfLife { (row.better.0.to_string(), String::new()) } else { instead.of(row) };
        let hit = Hit::new(&*row.name)
            .with("bad", &*row.name)
            .with("text", &*row.text)
            .with("issues", &*issues)
            .with("better", better)
            .with("advice", advice)
            .with("row_severity", severity_word(row.severity))
            .with("kind", kind_word(row.kind));
        Hit { certain, ..hit }
    };
    rows.iter().filter(|row| wanted(row)).map(hit).collect()
}

/// All that is the matter with a version, as one sentence.
fn issues(rows: &[&BadVersion]) -> String {
    let texts = rows.iter().filter(|row| row.kind != BadKind::EndOfLife).map(|row| row.text.trim_end_matches('.'));
    format!("{}.", texts.collect::<Vec<_>>().join("; also "))
}

/// Looks for the version to take instead of a bad one.
struct Instead<'a> {
    context: &'a Context<'a>,
    rows: &'a [&'a BadVersion],
    from: MilvusVersion,
    version: MilvusVersion,
    /// What the rows offer above it, lowest first.
    later: &'a [MilvusVersion],
}

impl Instead<'_> {
    /// The version and the advice: the first without any row if no further gate lies before it, else the first without what this row tells, else the way there.
    fn of(&self, row: &BadVersion) -> (String, String) {
        if self.from > self.version {
            return (self.from.to_string(), format!("stay on Milvus {}, or go up from there.", self.from));
        }
        let later = self.later;
        let clean = later.iter().find(|version| self.worst(version).is_none());
        let near = |version: &&MilvusVersion| self.is_near(version);
        if let Some(better) = later.iter().filter(near).find(|version| self.worst(version).is_none()) {
            return (better.to_string(), format!("use Milvus {better} or later instead."));
        }
        let without = later.iter().filter(near).find(|version| row.kind == BadKind::Defect && self.worst(version) != Some(BadKind::Defect));
        let way =
            |clean: &MilvusVersion| format!("`milvus-lint plan --from {} --to {clean}` shows the way to Milvus {clean}, which has nothing of this.", self.from);
        match (without, clean) {
            (Some(better), Some(clean)) => (better.to_string(), format!("use Milvus {better} or later instead; {}", way(clean))),
            (Some(better), None) => (better.to_string(), format!("use Milvus {better} or later instead.")),
            (None, Some(clean)) => (clean.to_string(), way(clean)),
            (None, None) => (row.better.0.to_string(), format!("use Milvus {} or later instead.", row.better.0)),
        }
    }

    /// The worst kind of what is the matter with a version.
    fn worst(&self, version: &MilvusVersion) -> Option<BadKind> {
        let under = self.rows.iter().filter(|row| row.kind != BadKind::EndOfLife && row.at_least.0 <= *version && *version < row.below.0);
        under.map(|row| row.kind).min_by_key(|kind| *kind != BadKind::Defect)
    }

    /// Whether no gate lies on the way to a version but those that this step passes anyhow.
    fn is_near(&self, version: &MilvusVersion) -> bool {
        let passes = |to: &MilvusVersion, gate: &crate::policy::tables::Gate| self.from < gate.from_below.0 && gate.to_at_least.is_reached_by(to);
        self.context.gates.iter().all(|gate| !passes(version, gate) || passes(&self.version, gate))
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
