//! Streams of values as sources of encoded items.

use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use futures_core::Stream;
use serde::Serialize;

use super::ItemError;
use crate::{
    Status, codec,
    message::{Failure, Produced, Source},
};

/// Encodes what a stream yields.
pub(super) struct Encode<T, E>(pub(super) Pin<Box<dyn Stream<Item = Result<T, E>> + Send>>);

impl<T: Serialize + 'static, E: ItemError> Source for Encode<T, E> {
    fn poll_next(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<Produced> {
        Poll::Ready(match ready!(self.0.as_mut().poll_next(cx)) {
            None => Produced::End(Ok(())),
            Some(Err(error)) => Produced::End(Err(error.into_failure().0)),
            Some(Ok(item)) => match codec::encode_item(&item, buffer) {
                Ok(rest) => Produced::Item(rest),
                Err(error) => {
                    let message = format!("an item can't be encoded: {error}");
                    Produced::End(Err(Failure::Status(Status::internal(message).with_source(error))))
                }
            },
        })
    }
}

/// A stream without errors as one that could have some.
pub(super) struct Infallible<S, E>(Pin<Box<S>>, PhantomData<fn() -> E>);

impl<S, E> Infallible<S, E> {
    pub(super) fn new(stream: S) -> Self {
        Self(Box::pin(stream), PhantomData)
    }
}

impl<S: Stream, E> Stream for Infallible<S, E> {
    type Item = Result<S::Item, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().0.as_mut().poll_next(cx).map(|item| item.map(Ok))
    }
}

/// An iterator as a stream.
pub(super) struct Iter<I, E>(I, PhantomData<fn() -> E>);

impl<I, E> Iter<I, E> {
    pub(super) fn new(items: I) -> Self {
        Self(items, PhantomData)
    }
}

// It holds no pin: the iterator is moved by nobody while it is polled.
impl<I, E> Unpin for Iter<I, E> {}

impl<I: Iterator, E> Stream for Iter<I, E> {
    type Item = Result<I::Item, E>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}
