//! Converts errors of services into statuses.

use std::{error::Error, iter::successors};

use ::tower::{BoxError, load_shed::error::Overloaded, timeout::error::Elapsed};

use crate::{Code, Status, error::chain};

/// Converts an error of `poll_ready`: no call was handed to the services.
pub(super) fn not_ready(error: BoxError) -> Status {
    status(error, Code::Unavailable).not_executed()
}

/// Converts an error of `call`. `may_have_run` tells whether an attempt inside the services may have run.
pub(super) fn failed(error: BoxError, may_have_run: bool) -> Status {
    let refused = match error.downcast_ref::<Status>() {
        Some(status) => !status.maybe_executed(),
        None => find::<Overloaded>(&*error).is_some(),
    };
    status(error, Code::Unknown).with_maybe_executed(may_have_run || !refused)
}

fn status(error: BoxError, otherwise: Code) -> Status {
    let error = match error.downcast::<Status>() {
        Ok(status) => return *status,
        Err(error) => error,
    };
    let code = if find::<Elapsed>(&*error).is_some() {
        Code::DeadlineExceeded
    } else if find::<Overloaded>(&*error).is_some() {
        Code::ResourceExhausted
    } else {
        otherwise
    };
    let status = match find::<Status>(&*error) {
        Some(status) => status.clone(),
        None => Status::new(code, chain(&*error)),
    };
    status.with_source(error)
}

/// Finds an error of type `E`: the error itself, or one of its sources.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + Send + Sync + 'static)) -> Option<&'a E> {
    successors(Some(error as &'a (dyn Error + 'static)), |&error| error.source())
        .find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("around")]
    struct Around(#[source] BoxError);

    fn around(error: impl Into<BoxError>) -> BoxError {
        Around(error.into()).into()
    }

    #[test]
    fn each_error_has_its_code() {
        let other = || BoxError::from("something else");
        for (error, code, text) in [
            (Elapsed::new().into(), Code::DeadlineExceeded, "request timed out"),
            (around(Elapsed::new()), Code::DeadlineExceeded, "around: request timed out"),
            (Overloaded::new().into(), Code::ResourceExhausted, "service overloaded"),
            (around(Overloaded::new()), Code::ResourceExhausted, "around: service overloaded"),
            (Status::permission_denied("no").into(), Code::PermissionDenied, "no"),
            (around(Status::permission_denied("no")), Code::PermissionDenied, "no"),
            (other(), Code::Unknown, "something else"),
        ] {
            let status = failed(error, true);
            assert_eq!((status.code(), status.message()), (code, text));
        }
        assert_eq!(not_ready(other()).code(), Code::Unavailable);
    }

    #[test]
    fn the_error_is_kept_as_the_source() {
        let status = failed(around(Elapsed::new()), true);
        assert_eq!(status.source().expect("it is kept").to_string(), "around");
        let status = failed(Status::permission_denied("no").with_details("d").into(), true);
        assert!(status.source().is_none(), "a status is itself");
        assert_eq!(&status.details()[..], b"d");
    }

    #[test]
    fn not_executed_is_said_where_it_is_certain() {
        let not_executed = || BoxError::from(Status::unavailable("gone").not_executed());
        assert!(!failed(not_executed(), false).maybe_executed());
        assert!(failed(not_executed(), true).maybe_executed(), "an attempt before may have run");
        assert!(failed(around(not_executed()), false).maybe_executed(), "who knows what is around it");
        assert!(!failed(Overloaded::new().into(), false).maybe_executed());
        assert!(failed(Overloaded::new().into(), true).maybe_executed());
        assert!(failed(Elapsed::new().into(), false).maybe_executed(), "it may yet run");
        assert!(failed("something else".into(), false).maybe_executed());
        assert!(!not_ready("something else".into()).maybe_executed());
        assert!(!not_ready(Status::unavailable("gone").into()).maybe_executed());
    }
}
