//! The arguments of a call: a tuple.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

#[cfg(feature = "reflect")]
use super::json::{self, JsonError};
use super::{
    Body,
    error::CodecError,
    limited::Decoder,
    shape::{Flaw, flaw, shape},
    value::{Encoder, decode_next, shared},
};

/// The arguments of a method: a tuple of up to 16 values.
///
/// On the wire they stand one behind the other, as bincode encodes a tuple. `Bytes` and `Vec<u8>` are written and read
/// as one slice; `Bytes` of 4 KiB or more are neither copied when they are sent nor, unless they are a small part of
/// the message, when they are received.
pub trait Arguments: Sized + Send + 'static {
    /// Encodes them.
    ///
    /// # Errors
    ///
    /// When one of them can't be encoded.
    fn encode(&self) -> Result<Body, CodecError>;

    /// Decodes them from a whole frame.
    ///
    /// # Errors
    ///
    /// When the frame is not exactly these, or exceeds the limits on depth, elements and memory.
    fn decode(frame: &Bytes) -> Result<Self, CodecError>;

    /// The types in one canonical text.
    fn shape() -> String;

    /// One of them that the encoding can't carry.
    #[doc(hidden)]
    fn flaw() -> Option<Flaw>;

    /// Reads them from a JSON array.
    #[cfg(feature = "reflect")]
    #[doc(hidden)]
    fn from_json(text: &str) -> Result<Self, JsonError>;
}

impl Arguments for () {
    fn encode(&self) -> Result<Body, CodecError> {
        Ok(Bytes::new().into())
    }

    fn decode(frame: &Bytes) -> Result<Self, CodecError> {
        Decoder::new(frame).finish()
    }

    fn shape() -> String {
        "()".into()
    }

    fn flaw() -> Option<Flaw> {
        None
    }

    #[cfg(feature = "reflect")]
    fn from_json(text: &str) -> Result<Self, JsonError> {
        // serde's own form of it is `null`.
        json::read_arguments::<[(); 0]>(text, 0).map(|[]| ())
    }
}

macro_rules! arguments {
    ($($kind:ident $index:tt),+) => {
        impl<$($kind: Serialize + DeserializeOwned + Send + 'static),+> Arguments for ($($kind,)+) {
            fn encode(&self) -> Result<Body, CodecError> {
                let mut encoder = Encoder::new();
                $(encoder.push(&self.$index)?;)+
                Ok(encoder.finish())
            }

            fn decode(frame: &Bytes) -> Result<Self, CodecError> {
                let mut decoder = Decoder::new(frame);
                let arguments = ($(decode_next::<$kind>(&mut decoder, |part| shared(frame, part))?,)+);
                decoder.finish()?;
                Ok(arguments)
            }

            fn shape() -> String {
                let shapes = [$(shape::<$kind>().to_string()),+];
                format!("({})", shapes.join(","))
            }

            fn flaw() -> Option<Flaw> {
                None$(.or_else(|| flaw::<$kind>(format!("argument {}", $index + 1))))+
            }

            #[cfg(feature = "reflect")]
            fn from_json(text: &str) -> Result<Self, JsonError> {
                json::read_arguments(text, [$($index),+].len())
            }
        }
    };
}

arguments!(A 0);
arguments!(A 0, B 1);
arguments!(A 0, B 1, C 2);
arguments!(A 0, B 1, C 2, D 3);
arguments!(A 0, B 1, C 2, D 3, E 4);
arguments!(A 0, B 1, C 2, D 3, E 4, F 5);
arguments!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
arguments!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
arguments!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
arguments!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
arguments!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
arguments!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
arguments!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12);
arguments!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13);
arguments!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14);
arguments!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15);
