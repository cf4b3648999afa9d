//! Items that a caller sends, from JSON to bytes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use super::late::Late;
use crate::{
    Method, Status, Streaming,
    message::{Failure, Produced, Source},
    method::ReadItem,
};

/// The items of a call, as its handler gets them.
pub(super) struct Questions {
    pub(super) method: &'static Method,
    pub(super) items: Streaming<String>,
    pub(super) read: ReadItem,
    pub(super) late: Late,
    /// The most bytes of an item.
    pub(super) limit: usize,
}

impl Source for Questions {
    fn poll_next(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<Produced> {
        let end = |result: Result<(), Status>| Poll::Ready(Produced::End(result.map_err(Failure::Status)));
        match Pin::new(&mut self.items).poll_next(cx) {
            Poll::Ready(Some(Ok(text))) => {
                self.late.came();
                match self.item(&text, buffer) {
                    Ok(rest) => Poll::Ready(Produced::Item(rest)),
                    Err(status) => end(Err(status)),
                }
            }
            Poll::Ready(Some(Err(status))) => end(Err(status)),
            Poll::Ready(None) => end(Ok(())),
            Poll::Pending => match (self.late.poll_deadline(cx), self.late.poll_gap(cx)) {
                (Poll::Ready(status), _) | (_, Poll::Ready(status)) => end(Err(status)),
                (Poll::Pending, Poll::Pending) => Poll::Pending,
            },
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
            return Err(Status::resource_exhausted(format!(
                "an item of {method} has {length} bytes, this side's limit is {limit}: send less, or raise max_message"
            )));
        }
        Ok(rest)
    }
}
