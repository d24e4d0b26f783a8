//! Prints Helm values as YAML or JSON, keys sorted as Helm prints them, and where each value comes from.

use std::fmt::Write as _;

use milvus_guard::model::place::Origin;
use milvus_guard::model::value::{Entry, Node, Table, Value};

/// Words that a reader of YAML 1.1 takes for something else than text.
const WORDS: [&str; 15] = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", "+.inf", "-.inf", ".nan"];

/// Values as YAML; with `origin`, each leaf is followed by a comment that tells where it comes from.
pub(crate) fn yaml(values: &Node, origin: Option<&dyn Fn(&Origin) -> String>) -> String {
    let mut printer = Printer { out: String::new(), origin };
    match &values.value {
        Value::Table(table) if !table.entries.is_empty() => printer.table(table, 0),
        _ => {
            printer.leaf(values, 0);
        }
    }
    printer.out
}

struct Printer<'o> {
    out: String,
    origin: Option<&'o dyn Fn(&Origin) -> String>,
}

impl Printer<'_> {
    fn table(&mut self, table: &Table, depth: usize) {
        for (key, Entry { node, .. }) in &table.entries {
            self.indent(depth);
            self.key(key, node, depth);
        }
    }

    /// `key: value`, at a place that is already indented.
    fn key(&mut self, key: &str, node: &Node, depth: usize) {
        self.out.push_str(&scalar_text(key));
        self.out.push(':');
        match &node.value {
            Value::Table(table) if !table.entries.is_empty() => {
                self.out.push('\n');
                self.table(table, depth + 1);
            }
            Value::List(items) if !items.is_empty() => {
                self.comment(&node.origin);
                self.out.push('\n');
                self.list(items, depth);
            }
            _ => {
                self.out.push(' ');
                self.leaf(node, depth);
            }
        }
    }

    fn list(&mut self, items: &[Node], depth: usize) {
        for item in items {
            self.indent(depth);
            self.out.push_str("- ");
            match &item.value {
                Value::Table(table) if !table.entries.is_empty() => {
                    for (i, (key, Entry { node, .. })) in table.entries.iter().enumerate() {
                        if i > 0 {
                            self.indent(depth + 1);
                        }
                        self.key(key, node, depth + 1);
                    }
                }
                Value::List(inner) if !inner.is_empty() => {
                    // A list in a list stands on lines of its own, so that no column has to be counted.
                    self.out.truncate(self.out.trim_end_matches(' ').len());
                    self.out.push('\n');
                    self.list(inner, depth + 1);
                }
                _ => self.leaf(item, depth),
            }
        }
    }

    /// A scalar or an empty collection, with the end of its line.
    fn leaf(&mut self, node: &Node, depth: usize) {
        if let Value::String(text) = &node.value
            && let Some(header) = block_header(text)
        {
            self.out.push_str(header);
            self.comment(&node.origin);
            self.out.push('\n');
            for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                if !line.is_empty() {
                    self.indent(depth + 1);
                    self.out.push_str(line);
                }
                self.out.push('\n');
            }
            return;
        }
        let text = match &node.value {
            Value::Null => "null".to_owned(),
            Value::Bool(switch) => switch.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => go_float(*number),
            Value::String(text) => scalar_text(text),
            Value::List(_) => "[]".to_owned(),
            Value::Table(_) => "{}".to_owned(),
            Value::Unknown(reason) => scalar_text(&unknown(reason)),
        };
        self.out.push_str(&text);
        self.comment(&node.origin);
        self.out.push('\n');
    }

    fn comment(&mut self, origin: &Origin) {
        if let Some(words) = self.origin {
            self.out.push_str("  # ");
            self.out.push_str(&words(origin));
        }
    }

    fn indent(&mut self, depth: usize) {
        for _ in 0..depth {
            self.out.push_str("  ");
        }
    }
}

/// What stands for a value that cannot be known.
fn unknown(reason: &str) -> String {
    format!("<unknown: {reason}>")
}

/// How a text of several lines begins as a literal block; `None` when it is none, or a block cannot hold it as it is.
fn block_header(text: &str) -> Option<&'static str> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let fits = body.contains('\n')
        && !body.starts_with([' ', '\n', '\t'])
        && !body.ends_with('\n')
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
        && !body.lines().any(|line| line.ends_with([' ', '\t']));
    fits.then_some(if text.ends_with('\n') { "|" } else { "|-" })
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// A text as a scalar on one line: plain where every reader of YAML takes it for this text, else quoted.
pub(crate) fn scalar_text(text: &str) -> String {
    let is_word = || WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    let begins_harmless = |c: char| c.is_alphabetic() || matches!(c, '_' | '/');
    let is_plain = text.starts_with(begins_harmless)
        && !is_word()
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && text.chars().all(is_printable);
    if is_plain {
        return text.to_owned();
    }
    // JSON's quoting is YAML's, but for what JSON leaves as it is and YAML takes for a line break or a byte order mark.
    let quoted = serde_json::Value::from(text).to_string();
    let mut safe = String::with_capacity(quoted.len());
    for c in quoted.chars() {
        if is_printable(c) {
            safe.push(c);
        } else {
            let _ = write!(safe, "\\u{:04x}", u32::from(c));
        }
    }
    safe
}

