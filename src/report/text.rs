//! The report for people, in the style of rustc: excerpts with carets, notes, help, and a summary line.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use super::excerpt::{Shown, Text};
use super::wire::Region;
use super::wrap::wrap;
use super::{Sources, clean, gap_rule, gap_severity, ordered_findings, untold_gaps};
use crate::model::declaration::Form;
use crate::model::finding::{Baseline, Finding, Gap, Label, ReleaseSummary, Report, Severity, Summary};
use crate::model::place::Place;

/// At most so many places of a finding are shown; the others are counted.
const MAX_PLACES: usize = 12;

/// What stands before a note, at least.
const NOTE_BEFORE: &str = "   = note: ";

/// How text is written; the caller decides, nothing is read from the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether to write colour codes.
    pub color: bool,
    /// Width of the terminal in characters; excerpts are cut to it.
    pub width: usize,
    /// Whether long messages are broken at the width: for terminals. What goes to files and programs keeps its lines.
    pub wrap: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { color: false, width: 140, wrap: false }
    }
}

/// Writes a report. Give it a buffered writer.
///
/// # Errors
/// When the writer fails.
pub fn write(out: &mut dyn io::Write, report: &Report, sources: &dyn Sources, style: Style) -> io::Result<()> {
    let renderer = if style.color { Renderer::styled() } else { Renderer::plain() };
    let wrap_at = style.wrap.then_some(style.width);
    let mut page = Page { renderer: renderer.term_width(style.width.max(40)), wrap_at, texts: Texts { sources, read: BTreeMap::new() } };
    let findings = ordered_findings(report);
    for finding in &findings {
        writeln!(out, "{}\n", page.finding(finding))?;
    }
    for gap in untold_gaps(report) {
        writeln!(out, "{}\n", page.gap(gap))?;
    }
    writeln!(out, "{}", summary_line(&report.summary))?;
    // The first of the worst, new ones before those that were there.
    let by_weight = |finding: &&&Finding| (finding.baseline != Some(Baseline::PreExisting), finding.severity);
    if let Some(worst) = findings.iter().rev().max_by_key(by_weight) {
        writeln!(out, "what a rule means: milvus-lint explain {}", clean::line(&worst.rule))?;
    }
    Ok(())
}

/// The summary: what was looked at, what was found, what was not checked.
#[must_use]
pub fn summary_line(summary: &Summary) -> String {
    let found: Vec<String> = [(summary.errors, "error"), (summary.warnings, "warning")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| counted(count, what))
        .chain((summary.infos > 0).then(|| format!("{} info", summary.infos)))
        .collect();
    let pre_existing = if summary.pre_existing > 0 { format!(" ({} pre-existing)", summary.pre_existing) } else { String::new() };
    let found = if found.is_empty() { "no findings".to_owned() } else { found.join(", ") + &pre_existing };
    format!(
        "checked {}, {}, {}: {found}; {} not checked",
        counted(summary.files, "file"),
        counted(summary.releases, "release"),
        counted(summary.changes, "change"),
        summary.not_checked
    )
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The texts of files, each read and split into lines once.
struct Texts<'s> {
    sources: &'s dyn Sources,
    read: BTreeMap<(Arc<str>, bool), Option<Text>>,
}

impl Texts<'_> {
    /// The text of a file now, or before the change.
    fn get(&mut self, file: &Arc<str>, before: bool) -> Option<&Text> {
        let sources = self.sources;
        let read = || if before { sources.text_before(file) } else { sources.text(file) };
        self.read.entry((Arc::clone(file), before)).or_insert_with(|| read().map(Text::new)).as_ref()
    }
}

struct Page<'s> {
    renderer: Renderer,
    wrap_at: Option<usize>,
    texts: Texts<'s>,
}

