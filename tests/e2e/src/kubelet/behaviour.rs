//! What tests want of pods.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// What a pod does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Runs, and is ready after this time. A pod of a Job succeeds then.
    ReadyAfter(Duration),
    /// Runs, and is never ready.
    NeverReady,
    /// Starts and fails, again and again. A pod of a Job fails.
    CrashLooping,
    /// Is ready, and once deleted never ends.
    StuckTerminating,
    /// A pod of a migration's Job succeeds, and what it wrote to its claims is empty then.
    LosingFiles,
}

/// Which pods are meant: all of a namespace, narrowed by component and image.
#[derive(Debug, Clone)]
pub struct Pods {
    namespace: String,
    component: Option<String>,
    image: Option<String>,
    label: Option<(String, String)>,
}

impl Pods {
    /// All pods of a namespace.
    pub fn of(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), component: None, image: None, label: None }
    }

    /// Only those of a component (`querynode`, `etcd`, `minio`, `broker`): see [`component`].
    pub fn component(mut self, name: &str) -> Self {
        self.component = Some(name.to_owned());
        self
    }

    /// Only those with an image that contains this text (`v2.5.16`).
    pub fn image(mut self, part: &str) -> Self {
        self.image = Some(part.to_owned());
        self
    }

    /// Only those with a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.label = Some((key.to_owned(), value.to_owned()));
        self
    }

    fn has(&self, pod: &Pod) -> bool {
        let images = || pod.spec.iter().flat_map(|spec| &spec.containers).filter_map(|container| container.image.as_deref());
        pod.namespace().as_deref() == Some(&self.namespace)
            && self.component.as_ref().is_none_or(|name| *name == component(pod.labels()))
            && self.label.as_ref().is_none_or(|(key, value)| pod.labels().get(key) == Some(value))
            && self.image.as_ref().is_none_or(|part| images().any(|image| image.contains(part.as_str())))
    }
}

/// The component that labels tell: `component` (Milvus, Pulsar), else `app` (MinIO), else `app.kubernetes.io/name` (etcd, Kafka).
pub fn component(labels: &BTreeMap<String, String>) -> String {
    ["component", "app", "app.kubernetes.io/name"].iter().find_map(|key| labels.get(*key).cloned()).unwrap_or_default()
}

#[derive(Debug, Default)]
pub(super) struct Rules(Mutex<Vec<(Pods, Behaviour)>>);

impl Rules {
    pub(super) fn add(&self, pods: Pods, behaviour: Behaviour) {
        self.0.lock().unwrap().push((pods, behaviour));
    }

    pub(super) fn of(&self, pod: &Pod) -> Behaviour {
        let rules = self.0.lock().unwrap();
        rules.iter().rev().find(|(pods, _)| pods.has(pod)).map_or(Behaviour::ReadyAfter(Duration::from_millis(20)), |(_, behaviour)| *behaviour)
    }
}
