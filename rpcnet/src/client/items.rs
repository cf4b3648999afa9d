//! A reply that comes item by item.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::{Status, codec, session::Items};

/// A reply that comes item by item. Dropping it cancels the call.
#[derive(Debug)]
pub struct ReplyStream<T> {
    items: Items,
    _item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> ReplyStream<T> {
    pub(crate) fn new(items: Items) -> Self {
        Self { items, _item: PhantomData }
    }

    /// The next item; `None` at the clean end. Not cancel-safe: drop the stream with the future.
    ///
    /// # Errors
    ///
    /// The status that the server ended the stream with, or `Unavailable` where the connection was lost: never
    /// taken for the end.
    pub async fn next(&mut self) -> Result<Option<T>, Status> {
        match self.items.next().await? {
            Some(body) => codec::decode(&body).map(Some).map_err(|error| {
                Status::internal(format!("an item can't be decoded: {error}")).with_source(error)
            }),
            None => Ok(None),
        }
    }
}
