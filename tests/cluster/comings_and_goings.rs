//! Directors and workers that go and come back, as their clients see it.

use std::{net::SocketAddr, time::Duration};

use rpcnet::{Server, rpc_impl, rpc_trait};
use rpcnet_cluster::{ClusterChannel, ClusterConfig, ClusterExt, Director, swim};
use rpcnet_tests::{Host, Net};
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

#[rpc_trait(name = "test.v1.Hello")]
trait Hello {
    #[rpc(idempotent)]
    async fn hello(&self) -> rpcnet::Result<u16>;
}

struct Greeter(u16);

#[rpc_impl]
impl Hello for Greeter {
    async fn hello(&self) -> rpcnet::Result<u16> {
        Ok(self.0)
    }
}

fn config(seeds: &[SocketAddr]) -> ClusterConfig {
    ClusterConfig::default()
        .with_seeds(seeds.iter().map(SocketAddr::to_string))
        .with_swim(swim::Config::new_local())
}

/// A director at this address; runs until the sender is dropped.
async fn director(
    net: &Net,
    addr: SocketAddr,
) -> (Server, tokio::sync::oneshot::Sender<()>, impl Future<Output = ()>) {
    let server =
        Server::new(net.server().with_bind_addr(addr).build().expect("complete")).expect("a free port");
    let cluster = server.enable_cluster(config(&[])).await.expect("the first");
    Director::new(&server, &cluster).expect("its first");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = server.clone();
    let run = tokio::spawn(async move { running.run_until(async { drop(stopped.await) }).await });
    let ended = async move { run.await.expect("no panic").expect("it was not shut down before") };
    (server, stop, ended)
}

async fn worker(net: &Net, addr: SocketAddr, seed: SocketAddr) -> Host {
    let config = config(&[seed]).with_tag("role", "worker");
    Host::start(net, addr, config, move |server| {
        server.register(HelloServer::new(Greeter(server.local_addr().port()))).expect("the first");
    })
    .await
}

async fn client(net: &Net, director: SocketAddr) -> ClusterChannel {
    ClusterChannel::builder()
        .with_directors([director.to_string()])
        .with_channel(net.channel())
        .connect()
        .await
        .expect("the director answers")
}

fn any_port(ip: &str) -> SocketAddr {
    format!("{ip}:0").parse().expect("an address")
}

#[tokio::test]
async fn a_director_does_not_wait_for_clients_that_have_vanished() {
    let net = Net::quic();
    let (server, stop, ended) = director(&net, any_port("127.0.0.1")).await;
    let addr = server.local_addr();
    // A client on a runtime of its own dies with it, and says nothing.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a thread can be started");
    rpcnet::__fuzz::dies_silently(runtime.handle());
    let network = net.clone();
    let channel = runtime.spawn(async move { client(&network, addr).await }).await.expect("no panic");
    runtime.shutdown_background();
    let told = Instant::now();
    drop(stop);
    timeout(PATIENCE, ended).await.expect("it ends");
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    drop(channel);
}

#[tokio::test]
async fn a_call_waits_for_the_only_worker_to_come_back() {
    let net = Net::quic();
    let (server, _stop, _ended) = director(&net, any_port("127.0.0.1")).await;
    let only = worker(&net, any_port("127.0.0.1"), server.local_addr()).await;
    let addr = only.addr();
    let channel = client(&net, server.local_addr()).await;
    let hello = HelloClient::new(channel);
    timeout(PATIENCE, hello.hello()).await.expect("in time").expect("it answers");
    only.kill().await;
    let calling = tokio::spawn(hello.hello().into_future());
    let _again = worker(&net, addr, server.local_addr()).await;
    let answer = timeout(PATIENCE, calling).await.expect("in time").expect("no panic");
    assert_eq!(answer.expect("the worker is back"), addr.port());
}

#[tokio::test]
async fn a_cluster_on_ipv6_is_reached() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        // A host without IPv6 has nothing to show here.
        return;
    }
    let net = Net::quic();
    let (server, _stop, _ended) = director(&net, any_port("[::1]")).await;
    let _worker = worker(&net, any_port("[::1]"), server.local_addr()).await;
    let channel = client(&net, server.local_addr()).await;
    let answer = timeout(PATIENCE, HelloClient::new(channel).hello()).await.expect("in time");
    answer.expect("it answers");
}
