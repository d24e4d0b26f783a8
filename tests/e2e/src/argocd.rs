//! Real Argo CD beside a test: its controller and its repo server, a Redis in memory and a chart repository.

use std::path::{Path, PathBuf};
use std::time::Instant;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::commands::{Invocation, Program};
use crate::control_plane::{ControlPlane, background, free_port};
use crate::process::Process;
use crate::programs::say;
use crate::sandbox::{PATIENCE, wait};
use crate::users::User;

/// The variable that names the folder with Argo CD; `.ci/e2e-argocd` fills the folder and sets it.
pub const FOLDER: &str = "MILVUS_GUARD_ARGOCD";

/// The folder of the chart repository.
const CHARTS: &str = "charts";

/// A control plane that knows Argo CD's kinds, shared by tests with it: others define kinds of the same names. Nothing without `.ci/e2e-argocd`, which is said aloud.
pub async fn plane(wanted_by: &str) -> Option<&'static ControlPlane> {
    static PLANE: OnceCell<Option<&'static ControlPlane>> = OnceCell::const_new();
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        say(&format!("\n*** SKIPPED: {wanted_by}: upgrades under real Argo CD are a suite of its own, `.ci/e2e-argocd`. ***\n"));
        return None;
    };
    *PLANE.get_or_init(|| with_its_kinds(folder)).await
}

async fn with_its_kinds(folder: PathBuf) -> Option<&'static ControlPlane> {
    let plane = ControlPlane::own("argocd").await?;
    let home = tempfile::tempdir().unwrap();
    let definitions = folder.join("definitions.yaml").display().to_string();
    kubectl(plane, home.path(), &["apply", "--server-side", "-f", &definitions].map(str::to_owned)).ok().await;
    // Where a definition has no conditions yet, `kubectl wait` fails at once.
    let served = ["wait", "--for=condition=Established", "crd/applications.argoproj.io", "crd/appprojects.argoproj.io"].map(str::to_owned);
    wait("Argo CD's kinds", async || kubectl(plane, home.path(), &served).run().await.status.success().then_some(())).await;
    Some(plane)
}

fn kubectl(plane: &ControlPlane, home: &Path, arguments: &[String]) -> Invocation {
    Invocation::new(plane.programs(), Program::Kubectl, &plane.admin_kubeconfig(), home, arguments)
}

/// An Argo CD with a namespace and an account of its own, which may do everything, as its own installation has it. It ends when this is dropped.
pub struct ArgoCd {
    plane: &'static ControlPlane,
    /// Where it is installed, and where its Applications are.
    pub namespace: String,
    /// As whom it writes.
    pub account: User,
    /// The name of its Application: objects of the cluster are marked with it, so that two Argo CDs with Applications of one name take each other's for theirs and prune them.
    application: String,
    /// The address of the chart repository.
    repository: String,
    is_server_side: bool,
    parts: Vec<Process>,
    home: TempDir,
}

