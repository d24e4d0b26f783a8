//! A release between two hops: chart, tag and user values, as a declaration that the rules can judge.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::values::{self, Set};
use super::{Request, refusal, tool};
use crate::model::catalogue::Catalogue;
use crate::model::change::{Change, Environment};
use crate::model::declaration::{Declaration, Flag, Identity, Layer, Lock};
use crate::model::finding::Finding;
use crate::model::json;
use crate::model::merge::merge_over;
use crate::model::place::{Fact, Origin, Place, Position};
use crate::model::plan::{Refusal, ToolChange};
use crate::model::release::Release;
use crate::model::value::{Node, Table, Value};
use crate::model::version::{ChartVersion, MilvusVersion, VersionSpec};
use crate::model::words::{Applier, ChangeKind, FlagKind, Form, Lineage, Mode, Operation, Severity, ValuesStrategy};
use crate::policy::evaluate::COORDINATORS;
use crate::policy::tables::Planning;
use crate::policy::{Policies, check};

/// The file that a release stands in where none declares it.
pub(super) const MADE_UP: &str = "plan";

/// Which components a release runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One Deployment, with an embedded queue.
    Standalone,
    /// A cluster with separate coordinators.
    SeparateCoordinators,
    /// A cluster with the mix coordinator.
    MixCoordinator,
    /// A cluster with the coordinators that its chart gives by default.
    Cluster,
}

/// A release between two hops.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// What it declares.
    pub(super) declaration: Declaration,
    /// What that means.
    pub(super) release: Arc<Release>,
    /// Its version.
    pub(super) milvus: MilvusVersion,
    /// Its chart.
    pub(super) chart: ChartVersion,
    /// What the plan has said already, or what the release has today: fingerprints of findings.
    pub(super) told: Told,
}

/// Fingerprints of findings.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// The release has them before the first hop.
    pub(super) today: BTreeSet<String>,
    /// A step of the plan is about them.
    pub(super) steps: BTreeSet<String>,
}

impl Told {
    /// Whether the user knows of a finding: the release has it today, or a step of the plan is about it.
    pub(super) fn knows(&self, finding: &Finding) -> bool {
        self.today.contains(&finding.fingerprint) || self.steps.contains(&finding.fingerprint)
    }
}

impl State {
    /// The release that runs now.
    ///
    /// # Errors
    /// When no chart is known for it, or what is asked for cannot run.
    pub(super) fn first(request: &Request, policies: &Policies, catalogue: &Catalogue) -> Result<Self, Refusal> {
        let milvus = request.from;
        let chart = match &request.from_chart {
            Some(chart) => chart.clone(),
            None => chart_for(milvus, catalogue).ok_or_else(|| Refusal {
                reason: format!("No chart is known for Milvus {milvus}; name the installed chart with `--chart`."),
                rule: "MV222".to_owned(),
            })?,
        };
        let mut values = request.topology.map_or_else(Table::default, |topology| table(&topology_values(topology, &chart)));
        if let Some(given) = request.values.as_ref().and_then(Node::table) {
            merge_over(&mut values, given);
        }
        if catalogue.milvus(&chart) != Some(milvus) {
            merge_over(&mut values, &table(&json!({"image": {"all": {"tag": format!("v{milvus}")}}})));
        }
        let mut state = Self::new(standing(request, &chart, values), milvus, chart, catalogue);
        let findings = state.findings(policies, catalogue);
        if let Some(refusal) = impossible(&findings) {
            return Err(refusal);
        }
        state.told.today = findings.into_iter().map(|finding| finding.fingerprint).collect();
        Ok(state)
    }

    /// What is to be said of the release as it stands.
    fn findings(&self, policies: &Policies, catalogue: &Catalogue) -> Vec<Finding> {
        let change = Change::new(None, Some(self.declaration.clone()), ChangeKind::Present, Environment::default(), catalogue);
        change.map_or_else(Vec::new, |change| check(&change, policies))
    }

    /// The same release after a hop.
    pub(super) fn after(&self, request: &Request, release: &Release, milvus: MilvusVersion, chart: ChartVersion, catalogue: &Catalogue) -> Self {
        let values = release.user.table().cloned().unwrap_or_default();
        let mut declaration = standing(request, &chart, values);
        declaration.flags = release.declaration.flags.iter().filter(|_| request.declared.is_some()).cloned().collect();
        Self { told: self.told.clone(), ..Self::new(declaration, milvus, chart, catalogue) }
    }

    fn new(declaration: Declaration, milvus: MilvusVersion, chart: ChartVersion, catalogue: &Catalogue) -> Self {
        let release = Arc::new(Release::resolve(Arc::new(declaration.clone()), None, &Environment::default(), catalogue));
        Self { declaration, release, milvus, chart, told: Told::default() }
    }

    /// A cluster whose coordinators are separate.
    pub(super) fn runs_separate_coordinators(&self) -> bool {
        let is_coordinator = |key: &str| COORDINATORS.contains(&key) && key != "mixCoordinator";
        self.release.mode == Some(Mode::Cluster) && self.release.components.iter().any(|component| is_coordinator(component.values_key))
    }
}

/// The newest published chart that carries a version; else the newest of its line.
pub(super) fn chart_for(milvus: MilvusVersion, catalogue: &Catalogue) -> Option<ChartVersion> {
    catalogue
        .charts_of(milvus)
        .next_back()
        .or_else(|| catalogue.newest_of_line(milvus.line()))
        .or_else(|| catalogue.newest().filter(|chart| chart.milvus.is_some_and(|newest| newest < milvus)))
        .map(|chart| chart.version.clone())
}

