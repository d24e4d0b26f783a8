//! From what is seen of a release to what decisions are made from. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::Component;
use milvus_guard::rollout::observed::{Dependency, Hold, Moment, Pods, Stamp, Template, Trouble, Workload};

use super::seen;

/// All that is seen of one release at a moment.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Its Deployments of Milvus.
    pub workloads: Vec<Arc<seen::Workload>>,
    /// Their ReplicaSets.
    pub sets: Vec<Arc<seen::Set>>,
    /// Their pods.
    pub pods: Vec<Arc<seen::Pod>>,
    /// Its etcd, object store and queue.
    pub stores: Vec<Arc<seen::Store>>,
    /// Receipts of it.
    pub receipts: Vec<Arc<seen::Receipt>>,
    /// When a pod was last seen to go, by component: nothing else tells that.
    pub went: BTreeMap<Component, Moment>,
}

/// Digests of the templates that served before, by component.
pub type Before = BTreeMap<Component, Arc<str>>;

/// Workloads that were let go, and when they came the nearest to their end.
pub type Reached = BTreeMap<Component, Mark>;

/// What is remembered of stores and queues.
pub type Stores = BTreeMap<Arc<str>, KnownStore>;

/// What is remembered of a store or a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownStore {
    /// Since when it is waited for, where it is not complete.
    pub awaited: Option<Moment>,
    /// It was let go in this upgrade.
    pub was_let_go: bool,
}

/// When a workload was let go, and when it came the nearest to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When it was let go.
    pub let_go: Moment,
    /// When it came so near.
    pub reached: Moment,
}

impl Seen {
    /// Which Milvus of the release are there (`app.kubernetes.io/name`).
    #[must_use]
    pub fn labels(&self) -> BTreeSet<Arc<str>> {
        let of_pods = self.pods.iter().map(|pod| Arc::clone(&pod.label));
        self.workloads.iter().map(|workload| Arc::clone(&workload.label)).chain(of_pods).collect()
    }

    /// Only one Milvus of it.
    #[must_use]
    pub fn of(&self, label: &str) -> Self {
        Self {
            workloads: self.workloads.iter().filter(|workload| *workload.label == *label).cloned().collect(),
            pods: self.pods.iter().filter(|pod| *pod.label == *label).cloned().collect(),
            ..self.clone()
        }
    }

    /// The same with the versions that are said of images whose tags do not tell theirs.
    #[must_use]
    pub fn told(self, said: &BTreeMap<String, MilvusVersion>) -> Self {
        let of = |untold: &Option<Arc<str>>| untold.as_ref().and_then(|name| said.get(&**name)).copied();
        let as_said = |template: &Template, version| Template { digest: Arc::clone(&template.digest), version: Some(version) };
        let workload = |workload: Arc<seen::Workload>| match of(&workload.untold) {
            Some(version) => Arc::new(seen::Workload { template: as_said(&workload.template, version), ..(*workload).clone() }),
            None => workload,
        };
        let set = |set: Arc<seen::Set>| match of(&set.untold) {
            Some(version) => Arc::new(seen::Set { template: as_said(&set.template, version), ..(*set).clone() }),
            None => set,
        };
        let pod = |pod: Arc<seen::Pod>| match of(&pod.untold) {
            Some(version) => Arc::new(seen::Pod { version: Some(version), ..(*pod).clone() }),
            None => pod,
        };
        Self {
            workloads: self.workloads.into_iter().map(workload).collect(),
            sets: self.sets.into_iter().map(set).collect(),
            pods: self.pods.into_iter().map(pod).collect(),
            ..self
        }
    }

    /// The Deployment of a component.
    #[must_use]
    pub fn workload(&self, component: Component) -> Option<&seen::Workload> {
        self.workloads.iter().find(|workload| workload.component == component).map(|workload| &**workload)
    }

