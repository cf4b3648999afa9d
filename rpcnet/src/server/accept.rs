//! Accepts connections and passes each to the handler of its protocol.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, timeout},
};
use tracing::{debug, error, warn};

use super::{Inner, Server, ServerPhase, refusals::RefusalLog};
use crate::{
    limit::ConnectionSlot,
    lock::Mutex,
    metrics::ConnectionGauge,
    proto::{self, close},
    session::{Driver, Session, WeakSession},
    transport::{Connection, ConnectionError, Endpoint, Incoming},
};

/// The time that a peer has to close an idle connection after the server has asked for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Accepts connections until the endpoint is closed. Their tasks end with this future.
pub(super) async fn accept(endpoint: Endpoint, server: Weak<Inner>) {
    let Some(most) = server.upgrade().map(|server| server.max_handshakes) else { return };
    let mut connections = JoinSet::new();
    let handshakes = Arc::new(Semaphore::new(most));
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended
                    && error.is_panic()
                {
                    error!(%error, "a connection's task panicked");
                }
                continue;
            }
        };
        let Some(incoming) = incoming else { return };
        let Some(incoming) = validate(&server, incoming, most - handshakes.available_permits()) else {
            continue;
        };
        // While this waits, new handshakes queue up in the transport, whose queue is bounded.
        let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
        connections.spawn(serve_peer(server.clone(), incoming, permit));
    }
}

/// Returns the peer's handshake if it may proceed. While many handshakes are in progress, a peer has to prove
/// its address first.
fn validate(server: &Weak<Inner>, incoming: Incoming, at_work: usize) -> Option<Incoming> {
    let server = server.upgrade()?;
    if at_work < server.retry_above || incoming.is_validated() {
        return Some(incoming);
    }
    server.router.metrics().handshake_retried();
    incoming.retry();
    None
}

/// Serves one peer, from its handshake to the end of its connection.
fn serve_peer(
    server: Weak<Inner>,
    incoming: Incoming,
    permit: OwnedSemaphorePermit,
) -> impl Future<Output = ()> + Send {
    // Boxed, so that an established connection does not keep the memory of its handshake.
    let handshake = Box::pin(handshake(server.clone(), incoming));
    async move {
        let connection = handshake.await;
        drop(permit);
        let Some(connection) = connection else { return };
        let Some((admitted, _gauge)) = admit(&server, &connection) else { return };
        if carries_calls(&connection) {
            // Boxed for the same reason: the wait for the server to run.
            let Some((driver, guard)) = Box::pin(start_session(&server, connection)).await else { return };
            admitted.is_of(guard.session.downgrade());
            let error = driver.drive().await;
            guard.disconnected(&error);
        } else {
            Box::pin(serve_protocol(server, connection)).await;
        }
    }
}

async fn handshake(server: Weak<Inner>, incoming: Incoming) -> Option<Connection> {
    let peer = incoming.remote_addr();
    let within = server.upgrade()?.handshake_timeout;
    let reason = match timeout(within, incoming.handshake()).await {
        Ok(Ok(connection)) => return Some(connection),
        Ok(Err(ConnectionError::Certificate { message })) => {
            log_refusal(&server.upgrade()?.refusals, peer, &message);
            "certificate"
        }
        Ok(Err(error)) => {
            debug!(%peer, %error, "handshake failed");
            if let ConnectionError::TimedOut = error { "timed_out" } else { "other" }
        }
        Err(_) => {
            debug!(%peer, "handshake timed out");
            "timed_out"
        }
    };
    server.upgrade()?.router.metrics().handshake_failed(reason);
    None
}

/// Logs a refused certificate, ours or the peer's, unless the same refusal was logged recently.
fn log_refusal(refusals: &Mutex<RefusalLog>, peer: SocketAddr, reason: &str) {
    let mut refusals = refusals.lock();
    match refusals.record(peer.ip(), reason, Instant::now()) {
        Some(0) => warn!(%peer, %reason, "handshake refused"),
        Some(suppressed) => warn!(%peer, %reason, suppressed, "handshake refused"),
        None => debug!(%peer, %reason, "handshake refused"),
    }
}

