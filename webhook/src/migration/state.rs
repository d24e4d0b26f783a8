//! How far the Jobs of an upgrade are, and what that says of backup and metadata. Pure: from Jobs and their pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use milvus_guard::rollout::observed::{Backup, Job, JobKind, JobState, Known, Layout, Moment};
use serde::Deserialize;
use serde_json::Value;

use super::jobs::{BARRED_ANNOTATION, TOOL};
use super::{ATTEMPT_LABEL, KIND_LABEL, KINDS};
use crate::cluster::{annotation, label, text};
use crate::metadata::backup::Sum;
use crate::metadata::layout::Counts;

/// Characters of what a container told that go into a message.
const LONGEST_WORDS: usize = 300;

/// What a verified backup holds, as the Job that verified it told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Proof {
    /// Root path and meta path.
    pub of: String,
    /// The revision of etcd.
    pub revision: i64,
    /// How many keys, and their digest.
    #[serde(flatten)]
    pub sum: Sum,
    /// The keys that tell the layout.
    pub counts: Counts,
}

/// What is seen of the Jobs of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Jobs {
    /// Those of this attempt.
    pub jobs: BTreeMap<JobKind, Job>,
    /// The backup of this attempt.
    pub backup: Backup,
    /// What the backup holds.
    pub proof: Option<Proof>,
    /// Upstream's tool ran, in this attempt or an earlier one, and what it left was not put back.
    pub is_touched: bool,
    /// The same, and the tool did not end well.
    pub is_half_done: bool,
    /// Upstream's tool ended well.
    pub is_migrated: bool,
    /// The attempt in which the tool ran whose work was not put back: its backup is the one that counts.
    pub touched: Option<u32>,
}

impl Jobs {
    /// From all Jobs of an upgrade, and their pods.
    #[must_use]
    pub fn read(jobs: &[Value], pods: &[Value], attempt: u32) -> Self {
        let of = |number: u32| jobs.iter().filter(move |job| number_of(job) == Some(number));
        let mut read = Self { touched: touched(jobs, pods), ..Self::default() };
        // As long as what an earlier attempt left was not put back, this one goes on with it.
        let source = read.touched.unwrap_or(attempt);
        let known = of(source).filter(|job| source == attempt || kind_of(job) != Some(JobKind::Restore)).chain(of(attempt));
        for job in known {
            if let Some(kind) = kind_of(job) {
                read.jobs.insert(kind, Job { state: state(job, pods), since: since(job) });
            }
        }
        // What may still write is waited for, whichever attempt began it.
        for job in jobs {
            let state = state(job, pods);
            if let (JobState::Active(_), Some(kind)) = (&state, kind_of(job)) {
                read.jobs.insert(kind, Job { state, since: since(job) });
            }
        }
        let ended_well = |kind: JobKind| read.jobs.get(&kind).is_some_and(|job| job.state == JobState::Succeeded);
        read.backup = match read.jobs.get(&JobKind::Verify).map(|job| &job.state) {
            Some(JobState::Succeeded) => Backup::Verified,
            Some(JobState::Failed(why)) => Backup::Bad(Arc::clone(why)),
            _ if ended_well(JobKind::Backup) => Backup::Unverified,
            _ => Backup::None,
        };
        read.is_migrated = ended_well(JobKind::Migrate);
        read.proof = of(source).find(|job| kind_of(job) == Some(JobKind::Verify)).and_then(|job| serde_json::from_str(&told(job, pods)?).ok());
        read.is_touched = read.touched.is_some();
        read.is_half_done = of(source).any(|job| read.is_touched && kind_of(job) == Some(JobKind::Migrate) && !has(job, "Complete"));
        read
    }

    /// The layout as it counts: keys alone tell nothing of metadata that a tool has begun to delete, as long as nothing put it back. Upstream's tool deletes collections first and
    /// indexes later: what is left of 2.1 looks like 2.1.
    #[must_use]
    pub fn layout(&self, counts: &Counts) -> Known<Layout> {
        let found = counts.layout();
        let lacks = || self.proof.as_ref().and_then(|proof| counts.lacks(&proof.counts));
        match found {
            Layout::V22 if self.is_half_done || self.is_migrated && lacks().is_some() => Known::Yes(Layout::Mixed),
            Layout::V21 | Layout::Undecided | Layout::Empty if self.is_touched => Known::Yes(Layout::Mixed),
            other => Known::Yes(other),
        }
    }
}

