//! A plan for people, as plain text.

use std::io;

use super::clean;
use crate::model::plan::{Action, ActionKind, Downtime, Hop, Plan};

/// Writes a plan. Give it a buffered writer.
///
/// # Errors
/// When the writer fails.
pub fn write(out: &mut dyn io::Write, plan: &Plan) -> io::Result<()> {
    let (from, to) = (clean::line(&plan.from), clean::line(&plan.to));
    if let Some(refusal) = &plan.refused {
        writeln!(out, "no safe path from Milvus {from} to {to} [{}]", clean::line(&refusal.rule))?;
        return writeln!(out, "{}", indented(&refusal.reason, "  "));
    }
    if plan.hops.is_empty() {
        return writeln!(out, "nothing to do from Milvus {from} to {to}");
    }
    writeln!(out, "Milvus {from} to {to} in {}", hops(plan.hops.len()))?;
    for (number, hop) in (1..).zip(&plan.hops) {
        writeln!(out)?;
        write_hop(out, number, hop)?;
    }
    Ok(())
}

fn write_hop(out: &mut dyn io::Write, number: usize, hop: &Hop) -> io::Result<()> {
    writeln!(out, "{number}. {}", clean::line(&title(hop)))?;
    writeln!(out, "   why:       {}", clean::line(&hop.reason))?;
    writeln!(out, "   downtime:  {}", downtime(hop.downtime))?;
    writeln!(out, "   backup:    {}", if hop.backup { "needed before" } else { "not needed for this hop" })?;
    writeln!(out, "   rollback:  {}{}", if hop.one_way_door { "one-way door. " } else { "" }, clean::line(&hop.rollback))?;
    for action in &hop.actions {
        writeln!(out)?;
        write_action(out, action)?;
    }
    if !hop.sources.is_empty() {
        writeln!(out)?;
        for source in &hop.sources {
            writeln!(out, "   source: {}", clean::line(source))?;
        }
    }
    Ok(())
}

fn write_action(out: &mut dyn io::Write, action: &Action) -> io::Result<()> {
    writeln!(out, "   - {}: {}", action_name(action.kind), indented(&action.text, "     ").trim_start())?;
    for (path, value) in &action.values {
        writeln!(out, "     set {}: {}", clean::line(path), clean::line(&value.to_string()))?;
    }
    if let Some(command) = &action.command {
        writeln!(out, "{}", indented(command, "       ").replacen("       ", "     $ ", 1))?;
    }
    Ok(())
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
        write(&mut out, plan).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_hop_tells_why_how_and_what_if() {
        insta::assert_snapshot!(written(&fixtures::plan()), @r#"
        Milvus 2.1.4 to 2.2.16 in 1 hop

        1. Milvus 2.2.16 on chart 4.0.34 with image tag v2.2.16
           why:       2.2 reads metadata of its own layout only
           downtime:  stopped for a migration
           backup:    needed before
           rollback:  one-way door. Restore the backup.

           - back up: back up etcd

           - upgrade: upgrade the release
             set image.all.tag: "v2.2.16"
             $ helm upgrade vectors zilliztech/milvus \
                 --version 4.0.34 --reset-then-reuse-values

           source: https://example.com/migrate
        "#);
    }

    #[test]
    fn a_refusal_tells_why() {
        insta::assert_snapshot!(written(&fixtures::refused()), @r#"
        no safe path from Milvus 2.6.15 to 2.5.0 [MV203]
          2.6 cannot be walked back; restore a backup
        "#);
    }

    #[test]
    fn an_empty_plan_says_so() {
        let plan = Plan { hops: Vec::new(), ..fixtures::plan() };
        assert_eq!(written(&plan), "nothing to do from Milvus 2.1.4 to 2.2.16\n");
    }
}
