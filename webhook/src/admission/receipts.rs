//! What receipts of a release prove: of what runs, and of data that an earlier life of its name left.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use milvus_guard::model::declaration::{Declaration, Evidence};
use milvus_guard::model::release::Release;
use milvus_guard::model::version::MilvusVersion;
use serde_json::Value;

use super::guard::Guard;
use super::milvus::{image_layers, version_of};
use super::verdict::resolved;
use crate::api;
use crate::cluster::running::{Serving, counted, serving};
use crate::cluster::{Cluster, Kind, label, text};

/// What receipts prove of a change: nothing where something runs that is below what they tell, since the release was begun anew then, from other data.
pub(super) fn evidence<C: Cluster>(guard: &Guard<C>, namespace: &str, release: &str) -> Vec<Evidence> {
    let receipts = guard.cluster.naming(Kind::UpgradeReceipt, namespace, release);
    if receipts.is_empty() {
        return Vec::new();
    }
    let runs = serving(&*guard.cluster, namespace, release);
    let Some(lowest) = lowest(counted(&runs)) else { return Vec::new() };
    let reached = |receipt: &&Arc<Value>| text(receipt, "/spec/to").and_then(|to| to.trim_start_matches('v').parse().ok()).is_some_and(|to| lowest >= to);
    receipts.iter().filter(reached).flat_map(|receipt| api::evidence_of_receipt(receipt, release)).collect()
}

/// The lowest version that runs; nothing where nothing does, or where one is not known.
fn lowest<'s>(runs: impl IntoIterator<Item = &'s Serving>) -> Option<MilvusVersion> {
    let versions: Option<Vec<MilvusVersion>> = runs.into_iter().map(|serving| version_of(serving.image()?, &BTreeMap::new())).collect();
    versions?.into_iter().min()
}

/// The newest receipt of a release: who wrote its data.
pub(super) struct Newest {
    receipt: String,
    /// The version that wrote it.
    pub(super) to: String,
}

impl Newest {
    /// That of a release; nothing where its metadata was made anew since, and nobody saw by which version.
    pub(super) fn of<C: Cluster>(guard: &Guard<C>, namespace: &str, release: &str) -> Option<Self> {
        let receipts = guard.cluster.naming(Kind::UpgradeReceipt, namespace, release);
        let newest = api::newest_receipt(&receipts, release)?;
        let finished: Option<Timestamp> = text(newest, "/spec/finishedAt").and_then(|time| time.parse().ok());
        if finished.zip(metadata_made(guard, namespace, release)).is_some_and(|(finished, made)| made > finished) {
            return None;
        }
        let (name, to) = (text(newest, "/metadata/name")?, text(newest, "/spec/to")?);
        Some(Self { receipt: name.to_owned(), to: to.trim_start_matches('v').to_owned() })
    }

    /// What an install finds; nothing where it brings an etcd of its own and no claim is there.
    pub(super) fn found_by<C: Cluster>(guard: &Guard<C>, namespace: &str, release: &str, install: &Declaration) -> Option<Self> {
        let is_empty = || guard.claims_of(namespace, release).is_empty() && begins_empty(&resolved(install.clone()));
        Self::of(guard, namespace, release).filter(|_| !is_empty())
    }

    /// The state that an install is judged from.
    pub(super) fn state(&self, install: &Declaration) -> Declaration {
        let mut before = install.clone();
        before.layers.extend(image_layers(&format!("milvusdb/milvus:v{}", self.to), &before.place));
        before
    }

    /// What leads out where an install is held for it, and its path is legal or not: nothing of it runs, so there is no upgrade that could be carried out.
    pub(super) fn ways(&self, namespace: &str, release: &str, is_legal: bool) -> String {
        let then = if is_legal { " first, wait until it runs, then change to what waits" } else { "" };
        let deletion = Self::deletion(namespace, release);
        format!(
            "Install Milvus {}{then}. Where that data is gone, or what waits does not use it, or is known to read it: {deletion}, and install anew (uninstall first)",
            self.to
        )
    }

    /// Who says what wrote it.
    pub(super) fn says(&self) -> String {
        format!("UpgradeReceipt {} says that Milvus {} wrote the data of this name", self.receipt, self.to)
    }

    /// How it is said no longer: the one before would speak in its place.
    pub(super) fn deletion(namespace: &str, release: &str) -> String {
        format!("kubectl delete upgradereceipt -n {namespace} -l app.kubernetes.io/instance={release}")
    }
}

/// When the first claim of a release's own etcd was made, where it has any: later ones are those of further members.
fn metadata_made<C: Cluster>(guard: &Guard<C>, namespace: &str, release: &str) -> Option<Timestamp> {
    let all = guard.claims_of(namespace, release);
    let of_etcd = all.iter().filter(|claim| label(claim, "app.kubernetes.io/name") == Some("etcd"));
    of_etcd.filter_map(|claim| text(claim, "/metadata/creationTimestamp")?.parse().ok()).min()
}

/// Whether metadata is made anew by an install: its own etcd, on a claim of its own, if any.
fn begins_empty(release: &Release) -> bool {
    let is_on = |path: &str| release.effective.lookup(path).found().and_then(|entry| entry.node.value.as_bool());
    let claim = release.effective.lookup("etcd.persistence.existingClaim").found().and_then(|entry| entry.node.value.as_str());
    is_on("etcd.enabled") == Some(true) && is_on("externalEtcd.enabled") != Some(true) && claim.is_none_or(str::is_empty)
}
