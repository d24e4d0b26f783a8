//! `milvus-guard review`: judges a stored AdmissionReview, as the webhook would, over the objects that it is given.
#![allow(clippy::disallowed_methods, reason = "reads the files that the arguments name")]

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use milvus_guard_webhook::admission::request::parse;
use milvus_guard_webhook::admission::{Answer, Gate, Judge as _, Request};
use milvus_guard_webhook::cluster::label;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::judge;
use super::output::to_stdout;

/// Exit code of a refused review.
const REFUSED: u8 = 1;

/// The longest that is waited for the end of what is no regular file.
const PIPE_AT_MOST: Duration = Duration::from_secs(30);

/// The most that is read of what is no regular file.
const MAX_PIPED_BYTES: u64 = 64 << 20;

/// Arguments of `review`.
#[derive(Debug, Args)]
pub(crate) struct Review {
    /// The AdmissionReview (JSON), or `-`
    file: PathBuf,
    /// The gate it came to; default: told by the object
    #[arg(long, value_name = "GATE")]
    gate: Option<GateName>,
    /// Objects of the cluster at that time: YAML or JSON, as `kubectl get -o yaml` prints them; may be given more than once
    #[arg(long, value_name = "FILE")]
    cluster: Vec<PathBuf>,
    /// How the verdict is printed; json is the answer as the API server would get it
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GateName {
    HelmStorage,
    Gitops,
    Workload,
    Own,
}

impl From<GateName> for Gate {
    fn from(name: GateName) -> Self {
        match name {
            GateName::HelmStorage => Self::HelmStorage,
            GateName::Gitops => Self::GitOps,
            GateName::Workload => Self::Workload,
            GateName::Own => Self::Own,
        }
    }
}

/// Runs it. A refused review ends with 1.
pub(crate) fn run(arguments: &Review) -> anyhow::Result<ExitCode> {
    let request = parse(read(&arguments.file)?.as_bytes()).with_context(|| arguments.file.display().to_string())?;
    let gate = match arguments.gate {
        Some(name) if gates_of(&request).contains(&name.into()) => name.into(),
        Some(name) => bail!("{} is not judged by gate {}", request.kind.kind, Gate::from(name).name()),
        None => *gates_of(&request).first().with_context(|| format!("{} is judged by no gate", request.kind.kind))?,
    };
    let mut objects = Vec::new();
    for file in &arguments.cluster {
        if file.is_dir() {
            bail!("{} is a folder; name a file with objects", file.display());
        }
        objects.extend(objects_in(&read(file)?).with_context(|| file.display().to_string())?);
    }
    let request = Arc::new(request);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let answer = runtime.block_on(judge::over(objects).judge(gate, Arc::clone(&request)));
    to_stdout(&match arguments.format {
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&json!(answer.review(&request.uid)))?),
        Format::Text => text(gate, &request, &answer),
    })?;
    Ok(if answer.is_admitted() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

/// The objects of a file, one by one or in lists; an empty list is an empty cluster, and anything else without an object none.
fn objects_in(text: &str) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    let mut is_listed = false;
    for document in serde_yaml::Deserializer::from_str(text) {
        let object = Value::deserialize(document).context("it is no YAML")?;
        match object.get("items").and_then(Value::as_array) {
            Some(items) => {
                is_listed = true;
                objects.extend(items.iter().cloned());
            }
            None if object.get("kind").is_some_and(Value::is_string) => objects.push(object),
            None => {}
        }
    }
    if objects.is_empty() && !is_listed {
        bail!("it holds no Kubernetes object");
    }
    Ok(objects)
}

/// The gates that the chart registers for such an object, the likely one first: ConfigMaps are Milvus's configuration, or releases of Helm.
fn gates_of(request: &Request) -> &'static [Gate] {
    let is_release = label(&request.object, "owner") == Some("helm");
    match (request.kind.group.as_str(), request.kind.kind.as_str()) {
        ("", "Secret") => &[Gate::HelmStorage],
        ("", "ConfigMap") if is_release => &[Gate::HelmStorage, Gate::Workload],
        ("", "ConfigMap") => &[Gate::Workload, Gate::HelmStorage],
        ("helm.toolkit.fluxcd.io" | "argoproj.io" | "helm.cattle.io", _) => &[Gate::GitOps],
        ("apps" | "autoscaling", _) | ("", "PersistentVolumeClaim") => &[Gate::Workload],
        ("guard.milvus-guard.dev", _) => &[Gate::Own],
        _ => &[],
    }
}

