//! Items that a caller sends, from JSON to bytes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use crate::{
    Method, Status, Streaming,
    message::{Failure, Produced, Source, too_large},
    method::ReadItem,
    session::ItemTimer,
};

/// The items of a call, as its handler gets them.
pub(super) struct Questions {
    pub(super) method: &'static Method,
    pub(super) items: Streaming<String>,
    pub(super) read: ReadItem,
    pub(super) timer: ItemTimer,
    /// The most bytes of an item.
    pub(super) limit: usize,
}

impl Source for Questions {
    fn poll_next(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<Produced> {
        let end = |result: Result<(), Status>| Poll::Ready(Produced::End(result.map_err(Failure::Status)));
        match Pin::new(&mut self.items).poll_next(cx) {
            Poll::Ready(Some(Ok(text))) => {
                self.timer.came();
                match self.item(&text, buffer) {
                    Ok(rest) => Poll::Ready(Produced::Item(rest)),
                    Err(status) => end(Err(status)),
                }
            }
            Poll::Ready(Some(Err(status))) => end(Err(status)),
            Poll::Ready(None) => end(Ok(())),
            Poll::Pending => end(Err(ready!(self.timer.poll(cx)))),
        }
    }
}

impl Questions {
    fn item(&self, text: &str, buffer: &mut BytesMut) -> Result<Option<Bytes>, Status> {
        let method = self.method;
        let start = buffer.len();
        let rest = (self.read)(text, buffer).map_err(|error| {
            Status::invalid_argument(format!("an item of {method} can't be read: {error}")).with_source(error)
        })?;
        let (length, limit) = (buffer.len() - start + rest.as_ref().map_or(0, Bytes::len), self.limit);
        if length > limit {
            return Err(too_large(format_args!("an item of {method}"), length, "this side's", limit));
        }
        Ok(rest)
    }
}
