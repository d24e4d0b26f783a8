//! A release between two hops: chart, tag and user values, as a declaration that the rules can judge.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Request, refusal};
use crate::model::catalogue::Catalogue;
use crate::model::change::{Change, Environment};
use crate::model::declaration::{Declaration, Evidence, Flag, Identity, Layer};
use crate::model::json;
use crate::model::merge::merge_over;
use crate::model::place::{Fact, Origin, Place, Position};
use crate::model::plan::Refusal;
use crate::model::release::Release;
use crate::model::value::{Node, Table, Value};
use crate::model::version::{ChartVersion, MilvusVersion, VersionSpec};
use crate::model::words::{Applier, ChangeKind, FlagKind, Form, Lineage, Mode, Operation, Severity, ValuesStrategy};
use crate::policy::evaluate::COORDINATORS;
use crate::policy::{Policies, check};

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
        let state = Self::new(declaration(request, &chart, values, ValuesStrategy::Replace, Vec::new()), milvus, chart, catalogue);
        match state.impossible(policies, catalogue) {
            Some(refusal) => Err(refusal),
            None => Ok(state),
        }
    }

    /// Why such a release cannot run at all.
    fn impossible(&self, policies: &Policies, catalogue: &Catalogue) -> Option<Refusal> {
        let change = Change::new(None, Some(self.declaration.clone()), ChangeKind::Present, Environment::default(), catalogue)?;
        let findings = check(&change, policies);
        // What is wrong with the version itself is the reason to leave it, not to stay.
        findings
            .iter()
            .find(|finding| finding.severity == Severity::Error && ["MV114", "MV207", "MV304", "MV410", "MV513"].contains(&&*finding.rule))
            .map(refusal)
    }

    /// The same release after a hop.
    pub(super) fn after(request: &Request, release: &Release, milvus: MilvusVersion, chart: ChartVersion, catalogue: &Catalogue) -> Self {
        let values = release.user.table().cloned().unwrap_or_default();
        Self::new(declaration(request, &chart, values, ValuesStrategy::Replace, Vec::new()), milvus, chart, catalogue)
    }

    fn new(declaration: Declaration, milvus: MilvusVersion, chart: ChartVersion, catalogue: &Catalogue) -> Self {
        let release = Arc::new(Release::resolve(Arc::new(declaration.clone()), None, &Environment::default(), catalogue));
        Self { declaration, release, milvus, chart }
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

/// A declaration of the release as the command of a plan makes it.
pub(super) fn declaration(request: &Request, chart: &ChartVersion, values: Table, strategy: ValuesStrategy, evidence: Vec<Evidence>) -> Declaration {
    let origin = || Origin::Given("the plan".into());
    let start = Position { line: 1, column: 1 };
    let place = Place { file: "plan".into(), start, end: start };
    let flag = |kind, value: Option<&str>| Flag { kind, value: value.map(Into::into), place: place.clone() };
    let flags = match strategy {
        ValuesStrategy::ResetThenReuse => {
            vec![flag(FlagKind::ResetThenReuseValues, None), flag(FlagKind::Set, None), flag(FlagKind::Wait, None), flag(FlagKind::Timeout, Some("30m"))]
        }
        _ => Vec::new(),
    };
    let mut declaration = Declaration::blank(Form::Command, "", place);
    declaration.identity = Identity { namespace: Some(Arc::clone(&request.namespace)), name: Some(Arc::clone(&request.name)), ..declaration.identity };
    declaration.name = Fact::Known(Arc::clone(&request.name), origin());
    declaration.namespace = Fact::Known(Arc::clone(&request.namespace), origin());
    declaration.operation = Operation::Upgrade;
    declaration.chart.name = Fact::Known("zilliztech/milvus".into(), origin());
    declaration.chart.version = Fact::Known(VersionSpec::Exact(chart.clone()), origin());
    declaration.chart.lineage = Lineage::Zilliztech;
    declaration.layers.push(Layer::Table { values: Node { value: Value::Table(Arc::new(values)), origin: origin() }, what: "values of the plan".into() });
    declaration.applier = Applier::HelmUpgrade;
    declaration.strategy = strategy;
    declaration.flags = flags;
    declaration.evidence = evidence;
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
