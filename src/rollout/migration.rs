//! The metadata migration of 2.2: stop, fence, back up, verify, migrate, verify; and the way back from every point of it.

use std::sync::Arc;

use super::action::{Action, Deed, MigrationStop, Stalled, Stop, Wait, Waiting, Why};
use super::component::Component;
use super::decide::Round;
use super::observed::{Backup, Hold, Job, JobKind, JobState, Known, Layout, Moment, Workload};

impl Round<'_> {
    /// What is due before the first step, on the way forwards.
    pub(super) fn migration(&self) -> Option<Action> {
        if !self.order.migration {
            return self.fence_left();
        }
        self.running_job().or_else(|| match self.layout() {
            Err(action) => Some(action),
            Ok(Layout::V22) => self.migrated(),
            Ok(Layout::V21) => self.failure().map_or_else(|| self.migrate(), |why| Some(self.undo(MigrationStop::Failed(why)))),
            Ok(other) => Some(self.broken(other)),
        })
    }

    /// What is due before components are taken back. Once one of the later version was let go, there is no way back.
    pub(super) fn migration_back(&self) -> Option<Action> {
        if !self.order.migration || self.closed().is_some() {
            return None;
        }
        self.running_job().or_else(|| match self.layout() {
            Err(action) => Some(action),
            Ok(Layout::V21) if !self.observed.is_stopped() => None,
            Ok(Layout::V21) => self.put_back(),
            Ok(_) => Some(self.restore()),
        })
    }

    /// Why metadata could not be migrated, where that is due: asked before the first store or queue is let go, too.
    pub(super) fn unfit_to_migrate(&self) -> Option<Action> {
        if !self.order.migration || self.observed.is_stopped() {
            return None;
        }
        match self.layout() {
            Err(action) => Some(action),
            Ok(Layout::V21) => self.fit_to_stop(),
            Ok(Layout::V22) => self.inconsistent(),
            Ok(other) => Some(self.broken(other)),
        }
    }

    /// A fence belongs to a migration.
    fn fence_left(&self) -> Option<Action> {
        let stalled = Stalled { component: None, why: Why::FenceLeft, since: self.now };
        self.observed.metadata.is_fenced.then_some(Action::Stop(Stop::Stalled(stalled)))
    }

    fn layout(&self) -> Result<Layout, Action> {
        match &self.observed.metadata.layout {
            Known::Yes(layout) => Ok(*layout),
            Known::No(why) => Err(stop(MigrationStop::LayoutUnknown(why.clone()))),
        }
    }

    fn job(&self, kind: JobKind) -> Option<&Job> {
        self.observed.metadata.jobs.get(&kind)
    }

    /// Nothing else is done while a Job may still write.
    fn running_job(&self) -> Option<Action> {
        let active = self.observed.metadata.jobs.iter().find_map(|(kind, job)| match &job.state {
            JobState::Active(lacks) => Some((*kind, lacks.clone(), job.since)),
            JobState::Succeeded | JobState::Failed(_) => None,
        });
        let (kind, lacks, since) = active?;
        let until = since.plus(self.plan.limits.job_seconds);
        if self.now >= until {
            return Some(stop(MigrationStop::Overdue(kind)));
        }
        Some(Action::Wait(Wait { what: Waiting::Job(kind, lacks), since: Some(since), until: Some(until) }))
    }

    /// Why this attempt failed, if it did.
    fn failure(&self) -> Option<Arc<str>> {
        let failed = |kind: JobKind| match &self.job(kind)?.state {
            JobState::Failed(why) => Some(Arc::from(format!("{}: {why}", kind.name()))),
            _ => None,
        };
        let bad = || match &self.observed.metadata.backup {
            Backup::Bad(why) => Some(Arc::from(format!("the backup is not what is in etcd: {why}"))),
            _ => None,
        };
        // A tool that succeeds and changes nothing found the versions compatible, which they are not.
        let idle = || self.has_ended_well(JobKind::Migrate).then(|| Arc::from("the tool ended well and migrated nothing"));
        // The first that failed is why; a migration that is barred after it says nothing.
        [JobKind::Backup, JobKind::Verify, JobKind::Migrate].into_iter().find_map(failed).or_else(bad).or_else(|| {
            // After a restore the migration is undone, whatever its Job said.
            if self.has_ended_well(JobKind::Restore) { Some(Arc::from("it was undone")) } else { idle() }
        })
    }

    fn has_ended_well(&self, kind: JobKind) -> bool {
        self.job(kind).is_some_and(|job| job.state == JobState::Succeeded)
    }

    /// Step by step to migrated metadata; each step leaves a trace that the next round finds.
    fn migrate(&self) -> Option<Action> {
        self.fit_to_stop()
            .or_else(|| self.stopped())
            .or_else(|| self.once(JobKind::Backup, self.observed.metadata.backup != Backup::None))
            .or_else(|| self.once(JobKind::Verify, self.observed.metadata.backup == Backup::Verified))
            .or_else(|| self.once(JobKind::Migrate, false))
    }

    /// Before anything stops: all that would start the version before is held, sessions can be read, and the time is right.
    fn fit_to_stop(&self) -> Option<Action> {
        for (component, workload) in self.in_order() {
            match &workload.hold {
                Hold::Held => {}
                Hold::Blocked(why) => return Some(Action::Stop(Stop::Blocked(component.name().into(), why.clone()))),
                Hold::None | Hold::Foreign => return Some(stop(MigrationStop::NotHeld(component))),
            }
        }
        if let Known::No(why) = &self.observed.sessions {
            return Some(stop(MigrationStop::SessionsUnknown(why.clone())));
        }
        self.in_order().next().and_then(|(component, _)| self.not_now(component))
    }

    /// Everything is stopped and stays so: no replicas, a fence, no pod, no session.
    fn stopped(&self) -> Option<Action> {
        let stop = |(component, workload)| self.stop(component, workload);
        self.in_order()
            .find(|(_, workload)| workload.wanted > 0 && workload.stopped.is_none())
            .map(stop)
            .or_else(|| (!self.observed.metadata.is_fenced).then_some(Action::Do(Deed::Fence)))
            // Behind the fence replicas that an applier puts back are no pods; they only keep those that live.
            .or_else(|| self.in_order().find(|(_, workload)| workload.wanted > 0 && workload.running() > 0).map(stop))
            .or_else(|| self.no_pods())
            .or_else(|| self.no_sessions())
    }

    /// Of what an applier put back meanwhile, the first count is the one to remember.
    fn stop(&self, component: Component, workload: &Workload) -> Action {
        Action::Do(Deed::Stop(component, workload.stamp.clone(), workload.stopped.unwrap_or(workload.wanted)))
    }

    fn no_pods(&self) -> Option<Action> {
        let left: u32 = self.observed.workloads.values().map(Workload::all_pods).sum();
        let since = self.observed.workloads.values().map(|workload| workload.moved).max().unwrap_or(self.now);
        self.within(left > 0, since, self.plan.limits.component_seconds, Waiting::NoPods(left), MigrationStop::PodsLeft(left))
    }

    fn no_sessions(&self) -> Option<Action> {
        let sessions = match &self.observed.sessions {
            Known::Yes(sessions) => sessions,
            Known::No(why) => return Some(stop(MigrationStop::SessionsUnknown(why.clone()))),
        };
        let oldest = sessions.iter().min_by_key(|session| session.since)?;
        // They end some time after the last pod, not after they began.
        let emptied = self.observed.workloads.values().map(|workload| workload.moved).max().unwrap_or(oldest.since);
        let limit = self.plan.limits.session_seconds;
        let owners: Vec<&str> = sessions.iter().map(|session| &*session.owner).collect();
        self.within(true, emptied, limit, Waiting::NoSessions(sessions.len()), MigrationStop::SessionLeft(owners.join("; ").into(), emptied))
    }

    fn within(&self, waits: bool, since: Moment, seconds: u64, what: Waiting, late: MigrationStop) -> Option<Action> {
        let until = since.plus(seconds);
        match (waits, self.now < until) {
            (false, _) => None,
            (true, true) => Some(Action::Wait(Wait { what, since: Some(since), until: Some(until) })),
            (true, false) => Some(stop(late)),
        }
    }

    /// A Job that runs once in an attempt. Where it ended and its effect is not seen yet, that is waited for.
    fn once(&self, kind: JobKind, is_done: bool) -> Option<Action> {
        match self.job(kind) {
            _ if is_done => None,
            None => Some(Action::Do(Deed::Run(kind))),
            Some(job) => {
                let until = job.since.plus(self.plan.limits.job_seconds);
                self.within(
                    true,
                    job.since,
                    until.since(job.since),
                    Waiting::Job(kind, Some("its result is not seen yet".into())),
                    MigrationStop::Overdue(kind),
                )
            }
        }
    }

    /// The metadata is of the later layout: first nothing may start the version before, then the fence goes, then the steps start what is stopped.
    fn migrated(&self) -> Option<Action> {
        if matches!(self.job(JobKind::Migrate).map(|job| &job.state), Some(JobState::Failed(_))) {
            return Some(self.restore());
        }
        let switch = || self.in_order().find_map(|(component, workload)| self.switch(component, workload));
        self.inconsistent().or_else(switch).or_else(|| self.unfence())
    }

    /// The version before runs on metadata of the later layout.
    fn inconsistent(&self) -> Option<Action> {
        let from = self.plan.pair.from;
        let is_earlier = |workload: &Workload| workload.pods.iter().any(|pods| pods.template.is_of(from) && pods.running > 0);
        self.observed.workloads.values().any(is_earlier).then(|| stop(MigrationStop::Inconsistent))
    }

    /// Lets a stopped workload take on the stored template, while nothing of it is wanted: a ReplicaSet of the version before that wants pods gets them when the fence goes.
    fn switch(&self, component: Component, workload: &Workload) -> Option<Action> {
        match &workload.hold {
            Hold::Held if self.observed.is_stopped() && workload.wanted > 0 => Some(self.stop(component, workload)),
            Hold::Held if self.observed.is_stopped() => Some(Action::Do(Deed::Release(component, workload.stamp.clone()))),
            Hold::Blocked(why) => Some(Action::Stop(Stop::Blocked(component.name().into(), why.clone()))),
            Hold::Held | Hold::None | Hold::Foreign => None,
        }
    }

    fn unfence(&self) -> Option<Action> {
        self.observed.metadata.is_fenced.then_some(Action::Do(Deed::Unfence))
    }

    /// Neither layout: a migration of this attempt was interrupted, or it is none of ours.
    fn broken(&self, layout: Layout) -> Action {
        if self.job(JobKind::Migrate).is_some() {
            return self.restore();
        }
        stop(match layout {
            Layout::Empty => MigrationStop::Empty,
            Layout::Mixed => MigrationStop::Mixed,
            Layout::Undecided | Layout::V21 | Layout::V22 => MigrationStop::Undecided,
        })
    }

    /// Puts the metadata of a verified backup back. Without one nothing is touched.
    fn restore(&self) -> Action {
        if self.observed.metadata.backup != Backup::Verified {
            return stop(MigrationStop::Mixed);
        }
        if let Some(action) = self.stopped() {
            return action;
        }
        match self.job(JobKind::Restore).map(|job| &job.state) {
            None => Action::Do(Deed::Run(JobKind::Restore)),
            Some(JobState::Failed(why)) => stop(MigrationStop::Restore(why.clone())),
            Some(_) => stop(MigrationStop::Restore("it ended well, and the metadata is not of the earlier layout".into())),
        }
    }

    /// The metadata is as it was: the version before starts again, then it is told why.
    fn undo(&self, why: MigrationStop) -> Action {
        self.put_back().unwrap_or_else(|| stop(why))
    }

    /// Starts the version before, on its own layout: first nothing may start the later version.
    fn put_back(&self) -> Option<Action> {
        let takes_back = |(component, workload): (Component, &Workload)| {
            let is_let_go = !workload.is_held() && workload.stored.is_of(self.plan.pair.to);
            is_let_go.then(|| Action::Do(Deed::Revert(component, workload.stamp.clone())))
        };
        let starts = |(component, workload): (Component, &Workload)| {
            let replicas = workload.stopped?;
            Some(Action::Do(Deed::Start(component, workload.stamp.clone(), replicas)))
        };
        let bar = || self.job(JobKind::Migrate).is_none().then_some(Action::Do(Deed::Bar(JobKind::Migrate)));
        bar().or_else(|| self.in_order().find_map(takes_back)).or_else(|| self.unfence()).or_else(|| self.in_order().find_map(starts))
    }
}

fn stop(why: MigrationStop) -> Action {
    Action::Stop(Stop::Migration(why))
}
