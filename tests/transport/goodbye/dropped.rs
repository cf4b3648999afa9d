//! Clients that end without closing: their connections are gone all the same.

use std::time::Duration;

use rpcnet::{BalancedChannel, BalancedConfig, Channel, Server};
use rpcnet_tests::{Net, ProbeClient, any_port, cluster_channel, connections, start_director, until, within};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

use super::closed::left;

const CLIENTS: usize = 30;

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads can be started")
}

/// A channel that has made a call.
async fn called(net: &Net, address: &str) -> Channel {
    let channel = net.channel().connect(address).await.expect("it listens");
    ProbeClient::new(channel.clone()).server_name().await.expect("it answers");
    channel
}

/// Clients, one after the other, each on a thread with runtimes of its own; then the server has none of their connections.
async fn come_and_go(client: impl Fn(&Net, &str) + Send + Clone + 'static) {
    let net = Net::quic();
    let (server, _probed) = net.start_probed("server");
    for _ in 0..CLIENTS {
        let (net, client, address) = (net.clone(), client.clone(), server.local_addr().to_string());
        within(tokio::task::spawn_blocking(move || client(&net, &address))).await.expect("no panic");
    }
    left(&server, 0).await;
    assert_came(&server);
}

fn assert_came(server: &Server) {
    let rendered = server.metrics().render();
    let answered = format!("rpc_requests_total{{method=\"test.v1.Probe/server_name\"}} {CLIENTS}");
    assert!(rendered.contains(&answered), "{rendered}");
    assert!(!rendered.contains("rpc_connections_refused_total"), "{rendered}");
}

#[tokio::test]
async fn the_channel_goes_then_the_runtime() {
    come_and_go(|net, address| {
        current_thread().block_on(async { drop(called(net, address).await) });
    })
    .await;
}

#[tokio::test]
async fn the_runtime_goes_then_the_channel() {
    come_and_go(|net, address| {
        let runtime = current_thread();
        let channel = runtime.block_on(called(net, address));
        drop(runtime);
        drop(channel);
    })
    .await;
}

#[tokio::test]
async fn a_task_holds_the_channel() {
    come_and_go(|net, address| {
        let runtime = current_thread();
        let channel = runtime.block_on(called(net, address));
        runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop(channel);
        });
        drop(runtime);
    })
    .await;
}

#[tokio::test]
async fn a_runtime_with_threads() {
    come_and_go(|net, address| {
        let runtime = multi_thread();
        runtime.block_on(async { drop(called(net, address).await) });
    })
    .await;
}

#[tokio::test]
async fn a_runtime_with_threads_that_is_given_some_time() {
    come_and_go(|net, address| {
        let runtime = multi_thread();
        let channel = runtime.block_on(called(net, address));
        runtime.shutdown_timeout(Duration::from_secs(1));
        drop(channel);
    })
    .await;
}

#[tokio::test]
async fn a_runtime_with_threads_that_ends_in_the_background() {
    come_and_go(|net, address| {
        let runtime = multi_thread();
        let _channel = runtime.block_on(called(net, address));
        runtime.shutdown_background();
    })
    .await;
}

#[tokio::test]
async fn a_balanced_channel() {
    come_and_go(|net, address| {
        current_thread().block_on(async {
            let addr = address.parse().expect("an address");
            let set =
                watch::Sender::new([rpcnet::discover::Endpoint::new("one", addr)].into_iter().collect());
            let channel = BalancedChannel::new(net.channel(), set.subscribe(), BalancedConfig::default());
            let client = ProbeClient::new(channel.expect("complete"));
            client.server_name().await.expect("it answers");
        });
    })
    .await;
}

#[tokio::test]
async fn a_server_tells_its_clients() {
    let net = Net::quic();
    let (network, (tell, told)) = (net.clone(), tokio::sync::oneshot::channel());
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let server = std::thread::spawn(move || {
        let runtime = multi_thread();
        let (server, _probed) = {
            let _entered = runtime.enter();
            network.start_probed("server")
        };
        let started = (server.local_addr(), server.metrics().clone());
        tell.send(started).expect("it is waited for");
        ended.recv().expect("it is told");
        drop(runtime);
    });
    let (address, metrics) = told.await.expect("it starts");
    let address = address.to_string();
    let connector = net.channel().connector().expect("complete");
    let options = rpcnet::transport::DialOptions::default();
    let connection = within(connector.dial(&address, b"rpcnet/1", &options)).await.expect("it listens");
    // Before, the handshake would end with the runtime, and the reason would not be ours.
    until(|| metrics.render().contains("rpc_connections 1")).await;
    end.send(()).expect("it waits");
    let reason = within(connection.closed()).await.to_string();
    assert!(reason.starts_with("closed by the peer with code 0"), "{reason}");
    within(tokio::task::spawn_blocking(move || server.join())).await.expect("no panic").expect("no panic");
}

#[tokio::test]
async fn a_runtime_that_dies_silently_tells_nobody() {
    let net = Net::quic();
    let (server, _probed) = net.start_probed("server");
    let (network, address) = (net.clone(), server.local_addr().to_string());
    let dies = tokio::task::spawn_blocking(move || {
        let runtime = current_thread();
        rpcnet::__fuzz::dies_silently(runtime.handle());
        runtime.block_on(async { drop(called(&network, &address).await) });
    });
    within(dies).await.expect("no panic");
    // A goodbye would be in the server's socket by now, ahead of all packets of the next client.
    let _next = called(&net, &server.local_addr().to_string()).await;
    assert_eq!(connections(&server), 2);
}

#[tokio::test]
async fn clients_of_a_cluster() {
    let net = Net::quic();
    let (host, _director) = start_director(&net, any_port(), &[]).await;
    let addr = host.addr();
    for _ in 0..3 {
        let net = net.clone();
        let client = tokio::task::spawn_blocking(move || {
            current_thread().block_on(async {
                drop(cluster_channel(&net, &[addr]).connect().await.expect("it answers"));
            });
        });
        within(client).await.expect("no panic");
    }
    left(&host.server, 0).await;
}
