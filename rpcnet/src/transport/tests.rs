//! What is asked of every backend alike.

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;

use super::*;
use crate::{
    dev::DevCa,
    proto::reset,
    tls::{CaCertificates, OwnCertificate, Tls},
};

const PROTOCOL: &[u8] = b"test/1";
/// The listener allows more streams than the dialler.
const LISTEN: ListenOptions = ListenOptions { streams: 256, handshakes: 16 };
const DIALLED_STREAMS: u32 = 8;
const MS: Duration = Duration::from_millis(1);

/// Makes endpoints of one kind that reach each other.
enum Kind {
    Quic(Box<DevCa>),
    Memory(MemoryNetwork),
}

impl Kind {
    fn quic() -> Self {
        Self::Quic(Box::new(DevCa::generate().expect("a CA")))
    }

    fn memory() -> Self {
        Self::Memory(MemoryNetwork::new())
    }

    fn endpoint(&self, name: &str) -> Endpoint {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        match self {
            Self::Quic(ca) => {
                let cert = ca.issue(name).expect("a certificate");
                let own = OwnCertificate::from_pem(cert.cert.as_bytes(), cert.key.as_bytes());
                let trust = CaCertificates::from_pem(ca.ca_pem().as_bytes()).expect("just made");
                let tls = Tls::new(Some(&own.expect("just issued")), &trust).expect("just made");
                Endpoint::bind(addr, tls).expect("a free port")
            }
            Self::Memory(network) => Endpoint::Memory(network.endpoint(addr).expect("a free port")),
        }
    }

    fn listener(&self) -> Endpoint {
        let endpoint = self.endpoint("listener");
        endpoint.listen(vec![PROTOCOL.to_vec()], LISTEN).expect("a good configuration");
        endpoint
    }

    async fn pair(&self) -> Pair {
        let (dialler, listener) = (self.endpoint("dialler"), self.listener());
        let (client, server) = connect(&dialler, &listener).await;
        Pair { client, server, dialler, listener }
    }
}

/// A connection's two ends, and the endpoints without which it would not stand.
struct Pair {
    client: Connection,
    server: Connection,
    dialler: Endpoint,
    listener: Endpoint,
}

async fn connect(dialler: &Endpoint, listener: &Endpoint) -> (Connection, Connection) {
    let accept = async { listener.accept().await.expect("it is open").handshake().await };
    let options = DialOptions::default();
    let dial = dialler.dial(listener.local_addr(), "127.0.0.1", PROTOCOL, &options, DIALLED_STREAMS);
    let (client, server) = within(async { tokio::join!(dial, accept) }).await;
    (client.expect("it listens"), server.expect("it dials"))
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(60), future).await.expect("it comes")
}

/// Whether the future waits for something that this test has yet to do.
async fn waits(future: impl Future) -> bool {
    timeout(100 * MS, future).await.is_err()
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn send(stream: &mut SendStream, what: &'static str) {
    within(stream.write(text(what))).await.expect("it is read");
}

async fn read(stream: &mut RecvStream) -> Result<Bytes, ReadError> {
    within(stream.read_to_end(1 << 20)).await
}

/// A stream in one direction, after its first bytes.
async fn uni(pair: &Pair) -> (SendStream, RecvStream) {
    let mut sender = within(pair.client.open_uni()).await.expect("it stands");
    send(&mut sender, "first").await;
    let mut receiver = within(pair.server.accept_uni()).await.expect("it stands");
    assert_eq!(within(receiver.read_chunk(100)).await, Ok(Some(text("first"))));
    (sender, receiver)
}

macro_rules! suite {
    ($($name:ident),+ $(,)?) => {
        mod over_quic {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(super::Kind::quic()).await;
                }
            )+
        }

        mod in_memory {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    super::$name(super::Kind::memory()).await;
                }
            )+
        }
    };
}

suite!(
    both_sides_open_streams_of_both_kinds,
    the_two_sides_know_each_other,
    chunks_arrive_in_order_and_whole,
    a_finished_stream_outlives_its_sender,
    an_unfinished_stream_is_reset_when_it_is_dropped,
    a_reset_carries_its_code,
    a_stop_carries_its_code,
    a_dropped_receiver_stops_the_sender,
    a_sender_learns_that_all_has_arrived,
    what_is_over_the_limit_is_stopped,
    a_read_that_is_given_up_loses_nothing,
    a_writer_waits_for_its_reader,
    streams_are_bounded_in_number,
    a_close_carries_its_code_and_ends_everything,
    the_last_drop_closes,
    a_closed_endpoint_ends_its_connections,
    datagrams_go_both_ways,
    datagrams_have_a_size,
    whatever_arrives_is_counted,
    a_protocol_that_nobody_speaks,
    an_address_where_nobody_listens,
    a_successor_takes_the_address_over,
);

