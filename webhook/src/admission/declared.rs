//! What a declaration lets pass: a change is judged with the evidence that is there, and where a refusal could be opened by a declaration, the exact object is named.
//!
//! A stop that the version graph requires (MV205, MV208) and what is simply wrong are opened by nothing; a door is opened by a `GuardedUpgrade` that leads to the version after, by a receipt, or
//! by what is acknowledged on the `GuardedUpgrade` of this very change. Whether an object would open a door is tried, not guessed.

use std::collections::BTreeSet;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::declaration::{Declaration, Evidence};
use milvus_guard::model::finding::{Finding, Severity};
use milvus_guard::model::release::Release;
use milvus_guard::model::version::MilvusVersion;
use milvus_guard::policy::Policies;
use milvus_guard::policy::condition::EvidenceWord;
use serde_json::Value;

use super::guard::Guard;
use super::receipts;
use super::verdict::{Changes, Point};
use crate::api;
use crate::cluster::{Cluster, Kind};
use crate::controller::status::Status;

/// What stands for the reference when it is tried whether an acknowledgement would open a door.
const TRIAL: &str = "trial";

/// A change judged.
pub(super) struct Judged {
    /// What is to be said.
    pub(super) points: Vec<Point>,
    /// The findings behind it.
    pub(super) findings: Vec<Finding>,
    /// The release's `GuardedUpgrade`.
    pub(super) upgrade: Option<Value>,
    /// The API server was asked for it, or would be if this were no dry run: the caches do not tell all of this verdict.
    pub(super) asks: bool,
}

/// Judges a change of a release of this cluster. `after` keeps the evidence that was found. Before a refusal that a declaration would open, the API server is asked once more: the cache may lag
/// behind a person who has just declared it. In a dry run nobody waits for that.
pub(super) async fn judge<C: Cluster>(
    guard: &Guard<C>,
    (namespace, release): (&str, &str),
    befores: Vec<Release>,
    after: &mut Declaration,
    dry_run: bool,
    told: &(dyn Fn(&[Finding]) -> Vec<Point> + Sync),
) -> Judged {
    let changes = Changes::new(befores, after, guard.cluster.kubernetes());
    let own = after.evidence.clone();
    let receipts = receipts::evidence(guard, namespace, release);
    let evidence = |upgrade: Option<&Value>, after: &Declaration| {
        let mut evidence = own.clone();
        evidence.extend(upgrade.map(|upgrade| evidence_of(upgrade, after)).unwrap_or_default());
        evidence.extend(receipts.iter().cloned());
        evidence
    };
    let with = |evidence: &[Evidence]| if *evidence == *own { changes.findings() } else { changes.clone().with_evidence(evidence).findings() };
    let mut upgrade = guard.cluster.object(Kind::GuardedUpgrade, namespace, release).map(|object| Value::clone(&object));
    after.evidence = evidence(upgrade.as_ref(), after);
    let mut found = with(&after.evidence);
    let asks = to_declare(&found, namespace, release, &|_| true).is_some();
    if asks
        && !dry_run
        && let Ok(fresh) = guard.cluster.guarded_upgrade(namespace, release).await
        && fresh != upgrade
    {
        upgrade = fresh;
        after.evidence = evidence(upgrade.as_ref(), after);
        found = with(&after.evidence);
    }
    let mut points = told(&found);
    let closes_none = |rule: &str| {
        let alone = api::guarded_upgrade_acknowledging(namespace, release, "", &[format!("{rule} {TRIAL}")]);
        let still = with(&evidence(Some(&alone), after));
        still
            .iter()
            .all(|finding| finding.severity != Severity::Error || found.iter().any(|known| known.rule == finding.rule && known.severity == Severity::Error))
    };
    if let Some((object, trial)) = to_declare(&found, namespace, release, &closes_none) {
        let object = api::declaring_over(upgrade.as_ref(), object);
        let still = with(&evidence(Some(&trial), after));
        let opens = |rule: &str| is_door(rule) && !still.iter().any(|finding| *finding.rule == *rule && finding.severity == Severity::Error);
        points.iter_mut().filter(|point| point.refuses() && opens(&point.rule)).for_each(|point| point.missing = Some(object.clone()));
    }
    Judged { points, findings: found, upgrade, asks }
}

/// What a `GuardedUpgrade` proves of a change. What is acknowledged on it is of the change that it leads to, and opens no door of a later one. One that the controller led there follows what was
/// waived, so it proves nothing where that is withdrawn before anything began.
pub(super) fn evidence_of(upgrade: &Value, after: &Declaration) -> Vec<Evidence> {
    if !api::is_by_person(upgrade) && !Status::of(upgrade).is_begun() {
        return Vec::new();
    }
    let mut all = api::evidence_of_upgrade(upgrade);
    if !leads_to(upgrade, after) {
        all.truncate(usize::from(api::upgrade_to(upgrade).is_some()));
    }
    all
}

/// Whether a `GuardedUpgrade` leads to what is declared; where that is unknown, it may.
pub(super) fn leads_to(upgrade: &Value, after: &Declaration) -> bool {
    let to = api::upgrade_to(upgrade).and_then(|to| to.trim().parse::<MilvusVersion>().ok());
    to.is_none_or(|to| milvus_of(after).is_none_or(|milvus| milvus == to))
}

/// The Milvus version that is declared, if it is one.
pub(super) fn milvus_of(declaration: &Declaration) -> Option<MilvusVersion> {
    Release::resolve(declaration.clone().into(), None, &Default::default(), Catalogue::embedded()).milvus.exact()
}

/// The object that would declare all doors among the findings that refuse, and the same with its references filled in. What is acknowledged must not be refused by another rule.
fn to_declare(found: &[Finding], namespace: &str, release: &str, closes_none: &dyn Fn(&str) -> bool) -> Option<(Value, Value)> {
    let refusing: Vec<&Finding> = found.iter().filter(|finding| finding.severity == Severity::Error && is_door(&finding.rule)).collect();
    let to = refusing.iter().find_map(|finding| finding.release.milvus.as_deref())?;
    let unanswered = refusing.iter().map(|finding| &*finding.rule).filter(|rule| !takes(rule, EvidenceWord::GuardedUpgrade));
    let acknowledged: BTreeSet<&str> = unanswered.filter(|rule| closes_none(rule)).collect();
    let object = |reference: &str| {
        let all: Vec<String> = acknowledged.iter().map(|rule| format!("{rule} {reference}")).collect();
        api::guarded_upgrade_acknowledging(namespace, release, to, &all)
    };
    Some((object("<reference>"), object(TRIAL)))
}

fn is_door(rule: &str) -> bool {
    [EvidenceWord::GuardedUpgrade, EvidenceWord::Acknowledged].into_iter().any(|word| takes(rule, word))
}

fn takes(rule: &str, word: EvidenceWord) -> bool {
    Policies::embedded().rule(rule).and_then(|rule| rule.door.as_ref()).is_some_and(|door| door.evidence.contains(&word))
}
