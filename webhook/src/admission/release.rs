//! A Helm release as it is stored in a Secret or ConfigMap, decoded within bounds. Errors name the place and never a value.

mod filter;

use std::borrow::Cow;
use std::io::Read as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use milvus_guard::model::json;
use milvus_guard::model::place::Origin;
use milvus_guard::model::value::Node;

use self::filter::Filter;

/// The largest inflated release, in bytes.
pub const MAX_INFLATED_BYTES: usize = 32 << 20;

/// The largest `data.release` that is taken, in bytes. The API server stores a mebibyte at most; a Secret's comes in base64.
pub const MAX_ENCODED_BYTES: usize = 3 << 19;

/// The largest release without its templates, files and hooks, in bytes.
pub const MAX_KEPT_BYTES: usize = 6 << 20;

/// Values (tables, lists and scalars) that `chart.values` and `config` may have together. The chart has about 1,500.
const MAX_NODES: usize = 20_000;

/// Memory that the values of a release may take, in bytes: a value and its key take about 200.
const MAX_VALUES_BYTES: usize = 256 * MAX_NODES;

/// How much is inflated at once, in bytes. The inflater keeps the last 32 KiB of each piece, so smaller ones cost up to a quarter more, and larger ones leave the processor's caches.
const PIECE_BYTES: usize = 128 << 10;

/// Nesting of `chart.values` or `config`.
const MAX_DEPTH: usize = 100;

/// The type of the Secrets that Helm keeps releases in.
pub const SECRET_TYPE: &str = "helm.sh/release.v1";

const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];

/// Why a stored release cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The object has no release in it.
    #[error("{0} is missing or no text")]
    Missing(&'static str),
    /// Not base64.
    #[error("{0} is not base64")]
    NotBase64(&'static str),
    /// Broken or truncated gzip.
    #[error("data.release holds no whole gzip stream")]
    NotGzip,
    /// Larger than a bound.
    #[error("{what} has more than {limit} {unit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The bound.
        limit: usize,
        /// Of what: bytes, values, levels.
        unit: &'static str,
    },
    /// Not the JSON of a release.
    #[error("the release is no JSON that Helm writes (at byte {at_byte} of its parts that are read)")]
    NotJson {
        /// Where reading stopped; templates, files and hooks are not counted.
        at_byte: usize,
    },
}

/// Which of Helm's drivers stored a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Driver {
    /// A Secret: base64 twice.
    Secret,
    /// A ConfigMap: base64 once.
    ConfigMap,
}

/// A chart that a stored release names among the dependencies of its chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDependency {
    /// The chart's name.
    pub name: Arc<str>,
    /// Its name in the wrapper, if another.
    pub alias: Option<Arc<str>>,
    /// The version or range asked for.
    pub version: Arc<str>,
}

impl StoredDependency {
    /// The key of its values in the wrapper.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        self.alias.as_ref().unwrap_or(&self.name)
    }
}

/// A stored release.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRelease {
    /// Release name.
    pub name: Arc<str>,
    /// Namespace that it installs to.
    pub namespace: Arc<str>,
    /// Revision, from 1.
    pub revision: u32,
    /// `pending-upgrade`, `deployed`, `failed`, ...
    pub status: Arc<str>,
    /// `info.description`: Helm writes `Rollback to 3` and such.
    pub description: Arc<str>,
    /// The chart's name: a wrapper's for an umbrella.
    pub chart_name: Arc<str>,
    /// The chart's version.
    pub chart_version: Arc<str>,
    /// The chart's dependencies.
    pub dependencies: Vec<StoredDependency>,
    /// `chart.values`: the default values that came with the chart, those of its subcharts put in by Helm. Origins are dotted paths.
    pub chart_values: Node,
    /// `config`: the user's values. Origins are dotted paths.
    pub config: Node,
    /// The rendered objects, YAML documents.
    pub manifest: Arc<str>,
    /// How `chart.values` were written.
    chart_values_written: Written,
}

/// How values were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    /// A hash of their text.
    digest: [u8; 32],
    /// How many there are.
    nodes: usize,
}

/// `chart.values` of a release, and how they were written: most revisions have those of the one before.
#[derive(Debug, Clone)]
pub struct Carried {
    written: Written,
    values: Node,
}

