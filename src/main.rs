//! Starts `milvus-lint`.

use std::process::ExitCode;

mod cli;

/// Trees of small values are made and dropped for every document; the system's allocator is much slower at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
