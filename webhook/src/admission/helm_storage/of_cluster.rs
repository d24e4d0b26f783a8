//! What only the cluster tells of a release that arrives: old claims, the operator's objects, operations and upgrades under way, workloads that are not rolled out.

use std::collections::BTreeSet;

use milvus_guard::model::declaration::Declaration;
use milvus_guard::model::finding::Severity;
use milvus_guard::model::version::{ImageTag, MilvusVersion};
use serde_json::Value;

use super::super::declared::milvus_of;
use super::super::exceptions::ALLOW_ANNOTATION;
use super::super::guard::Guard;
use super::super::hold::{Identity, STOPPED_ANNOTATION, is_held};
use super::super::milvus::{StoredMilvus, tag_of};
use super::super::receipts::Newest;
use super::super::release::is_completed;
use super::super::verdict::Point;
use super::super::workload::is_operated;
use super::before::Earlier;
use super::{Decoded, Named};
use crate::api;
use crate::cluster::{Cluster, Kind, annotation, text};

/// All of it.
pub(super) fn points<C: Cluster>(
    guard: &Guard<C>,
    named: &Named<'_>,
    namespace: &str,
    one: &StoredMilvus,
    earlier: &Earlier,
    upgrade: Option<&Value>,
) -> Vec<Point> {
    let mut all = Vec::new();
    all.extend(old_claims(guard, named, namespace));
    if let Some(why) = &earlier.unread {
        all.push(Point::new("MV902", Severity::Warning, format!("What came before could not be read ({why}); the change is judged by what runs alone."), ""));
    }
    all.extend(operated(&*guard.cluster, namespace, one));
    all.extend(pending(named, namespace, earlier));
    all.extend(not_rolled_out(guard, named, namespace, one, earlier));
    all.extend(upgrade.and_then(|upgrade| under_way(upgrade, named, namespace, &one.declaration)));
    all
}

fn old_claims<C: Cluster>(guard: &Guard<C>, named: &Named<'_>, namespace: &str) -> Option<Point> {
    let claims = if named.status == "pending-install" { guard.claims_of(namespace, named.release).len() } else { 0 };
    if claims == 0 {
        return None;
    }
    let message = match Newest::of(guard, namespace, named.release) {
        Some(newest) => format!("{} is no first install: {claims} claims are there, and a receipt says that Milvus {} wrote them.", named.release, newest.to),
        None => format!(
            "{} is no first install: {claims} claims of an earlier release are there. It is held; once you know that this version wrote them: kubectl annotate ns {namespace} '{ALLOW_ANNOTATION}=MV704 until=YYYY-MM-DD reason=\"WHY\"'",
            named.release
        ),
    };
    Some(Point::new("MV704", Severity::Warning, message, ""))
}

/// A Deployment of the Milvus operator that a release has, too.
pub(crate) fn operated(cluster: &dyn Cluster, namespace: &str, one: &StoredMilvus) -> Option<Point> {
    let is_its = |object: &Value| is_operated(object) && one.parts.iter().any(|part| text(object, "/metadata/name") == Some(&part.deployment));
    let all = cluster.objects(Kind::Operated, namespace);
    let object = all.iter().find(|object| is_its(object))?;
    let name = text(object, "/metadata/name").unwrap_or_default();
    let message = format!("Deployment {name} belongs to the Milvus operator, and this release would change it.");
    Some(Point::new("MV708", Severity::Error, message, "Give the release another name, or change the Milvus object of the operator."))
}

/// An operation that did not end. Helm itself refuses to upgrade then; a rollback is the way out.
fn pending(named: &Named<'_>, namespace: &str, earlier: &Earlier) -> Option<Point> {
    let Decoded { release: last, .. } = earlier.revisions.first().filter(|_| named.status == "pending-upgrade")?;
    let mut before = earlier.revisions.iter().skip(1).map(|decoded| &decoded.release);
    let completed = before.find(|release| is_completed(&release.status)).map(|release| release.revision);
    unfinished(namespace, named.release, last.revision, &last.status, completed)
}

/// A revision whose operation did not end; where it is known, with the newest one before it that Helm completed.
pub(crate) fn unfinished(namespace: &str, release: &str, revision: u32, status: &str, completed: Option<u32>) -> Option<Point> {
    let message = format!("Revision {revision} of release {release} is still {status}: another Helm is at work, or was interrupted.");
    let next = match completed {
        Some(completed) => format!("Wait for it, or put the release back first: helm rollback {release} {completed} -n {namespace}"),
        None if status == "pending-install" => format!(
            "Wait for it, or remove what there is of it, and install anew: helm uninstall {release} -n {namespace} (that leaves claims of sets, which the next install takes for data of an earlier release: kubectl get pvc -n {namespace})"
        ),
        None => {
            format!("Wait for it, or put the release back first: helm rollback {release} REVISION -n {namespace}, to the last that was deployed (helm history)")
        }
    };
    status.starts_with("pending-").then(|| Point::new("MV709", Severity::Error, message, next))
}

