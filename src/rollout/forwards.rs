//! The way forwards: marks, arrival, dependencies, migration, and then step by step.

use std::sync::Arc;

use super::action::{Action, Deed, Done, Stop, Wait, Waiting};
use super::component::Component;
use super::decide::Round;
use super::observed::{Arrival, Dependency, Hold, Moment, Workload};
use super::orders::{Gate, Pair, Step, StepKind};
use super::plan::Course;
use crate::model::version::MilvusVersion;

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
            .or_else(|| self.incomplete())
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
        if let Some(other) = self.another_change() {
            return Some(other);
        }
        let missing = self.missing();
        let left_over = self.taken_back();
        if missing.is_empty() || (self.plan.takes_partial && left_over.is_none()) {
            return None;
        }
        let (since, until) = self.arriving();
        if self.now >= until {
            return Some(left_over.unwrap_or(Action::Stop(Stop::ChangeIncomplete(missing))));
        }
        Some(Action::Wait(Wait { what: Waiting::Arrival(missing), since: Some(since), until: Some(until) }))
    }

    /// Since when the change arrives, and until when that is waited for.
    pub(super) fn arriving(&self) -> (Moment, Moment) {
        let (Arrival::Written(since) | Arrival::Pending(since)) = self.observed.arrival;
        (since, since.plus(self.plan.limits.arrival_seconds))
    }

    /// What has not arrived of the change.
    fn missing(&self) -> Vec<Component> {
        self.order.steps.iter().filter(|step| self.is_missing(step)).map(|step| step.component).collect()
    }

    /// Where a person took a part of the change: nothing is removed, and nothing is complete, before the rest is there, too. What the release never had is no part of the rest.
    fn incomplete(&self) -> Option<Action> {
        let mut missing = self.missing();
        missing.retain(|component| !self.plan.takes_partial || !self.observed.lacks(*component, self.plan.pair.before));
        (!missing.is_empty()).then_some(Action::Stop(Stop::ChangeIncomplete(missing)))
    }

    /// Another change was stored over this one. It is no part of it that a person could take.
    fn another_change(&self) -> Option<Action> {
        let Pair { from, to, .. } = self.plan.pair;
        let rolled = self.in_order().filter(|(component, workload)| !workload.is_gone && self.is_rolled(*component));
        let stored =
            rolled.filter_map(|(component, workload)| Some((component, workload.stored.version.filter(|version| *version != from && *version != to)?)));
        let others: Vec<(Component, MilvusVersion)> = stored.collect();
        let version = others.first()?.1;
        Some(Action::Stop(Stop::AnotherChange(version, others.into_iter().map(|(component, _)| component).collect())))
    }

    /// What is left of a change that was taken back before anything of it ran: all that served stores the version before again, and what waits is new, never ran, and is there only because it was
    /// kept.
    fn taken_back(&self) -> Option<Action> {
        let Pair { from, to, .. } = self.plan.pair;
        let mut rolled = self.in_order().filter(|(component, workload)| self.is_rolled(*component) && !workload.is_left_over());
        let is_before = rolled.all(|(_, workload)| !workload.is_gone && workload.stored.is_of(from));
        if from == to || !is_before { None } else { self.discard() }
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
        self.dependency(name, dependency)
    }

    pub(super) fn dependency(&self, name: &Arc<str>, dependency: &Dependency) -> Option<Action> {
        match &dependency.hold {
            Hold::Blocked(why) => Some(Action::Stop(Stop::Blocked(name.clone(), why.clone()))),
            Hold::Held => self.release_dependency(name, dependency),
            Hold::None | Hold::Foreign => Some(self.overdue(None, dependency.moved, Waiting::Dependency(name.clone()), None)),
        }
    }

    pub(super) fn release_dependency(&self, name: &Arc<str>, dependency: &Dependency) -> Option<Action> {
        // What approves the first step lets them go, too.
        let (first, _) = self.in_order().next()?;
        let unfit = || if self.plan.course == Course::Forwards { self.unfit_to_migrate() } else { None };
        let release = || Some(Action::Do(Deed::ReleaseDependency(name.clone(), dependency.stamp.clone())));
        self.not_now(first).or_else(unfit).or_else(release)
    }

    fn step(&self, step: &Step) -> Option<Action> {
        match step.kind {
            StepKind::Roll => self.roll(step),
            StepKind::Remove => self.incomplete().or_else(|| self.remove(step)),
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
