//! Acknowledgements beside releases, `guard.milvus-guard.dev/ack: MV210 <reference>` as annotation or comment: what they say, and whose they are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::context::Context;
use super::declare::place_of;
use super::gitops::Rendering;
use super::index::Object;
use super::{Reading, SourceFile};
use crate::document::yaml::{Kind, Node, Span, Style};
use crate::document::{script, shell};
use crate::model::declaration::{Declaration, Evidence, EvidenceKind, Form, Layer, NotChecked, NotCheckedKind};
use crate::model::place::{Place, Position};
use crate::model::value::Node as Value;

/// The annotation, or the beginning of the comment, that acknowledges a rule.
pub const ACKNOWLEDGEMENT: &str = "guard.milvus-guard.dev/ack";

/// Acknowledgements that are read in one file, at most.
const MAX_IN_FILE: usize = 1_000;

/// Files that values come from, at most.
const MAX_FILES: usize = 20;

/// Characters of a malformed acknowledgement that are repeated in a message.
const MAX_SHOWN: usize = 40;

/// References that name nothing, in any case.
const EMPTY_WORDS: [&str; 14] = ["todo", "tbd", "fixme", "...", "…", "none", "n/a", "na", "no", "nil", "null", "-", "x", "?"];

/// How it is written, for messages.
const FORM: &str = "`guard.milvus-guard.dev/ack: MV210 <reference>`";

/// One acknowledgement of a file.
#[derive(Debug, Clone, PartialEq)]
struct Written {
    said: Said,
    place: Place,
    /// First and last line of the block scalar of YAML whose text it is a comment of.
    block: Option<(u32, u32)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Said {
    /// It answers for this rule (`MV210`) with this reference.
    Answer(Arc<str>, Arc<str>),
    /// A text to fill in was left as it was: why it does not count.
    Placeholder(String),
    /// Why it cannot be read.
    Malformed(String),
}

impl Written {
    fn evidence(&self) -> Option<Evidence> {
        let Said::Answer(rule, reference) = &self.said else { return None };
        let kind = EvidenceKind::Acknowledged { rule: rule.clone(), reference: reference.clone() };
        Some(Evidence { kind, text: format!("{rule} acknowledged: {reference}").into(), place: Some(self.place.clone()) })
    }

