//! Snapshots of the cluster: returned to users, restored, and kept on disk.
//!
//! A node with a snapshot directory saves the members that it knows. So a whole cluster that went down together comes up again
//! without its seeds: each node asks the members that it knew. The node saves its generation too, so that each life is later
//! than the one before even if the clock went back.

mod capture;
mod file;
mod keeper;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    file::{FormatError, Saved, SnapshotFile},
    keeper::keep,
};
use crate::swim::{Broadcast, Member, NodeId};

/// The members and broadcasts at one moment. Serializable, for files of the user's own.
///
/// [`Cluster::restore`](crate::Cluster::restore) reads it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSnapshot {
    /// The node that took the snapshot.
    pub seen_by: NodeId,
    /// The known members, including those that are down or have left.
    pub members: Vec<Member>,
    /// The broadcasts, by key.
    #[serde(default)]
    pub broadcasts: BTreeMap<String, Broadcast>,
}

impl ClusterSnapshot {
    /// Returns the members that belong to the cluster: alive or suspect.
    pub fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.state().is_active())
    }
}
