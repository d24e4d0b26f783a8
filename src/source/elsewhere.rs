//! Forms that are known and not read: Terraform, Rancher Fleet, Ansible, and commands in task files and pipelines of other tools. A file in which one of them deploys Milvus says so once, so that silence never means that it was checked.

use super::context::Context;
use super::convert::place;
use super::declare::place_of;
use super::index::objects;
use super::lineage::{is_milvus_chart, is_operator_chart};
use super::{Reading, SourceFile};
use crate::document::extract::LineIndex;
use crate::document::script;
use crate::document::yaml::{Kind, Node};
use crate::model::declaration::{NotChecked, NotCheckedKind};
use crate::model::place::Place;

/// Nodes of a document that are looked through.
const MAX_NODES: usize = 20_000;
/// Modules of Ansible that install charts.
const ANSIBLE_MODULES: [&str; 3] = ["kubernetes.core.helm", "community.kubernetes.helm", "helm"];

/// Tells of the first release of Milvus in a file of a form that is not read.
#[must_use]
pub(super) fn read(file: &SourceFile, _: &Context<'_>) -> Reading {
    let found = if is_terraform(file) {
        terraform(file).map(|place| ("a `helm_release` of Terraform", place))
    } else if file.is_yaml() {
        fleet(file).map(|place| ("a bundle of Rancher Fleet", place)).or_else(|| ansible(file).map(|place| ("a Helm task of Ansible", place)))
    } else {
        None
    };
    let found = found.or_else(|| command(file).map(|place| ("a command in a task file or pipeline", place)));
    let mut reading = Reading::default();
    if let Some((what, place)) = found {
        let reason = format!(
            "{what} deploys Milvus, and this form is not read: check its values with --values FILE, or what `helm template` makes of them on standard input"
        );
        reading.gaps.push(NotChecked::at(place, NotCheckedKind::NotRead, &reason));
    }
    reading
}

fn is_terraform(file: &SourceFile) -> bool {
    [".tf", ".tofu"].iter().any(|end| file.path.ends_with(end))
}

/// The first `resource "helm_release"` whose block mentions Milvus (and not its operator alone), outside of comments.
fn terraform(file: &SourceFile) -> Option<Place> {
    let text: &str = &file.text;
    let mut at = 0;
    let mut block: Option<(usize, usize)> = None;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let code = line.trim_start();
        if code.starts_with('#') || code.starts_with("//") {
            continue;
        }
        if line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let is_release = code.starts_with("resource") && code.contains("\"helm_release\"");
            block = is_release.then(|| (start, start + line.trim_end().len()));
        }
        let speaks_of_milvus = || code.to_ascii_lowercase().replace("milvus-operator", "").replace("milvus_operator", "").contains("milvus");
        if let Some((start, end)) = block
            && speaks_of_milvus()
        {
            return Some(place_of(&file.path, &LineIndex::new(text).span(&(start..end))));
        }
    }
    None
}

/// `helm:` of a `fleet.yaml`, or `spec.helm` of a `HelmOp`.
fn fleet(file: &SourceFile) -> Option<Place> {
    let in_table = |helm: &Node| {
        let names = ["chart", "repo", "releaseName"].iter().find_map(|key| helm.get(key).filter(|node| node.text().is_some_and(is_about_milvus)))?;
        Some(place(&file.path, &names.span))
    };
    if matches!(file.file_name(), "fleet.yaml" | "fleet.yml") {
        return file.documents().iter().flatten().find_map(|document| in_table(document.root.get("helm")?));
    }
    objects(file).iter().filter(|object| object.is("fleet.cattle.io", "HelmOp")).find_map(|object| in_table(object.root.at(&["spec", "helm"])?))
}

/// A task that installs a chart called milvus.
fn ansible(file: &SourceFile) -> Option<Place> {
    memchr::memmem::find(file.text.as_bytes(), b"chart_ref")?;
    let mut left: Vec<&Node> = file.documents().iter().flatten().map(|document| &document.root).collect();
    let mut looked_at = 0;
    while let Some(node) = left.pop() {
        looked_at += 1;
        if looked_at > MAX_NODES {
            return None;
        }
        match &node.kind {
            Kind::Scalar { .. } => {}
            Kind::Sequence(items) => left.extend(items.iter().rev()),
            Kind::Mapping(entries) => {
                for (key, value) in entries.iter().rev() {
                    let chart = value.get("chart_ref").and_then(Node::text);
                    if key.text().is_some_and(|key| ANSIBLE_MODULES.contains(&key)) && chart.is_some_and(is_about_milvus) {
                        return Some(place(&file.path, &key.span));
                    }
                    left.push(value);
                }
            }
        }
    }
    None
}

/// The first line with a Helm command for Milvus, in a file whose scripts are not read: of Azure, Bitbucket or Tekton, a Taskfile, a Justfile, PowerShell.
fn command(file: &SourceFile) -> Option<Place> {
    let name = file.file_name().to_ascii_lowercase();
    let is_script = [".ps1", ".psm1", ".bat", ".cmd", ".just"].iter().any(|end| name.ends_with(end)) || matches!(name.as_str(), "justfile" | ".justfile");
    if !(is_script || file.is_yaml()) || !may_call_helm(file.text.as_bytes()) {
        return None;
    }
    // What is broken is told as such.
    if file.is_yaml() && file.documents().iter().any(Result::is_err) {
        return None;
    }
    let mut at = 0;
    let mut begun: Option<(usize, usize)> = None;
    for line in file.text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let line = line.split_once(" #").map_or(line, |(code, _)| code);
        begun = deploys(line).then(|| (start + line.len() - line.trim_start().len(), start + line.trim_end().len())).or(begun);
        let names_milvus = || line.split([' ', '\t', '"', '\'', ',']).any(|word| is_milvus_chart(word.trim()) && !is_operator_chart(word.trim()));
        if let Some((start, end)) = begun
            && names_milvus()
        {
            let is_read = script::kind(&file.path, &file.text).is_some_and(|kind| !script::jobs(kind, &file.text, file.documents()).is_empty());
            return (!is_read).then(|| place_of(&file.path, &LineIndex::new(&file.text).span(&(start..end))));
        }
        // The command goes on as long as its line does not end.
        begun = begun.filter(|_| line.trim_end().ends_with(['\\', '`', '^', '>']));
    }
    None
}

