//! The start of a server's gossip, and its end.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use rpcnet::{
    __cluster::Mutex, ProtocolFuture, ProtocolHandler, ProtocolSocket, Server, ServerError,
    transport::Connection,
};
use tokio::{
    sync::{Notify, broadcast, mpsc, watch},
    task::spawn_blocking,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    advertise::{self, Advertise},
    driver::{Broadcasts, Gossip, View, drive, now},
    handshake::LinkReaders,
    identity_conflict::ProcessLife,
    join,
    join_monitor::{self, JoinMonitor},
    join_schedule::{JoinSchedule, KnownAddresses},
    known_peers::KnownPeers,
    links::Links,
    readiness, services,
    snapshots::{self, FormatError, Saved, SnapshotFile},
    versions::Versions,
};
use crate::{
    ClusterConfig, ClusterError, config, events,
    metrics::ClusterMetrics,
    swim::{CALL_ADDR, Identity, Node, NodeId},
    tags,
};

/// The most packets that wait to be handled. Further ones are dropped, as a network does.
const PACKETS: usize = 4096;

/// The time that a shutdown waits for the last snapshot.
const LAST_SNAPSHOT: Duration = Duration::from_secs(2);

/// Returns the milliseconds since 1970 by this host's clock.
pub(super) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

/// Returns a generation later than the last life's, even if the clock went back since.
fn generation(last: Option<u64>, unix_millis: u64) -> u64 {
    last.map_or(0, |last| last.saturating_add(1)).max(unix_millis)
}

