//! Gates: what has to be real before the next step, and the known ways in which it never becomes real.

use super::action::{Action, Deed, Stalled, Stop, Wait, Waiting, Why};
use super::component::Component;
use super::decide::Round;
use super::observed::{Hold, Moment, Pods, Session, Template, Trouble, Workload};
use super::orders::Gate;
use super::plan::{Course, OnFailure};

impl Round<'_> {
    /// The first of some gates that does not hold yet, on the way forwards.
    pub(super) fn gates(&self, component: Component, gates: &[Gate]) -> Option<Action> {
        gates.iter().find_map(|gate| self.gate(component, *gate))
    }

    fn gate(&self, component: Component, gate: Gate) -> Option<Action> {
        let Some(workload) = self.workload(component) else { return self.gate_of_absent(component, gate) };
        let detail = match gate {
            Gate::Started => started(workload, &workload.stored),
            Gate::Handover if self.observed.active_standby.get() != Some(&true) => started(workload, &workload.stored),
            Gate::Ready | Gate::Handover => ready(workload, &workload.stored),
            Gate::OldPodsGone if workload.is_gone => left(workload.all_pods()),
            Gate::OldPodsGone => left(workload.others(&workload.stored)),
            Gate::ActiveSession => self.active_session(component),
            Gate::SessionsGone => self.sessions_gone(component),
        }?;
        Some(self.unmet(component, workload, gate, detail))
    }

    /// Of a workload that is gone with all its pods only sessions can be left.
    fn gate_of_absent(&self, component: Component, gate: Gate) -> Option<Action> {
        let detail = if gate == Gate::SessionsGone { self.sessions_gone(component)? } else { return None };
        let since = self.sessions_of(component).map(|session| session.since).min().unwrap_or(self.now);
        let stuck = Why::SessionStuck(component);
        let limit = self.plan.limits.session_seconds;
        Some(self.overdue_after(Some(component), since, limit, Waiting::Gate { component, gate, detail }, Some(stuck)))
    }

    /// As many ready pods of a template as wanted, none of another: the gate of the way back.
    pub(super) fn serves(&self, component: Component, workload: &Workload, template: &Template) -> Option<Action> {
        let (gate, detail) = ready(workload, template)
            .map(|detail| (Gate::Ready, detail))
            .or_else(|| left(workload.others(template)).map(|detail| (Gate::OldPodsGone, detail)))?;
        Some(self.unmet(component, workload, gate, detail))
    }

    fn sessions_of(&self, component: Component) -> impl Iterator<Item = &Session> {
        self.observed.sessions.get().into_iter().flatten().filter(move |session| session.role == component)
    }

    /// The active session of each coordinator whose work it does is its own, at the target. Where etcd cannot be read, ready pods without any of an earlier template are the best evidence.
    fn active_session(&self, component: Component) -> Option<String> {
        self.observed.sessions.get().filter(|_| component.is_coordinator())?;
        let is_active = |role: Component| {
            self.sessions_of(role).any(|session| session.is_active && session.version == Some(self.plan.pair.to) && session.holder == Some(component))
        };
        if is_active(component) {
            return None;
        }
        let waiting: Vec<&str> = component.session_roles().iter().filter(|role| !is_active(**role)).map(|role| role.name()).collect();
        (!waiting.is_empty()).then(|| format!("no active session of {} at {}", waiting.join(", "), self.plan.pair.to))
    }

    /// No session is left but that of a successor.
    fn sessions_gone(&self, component: Component) -> Option<String> {
        let left = self.sessions_of(component).filter(|session| session.holder.is_none_or(|holder| holder == component)).count();
        (left > 0).then(|| format!("{left} sessions left in etcd"))
    }

    fn unmet(&self, component: Component, workload: &Workload, gate: Gate, detail: String) -> Action {
        let detail = match trouble(workload) {
            Some(trouble) => format!("{detail}: {}", trouble.name()),
            None => detail,
        };
        let waiting = Waiting::Gate { component, gate, detail };
        if let Some(why) = never(component, workload, gate) {
            return self.failed(Stalled { component: Some(component), why, since: workload.moved });
        }
        self.overdue(Some(component), workload.moved, waiting, self.known_deadlock(component, workload, gate))
    }

    /// The deadlock that this looks like, once nothing moves any more.
    fn known_deadlock(&self, component: Component, workload: &Workload, gate: Gate) -> Option<Why> {
        let target = workload.of(&workload.stored);
        let earlier = workload.others(&workload.stored);
        let not_ready = target.is_some_and(|pods| pods.running > 0 && pods.ready == 0);
        let trouble = || trouble(workload).map(Why::Pods);
        let shared = || (component == Component::Standalone && workload.is_rolling && not_ready && earlier > 0).then_some(Why::SharedStore);
        let rival = || {
            let roles = component.session_roles().iter().copied();
            let held =
                roles.filter(|role| self.sessions_of(*role).any(|session| session.is_active && session.holder.is_some_and(|holder| holder != component)));
            if not_ready { held.map(Why::HandoverBlocked).next() } else { None }
        };
        let drain = || (gate == Gate::OldPodsGone && earlier > 0).then_some(Why::DrainStuck(earlier));
        let stale = || {
            let roles = component.session_roles().iter().copied();
            let mut stale = roles.filter(|role| self.sessions_of(*role).any(|session| session.is_active && session.holder.is_none()));
            if gate == Gate::ActiveSession { stale.next().map(Why::SessionStuck) } else { None }
        };
        trouble().or_else(shared).or_else(rival).or_else(drain).or_else(stale)
    }

    /// A wait within the limit of a component, a stop after it.
    pub(super) fn overdue(&self, component: Option<Component>, since: Moment, waiting: Waiting, why: Option<Why>) -> Action {
        self.overdue_after(component, since, self.plan.limits.component_seconds, waiting, why)
    }

    fn overdue_after(&self, component: Option<Component>, since: Moment, seconds: u64, waiting: Waiting, why: Option<Why>) -> Action {
        let until = since.plus(seconds);
        if self.now < until {
            return Action::Wait(Wait { what: waiting, since: Some(since), until: Some(until) });
        }
        self.failed(Stalled { component, why: why.unwrap_or(Why::Deadline(waiting)), since })
    }

    /// A failure leaves the rest held, or turns back where that was asked for and there is a way.
    fn failed(&self, stalled: Stalled) -> Action {
        let turns = self.plan.on_failure == OnFailure::Rollback && self.plan.course == Course::Forwards && !self.order.migration;
        if turns && self.closed().is_none() { Action::Do(Deed::TurnBack(stalled)) } else { Action::Stop(Stop::Stalled(stalled)) }
    }
}

