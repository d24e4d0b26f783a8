//! What one test works in: a namespace of its own on the shared control plane, and a user who may deploy there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tempfile::TempDir;

use crate::chart;
use crate::commands::{Invocation, Program};
use crate::control_plane::{ControlPlane, background};
use crate::kubelet::{Behaviour, PodStart, Pods};
use crate::programs::say;
use crate::users::User;

/// The longest that a test waits for something that others do.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A namespace, a deployer, and a folder for files. The namespace is deleted at the end; where the test fails, its objects are written to the logs before.
pub struct Sandbox {
    /// The control plane below.
    pub plane: &'static ControlPlane,
    /// The namespace's name.
    pub namespace: String,
    /// A client with all rights, for setting up and looking.
    pub admin: Client,
    /// The user as whom commands run: ClusterRole `admin` in the namespace, no rights elsewhere.
    pub deployer: User,
    home: TempDir,
}

impl Sandbox {
    /// A new sandbox on the shared control plane. Nothing where Go is missing, which is said aloud. `name` becomes part of the namespace's name.
    pub async fn new(name: &str) -> Option<Self> {
        Some(Self::on(ControlPlane::shared(name).await?, name).await)
    }

    /// A new sandbox on a control plane of one's own, which has to live as long as the process (`Box::leak`).
    pub async fn on(plane: &'static ControlPlane, name: &str) -> Self {
        Self::labelled(plane, name, &[]).await
    }

