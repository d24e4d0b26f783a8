//! Keeps credentials, and what Secrets hold, out of what is printed: `*` stands in their place.

use std::collections::BTreeMap;
use std::sync::Arc;

use milvus_guard::model::credential::{is_credential, names_credential};
use milvus_guard::model::declaration::{Declaration, Layer};
use milvus_guard::model::place::{Origin, Place};
use milvus_guard::model::value::{Entry, Node, Table, Value};
use milvus_guard::report::{Sources, mask};

/// What stands for a value, whatever its length.
const MASKED: &str = "********";

/// The values without credentials and without what Secrets hold. Defaults of the chart are public, and so are switches; an empty value tells that there is none.
pub(crate) fn masked(values: &Node) -> Node {
    hide(values, false)
}

fn hide(node: &Node, is_hidden: bool) -> Node {
    let is_hidden = is_hidden || node.origin.secret().is_some();
    let value = match &node.value {
        Value::Table(table) => {
            // `{name: A_TOKEN, value: ..}`
            let name = table.entries.get("name").and_then(|entry| entry.node.value.as_str());
            let is_named = name.is_some_and(names_credential);
            let is_hidden = |key: &str| is_credential(key) || (is_named && key == "value");
            let entry = |(key, entry): (&Arc<str>, &Entry)| (Arc::clone(key), Entry { node: hide(&entry.node, is_hidden(key)), ..entry.clone() });
            Value::Table(Arc::new(Table { entries: table.entries.iter().map(entry).collect(), rest_unknown: table.rest_unknown.clone() }))
        }
        Value::List(items) => Value::List(Arc::new(items.iter().map(|item| hide(item, is_hidden)).collect())),
        _ if node.origin == Origin::ChartDefault => node.value.clone(),
        Value::String(text) if text.is_empty() => node.value.clone(),
        Value::String(_) | Value::Int(_) | Value::Float(_) if is_hidden => Value::String(MASKED.into()),
        Value::String(text) => Value::String(text.split('\n').map(mask::line).collect::<Vec<_>>().join("\n").into()),
        other => other.clone(),
    };
    Node { value, origin: node.origin.clone() }
}

/// Where values of Secrets are written, by file.
#[derive(Debug, Default)]
pub(crate) struct Secrets(BTreeMap<Arc<str>, Vec<Place>>);

impl Secrets {
    /// The places of all values that Secrets hold.
    pub(crate) fn of<'d>(declarations: impl Iterator<Item = &'d Declaration>) -> Self {
        let mut secrets = Self::default();
        for layer in declarations.flat_map(|declaration| &declaration.layers) {
            if let Layer::Table { values, .. } = layer {
                secrets.add(values);
            }
        }
        secrets
    }

    fn add(&mut self, node: &Node) {
        match (&node.value, node.origin.secret(), node.origin.place()) {
            (Value::Table(table), ..) => table.entries.values().for_each(|entry| self.add(&entry.node)),
            (Value::List(items), ..) => items.iter().for_each(|item| self.add(item)),
            (_, Some(_), Some(place)) => self.0.entry(Arc::clone(&place.file)).or_default().push(place.clone()),
            _ => {}
        }
    }

    /// The text as everybody may see it: without these values, nor what else is a Secret's or a credential. Lines and columns hold.
    pub(crate) fn shown(&self, file: &str, text: &Arc<str>) -> String {
        mask::text(&self.mask(file, Arc::clone(text)))
    }

    /// The text with each of these values, and what follows on its line, masked; columns hold.
    fn mask(&self, file: &str, text: Arc<str>) -> Arc<str> {
        let Some(places) = self.0.get(file) else { return text };
        let mut from: BTreeMap<u32, u32> = BTreeMap::new();
        for place in places {
            for line in place.start.line..=place.end.line {
                let is_first = line == place.start.line;
                let column = if is_first { place.start.column } else { 1 };
                if is_first || line < place.end.line || place.end.column > 1 {
                    from.entry(line).and_modify(|first| *first = column.min(*first)).or_insert(column);
                }
            }
        }
        let mut masked = String::with_capacity(text.len());
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            match from.get(&number) {
                Some(column) => masked.push_str(&mask::from(line, column.saturating_sub(1) as usize)),
                None => masked.push_str(line),
            }
        }
        masked.into()
    }
}

/// Texts of which values of Secrets are masked.
pub(crate) struct Masked<'a> {
    /// The texts as they are.
    pub(crate) texts: &'a dyn Sources,
    /// Of the state after.
    pub(crate) after: Secrets,
    /// Of the state before.
    pub(crate) before: Secrets,
}

impl Sources for Masked<'_> {
    fn text(&self, file: &str) -> Option<Arc<str>> {
        // The text of a file that is gone is the one before.
        let secrets = if self.after.0.contains_key(file) { &self.after } else { &self.before };
        Some(secrets.mask(file, self.texts.text(file)?))
    }

    fn text_before(&self, file: &str) -> Option<Arc<str>> {
        Some(self.before.mask(file, self.texts.text_before(file)?))
    }
}
