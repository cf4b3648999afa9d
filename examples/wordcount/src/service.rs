//! The service of the workers.

use rpcnet::rpc_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::text::Counts;

/// The longest text that a worker counts in one call, in bytes.
pub const MAX_TEXT_BYTES: usize = 2 << 20;

/// Counts words.
#[rpc_trait(name = "text.v1.WordCount")]
pub trait WordCount {
    /// Counts the words of a text. The method is idempotent.
    #[rpc(idempotent, timeout = "20s")]
    async fn count(&self, text: String) -> Result<Counted, CountError>;
}

/// The words of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The label of the worker that counted them.
    pub worker: String,
    /// The number of occurrences of each word.
    pub counts: Counts,
}

/// The reason why a text was not counted.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CountError {
    /// The text is too long for one call.
    #[error("a text of {length} bytes is too long, {max} are allowed: send it in pieces")]
    TooLong {
        /// The text's length in bytes.
        length: usize,
        /// The largest length allowed, in bytes.
        max: usize,
    },
}
