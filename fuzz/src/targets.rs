//! What is fed: one target per reader, each with all that follows it (pairing, resolving, judging, reporting), and the parts that strangers reach directly.

use std::sync::Arc;

use milvus_guard::document::yaml;
use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::{Change, Environment};
use milvus_guard::model::declaration::{Layer, SetKind};
use milvus_guard::model::finding::Report;
use milvus_guard::model::helm::HelmMajor;
use milvus_guard::model::merge::user_values;
use milvus_guard::model::place::{Place, Position};
use milvus_guard::model::range::VersionRange;
use milvus_guard::model::version::{ImageTag, MilvusVersion, VersionSpec};
use milvus_guard::policy::{self, Policies};
use milvus_guard::report;
use milvus_guard::source::memory::MemoryTree;
use milvus_guard::source::{self, convert, pair};

/// Something that takes any text.
pub(crate) struct Target {
    /// Its name, and its folder in the corpus.
    pub(crate) name: &'static str,
    /// Must not panic.
    pub(crate) run: fn(&str),
}

/// All targets.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "flux", run: |text| tree(&[("clusters/a/milvus.yaml", text), ("clusters/a/kustomization.yaml", "resources: [milvus.yaml]\n")]) },
    Target { name: "kustomize", run: |text| tree(&[("kustomization.yaml", text), ("milvus.yaml", RELEASE)]) },
    Target { name: "argocd", run: |text| tree(&[("apps/milvus.yaml", text), ("values.yaml", "cluster: {enabled: true}\n")]) },
    Target {
        name: "umbrella",
        run: |text| tree(&[("chart/Chart.yaml", text), ("chart/values.yaml", "milvus: {cluster: {enabled: true}}\n"), ("chart/values-prod.yaml", text)]),
    },
    Target { name: "helmfile", run: |text| tree(&[("helmfile.yaml", text), ("values.yaml", "cluster: {enabled: true}\n")]) },
    Target { name: "shell", run: |text| tree(&[("upgrade.sh", text), ("values.yaml", "cluster: {enabled: true}\n")]) },
    Target { name: "makefile", run: |text| tree(&[("Makefile", text)]) },
    Target { name: "jenkins", run: |text| tree(&[("Jenkinsfile", text)]) },
    Target { name: "workflow", run: |text| tree(&[(".github/workflows/deploy.yaml", text), (".gitlab-ci.yml", text), (".circleci/config.yml", text)]) },
    Target { name: "values", run: |text| tree(&[("values.yaml", text)]) },
    Target { name: "manifest", run: |text| tree(&[("rendered.yaml", text)]) },
    Target { name: "k3s", run: |text| tree(&[("milvus.yaml", text)]) },
    Target { name: "merge", run: merge },
    Target { name: "set", run: set },
    Target { name: "version", run: version },
];

const RELEASE: &str = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: milvus}\nspec:\n  chart: {spec: {chart: milvus, version: 4.2.58, sourceRef: {kind: HelmRepository, name: zilliztech}}}\n";

/// Reads a tree, judges each release as it is and against the chart 4.1.24, and writes all reports.
fn tree(files: &[(&str, &str)]) {
    let tree = MemoryTree::new(files.iter().copied());
    let candidates = tree.candidates();
    let declarations = source::read_tree(&tree, &candidates).declarations;
    let earlier = declarations.iter().cloned().map(|mut declaration| {
        declaration.chart.version = milvus_guard::model::place::Fact::Known(VersionSpec::parse("4.1.24"), milvus_guard::model::place::Origin::ChartDefault);
        declaration
    });
    let mut pairs = pair::pair(earlier.collect(), declarations.clone());
    pairs.extend(pair::present(declarations));
    let changes = pairs.into_iter().filter_map(|pair| Change::new(pair.before, pair.after, pair.kind, Environment::default(), Catalogue::embedded()));
    let findings = changes.flat_map(|change| policy::check(&change, Policies::embedded())).collect();
    let report = Report { findings, ..Report::default() };
    let texts = Texts(files.iter().map(|(path, text)| ((*path).to_owned(), Arc::from(*text))).collect());
    let mut out = Vec::new();
    let _ = report::text::write(&mut out, &report, &texts, report::text::Style::default());
    let _ = report::github::write(&mut out, &report);
}

struct Texts(Vec<(String, Arc<str>)>);

impl report::Sources for Texts {
    fn text(&self, file: &str) -> Option<Arc<str>> {
        self.0.iter().find(|(path, _)| path == file).map(|(_, text)| Arc::clone(text))
    }
}

fn place() -> Place {
    let start = Position { line: 1, column: 1 };
    Place { file: "input".into(), start, end: start }
}

/// Two documents of a stream as values files, merged over each other and over a chart.
fn merge(text: &str) {
    let file: Arc<str> = "input".into();
    let layers: Vec<Layer> = yaml::parse_stream(text, &yaml::Limits::default())
        .into_iter()
        .flatten()
        .map(|document| Layer::Table { values: convert::to_value(&file, &document.root), what: "input".into() })
        .collect();
    for helm in [HelmMajor::Three, HelmMajor::Four] {
        if let Ok(values) = user_values(&layers, helm) {
            values.for_each_leaf(&mut |_, _| {});
        }
    }
}

/// Each line as an argument of each flag of the `--set` family, one after the other onto the same values.
fn set(text: &str) {
    for helm in [HelmMajor::Three, HelmMajor::Four] {
        for kind in [SetKind::Set, SetKind::SetString, SetKind::SetJson, SetKind::SetLiteral, SetKind::SetFile] {
            let layers: Vec<Layer> =
                text.lines().take(20).map(|line| Layer::Set { kind, text: line.into(), place: place(), file: Some("content".into()) }).collect();
            let _ = user_values(&layers, helm);
        }
    }
}

fn version(text: &str) {
    for line in text.lines().take(50) {
        let _ = line.parse::<MilvusVersion>();
        let _ = ImageTag::parse(line);
        if let VersionSpec::Exact(version) = VersionSpec::parse(line)
            && let Ok(range) = VersionRange::parse(">=4.1 <5")
        {
            let _ = range.admits(&version);
        }
    }
}
