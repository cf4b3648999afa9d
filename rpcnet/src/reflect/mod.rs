//! Descriptions of a server's services, and calls whose arguments and answers are JSON, for tools that were not built
//! with the traits.
//!
//! Off until a server registers it:
//!
//! ```
//! # fn example(server: &rpcnet::Server) -> Result<(), rpcnet::RegisterError> {
//! server.register(rpcnet::reflect::service())?;
//! # Ok(())
//! # }
//! ```
//!
//! Then whoever may call the server can ask and call:
//!
//! ```
//! use rpcnet::reflect::ReflectionClient;
//!
//! # #[rpcnet::rpc_trait(name = "text.v1.WordCount")]
//! # trait WordCount {
//! #     async fn count(&self, text: String) -> rpcnet::Result<usize>;
//! # }
//! # struct Words;
//! # #[rpcnet::rpc_impl]
//! # impl WordCount for Words {
//! #     async fn count(&self, text: String) -> rpcnet::Result<usize> {
//! #         Ok(text.split_whitespace().count())
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let network = rpcnet::testing::Network::new();
//! # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
//! # let server = rpcnet::Server::new(config)?;
//! # let address = server.local_addr();
//! # server.register(WordCountServer::new(Words))?;
//! # server.register(rpcnet::reflect::service())?;
//! # let running = server.clone();
//! # tokio::spawn(async move { running.run().await });
//! # let channel = rpcnet::Channel::builder().with_network(&network).connect(address.to_string()).await?;
//! let reflection = ReflectionClient::new(channel);
//! for service in reflection.services().await? {
//!     for method in service.methods {
//!         println!("{}/{}({}) -> {}", service.name, method.name, method.arguments.join(", "), method.result);
//!     }
//! }
//! let mut answers = reflection.call("text.v1.WordCount/count".into(), r#"["to be or not"]"#.into()).await?;
//! while let Some(answer) = answers.next().await {
//!     println!("{}", answer?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! JSON is read into the method's own types and encoded, and the bytes take the way of a call that has arrived: its
//! turn, its deadline, the interceptors and the metrics are those of the method that is called, its caller and the
//! metadata those of the call of reflection. So nobody may do more by this way than by the other. The answer is decoded
//! and written as JSON by the same types.
//!
//! What JSON says of a value is what serde's `Serialize` and `Deserialize` make of it: fields by their names, an enum's
//! variant as `"Name"` or `{"Name": ..}`, bytes as an array of numbers. What has no JSON (a map whose keys are structs)
//! is refused with `InvalidArgument`, or `Internal` for an answer; a number that is infinite or none is `null`.
//!
//! A text is at most as long as the server's own limit of a message, and has at most 65 536 values that are no numbers,
//! 128 levels deep.

mod answers;
mod call;
mod described;
mod questions;

use std::fmt;

use serde::{Deserialize, Serialize};

use self::call::Reflecting;
pub use self::described::{MethodInfo, ServiceInfo};
use crate::{CallError, Context, Result, Service, Streaming, rpc_trait};

/// Tells of a server's services, and calls them with JSON.
#[rpc_trait(name = "rpcnet.Reflection")]
pub trait Reflection {
    /// All services, this one among them, sorted by their names.
    #[rpc(idempotent, timeout = "5s")]
    async fn services(&self, cx: &Context) -> Result<Vec<ServiceInfo>>;

    /// Calls `service/method` with an array of its arguments; each item is one value that it answers with: exactly one
    /// unless it answers with a stream.
    ///
    /// The error that the method declares, and that of its stream, ends the items. Any other is a status. Metadata
    /// and trailers are those of the method.
    async fn call(
        &self,
        cx: &Context,
        method: String,
        arguments: String,
    ) -> Result<Streaming<String, CallError<ApplicationError>>>;

    /// Calls a method whose last argument is a stream. The stream is no part of the array: each of `items` is one of
    /// its items.
    async fn call_items(
        &self,
        cx: &Context,
        method: String,
        arguments: String,
        items: Streaming<String>,
    ) -> Result<Streaming<String, CallError<ApplicationError>>>;
}

/// The error that a method declares, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationError {
    /// The JSON.
    pub json: String,
}

impl fmt::Display for ApplicationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.json)
    }
}

impl std::error::Error for ApplicationError {}

/// The service `rpcnet.Reflection`, to be registered with a [`Server`](crate::Server), or with the channel whose peer
/// calls back ([`ChannelBuilder::with_service`](crate::ChannelBuilder::with_service)). It tells of what is registered
/// there whenever it is asked.
pub fn service() -> impl Service {
    ReflectionServer::new(Reflecting::default())
}
