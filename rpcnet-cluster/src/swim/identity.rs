//! The identity of a node: an address, an id that may outlive the process, and a generation that does not.

use std::{fmt, net::SocketAddr, str::FromStr};

use rand::{Rng, RngExt};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// The largest generation that peers may name. Without this bound, a peer could push a node to the end of the number's
/// range, where no newer generation would be left to refute a false accusation.
pub(super) const MAX_GENERATION: u64 = 1 << 62;

/// The id of a node: a UUID, printed with hyphens. It may be kept across restarts.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub struct NodeId(Uuid);

impl NodeId {
    /// A new random id (UUID version 4) from `rng`.
    pub(crate) fn random(rng: &mut impl Rng) -> Self {
        Self(uuid::Builder::from_random_bytes(rng.random()).into_uuid())
    }

    /// The id with these 128 bits.
    pub const fn from_u128(bits: u128) -> Self {
        Self(Uuid::from_u128(bits))
    }

    /// The id's 128 bits.
    pub const fn as_u128(self) -> u128 {
        self.0.as_u128()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl From<Uuid> for NodeId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

/// Returned when text is not a node id.
#[derive(Clone, Debug, Error)]
#[error("not a node id: {0}")]
pub struct ParseNodeIdError(#[source] uuid::Error);

impl FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self).map_err(ParseNodeIdError)
    }
}

/// A node during one life of its process: advertised address, id and generation.
///
/// Two identities are equal if all three are. Of two identities with one address, the one with the later generation is
/// the valid one. Equal generations are ordered by id, so that all nodes decide alike.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct Identity {
    addr: SocketAddr,
    id: NodeId,
    generation: u64,
}

impl Identity {
    /// An identity.
    ///
    /// An IPv4 address written as IPv6 becomes IPv4. Scope and flow of an IPv6 address are dropped, because they mean
    /// nothing to other hosts. A generation above 2⁶² becomes 2⁶².
    ///
    /// A restarted node must have a later generation than in all its earlier lives. The larger of the last generation
    /// plus one and the Unix time in milliseconds is such a generation.
    pub fn new(addr: SocketAddr, id: NodeId, generation: u64) -> Self {
        Self {
            addr: SocketAddr::new(addr.ip().to_canonical(), addr.port()),
            id,
            generation: generation.min(MAX_GENERATION),
        }
    }

    /// The address at which other nodes reach this one.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The node's id.
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// The generation. Later generations replace earlier ones.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns whether this is the same node at the same address as `other`, in any generation.
    pub(crate) fn same_node(&self, other: &Self) -> bool {
        self.addr == other.addr && self.id == other.id
    }

    /// Returns whether this identity replaces `other`.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        (self.generation, self.id) > (other.generation, other.id)
    }

    pub(super) fn with_generation(self, generation: u64) -> Self {
        Self::new(self.addr, self.id, generation)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Identity")]
        struct IdentityFields {
            addr: SocketAddr,
            id: NodeId,
            generation: u64,
        }
        let IdentityFields { addr, id, generation } = IdentityFields::deserialize(deserializer)?;
        Ok(Self::new(addr, id, generation))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.id, self.addr, self.generation)
    }
}

/// [`Identity`] with foca's traits, which a separate type keeps out of the public one.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Peer(pub(super) Identity);

impl foca::Identity for Peer {
    type Addr = SocketAddr;

    /// Returns `None` at the last generation. foca then reports the node defunct. A renewed identity with the same
    /// generation would lose against the node's own past.
    fn renew(&self) -> Option<Self> {
        (self.0.generation < MAX_GENERATION).then(|| Self(self.0.with_generation(self.0.generation + 1)))
    }

    fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.0.is_newer_than(&adversary.0)
    }
}

#[cfg(test)]
mod tests {
    use foca::Identity as _;

    use super::*;

    fn identity(id: u128, generation: u64) -> Identity {
        Identity::new("10.0.0.1:1".parse().unwrap(), NodeId::from_u128(id), generation)
    }

    #[test]
    fn exactly_one_side_wins_a_conflict() {
        for (a, b) in [((1, 5), (2, 5)), ((1, 6), (2, 5)), ((1, 5), (1, 6))] {
            let (a, b) = (Peer(identity(a.0, a.1)), Peer(identity(b.0, b.1)));
            assert_ne!(a.win_addr_conflict(&b), b.win_addr_conflict(&a));
        }
    }

    #[test]
    fn renewing_wins_until_there_is_no_generation_left() {
        let old = Peer(identity(1, 5));
        let new = old.renew().unwrap();
        assert!(new.win_addr_conflict(&old));
        assert_eq!(Peer(identity(1, u64::MAX)).renew(), None);
    }

    #[test]
    fn addresses_have_one_form() {
        let mapped = Identity::new("[::ffff:10.0.0.1]:1".parse().unwrap(), NodeId::from_u128(1), 5);
        assert_eq!(mapped, identity(1, 5));
        let text = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(text.parse::<NodeId>().unwrap().to_string(), text);
        assert!("nonsense".parse::<NodeId>().is_err());
    }
}
