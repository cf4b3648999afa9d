//! The cluster as it was at a moment: given out, read back, and kept on disk.
//!
//! A node with a snapshot directory writes down whom it knows, so that a whole cluster that went down together comes up
//! again without its seeds: each asks those it knew. It writes down its own generation too, so that each life is later
//! than the one before even where the clock went back.

mod capture;
mod file;
mod keeper;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    file::{Saved, SnapshotFile},
    keeper::keep,
};
use crate::swim::{Broadcast, Member, NodeId};

/// The members and broadcasts at a moment, as they may be written to a file of the user's.
///
/// [`Cluster::restore`](crate::Cluster::restore) reads it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSnapshot {
    /// The node that saw it so.
    pub seen_by: NodeId,
    /// The members that were known, those that are down or have left among them.
    pub members: Vec<Member>,
    /// The values that the cluster shared, by key.
    #[serde(default)]
    pub broadcasts: BTreeMap<String, Broadcast>,
}

impl ClusterSnapshot {
    /// The members that belong to the cluster: alive or suspect.
    pub fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.state().is_active())
    }
}
