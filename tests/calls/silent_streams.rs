//! Streams whose server is killed, stands still or is restarted while somebody waits for an item.

use std::{net::SocketAddr, time::Duration};

use rpcnet::{
    BalancedChannel, BalancedConfig, CallError, Channel, Code, Context, HealthClient, Server, ServerConfig,
    Streaming,
    discover::{Endpoint, EndpointSet},
    rpc_impl, rpc_trait,
    testing::Network,
};
use rpcnet_tests::{Net, run, within};
use tokio::{
    runtime::Runtime,
    sync::watch,
    time::{Instant, sleep},
};

const MS: Duration = Duration::from_millis(1);
/// In which a stream that is waited for notices the death of its server.
const NOTICED: Duration = Duration::from_millis(500);

#[rpc_trait(name = "test.v1.Rare")]
trait Rare {
    /// One item at once, and no other.
    async fn wait(&self) -> rpcnet::Result<Streaming<u64>>;
    /// The same; after a move, the second.
    #[rpc(resumable)]
    async fn moves(&self, cx: &Context) -> rpcnet::Result<Streaming<u64>>;
    async fn hang(&self) -> rpcnet::Result<()>;
}

struct Service;

fn from(first: u64) -> Streaming<u64> {
    let (sender, items) = Streaming::channel(1);
    tokio::spawn(async move {
        let _ = sender.send(first).await;
        sender.closed().await;
    });
    items
}

#[rpc_impl]
impl Rare for Service {
    async fn wait(&self) -> rpcnet::Result<Streaming<u64>> {
        Ok(from(0))
    }

    async fn moves(&self, cx: &Context) -> rpcnet::Result<Streaming<u64>> {
        Ok(from(cx.resume_after()))
    }

    async fn hang(&self) -> rpcnet::Result<()> {
        std::future::pending().await
    }
}

fn serve(net: &Net, addr: SocketAddr) -> Server {
    serve_as(net.server().with_bind_addr(addr).build().expect("complete"))
}

fn serve_as(config: ServerConfig) -> Server {
    let server = Server::new(config).expect("the port is free");
    server.register(RareServer::new(Service)).expect("the first");
    run(&server);
    server
}

fn place(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 80).into()
}

fn balanced(net: &Net, addrs: &[SocketAddr]) -> BalancedChannel {
    let set: EndpointSet = addrs.iter().map(|addr| Endpoint::new(addr.to_string(), *addr)).collect();
    BalancedChannel::new(net.channel(), watch::Sender::new(set).subscribe(), BalancedConfig::default())
        .expect("complete")
}

async fn one(items: &mut Streaming<u64>, expected: u64) {
    assert_eq!(within(items.next()).await.expect("one comes").expect("one comes"), expected);
}

/// Times after the last packet at which a server dies: the looks at a connection are somewhere in between.
fn phases() -> impl Iterator<Item = Duration> {
    (0..2000).step_by(37).map(|millis| millis * MS)
}

