//! User values and effective values of a release, by value strategy.

use std::sync::Arc;

use super::{ChartResolution, Release};
use crate::model::catalogue::Catalogue;
use crate::model::change::Environment;
use crate::model::coalesce::{self, ChartValues, Dependency};
use crate::model::declaration::{Declaration, Defaults, FlagKind, Form, Layer, Operation, ValuesStrategy};
use crate::model::helm::HelmMajor;
use crate::model::merge::{self, Refused};
use crate::model::place::Origin;
use crate::model::value::{Node, Table, Value};
use crate::model::version::ChartVersion;

/// What is unseen where values of a running release are kept and that release is not known.
pub(super) const RUNNING: &str = "the values of the running release";

/// The values of a release.
#[derive(Debug)]
pub(super) struct Values {
    /// As the user gives them, nulls kept.
    pub user: Node,
    /// As the user gives them, if what cannot be seen set nothing; only where something cannot be seen.
    pub user_if_unseen_is_empty: Option<Node>,
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
    /// The running release whose values are kept, where it is known.
    kept: Option<&'a Release>,
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
    let mut unseen: Vec<Arc<str>> = base.unseen.map(Arc::from).into_iter().chain(base.kept.iter().flat_map(|before| before.unseen.iter().cloned())).collect();
    unseen.extend(declaration.layers.iter().filter_map(|layer| match layer {
        Layer::Unseen { what, .. } => Some(Arc::clone(what)),
        Layer::Table { .. } | Layer::Set { .. } => None,
    }));
    let (user, refused) = match user_values(&base, &declaration.layers, helm, true) {
        Ok(user) => (user, None),
        Err(refused) => (Node { value: Value::Unknown("Helm refuses the values".into()), origin: Origin::At(refused.place.clone()) }, Some(refused)),
    };
    let over_defaults = |user: &Node| match &declaration.defaults {
        Defaults::Carried(table) => over_table(table, base.chart.as_ref().ok(), user, helm, catalogue),
        Defaults::OfChart | Defaults::Of(_) => effective(&base.chart, user, helm, catalogue),
    };
    let effective = over_defaults(&user);
    let user_if_unseen_is_empty = if unseen.is_empty() { None } else { user_values(&base, &declaration.layers, helm, false).ok() };
    let effective_if_unseen_is_empty = user_if_unseen_is_empty.as_ref().map(over_defaults);
    Values { user, user_if_unseen_is_empty, effective, effective_if_unseen_is_empty, unseen, defaults_of: base.chart.ok(), refused }
}

fn helm_major(declaration: &Declaration, environment: &Environment) -> HelmMajor {
    let said = declaration.helm.known().and_then(|version| version.trim_start_matches('v').split('.').next()?.parse().ok());
    match environment.helm.map(|(major, ..)| major).or(said) {
        Some(4) => HelmMajor::Four,
        _ => HelmMajor::Three,
    }
}

fn base<'a>(declaration: &Declaration, before: Option<&'a Release>, chart: &ChartResolution, catalogue: &Catalogue) -> Base<'a> {
    let own = match &declaration.defaults {
        Defaults::Of(version) => Ok(version.clone()),
        Defaults::OfChart | Defaults::Carried(_) => defaults_of(chart, catalogue),
    };
    // `helm upgrade --install` without values installs with none, and each later run keeps that. So does a values file that holds none.
    let says_none = declaration.operation == Operation::UpgradeInstall || declaration.flags.iter().any(|flag| flag.kind == FlagKind::ValuesFile);
    let installs = says_none && declaration.strategy == ValuesStrategy::KeptByDefault && before.is_none();
    let is_first = installs || matches!(declaration.operation, Operation::Install | Operation::Template);
    match (declaration.strategy, before) {
        _ if declaration.identity.form == Form::Manifest => Base { kept: None, unseen: Some("rendered manifests do not tell the values"), chart: own },
        _ if matches!(declaration.operation, Operation::DirectChange | Operation::RollingScript | Operation::MigrateScript) => Base {
            kept: before,
            unseen: before.is_none().then_some(RUNNING),
            chart: before.map_or(own, |before| before.defaults_of.clone().ok_or_else(|| "the chart of the running release is not known".into())),
        },
        (ValuesStrategy::Replace, _) => Base { kept: None, unseen: None, chart: own },
        _ if is_first => Base { kept: None, unseen: None, chart: own },
        (ValuesStrategy::Reuse, Some(before)) => {
            let chart = before.defaults_of.clone().ok_or_else(|| Arc::from("the values of the running release's chart are kept, and that chart is not known"));
            Base { kept: Some(before), unseen: None, chart }
        }
        (ValuesStrategy::Reuse, None) => {
            Base { kept: None, unseen: Some(RUNNING), chart: Err("the values of the running release's chart are kept, and that release is not known".into()) }
        }
        (ValuesStrategy::ResetThenReuse | ValuesStrategy::KeptByDefault, Some(before)) => Base { kept: Some(before), unseen: None, chart: own },
        (ValuesStrategy::ResetThenReuse | ValuesStrategy::KeptByDefault, None) => Base { kept: None, unseen: Some(RUNNING), chart: own },
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
    if let Some(before) = base.kept {
        let kept = before.user_if_unseen_is_empty.as_ref().filter(|_| !with_unseen).unwrap_or(&before.user);
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
            over_table(defaults, Some(version), user, helm, catalogue)
        }
        Ok(None) => over_unknown(user, &"the chart's default values are not known".into()),
        Err(reason) => over_unknown(user, reason),
    }
}

