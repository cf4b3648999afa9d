//! The trait that all calls are made through.

use super::{Reply, Request};
use crate::Status;

/// Makes calls. Implemented by a [`Channel`](crate::Channel), a pool of workers, and the peer of a
/// connection.
///
/// Generated clients are generic over this trait, and everything that wraps calls composes on it.
///
/// ```
/// use rpcnet::{Caller, HealthClient};
///
/// // Takes a channel, a balanced channel, or the peer of a connection.
/// async fn is_ready(caller: impl Caller) -> bool {
///     HealthClient::new(caller).ready().await.is_ok_and(|readiness| readiness.ready)
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = rpcnet::testing::Network::new();
/// # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
/// # let server = rpcnet::Server::new(config)?;
/// # let address = server.local_addr();
/// # let running = server.clone();
/// # tokio::spawn(async move { running.run().await });
///
/// # let channel = rpcnet::Channel::builder().with_network(&network).connect(address.to_string()).await?;
/// # assert!(is_ready(channel).await);
/// # Ok(())
/// # }
/// ```
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
