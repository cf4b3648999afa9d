//! `close().await`, on each kind of thing that has connections.

use std::time::Duration;

use rpcnet::{
    BalancedChannel, BalancedConfig, CallError, Caller, Code, ConnectError, Server, Streaming,
    discover::{Endpoint, EndpointSet},
    rpc_impl, rpc_trait,
};
use rpcnet_cluster::Mode;
use rpcnet_tests::{
    Event, Net, ProbeClient, Worker, any_port, cluster_channel, connections, over_both, ready_workers,
    start_director_with, until, within,
};
use tokio::{sync::watch, time::Instant};

/// Far less than the idle timeout of 30 s, after which a server gives a silent client up.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Waits until the server has but so many connections, which must not take long.
pub(crate) async fn left(server: &Server, count: usize) {
    let before = Instant::now();
    until(|| connections(server) == count).await;
    assert!(before.elapsed() < AT_ONCE, "{:?}", before.elapsed());
}

/// The call was not made: its channel has been closed.
fn assert_closed(error: &CallError) {
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(!error.maybe_executed(), "{error}");
    let message = error.status().expect("not the method's").message();
    assert!(message.starts_with("the channel has been closed"), "{message}");
}

fn endpoints(servers: &[&Server]) -> EndpointSet {
    servers.iter().map(|server| Endpoint::new(server.local_addr().to_string(), server.local_addr())).collect()
}

over_both!(
    a_channel,
    a_channel_that_does_not_connect,
    calls_at_work_end,
    a_balanced_channel,
    calls_that_wait_for_an_endpoint_end,
    streams_do_not_go_on_elsewhere,
    a_connector_closes_all_its_channels,
    a_server_s_connector_leaves_the_server_s_connections,
    a_server,
    dropped_half_way,
);

async fn a_channel(net: Net) {
    let (server, _probed) = net.start_probed("server");
    let channel = net.connect(&server).await;
    let clone = channel.clone();
    assert_eq!(ProbeClient::new(channel.clone()).server_name().await.expect("it stands"), "server");
    let before = Instant::now();
    within(channel.close()).await;
    // It knows when the goodbye was sent: otherwise it would wait for a second.
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    left(&server, 0).await;
    for channel in [channel.clone(), clone] {
        assert!(!channel.is_connected());
        let client = ProbeClient::new(channel);
        assert_closed(&within(client.once(1)).await.expect_err("closed"));
        assert_closed(&within(client.once(2)).await.expect_err("closed"));
    }
    within(channel.close()).await;
    // It does not come back.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(connections(&server), 0);
}

async fn a_channel_that_does_not_connect(net: Net) {
    let nobody = rpcnet_tests::free_addr();
    let channel = net.channel().connect_lazy(nobody.to_string()).expect("an address");
    let client = ProbeClient::new(channel.clone());
    let waiting = tokio::spawn(client.once(1));
    within(channel.close()).await;
    let error = within(waiting).await.expect("no panic").expect_err("nobody is there");
    assert!(!error.maybe_executed(), "{error}");
    assert_closed(&within(client.once(2)).await.expect_err("closed"));
}

async fn calls_at_work_end(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let channel = net.connect(&server).await;
    let held = tokio::spawn(ProbeClient::new(channel.clone()).hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    within(channel.close()).await;
    let error = within(held).await.expect("no panic").expect_err("its connection is closed");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.maybe_executed(), "{error}");
    assert_eq!(probed.event().await, Event::Dropped(1));
    left(&server, 0).await;
}

