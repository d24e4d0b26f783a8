//! Umbrella charts: Chart.yaml or requirements.yaml with Milvus among the dependencies, their lock, their values per environment.

use std::collections::HashSet;
use std::sync::Arc;

use super::chart_folder::{ChartFolder, Dependency, told_by};
use super::context::{Context, join};
use super::environments::environments;
use super::gitops::version;
use super::item::{Item, gap_at};
use super::lineage::{is_milvus_chart, lineage};
use super::misplaced::misplaced;
use super::nested::{Said, said, under};
use super::values_layer;
use super::{Reading, SourceFile};
use crate::model::declaration::{ChartSource, Declaration, Form, Layer, Lineage, Lock, NotChecked, NotCheckedKind};
use crate::model::place::{Fact, Place};
use crate::model::value::Value;

/// Charts within charts are followed this far.
const MAX_DEPTH: usize = 3;

/// Milvus somewhere below a chart of the tree.
#[derive(Debug, Clone)]
pub struct MilvusPart {
    /// The charts on the way, outermost first, each with the dependency that leads on. The last dependency is Milvus.
    steps: Vec<(ChartFolder, Dependency)>,
    /// Which chart it is.
    chart: ChartSource,
    lock: Option<Lock>,
    /// Where the version stands.
    place: Place,
}

/// Reads a chart's dependencies, or a copy of zilliztech's chart.
#[must_use]
pub fn read(file: &SourceFile, context: &Context<'_>) -> Reading {
    let mut reading = Reading::default();
    if !matches!(file.file_name(), "Chart.yaml" | "requirements.yaml") {
        return reading;
    }
    let Some(chart) = ChartFolder::load(file.folder(), context) else {
        return reading;
    };
    if chart.dependencies_file != file.path || chart.metadata.text_at(&["type"]) == Some("library") {
        return reading;
    }
    let declarations = if chart.is_copy_of_zilliztech() { vec![copy_of_zilliztech(&chart)] } else { releases(&chart, context) };
    if !declarations.is_empty() && !is_part_of_another(&chart.folder, context) {
        reading.declarations = declarations;
    }
    reading
}

/// What a chart in the tree says about Milvus under values that somebody gives it: a command, an Argo CD Application, a helmfile. The chart's own
/// values.yaml lies under `given` (lowest first, as values of the chart in the folder). The caller sets identity, name, namespace and applier.
/// A copy of zilliztech's chart takes the given values as they are. Empty when no Milvus is in it, or it is switched off.
#[must_use]
pub fn declarations_of_chart(folder: &str, given: &[Layer], context: &Context<'_>) -> Vec<Declaration> {
    let Some(chart) = ChartFolder::load(folder, context) else {
        return Vec::new();
    };
    if chart.is_copy_of_zilliztech() {
        let mut declaration = copy_of_zilliztech(&chart);
        declaration.source_only = false;
        declaration.layers = given.to_vec();
        return vec![declaration];
    }
    let parts = milvus_parts(&chart, context, 0);
    let (mut layers, gaps) = own_values(&chart, context);
    layers.extend_from_slice(given);
    parts.iter().filter_map(|part| part.declaration(folder, &layers, &gaps, parts.len() > 1, context)).collect()
}

/// Every Milvus in a chart, also below its local dependencies.
#[must_use]
pub fn milvus_parts(chart: &ChartFolder, context: &Context<'_>, depth: usize) -> Vec<MilvusPart> {
    let mut parts = Vec::new();
    for (i, dependency) in chart.dependencies.iter().enumerate() {
        let nth = chart.dependencies.iter().take(i).filter(|d| d.name == dependency.name).count();
        let local = local_folder(chart, dependency, context);
        let inner = local.as_deref().and_then(|folder| ChartFolder::load(folder, context));
        if let Some(inner) = inner.as_ref().filter(|inner| !inner.is_copy_of_zilliztech())
            && depth < MAX_DEPTH
        {
            let below = milvus_parts(inner, context, depth + 1);
            if !below.is_empty() {
                parts.extend(below.into_iter().map(|mut part| {
                    part.steps.insert(0, (chart.clone(), dependency.clone()));
                    part
                }));
                continue;
            }
        }
        if is_milvus_chart(&dependency.name) {
            parts.push(milvus_part(chart, dependency, nth, inner.as_ref(), context));
        }
    }
    parts
}

