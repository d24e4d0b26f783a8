//! The values of a `HelmRelease`: `valuesFrom` in order, then `values`, as Flux merges them.

use super::at;
use super::substitute::Substitution;
use crate::model::declaration::{Declaration, Layer, SetKind};
use crate::model::helm::HelmMajor;
use crate::model::merge::user_values;
use crate::model::place::{Origin, Place, Position};
use crate::source::SourceFile;
use crate::source::context::Context;
use crate::source::gitops::{ENCRYPTED, add_values_file, table, unknown_at, unseen};
use crate::source::item::{Item, no_expansion};
use crate::source::kept::{Found, Kept, Reference};
use crate::source::kustomize::Environment;

/// Adds the values as layers, lowest precedence first.
pub(super) fn add(item: &Item, environment: &Environment<'_>, substitution: &Substitution, context: &Context<'_>, declaration: &mut Declaration) {
    let Some(spec) = item.get("spec") else { return };
    let source = Sources { kept: Kept { item, environment, context, expand: substitution }, substitution, context };
    for reference in spec.get("valuesFrom").map(Item::items).unwrap_or_default() {
        source.add_reference(reference, declaration);
    }
    // Files inside the chart, or beside it in a GitRepository.
    let files = spec.at(&["chart", "spec", "valuesFiles"]).map(Item::items).unwrap_or_default();
    for file in files.iter().chain(spec.at(&["chart", "spec", "valuesFile"])).rev() {
        source.add_chart_file(file, declaration);
    }
    if let Some(values) = spec.get("values") {
        declaration.layers.extend(table(values, "spec.values"));
    }
}

struct Sources<'s> {
    kept: Kept<'s>,
    substitution: &'s Substitution,
    context: &'s Context<'s>,
}

impl Sources<'_> {
    fn add_reference(&self, item: &Item, declaration: &mut Declaration) {
        let kind = item.text_at(&["kind"]).unwrap_or("ConfigMap");
        let Some(name) = item.text_at(&["name"]) else {
            unseen(kind, "its name is templated", item.place(), &mut declaration.layers, &mut declaration.gaps);
            return;
        };
        let key = item.text_at(&["valuesKey"]).filter(|key| !key.is_empty()).unwrap_or("values.yaml");
        let reference = if kind == "Secret" { Reference::of_secret(item, name, key) } else { Reference::of_config_map(item, name, key) };
        match item.text_at(&["targetPath"]).filter(|path| !path.is_empty()) {
            Some(path) => self.add_at_path(path, self.kept.find(&reference), &reference, declaration),
            None => self.kept.add_table(&reference, declaration),
        }
    }

    /// Flux hands `path=text` to Helm's `--set` grammar; a quoted text stays a text.
    fn add_at_path(&self, path: &str, found: Found, reference: &Reference<'_>, declaration: &mut Declaration) {
        let text = match found {
            Found::Scalar(scalar) => scalar.clone().expanded(self.substitution).text().map(|text| (text.to_owned(), scalar.place())),
            Found::Text(text, item) => Some((text, item.place())),
            Found::File(path) => self.context.file(&path).ok().map(|file| (file.text.to_string(), place_of_file(&file, reference))),
            Found::Unseen(_) => None,
        };
        let set = text.filter(|(text, _)| !text.starts_with(ENCRYPTED)).map(|(text, place)| set_at_path(path, &text, place, reference));
        // A flag has no origin of its own: what a Secret sets is made a table at once.
        let layer = match set {
            Some(set) if reference.secret.is_some() => {
                user_values(&[set], HelmMajor::Three).ok().filter(|_| !path.contains('[')).map(|values| reference.layer(values))
            }
            Some(set) => Some(set),
            None => {
                let origin = reference.secret.as_ref().map_or_else(|| at(reference.item), |secret| Origin::Given(secret.clone()));
                unknown_at(path, &format!("it is kept in {}", reference.what), &origin).map(|values| reference.layer(values))
            }
        };
        declaration.layers.push(layer.unwrap_or_else(|| Layer::Unseen { what: reference.what.clone(), place: reference.item.place() }));
    }

    /// Of `valuesFiles` the chart's own `values.yaml` says nothing new; other files are looked for beside a chart of the tree.
    fn add_chart_file(&self, file: &Item, declaration: &mut Declaration) {
        let Some(path) = file.text() else {
            return;
        };
        if path.rsplit('/').next() == Some("values.yaml") && declaration.chart.vendored.is_none() {
            return;
        }
        if self.context.exists(path.trim_start_matches("./")) {
            let before = declaration.layers.len();
            add_values_file(path, file, &no_expansion, self.context, declaration);
            // The chart's own files lie under all user values.
            let added: Vec<Layer> = declaration.layers.drain(before..).collect();
            declaration.layers.splice(0..0, added);
        } else {
            declaration.layers.insert(0, Layer::Unseen { what: format!("values file {path} in the chart").into(), place: file.place() });
            declaration.gaps.push(file.partly(&format!("the values file {path} lies in the chart: what is set there is not checked")));
        }
    }
}

fn set_at_path(path: &str, text: &str, place: Place, reference: &Reference<'_>) -> Layer {
    let text = text.trim_end_matches('\n');
    let quoted = ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    let (kind, text) = match quoted {
        Some(inner) => (SetKind::SetString, inner),
        None if reference.item.is_true_at(&["literal"]) => (SetKind::SetLiteral, text),
        None => (SetKind::Set, text),
    };
    Layer::Set { kind, text: format!("{path}={text}").into(), place, file: None }
}

/// The file that a Secret is made of, to keep it unprinted; else where it is named.
fn place_of_file(file: &SourceFile, reference: &Reference<'_>) -> Place {
    if reference.secret.is_none() {
        return reference.item.place();
    }
    let lines = u32::try_from(file.text.lines().count()).unwrap_or(u32::MAX);
    Place { end: Position { line: lines.saturating_add(1), column: 1 }, ..Place::file_start(&file.path) }
}