/// The last attempt in which upstream's tool ran, where no restore ended well after it: of that attempt, or of a later one that took its backup.
fn touched(jobs: &[Value], pods: &[Value]) -> Option<u32> {
    let of = |kind: JobKind| jobs.iter().filter(move |job| kind_of(job) == Some(kind));
    let ran = of(JobKind::Migrate).filter(|job| annotation(job, BARRED_ANNOTATION).is_none() && tool_ran(job, pods)).filter_map(number_of).max()?;
    let restored = of(JobKind::Restore).filter(|job| has(job, "Complete")).filter_map(number_of).max();
    restored.is_none_or(|restored| restored < ran).then_some(ran)
}

/// Whether upstream's tool began; where nobody can tell, it did.
fn tool_ran(job: &Value, pods: &[Value]) -> bool {
    let mut all = of_job(job, pods).peekable();
    all.peek().is_none()
        || all.any(|pod| {
            let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array);
            let tool = statuses.into_iter().flatten().find(|status| text(status, "/name") == Some(TOOL));
            let phase = text(pod, "/status/phase").unwrap_or_default();
            match tool {
                // Ended, although it never was: so kubelets write of a container that a failed one before it kept from starting.
                Some(status) => {
                    ["/state/running", "/state/terminated/startedAt", "/lastState/terminated/startedAt"].iter().any(|path| status.pointer(path).is_some())
                }
                None => !is_before_tool(pod) && phase != "Pending",
            }
        })
}

/// Whether a pod failed, or still is, at what comes before the tool.
fn is_before_tool(pod: &Value) -> bool {
    let statuses = pod.pointer("/status/initContainerStatuses").and_then(Value::as_array);
    statuses.into_iter().flatten().any(|status| status.pointer("/state/terminated/exitCode").and_then(Value::as_i64) != Some(0))
}

fn kind_of(job: &Value) -> Option<JobKind> {
    KINDS.into_iter().find(|kind| label(job, KIND_LABEL) == Some(kind.name()))
}

fn number_of(job: &Value) -> Option<u32> {
    label(job, ATTEMPT_LABEL)?.parse().ok()
}

fn since(job: &Value) -> Moment {
    let created = text(job, "/metadata/creationTimestamp").and_then(|time| time.parse::<jiff::Timestamp>().ok());
    Moment(created.and_then(|time| u64::try_from(time.as_second()).ok()).unwrap_or_default())
}

fn has(job: &Value, condition: &str) -> bool {
    condition_of(job, condition).is_some()
}

fn condition_of<'v>(object: &'v Value, wanted: &str) -> Option<&'v Value> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|condition| text(condition, "/type") == Some(wanted) && text(condition, "/status") == Some("True"))
}

fn state(job: &Value, pods: &[Value]) -> JobState {
    if annotation(job, BARRED_ANNOTATION).is_some() {
        return JobState::Failed("it was barred".into());
    }
    if has(job, "Complete") {
        return JobState::Succeeded;
    }
    let Some(failed) = condition_of(job, "Failed") else { return JobState::Active(lacks(job, pods)) };
    // A pod that is being ended may still write.
    let alive = of_job(job, pods).find(|pod| !matches!(text(pod, "/status/phase"), Some("Succeeded" | "Failed")));
    let counted = ["/status/active", "/status/terminating"].iter().any(|path| job.pointer(path).and_then(Value::as_u64).unwrap_or_default() > 0);
    if alive.is_some() || counted {
        return JobState::Active(Some("its pod to end".into()));
    }
    let reason = text(failed, "/reason").unwrap_or("Failed");
    let words = error_of(job, pods).or_else(|| text(failed, "/message").map(str::to_owned)).unwrap_or_default();
    JobState::Failed(format!("{reason}: {words}").into())
}

