//! Where a release keeps its data, as its configuration and the environment of its containers say: for the pods that serve, and for a template that waits.
//!
//! A template names its ConfigMap and a hash of it, and all tools write the ConfigMap before the workloads. A pod mounts files of it when it starts, so a pod that is held and restarts starts on whatever
//! lies there. So when a write moves data, the files that serve stay, those of the write wait beside them under other names, and what serves is noted by the hash that running pods started
//! with; a workload that arrives later is compared with that note. All other changes of configuration pass: every version reads them alike or passes over them. A file that pods which serve
//! mount stays as long as they do. This is known for all charts since 2.0, whoever applies them, and what is not known is no difference: a configuration that was changed while nobody looked,
//! or a workload that arrives before its ConfigMap, is not held for it. Values are noted as hashes, but for the kind of queue. A write that says what serves takes what waits away: nothing
//! tells a rollback from an edit of something else.
//!
//! A ConfigMap that is deleted and made anew lost what was noted on it: that it is not known where the pods that serve have their data is noted instead, and what takes the new one up is held for that.
//!
//! Doubt: a ConfigMap passes as it is; a workload whose configuration cannot be read is told so.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use milvus_guard::source::configuration::{DataIdentity, FILES, Part};
use serde_json::Value;

use super::super::Answer;
use super::super::change::same_template;
use super::super::exceptions::Mode;
use super::super::guard::Guard;
use super::super::hold::{KEPT_FILES_ANNOTATION, SERVING_CONFIGURATION_ANNOTATION, WAITING_SUFFIX};
use super::super::patch::Patching;
use super::super::request::{Operation, Request};
use super::mounted::{self, Maps, Mounted, hashed, is_plain, path_of};
use super::{exceptions, may_stop};
use crate::cluster::running::{Serving, container, counted, mounts_configuration, serving_with, stays};
use crate::cluster::{Cluster, Kind, annotation, text};

/// The longest note that is read, in bytes.
const MAX_NOTE_BYTES: usize = 64 << 10;

/// Identities by the hash of the configuration that pods started with; an empty one where it is not known.
type Note = BTreeMap<String, DataIdentity>;

/// What a template that waits keeps elsewhere than what serves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Moved {
    /// What, in words.
    pub(super) words: Option<String>,
    /// The kinds of queue, of what serves and of what waits, where both are known.
    pub(super) queues: Option<(Arc<str>, Arc<str>)>,
    /// Settings that lead elsewhere, so that nothing of what was written is found there.
    pub(super) settings: Vec<Arc<str>>,
    /// Why it is not known.
    pub(super) unread: Option<String>,
    /// Why it cannot be known where what serves has its data, or what waits.
    pub(super) unknown: Option<&'static str>,
}

const MADE_ANEW: &str = "its ConfigMap was deleted and made anew";
const FROM_ELSEWHERE: &str = "its configuration is mounted from a volume that is not read";

/// Judges a ConfigMap: if this write moves data, what serves stays where pods find it, and what is written waits beside it.
pub(super) async fn judge<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    let mut answer = Answer::admitted();
    let mode = guard.mode(&request.namespace);
    if mode == Mode::Audit {
        return answer;
    }
    let all: Vec<(Serving, Mounted)> = serving_with(&*guard.cluster, &request.namespace, &request.name)
        .into_iter()
        .map(|serving| (serving.clone(), Mounted::of(serving.template())))
        .collect();
    let mounting = all.iter().filter(|(_, mounted)| mounted.maps().contains(request.name.as_str()));
    let counts = counted(mounting.clone().map(|(serving, _)| serving));
    let running: Vec<&(Serving, Mounted)> = mounting.filter(|(serving, _)| counts.contains(&serving)).collect();
    if running.is_empty() && request.operation == Operation::Create {
        return answer;
    }
    let mut patching = Patching::new(&request.object);
    match request.operation {
        Operation::Create => forgotten(guard, request, &running, &mut patching, &mut answer),
        Operation::Update => {
            let others = running.iter().flat_map(|(_, mounted)| mounted.maps()).filter(|map| *map != request.name).collect();
            let (others, _) = mounted::read(guard, &request.namespace, &others).await;
            written_over(guard, request, mode, (&running, &others), &mut patching, &mut answer);
        }
        _ => {}
    }
    answer.patch = patching.finish();
    answer
}

