//! etcd, kube-apiserver and kube-controller-manager on loopback, for as long as the process lives.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use crate::certificates::{Authority, Pair};
use crate::etcd;
use crate::kubelet::Kubelet;
use crate::latency::Wire;
use crate::process::Process;
use crate::programs::{programs, target_folder};
use crate::users::{Identity, client, kubeconfig};

/// Controllers that need machines; and the binder of claims, whose work the stand-in for kubelets does.
const LEFT_OUT: &str = "*,-node-ipam-controller,-node-lifecycle-controller,-cloud-node-lifecycle-controller,-node-route-controller,\
                        -service-lb-controller,-persistentvolume-attach-detach-controller,-persistentvolume-binder-controller";

/// The longest that a start may take, on a machine that is busy with other things.
const START_AT_MOST: Duration = Duration::from_secs(120);

/// A running control plane.
pub struct ControlPlane {
    programs: PathBuf,
    folder: PathBuf,
    ports: Ports,
    /// Between the API server and etcd.
    wire: Wire,
    authority: Authority,
    api_server: Mutex<Process>,
    controller_manager: Mutex<Option<Process>>,
    etcd: Mutex<Process>,
    kubelet: Kubelet,
    started_in: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    etcd: u16,
    api_server: u16,
}

/// The runtime of what serves all tests of a process; each test has one of its own besides.
pub(crate) fn background() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("control-plane").enable_all().build().unwrap())
}

