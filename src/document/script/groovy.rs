//! Jenkins files: the strings given to `sh`, with what Groovy sets around them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::condition::{self, Condition};
use super::{Job, Part, Setting, Step};
use crate::document::extract::Extract;
use crate::document::shell::{Outer, Value};

/// How long a condition may be.
const CONDITION_BYTES: usize = 512;

/// Stands for an expression of Groovy in a script.
const UNKNOWN: &str = "${groovy.expression}";

pub(super) fn jobs(text: &str) -> Vec<Job> {
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        variables: BTreeMap::new(),
        parameters: BTreeMap::new(),
        folders: Vec::new(),
        stages: Vec::new(),
        parts: Vec::new(),
    };
    reader.read();
    if reader.parts.is_empty() {
        return Vec::new();
    }
    let mut outer = Outer::default();
    for (name, value) in &reader.parameters {
        outer.set_template(&format!("params.{name}"), value.clone());
    }
    for (name, value) in reader.parameters.iter().chain(&reader.variables) {
        outer.set(name, value.clone());
        outer.set_template(&format!("env.{name}"), value.clone());
    }
    let outer = Arc::new(outer);
    let mut parts = reader.parts;
    for part in &mut parts {
        if let Part::Script(step) = part {
            step.outer = Arc::clone(&outer);
        }
    }
    vec![Job { automatic: true, parts, ..Job::default() }]
}

/// A `stage(...)` block.
struct Stage {
    /// The depth of braces at which it closes.
    depth: usize,
    /// What must hold for it to run, as far as its `when` tells.
    conditions: Vec<Condition>,
    /// Its `when` turns conditions round or offers alternatives.
    is_open: bool,
}

