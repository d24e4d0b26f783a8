//! How far the upgrades of Milvus releases are, in words: what a `GuardedUpgrade` says and what its workloads show; without one what runs and what is held. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use milvus_guard::model::version::ImageTag;
use serde::Serialize;
use serde_json::Value;

use crate::admission::guard::releases_of;
use crate::admission::hold::{BLOCKED_ANNOTATION, DECLARED_ANNOTATION, Identity, STOPPED_ANNOTATION, is_held};
use crate::admission::milvus::tag_of;
use crate::api;
use crate::cluster::running::{self, Serving};
use crate::cluster::{Cluster as _, Kind, Snapshot, annotation, text};
use crate::doctor::age;

/// One release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub release: String,
    /// Its `GuardedUpgrade`, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,
    /// Versions that serve.
    pub serving: Vec<String>,
    /// Its workloads, in the order of the upgrade.
    pub workloads: Vec<Workload>,
}

/// What a `GuardedUpgrade` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the definition of the object describes its fields")]
pub struct Upgrade {
    pub to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaits_approval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// The reason of the condition `Stalled`, while that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled: Option<String>,
    /// `spec.paused`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// `spec.abort`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub abort: bool,
    /// The controller has seen the object as it is now.
    pub is_seen: bool,
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Its component, or its name where it is a store or a queue.
    pub name: String,
    /// `Waiting`, `Held`, `Released`, `Complete`, `Kept`, `Removed`, `Failed` as the upgrade says; else `Serving`, `Held`, `Stopped`.
    pub state: String,
    /// Tags that serve.
    pub serving: Vec<String>,
    /// The tag that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Pods of the stored template that are ready.
    pub updated: u64,
    /// Pods that are wanted.
    pub wanted: u64,
    /// What is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Upgrade {
    /// Read from a `GuardedUpgrade`, wherever that is kept.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let status = |name: &str| text(object, &format!("/status/{name}")).map(str::to_owned);
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        let stalled = conditions.filter(|condition| text(condition, "/type") == Some("Stalled") && text(condition, "/status") == Some("True"));
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
        Self {
            to: api::upgrade_to(object).unwrap_or_default().to_owned(),
            from: status("from"),
            phase: status("phase"),
            component: status("component"),
            message: status("message"),
            next_action: status("nextAction"),
            waiting_for: status("waitingFor"),
            waiting_since: status("waitingSince"),
            awaits_approval: status("awaitsApproval"),
            receipt: status("receipt"),
            stalled: stalled.filter_map(|condition| text(condition, "/reason")).map(str::to_owned).next(),
            paused: object.pointer("/spec/paused") == Some(&Value::Bool(true)),
            abort: object.pointer("/spec/abort") == Some(&Value::Bool(true)),
            is_seen: number("/status/observedGeneration").is_some() && number("/status/observedGeneration") == number("/metadata/generation"),
        }
    }

    /// Whether it came to an end, and to a good one.
    #[must_use]
    pub fn end(&self) -> Option<bool> {
        match self.phase.as_deref().filter(|_| self.is_seen) {
            Some("Completed") => Some(true),
            Some("Aborted" | "Failed") => Some(false),
            _ => None,
        }
    }

    /// What happens now, in one line, with what was asked for and does not show in it.
    fn now(&self, now: i64) -> String {
        let phase = self.phase.as_deref();
        let is_to_pause = self.paused && phase != Some("Paused");
        let is_to_go_back = self.abort && !matches!(phase, Some("RollingBack" | "Aborted"));
        let asked: String =
            [(is_to_pause, "; spec.paused is set"), (is_to_go_back, "; spec.abort is set")].iter().filter(|(is, _)| *is).map(|(_, words)| *words).collect();
        format!("{}{asked}", self.does(now))
    }

    fn does(&self, now: i64) -> String {
        if !self.is_seen {
            return "the controller has not seen it yet".to_owned();
        }
        if let Some(waiting) = &self.waiting_for {
            let since = self.waiting_since.as_deref().and_then(seconds).map_or_else(String::new, |since| format!(" ({})", age(now - since)));
            return format!("waits for {waiting}{since}");
        }
        self.next_action.clone().or_else(|| self.message.clone()).unwrap_or_default()
    }
}

