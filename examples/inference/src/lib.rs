//! Inference workers: a service that streams the tokens of a language model, and goes on at another worker where one
//! goes away.
//!
//! The [model](Model) is small, a Markov chain of words, and real: it is trained on a text when a worker starts, and what
//! it says is fully determined by that text, the prompt and a seed. So each worker can go on where another has stopped:
//! see [`Inference`].

mod client;
mod model;
mod service;
mod worker;

pub use client::{Finished, run_client};
pub use model::{Generation, Model};
pub use service::{Inference, InferenceClient, InferenceServer, MOST_TOKENS, PromptError, Token};
pub use worker::{Worker, run_worker};

/// What workers are trained on unless they are given another text.
pub const DEFAULT_TEXT: &str = include_str!("../../../ARCHITECTURE.md");