async fn both_sides_open_streams_of_both_kinds(kind: Kind) {
    let pair = kind.pair().await;
    for (opener, accepter) in [(&pair.client, &pair.server), (&pair.server, &pair.client)] {
        let (mut asks, mut hears) = within(opener.open_bi()).await.expect("it stands");
        send(&mut asks, "question").await;
        asks.finish();
        let (mut answers, mut asked) = within(accepter.accept_bi()).await.expect("it stands");
        assert_eq!(read(&mut asked).await, Ok(text("question")));
        send(&mut answers, "answer").await;
        answers.finish();
        assert_eq!(read(&mut hears).await, Ok(text("answer")));

        let mut tells = within(opener.open_uni()).await.expect("it stands");
        send(&mut tells, "news").await;
        tells.finish();
        let mut told = within(accepter.accept_uni()).await.expect("it stands");
        assert_eq!(read(&mut told).await, Ok(text("news")));
    }
}

async fn the_two_sides_know_each_other(kind: Kind) {
    let Pair { client, server, dialler, listener } = kind.pair().await;
    assert_eq!((client.side(), server.side()), (Side::Client, Side::Server));
    assert_eq!((client.protocol(), server.protocol()), (PROTOCOL, PROTOCOL));
    assert_eq!(client.remote_addr(), listener.local_addr());
    assert_eq!(server.remote_addr(), dialler.local_addr());
    if let Kind::Quic(_) = kind {
        assert_eq!((client.peer().name(), server.peer().name()), ("listener", "dialler"));
    }
    assert_eq!((client.close_reason(), server.close_reason()), (None, None));
}

async fn chunks_arrive_in_order_and_whole(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    let bytes: Vec<u8> = (0..3_000_000u32).map(|index| (index % 251) as u8).collect();
    let expected = bytes.clone();
    let writing = tokio::spawn(async move {
        let bytes = Bytes::from(bytes);
        let mut chunks =
            [bytes.slice(..10), Bytes::new(), bytes.slice(10..2_000_000), bytes.slice(2_000_000..)];
        sender.write_chunks(&mut chunks).await.expect("it is read");
        sender.finish();
    });
    let mut arrived = Vec::new();
    while let Some(chunk) = within(receiver.read_chunk(10_000)).await.expect("whole") {
        assert!(!chunk.is_empty() && chunk.len() <= 10_000);
        arrived.extend_from_slice(&chunk);
    }
    assert!(arrived == expected, "the bytes have changed on their way");
    assert_eq!(within(receiver.read_chunk(1)).await.unwrap_or_default(), None, "the end stays the end");
    within(writing).await.expect("no panic");
}

async fn a_finished_stream_outlives_its_sender(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    send(&mut sender, "last").await;
    sender.finish();
    sender.finish();
    drop(sender);
    assert_eq!(read(&mut receiver).await, Ok(text("last")));
}

async fn an_unfinished_stream_is_reset_when_it_is_dropped(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    send(&mut sender, "half").await;
    drop(sender);
    assert_eq!(read(&mut receiver).await, Err(ReadError::Reset(reset::CANCELLED)));
}

async fn a_reset_carries_its_code(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    let reading = tokio::spawn(async move { (read(&mut receiver).await, receiver) });
    tokio::task::yield_now().await;
    sender.reset(77);
    assert_eq!(within(reading).await.expect("no panic").0, Err(ReadError::Reset(77)));
    assert_eq!(within(sender.write(text("more"))).await, Err(WriteError::Closed));
}

async fn a_stop_carries_its_code(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    receiver.stop(78);
    assert_eq!(within(sender.stopped()).await, Ok(Some(78)));
    assert_eq!(within(sender.write(text("more"))).await, Err(WriteError::Stopped(78)));
    assert_eq!(within(receiver.read_chunk(1)).await, Err(ReadError::Closed));
}

async fn a_dropped_receiver_stops_the_sender(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, receiver) = uni(&pair).await;
    let writing = tokio::spawn(async move {
        let chunk = Bytes::from(vec![0; 64 << 10]);
        loop {
            if let Err(error) = sender.write(chunk.clone()).await {
                return error;
            }
        }
    });
    tokio::task::yield_now().await;
    drop(receiver);
    assert_eq!(within(writing).await.expect("no panic"), WriteError::Stopped(reset::CANCELLED));
}

async fn a_sender_learns_that_all_has_arrived(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    assert!(waits(sender.stopped()).await, "the stream is open");
    send(&mut sender, "last").await;
    sender.finish();
    assert_eq!(read(&mut receiver).await, Ok(text("last")));
    assert_eq!(within(sender.stopped()).await, Ok(None));
}

