//! Typed calls over QUIC, encrypted and mutually authenticated.
//!
//! A service is a trait with [`#[rpc_trait]`](rpc_trait) on it. The macro makes a client and a server of it; the
//! server is registered with a [`Server`], the client is put on a [`Channel`].
//!
//! ```no_run
//! use rpcnet::{Channel, Server, ServerConfig, rpc_impl, rpc_trait};
//!
//! #[rpc_trait(name = "greet.v1.Greeter")]
//! pub trait Greeter {
//!     #[rpc(idempotent, timeout = "2s")]
//!     async fn greet(&self, name: String) -> rpcnet::Result<String>;
//! }
//!
//! struct English;
//!
//! #[rpc_impl]
//! impl Greeter for English {
//!     async fn greet(&self, name: String) -> rpcnet::Result<String> {
//!         Ok(format!("hello, {name}"))
//!     }
//! }
//!
//! # async fn example(ca: &[u8], cert: &[u8], key: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::new(
//!     ServerConfig::builder()
//!         .with_bind_addr("127.0.0.1:0".parse()?)
//!         .with_cert_and_key(cert, key)?
//!         .with_ca_cert(ca)?
//!         .build()?,
//! )?;
//! server.register(GreeterServer::new(English))?;
//! let address = server.local_addr();
//! tokio::spawn(async move { server.run().await });
//!
//! let channel = Channel::builder()
//!     .with_ca_cert(ca)?
//!     .with_cert_and_key(cert, key)?
//!     .connect(address.to_string())
//!     .await?;
//! let greeting = GreeterClient::new(channel).greet("Ada".into()).await?;
//! assert_eq!(greeting, "hello, Ada");
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! - A method's arguments and result may be streams of items: [`Streaming`], [`StreamSender`].
//! - A call fails with a [`CallError`]: the method's own error, or a [`Status`] with a [`Code`].
//! - [`Call`] is what a client's methods return: options are set on it, then it is awaited.
//! - [`Context`] is what a handler knows of its call, and may send back beside the result: [`Metadata`], deadline,
//!   [`Trace`], the peer's [`PeerIdentity`].
//! - [`interceptor`] is code around calls, on either side; `rpcnet::tower`, with the feature `tower`, makes one of a layer.
//! - [`Channel`] calls one server, [`BalancedChannel`] a changing set ([`discover`], [`balance`]).
//! - [`relay`] is a server that hands calls on without decoding them.
//! - [`Limits`] are what a connection's peer may do, [`Admission`] how many calls a server runs at once.
//! - [`testing`] is a network in memory, under virtual time, with latency, loss and cuts.
//! - [`transport`] has connections and streams, for protocols beside calls.
//!
//! Client and server are built from the same trait. What differs, down to the fields of a type, is refused, not read
//! wrongly: see [`Method::fingerprint`].
//!
//! The guide is the book in `book/src`. Layers, invariants and where to find what: ARCHITECTURE.md at the root of the repository.

// The macros write `::rpcnet`, also for the services in here.
extern crate self as rpcnet;

#[cfg(feature = "admin")]
pub mod admin;
pub mod balance;
mod client;
mod codec;
mod config;
mod connect;
mod context;
#[cfg(feature = "dev-certs")]
pub mod dev;
pub mod discover;
mod error;
#[cfg(feature = "fuzzing")]
mod fuzz;
mod hash;
mod health;
mod ids;
pub mod interceptor;
mod limit;
mod lock;
#[cfg(feature = "measuring")]
mod measured;
mod message;
mod metadata;
mod method;
mod metrics;
mod proto;
#[cfg(feature = "reflect")]
pub mod reflect;
pub mod relay;
pub mod resolve;
mod retry;
mod runtime;
mod server;
mod service;
mod session;
mod status;
mod streaming;
pub mod testing;
mod tls;
#[cfg(feature = "tower")]
pub mod tower;
mod trace;
pub mod transport;

pub use client::{
    BalancedCall, BalancedChannel, BalancedConfig, Call, CallResponse, Channel, ChannelBuilder, ChannelCall,
    Connector, EndpointCaller, EndpointStats, FromEndpoint, QuorumError, Replies, Response,
};
pub use config::Limits;
pub use connect::ConnectError;
pub use context::Context;
pub use error::{CallError, ConfigError, RegisterError};
pub use health::{Health, HealthClient, HealthServer, HealthState, Readiness};
pub use interceptor::{Interceptor, Next};
pub use limit::Admission;
pub use message::{Caller, Items, Reply, ReplyFuture, Request};
pub use metadata::{Metadata, MetadataError};
pub use method::{Method, ServiceDescriptor};
pub use metrics::Metrics;
pub use proto::Hedge;
pub use retry::{Backoff, RetryBudget};
pub use rpcnet_macros::{rpc_impl, rpc_trait};
pub use server::{
    Hurry, NextSignal, ProtocolFuture, ProtocolHandler, ProtocolSocket, ReadinessCondition, Server,
    ServerConfig, ServerConfigBuilder, ServerError, shutdown_signal,
};
pub use service::Service;
pub use session::PeerCaller;
pub use status::{Code, Status};
pub use streaming::{ItemError, SendError, StreamSender, Streaming};
pub use tls::{PeerIdentity, PemError, SpiffeId};
pub use trace::{Trace, TraceError};

/// The result of a handler whose error is a plain [`Status`].
///
/// A client of such a method gets `Result<T, CallError<Infallible>>`: all that can go wrong is a status.
pub type Result<T, E = Status> = std::result::Result<T, E>;

/// What code generated by the macros calls. Not part of the public API: it may change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::client::{Call, Key, start_call, start_items};
    pub use crate::codec::{Arguments, Body, CodecError, decode, encode};
    pub use crate::method::Types;
    pub use crate::service::{
        HandlerError, HandlerFuture, Inbound, ItemsArgument, Message, Outcome, boxed, handle, handle_items,
        same, same_ref, streams, types, types_items,
    };
    pub use crate::streaming::FailureOf;
    pub use std::{
        fmt,
        future::Future,
        marker::{Send, Sync},
        option::Option::{self, None, Some},
        result::Result,
        sync::Arc,
        time::Duration,
    };
}

/// What `rpcnet-cluster` shares with this crate: the codec, so that gossip and files have the encoding of calls, the token
/// bucket and the lock. Not part of the public API: it may change in any release.
#[doc(hidden)]
pub mod __cluster {
    pub use crate::{
        codec::{CodecError, decode, encode},
        limit::TokenBucket,
        lock::Mutex,
    };
}

/// What fuzz targets call. Not part of the public API: it may change in any release.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod __fuzz {
    pub use crate::fuzz::{
        certificate, control, item_frames, lane_frames, metadata, reply_header, request_header, seeds,
        status, typed_decode,
    };
    pub use crate::transport::dies_silently;
}

/// What benches need of the inside. Not part of the public API: it may change in any release.
#[cfg(feature = "measuring")]
#[doc(hidden)]
pub mod __measured {
    pub use crate::measured::{Piece, bare_endpoint, bare_transport, pieces};
}

/// The programs in the README compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
