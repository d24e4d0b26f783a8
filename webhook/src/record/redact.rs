//! What of a review may be kept in clear: what verdicts are made from (names, versions, images, switches), and what is public anyway. Everything
//! else that could be a secret becomes a keyed hash; equal values keep equal hashes.

use std::collections::HashSet;
use std::fmt;
use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::value::{Node, Value as Known};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// The largest release that is unpacked, in bytes.
const MOST_INFLATED: u64 = 32 << 20;

/// Words in a key that make its value a secret, whatever it looks like.
const SECRET_KEYS: &[&str] = &["pass", "secret", "token", "credential", "key", "auth", "cert", "private", "dsn", "connection", "sas", "salt"];

/// Keys of values that hold no secret, in any table of values.
const PLAIN_KEYS: &[&str] = &["tag", "repository", "version", "chart", "mode", "mqtype", "messagequeue", "fullnameoverride", "nameoverride"];

/// Annotations whose values are kept: those that say how an object is handled.
const PLAIN_ANNOTATIONS: &[&str] =
    &["helm.sh/", "meta.helm.sh/", "guard.milvus-guard.dev/", "milvus-guard.", "deployment.kubernetes.io/", "checksum/", "reconcile.fluxcd.io/"];

/// Replaces what may be a secret.
pub struct Redactor {
    key: [u8; 32],
    public: HashSet<String>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Redactor {
    /// One with this key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, public: public() }
    }

    /// A review without secrets.
    #[must_use]
    pub fn review(&self, mut review: Value) -> Value {
        if let Some(request) = review.get_mut("request").and_then(Value::as_object_mut) {
            if let Some(user) = request.get_mut("userInfo").and_then(Value::as_object_mut) {
                user.remove("extra");
            }
            for key in ["object", "oldObject"] {
                if let Some(object) = request.get_mut(key) {
                    self.object(object);
                }
            }
        }
        review
    }

    /// Any object of the API.
    pub fn object(&self, object: &mut Value) {
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(table) = object.as_object_mut() else { return };
        if let Some(metadata) = table.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                self.annotations(annotations);
            }
        }
        if matches!(kind.as_str(), "Secret" | "ConfigMap") {
            let is_secret = kind == "Secret";
            for part in ["data", "stringData", "binaryData"] {
                for (key, value) in table.get_mut(part).and_then(Value::as_object_mut).into_iter().flatten() {
                    let release = (key == "release").then(|| self.release(value.as_str()?, is_secret)).flatten();
                    *value = release.map_or_else(|| self.hashed(value), Value::String);
                }
            }
            return;
        }
        for (key, value) in table.iter_mut().filter(|(key, _)| !matches!(key.as_str(), "metadata" | "kind" | "apiVersion" | "status")) {
            self.field(key, value);
        }
    }

    fn annotations(&self, annotations: &mut Map<String, Value>) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        for (key, value) in annotations {
            if !PLAIN_ANNOTATIONS.iter().any(|plain| key.starts_with(plain)) {
                *value = self.hashed(value);
            }
        }
    }

    /// A field of an object that is no Secret: tables of values and free text are searched, structure stays.
    fn field(&self, key: &str, value: &mut Value) {
        match key {
            "values" | "valuesObject" | "set" | "config" if value.is_object() => self.values(key, value),
            "values" | "valuesContent" => {
                if let Some(text) = value.as_str() {
                    *value = Value::String(self.yaml_values(text));
                }
            }
            "value" | "args" | "command" | "data" | "stringData" | "binaryData" | "userData" => self.hash_all(value),
            "annotations" => {
                if let Some(annotations) = value.as_object_mut() {
                    self.annotations(annotations);
                }
            }
            _ => match value {
                Value::Object(table) => table.iter_mut().for_each(|(key, value)| self.field(key, value)),
                Value::Array(items) => items.iter_mut().for_each(|item| self.field(key, item)),
                Value::String(text) if !is_harmless_field(key, text) => *value = self.hashed(value),
                _ => {}
            },
        }
    }

    fn hash_all(&self, value: &mut Value) {
        match value {
            Value::Object(table) => table.values_mut().for_each(|value| self.hash_all(value)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hash_all(item)),
            Value::Null | Value::Bool(_) => {}
            Value::String(text) if self.public.contains(text) || is_version(text) => {}
            _ => *value = self.hashed(value),
        }
    }

    /// Values of a chart: switches and numbers stay, texts only where they are public, versions, or under a harmless key.
    fn values(&self, key: &str, value: &mut Value) {
        match value {
            Value::Object(table) => table.iter_mut().for_each(|(key, value)| self.values(key, value)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.values(key, item)),
            Value::String(text) if !self.public.contains(text) && (is_secret_key(key) || !(is_version(text) || is_plain_key(key))) => {
                *value = self.hashed(value);
            }
            Value::Number(_) if is_secret_key(key) => *value = self.hashed(value),
            _ => {}
        }
    }

    /// The same for values written as YAML; text that is none becomes one hash.
    fn yaml_values(&self, text: &str) -> String {
        match serde_yaml::from_str::<Value>(text) {
            Ok(mut values) => {
                self.values("", &mut values);
                serde_yaml::to_string(&values).unwrap_or_default()
            }
            Err(_) => self.hash(text.as_bytes()),
        }
    }

    /// A stored release, packed as it came.
    fn release(&self, text: &str, is_secret: bool) -> Option<String> {
        let packed = if is_secret { STANDARD.decode(text).ok()? } else { text.as_bytes().to_vec() };
        let packed = STANDARD.decode(packed.trim_ascii()).ok()?;
        let mut inflated = Vec::new();
        if packed.starts_with(&[0x1f, 0x8b]) {
            MultiGzDecoder::new(packed.as_slice()).take(MOST_INFLATED).read_to_end(&mut inflated).ok()?;
        } else {
            inflated = packed;
        }
        let mut release: Value = serde_json::from_slice(&inflated).ok()?;
        self.stored(&mut release);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&serde_json::to_vec(&release).ok()?).ok()?;
        let inner = STANDARD.encode(encoder.finish().ok()?);
        Some(if is_secret { STANDARD.encode(inner) } else { inner })
    }

    fn stored(&self, release: &mut Value) {
        let Some(table) = release.as_object_mut() else { return };
        table.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "version" | "info" | "chart" | "config" | "manifest" | "labels"));
        if let Some(info) = table.get_mut("info").and_then(Value::as_object_mut) {
            info.retain(|key, _| matches!(key.as_str(), "status" | "description" | "first_deployed" | "last_deployed" | "deleted"));
        }
        if let Some(chart) = table.get_mut("chart").and_then(Value::as_object_mut) {
            chart.retain(|key, _| matches!(key.as_str(), "metadata" | "lock" | "values"));
            if let Some(values) = chart.get_mut("values") {
                self.values("", values);
            }
        }
        if let Some(config) = table.get_mut("config") {
            self.values("", config);
        }
        if let Some(Value::String(manifest)) = table.get_mut("manifest") {
            *manifest = self.manifest(manifest);
        }
    }

    fn manifest(&self, text: &str) -> String {
        let mut whole = String::new();
        for document in text.split("\n---") {
            let mut documents = serde_yaml::Deserializer::from_str(document);
            let Some(Ok(mut object)) = documents.next().map(Value::deserialize) else { continue };
            if object.is_object() {
                self.object(&mut object);
                whole.push_str("---\n");
                whole.push_str(&serde_yaml::to_string(&object).unwrap_or_default());
            }
        }
        whole
    }

    fn hashed(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => json!(self.hash(text.as_bytes())),
            other => json!(self.hash(other.to_string().as_bytes())),
        }
    }

    fn hash(&self, text: &[u8]) -> String {
        let digest = Sha256::new().chain_update(self.key).chain_update(text).chain_update(self.key).finalize();
        digest.iter().take(8).fold("hidden-".to_owned(), |all, byte| all + &format!("{byte:02x}"))
    }
}

fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_KEYS.iter().any(|secret| key.contains(secret))
}

fn is_plain_key(key: &str) -> bool {
    PLAIN_KEYS.contains(&key.to_ascii_lowercase().as_str())
}

/// `v2.5.16`, `4.2.58`, `2.6.0-rc1`: with a dot, so that no bare number passes.
fn is_version(text: &str) -> bool {
    let bare = text.strip_prefix('v').unwrap_or(text);
    let mut parts = bare.splitn(3, '.');
    let is_number = |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit()));
    bare.len() <= 24 && is_number(parts.next()) && is_number(parts.next()) && parts.next().is_none_or(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Text of an object's own fields (not values, arguments or annotations) stays, except where it could carry a credential.
fn is_harmless_field(key: &str, text: &str) -> bool {
    let names_secret =
        is_secret_key(key) && !matches!(key, "secretName" | "key" | "secretKeyRef" | "topologyKey" | "targetKey" | "valuesKey" | "serviceAccountToken");
    let has_login = text.contains("://") && text.contains('@');
    text.len() <= 253 && !text.contains('\n') && !names_secret && !has_login
}

/// Every text among the public default values of the first and last chart of each Milvus line.
fn public() -> HashSet<String> {
    let catalogue = Catalogue::embedded();
    let mut texts = HashSet::new();
    let mut line = None;
    let mut last = None;
    for entry in catalogue.published() {
        let of = catalogue.milvus(&entry.version).map(|milvus| (milvus.major(), milvus.minor()));
        if of != line {
            for version in [last, Some(&entry.version)].into_iter().flatten() {
                if let Some(defaults) = catalogue.defaults(version) {
                    collect(&defaults, &mut texts);
                }
            }
            line = of;
        }
        last = Some(&entry.version);
    }
    texts
}

fn collect(node: &Node, texts: &mut HashSet<String>) {
    match &node.value {
        Known::Table(table) => table.entries.iter().for_each(|(_, entry)| collect(&entry.node, texts)),
        Known::List(items) => items.iter().for_each(|item| collect(item, texts)),
        other => {
            if let Some(text) = other.as_str() {
                texts.insert(text.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests;
