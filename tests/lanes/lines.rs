//! A channel opens further connections where calls gather.

use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpcnet::{Channel, Code, Limits, Server};
use rpcnet_tests::{Net, ProbeClient, on_lanes, until, within};
use tokio::task::JoinSet;

const MS: Duration = Duration::from_millis(1);

on_lanes!(
    a_crowd_gets_further_connections,
    a_few_calls_share_one,
    calls_go_on_when_one_connection_is_cut,
    a_call_that_meets_connections_that_drain_was_never_started,
);

async fn connect(net: &Net, server: &Server, most: usize) -> Channel {
    if let Net::Memory(network) = net.medium() {
        // Time goes on only where somebody waits for it.
        network.set_latency(MS..MS);
    }
    let most = NonZero::new(most).expect("some");
    let channel = net.channel().with_max_connections(most);
    channel.connect(server.local_addr().to_string()).await.expect("it listens")
}

fn connections(server: &Server) -> usize {
    let text = server.metrics().render();
    let line = text.lines().find_map(|line| line.strip_prefix("rpc_connections "));
    line.map_or(0, |value| value.parse().expect("a count"))
}

/// Calls that are made again as soon as they are answered.
struct Crowd {
    tasks: JoinSet<usize>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
}

impl Crowd {
    /// So many at a time.
    fn of(tasks: usize, channel: &Channel) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut crowd = Self { tasks: JoinSet::new(), stop, answered };
        for task in 0..tasks {
            let client = ProbeClient::new(channel.clone());
            let (stop, answered) = (crowd.stop.clone(), crowd.answered.clone());
            crowd.tasks.spawn(async move {
                let mut failed = 0;
                for call in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("{task}:{call}");
                    match client.echo(text.clone()).await {
                        Ok(answer) => assert_eq!(answer, text),
                        Err(error) => {
                            assert_eq!(error.code(), Code::Unavailable, "{error}");
                            failed += 1;
                        }
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                failed
            });
        }
        crowd
    }

    /// Ends it; how many calls failed.
    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = 0;
        while let Some(ended) = within(self.tasks.join_next()).await {
            failed += ended.expect("each has its own answer");
        }
        failed
    }

    async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        until(|| self.answered.load(Ordering::Relaxed) > before + 700).await;
    }
}

async fn a_crowd_gets_further_connections(net: Net) {
    let (server, _probed) = net.start_probed("server");
    let channel = connect(&net, &server, 3).await;
    let crowd = Crowd::of(600, &channel);
    until(|| connections(&server) == 3).await;
    for _ in 0..4 {
        crowd.goes_on().await;
        assert!(connections(&server) <= 3);
    }
    assert_eq!(crowd.end().await, 0);
    drop(channel);
    until(|| connections(&server) == 0).await;
}

async fn a_few_calls_share_one(net: Net) {
    let (server, _probed) = net.start_probed("server");
    let channel = connect(&net, &server, 4).await;
    let crowd = Crowd::of(16, &channel);
    for _ in 0..5 {
        crowd.goes_on().await;
    }
    assert_eq!(connections(&server), 1);
    assert_eq!(crowd.end().await, 0);
}

async fn calls_go_on_when_one_connection_is_cut(net: Net) {
    // A peer that gives up too much is cut off: so one of the connections can be, and not the others.
    let limits = Limits::default().with_lanes_on_any_path().with_max_resets_per_second(1);
    let (server, mut probed) = net.start_probed_with("server", net.server().with_limits(limits));
    let channel = connect(&net, &server, 2).await;
    let crowd = Crowd::of(600, &channel);
    until(|| connections(&server) == 2).await;
    let client = ProbeClient::new(channel.clone());
    let mut id = 0;
    let mut least = 2;
    while least == 2 {
        let mut call = tokio::spawn(client.hold(id));
        tokio::select! {
            biased;
            _ = probed.event() => {
                call.abort();
                let _ = call.await;
                let _ = probed.event().await;
            }
            // The one before has cut the connection off on which this one went.
            _ = &mut call => {}
        }
        least = connections(&server);
        id += 1;
    }
    // It is dialled again.
    crowd.goes_on().await;
    until(|| connections(&server) == 2).await;
    crowd.goes_on().await;
    let failed = crowd.end().await;
    assert!(failed <= 600, "each had one call on it at most: {failed}");
}

async fn a_call_that_meets_connections_that_drain_was_never_started(net: Net) {
    let (server, probed) = net.start_probed("server");
    let channel = connect(&net, &server, 3).await;
    let crowd = Crowd::of(600, &channel);
    until(|| connections(&server) == 3).await;
    crowd.end().await;
    let client = ProbeClient::new(channel);
    let mut calls = JoinSet::new();
    for id in 0..300 {
        calls.spawn(client.once(id));
    }
    server.stop_accepting().await;
    let mut answered = 0;
    while let Some(ended) = within(calls.join_next()).await {
        match ended.expect("no panic") {
            Ok(_) => answered += 1,
            Err(error) => assert!(!error.maybe_executed(), "{error}"),
        }
    }
    assert_eq!(answered, probed.executions().len());
}
