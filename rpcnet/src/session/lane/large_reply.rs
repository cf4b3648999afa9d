//! Replies that were too large for a lane, each on a stream of its own.

use tokio::task::JoinSet;
use tracing::debug;

use crate::{
    message::relayed::stands_for_others,
    proto,
    session::{
        Session,
        frame::{FrameError, FrameReader},
    },
    transport::{ConnectionError, RecvStream},
};

/// Takes the streams that the peer opens in this direction after the control stream, until the connection ends.
pub(in crate::session) async fn accept(session: &Session) -> ConnectionError {
    // The transport bounds how many the peer may have open.
    let mut replies = JoinSet::new();
    loop {
        match session.connection().accept_uni().await {
            Ok(stream) => {
                replies.spawn(read(session.clone(), stream));
            }
            Err(error) => return error,
        }
        while replies.try_join_next().is_some() {}
    }
}

async fn read(session: Session, stream: RecvStream) {
    let mut reader = FrameReader::new(stream);
    let id = match reader.lane_id().await {
        Ok(id) => id,
        Err(error) => return debug!(%error, "stream not understood"),
    };
    let Some(lane) = session.inner.lane.get() else { return };
    // The caller may have given up in the meantime: the stream is stopped when it is dropped.
    let Some(method) = lane.method(id) else { return };
    // Only its caller knows the id behind a method that stands for others.
    let place = method.address() as u64;
    if !stands_for_others(method) && !session.called_at(place).large {
        session.found(place, |called| called.large = true);
    }
    let outcome = session.read_frame(&mut reader, method).await;
    lane.finish(id, outcome);
}

impl FrameReader {
    /// The preface of a reply of a lane's, and whose it is.
    async fn lane_id(&mut self) -> Result<u64, FrameError> {
        if !self.begins_lane().await? {
            return Err(proto::DecodeError::Truncated.into());
        }
        let id = self.header(|input| {
            let mut rest = &input[..];
            let id = proto::varint::take(&mut rest)?;
            Ok(id.map(|id| (id, input.len() - rest.len())))
        });
        id.await?.ok_or(crate::transport::ReadError::TooShort.into())
    }
}
