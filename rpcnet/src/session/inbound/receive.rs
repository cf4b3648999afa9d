//! A request comes in, and is checked.

use bytes::Bytes;
use tokio::time::Instant;
use tracing::debug;

use super::forward;
use crate::{
    Method, Status,
    context::Scope,
    message::{Items, too_large},
    proto::{RequestHeader, reset},
    session::{
        Entry, Session,
        frame::{FrameError, FrameReader},
        items::{ItemReader, Role},
        other_schema,
    },
    transport::ReadError,
};

/// A request that is here, and was checked.
pub(super) struct Arrival {
    pub(super) entry: Entry,
    pub(super) header: RequestHeader,
    pub(super) body: Bytes,
    pub(super) scope: Scope,
}

/// Why a request goes no further.
pub(super) enum Refusal {
    /// The peer is told with a status, and with this code that no more of its request is wanted.
    Status(Status, u32),
    /// Nothing is taken any more.
    Draining,
    /// It is no request.
    Malformed,
    /// The peer has given it up, perhaps because its deadline was near.
    GivenUp(Option<Instant>),
}

/// Returns whether the stream is a lane, and takes its preface then.
pub(super) async fn is_lane(session: &Session, reader: &mut FrameReader) -> Result<bool, Refusal> {
    reader.begins_lane().await.map_err(|error| not_understood(session, error))
}

fn not_understood(session: &Session, error: FrameError) -> Refusal {
    if let FrameError::Read(ReadError::Reset(_)) = error {
        return Refusal::GivenUp(None);
    }
    debug!(peer = %session.connection().remote_addr(), %error, "request not understood");
    Refusal::Malformed
}

pub(super) async fn header(session: &Session, reader: &mut FrameReader) -> Result<RequestHeader, Refusal> {
    let header = match reader.header(RequestHeader::decode).await {
        Ok(Some(header)) => header,
        Ok(None) => return Err(Refusal::Malformed),
        Err(error) => return Err(not_understood(session, error)),
    };
    if session.inner.router.is_draining() {
        return Err(Refusal::Draining);
    }
    Ok(header)
}

pub(super) async fn body(
    session: &Session,
    reader: &mut FrameReader,
    entry: &Entry,
    header: &RequestHeader,
    deadline: Option<Instant>,
) -> Result<Bytes, Refusal> {
    match reader.body(header.body_length as usize).await {
        Ok(body) => {
            if !header.items {
                reader.take_end();
            }
            Ok(body)
        }
        Err(error) => {
            debug!(peer = %session.connection().remote_addr(), method = %entry.method, %error, "request broke off");
            Err(Refusal::GivenUp(deadline))
        }
    }
}

/// Checks that the method is served here, in the form that the caller knows, and that the request fits its limits.
pub(super) fn check(session: &Session, header: &RequestHeader) -> Result<Entry, Refusal> {
    examine(session, header).map_err(|(status, code)| Refusal::Status(status.not_executed(), code))
}

pub(in crate::session) fn examine(session: &Session, header: &RequestHeader) -> Result<Entry, (Status, u32)> {
    let router = &session.inner.router;
    let found = router.find(header.method);
    let entry = match &session.inner.forward {
        Some(forward) => Some(found.filter(forward::is_about_this_server).unwrap_or_else(|| forward.clone())),
        None => found,
    };
    let Some(entry) = entry else {
        let message = format!(
            "no method with id {:#018x} is registered here; the services are {:?}: register its service at this server, in \
             the client's version, or dial one that serves it",
            header.method,
            router.services()
        );
        return Err((Status::unimplemented(message), reset::CANCELLED));
    };
    if let Some(fingerprint) = header.fingerprint
        && fingerprint != entry.fingerprint
        && !entry.forwards
    {
        return Err((other_schema(entry.method, fingerprint, entry.fingerprint), reset::CANCELLED));
    }
    if header.resume_after > 0 && !entry.method.resumable() && !entry.forwards {
        let message = format!("{} can't go on in the middle: it is not resumable here", entry.method);
        return Err((Status::failed_precondition(message), reset::CANCELLED));
    }
    let limit = session.max_message(entry.method);
    if header.body_length > limit as u64 {
        let what = format_args!("the request of {}", entry.method);
        return Err((too_large(what, header.body_length, "the server's", limit), reset::TOO_LARGE));
    }
    let limits = session.limits();
    let (bytes, pairs) = (header.metadata.size(), header.metadata.len());
    if bytes > limits.max_metadata_bytes() || pairs > limits.max_metadata_pairs() {
        let message = format!(
            "the metadata of the call of {} has {bytes} bytes in {pairs} pairs, the server's limits are {} and {}",
            entry.method,
            limits.max_metadata_bytes(),
            limits.max_metadata_pairs()
        );
        return Err((Status::resource_exhausted(message), reset::TOO_LARGE));
    }
    Ok(entry)
}

/// Returns the items that follow the request.
pub(super) fn items(
    session: &Session,
    reader: FrameReader,
    method: &'static Method,
    deadline: Option<Instant>,
) -> Items {
    Items::remote(ItemReader::new(
        reader.into_items(),
        session.clone(),
        method,
        Role::Request,
        deadline,
        method.item_timeout(),
    ))
}