async fn what_is_over_the_limit_is_stopped(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    send(&mut sender, "ten bytes!").await;
    assert_eq!(within(receiver.read_to_end(9)).await, Err(ReadError::Closed));
    assert_eq!(within(sender.stopped()).await, Ok(Some(reset::TOO_LARGE)));

    let (mut sender, mut receiver) = uni(&pair).await;
    send(&mut sender, "ten bytes!").await;
    sender.finish();
    assert_eq!(within(receiver.read_to_end(10)).await, Ok(text("ten bytes!")));
}

async fn a_read_that_is_given_up_loses_nothing(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    let writing = tokio::spawn(async move {
        for _ in 0..100 {
            send(&mut sender, "0123456789").await;
            tokio::task::yield_now().await;
        }
        sender.finish();
    });
    let mut length = 0;
    let end = async {
        loop {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                chunk = receiver.read_chunk(7) => match chunk.expect("whole") {
                    Some(chunk) => length += chunk.len(),
                    None => break,
                },
            }
        }
    };
    within(end).await;
    assert_eq!(length, 1000);
    within(writing).await.expect("no panic");
}

async fn a_writer_waits_for_its_reader(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    let (written, total) = tokio::sync::watch::channel(0usize);
    let writing = tokio::spawn(async move {
        let chunk = Bytes::from(vec![0; 64 << 10]);
        for _ in 0..128 {
            sender.write(chunk.clone()).await.expect("it is read at last");
            written.send_modify(|written| *written += chunk.len());
        }
        sender.finish();
    });
    // Until the writer has come no further for a while.
    let mut progress = total.clone();
    while !waits(progress.changed()).await {}
    let stuck = *total.borrow();
    assert!(stuck <= 3 << 20, "{stuck} bytes were taken that nobody reads");
    let mut length = 0;
    while let Some(chunk) = within(receiver.read_chunk(usize::MAX)).await.expect("whole") {
        length += chunk.len();
    }
    assert_eq!(length, 8 << 20);
    within(writing).await.expect("no panic");
}

/// Opens all that it may, and sees that there is room again.
async fn fill(opener: &Connection, acceptor: &Connection, bound: usize) {
    let mut open = Vec::new();
    while let Ok(stream) = timeout(200 * MS, opener.open_bi()).await {
        let (mut sender, receiver) = stream.expect("it stands");
        send(&mut sender, "x").await;
        open.push((sender, receiver));
        assert!(open.len() <= 1000, "there is no bound");
    }
    assert_eq!(open.len(), bound);
    // QUIC tells of room once an eighth of the streams is free: a quarter is enough.
    for stream in open.drain(..bound.div_ceil(4)) {
        drop(stream);
        drop(within(acceptor.accept_bi()).await.expect("it stands"));
    }
    for _ in 0..bound / 8 {
        open.push(within(opener.open_bi()).await.expect("it stands"));
    }
}

async fn streams_are_bounded_in_number(kind: Kind) {
    let pair = kind.pair().await;
    // With QUIC the eighth that quinn does not announce at once is allowed too.
    let (listeners, diallers) = match kind {
        Kind::Quic(_) => (293, 10),
        Kind::Memory(_) => (256, 8),
    };
    fill(&pair.client, &pair.server, listeners).await;
    fill(&pair.server, &pair.client, diallers).await;
}

async fn a_close_carries_its_code_and_ends_everything(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    let reading = tokio::spawn(async move { read(&mut receiver).await });
    let server = pair.server.clone();
    let accepting = tokio::spawn(async move { server.accept_bi().await.map(drop) });
    tokio::task::yield_now().await;
    pair.client.close(7, "bye");
    let told = ConnectionError::Closed { code: 7, reason: "bye".into() };
    assert_eq!(within(pair.server.closed()).await, told);
    assert_eq!(within(reading).await.expect("no panic"), Err(ReadError::Connection(told.clone())));
    assert_eq!(within(accepting).await.expect("no panic"), Err(told.clone()));
    assert_eq!(pair.server.close_reason(), Some(told.clone()));
    assert_eq!(within(pair.server.open_bi()).await.map(drop), Err(told.clone()));
    let datagram = pair.server.send_datagram(text("late"));
    assert_eq!(datagram, Err(DatagramError::Connection(told)));

    let ours = ConnectionError::LocallyClosed;
    assert_eq!(within(pair.client.closed()).await, ours);
    assert_eq!(pair.client.close_reason(), Some(ours.clone()));
    let written = within(sender.write(text("late"))).await;
    assert_eq!(written, Err(WriteError::Connection(ours.clone())));
    assert_eq!(within(sender.stopped()).await, Err(ours.clone()));
    assert_eq!(within(pair.client.open_uni()).await.map(drop), Err(ours));
}

async fn the_last_drop_closes(kind: Kind) {
    let Pair { client, server, dialler: _dialler, listener: _listener } = kind.pair().await;
    let clone = client.clone();
    drop(client);
    assert!(waits(server.closed()).await, "a clone is left");
    drop(clone);
    let told = ConnectionError::Closed { code: 0, reason: String::new() };
    assert_eq!(within(server.closed()).await, told);
}

