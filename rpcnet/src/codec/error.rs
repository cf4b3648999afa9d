//! Why a value has no bytes, or bytes are no value.

use std::fmt::{self, Write};

use bincode::error::{DecodeError, EncodeError};

/// A value could not be encoded or decoded.
///
/// One pointer wide: it is in the result of every step of decoding, which succeeds but for the last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct CodecError(Box<Reason>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Reason {
    #[error("nested too deeply, more than {limit} levels")]
    TooDeep { limit: u32 },
    #[error("a length of {length} elements where at most {limit} are allowed")]
    TooManyElements { length: u64, limit: usize },
    #[error("would take more than {limit} bytes of memory")]
    TooMuchMemory { limit: usize },
    #[error("{missing} bytes are missing at the end")]
    Ended { missing: usize },
    #[error("{count} bytes left over behind the value")]
    LeftOver { count: usize },
    #[error("{0} is not supported: the encoding does not describe itself")]
    NotSelfDescribing(&'static str),
    #[error("{0}")]
    Invalid(String),
}

impl CodecError {
    #[cfg(test)]
    pub(super) fn reason(&self) -> &Reason {
        &self.0
    }
}

impl From<Reason> for CodecError {
    #[cold]
    fn from(reason: Reason) -> Self {
        Self(Box::new(reason))
    }
}

impl From<EncodeError> for CodecError {
    #[cold]
    fn from(error: EncodeError) -> Self {
        Reason::Invalid(match error {
            EncodeError::OtherString(text) => text,
            EncodeError::Serde(bincode::serde::EncodeError::SequenceMustHaveLength) => {
                "a sequence or map whose length is not known in advance can't be encoded".into()
            }
            other => other.to_string(),
        })
        .into()
    }
}

impl From<DecodeError> for CodecError {
    #[cold]
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::UnexpectedEnd { additional } => Reason::Ended { missing: additional },
            DecodeError::InvalidIntegerType { expected, found } => {
                Reason::Invalid(format!("an integer of type {found:?} where {expected:?} is expected"))
            }
            DecodeError::InvalidBooleanValue(value) => Reason::Invalid(format!("{value} is no boolean")),
            DecodeError::InvalidCharEncoding(bytes) => {
                Reason::Invalid(format!("{bytes:02x?} is no character"))
            }
            other => Reason::Invalid(bounded(other)),
        }
        .into()
    }
}

impl serde::de::Error for CodecError {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Reason::Invalid(bounded(message)).into()
    }
}

/// The text, cut: serde puts the value that it complains about into the message, and that is the peer's.
pub(crate) fn bounded(message: impl fmt::Display) -> String {
    struct Cut(String);

    impl Write for Cut {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            const LIMIT: usize = 256;
            let mut end = text.len().min(LIMIT.saturating_sub(self.0.len()));
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            self.0.push_str(&text[..end]);
            if end < text.len() {
                self.0.push('…');
                return Err(fmt::Error);
            }
            Ok(())
        }
    }

    let mut cut = Cut(String::new());
    // It fails where the text is cut, and what stands then is what is wanted.
    let _ = write!(cut, "{message}");
    cut.0
}
