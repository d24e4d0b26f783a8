//! Gate 3: workloads of a Milvus release. Holds and never refuses: a refusal in the middle of an apply would leave half a change.
//!
//! Doubt: a Deployment whose template moves, or that is new beside what serves, is held and blocked until it was judged; everything else passes.

mod configuration;
mod dependency;
mod known;
mod mounted;
mod path;

use std::sync::Arc;

use jiff::Timestamp;
use milvus_guard::model::version::MilvusVersion;
use serde_json::{Value, json};

use super::change::{self, digest, same_template};
use super::exceptions::{Exceptions, Mode, Waiver};
use super::guard::{Guard, releases_of};
use super::hold::{
    self, BLOCKED_ANNOTATION, CHANGE_ANNOTATION, DECLARED_ANNOTATION, HELD_LABEL, HOLD_ANNOTATION, HOLD_ANNOTATIONS, Identity, JUDGED_FOR_ANNOTATION,
    MARKS_ANNOTATION, MIXED_COORDINATOR, OldData, Reason, SEPARATE_COORDINATORS, SERVING_CHART_ANNOTATION, STOPPED_ANNOTATION, STOPPED_FOR_ANNOTATION,
    Surroundings, TEMPLATE_ANNOTATION, is_held, is_let_go, reason, stopped,
};
use super::judge::Doubt;
use super::opening;
use super::patch::Patching;
use super::receipts::Newest;
use super::request::{Operation, Request};
use super::{Answer, BREAK_GLASS};
use crate::api;
use crate::cluster::running::{Serving, image, serving, serving_of};
use crate::cluster::{Cluster, Kind, annotation, label, text};

/// What keeps Helm from deleting an object.
pub(super) const KEEP: (&str, &str) = ("helm.sh/resource-policy", "keep");

/// The label that tells a component of Milvus.
const COMPONENT_LABEL: &str = "component";

/// Why what was held without a verdict is not released.
const UNJUDGED: &str =
    "it could not be judged in time, so it is not known whether it may ever run; the controller has it judged again, and so does whoever writes it again";

/// Whether the Milvus operator is said to own an object, and not we hold it. A label that says so is not believed.
#[must_use]
pub fn is_operated(object: &Value) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let is_operators = |owner: &Value| text(owner, "/apiVersion").is_some_and(|version| version.starts_with("milvus.io/"));
    owners.into_iter().flatten().any(is_operators) && !is_held(object)
}

/// Whether a Deployment is the operator's own work, which is left alone: an owner is put on by whoever may edit it, and takes effect from the next write on; what selects its pods cannot change,
/// and the operator's never name a component as Milvus's charts do (`component`; its own is `app.kubernetes.io/component`).
#[must_use]
pub fn is_by_operator(deployment: &Value) -> bool {
    is_operated(deployment) && !Identity::is_of_charts(deployment)
}

/// Whether a request is about what the operator made and owned already: an owner that comes with a write could take a hold off with it. The conditions of this gate tell the same.
fn is_of_operator(request: &Request) -> bool {
    request.kind.kind == "Deployment" && !dependency::is_one(request) && is_by_operator(old(request).unwrap_or(&request.object))
}

/// Judges a request of gate 3.
pub(super) async fn judge<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    if !matches!(request.operation, Operation::Create | Operation::Update) || is_controllers(guard, request) && !is_to_be_judged(request) {
        return Answer::admitted();
    }
    let mut answer = if is_of_operator(request) { Answer::admitted() } else { judge_ours(guard, request).await };
    tell_of_operator(request, &mut answer);
    answer
}

async fn judge_ours<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    match (request.kind.kind.as_str(), request.sub_resource.as_deref()) {
        ("Deployment", None) if known::is_milvus(request) => deployment(guard, request).await,
        ("Deployment" | "StatefulSet", None) => dependency::judge(guard, request).await,
        ("Scale", _) | (_, Some("scale")) => scale(guard, request),
        ("PersistentVolumeClaim", None) => claim(guard, request),
        ("ConfigMap", None) => configuration::judge(guard, request).await,
        _ => Answer::admitted(),
    }
}

fn is_controllers<C: Cluster>(guard: &Guard<C>, request: &Request) -> bool {
    request.user_info.username == guard.configuration.controller
}

