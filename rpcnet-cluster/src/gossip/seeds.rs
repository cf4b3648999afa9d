//! Joining: seeds, and nodes that were known once, are asked until the node is in the cluster, and again whenever it is
//! alone.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use rpcnet::Backoff;
use tokio::task::JoinSet;
use tracing::{debug, info};

use super::{driver::Gossip, greet::LinkError};

/// Pauses between rounds while the node is alone.
const ALONE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Pauses between rounds while the node is not alone: a cluster that was split, and has forgotten its other part,
/// comes together again through the seeds, and so does a seed that was restarted and knows nobody.
const CHECK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// Asks seeds for as long as the node lives.
pub(super) async fn join(gossip: Arc<Gossip>) {
    tokio::select! {
        () = ask_for_ever(&gossip) => {}
        () = gossip.closed.cancelled() => {}
    }
}

async fn ask_for_ever(gossip: &Arc<Gossip>) {
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let mut backoff = Backoff::new(ALONE.0, ALONE.1);
    let mut check = Backoff::new(CHECK.0, CHECK.1);
    let mut seeds = gossip.seeds.clone();
    // Links that were made for joining; they end with this future, or with their connection.
    let mut links = JoinSet::new();
    loop {
        if seeds.is_empty() && gossip.remembered().is_empty() && gossip.rivals().is_empty() {
            gossip.restored.notified().await;
        }
        let mut asking = JoinSet::new();
        let mut missing = false;
        for seed in &seeds {
            let (gossip, seed) = (gossip.clone(), seed.clone());
            asking.spawn(async move {
                let dialled =
                    if is_member(&gossip, &seed).await { None } else { Some(gossip.dial(&seed).await) };
                (seed, dialled)
            });
        }
        let view = gossip.view().borrow().clone();
        let remembered = gossip.remembered().next(&view[1..], gossip.is_isolated());
        let rivals = gossip.rivals().next();
        for addr in remembered.into_iter().chain(rivals) {
            let gossip = gossip.clone();
            asking.spawn(async move {
                let address = addr.to_string();
                let dialled = gossip.dial(&address).await;
                (address, Some(dialled))
            });
        }
        while let Some(asked) = asking.join_next().await {
            missing |= !matches!(asked, Ok((_, None)));
            match asked {
                Ok((_, Some(Ok(link)))) => {
                    let (linked, identity) = (gossip.clone(), link.identity);
                    links.spawn(async move { linked.run(link).await });
                    gossip.act(|node, now| node.announce(now, identity));
                }
                Ok((address, Some(Err(LinkError::Ourselves | LinkError::Rival(_))))) => {
                    if let Ok(addr) = address.parse() {
                        gossip.rivals().seen(addr);
                    }
                    seeds.retain(|other| *other != address);
                }
                Ok((seed, Some(Err(error)))) => debug!(%seed, %error, "seed does not answer"),
                Ok((_, None)) | Err(_) => {}
            }
        }
        while links.try_join_next().is_some() {}
        if !missing {
            check.reset();
        }
        tokio::select! {
            () = wait(gossip, &mut backoff, &mut check, &mut rng) => {}
            () = gossip.restored.notified() => {}
        }
    }
}

/// Whether the seed is an active member already.
async fn is_member(gossip: &Arc<Gossip>, seed: &str) -> bool {
    let Ok(addrs) = tokio::net::lookup_host(seed).await else { return false };
    let view = gossip.view().borrow().clone();
    let active = |addr: SocketAddr| {
        view.iter().skip(1).any(|member| member.state().is_active() && member.identity().addr() == addr)
    };
    addrs.into_iter().any(active)
}

/// Waits until it is time to ask again: soon while the node is alone, rarely otherwise.
async fn wait(gossip: &Arc<Gossip>, backoff: &mut Backoff, check: &mut Backoff, rng: &mut StdRng) {
    // The answer to an announce takes a round trip.
    let mut view = gossip.view();
    let alone = || gossip.is_isolated();
    if alone() {
        check.reset();
    }
    let pause = backoff.next(rng);
    let joined = async {
        while alone() {
            if view.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(pause, joined).await.is_err() {
        return;
    }
    if gossip.is_addressed() {
        info!(identity = %gossip.identity(), "in the cluster");
    }
    backoff.reset();
    let lonely = async {
        while !alone() {
            if view.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(check.next(rng), lonely).await;
}