    /// Deployments of a component that another Deployment is of, too, each with what to do about it: nobody knows which of them the order means.
    #[must_use]
    pub fn doubles(&self) -> Vec<Arc<str>> {
        let mut all: Vec<&seen::Workload> = self.workloads.iter().map(|workload| &**workload).collect();
        all.sort_unstable_by(|a, b| (a.component, &a.name).cmp(&(b.component, &b.name)));
        let double = |pair: &[&seen::Workload]| match pair {
            [first, second] if first.component == second.component => {
                let (first, second, component, namespace) = (&first.name, &second.name, first.component, &first.release.namespace);
                let words = format!(
                    "{second} beside {first} (both are {component} of the release, and an order knows one: where replicaResourceGroups renders both, no order is known, and the change passes under break-glass only; else, kubectl -n {namespace} delete deployment the one that nothing renders)"
                );
                Some(words.into())
            }
            _ => None,
        };
        all.windows(2).filter_map(double).collect()
    }

    /// Workloads that are held, for whatever reason.
    pub fn held(&self) -> impl Iterator<Item = &seen::Workload> {
        self.workloads.iter().map(|workload| &**workload).filter(|workload| matches!(workload.hold, Hold::Held | Hold::Blocked(_)))
    }

    /// Whether anything of the release is held, its stores included.
    #[must_use]
    pub fn is_any_held(&self) -> bool {
        self.held().next().is_some() || self.stores.iter().any(|store| store.hold == Hold::Held)
    }

    /// Workloads that are held and never ran, where nothing is held but such, and nothing serves but their own version, if anything does: what held them may be over, and nobody writes them again.
    /// So it is where a release was installed while pods of an earlier one still ended.
    #[must_use]
    pub fn stranded(&self) -> Vec<&Arc<seen::Workload>> {
        let ran = |workload: &seen::Workload| {
            let is_its = |pod: &Arc<seen::Pod>| pod.component == workload.component && pod.label == workload.label;
            workload.stopped.is_some() || workload.epoch > 0 || self.sets.iter().any(|set| set.deployment == workload.name) || self.pods.iter().any(is_its)
        };
        let held: Vec<&Arc<seen::Workload>> = self.workloads.iter().filter(|workload| matches!(workload.hold, Hold::Held | Hold::Blocked(_))).collect();
        let running = self.versions();
        let may_join = |workload: &&Arc<seen::Workload>| {
            workload.hold == Hold::Held && !ran(workload) && running.iter().all(|version| version.is_some() && *version == workload.template.version)
        };
        if held.iter().all(may_join) { held } else { Vec::new() }
    }

    /// Whether Helm wrote any of it; Argo CD and `kubectl apply` keep no revision.
    #[must_use]
    pub fn is_helms(&self) -> bool {
        self.workloads.iter().any(|workload| workload.is_helms)
    }

    /// The versions that pods run, with how many that are not ending.
    #[must_use]
    pub fn versions(&self) -> BTreeSet<Option<MilvusVersion>> {
        self.pods.iter().filter(|pod| !pod.is_terminating).map(|pod| pod.version).collect()
    }

    /// Components that have pods which are not ending.
    #[must_use]
    pub fn serving(&self) -> BTreeSet<Component> {
        self.pods.iter().filter(|pod| !pod.is_terminating).map(|pod| pod.component).collect()
    }

    /// The template that serves of each component: that of most pods, or where none runs, that of the newest ReplicaSet.
    #[must_use]
    pub fn serving_templates(&self) -> Before {
        let serving = |workload: &Arc<seen::Workload>| {
            let own = self.sets.iter().filter(|set| set.deployment == workload.name);
            let most = own.max_by_key(|set| (self.running(set), set.revision))?;
            Some((workload.component, Arc::clone(&most.template.digest)))
        };
        self.workloads.iter().filter_map(serving).collect()
    }

    fn running(&self, set: &seen::Set) -> usize {
        self.pods.iter().filter(|pod| pod.set.as_ref() == Some(&set.name) && !pod.is_terminating).count()
    }

    /// Whether a proxy, or a standalone, is ready.
    #[must_use]
    pub fn has_ready_proxy(&self) -> bool {
        self.pods.iter().any(|pod| matches!(pod.component, Component::Proxy | Component::Standalone) && pod.is_ready)
    }

    /// When an object of the release was last written by other than controllers.
    #[must_use]
    pub fn written(&self) -> Moment {
        let stores = self.stores.iter().filter(|store| store.hold != Hold::None).map(|store| store.moved);
        self.workloads.iter().map(|workload| workload.written).chain(stores).max().unwrap_or_default()
    }

