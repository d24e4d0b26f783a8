//! Real `helm` 3, `helm` 4 and `kubectl`, run as a user.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The longest that a command may run unless told otherwise.
pub const AT_MOST: Duration = Duration::from_secs(120);

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Helm 3.
    Helm3,
    /// Helm 4.
    Helm4,
    /// kubectl.
    Kubectl,
}

/// Both Helms, for tests that hold for each.
pub const HELMS: [Program; 2] = [Program::Helm3, Program::Helm4];

impl Program {
    /// The file's name among the built programs.
    pub fn file(self) -> &'static str {
        match self {
            Self::Helm3 => "helm3",
            Self::Helm4 => "helm4",
            Self::Kubectl => "kubectl",
        }
    }
}

/// A command to be run, as some user with some folder for what Helm keeps.
#[derive(Debug)]
pub struct Invocation {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    input: Option<String>,
    at_most: Duration,
}

impl Invocation {
    /// `program ARGUMENTS` with this kubeconfig; Helm's caches and configuration go below `home`.
    pub fn new<A: AsRef<OsStr>>(programs: &Path, program: Program, kubeconfig: &Path, home: &Path, arguments: impl IntoIterator<Item = A>) -> Self {
        let below = |name: &str| home.join(name).into_os_string();
        let environment = [
            ("KUBECONFIG", kubeconfig.as_os_str().to_owned()),
            ("HOME", home.as_os_str().to_owned()),
            ("HELM_CACHE_HOME", below("helm-cache")),
            ("HELM_CONFIG_HOME", below("helm-config")),
            ("HELM_DATA_HOME", below("helm-data")),
            ("KUBECACHEDIR", below("kube-cache")),
        ];
        Self {
            path: programs.join(program.file()),
            arguments: arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect(),
            environment: environment.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            input: None,
            at_most: AT_MOST,
        }
    }

    /// Adds a variable: `HELM_DRIVER=configmap`.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.into()));
        self
    }

    /// Gives it this on standard input.
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Kills it after this time, which fails the test.
    pub fn at_most(mut self, time: Duration) -> Self {
        self.at_most = time;
        self
    }

    /// Runs it to its end.
    pub async fn run(self) -> Ended {
        let shown: Vec<_> = self.arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let line = format!("{} {}", self.path.file_name().unwrap().to_string_lossy(), shown.join(" "));
        let begin = Instant::now();
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).envs(self.environment).kill_on_drop(true);
        command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        if let (Some(mut stdin), Some(text)) = (child.stdin.take(), self.input) {
            // A command that reads nothing ends before.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        let output = tokio::time::timeout(self.at_most, child.wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("`{line}` still ran after {:?}", self.at_most)).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ended = Ended { line, status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr), took: begin.elapsed() };
        crate::told::said(&ended.stderr);
        ended
    }

    /// Runs it; anything but success fails the test and shows all output.
    pub async fn ok(self) -> Ended {
        let ended = self.run().await;
        assert!(ended.status.success(), "{ended}");
        ended
    }

    /// Runs it; success fails the test and shows all output.
    pub async fn fails(self) -> Ended {
        let ended = self.run().await;
        assert!(!ended.status.success(), "this should have failed: {ended}");
        ended
    }
}

/// A command that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The command line, for messages.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error: warnings of webhooks are here.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Ended {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` ended with {} after {:?}\n--- stdout\n{}\n--- stderr\n{}", self.line, self.status, self.took, self.stdout, self.stderr)
    }
}