fn written_over<C: Cluster>(
    guard: &Guard<C>,
    request: &Request,
    mode: Mode,
    (running, others): (&[&(Serving, Mounted)], &Maps),
    patching: &mut Patching<'_>,
    answer: &mut Answer,
) {
    let with =
        |object: &Value| -> Maps { others.iter().map(|(name, map)| (name.clone(), map.clone())).chain([(request.name.clone(), object.clone())]).collect() };
    let (maps_before, maps_after) = (with(&request.old_object), with(&request.object));
    let noted = note(&request.old_object);
    let mut kept = Note::new();
    let mut moved = BTreeSet::new();
    for (serving, mounted) in running {
        let Some(hash) = serving.config_checksum() else { continue };
        let (before, after) = (hashed(mounted.now(&maps_before)), hashed(mounted.now(&maps_after)));
        let serves = noted.get(hash).unwrap_or(&before);
        // Where it is not known, what lies there is what a pod that restarts has taken up.
        let is_unknown = noted.get(hash).is_some_and(|serves| serves.0.is_empty());
        let compared = if is_unknown { &before } else { serves };
        let is_moved = !compared.differences(&after).is_empty();
        if is_moved {
            moved.insert(words(compared, &after));
        }
        if is_moved || is_unknown {
            kept.insert(hash.to_owned(), serves.clone());
        }
    }
    let keys: BTreeSet<&str> = FILES.into_iter().chain(running.iter().flat_map(|(_, mounted)| mounted.keys_of(&request.name))).collect();
    if kept.is_empty() {
        patching.unannotate(SERVING_CONFIGURATION_ANNOTATION);
    } else {
        patching.annotate(SERVING_CONFIGURATION_ANNOTATION, &written(&kept));
    }
    if moved.is_empty() {
        keys.iter().for_each(|key| patching.remove(&path_of(key, WAITING_SUFFIX)));
        if mode == Mode::Enforce {
            keep_mounted(request, running, patching, answer);
        }
        return;
    }
    let moved = moved.into_iter().collect::<Vec<_>>().join("; ");
    let release = running.first().and_then(|(serving, _)| text(serving.template(), "/metadata/labels/app.kubernetes.io~1instance"));
    let upgrade = release.and_then(|release| guard.cluster.object(Kind::GuardedUpgrade, &request.namespace, release));
    if may_stop(guard, request, &exceptions(guard, request, upgrade.as_deref()), answer, &format!("it moves {moved}")) {
        set_aside(request, &keys, patching);
        answer.warnings.push(format!(
            "ConfigMap {} moves {moved}: what serves stays, what is written waits beside it ({WAITING_SUFFIX}), and workloads that take it up are held",
            request.name
        ));
    }
}

/// A ConfigMap that is made while pods serve which started with one of this name. Pods that are not ready may have waited for it, and those of a release that was uninstalled are about to go.
fn forgotten<C: Cluster>(guard: &Guard<C>, request: &Request, running: &[&(Serving, Mounted)], patching: &mut Patching<'_>, answer: &mut Answer) {
    let is_ready = |serving: &Serving| serving.object.pointer("/status/readyReplicas").and_then(Value::as_u64).is_some_and(|ready| ready > 0);
    let serves = running.iter().map(|(serving, _)| serving).filter(|serving| is_ready(serving) && stays(&*guard.cluster, &request.namespace, serving));
    let note: Note = serves.filter_map(Serving::config_checksum).map(|hash| (hash.to_owned(), DataIdentity::default())).collect();
    if note.is_empty() {
        return;
    }
    patching.annotate(SERVING_CONFIGURATION_ANNOTATION, &written(&note));
    answer.warnings.push(format!(
        "ConfigMap {} is made anew while pods serve that started with the one before: nobody knows any more where their data lies, and workloads that take this one up are held",
        request.name
    ));
}

/// The text of a file of a configuration.
fn file_of<'m>(map: &'m Value, key: &str) -> Option<&'m str> {
    text(map, &path_of(key, ""))
}

/// Leaves the files that serve where pods find them, and puts those of this write beside them; one that is left out waits empty.
fn set_aside(request: &Request, keys: &BTreeSet<&str>, patching: &mut Patching<'_>) {
    for file in keys {
        let (serves, sent) = (file_of(&request.old_object, file), file_of(&request.object, file));
        if serves == sent {
            patching.remove(&path_of(file, WAITING_SUFFIX));
            continue;
        }
        match serves {
            Some(serves) => patching.set(&path_of(file, ""), serves.into()),
            None => patching.remove(&path_of(file, "")),
        }
        patching.set(&path_of(file, WAITING_SUFFIX), sent.unwrap_or_default().into());
    }
}

