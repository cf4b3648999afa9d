//! Lanes: small unary calls that share a stream.
//!
//! A stream a call costs both sides the opening, the closing and the bookkeeping of a stream, and a write of its own.
//! On a lane a call is a frame; frames of many calls leave in one write, and their answers come back in one read. In
//! return they wait for each other: a lost packet holds back what is behind it, and so does a large message. So
//! messages on lanes are small, and paths that lose packets and take long are not used for lanes.

mod batching;
mod calls;
mod client;
mod dispatch;
mod driver;
mod large_reply;
mod outbox;
mod queue;
mod reader;
mod server;

pub(crate) use self::client::LaneCall;
#[cfg(feature = "measuring")]
pub(crate) use self::client::lane_call;
pub(super) use self::{
    client::{LaneClient, want},
    large_reply::accept,
    server::serve,
};

/// Bytes that one read takes at most.
const CHUNK: usize = 64 << 10;
/// Calls in flight from which on a lane may be saturated.
pub(super) const CROWD: usize = 128;
