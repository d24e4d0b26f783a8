//! The words that both documents and rules use: plain enumerations, named in kebab-case wherever they are written. Uses nothing, so that the build script can include it.

use serde::{Deserialize, Serialize};

/// The form in which a release is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A Flux `HelmRelease`.
    Flux,
    /// An Argo CD `Application` or `ApplicationSet`.
    ArgoCd,
    /// `helmCharts` in a `kustomization.yaml`.
    Kustomize,
    /// A `HelmChart` of k3s or RKE2.
    K3s,
    /// A chart with Milvus among its dependencies.
    Umbrella,
    /// A helmfile.
    Helmfile,
    /// A command in a script, a Makefile or a pipeline.
    Command,
    /// A values file alone.
    Values,
    /// Rendered manifests.
    Manifest,
    /// A Helm release as stored in a cluster, or as `helm get` prints it.
    HelmRelease,
}

/// How a change reaches the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Applier {
    /// Helm CLI, Flux, helmfile: look-ups work, what is rendered on install only does not run on an upgrade.
    HelmUpgrade,
    /// Argo CD, kustomize, `helm template`: renders as an install, without look-ups.
    Template,
    /// Not known.
    Unknown,
}

/// Where a chart called milvus comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lineage {
    /// `zilliztech.github.io/milvus-helm`, or presumed so (`zilliztech/milvus`, `milvus/milvus` without a repository in sight).
    Zilliztech,
    /// The archived twin `milvus-io.github.io/milvus-helm`: same charts, up to 4.0.31.
    Archived,
    /// Bitnami's chart: own numbers and keys.
    Bitnami,
    /// SUSE's repackaging: zilliztech's numbers, own builds.
    Suse,
    /// The chart of the Milvus operator, or of objects that it manages.
    Operator,
    /// A chart of the user's own that is called milvus.
    Wrapper,
    /// Cannot be told.
    Unknown,
}

impl Lineage {
    /// Whether zilliztech's chart numbers, defaults and keys hold for it.
    #[must_use]
    pub fn is_zilliztech(self) -> bool {
        matches!(self, Self::Zilliztech | Self::Archived)
    }
}

/// What is done to the release where the declaration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// A declared state (GitOps object, values file, umbrella chart, manifest).
    Declare,
    /// `helm install`.
    Install,
    /// `helm upgrade` without `--install`.
    Upgrade,
    /// `helm upgrade --install`.
    UpgradeInstall,
    /// `helm template`, kustomize `helmCharts`.
    Template,
    /// `helm rollback`.
    Rollback,
    /// `helm uninstall`.
    Uninstall,
    /// `helm pull` or `helm fetch`.
    Pull,
    /// `helm repo add`.
    RepoAdd,
    /// `kubectl set image|patch|edit|scale` on a Milvus workload.
    DirectChange,
    /// A call of the upstream `rollingUpdate.sh`.
    RollingScript,
    /// A call of the upstream `migrate.sh` or of `milvus-guard migrate`.
    MigrateScript,
}

/// What is done with the values of the running release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValuesStrategy {
    /// The declaration's values are all there is: GitOps, `-f`, `--reset-values`, or `--set` alone.
    Replace,
    /// `--reuse-values` or its equal: the previous chart's values under the new ones.
    Reuse,
    /// `--reset-then-reuse-values`: the new chart's defaults, the previous user values, the new ones.
    ResetThenReuse,
    /// A Helm upgrade with no values and no flag: Helm keeps the previous user values.
    KeptByDefault,
}

