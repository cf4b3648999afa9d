//! The life of a link: dialled or accepted, the exchange of hellos, reading, and the end.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use rpcnet::{
    __cluster::Mutex,
    transport::{Connection, DialOptions},
};
use tokio::time::timeout;
use tracing::warn;

use super::{
    close,
    driver::Gossip,
    hello::{Exchange, HelloError, NodeHello},
    identity_conflict::{Relation, relation},
    links::transmit_on,
    quota::LinkQuota,
};
use crate::swim::{Identity, MAX_FRAME, NodeId};

/// The longest time for dialling and the hello together, and for the arrival of a packet on a stream.
pub(super) const HELLO: Duration = Duration::from_secs(5);
/// The time for the peer to read a hello that has been sent, if no packet is lost.
const HEARD: Duration = Duration::from_millis(500);
/// The time after which the transport closes a link without traffic.
const IDLE: Duration = Duration::from_secs(30);
/// The most links of one peer that are read. Peers are told apart by the address that they claim. Both sides may dial, and a
/// life may follow another.
const OF_ONE_PEER: usize = 4;

/// A connection to a known peer.
#[derive(Debug, Clone)]
pub(super) struct PeerLink {
    pub(super) identity: Identity,
    pub(super) connection: Connection,
    /// The version of gossip that both ends speak.
    pub(super) version: u8,
}

/// The error of a link that could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Connect(#[from] rpcnet::ConnectError),
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error("the peer is this node itself")]
    Ourselves,
    #[error("this node has got another address meanwhile")]
    Moved,
    #[error("{0} has this node's address or id")]
    Rival(Identity),
    #[error("{claimed} has a certificate for node {certificate}")]
    Certificate { claimed: Identity, certificate: NodeId },
    #[error("no answer within {HELLO:?}")]
    TimedOut,
}

impl Gossip {
    /// Dials an address and exchanges hellos. A certificate without a node's name is checked against `host`. The link is in
    /// the table when this method returns, and its packets are read when [`run`](Self::run) runs.
    pub(super) async fn dial(self: &Arc<Self>, addr: SocketAddr, host: &str) -> Result<PeerLink, LinkError> {
        let linked = async {
            match self.dial_once(addr, host).await {
                // The hello named an address that this node no longer has.
                Err(LinkError::Moved) => self.dial_once(addr, host).await,
                dialled => dialled,
            }
        };
        timeout(HELLO, linked).await.unwrap_or(Err(LinkError::TimedOut))
    }

    async fn dial_once(self: &Arc<Self>, addr: SocketAddr, host: &str) -> Result<PeerLink, LinkError> {
        // Cold probes must not look like losses: the first probe timeout is about three times this.
        let options = DialOptions::default()
            .with_initial_rtt(Duration::from_millis(50))
            .with_keep_alive(None)
            .with_larger_packets(false)
            .with_idle_timeout(IDLE);
        self.metrics.dialled();
        let connection = self.connector.dial_addr(addr, host, super::ALPN, &options).await?;
        self.greet(&connection).await
    }

    /// Serves a connection that a peer opened, until it ends.
    pub(super) async fn accept(self: Arc<Self>, connection: Connection) {
        match timeout(HELLO, self.greet(&connection)).await {
            Ok(Ok(link)) => self.run(link).await,
            // The other end is this node too, and closes when it has read the hello.
            Ok(Err(LinkError::Ourselves)) => {
                let _ = timeout(HELLO, connection.closed()).await;
            }
            // The peer dials again.
            Ok(Err(LinkError::Moved)) => {}
            Ok(Err(error)) => {
                let reason = match error {
                    LinkError::Certificate { .. } => "certificate",
                    LinkError::Rival(_) => "rival",
                    _ => "hello",
                };
                if matches!(
                    error,
                    LinkError::Certificate { .. }
                        | LinkError::Hello(HelloError::Cluster { .. } | HelloError::Protocol { .. })
                ) {
                    warn!(peer = %connection.remote_addr(), %error, "peer refused");
                }
                self.metrics.dropped(reason);
                connection.close(close::REFUSED, &error.to_string());
            }
            Err(_) => {
                self.metrics.dropped("hello");
                connection.close(close::REFUSED, "the hello took too long");
            }
        }
    }

