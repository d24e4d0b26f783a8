//! When each component of a release was let go, and when all its pods were new: seen by a watch of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::fleet::{Place, WORKLOADS};
use crate::control_plane::ControlPlane;
use crate::kubelet::component;
use crate::sandbox::wait;

/// What was seen of a release.
#[derive(Debug, Default)]
struct Sight {
    /// By name.
    deployments: BTreeMap<String, Deployment>,
    /// By name.
    pods: BTreeMap<String, Pod>,
    /// By component: when its Deployment was first seen with the new image and not paused.
    released: BTreeMap<String, Instant>,
    /// By component: when its pods were first seen all new, all ready, and none of another image left.
    complete: BTreeMap<String, Instant>,
}

/// A watch of one release.
pub struct Hops {
    sight: Arc<Mutex<Sight>>,
}

impl Hops {
    /// Begins to watch; `image` is what images of the change end with.
    pub async fn of(plane: &ControlPlane, place: &Place, image: &'static str) -> Self {
        let client = plane.admin().await.client;
        let sight: Arc<Mutex<Sight>> = Arc::default();
        follow(Api::namespaced(client.clone(), &place.namespace), Arc::clone(&sight), image, |sight: &mut Sight| &mut sight.deployments);
        follow(Api::namespaced(client, &place.namespace), Arc::clone(&sight), image, |sight: &mut Sight| &mut sight.pods);
        wait("a look at the release", async || {
            let sight = sight.lock().unwrap();
            (sight.deployments.len() == WORKLOADS && sight.pods.len() >= WORKLOADS).then_some(())
        })
        .await;
        Self { sight }
    }

    /// Waits until the first component was let go.
    pub async fn first_release(&mut self) -> Instant {
        wait("a first component that is let go", async || self.sight.lock().unwrap().released.values().min().copied()).await
    }

    /// Waits until all components are replaced.
    pub async fn all_complete(&mut self) {
        wait("all components replaced", async || (self.sight.lock().unwrap().complete.len() == WORKLOADS).then_some(())).await;
    }

    /// How long each component but the first waited to be let go after all before it were complete.
    pub fn waits(&self) -> Vec<Duration> {
        let sight = self.sight.lock().unwrap();
        let mut order: Vec<(&String, &Instant)> = sight.released.iter().collect();
        order.sort_by_key(|(_, released)| **released);
        order.windows(2).map(|pair| pair[1].1.saturating_duration_since(sight.complete[pair[0].0])).collect()
    }
}

fn follow<K>(api: Api<K>, sight: Arc<Mutex<Sight>>, image: &'static str, kept: fn(&mut Sight) -> &mut BTreeMap<String, K>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    tokio::spawn(async move {
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
        while let Some(event) = events.next().await {
            let mut sight = sight.lock().unwrap();
            match event {
                Ok(Event::InitApply(object) | Event::Apply(object)) => drop(kept(&mut sight).insert(object.name_any(), object)),
                Ok(Event::Delete(object)) => drop(kept(&mut sight).remove(&object.name_any())),
                _ => continue,
            }
            sight.look(image, Instant::now());
        }
    });
}

impl Sight {
    fn look(&mut self, image: &str, now: Instant) {
        for deployment in self.deployments.values() {
            let Some(spec) = &deployment.spec else { continue };
            let name = component(deployment.labels());
            let is_new = spec.template.spec.as_ref().is_some_and(|pod| runs(&pod.containers, image));
            if !is_new || spec.paused == Some(true) {
                continue;
            }
            self.released.entry(name.clone()).or_insert(now);
            let own: Vec<&Pod> = self.pods.values().filter(|pod| component(pod.labels()) == name).collect();
            let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap();
            if own.len() == wanted && own.iter().all(|pod| is_ready(pod) && runs(&pod.spec.as_ref().unwrap().containers, image)) {
                self.complete.entry(name).or_insert(now);
            }
        }
    }
}

fn runs(containers: &[k8s_openapi::api::core::v1::Container], image: &str) -> bool {
    containers.iter().any(|container| container.image.as_ref().is_some_and(|own| own.ends_with(image)))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none() && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
