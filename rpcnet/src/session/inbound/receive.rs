//! A request comes in, and is checked.

use bytes::Bytes;
use tokio::time::Instant;
use tracing::debug;

use crate::{
    Method, Status,
    message::Items,
    proto::{RequestHeader, reset},
    session::{
        Entry, Session,
        frame::FrameReader,
        items::{ItemReader, Role},
    },
};

/// A call that may be run.
pub(super) struct Arrival {
    pub(super) entry: Entry,
    pub(super) header: RequestHeader,
    pub(super) body: Bytes,
}

/// Why a request goes no further.
pub(super) enum Refusal {
    /// The peer is told with a status.
    Status(Status),
    /// The peer is told with a reset.
    Reset(u32),
}

pub(super) async fn receive(session: &Session, reader: &mut FrameReader) -> Result<Arrival, Refusal> {
    let header = match reader.header(RequestHeader::decode).await {
        Ok(Some(header)) => header,
        Ok(None) => return Err(Refusal::Reset(reset::PROTOCOL)),
        Err(error) => {
            debug!(peer = %session.connection().remote_addr(), %error, "request not understood");
            return Err(Refusal::Reset(reset::PROTOCOL));
        }
    };
    let router = &session.inner.router;
    if router.is_draining() {
        reader.stop(reset::REFUSED);
        return Err(Refusal::Reset(reset::REFUSED));
    }
    let entry = check(session, &header).map_err(|status| {
        reader.stop(reset::TOO_LARGE);
        Refusal::Status(status.not_executed())
    })?;
    match reader.body(header.body_length as usize).await {
        Ok(body) => {
            if !header.items {
                reader.take_end();
            }
            Ok(Arrival { entry, header, body })
        }
        Err(error) => {
            debug!(peer = %session.connection().remote_addr(), method = %entry.method, %error, "request broke off");
            Err(Refusal::Reset(reset::CANCELLED))
        }
    }
}

/// Whether the method is served here, in the form that the caller knows, and takes as much.
fn check(session: &Session, header: &RequestHeader) -> Result<Entry, Status> {
    let router = &session.inner.router;
    let Some(entry) = router.find(header.method) else {
        return Err(Status::unimplemented(format!(
            "no method with id {:#018x} is registered here; the services are {:?}",
            header.method,
            router.services()
        )));
    };
    if let Some(fingerprint) = header.fingerprint
        && fingerprint != entry.method.fingerprint()
    {
        return Err(super::super::other_schema(entry.method, fingerprint, entry.method.fingerprint()));
    }
    let limit = session.max_message(entry.method);
    if header.body_length > limit as u64 {
        return Err(Status::resource_exhausted(format!(
            "the request of {} has {} bytes, the server's limit is {limit}: send less, or raise max_message",
            entry.method, header.body_length
        )));
    }
    Ok(entry)
}

/// What follows the request.
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
