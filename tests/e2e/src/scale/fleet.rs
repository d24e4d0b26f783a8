//! Many releases, made fast: Helm renders one, the others are written straight to the API server; the controllers of Kubernetes make what follows from them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::chart;
use crate::commands::{Invocation, Program};
use crate::control_plane::ControlPlane;
use crate::kubelet::{Behaviour, Pods};

/// Workloads of each release: four coordinators, three kinds of nodes, and proxies.
pub const WORKLOADS: usize = 8;

/// The name under which the release is rendered that all others are made from.
const PATTERN: &str = "pattern-of-all";

/// Writes at a time.
const AT_ONCE: usize = 24;

const RELEASES_OF_A_NAMESPACE: usize = 10;

const CHART: &str = "4.2.58";

const VALUES: &str = "etcd.enabled=false,externalEtcd.enabled=true,externalEtcd.endpoints[0]=etcd:2379,minio.enabled=false,externalS3.enabled=true,externalS3.host=s3,\
    pulsar.enabled=false,pulsarv3.enabled=false,externalKafka.enabled=true,externalKafka.brokerList=kafka:9092,\
    mixCoordinator.enabled=false,rootCoordinator.enabled=true,queryCoordinator.enabled=true,indexCoordinator.enabled=true,dataCoordinator.enabled=true";

/// Where a release is.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The releases.
pub struct Fleet {
    plane: &'static ControlPlane,
    client: Client,
    /// What Helm renders, in JSON: Deployments and ConfigMaps.
    pattern: Vec<String>,
    history: usize,
    places: Vec<Place>,
}

impl Fleet {
    /// None yet; each workload will have so many pods, and so many ReplicaSets of earlier revisions.
    pub async fn new(plane: &'static ControlPlane, pods: usize, history: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let chart = chart::packed(CHART);
        let arguments = ["template", PATTERN, chart.to_str().unwrap(), "--set", VALUES];
        let rendered = Invocation::new(plane.programs(), Program::Helm3, &plane.admin_kubeconfig(), home.path(), arguments).ok().await.stdout;
        let documents = serde_yaml::Deserializer::from_str(&rendered).map(|document| Value::deserialize(document).unwrap());
        let wanted = documents.filter(|object| matches!(object["kind"].as_str(), Some("Deployment" | "ConfigMap")));
        let pattern: Vec<String> = wanted
            .map(|mut object| {
                if object["kind"] == "Deployment" {
                    object["spec"]["replicas"] = json!(pods);
                }
                object.to_string()
            })
            .collect();
        let workloads = pattern.iter().filter(|object| object.contains("\"kind\":\"Deployment\"")).count();
        assert_eq!(workloads, WORKLOADS, "the chart renders other workloads than expected");
        Self { plane, client: plane.admin().await.client, pattern, history, places: Vec::new() }
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.places.len()
    }

    /// The release that was made last; nothing has happened to it, and it is alone in its namespace, which is the last by name.
    pub fn last(&self) -> &Place {
        self.places.last().unwrap()
    }

    /// Makes releases until there are so many; all are ready then.
    pub async fn grow_to(&mut self, size: usize) {
        let more = self.places.len()..size.saturating_sub(1);
        let mut more: Vec<Place> =
            more.map(|number| Place { namespace: format!("fleet-{:03}", number / RELEASES_OF_A_NAMESPACE), name: format!("m{number:04}") }).collect();
        more.push(Place { namespace: format!("last-of-{size}"), name: "last".to_owned() });
        let namespaces: BTreeSet<String> = more.iter().map(|place| place.namespace.clone()).collect();
        for namespace in &namespaces {
            self.open(namespace).await;
        }
        futures::stream::iter(&more).map(Ok).try_for_each_concurrent(AT_ONCE, async |place| self.install(place).await).await.unwrap();
        self.places.extend(more);
        self.wait_until_ready().await;
    }

