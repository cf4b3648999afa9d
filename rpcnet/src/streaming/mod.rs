//! Streams of items, as arguments and as results: values on this side, `message::Items` on the way.

mod encode;
mod error;
mod sender;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use serde::{Serialize, de::DeserializeOwned};

use self::error::FromFailure;
pub use self::{
    error::{FailureOf, ItemError},
    sender::{SendError, StreamSender},
};
use crate::{Metadata, Status, codec, message::Items};

/// A stream of items: an argument of a method, or its result.
///
/// It is a [`Stream`] of `Result<T, E>` on both sides. `E` is [`Status`], or [`CallError<F>`](crate::CallError) for a
/// stream that may end in an error `F` of its own. After an error or the end it yields nothing more; an end that is
/// not an error is one that the other side has said: a lost connection is never taken for it.
///
/// The reader slows the sender down: no more is under way than the connection's windows hold (2 MiB a
/// stream, 16 MiB a connection or what its path needs, unless both sides are in one process). Dropping a stream that is
/// received tells the sender to stop: its handler is dropped, or its source.
///
/// An item is a message: it has the method's limit, or that of [`Limits`](crate::Limits), 4 MiB by default. A larger
/// one ends the stream in `ResourceExhausted`, one that can't be encoded, and a source that panics, in `Internal`.
///
/// ```
/// use rpcnet::Streaming;
///
/// // From what is there …
/// let lines: Streaming<String> = Streaming::iter(["to be".into(), "or not".into()]);
/// // … or as it comes.
/// let (sender, lines) = Streaming::<String>::channel(16);
/// # let _ = (sender, lines);
/// ```
///
/// Streams in a service, and at its client:
///
/// ```
/// use rpcnet::{Streaming, rpc_impl, rpc_trait};
///
/// #[rpc_trait]
/// trait Numbers {
///     async fn up_to(&self, limit: u64) -> rpcnet::Result<Streaming<u64>>;
///     async fn sum(&self, numbers: Streaming<u64>) -> rpcnet::Result<u64>;
/// }
///
/// struct Math;
///
/// #[rpc_impl]
/// impl Numbers for Math {
///     async fn up_to(&self, limit: u64) -> rpcnet::Result<Streaming<u64>> {
///         Ok(Streaming::iter(1..=limit))
///     }
///
///     async fn sum(&self, mut numbers: Streaming<u64>) -> rpcnet::Result<u64> {
///         let mut sum = 0;
///         while let Some(number) = numbers.next().await {
///             sum += number?;
///         }
///         Ok(sum)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = rpcnet::testing::Network::new();
/// # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
/// # let server = rpcnet::Server::new(config)?;
/// # let address = server.local_addr();
/// # server.register(NumbersServer::new(Math))?;
/// # let running = server.clone();
/// # tokio::spawn(async move { running.run().await });
/// # let channel = rpcnet::Channel::builder().with_network(&network).connect(address.to_string()).await?;
/// let client = NumbersClient::new(channel);
/// assert_eq!(client.up_to(3).await?.collect().await?, [1, 2, 3]);
/// assert_eq!(client.sum(Streaming::iter([4, 5])).await?, 9);
/// # Ok(())
/// # }
/// ```
pub struct Streaming<T, E = Status> {
    flow: Flow<T, E>,
    metadata: Metadata,
}

enum Flow<T, E> {
    Local(Pin<Box<dyn Stream<Item = Result<T, E>> + Send>>),
    Encoded(Items),
    /// With what came with the end.
    ItemsEnd(Metadata),
}

impl<T, E> Streaming<T, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: ItemError,
{
    /// Items as another stream makes them; an error ends it.
    pub fn new(stream: impl Stream<Item = Result<T, E>> + Send + 'static) -> Self {
        Self { flow: Flow::Local(Box::pin(stream)), metadata: Metadata::default() }
    }

    /// Items as another stream makes them, which knows no errors.
    pub fn items(stream: impl Stream<Item = T> + Send + 'static) -> Self {
        Self::new(encode::Infallible::new(stream))
    }

    /// The items of an iterator. It is asked for them as they are sent, on the task that sends: it must not block.
    pub fn iter(items: impl IntoIterator<Item = T, IntoIter: Send + 'static>) -> Self {
        Self::new(encode::Iter::new(items.into_iter()))
    }

