//! Bare quinn with one lane: a single long-lived stream for each connection, which carries all calls as frames.
//!
//! This is an upper bound for lanes. There is no method, no deadline and no cancellation, and the server echoes all
//! arrived frames in one write, without a task for each call. A frame is a length, an id (32 bits each), then the
//! payload. Frames that callers put into the buffer while the writer is busy leave with its next write.

mod slots;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{Connection, RecvStream, SendStream};
use rpcnet_benches::{
    Credentials, Failure,
    bare::{self, Dialer},
};
use tokio::sync::{Notify, oneshot};

use self::slots::Slots;
use super::{Client, Peer, ready};

/// The bytes before a payload.
const HEADER: usize = 8;
/// The number of chunks that are taken off a stream at a time.
const CHUNKS: usize = 32;
/// The longest payload in bytes, which is rpcnet's limit too.
const MAX_PAYLOAD: usize = 4 << 20;

pub(crate) async fn serve(credentials: &Credentials) -> Result<(), Failure> {
    let endpoint = bare::listen(credentials)?;
    ready(endpoint.local_addr()?)?;
    bare::serve_streams(endpoint, mirror).await;
    Ok(())
}

async fn mirror(mut send: SendStream, mut receive: RecvStream) -> Result<(), Failure> {
    let mut buffer = BytesMut::new();
    while read(&mut receive, &mut buffer).await? {
        let whole = whole_frames(&buffer)?;
        if whole > 0 {
            send.write_chunk(buffer.split_to(whole).freeze()).await?;
        }
    }
    Ok(())
}

/// Appends the bytes that have arrived, and waits for at least some. Returns false at the end.
async fn read(receive: &mut RecvStream, buffer: &mut BytesMut) -> Result<bool, Failure> {
    let mut chunks = [const { Bytes::new() }; CHUNKS];
    let Some(read) = receive.read_chunks(&mut chunks).await? else { return Ok(false) };
    for chunk in &mut chunks[..read] {
        buffer.put_slice(&std::mem::take(chunk));
    }
    Ok(true)
}

/// The total length of the whole frames at the front.
fn whole_frames(buffer: &[u8]) -> Result<usize, Failure> {
    let mut whole = 0;
    while let Some(length) = frame_length(&buffer[whole..])? {
        if buffer.len() - whole < length {
            break;
        }
        whole += length;
    }
    Ok(whole)
}

fn frame_length(buffer: &[u8]) -> Result<Option<usize>, Failure> {
    let Some(length) = buffer.first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_PAYLOAD { Err("the payload is too large".into()) } else { Ok(Some(HEADER + length)) }
}

/// Connections that share a socket.
pub(crate) struct BareLane(Dialer);

impl BareLane {
    pub(crate) fn new(credentials: &Credentials) -> Result<Self, Failure> {
        Ok(Self(Dialer::new(credentials)?))
    }
}

impl Peer for BareLane {
    type Client = LaneClient;

    async fn connect(&self, address: SocketAddr) -> Result<LaneClient, Failure> {
        let connection = self.0.dial(address).await?;
        let (send, receive) = connection.open_bi().await?;
        let lane = Arc::new(Lane { connection, _dialer: self.0.clone(), shared: Arc::default() });
        tokio::spawn(write_frames(send, lane.shared.clone()));
        tokio::spawn(read_frames(receive, lane.shared.clone()));
        Ok(LaneClient(lane))
    }
}

#[derive(Clone)]
pub(crate) struct LaneClient(Arc<Lane>);

struct Lane {
    connection: Connection,
    /// Held because its drop would close the connection.
    _dialer: Dialer,
    shared: Arc<Shared>,
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Ends the reader and, through it, the writer.
        self.connection.close(0u32.into(), b"");
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    written: Notify,
}

#[derive(Default)]
struct State {
    /// Frames that wait for the writer.
    output: BytesMut,
    calls: Slots<oneshot::Sender<Bytes>>,
    ended: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client for LaneClient {
    async fn echo(&self, payload: &Bytes) -> Result<Bytes, Failure> {
        let (sender, reply) = oneshot::channel();
        let idle = {
            let mut state = self.0.shared.state();
            if state.ended {
                return Err("the lane has ended".into());
            }
            let id = state.calls.insert(sender);
            let idle = state.output.is_empty();
            state.output.put_u32(payload.len() as u32);
            state.output.put_u32(id);
            state.output.put_slice(payload);
            idle
        };
        // If it was not idle, the writer was woken already and takes this frame too.
        if idle {
            self.0.shared.written.notify_one();
        }
        Ok(reply.await?)
    }
}

async fn write_frames(mut send: SendStream, shared: Arc<Shared>) -> Result<(), Failure> {
    loop {
        shared.written.notified().await;
        let output = {
            let mut state = shared.state();
            if state.ended {
                return Ok(());
            }
            state.output.split().freeze()
        };
        send.write_chunk(output).await?;
    }
}

async fn read_frames(mut receive: RecvStream, shared: Arc<Shared>) {
    let mut buffer = BytesMut::new();
    while let Ok(true) = read(&mut receive, &mut buffer).await {
        if answer_calls(&mut buffer, &shared).is_err() {
            break;
        }
    }
    let mut state = shared.state();
    state.ended = true;
    // The drop ends the calls that wait.
    state.calls = Slots::default();
    shared.written.notify_one();
}

fn answer_calls(buffer: &mut BytesMut, shared: &Shared) -> Result<(), Failure> {
    let mut frames = buffer.split_to(whole_frames(buffer)?).freeze();
    let mut state = shared.state();
    while frames.has_remaining() {
        let length = frames.get_u32() as usize;
        let call = state.calls.remove(frames.get_u32()).ok_or("a reply to no call")?;
        // Fails if the caller has gone.
        let _ = call.send(frames.split_to(length));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: u32, payload: &[u8]) -> Vec<u8> {
        [&(payload.len() as u32).to_be_bytes()[..], &id.to_be_bytes(), payload].concat()
    }

    #[test]
    fn only_whole_frames_count() {
        let frames = [frame(1, b"to be"), frame(2, b""), frame(3, b"or not")].concat();
        let first_two = frames.len() - HEADER - 6;
        for cut in first_two..frames.len() {
            assert_eq!(whole_frames(&frames[..cut]).expect("small"), first_two, "{cut}");
        }
        assert_eq!(whole_frames(&frames).expect("small"), frames.len());
        assert_eq!(whole_frames(&[]).expect("small"), 0);
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused() {
        assert!(whole_frames(&u32::MAX.to_be_bytes()).is_err());
    }

    #[tokio::test]
    async fn replies_find_their_calls() {
        let shared = Shared::default();
        let (first, first_reply) = oneshot::channel();
        let (second, second_reply) = oneshot::channel();
        let ids = {
            let mut state = shared.state();
            [state.calls.insert(first), state.calls.insert(second)]
        };
        let mut buffer = BytesMut::from(&*[frame(ids[1], b"two"), frame(ids[0], b"one")].concat());
        answer_calls(&mut buffer, &shared).expect("both wait");
        assert_eq!(first_reply.await.expect("answered"), "one");
        assert_eq!(second_reply.await.expect("answered"), "two");
        let mut buffer = BytesMut::from(&*frame(ids[0], b"again"));
        assert!(answer_calls(&mut buffer, &shared).is_err());
    }
}