    /// Exchanges hellos and puts the link into the table.
    async fn greet(self: &Arc<Self>, connection: &Connection) -> Result<PeerLink, LinkError> {
        let (exchange, observed) = Exchange::begin(connection).await?;
        // The address that this node tells must be one at which this peer reaches it.
        self.look_towards(connection.remote_addr());
        self.assume(observed.ip());
        let own = self.identity();
        let hello = NodeHello::new(self.versions, &self.cluster, own, self.life);
        let (theirs, version) = match exchange.finish(&hello).await {
            Ok(answer) => answer,
            Err(error) => {
                connection.close(close::REFUSED, &error.to_string());
                return Err(error.into());
            }
        };
        let identity = theirs.identity;
        if let Some(certificate) = named(connection).filter(|certificate| *certificate != identity.id()) {
            let error = LinkError::Certificate { claimed: identity, certificate };
            connection.close(close::REFUSED, &error.to_string());
            return Err(error);
        }
        match relation((&own, self.life), (&identity, theirs.life)) {
            Relation::Peers => {}
            Relation::Ourselves => return Err(LinkError::Ourselves),
            Relation::TheyWereFirst => {
                // Closing loses unread data, and the other node has to learn of this one.
                let _ = timeout(HEARD, connection.closed()).await;
                self.stop(identity);
                return Err(LinkError::Rival(identity));
            }
            Relation::WeWereFirst => {
                self.hold_against(identity);
                let _ = timeout(HEARD * 2, connection.closed()).await;
                return Err(LinkError::Rival(identity));
            }
        }
        self.look_towards(identity.addr());
        self.observed_by(&identity, observed.ip());
        if self.identity().addr() != own.addr() {
            // The peer has been told an address that this node no longer has.
            connection.close(close::DONE, "this node has another address now: dial again");
            return Err(LinkError::Moved);
        }
        let link = PeerLink { identity, connection: connection.clone(), version };
        let Some(waiting) = self.links.insert(&link) else {
            return Err(HelloError::Closing.into());
        };
        for transmit in waiting {
            transmit_on(self, &link, transmit);
        }
        Ok(link)
    }

    /// Reads a link's packets until it ends.
    pub(super) async fn run(self: &Arc<Self>, link: PeerLink) {
        let PeerLink { identity, connection, .. } = &link;
        self.readers.enter(&link);
        let source = LinkQuota::new();
        let streams = async {
            // One stream at a time, so that a peer can't make this node hold more than one frame.
            while let Ok(mut stream) = connection.accept_uni().await {
                match timeout(HELLO, stream.read_to_end(MAX_FRAME)).await {
                    Ok(Ok(packet)) => self.received(&source, *identity, packet),
                    _ => self.metrics.dropped("stream"),
                }
            }
        };
        let datagrams = async {
            while let Ok(packet) = connection.read_datagram().await {
                self.received(&source, *identity, packet);
            }
        };
        tokio::select! {
            // Both at once: a slow stream must not delay answers.
            () = streams => {}
            () = datagrams => {}
            () = source.cut() => {
                warn!(peer = %identity, "peer cut off: too much of what it sends is no packet");
                self.metrics.dropped("cut_off");
                connection.close(close::REFUSED, "too much of what you send is no packet");
            }
            () = self.closed.cancelled() => {}
        }
        self.readers.leave(&link);
        self.links.remove(&link);
    }
}

/// Returns the id in the peer's certificate, if it has one.
fn named(connection: &Connection) -> Option<NodeId> {
    connection.peer().spiffe_id()?.node().parse().ok()
}

/// The links that are read.
#[derive(Debug, Default)]
pub(super) struct LinkReaders(Mutex<HashMap<SocketAddr, VecDeque<Connection>>>);

impl LinkReaders {
    /// Adds a link. One too many closes the oldest, which the peer is the least likely to use.
    fn enter(&self, link: &PeerLink) {
        let mut readers = self.0.lock();
        let of_peer = readers.entry(link.identity.addr()).or_default();
        of_peer.retain(|connection| connection.close_reason().is_none());
        if of_peer.len() >= OF_ONE_PEER
            && let Some(oldest) = of_peer.pop_front()
        {
            oldest.close(close::REPLACED, "you have more connections than you need");
        }
        of_peer.push_back(link.connection.clone());
    }

    /// Closes all links.
    pub(super) fn reset(&self) {
        let readers = self.0.lock();
        for connection in readers.values().flatten() {
            connection.close(close::DONE, "this node has another address now: dial again");
        }
    }

    /// Removes a link that is no longer read.
    fn leave(&self, link: &PeerLink) {
        link.connection.close(close::DONE, "");
        let mut readers = self.0.lock();
        let addr = link.identity.addr();
        if let Some(of_peer) = readers.get_mut(&addr) {
            of_peer.retain(|connection| connection.close_reason().is_none());
            if of_peer.is_empty() {
                readers.remove(&addr);
            }
        }
    }
}