fn of_job<'p>(job: &Value, pods: &'p [Value]) -> impl Iterator<Item = &'p Value> {
    let uid = text(job, "/metadata/uid").unwrap_or_default().to_owned();
    pods.iter().filter(move |pod| text(pod, "/metadata/ownerReferences/0/uid") == Some(uid.as_str()))
}

/// What the containers of a Job told at their end.
fn told(job: &Value, pods: &[Value]) -> Option<String> {
    of_job(job, pods).find_map(|pod| {
        let all = ["/status/initContainerStatuses", "/status/containerStatuses"].iter().filter_map(|path| pod.pointer(path)?.as_array());
        let mut ended = all.flatten().filter_map(|status| status.pointer("/state/terminated"));
        let failed_first = ended.clone().find(|state| state.get("exitCode").and_then(Value::as_i64) != Some(0));
        failed_first.or_else(|| ended.next_back()).and_then(|state| text(state, "/message")).map(str::to_owned)
    })
}

/// Why a Job failed, as its containers told.
fn error_of(job: &Value, pods: &[Value]) -> Option<String> {
    let told = told(job, pods)?;
    let error = serde_json::from_str::<Value>(&told).ok().and_then(|told| text(&told, "/error").map(str::to_owned));
    // Of upstream's tool, the end counts.
    let words = error.unwrap_or_else(|| told.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned());
    Some(words.chars().take(LONGEST_WORDS).collect())
}