/// The text under `data.release` of an object, base64 as the API shows it.
///
/// # Errors
/// When there is none, or it is too large.
pub fn encoded(object: &Value) -> Result<&str, DecodeError> {
    let text = object.pointer("/data/release").and_then(Value::as_str).ok_or(DecodeError::Missing("data.release"))?;
    if text.len() > MAX_ENCODED_BYTES {
        return Err(DecodeError::TooLarge { what: "data.release", limit: MAX_ENCODED_BYTES, unit: "bytes" });
    }
    Ok(text)
}

/// The packed release: base64 taken off, still compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed(Vec<u8>);

impl Packed {
    /// Takes off the base64 of the API (Secrets only) and of Helm.
    ///
    /// # Errors
    /// When it is not base64.
    pub fn of(text: &str, driver: Driver) -> Result<Self, DecodeError> {
        let once = |bytes: &[u8]| STANDARD.decode(bytes.trim_ascii());
        let outer = match driver {
            Driver::Secret => Cow::Owned(once(text.as_bytes()).map_err(|_| DecodeError::NotBase64("data.release"))?),
            Driver::ConfigMap => Cow::Borrowed(text.as_bytes()),
        };
        once(&outer).map(Self).map_err(|_| DecodeError::NotBase64("the text in data.release"))
    }

    /// How many bytes it has.
    pub const fn bytes(&self) -> usize {
        self.0.len()
    }

    /// How many bytes it claims to have when inflated; inflating stops there.
    ///
    /// # Errors
    /// When that is beyond the bound.
    fn inflated_bytes(&self) -> Result<usize, DecodeError> {
        let claimed = match self.0.last_chunk::<4>() {
            Some(size) if self.0.starts_with(&GZIP_MAGIC) => u32::from_le_bytes(*size) as usize,
            _ => self.0.len(),
        };
        if claimed > MAX_INFLATED_BYTES {
            return Err(DecodeError::TooLarge { what: "the inflated release", limit: MAX_INFLATED_BYTES, unit: "bytes" });
        }
        Ok(claimed)
    }

    /// The most memory that reading it takes, in bytes: the parts that are read, the manifest once more, and values.
    ///
    /// # Errors
    /// When it claims to be beyond a bound.
    pub fn cost_bytes(&self) -> Result<usize, DecodeError> {
        Ok(self.0.len() + PIECE_BYTES + 3 * self.inflated_bytes()?.min(MAX_KEPT_BYTES) + MAX_VALUES_BYTES)
    }

    /// The JSON text, without what is not read. Helm stored releases uncompressed once, so gzip is optional.
    ///
    /// # Errors
    /// When it is broken, or larger than it claims or may be.
    pub fn inflate(&self) -> Result<Vec<u8>, DecodeError> {
        let claimed = self.inflated_bytes()?;
        let mut filter = Filter::new(MAX_KEPT_BYTES);
        let too_large = |_| DecodeError::TooLarge { what: "the release without its templates", limit: MAX_KEPT_BYTES, unit: "bytes" };
        if !self.0.starts_with(&GZIP_MAGIC) {
            filter.push(&self.0).map_err(too_large)?;
            return Ok(filter.finish());
        }
        let mut inflating = MultiGzDecoder::new(self.0.as_slice());
        let mut piece = vec![0; PIECE_BYTES];
        let mut inflated = 0_usize;
        loop {
            let count = inflating.read(&mut piece).map_err(|_| DecodeError::NotGzip)?;
            inflated += count;
            match piece.get(..count) {
                Some([]) | None => break,
                Some(_) if inflated > claimed => return Err(DecodeError::NotGzip),
                Some(piece) => filter.push(piece).map_err(too_large)?,
            }
        }
        if inflated == claimed { Ok(filter.finish()) } else { Err(DecodeError::NotGzip) }
    }
}

/// Whether the JSON of a release can be one with Milvus in it: every rendering of the chart has the word in its mounts, whatever alias, name or image it is given.
#[must_use]
pub fn may_be_milvus(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"milvus").is_some()
}

