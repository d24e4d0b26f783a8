//! A declaration resolved against the catalogue: effective version, values, topology, queue, storage identity. Anything may be unknown.

mod chart;
mod config;
#[cfg(test)]
mod fixture;
mod image;
mod queue;
mod storage;
mod topology;
mod values;
mod view;

use std::sync::Arc;

use super::catalogue::Catalogue;
use super::change::Environment;
use super::declaration::{Declaration, Form, Operation, ValuesStrategy};
use super::merge::Refused;
use super::place::Fact;
use super::truth::Truth;
use super::value::{Node, Value};
use super::version::{ChartVersion, EffectiveVersion};

pub use self::topology::{component_names, is_component, is_of_cluster};
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
    /// Whether it is `version` or later: for certain, possibly, or not.
    #[must_use]
    pub fn at_least(&self, version: &ChartVersion) -> Truth {
        match self {
            Self::Known(exact) | Self::NotPublished(exact) => (exact >= version).into(),
            Self::Interval { at_least, .. } if at_least >= version => Truth::Yes,
            Self::Interval { below: Some(below), .. } if below <= version => Truth::No,
            Self::Interval { .. } | Self::Unknown(_) => Truth::Maybe,
        }
    }

    /// Whether it is earlier than `version`.
    #[must_use]
    pub fn below(&self, version: &ChartVersion) -> Truth {
        !self.at_least(version)
    }

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

/// The effective message queue.
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
    /// True where chart 5's look-up of the live Deployment decides (standalone, `woodpecker` by default or by value): with a before the kind is what the look-up
    /// finds, without one it is what a fresh install gets.
    pub by_lookup: bool,
    /// Prefix of the channel names (`by-dev`), where known.
    pub channel_prefix: Option<Arc<str>>,
    /// `tenant/namespace` of Pulsar; absent for other queues and where unknown.
    pub pulsar_namespace: Option<Arc<str>>,
}

/// A Milvus component of the release (only enabled ones are listed).
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// The chart's `component` label: `proxy`, `mixcoord`, `rootcoord`, `querynode`, ...
    pub name: &'static str,
    /// Its key in the values: `proxy`, `mixCoordinator`, ...
    pub values_key: &'static str,
    /// `Yes`, or `Maybe` where its switch cannot be seen.
    pub enabled: Truth,
    /// Replicas; unknown where templated. Negative: left to an autoscaler.
    pub replicas: Option<i64>,
    /// Effective active-standby, for coordinators (`Some(false)` for all others); unknown where templated.
    pub active_standby: Option<bool>,
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
    /// The chart whose default values are in force; differs from `chart` where the values of the running release are reused. Nothing where no defaults are known.
    pub defaults_of: Option<ChartVersion>,
    /// What is taken for granted about the chart, in words, where nothing names it (a values file alone): findings that rest on the chart are then no certain ones.
    pub chart_assumes: Option<Arc<str>>,
    /// Effective Milvus version: image tag when set, else the chart's default tag, else its appVersion.
    pub milvus: EffectiveVersion,
    /// What is taken for granted about the version, in words: that values which cannot be seen do not set the image tag.
    pub milvus_assumes: Option<Arc<str>>,
    /// The image tag in force and where it was set; absent when it is the chart's default.
    pub image_tag: Fact<Arc<str>>,
    /// `image.all.repository` in force.
    pub image_repository: Option<Arc<str>>,
    /// User values, merged (no chart defaults), nulls kept.
    pub user: Node,
    /// User values if what cannot be seen set nothing; only where something cannot be seen.
    pub user_if_unseen_is_empty: Option<Node>,
    /// What of the values cannot be seen, in words; what a running release hands on counts.
    pub unseen: Vec<Arc<str>>,
    /// Effective values as Helm computes them. For unknown charts only the user's, and everything else is unknown.
    pub effective: Node,
    /// Why Helm refuses the `--set` texts, if it does; the values are then unknown.
    pub refused: Option<Refused>,
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
    /// Milvus's own configuration given by the user (`extraConfigFiles."user.yaml"`), parsed, with places as far as they can be kept; an empty table where there is none,
    /// unknown where it cannot be seen (also with `customConfigMap`).
    pub config: Node,
}

