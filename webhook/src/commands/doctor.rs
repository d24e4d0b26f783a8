//! `milvus-guard doctor`: looks at the guard and at the Milvus releases of a cluster, and says what is wrong and what to do. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;
use kube::core::DynamicObject;
use milvus_guard_webhook::admission::hold::{FENCE_LABEL, Identity, is_held};
use milvus_guard_webhook::admission::release::{Driver, is_completed};
use milvus_guard_webhook::api;
use milvus_guard_webhook::cluster::{Snapshot, running, text};
use milvus_guard_webhook::controller::helm::stored_at;
use milvus_guard_webhook::controller::kept::KEPT_LABEL;
use milvus_guard_webhook::doctor::installation::{Guard, NAMES, arguments};
use milvus_guard_webhook::doctor::{self, Probe, Revision, Seen, Stored, back, report};
use serde_json::Value;

use super::cluster::{Cluster, plural, why};
use super::output::to_stdout;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 nothing wrong, 1 problems, 2 something could not be told (a right that lacks, an API server that does not answer).

Examples:
  milvus-guard doctor                    # the namespace of the kubeconfig's context
  milvus-guard doctor -A -o json | jq '.checks[] | select(.state == \"problem\")'")]
pub(crate) struct Doctor {
    /// The namespace to look at; default: that of the kubeconfig's context
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs it.
pub(crate) fn run(arguments: &Doctor) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seen = runtime.block_on(async {
        let mut cluster = Cluster::for_a_look(None).await?;
        if !arguments.all_namespaces {
            cluster.namespace = Some(arguments.namespace.clone().unwrap_or_else(|| cluster.client.default_namespace().to_owned()));
        }
        anyhow::Ok(Looking::new(cluster).look().await)
    })?;
    let entries = doctor::examine(&seen);
    match arguments.output {
        Format::Text => to_stdout(&report::text(&entries))?,
        Format::Json => to_stdout(&format!("{}\n", serde_json::to_string_pretty(&report::json(&entries))?))?,
    };
    Ok(ExitCode::from(doctor::exit_code(&entries)))
}

/// Rights without which the webhook judges nothing: group, resource, verb.
const NEEDED: [(&str, &str, &str); 7] = [
    ("apps", "deployments", "list"),
    ("apps", "replicasets", "list"),
    ("", "persistentvolumeclaims", "list"),
    ("", "namespaces", "list"),
    (api::GROUP, "guardedupgrades", "list"),
    (api::GROUP, "upgradereceipts", "list"),
    (api::GROUP, "guardedupgrades", "get"),
];

/// The same, in the namespaces of releases.
const NEEDED_THERE: [(&str, &str, &str); 2] = [("", "secrets", "get"), ("", "configmaps", "get")];

/// What a webhook has to refuse: a version that is none.
const NO_VERSION: &str = "0.0.0-milvus-guard-doctor";

/// What there is in one namespace, for commands that change something in it.
pub(super) async fn look_at(cluster: Cluster) -> Seen {
    let mut looking = Looking::new(cluster);
    looking.releases().await;
    looking.seen
}

struct Looking {
    /// What is looked at.
    place: Cluster,
    /// Everything, for what has no namespace and for the guard's own.
    whole: Cluster,
    objects: Vec<Value>,
    seen: Seen,
}

impl Looking {
    fn new(place: Cluster) -> Self {
        let whole = Cluster { namespace: None, ..place.clone() };
        let seen = Seen { now: Timestamp::now().as_second(), ..Seen::default() };
        Self { place, whole, objects: Vec::new(), seen }
    }

    async fn look(mut self) -> Seen {
        self.installation().await;
        self.releases().await;
        self.rights().await;
        self.probe().await;
        self.seen
    }

    async fn releases(&mut self) {
        self.namespaces().await;
        self.workloads().await;
        self.seen.cluster = Snapshot::new(std::mem::take(&mut self.objects));
        self.seen.cluster.kubernetes = self.kubernetes().await;
        self.configurations().await;
        self.revisions().await;
        self.contents().await;
    }

