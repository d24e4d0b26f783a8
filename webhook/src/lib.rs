//! Everything of milvus-guard that talks to a cluster: admission, its server, and the objects of our own API.

pub mod admission;
pub mod api;
pub mod cluster;
pub mod controller;
pub mod direct;
pub mod doctor;
pub mod leave;
mod memo;
pub mod metadata;
pub mod migration;
pub mod progress;
pub mod record;
mod remote;
pub mod server;
pub mod telemetry;
