//! Sessions in etcd: taken by pods, left behind by pods that are gone, ended by their lease.

use super::World;
use crate::model::version::MilvusVersion;
use crate::rollout::component::Component;
use crate::rollout::observed::{Known, Pods, Session};

impl World {
    /// One step of the session of a role: it is taken, loses its pod, or ends; whether there was one to take.
    pub fn session(&mut self, role: Component) -> bool {
        let holds = |session: &Session| session.holder.is_some_and(|holder| self.has_pods(holder, session.version));
        let now = self.now;
        let Known::Yes(sessions) = &self.truth.sessions else { return false };
        let at = sessions.iter().position(|session| session.role == role);
        let held = at.and_then(|at| sessions.get(at)).map(|session| (holds(session), session.holder));
        let candidate = if at.is_none() { self.candidate(role) } else { None };
        let Known::Yes(sessions) = &mut self.truth.sessions else { return false };
        match (at, held) {
            (Some(_), Some((true, _))) => return false,
            (Some(at), Some((false, None))) => drop(sessions.remove(at)),
            (Some(at), _) => sessions.iter_mut().skip(at).take(1).for_each(|left| (left.holder, left.since) = (None, now)),
            (None, _) => {
                let Some((holder, version)) = candidate else { return false };
                sessions.push(Session { role, is_active: role.is_coordinator(), version, holder: Some(holder), since: now, owner: role.name().into() });
            }
        }
        true
    }

    fn has_pods(&self, component: Component, version: Option<MilvusVersion>) -> bool {
        let is_version = |pods: &Pods| pods.template.version == version && pods.is_any();
        self.truth.workloads.get(&component).is_some_and(|workload| workload.pods.iter().any(is_version))
    }

    /// Who takes a session that nobody has: a ready pod of a coordinator that does the work, or any pod of a node.
    fn candidate(&self, role: Component) -> Option<(Component, Option<MilvusVersion>)> {
        let takes = |component: Component| if role.is_coordinator() { component.session_roles().contains(&role) } else { component == role };
        self.truth.workloads.iter().filter(|(component, _)| takes(**component)).find_map(|(component, workload)| {
            let pods = workload.pods.iter().find(|pods| pods.ready > 0 || (pods.running > 0 && !role.is_coordinator()))?;
            Some((*component, pods.template.version))
        })
    }
}
