//! `--simulate`: the timeline of each hop, from the engine that carries upgrades out.

use milvus_guard::model::plan::{Absence, Plan, Run, Timeline, TimelineEvent};
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
        away: drawn.away.iter().map(|away| Absence { what: away.duty.name().to_owned(), from_seconds: away.from, until_seconds: away.until }).collect(),
        seconds: drawn.seconds,
        not_drawn: drawn.stuck.map(|stuck| format!("It does not come to its end: {stuck}.")),
    }
}

fn not_drawn(why: String) -> Timeline {
    Timeline { order: None, disputed: None, events: Vec::new(), away: Vec::new(), seconds: 0, not_drawn: Some(why) }
}
