//! A plan as Markdown, to be put into a pull request or a runbook.

use std::io;

use super::{clean, plan_text};
use crate::model::plan::{Action, Hop, Plan, Timeline};

/// Writes a plan. Give it a buffered writer.
///
/// # Errors
/// When the writer fails.
pub fn write(out: &mut dyn io::Write, plan: &Plan) -> io::Result<()> {
    writeln!(out, "# Milvus {} to {}", inline(&plan.from), inline(&plan.to))?;
    if let Some(refusal) = &plan.refused {
        writeln!(out, "\n**No safe path** ({}): {}", inline(&refusal.rule), inline(&refusal.reason))?;
    } else if plan.hops.is_empty() {
        writeln!(out, "\nNothing to do.")?;
    }
    if !plan.not_checked.is_empty() {
        writeln!(out, "\n**Not read**: {}:\n", plan_text::NOT_READ)?;
        for gap in &plan.not_checked {
            writeln!(out, "- {}", inline(&plan_text::gap_line(gap)))?;
        }
    }
    for (number, hop) in (1..).zip(&plan.hops) {
        write_hop(out, number, hop)?;
    }
    Ok(())
}

fn write_hop(out: &mut dyn io::Write, number: usize, hop: &Hop) -> io::Result<()> {
    writeln!(out, "\n## {number}. {}\n\n{}\n", inline(&plan_text::title(hop)), inline(&hop.reason))?;
    writeln!(out, "| downtime | backup | one-way door | rollback |\n|---|---|---|---|")?;
    let yes = |value: bool| if value { "yes" } else { "no" };
    let backup = if hop.backup { "needed before" } else { "not needed" };
    writeln!(out, "| {} | {backup} | {} | {} |", plan_text::downtime(hop.downtime), yes(hop.one_way_door), cell(&hop.rollback))?;
    writeln!(out, "\n{}", inline(&hop.interruption))?;
    for (number, action) in (1..).zip(&hop.actions) {
        write_action(out, number, action)?;
    }
    if let Some(timeline) = &hop.timeline {
        write_timeline(out, timeline, hop.one_way_door)?;
    }
    if !hop.sources.is_empty() {
        let sources: Vec<String> = hop.sources.iter().map(|source| inline(source)).collect();
        writeln!(out, "\nSources: {}", sources.join(", "))?;
    }
    Ok(())
}

fn write_timeline(out: &mut dyn io::Write, timeline: &Timeline, is_door: bool) -> io::Result<()> {
    writeln!(out, "\n{}", inline(&plan_text::title_of_timeline(timeline)))?;
    if let Some(disputed) = &timeline.disputed {
        writeln!(out, "\nDisputed: {}", inline(disputed))?;
    }
    if !timeline.events.is_empty() {
        writeln!(out, "\n| at | step | why now |\n|---|---|---|")?;
        for event in &timeline.events {
            let mark = if event.one_way { format!(" **From here on {}.**", plan_text::no_way_back(is_door)) } else { String::new() };
            writeln!(out, "| {} | {}{mark} | {} |", plan_text::clock(event.seconds), cell(&event.text), cell(event.reason.as_deref().unwrap_or_default()))?;
        }
        writeln!(out, "\nAway meanwhile: {}.", inline(&plan_text::away(timeline)))?;
    }
    for assumed in &timeline.assumed {
        writeln!(out, "\nNot drawn: {}.", inline(assumed))?;
    }
    match &timeline.not_drawn {
        Some(why) => writeln!(out, "\n{}", inline(why)),
        None => Ok(()),
    }
}

fn write_action(out: &mut dyn io::Write, number: usize, action: &Action) -> io::Result<()> {
    let mut lines = action.text.trim_end().lines();
    writeln!(out, "\n{number}. **{}**: {}", plan_text::action_name(action.kind), inline(lines.next().unwrap_or_default()))?;
    let mut was_item = false;
    for line in lines {
        let is_item = line.starts_with("- ");
        // A list begins and ends with an empty line.
        writeln!(out, "{}   {}", if is_item == was_item { "" } else { "\n" }, inline(line))?;
        was_item = is_item;
    }
    if let Some(diff) = &action.diff {
        fenced(out, "diff", diff)?;
    } else if !action.values.is_empty() {
        writeln!(out)?;
        for (path, value) in &action.values {
            match value {
                serde_json::Value::Null => writeln!(out, "   - {}: unset", code(path))?,
                value => writeln!(out, "   - {}: {}", code(path), code(&value.to_string()))?,
            }
        }
    }
    if let Some(command) = &action.command {
        fenced(out, "sh", command)?;
    }
    Ok(())
}

