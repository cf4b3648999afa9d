//! Cases that are easily overlooked. A call never says that it did not run if it did, never waits in vain, and never
//! ends a stream that nobody asked to end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpcnet::{
    Admission, BalancedChannel, BalancedConfig, Code, Context, Limits, Method, Next, Reply, Request,
    Service as _, Status, Streaming,
    discover::{Endpoint, EndpointSet},
    interceptor, rpc_impl, rpc_trait,
    transport::DialOptions,
};
use rpcnet_tests::{Event, Net, ProbeClient, ProbeServer, ProbeService, over_both, within};
use tokio::{sync::watch, time::Instant};

const CALLS: &[u8] = b"rpcnet/1";

#[rpc_trait(name = "test.v1.Review")]
trait Review {
    async fn count(&self, cx: &Context, every_ms: u64) -> rpcnet::Result<Streaming<u64>>;
    #[rpc(idempotent)]
    async fn total(&self, numbers: Streaming<u64>) -> rpcnet::Result<u64>;
    async fn fail(&self, length: usize) -> rpcnet::Result<()>;
    async fn sink(&self, blocks: Streaming<Vec<u8>>) -> rpcnet::Result<()>;
}

#[derive(Clone, Default)]
struct Service {
    cancelled: Arc<AtomicUsize>,
    started: Arc<AtomicUsize>,
}

#[rpc_impl]
impl Review for Service {
    async fn count(&self, cx: &Context, every_ms: u64) -> rpcnet::Result<Streaming<u64>> {
        let attempt = self.started.fetch_add(1, Ordering::SeqCst);
        if every_ms == 77 && attempt == 0 {
            std::future::pending::<()>().await;
        }
        let (sender, items) = Streaming::channel(1);
        let (me, cx) = (self.clone(), cx.clone());
        tokio::spawn(async move {
            let counting = async {
                for i in 0.. {
                    if sender.send(i).await.is_err() {
                        std::future::pending::<()>().await
                    }
                    tokio::time::sleep(Duration::from_millis(every_ms)).await;
                }
            };
            tokio::select! { () = counting => {}, () = cx.cancelled() => { me.cancelled.fetch_add(1, Ordering::SeqCst); } }
        });
        Ok(items)
    }
    async fn fail(&self, length: usize) -> rpcnet::Result<()> {
        Err(Status::not_found("x".repeat(length)))
    }
    async fn sink(&self, blocks: Streaming<Vec<u8>>) -> rpcnet::Result<()> {
        let _blocks = blocks;
        std::future::pending().await
    }
    async fn total(&self, mut numbers: Streaming<u64>) -> rpcnet::Result<u64> {
        self.started.fetch_add(1, Ordering::SeqCst);
        let mut sum = 0;
        while let Some(number) = numbers.next().await {
            sum += number?;
        }
        Ok(sum)
    }
}

over_both!(
    a_stream_outlives_its_channel,
    one_full_endpoint_refuses_at_once,
    a_request_whose_body_does_not_come_keeps_nobody_out,
    an_interceptor_cannot_make_a_call_run_twice,
    an_earlier_attempt_counts,
    a_second_run_of_a_call_with_items_says_that_it_ran,
    a_huge_deadline,
    an_upload_is_cancelled_while_it_is_blocked,
    streams_that_are_given_up_count,
    a_long_status_keeps_its_code,
    a_header_alone_keeps_nobody_out,
    an_interceptor_answers_itself,
);

async fn a_stream_outlives_its_channel(net: Net) {
    let server = net.start();
    server.register(ReviewServer::new(Service::default())).expect("it is as the test needs it");
    let channel = net.connect(&server).await;
    let mut items =
        within(ReviewClient::new(channel.clone()).count(10)).await.expect("it is as the test needs it");
    drop(channel);
    for i in 0..20 {
        let item = within(items.next()).await.expect("it is as the test needs it");
        assert!(item.is_ok(), "item {i}: {item:?}");
    }
}

fn balanced(
    net: &Net,
    servers: &[&rpcnet::Server],
    config: BalancedConfig,
) -> (BalancedChannel, watch::Sender<EndpointSet>) {
    let set: EndpointSet =
        servers.iter().enumerate().map(|(i, s)| Endpoint::new(i.to_string(), s.local_addr())).collect();
    let set = watch::Sender::new(set);
    (BalancedChannel::new(net.channel(), set.subscribe(), config).expect("it is as the test needs it"), set)
}

async fn all_ready(channel: &BalancedChannel) {
    within(async {
        while !channel.endpoints().iter().all(|e| e.ready) || channel.endpoints().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await
        }
    })
    .await;
}

