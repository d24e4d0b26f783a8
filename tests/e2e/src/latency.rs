//! A wire with a latency that a test sets: what is sent to the server arrives that much later.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A port on loopback in front of another one.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    latency_milliseconds: Arc<AtomicU64>,
}

impl Wire {
    /// Listens on a free port, without latency at first. It serves as long as the runtime that this is called in lives.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let latency_milliseconds = Arc::new(AtomicU64::new(0));
        let latency = Arc::clone(&latency_milliseconds);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, Arc::clone(&latency)));
            }
        });
        Self { port, latency_milliseconds }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on everything arrives this much later; what is under way, as before.
    pub fn set_latency(&self, latency: Duration) {
        self.latency_milliseconds.store(u64::try_from(latency.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

async fn carry(client: TcpStream, server: u16, latency: Arc<AtomicU64>) {
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
        let _ = copy(&mut from_server, &mut to_client).await;
    };
    tokio::select! {
        () = async { tokio::join!(reading, writing); } => {}
        () = answering => {}
    }
}
