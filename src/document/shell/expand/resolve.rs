//! From the parts of a word to its pieces.

use super::{
    Assigned, Assignment, Extract, Heredoc, LIST_LIMIT, Operation, Part, Piece, RawWord, Redirect, ResolvedRedirect, Runner, Value, Variable, Word, bounded,
};
use crate::document::shell::lexer::heredoc_parts;
use crate::document::template::nothing_sets;
use std::ops::Range;
use std::sync::Arc;

/// Stands for what is not known in the text of a here-document: a template expression, so that readers of YAML take it as unknown.
const UNKNOWN: &str = "${unknown}";

/// Words under construction.
#[derive(Default)]
struct Words {
    done: Vec<Word>,
    pieces: Vec<Piece>,
    /// The word exists even without pieces.
    started: bool,
    /// The word is nothing but an unknown expansion outside quotes so far.
    elastic: bool,
}

impl Words {
    fn push(&mut self, pieces: impl IntoIterator<Item = Piece>) {
        self.pieces.extend(pieces);
        self.started = true;
    }

    fn end(&mut self, bytes: &Range<usize>) {
        if self.started {
            let elastic = self.elastic && self.pieces.len() == 1;
            self.done.push(Word { pieces: std::mem::take(&mut self.pieces), bytes: bytes.clone(), elastic });
        }
        self.started = false;
        self.elastic = false;
    }
}

