use std::collections::BTreeSet;

use super::*;
use crate::model::catalogue::Catalogue;

fn versions() -> Vec<MilvusVersion> {
    let planned = ["2.2.16", "2.5.22", "2.6.20", "2.6.0-rc1", "2.0.0-rc8", "3.0.0"].map(|text| text.parse().unwrap());
    let known: BTreeSet<MilvusVersion> = Catalogue::embedded().versions().iter().filter_map(|chart| chart.milvus).chain(planned).collect();
    known.into_iter().collect()
}

fn pairs() -> impl Iterator<Item = Pair> {
    let all = versions();
    let each = move |from: MilvusVersion| all.clone().into_iter().map(move |to| (from, to));
    let topologies = Topology::ALL.into_iter().flat_map(|before| Topology::ALL.map(|after| (before, after)));
    versions().into_iter().flat_map(each).flat_map(move |(from, to)| topologies.clone().map(move |(before, after)| Pair { from, to, before, after }))
}

#[test]
fn the_file_of_this_repository_is_good() {
    assert_eq!(Orders::load(TEXT).err(), None);
    assert!(Orders::embedded().all().len() > 10);
}

#[test]
fn every_pair_of_the_catalogue_has_exactly_one_order_or_a_refusal() {
    let orders = Orders::embedded();
    let (mut used, mut refused, mut ordered) = (BTreeSet::new(), BTreeSet::new(), 0);
    for pair in pairs().filter(|pair| pair.from <= pair.to) {
        let holding: Vec<&str> = orders.orders.iter().filter(|order| order.holds(&pair)).map(|order| order.id.as_str()).collect();
        let refusals: Vec<&str> = orders.refusals.iter().filter(|row| row.holds(&pair)).map(|row| row.id.as_str()).collect();
        assert_eq!(holding.len() + usize::from(!refusals.is_empty()), 1, "{pair:?}: {holding:?} {refusals:?}");
        ordered += holding.len();
        used.extend(holding);
        refused.extend(refusals.first().copied());
    }
    assert!(ordered > 5_000, "{ordered}");
    // Nothing in the file is dead.
    assert_eq!(used.len(), orders.orders.len());
    let dead: Vec<&str> = orders.refusals.iter().map(|row| row.id.as_str()).filter(|id| !refused.contains(id)).collect();
    assert_eq!(dead, Vec::<&str>::new());
}

#[test]
fn every_way_down_is_a_rollback_or_refused_with_a_rule() {
    let orders = Orders::embedded();
    let mut open = 0;
    for pair in pairs().filter(|pair| pair.from > pair.to) {
        let refusal = orders.find(&pair).unwrap_err();
        assert!(refusal.rule.starts_with("MV") && refusal.reason.len() > 20, "{pair:?}");
        if orders.find_rollback(&pair).is_ok() {
            open += 1;
            assert_eq!(pair.from.line(), pair.to.line(), "{pair:?}");
        }
    }
    assert!(open > 100, "{open}");
}

#[test]
fn a_way_down_is_not_refused_with_the_reason_of_the_way_up() {
    let pair = Pair { from: "2.6.15".parse().unwrap(), to: "2.4.5".parse().unwrap(), before: Topology::Streaming, after: Topology::Streaming };
    let refusal = Orders::embedded().find(&pair).unwrap_err();
    assert_eq!((refusal.rule.as_str(), refusal.reason.as_str()), ("MV211", "There is no way back from 2.6.15 to 2.4.5."));
}

#[test]
fn what_the_version_graph_closes_no_order_opens() {
    use crate::policy::{GateKind, Policies};
    for pair in pairs().filter(|pair| pair.from <= pair.to) {
        let closing = Policies::embedded().gates().iter().find(|gate| {
            matches!(gate.kind, GateKind::Closed | GateKind::RequiredStop) && pair.from < gate.from_below.bound() && gate.to_at_least.is_reached_by(&pair.to)
        });
        if let Some(gate) = closing {
            assert!(Orders::embedded().find(&pair).is_err(), "{pair:?} over {}", gate.id);
        }
    }
}

#[test]
fn only_the_step_from_2_1_to_2_2_migrates_metadata() {
    for pair in pairs() {
        if let Ok(order) = Orders::embedded().find(&pair) {
            assert_eq!(order.migration, pair.from.line() == (2, 1) && pair.to.line() == (2, 2), "{pair:?} {}", order.id);
        }
    }
}

fn steps(from: &str, to: &str, before: Topology, after: Topology) -> String {
    let pair = Pair { from: from.parse().unwrap(), to: to.parse().unwrap(), before, after };
    match Orders::embedded().find(&pair) {
        Ok(order) => order.steps.iter().map(Step::name).collect::<Vec<_>>().join(" "),
        Err(refusal) => refusal.rule,
    }
}

