//! The calls' protocol written by hand, for peers that do not play by its rules. `docs/wire/calls.md`
//! has the tables.

use rpcnet::{
    ChannelBuilder, Code, Method, Server, Service,
    transport::{Connection, DialOptions, ReadError, RecvStream, SendStream, WriteError},
};

use crate::{ProbeServer, ProbeService, within};

const CALLS: &[u8] = b"rpcnet/1";
const VERSION: u8 = 0x10;
const LANE: u8 = 128;

/// The reset code of bytes that are not of this protocol.
pub const PROTOCOL: u32 = 4;

/// A bare connection to a server, by what this would make a channel of.
///
/// # Panics
///
/// When there is no server.
pub async fn dial(server: &Server, channel: ChannelBuilder) -> Connection {
    let connector = channel.connector().expect("complete");
    let address = server.local_addr().to_string();
    let connection = connector.dial(&address, CALLS, &DialOptions::default()).await.expect("it listens");
    // The socket must outlive its connection.
    let closed = connection.clone();
    tokio::spawn(async move {
        closed.closed().await;
        drop(connector);
    });
    connection
}

/// A method of this service.
///
/// # Panics
///
/// When it has none of this name.
pub fn method_of(service: &impl Service, name: &str) -> Method {
    *service.descriptor().methods.iter().find(|method| method.name() == name).expect("it has this method")
}

/// A method of [`Probe`](crate::Probe).
pub fn method(name: &str) -> Method {
    method_of(&ProbeServer::new(ProbeService::new("").0), name)
}

/// A request's header; numbers below 2^30.
pub fn header(method: &Method, micros: u32, body: u32) -> Vec<u8> {
    let mut bytes = vec![VERSION, 4];
    bytes.extend(method.id().to_be_bytes());
    bytes.extend(method.fingerprint().to_be_bytes());
    bytes.extend((0x8000_0000 | micros).to_be_bytes());
    bytes.extend((0x8000_0000 | body).to_be_bytes());
    bytes
}

/// A request, header and body.
pub fn request(method: &Method, micros: u32, body: &[u8]) -> Vec<u8> {
    [&header(method, micros, body.len() as u32)[..], body].concat()
}

/// Opens the control stream: says hello, and that lanes are taken.
///
/// # Panics
///
/// When the connection is lost.
pub async fn hello(connection: &Connection) -> SendStream {
    let mut control = connection.open_uni().await.expect("it stands");
    control.write(vec![0, 6, VERSION, 0x80, 0x40, 0, 0, 1].into()).await.expect("it stands");
    control
}

/// The first bytes of a lane, and of a reply on a stream of its own that belongs to a lane.
pub fn preface() -> Vec<u8> {
    vec![VERSION, LANE]
}

/// A number as it travels.
pub fn varint(value: u64) -> Vec<u8> {
    match value {
        0..64 => vec![value as u8],
        64..16_384 => (0x4000 | value as u16).to_be_bytes().to_vec(),
        16_384..0x4000_0000 => (0x8000_0000 | value as u32).to_be_bytes().to_vec(),
        _ => (0xc000_0000_0000_0000 | value).to_be_bytes().to_vec(),
    }
}

/// A call's frame.
pub fn call(id: u64, method: &Method, micros: u32, body: &[u8]) -> Vec<u8> {
    [vec![0], varint(id), request(method, micros, body)].concat()
}

/// The frame that gives a call up.
pub fn cancel(id: u64) -> Vec<u8> {
    [vec![1], varint(id)].concat()
}

/// A reply with a value.
pub fn reply(body: &[u8]) -> Vec<u8> {
    [vec![VERSION, 0, 0], varint(body.len() as u64), body.to_vec()].concat()
}

/// A short text as the codec writes it.
pub fn text(text: &str) -> Vec<u8> {
    assert!(text.len() < 251, "longer ones are written otherwise");
    [&[text.len() as u8], text.as_bytes()].concat()
}

/// A frame that has come on a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The value that a call came to.
    Value(u64, Vec<u8>),
    /// The status that it came to, and whether it was started.
    Status(u64, Code, bool),
    /// It was refused.
    Refused(u64),
    /// The peer calls, with these arguments.
    Call(u64, Vec<u8>),
    /// It gives a call up.
    Cancel(u64),
}

/// A lane that is written and read by hand.
#[derive(Debug)]
pub struct HandLane {
    /// The sending half.
    pub send: SendStream,
    /// The frames that arrive.
    pub frames: Frames,
}

