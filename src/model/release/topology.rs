//! Mode and components of a release.

use std::sync::Arc;

use super::view::{Switch, View};
use super::{Component, Mode};
use crate::model::declaration::Rendered;
use crate::model::place::Fact;
use crate::model::truth::Truth;
use crate::model::value::{Lookup, Value};

type Numbers = (u32, u32, u32);

/// A workload that the chart knows.
struct Role {
    /// The chart's `component` label.
    name: &'static str,
    /// Its key in the values.
    key: &'static str,
    /// The value that switches it on.
    switch: &'static str,
    /// First chart that has it.
    since: Numbers,
    /// First chart that does not have it under this key any more.
    until: Option<Numbers>,
    /// First chart that reads its `replicas`; one replica before.
    replicas_since: Numbers,
    /// For coordinators: the section of the configuration that says `enableActiveStandby`.
    config: Option<&'static str>,
}

const FIRST: Numbers = (2, 0, 0);

const fn node(name: &'static str, key: &'static str, switch: &'static str, since: Numbers, until: Option<Numbers>) -> Role {
    Role { name, key, switch, since, until, replicas_since: FIRST, config: None }
}

const fn coordinator(name: &'static str, key: &'static str, switch: &'static str, config: &'static str) -> Role {
    Role { name, key, switch, since: FIRST, until: None, replicas_since: (4, 0, 4), config: Some(config) }
}

/// The workloads of a cluster. Separate coordinators and index nodes are still rendered by the newest charts if they are switched on.
const CLUSTER: &[Role] = &[
    node("proxy", "proxy", "proxy.enabled", FIRST, None),
    coordinator("rootcoord", "rootCoordinator", "rootCoordinator.enabled", "rootCoord"),
    coordinator("querycoord", "queryCoordinator", "queryCoordinator.enabled", "queryCoord"),
    coordinator("indexcoord", "indexCoordinator", "indexCoordinator.enabled", "indexCoord"),
    coordinator("datacoord", "dataCoordinator", "dataCoordinator.enabled", "dataCoord"),
    Role {
        name: "mixcoord",
        key: "mixCoordinator",
        switch: "mixCoordinator.enabled",
        since: (4, 0, 10),
        until: None,
        replicas_since: FIRST,
        config: Some("mixCoord"),
    },
    node("querynode", "queryNode", "queryNode.enabled", (2, 0, 1), None),
    node("datanode", "dataNode", "dataNode.enabled", (2, 0, 1), None),
    node("indexnode", "indexNode", "indexNode.enabled", (2, 0, 1), None),
    node("querynode", "querynode", "querynode.enabled", FIRST, Some((2, 0, 1))),
    node("datanode", "datanode", "datanode.enabled", FIRST, Some((2, 0, 1))),
    node("indexnode", "indexnode", "indexnode.enabled", FIRST, Some((2, 0, 1))),
    node("streamingnode", "streamingNode", "streaming.enabled", (4, 2, 8), None),
    node("cdc", "cdc", "cdc.enabled", (5, 0, 8), None),
];

/// The chart's `component` labels of Milvus itself, in all versions, each once.
pub fn component_names() -> impl Iterator<Item = &'static str> {
    let named_anew = |role: &&Role| role.until.is_none();
    std::iter::once("standalone").chain(CLUSTER.iter().filter(named_anew).map(|role| role.name))
}

/// Whether a `component` label names a component of Milvus.
#[must_use]
pub fn is_component(name: &str) -> bool {
    component_names().any(|known| known == name)
}

/// Whether a key of the values is about a workload that only a cluster has. `proxy` also holds settings of a standalone.
#[must_use]
pub fn is_of_cluster(key: &str) -> bool {
    key != "proxy" && CLUSTER.iter().any(|role| role.key == key)
}

/// Standalone or cluster; nothing where it cannot be known.
pub(super) fn mode(view: &View<'_>) -> Option<Mode> {
    match view.switch("cluster.enabled") {
        Switch::On(_) => Some(Mode::Cluster),
        Switch::Off => Some(Mode::Standalone),
        Switch::Unknown(_) => None,
    }
}

