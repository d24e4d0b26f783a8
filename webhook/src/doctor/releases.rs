//! Each Milvus release: what is held, pending, not rolled out, left behind, or not as its release says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::version::ImageTag;
use serde_json::Value;

use super::installation::Guard;
use super::{Entry, Revision, Seen, State, Stored, age, few, name};
use crate::admission::guard::releases_of;
use crate::admission::helm_storage::of_cluster;
use crate::admission::hold::{
    BLOCKED_ANNOTATION, DECLARED_ANNOTATION, FENCE_LABEL, FENCE_NAMESPACE_LABEL, Identity, MARKS_ANNOTATION, STOPPED_ANNOTATION, is_held,
};
use crate::admission::milvus::{self, Part, StoredMilvus, tag_of};
use crate::admission::verdict::Point;
use crate::admission::workload::is_operated;
use crate::cluster::running::{self, Serving};
use crate::cluster::{Cluster as _, Kind, Snapshot, annotation, label, text};
use crate::controller::kept::{KEPT_LABEL, name_of, unpacked};
use crate::controller::left::Left;
use crate::progress::Upgrade;
use crate::{api, leave};

/// Helm's own limit for an operation, in seconds: a pending release that is older was interrupted.
const HELM_SECONDS: i64 = 300;

/// A Lease that nobody renewed for so long, in seconds, is nobody's.
const LEASE_SECONDS: i64 = 20;

/// Everything of one release.
struct Release<'s> {
    seen: &'s Seen,
    namespace: &'s str,
    name: &'s str,
    /// Deployments and StatefulSets, of Milvus and of what it needs.
    workloads: Vec<&'s Arc<Value>>,
    upgrade: Option<Arc<Value>>,
    serving: Vec<Serving>,
    revision: Option<&'s Revision>,
    stored: Option<&'s Stored>,
    has_controller: bool,
}

/// What there is to say of all releases.
pub(super) fn entries(seen: &Seen) -> Vec<Entry> {
    let has_controller = Guard::of(seen).has_controller();
    let mut all = Vec::new();
    for (namespace, name) in releases(seen) {
        let is_its = |object: &&Arc<Value>| text(object, "/metadata/namespace") == Some(namespace) && release_of(object) == Some(name);
        let of_kind = |kind| seen.cluster.of_kind(kind).filter(is_its);
        let is_it = |revision: &Revision| revision.namespace == namespace && revision.release == name;
        let release = Release {
            seen,
            namespace,
            name,
            workloads: of_kind("Deployment").chain(of_kind("StatefulSet")).collect(),
            upgrade: seen.cluster.object(Kind::GuardedUpgrade, namespace, name),
            serving: running::serving(&seen.cluster, namespace, name),
            revision: seen.revisions.iter().find(|revision| is_it(revision)),
            stored: seen.stored.iter().find(|stored| is_it(&stored.revision)),
            has_controller,
        };
        let found = release.entries();
        if found.iter().all(|entry| entry.state < State::Unknown) {
            all.push(release.fine());
        }
        all.extend(found);
    }
    all.extend(fences(seen));
    all
}

/// Namespace and name of every release with Milvus: by its workloads, else by what Helm stored.
fn releases(seen: &Seen) -> BTreeSet<(&str, &str)> {
    let workloads = seen.cluster.of_kind("Deployment").filter(|object| Identity::of(object).is_some() || is_operated(object));
    let by_workloads = workloads.filter_map(|object| Some((text(object, "/metadata/namespace")?, release_of(object)?)));
    let is_milvus = |stored: &&Stored| stored.content.as_ref().is_ok_and(Option::is_some);
    let by_storage = seen.stored.iter().filter(is_milvus).map(|stored| (&*stored.revision.namespace, &*stored.revision.release));
    by_workloads.chain(by_storage).filter(|(namespace, _)| seen.namespaces.iter().any(|looked_at| looked_at == namespace)).collect()
}

/// Whether there is a release with Milvus.
pub(super) fn any(seen: &Seen) -> bool {
    !releases(seen).is_empty()
}