/// What keeps pods of the stored template from becoming ready.
fn trouble(workload: &Workload) -> Option<Trouble> {
    workload.pods.iter().filter(|pods| pods.template == workload.stored).find_map(|pods| pods.trouble)
}

/// What no time mends.
fn never(component: Component, workload: &Workload, gate: Gate) -> Option<Why> {
    match workload.hold {
        Hold::Foreign => Some(Why::PausedByOther),
        _ if gate == Gate::ActiveSession && component.is_coordinator() && workload.wanted == 0 => Some(Why::ScaledToZero),
        _ => None,
    }
}

/// What is missing for as many pods of a template as wanted.
fn started(workload: &Workload, template: &Template) -> Option<String> {
    let there = workload.of(template).map_or(0, |pods| pods.running);
    (!workload.is_seen || there < workload.wanted).then(|| format!("{there} of {} started", workload.wanted))
}

/// What is missing for as many ready pods of a template as wanted.
fn ready(workload: &Workload, template: &Template) -> Option<String> {
    let there = workload.of(template).map_or(0, |pods| pods.ready);
    (!workload.is_seen || there < workload.wanted).then(|| format!("{there} of {} ready", workload.wanted))
}

fn left(pods: u32) -> Option<String> {
    (pods > 0).then(|| format!("{pods} earlier pods left"))
}

impl Pods {
    /// Whether any pod is there.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.all() > 0
    }
}
