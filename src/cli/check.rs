//! `check`: reads the tree (and the state before), judges every change, writes the reports.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use rayon::prelude::*;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::{Change, ChangeKind, Environment};
use milvus_guard::model::declaration::{Declaration, NotChecked, Operation};
use milvus_guard::model::finding::{Finding, Report, Severity, Summary};
use milvus_guard::model::helm::HelmMajor;
use milvus_guard::policy::{self, Policies};
use milvus_guard::report::Sources;
use milvus_guard::source::pair::{self, Pair};
use milvus_guard::source::{self, Reading, SourceFile, Tree};

use super::args::{CheckArguments, HelmVersion, KubernetesVersion};
use super::before::Given;
use super::git::{Base, Comparison};
use super::scope::{Scope, relative_to};
use super::walk::{self, Walked};
use super::{exit, gaps, output};

/// The path of standard input.
const STDIN: &str = "-";

/// Runs `check`.
///
/// # Errors
/// For wrong usage, and when something that the user named cannot be read or written.
pub(crate) fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let limit_bytes = arguments.max_file_size.0;
    let given = Given::read(&arguments.before, limit_bytes)?;
    let (scope, mut after) = read_after(arguments)?;
    let base = match &arguments.base {
        Some(revision) => {
            let comparison = Comparison::open(&scope, revision)?;
            after.add(&comparison.left_out(&scope, &after.tree));
            let commit = comparison.commit.clone();
            Some((commit, comparison.read(&scope, &after, limit_bytes)))
        }
        None => None,
    };
    let base = base.as_ref().map(|(commit, base)| (commit.as_str(), base));
    let report = judge(arguments, &given, &after, base);
    let texts = Texts { after: &after, before: base.map(|(_, base)| base), given: &given };
    output::write(arguments, &report, &texts)?;
    Ok(exit_code(arguments, &report))
}

/// The scope and what is in it now.
fn read_after(arguments: &CheckArguments) -> anyhow::Result<(Scope, Walked)> {
    let is_stdin = |path: &PathBuf| path == Path::new(STDIN);
    let on_disk: Vec<PathBuf> = arguments.paths.iter().filter(|path| !is_stdin(path)).chain(&arguments.values).cloned().collect();
    let has_stdin = arguments.paths.iter().any(is_stdin);
    if has_stdin && arguments.base.is_some() {
        bail!("--base compares files, and standard input has no state before; give it with --before");
    }
    let scope = Scope::resolve(&on_disk)?;
    let mut walked = walk::walk(&scope, arguments.max_file_size.0);
    for file in &arguments.values {
        let real = std::fs::canonicalize(file).with_context(|| format!("cannot look at `{}`", file.display()))?;
        let path = relative_to(&real, &scope.root).with_context(|| format!("`{}` cannot be named below `{}`", file.display(), scope.root.display()))?;
        let text = walked.tree.read(&path).with_context(|| format!("cannot read the values file `{}`", file.display()))?;
        walked.push(SourceFile::new(path.into(), text).into_values());
    }
    if has_stdin {
        read_stdin(&mut walked, arguments.max_file_size.0)?;
    }
    Ok((scope, walked))
}

fn read_stdin(walked: &mut Walked, limit_bytes: u64) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes).context("cannot read standard input")?;
    let path: Arc<str> = STDIN.into();
    if bytes.len() as u64 > limit_bytes {
        bail!("standard input has more than {limit_bytes} bytes; split it, or raise the limit with --max-file-size");
    }
    match walk::text_of(bytes) {
        Ok(text) => walked.push(SourceFile::new(path, text)),
        Err(_) => bail!("standard input is not UTF-8 text; pipe in YAML, as `helm template` prints it"),
    }
    Ok(())
}

