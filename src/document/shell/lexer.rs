//! From text to commands and blocks: one pass, no backtracking but for quotes that are never closed.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::{Block, Command, Event, Redirect, Script};
use super::{Heredoc, RawWord};

mod command;
mod expansion;
mod word;

/// Why a script with an odd number of quotes is broken.
const OPEN_QUOTE: &str = "a quote here, or one before it, is not closed";
/// Substitutions inside substitutions.
const NESTING_LIMIT: usize = 32;
/// Blocks inside blocks; deeper ones are read as if their keywords were not there.
const BLOCK_LIMIT: usize = 128;
/// Here-documents whose end is not found, after which only near ends are looked for.
const LOST_HEREDOCS: usize = 8;
/// Lists that are never closed, after which no more are read again.
const OPEN_LISTS: usize = 4;
/// How long a pattern of a `case` may be.
const PATTERN_BYTES: usize = 1024;
/// How far a near end of a here-document may be.
const NEAR_BYTES: usize = 4 * 1024;

/// Reads a script. Never fails: what is broken costs itself and is named in [`Script::broken`].
#[must_use]
pub fn parse(text: &str) -> Script {
    let (script, open_quote) = parse_with(text, false);
    match open_quote {
        None => script,
        Some(at) => {
            // Somewhere a quote is missing, so every quote after it is read the wrong way round: read again, ending quotes at their lines.
            let mut script = parse_with(text, true).0;
            script.broken.retain(|(_, reason)| *reason != OPEN_QUOTE);
            script.broken.insert(0, (at, OPEN_QUOTE));
            script
        }
    }
}

fn parse_with(text: &str, quotes_end_with_line: bool) -> (Script, Option<usize>) {
    let mut lexer = Lexer::new(text, quotes_end_with_line);
    lexer.commands(None);
    lexer.close_blocks(0);
    (lexer.script, lexer.open_quote)
}

/// A block that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    If,
    Case { expects_pattern: bool, first: bool },
    Loop,
    Subshell,
    Brace,
}

struct Lexer<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    end: usize,
    script: Script,
    blocks: Vec<Open>,
    nesting: usize,
    /// Here-documents announced on this line.
    pending: Vec<usize>,
    lost_heredocs: usize,
    /// Tags that do not stand alone on any line from here on.
    missing_tags: HashSet<Arc<str>>,
    quotes_end_with_line: bool,
    open_quote: Option<usize>,
    open_lists: usize,
    /// No `}` stands between these bytes, as far as was looked.
    no_brace_from: usize,
    brace_known_to: usize,
    /// A function's name that waits for its body.
    function: Option<String>,
}

impl<'t> Lexer<'t> {
    fn new(text: &'t str, quotes_end_with_line: bool) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 },
            end: text.len(),
            script: Script::default(),
            blocks: Vec::new(),
            nesting: 0,
            pending: Vec::new(),
            lost_heredocs: 0,
            missing_tags: HashSet::new(),
            quotes_end_with_line,
            open_quote: None,
            open_lists: 0,
            no_brace_from: 0,
            brace_known_to: 0,
            function: None,
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        let at = self.at + ahead;
        if at < self.end { self.bytes.get(at).copied() } else { None }
    }

