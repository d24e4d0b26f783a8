//! `check`: reads the tree (and the state before), judges every change, writes the reports.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use rayon::prelude::*;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::{Change, ChangeKind, Environment};
use milvus_guard::model::declaration::{Declaration, NotChecked};
use milvus_guard::model::finding::{Baseline, Finding, Report, Severity, Summary};
use milvus_guard::model::helm::HelmMajor;
use milvus_guard::policy::{self, Policies};
use milvus_guard::report::Sources;
use milvus_guard::source::pair::{self, Pair};
use milvus_guard::source::{self, Reading, Tree as _};

use super::args::{CheckArguments, HelmVersion, KubernetesVersion};
use super::baseline::Excerpts;
use super::before::Given;
use super::git::{Base, Comparison};
use super::inputs::{Inputs, Named, is_stdin};
use super::secrets::{Masked, Secrets};
use super::walk::Walked;
use super::{baseline, exit, gaps, once, output, waivers};

/// Files that are named one by one in a remark; a hook names all that changed.
const MAX_NAMED: usize = 3;

/// Runs `check`.
///
/// # Errors
/// For wrong usage, and when something that the user named cannot be read or written.
pub(crate) fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    output::check_destinations(arguments)?;
    let limit_bytes = arguments.max_file_size.0;
    let given = Given::read(&arguments.before, limit_bytes)?;
    if arguments.base.is_some() && arguments.paths.iter().any(|path| is_stdin(path)) {
        bail!("--base compares files, and standard input has no state before; give it with --before");
    }
    let mut inputs = Inputs::read(Named { paths: &arguments.paths, values: &arguments.values, limit_bytes })?;
    let comparison = arguments.base.as_deref().map(|revision| Comparison::open(&inputs.walked_scope, revision)).transpose()?;
    let base = match comparison {
        Some(comparison) => {
            // A release may have moved into the scope.
            if comparison.lost_outside(&inputs.walked_scope, &inputs.walked.tree) {
                inputs = inputs.widened(limit_bytes);
            }
            inputs.add(&comparison.left_out(&inputs.walked_scope, &inputs.walked.tree));
            let commit = comparison.commit.clone();
            Some((commit, comparison.read(&inputs.walked_scope, &inputs.walked, limit_bytes)))
        }
        None => None,
    };
    let base = base.as_ref().map(|(commit, base)| (commit.as_str(), base));
    let texts = Texts { after: &inputs.walked, before: base.map(|(_, base)| base), given: &given };
    let before = base.map(|(_, base)| source::read_tree(&base.tree, &base.candidates)).unwrap_or_default();
    let masked = Masked {
        texts: &texts,
        after: Secrets::of(inputs.reading.declarations.iter()),
        before: Secrets::of(before.declarations.iter().chain(given.declarations())),
    };
    let report = judge(arguments, &given, &inputs, base, before, &texts);
    output::write(arguments, &report, &masked)?;
    if report.summary.releases == 0 && report.summary.not_checked == 0 && !arguments.require_milvus {
        tell_of_nothing(arguments);
    }
    Ok(exit_code(arguments, &report))
}

