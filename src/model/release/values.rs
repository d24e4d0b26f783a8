//! User values and effective values of a release, by value strategy.

use std::sync::Arc;

use super::{ChartResolution, Release};
use crate::model::catalogue::Catalogue;
use crate::model::change::Environment;
use crate::model::coalesce::{self, ChartValues, Dependency};
use crate::model::declaration::{Declaration, Form, Layer, Operation, ValuesStrategy};
use crate::model::helm::HelmMajor;
use crate::model::merge::{self, Refused};
use crate::model::place::Origin;
use crate::model::value::{Node, Table, Value};
use crate::model::version::ChartVersion;

/// The values of a release.
#[derive(Debug)]
pub(super) struct Values {
    /// As the user gives them, nulls kept.
    pub user: Node,
    /// As templates see them.
    pub effective: Node,
    /// As templates would see them if what cannot be seen set nothing; only where something cannot be seen.
    pub effective_if_unseen_is_empty: Option<Node>,
    /// What cannot be seen, in words.
    pub unseen: Vec<Arc<str>>,
    /// The chart whose defaults these are.
    pub defaults_of: Option<ChartVersion>,
    /// Why Helm refuses the `--set` texts.
    pub refused: Option<Refused>,
}

/// What lies below the declaration's own layers.
struct Base<'a> {
    /// Values of the running release, where they are kept.
    kept: Option<&'a Node>,
    /// Why the kept values cannot be seen.
    unseen: Option<&'static str>,
    /// The chart whose defaults are in force, or why there is none.
    chart: Result<ChartVersion, Arc<str>>,
}

/// Computes the values. `before` is the running release, where it is known.
pub(super) fn resolve(
    declaration: &Declaration,
    before: Option<&Release>,
    chart: &ChartResolution,
    environment: &Environment,
    catalogue: &Catalogue,
) -> Values {
    let helm = helm_major(declaration, environment);
    let base = base(declaration, before, chart, catalogue);
    let mut unseen: Vec<Arc<str>> = base.unseen.map(Arc::from).into_iter().collect();
    unseen.extend(declaration.layers.iter().filter_map(|layer| match layer {
        Layer::Unseen { what, .. } => Some(Arc::clone(what)),
        Layer::Table { .. } | Layer::Set { .. } => None,
    }));
    let (user, refused) = match user_values(&base, &declaration.layers, helm, true) {
        Ok(user) => (user, None),
        Err(refused) => (Node { value: Value::Unknown("Helm refuses the values".into()), origin: Origin::At(refused.place.clone()) }, Some(refused)),
    };
    let effective = effective(&base.chart, &user, helm, catalogue);
    let effective_if_unseen_is_empty = if unseen.is_empty() {
        None
    } else {
        user_values(&base, &declaration.layers, helm, false).ok().map(|seen| self::effective(&base.chart, &seen, helm, catalogue))
    };
    Values { user, effective, effective_if_unseen_is_empty, unseen, defaults_of: base.chart.ok(), refused }
}

fn helm_major(declaration: &Declaration, environment: &Environment) -> HelmMajor {
    let said = declaration.helm.known().and_then(|version| version.trim_start_matches('v').split('.').next()?.parse().ok());
    match environment.helm.map(|(major, ..)| major).or(said) {
        Some(4) => HelmMajor::Four,
        _ => HelmMajor::Three,
    }
}

fn base<'a>(declaration: &Declaration, before: Option<&'a Release>, chart: &ChartResolution, catalogue: &Catalogue) -> Base<'a> {
    let own = defaults_of(chart, catalogue);
    let is_first = matches!(declaration.operation, Operation::Install | Operation::Template);
    match (declaration.strategy, before) {
        _ if declaration.identity.form == Form::Manifest => Base { kept: None, unseen: Some("rendered manifests do not tell the values"), chart: own },
        _ if matches!(declaration.operation, Operation::DirectChange | Operation::RollingScript | Operation::MigrateScript) => Base {
            kept: before.map(|before| &before.user),
            unseen: before.is_none().then_some("the values of the running release"),
            chart: before.map_or(own, |before| before.defaults_of.clone().ok_or_else(|| "the chart of the running release is not known".into())),
        },
        (ValuesStrategy::Replace, _) => Base { kept: None, unseen: None, chart: own },
        _ if is_first => Base { kept: None, unseen: None, chart: own },
        (ValuesStrategy::Reuse, Some(before)) => {
            let chart = before.defaults_of.clone().ok_or_else(|| Arc::from("the values of the running release's chart are kept, and that chart is not known"));
            Base { kept: Some(&before.user), unseen: None, chart }
        }
        (ValuesStrategy::Reuse, None) => Base {
            kept: None,
            unseen: Some("the values of the running release"),
            chart: Err("the values of the running release's chart are kept, and that release is not known".into()),
        },
        (ValuesStrategy::ResetThenReuse | ValuesStrategy::KeptByDefault, Some(before)) => Base { kept: Some(&before.user), unseen: None, chart: own },
        (ValuesStrategy::ResetThenReuse | ValuesStrategy::KeptByDefault, None) => {
            Base { kept: None, unseen: Some("the values of the running release"), chart: own }
        }
    }
}

/// The chart whose defaults are taken, or why there are none.
fn defaults_of(chart: &ChartResolution, catalogue: &Catalogue) -> Result<ChartVersion, Arc<str>> {
    match chart {
        ChartResolution::Unknown(reason) => Err(Arc::clone(reason)),
        _ => match chart.judged_as() {
            Some(version) if catalogue.get(version).is_some_and(|entry| entry.has_defaults) => Ok(version.clone()),
            Some(version) => Err(format!("chart {version} was never published").into()),
            None => Err("the chart is not known".into()),
        },
    }
}

