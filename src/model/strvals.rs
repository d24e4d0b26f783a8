//! Helm's grammar of the `--set` family: `a.b[0].c={x,y}`, with its escapes, limits and oddities.
//!
//! Follows `pkg/strvals` of Helm 3.22 and 4.3 step by step, since what these accept and refuse is the contract: a text that ends early counts as done
//! in some places and as an error in others.

use std::cell::Cell;
use std::sync::Arc;

use super::declaration::SetKind;
use super::entries::Entries;
use super::helm::HelmMajor;
use super::json;
use super::merge::merge_over;
use super::place::{Origin, Place, Position};
use super::value::{Entry, Node, Table, Value};

/// Largest index of a list, as Helm has it.
pub const MAX_INDEX: usize = 65_536;
/// Deepest nesting by dots, as Helm has it.
pub const MAX_NESTED_NAMES: usize = 30;
/// Deepest nesting by indexes; Helm has no limit here.
const MAX_NESTED_LISTS: usize = 200;

/// Why Helm refuses a `--set` text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SetError {
    /// In words.
    pub reason: String,
    /// Byte offset in the text.
    pub at: usize,
}

/// An argument of the `--set` family.
#[derive(Clone, Copy)]
pub struct Argument<'a> {
    /// Which flag.
    pub kind: SetKind,
    /// Its text.
    pub text: &'a str,
    /// Where the text stands.
    pub place: &'a Place,
    /// For `--set-file`: what a named file holds, where it could be read.
    pub files: &'a dyn Fn(&str) -> Option<Arc<str>>,
    /// The text reaches Helm as it is: `$TAG` is a text, not a variable.
    pub verbatim: bool,
}

/// Bounds what `--set` arguments may make of lists: `a[65536]=x` is short to write and long to hold.
#[derive(Debug)]
pub struct ItemBudget(usize);

impl Default for ItemBudget {
    fn default() -> Self {
        Self(16 * MAX_INDEX)
    }
}

/// Applies an argument to values. Where a variable stands in a name, all values become unknown.
///
/// # Errors
/// When Helm refuses the text, the text does not fit the values (`a.b=1` where `a` is no table), or the budget is used up.
pub fn apply(argument: &Argument<'_>, values: &mut Table, helm: HelmMajor, budget: &mut ItemBudget) -> Result<(), SetError> {
    let mut parser = Parser::new(argument, helm, budget);
    if let Some(object) = parser.whole_object() {
        merge_over(values, &object?);
        return Ok(());
    }
    while parser.key(values, 0, 0)? == Flow::More {}
    if let Some(reason) = parser.opaque {
        *values = Table { rest_unknown: Some(reason), ..Table::default() };
    }
    Ok(())
}

/// Whether a text is filled in by a shell or a template before Helm sees it.
#[must_use]
pub fn is_templated(text: &str) -> bool {
    if text.contains("{{") || text.contains('`') {
        return true;
    }
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        if after.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '{' | '(')) {
            return true;
        }
        rest = after;
    }
    false
}

/// What an accepted step leaves: more to read, or the text's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    More,
    End,
}

/// What stands after `=`.
enum Given {
    List(Vec<Node>),
    /// The text ended there.
    Nothing,
    NotAList,
}

struct Parser<'a> {
    argument: &'a Argument<'a>,
    at: usize,
    helm: HelmMajor,
    budget: &'a mut ItemBudget,
    /// Why nothing can be said any more: a name is filled in elsewhere.
    opaque: Option<Arc<str>>,
    /// Whether the text stands in its file as it is, so that columns can be counted along it.
    is_verbatim: bool,
    /// A byte offset and its column, to count on from.
    counted: Cell<(usize, u32)>,
}

impl<'a> Parser<'a> {
    fn new(argument: &'a Argument<'a>, helm: HelmMajor, budget: &'a mut ItemBudget) -> Self {
        let place = argument.place;
        let width = usize::try_from(place.end.column.saturating_sub(place.start.column)).unwrap_or_default();
        let is_verbatim = place.start.line == place.end.line && width == argument.text.chars().count();
        Self { argument, at: 0, helm, budget, opaque: None, is_verbatim, counted: Cell::new((0, place.start.column)) }
    }

    /// Whether a shell or a template fills in a part of the argument before Helm sees it.
    fn is_filled_in(&self, text: &str) -> bool {
        !self.argument.verbatim && is_templated(text)
    }

    fn text_or_unknown(&self, text: String) -> Value {
        if self.is_filled_in(&text) { unknown(&text) } else { Value::String(text.into()) }
    }

