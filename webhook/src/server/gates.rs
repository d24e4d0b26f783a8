//! The router of the gates: a body in, an AdmissionReview or a 4xx out, whatever the body and whatever the judge does.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::StreamExt as _;
use tower_http::catch_panic::CatchPanicLayer;

use super::events::Events;
use super::limits::{Limits, Place, Places, decoded_bytes_at_most};
use crate::admission::request::{parse, parse_without_objects};
use crate::admission::{Answer, BREAK_GLASS, Doubt, DoubtPolicy, Gate, Glance, Judge, Request, UNDECODABLE};
use crate::record::Recorder;
use crate::remote;
use crate::telemetry::Telemetry;

/// What the router needs to answer.
#[derive(Debug)]
pub struct Gates<J> {
    judge: Arc<J>,
    telemetry: Arc<Telemetry>,
    limits: Limits,
    helm_doubt: DoubtPolicy,
    places: Places,
    recorder: Option<Recorder>,
    events: Option<Events>,
}

impl<J: Judge> Gates<J> {
    /// A server's gates, with what gate 1 does in doubt.
    pub fn new(judge: Arc<J>, telemetry: Arc<Telemetry>, limits: Limits, helm_doubt: DoubtPolicy) -> Self {
        Self { judge, telemetry, limits, helm_doubt, places: Places::new(&limits), recorder: None, events: None }
    }

    /// The same, storing every review.
    #[must_use]
    pub fn recording(mut self, recorder: Option<Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// The same, telling of refused and held changes.
    #[must_use]
    pub fn telling(mut self, events: Events) -> Self {
        self.events = Some(events);
        self
    }

    /// The routes: one for each gate, and 404 for anything else.
    pub fn router(self) -> Router {
        let gates = Arc::new(self);
        let mut router = Router::new();
        for gate in Gate::ALL {
            let handler = move |State(gates): State<Arc<Self>>, headers: HeaderMap, body: Body| async move { gates.handle(gate, &headers, body).await };
            router = router.route(gate.path(), post(handler));
        }
        // Asked before the registration: whether a replica is reached as the API server will reach it.
        let router = router.route("/answers", get(|| async { "milvus-guard" }));
        router.with_state(gates).layer(CatchPanicLayer::custom(after_panic))
    }

    async fn handle(self: Arc<Self>, gate: Gate, headers: &HeaderMap, body: Body) -> Response {
        let length = announced(headers).unwrap_or(self.limits.body_bytes);
        if length > self.limits.body_bytes {
            return too_large().into_response();
        }
        let Some(place) = self.places.enter(length, self.limits.queue).await else { return self.shed() };
        let body = match tokio::time::timeout(self.limits.body_time, whole(body, length, self.limits.body_bytes)).await {
            Ok(Ok(body)) => body,
            Ok(Err(refusal)) => return refusal.into_response(),
            Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time").into_response(),
        };
        self.answer(gate, body, place).await
    }

    fn shed(&self) -> Response {
        self.telemetry.shed();
        (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "too many reviews in flight").into_response()
    }

    async fn answer(&self, gate: Gate, body: Bytes, place: Place) -> Response {
        let begin = Instant::now();
        let looks = gate.looks_at(&body);
        let known_by = match if looks { self.judge.glance(gate, &body) } else { Glance::Decode(None) } {
            Glance::Known(request, answer) => {
                self.record(gate, &body);
                return self.tell(gate, &request, &answer, begin.elapsed());
            }
            Glance::Decode(known_by) => known_by,
        };
        let decoded = if looks { decoded_bytes_at_most(&body) } else { 0 };
        if decoded > self.limits.decoded_bytes {
            self.telemetry.decode_failed(gate);
            return too_large().into_response();
        }
        let Some(memory) = self.places.decode(decoded, self.limits.queue).await else { return self.shed() };
        let request = match if looks { parse(&body) } else { parse_without_objects(&body) } {
            Ok(request) => Arc::new(Request { known_by, ..request }),
            Err(error) => {
                self.telemetry.decode_failed(gate);
                tracing::warn!(gate = gate.name(), bytes = body.len(), "a body is no review");
                return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
            }
        };
        self.record(gate, &body);
        drop(body);
        let (answer, remote) = self.ask(gate, &request, place.decoded(memory)).await;
        self.tell(gate, &request, &answer, begin.elapsed().saturating_sub(remote))
    }

    fn record(&self, gate: Gate, body: &Bytes) {
        if let Some(recorder) = &self.recorder {
            recorder.offer(gate, body);
        }
    }

    /// Writes the answer, and tells of it wherever answers are told of.
    fn tell(&self, gate: Gate, request: &Request, answer: &Answer, took: Duration) -> Response {
        self.telemetry.review(gate, &request.kind.kind, request.operation, answer, took);
        if answer.audit.contains_key(UNDECODABLE) {
            self.telemetry.decode_failed(gate);
        }
        if answer.audit.contains_key(BREAK_GLASS) && !request.is_dry_run() {
            self.telemetry.break_glass(gate);
        }
        log(gate, request, answer, took);
        if let Some(events) = &self.events {
            events.answered(request, answer);
        }
        let review = serde_json::to_vec(&answer.review(&request.uid)).unwrap_or_default();
        ([(header::CONTENT_TYPE, "application/json")], review).into_response()
    }

    /// The judge's answer, or the doubt policy's when its time ends or it panics; and how long it waited for the API server. The place is kept until the judge
    /// has really ended.
    async fn ask(&self, gate: Gate, request: &Arc<Request>, place: Place) -> (Answer, Duration) {
        let judge = Arc::clone(&self.judge);
        let shared = Arc::clone(request);
        let mut task = tokio::spawn(async move {
            let answer = remote::counted(judge.judge(gate, shared)).await;
            drop(place);
            answer
        });
        let doubt = match tokio::time::timeout(self.limits.budget, &mut task).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(_)) => Doubt::Fault,
            Err(_) => {
                task.abort();
                Doubt::Budget
            }
        };
        self.telemetry.doubted(gate, doubt);
        tracing::error!(gate = gate.name(), uid = %request.uid, doubt = doubt.name(), "no verdict");
        let policy = if gate == Gate::HelmStorage { self.helm_doubt } else { gate.doubt() };
        (self.judge.in_doubt(gate, request, doubt, policy), Duration::ZERO)
    }
}

