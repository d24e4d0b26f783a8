//! What is true of the webhook's program and its chart from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test may fail loudly and reads files"
)]

#[path = "../../../tests/integration/changes.rs"]
mod changes;
mod chart;
#[path = "../../../tests/e2e/tests/one_verdict/declared.rs"]
mod declared;
mod fuzz;
mod judged;
mod one_engine;
mod serving;
