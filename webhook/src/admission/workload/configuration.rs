//! Where a release keeps its data, as its configuration says: for the pods that serve, and for a template that waits.
//!
//! A template names its ConfigMap and a hash of it, and all tools write the ConfigMap before the workloads. A pod mounts files of it when it starts, so a pod that is held and restarts starts on whatever
//! lies there. So when a write moves data, the files that serve stay, those of the write wait beside them under other names, and what serves is noted by the hash that running pods started
//! with; a workload that arrives later is compared with that note. All other changes of configuration pass: every version reads them alike or passes over them. A file that pods which serve
//! mount stays as long as they do. This is known for all charts since 2.0, whoever applies them, and what is not known is no difference: a configuration that was changed while nobody looked,
//! or a workload that arrives before its ConfigMap, is not held for it. Values are noted as hashes, but for the kind of queue. A write that says what serves takes what waits away: nothing
//! tells a rollback from an edit of something else.
//!
//! Doubt: a ConfigMap passes as it is; a workload whose configuration cannot be read is told so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use milvus_guard::source::configuration::{DataIdentity, FILES, Part};
use serde_json::Value;

use super::super::Answer;
use super::super::change::{digest_of_text, same_template};
use super::super::exceptions::Mode;
use super::super::guard::Guard;
use super::super::hold::{KEPT_FILES_ANNOTATION, SERVING_CONFIGURATION_ANNOTATION, WAITING_SUFFIX};
use super::super::patch::Patching;
use super::super::request::{Operation, Request};
use super::{exceptions, may_stop};
use crate::cluster::running::{Serving, configuration_name, mounts_configuration, serving_in};
use crate::cluster::{Cluster, Kind, annotation, text};

/// The longest note that is read, in bytes.
const MAX_NOTE_BYTES: usize = 64 << 10;

/// Identities by the hash of the configuration that pods started with.
type Note = BTreeMap<String, DataIdentity>;

/// What a template that waits keeps elsewhere than what serves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Moved {
    /// What, in words.
    pub(super) words: Option<String>,
    /// The kinds of queue, of what serves and of what waits, where both are known.
    pub(super) queues: Option<(Arc<str>, Arc<str>)>,
    /// Why it is not known.
    pub(super) unread: Option<String>,
}

/// Judges a ConfigMap: if this write moves data, what serves stays where pods find it, and what is written waits beside it.
pub(super) fn judge<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    let mut answer = Answer::admitted();
    let mode = guard.mode(&request.namespace);
    if request.operation != Operation::Update || mode == Mode::Audit {
        return answer;
    }
    let is_its = |serving: &Serving| serving.pods > 0 && configuration_name(serving.template()) == Some(&request.name);
    let running: Vec<Serving> = serving_in(&*guard.cluster, &request.namespace).into_iter().filter(is_its).collect();
    let hashes: BTreeSet<&str> = running.iter().filter_map(Serving::config_checksum).collect();
    let (before, after) = (identity(&request.old_object), identity(&request.object));
    let mut noted = note(&request.old_object);
    let of = |hash: &str| (hash.to_owned(), noted.remove(hash).unwrap_or_else(|| before.clone()));
    let note: Note = hashes.into_iter().map(of).filter(|(_, serves)| !serves.differences(&after).is_empty()).collect();
    let mut patching = Patching::new(&request.object);
    if note.is_empty() {
        patching.unannotate(SERVING_CONFIGURATION_ANNOTATION);
        FILES.iter().for_each(|file| patching.remove(&path_of(file, WAITING_SUFFIX)));
        if mode == Mode::Enforce {
            keep_mounted(request, &running, &mut patching, &mut answer);
        }
    } else {
        patching.annotate(SERVING_CONFIGURATION_ANNOTATION, &written(&note));
        let moved: Vec<String> = note.values().map(|serves| words(serves, &after)).collect::<BTreeSet<_>>().into_iter().collect();
        let moved = moved.join("; ");
        let release = running.first().and_then(|serving| text(serving.template(), "/metadata/labels/app.kubernetes.io~1instance"));
        let upgrade = release.and_then(|release| guard.cluster.object(Kind::GuardedUpgrade, &request.namespace, release));
        if may_stop(guard, request, &exceptions(guard, request, upgrade.as_deref()), &mut answer, &format!("it moves {moved}")) {
            set_aside(request, &mut patching);
            answer.warnings.push(format!(
                "ConfigMap {} moves {moved}: what serves stays, what is written waits beside it ({WAITING_SUFFIX}), and workloads that take it up are held",
                request.name
            ));
        }
    }
    answer.patch = patching.finish();
    answer
}

