//! A stand-in for the kubelets: it starts and ends pods as each test tells, and records every start.

mod behaviour;
pub mod jobs;
mod pods;
mod record;
mod status;

use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;

pub use behaviour::{Behaviour, Pods, component};
pub use record::PodStart;

use behaviour::Rules;
use futures::TryStreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};

/// The node on which all pods run.
pub(crate) const NODE: &str = "stand-in";

/// Starts pods, makes them ready or not, finishes their deletion, binds claims. Replaces nothing by itself: controllers do.
#[derive(Debug, Clone)]
pub struct Kubelet {
    rules: Arc<Rules>,
    record: Arc<Mutex<Vec<PodStart>>>,
    rules_changed: watch::Sender<u64>,
}

impl Kubelet {
    pub(crate) fn new() -> Self {
        Self { rules: Arc::default(), record: Arc::default(), rules_changed: watch::Sender::new(0) }
    }

    /// From now on, pods that match behave so; pods that run already, too. The last rule that matches a pod counts. Without one, pods are ready after 20 ms.
    pub fn behave(&self, pods: Pods, behaviour: Behaviour) {
        self.rules.add(pods, behaviour);
        self.rules_changed.send_modify(|n| *n += 1);
    }

    /// Every pod start in a namespace, oldest first.
    pub fn starts(&self, namespace: &str) -> Vec<PodStart> {
        self.record.lock().unwrap().iter().filter(|start| start.namespace == namespace).cloned().collect()
    }

    pub(crate) async fn run(&self, client: &Client) {
        let nodes: Api<Node> = Api::all(client.clone());
        let apply = PatchParams::apply("kubelet-stand-in").force();
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
        nodes.patch(NODE, &apply, &Patch::Apply(&node)).await.unwrap();
        let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "StandIn", "message": "there is no machine"}]}});
        nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
        tokio::spawn(pods::run(self.clone(), client.clone()));
        tokio::spawn(bind_claims(client.clone()));
    }
}

/// Marks claims as bound, as a provisioner would.
async fn bind_claims(client: Client) {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let events = watcher(claims, watcher::Config::default()).default_backoff().applied_objects();
    let bind = |claim: PersistentVolumeClaim| {
        let client = client.clone();
        async move {
            let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
            if !bound && claim.metadata.deletion_timestamp.is_none() {
                let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, &claim.namespace().unwrap());
                let requested = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.clone());
                let status = json!({"status": {"phase": "Bound", "accessModes": claim.spec.and_then(|spec| spec.access_modes), "capacity": requested}});
                // A claim that is gone by now needs nothing.
                let _ = claims.patch_status(&claim.metadata.name.unwrap(), &PatchParams::default(), &Patch::Merge(&status)).await;
            }
            Ok(())
        }
    };
    let _ = events.try_for_each(bind).await;
}