    fn unread(&mut self, what: impl Into<String>, error: &kube::Error) {
        if self.seen.unanswered.is_none() {
            self.seen.unanswered = self.place.server.silent(error);
        }
        self.seen.unread.push((what.into(), why(error)));
    }

    /// Whether the API server did not answer before: each further question would wait as long.
    const fn is_in_vain(&self) -> bool {
        self.seen.unanswered.is_some()
    }

    async fn kubernetes(&mut self) -> Option<(u32, u32)> {
        if self.is_in_vain() {
            return None;
        }
        match self.whole.client.apiserver_version().await {
            Ok(info) => {
                let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
                number(&info.major).zip(number(&info.minor))
            }
            Err(error) => {
                self.unread("the version of the API server", &error);
                None
            }
        }
    }

    async fn take(&mut self, of_whole: bool, version: &str, kind: &str, labels: &str) {
        if self.is_in_vain() {
            return;
        }
        let cluster = if of_whole { &self.whole } else { &self.place };
        let found = cluster.select(version, kind, labels).await;
        match found {
            Ok(found) => self.objects.extend(found.unwrap_or_default()),
            Err(error) => self.unread(plural(kind), &error),
        }
    }

    /// One object by its name, where it is there.
    async fn get(&mut self, version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Option<Value> {
        if self.is_in_vain() {
            return None;
        }
        match self.whole.get(version, kind, namespace, name).await {
            Ok(found) => found,
            Err(error) => {
                self.unread(format!("{kind} {name}"), &error);
                None
            }
        }
    }

    async fn installation(&mut self) {
        let ours = format!("app.kubernetes.io/name in ({})", NAMES.join(","));
        for plural in ["guardedupgrades", "upgradereceipts"] {
            let found = self.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, &format!("{plural}.{}", api::GROUP)).await;
            self.objects.extend(found);
        }
        for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
            self.take(true, "admissionregistration.k8s.io/v1", kind, &ours).await;
        }
        self.fences().await;
        if self.place.namespace.is_some() {
            self.take(true, "apps/v1", "Deployment", &ours).await;
        }
    }

    async fn fences(&mut self) {
        for kind in ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"] {
            self.take(true, "admissionregistration.k8s.io/v1", kind, FENCE_LABEL).await;
        }
    }

    async fn namespaces(&mut self) {
        match self.place.namespace.clone() {
            Some(name) => {
                let found = self.get("v1", "Namespace", None, &name).await;
                self.objects.extend(found);
                self.seen.namespaces = vec![name];
            }
            None => {
                self.take(true, "v1", "Namespace", "").await;
                let names = self.objects.iter().filter(|object| text(object, "/kind") == Some("Namespace")).filter_map(|object| text(object, "/metadata/name"));
                self.seen.namespaces = names.map(str::to_owned).collect();
            }
        }
    }

    async fn workloads(&mut self) {
        for kind in ["Deployment", "StatefulSet", "ReplicaSet"] {
            self.take(false, "apps/v1", kind, "").await;
        }
        self.take(false, "v1", "PersistentVolumeClaim", "").await;
        if self.is_in_vain() {
            return;
        }
        match self.whole.has_our_kinds().await {
            Ok(true) => {
                for kind in ["GuardedUpgrade", "UpgradeReceipt"] {
                    self.take(false, api::API_VERSION, kind, "").await;
                }
            }
            Ok(false) => {}
            Err(error) => self.unread("GuardedUpgrades", &error),
        }
        // Upgrades that somebody carries out from a laptop.
        self.take(false, "v1", "ConfigMap", KEPT_LABEL).await;
        let of = |map: &Value| Some((text(map, "/metadata/namespace")?.to_owned(), text(map, "/metadata/name")?.to_owned()));
        let alone: Vec<(String, String)> = self.objects.iter().filter(|object| text(object, "/kind") == Some("ConfigMap")).filter_map(of).collect();
        for (namespace, name) in alone {
            let lease = self.get("coordination.k8s.io/v1", "Lease", Some(&namespace), &name).await;
            self.objects.extend(lease);
        }
        // The guard's own namespace may be the one that is looked at.
        let mut known = BTreeSet::new();
        self.objects.retain(|object| known.insert(["/kind", "/metadata/namespace", "/metadata/name"].map(|pointer| text(object, pointer).map(str::to_owned))));
    }

    /// ConfigMaps that workloads mount, and the guard's list of gates; the certificate that it serves.
    async fn configurations(&mut self) {
        let of = |object: &Value| {
            let names = object.pointer("/spec/template").map(running::configuration_names).unwrap_or_default();
            let namespace = text(object, "/metadata/namespace").unwrap_or_default();
            names.into_iter().map(|name| (namespace.to_owned(), name.to_owned())).collect::<Vec<_>>()
        };
        let milvus = self.seen.cluster.of_kind("Deployment").filter(|object| Identity::of(object).is_some());
        let mut wanted: BTreeSet<(String, String)> = milvus.flat_map(|object| of(object)).collect();
        let mut secrets = BTreeSet::new();
        for deployment in Guard::of(&self.seen).deployments() {
            let (Some(namespace), Some(name)) = (text(deployment, "/metadata/namespace"), text(deployment, "/metadata/name")) else { continue };
            if !arguments(deployment).any(|argument| argument == "webhook") {
                continue;
            }
            wanted.insert((namespace.to_owned(), format!("{name}-registration")));
            let own = arguments(deployment).find_map(|argument| argument.strip_prefix("--certificate-secret="));
            let volumes = deployment.pointer("/spec/template/spec/volumes").and_then(Value::as_array);
            let mounted =
                volumes.into_iter().flatten().find(|volume| text(volume, "/name") == Some("tls")).and_then(|volume| text(volume, "/secret/secretName"));
            secrets.extend(own.or(mounted).map(|secret| (namespace.to_owned(), secret.to_owned())));
        }
        for (namespace, name) in wanted {
            if let Some(map) = self.get("v1", "ConfigMap", Some(&namespace), &name).await {
                self.seen.cluster.put(map);
            }
        }
        for (namespace, name) in secrets {
            let secret = self.get("v1", "Secret", Some(&namespace), &name).await;
            let chain = secret.as_ref().and_then(|secret| secret.pointer("/data/tls.crt")).and_then(Value::as_str);
            self.seen.serving_certificate = chain.and_then(decoded);
        }
    }

    /// The newest revision of each Helm release, from labels alone.
    async fn revisions(&mut self) {
        let mut newest: BTreeMap<(String, String), Revision> = BTreeMap::new();
        let mut completed: BTreeMap<(String, String), BTreeSet<u32>> = BTreeMap::new();
        for (kind, driver) in [("Secret", Driver::Secret), ("ConfigMap", Driver::ConfigMap)] {
            if self.is_in_vain() {
                return;
            }
            let found = match self.place.select_metadata("v1", kind, "owner=helm").await {
                Ok(found) => found,
                Err(error) => {
                    self.unread(format!("{kind}s of Helm releases (their labels)"), &error);
                    continue;
                }
            };
            for revision in found.iter().filter_map(|object| revision(object, driver)) {
                let key = (revision.namespace.clone(), revision.release.clone());
                if is_completed(&revision.status) {
                    completed.entry(key.clone()).or_default().insert(revision.number);
                }
                if newest.get(&key).is_none_or(|known| known.number < revision.number) {
                    newest.insert(key, revision);
                }
            }
        }
        for (key, revision) in &mut newest {
            revision.completed_before = completed.get(key).and_then(|numbers| numbers.range(..revision.number).next_back().copied());
        }
        self.seen.revisions = newest.into_values().collect();
    }

    /// What the revisions say that are Milvus's, or may be.
    async fn contents(&mut self) {
        let of = |object: &Value| Some((text(object, "/metadata/namespace")?.to_owned(), Identity::of(object)?.release.to_owned()));
        let milvus: BTreeSet<(String, String)> = self.seen.cluster.of_kind("Deployment").filter_map(|object| of(object)).collect();
        let is_wanted =
            |revision: &&Revision| milvus.contains(&(revision.namespace.clone(), revision.release.clone())) || revision.status.starts_with("pending-");
        let wanted: Vec<Revision> = self.seen.revisions.iter().filter(is_wanted).cloned().collect();
        let mut served: BTreeMap<String, Option<BTreeSet<String>>> = BTreeMap::new();
        for revision in wanted {
            let Some(object) = self.stored(&revision, revision.number).await else { continue };
            let content = doctor::read_stored(&object, revision.driver);
            let mut not_served = Vec::new();
            for (version, kind) in content.as_ref().ok().and_then(Option::as_ref).map(|release| doctor::kinds(&release.manifest)).unwrap_or_default() {
                if !served.contains_key(&version) {
                    let kinds = self.served(&version).await;
                    served.insert(version.clone(), kinds);
                }
                if served.get(&version).and_then(Option::as_ref).is_some_and(|kinds| !kinds.contains(&kind)) {
                    not_served.push(format!("{version} {kind}"));
                }
            }
            if matches!(content, Ok(Some(_))) && self.may_have_to_go_back(&revision) {
                self.way_back(&revision, object).await;
            }
            self.seen.stored.push(Stored { revision, content, not_served });
        }
    }

    /// What stores a revision of a release.
    async fn stored(&mut self, revision: &Revision, number: u32) -> Option<Value> {
        let name = back::name_of(&revision.release, number);
        self.get("v1", back::kind(revision.driver), Some(&revision.namespace), &name).await
    }

    /// Whether something of the release waits, or Helm did not end, so that the way back is to be told.
    fn may_have_to_go_back(&self, revision: &Revision) -> bool {
        let waits = |object: &&Arc<Value>| is_held(object) && text(object, "/metadata/namespace") == Some(&revision.namespace);
        revision.status.starts_with("pending-")
            || self.seen.cluster.of_kind("Deployment").chain(self.seen.cluster.of_kind("StatefulSet")).any(|object| waits(&object))
    }

    /// Asks gate 1 about the way back by Helm, with the revisions that it would look at.
    async fn way_back(&mut self, newest: &Revision, object: Value) {
        let Some(completed) = newest.completed_before else { return };
        let mut wanted: BTreeSet<u32> = (newest.number.saturating_sub(back::REVISIONS).max(1)..newest.number).collect();
        wanted.insert(completed);
        let mut stored = vec![object];
        for number in wanted {
            stored.extend(self.stored(newest, number).await);
        }
        if let Some(why) = back::refused(&self.seen.cluster, stored, newest).await {
            self.seen.no_rollback.insert((newest.namespace.clone(), newest.release.clone()), why);
        }
    }

    /// Kinds of an API version; nothing where that cannot be told.
    async fn served(&mut self, version: &str) -> Option<BTreeSet<String>> {
        if self.is_in_vain() {
            return None;
        }
        let client = &self.whole.client;
        let listed = match version.contains('/') {
            true => client.list_api_group_resources(version).await,
            false => client.list_core_api_resources(version).await,
        };
        match listed {
            Ok(list) => Some(list.resources.into_iter().map(|resource| resource.kind).collect()),
            Err(kube::Error::Api(status)) if status.code == 404 => Some(BTreeSet::new()),
            Err(error) => {
                self.unread(format!("kinds of {version}"), &error);
                None
            }
        }
    }

    /// What the guard's account lacks, and what the user may not do.
    async fn rights(&mut self) {
        if self.is_in_vain() {
            return;
        }
        let webhook = Guard::of(&self.seen).deployments().find(|deployment| arguments(deployment).any(|argument| argument == "webhook")).cloned();
        let account = webhook.and_then(|deployment| {
            let name = text(&deployment, "/spec/template/spec/serviceAccountName")?;
            Some(format!("system:serviceaccount:{}:{name}", text(&deployment, "/metadata/namespace")?))
        });
        let namespaces: Vec<String> = self.milvus_namespaces();
        if let Some(account) = account {
            let there = namespaces.iter().flat_map(|namespace| NEEDED_THERE.iter().map(|right| (Some(namespace.clone()), *right)));
            for (namespace, right) in NEEDED.iter().map(|right| (None, *right)).chain(there) {
                match self.may(Some(&account), namespace.as_deref(), right).await {
                    Ok(true) => {}
                    Ok(false) => self.seen.lacking.push((account.clone(), in_words(namespace.as_deref(), right))),
                    Err(error) => {
                        self.unread("the rights of the guard's account", &error);
                        break;
                    }
                }
            }
        }
        for namespace in &namespaces {
            let right = (api::GROUP, "guardedupgrades", "patch");
            if let Ok(false) = self.may(None, Some(namespace), right).await {
                self.seen.denied.push(in_words(Some(namespace), right));
            }
        }
    }

    fn milvus_namespaces(&self) -> Vec<String> {
        self.seen.namespaces.iter().filter(|namespace| !running::serving_in(&self.seen.cluster, namespace).is_empty()).cloned().collect()
    }

    /// Whether an account, or without one the user, may do something.
    async fn may(&self, account: Option<&str>, namespace: Option<&str>, (group, resource, verb): (&str, &str, &str)) -> Result<bool, kube::Error> {
        let attributes = ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            verb: Some(verb.to_owned()),
            namespace: namespace.map(str::to_owned),
            ..ResourceAttributes::default()
        };
        let client = self.whole.client.clone();
        let status = match account {
            Some(account) => {
                let spec =
                    SubjectAccessReviewSpec { user: Some(account.to_owned()), resource_attributes: Some(attributes), ..SubjectAccessReviewSpec::default() };
                let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
                Api::<SubjectAccessReview>::all(client).create(&PostParams::default(), &review).await?.status
            }
            None => {
                let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() };
                let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
                Api::<SelfSubjectAccessReview>::all(client).create(&PostParams::default(), &review).await?.status
            }
        };
        Ok(status.is_some_and(|status| status.allowed))
    }

    /// Asks for what the webhook has to refuse, in a dry run; in a namespace with Milvus that it looks at.
    async fn probe(&mut self) {
        if self.is_in_vain() {
            return;
        }
        let guard = Guard::of(&self.seen);
        let namespaces = self.milvus_namespaces();
        let is_covered = |name: &&String| {
            let object = self.seen.cluster.of_kind("Namespace").find(|object| text(object, "/metadata/name") == Some(name));
            object.is_none_or(|object| guard.covers(object))
        };
        let Some(namespace) = namespaces.iter().find(is_covered).cloned() else { return };
        self.seen.probe = probe(&self.whole, &namespace).await.map(|answer| (namespace, answer));
    }
}