/// The workloads that are or may be switched on. None for charts of Milvus 1 and where the mode is not known.
pub(super) fn components(view: &View<'_>, mode: Option<Mode>) -> Vec<Component> {
    if view.since(2, 0, 0).is_no() {
        return Vec::new();
    }
    match mode {
        None => Vec::new(),
        Some(Mode::Standalone) => {
            vec![Component { name: "standalone", values_key: "standalone", enabled: Truth::Yes, replicas: Some(1), active_standby: Some(false) }]
        }
        Some(Mode::Cluster) => CLUSTER.iter().filter_map(|role| component(view, role)).chain(woodpecker(view)).collect(),
    }
}

fn component(view: &View<'_>, role: &Role) -> Option<Component> {
    let exists = |(major, minor, patch): Numbers| view.since(major, minor, patch);
    if exists(role.since).is_no() || role.until.is_some_and(|until| exists(until).is_possible()) {
        return None;
    }
    let enabled = view.switch(role.switch).truth();
    if enabled.is_no() {
        return None;
    }
    let replicas = if exists(role.replicas_since).is_no() { Some(1) } else { replicas(view, &format!("{}.replicas", role.key)) };
    let active_standby = role.config.map_or(Some(false), |config| active_standby(view, role.key, config));
    Some(Component { name: role.name, values_key: role.key, enabled, replicas, active_standby })
}

/// The chart's own Woodpecker servers.
fn woodpecker(view: &View<'_>) -> Option<Component> {
    let enabled = own_woodpecker(view);
    (enabled.is_possible() && view.since(5, 0, 8).is_possible() && (view.chart.is_some() || enabled.is_yes())).then(|| Component {
        name: "woodpecker",
        values_key: "woodpecker",
        enabled,
        replicas: replicas(view, "woodpecker.replicaCount"),
        active_standby: Some(false),
    })
}

/// Whether Woodpecker runs in servers of its own: `woodpecker.enabled`, and not embedded.
pub(super) fn own_woodpecker(view: &View<'_>) -> Truth {
    let servers = view.switch_since("woodpecker.enabled", (5, 0, 8)).truth();
    if servers.is_no() { servers } else { servers.and(!view.switch("streaming.woodpecker.embedded").truth()) }
}

fn replicas(view: &View<'_>, path: &str) -> Option<i64> {
    match view.values.lookup(path) {
        // Without the field Kubernetes runs one.
        Lookup::Absent => Some(1),
        Lookup::Unknown(_) => None,
        Lookup::Found(entry) => match &entry.node.value {
            Value::Null => Some(1),
            Value::Int(replicas) => Some(*replicas),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        },
    }
}

/// Active-standby as the configuration ends up saying it: the user's own configuration, else the coordinator's switch or that of the mix coordinator.
fn active_standby(view: &View<'_>, key: &str, config: &str) -> Option<bool> {
    let said = |section: &str| match view.config_text(&format!("{section}.enableActiveStandby")) {
        Fact::Known(text, _) => Some(Some(text.eq_ignore_ascii_case("true"))),
        Fact::Unknown(..) => Some(None),
        Fact::Absent => None,
    };
    // The mix coordinator falls back to what the root coordinator is told.
    let by_config = said(config).or_else(|| if config == "mixCoord" { said("rootCoord") } else { None });
    if let Some(by_config) = by_config {
        return by_config;
    }
    let own = view.switch_since(&format!("{key}.activeStandby.enabled"), (4, 0, 4)).truth();
    let mixed =
        view.switch_since("mixCoordinator.enabled", (4, 0, 10)).truth().and(view.switch_since("mixCoordinator.activeStandby.enabled", (4, 1, 1)).truth());
    match own.or(mixed) {
        Truth::Yes => Some(true),
        Truth::No => Some(false),
        Truth::Maybe => None,
    }
}

/// Mode and components as rendered objects tell them.
pub(super) fn rendered(rendered: &Rendered) -> (Option<Mode>, Vec<Component>) {
    let mut components: Vec<Component> = rendered.components.iter().filter_map(|(name, replicas)| rendered_component(name, *replicas)).collect();
    let mode = match components.as_slice() {
        [] => None,
        all if all.iter().any(|component| component.name == "standalone") => Some(Mode::Standalone),
        _ => Some(Mode::Cluster),
    };
    if rendered.is_part && mode == Some(Mode::Cluster) {
        let is_seen = |name: &str| rendered.components.iter().any(|(seen, _)| **seen == *name);
        let unseen = CLUSTER.iter().filter(|role| role.until.is_none() && !is_seen(role.name));
        components.extend(unseen.map(|role| Component { name: role.name, values_key: role.key, enabled: Truth::Maybe, replicas: None, active_standby: None }));
    }
    (mode, components)
}

