//! The guard itself: its definitions, registration, replicas, certificate and rights.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize as _;
use serde_json::Value;

use super::{ASK, Entry, Probe, Seen, State, age, few, name};
use crate::admission::exceptions::{MODE_LABEL, Mode};
use crate::api;
use crate::cluster::{Cluster as _, Kind, label, text};
use crate::server::certificates;

/// What our chart labels the webhook's objects with, and the controller's, `app.kubernetes.io/name`.
pub const NAMES: [&str; 2] = ["milvus-guard", "milvus-guard-controller"];

/// Match conditions of webhooks and admission policies are there since.
const OLDEST_KUBERNETES: (u32, u32) = (1, 30);

const DEFINE: &str = "Bring them up to date: milvus-guard crd | kubectl apply --server-side -f -";

/// What there is to say of the installation.
pub(super) fn entries(seen: &Seen) -> Vec<Entry> {
    let mut all = vec![kubernetes(seen)];
    let guard = Guard::of(seen);
    if !guard.is_installed() && seen.is_unread("WebhookConfigurations") {
        let message = "whether milvus-guard is installed here, and changes are judged, cannot be told: you may not list webhook configurations";
        all.push(Entry::new(State::Unknown, "registration", message).remedy(ASK));
        return all;
    }
    if !guard.is_installed() {
        all.push(Entry::new(State::Note, "registration", "milvus-guard is not installed here, or not to be seen: no change is judged at the API server"));
        return all;
    }
    all.extend(definitions(seen));
    all.extend(registration(seen, &guard));
    all.extend(replicas(&guard));
    all.extend(certificate(seen, &guard));
    all.extend(probe(seen));
    all.extend(version(&guard));
    all.extend(controller(&guard));
    all.extend(rights(seen));
    all.extend(coverage(seen, &guard));
    all
}

/// Objects of the guard.
pub struct Guard<'s> {
    configurations: Vec<&'s Arc<Value>>,
    deployments: Vec<&'s Arc<Value>>,
    maps: Vec<&'s Arc<Value>>,
}

impl<'s> Guard<'s> {
    /// Found by their labels.
    #[must_use]
    pub fn of(seen: &'s Seen) -> Self {
        let ours = |object: &&'s Arc<Value>| label(object, "app.kubernetes.io/name").is_some_and(|name| NAMES.contains(&name));
        let of = |kind: &'static str| seen.cluster.of_kind(kind).filter(ours);
        Self {
            configurations: of("ValidatingWebhookConfiguration").chain(of("MutatingWebhookConfiguration")).collect(),
            deployments: of("Deployment").collect(),
            maps: of("ConfigMap").filter(|map| name(map).ends_with("-registration")).collect(),
        }
    }

    fn is_installed(&self) -> bool {
        !self.configurations.is_empty() || !self.deployments.is_empty()
    }

    /// Whether a controller is installed.
    #[must_use]
    pub fn has_controller(&self) -> bool {
        self.deployments.iter().any(|deployment| arguments(deployment).any(|argument| argument == "controller"))
    }

    fn webhooks(&self) -> impl Iterator<Item = &'s Value> {
        self.configurations.iter().flat_map(|configuration| configuration.get("webhooks").and_then(Value::as_array).into_iter().flatten())
    }

    /// Deployments of its replicas.
    pub fn deployments(&self) -> impl Iterator<Item = &'s Arc<Value>> + '_ {
        self.deployments.iter().copied()
    }

    /// Whether all gates look at a namespace, by its labels.
    #[must_use]
    pub fn covers(&self, namespace: &Value) -> bool {
        let mut webhooks = self.webhooks().peekable();
        webhooks.peek().is_some() && webhooks.all(|webhook| selects(webhook.get("namespaceSelector").unwrap_or(&Value::Null), namespace))
    }

    fn has_webhooks(&self) -> bool {
        self.webhooks().next().is_some()
    }
}

/// The arguments of the containers of a Deployment.
pub fn arguments(deployment: &Value) -> impl Iterator<Item = &str> {
    let containers = deployment.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    containers.into_iter().flatten().flat_map(|container| container.get("args").and_then(Value::as_array).into_iter().flatten()).filter_map(Value::as_str)
}

