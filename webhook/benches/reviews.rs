//! What one review costs the processor, without sockets: a body goes through the router of the gates (limits, reading, judging over a cluster in memory, writing the answer) on one thread;
//! the threads that decode releases count too. TLS, HTTP and the API server are not in it: `milvus-guard-e2e load` measures those.
//! Prints the median of several rounds; asserts nothing but that reviews are answered. `cargo bench -p milvus-guard-webhook --bench reviews [-- WORD..]`.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints its figures"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode, header};
use milvus_guard_webhook::admission::DoubtPolicy;
use milvus_guard_webhook::admission::guard::{Configuration, Guard};
use milvus_guard_webhook::cluster::Snapshot;
use milvus_guard_webhook::server::{Gates, Limits};
use milvus_guard_webhook::telemetry::Telemetry;
use tower::ServiceExt as _;

use self::bodies::Measure;

mod bodies;
#[path = "../../tests/e2e/src/load/shapes.rs"]
mod shapes;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 9;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    for measure in bodies::measures().into_iter().filter(|measure| words.is_empty() || words.iter().any(|word| measure.name.contains(word.as_str()))) {
        let router = router(measure.cluster.clone());
        let mut answer = runtime.block_on(round(&router, &measure));
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..ROUNDS {
            let begin = cpu_time();
            answer = runtime.block_on(round(&router, &measure));
            times.push(cpu_time().saturating_sub(begin));
        }
        times.sort_unstable();
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / measure.bodies.len() as f64;
        println!(
            "{:<44} {:>9.1} us CPU a review (best {:.1}); the last answer: {}",
            measure.name,
            micros(times[ROUNDS / 2]),
            micros(times[0]),
            String::from_utf8_lossy(&answer).chars().take(320).collect::<String>()
        );
    }
}

fn router(cluster: Snapshot) -> Router {
    let guard = Guard::new(Arc::new(cluster), Configuration::default());
    Gates::new(Arc::new(guard), Arc::new(Telemetry::default()), Limits::default(), DoubtPolicy::Admit).router()
}

/// Sends all bodies once, one after the other; the last answer.
async fn round(router: &Router, measure: &Measure) -> Bytes {
    let mut last = Bytes::new();
    for body in &measure.bodies {
        let request = Request::post(measure.gate.path()).header(header::CONTENT_LENGTH, body.len()).body(Body::from(body.clone())).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        last = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    }
    last
}

/// Time that all threads of this process have been on a CPU (Linux). The kernel brings a thread's figure up to date when it is asked.
fn cpu_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let of_thread = |thread: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(threads.filter_map(of_thread).sum())
}
