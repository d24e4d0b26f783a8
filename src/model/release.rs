//! A declaration resolved against the catalogue: effective version, values, topology, queue, storage identity. Anything may be unknown.

use std::sync::Arc;

use super::declaration::Declaration;
use super::place::Fact;
use super::value::Node;
use super::version::{ChartVersion, EffectiveVersion};

pub use super::words::{Mode, ObjectStoreKind, QueueKind, QueueServer};

/// Which chart version the values are judged against.
#[derive(Debug, Clone, PartialEq)]
pub enum ChartResolution {
    /// A version in the catalogue.
    Known(ChartVersion),
    /// Newer than the catalogue, a range or unpinned: at least the newest entry that it admits. `judged_as` is the chart whose defaults are assumed.
    Interval {
        /// Lowest version that it may be.
        at_least: ChartVersion,
        /// First version that it cannot be, if there is a bound.
        below: Option<ChartVersion>,
        /// The chart whose defaults are assumed, said in findings.
        judged_as: ChartVersion,
    },
    /// A number that was never published or was retracted.
    NotPublished(ChartVersion),
    /// Not known, or not zilliztech's: the reason in words.
    Unknown(Arc<str>),
}

impl ChartResolution {
    /// The chart whose defaults are taken.
    #[must_use]
    pub fn judged_as(&self) -> Option<&ChartVersion> {
        match self {
            Self::Known(version) | Self::NotPublished(version) => Some(version),
            Self::Interval { judged_as, .. } => Some(judged_as),
            Self::Unknown(_) => None,
        }
    }
}

/// The effective message queue (facts/chart-eras.md, section 4).
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// Its kind.
    pub kind: QueueKind,
    /// What serves it.
    pub server: QueueServer,
    /// Address of an external queue (`host:port` or broker list) as far as said.
    pub address: Option<Arc<str>>,
    /// The value path that decides it: `pulsarv3.enabled`, `standalone.messageQueue`, `extraConfigFiles.user\.yaml` ...
    pub decided_by: Arc<str>,
    /// True where chart 5's look-up of the live Deployment could decide otherwise (standalone, `messageQueue` left to the default).
    pub by_lookup: bool,
}

/// A Milvus component of the release (only enabled ones are listed).
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// The chart's `component` label: `proxy`, `mixcoord`, `rootcoord`, `querynode`, ...
    pub name: &'static str,
    /// Its key in the values: `proxy`, `mixCoordinator`, ...
    pub values_key: &'static str,
    /// Replicas; unknown where templated.
    pub replicas: Option<i64>,
    /// Effective active-standby, for coordinators.
    pub active_standby: bool,
}

/// Where metadata lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataStore {
    /// External endpoints, sorted; empty for the chart's own etcd.
    pub external_endpoints: Vec<Arc<str>>,
    /// etcd root path: `user.yaml` or the chart's (default `by-dev`).
    pub root_path: Arc<str>,
    /// MySQL is the metadata store.
    pub mysql: bool,
}

/// Where objects live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStore {
    /// `minio`, `external`, `local` or `none`.
    pub kind: ObjectStoreKind,
    /// `host:port` of an external store.
    pub endpoint: Option<Arc<str>>,
    /// Bucket.
    pub bucket: Option<Arc<str>>,
    /// Root path in the bucket.
    pub root_path: Option<Arc<str>>,
    /// `minio.mode`.
    pub minio_mode: Option<Arc<str>>,
    /// `externalS3.cloudProvider`.
    pub cloud_provider: Option<Arc<str>>,
}

/// A resolved release.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// What was declared.
    pub declaration: Arc<Declaration>,
    /// Chart version.
    pub chart: ChartResolution,
    /// Effective Milvus version: image tag when set, else the chart's default tag, else its appVersion.
    pub milvus: EffectiveVersion,
    /// The image tag in force and where it was set; absent when it is the chart's default.
    pub image_tag: Fact<Arc<str>>,
    /// `image.all.repository` in force.
    pub image_repository: Option<Arc<str>>,
    /// User values, merged (no chart defaults), nulls kept.
    pub user: Node,
    /// Effective values as Helm computes them. For unknown charts only the user's.
    pub effective: Node,
    /// Mode; unknown where templated or the chart is unknown and the values do not say.
    pub mode: Option<Mode>,
    /// Enabled components.
    pub components: Vec<Component>,
    /// Effective queue; `Fact::Absent` when there is none.
    pub queue: Fact<Queue>,
    /// Metadata store.
    pub metadata: Fact<MetadataStore>,
    /// Object store.
    pub objects: Fact<ObjectStore>,
    /// Milvus's own configuration given by the user (`extraConfigFiles."user.yaml"`), parsed; places as far as they can be kept.
    pub config: Node,
}
