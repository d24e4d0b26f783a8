//! Commands of a plan, quoted for a POSIX shell.

use serde_json::Value as Json;

use super::state::State;
use super::tool::WAIT;
use super::values::Set;
use super::{Request, route};
use crate::model::place::Fact;
use crate::model::release::Release;
use crate::model::version::{ChartVersion, MilvusVersion};
use crate::policy::condition::ValueTree;
use crate::policy::facts;
use crate::policy::names;

/// Where the upstream migration script lies.
const MIGRATE_SCRIPT: &str = "https://raw.githubusercontent.com/milvus-io/milvus/master/deployments/migrate-meta/migrate.sh";
/// The build of the migration tool that repairs the load information (`:v2.2.0` does not).
const MIGRATE_IMAGE: &str = "milvusdb/meta-migration:v2.2.0-bugfix-20230112";

/// Adds the chart's repository, and shows Helm's version.
pub(super) fn repository() -> String {
    "helm version --short\nhelm repo add zilliztech https://zilliztech.github.io/milvus-helm/\nhelm repo update zilliztech".to_owned()
}

/// Lists the release's pods with their images. Where the name that the chart gives them is not known, it is taken for the default.
pub(super) fn pods(request: &Request, release: &Release) -> String {
    let name = names::label(release).unwrap_or_else(|| "milvus".to_owned());
    let name = shown(&name, release, &NAME);
    format!(
        "kubectl get pods --namespace {} --selector {} \\\n  -o custom-columns='POD:.metadata.name,READY:.status.containerStatuses[*].ready,IMAGE:.spec.containers[*].image'",
        word(&request.namespace),
        word(&format!("app.kubernetes.io/instance={},app.kubernetes.io/name={name},component!=attu", request.name))
    )
}

/// Where the chart's name is said.
const NAME: [(ValueTree, &str); 1] = [(ValueTree::Effective, "nameOverride")];
/// Where the endpoints of an external etcd are said.
const ENDPOINTS: [(ValueTree, &str); 2] = [(ValueTree::Config, "etcd.endpoints"), (ValueTree::User, "externalEtcd.endpoints")];
/// Where etcd's root path is said.
const ROOT_PATH: [(ValueTree, &str); 2] = [(ValueTree::Config, "etcd.rootPath"), (ValueTree::User, "metadata.rootPath")];

/// A value for a command; of one that a Secret holds only where to find it.
fn shown(value: &str, release: &Release, paths: &[(ValueTree, &str)]) -> String {
    facts::secret_of(release, paths).map_or_else(|| value.to_owned(), |secret| format!("<a value from {secret}>"))
}

/// Saves the values of the release, and a snapshot of its etcd. Argo CD and kustomize keep no values in the cluster.
pub(super) fn backup(before: &State, request: &Request) -> Option<String> {
    let (name, namespace) = (word(&request.name), word(&request.namespace));
    let file = |end: &str| word(&format!("{}-{}{end}", request.name, before.milvus));
    let mut commands = Vec::new();
    if !route::is_without_release(request) {
        commands.push(format!("helm get values {name} --namespace {namespace} --all --output yaml > {}", file("-values.yaml")));
    }
    let of_release = match &before.release.metadata {
        Fact::Known(store, _) => !store.mysql && store.external_endpoints.is_empty(),
        // Where it lies is not seen: what the chart installs by default.
        Fact::Unknown(..) => true,
        Fact::Absent => false,
    };
    match before.release.metadata.known() {
        _ if of_release => {
            let pod = word(&format!("{}-etcd-0", request.name));
            commands.push(format!("kubectl exec --namespace {namespace} {pod} -- etcdctl snapshot save /tmp/before.db"));
            commands.push(format!("kubectl exec --namespace {namespace} {pod} -- cat /tmp/before.db > {}", file("-etcd.db")));
        }
        Some(store) if !store.mysql => {
            let endpoint = store.external_endpoints.first().map(|endpoint| endpoint.rsplit_once('@').map_or(&**endpoint, |(_, host)| host)).unwrap_or_default();
            let endpoint = shown(endpoint, &before.release, &ENDPOINTS);
            commands.push(format!("etcdctl --endpoints {} snapshot save {}", word(&endpoint), file("-etcd.db")));
        }
        _ => {}
    }
    (!commands.is_empty()).then(|| commands.join("\n"))
}

