//! Value paths with `*`: which entries of a tree they name; and values as findings print them.

use crate::model::place::Origin;
use crate::model::value::{Entry, Node, Value, escape_key};
use crate::policy::condition::ValuePath;
use crate::policy::text::is_secret;

/// Calls `visit` for every entry that a pattern names, with its path.
pub(crate) fn each_match<'a>(root: &'a Node, pattern: &ValuePath, visit: &mut dyn FnMut(&str, &'a Entry)) {
    step(root, &pattern.keys, &mut String::new(), visit);
}

fn step<'a>(node: &'a Node, keys: &[String], prefix: &mut String, visit: &mut dyn FnMut(&str, &'a Entry)) {
    let (Some((key, rest)), Value::Table(table)) = (keys.split_first(), &node.value) else { return };
    let mut one = |name: &str, entry: &'a Entry| {
        let length = prefix.len();
        if length > 0 {
            prefix.push('.');
        }
        prefix.push_str(&escape_key(name));
        if rest.is_empty() {
            visit(prefix, entry);
        } else {
            step(&entry.node, rest, prefix, visit);
        }
        prefix.truncate(length);
    };
    if key == "*" {
        for (name, entry) in &table.entries {
            one(name, entry);
        }
    } else if let Some(entry) = table.entries.get(key.as_str()) {
        one(key, entry);
    }
}

/// A value as findings print it: scalars as written, long ones cut; nothing that may be secret.
#[must_use]
pub(crate) fn printed(path: &str, value: &Value, origin: &Origin) -> String {
    const MAX_CHARACTERS: usize = 60;
    if let Some(secret) = origin.secret() {
        return format!("a value from {secret}");
    }
    if is_secret(path) {
        return "a value that is not shown".to_owned();
    }
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) if text.chars().count() > MAX_CHARACTERS || text.contains('\n') => "a longer text".to_owned(),
        Value::String(text) => text.to_string(),
        Value::List(items) => format!("a list of {}", items.len()),
        Value::Table(table) => format!("a table of {}", table.entries.len()),
        Value::Unknown(_) => "unknown".to_owned(),
    }
}
