//! One text for messages that are larger than `max_message`.

use std::fmt;

use crate::Status;

/// Returns `ResourceExhausted` for a request or an item of `length` bytes. `whose` limit was exceeded: "the server's",
/// "this side's".
pub(crate) fn too_large(
    what: impl fmt::Display,
    length: impl fmt::Display,
    whose: &str,
    limit: usize,
) -> Status {
    exceeded(what, length, whose, limit, "send")
}

/// Returns the same for a reply, which its caller may ask to be smaller.
pub(crate) fn reply_too_large(
    method: impl fmt::Display,
    length: impl fmt::Display,
    whose: &str,
    limit: usize,
) -> Status {
    exceeded(format_args!("the reply of {method}"), length, whose, limit, "ask for")
}

fn exceeded(
    what: impl fmt::Display,
    length: impl fmt::Display,
    whose: &str,
    limit: usize,
    remedy: &str,
) -> Status {
    Status::resource_exhausted(format!(
        "{what} has {length} bytes, {whose} limit is {limit}: {remedy} less, or raise max_message"
    ))
}