/// Pairs both states and judges each change.
fn judge(arguments: &CheckArguments, given: &Given, inputs: &Inputs, base: Option<(&str, &Base<'_>)>, before: Reading, texts: &Texts<'_>) -> Report {
    let mut gaps: Vec<NotChecked> = inputs.walked.gaps.iter().chain(&inputs.reading.gaps).chain(&inputs.reading.idle).cloned().collect();
    let declarations = inputs.reading.declarations.clone();
    gaps.extend(declarations.iter().flat_map(|declaration| Policies::embedded().idle_evidence(declaration)));
    gaps.extend(waivers::unread(&inputs.walked.candidates, inputs.walked.tree.paths()));
    let mut gaps_before = Vec::new();
    let mut pairs = match base {
        None => pair::present(declarations).collect(),
        Some((_, base)) => {
            gaps_before = [base.gaps.as_slice(), &before.gaps, &before.idle].concat();
            gaps_before.extend(before.declarations.iter().flat_map(|declaration| Policies::embedded().idle_evidence(declaration)));
            gaps_before.extend(waivers::unread(&base.candidates, base.tree.paths()));
            gaps::add_before(&mut gaps, base.gaps.iter().chain(&before.gaps).cloned(), &mut gaps_before);
            pair::pair(before.declarations, declarations)
        }
    };
    pairs.retain(|pair| pair.after.as_ref().or(pair.before.as_ref()).is_some_and(|declaration| inputs.concerns(declaration)));
    gaps.retain(|gap| inputs.holds(&gap.file));
    let in_base: Vec<Option<Declaration>> = pairs.iter().map(|pair| pair.before.clone()).collect();
    given.fill_in(&mut pairs);
    let releases = once::count_releases(pairs.iter().filter_map(|pair| pair.after.as_ref()));
    let changes = once::count_releases(pairs.iter().filter(|pair| is_change(pair)).filter_map(|pair| pair.after.as_ref().or(pair.before.as_ref())));
    let gaps = gaps::distinct(gaps);
    let of_releases = pairs.iter().filter_map(|pair| pair.after.as_ref()).flat_map(|declaration| declaration.gaps.iter().cloned());
    let of_releases: Vec<NotChecked> = of_releases.collect();
    let excerpts = Excerpts::new(texts);
    let judge_marked = |(pair, in_base): (Pair, Option<Declaration>)| {
        let identity = pair.after.as_ref().map(|after| after.identity.clone());
        let whose = pair.after.as_ref().or(pair.before.as_ref()).and_then(once::whose);
        let (mut findings, not_checked) = judge_one(pair, arguments);
        if let (Some(_), Some(identity)) = (base, identity) {
            baseline::mark(&mut findings, in_base, &identity, &environment(arguments), &excerpts);
        }
        let findings: Vec<_> = findings.into_iter().map(|finding| (whose.clone(), finding)).collect();
        (findings, not_checked)
    };
    let (findings, of_changes): (Vec<_>, Vec<_>) = pairs.into_par_iter().zip(in_base).map(judge_marked).unzip();
    let not_checked = gaps.iter().cloned().chain(of_releases).chain(of_changes.into_iter().flatten()).collect();
    let not_checked = gaps::entries(&gaps::distinct(not_checked));
    let mut findings = once::merge(findings.into_iter().flatten().collect());
    let mut of_gaps = gaps::findings(&gaps);
    if base.is_some() {
        baseline::mark_gaps(&mut of_gaps, &gaps::distinct(gaps_before));
    }
    findings.append(&mut of_gaps);
    gaps::clear_labels(&mut findings);
    if arguments.strict {
        findings.iter_mut().filter(|finding| gaps::is_about_a_gap(finding)).for_each(|finding| finding.severity = Severity::Error);
    }
    let count = |severity| findings.iter().filter(|finding| !finding.waived && finding.severity == severity).count();
    let summary = Summary {
        files: inputs.count_files(),
        releases,
        changes,
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        infos: count(Severity::Info),
        pre_existing: findings.iter().filter(|finding| finding.baseline == Some(Baseline::PreExisting)).count(),
        not_checked: not_checked.len(),
    };
    Report { base: base.map(|(commit, _)| commit.to_owned()), findings, not_checked, summary }
}

fn judge_one(pair: Pair, arguments: &CheckArguments) -> (Vec<Finding>, Vec<NotChecked>) {
    let Pair { before, after, kind } = pair;
    let change = Change::new(before, after, kind, environment(arguments), Catalogue::embedded());
    change.map(|change| (policy::check(&change, Policies::embedded()), policy::not_checked(&change))).unwrap_or_default()
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

/// Says on standard error that files which were named hold no release: a clean report would look like a verdict on them.
fn tell_of_nothing(arguments: &CheckArguments) {
    let named: Vec<String> = arguments.paths.iter().filter(|path| is_stdin(path) || path.is_file()).map(|path| format!("`{}`", path.display())).collect();
    if !named.is_empty() && named.len() <= MAX_NAMED {
        output::warn(&format!("no Milvus release was found in {}; values of the Milvus chart are named with --values FILE", named.join(", ")));
    }
}

/// The exit code that a report calls for.
fn exit_code(arguments: &CheckArguments, report: &Report) -> ExitCode {
    if arguments.require_milvus && report.summary.releases == 0 {
        output::warn("no Milvus release was found, and --require-milvus asks for one");
        return ExitCode::from(exit::NO_MILVUS);
    }
    let Some(threshold) = arguments.fail_on.threshold() else { return ExitCode::SUCCESS };
    let counts = |finding: &&Finding| !finding.waived && finding.baseline != Some(Baseline::PreExisting);
    let fails = report.findings.iter().filter(counts).any(|finding| finding.severity >= threshold);
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
