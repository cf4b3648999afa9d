//! Ends of streams that could go on elsewhere.

use std::time::Duration;

use rpcnet::{CallError, Code, Context, Streaming, rpc_impl, rpc_trait, testing::Network};
use rpcnet_tests::{Net, until, within};
use tokio::time::Instant;

use super::{
    moves::expect,
    service::{End, Fleet, MS, Refused, Seen},
};

#[tokio::test(start_paused = true)]
async fn errors_of_the_method() {
    let fleet = Fleet::start(&Network::new(), 2).await;
    let mut numbers = fleet.client.count(3, MS, End::Refused).await.expect("it begins");
    expect(&mut numbers, 1..=3).await;
    let error = numbers.next().await.expect("an error").expect_err("its own");
    assert!(matches!(&error, CallError::Application(Refused(why)) if why == "enough"), "{error}");
    assert!(numbers.next().await.is_none());
    assert!(numbers.trailers().expect("it has ended").get("x-last").is_some());

    let mut numbers = fleet.client.count(3, MS, End::Internal).await.expect("it begins");
    expect(&mut numbers, 1..=3).await;
    let error = numbers.next().await.expect("an error").expect_err("a status");
    assert_eq!(error.code(), Code::Internal);
    assert_eq!(fleet.started().len(), 2, "neither was made again");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_go_on() {
    let network = Network::new();
    let fleet = Fleet::start(&network, 2).await;
    let mut numbers = fleet.client.count(100, 10 * MS, End::NotInTheMiddle).await.expect("it begins");
    expect(&mut numbers, 1..=3).await;
    network.around(fleet.nodes[fleet.at()].addr()).reset_connections();
    let error = within(numbers.next()).await.expect("an error").expect_err("it is refused");
    let CallError::Status(status) = error else { panic!("it is not the stream's own error") };
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.details().ends_with(b"begin anew"), "{status}");
    assert!(numbers.next().await.is_none());
}

/// A stream without progress is resumed a bounded number of times.
#[tokio::test(start_paused = true)]
async fn it_does_not_go_on_for_ever_without_an_item() {
    let fleet = Fleet::start(&Network::new(), 2).await;
    let mut numbers = fleet.client.count(2, MS, End::Unavailable).await.expect("it begins");
    expect(&mut numbers, 1..=2).await;
    let error = within(numbers.next()).await.expect("an error").expect_err("a status");
    assert!(matches!(&error, CallError::Status(status) if status.message() == "not now"), "{error}");
    let started = fleet.started();
    assert_eq!(started.len(), 17);
    assert!(started[1..].iter().all(|(_, after)| *after == 2));
    assert!(started.iter().any(|(name, _)| name == "1") && started.iter().any(|(name, _)| name == "2"));
}