fn release_of(object: &Value) -> Option<&str> {
    Identity::of(object).map(|identity| identity.release).or_else(|| releases_of(object).next())
}

impl Release<'_> {
    fn entries(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        all.extend(self.operated());
        all.extend(self.pending());
        all.extend(self.stored());
        all.extend(self.held());
        all.extend(self.rolling());
        all.extend(self.mixed());
        all.extend(self.left_behind());
        all.extend(self.stalled());
        all.extend(self.begun_alone());
        all.into_iter().map(|entry| entry.of(self.namespace, self.name)).collect()
    }

    fn fine(&self) -> Entry {
        let images: BTreeSet<&str> = self.serving.iter().filter(|serving| serving.pods > 0).filter_map(Serving::image).collect();
        let runs = if images.is_empty() { "nothing runs".to_owned() } else { format!("{} serves", images.into_iter().collect::<Vec<_>>().join(" and ")) };
        Entry::new(State::Ok, "release", format!("{runs}; {} workloads", self.workloads.len())).of(self.namespace, self.name)
    }

    fn is_open(&self) -> bool {
        self.upgrade.as_deref().is_some_and(api::is_open)
    }

    /// Whether nothing carries upgrades out here: not where who looks may not see it.
    fn lacks_controller(&self) -> bool {
        !self.has_controller && !self.seen.is_unread("Deployments")
    }

    /// What Helm stored last, as the Milvus that it renders.
    fn rendered(&self) -> Vec<StoredMilvus> {
        let content = self.stored.and_then(|stored| stored.content.as_ref().ok()).and_then(Option::as_ref);
        content.map(|content| milvus::find(content, None, Catalogue::embedded())).unwrap_or_default()
    }

    fn operated(&self) -> Vec<Entry> {
        let rendered = self.rendered();
        let both = rendered.iter().filter_map(|one| of_cluster::operated(&self.seen.cluster, self.namespace, one)).next();
        if let Some(point) = both {
            return vec![said(point, "operator", State::Problem)];
        }
        let is_all = !self.workloads.is_empty() && self.workloads.iter().any(|workload| is_operated(workload));
        let note = || Entry::new(State::Note, "operator", "the Milvus operator runs it; the guard leaves it alone");
        is_all.then(note).into_iter().collect()
    }

    fn pending(&self) -> Option<Entry> {
        let revision = self.revision?;
        let point = of_cluster::unfinished(self.namespace, self.name, revision.number, &revision.status, revision.completed_before)?;
        let old = revision.since.map(|since| self.seen.now - since);
        let state = if old.is_some_and(|old| old < HELM_SECONDS) { State::Note } else { State::Problem };
        let mut entry = said(point, "pending-release", state);
        if let Some((command, why)) = self.rollback().and_then(|command| Some((command, self.no_rollback()?))) {
            entry.remedy = Some(format!("Wait for it. No way leads back: {command} is refused: {why}."));
        }
        if let Some(old) = old {
            entry.message = format!("{} It was last written {} ago.", entry.message, age(old));
        }
        Some(entry)
    }

    fn stored(&self) -> Vec<Entry> {
        let Some(stored) = self.stored else { return Vec::new() };
        let mut all = Vec::new();
        if let Err(why) = &stored.content {
            all.push(Entry::new(State::Unknown, "stored-release", format!("revision {} cannot be read: {why}", stored.revision.number)).rule("MV901"));
        }
        if !stored.not_served.is_empty() {
            let what: Vec<&str> = stored.not_served.iter().map(String::as_str).collect();
            let message = format!(
                "the stored manifest of revision {} has {}, which this cluster does not serve: Helm cannot upgrade the release, whatever the target",
                stored.revision.number,
                few(&what)
            );
            let remedy = format!("Rewrite it with Helm's plugin mapkubeapis: helm mapkubeapis {} --namespace {}", self.name, self.namespace);
            all.push(Entry::new(State::Problem, "stored-manifest", message).rule("MV118").remedy(remedy));
        }
        all.extend(self.drifted());
        all
    }

    /// Workloads whose image is another than Helm's last revision says: the next upgrade puts that one back. What is held never ran; `held` tells of it.
    fn drifted(&self) -> Option<Entry> {
        let is_settled = self.revision.is_some_and(|revision| revision.status == "deployed");
        let live = |deployment: &str| self.workloads.iter().find(|workload| name(workload) == deployment && !is_held(workload));
        let rendered = self.rendered();
        let parts = rendered.iter().flat_map(|one| &one.parts).filter(|_| is_settled);
        let moved: Vec<(&str, &str, &str)> = parts
            .filter_map(|part| {
                let now = running::image(live(&part.deployment)?.pointer("/spec/template")?, &part.component)?;
                let said = part.image.as_deref().filter(|said| *said != now)?;
                Some((&*part.deployment, said, now))
            })
            .collect();
        let (_, said, now) = moved.first()?;
        let names: Vec<&str> = moved.iter().map(|(name, ..)| *name).collect();
        let message = format!("the image of {} is {now}, and the release says {said}: the next Helm upgrade puts that back, all at once", few(&names));
        let tag = tag_of(now).unwrap_or("TAG");
        let remedy = format!("Write image.all.tag={tag} into the release's values before its next upgrade.");
        Some(Entry::new(State::Problem, "drift", message).rule("MV713").remedy(remedy))
    }

    fn held(&self) -> Vec<Entry> {
        let held: Vec<&&Arc<Value>> = self.workloads.iter().filter(|workload| is_held(workload)).collect();
        if held.is_empty() {
            return Vec::new();
        }
        let names: Vec<&str> = held.iter().map(|workload| name(workload)).collect();
        if self.is_open() && !self.lacks_controller() {
            return vec![Entry::new(State::Note, "hold", format!("held until their turn in the upgrade that is open: {}", few(&names)))];
        }
        let phase = self.upgrade.as_deref().map(|upgrade| text(upgrade, "/status/phase").unwrap_or("not begun"));
        let is_lost = phase.is_none() && held.iter().any(|workload| annotation(workload, DECLARED_ANNOTATION).is_some());
        let none = if is_lost { "its GuardedUpgrade was deleted: declare it again" } else { "no upgrade of the release is open" };
        let upgrade = phase.map_or_else(|| none.to_owned(), |phase| format!("its GuardedUpgrade is {phase}"));
        let back = self.taking_back(&held);
        let blocked: Vec<(&str, &str)> = held.iter().filter_map(|workload| Some((name(workload), annotation(workload, BLOCKED_ANNOTATION)?))).collect();
        let those: Vec<&str> = blocked.iter().map(|(name, _)| *name).collect();
        let entry = Entry::new(State::Problem, "hold", format!("{} held, and {upgrade}: {}", plural(held.len(), "workload is", "workloads are"), few(&names)));
        vec![match blocked.first() {
            Some((_, why)) => {
                let message = format!("{}. {} will not be released: {why}", entry.message, few(&those));
                Entry { message, ..entry }.remedy(format!("Do what that asks for{back}"))
            }
            None if self.has_controller && phase.is_none() && held.iter().all(|workload| Identity::of(workload).is_none()) => entry.remedy(format!(
                "Where the controller lets none of it go within a minute, a store or queue is not complete: kubectl get deployments,statefulsets -n {}{back}",
                self.namespace
            )),
            None if self.has_controller && phase.is_none() => {
                entry.remedy(format!("Where the controller makes no upgrade of it within a minute, say where it goes: {}{back}", self.declaring(&held)))
            }
            None if self.has_controller => {
                entry.remedy(format!("See what the controller waits for: milvus-guard status {} -n {}{back}", self.name, self.namespace))
            }
            None => entry.remedy(format!(
                "No controller is there to release them. Let them go in order: milvus-guard rolling-update -i {} -n {} -t TAG -w IMAGE{back}",
                self.name, self.namespace
            )),
        }]
    }

    /// How what is held is declared, with the versions that its images do not tell.
    fn declaring(&self, held: &[&&Arc<Value>]) -> String {
        let image = |workload: &Value| running::image(workload.pointer("/spec/template")?, Identity::of(workload)?.component).map(str::to_owned);
        let images: BTreeSet<String> = held.iter().filter_map(|workload| image(workload)).collect();
        let serving = self.serving.iter().filter(|serving| serving.pods > 0).filter_map(Serving::image);
        let version = |image: &str| milvus::version_of(image, &BTreeMap::new());
        let to = images.iter().filter_map(|image| version(image)).max().map_or_else(|| "X.Y.Z".to_owned(), |version| version.to_string());
        let mut declared = api::guarded_upgrade(self.namespace, self.name, &to);
        let untold = images.iter().map(String::as_str).chain(serving).filter(|image| version(image).is_none());
        let untold: serde_json::Map<String, Value> = untold.map(|image| (image.to_owned(), "X.Y.Z".into())).collect();
        if let Some(spec) = declared.get_mut("spec").and_then(Value::as_object_mut).filter(|_| !untold.is_empty()) {
            spec.insert("imageVersions".into(), untold.into());
        }
        format!("echo '{declared}' | kubectl apply -f -")
    }

    /// How Helm takes its newest revision back.
    fn rollback(&self) -> Option<String> {
        let revision = self.revision?.completed_before?;
        Some(format!("helm rollback {} {revision} -n {}", self.name, self.namespace))
    }

    /// Why that is refused.
    fn no_rollback(&self) -> Option<&str> {
        self.seen.no_rollback.get(&(self.namespace.to_owned(), self.name.to_owned())).map(String::as_str)
    }

    /// How a change is taken back that is held, as the end of a sentence that tells how it goes on (a component of Milvus that never ran and is of no release is deleted; a store or a queue never is): by Helm where its newest revision brought it, else by putting back what serves.
    fn taking_back(&self, held: &[&&Arc<Value>]) -> String {
        let namespace = self.namespace;
        let rendered = self.rendered();
        let part = |workload: &Value| rendered.iter().flat_map(|one| &one.parts).find(|part| *part.deployment == *name(workload));
        let never_ran = |workload: &Value| self.serving.iter().all(|serving| *serving.deployment != *name(workload) || serving.pods == 0);
        // Where Helm keeps no revision, only whoever applies it knows what belongs to it.
        let (is_told, unless) = if self.revision.is_none() { (true, " (where what applies the release has it no more)") } else { (!rendered.is_empty(), "") };
        let (strays, of_release): (Vec<&Value>, Vec<&Value>) = held
            .iter()
            .map(|workload| &****workload)
            .partition(|workload| Identity::of(workload).is_some() && is_told && part(workload).is_none() && never_ran(workload));
        let is_helms = |workload: &&Value| {
            let image = |part: &Part| running::image(workload.pointer("/spec/template")?, &part.component);
            part(workload).is_some_and(|part| part.image.is_some() && part.image.as_deref() == image(part))
        };
        let mut ways = Vec::new();
        if let Some(command) = self.rollback().filter(|_| of_release.iter().any(is_helms)) {
            if let Some(why) = self.no_rollback() {
                return format!(". No way leads back: {command} is refused: {why}.");
            }
            ways.push(command);
        } else if !of_release.is_empty() {
            ways.push(format!("milvus-guard cleanup -n {namespace} {} (--dry-run tells first)", self.name));
        }
        ways.extend(strays.iter().map(|workload| format!("kubectl delete deployment {} -n {namespace}{unless}", name(workload))));
        format!("; or take the change back: {}", ways.join("; "))
    }

    fn rolling(&self) -> Vec<Entry> {
        if self.is_open() {
            return Vec::new();
        }
        let labels: BTreeSet<&str> = self.workloads.iter().filter_map(|workload| Some(Identity::of(workload)?.label)).collect();
        let points = labels.iter().filter_map(|label| of_cluster::rolling(&self.seen.cluster, self.namespace, self.name, label));
        points.map(|point| said(point, "rollout", State::Problem)).collect()
    }

    /// Components of several versions serve, and no upgrade is under way that would end that.
    fn mixed(&self) -> Option<Entry> {
        let is_settled = !self.is_open() && self.workloads.iter().all(|workload| !is_held(workload));
        let mut versions: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for serving in self.serving.iter().filter(|serving| serving.pods > 0 && is_settled) {
            let version = ImageTag::parse(tag_of(serving.image()?).unwrap_or_default()).version()?;
            versions.entry(version.to_string()).or_default().insert(&serving.component);
        }
        let told: Vec<String> =
            versions.iter().map(|(version, components)| format!("{version} ({})", components.iter().copied().collect::<Vec<_>>().join(", "))).collect();
        let newest = versions.keys().next_back()?;
        let remedy = format!(
            "Finish it, component by component: milvus-guard rolling-update -i {} -n {} -t v{newest} -w IMAGE:v{newest}; see first that the way is open: milvus-lint plan",
            self.name, self.namespace
        );
        (versions.len() > 1)
            .then(|| Entry::new(State::Problem, "versions", format!("several versions serve: {}", told.join("; "))).rule("MV711").remedy(remedy))
    }

    /// Marks, stops and notes of the guard where no upgrade is open.
    fn left_behind(&self) -> Vec<Entry> {
        if self.is_open() {
            return Vec::new();
        }
        let claims = self
            .seen
            .cluster
            .of_kind("PersistentVolumeClaim")
            .filter(|claim| text(claim, "/metadata/namespace") == Some(self.namespace) && releases_of(claim).any(|release| release == self.name));
        let of_release: Vec<&Arc<Value>> = self.workloads.iter().copied().chain(claims).collect();
        let with = |note: &str| of_release.iter().filter(|object| annotation(object, note).is_some()).map(|object| name(object)).collect::<Vec<_>>();
        let clean = format!("Put them back: milvus-guard cleanup {} -n {} (--dry-run tells first)", self.name, self.namespace);
        let mut all = Vec::new();
        let stopped = with(STOPPED_ANNOTATION);
        if !stopped.is_empty() {
            let words = format!("stopped for a migration that is not open: {}", few(&stopped));
            let remedy = to_go_on(&self.seen.cluster, self.namespace, self.name).unwrap_or_else(|| clean.clone());
            all.push(Entry::new(State::Problem, "stopped", words).remedy(remedy));
        }
        let marked = with(MARKS_ANNOTATION);
        if !marked.is_empty() {
            all.push(Entry::new(State::Problem, "marks", format!("marked to outlive an upgrade that is not open: {}", few(&marked))).remedy(clean.clone()));
        }
        let is_held = self.workloads.iter().any(|workload| is_held(workload));
        let maps =
            self.workloads.iter().filter_map(|workload| workload.pointer("/spec/template")).flat_map(running::configuration_names).collect::<BTreeSet<_>>();
        let noted: Vec<&str> =
            maps.into_iter()
                .filter(|map| {
                    self.seen.cluster.of_kind("ConfigMap").any(|object| {
                        name(object) == *map && text(object, "/metadata/namespace") == Some(self.namespace) && leave::configuration(object).is_some()
                    })
                })
                .collect();
        if !is_held && !noted.is_empty() {
            all.push(Entry::new(State::Problem, "marks", format!("files of a change wait in ConfigMap {}, and nothing is held", few(&noted))).remedy(clean));
        }
        all
    }

    /// An upgrade that does not go on by itself.
    fn stalled(&self) -> Option<Entry> {
        let upgrade = self.upgrade.as_deref()?;
        let to = api::upgrade_to(upgrade).unwrap_or("?");
        let phase = text(upgrade, "/status/phase")?;
        let message = text(upgrade, "/status/message").unwrap_or("it does not say why");
        let remedy = format!("milvus-guard status {} -n {} tells the rest.", self.name, self.namespace);
        let problem = |message: String| Some(Entry::new(State::Problem, "upgrade", message));
        if self.is_open() && self.lacks_controller() {
            // What is held tells of it.
            let is_told = self.workloads.iter().any(|workload| is_held(workload));
            let remedy = format!(
                "Install the guard again, which goes on with it; or take it back from here, once nothing of it is wanted any more: milvus-guard cleanup -n {} {} --force (--dry-run tells first)",
                self.namespace, self.name
            );
            return problem(format!("the upgrade to {to} is open ({phase}), and no controller is there to carry it out"))
                .filter(|_| !is_told)
                .map(|entry| entry.remedy(remedy));
        }
        if matches!(phase, "Failed" | "Paused") {
            return problem(format!("the upgrade to {to} is {phase}: {message}")).map(|entry| entry.remedy(remedy));
        }
        let is_stalled = self.is_open() && Upgrade::of(upgrade).stalled.is_some();
        problem(format!("the upgrade to {to} does not go on by itself ({phase}): {message}")).filter(|_| is_stalled).map(|entry| entry.remedy(remedy))
    }
}

