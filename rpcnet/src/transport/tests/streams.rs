//! Streams: order, ends, resets, stops and back pressure.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::*;

pub(super) async fn both_sides_open_streams_of_both_kinds(kind: Kind) {
    let pair = kind.pair().await;
    for (opener, accepter) in [(&pair.client, &pair.server), (&pair.server, &pair.client)] {
        let (mut asks, mut hears) = within(opener.open_bi()).await.expect("the connection is open");
        send(&mut asks, "question").await;
        asks.finish();
        let (mut answers, mut asked) = within(accepter.accept_bi()).await.expect("the connection is open");
        assert_eq!(read(&mut asked).await, Ok(text("question")));
        send(&mut answers, "answer").await;
        answers.finish();
        assert_eq!(read(&mut hears).await, Ok(text("answer")));

        let mut tells = within(opener.open_uni()).await.expect("the connection is open");
        send(&mut tells, "news").await;
        tells.finish();
        let mut told = within(accepter.accept_uni()).await.expect("the connection is open");
        assert_eq!(read(&mut told).await, Ok(text("news")));
    }
}

pub(super) async fn chunks_arrive_in_order_and_whole(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    let bytes: Vec<u8> = (0..3_000_000u32).map(|index| (index % 251) as u8).collect();
    let expected = bytes.clone();
    let writing = tokio::spawn(async move {
        let bytes = Bytes::from(bytes);
        let mut chunks =
            [bytes.slice(..10), Bytes::new(), bytes.slice(10..2_000_000), bytes.slice(2_000_000..)];
        sender.write_chunks(&mut chunks).await.expect("the peer reads");
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

pub(super) async fn a_finished_stream_outlives_its_sender(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    send(&mut sender, "last").await;
    sender.finish();
    sender.finish();
    drop(sender);
    assert_eq!(read(&mut receiver).await, Ok(text("last")));
}

pub(super) async fn an_unfinished_stream_is_reset_when_it_is_dropped(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    send(&mut sender, "half").await;
    drop(sender);
    assert_eq!(read(&mut receiver).await, Err(ReadError::Reset(reset::CANCELLED)));
}

pub(super) async fn a_reset_carries_its_code(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    let reading = tokio::spawn(async move { (read(&mut receiver).await, receiver) });
    tokio::task::yield_now().await;
    sender.reset(77);
    assert_eq!(within(reading).await.expect("no panic").0, Err(ReadError::Reset(77)));
    assert_eq!(within(sender.write(text("more"))).await, Err(WriteError::Closed));
}

pub(super) async fn a_stop_carries_its_code(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    receiver.stop(78);
    assert_eq!(within(sender.stopped()).await, Ok(Some(78)));
    assert_eq!(within(sender.write(text("more"))).await, Err(WriteError::Stopped(78)));
    assert_eq!(within(receiver.read_chunk(1)).await, Err(ReadError::Closed));
}

pub(super) async fn a_dropped_receiver_stops_the_sender(kind: Kind) {
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

pub(super) async fn a_sender_learns_that_all_has_arrived(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    assert!(waits(sender.stopped()).await, "the stream is open");
    send(&mut sender, "last").await;
    sender.finish();
    assert_eq!(read(&mut receiver).await, Ok(text("last")));
    assert_eq!(within(sender.stopped()).await, Ok(None));
}

pub(super) async fn what_is_over_the_limit_is_stopped(kind: Kind) {
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

pub(super) async fn a_read_that_is_given_up_loses_nothing(kind: Kind) {
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
                // The read is dropped. Paused time advances only while no task runs.
                () = tokio::task::yield_now() => tokio::time::sleep(MS).await,
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

/// A waker that counts its wake-ups.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) async fn a_read_wakes_the_task_that_polled_last(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    let (first, last) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    for woken in [&first, &last] {
        let waker = Waker::from(woken.clone());
        assert!(receiver.poll_read_chunk(&mut Context::from_waker(&waker), 100).is_pending());
    }
    send(&mut sender, "next").await;
    within(async {
        while last.0.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(MS).await;
        }
    })
    .await;
    assert_eq!(first.0.load(Ordering::Relaxed), 0, "it waits no more");
    let waker = Waker::from(last);
    let read = receiver.poll_read_chunk(&mut Context::from_waker(&waker), 100);
    assert_eq!(read, Poll::Ready(Ok(Some(text("next")))));
}

pub(super) async fn the_end_wakes_those_who_wait(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, _receiver) = uni(&pair).await;
    let (watched, mut answers) = within(pair.client.open_bi()).await.expect("the connection is open");
    let reading = tokio::spawn(async move { answers.read_chunk(100).await });
    let watching = tokio::spawn(async move { watched.stopped().await });
    let (written, mut total) = tokio::sync::watch::channel(0);
    let writing = tokio::spawn(async move {
        let chunk = Bytes::from(vec![0; 64 << 10]);
        loop {
            if let Err(error) = sender.write(chunk.clone()).await {
                return error;
            }
            written.send_modify(|written| *written += 1);
        }
    });
    // Waits until the writer makes no more progress.
    while !waits(total.changed()).await {}
    pair.server.close(7, "");
    let told = ConnectionError::Closed { code: 7, reason: String::new() };
    assert_eq!(within(watching).await.expect("no panic"), Err(told.clone()));
    assert_eq!(within(writing).await.expect("no panic"), WriteError::Connection(told.clone()));
    assert_eq!(within(reading).await.expect("no panic"), Err(ReadError::Connection(told)));
}

pub(super) async fn a_sender_is_watched_while_it_writes(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    sender.set_priority(1);
    assert!(waits(async { tokio::join!(sender.stopped(), sender.stopped()) }).await);
    receiver.stop(78);
    let (one, other) = within(async { tokio::join!(sender.stopped(), sender.stopped()) }).await;
    assert_eq!((one, other), (Ok(Some(78)), Ok(Some(78))));
    sender.set_priority(2);
}

pub(super) async fn a_writer_waits_for_its_reader(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    let (written, total) = tokio::sync::watch::channel(0usize);
    let writing = tokio::spawn(async move {
        let chunk = Bytes::from(vec![0; 64 << 10]);
        for _ in 0..128 {
            sender.write(chunk.clone()).await.expect("the peer reads");
            written.send_modify(|written| *written += chunk.len());
        }
        sender.finish();
    });
    // Waits until the writer makes no more progress.
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

pub(super) async fn streams_are_bounded_in_number(kind: Kind) {
    let pair = kind.pair().await;
    let mut open = Vec::new();
    while let Ok(stream) = timeout(200 * MS, pair.client.open_bi()).await {
        let (mut sender, receiver) = stream.expect("the connection is open");
        send(&mut sender, "x").await;
        open.push((sender, receiver));
        assert!(open.len() <= 1000, "there is no bound");
    }
    // 256, and with QUIC the eighth that quinn does not announce at once.
    let bound = match kind {
        Kind::Quic(_) => 293,
        Kind::Memory(_) => 256,
    };
    assert_eq!(open.len(), bound);
    // QUIC announces free streams once they are an eighth of all. A quarter is enough.
    for stream in open.drain(..64) {
        drop(stream);
        drop(within(pair.server.accept_bi()).await.expect("the connection is open"));
    }
    for _ in 0..32 {
        open.push(within(pair.client.open_bi()).await.expect("the connection is open"));
    }
}

pub(super) async fn more_streams_may_be_allowed(kind: Kind) {
    let pair = kind.pair().await;
    let mut open = Vec::new();
    while let Ok(stream) = timeout(200 * MS, pair.client.open_bi()).await {
        open.push(stream.expect("the connection is open"));
    }
    pair.server.allow_streams(2 * STREAMS);
    for _ in 0..STREAMS {
        open.push(within(pair.client.open_bi()).await.expect("the connection is open"));
    }
}

pub(super) async fn what_has_arrived_is_read_after_the_end(kind: Kind) {
    for closed_here in [true, false] {
        let pair = kind.pair().await;
        let mut sender = within(pair.server.open_uni()).await.expect("the connection is open");
        send(&mut sender, "some bytes").await;
        let mut receiver = within(pair.client.accept_uni()).await.expect("the connection is open");
        assert_eq!(within(receiver.read_chunk(5)).await, Ok(Some(text("some "))));
        if closed_here { &pair.client } else { &pair.server }.close(7, "");
        let error = within(pair.client.closed()).await;
        assert_eq!(within(receiver.read_chunk(100)).await, Ok(Some(text("bytes"))));
        assert_eq!(within(receiver.read_chunk(100)).await, Err(ReadError::Connection(error)));
    }
}