/// The metadata migration with the upstream script.
pub(super) fn migrate(before: &State, to: MilvusVersion, request: &Request) -> String {
    let store = before.release.metadata.known();
    let root_path = shown(store.map_or("by-dev", |store| &*store.root_path), &before.release, &ROOT_PATH);
    let etcd = match store.map(|store| store.external_endpoints.as_slice()) {
        Some([first, ..]) => format!(" -e {}", word(&shown(first.trim_start_matches("http://"), &before.release, &ENDPOINTS))),
        _ => String::new(),
    };
    format!(
        "curl -fsSLO {MIGRATE_SCRIPT}\nchmod +x migrate.sh\n./migrate.sh -n {} -i {} -s {} -t {to} -r {}{etcd} \\\n  -w milvusdb/milvus:v{to} -m {MIGRATE_IMAGE}",
        word(&request.namespace),
        word(&request.name),
        before.milvus,
        word(&root_path)
    )
}

/// The upgrade.
pub(super) fn upgrade(chart: &ChartVersion, set: &Set, request: &Request) -> String {
    let sets: String = set.iter().map(|(path, value)| format!(" \\\n  {}", flag(path, value))).collect();
    format!(
        "helm upgrade {} zilliztech/milvus --namespace {} --version {chart} \\\n  --reset-then-reuse-values{sets} \\\n  --wait --timeout {WAIT}",
        word(&request.name),
        word(&request.namespace)
    )
}

/// The upgrade with a values file that says all.
pub(super) fn upgrade_with_file(chart: &ChartVersion, file: &str, request: &Request) -> String {
    format!(
        "helm upgrade {} zilliztech/milvus --namespace {} --version {chart} \\\n  --reset-values --values {} \\\n  --wait --timeout {WAIT}",
        word(&request.name),
        word(&request.namespace),
        word(file)
    )
}

/// The flag that sets exactly this value: Helm reads `--set a=1` as a number and gives braces and commas a meaning.
fn flag(path: &str, value: &Json) -> String {
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@%+-".contains(&b));
    let is_typed = |text: &str| text.parse::<f64>().is_ok() || ["true", "false", "null"].contains(&text);
    match value {
        Json::String(text) if is_plain(text) && is_typed(text) => format!("--set-string {}", word(&format!("{path}={text}"))),
        Json::String(text) if is_plain(text) => format!("--set {}", word(&format!("{path}={text}"))),
        Json::Bool(_) | Json::Number(_) | Json::Null => format!("--set {}", word(&format!("{path}={value}"))),
        _ => format!("--set-json {}", word(&format!("{path}={value}"))),
    }
}

/// One word of a shell command, quoted where it has to be.
pub(super) fn word(text: &str) -> String {
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@%+-=,".contains(&b));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_gets_the_flag_that_sets_it_exactly() {
        let cases = [
            (json!("v2.5.22"), "--set a.b=v2.5.22"),
            (json!(true), "--set a.b=true"),
            (json!(3), "--set a.b=3"),
            (json!("3"), "--set-string a.b=3"),
            (json!("true"), "--set-string a.b=true"),
            (json!("{x,y}"), "--set-json 'a.b=\"{x,y}\"'"),
            (json!("it's 50 Gi"), "--set-json 'a.b=\"it'\\''s 50 Gi\"'"),
            (json!(""), "--set-json 'a.b=\"\"'"),
            (json!(["x"]), "--set-json 'a.b=[\"x\"]'"),
            (json!(null), "--set a.b=null"),
        ];
        for (value, expected) in cases {
            assert_eq!(flag("a.b", &value), expected);
        }
        assert_eq!(flag("a.x\\.y", &json!(1)), "--set 'a.x\\.y=1'");
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them() {
        assert_eq!((word("my-release"), word("a b"), word("a'b"), word("")), ("my-release".into(), "'a b'".into(), "'a'\\''b'".into(), "''".into()));
    }
}
