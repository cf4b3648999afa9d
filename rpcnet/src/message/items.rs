//! Items of a stream, encoded: on their way from whoever makes them to the wire, or off the wire to whoever takes
//! them.

use std::{
    any::Any,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};

use super::too_large;
use crate::{
    Metadata, Status,
    lock::Mutex,
    proto::{self, Ending, EndingKind},
};

/// A batch is written once it holds this many bytes, or nothing more is ready.
const BATCH: usize = 16 << 10;

/// Makes items: encodes one after the other behind what a buffer holds.
pub(crate) trait Source: Send {
    fn poll_next(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<Produced>;

    /// The trailers that go with the end.
    fn take_trailers(&mut self) -> Metadata {
        Metadata::default()
    }
}

/// The result of polling a source.
#[derive(Debug)]
pub(crate) enum Produced {
    /// An item is in the buffer. A large run of bytes is here instead, to follow the buffer.
    Item(Option<Bytes>),
    /// There are no more; with the error that ended them.
    End(Result<(), Failure>),
}

/// The error that ends a stream.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    Status(Status),
    /// The stream's own error, encoded.
    Application(Bytes),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// Items that come off a connection.
pub(crate) trait Remote: Send + fmt::Debug {
    /// The next item; `None` at the clean end. After an error or the end it is not polled again.
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>>;

    /// Lends the next item to `take` if it is here whole and small. After `false` any item may come. Cheaper than
    /// `Bytes`, which count who shares them.
    fn lend_small(&mut self, take: &mut dyn FnMut(&[u8])) -> bool;

    /// The trailers that came with the end; `None` before.
    fn trailers(&self) -> Option<&Metadata>;

    /// The metadata that came before the items, if it differs from that of the answer: a stream that moves has several
    /// beginnings.
    fn metadata(&self) -> Option<&Metadata> {
        None
    }
}

/// The items of a streaming call, encoded: those that a client sends, or those that a server answers with.
///
/// Interceptors hand them on as they are.
pub struct Items {
    flow: ItemsSource,
    /// Dropped with the items: what is counted, or has to end, with them.
    kept: Vec<Box<dyn Any + Send>>,
}

pub(crate) enum ItemsSource {
    Local(Box<dyn Source>),
    Remote(Box<dyn Remote>),
}

impl Items {
    pub(crate) fn local(source: impl Source + 'static) -> Self {
        Self { flow: ItemsSource::Local(Box::new(source)), kept: Vec::new() }
    }

    pub(crate) fn remote(remote: impl Remote + 'static) -> Self {
        Self { flow: ItemsSource::Remote(Box::new(remote)), kept: Vec::new() }
    }

    /// Drops `guard` when the items end or are given up.
    pub(crate) fn keep(&mut self, guard: impl Any + Send) {
        self.kept.push(Box::new(guard));
    }

    /// The next item, whole.
    pub(crate) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        match &mut self.flow {
            ItemsSource::Remote(remote) => remote.poll_item(cx),
            ItemsSource::Local(source) => {
                let mut buffer = BytesMut::new();
                source.poll_next(cx, &mut buffer).map(|produced| match produced {
                    Produced::Item(None) => Some(Ok(buffer.freeze())),
                    Produced::Item(Some(rest)) => {
                        buffer.extend_from_slice(&rest);
                        Some(Ok(buffer.freeze()))
                    }
                    Produced::End(Ok(())) => None,
                    Produced::End(Err(failure)) => Some(Err(failure)),
                })
            }
        }
    }

    /// Lends the next item if it is small and here already, without an allocation.
    pub(crate) fn map_small<T>(&mut self, map: impl Fn(&[u8]) -> T) -> Option<T> {
        let mut mapped = None;
        self.lend_small(&mut |item| mapped = Some(map(item)));
        mapped
    }

    /// Lends the next item to `take` if it is small and ready; returns whether it did.
    pub(crate) fn lend_small(&mut self, take: &mut dyn FnMut(&[u8])) -> bool {
        match &mut self.flow {
            ItemsSource::Remote(remote) => remote.lend_small(take),
            ItemsSource::Local(_) => false,
        }
    }

    /// The trailers that came with the end.
    pub(crate) fn trailers(&self) -> Option<&Metadata> {
        match &self.flow {
            ItemsSource::Remote(remote) => remote.trailers(),
            ItemsSource::Local(_) => None,
        }
    }

    /// The metadata that came before the items, if it differs from that of the answer.
    pub(crate) fn metadata(&self) -> Option<&Metadata> {
        match &self.flow {
            ItemsSource::Remote(remote) => remote.metadata(),
            ItemsSource::Local(_) => None,
        }
    }

