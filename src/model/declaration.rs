//! What a file or an object says about a release, each part with its place; nothing is resolved yet.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::place::{Fact, Place};
use super::value::{Node, Table};
use super::version::{ChartVersion, VersionSpec};

pub use super::words::{Applier, FlagKind, Form, Lineage, NotCheckedKind, Operation, ValuesStrategy};

/// One source of user values; a later layer wins over an earlier one.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// A table that was read.
    Table {
        /// The values.
        values: Node,
        /// What it is, in words: `values file prod.yaml`, `spec.values`.
        what: Arc<str>,
    },
    /// A flag of Helm's `--set` family, not yet parsed.
    Set {
        /// Which flag.
        kind: SetKind,
        /// Its argument.
        text: Arc<str>,
        /// Where the argument stands.
        place: Place,
        /// For `--set-file`: what the file holds, where it could be read.
        file: Option<Arc<str>>,
    },
    /// Values that lie elsewhere or are templated: what is set there is unknown.
    Unseen {
        /// What it is, in words: `Secret milvus-credentials`.
        what: Arc<str>,
        /// Where it is named.
        place: Place,
    },
}

/// The flags of Helm's `--set` family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetKind {
    /// `--set`
    Set,
    /// `--set-string`
    SetString,
    /// `--set-json`
    SetJson,
    /// `--set-literal`
    SetLiteral,
    /// `--set-file`
    SetFile,
}

/// Which chart is meant.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartSource {
    /// The repository's URL (`https://...`, `oci://...`), resolved where it lies in another file.
    pub repository: Fact<Arc<str>>,
    /// The chart as it is named: `milvus`, `zilliztech/milvus`, `./charts/milvus`.
    pub name: Fact<Arc<str>>,
    /// The version that is asked for; absent: unpinned.
    pub version: Fact<VersionSpec>,
    /// Where it comes from.
    pub lineage: Lineage,
    /// The chart lies in the tree (a folder or an archive), at this path.
    pub vendored: Option<Arc<str>>,
}

/// A setting of the tool that applies the release, with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    /// Which setting.
    pub kind: FlagKind,
    /// Its value where it has one (a duration, a number of retries), as written.
    pub value: Option<Arc<str>>,
    /// Where it stands.
    pub place: Place,
}

/// Proof that what a one-way door asks for was done or declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// What it is.
    pub kind: EvidenceKind,
    /// In words.
    pub text: Arc<str>,
    /// Where it stands.
    pub place: Option<Place>,
}

/// Kinds of evidence.
#[derive(Debug, Clone, PartialEq)]
pub enum EvidenceKind {
    /// A `GuardedUpgrade` of the release, leading to this Milvus version.
    GuardedUpgrade {
        /// Its `spec.to` as written.
        to: Arc<str>,
        /// Whether its `spec.strategy` asks for a rolling upgrade; without one, coordinators are replaced as the chart does it.
        rolling: bool,
    },
    /// A call of `migrate.sh` or `milvus-guard migrate` before the upgrade in the same script.
    MigrateCall {
        /// Its target version (`-t`) as written, where it is readable.
        to: Option<Arc<str>>,
    },
    /// `guard.milvus-guard.dev/ack: MV210 <reference>` as annotation or comment.
    Acknowledged {
        /// The rule's id.
        rule: Arc<str>,
        /// The reference given.
        reference: Arc<str>,
    },
}

/// Which release this is: the same before and after a change, also when its file moves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Identity {
    /// The form.
    pub form: Form,
    /// What tells equal names apart: the cluster's or environment's folder, the job, the environment. Never a secret.
    pub scope: Arc<str>,
    /// Namespace, if said.
    pub namespace: Option<Arc<str>>,
    /// Release name, if said.
    pub name: Option<Arc<str>>,
}

/// Something that could not be read, or only in part.
#[derive(Debug, Clone, PartialEq)]
pub struct NotChecked {
    /// The file.
    pub file: Arc<str>,
    /// The place in it, if one is known.
    pub place: Option<Place>,
    /// Why, in words, with what to do about it.
    pub reason: Arc<str>,
    /// What kind of gap it is.
    pub kind: NotCheckedKind,
    /// Whether the text around the gap mentions Milvus (a gap elsewhere in a file is not reported).
    pub mentions_milvus: bool,
}

impl NotChecked {
    /// A gap at a place that is about Milvus.
    #[must_use]
    pub fn at(place: Place, kind: NotCheckedKind, reason: &str) -> Self {
        Self { file: Arc::clone(&place.file), place: Some(place), reason: reason.into(), kind, mentions_milvus: true }
    }
}