    /// A new sandbox whose namespace has labels.
    pub async fn labelled(plane: &'static ControlPlane, name: &str, labels: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let namespace = format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let admin = plane.admin().await.client;
        let labels: serde_json::Map<String, serde_json::Value> = labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}});
        Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        let deployer = plane.user(&format!("deployer-of-{namespace}"), None, &namespace).await;
        plane.bind(&deployer, "admin", &namespace).await;
        let sandbox = Self { plane, namespace, admin, deployer, home: tempfile::tempdir().unwrap() };
        let accounts: Api<ServiceAccount> = sandbox.api();
        wait("the default service account", async || accounts.get_opt("default").await.unwrap()).await;
        sandbox
    }

    /// The API of a kind in this namespace, with all rights.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// A folder for files, gone with the sandbox.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file into the folder.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A command as the deployer.
    pub fn command<A: AsRef<OsStr>>(&self, program: Program, arguments: impl IntoIterator<Item = A>) -> Invocation {
        self.command_as(&self.deployer, program, arguments)
    }

    /// A command as somebody else. Relative paths are not resolved: name files in full.
    pub fn command_as<A: AsRef<OsStr>>(&self, user: &User, program: Program, arguments: impl IntoIterator<Item = A>) -> Invocation {
        Invocation::new(self.plane.programs(), program, &user.kubeconfig, self.folder(), arguments)
    }

    /// `helm` (3 or 4) as the deployer.
    pub fn helm<A: AsRef<OsStr>>(&self, helm: Program, arguments: impl IntoIterator<Item = A>) -> Invocation {
        self.command(helm, arguments)
    }

    /// `kubectl` as the deployer.
    pub fn kubectl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Invocation {
        self.command(Program::Kubectl, arguments)
    }

    /// The test chart of a version, packed (see [`chart::packed`]).
    pub fn chart(&self, version: &str) -> PathBuf {
        chart::packed(version)
    }

    /// Lets pods of this namespace behave so from now on.
    pub fn behave(&self, pods: impl FnOnce(Pods) -> Pods, behaviour: Behaviour) {
        self.plane.kubelet().behave(pods(Pods::of(&self.namespace)), behaviour);
    }

    /// Every pod start in this namespace, oldest first.
    pub fn starts(&self) -> Vec<PodStart> {
        self.plane.kubelet().starts(&self.namespace)
    }

    /// Images with which pods of a component were started, oldest first, each named once in a row.
    pub fn images_of(&self, component: &str) -> Vec<String> {
        let mut images: Vec<String> = self.starts().iter().filter(|start| start.component == component).map(|start| start.image().to_owned()).collect();
        images.dedup();
        images
    }

    /// The pods that exist now.
    pub async fn pods(&self) -> Vec<Pod> {
        self.api::<Pod>().list(&ListParams::default()).await.unwrap().items
    }

    /// Every object of this namespace as the API server has it, resource versions included, by kind and name: what must not change between two looks is equal
    /// byte for byte. Left out are events, and what serves only discovery and locks (endpoints, endpoint slices, leases, metrics).
    pub async fn objects(&self) -> BTreeMap<String, String> {
        let admin = self.plane.admin().await;
        let kinds = self.command_as(&admin, Program::Kubectl, ["api-resources", "--verbs=list", "--namespaced", "--cached", "-o", "name"]).ok().await;
        let left_out = ["events", "events.events.k8s.io", "endpoints", "endpointslices.discovery.k8s.io", "leases.coordination.k8s.io"];
        let kinds: Vec<&str> = kinds.stdout.lines().filter(|kind| !left_out.contains(kind) && !kind.ends_with("metrics.k8s.io")).collect();
        let kinds = kinds.join(",");
        let listed = self.command_as(&admin, Program::Kubectl, ["get", &kinds, "-o", "json", "--show-managed-fields", "-n", &self.namespace]).ok().await.json();
        let key = |object: &serde_json::Value| format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        listed["items"].as_array().unwrap().iter().map(|object| (key(object), object.to_string())).collect()
    }

    /// Waits until every Deployment and StatefulSet is rolled out and has all its replicas ready.
    pub async fn wait_until_rolled_out(&self) {
        self.wait_until_rolled_out_but("").await;
    }

    /// The same without one Deployment, which is held.
    pub async fn wait_until_rolled_out_but(&self, held: &str) {
        wait(&format!("everything rolled out in {}", self.namespace), async || {
            let mut deployments = self.api::<Deployment>().list(&ListParams::default()).await.unwrap().items;
            deployments.retain(|deployment| deployment.name_any() != held);
            let sets = self.api::<StatefulSet>().list(&ListParams::default()).await.unwrap().items;
            (deployments.iter().all(deployment_is_done) && sets.iter().all(set_is_done)).then_some(())
        })
        .await;
    }

    /// Waits until every Deployment and StatefulSet has all its replicas ready, of whichever template.
    pub async fn wait_until_ready(&self) {
        wait(&format!("everything ready in {}", self.namespace), async || {
            let deployments = self.api::<Deployment>().list(&ListParams::default()).await.unwrap().items;
            let sets = self.api::<StatefulSet>().list(&ListParams::default()).await.unwrap().items;
            let deployments = deployments.iter().all(|deployment| {
                let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
                ready == deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
            });
            let sets = sets.iter().all(|set| {
                let ready = set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
                ready == set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
            });
            (deployments && sets).then_some(())
        })
        .await;
    }

    fn dump(&self) {
        let path = self.plane.folder().join(format!("{}.yaml", self.namespace));
        let kinds = "deployments,statefulsets,replicasets,pods,jobs,configmaps,events";
        let mut command = std::process::Command::new(self.plane.programs().join("kubectl"));
        command.args(["get", kinds, "-o", "yaml", "--request-timeout=10s", "-n", &self.namespace]).env("KUBECONFIG", self.plane.admin_kubeconfig());
        if let Ok(output) = command.output() {
            let _ = std::fs::write(&path, output.stdout);
            say(&format!("objects of the failed test: {}", path.display()));
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dump();
        }
        let (plane, name) = (self.plane, self.namespace.clone());
        // The client of this test goes with its runtime.
        background().spawn(async move {
            let namespaces: Api<Namespace> = Api::all(plane.admin().await.client);
            let _ = namespaces.delete(&name, &DeleteParams::default()).await;
        });
    }
}

fn deployment_is_done(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = &deployment.status else { return false };
    status.observed_generation == deployment.metadata.generation
        && [status.replicas, status.updated_replicas, status.ready_replicas].iter().all(|count| count.unwrap_or(0) == wanted)
}

fn set_is_done(set: &StatefulSet) -> bool {
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = &set.status else { return false };
    status.observed_generation == set.metadata.generation && status.ready_replicas.unwrap_or(0) == wanted && status.current_revision == status.update_revision
}

/// Asks until there is an answer; fails the test after [`PATIENCE`].
pub async fn wait<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Name and kind of whatever has a name, for messages.
pub fn names<K: ResourceExt>(objects: &[K]) -> Vec<String> {
    let mut names: Vec<String> = objects.iter().map(ResourceExt::name_any).collect();
    names.sort();
    names
}
