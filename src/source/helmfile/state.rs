//! The state of a helmfile in one environment: its documents with its bases, the environment's values, repositories and defaults.

use std::borrow::Cow;
use std::sync::Arc;

use crate::document::yaml::{self, Broken, Document, Limits};
use crate::model::declaration::{Layer, NotChecked, NotCheckedKind};
use crate::model::place::{Place, Position};
use crate::source::SourceFile;
use crate::source::context::{Context, join};
use crate::source::gotmpl::{Scope, expand, resolve};
use crate::source::item::{Item, Text};
use crate::source::values_layer;

/// Environments of one helmfile beyond this number are not looked at.
const MAX_ENVIRONMENTS: usize = 100;

/// Text that is read for all environments of one helmfile together; a large helmfile is read for fewer of them.
const MAX_BYTES_FOR_ALL: usize = 16 << 20;

/// Files that one helmfile names as bases, at most.
const MAX_BASES: usize = 50;

/// The name of the environment that is there without being declared.
const DEFAULT: &str = "default";

/// A document with the lines on which something is written out that cannot be read.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) item: Item,
    pub(super) written_out: Arc<[u32]>,
}

/// A helmfile in one environment.
#[derive(Debug)]
pub(super) struct State {
    pub(super) path: Arc<str>,
    pub(super) folder: String,
    pub(super) environment: String,
    /// `.Values`, lowest precedence first.
    pub(super) values: Vec<Layer>,
    pub(super) parts: Vec<Part>,
    pub(super) gaps: Vec<NotChecked>,
    /// Files that values of the environment come from.
    pub(super) claimed: Vec<Arc<str>>,
}

/// The environments that a helmfile declares; the default one where it declares none. With the gap, where there are too many of them.
pub(super) fn environments(file: &SourceFile, context: &Context<'_>) -> (Vec<String>, Option<NotChecked>) {
    let scope = Scope { environment: None, values: &[], release: None };
    let (parts, _) = all_parts(file, &scope, context);
    let mut names: Vec<(String, bool)> = Vec::new();
    for part in &parts {
        for (key, value) in part.item.get("environments").map(Item::entries).unwrap_or_default() {
            let has_values = ["values", "secrets"].iter().any(|k| value.get(k).is_some_and(|list| !list.items().is_empty()));
            if let Some(name) = key.text().filter(|name| !names.iter().any(|(n, _)| n == name)) {
                names.push((name.to_owned(), has_values));
            }
        }
    }
    // A default without values beside environments with values cannot be rendered.
    if names.iter().any(|(name, has_values)| *has_values && name != DEFAULT) {
        names.retain(|(name, has_values)| *has_values || name != DEFAULT);
    }
    if names.is_empty() {
        names.push((DEFAULT.to_owned(), false));
    }
    let limit = MAX_ENVIRONMENTS.min(MAX_BYTES_FOR_ALL / file.text.len().max(1)).max(1);
    let gap = (names.len() > limit).then(|| {
        let reason = format!("of {} environments only the first {limit} are checked; split the helmfile", names.len());
        NotChecked::at(Place::file_start(&file.path), NotCheckedKind::LimitsExceeded, &reason)
    });
    (names.into_iter().map(|(name, _)| name).take(limit).collect(), gap)
}

impl State {
    pub(super) fn load(file: &SourceFile, environment: &str, context: &Context<'_>) -> Self {
        let mut state = Self {
            path: file.path.clone(),
            folder: file.folder().to_owned(),
            environment: environment.to_owned(),
            values: Vec::new(),
            parts: Vec::new(),
            gaps: Vec::new(),
            claimed: Vec::new(),
        };
        // The values of the environment first, since the rest may depend on them.
        let scope = Scope { environment: Some(environment), values: &[], release: None };
        let (parts, _) = all_parts(file, &scope, context);
        for part in &parts {
            state.take_values(part.item.get("values"), context);
        }
        for part in &parts {
            let declared = part.item.at(&["environments", environment]);
            state.take_values(declared.and_then(|e| e.get("values")), context);
            for secret in declared.and_then(|e| e.get("secrets")).map(Item::items).unwrap_or_default() {
                state.values.push(Layer::Unseen { what: "secrets of the environment".into(), place: secret.place() });
            }
        }
        let (parts, gaps) = all_parts(file, &state.scope(), context);
        state.parts = parts;
        state.gaps = gaps;
        state
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        Scope { environment: Some(&self.environment), values: &self.values, release: None }
    }

