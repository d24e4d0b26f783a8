//! The program as users run it: arguments, exit codes, what is printed where.

mod bounds;
mod catalogue;
mod check;
mod git;
mod plan;
mod plan_files;
mod scope;
mod secrets;
mod usage;
mod values;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No input may keep the program busy for longer than this, on a busy machine and without optimisation.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own in which the program runs.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Exit code, standard output and standard error, for snapshots.
    pub(crate) fn shown(&self) -> String {
        format!("exit code {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}", self.shown()))
    }

    /// `file: rule: reason` of each part that was not checked.
    pub(crate) fn not_checked(&self) -> Vec<String> {
        let json = self.json();
        let text = |gap: &serde_json::Value, key: &str| gap[key].as_str().unwrap_or_default().to_owned();
        json["not_checked"].as_array().unwrap().iter().map(|gap| format!("{}: {}: {}", text(gap, "file"), text(gap, "rule"), text(gap, "reason"))).collect()
    }
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_in("", arguments, b"")
    }

    pub(crate) fn run_in(&self, folder: &str, arguments: &[&str], stdin: &[u8]) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_milvus-lint"));
        command.args(arguments).current_dir(self.path().join(folder));
        self.outcome(command, stdin)
    }

    /// Runs the program with more in its environment.
    pub(crate) fn run_with(&self, folder: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
        let mut command = Command::new("env");
        command.args(environment.iter().map(|(name, value)| format!("{name}={value}"))).arg(env!("CARGO_BIN_EXE_milvus-lint"));
        command.args(arguments).current_dir(self.path().join(folder));
        self.outcome(command, b"")
    }

    /// Runs a program in an environment of its own, and ends it when it takes too long.
    fn outcome(&self, mut command: Command, stdin: &[u8]) -> Outcome {
        scrub(&mut command, &self.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let stdin = stdin.to_vec();
        let writer = std::thread::spawn(move || {
            let _ = input.write_all(&stdin);
        });
        let pid = child.id();
        let watched = std::thread::spawn(move || child.wait_with_output().unwrap());
        let started = Instant::now();
        while !watched.is_finished() {
            if started.elapsed() > PATIENCE {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
                panic!("the program did not end within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        writer.join().unwrap();
        let output = watched.join().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(self.path().to_str().unwrap(), "@@");
        Outcome { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs git, which must succeed.
    pub(crate) fn git(&self, folder: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", "-C"]).arg(self.path().join(folder)).args(arguments);
        let outcome = self.outcome(command, b"");
        assert_eq!(outcome.code, 0, "git {arguments:?}: {}", outcome.shown());
        outcome.stdout
    }

    /// Commits everything.
    pub(crate) fn commit(&self, folder: &str, message: &str) {
        self.git(folder, &["add", "-A"]);
        self.git(folder, &["commit", "-q", "--allow-empty", "-m", message]);
    }
}

/// Nothing of the machine's settings reaches the program.
fn scrub(command: &mut Command, home: &Path) {
    command.env_clear();
    for (name, value) in [("PATH", std::env::var_os("PATH")), ("LLVM_PROFILE_FILE", std::env::var_os("LLVM_PROFILE_FILE"))] {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.env("HOME", home).env("XDG_CONFIG_HOME", home).env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Test").env(format!("GIT_{role}_EMAIL"), "test@example.com");
        command.env(format!("GIT_{role}_DATE"), "2026-01-01T00:00:00Z");
    }
}

/// A Flux release of a chart version.
pub(crate) fn helm_release(chart: &str) -> String {
    format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: vectors
  namespace: prod
spec:
  chart:
    spec:
      chart: milvus
      version: {chart}
      sourceRef:
        kind: HelmRepository
        name: zilliztech
  values:
    cluster:
      enabled: true
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata:
  name: zilliztech
  namespace: prod
spec:
  url: https://zilliztech.github.io/milvus-helm/
"
    )
}
