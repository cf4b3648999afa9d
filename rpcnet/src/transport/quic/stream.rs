//! quinn's streams as backends. Whether a drop resets is decided above: quinn itself would *finish* a dropped stream.

use bytes::Bytes;
use quinn::{StoppedError, VarInt};

use super::super::{ConnectionError, ReadError, WriteError, backend};

#[derive(Debug)]
pub(in crate::transport) struct SendStream(quinn::SendStream);

impl SendStream {
    pub(super) fn new(inner: quinn::SendStream) -> Self {
        Self(inner)
    }
}

impl backend::SendStream for SendStream {
    async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        Ok(self.0.write_all_chunks(chunks).await?)
    }

    fn finish(&mut self) {
        // Fails only for a stream that has ended otherwise.
        let _ = self.0.finish();
    }

    fn reset(&mut self, code: u32) {
        let _ = self.0.reset(VarInt::from_u32(code));
    }

    async fn stopped(&mut self) -> Result<Option<u32>, ConnectionError> {
        match self.0.stopped().await {
            Ok(code) => Ok(code.map(super::error::code)),
            Err(StoppedError::ConnectionLost(error)) => Err(error.into()),
            Err(StoppedError::ZeroRttRejected) => Err(ConnectionError::Transport("0-RTT rejected".into())),
        }
    }
}

#[derive(Debug)]
pub(in crate::transport) struct RecvStream(quinn::RecvStream);

impl RecvStream {
    pub(super) fn new(inner: quinn::RecvStream) -> Self {
        Self(inner)
    }
}

impl backend::RecvStream for RecvStream {
    async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
        Ok(self.0.read_chunk(max, true).await?.map(|chunk| chunk.bytes))
    }

    fn stop(&mut self, code: u32) {
        let _ = self.0.stop(VarInt::from_u32(code));
    }
}
