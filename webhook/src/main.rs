//! Starts `milvus-guard`.

use std::process::ExitCode;

mod commands;

/// Reviews are trees of small values, made and dropped on several threads: it is faster at that than the system's, and gives memory back after bursts.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    commands::run()
}
