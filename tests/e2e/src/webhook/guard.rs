//! The real `milvus-guard webhook`, started beside a test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::certificates::Authority;
use crate::control_plane::{ControlPlane, free_port};
use crate::process::Process;
use crate::programs::{repository, target_folder};
use crate::users::User;

/// The longest that a start may take, on a machine that is busy with other things.
const START_AT_MOST: Duration = Duration::from_secs(60);

/// The program under test, built where that is needed, in release where this program is; or the one that `MILVUS_GUARD_BINARY` names.
pub fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(given) = std::env::var_os("MILVUS_GUARD_BINARY") {
            return given.into();
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--package=milvus-guard-webhook", "--bin=milvus-guard"]).current_dir(repository());
        let folder = if cfg!(debug_assertions) { "debug" } else { "release" };
        command.args((folder == "release").then_some("--release"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "milvus-guard cannot be built:\n{}", String::from_utf8_lossy(&output.stderr));
        target_folder().join(folder).join("milvus-guard")
    })
}

/// A running `milvus-guard webhook`. It ends when this is dropped.
#[derive(Debug)]
pub struct Guard {
    process: Process,
    port: u16,
    side_port: u16,
    authority: Authority,
    folder: PathBuf,
    programs: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Guard {
    /// Starts it as a user, with certificates from a folder, which an authority of its own has signed, and more arguments; waits until it is ready.
    /// `name` tells its log, `<name>.log` in the control plane's folder.
    pub async fn start(plane: &ControlPlane, user: &User, name: &str, arguments: &[&str]) -> Self {
        let mut guard = Self::start_only(plane, user, name, arguments);
        guard.wait_until_ready().await;
        guard
    }

    /// Starts it, and does not wait.
    pub fn start_only(plane: &ControlPlane, user: &User, name: &str, arguments: &[&str]) -> Self {
        Self::start_in(plane, user, name, arguments, &[])
    }

    /// Starts it with more variables in its environment, and does not wait.
    pub fn start_in(plane: &ControlPlane, user: &User, name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = plane.folder().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let authority = Authority::new(name);
        std::fs::write(folder.join("ca.crt"), authority.certificate()).unwrap();
        authority.server(&["localhost"]).write(&folder, "tls");
        let (port, side_port) = (free_port(), free_port());
        let own = ["webhook".to_owned(), format!("--listen=127.0.0.1:{port}"), format!("--health-listen=127.0.0.1:{side_port}")];
        let mut all: Vec<String> = own.into_iter().chain(arguments.iter().map(|argument| (*argument).to_owned())).collect();
        if !arguments.iter().any(|argument| argument.starts_with("--certificate-secret")) {
            all.push(format!("--certificates={}", folder.display()));
        }
        let log = plane.folder().join(format!("{name}.log"));
        let kubeconfig = ("KUBECONFIG".to_owned(), user.kubeconfig.display().to_string());
        let more = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let environment: Vec<_> = std::iter::once(kubeconfig).chain(more).collect();
        let process = run(plane.programs(), &environment, &all, &log);
        Self { process, port, side_port, authority, folder, programs: plane.programs().to_owned(), arguments: all, environment }
    }

    /// Starts the program again with the same arguments, on the same ports, after it was killed or ended.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = run(&self.programs, &self.environment, &self.arguments, self.process.log());
        self.wait_until_ready().await;
    }

    /// Waits until /readyz says so.
    pub async fn wait_until_ready(&mut self) {
        let begin = Instant::now();
        while !matches!(self.get("/readyz"), Some((200, _))) {
            assert!(self.process.ended().is_none(), "milvus-guard has ended\n{}", self.process.tail());
            assert!(begin.elapsed() < START_AT_MOST, "milvus-guard is not ready: {:?}\n{}", self.get("/readyz"), self.process.tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The program: to kill it, end it, read its log, measure it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where reviews are answered, on loopback over TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The authority that signed its serving certificate, PEM.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Its folder of certificates: writing another `tls.crt` and `tls.key` there makes it serve them.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `/metrics` says.
    pub fn metrics(&self) -> String {
        self.get("/metrics").map_or_else(String::new, |(_, body)| body)
    }

    /// Writes what `/metrics` says beside its log, as `<name>.metrics`.
    pub fn keep_metrics(&self) {
        let metrics = self.metrics();
        if !metrics.is_empty() {
            std::fs::write(self.process.log().with_extension("metrics"), metrics).unwrap();
        }
    }

    /// The sum of a metric over all label sets that contain `labels` (`gate="helm-storage"`; empty for all).
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let metrics = self.metrics();
        let counted = metrics.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels));
        counted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Asks the port of health and metrics: status and body.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.side_port, path)
    }
}

/// Asks a port on loopback in plain HTTP: status and body.
pub(super) fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.keep_metrics();
    }
}

fn run(programs: &Path, environment: &[(String, String)], arguments: &[String], log: &Path) -> Process {
    Process::watched(programs, binary(), arguments, environment.to_vec(), log)
}
