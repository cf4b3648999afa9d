//! Calls back to the peer whose call a handler answers.

use std::sync::Arc;

use super::{Deadlines, PeerCallGuard, Session};
use crate::{Caller, Request, context::Scope, message::ReplyFuture};

/// Makes calls to the peer of a connection that the peer opened. See
/// [`Context::caller`](crate::Context::caller).
///
/// A stream ends with the connection, even a stream of a `resumable` method: no other connection leads to the
/// peer.
#[derive(Debug, Clone)]
pub struct PeerCaller {
    session: Session,
    /// Marks the connection as in use: one on which the peer may be called back is not idle.
    _at_work: Arc<PeerCallGuard>,
}

impl PeerCaller {
    pub(crate) fn new(session: Session) -> Self {
        Self { _at_work: Arc::new(session.at_work()), session }
    }
}

impl Caller for PeerCaller {
    type Future = ReplyFuture;

    fn call(&self, mut request: Request) -> ReplyFuture {
        let session = self.session.clone();
        let runtime = session.runtime().clone();
        Box::pin(runtime.within(Box::pin(async move {
            inherit_trace(&mut request);
            let times = Deadlines::of(&request, session.limits());
            session.call(&request, &times).await
        })))
    }
}

/// Puts a call that is made inside a handler into the handler's trace, unless the call has a trace already.
pub(crate) fn inherit_trace(request: &mut Request) {
    if request.trace.is_none() {
        request.trace = Scope::inherited().trace;
    }
}