/// One line for each review: who and what, and the verdict; nothing of the object. What passes as it came is worth a line only for those who look for it.
fn log(gate: Gate, request: &Request, answer: &Answer, took: Duration) {
    if *answer == Answer::admitted() {
        tracing::debug!(gate = gate.name(), uid = %request.uid, kind = %request.kind.kind, namespace = %request.namespace, name = %request.name, "admitted");
        return;
    }
    let rules: Vec<&str> = answer.causes.iter().map(|cause| cause.rule.as_str()).collect();
    tracing::info!(
        gate = gate.name(),
        uid = %request.uid,
        kind = %request.kind.kind,
        namespace = %request.namespace,
        name = %request.name,
        operation = ?request.operation,
        user = %request.user_info.username,
        dry_run = request.is_dry_run(),
        admitted = answer.is_admitted(),
        patches = answer.patch.0.len(),
        rules = %rules.join(","),
        micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "review"
    );
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What is said instead of a review.
type Refusal = (StatusCode, &'static str);

const fn too_large() -> Refusal {
    (StatusCode::PAYLOAD_TOO_LARGE, "the review is too large")
}

/// The whole body, in one piece of the size that was announced.
async fn whole(body: Body, announced: usize, most: usize) -> Result<Bytes, Refusal> {
    let mut whole = Vec::with_capacity(announced);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| (StatusCode::BAD_REQUEST, "the body could not be read"))?;
        if whole.len() + piece.len() > most {
            return Err(too_large());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// Nothing outside of the judge should panic; if it does, the API server sees a refused call and goes by the registration's failurePolicy.
fn after_panic(_panic: Box<dyn Any + Send>) -> Response {
    tracing::error!("the router panicked");
    (StatusCode::UNPROCESSABLE_ENTITY, "milvus-guard failed to read this review").into_response()
}

#[cfg(test)]
mod tests;
