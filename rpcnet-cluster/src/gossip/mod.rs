//! Carries gossip as QUIC datagrams between mutually authenticated nodes: the driver of [`swim::Node`].
//!
//! One task owns the timers; links (a connection to a peer each, with a task each) bring packets in; handles lock
//! the node for a moment, let it act, and wake the task to send what came of it. What it sends goes out through
//! the [`Links`](links::Links), which dial where there is no connection yet. Join and rejoin are the
//! [`seeds`]' task; [`company`] tells whether that has come to anything.

mod address;
mod addressing;
mod asking;
mod budget;
mod causes;
mod company;
mod conflict;
mod driver;
mod greet;
mod hello;
mod links;
mod outlook;
mod publish;
mod remembered;
mod rivals;
mod route;
mod saving;
mod seeds;
mod source;
mod start;
mod versions;

#[cfg(feature = "fuzzing")]
pub use self::hello::fuzz::gossip_hello;
#[cfg(feature = "fuzzing")]
pub(crate) use self::hello::fuzz::hello_seeds;
pub(crate) use self::{company::CONDITION, driver::Gossip, start::start, versions::SPOKEN};

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
