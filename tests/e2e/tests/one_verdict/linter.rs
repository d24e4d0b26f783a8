//! What `milvus-lint` says: one repository for each form of files, with a folder for each change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use milvus_guard_e2e::programs::{repository as workspace, target_folder};
use serde_json::Value;

use super::columns::{Column, Verdict, verdict};
use super::gates::Judged;
use super::objects::{self, TOOLS};
use super::settings::below;
use super::{Change, Chart, declared};

/// What the program says of a change in a form.
#[derive(Clone, Default)]
pub(super) struct Read {
    /// What the change brings: what a gate has to say.
    pub(super) new: Verdict,
    /// Together with what was so before.
    pub(super) all: Verdict,
}

/// Verdicts of all forms on all changes, in the order of the changes.
pub(super) fn verdicts(program: &Path, changes: &[Change], judged: &BTreeMap<usize, Judged>) -> Vec<BTreeMap<Column, Read>> {
    let mut all = vec![BTreeMap::new(); changes.len()];
    for form in [Column::Files, Column::ApplicationFile, Column::HelmChartFile, Column::ManifestFile] {
        let files = |is_before: bool| -> Vec<(usize, Vec<(String, String)>)> {
            changes.iter().enumerate().map(|(at, change)| (at, of(form, at, change, &judged[&at], is_before))).filter(|(_, files)| !files.is_empty()).collect()
        };
        let (before, after) = (files(true), files(false));
        for (at, verdict) in check(program, &before, &after) {
            all[at].insert(form, verdict);
        }
    }
    all
}

/// The files of a change in a form, below its folder; none where it has no such form.
fn of(form: Column, at: usize, change: &Change, judged: &Judged, is_before: bool) -> Vec<(String, String)> {
    if form == Column::ManifestFile {
        let (before, after) = &judged.manifests;
        let text = if is_before { before } else { after };
        return if change.reuses { Vec::new() } else { vec![("manifests.yaml".to_owned(), text.clone())] };
    }
    if change.chart != Chart::Own {
        return if form == Column::Files { wrapped(at, change, is_before, &judged.namespace) } else { Vec::new() };
    }
    let tool = TOOLS.iter().find(|tool| tool.file == form).unwrap();
    if change.reuses && tool.gate != Column::HelmRelease {
        return Vec::new();
    }
    let yaml = |object: &Value| serde_yaml::to_string(object).unwrap();
    let object = yaml(&tool.object(change, is_before, &judged.namespace));
    let repository = if form == Column::Files { format!("---\n{}", yaml(&declared::repository(&objects::namespace(change)))) } else { String::new() };
    vec![("objects.yaml".to_owned(), format!("{object}{repository}"))]
}

/// A chart around Milvus, and the script that installs it.
fn wrapped(at: usize, change: &Change, is_before: bool, namespace: &str) -> Vec<(String, String)> {
    let state = if is_before { change.before() } else { change.after() };
    let repository = "https://zilliztech.github.io/milvus-helm";
    let key = if change.chart == Chart::Aliased { "vec" } else { "milvus" };
    let alias = if change.chart == Chart::Aliased { ", alias: vec" } else { "" };
    let values = below(key, &state.values);
    // A file without a key would keep the values of the release, as no file does.
    let (own, users) = if change.chart == Chart::Aliased { ("{}\n".to_owned(), values) } else { (values, "global: {}\n".to_owned()) };
    let entry = format!("dependencies:\n- {{name: milvus, version: {}, repository: \"{repository}\"", state.chart);
    let folder = at.to_string();
    let script = format!("#!/bin/sh\nhelm upgrade {} {folder}/chart --namespace {namespace} --values {folder}/values.yaml\n", change.release);
    [
        ("deploy.sh", script),
        ("values.yaml", users),
        ("chart/Chart.yaml", format!("apiVersion: v2\nname: search\nversion: 1.0.0\n{entry}{alias}}}\n")),
        ("chart/Chart.lock", format!("{entry}}}\n")),
        ("chart/values.yaml", own),
    ]
    .map(|(path, text)| (path.to_owned(), text))
    .into()
}

/// Runs the program on a repository whose last commit is the state before.
fn check(program: &Path, before: &[(usize, Vec<(String, String)>)], after: &[(usize, Vec<(String, String)>)]) -> BTreeMap<usize, Read> {
    let folder = tempfile::tempdir().unwrap();
    let write = |state: &[(usize, Vec<(String, String)>)]| {
        for (at, files) in state {
            for (path, text) in files {
                let path = folder.path().join(at.to_string()).join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
        }
    };
    write(before);
    git(folder.path(), &["init", "--quiet"]);
    git(folder.path(), &["add", "--all"]);
    git(folder.path(), &["-c", "user.name=e2e", "-c", "user.email=e2e@localhost", "commit", "--quiet", "--message=before"]);
    write(after);
    let output = Command::new(program)
        .args(["check", "--base=HEAD", "--kube-version=1.36", "--format=json", "--fail-on=never", "."])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = report["findings"].as_array().unwrap();
    let of = |at: usize, severity: &'static str, with_old: bool| {
        let folder = format!("{at}/");
        let is_it = move |finding: &&Value| {
            finding["severity"] == severity && (with_old || finding["baseline"] == "new") && finding["release"]["path"].as_str().unwrap().starts_with(&folder)
        };
        found.iter().filter(is_it).map(|finding| finding["rule"].as_str().unwrap())
    };
    let read = |at: usize| {
        let verdict = |with_old| verdict(of(at, "error", with_old), of(at, "warning", with_old));
        Read { new: verdict(false), all: verdict(true) }
    };
    after.iter().map(|(at, _)| (*at, read(*at))).collect()
}

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The program, built where that is needed.
pub(super) fn binary() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(["build", "--quiet", "--package=milvus-guard", "--bin=milvus-lint"]).current_dir(workspace()).output().unwrap();
    assert!(output.status.success(), "milvus-lint cannot be built:\n{}", String::from_utf8_lossy(&output.stderr));
    target_folder().join("debug/milvus-lint")
}