    /// The ReplicaSet of a component with this template.
    #[must_use]
    pub fn set_of(&self, component: Component, digest: &str) -> Option<&seen::Set> {
        let name = &self.workload(component)?.name;
        self.sets.iter().map(|set| &**set).find(|set| set.deployment == *name && *set.template.digest == *digest)
    }

    /// Workloads as decisions need them. `before`: the templates that served when the upgrade began; `since`: when this attempt began, before which nothing counts as too late.
    #[must_use]
    pub fn observe(&self, before: &Before, since: Moment, reached: &Reached) -> BTreeMap<Component, Workload> {
        let one = |workload: &Arc<seen::Workload>| self.observe_one(workload, before, since, reached.get(&workload.component));
        let live = self.workloads.iter().map(|workload| (workload.component, one(workload)));
        let mut all: BTreeMap<Component, Workload> = live.collect();
        for pod in &self.pods {
            let gone = all.entry(pod.component).or_insert_with(|| gone(before.get(&pod.component)));
            if gone.is_gone {
                let template = self.template_of(pod);
                gone.moved = gone.moved.max(pod.came).max(pod.ended.unwrap_or_default()).max(since);
                count(&mut gone.pods, pod, template);
            }
        }
        all
    }

    fn observe_one(&self, workload: &seen::Workload, before: &Before, since: Moment, mark: Option<&Mark>) -> Workload {
        let own = || self.pods.iter().filter(|pod| pod.component == workload.component);
        let mut pods = Vec::new();
        own().for_each(|pod| count(&mut pods, pod, self.template_of(pod)));
        if workload.is_refused && !pods.iter().any(|pods: &Pods| pods.template == workload.template && pods.trouble.is_some()) {
            refuse(&mut pods, &workload.template);
        }
        let sets = || self.sets.iter().filter(|set| set.deployment == workload.name);
        // Only what comes nearer to the end: earlier pods that fall ill and recover are no progress.
        let came = |pod: &Arc<seen::Pod>| Some(pod.came.max(pod.ready.unwrap_or_default())).filter(|_| self.template_of(pod) == workload.template);
        let made = sets().filter(|set| set.template == workload.template).map(|set| set.made);
        let moved = own().flat_map(|pod| came(pod).into_iter().chain(pod.ended)).chain(made);
        let moved = moved.chain(workload.progressed).chain(self.went.get(&workload.component).copied()).max();
        // Once it is let go, only what comes nearer than ever: pods that are evicted, crash or flap come and go for as long as they like. Those that were there then have their time to end.
        let is_earlier = |pod: &&Arc<seen::Pod>, mark: &Mark| pod.came <= mark.let_go && self.template_of(pod) != workload.template;
        let nearer = |mark: &Mark| own().filter(|pod| is_earlier(pod, mark)).filter_map(|pod| pod.ended).chain([mark.reached]).max();
        let moved = mark.filter(|_| workload.stopped.is_none()).map_or(moved, nearer);
        Workload {
            stamp: workload.stamp.clone(),
            stored: workload.template.clone(),
            before: before.get(&workload.component).map(|digest| self.known(workload, digest)),
            hold: workload.hold.clone(),
            wanted: workload.replicas,
            stopped: workload.stopped,
            pods,
            is_seen: workload.is_seen,
            is_rolling: workload.is_rolling,
            has_sets: sets().next().is_some(),
            is_gone: false,
            is_marked: workload.is_marked,
            is_kept: workload.is_kept,
            epoch: workload.epoch,
            moved: moved.unwrap_or(workload.written).max(since),
        }
    }

    fn known(&self, workload: &seen::Workload, digest: &Arc<str>) -> Template {
        if workload.template.digest == *digest {
            return workload.template.clone();
        }
        let found = self.sets.iter().find(|set| set.deployment == workload.name && set.template.digest == *digest);
        found.map_or_else(|| Template { digest: Arc::clone(digest), version: None }, |set| set.template.clone())
    }

    /// The template of a pod: that of its ReplicaSet; where that is not seen (yet), one of its own, which equals no other.
    fn template_of(&self, pod: &seen::Pod) -> Template {
        let set = pod.set.as_ref().and_then(|name| self.sets.iter().find(|set| set.name == *name));
        set.map_or_else(
            || Template { digest: format!("of {}", pod.set.as_ref().unwrap_or(&pod.name)).into(), version: pod.version },
            |set| set.template.clone(),
        )
    }