fn milvus_part(chart: &ChartFolder, dependency: &Dependency, nth: usize, local: Option<&ChartFolder>, context: &Context<'_>) -> MilvusPart {
    let item = &dependency.item;
    let asked = version(item.fact_at(&["version"]));
    let repository = item.fact_at(&["repository"]);
    let mut source = ChartSource {
        lineage: lineage(repository.known().map(|r| &**r), &dependency.name),
        repository: known_repository(repository),
        name: item.fact_at(&["name"]),
        version: asked,
        vendored: None,
    };
    let mut lock = Some(chart.lock(dependency, nth, source.version.known(), context));
    if let Some(local) = local {
        source.vendored = Some(local.folder.clone());
        if local.is_copy_of_zilliztech() {
            source.lineage = Lineage::Zilliztech;
            source.version = local.version();
        } else if source.repository.is_absent() || source.lineage == Lineage::Wrapper {
            source.lineage = Lineage::Wrapper;
        }
        // What lies in the tree needs no lock.
        lock = None;
    } else if let Some((path, version)) = chart.archive(&dependency.name, context) {
        // Helm takes what lies in charts/, whatever the lock says.
        let locked_otherwise = lock.as_ref().is_some_and(|l| l.disagrees || l.version.known().is_some_and(|locked| *locked != version));
        let disagrees = locked_otherwise || source.version.known().is_some_and(|asked| !asked.admits(&version));
        lock = Some(Lock { version: told_by(&path, version), disagrees });
        source.vendored = Some(path);
    }
    let place = item.get("name").map_or_else(|| item.place(), Item::place);
    MilvusPart { steps: vec![(chart.clone(), dependency.clone())], chart: source, lock, place }
}

/// Names of the user's own Helm configuration are no repository that can be looked at.
fn known_repository(repository: Fact<Arc<str>>) -> Fact<Arc<str>> {
    match repository {
        Fact::Known(url, origin) if url.starts_with('@') || url.starts_with("alias:") => {
            Fact::Unknown(format!("`{url}` is a name in Helm's own configuration").into(), origin)
        }
        other => other,
    }
}

/// The folder of a dependency that lies in the tree.
fn local_folder(chart: &ChartFolder, dependency: &Dependency, context: &Context<'_>) -> Option<String> {
    let has_chart = |folder: &String| context.exists(&format!("{folder}/Chart.yaml"));
    let repository = dependency.item.text_at(&["repository"]).unwrap_or_default();
    let named = repository.strip_prefix("file://").and_then(|path| join(&chart.folder, path)).filter(has_chart);
    named.or_else(|| join(&chart.folder, &format!("charts/{}", dependency.name)).filter(has_chart))
}

/// Whether another chart of the tree takes this one as its own: by its place under `charts/`, or by `file://`.
fn is_part_of_another(folder: &str, context: &Context<'_>) -> bool {
    if let Some((parent, _)) = folder.rsplit_once('/')
        && let Some(above) = parent.strip_suffix("charts").map(|above| above.trim_end_matches('/'))
        && (parent == "charts" || parent.ends_with("/charts"))
        && join(above, "Chart.yaml").is_some_and(|path| context.exists(&path))
    {
        return true;
    }
    context.is_taken_in(folder)
}

/// The folders of charts that others depend on by `file://`.
pub(super) fn charts_taken_in(context: &Context<'_>) -> HashSet<String> {
    let names_one =
        |file: &&SourceFile| matches!(file.file_name(), "Chart.yaml" | "requirements.yaml") && memchr::memmem::find(file.text.as_bytes(), b"file://").is_some();
    let charts = context.files.iter().filter(names_one).filter_map(|file| ChartFolder::load(file.folder(), context));
    let taken_by = |chart: ChartFolder| -> Vec<String> {
        chart.dependencies.iter().filter_map(|d| local_folder(&chart, d, context)).filter(|folder| **folder != *chart.folder).collect()
    };
    charts.flat_map(taken_by).collect()
}

fn copy_of_zilliztech(chart: &ChartFolder) -> Declaration {
    let name = chart.metadata.get("version").or_else(|| chart.metadata.get("name")).unwrap_or(&chart.metadata);
    let mut declaration = Declaration::blank(Form::Umbrella, &chart.folder, name.place());
    declaration.chart = ChartSource {
        repository: Fact::Absent,
        name: chart.metadata.fact_at(&["name"]),
        version: chart.version(),
        lineage: Lineage::Zilliztech,
        vendored: Some(chart.folder.clone()),
    };
    declaration.source_only = true;
    // What a copy in the tree runs with is said where it is deployed.
    declaration.layers = vec![Layer::Unseen { what: "the values that this copy of the chart is deployed with".into(), place: declaration.place.clone() }];
    declaration
}

