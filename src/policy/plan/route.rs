//! How a hop reaches the cluster, by the form in which the release is kept: what to do with the edited file, what to wait for, and what to hold while the metadata migrates.

use super::Request;
use super::command::{self, word};
use crate::model::version::ChartVersion;
use crate::model::words::Form;
use crate::policy::plan::values::Set;

/// What a time-out of Helm means.
const TIMED_OUT: &str = "Where the command times out, Helm only stopped waiting: look at the pods before you do anything else.";

/// The step that applies a hop, in words and as commands.
pub(super) struct Route {
    /// What to do.
    pub(super) text: String,
    /// The commands, where there are any.
    pub(super) command: Option<String>,
}

/// The form in which the release is kept; nothing where only commands of the plan apply it.
pub(super) fn form(request: &Request) -> Option<Form> {
    request.declared.as_ref().map(|declared| declared.declaration.identity.form)
}

/// Whether the form keeps no Helm release in the cluster, so that `helm get` and `helm rollback` find nothing.
pub(super) fn is_without_release(request: &Request) -> bool {
    matches!(form(request), Some(Form::ArgoCd | Form::Kustomize))
}

/// What to look at before the first hop.
pub(super) fn ready(request: &Request) -> Route {
    let (object, namespace) = object(request);
    match form(request) {
        Some(Form::Flux) => Route {
            text: "The HelmRelease is ready and not suspended, and its HelmRepository is the one of zilliztech (the old one at milvus-io.github.io ends with chart 4.0.31).".into(),
            command: Some(format!("flux get helmreleases {object}{namespace}\nflux get sources helm --all-namespaces")),
        },
        Some(Form::ArgoCd) => Route {
            text: "The Application is Synced and Healthy, and takes the chart from the repository of zilliztech (the old one at milvus-io.github.io ends with chart 4.0.31).".into(),
            command: Some(application_state(&object, &namespace)),
        },
        Some(Form::K3s) => Route {
            text: "The HelmChart's last job has completed, and its `repo` is the one of zilliztech (the old one at milvus-io.github.io ends with chart 4.0.31).".into(),
            command: Some(format!("kubectl get helmchart {object}{namespace}\nkubectl get job {}{namespace}", word(&format!("helm-install-{}", object_name(request))))),
        },
        Some(Form::Kustomize) => Route {
            text: "`repo` of the chart in the kustomization is the one of zilliztech (the old one at milvus-io.github.io ends with chart 4.0.31), and kustomize can call Helm.".into(),
            command: Some("helm version --short\nkustomize version".into()),
        },
        Some(Form::Umbrella) => Route {
            text: "Helm is 3.14 or later, and the dependency's repository is the one of zilliztech (the old one at milvus-io.github.io ends with chart 4.0.31).".into(),
            command: Some("helm version --short".into()),
        },
        Some(Form::Helmfile | Form::Command | Form::Values | Form::Manifest | Form::HelmRelease) | None => Route {
            text: "Helm is 3.14 or later (`--reset-then-reuse-values`), and the chart comes from the repository of zilliztech; the old one at milvus-io.github.io ends with chart 4.0.31.".into(),
            command: Some(command::repository()),
        },
    }
}

