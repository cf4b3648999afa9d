//! The shutdown of a server, step by step or all at once.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::{ProtocolHandler, Server, ServerPhase};
use crate::{ServerError, proto::close};

/// The time that peers have to read their last replies and to close their connections.
const LINGER: Duration = Duration::from_secs(1);
/// The longest wait until peers have been told that their connections are closed.
const FAREWELL: Duration = Duration::from_secs(1);
/// The time that handlers have to end after they were cut off.
const CUT: Duration = Duration::from_secs(1);
/// The time that each protocol has to shut down.
const PROTOCOLS: Duration = Duration::from_secs(5);

impl Server {
    /// Stops taking calls. Completes at once.
    ///
    /// - Peers are told (GOAWAY).
    /// - Calls that peers send nevertheless are refused as never started. So are new connections for calls.
    /// - Calls in flight go on. Streams of `resumable` methods are the exception: they are ended, so that
    ///   their callers resume elsewhere.
    pub async fn stop_accepting(&self) {
        self.inner.router.drain();
        self.advance(ServerPhase::Draining);
        for session in self.sessions().open.values() {
            session.go_away();
        }
    }

    /// Waits until no call is in flight. The wait is unbounded. Cancel-safe.
    pub async fn wait_for_in_flight(&self) {
        self.inner.router.wait_idle().await;
    }

    /// Shuts down: lets other protocols shut down, gives peers a second to read their last replies, then
    /// closes all connections. Calls still in flight end as `Unavailable`. A second shutdown does nothing. If
    /// the first one was dropped before its end, the next one continues it.
    ///
    /// # Errors
    ///
    /// None today.
    pub async fn shutdown(&self) -> Result<(), ServerError> {
        // If the runtime is shut down, everything has ended with it.
        self.on_runtime(self.shut_down()).await.unwrap_or(Ok(()))
    }

    async fn shut_down(&self) -> Result<(), ServerError> {
        self.stop_accepting().await;
        let handlers: Vec<(Vec<u8>, Arc<dyn ProtocolHandler>)> =
            self.protocols().iter().map(|(alpn, handler)| (alpn.clone(), handler.clone())).collect();
        for (alpn, handler) in handlers {
            if timeout(PROTOCOLS, handler.shutdown()).await.is_err() {
                warn!("a protocol took too long to shut down");
            }
            // Removed only after its shutdown: if this future is dropped before, the next one calls the
            // handler again.
            self.protocols().remove(&alpn);
        }
        self.linger().await;
        self.close().await;
        Ok(())
    }

    /// Only the peer knows whether a reply that was written has arrived. So peers that were told to go close
    /// their connection themselves once they have their replies, and this waits for them.
    async fn linger(&self) {
        let until = Instant::now() + LINGER;
        let sessions: Vec<_> = self.sessions().open.values().cloned().collect();
        for session in sessions {
            let mut condition = session.peer_state();
            let _ = timeout_at(until, condition.wait_for(|now| now.closed.is_some())).await;
        }
    }

    /// Stops taking calls, waits for calls in flight for at most the drain timeout (30 s by default), and
    /// cuts off the others: their handlers are dropped, and their callers get `Unavailable`. Returns the
    /// number of calls that were cut off.
    ///
    /// Connections stay open, and the server stays in its cluster: [`shutdown`](Self::shutdown) is the next
    /// step. Cancel-safe: if the future is dropped, the server stays as far as it has come, and another call
    /// continues.
    pub async fn drain(&self) -> usize {
        self.stop_accepting().await;
        let draining = async {
            if timeout(self.inner.drain_timeout, self.wait_for_in_flight()).await.is_ok() {
                return 0;
            }
            let left = self.in_flight();
            warn!(in_flight = left, "calls are cut off: the drain timeout is over");
            self.inner.router.cut_off();
            // A handler that blocks its thread can be dropped only at its next await.
            let _ = timeout(CUT, self.wait_for_in_flight()).await;
            left
        };
        self.on_runtime(draining).await.unwrap_or(0)
    }

