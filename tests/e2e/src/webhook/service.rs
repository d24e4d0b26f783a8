//! What a Service is to replicas: one address in front of several ports.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::control_plane::background;

/// A port on loopback that hands each connection to one of its backends in turn, or to the next one that answers.
#[derive(Debug)]
pub struct Service {
    port: u16,
    backends: Arc<Mutex<Vec<u16>>>,
    task: JoinHandle<()>,
}

impl Service {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let backends: Arc<Mutex<Vec<u16>>> = Arc::default();
        let shared = Arc::clone(&backends);
        let listening = background().spawn(async { TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap() });
        let listener = listening.await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = background().spawn(async move {
            let turn = AtomicUsize::new(0);
            while let Ok((client, _)) = listener.accept().await {
                let (backends, first) = (shared.lock().unwrap().clone(), turn.fetch_add(1, Ordering::Relaxed));
                tokio::spawn(forward(client, backends, first));
            }
        });
        Self { port, backends, task }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The ports behind it from now on. Connections that exist stay where they are.
    pub fn set_backends(&self, ports: &[u16]) {
        *self.backends.lock().unwrap() = ports.to_vec();
    }
}

async fn forward(mut client: TcpStream, backends: Vec<u16>, first: usize) {
    for i in 0..backends.len() {
        let port = backends[(first + i) % backends.len()];
        if let Ok(mut backend) = TcpStream::connect(("127.0.0.1", port)).await {
            let _ = (client.set_nodelay(true), backend.set_nodelay(true));
            // It ends as either side does.
            let _ = copy_bidirectional(&mut client, &mut backend).await;
            return;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}