/// The upgrade itself. `what` tells versions: `chart 4.2.58 with Milvus 2.5.22`.
/// `is_held`: the tool was held for the migration before.
pub(super) fn upgrade(what: &str, chart: &ChartVersion, set: &Set, is_held: bool, request: &Request) -> Route {
    let Some(declared) = &request.declared else {
        let also =
            if request.values.is_some() { " Write what it sets into your values file too, or the next upgrade with that file takes it back." } else { "" };
        return Route { text: format!("Upgrade to {what}. {TIMED_OUT}{also}"), command: Some(command::upgrade(chart, set, request)) };
    };
    let (object, namespace) = object(request);
    let file = &declared.declaration.path;
    let edit = format!("Edit the file to {what}");
    match declared.declaration.identity.form {
        Form::Flux => Route {
            text: format!(
                "{edit}, commit and push. Wait until the Flux Kustomization that holds the file has applied your commit (`flux get kustomizations` shows the revision), then {}have the release upgraded and wait for it. Where it fails, read `kubectl describe helmrelease` and the pods; nothing is rolled back by itself.",
                if is_held { "resume the HelmRelease, " } else { "" }
            ),
            command: Some(format!(
                "flux get kustomizations --all-namespaces\n{}flux reconcile helmrelease {object}{namespace} --with-source --timeout 30m\nkubectl wait helmrelease {object}{namespace} --for=condition=Ready --timeout=30m",
                if is_held { format!("flux resume helmrelease {object}{namespace}\n") } else { String::new() }
            )),
        },
        Form::ArgoCd => Route {
            text: format!(
                "{edit}, commit and push. Wait until the Application itself has the new revision (an app of apps has to sync first), look at the difference, then sync and wait for health. Argo CD applies all objects at once and renders them as an install, so look at the difference for a queue or claim that you did not expect.{}",
                if is_held { " Its sync policy comes back when the Application is applied from its file; look that it did." } else { "" }
            ),
            command: Some(format!(
                "argocd app diff {object}\nargocd app sync {object} --timeout 1800\nargocd app wait {object} --sync --health --timeout 1800\n{}",
                application_state(&object, &namespace)
            )),
        },
        Form::K3s => Route {
            text: format!(
                "{edit}, commit and push, or apply the file as you do. The Helm controller replaces the job `helm-install-{}` and runs the upgrade in it: wait for the new job.",
                object_name(request)
            ),
            command: Some(format!(
                "kubectl apply --filename {}\nkubectl wait job {}{namespace} --for=condition=Complete --timeout=30m",
                word(file),
                word(&format!("helm-install-{}", object_name(request)))
            )),
        },
        Form::Helmfile => {
            let helmfile = format!("helmfile --file {} --selector {}", word(file), word(&format!("name={}", request.name)));
            Route {
                text: format!("{edit}, look at the difference, and apply it (with the `--environment` that you use)."),
                command: Some(format!("{helmfile} diff\n{helmfile} apply")),
            }
        }
        Form::Kustomize => {
            let folder = word(folder_of(file));
            Route {
                text: format!(
                    "{edit}, and apply it as you do; look at the difference first. It renders as an install: look for a queue or claim that you did not expect."
                ),
                command: Some(format!(
                    "kustomize build --enable-helm {folder} | kubectl diff --filename -\nkustomize build --enable-helm {folder} | kubectl apply --filename -"
                )),
            }
        }
        Form::Umbrella => Route {
            text: format!(
                "{edit}, renew the lock, commit both, and deploy the umbrella chart as you do: with Helm without `--atomic` and `--reuse-values`, with `--wait --timeout 30m`."
            ),
            command: Some(format!("helm dependency update {}", word(folder_of(file)))),
        },
        Form::Command => Route {
            text: format!("{edit}, and run it (or the pipeline that holds it). Where it waits and fails, read the pods before you run it again."),
            command: None,
        },
        Form::Values => Route { text: format!("{edit}, and upgrade with it. {TIMED_OUT}"), command: Some(command::upgrade_with_file(chart, file, request)) },
        Form::Manifest | Form::HelmRelease => Route { text: format!("Upgrade to {what}. {TIMED_OUT}"), command: Some(command::upgrade(chart, set, request)) },
    }
}

/// What holds the tool while the metadata migrates; it would start Milvus in the middle.
pub(super) fn hold(request: &Request) -> Option<String> {
    let (object, namespace) = object(request);
    match form(request)? {
        Form::Flux => Some(format!("flux suspend helmrelease {object}{namespace}")),
        Form::ArgoCd => Some(format!("argocd app set {object} --sync-policy none")),
        _ => None,
    }
}

/// How the way back begins where a rollback works.
pub(super) fn back(request: &Request) -> &'static str {
    match form(request) {
        None | Some(Form::Manifest | Form::HelmRelease | Form::Command | Form::Values) => "`helm rollback` to the revision before",
        Some(Form::Flux | Form::ArgoCd | Form::K3s | Form::Kustomize | Form::Umbrella | Form::Helmfile) => "Reverting the commit of this hop",
    }
}

fn application_state(object: &str, namespace: &str) -> String {
    format!(
        "kubectl get application {object}{namespace} -o custom-columns='NAME:.metadata.name,SYNC:.status.sync.status,HEALTH:.status.health.status,REVISION:.status.sync.revision'"
    )
}

/// The object that declares the release, for commands: its name, and ` --namespace` with its namespace where that is said.
fn object(request: &Request) -> (String, String) {
    let said = request.declared.as_ref().and_then(|declared| declared.object.as_ref());
    let namespace = said.and_then(|(_, namespace)| namespace.clone());
    // Argo CD's Applications lie in its own namespace by default, other objects beside the release.
    let namespace = match (namespace, form(request)) {
        (Some(namespace), _) => namespace.to_string(),
        (None, Some(Form::ArgoCd)) => "argocd".to_owned(),
        (None, _) => request.namespace.to_string(),
    };
    (word(&object_name(request)), format!(" --namespace {}", word(&namespace)))
}

fn object_name(request: &Request) -> String {
    let said = request.declared.as_ref().and_then(|declared| declared.object.as_ref());
    said.map_or(&*request.name, |(name, _)| &**name).to_owned()
}

fn folder_of(file: &str) -> &str {
    file.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

/// Where to write acknowledgements, as the beginning of a sentence.
pub(super) fn beside(request: &Request) -> &'static str {
    match form(request) {
        None => "Where the upgrade stands in a script or file that `milvus-lint check` reads, write above it as comments",
        Some(Form::Command) => "Write as comments right above the upgrade",
        Some(Form::Flux | Form::ArgoCd | Form::K3s) => "Write as comments in the same document (or as one annotation of the object, parted by `;`)",
        Some(_) => "Write as comments above the chart's version or the values",
    }
}
