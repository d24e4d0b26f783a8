//! Every plan, between all Milvus versions and in three topologies, replayed: its commands are read as a script, the rules find nothing left to say, and the rollout comes to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use rayon::prelude::*;
use serde_json::{Value as Json, json};

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::{Change, ChangeKind, Environment};
use milvus_guard::model::declaration::{Declaration, Layer, Operation};
use milvus_guard::model::finding::Finding;
use milvus_guard::model::plan::{ActionKind, Hop, Plan};
use milvus_guard::model::value::{Node, Value};
use milvus_guard::model::version::{ChartVersion, MilvusVersion};
use milvus_guard::model::words::Severity;
use milvus_guard::policy::plan::{Request, plan};
use milvus_guard::policy::{GateKind, Policies, check};
use milvus_guard::rollout::Orders;
use milvus_guard::rollout::simulate::{self, Setting, timeline};
use milvus_guard::source::memory::MemoryTree;
use milvus_guard::source::read_tree;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Topology {
    Standalone,
    SeparateCoordinators,
    MixCoordinator,
}

const TOPOLOGIES: [Topology; 3] = [Topology::Standalone, Topology::SeparateCoordinators, Topology::MixCoordinator];

/// Rules that may be acknowledged before the last hop: a backup, a snapshot, and a vulnerability that only the next hop leaves.
const ON_THE_WAY: [&str; 3] = ["MV210", "MV506", "MV216"];

/// A release as it stands between two hops, made of what the plan says in public.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    chart: String,
    /// User values as JSON text.
    values: String,
}

/// A hop from a standing release: what is read is the script of its commands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Replay {
    before: Standing,
    script: String,
    after: Standing,
}

/// Milvus versions of the catalogue and of the planner's table.
fn versions() -> Vec<MilvusVersion> {
    let mut all: BTreeSet<MilvusVersion> = Catalogue::embedded().versions().iter().filter_map(|entry| entry.milvus).collect();
    all.extend(Policies::embedded().bundle().planning.releases.iter().map(|row| row.milvus.0));
    all.into_iter().collect()
}

/// The newest chart that carries a version, else the newest of its line, else the newest of all.
fn chart_of(milvus: MilvusVersion) -> ChartVersion {
    let catalogue = Catalogue::embedded();
    let carries = catalogue.charts_of(milvus).next_back().or_else(|| catalogue.newest_of_line(milvus.line())).or_else(|| catalogue.newest());
    carries.unwrap().version.clone()
}

/// What an operator of this topology has in the values.
fn values_of(topology: Topology, chart: &ChartVersion, milvus: MilvusVersion) -> Json {
    let mut values = match topology {
        Topology::Standalone => {
            let mut values = json!({"cluster": {"enabled": false}, "etcd": {"replicaCount": 1}, "minio": {"mode": "standalone"}, "pulsar": {"enabled": false}});
            if *chart >= ChartVersion::new(4, 2, 21) {
                values["pulsarv3"] = json!({"enabled": false});
            }
            values
        }
        Topology::SeparateCoordinators | Topology::MixCoordinator if *chart < ChartVersion::new(4, 0, 10) => json!({"cluster": {"enabled": true}}),
        Topology::SeparateCoordinators | Topology::MixCoordinator => {
            let mix = topology == Topology::MixCoordinator;
            json!({
                "cluster": {"enabled": true},
                "mixCoordinator": {"enabled": mix},
                "rootCoordinator": {"enabled": !mix},
                "queryCoordinator": {"enabled": !mix},
                "dataCoordinator": {"enabled": !mix},
                "indexCoordinator": {"enabled": !mix},
            })
        }
    };
    if Catalogue::embedded().milvus(chart) != Some(milvus) {
        set(&mut values, "image.all.tag", json!(format!("v{milvus}")));
    }
    values
}

/// The release of an operator of this topology, before anything is planned.
fn standing(from: MilvusVersion, topology: Topology) -> Standing {
    let chart = chart_of(from);
    Standing { chart: chart.to_string(), values: values_of(topology, &chart, from).to_string() }
}

