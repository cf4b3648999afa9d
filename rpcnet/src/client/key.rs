//! The routing key of a call.

use bytes::BytesMut;
use serde::Serialize;

use crate::{
    codec::{self, CodecError},
    hash,
};

/// The hash of a key, or the error of encoding it.
#[derive(Debug)]
pub struct Key(pub(super) Result<u64, CodecError>);

impl Key {
    /// Hashes the encoding of a value. A tuple of one value has the key of the value.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Self {
        let mut buffer = BytesMut::new();
        Self(codec::encode_into(value, &mut buffer).map(|()| hash::key(&buffer)))
    }
}
