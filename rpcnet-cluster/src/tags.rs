//! The tags that mean something to this crate, and the questions about a member that they answer.

use crate::swim::{Member, MemberState, TagError};

/// The key of the tag that names a node's role.
pub(crate) const ROLE: &str = "role";
/// The role of nodes that serve calls.
pub(crate) const WORKER: &str = "worker";

/// The prefix of keys that are reserved for this crate.
pub(crate) const RESERVED: &str = "rpcnet.";
/// The tag of a node that should get no calls. Its value is the reason.
pub(crate) const AWAY: &str = "rpcnet.away";

/// Refuses keys that are reserved for this crate.
pub(crate) fn check(key: &str) -> Result<(), TagError> {
    if key.starts_with(RESERVED) {
        return Err(TagError::Reserved);
    }
    Ok(())
}

/// Returns whether a member announces that it should get no calls.
pub(crate) fn is_away(member: &Member) -> bool {
    member.tags().contains_key(AWAY)
}

/// Returns whether a member is a worker that belongs to the cluster.
pub(crate) fn is_worker(member: &Member) -> bool {
    member.state().is_active() && member.tags().get(ROLE).is_some_and(|role| role == WORKER)
}

/// Returns whether a member is a worker that should get calls.
///
/// A worker that drains, is not ready, or is suspect is not healthy. Clients that are connected to a suspect worker keep
/// calling it, because their calls show better than gossip whether it answers.
pub(crate) fn is_healthy_worker(member: &Member) -> bool {
    is_worker(member) && member.state() == MemberState::Alive && !is_away(member)
}
