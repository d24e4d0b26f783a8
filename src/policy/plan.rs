//! Plans the shortest safe list of hops between two Milvus versions. The gates give the stops, `planning.yaml` the values, and every hop is judged by the rules before it is given.

mod actions;
mod command;
mod hop;
mod route;
mod state;
mod stops;
mod tool;
mod values;

use std::sync::Arc;

use crate::model::catalogue::Catalogue;
use crate::model::declaration::Declaration;
use crate::model::finding::Finding;
use crate::model::plan::{Hop, Plan, Refusal, Run};
use crate::model::value::Node;
use crate::model::version::{ChartVersion, MilvusVersion};
use crate::policy::Policies;
use crate::policy::plan::state::State;
use crate::policy::tables::{GateNeed, Planning};

pub use self::state::Topology;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Milvus version that runs.
    pub from: MilvusVersion,
    /// Milvus version that is wanted.
    pub to: MilvusVersion,
    /// Chart that is installed; by default the newest that carries `from`.
    pub from_chart: Option<ChartVersion>,
    /// Topology that runs; by default what the values and the chart give.
    pub topology: Option<Topology>,
    /// User values of the release.
    pub values: Option<Node>,
    /// Release name in commands.
    pub name: Arc<str>,
    /// Namespace in commands.
    pub namespace: Arc<str>,
    /// What declares the release, where a file does: the plan is then one of edits of it.
    pub declared: Option<Declared>,
}

/// A file that declares the release.
#[derive(Debug, Clone)]
pub struct Declared {
    /// What it says.
    pub declaration: Declaration,
    /// Name and namespace of the object that declares it (`HelmRelease`, `Application`), where an object does.
    pub object: Option<(Arc<str>, Option<Arc<str>>)>,
}

/// The version that a text such as `2.6.15`, `v2.6.15`, `2.6` or `3.0` asks for: of a line the release to plan with.
#[must_use]
pub fn version_of(text: &str, policies: &Policies, catalogue: &Catalogue) -> Option<MilvusVersion> {
    let text = text.trim().trim_start_matches('v');
    let line = || {
        let (major, minor) = text.split_once('.')?;
        let line = (major.parse().ok()?, minor.parse().ok()?);
        let planned = policies.bundle().planning.releases.iter().find(|row| row.line == text).map(|row| row.milvus.0);
        let carried = catalogue.newest_of_line(line).and_then(|chart| chart.milvus);
        planned.max(carried)
    };
    if text.split('.').count() == 2 {
        return line();
    }
    // A chart version reads like one of Milvus: only lines that are known count.
    let known = |version: &MilvusVersion| {
        let (major, minor) = version.line();
        version.major() < 2
            || catalogue.newest_of_line((major, minor)).is_some()
            || policies.bundle().planning.releases.iter().any(|row| row.line == format!("{major}.{minor}"))
    };
    text.parse().ok().filter(known)
}

/// The plan for a request; refused with a reason where there is no path.
#[must_use]
pub fn plan(request: &Request, policies: &Policies, catalogue: &Catalogue) -> Plan {
    let empty = Plan { from: request.from.to_string(), to: request.to.to_string(), refused: None, hops: Vec::new(), not_checked: Vec::new(), runs: Vec::new() };
    match hops(request, policies, catalogue) {
        Ok((hops, runs)) => Plan { hops, runs, ..empty },
        Err(refusal) => Plan { refused: Some(refusal), ..empty },
    }
}

fn hops(request: &Request, policies: &Policies, catalogue: &Catalogue) -> Result<(Vec<Hop>, Vec<Run>), Refusal> {
    let stops = stops::stops(request.from, request.to, policies.gates())?;
    let mut state = State::first(request, policies, catalogue)?;
    let (mut hops, mut runs) = (Vec::new(), Vec::new());
    for stop in stops {
        for stop in stops::preparation(&state, &stop, policies.gates()).into_iter().chain([stop]) {
            let (hop, after) = hop::hop(&state, &stop, hops.is_empty(), request, policies, catalogue)?;
            // Where no chart can prepare what comes, there is nothing to do before it.
            if (&after.chart, &after.declaration.layers) != (&state.chart, &state.declaration.layers) {
                runs.push(Run { from: state.milvus, to: after.milvus, before: Arc::clone(&state.release), after: Arc::clone(&after.release) });
                hops.push(hop);
                state = after;
            }
        }
    }
    Ok((hops, runs))
}

