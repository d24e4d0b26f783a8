//! `explain`: the page of a rule, made from its file; and what reports tell about rules.

use std::fmt::Write as _;

use anyhow::Context as _;

use milvus_guard::model::finding::Severity;
use milvus_guard::policy::case::Expect;
use milvus_guard::policy::condition::EvidenceWord;
use milvus_guard::policy::text::{Piece, Template};
use milvus_guard::policy::{self, Needs, Policies, Rule, Scope};
use milvus_guard::report::RuleInfo;
use milvus_guard::report::wrap::hang;

use super::output;

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Markup {
    Text,
    Markdown,
}

/// Prints the page of a rule.
///
/// # Errors
/// When there is no such rule, or standard output cannot be written.
pub(crate) fn run(id_or_name: &str) -> anyhow::Result<()> {
    let all = Policies::embedded();
    let rule = all.rule(id_or_name).or_else(|| all.rule(&format!("MV{id_or_name}"))).and_then(|rule| policy::page(&rule.id));
    let rule = rule.with_context(|| missing(id_or_name))?;
    output::to_stdout(page(&rule, Markup::Text, output::prose_width()).as_bytes())
}

/// Rules that speak of a cluster, and have no page.
const OF_A_CLUSTER: [&str; 5] = ["MV708", "MV709", "MV710", "MV711", "MV712"];

fn missing(id_or_name: &str) -> String {
    if OF_A_CLUSTER.iter().any(|id| id.eq_ignore_ascii_case(id_or_name) || id.strip_prefix("MV") == Some(id_or_name)) {
        return format!(
            "{id_or_name} is told by the webhook alone, since only a cluster knows: charts/milvus-guard/README.md explains it, below `What is judged`"
        );
    }
    format!("there is no rule `{id_or_name}`; `milvus-lint rules list` prints all")
}

/// What reports tell about some rules.
pub(crate) fn infos<'r>(ids: impl Iterator<Item = &'r str>) -> Vec<RuleInfo> {
    ids.filter_map(policy::page)
        .map(|rule| RuleInfo {
            summary: shown(&rule.summary),
            description: rule.why.trim().to_owned(),
            help_text: page(&rule, Markup::Text, output::PROSE_WIDTH),
            help_markdown: page(&rule, Markup::Markdown, output::PROSE_WIDTH),
            severity: rule.severity,
            help_uri: None,
            id: rule.id,
            name: rule.name,
        })
        .collect()
}

/// The page, as text in lines of at most `width` characters where that is possible.
fn page(rule: &Rule, markup: Markup, width: usize) -> String {
    let mut out = String::new();
    let needs = match rule.needs {
        Needs::After => "the state after",
        Needs::Before => "the state before and the state after",
    };
    let scope = match rule.lineage {
        Scope::Zilliztech => "the Milvus chart of zilliztech and its archived twin",
        Scope::Any => "any chart that runs Milvus",
    };
    let heading = |title: &str| match markup {
        Markup::Text => format!("\n{title}\n"),
        Markup::Markdown => format!("\n## {title}\n\n"),
    };
    let block = |text: &str| match markup {
        Markup::Text => text
            .trim()
            .lines()
            .map(|line| format!("{}\n", hang(line, width, "  ", if line.starts_with("- ") { "    " } else { "  " }).trim_end()))
            .collect::<String>(),
        Markup::Markdown => format!("{}\n", text.trim()),
    };
    let fenced = |text: &str| match markup {
        Markup::Text => block(text),
        Markup::Markdown => format!("```text\n{}\n```\n", text.trim()),
    };
    let title = format!("{} {} ({})", rule.id, rule.name, severity(rule.severity));
    let _ = writeln!(out, "{}{title}\n", if markup == Markup::Markdown { "# " } else { "" });
    out.push_str(&format!("{}\n", if markup == Markup::Text { hang(&shown(&rule.summary), width, "", "") } else { shown(&rule.summary) }));
    out.push_str(&heading("Why"));
    out.push_str(&block(&paragraphs(&rule.why)));
    out.push_str(&heading("What to do"));
    out.push_str(&fenced(&shown(&rule.remedy)));
    out.push_str(&heading("Scope"));
    out.push_str(&block(&format!("It looks at {needs}, and speaks about {scope}.")));
    if let Some(door) = &rule.door {
        out.push_str(&block("The finding is information only with one of:"));
        out.push_str(&block(&door.evidence.iter().map(|word| format!("- {}\n", evidence(*word, &rule.id))).collect::<String>()));
        if door.waits {
            out.push_str(&block("In a guarded cluster the change waits until a GuardedUpgrade declares it, also where the finding is a warning."));
        }
    }
    if !rule.tests.is_empty() {
        out.push_str(&heading("Cases"));
        out.push_str(&block(&rule.tests.iter().map(|case| format!("- {}: {}\n", case.name, expected(case.expect))).collect::<String>()));
    }
    if !rule.sources.is_empty() {
        out.push_str(&heading("Sources"));
        out.push_str(&block(&rule.sources.iter().map(|source| format!("- {source}\n")).collect::<String>()));
    }
    out
}

/// What a rule takes as evidence, and how it is written.
fn evidence(word: EvidenceWord, rule: &str) -> String {
    match word {
        EvidenceWord::Acknowledged => format!("an annotation or comment of this change beside the release, `guard.milvus-guard.dev/ack: {rule} <reference>`"),
        EvidenceWord::GuardedUpgrade => "a GuardedUpgrade in the tree that is named as the release and leads to the version after".to_owned(),
        EvidenceWord::MigrateCall => "a call of the migration script to that version, before the upgrade in the same script".to_owned(),
    }
}

/// Paragraphs of a YAML text, each on one line.
fn paragraphs(text: &str) -> String {
    text.trim().split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n\n")
}

fn expected(expect: Expect) -> &'static str {
    expect.severity().map_or("silent", severity)
}

pub(crate) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// A template with its placeholders as `<after.milvus>`.
pub(crate) fn shown(template: &Template) -> String {
    let Ok(pieces) = template.pieces() else { return template.0.clone() };
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Name(name) => out.push_str(&format!("<{name}>")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_without_a_page_is_told_with_where_it_is_explained() {
        assert!(missing("mv711").contains("charts/milvus-guard/README.md") && missing("712").contains("charts/milvus-guard/README.md"));
        assert_eq!(missing("MV799"), "there is no rule `MV799`; `milvus-lint rules list` prints all");
    }

    #[test]
    fn every_rule_has_a_page_with_reason_remedy_and_sources() {
        for rule in Policies::embedded().rules() {
            let rule = policy::page(&rule.id).unwrap();
            for markup in [Markup::Text, Markup::Markdown] {
                let page = page(&rule, markup, 80);
                assert!(["Why", "What to do", "Cases", "Sources"].iter().all(|title| page.contains(title)), "{page}");
            }
        }
    }

    #[test]
    fn prose_of_a_page_keeps_to_its_width() {
        for rule in Policies::embedded().rules() {
            let page = page(&policy::page(&rule.id).unwrap(), Markup::Text, 80);
            let long: Vec<&str> =
                page.lines().filter(|line| line.chars().count() > 80 && !line.starts_with("   ") && !line.contains("http") && !line.contains('`')).collect();
            assert!(long.is_empty(), "{}: {long:#?}", rule.id);
        }
    }

    #[test]
    fn paragraphs_are_filled_and_kept_apart() {
        assert_eq!(paragraphs("a b\nc\n\nd"), "a b c\n\nd");
    }
}
