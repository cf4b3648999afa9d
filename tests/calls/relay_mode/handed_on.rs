//! Metadata, deadlines, errors and bodies of relayed calls.

use std::time::Duration;

use rpcnet::{Admission, CallError, Code, Limits, Request};
use rpcnet_tests::{Event, Net, ProbeClient, ProbeServer, ProbeService, over_both, within};

use super::place::{Clerk, DeskServer, MS, Node, Place};

const MIB: usize = 1 << 20;

over_both!(
    small_calls_and_large_ones_come_through,
    replies_of_a_method_that_are_large_leave_the_lane,
    the_deadline_is_what_is_left_of_the_clients,
    a_call_that_is_given_up_is_given_up_at_the_worker,
    what_the_relay_itself_serves_is_not_called,
    a_method_that_nobody_has,
    other_schemas_are_refused_by_the_worker,
    a_message_that_is_too_large_for_the_relay,
    a_worker_that_is_full_says_when_to_come_back,
    a_relay_that_knows_no_worker,
    interceptors_of_a_relay_see_who_calls,
);

async fn small_calls_and_large_ones_come_through(net: Net) {
    let place = Place::start(&net, 2, 2).await;
    for length in [0, 1, 10_000, 100_000, 2 * MIB] {
        let text = "ß".repeat(length / 2);
        assert_eq!(within(place.client.echo(text.clone())).await.expect("answered"), text);
    }
    place.quiet().await;
}

async fn replies_of_a_method_that_are_large_leave_the_lane(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    for count in [100_000, 100_000, 10, MIB, 10] {
        let bytes = within(place.desk.bytes(count)).await.expect("answered");
        assert_eq!(bytes.len(), count);
    }
}

async fn the_deadline_is_what_is_left_of_the_clients(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    let left = |timeout: Duration| {
        let call = place.desk.left().timeout(timeout);
        async move { within(call).await.expect("answered").expect("there is one") }
    };
    for timeout in [Duration::from_secs(5), Duration::from_secs(100)] {
        let left = left(timeout).await;
        assert!(left <= timeout && left > timeout - Duration::from_secs(3), "{left:?} of {timeout:?}");
    }
    let error = within(place.client.hold(1).timeout(300 * MS)).await.expect_err("the gate is shut");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(error.maybe_executed());
    place.quiet().await;
}

async fn a_call_that_is_given_up_is_given_up_at_the_worker(net: Net) {
    let mut place = Place::start(&net, 1, 1).await;
    let call = tokio::spawn(place.client.hold(7).into_future());
    assert_eq!(place.probed[0].event().await, Event::Started(7));
    call.abort();
    assert_eq!(place.probed[0].event().await, Event::Dropped(7));
    place.quiet().await;
}

async fn what_the_relay_itself_serves_is_not_called(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    let (service, _probed) = ProbeService::new("relay");
    place.relays[0].server.register(ProbeServer::new(service)).expect("the first of its name");
    assert_eq!(within(place.client.server_name()).await.expect("answered"), "0");
    // But for this, which tells of the relay: it has no service but its own.
    let health = rpcnet::HealthClient::new(place.channel.clone());
    let state = within(health.health()).await.expect("answered");
    assert!(!state.services.iter().any(|name| name == "test.v1.Desk"), "{state:?}");
}

#[rpcnet::rpc_trait(name = "test.v1.Absent")]
trait Absent {
    async fn anything(&self) -> rpcnet::Result<()>;
}

async fn a_method_that_nobody_has(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    let error = within(AbsentClient::new(place.channel.clone()).anything()).await.expect_err("it has none");
    assert_eq!((error.code(), error.maybe_executed()), (Code::Unimplemented, false));
    assert!(error.to_string().contains("test.v1.Absent/anything"), "{error}");
    assert!(error.to_string().contains("test.v1.Desk"), "the worker's services: {error}");
}

/// The same service, of other types.
mod other {
    #[rpcnet::rpc_trait(name = "test.v1.Probe")]
    pub(crate) trait Probe {
        async fn once(&self, id: u32) -> rpcnet::Result<String>;
    }
}

async fn other_schemas_are_refused_by_the_worker(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    let client = other::ProbeClient::new(place.channel.clone());
    for _ in 0..2 {
        let error = within(client.once(1)).await.expect_err("it has another");
        assert_eq!((error.code(), error.maybe_executed()), (Code::FailedPrecondition, false), "{error}");
    }
    assert_eq!(place.probed[0].executions().len(), 0);
    within(place.client.once(1)).await.expect("it is the same");
}

