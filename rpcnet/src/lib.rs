//! Typed calls over QUIC, encrypted and mutually authenticated.
//!
//! A service is a trait with [`#[rpc_trait]`](rpc_trait) on it. The macro generates a client and a server
//! from it. Register the server with a [`Server`], and create the client on a [`Channel`].
//!
//! ```
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
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ca = rpcnet::dev::DevCa::generate()?;
//! # let own = ca.issue("node")?;
//! # let (ca, cert, key) = (ca.ca_pem(), &own.cert, &own.key);
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
//! # Map of the types
//!
//! To serve calls:
//!
//! - [`Server`] listens, serves and shuts down. [`ServerConfig`] configures it.
//! - [`Service`] is implemented by the server that `#[rpc_trait]` generates; [`Server::register`] takes it.
//! - [`Context`] gives a handler its call's deadline, [`Trace`], [`Metadata`] and peer ([`PeerIdentity`]). A
//!   handler can send metadata back through it.
//! - [`Admission`] bounds the calls that a server runs at once. [`Limits`] bound what a peer may send.
//! - [`Readiness`] and [`Health`] report whether a server should get calls. [`Metrics`] are its Prometheus
//!   metrics.
//!
//! To make calls:
//!
//! - [`Channel`] calls one server. [`BalancedChannel`] calls a changing set of servers: [`discover`] describes
//!   the set, [`balance`] picks from it.
//! - [`Connector`] is a socket that several channels share.
//! - [`Call`] is returned by a client's methods: set options on it, then await it.
//! - [`CallError`] is the error of a call: the method's own error, or a [`Status`] with a [`Code`].
//!
//! On both sides:
//!
//! - [`Streaming`] and [`StreamSender`] are streams of items, as arguments and as results.
//! - [`interceptor`] describes code that runs around calls.
//! - [`relay`] describes servers that forward calls without decoding them.
//! - [`transport`] has connections and streams, for protocols other than calls.
//! - `rpcnet::testing` (feature `testing`) has an in-process network for tests, with virtual time, latency, loss
//!   and cuts.
//!
//! Client and server are built from the same trait. If their versions of a method differ, down to the fields of a
//! type, the server refuses the call instead of misreading it: see [`Method::fingerprint`].
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `ring` (default) | the TLS provider `ring`, which needs only a C compiler |
//! | `aws-lc-rs` | the TLS provider `aws-lc-rs`, with the post-quantum key exchange X25519MLKEM768; wins over `ring` |
//! | `dev-certs` | `rpcnet::dev`: a certificate authority for development and tests |
//! | `admin` | `rpcnet::admin`: `/metrics`, `/healthz` and `/readyz` over HTTP |
//! | `anyhow` | `From<anyhow::Error>` for [`Status`], so that `?` works in handlers |
//! | `reflect` | `rpcnet::reflect`: a service that describes the server's services and takes calls in JSON |
//! | `testing` | `rpcnet::testing`: an in-process network, on which services are tested without sockets |
//! | `tower` | `rpcnet::tower`: tower layers as interceptors, callers as tower services and back |
//!
//! One of the two TLS providers is required.
//!
//! # More
//!
//! The guide is the book in `book/src` of the repository. Its `ARCHITECTURE.md` describes layers and invariants.

#![cfg_attr(docsrs, feature(doc_cfg))]

// The macros generate paths that begin with `::rpcnet`, also for the services in this crate.
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
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
#[cfg(feature = "tower")]
pub mod tower;
mod trace;
pub mod transport;

pub use client::{
    BalancedCall, BalancedChannel, BalancedConfig, Call, CallResponse, Channel, ChannelBuilder, ChannelCall,
    Connector, EndpointCaller, EndpointReply, EndpointStats, QuorumError, Replies, Response,
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
pub use tls::{PeerIdentity, PemError, SpiffeId, SpiffeIdError};
pub use trace::{Trace, TraceError};

/// The result of a handler whose error is a plain [`Status`].
///
/// A client of such a method gets `Result<T, CallError<Infallible>>`: its only errors are statuses.
pub type Result<T, E = Status> = std::result::Result<T, E>;

/// Items for code that the macros generate. Not part of the public API: they may change in any release.
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

/// Items that `rpcnet-cluster` shares with this crate: the codec, so that gossip and files have the encoding
/// of calls, the token bucket, and the lock. Not part of the public API: they may change in any release.
#[doc(hidden)]
pub mod __cluster {
    pub use crate::{
        codec::{CodecError, decode, encode},
        limit::TokenBucket,
        lock::Mutex,
    };
}

/// Items for fuzz targets. Not part of the public API: they may change in any release.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod __fuzz {
    pub use crate::fuzz::{
        certificate, control, item_frames, lane_frames, metadata, reply_header, request_header, seeds,
        status, typed_decode,
    };
    pub use crate::transport::dies_silently;
}

/// Internals for benches. Not part of the public API: they may change in any release.
#[cfg(feature = "measuring")]
#[doc(hidden)]
pub mod __measured {
    pub use crate::measured::{Piece, bare_endpoint, bare_transport, pieces};
}

/// Compiles and runs the programs in the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
