//! Tower's middleware around calls, on either side.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpcnet::{
    CallError, Channel, Code, Interceptor, Next, Reply, Request, Status,
    interceptor::from_fn,
    tower::{NextService, caller, layer, service},
};
use rpcnet_tests::{Event, Net, ProbeClient, Probed, over_both, within};
use tokio::task::JoinSet;
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt, layer::layer_fn, service_fn, timeout::error::Elapsed,
    util::BoxCloneService,
};

/// Longer than a call takes to arrive.
const SHORT: Duration = Duration::from_secs(1);

async fn connect(net: &Net, server: &rpcnet::Server, interceptor: impl Interceptor) -> Channel {
    let builder = net.channel().with_interceptor(interceptor);
    builder.connect(server.local_addr().to_string()).await.expect("it listens")
}

over_both!(
    a_timeout_on_the_client,
    a_timeout_on_the_server,
    a_concurrency_limit_on_the_client_is_one_for_all_calls,
    a_concurrency_limit_on_the_server_is_one_for_all_connections,
    load_shedding_on_the_client,
    load_shedding_on_the_server,
    a_rate_limit_behind_a_buffer,
    a_generated_client_on_a_stack_of_services,
    a_layer_is_applied_once_for_each_place,
    a_status_comes_through_unchanged,
    what_never_gets_ready_is_never_sent,
    an_attempt_that_ran_is_not_forgotten,
);

/// The call has run out of tower's time, not of its own; its handler is dropped.
async fn assert_timed_out(result: Result<String, CallError>, probed: &mut Probed) {
    let error = result.expect_err("it is held");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(error.to_string().contains("request timed out"), "{error}");
    assert!(error.maybe_executed());
    assert_eq!(probed.event().await, Event::Started(1));
    assert_eq!(probed.event().await, Event::Dropped(1));
}

async fn a_timeout_on_the_client(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let channel = connect(&net, &server, layer(ServiceBuilder::new().timeout(SHORT))).await;
    let client = ProbeClient::new(channel);
    let result = client.hold(1).await;
    let status = result.as_ref().err().and_then(CallError::status).expect("it ends in one");
    assert!(status.source().expect("tower's error is kept").is::<Elapsed>());
    assert_timed_out(result, &mut probed).await;
    assert_eq!(client.server_name().await.expect("in time"), "server");
}

async fn a_timeout_on_the_server(net: Net) {
    let timeout = layer(ServiceBuilder::new().timeout(SHORT));
    let (server, mut probed) = net.start_probed_with("server", net.server().with_interceptor(timeout));
    let client = ProbeClient::new(net.connect(&server).await);
    assert_timed_out(client.hold(1).await, &mut probed).await;
    assert_eq!(client.server_name().await.expect("in time"), "server");
}

/// Ten calls, of which two run at a time.
async fn assert_two_at_once(clients: [ProbeClient; 2], probed: &mut Probed) {
    let mut calls = JoinSet::new();
    for id in 0..10 {
        calls.spawn(clients[id as usize % 2].hold(id));
    }
    let mut running = 0_usize;
    for event in 0..20 {
        match probed.event().await {
            Event::Started(_) => running += 1,
            Event::Finished(_) => running -= 1,
            Event::Dropped(id) => panic!("nobody gives {id} up"),
        }
        assert!(running <= 2, "{running} run at once");
        if event == 1 {
            assert_eq!(running, 2);
            probed.open_gate();
        }
    }
    while let Some(reply) = within(calls.join_next()).await {
        assert_eq!(reply.expect("no panic").expect("it had its turn"), "server");
    }
}

async fn a_concurrency_limit_on_the_client_is_one_for_all_calls(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let channel = connect(&net, &server, layer(ServiceBuilder::new().concurrency_limit(2))).await;
    assert_two_at_once([ProbeClient::new(channel.clone()), ProbeClient::new(channel)], &mut probed).await;
}

async fn a_concurrency_limit_on_the_server_is_one_for_all_connections(net: Net) {
    let limit = layer(ServiceBuilder::new().concurrency_limit(2));
    let (server, mut probed) = net.start_probed_with("server", net.server().with_interceptor(limit));
    let clients = [net.connect(&server).await, net.connect(&server).await].map(ProbeClient::new);
    assert_two_at_once(clients, &mut probed).await;
}