async fn one_full_endpoint_refuses_at_once(net: Net) {
    let (server, mut probed) = net.start_probed_with("a", net.server().with_admission(Admission::fixed(1)));
    let (channel, _set) = balanced(&net, &[&server], BalancedConfig::default());
    all_ready(&channel).await;
    let client = ProbeClient::new(channel);
    let _held = tokio::spawn(client.hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    let start = Instant::now();
    let status = Status::from(within(client.once(2)).await.expect_err("it can not succeed"));
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?} for {status}", start.elapsed());
}

fn method(name: &str) -> Method {
    let service = ProbeServer::new(ProbeService::new("").0);
    *service
        .descriptor()
        .methods
        .iter()
        .find(|method| method.name() == name)
        .expect("it is as the test needs it")
}

fn header(method: &Method, micros: u32, body: u32) -> Vec<u8> {
    let mut bytes = vec![0x10, 4];
    bytes.extend(method.id().to_be_bytes());
    bytes.extend(method.fingerprint().to_be_bytes());
    bytes.extend((0x8000_0000 | micros).to_be_bytes());
    bytes.extend((0x8000_0000 | body).to_be_bytes());
    bytes
}

async fn a_request_whose_body_does_not_come_keeps_nobody_out(net: Net) {
    let (server, _probed) =
        net.start_probed_with("a", net.server().with_admission(Admission::fixed(1).with_queue(4)));
    let connector = net.channel().connector().expect("it is as the test needs it");
    let connection = connector
        .dial(&server.local_addr().to_string(), CALLS, &DialOptions::default())
        .await
        .expect("it is as the test needs it");
    let (mut send, _recv) = connection.open_bi().await.expect("it is as the test needs it");
    // A deadline of 100 ms, and a body that never comes.
    send.write(header(&method("once"), 100_000, 100).into()).await.expect("it is as the test needs it");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let client = ProbeClient::new(net.connect(&server).await);
    let answer = client.once(2).timeout(Duration::from_secs(10)).await;
    assert!(answer.is_ok(), "{answer:?}");
}

async fn an_interceptor_cannot_make_a_call_run_twice(net: Net) {
    // It audits each call at a service that has gone away: `?` hands that status on.
    let (gone, _probed) = net.start_probed("audit");
    let log = ProbeClient::new(net.connect(&gone).await);
    let session_of_its_own = ProbeClient::new(net.connect(&gone).await);
    within(log.server_name()).await.expect("it is as the test needs it");
    within(session_of_its_own.server_name()).await.expect("it is as the test needs it");
    gone.shutdown().await.expect("it is as the test needs it");
    let audit = interceptor::from_fn(move |request: Request, next: Next| {
        let log = log.clone();
        async move {
            let auditing = request.method().name() == "once";
            let reply = next.run(request).await?;
            if auditing {
                log.server_name().await.map_err(Status::from)?;
            }
            Ok(reply)
        }
    });
    let (a, probed_a) = net.start_probed_with("a", net.server().with_interceptor(audit));
    let audit = {
        let log = session_of_its_own;
        interceptor::from_fn(move |request: Request, next: Next| {
            let log = log.clone();
            async move {
                let auditing = request.method().name() == "once";
                let reply = next.run(request).await?;
                if auditing {
                    log.server_name().await.map_err(Status::from)?;
                }
                Ok(reply)
            }
        })
    };
    let (b, probed_b) = net.start_probed_with("b", net.server().with_interceptor(audit));
    let (channel, _set) =
        balanced(&net, &[&a, &b], BalancedConfig::default().with_ready_timeout(Duration::from_millis(100)));
    all_ready(&channel).await;
    let status =
        Status::from(within(ProbeClient::new(channel).once(1)).await.expect_err("it can not succeed"));
    let runs = [&probed_a, &probed_b].map(|probed| probed.executions().get(&1).copied().unwrap_or(0));
    assert!(
        runs[0] + runs[1] == 1 && status.maybe_executed(),
        "runs {runs:?} of a call that is not idempotent, told: {status:?}"
    );
}

