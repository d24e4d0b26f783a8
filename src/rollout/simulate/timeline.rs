//! The timeline of an upgrade in an imagined cluster where nothing goes wrong: what runs when, and what is away meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::{Setting, World};
use crate::rollout::action::{Action, Deed};
use crate::rollout::component::{Component, Duty};
use crate::rollout::decide::next;
use crate::rollout::observed::{JobKind, Known, Moment, Workload};
use crate::rollout::orders::{Order, Orders, Refusal, StepKind};
use crate::rollout::plan::Plan;

/// Seconds between two looks at the cluster.
const TICK: u64 = 5;

/// Longer than any upgrade takes: a timeline that is not done then has no end.
const LONGEST: u64 = 4 * 3_600;

/// What is assumed of a cluster, in seconds. The sequence does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From the start of a pod until it is ready.
    pub ready: u64,
    /// From the end of a pod until it is gone.
    pub gone: u64,
    /// A query node's, which hands over its segments.
    pub drain: u64,
    /// The lease of a session whose pod is gone.
    pub lease: u64,
    /// A part of etcd, the object store or the queue.
    pub dependency: u64,
    /// A Job of the migration.
    pub job: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { ready: 30, gone: 10, drain: 60, lease: 60, dependency: 60, job: 120 }
    }
}

/// What runs when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Steps in their sequence.
    pub events: Vec<Event>,
    /// What is away, and when.
    pub away: Vec<Away>,
    /// How long all takes.
    pub seconds: u64,
    /// Whether it came to its end. If not, what it waits for.
    pub stuck: Option<String>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Seconds after the change has arrived.
    pub at: u64,
    /// What is done.
    pub what: String,
    /// Why now.
    pub why: Option<String>,
    /// From here on there is no way back.
    pub is_one_way: bool,
}

/// Something that nobody does for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// What: a coordinator, the proxy, or what an order says that fails meanwhile.
    pub what: String,
    /// Seconds after the change has arrived.
    pub from: u64,
    /// When it is there again.
    pub until: u64,
}

/// Draws the timeline of an upgrade.
///
/// # Errors
/// Why there is no order for it.
pub fn draw(setting: Setting, orders: &Orders, pace: Pace) -> Result<Timeline, Refusal> {
    let order = orders.find(&setting.pair)?;
    let plan = Plan::new(setting.pair);
    let mut world = World::new(setting, order);
    let components: Vec<Component> = world.setting.after.keys().copied().collect();
    world.begin();
    components.into_iter().for_each(|component| world.write(component));
    let mut drawing = Drawing { start: world.now, world, order, pace, events: Vec::new(), away: Vec::new(), open: BTreeMap::new(), begun: BTreeSet::new() };
    let stuck = drawing.run(&plan, orders);
    let seconds = drawing.elapsed();
    Ok(Timeline { events: drawing.events, away: drawing.away, seconds, stuck })
}

struct Drawing<'o> {
    world: World,
    order: &'o Order,
    pace: Pace,
    start: Moment,
    events: Vec<Event>,
    away: Vec<Away>,
    /// What is away now, since when.
    open: BTreeMap<String, u64>,
    /// Components whose step has begun.
    begun: BTreeSet<Component>,
}