#[test]
fn orders_are_those_of_their_sources() {
    use Topology::{MixCoordinator as Mix, SeparateCoordinators as Separate, Standalone, Streaming};
    let script = "rootcoord datacoord indexcoord querycoord indexnode datanode querynode proxy";
    for (from, to, before, after, expected) in [
        ("2.2.3", "2.2.16", Separate, Separate, script),
        ("2.2.2", "2.3.11", Separate, Separate, script),
        ("2.2.16", "2.3.11", Separate, Separate, "indexnode rootcoord datacoord indexcoord querycoord querynode datanode proxy"),
        ("2.4.16", "2.5.16", Mix, Mix, "indexnode mixcoord querynode datanode proxy"),
        (
            "2.5.16",
            "2.5.22",
            Separate,
            Mix,
            "mixcoord remove-rootcoord remove-datacoord remove-indexcoord remove-querycoord indexnode querynode datanode proxy",
        ),
        ("2.5.22", "2.6.15", Mix, Streaming, "cdc streamingnode mixcoord querynode datanode proxy remove-indexnode"),
        ("2.6.0", "2.6.15", Streaming, Streaming, "cdc mixcoord streamingnode querynode datanode proxy"),
        ("2.6.20", "3.0.0", Streaming, Streaming, "cdc mixcoord streamingnode querynode datanode proxy"),
        ("2.5.22", "2.6.15", Standalone, Standalone, "standalone"),
        ("2.5.22", "2.6.15", Separate, Streaming, "MV206"),
        ("2.5.15", "2.6.15", Mix, Streaming, "MV205"),
        ("2.1.4", "2.3.11", Separate, Separate, "MV201"),
        ("2.5.22", "2.5.22", Mix, Separate, "MV305"),
        ("2.6.15", "4.0.0", Streaming, Streaming, "MV222"),
    ] {
        assert_eq!(steps(from, to, before, after), expected, "{from} {to} {before:?} {after:?}");
    }
}

#[test]
fn a_way_back_closes_where_the_row_says() {
    use Topology::{MixCoordinator as Mix, Streaming};
    let closes = |from: &str, to: &str, before, after| {
        let pair = Pair { from: from.parse().unwrap(), to: to.parse().unwrap(), before, after };
        Orders::embedded().find(&pair).unwrap().way_back(&pair).closes_with
    };
    assert_eq!(closes("2.5.16", "2.5.22", Mix, Mix), None);
    assert_eq!(closes("2.4.16", "2.5.22", Mix, Mix), Some(Component::MixCoord));
    assert_eq!(closes("2.5.22", "2.6.15", Mix, Streaming), Some(Component::MixCoord));
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    let good = "
orders:
- id: a
  title: a
  from: {at_least: 2.2.0, below: 2.3.0}
  to: {at_least: 2.2.0, below: 2.3.0}
  topologies: [{before: mix-coordinator, after: mix-coordinator}]
  sources: [x]
  steps:
    - {do: roll, component: mixcoord, gates: [ready], reason: r}
    - {do: roll, component: proxy, gates: [ready], reason: r}
  back: {open: until, step: mixcoord, reason: r, sources: [x]}
refusals: []
";
    assert!(Orders::load(good).is_ok());
    let twin =
        good.replace("refusals: []", "").replace("\norders:\n", "").replace("id: a", "id: b").replace("{at_least: 2.2.0, below: 2.3.0}", "{at_least: 2.2.9}");
    for (wrong, told) in [
        (good.replace("title: a", "title: a\n  extra: 1"), "unknown field `extra`"),
        (
            good.replace(
                "gates: [ready], reason: r}\n    - {do: roll, component: proxy",
                "gates: [ready], reason: r, wait: 1}\n    - {do: roll, component: proxy",
            ),
            "unknown field `wait`",
        ),
        (good.replacen("sources: [x]", "sources: []", 1), "a: a source is missing"),
        (good.replacen("  sources: [x]\n", "", 1), "missing field `sources`"),
        (good.replace("r, sources: [x]", "r, sources: ['']"), "a: a source is missing"),
        (good.replace("refusals: []", &format!("{}\nrefusals: []", twin.trim_end())), "a and b overlap"),
        (good.replace("component: proxy", "component: mixcoord"), "a: mixcoord has two steps"),
        (good.replace("component: proxy", "component: rootcoord"), "a: rootcoord is in none of the topologies"),
        (good.replace("component: proxy", "component: attu"), "unknown variant `attu`"),
        (good.replace("gates: [ready]", "gates: []"), "a: mixcoord has no gate"),
        (good.replace("step: mixcoord, ", ""), "a: `back` needs the `step`"),
        (good.replace("step: mixcoord", "step: cdc"), "a: `back` names a step that the order has not"),
        (good.replace("from: {at_least: 2.2.0", "from: {at_least: 2.4.0"), "a: a range of versions is empty"),
        (good.replace("2.2.0, below", "2.2.x, below"), "`2.2.x` is not a Milvus version"),
        (good.replace("reason: r}\n  back", "completes: [cdc], reason: r}\n  back"), "a: proxy completes what no earlier step started"),
        (good.replace("\nrefusals: []", "\n  windows: [{what: x, from: mixcoord, until: cdc, sources: [x]}]\nrefusals: []"), "a: a window names a step that"),
        (good.replace("\nrefusals: []", "\n  windows: [{what: x, from: mixcoord, until: proxy, sources: []}]\nrefusals: []"), "a: a window needs a name"),
        (good.replace("refusals: []", "refusals: [{id: a, rule: MV205, reason: r, sources: [x]}]"), "a is there twice"),
        (good.replace("refusals: []", "refusals: [{id: c, rule: MV205, reason: r, sources: []}]"), "c: a source is missing"),
    ] {
        assert_ne!(wrong, good, "{told}");
        let problems = Orders::load(&wrong).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(told)), "{told}: {problems:?}");
    }
}
