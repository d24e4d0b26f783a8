//! Deeds carried out on the imagined cluster, refused where its API server would refuse them; and what Jobs do.

use super::World;
use crate::rollout::action::Deed;
use crate::rollout::component::Component;
use crate::rollout::observed::{Backup, Hold, Job, JobKind, JobState, Known, Layout, Stamp, Workload};

impl World {
    /// Carries a deed out; false where it is refused: the object moved on, or the name is taken.
    pub fn carry_out(&mut self, deed: &Deed) -> bool {
        match deed {
            Deed::Mark(component, stamp, wanted) => self.on(*component, stamp, |workload| (workload.is_marked, workload.is_kept) = (*wanted, *wanted)),
            Deed::Seal(component, stamp, epoch) => self.on(*component, stamp, |workload| workload.epoch = *epoch),
            Deed::Unhold(component, stamp) | Deed::Release(component, stamp) => self.on(*component, stamp, |workload| {
                workload.hold = Hold::None;
                workload.is_seen = false;
            }),
            Deed::Revert(component, stamp) => {
                let before = self.setting.pair.template_before();
                self.on(*component, stamp, |workload| {
                    workload.stored = before;
                    workload.hold = Hold::None;
                    workload.is_seen = false;
                })
            }
            Deed::Remove(component, stamp) | Deed::Discard(component, stamp) => {
                let is_taken = self.is_current(*component, stamp);
                if is_taken {
                    self.delete(*component);
                }
                is_taken
            }
            Deed::Stop(component, stamp, remembered) => self.on(*component, stamp, |workload| {
                workload.stopped = Some(*remembered);
                workload.wanted = 0;
                workload.is_seen = false;
            }),
            Deed::Start(component, stamp, replicas) => self.on(*component, stamp, |workload| {
                workload.stopped = None;
                workload.wanted = *replicas;
                workload.is_seen = false;
            }),
            Deed::ReleaseDependency(name, stamp) => self.release_dependency(name, stamp),
            Deed::Fence => set(&mut self.truth.metadata.is_fenced, true),
            Deed::Unfence => set(&mut self.truth.metadata.is_fenced, false),
            Deed::Run(kind) => self.make(*kind, JobState::Active(None)),
            Deed::Bar(kind) => self.make(*kind, JobState::Failed("barred".into())),
            Deed::Record => set(&mut self.truth.is_recorded, true),
            Deed::TurnBack(_) => true,
        }
    }

    fn is_current(&self, component: Component, stamp: &Stamp) -> bool {
        self.truth.workloads.get(&component).is_some_and(|workload| !workload.is_gone && (self.ills.takes_stale_writes || workload.stamp == *stamp))
    }

    fn on(&mut self, component: Component, stamp: &Stamp, change: impl FnOnce(&mut Workload)) -> bool {
        self.is_current(component, stamp) && self.change(component, true, change)
    }

    fn release_dependency(&mut self, name: &str, stamp: &Stamp) -> bool {
        let (next, now) = (self.stamp(), self.now);
        let Some(dependency) = self.truth.dependencies.get_mut(name).filter(|dependency| dependency.stamp == *stamp) else { return false };
        dependency.hold = Hold::None;
        dependency.was_let_go = true;
        dependency.is_complete = false;
        dependency.stamp = next;
        dependency.moved = now;
        true
    }

    fn make(&mut self, kind: JobKind, state: JobState) -> bool {
        let is_free = self.ills.takes_second_jobs || !self.truth.metadata.jobs.contains_key(&kind);
        if is_free {
            self.truth.metadata.jobs.insert(kind, Job { state, since: self.now });
        }
        is_free
    }

    /// The Job that runs, if one does.
    #[must_use]
    pub fn running_job(&self) -> Option<JobKind> {
        self.truth.metadata.jobs.iter().find(|(_, job)| matches!(job.state, JobState::Active(_))).map(|(kind, _)| *kind)
    }

    /// The Job that runs begins to write, if it is one that writes metadata.
    pub fn begin_job(&mut self) {
        if matches!(self.running_job(), Some(JobKind::Migrate | JobKind::Restore)) {
            self.truth.metadata.layout = Known::Yes(Layout::Mixed);
        }
    }

    /// The Job that runs ends; what it leaves where it fails is what it had begun.
    pub fn end_job(&mut self, succeeds: bool) {
        let Some(kind) = self.running_job() else { return };
        let state = if succeeds { JobState::Succeeded } else { JobState::Failed("injected".into()) };
        if let Some(job) = self.truth.metadata.jobs.get_mut(&kind) {
            job.state = state;
        }
        let metadata = &mut self.truth.metadata;
        match kind {
            _ if !succeeds => {}
            JobKind::Backup => metadata.backup = Backup::Unverified,
            JobKind::Verify => metadata.backup = Backup::Verified,
            JobKind::Migrate => metadata.layout = Known::Yes(Layout::V22),
            JobKind::Restore => metadata.layout = Known::Yes(Layout::V21),
        }
    }
}

fn set(field: &mut bool, value: bool) -> bool {
    *field = value;
    true
}