    fn idle(&self) -> Option<NotChecked> {
        match &self.said {
            Said::Answer(..) => None,
            Said::Malformed(reason) | Said::Placeholder(reason) => Some(not_read(&self.place, reason)),
        }
    }
}

/// Something that was written to be evidence and is none.
fn not_read(place: &Place, reason: &str) -> NotChecked {
    NotChecked::at(place.clone(), NotCheckedKind::NotRead, reason)
}

/// The acknowledgements in the comments of a part of a text.
#[must_use]
pub fn in_comments(file: &SourceFile, bytes: &Range<usize>) -> Vec<Evidence> {
    comments(file, bytes).iter().filter_map(Written::evidence).collect()
}

/// The acknowledgements in the comments and annotations of a whole file.
#[must_use]
pub fn in_file(file: &SourceFile) -> Vec<Evidence> {
    all(file).iter().filter(|written| written.block.is_none()).filter_map(Written::evidence).collect()
}

/// What stands in a file as an acknowledgement and cannot count: malformed, or a text to fill in.
#[must_use]
pub fn idle_in_file(file: &SourceFile) -> Vec<NotChecked> {
    all(file).iter().filter_map(Written::idle).collect()
}

/// The acknowledgements of an object as an environment applies it: beside the object, in the kustomizations over it, or patched in.
#[must_use]
pub fn of_rendering(object: &Object<'_>, rendering: &Rendering<'_>, context: &Context<'_>) -> Vec<Evidence> {
    let mut found: Vec<Evidence> = Vec::new();
    let text = object.file.text.as_bytes().get(object.bytes.clone()).unwrap_or_default();
    if memchr::memmem::find(text, ACKNOWLEDGEMENT.as_bytes()).is_some() {
        let mut written = Vec::new();
        annotations(object.file, object.root, &mut written);
        found.extend(written.iter().filter_map(Written::evidence));
    }
    for layer in &rendering.environment.layers {
        if let Ok(file) = context.file(&layer.path) {
            found.extend(in_file(&file));
        }
    }
    if let Some(said) = rendering.item.at(&["metadata", "annotations", ACKNOWLEDGEMENT])
        && said.source.path != object.file.path
        && let Some(text) = said.text()
    {
        found.extend(parts(text).filter_map(|part| Written { said: read(part), place: said.place(), block: None }.evidence()));
    }
    found
}

/// Gives each release the acknowledgements beside what makes it: in its document, beside its version, image and values. What answers for no release, or cannot be
/// read, is told.
pub(super) fn join(reading: &mut Reading, context: &Context<'_>) {
    let files: BTreeMap<&str, Annotated<'_>> = context.files.iter().filter(|file| mentions_one(file)).map(|file| (&*file.path, Annotated::of(file))).collect();
    if files.is_empty() {
        return;
    }
    let mut joined: BTreeSet<Place> = BTreeSet::new();
    let mut spoken_of: BTreeSet<Arc<str>> = BTreeSet::new();
    for declaration in &mut reading.declarations {
        let own: BTreeSet<Arc<str>> = sayings(declaration).map(|said| said.file.clone()).chain([declaration.path.clone()]).collect();
        let beside: Vec<Evidence> = own.iter().filter_map(|path| files.get(&**path)).flat_map(|file| file.beside(declaration)).collect();
        for evidence in beside {
            if !declaration.evidence.contains(&evidence) {
                declaration.evidence.push(evidence);
            }
        }
        let is_one = |evidence: &&Evidence| matches!(evidence.kind, EvidenceKind::Acknowledged { .. });
        joined.extend(declaration.evidence.iter().filter(is_one).filter_map(|evidence| evidence.place.clone()));
        spoken_of.extend(own);
    }
    let idle = files.values().flat_map(|file| &file.written).filter_map(|written| {
        let reason = match &written.said {
            Said::Answer(rule, _) if !joined.contains(&written.place) => format!(
                "the acknowledgement of {rule} stands beside no Milvus release, so it answers nothing; write it as an annotation of the release's object, or as a comment \
                 in its document, beside its version or values, or right above the command"
            ),
            Said::Answer(..) => return None,
            Said::Malformed(reason) | Said::Placeholder(reason) => reason.clone(),
        };
        // Documentation shows the form with a text to fill in; beside a release it was left there by mistake.
        let is_example = matches!(written.said, Said::Placeholder(_)) && !spoken_of.contains(&written.place.file);
        (!is_example).then(|| not_read(&written.place, &reason))
    });
    reading.idle.extend(idle.collect::<Vec<_>>());
}

/// Where a release says what it runs: the object or entry, its chart version, its image, its values (of values that a patch lays into others, too).
fn sayings(declaration: &Declaration) -> impl Iterator<Item = &Place> {
    let values = declaration.layers.iter().flat_map(|layer| match layer {
        Layer::Table { values, .. } => one_of_each_file(values),
        Layer::Set { place, .. } => vec![place],
        Layer::Unseen { .. } => Vec::new(),
    });
    let objects = declaration.rendered.iter().flat_map(|rendered| rendered.apis.iter().map(|(_, _, place)| place));
    [Some(&declaration.place), declaration.chart.version.place(), declaration.image.place()].into_iter().flatten().chain(values).chain(objects)
}

/// A place of the values in each file that they come from.
fn one_of_each_file(values: &Value) -> Vec<&Place> {
    let mut places: Vec<&Place> = Vec::new();
    let mut open = vec![values];
    while let Some(node) = open.pop() {
        let place = node.origin.place().filter(|place| places.len() < MAX_FILES && !places.iter().any(|known| known.file == place.file));
        places.extend(place);
        open.extend(node.table().into_iter().flat_map(|table| table.entries.values().map(|entry| &entry.node)));
    }
    places
}

/// A file with acknowledgements.
struct Annotated<'f> {
    file: &'f SourceFile,
    /// In the order of their lines.
    written: Vec<Written>,
    /// First and last line of each document, or item of a `List`, with the comments before it.
    documents: Vec<(u32, u32)>,
    /// First and last line of each release of a helmfile, with the comments above it.
    releases: Vec<(u32, u32)>,
}

impl<'f> Annotated<'f> {
    fn of(file: &'f SourceFile) -> Self {
        let mut written = all(file);
        written.sort_by(|a, b| a.place.cmp(&b.place));
        let (mut documents, mut releases) = (Vec::new(), Vec::new());
        if file.is_yaml() || file.file_name() == "-" {
            let mut first = 1;
            for document in file.documents() {
                let bytes = match document {
                    Ok(document) => document.bytes.clone(),
                    Err(broken) => broken.bytes.clone(),
                };
                let last = line_of(file, bytes.end.saturating_sub(1));
                if let Ok(document) = document {
                    let is_list = document.root.text_at(&["kind"]) == Some("List");
                    for item in document.root.get("items").map(Node::items).unwrap_or_default().iter().filter(|_| is_list) {
                        documents.push((first, item.span.end.line.saturating_sub(u32::from(item.span.end.column == 1)).max(first)));
                        first = item.span.end.line.max(first) + u32::from(item.span.end.column > 1);
                    }
                    releases.extend(document.root.get("releases").map(Node::items).unwrap_or_default().iter().map(|item| {
                        let start = item.span.start.line;
                        (first_comment_above(file, start), item.span.end.line.saturating_sub(u32::from(item.span.end.column == 1)).max(start))
                    }));
                }
                documents.push((first, last));
                first = last + 1;
            }
        }
        Self { file, written, documents, releases }
    }