async fn an_earlier_attempt_counts(net: Net) {
    let (a, mut probed_a) = net.start_probed("a");
    let (b, mut probed_b) = net.start_probed_with("b", net.server().with_admission(Admission::fixed(1)));
    let holder = ProbeClient::new(net.connect(&b).await);
    let _held = tokio::spawn(holder.hold(9));
    assert_eq!(probed_b.event().await, Event::Started(9));
    let (channel, set) =
        balanced(&net, &[&a], BalancedConfig::default().with_ready_timeout(Duration::from_millis(300)));
    all_ready(&channel).await;
    let call = tokio::spawn(ProbeClient::new(channel.clone()).hold_idempotent(1));
    assert_eq!(probed_a.event().await, Event::Started(1));
    set.send_replace(
        [&a, &b].iter().enumerate().map(|(i, s)| Endpoint::new(i.to_string(), s.local_addr())).collect(),
    );
    within(async {
        while channel.endpoints().len() < 2 || !channel.endpoints()[1].ready {
            tokio::time::sleep(Duration::from_millis(5)).await
        }
    })
    .await;
    tokio::spawn(async move { a.shutdown().await });
    let status = Status::from(
        within(call).await.expect("it is as the test needs it").expect_err("it can not succeed"),
    );
    assert!(status.maybe_executed(), "a ran it, and the client is told: {status:?}");
}

async fn a_second_run_of_a_call_with_items_says_that_it_ran(net: Net) {
    let twice = interceptor::from_fn(|request: Request, next: Next| async move {
        let _ = next.run(request.clone()).await;
        next.run(request).await
    });
    let server = net.start_with(net.server().with_interceptor(twice));
    let service = Service::default();
    server.register(ReviewServer::new(service.clone())).expect("it is as the test needs it");
    let client = ReviewClient::new(net.connect(&server).await);
    let status =
        Status::from(within(client.total(Streaming::iter([1, 2]))).await.expect_err("it can not succeed"));
    assert_eq!(service.started.load(Ordering::SeqCst), 1);
    assert!(status.maybe_executed(), "it ran once, and says: {status:?}");
}

async fn a_huge_deadline(net: Net) {
    let (server, _probed) =
        net.start_probed_with("a", net.server().with_admission(Admission::fixed(1).with_queue(1)));
    let connector = net.channel().connector().expect("it is as the test needs it");
    let connection = connector
        .dial(&server.local_addr().to_string(), CALLS, &DialOptions::default())
        .await
        .expect("it is as the test needs it");
    for micros in [u64::MAX, 0xC000_0000_0000_0001, 0xE0FF_FFFF_FFFF_FFFF] {
        let (mut send, mut recv) = connection.open_bi().await.expect("it is as the test needs it");
        let m = method("once");
        let mut bytes = vec![0x10, 4];
        bytes.extend(m.id().to_be_bytes());
        bytes.extend(m.fingerprint().to_be_bytes());
        bytes.extend(micros.to_be_bytes());
        bytes.extend([1, 5]);
        send.write(bytes.into()).await.expect("it is as the test needs it");
        send.finish();
        let reply = within(recv.read_to_end(1000)).await.expect("a reply");
        assert_eq!(reply[..3], [0x10, 0, 0], "{micros:x}");
    }
}

async fn an_upload_is_cancelled_while_it_is_blocked(net: Net) {
    let server = net.start();
    server.register(ReviewServer::new(Service::default())).expect("it is as the test needs it");
    let client = ReviewClient::new(net.connect(&server).await);
    let (sender, blocks) = Streaming::channel(1);
    let call = tokio::spawn(client.sink(blocks));
    let mut sent = 0;
    while let Ok(result) =
        tokio::time::timeout(Duration::from_millis(300), sender.send(vec![0; 1 << 16])).await
    {
        result.expect("it is as the test needs it");
        sent += 1;
    }
    assert!((2..200).contains(&sent), "{sent}");
    assert_eq!(server.in_flight(), 1);
    call.abort();
    within(sender.closed()).await;
    within(server.wait_for_in_flight()).await;
}

/// An idempotent call that can't be sent elsewhere waits at an endpoint that is silent for a moment.
#[tokio::test(start_paused = true)]
async fn the_last_attempt_is_not_given_up_for_a_moment_of_silence() {
    let net = Net::memory();
    let Net::Memory(network) = &net else { unreachable!() };
    let config = |ip: &str| {
        rpcnet::ServerConfig::builder()
            .with_network(network)
            .with_bind_addr(format!("{ip}:80").parse().expect("it is as the test needs it"))
    };
    let (a, mut probed_a) = net.start_probed_with("a", config("10.0.0.1"));
    let (b, _probed_b) = net.start_probed_with("b", config("10.0.0.2"));
    let (channel, set) = balanced(&net, &[&a], BalancedConfig::default().with_max_attempts(1));
    all_ready(&channel).await;
    let call = tokio::spawn(ProbeClient::new(channel.clone()).hold_idempotent(1));
    assert_eq!(probed_a.event().await, Event::Started(1));
    set.send_replace(
        [&a, &b].iter().enumerate().map(|(i, s)| Endpoint::new(i.to_string(), s.local_addr())).collect(),
    );
    within(async {
        while channel.endpoints().len() < 2 || !channel.endpoints()[1].ready {
            tokio::time::sleep(Duration::from_millis(5)).await
        }
    })
    .await;
    network.freeze(a.local_addr().ip());
    tokio::time::sleep(Duration::from_millis(1000)).await;
    network.thaw(a.local_addr().ip());
    probed_a.open_gate();
    let answer = within(call).await.expect("it is as the test needs it");
    assert!(answer.is_ok(), "{answer:?}");
}

