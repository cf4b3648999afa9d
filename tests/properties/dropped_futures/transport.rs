//! Connections of a protocol beside calls, and their streams.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rpcnet::{
    Connector, Limits, ProtocolFuture, ProtocolHandler, Server,
    transport::{Connection, DialOptions, ReadError, RecvStream, SendStream},
};
use rpcnet_tests::{Net, over_both, within};
use tokio::sync::mpsc;

use super::points::{Point, at_each};

over_both!(
    opening_loses_no_place,
    accepting_loses_no_stream,
    reading_loses_no_datagram,
    waiting_for_the_end,
    a_write_that_is_dropped_is_a_part_of_one,
    watching_a_stream_that_is_written,
    reading_loses_no_byte,
    reading_to_the_end_loses_what_was_read,
);

const PROTOCOL: &[u8] = b"test/1";
/// Streams with two directions that the peer may open; a new connection allows no more.
const STREAMS: u32 = 6;

/// Gives the connections to the test.
struct Taken(mpsc::UnboundedSender<Connection>);

impl ProtocolHandler for Taken {
    fn accept(&self, connection: Connection) -> ProtocolFuture<'static> {
        let _ = self.0.send(connection.clone());
        Box::pin(async move {
            connection.closed().await;
        })
    }
}

struct Pair {
    _server: Server,
    /// Its socket is the connection's.
    _connector: Connector,
    ours: Connection,
    theirs: Connection,
}

impl Pair {
    async fn new(net: &Net) -> Self {
        let limits = Limits::default().with_max_calls_per_connection(STREAMS);
        let server = net.start_with(net.server().with_limits(limits));
        let (sender, mut taken) = mpsc::unbounded_channel();
        server.handle_protocol(PROTOCOL, Arc::new(Taken(sender))).expect("the first of its name");
        let connector = net.channel().connector().expect("complete");
        let address = server.local_addr().to_string();
        let dial = connector.dial(&address, PROTOCOL, &DialOptions::default()).await;
        let theirs = within(taken.recv()).await.expect("the server stands");
        Self { _server: server, _connector: connector, ours: dial.expect("it listens"), theirs }
    }

    /// A stream from us to them, after its first byte.
    async fn uni(&self) -> (SendStream, RecvStream) {
        let mut send = within(self.ours.open_uni()).await.expect("it stands");
        within(send.write(Bytes::from_static(b"!"))).await.expect("it is read");
        let mut recv = within(self.theirs.accept_uni()).await.expect("it stands");
        assert_eq!(within(recv.read_chunk(1)).await.expect("it stands"), Some(Bytes::from_static(b"!")));
        (send, recv)
    }

    /// A question, and its answer.
    async fn works(&self) {
        let (mut send, mut recv) = within(self.ours.open_bi()).await.expect("it stands");
        within(send.write(Bytes::from_static(b"question"))).await.expect("it is read");
        send.finish();
        let (mut answers, mut asked) = within(self.theirs.accept_bi()).await.expect("it stands");
        let question = within(asked.read_to_end(100)).await.expect("whole");
        within(answers.write(question.clone())).await.expect("it is read");
        answers.finish();
        assert_eq!(within(recv.read_to_end(100)).await.expect("whole"), question);
    }
}

fn bytes(count: usize) -> Bytes {
    (0..count).map(|index| (index % 251) as u8).collect()
}

async fn opening_loses_no_place(net: Net) {
    let pair = Pair::new(&net).await;
    // They keep a stream for as long as we do.
    let theirs = pair.theirs.clone();
    tokio::spawn(async move {
        while let Ok((send, mut recv)) = theirs.accept_bi().await {
            tokio::spawn(async move {
                let _send = send;
                while let Ok(Some(_)) = recv.read_chunk(100).await {}
            });
        }
    });
    let open = async || {
        let (mut send, recv) = pair.ours.open_bi().await.expect("it stands");
        send.write(Bytes::from_static(b"!")).await.expect("there is room");
        (send, recv)
    };
    let places = STREAMS as usize;
    let mut all = Vec::new();
    at_each(async |point| {
        // Until they allow no more. (Over QUIC it may be an eighth more.)
        while let Ok(opened) = tokio::time::timeout(Duration::from_millis(20), open()).await {
            all.push(opened);
            assert!(all.len() <= 2 * places, "nothing bounds them");
        }
        // Room comes while it is waited for.
        let leaving = async {
            tokio::task::yield_now().await;
            all.truncate(places / 2);
        };
        let (opened, ()) = tokio::join!(point.drops(pair.ours.open_bi()), leaving);
        let done = opened.map(|opened| opened.expect("it stands")).is_some();
        // There is a place for each that has gone, whatever was given up.
        while all.len() < places {
            all.push(within(open()).await);
        }
        done
    })
    .await;
    at_each(async |point| {
        let opened = point.drops(pair.ours.open_uni()).await;
        opened.map(|opened| opened.expect("it stands")).is_some()
    })
    .await;
}

async fn accepting_loses_no_stream(net: Net) {
    let pair = Pair::new(&net).await;
    let opener = pair.ours.clone();
    let opening = tokio::spawn(async move {
        let mut open = Vec::new();
        for number in 0..100u8 {
            let (mut both, recv) = within(opener.open_bi()).await.expect("it stands");
            let mut one = within(opener.open_uni()).await.expect("it stands");
            for send in [&mut both, &mut one] {
                within(send.write(Bytes::from(vec![number]))).await.expect("it is read");
                send.finish();
            }
            open.push(recv);
            tokio::task::yield_now().await;
        }
        open
    });
    let (mut bi, mut uni) = (0, 0);
    for turn in 0.. {
        assert!(turn < 10_000, "some are lost: {bi} and {uni} came");
        if let Some(accepted) = Point::turn(turn).drops(pair.theirs.accept_bi()).await {
            let (mut send, mut recv) = accepted.expect("it stands");
            assert_eq!(within(recv.read_to_end(1)).await.expect("whole")[..], [bi]);
            send.finish();
            bi += 1;
        }
        if let Some(accepted) = Point::turn(turn).drops(pair.theirs.accept_uni()).await {
            let read = within(accepted.expect("it stands").read_to_end(1)).await;
            assert_eq!(read.expect("whole")[..], [uni]);
            uni += 1;
        }
        if (bi, uni) == (100, 100) {
            break;
        }
    }
    within(opening).await.expect("no panic");
    pair.works().await;
}

