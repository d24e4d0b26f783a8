//! Walks a script in order, keeps what is known of its variables, and resolves the words of its commands.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::word::{Piece, Value, Word, same_piece};
use super::{Assigned, Assignment, Block, Command, Event, Heredoc, Operation, Part, RawWord, Redirect, Script};
use crate::document::extract::Extract;

mod builtin;
mod resolve;

/// Functions inside functions, and loops that are unrolled.
const DEPTH_LIMIT: usize = 8;
/// Commands that calls and unrolled loops may add.
const EXTRA_COMMANDS: usize = 20_000;
/// Values that a loop may take to be unrolled.
const UNROLLED: usize = 16;
/// Items of one list.
const LIST_LIMIT: usize = 4096;
/// Pieces of one value.
const PIECE_LIMIT: usize = 64;
/// Bytes of one value.
const VALUE_BYTES: usize = 64 * 1024;
/// Pieces that a whole script may make.
const TOTAL_PIECES: usize = 4_000_000;
/// The key under which the current folder is kept; no variable can have this name.
const FOLDER: &str = "cd ";

/// What is set around a script: the environment of a workflow, of a job in it, of a step. Shared by all scripts in it.
#[derive(Debug, Default)]
pub struct Outer {
    parent: Option<Arc<Self>>,
    variables: HashMap<String, Value>,
    templates: HashMap<String, Value>,
}

impl Outer {
    /// Settings inside others, which hold where these say nothing.
    #[must_use]
    pub fn inside(parent: &Arc<Self>) -> Self {
        Self { parent: Some(Arc::clone(parent)), ..Self::default() }
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), value);
    }

    /// Says what a template expression (`env.X`, `params.X`) stands for.
    pub fn set_template(&mut self, expression: &str, value: Value) {
        self.templates.insert(expression.to_owned(), value);
    }

    /// The value of a variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(name).or_else(|| self.parent.as_ref()?.variable(name))
    }

    /// The value of a template expression.
    #[must_use]
    pub fn template(&self, expression: &str) -> Option<&Value> {
        self.templates.get(expression).or_else(|| self.parent.as_ref()?.template(expression))
    }

    /// The value of an expression with literals and alternatives: `inputs.x || env.X || 'text'`, the first that is known. `bytes` is where it is written.
    #[must_use]
    pub fn evaluate(&self, expression: &str, bytes: &Range<usize>) -> Option<Value> {
        expression.split("||").map(str::trim).find_map(|part| {
            let literal = part.strip_prefix('\'').and_then(|part| part.strip_suffix('\'')).filter(|text| !text.contains('\''));
            match literal {
                Some(text) => Some(Value::known(text, bytes.clone())),
                None => self.template(part).cloned(),
            }
        })
    }
}

/// What is known of variables while a script runs.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    outer: Arc<Outer>,
    /// What the script set; nothing for what it unset.
    variables: HashMap<String, Option<Variable>>,
}

#[derive(Debug, Clone)]
enum Variable {
    Scalar(Value),
    List(Arc<Vec<Word>>),
}

impl Environment {
    /// An environment in which the script has set nothing yet.
    #[must_use]
    pub fn new(outer: &Arc<Outer>) -> Self {
        Self { outer: Arc::clone(outer), variables: HashMap::new() }
    }

    /// The settings around the script.
    #[must_use]
    pub fn outer(&self) -> &Arc<Outer> {
        &self.outer
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), Some(Variable::Scalar(value)));
    }

    /// Sets the folder in which the script starts, relative to the repository's root.
    pub fn set_folder(&mut self, value: Value) {
        self.set(FOLDER, value);
    }

    /// The value of a variable, if it is set and no list.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self.variables.get(name) {
            Some(Some(Variable::Scalar(value))) => Some(value),
            Some(_) => None,
            None => self.outer.variable(name),
        }
    }

    fn lookup(&self, name: &str) -> Option<Variable> {
        match self.variables.get(name) {
            Some(known) => known.clone(),
            None => self.outer.variable(name).cloned().map(Variable::Scalar),
        }
    }
}

/// A command with its words resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Its words; at least one, or there is a redirection.
    pub words: Vec<Word>,
    /// Variables set for this command alone.
    pub assignments: Vec<(String, Value)>,
    /// Redirections.
    pub redirects: Vec<ResolvedRedirect>,
    /// The command in the file.
    pub bytes: Range<usize>,
    /// It reads what the command before it writes.
    pub piped: bool,
    /// It runs or not, depending on a command before it (`||`, or `&&` after a test).
    pub conditional: bool,
    /// Where the list of commands begins, in the file, that `&&`, `||` and `|` join.
    pub list: usize,
    /// `&&` joins it to those before it: it runs only where they ended well.
    pub and: bool,
    /// The folder in which it runs, where `cd` was used.
    pub folder: Option<Value>,
    /// The alternatives (branches of `if` and `case`, functions that nothing calls) in which it stands, outermost first: which choice, which of its ways.
    pub ways: Vec<(usize, usize)>,
}