/// Settings that rules look at. One kind for the same meaning in all forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlagKind {
    /// `--reuse-values`, Flux `preserveValues: true`, helmfile `reuseValues: true`.
    ReuseValues,
    /// `--reset-then-reuse-values`.
    ResetThenReuseValues,
    /// `--reset-values`.
    ResetValues,
    /// `--set`, `--set-string`, ... given on a command (the first of them).
    Set,
    /// `-f`/`--values` given on a command (the first of them).
    ValuesFile,
    /// `--atomic`, `--rollback-on-failure`, helmfile `atomic: true`.
    Atomic,
    /// Flux `upgrade.remediation` that ends in a rollback (strategy rollback, which is the default, with retries or `remediateLastFailure`).
    RollbackRemediation,
    /// `--wait`, helmfile `wait: true` (Flux waits unless `disableWait`).
    Wait,
    /// `--timeout`, Flux `timeout`; the value is Go's duration as written.
    Timeout,
    /// `--force`, `--force-replace`, Flux `upgrade.force: true`, Argo CD `Replace=true` or `Force=true`.
    Force,
    /// `--recreate-pods`, helmfile `recreatePods: true`.
    RecreatePods,
    /// Flux `upgrade.remediation.strategy: uninstall`, helmfile/Terraform replace: deletes the release first.
    DeleteBeforeReplace,
    /// Argo CD automated prune, or Flux Kustomization `prune: true`, on what holds the release.
    Prune,
    /// Argo CD's deletion finalizer on the Application.
    DeleteFinalizer,
    /// The job makes a throw-away cluster (kind, minikube, k3d) before; the value is there where it does so only in some cases.
    ThrowAwayCluster,
    /// The command stands in a pipeline file that runs on every push.
    Pipeline,
    /// `--no-hooks`, Flux `disableHooks`.
    NoHooks,
    /// `--dry-run`.
    DryRun,
    /// Flux `suspend: true`: nothing is applied until it is resumed.
    Suspended,
    /// An uninstall of the same release stands before this install in the same script.
    AfterUninstall,
    /// A flush of the collections (`/api/v1/persist`) stands before in the same script.
    AfterFlush,
    /// Claims of the release, or its namespace, are deleted before in the same script; the value says which.
    AfterClaimDeletion,
    /// The image tag is a variable that nothing in sight sets, and that has no default; the value is its reason in words.
    OpenTag,
    /// The chart version is such a variable.
    OpenChart,
    /// Argo CD `destination` or Flux `kubeConfig`: another cluster than the tool's own; the value names it, where it can be read.
    Cluster,
    /// Flux `storageNamespace`, where it is not the object's own namespace.
    StorageNamespace,
}

/// Kinds of gaps; each has its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotCheckedKind {
    /// Not read (MV901).
    NotRead,
    /// Partly checked: a part lies elsewhere or is templated (MV902).
    PartlyChecked,
    /// Beyond the limits (MV905).
    LimitsExceeded,
}

/// Standalone or cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One Deployment.
    Standalone,
    /// One Deployment per component.
    Cluster,
}

/// Message queues that Milvus can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueKind {
    /// Pulsar, of either major.
    Pulsar,
    /// Kafka.
    Kafka,
    /// Embedded RocksMQ (standalone).
    Rocksmq,
    /// Embedded NATS (standalone).
    Natsmq,
    /// Woodpecker.
    Woodpecker,
}

/// Which server stands behind the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueServer {
    /// Runs inside Milvus.
    Embedded,
    /// The chart's Pulsar 2 (`pulsar`).
    BuiltInPulsar2,
    /// The chart's Pulsar 3 (`pulsarv3`).
    BuiltInPulsar3,
    /// The chart's Kafka.
    BuiltInKafka,
    /// The chart's own Woodpecker StatefulSet.
    BuiltInWoodpecker,
    /// A server of the user's.
    External,
    /// Not told: rendered objects name the kind of queue only.
    Unknown,
}

/// Kinds of object stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectStoreKind {
    /// The chart's MinIO.
    Minio,
    /// `externalS3`.
    External,
    /// `common.storageType: local`.
    Local,
    /// None.
    None,
}

/// What happened to a release between two states of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// There is no base: only the state after is known.
    Present,
    /// In both, unchanged.
    Unchanged,
    /// In both, changed.
    Changed,
    /// Only after.
    Added,
    /// Only before.
    Removed,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// May go wrong.
    Warning,
    /// Will go wrong.
    Error,
}
