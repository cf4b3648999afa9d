//! The way down, step by step or all at once.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::{Phase, ProtocolHandler, Server};
use crate::{ServerError, proto::close};

/// How long peers get to take their last replies and go by themselves.
const LINGER: Duration = Duration::from_secs(1);
/// How long peers get to be told that the connection is closed.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long each protocol gets to say goodbye.
const PROTOCOLS: Duration = Duration::from_secs(5);

impl Server {
    /// Takes nothing new: peers are told (GOAWAY), calls that they send all the same are refused as never started,
    /// and so are new connections for calls. What runs goes on, except for streams of `resumable` methods, which are ended
    /// so that their callers go on elsewhere.
    pub async fn stop_accepting(&self) {
        self.inner.router.drain();
        self.advance(Phase::Draining);
        for session in self.sessions().open.values() {
            session.go_away();
        }
    }

    /// Waits until no call is at work. Cancel-safe; unbounded unless you bound it.
    pub async fn wait_for_in_flight(&self) {
        self.inner.router.wait_idle().await;
    }

    /// Closes: lets other protocols say goodbye, gives peers a second to take their last replies, then ends all
    /// connections. Calls still at work end as `Unavailable`. A second call does nothing; where the first was dropped
    /// half-way, it goes on to the end.
    ///
    /// # Errors
    ///
    /// None today.
    pub async fn shutdown(&self) -> Result<(), ServerError> {
        self.stop_accepting().await;
        let handlers: Vec<(Vec<u8>, Arc<dyn ProtocolHandler>)> =
            self.protocols().iter().map(|(alpn, handler)| (alpn.clone(), handler.clone())).collect();
        for (alpn, handler) in handlers {
            if timeout(PROTOCOLS, handler.shutdown()).await.is_err() {
                warn!("a protocol took too long to say goodbye");
            }
            // Only now: where this future is dropped before, the next shutdown lets the protocol say goodbye.
            self.protocols().remove(&alpn);
        }
        self.linger().await;
        let endpoint = &self.inner.dialer.endpoint;
        endpoint.close(close::SHUTDOWN, "the server has been shut down");
        let _ = timeout(FAREWELL, endpoint.wait_idle()).await;
        self.advance(Phase::Closed);
        Ok(())
    }

    /// A reply that was written may not have been sent yet: only the peer knows. So peers that were told to go
    /// close the connection themselves once they have their replies.
    async fn linger(&self) {
        let until = Instant::now() + LINGER;
        let sessions: Vec<_> = self.sessions().open.values().cloned().collect();
        for session in sessions {
            let mut condition = session.condition();
            let _ = timeout_at(until, condition.wait_for(|now| now.closed.is_some())).await;
        }
    }

    /// Answers calls until `signal` resolves, then goes down in good order: takes nothing new, waits for calls at
    /// work (at most the drain timeout, 30 s by default), then [`shutdown`](Self::shutdown). Dropped half-way, it
    /// leaves the server as far as it has come; another `run_until` or `shutdown` goes on from there.
    ///
    /// # Errors
    ///
    /// [`ServerError::Closed`] where it has been shut down before.
    pub async fn run_until(&self, signal: impl Future<Output = ()>) -> Result<(), ServerError> {
        tokio::select! {
            ended = self.run() => return ended,
            () = signal => {}
        }
        info!(in_flight = self.in_flight(), "draining");
        self.stop_accepting().await;
        if timeout(self.inner.drain_timeout, self.wait_for_in_flight()).await.is_err() {
            warn!(in_flight = self.in_flight(), "calls are cut off: the drain timeout is over");
        }
        self.shutdown().await
    }
}

/// Resolves on SIGTERM or ctrl-c.
pub async fn shutdown_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(mut terminate), Ok(mut interrupt)) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            _ => {
                warn!("no signal can be waited for");
                std::future::pending().await
            }
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        warn!("no signal can be waited for");
        std::future::pending().await
    }
}
