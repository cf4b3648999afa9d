//! The trait that all calls are made through.

use super::{Reply, Request};
use crate::Status;

/// Makes calls. Implemented by a [`Channel`](crate::Channel), a pool of workers, and the peer of a
/// connection.
///
/// Generated clients are generic over this trait, and everything that wraps calls composes on it.
pub trait Caller: Clone + Send + Sync + 'static {
    /// A call in flight. Dropping it cancels the call, on the server too. It is `Unpin`, as a boxed future
    /// is.
    type Future: Future<Output = Result<Reply, Status>> + Send + Unpin + 'static;

    /// Prepares a call. Nothing is sent until the future is polled.
    ///
    /// # Errors
    ///
    /// The future returns the [`Status`] that the call ended in. An error that the method declares is not a
    /// status: see [`Reply::code`].
    fn call(&self, request: Request) -> Self::Future;
}
