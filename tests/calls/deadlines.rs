//! Deadlines and cancelling: the caller stops waiting, and the handler stops working.

use std::time::Duration;

use rpcnet::{CallError, Code, Context, Limits, rpc_impl, rpc_trait};
use rpcnet_tests::{Event, Net, ProbeClient, over_a_relay, over_both, within};
use tokio::{sync::mpsc, time::Instant};

const MS: Duration = Duration::from_millis(1);

#[rpc_trait(name = "test.v1.Clock")]
trait Clock {
    /// Returns the time left until the deadline, in microseconds.
    async fn left(&self, cx: &Context) -> rpcnet::Result<Option<u64>>;
    #[rpc(timeout = "7s")]
    async fn impatient(&self, cx: &Context) -> rpcnet::Result<Option<u64>>;
    #[rpc(timeout = "300ms")]
    async fn stuck(&self) -> rpcnet::Result<()>;
    /// Spawns a task that outlives the handler, and never answers.
    async fn spawns(&self, cx: &Context) -> rpcnet::Result<()>;
}

struct Here {
    told: mpsc::UnboundedSender<Told>,
}

/// An event of a task that the handler has spawned.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Spawned,
    Cancelled { after: Duration },
}

impl Here {
    fn new() -> (Self, mpsc::UnboundedReceiver<Told>) {
        let (sender, told) = mpsc::unbounded_channel();
        (Self { told: sender }, told)
    }
}

fn micros(cx: &Context) -> Option<u64> {
    cx.remaining().map(|left| left.as_micros() as u64)
}

#[rpc_impl]
impl Clock for Here {
    async fn left(&self, cx: &Context) -> rpcnet::Result<Option<u64>> {
        Ok(micros(cx))
    }

    async fn impatient(&self, cx: &Context) -> rpcnet::Result<Option<u64>> {
        Ok(micros(cx))
    }

    async fn stuck(&self) -> rpcnet::Result<()> {
        std::future::pending().await
    }

    async fn spawns(&self, cx: &Context) -> rpcnet::Result<()> {
        let (cx, told) = (cx.clone(), self.told.clone());
        let started = Instant::now();
        tokio::spawn(async move {
            let _ = told.send(Told::Spawned);
            cx.cancelled().await;
            assert!(cx.is_cancelled());
            let _ = told.send(Told::Cancelled { after: started.elapsed() });
        });
        std::future::pending().await
    }
}

/// Asks another server how much time it gets.
struct Behind(ClockClient);

#[rpc_impl]
impl Clock for Behind {
    async fn left(&self, _: &Context) -> rpcnet::Result<Option<u64>> {
        Ok(self.0.left().await?)
    }

    async fn impatient(&self, _: &Context) -> rpcnet::Result<Option<u64>> {
        // More than is left does not help.
        Ok(self.0.left().timeout(Duration::from_secs(3600)).await?)
    }

    async fn stuck(&self) -> rpcnet::Result<()> {
        self.0.stuck().timeout(Duration::from_secs(3600)).await?;
        Ok(())
    }

    async fn spawns(&self, _: &Context) -> rpcnet::Result<()> {
        self.0.spawns().await?;
        Ok(())
    }
}

async fn clock(net: &Net) -> (ClockClient, mpsc::UnboundedReceiver<Told>) {
    let server = net.start();
    let (service, told) = Here::new();
    server.register(ClockServer::new(service)).expect("the first");
    (ClockClient::new(net.connect(&server).await), told)
}

/// Of this time some has passed, but not much.
fn assert_about(left: Option<u64>, whole: Duration) {
    let left = Duration::from_micros(left.expect("there is a deadline"));
    assert!(left <= whole && left > whole.saturating_sub(whole / 2), "{left:?} of {whole:?}");
}

async fn spawned(told: &mut mpsc::UnboundedReceiver<Told>) {
    assert_eq!(within(told.recv()).await, Some(Told::Spawned));
}