/// Whether the program's name stands anywhere before a blank.
fn may_call_helm(text: &[u8]) -> bool {
    memchr::memmem::find_iter(text, b"helm").any(|at| {
        let behind = text.get(at + 4..).unwrap_or_default();
        let behind = behind.strip_prefix(b"3").or_else(|| behind.strip_prefix(b".exe")).unwrap_or(behind);
        // There are blanks beyond ASCII.
        behind.first().is_some_and(|byte| byte.is_ascii_whitespace() || *byte == 0x0b || !byte.is_ascii())
    })
}

/// Whether a line begins with a Helm command that deploys, behind the marks of a list, a key and quotes.
fn deploys(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '\t', '-', '@', '"', '\'', '&']);
    let behind_key = line.split_once(": ").filter(|(key, _)| !key.contains(' ')).map_or(line, |(_, behind)| behind);
    let mut words = behind_key.trim_start_matches(['"', '\'', '|', '>', '-', ' ']).split_whitespace();
    matches!(words.next(), Some("helm" | "helm3" | "helm.exe")) && words.take(6).any(|word| matches!(word, "upgrade" | "install"))
}

fn is_about_milvus(text: &str) -> bool {
    !is_operator_chart(text) && (is_milvus_chart(text) || text.to_ascii_lowercase().contains("milvus-helm") || text == "milvus")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::fixture::read_with;

    /// Lines of the gaps.
    fn told(path: &str, text: &str) -> Vec<u32> {
        read_with(read, &[(path, text)]).gaps.into_iter().map(|gap| gap.place.unwrap().start.line).collect()
    }

    #[test]
    fn terraform_that_deploys_milvus_is_told_once() {
        let release = |name: &str, chart: &str| {
            format!("resource \"helm_release\" \"{name}\" {{\n  repository = \"https://charts.example.com\"\n  chart      = \"{chart}\"\n}}\n")
        };
        let two = format!("{}{}{}", release("redis", "redis"), release("vectors", "milvus"), release("more", "milvus"));
        assert_eq!(told("main.tf", &two), [5]);
        assert!(told("main.tf", &format!("{}variable \"milvus\" {{}}\n# milvus\n", release("redis", "redis"))).is_empty());
        assert!(told("main.tf", &release("op", "milvus-operator")).is_empty());
        assert!(told("main.txt", &two).is_empty());
    }

    #[test]
    fn a_call_is_seen_before_any_blank() {
        for text in ["helm upgrade", "x helm3\tinstall", "helm.exe\u{b}install", "helm.toolkit helm\u{a0}install"] {
            assert!(may_call_helm(text.as_bytes()), "{text:?}");
        }
        assert!(!may_call_helm(b"helm.toolkit.fluxcd.io helm33 helm"));
    }

    #[test]
    fn commands_in_files_whose_scripts_are_not_read_are_told_once() {
        let helm = "helm upgrade m zilliztech/milvus --version 5.0.19";
        assert_eq!(told("Taskfile.yml", &format!("version: '3'\ntasks:\n  up:\n    cmds:\n    - {helm}\n    - {helm}\n")), [5]);
        assert_eq!(told("azure-pipelines.yml", &format!("steps:\n- script: {helm}\n")), [2]);
        assert_eq!(told("up.ps1", "helm upgrade --install m `\n  zilliztech/milvus\n"), [1]);
        assert_eq!(told("justfile", &format!("up:\n    @{helm}\n")), [2]);
        assert!(told(".github/workflows/up.yaml", &format!("on: push\njobs:\n  up:\n    steps:\n    - run: {helm}\n")).is_empty());
        for other in [format!("# {helm}\na: 1\n"), format!("note: run `{helm}`\n"), "run: helm upgrade m bitnami/redis # milvus\nx: a/milvus\n".to_owned()] {
            assert!(told("a.yaml", &other).is_empty(), "{other}");
        }
        assert!(told("README.md", helm).is_empty());
    }

    #[test]
    fn fleet_and_ansible_that_deploy_milvus_are_told_once() {
        assert_eq!(told("a/fleet.yaml", "defaultNamespace: x\nhelm:\n  chart: milvus\n  repo: https://zilliztech.github.io/milvus-helm/\n"), [3]);
        assert!(told("a/fleet.yaml", "helm: {chart: redis} # milvus\n").is_empty());
        assert_eq!(told("op.yaml", "apiVersion: fleet.cattle.io/v1alpha1\nkind: HelmOp\nmetadata: {name: milvus}\nspec:\n  helm: {chart: milvus}\n"), [5]);
        let playbook = "- hosts: all\n  tasks:\n    - name: install milvus\n      kubernetes.core.helm:\n        name: m\n        chart_ref: zilliztech/milvus\n    - kubernetes.core.helm: {name: n, chart_ref: zilliztech/milvus}\n";
        assert_eq!(told("site.yml", playbook), [4]);
        assert!(told("site.yml", &playbook.replace("zilliztech/milvus", "bitnami/redis")).is_empty());
    }
}
