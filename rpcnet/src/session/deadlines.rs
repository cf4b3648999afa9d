//! How long a call may take.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Limits, Request, context::Scope};

/// So long from then; a time that no clock can tell is a very long one.
pub(crate) fn after(then: Instant, timeout: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    then + timeout.min(LONG)
}

/// The times that bound a call.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    /// When the call was made.
    made: Instant,
    /// All of it must be over by then. A stream has no such time, unless it was given one.
    pub(crate) call: Option<Instant>,
    /// The answer must begin within this time, from when all of the request was sent.
    pub(crate) start: Option<Duration>,
    /// Each item of the answer must come within this time.
    pub(crate) gap: Option<Duration>,
    /// A connection must be there by then.
    connect_by: Instant,
}

impl Times {
    /// Those of a call that is made now: its own timeout, the method's or the default, and never longer than the
    /// handler inside which it is made. The default bounds a unary call, and the start of a stream.
    pub(crate) fn of(request: &Request, limits: &Limits) -> Self {
        let method = request.method;
        let explicit = request.timeout.or_else(|| method.timeout());
        let default = limits.default_timeout();
        let made = Instant::now();
        let inherited = Scope::inherited().deadline;
        // Of a call that is forwarded, the client has said how long it may take.
        let is_told = request.relayed().is_some() && inherited.is_some();
        let own = match explicit {
            None if method.streams() || is_told => None,
            timeout => Some(after(made, timeout.unwrap_or(default))),
        };
        let call = own.into_iter().chain(inherited).min();
        Self {
            made,
            call,
            // The start of a stream that is forwarded is awaited by its client, who knows for how long.
            start: (method.streams() && request.relayed().is_none()).then_some(default),
            gap: request.item_timeout.or_else(|| method.item_timeout()),
            connect_by: call.unwrap_or_else(|| after(made, default)),
        }
    }

    /// When the call was made, or went on after it had waited.
    pub(crate) fn made(&self) -> Instant {
        self.made
    }

    /// The time that was left when it was made: what a call is sent with that has not waited since.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.call.map(|deadline| deadline.saturating_duration_since(self.made))
    }

    /// The same for a call that is made now, having waited for a connection.
    pub(crate) fn having_waited(&self) -> Self {
        Self { made: Instant::now(), ..self.clone() }
    }

    /// The same for a stream that is to go on elsewhere: there is as much time to connect as there was at first.
    pub(crate) fn again(&self) -> Self {
        let made = Instant::now();
        let connect_by = self.connect_by.saturating_duration_since(self.made);
        Self { made, connect_by: self.call.unwrap_or_else(|| after(made, connect_by)), ..self.clone() }
    }

    /// When the call must have been sent.
    pub(crate) fn open_by(&self) -> Instant {
        self.connect_by
    }
}