impl ControlPlane {
    /// The control plane that all tests of this process share, started by the first that asks. Nothing where Go is missing, which is said aloud.
    pub async fn shared(wanted_by: &str) -> Option<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        let programs = programs(wanted_by)?;
        Some(SHARED.get_or_init(|| Self::start(programs, "shared")).await)
    }

    /// A control plane of one's own, for tests that break it. Nothing where Go is missing. It runs until [`ControlPlane::end`] or the end of the process.
    pub async fn own(name: &str) -> Option<&'static Self> {
        let programs = programs(name)?;
        Some(Box::leak(Box::new(Self::start(programs, name).await)))
    }

    /// Starts a control plane. `name` tells its folder below `target/e2e-logs/<run>/`.
    pub async fn start(programs: &Path, name: &str) -> Self {
        let (programs, name) = (programs.to_owned(), name.to_owned());
        // Tasks that outlive the test that starts them belong to the runtime that does.
        background().spawn(async move { Self::start_here(&programs, &name).await }).await.unwrap()
    }

    async fn start_here(programs: &Path, name: &str) -> Self {
        let begin = Instant::now();
        let folder = run_folder().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let authority = Authority::new("control-plane");
        let ports = Ports { etcd: free_port(), api_server: free_port() };
        write_credentials(&folder, &authority, ports);
        let etcd = etcd::start(programs, &folder.join("etcd"), &folder.join("etcd.log"), &[etcd::plain(ports.etcd)], &[]);
        let wire = Wire::to(ports.etcd).await;
        let api_server = start_api_server(programs, &folder, ports, wire.port());
        let mut plane = Self {
            programs: programs.to_owned(),
            ports,
            wire,
            authority,
            api_server: Mutex::new(api_server),
            controller_manager: Mutex::new(None),
            etcd: Mutex::new(etcd),
            kubelet: Kubelet::new(),
            folder,
            started_in: Duration::ZERO,
        };
        plane.wait_until_ready().await;
        // It gives up where no API server answers in ten seconds.
        plane.start_controllers();
        plane.wait_for_controllers().await;
        let admin = client(&plane.admin_kubeconfig()).await;
        plane.kubelet.run(&admin).await;
        tokio::spawn(crate::told::follow_events(admin, plane.folder.clone()));
        plane.started_in = begin.elapsed();
        plane
    }

    /// How long the start took.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Where `controlplane`, `kubectl`, `helm3` and `helm4` are.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Where logs, certificates and kubeconfig files of this control plane are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// etcd's port: it speaks plain HTTP, and has room for metadata of Milvus beside the API server's.
    pub fn etcd_port(&self) -> u16 {
        self.ports.etcd
    }

    /// The stand-in for all kubelets.
    pub fn kubelet(&self) -> &Kubelet {
        &self.kubelet
    }

    /// The address of the API server.
    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api_server)
    }

    /// What signs certificates of users, and of the API server as a client of webhooks.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The authority's certificate as a file. The API server shows webhooks a client certificate of this authority, for `kube-apiserver-webhook-client`.
    pub fn authority_file(&self) -> PathBuf {
        self.folder.join("authority.crt")
    }

    /// A kubeconfig of a member of `system:masters`.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// What the API server noted about every write, and about whatever service accounts asked for: one audit event in JSON per line, without bodies.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// Kills the API server and starts it again, on the same port.
    pub async fn restart_api_server(&self) {
        {
            let mut server = self.api_server.lock().unwrap();
            server.kill();
            *server = start_api_server(&self.programs, &self.folder, self.ports, self.wire.port());
        }
        self.wait_until_ready().await;
    }

    /// Kills the API server; [`ControlPlane::restart_api_server`] brings it back.
    pub fn stop_api_server(&self) {
        self.api_server.lock().unwrap().kill();
    }

    /// Kills the controller manager, as one that is slow or gone: nothing reconciles until [`ControlPlane::start_controllers`].
    pub fn stop_controllers(&self) {
        *self.controller_manager.lock().unwrap() = None;
    }

    /// Starts the controller manager again.
    pub fn start_controllers(&self) {
        *self.controller_manager.lock().unwrap() = Some(start_controller_manager(&self.programs, &self.folder));
    }

    /// Whatever the API server asks of etcd takes this much longer from now on: reads as well as writes, but not what its caches answer.
    pub fn set_etcd_latency(&self, latency: Duration) {
        self.wire.set_latency(latency);
    }

    /// Ends all parts. Only for a control plane of one's own.
    pub fn end(&self) {
        self.stop_controllers();
        self.stop_api_server();
        self.etcd.lock().unwrap().kill();
    }

    async fn wait_until_ready(&self) {
        let begin = Instant::now();
        let client = client(&self.admin_kubeconfig()).await;
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            let answer = tokio::time::timeout(Duration::from_secs(5), client.request_text(request)).await;
            if matches!(answer, Ok(Ok(text)) if text == "ok") {
                return;
            }
            self.must_be_alive(begin, "the API server is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Service accounts appear once the controllers work.
    async fn wait_for_controllers(&self) {
        let begin = Instant::now();
        let accounts: Api<ServiceAccount> = Api::namespaced(client(&self.admin_kubeconfig()).await, "default");
        while !matches!(accounts.get_opt("default").await, Ok(Some(_))) {
            self.must_be_alive(begin, "the controller manager does nothing");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn must_be_alive(&self, since: Instant, what: &str) {
        let mut parts = [self.etcd.lock().unwrap(), self.api_server.lock().unwrap()];
        let mut controllers = self.controller_manager.lock().unwrap();
        let mut all: Vec<&mut Process> = parts.iter_mut().map(|part| &mut **part).chain(controllers.as_mut()).collect();
        let ended = all.iter_mut().any(|part| part.ended().is_some());
        if ended || since.elapsed() > START_AT_MOST {
            let tails: Vec<String> = all.iter().map(|part| part.tail()).collect();
            panic!("{what} after {:?}{}\n{}", since.elapsed(), if ended { "; a part has ended" } else { "" }, tails.join("\n\n"));
        }
    }
}

/// `target/e2e-logs/<run>/` of this process. Of earlier runs the last few are kept.
pub fn run_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let all = target_folder().join("e2e-logs");
        std::fs::create_dir_all(&all).unwrap();
        let mut runs: Vec<PathBuf> = std::fs::read_dir(&all).unwrap().map(|entry| entry.unwrap().path()).collect();
        runs.sort();
        let ended: Vec<PathBuf> = runs.into_iter().filter(|run| has_ended(run)).collect();
        for outdated in ended.iter().rev().skip(5) {
            let _ = std::fs::remove_dir_all(outdated);
        }
        ended.iter().for_each(|run| drop_data(run));
        let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let folder = all.join(format!("{seconds}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// Whether the process of a run, whose id its name ends with, is gone. Where that cannot be told it counts as alive.
fn has_ended(run: &Path) -> bool {
    let id = run.file_name().and_then(|name| name.to_str()?.rsplit('-').next());
    id.is_some_and(|id| Path::new("/proc/self").exists() && !Path::new("/proc").join(id).exists())
}

/// etcd's data of a run is of no use after it, and large.
fn drop_data(run: &Path) {
    for plane in std::fs::read_dir(run).into_iter().flatten().flatten() {
        let _ = std::fs::remove_dir_all(plane.path().join("etcd"));
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn write_credentials(folder: &Path, authority: &Authority, ports: Ports) {
    std::fs::write(folder.join("authority.crt"), authority.certificate()).unwrap();
    authority.server(&["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]).write(folder, "server");
    // Tokens are signed and checked with one key pair; its certificate serves as the public half.
    let Pair { key, certificate } = authority.client("service-accounts", None);
    std::fs::write(folder.join("service-accounts.key"), key).unwrap();
    std::fs::write(folder.join("service-accounts.crt"), certificate).unwrap();
    let server = format!("https://127.0.0.1:{}", ports.api_server);
    for (file, name, group) in [
        ("admin", "admin", Some("system:masters")),
        ("controller-manager", "system:kube-controller-manager", None),
        ("webhook-client", "kube-apiserver-webhook-client", None),
    ] {
        let (certificate, key) = authority.client(name, group).write(folder, file);
        let text = kubeconfig(&server, &folder.join("authority.crt"), &Identity::Certificate(&certificate, &key), "default");
        std::fs::write(folder.join(format!("{file}.kubeconfig")), text).unwrap();
    }
    // The API server picks the user by the webhook's host; `*` is any.
    let webhook = serde_json::json!({
        "apiVersion": "v1", "kind": "Config",
        "users": [{"name": "*", "user": {"client-certificate": folder.join("webhook-client.crt"), "client-key": folder.join("webhook-client.key")}}],
    });
    std::fs::write(folder.join("webhooks.kubeconfig"), webhook.to_string()).unwrap();
    let configuration = |name: &str| {
        let configuration = serde_json::json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": folder.join("webhooks.kubeconfig"),
        });
        serde_json::json!({"name": name, "configuration": configuration})
    };
    let admission = serde_json::json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
        "plugins": [configuration("ValidatingAdmissionWebhook"), configuration("MutatingAdmissionWebhook")],
    });
    std::fs::write(folder.join("admission.yaml"), admission.to_string()).unwrap();
    let audit = serde_json::json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
            {"level": "None"},
        ],
    });
    std::fs::write(folder.join("audit-policy.yaml"), audit.to_string()).unwrap();
}

fn start_api_server(programs: &Path, folder: &Path, ports: Ports, etcd: u16) -> Process {
    let file = |name: &str| folder.join(name).display().to_string();
    let arguments = [
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", ports.api_server),
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/16".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        format!("--client-ca-file={}", file("authority.crt")),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        "--service-account-issuer=https://test".to_owned(),
        format!("--service-account-key-file={}", file("service-accounts.crt")),
        format!("--service-account-signing-key-file={}", file("service-accounts.key")),
        format!("--admission-control-config-file={}", file("admission.yaml")),
        format!("--audit-policy-file={}", file("audit-policy.yaml")),
        format!("--audit-log-path={}", file("audit.log")),
        // In megabytes; at 100, the default, another file is begun, and what is looked for lies in the one before.
        "--audit-log-maxsize=4096".to_owned(),
        "--profiling=false".to_owned(),
    ];
    Process::part(programs, "kube-apiserver", arguments, &folder.join("kube-apiserver.log"))
}

fn start_controller_manager(programs: &Path, folder: &Path) -> Process {
    let file = |name: &str| folder.join(name).display().to_string();
    let arguments = [
        format!("--kubeconfig={}", file("controller-manager.kubeconfig")),
        format!("--service-account-private-key-file={}", file("service-accounts.key")),
        format!("--root-ca-file={}", file("authority.crt")),
        format!("--controllers={LEFT_OUT}"),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
        "--horizontal-pod-autoscaler-sync-period=1s".to_owned(),
    ];
    Process::part(programs, "kube-controller-manager", arguments, &folder.join("kube-controller-manager.log"))
}
