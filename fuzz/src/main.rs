//! `cargo run -p milvus-guard-fuzz [-- TARGET|all [ITERATIONS [SEED]]]`: mutated seeds through a reader and all that follows. A panic ends it, with the input printed.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a program of its own that reads its corpus and prints its figures")]

mod mutate;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use mutate::Mutator;
use targets::{TARGETS, Target};

const ITERATIONS: usize = 2_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "all".to_owned());
    let iterations = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(ITERATIONS);
    let seed = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    let chosen: Vec<&Target> = TARGETS.iter().filter(|target| name == "all" || target.name == name).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("no target `{name}`; there are: {}", names.join(", "));
        return ExitCode::from(2);
    }
    let mut total = 0;
    for target in chosen {
        let seeds = match seeds(target.name) {
            Ok(seeds) if !seeds.is_empty() => seeds,
            Ok(_) => return fault(&format!("fuzz/corpus/{} is empty", target.name)),
            Err(error) => return fault(&format!("fuzz/corpus/{}: {error}", target.name)),
        };
        let start = Instant::now();
        let mut mutator = Mutator::new(seed, seeds);
        for iteration in 0..iterations {
            let input = mutator.next_input(iteration);
            let text = String::from_utf8_lossy(&input);
            if catch_unwind(AssertUnwindSafe(|| (target.run)(&text))).is_err() {
                return fault(&format!("target {} panicked at iteration {iteration} of seed {seed} on:\n{}", target.name, text.escape_debug()));
            }
        }
        total += iterations;
        println!("{:<14} {iterations} inputs, {:.1} s, 0 panics", target.name, start.elapsed().as_secs_f64());
    }
    println!("fuzz: {total} inputs, 0 panics");
    ExitCode::SUCCESS
}

fn fault(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::FAILURE
}

/// The seeds of a target, sorted by name.
fn seeds(target: &str) -> std::io::Result<Vec<Vec<u8>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().map(std::fs::read).collect()
}
