//! Closing channels and connectors: sessions end, their peers are told, and nothing is dialled any more.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{Status, lock::Mutex, proto::close, session::Session};

/// The longest time for which closing waits until the transport has sent its last packets.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// The status of a call on a channel that has been closed.
pub(crate) fn channel_closed() -> Status {
    Status::unavailable("the channel has been closed: connect another one to make calls").not_executed()
}

/// The open sessions of a channel, or of all channels of a connector. Remembers whether they have been
/// closed. Cheap to clone.
///
/// Scopes nest: the scope of a channel is a child of its connector's, and closing a scope closes its
/// children.
#[derive(Debug, Clone, Default)]
pub(crate) struct Closing(Arc<ClosingScope>);

#[derive(Debug, Default)]
struct ClosingScope {
    above: Option<Closing>,
    /// Cancelled when the scope is closed. The tokens of child scopes are its children.
    token: CancellationToken,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    is_closed: bool,
    next: u64,
    sessions: HashMap<u64, Session>,
}

impl Closing {
    /// Returns a child scope, which closes when this one does, if not before.
    pub(crate) fn below(&self) -> Self {
        let token = self.0.token.child_token();
        let open = Mutex::new(Open { is_closed: token.is_cancelled(), ..Open::default() });
        Self(Arc::new(ClosingScope { above: Some(self.clone()), token, open }))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.token.is_cancelled()
    }

    /// Resolves once the scope is closed. Cancel-safe.
    pub(crate) async fn closed(&self) {
        self.0.token.cancelled().await;
    }

    /// Adds a session to this scope and its parents until the guard is dropped. Returns `None` if one of them
    /// is closed.
    pub(crate) fn opened(&self, session: &Session) -> Option<Opened> {
        let mut opened = Opened(Vec::new());
        let mut next = Some(self);
        while let Some(closing) = next {
            let mut open = closing.open();
            if open.is_closed {
                return None;
            }
            let id = open.next;
            open.next += 1;
            open.sessions.insert(id, session.clone());
            drop(open);
            opened.0.push((closing.clone(), id));
            next = closing.0.above.as_ref();
        }
        Some(opened)
    }

    /// Closes the scope: its sessions take no more calls. Returns the sessions, for [`wait_close_sent`].
    pub(crate) fn close(&self) -> Vec<Session> {
        let sessions: Vec<_> = {
            let mut open = self.open();
            open.is_closed = true;
            open.sessions.values().cloned().collect()
        };
        // The tasks that drive the sessions are cancelled only after this: if a task dropped its connection
        // first, the connection would be closed without a reason.
        for session in &sessions {
            session.end(close::SHUTDOWN, "the client has closed its channel");
        }
        self.0.token.cancel();
        sessions
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock()
    }
}

/// Waits until the transport has sent the close of each session to its peer, once. Bounded by [`FAREWELL`].
/// Cancel-safe.
pub(crate) async fn wait_close_sent(sessions: Vec<Session>) {
    let told = async {
        for session in &sessions {
            session.connection().close_sent().await;
        }
    };
    let _ = timeout(FAREWELL, told).await;
}

/// Keeps a session in its scopes while it is open.
#[derive(Debug)]
pub(crate) struct Opened(Vec<(Closing, u64)>);

impl Drop for Opened {
    fn drop(&mut self) {
        for (closing, id) in &self.0 {
            let session = closing.open().sessions.remove(id);
            drop(session);
        }
    }
}
