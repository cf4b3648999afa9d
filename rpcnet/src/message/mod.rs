//! Calls and their answers between those who make them and those who carry them: encoded, with what goes beside.

mod caller;
mod extensions;
mod items;
pub(crate) mod relayed;
mod reply;
mod request;
mod too_large;

pub use self::{caller::Caller, items::Items, reply::Reply, request::Request};
pub(crate) use self::{
    extensions::Extensions,
    items::{Batch, Failure, ItemsCell, ItemsEnd, Produced, Remote, Source},
    relayed::Relayed,
    reply::Answer,
    too_large::{reply_too_large, too_large},
};

/// A call at work, or an interceptor around one.
pub type ReplyFuture = std::pin::Pin<Box<dyn Future<Output = Result<Reply, crate::Status>> + Send + 'static>>;
