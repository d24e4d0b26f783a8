//! Times `milvus-lint` as users run it: a large tree against `rg -l -i milvus` on the same tree in the same run, one file, and start-up.
//! Prints medians and ratios; asserts nothing, since machines are noisy. `cargo bench --bench check`.

#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a benchmark prints its figures and makes files")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

mod tree;

const RUNS: usize = 15;

fn main() {
    let lint = Path::new(env!("CARGO_BIN_EXE_milvus-lint"));
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-tree");
    let shape = tree::Shape { files: 10_000, bytes: 100 << 20, milvus_files: 200 };
    if let Err(error) = tree::make(&root, shape) {
        eprintln!("cannot make the tree: {error}");
        return;
    }
    let one = one_file();
    let mut check = Vec::new();
    let mut search = Vec::new();
    for _ in 0..RUNS {
        search.extend(time(Command::new("rg").args(["-l", "-i", "milvus"]).arg(&root)));
        check.extend(time(Command::new(lint).args(["check", "--fail-on", "never", "--format", "json"]).arg(&root)));
    }
    let check = median(check);
    println!("check of 10,000 files, 100 MB, 200 with Milvus: {}", show(check));
    match (check, median(search)) {
        (Some(check), Some(search)) => {
            println!("rg -l -i milvus on the same tree:              {}", show(Some(search)));
            println!("ratio:                                         {:.2}", check.as_secs_f64() / search.as_secs_f64());
        }
        _ => println!("ripgrep is not installed: no ratio"),
    }
    println!(
        "check of one file:                             {}",
        show(median(repeat(|| time(Command::new(lint).args(["check", "--fail-on", "never"]).arg(&one)))))
    );
    println!("--version:                                     {}", show(median(repeat(|| time(Command::new(lint).arg("--version"))))));
    if let Ok(meta) = std::fs::metadata(lint) {
        println!("binary:                                        {:.1} MB", meta.len() as f64 / 1e6);
    }
}

/// A file in a folder of its own, outside of any git tree: a part of one would be looked up in the whole of it.
fn one_file() -> PathBuf {
    let path = std::env::temp_dir().join(format!("milvus-lint-bench-{}.yaml", std::process::id()));
    if let Err(error) = std::fs::write(&path, tree::milvus_document_text(1)) {
        eprintln!("cannot write {}: {error}", path.display());
    }
    path
}

fn repeat(mut run: impl FnMut() -> Option<Duration>) -> Vec<Duration> {
    (0..RUNS * 3).filter_map(|_| run()).collect()
}

fn time(command: &mut Command) -> Option<Duration> {
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    Some(start.elapsed())
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

fn show(time: Option<Duration>) -> String {
    time.map_or_else(|| "not measured".into(), |t| format!("{:8.2} ms", t.as_secs_f64() * 1e3))
}