/// What a file or object says about one release.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// Who it is.
    pub identity: Identity,
    /// The file of the declaration (where the version or the object stands).
    pub path: Arc<str>,
    /// Where the declaration begins: the object's kind, the command's first word, the dependency's name.
    pub place: Place,
    /// Release name.
    pub name: Fact<Arc<str>>,
    /// Namespace.
    pub namespace: Fact<Arc<str>>,
    /// What is done.
    pub operation: Operation,
    /// The chart.
    pub chart: ChartSource,
    /// User values for the Milvus chart itself (below a dependency's name or alias they are already taken out), lowest precedence first.
    pub layers: Vec<Layer>,
    /// For `Operation::DirectChange`, `RollingScript`, `MigrateScript` and manifests: the Milvus image that is set, as written.
    pub image: Fact<Arc<str>>,
    /// How it is applied.
    pub applier: Applier,
    /// What happens to the values of the running release.
    pub strategy: ValuesStrategy,
    /// Settings of the applying tool.
    pub flags: Vec<Flag>,
    /// Version of the Helm client, where the file says it (`azure/setup-helm`, `alpine/helm:3.12`, ...).
    pub helm: Fact<Arc<str>>,
    /// Kubernetes version, where the file says it.
    pub kubernetes: Fact<Arc<str>>,
    /// Evidence that belongs to this release.
    pub evidence: Vec<Evidence>,
    /// Parts that could not be seen.
    pub gaps: Vec<NotChecked>,
    /// For an umbrella chart: the lock's version of the dependency (`Fact::Absent`: no lock), and whether its digest or version disagrees.
    pub lock: Option<Lock>,
    /// For `Form::Manifest`: what the rendered objects say.
    pub rendered: Option<Rendered>,
    /// Keys of an umbrella's values that would be Milvus values if they stood under the dependency's name (MV609), with their places.
    pub misplaced: Vec<(Arc<str>, Place)>,
    /// For an umbrella chart: its name and the keys that lead to Milvus in it (`search/milvus`), which stay when its folder moves.
    pub umbrella: Option<Arc<str>>,
    /// True where the chart's files merely lie in the tree: a source, not a deployment.
    pub source_only: bool,
    /// Whose default values lie under the user's.
    pub defaults: Defaults,
}

/// Whose default values lie under the user's. A stored Helm release tells it; everything else leaves it to the chart.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Defaults {
    /// Those of the chart that is declared, from the catalogue.
    #[default]
    OfChart,
    /// Those of this other chart: `--reuse-values` keeps them.
    Of(ChartVersion),
    /// These, which came with the chart and are those of no chart in the catalogue. Their origin is [`super::place::Origin::ChartDefault`].
    Carried(Arc<Table>),
}

impl Declaration {
    /// A declared state about which nothing is known yet but its form, scope and place; its file is the one of the place. All else is filled in by who reads it.
    #[must_use]
    pub fn blank(form: Form, scope: &str, place: Place) -> Self {
        Self {
            identity: Identity { form, scope: scope.into(), namespace: None, name: None },
            path: place.file.clone(),
            place,
            name: Fact::Absent,
            namespace: Fact::Absent,
            operation: Operation::Declare,
            chart: ChartSource { repository: Fact::Absent, name: Fact::Absent, version: Fact::Absent, lineage: Lineage::Unknown, vendored: None },
            layers: Vec::new(),
            image: Fact::Absent,
            applier: Applier::Unknown,
            strategy: ValuesStrategy::Replace,
            flags: Vec::new(),
            helm: Fact::Absent,
            kubernetes: Fact::Absent,
            evidence: Vec::new(),
            gaps: Vec::new(),
            lock: None,
            rendered: None,
            misplaced: Vec::new(),
            umbrella: None,
            source_only: false,
            defaults: Defaults::OfChart,
        }
    }

    /// The name of the Milvus chart as its templates see it: below an umbrella chart the dependency's alias, else its name.
    #[must_use]
    pub fn chart_alias(&self) -> Option<&str> {
        self.umbrella.as_deref()?.rsplit('/').next()
    }
}

/// A lock file beside an umbrella chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Lock {
    /// The locked version; absent when there is no lock or no entry.
    pub version: Fact<ChartVersion>,
    /// The lock exists but does not satisfy the range of the dependency, or names another repository.
    pub disagrees: bool,
}

/// What rendered manifests tell about a release.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rendered {
    /// Components (`component` label) with their replicas, where said.
    pub components: Vec<(Arc<str>, Option<u32>)>,
    /// Other components may be there that are not in sight: this is one of several workloads of a cluster, seen alone.
    pub is_part: bool,
    /// The message queue, where the rendered configuration tells it.
    pub message_queue: Option<Arc<str>>,
    /// `apiVersion` and `kind` of each object, with its place.
    pub apis: Vec<(Arc<str>, Arc<str>, Place)>,
}
