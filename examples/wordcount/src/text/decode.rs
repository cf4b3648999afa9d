//! Decoding of UTF-8 that arrives in pieces, and detection of bytes that are not text.

use thiserror::Error;

/// The reason why bytes are not text. The offset does not depend on how the bytes were cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotText {
    /// A NUL byte: valid UTF-8, but no text has one.
    #[error("NUL byte at offset {offset}")]
    Nul {
        /// The position of the byte, in bytes from the start.
        offset: u64,
    },
    /// A byte sequence that is not UTF-8, or a last character that is cut short.
    #[error("invalid UTF-8 at offset {offset}")]
    InvalidUtf8 {
        /// The start of the sequence, in bytes from the start of the text.
        offset: u64,
    },
}

/// Decides whether a stream of bytes is text, in constant memory.
///
/// Text is valid UTF-8 without NUL bytes.
#[derive(Debug, Clone, Default)]
pub struct TextCheck {
    decoder: Utf8Decoder,
}

impl TextCheck {
    /// A check that has seen no bytes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// The bytes are not text. The check is over then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), NotText> {
        self.decoder.push(bytes, |_| {})
    }

    /// Ends the check.
    ///
    /// # Errors
    ///
    /// The last character is cut short.
    pub fn finish(mut self) -> Result<(), NotText> {
        self.decoder.finish()
    }
}

/// Passes on the text of a stream of bytes, and holds back a character that is not complete yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Utf8Decoder {
    partial: [u8; 4],
    partial_len: usize,
    /// The number of bytes decoded so far, without the ones in `partial`.
    offset: u64,
}

impl Utf8Decoder {
    /// Calls `text` for each stretch of text in `bytes`, including the stretches before an error.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut text: impl FnMut(&str)) -> Result<(), NotText> {
        while self.partial_len > 0 {
            let Some((&first, rest)) = bytes.split_first() else {
                return Ok(());
            };
            bytes = rest;
            self.partial[self.partial_len] = first;
            self.partial_len += 1;
            match std::str::from_utf8(&self.partial[..self.partial_len]) {
                Ok(character) => {
                    text(character);
                    self.offset += self.partial_len as u64;
                    self.partial_len = 0;
                }
                // A valid start has at most three bytes, so the array never overflows.
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(self.invalid()),
            }
        }

        let nul = bytes.iter().position(|&byte| byte == 0);
        let candidate = &bytes[..nul.unwrap_or(bytes.len())];
        let (valid, rest, broken) = match std::str::from_utf8(candidate) {
            Ok(valid) => (valid, &[][..], false),
            Err(error) => {
                let (valid, rest) = candidate.split_at(error.valid_up_to());
                let valid = std::str::from_utf8(valid).unwrap_or_default();
                (valid, rest, error.error_len().is_some())
            }
        };
        if !valid.is_empty() {
            text(valid);
        }
        self.offset += valid.len() as u64;
        match nul {
            _ if broken => Err(self.invalid()),
            Some(_) if !rest.is_empty() => Err(self.invalid()),
            Some(_) => Err(NotText::Nul { offset: self.offset }),
            None => {
                self.partial[..rest.len()].copy_from_slice(rest);
                self.partial_len = rest.len();
                Ok(())
            }
        }
    }

    /// Ends the stream. The next byte is the first of another stream.
    pub(crate) fn finish(&mut self) -> Result<(), NotText> {
        let ended = std::mem::take(self);
        if ended.partial_len > 0 {
            return Err(ended.invalid());
        }
        Ok(())
    }

    fn invalid(&self) -> NotText {
        NotText::InvalidUtf8 { offset: self.offset }
    }
}