/// Workloads that are not rolled out while the change goes to another version. It refuses a step to another line from one version that is not healthy; where several versions run already, or
/// the line stays, the change may be what mends it, so it is told only. A rollback always is.
fn not_rolled_out<C: Cluster>(guard: &Guard<C>, named: &Named<'_>, namespace: &str, one: &StoredMilvus, earlier: &Earlier) -> Option<Point> {
    if named.status != "pending-upgrade" {
        return None;
    }
    let serving = earlier.serving.iter().filter(|serving| serving.label == one.label && serving.pods > 0);
    let images: BTreeSet<&str> = serving.filter_map(|serving| serving.image()).collect();
    let wanted: BTreeSet<&str> = one.parts.iter().filter_map(|part| part.image.as_deref()).collect();
    if images == wanted {
        return None;
    }
    let point = rolling(&*guard.cluster, namespace, named.release, &one.label)?;
    let line = |image: &str| ImageTag::parse(tag_of(image)?).version().map(|version| version.line());
    let is_step = images.len() == 1 && images.iter().zip(&wanted).any(|(before, after)| line(before) != line(after));
    Some(Point { severity: if is_step { Severity::Error } else { Severity::Warning }, ..point })
}

/// Deployments of one Milvus of a release that are not rolled out, and that nobody holds back.
pub(crate) fn rolling(cluster: &dyn Cluster, namespace: &str, release: &str, label: &str) -> Option<Point> {
    let is_its = |object: &Value| Identity::of(object).is_some_and(|identity| identity.release == release && identity.label == label);
    let all = cluster.naming(Kind::Deployment, namespace, release);
    let mut waiting = all.iter().filter(|object| is_its(object) && is_rolling(object)).filter_map(|object| text(object, "/metadata/name"));
    let first = waiting.next()?;
    let others = waiting.count();
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    let message = format!("Deployment {first}{more} is not rolled out yet, and an upgrade begins with all workloads ready.");
    let next = format!("Wait for it: kubectl rollout status -n {namespace} deployment/{first}");
    Some(Point::new("MV710", Severity::Warning, message, next))
}

/// Whether a Deployment is on its way, as `kubectl rollout status` tells it; what the guard holds or stopped waits on purpose, and without a status nobody knows.
fn is_rolling(object: &Value) -> bool {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
    let Some(status) = object.get("status").filter(|status| status.get("observedGeneration").is_some()) else { return false };
    if is_held(object) || annotation(object, STOPPED_ANNOTATION).is_some() {
        return false;
    }
    let of = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or_default();
    let wanted = number("/spec/replicas").unwrap_or(1);
    let (updated, available) = (of("updatedReplicas"), of("availableReplicas"));
    number("/metadata/generation") > number("/status/observedGeneration") || updated < wanted || of("replicas") > updated || available < updated
}

/// Whether a version is the one that is declared.
fn leads_to(after: &Declaration, version: &str) -> bool {
    version.trim().parse::<MilvusVersion>().ok().is_some_and(|to| milvus_of(after).is_some_and(|milvus| milvus == to))
}

/// What to do first where a change goes back in the middle of an upgrade and a rule stands against that: once all of it went back, only what runs is compared.
pub(super) fn abort_first(upgrade: &Value, named: &Named<'_>, namespace: &str, after: &Declaration) -> Option<String> {
    let target = api::target_under_way(upgrade)?;
    let from = text(upgrade, "/status/from").filter(|from| leads_to(after, from) && !leads_to(after, target))?;
    Some(format!(
        "The upgrade to {target} has begun: take it back first (milvus-guard abort {} -n {namespace}), and apply this again once {from} serves",
        named.release
    ))
}

/// Another upgrade or migration of the release that runs. A rollback is told only: refusing it would leave half of a failed upgrade.
fn under_way(upgrade: &Value, named: &Named<'_>, namespace: &str, after: &Declaration) -> Option<Point> {
    let target = api::target_under_way(upgrade)?;
    let leads_to = |version: &str| leads_to(after, version);
    if leads_to(target) {
        return None;
    }
    // Whoever reverts a commit goes back by an upgrade.
    let goes_back = named.status == "pending-rollback" || text(upgrade, "/status/from").is_some_and(leads_to);
    let severity = if goes_back { Severity::Warning } else { Severity::Error };
    let state = if text(upgrade, "/status/phase") == Some("Paused") { "stands half done" } else { "is running" };
    let message = format!("An upgrade of {} to {target} {state}, and this change leads elsewhere.", named.release);
    let next =
        format!("Wait until it is done (milvus-guard status {0} -n {namespace}), or take it back first: milvus-guard abort {0} -n {namespace}", named.release);
    Some(Point::new("MV712", severity, message, next))
}