fn set(values: &mut Json, path: &str, value: Json) {
    let at = path.split('.').fold(values, |table, key| table.as_object_mut().unwrap().entry(key).or_insert_with(|| json!({})));
    *at = value;
}

/// What is asked for; the version wanted is put in later.
fn request(from: MilvusVersion, first: &Standing) -> Request {
    let before = declared(&script_before(first), &first.values);
    let values = match before.layers.into_iter().next() {
        Some(Layer::Table { values, .. }) => values,
        other => panic!("values are read: {other:?}"),
    };
    let from_chart = first.chart.parse().ok();
    Request { from, to: from, from_chart, topology: None, values: Some(values), name: "my-release".into(), namespace: "milvus".into(), declared: None }
}

fn script_before(standing: &Standing) -> String {
    format!("helm upgrade my-release zilliztech/milvus --namespace milvus --version {} --reset-values --wait --timeout 30m -f values.yaml\n", standing.chart)
}

/// The upgrade that a script makes.
fn declared(script: &str, values: &str) -> Declaration {
    let tree = MemoryTree::new([("upgrade.sh", script), ("values.yaml", values)]);
    let files: Vec<_> = tree.candidates().into_iter().filter(|file| &*file.path == "upgrade.sh").collect();
    let mut upgrades = read_tree(&tree, &files).declarations.into_iter().filter(|declaration| declaration.operation == Operation::Upgrade);
    let upgrade = upgrades.next().unwrap_or_else(|| panic!("no upgrade in\n{script}"));
    assert!(upgrades.next().is_none(), "one upgrade in\n{script}");
    upgrade
}

fn change(before: &Standing, script: &str) -> Change {
    let (from, to) = (declared(&script_before(before), &before.values), declared(script, &before.values));
    Change::new(Some(from), Some(to), ChangeKind::Changed, Environment::default(), Catalogue::embedded()).unwrap()
}

/// What a hop asks to write beside the change, as its text says it.
fn acknowledged(hop: &Hop) -> Vec<String> {
    let texts = hop.actions.iter().filter(|action| matches!(action.kind, ActionKind::Backup | ActionKind::Acknowledge));
    texts.flat_map(|action| action.text.split('`').filter(|part| part.starts_with("guard.milvus-guard.dev/ack: "))).map(str::to_owned).collect()
}

/// An acknowledgement with a reference of one's own in place of what the plan leaves to fill in.
pub(crate) fn referenced(text: &str) -> String {
    let (said, _) = text.split_once('<').unwrap_or_else(|| panic!("nothing to fill in: {text}"));
    format!("{said}CHG-1234")
}

fn replay(before: &Standing, hop: &Hop) -> Replay {
    let comments: String = acknowledged(hop).iter().map(|text| format!("# {}\n", referenced(text))).collect();
    let mut script = String::new();
    for command in &hop.commands {
        if command.starts_with("helm upgrade ") {
            script.push_str(&comments);
        }
        script.push_str(&format!("{command}\n"));
    }
    let mut values: Json = serde_json::from_str(&before.values).unwrap();
    for (path, value) in hop.actions.iter().filter(|action| action.kind == ActionKind::HelmUpgrade).flat_map(|action| &action.values) {
        set(&mut values, path, value.clone());
    }
    assert_eq!(values["image"]["all"]["tag"].as_str(), hop.image_tag.as_deref(), "no tag is left sticky");
    assert!(hop.actions.iter().filter(|action| action.kind == ActionKind::HelmUpgrade).all(|action| action.values.contains_key("image.all.tag")));
    Replay { before: before.clone(), script, after: Standing { chart: hop.chart.clone(), values: values.to_string() } }
}

fn told(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("    {} {:?}: {}\n", finding.rule, finding.severity, finding.message)).collect()
}

fn json_of(node: &Node) -> Json {
    match &node.value {
        Value::Null | Value::Unknown(_) => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::String(text) => json!(&**text),
        Value::List(items) => items.iter().map(json_of).collect(),
        Value::Table(table) => Json::Object(table.entries.iter().map(|(key, entry)| (key.to_string(), json_of(&entry.node))).collect()),
    }
}

