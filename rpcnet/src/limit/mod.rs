//! What a server lets in: connections, handshakes, calls, resets.
//!
//! Without a bound a server that gets more than it can do does all of it late, and late is as good as never: callers
//! give up and ask again. With one it does what it can in time and says no to the rest at once, which costs little and
//! tells the caller to go elsewhere.
//!
//! The cores ([`queue`], [`gradient`], [`bucket`], the table of [`connections`]) are sans-io: time is an argument.
//! [`gate`] puts them behind a mutex and wakes who waits.

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
