//! A server that hands calls on.

use std::{fmt, sync::Arc};

use super::Server;
use crate::{
    ServerError, proto,
    relay::Forward,
    session::{Entry, forwarding_entry},
};

/// Who forwards calls, and what stands in the place of methods for that.
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
    /// Forwards the calls of peers that ask for it: takes connections of a further protocol, whose calls are not served
    /// here. See [`relay`](crate::relay). Interceptors of this server stand around them too; they see the method
    /// `rpcnet.RelayEntry/call` in place of the one that is called, and the peer that calls, whom the server behind does not
    /// see. [`Admission`](crate::Admission) does not count them.
    ///
    /// # Errors
    ///
    /// [`ServerError::Protocol`] where calls are forwarded already.
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
