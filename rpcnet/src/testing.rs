//! Tests of services without sockets, certificates and waiting.
//!
//! A [`Network`] lives within the process and connects only the servers and channels that are given it
//! ([`with_network`](crate::ServerConfigBuilder::with_network)). All layers above the transport work as over QUIC:
//! deadlines, retries, balancing, draining. The test controls the network: latency, loss, cuts in one direction or
//! both, partitions, frozen hosts, and connection resets.
//!
//! Under tokio's paused clock (`#[tokio::test(start_paused = true)]`), time advances as soon as all tasks are idle, so
//! a test with a cut of a minute takes milliseconds:
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
//! // The channel has its own host, so that a cut can name it.
//! let here: std::net::IpAddr = "10.0.0.2".parse()?;
//! let channel = Channel::builder().with_network(&network.host(here)).connect("10.0.0.1:8081").await?;
//! let client = CounterClient::new(channel);
//! assert_eq!(client.add(1).await?, 1);
//!
//! network.between(here, address).cut();
//! let started = tokio::time::Instant::now();
//! let error = client.add(1).await.expect_err("nothing gets through");
//! assert_eq!(error.code(), Code::Unavailable);
//! // The client can't know whether the call arrived before the cut.
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
//! Differences to QUIC:
//!
//! - Peers are not authenticated ([`PeerIdentity`](crate::PeerIdentity) is empty).
//! - There is no congestion control, and bandwidth is unlimited.
//! - Packets hold up to 16 KiB.
//! - Priorities of streams have no effect.

pub use crate::transport::memory::{Between, Network, Place, Traffic};