/// Why such a release cannot run at all.
fn impossible(findings: &[Finding]) -> Option<Refusal> {
    // What is wrong with the version itself is the reason to leave it, not to stay.
    let is_fatal = |finding: &&Finding| finding.severity == Severity::Error && ["MV114", "MV207", "MV304", "MV410", "MV513"].contains(&&*finding.rule);
    findings.iter().find(is_fatal).map(|finding| {
        let told = refusal(finding);
        Refusal {
            reason: format!("The release as it is said to run now cannot run: {} Mend that, or correct what was said of it, and plan again.", told.reason),
            ..told
        }
    })
}

/// A release as it stands between two hops: all of its values are said.
fn standing(request: &Request, chart: &ChartVersion, values: Table) -> Declaration {
    let mut declaration = match &request.declared {
        Some(declared) => declared.declaration.clone(),
        None => command(request),
    };
    say(&mut declaration, chart, values);
    declaration.strategy = ValuesStrategy::Replace;
    declaration
}

/// The release after a hop, and the settings of the applying tool that change with it: the user's own file as it is edited, else the command of the plan.
pub(super) fn proposed(request: &Request, before: &State, chart: &ChartVersion, set: &Set, planning: &Planning) -> (Declaration, Vec<ToolChange>) {
    let Some(declared) = &request.declared else {
        let mut declaration = command(request);
        say(&mut declaration, chart, values::table_of(set));
        declaration.strategy = ValuesStrategy::ResetThenReuse;
        let place = declaration.place.clone();
        let flag = |kind, value: Option<&str>| Flag { kind, value: value.map(Into::into), place: place.clone() };
        declaration.flags =
            vec![flag(FlagKind::ResetThenReuseValues, None), flag(FlagKind::Set, None), flag(FlagKind::Wait, None), flag(FlagKind::Timeout, Some(tool::WAIT))];
        return (declaration, Vec::new());
    };
    let declared = Declaration { flags: before.declaration.flags.clone(), ..declared.declaration.clone() };
    let (mut declaration, changes) = tool::settled(&declared, planning);
    let user = before.release.user.table().cloned().unwrap_or_default();
    let mut values = values::applied(&user, set);
    if declaration.strategy == ValuesStrategy::ResetThenReuse {
        // What the running release has comes back, unless it is taken away in so many words.
        let nulls: Set = set.iter().filter(|(_, value)| value.is_null()).map(|(path, value)| (path.clone(), value.clone())).collect();
        merge_over(&mut values, &values::table_of(&nulls));
    }
    say(&mut declaration, chart, values);
    (declaration, changes)
}

/// Puts chart and values into a declaration.
fn say(declaration: &mut Declaration, chart: &ChartVersion, values: Table) {
    let origin = || Origin::Given("the plan".into());
    declaration.chart.version = Fact::Known(VersionSpec::Exact(chart.clone()), declaration.chart.version.origin().cloned().unwrap_or_else(origin));
    declaration.layers = vec![Layer::Table { values: Node { value: Value::Table(Arc::new(values)), origin: origin() }, what: "values of the plan".into() }];
    declaration.evidence.clear();
    if let Some(lock) = &mut declaration.lock {
        *lock = Lock { version: Fact::Known(chart.clone(), origin()), disagrees: false };
    }
}

/// The release as a command of the plan is about it.
fn command(request: &Request) -> Declaration {
    let origin = || Origin::Given("the plan".into());
    let start = Position { line: 1, column: 1 };
    let mut declaration = Declaration::blank(Form::Command, "", Place { file: MADE_UP.into(), start, end: start });
    declaration.identity = Identity { namespace: Some(Arc::clone(&request.namespace)), name: Some(Arc::clone(&request.name)), ..declaration.identity };
    declaration.name = Fact::Known(Arc::clone(&request.name), origin());
    declaration.namespace = Fact::Known(Arc::clone(&request.namespace), origin());
    declaration.operation = Operation::Upgrade;
    declaration.chart.name = Fact::Known("zilliztech/milvus".into(), origin());
    declaration.chart.lineage = Lineage::Zilliztech;
    declaration.applier = Applier::HelmUpgrade;
    declaration
}

/// The user values of a plain release of a topology.
pub(super) fn topology_values(topology: Topology, chart: &ChartVersion) -> serde_json::Value {
    let knows_mix = *chart >= ChartVersion::new(4, 0, 10);
    let separate = topology == Topology::SeparateCoordinators;
    match topology {
        Topology::Standalone => {
            let mut values = json!({"cluster": {"enabled": false}, "etcd": {"replicaCount": 1}, "minio": {"mode": "standalone"}, "pulsar": {"enabled": false}});
            if *chart >= ChartVersion::new(4, 2, 21)
                && let Some(table) = values.as_object_mut()
            {
                table.insert("pulsarv3".to_owned(), json!({"enabled": false}));
            }
            values
        }
        Topology::SeparateCoordinators | Topology::MixCoordinator if knows_mix => json!({
            "cluster": {"enabled": true},
            "mixCoordinator": {"enabled": !separate},
            "rootCoordinator": {"enabled": separate},
            "queryCoordinator": {"enabled": separate},
            "dataCoordinator": {"enabled": separate},
            "indexCoordinator": {"enabled": separate},
        }),
        Topology::SeparateCoordinators | Topology::MixCoordinator | Topology::Cluster => json!({"cluster": {"enabled": true}}),
    }
}

/// A JSON object as a table of values.
pub(super) fn table(values: &serde_json::Value) -> Table {
    json::read(&values.to_string(), &|_, _| Origin::Given("the plan".into())).ok().and_then(|node| node.table().cloned()).unwrap_or_default()
}