/// Whether the controller asks for a verdict on what was held, and by no rule: of what never ran it remembers by its note that it did.
fn is_asked_of_hold<C: Cluster>(guard: &Guard<C>, request: &Request) -> bool {
    is_controllers(guard, request) && annotation(&request.old_object, BLOCKED_ANNOTATION).is_none()
}

/// Whether the controller asks for a verdict on what is held, as the conditions of this gate tell, too: all else that it writes is decided.
fn is_to_be_judged(request: &Request) -> bool {
    let judged_for = |object| annotation(object, JUDGED_FOR_ANNOTATION);
    request.kind.kind == "Deployment"
        && request.sub_resource.is_none()
        && is_held(&request.old_object)
        && is_held(&request.object)
        && judged_for(&request.object) != judged_for(&request.old_object)
}

/// Helm that touches what the operator runs is told so.
fn tell_of_operator(request: &Request, answer: &mut Answer) {
    let is_its = request.kind.kind == "Deployment" && request.sub_resource.is_none() && is_operated(old(request).unwrap_or(&request.object));
    let by_helm = annotation(&request.object, "meta.helm.sh/release-name").is_some();
    if is_its && by_helm && request.object.get("spec") != request.old_object.get("spec") {
        answer.warnings.push(format!("MV708: {} {} belongs to the Milvus operator, which will undo this change", request.kind.kind, request.name));
        answer.audit.insert("rules".into(), "MV708".into());
    }
}

/// The old object; nothing on CREATE.
fn old(request: &Request) -> Option<&Value> {
    (!request.old_object.is_null()).then_some(&request.old_object)
}

/// The old object, where it is held with the very template that is written.
fn waited(request: &Request) -> Option<&Value> {
    old(request).filter(|old| is_held(old) && same_template(template(old), template(&request.object)))
}

fn template(object: &Value) -> &Value {
    object.pointer("/spec/template").unwrap_or(&Value::Null)
}

async fn deployment<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    let Some(identity) = Identity::of(&request.object) else { return Answer::admitted() };
    let namespace = request.namespace.as_str();
    let template = template(&request.object);
    let own = own_serving(guard, request, &identity);
    let release: Vec<Serving> = serving(&*guard.cluster, namespace, identity.release).into_iter().filter(|other| *other.label == *identity.label).collect();
    let upgrade = guard.cluster.object(Kind::GuardedUpgrade, namespace, identity.release);
    let moved = if old(request).is_some_and(|old| is_let_go(old, template)) {
        configuration::Moved::default()
    } else {
        configuration::moved(guard, namespace, (template, identity.component), &own, &release).await
    };
    let old_data = if own.is_empty() && release.is_empty() { old_data(guard, namespace, &identity, template).await } else { OldData::None };
    let around = Surroundings {
        own: &own,
        release: &release,
        is_open: is_held(&request.old_object) && annotation(&request.old_object, JUDGED_FOR_ANNOTATION) != Some(opening::NOT_JUDGED)
            || is_open(guard, namespace, identity.release, Some((identity.label, &request.name))),
        moved: moved.words.as_deref(),
        unknown: moved.unknown,
        old_data: &old_data,
    };
    let why = reason(&request.object, old(request), &identity, &around);
    let mut patching = Patching::new(&request.object);
    let mut answer = Answer::admitted();
    let exceptions = exceptions(guard, request, upgrade.as_deref());
    if is_controllers(guard, request) && (exceptions.break_glass.is_some() || guard.mode(namespace) != Mode::Enforce) {
        // What is held already stays so: all of it at once would be no order.
        return answer;
    }
    match &why {
        Some(why) if let Some(waiver) = waiver_of(why, &identity, &exceptions) => {
            answer.audit.insert("waived".into(), waiver.rule.to_string());
            answer.warnings.push(format!("{} is waived: {}; {} runs at once", waiver.rule, waiver.reason, request.name));
            release_hold(request, &mut patching);
        }
        Some(why) if may_stop(guard, request, &exceptions, &mut answer, &why.sentence()) => {
            let chart = serving_chart(guard, request, &identity);
            let change = path::Change { why, moved: &moved, chart: chart.as_deref() };
            let blocked = path::blocked(guard, request, &identity, &around, &change, &exceptions);
            hold(request, &identity, &why.sentence(), blocked.as_deref(), &mut patching, &mut answer);
            let excepted = guard.namespace(namespace).as_deref().and_then(opening::excepts);
            let asked = annotation(&request.object, JUDGED_FOR_ANNOTATION).filter(|_| blocked.is_none() && is_asked_of_hold(guard, request));
            let own = || opening::of_release(upgrade.as_deref(), excepted.as_deref(), Timestamp::now());
            let judged_for = asked.filter(|note| opening::is_beside(note)).map(str::to_owned).or_else(own);
            patching.note(JUDGED_FOR_ANNOTATION, judged_for.as_deref());
            let declared = match upgrade.as_deref() {
                Some(upgrade) => declared_by(upgrade, image(template, identity.component)),
                None => waited(request).and_then(|waited| annotation(waited, DECLARED_ANNOTATION)),
            };
            patching.note(DECLARED_ANNOTATION, declared);
            if let Some(chart) = &chart {
                patching.annotate(SERVING_CHART_ANNOTATION, chart);
            }
        }
        _ => release_hold(request, &mut patching),
    }
    if guard.mode(namespace) != Mode::Audit {
        if let Some(unread) = &moved.unread {
            answer.warnings.push(format!("{}: {unread}, so it is not known whether its queue, metadata or storage moves", request.name));
        }
        stay_stopped(request, &mut patching, &mut answer);
        if around.is_open {
            put_marks_back(request, &mut patching, &mut answer);
        }
        answer.patch = patching.finish();
    }
    answer
}

