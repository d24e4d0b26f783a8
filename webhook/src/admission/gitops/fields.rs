//! An object as a text for readers, and the JSON path of each of its lines.

use serde_json::Value;

/// JSON paths by line.
#[derive(Debug, Default)]
pub(super) struct Fields {
    paths: Vec<String>,
}

impl Fields {
    /// The object as text, one scalar a line.
    pub(super) fn write(object: &Value) -> (String, Self) {
        let mut paths = vec![String::new()];
        walk(object, &mut String::new(), &mut paths);
        (serde_json::to_string_pretty(object).unwrap_or_default(), Self { paths })
    }

    /// The path of a line, from 1.
    pub(super) fn path(&self, line: u32) -> Option<String> {
        let at = usize::try_from(line).ok()?.checked_sub(1)?;
        self.paths.get(at).filter(|path| !path.is_empty()).cloned()
    }
}

/// Adds a path for each line that the pretty form of a value has after its first.
fn walk(value: &Value, path: &mut String, paths: &mut Vec<String>) {
    let length = path.len();
    match value {
        Value::Object(table) if !table.is_empty() => {
            for (key, inner) in table {
                if key.contains(['.', '/']) {
                    path.push_str(&format!("[{key}]"));
                } else {
                    path.push_str(if length == 0 { "" } else { "." });
                    path.push_str(key);
                }
                paths.push(path.clone());
                walk(inner, path, paths);
                path.truncate(length);
            }
            paths.push(path.clone());
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, inner) in items.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                paths.push(path.clone());
                walk(inner, path, paths);
                path.truncate(length);
            }
            paths.push(path.clone());
        }
        _ => {}
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
        assert_eq!(text.lines().count(), fields.paths.len());
        let line = |needle: &str| u32::try_from(text.lines().position(|line| line.contains(needle)).unwrap() + 1).unwrap();
        assert_eq!(fields.path(line("\"c\"")).as_deref(), Some("a.b[1].c"));
        assert_eq!(fields.path(line("d.e/f")).as_deref(), Some("a[d.e/f]"));
        assert_eq!(fields.path(line("\"z\"")).as_deref(), Some("z"));
        assert_eq!((fields.path(1), fields.path(0), fields.path(99)), (None, None, None));
    }
}