impl HandLane {
    /// Opens one, to make calls on it.
    ///
    /// # Panics
    ///
    /// When the connection is lost.
    pub async fn open(connection: &Connection) -> Self {
        let (send, recv) = connection.open_bi().await.expect("it stands");
        let mut lane = Self { send, frames: Frames { recv, arrived: Vec::new(), serves: false } };
        lane.write(preface()).await;
        lane
    }

    /// Takes the peer's, to answer its calls.
    ///
    /// # Panics
    ///
    /// When the next stream is none.
    pub async fn accept(connection: &Connection) -> Self {
        let (send, recv) = within(connection.accept_bi()).await.expect("it stands");
        let mut frames = Frames { recv, arrived: Vec::new(), serves: true };
        while frames.arrived.len() < 2 {
            frames.more().await.expect("it begins");
        }
        assert_eq!(frames.arrived[..2], preface());
        frames.arrived.drain(..2);
        Self { send, frames }
    }

    /// Both directions, for those who write and read at once.
    pub fn split(self) -> (SendStream, Frames) {
        (self.send, self.frames)
    }

    /// Writes bytes.
    ///
    /// # Panics
    ///
    /// When the peer takes none.
    pub async fn write(&mut self, bytes: Vec<u8>) {
        self.try_write(bytes).await.expect("it stands");
    }

    /// Writes to a peer that may take nothing.
    ///
    /// # Errors
    ///
    /// When the peer takes nothing.
    pub async fn try_write(&mut self, bytes: Vec<u8>) -> Result<(), WriteError> {
        self.send.write(bytes.into()).await
    }

    /// The next frame.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub async fn frame(&mut self) -> Frame {
        self.frames.frame().await
    }

    /// The end of the lane, before any other frame: the code of its reset.
    ///
    /// # Panics
    ///
    /// When something else comes.
    pub async fn reset(&mut self) -> u32 {
        match within(self.frames.next()).await {
            Err(ReadError::Reset(code)) => code,
            other => panic!("no reset: {other:?}"),
        }
    }
}

/// The frames that come on a lane.
#[derive(Debug)]
pub struct Frames {
    /// The receiving half.
    pub recv: RecvStream,
    arrived: Vec<u8>,
    /// This side answers.
    serves: bool,
}

impl Frames {
    /// The next frame.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub async fn frame(&mut self) -> Frame {
        within(self.next()).await.expect("a frame")
    }

    /// The next frame, or the lane's end.
    ///
    /// # Errors
    ///
    /// As the stream's.
    pub async fn next(&mut self) -> Result<Frame, ReadError> {
        loop {
            let mut rest = &self.arrived[..];
            if let Some(frame) = take_frame(&mut rest, self.serves) {
                let taken = self.arrived.len() - rest.len();
                self.arrived.drain(..taken);
                return Ok(frame);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), ReadError> {
        let chunk = self.recv.read_chunk(64 << 10).await?.ok_or(ReadError::TooShort)?;
        self.arrived.extend_from_slice(&chunk);
        Ok(())
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let length = 1 << (rest.first()? >> 6);
    let bytes = take(rest, length)?;
    Some(bytes[1..].iter().fold(u64::from(bytes[0] & 0x3f), |value, byte| value << 8 | u64::from(*byte)))
}

/// The server says how busy it is.
const LOAD: u8 = 32;

fn take_frame(rest: &mut &[u8], requests: bool) -> Option<Frame> {
    let kind = take(rest, 1)?[0];
    let id = take_varint(rest)?;
    match kind {
        0 if requests => {
            let flags = take(rest, 2)?[1];
            take(rest, if flags & 4 == 0 { 8 } else { 16 })?;
            take_varint(rest)?;
            assert_eq!(flags & !4, 0, "nothing else is beside it");
            let length = take_varint(rest)? as usize;
            Some(Frame::Call(id, take(rest, length)?.to_vec()))
        }
        0 => {
            let head = take(rest, 3)?;
            let (flags, code) = (head[1], Code::from_u8(head[2]));
            assert_eq!(flags & !(3 | LOAD), 0, "nothing else is beside it");
            if flags & LOAD != 0 {
                take_varint(rest)?;
            }
            let length = take_varint(rest)? as usize;
            let body = take(rest, length)?.to_vec();
            Some(match code {
                Code::Ok => Frame::Value(id, body),
                code => Frame::Status(id, code, flags & 2 == 0),
            })
        }
        1 => Some(Frame::Cancel(id)),
        2 => Some(Frame::Refused(id)),
        other => panic!("a frame of kind {other}"),
    }
}