/// The uid of a `GuardedUpgrade` by which a person declared that this image comes.
fn declared_by<'u>(upgrade: &'u Value, wanted: Option<&str>) -> Option<&'u str> {
    let to = api::upgrade_to(upgrade)?.trim().parse::<MilvusVersion>().ok()?;
    let is_led_to = wanted.and_then(|image| super::milvus::version_of(image, &api::image_versions(upgrade))) == Some(to);
    text(upgrade, "/metadata/uid").filter(|_| api::is_by_person(upgrade) && is_led_to)
}

/// What serves of this Deployment: its ReplicaSets, or where none of the template that was there before is known, that template, if it was not itself held.
fn own_serving<C: Cluster>(guard: &Guard<C>, request: &Request, identity: &Identity<'_>) -> Vec<Serving> {
    let name = text(&request.object, "/metadata/name").unwrap_or(&request.name);
    let own = serving_of(&*guard.cluster, &request.namespace, name);
    match old(request) {
        Some(before) if !is_held(before) && (own.is_empty() || is_unseen(before, &own, identity)) => {
            let pods = before.pointer("/status/replicas").and_then(Value::as_u64).unwrap_or_default();
            vec![Serving {
                deployment: name.into(),
                component: identity.component.into(),
                label: identity.label.into(),
                pods,
                object: Arc::new(before.clone()),
            }]
        }
        _ => own,
    }
}

/// Whether the cache is behind: the template that was there runs, and no ReplicaSet of it was seen yet.
fn is_unseen(before: &Value, own: &[Serving], identity: &Identity<'_>) -> bool {
    let is_paused = before.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or_default();
    let wanted = before.pointer("/spec/template").and_then(|template| image(template, identity.component));
    !is_paused && !own.iter().any(|serving| serving.image() == wanted)
}

/// Whether an upgrade of a release is open: declared and begun, or a workload of it is held. `of` narrows that to one Milvus of the release, by its name label, and leaves out
/// the object that is judged.
fn is_open<C: Cluster>(guard: &Guard<C>, namespace: &str, release: &str, of: Option<(&str, &str)>) -> bool {
    let is_sibling = |object: &Value| {
        Identity::of(object).is_some_and(|other| {
            other.release == release && of.is_none_or(|(label, judged)| other.label == label && text(object, "/metadata/name") != Some(judged))
        })
    };
    guard.cluster.object(Kind::GuardedUpgrade, namespace, release).as_deref().is_some_and(api::is_open)
        || guard.cluster.naming(Kind::Deployment, namespace, HOLD_ANNOTATION).iter().any(|object| is_held(object) && is_sibling(object))
}