impl Release {
    /// Resolves a declaration. `before` is the running release where it is known: some value strategies keep its values, and chart 5 looks it up.
    #[must_use]
    pub fn resolve(declaration: Arc<Declaration>, before: Option<&Self>, environment: &Environment, catalogue: &Catalogue) -> Self {
        let (chart, chart_assumes) = chart::resolve(&declaration, before, catalogue);
        let values = values::resolve(&declaration, before, &chart, environment, catalogue);
        let image = image::resolve(&declaration, &chart, chart_assumes.is_some(), &values, catalogue);
        let template = chart.judged_as().filter(|version| catalogue.get(version).is_some_and(|entry| entry.has_defaults)).cloned();
        // No version of the chart sets anything there by default: where the version is not known, the user's own values tell all.
        let configured = if template.is_none() && declaration.chart.lineage.is_zilliztech() { &values.user } else { &values.effective };
        let config = config::resolve(configured, template.as_ref());
        let view = view::View { values: &values.effective, config: &config, chart: template.as_ref() };
        let (mode, components, queue) = match &declaration.rendered {
            Some(rendered) if declaration.identity.form == Form::Manifest => {
                let (mode, components) = topology::rendered(rendered);
                (mode, components, queue::rendered(rendered, &declaration.place))
            }
            _ => {
                let mode = topology::mode(&view);
                (mode, topology::components(&view, mode), queue::resolve(&view, mode, &declaration, before))
            }
        };
        let (metadata, objects) = (storage::metadata(&view), storage::objects(&view));
        Self {
            declaration,
            chart,
            defaults_of: values.defaults_of,
            chart_assumes,
            milvus: image.milvus,
            milvus_assumes: image.assumes,
            image_tag: image.tag,
            image_repository: image.repository,
            user: values.user,
            user_if_unseen_is_empty: values.user_if_unseen_is_empty,
            unseen: values.unseen,
            effective: values.effective,
            refused: values.refused,
            mode,
            components,
            queue,
            metadata,
            objects,
            config,
        }
    }

    /// Whether it is the same whatever ran before: no values are kept, and no queue is looked up.
    #[must_use]
    pub fn is_same_after_any(&self) -> bool {
        let declaration = &self.declaration;
        let keeps_none = match declaration.operation {
            Operation::DirectChange | Operation::RollingScript | Operation::MigrateScript => false,
            Operation::Install | Operation::Template => true,
            _ => declaration.strategy == ValuesStrategy::Replace || declaration.identity.form == Form::Manifest,
        };
        let looks_none_up = match &self.queue {
            Fact::Known(queue, _) => !queue.by_lookup,
            Fact::Absent => true,
            Fact::Unknown(..) => false,
        };
        keeps_none && looks_none_up
    }

    /// Whether the values of a running release that is not in sight are among its own.
    #[must_use]
    pub fn keeps_unseen_values(&self) -> bool {
        self.unseen.iter().any(|what| &**what == values::RUNNING)
    }

    /// The component of this name (`proxy`, `mixcoord`), if it is or may be enabled.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.name == name)
    }
}

/// A scalar as text, as a template would print it.
fn scalar_text(value: &Value) -> Option<Arc<str>> {
    match value {
        Value::String(text) => Some(Arc::clone(text)),
        Value::Bool(value) => Some(value.to_string().into()),
        Value::Int(value) => Some(value.to_string().into()),
        Value::Float(value) => Some(value.to_string().into()),
        Value::Null | Value::List(_) | Value::Table(_) | Value::Unknown(_) => None,
    }
}
