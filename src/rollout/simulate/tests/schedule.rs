//! One schedule: everything that can happen happens in a random order, then all is left to settle.

use std::collections::BTreeMap;

use super::invariants::Seen;
use super::scenarios::{Scenario, Turn};
use super::{Decide, Random};
use crate::rollout::action::{Action, Deed, MigrationStop, Stop};
use crate::rollout::component::Component;
use crate::rollout::observed::{Hold, Observed};
use crate::rollout::orders::Orders;
use crate::rollout::plan::{Course, OnFailure, Plan};
use crate::rollout::simulate::World;

/// Random events before all is left to settle.
const EVENTS: usize = 220;

/// Rounds that settling may take.
const ROUNDS: usize = 400;

/// A controller: what it sees, and what it decided and has not written yet.
struct Controller {
    view: Observed,
    plan: Plan,
    pending: Option<(Deed, Course)>,
    /// It does nothing for so many events.
    frozen: usize,
}

pub(super) struct Schedule<'s> {
    scenario: &'s Scenario,
    decide: Decide,
    random: Random,
    world: World,
    plan: Plan,
    controllers: Vec<Controller>,
    seen: Seen,
    components: Vec<Component>,
    /// Objects that the applier has yet to write, in its own order.
    unwritten: Vec<Component>,
    applier: Applier,
    /// Pods that may still be hurt.
    harm: usize,
    /// When a person steps in.
    turn_at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Applier {
    Idle,
    Writing,
    Ended,
}

impl<'s> Schedule<'s> {
    pub(super) fn new(scenario: &'s Scenario, seed: u64, decide: Decide) -> Self {
        let mut random = Random::new(seed + 1);
        let mut setting = scenario.setting.clone();
        setting.dependencies.truncate(random.below(3));
        let mut world = World::new(setting, &scenario.order);
        world.ills = scenario.ills;
        let plan = Plan { on_failure: scenario.on_failure, takes_partial: scenario.is_partial, ..Plan::new(scenario.setting.pair) };
        let controllers = (0..1 + random.below(2)).map(|_| Controller { view: world.truth.clone(), plan: plan.clone(), pending: None, frozen: 0 }).collect();
        let mut unwritten: Vec<Component> = scenario.setting.after.keys().copied().collect();
        for at in (1..unwritten.len()).rev() {
            unwritten.swap(at, random.below(at + 1));
        }
        let withheld = if scenario.is_partial { unwritten.pop() } else { None };
        Self {
            scenario,
            decide,
            world,
            plan,
            controllers,
            seen: Seen::without(withheld),
            components: scenario.order.steps.iter().map(|step| step.component).collect(),
            unwritten,
            applier: Applier::Idle,
            harm: if scenario.ills.never_ready.is_some() { 0 } else { random.below(4) },
            turn_at: 20 + random.below(EVENTS),
            random,
        }
    }

    /// The end that it came to.
    pub(super) fn run(mut self) -> Result<String, String> {
        for event in 0..EVENTS {
            if event == self.turn_at {
                self.turn();
            }
            self.event()?;
            self.seen.look(&self.world, &self.scenario.order)?;
        }
        self.settle()
    }

    fn component(&mut self) -> Component {
        self.components[self.random.below(self.components.len())]
    }

    fn event(&mut self) -> Result<(), String> {
        let controller = self.random.below(self.controllers.len());
        if self.controllers[controller].frozen > 0 {
            self.controllers[controller].frozen -= 1;
            self.physics();
            return Ok(());
        }
        match self.random.below(20) {
            0 => (0..1 + self.random.below(4)).for_each(|_| self.apply()),
            1..=4 => self.decide(controller),
            5..=8 => return self.write(controller),
            9 | 10 => self.deliver(controller),
            11 => self.trouble(controller),
            _ => (0..4).for_each(|_| self.physics()),
        }
        Ok(())
    }

    /// One step of the applier.
    fn apply(&mut self) {
        match self.applier {
            Applier::Idle => {
                self.applier = Applier::Writing;
                if self.scenario.deletes_first {
                    self.world.end(&self.scenario.setting.after);
                }
                self.world.begin();
            }
            Applier::Writing => match self.unwritten.pop() {
                Some(component) => self.world.write(component),
                None => {
                    self.applier = Applier::Ended;
                    self.world.end(&self.scenario.setting.after);
                }
            },
            Applier::Ended => {}
        }
    }