    async fn open(&self, namespace: &str) {
        self.plane.kubelet().behave(Pods::of(namespace), Behaviour::ReadyAfter(Duration::ZERO));
        let object = json!({"metadata": {"name": namespace}});
        match Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            made => drop(made.unwrap()),
        }
    }

    /// Everything of a release, with another tag than the chart's where one is given.
    fn objects(&self, place: &Place, tag: Option<&str>) -> Vec<Value> {
        let of = |text: &String| {
            let mut object: Value = serde_json::from_str(&text.replace(PATTERN, &place.name)).unwrap();
            object["metadata"]["namespace"] = json!(place.namespace);
            if let Some(tag) = tag
                && let Some(containers) = object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut)
            {
                containers.iter_mut().for_each(|container| container["image"] = json!(format!("milvusdb/milvus:{tag}")));
            }
            object
        };
        self.pattern.iter().map(of).collect()
    }

    async fn install(&self, place: &Place) -> kube::Result<()> {
        let post = PostParams { field_manager: Some("helm".to_owned()), ..PostParams::default() };
        for object in self.objects(place, None) {
            if object["kind"] == "ConfigMap" {
                let map: ConfigMap = serde_json::from_value(object).unwrap();
                Api::namespaced(self.client.clone(), &place.namespace).create(&post, &map).await?;
                continue;
            }
            let deployment: Deployment = serde_json::from_value(object).unwrap();
            let deployment = Api::<Deployment>::namespaced(self.client.clone(), &place.namespace).create(&post, &deployment).await?;
            for number in 0..self.history {
                Api::<ReplicaSet>::namespaced(self.client.clone(), &place.namespace).create(&post, &earlier(&deployment, number)).await?;
            }
        }
        Ok(())
    }

    /// Applies a change of a release: another tag of the image on all its workloads.
    pub async fn change(&self, place: &Place, tag: &str) {
        let apply = PatchParams { field_manager: Some("helm".to_owned()), ..PatchParams::default() };
        for object in self.objects(place, Some(tag)).into_iter().filter(|object| object["kind"] == "Deployment") {
            let api: Api<Deployment> = Api::namespaced(self.client.clone(), &place.namespace);
            let stored = api.patch(object["metadata"]["name"].as_str().unwrap(), &apply, &Patch::Merge(&object)).await.unwrap();
            assert_eq!(stored.spec.as_ref().unwrap().paused, Some(true), "{} is not held", stored.name_any());
        }
    }

    async fn wait_until_ready(&self) {
        // From its cache, the API server answers without etcd.
        let all = ListParams::default().match_any();
        let deployments: Api<Deployment> = Api::all(self.client.clone());
        let (mut before, mut moved) = (0, Instant::now());
        loop {
            let listed = deployments.list(&all).await.unwrap().items;
            let ready = listed.iter().filter(|deployment| is_ready(deployment)).count();
            if ready == listed.len() && ready == self.places.len() * WORKLOADS {
                return;
            }
            if ready > before {
                (before, moved) = (ready, Instant::now());
            }
            assert!(moved.elapsed() < Duration::from_secs(120), "{ready} of {} workloads are ready, and it does not go on", listed.len());
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    }
}

fn is_ready(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let Some(status) = &deployment.status else { return false };
    status.observed_generation == deployment.metadata.generation && status.ready_replicas == wanted && status.updated_replicas == wanted
}

/// A ReplicaSet as an earlier revision left it.
fn earlier(deployment: &Deployment, number: usize) -> ReplicaSet {
    let hash = format!("earlier{number}");
    let mut object = serde_json::to_value(deployment).unwrap();
    let spec = &mut object["spec"];
    spec["template"]["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    spec["selector"]["matchLabels"]["pod-template-hash"] = json!(hash);
    for container in spec["template"]["spec"]["containers"].as_array_mut().unwrap() {
        container["image"] = json!(format!("milvusdb/milvus:v2.5.{number}"));
    }
    let (template, selector) = (spec["template"].take(), spec["selector"].take());
    let name = deployment.name_any();
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": deployment.uid(), "controller": true, "blockOwnerDeletion": true});
    let metadata = json!({
        "name": format!("{name}-{hash}"), "labels": template["metadata"]["labels"], "ownerReferences": [owner],
        "annotations": {"deployment.kubernetes.io/revision": "0"},
    });
    serde_json::from_value(json!({"metadata": metadata, "spec": {"replicas": 0, "selector": selector, "template": template}})).unwrap()
}