/// Keeps files that a write leaves out for as long as pods that serve mount them: charts below 3.3.2 have `milvus.yaml`, later ones `default.yaml`, and a pod whose file is gone cannot start again.
fn keep_mounted(request: &Request, running: &[&(Serving, Mounted)], patching: &mut Patching<'_>, answer: &mut Answer) {
    let was_kept = |file: &str| annotation(&request.old_object, KEPT_FILES_ANNOTATION).is_some_and(|kept| kept.split(',').any(|kept| kept == file));
    let mut kept = Vec::new();
    for file in FILES {
        let is_mounted = running.iter().any(|(serving, _)| mounts_configuration(serving.template(), file));
        match (file_of(&request.old_object, file), file_of(&request.object, file)) {
            (Some(serves), None) if is_mounted => {
                patching.set(&path_of(file, ""), serves.into());
                kept.push(file);
            }
            (Some(_), Some(_)) if is_mounted && was_kept(file) => kept.push(file),
            (Some(before), Some(after)) if before == after && was_kept(file) => patching.remove(&path_of(file, "")),
            _ => {}
        }
    }
    if kept.is_empty() {
        patching.unannotate(KEPT_FILES_ANNOTATION);
        return;
    }
    patching.annotate(KEPT_FILES_ANNOTATION, &kept.join(","));
    answer.warnings.push(format!("ConfigMap {} keeps {}: pods that serve mount it", request.name, kept.join(", ")));
}

/// Compares the configuration of a template with that of the pods that serve: those of its own Deployment, or of the release where it has none.
pub(super) async fn moved<C: Cluster>(guard: &Guard<C>, namespace: &str, (template, component): (&Value, &str), own: &[Serving], release: &[Serving]) -> Moved {
    let running = counted(if own.iter().any(|serving| serving.pods > 0) { own } else { release });
    if running.is_empty() || own.iter().any(|serving| same_template(serving.template(), template)) {
        return Moved::default();
    }
    let mounted = Mounted::of(template);
    let of_running: Vec<(&Serving, Mounted)> = running.into_iter().map(|serving| (serving, Mounted::of(serving.template()))).collect();
    let names = of_running.iter().flat_map(|(_, mounted)| mounted.maps()).chain(mounted.maps()).collect();
    let (maps, unread) = mounted::read(guard, namespace, &names).await;
    let mut found = Moved { unread, ..Moved::default() };
    let waits = hashed(mounted.then(&maps));
    let mut noted = Note::new();
    maps.values().for_each(|map| noted.extend(note(map)));
    let variables = hashed(environment(template, component));
    for (serving, mounted_before) in of_running {
        let hash = serving.config_checksum().unwrap_or_default();
        // Of the same ConfigMaps what serves is noted where it is something else than what waits.
        let unnoted = if mounted_before.maps() == mounted.maps() { mounted_before.then(&maps) } else { mounted_before.now(&maps) };
        let serves = noted.get(hash).cloned().unwrap_or_else(|| hashed(unnoted));
        if noted.get(hash).is_some_and(|serves| serves.0.is_empty()) {
            found.unknown = Some(MADE_ANEW);
        } else if !mounted_before.is_read_as(&mounted) {
            found.unknown = Some(FROM_ELSEWHERE);
        }
        let variables_before = hashed(environment(serving.template(), &serving.component));
        if variables_from_elsewhere(serving.template(), &serving.component) != variables_from_elsewhere(template, component) {
            found.unread = Some("its environment comes from elsewhere than that of the pods that serve (envFrom)".to_owned());
        }
        found.compare(&seen_beside(&serves, &variables_before, &variables), &seen_beside(&waits, &variables, &variables_before));
        if found.words.is_some() {
            break;
        }
    }
    found
}

impl Moved {
    fn compare(&mut self, serves: &DataIdentity, waits: &DataIdentity) {
        let differences = serves.differences(waits);
        if !differences.is_empty() {
            self.words = Some(words(serves, waits));
        }
        if self.queues.is_none() || self.words.is_some() {
            self.queues = serves.queue().cloned().zip(waits.queue().cloned());
        }
        self.settings = differences.into_iter().filter(|path| !overlaps(serves.0.get(path), waits.0.get(path))).collect();
    }
}

/// Whether two lists have a member in common: endpoints of one cluster.
fn overlaps(before: Option<&Arc<str>>, after: Option<&Arc<str>>) -> bool {
    before.zip(after).is_some_and(|(before, after)| before.split(',').any(|one| after.split(',').any(|other| one == other)))
}

