//! Serves the gates: router, limits, TLS, health, drain. What is decided is behind [`crate::admission::Judge`].

pub mod certificates;
pub mod events;
pub mod gates;
pub mod limits;
pub mod logs;
pub mod registration;
pub mod run;
pub mod side;
pub mod tls;

pub use gates::Gates;
pub use limits::Limits;