    /// The acknowledgements beside what makes a release.
    fn beside(&self, declaration: &Declaration) -> Vec<Evidence> {
        let mut lines: BTreeSet<(u32, u32)> = BTreeSet::new();
        let mut said_at: BTreeSet<u32> = BTreeSet::new();
        for said in sayings(declaration).filter(|said| said.file == self.file.path) {
            let line = said.start.line;
            said_at.insert(line);
            let is_own = *said.file == *declaration.path;
            let within = |parts: &[(u32, u32)]| parts.iter().copied().find(|(first, last)| (*first..=*last).contains(&line));
            let beside = match declaration.identity.form {
                Form::Command if is_own => None,
                Form::Helmfile if is_own => within(&self.releases),
                _ => within(&self.documents),
            };
            lines.insert(beside.unwrap_or_else(|| (first_comment_above(self.file, line), line)));
        }
        // A text within the document is none of the release's, unless the release says something in that text.
        let is_read = |written: &Written| written.block.is_none_or(|(first, last)| said_at.range(first..=last).next().is_some());
        let is_in = |written: &&Written| is_read(written) && lines.iter().any(|(first, last)| (*first..=*last).contains(&written.place.start.line));
        self.written.iter().filter(is_in).filter_map(Written::evidence).collect()
    }
}

fn mentions_one(file: &SourceFile) -> bool {
    memchr::memmem::find(file.text.as_bytes(), ACKNOWLEDGEMENT.as_bytes()).is_some()
}

/// The 1-based line of a byte.
fn line_of(file: &SourceFile, byte: usize) -> u32 {
    let before = file.text.as_bytes().get(..byte).unwrap_or_default();
    u32::try_from(memchr::memchr_iter(b'\n', before).count() + 1).unwrap_or(u32::MAX)
}

/// The first of the lines of comments that end right above a line; the line itself where there are none.
fn first_comment_above(file: &SourceFile, line: u32) -> u32 {
    let above: Vec<&str> = file.text.lines().take(line.saturating_sub(1) as usize).collect();
    let comments = above
        .iter()
        .rev()
        .map(|text| text.trim_start_matches('\u{feff}'))
        .take_while(|text| text.trim_start().starts_with(['#']) || text.trim_start().starts_with("//"))
        .count();
    line.saturating_sub(u32::try_from(comments).unwrap_or_default())
}

/// All acknowledgements of a file, in comments and annotations.
fn all(file: &SourceFile) -> Vec<Written> {
    if !mentions_one(file) {
        return Vec::new();
    }
    let is_yaml = file.is_yaml() || file.file_name() == "-" || file.file_name() == "Kustomization" || file.file_name().ends_with(".json");
    let documents = if is_yaml { file.documents() } else { &[] };
    let roots: Vec<&Node> = documents.iter().flatten().map(|document| &document.root).collect();
    let mut texts = Vec::new();
    roots.iter().for_each(|root| scalars(root, &mut texts));
    let mut found = comments_beside(file, &(0..file.text.len()), &texts);
    roots.iter().for_each(|root| annotations(file, root, &mut found));
    found
}

/// Where the scalars of a tree stand that may hold what looks like a comment.
fn scalars(root: &Node, found: &mut Vec<(Span, Style)>) {
    match &root.kind {
        Kind::Scalar { style: Style::Plain, .. } => {}
        Kind::Scalar { style, .. } => found.push((root.span, *style)),
        Kind::Sequence(items) => items.iter().for_each(|item| scalars(item, found)),
        Kind::Mapping(entries) => entries.iter().for_each(|(_, value)| scalars(value, found)),
    }
}

/// The acknowledgements in the comments of a part of a text.
fn comments(file: &SourceFile, bytes: &Range<usize>) -> Vec<Written> {
    comments_beside(file, bytes, &[])
}

/// The same, `texts` being the scalars of the file: what stands in a quoted one is no comment, in a block it is one of the block's own text.
fn comments_beside(file: &SourceFile, bytes: &Range<usize>, texts: &[(Span, Style)]) -> Vec<Written> {
    let text = file.text.get(bytes.clone()).unwrap_or_default();
    if memchr::memmem::find(text.as_bytes(), ACKNOWLEDGEMENT.as_bytes()).is_none() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let quoted = quoted_by_shell(file);
    let mut next = bytes.start;
    for (number, whole) in (line_of(file, bytes.start)..).zip(text.split_inclusive('\n')) {
        let start = next;
        next += whole.len();
        let line = whole.trim_end_matches(['\r', '\n']);
        let Some((before, rest)) = line.split_once(ACKNOWLEDGEMENT) else {
            continue;
        };
        let is_quoted = quoted.iter().any(|quoted| quoted.contains(&(start + before.len())));
        let is_quoted_key = ['"', '\''].iter().any(|quote| before.ends_with(*quote) && rest.starts_with(*quote));
        if is_quoted_key || rest.starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == '/') {
            continue;
        }
        let column = before.chars().count() + 1;
        let position = |column| Position { line: number, column: u32::try_from(column).unwrap_or(u32::MAX) };
        let place = Place { file: file.path.clone(), start: position(column), end: position(column + ACKNOWLEDGEMENT.len()) };
        let around = texts.iter().find(|(span, _)| (span.start.line, span.start.column) <= (place.start.line, place.start.column) && holds_line(span, &place));
        let (stands, block) = match around {
            _ if is_quoted => (Stands::InText, None),
            Some((span, Style::Literal | Style::Folded)) => (stands(before), Some((span.start.line, span.end.line - u32::from(span.end.column == 1)))),
            Some(_) => (Stands::InText, None),
            None => (stands(before), None),
        };
        let rest = rest.trim_start_matches(['"', '\'']).trim_start();
        match (stands, rest.strip_prefix([':', '='])) {
            (Stands::Alone, Some(said)) => push(said, &place, block, &mut found),
            // A sentence about the annotation.
            (Stands::Alone, None) if rest.starts_with(|c: char| c.is_ascii_punctuation()) => {}
            (Stands::Alone, None) => found.push(Written { said: malformed("a colon is missing after it"), place, block }),
            (Stands::InText, Some(said)) => found.extend(parts(said).next().and_then(in_text).map(|said| Written { said, place, block })),
            (Stands::InText, None) | (Stands::Elsewhere, _) => {}
        }
        if found.len() >= MAX_IN_FILE {
            break;
        }
    }
    found
}