    fn is_literal(&self) -> bool {
        self.argument.kind == SetKind::SetLiteral
    }

    /// Helm 4 takes a whole JSON object for `--set-json` and merges it.
    fn whole_object(&self) -> Option<Result<Table, SetError>> {
        let trimmed = self.argument.text.trim();
        if self.argument.kind != SetKind::SetJson || self.helm == HelmMajor::Three || !trimmed.starts_with('{') {
            return None;
        }
        let offset = self.argument.text.len() - self.argument.text.trim_start().len();
        let origin = |start: usize, end: usize| self.origin(offset + start, offset + end);
        Some(match json::read(trimmed, &origin) {
            Ok(Node { value: Value::Table(table), .. }) => Ok(Arc::unwrap_or_clone(table)),
            Ok(_) => Err(SetError { reason: "the JSON is not an object".into(), at: 0 }),
            Err(error) => Err(SetError { reason: error.to_string(), at: offset + error.at }),
        })
    }

    fn next(&mut self) -> Option<char> {
        let c = self.argument.text.get(self.at..)?.chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.argument.text.get(self.at..)?.chars().next()
    }

    fn error<T>(&self, at: usize, reason: impl Into<String>) -> Result<T, SetError> {
        Err(SetError { reason: reason.into(), at })
    }

    /// The characters up to one of `stops`, and which it was; none at the text's end. A backslash takes the next character as it is, but not in a literal.
    fn until(&mut self, stops: &[char]) -> (String, Option<char>) {
        let mut text = String::new();
        while let Some(c) = self.next() {
            if stops.contains(&c) {
                return (text, Some(c));
            }
            if c == '\\' && !self.is_literal() {
                match self.next() {
                    Some(escaped) => text.push(escaped),
                    None => return (text, None),
                }
            } else {
                text.push(c);
            }
        }
        (text, None)
    }

    fn key(&mut self, table: &mut Table, names: usize, lists: usize) -> Result<Flow, SetError> {
        let start = self.at;
        let stops: &[char] = if self.is_literal() { &['=', '[', '.'] } else { &['=', '[', ',', '.'] };
        let (key, stop) = self.until(stops);
        let key_end = self.at - usize::from(stop.is_some());
        if self.is_filled_in(&key) {
            self.opaque = Some(format!("a name in `{}` is filled in before Helm reads it", shorten(self.argument.text)).into());
            self.at = self.argument.text.len();
            return Ok(Flow::End);
        }
        match stop {
            None if key.is_empty() => Ok(Flow::End),
            None => self.error(start, format!("key {key:?} has no value")),
            Some('[') => {
                let Some(index) = self.index()? else {
                    return Ok(Flow::End);
                };
                let mut fresh = Arc::default();
                let origin = self.origin(start, key_end);
                let list = match table.entries.get_mut(key.as_str()) {
                    None => &mut fresh,
                    Some(Entry { node: Node { value: Value::List(list), .. }, .. }) => list,
                    // What is set inside a list that cannot be seen leaves it unseen.
                    Some(Entry { node: Node { value: Value::Unknown(_), .. }, .. }) => &mut fresh,
                    Some(_) => return self.error(start, format!("{key:?} is set already and is not a list")),
                };
                let flow = self.item(Arc::make_mut(list), index, names, lists + 1)?;
                if !table.entries.contains_key(key.as_str()) {
                    set(table, key, Entry { key: origin.clone(), node: Node { value: Value::List(fresh), origin } });
                }
                Ok(flow)
            }
            Some('=') => {
                let (node, flow) = self.given()?;
                set(table, key, Entry { key: self.origin(start, key_end), node });
                Ok(flow)
            }
            Some(',') => self.error(start, format!("key {key:?} has no value (cannot end with ,)")),
            Some(_) => {
                if names + 1 > MAX_NESTED_NAMES {
                    return self.error(start, format!("the name is nested more than {MAX_NESTED_NAMES} levels deep"));
                }
                self.inner_table(table, &key, start, key_end, names + 1, lists)
            }
        }
    }