    /// Stores and queues as decisions need them, with what is remembered of them: those of which is not remembered since when they are waited for were let go, or fell, just now. They do not tell it
    /// themselves: a StatefulSet says nothing of its rollout, and our own writes count as nobody's.
    #[must_use]
    pub fn dependencies(&self, since: Moment, known: &Stores, now: Moment) -> BTreeMap<Arc<str>, Dependency> {
        let one = |store: &Arc<seen::Store>| {
            let known = known.get(&*store.name).copied().unwrap_or_default();
            let moved = store.moved.max(since).max(known.awaited.unwrap_or(now));
            let (stamp, hold) = (store.stamp.clone(), store.hold.clone());
            (Arc::clone(&store.name), Dependency { stamp, hold, was_let_go: known.was_let_go, is_complete: store.is_complete, moved })
        };
        self.stores.iter().map(one).collect()
    }
}

/// A workload of which only pods are left.
fn gone(before: Option<&Arc<str>>) -> Workload {
    let unknown = Template { digest: "gone".into(), version: None };
    Workload {
        stamp: Stamp::default(),
        stored: unknown,
        before: before.map(|digest| Template { digest: Arc::clone(digest), version: None }),
        hold: Hold::None,
        wanted: 0,
        stopped: None,
        pods: Vec::new(),
        is_seen: true,
        is_rolling: true,
        has_sets: false,
        is_gone: true,
        is_marked: false,
        is_kept: false,
        epoch: 0,
        moved: Moment::default(),
    }
}

fn count(all: &mut Vec<Pods>, pod: &seen::Pod, template: Template) {
    let at = all.iter().position(|pods| pods.template == template);
    let at = at.unwrap_or_else(|| {
        all.push(Pods { template, running: 0, ready: 0, terminating: 0, trouble: None });
        all.len().saturating_sub(1)
    });
    if let Some(pods) = all.get_mut(at) {
        pods.running = pods.running.saturating_add(u32::from(!pod.is_terminating));
        pods.ready = pods.ready.saturating_add(u32::from(pod.is_ready));
        pods.terminating = pods.terminating.saturating_add(u32::from(pod.is_terminating));
        pods.trouble = pods.trouble.or(pod.trouble);
    }
}

