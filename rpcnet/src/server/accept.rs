//! Takes connections and hands each to its protocol.

use std::sync::{Arc, Weak};

use tokio::{task::JoinSet, time::timeout};
use tracing::{debug, error};

use super::{Inner, Phase, Server};
use crate::{
    proto::{self, close},
    session::Session,
    transport::{Connection, Endpoint, Incoming},
};

/// Handshakes at a time; dialling peers beyond wait in the transport's own bounded queue.
const HANDSHAKES: usize = 1024;

/// Takes connections until the endpoint is closed. Their tasks end with this future.
pub(super) async fn accept(endpoint: Endpoint, server: Weak<Inner>) {
    let mut connections = JoinSet::new();
    let handshakes = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES));
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
        let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
        let server = server.clone();
        connections.spawn(async move {
            let connection = handshake(&server, incoming).await;
            drop(permit);
            if let Some(connection) = connection {
                serve(server, connection).await;
            }
        });
    }
}

async fn handshake(server: &Weak<Inner>, incoming: Incoming) -> Option<Connection> {
    let peer = incoming.remote_addr();
    let within = server.upgrade()?.handshake_timeout;
    match timeout(within, incoming.handshake()).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            debug!(%peer, %error, "handshake failed");
            None
        }
        Err(_) => {
            debug!(%peer, "handshake timed out");
            None
        }
    }
}

async fn serve(server: Weak<Inner>, connection: Connection) {
    if connection.protocol() == proto::ALPN {
        return calls(server, connection).await;
    }
    let handler =
        server.upgrade().and_then(|inner| Server { inner }.protocols().get(connection.protocol()).cloned());
    match handler {
        Some(handler) => handler.accept(connection).await,
        None => connection.close(close::NO_PROTOCOL, "no handler for this protocol"),
    }
}

async fn calls(server: Weak<Inner>, connection: Connection) {
    // Before `run`, calls wait; what they may hold is bounded by the transport's windows.
    let Some(mut phase) = server.upgrade().map(|inner| inner.phase.subscribe()) else { return };
    let phase = tokio::select! {
        phase = phase.wait_for(|phase| *phase >= Phase::Running) => phase.map(|phase| *phase),
        _ = connection.closed() => return,
    };
    if !matches!(phase, Ok(Phase::Running)) {
        return connection.close(close::DRAINING, "the server is going away");
    }
    let Some((driver, guard)) = open(&server, connection) else { return };
    let peer = guard.session.connection().remote_addr();
    debug!(%peer, "peer connected");
    let error = driver.drive().await;
    debug!(%peer, %error, "peer disconnected");
    drop(guard);
}

/// Registers the session, so that draining reaches it.
fn open(server: &Weak<Inner>, connection: Connection) -> Option<(crate::session::Driver, Registered)> {
    let server = Server { inner: server.upgrade()? };
    let (session, driver) = Session::new(connection, server.inner.router.clone(), server.inner.dialer.limits);
    let id = {
        let mut sessions = server.sessions();
        sessions.next += 1;
        let id = sessions.next;
        sessions.open.insert(id, session.clone());
        id
    };
    // Draining may have begun since the phase was looked at, and have missed this session.
    if server.inner.router.is_draining() {
        session.go_away();
    }
    Some((driver, Registered { server: Arc::downgrade(&server.inner), session, id }))
}

/// Takes the session out of the server's list when its connection ends.
struct Registered {
    server: Weak<Inner>,
    session: Session,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(inner) = self.server.upgrade() {
            Server { inner }.sessions().open.remove(&self.id);
        }
    }
}
