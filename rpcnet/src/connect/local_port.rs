//! Decides when a socket that only dials takes another local port.
//!
//! A middlebox (a NAT, a load balancer, a firewall) identifies a flow by the addresses and ports of its ends,
//! and may keep the flow for as long as packets arrive. Dialling again from the same port may then reach the
//! same dead server, or nobody, forever. A new local port is a new flow.

use std::sync::{Arc, MutexGuard};

use crate::lock::Mutex;

/// The number of unanswered dials in a row after which the port changes.
const UNANSWERED: usize = 2;

/// Counts a socket's dials and sessions to decide when to change its port.
#[derive(Debug, Default)]
pub(crate) struct LocalPort(Mutex<PortCounts>);

#[derive(Debug, Default)]
struct PortCounts {
    /// Dials in progress.
    dialling: usize,
    /// Open sessions. A new port would move them to another path.
    standing: usize,
    /// Unanswered dials since the last answer.
    unanswered: usize,
}

/// The result of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialOutcome {
    /// The peer answered: it accepted the session or refused it.
    Answered,
    /// No packet came back.
    Unanswered,
    /// Nothing was sent, or the dial was given up. This says nothing about the path.
    Unknown,
}

/// A dial in progress.
#[derive(Debug)]
pub(super) struct DialGuard<'a> {
    port: &'a LocalPort,
    outcome: DialOutcome,
}

/// An open session.
#[derive(Debug)]
pub(super) struct SessionGuard(Arc<LocalPort>);

impl LocalPort {
    fn state(&self) -> MutexGuard<'_, PortCounts> {
        self.0.lock()
    }

    /// Counts a dial until the guard is dropped.
    pub(super) fn dial(&self) -> DialGuard<'_> {
        self.state().dialling += 1;
        DialGuard { port: self, outcome: DialOutcome::Unknown }
    }

    /// Counts a session until the guard is dropped.
    pub(super) fn hold_session(self: &Arc<Self>) -> SessionGuard {
        self.state().standing += 1;
        SessionGuard(self.clone())
    }
}

impl DialGuard<'_> {
    /// Ends the dial. Returns true if the socket should take another port now. All of these must hold:
    ///
    /// - [`UNANSWERED`] dials in a row had no answer,
    /// - no other dial is in progress,
    /// - no session is open.
    pub(super) fn end(mut self, outcome: DialOutcome) -> bool {
        self.outcome = outcome;
        let mut state = self.port.state();
        match outcome {
            DialOutcome::Answered => state.unanswered = 0,
            DialOutcome::Unanswered => state.unanswered += 1,
            DialOutcome::Unknown => {}
        }
        // This dial counts itself until it is dropped: hence 1.
        let is_due = state.unanswered >= UNANSWERED && state.dialling == 1 && state.standing == 0;
        if is_due {
            state.unanswered = 0;
        }
        is_due
    }
}

impl Drop for DialGuard<'_> {
    fn drop(&mut self) {
        self.port.state().dialling -= 1;
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.state().standing -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{DialOutcome::*, *};

    #[test]
    fn two_dials_in_a_row_without_an_answer() {
        let port = LocalPort::default();
        let dials = [Unanswered, Answered, Unanswered, Unknown, Unanswered, Unanswered, Unanswered];
        let due = dials.map(|outcome| port.dial().end(outcome));
        assert_eq!(due, [false, false, false, false, true, false, true]);
    }

    #[test]
    fn not_while_a_session_stands_or_another_dial_is_under_way() {
        let port = Arc::new(LocalPort::default());
        let standing = port.hold_session();
        assert!(![Unanswered; 4].map(|outcome| port.dial().end(outcome)).contains(&true));
        drop(standing);
        let other = port.dial();
        assert!(!port.dial().end(Unanswered));
        drop(other);
        assert!(port.dial().end(Unanswered));
    }

    #[test]
    fn a_dial_that_is_given_up_says_nothing() {
        let port = LocalPort::default();
        assert!(!port.dial().end(Unanswered));
        drop(port.dial());
        assert!(port.dial().end(Unanswered));
    }
}
