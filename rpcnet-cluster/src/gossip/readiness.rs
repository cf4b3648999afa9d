//! Whether a node should get calls, told to all by gossip.

use std::sync::Weak;

use rpcnet::Readiness;
use tokio::sync::watch;
use tracing::debug;

use super::{driver::Gossip, join_monitor::CONDITION};
use crate::{swim::MAX_TAG_VALUE, tags::AWAY};

fn is_of_cluster(reason: &str) -> bool {
    reason.strip_prefix(CONDITION).is_some_and(|rest| rest.starts_with(": "))
}

/// Keeps the node's tag as its server's readiness is, until the server is gone.
pub(crate) async fn announce(gossip: Weak<Gossip>, mut readiness: watch::Receiver<Readiness>) {
    loop {
        let now = readiness.borrow_and_update().clone();
        let Some(gossip) = gossip.upgrade() else { return };
        // The nodes that hear of this one are in its cluster, so a reason that says otherwise is not gossiped.
        let reasons: Vec<_> =
            now.reasons.iter().map(String::as_str).filter(|reason| !is_of_cluster(reason)).collect();
        let result = if now.ready || reasons.is_empty() {
            gossip.remove_tag(AWAY)
        } else {
            let reason = reasons.join("; ");
            let end = (0..=reason.len().min(MAX_TAG_VALUE)).rev().find(|end| reason.is_char_boundary(*end));
            gossip.set_tag(AWAY, &reason[..end.unwrap_or(0)])
        };
        if let Err(error) = result {
            // It has left: nobody calls it any more. Or it has all the tags that it may have: clients that are
            // connected know all the same.
            debug!(%error, "readiness not told");
        }
        drop(gossip);
        if readiness.changed().await.is_err() {
            return;
        }
    }
}
