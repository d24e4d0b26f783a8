//! Annotations for GitHub: one workflow command per finding.

use std::io;

use super::wire::Region;
use super::{clean, gap_rule, gap_severity, notes, ordered_findings, text, untold_gaps};
use crate::model::finding::{Baseline, Report, Severity};
use crate::model::place::Place;

/// Writes a report as workflow commands, then the summary line. Give it a buffered writer.
///
/// # Errors
/// When the writer fails.
pub fn write(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    for finding in ordered_findings(report) {
        let mut message = finding.message.clone();
        for note in notes(finding) {
            message.push_str("\nnote: ");
            message.push_str(&note);
        }
        if !finding.remedy.is_empty() {
            message.push_str("\nhelp: ");
            message.push_str(&finding.remedy);
        }
        let place = finding.locations.first().map(|label| &label.place);
        let mark = if finding.baseline == Some(Baseline::PreExisting) { " (pre-existing)" } else { "" };
        let title = format!("{} {}{mark}", finding.rule, finding.name);
        writeln!(out, "{}", command(finding.severity, &finding.release.path, place, &title, &message))?;
    }
    for gap in untold_gaps(report) {
        let title = format!("{} not checked", gap_rule(gap.kind));
        writeln!(out, "{}", command(gap_severity(gap.kind), &gap.file, gap.place.as_ref(), &title, &gap.reason))?;
    }
    writeln!(out, "{}", text::summary_line(&report.summary))
}

fn command(severity: Severity, file: &str, place: Option<&Place>, title: &str, message: &str) -> String {
    let level = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let mut properties = format!("file={}", property(place.map_or(file, |place| &place.file)));
    if let Some(place) = place {
        let Region { start, end } = Region::of(place);
        properties.push_str(&format!(",line={}", start.line));
        // GitHub takes columns only for annotations of one line.
        if start.line == end.line {
            properties.push_str(&format!(",col={},endLine={},endColumn={}", start.column, end.line, end.column));
        } else {
            properties.push_str(&format!(",endLine={}", end.line));
        }
    }
    format!("::{level} {properties},title={}::{}", property(title), data(message))
}

/// A message: a line break must not end the command.
fn data(text: &str) -> String {
    clean::block(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property: neither may a colon or a comma end it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;

    fn written(report: &Report) -> String {
        let mut out = Vec::new();
        write(&mut out, report).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_finding_is_one_command() {
        insta::assert_snapshot!(written(&fixtures::report()), @r"
        ::error file=apps/vectors.yaml,line=5,col=16,endLine=5,endColumn=22,title=MV205 stop-at-2-5-16::Milvus goes from 2.4.16 to 2.6.15 without the stop at 2.5.16%0Anote: the repository is zilliztech's (clusters/repo.yaml:1:6)%0Ahelp: upgrade to chart 4.2.58 first:%0Aversion: 4.2.58
        ::warning file=apps/vectors.yaml,line=7,col=21,endLine=7,endColumn=25,title=MV108 reuse-values (pre-existing)::the values of chart 4.2.58 hide the defaults of chart 5.0.19%0Ahelp: remove `preserveValues`
        ::notice file=apps/vectors.yaml,line=8,col=3,endLine=8,endColumn=9,title=MV902 not checked::values come from Secret `vectors`, which is not in the tree
        ::warning file=b.yaml,title=MV901 not checked::the file is not UTF-8 text
        checked 12 files, 1 release, 1 change: 1 error, 1 warning (1 pre-existing); 2 not checked
        ");
    }

    #[test]
    fn nothing_in_a_finding_ends_or_begins_a_command() {
        let mut finding = fixtures::finding("MV602", "dead-value", Severity::Info, vec![fixtures::label("a,b:c%\n.yaml", (1, 2), (3, 4), "")]);
        finding.message = "100%\r\n::error::x, y".into();
        finding.remedy.clear();
        let report = Report { findings: vec![finding], ..Report::default() };
        insta::assert_snapshot!(written(&report), @r"
        ::notice file=a%2Cb%3Ac%25%0A.yaml,line=1,endLine=3,title=MV602 dead-value::100%25%0A::error::x, y%0Anote: the repository is zilliztech's (clusters/repo.yaml:1:6)
        checked 0 files, 0 releases, 0 changes: no findings; 0 not checked
        ");
    }
}
