//! The readiness of a node's server, announced by gossip.

use std::sync::Weak;

use rpcnet::Readiness;
use tokio::sync::watch;
use tracing::debug;

use super::{driver::Gossip, join_monitor::CONDITION};
use crate::{swim::MAX_TAG_VALUE, tags::AWAY};

fn is_of_cluster(reason: &str) -> bool {
    reason.strip_prefix(CONDITION).is_some_and(|rest| rest.starts_with(": "))
}

/// Sets and removes the tag `rpcnet.away` as the server's readiness changes, until the server is gone.
pub(crate) async fn announce(gossip: Weak<Gossip>, mut readiness: watch::Receiver<Readiness>) {
    loop {
        let now = readiness.borrow_and_update().clone();
        let Some(gossip) = gossip.upgrade() else { return };
        // Nodes that receive the tag are in this node's cluster, so a reason that denies that is not gossiped.
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
            // The node has left, so that it gets no calls. Or it has as many tags as it may have, and connected clients know
            // its readiness from its server.
            debug!(%error, "readiness not told");
        }
        drop(gossip);
        if readiness.changed().await.is_err() {
            return;
        }
    }
}
