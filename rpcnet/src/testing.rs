//! Tests of services without sockets, certificates and waiting.
//!
//! A [`Network`] lives within the process. Servers and channels that are given it
//! ([`with_network`](crate::ServerConfigBuilder::with_network)) are all there is on it, and everything above the
//! transport is what it is over QUIC: deadlines, retries, balancing, draining. What the network does is up to the test:
//! latency, loss, cuts in one direction or both, partitions, frozen hosts, connections that are reset.
//!
//! Under tokio's paused clock (`#[tokio::test(start_paused = true)]`) time goes on as soon as nobody has anything to do,
//! so a test of a cut of a minute takes milliseconds:
//!
//! ```
//! use std::time::Duration;
//!
//! use rpcnet::{Channel, Code, Server, ServerConfig, rpc_impl, rpc_trait, testing::Network};
//!
//! #[rpc_trait]
//! trait Counter {
//!     async fn add(&self, amount: u64) -> rpcnet::Result<u64>;
//! }
//!
//! struct Shared(std::sync::atomic::AtomicU64);
//!
//! #[rpc_impl]
//! impl Counter for Shared {
//!     async fn add(&self, amount: u64) -> rpcnet::Result<u64> {
//!         Ok(self.0.fetch_add(amount, std::sync::atomic::Ordering::Relaxed) + amount)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = Network::with_seed(7);
//! network.set_latency(Duration::from_millis(10)..Duration::from_millis(30));
//! network.set_loss(0.01);
//!
//! let address = "10.0.0.1:8081".parse()?;
//! let server = Server::new(ServerConfig::builder().with_network(&network).with_bind_addr(address).build()?)?;
//! server.register(CounterServer::new(Shared(0.into())))?;
//! tokio::spawn(async move { server.run().await });
//!
//! // On a host of its own, so that one can say between whom a cut is.
//! let here: std::net::IpAddr = "10.0.0.2".parse()?;
//! let channel = Channel::builder().with_network(&network.host(here)).connect("10.0.0.1:8081").await?;
//! let client = CounterClient::new(channel);
//! assert_eq!(client.add(1).await?, 1);
//!
//! network.between(here, address).cut();
//! let started = tokio::time::Instant::now();
//! let error = client.add(1).await.expect_err("nothing gets through");
//! assert_eq!(error.code(), Code::Unavailable);
//! // It may have arrived before the cut, for all that this side knows.
//! assert!(error.maybe_executed());
//! assert!(started.elapsed() < Duration::from_secs(4));
//!
//! network.heal_all();
//! while client.add(0).await.is_err() {
//!     tokio::time::sleep(Duration::from_millis(100)).await;
//! }
//! assert_eq!(client.add(0).await?, 1);
//!
//! drop(client);
//! while network.connections() > 0 {
//!     tokio::time::sleep(Duration::from_millis(100)).await;
//! }
//! assert_eq!(network.open_streams(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! What differs from QUIC: nobody is authenticated ([`PeerIdentity`](crate::PeerIdentity) is empty), there is no
//! congestion control and no bandwidth, packets take up to 16 KiB, and priorities of streams are not heeded.

pub use crate::transport::memory::{Between, Network, Place, Traffic};
