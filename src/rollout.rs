//! Decides what happens next in an upgrade: from what is observed of a release to one action. Pure: no cluster, no clock, no I/O.
//!
//! [`next`] is called with all that is known and gives one [`Action`]; the caller carries it out, observes again, and asks again. Nothing is remembered between two calls, so that a
//! controller that was killed at any point goes on as if it had not been. Every write carries the state that it was decided on: a decision on a stale view is refused by the API server.

mod back;
mod forwards;
mod gates;
mod migration;

pub mod action;
pub mod component;
pub mod decide;
pub mod observed;
pub mod orders;
pub mod plan;
pub mod simulate;

pub use self::action::{Action, Deed, Done, Stop, Wait, Waiting};
pub use self::component::{Component, Duty, Topology};
pub use self::decide::next;
pub use self::observed::{Moment, Observed};
pub use self::orders::{Order, Orders, Pair, Refusal};
pub use self::plan::{Course, Plan};

#[cfg(test)]
mod tests;