/// Starts a server's gossip. Links are accepted from here on.
pub(crate) async fn start(server: &Server, config: ClusterConfig) -> Result<Arc<Gossip>, ClusterError> {
    check_addresses(&config)?;
    let versions = Versions::new(&config.gossip_versions).ok_or_else(|| ClusterError::Versions {
        asked: config.gossip_versions.clone(),
        spoken: config::GOSSIP_VERSIONS,
    })?;
    let metrics = ClusterMetrics::new(server.metrics().registry());
    let cluster = config.name.unwrap_or_else(|| {
        let own = server.identity();
        let named = own.as_ref().and_then(|own| own.spiffe_id()).map(|id| id.cluster().to_owned());
        named.unwrap_or_else(|| "default".into())
    });
    let file = config.snapshot_dir.map(SnapshotFile::new);
    let saved = match &file {
        Some(file) => load(file, &cluster, &metrics).await?,
        None => None,
    };
    let socket = match config.bind {
        Some(addr) => Some(server.bind_protocol(super::ALPN, addr).map_err(|error| match error {
            error @ ServerError::Protocol(_) => ClusterError::Enabled(error),
            error => ClusterError::Bind(error),
        })?),
        None => None,
    };
    let bound = socket.as_ref().map_or(server.local_addr(), ProtocolSocket::local_addr);
    let calls = match (config.advertise_calls, &socket) {
        (Some(addr), _) => Some(addr),
        (None, Some(_)) => Some(server.local_addr()),
        (None, None) => None,
    };
    let advertise = Advertise::new(config.advertise, bound);
    let certified = server.identity().and_then(|own| own.spiffe_id()?.node().parse::<NodeId>().ok());
    if let (Some(configured), Some(certified)) = (config.node_id, certified)
        && configured != certified
    {
        return Err(ClusterError::NodeId { configured, certified });
    }
    let id = config.node_id.or(certified).or(saved.as_ref().map(|saved| saved.id));
    let id = id.unwrap_or_else(|| NodeId::random(&mut rand::rng()));
    let known = advertise.addr();
    let generation = generation(saved.as_ref().map(|saved| saved.generation), unix_millis());
    let identity = Identity::new(known.unwrap_or(bound), id, generation);
    let mut node = Node::new(identity, config.swim.clone(), rand::random(), now());
    if let Some(addr) = known.and_then(|own| call_addr(calls?, own)) {
        let set = node.set_tag(now(), CALL_ADDR, &addr.to_string());
        set.map_err(|source| ClusterError::Tag { key: CALL_ADDR.into(), source })?;
    }
    for (key, value) in &config.tags {
        tags::check(key)
            .and_then(|()| node.set_tag(now(), key, value))
            .map_err(|source| ClusterError::Tag { key: key.clone(), source })?;
    }
    let registered = server.watch_services();
    let told = services::told(&registered.borrow());
    // A new node has not left, which is the only error.
    let _ = node.set_services(now(), told);
    let mut known_peers = KnownPeers::default();
    if let Some(saved) = saved {
        if saved.id == id {
            let own = |key: &str| config.tags.contains_key(key) || key.starts_with(tags::RESERVED);
            for (key, value) in saved.tags.iter().filter(|(key, _)| !own(key)) {
                if let Err(error) = node.set_tag(now(), key, value) {
                    warn!(key, %error, "tag of the snapshot not set");
                }
            }
        }
        known_peers.add(saved.members, &mut rand::rng());
        node.restore_broadcasts(now(), saved.broadcasts);
    }
    let broadcasts = node.broadcasts().map(|(key, broadcast)| (key.to_owned(), broadcast.clone()));
    let broadcasts: Broadcasts = Arc::new(broadcasts.collect());
    let (packets, incoming) = mpsc::channel(PACKETS);
    let view: View = node.members().cloned().collect();
    let seeds = JoinSchedule::new(&config.seeds);
    let own = KnownAddresses { own: known.into_iter().chain([bound]).collect(), ..KnownAddresses::default() };
    let gossip = Arc::new(Gossip {
        node: Mutex::new(node),
        advertise: Mutex::new(advertise),
        cluster,
        configured_tags: config.tags,
        seed_states: watch::Sender::new(seeds.states(&own).into()),
        known_peers: Mutex::new(known_peers),
        restored: Notify::new(),
        connector: socket.as_ref().map_or_else(|| server.connector(), ProtocolSocket::connector),
        metrics,
        view: watch::Sender::new(view),
        broadcasts: watch::Sender::new(broadcasts),
        events: broadcast::Sender::new(events::QUEUE),
        packets,
        wake: Notify::new(),
        links: Links::new(config.max_links),
        readers: LinkReaders::default(),
        versions,
        life: ProcessLife { started: generation, nonce: rand::random() },
        rivals: Mutex::default(),
        stopped: watch::Sender::new(None),
        bound,
        calls,
        gone: AtomicBool::new(false),
        closed: CancellationToken::new(),
        kept: CancellationToken::new(),
        swim: config.swim,
        leave_timeout: config.leave_timeout.unwrap_or(Duration::from_secs(3)),
    });
    let first = gossip.saved();
    if let Some(file) = &file {
        // Before any peer hears of this generation: the next life must be later, however short this one is.
        store(file, &first).await?;
    }
    let handler = Arc::new(Handler(Arc::downgrade(&gossip)));
    let handled = match &socket {
        Some(socket) => server.handle_protocol_on(socket, handler),
        None => server.handle_protocol(super::ALPN, handler),
    };
    handled.map_err(ClusterError::Enabled)?;
    // The tasks hold the node as long as the server lives, even if all handles are dropped.
    let server_closed = server.closed();
    let driven = gossip.clone();
    tokio::spawn(async move {
        let closed = driven.closed.clone();
        tokio::select! {
            () = drive(&driven, incoming) => {}
            () = server_closed => {}
            () = closed.cancelled() => {}
        }
        driven.closed.cancel();
        driven.links.close();
    });
    if known.is_some_and(|addr| addr != gossip.bound) {
        // The node is behind address translation, or the address is a mistake.
        gossip.look_for_rival(identity.addr());
    }
    tokio::spawn(join::join(gossip.clone(), seeds));
    let condition = server.readiness_condition(join_monitor::CONDITION);
    tokio::spawn(JoinMonitor::new(&gossip, condition, config.join_grace).watch());
    tokio::spawn(readiness::announce(Arc::downgrade(&gossip), server.watch_readiness()));
    tokio::spawn(services::announce(Arc::downgrade(&gossip), registered));
    let kept = gossip.kept.clone().drop_guard();
    if let Some(file) = file {
        let keeping = gossip.clone();
        tokio::spawn(async move {
            snapshots::keep(keeping, file, first).await;
            drop(kept);
        });
    }
    debug!(%identity, known = known.is_some(), "gossip started");
    Ok(gossip)
}

