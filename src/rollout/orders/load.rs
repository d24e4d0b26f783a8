//! Reads and checks `rollout-orders.yaml`.

use serde::Deserialize;

use super::{Open, Order, Orders, Refused, StepKind, Topology, Versions};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    orders: Vec<Order>,
    refusals: Vec<Refused>,
}

/// The orders of a text.
///
/// # Errors
/// All that is wrong.
pub(super) fn load(text: &str) -> Result<Orders, Vec<String>> {
    let file: File = serde_yaml::from_str(text).map_err(|error| vec![error.to_string()])?;
    let mut problems: Vec<String> = file.orders.iter().flat_map(problems_of).chain(file.refusals.iter().flat_map(problems_of_refusal)).collect();
    problems.extend(overlaps(&file.orders));
    problems.extend(repeated(file.orders.iter().map(|order| &order.id).chain(file.refusals.iter().map(|row| &row.id))));
    if problems.is_empty() { Ok(Orders { orders: file.orders, refusals: file.refusals }) } else { Err(problems) }
}

fn problems_of(order: &Order) -> Vec<String> {
    let mut problems = Vec::new();
    let mut must = |holds: bool, problem: &str| {
        if !holds {
            problems.push(format!("{}: {problem}", order.id));
        }
    };
    must(are_sources(&order.sources) && are_sources(&order.back.sources), "a source is missing or empty; `back` needs one of its own");
    must(!order.topologies.is_empty(), "`topologies` is empty");
    must(!order.from.is_empty() && !order.to.is_empty(), "a range of versions is empty");
    must(!order.steps.is_empty(), "`steps` is empty");
    must(order.back.open == Open::Always || order.back.step.is_some(), "`back` needs the `step` that closes it");
    must(order.back.step.is_none_or(|step| order.step(step).is_some()), "`back` names a step that the order has not");
    for window in &order.windows {
        must(are_sources(&window.sources) && !window.what.trim().is_empty(), "a window needs a name and a source");
        must(order.step(window.from).is_some() && order.step(window.until).is_some(), "a window names a step that the order has not");
    }
    for (number, step) in order.steps.iter().enumerate() {
        let earlier = order.steps.get(..number).unwrap_or_default();
        let name = step.name();
        must(earlier.iter().all(|other| other.component != step.component), &format!("{} has two steps", step.component));
        must(!step.gates.is_empty(), &format!("{name} has no gate"));
        must(!step.reason.trim().is_empty(), &format!("{name} has no reason"));
        must(step.completes.iter().all(|other| earlier.iter().any(|step| step.component == *other)), &format!("{name} completes what no earlier step started"));
        must(
            order.topologies.iter().all(|pair| has(pair.after, step) || (has(pair.before, step) && step.kind == StepKind::Remove)),
            &format!("{name} is in none of the topologies"),
        );
    }
    problems
}

fn has(topology: Topology, step: &super::Step) -> bool {
    topology.may_have(step.component)
}

fn problems_of_refusal(row: &Refused) -> Vec<String> {
    let mut problems = Vec::new();
    if !are_sources(&row.sources) {
        problems.push(format!("{}: a source is missing or empty", row.id));
    }
    if row.reason.trim().is_empty() || !row.rule.starts_with("MV") {
        problems.push(format!("{}: a refusal needs a rule and a reason", row.id));
    }
    if row.from.is_empty() || row.to.is_empty() {
        problems.push(format!("{}: a range of versions is empty", row.id));
    }
    problems
}

fn are_sources(sources: &[String]) -> bool {
    !sources.is_empty() && sources.iter().all(|source| !source.trim().is_empty())
}

fn overlaps(orders: &[Order]) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        for other in orders.iter().take(number) {
            let shared = order.topologies.iter().any(|pair| other.topologies.contains(pair));
            if shared && reach(order, other) {
                problems.push(format!("{} and {} overlap", other.id, order.id));
            }
        }
    }
    problems
}

/// Whether two orders hold for one pair of versions.
fn reach(a: &Order, b: &Order) -> bool {
    let overlap = |a: &Versions, b: &Versions| a.overlaps(b);
    overlap(&a.from, &b.from) && overlap(&a.to, &b.to)
}

fn repeated<'a>(ids: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    ids.filter(|id| !seen.insert(*id)).map(|id| format!("{id} is there twice")).collect()
}
