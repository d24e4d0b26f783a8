//! Simple commands: keywords, assignments, redirections, words.

use std::sync::Arc;

use super::super::{Assigned, Assignment, Block, Part};
use super::{Chain, Command, Event, Heredoc, Lexer, NESTING_LIMIT, OPEN_LISTS, Open, RawWord, Redirect};

/// Builtins whose arguments of the form `NAME=value` are assignments.
const DECLARING: [&str; 5] = ["export", "local", "readonly", "declare", "typeset"];
/// Commands that only ask: what follows them after `&&` may not run.
const TESTS: [&str; 8] = ["[", "[[", "test", "grep", "egrep", "command", "which", "false"];

impl Lexer<'_> {
    pub(super) fn simple_command(&mut self, chain: &mut Chain, base: usize) {
        let list = *chain.start.get_or_insert(self.at);
        let mut command = Command { bytes: self.at..self.at, piped: chain.piped, conditional: chain.conditional, list, and: chain.and, ..Command::default() };
        let mut ends_at = self.at;
        loop {
            self.skip_blanks();
            let Some(c) = self.peek(0) else { break };
            match c {
                b'&' if self.peek(1) == Some(b'>') => {
                    self.at += 1;
                    self.redirect(&mut command);
                }
                b'\n' | b';' | b')' | b'|' | b'&' => break,
                b'#' => {
                    self.skip_comment();
                    break;
                }
                b'<' | b'>' if self.peek(1) != Some(b'(') && !self.at_template() => self.redirect(&mut command),
                b'(' => {
                    if self.function_parentheses(&command) {
                        return;
                    }
                    break;
                }
                _ => {
                    let first = command.words.is_empty() && command.assignments.is_empty() && command.redirects.is_empty();
                    if first && self.keyword(base, chain) {
                        return;
                    }
                    let before = self.at;
                    if !self.assignment(&mut command) {
                        self.argument(&mut command);
                    }
                    if self.at == before {
                        // A character that begins no word: passed over, so that reading goes on.
                        self.at += 1;
                    }
                }
            }
            ends_at = self.at;
        }
        command.bytes.end = ends_at.max(command.bytes.start);
        if let Some(name) = command.words.first().and_then(plain_text) {
            chain.test |= TESTS.contains(&name);
        }
        chain.piped = false;
        if !(command.words.is_empty() && command.assignments.is_empty() && command.redirects.is_empty()) {
            self.script.events.push(Event::Command(command));
        }
    }

    /// One argument; digits right before `<` or `>` are a file descriptor.
    fn argument(&mut self, command: &mut Command) {
        let word = self.word();
        let is_descriptor = matches!(self.peek(0), Some(b'<' | b'>'))
            && matches!(word.parts.as_slice(), [Part::Text { text, quoted: false, .. }] if text.bytes().all(|b| b.is_ascii_digit()));
        if is_descriptor || word.parts.is_empty() {
            return;
        }
        let is_double_bracket = command.words.is_empty() && plain_text(&word) == Some("[[");
        command.words.push(word);
        if is_double_bracket {
            self.conditional_expression(command);
        }
    }

    /// The rest of `[[ ... ]]`: its operators are no separators.
    fn conditional_expression(&mut self, command: &mut Command) {
        loop {
            self.skip_blanks();
            match self.peek(0) {
                None | Some(b'\n') => return,
                Some(b'&' | b'|' | b'<' | b'>' | b'(' | b')' | b';') => self.at += 1,
                Some(_) => {
                    let before = self.at;
                    let word = self.word();
                    if self.at == before {
                        self.at += 1;
                        continue;
                    }
                    let closes = plain_text(&word) == Some("]]");
                    command.words.push(word);
                    if closes {
                        return;
                    }
                }
            }
        }
    }

    /// `name()`: the function's name waits for its body.
    fn function_parentheses(&mut self, command: &Command) -> bool {
        let [word] = command.words.as_slice() else { return false };
        let Some(name) = plain_text(word) else { return false };
        let blanks = self.rest().iter().skip(1).take(16).take_while(|b| matches!(b, b' ' | b'\t')).count();
        if self.peek(1 + blanks) != Some(b')') {
            return false;
        }
        self.at += blanks + 2;
        self.await_body(name.to_owned());
        true
    }

    /// Remembers a function's name if its body follows.
    fn await_body(&mut self, name: String) {
        let from = self.at;
        while self.at < from + 4096 {
            self.skip_blanks();
            match self.peek(0) {
                Some(b'\n') => self.at += 1,
                Some(b'#') => self.skip_comment(),
                Some(b'{' | b'(') => {
                    self.function = Some(name);
                    return;
                }
                _ => break,
            }
        }
        self.at = from;
    }

    /// Takes a keyword at the beginning of a command. False when none stands here.
    fn keyword(&mut self, base: usize, chain: &mut Chain) -> bool {
        let length = self.rest().iter().take(16).take_while(|b| b.is_ascii_lowercase() || matches!(b, b'{' | b'}' | b'!')).count();
        let ends = matches!(self.peek(length), None | Some(b' ' | b'\t' | b'\n' | b'\r' | b';' | b'&' | b'|' | b'(' | b')' | b'#'))
            || (self.peek(length) == Some(b'\\') && matches!(self.peek(length + 1), Some(b'\n' | b'\r')));
        if !ends {
            return false;
        }
        let word = self.slice(self.at..self.at + length);
        let start = self.at;
        self.at += length;
        match word {
            "then" | "do" | "time" | "coproc" | "!" => {}
            "if" => self.open(Open::If),
            "elif" | "else" => self.branch(base, word == "else"),
            "while" | "until" => self.open(Open::Loop),
            "for" | "select" => self.for_loop(),
            "case" => self.case(),
            // What stands behind `&&` or `||` runs or not.
            "{" if chain.joined && self.function.is_none() => self.open_block(Open::Brace, Block::If),
            "{" => self.open(Open::Brace),
            "function" => self.function_keyword(),
            "fi" => self.close_nearest(base, |b| b == Open::If),
            "done" => self.close_nearest(base, |b| b == Open::Loop),
            "esac" => self.close_nearest(base, |b| matches!(b, Open::Case { .. })),
            "}" => self.close_nearest(base, |b| b == Open::Brace),
            _ => {
                self.at = start;
                return false;
            }
        }
        if !matches!(word, "}" | "fi" | "done" | "esac") {
            *chain = Chain { piped: chain.piped, ..Chain::default() };
        }
        true
    }

    fn branch(&mut self, base: usize, otherwise: bool) {
        if let Some(found) = self.blocks.iter().skip(base).rposition(|b| *b == Open::If) {
            self.close_blocks(base + found + 1);
            self.script.events.push(Event::Branch { otherwise });
        }
    }

    /// `for NAME in WORDS`; the body follows.
    fn for_loop(&mut self) {
        self.skip_blanks();
        if self.starts_with(b"((") {
            self.skip_arithmetic(2);
            self.open(Open::Loop);
            return;
        }
        let name = self.word();
        let Some(name) = plain_text(&name).map(str::to_owned) else {
            self.open(Open::Loop);
            return;
        };
        self.skip_blanks();
        let mut words = Vec::new();
        if self.starts_with(b"in") && !self.peek(2).is_some_and(|b| b.is_ascii_alphanumeric()) {
            self.at += 2;
            loop {
                self.skip_blanks();
                if matches!(self.peek(0), None | Some(b'\n' | b';' | b'&' | b'|' | b')' | b'#')) {
                    break;
                }
                let before = self.at;
                let word = self.word();
                if self.at == before {
                    self.at += 1;
                } else {
                    words.push(word);
                }
            }
        }
        self.open_block(Open::Loop, Block::Loop(Some((name, words))));
    }

    /// `case WORD in`; patterns follow.
    fn case(&mut self) {
        self.skip_blanks();
        self.word();
        self.skip_blanks();
        while self.peek(0) == Some(b'\n') {
            self.newline();
            self.skip_blanks();
        }
        if self.starts_with(b"in") {
            self.at += 2;
            self.open(Open::Case { expects_pattern: true, first: true });
        }
    }

    fn function_keyword(&mut self) {
        self.skip_blanks();
        let word = self.word();
        let Some(name) = plain_text(&word).map(str::to_owned) else { return };
        self.skip_blanks();
        if self.starts_with(b"()") {
            self.at += 2;
        }
        self.await_body(name);
    }

    /// `NAME=value` where it assigns. False when none stands here.
    fn assignment(&mut self, command: &mut Command) -> bool {
        let declares = command.words.first().and_then(plain_text).is_some_and(|name| DECLARING.contains(&name));
        if !(command.words.is_empty() || declares) {
            return false;
        }
        let rest = self.rest();
        if !rest.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
            return false;
        }
        let length = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let mut at = length;
        if rest.get(at) == Some(&b'[') {
            match rest.get(at..).and_then(|r| r.iter().take(64).position(|b| *b == b']')) {
                Some(close) => at += close + 1,
                None => return false,
            }
        }
        let indexed = at > length;
        let append = rest.get(at) == Some(&b'+');
        if append {
            at += 1;
        }
        if rest.get(at) != Some(&b'=') {
            return false;
        }
        let name = self.slice(self.at..self.at + length).to_owned();
        self.at += at + 1;
        let mut value = if self.peek(0) == Some(b'(') {
            self.at += 1;
            Assigned::List(self.list())
        } else {
            Assigned::Scalar(self.word())
        };
        if indexed {
            let bytes = self.at..self.at;
            let part = Part::Unknown { reason: "single items of the list are set", quoted: true, bytes: bytes.clone() };
            value = Assigned::Scalar(RawWord { parts: vec![part], bytes });
        }
        command.assignments.push(Assignment { name, value, append: append && !indexed });
        true
    }

    /// The items of a list up to its `)`.
    fn list(&mut self) -> Vec<RawWord> {
        let mut items = Vec::new();
        let (start, events) = (self.at, self.script.events.len());
        loop {
            self.skip_blanks();
            match self.peek(0) {
                None => {
                    self.break_at(start, "a list is not closed");
                    // It costs its first line only; a text full of such lists is left at its end.
                    if self.open_lists < OPEN_LISTS {
                        self.open_lists += 1;
                        self.script.events.truncate(events);
                        self.pending.clear();
                        self.at = start;
                        self.skip_comment();
                    }
                    return Vec::new();
                }
                Some(b')') => {
                    self.at += 1;
                    return items;
                }
                Some(b'\n') => self.newline(),
                Some(b'#') => self.skip_comment(),
                Some(_) => {
                    let before = self.at;
                    let word = self.word();
                    if self.at == before {
                        self.at += 1;
                    } else {
                        items.push(word);
                    }
                }
            }
        }
    }

    fn redirect(&mut self, command: &mut Command) {
        if self.starts_with(b"<<<") {
            self.at += 3;
            self.skip_blanks();
            let word = self.word();
            command.redirects.push(Redirect::Text(word));
        } else if self.starts_with(b"<<") {
            self.at += 2;
            let strips_tabs = self.peek(0) == Some(b'-');
            if strips_tabs {
                self.at += 1;
            }
            self.heredoc_tag(command, strips_tabs);
        } else {
            let reads = self.peek(0) == Some(b'<');
            let appends = self.starts_with(b">>");
            self.at += if appends { 2 } else { 1 };
            if matches!(self.peek(0), Some(b'&' | b'|' | b'>')) {
                self.at += 1;
            }
            self.skip_blanks();
            let word = self.word();
            command.redirects.push(match (reads, appends) {
                (true, _) => Redirect::From(word),
                (false, true) => Redirect::AppendTo(word),
                (false, false) => Redirect::To(word),
            });
        }
    }

    fn heredoc_tag(&mut self, command: &mut Command, strips_tabs: bool) {
        self.skip_blanks();
        let start = self.at;
        let quote = self.peek(0).filter(|c| matches!(c, b'\'' | b'"'));
        let (tag, expands) = match quote {
            Some(quote) => {
                self.at += 1;
                let length = self.rest().iter().take(128).take_while(|b| **b != quote && **b != b'\n' && b.is_ascii()).count();
                let tag = self.slice(self.at..self.at + length);
                self.at += length + usize::from(self.peek(length) == Some(quote));
                (tag.to_owned(), false)
            }
            None => {
                let length = self.rest().iter().take(128).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'!' | b'\\')).count();
                let tag = self.slice(self.at..self.at + length);
                self.at += length;
                (tag.replace('\\', ""), !tag.contains('\\'))
            }
        };
        if tag.is_empty() {
            self.at = start;
            return;
        }
        let index = self.script.heredocs.len();
        self.script.heredocs.push(Heredoc { tag: Arc::from(tag), expands, strips_tabs, body: 0..0 });
        self.pending.push(index);
        command.redirects.push(Redirect::Heredoc(index));
    }

    /// Reads the commands of `$(` up to its `)`.
    pub(super) fn substitution(&mut self) {
        if self.nesting >= NESTING_LIMIT {
            return;
        }
        self.nesting += 1;
        let pending = std::mem::take(&mut self.pending);
        self.script.events.push(Event::Open(Block::Subshell));
        self.commands(Some(b')'));
        self.script.events.push(Event::Close);
        self.pending.splice(0..0, pending);
        self.nesting -= 1;
    }

    /// Reads the commands between backquotes, up to the byte `end`.
    pub(super) fn backquoted(&mut self, end: usize) {
        if self.nesting >= NESTING_LIMIT {
            self.at = end;
            return;
        }
        self.nesting += 1;
        let outer = std::mem::replace(&mut self.end, end);
        self.script.events.push(Event::Open(Block::Subshell));
        self.commands(None);
        self.script.events.push(Event::Close);
        self.at = end;
        self.end = outer;
        self.nesting -= 1;
    }
}

/// The text of a word that is one unquoted literal.
fn plain_text(word: &RawWord) -> Option<&str> {
    match word.parts.as_slice() {
        [Part::Text { text, quoted: false, .. }] => Some(text),
        _ => None,
    }
}
