//! The service of the workers.

use rpcnet::{Context, Streaming, rpc_trait};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most tokens that a call may ask for.
pub const MOST_TOKENS: u32 = 10_000;

/// Generates text.
#[rpc_trait(name = "inference.v1.Inference")]
pub trait Inference {
    /// Generates the given number of tokens that follow the prompt.
    ///
    /// The same model, prompt and seed give the same tokens at each worker. So a stream can go on at another worker,
    /// after the tokens that its caller has.
    #[rpc(resumable)]
    async fn generate(
        &self,
        cx: &Context,
        prompt: String,
        seed: u64,
        tokens: u32,
    ) -> Result<Streaming<Token>, PromptError>;
}

/// A word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The first token has number 1.
    pub number: u64,
    /// The word with its punctuation: `cluster,`.
    pub text: String,
}

/// The reason why nothing is generated.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PromptError {
    /// The call asks for too much.
    #[error("{tokens} tokens are too many: ask for {MOST_TOKENS} at most")]
    TooManyTokens {
        /// The requested number of tokens.
        tokens: u32,
    },
}