/// Leaves out copies of zilliztech's chart that another declaration deploys: they are judged with the values that it gives them.
pub(super) fn leave_out_deployed_copies(reading: &mut Reading) {
    let deployed: HashSet<Arc<str>> = reading.declarations.iter().filter(|d| !d.source_only).filter_map(|d| d.chart.vendored.clone()).collect();
    reading.declarations.retain(|d| !d.source_only || d.chart.vendored.as_ref().is_none_or(|folder| !deployed.contains(folder)));
}

/// The chart's own values.yaml as the lowest layer.
fn own_values(chart: &ChartFolder, context: &Context<'_>) -> (Vec<Layer>, Vec<NotChecked>) {
    let Some(path) = join(&chart.folder, "values.yaml").filter(|path| context.exists(path)) else {
        return (Vec::new(), Vec::new());
    };
    let read = values_layer::read(context, &path, &chart.metadata.place());
    (read.layer.into_iter().collect(), read.gap.into_iter().collect())
}

/// One release per environment whose values speak to Milvus, and one of values.yaml alone where an environment does not, or production is not among them.
fn releases(chart: &ChartFolder, context: &Context<'_>) -> Vec<Declaration> {
    let parts = milvus_parts(chart, context, 0);
    if parts.is_empty() {
        return Vec::new();
    }
    let (base, gaps) = own_values(chart, context);
    let environments = environments(&chart.folder, context);
    let mut declarations = Vec::new();
    for part in &parts {
        let several = parts.len() > 1;
        let mut speaking = Vec::new();
        for environment in &environments {
            let read = values_layer::read(context, &environment.path, &part.place);
            let layers: Vec<Layer> = read.layer.into_iter().collect();
            if part.is_spoken_to(&layers, context) {
                let gaps: Vec<NotChecked> = gaps.iter().cloned().chain(read.gap).collect();
                speaking.push((environment, [base.clone(), layers].concat(), gaps));
            }
        }
        let production_speaks = speaking.iter().any(|(environment, ..)| environment.is_production());
        if speaking.len() < environments.len() || !production_speaks {
            declarations.extend(part.declaration(&chart.folder, &base, &gaps, several, context));
        }
        for (environment, layers, gaps) in speaking {
            let scope = format!("{}#{}", chart.folder, environment.name);
            declarations.extend(part.declaration(&scope, &layers, &gaps, several, context));
        }
    }
    declarations
}

impl MilvusPart {
    /// The keys that lead to Milvus's values.
    #[must_use]
    pub fn keys(&self) -> Vec<Arc<str>> {
        self.steps.iter().map(|(_, dependency)| dependency.key.clone()).collect()
    }

    /// Whether these values change anything for Milvus: its own values, globals, a switch, or values at a wrong place.
    fn is_spoken_to(&self, layers: &[Layer], context: &Context<'_>) -> bool {
        let mut at = layers.to_vec();
        for (_, dependency) in &self.steps {
            let switched = conditions(dependency).iter().any(|path| said(&at, path) != Said::Nothing)
                || tags(dependency).iter().any(|tag| said(&at, &format!("tags.{tag}")) != Said::Nothing);
            at = under(&at, &dependency.key);
            if switched || !at.is_empty() {
                return true;
            }
        }
        self.steps.first().is_some_and(|(chart, _)| !misplaced(chart, &self.keys(), layers, context).is_empty())
    }

