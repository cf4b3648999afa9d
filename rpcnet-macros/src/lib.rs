//! The macros of the crate `rpcnet` in this repository, which re-exports them. Programs use the re-exports, not this crate.
//!
//! [`macro@rpc_trait`] generates a client and a server from a trait. [`macro@rpc_impl`] checks an implementation of the
//! trait.
//!
//! The generated code is thin: it calls `::rpcnet::__private` and nothing else. All its paths are absolute, so that no
//! name in the user's module can shadow them. A mistake is reported at its own tokens. The macros emit the rest of the
//! trait beside the error, so that one mistake does not cause further errors.

mod ast;
mod attr;
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

/// Makes a service of a trait: `…Client`, which calls it, and `…Server`, which a server registers.
///
/// ```
/// use rpcnet::{Context, Streaming, rpc_impl, rpc_trait};
///
/// /// Docs reach the trait and the client.
/// #[rpc_trait(name = "text.v1.WordCount")]
/// pub trait WordCount {
///     /// How many words there are.
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
/// # What it makes
///
/// * The trait. Its methods return `impl Future + Send` in place of being `async`, and it requires
///   `Send + Sync + 'static`. Implement it with `async fn`s; [`macro@rpc_impl`] checks them.
/// * `WordCountClient<C: Caller = Channel>` with a method for each of the trait's. It returns an `rpcnet::Call`: a
///   builder, and a future that is owned and `Send`.
/// * `WordCountServer<T>`, a `rpcnet::Service` for each `T: WordCount`.
///
/// # What a method may be
///
/// `async`, with `&self`, then perhaps `cx: &Context`, then at most sixteen owned arguments of serde types that are
/// `Send`, then perhaps a stream; its result is a `Result`, by that name or one that ends so. The error is a serde type
/// or `Status`. `#[cfg]`, `#[deprecated]`, docs and default bodies are allowed. Methods and arguments have no type
/// parameters, references or patterns.
///
/// # Streams
///
/// The last argument may be a `Streaming<T>` or `Streaming<T, E>`, and so may the value of the result, with or without
/// the other: `Result<Streaming<T>, E>`. Clients take and return what is written here. A stream stands nowhere else:
/// not inside another type, not twice among the arguments.
///
/// The macro knows an argument that is a stream by the last name of its type's path, as it is written: another type
/// that is called `Streaming` is taken for one, and an alias of `Streaming` that has another name is not. Write
/// `Streaming` for the one, and an alias (`type Water = river::Streaming;`) for the other. In results, aliases of
/// streams are streams.
///
/// Adding or taking away a stream changes the method's signature, as any other change of its types does.
///
/// # Options of `#[rpc_trait(..)]`
///
/// * `name = "text.v1.WordCount"`: the name on the wire. Default: the name of the crate, a dot, and that of the trait.
///
/// # Options of `#[rpc(..)]` on a method
///
/// * `name = "count"`: the name on the wire. Default: the method's.
/// * `idempotent`: running it twice does no harm, so that a call is repeated where it may have run.
/// * `timeout = "2s"`: how long a call may take unless the caller says otherwise, with streams to their last item. A
///   number and `ms`, `s`, `m` or `h`. Default: that of the channel, which for a call with streams bounds the start of
///   its answer alone.
/// * `item_timeout = "10s"`: how long each item of the method's streams may be waited for, on both sides. Default: as
///   long as the call has.
/// * `max_message = "16MiB"`: the largest message, on both sides: the arguments together, the result, an item. A whole
///   number and `B`, `KiB`, `MiB` or `GiB`, or a number of bytes; at most 256 MiB. Default: that of the channel and of
///   the server.
/// * `priority = 5`: what goes first where calls compete, on the wire and where a server is full. From -100, the last,
///   to 100. Default: 0.
///
/// * `key = user`, `key = (tenant, user)`: the arguments by which calls are routed where a channel's policy goes by keys:
///   calls with equal ones go to one server. What is hashed is their encoding, which must be the same for equal values:
///   that of a `HashMap` is not. Default: a channel routes as it likes.
/// * `hedge`, `hedge = "20ms"`: a call that has not been answered for this long is made a second time, elsewhere, and the
///   first answer counts. Needs `idempotent`, and no stream among the arguments. Alone, the channel decides for how long,
///   from how long calls take. Default: a call is made once.
/// * `resumable`: the stream that the method returns goes on elsewhere when its server drains or dies. The handler asks
///   `Context::resume_after` how many items its caller has had, and begins behind them; the caller sees each once, in order.
///   Such a method is also `idempotent`: it runs as often as it moves. Needs a stream as the result and none among the
///   arguments. Default: the stream ends in an error.
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

/// Checks an implementation of a trait that [`macro@rpc_trait`] made: `impl WordCount for Worker { .. }`.
///
/// The methods are written `async` and stay as they are.
#[proc_macro_attribute]
pub fn rpc_impl(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as Item);
    let mut errors = Errors::default();
    let expanded = impl_block::expand(arguments.into(), item, &mut errors);
    let errors = errors.to_compile_error();
    quote!(#expanded #errors).into()
}