fn rendered_component(name: &Arc<str>, replicas: Option<u32>) -> Option<Component> {
    let (name, values_key) = match name.as_ref() {
        "standalone" => ("standalone", "standalone"),
        "woodpecker" => ("woodpecker", "woodpecker"),
        name => CLUSTER.iter().find(|role| role.name == name).map(|role| (role.name, role.key))?,
    };
    Some(Component { name, values_key, enabled: Truth::Yes, replicas: Some(replicas.map_or(1, i64::from)), active_standby: None })
}

#[cfg(test)]
mod tests {
    use super::super::Release;
    use super::super::fixture;
    use super::*;

    fn names(release: &Release) -> String {
        release.components.iter().map(|component| component.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_components_of_each_era_are_those_that_the_chart_renders() {
        let separate = "proxy rootcoord querycoord indexcoord datacoord querynode datanode indexnode";
        let mixed = "proxy mixcoord querynode datanode indexnode";
        let streaming = "proxy mixcoord querynode datanode streamingnode";
        let table = [
            ("2.0.0", r#"{"cluster":{"enabled":true}}"#, separate),
            ("2.0.1", r#"{"cluster":{"enabled":true}}"#, separate),
            ("2.1.22", "{}", "standalone"),
            ("2.2.0", "{}", separate),
            ("4.2.3", "{}", separate),
            ("4.2.4", "{}", mixed),
            ("4.2.58", "{}", mixed),
            ("5.0.0", "{}", streaming),
            ("5.0.19", "{}", streaming),
            ("5.0.22", "{}", streaming),
            ("5.0.19", r#"{"cluster":{"enabled":false}}"#, "standalone"),
            ("1.1.6", "{}", ""),
            // Switched by hand.
            ("4.2.8", r#"{"streaming":{"enabled":true}}"#, "proxy mixcoord querynode datanode indexnode streamingnode"),
            ("4.2.7", r#"{"streaming":{"enabled":true}}"#, mixed),
            ("4.0.9", "{}", ""),
            ("4.0.8", r#"{"mixCoordinator":{"enabled":true}}"#, separate),
            ("4.0.10", r#"{"mixCoordinator":{"enabled":true}}"#, "proxy rootcoord querycoord indexcoord datacoord mixcoord querynode datanode indexnode"),
            (
                "5.0.19",
                r#"{"rootCoordinator":{"enabled":true},"indexNode":{"enabled":true}}"#,
                "proxy rootcoord mixcoord querynode datanode indexnode streamingnode",
            ),
            ("5.0.8", r#"{"cdc":{"enabled":true}}"#, "proxy mixcoord querynode datanode streamingnode cdc"),
            ("5.0.7", r#"{"cdc":{"enabled":true}}"#, streaming),
            (
                "5.0.8",
                r#"{"woodpecker":{"enabled":true},"streaming":{"woodpecker":{"embedded":false}}}"#,
                "proxy mixcoord querynode datanode streamingnode woodpecker",
            ),
            ("5.0.8", r#"{"woodpecker":{"enabled":true}}"#, streaming),
        ];
        for (chart, values, expected) in table {
            assert_eq!(names(&fixture::release(chart, values)), expected, "{chart} {values}");
        }
    }

    #[test]
    fn the_mode_is_what_the_templates_take_the_switch_for() {
        for (chart, values, mode) in [
            ("2.1.22", "{}", Some(Mode::Standalone)),
            ("2.2.0", "{}", Some(Mode::Cluster)),
            ("5.0.19", r#"{"cluster":{"enabled":null}}"#, Some(Mode::Standalone)),
            ("5.0.19", r#"{"cluster":{"enabled":"false"}}"#, Some(Mode::Cluster)),
            ("newest", "{}", None),
            ("newest", r#"{"cluster":{"enabled":false}}"#, Some(Mode::Standalone)),
        ] {
            assert_eq!(fixture::release(chart, values).mode, mode, "{chart} {values}");
        }
    }

    #[test]
    fn replicas_count_where_the_chart_reads_them() {
        let replicas = |chart: &str, values: &str, name: &str| fixture::release(chart, values).component(name).unwrap().replicas;
        assert_eq!(replicas("4.2.58", r#"{"queryNode":{"replicas":3}}"#, "querynode"), Some(3));
        assert_eq!(replicas("4.2.58", r#"{"queryNode":{"replicas":-1}}"#, "querynode"), Some(-1));
        assert_eq!(replicas("4.2.58", r#"{"queryNode":{"replicas":"2"}}"#, "querynode"), Some(2));
        assert_eq!(replicas("4.0.3", r#"{"rootCoordinator":{"replicas":2}}"#, "rootcoord"), Some(1));
        assert_eq!(replicas("4.0.4", r#"{"rootCoordinator":{"replicas":2}}"#, "rootcoord"), Some(2));
        assert_eq!(replicas("4.2.58", r#"{"cluster":{"enabled":false},"standalone":{"replicas":2}}"#, "standalone"), Some(1));
    }

    #[test]
    fn active_standby_comes_from_the_configuration_else_from_the_values() {
        let standby = |chart: &str, values: &str, name: &str| fixture::release(chart, values).component(name).unwrap().active_standby;
        let root = r#"{"rootCoordinator":{"activeStandby":{"enabled":true}}}"#;
        assert_eq!(standby("4.0.3", root, "rootcoord"), Some(false));
        assert_eq!(standby("4.0.4", root, "rootcoord"), Some(true));
        assert_eq!(standby("4.0.4", root, "querycoord"), Some(false));
        let mixed = r#"{"mixCoordinator":{"enabled":true,"activeStandby":{"enabled":true}}}"#;
        assert_eq!(standby("4.2.58", mixed, "mixcoord"), Some(true));
        assert_eq!(standby("4.2.3", mixed, "rootcoord"), Some(true));
        let config = |text: &str| format!(r#"{{"extraConfigFiles":{{"user.yaml":"{text}"}}}}"#);
        assert_eq!(standby("4.2.3", &config("rootCoord:\\n  enableActiveStandby: true\\n"), "rootcoord"), Some(true));
        assert_eq!(standby("4.2.58", &config("rootCoord:\\n  enableActiveStandby: true\\n"), "mixcoord"), Some(true));
        assert_eq!(
            standby("5.0.19", &config("mixCoord:\\n  enableActiveStandby: false\\nrootCoord:\\n  enableActiveStandby: true\\n"), "mixcoord"),
            Some(false)
        );
        assert_eq!(standby("4.2.58", r#"{"customConfigMap":"mine"}"#, "mixcoord"), None);
        assert_eq!(standby("4.2.58", "{}", "proxy"), Some(false));
    }

    #[test]
    fn rendered_objects_tell_mode_and_components() {
        let objects = |names: &[&str]| Rendered { components: names.iter().map(|name| (Arc::from(*name), Some(2))).collect(), ..Rendered::default() };
        let (mode, components) = rendered(&objects(&["proxy", "mixcoord", "attu"]));
        assert_eq!((mode, components.len(), components[1].values_key), (Some(Mode::Cluster), 2, "mixCoordinator"));
        assert_eq!(rendered(&objects(&["standalone"])).0, Some(Mode::Standalone));
        assert_eq!(rendered(&objects(&[])).0, None);
    }

    #[test]
    fn of_a_cluster_of_which_one_workload_is_in_sight_all_others_may_be_there() {
        let one = Rendered { components: vec![("querynode".into(), Some(2))], is_part: true, ..Rendered::default() };
        let (mode, components) = rendered(&one);
        assert_eq!(mode, Some(Mode::Cluster));
        let is = |name: &str| components.iter().find(|component| component.name == name).map(|component| component.enabled);
        assert_eq!((is("querynode"), is("streamingnode"), is("rootcoord")), (Some(Truth::Yes), Some(Truth::Maybe), Some(Truth::Maybe)));
        assert_eq!(components.iter().filter(|component| component.enabled == Truth::Yes).count(), 1);
    }
}