impl Page<'_> {
    /// A text made harmless, and broken behind what stands before it on its line.
    fn prose(&self, text: &str, before: &str) -> String {
        let text = clean::block(text);
        match self.wrap_at {
            Some(width) => wrap(&text, width.saturating_sub(before.chars().count())).into_owned(),
            None => text.into_owned(),
        }
    }

    fn finding(&mut self, finding: &Finding) -> String {
        let labels: Vec<Label> = finding.locations.iter().map(|label| Label { text: clean::line(&label.text).into_owned(), ..label.clone() }).collect();
        let mut notes = Vec::new();
        if is_known(&finding.release) {
            notes.push(Level::NOTE.with_name("release").message(release_line(&finding.release)));
        }
        for note in &finding.evidence {
            let text = match &note.place {
                Some(place) => format!("{} ({})", note.text, clean::line(&place.to_string())),
                None => note.text.clone(),
            };
            notes.push(Level::NOTE.message(self.prose(&text, NOTE_BEFORE)));
        }
        if !finding.remedy.is_empty() {
            notes.push(Level::HELP.message(self.prose(&finding.remedy, NOTE_BEFORE)));
        }
        let mark = match (finding.waived, finding.baseline) {
            (true, _) => "waived ",
            (false, Some(Baseline::PreExisting)) => "pre-existing ",
            (false, _) => "",
        };
        let name = format!("{mark}{}", severity_name(finding.severity));
        let before = format!("{name}[{}]: ", finding.rule);
        let level = level(finding.severity).with_name(name);
        let title = level.primary_title(self.prose(&finding.message, &before)).id(clean::line(&finding.rule).into_owned());
        self.render(Group::with_title(title), &labels, notes.into_iter().map(Into::into).collect())
    }

    fn gap(&mut self, gap: &Gap) -> String {
        let title =
            level(gap_severity(gap.kind)).with_name("not checked").primary_title(self.prose(&gap.reason, "not checked[MV901]: ")).id(gap_rule(gap.kind));
        let group = Group::with_title(title);
        match &gap.place {
            Some(place) => self.render(group, &[Label { place: place.clone(), text: String::new(), before: false }], Vec::new()),
            None => self.renderer.render(&[group.element(Origin::path(clean::line(&gap.file)))]),
        }
    }

    /// Puts excerpts of all places between the title and the notes.
    fn render<'a>(&mut self, mut group: Group<'a>, labels: &'a [Label], notes: Vec<Element<'a>>) -> String {
        let mut files: Vec<(&Arc<str>, bool, Vec<Shown<'_>>)> = Vec::new();
        let mut unseen = Vec::new();
        for (index, Label { place, text, before }) in labels.iter().take(MAX_PLACES).enumerate() {
            let primary = index == 0;
            match self.texts.get(&place.file, *before).and_then(|source| source.show(place, text, primary)) {
                Some(shown) => match files.iter_mut().find(|(file, side, _)| **file == place.file && side == before) {
                    Some((_, _, list)) => list.push(shown),
                    None => files.push((&place.file, *before, vec![shown])),
                },
                None => {
                    if primary {
                        group = group.element(origin(place));
                    }
                    if !primary || !text.is_empty() {
                        unseen.push(format!("{text} ({}{})", clean::line(&place.to_string()), if *before { ", before the change" } else { "" }));
                    }
                }
            }
        }
        if let Some(more) = labels.len().checked_sub(MAX_PLACES).filter(|more| *more > 0) {
            unseen.push(format!("and {more} more places"));
        }
        for (file, before, shown) in files {
            let path = format!("{}{}", if before { "before the change: " } else { "" }, clean::line(file));
            let Some(text) = self.texts.get(file, before) else { continue };
            for excerpt in text.excerpts(shown) {
                let marks = excerpt.marks.into_iter().map(|mark| {
                    let kind = if mark.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
                    let annotation = kind.span(mark.bytes);
                    if mark.label.is_empty() { annotation } else { annotation.label(mark.label) }
                });
                group = group.element(Snippet::source(excerpt.source).line_start(excerpt.first_line).path(path.clone()).annotations(marks));
            }
        }
        let unseen = unseen.into_iter().map(|text| Element::from(Level::NOTE.message(text)));
        self.renderer.render(&[group.elements(unseen).elements(notes)])
    }
}

fn origin(place: &Place) -> Origin<'static> {
    let start = Region::of(place).start;
    Origin::path(clean::line(&place.file).into_owned()).line(start.line as usize).char_column(start.column as usize)
}

fn level(severity: Severity) -> Level<'static> {
    match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    }
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// Whether anything is known of a release: a file that cannot be read has none.
fn is_known(release: &ReleaseSummary) -> bool {
    release.form != Form::Values || [&release.chart, &release.milvus].into_iter().any(Option::is_some) || release.name.is_some() || release.namespace.is_some()
}

/// Who a finding is about: `prod/milvus (Flux), chart 5.0.19, Milvus 2.6.15`.
fn release_line(release: &ReleaseSummary) -> String {
    let name = release.name.as_deref().unwrap_or("(no name)");
    let mut text = match &release.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    text.push_str(&format!(" ({})", form_name(release.form)));
    if let Some(chart) = &release.chart {
        text.push_str(&format!(", chart {chart}"));
    }
    if let Some(milvus) = &release.milvus {
        text.push_str(&format!(", Milvus {milvus}"));
    }
    clean::line(&text).into_owned()
}

