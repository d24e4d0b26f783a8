//! Parameters of an `ApplicationSet`, and how they are put into its template: `{{name}}`, or with `goTemplate` `{{ .name }}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::yaml::Span;
use crate::source::item::{Body, Expander, Item, Text};

/// Parameters that one set may have.
const MAX_PARAMETERS: usize = 2_000;

/// One set of parameters, nested names with dots, items of lists with `[0]`.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters {
    is_go_template: bool,
    known: BTreeMap<String, Item>,
}

impl Parameters {
    pub(super) fn new(is_go_template: bool) -> Self {
        Self { is_go_template, known: BTreeMap::new() }
    }

    /// Adds all leaves of a table.
    pub(super) fn add(&mut self, prefix: &str, item: &Item) {
        match &item.body {
            Body::Mapping(entries) => {
                for (key, value) in entries {
                    if let Some(key) = key.text() {
                        let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
                        self.add(&name, value);
                    }
                }
            }
            Body::Sequence(items) => items.iter().enumerate().for_each(|(i, item)| self.add(&format!("{prefix}[{i}]"), item)),
            Body::Scalar(_) if self.known.len() < MAX_PARAMETERS && item.text().is_some() => {
                self.known.insert(prefix.to_owned(), item.clone());
            }
            Body::Scalar(_) => {}
        }
    }

    /// Adds what a path tells: as `path`, `path.basename`, `path[0]`; with `goTemplate` as `.path.path`, `.path.basename`, `.path.segments`.
    pub(super) fn add_path(&mut self, folder: &str, file_name: Option<&str>, like: &Item) {
        let whole = if self.is_go_template { "path.path" } else { "path" };
        let list = if self.is_go_template { "path.segments" } else { "path" };
        let basename = folder.rsplit('/').next().unwrap_or(folder);
        let mut pairs = vec![(whole.to_owned(), folder.to_owned())];
        pairs.push(("path.basename".into(), basename.to_owned()));
        pairs.push(("path.basenameNormalized".into(), normalized(basename)));
        pairs.extend(folder.split('/').enumerate().map(|(i, part)| (format!("{list}[{i}]"), part.to_owned())));
        if let Some(name) = file_name {
            pairs.push(("path.filename".into(), name.to_owned()));
            pairs.push(("path.filenameNormalized".into(), normalized(name)));
        }
        for (name, text) in pairs {
            self.known.insert(name, Item::scalar(like, &text));
        }
    }

    /// Both sets; of a name in both the other's counts.
    pub(super) fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.known.extend(other.known.clone());
        both
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.known.get(name).and_then(Item::text)
    }

    /// The parameter that an expression's inside names.
    fn find(&self, inside: &str) -> Option<&Item> {
        let inside = inside.trim_matches('-').trim();
        if !self.is_go_template {
            return self.known.get(inside);
        }
        if let Some(name) = inside.strip_prefix('.') {
            return self.known.get(name);
        }
        // index .path.segments 1, index .metadata.labels "x"
        let mut words = inside.strip_prefix("index ")?.split_whitespace();
        let base = words.next()?.strip_prefix('.')?;
        let mut name = base.to_owned();
        for word in words {
            match word.strip_prefix('"').and_then(|word| word.strip_suffix('"')) {
                Some(key) if name.is_empty() => name.push_str(key),
                Some(key) => name.push_str(&format!(".{key}")),
                None if word.bytes().all(|b| b.is_ascii_digit()) => name.push_str(&format!("[{word}]")),
                None => return None,
            }
        }
        self.known.get(&name)
    }
}

impl Expander for Parameters {
    fn expand(&self, text: &str) -> Option<String> {
        if text.contains("${") {
            return None;
        }
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, behind) = after.split_once("}}")?;
            expanded.push_str(before);
            expanded.push_str(self.find(inside)?.text()?);
            rest = behind;
        }
        expanded.push_str(rest);
        Some(expanded)
    }

    fn written_at(&self, text: &str) -> Option<(Arc<Text>, Span)> {
        let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
        self.find(inside).map(|item| (Arc::clone(&item.source), item.span))
    }
}

/// A name as Kubernetes allows it, as Argo CD makes it.
fn normalized(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let replaced: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '-' }).collect();
    replaced.trim_matches(['-', '.']).chars().take(253).collect()
}
