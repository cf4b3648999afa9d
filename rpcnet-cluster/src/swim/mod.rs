//! Membership without input or output: who is in the cluster, who is suspected, who has gone, and each node's tags.
//!
//! [`Node`] has quinn-proto's shape. Inputs are `handle_*` methods and a few verbs, outputs are `poll_*` methods, and
//! `now` is always an argument. There is no clock, no socket and no global source of randomness in here, so a seed
//! replays a whole cluster.
//!
//! The failure detector and the spreading of member states are SWIM (Das, Gupta, Motivala, 2002) with its suspicion
//! extension, as implemented by the crate `foca`. This module adds what that leaves out:
//!
//! - **Records.** Each node owns one versioned record with its tags and its services. The newest `(generation,
//!   version)` wins. Gossip packets carry small records whole. Of a large record they carry only the version, and a
//!   node that lacks this version asks for the record.
//! - **Anti-entropy.** Probes carry a fingerprint of the view. Two nodes whose fingerprints differ compare groups of
//!   members, then digests, then send each other what the other lacks. On joining they compare all at once. So joining
//!   takes a round trip, nothing depends on gossip that was lost, and a comparison costs the same in clusters of any
//!   size.
//! - **Lifeguard** (Dadgar, Phillips, Currey, 2018). A suspect has more time to answer while few other nodes confirm
//!   that it does not answer, and it is told of the suspicion. A node that is not well itself accuses nobody.
//! - **Doubt.** A peer's claim that a member is down is not believed while this node has no reason of its own to
//!   suspect the member: the member is told of the claim instead.
//! - **Leaving.** A leave is a record too, the last one of its generation. The leaver sends it directly to some peers
//!   until they acknowledge it. A member reported down is called failed only after peers were asked whether it had
//!   left.
//! - **Healing.** Nodes announce themselves to members that are down for as long as these are remembered, and do so
//!   even without any active member. A node renewed after a false accusation starts probing again by itself.
//! - **Moving.** A node that goes on at another address takes the next generation there, and its peers follow it: it
//!   neither fails nor joins anew.
//! - **Near peers.** News goes to the members that this node has connections to. These connections form a random graph.
//! - **Broadcasts.** Small values of users, each under a key, which all nodes share: the newest version of each wins.
//!
//! # Driving a node
//!
//! After every input the driver drains `poll_transmit` and `poll_event`, then arms a timer with `poll_timeout`. When the
//! timer fires, it hands in all packets that have already arrived *before* it calls `handle_timeout`: an answer that waits in
//! a socket must not count as missing. The driver's methods are private to this crate. Tests drive nodes with a simulation
//! (`testing`, behind the feature of that name).

mod address_change;
mod after_input;
mod broadcast;
mod codec;
mod config;
mod digest;
mod down_claims;
mod effects;
mod error;
mod event;
mod fingerprint;
mod foca_state;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod gossip_targets;
mod healing;
mod identity;
#[cfg(any(test, feature = "testing"))]
mod inspect;
mod leave;
mod local_health;
mod member;
mod node;
mod reassert;
mod record;
pub(crate) mod services;
mod statistics;
mod suspect;
mod suspicion;
mod sync;
mod timers;
mod view;
mod wire;

#[cfg(test)]
mod tests;

pub use broadcast::{Broadcast, BroadcastError, MAX_BROADCAST_KEY, MAX_BROADCAST_VALUE, MAX_BROADCASTS};
pub use config::Config;
pub(crate) use error::PacketError;
pub use error::TagError;
pub use event::Event;
pub use identity::{Identity, NodeId, ParseNodeIdError};
pub(crate) use member::CALL_ADDR;
pub use member::{Member, MemberState};
pub use node::Node;
pub(crate) use node::{Delivery, Transmit};
pub use record::{MAX_TAG_KEY, MAX_TAG_VALUE, MAX_TAGS};
pub use services::MAX_SERVICES;
pub(crate) use statistics::Statistics;
pub use wire::MAX_MEMBERS;
pub(crate) use wire::{MAX_FRAME, packet_kind};