    /// What the chart says about this Milvus under values of the outermost chart (lowest first, its own values.yaml among them).
    /// Nothing when a condition or tag switches it off.
    #[must_use]
    pub fn declaration(&self, scope: &str, layers: &[Layer], gaps: &[NotChecked], several: bool, context: &Context<'_>) -> Option<Declaration> {
        let mut at = layers.to_vec();
        let mut gaps = gaps.to_vec();
        for (i, (chart, dependency)) in self.steps.iter().enumerate() {
            if i > 0 {
                let (own, own_gaps) = own_values(chart, context);
                at = [own, at].concat();
                gaps.extend(own_gaps);
            }
            match switch(dependency, &at) {
                Switch::Off => return None,
                Switch::Unknown => gaps.push(gap_at(
                    dependency.item.place(),
                    NotCheckedKind::PartlyChecked,
                    "whether this dependency is switched on cannot be read: it is checked as if it were",
                )),
                Switch::On => {}
            }
            at = under(&at, &dependency.key);
        }
        let scope = if several { format!("{scope}/{}", self.keys().join("/")) } else { scope.to_owned() };
        let mut declaration = Declaration::blank(Form::Umbrella, &scope, self.place.clone());
        declaration.chart = self.chart.clone();
        if declaration.chart.lineage == Lineage::Unknown && proves_zilliztech(&at) {
            declaration.chart.lineage = Lineage::Zilliztech;
        }
        if let Some((chart, _)) = self.steps.first() {
            declaration.umbrella = chart.name().map(|name| format!("{name}/{}", self.keys().join("/")).into());
            declaration.misplaced = misplaced(chart, &self.keys(), layers, context);
        }
        declaration.layers = at;
        declaration.lock = self.lock.clone();
        declaration.gaps = gaps;
        Some(declaration)
    }
}

