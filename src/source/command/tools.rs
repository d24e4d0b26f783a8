//! Versions of tools, and clusters made on the spot, as scripts, actions and images tell them.

use std::sync::Arc;

use super::helm::program;
use super::script_file::ScriptFile;
use super::state::{Happened, JobState};
use crate::document::extract::Extract;
use crate::document::script::Setting;
use crate::document::shell::{Environment, Resolved, ResolvedRedirect, Value, Word};
use crate::model::place::{Fact, Origin};

/// The image of kind's nodes; its tag is the Kubernetes version.
const NODE_IMAGE: &str = "kindest/node:";

/// Takes note of what a command tells.
pub(super) fn observe_command(command: &Resolved, file: &ScriptFile<'_>, state: &mut JobState) {
    let words = &command.words;
    let name = words.first().and_then(Word::text).map(|text| program(&text)).unwrap_or_default();
    let has = |text: &str| words.iter().any(|word| word.text().as_deref() == Some(text));
    let makes_cluster = match name.as_str() {
        "kind" | "k3d" | "ctlptl" => has("create"),
        "minikube" => has("start"),
        _ => false,
    };
    if makes_cluster {
        state.remember(Happened::Cluster, file.place(&command.bytes), Some(command));
    }
    for (i, word) in words.iter().enumerate() {
        node_image(word, file, state);
        let start = word.known_start();
        if start.starts_with("--kubernetes-version") && name == "minikube" {
            let value = word.split_once('=').map(|(_, value)| value).or_else(|| words.get(i + 1).cloned());
            if let Some(value) = value {
                note(&mut state.kubernetes, version(&value, file));
            }
        }
        if let Some(at) = start.find("get.helm.sh/helm-") {
            let rest = start.get(at + "get.helm.sh/helm-".len()..).unwrap_or_default();
            let number = rest.split('-').next().unwrap_or_default();
            let known = if number.starts_with('v') && number.len() > 1 {
                Fact::Known(Arc::from(number), Origin::At(file.place(&word.value_bytes())))
            } else {
                word.unknown().map_or(Fact::Absent, |reason| Fact::Unknown(reason.clone(), Origin::At(file.place(&word.bytes))))
            };
            note(&mut state.helm, known);
        }
    }
    install_script(command, file, state);
    for redirect in &command.redirects {
        if let ResolvedRedirect::Heredoc(text) = redirect {
            node_image_in(text, file, state);
        }
    }
}

/// `curl .../get-helm-3 | bash -s -- --version v3.9.0`, `./get_helm.sh --version v3.9.0`, `DESIRED_VERSION=v3.9.0 ...`
fn install_script(command: &Resolved, file: &ScriptFile<'_>, state: &mut JobState) {
    let words = &command.words;
    let is_script = |word: &Word| {
        let start = word.known_start();
        start.contains("get-helm") || start.contains("get_helm")
    };
    let is_shell = words.first().and_then(Word::text).is_some_and(|text| matches!(program(&text).as_str(), "bash" | "sh"));
    let from_pipe = is_shell && command.piped && words.iter().any(|word| word.text().as_deref() == Some("-s"));
    if words.iter().take(3).any(is_script) || from_pipe {
        let at = words.iter().position(|word| matches!(word.text().as_deref(), Some("--version" | "-v")));
        if let Some(value) = at.and_then(|at| words.get(at + 1)).filter(|word| looks_like_version(word)) {
            note(&mut state.helm, version(value, file));
        }
    }
    for (name, value) in &command.assignments {
        if name == "DESIRED_VERSION" {
            note(&mut state.helm, of_value(value, file));
        }
    }
    let asks_asdf = words.first().and_then(Word::text).as_deref() == Some("asdf") && words.get(2).and_then(Word::text).as_deref() == Some("helm");
    if asks_asdf && let Some(value) = words.get(3).filter(|word| looks_like_version(word)) {
        note(&mut state.helm, version(value, file));
    }
}

fn looks_like_version(word: &Word) -> bool {
    word.text().is_none_or(|text| text.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()))
}

/// Takes note of what variables tell.
pub(super) fn observe_variables(environment: &Environment, file: &ScriptFile<'_>, state: &mut JobState) {
    for name in ["HELM_VERSION", "DESIRED_VERSION", "HELM_CLIENT_VERSION"] {
        if let Some(value) = environment.get(name) {
            note(&mut state.helm, of_value(value, file));
        }
    }
}