    fn rest(&self) -> &'t [u8] {
        self.bytes.get(self.at..self.end).unwrap_or_default()
    }

    fn slice(&self, range: Range<usize>) -> &'t str {
        self.text.get(range).unwrap_or_default()
    }

    fn starts_with(&self, what: &[u8]) -> bool {
        self.rest().starts_with(what)
    }

    fn break_at(&mut self, at: usize, reason: &'static str) {
        if self.script.broken.len() < 64 {
            self.script.broken.push((at, reason));
        }
    }

    /// Length of a line continuation here, if there is one.
    fn continuation(&self) -> Option<usize> {
        match (self.peek(0), self.peek(1), self.peek(2)) {
            (Some(b'\\'), Some(b'\n'), _) => Some(2),
            (Some(b'\\'), Some(b'\r'), Some(b'\n')) => Some(3),
            _ => None,
        }
    }

    /// Skips blanks and line continuations.
    fn skip_blanks(&mut self) {
        loop {
            match self.peek(0) {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\r') if self.peek(1) == Some(b'\n') => self.at += 1,
                Some(b'\\') => match self.continuation() {
                    Some(length) => self.at += length,
                    // A backslash with blanks behind it was meant to continue the line; taken so, as its author did.
                    None => match self.sloppy_continuation() {
                        Some(length) => self.at += length,
                        None => return,
                    },
                },
                _ => return,
            }
        }
    }

    /// A backslash that only blanks separate from the end of its line.
    fn sloppy_continuation(&self) -> Option<usize> {
        let rest = self.rest().get(1..)?;
        let blanks = rest.iter().take(64).take_while(|b| matches!(b, b' ' | b'\t' | b'\r')).count();
        (blanks > 0 && rest.get(blanks) == Some(&b'\n')).then_some(blanks + 2)
    }

    fn skip_comment(&mut self) {
        let length = memchr::memchr(b'\n', self.rest()).unwrap_or(self.end - self.at);
        self.at += length;
    }

    /// Takes a newline and the bodies of the here-documents that were announced before it.
    fn newline(&mut self) {
        self.at += 1;
        for index in std::mem::take(&mut self.pending) {
            self.heredoc_body(index);
        }
    }

    fn heredoc_body(&mut self, index: usize) {
        let Some(heredoc) = self.script.heredocs.get(index).cloned() else { return };
        if self.missing_tags.contains(&heredoc.tag) {
            return;
        }
        let limit = if self.lost_heredocs >= LOST_HEREDOCS { self.end.min(self.at + NEAR_BYTES) } else { self.end };
        let mut line_start = self.at;
        let mut indented = None;
        let mut found = None;
        while line_start < limit {
            let length = memchr::memchr(b'\n', self.bytes.get(line_start..self.end).unwrap_or_default()).map_or(self.end - line_start, |i| i + 1);
            let line = self.text.get(line_start..line_start + length).unwrap_or_default();
            let bare = line.trim_end_matches(['\n', '\r']);
            let bare = if heredoc.strips_tabs { bare.trim_start_matches('\t') } else { bare };
            if bare == &*heredoc.tag {
                found = Some((line_start, line_start + length));
                break;
            }
            if indented.is_none() && bare.trim() == &*heredoc.tag {
                indented = Some((line_start, line_start + length));
            }
            line_start += length;
        }
        if found.is_none() {
            self.lost_heredocs += 1;
        }
        if found.is_none() && indented.is_none() && limit == self.end {
            self.missing_tags.insert(Arc::clone(&heredoc.tag));
        }
        // A tag that only its indent hides was meant to end the text (scripts indented inside other files).
        match found.or(indented) {
            Some((body_end, next)) => {
                if let Some(slot) = self.script.heredocs.get_mut(index) {
                    slot.body = self.at..body_end;
                }
                self.at = next;
            }
            None => self.break_at(self.at, "the end of this here-document is missing"),
        }
    }

    /// Reads commands up to `until` (which is taken) or the end.
    fn commands(&mut self, until: Option<u8>) {
        let base = self.blocks.len();
        let mut chain = Chain::default();
        loop {
            self.skip_blanks();
            if self.expects_pattern(base) && !matches!(self.peek(0), None | Some(b'\n' | b'#')) {
                self.case_pattern(base);
                continue;
            }
            let Some(c) = self.peek(0) else { break };
            match c {
                b'\n' => {
                    self.newline();
                    chain = Chain::default();
                }
                b'\r' => self.at += 1,
                b'#' => self.skip_comment(),
                b';' => {
                    if matches!(self.peek(1), Some(b';' | b'&')) {
                        self.at += 2;
                        if self.peek(0) == Some(b'&') {
                            self.at += 1;
                        }
                        self.end_case_branch(base);
                    } else {
                        self.at += 1;
                    }
                    chain = Chain::default();
                }
                b'&' => {
                    if self.peek(1) == Some(b'&') {
                        self.at += 2;
                        (chain.piped, chain.joined, chain.and) = (false, true, true);
                        chain.conditional |= chain.test;
                    } else {
                        self.at += 1;
                        chain = Chain::default();
                    }
                }
                b'|' => {
                    if self.peek(1) == Some(b'|') {
                        self.at += 2;
                        (chain.piped, chain.joined, chain.and) = (false, true, false);
                        chain.conditional = true;
                    } else {
                        self.at += if self.peek(1) == Some(b'&') { 2 } else { 1 };
                        chain.piped = true;
                    }
                }
                b')' => {
                    self.at += 1;
                    if until == Some(b')') && !self.blocks.iter().skip(base).any(|b| *b == Open::Subshell) {
                        self.close_blocks(base);
                        return;
                    }
                    self.close_nearest(base, |b| b == Open::Subshell);
                }
                b'(' => {
                    if self.peek(1) == Some(b'(') {
                        self.skip_arithmetic(2);
                    } else {
                        self.at += 1;
                        self.open(Open::Subshell);
                    }
                }
                _ => {
                    let before = self.at;
                    self.simple_command(&mut chain, base);
                    if self.at == before {
                        self.at += 1;
                    }
                }
            }
        }
        if until.is_some() {
            self.break_at(self.at, "a `$(` is not closed");
        }
        self.close_blocks(base);
    }

    /// Skips `(( ... ))`; `open` characters are its beginning.
    fn skip_arithmetic(&mut self, open: usize) {
        self.at += open;
        let mut depth = 2_usize;
        while let Some(c) = self.peek(0) {
            match c {
                b'(' => depth += 1,
                b')' => depth -= 1,
                // Arithmetic that is not closed on its line is not arithmetic.
                b'\n' => return,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    fn open(&mut self, kind: Open) {
        let block = match kind {
            Open::If => Block::If,
            Open::Case { .. } => Block::Case,
            Open::Loop => Block::Loop(None),
            Open::Subshell | Open::Brace => match self.function.take() {
                Some(name) => Block::Function(name),
                None if kind == Open::Brace => Block::Group,
                None => Block::Subshell,
            },
        };
        self.open_block(kind, block);
    }

    fn open_block(&mut self, kind: Open, block: Block) {
        self.function = None;
        if self.blocks.len() < BLOCK_LIMIT {
            self.blocks.push(kind);
            self.script.events.push(Event::Open(block));
        }
    }

    /// Closes the nearest open block of a kind above `base`, and what is open inside it. Nothing happens when there is none.
    fn close_nearest(&mut self, base: usize, is_kind: impl Fn(Open) -> bool) {
        if let Some(found) = self.blocks.iter().skip(base).rposition(|b| is_kind(*b)) {
            self.close_blocks(base + found);
        }
    }

    fn close_blocks(&mut self, down_to: usize) {
        while self.blocks.len() > down_to {
            self.blocks.pop();
            self.script.events.push(Event::Close);
        }
    }

    fn expects_pattern(&self, base: usize) -> bool {
        self.blocks.len() > base && matches!(self.blocks.last(), Some(Open::Case { expects_pattern: true, .. }))
    }

    /// The pattern of a `case` branch, or `esac`.
    fn case_pattern(&mut self, base: usize) {
        let rest = self.rest();
        let window = rest.get(..PATTERN_BYTES).unwrap_or(rest);
        let stop = memchr::memchr2(b'\n', b')', window).unwrap_or(window.len());
        // Cut at an ASCII character or at the window's end, which may lie inside a character: nothing is read then.
        let line = self.slice(self.at..(self.at + stop + 1).min(self.end));
        if line.strip_prefix("esac").is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-')) {
            self.at += 4;
            self.close_nearest(base, |b| matches!(b, Open::Case { .. }));
            return;
        }
        let (pattern, taken) = match line.find(')') {
            Some(length) => (line.get(..length).unwrap_or_default(), length + 1),
            None => ("", 0),
        };
        self.at += taken;
        let otherwise = pattern.trim().trim_start_matches('(').trim() == "*";
        let mut branch = false;
        if let Some(Open::Case { expects_pattern, first }) = self.blocks.last_mut() {
            *expects_pattern = false;
            branch = !*first;
            *first = false;
        }
        if branch {
            self.script.events.push(Event::Branch { otherwise });
        }
    }

    fn end_case_branch(&mut self, base: usize) {
        if let Some(found) = self.blocks.iter().skip(base).rposition(|b| matches!(b, Open::Case { .. })) {
            self.close_blocks(base + found + 1);
            if let Some(Open::Case { expects_pattern, .. }) = self.blocks.last_mut() {
                *expects_pattern = true;
            }
        }
    }
}

/// What links a command to those before it on its line.
#[derive(Debug, Default)]
struct Chain {
    piped: bool,
    conditional: bool,
    /// The chain began with a test.
    test: bool,
    /// Where it begins, once it has a command.
    start: Option<usize>,
    /// `&&` or `||` stands before what follows.
    joined: bool,
    /// It was `&&`.
    and: bool,
}

/// The parts of a here-document's text, in which variables are replaced; `body` is its range in the script's text.
pub(super) fn heredoc_parts(script: &str, body: Range<usize>) -> Vec<super::Part> {
    let mut lexer = Lexer::new(script, false);
    lexer.at = body.start;
    lexer.end = body.end.min(script.len());
    lexer.heredoc_parts()
}
