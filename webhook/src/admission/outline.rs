//! A review's objects as they are written: what of them readers look at, known again without a value being made of it.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::request::Request;

/// What the API server keeps in `metadata` for itself and its clients; no reader looks at it, and it is other at each write.
pub(super) const NOTES: [&str; 5] = ["creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"];

/// What a controller keeps in an object, for the same reasons.
pub(super) const STATUS: &str = "status";

/// Parts of an object and of its metadata; of one that has more nothing is remembered.
const MOST_PARTS: usize = 64;

/// An object in parts: its fields, and those of its metadata, each as it is written. Its status and notes are left out.
///
/// Equal parts make equal values. Where that is not sure (a field given twice, an object that is none), nothing is read.
#[derive(Debug, Default)]
pub struct Outline<'t> {
    is_there: bool,
    parts: Vec<Part<'t>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Part<'t> {
    level: Level,
    key: Cow<'t, str>,
    text: &'t str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Object,
    Metadata,
}

impl<'t> Outline<'t> {
    /// A field of the object, as it is written.
    pub(super) fn field(&self, key: &str) -> Option<&'t str> {
        self.at(Level::Object, key)
    }

    /// A field of its metadata, as it is written.
    pub(super) fn metadata(&self, key: &str) -> Option<&'t str> {
        self.at(Level::Metadata, key)
    }

    fn at(&self, level: Level, key: &str) -> Option<&'t str> {
        self.parts.iter().find(|part| part.level == level && part.key == key).map(|part| part.text)
    }

    fn add<E: Error>(&mut self, level: Level, key: Cow<'t, str>, text: &'t str) -> Result<(), E> {
        if self.parts.len() >= MOST_PARTS || self.at(level, &key).is_some() {
            return Err(E::custom("more than one reading"));
        }
        self.parts.push(Part { level, key, text });
        Ok(())
    }

    fn feed(&self, hash: &mut Sha256) {
        hash.update([u8::from(self.is_there)]);
        hash.update(self.parts.len().to_le_bytes());
        for part in &self.parts {
            hash.update([part.level as u8]);
            feed(part.key.as_bytes(), hash);
            feed(part.text.as_bytes(), hash);
        }
    }
}

impl<'de> Deserialize<'de> for Outline<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Fields { outline: Self::default(), level: Level::Object })
    }
}

/// Reads the fields of one level.
struct Fields<'t> {
    outline: Outline<'t>,
    level: Level,
}

impl<'de> Visitor<'de> for Fields<'de> {
    type Value = Outline<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        if self.level == Level::Object { Ok(self.outline) } else { Err(E::custom("metadata is no table")) }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Self::Value, A::Error> {
        self.outline.is_there = true;
        let mut has_metadata = false;
        while let Some(Key(key)) = fields.next_key()? {
            match (self.level, &*key) {
                (Level::Object, STATUS) => {
                    fields.next_value::<IgnoredAny>()?;
                }
                (Level::Metadata, note) if NOTES.contains(&note) => {
                    fields.next_value::<IgnoredAny>()?;
                }
                (Level::Object, "metadata") if has_metadata => return Err(A::Error::custom("more than one reading")),
                (Level::Object, "metadata") => {
                    has_metadata = true;
                    self.outline = fields.next_value_seed(Metadata(self.outline))?;
                }
                (level, _) => {
                    let text = fields.next_value::<&'de RawValue>()?.get();
                    self.outline.add(level, key, text)?;
                }
            }
        }
        Ok(self.outline)
    }
}

/// Metadata, whose fields are added to an outline.
struct Metadata<'t>(Outline<'t>);

impl<'de> serde::de::DeserializeSeed<'de> for Metadata<'de> {
    type Value = Outline<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(Fields { outline: self.0, level: Level::Metadata })
    }
}

/// A key; borrowed where it has no escapes.
struct Key<'t>(Cow<'t, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// What requests are known again by: a hash of all of them that a verdict is made from. Nobody can tell from it what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// Makes fingerprints, which are other ones in each process.
#[derive(Debug, Clone)]
pub(super) struct Fingerprints {
    keyed: Sha256,
}

impl Default for Fingerprints {
    fn default() -> Self {
        let mut keyed = Sha256::new();
        for _ in 0..4 {
            // Keyed by the system's randomness.
            keyed.update(RandomState::new().hash_one(0).to_le_bytes());
        }
        Self { keyed }
    }
}

