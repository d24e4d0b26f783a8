//! A plan for people, as plain text.

use std::io;

use super::clean;
use super::wrap::hang;
use crate::model::finding::Gap;
use crate::model::plan::{Absence, Action, ActionKind, Downtime, Hop, Plan, Timeline};

/// What it means that parts could not be read.
pub(super) const NOT_READ: &str = "steps that depend on these parts are missing here";
/// Columns from which the text of a hop begins.
const INDENT: &str = "     ";
/// Columns from which the text of what a hop is begins.
const HEAD: &str = "              ";

/// Writes a plan, prose in lines of at most `width` characters; commands and diffs are never broken. Give it a buffered writer.
///
/// # Errors
/// When the writer fails.
pub fn write(out: &mut dyn io::Write, plan: &Plan, width: usize) -> io::Result<()> {
    let (from, to) = (clean::line(&plan.from), clean::line(&plan.to));
    if let Some(refusal) = &plan.refused {
        writeln!(out, "no safe path from Milvus {from} to {to} [{}]", clean::line(&refusal.rule))?;
        writeln!(out, "{}", prose(&refusal.reason, width, "  ", "  "))?;
        return write_not_read(out, plan, width);
    }
    if plan.hops.is_empty() {
        writeln!(out, "nothing to do from Milvus {from} to {to}")?;
        return write_not_read(out, plan, width);
    }
    writeln!(out, "Milvus {from} to {to} in {}", hops(plan.hops.len()))?;
    write_not_read(out, plan, width)?;
    for (number, hop) in (1..).zip(&plan.hops) {
        writeln!(out)?;
        write_hop(out, number, hop, width)?;
    }
    Ok(())
}

fn write_not_read(out: &mut dyn io::Write, plan: &Plan, width: usize) -> io::Result<()> {
    if plan.not_checked.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nnot read: {NOT_READ}")?;
    for gap in &plan.not_checked {
        writeln!(out, "{}", prose(&gap_line(gap), width, "  - ", "    "))?;
    }
    Ok(())
}

/// What could not be read, and where it is named.
pub(super) fn gap_line(gap: &Gap) -> String {
    let place = gap.place.as_ref().map_or_else(|| gap.file.to_string(), |place| format!("{}:{}", place.file, place.start.line));
    format!("{} ({place})", gap.reason.trim_end())
}

fn write_hop(out: &mut dyn io::Write, number: usize, hop: &Hop, width: usize) -> io::Result<()> {
    writeln!(out, "{number}. {}", clean::line(&title(hop)))?;
    let mut head = |name: &str, text: &str| writeln!(out, "{}", prose(text, width, &format!("   {name:<11}"), HEAD));
    head("why:", &hop.reason)?;
    head("downtime:", &format!("{}. {}", downtime(hop.downtime), hop.interruption))?;
    head("backup:", if hop.backup { "needed before" } else { "not needed for this hop" })?;
    head("way back:", &format!("{}{}", if hop.one_way_door { "one-way door. " } else { "" }, hop.rollback))?;
    for action in &hop.actions {
        writeln!(out)?;
        write_action(out, action, width)?;
    }
    if let Some(timeline) = &hop.timeline {
        writeln!(out)?;
        write_timeline(out, timeline, hop.one_way_door, width)?;
    }
    if !hop.sources.is_empty() {
        writeln!(out)?;
        for source in &hop.sources {
            writeln!(out, "   source: {}", clean::line(source))?;
        }
    }
    Ok(())
}

fn write_action(out: &mut dyn io::Write, action: &Action, width: usize) -> io::Result<()> {
    writeln!(out, "{}", prose(&action.text, width, &format!("   - {}: ", action_name(action.kind)), INDENT))?;
    if let Some(diff) = &action.diff {
        writeln!(out, "\n{}\n", clean::block(diff.trim_end()))?;
    } else {
        for (path, value) in &action.values {
            match value {
                serde_json::Value::Null => writeln!(out, "{INDENT}unset {}", clean::line(path))?,
                value => writeln!(out, "{INDENT}set {}: {}", clean::line(path), clean::line(&value.to_string()))?,
            }
        }
    }
    if let Some(command) = &action.command {
        writeln!(out, "{}", indented(command, "       ").replacen("       ", "     $ ", 1))?;
    }
    Ok(())
}

