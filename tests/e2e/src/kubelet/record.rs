//! What is remembered of each pod start.

use std::collections::BTreeMap;
use std::time::Instant;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, Client, ResourceExt};

use super::behaviour::component;

/// A pod that was started once.
#[derive(Debug, Clone)]
pub struct PodStart {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its uid: a pod of a StatefulSet keeps its name when it is replaced.
    pub uid: String,
    /// The release that its labels tell (`app.kubernetes.io/instance`, else `release`), or nothing.
    pub release: String,
    /// The component that its labels tell.
    pub component: String,
    /// Image by container.
    pub images: BTreeMap<String, String>,
    /// Content by key of each ConfigMap that it mounts or takes variables from, as it was at the start. A ConfigMap that is missing is left out.
    pub configuration: BTreeMap<String, BTreeMap<String, String>>,
    /// Files that it mounts out of ConfigMaps which have no such key (`m-milvus/milvus.yaml`): a real kubelet cannot start its containers.
    pub missing: Vec<String>,
    /// Annotations of the pod: the checksum of the configuration among them.
    pub annotations: BTreeMap<String, String>,
    /// When it was started.
    pub at: Instant,
}

impl PodStart {
    /// The image of the container named like the component, or of the only container.
    pub fn image(&self) -> &str {
        self.images.get(&self.component).or_else(|| self.images.values().next()).map_or("", String::as_str)
    }
}

/// Notes a start, with the configuration as it is now.
pub(super) async fn note(client: &Client, pod: &Pod) -> PodStart {
    let namespace = pod.namespace().unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let mut configuration = BTreeMap::new();
    for name in maps_of(pod) {
        if let Ok(Some(map)) = maps.get_opt(&name).await {
            configuration.insert(name, map.data.unwrap_or_default());
        }
    }
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let labels = pod.labels();
    PodStart {
        pod: pod.name_any(),
        uid: pod.uid().unwrap(),
        release: ["app.kubernetes.io/instance", "release"].iter().find_map(|key| labels.get(*key).cloned()).unwrap_or_default(),
        component: component(labels),
        images: containers.map(|container| (container.name.clone(), container.image.clone().unwrap_or_default())).collect(),
        missing: missing(pod, &configuration),
        configuration,
        annotations: pod.annotations().clone(),
        at: Instant::now(),
        namespace,
    }
}

/// What containers mount by `subPath` out of ConfigMaps, and is not there.
fn missing(pod: &Pod, configuration: &BTreeMap<String, BTreeMap<String, String>>) -> Vec<String> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let map_of = |volume: &str| {
        let volume = spec.volumes.iter().flatten().find(|other| other.name == volume)?;
        volume.config_map.as_ref().map(|map| map.name.as_str())
    };
    let mounts = spec.containers.iter().flat_map(|container| container.volume_mounts.iter().flatten());
    let files = mounts.filter_map(|mount| Some((map_of(&mount.name)?, mount.sub_path.as_deref()?)));
    let is_missing = |(map, file): &(&str, &str)| configuration.get(*map).is_none_or(|files| !files.contains_key(*file));
    files.filter(is_missing).map(|(map, file)| format!("{map}/{file}")).collect()
}

fn maps_of(pod: &Pod) -> Vec<String> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.config_map.as_ref().map(|map| map.name.clone()));
    let variables = spec.containers.iter().flat_map(|container| container.env_from.iter().flatten());
    let variables = variables.filter_map(|source| source.config_map_ref.as_ref().map(|map| map.name.clone()));
    let mut names: Vec<String> = volumes.chain(variables).collect();
    names.sort();
    names.dedup();
    names
}
