//! What fuzzing checks: a function for each kind of bytes that a peer sends.
//!
//! Each takes any bytes, hands them to a decoder, and panics where a promise is broken: that nothing panics, that what
//! was decoded can be encoded and is then decoded to the same, that it makes no difference in which pieces bytes arrive.
//! Memory is bounded by whoever calls them. The fuzz targets in `fuzz/` call them, and so does the test that runs their
//! corpus.

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

/// What the subject and the names of a certificate say.
pub fn certificate(input: &[u8]) {
    if let Ok(identity) = crate::PeerIdentity::from_der(input) {
        let _ = (identity.name(), identity.spiffe_id());
    }
}

/// Where to cut an input of this length: everywhere if it is short, else in some places that are spread over it.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    const MOST: usize = 64;
    (0..length).step_by(length.div_ceil(MOST).max(1))
}

/// The first byte says what to do with the rest.
fn choice(input: &[u8]) -> (u8, &[u8]) {
    input.split_first().map_or((0, input), |(&first, rest)| (first, rest))
}
