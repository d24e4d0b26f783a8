//! A wire that a test can make slow, for what is sent to the server, or silent, for what the server says on connections that exist.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A port on loopback in front of another one.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    latency_milliseconds: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    silent: Arc<AtomicU64>,
}

/// What one connection has to know of its wire.
struct Carried {
    latency: Arc<AtomicU64>,
    /// Its number, from 1.
    number: u64,
    /// Up to this number connections are silent.
    silent: Arc<AtomicU64>,
}

impl Wire {
    /// Listens on a free port, without latency at first. It serves as long as the runtime that this is called in lives.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let latency_milliseconds = Arc::new(AtomicU64::new(0));
        let (connections, silent) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let wire = Self { port, latency_milliseconds: Arc::clone(&latency_milliseconds), connections: Arc::clone(&connections), silent: Arc::clone(&silent) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = connections.fetch_add(1, Ordering::Relaxed) + 1;
                tokio::spawn(carry(client, server, Carried { latency: Arc::clone(&latency_milliseconds), number, silent: Arc::clone(&silent) }));
            }
        });
        wire
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on everything arrives this much later; what is under way, as before.
    pub fn set_latency(&self, latency: Duration) {
        self.latency_milliseconds.store(u64::try_from(latency.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// From now on nothing arrives that the server says on connections that exist, such as watches; new ones work. Undone by `false`.
    pub fn set_silent(&self, silent: bool) {
        let up_to = if silent { self.connections.load(Ordering::Relaxed) } else { 0 };
        self.silent.store(up_to, Ordering::Relaxed);
    }
}

async fn carry(client: TcpStream, server: u16, carried: Carried) {
    let Carried { latency, number, silent } = carried;
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // Bytes keep their order and overlap in time: a wire is long, not narrow.
    let (sent, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let reading = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            let due = Instant::now() + Duration::from_millis(latency.load(Ordering::Relaxed));
            if sent.send((due, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = arriving.recv().await {
            tokio::time::sleep_until(due).await;
            if to_server.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let answering = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            while silent.load(Ordering::Relaxed) >= number {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = async { tokio::join!(reading, writing); } => {}
        () = answering => {}
    }
}
