//! The end of a stream at which items are put in.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use tokio::sync::{Semaphore, mpsc};

use super::ItemError;
use crate::Status;

/// Sends the items of a [`Streaming`](crate::Streaming), from any task.
///
/// The stream ends well when [`finish`](Self::finish) is called. Where the sender is dropped without (its task
/// returned early, was aborted, or panicked), the stream ends in `Internal`: what was cut off never looks whole.
///
/// ```
/// use rpcnet::Streaming;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (sender, mut lines) = Streaming::<String>::channel(16);
/// tokio::spawn(async move {
///     for line in ["to be", "or not"] {
///         if sender.send(line.into()).await.is_err() {
///             return; // the reader has dropped the stream
///         }
///     }
///     sender.finish();
/// });
/// while let Some(line) = lines.next().await {
///     println!("{}", line?);
/// }
/// # Ok(())
/// # }
/// ```
pub struct StreamSender<T, E = Status> {
    items: mpsc::Sender<Result<T, E>>,
    finished: Arc<AtomicBool>,
}

/// Nobody takes the item any more: the call has ended, or its other side has dropped the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the stream any more")]
pub struct SendError<T>(pub T);

pub(super) struct Receiver<T, E> {
    items: mpsc::Receiver<Result<T, E>>,
    finished: Arc<AtomicBool>,
    ended: bool,
}

pub(super) fn channel<T, E>(capacity: usize) -> (StreamSender<T, E>, Receiver<T, E>) {
    let (sender, items) = mpsc::channel(capacity.clamp(1, Semaphore::MAX_PERMITS));
    let finished = Arc::new(AtomicBool::new(false));
    let receiver = Receiver { items, finished: finished.clone(), ended: false };
    (StreamSender { items: sender, finished }, receiver)
}

impl<T, E> StreamSender<T, E> {
    /// Sends an item; waits while as many wait as the channel holds, because the other side reads slowly.
    /// Cancel-safe: dropped while it waits, it has not sent the item.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the item, once nobody takes it any more.
    pub async fn send(&self, item: T) -> Result<(), SendError<T>> {
        match self.items.reserve().await {
            Ok(place) => {
                place.send(Ok(item));
                Ok(())
            }
            Err(_) => Err(SendError(item)),
        }
    }

    /// Ends the stream: the other side reads what was sent, then the end. Does not wait for that.
    pub fn finish(self) {
        self.finished.store(true, Ordering::Release);
    }

    /// Ends the stream in an error, behind what was sent. Waits as [`send`](Self::send) does. Dropped while it waits,
    /// the stream ends in `Internal` instead.
    pub async fn fail(self, error: impl Into<E>) {
        // Where nobody reads, nobody wants to know.
        let _ = self.items.send(Err(error.into())).await;
    }

    /// Resolves once nobody reads any more: the stream was dropped, its other side is gone, or the call has ended.
    /// Cancel-safe.
    pub async fn closed(&self) {
        self.items.closed().await;
    }

    /// Returns whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.items.is_closed()
    }
}

impl<T, E> fmt::Debug for StreamSender<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<T, E: ItemError> Stream for Receiver<T, E> {
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = ready!(self.items.poll_recv(cx));
        self.ended = !matches!(item, Some(Ok(_)));
        Poll::Ready(match item {
            // The flag was set before the sender was dropped, and the channel says so after.
            None if !self.finished.load(Ordering::Acquire) => Some(Err(E::from_status(Status::internal(
                "the stream broke off: its sender was dropped without `finish`",
            )))),
            item => item,
        })
    }
}
