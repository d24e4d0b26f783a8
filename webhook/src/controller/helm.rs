//! How far a change has arrived, by the revision that Helm keeps of it. Read by name, and only its labels: neither lists of Secrets nor what is in them.
//!
//! A `list` would show every Secret of the namespace to whoever has the controller's token, since rights know no metadata-only lists and no selectors. So the newest revision is looked for by
//! asking, and what Helm keeps tells where to look: when it stores a revision it deletes the oldest beyond its limit (ten by default, five with Flux), and never the one that is `deployed`.
//! What is there is therefore a run of consecutive revisions that ends with the newest, and at most one below it that is `deployed`, or was until the newest superseded it, with a gap of failed
//! upgrades between. From any other the newest is found by counting on; from such a one, the numbers above it are asked for as well.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::{NamespaceResourceScope, ObjectMeta, PartialObjectMeta};
use kube::{Api, Client, Resource, ResourceExt as _};
use milvus_guard::rollout::observed::{Arrival, Moment};
use serde::de::DeserializeOwned;

use super::{ReleaseKey, moment};

/// Revisions above a known one of which each is asked for.
const NEAR: u64 = 64;

/// Revisions above a known one among which every [`STRIDE`]th is asked for.
const WIDE: u64 = 1_000;

/// The same where none is known of a release that Helm wrote.
const WIDEST: u64 = 10_000;

/// The shortest run of revisions that is found beyond [`NEAR`]: that of Flux, which keeps five, beside one that is deployed.
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

    /// Whether newer ones may have been deleted before it.
    fn may_be_left_behind(&self) -> bool {
        matches!(self.status.as_str(), "deployed" | "superseded")
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

/// Which revision of each release was found, and when objects of the release had last been written then: while that is so, a search finds nothing else. It only saves questions.
#[derive(Debug, Default)]
pub struct Revisions(Mutex<BTreeMap<ReleaseKey, (Moment, Option<u64>)>>);

impl Revisions {
    /// The newest revision of a release; nothing where Helm keeps none, or none that is found. `known`: the one that was the newest before; `written`: when an object of the release was last written.
    ///
    /// # Errors
    /// When the API server does not answer: then nobody knows whether Helm is at work.
    pub async fn newest(&self, client: &Client, release: &ReleaseKey, known: Option<u64>, written: Moment) -> kube::Result<Option<Revision>> {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(release).copied();
        let (is_searched, found) = before.map_or((false, None), |(of, found)| (of == written, found));
        let known = found.or(known);
        let newest = if is_searched && known.is_none() { None } else { ask_helm(client, release, known, is_searched).await? };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(release.clone(), (written, newest.as_ref().map(|revision| revision.number)));
        Ok(newest)
    }
}

/// The same by a search of its own: nothing tells when Helm's last revision of a release goes.
///
/// # Errors
/// When the API server does not answer.
pub async fn newest_now(client: &Client, release: &ReleaseKey, known: Option<u64>) -> kube::Result<Option<Revision>> {
    ask_helm(client, release, known, false).await
}

async fn ask_helm(client: &Client, release: &ReleaseKey, known: Option<u64>, is_searched: bool) -> kube::Result<Option<Revision>> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &release.namespace);
    match newest_of(&|number| ask(&secrets, release, number), known, is_searched).await? {
        Some(found) => Ok(Some(found)),
        None => newest_of(&|number| ask(&Api::<ConfigMap>::namespaced(client.clone(), &release.namespace), release, number), known, is_searched).await,
    }
}

fn ask<K>(api: &Api<K>, release: &ReleaseKey, number: u64) -> BoxFuture<'static, kube::Result<Option<Revision>>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug + 'static,
{
    let (api, name) = (api.clone(), format!("sh.helm.release.v1.{}.v{number}", release.name));
    async move { Ok(api.get_metadata_opt(&name).await?.map(|object| read(number, &object))) }.boxed()
}

