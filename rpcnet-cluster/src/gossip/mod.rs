//! Carries gossip as QUIC datagrams between mutually authenticated nodes: the driver of [`swim::Node`].
//!
//! - One task, the [`driver`], owns the timers.
//! - Links bring packets in. Each is a connection to a peer, with a task of its own ([`handshake`]).
//! - Handles lock the node for a moment, let it act, and wake the driver to send the result.
//! - The driver sends through [`links`], which dial peers without a connection.
//! - A task joins and rejoins the cluster ([`join`], [`join_schedule`]). Another one reports whether the node is in it
//!   ([`join_monitor`], [`join_state`]).

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
