//! Finds the files that deploy an umbrella chart of the tree without a word about Milvus: an Argo CD Application that names its folder, a script, a helmfile.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use memchr::memmem;
use rayon::prelude::*;

use super::context::nearness;
use super::{SourceFile, Tree};
use crate::model::declaration::{Declaration, Form};

/// Files that are looked at, those nearest to a chart first.
const MAX_LOOKED_AT: usize = 5_000;
/// Files that are read as if they mentioned Milvus.
const MAX_FOUND: usize = 500;
/// Words of which one stands in every file that deploys a chart.
const SIGNS: [&str; 3] = ["helm", "Helm", "argoproj.io"];
/// Files that readers know by the ends of their names.
const ENDS: [&str; 9] = [".yaml", ".yml", ".gotmpl", ".sh", ".bash", ".mk", ".groovy", "akefile", "enkinsfile"];

/// The files that may deploy the umbrella charts among the declarations, besides those that are read anyway; sorted by path.
#[must_use]
pub(super) fn find(tree: &dyn Tree, files: &[SourceFile], declarations: &[Declaration]) -> Vec<SourceFile> {
    let folders = chart_folders(tree, declarations);
    if folders.is_empty() {
        return Vec::new();
    }
    let is_read_anyway = |path: &Arc<str>| files.binary_search_by(|file| file.path.cmp(path)).is_ok();
    let may_deploy = |path: &&Arc<str>| ENDS.iter().any(|end| path.ends_with(end)) && !is_read_anyway(path);
    let mut paths: Vec<&Arc<str>> = tree.paths().iter().filter(may_deploy).collect();
    if paths.len() > MAX_LOOKED_AT {
        paths.sort_by_key(|path| Reverse(folders.iter().map(|folder| nearness(path, folder)).max()));
        paths.truncate(MAX_LOOKED_AT);
    }
    let look = |path: &&Arc<str>| {
        let text = tree.read(path).ok()?;
        folders.iter().any(|folder| names(&text, path, folder)).then(|| SourceFile::new(Arc::clone(path), text))
    };
    let mut found: Vec<SourceFile> = paths.par_iter().filter_map(look).collect();
    found.truncate(MAX_FOUND);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The folders of umbrella charts of which nobody says how they are deployed.
fn chart_folders<'d>(tree: &dyn Tree, declarations: &'d [Declaration]) -> BTreeSet<&'d str> {
    let has_chart = |folder: &str| {
        let path = if folder.is_empty() { "Chart.yaml".to_owned() } else { format!("{folder}/Chart.yaml") };
        tree.paths().binary_search_by(|known| (**known).cmp(&path)).is_ok()
    };
    let folder_of = |declaration: &'d Declaration| {
        let mut folder = declaration.identity.scope.split('#').next().unwrap_or_default();
        // Where one chart brings several, the scope goes on with their keys.
        while !has_chart(folder) {
            folder = folder.rsplit_once('/')?.0;
        }
        Some(folder)
    };
    declarations.iter().filter(|d| d.identity.form == Form::Umbrella && !d.source_only).filter_map(folder_of).collect()
}

/// Whether a text deploys something, and may mean the chart in this folder.
fn names(text: &str, path: &str, folder: &str) -> bool {
    let has = |word: &str| memmem::find(text.as_bytes(), word.as_bytes()).is_some();
    let name = folder.rsplit('/').next().unwrap_or(folder);
    let stands_beside = || path.rsplit_once('/').map_or("", |(folder, _)| folder) == folder;
    (path.contains("helmfile") || SIGNS.iter().any(|sign| has(sign))) && (has(name) || stands_beside() || (has("ApplicationSet") && has("directories")))
}

#[cfg(test)]
mod tests {
    use crate::model::declaration::{Applier, Form};
    use crate::source::fixture::only;

    const CHART: &str = "apiVersion: v2\nname: search\nversion: 0.1.0\ndependencies:\n- {name: milvus, version: 5.0.19, repository: https://zilliztech.github.io/milvus-helm/}\n";

    /// Form, applier, name and namespace of the only release of a chart that another file deploys.
    fn deployed(path: &str, text: &str) -> (Form, Applier, Option<String>, Option<String>) {
        let one = only(&[("deploy/search/Chart.yaml", CHART), ("deploy/search/values.yaml", "milvus: {cluster: {enabled: false}}\n"), (path, text)]);
        assert!(one.lock.is_some());
        let text = |fact: Option<&std::sync::Arc<str>>| fact.map(ToString::to_string);
        (one.identity.form, one.applier, text(one.name.known()), text(one.namespace.known()))
    }

    #[test]
    fn charts_are_deployed_by_files_that_do_not_mention_milvus() {
        let application = |source: &str| {
            format!("apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: search}}\nspec:\n  destination: {{namespace: db}}\n  {source}\n")
        };
        let set = "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: all}\nspec:\n  generators: [{git: {repoURL: r, directories: [{path: deploy/*}]}}]\n  template:\n    metadata: {name: '{{path.basename}}'}\n    spec: {destination: {namespace: db}, source: {repoURL: r, path: '{{path}}'}}\n";
        let set_of_files = "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: all}\nspec:\n  goTemplate: true\n  generators: [{list: {elements: [{name: search}]}}]\n  template:\n    metadata: {name: '{{.name}}'}\n    spec: {destination: {namespace: db}, source: {repoURL: r, path: 'deploy/{{.name}}'}}\n";
        let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: search, namespace: db}\nspec:\n  chart: {spec: {chart: ./deploy/search, sourceRef: {kind: GitRepository, name: this}}}\n";
        let (name, namespace) = (Some("search".to_owned()), Some("db".to_owned()));
        for (path, text, form, applier) in [
            ("apps/a.yaml", &*application("source: {repoURL: r, path: deploy/search}"), Form::ArgoCd, Applier::Template),
            ("apps/a.yaml", &application("source: {repoURL: r, path: ./deploy/search/}"), Form::ArgoCd, Applier::Template),
            ("a.yaml", &application("sources: [{repoURL: r, ref: v}, {repoURL: r, path: deploy/search}]"), Form::ArgoCd, Applier::Template),
            ("apps/templates/a.yaml", &application("source: {repoURL: '{{ .Values.repo }}', path: deploy/search}"), Form::ArgoCd, Applier::Template),
            ("sets/a.yaml", set, Form::ArgoCd, Applier::Template),
            ("sets/a.yaml", set_of_files, Form::ArgoCd, Applier::Template),
            ("clusters/a/search.yaml", release, Form::Flux, Applier::HelmUpgrade),
            ("helmfile.yaml", "releases: [{name: search, namespace: db, chart: ./deploy/search}]\n", Form::Helmfile, Applier::HelmUpgrade),
            ("deploy/up.sh", "helm upgrade --install search ./search -n db\n", Form::Command, Applier::HelmUpgrade),
            ("deploy/search/Makefile", "up:\n\thelm upgrade --install search . -n db\n", Form::Command, Applier::HelmUpgrade),
        ] {
            assert_eq!(deployed(path, text), (form, applier, name.clone(), namespace.clone()), "{path}: {text}");
        }
    }

    #[test]
    fn what_deploys_another_chart_is_left_alone() {
        let other = "helm upgrade --install other ./other -n db # search\n";
        assert_eq!(deployed("up.sh", other).0, Form::Umbrella);
    }
}
