//! A tried hop in words: what to do in which order, with exact commands.

use std::collections::BTreeMap;

use super::hop::Tried;
use super::state::State;
use super::{Request, StopAt, planning};
use crate::model::plan::{Action, ActionKind, Downtime, Hop};
use crate::model::words::Mode;
use crate::policy::Policies;
use crate::policy::tables::{AcknowledgeKind, Gate, GateNeed, Rollback};

/// The hop as it is given.
pub(super) fn hop(tried: &Tried, before: &State, stop: &StopAt, request: &Request, policies: &Policies) -> Hop {
    let migration = stop.needs.contains(&GateNeed::MetadataMigration);
    let mut actions = vec![before_all(before, request)];
    actions.extend(answers(tried, stop, policies));
    if migration {
        actions.push(migrate(before, stop, request));
    }
    actions.push(upgrade(tried, stop, request));
    actions.push(verify(stop, request));
    let gates: Vec<&Gate> = policies.gates().iter().filter(|gate| before.milvus < gate.from_below.0 && gate.to_at_least.is_reached_by(&stop.milvus)).collect();
    let mut sources: Vec<String> = stop.sources.clone();
    sources.extend(gates.iter().flat_map(|gate| gate.sources.iter().cloned()));
    sources.extend(tried.reasons.iter().flat_map(|(_, sources)| sources.iter().cloned()));
    dedupe(&mut sources);
    let standalone = tried.change.after.as_ref().is_some_and(|release| release.mode == Some(Mode::Standalone));
    Hop {
        milvus: stop.milvus.to_string(),
        chart: tried.chart.to_string(),
        image_tag: Some(format!("v{}", stop.milvus)),
        reason: stop.reason.clone(),
        one_way_door: gates.iter().any(|gate| gate.rollback != Rollback::Possible),
        rollback: rollback(before, stop, &gates),
        downtime: if migration {
            Downtime::Migration
        } else if standalone {
            Downtime::Restart
        } else {
            Downtime::Partial
        },
        backup: actions.iter().any(|action| action.kind == ActionKind::Backup),
        commands: actions.iter().filter_map(|action| action.command.clone()).collect(),
        actions,
        sources,
    }
}

fn action(kind: ActionKind, text: String, command: Option<String>) -> Action {
    Action { kind, text, command, values: serde_json::Map::new() }
}

fn before_all(before: &State, request: &Request) -> Action {
    action(
        ActionKind::Check,
        format!("All pods run Milvus {} and are ready; read the version from their image, not from the chart.", before.milvus),
        Some(format!("kubectl get pods --namespace {} --selector app.kubernetes.io/instance={} -o wide", request.namespace, request.name)),
    )
}

/// One action for each rule that wants an answer, and for the backup that a gate needs although its procedure makes one too.
fn answers(tried: &Tried, stop: &StopAt, policies: &Policies) -> Vec<Action> {
    let needs_backup = stop.needs.iter().any(|need| matches!(need, GateNeed::MetadataBackup | GateNeed::FullBackup));
    let mut actions = Vec::new();
    for row in &planning(policies).acknowledge {
        let kind = match row.kind {
            AcknowledgeKind::Backup => ActionKind::Backup,
            AcknowledgeKind::Acknowledge => ActionKind::Acknowledge,
        };
        match tried.acknowledged.iter().find(|finding| *finding.rule == *row.rule) {
            Some(finding) => {
                let text = format!("{} {} Then write beside the change: `guard.milvus-guard.dev/ack: {} <reference>`.", row.text, finding.message, row.rule);
                actions.push(action(kind, text, None));
            }
            None if needs_backup && row.rule == "MV210" => actions.push(action(kind, row.text.clone(), None)),
            None => {}
        }
    }
    actions
}

fn migrate(before: &State, stop: &StopAt, request: &Request) -> Action {
    action(
        ActionKind::Migrate,
        "Migrate the metadata from 2.1 to 2.2 with the upstream script: it stops Milvus, makes a backup of the metadata, migrates, and starts the new image. With another etcd root path than `by-dev` change `-r`.".to_owned(),
        Some(format!(
            "./migrate.sh -n {} -i {} -s {} -t {} -r by-dev -w milvusdb/milvus:v{} -m milvusdb/meta-migration:v2.2.0-bugfix-20230112",
            request.namespace, request.name, before.milvus, stop.milvus, stop.milvus
        )),
    )
}

fn upgrade(tried: &Tried, stop: &StopAt, request: &Request) -> Action {
    let sets: String = tried.set.iter().map(|(path, value)| format!(" \\\n  {} {path}={}", flag_of(value), shown(value))).collect();
    let command = format!(
        "helm upgrade {} zilliztech/milvus --namespace {} --version {} \\\n  --reset-then-reuse-values{sets} \\\n  --wait --timeout 30m",
        request.name, request.namespace, tried.chart
    );
    let reasons: Vec<String> = tried.reasons.iter().map(|(reason, _)| reason.clone()).collect();
    let why = if reasons.is_empty() { String::new() } else { format!(" Why the values beside the tag: {}.", reasons.join("; ")) };
    Action {
        kind: ActionKind::HelmUpgrade,
        text: format!("Upgrade to chart {} with Milvus {}.{why}", tried.chart, stop.milvus),
        command: Some(command),
        values: ordered(&tried.set),
    }
}

fn ordered(set: &BTreeMap<String, serde_json::Value>) -> serde_json::Map<String, serde_json::Value> {
    set.iter().map(|(path, value)| (path.clone(), value.clone())).collect()
}

/// Helm reads `--set a=1` as a number; a text that looks like one needs `--set-string`.
fn flag_of(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::String(text) if text.parse::<f64>().is_ok() || ["true", "false", "null"].contains(&text.as_str()) => "--set-string",
        _ => "--set",
    }
}

fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.replace('\\', "\\\\").replace(',', "\\,"),
        other => other.to_string(),
    }
}

fn verify(stop: &StopAt, request: &Request) -> Action {
    action(
        ActionKind::Verify,
        format!("Wait until every pod runs v{} and is ready, then search and insert once before the next hop.", stop.milvus),
        Some(format!(
            "kubectl get pods --namespace {} --selector app.kubernetes.io/instance={},app.kubernetes.io/name=milvus -o jsonpath='{{.items[*].spec.containers[0].image}}'",
            request.namespace, request.name
        )),
    )
}

fn rollback(before: &State, stop: &StopAt, gates: &[&Gate]) -> String {
    if let Some(gate) = gates.iter().find(|gate| gate.rollback == Rollback::Impossible) {
        return format!("Not possible: {}. Only the backup leads back to {}.", gate.title, before.milvus);
    }
    if let Some(gate) = gates.iter().find(|gate| gate.rollback == Rollback::Procedure) {
        return format!("Only by restoring the metadata backup with the migration tool (`-o rollback`): {}.", gate.title);
    }
    if before.milvus.line() == stop.milvus.line() {
        return format!("`helm rollback` to the revision before brings back {}.", before.milvus);
    }
    format!("`helm rollback` brings back {}, but indexes that {} built may be unreadable for it; nobody tests this way.", before.milvus, stop.milvus)
}

fn dedupe(items: &mut Vec<String>) {
    let mut seen: Vec<String> = Vec::new();
    items.retain(|item| {
        let new = !seen.contains(item);
        if new {
            seen.push(item.clone());
        }
        new
    });
}