    /// No items.
    pub fn empty() -> Self {
        Self::iter([])
    }

    /// A sender, and the stream of what is sent by it. At most `capacity` items (one, where it is 0) wait between the
    /// two.
    pub fn channel(capacity: usize) -> (StreamSender<T, E>, Self) {
        let (sender, receiver) = sender::channel(capacity);
        (sender, Self::new(receiver))
    }

    /// The next item; `None` at the end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// What ended the stream before its end; then it yields nothing more.
    pub async fn next(&mut self) -> Option<Result<T, E>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// All items that are left, in memory. Bound the stream before you call it: a peer may send without end. Not
    /// cancel-safe: dropped, it has dropped the stream and what came of it.
    ///
    /// # Errors
    ///
    /// What ended the stream before its end.
    pub async fn collect(mut self) -> Result<Vec<T>, E> {
        let mut all = Vec::new();
        while let Some(item) = self.next().await {
            all.push(item?);
        }
        Ok(all)
    }

    pub(crate) fn from_items(items: Items, metadata: Metadata) -> Self {
        Self { flow: Flow::Encoded(items), metadata }
    }

    pub(crate) fn into_items(self) -> Items {
        match self.flow {
            // As it came: it is not decoded in between.
            Flow::Encoded(items) => items,
            Flow::Local(stream) => Items::local(encode::Encode(stream)),
            Flow::ItemsEnd(_) => Self::empty().into_items(),
        }
    }
}

impl<T, E> Streaming<T, E> {
    /// The metadata that the server sent before the first item; for a stream that has gone on elsewhere, that of the
    /// server which it comes from now. Empty in a handler, which has it in
    /// [`Context::metadata`](crate::Context::metadata), and for a stream that was made on this side.
    pub fn metadata(&self) -> &Metadata {
        match &self.flow {
            Flow::Encoded(items) => items.metadata().unwrap_or(&self.metadata),
            Flow::Local(_) | Flow::ItemsEnd(_) => &self.metadata,
        }
    }

    /// The trailers that the server sent with the end, or with the error in its place; `None` before it. Empty where
    /// nothing was sent, and for a stream that was made on this side.
    pub fn trailers(&self) -> Option<&Metadata> {
        match &self.flow {
            Flow::ItemsEnd(trailers) => Some(trailers),
            Flow::Local(_) | Flow::Encoded(_) => None,
        }
    }
}

// Nothing in it is pinned in place.
impl<T, E> Unpin for Streaming<T, E> {}

impl<T: DeserializeOwned + 'static, E: ItemError> Stream for Streaming<T, E> {
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T, E>>> {
        let (item, trailers) = match &mut self.flow {
            Flow::ItemsEnd(_) => return Poll::Ready(None),
            Flow::Local(stream) => (ready!(stream.as_mut().poll_next(cx)), None),
            Flow::Encoded(items) => {
                let decoded = match items.map_small(codec::decode_copied) {
                    Some(Ok(item)) => return Poll::Ready(Some(Ok(item))),
                    Some(Err(error)) => Some(Ok(Err(error))),
                    None => {
                        ready!(items.poll_item(cx)).map(|item| item.map(|body| codec::decode_value(&body)))
                    }
                };
                let item = decoded.map(|item| match item {
                    Ok(decoded) => decoded.map_err(|error| {
                        let message = format!("an item can't be decoded: {error}");
                        E::from_status(Status::internal(message).with_source(error))
                    }),
                    Err(failure) => Err(E::from_failure(failure)),
                });
                (item, items.trailers())
            }
        };
        if !matches!(item, Some(Ok(_))) {
            let ended = Flow::ItemsEnd(trailers.cloned().unwrap_or_default());
            self.metadata = self.metadata().clone();
            self.flow = ended;
        }
        Poll::Ready(item)
    }
}

impl<T, E> fmt::Debug for Streaming<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.flow {
            Flow::Local(_) => "Streaming(local)",
            Flow::Encoded(_) => "Streaming(remote)",
            Flow::ItemsEnd(_) => "Streaming(ended)",
        })
    }
}