/// Whether a label selector selects an object.
#[must_use]
pub fn selects(selector: &Value, object: &Value) -> bool {
    let equal = selector.get("matchLabels").and_then(Value::as_object);
    let equal = equal.into_iter().flatten().all(|(key, value)| label(object, key) == value.as_str());
    let fits = |expression: &Value| {
        let found = text(expression, "/key").and_then(|key| label(object, key));
        let listed = || expression.get("values").and_then(Value::as_array).into_iter().flatten().any(|value| value.as_str() == found);
        match text(expression, "/operator") {
            Some("In") => found.is_some() && listed(),
            Some("NotIn") => found.is_none() || !listed(),
            Some("Exists") => found.is_some(),
            Some("DoesNotExist") => found.is_none(),
            _ => false,
        }
    };
    equal && selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten().all(fits)
}

fn kubernetes(seen: &Seen) -> Entry {
    match seen.cluster.kubernetes {
        Some(version @ (major, minor)) if version < OLDEST_KUBERNETES => Entry::new(
            State::Problem,
            "kubernetes",
            format!("Kubernetes {major}.{minor}; the guard needs {}.{} or later", OLDEST_KUBERNETES.0, OLDEST_KUBERNETES.1),
        )
        .remedy("Upgrade Kubernetes before you install the guard; `milvus-lint` works everywhere."),
        Some((major, minor)) => Entry::new(State::Ok, "kubernetes", format!("Kubernetes {major}.{minor}")),
        None => Entry::new(State::Unknown, "kubernetes", "the API server did not tell its version"),
    }
}

/// Whether the definitions in the cluster have all that this program knows of.
fn definitions(seen: &Seen) -> Vec<Entry> {
    let of = |text: &str| {
        let wanted: Value = serde_yaml::from_str(text).ok()?;
        let kind = wanted.pointer("/spec/names/kind").and_then(Value::as_str)?.to_owned();
        let Some(live) = seen.cluster.of_kind("CustomResourceDefinition").find(|live| name(live) == name(&wanted)) else {
            let unread = seen.unread.iter().any(|(what, _)| what.contains(name(&wanted)));
            return (!unread).then(|| Entry::new(State::Problem, "definitions", format!("{kind} is not defined in this cluster")).remedy(DEFINE));
        };
        let (wanted, live) = (fields(&wanted), fields(live));
        let lacking: Vec<&str> = wanted.difference(&live).map(String::as_str).collect();
        Some(if lacking.is_empty() {
            Entry::new(State::Ok, "definitions", format!("{kind} is defined as this version needs it"))
        } else {
            Entry::new(State::Problem, "definitions", format!("the definition of {kind} is of another version: it lacks {}", few(&lacking))).remedy(DEFINE)
        })
    };
    [api::GUARDED_UPGRADE_CRD, api::UPGRADE_RECEIPT_CRD].into_iter().filter_map(of).collect()
}

/// Every field that a definition knows, as paths.
fn fields(definition: &Value) -> BTreeSet<String> {
    fn walk(schema: &Value, path: &str, all: &mut BTreeSet<String>) {
        for (name, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            walk(below, &path, all);
            all.insert(path);
        }
        if let Some(items) = schema.get("items") {
            walk(items, path, all);
        }
    }
    let mut all = BTreeSet::new();
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    for version in versions.into_iter().flatten() {
        walk(version.pointer("/schema/openAPIV3Schema").unwrap_or(&Value::Null), "", &mut all);
    }
    all
}

