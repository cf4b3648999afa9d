//! Channels and servers outside of the runtime on which they were made: on other runtimes, which stop or are dropped, and
//! on executors that are not tokio's.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use rpcnet::{
    BalancedChannel, BalancedConfig, CallError, Caller, Channel, Code, ConnectError, Server, ServerError,
    Streaming,
    discover::{Endpoint, EndpointSet},
    rpc_impl, rpc_trait,
};
use rpcnet_cluster::{ClusterExt, Director};
use rpcnet_tests::{Net, cluster_channel, local, run};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    time::Instant,
};

#[rpc_trait(name = "test.v1.Anywhere")]
trait Anywhere {
    #[rpc(idempotent)]
    async fn echo(&self, text: String) -> rpcnet::Result<String>;
    async fn hang(&self) -> rpcnet::Result<()>;
    async fn count(&self, to: u64) -> rpcnet::Result<Streaming<u64>>;
    /// One item, and no end.
    async fn one(&self) -> rpcnet::Result<Streaming<u64>>;
    #[rpc(resumable)]
    async fn numbers(&self, cx: &rpcnet::Context, to: u64) -> rpcnet::Result<Streaming<u64>>;
    async fn sum(&self, numbers: Streaming<u64>) -> rpcnet::Result<u64>;
}

struct Service;

fn counted(range: std::ops::Range<u64>) -> Streaming<u64> {
    let (sender, items) = Streaming::channel(4);
    tokio::spawn(async move {
        for number in range {
            if sender.send(number).await.is_err() {
                return;
            }
        }
        sender.finish();
    });
    items
}

#[rpc_impl]
impl Anywhere for Service {
    async fn echo(&self, text: String) -> rpcnet::Result<String> {
        Ok(text)
    }

    async fn hang(&self) -> rpcnet::Result<()> {
        std::future::pending().await
    }

    async fn count(&self, to: u64) -> rpcnet::Result<Streaming<u64>> {
        Ok(counted(0..to))
    }

    async fn one(&self) -> rpcnet::Result<Streaming<u64>> {
        let (sender, items) = Streaming::channel(1);
        tokio::spawn(async move {
            let _ = sender.send(1).await;
            sender.closed().await;
        });
        Ok(items)
    }

    async fn numbers(&self, cx: &rpcnet::Context, to: u64) -> rpcnet::Result<Streaming<u64>> {
        Ok(counted(cx.resume_after()..to))
    }

    async fn sum(&self, mut numbers: Streaming<u64>) -> rpcnet::Result<u64> {
        let mut sum = 0;
        while let Some(number) = numbers.next().await {
            sum += number?;
        }
        Ok(sum)
    }
}

/// A server and a channel on a runtime of their own, which is driven.
struct Place {
    net: Net,
    server: Server,
    channel: Channel,
    runtime: Runtime,
}

impl Place {
    fn new() -> Self {
        Self::over(Net::quic())
    }

    fn over(net: Net) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (server, channel) = runtime.block_on(async {
            let server = net.start();
            server.register(AnywhereServer::new(Service)).expect("the first");
            let channel = net.connect(&server).await;
            (server, channel)
        });
        Self { net, server, channel, runtime }
    }

    fn client(&self) -> AnywhereClient<Channel> {
        AnywhereClient::new(self.channel.clone())
    }

    fn balanced(&self) -> BalancedChannel {
        let _entered = self.runtime.enter();
        let addr = self.server.local_addr();
        let set: EndpointSet = [Endpoint::new(addr.to_string(), addr)].into_iter().collect();
        let (sender, set) = watch::channel(set);
        let channel = BalancedChannel::new(self.net.channel(), set, BalancedConfig::default());
        drop(sender);
        channel.expect("it is complete")
    }

    /// A call from the place's own runtime succeeds.
    fn check(&self) {
        let call = self.client().echo("own".into()).timeout(Duration::from_secs(20));
        let answer = self.runtime.block_on(async { tokio::spawn(call).await.expect("no panic") });
        assert_eq!(answer.expect("it is answered"), "own");
        let hangs = self.client().hang().timeout(Duration::from_millis(100));
        assert_times_out(self.runtime.block_on(hangs));
    }
}

fn assert_times_out<T: std::fmt::Debug>(result: Result<T, CallError>) {
    assert_eq!(result.expect_err("it hangs").code(), Code::DeadlineExceeded);
}

fn idle_runtime() -> Runtime {
    // Neither I/O nor time: what is needed of these is the channel's own.
    Builder::new_current_thread().build().expect("a runtime")
}

/// An executor that is not tokio's.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        assert!(Instant::now() < give_up, "nothing has come for a minute");
        thread::park_timeout(Duration::from_secs(1));
    }
}

/// Polls a future so often, on an executor that then forgets it.
fn poll_times<F: Future + Unpin>(future: &mut F, times: usize) {
    for _ in 0..times {
        let _ = Pin::new(&mut *future).poll(&mut Context::from_waker(Waker::noop()));
    }
}

