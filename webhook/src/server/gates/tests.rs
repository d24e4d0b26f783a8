//! The router without sockets.

use super::*;
use crate::admission::exceptions::Mode;
use crate::admission::guard::{Configuration, Guard};
use crate::cluster::Snapshot;
use axum::body::to_bytes;
use axum::http::Request as Http;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// Does what the request's name says.
struct Fickle;

impl Judge for Fickle {
    async fn judge(&self, _gate: Gate, request: Arc<Request>) -> Answer {
        match request.name.as_str() {
            "panics" => panic!("on purpose"),
            "sleeps" => tokio::time::sleep(Duration::from_secs(60)).await,
            _ => {}
        }
        Answer::admitted()
    }

    fn is_ready(&self) -> bool {
        true
    }
}

fn router(limits: Limits) -> Router {
    Gates::new(Arc::new(Fickle), Arc::new(Telemetry::default()), limits, DoubtPolicy::Admit).router()
}

/// A router over the real gates of an empty cluster, and what it counts.
fn real() -> (Router, Arc<Telemetry>) {
    let guard = Guard::new(Arc::new(Snapshot::default()), Configuration::default());
    let telemetry = Arc::new(Telemetry::default());
    (Gates::new(Arc::new(guard), Arc::clone(&telemetry), Limits::default(), DoubtPolicy::Admit).router(), telemetry)
}

fn body(request: Value) -> Vec<u8> {
    serde_json::to_vec(&json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})).unwrap()
}

#[tokio::test]
async fn releases_that_cannot_be_decoded_are_counted() {
    let (router, telemetry) = real();
    let labels = json!({"owner": "helm", "name": "m", "status": "pending-upgrade"});
    let secret =
        |release: &str| json!({"type": "helm.sh/release.v1", "metadata": {"name": "sh.helm.release.v1.m.v2", "labels": labels}, "data": {"release": release}});
    let request = |release: &str| json!({"uid": "u", "kind": {"group": "", "version": "v1", "kind": "Secret"}, "name": "s", "namespace": "n", "operation": "CREATE", "object": secret(release)});
    assert_eq!(send(router.clone(), Gate::HelmStorage.path(), body(request("!"))).await.0, StatusCode::OK);
    assert_eq!(send(router.clone(), Gate::HelmStorage.path(), body(request("bm90IGEgcmVsZWFzZQ=="))).await.0, StatusCode::OK);
    // Another chart's release is none.
    assert_eq!(send(router, Gate::HelmStorage.path(), body(request("ZTMwPQ=="))).await.0, StatusCode::OK);
    assert!(telemetry.text().contains("milvus_guard_decode_failures_total{gate=\"helm-storage\"} 2"), "{}", telemetry.text());
}

#[tokio::test]
async fn break_glass_is_counted_and_written_to_the_audit_log_but_not_for_a_dry_run() {
    let (router, telemetry) = real();
    let until = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(1)).unwrap();
    let source = json!({"chart": {"spec": {"chart": "milvus", "version": "4.2.50", "sourceRef": {"kind": "HelmRepository", "name": "z"}}}});
    let values = json!({"image": {"all": {"tag": "v2.5"}}, "pulsar": {"enabled": true}, "kafka": {"enabled": true}});
    let mut release =
        json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "milvus", "namespace": "n"}, "spec": source});
    release["spec"]["values"] = values;
    let request = |object: &Value, dry_run: bool| {
        let kind = json!({"group": "helm.toolkit.fluxcd.io", "version": "v2", "kind": "HelmRelease"});
        body(
            json!({"uid": "u", "kind": kind, "name": "milvus", "namespace": "n", "operation": "CREATE", "userInfo": {"username": "ada"}, "object": object, "dryRun": dry_run}),
        )
    };
    let refused = send(router.clone(), Gate::GitOps.path(), request(&release, false)).await.1;
    assert_eq!(refused["response"]["allowed"], json!(false), "{refused}");
    release["metadata"]["annotations"] = json!({"guard.milvus-guard.dev/break-glass": format!("reason=\"INC-7\" until={until}")});
    for dry_run in [true, false] {
        let passed = send(router.clone(), Gate::GitOps.path(), request(&release, dry_run)).await.1;
        assert_eq!(passed["response"]["allowed"], json!(true), "{passed}");
        assert!(passed["response"]["auditAnnotations"]["break-glass"].as_str().unwrap().starts_with("ada: INC-7"), "{passed}");
    }
    assert!(telemetry.text().contains("milvus_guard_break_glass_total{gate=\"gitops\"} 1"), "{}", telemetry.text());
}

fn review(name: &str) -> Vec<u8> {
    let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let request = json!({"uid": "u", "kind": kind, "name": name, "namespace": "n", "operation": "UPDATE", "object": {}, "oldObject": {}});
    serde_json::to_vec(&json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})).unwrap()
}