fn text(gate: Gate, request: &Request, answer: &Answer) -> String {
    let mut text = String::new();
    let verdict = if !answer.is_admitted() {
        "refused"
    } else if answer.patch.0.is_empty() {
        "admitted"
    } else {
        "admitted with a patch"
    };
    // Writing to a String does not fail.
    let _ = writeln!(text, "{verdict}: {:?} {} {}/{} (gate {})", request.operation, request.kind.kind, request.namespace, request.name, gate.name());
    if let Some(message) = &answer.refused {
        let _ = writeln!(text, "  {message}");
    }
    for cause in &answer.causes {
        let field = cause.field.as_deref().map_or_else(String::new, |field| format!(" at {field}"));
        let _ = writeln!(text, "  {}{field}: {}", cause.rule, cause.message);
    }
    for warning in &answer.warnings {
        let _ = writeln!(text, "  warning: {warning}");
    }
    for operation in &answer.patch.0 {
        let _ = writeln!(text, "  patch: {operation}");
    }
    for (key, value) in &answer.audit {
        let _ = writeln!(text, "  audit {key}: {value}");
    }
    text
}

fn read(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        return Ok(std::io::read_to_string(std::io::stdin())?);
    }
    if path.is_dir() {
        bail!("{} is a folder; name one review", path.display());
    }
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return piped(path, PIPE_AT_MOST);
    }
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Reads what is no regular file, such as a pipe that a shell makes of a command. Nobody may ever write into it, or never cease to.
fn piped(path: &Path, at_most: Duration) -> anyhow::Result<String> {
    let (sender, read) = std::sync::mpsc::channel();
    let opened = path.to_owned();
    std::thread::spawn(move || {
        let mut text = String::new();
        let all = std::fs::File::open(opened).and_then(|file| file.take(MAX_PIPED_BYTES + 1).read_to_string(&mut text));
        // Nobody listens any more where this took too long.
        let _told = sender.send(all.map(|_| text));
    });
    let path = path.display();
    match read.recv_timeout(at_most) {
        Ok(Ok(text)) if text.len() as u64 > MAX_PIPED_BYTES => bail!("{path} is no regular file, and more than {} MiB come from it", MAX_PIPED_BYTES >> 20),
        Ok(text) => text.with_context(|| path.to_string()),
        Err(_) => {
            bail!("{path} is no regular file, and what is written into it has not come to an end within {} s; `-` reads standard input", at_most.as_secs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: &str, labels: &Value, gate: Option<GateName>) -> Result<ExitCode, String> {
        let (group, kind) = kind.split_once('/').unwrap_or(("", kind));
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "namespace": "db", "labels": labels}});
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "kind": {"group": group, "version": "v1", "kind": kind}, "resource": {"group": group, "version": "v1", "resource": "x"}, "name": "x", "namespace": "db",
            "operation": "CREATE", "userInfo": {"username": "ada"}, "object": object, "oldObject": null}});
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("review.json");
        std::fs::write(&file, review.to_string()).unwrap();
        run(&Review { file, gate, cluster: Vec::new(), format: Format::Json }).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_one_that_nobody_writes_into_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let why = piped(&pipe, Duration::from_millis(1)).unwrap_err().to_string();
        assert!(why.contains("is no regular file") && why.contains("`-` reads standard input"), "{why}");
        let (other, written) = (folder.path().join("other"), "{}");
        assert!(std::process::Command::new("mkfifo").arg(&other).status().unwrap().success());
        let writer = std::thread::spawn({
            let other = other.clone();
            move || std::fs::write(other, written)
        });
        assert_eq!(read(&other).unwrap(), written);
        writer.join().unwrap().unwrap();
        let endless = piped(Path::new("/dev/zero"), Duration::from_secs(60)).unwrap_err().to_string();
        assert!(endless.contains("more than 64 MiB"), "{endless}");
    }

    #[test]
    fn what_holds_no_object_is_no_empty_cluster() {
        for text in ["", "hello", "a: 1", "---\n---\n", &"a".repeat(1 << 20)] {
            assert_eq!(objects_in(text).unwrap_err().to_string(), "it holds no Kubernetes object");
        }
        let counts =
            ["kind: List\nitems: []\n", "kind: Pod\n---\n---\nkind: Pod\n", "kind: List\nitems: [{kind: Pod}]\n"].map(|text| objects_in(text).unwrap().len());
        assert_eq!(counts, [0, 2, 1]);
    }

    #[test]
    fn a_gate_says_what_it_does_not_judge() {
        assert_eq!(asked("Secret", &json!({}), Some(GateName::Gitops)), Err("Secret is not judged by gate gitops".into()));
        assert_eq!(asked("batch/Job", &json!({}), Some(GateName::Workload)), Err("Job is not judged by gate workload".into()));
        assert_eq!(asked("batch/Job", &json!({}), None), Err("Job is judged by no gate".into()));
        for gate in [None, Some(GateName::Workload), Some(GateName::HelmStorage)] {
            assert_eq!(asked("ConfigMap", &json!({}), gate), Ok(ExitCode::SUCCESS));
        }
    }
}
