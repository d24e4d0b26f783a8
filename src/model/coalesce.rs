//! User values over chart defaults, as Helm's templates see them: dependencies by name or alias, their conditions and tags, `global`.
//!
//! Follows `chartutil/coalesce.go` and `chartutil/dependencies.go` of Helm 3.22 and 4.3 (`ProcessDependenciesWithMerge`, then `ToRenderValues`).

mod globals;
mod switch;

use std::sync::Arc;

use self::globals::{hand_down_globals, share_globals};
use self::switch::is_enabled;
use super::helm::HelmMajor;
use super::place::Origin;
use super::value::{Entry, Node, Table, Value};

const GLOBAL: &str = "global";

/// A chart as far as its values go.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartValues {
    /// The chart's name.
    pub name: Arc<str>,
    /// Its `values.yaml`.
    pub defaults: Arc<Table>,
    /// What its `Chart.yaml` (or `requirements.yaml`) lists, in that order.
    pub dependencies: Vec<Dependency>,
}

/// An entry of `dependencies`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependency {
    /// Name of the chart.
    pub name: Arc<str>,
    /// Its name here, if another.
    pub alias: Option<Arc<str>>,
    /// Value paths, separated by commas; the first that is a switch decides.
    pub condition: Option<Arc<str>>,
    /// Tags that switch it on or off where no condition does.
    pub tags: Vec<Arc<str>>,
    /// The chart itself; where it is not known it counts as one without values. Dependencies on the same chart share it.
    pub chart: Option<Arc<ChartValues>>,
}

impl Dependency {
    /// The key of its values.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        self.alias.as_ref().unwrap_or(&self.name)
    }
}

/// Values as templates see them, and what Helm says on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The values of the chart, with those of its dependencies under their keys.
    pub values: Node,
    /// Keys of the chart's own dependencies that are enabled. One whose switch is unknown counts as enabled.
    pub enabled: Vec<Arc<str>>,
    /// Keys of the chart's own dependencies of which it is not known whether they are enabled.
    pub undecided: Vec<Arc<str>>,
    /// What Helm warns of.
    pub warnings: Vec<Warning>,
    /// Why Helm refuses the values, if it does: the path and the reason. `values` is then as far as they can be told.
    pub refused: Option<Warning>,
}

/// A remark of Helm's on a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The dotted path of the value.
    pub path: String,
    /// What is the matter.
    pub kind: WarningKind,
}

/// What Helm remarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WarningKind {
    /// The default is a table, the user's value is not: the user's value stands.
    ValueOverTable,
    /// The user's value is a table, the default is not: the user's value stands.
    TableOverValue,
    /// `global` is not a table here, so that globals are not passed on.
    GlobalIsNoTable,
    /// A global of this name is a table in one chart and a value in another: it is not passed on.
    GlobalConflict,
    /// What stands under a dependency's key is no table: Helm refuses it.
    DependencyIsNoTable,
}

/// Computes the values that templates see.
#[must_use]
pub fn effective(chart: &ChartValues, user: &Node, helm: HelmMajor) -> Effective {
    let mut run = Run { helm, notes: None, refused: None, undecided: Vec::new(), seen: Vec::new() };
    let none = Arc::default();
    let user = match &user.value {
        Value::Table(table) => table,
        Value::Unknown(reason) => &Arc::new(Table { rest_unknown: Some(Arc::clone(reason)), ..Table::default() }),
        _ => &none,
    };
    let mut loaded = Loaded::new(Some(chart), &chart.name);
    run.enable(&mut loaded, user, "");
    if dependencies_matter(&loaded, user) {
        run.take_in_dependencies(&mut loaded);
    }
    run.notes = Some(Vec::new());
    let values = run.coalesce(&loaded, Arc::clone(user), Mode::Coalesce, &Path::Root);
    Effective {
        values: Node { value: Value::Table(values), origin: Origin::ChartDefault },
        enabled: loaded.dependencies.iter().map(|dependency| Arc::clone(&dependency.key)).collect(),
        undecided: run.undecided,
        warnings: run.notes.unwrap_or_default(),
        refused: run.refused,
    }
}

