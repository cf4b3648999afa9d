//! A server that has as many connections as it takes lets an idle one go for a new one.

use std::time::Duration;

use rpcnet::{Channel, Code, ConnectError, Server, rpc_impl, rpc_trait};
use rpcnet_tests::{Crowd, Event, Net, ProbeClient, connections, over_both, until, within};
use tokio::{runtime::Builder, sync::Mutex, task::JoinSet};

use super::metrics::sum;

/// Longer than a connection is not idle.
const A_WHILE: Duration = Duration::from_millis(150);

fn evicted(server: &Server) -> f64 {
    sum(server, "rpc_connections_evicted_total", "")
}

fn assert_nothing_failed(server: &Server) {
    assert!(sum(server, "rpc_connections_refused_total", "") < 0.1, "{}", server.metrics().render());
    assert!(sum(server, "rpc_errors_total", "") < 0.1, "{}", server.metrics().render());
}

async fn answers(channel: &Channel) {
    assert_eq!(within(ProbeClient::new(channel.clone()).server_name()).await.expect("it answers"), "server");
}

over_both!(
    the_idlest_goes_and_comes_back_when_it_is_needed,
    one_at_work_stays,
    one_that_may_be_called_back_stays,
    no_call_is_lost,
);

async fn the_idlest_goes_and_comes_back_when_it_is_needed(net: Net) {
    let (server, _probed) = net.start_probed_with("server", net.server().with_max_connections(2));
    let first = net.connect(&server).await;
    answers(&first).await;
    let second = net.connect(&server).await;
    tokio::time::sleep(A_WHILE).await;
    answers(&second).await;
    tokio::time::sleep(A_WHILE).await;
    let third = net.connect(&server).await;
    answers(&third).await;
    // The first goes by itself, and does not dial again while nobody calls.
    until(|| !first.is_connected() && connections(&server) == 2).await;
    tokio::time::sleep(2 * A_WHILE).await;
    assert!(!first.is_connected() && second.is_connected());
    assert!((evicted(&server) - 1.0).abs() < 0.1);
    answers(&second).await;
    tokio::time::sleep(A_WHILE).await;
    // Called, it is back, in place of the third.
    answers(&first).await;
    until(|| !third.is_connected() && connections(&server) == 2).await;
    assert!((evicted(&server) - 2.0).abs() < 0.1);
    assert_nothing_failed(&server);
}

async fn one_at_work_stays(net: Net) {
    let (server, mut probed) = net.start_probed_with("server", net.server().with_max_connections(1));
    let channel = net.connect(&server).await;
    let held = tokio::spawn(ProbeClient::new(channel.clone()).hold(1).into_future());
    assert_eq!(probed.event().await, Event::Started(1));
    tokio::time::sleep(A_WHILE).await;
    let error = net.channel().connect(server.local_addr().to_string()).await.expect_err("it is at work");
    assert!(matches!(error, ConnectError::TooManyConnections { .. }), "{error}");
    probed.open_gate();
    within(held).await.expect("no panic").expect("it was at work");
    assert!(evicted(&server) < 0.1);
    // Now it is not.
    tokio::time::sleep(A_WHILE).await;
    answers(&net.connect(&server).await).await;
    assert!((evicted(&server) - 1.0).abs() < 0.1);
}

#[rpc_trait(name = "test.v1.Back")]
trait Back {
    /// Keeps what may call the caller back.
    async fn keep(&self, cx: &rpcnet::Context) -> rpcnet::Result<()>;
}

#[derive(Default)]
struct Keeper(Mutex<Option<rpcnet::PeerCaller>>);

#[rpc_impl]
impl Back for Keeper {
    async fn keep(&self, cx: &rpcnet::Context) -> rpcnet::Result<()> {
        *self.0.lock().await = Some(cx.caller());
        Ok(())
    }
}

async fn one_that_may_be_called_back_stays(net: Net) {
    let server = net.start_with(net.server().with_max_connections(1));
    server.register(BackServer::new(Keeper::default())).expect("the first of its name");
    let channel = net.connect(&server).await;
    within(BackClient::new(channel.clone()).keep()).await.expect("it answers");
    tokio::time::sleep(A_WHILE).await;
    let error = net.channel().connect(server.local_addr().to_string()).await.expect_err("it may be called");
    assert!(matches!(error, ConnectError::TooManyConnections { .. }), "{error}");
    assert!(channel.is_connected());
}

/// More clients than connections, which call and pause: connections go in the moment in which calls are sent.
async fn no_call_is_lost(net: Net) {
    const CLIENTS: u64 = 12;
    const CALLS: u64 = 8;
    let (server, probed) = net.start_probed_with("server", net.server().with_max_connections(6));
    let address = server.local_addr().to_string();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let channel = net.channel().connect_lazy(&address).expect("an address");
        clients.spawn(async move {
            let probe = ProbeClient::new(channel);
            for call in 0..CALLS {
                // A server with no idle connection refuses new ones, and says so: that call was not made.
                while let Err(error) = within(probe.once(client * CALLS + call)).await {
                    assert_eq!(error.code(), Code::Unavailable, "{error}");
                    assert!(!error.maybe_executed(), "{error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                // From about as long as a connection is not idle, to so long that it goes for another.
                tokio::time::sleep(Duration::from_millis(90 + 40 * ((client + call) % 9))).await;
            }
        });
    }
    while let Some(client) = within(clients.join_next()).await {
        client.expect("no call failed");
    }
    let executions = probed.executions();
    assert_eq!(executions.len() as u64, CLIENTS * CALLS);
    assert!(executions.values().all(|&times| times == 1), "{executions:?}");
    assert!(evicted(&server) > 0.0, "{}", server.metrics().render());
}

/// Processes that are killed one after the other, more than one peer may have connections.
#[tokio::test]
async fn clients_that_vanish_keep_nobody_out() {
    let net = Net::quic();
    let (server, _probed) = net.start_probed_with("server", net.server().with_max_connections_per_peer(4));
    for _ in 0..30 {
        let (net, address) = (net.clone(), server.local_addr().to_string());
        let client = tokio::task::spawn_blocking(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            rpcnet::__fuzz::dies_silently(runtime.handle());
            runtime.block_on(async {
                answers(&net.channel().connect(address).await.expect("it is let in")).await;
            });
        });
        within(client).await.expect("no panic");
        // At least as long as a process takes.
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_nothing_failed(&server);
    assert!(connections(&server) <= 4 + 8, "{}", connections(&server));
    // Clients that were asked to go and say nothing are closed.
    until(|| connections(&server) <= 4).await;
    assert!((evicted(&server) - 26.0).abs() < 0.1, "{}", server.metrics().render());
}

/// A crowd's connections are not idle, whatever comes.
#[tokio::test]
async fn a_busy_connection_stays() {
    let net = Net::quic();
    let (server, _probed) = net.start_probed_with("server", net.server().with_max_connections(2));
    let busy = net.channel().with_max_connections(std::num::NonZero::<usize>::MIN);
    let busy = busy.connect(server.local_addr().to_string()).await.expect("room");
    let crowd = Crowd::of(16, &busy);
    for _ in 0..5 {
        answers(&net.connect(&server).await).await;
        crowd.goes_on().await;
        tokio::time::sleep(A_WHILE).await;
    }
    assert_eq!(crowd.end().await, 0, "no call has failed");
    assert!(busy.is_connected());
    assert_nothing_failed(&server);
}
