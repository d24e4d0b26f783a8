//! The values of a command: files, here-documents, and flags of the `--set` family.

use std::sync::Arc;

use super::helm::{HelmCall, HelmOption};
use super::paths::{Whereabouts, shown};
use super::script_file::ScriptFile;
use super::state::Written;
use crate::document::extract::Extract;
use crate::document::shell::{Piece, Word};
use crate::document::yaml::{Broken, Kind, Limits, Node as YamlNode, Span, parse_stream};
use crate::model::declaration::{Layer, NotChecked, NotCheckedKind, SetKind};
use crate::model::place::{Origin, Place};
use crate::model::value::{Entry, Node, Table, Value, split_path};
use crate::source::convert::to_values_table;
use crate::source::templated::set_elsewhere;
use crate::source::values_layer;

/// Elements of one `--set` flag.
const MAX_ELEMENTS: usize = 1_000;

/// What a command sets, lowest precedence first.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) layers: Vec<Layer>,
    pub(super) gaps: Vec<NotChecked>,
}

impl Values {
    /// Whether nothing is given, or only files without a value. Helm then keeps what the release has, as if no file were given.
    pub(super) fn are_empty(&self) -> bool {
        let is_empty = |layer: &Layer| match layer {
            Layer::Table { values, .. } => values.table().is_some_and(|table| table.entries.is_empty() && table.rest_unknown.is_none()),
            Layer::Set { .. } | Layer::Unseen { .. } => false,
        };
        self.layers.iter().all(is_empty)
    }
}

/// Where a command gets its values.
pub(super) struct Sources<'a> {
    pub(super) file: &'a ScriptFile<'a>,
    pub(super) whereabouts: Whereabouts<'a>,
    /// What the script wrote before, by path.
    pub(super) written: &'a dyn Fn(&str) -> Option<&'a Written>,
    /// What the command reads from its standard input.
    pub(super) input: Option<&'a Written>,
}

/// The flags of the family in the order in which Helm applies them.
const SETS: [(&str, SetKind); 5] = [
    ("set-json", SetKind::SetJson),
    ("set", SetKind::Set),
    ("set-string", SetKind::SetString),
    ("set-file", SetKind::SetFile),
    ("set-literal", SetKind::SetLiteral),
];