/// Whether the dependencies' values, made part of the chart's defaults, change what comes out. They do not where they are empty tables and no null of the
/// user's meets them; this is most of the work for a chart whose dependencies are not known.
fn dependencies_matter(loaded: &Loaded<'_>, user: &Table) -> bool {
    let has_globals =
        |table: &Table| table.entries.get(GLOBAL).is_some_and(|entry| !matches!(&entry.node.value, Value::Table(globals) if globals.entries.is_empty()));
    has_globals(&loaded.defaults)
        || loaded.dependencies.iter().any(|dependency| {
            dependency.chart.is_some()
                || loaded.defaults.entries.get(&dependency.key).is_some_and(|entry| entry.node.table().is_none_or(has_globals))
                || match user.entries.get(&dependency.key).map(|entry| &entry.node.value) {
                    None => false,
                    Some(Value::Table(table)) => table.entries.get(GLOBAL).is_some_and(|entry| entry.node.value == Value::Null),
                    Some(_) => true,
                }
        })
}

/// Helm's two ways of putting values over defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A user's null takes a default away.
    Coalesce,
    /// Nulls are kept, to be looked at later.
    Merge,
}

/// A chart as Helm holds it while it works: what was switched off is gone, what has an alias bears it.
struct Loaded<'c> {
    key: Arc<str>,
    chart: Option<&'c ChartValues>,
    defaults: Arc<Table>,
    dependencies: Vec<Self>,
    /// Whether one of the listed dependencies is enabled, so that their values become part of this chart's.
    takes_in: bool,
}

impl<'c> Loaded<'c> {
    /// A chart as it lies on disk, under a key: each chart in it once, under its own name.
    fn new(chart: Option<&'c ChartValues>, key: &Arc<str>) -> Self {
        let Some(chart) = chart else {
            return Self { key: Arc::clone(key), chart: None, defaults: Arc::default(), dependencies: Vec::new(), takes_in: false };
        };
        let mut dependencies: Vec<Self> = Vec::with_capacity(chart.dependencies.len());
        for dependency in &chart.dependencies {
            if !dependencies.iter().any(|loaded| loaded.is_of(dependency)) {
                dependencies.push(Self::new(dependency.chart.as_deref(), &dependency.name));
            }
        }
        Self { key: Arc::clone(key), chart: Some(chart), defaults: Arc::clone(&chart.defaults), dependencies, takes_in: false }
    }

    /// Whether this is the chart of a dependency, under its own name.
    fn is_of(&self, dependency: &Dependency) -> bool {
        self.key == dependency.name && same_chart(self.chart, dependency.chart.as_deref())
    }
}

fn same_chart(one: Option<&ChartValues>, other: Option<&ChartValues>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => std::ptr::eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// The path to where we are, from the inside out; only written out for a warning.
enum Path<'p> {
    Root,
    Key(&'p Self, &'p str),
}

impl Path<'_> {
    fn write(&self, key: &str) -> String {
        match self {
            Self::Root => super::value::escape_key(key).into_owned(),
            Self::Key(parent, own) => format!("{}.{}", parent.write(own), super::value::escape_key(key)),
        }
    }
}

struct Run<'c> {
    helm: HelmMajor,
    /// Charts whose dependencies were looked at; Helm 3 spoils them for the next dependency on the same chart.
    seen: Vec<&'c ChartValues>,
    /// Warnings, once they count.
    notes: Option<Vec<Warning>>,
    refused: Option<Warning>,
    undecided: Vec<Arc<str>>,
}

impl<'c> Run<'c> {
    fn note(&mut self, kind: WarningKind, path: &Path<'_>, key: &str) {
        if let Some(notes) = &mut self.notes {
            notes.push(Warning { path: path.write(key), kind });
        }
    }

    /// Switches dependencies on and off, depth first (`processDependencyEnabled`).
    fn enable(&mut self, loaded: &mut Loaded<'c>, values: &Arc<Table>, path: &str) {
        let Some(chart) = loaded.chart.filter(|chart| !chart.dependencies.is_empty()) else {
            return;
        };
        loaded.dependencies = self.named(chart);
        let seen = self.coalesce_for_switches(loaded, values);
        let seen_node = Node { value: Value::Table(Arc::clone(&seen)), origin: Origin::ChartDefault };
        let mut disabled: Vec<&Arc<str>> = Vec::new();
        for dependency in &chart.dependencies {
            match is_enabled(dependency, &seen_node, path) {
                Some(true) => {}
                Some(false) => disabled.push(dependency.key()),
                None if path.is_empty() => self.undecided.push(Arc::clone(dependency.key())),
                None => {}
            }
        }
        loaded.dependencies.retain(|dependency| !disabled.contains(&&dependency.key));
        loaded.takes_in = chart.dependencies.iter().any(|dependency| !disabled.contains(&dependency.key()));
        for dependency in &mut loaded.dependencies {
            let inner = format!("{path}{}.", dependency.key);
            self.enable(dependency, &seen, &inner);
        }
    }

