//! Words, counts and chunks: the part of the job that needs neither files nor a network.
//!
//! Everything here is sans-io. One state machine ([`boundary`]) decides where words begin and end. The counter and the
//! chunker both run it, so cutting a text never changes its counts.

mod boundary;
mod chunker;
mod count;
mod decode;

pub use boundary::MAX_WORD_BYTES;
pub use chunker::{Chunker, DEFAULT_CHUNK_BYTES};
pub use count::{Counts, WordCounter, count_words, merge, multiply, top};
pub use decode::{NotText, TextCheck};

pub(crate) use decode::Utf8Decoder;

#[cfg(test)]
mod tests;
