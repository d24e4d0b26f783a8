//! The guard as its chart installs it: its rights, its arguments, its registration; only that its replicas run beside the test.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};

use super::{Controller, Guard, hook, narrowed, service::Service};
use crate::commands::{Ended, Invocation, Program};
use crate::control_plane::{ControlPlane, background};
use crate::programs::repository;
use crate::sandbox::wait;
use crate::users::User;

/// An installed guard with running replicas. When it is dropped, its configurations and its namespace are deleted.
pub struct Installed {
    plane: &'static ControlPlane,
    /// The namespace it is installed in.
    pub namespace: String,
    /// The name of its objects: Deployment, ServiceAccount, webhook configurations.
    pub name: String,
    /// The service account as which it runs.
    pub account: User,
    /// Its replicas.
    pub replicas: Vec<Guard>,
    /// The address in front of them.
    pub service: Service,
    arguments: Vec<String>,
    /// The service account and the arguments of its controller, where the chart has one.
    controller: Option<(User, Vec<String>)>,
    home: TempDir,
}

/// The label of namespaces that the shared guard judges.
const SHARED: (&str, &str) = ("guarded", "shared");

impl Installed {
    /// The guard that tests share which do not break it: two replicas that log all there is to log and record every review. It judges the namespaces that
    /// [`Installed::namespace_label`] marks.
    pub async fn shared(plane: &'static ControlPlane) -> &'static Self {
        static GUARD: OnceCell<Installed> = OnceCell::const_new();
        GUARD
            .get_or_init(|| async {
                let record = plane.folder().join(crate::told::RECORDED).display().to_string();
                let start = move || {
                    let sets = [
                        format!("namespaceSelector.matchLabels.{}={}", SHARED.0, SHARED.1),
                        "log.level=trace".to_owned(),
                        format!("extraArgs[0]=--record={record}"),
                        // A machine that is busy with other tests must not turn a refusal into a warning.
                        "gates.helmStorage.failurePolicy=Fail".to_owned(),
                        "gates.helmStorage.doubt=refuse".to_owned(),
                        "limits.budget=8s".to_owned(),
                    ];
                    let timeouts = ["helmStorage", "gitops", "workloads", "dependencies", "own"].map(|gate| format!("gates.{gate}.timeoutSeconds=10"));
                    let sets: Vec<&str> = sets.iter().chain(&timeouts).map(String::as_str).collect();
                    background().block_on(Self::new(plane, "shared", 2, &[], &sets))
                };
                // It outlives the test that asks first.
                tokio::task::spawn_blocking(start).await.unwrap()
            })
            .await
    }

    /// The label of a namespace that the shared guard judges.
    pub const fn namespace_label() -> (&'static str, &'static str) {
        SHARED
    }

    /// Installs the chart with Helm 3 into a namespace of its own and starts replicas as it would run them, with certificates that they make themselves. It
    /// judges only `namespaces`, on top of what the chart says, so that tests on one control plane do not meet. `sets` are values (`gates.gitops.enabled=false`).
    /// Returns once its registration is in force.
    pub async fn new(plane: &'static ControlPlane, release: &str, replicas: usize, namespaces: &[&str], sets: &[&str]) -> Self {
        let mut installed = Self::not_started(plane, release, namespaces, sets).await;
        installed.start(replicas);
        installed.wait_until_in_force().await;
        installed
    }

    /// Waits until every replica is ready and the registration is in force.
    pub async fn wait_until_in_force(&mut self) {
        for guard in &mut self.replicas {
            guard.wait_until_ready().await;
        }
        self.wait_until_registered().await;
    }

    /// The same, without any replica.
    pub async fn not_started(plane: &'static ControlPlane, release: &str, namespaces: &[&str], sets: &[&str]) -> Self {
        let admin = plane.admin().await;
        let namespace = format!("guard-{release}");
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        Api::<Namespace>::all(admin.client.clone()).create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let chart = repository().join("charts/milvus-guard");
        let mut arguments = vec!["install".to_owned(), release.to_owned(), chart.display().to_string(), format!("--namespace={namespace}")];
        // Definitions of our kinds belong to the whole cluster, and so to no single guard.
        define_kinds(plane, &admin).await;
        arguments.push("--set=crds.enabled=false".to_owned());
        arguments.extend(sets.iter().map(|set| format!("--set={set}")));
        Invocation::new(plane.programs(), Program::Helm3, &admin.kubeconfig, home.path(), arguments).ok().await;
        Self::of(plane, release, &namespace, namespaces).await
    }

    /// The guard that Helm has installed as `release` in a namespace already, for what its pods would do; none of its replicas is started.
    pub async fn of(plane: &'static ControlPlane, release: &str, namespace: &str, namespaces: &[&str]) -> Self {
        let admin = plane.admin().await;
        let namespace = namespace.to_owned();
        let deployments: Api<Deployment> = Api::namespaced(admin.client.clone(), &namespace);
        let listed = deployments.list(&kube::api::ListParams::default()).await.unwrap().items;
        let (mut controllers, mut webhooks): (Vec<_>, Vec<_>) = listed.into_iter().partition(|deployment| deployment.name_any().ends_with("-controller"));
        let controller = controllers.pop();
        let deployment = webhooks.remove(0);
        let name = deployment.metadata.name.unwrap();
        let pod = deployment.spec.unwrap().template.spec.unwrap();
        let account = plane.service_account(&namespace, pod.service_account_name.as_deref().unwrap()).await;
        let registration = registration(&admin, &namespace, &name, namespaces).await;
        let path = plane.folder().join(format!("registration-{release}.yaml"));
        std::fs::write(&path, registration).unwrap();

        let service = Service::start().await;
        let mut arguments: Vec<String> = pod.containers[0].args.clone().unwrap_or_default();
        // What depends on where it runs is told anew; Guard itself says `webhook` and where to listen.
        let elsewhere = ["webhook", "--registration=", "--reached-at=", "--dns-name=", "--listen=", "--health-listen="];
        arguments.retain(|argument| !elsewhere.iter().any(|start| argument.starts_with(start)));
        arguments.push(format!("--registration={}", path.display()));
        arguments.push(format!("--reached-at=https://127.0.0.1:{}", service.port()));
        arguments.push("--register-url".to_owned());
        arguments.push("--dns-name=127.0.0.1,localhost".to_owned());
        let controller = match controller {
            Some(controller) => {
                let pod = controller.spec.unwrap().template.spec.unwrap();
                let account = plane.service_account(&namespace, pod.service_account_name.as_deref().unwrap()).await;
                let mut arguments: Vec<String> = pod.containers[0].args.clone().unwrap_or_default();
                arguments.retain(|argument| argument != "controller");
                Some((account, arguments))
            }
            None => None,
        };
        let home = tempfile::tempdir().unwrap();
        Self { plane, namespace, name, account, controller, replicas: Vec::new(), service, arguments, home }
    }

    /// Starts more replicas, and does not wait for them.
    pub fn start(&mut self, replicas: usize) {
        self.start_in(replicas, &[]);
    }

    /// The same, with more variables in their environment.
    pub fn start_in(&mut self, replicas: usize, environment: &[(&str, &str)]) {
        for _ in 0..replicas {
            let replica = self.one_more(environment);
            self.replicas.push(replica);
        }
        self.service.set_backends(&self.replicas.iter().map(Guard::port).collect::<Vec<_>>());
    }

    /// Starts a controller as the chart would run it, for some namespaces; `name` tells its log. It is not waited for.
    pub fn controller(&self, name: &str, namespaces: &[&str]) -> Controller {
        let (account, arguments) = self.controller.as_ref().expect("the chart has a controller");
        Controller::start(self.plane, account, &format!("{}-{name}", self.name), namespaces, arguments)
    }

    /// The service account of its controller.
    pub fn controller_account(&self) -> &User {
        &self.controller.as_ref().expect("the chart has a controller").0
    }

    /// Starts a replica that is not behind the address yet.
    pub fn one_more(&self, environment: &[(&str, &str)]) -> Guard {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        Guard::start_in(self.plane, &self.account, &format!("{}-{}", self.name, self.replicas.len()), &arguments, environment)
    }

    /// The authorities that the API server trusts to speak for the guard, PEM.
    pub async fn registered_authorities(&self) -> String {
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(self.plane.admin().await.client);
        let webhooks = configurations.get(&self.name).await.unwrap().webhooks.unwrap();
        String::from_utf8(webhooks[0].client_config.ca_bundle.clone().unwrap().0).unwrap()
    }

    /// `helm VERB RELEASE MORE` on the guard itself, as an administrator.
    pub fn helm(&self, helm: Program, verb: &str, more: &[&str]) -> Invocation {
        let release = self.namespace.trim_start_matches("guard-");
        let mut arguments: Vec<&str> = verb.split(' ').collect();
        arguments.push(release);
        arguments.extend(more);
        arguments.extend(["--namespace", &self.namespace]);
        Invocation::new(self.plane.programs(), helm, &self.plane.admin_kubeconfig(), self.home.path(), arguments)
    }

    /// `helm uninstall`, with the hook's Job run for real; tells how it ended, and what the hook printed.
    pub async fn uninstall(&self, helm: Program) -> (Ended, String) {
        self.with_hooks(self.helm(helm, "uninstall", &["--timeout=60s"]).run()).await
    }

    /// Runs the Jobs of the chart's hooks for real until `helm` ends; tells what that gave, and what the hooks printed.
    pub async fn with_hooks<T: Send + 'static>(&self, helm: impl Future<Output = T> + Send + 'static) -> (T, String) {
        let helm = tokio::spawn(helm);
        let printed = hook::run(self.plane, &self.namespace, "milvus-guard-cleanup", &helm).await;
        (helm.await.unwrap(), printed)
    }

