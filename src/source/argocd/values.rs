//! The values of an Argo CD source, lowest precedence first: `valueFiles`, `valuesObject` or else `values`, `parameters`, `fileParameters`,
//! as Argo CD hands them to Helm (`-f`, `-f`, `--set`, `--set-string`, `--set-file`; argo-cd `reposerver/repository` and `util/helm`).

use std::sync::Arc;

use super::glob;
use crate::model::declaration::{Declaration, Layer, SetKind};
use crate::model::place::Origin;
use crate::source::context::{Context, join};
use crate::source::gitops::{prove_lineage, table, unknown_at, unseen};
use crate::source::item::{Expander, Item};
use crate::source::values_layer;

/// Where values are named.
pub(super) struct Place<'p> {
    /// The source with the chart.
    pub(super) source: &'p Item,
    /// All sources of the application.
    pub(super) all: &'p [&'p Item],
    /// The folder of a chart in the tree.
    pub(super) folder: Option<&'p str>,
}

/// What a path named by a source leads to.
enum Target {
    /// Files of the tree.
    Files(Vec<String>),
    /// Nothing that is in this tree; the reason.
    Missing(&'static str),
    /// The chart's own default values.
    Defaults,
}

pub(super) fn add(place: &Place<'_>, expand: &dyn Expander, context: &Context<'_>, declaration: &mut Declaration) {
    let Some(helm) = place.source.get("helm") else {
        return;
    };
    let may_miss = helm.is_true_at(&["ignoreMissingValueFiles"]);
    let files: Vec<(&Item, Target)> =
        helm.get("valueFiles").map(Item::items).unwrap_or_default().iter().map(|file| (file, place.resolve(file, context))).collect();
    // Where one file of another source lies in this tree, that source is this repository: what is missing is missing.
    let is_here = files.iter().any(|(file, target)| matches!(target, Target::Files(_)) && file.text().is_some_and(|text| text.starts_with('$')));
    for (file, target) in files {
        match target {
            Target::Files(paths) => paths.iter().for_each(|path| add_file(path, file, context, declaration)),
            Target::Defaults => {}
            Target::Missing(_) if may_miss && (is_here || place.folder.is_some()) => {}
            Target::Missing(reason) => {
                let what = format!("values file {}", file.text().unwrap_or("with a templated name"));
                unseen(&what, reason, file.place(), &mut declaration.layers, &mut declaration.gaps);
            }
        }
    }
    add_inline(helm, expand, declaration);
    add_parameters(helm, declaration);
    for parameter in helm.get("fileParameters").map(Item::items).unwrap_or_default() {
        add_file_parameter(parameter, place, context, declaration);
    }
}

fn add_file(path: &str, named: &Item, context: &Context<'_>, declaration: &mut Declaration) {
    let read = values_layer::read(context, path, &named.place());
    if let Ok(file) = context.file(path)
        && let Some(Ok(document)) = file.documents().first()
    {
        prove_lineage(declaration, Some(&Item::of_file(&file, &document.root)));
    }
    declaration.layers.extend(read.layer);
    declaration.gaps.extend(read.gap);
}

/// `valuesObject` hides `values`.
fn add_inline(helm: &Item, expand: &dyn Expander, declaration: &mut Declaration) {
    if let Some(values) = helm.get("valuesObject").filter(|values| !values.is_null()) {
        declaration.layers.extend(table(values, "helm.valuesObject"));
        return;
    }
    let Some(values) = helm.get("values") else {
        return;
    };
    match values.embedded(expand) {
        Ok(Some(content)) => {
            prove_lineage(declaration, Some(&content));
            declaration.layers.extend(table(&content, "helm.values"));
        }
        Ok(None) => {}
        Err(gap) => {
            declaration.layers.push(Layer::Unseen { what: "helm.values".into(), place: values.place() });
            declaration.gaps.push(gap);
        }
    }
}

/// Helm takes `--set` before `--set-string`, in whatever order they stand here.
fn add_parameters(helm: &Item, declaration: &mut Declaration) {
    let parameters = helm.get("parameters").map(Item::items).unwrap_or_default();
    for kind in [SetKind::Set, SetKind::SetString] {
        for parameter in parameters.iter().filter(|p| p.is_true_at(&["forceString"]) == (kind == SetKind::SetString)) {
            let Some(name) = parameter.text_at(&["name"]).filter(|name| !name.is_empty()) else {
                unseen("a Helm parameter", "its name is templated", parameter.place(), &mut declaration.layers, &mut declaration.gaps);
                continue;
            };
            let value = parameter.get("value").unwrap_or(parameter);
            match (value.text(), value.is_templated()) {
                (Some(text), _) => declaration.layers.push(set(kind, name, &escape(text), value)),
                (None, false) => declaration.layers.push(set(kind, name, "", value)),
                (None, true) => match unknown_at(name, "it is templated", &Origin::At(value.place())) {
                    Some(values) => declaration.layers.push(Layer::Table { values, what: "helm.parameters".into() }),
                    None => unseen(&format!("the Helm parameter {name}"), "it is templated", value.place(), &mut declaration.layers, &mut declaration.gaps),
                },
            }
        }
    }
}

fn set(kind: SetKind, name: &str, value: &str, at: &Item) -> Layer {
    Layer::Set { kind, text: format!("{name}={value}").into(), place: at.place(), file: None }
}

/// Argo CD escapes commas, but not those of a list `{a,b}`.
fn escape(value: &str) -> String {
    if value.starts_with('{') && value.ends_with('}') {
        return value.to_owned();
    }
    let mut escaped = String::with_capacity(value.len());
    let mut before = None;
    for c in value.chars() {
        if c == ',' && before != Some('\\') {
            escaped.push('\\');
        }
        escaped.push(c);
        before = Some(c);
    }
    escaped
}

fn add_file_parameter(parameter: &Item, place: &Place<'_>, context: &Context<'_>, declaration: &mut Declaration) {
    let (Some(name), Some(path)) = (parameter.text_at(&["name"]), parameter.get("path")) else {
        return;
    };
    let found = match place.resolve(path, context) {
        Target::Files(paths) => paths.first().and_then(|path| context.file(path).ok()),
        _ => None,
    };
    let file: Option<Arc<str>> = found.map(|file| file.text.clone());
    if file.is_none() {
        declaration.gaps.push(path.partly(&format!("the file of the parameter {name} is not in this tree: its value is not checked")));
    }
    let text = format!("{name}={}", path.text().unwrap_or_default());
    declaration.layers.push(Layer::Set { kind: SetKind::SetFile, text: text.into(), place: path.place(), file });
}

impl Place<'_> {
    /// A path of `valueFiles` or `fileParameters`: in another source (`$ref/...`), in the chart's folder, from the repository's root (`/...`).
    fn resolve(&self, file: &Item, context: &Context<'_>) -> Target {
        let Some(text) = file.text() else {
            return Target::Missing("its name is templated: what is set there is not checked");
        };
        if text.contains("://") {
            return Target::Missing("it is fetched from elsewhere: what is set there is not checked");
        }
        let path = match (text.strip_prefix('$'), self.folder) {
            (Some(rest), _) => {
                let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
                if !self.all.iter().any(|source| source.text_at(&["ref"]) == Some(name)) {
                    return Target::Missing("no source of the application has this `ref`: correct the reference");
                }
                join("", path)
            }
            (None, Some(_)) if text.starts_with('/') => join("", text),
            (None, Some(folder)) => join(folder, text),
            (None, None) if text == "values.yaml" => return Target::Defaults,
            (None, None) => return Target::Missing("it lies in the chart's archive: what is set there is not checked"),
        };
        let Some(path) = path else {
            return Target::Missing("it leads out of the repository");
        };
        let found: Vec<String> = if glob::is_pattern(&path) {
            context.tree.paths().iter().filter(|candidate| glob::fits(&path, candidate)).take(100).map(ToString::to_string).collect()
        } else {
            context.exists(&path).then_some(path).into_iter().collect()
        };
        if found.is_empty() {
            Target::Missing("it is not in this tree: what is set there is not checked; give the tree that holds it")
        } else {
            Target::Files(found)
        }
    }
}