fn registration(seen: &Seen, guard: &Guard<'_>) -> Vec<Entry> {
    let replica = guard.deployments.iter().find(|deployment| arguments(deployment).any(|argument| argument == "webhook"));
    let logs = replica.map_or_else(
        || "Look at the guard's log.".to_owned(),
        |deployment| format!("See why: kubectl -n {} logs deployment/{}", text(deployment, "/metadata/namespace").unwrap_or_default(), name(deployment)),
    );
    if seen.is_unread("WebhookConfigurations") {
        let message = "whether the gates are in force cannot be told: you may not list webhook configurations";
        return vec![Entry::new(State::Unknown, "registration", message).remedy(ASK)];
    }
    if guard.configurations.is_empty() {
        return vec![
            Entry::new(State::Problem, "registration", "the guard is installed, and its webhook configurations are gone: no change is judged")
                .remedy("Put them back: helm upgrade the guard's release with the values it has."),
        ];
    }
    let wanted: BTreeSet<String> = guard.maps.iter().flat_map(|map| registered_names(map)).collect();
    let live: BTreeSet<String> = guard.webhooks().filter_map(|webhook| text(webhook, "/name")).map(str::to_owned).collect();
    let missing: Vec<&str> = wanted.difference(&live).map(String::as_str).collect();
    vec![if live.is_empty() {
        Entry::new(State::Problem, "registration", "no gate is in force: no replica of the guard has answered yet, or nothing may reach it").remedy(logs)
    } else if !missing.is_empty() {
        Entry::new(State::Problem, "registration", format!("gates are not in force: {}", few(&missing))).remedy(logs)
    } else {
        Entry::new(State::Ok, "registration", format!("{} gates are in force", live.len()))
    }]
}

/// The webhooks that the chart's file of entries names.
fn registered_names(map: &Value) -> Vec<String> {
    let documents = map.pointer("/data/registration.yaml").and_then(Value::as_str).unwrap_or_default();
    let documents = serde_yaml::Deserializer::from_str(documents).filter_map(|document| Value::deserialize(document).ok());
    let webhooks = documents.flat_map(|document| document.get("webhooks").and_then(Value::as_array).cloned().unwrap_or_default());
    webhooks.filter_map(|webhook| text(&webhook, "/name").map(str::to_owned)).collect()
}

fn replicas(guard: &Guard<'_>) -> Vec<Entry> {
    let of = |deployment: &&Arc<Value>| {
        let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_u64);
        let (wanted, there) = (number("/spec/replicas").unwrap_or(1), number("/status/availableReplicas").unwrap_or_default());
        let (namespace, name) = (text(deployment, "/metadata/namespace").unwrap_or_default(), name(deployment));
        if there == 0 || there < wanted {
            Entry::new(State::Problem, "replicas", format!("{there} of {wanted} replicas of {namespace}/{name} answer"))
                .remedy(format!("See why: kubectl -n {namespace} describe deployment/{name}"))
        } else {
            Entry::new(State::Ok, "replicas", format!("{there} of {wanted} replicas of {namespace}/{name} answer"))
        }
    };
    guard.deployments.iter().map(of).collect()
}

fn certificate(seen: &Seen, guard: &Guard<'_>) -> Vec<Entry> {
    let bundle = guard.webhooks().find_map(|webhook| text(webhook, "/clientConfig/caBundle"));
    let bundle = bundle.and_then(|bundle| STANDARD.decode(bundle).ok()).and_then(|pem| String::from_utf8(pem).ok());
    let mut all = Vec::new();
    if let Some(bundle) = &bundle {
        let ends = certificates::lives(bundle).into_iter().map(|(_, ends)| ends).max();
        all.push(life("the authority that the API server trusts for the webhook", ends.map(|ends| (None, ends)), seen.now));
    }
    if let Some(chain) = &seen.serving_certificate {
        let own = certificates::lives(chain).into_iter().next();
        all.push(life("the webhook's certificate", own.map(|(begins, ends)| (Some(begins), ends)), seen.now));
        if bundle.as_deref().is_some_and(|bundle| !certificates::is_issued_by(chain, bundle)) {
            all.push(
                Entry::new(State::Problem, "certificate", "the API server does not trust the authority that signed the webhook's certificate: its calls fail")
                    .remedy("Restart the guard's replicas: they register the authority that they have."),
            );
        }
    }
    all
}

/// A certificate that has ended, or that should have been renewed.
fn life(what: &str, dates: Option<(Option<i64>, i64)>, now: i64) -> Entry {
    let Some((begins, ends)) = dates else {
        return Entry::new(State::Problem, "certificate", format!("{what} cannot be read"))
            .remedy("Delete what is in its Secret and restart the guard's replicas.");
    };
    // A replica renews it when two thirds of its life are over.
    let is_late = begins.is_some_and(|begins| now > begins + (ends - begins) / 6 * 5);
    if ends <= now {
        Entry::new(State::Problem, "certificate", format!("{what} has ended {} ago: nothing is judged", age(now - ends)))
            .remedy("Restart the guard's replicas (they renew it); with cert-manager or a Secret of your own, renew it there.")
    } else if is_late {
        Entry::new(State::Problem, "certificate", format!("{what} ends in {} and was not renewed when it was due", age(ends - now)))
            .remedy("See why in the guard's log; with cert-manager or a Secret of your own, renew it there.")
    } else {
        Entry::new(State::Ok, "certificate", format!("{what} ends in {}", age(ends - now)))
    }
}