/// One call at a time: a second one is shed, and never started.
async fn assert_sheds(client: ProbeClient<impl rpcnet::Caller>, probed: &mut Probed) {
    let held = tokio::spawn(client.hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    let error = client.hold(2).await.expect_err("the only place is taken");
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(error.to_string().contains("overloaded"), "{error}");
    assert!(!error.maybe_executed());
    probed.open_gate();
    assert_eq!(held.await.expect("no panic").expect("it had its turn"), "server");
    assert_eq!(probed.event().await, Event::Finished(1));
    assert_eq!(client.hold(3).await.expect("there is room again"), "server");
    assert_eq!(probed.event().await, Event::Started(3));
}

async fn load_shedding_on_the_client(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let shedding = layer(ServiceBuilder::new().load_shed().concurrency_limit(1));
    assert_sheds(ProbeClient::new(connect(&net, &server, shedding).await), &mut probed).await;
}

async fn load_shedding_on_the_server(net: Net) {
    let shedding = layer(ServiceBuilder::new().load_shed().concurrency_limit(1));
    let (server, mut probed) = net.start_probed_with("server", net.server().with_interceptor(shedding));
    assert_sheds(ProbeClient::new(net.connect(&server).await), &mut probed).await;
}

async fn a_generated_client_on_a_stack_of_services(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let stack = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .timeout(Duration::from_secs(20))
        .service(service(net.connect(&server).await));
    assert_sheds(ProbeClient::new(caller(stack)), &mut probed).await;

    // One that is not `Sync`, and without a name.
    let boxed = BoxCloneService::new(service(net.connect(&server).await));
    assert_eq!(ProbeClient::new(caller(boxed)).server_name().await.expect("answered"), "server");
}

async fn a_rate_limit_behind_a_buffer(net: Net) {
    let limit = layer(ServiceBuilder::new().buffer(16).rate_limit(2, Duration::from_millis(300)));
    let (server, _probed) = net.start_probed_with("server", net.server().with_interceptor(limit));
    let client = ProbeClient::new(net.connect(&server).await);
    let started = tokio::time::Instant::now();
    let mut calls = JoinSet::new();
    for id in 0..6 {
        calls.spawn(client.once(id));
    }
    while let Some(reply) = within(calls.join_next()).await {
        assert_eq!(reply.expect("no panic").expect("it had its turn"), "server");
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(600), "two at once, then two, then two: {took:?}");
}

async fn a_layer_is_applied_once_for_each_place(net: Net) {
    let applied = Arc::new(AtomicUsize::new(0));
    let counting = |applied: &Arc<AtomicUsize>| {
        let applied = applied.clone();
        layer(layer_fn(move |next: NextService| {
            applied.fetch_add(1, Ordering::SeqCst);
            next
        }))
    };
    let (server, _probed) =
        net.start_probed_with("server", net.server().with_interceptor(counting(&applied)));
    assert_eq!(applied.load(Ordering::SeqCst), 1);
    let connector = net.channel().with_interceptor(counting(&applied)).connector().expect("a free port");
    for places in [2, 3] {
        let channel = connector.connect(server.local_addr().to_string()).await.expect("it listens");
        for _ in 0..3 {
            ProbeClient::new(channel.clone()).server_name().await.expect("answered");
        }
        assert_eq!(applied.load(Ordering::SeqCst), places, "one on the server, one a channel");
    }
}

async fn a_status_comes_through_unchanged(net: Net) {
    let refusing = from_fn(|_: Request, _: Next| async {
        let status = Status::permission_denied("not you").with_details("details").not_executed();
        Err(status.with_retry_after(Duration::from_secs(1)))
    });
    let server = net.server().with_interceptor(layer(ServiceBuilder::new().timeout(SHORT)));
    let (server, _probed) = net.start_probed_with("server", server.with_interceptor(refusing));
    let channel = connect(&net, &server, layer(ServiceBuilder::new().load_shed())).await;
    let error = ProbeClient::new(channel).once(1).await.expect_err("refused");
    let status = error.status().expect("it is one");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().ends_with("not you"), "{status}");
    assert_eq!(&status.details()[..], b"details");
    assert_eq!(status.retry_after(), Some(Duration::from_secs(1)));
    assert!(!status.maybe_executed());
    assert!(status.source().is_none());
}

/// A service that has broken: it says so before it takes a call.
#[derive(Debug, Clone)]
struct Broken;

impl Service<Request> for Broken {
    type Response = Reply;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Reply, BoxError>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Err("it has broken".into()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        unreachable!("it never was ready")
    }
}

async fn what_never_gets_ready_is_never_sent(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let channel = connect(&net, &server, layer(layer_fn(|_: NextService| Broken))).await;
    for result in [ProbeClient::new(channel).once(1).await, ProbeClient::new(caller(Broken)).once(1).await] {
        let error = result.expect_err("it has broken");
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.to_string().contains("it has broken"), "{error}");
        assert!(!error.maybe_executed());
    }
    assert_eq!(probed.try_event(), None);
}

/// Makes each call twice and keeps what the second attempt came to.
fn twice(
    next: impl Service<Request, Response = Reply, Error = Status, Future: Send> + Clone + Send + 'static,
) -> impl Service<Request, Response = Reply, Error = Status, Future: Send> + Clone + Send + 'static {
    service_fn(move |request: Request| {
        let (first, second) = (next.clone(), next.clone());
        async move {
            let _ = first.oneshot(request.clone()).await;
            second.oneshot(request).await
        }
    })
}

async fn an_attempt_that_ran_is_not_forgotten(net: Net) {
    let open = Arc::new(AtomicBool::new(true));
    let shuts = {
        let open = open.clone();
        from_fn(move |request: Request, next: Next| {
            let open = open.swap(false, Ordering::SeqCst);
            async move {
                if !open {
                    return Err(Status::unavailable("shut").not_executed());
                }
                next.run(request).await
            }
        })
    };
    let (server, mut probed) = net.start_probed_with("server", net.server().with_interceptor(shuts));
    let layered =
        ProbeClient::new(connect(&net, &server, layer(layer_fn(|next: NextService| twice(next)))).await);
    let stacked = ProbeClient::new(caller(twice(service(net.connect(&server).await))));
    for (opened, by_layer, ran) in
        [(true, true, true), (true, false, true), (false, true, false), (false, false, false)]
    {
        open.store(opened, Ordering::SeqCst);
        let result = if by_layer { layered.once(1).await } else { stacked.once(1).await };
        let error = result.expect_err("the second attempt fails");
        assert_eq!((error.code(), error.maybe_executed()), (Code::Unavailable, ran), "{opened} {by_layer}");
    }
    for _ in 0..2 {
        assert_eq!(probed.event().await, Event::Started(1));
        assert_eq!(probed.event().await, Event::Finished(1));
    }
    assert_eq!(probed.try_event(), None);
}