/// Data that was there before this install. The newest receipt knows what wrote it, wherever it lies; without one, claims of StatefulSets tell of it, which no install writes before its Deployments.
async fn old_data<C: Cluster>(guard: &Guard<C>, namespace: &str, identity: &Identity<'_>, template: &Value) -> OldData {
    let is_of_a_set = |object: &Arc<Value>| {
        let last = text(object, "/metadata/name").and_then(|name| name.rsplit_once('-'));
        last.is_some_and(|(_, ordinal)| !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let has_claims = guard.claims_of(namespace, identity.release).iter().any(is_of_a_set);
    match Newest::of(guard, namespace, identity.release) {
        Some(newest) if has_claims || !begins_empty(guard, namespace, identity, template).await => OldData::Of(newest.to),
        None if has_claims => OldData::Unknown,
        _ => OldData::None,
    }
}

/// Whether pods of a template that start now find no metadata: an etcd of the release's own, of which no claim is there. Where that cannot be read, they may find some.
async fn begins_empty<C: Cluster>(guard: &Guard<C>, namespace: &str, identity: &Identity<'_>, template: &Value) -> bool {
    let Some(endpoints) = configuration::etcd_of(guard, namespace, (template, identity.component)).await else { return false };
    let service = format!("{}-etcd", identity.release);
    let is_own = |endpoint: &str| {
        let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host).split(':').next().unwrap_or_default();
        let mut names = host.split('.');
        names.next() == Some(&*service) && names.next().is_none_or(|other| other == namespace)
    };
    // An etcd of that name may be a release of its own.
    endpoints.split(',').all(is_own) && guard.claims_of(namespace, &service).is_empty()
}

/// The chart that serves of a Deployment: what it was before it was held; of one that is new, that of the others of its release.
fn serving_chart<C: Cluster>(guard: &Guard<C>, request: &Request, identity: &Identity<'_>) -> Option<String> {
    if let Some(old) = old(request) {
        return hold::serving_chart(old).map(str::to_owned);
    }
    let is_sibling = |other: &Identity<'_>| other.release == identity.release && other.label == identity.label;
    let all = guard.cluster.naming(Kind::Deployment, &request.namespace, identity.release);
    all.iter().filter(|object| Identity::of(object).is_some_and(|other| is_sibling(&other))).find_map(|object| hold::serving_chart(object).map(str::to_owned))
}

/// The waiver that lets run what would be held: somebody knows the version that wrote the data, or where it lies, or wants a coordinator to take over at once.
fn waiver_of<'e>(why: &Reason, identity: &Identity<'_>, exceptions: &'e Exceptions) -> Option<&'e Waiver> {
    match why {
        Reason::OldData => exceptions.waivers.get("MV704"),
        Reason::Unknown(_) => exceptions.waivers.get("MV902"),
        Reason::NewComponent => switching(identity, exceptions),
        _ => None,
    }
}

/// The waiver that lets a coordinator take over from those of the other kind at once. Gate 1 takes it only where the image stays, since Helm deletes the others as soon as it is written.
fn switching<'e>(identity: &Identity<'_>, exceptions: &'e Exceptions) -> Option<&'e Waiver> {
    let is_coordinator = identity.component == MIXED_COORDINATOR || SEPARATE_COORDINATORS.contains(&identity.component);
    exceptions.waivers.get("MV711").filter(|_| is_coordinator)
}

fn exceptions<C: Cluster>(guard: &Guard<C>, request: &Request, upgrade: Option<&Value>) -> Exceptions {
    let namespace = guard.namespace(&request.namespace);
    Exceptions::read([Some(&request.object), upgrade, namespace.as_deref()].into_iter().flatten(), Timestamp::now())
        .noting(guard.unknown_mode(&request.namespace))
}

/// Whether a hold is put on: not in the modes that stop nothing, and not where glass is broken. What would have been held is told.
fn may_stop<C: Cluster>(guard: &Guard<C>, request: &Request, exceptions: &Exceptions, answer: &mut Answer, why: &str) -> bool {
    let mode = guard.mode(&request.namespace);
    if mode != Mode::Audit {
        answer.warnings.extend(exceptions.notes.iter().cloned());
    }
    if let Some(glass) = &exceptions.break_glass {
        answer.audit.insert(BREAK_GLASS.into(), format!("{}: {} (until {})", request.user_info.username, glass.reason, glass.until));
        answer.warnings.push(format!("break-glass lets this run at once ({}): {why}", glass.reason));
        return false;
    }
    if mode == Mode::Enforce {
        return true;
    }
    answer.audit.insert("would-hold".into(), why.to_owned());
    if mode == Mode::Warn {
        answer.warnings.push(format!("{} {} would be held: {why}", request.kind.kind, request.name));
    }
    false
}

/// Pauses and annotates.
fn hold(request: &Request, identity: &Identity<'_>, why: &str, blocked: Option<&str>, patching: &mut Patching<'_>, answer: &mut Answer) {
    let namespace = request.namespace.as_str();
    let name = text(&request.object, "/metadata/name").unwrap_or(&request.name);
    let id = change::of_workload(namespace, identity, &request.object);
    patching.set("/spec/paused", json!(true));
    // The controller watches by it, and would not find what has to be let go.
    if label(&request.object, COMPONENT_LABEL) != Some(identity.component) {
        patching.label(COMPONENT_LABEL, identity.component);
    }
    annotate(request, identity.release, why, &id, patching);
    patching.note(BLOCKED_ANNOTATION, blocked);
    answer.audit.insert("held".into(), id.clone());
    let told = match blocked {
        None => String::new(),
        Some(blocked) if blocked.starts_with(why) => "; not released before that is resolved".to_owned(),
        Some(blocked) => format!("; not released before it is resolved: {blocked}"),
    };
    answer.warnings.push(format!("{name} is held ({why}); its pods stay as they are until milvus-guard releases change {id}{told}"));
}

/// Says on an object why it is held, as part of which change, and which template of it waits.
fn annotate(request: &Request, release: &str, why: &str, id: &str, patching: &mut Patching<'_>) {
    patching.annotate(
        HOLD_ANNOTATION,
        &format!("{why}; to go back to what serves, so that the upgrade is not run: milvus-guard cleanup -n {} {release}", request.namespace),
    );
    patching.annotate(CHANGE_ANNOTATION, id);
    patching.label(HELD_LABEL, id);
    patching.annotate(TEMPLATE_ANNOTATION, &digest(template(&request.object)));
}

/// Takes our hold off an object that is what serves: a rollback over a hold leaves nothing held. A pause of somebody else's stays.
fn release_hold(request: &Request, patching: &mut Patching<'_>) {
    if !is_held(&request.object) && !is_held(&request.old_object) {
        return;
    }
    patching.remove("/spec/paused");
    patching.unlabel(HELD_LABEL);
    HOLD_ANNOTATIONS.iter().for_each(|name| patching.unannotate(name));
}

/// A workload that was stopped for a migration stays at zero; what is wanted is remembered. That one is stopped nobody says but the controller: windows and approvals do not count for what is.
fn stay_stopped(request: &Request, patching: &mut Patching<'_>, answer: &mut Answer) {
    let Some(remembered) = stopped(&request.old_object) else {
        if [STOPPED_ANNOTATION, STOPPED_FOR_ANNOTATION].iter().any(|name| annotation(&request.object, name).is_some()) {
            [STOPPED_ANNOTATION, STOPPED_FOR_ANNOTATION].iter().for_each(|name| patching.unannotate(name));
            let replicas = request.object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
            answer.warnings.push(format!(
                "{} says that it is stopped for a migration, which only the controller tells: that is taken off, and it has the {replicas} replicas that it says",
                request.name
            ));
        }
        return;
    };
    if annotation(&request.object, STOPPED_ANNOTATION) == Some("") {
        // Given up: pods stay away as long as the fence stands.
        [STOPPED_ANNOTATION, STOPPED_FOR_ANNOTATION].iter().for_each(|name| patching.unannotate(name));
        let at_zero = request.object.pointer("/spec/replicas").and_then(Value::as_u64) == Some(0);
        if let Some(replicas) = remembered.parse::<u32>().ok().filter(|replicas| at_zero && *replicas > 0) {
            // Nobody else remembers them.
            patching.set("/spec/replicas", json!(replicas));
            answer
                .warnings
                .push(format!("{} is given up by the migration that stopped it: it has the {replicas} replicas again that it had before", request.name));
        }
        return;
    }
    if let Some(migration) = annotation(&request.old_object, STOPPED_FOR_ANNOTATION) {
        patching.annotate(STOPPED_FOR_ANNOTATION, migration);
    }
    let wanted = request.object.pointer("/spec/replicas").and_then(Value::as_u64);
    match wanted {
        Some(wanted) if wanted > 0 => {
            patching.set("/spec/replicas", json!(0));
            patching.annotate(STOPPED_ANNOTATION, &wanted.to_string());
            answer.warnings.push(format!("{} is stopped for a migration and stays at 0 replicas; {wanted} are remembered", request.name));
        }
        _ => patching.annotate(STOPPED_ANNOTATION, remembered),
    }
}

/// Marks of ours that a write drops while an upgrade is open.
fn put_marks_back(request: &Request, patching: &mut Patching<'_>, answer: &mut Answer) {
    let Some(marks) = annotation(&request.old_object, MARKS_ANNOTATION) else { return };
    let mut restored = Vec::new();
    for mark in marks.split(',').map(str::trim) {
        if let Some(value) = annotation(&request.old_object, mark)
            && annotation(&request.object, mark) != Some(value)
        {
            patching.annotate(mark, value);
            restored.push(mark);
        }
    }
    patching.annotate(MARKS_ANNOTATION, marks);
    if !restored.is_empty() {
        answer.warnings.push(format!("{} keeps {} while an upgrade is open", request.name, restored.join(", ")));
    }
}

/// `deployments/scale`: only a workload that was stopped is kept from growing.
fn scale<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    let mut answer = Answer::admitted();
    let deployment = guard.cluster.object(Kind::Deployment, &request.namespace, &request.name);
    let is_stopped = deployment.as_deref().is_some_and(|deployment| stopped(deployment).is_some());
    let wanted = request.object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or_default();
    if is_stopped && wanted > 0 && guard.mode(&request.namespace) == Mode::Enforce {
        let mut patching = Patching::new(&request.object);
        patching.set("/spec/replicas", json!(0));
        answer.patch = patching.finish();
        answer.warnings.push(format!("{} is stopped for a migration and stays at 0 replicas", request.name));
    }
    answer
}