/// Texts over several lines that scripts have in quotes, but for those that hold commands themselves.
fn quoted_by_shell(file: &SourceFile) -> Vec<Range<usize>> {
    let Some(kind) = script::kind(&file.path, &file.text) else { return Vec::new() };
    let documents = if kind == script::Kind::Pipeline { file.documents() } else { &[] };
    let mut found = Vec::new();
    for part in script::jobs(kind, &file.text, documents).into_iter().flat_map(|job| job.parts) {
        if let script::Part::Script(step) = part {
            let quoted = quoted_in(step.script.text());
            found.extend(quoted.iter().map(|bytes| step.script.source_bytes(bytes)));
        }
    }
    found
}

fn quoted_in(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for event in shell::parse(text).events {
        let shell::Event::Command(command) = event else { continue };
        let assigned = command.assignments.into_iter().filter_map(|assignment| match assignment.value {
            shell::Assigned::Scalar(word) => Some(word),
            shell::Assigned::List(_) => None,
        });
        for part in command.words.into_iter().chain(assigned).flat_map(|word| word.parts) {
            if let shell::Part::Text { text, bytes, quoted: true } = part
                && text.contains('\n')
                && !["helm", "kubectl"].iter().any(|program| text.contains(program))
            {
                found.push(bytes);
            }
        }
    }
    found
}

fn holds_line(span: &Span, place: &Place) -> bool {
    let (line, column) = (place.start.line, place.start.column);
    line < span.end.line || (line == span.end.line && column < span.end.column)
}

/// Where on a line an acknowledgement stands.
#[derive(Clone, Copy, PartialEq)]
enum Stands {
    /// A comment begins with it.
    Alone,
    /// In the midst of a comment, or of a quoted text.
    InText,
    /// In no comment.
    Elsewhere,
}

/// Where it stands, by what is before it on its line: a comment of YAML, a shell, Groovy, or a template.
fn stands(before: &str) -> Stands {
    const MARKERS: [&str; 4] = ["#", "//", "/*", "*"];
    let before = before.trim_start_matches('\u{feff}');
    let trimmed = before.trim_end();
    let bare = trimmed.trim_end_matches(['#', '/', '*']);
    let marker = trimmed.get(bare.len()..).unwrap_or_default();
    let is_free = |text: &str| text.is_empty() || text.ends_with(char::is_whitespace) || text.ends_with(['{', '-']);
    if MARKERS.iter().any(|begin| marker.starts_with(begin)) && (marker != "*" || bare.trim().is_empty()) && is_free(bare) {
        return if ends_in_quotes(bare) { Stands::InText } else { Stands::Alone };
    }
    let begins = |at: usize| is_free(before.get(..at).unwrap_or_default());
    let is_in_comment = ["#", "//", "/*"].iter().any(|marker| before.match_indices(marker).any(|(at, _)| begins(at)));
    if is_in_comment || ends_in_quotes(before) { Stands::InText } else { Stands::Elsewhere }
}

/// Whether a quote is open at the end of a text.
fn ends_in_quotes(text: &str) -> bool {
    let mut open = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, open) {
            ('\\', None | Some('"')) => drop(chars.next()),
            ('"' | '\'', None) => open = Some(c),
            (c, Some(quote)) if c == quote => open = None,
            _ => {}
        }
    }
    open.is_some()
}

/// One that would count if it stood in a comment of its own.
fn in_text(part: &str) -> Option<Said> {
    elsewhere(part, "it stands within a text")
}

/// One that would count if it did not stand where it does.
fn elsewhere(part: &str, where_it_is: &str) -> Option<Said> {
    let Said::Answer(rule, _) = read(part) else { return None };
    Some(Said::Placeholder(format!(
        "the acknowledgement of {rule} does not count: {where_it_is}; write it as an annotation of the release's object, or as a comment that begins with it"
    )))
}