    /// The controller decides on what it sees; the upgrade and the Helm revision it reads anew.
    fn decide(&mut self, number: usize) {
        let (decide, now, arrival) = (self.decide, self.world.now, self.world.truth.arrival);
        let controller = &mut self.controllers[number];
        controller.view.arrival = arrival;
        controller.plan.clone_from(&self.plan);
        if let (None, Action::Do(deed)) = (&controller.pending, decide(&controller.view, &controller.plan, Orders::embedded(), now)) {
            controller.pending = Some((deed, controller.plan.course));
        }
    }

    fn write(&mut self, number: usize) -> Result<(), String> {
        let Some((deed, course)) = self.controllers[number].pending.take() else { return Ok(()) };
        self.carry_out(&deed, course).map(|_| ())
    }

    fn carry_out(&mut self, deed: &Deed, course: Course) -> Result<bool, String> {
        let checked = self.seen.write(&self.world, &self.scenario.order, deed, course);
        let is_done = self.world.carry_out(deed);
        if is_done {
            checked?;
            if matches!(deed, Deed::TurnBack(_)) && self.plan.course == Course::Forwards {
                self.plan.course = Course::Back;
                self.plan.epoch += 1;
            }
        }
        Ok(is_done)
    }

    /// A watch delivers one object, or everything. What is not delivered is lost or late.
    fn deliver(&mut self, number: usize) {
        let component = self.component();
        let (everything, rest) = (self.random.once_in(2), self.random.once_in(2));
        let (truth, plan) = (&self.world.truth, &self.plan);
        let controller = &mut self.controllers[number];
        if everything {
            (controller.view, controller.plan) = (truth.clone(), plan.clone());
            return;
        }
        match truth.workloads.get(&component) {
            Some(workload) => drop(controller.view.workloads.insert(component, workload.clone())),
            None => drop(controller.view.workloads.remove(&component)),
        }
        if rest {
            let view = &mut controller.view;
            (view.sessions, view.metadata) = (truth.sessions.clone(), truth.metadata.clone());
            (view.dependencies, view.is_recorded) = (truth.dependencies.clone(), truth.is_recorded);
        }
    }

    /// Somebody dies, falls ill, or interferes.
    fn trouble(&mut self, number: usize) {
        let component = self.component();
        match self.random.below(5) {
            4 => self.controllers[number].frozen = self.random.below(100),
            0 => {
                let controller = &mut self.controllers[number];
                (controller.view, controller.plan, controller.pending) = (self.world.truth.clone(), self.plan.clone(), None);
            }
            1 if self.harm > 0 => {
                let dies = self.random.once_in(2);
                self.harm -= usize::from(self.world.hurt(component, dies));
            }
            2 if self.scenario.order.migration => self.world.scale_back(component),
            _ => self.world.now = self.world.now.plus(self.random.below(20) as u64),
        }
    }

    fn physics(&mut self) {
        let component = self.component();
        match self.random.below(8) {
            0 => {
                for role in Component::ALL {
                    if self.random.once_in(2) {
                        self.world.session(role);
                    }
                }
            }
            1 => self.world.complete_dependency(),
            2 if self.random.once_in(2) => self.world.begin_job(),
            2 => {
                let succeeds = !self.scenario.jobs_fail || !self.random.once_in(4);
                self.world.end_job(succeeds);
            }
            _ => {
                self.world.reconcile(component);
                self.world.ready(component);
                self.world.gone(component);
            }
        }
    }

    /// A person steps in.
    fn turn(&mut self) {
        if self.scenario.turn == Turn::None {
            return;
        }
        self.plan.course = Course::Back;
        self.plan.epoch += 1;
        if self.scenario.turn == Turn::Rollback && self.applier != Applier::Idle {
            self.applier = Applier::Ended;
            let before = self.scenario.setting.before.clone();
            before.keys().for_each(|component| self.world.write_back(*component));
            self.world.write_dependencies_back();
            self.world.end(&before);
        }
    }

    /// Everything that is under way ends, nothing more goes wrong, and the controllers see what is.
    fn settle(mut self) -> Result<String, String> {
        while self.applier == Applier::Writing || (self.plan.course == Course::Forwards && self.applier == Applier::Idle) {
            self.apply();
        }
        for number in 0..self.controllers.len() {
            self.write(number)?;
        }
        for _ in 0..ROUNDS {
            self.rest()?;
            match (self.decide)(&self.world.truth, &self.plan, Orders::embedded(), self.world.now) {
                Action::Do(deed) => {
                    if !self.carry_out(&deed, self.plan.course)? {
                        return Err(format!("no progress: {deed:?} is refused although nothing moves"));
                    }
                    self.seen.look(&self.world, &self.scenario.order)?;
                }
                Action::Wait(_) => self.world.now = self.world.now.plus(60),
                Action::Stop(stop) => return self.stopped(&stop),
                Action::Done(_) => return self.done(),
            }
        }
        let action = (self.decide)(&self.world.truth, &self.plan, Orders::embedded(), self.world.now);
        Err(format!("no progress: {action:?}"))
    }