    /// Waits until a replica has put the registration into force.
    pub async fn wait_until_registered(&self) {
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(self.plane.admin().await.client);
        wait("the guard's registration", async || {
            let configuration = configurations.get(&self.name).await.ok()?;
            configuration.webhooks.is_some_and(|webhooks| !webhooks.is_empty()).then_some(())
        })
        .await;
        // The API server learns of it a moment later.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

/// Applies the chart's CustomResourceDefinitions, once per cluster, and waits until they are served.
pub async fn define_kinds(plane: &ControlPlane, admin: &User) {
    static DEFINING: Mutex<()> = Mutex::const_new(());
    let _alone = DEFINING.lock().await;
    let home = tempfile::tempdir().unwrap();
    let chart = repository().join("charts/milvus-guard").display().to_string();
    let rendered = Invocation::new(plane.programs(), Program::Helm3, &admin.kubeconfig, home.path(), ["template", "guard", &chart]).ok().await.stdout;
    let documents: Vec<serde_json::Value> =
        serde_yaml::Deserializer::from_str(&rendered).map(|document| serde_json::Value::deserialize(document).unwrap()).collect();
    let definitions: Api<CustomResourceDefinition> = Api::all(admin.client.clone());
    for definition in documents.into_iter().filter(|object| object["kind"] == "CustomResourceDefinition") {
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        if definitions.get_opt(&name).await.unwrap().is_none() {
            definitions.patch(&name, &PatchParams::apply("e2e").force(), &Patch::Apply(&definition)).await.unwrap();
        }
        wait(&format!("{name} served"), async || {
            let conditions = definitions.get(&name).await.ok()?.status?.conditions?;
            conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True").then_some(())
        })
        .await;
    }
}

/// The registration that the chart's ConfigMap holds, narrowed to namespaces.
async fn registration(admin: &User, namespace: &str, name: &str, namespaces: &[&str]) -> String {
    let maps: Api<ConfigMap> = Api::namespaced(admin.client.clone(), namespace);
    let map = maps.get(&format!("{name}-registration")).await.unwrap();
    narrowed(&map.data.unwrap()["registration.yaml"], namespaces)
}

impl Drop for Installed {
    fn drop(&mut self) {
        let (plane, name, namespace) = (self.plane, self.name.clone(), self.namespace.clone());
        background().spawn(async move {
            let admin = plane.admin().await.client;
            super::remove(admin.clone(), vec![name.clone()], vec![name]).await;
            let _ = Api::<Namespace>::all(admin).delete(&namespace, &DeleteParams::default()).await;
        });
    }
}