async fn a_message_that_is_too_large_for_the_relay(net: Net) {
    let place = Place::start(&net, 1, 0).await;
    let small = Limits::default().with_max_message(MIB);
    let relay = Node::start(&net, small, |server| {
        let channel = server.connector().balanced(place.set.subscribe(), rpcnet::BalancedConfig::default());
        server.forward(channel).expect("its first");
    });
    let channel = net.channel().with_relay().connect(relay.addr().to_string()).await.expect("it listens");
    let client = ProbeClient::new(channel.clone());
    let error = within(client.echo("x".repeat(2 * MIB))).await.expect_err("it is too large");
    assert_eq!((error.code(), error.maybe_executed()), (Code::ResourceExhausted, false));
    let error = within(super::place::DeskClient::new(channel).bytes(2 * MIB)).await.expect_err("likewise");
    assert_eq!((error.code(), error.maybe_executed()), (Code::ResourceExhausted, true));
    assert_eq!(within(client.echo("x".to_owned())).await.expect("it goes on"), "x");
}

async fn a_worker_that_is_full_says_when_to_come_back(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    let (service, mut probed) = ProbeService::new("full");
    let config = net.server().with_admission(Admission::fixed(1).with_queue(0));
    let worker = net.start_with(config);
    worker.register(ProbeServer::new(service)).expect("the first of its name");
    worker.register(DeskServer::new(Clerk::default())).expect("the first of its name");
    place
        .set
        .send_replace([rpcnet::discover::Endpoint::new("full", worker.local_addr())].into_iter().collect());
    let held = tokio::spawn(place.client.hold(1).into_future());
    assert_eq!(probed.event().await, Event::Started(1));
    let error = within(place.client.once(2)).await.expect_err("it is full");
    assert_eq!((error.code(), error.maybe_executed()), (Code::ResourceExhausted, false));
    let CallError::Status(status) = error;
    assert!(status.retry_after().is_some());
    probed.open_gate();
    within(held).await.expect("no panic").expect("answered");
}

async fn a_relay_that_knows_no_worker(net: Net) {
    let place = Place::start(&net, 1, 2).await;
    let config = rpcnet::BalancedConfig::default().with_ready_timeout(100 * MS);
    let lonely = Node::start(&net, Limits::default(), |server| {
        let none = tokio::sync::watch::Sender::new(rpcnet::discover::EndpointSet::from([]));
        server.forward(server.connector().balanced(none.subscribe(), config)).expect("its first");
    });
    let alone = net.channel().with_relay().connect(lonely.addr().to_string()).await.expect("it listens");
    let error = within(ProbeClient::new(alone).once(1)).await.expect_err("there is no worker");
    assert_eq!((error.code(), error.maybe_executed()), (Code::Unavailable, false), "{error}");

    // Where there are others, the call goes on there.
    let known = super::place::endpoints(place.relays.iter().chain([&lonely]));
    let known = tokio::sync::watch::Sender::new(known);
    let policy = rpcnet::BalancedConfig::default().with_policy(rpcnet::balance::Policy::RoundRobin);
    let channel = rpcnet::BalancedChannel::new(net.channel().with_relay(), known.subscribe(), policy);
    let channel = channel.expect("complete");
    let client = ProbeClient::new(channel.clone());
    rpcnet_tests::until(|| channel.endpoints().iter().all(|relay| relay.ready)).await;
    for id in 10..20 {
        within(client.once(id)).await.expect("a relay knows the worker");
    }
    assert!(channel.retries() > 0);
}

/// Lets nobody call with a certain metadata.
struct Doorman;

impl rpcnet::Interceptor for Doorman {
    fn intercept(&self, mut request: Request, next: rpcnet::Next) -> rpcnet::ReplyFuture {
        assert_eq!(request.method().to_string(), "rpcnet.Relay/call");
        if request.metadata().get("x-banned").is_some() {
            let status = rpcnet::Status::permission_denied("not here").not_executed();
            return Box::pin(std::future::ready(Err(status)));
        }
        request.metadata_mut().insert("x-seen", "yes").expect("a name");
        next.run(request)
    }
}

async fn interceptors_of_a_relay_see_who_calls(net: Net) {
    let place = Place::start(&net, 1, 0).await;
    let relay = net.start_with(net.server().with_interceptor(Doorman));
    let channel = relay.connector().balanced(place.set.subscribe(), rpcnet::BalancedConfig::default());
    relay.forward(channel).expect("its first");
    let channel =
        net.channel().with_relay().connect(relay.local_addr().to_string()).await.expect("it listens");
    let client = ProbeClient::new(channel.clone());
    assert_eq!(within(client.server_name()).await.expect("let in"), "0");
    let error = within(client.once(1).metadata("x-banned", "1")).await.expect_err("it is kept out");
    assert_eq!((error.code(), error.maybe_executed()), (Code::PermissionDenied, false));
    let mut items = within(super::place::DeskClient::new(channel).blocks(10)).await.expect("it starts");
    assert_eq!(within(items.next()).await.expect("not the end").expect("an item").len(), 10);
}
