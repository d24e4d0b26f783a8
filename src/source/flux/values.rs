//! The values of a `HelmRelease`: `valuesFrom` in order, then `values`, as Flux merges them.

use std::sync::Arc;

use super::at;
use super::substitute::Substitution;
use crate::model::declaration::{Declaration, Layer, NotChecked, NotCheckedKind, SetKind};
use crate::model::helm::HelmMajor;
use crate::model::merge::user_values;
use crate::model::place::{Origin, Place, Position};
use crate::model::value::Node;
use crate::source::SourceFile;
use crate::source::context::Context;
use crate::source::gitops::{ENCRYPTED, add_values_file, in_secret, prove_lineage, table, unknown_at, unseen, values_file};
use crate::source::index::Key;
use crate::source::item::{Item, no_expansion};
use crate::source::kustomize::generate::{Generated, Generator, generated};
use crate::source::kustomize::{Environment, apply};

/// Adds the values as layers, lowest precedence first.
pub(super) fn add(item: &Item, environment: &Environment<'_>, substitution: &Substitution, context: &Context<'_>, declaration: &mut Declaration) {
    let Some(spec) = item.get("spec") else { return };
    let source = Sources { item, environment, substitution, context };
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
    item: &'s Item,
    environment: &'s Environment<'s>,
    substitution: &'s Substitution,
    context: &'s Context<'s>,
}

/// What a `valuesFrom` entry leads to.
enum Found {
    /// YAML or a flat text in a ConfigMap or Secret.
    Scalar(Item),
    /// A text in a generator.
    Text(String, Item),
    /// A file of a generator.
    File(String),
    /// Nothing that can be read; the reason.
    Unseen(String),
}

/// One entry of `valuesFrom`.
struct Reference<'r> {
    item: &'r Item,
    /// `ConfigMap x` or `Secret x`.
    what: Arc<str>,
    /// `Secret x, key y`, for a Secret.
    secret: Option<Arc<str>>,
    name: &'r str,
    key: &'r str,
}

