//! Builtins and calls of functions: what they do to variables, arguments and the folder.

use std::ops::Range;
use std::sync::Arc;

use super::{DEPTH_LIMIT, FOLDER, Frame, FrameKind, Piece, Runner, Value, Variable, Word, bounded, restore};
use crate::document::shell::{READ, REPOSITORY_ROOT, SCRIPT_FOLDER};

/// The key under which an alias is kept; no variable can have this name.
fn alias_key(name: &str) -> String {
    format!("alias {name}")
}

impl Runner<'_> {
    /// What builtins do to variables.
    pub(super) fn builtin(&mut self, name: &str, words: &[Word], conditional: bool) {
        let arguments = words.get(1..).unwrap_or_default();
        match name {
            "cd" | "pushd" => {
                let target = arguments.iter().rev().find(|word| !word.known_start().starts_with('-') || word.pieces.is_empty());
                let value = match target {
                    Some(word) => self.folder_after(word),
                    None => Value::unknown("the script leaves for the home folder", 0..0),
                };
                self.assign(FOLDER, Some(Variable::Scalar(value)), conditional);
            }
            "popd" => self.assign(FOLDER, Some(Variable::Scalar(Value::unknown("the script returns to an earlier folder", 0..0))), conditional),
            "read" | "mapfile" | "readarray" => {
                for word in arguments {
                    if let Some(variable) = word.text().filter(|text| !text.starts_with('-')) {
                        self.assign(&variable, Some(Variable::Scalar(Value::unknown(READ, word.bytes.clone()))), false);
                    }
                }
            }
            "unset" => {
                for word in arguments {
                    if let Some(variable) = word.text().filter(|text| !text.starts_with('-')) {
                        self.assign(&variable, None, conditional);
                    }
                }
            }
            "set" if arguments.first().and_then(Word::text).as_deref() == Some("--") => self.set_arguments(arguments.get(1..).unwrap_or_default()),
            "shift" => self.shift(arguments, conditional),
            "alias" => {
                for (alias, value) in arguments.iter().filter_map(|word| word.split_once('=')) {
                    if let Some(alias) = alias.text() {
                        self.assign(&alias_key(&alias), Some(Variable::Scalar(Value { pieces: value.pieces, unset: false })), conditional);
                    }
                }
            }
            _ => {}
        }
    }

    /// A command with its first word replaced by what an alias of this script makes of it.
    pub(super) fn without_alias(&self, words: Vec<Word>) -> Vec<Word> {
        let Some((first, rest)) = words.split_first() else { return words };
        let name = first.text().filter(|name| !name.is_empty());
        let Some(Variable::Scalar(value)) = name.and_then(|name| self.environment.lookup(&alias_key(&name))) else { return words };
        let mut replaced: Vec<Word> =
            Word::fields(&value.pieces).into_iter().map(|pieces| Word { pieces, bytes: first.bytes.clone(), elastic: false }).collect();
        replaced.extend(rest.iter().cloned());
        replaced
    }

    /// Drops the first arguments. What a script is started with is not known, nor what is left after a `shift` that may not run.
    fn shift(&mut self, arguments: &[Word], conditional: bool) {
        let count = arguments.first().map_or(Some(1), |word| word.text().and_then(|text| text.parse::<usize>().ok()));
        let certain = !conditional && self.frames.last().is_none_or(|frame| frame.kind != FrameKind::Choice);
        match (self.environment.lookup("@"), count) {
            (Some(Variable::List(items)), Some(count)) if certain && items.iter().take(count).all(|item| !item.elastic) => {
                self.set_arguments(items.get(count..).unwrap_or_default());
            }
            _ => {
                let pieces = vec![Piece::Unknown { reason: "they are arguments of the script".into(), bytes: 0..0 }];
                self.set_arguments(&[Word { pieces, bytes: 0..0, elastic: true }]);
            }
        }
    }

    fn folder_after(&self, target: &Word) -> Value {
        let start = target.known_start();
        let is_absolute = start.starts_with(['/', SCRIPT_FOLDER, REPOSITORY_ROOT]);
        let mut pieces = Vec::new();
        if !is_absolute && let Some(before) = self.environment.get(FOLDER) {
            pieces.extend(before.pieces.iter().cloned());
            pieces.push(Piece::Text { text: "/".into(), bytes: target.bytes.clone() });
        }
        pieces.extend(target.pieces.iter().cloned());
        bounded(pieces, &target.bytes)
    }

    /// Follows a call of a function of this script. False when it is left alone.
    pub(super) fn call(&mut self, words: &[Word], body: Range<usize>) -> bool {
        if self.depth >= DEPTH_LIMIT || self.active.contains(&body.start) || self.extra < body.len() {
            return false;
        }
        self.called.insert(body.start);
        self.active.push(body.start);
        self.depth += 1;
        let saved: Vec<(String, Option<Variable>)> =
            (1..10).map(|i| i.to_string()).chain(["@".to_owned()]).map(|name| (name.clone(), self.environment.lookup(&name))).collect();
        self.set_arguments(words.get(1..).unwrap_or_default());
        self.frames.push(Frame::new(FrameKind::Plain));
        self.events(body);
        self.close();
        for (name, value) in saved {
            restore(&mut self.environment, &name, value);
        }
        self.depth -= 1;
        self.active.pop();
        true
    }

    fn set_arguments(&mut self, words: &[Word]) {
        let certain = words.iter().all(|word| !word.elastic);
        for i in 1..10_usize {
            let value = match words.get(i - 1) {
                Some(word) if certain => Value { pieces: word.pieces.clone(), unset: false },
                None if certain => Value::default(),
                _ => Value::unknown("it is an argument of the script", 0..0),
            };
            restore(&mut self.environment, &i.to_string(), Some(Variable::Scalar(value)));
        }
        restore(&mut self.environment, "@", Some(Variable::List(Arc::new(words.to_vec()))));
    }
}
