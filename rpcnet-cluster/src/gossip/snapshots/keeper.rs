//! The task that keeps a node's snapshot file up to date.

use std::{io, sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};
use tracing::warn;

use super::{Saved, SnapshotFile};
use crate::gossip::driver::Gossip;

/// The shortest time between two writes.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes changes for as long as the node lives, and the last state at its end.
pub(crate) async fn keep(gossip: Arc<Gossip>, file: SnapshotFile, mut written: Saved) {
    let (mut view, mut broadcasts) = (gossip.view(), gossip.broadcast_values());
    loop {
        let over = tokio::select! {
            changed = view.changed() => changed.is_err(),
            changed = broadcasts.changed() => changed.is_err(),
            () = gossip.closed().cancelled() => true,
        };
        let saved = gossip.saved();
        if saved != written {
            match store(&file, &saved).await {
                Ok(()) => written = saved,
                Err(error) => {
                    warn!(path = %file.path().display(), %error, "snapshot could not be written");
                    gossip.snapshot_failed("write");
                }
            }
        }
        if over {
            return;
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = gossip.closed().cancelled() => {}
        }
    }
}

async fn store(file: &SnapshotFile, saved: &Saved) -> io::Result<()> {
    let (file, saved) = (file.clone(), saved.clone());
    spawn_blocking(move || file.store(&saved)).await.map_err(io::Error::other)?
}
