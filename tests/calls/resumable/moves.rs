//! Events that move a stream to another server.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rpcnet::{CallError, Next, Request, Streaming, interceptor, testing::Network};
use rpcnet_tests::{Net, until, within};
use tokio::{sync::mpsc, time::Instant};

use super::service::{CounterClient, End, Fleet, MS, Node, Refused, Seen};

type Numbers = Streaming<u64, CallError<Refused>>;

/// The next items are these.
pub(crate) async fn expect(numbers: &mut Numbers, expected: impl IntoIterator<Item = u64>) {
    for number in expected {
        let next = within(numbers.next()).await.expect("it goes on");
        assert_eq!(next.expect("without an error"), number);
    }
}

async fn ends(mut numbers: Numbers, expected: impl IntoIterator<Item = u64>) -> Numbers {
    expect(&mut numbers, expected).await;
    assert!(within(numbers.next()).await.is_none());
    numbers
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drains_is_left_at_once() {
    let network = Network::new();
    network.set_latency(MS..2 * MS);
    let fleet = Fleet::start(&network, 2).await;
    let mut numbers = fleet.client.count(100, 10 * MS, End::Clean).await.expect("it begins");
    expect(&mut numbers, 1..=50).await;
    let first = fleet.at();
    let drained = Instant::now();
    fleet.nodes[first].server.stop_accepting().await;
    within(fleet.nodes[first].server.wait_for_in_flight()).await;
    assert!(drained.elapsed() < 50 * MS, "{:?}", drained.elapsed());
    expect(&mut numbers, 51..=52).await;
    assert!(drained.elapsed() < 50 * MS, "{:?}", drained.elapsed());
    let numbers = ends(numbers, 53..=100).await;
    let names = ["1", "2"];
    assert_eq!(fleet.started(), [(names[1 - first].into(), 50)]);
    // They are those of the server that it came from in the end.
    assert_eq!(numbers.metadata().get("x-server"), Some(names[1 - first]));
    assert_eq!(numbers.trailers().expect("it has ended").get("x-last"), Some(names[1 - first]));
}

#[tokio::test]
async fn over_quic_too() {
    let fleet = Fleet::over_quic(2).await;
    let mut numbers = fleet.client.count(60, MS, End::Clean).await.expect("it begins");
    expect(&mut numbers, 1..=20).await;
    let first = fleet.at();
    within(fleet.nodes[first].server.stop_accepting()).await;
    within(fleet.nodes[first].server.wait_for_in_flight()).await;
    ends(numbers, 21..=60).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost() {
    let network = Network::new();
    let fleet = Fleet::start(&network, 3).await;
    let mut numbers = fleet.client.count(100, 10 * MS, End::Clean).await.expect("it begins");
    expect(&mut numbers, 1..=10).await;
    for stop in [30, 50, 70] {
        let at = fleet.at();
        network.around(fleet.nodes[at].addr()).reset_connections();
        let next = numbers.metadata().get("x-server").map(str::to_owned);
        assert_eq!(next, Some((at + 1).to_string()), "until it is asked for items it is where it was");
        expect(&mut numbers, stop - 19..=stop).await;
    }
    ends(numbers, 71..=100).await;
    assert_eq!(fleet.channel.retries(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_killed() {
    let mut fleet = Fleet::start(&Network::new(), 2).await;
    let mut numbers = fleet.client.count(100, 10 * MS, End::Clean).await.expect("it begins");
    expect(&mut numbers, 1..=10).await;
    let at = fleet.at();
    fleet.nodes[at].kill_and_start().await;
    ends(numbers, 11..=100).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_is_left_and_told_when_it_hears_again() {
    let network = Network::new();
    network.set_latency(MS..2 * MS);
    let fleet = Fleet::start(&network, 2).await;
    let mut numbers = fleet.client.count(1000, 10 * MS, End::Clean).await.expect("it begins");
    expect(&mut numbers, 1..=10).await;
    let at = fleet.at();
    let silent = Instant::now();
    network.freeze(fleet.nodes[at].addr());
    expect(&mut numbers, 11..=30).await;
    // Half a second to move, and the items.
    assert!(silent.elapsed() <= 700 * MS, "{:?}", silent.elapsed());
    network.thaw(fleet.nodes[at].addr());
    let mut next = 31;
    while !fleet.seen().contains(&Seen::Left((at + 1).to_string())) {
        expect(&mut numbers, [next]).await;
        next += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_server_that_restarts() {
    let network = Network::new();
    let (sender, mut seen) = mpsc::unbounded_channel();
    let net = Net::Memory(network.host([10, 0, 0, 1]));
    let mut node = Node::start(net.clone(), "1", ([10, 0, 0, 1], 80).into(), sender);
    let client = CounterClient::new(net.connect(&node.server).await);
    // Ten items take longer than a connection needs to count as stable. Else the channel's pauses between dials would
    // grow with each loss, in the end beyond the time that the stream waits for a connection.
    let mut numbers = client.count(100, 250 * MS, End::Clean).await.expect("it begins");
    // The stream keeps the channel.
    drop(client);
    expect(&mut numbers, 1..=10).await;
    within(node.restart()).await;
    expect(&mut numbers, 11..=20).await;
    network.around(node.addr()).reset_connections();
    expect(&mut numbers, 21..=30).await;
    node.kill_and_start().await;
    ends(numbers, 31..=100).await;
    let started =
        std::iter::from_fn(|| seen.try_recv().ok()).filter(|seen| matches!(seen, Seen::Started(..))).count();
    assert!(started >= 4, "{started}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_keeps_its_channel() {
    let network = Network::new();
    let Fleet { mut nodes, channel, client, seen, set } = Fleet::start(&network, 2).await;
    let mut numbers = client.count(100, 10 * MS, End::Clean).await.expect("it begins");
    drop((client, channel));
    expect(&mut numbers, 1..=10).await;
    for node in &mut nodes {
        within(node.restart()).await;
        let so_far = numbers.next().await.expect("it goes on").expect("without an error");
        expect(&mut numbers, so_far + 1..=so_far + 10).await;
    }
    drop(numbers);
    until(|| network.connections() == 0).await;
    drop((seen, set));
}

/// A reader that has stood still for long has nothing to fear.
#[tokio::test(start_paused = true)]
async fn a_reader_that_reads_nothing_does_not_keep_its_server() {
    let network = Network::new();
    let fleet = Fleet::start(&network, 2).await;
    let mut blocks = fleet.client.blocks(2000, 4 << 10).await.expect("it begins");
    let first = blocks.next().await.expect("it begins").expect("without an error");
    assert_eq!(first.0, 1);
    let at = fleet.at();
    // The stream's window is full by now.
    tokio::time::sleep(100 * MS).await;
    let drained = Instant::now();
    fleet.nodes[at].server.stop_accepting().await;
    within(fleet.nodes[at].server.wait_for_in_flight()).await;
    assert!(drained.elapsed() < 1500 * MS, "{:?}", drained.elapsed());
    tokio::time::sleep(60_000 * MS).await;
    for number in 2..=2000 {
        let (next, block) = within(blocks.next()).await.expect("it goes on").expect("without an error");
        assert!(next == number && block[0] == number as u8, "{next} is not {number}");
    }
    assert!(within(blocks.next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn interceptors_see_one_call() {
    let (calls, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let counts = (calls.clone(), over.clone());
    let counting = interceptor::from_fn(move |request: Request, next: Next| {
        let (calls, over) = counts.clone();
        async move {
            calls.fetch_add(1, Ordering::Relaxed);
            let ended = move || {
                over.fetch_add(1, Ordering::Relaxed);
            };
            Ok(next.run(request).await?.on_end(ended))
        }
    });
    let network = Network::new();
    let (sender, _seen) = mpsc::unbounded_channel();
    let net = Net::Memory(network.host([10, 0, 0, 1]));
    let node = Node::start(net.clone(), "1", ([10, 0, 0, 1], 80).into(), sender);
    let builder = net.channel().with_interceptor(counting);
    let client = CounterClient::new(builder.connect("10.0.0.1:80").await.expect("it listens"));
    let mut numbers = client.count(20, 10 * MS, End::Clean).await.expect("it begins");
    expect(&mut numbers, 1..=10).await;
    network.around(node.addr()).reset_connections();
    expect(&mut numbers, 11..=15).await;
    assert_eq!((calls.load(Ordering::Relaxed), over.load(Ordering::Relaxed)), (1, 0));
    drop(ends(numbers, 16..=20).await);
    assert_eq!((calls.load(Ordering::Relaxed), over.load(Ordering::Relaxed)), (1, 1));
}
