//! Counts a handler, from its call's arrival to its end.

use tokio::time::Instant;

use crate::{
    Code,
    metrics::{CallEnd, MethodMetrics},
    proto::close,
    session::{Entry, PeerCallGuard, Session},
    transport::ConnectionError,
};

/// A handler at work. One that is dropped before it is done was cancelled, or its caller has left.
#[derive(Debug)]
pub(super) struct CallTimer {
    metrics: MethodMetrics,
    at_work: PeerCallGuard,
    arrived: Instant,
    is_open: bool,
}

impl CallTimer {
    /// A handler is started, of a request that came then.
    pub(super) fn start(session: &Session, entry: &Entry, arrived: Instant) -> Self {
        entry.metrics.started();
        Self { metrics: entry.metrics.clone(), at_work: session.at_work(), arrived, is_open: true }
    }

    pub(super) fn metrics(&self) -> &MethodMetrics {
        &self.metrics
    }

    /// The handler has ended; with this code, where it was in an error.
    pub(super) fn end(&mut self, now: Instant, error: Option<Code>) {
        self.is_open = false;
        self.at_work.ends_at(now);
        let ended = match error {
            None => CallEnd::Well,
            Some(Code::Cancelled) if has_left(self.at_work.session()) => CallEnd::Abandoned,
            Some(code) => CallEnd::Error(code),
        };
        self.metrics.ended(now.saturating_duration_since(self.arrived), ended);
    }
}

impl Drop for CallTimer {
    fn drop(&mut self) {
        if self.is_open {
            self.end(Instant::now(), Some(Code::Cancelled));
        }
    }
}

/// Returns whether the peer has closed its connection in good order. Its calls did not fail: nobody waits for them any
/// more.
fn has_left(session: &Session) -> bool {
    // A connection that its driver has left was closed on this side too; the session knows what came first.
    let known = session.inner.peer_state.borrow().closed.clone();
    let reason = known.or_else(|| session.connection().close_reason());
    matches!(reason, Some(ConnectionError::Closed { code: close::SHUTDOWN, .. }))
}