    /// Answers calls until `signal` resolves, then shuts down gracefully: [`drain`](Self::drain), then
    /// [`shutdown`](Self::shutdown).
    ///
    /// If the value of the signal insists (see [`Hurry`]: a second SIGTERM does), the server closes at once.
    /// Calls still in flight end as `Unavailable`. Other protocols do not shut down, so a node does not leave
    /// its cluster, and the others have to detect that it is gone.
    ///
    /// If the future is dropped, the server stays as far as it has come. Another `run_until` or `shutdown`
    /// continues.
    ///
    /// # Errors
    ///
    /// [`ServerError::Closed`] if the server has been shut down before.
    pub async fn run_until(&self, signal: impl Future<Output: Hurry>) -> Result<(), ServerError> {
        let hurry = tokio::select! {
            ended = self.run() => return ended,
            hurry = signal => hurry,
        };
        info!(in_flight = self.in_flight(), "draining");
        let in_good_order = async {
            self.drain().await;
            self.shutdown().await
        };
        tokio::select! {
            biased;
            done = in_good_order => done,
            () = hurry.hurried() => {
                warn!(in_flight = self.in_flight(), "second signal to stop: calls are cut off");
                self.close().await;
                Ok(())
            }
        }
    }

    /// Closes all connections at once, and returns when their peers have been told, after at most a second.
    /// Calls still in flight end as `Unavailable`. Other protocols do not shut down first.
    /// [`shutdown`](Self::shutdown) and [`run_until`](Self::run_until) end gracefully. Closing twice does no
    /// harm.
    ///
    /// Cancel-safe: connections are closed at the first poll, and dropping the future only ends the wait.
    /// [`run`](Self::run) then keeps waiting until another `close` or `shutdown` has ended.
    pub async fn close(&self) {
        let endpoint = &self.inner.dialer.endpoint;
        let reason = "the server has been shut down";
        endpoint.close(close::SHUTDOWN, reason);
        let sockets = self.sockets().endpoints();
        self.sockets().close(reason);
        let idle = async {
            endpoint.wait_idle().await;
            for socket in &sockets {
                socket.wait_idle().await;
            }
        };
        self.on_runtime(async { timeout(FAREWELL, idle).await }).await;
        self.advance(ServerPhase::Closed);
    }
}

/// The value of a shutdown signal, for [`Server::run_until`]: it can tell a server that is shutting down to
/// close at once.
///
/// `()` never does.
pub trait Hurry: Send {
    /// Resolves when the server should close at once.
    fn hurried(self) -> impl Future<Output = ()> + Send;
}

impl Hurry for () {
    async fn hurried(self) {
        std::future::pending().await
    }
}

/// The next SIGTERM or ctrl-c after the one that [`shutdown_signal`] has waited for.
#[derive(Debug)]
pub struct NextSignal(Signals);

impl Hurry for NextSignal {
    async fn hurried(mut self) {
        self.0.next().await;
    }
}

/// Resolves on SIGTERM or ctrl-c. Its value resolves on the next one. From the first poll on, these signals
/// no longer end the process by themselves.
pub async fn shutdown_signal() -> NextSignal {
    let mut signals = Signals::new();
    signals.next().await;
    NextSignal(signals)
}

#[cfg(unix)]
#[derive(Debug)]
struct Signals(Option<[tokio::signal::unix::Signal; 2]>);

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};

        let both = signal(SignalKind::terminate()).and_then(|terminate| {
            let interrupt = signal(SignalKind::interrupt())?;
            Ok([terminate, interrupt])
        });
        Self(both.inspect_err(|error| warn!(%error, "cannot listen for signals to stop")).ok())
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some([terminate, interrupt]) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Self {
        Self
    }

    async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            warn!(%error, "cannot listen for signals to stop");
            std::future::pending().await
        }
    }
}
