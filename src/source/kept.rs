//! Values that ConfigMaps and Secrets of the tree keep, as they are or made by kustomize.

use std::sync::Arc;

use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use base64::{Engine as _, alphabet};

use super::context::Context;
use super::gitops::{ENCRYPTED, add_values_file, in_secret, prove_lineage, unseen, values_file};
use super::index::Key;
use super::item::{Expander, Item};
use super::kustomize::generate::{Generated, Generator, generated};
use super::kustomize::{Environment, apply};
use crate::model::declaration::{Declaration, Layer, NotChecked, NotCheckedKind};
use crate::model::value::Node;

/// What a reference leads to.
pub enum Found {
    /// YAML or a flat text in a ConfigMap or Secret.
    Scalar(Item),
    /// A text in a generator.
    Text(String, Item),
    /// A file of a generator.
    File(String),
    /// Nothing that can be read; the reason.
    Unseen(String),
}

/// A key of a ConfigMap or Secret that is named as values.
pub struct Reference<'r> {
    /// Where it is named.
    pub item: &'r Item,
    /// `ConfigMap x` or `Secret x`.
    pub what: Arc<str>,
    /// `Secret x, key y`, for a Secret.
    pub secret: Option<Arc<str>>,
    /// The object's name.
    pub name: &'r str,
    /// The key in it.
    pub key: &'r str,
}

impl<'r> Reference<'r> {
    /// A key of a ConfigMap.
    #[must_use]
    pub fn of_config_map(item: &'r Item, name: &'r str, key: &'r str) -> Self {
        Self { item, what: format!("ConfigMap {name}").into(), secret: None, name, key }
    }

    /// A key of a Secret.
    #[must_use]
    pub fn of_secret(item: &'r Item, name: &'r str, key: &'r str) -> Self {
        Self { item, what: format!("Secret {name}").into(), secret: Some(format!("Secret {name}, key {key}").into()), name, key }
    }

    /// A layer of values that were read.
    #[must_use]
    pub fn layer(&self, values: Node) -> Layer {
        let values = self.secret.as_ref().map_or_else(|| values.clone(), |secret| in_secret(&values, secret));
        Layer::Table { values, what: self.what.clone() }
    }
}

/// What keeps values for one release.
pub struct Kept<'s> {
    /// The release's object.
    pub item: &'s Item,
    /// The kustomizations over it.
    pub environment: &'s Environment<'s>,
    /// The tree.
    pub context: &'s Context<'s>,
    /// What fills in variables.
    pub expand: &'s dyn Expander,
}

impl Kept<'_> {
    /// What a reference leads to.
    #[must_use]
    pub fn find(&self, reference: &Reference<'_>) -> Found {
        if reference.secret.is_some() { self.secret(reference) } else { self.config_map(reference) }
    }

    /// Adds what a reference leads to as a layer, or what is missing as a gap.
    pub fn add_table(&self, reference: &Reference<'_>, declaration: &mut Declaration) {
        let expand = self.expand;
        let values = match self.find(reference) {
            Found::Scalar(scalar) => scalar.embedded(expand),
            Found::Text(text, item) => Item::scalar(&item, &text).embedded(expand),
            Found::File(path) if reference.secret.is_none() => return add_values_file(&path, reference.item, expand, self.context, declaration),
            Found::File(path) => values_file(&path, reference.item, expand, self.context),
            Found::Unseen(reason) => return unseen(&reference.what, &reason, reference.item.place(), &mut declaration.layers, &mut declaration.gaps),
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
}

fn not_read(reference: &Reference<'_>) -> NotChecked {
    NotChecked::at(reference.item.place(), NotCheckedKind::PartlyChecked, &format!("{}: its values cannot be read", reference.what))
}

/// Base64 with the standard alphabet; blanks and padding are passed over.
fn decode_base64(text: &str) -> Option<String> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=').collect();
    String::from_utf8(LENIENT.decode(digits).ok()?).ok()
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