fn fenced(out: &mut dyn io::Write, language: &str, text: &str) -> io::Result<()> {
    let text = clean::block(text.trim_end());
    let fence = "`".repeat(longest_run(&text, '`').max(2) + 1);
    writeln!(out, "\n   {fence}{language}")?;
    for line in text.lines() {
        writeln!(out, "{}", format!("   {line}").trim_end())?;
    }
    writeln!(out, "   {fence}")
}

/// Text on one line that cannot become a tag. Code spans stay as they are: nothing in them is a tag, and an escape would be shown as it is written.
fn inline(text: &str) -> String {
    let text = clean::line(text);
    // A lone tick opens no code span.
    let ticks = text.matches('`').count();
    let spans = ticks - ticks % 2;
    let parts: Vec<String> =
        text.split('`').enumerate().map(|(number, part)| if number % 2 == 1 && number < spans { part.to_owned() } else { part.replace('<', "&lt;") }).collect();
    parts.join("`")
}

fn cell(text: &str) -> String {
    inline(text).replace('|', "\\|")
}

/// A code span that nothing inside can end.
fn code(text: &str) -> String {
    let text = clean::line(text);
    let ticks = "`".repeat(longest_run(&text, '`') + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

fn longest_run(text: &str, of: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;

    fn written(plan: &Plan) -> String {
        let mut out = Vec::new();
        write(&mut out, plan).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_hop_is_a_section_with_its_commands_fenced() {
        insta::assert_snapshot!(written(&fixtures::plan()), @r#"
        # Milvus 2.1.4 to 2.2.16

        ## 1. Milvus 2.2.16 on chart 4.0.34 with image tag v2.2.16

        2.2 reads metadata of its own layout only

        | downtime | backup | one-way door | rollback |
        |---|---|---|---|
        | stopped for a migration | needed before | yes | Restore the backup. |

        Milvus is stopped.

        1. **back up**: Back up etcd. Then note it: `guard.milvus-guard.dev/ack: MV210 <where the backup lies>`.

        2. **upgrade**: upgrade the release

           - `image.all.tag`: `"v2.2.16"`

           ```sh
           helm upgrade vectors zilliztech/milvus \
             --version 4.0.34 --reset-then-reuse-values
           ```

        Sources: https://example.com/migrate
        "#);
    }

    #[test]
    fn a_refusal_tells_why() {
        insta::assert_snapshot!(written(&fixtures::refused()), @r#"
        # Milvus 2.6.15 to 2.5.0

        **No safe path** (MV203): 2.6 cannot be walked back; restore a backup
        "#);
    }

    #[test]
    fn what_could_not_be_read_is_a_list() {
        let plan = Plan { not_checked: fixtures::report().not_checked, hops: Vec::new(), ..fixtures::plan() };
        insta::assert_snapshot!(written(&plan), @"
        # Milvus 2.1.4 to 2.2.16

        Nothing to do.

        **Not read**: steps that depend on these parts are missing here:

        - the file is not UTF-8 text (b.yaml)
        - values come from Secret `vectors`, which is not in the tree (apps/vectors.yaml:8)
        ");
    }

    #[test]
    fn nothing_in_a_command_ends_its_fence_and_no_text_becomes_a_tag() {
        let mut plan = fixtures::plan();
        let hop = &mut plan.hops[0];
        hop.reason = "<img src=x> `<code>` `<b>".into();
        hop.actions[1].command = Some("echo '\n```\n'\u{1b}".into());
        hop.actions[1].values = serde_json::Map::from_iter([("a`b".to_owned(), "``".into())]);
        let text = written(&plan);
        assert!(text.contains("````sh\n   echo '\n   ```\n   '␛\n   ````"), "{text}");
        assert!(text.contains("&lt;img src=x> `<code>` `&lt;b>") && text.contains("``a`b``: ```\"``\"```"), "{text}");
    }
}