/// The releases of a namespace, or of all of them: by workloads, and by `GuardedUpgrade`s.
#[must_use]
pub fn releases(cluster: &Snapshot) -> Vec<Release> {
    let key = |object: &Arc<Value>, name: Option<&str>| Some((text(object, "/metadata/namespace")?.to_owned(), name?.to_owned()));
    let by_workloads = cluster.of_kind("Deployment").filter_map(|object| key(object, Identity::of(object).map(|identity| identity.release)));
    let by_upgrades = cluster.of_kind("GuardedUpgrade").filter_map(|object| key(object, text(object, "/metadata/name")));
    let all: BTreeSet<(String, String)> = by_workloads.chain(by_upgrades).collect();
    all.iter().map(|(namespace, name)| release(cluster, namespace, name)).collect()
}

fn release(cluster: &Snapshot, namespace: &str, name: &str) -> Release {
    let upgrade = cluster.object(Kind::GuardedUpgrade, namespace, name);
    let serving = running::serving(cluster, namespace, name);
    let mut workloads = Vec::new();
    let mut live: BTreeMap<String, Workload> = BTreeMap::new();
    for object in cluster.of_kind("Deployment").chain(cluster.of_kind("StatefulSet")) {
        if text(object, "/metadata/namespace") == Some(namespace)
            && let Some(mut workload) = workload(object, name, &serving)
        {
            if upgrade.is_none() && annotation(object, DECLARED_ANNOTATION).is_some() {
                workload.message.get_or_insert_with(|| "its GuardedUpgrade was deleted: declare it again, or go back with milvus-guard cleanup".to_owned());
            }
            live.insert(workload.name.clone(), workload);
        }
    }
    let lines = upgrade.as_deref().filter(|upgrade| api::is_open(upgrade)).and_then(|upgrade| upgrade.pointer("/status/components")).and_then(Value::as_array);
    for line in lines.into_iter().flatten() {
        let (Some(of), Some(state)) = (text(line, "/name"), text(line, "/state")) else { continue };
        let gone = || Workload { name: of.to_owned(), state: String::new(), serving: Vec::new(), waiting: None, updated: 0, wanted: 0, message: None };
        let known = live.remove(of).unwrap_or_else(gone);
        workloads.push(Workload { state: state.to_owned(), message: text(line, "/message").map(str::to_owned).or(known.message), ..known });
    }
    workloads.extend(live.into_values());
    let mut versions: Vec<String> = serving.iter().filter(|serving| serving.pods > 0).filter_map(|serving| version(serving.image()?)).collect();
    versions.sort();
    versions.dedup();
    Release { namespace: namespace.to_owned(), release: name.to_owned(), upgrade: upgrade.as_deref().map(Upgrade::of), serving: versions, workloads }
}

/// A workload of Milvus, or a held one of its stores and its queue.
fn workload(object: &Value, release: &str, serving: &[Serving]) -> Option<Workload> {
    let identity = Identity::of(object);
    let is_its = identity.map_or_else(|| releases_of(object).any(|name| name == release), |identity| identity.release == release);
    let held = is_held(object);
    if !is_its || (identity.is_none() && !held) {
        return None;
    }
    let name = text(object, "/metadata/name")?;
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
    let stopped = annotation(object, STOPPED_ANNOTATION);
    let own: Vec<&Serving> = serving.iter().filter(|serving| *serving.deployment == *name && serving.pods > 0).collect();
    let mut tags: Vec<String> = own.iter().filter_map(|serving| tag_of(serving.image()?)).map(str::to_owned).collect();
    tags.sort();
    tags.dedup();
    let stored = identity.and_then(|identity| tag_of(running::image(object.pointer("/spec/template")?, identity.component)?)).map(str::to_owned);
    let (wanted, updated) = (number("/spec/replicas").unwrap_or(1), number("/status/updatedReplicas").unwrap_or_default());
    let ready = number("/status/readyReplicas").unwrap_or_default();
    Some(Workload {
        name: identity.map_or(name, |identity| identity.component).to_owned(),
        state: if stopped.is_some() {
            "Stopped"
        } else if held {
            "Held"
        } else {
            "Serving"
        }
        .to_owned(),
        waiting: stored.filter(|stored| held || !tags.contains(stored)),
        serving: tags,
        // Of those that are ready, as many as there are others are taken for the others.
        updated: if held { 0 } else { ready.saturating_sub(number("/status/replicas").unwrap_or_default().saturating_sub(updated)).min(updated) },
        wanted: stopped.and_then(|wanted| wanted.parse().ok()).unwrap_or(wanted),
        message: annotation(object, BLOCKED_ANNOTATION).map(|why| format!("not to be released: {why}")),
    })
}

