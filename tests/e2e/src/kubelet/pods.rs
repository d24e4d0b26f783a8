//! The life of pods: one task per pod and step.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::behaviour::Behaviour;
use super::status::{self, State};
use super::{Kubelet, NODE, jobs, record};

/// The task of a pod learns of the pod's newest form through this.
type Newest = watch::Sender<Pod>;

/// Watches all pods, and lives each one's life.
pub(super) async fn run(kubelet: Kubelet, client: Client) {
    let pods: Api<Pod> = Api::all(client.clone());
    let mut events = std::pin::pin!(watcher(pods, watcher::Config::default()).default_backoff());
    let mut lives: HashMap<String, Newest> = HashMap::new();
    let mut listed: HashMap<String, Newest> = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            // A list: after it, what was not in it is gone.
            Ok(Event::Init) => lives.extend(listed.drain()),
            Ok(Event::InitApply(pod)) => {
                let uid = pod.uid().unwrap();
                let life = lives.remove(&uid);
                listed.insert(uid, seen(&kubelet, &client, pod, life));
            }
            Ok(Event::InitDone) => lives = std::mem::take(&mut listed),
            Ok(Event::Apply(pod)) => {
                let uid = pod.uid().unwrap();
                let life = lives.remove(&uid);
                lives.insert(uid, seen(&kubelet, &client, pod, life));
            }
            Ok(Event::Delete(pod)) => {
                lives.remove(&pod.uid().unwrap());
            }
            // The watch comes back by itself.
            Err(_) => {}
        }
    }
}

fn seen(kubelet: &Kubelet, client: &Client, pod: Pod, life: Option<Newest>) -> Newest {
    match life {
        Some(life) => {
            life.send_replace(pod);
            life
        }
        None => {
            let (newest, receiver) = watch::channel(pod);
            tokio::spawn(live(kubelet.clone(), client.clone(), receiver));
            newest
        }
    }
}

/// A pod from its start to its end. Ends when the pod is gone, which closes the channel.
async fn live(kubelet: Kubelet, client: Client, mut newest: watch::Receiver<Pod>) {
    static ADDRESS: AtomicU32 = AtomicU32::new(0x0a80_0001);
    let pod = newest.borrow().clone();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap());
    let address = ADDRESS.fetch_add(1, Ordering::Relaxed);
    let mut rules_changed = kubelet.rules_changed.subscribe();
    if pod.metadata.deletion_timestamp.is_none() {
        if !is_scheduled(&pod) && !schedule(&pods, &pod).await {
            return;
        }
        let start = record::note(&client, &pod).await;
        kubelet.record.lock().unwrap().push(start);
    }
    if jobs::is_ours(&pod) && matches!(kubelet.rules.of(&pod), Behaviour::ReadyAfter(_) | Behaviour::LosingFiles) {
        jobs::live(&kubelet, &client, &pods, &mut newest).await;
        return;
    }
    let mut written: Option<State> = None;
    let (mut behaviour, mut since) = (kubelet.rules.of(&pod), Instant::now());
    loop {
        let pod = newest.borrow_and_update().clone();
        let told = kubelet.rules.of(&pod);
        if told != behaviour {
            (behaviour, since) = (told, Instant::now());
        }
        let deleted = pod.metadata.deletion_timestamp.is_some();
        if deleted && behaviour != Behaviour::StuckTerminating {
            return finish(&pods, &pod).await;
        }
        let (wait, state) = wanted(&pod, behaviour);
        if written.is_none() && !wait.is_zero() && write(&pods, &pod, State::Unready, address).await {
            written = Some(State::Unready);
        }
        tokio::select! {
            () = tokio::time::sleep_until(since + wait), if !deleted && written != Some(state) => {
                if write(&pods, &pod, state, address).await {
                    written = Some(state);
                } else {
                    // The API server may be away for a moment.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            change = newest.changed() => if change.is_err() { return },
            _ = rules_changed.changed() => {}
        }
    }
}

fn is_scheduled(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())
}

/// Binds a pod to the only node; false when that cannot be done any more.
async fn schedule(pods: &Api<Pod>, pod: &Pod) -> bool {
    let name = pod.name_any();
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "uid": pod.uid()}, "target": {"kind": "Node", "name": NODE}});
    for _ in 0..100 {
        match pods.create_subresource::<_, serde_json::Value>("binding", &name, &PostParams::default(), &binding).await {
            Ok(_) => return true,
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => return false,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    false
}

fn wanted(pod: &Pod, behaviour: Behaviour) -> (Duration, State) {
    let forever =
        pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) != Some("Never") && !pod.owner_references().iter().any(|owner| owner.kind == "Job");
    match (behaviour, forever) {
        (Behaviour::ReadyAfter(wait), true) => (wait, State::Ready),
        (Behaviour::LosingFiles, _) => (Duration::ZERO, State::Succeeded),
        (Behaviour::ReadyAfter(wait), false) => (wait, State::Succeeded),
        (Behaviour::NeverReady, _) => (Duration::ZERO, State::Unready),
        (Behaviour::CrashLooping, true) => (Duration::ZERO, State::Crashing),
        (Behaviour::CrashLooping, false) => (Duration::ZERO, State::Failed),
        (Behaviour::StuckTerminating, _) => (Duration::ZERO, State::Ready),
    }
}

async fn write(pods: &Api<Pod>, pod: &Pod, state: State, address: u32) -> bool {
    let patch = status::patch(pod, state, address);
    match pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => true,
        // Gone: nothing to write.
        Err(kube::Error::Api(status)) => status.code == 404,
        Err(_) => false,
    }
}

/// The final deletion, as kubelets send it once the containers have ended.
pub(super) async fn finish(pods: &Api<Pod>, pod: &Pod) {
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
        ..DeleteParams::default()
    };
    for _ in 0..100 {
        match pods.delete(&pod.name_any(), &now).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
