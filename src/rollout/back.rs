//! The way back: what was let go is taken back in reverse order, what was not stays held.

use std::sync::Arc;

use super::action::{Action, Deed, Stop, Wait, Waiting};
use super::component::{Component, Duty};
use super::decide::Round;
use super::observed::{Dependency, Hold, Template, Workload};
use super::orders::{Gate, Step, StepKind};

impl Round<'_> {
    pub(super) fn back(&self) -> Option<Action> {
        self.marks_of_change()
            .or_else(|| self.applier())
            .or_else(|| self.migration_back())
            .or_else(|| self.no_way_back())
            .or_else(|| self.order.steps.iter().rev().find_map(|step| self.step_back(step)))
            .or_else(|| self.held_for_nothing())
            .or_else(|| self.made_anew())
            .or_else(|| self.left_over())
            .or_else(|| self.dependencies_back())
    }

    /// What the applier leaves of the change when it takes all of it back: components that never ran, and that it would have deleted if they were not kept.
    fn left_over(&self) -> Option<Action> {
        // With the same version, what the change leaves alone looks as if it were taken back.
        let is_told = self.plan.pair.from != self.plan.pair.to || self.plan.is_withdrawn;
        if is_told && self.is_all_back() { self.discard() } else { None }
    }

    /// Whether all that served stores again what it did: neither the change, nor another one.
    fn is_all_back(&self) -> bool {
        let mut served = self.in_order().filter(|(_, workload)| workload.before.is_some()).peekable();
        served.peek().is_some() && served.all(|(_, workload)| !workload.is_gone && self.is_back(workload))
    }

    /// Stores and queues run what the change brought until the applier has taken that back; then they are let go once more, one after the other, after all components.
    fn dependencies_back(&self) -> Option<Action> {
        if self.is_stored() || !self.is_all_back() {
            return None;
        }
        let is_due = |dependency: &Dependency| dependency.hold != Hold::None || (dependency.was_let_go && !dependency.is_complete);
        let (name, dependency) = self.observed.dependencies.iter().find(|(_, dependency)| is_due(dependency))?;
        match dependency.hold {
            // One that was never let go is freed by the write that takes it back. That may be to come, or was nobody's.
            Hold::Held if !dependency.was_let_go => self.not_written_back(name).or_else(|| self.release_dependency(name, dependency)),
            _ => self.dependency(name, dependency),
        }
    }

    fn not_written_back(&self, name: &Arc<str>) -> Option<Action> {
        let (since, until) = self.arriving();
        (self.now < until).then(|| Action::Wait(Wait { what: Waiting::TakenBack(Arc::clone(name)), since: Some(since), until: Some(until) }))
    }

    /// Whether a workload stores what served before, or the version before with another setting, as the applier wrote it.
    pub(super) fn is_back(&self, workload: &Workload) -> bool {
        let pair = &self.plan.pair;
        workload.before.as_ref() == Some(&workload.stored) || (pair.from != pair.to && workload.stored.is_of(pair.from))
    }

    /// Components that were deleted and made anew with the version that is taken back: nothing of what served before is left to go back to.
    fn made_anew(&self) -> Option<Action> {
        let is_empty = |workload: &Workload| workload.is_held() && !workload.is_gone && workload.wanted > 0 && workload.all_pods() == 0;
        let is_lost = |workload: &Workload| workload.before.is_some() && !workload.has_sets && !self.is_back(workload);
        let lost: Vec<Component> = self.in_order().filter(|(_, workload)| is_empty(workload) && is_lost(workload)).map(|(component, _)| component).collect();
        (!lost.is_empty()).then_some(Action::Stop(Stop::NeedsApplier(lost)))
    }

    /// As long as the change is stored, an applier may still delete what it removes.
    fn marks_of_change(&self) -> Option<Action> {
        if self.is_stored() { self.marks(true) } else { None }
    }

    /// Whether anything still stores the change, as after an abort; a rollback by the applier leaves nothing of it.
    pub(super) fn is_stored(&self) -> bool {
        let is_changed = |workload: &Workload| workload.stored.is_of(self.plan.pair.to) && workload.before.as_ref() != Some(&workload.stored);
        self.in_order().any(|(_, workload)| !workload.is_gone && is_changed(workload))
    }

    fn no_way_back(&self) -> Option<Action> {
        let step = self.closed()?;
        Some(Action::Stop(Stop::NoWayBack(step, self.order.way_back(&self.plan.pair).reason.to_owned())))
    }

    /// The step that closed the way back, if it has begun.
    pub(super) fn closed(&self) -> Option<Component> {
        let step = self.order.way_back(&self.plan.pair).closes_with?;
        self.workload(step).is_some_and(|workload| self.has_begun(workload)).then_some(step)
    }

    /// Whether the target was let go: it runs, or may run.
    fn has_begun(&self, workload: &Workload) -> bool {
        let to = self.plan.pair.to;
        let runs = workload.pods.iter().any(|pods| pods.template.is_of(to) && pods.is_any());
        runs || (workload.stored.is_of(to) && !workload.is_held() && workload.wanted > 0)
    }

    fn step_back(&self, step: &Step) -> Option<Action> {
        match (step.kind, self.workload(step.component)) {
            (StepKind::Roll, None) => None,
            (StepKind::Roll, Some(workload)) => match &workload.before {
                Some(before) => self.take_back(step.component, workload, before),
                None => self.withdraw(step.component, workload),
            },
            (StepKind::Remove, Some(workload)) if !workload.is_gone => self.bring_back(step.component, workload),
            (StepKind::Remove, _) => self.lost(step),
        }
    }

    /// A component that served before: its template of then serves again.
    fn take_back(&self, component: Component, workload: &Workload, before: &Template) -> Option<Action> {
        if self.is_back(workload) {
            return self.release(component, workload).or_else(|| self.serves(component, workload, &workload.stored));
        }
        if workload.is_held() && workload.others(before) == 0 {
            return None;
        }
        Some(Action::Do(Deed::Revert(component, workload.stamp.clone())))
    }

    /// A component that was new goes again, once others do what it does. One that was never let go stays held.
    fn withdraw(&self, component: Component, workload: &Workload) -> Option<Action> {
        if workload.is_held() && workload.all_pods() == 0 {
            return None;
        }
        if workload.is_gone {
            return self.gates(component, &[Gate::OldPodsGone]);
        }
        let others = |duty: &Duty| {
            self.observed.workloads.iter().any(|(other, workload)| *other != component && other.duties().contains(duty) && workload.running() > 0)
        };
        if component.duties().iter().all(others) {
            return Some(Action::Do(Deed::Remove(component, workload.stamp.clone())));
        }
        let gone = self.order.steps.iter().filter(|step| step.kind == StepKind::Remove && self.workload(step.component).is_none()).map(|step| step.component);
        Some(Action::Stop(Stop::NeedsApplier(gone.collect())))
    }

    /// A component that was to be removed, and is there: still, or again because the applier made it anew.
    fn bring_back(&self, component: Component, workload: &Workload) -> Option<Action> {
        self.release(component, workload).or_else(|| self.gates(component, &[Gate::Handover]))
    }

    /// A component that was removed: only the applier can bring it back. What took over from it stays.
    fn lost(&self, step: &Step) -> Option<Action> {
        (!step.optional).then(|| Action::Stop(Stop::NeedsApplier(vec![step.component])))
    }
}
