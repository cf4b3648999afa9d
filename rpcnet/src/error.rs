//! The error types of the public API: one narrow enum for each operation.
//!
//! `Display` gives the whole message on one line, including the text of the immediate cause. `source` continues behind
//! that cause, so that a printed chain (`{:#}` of anyhow) repeats nothing. The causes themselves are fields of the
//! variants.
//!
//! A [`Status`] is the exception: its message is the one that a peer would get, and `source` is this side's own error,
//! for downcasts.

mod config;
#[cfg(feature = "anyhow")]
mod from_anyhow;

use std::{convert::Infallible, error::Error};

pub use self::config::ConfigError;
use crate::{Code, Status};

pub(crate) const NO_RUNTIME: &str =
    "there is no tokio runtime here: call it within #[tokio::main], or after Runtime::enter";

/// The error of a call: either the error that its method declares, or a [`Status`].
///
/// ```
/// use rpcnet::{CallError, rpc_impl, rpc_trait};
///
/// #[rpc_trait]
/// trait Account {
///     /// The error is the amount that is missing.
///     async fn withdraw(&self, amount: u64) -> Result<u64, u64>;
/// }
/// # struct Ten;
/// # #[rpc_impl]
/// # impl Account for Ten {
/// #     async fn withdraw(&self, amount: u64) -> Result<u64, u64> {
/// #         10_u64.checked_sub(amount).ok_or_else(|| amount - 10)
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = rpcnet::testing::Network::new();
/// # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
/// # let server = rpcnet::Server::new(config)?;
/// # let address = server.local_addr();
/// # server.register(AccountServer::new(Ten))?;
/// # let running = server.clone();
/// # tokio::spawn(async move { running.run().await });
/// # let channel = rpcnet::Channel::builder().with_network(&network).connect(address.to_string()).await?;
/// # let account = AccountClient::new(channel);
/// match account.withdraw(12).await {
///     Ok(left) => println!("{left} left"),
///     Err(CallError::Application(missing)) => assert_eq!(missing, 2),
///     Err(error) if !error.maybe_executed() => println!("try again: {error}"),
///     Err(error) => println!("the amount may have been withdrawn: {error}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError<E = Infallible> {
    /// The handler ran and returned this error.
    #[error("application error: {0}")]
    Application(E),
    /// The call failed before the handler's reply arrived, or the handler returned a status.
    #[error(transparent)]
    Status(#[from] Status),
}

impl<E> CallError<E> {
    /// Returns the code; [`Code::Unknown`] for an application error.
    pub fn code(&self) -> Code {
        match self {
            Self::Application(_) => Code::Unknown,
            Self::Status(status) => status.code(),
        }
    }

    /// Returns the status; `None` for an application error.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Application(_) => None,
            Self::Status(status) => Some(status),
        }
    }

    /// Returns true if the handler may have run. Repeating the call could then do its work twice.
    pub fn maybe_executed(&self) -> bool {
        match self {
            Self::Application(_) => true,
            Self::Status(status) => status.maybe_executed(),
        }
    }
}

impl From<CallError<Infallible>> for Status {
    fn from(error: CallError<Infallible>) -> Self {
        match error {
            CallError::Application(never) => match never {},
            CallError::Status(status) => status,
        }
    }
}

/// The reason why a service could not be registered. Nothing was registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A service of this name is registered already.
    #[error("the service {0:?} is registered already: register it once, or give one of the two another name")]
    Service(&'static str),
    /// Two methods have the same id, as their 64-bit hashes collide. Rename one of them.
    #[error("{0} and {1} have the same method id: rename one of them")]
    Collision(String, String),
    /// A type of a method can't be carried: it can be read only from self-describing formats, such as JSON. Examples
    /// are untagged and internally tagged enums, `#[serde(flatten)]`, and `serde_json::Value`.
    #[error(
        "{method} can't be served: {part} is a {ty}, in which {} can be read from formats such as JSON alone (an untagged or \
         internally tagged enum, #[serde(flatten)], serde_json::Value): use a plain struct or enum there, or a String of JSON",
        if path.is_empty() { "all" } else { path }
    )]
    Type {
        /// The method, as `service/method`.
        method: String,
        /// The part of the method, such as `argument 1` or `the result`.
        part: String,
        /// The name of that part's type.
        ty: &'static str,
        /// The place in that type, such as `Order.lines[].price`; empty for the type itself.
        path: String,
    },
}

/// Formats an error and its sources on one line. Sources whose text already occurs are skipped.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let message = source.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        next = source.source();
    }
    text
}
