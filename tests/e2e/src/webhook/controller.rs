//! The real `milvus-guard controller`, started beside a test.

use std::time::{Duration, Instant};

use super::binary;
use crate::control_plane::{ControlPlane, free_port};
use crate::process::Process;
use crate::users::User;

/// The longest that a start may take, on a machine that is busy with other things.
const START_AT_MOST: Duration = Duration::from_secs(60);

/// A running `milvus-guard controller`. It ends when this is dropped.
pub struct Controller {
    process: Process,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    side_port: u16,
    plane: &'static ControlPlane,
}

impl Controller {
    /// Starts it as a user, for some namespaces, with more arguments, and does not wait. `name` tells its log, `<name>.log` in the control plane's folder.
    pub(super) fn start(plane: &'static ControlPlane, user: &User, name: &str, namespaces: &[&str], more: &[String]) -> Self {
        let side_port = free_port();
        let mut arguments = vec!["controller".to_owned(), format!("--health-listen=127.0.0.1:{side_port}"), format!("--identity={name}")];
        arguments.extend(namespaces.iter().map(|namespace| format!("--watch-namespace={namespace}")));
        arguments.extend(more.iter().cloned());
        let environment = vec![("KUBECONFIG".to_owned(), user.kubeconfig.display().to_string())];
        let log = plane.folder().join(format!("{name}.log"));
        let process = Process::watched(plane.programs(), binary(), &arguments, environment.clone(), &log);
        Self { process, arguments, environment, side_port, plane }
    }

    /// Waits until its caches are filled.
    pub async fn wait_until_ready(&mut self) {
        let begin = Instant::now();
        while !matches!(super::guard::get(self.side_port, "/readyz"), Some((200, _))) {
            assert!(self.process.ended().is_none(), "milvus-guard controller has ended\n{}", self.process.tail());
            assert!(begin.elapsed() < START_AT_MOST, "milvus-guard controller is not ready\n{}", self.process.tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts the program again with the same arguments, after it was killed.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = Process::watched(self.plane.programs(), binary(), &self.arguments, self.environment.clone(), self.process.log());
    }

    /// Its metrics now.
    pub fn metrics(&self) -> String {
        super::guard::get(self.side_port, "/metrics").map(|(_, body)| body).unwrap_or_default()
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        self.process.tail()
    }

    /// The program: to kill it, freeze it, read its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