impl Resolved {
    /// Whether both run at most one at a time: they stand in different branches of one choice.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        excludes(&self.ways, &other.ways)
    }
}

/// Whether two lists of alternatives take different ways at the same choice.
#[must_use]
pub fn excludes(a: &[(usize, usize)], b: &[(usize, usize)]) -> bool {
    a.iter().zip(b).take_while(|(a, b)| a.0 == b.0).any(|(a, b)| a.1 != b.1)
}

/// A redirection with its word resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum ResolvedRedirect {
    /// `< file`
    From(Word),
    /// `> file`
    To(Word),
    /// `>> file`
    AppendTo(Word),
    /// `<< TAG`: the body with its variables replaced; `${unknown}` stands for what is not known.
    Heredoc(Extract),
    /// `<<< word`
    Text(Word),
}

/// Resolves all commands of a script in order. Functions are followed where they are called; those that nothing calls are read at the end.
/// `environment` is what is set before, and afterwards what the script leaves.
#[must_use]
pub fn run(script: &Script, extract: &Extract, environment: &mut Environment) -> Vec<Resolved> {
    let mut runner = Runner {
        script,
        extract,
        environment: std::mem::take(environment),
        closes: matching_closes(&script.events),
        frames: Vec::new(),
        functions: HashMap::new(),
        uncalled: Vec::new(),
        called: HashSet::new(),
        active: Vec::new(),
        depth: 0,
        extra: EXTRA_COMMANDS,
        pieces: TOTAL_PIECES,
        resolved: Vec::new(),
    };
    runner.events(0..script.events.len());
    let mut next = 0;
    while let Some(body) = runner.uncalled.get(next).cloned() {
        next += 1;
        if runner.called.insert(body.start) {
            runner.frames.push(Frame { way: Some((usize::MAX, body.start)), ..Frame::new(FrameKind::Subshell) });
            for name in ["1", "2", "3", "4", "5", "6", "7", "8", "9", "@"] {
                runner.environment.variables.insert(name.to_owned(), None);
            }
            runner.events(body);
            runner.close();
        }
    }
    *environment = runner.environment;
    runner.resolved
}

/// For each `Open`, the index of its `Close`.
fn matching_closes(events: &[Event]) -> HashMap<usize, usize> {
    let mut closes = HashMap::new();
    let mut open = Vec::new();
    for (i, event) in events.iter().enumerate() {
        match event {
            Event::Open(_) => open.push(i),
            Event::Close => {
                if let Some(begin) = open.pop() {
                    closes.insert(begin, i);
                }
            }
            Event::Command(_) | Event::Branch { .. } => {}
        }
    }
    closes
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameKind {
    /// What is set in it stays.
    Plain,
    /// What is set in it is gone after it.
    Subshell,
    /// What is set in it may be set after it.
    Choice,
}

/// A block that is being walked.
struct Frame {
    kind: FrameKind,
    /// Values before the block, of the variables that it sets.
    before: BTreeMap<String, Option<Variable>>,
    /// What each finished alternative left.
    branches: Vec<BTreeMap<String, Option<Variable>>>,
    /// Some alternative is taken for certain.
    exhaustive: bool,
    /// Which choice it is, and which of its ways is being walked.
    way: Option<(usize, usize)>,
}

impl Frame {
    fn new(kind: FrameKind) -> Self {
        Self { kind, before: BTreeMap::new(), branches: Vec::new(), exhaustive: false, way: None }
    }
}

struct Runner<'s> {
    script: &'s Script,
    extract: &'s Extract,
    environment: Environment,
    closes: HashMap<usize, usize>,
    frames: Vec<Frame>,
    functions: HashMap<String, Range<usize>>,
    uncalled: Vec<Range<usize>>,
    called: HashSet<usize>,
    active: Vec<usize>,
    depth: usize,
    extra: usize,
    pieces: usize,
    resolved: Vec<Resolved>,
}

impl<'s> Runner<'s> {
    fn events(&mut self, range: Range<usize>) {
        let script: &'s Script = self.script;
        let mut i = range.start;
        while i < range.end {
            if self.depth > 0 {
                match self.extra.checked_sub(1) {
                    Some(left) => self.extra = left,
                    None => {
                        // Too much: leave what is open as it is, closing the frames of this range.
                        return self.close_rest(i..range.end);
                    }
                }
            }
            let Some(event) = script.events.get(i) else { return };
            match event {
                Event::Open(block) => {
                    let close = self.closes.get(&i).copied().unwrap_or(range.end);
                    if self.open(block, i + 1..close) {
                        i = close;
                    }
                }
                Event::Branch { otherwise } => self.branch(*otherwise),
                Event::Close => self.close(),
                Event::Command(command) => self.command(command),
            }
            i += 1;
        }
    }