impl Runner<'_> {
    /// Expands a word into none, one or several words.
    pub(super) fn expand(&mut self, raw: &RawWord) -> Vec<Word> {
        let bytes = self.extract.source_bytes(&raw.bytes);
        let mut words = Words::default();
        for part in &raw.parts {
            self.expand_part(part, &bytes, &mut words);
        }
        words.end(&bytes);
        let made: usize = words.done.iter().map(|word| word.pieces.len()).sum();
        self.pieces = self.pieces.saturating_sub(made);
        words.done
    }

    fn expand_part(&mut self, part: &Part, bytes: &Range<usize>, words: &mut Words) {
        match part {
            Part::Variable { name, operation: Operation::Items, quoted, .. } => {
                if let Some(Variable::List(items)) = self.environment.lookup(name) {
                    for (i, item) in items.iter().enumerate() {
                        if i > 0 {
                            words.end(bytes);
                        }
                        if !words.started && self.pieces > 0 {
                            // A whole item keeps its own place.
                            self.pieces -= 1;
                            words.done.push(item.clone());
                        } else {
                            words.push(item.pieces.iter().cloned());
                        }
                    }
                } else {
                    let value = self.part_value(part);
                    words.elastic = !words.started && value.text().is_none();
                    if *quoted || words.elastic { words.push(value.pieces) } else { split_into(words, &value.pieces, bytes) }
                }
            }
            Part::Variable { quoted: false, .. } | Part::Unknown { quoted: false, .. } => {
                let value = self.part_value(part);
                split_into(words, &value.pieces, bytes);
            }
            part => {
                let value = self.part_value(part);
                words.push(value.pieces);
            }
        }
    }

    /// The value of a part, not split.
    fn part_value(&mut self, part: &Part) -> Value {
        if self.pieces == 0 {
            return Value::unknown("there is too much to expand in this script", self.extract.source_bytes(part_bytes(part)));
        }
        match part {
            Part::Text { text, bytes, .. } => Value::known(text, self.extract.source_bytes(bytes)),
            Part::Unknown { reason, bytes, .. } => Value::unknown(reason, self.extract.source_bytes(bytes)),
            Part::Template { expression, bytes } => self.template(expression, self.extract.source_bytes(bytes)),
            Part::Variable { name, operation, bytes, .. } => self.variable(name, operation, self.extract.source_bytes(bytes)),
        }
    }

    fn template(&self, expression: &str, bytes: Range<usize>) -> Value {
        match self.environment.outer().evaluate(expression, &bytes) {
            Some(value) => value,
            None if is_input(expression) => Value { unset: true, ..Value::unknown(&nothing_sets(expression.trim()), bytes) },
            None => Value { unset: true, ..Value::unknown("it is a template expression that is filled in elsewhere", bytes) },
        }
    }

    fn variable(&mut self, name: &str, operation: &Operation, bytes: Range<usize>) -> Value {
        let value = match self.environment.lookup(name) {
            Some(Variable::Scalar(value)) => value,
            Some(Variable::List(items)) => match operation {
                Operation::Item(i) => items.get(*i).map(|item| Value { pieces: item.pieces.clone(), unset: false }).unwrap_or_default(),
                Operation::Items => join(&items, &bytes),
                _ => items.first().map(|item| Value { pieces: item.pieces.clone(), unset: false }).unwrap_or_default(),
            },
            None => {
                let reason = match name {
                    "@" => "they are the arguments of the script".to_owned(),
                    name => nothing_sets(&format!("${name}")),
                };
                Value { unset: true, ..Value::unknown(&reason, bytes.clone()) }
            }
        };
        match operation {
            Operation::Plain | Operation::Items | Operation::Item(_) => value,
            Operation::Default(parts) | Operation::Assign(parts) => {
                let is_empty = value.text().is_some_and(|text| text.is_empty());
                if !value.unset && !is_empty {
                    return value;
                }
                let default = self.joined(parts, &bytes);
                if matches!(operation, Operation::Assign(_)) {
                    self.assign(name, Some(Variable::Scalar(default.clone())), false);
                }
                default
            }
            Operation::Alternative(parts) => match value.text() {
                Some(text) if text.is_empty() => Value::default(),
                Some(_) => self.joined(parts, &bytes),
                None => Value::unknown("it depends on whether a variable is set", bytes),
            },
            Operation::StripPrefix(prefix) => strip(value, |text| text.strip_prefix(prefix.as_str()).map(|rest| text.len() - rest.len()..text.len())),
            Operation::StripSuffix(suffix) => strip(value, |text| text.strip_suffix(suffix.as_str()).map(|rest| 0..rest.len())),
            Operation::Other => Value::unknown("it is computed", bytes),
        }
    }

    /// Parts as one value, never split.
    fn joined(&mut self, parts: &[Part], bytes: &Range<usize>) -> Value {
        let mut pieces = Vec::new();
        let mut unset = false;
        for part in parts {
            let value = self.part_value(part);
            unset |= value.unset;
            pieces.extend(value.pieces);
        }
        let mut value = bounded(pieces, bytes);
        value.unset = unset && parts.len() == 1;
        value
    }

    pub(super) fn assigned(&mut self, assignment: &Assignment) -> Variable {
        let before = assignment.append.then(|| self.environment.lookup(&assignment.name)).flatten();
        match &assignment.value {
            Assigned::Scalar(raw) => {
                let bytes = self.extract.source_bytes(&raw.bytes);
                let value = self.joined(&raw.parts, &bytes);
                match before {
                    Some(Variable::Scalar(before)) => {
                        let pieces = before.pieces.into_iter().chain(value.pieces).collect();
                        Variable::Scalar(bounded(pieces, &bytes))
                    }
                    _ => Variable::Scalar(value),
                }
            }
            Assigned::List(raw) => {
                let mut items = match before {
                    Some(Variable::List(items)) => items.to_vec(),
                    _ => Vec::new(),
                };
                for word in raw {
                    items.extend(self.expand(word));
                }
                items.truncate(LIST_LIMIT);
                Variable::List(Arc::new(items))
            }
        }
    }

    pub(super) fn redirect(&mut self, redirect: &Redirect) -> Option<ResolvedRedirect> {
        Some(match redirect {
            Redirect::From(raw) => ResolvedRedirect::From(self.expand(raw).into_iter().next()?),
            Redirect::To(raw) => ResolvedRedirect::To(self.expand(raw).into_iter().next()?),
            Redirect::AppendTo(raw) => ResolvedRedirect::AppendTo(self.expand(raw).into_iter().next()?),
            Redirect::Text(raw) => ResolvedRedirect::Text(self.expand(raw).into_iter().next()?),
            Redirect::Heredoc(index) => ResolvedRedirect::Heredoc(self.heredoc(self.script.heredocs.get(*index)?)),
        })
    }

    fn heredoc(&mut self, heredoc: &Heredoc) -> Extract {
        let script = self.extract;
        let mut text = HeredocText { extract: Extract::default(), strips_tabs: heredoc.strips_tabs, line_start: true };
        let body = script.text().get(heredoc.body.clone()).unwrap_or_default();
        if !heredoc.expands || memchr::memchr3(b'$', b'`', b'\\', body.as_bytes()).is_none() {
            text.push_written(script, heredoc.body.clone());
            return text.extract;
        }
        for part in heredoc_parts(script.text(), heredoc.body.clone()) {
            match &part {
                // Templates are left for the reader of the text.
                Part::Text { bytes, .. } | Part::Template { bytes, .. } => text.push_written(script, bytes.clone()),
                Part::Unknown { bytes, .. } => text.push(UNKNOWN, script.source_byte(bytes.start)),
                Part::Variable { name, operation, bytes, .. } => {
                    let value = self.variable(name, operation, script.source_bytes(bytes));
                    for piece in value.pieces {
                        self.pieces = self.pieces.saturating_sub(1);
                        match piece {
                            Piece::Text { text: known, bytes } if self.pieces > 0 => text.push(&known, bytes.start),
                            Piece::Unknown { bytes, .. } | Piece::Text { bytes, .. } => text.push(UNKNOWN, bytes.start),
                        }
                    }
                }
            }
        }
        text.extract
    }
}

