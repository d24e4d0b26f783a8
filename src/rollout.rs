//! Decides what happens next in an upgrade: from what is observed of a release to one action. Pure: no cluster, no clock, no I/O.
//!

pub mod component;
pub mod orders;

pub use self::component::{Component, Topology};
pub use self::orders::{Order, Orders, Pair, Refusal};