/// The same for a call with items, which can't be sent twice.
#[tokio::test(start_paused = true)]
async fn a_call_with_items_is_not_given_up_for_a_moment_of_silence() {
    let net = Net::memory();
    let Net::Memory(network) = &net else { unreachable!() };
    let config = |ip: &str| {
        rpcnet::ServerConfig::builder()
            .with_network(network)
            .with_bind_addr(format!("{ip}:80").parse().expect("it is as the test needs it"))
    };
    let a = net.start_with(config("10.0.0.1"));
    let b = net.start_with(config("10.0.0.2"));
    let service = Service::default();
    a.register(ReviewServer::new(service.clone())).expect("it is as the test needs it");
    b.register(ReviewServer::new(Service::default())).expect("it is as the test needs it");
    let (channel, set) = balanced(&net, &[&a], BalancedConfig::default());
    all_ready(&channel).await;
    let (sender, numbers) = Streaming::channel(1);
    let call = tokio::spawn(ReviewClient::new(channel.clone()).total(numbers));
    sender.send(1).await.expect("it is as the test needs it");
    set.send_replace(
        [&a, &b].iter().enumerate().map(|(i, s)| Endpoint::new(i.to_string(), s.local_addr())).collect(),
    );
    within(async {
        while channel.endpoints().len() < 2 || !channel.endpoints()[1].ready {
            tokio::time::sleep(Duration::from_millis(5)).await
        }
    })
    .await;
    assert_eq!(service.started.load(Ordering::SeqCst), 1);
    network.freeze(a.local_addr().ip());
    tokio::time::sleep(Duration::from_millis(1000)).await;
    network.thaw(a.local_addr().ip());
    let _ = sender.send(2).await;
    sender.finish();
    let answer = within(call).await.expect("it is as the test needs it");
    assert!(matches!(answer, Ok(3)), "{answer:?}");
}

async fn streams_that_are_given_up_count(net: Net) {
    let limits = Limits::default().with_max_resets_per_second(10);
    let server = net.start_with(net.server().with_limits(limits));
    server.register(ReviewServer::new(Service::default())).expect("the first");
    let client = ReviewClient::new(net.connect(&server).await);
    for _ in 0..500 {
        match within(client.count(1)).await {
            Ok(items) => drop(items),
            Err(_) => return,
        }
    }
    panic!("500 streams were opened and given up, 10 a second are allowed");
}

async fn a_long_status_keeps_its_code(net: Net) {
    let server = net.start();
    server.register(ReviewServer::new(Service::default())).expect("the first");
    let client = ReviewClient::new(net.connect(&server).await);
    let status = Status::from(within(client.fail(5 << 20)).await.expect_err("as asked for"));
    assert_eq!(status.code(), Code::NotFound, "{:.200}", status.message());
}

async fn a_header_alone_keeps_nobody_out(net: Net) {
    let config = net.server().with_admission(Admission::fixed(1).with_queue(4));
    let (server, _probed) = net.start_probed_with("a", config);
    let connector = net.channel().connector().expect("complete");
    let address = server.local_addr().to_string();
    let connection = connector.dial(&address, CALLS, &DialOptions::default()).await.expect("it listens");
    let (mut send, _recv) = connection.open_bi().await.expect("it stands");
    send.write(header(&method("once"), 0, 100).into()).await.expect("it stands");
    let client = ProbeClient::new(net.connect(&server).await);
    for id in 0..10 {
        within(client.once(id)).await.expect("there is room");
    }
}

async fn an_interceptor_answers_itself(net: Net) {
    let cached = interceptor::from_fn(|request: Request, next: Next| async move {
        if request.method().name() == "total" { Reply::value(&7u64) } else { next.run(request).await }
    });
    let server = net.start_with(net.server().with_interceptor(cached));
    server.register(ReviewServer::new(Service::default())).expect("the first");
    let client = ReviewClient::new(net.connect(&server).await);
    assert_eq!(within(client.total(Streaming::iter([1, 2]))).await.expect("from the interceptor"), 7);
}