/// What the variables of a container say over its files, as hashes. A setting that only the other side's variables name is not known to be the same here.
fn seen_beside(files: &DataIdentity, variables: &DataIdentity, others: &DataIdentity) -> DataIdentity {
    let mut seen = files.clone().under(variables);
    for path in others.0.keys() {
        seen.0.entry(Arc::clone(path)).or_insert_with(|| "(not told)".into());
    }
    seen
}

/// Where the variables of a component's container say that data lies.
fn environment(template: &Value, component: &str) -> DataIdentity {
    let variables = container(template, component).and_then(|container| container.get("env")).and_then(Value::as_array);
    let read: Vec<(&str, Cow<'_, str>)> = variables.into_iter().flatten().filter_map(|variable| Some((text(variable, "/name")?, value_of(variable)))).collect();
    DataIdentity::of_environment(read.iter().map(|(name, value)| (*name, &**value)))
}

/// The value of a variable, or where it is read from.
fn value_of(variable: &Value) -> Cow<'_, str> {
    match (text(variable, "/value"), variable.get("valueFrom")) {
        (Some(value), _) => value.into(),
        (None, Some(source)) => format!("read from {source}").into(),
        (None, None) => "".into(),
    }
}

fn variables_from_elsewhere<'v>(template: &'v Value, component: &str) -> Option<&'v Value> {
    container(template, component)?.get("envFrom").filter(|sources| sources.as_array().is_some_and(|sources| !sources.is_empty()))
}

/// The endpoints of the etcd that pods of a template have their metadata in, parted by commas; nothing where that is not known, or where it is no etcd.
pub(super) async fn etcd_of<C: Cluster>(guard: &Guard<C>, namespace: &str, (template, component): (&Value, &str)) -> Option<Arc<str>> {
    let mounted = Mounted::of(template);
    let (maps, unread) = mounted::read(guard, namespace, &mounted.maps()).await;
    let is_read = unread.is_none() && mounted.is_read() && variables_from_elsewhere(template, component).is_none();
    let places = mounted.now(&maps).under(&environment(template, component)).0;
    let is_etcd = places.get("metastore.type").is_none_or(|kind| **kind == *"etcd") && !places.contains_key("MILVUSCONF");
    places.get("etcd.endpoints").filter(|_| is_read && is_etcd).cloned()
}

/// Where the pods that serve have their data, in clear: never to be shown or kept.
pub(super) struct DataPlaces(DataIdentity);

impl DataPlaces {
    /// Read from the configuration and the environment of what serves; nothing where that is not known.
    pub(super) async fn read<C: Cluster>(guard: &Guard<C>, namespace: &str, release: &[Serving]) -> Option<Self> {
        let serving = counted(release).into_iter().next()?;
        let mounted = Mounted::of(serving.template());
        let (maps, unread) = mounted::read(guard, namespace, &mounted.maps()).await;
        let files = mounted.now(&maps);
        (unread.is_none() && !maps.is_empty()).then(|| Self(files.under(&environment(serving.template(), &serving.component))))
    }

    /// The value of a setting.
    pub(super) fn get(&self, path: &str) -> Option<&str> {
        self.0.0.get(path).map(|value| &**value)
    }
}

fn note(map: &Value) -> Note {
    let Some(text) = annotation(map, SERVING_CONFIGURATION_ANNOTATION).filter(|text| text.len() <= MAX_NOTE_BYTES) else { return Note::default() };
    let read: BTreeMap<String, BTreeMap<Arc<str>, Arc<str>>> = serde_json::from_str(text).unwrap_or_default();
    read.into_iter().map(|(hash, values)| (hash, DataIdentity(values))).collect()
}

fn written(note: &Note) -> String {
    let plain: BTreeMap<&str, BTreeMap<&str, &str>> =
        note.iter().map(|(hash, identity)| (hash.as_str(), identity.0.iter().map(|(path, value)| (&**path, &**value)).collect())).collect();
    serde_json::to_string(&plain).unwrap_or_default()
}

/// What differs: `the message queue (pulsar serves, kafka waits), the metadata (etcd.rootPath)`.
fn words(serves: &DataIdentity, waits: &DataIdentity) -> String {
    let mut by_part: BTreeMap<Part, Vec<String>> = BTreeMap::new();
    for path in serves.differences(waits) {
        let Some(part) = Part::of(&path) else { continue };
        let detail = match (is_plain(&path), serves.0.get(&path), waits.0.get(&path)) {
            (true, Some(before), Some(after)) => format!("{before} serves, {after} waits"),
            _ => path.to_string(),
        };
        by_part.entry(part).or_default().push(detail);
    }
    by_part.iter().map(|(part, details)| format!("{} ({})", part.word(), details.join(", "))).collect::<Vec<_>>().join(", ")
}
