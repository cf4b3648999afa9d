//! Inference workers: a service that streams the tokens of a language model. If a worker goes away, the stream goes on
//! at another one.
//!
//! The [model](Model) is small, a Markov chain of words, but real. It is trained on a text when a worker starts, and
//! its output is fully determined by that text, the prompt and a seed. So each worker can go on where another has
//! stopped: see [`Inference`].

mod client;
mod model;
mod service;
mod worker;

pub use client::{Finished, run_client};
pub use model::{Generation, Model};
pub use service::{Inference, InferenceClient, InferenceServer, MOST_TOKENS, PromptError, Token};
pub use worker::{Worker, run_worker};

/// The text that workers are trained on by default.
pub const DEFAULT_TEXT: &str = include_str!("../../../ARCHITECTURE.md");
