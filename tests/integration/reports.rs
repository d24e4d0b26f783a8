//! Machine formats against their schemas: ours, and the official one of SARIF.

use milvus_guard::model::declaration::{Applier, FlagKind, Form, NotCheckedKind};
use milvus_guard::model::finding::{Baseline, EvidenceNote, Finding, Fix, Gap, Label, ReleaseSummary, Report, Severity, Summary};
use milvus_guard::model::place::{Place, Position};
use milvus_guard::model::plan::{Absence, Action, ActionKind, Downtime, Hop, Plan, Refusal, Timeline, TimelineEvent, ToolChange};
use milvus_guard::report::{RuleInfo, Tool, json, plan_json, sarif, schema};
use serde_json::Value;

use crate::json_schema::violations;

const SARIF: &str = include_str!("../data/sarif-schema-2.1.0.json");

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn place(file: &str, start: (u32, u32), end: (u32, u32)) -> Place {
    Place { file: file.into(), start: Position { line: start.0, column: start.1 }, end: Position { line: end.0, column: end.1 } }
}

/// A finding with everything (`full`), or with as little as a finding may have.
fn finding(rule: &str, severity: Severity, form: Form, applier: Applier, full: bool) -> Finding {
    let some = |text: &str| full.then(|| text.to_owned());
    let here = place("apps/größe %1.yaml", (5, 16), (5, 22));
    let label = |text: &str| Label { place: here.clone(), text: text.to_owned(), before: text.is_empty() };
    Finding {
        rule: rule.into(),
        name: "stop-at-2-5-16".into(),
        severity,
        message: "a\u{1b}\u{0}\u{202e} message".into(),
        release: ReleaseSummary {
            form,
            path: "-".into(),
            namespace: full.then(|| "prod".into()),
            name: full.then(|| "vectors".into()),
            chart: some("5.0.19"),
            milvus: some("2.6.15"),
            applier,
        },
        before: some("2.4.16"),
        after: some("2.6.15"),
        locations: if full { vec![label("here"), label(""), label("and here")] } else { Vec::new() },
        remedy: some("write this").unwrap_or_default(),
        evidence: if full {
            vec![
                EvidenceNote { text: "in a file".into(), place: Some(place("b.yaml", (0, 0), (0, 0))) },
                EvidenceNote { text: "elsewhere".into(), place: None },
            ]
        } else {
            Vec::new()
        },
        fixes: if full { vec![Fix { title: "Write this".into(), safe: true, place: here.clone(), replacement: String::new() }] } else { Vec::new() },
        waived: full,
        baseline: if full { Some(Baseline::PreExisting) } else { None },
        fingerprint: format!("{rule}-{full}"),
    }
}

fn report() -> Report {
    let forms = [Form::Flux, Form::ArgoCd, Form::Umbrella, Form::Helmfile, Form::Command, Form::Values, Form::Manifest, Form::HelmRelease];
    let severities = [Severity::Error, Severity::Warning, Severity::Info];
    let appliers = [Applier::HelmUpgrade, Applier::Template, Applier::Unknown];
    let findings = forms
        .into_iter()
        .enumerate()
        .map(|(i, form)| finding(["MV205", "MV108", "MV602"][i % 3], severities[i % 3], form, appliers[i % 3], i % 2 == 0))
        .collect();
    let gap = |kind, place| Gap { file: "a b.yaml".into(), place, reason: "not UTF-8".into(), kind };
    Report {
        base: Some("main".into()),
        findings,
        not_checked: vec![
            gap(NotCheckedKind::NotRead, None),
            gap(NotCheckedKind::PartlyChecked, Some(place("a b.yaml", (3, 4), (2, 1)))),
            gap(NotCheckedKind::LimitsExceeded, Some(place("a b.yaml", (u32::MAX, u32::MAX), (u32::MAX, u32::MAX)))),
        ],
        summary: Summary { files: 8, releases: 8, changes: 8, errors: 3, warnings: 3, infos: 2, pre_existing: 4, not_checked: 3 },
    }
}

