//! A report and a plan of our own that the tests of all formats share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{RuleInfo, Sources, Tool};
use crate::model::declaration::{Applier, Form, NotCheckedKind};
use crate::model::finding::{Baseline, EvidenceNote, Finding, Fix, Gap, Label, ReleaseSummary, Report, Severity, Summary};
use crate::model::place::{Place, Position};
use crate::model::plan::{Absence, Action, ActionKind, Downtime, Hop, Plan, Refusal, Timeline, TimelineEvent};

/// Texts by file name.
pub(super) struct Files(pub(super) BTreeMap<&'static str, Arc<str>>);

impl Sources for Files {
    fn text(&self, file: &str) -> Option<Arc<str>> {
        self.0.get(file).cloned()
    }
}

pub(super) fn files() -> Files {
    Files(BTreeMap::from([
        (
            "apps/vectors.yaml",
            "kind: HelmRelease\nspec:\n  chart:\n    spec:\n      version: 5.0.19\n  upgrade:\n    preserveValues: true\n  values:\n    cluster: {enabled: true}\n".into(),
        ),
        ("clusters/repo.yaml", "url: https://charts.example.com\r\n".into()),
    ]))
}

pub(super) fn place(file: &str, start: (u32, u32), end: (u32, u32)) -> Place {
    Place { file: file.into(), start: Position { line: start.0, column: start.1 }, end: Position { line: end.0, column: end.1 } }
}

pub(super) fn label(file: &str, start: (u32, u32), end: (u32, u32), text: &str) -> Label {
    Label { place: place(file, start, end), text: text.into(), before: false }
}

pub(super) fn finding(rule: &str, name: &str, severity: Severity, locations: Vec<Label>) -> Finding {
    Finding {
        rule: rule.into(),
        name: name.into(),
        severity,
        message: "Milvus goes from 2.4.16 to 2.6.15 without the stop at 2.5.16".into(),
        release: ReleaseSummary {
            form: Form::Flux,
            path: "apps/vectors.yaml".into(),
            namespace: Some("prod".into()),
            name: Some("vectors".into()),
            chart: Some("5.0.19".into()),
            milvus: Some("2.6.15".into()),
            applier: Applier::HelmUpgrade,
        },
        before: Some("2.4.16".into()),
        after: Some("2.6.15".into()),
        locations,
        remedy: "upgrade to chart 4.2.58 first:\nversion: 4.2.58".into(),
        evidence: vec![EvidenceNote { text: "the repository is zilliztech's".into(), place: Some(place("clusters/repo.yaml", (1, 6), (1, 32))) }],
        fixes: vec![Fix {
            title: "Set the chart version to 4.2.58".into(),
            safe: false,
            place: place("apps/vectors.yaml", (5, 16), (5, 22)),
            replacement: "4.2.58".into(),
        }],
        waived: false,
        baseline: None,
        fingerprint: format!("{rule}-0123456789abcdef"),
    }
}

pub(super) fn report() -> Report {
    let first = finding(
        "MV205",
        "stop-at-2-5-16",
        Severity::Error,
        vec![
            label("apps/vectors.yaml", (5, 16), (5, 22), "chart 5.0.19 runs Milvus 2.6.15"),
            label("apps/vectors.yaml", (9, 14), (9, 29), "in cluster mode"),
            label("clusters/repo.yaml", (1, 6), (1, 32), "from here"),
        ],
    );
    let first = Finding { baseline: Some(Baseline::New), ..first };
    let mut second = finding("MV108", "reuse-values", Severity::Warning, vec![label("apps/vectors.yaml", (7, 21), (7, 25), "")]);
    second.message = "the values of chart 4.2.58 hide the defaults of chart 5.0.19".into();
    second.before = None;
    second.evidence = Vec::new();
    second.fixes = Vec::new();
    second.remedy = "remove `preserveValues`".into();
    second.baseline = Some(Baseline::PreExisting);
    Report {
        base: Some("origin/main".into()),
        findings: vec![second, first],
        not_checked: vec![
            Gap { file: "b.yaml".into(), place: None, reason: "the file is not UTF-8 text".into(), kind: NotCheckedKind::NotRead },
            Gap {
                file: "apps/vectors.yaml".into(),
                place: Some(place("apps/vectors.yaml", (8, 3), (8, 9))),
                reason: "values come from Secret `vectors`, which is not in the tree".into(),
                kind: NotCheckedKind::PartlyChecked,
            },
        ],
        summary: Summary { files: 12, releases: 1, changes: 1, errors: 1, warnings: 1, infos: 0, pre_existing: 1, not_checked: 2 },
    }
}

pub(super) fn tool() -> Tool {
    Tool { name: "milvus-lint".into(), version: "0.1.0".into(), catalogue_charts: 300, catalogue_newest: "5.0.19".into() }
}

pub(super) fn rules() -> Vec<RuleInfo> {
    ["MV205", "MV999"]
        .map(|id| RuleInfo {
            id: id.into(),
            name: "stop-at-2-5-16".into(),
            summary: "2.6 needs a stop at 2.5.16 or later".into(),
            description: "Metadata that 2.6 reads is written by 2.5.16.".into(),
            help_text: "Upgrade to 2.5.16 first.".into(),
            help_markdown: "# MV205\n\nUpgrade to `2.5.16` first.".into(),
            severity: Severity::Error,
            help_uri: Some("https://example.com/rules/MV205".into()),
        })
        .into()
}

pub(super) fn plan() -> Plan {
    let upgrade = "helm upgrade vectors zilliztech/milvus \\\n  --version 4.0.34 --reset-then-reuse-values";
    Plan {
        from: "2.1.4".into(),
        to: "2.2.16".into(),
        refused: None,
        hops: vec![Hop {
            milvus: "2.2.16".into(),
            chart: "4.0.34".into(),
            image_tag: Some("v2.2.16".into()),
            reason: "2.2 reads metadata of its own layout only".into(),
            actions: vec![
                Action::new(ActionKind::Backup, "Back up etcd. Then note it: `guard.milvus-guard.dev/ack: MV210 <where the backup lies>`."),
                Action {
                    values: serde_json::Map::from_iter([("image.all.tag".to_owned(), "v2.2.16".into())]),
                    ..Action::new(ActionKind::HelmUpgrade, "upgrade the release").with_command(upgrade)
                },
            ],
            one_way_door: true,
            rollback: "Restore the backup.".into(),
            downtime: Downtime::Migration,
            interruption: "Milvus is stopped.".into(),
            backup: true,
            commands: vec![upgrade.into()],
            sources: vec!["https://example.com/migrate".into()],
            timeline: None,
        }],
        not_checked: Vec::new(),
        runs: Vec::new(),
    }
}

pub(super) fn refused() -> Plan {
    Plan {
        from: "2.6.15".into(),
        to: "2.5.0".into(),
        refused: Some(Refusal { reason: "2.6 cannot be walked back; restore a backup".into(), rule: "MV203".into() }),
        hops: Vec::new(),
        not_checked: Vec::new(),
        runs: Vec::new(),
    }
}

pub(super) fn timeline() -> Timeline {
    let event = |seconds, text: &str, one_way| TimelineEvent { seconds, text: text.into(), reason: Some("it is its turn".into()), one_way };
    Timeline {
        order: Some("from 2.5 into 2.6".into()),
        disputed: Some("Others begin elsewhere.".into()),
        events: vec![event(0, "start streamingnode (1 pod)", false), event(65, "replace mixcoord (1 pod)", true)],
        assumed: Vec::new(),
        away: vec![Absence { what: "root coordinator".into(), from_seconds: 70, until_seconds: 110 }],
        seconds: 3_725,
        not_drawn: None,
    }
}
