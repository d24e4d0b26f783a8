//! Events on refused and held changes, written after the answer, never for a dry run; the same one within some minutes is counted up.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::admission::request::Operation;
use crate::admission::{Answer, BREAK_GLASS, Request};

/// Events that wait to be written; more are passed over, since the answer must not wait.
const WAITING: usize = 256;

/// The longest note, in bytes (the API allows 1024).
const NOTE_BYTES: usize = 1000;

/// One event to be written.
struct Told {
    about: ObjectReference,
    event: Event,
}

/// Where events go.
#[derive(Debug, Clone)]
pub struct Events {
    queue: Sender<Told>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("reason", &self.event.reason).finish_non_exhaustive()
    }
}

impl Events {
    /// Writes events until all handles are gone.
    #[must_use]
    pub fn start(client: Client) -> Self {
        let (queue, waiting) = channel(WAITING);
        tokio::spawn(write(client, waiting));
        Self { queue }
    }

    /// Tells what an answer means to those who look at the namespace.
    pub fn answered(&self, request: &Request, answer: &Answer) {
        let Some(event) = event(request, answer) else { return };
        let _ = self.queue.try_send(Told { about: about(request), event });
    }
}

/// The event that an answer deserves.
fn event(request: &Request, answer: &Answer) -> Option<Event> {
    if request.is_dry_run() || request.namespace.is_empty() {
        return None;
    }
    let (type_, reason, note) = match (&answer.refused, answer.audit.get(BREAK_GLASS), answer.audit.get("held")) {
        (Some(message), ..) => (EventType::Warning, "MilvusChangeRefused", message.clone()),
        (None, Some(who), _) => (EventType::Warning, "MilvusBreakGlass", format!("a refusal or a hold was set aside by {who}")),
        (None, None, Some(change)) => (EventType::Normal, "MilvusChangeHeld", format!("held as change {change}: {}", answer.warnings.join("; "))),
        (None, None, None) => return None,
    };
    let note = note.get(..note.floor_char_boundary(NOTE_BYTES)).unwrap_or_default().to_owned();
    Some(Event { type_, reason: reason.into(), note: Some(note), action: "Admission".into(), secondary: None })
}

/// The object, or what it was to become.
fn about(request: &Request) -> ObjectReference {
    let kind = &request.kind;
    let api_version = if kind.group.is_empty() { kind.version.clone() } else { format!("{}/{}", kind.group, kind.version) };
    // An object that is being created has a uid that is new each time, and where it is refused nobody will ever see it.
    let lasting = (request.operation != Operation::Create).then_some(&request.object);
    let uid = lasting.and_then(|object| object.pointer("/metadata/uid")?.as_str()).map(str::to_owned);
    ObjectReference {
        api_version: Some(api_version),
        kind: Some(kind.kind.clone()),
        namespace: Some(request.namespace.clone()),
        name: Some(request.name.clone()),
        uid,
        ..ObjectReference::default()
    }
}

async fn write(client: Client, mut waiting: Receiver<Told>) {
    let recorder = Recorder::new(client, Reporter { controller: "milvus-guard".into(), instance: None });
    while let Some(told) = waiting.recv().await {
        if let Err(error) = recorder.publish(&told.event, &told.about).await {
            tracing::warn!(reason = %told.event.reason, error = %status(&error), "an event was not written");
        }
    }
}

/// An error in few words.
fn status(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.reason, status.code),
        _ => "no answer".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(dry_run: bool) -> Request {
        let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
        serde_json::from_value(json!({"uid": "u", "kind": kind, "name": "m", "namespace": "db", "operation": "UPDATE", "dryRun": dry_run})).unwrap()
    }

    #[test]
    fn refused_and_held_changes_are_told_and_dry_runs_are_not() {
        let refused = Answer { refused: Some(format!("MV205: {}", "é".repeat(1000))), ..Answer::default() };
        let told = event(&request(false), &refused).unwrap();
        assert_eq!(told.reason, "MilvusChangeRefused");
        assert!(told.note.unwrap().len() <= NOTE_BYTES);
        assert!(event(&request(true), &refused).is_none());
        let mut held = Answer::admitted();
        assert!(event(&request(false), &held).is_none());
        held.audit.insert("held".into(), "id".into());
        assert_eq!(event(&request(false), &held).unwrap().reason, "MilvusChangeHeld");
        held.audit.insert("break-glass".into(), "alice".into());
        let broken = event(&request(false), &held).unwrap();
        assert_eq!((broken.reason.as_str(), broken.note.as_deref()), ("MilvusBreakGlass", Some("a refusal or a hold was set aside by alice")));
        assert_eq!(about(&request(false)).api_version.as_deref(), Some("apps/v1"));
    }

    #[test]
    fn what_is_refused_again_and_again_is_one_event() {
        let mut again = request(false);
        again.object = json!({"metadata": {"uid": "1"}});
        assert_eq!(about(&again).uid.as_deref(), Some("1"));
        again.operation = Operation::Create;
        assert_eq!(about(&again).uid, None);
    }
}
