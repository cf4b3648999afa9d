//! The reply to a call.

use std::fmt;

use super::Items;
use serde::Serialize;

use crate::{
    Code, Metadata, Status,
    codec::{self, Body},
};

/// The answer to a call that did not end in a status: a value, the method's own error, or a stream of items.
///
/// Interceptors see it encoded, with what goes beside it.
pub struct Reply {
    pub(crate) answer: Answer,
    pub(crate) metadata: Metadata,
    pub(crate) trailers: Metadata,
    /// The number of calls that run at the server that sent it, by that server's account.
    pub(crate) load: Option<u64>,
}

/// The answer itself, encoded.
#[derive(Debug)]
pub(crate) enum Answer {
    Value(Body),
    Application(Body),
    Items(Items),
}

impl Reply {
    pub(crate) fn new(answer: Answer) -> Self {
        Self { answer, metadata: Metadata::default(), trailers: Metadata::default(), load: None }
    }

    /// An answer with this value, for interceptors that answer themselves. The method must return this type, or its
    /// caller can't read it.
    ///
    /// # Errors
    ///
    /// `Internal` if the value can't be encoded.
    pub fn value<T: Serialize + 'static>(value: &T) -> Result<Self, Status> {
        Self::encode(Answer::Value, value)
    }

    /// A reply with the method's own error.
    ///
    /// # Errors
    ///
    /// `Internal` if the error can't be encoded.
    pub fn error<E: Serialize + 'static>(error: &E) -> Result<Self, Status> {
        Self::encode(Answer::Application, error)
    }

    pub(crate) fn encode<T: Serialize + 'static>(
        answer: fn(Body) -> Answer,
        value: &T,
    ) -> Result<Self, Status> {
        match codec::encode_value(value) {
            Ok(body) => Ok(Self::new(answer(body))),
            Err(error) => {
                Err(Status::internal(format!("the reply can't be encoded: {error}")).with_source(error))
            }
        }
    }

    /// Copies the reply, for interceptors that keep replies; `None` for a stream.
    pub fn try_clone(&self) -> Option<Self> {
        let answer = match &self.answer {
            Answer::Value(body) => Answer::Value(body.clone()),
            Answer::Application(body) => Answer::Application(body.clone()),
            Answer::Items(_) => return None,
        };
        Some(Self { answer, metadata: self.metadata.clone(), trailers: self.trailers.clone(), load: None })
    }

    /// `Ok` for a value and for a stream that begins, `Unknown` for the method's own error.
    pub fn code(&self) -> Code {
        match self.answer {
            Answer::Value(_) | Answer::Items(_) => Code::Ok,
            Answer::Application(_) => Code::Unknown,
        }
    }

    /// Returns whether items follow.
    pub fn is_stream(&self) -> bool {
        matches!(self.answer, Answer::Items(_))
    }

    /// The metadata that the server sent beside the answer, before it or with it.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The metadata, to change.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// The trailers that the server sent with the end of the call. Those of a stream come with its last item, and are
    /// empty here.
    pub fn trailers(&self) -> &Metadata {
        &self.trailers
    }

    /// The trailers, to change. On a server, a pair that is added to the reply of a stream is sent at the stream's end.
    pub fn trailers_mut(&mut self) -> &mut Metadata {
        &mut self.trailers
    }

    /// The length of the encoded answer in bytes; zero for a stream.
    pub fn size(&self) -> usize {
        match &self.answer {
            Answer::Value(body) | Answer::Application(body) => body.len(),
            Answer::Items(_) => 0,
        }
    }

    /// Calls this once when the call is over: at once for a single answer, for a stream when it ends or is given up.
    /// It runs on whatever task that happens on, and must not block.
    #[must_use]
    pub fn on_end(mut self, hook: impl FnOnce() + Send + 'static) -> Self {
        match &mut self.answer {
            Answer::Items(items) => items.keep(OnDrop(Some(hook))),
            Answer::Value(_) | Answer::Application(_) => hook(),
        }
        self
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Reply");
        debug.field("answer", &self.answer);
        for (name, pairs) in [("metadata", &self.metadata), ("trailers", &self.trailers)] {
            if !pairs.is_empty() {
                debug.field(name, pairs);
            }
        }
        debug.finish()
    }
}

struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(hook) = self.0.take() {
            hook();
        }
    }
}
