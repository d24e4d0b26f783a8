//! What the controllers of Deployments, the scheduler and the nodes do, one pod at a time.

use super::World;
use crate::rollout::component::Component;
use crate::rollout::observed::{Hold, Pods, Template, Workload};

impl World {
    /// One step of a Deployment's controller; whether there was one to take.
    pub fn reconcile(&mut self, component: Component) -> bool {
        let Some(workload) = self.truth.workloads.get(&component) else { return false };
        if workload.hold == Hold::None && !workload.is_gone {
            self.serving.insert(component, workload.stored.clone());
        }
        let Some(template) = self.serving.get(&component).cloned() else { return self.see(component) };
        let wanted = if workload.is_gone { 0 } else { workload.wanted };
        let own = workload.of(&template).map_or(0, |pods| pods.running);
        let others: u32 = workload.pods.iter().filter(|pods| pods.template != template).map(|pods| pods.running).sum();
        let ready = workload.of(&template).map_or(0, |pods| pods.ready);
        let is_free = workload.is_rolling || workload.others(&template) == 0;
        let is_ill = workload.pods.iter().any(|pods| pods.template != template && pods.ready < pods.running);
        if others > 0 && (!workload.is_rolling || is_ill || ready.saturating_add(others) > wanted) {
            return self.change(component, true, |workload| end_one(workload, |pods| pods.template != template));
        }
        if own > wanted {
            return self.change(component, true, |workload| end_one(workload, |pods| pods.template == template));
        }
        if own < wanted && is_free && !self.truth.metadata.is_fenced {
            return self.change(component, true, |workload| start_one(workload, &template));
        }
        self.see(component)
    }

    fn see(&mut self, component: Component) -> bool {
        let is_new = self.truth.workloads.get(&component).is_some_and(|workload| !workload.is_seen);
        is_new && self.change(component, false, |workload| workload.is_seen = true)
    }

    /// One pod becomes ready, if one can.
    pub fn ready(&mut self, component: Component) -> bool {
        let Some(workload) = self.truth.workloads.get(&component) else { return false };
        let waits = |pods: &&Pods| pods.running > pods.ready && self.can_be_ready(component, &pods.template);
        let Some(template) = workload.pods.iter().find(waits).map(|pods| pods.template.clone()) else { return false };
        self.change(component, true, |workload| {
            workload.pods.iter_mut().filter(|pods| pods.template == template).for_each(|pods| pods.ready = pods.ready.saturating_add(1));
        })
    }

    fn can_be_ready(&self, component: Component, template: &Template) -> bool {
        let fails = *template == self.setting.pair.template_after() && self.ills.never_ready == Some(component);
        // A streaming node asks for a mix coordinator of its version or later; a coordinator without a standby waits for the session of the other kind.
        let is_current = |pods: &Pods| pods.running > 0 && pods.template.version >= template.version;
        let mix = || self.truth.workloads.get(&Component::MixCoord).is_some_and(|workload| workload.pods.iter().any(is_current));
        let rival = || component.is_coordinator() && !self.setting.active_standby && self.rivals(component);
        let misses_mix = component == Component::StreamingNode && !mix();
        !(fails || misses_mix || rival())
    }

    /// Whether pods of another workload do the same duty.
    fn rivals(&self, component: Component) -> bool {
        let shares = |other: Component| other.duties().iter().any(|duty| component.duties().contains(duty));
        self.truth.workloads.iter().any(|(other, workload)| *other != component && shares(*other) && workload.all_pods() > 0)
    }

    /// One terminating pod is gone.
    pub fn gone(&mut self, component: Component) -> bool {
        let Some(workload) = self.truth.workloads.get(&component) else { return false };
        if workload.pods.iter().all(|pods| pods.terminating == 0) {
            return false;
        }
        self.change(component, true, |workload| {
            if let Some(pods) = workload.pods.iter_mut().find(|pods| pods.terminating > 0) {
                pods.terminating -= 1;
            }
            workload.pods.retain(Pods::is_any);
        });
        self.collect(component);
        true
    }

    /// A pod falls ill, or dies.
    pub fn hurt(&mut self, component: Component, dies: bool) -> bool {
        let has = |pods: &Pods| if dies { pods.running > 0 } else { pods.ready > 0 };
        if !self.truth.workloads.get(&component).is_some_and(|workload| workload.pods.iter().any(has)) {
            return false;
        }
        self.change(component, true, |workload| {
            if let Some(pods) = workload.pods.iter_mut().find(|pods| has(pods)) {
                pods.ready = pods.ready.min(pods.running).saturating_sub(1);
                pods.running -= u32::from(dies);
            }
            workload.pods.retain(Pods::is_any);
        });
        self.collect(component);
        true
    }
}

fn start_one(workload: &mut Workload, template: &Template) {
    match workload.pods.iter_mut().find(|pods| pods.template == *template) {
        Some(pods) => pods.running = pods.running.saturating_add(1),
        None => workload.pods.push(Pods { template: template.clone(), running: 1, ready: 0, terminating: 0, trouble: None }),
    }
}

/// Deletes a pod, of a template with one that is not ready first.
fn end_one(workload: &mut Workload, is_due: impl Fn(&Pods) -> bool) {
    workload.pods.sort_by_key(|pods| pods.running == pods.ready);
    if let Some(pods) = workload.pods.iter_mut().find(|pods| is_due(pods) && pods.running > 0) {
        pods.running -= 1;
        pods.ready = pods.ready.min(pods.running);
        pods.terminating = pods.terminating.saturating_add(1);
    }
}
