//! A server that is full: who runs, who waits, who is refused; and peers that make work for nothing.

use std::{sync::OnceLock, time::Duration};

use rpcnet::{
    __private::{HandlerFuture, Inbound},
    Admission, CallError, Code, HealthClient, Limits, Method, Server, ServiceDescriptor, Status, rpc_impl,
    rpc_trait,
};
use rpcnet_tests::{Event, Net, ProbeClient, ProbeServer, ProbeService, Probed, over_both, until, within};
use tokio::task::{JoinHandle, JoinSet};

/// A server that runs one call at a time and lets so many wait. Its gate is shut, and the call 1 holds.
struct Full {
    server: Server,
    probed: Probed,
    client: ProbeClient,
    held: JoinHandle<Result<String, CallError>>,
}

impl Full {
    async fn start(net: &Net, queue: usize) -> Self {
        let server = net.start_with(net.server().with_admission(Admission::fixed(1).with_queue(queue)));
        let (service, mut probed) = ProbeService::new("server");
        server.register(Ranked(ProbeServer::new(service))).expect("the first");
        let client = ProbeClient::new(net.connect(&server).await);
        let held = tokio::spawn(client.hold(1));
        assert_eq!(probed.event().await, Event::Started(1));
        Self { server, probed, client, held }
    }

    /// A call that waits for its turn.
    async fn waits(&self, call: impl Future<Output = Answered> + Send + 'static) -> JoinHandle<Answered> {
        let before = value(&self.server, "rpc_admission_queued");
        let call = tokio::spawn(call);
        until(|| value(&self.server, "rpc_admission_queued") == before + 1.0).await;
        call
    }

    async fn queued(&self, calls: usize) {
        until(|| value(&self.server, "rpc_admission_queued") == calls as f64).await;
    }

