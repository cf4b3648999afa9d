//! Bounds on streams: deadlines, gaps, sizes, slow readers.

use std::{pin::pin, time::Duration};

use rpcnet::{CallError, Code, Limits, Streaming};
use rpcnet_tests::{Net, over_a_relay, over_both, within};

use super::service::{Place, Seen, Step, say};

const MIB: usize = 1 << 20;

over_both!(
    a_deadline_bounds_all_of_a_stream,
    the_default_deadline_bounds_the_start_alone,
    a_gap_between_items_is_bounded_on_both_sides,
    items_up_to_the_limit_and_beyond,
    large_items_and_small_ones_mixed,
    a_slow_reader_stops_the_writer,
    many_streams_at_once,
);

over_a_relay!(
    a_deadline_bounds_all_of_a_stream,
    the_default_deadline_bounds_the_start_alone,
    a_gap_between_items_is_bounded_on_both_sides,
    items_up_to_the_limit_and_beyond,
    large_items_and_small_ones_mixed,
    a_slow_reader_stops_the_writer,
    many_streams_at_once,
);

async fn a_deadline_bounds_all_of_a_stream(net: Net) {
    let mut place = Place::new(&net).await;
    let script = [say(&["a"]), vec![Step::Hang]].concat();
    let call = place.client.play(script).timeout(Duration::from_millis(300));
    let mut items = within(call).await.expect("it starts");
    assert!(within(items.next()).await.expect("not the end").is_ok());
    let error = within(items.next()).await.expect("not the end").expect_err("too late");
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert!(within(items.next()).await.is_none());
    assert_eq!(place.seen().await, Seen::Cancelled);
    place.quiet().await;
}

async fn the_default_deadline_bounds_the_start_alone(net: Net) {
    let limits = Limits::default().with_default_timeout(Duration::from_millis(300));
    let place = Place::with(&net, limits, limits).await;
    let (sender, said) = Streaming::channel(1);
    let mut answers = within(place.client.chat(said)).await.expect("it starts");
    tokio::time::sleep(Duration::from_millis(900)).await;
    within(sender.send("still here".to_owned())).await.expect("it is read");
    let answer = within(answers.next()).await.expect("not the end").expect("an item");
    assert_eq!(answer, "STILL HERE");
    drop((sender, answers));

    // Nothing is answered here before the numbers end, which they never do: that is the client's own business.
    let (sender, numbers) = Streaming::channel(1);
    let mut call = pin!(place.client.sum(0, numbers));
    let waited = tokio::time::timeout(Duration::from_millis(900), &mut call).await;
    assert!(waited.is_err(), "it waits for the numbers");
    drop(sender);
    within(call).await.expect_err("the numbers broke off");
    place.quiet().await;
}

async fn a_gap_between_items_is_bounded_on_both_sides(net: Net) {
    let mut place = Place::new(&net).await;
    let (sender, said) = Streaming::channel(1);
    // The method's own bound holds on both sides; this side waits longer, so that the other one is not told to stop.
    let call = place.client.impatient(said).item_timeout(Duration::from_secs(3));
    let mut answers = within(call).await.expect("it starts");
    within(sender.send("a".to_owned())).await.expect("it is read");
    assert_eq!(place.seen().await, Seen::Ended(Some(Code::DeadlineExceeded)));
    let error = within(answers.next()).await.expect("not the end").expect_err("no item came");
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");

    // The caller may set its own.
    let script = [say(&["a"]), vec![Step::Hang]].concat();
    let call = place.client.play(script).item_timeout(Duration::from_millis(200));
    let mut items = within(call).await.expect("it starts");
    assert!(within(items.next()).await.expect("not the end").is_ok());
    let error = within(items.next()).await.expect("not the end").expect_err("no item came");
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert_eq!(place.seen().await, Seen::Cancelled);
    place.quiet().await;
}

async fn items_up_to_the_limit_and_beyond(net: Net) {
    let small = Limits::default().with_max_message(64 << 10);
    let overhead = 3;
    // The server's own limit.
    let place = Place::with(&net, small, Limits::default()).await;
    let blocks = within(place.client.blocks(3, (64 << 10) - overhead)).await.expect("it starts");
    assert_eq!(within(blocks.collect()).await.expect("a clean end").len(), 3);
    let blocks = within(place.client.blocks(3, 64 << 10)).await.expect("it starts");
    let error = within(blocks.collect()).await.expect_err("too large");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    // Items that the server receives.
    let call = place.client.sizes(Streaming::iter([vec![1; 10], vec![1; 64 << 10]]));
    let error = within(call).await.expect_err("too large");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    place.quiet().await;

    // Items that the client receives.
    let place = Place::with(&net, Limits::default(), small).await;
    let blocks = within(place.client.blocks(3, 64 << 10)).await.expect("it starts");
    let error = within(blocks.collect()).await.expect_err("too large");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    let call = place.client.sizes(Streaming::iter([vec![1; 64 << 10]]));
    let error = within(call).await.expect_err("too large");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    place.quiet().await;
}

async fn large_items_and_small_ones_mixed(net: Net) {
    let place = Place::new(&net).await;
    let sizes = [0, 1, 62, 63, 64, 1000, 16_380, 16_384, 70_000, 3 * MIB, 5, 1_000_000, 0];
    let blocks = Streaming::iter(sizes.map(|size| vec![9; size]));
    assert_eq!(within(place.client.sizes(blocks)).await.expect("all came"), sizes);
    place.quiet().await;
}

async fn a_slow_reader_stops_the_writer(net: Net) {
    let place = Place::new(&net).await;
    let (sender, said) = Streaming::channel(1);
    let _answers = within(place.client.mirror(said)).await.expect("it starts");
    // Nobody reads the answers: what is sent fills the windows both ways, and then waits.
    let block = "x".repeat(MIB);
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_secs(2), sender.send(block.clone())).await.is_ok() {
        sent += 1;
        assert!(sent < 64, "nothing stops it");
    }
    assert!(sent > 0);
}

async fn many_streams_at_once(net: Net) {
    let place = Place::new(&net).await;
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..100 {
        let client = place.client.clone();
        tasks.spawn(async move {
            let (sender, said) = Streaming::channel(4);
            let mut answers = client.chat(said).await?;
            for round in 0..20 {
                sender.send(format!("a{index}-{round}")).await.expect("it is read");
                let answer = answers.next().await.expect("not the end")?;
                assert_eq!(answer, format!("A{index}-{round}"));
            }
            sender.finish();
            answers.collect().await.map_err(CallError::from)
        });
    }
    while let Some(ended) = within(tasks.join_next()).await {
        assert_eq!(ended.expect("no panic").expect("a clean end"), ["goodbye, false"]);
    }
    place.quiet().await;
}
