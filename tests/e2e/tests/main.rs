//! Tests on a real control plane, all in one binary that starts it once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests may fail loudly"
)]

mod argocd;
mod carried;
#[path = "../../integration/changes.rs"]
mod changes;
mod chart_renders_as_the_real_one;
mod chart_upgrades_as_the_real_one;
mod doctor;
mod faults;
mod flux;
mod gates;
mod gitops;
mod harness;
mod held;
mod judged_again;
mod laptop;
mod leaving;
mod metadata;
mod migration;
mod one_verdict;
mod operated;
mod rights;
mod tutorial;
mod unguarded;
mod upgrades;
mod webhook_runs;
