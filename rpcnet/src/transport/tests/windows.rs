//! The windows of live connections. Only QUIC has them.

use std::task::{Context, Waker};

use super::*;

const MIB: usize = 1 << 20;

/// Returns true if 3 MiB on two streams can be written at once. The runtime has one thread, so no acknowledgement
/// arrives in between.
async fn takes_three_mib(connection: &Connection) -> bool {
    let mut written = true;
    let mut streams = Vec::new();
    for _ in 0..2 {
        streams.push(within(connection.open_uni()).await.expect("the connection is open"));
    }
    for stream in &mut streams {
        let mut chunks = [Bytes::from(vec![0; 3 * MIB / 2])];
        let poll = stream.poll_write_chunks(&mut Context::from_waker(Waker::noop()), &mut chunks);
        written &= poll.is_ready();
    }
    written
}

/// Sends 256 KiB, and waits until all of it is acknowledged.
async fn carry(from: &Connection, to: &Connection) {
    let bytes = Bytes::from(vec![0; MIB / 4]);
    let mut sender = within(from.open_uni()).await.expect("the connection is open");
    let sending = async {
        sender.write(bytes.clone()).await.expect("the peer reads");
        sender.finish();
        sender.stopped().await.expect("the connection is open");
    };
    let receiving = async { to.accept_uni().await.expect("the connection is open").read_to_end(MIB).await };
    let ((), carried) = within(async { tokio::join!(sending, receiving) }).await;
    assert_eq!(carried.expect("whole").len(), bytes.len());
}

#[tokio::test]
async fn a_connection_that_sends_little_may_have_less_under_way() {
    let pair = Kind::quic().pair().await;
    let windows = |connection: &Connection| {
        let stats = connection.stats();
        (stats.receive_window, stats.send_window)
    };
    assert_eq!(windows(&pair.client), (Some(16 << 20), Some(4 << 20)));
    assert_eq!(windows(&pair.server), (Some(16 << 20), Some(4 << 20)));
    assert!(takes_three_mib(&pair.server).await);

    carry(&pair.client, &pair.server).await;
    assert_eq!(windows(&pair.client).1, Some(4 << 20), "not at once");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    // Few bytes were acknowledged, so the congestion window is small.
    carry(&pair.client, &pair.server).await;
    assert_eq!(windows(&pair.client), (Some(16 << 20), Some(2 << 20)));
    assert!(!takes_three_mib(&pair.client).await);
}

#[tokio::test(start_paused = true)]
async fn in_memory_there_are_none() {
    let stats = Kind::memory().pair().await.client.stats();
    assert_eq!((stats.receive_window, stats.send_window), (None, None));
}