impl Drawing<'_> {
    fn elapsed(&self) -> u64 {
        self.world.now.since(self.start)
    }

    /// Runs to the end; what it waits for, if there is none.
    fn run(&mut self, plan: &Plan, orders: &Orders) -> Option<String> {
        // The marks that keep an applier from deleting too early are put on before it ends.
        let wanted = self.world.setting.after.clone();
        let mut has_ended = false;
        while self.elapsed() < LONGEST {
            self.look();
            match next(&self.world.truth, plan, orders, self.world.now) {
                Action::Do(deed) => self.carry_out(&deed),
                Action::Wait(_) if !has_ended => {
                    self.world.end(&wanted);
                    has_ended = true;
                    self.start = self.world.now;
                }
                Action::Wait(wait) => {
                    if let Some(stuck) = self.tick(&wait.what.to_string()) {
                        return Some(stuck);
                    }
                }
                Action::Stop(stop) => return Some(stop.reason().to_owned()),
                Action::Done(_) => return None,
            }
        }
        Some("it takes longer than four hours".to_owned())
    }

    fn carry_out(&mut self, deed: &Deed) {
        if let Deed::Release(component, _) = deed {
            self.begun.insert(*component);
        }
        if let Some(what) = self.what(deed) {
            let component = deed.component();
            let step = component.and_then(|component| self.order.step(component));
            let closes = self.order.way_back(&self.world.setting.pair).closes_with;
            let lets_go = matches!(deed, Deed::Release(component, _) | Deed::Start(component, ..) if self.runs(*component) || matches!(deed, Deed::Start(..)));
            let why = step.filter(|_| matches!(deed, Deed::Release(..) | Deed::Start(..) | Deed::Remove(..))).map(|step| step.reason.clone());
            self.events.push(Event { at: self.elapsed(), what, why, is_one_way: lets_go && component.is_some() && component == closes });
        }
        self.world.carry_out(deed);
    }

    /// Whether a workload makes pods.
    fn runs(&self, component: Component) -> bool {
        self.world.truth.workloads.get(&component).is_some_and(|workload| workload.wanted > 0)
    }

    /// A deed in words; nothing for what nobody notices.
    fn what(&self, deed: &Deed) -> Option<String> {
        let is_new = |component: &Component| self.world.truth.workloads.get(component).is_some_and(|workload| workload.before.is_none());
        let pods = |component: &Component| {
            let wanted = self.world.truth.workloads.get(component).map_or(0, |workload| workload.wanted);
            if wanted == 1 { "1 pod".to_owned() } else { format!("{wanted} pods") }
        };
        Some(match deed {
            Deed::Mark(component, _, true) if self.order.step(*component).is_some_and(|step| step.kind == StepKind::Remove) => {
                format!("keep {component} until its turn")
            }
            Deed::ReleaseDependency(name, _) => format!("replace {name}"),
            Deed::Release(component, _) if !self.runs(*component) => format!("let {component} take on the later version, stopped"),
            Deed::Release(component, _) if is_new(component) => format!("start {component} ({})", pods(component)),
            Deed::Release(component, _) => format!("replace {component} ({})", pods(component)),
            Deed::Revert(component, _) => format!("take {component} back"),
            Deed::Remove(component, _) => format!("delete {component}"),
            Deed::Stop(component, ..) => format!("stop {component}"),
            Deed::Start(component, _, replicas) => format!("start {component} ({replicas} {})", if *replicas == 1 { "pod" } else { "pods" }),
            Deed::Fence => "put up the fence: no pod of the release may start".to_owned(),
            Deed::Unfence => "take the fence away".to_owned(),
            Deed::Run(JobKind::Backup) => "back up the metadata".to_owned(),
            Deed::Run(JobKind::Verify) => "compare the backup with etcd".to_owned(),
            Deed::Run(JobKind::Migrate) => "migrate the metadata".to_owned(),
            Deed::Run(JobKind::Restore) => "put the metadata back".to_owned(),
            Deed::Record => "complete".to_owned(),
            Deed::Mark(..) | Deed::Seal(..) | Deed::Unhold(..) | Deed::Bar(_) | Deed::TurnBack(_) | Deed::Discard(..) => return None,
        })
    }

    /// Some seconds pass; tells when nothing will move any more.
    fn tick(&mut self, waits_for: &str) -> Option<String> {
        self.world.now = self.world.now.plus(TICK);
        let now = self.world.now;
        let pace = self.pace;
        for component in self.order.steps.iter().map(|step| step.component) {
            let Some(moved) = self.world.truth.workloads.get(&component).map(|workload| workload.moved) else { continue };
            let passed = now.since(moved);
            let gone = if component == Component::QueryNode && !self.order.migration { pace.drain } else { pace.gone };
            if passed >= gone && self.has_terminating(component) {
                while self.world.gone(component) {}
            } else if passed >= pace.ready {
                while self.world.ready(component) {}
            }
            while self.world.reconcile(component) {}
        }
        self.world
            .truth
            .dependencies
            .values_mut()
            .filter(|dependency| now.since(dependency.moved) >= pace.dependency)
            .for_each(|dependency| dependency.is_complete = true);
        for role in Component::ALL {
            if self.may_move(role) {
                self.world.session(role);
            }
        }
        self.end_job();
        (self.elapsed() >= LONGEST).then(|| waits_for.to_owned())
    }

    fn has_terminating(&self, component: Component) -> bool {
        self.world.truth.workloads.get(&component).is_some_and(|workload| workload.pods.iter().any(|pods| pods.terminating > 0))
    }

    /// A session that lost its pod ends with its lease where all is stopped; else whoever ended gave it up.
    fn may_move(&self, role: Component) -> bool {
        let Known::Yes(sessions) = &self.world.truth.sessions else { return false };
        let left = sessions.iter().find(|session| session.role == role && session.holder.is_none());
        left.is_none_or(|session| !self.order.migration || self.world.now.since(session.since) >= self.pace.lease)
    }

    fn end_job(&mut self) {
        let since = self.world.running_job().and_then(|kind| self.world.truth.metadata.jobs.get(&kind)).map(|job| job.since);
        if since.is_some_and(|since| self.world.now.since(since) >= self.pace.job) {
            self.world.end_job(true);
        }
    }

    /// Notes what is away, and what is there again.
    fn look(&mut self) {
        for duty in Duty::ALL {
            let does = |(component, workload): (&Component, &Workload)| component.duties().contains(&duty) && workload.pods.iter().any(|pods| pods.ready > 0);
            let is_away = !self.world.truth.workloads.iter().any(does);
            self.note(duty.name(), is_away);
        }
        let order = self.order;
        let pair = self.world.setting.pair;
        for window in order.windows.iter().filter(|window| window.holds_for(pair.to)) {
            let is_away = self.begun.contains(&window.from) && !self.is_replaced(window.until);
            self.note(&window.what, is_away);
        }
    }

    fn note(&mut self, what: &str, is_away: bool) {
        let at = self.elapsed();
        if is_away {
            self.open.entry(what.to_owned()).or_insert(at);
        } else if let Some(from) = self.open.remove(what) {
            self.away.push(Away { what: what.to_owned(), from, until: at });
        }
    }

    /// Whether all pods of a component are new and ready.
    fn is_replaced(&self, component: Component) -> bool {
        let target = self.world.setting.pair.template_after();
        self.world
            .truth
            .workloads
            .get(&component)
            .is_some_and(|workload| workload.others(&target) == 0 && workload.of(&target).is_some_and(|pods| pods.ready >= workload.wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::component::Topology;
    use crate::rollout::orders::Pair;
    use crate::rollout::simulate::setting;

    fn drawn(from: &str, to: &str, before: Topology, after: Topology, active_standby: bool) -> String {
        let pair = Pair { from: from.parse().unwrap(), to: to.parse().unwrap(), before, after };
        let order = Orders::embedded().find(&pair).unwrap();
        let setting = Setting { active_standby, ..setting(pair, order, |_| 1, &[Component::IndexNode]) };
        let timeline = draw(setting, Orders::embedded(), Pace::default()).unwrap();
        assert_eq!(timeline.stuck, None);
        let mark = |event: &Event| if event.is_one_way { " !" } else { "" };
        let events = timeline.events.iter().map(|event| format!("{:>4} {}{}", event.at, event.what, mark(event)));
        let away = timeline.away.iter().map(|away| format!("{} away {} to {}", away.what, away.from, away.until));
        events.chain(away).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn into_2_6_goes_by_the_order_and_shows_the_one_way_door() {
        let expected = "
   0 keep indexnode until its turn
   0 start streamingnode (1 pod)
   5 replace mixcoord (1 pod) !
  50 replace querynode (1 pod)
 145 replace datanode (1 pod)
 190 replace proxy (1 pod)
 235 delete indexnode
 250 complete
root coordinator away 10 to 50
data coordinator away 10 to 50
query coordinator away 10 to 50
changes of collections, partitions and indexes away 0 to 235
flush away 145 to 235
some writes away 190 to 235";
        assert_eq!(format!("\n{}", drawn("2.5.22", "2.6.15", Topology::MixCoordinator, Topology::Streaming, false)), expected);
    }

    #[test]
    fn a_migration_stops_everything_and_starts_in_order() {
        let expected = "
   0 stop standalone
   0 put up the fence: no pod of the release may start
  75 back up the metadata
 195 compare the backup with etcd
 315 migrate the metadata
 435 let standalone take on the later version, stopped
 435 take the fence away
 435 start standalone (1 pod) !
 470 complete
root coordinator away 5 to 470
data coordinator away 5 to 470
query coordinator away 5 to 470
proxy away 5 to 470";
        assert_eq!(format!("\n{}", drawn("2.1.4", "2.2.16", Topology::Standalone, Topology::Standalone, false)), expected);
    }

    #[test]
    fn every_order_draws_a_timeline_with_an_end() {
        for (from, to, before, after) in [
            ("2.0.2", "2.1.4", Topology::SeparateCoordinators, Topology::SeparateCoordinators),
            ("2.1.4", "2.2.16", Topology::SeparateCoordinators, Topology::SeparateCoordinators),
            ("2.2.3", "2.2.16", Topology::SeparateCoordinators, Topology::SeparateCoordinators),
            ("2.2.16", "2.5.22", Topology::SeparateCoordinators, Topology::SeparateCoordinators),
            ("2.5.22", "2.5.22", Topology::SeparateCoordinators, Topology::MixCoordinator),
            ("2.4.16", "2.5.22", Topology::Streaming, Topology::Streaming),
            ("2.6.0", "3.0.0", Topology::Streaming, Topology::Streaming),
            ("2.5.22", "2.6.15", Topology::Standalone, Topology::Standalone),
        ] {
            for active_standby in [true, false] {
                assert!(drawn(from, to, before, after, active_standby).contains(" complete"), "{from} {to}");
            }
        }
    }
}
