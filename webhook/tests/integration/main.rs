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

mod chart;
mod fuzz;
mod judged;
mod serving;