    fn shed(&self, reason: &str) -> f64 {
        value(&self.server, &format!(r#"rpc_shed_total{{reason="{reason}"}}"#))
    }

    /// Opens the gate: the held call ends, and these start, one after the other.
    async fn then_run(mut self, ids: &[u64]) {
        self.probed.open_gate();
        answered(self.held).await;
        assert_eq!(self.probed.event().await, Event::Finished(1));
        for id in ids {
            assert_eq!(self.probed.event().await, Event::Started(*id));
            assert_eq!(self.probed.event().await, Event::Finished(*id));
        }
        within(self.server.wait_for_in_flight()).await;
        assert_eq!(self.probed.try_event(), None);
    }
}

type Answered = Result<String, CallError>;

async fn answered(call: JoinHandle<Answered>) {
    assert_eq!(within(call).await.expect("no panic").expect("it had its turn"), "server");
}

fn assert_shed(result: Answered) -> Status {
    let status = Status::from(result.expect_err("there is no room"));
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(!status.maybe_executed(), "{status}");
    let after = status.retry_after().expect("it is told when to come back");
    assert!((Duration::from_millis(1)..=Duration::from_secs(1)).contains(&after), "{after:?}");
    status
}

/// Of a metric, written as in Prometheus' text; zero where it is not there yet.
fn value(server: &Server, name: &str) -> f64 {
    let text = server.metrics().render();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

/// The service with priorities: `once` comes last, `hold_idempotent` first.
struct Ranked(ProbeServer<ProbeService>);

impl rpcnet::Service for Ranked {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        static DESCRIPTOR: OnceLock<ServiceDescriptor> = OnceLock::new();
        DESCRIPTOR.get_or_init(|| {
            let ServiceDescriptor { name, methods } = *self.0.descriptor();
            let ranked = methods.iter().map(|method: &Method| match method.name() {
                "once" => method.with_priority(-1),
                "hold_idempotent" => method.with_priority(5),
                _ => *method,
            });
            ServiceDescriptor { name, methods: ranked.collect::<Vec<_>>().leak() }
        })
    }

    fn call(&self, method: usize, inbound: Inbound) -> HandlerFuture {
        self.0.call(method, inbound)
    }
}

over_both!(
    beyond_the_queue_calls_are_shed,
    any_number_runs_by_default,
    what_is_shed_is_not_decoded,
    those_who_wait_start_in_the_order_of_their_priority,
    a_call_of_higher_priority_takes_the_place_of_a_lower_one,
    a_waiter_that_is_given_up_frees_its_place,
    a_waiter_whose_deadline_passes_frees_its_place,
    the_services_that_watch_over_others_are_never_shed,
    draining_refuses_those_who_wait,
    a_handler_that_panics_or_is_given_up_frees_its_place,
    a_peer_that_gives_up_too_many_calls_is_cut_off,
    a_peer_whose_calls_run_out_of_time_is_not,
);

async fn beyond_the_queue_calls_are_shed(net: Net) {
    let full = Full::start(&net, 2).await;
    let waiting = [full.waits(full.client.hold(2)).await, full.waits(full.client.hold(3)).await];
    for id in [4, 5] {
        let status = assert_shed(full.client.hold(id).await);
        assert!(status.message().contains("the server is full: 1 calls run at once, 2 wait"), "{status}");
    }
    assert_eq!(full.shed("full"), 2.0);
    assert_eq!(value(&full.server, "rpc_admission_limit"), 1.0);
    assert_eq!(value(&full.server, r#"rpc_errors_total{type="resource_exhausted"}"#), 2.0);
    assert_eq!(full.server.in_flight(), 1, "those who wait are not at work");
    full.then_run(&[2, 3]).await;
    for call in waiting {
        answered(call).await;
    }
}

async fn any_number_runs_by_default(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let client = ProbeClient::new(net.connect(&server).await);
    let mut calls = JoinSet::new();
    for id in 0..100 {
        calls.spawn(client.hold(id));
    }
    for _ in 0..100 {
        assert!(matches!(probed.event().await, Event::Started(_)));
    }
    assert_eq!(value(&server, "rpc_admission_limit"), 0.0);
    probed.open_gate();
    while let Some(reply) = within(calls.join_next()).await {
        assert_eq!(reply.expect("no panic").expect("answered"), "server");
    }
}

/// A number that can be sent and, if it is 13, not be taken.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(into = "u64", try_from = "u64")]
struct Id(u64);

impl From<Id> for u64 {
    fn from(Id(id): Id) -> Self {
        id
    }
}

impl TryFrom<u64> for Id {
    type Error = &'static str;

    fn try_from(id: u64) -> Result<Self, Self::Error> {
        if id == 13 { Err("there is no 13") } else { Ok(Self(id)) }
    }
}

#[rpc_trait(name = "test.v1.Ids")]
trait Ids {
    async fn take(&self, id: Id) -> rpcnet::Result<u64>;
}

struct Taking;

#[rpc_impl]
impl Ids for Taking {
    async fn take(&self, id: Id) -> rpcnet::Result<u64> {
        Ok(id.0)
    }
}

async fn what_is_shed_is_not_decoded(net: Net) {
    let full = Full::start(&net, 0).await;
    full.server.register(IdsServer::new(Taking)).expect("the first");
    let ids = IdsClient::new(net.connect(&full.server).await);
    assert_shed(ids.take(Id(13)).await.map(|id| id.to_string()));
    full.then_run(&[]).await;
    let error = ids.take(Id(13)).await.expect_err("it can't be decoded");
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(!error.maybe_executed());
    assert_eq!(ids.take(Id(7)).await.expect("answered"), 7);
}

async fn those_who_wait_start_in_the_order_of_their_priority(net: Net) {
    let full = Full::start(&net, 8).await;
    let client = &full.client;
    let mut waiting = Vec::new();
    for (low, middle, high) in [(10, 20, 30), (11, 21, 31)] {
        waiting.push(full.waits(client.once(low)).await);
        waiting.push(full.waits(client.hold(middle)).await);
        waiting.push(full.waits(client.hold_idempotent(high)).await);
    }
    full.then_run(&[30, 31, 20, 21, 10, 11]).await;
    for call in waiting {
        answered(call).await;
    }
}

async fn a_call_of_higher_priority_takes_the_place_of_a_lower_one(net: Net) {
    let full = Full::start(&net, 2).await;
    let high = full.waits(full.client.hold_idempotent(30)).await;
    let low = full.waits(full.client.once(10)).await;
    let middle = tokio::spawn(full.client.hold(20));
    assert_shed(within(low).await.expect("no panic"));
    assert_shed(full.client.once(11).await);
    full.queued(2).await;
    full.then_run(&[30, 20]).await;
    for call in [high, middle] {
        answered(call).await;
    }
}

async fn a_waiter_that_is_given_up_frees_its_place(net: Net) {
    let full = Full::start(&net, 1).await;
    let waiting = full.waits(full.client.hold(2)).await;
    assert_shed(full.client.hold(3).await);
    waiting.abort();
    full.queued(0).await;
    let waiting = full.waits(full.client.hold(4)).await;
    full.then_run(&[4]).await;
    answered(waiting).await;
}

async fn a_waiter_whose_deadline_passes_frees_its_place(net: Net) {
    let full = Full::start(&net, 1).await;
    let error = full.client.hold(2).timeout(Duration::from_secs(1)).await.expect_err("its turn never comes");
    // Whichever of the two sides notices first.
    assert!(matches!(error.code(), Code::DeadlineExceeded | Code::ResourceExhausted), "{error}");
    full.queued(0).await;
    let waiting = full.waits(full.client.hold(3)).await;
    full.then_run(&[3]).await;
    answered(waiting).await;
}

async fn the_services_that_watch_over_others_are_never_shed(net: Net) {
    let full = Full::start(&net, 0).await;
    let health = HealthClient::new(net.connect(&full.server).await);
    for _ in 0..3 {
        assert_shed(full.client.hold(2).await);
        assert_eq!(health.health().await.expect("answered").in_flight, 2);
        assert!(health.ready().await.expect("answered").ready);
    }
    full.then_run(&[]).await;
}

async fn draining_refuses_those_who_wait(net: Net) {
    let full = Full::start(&net, 2).await;
    let waiting = [full.waits(full.client.hold(2)).await, full.waits(full.client.hold(3)).await];
    full.server.stop_accepting().await;
    for call in waiting {
        let error = within(call).await.expect("no panic").expect_err("it is refused");
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(!error.maybe_executed());
    }
    assert_eq!(value(&full.server, "rpc_admission_queued"), 0.0);
    full.then_run(&[]).await;
}

async fn a_handler_that_panics_or_is_given_up_frees_its_place(net: Net) {
    #[rpc_trait(name = "test.v1.Fragile")]
    trait Fragile {
        async fn panics(&self) -> rpcnet::Result<String>;
        async fn panics_later(&self) -> rpcnet::Result<String>;
    }

    struct Glass;

    #[rpc_impl]
    impl Fragile for Glass {
        async fn panics(&self) -> rpcnet::Result<String> {
            panic!("on purpose")
        }

        async fn panics_later(&self) -> rpcnet::Result<String> {
            tokio::task::yield_now().await;
            panic!("on purpose, later")
        }
    }

    let Full { server, mut probed, client, held } = Full::start(&net, 4).await;
    server.register(FragileServer::new(Glass)).expect("the first");
    held.abort();
    assert_eq!(probed.event().await, Event::Dropped(1));

    let fragile = FragileClient::new(net.connect(&server).await);
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        calls.spawn(fragile.panics());
        calls.spawn(fragile.panics_later());
    }
    while let Some(result) = within(calls.join_next()).await {
        let error = result.expect("no panic here").expect_err("it panicked");
        assert_eq!(error.code(), Code::Internal, "{error}");
    }
    for method in ["panics", "panics_later"] {
        let name = format!(r#"rpc_panics_total{{method="test.v1.Fragile/{method}"}}"#);
        assert_eq!(value(&server, &name), 2.0, "{name}");
    }
    assert_eq!(client.once(2).await.expect("there is room"), "server");
    within(server.wait_for_in_flight()).await;
}

fn resetting(net: &Net, resets: u32) -> (Server, Probed) {
    let limits = Limits::default().with_max_resets_per_second(resets);
    net.start_probed_with("server", net.server().with_limits(limits))
}

async fn a_peer_that_gives_up_too_many_calls_is_cut_off(net: Net) {
    // Twenty at once, and four a second.
    let (server, mut probed) = resetting(&net, 4);
    let client = ProbeClient::new(net.connect(&server).await);
    let other = ProbeClient::new(net.connect(&server).await);
    let others = tokio::spawn(other.hold(1000));
    let mut canary = tokio::spawn(client.hold(0));
    let mut given_up = 0;
    let error = 'cut: loop {
        given_up += 1;
        assert!(given_up < 500, "it goes on and on");
        let call = tokio::spawn(client.hold(given_up));
        loop {
            tokio::select! {
                result = &mut canary => break 'cut result.expect("no panic").expect_err("it is held"),
                event = probed.event() => if event == Event::Started(given_up) { break },
            }
        }
        call.abort();
    };
    assert!(given_up > 20, "{given_up}");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.to_string().contains("too many calls given up"), "{error}");
    probed.open_gate();
    answered(others).await;
    // It may come back; between attempts to connect, calls fail at once.
    within(async {
        while client.server_name().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn a_peer_whose_calls_run_out_of_time_is_not(net: Net) {
    // Fifty at once, and ten a second.
    let (server, probed) = resetting(&net, 10);
    let client = ProbeClient::new(net.connect(&server).await);
    let canary = tokio::spawn(client.hold(0));
    for batch in 0..6 {
        let mut calls = JoinSet::new();
        for id in 1..=20 {
            calls.spawn(client.hold(batch * 100 + id).timeout(Duration::from_millis(300)));
        }
        while let Some(result) = within(calls.join_next()).await {
            let error = result.expect("no panic").expect_err("it is held");
            assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
        }
    }
    probed.open_gate();
    answered(canary).await;
}
