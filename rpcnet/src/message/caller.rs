//! The one trait by which calls are made.

use super::{Reply, Request};
use crate::Status;

/// Makes calls: a [`Channel`](crate::Channel), a pool of workers, the peer of a connection.
///
/// Generated clients are generic over it, and everything that wraps calls composes on it.
pub trait Caller: Clone + Send + Sync + 'static {
    /// A call at work. Dropping it cancels the call, at the server too. `Unpin`, as one that is boxed is.
    type Future: Future<Output = Result<Reply, Status>> + Send + Unpin + 'static;

    /// Prepares a call; nothing is sent until the future is polled.
    ///
    /// # Errors
    ///
    /// The future gives the [`Status`] that the call ended in. An error that the method declares is no status: see
    /// [`Reply::code`].
    fn call(&self, request: Request) -> Self::Future;
}