#[derive(Deserialize)]
struct Stored<'a> {
    name: Cow<'a, str>,
    #[serde(default)]
    namespace: Cow<'a, str>,
    #[serde(default)]
    version: u32,
    #[serde(default)]
    info: Info<'a>,
    #[serde(borrow)]
    chart: Chart<'a>,
    #[serde(borrow, default)]
    config: Option<&'a RawValue>,
    #[serde(default)]
    manifest: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
struct Info<'a> {
    #[serde(default)]
    status: Cow<'a, str>,
    #[serde(default)]
    description: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Chart<'a> {
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    values: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(default)]
    name: Cow<'a, str>,
    #[serde(default)]
    version: Cow<'a, str>,
    #[serde(default)]
    dependencies: Option<Vec<Dependency<'a>>>,
}

#[derive(Deserialize)]
struct Dependency<'a> {
    #[serde(default)]
    name: Cow<'a, str>,
    #[serde(default)]
    alias: Option<Cow<'a, str>>,
    #[serde(default)]
    version: Cow<'a, str>,
}

/// Whether Helm completed a revision of this status.
#[must_use]
pub fn is_completed(status: &str) -> bool {
    matches!(status, "deployed" | "superseded")
}

impl StoredRelease {
    /// Reads the JSON of a release.
    ///
    /// # Errors
    /// When it is not one, or its values are beyond the bounds.
    pub fn read(text: &[u8]) -> Result<Self, DecodeError> {
        Self::read_like(text, None)
    }

    /// The same, where another release was read before, whose `chart.values` may be written alike.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_like(text: &[u8], other: Option<&Carried>) -> Result<Self, DecodeError> {
        let stored: Stored<'_> = serde_json::from_slice(text).map_err(|error| DecodeError::NotJson { at_byte: error.column() })?;
        let metadata = stored.chart.metadata;
        let dependency = |dependency: Dependency<'_>| StoredDependency {
            name: dependency.name.as_ref().into(),
            alias: dependency.alias.filter(|alias| !alias.is_empty()).map(|alias| alias.as_ref().into()),
            version: dependency.version.as_ref().into(),
        };
        let digest = Sha256::digest(stored.chart.values.map_or("", RawValue::get)).into();
        let carried = match other {
            Some(other) if other.written.digest == digest => other.clone(),
            _ => {
                let (values, nodes) = values(stored.chart.values, "chart.values", MAX_NODES)?;
                Carried { written: Written { digest, nodes }, values }
            }
        };
        Ok(Self {
            name: stored.name.as_ref().into(),
            namespace: stored.namespace.as_ref().into(),
            revision: stored.version,
            status: stored.info.status.as_ref().into(),
            description: stored.info.description.as_ref().into(),
            chart_name: metadata.name.as_ref().into(),
            chart_version: metadata.version.as_ref().into(),
            dependencies: metadata.dependencies.unwrap_or_default().into_iter().map(dependency).collect(),
            config: values(stored.config, "config", MAX_NODES.saturating_sub(carried.written.nodes))?.0,
            chart_values: carried.values,
            chart_values_written: carried.written,
            manifest: stored.manifest.as_ref().into(),
        })
    }

    /// Its `chart.values`, for another revision that may have the same.
    #[must_use]
    pub fn carried(&self) -> Carried {
        Carried { written: self.chart_values_written, values: self.chart_values.clone() }
    }
}

/// Reads a table of values, so many at most, and counts them; nothing and null are an empty one. The origin of each value says which tree it stands in.
fn values(raw: Option<&RawValue>, what: &'static str, most: usize) -> Result<(Node, usize), DecodeError> {
    let origin = Origin::Given(what.into());
    let Some(raw) = raw.map(RawValue::get).filter(|raw| *raw != "null") else { return Ok((Node::empty_table(origin), 1)) };
    let size = measure(raw.as_bytes());
    if size.nodes > most {
        return Err(DecodeError::TooLarge { what, limit: most, unit: "values" });
    }
    if size.depth > MAX_DEPTH {
        return Err(DecodeError::TooLarge { what, limit: MAX_DEPTH, unit: "levels" });
    }
    let node = json::read(raw, &|_, _| origin.clone()).map_err(|error| DecodeError::NotJson { at_byte: error.at })?;
    Ok((node, size.nodes))
}