/// User values over these defaults; `version` is the chart whose subcharts are known, if any.
fn over_table(defaults: &Arc<Table>, version: Option<&ChartVersion>, user: &Node, helm: HelmMajor, catalogue: &Catalogue) -> Node {
    let dependencies = match version {
        Some(version) if subcharts_matter(version, user, helm, catalogue) => dependencies(version, catalogue),
        _ => Vec::new(),
    };
    coalesce::effective(&ChartValues { name: "milvus".into(), defaults: Arc::clone(defaults), dependencies }, user, helm).values
}

/// User values over defaults that are not known.
fn over_unknown(user: &Node, reason: &Arc<str>) -> Node {
    let mut values = Table { rest_unknown: Some(Arc::clone(reason)), ..Table::default() };
    if let Value::Table(user) = &user.value {
        merge::merge_over(&mut values, user);
    }
    Node { value: Value::Table(Arc::new(values)), origin: user.origin.clone() }
}

/// Whether Helm's way through the subcharts can change more than the `global` tables that it puts into theirs (no template of the Milvus chart reads those). It is most
/// of the work, and only nulls, globals and values that are no tables need it.
fn subcharts_matter(version: &ChartVersion, user: &Node, helm: HelmMajor, catalogue: &Catalogue) -> bool {
    let Value::Table(user) = &user.value else { return true };
    helm != HelmMajor::Three
        || user.entries.contains_key("global")
        || catalogue.dependencies(version).iter().any(|dependency| user.entries.get(dependency.key()).is_some_and(|entry| !is_plain_table(&entry.node.value)))
}

/// A table without nulls at any depth outside of lists.
fn is_plain_table(value: &Value) -> bool {
    match value {
        Value::Table(table) => table.entries.values().all(|entry| match &entry.node.value {
            Value::Null => false,
            inner @ Value::Table(_) => is_plain_table(inner),
            _ => true,
        }),
        _ => false,
    }
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

    /// The same values without the `global` tables of subcharts.
    fn without_globals(values: &Node, keys: &[Dependency]) -> Node {
        let Value::Table(table) = &values.value else { panic!() };
        let mut table = Table::clone(table);
        for key in keys {
            if let Some(Value::Table(inner)) = table.entries.get_mut(key.key()).map(|entry| &mut entry.node.value) {
                Arc::make_mut(inner).entries.remove("global");
            }
        }
        Node { value: Value::Table(Arc::new(table)), origin: values.origin.clone() }
    }

    #[test]
    fn the_short_way_gives_what_helms_way_through_the_subcharts_gives() {
        let catalogue = Catalogue::embedded();
        let samples = [
            "{}",
            r#"{"etcd":{"enabled":false,"persistence":{"size":"1Gi"}},"pulsar":{"enabled":true},"proxy":null,"tags":{"a":true}}"#,
            r#"{"minio":{"tls":{"enabled":true},"x":{"y":[1,null]}},"pulsarv3":{"a":{}}}"#,
        ];
        for entry in catalogue.versions().iter().filter(|entry| entry.has_defaults).step_by(7) {
            let Value::Table(defaults) = &catalogue.defaults(&entry.version).unwrap().value.clone() else { panic!() };
            for sample in samples {
                let user = crate::model::json::read(sample, &|_, _| Origin::Given("test".into())).unwrap();
                assert!(!subcharts_matter(&entry.version, &user, HelmMajor::Three, catalogue));
                let dependencies = dependencies(&entry.version, catalogue);
                let long = coalesce::effective(
                    &ChartValues { name: "milvus".into(), defaults: Arc::clone(defaults), dependencies: dependencies.clone() },
                    &user,
                    HelmMajor::Three,
                )
                .values;
                let short = effective(&Ok(entry.version.clone()), &user, HelmMajor::Three, catalogue);
                assert_eq!(without_globals(&long, &dependencies), without_globals(&short, &dependencies), "{} {sample}", entry.version);
            }
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
    fn a_stored_release_tells_whose_defaults_lie_below() {
        let mut declaration = fixture::declaration(Some("4.2.20"), r#"{"proxy":{"replicas":2}}"#);
        declaration.defaults = Defaults::Of(ChartVersion::new(4, 1, 24));
        let reused = fixture::resolve(declaration.clone(), None);
        assert_eq!([at(&reused, "mixCoordinator.enabled"), at(&reused, "streaming.enabled")], ["Bool(false)", "absent"]);
        assert_eq!(reused.milvus.exact().map(|milvus| milvus.to_string()).as_deref(), Some("2.3.11"));

        let carried = crate::model::json::read(r#"{"image":{"all":{"tag":"v2.6.19"}},"proxy":{"replicas":1}}"#, &|_, _| Origin::ChartDefault).unwrap();
        let Value::Table(table) = carried.value else { panic!() };
        declaration.defaults = Defaults::Carried(table);
        let newer = fixture::resolve(declaration, None);
        assert_eq!([at(&newer, "proxy.replicas"), at(&newer, "mixCoordinator.enabled")], ["Int(2)", "absent"]);
        assert_eq!(newer.milvus.exact().map(|milvus| milvus.to_string()).as_deref(), Some("2.6.19"));
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