    /// All that moves by itself, until nothing does.
    fn rest(&mut self) -> Result<(), String> {
        let mut moves = true;
        while moves {
            moves = false;
            for at in 0..self.components.len() {
                let component = self.components[at];
                moves |= self.world.reconcile(component) | self.world.ready(component) | self.world.gone(component);
            }
            for role in Component::ALL {
                moves |= self.world.session(role);
            }
        }
        self.world.complete_dependency();
        self.world.begin_job();
        let succeeds = !self.scenario.jobs_fail || !self.random.once_in(4);
        self.world.end_job(succeeds);
        self.seen.look(&self.world, &self.scenario.order)
    }

    fn done(&self) -> Result<String, String> {
        self.replicas(&self.scenario.setting.after)?;
        let to = self.scenario.setting.pair.to;
        let serves = self.world.truth.workloads.values().all(|workload| workload.pods.iter().all(|pods| pods.template.is_of(to)));
        if serves { Ok("Done".into()) } else { Err("no progress: done, and pods of the version before are left".into()) }
    }

    fn replicas(&self, wanted: &BTreeMap<Component, u32>) -> Result<(), String> {
        for (component, workload) in &self.world.truth.workloads {
            let is_as_wanted = wanted.get(component).is_none_or(|replicas| workload.wanted == *replicas && workload.stopped.is_none());
            if !is_as_wanted {
                return Err(format!("replicas of {component} are {} and not {:?}", workload.wanted, wanted.get(component)));
            }
        }
        Ok(())
    }

    /// Nothing goes on without a person: the right ones only, with the rest held.
    fn stopped(&self, stop: &Stop) -> Result<String, String> {
        let scenario = self.scenario;
        let is_expected = match stop {
            Stop::WentBack | Stop::NoWayBack(..) | Stop::NeedsApplier(_) => scenario.turn != Turn::None || scenario.on_failure == OnFailure::Rollback,
            Stop::Stalled(stalled) => scenario.ills.never_ready.is_some() && stalled.component == scenario.ills.never_ready,
            Stop::ChangeIncomplete(missing) => missing.iter().copied().eq(self.seen.withheld),
            Stop::Migration(MigrationStop::Failed(_) | MigrationStop::Restore(_)) => scenario.jobs_fail,
            _ => false,
        };
        if !is_expected {
            return Err(format!("no progress: {stop:?}"));
        }
        if !matches!(stop, Stop::NoWayBack(..) | Stop::Migration(MigrationStop::Restore(_))) && scenario.order.migration {
            self.replicas(&scenario.setting.before)?;
        }
        if let Stop::Stalled(stalled) = stop {
            self.stay_held(stalled.component)?;
        }
        if *stop == Stop::WentBack {
            self.nothing_is_left()?;
        }
        Ok(stop.reason().to_owned())
    }

    /// Once the applier has taken the change back, too: no store waits, and no component that the version before does not have.
    fn nothing_is_left(&self) -> Result<(), String> {
        let truth = &self.world.truth;
        if truth.workloads.values().any(|workload| workload.before.is_some() && workload.is_held()) {
            return Ok(());
        }
        if let Some((name, _)) = truth.dependencies.iter().find(|(_, dependency)| dependency.hold != Hold::None || !dependency.is_complete) {
            return Err(format!("it went back, and {name} still waits"));
        }
        let left = truth.workloads.keys().find(|component| !self.scenario.setting.before.contains_key(component));
        left.map_or(Ok(()), |component| Err(format!("it went back, and {component} is left")))
    }

    /// What comes after a step that failed.
    fn stay_held(&self, failed: Option<Component>) -> Result<(), String> {
        let target = self.scenario.setting.pair.to;
        for step in self.scenario.order.steps.iter().skip_while(|step| Some(step.component) != failed).skip(1) {
            let is_let_go = |workload: &crate::rollout::observed::Workload| workload.stored.is_of(target) && !workload.is_held();
            if self.world.truth.workloads.get(&step.component).is_some_and(is_let_go) {
                return Err(format!("{} did not stay held", step.component));
            }
        }
        Ok(())
    }
}