/// Reads both states, pairs them and judges each change.
fn judge(arguments: &CheckArguments, given: &Given, after: &Walked, base: Option<(&str, &Base<'_>)>) -> Report {
    let mut reading = source::read_tree(&after.tree, &after.candidates);
    let mut gaps: Vec<NotChecked> = after.gaps.clone();
    gaps.append(&mut reading.gaps);
    let releases = count_releases(&reading);
    let mut pairs = match base {
        None => pair::present(reading.declarations),
        Some((_, base)) => {
            let mut before = source::read_tree(&base.tree, &base.candidates);
            gaps::add_before(&mut gaps, base.gaps.iter().cloned().chain(before.gaps.drain(..)));
            pair::pair(before.declarations, reading.declarations)
        }
    };
    given.fill_in(&mut pairs);
    let changes = pairs.iter().filter(|pair| is_change(pair)).count();
    let gaps = gaps::distinct(gaps);
    let of_releases = pairs.iter().filter_map(|pair| pair.after.as_ref()).flat_map(|declaration| declaration.gaps.iter().cloned());
    let not_checked = gaps::entries(&gaps::distinct(gaps.iter().cloned().chain(of_releases).collect()));
    let mut findings: Vec<Finding> = pairs.into_par_iter().flat_map_iter(|pair| judge_one(pair, arguments)).collect();
    findings.extend(gaps::findings(&gaps));
    if arguments.strict {
        findings.iter_mut().filter(|finding| gaps::is_about_a_gap(finding)).for_each(|finding| finding.severity = Severity::Error);
    }
    let count = |severity| findings.iter().filter(|finding| !finding.waived && finding.severity == severity).count();
    let summary = Summary {
        files: after.tree.paths().len().max(after.candidates.len()),
        releases,
        changes,
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        infos: count(Severity::Info),
        not_checked: not_checked.len(),
    };
    Report { base: base.map(|(commit, _)| commit.to_owned()), findings, not_checked, summary }
}

fn judge_one(pair: Pair, arguments: &CheckArguments) -> Vec<Finding> {
    let Pair { before, after, kind } = pair;
    let change = Change::new(before, after, kind, environment(arguments), Catalogue::embedded());
    change.map(|change| policy::check(&change, Policies::embedded())).unwrap_or_default()
}

/// What the arguments say about the tools.
fn environment(arguments: &CheckArguments) -> Environment {
    let helm = arguments.helm_version.map(|HelmVersion(major, minor, patch)| (major, minor, patch));
    // A major alone says nothing about the minor: it is taken as the newest.
    let of_major = |major| (major, u32::MAX, u32::MAX);
    let helm = helm.or(arguments.helm.map(|major| of_major(if major == HelmMajor::Four { 4 } else { 3 })));
    Environment { kubernetes: arguments.kube_version.map(|KubernetesVersion(major, minor)| (major, minor)), helm }
}

/// Whether something happened to the release.
fn is_change(pair: &Pair) -> bool {
    matches!(pair.kind, ChangeKind::Changed | ChangeKind::Added | ChangeKind::Removed)
}

/// Releases that are declared: a release that is installed and later upgraded in one script is one.
fn count_releases(reading: &Reading) -> usize {
    let is_release = |declaration: &&Declaration| !matches!(declaration.operation, Operation::Pull | Operation::RepoAdd);
    reading.declarations.iter().filter(is_release).map(|declaration| &declaration.identity).collect::<BTreeSet<_>>().len()
}

/// The exit code that a report calls for.
fn exit_code(arguments: &CheckArguments, report: &Report) -> ExitCode {
    if arguments.require_milvus && report.summary.releases == 0 {
        return ExitCode::from(exit::NO_MILVUS);
    }
    let Some(threshold) = arguments.fail_on.threshold() else { return ExitCode::SUCCESS };
    let fails = report.findings.iter().any(|finding| !finding.waived && finding.severity >= threshold);
    if fails || (arguments.strict && report.summary.not_checked > 0) { ExitCode::from(exit::FINDINGS) } else { ExitCode::SUCCESS }
}

/// The texts that findings point at: those after, and for what is gone those before.
struct Texts<'a> {
    after: &'a Walked,
    before: Option<&'a Base<'a>>,
    given: &'a Given,
}

impl Sources for Texts<'_> {
    fn text(&self, file: &str) -> Option<Arc<str>> {
        let after = self.after.tree.read(file).ok();
        after.or_else(|| self.before.and_then(|base| base.tree.read(file).ok()))
    }

    fn text_before(&self, file: &str) -> Option<Arc<str>> {
        let given = self.given.text(file);
        given.or_else(|| match self.before {
            Some(base) => base.tree.read(file).ok(),
            // `--before VERSION` takes the values as they are.
            None => self.text(file),
        })
    }
}
