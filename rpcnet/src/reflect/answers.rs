//! Items that a handler answers with, from bytes to JSON.

use std::{
    pin::Pin,
    task::{self, Poll},
};

use bytes::Bytes;
use futures_core::Stream;

use super::{ApplicationError, call::Writer};
use crate::{
    CallError, Code, Context, Metadata, Status,
    message::{Failure, Items},
    session::{Execution, ItemTimer},
};

/// The answers of a call that runs, as whoever asked gets them.
pub(super) struct Answers {
    pub(super) items: Items,
    pub(super) writer: Writer,
    pub(super) timer: ItemTimer,
    /// `None` once it has ended.
    pub(super) running: Option<Execution>,
    /// Of the call of reflection.
    pub(super) outer: Context,
    /// Trailers that interceptors have added.
    pub(super) trailers: Metadata,
}

impl Stream for Answers {
    type Item = Result<String, CallError<ApplicationError>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        if self.running.is_none() {
            return Poll::Ready(None);
        }
        // First: where items come fast the deadline would never be looked at.
        if let Poll::Ready(status) = self.timer.poll_deadline(cx) {
            return Poll::Ready(Some(self.cut(status)));
        }
        let item = match self.items.poll_item(cx) {
            Poll::Ready(item) => item,
            Poll::Pending => return self.timer.poll_gap(cx).map(|status| Some(self.cut(status))),
        };
        self.timer.came();
        Poll::Ready(match item {
            None => {
                self.end(None);
                None
            }
            Some(Ok(item)) => Some(self.item(&item)),
            Some(Err(Failure::Status(status))) => {
                self.end(Some(status.wire_code()));
                Some(Err(status.into()))
            }
            Some(Err(Failure::Application(error))) => {
                self.end(Some(Code::Unknown));
                Some(Err(match self.writer.item_error(&error) {
                    Ok(error) => CallError::Application(error),
                    Err(status) => status.into(),
                }))
            }
        })
    }
}

impl Answers {
    fn item(&mut self, item: &Bytes) -> Result<String, CallError<ApplicationError>> {
        self.writer.item(item).map_err(|status| {
            self.end(Some(status.code()));
            status.into()
        })
    }

    /// The call is over because of its time, and what still runs for it is to hear of it.
    fn cut(&mut self, status: Status) -> Result<String, CallError<ApplicationError>> {
        if let Some(running) = &self.running {
            running.context().cancel();
        }
        self.end(Some(status.code()));
        Err(status.into())
    }

    fn end(&mut self, code: Option<Code>) {
        let Some(running) = self.running.take() else { return };
        let mut trailers = running.context().take_trailers();
        trailers.append(self.items.trailers().cloned().unwrap_or_default());
        trailers.append(std::mem::take(&mut self.trailers));
        self.outer.append_trailers(trailers);
        running.done(code);
    }
}
