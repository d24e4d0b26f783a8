//! An object as a text for readers, and the JSON path of each of its lines.

use serde::Serialize as _;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value};

/// What readers look at of an object; tells the JSON path of a line of its text.
#[derive(Debug, Default)]
pub(super) struct Fields {
    object: Value,
}

impl Fields {
    /// The object as text: one scalar a line, not indented, without what tools note down for themselves.
    pub(super) fn write(object: &Value) -> (String, Self) {
        let object = without_notes(object);
        let mut text = Vec::with_capacity(8 << 10);
        let written = object.serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"")));
        let text = written.ok().and_then(|()| String::from_utf8(text).ok()).unwrap_or_default();
        (text, Self { object })
    }

    /// The path of a line, from 1.
    pub(super) fn path(&self, line: u32) -> Option<String> {
        // The first line begins the object itself.
        let mut lines = usize::try_from(line).ok()?.checked_sub(2)?;
        let mut path = String::new();
        (find(&self.object, &mut path, &mut lines) && !path.is_empty()).then_some(path)
    }
}

/// An object without its status, and without who manages which field: most of it, and not read.
fn without_notes(object: &Value) -> Value {
    let without =
        |table: &Map<String, Value>, name: &str| table.iter().filter(|(key, _)| *key != name).map(|(key, value)| (key.clone(), value.clone())).collect();
    let Some(table) = object.as_object() else { return object.clone() };
    let part = |(key, value): (&String, &Value)| match value {
        _ if key == "status" => None,
        Value::Object(metadata) if key == "metadata" => Some((key.clone(), Value::Object(without(metadata, "managedFields")))),
        value => Some((key.clone(), value.clone())),
    };
    Value::Object(table.iter().filter_map(part).collect())
}

/// Goes on by `lines` lines of a value's text after its first; whether the line is in it. `path` is then that line's.
fn find(value: &Value, path: &mut String, lines: &mut usize) -> bool {
    let length = path.len();
    let is_it = |path: &mut String, inner: Option<&Value>, lines: &mut usize| {
        let Some(left) = lines.checked_sub(1) else { return true };
        *lines = left;
        inner.is_some_and(|inner| find(inner, path, lines))
    };
    match value {
        Value::Object(table) if !table.is_empty() => {
            for (key, inner) in table {
                if key.contains(['.', '/']) {
                    path.push_str(&format!("[{key}]"));
                } else {
                    path.push_str(if length == 0 { "" } else { "." });
                    path.push_str(key);
                }
                if is_it(path, Some(inner), lines) {
                    return true;
                }
                path.truncate(length);
            }
            is_it(path, None, lines)
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, inner) in items.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                if is_it(path, Some(inner), lines) {
                    return true;
                }
                path.truncate(length);
            }
            is_it(path, None, lines)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_line_has_its_path() {
        let object = json!({"a": {"b": [1, {"c": "x"}], "e": {}, "d.e/f": []}, "z": null});
        let (text, fields) = Fields::write(&object);
        let line = |needle: &str| u32::try_from(text.lines().position(|line| line.contains(needle)).unwrap() + 1).unwrap();
        assert_eq!(fields.path(line("\"c\"")).as_deref(), Some("a.b[1].c"));
        assert_eq!(fields.path(line("d.e/f")).as_deref(), Some("a[d.e/f]"));
        assert_eq!(fields.path(line("\"z\"")).as_deref(), Some("z"));
        assert_eq!((fields.path(1), fields.path(0), fields.path(99)), (None, None, None));
    }
}
