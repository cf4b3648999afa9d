//! Streams that a relay hands on: how much of them it holds, and when they end.

use std::{sync::atomic::Ordering, time::Duration};

use rpcnet::{Code, Streaming};
use rpcnet_tests::{Net, over_both, within};
use tokio::time::timeout;

use super::place::Place;

const BLOCK: usize = 256 << 10;

over_both!(
    a_client_that_does_not_read_stops_the_worker,
    a_worker_that_does_not_read_stops_the_client,
    a_stream_that_is_dropped_ends_at_the_worker,
    streams_go_on_while_a_relay_drains,
    streams_move_from_worker_to_worker_and_from_relay_to_relay,
);

/// As much as the windows of two connections and what is under way in between hold.
const HELD: u64 = 2 * (2 << 20) + (4 << 20);

async fn a_client_that_does_not_read_stops_the_worker(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    let mut blocks = within(place.desk.blocks(BLOCK)).await.expect("it starts");
    let ahead = HELD / BLOCK as u64;
    for taken in 1..=100 {
        assert_eq!(within(blocks.next()).await.expect("not the end").expect("a block").len(), BLOCK);
        if taken % 25 == 0 {
            // Time to go too far.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let made = place.made.load(Ordering::SeqCst);
        assert!(made <= taken + ahead, "{made} blocks were made, {taken} taken");
    }
    drop(blocks);
    place.quiet().await;
}

async fn a_worker_that_does_not_read_stops_the_client(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    let (sender, blocks) = Streaming::channel(1);
    let call = tokio::spawn(place.desk.ignore(blocks).into_future());
    let mut sent = 0;
    while timeout(Duration::from_secs(1), sender.send(vec![7; BLOCK])).await.is_ok_and(|sent| sent.is_ok()) {
        sent += BLOCK as u64;
        assert!(sent <= HELD, "nothing stops it");
    }
    assert!(sent > 0);
    call.abort();
    place.quiet().await;

    // One that reads gets them all.
    let (sender, blocks) = Streaming::channel(1);
    let call = tokio::spawn(place.desk.count(blocks).into_future());
    for _ in 0..64 {
        within(sender.send(vec![7; BLOCK])).await.expect("it is read");
    }
    sender.finish();
    assert_eq!(within(call).await.expect("no panic").expect("answered"), 64);
}

async fn a_stream_that_is_dropped_ends_at_the_worker(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    for taken in [0, 1, 10] {
        let mut blocks = within(place.desk.blocks(100)).await.expect("it starts");
        for _ in 0..taken {
            within(blocks.next()).await.expect("not the end").expect("a block");
        }
        drop(blocks);
        place.quiet().await;
    }
}

async fn streams_go_on_while_a_relay_drains(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    let mut blocks = within(place.desk.blocks(100)).await.expect("it starts");
    within(blocks.next()).await.expect("not the end").expect("a block");
    place.relays[0].server.stop_accepting().await;
    for _ in 0..1000 {
        within(blocks.next()).await.expect("not the end").expect("a block");
    }
    let error =
        within(place.client.once(1).timeout(Duration::from_millis(500))).await.expect_err("it drains");
    assert!(!error.maybe_executed(), "{error}");
    assert!(matches!(error.code(), Code::Unavailable | Code::DeadlineExceeded), "{error}");
    drop(blocks);
    place.quiet().await;
}

async fn streams_move_from_worker_to_worker_and_from_relay_to_relay(net: Net) {
    let mut place = Place::start(&net, 3, 3).await;
    let mut numbers = within(place.desk.numbers()).await.expect("it starts");
    let mut expected = 0;
    for round in 0..5 {
        for _ in 0..1000 {
            expected += 1;
            let number = within(numbers.next()).await.expect("not the end").expect("it goes on");
            assert_eq!(number, expected);
        }
        // Whichever they are at, at last they are at those that are left.
        match round {
            0 => place.workers.remove(0).kill(),
            1 => place.relays.remove(0).kill(),
            2 => place.workers.remove(0).server.stop_accepting().await,
            3 => place.relays[0].server.stop_accepting().await,
            _ => {}
        }
    }
    // A relay that drains does not wait for it.
    within(place.relays[0].server.wait_for_in_flight()).await;
    drop(numbers);
    place.quiet().await;
}
