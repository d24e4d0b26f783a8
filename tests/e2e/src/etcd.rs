//! A real etcd, and its keys by its JSON gateway: a way to them that nothing under test uses.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::control_plane::free_port;
use crate::process::Process;

/// Where clients reach an etcd without TLS.
pub fn plain(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Starts an etcd of one member that keeps its data in a folder. It listens to clients on all addresses, and tells them the first.
pub fn start(programs: &Path, data: &Path, log: &Path, clients: &[String], more: &[String]) -> Process {
    let peers = format!("http://127.0.0.1:{}", free_port());
    let mut arguments = vec![
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={}", clients.join(",")),
        format!("--advertise-client-urls={}", clients.first().map_or("", String::as_str)),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        // Nothing has to survive a crash of the machine.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    arguments.extend_from_slice(more);
    Process::part(programs, "etcd", arguments, log)
}

/// Keys and values.
pub type All = BTreeMap<String, Vec<u8>>;

/// An etcd on loopback that speaks plain HTTP.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// Its port.
    pub port: u16,
}

impl Keys {
    /// Asks the gateway (`/v3/kv/put`); fails the test on anything but success.
    pub async fn ask(&self, path: &str, body: Value) -> Value {
        self.try_ask(path, &body).await.unwrap_or_else(|error| panic!("etcd {path}: {error}"))
    }

    /// The same, with what went wrong.
    pub async fn try_ask(&self, path: &str, body: &Value) -> Result<Value, String> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let body = Full::new(Bytes::from(body.to_string()));
        let request = Request::post(path).header(header::HOST, "etcd").body(body).unwrap();
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        match status.is_success() {
            true => Ok(serde_json::from_slice(&bytes).unwrap()),
            false => Err(format!("{status}: {}", String::from_utf8_lossy(&bytes))),
        }
    }

    /// Writes a key.
    pub async fn put(&self, key: &str, value: &[u8]) {
        self.ask("/v3/kv/put", json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)})).await;
    }

    /// Writes keys, some at a time.
    pub async fn put_all(&self, all: &All) {
        let all: Vec<Value> = all.iter().map(|(key, value)| json!({"requestPut": {"key": STANDARD.encode(key), "value": STANDARD.encode(value)}})).collect();
        for some in all.chunks(100) {
            self.ask("/v3/kv/txn", json!({"success": some})).await;
        }
    }

    /// Writes a key that ends with a lease of so many seconds; gives the lease.
    pub async fn put_leased(&self, key: &str, value: &[u8], seconds: u32) -> String {
        let lease = self.ask("/v3/lease/grant", json!({"TTL": seconds})).await["ID"].as_str().unwrap().to_owned();
        self.ask("/v3/kv/put", json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value), "lease": lease})).await;
        lease
    }

    /// Ends a lease.
    pub async fn end_lease(&self, lease: &str) {
        self.ask("/v3/lease/revoke", json!({"ID": lease})).await;
    }

    /// All keys with a prefix.
    pub async fn all(&self, prefix: &str) -> All {
        let answer = self.ask("/v3/kv/range", json!({"key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end_of(prefix))})).await;
        let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
        let read = |entry: &Value| (String::from_utf8(bytes(&entry["key"])).unwrap(), bytes(&entry["value"]));
        answer["kvs"].as_array().into_iter().flatten().map(read).collect()
    }

    /// Deletes all keys with a prefix.
    pub async fn delete_all(&self, prefix: &str) {
        self.ask("/v3/kv/deleterange", json!({"key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end_of(prefix))})).await;
    }
}

fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    end
}
