//! Expansions and templates: `$NAME`, `${NAME:-x}`, `$( )`, `${{ }}`, `{{ }}`, `<< >>`.

use std::ops::Range;

use super::super::{Operation, Part, REPOSITORY_ROOT, SCRIPT_FOLDER};
use super::word::push_text;
use super::{Lexer, NESTING_LIMIT};

/// How long a template expression may be.
const TEMPLATE_BYTES: usize = 1024;
/// How far a `${ }` may reach.
const OPERAND_BYTES: usize = 4096;

impl Lexer<'_> {
    pub(super) fn backquotes(&mut self, parts: &mut Vec<Part>, quoted: bool) {
        let from = self.at;
        match self.closing(b'`', from + 1) {
            Ok(close) => {
                self.at = from + 1;
                self.backquoted(close);
                self.at = close + 1;
                parts.push(self.command_output(from..self.at, quoted));
            }
            Err(_) => {
                self.at += 1;
                push_text(parts, "`", from..self.at, quoted);
            }
        }
    }

    pub(super) fn dollar(&mut self, parts: &mut Vec<Part>, quoted: bool) {
        let from = self.at;
        match self.peek(1) {
            Some(b'(') if self.peek(2) == Some(b'(') => {
                self.at += 1;
                self.skip_arithmetic(2);
                parts.push(Part::Unknown { reason: "it is computed", quoted, bytes: from..self.at });
            }
            Some(b'(') => {
                self.at += 2;
                self.substitution();
                parts.push(self.command_output(from..self.at, quoted));
            }
            Some(b'{') if self.peek(2) == Some(b'{') => self.template(parts),
            Some(b'{') => self.parameter(parts, quoted),
            Some(b'\'') if !quoted => self.ansi_quoted(parts),
            Some(b'"') if !quoted => {
                self.at += 1;
                self.double_quoted(parts);
            }
            Some(c) if c.is_ascii_alphabetic() || c == b'_' => {
                let length = self.rest().iter().skip(1).take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
                let name = self.slice(from + 1..from + 1 + length).to_owned();
                self.at += 1 + length;
                parts.push(Part::Variable { name, operation: Operation::Plain, quoted, bytes: from..self.at });
            }
            Some(c @ (b'0'..=b'9' | b'@' | b'*' | b'#' | b'?' | b'$' | b'!' | b'-')) => {
                self.at += 2;
                parts.push(positional(&char::from(c).to_string(), quoted, from..self.at));
            }
            _ => {
                self.at += 1;
                push_text(parts, "$", from..self.at, quoted);
            }
        }
    }

    /// What a command writes: unknown, but for the well-known ways to name a folder.
    fn command_output(&self, bytes: Range<usize>, quoted: bool) -> Part {
        let written = self.slice(bytes.clone());
        let short = written.len() < 256;
        let names_itself = short && written.contains("dirname") && ["$0", "${0}", "BASH_SOURCE"].iter().any(|name| written.contains(name));
        let folder = if names_itself {
            Some(SCRIPT_FOLDER)
        } else if short && written.contains("rev-parse --show-toplevel") {
            Some(REPOSITORY_ROOT)
        } else {
            None
        };
        if let Some(marker) = folder {
            let mut text = String::from(marker);
            for _ in 0..written.matches("/..").count().min(16) {
                text.push_str("/..");
            }
            return Part::Text { text, bytes, quoted: true };
        }
        if matches!(written, "$(pwd)" | "`pwd`") {
            return Part::Text { text: ".".into(), bytes, quoted: true };
        }
        Part::Unknown { reason: "it is what another command writes", quoted, bytes }
    }

    /// `${...}`
    fn parameter(&mut self, parts: &mut Vec<Part>, quoted: bool) {
        let from = self.at;
        self.at += 2;
        if self.nesting >= NESTING_LIMIT || !self.has_brace_after(from) {
            push_text(parts, "${", from..self.at, quoted);
            return;
        }
        if matches!(self.peek(0), Some(b'#' | b'!')) && self.peek(1) != Some(b'}') {
            self.other_parameter(parts, quoted, from);
            return;
        }
        let name_length = match self.peek(0) {
            Some(b'@' | b'*' | b'?' | b'#' | b'$') => 1,
            _ => self.rest().iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count(),
        };
        let name = self.slice(self.at..self.at + name_length).to_owned();
        self.at += name_length;
        let mut operation = Operation::Plain;
        if self.peek(0) == Some(b'[') {
            let Some(close) = self.rest().iter().take(64).position(|b| *b == b']') else {
                self.other_parameter(parts, quoted, from);
                return;
            };
            operation = match self.slice(self.at + 1..self.at + close) {
                "@" | "*" => Operation::Items,
                index => index.parse().map_or(Operation::Other, Operation::Item),
            };
            self.at += close + 1;
        }
        match self.peek(0) {
            Some(b'}') if !name.is_empty() => {
                self.at += 1;
                let bytes = from..self.at;
                let is_positional = operation == Operation::Plain && !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                parts.push(if is_positional { positional(&name, quoted, bytes) } else { Part::Variable { name, operation, quoted, bytes } });
            }
            Some(b'.') if operation == Operation::Plain && !name.is_empty() => self.foreign_parameter(parts, from),
            Some(b':' | b'-' | b'=' | b'+' | b'?' | b'#' | b'%') if !name.is_empty() => self.operand(parts, name, operation, quoted, from),
            _ => self.other_parameter(parts, quoted, from),
        }
    }

    /// `${NAME` followed by an operator and its operand.
    fn operand(&mut self, parts: &mut Vec<Part>, name: String, inner: Operation, quoted: bool, from: usize) {
        let colon = self.peek(0) == Some(b':');
        if colon {
            self.at += 1;
        }
        let operator = self.peek(0);
        match operator {
            Some(b'-' | b'=' | b'+' | b'?') => {
                self.at += 1;
                self.nesting += 1;
                let operand = self.operand_parts(quoted);
                self.nesting -= 1;
                let operation = match (operator, inner) {
                    (Some(b'-'), Operation::Plain) => Operation::Default(operand),
                    (Some(b'='), Operation::Plain) => Operation::Assign(operand),
                    (Some(b'+'), Operation::Plain) => Operation::Alternative(operand),
                    // `${ARGS[@]+"${ARGS[@]}"}` guards an empty list.
                    (Some(b'-' | b'=' | b'+'), Operation::Items) => Operation::Items,
                    (Some(b'?'), inner) => inner,
                    _ => Operation::Other,
                };
                parts.push(Part::Variable { name, operation, quoted, bytes: from..self.at });
            }
            Some(b'#' | b'%') if !colon && inner == Operation::Plain => {
                self.at += 1;
                if self.peek(0) == operator {
                    self.at += 1;
                }
                let length = self.rest().iter().take(64).position(|b| *b == b'}');
                let pattern = length.map(|length| self.slice(self.at..self.at + length).trim_matches(['"', '\'']).to_owned());
                match pattern {
                    Some(pattern) if !pattern.contains(['*', '?', '[', '$', '\\', '`']) => {
                        self.at += length.unwrap_or_default() + 1;
                        let operation = if operator == Some(b'#') { Operation::StripPrefix(pattern) } else { Operation::StripSuffix(pattern) };
                        parts.push(Part::Variable { name, operation, quoted, bytes: from..self.at });
                    }
                    _ => self.other_parameter(parts, quoted, from),
                }
            }
            _ => self.other_parameter(parts, quoted, from),
        }
    }

    /// The parts of an operand up to its `}`.
    fn operand_parts(&mut self, quoted: bool) -> Vec<Part> {
        let mut parts = Vec::new();
        let start = self.at;
        let mut run = start;
        while let Some(c) = self.peek(0) {
            if self.at - start > OPERAND_BYTES {
                break;
            }
            match c {
                b'}' => {
                    self.flush(&mut parts, run);
                    self.at += 1;
                    return parts;
                }
                b'\\' => {
                    self.flush(&mut parts, run);
                    self.at += 1;
                    run = self.at;
                    self.at += self.character_length(self.at);
                }
                b'\'' | b'"' | b'$' | b'`' if !(c == b'\'' && quoted) => {
                    self.flush(&mut parts, run);
                    match c {
                        b'\'' => self.single_quoted(&mut parts),
                        // Inside a quoted expansion an inner quote does not end the outer one.
                        b'"' if quoted => self.at += 1,
                        b'"' => self.double_quoted(&mut parts),
                        b'$' => self.dollar(&mut parts, quoted),
                        _ => self.backquotes(&mut parts, quoted),
                    }
                    run = self.at;
                }
                _ => self.at += 1,
            }
        }
        self.break_at(start, "a `${` is not closed");
        parts
    }

    /// `${params.X}`: not a shell's, but of the language around it.
    fn foreign_parameter(&mut self, parts: &mut Vec<Part>, from: usize) {
        let length = self.rest().iter().take(TEMPLATE_BYTES).position(|b| matches!(b, b'}' | b'\n'));
        match length {
            Some(length) if self.peek(length) == Some(b'}') => {
                let expression = self.slice(from + 2..self.at + length).trim().to_owned();
                self.at += length + 1;
                parts.push(Part::Template { expression, bytes: from..self.at });
            }
            _ => self.other_parameter(parts, true, from),
        }
    }

    /// An expansion that is not understood: unknown up to its `}`.
    fn other_parameter(&mut self, parts: &mut Vec<Part>, quoted: bool, from: usize) {
        let stop = self.rest().iter().take(OPERAND_BYTES).position(|b| matches!(b, b'}' | b'\n'));
        match stop {
            Some(length) if self.peek(length) == Some(b'}') => self.at += length + 1,
            _ => self.break_at(from, "a `${` is not closed"),
        }
        parts.push(Part::Unknown { reason: "it is computed", quoted, bytes: from..self.at });
    }

    fn has_brace_after(&mut self, from: usize) -> bool {
        if from >= self.no_brace_from && from < self.brace_known_to {
            return false;
        }
        let found = self.rest().iter().take(OPERAND_BYTES * 2).any(|b| *b == b'}');
        if !found {
            // None within reach of here: none within reach of what follows shortly either.
            self.no_brace_from = from;
            self.brace_known_to = from + OPERAND_BYTES;
        }
        found
    }

    /// Whether a template expression begins here.
    pub(super) fn at_template(&self) -> bool {
        (self.starts_with(b"<<") || self.starts_with(b"{{") || self.starts_with(b"${{")) && self.template_at().is_some()
    }

    pub(super) fn template(&mut self, parts: &mut Vec<Part>) {
        let from = self.at;
        match self.template_at() {
            Some((expression, end)) => {
                self.at = end;
                parts.push(Part::Template { expression, bytes: from..end });
            }
            None => {
                self.at = (self.at + if self.peek(0) == Some(b'$') { 3 } else { 2 }).min(self.end);
                push_text(parts, self.slice(from..self.at), from..self.at, true);
            }
        }
    }

    /// The template expression that begins here, and its end.
    pub(super) fn template_at(&self) -> Option<(String, usize)> {
        if self.starts_with(b"<<") {
            return self.circle_parameter();
        }
        let open = if self.starts_with(b"${{") {
            3
        } else if self.starts_with(b"{{") {
            2
        } else {
            return None;
        };
        let window = self.rest().get(open..).map(|rest| rest.get(..TEMPLATE_BYTES).unwrap_or(rest))?;
        let line = memchr::memchr(b'\n', window).and_then(|length| window.get(..length)).unwrap_or(window);
        let length = memchr::memmem::find(line, b"}}")?;
        let expression = self.slice(self.at + open..self.at + open + length).trim().trim_matches('-').trim();
        Some((expression.to_owned(), self.at + open + length + 2))
    }

    /// CircleCI's `<< parameters.x >>`.
    fn circle_parameter(&self) -> Option<(String, usize)> {
        let window = self.rest().get(2..).map(|rest| rest.get(..128).unwrap_or(rest))?;
        let length = memchr::memmem::find(window, b">>")?;
        let expression = self.text.get(self.at + 2..self.at + 2 + length)?.trim();
        let known = ["parameters.", "pipeline.", "matrix."].iter().any(|start| expression.starts_with(start));
        let clean = expression.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        (known && clean).then(|| (expression.to_owned(), self.at + 2 + length + 2))
    }
}

fn positional(name: &str, quoted: bool, bytes: Range<usize>) -> Part {
    match name {
        "#" | "?" | "$" | "!" | "-" => Part::Unknown { reason: "it is known only when the script runs", quoted, bytes },
        "@" | "*" => Part::Variable { name: "@".to_owned(), operation: Operation::Items, quoted, bytes },
        name => Part::Variable { name: name.to_owned(), operation: Operation::Plain, quoted, bytes },
    }
}