fn form_name(form: Form) -> &'static str {
    match form {
        Form::Flux => "Flux",
        Form::ArgoCd => "Argo CD",
        Form::Umbrella => "umbrella chart",
        Form::Helmfile => "helmfile",
        Form::Command => "command",
        Form::Values => "values file",
        Form::Manifest => "manifest",
        Form::HelmRelease => "Helm release",
        Form::Kustomize => "kustomize chart",
        Form::K3s => "k3s HelmChart",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::NoSources;
    use crate::report::fixtures::{self, Files};

    fn written(report: &Report, sources: &dyn Sources, style: Style) -> String {
        let mut out = Vec::new();
        write(&mut out, report, sources, style).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn one(message: &str, text: &str, locations: Vec<Label>) -> String {
        let mut finding = fixtures::finding("MV602", "dead-value", Severity::Warning, locations);
        finding.message = message.to_owned();
        finding.evidence.clear();
        finding.remedy.clear();
        let report = Report { findings: vec![finding], ..Report::default() };
        written(&report, &Files(BTreeMap::from([("f", text.into())])), Style::default())
    }

    #[test]
    fn a_finding_shows_each_place_with_carets_then_evidence_and_help() {
        insta::assert_snapshot!(written(&fixtures::report(), &fixtures::files(), Style::default()), @r"
        error[MV205]: Milvus goes from 2.4.16 to 2.6.15 without the stop at 2.5.16
         --> apps/vectors.yaml:5:16
          |
        5 |       version: 5.0.19
          |                ^^^^^^ chart 5.0.19 runs Milvus 2.6.15
        ...
        9 |     cluster: {enabled: true}
          |              --------------- in cluster mode
          |
         ::: clusters/repo.yaml:1:6
          |
        1 | url: https://charts.example.com
          |      -------------------------- from here
          |
          = release: prod/vectors (Flux), chart 5.0.19, Milvus 2.6.15
          = note: the repository is zilliztech's (clusters/repo.yaml:1:6)
          = help: upgrade to chart 4.2.58 first:
                  version: 4.2.58

        pre-existing warning[MV108]: the values of chart 4.2.58 hide the defaults of chart 5.0.19
         --> apps/vectors.yaml:7:21
          |
        7 |     preserveValues: true
          |                     ^^^^
          |
          = release: prod/vectors (Flux), chart 5.0.19, Milvus 2.6.15
          = help: remove `preserveValues`

        not checked[MV902]: values come from Secret `vectors`, which is not in the tree
         --> apps/vectors.yaml:8:3
          |
        8 |   values:
          |   ^^^^^^

        not checked[MV901]: the file is not UTF-8 text
        --> b.yaml

        checked 12 files, 1 release, 1 change: 1 error, 1 warning (1 pre-existing); 2 not checked
        what a rule means: milvus-lint explain MV205
        ");
    }

    #[test]
    fn without_sources_places_are_named() {
        insta::assert_snapshot!(written(&fixtures::report(), &NoSources, Style::default()), @r"
        error[MV205]: Milvus goes from 2.4.16 to 2.6.15 without the stop at 2.5.16
        --> apps/vectors.yaml:5:16
         = note: chart 5.0.19 runs Milvus 2.6.15 (apps/vectors.yaml:5:16)
         = note: in cluster mode (apps/vectors.yaml:9:14)
         = note: from here (clusters/repo.yaml:1:6)
         = release: prod/vectors (Flux), chart 5.0.19, Milvus 2.6.15
         = note: the repository is zilliztech's (clusters/repo.yaml:1:6)
         = help: upgrade to chart 4.2.58 first:
                 version: 4.2.58

        pre-existing warning[MV108]: the values of chart 4.2.58 hide the defaults of chart 5.0.19
        --> apps/vectors.yaml:7:21
         = release: prod/vectors (Flux), chart 5.0.19, Milvus 2.6.15
         = help: remove `preserveValues`

        not checked[MV902]: values come from Secret `vectors`, which is not in the tree
        --> apps/vectors.yaml:8:3

        not checked[MV901]: the file is not UTF-8 text
        --> b.yaml

        checked 12 files, 1 release, 1 change: 1 error, 1 warning (1 pre-existing); 2 not checked
        what a rule means: milvus-lint explain MV205
        ");
    }

    #[test]
    fn colour_codes_are_written_only_when_asked_for() {
        let plain = written(&fixtures::report(), &fixtures::files(), Style::default());
        let color = written(&fixtures::report(), &fixtures::files(), Style { color: true, width: 140, wrap: false });
        assert!(!plain.contains('\u{1b}') && color.contains("\u{1b}["));
        assert_eq!(anstream::adapter::strip_str(&color).to_string(), plain);
    }

    #[test]
    fn the_order_of_findings_does_not_depend_on_how_they_were_found() {
        let mut report = fixtures::report();
        let first = written(&report, &fixtures::files(), Style::default());
        report.findings.reverse();
        report.not_checked.reverse();
        assert_eq!(written(&report, &fixtures::files(), Style::default()), first);
    }

    #[test]
    fn nothing_in_a_source_or_a_message_reaches_the_terminal_as_a_command() {
        let text = one("key \u{1b}]0;owned\u{7} is dead", "\ta: \u{1b}[31mred\u{202e}x\0 # é\n", vec![fixtures::label("f", (1, 5), (1, 15), "\u{1b}[2J")]);
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\0']));
        insta::assert_snapshot!(text, @r#"
        warning[MV602]: key ␛]0;owned␇ is dead
         --> f:1:5
          |
        1 |     a: ␛[31mred�x␀ # é
          |        ^^^^^^^^^^ ␛[2J
          |
          = release: prod/vectors (Flux), chart 5.0.19, Milvus 2.6.15

        checked 0 files, 0 releases, 0 changes: no findings; 0 not checked
        what a rule means: milvus-lint explain MV602
        "#);
    }

    /// One file with one text now and another before.
    struct TwoTexts;

    impl Sources for TwoTexts {
        fn text(&self, _file: &str) -> Option<Arc<str>> {
            Some("version: 5.0.19\n".into())
        }

        fn text_before(&self, _file: &str) -> Option<Arc<str>> {
            Some("# pinned\nversion: 4.2.47\n".into())
        }
    }

    #[test]
    fn a_place_before_the_change_is_shown_in_the_text_before() {
        let mut earlier = fixtures::label("f", (2, 10), (2, 16), "Milvus 2.5.12");
        earlier.before = true;
        let finding = fixtures::finding("MV205", "stop", Severity::Error, vec![fixtures::label("f", (1, 10), (1, 16), "Milvus 2.6.15"), earlier]);
        let report = Report { findings: vec![finding], ..Report::default() };
        insta::assert_snapshot!(written(&report, &TwoTexts, Style::default()), @r#"
        error[MV205]: Milvus goes from 2.4.16 to 2.6.15 without the stop at 2.5.16
         --> f:1:10
          |
        1 | version: 5.0.19
          |          ^^^^^^ Milvus 2.6.15
          |
         ::: before the change: f:2:10
          |
        2 | version: 4.2.47
          |          ------ Milvus 2.5.12
          |
          = release: prod/vectors (Flux), chart 5.0.19, Milvus 2.6.15
          = note: the repository is zilliztech's (clusters/repo.yaml:1:6)
          = help: upgrade to chart 4.2.58 first:
                  version: 4.2.58

        checked 0 files, 0 releases, 0 changes: no findings; 0 not checked
        what a rule means: milvus-lint explain MV205
        "#);
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_value() {
        let line = format!("{}tag: v2.5{}\n", "a".repeat(500), "b".repeat(3_000_000));
        let text = one("m", &line, vec![fixtures::label("f", (1, 506), (1, 510), "here")]);
        assert!(text.len() < 2000, "{}", text.len());
        insta::assert_snapshot!(text, @r#"
        warning[MV602]: m
         --> f:1:506
          |
        1 | ...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaatag: v2.5bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb...
          |                                                                ^^^^ here
          |
          = release: prod/vectors (Flux), chart 5.0.19, Milvus 2.6.15

        checked 0 files, 0 releases, 0 changes: no findings; 0 not checked
        what a rule means: milvus-lint explain MV602
        "#);
    }

    #[test]
    fn a_clean_run_is_one_line() {
        let report = Report { summary: Summary { files: 1, ..Summary::default() }, ..Report::default() };
        assert_eq!(written(&report, &NoSources, Style::default()), "checked 1 file, 0 releases, 0 changes: no findings; 0 not checked\n");
    }

    #[test]
    fn a_gap_that_a_finding_tells_of_is_not_told_twice() {
        let mut report = fixtures::report();
        report.findings =
            vec![fixtures::finding("MV902", "partly-checked", Severity::Info, vec![fixtures::label("apps/vectors.yaml", (8, 3), (8, 9), "here")])];
        let text = written(&report, &fixtures::files(), Style::default());
        assert_eq!((text.matches("not checked[MV902]").count(), text.matches("not checked[MV901]").count()), (0, 1));
    }
}
