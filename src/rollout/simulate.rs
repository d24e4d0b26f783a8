//! A cluster that is only imagined: Deployments, pods, sessions and Jobs move one step at a time, and writes are refused when they are stale. For plans, and for the search for violations.

mod pods;
mod sessions;
#[cfg(test)]
mod tests;
pub mod timeline;
mod writes;

use std::collections::BTreeMap;

use super::component::{Component, Topology};
use super::observed::{Arrival, Dependency, Hold, Known, Layout, Metadata, Moment, Observed, Pods, Stamp, Template, Workload};
use super::orders::{Order, Pair, StepKind};
use crate::model::release::Release;
use crate::model::version::MilvusVersion;

/// What a release is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The upgrade.
    pub pair: Pair,
    /// The components that run, with their replicas.
    pub before: BTreeMap<Component, u32>,
    /// The components that are wanted, with their replicas.
    pub after: BTreeMap<Component, u32>,
    /// Coordinators have a standby.
    pub active_standby: bool,
    /// Dependencies that the change touches.
    pub dependencies: Vec<String>,
}

/// The imagined cluster, as it truly is.
#[derive(Debug, Clone)]
pub struct World {
    /// Its state.
    pub truth: Observed,
    /// The time.
    pub now: Moment,
    /// What is set up in it.
    pub setting: Setting,
    /// The template that the controller of a Deployment makes pods of.
    serving: BTreeMap<Component, Template>,
    /// The last resource version given out.
    version: u64,
    /// What goes wrong in it.
    pub ills: Ills,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ills {
    /// New pods of this component never become ready.
    pub never_ready: Option<Component>,
    /// The webhook is dead: nobody keeps stopped workloads at none.
    pub is_webhook_dead: bool,
    /// Writes are taken however stale they are: a bug to be found.
    pub takes_stale_writes: bool,
    /// A Job is made although one of its name is there: a bug to be found.
    pub takes_second_jobs: bool,
}

impl World {
    /// A release that serves its version before; nothing of the change has arrived.
    #[must_use]
    pub fn new(setting: Setting, order: &Order) -> Self {
        let template = setting.pair.template_before();
        let mut world = Self {
            truth: Observed::default(),
            now: Moment(1_000),
            serving: setting.before.keys().map(|component| (*component, template.clone())).collect(),
            setting,
            version: 0,
            ills: Ills::default(),
        };
        for (component, replicas) in world.setting.before.clone() {
            let serving = Pods { template: template.clone(), running: replicas, ready: replicas, terminating: 0, trouble: None };
            let workload = world.workload(component, replicas, template.clone(), Some(template.clone()), vec![serving]);
            world.truth.workloads.insert(component, workload);
        }
        for name in world.setting.dependencies.clone() {
            let dependency = Dependency { stamp: world.stamp(), hold: Hold::None, was_let_go: false, is_complete: true, moved: world.now };
            world.truth.dependencies.insert(name.into(), dependency);
        }
        world.truth.active_standby = Known::Yes(world.setting.active_standby);
        world.truth.arrival = Arrival::Written(world.now);
        world.truth.sessions = Known::Yes(Vec::new());
        let layout = if order.migration { Layout::V21 } else { Layout::V22 };
        world.truth.metadata = Metadata { layout: Known::Yes(layout), ..Metadata::default() };
        Component::ALL.into_iter().for_each(|role| {
            world.session(role);
        });
        world
    }

    fn workload(&mut self, component: Component, wanted: u32, stored: Template, before: Option<Template>, pods: Vec<Pods>) -> Workload {
        Workload {
            has_sets: before.is_some(),
            stamp: self.stamp(),
            stored,
            before,
            hold: Hold::None,
            wanted,
            stopped: None,
            pods,
            is_seen: true,
            is_rolling: component != Component::Standalone && (self.setting.active_standby || !component.is_coordinator()),
            is_gone: false,
            is_marked: false,
            is_kept: false,
            epoch: 0,
            moved: self.now,
        }
    }

    fn stamp(&mut self) -> Stamp {
        self.version = self.version.saturating_add(1);
        Stamp { uid: "uid".into(), resource_version: self.version }
    }

    /// Changes a workload and gives it a new version; `pods`: something of its pods moved.
    fn change(&mut self, component: Component, moves: bool, change: impl FnOnce(&mut Workload)) -> bool {
        let (stamp, now) = (self.stamp(), self.now);
        let Some(workload) = self.truth.workloads.get_mut(&component) else { return false };
        change(workload);
        workload.stamp = stamp;
        if moves {
            workload.moved = now;
        }
        true
    }

    /// The applier begins to write a change, as Helm does: its revision is pending.
    pub fn begin(&mut self) {
        self.truth.arrival = Arrival::Pending(self.now);
        for dependency in self.truth.dependencies.values_mut() {
            dependency.hold = Hold::Held;
        }
    }

    /// The applier writes an object of the change, which the webhook holds.
    pub fn write(&mut self, component: Component) {
        let target = self.setting.pair.template_after();
        let Some(replicas) = self.setting.after.get(&component).copied() else { return };
        if self.truth.workloads.get(&component).is_some_and(|workload| !workload.is_gone) {
            self.change(component, false, |workload| {
                workload.stored = target;
                workload.hold = Hold::Held;
            });
        } else {
            let workload = self.workload(component, replicas, target, None, Vec::new());
            self.truth.workloads.insert(component, Workload { hold: Hold::Held, ..workload });
        }
    }

