//! A server that forwards calls.

use std::{fmt, sync::Arc};

use super::Server;
use crate::{
    ServerError, proto,
    relay::Forward,
    session::{Entry, forwarding_entry},
};

/// The target of forwarded calls, and the entry that stands in for their methods.
pub(super) struct RelayEntry {
    pub(super) forward: Arc<dyn Forward>,
    pub(super) entry: Entry,
}

impl fmt::Debug for RelayEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayEntry")
    }
}

impl Server {
    /// Forwards the calls of peers that ask for it: accepts connections of another protocol, whose calls are
    /// not served here. See [`relay`](crate::relay).
    ///
    /// Interceptors of this server wrap these calls too. They see the method `rpcnet.RelayEntry/call` instead
    /// of the one that is called, and the peer that calls, which the server behind the relay does not see.
    /// [`Admission`](crate::Admission) does not count forwarded calls.
    ///
    /// # Errors
    ///
    /// [`ServerError::Protocol`] if calls are forwarded already.
    pub fn forward(&self, forward: impl Forward) -> Result<(), ServerError> {
        let forward: Arc<dyn Forward> = Arc::new(forward);
        let entry = forwarding_entry(forward.clone(), self.metrics());
        let protocols = self.protocols();
        self.inner
            .relay
            .set(RelayEntry { forward, entry })
            .map_err(|_| ServerError::Protocol(String::from_utf8_lossy(proto::RELAY_ALPN).into_owned()))?;
        self.listen(&protocols)
    }
}