    /// `key.` was read: goes on inside its table.
    fn inner_table(&mut self, table: &mut Table, key: &str, start: usize, key_end: usize, names: usize, lists: usize) -> Result<Flow, SetError> {
        let origin = self.origin(start, key_end);
        let mut fresh = Arc::new(Table { entries: Entries::new(), rest_unknown: table.rest_unknown.clone() });
        let inner = match table.entries.get_mut(key) {
            None => &mut fresh,
            Some(Entry { node, .. }) => {
                if let Value::Unknown(reason) = &node.value {
                    node.value = Value::Table(Arc::new(Table { rest_unknown: Some(Arc::clone(reason)), ..Table::default() }));
                }
                match &mut node.value {
                    Value::Table(inner) => inner,
                    _ => return self.error(start, format!("{key:?} is set already and is not a table")),
                }
            }
        };
        let flow = self.key(Arc::make_mut(inner), names, lists)?;
        if flow == Flow::More && inner.entries.is_empty() {
            return self.error(start, format!("key map {key:?} has no value"));
        }
        if !table.entries.contains_key(key) && !fresh.entries.is_empty() {
            set(table, key.to_owned(), Entry { key: origin.clone(), node: Node { value: Value::Table(fresh), origin } });
        }
        Ok(flow)
    }

    /// The index up to `]`. Nothing where the text ends before: Helm 4 takes that for the text's end, Helm 3 refuses it.
    fn index(&mut self) -> Result<Option<usize>, SetError> {
        let start = self.at;
        let (text, stop) = self.until(&[']']);
        if stop.is_none() {
            return match self.helm {
                HelmMajor::Three => self.error(start, "an index does not end with ]"),
                HelmMajor::Four => Ok(None),
            };
        }
        match text.parse::<i64>() {
            Ok(index) if index < 0 => self.error(start, format!("negative {index} index not allowed")),
            Ok(index) => Ok(Some(usize::try_from(index).unwrap_or(usize::MAX))),
            Err(_) => self.error(start, format!("{text:?} is no index")),
        }
    }

    /// `[index]` was read: goes on with what follows.
    fn item(&mut self, list: &mut Vec<Node>, index: usize, names: usize, lists: usize) -> Result<Flow, SetError> {
        let start = self.at;
        if lists > MAX_NESTED_LISTS {
            return self.error(start, format!("more than {MAX_NESTED_LISTS} indexes"));
        }
        let (text, stop) = self.until(&['[', '.', '=']);
        if !text.is_empty() {
            return self.error(start, format!("unexpected data at end of array index: {text:?}"));
        }
        match stop {
            None => Ok(Flow::End),
            Some('=') => {
                let (node, _) = self.given()?;
                self.place_item(list, index, node, start)?;
                Ok(Flow::More)
            }
            Some('[') => {
                let Some(next) = self.index()? else {
                    return Ok(Flow::End);
                };
                let mut inner = match list.get_mut(index).map(|node| &mut node.value) {
                    None | Some(Value::Null) => Arc::default(),
                    Some(Value::List(inner)) => std::mem::take(inner),
                    Some(Value::Unknown(_)) => return self.item(&mut Vec::new(), next, names, lists + 1),
                    Some(_) => return self.error(start, format!("item {index} is set already and is not a list")),
                };
                let flow = self.item(Arc::make_mut(&mut inner), next, names, lists + 1)?;
                // At the text's end Helm keeps the outer list as it was.
                if flow == Flow::More {
                    self.place_item(list, index, Node { value: Value::List(inner), origin: self.origin(start, start) }, start)?;
                } else if let Some(node) = list.get_mut(index).filter(|node| matches!(node.value, Value::List(_))) {
                    node.value = Value::List(inner);
                }
                Ok(flow)
            }
            Some(_) => {
                let origin = self.origin(start, start);
                if let Some(node) = list.get_mut(index) {
                    // In place: what was read before the text's end stays.
                    if !matches!(node.value, Value::Table(_)) {
                        let rest_unknown = if let Value::Unknown(reason) = &node.value { Some(Arc::clone(reason)) } else { None };
                        *node = Node { value: Value::Table(Arc::new(Table { rest_unknown, ..Table::default() })), origin };
                    }
                    let Value::Table(inner) = &mut node.value else {
                        return Ok(Flow::End);
                    };
                    return self.key(Arc::make_mut(inner), names, lists);
                }
                let mut inner = Table::default();
                let flow = self.key(&mut inner, names, lists)?;
                if flow == Flow::More {
                    self.place_item(list, index, Node { value: Value::Table(Arc::new(inner)), origin }, start)?;
                }
                Ok(flow)
            }
        }
    }