/// A refusal in a rule's words.
fn refusal(finding: &Finding) -> Refusal {
    Refusal { reason: format!("{} {}", finding.message.trim_end(), finding.remedy.trim_end()), rule: finding.rule.to_string() }
}

/// A stop on the way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StopAt {
    /// The version to reach.
    milvus: MilvusVersion,
    /// The chart to reach it with, where the gates say so.
    chart: Option<ChartVersion>,
    /// What the gate behind it needs, to be prepared here.
    prepares: Vec<GateNeed>,
    /// What the gates between here and the stop before need.
    needs: Vec<GateNeed>,
    /// Why this stop.
    reason: String,
    /// Where it is written.
    sources: Vec<String>,
}

/// The planner's own table.
fn planning(policies: &Policies) -> &Planning {
    &policies.bundle().planning
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(from: &str, to: &str, topology: Option<Topology>) -> Plan {
        let (policies, catalogue) = (Policies::embedded(), Catalogue::embedded());
        let version = |text| version_of(text, policies, catalogue).unwrap();
        let request = Request {
            from: version(from),
            to: version(to),
            from_chart: None,
            topology,
            values: None,
            name: "my-release".into(),
            namespace: "milvus".into(),
            declared: None,
        };
        plan(&request, policies, catalogue)
    }

    fn told(plan: &Plan) -> String {
        match &plan.refused {
            Some(refusal) => format!("refused by {}", refusal.rule),
            None => plan.hops.iter().map(|hop| format!("{} on {}", hop.milvus, hop.chart)).collect::<Vec<_>>().join(", "),
        }
    }

    #[test]
    fn the_way_up_stops_where_the_gates_say() {
        let cases = [
            ("2.1.4", "2.6.15", None, "2.2.16 on 4.0.34, 2.5.22 on 4.2.58, 2.6.15 on 5.0.19"),
            ("2.0.2", "2.6.15", None, "2.1.4 on 3.2.18, 2.2.16 on 4.0.34, 2.5.22 on 4.2.58, 2.6.15 on 5.0.19"),
            ("2.2.2", "2.6.15", None, "2.2.16 on 4.0.34, 2.5.22 on 4.2.58, 2.6.15 on 5.0.19"),
            ("2.2.9", "2.6.15", None, "2.2.16 on 4.0.34, 2.5.22 on 4.2.58, 2.6.15 on 5.0.19"),
            ("2.3.11", "2.6.15", None, "2.5.22 on 4.2.58, 2.6.15 on 5.0.19"),
            ("2.4.16", "2.6.15", None, "2.5.22 on 4.2.58, 2.6.15 on 5.0.19"),
            ("2.5.10", "2.6.15", Some(Topology::SeparateCoordinators), "2.5.22 on 4.2.58, 2.6.15 on 5.0.19"),
            ("2.5.16", "2.6.15", Some(Topology::Standalone), "2.6.15 on 5.0.19"),
            ("2.6.0-rc1", "2.6.15", None, "refused by MV107"),
            ("2.5.16", "2.6.15", Some(Topology::SeparateCoordinators), "2.5.22 on 4.2.58, 2.6.15 on 5.0.19"),
            ("2.5.16", "2.6.15", Some(Topology::Cluster), "2.6.15 on 5.0.19"),
            ("2.3.11", "2.4.17", None, "2.4.17 on 4.2.20"),
            ("2.6.0", "3.0", Some(Topology::Standalone), "2.6.20 on 5.0.22, 3.0.0 on 5.0.22"),
            ("2.6.20", "3.0", None, "2.6.20 on 5.0.22, 3.0.0 on 5.0.22"),
            ("2.0.0-rc7", "2.0.0-rc8", None, "refused by MV203"),
            ("2.6.15", "3.0", None, "2.6.20 on 5.0.22, 3.0.0 on 5.0.22"),
            ("2.6.15", "2.5.16", None, "refused by MV211"),
            ("2.4.16", "2.4.16", None, ""),
            ("1.1.0", "2.6.15", None, "refused by MV203"),
            ("2.5.16", "2.6", None, "2.6.20 on 5.0.19"),
        ];
        for (from, to, topology, expected) in cases {
            assert_eq!(told(&plan_of(from, to, topology)), expected, "{from} to {to}");
        }
    }
}
