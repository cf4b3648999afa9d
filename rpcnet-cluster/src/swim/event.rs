//! The events that a node reports to its user.

use super::{identity::Identity, member::Member};

/// A change of the membership, as one node reports it.
///
/// For one life the order is `NodeJoined`, any number of `NodeSuspect`, `NodeRecovered`, `NodeMoved` and `TagsChanged`,
/// then either `NodeFailed` or `NodeLeft`, once.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A node, or a newer generation of it, has joined.
    NodeJoined(Member),
    /// A peer could not reach the node. It still counts as active.
    NodeSuspect(Member),
    /// A suspect node has shown that it lives.
    NodeRecovered(Member),
    /// The node did not answer, or was replaced by a newer generation of itself without having left.
    NodeFailed(Member),
    /// The node has left of its own will. Its tags are the last ones known.
    NodeLeft(Member),
    /// The node goes on at another address.
    NodeMoved {
        /// Its identity before.
        from: Identity,
        /// The member as it is known now.
        member: Member,
    },
    /// The node's tags have changed.
    TagsChanged(Member),
    /// This node was declared down although it lives, and goes on under the newer generation given. The driver should
    /// persist it and tell it to its peers.
    Renewed(Identity),
    /// Another, newer node uses this one's address or id. One of the two has to stop: this one, as the older, should.
    IdentityConflict {
        /// This node.
        ours: Identity,
        /// The other node.
        theirs: Identity,
    },
}