async fn reading_loses_no_datagram(net: Net) {
    let pair = Pair::new(&net).await;
    let sender = pair.ours.clone();
    let sending = tokio::spawn(async move {
        for number in 0..100u8 {
            sender.send_datagram(Bytes::from(vec![number])).expect("it fits");
            tokio::task::yield_now().await;
        }
    });
    let mut expected = 0;
    for turn in 0.. {
        assert!(turn < 10_000, "some are lost");
        if let Some(datagram) = Point::turn(turn).drops(pair.theirs.read_datagram()).await {
            assert_eq!(datagram.expect("it stands")[..], [expected]);
            expected += 1;
        }
        if expected == 100 {
            break;
        }
    }
    within(sending).await.expect("no panic");
    pair.works().await;
}

async fn waiting_for_the_end(net: Net) {
    at_each(async |point| {
        let pair = Pair::new(&net).await;
        let closing = async {
            tokio::task::yield_now().await;
            pair.theirs.close(7, "enough");
        };
        let (closed, ()) = tokio::join!(point.drops(pair.ours.closed()), closing);
        let error = within(pair.ours.closed()).await;
        assert_eq!(closed.as_ref().unwrap_or(&error), &error);
        closed.is_some()
    })
    .await;
}

async fn a_write_that_is_dropped_is_a_part_of_one(net: Net) {
    let pair = Pair::new(&net).await;
    // More than any window holds.
    let all = bytes(20 << 20);
    at_each(async |point| {
        let (mut send, mut recv) = pair.uni().await;
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            loop {
                match within(recv.read_chunk(1 << 20)).await {
                    Ok(Some(chunk)) => read.extend_from_slice(&chunk),
                    Ok(None) => return (read, None),
                    Err(error) => return (read, Some(error)),
                }
            }
        });
        let mut chunks = [all.slice(..1000), all.slice(1000..)];
        let written = point.drops(send.write_chunks(&mut chunks)).await;
        if written.is_some() {
            send.finish();
        }
        drop(send);
        let (read, error) = within(reading).await.expect("no panic");
        assert!(all.starts_with(&read), "what arrives is a part of it");
        match &written {
            Some(written) => {
                written.as_ref().expect("it is read");
                assert_eq!((read.len(), error), (all.len(), None));
            }
            // A write that was cut off does not look whole to the reader.
            None => assert!(matches!(error, Some(ReadError::Reset(1))), "{error:?}"),
        }
        pair.works().await;
        // A long write has more await points than are worth trying.
        written.is_some() || point.is_after(20)
    })
    .await;
}

async fn watching_a_stream_that_is_written(net: Net) {
    let pair = Pair::new(&net).await;
    at_each(async |point| {
        let (mut send, mut recv) = pair.uni().await;
        let stopping = async {
            tokio::task::yield_now().await;
            recv.stop(9);
        };
        let (stopped, ()) = tokio::join!(point.drops(send.stopped()), stopping);
        assert_eq!(within(send.stopped()).await.expect("it stands"), Some(9));
        within(send.write(Bytes::from_static(b"more"))).await.expect_err("nobody wants it");
        pair.works().await;
        stopped.is_some()
    })
    .await;
}

async fn reading_loses_no_byte(net: Net) {
    let pair = Pair::new(&net).await;
    let (mut send, mut recv) = pair.uni().await;
    let all = bytes(1 << 20);
    let expected = all.clone();
    let writing = tokio::spawn(async move {
        for piece in all.chunks(5000) {
            within(send.write(Bytes::copy_from_slice(piece))).await.expect("it is read");
            tokio::task::yield_now().await;
        }
        send.finish();
    });
    let mut read = Vec::new();
    for turn in 0.. {
        assert!(turn < 100_000, "it never ends");
        match Point::turn(turn).drops(recv.read_chunk(3000)).await {
            None => {}
            Some(Ok(Some(chunk))) => read.extend_from_slice(&chunk),
            Some(end) => {
                assert_eq!(end, Ok(None));
                break;
            }
        }
    }
    assert!(read == expected, "bytes are lost, or in another order");
    within(writing).await.expect("no panic");
    pair.works().await;
}

async fn reading_to_the_end_loses_what_was_read(net: Net) {
    let pair = Pair::new(&net).await;
    let all = bytes(100_000);
    at_each(async |point| {
        let (mut send, mut recv) = pair.uni().await;
        let writing = async {
            for piece in all.chunks(20_000) {
                tokio::task::yield_now().await;
                within(send.write(Bytes::copy_from_slice(piece))).await.expect("it is read");
            }
            send.finish();
        };
        let (whole, ()) = tokio::join!(point.drops(recv.read_to_end(all.len())), writing);
        match &whole {
            Some(whole) => assert!(whole.as_ref().expect("it stands") == &all, "not what was written"),
            // The rest is in its place, what came before is gone.
            None => {
                let rest = within(recv.read_to_end(all.len())).await.expect("the stream stands");
                assert!(all.ends_with(&rest), "not what was written");
            }
        }
        pair.works().await;
        whole.is_some()
    })
    .await;
}
