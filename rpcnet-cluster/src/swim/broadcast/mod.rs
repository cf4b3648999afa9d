//! User broadcasts: small values that all nodes share, each under a key. The newest version of each key wins.
//!
//! Broadcasts spread as rumours do (Demers et al., *Epidemic algorithms for replicated database maintenance*, 1987). A
//! node that hears news sends it on to some random members in some rounds. Of a large value it sends only the version,
//! and nodes that lack this version ask for the value.
//!
//! Anti-entropy finds the news that rumours or a joiner have missed. A node that has become a member, and each node
//! from time to time, tells a peer which versions it has, and both get the versions that they lack.
//!
//! A version is Unix milliseconds at its author, or one more than the version that it replaces, whichever is more. The
//! author's id breaks a tie. So the winner is the newest value by the clock if clocks agree, and it is always later
//! than any value that its author had seen.

#[cfg(feature = "fuzzing")]
pub(in crate::swim) mod fuzz;
mod packet;
mod spread;
mod store;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(super) use self::store::Broadcasts;
use super::NodeId;

/// The longest key of a broadcast, in bytes.
pub const MAX_BROADCAST_KEY: usize = 64;

/// The longest value of a broadcast, in bytes.
pub const MAX_BROADCAST_VALUE: usize = 4096;

/// The most keys that may have a value. Two halves of a split cluster may come to have this many each. If there are
/// more than twice as many keys, withdrawn ones included, the oldest are dropped.
pub const MAX_BROADCASTS: usize = 64;

/// The most keys that are kept, withdrawn ones included.
pub(super) const MAX_ENTRIES: usize = 2 * MAX_BROADCASTS;

/// The largest version that peers may name. Without this bound, a peer could take a key out of the others' hands for
/// good.
const MAX_VERSION: u64 = 1 << 62;

/// A value that the whole cluster shares.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
pub struct Broadcast {
    version: u64,
    origin: NodeId,
    /// `None` if the value was withdrawn.
    value: Option<Bytes>,
}

impl Broadcast {
    /// The broadcast's version: the larger one wins. Unix milliseconds by its author's clock, if that clock did not go
    /// back.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The node that made the broadcast.
    pub const fn origin(&self) -> NodeId {
        self.origin
    }

    /// The value. Empty if it was withdrawn, which users do not see.
    pub fn value(&self) -> Bytes {
        self.value.clone().unwrap_or_default()
    }

    /// Returns whether key, value and version keep to the limits.
    fn is_allowed(&self, key: &str) -> bool {
        let length = self.value.as_ref().map_or(0, Bytes::len);
        (1..=MAX_BROADCAST_KEY).contains(&key.len())
            && length <= MAX_BROADCAST_VALUE
            && self.version <= MAX_VERSION
    }
}

/// Returned when a value can't be broadcast.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// The key is empty.
    #[error("a broadcast's key is empty")]
    EmptyKey,
    /// The key is too long.
    #[error("broadcast key of {len} bytes exceeds the limit of {MAX_BROADCAST_KEY}")]
    KeyTooLong {
        /// The key's length in bytes.
        len: usize,
    },
    /// The value is too long.
    #[error("broadcast of {len} bytes exceeds the limit of {MAX_BROADCAST_VALUE}")]
    ValueTooLong {
        /// The value's length in bytes.
        len: usize,
    },
    /// The cluster has as many keys as it may have.
    #[error("the cluster already has {MAX_BROADCASTS} broadcasts, which is the limit")]
    TooMany,
    /// The node has left the cluster: no other node would learn of the value.
    #[error("node has left the cluster")]
    Left,
}
