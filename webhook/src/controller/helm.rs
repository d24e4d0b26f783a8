//! How far a change has arrived, by the revision that Helm keeps of it. Read by name, and only its labels: neither lists of Secrets nor what is in them.

use std::fmt::Debug;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::{Api, Client, Resource, ResourceExt as _};
use milvus_guard::rollout::observed::{Arrival, Moment};
use serde::de::DeserializeOwned;

use super::{ReleaseKey, moment};

/// The highest revision that is looked for where none is known.
const MOST_REVISIONS: u64 = 1_000;

/// Revisions between two that are asked for at first: Helm keeps ten, Flux five.
const STRIDE: u64 = 4;

/// Questions at a time.
const AT_ONCE: usize = 16;

/// What Helm says of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The newest revision.
    pub number: u64,
    /// Its status: `deployed`, `pending-upgrade`, `failed`.
    pub status: String,
    /// When it was stored.
    pub stored: Moment,
}

impl Revision {
    /// Whether Helm is at work, or was when it died.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.status.starts_with("pending-") || self.status == "uninstalling"
    }
}

/// How far a change has arrived. `written`: when an object of the release was last written.
#[must_use]
pub fn arrival(revision: Option<&Revision>, written: Moment) -> Arrival {
    match revision {
        Some(revision) if revision.is_pending() => Arrival::Pending(revision.stored),
        _ => Arrival::Written(written),
    }
}

/// The newest revision of a release, from the one that was the newest when it was last looked at; nothing where Helm keeps none.
///
/// # Errors
/// When the API server does not answer: then nobody knows whether Helm is at work.
pub async fn newest(client: &Client, release: &ReleaseKey, known: Option<u64>) -> kube::Result<Option<Revision>> {
    match newest_in::<Secret>(client, release, known).await? {
        Some(found) => Ok(Some(found)),
        None => newest_in::<ConfigMap>(client, release, known).await,
    }
}

async fn newest_in<K>(client: &Client, release: &ReleaseKey, known: Option<u64>) -> kube::Result<Option<Revision>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), &release.namespace);
    let ask = async |number: u64| -> kube::Result<Option<Revision>> {
        let found = api.get_metadata_opt(&format!("sh.helm.release.v1.{}.v{number}", release.name)).await?;
        Ok(found.map(|object| read(number, &object)))
    };
    let mut newest = match known {
        Some(known) => ask(known).await?,
        None => None,
    };
    if newest.is_none() {
        let near: Vec<u64> = (1..=AT_ONCE as u64).collect();
        let strides: Vec<u64> = (1..).map(|step| step * STRIDE).take_while(|number| *number <= MOST_REVISIONS).collect();
        for numbers in [near, strides] {
            let answers = stream::iter(numbers).map(ask).buffered(AT_ONCE);
            let found: Vec<Revision> = answers.try_filter_map(async |revision| Ok(revision)).try_collect().await?;
            newest = found.into_iter().max_by_key(|revision| revision.number);
            if newest.is_some() {
                break;
            }
        }
    }
    while let Some(current) = &newest {
        match ask(current.number + 1).await? {
            Some(next) => newest = Some(next),
            None => break,
        }
    }
    Ok(newest)
}

fn read<K>(number: u64, object: &PartialObjectMeta<K>) -> Revision
where
    K: Resource<DynamicType = ()>,
{
    let status = object.labels().get("status").cloned().unwrap_or_default();
    let by_label = |name: &str| object.labels().get(name)?.parse().ok().map(Moment);
    let stored = by_label("modifiedAt").or_else(|| by_label("createdAt")).or_else(|| object.creation_timestamp().map(|time| moment(time.0)));
    Revision { number, status, stored: stored.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helm_is_at_work_while_its_revision_is_pending() {
        let revision = |status: &str| Revision { number: 3, status: status.to_owned(), stored: Moment(7) };
        for status in ["pending-upgrade", "pending-rollback", "pending-install", "uninstalling"] {
            assert_eq!(arrival(Some(&revision(status)), Moment(9)), Arrival::Pending(Moment(7)), "{status}");
        }
        for status in ["deployed", "failed", "superseded", ""] {
            assert_eq!(arrival(Some(&revision(status)), Moment(9)), Arrival::Written(Moment(9)), "{status}");
        }
        assert_eq!(arrival(None, Moment(9)), Arrival::Written(Moment(9)));
    }
}