    fn take_values(&mut self, list: Option<&Item>, context: &Context<'_>) {
        for entry in list.map(Item::items).unwrap_or_default() {
            let layers = {
                let scope = self.scope();
                values_entry(entry, &self.folder, &scope, context)
            };
            for read in layers {
                self.claimed.extend(read.file);
                self.values.extend(read.layer);
            }
        }
    }

    /// What all documents list under a key.
    pub(super) fn list<'s>(&'s self, key: &'s str) -> impl Iterator<Item = (&'s Part, &'s Item)> {
        self.parts.iter().flat_map(move |part| part.item.get(key).map(Item::items).unwrap_or_default().iter().map(move |item| (part, item)))
    }

    /// The last value that a table of the helmfile has under a key: `helmDefaults`, `templates`.
    pub(super) fn setting(&self, table: &str, key: &str) -> Option<&Item> {
        self.parts.iter().rev().find_map(|part| part.item.at(&[table, key]))
    }
}

/// Values that a list entry gives.
#[derive(Debug)]
pub(super) struct EntryRead {
    pub(super) layer: Option<Layer>,
    pub(super) gap: Option<NotChecked>,
    /// The file, where it is one.
    pub(super) file: Option<Arc<str>>,
}

/// Reads an entry of a list of values: an inline table, or the name of a file, which may be a template or a pattern.
pub(super) fn values_entry(entry: &Item, folder: &str, scope: &Scope<'_>, context: &Context<'_>) -> Vec<EntryRead> {
    if entry.is_mapping() {
        let expanded = entry.clone().expanded(scope);
        return vec![EntryRead { layer: Some(Layer::Table { values: to_value(&expanded), what: "values of the helmfile".into() }), gap: None, file: None }];
    }
    let Some(name) = entry.raw_text().and_then(|text| expand(text.trim_matches(['"', '\'']), scope)) else {
        return vec![unseen(entry, "values whose file name is templated", "the name of this values file is templated: what it sets is not checked")];
    };
    if name.contains("://") || name.contains("::") {
        return vec![unseen(entry, "values from elsewhere", "these values lie outside of the tree: what they set is not checked")];
    }
    let Some(path) = join(folder, &name) else {
        return vec![unseen(entry, "a values file outside of the tree", "this values file lies outside of the tree: what it sets is not checked")];
    };
    let paths = if path.contains('*') { matching(&path, context) } else { vec![path] };
    paths.iter().map(|path| file_of_values(path, entry, scope, context)).collect()
}

fn file_of_values(path: &str, entry: &Item, scope: &Scope<'_>, context: &Context<'_>) -> EntryRead {
    let Ok(file) = context.file(path) else {
        let read = values_layer::read(context, path, &entry.place());
        return EntryRead { layer: read.layer, gap: read.gap, file: None };
    };
    if !file.text.contains("{{") {
        let read = values_layer::of_file(&file);
        return EntryRead { layer: read.layer, gap: read.gap, file: Some(file.path.clone()) };
    }
    let (parts, gaps) = parts_of(&file, scope);
    let gap = gaps.into_iter().next();
    let Some(part) = parts.into_iter().next() else {
        let layer = gap.is_some().then(|| Layer::Unseen { what: format!("values file {path}").into(), place: entry.place() });
        return EntryRead { layer, gap, file: Some(file.path.clone()) };
    };
    let mut values = to_value(&part.item.expanded(scope));
    if !part.written_out.is_empty()
        && let crate::model::value::Value::Table(table) = &mut values.value
    {
        Arc::make_mut(table).rest_unknown = Some("a template writes out more values".into());
    }
    EntryRead { layer: Some(Layer::Table { values, what: format!("values file {path}").into() }), gap, file: Some(file.path.clone()) }
}

