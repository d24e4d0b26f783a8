//! The one integration test binary: what is true of the library and the program from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test may fail loudly and reads files"
)]

mod architecture;
mod catalogue_agrees_with_helm;
mod changes;
mod chart_archive;
mod cli;
mod controlplane;
mod examples;
mod forms;
mod helm_case;
mod helm_generator;
mod independent_table;
mod json_schema;
mod plans_are_clean;
mod readme;
mod reports;
mod schemas;
mod six_forms;
mod umbrella_agrees_with_helm;
mod values_agree_with_helm;
