//! An object as a text for readers, and the JSON path of each of its lines.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value};

use super::super::outline::{NOTES, STATUS};

/// What readers look at of an object; tells the JSON path of a line of its text.
#[derive(Debug)]
pub(super) struct Fields<'o> {
    pub(super) object: &'o Value,
}

impl<'o> Fields<'o> {
    /// The object as text: one scalar a line, not indented, without what tools note down for themselves.
    pub(super) fn write(object: &'o Value) -> (String, Self) {
        let mut text = Vec::with_capacity(8 << 10);
        let written =
            Part { value: object, level: Level::Object }.serialize(&mut serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"")));
        let text = written.ok().and_then(|()| String::from_utf8(text).ok()).unwrap_or_default();
        (text, Self { object })
    }

    /// The path of a line, from 1.
    pub(super) fn path(&self, line: u32) -> Option<String> {
        // The first line begins the object itself.
        let mut lines = usize::try_from(line).ok()?.checked_sub(2)?;
        let mut path = String::new();
        (Part { value: self.object, level: Level::Object }.find(&mut path, &mut lines) && !path.is_empty()).then_some(path)
    }
}

/// Where in an object a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Object,
    Metadata,
    Below,
}

/// A value of an object. Its status and notes are left out: most of it, not read, and other at each write.
#[derive(Debug, Clone, Copy)]
struct Part<'o> {
    value: &'o Value,
    level: Level,
}

impl<'o> Part<'o> {
    /// The entries of a table that are written.
    fn entries(self, table: &'o Map<String, Value>) -> impl Iterator<Item = (&'o String, Self)> {
        let is_written = move |(key, _): &(&String, &Value)| match self.level {
            Level::Object => *key != STATUS,
            Level::Metadata => !NOTES.contains(&key.as_str()),
            Level::Below => true,
        };
        table.iter().filter(is_written).map(move |(key, value)| {
            let level = if self.level == Level::Object && key == "metadata" { Level::Metadata } else { Level::Below };
            (key, Self { value, level })
        })
    }

    /// Goes on by `lines` lines of a value's text after its first; whether the line is in it. `path` is then that line's.
    fn find(self, path: &mut String, lines: &mut usize) -> bool {
        let length = path.len();
        let is_it = |path: &mut String, inner: Option<Self>, lines: &mut usize| {
            let Some(left) = lines.checked_sub(1) else { return true };
            *lines = left;
            inner.is_some_and(|inner| inner.find(path, lines))
        };
        match self.value {
            Value::Object(table) if self.entries(table).next().is_some() => {
                for (key, inner) in self.entries(table) {
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
                for (at, value) in items.iter().enumerate() {
                    path.push_str(&format!("[{at}]"));
                    if is_it(path, Some(Self { value, level: Level::Below }), lines) {
                        return true;
                    }
                    path.truncate(length);
                }
                is_it(path, None, lines)
            }
            _ => false,
        }
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(table) = self.value.as_object().filter(|_| self.level != Level::Below) else { return self.value.serialize(serializer) };
        let mut map = serializer.serialize_map(Some(self.entries(table).count()))?;
        for (key, part) in self.entries(table) {
            map.serialize_entry(key, &part)?;
        }
        map.end()
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

    #[test]
    fn what_tools_note_down_is_left_out_and_paths_are_those_of_what_is_written() {
        let object = json!({"metadata": {"generation": 7, "managedFields": [{"a": 1}], "name": "m", "uid": "u", "z": {"managedFields": 1, "status": 2}}, "spec": {"x": 1}, "status": {"y": 1}, "z": 3});
        let (text, fields) = Fields::write(&object);
        let wanted = json!({"metadata": {"name": "m", "z": {"managedFields": 1, "status": 2}}, "spec": {"x": 1}, "z": 3});
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), wanted);
        let paths: Vec<Option<String>> = (1..=u32::try_from(text.lines().count()).unwrap()).map(|line| fields.path(line)).collect();
        assert_eq!(paths, (1..=paths.len()).map(|line| Fields::write(&wanted).1.path(u32::try_from(line).unwrap())).collect::<Vec<_>>());
        assert_eq!(fields.path(3).as_deref(), Some("metadata.name"));
        let empty = json!({"metadata": {"managedFields": []}, "z": 1});
        assert_eq!((Fields::write(&empty).1.path(2).as_deref(), Fields::write(&empty).1.path(3).as_deref()), (Some("metadata"), Some("z")));
    }
}
