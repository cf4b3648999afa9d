//! The macros of the crate `rpcnet` in this repository, which re-exports them. Programs use the re-exports, not this crate.
//!
//! [`macro@rpc_trait`] generates a client and a server from a trait. [`macro@rpc_impl`] checks an implementation of the
//! trait.
//!
//! ```
//! use rpcnet::{rpc_impl, rpc_trait};
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
//! let server = GreeterServer::new(English);
//!
//! async fn ask(channel: rpcnet::Channel) -> Result<String, rpcnet::CallError> {
//!     GreeterClient::new(channel).greet("Ada".into()).await
//! }
//! ```
//!
//! The options of each attribute, with meaning and default:
//!
//! | attribute | options |
//! |---|---|
//! | `#[rpc_trait(..)]`, at the trait | [`name`, `crate`](macro@rpc_trait#options-of-rpc_trait) |
//! | `#[rpc(..)]`, at a method of the trait | [`name`, `idempotent`, `timeout`, `item_timeout`, `max_message`, `priority`, `key`, `hedge`, `resumable`](macro@rpc_trait#options-of-rpc-on-a-method) |
//! | `#[rpc_impl(..)]`, at the implementation | [`crate`](macro@rpc_impl#options-of-rpc_impl) |
//!
//! # Generated code
//!
//! The generated code is thin: it calls functions of rpcnet and nothing else. All its paths are absolute, so that no name
//! in the user's module can shadow them; a path given by the option `crate` is used as it is written. A mistake is reported
//! at its own tokens. The macros emit the rest of the trait beside the error, so that one mistake does not cause further
//! errors.

mod ast;
mod attr;
mod crate_path;
mod error;
mod expand;
mod id;
mod impl_block;
mod signature;
mod size;
mod stub;
mod timeout;
mod valid;

use proc_macro::TokenStream;
use quote::quote;
use syn::{Item, parse_macro_input, spanned::Spanned};

use crate::{attr::TraitOptions, error::Errors};