impl Sources<'_> {
    fn add_reference(&self, item: &Item, declaration: &mut Declaration) {
        let kind = item.text_at(&["kind"]).unwrap_or("ConfigMap");
        let Some(name) = item.text_at(&["name"]) else {
            unseen(kind, "its name is templated", item.place(), &mut declaration.layers, &mut declaration.gaps);
            return;
        };
        let key = item.text_at(&["valuesKey"]).filter(|key| !key.is_empty()).unwrap_or("values.yaml");
        let reference = Reference {
            item,
            what: format!("{kind} {name}").into(),
            secret: (kind == "Secret").then(|| format!("Secret {name}, key {key}").into()),
            name,
            key,
        };
        let found = if reference.secret.is_some() { self.secret(&reference) } else { self.config_map(&reference) };
        match item.text_at(&["targetPath"]).filter(|path| !path.is_empty()) {
            Some(path) => self.add_at_path(path, found, &reference, declaration),
            None => self.add_table(found, &reference, declaration),
        }
    }

    fn add_table(&self, found: Found, reference: &Reference<'_>, declaration: &mut Declaration) {
        let expand = self.substitution;
        let values = match found {
            Found::Scalar(scalar) => scalar.embedded(expand),
            Found::Text(text, item) => Item::scalar(&item, &text).embedded(expand),
            Found::File(path) if reference.secret.is_none() => return add_values_file(&path, reference.item, expand, self.context, declaration),
            Found::File(path) => values_file(&path, reference.item, expand, self.context),
            Found::Unseen(reason) => return Self::add_unseen(reference, &reason, declaration),
        };
        match values {
            Ok(Some(values)) => {
                prove_lineage(declaration, Some(&values));
                let values = (!values.is_null()).then(|| values.to_value());
                declaration.layers.extend(values.map(|values| reference.layer(values)));
            }
            Ok(None) => {}
            Err(gap) => {
                declaration.layers.push(Layer::Unseen { what: reference.what.clone(), place: reference.item.place() });
                // What the parser says of a Secret's text stays out of messages.
                declaration.gaps.push(if reference.secret.is_some() { not_read(reference) } else { gap });
            }
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

    fn add_unseen(reference: &Reference<'_>, reason: &str, declaration: &mut Declaration) {
        unseen(&reference.what, reason, reference.item.place(), &mut declaration.layers, &mut declaration.gaps);
    }

    fn config_map(&self, reference: &Reference<'_>) -> Found {
        if let Some(found) = self.generated(Generator::ConfigMap, reference) {
            return found;
        }
        let Some(object) = self.object("", "ConfigMap", reference.name) else {
            return Found::Unseen("it is not in this tree: what is set there is not checked; keep it in the tree".into());
        };
        match object.at(&["data", reference.key]) {
            Some(scalar) => Found::Scalar(scalar.clone()),
            None => Found::Unseen(format!("it has no key `{}`", reference.key)),
        }
    }

    fn secret(&self, reference: &Reference<'_>) -> Found {
        if let Some(found) = self.generated(Generator::Secret, reference) {
            return found;
        }
        let Some(object) = self.object("", "Secret", reference.name) else {
            let made_by = [("bitnami.com", "SealedSecret"), ("external-secrets.io", "ExternalSecret")];
            let made = made_by.iter().find(|(group, kind)| self.object(group, kind, reference.name).is_some());
            return Found::Unseen(match made {
                Some((_, kind)) => format!("it is made from a {kind}: what is set there is not checked"),
                None => "it is not in this tree: what is set there is not checked".into(),
            });
        };
        let text = object.at(&["stringData", reference.key]);
        let Some(scalar) = text.or_else(|| object.at(&["data", reference.key])) else {
            return Found::Unseen(format!("it has no key `{}`", reference.key));
        };
        let raw = scalar.raw_text().unwrap_or_default();
        if object.get("sops").is_some() || raw.starts_with(ENCRYPTED) {
            return Found::Unseen("it is encrypted: what is set there is not checked".into());
        }
        if text.is_some() {
            return Found::Scalar(scalar.clone());
        }
        match decode_base64(raw) {
            Some(decoded) => Found::Scalar(Item::scalar(scalar, &decoded)),
            None => Found::Unseen("its data is not base64 text".into()),
        }
    }

    fn generated(&self, generator: Generator, reference: &Reference<'_>) -> Option<Found> {
        let mut keys = generated(generator, reference.name, self.environment, self.context.kustomizations())?;
        Some(match keys.remove(reference.key) {
            Some(Generated::File(path, _)) => Found::File(path),
            Some(Generated::Literal(text, item)) => Found::Text(text, item),
            None => Found::Unseen(format!("kustomize generates it without the key `{}`", reference.key)),
        })
    }

    /// An object of the release's namespace, as the environment applies it: from the index, the kustomizations' resources, or a file near by.
    fn object(&self, group: &str, kind: &str, name: &str) -> Option<Item> {
        let from = &*self.item.source.path;
        let key = Key { group, kind, name, namespace: self.item.text_at(&["metadata", "namespace"]) };
        let graph = self.context.kustomizations();
        let listed =
            || self.environment.layers.iter().flat_map(|layer| layer.references("resources")).find_map(|path| self.context.find_in(&key.anywhere(), &path));
        let found = listed().or_else(|| self.context.find(&key, from)).or_else(|| self.context.find_beside(&key, from))?;
        Some(apply::render(found, self.environment, graph, self.context).0)
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

impl Reference<'_> {
    /// A layer of values that were read.
    fn layer(&self, values: Node) -> Layer {
        let values = self.secret.as_ref().map_or_else(|| values.clone(), |secret| in_secret(&values, secret));
        Layer::Table { values, what: self.what.clone() }
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

fn not_read(reference: &Reference<'_>) -> NotChecked {
    NotChecked::at(reference.item.place(), NotCheckedKind::PartlyChecked, &format!("{}: its values cannot be read", reference.what))
}

/// Base64 with the standard alphabet; blanks and padding are passed over.
fn decode_base64(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        buffer = (buffer << 6 | u32::from(six)) & 0xFF_FFFF;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xFF).ok()?);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::decode_base64;

    #[test]
    fn base64_is_decoded() {
        assert_eq!(decode_base64("aW1hZ2U6IHt9Cg=="), Some("image: {}\n".into()));
        assert_eq!(decode_base64("***"), None);
    }
}
