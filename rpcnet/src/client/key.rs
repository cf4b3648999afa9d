//! What a call is routed by.

use bytes::BytesMut;
use serde::Serialize;

use crate::{
    codec::{self, CodecError},
    hash,
};

/// The hash of a key; or why it has none.
#[derive(Debug)]
pub struct Key(pub(super) Result<u64, CodecError>);

impl Key {
    /// That of a value: of its encoding. A tuple of one value has the key of the value.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Self {
        let mut buffer = BytesMut::new();
        Self(codec::encode_into(value, &mut buffer).map(|()| hash::key(&buffer)))
    }
}
