//! A real control plane for tests: etcd, API server and controller manager, a stand-in for kubelets, real Helm and kubectl, and a chart like the real one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "all of this crate is test code, which may fail loudly and does I/O"
)]

pub mod argocd;
pub mod certificates;
pub mod chart;
pub mod commands;
pub mod control_plane;
pub mod etcd;
pub mod kubelet;
pub mod latency;
pub mod load;
pub mod metadata;
pub mod planted;
pub mod process;
pub mod programs;
pub mod sandbox;
pub mod scale;
pub mod told;
pub mod users;
pub mod webhook;