#[test]
fn a_first_call_from_a_runtime_that_stops_leaves_others_alone() {
    for drops in [false, true] {
        let place = Place::new();
        let other = idle_runtime();
        let answer = other.block_on(place.client().echo("first".into()));
        assert_eq!(answer.expect("it is answered"), "first");
        let kept = if drops { None } else { Some(other) };
        place.check();
        drop(kept);
    }
}

#[test]
fn a_call_that_is_polled_no_more_holds_up_nobody() {
    for polls in [1, 2, 5] {
        let place = Place::new();
        // The first opens the lane; the second is alone on it, and may read its answer itself.
        let mut first = place.client().hang();
        poll_times(&mut first, polls);
        place.check();
        drop(first);
        place.check();
        let mut second = place.client().hang();
        poll_times(&mut second, polls);
        place.check();
        let balanced = AnywhereClient::new(place.balanced());
        let mut third = balanced.hang();
        poll_times(&mut third, polls);
        let answer = block_on(balanced.echo("others".into()).timeout(Duration::from_secs(20)));
        assert_eq!(answer.expect("it is answered"), "others");
    }
}

#[test]
fn a_pool_of_threads_with_a_runtime_a_job_loses_no_call() {
    const JOBS: usize = 40;
    let place = Place::new();
    thread::scope(|scope| {
        for thread in 0..4 {
            let place = &place;
            scope.spawn(move || {
                for job in 0..JOBS {
                    let text = format!("{thread}/{job}");
                    let call = place.client().echo(text.clone()).timeout(Duration::from_secs(30));
                    let given_up = place.client().hang();
                    let answer = idle_runtime().block_on(async {
                        let mut given_up = given_up;
                        poll_times(&mut given_up, 1);
                        call.await
                    });
                    assert_eq!(answer.expect("it is answered"), text);
                }
            });
        }
    });
    place.check();
}

fn all_kinds<C: Caller>(client: &AnywhereClient<C>) {
    let soon = Duration::from_millis(200);
    assert_eq!(block_on(client.echo("small".into())).expect("it is answered"), "small");
    let large = "large".repeat(100_000);
    assert_eq!(block_on(client.echo(large.clone())).expect("it is answered"), large);
    assert_times_out(block_on(client.hang().timeout(soon)));
    let read = |mut items: Streaming<u64>| async move {
        let mut read = Vec::new();
        while let Some(item) = items.next().await {
            read.push(item.expect("it comes"));
        }
        read
    };
    let counted = block_on(async { read(client.count(100).await.expect("it begins")).await });
    assert_eq!(counted, (0..100).collect::<Vec<_>>());
    let numbers = block_on(async { read(client.numbers(100).await.expect("it begins")).await });
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    let items: Streaming<u64> = Streaming::iter(0..100);
    assert_eq!(block_on(client.sum(items)).expect("it is answered"), 4950);

    for call in [client.one().timeout(soon), client.one().item_timeout(soon)] {
        let mut items = block_on(call).expect("it begins");
        assert_eq!(block_on(items.next()).expect("one comes").expect("one comes"), 1);
        let error = block_on(items.next()).expect("it ends").expect_err("it hangs");
        assert_eq!(error.code(), Code::DeadlineExceeded);
    }
}

#[test]
fn calls_need_no_tokio_where_they_are_awaited() {
    for net in [Net::quic(), Net::quic().without_lanes(), Net::memory()] {
        let place = Place::over(net);
        all_kinds(&place.client());
        let balanced = place.balanced();
        block_on(balanced.ready());
        all_kinds(&AnywhereClient::new(balanced.clone()));
        let replies = balanced.call_all(|_| true, |one| AnywhereClient::new(one).echo("all".into()));
        let replies = block_on(replies.all());
        assert_eq!(replies.len(), 1);
        assert!(replies.iter().all(|from| matches!(&from.output, Ok(text) if text == "all")));
    }
}

#[test]
fn a_connector_dials_and_a_server_ends_without_tokio() {
    let place = Place::new();
    let connector = {
        let _entered = place.runtime.enter();
        place.net.channel().connector().expect("it is complete")
    };
    let address = place.server.local_addr().to_string();
    let channel = block_on(connector.connect(&address)).expect("it listens");
    all_kinds(&AnywhereClient::new(channel));
    let lazy = connector.connect_lazy(&address).expect("an address");
    all_kinds(&AnywhereClient::new(lazy));
    let mut hangs = place.client().hang();
    poll_times(&mut hangs, 1);
    block_on(place.server.shutdown()).expect("it ends");
    let error = block_on(place.client().echo("late".into())).expect_err("nobody is there");
    assert_eq!(error.code(), Code::Unavailable);
}

