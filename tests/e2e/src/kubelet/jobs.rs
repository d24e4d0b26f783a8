//! What a kubelet does with the pods of a migration's Jobs: runs our own commands as processes, and the stand-in for upstream's tool, with their volumes, and writes how they ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Kubelet;
use super::behaviour::Behaviour;
use super::pods::finish;
use crate::control_plane::run_folder;
use crate::metadata::tool;
use crate::webhook::binary;

/// What labels these pods.
const NAME: &str = "milvus-guard-metadata";

/// Where containers tell how they ended.
const REPORT: &str = "/dev/termination-log";

/// Whether it is a pod of a migration's Job.
pub(super) fn is_ours(pod: &Pod) -> bool {
    pod.labels().get("app.kubernetes.io/name").is_some_and(|name| name == NAME)
}

/// Where the files of a claim are on this machine.
pub fn claim_folder(namespace: &str, claim: &str) -> PathBuf {
    let folder = run_folder().join("claims").join(namespace).join(claim);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs the containers of a pod one after the other; when it is deleted meanwhile, they are killed.
pub(super) async fn live(kubelet: &Kubelet, client: &Client, pods: &Api<Pod>, newest: &mut watch::Receiver<Pod>) {
    let pod = newest.borrow_and_update().clone();
    if pod.metadata.deletion_timestamp.is_some() {
        return finish(pods, &pod).await;
    }
    let home = tempfile::tempdir().unwrap();
    let volumes = volumes(client, &pod, home.path()).await;
    let spec = pod.spec.clone().unwrap();
    let first = spec.init_containers.clone().unwrap_or_default();
    let all: Vec<&Container> = first.iter().chain(&spec.containers).collect();
    let mut ended: Vec<Value> = Vec::new();
    let mut failed = false;
    for container in &all {
        if failed {
            break;
        }
        status(pods, &pod, &all, first.len(), &ended, "Running").await;
        let running = run(container, &volumes, home.path());
        tokio::pin!(running);
        let (code, message) = loop {
            tokio::select! {
                done = &mut running => break done,
                change = newest.changed() => {
                    let is_deleted = change.is_err() || newest.borrow().metadata.deletion_timestamp.is_some();
                    if is_deleted {
                        return finish(pods, &pod).await;
                    }
                }
            }
        };
        failed = code != 0;
        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        let reason = if failed { "Error" } else { "Completed" };
        ended.push(json!({"terminated": {"exitCode": code, "reason": reason, "message": message, "startedAt": now, "finishedAt": now}}));
    }
    if !failed && kubelet.rules.of(&pod) == Behaviour::LosingFiles {
        for volume in spec.volumes.iter().flatten().filter(|volume| volume.persistent_volume_claim.is_some()) {
            for file in std::fs::read_dir(&volumes[&volume.name]).unwrap().flatten() {
                std::fs::write(file.path(), "").unwrap();
            }
        }
    }
    status(pods, &pod, &all, first.len(), &ended, if failed { "Failed" } else { "Succeeded" }).await;
    while newest.changed().await.is_ok() {
        if newest.borrow().metadata.deletion_timestamp.is_some() {
            return finish(pods, &pod).await;
        }
    }
}

/// A folder for each volume.
async fn volumes(client: &Client, pod: &Pod, home: &Path) -> BTreeMap<String, PathBuf> {
    let namespace = pod.namespace().unwrap();
    let mut found = BTreeMap::new();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let folder = match (&volume.persistent_volume_claim, &volume.secret) {
            (Some(claim), _) => claim_folder(&namespace, &claim.claim_name),
            (None, secret) => {
                let folder = home.join(&volume.name);
                std::fs::create_dir_all(&folder).unwrap();
                if let Some(name) = secret.as_ref().and_then(|secret| secret.secret_name.as_deref()) {
                    let secret = Api::<Secret>::namespaced(client.clone(), &namespace).get(name).await.unwrap();
                    for (key, value) in secret.data.unwrap_or_default() {
                        std::fs::write(folder.join(key), value.0).unwrap();
                    }
                }
                folder
            }
        };
        found.insert(volume.name.clone(), folder);
    }
    found
}

/// Exit code, and what it told at its end.
async fn run(container: &Container, volumes: &BTreeMap<String, PathBuf>, home: &Path) -> (i32, String) {
    let report = home.join(format!("report-of-{}", container.name));
    let mut places: Vec<(String, String)> = vec![(REPORT.to_owned(), report.display().to_string())];
    for mount in container.volume_mounts.iter().flatten() {
        places.push((mount.mount_path.clone(), volumes[&mount.name].display().to_string()));
    }
    let here = |text: &String| places.iter().fold(text.clone(), |text, (inside, outside)| text.replace(inside, outside));
    let arguments: Vec<String> = container.args.iter().flatten().map(here).collect();
    let image = container.image.clone().unwrap_or_default();
    if image.contains("meta-migration") {
        let path = arguments.last().unwrap().rsplit_once("-config=").unwrap().1.to_owned();
        let configuration = tool::read(&std::fs::read_to_string(path).unwrap_or_default());
        return match tool::run(&configuration, &image).await {
            Ok(said) => (0, said),
            Err((code, said)) => (code, said),
        };
    }
    let mut command = tokio::process::Command::new(binary());
    command.args(&arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    crate::told::said(&String::from_utf8_lossy(&output.stderr));
    let message = std::fs::read_to_string(&report).unwrap_or_else(|_| String::from_utf8_lossy(&output.stderr).into_owned());
    (output.status.code().unwrap_or(137), message)
}

async fn status(pods: &Api<Pod>, pod: &Pod, all: &[&Container], first: usize, ended: &[Value], phase: &str) {
    let state = |at: usize| match (ended.get(at), phase) {
        (Some(state), _) => state.clone(),
        (None, "Running") if at == ended.len() => json!({"running": {"startedAt": k8s_openapi::jiff::Timestamp::now().to_string()}}),
        (None, _) => json!({"waiting": {"reason": "PodInitializing"}}),
    };
    let each = |(at, container): (usize, &&Container)| json!({"name": container.name, "image": container.image, "imageID": "", "ready": false, "restartCount": 0, "state": state(at)});
    let statuses: Vec<Value> = all.iter().enumerate().map(each).collect();
    let (before, main) = statuses.split_at(first);
    // A pod whose containers still wait for others is pending.
    let phase = if phase == "Running" && ended.len() < first { "Pending" } else { phase };
    let patch = json!({"status": {"phase": phase, "initContainerStatuses": before, "containerStatuses": main}});
    for _ in 0..50 {
        match pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.code == 404 => return,
            // The API server may be away for a moment.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}
