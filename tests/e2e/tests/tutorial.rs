//! The tutorial, as it is written: each of its commands in turn, in one shell's folder, and what it shows of their output.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use milvus_guard_e2e::commands::Program;
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::kubelet::{Behaviour, Pods};
use milvus_guard_e2e::programs::{repository, say, target_folder};
use milvus_guard_e2e::webhook::{Installed, binary};

/// What the tutorial says of the block that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    /// Its last command ends so.
    Exit(i32),
    /// It cannot be run here, for this reason.
    Elsewhere(String),
    /// Its pods are those of the guard: what they would run is started then.
    ThenTheGuardRuns,
    /// The Job of the guard's hook is run while it runs.
    HooksRun,
    /// Only what each line begins with has to be seen: the rest is how it was at one moment.
    About,
}

impl Mark {
    fn read(text: &str) -> Self {
        let other = || panic!("the tutorial has a mark that nobody knows: {text}");
        match text {
            "then the guard runs" => Self::ThenTheGuardRuns,
            "the guard's hook runs meanwhile" => Self::HooksRun,
            "about" => Self::About,
            _ => match (text.strip_prefix("exit "), text.strip_prefix("elsewhere, ")) {
                (Some(code), _) => Self::Exit(code.parse().unwrap()),
                (_, Some(reason)) => Self::Elsewhere(reason.to_owned()),
                _ => other(),
            },
        }
    }
}

/// A fenced block.
#[derive(Debug)]
struct Block {
    language: String,
    text: String,
    mark: Option<Mark>,
}

fn blocks(tutorial: &str) -> VecDeque<Block> {
    let mut all = VecDeque::new();
    let (mut mark, mut open): (Option<Mark>, Option<Block>) = (None, None);
    for line in tutorial.lines() {
        match &mut open {
            Some(block) if line == "```" => {
                assert!(!block.text.trim().is_empty(), "an empty block");
                all.extend(open.take());
            }
            Some(block) => block.text += &format!("{line}\n"),
            None => {
                if let Some(text) = line.strip_prefix("<!-- tutorial: ") {
                    mark = Some(Mark::read(text.strip_suffix(" -->").unwrap()));
                } else if let Some(language) = line.strip_prefix("```") {
                    open = Some(Block { language: language.to_owned(), text: String::new(), mark: mark.take() });
                }
            }
        }
    }
    assert!(open.is_none() && mark.is_none(), "a block or a mark is not ended");
    all
}

