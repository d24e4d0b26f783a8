//! Words and scalars of the conditions, and how they are read.

use std::fmt;

use super::path::split_path;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Which state of the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Before the change.
    Before,
    /// After it.
    #[default]
    After,
}

/// How a version moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To a later one.
    Up,
    /// To an earlier one.
    Down,
    /// Either way.
    Any,
    /// Not at all.
    Same,
}

/// What is known of the chart's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChartState {
    /// In the catalogue.
    Known,
    /// A range, unpinned, or newer than the catalogue.
    Interval,
    /// One number, newer than the catalogue.
    Newer,
    /// Never published, or retracted.
    NotPublished,
    /// Nothing.
    Unknown,
}

/// How the chart's version is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChartSpec {
    /// One version.
    Exact,
    /// A range.
    Range,
    /// Not at all.
    Unpinned,
    /// Not as a version.
    Malformed,
    /// Templated, or kept elsewhere.
    Templated,
}

/// Kinds of image tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagKind {
    /// None is set: the chart's default.
    Default,
    /// One is set.
    Set,
    /// Names a version.
    Version,
    /// Names a version below the one that the chart installs by default.
    Behind,
    /// Names a version but lacks its `v`.
    VMissing,
    /// Names another image tomorrow, or a digest alone.
    Mutable,
    /// Shaped like a version but is none.
    Malformed,
    /// A name of the user's own.
    Custom,
    /// Templated, or kept elsewhere.
    Templated,
}

/// What may differ between before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// Effective Milvus version.
    Milvus,
    /// Major or minor of the effective Milvus version.
    MilvusMinor,
    /// Chart version.
    Chart,
    /// The Milvus version that the chart installs by default.
    ChartAppVersion,
    /// Standalone or cluster.
    Mode,
    /// Kind of the message queue.
    QueueKind,
    /// Server behind the queue.
    QueueServer,
    /// Address of an external queue.
    QueueAddress,
    /// Tenant and namespace of Pulsar.
    PulsarNamespace,
    /// External metadata endpoints, or the chart's own against external ones.
    MetadataEndpoints,
    /// The etcd cluster: endpoints that have none in common.
    MetadataCluster,
    /// Metadata root path.
    MetadataRootPath,
    /// MySQL as metadata store.
    MetadataMysql,
    /// Kind of the object store.
    ObjectStoreKind,
    /// Endpoint of an external object store.
    ObjectStoreEndpoint,
    /// Bucket.
    Bucket,
    /// Root path in the bucket.
    ObjectStoreRootPath,
    /// `minio.mode`.
    MinioMode,
    /// `externalS3.cloudProvider`.
    CloudProvider,
    /// Release name.
    ReleaseName,
    /// The name from which all objects have theirs: the chart's `fullname`, out of release name and overrides.
    ObjectNames,
    /// The label by which Deployments select their pods: `nameOverride`, else the chart's name.
    NameLabel,
    /// Namespace.
    Namespace,
    /// The cluster that a GitOps tool applies to.
    Cluster,
    /// The namespace in which Flux keeps Helm's record of the release.
    StorageNamespace,
}

/// Trees of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueTree {
    /// As Helm computes them: chart defaults under user values.
    #[default]
    Effective,
    /// What the user wrote.
    User,
    /// Milvus's own configuration in `extraConfigFiles."user.yaml"`.
    Config,
}

/// Who set a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetBy {
    /// The user's values name it.
    User,
    /// They do not.
    Default,
}

/// Types of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueType {
    /// `null`
    Null,
    /// A switch.
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list.
    List,
    /// A table.
    Table,
}

/// States of a lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockState {
    /// The form knows no lock.
    None,
    /// There should be one.
    Missing,
    /// It agrees.
    Agrees,
    /// It disagrees.
    Disagrees,
}

/// Kinds of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceWord {
    /// A `GuardedUpgrade` of the release that leads to the version after.
    GuardedUpgrade,
    /// A call of the migration script to the version after.
    MigrateCall,
    /// An acknowledgement that names this rule.
    Acknowledged,
}

/// What may be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Knowable {
    /// The state at all.
    Release,
    /// The Milvus version, or an interval of it.
    Milvus,
    /// The chart version, or an interval of it.
    Chart,
    /// The mode.
    Mode,
    /// The queue.
    Queue,
    /// All user values: no layer is unseen.
    Values,
}

/// `3.14` or `3.14.0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolVersion(pub u32, pub u32, pub u32);

impl TryFrom<String> for ToolVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = text.trim().trim_start_matches('v').split('.').map(|part| part.split(['-', '+']).next().unwrap_or(part).parse::<u32>());
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), None, None) => Ok(Self(major, minor, 0)),
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) => Ok(Self(major, minor, patch)),
            _ => Err(format!("`{text}` is not a version such as \"3.14\" (quoted)")),
        }
    }
}

impl From<ToolVersion> for String {
    fn from(ToolVersion(major, minor, patch): ToolVersion) -> Self {
        format!("{major}.{minor}.{patch}")
    }
}

/// A dotted value path (`etcd.persistence.size`; a dot in a key is `\.`), split once when it is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ValuePath {
    /// As written.
    pub text: String,
    /// Its keys.
    pub keys: Vec<String>,
}

impl From<String> for ValuePath {
    fn from(text: String) -> Self {
        let keys = split_path(&text);
        Self { text, keys }
    }
}

impl From<ValuePath> for String {
    fn from(path: ValuePath) -> Self {
        path.text
    }
}

/// A scalar in a rule file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A switch.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Text(String),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsScalar;
        impl Visitor<'_> for AsScalar {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a switch, a number or a text")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Int(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Scalar, E> {
                i64::try_from(value).map(Scalar::Int).map_err(E::custom)
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(value.to_owned()))
            }
        }
        deserializer.deserialize_any(AsScalar)
    }
}

/// Reads a list of words, or one word that stands for a list of one.
pub fn one_or_many<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct OneOrMany<T>(std::marker::PhantomData<T>);
    impl<'de, T: DeserializeOwned> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a word or a list of words")
        }

        fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Vec<T>, E> {
            T::deserialize(StrDeserializer::<E>::new(value)).map(|one| vec![one])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(item) = items.next_element::<String>()? {
                all.push(T::deserialize(StrDeserializer::<A::Error>::new(&item))?);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_any(OneOrMany(std::marker::PhantomData))
}