async fn a_balanced_channel(net: Net) {
    let (first, _first) = net.start_probed("first");
    let (second, _second) = net.start_probed("second");
    let set = watch::Sender::new(endpoints(&[&first, &second]));
    let channel = BalancedChannel::new(net.channel(), set.subscribe(), BalancedConfig::default());
    let channel = channel.expect("complete");
    until(|| channel.endpoints().iter().filter(|endpoint| endpoint.ready).count() == 2).await;
    let client = ProbeClient::new(channel.clone());
    client.server_name().await.expect("both answer");
    within(channel.close()).await;
    left(&first, 0).await;
    left(&second, 0).await;
    // An idempotent call is not made again elsewhere, for there is no elsewhere.
    assert_closed(&within(client.server_name()).await.expect_err("closed"));
    assert_closed(&within(client.once(1)).await.expect_err("closed"));
    // The set is not followed any more.
    let (third, _third) = net.start_probed("third");
    set.send_replace(endpoints(&[&third]));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(connections(&third), 0);
    within(channel.ready()).await;
    within(channel.close()).await;
}

async fn calls_that_wait_for_an_endpoint_end(net: Net) {
    let set = watch::Sender::new(EndpointSet::from([]));
    let config = BalancedConfig::default().with_ready_timeout(Duration::from_secs(20));
    let channel = BalancedChannel::new(net.channel(), set.subscribe(), config).expect("complete");
    let before = Instant::now();
    let waiting = tokio::spawn(ProbeClient::new(channel.clone()).once(1));
    tokio::task::yield_now().await;
    within(channel.close()).await;
    assert_closed(&within(waiting).await.expect("no panic").expect_err("closed"));
    assert!(before.elapsed() < AT_ONCE, "{:?}", before.elapsed());
}

#[rpc_trait(name = "test.v1.Ticks")]
trait Ticks {
    /// One item, and then none for ever.
    #[rpc(resumable)]
    async fn ticks(&self, cx: &rpcnet::Context) -> rpcnet::Result<Streaming<u64>>;
}

struct Ticking;

#[rpc_impl]
impl Ticks for Ticking {
    async fn ticks(&self, cx: &rpcnet::Context) -> rpcnet::Result<Streaming<u64>> {
        let cx = cx.clone();
        let (sender, items) = Streaming::channel(1);
        tokio::spawn(async move {
            let _ = sender.send(1).await;
            cx.cancelled().await;
        });
        Ok(items)
    }
}

async fn streams_do_not_go_on_elsewhere(net: Net) {
    let server = net.start();
    server.register(TicksServer::new(Ticking)).expect("the first of its name");
    let channel = net.connect(&server).await;
    let set = watch::Sender::new(endpoints(&[&server]));
    let balanced = BalancedChannel::new(net.channel(), set.subscribe(), BalancedConfig::default());
    let balanced = balanced.expect("complete");

    async fn begin<C: Caller + Clone>(channel: &C) -> Streaming<u64> {
        let mut ticks = within(TicksClient::new(channel.clone()).ticks()).await.expect("it is served");
        assert_eq!(within(ticks.next()).await.expect("one comes").expect("a number"), 1);
        ticks
    }
    async fn ends(mut ticks: Streaming<u64>) {
        let before = Instant::now();
        let error = within(ticks.next()).await.expect("no end in good order").expect_err("closed");
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        // Another server would be waited for, for 5 s.
        assert!(before.elapsed() < Duration::from_secs(4), "{:?}", before.elapsed());
    }
    let (one, other) = (begin(&channel).await, begin(&balanced).await);
    within(channel.close()).await;
    ends(one).await;
    within(balanced.close()).await;
    ends(other).await;
    left(&server, 0).await;
}

