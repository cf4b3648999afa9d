//! Checks for fuzzing: a function for each kind of bytes that a peer sends.
//!
//! Each function gives any bytes to a decoder, and panics if a promise is broken:
//!
//! - No decoder panics.
//! - A decoded value can be encoded, and decodes to the same value again.
//! - The result does not depend on the pieces in which bytes arrive.
//!
//! The callers bound the memory: the fuzz targets in `fuzz/`, and the test that runs their corpus.

mod headers;
mod lanes;
mod seeds;
mod streams;
mod typed;

pub use headers::{metadata, reply_header, request_header, status};
pub use lanes::lane_frames;
pub use seeds::seeds;
pub use streams::{control, item_frames};
pub use typed::typed_decode;

/// Checks the parser of a certificate's subject and names.
pub fn certificate(input: &[u8]) {
    if let Ok(identity) = crate::PeerIdentity::from_der(input) {
        let _ = (identity.name(), identity.spiffe_id());
    }
}

/// Positions at which an input of this length is cut: all of them if it is short, otherwise some that are spread over
/// it.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    const MOST: usize = 64;
    (0..length).step_by(length.div_ceil(MOST).max(1))
}

/// Splits off the first byte, which selects the treatment of the rest.
fn choice(input: &[u8]) -> (u8, &[u8]) {
    input.split_first().map_or((0, input), |(&first, rest)| (first, rest))
}
