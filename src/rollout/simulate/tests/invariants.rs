//! What must hold at every write and at every moment; written without the code that decides.

use std::collections::BTreeSet;

use crate::rollout::action::Deed;
use crate::rollout::component::{Component, Duty};
use crate::rollout::observed::{Arrival, Backup, JobKind, JobState, Known, Layout, Workload};
use crate::rollout::orders::{Gate, Order, Step, StepKind};
use crate::rollout::plan::Course;
use crate::rollout::simulate::World;

/// What was seen so far.
#[derive(Default)]
pub(super) struct Seen {
    /// All wanted pods of the target were ready once.
    ready: BTreeSet<Component>,
    /// All wanted pods of the target were started once.
    started: BTreeSet<Component>,
    /// The whole change was there at once, or all of it but what is withheld.
    arrived: bool,
    /// All that the order lets run was stored at the target at once.
    stored: bool,
    /// All of that served the target at once, and nothing else.
    served: bool,
    /// What never arrives of the change, and a person goes on without.
    pub(super) withheld: Option<Component>,
    /// Duties that no Deployment was left for.
    lost: BTreeSet<Duty>,
}

type Checked = Result<(), String>;

fn must(holds: bool, violation: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(violation()) }
}

impl Seen {
    /// Nothing yet; one component of the change never arrives, if any.
    pub(super) fn without(withheld: Option<Component>) -> Self {
        Self { withheld, ..Self::default() }
    }

    /// Looks at the cluster after each step.
    pub(super) fn look(&mut self, world: &World, order: &Order) -> Checked {
        for (component, workload) in &world.truth.workloads {
            let target = workload.pods.iter().find(|pods| pods.template.is_of(world.setting.pair.to));
            let (running, ready) = target.map_or((0, 0), |pods| (pods.running, pods.ready));
            if workload.wanted > 0 && workload.stopped.is_none() && running >= workload.wanted {
                self.started.insert(*component);
                if ready >= workload.wanted {
                    self.ready.insert(*component);
                }
            }
        }
        self.arrived |= self.has_arrived(world, order);
        self.stored |= of_order(world, order, |workload| workload.stored.is_of(world.setting.pair.to));
        self.served |= of_order(world, order, |workload| serves(world, workload));
        self.lost.extend(Duty::ALL.into_iter().filter(|duty| is_lost(world, *duty)));
        must(!order.migration || fits(world), || format!("pods run on metadata of another layout: {:?}", world.truth.metadata.layout))?;
        let active = world.truth.metadata.jobs.values().filter(|job| matches!(job.state, JobState::Active(_))).count();
        must(active <= 1, || "two jobs of a migration at a time".to_owned())?;
        must(active == 0 || world.truth.workloads.values().all(|workload| workload.running() == 0), || "no migration while a pod lives".to_owned())
    }

    /// Looks at a write that was carried out; `world` is as it was before.
    pub(super) fn write(&self, world: &World, order: &Order, deed: &Deed, course: Course) -> Checked {
        match (deed, course) {
            (Deed::Release(component, _), Course::Forwards) if self.is_rescue(world, *component) => Ok(()),
            (Deed::Release(component, _), Course::Forwards) if world.truth.workloads.get(component).is_some_and(|workload| workload.wanted == 0) => {
                self.whole()
            }
            (Deed::Release(component, _), Course::Forwards) => self.whole().and_then(|()| self.in_order(world, order, *component)),
            (Deed::Start(component, ..), Course::Forwards) if is_target(world, *component) => self.in_order(world, order, *component),
            (Deed::Remove(component, _), Course::Forwards) => {
                must(self.stored, || format!("{component} is removed before the whole change is stored"))?;
                self.replaced(world, *component).and_then(|()| self.in_order(world, order, *component))
            }
            (Deed::Record, _) => must(self.served, || "a receipt is written before all of the order serves the target".to_owned()),
            (Deed::Discard(component, _), _) => {
                let ran = |workload: &Workload| workload.before.is_some() || workload.all_pods() > 0 || self.started.contains(component);
                must(!world.truth.workloads.get(component).is_some_and(ran), || format!("{component} is thrown away, which ran"))
            }
            (Deed::Remove(component, _), Course::Back) => self.replaced(world, *component).and_then(|()| in_reverse(world, order, *component)),
            (Deed::Revert(component, _), Course::Back) if !order.migration => in_reverse(world, order, *component),
            (Deed::Unhold(component, _), _) => {
                let holds = |workload: &Workload| workload.others(&workload.stored) > 0;
                must(!world.truth.workloads.get(component).is_some_and(holds), || format!("a hold is taken off {component}, which has something to hold"))
            }
            (Deed::Run(kind), _) => stopped(world, *kind),
            _ => Ok(()),
        }
    }

    /// At no time fewer coordinators than the tool alone would leave: what is removed has others whose pods do its work, or come back after a fall.
    fn replaced(&self, world: &World, component: Component) -> Checked {
        let serves = |other: Component, workload: &Workload| workload.running() > 0 || workload.before.is_some() || self.started.contains(&other);
        let by = |duty: &Duty| {
            let does = |(other, workload): (&Component, &Workload)| {
                *other != component && other.duties().contains(duty) && !workload.is_gone && serves(*other, workload)
            };
            world.truth.workloads.iter().any(does)
        };
        must(component.duties().iter().all(by), || format!("nobody is left to do the work of {component}"))
    }

