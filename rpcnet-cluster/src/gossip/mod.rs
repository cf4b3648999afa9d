//! Carries gossip as QUIC datagrams between mutually authenticated nodes: the driver of [`swim::Node`].
//!
//! One task owns the timers; links (a connection to a peer each, with a task each) bring packets in; handles lock
//! the node for a moment, let it act, and wake the task to send what came of it. What it sends goes out through
//! the [`Links`](links::Links), which dial where there is no connection yet. Join and rejoin are the
//! task in [`join`]; [`join_monitor`] tells whether that has come to anything.

mod advertise;
mod driver;
mod handshake;
mod hello;
mod identity_conflict;
mod join;
mod join_failure;
mod join_monitor;
mod join_schedule;
mod join_state;
mod known_peers;
mod links;
mod local_route;
mod own_address;
mod partition;
mod publish;
mod quota;
mod readiness;
mod services;
mod snapshots;
mod start;
mod versions;

#[cfg(feature = "fuzzing")]
pub use self::hello::fuzz::gossip_hello;
#[cfg(feature = "fuzzing")]
pub(crate) use self::hello::fuzz::hello_seeds;
pub use self::snapshots::ClusterSnapshot;
pub(crate) use self::{driver::Gossip, start::start};

/// The ALPN protocol id of gossip.
pub(crate) const ALPN: &[u8] = b"rpcnet-gossip/1";

/// Error codes of gossip connections.
mod close {
    /// Nothing is wrong: the connection is no longer needed.
    pub(super) const DONE: u32 = 0;
    /// The hello was not understood, or refused.
    pub(super) const REFUSED: u32 = 1;
    /// A later life of the peer has connected, or a further connection of it.
    pub(super) const REPLACED: u32 = 2;
}