fn tool() -> Tool {
    Tool { name: "milvus-lint".into(), version: "0.1.0".into(), catalogue_charts: 300, catalogue_newest: "5.0.19".into() }
}

fn rule() -> RuleInfo {
    RuleInfo {
        id: "MV205".into(),
        name: "stop-at-2-5-16".into(),
        summary: "a stop".into(),
        description: "why".into(),
        help_text: "page".into(),
        help_markdown: "# page".into(),
        severity: Severity::Error,
        help_uri: Some("https://example.com/MV205".into()),
    }
}

fn timeline() -> Timeline {
    Timeline {
        order: Some("from 2.5 into 2.6".into()),
        disputed: None,
        events: vec![TimelineEvent { seconds: 0, text: "replace mixcoord (1 pod)".into(), reason: None, one_way: true }],
        assumed: Vec::new(),
        away: vec![Absence { what: "proxy".into(), from_seconds: 5, until_seconds: 40 }],
        seconds: 60,
        not_drawn: None,
    }
}

fn plan() -> Plan {
    let kinds = [
        ActionKind::Backup,
        ActionKind::Check,
        ActionKind::Prepare,
        ActionKind::Acknowledge,
        ActionKind::Migrate,
        ActionKind::Uninstall,
        ActionKind::HelmUpgrade,
        ActionKind::HelmInstall,
        ActionKind::Verify,
    ];
    let downtimes = [Downtime::None, Downtime::Partial, Downtime::Restart, Downtime::Migration];
    let hop = |downtime| Hop {
        milvus: "2.2.16".into(),
        chart: "4.0.34".into(),
        image_tag: (downtime == Downtime::None).then(|| "v2.2.16".into()),
        reason: "why".into(),
        actions: kinds
            .into_iter()
            .map(|kind| Action {
                command: (kind == ActionKind::HelmUpgrade).then(|| "helm upgrade".into()),
                values: serde_json::Map::from_iter([("a.b".to_owned(), Value::Null)]),
                diff: (kind == ActionKind::HelmUpgrade).then(|| "--- a/x\n".into()),
                tool: if kind == ActionKind::Prepare { vec![ToolChange::Off(FlagKind::Atomic), ToolChange::Timeout] } else { Vec::new() },
                ..Action::new(kind, "do")
            })
            .collect(),
        one_way_door: true,
        rollback: "none".into(),
        downtime,
        interruption: "all".into(),
        backup: true,
        commands: vec!["helm upgrade".into()],
        sources: vec!["https://example.com".into()],
        timeline: Some(timeline()),
    };
    Plan { from: "2.1.4".into(), to: "2.2.16".into(), refused: None, hops: downtimes.into_iter().map(hop).collect(), not_checked: Vec::new(), runs: Vec::new() }
}

