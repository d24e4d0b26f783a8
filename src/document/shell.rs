//! Shell text as simple commands with a span for every word: tolerant of templates, of fragments and of what is broken. Nothing is run, nothing guessed.

mod expand;
mod lexer;
mod word;

use std::ops::Range;
use std::sync::Arc;

pub use expand::{Environment, Outer, Resolved, ResolvedRedirect, excludes, run};
pub use lexer::parse;
pub use word::{Piece, Value, Word};

/// Stands for the folder of the script itself in a resolved word (`$(dirname "$0")`).
pub const SCRIPT_FOLDER: char = '\u{e000}';

/// Stands for the root of the repository in a resolved word (`$(git rev-parse --show-toplevel)`, `$GITHUB_WORKSPACE`).
pub const REPOSITORY_ROOT: char = '\u{e001}';

/// Why a variable is not known that `read` sets.
pub const READ: &str = "it is read when the script runs";

/// A script: its commands and blocks in source order. Byte ranges are those of the text that was parsed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Script {
    /// Commands, and where blocks open and close; always well nested.
    pub events: Vec<Event>,
    /// Bodies of here-documents, by the index that redirects name.
    pub heredocs: Vec<Heredoc>,
    /// What could not be read: the byte where it begins, and the reason in words.
    pub broken: Vec<(usize, &'static str)>,
}

/// A part of a script.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A simple command.
    Command(Command),
    /// A block begins.
    Open(Block),
    /// The next alternative of an `if` or `case` begins; `otherwise` is `else` or `*)`.
    Branch {
        /// Whether it takes all that is left.
        otherwise: bool,
    },
    /// The innermost open block ends.
    Close,
}

/// Kinds of blocks.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// `if`
    If,
    /// `case`
    Case,
    /// `while`, `until`, or `for` with its variable and words.
    Loop(Option<(String, Vec<RawWord>)>),
    /// `( )` or `$( )`: variables set in it are gone after it.
    Subshell,
    /// `{ }`
    Group,
    /// The body of a function.
    Function(String),
}

/// A simple command as it is written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Command {
    /// Its words.
    pub words: Vec<RawWord>,
    /// `NAME=value` before the words, or given to `export`, `local` and the like.
    pub assignments: Vec<Assignment>,
    /// Redirections.
    pub redirects: Vec<Redirect>,
    /// All of it.
    pub bytes: Range<usize>,
    /// It reads what the command before it writes.
    pub piped: bool,
    /// It runs or not, depending on a command before it (`||`, or `&&` after a test).
    pub conditional: bool,
    /// Where the list of commands begins that `&&`, `||` and `|` join.
    pub list: usize,
    /// `&&` joins it to those before it: it runs only where they ended well.
    pub and: bool,
}

/// A word as it is written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RawWord {
    /// Its parts.
    pub parts: Vec<Part>,
    /// All of it, with quotes.
    pub bytes: Range<usize>,
}

/// A part of a word.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Literal text.
    Text {
        /// After quotes and escapes.
        text: String,
        /// Where it is written, without quotes.
        bytes: Range<usize>,
        /// Whether it stood in quotes.
        quoted: bool,
    },
    /// `$NAME`, `${NAME}` and the like.
    Variable {
        /// Its name; positional ones are `1`, `@`, ...
        name: String,
        /// What is done with it.
        operation: Operation,
        /// Whether it stood in double quotes (it is not split into words then).
        quoted: bool,
        /// Where it is written.
        bytes: Range<usize>,
    },
    /// A template expression of what surrounds the script: `${{ env.X }}`, `{{ x }}`, `<< parameters.x >>`, `${params.X}`.
    Template {
        /// The expression without its brackets, trimmed.
        expression: String,
        /// Where it is written.
        bytes: Range<usize>,
    },
    /// What only running it could tell.
    Unknown {
        /// Why, in words.
        reason: &'static str,
        /// Whether it stood in double quotes.
        quoted: bool,
        /// Where it is written.
        bytes: Range<usize>,
    },
}

/// What an expansion does with its variable.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Nothing.
    Plain,
    /// `:-`, `-`: these parts where it is not set.
    Default(Vec<Part>),
    /// `:=`, `=`: these parts where it is not set, and they become its value.
    Assign(Vec<Part>),
    /// `:+`, `+`: these parts where it is set.
    Alternative(Vec<Part>),
    /// `#text`: without this beginning.
    StripPrefix(String),
    /// `%text`: without this end.
    StripSuffix(String),
    /// `[@]` or `[*]`: all items.
    Items,
    /// `[3]`: one item.
    Item(usize),
    /// Anything else.
    Other,
}

/// An assignment.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The variable.
    pub name: String,
    /// Its value.
    pub value: Assigned,
    /// `+=`
    pub append: bool,
}

/// What is assigned.
#[derive(Debug, Clone, PartialEq)]
pub enum Assigned {
    /// One value.
    Scalar(RawWord),
    /// `( ... )`
    List(Vec<RawWord>),
}

/// A redirection.
#[derive(Debug, Clone, PartialEq)]
pub enum Redirect {
    /// `< file`
    From(RawWord),
    /// `> file`
    To(RawWord),
    /// `>> file`
    AppendTo(RawWord),
    /// `<< TAG`: the index of its body in [`Script::heredocs`].
    Heredoc(usize),
    /// `<<< word`
    Text(RawWord),
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// Its tag.
    pub tag: Arc<str>,
    /// Whether variables are replaced in it (the tag is not quoted).
    pub expands: bool,
    /// Whether leading tabs are taken off (`<<-`).
    pub strips_tabs: bool,
    /// Its lines.
    pub body: Range<usize>,
}

#[cfg(test)]
mod tests;
