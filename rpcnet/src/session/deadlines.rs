//! The time limits of a call.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Limits, Request, context::Scope};

/// Returns `then + timeout`, with timeouts above ten years cut to ten years: the clock may not be able to
/// represent more.
pub(crate) fn after(then: Instant, timeout: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    then + timeout.min(LONG)
}

/// The time limits of one call.
#[derive(Debug, Clone)]
pub(crate) struct Deadlines {
    /// The instant at which the call was made, or went on after a wait.
    made: Instant,
    /// The deadline of the whole call. A stream has none unless the caller or a surrounding handler sets one.
    pub(crate) call: Option<Instant>,
    /// The time within which the answer must begin, counted from when the whole request was sent.
    pub(crate) start: Option<Duration>,
    /// The longest wait for an item of the answer.
    pub(crate) gap: Option<Duration>,
    /// The instant by which a connection must be available.
    connect_by: Instant,
}

impl Deadlines {
    /// Computes the limits of a call that is made now.
    ///
    /// The timeout is the call's own, else the method's, else the default. It never exceeds the deadline of
    /// the handler in which the call is made. The default bounds a unary call as a whole, but only the start
    /// of a stream.
    pub(crate) fn of(request: &Request, limits: &Limits) -> Self {
        let method = request.method;
        let explicit = request.timeout.or_else(|| method.timeout());
        let default = limits.default_timeout();
        let made = Instant::now();
        let inherited = Scope::inherited().deadline;
        // For a forwarded call, its client has sent the deadline.
        let is_told = request.relayed().is_some() && inherited.is_some();
        let own = match explicit {
            None if method.streams() || is_told => None,
            timeout => Some(after(made, timeout.unwrap_or(default))),
        };
        let call = own.into_iter().chain(inherited).min();
        Self {
            made,
            call,
            // A relay does not bound the start of a stream: the client bounds it, and only the client knows
            // the limit.
            start: (method.streams() && request.relayed().is_none()).then_some(default),
            gap: request.item_timeout.or_else(|| method.item_timeout()),
            connect_by: call.unwrap_or_else(|| after(made, default)),
        }
    }

    /// The instant at which the call was made, or went on after a wait.
    pub(crate) fn made(&self) -> Instant {
        self.made
    }

    /// The time that was left until the deadline at [`made`](Self::made). A call that has not waited since
    /// sends this value.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.call.map(|deadline| deadline.saturating_duration_since(self.made))
    }

    /// The same limits for a call that has waited for a connection and is sent now.
    pub(crate) fn having_waited(&self) -> Self {
        Self { made: Instant::now(), ..self.clone() }
    }

    /// The same limits for a stream that resumes elsewhere: it gets as much time to connect as at first.
    pub(crate) fn again(&self) -> Self {
        let made = Instant::now();
        let connect_by = self.connect_by.saturating_duration_since(self.made);
        Self { made, connect_by: self.call.unwrap_or_else(|| after(made, connect_by)), ..self.clone() }
    }

    /// The instant by which the call must have been sent.
    pub(crate) fn open_by(&self) -> Instant {
        self.connect_by
    }
}
