//! The errors of a [`Node`](super::Node).

use thiserror::Error;

use super::{
    identity::Identity,
    record::{MAX_TAG_KEY, MAX_TAG_VALUE, MAX_TAGS},
    wire::WireError,
};

/// Returned by [`Node::handle_packet`](super::Node::handle_packet) for bytes that a well-behaved peer does not send.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum PacketError {
    /// The packet holds nothing. The node is unchanged.
    #[error("packet is empty")]
    Empty,
    /// The first byte is no known kind of packet: a newer protocol, or no packet at all. The node is unchanged.
    #[error("unknown kind of packet: {0:#04x}")]
    UnknownKind(u8),
    /// The packet is larger than is allowed. The node is unchanged.
    #[error("packet of {len} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// The packet's length in bytes.
        len: usize,
        /// The limit in bytes for this kind of packet.
        limit: usize,
    },
    /// The packet speaks for another node than the authenticated sender. The node is unchanged.
    #[error("{from} sent a packet in the name of another node")]
    ForeignSender {
        /// The authenticated sender.
        from: Identity,
    },
    /// The sender has this node's own address or id. The node is unchanged.
    #[error("{from} sent a packet although its address or id is ours")]
    FromOurselves {
        /// The authenticated sender.
        from: Identity,
    },
    /// The packet names a node that would be one more than [`MAX_MEMBERS`](super::MAX_MEMBERS). The node is unchanged.
    #[error("packet names more members than can be kept")]
    TooManyMembers,
    /// The packet does not follow the layout of its kind. What came before the fault may have been applied.
    #[error("malformed packet")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<WireError> for PacketError {
    fn from(error: WireError) -> Self {
        Self::Malformed(Box::new(error))
    }
}

/// Returned by [`Node::set_tag`](super::Node::set_tag) and [`Node::remove_tag`](super::Node::remove_tag). The tags are
/// unchanged.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum TagError {
    /// The key is empty.
    #[error("tag key is empty: give it a name")]
    EmptyKey,
    /// The key is too long.
    #[error("tag key of {len} bytes exceeds the limit of {MAX_TAG_KEY}: choose a shorter one")]
    KeyTooLong {
        /// The key's length in bytes.
        len: usize,
    },
    /// The value is too long.
    #[error(
        "tag value of {len} bytes exceeds the limit of {MAX_TAG_VALUE}: shorten it, or use Cluster::broadcast"
    )]
    ValueTooLong {
        /// The value's length in bytes.
        len: usize,
    },
    /// The node has as many tags as it may have.
    #[error("node already has {MAX_TAGS} tags, which is the limit: remove one first")]
    TooManyTags,
    /// The node has left the cluster: no other node would learn of the change.
    #[error("node has left the cluster: tags are set before it leaves")]
    Left,
    /// The key begins with `rpcnet.`, which is reserved for this crate.
    #[error("tag keys that begin with \"rpcnet.\" are reserved: choose another")]
    Reserved,
}
