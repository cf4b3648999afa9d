//! Streams of items, and what a handler waits for.

use rpcnet::{Code, Status, Streaming};
use rpcnet_tests::{Net, over_both, within};

use super::{
    place::Place,
    points::{Point, at_each},
};

over_both!(
    reading_loses_no_item,
    collecting_is_all_or_nothing,
    an_item_was_sent_or_was_not,
    an_error_is_sent_or_the_stream_breaks_off,
    waiting_until_nobody_reads,
    waiting_for_the_end_of_a_call,
    waiting_for_the_server_to_drain,
);

async fn reading_loses_no_item(net: Net) {
    let place = Place::new(&net).await;
    let mut numbers = within(place.client.count(500)).await.expect("it starts");
    let mut expected = 0;
    for turn in 0.. {
        match Point::turn(turn).drops(numbers.next()).await {
            None => assert!(turn < 10_000, "it never ends"),
            Some(Some(number)) => {
                assert_eq!(number.expect("an item"), expected);
                expected += 1;
            }
            Some(None) => break,
        }
    }
    assert_eq!(expected, 500);
    place.works().await;
}

async fn collecting_is_all_or_nothing(net: Net) {
    let place = Place::new(&net).await;
    at_each(async |point| {
        let numbers = within(place.client.count(20)).await.expect("it starts");
        let all = point.drops(numbers.collect()).await;
        place.works().await;
        all.is_some_and(|all| all.expect("a clean end").into_iter().eq(0..20))
    })
    .await;
}

async fn an_item_was_sent_or_was_not(net: Net) {
    let place = Place::new(&net).await;
    let (sender, numbers) = Streaming::channel(1);
    let listing = tokio::spawn(place.client.list(numbers));
    let mut sent = Vec::new();
    for number in 0..500 {
        if let Some(result) = Point::turn(number as usize).drops(sender.send(number)).await {
            result.expect("it is read");
            sent.push(number);
        }
    }
    sender.finish();
    assert_eq!(within(listing).await.expect("no panic").expect("listed"), sent);
    assert!(sent.len() > 100);
    place.works().await;
}

async fn an_error_is_sent_or_the_stream_breaks_off(net: Net) {
    let place = Place::new(&net).await;
    at_each(async |point| {
        let (sender, numbers) = Streaming::<u64>::channel(1);
        // There is no room for the error until somebody reads.
        within(sender.send(1)).await.expect("there is room");
        let failing = sender.fail(Status::data_loss("the disk"));
        let mut mirrored = None;
        let failed = if point.is_polled() {
            let call = tokio::spawn(place.client.mirror(numbers));
            let failed = point.drops(failing).await;
            mirrored = Some(within(call).await.expect("no panic").expect("it starts"));
            failed
        } else {
            drop((failing, numbers));
            None
        };
        if let Some(mut mirrored) = mirrored {
            let code = loop {
                match within(mirrored.next()).await.expect("it is no clean end") {
                    Ok(number) => assert_eq!(number, 1),
                    Err(status) => break status.code(),
                }
            };
            let expected = if failed.is_some() { Code::DataLoss } else { Code::Internal };
            assert_eq!(code, expected);
        }
        place.works().await;
        failed.is_some()
    })
    .await;
}

async fn waiting_until_nobody_reads(net: Net) {
    let place = Place::new(&net).await;
    at_each(async |point| {
        let (sender, numbers) = Streaming::channel(1);
        let mirrored = within(place.client.mirror(numbers)).await.expect("it starts");
        let dropping = async {
            tokio::task::yield_now().await;
            drop(mirrored);
        };
        let (closed, ()) = tokio::join!(point.drops(sender.closed()), dropping);
        within(sender.closed()).await;
        assert!(sender.is_closed());
        place.works().await;
        closed.is_some()
    })
    .await;
}

async fn waiting_for_the_end_of_a_call(net: Net) {
    let mut place = Place::new(&net).await;
    at_each(async |point| {
        let call = tokio::spawn(place.client.hang());
        let context = within(place.contexts.recv()).await.expect("the service stands");
        let giving_up = async {
            tokio::task::yield_now().await;
            call.abort();
        };
        let (cancelled, ()) = tokio::join!(point.drops(context.cancelled()), giving_up);
        within(context.cancelled()).await;
        assert!(context.is_cancelled());
        place.works().await;
        cancelled.is_some()
    })
    .await;
}

async fn waiting_for_the_server_to_drain(net: Net) {
    at_each(async |point| {
        let mut place = Place::new(&net).await;
        let _call = tokio::spawn(place.client.hang());
        let context = within(place.contexts.recv()).await.expect("the service stands");
        let draining = async {
            tokio::task::yield_now().await;
            place.server.stop_accepting().await;
        };
        let (drained, ()) = tokio::join!(point.drops(context.draining()), draining);
        within(context.draining()).await;
        assert!(!context.is_cancelled(), "it may go on");
        drained.is_some()
    })
    .await;
}