/// What the pod of a Job waits for.
fn lacks(job: &Value, pods: &[Value]) -> Option<Arc<str>> {
    of_job(job, pods).find_map(|pod| {
        let unscheduled = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        let mut unscheduled = unscheduled.filter(|condition| text(condition, "/type") == Some("PodScheduled") && text(condition, "/status") == Some("False"));
        if let Some(condition) = unscheduled.next() {
            return Some(text(condition, "/message").unwrap_or("a node").chars().take(LONGEST_WORDS).collect::<String>().into());
        }
        let all = ["/status/initContainerStatuses", "/status/containerStatuses"].iter().filter_map(|path| pod.pointer(path)?.as_array());
        let waiting = all.flatten().find_map(|status| Some((text(status, "/state/waiting/reason")?, text(status, "/image")?)));
        let (reason, image) = waiting.filter(|(reason, _)| !matches!(*reason, "PodInitializing" | "ContainerCreating"))?;
        Some(format!("{reason}: {image}").into())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metadata::layout::{COLLECTIONS, INDEXES_21, SEGMENT_INDEXES_21, SEGMENT_INDEXES_22};

    fn job(kind: JobKind, number: u32, condition: &str) -> Value {
        let conditions =
            if condition.is_empty() { json!([]) } else { json!([{"type": condition, "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}]) };
        json!({
            "metadata": {"uid": format!("{}-{number}", kind.name()), "creationTimestamp": "2026-11-21T20:00:00Z", "labels": {KIND_LABEL: kind.name(), ATTEMPT_LABEL: number.to_string()}},
            "status": {"conditions": conditions},
        })
    }

    fn pod(kind: JobKind, phase: &str, status: Value) -> Value {
        let mut pod = json!({"metadata": {"ownerReferences": [{"uid": format!("{}-0", kind.name())}]}, "status": status});
        pod["status"]["phase"] = json!(phase);
        pod
    }

    fn tool(state: Value) -> Value {
        pod(JobKind::Migrate, "Failed", json!({"containerStatuses": [{"name": TOOL, "image": "t", "state": state}]}))
    }

    fn layout(jobs: &[Value], pods: &[Value], prefixes: &[&str]) -> Layout {
        match Jobs::read(jobs, pods, 0).layout(&Counts::with(prefixes)) {
            Known::Yes(layout) => layout,
            Known::No(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_job_has_failed_only_when_no_pod_of_it_is_left() {
        let failed = job(JobKind::Migrate, 0, "Failed");
        let running = pod(JobKind::Migrate, "Running", json!({}));
        assert_eq!(state(&failed, &[running]), JobState::Active(Some("its pod to end".into())));
        let mut terminating = failed.clone();
        terminating["status"]["terminating"] = json!(1);
        assert!(matches!(state(&terminating, &[]), JobState::Active(_)));
        let ended = tool(json!({"terminated": {"exitCode": 1, "startedAt": "x", "message": "loading\nsession up/down, exit migration\n"}}));
        assert_eq!(state(&failed, &[ended]), JobState::Failed("BackoffLimitExceeded: session up/down, exit migration".into()));
        assert_eq!(state(&job(JobKind::Migrate, 0, "Complete"), &[]), JobState::Succeeded);
        let told = pod(
            JobKind::Migrate,
            "Failed",
            json!({"initContainerStatuses": [{"name": "milvus-guard", "state": {"terminated": {"exitCode": 1, "message": "{\"error\":\"proxy has a session\"}"}}}]}),
        );
        assert_eq!(state(&failed, &[told]), JobState::Failed("BackoffLimitExceeded: proxy has a session".into()));
    }

    #[test]
    fn what_a_job_waits_for_is_told() {
        let active = job(JobKind::Backup, 0, "");
        let pending = |status: Value| state(&active, &[pod(JobKind::Backup, "Pending", status)]);
        assert_eq!(pending(json!({})), JobState::Active(None));
        let unbound = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "pod has unbound immediate PersistentVolumeClaims"}]});
        assert_eq!(pending(unbound), JobState::Active(Some("pod has unbound immediate PersistentVolumeClaims".into())));
        let image = json!({"containerStatuses": [{"name": "x", "image": "guard:9", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]});
        assert_eq!(pending(image), JobState::Active(Some("ImagePullBackOff: guard:9".into())));
    }

    #[test]
    fn a_backup_counts_once_it_is_verified() {
        let backup = |jobs: &[Value]| Jobs::read(jobs, &[], 0).backup;
        let made = job(JobKind::Backup, 0, "Complete");
        assert_eq!((backup(&[]), backup(&[job(JobKind::Backup, 0, "Failed")])), (Backup::None, Backup::None));
        assert_eq!(backup(&[made.clone(), job(JobKind::Verify, 0, "")]), Backup::Unverified);
        assert_eq!(backup(&[made.clone(), job(JobKind::Verify, 0, "Complete")]), Backup::Verified);
        assert!(matches!(backup(&[made.clone(), job(JobKind::Verify, 0, "Failed")]), Backup::Bad(_)));
        assert_eq!(Jobs::read(&[made], &[], 1).backup, Backup::None, "that of another attempt counts for nothing");
    }

    #[test]
    fn half_deleted_metadata_of_2_1_is_not_taken_for_2_1() {
        let (failed, left) = (job(JobKind::Migrate, 0, "Failed"), [INDEXES_21, SEGMENT_INDEXES_21]);
        let ran = tool(json!({"terminated": {"exitCode": 2, "startedAt": "x"}}));
        let killed = tool(json!({"running": {"startedAt": "x"}}));
        assert_eq!(layout(&[], &[], &left), Layout::V21);
        for pods in [vec![ran.clone()], vec![killed], vec![]] {
            assert_eq!(layout(std::slice::from_ref(&failed), &pods, &left), Layout::Mixed);
            assert_eq!(layout(std::slice::from_ref(&failed), &pods, &[COLLECTIONS]), Layout::Mixed);
            assert_eq!(layout(std::slice::from_ref(&failed), &pods, &[]), Layout::Mixed);
        }
        // Put back, it is what its keys say.
        assert_eq!(layout(&[failed.clone(), job(JobKind::Restore, 0, "Complete")], std::slice::from_ref(&ran), &left), Layout::V21);
        assert_eq!(layout(&[failed.clone(), job(JobKind::Restore, 0, "Failed")], std::slice::from_ref(&ran), &left), Layout::Mixed);
        // A retry does not forget what an earlier attempt left, whatever it looks like.
        let retried = Jobs::read(std::slice::from_ref(&failed), std::slice::from_ref(&ran), 1);
        assert_eq!(
            (retried.layout(&Counts::with(&left)), retried.layout(&Counts::with(&[SEGMENT_INDEXES_22]))),
            (Known::Yes(Layout::Mixed), Known::Yes(Layout::Mixed))
        );
        // But what was migrated stays so.
        let migrated = Jobs::read(&[job(JobKind::Migrate, 0, "Complete")], std::slice::from_ref(&ran), 1);
        assert_eq!(migrated.layout(&Counts::with(&[SEGMENT_INDEXES_22])), Known::Yes(Layout::V22));
        // A tool that said that it ended well, and did nothing, is no exception.
        assert_eq!(layout(&[job(JobKind::Migrate, 0, "Complete")], &[ran], &left), Layout::Mixed);
    }

    #[test]
    fn a_later_attempt_goes_on_with_what_an_earlier_one_left() {
        let running = Jobs::read(&[job(JobKind::Migrate, 0, "")], &[], 1);
        assert_eq!(running.jobs[&JobKind::Migrate].state, JobState::Active(None), "it may still write");
        let ran = tool(json!({"terminated": {"exitCode": 2, "startedAt": "x"}}));
        let of = |kind, condition| job(kind, 0, condition);
        let mut jobs = vec![of(JobKind::Backup, "Complete"), of(JobKind::Verify, "Complete"), of(JobKind::Migrate, "Failed"), of(JobKind::Restore, "Failed")];
        let read = Jobs::read(&jobs, std::slice::from_ref(&ran), 1);
        assert_eq!((read.touched, &read.backup), (Some(0), &Backup::Verified));
        assert!(read.jobs.contains_key(&JobKind::Migrate) && !read.jobs.contains_key(&JobKind::Restore), "it is put back once more");
        jobs.push(job(JobKind::Restore, 1, "Complete"));
        let read = Jobs::read(&jobs, &[ran], 2);
        assert_eq!((read.touched, read.backup, read.jobs.len()), (None, Backup::None, 0), "the next attempt begins anew");
    }

    #[test]
    fn a_tool_that_never_started_has_touched_nothing() {
        let failed = job(JobKind::Migrate, 0, "Failed");
        let refused = json!({
            "initContainerStatuses": [{"name": "milvus-guard", "state": {"terminated": {"exitCode": 1}}}],
            "containerStatuses": [{"name": TOOL, "state": {"waiting": {"reason": "PodInitializing"}}}],
        });
        let unpulled = json!({
            "initContainerStatuses": [{"name": "milvus-guard", "state": {"terminated": {"exitCode": 0}}}],
            "containerStatuses": [{"name": TOOL, "state": {"waiting": {"reason": "ImagePullBackOff"}}}],
        });
        for status in [refused, unpulled] {
            assert_eq!(layout(std::slice::from_ref(&failed), &[pod(JobKind::Migrate, "Failed", status)], &[INDEXES_21]), Layout::V21);
        }
        let mut barred = failed;
        barred["metadata"]["annotations"] = json!({BARRED_ANNOTATION: "x"});
        assert_eq!(layout(std::slice::from_ref(&barred), &[], &[INDEXES_21]), Layout::V21);
        assert_eq!(state(&barred, &[]), JobState::Failed("it was barred".into()));
    }

    #[test]
    fn a_migration_that_ended_well_and_lost_something_is_not_complete() {
        let before = Counts::with(&[COLLECTIONS, SEGMENT_INDEXES_21]);
        let message = json!({"of": "m/meta", "revision": 5, "entries": 9, "digest": "sha256:x", "layout": "2.1", "counts": before}).to_string();
        let verified = pod(
            JobKind::Verify,
            "Succeeded",
            json!({"containerStatuses": [{"name": "milvus-guard", "state": {"terminated": {"exitCode": 0, "message": message}}}]}),
        );
        let jobs = [job(JobKind::Verify, 0, "Complete"), job(JobKind::Migrate, 0, "Complete")];
        let read = Jobs::read(&jobs, std::slice::from_ref(&verified), 0);
        assert_eq!(read.proof.unwrap().sum.entries, 9);
        assert_eq!(layout(&jobs, std::slice::from_ref(&verified), &[COLLECTIONS, SEGMENT_INDEXES_22]), Layout::V22);
        assert_eq!(layout(&jobs, &[verified], &[SEGMENT_INDEXES_22]), Layout::Mixed);
    }
}
