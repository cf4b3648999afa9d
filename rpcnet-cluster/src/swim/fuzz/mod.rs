//! Fuzzing of a node that is given any packets, and of the parts that packets consist of.
//!
//! The functions panic if a promise is broken. The fuzz targets in `fuzz/` call them, and so does the test that runs
//! their corpus.

mod packets;
mod parts;
mod seeds;

pub use packets::gossip_packets;
pub use parts::gossip_parts;
pub(crate) use seeds::seeds;

use std::time::Instant;

use super::identity::{Identity, NodeId};

#[expect(
    clippy::disallowed_methods,
    reason = "an `Instant` can't be made from a number; only differences matter"
)]
fn epoch() -> Instant {
    Instant::now()
}

/// The identity of node `index`. The tested node is the first one, and the nodes that follow are its peers.
fn identity(index: u8) -> Identity {
    let generation = 1_800_000_000_000;
    Identity::new(([10, 0, 0, index], 7946).into(), NodeId::from_u128(u128::from(index) + 1), generation)
}