/// The text of a file of a configuration.
fn file_of<'m>(map: &'m Value, file: &str) -> Option<&'m str> {
    text(map, &path_of(file, ""))
}

fn path_of(file: &str, suffix: &str) -> String {
    format!("/data/{file}{suffix}")
}

/// Leaves the files that serve where pods find them, and puts those of this write beside them; one that is left out waits empty.
fn set_aside(request: &Request, patching: &mut Patching<'_>) {
    for file in FILES {
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
fn keep_mounted(request: &Request, running: &[Serving], patching: &mut Patching<'_>, answer: &mut Answer) {
    let was_kept = |file: &str| annotation(&request.old_object, KEPT_FILES_ANNOTATION).is_some_and(|kept| kept.split(',').any(|kept| kept == file));
    let mut kept = Vec::new();
    for file in FILES {
        let is_mounted = running.iter().any(|serving| mounts_configuration(serving.template(), file));
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
pub(super) async fn moved<C: Cluster>(guard: &Guard<C>, namespace: &str, template: &Value, own: &[Serving], release: &[Serving]) -> Moved {
    let basis = if own.iter().any(|serving| serving.pods > 0) { own } else { release };
    let running: Vec<&Serving> = basis.iter().filter(|serving| serving.pods > 0).collect();
    let (Some(name), false) = (configuration_name(template), running.is_empty() || own.iter().any(|serving| same_template(serving.template(), template)))
    else {
        return Moved::default();
    };
    let wanted = match read(guard, namespace, name).await {
        Ok(object) => object,
        Err(unread) => return Moved { unread: Some(unread), ..Moved::default() },
    };
    let waits = identity_that_waits(&wanted);
    let noted = note(&wanted);
    let mut found = Moved::default();
    for serving in running {
        let hash = serving.config_checksum().unwrap_or_default();
        let serves = match configuration_name(serving.template()) {
            Some(other) if other != name => match read(guard, namespace, other).await {
                Ok(object) => note(&object).remove(hash).unwrap_or_else(|| identity(&object)),
                Err(unread) => {
                    found.unread = Some(unread);
                    continue;
                }
            },
            _ => noted.get(hash).unwrap_or(&waits).clone(),
        };
        if !serves.differences(&waits).is_empty() {
            found.words = Some(words(&serves, &waits));
        }
        if found.queues.is_none() || found.words.is_some() {
            found.queues = serves.queue().cloned().zip(waits.queue().cloned());
        }
        if found.words.is_some() {
            break;
        }
    }
    found
}

async fn read<C: Cluster>(guard: &Guard<C>, namespace: &str, name: &str) -> Result<Value, String> {
    match guard.cluster.config_map(namespace, name).await {
        Ok(Some(object)) => Ok(object),
        Ok(None) => Err(format!("its ConfigMap {name} is not there")),
        Err(error) => Err(format!("its ConfigMap {name} could not be read ({error})")),
    }
}

/// Where a ConfigMap says that data lies, for pods that start now.
fn identity(map: &Value) -> DataIdentity {
    read_identity(|file| file_of(map, file))
}

/// Where data will lie once what waits is let go; the same where nothing waits.
fn identity_that_waits(map: &Value) -> DataIdentity {
    read_identity(|file| text(map, &path_of(file, WAITING_SUFFIX)).or_else(|| file_of(map, file)))
}

/// Values but the queue's kind as hashes: they are written down beside the configuration, and must tell nothing.
fn read_identity<'m>(text_of: impl Fn(&str) -> Option<&'m str>) -> DataIdentity {
    let mut identity = DataIdentity::read(FILES.iter().filter_map(|file| text_of(file)));
    identity.0.iter_mut().filter(|(path, _)| !is_plain(path)).for_each(|(_, value)| *value = digest_of_text(value).into());
    identity
}

/// Whether a value is a word of Milvus's own.
fn is_plain(path: &str) -> bool {
    path.ends_with(".type")
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