async fn a_closed_endpoint_ends_its_connections(kind: Kind) {
    let pair = kind.pair().await;
    let (other, other_server) = connect(&pair.dialler, &pair.listener).await;
    pair.listener.close(9, "over");
    let told = ConnectionError::Closed { code: 9, reason: "over".into() };
    assert_eq!(within(pair.client.closed()).await, told);
    assert_eq!(within(other.closed()).await, told);
    assert_eq!(within(pair.server.closed()).await, ConnectionError::LocallyClosed);
    assert_eq!(within(other_server.closed()).await, ConnectionError::LocallyClosed);
    assert!(within(pair.listener.accept()).await.is_none());
    within(pair.listener.wait_idle()).await;

    pair.dialler.close(0, "");
    let options = DialOptions::default();
    let dial =
        pair.dialler.dial(pair.listener.local_addr(), "127.0.0.1", PROTOCOL, &options, DIALLED_STREAMS);
    within(dial).await.expect_err("a closed endpoint does not dial");
}

async fn datagrams_go_both_ways(kind: Kind) {
    let pair = kind.pair().await;
    for (from, to) in [(&pair.client, &pair.server), (&pair.server, &pair.client)] {
        for _ in 0..10 {
            from.send_datagram(text("ping")).expect("it is small");
            assert_eq!(within(to.read_datagram()).await, Ok(text("ping")));
        }
    }
}

async fn datagrams_have_a_size(kind: Kind) {
    let pair = kind.pair().await;
    let most = pair.client.max_datagram_size().expect("they are taken");
    assert!(most >= 1100, "gossip packets have 1100 bytes, a datagram {most}");
    pair.client.send_datagram(vec![0; most].into()).expect("just so");
    let error = pair.client.send_datagram(vec![0; 70_000].into()).expect_err("larger than any packet");
    assert_eq!(error, DatagramError::TooLarge);
    assert_eq!(within(pair.server.read_datagram()).await.map(|datagram| datagram.len()), Ok(most));
}

async fn whatever_arrives_is_counted(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, _receiver) = uni(&pair).await;
    for _ in 0..3 {
        let before = pair.client.stats().received_packets;
        send(&mut sender, "ping").await;
        // Its acknowledgement: the silence watch of a session builds on it.
        within(async {
            while pair.client.stats().received_packets == before {
                tokio::time::sleep(MS).await;
            }
        })
        .await;
    }
}

async fn a_protocol_that_nobody_speaks(kind: Kind) {
    let (dialler, listener) = (kind.endpoint("dialler"), kind.listener());
    let accepting = {
        let listener = listener.clone();
        tokio::spawn(async move { listener.accept().await?.handshake().await.err() })
    };
    let options = DialOptions::default();
    let dial = dialler.dial(listener.local_addr(), "127.0.0.1", b"other/1", &options, DIALLED_STREAMS);
    let error = within(dial).await.expect_err("nobody speaks it");
    assert!(error.to_string().contains("does not speak this protocol"), "{error}");
    accepting.abort();
    // It is spoken from now on.
    listener.listen(vec![PROTOCOL.to_vec(), b"other/1".to_vec()], LISTEN).expect("a good configuration");
    let accept = async { listener.accept().await.expect("it is open").handshake().await };
    let dial = dialler.dial(listener.local_addr(), "127.0.0.1", b"other/1", &options, DIALLED_STREAMS);
    let (client, server) = within(async { tokio::join!(dial, accept) }).await;
    assert_eq!(client.expect("it is spoken").protocol(), b"other/1");
    assert_eq!(server.expect("it is spoken").protocol(), b"other/1");
}

async fn an_address_where_nobody_listens(kind: Kind) {
    let (dialler, deaf) = (kind.endpoint("dialler"), kind.endpoint("deaf"));
    let options = DialOptions::default().with_idle_timeout(300 * MS).with_keep_alive(None);
    let dial = dialler.dial(deaf.local_addr(), "127.0.0.1", PROTOCOL, &options, DIALLED_STREAMS);
    within(dial).await.expect_err("nobody listens");
}

async fn a_successor_takes_the_address_over(kind: Kind) {
    // Sockets are freed by the operating system; this is for networks that have to keep book themselves.
    let Kind::Memory(network) = &kind else { return };
    let first = kind.listener();
    let addr = first.local_addr();
    assert!(network.endpoint(addr).is_none(), "the address is taken");
    first.close(0, "");
    let second = Endpoint::Memory(network.endpoint(addr).expect("the address is free again"));
    second.listen(vec![PROTOCOL.to_vec()], LISTEN).expect("a good configuration");
    drop(first);
    connect(&kind.endpoint("dialler"), &second).await;
}
