//! The parts of Milvus that are replaced one by one, and what each gives to the others.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::release::{Mode, Release};

/// A workload of Milvus, by the chart's `component` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// Replicates to other clusters (2.6).
    Cdc,
    /// Everything in one.
    Standalone,
    /// Root coordinator.
    RootCoord,
    /// Data coordinator.
    DataCoord,
    /// Index coordinator; since 2.3 its work is done by the data coordinator.
    IndexCoord,
    /// Query coordinator.
    QueryCoord,
    /// All coordinators in one.
    MixCoord,
    /// Takes in writes (2.6).
    StreamingNode,
    /// Serves queries.
    QueryNode,
    /// Flushes and compacts.
    DataNode,
    /// Builds indexes (before 2.6).
    IndexNode,
    /// What clients talk to.
    Proxy,
}

/// What service cannot do without: as long as nobody does one of these, requests fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// Time stamps, ids, definitions.
    Root,
    /// Segments and channels.
    Data,
    /// Loaded collections.
    Query,
    /// The door for clients.
    Proxy,
}

impl Duty {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Root, Self::Data, Self::Query, Self::Proxy];

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root coordinator",
            Self::Data => "data coordinator",
            Self::Query => "query coordinator",
            Self::Proxy => "proxy",
        }
    }
}

impl Component {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Cdc,
        Self::Standalone,
        Self::RootCoord,
        Self::DataCoord,
        Self::IndexCoord,
        Self::QueryCoord,
        Self::MixCoord,
        Self::StreamingNode,
        Self::QueryNode,
        Self::DataNode,
        Self::IndexNode,
        Self::Proxy,
    ];

    /// The `component` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cdc => "cdc",
            Self::Standalone => "standalone",
            Self::RootCoord => "rootcoord",
            Self::DataCoord => "datacoord",
            Self::IndexCoord => "indexcoord",
            Self::QueryCoord => "querycoord",
            Self::MixCoord => "mixcoord",
            Self::StreamingNode => "streamingnode",
            Self::QueryNode => "querynode",
            Self::DataNode => "datanode",
            Self::IndexNode => "indexnode",
            Self::Proxy => "proxy",
        }
    }

    /// The component of a label.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|component| component.name() == name)
    }

    /// What it does that service cannot do without.
    #[must_use]
    pub const fn duties(self) -> &'static [Duty] {
        match self {
            Self::Standalone => &Duty::ALL,
            Self::MixCoord => &[Duty::Root, Duty::Data, Duty::Query],
            Self::RootCoord => &[Duty::Root],
            Self::DataCoord => &[Duty::Data],
            Self::QueryCoord => &[Duty::Query],
            Self::Proxy => &[Duty::Proxy],
            _ => &[],
        }
    }

    /// Whether it is a coordinator.
    #[must_use]
    pub const fn is_coordinator(self) -> bool {
        matches!(self, Self::RootCoord | Self::DataCoord | Self::IndexCoord | Self::QueryCoord | Self::MixCoord)
    }

    /// The coordinators whose work it does, as etcd names their sessions.
    #[must_use]
    pub const fn session_roles(self) -> &'static [Self] {
        match self {
            Self::MixCoord | Self::Standalone => &[Self::RootCoord, Self::DataCoord, Self::QueryCoord],
            Self::RootCoord => &[Self::RootCoord],
            Self::DataCoord => &[Self::DataCoord],
            Self::IndexCoord => &[Self::IndexCoord],
            Self::QueryCoord => &[Self::QueryCoord],
            _ => &[],
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which workloads a release consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One Deployment.
    Standalone,
    /// A cluster with separate coordinators.
    SeparateCoordinators,
    /// A cluster with the mix coordinator, without streaming nodes.
    MixCoordinator,
    /// A cluster with the mix coordinator and streaming nodes.
    Streaming,
}

impl Topology {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Standalone, Self::SeparateCoordinators, Self::MixCoordinator, Self::Streaming];

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::SeparateCoordinators => "separate coordinators",
            Self::MixCoordinator => "mix coordinator",
            Self::Streaming => "mix coordinator and streaming nodes",
        }
    }

    /// Whether a release of this topology may have a workload; which of them it has, its values say.
    #[must_use]
    pub const fn may_have(self, component: Component) -> bool {
        use Component as C;
        match (self, component) {
            (Self::Standalone, other) => matches!(other, C::Standalone),
            (_, C::Standalone) => false,
            (Self::SeparateCoordinators, C::MixCoord | C::StreamingNode) => false,
            (Self::MixCoordinator, C::StreamingNode) => false,
            (Self::MixCoordinator | Self::Streaming, C::RootCoord | C::DataCoord | C::IndexCoord | C::QueryCoord) => false,
            _ => true,
        }
    }

    /// The topology of some workloads; nothing where they make none, or two at a time.
    #[must_use]
    pub fn of(components: &[Component]) -> Option<Self> {
        let has = |component| components.contains(&component);
        let separate = [Component::RootCoord, Component::DataCoord, Component::QueryCoord].into_iter().any(has);
        match (has(Component::Standalone), has(Component::MixCoord), separate) {
            (true, false, false) => Some(Self::Standalone),
            (false, true, false) if has(Component::StreamingNode) => Some(Self::Streaming),
            (false, true, false) => Some(Self::MixCoordinator),
            (false, false, true) => Some(Self::SeparateCoordinators),
            _ => None,
        }
    }

    /// The topology and the workloads that a release declares; nothing where that cannot be told for certain.
    #[must_use]
    pub fn of_release(release: &Release) -> Option<(Self, Vec<Component>)> {
        let certain = release.components.iter().all(|component| component.enabled.is_yes());
        let components: Vec<Component> = release.components.iter().filter_map(|component| Component::named(component.name)).collect();
        let topology = Self::of(&components).filter(|_| certain)?;
        ((topology == Self::Standalone) == (release.mode == Some(Mode::Standalone))).then_some((topology, components))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::release::component_names;

    #[test]
    fn the_components_are_those_that_the_model_knows() {
        let mut known: Vec<&str> = component_names().collect();
        let mut own: Vec<&str> = Component::ALL.iter().map(|component| component.name()).collect();
        known.sort_unstable();
        own.sort_unstable();
        assert_eq!(own, known);
        for component in Component::ALL {
            assert_eq!(Component::named(component.name()), Some(component));
            assert_eq!(serde_json::to_value(component).unwrap(), component.name());
        }
    }

    #[test]
    fn the_topology_is_told_by_the_coordinators() {
        use Component as C;
        for (components, topology) in [
            (vec![C::Standalone], Some(Topology::Standalone)),
            (vec![C::RootCoord, C::Proxy], Some(Topology::SeparateCoordinators)),
            (vec![C::MixCoord, C::Proxy], Some(Topology::MixCoordinator)),
            (vec![C::MixCoord, C::StreamingNode], Some(Topology::Streaming)),
            (vec![C::MixCoord, C::RootCoord], None),
            (vec![C::Proxy], None),
        ] {
            assert_eq!(Topology::of(&components), topology, "{components:?}");
            for component in &components {
                assert!(topology.is_none_or(|topology| topology.may_have(*component)));
            }
        }
    }
}
