//! What is known of one node.

use std::{collections::BTreeMap, net::SocketAddr};

use rpcnet::discover::ServiceSet;
use serde::{Deserialize, Serialize};

use super::identity::{Identity, NodeId};

/// How a node is believed to be.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum MemberState {
    /// It answers.
    Alive,
    /// A peer could not reach it; unless it answers in time it will be called down.
    Suspect,
    /// It did not answer in time.
    Down,
    /// It left of its own will.
    Left,
}

impl MemberState {
    /// Whether the node belongs to the cluster: alive or suspect.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

/// What is known of one node.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub(super) identity: Identity,
    pub(super) state: MemberState,
    pub(super) incarnation: u16,
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) services: Option<ServiceSet>,
}

/// The tag with the address for calls, where gossip has another one.
pub(crate) const CALL_ADDR: &str = "rpcnet.addr";

impl Member {
    /// The address at which it takes calls: the identity's, unless gossip has a socket of its own there
    /// ([`ClusterConfig::with_bind_addr`](crate::ClusterConfig::with_bind_addr)).
    pub fn call_addr(&self) -> SocketAddr {
        let told = self.tags.get(CALL_ADDR).and_then(|addr| addr.parse().ok());
        told.unwrap_or(self.identity.addr())
    }

    /// Its identity, with the address for calls.
    pub(crate) fn callee(&self) -> Identity {
        Identity::new(self.call_addr(), self.id(), self.identity.generation())
    }

    /// Its newest known identity. Its address is the one for gossip; see [`call_addr`](Self::call_addr).
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// Its id.
    pub const fn id(&self) -> NodeId {
        self.identity.id()
    }

    /// How it is believed to be.
    pub const fn state(&self) -> MemberState {
        self.state
    }

    /// How often it has refuted a suspicion in this generation, as far as is known here.
    pub const fn incarnation(&self) -> u16 {
        self.incarnation
    }

    /// Its tags, as last heard. A member that has just joined may have more than are known yet.
    pub const fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    /// The services that it serves, as last heard. `None` if it has not told them: it may serve any.
    pub const fn services(&self) -> Option<&ServiceSet> {
        self.services.as_ref()
    }

    /// Returns true unless it has told its services and the service of this wire name is not among them.
    pub fn may_serve(&self, service: &str) -> bool {
        self.services.as_ref().is_none_or(|services| services.contains(service))
    }
}
