//! The engine of milvus-guard: reads what people write about Milvus releases, judges changes, plans safe upgrades.

#![cfg_attr(test, allow(clippy::string_slice, reason = "a test may fail loudly"))]

pub mod document;
pub mod model;
pub mod policy;
pub mod report;
pub mod rollout;
pub mod source;
