//! How many Milvus documents per CPU-second the engine judges once they are read: parse, resolve against the catalogue, judge by all rules, on one thread.
//! Then what one change with a state before costs, as the admission webhook asks: to resolve both states, and to judge them.
//! Prints the median of several rounds; asserts nothing. `cargo bench -p milvus-guard --bench documents`.

#![allow(missing_docs, clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark prints its figures")]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::{Change, ChangeKind, Environment};
use milvus_guard::model::declaration::Declaration;
use milvus_guard::policy::{self, Policies};
use milvus_guard::source::memory::MemoryTree;
use milvus_guard::source::{self, SourceFile, pair};

#[allow(dead_code, reason = "the tree itself is used by the other benchmark")]
mod tree;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DOCUMENTS: usize = 2_000;
const ROUNDS: usize = 11;

fn main() {
    let texts: Vec<(String, String)> = (0..DOCUMENTS).map(|i| (format!("milvus-{i:05}.yaml"), tree::milvus_document_text(i))).collect();
    let tree = MemoryTree::new(texts.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
    let Ok(one_thread) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else { return };
    let reading = median(|| one_thread.install(|| round(&tree, &texts)));
    println!(
        "{DOCUMENTS} documents, {bytes} bytes: {:.1} ms, {:.0} documents per CPU-second",
        reading.as_secs_f64() * 1e3,
        DOCUMENTS as f64 / reading.as_secs_f64()
    );
    let declarations = one_thread.install(|| source::read_tree(&tree, &files(&texts))).declarations;
    let change = |pair: &[Declaration]| {
        let [before, after] = pair else { return None };
        Change::new(Some(before.clone()), Some(after.clone()), ChangeKind::Changed, Environment::default(), Catalogue::embedded())
    };
    let changes: Vec<Change> = declarations.windows(2).filter_map(change).collect();
    let resolving = median(|| timed(|| declarations.windows(2).filter_map(change).count()));
    let judging = median(|| timed(|| changes.iter().map(|change| policy::check(change, Policies::embedded()).len()).sum()));
    let each = |time: Duration| time.as_secs_f64() * 1e6 / changes.len() as f64;
    println!("one change with a state before: {:.1} us to resolve, {:.1} us to judge", each(resolving), each(judging));
}

fn median(mut round: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| round()).collect();
    times.sort_unstable();
    times.get(ROUNDS / 2).copied().unwrap_or_default()
}

fn timed(work: impl Fn() -> usize) -> Duration {
    let start = cpu_time();
    assert!(std::hint::black_box(work()) > 0, "nothing was done");
    cpu_time().saturating_sub(start)
}

fn files(texts: &[(String, String)]) -> Vec<SourceFile> {
    texts.iter().map(|(path, text)| SourceFile::new(path.as_str().into(), text.as_str().into())).collect()
}

/// Time that this thread has been on a CPU (Linux; elsewhere the clock on the wall, which other work on the machine falsifies).
fn cpu_time() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let on_cpu = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = on_cpu.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

fn round(tree: &MemoryTree, texts: &[(String, String)]) -> Duration {
    let files = files(texts);
    let start = cpu_time();
    let reading = source::read_tree(tree, &files);
    let mut findings = 0;
    for pair in pair::present(reading.declarations) {
        if let Some(change) = Change::new(pair.before, pair.after, pair.kind, Environment::default(), Catalogue::embedded()) {
            findings += policy::check(&change, Policies::embedded()).len();
        }
    }
    let time = cpu_time().saturating_sub(start);
    assert!(findings > 0, "nothing was found: the documents were not read");
    time
}