async fn send(router: Router, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    let response = router.oneshot(Http::post(path).body(body.into()).unwrap()).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_review_is_answered_with_its_uid() {
    let (status, review) = send(router(Limits::default()), Gate::GitOps.path(), review("fine")).await;
    assert_eq!((status, &review["response"]["uid"], &review["response"]["allowed"]), (StatusCode::OK, &json!("u"), &json!(true)));
}

#[tokio::test]
async fn a_panic_is_answered_by_the_doubt_policy_of_the_gate() {
    for (gate, allowed) in [(Gate::HelmStorage, true), (Gate::GitOps, false), (Gate::Workload, true), (Gate::Own, false)] {
        let (status, review) = send(router(Limits::default()), gate.path(), review("panics")).await;
        assert_eq!((status, &review["response"]["allowed"]), (StatusCode::OK, &json!(allowed)), "{gate:?}");
    }
}

#[tokio::test]
async fn the_end_of_the_budget_is_answered_with_a_review() {
    let limits = Limits { budget: Duration::from_millis(10), ..Limits::default() };
    let (status, review) = send(router(limits), Gate::GitOps.path(), review("sleeps")).await;
    assert_eq!((status, &review["response"]["allowed"]), (StatusCode::OK, &json!(false)));
    assert!(review["response"]["status"]["message"].as_str().unwrap().contains("in time"));
}

#[tokio::test]
async fn bodies_that_are_too_long_or_no_review_are_client_errors() {
    let limits = Limits { body_bytes: 1000, ..Limits::default() };
    assert_eq!(send(router(limits), Gate::Own.path(), vec![b' '; 1001]).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send(router(limits), Gate::Own.path(), vec![b'['; 900]).await.0, StatusCode::BAD_REQUEST);
    let limits = Limits { decoded_bytes: 100_000, ..Limits::default() };
    assert_eq!(send(router(limits), Gate::Own.path(), vec![b'['; 900]).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send(router(limits), "/elsewhere", "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_body_without_a_length_is_read_only_so_far() {
    let limits = Limits { body_bytes: 1000, ..Limits::default() };
    let chunks = futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100])));
    assert_eq!(send(router(limits), Gate::Own.path(), Body::from_stream(chunks)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn too_many_at_once_are_turned_away_and_no_place_is_lost() {
    let limits = Limits { in_flight: 1, queue: Duration::from_millis(20), budget: Duration::from_millis(300), ..Limits::default() };
    let router = router(limits);
    let slow = tokio::spawn(send(router.clone(), Gate::Workload.path(), review("sleeps")));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(send(router.clone(), Gate::Workload.path(), review("fine")).await.0, StatusCode::TOO_MANY_REQUESTS);
    slow.await.unwrap();
    assert_eq!(send(router, Gate::Workload.path(), review("fine")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_review_that_was_judged_before_is_answered_and_counted_like_the_first() {
    let guard = Guard::new(Arc::new(Snapshot::default()), Configuration { mode: Mode::Warn, ..Configuration::default() });
    let telemetry = Arc::new(Telemetry::default());
    let router = Gates::new(Arc::new(guard), Arc::clone(&telemetry), Limits::default(), DoubtPolicy::Admit).router();
    let object = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "m", "namespace": "n"},
        "spec": {"chart": {"spec": {"chart": "milvus", "version": "4.2.50", "sourceRef": {"kind": "HelmRepository", "name": "z"}}},
            "values": {"image": {"all": {"tag": "v2.5"}}, "pulsar": {"enabled": true}, "kafka": {"enabled": true}}}});
    let kind = json!({"group": "helm.toolkit.fluxcd.io", "version": "v2", "kind": "HelmRelease"});
    let review = |number: u64, dry_run: bool| {
        let mut object = object.clone();
        object["metadata"]["generation"] = json!(number);
        body(json!({"uid": format!("u{number}"), "kind": kind, "name": "m", "namespace": "n", "operation": "CREATE", "object": object, "dryRun": dry_run}))
    };
    let (mut first, mut again) =
        (send(router.clone(), Gate::GitOps.path(), review(1, true)).await.1, send(router, Gate::GitOps.path(), review(2, false)).await.1);
    assert_eq!((first["response"]["uid"].take(), again["response"]["uid"].take()), (json!("u1"), json!("u2")));
    assert!(first == again && first["response"]["warnings"].as_array().is_some_and(|said| !said.is_empty()), "{first} {again}");
    let line = "milvus_guard_reviews_total{gate=\"gitops\",kind=\"HelmRelease\",operation=\"CREATE\",verdict=\"warned\"} 2";
    assert!(telemetry.text().contains(line), "{}", telemetry.text());
}