/// Takes note of what an action is asked to install or make.
pub(super) fn observe_action(name: &Setting, inputs: &[(String, Value)], file: &ScriptFile<'_>, state: &mut JobState) {
    let action = name.text.split('@').next().unwrap_or_default().to_ascii_lowercase();
    let input = |key: &str| inputs.iter().find(|(name, _)| name == key).map(|(_, value)| value);
    let place = file.place(&name.bytes);
    if action.ends_with("/setup-helm") || action.ends_with("/setup-helm-action") {
        let asked = input("version").or_else(|| input("helm-version"));
        note(&mut state.helm, asked.map_or(Fact::Absent, |value| of_value(value, file)));
    }
    let makes_cluster = ["kind-action", "setup-kind", "k3d-action", "setup-minikube", "setup-k3d", "actions-k3s", "setup-k3s", "kubernetes-in-docker"]
        .iter()
        .any(|part| action.contains(part))
        || action.contains("minikube");
    if makes_cluster {
        state.remember(Happened::Cluster, place, None);
        for key in ["node_image", "kubernetes-version", "kubernetes_version", "k8s-version", "image"] {
            let Some(value) = input(key) else { continue };
            match value.text().and_then(|text| text.split_once(NODE_IMAGE).map(|(_, tag)| tag.to_owned())) {
                Some(tag) => {
                    let fact = file.fact(&word_of(value));
                    note(&mut state.kubernetes, fact.map(|_| Arc::from(without_digest(&tag))));
                }
                None => note(&mut state.kubernetes, of_value(value, file)),
            }
        }
    }
}

/// Takes note of the image in which a job runs.
pub(super) fn observe_image(image: &Setting, file: &ScriptFile<'_>, state: &mut JobState) {
    let (name, tag) = image.text.rsplit_once(':').unwrap_or((&image.text, ""));
    let program = name.rsplit('/').next().unwrap_or_default();
    let tag = without_digest(tag);
    if program.split('-').any(|part| part == "helm") && tag.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()) {
        note(&mut state.helm, Fact::Known(Arc::from(tag), Origin::At(file.place(&image.bytes))));
    }
}

fn node_image(word: &Word, file: &ScriptFile<'_>, state: &mut JobState) {
    let start = word.known_start();
    let image = if start.contains(NODE_IMAGE) { NODE_IMAGE } else { "rancher/k3s:" };
    if let Some((_, tag)) = start.split_once(image)
        && word.unknown().is_none()
        && !tag.is_empty()
    {
        let tag = without_digest(tag);
        note(&mut state.kubernetes, Fact::Known(Arc::from(tag), Origin::At(file.place(&word.value_bytes()))));
    }
}

fn node_image_in(text: &Extract, file: &ScriptFile<'_>, state: &mut JobState) {
    if let Some(at) = text.text().find(NODE_IMAGE) {
        let rest = text.text().get(at + NODE_IMAGE.len()..).unwrap_or_default();
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))).unwrap_or(rest.len());
        let tag = rest.get(..length).unwrap_or_default();
        if !tag.is_empty() {
            let bytes = text.source_bytes(&(at..at + NODE_IMAGE.len() + length));
            note(&mut state.kubernetes, Fact::Known(Arc::from(tag), Origin::At(file.place(&bytes))));
        }
    }
}

fn without_digest(tag: &str) -> &str {
    tag.split('@').next().unwrap_or(tag)
}

fn version(word: &Word, file: &ScriptFile<'_>) -> Fact<Arc<str>> {
    file.fact(word)
}

fn of_value(value: &Value, file: &ScriptFile<'_>) -> Fact<Arc<str>> {
    if value.unset {
        return Fact::Absent;
    }
    let word = word_of(value);
    // `latest` and `stable` are no versions.
    if looks_like_version(&word) { file.fact(&word) } else { Fact::Absent }
}

fn word_of(value: &Value) -> Word {
    let bytes = match (value.pieces.first(), value.pieces.last()) {
        (Some(first), Some(last)) if first.bytes().start <= last.bytes().end => first.bytes().start..last.bytes().end,
        _ => 0..0,
    };
    Word { pieces: value.pieces.clone(), bytes, elastic: false }
}

/// Of several only the first that is known counts.
fn note(known: &mut Fact<Arc<str>>, told: Fact<Arc<str>>) {
    let better = known.is_absent() || (known.is_unknown() && told.known().is_some());
    if better && !told.is_absent() {
        *known = told;
    }
}