/// The text of a here-document under construction.
struct HeredocText {
    extract: Extract,
    strips_tabs: bool,
    line_start: bool,
}

impl HeredocText {
    fn push(&mut self, text: &str, source: usize) {
        self.extract.push(text, source);
        self.line_start = text.ends_with('\n');
    }

    /// Appends a part of the script as it is written there.
    fn push_written(&mut self, script: &Extract, bytes: Range<usize>) {
        let mut at = bytes.start;
        for line in script.text().get(bytes).unwrap_or_default().split_inclusive('\n') {
            let kept = if self.strips_tabs && self.line_start { line.trim_start_matches('\t') } else { line };
            self.push(kept, script.source_byte(at + line.len() - kept.len()));
            at += line.len();
        }
    }
}

/// Whether a template expression names what somebody gives a pipeline, and not what a step of it makes.
fn is_input(expression: &str) -> bool {
    let names_input = |part: &str| ["inputs.", "github.event.inputs.", "env.", "vars."].iter().any(|start| part.trim().starts_with(start));
    expression.split("||").all(names_input)
}

fn part_bytes(part: &Part) -> &Range<usize> {
    match part {
        Part::Text { bytes, .. } | Part::Variable { bytes, .. } | Part::Template { bytes, .. } | Part::Unknown { bytes, .. } => bytes,
    }
}

/// Adds unquoted text: it is split at blanks, and an unknown part alone may be no word or several.
fn split_into(words: &mut Words, pieces: &[Piece], bytes: &Range<usize>) {
    let begins_with_blank = matches!(pieces.first(), Some(Piece::Text { text, .. }) if text.starts_with([' ', '\t', '\n']));
    if begins_with_blank {
        words.end(bytes);
    }
    for (i, field) in Word::fields(pieces).into_iter().enumerate() {
        if i > 0 {
            words.end(bytes);
        }
        words.elastic = !words.started && matches!(field.as_slice(), [Piece::Unknown { .. }]);
        words.push(field);
    }
    let ends_with_blank = matches!(pieces.last(), Some(Piece::Text { text, .. }) if text.ends_with([' ', '\t', '\n']));
    if ends_with_blank {
        words.end(bytes);
    }
}

fn join(items: &[Word], bytes: &Range<usize>) -> Value {
    let mut pieces = Vec::new();
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            pieces.push(Piece::Text { text: " ".into(), bytes: item.bytes.clone() });
        }
        pieces.extend(item.pieces.iter().cloned());
    }
    bounded(pieces, bytes)
}

/// A value without a part of its text; unknown ones stay as they are.
fn strip(value: Value, keep: impl Fn(&str) -> Option<Range<usize>>) -> Value {
    let Some(text) = value.text() else { return value };
    let Some(kept) = keep(&text) else { return value };
    match value.pieces.as_slice() {
        [Piece::Text { text: whole, bytes }] if whole.len() == bytes.len() => {
            Value::known(text.get(kept.clone()).unwrap_or_default(), bytes.start + kept.start..bytes.start + kept.end)
        }
        pieces => {
            let bytes = pieces.first().map_or(0..0, |piece| piece.bytes().clone());
            Value::known(text.get(kept).unwrap_or_default(), bytes)
        }
    }
}