    /// Values as conditions and tags see them. A dependency that is not known adds nothing that a switch could stand in.
    fn coalesce_for_switches(&mut self, loaded: &Loaded<'c>, values: &Arc<Table>) -> Arc<Table> {
        if loaded.dependencies.iter().any(|dependency| dependency.chart.is_some()) {
            return self.coalesce(loaded, Arc::clone(values), Mode::Coalesce, &Path::Root);
        }
        let seen = self.over_defaults(loaded, Arc::clone(values), Mode::Coalesce, &Path::Root);
        for dependency in &loaded.dependencies {
            self.dependency_table(dependency, &seen, &Path::Root);
        }
        seen
    }

    /// The dependencies of a chart under their aliases.
    ///
    /// Helm 3 writes an alias over the name in a list that all dependencies on the same chart share: from the second one on, what has an alias is not
    /// found by its name any more. It then counts as a chart that is not listed: under its own name, without a switch. Helm 4 copies the list.
    fn named(&mut self, chart: &'c ChartValues) -> Vec<Loaded<'c>> {
        let load = |dependency: &'c Dependency, key| Loaded::new(dependency.chart.as_deref(), key);
        let is_spoilt = self.helm == HelmMajor::Three && self.seen.iter().any(|seen| std::ptr::eq(*seen, chart));
        if !is_spoilt {
            self.seen.push(chart);
            return chart.dependencies.iter().map(|dependency| load(dependency, dependency.key())).collect();
        }
        let (aliased, listed): (Vec<_>, Vec<_>) = chart.dependencies.iter().partition(|dependency| dependency.alias.is_some());
        let listed: Vec<Loaded<'c>> = listed.into_iter().map(|dependency| load(dependency, &dependency.name)).collect();
        let mut named: Vec<Loaded<'c>> = Vec::new();
        for dependency in aliased {
            if !listed.iter().chain(&named).any(|loaded| loaded.is_of(dependency)) {
                named.push(load(dependency, &dependency.name));
            }
        }
        named.extend(listed);
        named
    }

    /// Makes the values of enabled dependencies part of their parents' defaults, from the inside out (`processImportValues`).
    fn take_in_dependencies(&mut self, chart: &mut Loaded<'_>) {
        for dependency in &mut chart.dependencies {
            self.take_in_dependencies(dependency);
        }
        if chart.takes_in {
            chart.defaults = self.coalesce(chart, Arc::default(), Mode::Merge, &Path::Root);
        }
    }

    fn coalesce(&mut self, chart: &Loaded<'_>, values: Arc<Table>, mode: Mode, path: &Path<'_>) -> Arc<Table> {
        let mut values = self.over_defaults(chart, values, mode, path);
        for dependency in &chart.dependencies {
            self.coalesce_dependency(dependency, &mut values, mode, path);
        }
        if chart.dependencies.len() > 1 {
            hand_down_globals(chart, &mut values);
        }
        values
    }

    fn coalesce_dependency(&mut self, dependency: &Loaded<'_>, values: &mut Arc<Table>, mode: Mode, path: &Path<'_>) {
        let Some(inner) = self.dependency_table(dependency, values, path) else {
            return;
        };
        let path = Path::Key(path, &dependency.key);
        let inner = self.pass_globals(inner, values, &path);
        let inner = self.coalesce(dependency, inner, mode, &path);
        share_globals(values, &inner);
        set_table(values, &dependency.key, inner);
    }

    /// The values of a dependency in those of its parent; nothing where they are not known, or no table, which Helm refuses.
    fn dependency_table(&mut self, dependency: &Loaded<'_>, values: &Table, path: &Path<'_>) -> Option<Arc<Table>> {
        match values.entries.get(&dependency.key).map(|entry| &entry.node.value) {
            None => values.rest_unknown.is_none().then(Arc::default),
            Some(Value::Table(table)) => Some(Arc::clone(table)),
            Some(Value::Unknown(_)) => None,
            Some(_) => {
                if self.refused.is_none() {
                    self.refused = Some(Warning { path: path.write(&dependency.key), kind: WarningKind::DependencyIsNoTable });
                }
                None
            }
        }
    }

    /// Puts values over the chart's own defaults (`coalesceValues`).
    fn over_defaults(&mut self, chart: &Loaded<'_>, values: Arc<Table>, mode: Mode, path: &Path<'_>) -> Arc<Table> {
        let drops_nulls = self.helm == HelmMajor::Four && mode == Mode::Coalesce;
        let defaults = &chart.defaults;
        if let Some(reason) = &values.rest_unknown {
            let reason = Arc::clone(reason);
            let mut merged = self.lay_over(chart, &values, defaults, drops_nulls, mode, path, Table::default());
            merged.rest_unknown = Some(reason);
            return Arc::new(merged);
        }
        let base = if drops_nulls { without_nulls(defaults) } else { Arc::clone(defaults) };
        if values.entries.is_empty() {
            return base;
        }
        let base = Arc::unwrap_or_clone(base);
        Arc::new(self.lay_over(chart, &values, defaults, drops_nulls, mode, path, base))
    }

    #[expect(clippy::too_many_arguments, reason = "one step of one function")]
    fn lay_over(&mut self, chart: &Loaded<'_>, values: &Table, defaults: &Table, drops_nulls: bool, mode: Mode, path: &Path<'_>, mut base: Table) -> Table {
        for (key, entry) in &values.entries {
            let default = defaults.entries.get(key).map(|entry| &entry.node.value);
            let merged = match (&entry.node.value, default) {
                (Value::Null, Some(_)) if mode == Mode::Coalesce && values.rest_unknown.is_none() => {
                    base.entries.remove(key);
                    continue;
                }
                (Value::Table(above), Some(Value::Table(below))) => {
                    let is_dependency = chart.dependencies.iter().any(|dependency| dependency.key == *key);
                    let below = if drops_nulls && !is_dependency { &without_nulls(below) } else { below };
                    let mode = if is_dependency { Mode::Merge } else { mode };
                    with_table(entry, self.over_table(above, below, mode, &Path::Key(path, key)))
                }
                (Value::Table(_), Some(below)) if !matches!(below, Value::Null | Value::Unknown(_)) => {
                    self.note(WarningKind::TableOverValue, path, key);
                    entry.clone()
                }
                _ => entry.clone(),
            };
            base.entries.insert(Arc::clone(key), merged);
        }
        base
    }

    /// Puts a table over another (`coalesceTablesFullKey`).
    fn over_table(&mut self, above: &Arc<Table>, below: &Arc<Table>, mode: Mode, path: &Path<'_>) -> Arc<Table> {
        if above.entries.is_empty() && above.rest_unknown.is_none() {
            return Arc::clone(below);
        }
        let mut merged = match &above.rest_unknown {
            Some(_) => Table { rest_unknown: above.rest_unknown.clone(), ..Table::default() },
            None => Table::clone(below),
        };
        for (key, entry) in &above.entries {
            let default = below.entries.get(key).map(|entry| &entry.node.value);
            let entry = match (&entry.node.value, default) {
                (Value::Null, Some(default)) if mode == Mode::Coalesce && *default != Value::Null && above.rest_unknown.is_none() => {
                    merged.entries.remove(key);
                    continue;
                }
                (Value::Table(above), Some(Value::Table(below))) => with_table(entry, self.over_table(above, below, mode, &Path::Key(path, key))),
                (Value::Table(_), Some(below)) if !matches!(below, Value::Null | Value::Unknown(_)) => {
                    self.note(WarningKind::TableOverValue, path, key);
                    entry.clone()
                }
                (value, Some(Value::Table(_))) if !matches!(value, Value::Null | Value::Unknown(_)) => {
                    self.note(WarningKind::ValueOverTable, path, key);
                    entry.clone()
                }
                _ => entry.clone(),
            };
            merged.entries.insert(Arc::clone(key), entry);
        }
        Arc::new(merged)
    }

    /// Gives a dependency its parent's globals, which win over its own (`coalesceGlobals`).
    fn pass_globals(&mut self, inner: Arc<Table>, outer: &Table, path: &Path<'_>) -> Arc<Table> {
        let own = match inner.entries.get(GLOBAL).map(|entry| &entry.node.value) {
            None => Arc::default(),
            Some(Value::Table(table)) => Arc::clone(table),
            Some(Value::Unknown(_)) => return inner,
            Some(_) => {
                self.note(WarningKind::GlobalIsNoTable, path, GLOBAL);
                return inner;
            }
        };
        let given = match outer.entries.get(GLOBAL).map(|entry| &entry.node.value) {
            None => Arc::new(Table { rest_unknown: outer.rest_unknown.clone(), ..Table::default() }),
            Some(Value::Table(table)) => Arc::clone(table),
            Some(Value::Unknown(reason)) => Arc::new(Table { rest_unknown: Some(Arc::clone(reason)), ..Table::default() }),
            Some(_) => {
                if let Path::Key(parent, _) = path {
                    self.note(WarningKind::GlobalIsNoTable, parent, GLOBAL);
                }
                return inner;
            }
        };
        let mut globals = Arc::unwrap_or_clone(own);
        if given.rest_unknown.is_some() {
            globals.entries.retain(|key, _| given.entries.contains_key(key));
            globals.rest_unknown.clone_from(&given.rest_unknown);
        }
        let path = Path::Key(path, GLOBAL);
        for (key, entry) in &given.entries {
            let merged = match (&entry.node.value, globals.entries.get(key).map(|entry| &entry.node.value)) {
                (Value::Table(above), Some(Value::Table(below))) => with_table(entry, self.over_table(above, below, Mode::Merge, &Path::Key(&path, key))),
                (Value::Table(_), Some(Value::Unknown(_)) | None) => entry.clone(),
                (Value::Table(_), Some(_)) => {
                    self.note(WarningKind::GlobalConflict, &path, key);
                    continue;
                }
                (Value::Unknown(_), _) => entry.clone(),
                (_, Some(Value::Table(_))) => {
                    self.note(WarningKind::GlobalConflict, &path, key);
                    continue;
                }
                _ => entry.clone(),
            };
            globals.entries.insert(Arc::clone(key), merged);
        }
        let mut inner = inner;
        set_table(&mut inner, GLOBAL, Arc::new(globals));
        inner
    }
}

fn table_at<'t>(table: &'t Table, key: &str) -> Option<&'t Arc<Table>> {
    match table.entries.get(key).map(|entry| &entry.node.value) {
        Some(Value::Table(table)) => Some(table),
        _ => None,
    }
}