impl Release<'_> {
    /// An upgrade that somebody began from a laptop, and whether anybody carries it on.
    fn begun_alone(&self) -> Option<Entry> {
        let named = |object: &&Arc<Value>| text(object, "/metadata/namespace") == Some(self.namespace) && name(object) == name_of(self.name);
        let map = self.seen.cluster.of_kind("ConfigMap").filter(named).find(|map| label(map, KEPT_LABEL) == Some(self.name))?;
        let upgrade = serde_json::from_value(Value::clone(map)).ok().and_then(|map| unpacked(&map))?;
        let to = api::upgrade_to(&upgrade).unwrap_or("?");
        let renewed = self.seen.cluster.of_kind("Lease").find(named).and_then(|lease| text(lease, "/spec/renewTime")?.parse::<jiff::Timestamp>().ok());
        let is_at_work = renewed.is_some_and(|renewed| self.seen.now - renewed.as_second() < LEASE_SECONDS);
        if is_at_work {
            return Some(Entry::new(State::Note, "upgrade", format!("an upgrade to {to} is carried out from a laptop")));
        }
        let remedy = format!(
            "Go on with it: milvus-guard rolling-update -i {0} -n {1} -t v{to} -w IMAGE. Or give it up: milvus-guard abort {0} -n {1}",
            self.name, self.namespace
        );
        Some(Entry::new(State::Problem, "upgrade", format!("an upgrade to {to} was begun from a laptop, and nobody goes on with it")).remedy(remedy))
    }
}