#[test]
fn a_cluster_needs_no_tokio_where_it_is_used() {
    let place = Place::new();
    let other = {
        let _entered = place.runtime.enter();
        place.net.start()
    };
    let director = block_on(place.server.enable_cluster(local(&[]))).expect("it starts");
    Director::new(&place.server, &director).expect("its first");
    let worker = block_on(other.enable_cluster(local(&[place.server.local_addr()]))).expect("it starts");
    other.register(AnywhereServer::new(Service)).expect("the first");
    block_on(worker.joined());
    worker.set_tag("role", "worker");
    let connecting = {
        let _entered = place.runtime.enter();
        cluster_channel(&place.net, &[place.server.local_addr()]).connect()
    };
    let channel = place.runtime.block_on(connecting).expect("it answers");
    block_on(channel.ready());
    all_kinds(&AnywhereClient::new(channel));
    block_on(worker.leave()).expect("the director has heard");
    block_on(other.shutdown()).expect("it ends");
}

#[test]
fn calls_end_when_the_runtime_of_their_channel_is_shut_down() {
    let Place { net, server, runtime, .. } = Place::new();
    let own = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let address = server.local_addr().to_string();
    let channel = own.block_on(net.channel().connect(&address)).expect("it listens");
    let place = Place { net, server, channel: channel.clone(), runtime: own };
    let (client, balanced) = (place.client(), AnywhereClient::new(place.balanced()));
    let mut items = block_on(client.one().timeout(Duration::from_secs(50))).expect("it begins");
    let mut moving = block_on(balanced.numbers(u64::MAX)).expect("it begins");
    block_on(items.next()).expect("one comes").expect("one comes");
    let calls = [client.hang(), client.hang().timeout(Duration::from_secs(50))];
    let unary: Vec<_> = calls.into_iter().map(|call| thread::spawn(move || block_on(call))).collect();
    let balanced_call = {
        let call = balanced.hang();
        thread::spawn(move || block_on(call))
    };
    let item = thread::spawn(move || block_on(items.next()));
    // All three that hang, and both streams.
    while place.server.in_flight() < 5 {
        thread::yield_now();
    }
    place.runtime.shutdown_timeout(Duration::from_secs(10));
    for call in unary {
        let error = call.join().expect("no panic").expect_err("nobody is there to answer");
        assert_eq!(error.code(), Code::Unavailable, "{error}");
    }
    let error = balanced_call.join().expect("no panic").expect_err("nobody is there to answer");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    let error = item.join().expect("no panic").expect("it ends").expect_err("it is cut off");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    let moved = block_on(async {
        loop {
            match moving.next().await {
                Some(Ok(_)) => {}
                ended => return ended,
            }
        }
    });
    let error = moved.expect("it ends").expect_err("it is cut off");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    for error in [block_on(client.echo("late".into())), block_on(balanced.echo("late".into()))] {
        let error = error.expect_err("nobody is there");
        assert_eq!(error.code(), Code::Unavailable, "{error}");
    }
    drop((channel, runtime));
}

#[test]
fn what_needs_a_runtime_says_so() {
    let net = Net::quic();
    let error = net.channel().connector().expect_err("there is no runtime");
    assert!(matches!(error, ConnectError::NoRuntime), "{error}");
    let text = error.to_string();
    assert_eq!(
        text,
        "there is no tokio runtime here: call it within #[tokio::main], or after Runtime::enter"
    );
    let error = net.channel().connect_lazy("127.0.0.1:9").expect_err("there is no runtime");
    assert!(matches!(error, ConnectError::NoRuntime), "{error}");
    let error = block_on(net.channel().connect("127.0.0.1:9")).expect_err("there is no runtime");
    assert!(matches!(error, ConnectError::NoRuntime), "{error}");
    let (_sender, set) = watch::channel(EndpointSet::from([]));
    let error = BalancedChannel::new(net.channel(), set.clone(), BalancedConfig::default());
    assert!(matches!(error, Err(ConnectError::NoRuntime)), "{error:?}");
    let error = Server::new(net.server().build().expect("complete")).expect_err("there is no runtime");
    assert!(matches!(error, ServerError::NoRuntime), "{error}");

    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (connector, server) = {
        let _entered = runtime.enter();
        let server = Server::new(net.server().build().expect("complete")).expect("a free port");
        server.register(AnywhereServer::new(Service)).expect("the first");
        run(&server);
        (net.channel().connector().expect("complete"), server)
    };
    // These spawn on the connector's runtime.
    let lazy = connector.connect_lazy(server.local_addr().to_string()).expect("an address");
    assert_eq!(block_on(AnywhereClient::new(lazy).echo("lazy".into())).expect("it is answered"), "lazy");
    drop(connector.balanced(set, BalancedConfig::default()));
    drop(runtime);
    let error = block_on(connector.connect(server.local_addr().to_string()));
    assert!(matches!(error, Err(ConnectError::NoRuntime)), "{error:?}");
}