/// What is wrong with a hop, if anything.
fn fault(replay: &Replay) -> Option<String> {
    let change = change(&replay.before, &replay.script);
    let after = change.after.as_ref().unwrap();
    let wanted: Json = serde_json::from_str(&replay.after.values).unwrap();
    if json_of(&after.user) != wanted {
        return Some(format!("the command leads to {} instead of {wanted}", json_of(&after.user)));
    }
    let findings: Vec<Finding> = check(&change, Policies::embedded()).into_iter().filter(|finding| finding.severity > Severity::Info).collect();
    if !findings.is_empty() {
        return Some(told(&findings));
    }
    match setting(&change) {
        Some(setting) => rolled_out(setting),
        None => Some("its versions or components are not told".to_owned()),
    }
}

/// What a hop changes in the cluster; nothing where the versions or components are not told.
fn setting(change: &Change) -> Option<Setting> {
    let (before, after) = (change.before.as_ref()?, change.after.as_ref()?);
    simulate::between((before, before.milvus.exact()?), (after, after.milvus.exact()?))
}

/// Why a hop does not come to its end in an imagined cluster in which nothing goes wrong, if it does not.
fn rolled_out(setting: Setting) -> Option<String> {
    match timeline::draw(setting, Orders::embedded(), timeline::Pace::default()) {
        Ok(timeline) => timeline.stuck.map(|stuck| format!("its rollout is stuck: {stuck}")),
        Err(refusal) => Some(format!("there is no order for it: {} {}", refusal.rule, refusal.reason)),
    }
}

/// `MV203` is also said of steps among versions that lie before the closed gate, of which no rule speaks.
fn leads_nowhere(rule: &str, to: MilvusVersion) -> bool {
    rule == "MV203" && Policies::embedded().gates().iter().any(|gate| gate.kind == GateKind::Closed && to < gate.to_at_least.0)
}

/// Whether a rule finds an error in the release as it stands, or in the step in one go to the version wanted or to a stop before it. One that yields there
/// is evidence of the one that speaks.
fn speaks(rule: &str, before: &Standing, from: MilvusVersion, to: MilvusVersion) -> bool {
    let stops = Policies::embedded().gates().iter().filter_map(|gate| gate.stop.as_ref()).map(|stop| (stop.chart.0.clone(), stop.prefer.0));
    let steps = stops.filter(|(_, milvus)| *milvus > from && *milvus < to).chain([(chart_of(to), to)]).map(|(chart, milvus)| {
        let script = format!(
            "helm upgrade my-release zilliztech/milvus --namespace milvus --version {chart} --reset-then-reuse-values --set image.all.tag=v{milvus} --wait --timeout 30m\n"
        );
        change(before, &script)
    });
    let source = declared(&script_before(before), &before.values);
    let source = Change::new(None, Some(source), ChangeKind::Present, Environment::default(), Catalogue::embedded()).unwrap();
    steps
        .chain([source])
        .flat_map(|change| check(&change, Policies::embedded()))
        .filter(|finding| finding.severity == Severity::Error)
        .any(|finding| *finding.rule == *rule || finding.evidence.iter().any(|note| note.text.starts_with(&format!("{rule} "))))
}

#[derive(Default)]
struct Seen {
    pairs: usize,
    hops: usize,
    refused: BTreeMap<String, usize>,
    acknowledged: BTreeMap<String, usize>,
    replays: BTreeMap<Replay, String>,
    refusals: BTreeSet<(Topology, MilvusVersion, String, MilvusVersion)>,
    faults: Vec<String>,
}