/// How to go on with a migration whose `GuardedUpgrade` is gone. Whether the version before reads the metadata as it is now, nobody has looked.
fn to_go_on(cluster: &Snapshot, namespace: &str, release: &str) -> Option<String> {
    let left = Left::of_release(cluster, namespace, release)?;
    let to = left.pair.to;
    Some(format!(
        "Declare the upgrade again: a GuardedUpgrade {release} in namespace {namespace} with spec.to: {to} goes on with it, and with spec.abort: true goes back."
    ))
}

/// Admission policies that keep pods of a release away, although no migration of it is open.
fn fences(seen: &Seen) -> Vec<Entry> {
    let all = seen.cluster.of_kind("ValidatingAdmissionPolicy").chain(seen.cluster.of_kind("ValidatingAdmissionPolicyBinding"));
    let of = |object: &Arc<Value>| {
        let (namespace, release) = (label(object, FENCE_NAMESPACE_LABEL)?, label(object, FENCE_LABEL)?);
        let upgrade = seen.cluster.object(Kind::GuardedUpgrade, namespace, release);
        let is_orphan = seen.namespaces.iter().any(|looked_at| looked_at == namespace) && !upgrade.as_deref().is_some_and(api::is_open);
        let kind = text(object, "/kind").unwrap_or_default();
        let message = format!("{kind} {} keeps all pods of the release from starting, and no migration is open", name(object));
        let remedy = to_go_on(&seen.cluster, namespace, release).unwrap_or_else(|| format!("kubectl delete {} {}", kind.to_lowercase(), name(object)));
        is_orphan.then(|| Entry::new(State::Problem, "fence", message).remedy(remedy).of(namespace, release))
    };
    all.filter_map(of).collect()
}

fn said(point: Point, check: &'static str, state: State) -> Entry {
    Entry::new(state, check, point.message).rule(&point.rule).remedy(point.next)
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
