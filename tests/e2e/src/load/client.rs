//! Sends reviews over kept TLS connections, at a given rate or as many as are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Which HTTP is spoken; the server has to take it up in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// HTTP/2: many requests at once on a connection, as the API server sends them.
    H2,
    /// HTTP/1.1: one after the other.
    Http1,
}

/// Where the webhook listens.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its port on loopback.
    pub port: u16,
    /// The authority of its certificate, PEM.
    pub authority: String,
}

/// How often reviews are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many a second, whether or not the ones before are answered; latency counts from the moment at which a review was due.
    PerSecond(u32),
    /// The next one as soon as one is answered.
    AsAnswered,
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Load {
    /// Path of the gate.
    pub path: &'static str,
    /// Bodies, sent in turn.
    pub bodies: Arc<Vec<Bytes>>,
    /// Protocol.
    pub protocol: Protocol,
    /// Rate.
    pub pace: Pace,
    /// Connections.
    pub connections: usize,
    /// Requests at once on each of them; 1 in HTTP/1.1.
    pub streams: usize,
    /// How long it lasts.
    pub time: Duration,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From the moment at which each review was due to its whole answer, in microseconds, ascending.
    pub micros: Vec<u32>,
    /// Answers that are AdmissionReviews.
    pub reviews: usize,
    /// Answers that are 4xx.
    pub turned_away: usize,
    /// Anything else: a broken connection, a 5xx.
    pub failed: usize,
    /// An answer, to look at.
    pub sample: Vec<u8>,
    /// From the first review to the last answer.
    pub took: Duration,
}

impl Outcome {
    /// The time that a share of the reviews was answered in, in milliseconds.
    pub fn percentile(&self, share: f64) -> f64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "counts are small")]
        let at = ((self.micros.len() as f64 * share) as usize).min(self.micros.len().saturating_sub(1));
        self.micros.get(at).map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
    }

    /// Answers a second.
    #[allow(clippy::cast_precision_loss, reason = "counts are small")]
    pub fn rate(&self) -> f64 {
        self.micros.len() as f64 / self.took.as_secs_f64()
    }

    fn add(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.reviews += other.reviews;
        self.turned_away += other.turned_away;
        self.failed += other.failed;
        if self.sample.is_empty() {
            self.sample = other.sample;
        }
    }
}

/// Sends `load`, and waits for all answers.
pub async fn send(target: &Target, load: &Load) -> Outcome {
    let streams = if load.protocol == Protocol::Http1 { 1 } else { load.streams };
    let mut senders = Vec::new();
    for _ in 0..load.connections {
        let connection = Connection::open(target, load.protocol).await;
        senders.extend((0..streams).map(|_| connection.sender()));
    }
    let (due_in, due) = mpsc::unbounded_channel();
    let due = Arc::new(Mutex::new(due));
    let begin = Instant::now();
    if let Pace::PerSecond(rate) = load.pace {
        let time = load.time;
        // A thread of its own: timers of the runtime have a resolution of a millisecond.
        std::thread::spawn(move || pace(rate, begin, time, &due_in));
    }
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = senders.into_iter().map(|sender| tokio::spawn(work(sender, load.clone(), begin, Arc::clone(&due), Arc::clone(&next)))).collect();
    let mut outcome = Outcome::default();
    for worker in workers {
        outcome.add(worker.await.unwrap());
    }
    outcome.took = begin.elapsed();
    outcome.micros.sort_unstable();
    outcome
}

fn pace(rate: u32, begin: Instant, time: Duration, due: &mpsc::UnboundedSender<Instant>) {
    for number in 0..u32::MAX {
        let at = begin + Duration::from_secs(1) * number / rate;
        if at - begin >= time {
            return;
        }
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        if due.send(at).is_err() {
            return;
        }
    }
}

async fn work(mut sender: Sender, load: Load, begin: Instant, due: Arc<Mutex<mpsc::UnboundedReceiver<Instant>>>, next: Arc<AtomicUsize>) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let at = match load.pace {
            Pace::PerSecond(_) => match due.lock().await.recv().await {
                Some(at) => at,
                None => return outcome,
            },
            Pace::AsAnswered if begin.elapsed() >= load.time => return outcome,
            Pace::AsAnswered => Instant::now(),
        };
        let body = load.bodies[next.fetch_add(1, Ordering::Relaxed) % load.bodies.len()].clone();
        let answer = sender.post(load.path, body).await;
        outcome.micros.push(u32::try_from(at.elapsed().as_micros()).unwrap_or(u32::MAX));
        match answer {
            Ok((StatusCode::OK, body)) => {
                outcome.reviews += 1;
                if outcome.sample.is_empty() {
                    outcome.sample = body.to_vec();
                }
            }
            Ok((status, _)) if status.is_client_error() => outcome.turned_away += 1,
            Ok(_) => outcome.failed += 1,
            Err(_) => {
                outcome.failed += 1;
                // The connection is gone, and with it this worker.
                return outcome;
            }
        }
    }
}

enum Connection {
    H2(http2::SendRequest<Full<Bytes>>),
    Http1(std::sync::Mutex<Option<http1::SendRequest<Full<Bytes>>>>),
}

enum Sender {
    H2(http2::SendRequest<Full<Bytes>>),
    Http1(http1::SendRequest<Full<Bytes>>),
}

impl Connection {
    async fn open(target: &Target, protocol: Protocol) -> Self {
        let io = TokioIo::new(handshake(target, protocol).await);
        match protocol {
            Protocol::H2 => {
                // Windows as wide as Go's client, which the API server is.
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .initial_stream_window_size(4 << 20)
                    .initial_connection_window_size(1 << 30)
                    .handshake(io)
                    .await
                    .unwrap();
                tokio::spawn(connection);
                Self::H2(sender)
            }
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                Self::Http1(std::sync::Mutex::new(Some(sender)))
            }
        }
    }

    fn sender(&self) -> Sender {
        match self {
            Self::H2(sender) => Sender::H2(sender.clone()),
            Self::Http1(sender) => Sender::Http1(sender.lock().unwrap().take().unwrap()),
        }
    }
}

impl Sender {
    async fn post(&mut self, path: &str, body: Bytes) -> hyper::Result<(StatusCode, Bytes)> {
        let request = |uri: String| Request::post(uri).header(header::CONTENT_TYPE, "application/json").header(header::HOST, "localhost");
        let response = match self {
            Self::H2(sender) => sender.send_request(request(format!("https://localhost{path}")).body(Full::new(body)).unwrap()).await?,
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request(path.to_owned()).body(Full::new(body)).unwrap()).await?
            }
        };
        Ok((response.status(), response.into_body().collect().await?.to_bytes()))
    }
}

async fn handshake(target: &Target, protocol: Protocol) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(target.authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    let name: &[u8] = if protocol == Protocol::H2 { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![name.to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", target.port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(name));
    stream
}
