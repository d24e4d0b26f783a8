//! Paths that are parts of a tree: what they say is completed by the files around them.

use super::{Outcome, Sandbox};

const CHART: &str =
    "apiVersion: v2\nname: search\nversion: 0.1.0\ndependencies:\n- {name: milvus, version: 4.2.58, repository: https://zilliztech.github.io/milvus-helm/}\n";
const LOCK: &str = "dependencies:\n- {name: milvus, version: 4.2.58, repository: https://zilliztech.github.io/milvus-helm/}\n";
const UP: &str = "helm upgrade vectors zilliztech/milvus --version 4.2.58 -n vectors -f env/prod.yaml\n";

fn values(tag: &str) -> String {
    format!("image: {{all: {{tag: {tag}}}}}\n")
}

fn nested(tag: &str) -> String {
    format!("milvus: {{image: {{all: {{tag: {tag}}}}}}}\n")
}

/// `rule file` of each finding.
fn found(outcome: &Outcome) -> Vec<String> {
    let json = outcome.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    json["findings"].as_array().unwrap().iter().map(|f| format!("{} {}", text(&f["rule"]), text(&f["locations"][0]["file"]))).collect()
}

fn tree(tag: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("repo/charts/search/Chart.yaml", CHART).write("repo/charts/search/Chart.lock", LOCK).write("repo/charts/search/values.yaml", nested(tag));
    sandbox.write("repo/up.sh", UP).write("repo/env/prod.yaml", values(tag));
    sandbox
}

#[test]
fn a_changed_values_file_alone_is_judged_with_the_release_that_uses_it() {
    let sandbox = tree("v2.4.15");
    sandbox.git("repo", &["init", "-q"]);
    sandbox.commit("repo", "before");
    sandbox.write("repo/charts/search/values.yaml", nested("v2.6.15")).write("repo/env/prod.yaml", values("v2.6.15"));
    for (path, file) in [("charts/search/values.yaml", "charts/search/values.yaml"), ("env/prod.yaml", "env/prod.yaml"), ("env", "env/prod.yaml")] {
        let outcome = sandbox.run_in("repo", &["check", path, "--base", "HEAD", "--format", "json"], b"");
        assert!(found(&outcome).contains(&format!("MV205 {file}")), "{path}: {}", outcome.shown());
        assert_eq!(outcome.json()["summary"]["changes"], 1, "{path}");
    }
}

#[test]
fn a_chart_file_alone_has_the_lock_beside_it() {
    let sandbox = tree("v2.5.16");
    for in_git in [false, true] {
        if in_git {
            sandbox.git("repo", &["init", "-q"]);
        }
        let outcome = sandbox.run_in("repo", &["check", "charts/search/Chart.yaml", "--format", "json"], b"");
        assert!(!found(&outcome).iter().any(|one| one.starts_with("MV116")), "{}", outcome.shown());
    }
}

#[test]
fn outside_git_references_resolve_from_the_current_folder() {
    let sandbox = tree("v2.6.15");
    let application = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: milvus, namespace: argocd}\nspec:\n  destination: {namespace: db}\n  source: {repoURL: r, path: charts/search}\n";
    sandbox.write("repo/apps/milvus.yaml", application);
    for path in ["apps/milvus.yaml", "apps", "charts/search/values.yaml"] {
        let outcome = sandbox.run_in("repo", &["check", path, "--format", "json"], b"");
        assert_eq!(found(&outcome), ["MV114 charts/search/values.yaml"], "{path}: {}", outcome.shown());
        assert_eq!(outcome.json()["findings"][0]["release"]["applier"], "template");
    }
}

#[test]
fn values_in_a_folder_that_says_milvus_need_not_say_it_themselves() {
    let sandbox = Sandbox::new();
    let values = |tag: &str| format!("cluster: {{enabled: true}}\nimage: {{all: {{tag: {tag}}}}}\netcd: {{replicaCount: 3}}\n");
    sandbox.git(".", &["init", "-q"]);
    sandbox.write("milvus/prod.yaml", values("v2.5.10"));
    sandbox.commit(".", "before");
    sandbox.write("milvus/prod.yaml", values("v2.6.15"));
    let changed = found(&sandbox.run(&["check", "--base", "HEAD", "--format", "json"]));
    assert!(changed.contains(&"MV205 milvus/prod.yaml".to_owned()), "{changed:?}");
}

#[test]
fn values_that_never_say_milvus_are_read_where_they_are_named() {
    let sandbox = Sandbox::new();
    sandbox.write("mine.yaml", "cluster: {enabled: true}\nimage: {all: {tag: v2.5.10}}\netcd: {replicaCount: 3}\n");
    assert_eq!(found(&sandbox.run(&["check", "mine.yaml", "--format", "json"])), ["MV215 mine.yaml"]);
    assert_eq!(sandbox.run(&["plan", "--for", "mine.yaml", "--to", "2.6.15"]).code, 0);
    // Not named, it may be anybody's.
    assert!(found(&sandbox.run(&["check", ".", "--format", "json"])).is_empty());
    sandbox.git(".", &["init", "-q"]);
    sandbox.commit(".", "before");
    sandbox.write("mine.yaml", "cluster: {enabled: true}\nimage: {all: {tag: v2.6.15}}\netcd: {replicaCount: 3}\n");
    let changed = found(&sandbox.run(&["check", "mine.yaml", "--base", "HEAD", "--format", "json"]));
    assert!(changed.contains(&"MV205 mine.yaml".to_owned()), "{changed:?}");
}