impl Sources<'_> {
    pub(super) fn read(&self, call: &HelmCall) -> Values {
        let mut values = Values::default();
        for option in call.options.iter().filter(|option| option.name == "values") {
            if let Some(word) = &option.value {
                // Helm takes several files in one flag.
                for path in word.split(',') {
                    self.values_file(&path, &mut values);
                }
            }
        }
        for (name, kind) in SETS {
            for option in call.options.iter().filter(|option| option.name == name) {
                self.set(kind, option, &mut values);
            }
        }
        values
    }

    fn values_file(&self, word: &Word, values: &mut Values) {
        let place = self.file.place(&word.value_bytes());
        let Some(path) = word.text() else {
            let named = self.file.expression(word);
            let reason = word.unknown().map(|reason| reason.to_string()).unwrap_or_default();
            values.unseen(
                &format!("values file `{named}`"),
                &place,
                &format!("which values file `{named}` names is not known ({reason}): what it sets is not checked"),
            );
            return;
        };
        let path = path.trim_start_matches("secrets://").to_owned();
        if matches!(path.as_str(), "-" | "/dev/stdin") {
            match self.input {
                Some(written) => self.written(written, "the here-document", &place, values),
                None => values.unseen("values on standard input", &place, "the values on standard input are made when the script runs: they are not checked"),
            }
            return;
        }
        if let Some(written) = (self.written)(&path) {
            self.written(written, &format!("values file {}", shown(&path)), &place, values);
            return;
        }
        match self.whereabouts.file(&path, self.file.context) {
            Some(found) => values.take(values_layer::read(self.file.context, &found, &place)),
            None => {
                let shown = shown(&path);
                let reason = format!("values file {shown} is not in the tree: what it sets is not checked; give the tree that holds it");
                values.unseen(&format!("values file {shown}"), &place, &reason);
            }
        }
    }

    /// What the script itself wrote as values.
    fn written(&self, written: &Written, what: &str, place: &Place, values: &mut Values) {
        match written {
            Written::Text(text) => match self.table(text) {
                Ok(Some(table)) => values.layers.push(Layer::Table { values: table, what: format!("{what} of the script").into() }),
                Ok(None) => {}
                Err((at, reason)) => {
                    values.layers.push(Layer::Unseen { what: what.into(), place: at.clone() });
                    values.gaps.push(NotChecked::at(at, NotCheckedKind::NotRead, &format!("{what} cannot be read: {reason}; correct the YAML")));
                }
            },
            Written::Copy(source) => match self.whereabouts.file(source, self.file.context) {
                Some(found) => {
                    let mut read = values_layer::read(self.file.context, &found, place);
                    if let Some(Layer::Table { values, .. }) = &mut read.layer {
                        *values = set_elsewhere(values, &"the script fills it in on the way".into());
                    }
                    values.take(read);
                }
                None => values.unseen(what, place, &format!("{what} is made from {}, which is not in the tree: what it sets is not checked", shown(source))),
            },
            Written::Unknown(reason) => values.unseen(what, place, &format!("{what}: {reason}; what it sets is not checked")),
        }
    }

    fn table(&self, text: &Extract) -> Result<Option<Node>, (Place, String)> {
        match parse_stream(text.text(), &Limits::default()).into_iter().next() {
            None => Ok(None),
            Some(Ok(mut document)) => {
                self.relocate(&mut document.root, text);
                to_values_table(&self.file.source.path, &document.root).map(Some).map_err(|refused| (refused.place, refused.reason))
            }
            Some(Err(Broken { reason, at, .. })) => {
                let byte = text.source_byte(at.byte.min(text.text().len().saturating_sub(1)));
                Err((self.file.place(&(byte..byte)), reason))
            }
        }
    }

    /// Puts the spans of a text taken out of the script back into terms of the file.
    fn relocate(&self, node: &mut YamlNode, text: &Extract) {
        let bytes = text.source_bytes(&(node.span.start.byte..node.span.end.byte));
        let Span { start, end } = self.file.lines.span(&bytes);
        node.span = Span { start, end };
        match &mut node.kind {
            Kind::Scalar { .. } => {}
            Kind::Sequence(items) => items.iter_mut().for_each(|item| self.relocate(item, text)),
            Kind::Mapping(entries) => {
                for (key, value) in entries {
                    self.relocate(key, text);
                    self.relocate(value, text);
                }
            }
        }
    }

    fn set(&self, kind: SetKind, option: &HelmOption, values: &mut Values) {
        let Some(word) = &option.value else { return };
        let place = self.file.place(&word.value_bytes());
        if let Some(text) = word.text() {
            let file = (kind == SetKind::SetFile).then(|| self.set_file(&text)).flatten();
            values.layers.push(Layer::Set { kind, text: text.into(), place, file });
            return;
        }
        // Each element by itself: one that is not known hides only its own key.
        let elements = if matches!(kind, SetKind::Set | SetKind::SetString | SetKind::SetFile) { elements(word) } else { vec![word.clone()] };
        for element in elements.into_iter().take(MAX_ELEMENTS) {
            let place = self.file.place(&element.value_bytes());
            match element.text() {
                Some(text) if text.is_empty() => {}
                Some(text) => {
                    let file = (kind == SetKind::SetFile).then(|| self.set_file(&text)).flatten();
                    values.layers.push(Layer::Set { kind, text: text.into(), place, file });
                }
                None => self.unknown_element(&element, &place, values),
            }
        }
    }

    fn set_file(&self, text: &str) -> Option<Arc<str>> {
        let (_, path) = text.split_once('=')?;
        let path = self.whereabouts.file(path, self.file.context)?;
        self.file.context.file(&path).ok().map(|file| Arc::clone(&file.text))
    }

    /// `key=$VALUE`: the key is known, its value is not.
    fn unknown_element(&self, element: &Word, place: &Place, values: &mut Values) {
        let reason = element.unknown().cloned().unwrap_or_else(|| "it is not known".into());
        let key = element.split_once('=').and_then(|(key, value)| Some((key.text()?, value)));
        let Some((key, value)) = key.filter(|(key, _)| !key.is_empty()) else {
            let named = self.file.expression(element);
            values.unseen(&format!("the argument `{named}`"), place, &format!("what the argument `{named}` sets is not known ({reason})"));
            return;
        };
        // Of a list the items are not told apart: all of it is unknown.
        let key = key.split('[').next().unwrap_or_default().to_owned();
        let at = Origin::At(self.file.place(&value.value_bytes()));
        let key_origin = Origin::At(place.clone());
        let leaf = Node { value: Value::Unknown(reason), origin: at };
        let table = split_path(&key).into_iter().rev().fold(leaf, |node, key| {
            let entry = Entry { key: key_origin.clone(), node };
            let entries = [(Arc::from(key), entry)].into_iter().collect();
            Node { value: Value::Table(Arc::new(Table { entries, rest_unknown: None })), origin: key_origin.clone() }
        });
        values.layers.push(Layer::Table { values: table, what: "--set".into() });
    }
}

impl Values {
    fn take(&mut self, read: values_layer::Read) {
        self.layers.extend(read.layer);
        self.gaps.extend(read.gap);
    }

    fn unseen(&mut self, what: &str, place: &Place, reason: &str) {
        self.layers.push(Layer::Unseen { what: what.into(), place: place.clone() });
        self.gaps.push(NotChecked::at(place.clone(), NotCheckedKind::PartlyChecked, reason));
    }
}

/// Splits a `--set` argument at the commas between its elements (not escaped ones, not those in braces or brackets).
fn elements(word: &Word) -> Vec<Word> {
    let mut depth = 0_usize;
    let mut escaped = false;
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    for (i, piece) in word.pieces.iter().enumerate() {
        let Piece::Text { text, .. } = piece else { continue };
        for (at, c) in text.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '{' | '[' => depth += 1,
                '}' | ']' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => cuts.push((i, at)),
                _ => {}
            }
        }
    }
    word.cut(&cuts)
}
