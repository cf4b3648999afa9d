//! The known state of one node.

use std::{collections::BTreeMap, net::SocketAddr};

use rpcnet::discover::ServiceSet;
use serde::{Deserialize, Serialize};

use super::identity::{Identity, NodeId};

/// The state of a node, as an observer believes it.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum MemberState {
    /// The node answers.
    Alive,
    /// A peer could not reach the node. It will be called down unless it answers in time.
    Suspect,
    /// The node did not answer in time.
    Down,
    /// The node left of its own will.
    Left,
}

impl MemberState {
    /// Returns whether the node belongs to the cluster: alive or suspect.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

/// One node, as an observer knows it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub(super) identity: Identity,
    pub(super) state: MemberState,
    pub(super) incarnation: u16,
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) services: Option<ServiceSet>,
}

/// The key of the tag that holds the address for calls, if it is not the address for gossip.
pub(crate) const CALL_ADDR: &str = "rpcnet.addr";

impl Member {
    /// The address at which the node takes calls. This is the identity's address, unless gossip has a socket of its own
    /// there ([`ClusterConfig::with_bind_addr`](crate::ClusterConfig::with_bind_addr)).
    pub fn call_addr(&self) -> SocketAddr {
        let told = self.tags.get(CALL_ADDR).and_then(|addr| addr.parse().ok());
        told.unwrap_or(self.identity.addr())
    }

    /// The node's identity, with the address for calls.
    pub(crate) fn callee(&self) -> Identity {
        Identity::new(self.call_addr(), self.id(), self.identity.generation())
    }

    /// The node's newest known identity. Its address is the one for gossip; see [`call_addr`](Self::call_addr).
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// The node's id.
    pub const fn id(&self) -> NodeId {
        self.identity.id()
    }

    /// The state in which the observer believes the node to be.
    pub const fn state(&self) -> MemberState {
        self.state
    }

    /// The number of suspicions that the node has refuted in this generation, as far as the observer knows.
    pub const fn incarnation(&self) -> u16 {
        self.incarnation
    }

    /// The node's tags, as last heard. A member that has just joined may have more tags than are known yet.
    pub const fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    /// The services that the node serves, as last heard. `None` if the node has not told them: it may serve any.
    pub const fn services(&self) -> Option<&ServiceSet> {
        self.services.as_ref()
    }

    /// Returns true if the service of this wire name is among the node's services, or if the node has not told them.
    pub fn may_serve(&self, service: &str) -> bool {
        self.services.as_ref().is_none_or(|services| services.contains(service))
    }
}
