//! Umbrella charts: Chart.yaml or requirements.yaml with Milvus among the dependencies, their lock, their values per environment.

use std::collections::HashSet;
use std::sync::Arc;

use super::chart_folder::{ChartFolder, Dependency, told_by};
use super::context::{Context, join};
use super::environments::environments;
use super::gitops::version;
use super::item::Item;
use super::lineage::{is_milvus_chart, lineage};
use super::misplaced::{keys_read_below, misplaced};
use super::nested::{Said, said, under, without};
use super::values_layer;
use super::{Reading, SourceFile};
use crate::model::catalogue::Catalogue;
use crate::model::declaration::{ChartSource, Declaration, Form, Layer, Lineage, Lock, NotChecked, NotCheckedKind};
use crate::model::place::{Fact, Place};
use crate::model::value::{Value, escape_key};

/// Charts within charts are followed this far.
const MAX_DEPTH: usize = 3;

/// Milvus somewhere below a chart of the tree.
#[derive(Debug, Clone)]
pub struct MilvusPart {
    /// The charts on the way, outermost first, each with the dependency that leads on. The last dependency is Milvus.
    steps: Vec<(Arc<ChartFolder>, Dependency)>,
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
    let Some(chart) = ChartFolder::load(file.folder(), context).map(Arc::new) else {
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
    let Some(chart) = ChartFolder::load(folder, context).map(Arc::new) else {
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
pub fn milvus_parts(chart: &Arc<ChartFolder>, context: &Context<'_>, depth: usize) -> Vec<MilvusPart> {
    let mut parts = Vec::new();
    for (i, dependency) in chart.dependencies.iter().enumerate() {
        let nth = chart.dependencies.iter().take(i).filter(|d| d.name == dependency.name).count();
        let local = local_folder(chart, dependency, context);
        let inner = local.as_deref().and_then(|folder| ChartFolder::load(folder, context)).map(Arc::new);
        if let Some(inner) = inner.as_ref().filter(|inner| !inner.is_copy_of_zilliztech())
            && depth < MAX_DEPTH
        {
            let below = milvus_parts(inner, context, depth + 1);
            if !below.is_empty() {
                parts.extend(below.into_iter().map(|mut part| {
                    part.steps.insert(0, (Arc::clone(chart), dependency.clone()));
                    part
                }));
                continue;
            }
        }
        if is_milvus_chart(&dependency.name) {
            parts.push(milvus_part(chart, dependency, nth, inner.as_deref(), context));
        }
    }
    parts
}

fn milvus_part(chart: &Arc<ChartFolder>, dependency: &Dependency, nth: usize, local: Option<&ChartFolder>, context: &Context<'_>) -> MilvusPart {
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
    MilvusPart { steps: vec![(Arc::clone(chart), dependency.clone())], chart: source, lock, place }
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
fn releases(chart: &Arc<ChartFolder>, context: &Context<'_>) -> Vec<Declaration> {
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
                Switch::Unknown => gaps.push(NotChecked::at(
                    dependency.item.place(),
                    NotCheckedKind::PartlyChecked,
                    "whether this dependency is switched on cannot be read: it is checked as if it were",
                )),
                Switch::On => {}
            }
            at = under(&at, &dependency.key);
            for own in own_keys(chart, dependency, context) {
                at = without(at, &own);
            }
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

/// What of a dependency's values is the parent's own: its condition, and what only the parent's templates read.
fn own_keys(chart: &ChartFolder, dependency: &Dependency, context: &Context<'_>) -> Vec<String> {
    let below = format!("{}.", escape_key(&dependency.key));
    let mut own: Vec<String> = conditions(dependency).iter().filter_map(|path| path.strip_prefix(&below).map(str::to_owned)).collect();
    own.extend(keys_read_below(chart, &dependency.key, context).into_iter().filter(|key| !Catalogue::embedded().ever_known(key)));
    own
}

fn conditions(dependency: &Dependency) -> Vec<String> {
    let text = dependency.item.text_at(&["condition"]).unwrap_or_default();
    text.split(',').map(|path| path.trim().to_owned()).filter(|path| !path.is_empty()).collect()
}

fn tags(dependency: &Dependency) -> Vec<String> {
    dependency.item.get("tags").map(Item::items).unwrap_or_default().iter().filter_map(Item::text).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
