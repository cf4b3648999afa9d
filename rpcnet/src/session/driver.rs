//! The driver of a session: its tasks, until the connection ends.

use super::{Session, control, inbound, liveness};
use crate::{
    proto::{self, close},
    transport::ConnectionError,
};

/// The half of a session that runs it.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(super) session: Session,
}

impl Driver {
    /// Runs the session until the connection ends; says why it did.
    ///
    /// Dropping it cancels all handlers that the peer has started here.
    pub(crate) async fn drive(self) -> ConnectionError {
        let session = &self.session;
        // Each of these ends when the connection ends.
        let error = tokio::select! {
            error = inbound::accept(session) => error,
            error = control::write(session) => error,
            error = control::read(session) => error,
            error = liveness::watch(session) => error,
        };
        // Several of these end at once; the connection knows the cause best, unless it was closed for its silence.
        let error = session.connection().close_reason().unwrap_or(error);
        let error = session.cause(error);
        session.update(|state| {
            if let ConnectionError::Closed { code: close::NOT_USED, .. } = &error {
                state.draining = true;
                state.rests = true;
            }
            state.closed.get_or_insert_with(|| error.clone());
        });
        error
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.session.update(|state| {
            state.closed.get_or_insert(ConnectionError::LocallyClosed);
        });
        if let Some(lane) = self.session.inner.lane.get() {
            lane.close();
        }
        // Streams that are read or written elsewhere end too. Nothing where the connection has ended.
        self.session.connection().close(proto::close::SHUTDOWN, "");
    }
}
