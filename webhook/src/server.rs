//! Serves the gates: router, limits, TLS, health, drain. What is decided is behind [`crate::admission::Judge`].

pub mod gates;
pub mod limits;

pub use gates::Gates;
pub use limits::Limits;