fn check_addresses(config: &ClusterConfig) -> Result<(), ClusterError> {
    for seed in &config.seeds {
        if let Ok(seed) = seed.parse::<SocketAddr>()
            && let Some(fault) = advertise::fault(seed)
        {
            return Err(ClusterError::SeedAddress { seed, fault });
        }
        if !config::is_address(seed) {
            return Err(ClusterError::Seed(seed.clone()));
        }
    }
    let advertised = config.advertise.into_iter().chain(config.advertise_calls);
    let wrong = advertised.filter_map(|addr| Some((addr, advertise::fault(addr)?))).next();
    wrong.map_or(Ok(()), |(addr, fault)| Err(ClusterError::Advertise { addr, fault }))
}

/// Returns the address for calls, if it differs from `own`, the address for gossip.
pub(super) fn call_addr(calls: SocketAddr, own: SocketAddr) -> Option<SocketAddr> {
    let ip = if calls.ip().is_unspecified() { own.ip() } else { calls.ip().to_canonical() };
    let addr = SocketAddr::new(ip, calls.port());
    (addr != own).then_some(addr)
}

/// Loads the state of an earlier life of this node. A file that is no snapshot, or another cluster's, is set aside.
async fn load(
    file: &SnapshotFile,
    cluster: &str,
    metrics: &ClusterMetrics,
) -> Result<Option<Saved>, ClusterError> {
    let (reading, cluster) = (file.clone(), cluster.to_owned());
    let loaded = spawn_blocking(move || match reading.load()? {
        (Some(saved), _) if saved.cluster != cluster => {
            reading.set_aside()?;
            Ok((None, Some(FormatError::Cluster { theirs: saved.cluster, ours: cluster })))
        }
        loaded => Ok(loaded),
    });
    let read = loaded.await.map_err(std::io::Error::other).and_then(|loaded| loaded);
    let (saved, error) = read.map_err(|source| ClusterError::Snapshot { path: file.path(), source })?;
    if let Some(error) = error {
        warn!(path = %file.path().display(), %error, "snapshot set aside; this node starts without it");
        metrics.snapshot_failed("read");
    }
    Ok(saved)
}

async fn store(file: &SnapshotFile, saved: &Saved) -> Result<(), ClusterError> {
    let (writing, saved) = (file.clone(), saved.clone());
    let stored = spawn_blocking(move || writing.store(&saved)).await.map_err(std::io::Error::other);
    stored.and_then(|stored| stored).map_err(|source| ClusterError::Snapshot { path: file.path(), source })
}

/// The handler of connections that peers open.
struct Handler(Weak<Gossip>);

impl ProtocolHandler for Handler {
    fn accept(&self, connection: Connection) -> ProtocolFuture<'static> {
        let gossip = self.0.upgrade();
        Box::pin(async move {
            if let Some(gossip) = gossip {
                gossip.accept(connection).await;
            }
        })
    }

    fn shutdown(&self) -> ProtocolFuture<'_> {
        let gossip = self.0.upgrade();
        Box::pin(async move {
            if let Some(gossip) = gossip {
                if let Err(error) = gossip.leave().await {
                    info!(%error, "there is no cluster to leave");
                }
                gossip.closed.cancel();
                if timeout(LAST_SNAPSHOT, gossip.kept.cancelled()).await.is_err() {
                    warn!("the last snapshot takes too long");
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::generation;

    #[test]
    fn a_clock_that_went_back_does_not_make_a_life_an_earlier_one() {
        assert_eq!(generation(None, 1000), 1000);
        assert_eq!(generation(Some(10), 1000), 1000);
        assert_eq!(generation(Some(1000), 1000), 1001);
        assert_eq!(generation(Some(5000), 1000), 5001);
        assert_eq!(generation(Some(u64::MAX), 1000), u64::MAX);
    }
}