struct Size {
    nodes: usize,
    depth: usize,
}

/// Counts the values and levels of a JSON text without building them.
fn measure(text: &[u8]) -> Size {
    let (mut nodes, mut depth, mut deepest) = (1_usize, 0_usize, 0_usize);
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = after_string(after),
            b'{' | b'[' => {
                depth += 1;
                nodes += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => nodes += 1,
            _ => {}
        }
    }
    Size { nodes, depth: deepest }
}

/// What follows a string of JSON that begins here, behind its quote.
fn after_string(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let is_end = rest.get(at) == Some(&b'"');
        rest = rest.get(at + if is_end { 1 } else { 2 }..).unwrap_or_default();
        if is_end {
            return rest;
        }
    }
    &[]
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use milvus_guard::model::value::{Lookup, Value as Values};
    use serde_json::json;

    use super::*;

    /// A release as Helm stores it, in the form of the API.
    pub(crate) fn pack(release: &Value, driver: Driver) -> String {
        pack_text(&serde_json::to_vec(release).unwrap(), driver)
    }

    fn pack_text(text: &[u8], driver: Driver) -> String {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text).unwrap();
        let once = STANDARD.encode(gzip.finish().unwrap());
        if driver == Driver::Secret { STANDARD.encode(once) } else { once }
    }

    fn example() -> Value {
        json!({
            "name": "vectors", "namespace": "db", "version": 7,
            "info": {"status": "pending-upgrade", "first_deployed": "2026-01-01T00:00:00Z", "description": "Preparing upgrade"},
            "chart": {
                "metadata": {"name": "search", "version": "1.2.3", "dependencies": [{"name": "milvus", "version": "4.2.58", "alias": "vec", "repository": "https://x"}]},
                "templates": [{"name": "templates/a.yaml", "data": "e30="}], "values": {"vec": {"proxy": {"replicas": 1}}}, "files": null, "schema": null
            },
            "config": {"vec": {"minio": {"secretKey": "planted-secret"}}},
            "manifest": "---\nkind: Deployment\n", "hooks": []
        })
    }

    fn decode(text: &str, driver: Driver) -> Result<StoredRelease, DecodeError> {
        StoredRelease::read(&Packed::of(text, driver)?.inflate()?)
    }

    #[test]
    fn reading_costs_what_it_may_at_most() {
        let cost = |release: &Value| Packed::of(&pack(release, Driver::Secret), Driver::Secret).unwrap().cost_bytes().unwrap();
        let mut large = example();
        large["hooks"] = json!("x".repeat(20 << 20));
        assert!(cost(&example()) > MAX_VALUES_BYTES && cost(&example()) < cost(&large));
        assert!(cost(&large) < 25 << 20, "templates and hooks are never in memory: {}", cost(&large));
        let packed = Packed::of(&pack(&large, Driver::Secret), Driver::Secret).unwrap();
        assert!(packed.inflate().unwrap().len() < 1000);
    }

    #[test]
    fn a_release_is_read_from_both_drivers() {
        for driver in [Driver::Secret, Driver::ConfigMap] {
            let release = decode(&pack(&example(), driver), driver).unwrap();
            assert_eq!((&*release.name, &*release.namespace, release.revision, &*release.status), ("vectors", "db", 7, "pending-upgrade"));
            assert_eq!((&*release.chart_name, &*release.chart_version), ("search", "1.2.3"));
            assert_eq!(&**release.dependencies[0].key(), "vec");
            let Lookup::Found(entry) = release.chart_values.lookup("vec.proxy.replicas") else { panic!() };
            assert_eq!(entry.node.value, Values::Int(1));
            assert_eq!(&*release.manifest, "---\nkind: Deployment\n");
        }
    }

    #[test]
    fn values_that_another_release_has_are_shared_and_others_are_read() {
        let read = |release: &Value, other: &StoredRelease| StoredRelease::read_like(&serde_json::to_vec(release).unwrap(), Some(&other.carried())).unwrap();
        let first = StoredRelease::read(&serde_json::to_vec(&example()).unwrap()).unwrap();
        let is_shared = |other: &StoredRelease| std::ptr::eq(other.chart_values.table().unwrap(), first.chart_values.table().unwrap());
        let mut next = example();
        next["config"]["vec"]["minio"]["secretKey"] = json!("another");
        assert!(is_shared(&read(&next, &first)) && read(&next, &first) == StoredRelease::read(&serde_json::to_vec(&next).unwrap()).unwrap());
        next["chart"]["values"]["vec"]["proxy"]["replicas"] = json!(2);
        assert!(!is_shared(&read(&next, &first)) && read(&next, &first) == StoredRelease::read(&serde_json::to_vec(&next).unwrap()).unwrap());
    }

    #[test]
    fn user_values_may_be_absent_or_null_and_gzip_is_optional() {
        let mut release = example();
        release["config"] = Value::Null;
        let plain = STANDARD.encode(serde_json::to_vec(&release).unwrap());
        assert_eq!(decode(&plain, Driver::ConfigMap).unwrap().config.table().unwrap().entries.len(), 0);
        release.as_object_mut().unwrap().remove("config");
        assert!(decode(&pack(&release, Driver::Secret), Driver::Secret).is_ok());
    }

    #[test]
    fn hostile_releases_are_refused_by_their_size_before_they_cost_memory() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&vec![b' '; 1 << 20]).unwrap();
        let mut bytes = gzip.finish().unwrap();
        let end = bytes.len() - 4;
        let mut claiming = |size: usize| {
            bytes[end..].copy_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
            Packed(bytes.clone()).inflate()
        };
        assert!(matches!(claiming(MAX_INFLATED_BYTES + 1), Err(DecodeError::TooLarge { what: "the inflated release", .. })));
        // A bomb that claims to be small.
        assert_eq!(claiming(100), Err(DecodeError::NotGzip));

        let mut many = example();
        many["config"] = json!({"a": vec![0; MAX_NODES]});
        assert!(matches!(decode(&pack(&many, Driver::Secret), Driver::Secret), Err(DecodeError::TooLarge { what: "config", unit: "values", .. })));
        // Neither has too many, and both together do.
        let half = json!({"a": vec![0; MAX_NODES / 2]});
        let both = |values: &Value, config: &Value| {
            let mut release = example();
            (release["chart"]["values"], release["config"]) = (values.clone(), config.clone());
            decode(&pack(&release, Driver::Secret), Driver::Secret)
        };
        assert!(both(&half, &json!({})).is_ok() && both(&json!({}), &half).is_ok());
        assert!(matches!(both(&half, &half), Err(DecodeError::TooLarge { what: "config", unit: "values", .. })));
        let deep = pack_text(
            br#"{"name":"a","chart":{"metadata":{"name":"milvus"},"values":DEEP}}"#
                .iter()
                .map(|b| *b as char)
                .collect::<String>()
                .replace("DEEP", &format!("{}{}", "[".repeat(120), "]".repeat(120)))
                .as_bytes(),
            Driver::Secret,
        );
        assert!(matches!(decode(&deep, Driver::Secret), Err(DecodeError::TooLarge { unit: "levels", .. })));
    }

    #[test]
    fn broken_releases_are_errors_without_values() {
        let whole = pack(&example(), Driver::Secret);
        for broken in ["", "!", "AAAA", "YWJj", whole.get(..whole.len() / 2 / 4 * 4).unwrap()] {
            let error = decode(broken, Driver::Secret).unwrap_err().to_string();
            assert!(!error.contains("planted"), "{error}");
        }
        let text = serde_json::to_string(&example()).unwrap().replace("\"chart\"", "\"chrt\"");
        let error = decode(&pack_text(text.as_bytes(), Driver::Secret), Driver::Secret).unwrap_err();
        assert!(matches!(error, DecodeError::NotJson { .. }) && !error.to_string().contains("planted"), "{error}");
        assert_eq!(encoded(&json!({"data": {"release": 1}})), Err(DecodeError::Missing("data.release")));
    }

    #[test]
    fn only_a_text_with_the_word_can_be_milvus() {
        assert!(may_be_milvus(br#"{"manifest":"mountPath: /milvus/configs"}"#));
        assert!(!may_be_milvus(br#"{"manifest":"image: redis:7"}"#));
    }
}
