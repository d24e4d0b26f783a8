//! Writes one Milvus release in the forms in which people keep releases, and judges a change of it.

use std::collections::BTreeMap;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::{Change, ChangeKind, Environment};
use milvus_guard::model::finding::Severity;
use milvus_guard::policy::{self, Policies};
use milvus_guard::source::memory::MemoryTree;
use milvus_guard::source::{self, pair};

pub(crate) use crate::changes::{State, values};

/// A form of a release; the applier follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Form {
    /// `HelmRelease` and `HelmRepository`.
    Flux,
    /// `Application` with `valuesObject`.
    ArgoCd,
    /// `Chart.yaml`, `Chart.lock` and `values.yaml`.
    Umbrella,
    /// `helmfile.yaml` and a values file.
    Helmfile,
    /// `helm upgrade -f` in a shell script.
    Shell,
    /// A values file; the chart version stands in a GitLab job.
    Values,
}

pub(crate) const SIX_FORMS: [Form; 6] = [Form::Flux, Form::ArgoCd, Form::Umbrella, Form::Helmfile, Form::Shell, Form::Values];

/// Rule ids with the worst severity of their findings.
pub(crate) type Verdict = BTreeMap<String, Severity>;

const REPOSITORY: &str = "https://zilliztech.github.io/milvus-helm";

impl Form {
    /// The files that declare the state, by path.
    pub(crate) fn files(self, state: &State) -> Vec<(&'static str, String)> {
        let State { chart, values } = state;
        match self {
            Self::Flux => vec![("apps/milvus/repository.yaml", FLUX_REPOSITORY.to_owned()), ("apps/milvus/release.yaml", flux_release(chart, values))],
            Self::ArgoCd => vec![("apps/milvus.yaml", argocd_application(chart, values))],
            Self::Umbrella => vec![
                ("charts/vectors/Chart.yaml", umbrella_chart(chart)),
                ("charts/vectors/Chart.lock", umbrella_lock(chart)),
                ("charts/vectors/values.yaml", format!("milvus:\n{}", indented(values, 2))),
            ],
            Self::Helmfile => vec![("helmfile.yaml", helmfile(chart)), ("milvus-values.yaml", values.clone())],
            Self::Shell => vec![("deploy.sh", script(chart)), ("values.yaml", values.clone())],
            Self::Values => vec![(".gitlab-ci.yml", gitlab_job(chart)), ("deploy/milvus/values.yaml", values.clone())],
        }
    }

    /// What the library says about a change in this form: all findings on all releases that it sees, and how many releases changed.
    pub(crate) fn judge(self, before: &State, after: &State) -> (Verdict, usize) {
        let read = |state: &State| {
            let files = self.files(state);
            let tree = MemoryTree::new(files.iter().map(|(path, text)| (*path, text.as_str())));
            let candidates = tree.candidates();
            let reading = source::read_tree(&tree, &candidates);
            assert!(reading.gaps.is_empty(), "{self:?}: {:?}", reading.gaps);
            reading.declarations
        };
        let pairs = pair::pair(read(before), read(after));
        let changed = pairs.iter().filter(|pair| pair.kind == ChangeKind::Changed).count();
        let changes = pairs.into_iter().filter_map(|pair| Change::new(pair.before, pair.after, pair.kind, Environment::default(), Catalogue::embedded()));
        let mut verdict = Verdict::new();
        for finding in changes.flat_map(|change| policy::check(&change, Policies::embedded())) {
            let severity = verdict.entry(finding.rule.to_string()).or_insert(finding.severity);
            *severity = (*severity).max(finding.severity);
        }
        (verdict, changed)
    }
}

/// `MV205 E, MV604 I`
pub(crate) fn shown(verdict: &Verdict) -> String {
    let letter = |severity| match severity {
        Severity::Error => 'E',
        Severity::Warning => 'W',
        Severity::Info => 'I',
    };
    verdict.iter().map(|(id, severity)| format!("{id} {}", letter(*severity))).collect::<Vec<_>>().join(", ")
}

fn indented(text: &str, depth: usize) -> String {
    text.lines().map(|line| format!("{:depth$}{line}\n", "")).collect()
}

const FLUX_REPOSITORY: &str = "apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata:
  name: zilliztech
  namespace: vectors
spec:
  interval: 1h
  url: https://zilliztech.github.io/milvus-helm
";

fn flux_release(chart: &str, values: &str) -> String {
    format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: vectors
  namespace: vectors
spec:
  interval: 10m
  chart:
    spec:
      chart: milvus
      version: {chart}
      sourceRef:
        kind: HelmRepository
        name: zilliztech
  values:
{}",
        indented(values, 4)
    )
}

fn argocd_application(chart: &str, values: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: vectors
  namespace: argocd
spec:
  project: default
  destination:
    server: https://kubernetes.default.svc
    namespace: vectors
  source:
    repoURL: {REPOSITORY}
    chart: milvus
    targetRevision: {chart}
    helm:
      releaseName: vectors
      valuesObject:
{}",
        indented(values, 8)
    )
}

fn umbrella_chart(chart: &str) -> String {
    format!("apiVersion: v2\nname: vectors\nversion: 1.0.0\ndependencies:\n  - name: milvus\n    version: {chart}\n    repository: {REPOSITORY}\n")
}

fn umbrella_lock(chart: &str) -> String {
    format!(
        "dependencies:
- name: milvus
  repository: {REPOSITORY}
  version: {chart}
digest: sha256:4f0c9cf8ab0d2a4d7c4a0cf6a3a1f1a2b7a1e5c7f3f1d0a9b8c7d6e5f4a3b2c1
generated: \"2026-01-01T00:00:00Z\"
"
    )
}

fn helmfile(chart: &str) -> String {
    format!(
        "repositories:
  - name: zilliztech
    url: {REPOSITORY}
releases:
  - name: vectors
    namespace: vectors
    chart: zilliztech/milvus
    version: {chart}
    values:
      - milvus-values.yaml
"
    )
}

fn script(chart: &str) -> String {
    format!(
        "#!/bin/sh
set -eu
helm repo add zilliztech {REPOSITORY}
helm upgrade --install vectors zilliztech/milvus --namespace vectors --version {chart} -f values.yaml
"
    )
}

fn gitlab_job(chart: &str) -> String {
    format!(
        "variables:
  MILVUS_CHART: {chart}
deploy:
  image: alpine/helm:3.17.0
  script:
    - helm repo add zilliztech {REPOSITORY}
    - helm upgrade vectors zilliztech/milvus -n vectors --version \"$MILVUS_CHART\" --values deploy/milvus/values.yaml
"
    )
}