fn version(image: &str) -> Option<String> {
    let tag = tag_of(image)?;
    Some(ImageTag::parse(tag).version().map_or_else(|| tag.to_owned(), |version| version.to_string()))
}

fn seconds(time: &str) -> Option<i64> {
    time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

impl Release {
    fn held(&self) -> usize {
        self.workloads.iter().filter(|workload| workload.state == "Held").count()
    }

    /// What happens now, in one line.
    #[must_use]
    pub fn now(&self, now: i64) -> String {
        if let Some(upgrade) = self.upgrade.as_ref().filter(|upgrade| upgrade.end() != Some(true)) {
            let approve = upgrade.awaits_approval.as_ref().filter(|_| upgrade.is_seen);
            let approve =
                approve.map_or_else(String::new, |step| format!("; to let it go: milvus-guard approve {} {step} -n {}", self.release, self.namespace));
            return format!("{}{approve}", upgrade.now(now));
        }
        match self.held() {
            0 if self.serving.is_empty() => "nothing runs".to_owned(),
            0 => "serves".to_owned(),
            held => format!("{held} held, and no upgrade of them is open; `milvus-guard doctor -n {}` tells what to do", self.namespace),
        }
    }
}

/// One line for each release, with the workloads below where `wide`.
#[must_use]
pub fn table(releases: &[Release], wide: bool, now: i64) -> String {
    let mut rows = vec![["NAMESPACE", "RELEASE", "PHASE", "FROM", "TO", "NOW"].map(str::to_owned).to_vec()];
    let mut below = Vec::new();
    for release in releases {
        let none = || "-".to_owned();
        let upgrade = release.upgrade.as_ref();
        let phase = upgrade.map(|upgrade| upgrade.phase.clone().unwrap_or_else(|| "New".into()));
        let from = upgrade.and_then(|upgrade| upgrade.from.clone()).or_else(|| Some(release.serving.join(",")).filter(|serving| !serving.is_empty()));
        let row = [&release.namespace, &release.release].map(String::clone).to_vec();
        let to = upgrade.map(|upgrade| upgrade.to.clone());
        rows.push(row.into_iter().chain([phase.unwrap_or_else(none), from.unwrap_or_else(none), to.unwrap_or_else(none), release.now(now)]).collect());
        below.push(if wide { workloads(release) } else { String::new() });
    }
    let lines = aligned(&rows, "");
    let mut lines = lines.lines();
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(text, "{}", lines.next().unwrap_or_default());
    for (line, below) in lines.zip(&below) {
        let _ = write!(text, "{line}\n{below}");
    }
    text
}

fn workloads(release: &Release) -> String {
    let mut rows = vec![["COMPONENT", "STATE", "SERVES", "WAITS", "UPDATED", ""].map(str::to_owned).to_vec()];
    for workload in &release.workloads {
        let none = || "-".to_owned();
        let serving = Some(workload.serving.join(",")).filter(|serving| !serving.is_empty()).unwrap_or_else(none);
        // Of a store that is rolled out, and of what is gone, nothing is counted.
        let updated = if workload.wanted == 0 { none() } else { format!("{}/{}", workload.updated, workload.wanted) };
        let waiting = workload.waiting.clone().unwrap_or_else(none);
        rows.push(vec![workload.name.clone(), workload.state.clone(), serving, waiting, updated, workload.message.clone().unwrap_or_default()]);
    }
    if release.workloads.is_empty() { String::new() } else { aligned(&rows, "  ") }
}

/// Columns as wide as their widest cell, but the last.
fn aligned(rows: &[Vec<String>], indent: &str) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", format!("{indent}{cells}").trim_end());
    }
    text
}