/// The acknowledgements that are values in a tree of YAML, wherever they stand. Those that are no annotation of an object do not count.
fn annotations(file: &SourceFile, root: &Node, found: &mut Vec<Written>) {
    annotations_below(file, root, Above::default(), found);
}

/// The keys above a node.
#[derive(Clone, Copy, Default)]
struct Above<'n> {
    parent: Option<&'n str>,
    grandparent: Option<&'n str>,
    /// They are values of a chart.
    in_values: bool,
}

impl<'n> Above<'n> {
    /// Keys under which forms keep values of a chart.
    const VALUES: [&'static str; 4] = ["values", "valuesObject", "valuesInline", "valuesContent"];

    fn below(self, key: Option<&'n str>) -> Self {
        Self { parent: key, grandparent: self.parent, in_values: self.in_values || key.is_some_and(|key| Self::VALUES.contains(&key)) }
    }

    /// Whether annotations stand here: of an object, of all objects of a kustomization, of a chart.
    fn are_annotations(self, file: &SourceFile) -> bool {
        let is_of_object = self.parent == Some("annotations")
            && (matches!(self.grandparent, Some("metadata" | "commonMetadata")) || self.grandparent.is_none() && file.file_name() == "Chart.yaml");
        !self.in_values && (is_of_object || self.parent == Some("commonAnnotations"))
    }
}

fn annotations_below(file: &SourceFile, root: &Node, above: Above<'_>, found: &mut Vec<Written>) {
    match &root.kind {
        Kind::Scalar { .. } => {}
        Kind::Sequence(items) => items.iter().for_each(|item| annotations_below(file, item, above, found)),
        Kind::Mapping(entries) => {
            for (key, value) in entries {
                if key.text() != Some(ACKNOWLEDGEMENT) {
                    annotations_below(file, value, above.below(key.text()), found);
                    continue;
                }
                let place = place_of(&file.path, &key.span);
                if found.len() >= MAX_IN_FILE || found.iter().any(|known| known.place == place) {
                    continue;
                }
                match value.text() {
                    Some(text) if !above.are_annotations(file) => {
                        let said = parts(text).next().and_then(|part| elsewhere(part, "it stands where no annotation of an object stands"));
                        found.extend(said.map(|said| Written { said, place, block: None }));
                    }
                    Some(text) => push(text, &place, None, found),
                    None if value.is_templated() => found.push(Written { said: templated(), place, block: None }),
                    None => found.push(Written { said: malformed("its value is no text"), place, block: None }),
                }
            }
        }
    }
}

fn push(text: &str, place: &Place, block: Option<(u32, u32)>, found: &mut Vec<Written>) {
    let text = text.trim().trim_end_matches("}}").trim_end_matches("*/").trim_end_matches("#}").trim_end_matches("-->").trim().trim_matches(['"', '\'']);
    let before = found.len();
    found.extend(parts(text).map(|part| Written { said: read(part), place: place.clone(), block }));
    if found.len() == before {
        found.push(Written { said: malformed("nothing follows it"), place: place.clone(), block });
    }
}

/// Several stand on lines of their own, or are parted by `;`, or by a comma before the next rule's id (a reference may hold commas).
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let begins_with_id = |text: &str| text.trim_start().get(..2).is_some_and(|start| start.eq_ignore_ascii_case("MV"));
    text.split(['\n', ';'])
        .flat_map(move |line| {
            let mut rest = Some(line);
            std::iter::from_fn(move || {
                let line = rest.take()?;
                let comma = line.match_indices(',').map(|(at, _)| at).find(|at| line.get(at + 1..).is_some_and(begins_with_id));
                let (part, after) = match comma.and_then(|at| Some((line.get(..at)?, line.get(at + 1..)?))) {
                    Some((part, after)) => (part, Some(after)),
                    None => (line, None),
                };
                rest = after;
                Some(part)
            })
        })
        .map(|part| part.trim().trim_end_matches(',').trim())
        .filter(|part| !part.is_empty())
}

/// Reads one: the rule's id in any case, then the reference.
fn read(part: &str) -> Said {
    let (id, reference) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
    let (id, reference) = (id.trim_end_matches(':'), reference.trim());
    let upper = id.to_ascii_uppercase();
    let is_rule = upper.strip_prefix("MV").is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
    if !is_rule {
        return malformed(&format!("`{}` is no rule id", id.chars().take(MAX_SHOWN).collect::<String>()));
    }
    if reference.is_empty() {
        return malformed(&format!("{upper} has no reference"));
    }
    if reference.contains("{{") || reference.contains("${") {
        return templated();
    }
    let is_to_fill_in = reference.find('<').is_some_and(|at| reference.get(at..).is_some_and(|rest| rest.contains('>')))
        || EMPTY_WORDS.iter().any(|word| reference.eq_ignore_ascii_case(word));
    if is_to_fill_in {
        let reference: String = reference.chars().take(MAX_SHOWN).collect();
        return Said::Placeholder(format!(
            "the acknowledgement of {upper} does not count: `{reference}` is a text to fill in; write where the proof can be looked up"
        ));
    }
    Said::Answer(upper.into(), reference.into())
}

