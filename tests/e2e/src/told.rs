//! What a run told whoever may look: logs, Events, metrics, the audit log, recorded reviews, warnings and refusals. All of it is kept below the run's folder.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Event;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use kube::{Api, Client};

use crate::control_plane::run_folder;

/// The file of all Events of a control plane, one JSON object per line.
pub const EVENTS: &str = "events.jsonl";

/// The folder of recorded reviews of a webhook.
pub const RECORDED: &str = "recorded";

/// The file of what commands wrote to standard error, warnings and refusals among it.
pub const COMMANDS: &str = "commands.log";

/// Writes down every Event of a control plane, for as long as that lives.
pub(crate) async fn follow_events(client: Client, folder: PathBuf) {
    let events = watcher(Api::<Event>::all(client), Config::default()).default_backoff().applied_objects();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        if let Ok(event) = event {
            append(&folder.join(EVENTS), &serde_json::to_string(&event).unwrap());
        }
    }
}

/// Writes down what a command said on standard error.
pub(crate) fn said(line: &str) {
    append(&run_folder().join(COMMANDS), line);
}

fn append(path: &Path, line: &str) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    writeln!(File::options().create(true).append(true).open(path).unwrap(), "{line}").unwrap();
}

/// The files with what a run told. Left out are etcd's data, and what tests wrote to be read by programs: charts, credentials, objects.
pub fn files(run: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(run).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_recorded = run.file_name().is_some_and(|name| name == RECORDED);
        if path.is_dir() && path.file_name().is_some_and(|name| name != "etcd" && name != "charts") {
            found.extend(files(&path));
        } else if is_recorded || path.extension().is_some_and(|extension| matches!(extension.to_str(), Some("log" | "jsonl" | "metrics"))) {
            found.push(path);
        }
    }
    found
}
