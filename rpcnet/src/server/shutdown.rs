//! The way down, step by step or all at once.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::{ProtocolHandler, Server, ServerPhase};
use crate::{ServerError, proto::close};

/// How long peers get to take their last replies and go by themselves.
const LINGER: Duration = Duration::from_secs(1);
/// How long peers get to be told that the connection is closed.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long handlers that are cut off get to end.
const CUT: Duration = Duration::from_secs(1);
/// How long each protocol gets to say goodbye.
const PROTOCOLS: Duration = Duration::from_secs(5);

impl Server {
    /// Takes nothing new: peers are told (GOAWAY), calls that they send all the same are refused as never started,
    /// and so are new connections for calls. What runs goes on, except for streams of `resumable` methods, which are ended
    /// so that their callers go on elsewhere.
    pub async fn stop_accepting(&self) {
        self.inner.router.drain();
        self.advance(ServerPhase::Draining);
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
        // With its runtime all of it has ended.
        self.on_runtime(self.go_down()).await.unwrap_or(Ok(()))
    }

    async fn go_down(&self) -> Result<(), ServerError> {
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
        self.close().await;
        Ok(())
    }

    /// A reply that was written may not have been sent yet: only the peer knows. So peers that were told to go
    /// close the connection themselves once they have their replies.
    async fn linger(&self) {
        let until = Instant::now() + LINGER;
        let sessions: Vec<_> = self.sessions().open.values().cloned().collect();
        for session in sessions {
            let mut condition = session.peer_state();
            let _ = timeout_at(until, condition.wait_for(|now| now.closed.is_some())).await;
        }
    }

    /// Takes nothing new, waits for calls at work, at most the drain timeout (30 s by default), and cuts off those that
    /// are left: their handlers are dropped, and their callers get `Unavailable`. Says how many those were.
    ///
    /// Connections stay open, and the server stays in its cluster: [`shutdown`](Self::shutdown) comes next. Cancel-safe:
    /// dropped, it leaves the server as far as it has come, and a second call goes on from there.
    pub async fn drain(&self) -> usize {
        self.stop_accepting().await;
        let draining = async {
            if timeout(self.inner.drain_timeout, self.wait_for_in_flight()).await.is_ok() {
                return 0;
            }
            let left = self.in_flight();
            warn!(in_flight = left, "calls are cut off: the drain timeout is over");
            self.inner.router.cut_off();
            // A handler that blocks its thread can't be dropped before it waits.
            let _ = timeout(CUT, self.wait_for_in_flight()).await;
            left
        };
        self.on_runtime(draining).await.unwrap_or(0)
    }

    /// Answers calls until `signal` resolves, then goes down in good order: [`drain`](Self::drain), then
    /// [`shutdown`](Self::shutdown). Where what the signal gave insists (see [`Hurry`]: a second SIGTERM does), it ends at
    /// once: calls still at work end as `Unavailable`, and other protocols do not say goodbye, so a node does not leave
    /// its cluster but is missed there. Dropped half-way, it leaves the server as far as it has come; another
    /// `run_until` or `shutdown` goes on from there.
    ///
    /// # Errors
    ///
    /// [`ServerError::Closed`] where it has been shut down before.
    pub async fn run_until(&self, signal: impl Future<Output: Hurry>) -> Result<(), ServerError> {
        let told = tokio::select! {
            ended = self.run() => return ended,
            told = signal => told,
        };
        info!(in_flight = self.in_flight(), "draining");
        let in_good_order = async {
            self.drain().await;
            self.shutdown().await
        };
        tokio::select! {
            biased;
            done = in_good_order => done,
            () = told.hurried() => {
                warn!(in_flight = self.in_flight(), "told again to stop: calls are cut off");
                self.close().await;
                Ok(())
            }
        }
    }

    /// Ends all connections at once and says goodbye to their peers: returns when they were told, at most after a second.
    /// Calls still at work end as `Unavailable`; other protocols don't say goodbye. [`shutdown`](Self::shutdown) and
    /// [`run_until`](Self::run_until) end in good order. Closing twice does no harm.
    ///
    /// Cancel-safe: connections are closed at the first poll, and what is dropped is the wait; until another `close` or
    /// `shutdown` ends, [`run`](Self::run) goes on waiting.
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

/// What a signal to shut down gives to [`Server::run_until`]: how a server that is on its way down is told to hurry.
///
/// `()` never does.
pub trait Hurry: Send {
    /// Resolves when the server is to end at once.
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

/// Resolves on SIGTERM or ctrl-c; what it gives, on the next one. From its first poll on, these signals do not end the
/// process by themselves any more.
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
        Self(both.inspect_err(|error| warn!(%error, "no signal can be waited for")).ok())
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
            warn!(%error, "no signal can be waited for");
            std::future::pending().await
        }
    }
}