fn malformed(what: &str) -> Said {
    Said::Malformed(format!("the acknowledgement does not count: {what}; write {FORM}, and several on lines of their own or parted by `;`"))
}

fn templated() -> Said {
    Said::Malformed("the acknowledgement does not count: it is templated, so nobody can follow it here; write the reference itself".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::MemoryTree;
    use crate::source::read_tree;

    /// `RULE reference @line` of each acknowledgement that counts, and the others in words.
    fn told(text: &str) -> Vec<String> {
        let file = SourceFile::new("a.yaml".into(), text.into());
        let one = |written: &Written| match &written.said {
            Said::Answer(rule, reference) => format!("{rule} {reference} @{}:{}", written.place.start.line, written.place.start.column),
            Said::Placeholder(reason) | Said::Malformed(reason) => reason.split(';').next().unwrap_or_default().replace("the acknowledgement ", ""),
        };
        all(&file).iter().map(one).collect()
    }

    #[test]
    fn several_are_parted_by_lines_semicolons_and_commas_before_an_id() {
        let key = "metadata:\n  annotations:\n    guard.milvus-guard.dev/ack: ";
        assert_eq!(told(&format!("{key}\"MV201 OPS-1; MV206 OPS-2\"\n")), ["MV201 OPS-1 @3:5", "MV206 OPS-2 @3:5"]);
        assert_eq!(told(&format!("{key}MV201 OPS-1, seen by Ann, MV206 OPS-2\n")), ["MV201 OPS-1, seen by Ann @3:5", "MV206 OPS-2 @3:5"]);
        assert_eq!(told(&format!("{key}|\n      MV201 OPS-1\n      mv206 OPS-2,\n\n")), ["MV201 OPS-1 @3:5", "MV206 OPS-2 @3:5"]);
        assert_eq!(told(&format!("{key}\"MV201 OPS-1\\nMV206: OPS-2\"\n")), ["MV201 OPS-1 @3:5", "MV206 OPS-2 @3:5"]);
        assert_eq!(told("metadata:\n  annotations:\n    \"guard.milvus-guard.dev/ack\": MV201 OPS-1\n"), ["MV201 OPS-1 @3:5"]);
        assert_eq!(told("# guard.milvus-guard.dev/ack: MV201 OPS-1,MV206 OPS-2\na: 1\n"), ["MV201 OPS-1 @1:3", "MV206 OPS-2 @1:3"]);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let said = |text: &str| told(&format!("a: 1 # guard.milvus-guard.dev/ack{text}\n")).join(" | ");
        assert_eq!(said(": mv210 backup-1"), "MV210 backup-1 @1:8");
        assert_eq!(said(": MV210"), "does not count: MV210 has no reference");
        assert_eq!(said(": backup-1"), "does not count: `backup-1` is no rule id");
        assert_eq!(said(": MV21O backup-1"), "does not count: `MV21O` is no rule id");
        assert_eq!(said(":"), "does not count: nothing follows it");
        assert_eq!(said(" MV210 backup-1"), "does not count: a colon is missing after it");
        for word in ["none", "N/A", "na", "no", "-", "tbd", "TODO", "x"] {
            assert!(said(&format!(": MV210 {word}")).ends_with("is a text to fill in"), "{word}");
        }
        assert_eq!(said(": MV210 <reference>"), "of MV210 does not count: `<reference>` is a text to fill in");
        assert_eq!(said(": MV210 see <TICKET>"), "of MV210 does not count: `see <TICKET>` is a text to fill in");
        assert_eq!(said(": MV210 TODO"), "of MV210 does not count: `TODO` is a text to fill in");
        assert_eq!(said(": MV210 ${TICKET}"), "does not count: it is templated, so nobody can follow it here");
        assert_eq!(said("2: MV210 backup-1"), "");
        assert_eq!(said("` is the annotation"), "");
        assert_eq!(told("metadata: {annotations: {guard.milvus-guard.dev/ack: [MV210 x]}}\n"), ["does not count: its value is no text"]);
        assert_eq!(told("{{/* guard.milvus-guard.dev/ack: MV210 backup-1 */}}\na: 1\n"), ["MV210 backup-1 @1:6"]);
    }

    const CHART: &str = "https://zilliztech.github.io/milvus-helm/";

    /// The rules that each release's acknowledgements name, and what answers nothing.
    fn read_all(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let tree = MemoryTree::new(files.iter().copied());
        let reading = read_tree(&tree, &tree.candidates());
        let rules = |d: &Declaration| d.evidence.iter().filter_map(|e| e.text.split(' ').next().map(str::to_owned)).collect::<Vec<_>>().join(" ");
        let idle = reading.idle.iter().map(|gap| format!("{}: {}", gap.place.as_ref().unwrap(), gap.reason.split([',', ';']).next().unwrap_or_default()));
        (reading.declarations.iter().map(rules).collect(), idle.collect())
    }

    #[test]
    fn a_text_in_quotes_of_a_shell_is_no_comment_and_a_byte_order_mark_is_no_text() {
        let helm = "helm upgrade m zilliztech/milvus --version 5.0.19\n";
        let ack = "# guard.milvus-guard.dev/ack: MV210 b";
        let rules = |text: String| read_all(&[("deploy.sh", &text)]).0;
        assert_eq!(rules(format!("{ack}\n{helm}")), ["MV210"]);
        assert_eq!(rules(format!("\u{feff}{ack}\n{helm}")), ["MV210"]);
        assert_eq!(rules(format!("echo \"\n{ack}\n\" && {helm}")), [""]);
        assert_eq!(rules(format!("X='\n{ack}\n' {helm}")), [""]);
    }

    #[test]
    fn each_form_takes_those_beside_what_it_says() {
        let ack = "# guard.milvus-guard.dev/ack: MV210 backup-1";
        let umbrella = format!("apiVersion: v2\nname: app\ndependencies:\n  - name: milvus\n    repository: {CHART}\n    {ack}\n    version: 5.0.19\n");
        assert_eq!(read_all(&[("Chart.yaml", &umbrella)]).0, ["MV210"]);
        let plain = umbrella.replace(ack, "# nothing");
        let values = format!("milvus:\n  image:\n    all:\n      {ack}\n      tag: v2.6.15\n");
        assert_eq!(read_all(&[("Chart.yaml", &plain), ("values.yaml", &values)]).0, ["MV210"]);
        let alone = format!("image:\n  all:\n    repository: milvusdb/milvus\n    tag: v2.6.15 {ack}\ncluster: {{enabled: true}}\n");
        assert_eq!(read_all(&[("prod.yaml", &alone)]).0, ["MV210"]);
        let script = format!("helm repo add z {CHART}\nhelm upgrade m z/milvus -f prod.yaml\nhelm upgrade n z/milvus\n");
        assert_eq!(read_all(&[("prod.yaml", &alone), ("up.sh", &script)]).0.iter().filter(|rules| *rules == "MV210").count(), 1);
        let variable = format!("{ack}\nCHART_VERSION=5.0.19\nhelm repo add z {CHART}\necho\nhelm upgrade m z/milvus --version $CHART_VERSION\n");
        assert_eq!(read_all(&[("up.sh", &variable)]).0.last().unwrap(), "MV210");
        let manifest = format!(
            "kind: ConfigMap\n---\napiVersion: apps/v1\nkind: Deployment\n{ack}\nmetadata:\n  name: m\n  labels: {{app.kubernetes.io/instance: m, helm.sh/chart: milvus-5.0.19, component: standalone}}\nspec: {{template: {{spec: {{containers: [{{name: standalone, image: milvusdb/milvus:v2.6.15}}]}}}}}}\n"
        );
        assert_eq!(read_all(&[("m.yaml", &manifest)]).0, ["MV210"]);
    }

    #[test]
    fn what_stands_within_a_text_is_no_answer() {
        let ack = "guard.milvus-guard.dev/ack: MV210 backup-1";
        let release = |more: &str| {
            format!(
                "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: m{more}\nspec: {{chart: {{spec: {{chart: milvus, version: 5.0.19}}}}}}\n"
            )
        };
        let answers = |text: &str| read_all(&[("m.yaml", text)]).0;
        assert_eq!(answers(&release(&format!(" # {ack}"))), ["MV210"]);
        for text in [
            format!("\n  annotations: {{note: \"write # {ack}\"}}"),
            format!("\n  annotations:\n    note: \"write\n      # {ack}\""),
            format!("\n  annotations:\n    note: |\n      # {ack}\n      beside the version"),
            format!("\n  # To go on, write {ack} here."),
            format!("\n  annotations: {{see: 'https://docs.example.com {ack}'}}"),
        ] {
            assert_eq!(answers(&release(&text)), [""], "{text}");
        }
        for under in ["labels: {ACK: MV210 backup-1}", "x: {annotations: {ACK: MV210 backup-1}}"] {
            let text = release(&format!("\n  {}", under.replace("ACK", ACKNOWLEDGEMENT)));
            assert_eq!(answers(&text), [""], "{text}");
        }
        let in_values = release("")
            .replace("version: 5.0.19}}", &format!("version: 5.0.19}}}}, values: {{metadata: {{annotations: {{{ACKNOWLEDGEMENT}: MV210 backup-1}}}}}}"));
        let (rules, idle) = read_all(&[("m.yaml", &in_values)]);
        assert!(rules == [""] && idle.len() == 1 && idle[0].contains("does not count"), "{idle:?}");
        let script = |above: &str| format!("helm repo add z {CHART}\n{above}\nhelm upgrade m z/milvus --version 5.0.19\n");
        let of_script = |above: &str| read_all(&[("up.sh", &script(above))]);
        assert_eq!(of_script(&format!("# {ack}")).0.last().unwrap(), "MV210");
        let (rules, idle) = of_script(&format!("# once done, write {ack}"));
        assert_eq!((rules.last().unwrap().as_str(), idle.len()), ("", 1), "{idle:?}");
        assert_eq!(of_script(&format!("echo \"# {ack}\"")).0.last().unwrap(), "");
    }

    #[test]
    fn a_comment_in_a_block_answers_for_what_the_block_says() {
        let ack = "# guard.milvus-guard.dev/ack: MV210 backup-1";
        let application = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: m}}\nspec:\n  source:\n    repoURL: {CHART}\n    chart: milvus\n    targetRevision: 5.0.19\n    helm:\n      values: |\n        {ack}\n        image: {{all: {{tag: v2.6.15}}}}\n"
        );
        assert_eq!(read_all(&[("m.yaml", &application)]).0, ["MV210"]);
        let workflow = format!(
            "on: push\njobs:\n  up:\n    steps:\n      - run: |\n          helm repo add z {CHART}\n          {ack}\n          helm upgrade m z/milvus --version 5.0.19\n"
        );
        assert_eq!(read_all(&[(".github/workflows/up.yaml", &workflow)]).0.last().unwrap(), "MV210");
        let quoted = workflow.replace(&format!("          {ack}\n"), &format!("          echo \"\n          {ack}\n          \"\n"));
        assert_eq!(read_all(&[(".github/workflows/up.yaml", &quoted)]).0.last().unwrap(), "");
    }

    #[test]
    fn a_helmfile_tells_its_releases_apart() {
        let text = format!(
            "repositories: [{{name: z, url: \"{CHART}\"}}]\nreleases:\n  # guard.milvus-guard.dev/ack: MV210 backup-1\n  - name: a\n    chart: z/milvus\n    version: 5.0.19\n  - name: b\n    chart: z/milvus\n    version: 5.0.19 # guard.milvus-guard.dev/ack: MV506 snapshot-1\n  - name: c\n    chart: z/milvus\n"
        );
        assert_eq!(read_all(&[("helmfile.yaml", &text)]), (vec!["MV210".into(), "MV506".into(), String::new()], vec![]));
    }

    #[test]
    fn documents_and_items_of_a_list_keep_theirs() {
        let release = |name: &str| {
            format!(
                "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: {name}, namespace: db}}\nspec: {{chart: {{spec: {{chart: milvus, version: 5.0.19, sourceRef: {{kind: HelmRepository, name: z}}}}}}}}\n"
            )
        };
        let text =
            format!("# guard.milvus-guard.dev/ack: MV210 backup-1\n---\n{}---\n# guard.milvus-guard.dev/ack: MV506 snapshot-1\n{}", release("a"), release("b"));
        assert_eq!(read_all(&[("m.yaml", &text)]), (vec!["MV210".into(), "MV506".into()], vec![]));
        let item = |name: &str| format!("- {}", release(name).trim_end().replace('\n', "\n  "));
        let list = format!("kind: List\nitems:\n{}\n# guard.milvus-guard.dev/ack: MV210 backup-1\n{}\n", item("a"), item("b"));
        assert_eq!(read_all(&[("m.yaml", &list)]), (vec![String::new(), "MV210".into()], vec![]));
    }

    #[test]
    fn a_patch_answers_for_what_it_changes() {
        let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: m}\nspec:\n  chart: {spec: {chart: milvus, version: 5.0.19}}\n  values: {proxy: {replicas: 1}}\n";
        let patch = "kind: HelmRelease\nmetadata: {name: m}\nspec:\n  values:\n    image: {all: {tag: v2.6.15}} # guard.milvus-guard.dev/ack: MV210 backup-1\n";
        let files = [
            ("base/m.yaml", release),
            ("base/kustomization.yaml", "resources: [m.yaml]\n"),
            ("prod/kustomization.yaml", "resources: [../base]\npatches: [{path: p.yaml}]\n"),
        ];
        assert_eq!(read_all(&[&files[..], &[("prod/p.yaml", patch)]].concat()), (vec!["MV210".into()], vec![]));
    }

    #[test]
    fn what_answers_for_nothing_is_told() {
        let release =
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: m}\nspec: {chart: {spec: {chart: milvus, version: 5.0.19}}}\n";
        let beside = format!("{release}---\n# guard.milvus-guard.dev/ack: MV210 backup-1\nkind: ConfigMap\n");
        assert_eq!(
            read_all(&[("m.yaml", &beside)]),
            (vec![String::new()], vec!["m.yaml:6:3: the acknowledgement of MV210 stands beside no Milvus release".into()])
        );
        let left = format!("# guard.milvus-guard.dev/ack: MV210 <reference>\n{release}");
        assert_eq!(read_all(&[("m.yaml", &left)]).1, ["m.yaml:1:3: the acknowledgement of MV210 does not count: `<reference>` is a text to fill in"]);
        assert_eq!(read_all(&[("docs.yaml", "# guard.milvus-guard.dev/ack: MV210 <reference>\na: 1\n")]).1, Vec::<String>::new());
    }
}
