//! Writes reports to standard output and to the files of `--output`.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::finding::Report;
use milvus_guard::report::{self, RuleInfo, Sources, Tool};

use super::args::{CheckArguments, Format};
use super::explain;
use super::inputs::is_stdin;

/// Width of the terminal where it cannot be told, in characters.
const DEFAULT_WIDTH: usize = 140;

/// Width of prose where nothing is a terminal, and the most that is filled on one, in characters.
pub(crate) const PROSE_WIDTH: usize = 100;

/// Writes all reports that were asked for; files first, so that a reader of standard output finds them complete.
///
/// # Errors
/// When a file or standard output cannot be written.
pub(crate) fn write(arguments: &CheckArguments, report: &Report, sources: &dyn Sources) -> anyhow::Result<()> {
    for output in arguments.output.iter().filter(|output| !is_stdin(&output.file)) {
        let text = render(output.format, report, sources, report::text::Style { color: false, width: DEFAULT_WIDTH, wrap: false })?;
        std::fs::write(&output.file, text)
            .with_context(|| format!("cannot write the report to `{}`; name a file in a folder that exists and can be written", output.file.display()))?;
    }
    let text = render(printed(arguments), report, sources, terminal_style())?;
    to_stdout(&text)
}

/// The format of standard output: what `--output FORMAT=-` sends there, else `--format`.
fn printed(arguments: &CheckArguments) -> Format {
    let to_stdout = arguments.output.iter().find(|output| is_stdin(&output.file)).map(|output| output.format);
    to_stdout.or(arguments.format).unwrap_or(Format::Text)
}

/// Refuses two formats for standard output, before anything is read.
///
/// # Errors
/// When there are two.
pub(crate) fn check_destinations(arguments: &CheckArguments) -> anyhow::Result<()> {
    let count = arguments.output.iter().filter(|output| is_stdin(&output.file)).count() + usize::from(arguments.format.is_some());
    if count > 1 {
        bail!("two formats would go to standard output; give one of --format and `--output FORMAT=-`, and write the others to files");
    }
    Ok(())
}

/// Writes to standard output. A reader that stops reading (`| head`) has what it wants.
///
/// # Errors
/// When standard output cannot be written for any other reason.
pub(crate) fn to_stdout(text: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// Says on standard error what the user should know of the result; there is nowhere left to tell that this fails.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(anstream::stderr(), "\x1b[1;33mwarning\x1b[0m: {text}");
}

/// Colours and width of standard output.
fn terminal_style() -> report::text::Style {
    let color = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    // Only the terminal that shows the text counts: what is piped looks the same wherever it is run.
    let wrap = std::io::stdout().is_terminal();
    let width = terminal_size::terminal_size_of(std::io::stdout()).map_or(DEFAULT_WIDTH, |(width, _)| usize::from(width.0));
    report::text::Style { color, width, wrap }
}

/// Width of prose on standard output, in characters: that of the terminal, but no more than can be read; without a terminal always the same, so that what is written to a file
/// or compared by a test does not depend on where it is made.
pub(crate) fn prose_width() -> usize {
    let is_terminal = std::io::stdout().is_terminal();
    let terminal = terminal_size::terminal_size().filter(|_| is_terminal).map(|(width, _)| usize::from(width.0));
    terminal.map_or(PROSE_WIDTH, |width| width.clamp(40, PROSE_WIDTH))
}

fn render(format: Format, report: &Report, sources: &dyn Sources, style: report::text::Style) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    let written = match format {
        Format::Text => report::text::write(&mut out, report, sources, style),
        Format::Json => report::json::write(&mut out, report, &tool()),
        Format::Sarif => report::sarif::write(&mut out, report, &tool(), &rules(report)),
        Format::Github => report::github::write(&mut out, report),
    };
    written.context("cannot put the report together")?;
    Ok(out)
}

fn tool() -> Tool {
    let catalogue = Catalogue::embedded();
    Tool {
        name: "milvus-lint".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        catalogue_charts: catalogue.versions().len(),
        catalogue_newest: catalogue.newest().map_or_else(String::new, |chart| chart.version.to_string()),
    }
}

/// What a report tells about the rules that it names.
fn rules(report: &Report) -> Vec<RuleInfo> {
    let of_findings = report.findings.iter().map(|finding| &*finding.rule);
    let of_gaps = report.not_checked.iter().map(|gap| report::gap_rule(gap.kind));
    explain::infos(of_findings.chain(of_gaps).collect::<BTreeSet<_>>().into_iter())
}
