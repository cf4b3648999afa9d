//! The state of a session's peer, and the session that calls may be sent on now.

use std::sync::atomic::Ordering;

use arc_swap::ArcSwapOption;

use super::{Inner, Session};
use crate::transport::ConnectionError;

/// The state of the peer, for the choice of where to send calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PeerState {
    /// True once the peer's hello is here, by which it lets this side in.
    pub(crate) ready: bool,
    /// True while calls wait and no packet comes.
    pub(crate) silent: bool,
    /// True once the lane for our small calls is open.
    pub(super) lane: bool,
    /// True once the peer takes no new calls.
    pub(crate) draining: bool,
    /// True if the peer has asked to close this connection as unused. It takes calls on a new one.
    pub(crate) rests: bool,
    /// The error with which the connection ended.
    pub(crate) closed: Option<ConnectionError>,
}

impl PeerState {
    /// Returns whether a new call may be sent here.
    pub(crate) fn takes_calls(&self) -> bool {
        self.ready && !self.silent && !self.draining && self.closed.is_none()
    }
}

/// The current session, read without a lock and without a write to memory that other threads read.
#[derive(Debug, Default)]
pub(crate) struct SessionCell(ArcSwapOption<Inner>);

impl SessionCell {
    pub(crate) fn set(&self, session: Option<&Session>) {
        self.0.store(session.map(|session| session.inner.clone()));
    }

    /// Returns the session if calls may be sent on it now.
    pub(crate) fn ready(&self) -> Option<Session> {
        let inner = self.0.load();
        let inner = inner.as_ref().filter(|inner| inner.takes_calls())?;
        Some(Session { inner: inner.clone() })
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.0.load().as_ref().is_some_and(|inner| inner.takes_calls())
    }

    /// The number of our calls that wait for an answer there; `None` if no calls may be sent now.
    pub(crate) fn outstanding(&self) -> Option<usize> {
        let inner = self.0.load();
        let inner = inner.as_ref().filter(|inner| inner.takes_calls())?;
        Some(inner.counts.outstanding.load(Ordering::Relaxed))
    }
}