    /// What service needs was gone, and a new component does it.
    fn is_rescue(&self, world: &World, component: Component) -> bool {
        world.truth.workloads.get(&component).is_some_and(|workload| workload.before.is_none())
            && component.duties().iter().any(|duty| self.lost.contains(duty))
    }

    /// What is taken away again between a decision and its write cannot be told by anybody.
    fn whole(&self) -> Checked {
        must(self.arrived, || "a component is let go before the whole change is there".to_owned())
    }

    /// Of a part that a person takes, nobody knows what was just stored and is not seen yet.
    fn in_order(&self, world: &World, order: &Order, component: Component) -> Checked {
        if self.withheld.is_some() {
            return Ok(());
        }
        for step in order.steps.iter().take_while(|step| step.component != component) {
            must(self.is_complete(world, step), || format!("{component} before the steps before it: {} is not complete", step.name()))?;
            for completed in &step.completes {
                must(self.ready.contains(completed), || format!("{component} before the steps before it: {completed} was never ready"))?;
            }
        }
        Ok(())
    }

    fn has_arrived(&self, world: &World, order: &Order) -> bool {
        let to = world.setting.pair.to;
        let is_there = |component: &Component| world.truth.workloads.get(component).is_some_and(|workload| workload.stored.is_of(to));
        let mut wanted = world.setting.after.keys().filter(|component| order.step(**component).is_some() && self.withheld != Some(**component));
        wanted.all(is_there) && matches!(world.truth.arrival, Arrival::Written(_))
    }

    fn is_complete(&self, world: &World, step: &Step) -> bool {
        let component = step.component;
        let Some(workload) = world.truth.workloads.get(&component) else { return true };
        if step.kind == StepKind::Remove {
            return workload.is_gone && workload.pods.is_empty();
        }
        let target = world.setting.pair.to;
        let clean = |workload: &Workload| !workload.is_held() && workload.stored.is_of(target) && workload.pods.iter().all(|pods| pods.template.is_of(target));
        if step.gates.contains(&Gate::Ready) { clean(workload) && self.ready.contains(&component) } else { self.started.contains(&component) }
    }
}

fn is_target(world: &World, component: Component) -> bool {
    world.truth.workloads.get(&component).is_some_and(|workload| !workload.is_held() && workload.stored.is_of(world.setting.pair.to))
}

/// Whether no Deployment is left that makes pods for a duty: what is new and held makes none.
fn is_lost(world: &World, duty: Duty) -> bool {
    let serves = |workload: &Workload| !workload.is_gone && (!workload.is_held() || workload.before.is_some());
    !world.truth.workloads.iter().any(|(component, workload)| component.duties().contains(&duty) && serves(workload))
}

/// Whether something holds of all that the order lets run, as far as the release has it.
fn of_order(world: &World, order: &Order, holds: impl Fn(&Workload) -> bool) -> bool {
    let has = |component: &Component| order.step(*component).is_some_and(|step| step.kind == StepKind::Roll);
    world.setting.after.keys().filter(|component| has(component)).all(|component| world.truth.workloads.get(component).is_some_and(&holds))
}

fn serves(world: &World, workload: &Workload) -> bool {
    let to = world.setting.pair.to;
    let ready: u32 = workload.pods.iter().filter(|pods| pods.template.is_of(to)).map(|pods| pods.ready).sum();
    workload.stored.is_of(to) && workload.pods.iter().all(|pods| pods.template.is_of(to)) && ready >= workload.wanted
}

fn in_reverse(world: &World, order: &Order, component: Component) -> Checked {
    let from = world.setting.pair.from;
    for step in order.steps.iter().skip_while(|step| step.component != component).skip(1).filter(|step| step.kind == StepKind::Roll) {
        let is_back = world.truth.workloads.get(&step.component).is_none_or(|workload| workload.pods.iter().all(|pods| pods.template.is_of(from)));
        must(is_back, || format!("{component} is taken back before {}", step.component))?;
    }
    Ok(())
}

fn stopped(world: &World, kind: JobKind) -> Checked {
    let truth = &world.truth;
    let is_empty = truth.workloads.values().all(|workload| workload.pods.is_empty()) && truth.sessions.get().is_some_and(Vec::is_empty);
    must(!truth.metadata.jobs.contains_key(&kind), || format!("two jobs of a migration: {kind:?}"))?;
    must(is_empty, || format!("no migration while a pod or a session lives: {kind:?}"))?;
    must(truth.metadata.is_fenced, || format!("no migration without a fence: {kind:?}"))?;
    must(truth.dependencies.values().all(|dependency| dependency.is_complete), || format!("no migration while a dependency rolls: {kind:?}"))?;
    let writes = matches!(kind, JobKind::Migrate | JobKind::Restore);
    must(!writes || truth.metadata.backup == Backup::Verified, || format!("{kind:?} without a verified backup"))
}

/// Whether no pod runs on metadata that it does not read.
fn fits(world: &World) -> bool {
    let runs = |version| world.truth.workloads.values().any(|workload| workload.pods.iter().any(|pods| pods.template.is_of(version) && pods.running > 0));
    match &world.truth.metadata.layout {
        Known::Yes(Layout::V21) => !runs(world.setting.pair.to),
        Known::Yes(Layout::V22) => !runs(world.setting.pair.from),
        _ => !runs(world.setting.pair.to) && !runs(world.setting.pair.from),
    }
}