fn probe(seen: &Seen) -> Option<Entry> {
    let (namespace, probe) = seen.probe.as_ref()?;
    Some(match probe {
        Probe::Answered => Entry::new(State::Ok, "webhook", format!("it answers the API server (asked in namespace {namespace}, dry run)")),
        Probe::Unanswered(why) => Entry::new(State::Problem, "webhook", format!("the API server does not reach it: {why}"))
            .remedy("Look at its replicas, its Service and what keeps the API server from them (NetworkPolicy, firewall to port 9443 of the pods)."),
        Probe::NotAsked => Entry::new(State::Problem, "webhook", format!("a request in namespace {namespace} passed that it has to refuse: it was not asked"))
            .remedy("See what the gate's namespaceSelector and failurePolicy say: kubectl get validatingwebhookconfigurations -l app.kubernetes.io/name=milvus-guard -o yaml"),
        Probe::Untried(why) => Entry::new(State::Unknown, "webhook", format!("whether it answers was not tried in namespace {namespace}: {why}"))
            .remedy("Run this as somebody who may create GuardedUpgrades there; nothing is stored."),
    })
}

fn version(guard: &Guard<'_>) -> Option<Entry> {
    let own = env!("CARGO_PKG_VERSION");
    let installed = guard.deployments.iter().find_map(|deployment| label(deployment, "app.kubernetes.io/version"))?;
    Some(if installed == own {
        Entry::new(State::Ok, "version", format!("the installed guard is {installed}, as this program"))
    } else {
        Entry::new(State::Note, "version", format!("the installed guard is {installed}, this program is {own}"))
    })
}

fn controller(guard: &Guard<'_>) -> Option<Entry> {
    let note = || Entry::new(State::Note, "controller", "no controller is installed: nothing releases what is held");
    (!guard.deployments.is_empty() && !guard.has_controller()).then(note)
}

fn rights(seen: &Seen) -> Vec<Entry> {
    let of = |(account, right): &(String, String)| {
        Entry::new(State::Problem, "rights", format!("the guard's account {account} may not {right}"))
            .remedy("Put its roles back: helm upgrade the guard's release.")
    };
    let denied = seen
        .denied
        .iter()
        .map(|right| Entry::new(State::Note, "rights", format!("you may not {right}: pause, resume, abort, retry and approve are for others")));
    seen.lacking.iter().map(of).chain(denied).collect()
}

/// Namespaces with Milvus that are not judged, or not in force.
fn coverage(seen: &Seen, guard: &Guard<'_>) -> Vec<Entry> {
    let mut all = Vec::new();
    for namespace in &seen.namespaces {
        let has_milvus = !crate::cluster::running::serving_in(&seen.cluster, namespace).is_empty();
        let Some(object) = seen.cluster.object(Kind::Namespace, "", namespace).filter(|_| has_milvus) else { continue };
        let say = |message: String| Entry { namespace: Some(namespace.clone()), ..Entry::new(State::Note, "coverage", message) };
        if guard.has_webhooks() && !guard.covers(&object) {
            all.push(say("not all gates look at this namespace: the guard's namespaceSelector leaves it out".to_owned()));
        }
        match label(&object, MODE_LABEL) {
            Some(mode) if Mode::parse(mode).is_none() => {
                let entry = Entry::new(State::Problem, "coverage", format!("label {MODE_LABEL}={mode} is no mode: the guard's own counts"));
                all.push(Entry { namespace: Some(namespace.clone()), ..entry.remedy("Use enforce, warn or audit.") });
            }
            Some(mode) if mode != "enforce" => all.push(say(format!("mode {mode}: nothing is refused or held"))),
            _ => {}
        }
    }
    all
}
