//! The server over real TLS: certificates change under connections, and an end lets nobody down.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kube::Client;
use milvus_guard_webhook::admission::{Answer, DoubtPolicy, Gate, Judge, Request};
use milvus_guard_webhook::server::certificates::authority::{Lifetimes, Shared, Step, next};
use milvus_guard_webhook::server::certificates::files::Files;
use milvus_guard_webhook::server::run::{Channels, Listen, serve};
use milvus_guard_webhook::server::side::Health;
use milvus_guard_webhook::server::tls::Floor;
use milvus_guard_webhook::server::{Gates, Limits};
use milvus_guard_webhook::telemetry::Telemetry;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

/// Takes its time.
struct Slow(Duration);

impl Judge for Slow {
    async fn judge(&self, _gate: Gate, _request: Arc<Request>) -> Answer {
        tokio::time::sleep(self.0).await;
        Answer::admitted()
    }

    fn is_ready(&self) -> bool {
        true
    }
}

fn made() -> Shared {
    let now = jiff::Timestamp::now().as_second();
    match next(None, &["127.0.0.1".into()], &Lifetimes::default(), &|_| true, now).unwrap() {
        Step::Store(shared, _) => *shared,
        Step::Keep => panic!("nothing to keep"),
    }
}

fn write(folder: &Path, shared: &Shared) {
    for (name, text) in [("tls.crt", &shared.chain), ("tls.key", &shared.key), ("ca.crt", &shared.authorities.concat())] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A client that trusts `authorities` (PEM).
fn client(address: SocketAddr, authorities: &str) -> Client {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let mut config = kube::Config::new(format!("https://{address}").parse().unwrap());
    config.root_cert = Some(CertificateDer::pem_slice_iter(authorities.as_bytes()).map(|certificate| certificate.unwrap().to_vec()).collect());
    Client::try_from(config).unwrap()
}

async fn review(client: &Client) -> Result<bool, kube::Error> {
    let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let request = json!({"uid": "u", "kind": kind, "name": "m", "namespace": "n", "operation": "UPDATE", "object": {}});
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let request = axum::http::Request::post(Gate::Workload.path()).body(serde_json::to_vec(&body).unwrap()).unwrap();
    let answer: Value = client.request(request).await?;
    Ok(answer["response"]["allowed"] == true)
}

/// The text of a 200 from the plain port; asked once, without the retries of a Kubernetes client.
async fn status(address: SocketAddr, path: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.ok()?;
    let mut text = String::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut text)).await.ok()?.ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

struct Running {
    address: SocketAddr,
    side: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
    _wanted: watch::Receiver<Option<String>>,
}

/// A server on the certificate in `folder`.
async fn start(folder: &Path, judge: Slow) -> Running {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (address, side) = (free(), free());
    let telemetry = Arc::new(Telemetry::default());
    let judge = Arc::new(judge);
    let health = Arc::new(Health::new(Arc::clone(&judge)));
    let router = Gates::new(judge, Arc::clone(&telemetry), Limits::default(), DoubtPolicy::Admit).router();
    let (offer, offered) = watch::channel(None);
    let (wanted, wanted_out) = watch::channel(None);
    let (_announced, announced) = watch::channel(None);
    tokio::spawn(Files { folder: folder.to_owned(), every: Duration::from_millis(20) }.watch(offer));
    let listen =
        Listen { reviews: address, side, floor: Floor::Tls13, clients: None, drain_delay: Duration::from_millis(300), drain_time: Duration::from_secs(5) };
    let (end, ended) = oneshot::channel();
    let channels = Channels { offered, wanted, announced, registers: false };
    let task = tokio::spawn(serve(listen, router, health, telemetry, channels, async move {
        let _ = ended.await;
    }));
    for _ in 0..200 {
        if status(side, "/readyz").await.as_deref() == Some("ready") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Running { address, side, end: Some(end), task, _wanted: wanted_out }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_changes_without_a_failed_review() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (made(), made());
    write(folder.path(), &first);
    let running = start(folder.path(), Slow(Duration::from_millis(1))).await;
    let both = format!("{}{}", first.authorities.concat(), second.authorities.concat());
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    // One keeps its connection, the others make new ones all the time.
    let senders: Vec<_> = (0..3)
        .map(|number| {
            let (stop, sent, both, address) = (Arc::clone(&stop), Arc::clone(&sent), both.clone(), running.address);
            tokio::spawn(async move {
                let mut sender = client(address, &both);
                while !stop.load(Ordering::Relaxed) {
                    if number > 0 {
                        sender = client(address, &both);
                    }
                    assert!(review(&sender).await.unwrap());
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for shared in [&second, &first, &second] {
        tokio::time::sleep(Duration::from_millis(150)).await;
        write(folder.path(), shared);
    }
    let only_second = second.authorities.concat();
    let mut is_served = false;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        is_served = review(&client(running.address, &only_second)).await.is_ok();
        if is_served {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    assert!(is_served, "the new certificate is served");
    assert!(sent.load(Ordering::Relaxed) > 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_says_not_ready_first_then_answers_what_is_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let shared = made();
    write(folder.path(), &shared);
    let mut running = start(folder.path(), Slow(Duration::from_millis(800))).await;
    let sender = client(running.address, &shared.authorities.concat());
    let in_flight = tokio::spawn(async move { review(&sender).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.end.take().unwrap().send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(status(running.side, "/healthz").await.as_deref(), Some("alive"));
    assert_eq!(status(running.side, "/readyz").await, None, "not ready as soon as it is told to end");
    let late = client(running.address, &shared.authorities.concat());
    assert!(review(&late).await.unwrap(), "whoever was not told yet is still answered");
    assert!(in_flight.await.unwrap().unwrap(), "what was in flight is answered");
    drop(late);
    running.task.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(running.address).await.is_err(), "and then nobody listens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_certificate_it_is_alive_and_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path(), Slow(Duration::ZERO)).await;
    assert_eq!(status(running.side, "/healthz").await.as_deref(), Some("alive"));
    assert_eq!(status(running.side, "/readyz").await, None);
    write(folder.path(), &made());
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if status(running.side, "/readyz").await.is_some() {
            break;
        }
    }
    let metrics = status(running.side, "/metrics").await.unwrap();
    assert!(metrics.contains("milvus_guard_certificate_expiry_timestamp_seconds 1") && metrics.ends_with("# EOF\n"), "{metrics}");
    running.end.take().unwrap().send(()).unwrap();
    running.task.await.unwrap().unwrap();
}