#[tokio::test(start_paused = true)]
async fn a_resumable_stream_has_moved_within_half_a_second() {
    // On a long path three probe timeouts of silence are waited for, 450 ms at 40 ms there and back.
    for (latency, noticed) in [(Duration::ZERO, NOTICED), (MS, NOTICED), (20 * MS, NOTICED + 200 * MS)] {
        for phase in phases() {
            let network = Network::new();
            network.set_latency(latency..latency + MS);
            let net = Net::Memory(network.clone());
            let servers = [1, 2].map(|last| serve(&Net::Memory(network.host([10, 0, 0, last])), place(last)));
            let channel = balanced(&net, &[place(1), place(2)]);
            within(async {
                while channel.endpoints().iter().filter(|endpoint| endpoint.ready).count() < 2 {
                    sleep(MS).await;
                }
            })
            .await;
            let mut items = within(RareClient::new(channel).moves()).await.expect("it begins");
            one(&mut items, 0).await;
            let at = servers.iter().position(|server| server.in_flight() > 0).expect("it is at one");
            sleep(phase).await;
            let (begun, dead) = (Instant::now(), servers[at].local_addr());
            network.freeze(dead);
            one(&mut items, 1).await;
            // The round trips of the new call on top.
            let took = begun.elapsed();
            assert!(took <= noticed + 4 * latency, "{took:?} at {phase:?} with {latency:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_can_t_move_waits_for_a_server_that_stands_still() {
    for phase in phases() {
        let network = Network::new();
        let net = Net::Memory(network.clone());
        let _server = serve(&Net::Memory(network.host([10, 0, 0, 1])), place(1));
        let channel = balanced(&net, &[place(1)]);
        let client = RareClient::new(channel.clone());
        let mut items = within(client.wait()).await.expect("it begins");
        one(&mut items, 0).await;
        sleep(phase).await;
        // It is known at once, and calls go elsewhere, where there is an elsewhere.
        let begun = Instant::now();
        network.freeze(place(1));
        while channel.endpoints()[0].ready {
            tokio::select! {
                item = items.next() => panic!("{item:?} at {phase:?}"),
                () = sleep(MS) => {}
            }
        }
        assert!(begun.elapsed() <= NOTICED, "{:?} at {phase:?}", begun.elapsed());
        // One that comes back has lost nothing.
        sleep(2000 * MS).await;
        network.thaw(place(1));
        while !channel.endpoints()[0].ready {
            tokio::select! {
                item = items.next() => panic!("{item:?} at {phase:?}"),
                () = sleep(MS) => {}
            }
        }
        // One that does not is given up as for calls.
        let begun = Instant::now();
        network.freeze(place(1));
        let error = within(items.next()).await.expect("it ends").expect_err("it is cut off");
        assert_eq!(error.code(), Code::Unavailable);
        let took = begun.elapsed();
        assert!((2900 * MS..=3300 * MS).contains(&took), "{took:?} at {phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_happens_sends_little() {
    const SECONDS: u32 = 60;
    for (watches, waits, most) in [(false, false, 1), (true, false, 2), (false, true, 4), (true, true, 4)] {
        let network = Network::new();
        network.set_latency(MS..2 * MS);
        let net = Net::Memory(network.clone());
        let _server = serve(&Net::Memory(network.host([10, 0, 0, 1])), place(1));
        let channel = within(net.channel().connect(place(1).to_string())).await.expect("it listens");
        let (rare, health) = (RareClient::new(channel.clone()), HealthClient::new(channel));
        let mut watch = None;
        if watches {
            let mut updates = within(health.watch()).await.expect("it begins");
            within(updates.next()).await.expect("one comes").expect("one comes");
            watch = Some(updates);
        }
        let mut items = None;
        if waits {
            let mut stream = within(rare.wait()).await.expect("it begins");
            one(&mut stream, 0).await;
            items = Some(stream);
        }
        sleep(1000 * MS).await;
        let before = network.traffic().packets;
        sleep(SECONDS * 1000 * MS).await;
        // Of both sides; each sends half of them, a ping or its acknowledgement.
        let sent = (network.traffic().packets - before) / 2;
        assert!(sent <= u64::from(most * SECONDS), "{sent} with {watches} {waits}");
        drop((watch, items));
    }
}

/// A server on a runtime of its own, which can be killed so that nobody is told.
struct Mortal {
    server: Server,
    runtime: Runtime,
}

impl Mortal {
    fn start(config: ServerConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let _entered = runtime.enter();
        let server = serve_as(config);
        Self { server, runtime }
    }

    /// As SIGKILL does: its sockets are closed, and not a packet is sent.
    async fn kill(self) {
        let Self { server, runtime } = self;
        rpcnet::__fuzz::dies_silently(runtime.handle());
        tokio::task::spawn_blocking(move || {
            runtime.shutdown_timeout(Duration::from_secs(5));
            drop(server);
        })
        .await
        .expect("no panic");
    }
}

/// The errors of a stream and of a call that were waiting when the server died, and the time that each took.
async fn waited_for(channel: Channel, kill: impl Future<Output = ()>) -> [(Duration, CallError); 2] {
    let client = RareClient::new(channel);
    let mut items = within(client.wait()).await.expect("it begins");
    one(&mut items, 0).await;
    let call = tokio::spawn(client.hang().into_future());
    // A packet has just come: from here on the time runs.
    sleep(50 * MS).await;
    let begun = Instant::now();
    kill.await;
    let killed = begun.elapsed();
    let stream = async {
        let error = within(items.next()).await.expect("it ends").expect_err("it is cut off");
        (begun.elapsed() - killed, error.into())
    };
    let call = async {
        let error = within(call).await.expect("no panic").expect_err("it is lost");
        (begun.elapsed() - killed, error)
    };
    let (stream, call) = tokio::join!(stream, call);
    [stream, call]
}

/// A machine that has other things to do adds to half a second; without a proof of the death it would be three.
const PROVEN: Duration = Duration::from_millis(2000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_ends_what_waits_for_it_at_once() {
    let net = Net::quic();
    let mortal = Mortal::start(net.server().build().expect("complete"));
    let channel = net.connect(&mortal.server).await;
    for (took, error) in waited_for(channel, mortal.kill()).await {
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(error.to_string().contains("nobody listens at its address"), "{error}");
        assert!(took < PROVEN, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_restarted_at_once_does_not_know_what_waits_for_it() {
    let net = Net::quic();
    // The address and the certificate stay the same.
    let config = net.server().with_bind_addr(rpcnet_tests::free_addr()).build().expect("complete");
    let mortal = Mortal::start(config.clone());
    let channel = net.connect(&mortal.server).await;
    let mut next = None;
    let restart = async {
        mortal.kill().await;
        next = Some(Mortal::start(config.clone()));
    };
    for (took, error) in waited_for(channel.clone(), restart).await {
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(error.to_string().contains("does not know this connection"), "{error}");
        assert!(took < PROVEN, "{took:?}");
    }
    // The same channel finds the successor, and a resumable stream goes on there. Its streams end before the channel
    // has taken note of the loss, and calls until then fail.
    let rare = RareClient::new(channel);
    let begun = async {
        loop {
            match rare.moves().await {
                Ok(items) => return items,
                Err(error) => assert_eq!(error.code(), Code::Unavailable, "{error}"),
            }
            sleep(MS).await;
        }
    };
    let mut items = within(begun).await;
    one(&mut items, 0).await;
    let begun = Instant::now();
    next.take().expect("it was started").kill().await;
    let next = Mortal::start(config);
    one(&mut items, 1).await;
    assert!(begun.elapsed() < PROVEN, "{:?}", begun.elapsed());
    next.kill().await;
}