#[tokio::test(start_paused = true)]
async fn it_does_not_wait_for_ever_for_a_server() {
    let network = Network::new();
    let fleet = Fleet::start(&network, 2).await;
    let mut numbers = fleet.client.count(100, 10 * MS, End::Clean).await.expect("it begins");
    expect(&mut numbers, 1..=5).await;
    let gone = Instant::now();
    for node in &fleet.nodes {
        node.server.stop_accepting().await;
    }
    let error = within(numbers.next()).await.expect("an error").expect_err("a status");
    assert_eq!(error.code(), Code::Unavailable);
    let waited = gone.elapsed();
    assert!(waited >= Duration::from_secs(5) && waited < Duration::from_secs(7), "{waited:?}");
    assert!(numbers.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_one_for_all_parts() {
    let network = Network::new();
    let fleet = Fleet::start(&network, 2).await;
    let began = Instant::now();
    let call = fleet.client.count(1000, 100 * MS, End::Clean).timeout(2000 * MS);
    let mut numbers = call.await.expect("it begins");
    expect(&mut numbers, 1..=10).await;
    network.around(fleet.nodes[fleet.at()].addr()).reset_connections();
    expect(&mut numbers, 11..=15).await;
    let left = fleet.seen().into_iter().find_map(|seen| match seen {
        Seen::Started(_, 10, left) => left,
        _ => None,
    });
    let left = left.expect("it has a deadline there too");
    assert!(left > 800 * MS && left <= 1000 * MS, "{left:?}");
    let error = loop {
        match within(numbers.next()).await.expect("an error at last") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert_eq!(began.elapsed().as_millis(), 2000);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_holds_while_it_moves() {
    let network = Network::new();
    let fleet = Fleet::start(&network, 2).await;
    let began = Instant::now();
    let mut numbers =
        fleet.client.count(100, 10 * MS, End::Clean).timeout(2000 * MS).await.expect("it begins");
    expect(&mut numbers, 1..=5).await;
    for node in &fleet.nodes {
        node.server.stop_accepting().await;
    }
    let error = within(numbers.next()).await.expect("an error").expect_err("a status");
    // No server came in time, or none was left: both are told as what the attempt has come to.
    assert!(matches!(error.code(), Code::DeadlineExceeded | Code::Unavailable), "{error}");
    assert!(began.elapsed() <= 2001 * MS, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whoever_drops_the_stream_cancels_it() {
    let network = Network::new();
    let fleet = Fleet::start(&network, 2).await;
    let mut numbers = fleet.client.count(1000, 10 * MS, End::Clean).await.expect("it begins");
    expect(&mut numbers, 1..=10).await;
    network.around(fleet.nodes[fleet.at()].addr()).reset_connections();
    expect(&mut numbers, 11..=20).await;
    drop(numbers);
    let mut left = Vec::new();
    until(|| {
        left.extend(fleet.seen().into_iter().filter(|seen| matches!(seen, Seen::Left(_))));
        left.len() == 2
    })
    .await;
    until(|| fleet.nodes.iter().all(|node| node.server.in_flight() == 0)).await;

    // And while it moves.
    let mut numbers = fleet.client.count(1000, 10 * MS, End::Clean).await.expect("it begins");
    expect(&mut numbers, 1..=10).await;
    for node in &fleet.nodes {
        node.server.stop_accepting().await;
    }
    let next = tokio::time::timeout(1000 * MS, numbers.next()).await;
    assert!(next.is_err(), "there is no server: {next:?}");
    drop(numbers);
    drop((fleet.client, fleet.channel));
    until(|| network.connections() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn the_time_for_an_item_holds_while_it_moves() {
    let network = Network::new();
    let fleet = Fleet::start(&network, 2).await;
    let call = fleet.client.count(100, 10 * MS, End::Clean).item_timeout(500 * MS);
    let mut numbers = call.await.expect("it begins");
    expect(&mut numbers, 1..=5).await;
    let gone = Instant::now();
    for node in &fleet.nodes {
        node.server.stop_accepting().await;
    }
    let error = within(numbers.next()).await.expect("an error").expect_err("a status");
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert!(gone.elapsed() <= 600 * MS, "{:?}", gone.elapsed());
}

/// The same service to somebody who knows nothing of moving.
#[rpc_trait(name = "test.v1.Counter")]
trait Fixed {
    async fn count(&self, cx: &Context, to: u64, pace: Duration) -> rpcnet::Result<Streaming<u64>>;
}

#[rpc_trait(name = "test.v1.Counter")]
trait Moving {
    #[rpc(resumable)]
    async fn count(&self, cx: &Context, to: u64, pace: Duration) -> rpcnet::Result<Streaming<u64>>;
}

struct Anew;

#[rpc_impl]
impl Fixed for Anew {
    async fn count(&self, cx: &Context, to: u64, pace: Duration) -> rpcnet::Result<Streaming<u64>> {
        let _ = (cx, pace);
        Ok(Streaming::iter(1..=to))
    }
}

/// Else it would begin anew in the middle.
#[tokio::test(start_paused = true)]
async fn both_sides_agree_that_a_method_is_resumable() {
    let net = Net::memory();
    let server = net.start();
    server.register(FixedServer::new(Anew)).expect("the first of its name");
    let channel = net.connect(&server).await;
    let numbers = FixedClient::new(channel.clone()).count(3, MS).await.expect("they agree");
    assert_eq!(numbers.collect().await.expect("no error"), [1, 2, 3]);
    let error = MovingClient::new(channel).count(3, MS).await.expect_err("they don't");
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(!error.maybe_executed());
}
