//! Limits on what a server accepts: connections, handshakes, calls, resets.
//!
//! Without a limit, an overloaded server does all its work late. Late is as good as never, as callers give up and ask
//! again. With a limit, the server does as much as it can in time, and refuses the rest at once. A refusal costs little
//! and tells the caller to go elsewhere.
//!
//! The cores ([`queue`], [`gradient`], [`bucket`], the table of [`connections`]) are sans-io: time is an argument.
//! [`gate`] puts them behind a mutex and wakes waiting calls.

mod admission;
mod bucket;
mod connections;
mod gate;
mod gradient;
mod queue;

pub use self::{admission::Admission, bucket::TokenBucket};
pub(crate) use self::{
    connections::{Bounds, ConnectionSlot, Connections, Guest},
    gate::{Gate, Permit, PermitOutcome},
    queue::{Shed, ShedReason},
};