fn set_table(values: &mut Arc<Table>, key: &str, table: Arc<Table>) {
    if table_at(values, key).is_some_and(|there| Arc::ptr_eq(there, &table)) {
        return;
    }
    let values = Arc::make_mut(values);
    match values.entries.get_mut(key) {
        Some(entry) => entry.node.value = Value::Table(table),
        None => {
            let node = Node { value: Value::Table(table), origin: Origin::ChartDefault };
            values.entries.insert(key.into(), Entry { key: Origin::ChartDefault, node });
        }
    }
}

/// The entry with another table.
fn with_table(entry: &Entry, table: Arc<Table>) -> Entry {
    Entry { key: entry.key.clone(), node: Node { value: Value::Table(table), origin: entry.node.origin.clone() } }
}

/// The table without nulls at any depth (Helm 4 drops those of defaults); itself where there are none.
fn without_nulls(table: &Arc<Table>) -> Arc<Table> {
    let mut cleaned: Option<Table> = None;
    for (key, entry) in &table.entries {
        let inner = match &entry.node.value {
            Value::Null => None,
            Value::Table(inner) => match without_nulls(inner) {
                same if Arc::ptr_eq(&same, inner) => continue,
                other => Some(with_table(entry, other)),
            },
            _ => continue,
        };
        let cleaned = cleaned.get_or_insert_with(|| Table::clone(table));
        match inner {
            Some(entry) => cleaned.entries.insert(Arc::clone(key), entry),
            None => cleaned.entries.remove(key),
        };
    }
    cleaned.map_or_else(|| Arc::clone(table), Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Lookup;

    fn node(text: &str) -> Node {
        crate::model::json::read(text, &|_, _| Origin::Given("user".into())).unwrap()
    }

    fn defaults(text: &str) -> Arc<Table> {
        match crate::model::json::read(text, &|_, _| Origin::ChartDefault).unwrap().value {
            Value::Table(table) => table,
            other => panic!("{other:?}"),
        }
    }

    fn dependency(name: &str, chart: Option<ChartValues>) -> Dependency {
        Dependency { name: name.into(), alias: None, condition: Some(format!("{name}.enabled").into()), tags: Vec::new(), chart: chart.map(Arc::new) }
    }

    fn chart(values: &str, dependencies: Vec<Dependency>) -> ChartValues {
        ChartValues { name: "milvus".into(), defaults: defaults(values), dependencies }
    }

    fn value<'v>(effective: &'v Effective, path: &str) -> Option<&'v Value> {
        effective.values.lookup(path).found().map(|entry| &entry.node.value)
    }

    #[test]
    fn null_takes_a_default_away_and_lists_replace() {
        let chart = chart(r#"{"a":{"x":1,"y":[1,2]},"b":2,"n":null}"#, Vec::new());
        let effective = effective(&chart, &node(r#"{"a":{"x":null,"y":[3]},"b":null,"c":null}"#), HelmMajor::Three);
        assert_eq!(value(&effective, "a.x"), None);
        assert_eq!(value(&effective, "b"), None);
        assert_eq!(value(&effective, "c"), Some(&Value::Null));
        assert_eq!(value(&effective, "n"), Some(&Value::Null));
        assert_eq!(value(&effective, "a.y"), Some(&node("[3]").value));
    }

    #[test]
    fn helm_4_drops_nulls_of_defaults() {
        let chart = chart(r#"{"a":{"x":null},"n":null}"#, Vec::new());
        let effective = effective(&chart, &node("{}"), HelmMajor::Four);
        assert_eq!(effective.values.table().unwrap(), &*defaults(r#"{"a":{}}"#));
    }

    #[test]
    fn enabled_dependencies_get_globals_and_disabled_ones_nothing() {
        let chart = chart(r#"{"etcd":{"enabled":true},"minio":{"enabled":true},"global":{"a":1}}"#, vec![dependency("etcd", None), dependency("minio", None)]);
        let effective = effective(&chart, &node(r#"{"minio":{"enabled":false}}"#), HelmMajor::Three);
        assert_eq!(value(&effective, "etcd.global.a"), Some(&Value::Int(1)));
        assert_eq!(value(&effective, "minio.global"), None);
        assert_eq!(effective.enabled, ["etcd".into()]);
    }

    #[test]
    fn an_unknown_switch_is_undecided() {
        let chart = chart(r#"{"etcd":{"enabled":true}}"#, vec![dependency("etcd", None)]);
        let mut user = node(r#"{"etcd":{"enabled":0}}"#);
        if let Value::Table(table) = &mut user.value
            && let Some(Value::Table(etcd)) = Arc::make_mut(table).entries.get_mut("etcd").map(|entry| &mut entry.node.value)
            && let Some(slot) = Arc::make_mut(etcd).entries.get_mut("enabled")
        {
            slot.node.value = Value::Unknown("templated".into());
        }
        assert_eq!(effective(&chart, &user, HelmMajor::Three).undecided, ["etcd".into()]);
    }

    #[test]
    fn origins_survive() {
        let chart = chart(r#"{"a":{"x":1,"y":2}}"#, Vec::new());
        let effective = effective(&chart, &node(r#"{"a":{"x":3}}"#), HelmMajor::Three);
        assert_eq!(effective.values.lookup("a.x").found().unwrap().node.origin, Origin::Given("user".into()));
        assert_eq!(effective.values.lookup("a.y").found().unwrap().node.origin, Origin::ChartDefault);
    }

    #[test]
    fn a_layer_out_of_sight_makes_defaults_unknown() {
        let chart = chart(r#"{"a":{"x":1,"y":2},"b":1}"#, vec![dependency("etcd", None)]);
        let mut user = node(r#"{"a":{"x":3}}"#);
        if let Value::Table(table) = &mut user.value {
            Arc::make_mut(table).rest_unknown = Some("Secret".into());
        }
        let effective = effective(&chart, &user, HelmMajor::Three);
        assert!(matches!(effective.values.lookup("b"), Lookup::Unknown(_)));
        assert!(matches!(effective.values.lookup("etcd.x"), Lookup::Unknown(_)));
        assert_eq!(value(&effective, "a.x"), Some(&Value::Int(3)));
        assert_eq!(effective.undecided, ["etcd".into()]);
    }

    #[test]
    fn a_dependency_that_is_no_table_is_refused() {
        let chart = chart(r#"{"etcd":{"enabled":true}}"#, vec![dependency("etcd", None)]);
        let effective = effective(&chart, &node(r#"{"etcd":false}"#), HelmMajor::Three);
        assert_eq!(effective.refused.unwrap().path, "etcd");
        assert!(effective.warnings.is_empty());
    }
}
