//! The way forwards: marks, arrival, dependencies, migration, and then step by step.

use super::action::{Action, Deed, Done, Stop, Wait, Waiting};
use super::component::Component;
use super::decide::Round;
use super::observed::{Arrival, Hold, Workload};
use super::orders::{Gate, Step, StepKind};
use super::plan::Course;

/// What `completes` asks of a component that was only started.
const COMPLETE: [Gate; 3] = [Gate::Ready, Gate::OldPodsGone, Gate::ActiveSession];

impl Round<'_> {
    pub(super) fn forwards(&self) -> Option<Action> {
        self.marks_while_open()
            .or_else(|| self.held_for_nothing())
            .or_else(|| self.arrival())
            .or_else(|| self.dependencies())
            .or_else(|| self.migration())
            .or_else(|| self.order.steps.iter().find_map(|step| self.step(step)))
    }

    /// Marks stay until everything is complete, and come off then.
    fn marks_while_open(&self) -> Option<Action> {
        if self.observed.is_recorded { None } else { self.marks(true) }
    }

    /// When nothing is left to do.
    pub(super) fn finish(&self) -> Action {
        match self.plan.course {
            Course::Forwards if !self.observed.is_recorded => Action::Do(Deed::Record),
            Course::Forwards => self.marks(false).unwrap_or_else(|| Action::Done(Done { afterwards: self.order.afterwards.clone() })),
            Course::Back if self.is_stored() => Action::Stop(Stop::WentBack),
            Course::Back => self.marks(false).unwrap_or(Action::Stop(Stop::WentBack)),
        }
    }

    /// Nothing is let go before the whole change is there, unless a person takes a part of it.
    fn arrival(&self) -> Option<Action> {
        if let Some(wait) = self.applier() {
            return Some(wait);
        }
        let missing: Vec<Component> = self.order.steps.iter().filter(|step| self.is_missing(step)).map(|step| step.component).collect();
        if missing.is_empty() || self.plan.takes_partial {
            return None;
        }
        let (Arrival::Written(since) | Arrival::Pending(since)) = self.observed.arrival;
        let until = since.plus(self.plan.limits.arrival_seconds);
        if self.now >= until {
            return Some(Action::Stop(Stop::ChangeIncomplete(missing)));
        }
        Some(Action::Wait(Wait { what: Waiting::Arrival(missing), since: Some(since), until: Some(until) }))
    }

    /// Whether a component is neither held with the target nor at it.
    fn is_missing(&self, step: &Step) -> bool {
        step.kind == StepKind::Roll
            && match self.workload(step.component) {
                Some(workload) => workload.is_gone || !workload.stored.is_of(self.plan.pair.to),
                None => !step.optional,
            }
    }

    /// Etcd, object store and queue come before any component, one after the other.
    fn dependencies(&self) -> Option<Action> {
        let (name, dependency) = self.observed.dependencies.iter().find(|(_, dependency)| dependency.hold != Hold::None || !dependency.is_complete)?;
        match &dependency.hold {
            Hold::Blocked(why) => Some(Action::Stop(Stop::Blocked(name.clone(), why.clone()))),
            Hold::Held => {
                let first = self.order.steps.first().map(|step| step.component)?;
                let release = || Some(Action::Do(Deed::ReleaseDependency(name.clone(), dependency.stamp.clone())));
                self.not_now(first).or_else(|| self.unfit_to_migrate()).or_else(release)
            }
            Hold::None | Hold::Foreign => Some(self.overdue(None, dependency.moved, Waiting::Dependency(name.clone()), None)),
        }
    }

    fn step(&self, step: &Step) -> Option<Action> {
        match step.kind {
            StepKind::Roll => self.roll(step),
            StepKind::Remove => self.remove(step),
        }
    }

    fn roll(&self, step: &Step) -> Option<Action> {
        let component = step.component;
        let workload = self.workload(component).filter(|workload| workload.stored.is_of(self.plan.pair.to))?;
        if let Some(held) = self.release(component, workload) {
            return Some(held);
        }
        if let Some(replicas) = workload.stopped {
            return Some(Action::Do(Deed::Start(component, workload.stamp.clone(), replicas)));
        }
        self.gates(component, &step.gates).or_else(|| self.completes(step))
    }

    /// Lets a held component go, where it may.
    pub(super) fn release(&self, component: Component, workload: &Workload) -> Option<Action> {
        match &workload.hold {
            Hold::Held => self.not_now(component).or_else(|| Some(Action::Do(Deed::Release(component, workload.stamp.clone())))),
            Hold::Blocked(why) => Some(Action::Stop(Stop::Blocked(component.name().into(), why.clone()))),
            Hold::None | Hold::Foreign => None,
        }
    }

    fn remove(&self, step: &Step) -> Option<Action> {
        let component = step.component;
        match self.workload(component) {
            Some(workload) if !workload.is_gone => self.not_now(component).or_else(|| Some(Action::Do(Deed::Remove(component, workload.stamp.clone())))),
            _ => self.gates(component, &step.gates).or_else(|| self.completes(step)),
        }
    }

    fn completes(&self, step: &Step) -> Option<Action> {
        step.completes.iter().find_map(|component| self.gates(*component, &COMPLETE))
    }
}