fn user_values(base: &Base<'_>, layers: &[Layer], helm: HelmMajor, with_unseen: bool) -> Result<Node, Refused> {
    let mut all: Vec<Layer> = Vec::with_capacity(layers.len() + 1);
    if let Some(kept) = base.kept {
        all.push(Layer::Table { values: kept.clone(), what: "values of the running release".into() });
    } else if let Some(what) = base.unseen
        && with_unseen
    {
        let nothing = Table { rest_unknown: Some(format!("{what}: not in sight").into()), ..Table::default() };
        all.push(Layer::Table { values: Node { value: Value::Table(Arc::new(nothing)), origin: Origin::Given(what.into()) }, what: what.into() });
    }
    all.extend(layers.iter().filter(|layer| with_unseen || !matches!(layer, Layer::Unseen { .. })).cloned());
    merge::user_values(&all, helm)
}

fn effective(chart: &Result<ChartVersion, Arc<str>>, user: &Node, helm: HelmMajor, catalogue: &Catalogue) -> Node {
    let defaults = chart.as_ref().map(|version| catalogue.defaults(version).map(|node| (version, node)));
    match defaults {
        Ok(Some((version, node))) => {
            let Value::Table(defaults) = &node.value else { return user.clone() };
            coalesce::effective(
                &ChartValues { name: "milvus".into(), defaults: Arc::clone(defaults), dependencies: dependencies(version, catalogue) },
                user,
                helm,
            )
            .values
        }
        Ok(None) => over_unknown(user, &"the chart's default values are not known".into()),
        Err(reason) => over_unknown(user, reason),
    }
}

/// User values over defaults that are not known.
fn over_unknown(user: &Node, reason: &Arc<str>) -> Node {
    let mut values = Table { rest_unknown: Some(Arc::clone(reason)), ..Table::default() };
    if let Value::Table(user) = &user.value {
        merge::merge_over(&mut values, user);
    }
    Node { value: Value::Table(Arc::new(values)), origin: user.origin.clone() }
}

/// The chart's subcharts with their conditions; their own default values are not in the catalogue.
fn dependencies(version: &ChartVersion, catalogue: &Catalogue) -> Vec<Dependency> {
    catalogue
        .dependencies(version)
        .iter()
        .map(|dependency| Dependency {
            name: Arc::clone(&dependency.name),
            alias: dependency.alias.clone(),
            condition: Some(dependency.condition().into()),
            tags: Vec::new(),
            chart: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::model::declaration::SetKind;
    use crate::model::value::Lookup;

    fn at(release: &Release, path: &str) -> String {
        match release.effective.lookup(path) {
            Lookup::Found(entry) => format!("{:?}", entry.node.value),
            Lookup::Absent => "absent".into(),
            Lookup::Unknown(_) => "unknown".into(),
        }
    }

    #[test]
    fn each_strategy_takes_what_helm_takes() {
        let before = fixture::release("4.1.24", r#"{"proxy":{"replicas":2},"queryNode":{"replicas":5}}"#);
        // Strategy, then what stands at: a kept value, an overridden one, a default that moved, a key that is new.
        let table = [
            (ValuesStrategy::Replace, Some(&before), ["Int(1)", "Int(7)", "Bool(true)", "Bool(false)"]),
            (ValuesStrategy::ResetThenReuse, Some(&before), ["Int(2)", "Int(7)", "Bool(true)", "Bool(false)"]),
            (ValuesStrategy::Reuse, Some(&before), ["Int(2)", "Int(7)", "Bool(false)", "absent"]),
            (ValuesStrategy::ResetThenReuse, None, ["unknown", "Int(7)", "unknown", "unknown"]),
            (ValuesStrategy::Reuse, None, ["unknown", "Int(7)", "unknown", "unknown"]),
        ];
        for (strategy, before, expected) in table {
            let mut declaration = fixture::declaration(Some("4.2.20"), r#"{"queryNode":{"replicas":7}}"#);
            declaration.strategy = strategy;
            let after = fixture::resolve(declaration, before);
            let found = ["proxy.replicas", "queryNode.replicas", "mixCoordinator.enabled", "streaming.enabled"].map(|path| at(&after, path));
            assert_eq!(found, expected, "{strategy:?}");
        }
    }

    #[test]
    fn reused_values_are_reused_again() {
        let first = fixture::release("4.1.24", "{}");
        let mut declaration = fixture::declaration(Some("4.2.20"), "{}");
        declaration.strategy = ValuesStrategy::Reuse;
        let second = fixture::resolve(declaration.clone(), Some(&first));
        let third = fixture::resolve(declaration, Some(&second));
        assert_eq!(third.defaults_of, Some(ChartVersion::new(4, 1, 24)));
        assert_eq!(third.chart, ChartResolution::Known(ChartVersion::new(4, 2, 20)));
    }

    #[test]
    fn values_that_helm_refuses_are_unknown_and_say_why() {
        let mut declaration = fixture::declaration(Some("4.2.20"), "{}");
        declaration.layers.push(Layer::Set { kind: SetKind::Set, text: "a.b[x]=1".into(), place: fixture::place(), file: None });
        let release = fixture::resolve(declaration, None);
        assert!(release.refused.is_some());
        assert_eq!(at(&release, "proxy.replicas"), "unknown");
        assert!(release.milvus.unknown_because().is_some());
    }

    #[test]
    fn defaults_know_that_they_are_defaults_and_user_values_keep_their_place() {
        let release = fixture::release("4.2.20", r#"{"proxy":{"replicas":2}}"#);
        let origin = |path: &str| release.effective.lookup(path).found().unwrap().node.origin.clone();
        assert_eq!(origin("queryNode.replicas"), Origin::ChartDefault);
        assert_eq!(origin("proxy.replicas"), Origin::At(fixture::place()));
    }
}