/// Asks for what the webhook has to refuse in a namespace, in a dry run. Nothing where our kinds are not defined.
pub(super) async fn probe(cluster: &Cluster, namespace: &str) -> Option<Probe> {
    let object = serde_json::from_value::<DynamicObject>(api::guarded_upgrade(namespace, "milvus-guard-doctor", NO_VERSION)).ok()?;
    let upgrades = cluster.api(api::API_VERSION, "GuardedUpgrade", Some(namespace));
    Some(match upgrades.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await {
        Ok(_) => Probe::NotAsked,
        Err(kube::Error::Api(status)) if status.message.contains("failed calling webhook") => Probe::Unanswered(status.message.clone()),
        Err(kube::Error::Api(status)) if status.message.contains("no Milvus version") => Probe::Answered,
        Err(kube::Error::Api(status)) if status.code == 404 => return None,
        Err(error) => Probe::Untried(why(&error)),
    })
}

fn in_words(namespace: Option<&str>, (group, resource, verb): (&str, &str, &str)) -> String {
    let of = if group.is_empty() { String::new() } else { format!(".{group}") };
    format!("{verb} {resource}{of} {}", namespace.map_or_else(|| "in all namespaces".to_owned(), |namespace| format!("in namespace {namespace}")))
}

fn revision(object: &kube::api::PartialObjectMeta<DynamicObject>, driver: Driver) -> Option<Revision> {
    let labels = object.metadata.labels.as_ref()?;
    Some(Revision {
        namespace: object.metadata.namespace.clone()?,
        release: labels.get("name")?.clone(),
        number: labels.get("version")?.parse().ok()?,
        status: labels.get("status")?.clone(),
        since: stored_at(&object.metadata).and_then(|time| i64::try_from(time).ok()),
        driver,
        completed_before: None,
    })
}

fn decoded(text: &str) -> Option<String> {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
}