/// A number as Helm prints it: whole where it is whole and fits 64 bits, else as Go's `strconv.FormatFloat(f, 'g', -1, 64)`.
fn go_float(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?))) else {
        return if number.is_nan() { ".nan".to_owned() } else { format!("{}.inf", if number < 0.0 { "-" } else { "+" }) };
    };
    let is_whole = number.fract() == 0.0 && number.abs() < 1.8e19;
    if is_whole || (-4..6).contains(&exponent) {
        return format!("{number}");
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Values as JSON.
pub(crate) fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(switch) => Json::from(*switch),
        Value::Int(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::String(text) => Json::from(&**text),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Table(table) => Json::Object(table.entries.iter().map(|(key, entry)| (key.to_string(), json(&entry.node))).collect()),
        Value::Unknown(reason) => Json::from(unknown(reason)),
    }
}

/// The reasons why a table may hold more than is known, with the paths of such tables.
pub(crate) fn unseen(node: &Node) -> Vec<(String, String)> {
    fn visit(node: &Node, path: &str, found: &mut Vec<(String, String)>) {
        let Value::Table(table) = &node.value else { return };
        if let Some(reason) = &table.rest_unknown {
            found.push((path.to_owned(), reason.to_string()));
        }
        for (key, entry) in &table.entries {
            let key = milvus_guard::model::value::escape_key(key);
            visit(&entry.node, &if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }, found);
        }
    }
    let mut found = Vec::new();
    visit(node, "", &mut found);
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use milvus_guard::document::yaml::{Limits, parse_stream};
    use milvus_guard::source::convert::to_values_table;

    use super::*;

    fn read(text: &str) -> Node {
        let file: Arc<str> = "values.yaml".into();
        let root = parse_stream(text, &Limits::default()).remove(0).unwrap().root;
        to_values_table(&file, &root).unwrap()
    }

    #[test]
    fn what_is_printed_reads_as_the_same_values() {
        let source = "a: 1\nb: {c: [], d: {}, e: null}\nlist: [1, [2, [3, {x: y, z: [w]}]], {k: v, l: {m: n}}]\ntexts: ['yes', \"1\", '', 'a: b', 'x #y', '- z', \"tab\\t\", \"\\u2028\", '0x1', '1e3', 'é', '*a', '&b', '!c', '{d', '[e', '%f', '@g']\n\
                      block: |\n  one\n    two\n\n  three\nkept: |-\n  x\n  y\nodd: \"  lead\\nnext\\n\\n\"\n'yes': 1\n'a.b': 2\nnumbers: [1.5, 1e30, -0.000001, 12345678901234567890]\n";
        let values = read(source);
        let printed = yaml(&values, None);
        assert_eq!(json(&read(&printed)), json(&values), "{printed}");
        let with_origins = yaml(&values, Some(&|_: &Origin| "from here".to_owned()));
        assert_eq!(json(&read(&with_origins)), json(&values), "{with_origins}");
    }

    #[test]
    fn values_look_as_helm_prints_them() {
        insta::assert_snapshot!(yaml(&read("b: [1, {x: 1, z: [2]}]\na: {c: null, d: v2.5.16, e: \"true\"}\nscript: |\n  set -e\n  run\n"), None), @r#"
        a:
          c: null
          d: v2.5.16
          e: "true"
        b:
        - 1
        - x: 1
          z:
          - 2
        script: |
          set -e
          run
        "#);
        assert_eq!(yaml(&read("{}"), None), "{}\n");
    }

    #[test]
    fn origins_follow_the_values() {
        let origin = |origin: &Origin| origin.place().map_or_else(|| "default".to_owned(), ToString::to_string);
        insta::assert_snapshot!(yaml(&read("a:\n  b: 1\n  c: [x]\nd: |\n  1\n  2\n"), Some(&origin)), @r"
        a:
          b: 1  # values.yaml:2:6
          c:  # values.yaml:3:6
          - x  # values.yaml:3:7
        d: |  # values.yaml:5:3
          1
          2
        ");
    }

    #[test]
    fn numbers_look_as_go_writes_them() {
        let cases = [
            (1.5, "1.5"),
            (5.0, "5"),
            (1e6, "1000000"),
            (1_234_567.5, "1.2345675e+06"),
            (1e20, "1e+20"),
            (0.00001, "1e-05"),
            (0.0001, "0.0001"),
            (f64::INFINITY, "+.inf"),
        ];
        for (number, text) in cases {
            assert_eq!(go_float(number), text);
        }
    }
}
