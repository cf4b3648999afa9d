//! Unary calls and what they carry: arguments, replies, errors, metadata; and what one call may not do to another.

use std::{convert::Infallible, time::Duration};

use rpcnet::{CallError, Code, Context, Status, rpc_impl, rpc_trait};
use rpcnet_tests::{Event, Net, ProbeClient, over_a_relay, over_both, within};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::JoinSet};

#[rpc_trait(name = "test.v1.Kinds")]
trait Kinds {
    async fn nothing(&self) -> rpcnet::Result<()>;
    async fn one(&self, text: String) -> Result<String, KindError>;
    async fn many(&self, a: u8, b: Vec<String>, c: Option<i64>, d: (bool, char)) -> rpcnet::Result<String>;
    async fn bytes(&self, bytes: Vec<u8>) -> rpcnet::Result<Vec<u8>>;
    async fn tenants(&self, cx: &Context) -> rpcnet::Result<Vec<(String, String)>>;
    async fn fails(&self) -> rpcnet::Result<()>;
    async fn panics(&self) -> rpcnet::Result<()>;
    async fn panics_later(&self) -> rpcnet::Result<()>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum KindError {
    TooLong { max: usize },
    Forbidden(String),
}

struct Service;

#[rpc_impl]
impl Kinds for Service {
    async fn nothing(&self) -> rpcnet::Result<()> {
        Ok(())
    }

    async fn one(&self, text: String) -> Result<String, KindError> {
        match text.as_str() {
            "secret" => Err(KindError::Forbidden(text)),
            text if text.len() > 10 => Err(KindError::TooLong { max: 10 }),
            text => Ok(text.to_uppercase()),
        }
    }

    async fn many(&self, a: u8, b: Vec<String>, c: Option<i64>, d: (bool, char)) -> rpcnet::Result<String> {
        Ok(format!("{a} {b:?} {c:?} {d:?}"))
    }

    async fn bytes(&self, mut bytes: Vec<u8>) -> rpcnet::Result<Vec<u8>> {
        bytes.reverse();
        Ok(bytes)
    }

