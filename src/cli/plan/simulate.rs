//! `--simulate`: the timeline of each hop, from the engine that carries upgrades out.

use milvus_guard::model::plan::{Absence, Plan, Run, Timeline, TimelineEvent};
use milvus_guard::model::value::Value;
use milvus_guard::rollout::Orders;
use milvus_guard::rollout::simulate::between;
use milvus_guard::rollout::simulate::timeline::{Pace, draw};

/// Adds the timeline of each hop.
pub(super) fn add_timelines(plan: &mut Plan) {
    for (hop, run) in plan.hops.iter_mut().zip(&plan.runs) {
        hop.timeline = Some(timeline(run));
    }
}

fn timeline(run: &Run) -> Timeline {
    let orders = Orders::embedded();
    let Some(setting) = between((&run.before, run.from), (&run.after, run.to)) else {
        return not_drawn("The values leave open which components run.".to_owned());
    };
    let order = orders.find(&setting.pair).ok().map(|order| (order.title.clone(), order.disputed.clone()));
    let drawn = match draw(setting, orders, Pace::default()) {
        Ok(drawn) => drawn,
        Err(refusal) => return not_drawn(format!("{} ({})", refusal.reason, refusal.rule)),
    };
    let (title, disputed) = order.unzip();
    Timeline {
        order: title,
        disputed: disputed.flatten(),
        events: drawn
            .events
            .into_iter()
            .map(|event| TimelineEvent { seconds: event.at, text: event.what, reason: event.why, one_way: event.is_one_way })
            .collect(),
        away: drawn.away.iter().map(|away| Absence { what: away.what.clone(), from_seconds: away.from, until_seconds: away.until }).collect(),
        seconds: drawn.seconds,
        assumed: assumed(run),
        not_drawn: drawn.stuck.map(|stuck| format!("It does not come to its end: {stuck}.")),
    }
}

fn not_drawn(why: String) -> Timeline {
    Timeline { order: None, disputed: None, events: Vec::new(), away: Vec::new(), seconds: 0, assumed: Vec::new(), not_drawn: Some(why) }
}

/// What of the values the timeline does not look at, in words.
fn assumed(run: &Run) -> Vec<String> {
    let mut assumed = Vec::new();
    for component in &run.after.components {
        let key = component.values_key;
        let is_set = |path: &str| run.after.user.lookup(path).found().is_some_and(|entry| !is_empty(&entry.node.value));
        if is_set(&format!("{key}.strategy")) {
            assumed.push(format!("`{key}.strategy` is not looked at: its pods are drawn as the chart rolls them by default"));
        }
        if run.after.effective.lookup(&format!("{key}.hpa.enabled")).found().is_some_and(|entry| entry.node.value == Value::Bool(true)) {
            assumed.push(format!("`{key}.hpa` is not looked at: as many pods are drawn as `{key}.replicas` says"));
        } else if component.replicas.is_none_or(|replicas| replicas < 0) {
            assumed.push(format!("how many pods {} has is not known: one is drawn", component.name));
        }
    }
    assumed
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Table(table) => table.entries.is_empty(),
        Value::Null => true,
        _ => false,
    }
}
