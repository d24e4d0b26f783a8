//! The decision: one action from all that is known.

use super::action::{Action, Deed, Stop, Wait, Waiting};
use super::component::{Component, Duty};
use super::observed::{Arrival, Hold, Moment, Observed, Workload};
use super::orders::{Order, Orders, StepKind};
use super::plan::{Approval, Course, Plan};

/// What happens next. Workloads, Jobs and dependencies may come from a cache, since writes on them are refused where it is stale; the plan and how far the change has arrived are to be
/// read anew for each decision (the search finds what goes wrong otherwise: a component is deleted that a rollback has just brought back).
#[must_use]
pub fn next(observed: &Observed, plan: &Plan, orders: &Orders, now: Moment) -> Action {
    match orders.find(&plan.pair) {
        Ok(order) => Round { observed, plan, order, now }.next(),
        Err(refusal) => Action::Stop(Stop::Refused(refusal)),
    }
}

/// One round of decisions. Each part answers with the action that is due, or with nothing where it has nothing to do.
#[derive(Clone, Copy)]
pub(super) struct Round<'r> {
    pub(super) observed: &'r Observed,
    pub(super) plan: &'r Plan,
    pub(super) order: &'r Order,
    pub(super) now: Moment,
}

impl<'r> Round<'r> {
    fn next(&self) -> Action {
        self.unknown()
            .or_else(|| self.seals())
            .or_else(|| self.paused())
            .or_else(|| self.rescue())
            .or_else(|| match self.plan.course {
                Course::Forwards => self.forwards(),
                Course::Back => self.back(),
            })
            .unwrap_or_else(|| self.finish())
    }

    pub(super) fn workload(&self, component: Component) -> Option<&'r Workload> {
        self.observed.workloads.get(&component)
    }

    /// Workloads in the sequence of the order, with those that it does not replace last.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (Component, &'r Workload)> + use<'r> {
        let round = *self;
        round.order.steps.iter().filter_map(move |step| Some((step.component, round.workload(step.component)?)))
    }

    /// Whether the order lets a component's stored template run.
    pub(super) fn is_rolled(&self, component: Component) -> bool {
        self.order.step(component).is_some_and(|step| step.kind == StepKind::Roll)
    }

    /// Removes what is left over of a change that was taken back.
    pub(super) fn discard(&self) -> Option<Action> {
        self.in_order()
            .find(|(component, workload)| self.is_rolled(*component) && workload.is_left_over())
            .map(|(component, workload)| Action::Do(Deed::Discard(component, workload.stamp.clone())))
    }

    /// What runs and has no place in the order: nobody knows when to replace it.
    fn unknown(&self) -> Option<Action> {
        let stranger = self.observed.strangers.first().cloned();
        let misplaced = || self.observed.workloads.keys().find(|component| self.order.step(**component).is_none()).map(|component| component.name().into());
        stranger.or_else(misplaced).map(|name| Action::Stop(Stop::UnknownComponent(name)))
    }

    fn paused(&self) -> Option<Action> {
        let undone = || Duty::ALL.into_iter().find(|duty| !self.observed.is_provided(*duty));
        self.plan.is_paused.then(|| Action::Stop(Stop::Paused(undone())))
    }

    /// What service needs is gone already, and what would do it waits: it comes first, before the rest of the change, windows and approvals.
    fn rescue(&self) -> Option<Action> {
        let serves = self.observed.workloads.values().any(|workload| workload.running() > 0);
        if !serves || self.order.migration || self.observed.is_stopped() {
            return None;
        }
        let undone: Vec<Duty> = Duty::ALL.into_iter().filter(|duty| !self.observed.is_provided(*duty)).collect();
        let helps = |component: Component| component.duties().iter().any(|duty| undone.contains(duty));
        // On the way back, what served before and was made anew with the version that is taken back is not let go.
        let fits = |workload: &Workload| self.plan.course == Course::Forwards || workload.before.is_none() || self.is_back(workload);
        let is_idle = |workload: &Workload| !workload.has_served() && workload.hold == Hold::Held && workload.wanted > 0 && workload.all_pods() == 0;
        self.in_order()
            .find(|(component, workload)| is_idle(workload) && fits(workload) && helps(*component))
            .map(|(component, workload)| Action::Do(Deed::Release(component, workload.stamp.clone())))
    }

    /// Workloads that only one of the two topologies has: an applier would delete them too early, on the way there or on the way back.
    pub(super) fn marks(&self, wanted: bool) -> Option<Action> {
        let is_kept = |component: Component| {
            let removed = self.order.step(component).is_some_and(|step| step.kind == StepKind::Remove);
            removed || !self.plan.pair.before.may_have(component) || !self.plan.pair.after.may_have(component)
        };
        self.in_order()
            .find(|(component, workload)| is_kept(*component) && !workload.is_gone && workload.is_marked != wanted)
            .map(|(component, workload)| Action::Do(Deed::Mark(component, workload.stamp.clone(), wanted)))
    }

    /// Each workload says which course it was last sealed for, before anything else is done on a changed course.
    fn seals(&self) -> Option<Action> {
        let epoch = self.plan.epoch;
        if self.observed.workloads.values().any(|workload| workload.epoch > epoch) {
            return Some(Action::Wait(Wait { what: Waiting::Plan, since: None, until: None }));
        }
        self.in_order()
            .find(|(_, workload)| !workload.is_gone && workload.epoch < epoch)
            .map(|(component, workload)| Action::Do(Deed::Seal(component, workload.stamp.clone(), epoch)))
    }

    /// Holds that have nothing to hold.
    pub(super) fn held_for_nothing(&self) -> Option<Action> {
        self.in_order()
            .find(|(_, workload)| workload.is_held_for_nothing())
            .map(|(component, workload)| Action::Do(Deed::Unhold(component, workload.stamp.clone())))
    }

    /// While a Helm revision is pending, objects are still being written.
    pub(super) fn applier(&self) -> Option<Action> {
        match self.observed.arrival {
            Arrival::Pending(since) => Some(Action::Wait(Wait { what: Waiting::Applier, since: Some(since), until: None })),
            Arrival::Written(_) => None,
        }
    }

    /// Why a step may not begin now: windows and approval. What is stopped for a migration comes back at any time.
    pub(super) fn not_now(&self, component: Component) -> Option<Action> {
        if self.order.migration && self.observed.is_stopped() {
            return None;
        }
        let wait = |what| Some(Action::Wait(Wait { what, since: None, until: None }));
        let windows = &self.plan.windows;
        if !windows.is_empty() && !windows.iter().any(|window| window.from <= self.now && self.now < window.until) {
            let opens = windows.iter().filter(|window| window.from < window.until).map(|window| window.from).filter(|from| *from > self.now).min();
            return opens.map_or(Some(Action::Stop(Stop::NoWindow)), |opens| wait(Waiting::Window(opens)));
        }
        match &self.plan.approval {
            Approval::Manual(approved) if *approved != Some(component) => wait(Waiting::Approval(component)),
            _ => None,
        }
    }
}
