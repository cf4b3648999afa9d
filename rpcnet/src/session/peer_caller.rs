//! Calls in the other direction: to the peer whose call a handler answers.

use std::sync::Arc;

use super::{AtWork, Session, Times};
use crate::{Caller, Request, context::Scope, message::ReplyFuture};

/// Makes calls to the peer of a connection that the peer opened. See [`Context::caller`](crate::Context::caller).
///
/// A stream ends with the connection, also that of a `resumable` method: there is nowhere else to go.
#[derive(Debug, Clone)]
pub struct PeerCaller {
    session: Session,
    /// A connection on which the peer may be called back is not idle.
    _at_work: Arc<AtWork>,
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
            let times = Times::of(&request, session.limits());
            session.call(&request, &times).await
        })))
    }
}

/// A call that is made inside a handler belongs to the handler's trace, unless it was put into another.
pub(crate) fn inherit_trace(request: &mut Request) {
    if request.trace.is_none() {
        request.trace = Scope::inherited().trace;
    }
}