/// Makes a service of a trait: a client `…Client`, and a server `…Server` to register with `rpcnet::Server`.
///
/// ```
/// use rpcnet::{Context, Streaming, rpc_impl, rpc_trait};
///
/// /// Docs reach the trait and the client.
/// #[rpc_trait(name = "text.v1.WordCount")]
/// pub trait WordCount {
///     /// Counts the words of a text.
///     #[rpc(idempotent, timeout = "2s")]
///     async fn count(&self, text: String) -> rpcnet::Result<u64>;
///
///     /// The context may stand first. It is not sent.
///     async fn whoami(&self, cx: &Context) -> Result<String, String>;
///
///     /// Items come back.
///     #[rpc(item_timeout = "10s")]
///     async fn tail(&self, from: u64) -> rpcnet::Result<Streaming<String>>;
///
///     /// Items go out: the last argument.
///     #[rpc(max_message = "64KiB", priority = -10)]
///     async fn load(&self, book: u64, lines: Streaming<String>) -> rpcnet::Result<u64>;
///
///     /// Both at once.
///     async fn chat(&self, said: Streaming<String>) -> rpcnet::Result<Streaming<String>>;
/// }
///
/// struct Worker;
///
/// #[rpc_impl]
/// impl WordCount for Worker {
///     async fn count(&self, text: String) -> rpcnet::Result<u64> {
///         Ok(text.split_whitespace().count() as u64)
///     }
///
///     async fn whoami(&self, cx: &Context) -> Result<String, String> {
///         Ok(format!("{cx:?}"))
///     }
///
///     async fn tail(&self, from: u64) -> rpcnet::Result<Streaming<String>> {
///         Ok(Streaming::iter((from..).map(|number| format!("line {number}"))))
///     }
///
///     async fn load(&self, _: u64, mut lines: Streaming<String>) -> rpcnet::Result<u64> {
///         let mut words = 0;
///         while let Some(line) = lines.next().await {
///             words += line?.split_whitespace().count() as u64;
///         }
///         Ok(words)
///     }
///
///     async fn chat(&self, said: Streaming<String>) -> rpcnet::Result<Streaming<String>> {
///         Ok(said)
///     }
/// }
///
/// let server = WordCountServer::new(Worker);
///
/// async fn ask(channel: rpcnet::Channel) -> Result<u64, Box<dyn std::error::Error>> {
///     let words = WordCountClient::new(channel);
///     let mut tail = words.tail(7).await?;
///     while let Some(line) = tail.next().await {
///         println!("{}", line?);
///     }
///     words.load(1, Streaming::iter(["to be".into(), "or not".into()])).await?;
///     Ok(words.count("to be or not to be".into()).await?)
/// }
/// ```
///
/// # Generated items
///
/// * The trait. Its methods return `impl Future + Send` in place of being `async`, and it requires
///   `Send + Sync + 'static`. Implement it with `async fn`s; [`macro@rpc_impl`] checks them.
/// * `WordCountClient<C: Caller = Channel>`, with a method for each of the trait's methods. A method returns an
///   `rpcnet::Call`: a builder, and a future that is owned and `Send`.
/// * `WordCountServer<T>`, an `rpcnet::Service` for each `T: WordCount`.
///
/// # Methods
///
/// A method is `async`. Its arguments are, in this order:
///
/// 1. `&self`;
/// 2. optionally `cx: &Context`, which is not sent;
/// 3. at most sixteen owned arguments, of serde types that are `Send`;
/// 4. optionally a stream.
///
/// It returns a `Result`, or a type whose name ends in `Result`. The error is a serde type or `Status`. `#[cfg]`,
/// `#[deprecated]`, docs and default bodies are allowed. Methods have no type parameters, and arguments are neither
/// references nor patterns.
///
/// # Streams
///
/// The last argument may be a `Streaming<T>` or `Streaming<T, E>`. So may the value of the result:
/// `Result<Streaming<T>, E>`. A method may have both. The client's method takes and returns the same types. A stream
/// stands nowhere else: not inside another type, and not twice among the arguments.
///
/// Among the arguments, the macro knows a stream by the last name of its type's path:
///
/// * Another type that is called `Streaming` is taken for a stream. Give it an alias (`type Water = river::Streaming;`).
/// * An alias of `Streaming` under another name is not taken for a stream. Write `Streaming`.
///
/// In results, aliases of streams are streams.
///
/// Adding or removing a stream changes the method's signature, as any other change of its types does.
///
/// # Options of `rpc_trait`
///
/// | option | meaning | default |
/// |---|---|---|
/// | `name = "text.v1.WordCount"` | The name on the wire. | The crate's name, a dot, the trait's name. |
/// | `crate = "path"` | The path of rpcnet in generated code: see [below](#a-renamed-dependency). | `::rpcnet` |
///
/// # Options of `rpc` on a method
///
/// | option | meaning | default |
/// |---|---|---|
/// | `name = "count"` | The name on the wire. | The method's name. |
/// | `idempotent` | Running the method twice does no harm, so that a call is repeated even if it may have run. | A call is repeated only if it did not run. |
/// | `timeout = "2s"` | The longest time for a call unless the caller sets another, including its streams up to their last item. A number and `ms`, `s`, `m` or `h`. | The channel's default. For a call with streams, that bounds only the start of the answer. |
/// | `item_timeout = "10s"` | The longest wait for one item of the method's streams, on both sides. | The time that the call has. |
/// | `max_message = "16MiB"` | The largest message, on both sides: the arguments together, the result, an item. A whole number and `B`, `KiB`, `MiB` or `GiB`, or a number of bytes; at most 256 MiB. | The limits of the channel and of the server. |
/// | `priority = 5` | The rank of calls that compete, on the wire and at a full server. From -100 (last) to 100 (first). | 0 |
/// | `key = user`, `key = (tenant, user)` | The arguments by which calls are routed under a policy that uses keys: calls with equal keys go to one server. | The channel chooses the server. |
/// | `hedge`, `hedge = "20ms"` | A call that has no answer after this time is made a second time, at another server. The first answer counts. | One attempt at a time. |
/// | `resumable` | The stream that the method returns goes on at another server when its own drains or dies. | The stream ends in an error. |
///
/// * `key`: the hash is of the arguments' encoding, which must be the same for equal values. The encoding of a `HashMap`
///   is not.
/// * `hedge` needs `idempotent`, and no stream among the arguments. Without a time, the channel decides when a call is
///   late, from the times that calls take.
/// * `resumable`: the handler asks `Context::resume_after` how many items its caller already has, and begins behind them.
///   The caller sees each item once, in order. Such a method is also `idempotent`, because it runs again with each move.
///   It returns a stream, and has no stream among its arguments.
///
/// # A renamed dependency
///
/// Generated code finds rpcnet as `::rpcnet`. If the dependency has another name (`wire = { package = "rpcnet", .. }` in
/// Cargo.toml), or only another crate's re-export is within reach, `crate` says where it is:
///
/// ```
/// mod inner {
///     pub use rpcnet as wire;
/// }
///
/// use inner::wire::{rpc_impl, rpc_trait};
///
/// #[rpc_trait(crate = "crate::inner::wire")]
/// trait Greeter {
///     async fn greet(&self, name: String) -> inner::wire::Result<String>;
/// }
///
/// struct English;
///
/// #[rpc_impl]
/// impl Greeter for English {
///     async fn greet(&self, name: String) -> inner::wire::Result<String> {
///         Ok(format!("hello, {name}"))
///     }
/// }
/// # fn main() {}
/// ```
#[proc_macro_attribute]
pub fn rpc_trait(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as Item);
    let mut errors = Errors::default();
    let options = TraitOptions::parse(arguments.into(), &mut errors);
    let expanded = match item {
        Item::Trait(item) => {
            let mut service = ast::Service::new(item, options, &mut errors);
            valid::check(&mut service, &mut errors);
            expand::expand(&service)
        }
        other => {
            let at = error::head(&other).unwrap_or_else(|| other.span());
            errors.add_at(at, "`#[rpc_trait]` makes a service of a trait: write it on a `trait`");
            quote!(#other)
        }
    };
    let errors = errors.to_compile_error();
    quote!(#expanded #errors).into()
}

/// Checks an implementation of a trait with [`macro@rpc_trait`]: `impl WordCount for Worker { .. }`.
///
/// The methods are written `async` and stay as they are. A method that is not `async` is an error, and so is `#[rpc(..)]`,
/// which belongs to the trait.
///
/// # Options of `rpc_impl`
///
/// | option | meaning | default |
/// |---|---|---|
/// | `crate = "path"` | Accepted as in [`macro@rpc_trait`]. An implementation needs no path, so that it may be left out. | `::rpcnet` |
#[proc_macro_attribute]
pub fn rpc_impl(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as Item);
    let mut errors = Errors::default();
    let expanded = impl_block::expand(arguments.into(), item, &mut errors);
    let errors = errors.to_compile_error();
    quote!(#expanded #errors).into()
}
