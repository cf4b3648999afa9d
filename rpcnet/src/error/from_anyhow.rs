//! Statuses from `anyhow::Error`, so that `?` works in handlers.

use std::error::Error;

use super::CallError;
use crate::Status;

impl From<anyhow::Error> for Status {
    /// A `Status` in the error's chain, or a [`CallError`] of a method that has no errors of its own, keeps
    /// its code, details, metadata, and whether it may have been executed. Contexts around it stand before its message. Any
    /// other error becomes `Internal`, with the whole chain as the message.
    fn from(error: anyhow::Error) -> Self {
        let mut contexts = String::new();
        let as_context = error.downcast_ref::<Self>();
        for link in error.chain() {
            let Some(status) = in_link(link) else {
                contexts += &format!("{link}: ");
                continue;
            };
            // A status that was attached as a context, further out, is no link of the chain itself.
            if as_context.is_some_and(|context| !std::ptr::eq(context, status)) {
                break;
            }
            let mut status = status.clone();
            if !contexts.is_empty() {
                status.prepend(&contexts);
            }
            return status;
        }
        match as_context.cloned() {
            Some(status) => status.with_source(error),
            None => Self::internal(format!("{error:#}")).with_source(error),
        }
    }
}

fn in_link<'a>(link: &'a (dyn Error + 'static)) -> Option<&'a Status> {
    let status = link.downcast_ref::<Status>();
    status.or_else(|| link.downcast_ref::<CallError>()?.status())
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use anyhow::Context as _;

    use super::*;
    use crate::{Code, Metadata};

    fn full() -> Status {
        let mut metadata = Metadata::default();
        metadata.insert("x-shop", "7").expect("ascii");
        Status::resource_exhausted("no more today")
            .with_details(&b"42"[..])
            .with_retry_after(Duration::from_secs(9))
            .with_metadata(metadata)
            .not_executed()
    }

    #[track_caller]
    fn is_full(status: &Status, message: &str) {
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, message));
        assert_eq!(&status.details()[..], b"42");
        assert_eq!(status.retry_after(), Some(Duration::from_secs(9)));
        assert_eq!(status.metadata().get("x-shop"), Some("7"));
        assert!(!status.maybe_executed());
    }

    #[test]
    fn a_status_is_taken_as_it_is() {
        is_full(&Status::from(anyhow::Error::new(full())), "no more today");
    }

    #[test]
    fn a_status_behind_contexts_says_them() {
        let error = Err::<(), _>(full()).context("while booking").context("order 7").expect_err("an error");
        is_full(&Status::from(error), "order 7: while booking: no more today");
    }

    #[test]
    fn what_a_call_came_to_is_a_status() {
        let error = anyhow::Error::new(CallError::<Infallible>::Status(full()));
        is_full(&Status::from(error), "no more today");
        let error =
            Err::<(), _>(CallError::<Infallible>::Status(full())).context("billing").expect_err("an error");
        is_full(&Status::from(error), "billing: no more today");
    }

    #[test]
    fn a_status_inside_another_error_is_found() {
        #[derive(Debug, thiserror::Error)]
        #[error("billing is shut")]
        struct Shut(#[source] Status);

        is_full(&Status::from(anyhow::Error::new(Shut(full()))), "billing is shut: no more today");
    }

    #[test]
    fn a_status_as_a_context_is_it() {
        let error = Err::<(), _>(std::io::Error::other("disk")).context(full()).expect_err("an error");
        let status = Status::from(error);
        is_full(&status, "no more today");
        assert!(Error::source(&status).is_some());
        // The outer one counts.
        let inner = Err::<(), _>(Status::not_found("nobody")).context(full()).expect_err("an error");
        is_full(&Status::from(inner), "no more today");
    }

    #[test]
    fn all_else_is_internal() {
        let error =
            Err::<(), _>(std::io::Error::other("disk")).context("while saving").expect_err("an error");
        let status = Status::from(error);
        assert_eq!((status.code(), status.message()), (Code::Internal, "while saving: disk"));
        assert!(status.maybe_executed());
    }
}