    /// Fills a batch with what is ready: at least one item, or the end.
    pub(crate) fn poll_batch(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Batch,
        limit: usize,
    ) -> Poll<Option<ItemsEnd>> {
        batch.prepare();
        loop {
            let at = proto::start_item(&mut batch.buffer);
            let start = batch.buffer.len();
            let produced = match &mut self.flow {
                ItemsSource::Local(source) => source.poll_next(cx, &mut batch.buffer),
                ItemsSource::Remote(remote) => remote.poll_item(cx).map(|item| match item {
                    Some(Ok(item)) => Produced::Item(Some(item)),
                    Some(Err(failure)) => Produced::End(Err(failure)),
                    None => Produced::End(Ok(())),
                }),
            };
            let Poll::Ready(produced) = produced else {
                batch.buffer.truncate(at);
                return if batch.is_empty() { Poll::Pending } else { Poll::Ready(None) };
            };
            let result = match produced {
                Produced::Item(rest) => {
                    let beyond = rest.as_ref().map_or(0, Bytes::len);
                    let length = batch.buffer.len() - start + beyond;
                    if length <= limit {
                        proto::finish_item(&mut batch.buffer, at, beyond);
                        batch.push(rest);
                        if batch.length + batch.buffer.len() < BATCH {
                            continue;
                        }
                        return Poll::Ready(None);
                    }
                    Err(Failure::Status(too_large("an item", length, "this side's", limit)))
                }
                Produced::End(result) => result,
            };
            batch.buffer.truncate(at);
            return Poll::Ready(Some(self.ended(result)));
        }
    }

    fn ended(&mut self, result: Result<(), Failure>) -> ItemsEnd {
        let trailers = match &mut self.flow {
            ItemsSource::Local(source) => source.take_trailers(),
            // They are in the status as well, which is sent with its own.
            ItemsSource::Remote(_) if matches!(result, Err(Failure::Status(_))) => Metadata::default(),
            ItemsSource::Remote(remote) => remote.trailers().cloned().unwrap_or_default(),
        };
        ItemsEnd { result, trailers }
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.flow {
            ItemsSource::Local(_) => f.write_str("Items(local)"),
            ItemsSource::Remote(remote) => write!(f, "Items({remote:?})"),
        }
    }
}

/// The end of a stream of items.
#[derive(Debug)]
pub(crate) struct ItemsEnd {
    pub(crate) result: Result<(), Failure>,
    pub(crate) trailers: Metadata,
}

impl ItemsEnd {
    /// As a frame. A status of a handler's has run, whatever it says.
    pub(crate) fn frame(self, more: Metadata) -> Ending {
        let mut trailers = self.trailers;
        trailers.append(more);
        match self.result {
            Ok(()) => Ending::clean(trailers),
            Err(Failure::Application(body)) => Ending { kind: EndingKind::Application, trailers, body },
            Err(Failure::Status(status)) => {
                trailers.append(status.metadata().clone());
                let body = proto::encode_status(&status);
                Ending { kind: EndingKind::Status(status.wire_code()), trailers, body }
            }
        }
    }
}

/// Frames of items that leave in one write.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    buffer: BytesMut,
    chunks: Vec<Bytes>,
    /// The bytes of all chunks.
    length: usize,
    /// The bytes that the last batch took of the buffer: the next will need as many.
    expected: usize,
    /// The bytes of the buffer that are whole frames.
    finished: usize,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.chunks.is_empty()
    }

    /// Makes room once, rather than by growing: that copies what is there each time.
    fn prepare(&mut self) {
        if self.buffer.is_empty() {
            self.buffer.reserve(self.expected);
        }
    }

    fn push(&mut self, rest: Option<Bytes>) {
        match rest {
            // Short ones are copied: a chunk of its own costs more.
            Some(rest) if rest.len() < 1 << 10 => self.buffer.extend_from_slice(&rest),
            Some(rest) => {
                let head = self.buffer.split().freeze();
                self.length += head.len() + rest.len();
                self.chunks.push(head);
                self.chunks.push(rest);
            }
            None => {}
        }
        self.finished = self.buffer.len();
    }

    /// Drops what is left of a frame in the making.
    pub(crate) fn drop_unfinished(&mut self) {
        self.buffer.truncate(self.finished);
    }

    /// Begins with the opening frame of a reply: it leaves as soon as nothing more is ready.
    pub(crate) fn open(header: BytesMut) -> Self {
        Self { finished: header.len(), buffer: header, ..Self::default() }
    }

    pub(crate) fn end(&mut self, ending: &Ending) {
        ending.encode(&mut self.buffer);
    }

    /// Takes the chunks to write; the batch is empty then.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        let mut chunks = std::mem::take(&mut self.chunks);
        self.length = 0;
        self.finished = 0;
        self.expected = self.buffer.len();
        if !self.buffer.is_empty() {
            chunks.push(self.buffer.split().freeze());
        }
        chunks
    }
}

/// The items that go with a request: taken once, by the attempt that sends them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ItemsCell(Option<Arc<Mutex<Option<Items>>>>);

impl ItemsCell {
    pub(crate) fn new(items: Items) -> Self {
        Self(Some(Arc::new(Mutex::new(Some(items)))))
    }

    /// Returns whether the call has items at all.
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Returns whether an attempt has taken them, so that the call can't be made again.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.as_ref().is_some_and(|cell| cell.lock().is_none())
    }

    pub(crate) fn take(&self) -> Option<Items> {
        self.0.as_ref()?.lock().take()
    }
}