fn write_timeline(out: &mut dyn io::Write, timeline: &Timeline, is_door: bool, width: usize) -> io::Result<()> {
    writeln!(out, "{}", prose(&title_of_timeline(timeline), width, "   - ", INDENT))?;
    if let Some(disputed) = &timeline.disputed {
        writeln!(out, "{}", prose(&format!("Disputed: {disputed}"), width, INDENT, INDENT))?;
    }
    for event in &timeline.events {
        let mark = if event.one_way { format!(" <- from here on {}", no_way_back(is_door)) } else { String::new() };
        writeln!(out, "{}", prose(&format!("{}{mark}", event.text), width, &format!("{INDENT}{:>7}  ", clock(event.seconds)), "              "))?;
    }
    if !timeline.events.is_empty() {
        writeln!(out, "{}", prose(&format!("Away meanwhile: {}.", away(timeline)), width, INDENT, INDENT))?;
    }
    for assumed in &timeline.assumed {
        writeln!(out, "{}", prose(&format!("Not drawn: {assumed}."), width, INDENT, INDENT))?;
    }
    if let Some(why) = &timeline.not_drawn {
        writeln!(out, "{}", prose(why, width, INDENT, INDENT))?;
    }
    Ok(())
}

/// What a step closes: behind a door nothing leads back; elsewhere a rollback by hand may, which nobody tests.
pub(super) fn no_way_back(is_door: bool) -> &'static str {
    if is_door { "there is no way back" } else { "milvus-guard takes nothing back by itself" }
}

/// What a timeline is, as a sentence.
pub(super) fn title_of_timeline(timeline: &Timeline) -> String {
    let order = timeline.order.as_ref().map_or_else(String::new, |order| format!(" (order: {order})"));
    format!(
        "timeline{order}: as milvus-guard carries the hop out where nothing goes wrong; without it all components are replaced at once, in no order, whatever tool applies \
         the chart. The sequence is what counts; minutes and seconds are assumed."
    )
}

/// Seconds as `1:02:05` or `2:05`.
pub(super) fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// What is away in a timeline, and when; what is away at the same times is told together.
pub(super) fn away(timeline: &Timeline) -> String {
    let mut spans: Vec<(Vec<&str>, &Absence)> = Vec::new();
    for absence in &timeline.away {
        let is_same = |span: &&mut (Vec<&str>, &Absence)| (span.1.from_seconds, span.1.until_seconds) == (absence.from_seconds, absence.until_seconds);
        match spans.iter_mut().find(is_same) {
            Some((names, _)) => names.push(&absence.what),
            None => spans.push((vec![&absence.what], absence)),
        }
    }
    if spans.is_empty() {
        return "nothing (single requests may fail)".to_owned();
    }
    let told = spans.iter().map(|(names, span)| format!("{} from {} to {}", names.join(", "), clock(span.from_seconds), clock(span.until_seconds)));
    told.collect::<Vec<_>>().join("; ")
}

/// Prose in lines, harmless on a terminal.
fn prose(text: &str, width: usize, first: &str, indent: &str) -> String {
    hang(&clean::block(text.trim_end()), width, first, indent)
}