fn refuse(all: &mut Vec<Pods>, template: &Template) {
    match all.iter_mut().find(|pods| pods.template == *template) {
        Some(pods) => pods.trouble = Some(Trouble::Refused),
        None => all.push(Pods { template: template.clone(), running: 0, ready: 0, terminating: 0, trouble: Some(Trouble::Refused) }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{MIX, hold, pod, running, seen, set};
    use super::*;

    #[test]
    fn pods_count_by_the_template_of_their_set_and_those_that_end_apart() {
        let mut objects = running(&MIX, "v2.5.16");
        hold(&mut objects, "proxy", "v2.5.22");
        objects.push(set("proxy", "v2.5.22", 2));
        objects.push(pod("proxy", "v2.5.22", 2));
        let mut ending = pod("proxy", "v2.5.16", 1);
        ending["metadata"]["name"] = json!("another");
        ending["metadata"]["deletionTimestamp"] = json!("2026-11-21T20:01:00Z");
        objects.push(ending);
        let seen = seen(&objects);
        let proxy = &seen.observe(&seen.serving_templates(), Moment(0), &Reached::new())[&Component::Proxy];
        assert_eq!((proxy.hold.clone(), proxy.others(&proxy.stored)), (Hold::Held, 2));
        let own = proxy.of(&proxy.stored).unwrap();
        assert_eq!((own.running, own.ready), (1, 1));
        assert_eq!(proxy.moved, super::super::read_moment("2026-11-21T20:01:00Z").unwrap());
    }

    #[test]
    fn an_earlier_pod_that_falls_ill_and_recovers_is_no_progress_and_a_new_one_is() {
        let mut objects = running(&MIX, "v2.5.16");
        hold(&mut objects, "proxy", "v2.5.22");
        let moved = |objects: &[serde_json::Value]| seen(objects).observe(&Before::new(), Moment(0), &Reached::new())[&Component::Proxy].moved;
        let before = moved(&objects);
        let old = objects.iter_mut().find(|object| object["metadata"]["name"] == "m-milvus-proxy-1-x").unwrap();
        old["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-11-21T23:00:00Z");
        objects.last_mut().unwrap()["status"]["conditions"] = json!([
            {"type": "Available", "lastUpdateTime": "2026-11-21T23:00:00Z"},
            {"type": "Progressing", "reason": "ReplicaSetUpdated", "lastUpdateTime": "2026-11-21T23:00:00Z"}]);
        assert_eq!(moved(&objects), before);
        objects.extend([set("proxy", "v2.5.22", 2), pod("proxy", "v2.5.22", 2)]);
        objects.last_mut().unwrap()["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-11-21T23:30:00Z");
        assert_eq!(moved(&objects), super::super::read_moment("2026-11-21T23:30:00Z").unwrap());
    }

    #[test]
    fn what_was_let_go_moves_only_where_it_comes_nearer_than_ever() {
        let mut objects = running(&MIX, "v2.5.16");
        hold(&mut objects, "proxy", "v2.5.22");
        objects.extend([set("proxy", "v2.5.22", 2), pod("proxy", "v2.5.22", 2)]);
        let at = |time: &str| super::super::read_moment(time).unwrap();
        let mark = Mark { let_go: at("2026-11-21T20:05:00Z"), reached: at("2026-11-21T20:06:00Z") };
        let reached = Reached::from([(Component::Proxy, mark)]);
        let moved = |objects: &[serde_json::Value]| seen(objects).observe(&Before::new(), Moment(0), &reached)[&Component::Proxy].moved;
        assert_eq!(moved(&objects), mark.reached);
        // The new pod flaps, and one that was evicted is replaced and ends.
        let flapping = objects.last_mut().unwrap();
        flapping["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-11-21T23:00:00Z");
        let ending = |version: &str, revision| {
            let mut pod = pod("proxy", version, revision);
            pod["metadata"]["name"] = json!(format!("ending-{version}"));
            pod["metadata"]["creationTimestamp"] = json!("2026-11-21T22:00:00Z");
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-21T23:00:00Z");
            pod
        };
        objects.push(ending("v2.5.22", 2));
        assert_eq!(moved(&objects), mark.reached);
        // An earlier pod has the time to end that it is given; one that came later, in the place of an earlier one, has not.
        objects.push(ending("v2.5.16", 1));
        assert_eq!(moved(&objects), mark.reached);
        let drains = objects.iter_mut().find(|object| object["metadata"]["name"] == "m-milvus-proxy-1-x").unwrap();
        drains["metadata"]["deletionTimestamp"] = json!("2026-11-21T20:30:00Z");
        assert_eq!(moved(&objects), at("2026-11-21T20:30:00Z"));
    }

    #[test]
    fn only_what_never_ran_beside_its_own_version_is_stranded() {
        let stranded = |objects: &[serde_json::Value]| seen(objects).stranded().iter().map(|workload| workload.component).collect::<Vec<_>>();
        let mut objects = running(&["mixcoord"], "v2.5.22");
        hold(&mut objects, "proxy", "v2.5.22");
        assert_eq!(stranded(&objects), [Component::Proxy]);
        let mut of_another = running(&["mixcoord"], "v2.5.16");
        hold(&mut of_another, "proxy", "v2.5.22");
        assert_eq!(stranded(&of_another), [], "another version serves");
        let mut other = objects.clone();
        other.push(set("proxy", "v2.5.16", 1));
        assert_eq!(stranded(&other), [], "it ran");
        other = objects.clone();
        other.extend(running(&["querynode"], "v2.5.22"));
        hold(&mut other, "querynode", "v2.5.22");
        assert_eq!(stranded(&other), [], "another one waits that runs");
        objects.retain(|object| object["metadata"]["name"] == "m-milvus-proxy");
        assert_eq!(stranded(&objects), [Component::Proxy], "nothing serves");
    }

    #[test]
    fn a_deployment_that_was_made_anew_has_nothing_that_makes_its_pods() {
        let mut objects = running(&MIX, "v2.5.16");
        let has_sets = |objects: &[serde_json::Value]| seen(objects).observe(&Before::new(), Moment(0), &Reached::new())[&Component::Proxy].has_sets;
        assert!(has_sets(&objects));
        objects.retain(|object| !object["metadata"]["name"].as_str().unwrap().starts_with("m-milvus-proxy-1"));
        assert!(!has_sets(&objects));
    }

    #[test]
    fn a_second_deployment_of_a_component_is_one_that_no_order_knows() {
        let mut objects = running(&MIX, "v2.5.16");
        assert!(seen(&objects).doubles().is_empty());
        let mut clone = objects.iter().find(|object| object["metadata"]["name"] == "m-milvus-querynode").cloned().unwrap();
        clone["metadata"]["name"] = json!("clone");
        objects.push(clone);
        let doubles = seen(&objects).doubles();
        assert!(doubles.len() == 1 && doubles[0].starts_with("m-milvus-querynode beside clone (both are querynode of the release"), "{doubles:?}");
    }

    #[test]
    fn a_pod_whose_set_is_not_seen_yet_is_of_no_known_template() {
        let mut objects = running(&["proxy"], "v2.5.16");
        objects.push(pod("proxy", "v2.5.16", 9));
        let seen = seen(&objects);
        let proxy = &seen.observe(&Before::new(), Moment(0), &Reached::new())[&Component::Proxy];
        assert_eq!(proxy.others(&proxy.stored), 1, "nobody knows what it runs, so it counts as another");
    }

    #[test]
    fn pods_without_their_deployment_are_a_workload_that_is_gone() {
        let objects = [pod("indexnode", "v2.5.16", 1)];
        let workload = &seen(&objects).observe(&Before::new(), Moment(0), &Reached::new())[&Component::IndexNode];
        assert!(workload.is_gone && workload.all_pods() == 1);
    }

    #[test]
    fn what_serves_is_what_most_pods_run_and_without_any_the_newest() {
        let mut objects = running(&["proxy"], "v2.5.16");
        objects.push(set("proxy", "v2.5.22", 2));
        let digest = |objects: &[serde_json::Value]| seen(objects).serving_templates()[&Component::Proxy].clone();
        let (old, new) = (seen(&objects).sets[0].template.digest.clone(), seen(&objects).sets[1].template.digest.clone());
        assert_eq!(digest(&objects), old);
        objects.retain(|object| object.pointer("/status/phase").is_none());
        assert_eq!(digest(&objects), new);
    }

    #[test]
    fn a_store_has_its_time_from_when_it_is_waited_for_however_long_ago_it_was_written() {
        let moment = |time: &str| super::super::read_moment(time).unwrap();
        let written = moment("2026-11-21T20:00:00Z");
        let object = json!({"metadata": {"name": "m-etcd", "namespace": "db", "generation": 2, "creationTimestamp": "2026-11-21T20:00:00Z",
            "labels": {"app.kubernetes.io/name": "etcd", "app.kubernetes.io/instance": "m"}}, "spec": {"replicas": 1}, "status": {"observedGeneration": 1}});
        let seen = Seen { stores: vec![Arc::new(super::super::seen::store(&object, true).unwrap())], ..Seen::default() };
        let (let_go, now) = (written.plus(7_200), written.plus(7_260));
        let moved = |awaited: Option<Moment>| {
            let known = Stores::from([("m-etcd".into(), KnownStore { awaited, was_let_go: false })]);
            seen.dependencies(Moment(0), &known, now)["m-etcd"].moved
        };
        assert_eq!(moved(None), now, "it was let go just now: a window, a pause or a late declaration count for nothing");
        assert_eq!(moved(Some(let_go)), let_go);
        assert_eq!(moved(Some(Moment(1))), written);
    }

    #[test]
    fn a_refusal_to_make_pods_is_trouble_of_the_stored_template() {
        let mut objects = running(&["proxy"], "v2.5.16");
        hold(&mut objects, "proxy", "v2.5.22");
        objects.last_mut().unwrap()["status"]["conditions"] = json!([{"type": "ReplicaFailure", "status": "True"}]);
        let proxy = &seen(&objects).observe(&Before::new(), Moment(0), &Reached::new())[&Component::Proxy];
        assert_eq!(proxy.of(&proxy.stored).unwrap().trouble, Some(Trouble::Refused));
    }
}