impl Fingerprints {
    /// The fingerprint of a request: of who asks and of a dry run nothing is in it.
    pub(super) fn of(&self, request: &Request<Outline<'_>>) -> Fingerprint {
        let mut hash = self.keyed.clone();
        feed(request.kind.kind.as_bytes(), &mut hash);
        feed(request.namespace.as_bytes(), &mut hash);
        hash.update([request.operation as u8]);
        request.object.feed(&mut hash);
        request.old_object.feed(&mut hash);
        Fingerprint(hash.finalize().into())
    }

    /// The fingerprint of some texts.
    pub(super) fn of_texts<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Fingerprint {
        let mut hash = self.keyed.clone();
        texts.into_iter().for_each(|text| feed(text.as_bytes(), &mut hash));
        Fingerprint(hash.finalize().into())
    }
}

/// A text with its length, so that no two sequences of texts are the same.
fn feed(text: &[u8], hash: &mut Sha256) {
    hash.update(text.len().to_le_bytes());
    hash.update(text);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn outline(text: &str) -> Result<Outline<'_>, serde_json::Error> {
        serde_json::from_str(text)
    }

    fn print(text: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        outline(text).unwrap().feed(&mut hash);
        hash.finalize().into()
    }

    #[test]
    fn parts_are_told_as_they_are_written_and_notes_are_none() {
        let text = r#"{"kind":"A","metadata":{"uid":"u","annotations":{"a" : 1},"managedFields":[{"x":[]}]},"spec":{"x\"}":[1, {}]},"status":{"y":1}}"#;
        let read = outline(text).unwrap();
        assert_eq!(
            (read.field("spec"), read.field("kind"), read.field("metadata"), read.field("status")),
            (Some(r#"{"x\"}":[1, {}]}"#), Some("\"A\""), None, None)
        );
        assert_eq!((read.metadata("annotations"), read.metadata("uid"), read.metadata("spec")), (Some(r#"{"a" : 1}"#), None, None));
        assert_eq!(outline("null").unwrap().parts, []);
    }

    #[test]
    fn whatever_is_read_in_more_than_one_way_is_not_read() {
        let many: String = (0..MOST_PARTS + 1).map(|number| format!(r#""{number}":0,"#)).collect();
        let many = format!("{{{many}\"z\":0}}");
        for text in [
            r#"{"spec":1,"spec":2}"#,
            r#"{"spec":1,"sp\u0065c":2}"#,
            r#"{"metadata":{},"metadata":{"annotations":{}}}"#,
            r#"{"metadata":{"annotations":{},"annotations":{}}}"#,
            r#"{"metadata":null}"#,
            r#"{"metadata":[1]}"#,
            r#"{"metadata":"x"}"#,
            "[1]",
            "\"text\"",
            "3",
            "{\"spec\":",
            &many,
        ] {
            assert!(outline(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_differs_in_notes_alone_is_known_again_and_nothing_else_is() {
        let base = json!({"kind": "A", "metadata": {"name": "m", "uid": "u", "generation": 1}, "spec": {"a": [1, 2]}, "status": {"x": 1}});
        let with = |pointer: &str, value: Value| {
            let mut other = base.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            other.to_string()
        };
        let known = print(&base.to_string());
        for (pointer, value) in [("/metadata/uid", json!("v")), ("/metadata/generation", json!([])), ("/status", json!(null))] {
            assert_eq!(print(&with(pointer, value)), known, "{pointer}");
        }
        for (pointer, value) in
            [("/metadata/name", json!("n")), ("/kind", json!("B")), ("/spec/a/0", json!(2)), ("/spec/a", json!("[1,2]")), ("/spec", json!({"uid": 1}))]
        {
            assert_ne!(print(&with(pointer, value)), known, "{pointer}");
        }
        // A field of the object is none of its metadata, and no text goes over into the next.
        assert_ne!(print(r#"{"a":1}"#), print(r#"{"metadata":{"a":1}}"#));
        assert_ne!(print(r#"{"a":1,"b":2}"#), print(r#"{"b":2,"a":1}"#));
        assert_ne!(print(r#"{"a":12}"#), print(r#"{"a1":2}"#));
        assert_ne!(print("null"), print(r#"{"metadata":{"uid":"u"}}"#));
        assert_ne!(Fingerprints::default().of_texts(["a"]), Fingerprints::default().of_texts(["a"]), "each process has its own");
    }
}
