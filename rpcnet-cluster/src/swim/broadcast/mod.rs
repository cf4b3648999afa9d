//! User broadcasts: small values that all nodes share, each under a key, the newest version of each.
//!
//! They spread as rumours do (Demers et al., *Epidemic algorithms for replicated database maintenance*, 1987): whoever
//! hears news sends it on to some random members in some rounds, a large value as its version alone, which those who lack
//! it ask for. What rumours miss, and what joiners have missed, is found by anti-entropy: a node that has become a member,
//! and each from time to time, tells a peer which versions it has, and both get what they lack.
//!
//! A version is Unix milliseconds where it was made, or one more than the version that it replaces, whichever is more; the
//! id of the node that made it breaks a tie. So it is the newest by the clock where clocks agree, and later than
//! whatever its author had seen in any case.

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

/// The most keys that may have a value. (Two halves of a split cluster may come to have as many each; of more than twice
/// as many, withdrawn ones included, the oldest are dropped.)
pub const MAX_BROADCASTS: usize = 64;

/// What is kept, with the withdrawn ones.
pub(super) const MAX_ENTRIES: usize = 2 * MAX_BROADCASTS;

/// A later version is refused from peers, so that nobody can take a key out of the others' hands for good.
const MAX_VERSION: u64 = 1 << 62;

/// A value that the whole cluster shares.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
pub struct Broadcast {
    version: u64,
    origin: NodeId,
    /// `None` where it was withdrawn.
    value: Option<Bytes>,
}

impl Broadcast {
    /// Its version: the larger wins. Unix milliseconds by its author's clock, if that did not go back.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The node that made it.
    pub const fn origin(&self) -> NodeId {
        self.origin
    }

    /// The value. Empty where it was withdrawn, which users do not see.
    pub fn value(&self) -> Bytes {
        self.value.clone().unwrap_or_default()
    }

    /// Whether it keeps to the limits.
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
    /// There are as many keys as may be.
    #[error("the cluster already has {MAX_BROADCASTS} broadcasts, which is the limit")]
    TooMany,
    /// The node has left the cluster: nobody would learn of it.
    #[error("node has left the cluster")]
    Left,
}
