//! Cutting of a stream of bytes into chunks of text that can be counted separately.

use std::collections::VecDeque;

use super::boundary::{Boundary, MAX_WORD_BYTES};
use super::decode::{NotText, Utf8Decoder};

/// The usual size of a chunk: 64 KiB.
pub const DEFAULT_CHUNK_BYTES: usize = 64 * 1024;

/// Cuts text into chunks of at most about `target` bytes, between words.
///
/// Feed it with [`push`](Self::push), take chunks with [`poll_chunk`](Self::poll_chunk) until there are none, and call
/// [`finish`](Self::finish) at the end. The chunks in their order are the text, and the sum of their counts is the
/// counts of the text.
///
/// A chunk ends at the last place before `target` bytes where no word is cut. Only a chunk that begins with a longer
/// word is longer, and it ends after that word. No chunk is longer than `target` or [`MAX_WORD_BYTES`] + 8 bytes,
/// whichever is more. Memory is bounded by twice that and the bytes pushed since chunks were last taken.
#[derive(Debug)]
pub struct Chunker {
    decoder: Utf8Decoder,
    cutter: Cutter,
}

impl Chunker {
    /// A chunker for chunks of about `target` bytes. Zero is taken as one.
    pub fn new(target: usize) -> Self {
        Self::with_longest_word(target, MAX_WORD_BYTES)
    }

    pub(super) fn with_longest_word(target: usize, longest: usize) -> Self {
        Self {
            decoder: Utf8Decoder::default(),
            cutter: Cutter {
                target: target.max(1),
                boundary: Boundary::new(longest),
                pending: String::new(),
                cut: 0,
                ready: VecDeque::new(),
            },
        }
    }

    /// Takes the next bytes of the text.
    ///
    /// # Errors
    ///
    /// The bytes are not text. The text before the fault is taken. No further bytes should be pushed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), NotText> {
        self.decoder.push(bytes, |text| self.cutter.push(text))
    }

    /// Ends the text: the remaining text becomes the last chunk. Bytes that are pushed next belong to another text.
    ///
    /// # Errors
    ///
    /// The last character is cut short. The text before it becomes the last chunk all the same.
    pub fn finish(&mut self) -> Result<(), NotText> {
        self.cutter.finish();
        self.decoder.finish()
    }

    /// The next chunk, which is never empty. `None` until more is pushed.
    pub fn poll_chunk(&mut self) -> Option<String> {
        self.cutter.ready.pop_front()
    }
}

#[derive(Debug)]
struct Cutter {
    target: usize,
    boundary: Boundary,
    pending: String,
    /// The last place at which `pending` may be cut; zero if there is none but its start.
    cut: usize,
    ready: VecDeque<String>,
}

impl Cutter {
    fn push(&mut self, text: &str) {
        for character in text.chars() {
            if self.boundary.step(character).may_cut_before() {
                self.cut = self.pending.len();
            }
            self.pending.push(character);
            if self.pending.len() > self.target && self.cut > 0 {
                self.emit(self.cut);
            }
        }
    }

    fn finish(&mut self) {
        self.boundary.reset();
        if !self.pending.is_empty() {
            self.emit(self.pending.len());
        }
    }

    fn emit(&mut self, at: usize) {
        // Copied rather than split off, so that a chunk holds no more memory than its text.
        self.ready.push_back(self.pending[..at].to_owned());
        self.pending.drain(..at);
        self.cut = 0;
    }
}
