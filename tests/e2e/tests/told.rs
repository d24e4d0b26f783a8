//! Nothing that a whole run of the tests on a control plane told names one of the credentials that they planted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests may fail loudly"
)]

use std::path::{Path, PathBuf};

use milvus_guard_e2e::programs::{say, target_folder};
use milvus_guard_e2e::{planted, told};

/// The last run that started the guard for tests: its folder, and the files with what it told.
fn last_run() -> Option<(PathBuf, Vec<PathBuf>)> {
    let mut runs: Vec<PathBuf> = std::fs::read_dir(target_folder().join("e2e-logs")).ok()?.map(|entry| entry.unwrap().path()).collect();
    runs.sort();
    let with_files = runs.into_iter().rev().map(|run| {
        let files = told::files(&run);
        (run, files)
    });
    with_files.into_iter().find(|(_, files)| files.iter().any(|file| is_of(file, "recorded", "")))
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn is_of(file: &Path, folder: &str, name: &str) -> bool {
    file.parent().is_some_and(|parent| parent.ends_with(folder)) && file.file_name().is_some_and(|file| file.to_string_lossy().contains(name))
}

#[test]
fn no_credential_is_in_logs_events_metrics_audits_records_warnings_and_refusals_of_a_run() {
    let Some((run, files)) = last_run() else {
        assert!(std::env::var_os("CI").is_none(), "the tests on a control plane have to run before this one");
        say("\n*** SKIPPED: no run of the tests on a control plane is there to look at. ***\n");
        return;
    };
    // The guard saw planted credentials, and each way of telling has told something.
    let stored = ["snap/db", "wal/0000000000000000-0000000000000000.wal"].map(|part| run.join("shared/etcd/member").join(part));
    assert!(
        stored.iter().any(|file| std::fs::read(file).is_ok_and(|bytes| has(&bytes, planted::PLANTED))),
        "{} stored nothing that was planted",
        run.display()
    );
    let text = |file: &PathBuf| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
    let whole = |folder: &str, name: &str| files.iter().filter(|file| is_of(file, folder, name)).map(text).collect::<String>();
    let ways = [
        ("logs", whole("shared", "shared-milvus-guard-"), "\"message\":\"review\""),
        ("metrics", whole("shared", ".metrics"), "milvus_guard_reviews_total"),
        ("Events", whole("shared", told::EVENTS), "MilvusChangeRefused"),
        ("the audit log", whole("shared", "audit.log"), "guard.milvus-guard.dev/rules"),
        ("records of gate 1", whole(told::RECORDED, "helm-storage"), "helm.sh/release.v1"),
        ("records of gate 3", whole(told::RECORDED, "workload"), "\"kind\":\"Deployment\""),
        ("warnings and refusals", whole("", told::COMMANDS), "denied the request"),
    ];
    for (way, told, part) in ways {
        assert!(told.contains(part), "{way} of {} tell nothing: run all tests on the control plane first", run.display());
    }
    let found: Vec<&PathBuf> = files.iter().filter(|file| planted::is_in(&text(file))).collect();
    assert!(found.is_empty(), "a planted credential is in {found:?}");
}