    /// Closes the frames whose blocks end in what is left out.
    fn close_rest(&mut self, rest: Range<usize>) {
        let mut depth = 0_usize;
        for event in self.script.events.get(rest).unwrap_or_default() {
            match event {
                Event::Open(_) => depth += 1,
                Event::Close if depth > 0 => depth -= 1,
                Event::Close => self.close(),
                Event::Command(_) | Event::Branch { .. } => {}
            }
        }
    }

    /// Begins a block. True when its body was dealt with already.
    fn open(&mut self, block: &Block, body: Range<usize>) -> bool {
        match block {
            Block::Function(name) => {
                self.functions.insert(name.clone(), body.clone());
                self.uncalled.push(body);
                return true;
            }
            Block::Loop(Some((name, words))) => {
                let values: Vec<Word> = words.iter().flat_map(|word| self.expand(word)).collect();
                let known = !values.is_empty() && values.len() <= UNROLLED && values.iter().all(|w| w.text().is_some_and(|t| !t.contains(['*', '?', '{'])));
                if known && self.depth < DEPTH_LIMIT && self.extra > body.len() * values.len() {
                    self.depth += 1;
                    for value in values {
                        self.assign(name, Some(Variable::Scalar(Value { pieces: value.pieces, unset: false })), false);
                        self.events(body.clone());
                    }
                    self.depth -= 1;
                    return true;
                }
                let bytes = words.first().zip(words.last()).map_or(0..0, |(first, last)| self.extract.source_bytes(&(first.bytes.start..last.bytes.end)));
                self.assign(name, Some(Variable::Scalar(Value::unknown("it takes several values in a loop", bytes))), false);
                self.frames.push(Frame::new(FrameKind::Choice));
            }
            Block::Loop(None) => self.frames.push(Frame::new(FrameKind::Choice)),
            Block::If | Block::Case => self.frames.push(Frame { way: Some((body.start, 0)), ..Frame::new(FrameKind::Choice) }),
            Block::Subshell => self.frames.push(Frame::new(FrameKind::Subshell)),
            Block::Group => self.frames.push(Frame::new(FrameKind::Plain)),
        }
        false
    }

    fn branch(&mut self, otherwise: bool) {
        let Some(frame) = self.frames.last_mut() else { return };
        frame.exhaustive |= otherwise;
        if let Some((_, way)) = &mut frame.way {
            *way += 1;
        }
        let left: BTreeMap<String, Option<Variable>> = frame.before.keys().map(|name| (name.clone(), self.environment.lookup(name))).collect();
        for (name, before) in &frame.before {
            restore(&mut self.environment, name, before.clone());
        }
        frame.branches.push(left);
    }

    fn close(&mut self) {
        let Some(mut frame) = self.frames.pop() else { return };
        if frame.kind == FrameKind::Choice {
            frame.branches.push(frame.before.keys().map(|name| (name.clone(), self.environment.lookup(name))).collect());
        }
        for (name, before) in frame.before {
            let after = match frame.kind {
                FrameKind::Subshell => before.clone(),
                FrameKind::Plain => self.environment.lookup(&name),
                FrameKind::Choice => {
                    let mut ways: Vec<Option<Variable>> =
                        frame.branches.iter().map(|branch| branch.get(&name).cloned().unwrap_or_else(|| before.clone())).collect();
                    if !frame.exhaustive {
                        ways.insert(0, before.clone());
                    }
                    merge(ways)
                }
            };
            if frame.kind != FrameKind::Subshell
                && let Some(parent) = self.frames.last_mut()
            {
                parent.before.entry(name.clone()).or_insert(before);
            }
            restore(&mut self.environment, &name, after);
        }
    }

    /// Keeps the value that a variable has before a block changes it.
    fn note_before(&mut self, name: &str) {
        if let Some(frame) = self.frames.last_mut()
            && !frame.before.contains_key(name)
        {
            frame.before.insert(name.to_owned(), self.environment.lookup(name));
        }
    }