fn check_json(report: &Report) -> Value {
    let mut out = Vec::new();
    json::write(&mut out, report, &tool()).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn sarif_json(report: &Report) -> Value {
    let mut out = Vec::new();
    sarif::write(&mut out, report, &tool(), &[rule()]).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn plan_value(plan: &Plan) -> Value {
    let mut out = Vec::new();
    plan_json::write(&mut out, plan).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn the_json_of_check_is_valid() {
    let schema = parse(schema::CHECK);
    for report in [report(), Report::default()] {
        assert_eq!(violations(&schema, &check_json(&report)), Vec::<String>::new());
    }
}

#[test]
fn a_place_before_the_change_is_no_location_of_the_checked_text() {
    let value = check_json(&report());
    let finding = &value["findings"][7];
    assert_eq!(finding["locations"].as_array().unwrap().len(), 2);
    assert_eq!(finding["evidence"][2]["text"], "before the change:  (apps/größe %1.yaml:5:16)");
    assert_eq!(sarif_json(&report())["runs"][0]["results"][7]["relatedLocations"].as_array().unwrap().len(), 2);
}

#[test]
fn the_schema_of_check_is_strict() {
    let schema = parse(schema::CHECK);
    let valid = check_json(&report());
    let spoilt: [fn(&mut Value); 6] = [
        |v| v["schema_version"] = 2.into(),
        |v| v["more"] = true.into(),
        |v| v["findings"][0]["severity"] = "fatal".into(),
        |v| v["findings"][7]["locations"][0]["line"] = 0.into(),
        |v| v["summary"]["errors"] = (-1).into(),
        |v| v["not_checked"][0]["rule"] = "MV1".into(),
    ];
    for spoil in spoilt {
        let mut value = valid.clone();
        spoil(&mut value);
        assert!(!violations(&schema, &value).is_empty());
    }
}

#[test]
fn the_json_of_plan_is_valid() {
    let schema = parse(schema::PLAN);
    let refusal = Refusal { reason: "no way back".into(), rule: "MV203".into() };
    let refused = Plan { refused: Some(refusal), hops: Vec::new(), ..plan() };
    let unread = Plan { not_checked: report().not_checked, ..plan() };
    for plan in [plan(), refused, unread] {
        assert_eq!(violations(&schema, &plan_value(&plan)), Vec::<String>::new());
    }
}

#[test]
fn sarif_is_valid_against_the_official_schema() {
    let schema = parse(SARIF);
    for report in [report(), Report::default()] {
        assert_eq!(violations(&schema, &sarif_json(&report)), Vec::<String>::new());
    }
}

#[test]
fn sarif_tells_rules_that_occur_once_and_points_at_them() {
    let log = sarif_json(&report());
    let run = &log["runs"][0];
    let rules: Vec<&str> = run["tool"]["driver"]["rules"].as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(rules, ["MV108", "MV205", "MV602"]);
    for result in run["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(result["ruleId"].as_str().unwrap(), rules[index]);
    }
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    assert_eq!(run["tool"]["driver"]["rules"][1]["help"]["markdown"], "# page");
}

#[test]
fn a_sarif_fingerprint_survives_a_move_of_lines() {
    let fingerprints = |report: &Report| -> Vec<Value> {
        let log = sarif_json(report);
        log["runs"][0]["results"].as_array().unwrap().iter().map(|result| result["partialFingerprints"].clone()).collect()
    };
    let before = report();
    let mut after = report();
    for label in after.findings.iter_mut().flat_map(|finding| &mut finding.locations) {
        label.place.start.line += 40;
        label.place.end.line += 40;
    }
    assert_eq!(fingerprints(&before), fingerprints(&after));
}

/// What the program prints for an example, with both machine formats.
fn printed(format: &str, example: &str) -> Value {
    let root = env!("CARGO_MANIFEST_DIR");
    let folder = std::path::Path::new(root).join("examples").join(example);
    let file = std::fs::read_dir(folder.join("after")).unwrap().next().unwrap().unwrap().file_name();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_milvus-lint"));
    command.current_dir(root).args(["check", "--format", format]).arg(folder.join("after"));
    let before = folder.join("before").join(file);
    if before.exists() {
        command.arg("--before").arg(before);
    }
    let output = command.output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_the_program_prints_for_the_examples_is_valid() {
    let (check, sarif) = (parse(schema::CHECK), parse(SARIF));
    let mut findings = 0;
    for example in ["jump-to-2-6", "mode-switch", "queue-change", "standalone-queue-flip", "topology-2-6", "preserve-values", "archived-repository"] {
        let json = printed("json", example);
        assert_eq!(violations(&check, &json), Vec::<String>::new(), "{example}");
        assert_eq!(violations(&sarif, &printed("sarif", example)), Vec::<String>::new(), "{example}");
        findings += json["findings"].as_array().unwrap().len();
    }
    assert!(findings >= 7, "{findings}");
}
