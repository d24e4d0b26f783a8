//! The gates have no verdict of their own: they hand what they read to the functions that the linter calls.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::{Change, ChangeKind, Environment};
use milvus_guard::model::declaration::Declaration;
use milvus_guard::model::finding::{Finding, Severity};
use milvus_guard::policy::{self, Policies};
use milvus_guard::source::memory::MemoryTree;
use milvus_guard::source::read_tree;
use milvus_guard_webhook::admission::guard::{Configuration, Guard};
use milvus_guard_webhook::admission::{Answer, Gate, Judge as _, Request};
use milvus_guard_webhook::cluster::Snapshot;
use serde_json::{Value, json};

use crate::changes::{CASES, state};
use crate::declared::{APPLICATION, Declared, HELM_CHART, HELM_RELEASE, Kind, repository};

/// What only a cluster tells: data of an earlier release, the operator, a release that is pending or not rolled out, coordinators that would be deleted, another
/// upgrade; and what could not be read.
const OF_THE_CLUSTER: &[&str] = &["MV704", "MV708", "MV709", "MV710", "MV711", "MV712", "MV901", "MV902"];

/// Rules and severities, errors and warnings.
type Verdict = BTreeSet<(String, bool)>;

#[tokio::test]
async fn a_gate_says_of_an_object_what_the_linter_says_of_it_in_a_file() {
    let guard = Guard::new(Arc::new(Snapshot::new([repository("db")])), Configuration::default());
    let mut wrong = Vec::new();
    for case in CASES {
        for kind in [HELM_RELEASE, APPLICATION, HELM_CHART] {
            let object = |at| Declared { release: "vectors", namespace: "db", target: "db", state: &state(at), reuses: false }.object(&kind);
            let (before, after) = (object(case.before), object(case.after));
            let gate = of_answer(&guard.judge(Gate::GitOps, Arc::new(update(&kind, &before, &after))).await);
            let files = of_files(&before, &after);
            if kind == HELM_RELEASE {
                let wanted: Vec<&str> = case.expected.split(", ").filter_map(|word| word.strip_suffix(" E")).collect();
                let refused: Vec<&str> =
                    gate.iter().filter(|(rule, is_error)| *is_error && ("MV2".."MV7").contains(&rule.as_str())).map(|(rule, _)| rule.as_str()).collect();
                assert_eq!(refused, wanted, "{}", case.name);
            }
            if gate != files {
                wrong.push(format!("{}: {}: the gate says {gate:?} where the linter says {files:?}", case.name, kind.2));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The linter's reader and rules on the objects as files.
fn of_files(before: &Value, after: &Value) -> Verdict {
    let read = |object: &Value| -> Declaration {
        let files = [("object.yaml", object.to_string()), ("repository.yaml", repository("db").to_string())];
        let tree = MemoryTree::new(files.iter().map(|(path, text)| (*path, text.as_str())));
        let mut declarations = read_tree(&tree, &tree.candidates()).declarations;
        assert_eq!(declarations.len(), 1);
        declarations.remove(0)
    };
    let judge = |before: &Value, after: &Value, kind| -> Vec<Finding> {
        let change = Change::new(Some(read(before)), Some(read(after)), kind, Environment::default(), Catalogue::embedded());
        policy::check(&change.unwrap(), Policies::embedded())
    };
    let standing = judge(before, before, ChangeKind::Unchanged);
    let was_there = |old: &Finding, now: &Finding| old.fingerprint == now.fingerprint && old.message == now.message && old.severity >= now.severity;
    let is_new = |finding: &Finding| !standing.iter().any(|old| was_there(old, finding));
    let found = judge(before, after, ChangeKind::Changed).into_iter().filter(|finding| is_new(finding) && finding.severity > Severity::Info);
    worst(found.map(|finding| (finding.rule.to_string(), finding.severity == Severity::Error)))
}

fn of_answer(answer: &Answer) -> Verdict {
    let refused = answer.causes.iter().map(|cause| (cause.rule.clone(), true));
    let warned = answer.warnings.iter().filter_map(|warning| warning.split_once(": ").filter(|(rule, _)| rule.len() == 5));
    worst(refused.chain(warned.map(|(rule, _)| (rule.to_owned(), false))))
}

/// An error hides the warnings of its rule.
fn worst(all: impl Iterator<Item = (String, bool)>) -> Verdict {
    let all: Verdict = all.collect();
    all.iter().filter(|(rule, is_error)| *is_error || !all.contains(&(rule.clone(), true))).cloned().collect()
}

fn update(kind: &Kind, before: &Value, after: &Value) -> Request {
    serde_json::from_value(json!({"uid": "u", "kind": {"group": kind.0, "version": kind.1, "kind": kind.2}, "operation": "UPDATE", "name": "vectors",
        "namespace": "db", "userInfo": {"username": "ada"}, "object": after, "oldObject": before}))
    .unwrap()
}

#[test]
fn rules_are_asked_in_one_place_and_the_gates_add_only_what_a_cluster_tells() {
    let mut askers = Vec::new();
    let mut own = BTreeSet::new();
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admission")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        if code.contains("policy::check(") {
            askers.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
        for (at, made) in code.match_indices("Point::new(") {
            let rest = code[at + made.len()..].trim_start();
            own.insert(
                rest.split('"').nth(1).filter(|_| rest.starts_with('"')).unwrap_or_else(|| panic!("{}: a rule that is no text", path.display())).to_owned(),
            );
        }
    }
    assert_eq!(askers, ["verdict.rs"]);
    assert_eq!(own, OF_THE_CLUSTER.iter().map(|rule| (*rule).to_owned()).collect());
}

/// All source files below a folder that are no tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(below).filter(|path| path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs")).collect()
}