    fn place_item(&mut self, list: &mut Vec<Node>, index: usize, node: Node, at: usize) -> Result<(), SetError> {
        if index > MAX_INDEX {
            return self.error(at, format!("index of {index} is greater than maximum supported index of {MAX_INDEX}"));
        }
        if list.len() <= index {
            match self.budget.0.checked_sub(index + 1 - list.len()) {
                Some(left) => self.budget.0 = left,
                None => return self.error(at, "too many list items"),
            }
            let origin = node.origin.clone();
            list.resize(index + 1, Node { value: Value::Null, origin });
        }
        if let Some(slot) = list.get_mut(index) {
            *slot = node;
        }
        Ok(())
    }

    /// What stands after `=`, and whether the text ended with nothing there.
    fn given(&mut self) -> Result<(Node, Flow), SetError> {
        let start = self.at;
        match self.argument.kind {
            SetKind::SetJson => self.json_value(start).map(|node| (node, Flow::More)),
            SetKind::SetLiteral => {
                let (text, _) = self.until(&[]);
                Ok((Node { value: self.text_or_unknown(text), origin: self.origin(start, self.at) }, Flow::More))
            }
            SetKind::Set | SetKind::SetString | SetKind::SetFile => match self.list()? {
                Given::List(items) => Ok((Node { value: Value::List(Arc::new(items)), origin: self.origin(start, self.at) }, Flow::More)),
                Given::Nothing => Ok((Node { value: Value::String("".into()), origin: self.origin(start, self.at) }, Flow::End)),
                Given::NotAList => {
                    let (text, stop) = self.until(&[',']);
                    let end = self.at - usize::from(stop.is_some());
                    Ok((Node { value: self.typed(text, start)?, origin: self.origin(start, end) }, Flow::More))
                }
            },
        }
    }

    fn json_value(&mut self, start: usize) -> Result<Node, SetError> {
        if self.skip_blanks_and_comma() {
            return Ok(Node { value: Value::Null, origin: self.origin(start, self.at) });
        }
        let from = self.at;
        let rest = self.argument.text.get(from..).unwrap_or_default();
        let origin = |start: usize, end: usize| self.origin(from + start, from + end);
        match json::read_prefix(rest, &origin) {
            Ok((node, length)) => {
                self.at = from + length;
                self.skip_blanks_and_comma();
                Ok(if self.argument.verbatim { node } else { hide_templates(node) })
            }
            Err(_) if self.is_filled_in(rest) => {
                self.at = self.argument.text.len();
                Ok(Node { value: unknown(rest), origin: self.origin(from, self.at) })
            }
            Err(error) => self.error(from + error.at, error.reason),
        }
    }

    /// Takes blanks and the comma or the end after them: true when nothing else came first.
    fn skip_blanks_and_comma(&mut self) -> bool {
        loop {
            match self.peek() {
                None => return true,
                Some(',') => {
                    self.at += 1;
                    return true;
                }
                Some(c) if c.is_whitespace() => self.at += c.len_utf8(),
                Some(_) => return false,
            }
        }
    }

    fn list(&mut self) -> Result<Given, SetError> {
        match self.peek() {
            None => return Ok(Given::Nothing),
            Some('{') if self.argument.verbatim || !self.argument.text.get(self.at..).is_some_and(|rest| rest.starts_with("{{")) => self.at += 1,
            Some(_) => return Ok(Given::NotAList),
        }
        let mut items = Vec::new();
        loop {
            let start = self.at;
            let (text, stop) = self.until(&[',', '}']);
            let end = self.at - usize::from(stop.is_some());
            if stop.is_none() {
                return self.error(start, "list must terminate with '}'");
            }
            items.push(Node { value: self.typed(text, start)?, origin: self.origin(start, end) });
            if stop == Some('}') {
                if self.peek() == Some(',') {
                    self.at += 1;
                }
                return Ok(Given::List(items));
            }
        }
    }

    /// The value of a text by the flag's rules.
    fn typed(&self, text: String, at: usize) -> Result<Value, SetError> {
        Ok(match self.argument.kind {
            SetKind::SetFile if text.is_empty() => return self.error(at, "no file is named"),
            SetKind::SetFile => match (self.argument.files)(&text) {
                Some(contents) => Value::String(contents),
                None => Value::Unknown("the file of `--set-file` was not read".into()),
            },
            SetKind::Set => typed(&text).unwrap_or_else(|| self.text_or_unknown(text)),
            SetKind::SetString | SetKind::SetJson | SetKind::SetLiteral => self.text_or_unknown(text),
        })
    }

