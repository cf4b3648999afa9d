//! What a node does when another one has its address or id.

use std::net::SocketAddr;

use tracing::error;

use super::driver::Gossip;
use crate::{ClusterEvent, swim::Identity};

impl Gossip {
    /// Tells users once of each.
    pub(super) fn tell_conflict(&self, ours: Identity, theirs: Identity) {
        if self.rivals().tell(theirs) {
            error!(%ours, %theirs, "another node uses this one's address or id");
            self.send(ClusterEvent::IdentityConflict { ours, theirs });
        }
    }

    /// Looks, in the next round, whether another node with our address or id is there.
    pub(super) fn look_for_rival(&self, addr: SocketAddr) {
        self.rivals().look_at(addr);
        self.restored.notify_one();
    }

    /// Another node with our address or id was there before us: this one stops, without a word that could be taken for
    /// the other's.
    pub(super) fn stop(&self, theirs: Identity) {
        let ours = self.identity();
        if !self.rivals().stop() {
            return;
        }
        error!(%ours, %theirs, "another node with this one's address or id was there first: this one stops");
        self.send(ClusterEvent::IdentityConflict { ours, theirs });
        self.closed.cancel();
        // What it knew of others is nobody's business any more, and grows old. Nothing is published after this.
        self.view.send_modify(|view| *view = view.iter().take(1).cloned().collect());
        self.stopped.send_replace(Some((ours, theirs)));
    }

    pub(crate) async fn until_stopped(&self) -> (Identity, Identity) {
        let mut stopped = self.stopped.subscribe();
        let conflict = stopped.wait_for(Option::is_some).await.ok().and_then(|stopped| *stopped);
        match conflict {
            Some(conflict) => conflict,
            None => std::future::pending().await,
        }
    }

    /// Another node with our address or id was started after us, and stops now that it knows. Others have taken us for
    /// its past.
    pub(super) fn hold_against(&self, theirs: Identity) {
        self.tell_conflict(self.identity(), theirs);
        self.act(|node, now| node.reassert(now, theirs));
    }
}
