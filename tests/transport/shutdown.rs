//! The way down: what runs is finished, nothing new is taken, and everybody is told.

use std::time::Duration;

use rpcnet::{
    CallError, Channel, Code, ConnectError, Hurry, Limits, Server, ServerError, transport::ConnectionError,
};
use rpcnet_tests::{Event, Net, ProbeClient, ProbeServer, ProbeService, Probed, over_both, run, within};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

/// The close code of a server that takes no new connections.
const DRAINING: u32 = 3;

/// A server, and a call there that holds.
struct Holding {
    server: Server,
    probed: Probed,
    channel: Channel,
    held: JoinHandle<Result<String, CallError>>,
}

async fn holding(net: &Net) -> Holding {
    let (server, mut probed) = net.start_probed("server");
    let channel = net.connect(&server).await;
    let held = tokio::spawn(ProbeClient::new(channel.clone()).hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    Holding { server, probed, channel, held }
}

/// A server that is told to stop by the sender, and then ends as the task does.
fn until_told(server: &Server) -> (oneshot::Sender<()>, JoinHandle<Result<(), ServerError>>) {
    let (stop, told) = oneshot::channel();
    let server = server.clone();
    let running = tokio::spawn(async move {
        server
            .run_until(async {
                let _ = told.await;
            })
            .await
    });
    (stop, running)
}

over_both!(
    what_runs_is_finished_and_nothing_new_is_taken,
    a_call_that_crosses_the_goaway_was_never_started,
    calls_that_wait_for_a_stream_are_told_at_once,
    new_connections_are_refused_while_draining,
    a_successor_on_the_same_port_takes_over,
    run_until_delivers_the_replies_of_what_runs,
    run_until_cuts_off_what_takes_too_long,
    drain_cuts_off_what_takes_too_long_and_closes_nothing,
    drain_ends_with_the_last_call,
    told_twice_a_server_ends_at_once,
    every_call_is_answered_or_was_never_started,
    shutting_down_ends_what_still_runs,
    shutting_down_twice_is_fine,
    a_server_that_was_shut_down_does_not_run,
    readiness_says_why,
    a_dropped_server_closes_its_connections,
);

async fn what_runs_is_finished_and_nothing_new_is_taken(net: Net) {
    let Holding { server, mut probed, channel, held } = holding(&net).await;
    server.stop_accepting().await;
    let client = ProbeClient::new(channel);
    let error = within(client.once(2)).await.expect_err("nothing new");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(!error.maybe_executed());
    assert_eq!(server.in_flight(), 1);

    let mut waiting = Box::pin(server.wait_for_in_flight());
    tokio::select! {
        () = &mut waiting => panic!("a call is at work"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    probed.open_gate();
    within(waiting).await;
    assert_eq!(held.await.expect("no panic").expect("it was at work before"), "server");
    assert_eq!(probed.event().await, Event::Finished(1));
    assert_eq!(probed.try_event(), None, "the second never ran");
    server.shutdown().await.expect("no reason to fail");
}

async fn a_call_that_crosses_the_goaway_was_never_started(net: Net) {
    let Holding { server, mut probed, channel, held } = holding(&net).await;
    let client = ProbeClient::new(channel);
    // The client can't have heard of it when it sends these.
    server.stop_accepting().await;
    let (a, b) = within(async { tokio::join!(client.once(2), client.once(3)) }).await;
    for result in [a, b] {
        let error = result.expect_err("nothing new");
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(!error.maybe_executed(), "{error}");
    }
    assert_eq!(probed.try_event(), None);
    probed.open_gate();
    held.await.expect("no panic").expect("it was at work before");
}

async fn calls_that_wait_for_a_stream_are_told_at_once(net: Net) {
    let limits = Limits::default().with_max_calls_per_connection(1);
    let (server, mut probed) = net.start_probed_with("server", net.server().with_limits(limits));
    let client = ProbeClient::new(net.connect(&server).await);
    let mut calls = JoinSet::new();
    for id in 0..4 {
        calls.spawn(client.hold(id));
    }
    let Event::Started(first) = probed.event().await else { panic!("nothing has ended") };
    // Over QUIC a second one may be let in.
    server.stop_accepting().await;
    for _ in 0..2 {
        let result = within(calls.join_next()).await.expect("four of them").expect("no panic");
        let error = result.expect_err("nothing new");
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(!error.maybe_executed(), "{error}");
    }
    assert!(server.in_flight() > 0, "the first is still at work");
    probed.open_gate();
    let answered = within(calls.join_all()).await.iter().filter(|result| result.is_ok()).count();
    assert_eq!(answered, probed.executions().len(), "what was at work is finished");
    assert!(probed.executions().contains_key(&first));
}

async fn new_connections_are_refused_while_draining(net: Net) {
    let Holding { server, probed, held, .. } = holding(&net).await;
    server.stop_accepting().await;
    let result = within(net.channel().connect(server.local_addr().to_string())).await;
    let ConnectError::Handshake { source, .. } = result.expect_err("it takes nothing new") else {
        panic!("not refused by the server")
    };
    assert!(matches!(source, ConnectionError::Closed { code: DRAINING, .. }), "{source}");
    probed.open_gate();
    held.await.expect("no panic").expect("it was at work before");
}

async fn a_successor_on_the_same_port_takes_over(net: Net) {
    let Holding { server, probed, channel, held } = holding(&net).await;
    let address = server.local_addr();
    let (stop, running) = until_told(&server);
    stop.send(()).expect("it listens");
    probed.open_gate();
    held.await.expect("no panic").expect("it was at work before");
    within(running).await.expect("no panic").expect("no reason to fail");
    drop(server);

    let successor = within(async {
        loop {
            match Server::new(net.server().with_bind_addr(address).build().expect("complete")) {
                Ok(server) => break server,
                // The socket is closed in a task of its own.
                Err(ServerError::Bind { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    let (service, _probed) = ProbeService::new("successor");
    successor.register(ProbeServer::new(service)).expect("the first of its name");
    run(&successor);
    let client = ProbeClient::new(channel);
    let name = within(async {
        loop {
            match client.server_name().await {
                Ok(name) => break name,
                Err(error) => assert!(!error.maybe_executed(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(name.await, "successor");
}

async fn run_until_delivers_the_replies_of_what_runs(net: Net) {
    let server = Server::new(net.server().build().expect("complete")).expect("a free port");
    let (service, mut probed) = ProbeService::new("server");
    server.register(ProbeServer::new(service)).expect("the first of its name");
    let (stop, running) = until_told(&server);
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        let client = ProbeClient::new(net.connect(&server).await);
        for id in 0..20 {
            calls.spawn(client.hold(id));
        }
    }
    for _ in 0..60 {
        assert!(matches!(probed.event().await, Event::Started(_)));
    }
    stop.send(()).expect("it listens");
    probed.open_gate();
    while let Some(result) = within(calls.join_next()).await {
        assert_eq!(result.expect("no panic").expect("its reply was delivered"), "server");
    }
    within(running).await.expect("no panic").expect("no reason to fail");
    assert_eq!(server.readiness().reasons, ["the server is shut down"]);
}

async fn run_until_cuts_off_what_takes_too_long(net: Net) {
    let config = net.server().with_drain_timeout(Duration::from_millis(200));
    let server = Server::new(config.build().expect("complete")).expect("a free port");
    let (service, mut probed) = ProbeService::new("server");
    server.register(ProbeServer::new(service)).expect("the first of its name");
    let (stop, running) = until_told(&server);
    let held = tokio::spawn(ProbeClient::new(net.connect(&server).await).hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    let started = Instant::now();
    stop.send(()).expect("it listens");
    within(running).await.expect("no panic").expect("no reason to fail");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(10), "{took:?}");
    assert_eq!(probed.event().await, Event::Dropped(1));
    let error = within(held).await.expect("no panic").expect_err("it was cut off");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.maybe_executed());
}

async fn drain_cuts_off_what_takes_too_long_and_closes_nothing(net: Net) {
    let config = net.server().with_drain_timeout(Duration::from_millis(200));
    let (server, mut probed) = net.start_probed_with("server", config);
    let channel = net.connect(&server).await;
    let held = tokio::spawn(ProbeClient::new(channel.clone()).hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    assert_eq!(within(server.drain()).await, 1);
    assert_eq!(server.in_flight(), 0);
    assert_eq!(probed.event().await, Event::Dropped(1));
    let error = within(held).await.expect("no panic").expect_err("it was cut off");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.maybe_executed());
    assert_eq!(server.readiness().reasons, ["the server is draining"]);
    assert_eq!(within(server.drain()).await, 0);
    within(server.shutdown()).await.expect("no reason to fail");
}

async fn drain_ends_with_the_last_call(net: Net) {
    let Holding { server, mut probed, channel: _channel, held } = holding(&net).await;
    let draining = tokio::spawn({
        let server = server.clone();
        async move { server.drain().await }
    });
    probed.open_gate();
    assert_eq!(within(draining).await.expect("no panic"), 0);
    held.await.expect("no panic").expect("it was at work before");
    assert_eq!(probed.event().await, Event::Finished(1));
}

/// A second signal.
struct Again(oneshot::Receiver<()>);

impl Hurry for Again {
    async fn hurried(self) {
        let _ = self.0.await;
    }
}

async fn told_twice_a_server_ends_at_once(net: Net) {
    let Holding { server, mut probed, channel: _channel, held } = holding(&net).await;
    let (stop, told) = oneshot::channel();
    let (again, insisted) = oneshot::channel();
    let signal = async move {
        let _ = told.await;
        Again(insisted)
    };
    let running = tokio::spawn({
        let server = server.clone();
        async move { server.run_until(signal).await }
    });
    stop.send(()).expect("it listens");
    within(async {
        while server.readiness().reasons != ["the server is draining"] {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(server.in_flight(), 1);
    let started = Instant::now();
    again.send(()).expect("it listens");
    within(running).await.expect("no panic").expect("no reason to fail");
    // The drain timeout is 30 s.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(server.readiness().reasons, ["the server is shut down"]);
    assert_eq!(probed.event().await, Event::Dropped(1));
    let error = within(held).await.expect("no panic").expect_err("it was cut off");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.maybe_executed());
}

async fn every_call_is_answered_or_was_never_started(net: Net) {
    let server = Server::new(net.server().build().expect("complete")).expect("a free port");
    let (service, mut probed) = ProbeService::new("server");
    server.register(ProbeServer::new(service)).expect("the first of its name");
    let (stop, running) = until_told(&server);
    let mut callers = JoinSet::new();
    for caller in 0..4 {
        let client = ProbeClient::new(net.connect(&server).await);
        callers.spawn(async move {
            for id in caller * 1_000_000.. {
                if let Err(error) = client.once(id).await {
                    assert_eq!(error.code(), Code::Unavailable, "{error}");
                    assert!(!error.maybe_executed(), "after {} calls: {error}", id % 1_000_000);
                    return id % 1_000_000;
                }
            }
            unreachable!("the server stops first")
        });
    }
    for _ in 0..200 {
        probed.event().await;
    }
    stop.send(()).expect("it listens");
    let mut answered = 0;
    while let Some(calls) = within(callers.join_next()).await {
        answered += calls.expect("each call was answered, or never started");
    }
    within(running).await.expect("no panic").expect("no reason to fail");
    let executions = probed.executions();
    assert_eq!(executions.len() as u64, answered, "what ran was answered");
    assert!(executions.values().all(|times| *times == 1));
}

async fn shutting_down_ends_what_still_runs(net: Net) {
    let Holding { server, mut probed, channel, held } = holding(&net).await;
    within(server.shutdown()).await.expect("no reason to fail");
    assert_eq!(probed.event().await, Event::Dropped(1));
    let error = within(held).await.expect("no panic").expect_err("it was cut off");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.maybe_executed());
    let error = within(ProbeClient::new(channel).once(2)).await.expect_err("nobody is there");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(!error.maybe_executed());
}

async fn shutting_down_twice_is_fine(net: Net) {
    let server = net.start();
    let _channel = net.connect(&server).await;
    let (a, b) = within(async { tokio::join!(server.shutdown(), server.shutdown()) }).await;
    a.and(b).expect("no reason to fail");
    within(server.shutdown()).await.expect("no reason to fail");
    within(server.closed()).await;
    server.stop_accepting().await;
    server.wait_for_in_flight().await;
}

async fn a_server_that_was_shut_down_does_not_run(net: Net) {
    let server = Server::new(net.server().build().expect("complete")).expect("a free port");
    within(server.shutdown()).await.expect("no reason to fail");
    assert!(matches!(within(server.run()).await, Err(ServerError::Closed)));
    let result = within(server.run_until(std::future::pending::<()>())).await;
    assert!(matches!(result, Err(ServerError::Closed)));
}

async fn readiness_says_why(net: Net) {
    let server = Server::new(net.server().build().expect("complete")).expect("a free port");
    assert_eq!(server.readiness().reasons, ["the server does not run yet"]);
    assert!(!server.readiness().ready);
    run(&server);
    net.connect(&server).await;
    assert!(server.readiness().ready);
    assert_eq!(server.readiness().reasons, [""; 0]);
    server.stop_accepting().await;
    assert_eq!(server.readiness().reasons, ["the server is draining"]);
    within(server.shutdown()).await.expect("no reason to fail");
    assert_eq!(server.readiness().reasons, ["the server is shut down"]);
    assert!(!server.readiness().ready);
}

async fn a_dropped_server_closes_its_connections(net: Net) {
    let server = Server::new(net.server().build().expect("complete")).expect("a free port");
    let (service, mut probed) = ProbeService::new("server");
    server.register(ProbeServer::new(service)).expect("the first of its name");
    let running = run(&server);
    let held = tokio::spawn(ProbeClient::new(net.connect(&server).await).hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    running.abort();
    drop(server);
    let error = within(held).await.expect("no panic").expect_err("its server is gone");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.maybe_executed());
    assert_eq!(probed.event().await, Event::Dropped(1));
}
