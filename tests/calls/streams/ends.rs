//! Ends of streams, well or not, and their effect on the other side.

use std::{pin::pin, time::Duration};

use rpcnet::{CallError, Code, Status, Streaming};
use rpcnet_tests::{Net, over_a_relay, over_both, within};

use super::service::{Place, Refused, Seen, Step, say, texts};

over_both!(
    items_come_in_order_and_then_the_end,
    errors_are_typed_before_and_within,
    a_client_sends_and_gets_one_answer,
    an_answer_need_not_wait_for_the_rest,
    both_ways_at_once_and_half_closed,
    what_a_handler_gets_it_may_give_back,
    dropping_a_stream_cancels_the_handler,
    dropping_a_call_ends_what_its_handler_reads,
    a_source_that_fails_is_no_end,
    a_lost_connection_is_no_end,
    a_stream_is_finished_while_the_server_drains,
    a_dead_peer_shows_on_a_stream_too,
);

over_a_relay!(
    items_come_in_order_and_then_the_end,
    errors_are_typed_before_and_within,
    a_client_sends_and_gets_one_answer,
    an_answer_need_not_wait_for_the_rest,
    both_ways_at_once_and_half_closed,
    what_a_handler_gets_it_may_give_back,
    dropping_a_stream_cancels_the_handler,
    dropping_a_call_ends_what_its_handler_reads,
    a_source_that_fails_is_no_end,
    a_lost_connection_is_no_end,
    a_stream_is_finished_while_the_server_drains,
    a_dead_peer_shows_on_a_stream_too,
);

async fn items_come_in_order_and_then_the_end(net: Net) {
    let place = Place::new(&net).await;
    let mut items = within(place.client.play(say(&["a", "", "c"]))).await.expect("it starts");
    for expected in ["a", "", "c"] {
        assert_eq!(within(items.next()).await.expect("not the end").expect("an item"), expected);
    }
    assert!(within(items.next()).await.is_none());
    assert!(within(items.next()).await.is_none(), "the end stays the end");

    let none = within(place.client.play(Vec::new())).await.expect("it starts");
    assert_eq!(within(none.collect()).await.expect("a clean end"), [""; 0]);
    let units = within(place.client.units(10_000)).await.expect("it starts");
    assert_eq!(within(units.collect()).await.expect("a clean end").len(), 10_000);
    place.quiet().await;
}

async fn errors_are_typed_before_and_within(net: Net) {
    let place = Place::new(&net).await;
    let refused = within(place.client.play(vec![Step::Refuse("no".into())])).await;
    assert!(matches!(refused, Err(CallError::Application(Refused(why))) if why == "no"));

    let script = [say(&["a"]), vec![Step::Refuse("enough".into())]].concat();
    let mut items = within(place.client.play(script)).await.expect("it starts");
    assert_eq!(within(items.next()).await.expect("not the end").expect("an item"), "a");
    let error = within(items.next()).await.expect("not the end").expect_err("the stream's own error");
    assert!(matches!(error, CallError::Application(Refused(why)) if why == "enough"));
    assert!(within(items.next()).await.is_none(), "nothing follows an error");

    for (step, code) in
        [(Step::Fail, Code::NotFound), (Step::Forget, Code::Internal), (Step::Panic, Code::Internal)]
    {
        let script = [say(&["a"]), vec![step.clone()]].concat();
        let mut items = within(place.client.play(script)).await.expect("it starts");
        assert_eq!(within(items.next()).await.expect("not the end").expect("an item"), "a");
        let error = within(items.next()).await.expect("not the end").expect_err("a status");
        assert_eq!(error.code(), code, "{step:?}: {error}");
        assert!(error.maybe_executed());
    }
    place.quiet().await;
    let counted = r#"rpc_panics_total{method="test.v1.Streams/play"} 1"#;
    assert!(place.server.metrics().render().contains(counted), "a stream's panic counts as its handler's");
}

async fn a_client_sends_and_gets_one_answer(net: Net) {
    let mut place = Place::new(&net).await;
    let sum = within(place.client.sum(1, Streaming::iter([2, 3, 4]))).await;
    assert_eq!(sum.expect("added"), 10);
    assert_eq!(place.seen().await, Seen::Ended(None));
    assert_eq!(within(place.client.sum(1, Streaming::empty())).await.expect("added"), 1);
    assert_eq!(place.seen().await, Seen::Ended(None));
    let refused = within(place.client.sum(1, Streaming::iter([2, 13, 4]))).await;
    assert!(matches!(refused, Err(CallError::Application(Refused(why))) if why == "13"));
    place.quiet().await;
}

async fn an_answer_need_not_wait_for_the_rest(net: Net) {
    let place = Place::new(&net).await;
    let (sender, numbers) = Streaming::channel(1);
    let call = tokio::spawn({
        let client = place.client.clone();
        async move { client.first(numbers).await }
    });
    within(sender.send(7)).await.expect("it is read");
    let first = within(call).await.expect("no panic").expect("answered");
    assert_eq!(first, Some(7));
    within(sender.closed()).await;
    place.quiet().await;
}