struct Reader<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    variables: BTreeMap<String, Value>,
    parameters: BTreeMap<String, Value>,
    /// `dir(...)` blocks that are open: the folder and the depth of braces at which it closes.
    folders: Vec<(Value, usize)>,
    /// Stages that are open.
    stages: Vec<Stage>,
    parts: Vec<Part>,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'t [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn read(&mut self) {
        let mut braces = 0_usize;
        let mut pending_folder: Option<Value> = None;
        let mut pending_stage = false;
        while let Some(c) = self.peek() {
            match c {
                b'/' if self.skip_comment() => {}
                b'\'' | b'"' => {
                    self.string();
                }
                b'{' => {
                    braces += 1;
                    if let Some(folder) = pending_folder.take() {
                        self.folders.push((folder, braces));
                    }
                    if std::mem::take(&mut pending_stage) {
                        self.stages.push(Stage { depth: braces, conditions: Vec::new(), is_open: false });
                    }
                    self.at += 1;
                }
                b'}' => {
                    if self.folders.last().is_some_and(|(_, depth)| *depth == braces) {
                        self.folders.pop();
                    }
                    if self.stages.last().is_some_and(|stage| stage.depth == braces) {
                        self.stages.pop();
                    }
                    braces = braces.saturating_sub(1);
                    self.at += 1;
                }
                c if c.is_ascii_alphabetic() || c == b'_' => {
                    let word = self.word();
                    match word {
                        "sh" => self.shell(),
                        "stage" => pending_stage = true,
                        "expression" => self.expression(),
                        "not" | "anyOf" => self.stages.iter_mut().rev().take(1).for_each(|stage| stage.is_open = true),
                        "dir" => pending_folder = self.folder(),
                        "image" => self.image(),
                        "string" | "choice" | "text" => self.parameter(),
                        "withEnv" => self.with_environment(),
                        word => self.assignment(word),
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    fn word(&mut self) -> &'t str {
        let start = self.at;
        let length = self.rest().iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')).count();
        self.at += length;
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Skips a comment, if one begins here.
    fn skip_comment(&mut self) -> bool {
        let rest = self.rest();
        let length = if rest.starts_with(b"//") {
            memchr::memchr(b'\n', rest)
        } else if rest.starts_with(b"/*") {
            memchr::memmem::find(rest, b"*/").map(|i| i + 2)
        } else {
            return false;
        };
        self.at += length.unwrap_or(rest.len());
        true
    }

    fn skip_blanks(&mut self, over_lines: bool) {
        while let Some(c) = self.peek() {
            match c {
                b' ' | b'\t' => self.at += 1,
                b'\n' | b'\r' if over_lines => self.at += 1,
                b'/' if over_lines && self.skip_comment() => {}
                _ => return,
            }
        }
    }

    /// `sh 'x'`, `sh('x')`, `sh(returnStdout: true, script: 'x')`
    fn shell(&mut self) {
        self.skip_blanks(false);
        let parentheses = self.peek() == Some(b'(');
        if parentheses {
            self.at += 1;
            self.skip_blanks(true);
        }
        for _ in 0..8 {
            match self.peek() {
                Some(b'\'' | b'"') => {
                    if let Some(script) = self.concatenation(parentheses) {
                        self.push_script(script);
                    }
                    return;
                }
                Some(c) if c.is_ascii_alphabetic() => {
                    let name = self.word();
                    self.skip_blanks(parentheses);
                    if self.peek() != Some(b':') {
                        return;
                    }
                    self.at += 1;
                    self.skip_blanks(true);
                    if name != "script" {
                        match self.peek() {
                            Some(b'\'' | b'"') => {
                                self.string();
                            }
                            _ => {
                                self.word();
                            }
                        }
                        self.skip_blanks(true);
                        if self.peek() != Some(b',') {
                            return;
                        }
                        self.at += 1;
                        self.skip_blanks(true);
                    }
                }
                _ => return,
            }
        }
    }

    fn push_script(&mut self, script: Extract) {
        let folder = self.folders.last().map(|(folder, _)| folder.clone());
        let conditions = self.stages.iter().filter(|stage| !stage.is_open).flat_map(|stage| stage.conditions.iter().cloned()).collect();
        self.parts.push(Part::Script(Box::new(Step { script, folder, fresh: true, conditions, ..Step::default() })));
    }

    /// `expression { params.ACTION == 'up' }` of a stage's `when`.
    fn expression(&mut self) {
        self.skip_blanks(true);
        let rest = self.text.get(self.at..).unwrap_or_default();
        let inner = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(inner, _)| inner.trim());
        if let (Some(inner), Some(stage)) = (inner.filter(|inner| inner.len() <= CONDITION_BYTES), self.stages.last_mut()) {
            let inner = inner.strip_prefix("return ").unwrap_or(inner).trim_end_matches(';').replace('"', "'");
            stage.conditions.extend(condition::parse(&inner));
        }
    }

    /// A string, or several joined by `+`; what is no string is an unknown part.
    fn concatenation(&mut self, over_lines: bool) -> Option<Extract> {
        let mut whole = self.string()?;
        loop {
            let before = self.at;
            self.skip_blanks(over_lines);
            if self.peek() != Some(b'+') {
                self.at = before;
                return Some(whole);
            }
            self.at += 1;
            self.skip_blanks(true);
            match self.peek() {
                Some(b'\'' | b'"') => {
                    let next = self.string()?;
                    for (text, source) in next.runs() {
                        whole.push(text, source);
                    }
                }
                _ => {
                    let length = self.rest().iter().position(|b| matches!(b, b'+' | b'\n' | b'\'' | b'"' | b'}')).unwrap_or(0);
                    let expression = self.text.get(self.at..self.at + length).unwrap_or_default().trim_end_matches([' ', '\t', '\r', ')']);
                    let is_name = !expression.is_empty() && expression.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
                    if is_name {
                        whole.push("${", self.at);
                        whole.push(expression, self.at);
                        whole.push("}", self.at + expression.len().saturating_sub(1));
                    } else {
                        whole.push(UNKNOWN, self.at);
                    }
                    self.at += length;
                    if length == 0 {
                        return Some(whole);
                    }
                }
            }
        }
    }

    /// Reads the string that begins here. In double quotes `${x}` is Groovy's and stays; what Groovy escapes is the shell's.
    fn string(&mut self) -> Option<Extract> {
        let quote = self.peek()?;
        let triple = self.rest().starts_with(&[quote, quote, quote]);
        let (mark, width) = if triple { ([quote; 3], 3) } else { ([quote; 3], 1) };
        let closing = mark.get(..width)?;
        self.at += width;
        let mut extract = Extract::default();
        let mut run = self.at;
        loop {
            let rest = self.rest();
            let Some(offset) = memchr::memchr3(b'\\', quote, b'\n', rest) else {
                // Never closed: it costs its line.
                self.at = self.bytes.len();
                return None;
            };
            self.at += offset;
            match self.peek() {
                Some(b'\n') if !triple => {
                    self.at += 1;
                    return None;
                }
                Some(b'\\') => {
                    extract.push(self.text.get(run..self.at).unwrap_or_default(), run);
                    let (text, skip, taken) = match self.bytes.get(self.at + 1) {
                        Some(b'n') => ("\n", 2, 2),
                        Some(b't') => ("\t", 2, 2),
                        Some(b'r') => ("\r", 2, 2),
                        Some(b'\n') => ("", 2, 2),
                        Some(_) => ("", 1, 2),
                        None => ("", 1, 1),
                    };
                    extract.push(text, self.at);
                    run = self.at + skip;
                    // An escaped quote or backslash must not be taken for a special character.
                    let escaped = self.text.get(self.at + 1..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
                    self.at += if taken == 2 { 1 + escaped } else { 1 };
                }
                Some(c) if c == quote && self.rest().starts_with(closing) => {
                    extract.push(self.text.get(run..self.at).unwrap_or_default(), run);
                    self.at += width;
                    return Some(extract);
                }
                _ => self.at += 1,
            }
        }
    }

    /// `('x')` or `'x'` after a word: the string.
    fn argument(&mut self) -> Option<Extract> {
        self.skip_blanks(false);
        if self.peek() == Some(b'(') {
            self.at += 1;
            self.skip_blanks(true);
        }
        matches!(self.peek(), Some(b'\'' | b'"')).then(|| self.string()).flatten()
    }

    fn folder(&mut self) -> Option<Value> {
        self.argument().map(|text| literal(&text))
    }

    fn image(&mut self) {
        if let Some(image) = self.argument() {
            let bytes = image.source_bytes(&(0..image.text().len()));
            self.parts.push(Part::Image(Setting { text: image.text().to_owned(), bytes }));
        }
    }

    /// `string(name: 'X', defaultValue: 'v')`
    fn parameter(&mut self) {
        self.skip_blanks(false);
        if self.peek() != Some(b'(') {
            return;
        }
        self.at += 1;
        let (mut name, mut default) = (None, None);
        for _ in 0..8 {
            self.skip_blanks(true);
            let key = self.word();
            self.skip_blanks(true);
            if key.is_empty() || self.peek() != Some(b':') {
                break;
            }
            self.at += 1;
            self.skip_blanks(true);
            let value = match self.peek() {
                Some(b'\'' | b'"') => self.string(),
                _ => {
                    self.word();
                    None
                }
            };
            match key {
                "name" => name = value,
                "defaultValue" => default = value,
                _ => {}
            }
            self.skip_blanks(true);
            if self.peek() != Some(b',') {
                break;
            }
            self.at += 1;
        }
        if let (Some(name), Some(default)) = (name, default) {
            self.parameters.insert(name.text().to_owned(), literal(&default));
        }
    }

    /// `withEnv(['NAME=value', ...])`
    fn with_environment(&mut self) {
        while matches!(self.peek(), Some(b'(' | b'[' | b' ' | b',' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
            self.skip_blanks(true);
            if matches!(self.peek(), Some(b'\'' | b'"'))
                && let Some(setting) = self.string()
                && let Some(equals) = setting.text().find('=')
            {
                let value = literal(&setting.slice(equals + 1..setting.text().len()));
                self.set(setting.text().get(..equals).unwrap_or_default(), value);
            }
        }
    }

    fn set(&mut self, name: &str, value: Value) {
        match self.variables.get_mut(name) {
            Some(known) if known.text() != value.text() => *known = Value::unknown("it is set in several ways", 0..0),
            Some(_) => {}
            None => {
                self.variables.insert(name.to_owned(), value);
            }
        }
    }

    /// `NAME = 'literal'`; of a name set twice differently nothing is known.
    fn assignment(&mut self, name: &str) {
        let name = name.strip_prefix("env.").unwrap_or(name);
        self.skip_blanks(false);
        if self.peek() != Some(b'=') || matches!(self.bytes.get(self.at + 1), Some(b'=' | b'~')) || name.contains('.') {
            return;
        }
        self.at += 1;
        self.skip_blanks(false);
        let start = self.at;
        let value = match self.peek() {
            Some(b'\'' | b'"') => match self.concatenation(false) {
                Some(text) => literal(&text),
                None => return,
            },
            _ => Value::unknown("Groovy computes it", start..start),
        };
        self.set(name, value);
    }
}

/// A string as a value; with an expression in it, it is not known.
fn literal(text: &Extract) -> Value {
    let bytes = text.source_bytes(&(0..text.text().len()));
    if text.text().contains("${") || text.text().contains('$') {
        return Value::unknown("Groovy computes it", bytes);
    }
    Value::known(text.text(), bytes)
}