async fn cancelled(told: &mut mpsc::UnboundedReceiver<Told>) -> Duration {
    match within(told.recv()).await {
        Some(Told::Cancelled { after }) => after,
        other => panic!("{other:?}"),
    }
}

over_both!(
    every_call_has_a_deadline,
    a_call_ends_at_its_deadline_and_its_handler_is_dropped,
    a_time_that_has_passed_already,
    a_long_call_is_not_taken_for_a_dead_peer,
    a_handlers_own_calls_inherit_what_is_left,
    dropping_a_call_drops_its_handler,
    dropping_a_call_before_it_is_polled_sends_nothing,
    a_task_that_a_handler_spawned_hears_of_the_cancelling,
    a_handler_that_answers_is_not_cancelled,
    a_lost_connection_cancels_its_handlers,
);

over_a_relay!(
    every_call_has_a_deadline,
    a_call_ends_at_its_deadline_and_its_handler_is_dropped,
    a_time_that_has_passed_already,
    a_long_call_is_not_taken_for_a_dead_peer,
    a_handlers_own_calls_inherit_what_is_left,
    dropping_a_call_drops_its_handler,
    dropping_a_call_before_it_is_polled_sends_nothing,
    a_task_that_a_handler_spawned_hears_of_the_cancelling,
    a_handler_that_answers_is_not_cancelled,
    a_lost_connection_cancels_its_handlers,
);

async fn every_call_has_a_deadline(net: Net) {
    let (client, _told) = clock(&net).await;
    assert_about(client.left().await.expect("answered"), Duration::from_secs(30));
    assert_about(client.impatient().await.expect("answered"), 7000 * MS);
    assert_about(client.impatient().timeout(9000 * MS).await.expect("answered"), 9000 * MS);
    assert_about(client.left().timeout(Duration::from_secs(100)).await.expect("answered"), 100_000 * MS);

    let server = net.start();
    let (service, _told) = Here::new();
    server.register(ClockServer::new(service)).expect("the first");
    let limits = Limits::default().with_default_timeout(Duration::from_secs(5));
    let channel = net.channel().with_limits(limits).connect(net.address(&server)).await;
    let client = ClockClient::new(channel.expect("it listens"));
    assert_about(client.left().await.expect("answered"), Duration::from_secs(5));
}

async fn a_call_ends_at_its_deadline_and_its_handler_is_dropped(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let client = ProbeClient::new(net.connect(&server).await);
    let started = Instant::now();
    let error = client.hold(1).timeout(1000 * MS).await.expect_err("it never ends");
    let took = started.elapsed();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(error.maybe_executed());
    assert!(error.to_string().contains("test.v1.Probe/hold"), "{error}");
    assert!(took >= 1000 * MS && took < Duration::from_secs(20), "{took:?}");
    assert_eq!(probed.event().await, Event::Started(1));
    assert_eq!(probed.event().await, Event::Dropped(1));

    let (client, _told) = clock(&net).await;
    let started = Instant::now();
    let error = client.stuck().await.expect_err("it never ends");
    let took = started.elapsed();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(took >= 300 * MS && took < Duration::from_secs(20), "the method's own timeout: {took:?}");
}

async fn a_time_that_has_passed_already(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let client = ProbeClient::new(net.connect(&server).await);
    let error = client.hold(1).timeout(Duration::ZERO).await.expect_err("no time at all");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    if !error.maybe_executed() {
        client.once(2).await.expect("answered");
        assert_eq!(probed.event().await, Event::Started(2), "the first was never started");
    }
}