impl ArgoCd {
    /// Starts one on [`plane`], with a repository of some packed charts.
    pub async fn start(plane: &'static ControlPlane, name: &str, charts: &[PathBuf]) -> Self {
        let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
        let admin = plane.admin().await;
        let namespace = format!("argocd-{name}");
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        Api::<Namespace>::all(admin.client.clone()).create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let settings = folder.join("settings.yaml").display().to_string();
        kubectl(plane, home.path(), &["apply", "-n", &namespace, "-f", &settings].map(str::to_owned)).ok().await;
        // Argo CD's own server, which does not run here, would make it.
        let key = r#"{"stringData": {"server.secretkey": "of-a-test"}}"#;
        kubectl(plane, home.path(), &["patch", "secret", "argocd-secret", "-n", &namespace, "-p", key].map(str::to_owned)).ok().await;
        let account = plane.service_account(&namespace, "argocd-application-controller").await;
        plane.bind_everywhere(&account, "cluster-admin").await;

        let below = |folder: &str| {
            let path = home.path().join(folder);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let (bin, repository, files) = (below("bin"), below(CHARTS), below("tmp"));
        std::os::unix::fs::symlink(plane.programs().join("helm3"), bin.join("helm")).unwrap();
        let [redis, repo, repo_metrics, controller_metrics, http] = std::array::from_fn(|_| free_port());
        let at = |port: u16| format!("127.0.0.1:{port}");
        let environment = [
            ("KUBECONFIG", account.kubeconfig.display().to_string()),
            // `https://kubernetes.default.svc` is where KUBECONFIG leads to.
            ("ARGOCD_FAKE_IN_CLUSTER", "true".to_owned()),
            ("ARGOCD_GPG_ENABLED", "false".to_owned()),
            ("ARGOCD_ASK_PASS_SOCK", home.path().join("ask-pass").display().to_string()),
            ("HOME", home.path().display().to_string()),
            ("TMPDIR", files.display().to_string()),
            ("PATH", bin.display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let part = |arguments: &[String]| {
            let log = plane.folder().join(format!("{namespace}-{}.log", arguments[0]));
            Process::watched(plane.programs(), &folder.join("argocd"), arguments, environment.clone(), &log)
        };
        let shared = |part: &str, more: &[String]| -> Vec<String> {
            [part.to_owned(), format!("--redis={}", at(redis)), "--logformat=text".to_owned()].iter().chain(more).cloned().collect()
        };
        let repo_server = [
            "--disable-tls".to_owned(),
            "--address=127.0.0.1".to_owned(),
            format!("--port={repo}"),
            "--metrics-address=127.0.0.1".to_owned(),
            format!("--metrics-port={repo_metrics}"),
        ];
        let controller = [
            format!("--namespace={namespace}"),
            format!("--repo-server={}", at(repo)),
            "--repo-server-plaintext".to_owned(),
            format!("--metrics-port={controller_metrics}"),
            // It never tires of putting right what differs.
            "--self-heal-backoff-timeout-seconds=1".to_owned(),
            "--self-heal-backoff-factor=1".to_owned(),
            "--self-heal-backoff-cap-seconds=1".to_owned(),
        ];
        let parts = vec![
            part(&["redis".to_owned(), at(redis)]),
            part(&["charts".to_owned(), at(http), repository.display().to_string()]),
            part(&shared("repo-server", &repo_server)),
            part(&shared("application-controller", &controller)),
        ];
        let argocd =
            Self { plane, namespace, account, application: name.to_owned(), repository: format!("http://{}", at(http)), is_server_side: false, parts, home };
        for chart in charts {
            argocd.add(chart).await;
        }
        let everything = json!([{"group": "*", "kind": "*"}]);
        let project = json!({"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}], "clusterResourceWhitelist": everything});
        argocd.write("AppProject", "default", json!({}), project).await.unwrap();
        argocd
    }

    /// Its Applications are applied and compared by the API server from now on (`ServerSideApply`, `ServerSideDiff`).
    pub fn server_side(mut self) -> Self {
        self.is_server_side = true;
        self
    }

    /// Adds a packed chart to the repository.
    pub async fn add(&self, chart: &Path) {
        let folder = self.home.path().join(CHARTS);
        std::fs::copy(chart, folder.join(chart.file_name().unwrap())).unwrap();
        let index = ["repo", "index", folder.to_str().unwrap()];
        Invocation::new(self.plane.programs(), Program::Helm3, &self.plane.admin_kubeconfig(), self.home.path(), index).ok().await;
    }

    fn api(&self, kind: &str, client: kube::Client) -> Api<DynamicObject> {
        Api::namespaced_with(client, &self.namespace, &ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind)))
    }

    async fn write(&self, kind: &str, name: &str, annotations: Value, spec: Value) -> kube::Result<DynamicObject> {
        let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {"name": name, "annotations": annotations}, "spec": spec});
        self.api(kind, self.plane.admin().await.client).patch(name, &PatchParams::apply("person").force(), &Patch::Apply(&object)).await
    }

    /// Writes the Application that deploys release `m` into a namespace, from a packed chart of the repository, with parameters as `--set` takes them
    /// (`a.b=c,d=e`), with automated sync, prune and self-heal.
    pub async fn deploy(&self, into: &str, chart: &Path, parameters: &str) {
        let (name, version) = name_and_version(chart);
        let parameters: Vec<Value> =
            parameters.split(',').filter_map(|one| one.split_once('=')).map(|(name, value)| json!({"name": name, "value": value})).collect();
        let spec = json!({
            "project": "default",
            "destination": {"server": "https://kubernetes.default.svc", "namespace": into},
            "source": {"repoURL": self.repository, "chart": name, "targetRevision": version, "helm": {"releaseName": "m", "parameters": parameters}},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}, "syncOptions": [format!("ServerSideApply={}", self.is_server_side)]},
        });
        let mut annotations = json!({});
        if self.is_server_side {
            annotations["argocd.argoproj.io/compare-options"] = json!("ServerSideDiff=true");
        }
        self.write("Application", &self.application, annotations, spec).await.unwrap();
    }

    /// Ends the operation that goes on, as `argocd app terminate-op` does.
    pub async fn terminate(&self) {
        let patch = Patch::Merge(json!({"status": {"operationState": {"phase": "Terminating"}}}));
        self.api("Application", self.plane.admin().await.client).patch(&self.application, &PatchParams::default(), &patch).await.unwrap();
    }

    /// What Argo CD says of the Application.
    pub async fn status(&self) -> Value {
        let found = self.api("Application", self.plane.admin().await.client).get_opt(&self.application).await.unwrap();
        found.map_or(Value::Null, |mut object| object.data["status"].take())
    }

    /// Waits until Argo CD says this of the Application, and shows its last words where it never does.
    pub async fn says(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let status = self.status().await;
            if is_it(&status) {
                return status;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "Argo CD does not say {what}: sync {:#}, health {:#}, operation {:#}, conditions {:#}\n{}",
                status["sync"],
                status["health"],
                status["operationState"],
                status["conditions"],
                self.tail()
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// Waits until what a packed chart says is applied and healthy, and no operation goes on.
    pub async fn is_done_with(&self, chart: &Path) {
        let (_, version) = name_and_version(chart);
        self.says(&format!("that {version} is synced and healthy"), |status| {
            status["sync"]["status"] == "Synced"
                && status["sync"]["revision"] == version.as_str()
                && status["health"]["status"] == "Healthy"
                && status["operationState"]["phase"] == "Succeeded"
        })
        .await;
    }

    /// How often it has written an object, as the API server's audit log has it: `deployments/m-milvus-proxy`.
    pub fn writes_of(&self, namespace: &str, resource: &str, name: &str) -> usize {
        let log = std::fs::read_to_string(self.plane.audit_log()).unwrap();
        let is_one = |event: &Value| {
            event["user"]["username"] == self.account.name.as_str()
                && ["patch", "update"].iter().any(|verb| event["verb"] == *verb)
                && (&event["objectRef"]["namespace"], &event["objectRef"]["resource"], &event["objectRef"]["name"])
                    == (&json!(namespace), &json!(resource), &json!(name))
        };
        // The last line may not be written to its end.
        let lines = log.lines().filter(|line| line.contains(&self.account.name) && line.contains(name));
        lines.filter_map(|line| serde_json::from_str(line).ok()).filter(is_one).count()
    }

    /// The last lines of its parts' logs.
    pub fn tail(&self) -> String {
        self.parts.iter().map(Process::tail).collect::<Vec<_>>().join("\n\n")
    }
}

/// `milvus-4.2.58.tgz` is version 4.2.58 of milvus.
fn name_and_version(chart: &Path) -> (String, String) {
    let (name, version) = chart.file_stem().unwrap().to_str().unwrap().rsplit_once('-').unwrap();
    (name.to_owned(), version.to_owned())
}

impl Drop for ArgoCd {
    fn drop(&mut self) {
        let (plane, namespace) = (self.plane, self.namespace.clone());
        background().spawn(async move {
            let _ = Api::<Namespace>::all(plane.admin().await.client).delete(&namespace, &DeleteParams::default()).await;
        });
    }
}