/// A line without what differs from run to run: widths of columns, times.
fn settled(line: &str) -> String {
    let is_span = |word: &str| {
        let word = word.trim_matches(['(', ')', ',']);
        word.starts_with(|first: char| first.is_ascii_digit())
            && word.ends_with(['s', 'm', 'h'])
            && word.chars().all(|letter| letter.is_ascii_digit() || "smh".contains(letter))
    };
    let is_time = |word: &str| word.len() >= 20 && word.contains("T") && word.trim_matches('"').ends_with('Z') && word.contains(':');
    let words = line.split_whitespace().map(|word| if is_span(word) || is_time(word) { "#" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Fails unless the output has what the tutorial shows of it.
fn must_show(shown: &Block, output: &str) {
    assert_eq!(shown.language, "text", "a block of commands or of output: {shown:?}");
    let lines: Vec<String> = output.lines().map(settled).collect();
    for line in shown.text.lines().filter(|line| !line.trim().is_empty() && line.trim() != "...") {
        let wanted = settled(line);
        let first = |line: &str| line.split(' ').next().map(str::to_owned);
        let is_there = match (&shown.mark, wanted.strip_suffix(" ...")) {
            (Some(Mark::About), _) => lines.iter().any(|line| first(line) == first(&wanted)),
            (_, Some(begin)) => lines.iter().any(|line| line.starts_with(begin)),
            _ => lines.contains(&wanted),
        };
        assert!(is_there, "the tutorial shows\n{line}\nand the command printed\n{output}");
    }
}

/// Where the commands run: a folder with the repository's in it, and the programs by the names that the tutorial uses.
struct Shell {
    home: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Shell {
    fn new(plane: &ControlPlane) -> Self {
        let home = tempfile::tempdir().unwrap();
        let link = |from: &Path, to: &str| std::os::unix::fs::symlink(from, home.path().join(to)).unwrap();
        std::fs::create_dir_all(home.path().join("bin")).unwrap();
        std::fs::create_dir_all(home.path().join("clone")).unwrap();
        for folder in ["charts", "examples"] {
            link(&repository().join(folder), &format!("clone/{folder}"));
        }
        link(&plane.programs().join(Program::Kubectl.file()), "bin/kubectl");
        link(&plane.programs().join(Program::Helm4.file()), "bin/helm");
        link(binary(), "bin/milvus-guard");
        link(&milvus_lint(), "bin/milvus-lint");
        let shell = Self { home, kubeconfig: plane.admin_kubeconfig() };
        std::fs::write(shell.place(), shell.home.path().join("clone").display().to_string()).unwrap();
        shell
    }

    /// The file that tells in which folder the shell is.
    fn place(&self) -> PathBuf {
        self.home.path().join("place")
    }

    /// Runs a block, from the folder where the one before ended: its exit code and all that it printed.
    fn run(&self, text: &str) -> impl Future<Output = (i32, String)> + Send + 'static {
        let (home, place) = (self.home.path().to_owned(), self.place());
        let folder = std::fs::read_to_string(&place).unwrap();
        let script = format!("set -eu -o pipefail\ntrap 'pwd > {}' EXIT\nexec 2>&1\n{text}", place.display());
        let mut command = tokio::process::Command::new("bash");
        let path = format!("{}:{}", home.join("bin").display(), std::env::var("PATH").unwrap());
        command.arg("-c").arg(script).current_dir(folder.trim()).kill_on_drop(true).stdin(Stdio::null());
        command.env("PATH", path).env("HOME", &home).env("KUBECONFIG", &self.kubeconfig).env("KUBECACHEDIR", home.join("kube-cache"));
        async move {
            let output = tokio::time::timeout(Duration::from_secs(240), command.output()).await.expect("a block of the tutorial does not end").unwrap();
            (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
        }
    }
}

fn milvus_lint() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = std::process::Command::new(cargo).args(["build", "--quiet", "--package=milvus-guard", "--bin=milvus-lint"]).current_dir(repository()).status();
    assert!(built.unwrap().success());
    target_folder().join("debug/milvus-lint")
}

/// A chart repository on loopback, with the charts that the tutorial names.
async fn chart_repository(folder: &Path, plane: &ControlPlane) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for version in ["4.2.58", "5.0.19"] {
        std::fs::copy(milvus_guard_e2e::chart::packed(version), folder.join(format!("milvus-{version}.tgz"))).unwrap();
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let indexed = std::process::Command::new(plane.programs().join(Program::Helm4.file())).args(["repo", "index", "--url", &address]).arg(folder).status();
    assert!(indexed.unwrap().success());
    let folder = folder.to_owned();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let name = request.split(' ').nth(1).and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            let body = std::fs::read(folder.join(name)).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    address
}

/// The guard, running for real, as its pods would.
struct Running {
    guard: Installed,
    _controller: milvus_guard_e2e::webhook::Controller,
}

impl Running {
    async fn start(plane: &'static ControlPlane) -> Self {
        let mut guard = Installed::of(plane, "milvus-guard", "milvus-guard", &[]).await;
        guard.start(2);
        guard.wait_until_in_force().await;
        let mut controller = guard.controller("controller", &[]);
        controller.wait_until_ready().await;
        Self { guard, _controller: controller }
    }
}

#[tokio::test]
async fn every_command_of_the_tutorial_does_what_it_says() {
    let Some(plane) = ControlPlane::own("tutorial").await else { return };
    let text = std::fs::read_to_string(repository().join("docs/tutorial.md")).unwrap();
    // So that there is something to watch.
    plane.kubelet().behave(Pods::of("milvus"), Behaviour::ReadyAfter(Duration::from_millis(700)));
    let charts = tempfile::tempdir().unwrap();
    let charts = chart_repository(charts.path(), plane).await;
    let shell = Shell::new(plane);
    let (mut running, mut output) = (None, String::new());
    let (mut ran, mut log) = (0, String::new());
    for block in blocks(&text) {
        if block.language != "sh" {
            must_show(&block, &output);
            continue;
        }
        if let Some(Mark::Elsewhere(reason)) = &block.mark {
            say(&format!("*** TUTORIAL, NOT RUN: {reason}:\n{}", block.text));
            continue;
        }
        let expected = if let Some(Mark::Exit(code)) = block.mark { code } else { 0 };
        let commands = block.text.replace("https://zilliztech.github.io/milvus-helm/", &charts);
        let code;
        (code, output) = match (&block.mark, &running) {
            (Some(Mark::HooksRun), Some(Running { guard, .. })) => guard.with_hooks(shell.run(&commands)).await.0,
            _ => shell.run(&commands).await,
        };
        log += &format!("```sh\n{commands}```\n{code}\n```text\n{output}```\n\n");
        std::fs::write(plane.folder().join("tutorial.md"), &log).unwrap();
        assert_eq!(code, expected, "{}\n{output}", block.text);
        ran += 1;
        if block.mark == Some(Mark::ThenTheGuardRuns) {
            running = Some(Running::start(plane).await);
        }
    }
    assert!(ran >= 10 && running.is_some(), "the tutorial has lost its commands");
    let left = std::fs::read_dir(shell.home.path().join("clone")).unwrap().count();
    assert_eq!(left, 2, "the tutorial leaves files in the clone");
    drop(running);
    plane.end();
}

#[test]
fn what_is_shown_has_to_be_printed_but_for_widths_and_times() {
    let shown = |text: &str, mark| Block { language: "text".into(), text: text.into(), mark };
    let output = "NAME      AGE\nm-proxy   12s\nwaits for pods (1m3s)\n";
    must_show(&shown("NAME  AGE\n...\nm-proxy  3s\nwaits for pods (2s)\n", None), output);
    must_show(&shown("m-proxy  Complete\n", Some(Mark::About)), output);
    must_show(&shown("waits for ...\n", None), output);
    for (text, mark) in [("m-proxy  3s Complete\n", None), ("m-other 3s\n", None), ("waits with ...\n", None), ("m-other\n", Some(Mark::About))] {
        assert!(std::panic::catch_unwind(|| must_show(&shown(text, mark.clone()), output)).is_err(), "{text}");
    }
}