async fn a_long_call_is_not_taken_for_a_dead_peer(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let limits = Limits::default().with_silence(1000 * MS);
    let channel = net.channel().with_limits(limits).connect(net.address(&server)).await;
    let client = ProbeClient::new(channel.expect("it listens"));
    let held = tokio::spawn(client.hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    tokio::time::sleep(2500 * MS).await;
    probed.open_gate();
    assert_eq!(within(held).await.expect("no panic").expect("the peer lives"), "server");
}

async fn a_handlers_own_calls_inherit_what_is_left(net: Net) {
    let (there, mut told) = clock(&net).await;
    let server = net.start();
    server.register(ClockServer::new(Behind(there))).expect("the first");
    let client = ClockClient::new(net.connect(&server).await);
    assert_about(client.left().timeout(4000 * MS).await.expect("answered"), 4000 * MS);
    assert_about(client.impatient().timeout(4000 * MS).await.expect("answered"), 4000 * MS);
    let error = client.stuck().timeout(200 * MS).await.expect_err("it never ends");
    assert_eq!(error.code(), Code::DeadlineExceeded);

    let error = client.spawns().timeout(1000 * MS).await.expect_err("it never ends");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    spawned(&mut told).await;
    let took = cancelled(&mut told).await;
    assert!(took < Duration::from_secs(20), "{took:?}");
}

async fn dropping_a_call_drops_its_handler(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let client = ProbeClient::new(net.connect(&server).await);
    let mut call = Box::pin(client.hold(1));
    tokio::select! {
        result = &mut call => panic!("the gate is shut: {result:?}"),
        event = probed.event() => assert_eq!(event, Event::Started(1)),
    }
    assert_eq!(server.in_flight(), 1);
    drop(call);
    assert_eq!(probed.event().await, Event::Dropped(1));
    within(server.wait_for_in_flight()).await;
    assert_eq!(client.server_name().await.expect("the connection is unharmed"), "server");
}

async fn dropping_a_call_before_it_is_polled_sends_nothing(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let client = ProbeClient::new(net.connect(&server).await);
    drop(client.hold(1));
    client.once(2).await.expect("answered");
    assert_eq!(probed.event().await, Event::Started(2));
}

async fn a_task_that_a_handler_spawned_hears_of_the_cancelling(net: Net) {
    let (client, mut told) = clock(&net).await;
    let call = tokio::spawn(client.spawns());
    spawned(&mut told).await;
    call.abort();
    cancelled(&mut told).await;

    let error = client.spawns().timeout(1000 * MS).await.expect_err("it never ends");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    spawned(&mut told).await;
    cancelled(&mut told).await;
}

async fn a_handler_that_answers_is_not_cancelled(net: Net) {
    #[rpc_trait(name = "test.v1.Quick")]
    trait Quick {
        async fn answer(&self, cx: &Context) -> rpcnet::Result<()>;
    }

    struct Keeps(mpsc::UnboundedSender<Context>);

    #[rpc_impl]
    impl Quick for Keeps {
        async fn answer(&self, cx: &Context) -> rpcnet::Result<()> {
            self.0.send(cx.clone()).expect("the test listens");
            Ok(())
        }
    }

    let server = net.start();
    let (sender, mut contexts) = mpsc::unbounded_channel();
    server.register(QuickServer::new(Keeps(sender))).expect("the first");
    let client = QuickClient::new(net.connect(&server).await);
    client.answer().timeout(1000 * MS).await.expect("answered");
    let cx = contexts.recv().await.expect("the handler ran");
    let waited = tokio::time::timeout(1500 * MS, cx.cancelled()).await;
    assert!(waited.is_err() && !cx.is_cancelled(), "neither the reply nor the deadline after it cancel");
}

async fn a_lost_connection_cancels_its_handlers(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let (service, mut told) = Here::new();
    server.register(ClockServer::new(service)).expect("the first");
    let channel = net.connect(&server).await;
    let probe = tokio::spawn(ProbeClient::new(channel.clone()).hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    let spawns = tokio::spawn(ClockClient::new(channel).spawns());
    spawned(&mut told).await;
    server.shutdown().await.expect("no reason to fail");
    assert_eq!(probed.event().await, Event::Dropped(1));
    cancelled(&mut told).await;
    for result in [probe.await.expect("no panic").map(drop), spawns.await.expect("no panic")] {
        match result {
            Err(CallError::Status(status)) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                assert!(status.maybe_executed());
            }
            other => panic!("{other:?}"),
        }
    }
}