    /// `NAME+=( ... )`, without a copy of what the list holds already.
    fn append_items(&mut self, name: &str, raw: &[RawWord]) {
        let more: Vec<Word> = raw.iter().flat_map(|word| self.expand(word)).collect();
        self.note_before(name);
        let mut list = match self.environment.lookup(name) {
            Some(Variable::List(items)) => items,
            _ => Arc::default(),
        };
        self.environment.variables.remove(name);
        let items = Arc::make_mut(&mut list);
        items.extend(more);
        items.truncate(LIST_LIMIT);
        restore(&mut self.environment, name, Some(Variable::List(list)));
    }

    fn assign(&mut self, name: &str, value: Option<Variable>, conditional: bool) {
        self.note_before(name);
        let value = if conditional { merge(vec![self.environment.lookup(name), value]) } else { value };
        restore(&mut self.environment, name, value);
    }

    fn command(&mut self, command: &Command) {
        let words = command.words.iter().flat_map(|word| self.expand(word)).collect();
        let words: Vec<Word> = self.without_alias(words);
        let name = words.first().and_then(Word::text).unwrap_or_default();
        let declares = matches!(name.as_str(), "export" | "local" | "readonly" | "declare" | "typeset");
        let mut own = Vec::new();
        for assignment in &command.assignments {
            if let (Assigned::List(raw), true, false) = (&assignment.value, assignment.append, command.conditional) {
                self.append_items(&assignment.name, raw);
                continue;
            }
            let value = self.assigned(assignment);
            if command.words.is_empty() || declares {
                self.assign(&assignment.name, Some(value), command.conditional);
            } else if let Variable::Scalar(value) = value {
                own.push((assignment.name.clone(), value));
            }
        }
        if words.is_empty() && command.redirects.is_empty() || declares {
            return;
        }
        self.builtin(&name, &words, command.conditional);
        if let Some(body) = self.functions.get(&name).cloned()
            && self.call(&words, body)
        {
            return;
        }
        let redirects = command.redirects.iter().filter_map(|redirect| self.redirect(redirect)).collect();
        self.resolved.push(Resolved {
            words,
            assignments: own,
            redirects,
            bytes: self.extract.source_bytes(&command.bytes),
            piped: command.piped,
            conditional: command.conditional,
            list: self.extract.source_byte(command.list),
            and: command.and,
            folder: self.environment.get(FOLDER).cloned(),
            ways: self.frames.iter().filter_map(|frame| frame.way).collect(),
        });
    }
}

fn restore(environment: &mut Environment, name: &str, value: Option<Variable>) {
    environment.variables.insert(name.to_owned(), value);
}

/// What is known after one of several ways was gone. A default given where nothing was set counts as the value.
fn merge(ways: Vec<Option<Variable>>) -> Option<Variable> {
    let set: Vec<Variable> = ways.into_iter().flatten().filter(|variable| !matches!(variable, Variable::Scalar(value) if value.unset)).collect();
    let mut set = set.into_iter();
    let first = set.next()?;
    Some(set.fold(first, |a, b| match (a, b) {
        (Variable::Scalar(a), Variable::Scalar(b)) if a.says_the_same(&b) => Variable::Scalar(a),
        (Variable::Scalar(a), Variable::Scalar(b)) => {
            let common = a.pieces.iter().zip(&b.pieces).take_while(|(a, b)| same_piece(a, b)).count();
            let at = b.pieces.get(common).or(a.pieces.get(common)).map_or(0..0, |piece| piece.bytes().clone());
            let mut pieces: Vec<Piece> = a.pieces.into_iter().take(common).collect();
            pieces.push(Piece::Unknown { reason: "it is set in several ways".into(), bytes: at });
            Variable::Scalar(Value { pieces, unset: false })
        }
        (Variable::List(a), Variable::List(b)) => {
            let common = a.iter().zip(b.iter()).take_while(|(a, b)| a == b).count();
            if a.len() == common && b.len() == common {
                return Variable::List(a);
            }
            let at = b.get(common).or(a.get(common)).map_or(0..0, |word| word.bytes.clone());
            let mut items: Vec<Word> = a.iter().take(common).cloned().collect();
            let pieces = vec![Piece::Unknown { reason: "these arguments depend on a condition".into(), bytes: at.clone() }];
            items.push(Word { pieces, bytes: at, elastic: true });
            Variable::List(Arc::new(items))
        }
        _ => Variable::Scalar(Value::unknown("it is set in several ways", 0..0)),
    }))
}

/// A value, or that it is too long to follow.
fn bounded(pieces: Vec<Piece>, bytes: &Range<usize>) -> Value {
    let length: usize = pieces.iter().map(|piece| if let Piece::Text { text, .. } = piece { text.len() } else { 0 }).sum();
    if pieces.len() > PIECE_LIMIT || length > VALUE_BYTES {
        return Value::unknown("it is put together from too many parts", bytes.clone());
    }
    Value { pieces, unset: false }
}