    /// The origin of a range of bytes of the text. Where the text stands in its file as it is, columns are counted along; else it is the whole argument.
    fn origin(&self, start: usize, end: usize) -> Origin {
        let place = self.argument.place;
        if !self.is_verbatim {
            return Origin::At(place.clone());
        }
        let at = |byte: usize| Position { line: place.start.line, column: self.column(byte) };
        Origin::At(Place { file: Arc::clone(&place.file), start: at(start), end: at(end) })
    }

    fn column(&self, at: usize) -> u32 {
        let (byte, column) = self.counted.get();
        let (byte, column) = if byte <= at { (byte, column) } else { (0, self.argument.place.start.column) };
        let between = self.argument.text.get(byte..at).unwrap_or_default().chars().count();
        let column = column.saturating_add(u32::try_from(between).unwrap_or(u32::MAX));
        self.counted.set((at, column));
        column
    }
}

/// Sets a key; the empty key is never set.
fn set(table: &mut Table, key: String, entry: Entry) {
    if !key.is_empty() {
        table.entries.insert(key.into(), entry);
    }
}

fn unknown(text: &str) -> Value {
    Value::Unknown(format!("`{}` is filled in before Helm reads it", shorten(text)).into())
}

fn shorten(text: &str) -> &str {
    text.char_indices().nth(60).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

fn hide_templates(node: Node) -> Node {
    let value = match node.value {
        Value::String(text) if is_templated(&text) => unknown(&text),
        Value::List(items) => Value::List(Arc::new(Arc::unwrap_or_clone(items).into_iter().map(hide_templates).collect())),
        Value::Table(table) => {
            let mut table = Arc::unwrap_or_clone(table);
            for entry in table.entries.values_mut() {
                let bare = Node { value: Value::Null, origin: Origin::ChartDefault };
                entry.node = hide_templates(std::mem::replace(&mut entry.node, bare));
            }
            Value::Table(Arc::new(table))
        }
        value => value,
    };
    Node { value, origin: node.origin }
}

/// A `--set` value that is no text: switches, null and decimal whole numbers; `0644` and `1.5` stay texts.
fn typed(text: &str) -> Option<Value> {
    // Go folds the long s too when it ignores case.
    let folded: String = text.chars().take(6).map(|c| if c == 'ſ' { 's' } else { c.to_ascii_lowercase() }).collect();
    match folded.as_str() {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        "null" => Some(Value::Null),
        "0" => Some(Value::Int(0)),
        _ if text.starts_with('0') => None,
        _ => text.parse().ok().map(Value::Int),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_in(kind: SetKind, text: &str, values: &mut Table, helm: HelmMajor) -> Result<(), SetError> {
        let place = Place::file_start(&"-".into());
        apply(&Argument { kind, text, place: &place, files: &|_| None, verbatim: false }, values, helm, &mut ItemBudget::default())
    }

    fn show(value: &Value) -> String {
        match value {
            Value::Null => "null".into(),
            Value::Bool(v) => v.to_string(),
            Value::Int(v) => v.to_string(),
            Value::Float(v) => v.to_string(),
            Value::String(v) => format!("{v:?}"),
            Value::List(v) => format!("[{}]", v.iter().map(|n| show(&n.value)).collect::<Vec<_>>().join(",")),
            Value::Table(v) => show_table(v),
            Value::Unknown(_) => "?".into(),
        }
    }

    fn show_table(table: &Table) -> String {
        format!("{{{}}}", table.entries.iter().map(|(k, e)| format!("{k}:{}", show(&e.node.value))).collect::<Vec<_>>().join(","))
    }

    fn set(text: &str) -> String {
        of(SetKind::Set, text, HelmMajor::Three)
    }

    fn of(kind: SetKind, text: &str, helm: HelmMajor) -> String {
        let mut table = Table::default();
        match set_in(kind, text, &mut table, helm) {
            Ok(()) => show_table(&table),
            Err(error) => format!("error at {}: {}", error.at, error.reason),
        }
    }

    #[test]
    fn names_lists_and_types_are_read_as_helm_reads_them() {
        assert_eq!(set("a.b[0].c={x,1},d=TRUE,e=null"), r#"{a:{b:[{c:["x",1]}]},d:true,e:null}"#);
        assert_eq!(set("a=0644,b=1.5,c=-3,d=0,e=+7,f="), r#"{a:"0644",b:"1.5",c:-3,d:0,e:7,f:""}"#);
        assert_eq!(set(r"a\.b=c\,d,e=\\"), r#"{a.b:"c,d",e:"\\"}"#);
        assert_eq!(set("a[2]=x"), r#"{a:[null,null,"x"]}"#);
        assert_eq!(set("a[0][1]=x"), r#"{a:[[null,"x"]]}"#);
        assert_eq!(set("a={}"), r#"{a:[""]}"#);
    }

    #[test]
    fn errors_name_the_place_in_the_text() {
        assert_eq!(set("a=1,b"), "error at 4: key \"b\" has no value");
        assert_eq!(set("a,b=1"), "error at 0: key \"a\" has no value (cannot end with ,)");
        assert_eq!(set("a={x"), "error at 3: list must terminate with '}'");
        assert_eq!(set("a[-1]=x"), "error at 2: negative -1 index not allowed");
        assert_eq!(set("a[65537]=x"), "error at 8: index of 65537 is greater than maximum supported index of 65536");
        assert!(set(&format!("{}=1", vec!["a"; 32].join("."))).contains("nested"));
        assert!(set("a=1,a.b=2").contains("is not a table"));
    }

    #[test]
    fn an_open_index_is_refused_by_helm_3_and_ignored_by_helm_4() {
        assert!(set("a[0").starts_with("error"));
        assert_eq!(of(SetKind::Set, "a[0", HelmMajor::Four), "{}");
    }

    #[test]
    fn short_texts_cannot_make_endless_lists() {
        let text: Vec<String> = (0..100).map(|i| format!("a{i}[65536]=x")).collect();
        assert!(set(&text.join(",")).contains("too many list items"));
        assert!(set(&format!("a{}=1", "[0]".repeat(100_000))).contains("indexes"));
    }

    #[test]
    fn a_literal_keeps_everything_after_the_equals_sign() {
        assert_eq!(of(SetKind::SetLiteral, r"a.b=c,d=\e", HelmMajor::Three), r#"{a:{b:"c,d=\\e"}}"#);
    }

    #[test]
    fn json_values_stand_in_one_text() {
        assert_eq!(of(SetKind::SetJson, r#"a={"x":[1,null]} ,b=,c=2"#, HelmMajor::Three), "{a:{x:[1,null]},b:null,c:2}");
        assert_eq!(of(SetKind::SetJson, r#"{"a":{"b":1}}"#, HelmMajor::Four), "{a:{b:1}}");
        assert!(of(SetKind::SetJson, r#"{"a":{"b":1}}"#, HelmMajor::Three).starts_with("error"));
    }

    #[test]
    fn variables_are_unknown() {
        assert_eq!(set("image.tag=$TAG,a=v${B},c=$(date),d=5$"), r#"{a:?,c:?,d:"5$",image:{tag:?}}"#);
        assert_eq!(of(SetKind::SetJson, "a=$JSON", HelmMajor::Three), "{a:?}");
        assert_eq!(of(SetKind::SetFile, "a=f.txt", HelmMajor::Three), "{a:?}");
        let mut table = Table::default();
        set_in(SetKind::Set, "a=1,$KEY=2", &mut table, HelmMajor::Three).unwrap();
        assert!(table.entries.is_empty() && table.rest_unknown.is_some());
    }

    #[test]
    fn what_reaches_helm_as_it_is_has_no_variables() {
        let place = Place::file_start(&"-".into());
        let mut table = Table::default();
        let files = |name: &str| Some(Arc::from(name.to_uppercase()));
        for (kind, text) in [(SetKind::Set, "a=$TAG,$b={`x`}"), (SetKind::SetFile, "f={x,y}")] {
            apply(&Argument { kind, text, place: &place, files: &files, verbatim: true }, &mut table, HelmMajor::Three, &mut ItemBudget::default()).unwrap();
        }
        assert_eq!(show_table(&table), r#"{$b:["`x`"],a:"$TAG",f:["X","Y"]}"#);
    }

    #[test]
    fn columns_are_counted_along_the_text() {
        let place = Place { file: "x.sh".into(), start: Position { line: 3, column: 10 }, end: Position { line: 3, column: 17 } };
        let mut table = Table::default();
        apply(
            &Argument { kind: SetKind::Set, text: "a=1,b=2", place: &place, files: &|_| None, verbatim: false },
            &mut table,
            HelmMajor::Three,
            &mut ItemBudget::default(),
        )
        .unwrap();
        let entry = table.entries.get("b").unwrap();
        assert_eq!(entry.node.origin.place().unwrap().to_string(), "x.sh:3:16");
        assert_eq!(entry.key.place().unwrap().start.column, 14);
    }
}