async fn both_ways_at_once_and_half_closed(net: Net) {
    let place = Place::new(&net).await;
    let (sender, said) = Streaming::channel(1);
    let mut answers = within(place.client.chat(said)).await.expect("it starts before anything was said");
    for text in ["to be", "or not"] {
        within(sender.send(text.to_owned())).await.expect("it is read");
        let answer = within(answers.next()).await.expect("not the end").expect("an item");
        assert_eq!(answer, text.to_uppercase());
    }
    sender.finish();
    let last = within(answers.next()).await.expect("not the end").expect("an item");
    assert_eq!(last, "goodbye, false");
    assert!(within(answers.next()).await.is_none());
    place.quiet().await;
}

async fn what_a_handler_gets_it_may_give_back(net: Net) {
    let place = Place::new(&net).await;
    let answers = within(place.client.mirror(texts(&["a", "b"]))).await.expect("it starts");
    assert_eq!(within(answers.collect()).await.expect("a clean end"), ["a", "b"]);
    // And a client what it gets.
    let answers = within(place.client.mirror(texts(&["a", "b"]))).await.expect("it starts");
    let again = within(place.client.mirror(answers)).await.expect("it starts");
    assert_eq!(within(again.collect()).await.expect("a clean end"), ["a", "b"]);
    place.quiet().await;
}

async fn dropping_a_stream_cancels_the_handler(net: Net) {
    let mut place = Place::new(&net).await;
    let script = [say(&["a"]), vec![Step::Hang]].concat();
    let mut items = within(place.client.play(script)).await.expect("it starts");
    assert!(within(items.next()).await.expect("not the end").is_ok());
    drop(items);
    assert_eq!(place.seen().await, Seen::Cancelled);

    let mut blocks = within(place.client.blocks(u64::MAX, 1000)).await.expect("it starts");
    assert!(within(blocks.next()).await.expect("not the end").is_ok());
    drop(blocks);
    assert_eq!(place.seen().await, Seen::Closed);
    place.quiet().await;
}

async fn dropping_a_call_ends_what_its_handler_reads(net: Net) {
    let mut place = Place::new(&net).await;
    let (sender, numbers) = Streaming::channel(1);
    {
        let mut call = pin!(place.client.sum(0, numbers));
        let sent = async {
            for number in 0..3 {
                sender.send(number).await.expect("it is read");
            }
        };
        tokio::select! {
            _ = &mut call => panic!("it is not answered yet"),
            () = within(sent) => {}
        }
    }
    assert_eq!(place.seen().await, Seen::Ended(Some(Code::Cancelled)));
    within(sender.closed()).await;
    place.quiet().await;
}

async fn a_source_that_fails_is_no_end(net: Net) {
    let mut place = Place::new(&net).await;
    let (sender, numbers) = Streaming::channel(2);
    sender.send(1).await.expect("there is room");
    sender.fail(Status::data_loss("the disk")).await;
    within(place.client.sum(0, numbers)).await.expect_err("refused");
    assert_eq!(place.seen().await, Seen::Ended(Some(Code::DataLoss)));

    let (sender, numbers) = Streaming::channel(2);
    sender.send(1).await.expect("there is room");
    drop(sender);
    within(place.client.sum(0, numbers)).await.expect_err("refused");
    assert_eq!(place.seen().await, Seen::Ended(Some(Code::Internal)));
    place.quiet().await;
}

async fn a_lost_connection_is_no_end(net: Net) {
    let mut place = Place::new(&net).await;
    let script = [say(&["a"]), vec![Step::Hang]].concat();
    let mut items = within(place.client.play(script)).await.expect("it starts");
    assert!(within(items.next()).await.expect("not the end").is_ok());
    let (sender, said) = Streaming::channel(1);
    let mut answers = within(place.client.chat(said)).await.expect("it starts");
    within(sender.send("b".into())).await.expect("it is read");
    assert!(within(answers.next()).await.expect("not the end").is_ok());
    place.server.shutdown().await.expect("it goes down");
    let error = within(items.next()).await.expect("not the end").expect_err("the connection is gone");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.maybe_executed());
    let error = within(answers.next()).await.expect("not the end").expect_err("the connection is gone");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    within(sender.closed()).await;
    let mut ends = [place.seen().await, place.seen().await];
    ends.sort_by_key(|seen| *seen != Seen::Cancelled);
    assert_eq!(ends, [Seen::Cancelled, Seen::Ended(Some(Code::Unavailable))]);
}

async fn a_stream_is_finished_while_the_server_drains(net: Net) {
    let place = Place::new(&net).await;
    let (sender, said) = Streaming::channel(1);
    let mut answers = within(place.client.chat(said)).await.expect("it starts");
    place.server.stop_accepting().await;
    within(sender.send("more".to_owned())).await.expect("it is read");
    assert_eq!(within(answers.next()).await.expect("not the end").expect("an item"), "MORE");
    let refused = within(place.client.units(1)).await.expect_err("nothing new is taken");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(!refused.maybe_executed());
    sender.finish();
    assert_eq!(within(answers.collect()).await.expect("a clean end"), ["goodbye, false"]);
    place.quiet().await;
}

async fn a_dead_peer_shows_on_a_stream_too(net: Net) {
    let place = Place::new(&net).await;
    let mut items = within(place.client.play(vec![Step::Hang])).await.expect("it starts");
    // As long as the peer's process answers, a stream may be silent for any time.
    let quiet = tokio::time::timeout(Duration::from_secs(5), items.next()).await;
    assert!(quiet.is_err(), "nothing comes");
}
