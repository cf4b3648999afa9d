//! Relays: servers that forward calls, undecoded, to a server that this process knows.
//!
//! A [`Server`](crate::Server) with a [`Forward`] listens for another protocol (ALPN `rpcnet-relay/1`). Its
//! frames are those of calls, but every call is forwarded. The relay's own services cannot be reached there,
//! except `rpcnet.Health`, which reports on the relay itself. Clients use
//! [`ChannelBuilder::with_relay`](crate::ChannelBuilder::with_relay).
//!
//! A relay passes on, unchanged:
//!
//! - in the request: method, fingerprint, arguments, metadata, trace, and the time that is left of its
//!   deadline;
//! - in the reply: value or error, status, metadata and trailers.
//!
//! A relay does not know the methods. So the client sends the options that matter for routing and retries
//! with each call.

use std::sync::Arc;

use crate::{ReplyFuture, Request};

/// The target of forwarded calls.
///
/// Implemented by [`BalancedChannel`](crate::BalancedChannel): it forwards to its endpoints, with the same retries as for calls of
/// its own process.
///
/// ```
/// use rpcnet::{BalancedChannel, BalancedConfig, Channel, discover::Endpoint};
/// # use rpcnet::{Server, ServerConfig, testing::Network};
/// # use tokio::sync::watch;
///
/// # #[rpcnet::rpc_trait]
/// # trait Greeter {
/// #     async fn greet(&self, name: String) -> rpcnet::Result<String>;
/// # }
/// # struct English;
/// # #[rpcnet::rpc_impl]
/// # impl Greeter for English {
/// #     async fn greet(&self, name: String) -> rpcnet::Result<String> {
/// #         Ok(format!("hello, {name}"))
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = rpcnet::testing::Network::new();
/// # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
/// # let server = rpcnet::Server::new(config)?;
/// # let address = server.local_addr();
/// # server.register(GreeterServer::new(English))?;
/// # let running = server.clone();
/// # tokio::spawn(async move { running.run().await });
/// # let relay = Server::new(ServerConfig::builder().with_network(&network).build()?)?;
/// # let (_workers, workers) = watch::channel([Endpoint::new("worker-1", address)].into());
/// # let own = || Channel::builder().with_network(&network);
/// // The relay does not know the service. It needs a channel to servers that do.
/// let workers = BalancedChannel::new(own(), workers, BalancedConfig::default())?;
/// relay.forward(workers)?;
/// # let address = relay.local_addr().to_string();
/// # tokio::spawn(async move { relay.run().await });
///
/// let channel = own().with_relay().connect(address).await?;
/// assert_eq!(GreeterClient::new(channel).greet("Ada".into()).await?, "hello, Ada");
/// # Ok(())
/// # }
/// ```
pub trait Forward: Send + Sync + 'static {
    /// Returns true if peers may connect. Asked for each new connection; open connections are not affected.
    fn is_open(&self) -> bool {
        true
    }

    /// Forwards a call. Dropping the future cancels the call. The future runs within the call's deadline, and
    /// calls made in it inherit that deadline.
    ///
    /// # Errors
    ///
    /// The status that the call is answered with.
    fn forward(&self, call: Request) -> ReplyFuture;
}

impl<T: Forward + ?Sized> Forward for Arc<T> {
    fn is_open(&self) -> bool {
        (**self).is_open()
    }

    fn forward(&self, call: Request) -> ReplyFuture {
        (**self).forward(call)
    }
}