async fn a_connector_closes_all_its_channels(net: Net) {
    let (first, _first) = net.start_probed("first");
    let (second, _second) = net.start_probed("second");
    let connector = net.channel().connector().expect("complete");
    let one = connector.connect(first.local_addr().to_string()).await.expect("it listens");
    let other = connector.connect(second.local_addr().to_string()).await.expect("it listens");
    let set = watch::Sender::new(endpoints(&[&first, &second]));
    let balanced = connector.balanced(set.subscribe(), BalancedConfig::default());
    until(|| connections(&first) == 2 && connections(&second) == 2).await;
    // One of them alone.
    within(one.close()).await;
    left(&first, 1).await;
    ProbeClient::new(other.clone()).server_name().await.expect("it stands");

    within(connector.clone().close()).await;
    left(&first, 0).await;
    left(&second, 0).await;
    assert_closed(&within(ProbeClient::new(other).once(1)).await.expect_err("closed"));
    assert_closed(&within(ProbeClient::new(balanced).once(1)).await.expect_err("closed"));
    let address = first.local_addr().to_string();
    let closed = |result: Result<_, ConnectError>| matches!(result, Err(ConnectError::Closed));
    assert!(closed(within(connector.connect(&address)).await.map(drop)));
    assert!(closed(connector.connect_lazy(&address).map(drop)));
    let later = connector.balanced(set.subscribe(), BalancedConfig::default());
    assert_closed(&within(ProbeClient::new(later).once(1)).await.expect_err("closed"));
    within(connector.close()).await;
}

async fn a_server_s_connector_leaves_the_server_s_connections(net: Net) {
    let (server, _probed) = net.start_probed("server");
    let (other, _other) = net.start_probed("other");
    let incoming = net.connect(&server).await;
    let (mine, theirs) = (server.connector(), server.connector());
    let address = other.local_addr().to_string();
    let channel = mine.connect(&address).await.expect("it listens");
    let stays = theirs.connect(&address).await.expect("it listens");
    until(|| connections(&other) == 2).await;
    within(mine.close()).await;
    left(&other, 1).await;
    assert_closed(&within(ProbeClient::new(channel).once(1)).await.expect_err("closed"));
    assert!(matches!(mine.connect(&address).await, Err(ConnectError::Closed)));
    assert_eq!(ProbeClient::new(stays).server_name().await.expect("it stands"), "other");
    assert_eq!(ProbeClient::new(incoming).server_name().await.expect("it stands"), "server");
    assert_eq!(connections(&server), 1);
    theirs.connect(&address).await.expect("the socket is open");
}

async fn a_server(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let channel = net.connect(&server).await;
    let held = tokio::spawn(ProbeClient::new(channel.clone()).hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    within(server.close()).await;
    let error = within(held).await.expect("no panic").expect_err("the server is closed");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    within(server.closed()).await;
    within(server.close()).await;
    left(&server, 0).await;
}

async fn dropped_half_way(net: Net) {
    let (server, _probed) = net.start_probed("server");
    let channel = net.connect(&server).await;
    {
        let mut closing = std::pin::pin!(channel.close());
        // One poll, whatever it comes to.
        std::future::poll_fn(|cx| {
            let _ = closing.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
    }
    assert_closed(&within(ProbeClient::new(channel).once(1)).await.expect_err("closed"));
    left(&server, 0).await;
}

async fn a_cluster_channel(net: Net, mode: Mode) {
    let (host, _director) =
        start_director_with(&net, any_port(), &[], |director| director.with_relay(mode == Mode::Relay)).await;
    let worker = Worker::start(&net, "worker", &[host.addr()]).await;
    // Links of gossip are connections too.
    let builder = cluster_channel(&net, &[host.addr()]).with_mode(mode);
    let channel = builder.connect().await.expect("it answers");
    if mode == Mode::Direct {
        ready_workers(&channel, 1).await;
    }
    let client = ProbeClient::new(channel.clone());
    assert_eq!(within(client.server_name()).await.expect("the worker answers"), "worker");
    let of_calls = |server: &Server| server.in_flight() + connections(server);
    assert!(of_calls(&host.server) > 0 && of_calls(&worker.host.server) > 0);
    within(channel.close()).await;
    assert_closed(&within(client.once(1)).await.expect_err("closed"));
    assert!(channel.endpoints().iter().all(|endpoint| !endpoint.ready));
    within(channel.close()).await;
}

#[tokio::test]
async fn a_cluster_channel_to_workers() {
    a_cluster_channel(Net::quic(), Mode::Direct).await;
}

#[tokio::test]
async fn a_cluster_channel_through_directors() {
    a_cluster_channel(Net::quic(), Mode::Relay).await;
}
