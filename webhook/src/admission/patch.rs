//! JSON patches on an object: each change once, in a fixed order, and none where the object is so already.

use serde_json::{Map, Value, json};

/// Collects changes of one object.
#[derive(Debug)]
pub struct Patching<'o> {
    object: &'o Value,
    annotations: Map<String, Value>,
    operations: Vec<Value>,
}

impl<'o> Patching<'o> {
    /// Nothing is changed yet.
    #[must_use]
    pub fn new(object: &'o Value) -> Self {
        let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object).cloned().unwrap_or_default();
        Self { object, annotations, operations: Vec::new() }
    }

    /// Puts a value at a JSON pointer whose parent exists (or is made by an earlier call).
    pub fn set(&mut self, pointer: &str, value: Value) {
        if self.object.pointer(pointer) != Some(&value) {
            self.operations.push(json!({"op": "add", "path": pointer, "value": value}));
        }
    }

    /// Takes a value away, if it is there.
    pub fn remove(&mut self, pointer: &str) {
        if self.object.pointer(pointer).is_some() {
            self.operations.push(json!({"op": "remove", "path": pointer}));
        }
    }

    /// Sets an annotation.
    pub fn annotate(&mut self, name: &str, value: &str) {
        self.annotations.insert(name.to_owned(), value.into());
    }

    /// Takes an annotation away.
    pub fn unannotate(&mut self, name: &str) {
        self.annotations.remove(name);
    }

    /// Sets an annotation to what there is to say, or takes it away where there is nothing.
    pub fn note(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.annotate(name, value),
            None => self.unannotate(name),
        }
    }

    /// Sets a label.
    pub fn label(&mut self, name: &str, value: &str) {
        const LABELS: &str = "/metadata/labels";
        let is_made = |operation: &Value| operation.get("path").is_some_and(|path| path == LABELS);
        if self.object.pointer(LABELS).is_none() && !self.operations.iter().any(is_made) {
            self.set(LABELS, json!({}));
        }
        self.set(&format!("{LABELS}/{}", escape(name)), value.into());
    }

    /// Takes a label away.
    pub fn unlabel(&mut self, name: &str) {
        self.remove(&format!("/metadata/labels/{}", escape(name)));
    }

    /// The patch; empty where nothing differs.
    #[must_use]
    pub fn finish(mut self) -> json_patch::Patch {
        let before = self.object.pointer("/metadata/annotations").and_then(Value::as_object);
        match before {
            None if self.annotations.is_empty() => {}
            None => self.operations.push(json!({"op": "add", "path": "/metadata/annotations", "value": self.annotations})),
            Some(before) => {
                for name in before.keys().filter(|name| !self.annotations.contains_key(*name)) {
                    self.operations.push(json!({"op": "remove", "path": format!("/metadata/annotations/{}", escape(name))}));
                }
                for (name, value) in &self.annotations {
                    if before.get(name) != Some(value) {
                        self.operations.push(json!({"op": "add", "path": format!("/metadata/annotations/{}", escape(name)), "value": value}));
                    }
                }
            }
        }
        serde_json::from_value(Value::Array(self.operations)).unwrap_or_default()
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_does_what_was_asked_and_nothing_twice() {
        let mut object = json!({"metadata": {"annotations": {"a/b": "1", "gone": "x"}}, "spec": {"paused": false}});
        let mut patching = Patching::new(&object);
        patching.set("/spec/paused", json!(true));
        patching.annotate("a/b", "1");
        patching.annotate("new", "2");
        patching.unannotate("gone");
        patching.remove("/spec/absent");
        let patch = patching.finish();
        assert_eq!(patch.0.len(), 3);
        json_patch::patch(&mut object, &patch).unwrap();
        assert_eq!(object, json!({"metadata": {"annotations": {"a/b": "1", "new": "2"}}, "spec": {"paused": true}}));
        let mut again = Patching::new(&object);
        again.set("/spec/paused", json!(true));
        again.annotate("new", "2");
        assert!(again.finish().0.is_empty());
    }

    #[test]
    fn annotations_are_made_where_there_are_none() {
        let mut object = json!({"metadata": {"name": "m"}});
        let mut patching = Patching::new(&object);
        patching.annotate("a/b", "1");
        let patch = patching.finish();
        json_patch::patch(&mut object, &patch).unwrap();
        assert_eq!(object["metadata"]["annotations"]["a/b"], "1");
    }
}