/// One release as bars, for a terminal: how many pods of each component are of the target.
#[must_use]
pub fn bars(release: &Release, now: i64) -> String {
    const LONG: u64 = 20;
    let mut text = String::new();
    let width = release.workloads.iter().map(|workload| workload.name.len()).max().unwrap_or_default();
    for workload in &release.workloads {
        let is_done = matches!(workload.state.as_str(), "Complete" | "Removed");
        let full = if is_done { LONG } else { (workload.updated * LONG).checked_div(workload.wanted).unwrap_or_default().min(LONG) };
        let full = if matches!(workload.state.as_str(), "Held" | "Waiting" | "Kept") { 0 } else { full };
        let bar: String = (0..LONG).map(|at| if at < full { '#' } else { '.' }).collect();
        let _ = writeln!(text, "{:<width$} [{bar}] {:<8} {}", workload.name, workload.state, workload.message.as_deref().unwrap_or_default());
    }
    let _ = writeln!(text, "{}", release.now(now));
    text
}

/// One release as lines that are worth a line when they change: each workload, and the whole.
#[must_use]
pub fn lines(release: &Release) -> Vec<(String, String)> {
    let of = |workload: &Workload| {
        let message = workload.message.as_ref().map_or_else(String::new, |message| format!(" ({message})"));
        (workload.name.clone(), format!("{}{message}", workload.state))
    };
    // What runs afterwards is no news.
    let has_ended = release.upgrade.as_ref().is_some_and(|upgrade| upgrade.end() == Some(true));
    let mut all: Vec<(String, String)> = if has_ended { Vec::new() } else { release.workloads.iter().map(of).collect() };
    if let Some(upgrade) = &release.upgrade {
        let phase = upgrade.phase.as_deref().unwrap_or("New");
        // Without the time that it waits, which moves always.
        let now = upgrade
            .waiting_for
            .as_ref()
            .map(|waiting| format!("waits for {waiting}"))
            .or_else(|| upgrade.next_action.clone())
            .or_else(|| upgrade.message.clone());
        all.push((release.release.clone(), format!("{phase}{}", now.map_or_else(String::new, |now| format!(": {now}")))));
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::fixture::Recipe;
    use crate::admission::hold::HOLD_ANNOTATION;
    use crate::cluster::running::tests::replica_set;

    /// A cluster at 2.5.16; the components named are held with 2.5.22.
    fn world(held: &[&str], upgrade: Option<Value>) -> Snapshot {
        let recipe = Recipe::new("4.2.58", 1, json!({}));
        let mut objects: Vec<Value> = upgrade.into_iter().collect();
        for component in recipe.components() {
            let mut deployment = recipe.deployment(component);
            objects.push(replica_set(&deployment, 1, 1));
            deployment["status"] = json!({"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1});
            if held.contains(&component) {
                deployment["metadata"]["annotations"][HOLD_ANNOTATION] = json!("waits");
                deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!("milvusdb/milvus:v2.5.22");
            }
            objects.push(deployment);
        }
        Snapshot::new(objects)
    }

    fn running(status: Value) -> Value {
        let mut upgrade = api::guarded_upgrade("db", "m", "2.5.22");
        upgrade["metadata"]["generation"] = json!(2);
        upgrade["status"] = json!({"observedGeneration": 2, "phase": "Running", "from": "2.5.16"});
        upgrade["status"].as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
        upgrade
    }

    #[test]
    fn without_an_upgrade_it_says_what_runs_and_what_is_held() {
        let now = |held: &[&str]| table(&releases(&world(held, None)), false, 0);
        assert_eq!(now(&[]), "NAMESPACE  RELEASE  PHASE  FROM    TO  NOW\ndb         m        -      2.5.16  -   serves\n");
        assert!(now(&["proxy"]).contains("1 held, and no upgrade of them is open; `milvus-guard doctor -n db`"), "{}", now(&["proxy"]));
        assert_eq!(releases(&Snapshot::default()), []);
    }

    #[test]
    fn of_an_upgrade_it_says_what_is_waited_for_since_when_and_how_far_each_component_is() {
        let components = json!([{"name": "mixcoord", "state": "Released", "message": "0 of 1 ready"}, {"name": "proxy", "state": "Held"}, {"name": "m-etcd", "state": "Complete"}]);
        let status = json!({"waitingFor": "mixcoord: 0 of 1 ready", "waitingSince": "1970-01-01T00:10:00Z", "components": components});
        let found = releases(&world(&["proxy"], Some(running(status))));
        let text = table(&found, true, 780);
        assert!(text.contains("Running  2.5.16  2.5.22  waits for mixcoord: 0 of 1 ready (3m)"), "{text}");
        let lines: Vec<&str> = text.lines().skip(2).map(str::trim_start).collect();
        assert!(lines[1].starts_with("mixcoord ") && lines[1].contains("Released") && lines[1].ends_with("0 of 1 ready"), "{text}");
        assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["proxy", "Held", "v2.5.16", "v2.5.22", "0/1"]);
        assert_eq!(
            lines[3].split_whitespace().collect::<Vec<_>>(),
            ["m-etcd", "Complete", "-", "-", "-"],
            "a store that is rolled out stays in its place: {text}"
        );
        assert!(bars(&found[0], 780).contains("proxy     [....................] Held"), "{}", bars(&found[0], 780));
    }

    #[test]
    fn what_is_to_be_approved_is_told_as_the_command_that_does_it() {
        let status = json!({"waitingFor": "the approval of proxy", "awaitsApproval": "2.5.22/proxy#1"});
        let text = table(&releases(&world(&["proxy"], Some(running(status)))), false, 0);
        assert!(text.contains("waits for the approval of proxy; to let it go: milvus-guard approve m 2.5.22/proxy#1 -n db"), "{text}");
    }

    #[test]
    fn what_was_asked_of_an_upgrade_that_does_not_move_is_told() {
        let told = |phase: &str, spec: Value| {
            let mut upgrade = running(json!({"phase": phase, "message": "proxy is not to be released"}));
            upgrade["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            releases(&world(&["proxy"], Some(upgrade)))[0].now(0)
        };
        assert_eq!(told("Held", json!({})), "proxy is not to be released");
        assert_eq!(told("Held", json!({"paused": true})), "proxy is not to be released; spec.paused is set");
        assert_eq!(told("Held", json!({"abort": true})), "proxy is not to be released; spec.abort is set");
        assert_eq!(told("Paused", json!({"paused": true})), "proxy is not to be released", "the phase says it");
        assert_eq!(told("RollingBack", json!({"abort": true})), "proxy is not to be released");
    }

    #[test]
    fn a_ready_pod_of_the_earlier_template_is_no_progress() {
        let mut object = Recipe::new("4.2.58", 1, json!({})).deployment("proxy");
        let mut updated = |replicas: u64, updated: u64, ready: u64| {
            object["status"] = json!({"replicas": replicas, "updatedReplicas": updated, "readyReplicas": ready});
            workload(&object, "m", &[]).unwrap().updated
        };
        assert_eq!((updated(2, 1, 1), updated(2, 1, 2), updated(1, 1, 1), updated(3, 0, 3)), (0, 1, 1, 0));
    }

    #[test]
    fn an_end_is_one_of_the_object_as_it_is_now() {
        let end = |phase: &str, seen: i64| {
            releases(&world(&[], Some(running(json!({"phase": phase, "observedGeneration": seen})))))[0].upgrade.clone().unwrap().end()
        };
        assert_eq!((end("Completed", 2), end("Aborted", 2), end("Failed", 2), end("Running", 2)), (Some(true), Some(false), Some(false), None));
        assert_eq!(end("Completed", 1), None, "it was edited since");
        let unseen = releases(&world(&[], Some(api::guarded_upgrade("db", "m", "2.5.22"))));
        assert!(table(&unseen, false, 0).contains("New    2.5.16  2.5.22  the controller has not seen it yet"), "{}", table(&unseen, false, 0));
    }
}