pub(super) fn unseen(at: &Item, what: &str, reason: &str) -> EntryRead {
    let gap = NotChecked::at(at.place(), NotCheckedKind::PartlyChecked, reason);
    EntryRead { layer: Some(Layer::Unseen { what: what.into(), place: at.place() }), gap: Some(gap), file: None }
}

/// Files of the tree that a pattern with `*` in its last part names.
fn matching(pattern: &str, context: &Context<'_>) -> Vec<String> {
    let (folder, pattern) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let Some((start, end)) = pattern.split_once('*') else {
        return Vec::new();
    };
    let name_of = |path: &Arc<str>| if folder.is_empty() { Some(path.to_string()) } else { path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned) };
    let fits = |name: &String| !name.contains('/') && name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end);
    context.below(folder).iter().filter_map(name_of).filter(fits).take(MAX_BASES).map(|name| format!("{folder}/{name}")).collect()
}

/// The documents of a helmfile, those of its bases first, and what could not be read.
fn all_parts(file: &SourceFile, scope: &Scope<'_>, context: &Context<'_>) -> (Vec<Part>, Vec<NotChecked>) {
    let (parts, mut gaps) = parts_of(file, scope);
    let mut all = Vec::new();
    let bases = parts.iter().flat_map(|part| part.item.get("bases").map(Item::items).unwrap_or_default());
    for base in bases.take(MAX_BASES) {
        let name = base.raw_text().and_then(|text| expand(text.trim_matches(['"', '\'']), scope));
        match name.and_then(|name| join(file.folder(), &name)).and_then(|path| context.file(&path).ok()) {
            Some(file) => {
                let (parts, more) = parts_of(&file, scope);
                all.extend(parts);
                gaps.extend(more);
            }
            None => gaps.push(base.partly("this base is not in the tree: repositories, environments and defaults in it are not known")),
        }
    }
    all.extend(parts);
    (all, gaps)
}

/// The documents of a file, its conditions decided as far as they can be.
fn parts_of(file: &SourceFile, scope: &Scope<'_>) -> (Vec<Part>, Vec<NotChecked>) {
    let resolved = resolve(&file.text, scope);
    let written_out: Arc<[u32]> = resolved.written_out.as_slice().into();
    let parsed;
    let (text, documents): (Arc<str>, &[Result<Document, Broken>]) = match resolved.text {
        Cow::Borrowed(_) => (file.text.clone(), file.documents()),
        Cow::Owned(text) => {
            parsed = yaml::parse_stream(&text, &Limits::default());
            (text.into(), &parsed)
        }
    };
    let source = Arc::new(Text { path: file.path.clone(), text: text.clone() });
    let mut parts = Vec::new();
    let mut gaps = Vec::new();
    for document in documents {
        match document {
            Ok(document) => {
                let item = Item::new(&source, &document.root);
                let (from, to) = (document.root.span.start.line, document.root.span.end.line);
                let own = written_out.iter().copied().filter(|line| (from..=to.saturating_add(1)).contains(line)).collect();
                parts.push(Part { item, written_out: own });
            }
            Err(broken) if mentions_milvus(text.get(broken.bytes.clone()).unwrap_or_default()) => {
                let at = Position { line: broken.at.line, column: broken.at.column };
                let kind = if broken.limit { NotCheckedKind::LimitsExceeded } else { NotCheckedKind::NotRead };
                let place = Place { file: file.path.clone(), start: at, end: at };
                gaps.push(NotChecked::at(place, kind, &format!("this part of the helmfile cannot be read before templating: {}", broken.reason)));
            }
            Err(_) => {}
        }
    }
    (parts, gaps)
}

fn mentions_milvus(text: &str) -> bool {
    text.as_bytes().windows(6).any(|window| window.eq_ignore_ascii_case(b"milvus"))
}

/// An item as a value.
pub(super) fn to_value(item: &Item) -> crate::model::value::Node {
    item.to_value()
}