    /// The applier writes an object of the version before again, which the webhook holds where it differs from what serves.
    pub fn write_back(&mut self, component: Component) {
        let before = self.setting.pair.template_before();
        let Some(replicas) = self.setting.before.get(&component).copied() else { return };
        if self.truth.workloads.get(&component).is_some_and(|workload| !workload.is_gone) {
            self.change(component, false, |workload| {
                let serves = workload.others(&before) == 0 && workload.all_pods() > 0;
                workload.stored = before;
                workload.hold = if serves { Hold::None } else { Hold::Held };
            });
        } else {
            let workload = self.workload(component, replicas, before, None, Vec::new());
            self.truth.workloads.insert(component, Workload { hold: Hold::Held, ..workload });
        }
    }

    /// The applier writes the stores of the version before again. What serves is what is stored where a store still waited; the others are held with it.
    pub fn write_dependencies_back(&mut self) {
        let stamps: Vec<Stamp> = (0..self.truth.dependencies.len()).map(|_| self.stamp()).collect();
        for (dependency, stamp) in self.truth.dependencies.values_mut().zip(stamps) {
            dependency.hold = if dependency.was_let_go { Hold::Held } else { Hold::None };
            dependency.stamp = stamp;
        }
    }

    /// The applier ends: it deletes what the change has not, but for what is marked.
    pub fn end(&mut self, wanted: &BTreeMap<Component, u32>) {
        let removed: Vec<Component> = self
            .truth
            .workloads
            .iter()
            .filter(|(component, workload)| !wanted.contains_key(component) && !workload.is_marked)
            .map(|(component, _)| *component)
            .collect();
        for component in removed {
            self.delete(component);
        }
        self.truth.arrival = Arrival::Written(self.now);
    }

    fn delete(&mut self, component: Component) {
        self.change(component, true, |workload| workload.is_gone = true);
        self.collect(component);
    }

    /// Forgets a deleted workload without pods.
    fn collect(&mut self, component: Component) {
        if self.truth.workloads.get(&component).is_some_and(|workload| workload.is_gone && workload.all_pods() == 0) {
            self.truth.workloads.remove(&component);
            self.serving.remove(&component);
        }
    }

    /// Somebody scales a workload to what the release says.
    pub fn scale_back(&mut self, component: Component) {
        let Some(replicas) = self.setting.after.get(&component).copied() else { return };
        let stays = !self.ills.is_webhook_dead;
        self.change(component, false, |workload| {
            if workload.stopped.is_none() || !stays {
                workload.wanted = replicas;
                workload.is_seen = false;
            }
        });
    }

    /// A dependency completes.
    pub fn complete_dependency(&mut self) {
        let now = self.now;
        if let Some(dependency) = self.truth.dependencies.values_mut().find(|dependency| !dependency.is_complete) {
            dependency.is_complete = true;
            dependency.moved = now;
        }
    }
}

impl Pair {
    /// The template before, in an imagined cluster. A change of configuration changes it too, so that it differs from the one after even where the version does not.
    fn template_before(&self) -> Template {
        Template { digest: "before".into(), version: Some(self.from) }
    }

    /// The template after, in an imagined cluster.
    fn template_after(&self) -> Template {
        Template { digest: "after".into(), version: Some(self.to) }
    }
}

/// What changes between two releases; nothing where the components of one cannot be told for certain.
#[must_use]
pub fn between(before: (&Release, MilvusVersion), after: (&Release, MilvusVersion)) -> Option<Setting> {
    let (topology_before, _) = Topology::of_release(before.0)?;
    let (topology_after, _) = Topology::of_release(after.0)?;
    let has_standby = |release: &Release| {
        let is_coordinator = |name: &str| Component::named(name).is_some_and(Component::is_coordinator);
        release.components.iter().filter(|component| is_coordinator(component.name)).all(|component| component.active_standby == Some(true))
    };
    Some(Setting {
        pair: Pair { from: before.1, to: after.1, before: topology_before, after: topology_after },
        before: replicas(before.0),
        after: replicas(after.0),
        active_standby: has_standby(before.0) && has_standby(after.0),
        dependencies: Vec::new(),
    })
}

/// Replicas of the components of Milvus; one where they are left to a scaler or not known.
fn replicas(release: &Release) -> BTreeMap<Component, u32> {
    let known = |replicas: Option<i64>| replicas.and_then(|replicas| u32::try_from(replicas).ok()).unwrap_or(1);
    release.components.iter().filter_map(|component| Some((Component::named(component.name)?, known(component.replicas)))).collect()
}

/// The components of an order that a release of the topologies has, with replicas: what its optional steps are about only where `optional` names it.
#[must_use]
pub fn setting(pair: Pair, order: &Order, replicas: impl Fn(Component) -> u32, optional: &[Component]) -> Setting {
    let there = |component: Component| order.step(component).is_some_and(|step| !step.optional || optional.contains(&component));
    let of = |topology: Topology| order.steps.iter().map(|step| step.component).filter(move |component| topology.may_have(*component) && there(*component));
    let is_rolled = |component: &Component| order.step(*component).is_some_and(|step| step.kind == StepKind::Roll);
    Setting {
        pair,
        before: of(pair.before).map(|component| (component, replicas(component))).collect(),
        after: of(pair.after).filter(is_rolled).map(|component| (component, replicas(component))).collect(),
        active_standby: true,
        dependencies: Vec::new(),
    }
}
