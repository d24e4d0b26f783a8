//! An AdmissionReview as it comes in (`admission.k8s.io/v1`), read tolerantly: what a gate does not use is not decoded.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::outline::{Fingerprint, Outline};

/// What is done to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// It is created.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
    /// A subresource is connected to.
    Connect,
}

/// Group, version and kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct Kind {
    /// API group; empty for the core group.
    #[serde(default)]
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct User {
    /// Name, as the API server authenticated it.
    #[serde(default)]
    pub username: String,
    /// Groups.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// One admission request. `V` is what its objects are decoded to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "V: Deserialize<'de> + Default"))]
pub struct Request<V = Value> {
    /// Names the request; the answer repeats it.
    pub uid: String,
    /// What arrives, in the version that the registration asked for.
    pub kind: Kind,
    /// `scale` and such; absent for the object itself.
    #[serde(default)]
    pub sub_resource: Option<String>,
    /// Name; empty when the API server is to make one.
    #[serde(default)]
    pub name: String,
    /// Namespace; empty for objects of the cluster.
    #[serde(default)]
    pub namespace: String,
    /// What is done.
    pub operation: Operation,
    /// Who asks.
    #[serde(default)]
    pub user_info: User,
    /// The object after; null on DELETE.
    #[serde(default)]
    pub object: V,
    /// The object before; null on CREATE.
    #[serde(default)]
    pub old_object: V,
    /// Whether nothing will be stored.
    #[serde(default)]
    pub dry_run: Option<bool>,
    /// Options of the request (`fieldManager` and such).
    #[serde(default)]
    pub options: V,
    /// What its verdict may be remembered by.
    #[serde(skip)]
    pub known_by: Option<Fingerprint>,
}

impl Request {
    /// Labels of the object after.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<&str, &str> {
        strings(&self.object, "/metadata/labels")
    }

    /// Annotations of the object after.
    #[must_use]
    pub fn annotations(&self) -> BTreeMap<&str, &str> {
        strings(&self.object, "/metadata/annotations")
    }
}

fn strings<'v>(object: &'v Value, pointer: &str) -> BTreeMap<&'v str, &'v str> {
    let table = object.pointer(pointer).and_then(Value::as_object);
    table.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
}

impl<V> Request<V> {
    /// The same, its objects as null.
    pub(super) fn without_objects(self) -> Request {
        Request {
            uid: self.uid,
            kind: self.kind,
            sub_resource: self.sub_resource,
            name: self.name,
            namespace: self.namespace,
            operation: self.operation,
            user_info: self.user_info,
            object: Value::Null,
            old_object: Value::Null,
            dry_run: self.dry_run,
            options: Value::Null,
            known_by: self.known_by,
        }
    }

    /// Whether nothing will be stored.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.dry_run == Some(true)
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "V: Deserialize<'de> + Default"))]
struct Review<V> {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    request: Option<Request<V>>,
}

/// Why a body is not a review that can be judged.
#[derive(Debug, thiserror::Error)]
pub enum BadReview {
    /// Not JSON, or not of the shape of a review.
    #[error("the body is not an AdmissionReview: {0}")]
    Shape(String),
    /// Another kind or version.
    #[error("the body is a {kind} of {api_version}, and only AdmissionReview of admission.k8s.io/v1 is judged")]
    Other {
        /// Its `apiVersion`.
        api_version: String,
        /// Its `kind`.
        kind: String,
    },
    /// A review without a request.
    #[error("the AdmissionReview has no request")]
    Empty,
}

impl From<serde_json::Error> for BadReview {
    fn from(error: serde_json::Error) -> Self {
        Self::Shape(error.to_string())
    }
}

/// Reads a review's body (JSON of an AdmissionReview, `admission.k8s.io/v1`).
///
/// # Errors
/// When it is not one. The error holds no part of the body's values.
pub fn parse(body: &[u8]) -> Result<Request, BadReview> {
    read(body)
}

/// As [`parse`], and the objects are left undecoded, as null.
///
/// # Errors
/// As [`parse`].
pub fn parse_without_objects(body: &[u8]) -> Result<Request, BadReview> {
    read::<IgnoredAny>(body).map(Request::without_objects)
}

/// As [`parse`], and the objects are left as they are written.
///
/// # Errors
/// As [`parse`], and where an object could be read in more than one way.
pub fn parse_outlines(body: &[u8]) -> Result<Request<Outline<'_>>, BadReview> {
    read(body)
}

fn read<'t, V: Deserialize<'t> + Default>(body: &'t [u8]) -> Result<Request<V>, BadReview> {
    let review: Review<V> = serde_json::from_slice(body)?;
    if review.api_version != "admission.k8s.io/v1" || review.kind != "AdmissionReview" {
        return Err(BadReview::Other { api_version: clipped(&review.api_version), kind: clipped(&review.kind) });
    }
    review.request.ok_or(BadReview::Empty)
}

/// Whether a text has the word in it, in any case. Go, which writes what the API server sends, escapes no letter.
#[must_use]
pub fn mentions_milvus(text: &[u8]) -> bool {
    // `v` is the rarest of its letters.
    memchr::memchr2_iter(b'v', b'V', text)
        .any(|at| at.checked_sub(3).and_then(|from| text.get(from..at + 3)).is_some_and(|word| word.eq_ignore_ascii_case(b"milvus")))
}

/// A stranger's word, short enough for a message.
fn clipped(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_is_read_with_what_a_gate_needs() {
        let body = br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"group":"","version":"v1","kind":"Secret"},
            "resource":{"group":"","version":"v1","resource":"secrets"},"name":"n","namespace":"ns","operation":"CREATE","userInfo":{"username":"a"},
            "object":{"metadata":{"labels":{"owner":"helm"}}},"dryRun":true}}"#;
        let request = parse(body).unwrap();
        assert_eq!((request.uid.as_str(), request.operation, request.is_dry_run()), ("u", Operation::Create, true));
        assert_eq!(request.labels().get("owner"), Some(&"helm"));
    }

    #[test]
    fn without_its_objects_a_review_is_the_same() {
        let body = br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"group":"a","version":"v1","kind":"B"},"name":"n",
            "namespace":"ns","operation":"UPDATE","userInfo":{"username":"a"},"object":{"a":[1]},"oldObject":{},"dryRun":true,"options":{},"subResource":"scale"}}"#;
        let whole = parse(body).unwrap();
        let without = Request { object: Value::Null, old_object: Value::Null, options: Value::Null, ..whole.clone() };
        assert_eq!((parse_without_objects(body).unwrap(), whole.object.is_null()), (without, false));
        assert!(parse_without_objects(b"{\"apiVersion\":").is_err());
    }

    #[test]
    fn the_word_is_found_in_any_case_and_place() {
        for text in ["milvus", "x MilVus", "vvmilvvmilvus", "MILVUS "] {
            assert!(mentions_milvus(text.as_bytes()), "{text}");
        }
        for text in ["", "v", "milv", "mil vus", "valkey", "vus"] {
            assert!(!mentions_milvus(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn another_kind_and_an_empty_review_are_told_apart() {
        assert!(matches!(parse(br#"{"apiVersion":"v1","kind":"Pod"}"#), Err(BadReview::Other { .. })));
        assert!(matches!(parse(br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#), Err(BadReview::Empty)));
        assert!(matches!(parse(b"{"), Err(BadReview::Shape(_))));
    }
}
