//! Programs that run beside a test and never outlive it.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A program in the background. It ends when this is dropped, and when the test's process ends in any way, SIGKILL included: its standard input ends then.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts a part of the `controlplane` program, which watches its standard input by itself. Output goes to `log`.
    pub fn part<A: AsRef<OsStr>>(programs: &Path, part: &str, arguments: impl IntoIterator<Item = A>, log: &Path) -> Self {
        let mut command = Command::new(programs.join("controlplane"));
        command.arg(part).args(arguments);
        Self::start(part, command, log)
    }

    /// Starts any program, watched over by `controlplane while-stdin`. Output goes to `log`.
    pub fn watched<A: AsRef<OsStr>>(
        programs: &Path,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        environment: impl IntoIterator<Item = (String, String)>,
        log: &Path,
    ) -> Self {
        let mut command = Command::new(programs.join("controlplane"));
        command.arg("while-stdin").arg(program).args(arguments).envs(environment);
        Self::start(&program.file_name().unwrap().to_string_lossy(), command, log)
    }

    fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::piped()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let input = child.stdin.take();
        Self { name: name.to_owned(), child, input, log: log.to_owned() }
    }

    /// The process id; of the watcher where there is one, which passes SIGTERM on and takes the program along when it is killed.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The program that a watcher runs: for its memory and open files. Nothing once it has ended.
    pub fn inner_id(&self) -> Option<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let children = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
        children.flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()).next()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// All output so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let status = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success(), "{} cannot be signalled", self.name);
    }

    /// Kills it at once, as a crash or a lost node does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    pub fn wait(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let begin = Instant::now();
        while begin.elapsed() < at_most {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// The last lines of its output, for a message.
    pub fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let shown = lines[lines.len().saturating_sub(30)..].join("\n");
        format!("{} ({}):\n{shown}", self.name, self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        if self.wait(Duration::from_millis(500)).is_none() {
            self.kill();
        }
    }
}
