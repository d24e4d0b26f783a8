//! All gates over one cluster: what the server asks.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::exceptions::{MODE_LABEL, Mode};
use super::helm_storage::{self, Decoded};
use super::judge::{Doubt, DoubtPolicy, Glance, Judge};
use super::outline::{Fingerprint, Fingerprints};
use super::release::{self, DecodeError, Driver, Packed, StoredRelease};
use super::{Answer, Gate, Request, gitops, own, workload};
use crate::cluster::{Cluster, Kind, label};
use crate::memo::Memo;

/// Memory that releases which are being read may take together, in KiB. One release of the largest size fits; some of the usual size do.
const DECODING_KIB: usize = 25 << 10;

/// Releases of this size, packed, are read at once; larger ones on a thread of their own, since they keep it busy.
const AT_ONCE_BYTES: usize = 16 << 10;

/// Objects of gate 2 of which it is remembered what they said: each takes some tens of KiB.
const READINGS: usize = 32;

/// Changes of which the verdict is remembered: each takes a KiB or so.
const VERDICTS: usize = 1024;

/// What is configured.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The mode of namespaces that name none.
    pub mode: Mode,
    /// The user that our controller acts as (`system:serviceaccount:milvus-guard:milvus-guard`).
    pub controller: String,
}

impl Default for Configuration {
    fn default() -> Self {
        Self { mode: Mode::Enforce, controller: "system:serviceaccount:milvus-guard:milvus-guard".into() }
    }
}

/// The gates.
pub struct Guard<C> {
    /// The cluster.
    pub(super) cluster: Arc<C>,
    pub(super) configuration: Configuration,
    decoding: Semaphore,
    pub(super) fingerprints: Fingerprints,
    /// What objects of gate 2 said lately.
    pub(super) readings: Memo<Fingerprint, Arc<gitops::Reading>>,
    /// What was to be said of their changes.
    pub(super) verdicts: Memo<Fingerprint, gitops::Known>,
}

impl<C: Cluster> Guard<C> {
    /// The gates over a cluster.
    #[must_use]
    pub fn new(cluster: Arc<C>, configuration: Configuration) -> Self {
        Self {
            cluster,
            configuration,
            decoding: Semaphore::new(DECODING_KIB),
            fingerprints: Fingerprints::default(),
            readings: Memo::of(READINGS),
            verdicts: Memo::of(VERDICTS),
        }
    }

    pub(super) fn namespace(&self, name: &str) -> Option<Arc<Value>> {
        self.cluster.object(Kind::Namespace, "", name)
    }

    pub(super) fn mode(&self, namespace: &str) -> Mode {
        Mode::of_namespace(self.namespace(namespace).as_deref(), self.configuration.mode)
    }

    /// That a namespace names a mode that there is not, in words.
    pub(super) fn unknown_mode(&self, name: &str) -> Option<String> {
        let namespace = self.namespace(name)?;
        let said = label(&namespace, MODE_LABEL).filter(|said| Mode::parse(said).is_none())?;
        let mode = self.configuration.mode.name();
        Some(format!("namespace {name} is labelled {MODE_LABEL}={said}, which is no mode (enforce, warn, audit): {mode} is in force"))
    }

    /// Claims that say they belong to a release, in the words of any chart.
    pub(super) fn claims_of(&self, namespace: &str, release: &str) -> Vec<Arc<Value>> {
        let is_of = |object: &Arc<Value>| releases_of(object).any(|name| name == release);
        self.cluster.naming(Kind::Claim, namespace, release).into_iter().filter(is_of).collect()
    }

    /// Decodes the release in an object, off the thread and within the memory that all of them may take; nothing when it cannot be Milvus. `other`: a revision that may have the same values.
    pub(super) async fn decode(&self, object: &Value, driver: Driver, other: Option<&StoredRelease>) -> Result<Option<Decoded>, DecodeError> {
        let packed = Packed::of(release::encoded(object)?, driver)?;
        let kib = u32::try_from(packed.cost_bytes()? / 1024 + 1).unwrap_or(u32::MAX);
        let Ok(_room) = self.decoding.acquire_many(kib).await else { return Ok(None) };
        if packed.bytes() <= AT_ONCE_BYTES {
            return helm_storage::decode(&packed, other.map(StoredRelease::carried).as_ref());
        }
        let other = other.map(StoredRelease::carried);
        tokio::task::spawn_blocking(move || helm_storage::decode(&packed, other.as_ref())).await.unwrap_or(Err(DecodeError::NotGzip))
    }
}

/// The releases that an object's labels name: MinIO's and Pulsar's charts have a label of their own for it.
pub(crate) fn releases_of(object: &Value) -> impl Iterator<Item = &str> {
    ["app.kubernetes.io/instance", "release"].iter().filter_map(|name| label(object, name))
}

impl<C: Cluster> Judge for Guard<C> {
    fn glance(&self, gate: Gate, body: &[u8]) -> Glance {
        if gate == Gate::GitOps { gitops::glance(self, body) } else { Glance::Decode(None) }
    }

    async fn judge(&self, gate: Gate, request: Arc<Request>) -> Answer {
        match gate {
            Gate::HelmStorage => helm_storage::judge(self, &request).await,
            Gate::GitOps => gitops::judge(self, &request).await,
            Gate::Workload => workload::judge(self, &request).await,
            Gate::Own => own::judge(self, &request),
        }
    }

    fn in_doubt(&self, gate: Gate, request: &Request, doubt: Doubt, policy: DoubtPolicy) -> Answer {
        if gate == Gate::Workload {
            return workload::in_doubt(self, request, doubt);
        }
        policy.answer(gate, doubt)
    }

    fn is_ready(&self) -> bool {
        self.cluster.is_ready()
    }
}
