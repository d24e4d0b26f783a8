//! A tried hop in words: what to do in which order, with exact commands.

use std::collections::BTreeMap;

use super::hop::Tried;
use super::state::State;
use super::{Request, StopAt, command, planning};
use crate::model::plan::{Action, ActionKind, Downtime, Hop};
use crate::model::words::Mode;
use crate::policy::Policies;
use crate::policy::tables::{AcknowledgeKind, Gate, GateNeed, Rollback};

/// The hop as it is given.
pub(super) fn hop(tried: &Tried, before: &State, stop: &StopAt, is_first: bool, request: &Request, policies: &Policies) -> Hop {
    let mut actions = before_all(before, is_first, request);
    actions.extend(answers(tried, before, stop, request, policies));
    if stop.needs.contains(&GateNeed::MetadataMigration) {
        actions.push(migrate(before, stop, request));
    }
    actions.push(upgrade(tried, stop, request));
    actions.push(verify(stop, request));
    let gates: Vec<&Gate> = policies.gates().iter().filter(|gate| before.milvus < gate.from_below.0 && gate.to_at_least.is_reached_by(&stop.milvus)).collect();
    let mut sources: Vec<String> = stop.sources.clone();
    sources.extend(gates.iter().flat_map(|gate| gate.sources.iter().cloned()));
    sources.extend(tried.reasons.iter().flat_map(|(_, sources)| sources.iter().cloned()));
    dedupe(&mut sources);
    Hop {
        milvus: stop.milvus.to_string(),
        chart: tried.chart.to_string(),
        image_tag: Some(format!("v{}", stop.milvus)),
        reason: stop.reason.clone(),
        one_way_door: gates.iter().any(|gate| gate.rollback != Rollback::Possible),
        rollback: rollback(before, stop, &gates),
        downtime: downtime(tried, before, stop, policies),
        backup: actions.iter().any(|action| action.kind == ActionKind::Backup),
        commands: actions.iter().filter_map(|action| action.command.clone()).collect(),
        actions,
        sources,
    }
}

fn action(kind: ActionKind, text: String, command: Option<String>) -> Action {
    Action { kind, text, command, values: serde_json::Map::new() }
}

fn before_all(before: &State, is_first: bool, request: &Request) -> Vec<Action> {
    let pods = action(
        ActionKind::Check,
        format!("All pods run Milvus {} and are ready; read the version from their image, not from the chart.", before.milvus),
        Some(command::pods(request)),
    );
    let tools = action(
        ActionKind::Check,
        "Helm is 3.14 or later (`--reset-then-reuse-values`), and the chart comes from the repository of zilliztech; the old one at milvus-io.github.io ends with chart 4.0.31.".to_owned(),
        Some(command::repository()),
    );
    if is_first { vec![tools, pods] } else { vec![pods] }
}

/// One action for each rule that wants an answer, and for the backup that a gate needs although its procedure makes one too.
fn answers(tried: &Tried, before: &State, stop: &StopAt, request: &Request, policies: &Policies) -> Vec<Action> {
    let needs_backup = stop.needs.iter().any(|need| matches!(need, GateNeed::MetadataBackup | GateNeed::FullBackup));
    let mut actions: Vec<Action> = Vec::new();
    for row in &planning(policies).acknowledge {
        let kind = match row.kind {
            AcknowledgeKind::Backup => ActionKind::Backup,
            AcknowledgeKind::Acknowledge => ActionKind::Acknowledge,
        };
        let text = match tried.acknowledged.iter().find(|finding| *finding.rule == *row.rule) {
            Some(finding) => format!(
                "{} {} Then write, as a comment right above the upgrade or as an annotation of the release: `guard.milvus-guard.dev/ack: {} <reference>`.",
                row.text, finding.message, row.rule
            ),
            None if needs_backup && row.rule == "MV210" => row.text.clone(),
            None => continue,
        };
        // One backup serves all that ask for one.
        let is_first_backup = kind == ActionKind::Backup && !actions.iter().any(|action| action.kind == ActionKind::Backup);
        actions.push(action(kind, text, is_first_backup.then(|| command::backup(before, request))));
    }
    actions
}

fn migrate(before: &State, stop: &StopAt, request: &Request) -> Action {
    action(
        ActionKind::Migrate,
        "Migrate the metadata from 2.1 to 2.2 with the upstream script: it stops Milvus, copies the metadata to a new claim, migrates, and starts the new image. Milvus stays stopped when it fails. `-r` is etcd's root path: with a wrong one nothing is migrated and no error is told."
            .to_owned(),
        Some(command::migrate(before, stop.milvus, request)),
    )
}

fn upgrade(tried: &Tried, stop: &StopAt, request: &Request) -> Action {
    let reasons: Vec<String> = tried.reasons.iter().map(|(reason, _)| reason.clone()).collect();
    let why = if reasons.is_empty() { String::new() } else { format!(" Why the values beside the tag: {}.", reasons.join("; ")) };
    Action {
        kind: ActionKind::HelmUpgrade,
        text: format!("Upgrade to chart {} with Milvus {}.{why}", tried.chart, stop.milvus),
        command: Some(command::upgrade(&tried.chart, &tried.set, request)),
        values: ordered(&tried.set),
    }
}

fn ordered(set: &BTreeMap<String, serde_json::Value>) -> serde_json::Map<String, serde_json::Value> {
    set.iter().map(|(path, value)| (path.clone(), value.clone())).collect()
}

fn verify(stop: &StopAt, request: &Request) -> Action {
    action(
        ActionKind::Verify,
        format!("Wait until every pod runs v{} and is ready; then insert and search once, and load a collection, before the next hop.", stop.milvus),
        Some(command::pods(request)),
    )
}

fn rollback(before: &State, stop: &StopAt, gates: &[&Gate]) -> String {
    if let Some(gate) = gates.iter().find(|gate| gate.rollback == Rollback::Impossible) {
        return format!("Not possible: {}. Only a restore of the backup leads back to {}.", gate.title, before.milvus);
    }
    if let Some(gate) = gates.iter().find(|gate| gate.rollback == Rollback::Procedure) {
        return format!(
            "Only with Milvus stopped and the etcd snapshot restored: {}. The upstream script's `-o rollback` does not find the copy that it made, and stops Milvus all the same.",
            gate.title
        );
    }
    if before.milvus.line() == stop.milvus.line() {
        return format!("`helm rollback` to the revision before brings back {}.", before.milvus);
    }
    format!("`helm rollback` brings back {}, but it may not read indexes that {} built meanwhile; nobody tests this way.", before.milvus, stop.milvus)
}

/// How long the service is away: coordinators without active standby are replaced one generation after the other.
fn downtime(tried: &Tried, before: &State, stop: &StopAt, policies: &Policies) -> Downtime {
    let standalone = tried.change.after.as_ref().is_some_and(|release| release.mode == Some(Mode::Standalone));
    if stop.needs.contains(&GateNeed::MetadataMigration) {
        Downtime::Migration
    } else if standalone || planning(policies).rolling_since.as_ref().is_some_and(|since| before.milvus < since.0) {
        Downtime::Restart
    } else {
        Downtime::Partial
    }
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