/// Each line of a text behind an indent.
fn indented(text: &str, indent: &str) -> String {
    clean::block(text.trim_end()).lines().map(|line| format!("{indent}{line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn hops(count: usize) -> String {
    format!("{count} {}", if count == 1 { "hop" } else { "hops" })
}

/// `Milvus 2.2.16 on chart 4.0.34 with image tag v2.2.16`.
pub(super) fn title(hop: &Hop) -> String {
    match &hop.image_tag {
        Some(tag) => format!("Milvus {} on chart {} with image tag {tag}", hop.milvus, hop.chart),
        None => format!("Milvus {} on chart {}", hop.milvus, hop.chart),
    }
}

/// A downtime class in words.
pub(super) fn downtime(class: Downtime) -> &'static str {
    match class {
        Downtime::None => "none expected",
        Downtime::Partial => "seconds to minutes for parts of the service",
        Downtime::Restart => "restart of everything",
        Downtime::Migration => "stopped for a migration",
    }
}

/// A kind of step in words.
pub(super) fn action_name(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Backup => "back up",
        ActionKind::Check => "check",
        ActionKind::Prepare => "prepare",
        ActionKind::Acknowledge => "answer for",
        ActionKind::Migrate => "migrate",
        ActionKind::Uninstall => "uninstall",
        ActionKind::HelmUpgrade => "upgrade",
        ActionKind::HelmInstall => "install",
        ActionKind::Verify => "verify",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;

    fn written(plan: &Plan) -> String {
        let mut out = Vec::new();
        write(&mut out, plan, 100).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_hop_tells_why_how_and_what_if() {
        insta::assert_snapshot!(written(&fixtures::plan()), @r#"
        Milvus 2.1.4 to 2.2.16 in 1 hop

        1. Milvus 2.2.16 on chart 4.0.34 with image tag v2.2.16
           why:       2.2 reads metadata of its own layout only
           downtime:  stopped for a migration. Milvus is stopped.
           backup:    needed before
           way back:  one-way door. Restore the backup.

           - back up: Back up etcd. Then note it:
             `guard.milvus-guard.dev/ack: MV210 <where the backup lies>`.

           - upgrade: upgrade the release
             set image.all.tag: "v2.2.16"
             $ helm upgrade vectors zilliztech/milvus \
                 --version 4.0.34 --reset-then-reuse-values

           source: https://example.com/migrate
        "#);
    }

    #[test]
    fn a_timeline_tells_what_runs_when_and_where_the_way_back_ends() {
        let mut plan = fixtures::plan();
        plan.hops[0].timeline = Some(fixtures::timeline());
        let written = written(&plan);
        let from = written.find("   - timeline").unwrap();
        let expected = [
            "   - timeline (order: from 2.5 into 2.6): as milvus-guard carries the hop out where nothing goes",
            "     wrong; without it all components are replaced at once, in no order, whatever tool applies the",
            "     chart. The sequence is what counts; minutes and seconds are assumed.",
            "     Disputed: Others begin elsewhere.",
            "        0:00  start streamingnode (1 pod)",
            "        1:05  replace mixcoord (1 pod) <- from here on there is no way back",
            "     Away meanwhile: root coordinator from 1:10 to 1:50.",
            "",
            "   source: https://example.com/migrate",
        ];
        assert_eq!(written[from..].lines().collect::<Vec<_>>(), expected);
        let empty = Timeline {
            events: Vec::new(),
            away: Vec::new(),
            order: None,
            disputed: None,
            assumed: Vec::new(),
            not_drawn: Some("The values leave it open.".into()),
            seconds: 0,
        };
        assert_eq!(away(&empty), "nothing (single requests may fail)");
    }

    #[test]
    fn a_refusal_tells_why() {
        insta::assert_snapshot!(written(&fixtures::refused()), @r#"
        no safe path from Milvus 2.6.15 to 2.5.0 [MV203]
          2.6 cannot be walked back; restore a backup
        "#);
    }

    #[test]
    fn what_could_not_be_read_stands_before_the_hops() {
        let plan = Plan { not_checked: fixtures::report().not_checked, hops: Vec::new(), ..fixtures::plan() };
        insta::assert_snapshot!(written(&plan), @"
        nothing to do from Milvus 2.1.4 to 2.2.16

        not read: steps that depend on these parts are missing here
          - the file is not UTF-8 text (b.yaml)
          - values come from Secret `vectors`, which is not in the tree (apps/vectors.yaml:8)
        ");
    }

    #[test]
    fn an_empty_plan_says_so() {
        let plan = Plan { hops: Vec::new(), ..fixtures::plan() };
        assert_eq!(written(&plan), "nothing to do from Milvus 2.1.4 to 2.2.16\n");
    }
}
