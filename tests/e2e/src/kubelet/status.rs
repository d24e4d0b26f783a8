//! What a kubelet writes into the status of a pod.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// The state of all containers of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Unready,
    Ready,
    Crashing,
    Succeeded,
    Failed,
}

/// A merge patch for the status.
pub(super) fn patch(pod: &Pod, state: State, address: u32) -> Value {
    let now = Timestamp::now().to_string();
    let (phase, ready) = match state {
        State::Unready | State::Crashing => ("Running", false),
        State::Ready => ("Running", true),
        State::Succeeded => ("Succeeded", false),
        State::Failed => ("Failed", false),
    };
    let running = match state {
        State::Unready | State::Ready => json!({"running": {"startedAt": now}}),
        State::Crashing => json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}),
        State::Succeeded => json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}),
        State::Failed => json!({"terminated": {"exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now}}),
    };
    let restarts = i32::from(state == State::Crashing) * 3;
    let spec = pod.spec.as_ref();
    let container = |name: &str, image: Option<&String>, state: &Value, ready: bool| json!({"name": name, "image": image, "imageID": image, "ready": ready, "started": ready, "restartCount": restarts, "state": state});
    let containers: Vec<Value> = spec.iter().flat_map(|spec| &spec.containers).map(|c| container(&c.name, c.image.as_ref(), &running, ready)).collect();
    let done = json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}});
    let before = spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let before: Vec<Value> = before.map(|c| container(&c.name, c.image.as_ref(), &done, true)).collect();
    let conditions = [("PodScheduled", true), ("Initialized", true), ("ContainersReady", ready), ("Ready", ready)];
    let conditions: Vec<Value> =
        conditions.iter().map(|(name, holds)| json!({"type": name, "status": if *holds { "True" } else { "False" }, "lastTransitionTime": now})).collect();
    let [a, b, c, d] = address.to_be_bytes();
    let address = format!("{a}.{b}.{c}.{d}");
    json!({"status": {
        "phase": phase,
        "conditions": conditions,
        "hostIP": "127.0.0.1",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now,
        "containerStatuses": containers,
        "initContainerStatuses": before,
    }})
}
