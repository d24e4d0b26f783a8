//! Each folder of `examples/` is a dangerous change: the program must name the danger at its place, and stay silent about it on the near miss.

use std::path::Path;
use std::process::Command;

/// Folder, rule, severity, and the line and column of its primary place in `after`.
const EXAMPLES: &[(&str, &str, &str, u64, u64)] = &[
    ("archived-repository", "MV103", "error", 40, 8),
    ("bad-version", "MV215", "error", 11, 16),
    ("dead-value", "MV602", "warning", 33, 7),
    ("jump-over-metadata-migration", "MV201", "error", 18, 14),
    ("jump-to-2-6", "MV205", "error", 11, 16),
    ("mode-dropped", "MV214", "error", 2, 7),
    ("mode-switch", "MV213", "error", 17, 16),
    ("no-values-strategy", "MV109", "warning", 2, 76),
    ("preserve-values", "MV108", "error", 9, 21),
    ("pulsar-default-flip", "MV402", "error", 11, 21),
    ("queue-change", "MV401", "error", 18, 20),
    ("removed-values", "MV601", "error", 14, 11),
    ("reuse-values-in-a-script", "MV108", "error", 10, 3),
    ("rollback-across-a-door", "MV701", "error", 10, 16),
    ("separate-coordinators-into-2-6", "MV206", "error", 11, 16),
    ("standalone-queue-flip", "MV406", "error", 11, 21),
    ("topology-2-6", "MV207", "error", 23, 16),
];

fn findings(folder: &Path, after: &str, before: Option<&str>) -> Vec<serde_json::Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_milvus-lint"));
    command.current_dir(folder).args(["check", after, "--format", "json", "--fail-on", "never"]);
    if let Some(before) = before {
        command.args(["--before", before]);
    }
    let output = command.output().unwrap();
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    report["findings"].as_array().unwrap().clone()
}

fn before_of(folder: &Path, names: &[&'static str]) -> Option<&'static str> {
    names.iter().copied().find(|name| folder.join(name).is_dir())
}

#[test]
fn every_example_shows_its_danger_and_the_near_miss_does_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut problems = Vec::new();
    for (name, rule, severity, line, column) in EXAMPLES {
        let folder = root.join(name);
        let found = findings(&folder, "after", before_of(&folder, &["before"]));
        let hit = found.iter().find(|finding| finding["rule"] == *rule);
        let place = hit.map(|finding| {
            (finding["severity"].as_str().unwrap(), finding["locations"][0]["line"].as_u64().unwrap(), finding["locations"][0]["column"].as_u64().unwrap())
        });
        if place != Some((severity, *line, *column)) {
            problems.push(format!("{name}: expected {rule} {severity} at {line}:{column}, found {place:?}"));
        }
        let near = findings(&folder, "near-miss", before_of(&folder, &["near-miss-before", "before"]));
        if near.iter().any(|finding| finding["rule"] == *rule) {
            problems.push(format!("{name}: {rule} speaks about the near miss"));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_folder_of_examples_is_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut folders: Vec<String> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    let tested: Vec<&str> = EXAMPLES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(folders, tested);
}