/// Counts a connection until the returned guards are dropped, or closes it.
///
/// At a bound, an idle connection of calls makes room. Its peer is asked to close it, and has time to hear
/// that before the server closes it, so no call that is sent in that moment is lost.
fn admit(
    server: &Weak<Inner>,
    connection: &Connection,
) -> Option<(ConnectionSlot<WeakSession>, ConnectionGauge)> {
    let server = Server { inner: server.upgrade()? };
    // Places are reserved for other protocols only if there are any.
    let reserved = carries_calls(connection) && !server.protocols().is_empty();
    let metrics = server.inner.router.metrics();
    let (peer, name) = (connection.remote_addr(), connection.peer().name());
    match server.inner.connections.admit(name, peer.ip(), reserved, Instant::now().into_std()) {
        Ok((admitted, place)) => {
            for session in place.close.iter().filter_map(WeakSession::upgrade) {
                session.end(close::NOT_USED, "the connection is not used, and its place is needed");
            }
            for (session, reason) in place.leave {
                let Some(session) = session.upgrade() else { continue };
                metrics.connection_evicted(reason.as_str());
                debug!(peer = %session.connection().remote_addr(), %reason, "an idle connection makes room for a new one");
                session.rest();
                server.spawn_owned(async move { session.rested(PATIENCE).await });
            }
            Some((admitted, metrics.connection()))
        }
        Err(refused) => {
            metrics.connection_refused(refused.as_str());
            debug!(%peer, name, %refused, "connection refused");
            connection.close(close::TOO_MANY_CONNECTIONS, &refused.to_string());
            None
        }
    }
}

fn carries_calls(connection: &Connection) -> bool {
    [proto::ALPN, proto::RELAY_ALPN].contains(&connection.protocol())
}

/// Serves a connection of another protocol.
async fn serve_protocol(server: Weak<Inner>, connection: Connection) {
    let handler =
        server.upgrade().and_then(|inner| Server { inner }.protocols().get(connection.protocol()).cloned());
    match handler {
        Some(handler) => handler.accept(connection).await,
        None => connection.close(close::NO_PROTOCOL, "no handler for this protocol"),
    }
}

/// Starts the session of a connection of calls. Returns `None` if the connection ends first, or if the server
/// does not take calls any more.
async fn start_session(server: &Weak<Inner>, connection: Connection) -> Option<(Driver, Registered)> {
    // Calls wait until `run`. The transport's windows bound the memory that they hold.
    let mut phase = server.upgrade()?.phase.subscribe();
    let phase = tokio::select! {
        phase = phase.wait_for(|phase| *phase >= ServerPhase::Running) => phase.map(|phase| *phase),
        _ = connection.closed() => return None,
    };
    if !matches!(phase, Ok(ServerPhase::Running)) {
        connection.close(close::DRAINING, "the server is going away");
        return None;
    }
    let (driver, guard) = register_session(server, connection)?;
    debug!(peer = %guard.peer(), "peer connected");
    Some((driver, guard))
}

/// Registers the session, so that draining reaches it.
fn register_session(server: &Weak<Inner>, connection: Connection) -> Option<(Driver, Registered)> {
    let server = Server { inner: server.upgrade()? };
    let forward = match connection.protocol() {
        proto::RELAY_ALPN => match server.inner.relay.get().filter(|relay| relay.forward.is_open()) {
            Some(relay) => Some(relay.entry.clone()),
            None => {
                connection.close(close::NO_PROTOCOL, "calls are not forwarded here");
                return None;
            }
        },
        _ => None,
    };
    let (router, limits) = (server.inner.router.clone(), server.inner.dialer.limits);
    let runtime = server.inner.dialer.runtime.clone();
    let (session, driver) = Session::forwarding(connection, router, limits, runtime, forward);
    let id = {
        let mut sessions = server.sessions();
        sessions.next += 1;
        let id = sessions.next;
        sessions.open.insert(id, session.clone());
        id
    };
    // Draining may have begun after the phase was read, and may have missed this session.
    if server.inner.router.is_draining() {
        session.go_away();
    }
    Some((driver, Registered { server: Arc::downgrade(&server.inner), session, id }))
}

/// Removes the session from the server's list when its connection ends.
struct Registered {
    server: Weak<Inner>,
    session: Session,
    id: u64,
}

impl Registered {
    fn peer(&self) -> SocketAddr {
        self.session.connection().remote_addr()
    }

    fn disconnected(&self, error: &ConnectionError) {
        debug!(peer = %self.peer(), %error, "peer disconnected");
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(inner) = self.server.upgrade() {
            Server { inner }.sessions().open.remove(&self.id);
        }
    }
}
