//! What a kubelet does with the pods of our charts' hooks: runs the real program, with the Job's arguments and as the Job's service account.

use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::binary;
use crate::control_plane::ControlPlane;
use crate::kubelet::{Behaviour, Pods};

/// Runs the container of every hook pod in a namespace, of this name by its labels, until `helm` ends. Returns all that they printed.
pub async fn run<T>(plane: &ControlPlane, namespace: &str, hook: &str, helm: &JoinHandle<T>) -> String {
    // The stand-in leaves them as they are: running.
    plane.kubelet().behave(Pods::of(namespace).component(hook), Behaviour::NeverReady);
    let pods: Api<Pod> = Api::namespaced(plane.admin().await.client, namespace);
    let mut ran = Vec::new();
    let mut printed = String::new();
    while !helm.is_finished() {
        let listed = pods.list(&ListParams::default().labels(&format!("app.kubernetes.io/name={hook}"))).await.unwrap().items;
        for pod in listed.into_iter().filter(is_running) {
            if !ran.contains(&pod.uid()) {
                ran.push(pod.uid());
                printed += &run_one(plane, &pods, namespace, &pod).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    printed
}

fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"))
}

async fn run_one(plane: &ControlPlane, pods: &Api<Pod>, namespace: &str, pod: &Pod) -> String {
    let spec = pod.spec.as_ref().unwrap();
    let container = &spec.containers[0];
    let account = plane.service_account(namespace, spec.service_account_name.as_deref().unwrap()).await;
    let mut command = Command::new(binary());
    command.args(container.args.iter().flatten()).env("KUBECONFIG", &account.kubeconfig).stdin(Stdio::null());
    let output = command.output().await.unwrap();
    let code = output.status.code().unwrap_or(137);
    let state = json!({"terminated": {"exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }}});
    let ended = json!({"name": container.name, "image": container.image, "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let status = json!({"status": {"phase": if code == 0 { "Succeeded" } else { "Failed" }, "containerStatuses": [ended]}});
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