/// Whether the layers name the image of zilliztech's chart.
pub(super) fn proves_zilliztech(layers: &[Layer]) -> bool {
    matches!(said(layers, "image.all.repository"), Said::Value(Value::String(repository)) if repository.ends_with("milvusdb/milvus"))
        || said(layers, "image.all.tag") != Said::Nothing
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switch {
    On,
    Off,
    Unknown,
}

/// Whether a dependency is switched on: by the first condition that is a switch, else by its tags, else it is.
fn switch(dependency: &Dependency, layers: &[Layer]) -> Switch {
    for path in conditions(dependency) {
        match said(layers, &path) {
            Said::Value(Value::Bool(on)) => return if on { Switch::On } else { Switch::Off },
            Said::Value(Value::Unknown(_)) | Said::Unknown => return Switch::Unknown,
            Said::Value(_) | Said::Nothing => {}
        }
    }
    let said: Vec<Said> = tags(dependency).iter().map(|tag| said(layers, &format!("tags.{tag}"))).collect();
    let is = |on: bool| said.contains(&Said::Value(Value::Bool(on)));
    if is(false) && !is(true) { Switch::Off } else { Switch::On }
}

fn conditions(dependency: &Dependency) -> Vec<String> {
    let text = dependency.item.text_at(&["condition"]).unwrap_or_default();
    text.split(',').map(|path| path.trim().to_owned()).filter(|path| !path.is_empty()).collect()
}

fn tags(dependency: &Dependency) -> Vec<String> {
    dependency.item.get("tags").map(Item::items).unwrap_or_default().iter().filter_map(Item::text).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::version::VersionSpec;
    use crate::source::memory::MemoryTree;

    const ZILLIZ: &str = "https://zilliztech.github.io/milvus-helm/";

    fn chart(rest: &str) -> String {
        format!("apiVersion: v2\nname: app\nversion: 0.1.0\ndependencies:\n- name: milvus\n  repository: {ZILLIZ}\n  version: 4.2.58\n{rest}")
    }

    fn read_all(files: &[(&str, &str)]) -> Vec<Declaration> {
        let tree = MemoryTree::new(files.iter().copied());
        let files = tree.candidates();
        let context = Context::new(&tree, &files);
        files.iter().flat_map(|file| read(file, &context).declarations).collect()
    }

    fn says(declaration: &Declaration, path: &str) -> Said {
        said(&declaration.layers, path)
    }

    fn text(value: &str) -> Said {
        Said::Value(Value::String(value.into()))
    }

    fn scopes(all: &[Declaration]) -> Vec<&str> {
        all.iter().map(|d| &*d.identity.scope).collect()
    }

    #[test]
    fn values_stand_under_the_name_and_the_version_has_its_place() {
        let all = read_all(&[("a/Chart.yaml", &chart("")), ("a/values.yaml", "milvus:\n  image: {all: {tag: v2.5.10}}\nother: 1\n")]);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].chart.lineage, Lineage::Zilliztech);
        assert_eq!(all[0].chart.version.place().unwrap().to_string(), "a/Chart.yaml:7:12");
        assert_eq!(all[0].place.to_string(), "a/Chart.yaml:5:9");
        assert_eq!(says(&all[0], "image.all.tag"), text("v2.5.10"));
        assert_eq!(all[0].lock, Some(Lock { version: Fact::Absent, disagrees: false }));
        assert!(all[0].misplaced.is_empty());
    }

    #[test]
    fn an_alias_takes_the_place_of_the_name() {
        let all = read_all(&[
            ("Chart.yaml", &chart("  alias: vectors\n")),
            ("values.yaml", "vectors: {image: {all: {tag: v2.5.10}}}\nmilvus: {image: {all: {tag: v2.4.1}}}\n"),
        ]);
        assert_eq!(says(&all[0], "image.all.tag"), text("v2.5.10"));
        assert_eq!(&*all[0].misplaced[0].0, "milvus");
    }

    #[test]
    fn old_requirements_and_their_lock_are_read() {
        let all = read_all(&[
            ("a/Chart.yaml", "apiVersion: v1\nname: milvus-stack\nversion: 1.0.0\n"),
            ("a/requirements.yaml", "dependencies:\n- {name: milvus, version: ^4.1, repository: 'https://milvus-io.github.io/milvus-helm'}\n"),
            ("a/requirements.lock", "dependencies:\n- {name: milvus, version: 4.1.36, repository: 'https://milvus-io.github.io/milvus-helm'}\n"),
        ]);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].chart.lineage, Lineage::Archived);
        let lock = all[0].lock.as_ref().unwrap();
        assert_eq!(lock.version.known().unwrap().to_string(), "4.1.36");
        assert!(!lock.disagrees);
        assert_eq!(lock.version.place().unwrap().file.as_ref(), "a/requirements.lock");
    }

    #[test]
    fn a_lock_that_does_not_satisfy_the_range_disagrees() {
        for lock in [
            format!("dependencies:\n- {{name: milvus, version: 4.1.0, repository: '{ZILLIZ}'}}\n"),
            "dependencies:\n- {name: milvus, version: 4.2.58, repository: 'https://charts.example.com'}\n".to_owned(),
            "dependencies:\n- {name: other, version: 4.2.58}\n".to_owned(),
        ] {
            let all = read_all(&[("a/Chart.yaml", &chart("")), ("a/Chart.lock", &lock)]);
            assert!(all[0].lock.as_ref().unwrap().disagrees, "{lock}");
        }
    }

    #[test]
    fn a_dependency_switched_off_is_no_release() {
        let off = |rest: &str, values: &str| read_all(&[("a/Chart.yaml", &chart(rest)), ("a/values.yaml", values)]).is_empty();
        assert!(off("  condition: milvus.enabled\n", "milvus: {enabled: false}\n"));
        assert!(off("  condition: global.nothing,vector.active\n", "vector: {active: false}\n"));
        assert!(off("  tags: [vector]\n", "tags: {vector: false}\n"));
        assert!(!off("  tags: [vector]\n  condition: milvus.enabled\n", "tags: {vector: false}\nmilvus: {enabled: true}\n"));
        assert!(!off("  condition: milvus.enabled\n", "milvus: {enabled: 'false'}\n"));
        assert!(!off("  condition: milvus.enabled\n", "milvus: {}\n"));
    }

    #[test]
    fn each_environment_that_speaks_to_milvus_is_a_release() {
        let all = read_all(&[
            ("a/Chart.yaml", &chart("  condition: milvus.enabled\n")),
            ("a/values.yaml", "milvus: {enabled: true, image: {all: {tag: v2.5.10}}}\n"),
            ("a/values-dev.yaml", "milvus: {enabled: false}\n"),
            ("a/environments/prod.yaml", "milvus: {image: {all: {tag: v2.5.16}}}\n"),
        ]);
        assert_eq!(scopes(&all), ["a#prod"]);
        assert_eq!(says(&all[0], "image.all.tag"), text("v2.5.16"));
        assert_eq!(says(&all[0], "enabled"), Said::Value(Value::Bool(true)));
    }

    #[test]
    fn values_alone_are_a_release_where_an_environment_says_nothing_or_none_is_production() {
        let with = |path: &str, content: &str| {
            let all = read_all(&[("a/Chart.yaml", &chart("")), ("a/values.yaml", "milvus: {}\n"), (path, content)]);
            scopes(&all).iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(with("a/values-prod.yaml", "other: 1\n"), ["a"]);
        assert_eq!(with("a/values-dev.yaml", "milvus: {cluster: {enabled: false}}\n"), ["a", "a#dev"]);
        assert_eq!(with("a/prod/values.yaml", "milvus: {cluster: {enabled: false}}\n"), ["a#prod"]);
    }

    #[test]
    fn values_at_the_top_of_an_umbrella_are_misplaced_unless_its_templates_read_them() {
        let values = "image: {all: {tag: v2.5.10}}\nqueryNode: {replicas: 3}\nminio: {mode: standalone}\n";
        let all = read_all(&[("a/Chart.yaml", &chart("")), ("a/values.yaml", values)]);
        let keys: Vec<&str> = all[0].misplaced.iter().map(|(key, _)| &**key).collect();
        assert_eq!(keys, ["image.all", "queryNode", "minio"]);
        assert_eq!(all[0].misplaced[1].1.to_string(), "a/values.yaml:2:1");
        let all = read_all(&[
            ("a/Chart.yaml", &chart("")),
            ("a/values.yaml", "queryNode: {replicas: 3}\n"),
            ("a/templates/x.yaml", "{{ .Values.queryNode.replicas }}"),
        ]);
        assert!(all[0].misplaced.is_empty());
        let all = read_all(&[("a/Chart.yaml", &chart("")), ("a/values.yaml", "minio: {mode: standalone}\netcd: {}\ncluster: {}\n")]);
        assert!(all[0].misplaced.is_empty());
        let all = read_all(&[("a/Chart.yaml", &chart("")), ("a/values.yaml", "minio: {mode: standalone}\netcd: {}\ncluster: {enabled: false}\n")]);
        assert_eq!(all[0].misplaced.len(), 3);
    }

    #[test]
    fn a_vendored_archive_tells_the_version() {
        let all =
            read_all(&[("a/Chart.yaml", &chart("").replace("4.2.58", "^4.2")), ("a/charts/milvus-4.2.51.tgz", ""), ("a/charts/milvus-operator-1.0.0.tgz", "")]);
        let lock = all[0].lock.as_ref().unwrap();
        assert_eq!((lock.version.known().unwrap().to_string().as_str(), lock.disagrees), ("4.2.51", false));
        assert_eq!(all[0].chart.vendored.as_deref(), Some("a/charts/milvus-4.2.51.tgz"));
    }

    const COPY: &str =
        "apiVersion: v1\nname: milvus\nversion: 4.2.20\nappVersion: 2.4.16\nhome: https://milvus.io/\nsources: ['https://github.com/zilliztech/milvus-helm']\n";

    #[test]
    fn a_copy_of_the_chart_is_a_source_and_its_values_are_not_the_users() {
        let all = read_all(&[("charts/milvus/Chart.yaml", COPY), ("charts/milvus/values.yaml", "cluster: {enabled: true}\nqueryNode: {replicas: 1}\n")]);
        assert_eq!(all.len(), 1);
        assert!(all[0].source_only && matches!(all[0].layers[..], [Layer::Unseen { .. }]));
        assert_eq!(all[0].chart.lineage, Lineage::Zilliztech);
    }

    #[test]
    fn a_copy_below_an_umbrella_gives_its_version_to_the_release() {
        for (repository, folder) in [("file://../milvus", "milvus"), ("''", "a/charts/milvus")] {
            let umbrella = format!("apiVersion: v2\nname: app\nversion: 0.1.0\ndependencies: [{{name: milvus, version: '*', repository: {repository}}}]\n");
            let copy = format!("{folder}/Chart.yaml");
            let all = read_all(&[("a/Chart.yaml", &umbrella), ("a/values.yaml", "milvus: {image: {all: {tag: v2.4.16}}}\n"), (&copy, COPY)]);
            assert_eq!(all.len(), 1, "{repository}");
            assert!(!all[0].source_only);
            assert_eq!(all[0].chart.version.known(), Some(&VersionSpec::parse("4.2.20")));
            assert_eq!((all[0].chart.lineage, all[0].lock.clone()), (Lineage::Zilliztech, None));
        }
    }

    #[test]
    fn a_wrapper_called_milvus_is_looked_through_or_left_unjudged() {
        let wrapper = chart("").replace("name: app", "name: milvus");
        let outer = "apiVersion: v2\nname: platform\nversion: 0.1.0\ndependencies: [{name: milvus, version: 0.1.0, repository: 'file://../milvus'}]\n";
        let all = read_all(&[
            ("outer/Chart.yaml", outer),
            ("outer/values.yaml", "milvus: {milvus: {image: {all: {tag: v2.5.16}}}}\n"),
            ("milvus/Chart.yaml", &wrapper),
            ("milvus/values.yaml", "milvus: {image: {all: {tag: v2.5.10, pullPolicy: Always}}}\n"),
        ]);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].chart.version.known(), Some(&VersionSpec::parse("4.2.58")));
        assert_eq!(says(&all[0], "image.all.tag"), text("v2.5.16"));
        assert_eq!(says(&all[0], "image.all.pullPolicy"), text("Always"));
        assert!(all[0].misplaced.is_empty());
        let own = "apiVersion: v2\nname: milvus\nversion: 0.1.0\nappVersion: 2.5.0\n";
        let all = read_all(&[("outer/Chart.yaml", outer), ("milvus/Chart.yaml", own)]);
        assert_eq!(all[0].chart.lineage, Lineage::Wrapper);
    }

    #[test]
    fn two_of_one_chart_are_two_releases() {
        let two = format!("{}- {{name: milvus, alias: second, version: 5.0.19, repository: '{ZILLIZ}'}}\n", chart(""));
        let lock = format!(
            "dependencies:\n- {{name: milvus, version: 4.2.58, repository: '{ZILLIZ}'}}\n- {{name: milvus, version: 5.0.19, repository: '{ZILLIZ}'}}\n"
        );
        let all = read_all(&[("a/Chart.yaml", &two), ("a/Chart.lock", &lock)]);
        assert_eq!(scopes(&all), ["a/milvus", "a/second"]);
        assert!(all.iter().all(|d| !d.lock.as_ref().unwrap().disagrees));
    }

    #[test]
    fn requirements_without_a_readable_chart_and_variables_are_read() {
        let all = read_all(&[(
            "a/requirements.yaml",
            "dependencies: [{name: milvus, version: $MILVUS_CHART, repository: 'https://milvus-io.github.io/milvus-helm'}]\n",
        )]);
        assert_eq!(all.len(), 1);
        assert!(all[0].chart.version.is_unknown());
    }

    #[test]
    fn what_is_not_milvus_is_no_release() {
        assert!(read_all(&[("a/Chart.yaml", "name: milvus-operator\nversion: 1.0.0\n")]).is_empty());
        assert!(read_all(&[("a/Chart.yaml", &chart("").replace("name: milvus", "name: milvus-operator"))]).is_empty());
        assert!(read_all(&[("a/Chart.yaml", &chart("type: library\n"))]).is_empty());
        assert!(read_all(&[("a/Chart.yaml", "# milvus\nname: x\ndependencies: {a: b}\n")]).is_empty());
    }

    #[test]
    fn lineages_of_repositories_and_names_of_helms_own_configuration() {
        let with = |repository: &str| read_all(&[("a/Chart.yaml", &chart("").replace(ZILLIZ, repository))]).remove(0).chart;
        assert_eq!(with("oci://registry-1.docker.io/bitnamicharts").lineage, Lineage::Bitnami);
        assert_eq!(with("'@zilliztech'").lineage, Lineage::Zilliztech);
        assert!(with("'@zilliztech'").repository.is_unknown());
        assert_eq!(with("'alias:internal'").lineage, Lineage::Unknown);
        assert_eq!(with("https://charts.example.com").lineage, Lineage::Unknown);
    }

    #[test]
    fn given_values_lie_over_the_charts_own() {
        let text_of = chart("");
        let tree = MemoryTree::new([
            ("a/Chart.yaml", &*text_of),
            ("a/values.yaml", "milvus: {image: {all: {tag: v2.5.10}}}\n"),
            ("a/values-prod.yaml", "milvus: {}\n"),
        ]);
        let files = tree.candidates();
        let set = Layer::Set {
            kind: crate::model::declaration::SetKind::Set,
            text: "milvus.image.all.tag=v2.5.16,x=y".into(),
            place: Place::file_start(&"run.sh".into()),
            file: None,
        };
        let all = declarations_of_chart("a", &[set], &Context::new(&tree, &files));
        assert_eq!(all.len(), 1);
        assert!(matches!(&all[0].layers[..], [Layer::Table { .. }, Layer::Set { text, .. }] if &**text == "image.all.tag=v2.5.16"));
    }
}