/// Answers whether there is a revision of a number.
type Ask<'a> = &'a (dyn Fn(u64) -> BoxFuture<'static, kube::Result<Option<Revision>>> + Send + Sync);

/// The newest revision; `is_searched`: what is above `known` was asked for already, and counting on is enough.
async fn newest_of(ask: Ask<'_>, known: Option<u64>, is_searched: bool) -> kube::Result<Option<Revision>> {
    let found = match known {
        Some(known) => last_of_run(ask, ask(known).await?).await?,
        None => None,
    };
    if found.as_ref().is_some_and(|found| is_searched || !found.may_be_left_behind()) {
        return Ok(found);
    }
    let mut numbers = match &found {
        Some(found) => above(found.number),
        // Deleted meanwhile, or of a release that was uninstalled and counts anew.
        None => [above(known.unwrap_or_default()), above(0)].concat(),
    };
    numbers.sort_unstable();
    numbers.dedup();
    let mut higher = highest(ask, numbers).await?;
    if higher.is_none() && found.is_none() {
        higher = highest(ask, strides(WIDE, WIDEST)).await?;
    }
    match higher {
        Some(higher) => last_of_run(ask, Some(higher)).await,
        None => Ok(found),
    }
}

/// Numbers to ask for above one.
fn above(number: u64) -> Vec<u64> {
    let from = number.saturating_add(1);
    (from..from.saturating_add(NEAR)).chain(strides(number.saturating_add(NEAR), number.saturating_add(WIDE))).collect()
}

fn strides(from: u64, to: u64) -> Vec<u64> {
    (from..=to).filter(|number| number % STRIDE == 0).collect()
}

async fn highest(ask: Ask<'_>, numbers: Vec<u64>) -> kube::Result<Option<Revision>> {
    let answers = stream::iter(numbers).map(ask).buffered(AT_ONCE);
    let found: Vec<Revision> = answers.try_filter_map(async |revision| Ok(revision)).try_collect().await?;
    Ok(found.into_iter().max_by_key(|revision| revision.number))
}

/// Counts on to the last of consecutive revisions.
async fn last_of_run(ask: Ask<'_>, first: Option<Revision>) -> kube::Result<Option<Revision>> {
    let mut last = first;
    while let Some(current) = &last {
        match ask(current.number.saturating_add(1)).await? {
            Some(next) => last = Some(next),
            None => break,
        }
    }
    Ok(last)
}

fn read<K>(number: u64, object: &PartialObjectMeta<K>) -> Revision
where
    K: Resource<DynamicType = ()>,
{
    let status = object.labels().get("status").cloned().unwrap_or_default();
    Revision { number, status, stored: stored_at(object.meta()).map(Moment).unwrap_or_default() }
}

/// When a revision was last stored, in seconds of Unix time: the later of its labels, since Helm 4 stores a new revision with `modifiedAt` of the one before.
#[must_use]
pub fn stored_at(metadata: &ObjectMeta) -> Option<u64> {
    let by_label = |name: &&str| metadata.labels.as_ref()?.get(*name)?.parse().ok();
    let created = || metadata.creation_timestamp.as_ref().map(|time| moment(time.0).0);
    ["createdAt", "modifiedAt"].iter().filter_map(by_label).max().or_else(created)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::core::PartialObjectMetaExt as _;

    use super::*;

    /// Revisions as Helm keeps them: `removeLeastRecent` of its storage.
    #[derive(Debug, Clone, Default)]
    struct Storage {
        most: usize,
        last: u64,
        kept: BTreeMap<u64, &'static str>,
    }

    impl Storage {
        fn store(&mut self, status: &'static str) {
            let deployed = self.kept.iter().rfind(|(_, status)| **status == "deployed").map(|(number, _)| *number);
            while self.most > 0 && self.kept.len() >= self.most {
                let Some(oldest) = self.kept.keys().copied().find(|number| Some(*number) != deployed) else { break };
                self.kept.remove(&oldest);
            }
            self.last += 1;
            if let Some(deployed) = deployed.filter(|_| status == "deployed") {
                self.kept.insert(deployed, "superseded");
            }
            self.kept.insert(self.last, status);
        }

        fn newest(&self, known: Option<u64>, is_searched: bool) -> (Option<u64>, usize) {
            let (kept, asked) = (Arc::new(self.kept.clone()), Arc::new(Mutex::new(0)));
            let counted = Arc::clone(&asked);
            let ask = move |number: u64| {
                *counted.lock().unwrap() += 1;
                let status = kept.get(&number).map(|status| (*status).to_owned());
                async move { Ok(status.map(|status| Revision { number, status, stored: Moment(0) })) }.boxed()
            };
            let found = newest_of(&ask, known, is_searched).now_or_never().unwrap().unwrap();
            (found.map(|found| found.number), *asked.lock().unwrap())
        }
    }

    #[test]
    fn a_deployed_revision_that_many_failed_ones_have_left_behind_is_not_the_newest() {
        let mut storage = Storage { most: 10, ..Storage::default() };
        (0..5).for_each(|_| storage.store("deployed"));
        (0..25).for_each(|_| storage.store("failed"));
        assert_eq!(storage.kept.keys().copied().collect::<Vec<_>>(), [5, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
        assert_eq!(storage.newest(None, false).0, Some(30));
        assert_eq!(storage.newest(Some(5), false).0, Some(30));
    }

    #[test]
    fn the_newest_is_found_in_whatever_helm_keeps() {
        let mut chance = 7_u64;
        let mut draw = |of: u64| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (chance >> 33) % of
        };
        for round in 0..150 {
            let most = [0, 1, 2, 3, 5, 10, 256][usize::try_from(draw(7)).unwrap()];
            // What keeps fewer than Flux has its run found within the near ones only.
            let failures = if (1..5).contains(&most) { 40 } else { 700 };
            let mut storage = Storage { most, ..Storage::default() };
            let mut known = None;
            for _ in 0..=draw(6) {
                (0..draw(9)).for_each(|_| storage.store("deployed"));
                (0..draw(failures)).for_each(|_| storage.store("failed"));
                storage.store(["pending-upgrade", "deployed", "failed"][usize::try_from(draw(3)).unwrap()]);
                let told = format!("{round}: {known:?} of {:?}", storage.kept);
                let (found, _) = storage.newest(known, false);
                assert_eq!(found, Some(storage.last), "{told}");
                // Until something is written, counting on is enough, and cheap.
                assert_eq!(storage.newest(found, true), (found, 2), "{told}");
                known = found;
            }
        }
    }

    #[test]
    fn a_release_of_thousands_of_revisions_and_one_that_counts_anew_are_found() {
        let mut storage = Storage { most: 10, last: 7_300, ..Storage::default() };
        (0..20).for_each(|_| storage.store("failed"));
        assert_eq!(storage.newest(None, false).0, Some(7_320));
        assert_eq!(storage.newest(Some(7_200), false).0, Some(7_320));
        let mut anew = Storage { most: 10, ..Storage::default() };
        anew.store("pending-install");
        assert_eq!(anew.newest(Some(7_200), false).0, Some(1));
        assert_eq!(Storage::default().newest(Some(3), false).0, None);
    }

    #[test]
    fn a_revision_was_stored_at_the_later_of_the_times_that_helm_labels_it_with() {
        let stored = |labels: &[(&str, &str)]| {
            let metadata = ObjectMeta { labels: Some(labels.iter().map(|(name, time)| ((*name).into(), (*time).into())).collect()), ..ObjectMeta::default() };
            read(2, &metadata.into_response_partial::<Secret>()).stored.0
        };
        // As Helm 4 stores one: `modifiedAt` is that of the revision before.
        assert_eq!(stored(&[("createdAt", "1795342317"), ("modifiedAt", "1795342025")]), 1_795_342_317);
        assert_eq!(stored(&[("createdAt", "1795342025"), ("modifiedAt", "1795342317")]), 1_795_342_317);
        assert_eq!((stored(&[("createdAt", "1795342025")]), stored(&[("modifiedAt", "soon")])), (1_795_342_025, 0));
    }

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