/// Claims of a release whose upgrade is open are not deleted by Helm.
fn claim<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    let mut answer = Answer::admitted();
    let mode = guard.mode(&request.namespace);
    let open = releases_of(&request.object).chain(releases_of(&request.old_object)).find(|release| is_open(guard, &request.namespace, release, None));
    let Some(release) = open.filter(|_| annotation(&request.object, KEEP.0) != Some(KEEP.1)) else { return answer };
    if mode == Mode::Enforce {
        let mut patching = Patching::new(&request.object);
        patching.annotate(KEEP.0, KEEP.1);
        patching.annotate(MARKS_ANNOTATION, KEEP.0);
        answer.patch = patching.finish();
    }
    if mode != Mode::Audit {
        let verb = if mode == Mode::Enforce { "is" } else { "would be" };
        answer.warnings.push(format!("claim {} {verb} kept while an upgrade of {release} is open", request.name));
    }
    answer
}

/// The answer without a verdict: what moves is held, and blocked until it was judged; so is what is new beside components that serve.
pub(super) fn in_doubt<C: Cluster>(guard: &Guard<C>, request: &Request, doubt: Doubt) -> Answer {
    let mut answer = Answer::admitted();
    answer.audit.insert("doubt".into(), doubt.name().into());
    let mut patching = Patching::new(&request.object);
    if is_controllers(guard, request) {
        // Not judged yet, so the controller asks again.
        patching.note(JUDGED_FOR_ANNOTATION, annotation(&request.old_object, JUDGED_FOR_ANNOTATION));
        answer.patch = patching.finish();
        return answer;
    }
    let Some(identity) = Identity::of(&request.object).filter(|_| known::is_milvus(request)) else { return answer };
    let is_same = |old: &Value| same_template(template(old), template(&request.object));
    let moves = old(request).map_or_else(|| !serving(&*guard.cluster, &request.namespace, identity.release).is_empty(), |old| is_held(old) || !is_same(old));
    if request.kind.kind != "Deployment" || request.sub_resource.is_some() || is_of_operator(request) || guard.mode(&request.namespace) != Mode::Enforce {
        return answer;
    }
    stay_stopped(request, &mut patching, &mut answer);
    if moves {
        let of_hold = |name: &str| waited(request).and_then(|waited| annotation(waited, name));
        let blocked = of_hold(BLOCKED_ANNOTATION).unwrap_or(UNJUDGED);
        hold(request, &identity, "it could not be judged in time", Some(blocked), &mut patching, &mut answer);
        patching.note(JUDGED_FOR_ANNOTATION, Some(opening::NOT_JUDGED));
        patching.note(DECLARED_ANNOTATION, of_hold(DECLARED_ANNOTATION));
        patching.note(SERVING_CHART_ANNOTATION, serving_chart(guard, request, &identity).as_deref());
    }
    answer.patch = patching.finish();
    answer
}

#[cfg(test)]
mod tests;
