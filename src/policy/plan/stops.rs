//! The versions to stop at, from the gates.

use super::StopAt;
use super::state::State;
use crate::model::plan::Refusal;
use crate::model::version::MilvusVersion;
use crate::policy::tables::{Gate, GateKind, GateNeed, Stop};

/// The stops between two versions, the last one being the target.
///
/// # Errors
/// Where a gate is closed, or the way leads down.
pub(super) fn stops(from: MilvusVersion, to: MilvusVersion, gates: &[Gate]) -> Result<Vec<StopAt>, Refusal> {
    if to < from {
        return Err(downwards(from, to, gates));
    }
    // What lies before a closed gate leads nowhere worth going, so no way is planned between such versions either.
    if let Some(gate) = gates.iter().find(|gate| gate.kind == GateKind::Closed && from < gate.from_below.0 && from < to) {
        return Err(Refusal {
            reason: format!("There is no way from {from} to {to} in place: {}. Set up a new release and load the data into it.", gate.title),
            rule: gate.rule.clone(),
        });
    }
    let mut stops: Vec<StopAt> = Vec::new();
    let mut at = from;
    while at < to {
        let passed = |until: MilvusVersion| gates.iter().filter(move |gate| lies_between(gate, at, until));
        let next = passed(to).filter_map(|gate| Some((gate, gate.stop.as_ref()?))).min_by_key(|(_, stop)| stop.prefer.0);
        let stop = match next {
            Some((gate, stop)) => StopAt {
                milvus: stop.prefer.0,
                chart: Some(stop.chart.0.clone()),
                prepares: Vec::new(),
                needs: needs(passed(stop.prefer.0)),
                reason: format!("{}.", upper_first(&gate.title)),
                sources: gate.sources.clone(),
            },
            None => StopAt {
                milvus: to,
                chart: None,
                prepares: Vec::new(),
                needs: needs(passed(to)),
                reason: passed(to)
                    .next()
                    .map_or_else(|| "The version that was asked for.".to_owned(), |gate| format!("The version that was asked for; {}.", gate.title)),
                sources: passed(to).flat_map(|gate| gate.sources.iter().cloned()).collect(),
            },
        };
        // A stop that leads nowhere would go on for ever; the loader's tests keep the gates from saying so.
        if stop.milvus <= at {
            return Err(Refusal { reason: format!("The version graph has no way on from {at}."), rule: "MV222".to_owned() });
        }
        at = stop.milvus;
        stops.push(stop);
    }
    let prepared: Vec<Vec<GateNeed>> = stops.iter().skip(1).map(|stop| stop.needs.clone()).chain(std::iter::once(Vec::new())).collect();
    for (stop, prepares) in stops.iter_mut().zip(prepared) {
        stop.prepares = prepares;
    }
    Ok(stops)
}

/// A stop of its own before the next one, where what runs lacks what the gates before that one need: the mix coordinator, or the chart that has to stay.
pub(super) fn preparation(state: &State, next: &StopAt, gates: &[Gate]) -> Option<StopAt> {
    let is_in_line = |stop: &&Stop| state.milvus >= stop.at_least.0 && state.milvus < stop.below.0 && next.milvus >= stop.below.0;
    let stop = gates.iter().filter_map(|gate| gate.stop.as_ref()).find(is_in_line)?;
    let missing = |need: &GateNeed| match need {
        GateNeed::MixCoordinator => state.runs_separate_coordinators(),
        GateNeed::SameChart => state.chart < stop.chart.0,
        GateNeed::MetadataBackup | GateNeed::FullBackup | GateNeed::MetadataMigration | GateNeed::StreamingNode => false,
    };
    let need = *next.needs.iter().find(|need| missing(need))?;
    let gate = gates.iter().find(|gate| gate.needs.contains(&need))?;
    Some(StopAt {
        milvus: stop.prefer.0.max(state.milvus),
        chart: Some(stop.chart.0.clone()),
        prepares: next.needs.clone(),
        needs: Vec::new(),
        reason: match need {
            GateNeed::SameChart => format!("The chart must not change in the step to {}, so it changes before.", next.milvus),
            _ => format!("{}; the switch takes an upgrade of its own.", upper_first(&gate.title)),
        },
        sources: gate.sources.clone(),
    })
}

fn lies_between(gate: &Gate, before: MilvusVersion, after: MilvusVersion) -> bool {
    before < gate.from_below.0 && gate.to_at_least.is_reached_by(&after)
}

fn needs<'g>(gates: impl Iterator<Item = &'g Gate>) -> Vec<GateNeed> {
    let mut all: Vec<GateNeed> = Vec::new();
    for need in gates.flat_map(|gate| &gate.needs) {
        if !all.contains(need) {
            all.push(*need);
        }
    }
    all
}

fn downwards(from: MilvusVersion, to: MilvusVersion, gates: &[Gate]) -> Refusal {
    let door = gates.iter().find(|gate| gate.kind == GateKind::Door && lies_between(gate, to, from));
    match door {
        Some(gate) => Refusal {
            reason: format!("{to} is older than {from}, and there is no way back: {}. Restore the backup that was taken before the upgrade.", gate.title),
            rule: "MV211".to_owned(),
        },
        None => Refusal { reason: format!("{to} is older than {from}; a plan leads up only, since no way down is documented."), rule: "MV212".to_owned() },
    }
}

fn upper_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