impl Seen {
    fn plan(&mut self, plan: &Plan, from: MilvusVersion, to: MilvusVersion, topology: Topology, first: &Standing) {
        self.pairs += 1;
        if let Some(refusal) = &plan.refused {
            *self.refused.entry(refusal.rule.clone()).or_default() += 1;
            self.refusals.insert((topology, from, refusal.rule.clone(), to));
        }
        let mut before = first.clone();
        for (number, hop) in (1..).zip(&plan.hops) {
            self.hops += 1;
            let who = format!("{from} to {to}, {topology:?}, hop {number} ({} on {})", hop.milvus, hop.chart);
            for text in acknowledged(hop) {
                let rule = text.split_whitespace().nth(1).unwrap_or_default().to_owned();
                let is_last = number == plan.hops.len() || ON_THE_WAY.contains(&rule.as_str()) || (rule == "MV107" && from.is_pre_release());
                if !is_last {
                    self.faults.push(format!("{who}: {rule} is acknowledged on the way"));
                }
                *self.acknowledged.entry(rule).or_default() += 1;
            }
            let upgrades = hop.commands.iter().filter(|command| command.starts_with("helm upgrade "));
            if upgrades.clone().count() != 1 || !upgrades.clone().all(|command| command.contains("--reset-then-reuse-values")) {
                self.faults.push(format!("{who}: {:?}", hop.commands));
            }
            let replay = replay(&before, hop);
            before = replay.after.clone();
            self.replays.entry(replay).or_insert(who);
        }
        if plan.refused.is_none() && plan.hops.last().is_none_or(|hop| hop.milvus != to.to_string()) {
            self.faults.push(format!("{from} to {to}, {topology:?}: the plan does not lead there"));
        }
    }
}

#[test]
fn each_hop_of_each_plan_passes_the_rules_and_rolls_out_to_its_end() {
    let versions = versions();
    let seen = Mutex::new(Seen::default());
    let starts: Vec<(MilvusVersion, Topology)> = versions.iter().flat_map(|from| TOPOLOGIES.map(|topology| (*from, topology))).collect();
    starts.par_iter().for_each(|(from, topology)| {
        let first = standing(*from, *topology);
        let request = request(*from, &first);
        for to in versions.iter().filter(|to| *to > from) {
            let plan = plan(&Request { to: *to, ..request.clone() }, Policies::embedded(), Catalogue::embedded());
            seen.lock().unwrap().plan(&plan, *from, *to, *topology, &first);
        }
    });
    let mut seen = seen.into_inner().unwrap();
    let wrong: Vec<String> = seen.replays.par_iter().filter_map(|(replay, who)| Some(format!("{who}:\n{}", fault(replay)?))).collect();
    let silent: Vec<String> = seen
        .refusals
        .par_iter()
        .filter_map(|(topology, from, rule, to)| {
            (!leads_nowhere(rule, *to) && !speaks(rule, &standing(*from, *topology), *from, *to))
                .then(|| format!("{from} to {to}, {topology:?}: refused by {rule}, which says nothing of the step"))
        })
        .collect();
    println!(
        "{} Milvus versions, {} plans, {} hops ({} different), refused {} by rule {:?}, acknowledged by rule {:?}",
        versions.len(),
        seen.pairs,
        seen.hops,
        seen.replays.len(),
        seen.refused.values().sum::<usize>(),
        seen.refused,
        seen.acknowledged
    );
    assert_eq!(seen.pairs, 3 * versions.len() * (versions.len() - 1) / 2);
    seen.faults.extend(wrong);
    seen.faults.extend(silent);
    assert!(seen.faults.is_empty(), "{} faults:\n{}", seen.faults.len(), seen.faults.join("\n"));
}

#[test]
fn a_hop_that_lacks_one_value_or_answer_is_found_out() {
    let version = |text: &str| text.parse::<MilvusVersion>().unwrap();
    let (from, to) = (version("2.4.16"), version("2.6.15"));
    let first = standing(from, Topology::SeparateCoordinators);
    let plan = plan(&Request { to, ..request(from, &first) }, Policies::embedded(), Catalogue::embedded());
    let mut before = first;
    let mut spoilt = Vec::new();
    for hop in &plan.hops {
        let replay = replay(&before, hop);
        assert_eq!(fault(&replay), None);
        for line in replay.script.lines().filter(|line| line.contains("--set ") || line.starts_with("# ")) {
            let script = replay.script.replace(&format!("{line}\n"), "");
            let left = fault(&Replay { script, ..replay.clone() });
            assert!(left.is_some(), "without `{line}`");
            spoilt.push(line.to_owned());
        }
        before = replay.after;
    }
    assert!(spoilt.len() > 10, "{spoilt:?}");
}