    async fn tenants(&self, cx: &Context) -> rpcnet::Result<Vec<(String, String)>> {
        Ok(cx.metadata().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    async fn fails(&self) -> rpcnet::Result<()> {
        Err(Status::resource_exhausted("come back later")
            .with_retry_after(Duration::from_millis(1500))
            .with_details(&b"\x00\xffdetails"[..]))
    }

    async fn panics(&self) -> rpcnet::Result<()> {
        panic!("on purpose")
    }

    async fn panics_later(&self) -> rpcnet::Result<()> {
        tokio::task::yield_now().await;
        panic!("on purpose, later")
    }
}

async fn kinds(net: &Net) -> KindsClient {
    let server = net.start();
    server.register(KindsServer::new(Service)).expect("the first");
    KindsClient::new(net.connect(&server).await)
}

over_both!(
    arguments_and_replies_of_any_shape,
    an_application_error_arrives_typed,
    a_status_arrives_with_details_and_the_time_to_wait,
    metadata_arrives_in_order,
    large_bodies_travel_both_ways,
    calls_are_owned_futures_that_tasks_can_take,
    more_calls_at_once_than_streams_are_allowed,
    a_panic_fails_its_own_call_alone,
    a_handler_calls_its_caller,
    a_call_before_the_server_runs_waits_for_it,
    a_service_added_later_is_found,
);

over_a_relay!(
    arguments_and_replies_of_any_shape,
    an_application_error_arrives_typed,
    a_status_arrives_with_details_and_the_time_to_wait,
    metadata_arrives_in_order,
    large_bodies_travel_both_ways,
    calls_are_owned_futures_that_tasks_can_take,
    more_calls_at_once_than_streams_are_allowed,
    a_panic_fails_its_own_call_alone,
    a_service_added_later_is_found,
);

async fn arguments_and_replies_of_any_shape(net: Net) {
    let client = kinds(&net).await;
    client.nothing().await.expect("answered");
    assert_eq!(client.one("a".into()).await.expect("answered"), "A");
    assert_eq!(client.one(String::new()).await.expect("answered"), "");
    let many = client.many(7, vec!["x".into(), "ß".into()], Some(-1), (true, '∞')).await.expect("answered");
    assert_eq!(many, r#"7 ["x", "ß"] Some(-1) (true, '∞')"#);
}

async fn an_application_error_arrives_typed(net: Net) {
    let client = kinds(&net).await;
    let error = client.one("much too long".into()).await.expect_err("refused");
    assert_eq!(error.code(), Code::Unknown);
    assert!(error.maybe_executed(), "it was the handler that said so");
    assert!(error.status().is_none());
    assert!(matches!(error, CallError::Application(KindError::TooLong { max: 10 })), "{error:?}");
    match client.one("secret".into()).await {
        Err(CallError::Application(KindError::Forbidden(text))) => assert_eq!(text, "secret"),
        other => panic!("{other:?}"),
    }
}

async fn a_status_arrives_with_details_and_the_time_to_wait(net: Net) {
    let client = kinds(&net).await;
    let error: CallError<Infallible> = client.fails().await.expect_err("it fails");
    let status = Status::from(error);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "come back later");
    assert_eq!(status.retry_after(), Some(Duration::from_millis(1500)));
    assert_eq!(&status.details()[..], b"\x00\xffdetails");
    assert!(status.maybe_executed(), "it was the handler that said so");
}

async fn metadata_arrives_in_order(net: Net) {
    let client = kinds(&net).await;
    let call =
        client.tenants().metadata("x-tenant", "a").metadata("x-trace.id", "ß ∞").metadata("x-tenant", "");
    let pairs = call.await.expect("answered");
    let expected = [("x-tenant", "a"), ("x-trace.id", "ß ∞"), ("x-tenant", "")];
    assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(client.tenants().await.expect("answered"), [], "a call's metadata is its own");
}

async fn large_bodies_travel_both_ways(net: Net) {
    let client = kinds(&net).await;
    let sent: Vec<u8> = (0..3 << 20).map(|index: u32| (index % 251) as u8).collect();
    let mut reply = within(client.bytes(sent.clone())).await.expect("answered");
    reply.reverse();
    assert!(reply == sent, "the bytes have changed on their way");
}

async fn calls_are_owned_futures_that_tasks_can_take(net: Net) {
    fn assert_send<T: Send + 'static>(value: T) -> T {
        value
    }
    let client = kinds(&net).await;
    let call = assert_send(client.one("a".into()));
    drop(client);
    let reply = tokio::spawn(call).await.expect("no panic");
    assert_eq!(reply.expect("answered"), "A");
}

async fn more_calls_at_once_than_streams_are_allowed(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let client = ProbeClient::new(net.connect(&server).await);
    let mut calls = JoinSet::new();
    for id in 0..500 {
        calls.spawn(client.hold(id));
    }
    // As many as the transport lets a peer have open: the others wait for their turn.
    for _ in 0..256 {
        assert!(matches!(probed.event().await, Event::Started(_)));
    }
    probed.open_gate();
    while let Some(reply) = within(calls.join_next()).await {
        assert_eq!(reply.expect("no panic").expect("answered"), "server");
    }
    let executions = probed.executions();
    assert_eq!(executions.len(), 500);
    assert!(executions.values().all(|times| *times == 1), "{executions:?}");
    server.wait_for_in_flight().await;
}

async fn a_panic_fails_its_own_call_alone(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    server.register(KindsServer::new(Service)).expect("the first");
    let channel = net.connect(&server).await;
    let (probe, kinds) = (ProbeClient::new(channel.clone()), KindsClient::new(channel));
    let held = tokio::spawn(probe.hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    for call in [kinds.panics(), kinds.panics_later()] {
        let error = call.await.expect_err("it panicked");
        assert_eq!(error.code(), Code::Internal);
        assert!(error.maybe_executed());
        let text = error.to_string();
        assert!(text.contains("test.v1.Kinds/panics") && !text.contains("on purpose"), "{text}");
    }
    kinds.nothing().await.expect("the connection is unharmed");
    probed.open_gate();
    assert_eq!(held.await.expect("no panic").expect("the call beside it is unharmed"), "server");
}

#[rpc_trait(name = "test.v1.Errand")]
trait Errand {
    async fn run(&self, cx: &Context, price: u32) -> rpcnet::Result<String>;
}

#[rpc_trait(name = "test.v1.Customer")]
trait Customer {
    async fn agrees(&self, price: u32) -> Result<bool, KindError>;
}

struct Messenger;

#[rpc_impl]
impl Errand for Messenger {
    async fn run(&self, cx: &Context, price: u32) -> rpcnet::Result<String> {
        match CustomerClient::new(cx.caller()).agrees(price).await {
            Ok(agrees) => Ok(format!("the customer says {agrees}")),
            Err(CallError::Application(error)) => Ok(format!("the customer objects: {error:?}")),
            Err(CallError::Status(status)) => Err(status),
        }
    }
}

struct Buyer {
    asked: mpsc::UnboundedSender<u32>,
}

#[rpc_impl]
impl Customer for Buyer {
    async fn agrees(&self, price: u32) -> Result<bool, KindError> {
        self.asked.send(price).expect("the test listens");
        if price > 100 { Err(KindError::TooLong { max: 100 }) } else { Ok(price < 10) }
    }
}

async fn a_handler_calls_its_caller(net: Net) {
    let server = net.start();
    server.register(ErrandServer::new(Messenger)).expect("the first");
    let (asked, mut prices) = mpsc::unbounded_channel();
    let channel = net
        .channel()
        .with_service(CustomerServer::new(Buyer { asked }))
        .expect("the first")
        .connect(server.local_addr().to_string())
        .await
        .expect("it listens");
    let client = ErrandClient::new(channel);
    assert_eq!(client.run(5).await.expect("answered"), "the customer says true");
    assert_eq!(client.run(50).await.expect("answered"), "the customer says false");
    assert_eq!(client.run(500).await.expect("answered"), "the customer objects: TooLong { max: 100 }");
    for price in [5, 50, 500] {
        assert_eq!(prices.recv().await, Some(price));
    }

    let deaf = ErrandClient::new(net.connect(&server).await);
    let error = deaf.run(5).await.expect_err("this caller serves nothing");
    assert_eq!(error.code(), Code::Unimplemented);
}

async fn a_call_before_the_server_runs_waits_for_it(net: Net) {
    let server = rpcnet::Server::new(net.server().build().expect("complete")).expect("a free port");
    server.register(KindsServer::new(Service)).expect("the first");
    let channel = net.channel().connect_lazy(server.local_addr().to_string()).expect("an address");
    let client = KindsClient::new(channel);
    let mut call = Box::pin(client.nothing());
    tokio::select! {
        result = &mut call => panic!("answered by a server that does not run: {result:?}"),
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
    }
    rpcnet_tests::run(&server);
    within(call).await.expect("answered");
}

async fn a_service_added_later_is_found(net: Net) {
    let server = net.start();
    let client = KindsClient::new(net.connect(&server).await);
    assert_eq!(client.nothing().await.expect_err("not there yet").code(), Code::Unimplemented);
    server.register(KindsServer::new(Service)).expect("the first");
    client.nothing().await.expect("there now");
    assert_eq!(server.services(), ["rpcnet.Health", "test.v1.Kinds"]);
    let error = server.register(KindsServer::new(Service)).expect_err("the second");
    assert!(matches!(error, rpcnet::RegisterError::Service("test.v1.Kinds")), "{error}");
}
