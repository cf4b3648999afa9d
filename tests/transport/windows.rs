//! Throughput of a long path. It takes half a minute and a machine that has nothing else to do, so it is run by hand:
//! `cargo test --release -p rpcnet-tests --test transport -- windows --ignored --nocapture`.

use std::{
    io,
    net::SocketAddr,
    num::NonZero,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use rpcnet::{Limits, rpc_impl, rpc_trait};
use rpcnet_tests::{Net, any_port, within};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

const MIB: usize = 1 << 20;
/// Each way.
const DELAY: Duration = Duration::from_millis(100);
/// The number of messages of 1 MiB that are asked for at a time: more than any window holds.
const AT_A_TIME: usize = 96;
/// Congestion control takes a dozen round trips to find out what the path holds.
const WARM_UP: Duration = Duration::from_secs(6);
const MEASURED: Duration = Duration::from_secs(6);

#[rpc_trait(name = "test.v1.Bulk")]
trait Bulk {
    /// Gives 1 MiB.
    async fn get(&self) -> rpcnet::Result<Bytes>;
}

struct Zeros(Bytes);

#[rpc_impl]
impl Bulk for Zeros {
    async fn get(&self) -> rpcnet::Result<Bytes> {
        Ok(self.0.clone())
    }
}

fn socket() -> io::Result<Arc<UdpSocket>> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Nothing is to be lost here.
    socket.set_recv_buffer_size(16 * MIB)?;
    socket.set_send_buffer_size(16 * MIB)?;
    socket.bind(&any_port().into())?;
    socket.set_nonblocking(true)?;
    Ok(Arc::new(UdpSocket::from_std(socket.into())?))
}

type Peer = Arc<Mutex<Option<SocketAddr>>>;

/// Takes datagrams off one socket, and sends them from the other to whom is known there, so much later.
async fn one_way(from: Arc<UdpSocket>, source: Peer, to: Arc<UdpSocket>, target: Peer) {
    let (sender, mut under_way) = mpsc::unbounded_channel::<(Instant, Box<[u8]>)>();
    let receiving = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let Ok((length, peer)) = from.recv_from(&mut buffer).await else { continue };
            *source.lock().expect("nobody panics") = Some(peer);
            let _ = sender.send((Instant::now() + DELAY, buffer[..length].into()));
        }
    };
    let sending = async {
        while let Some((due, datagram)) = under_way.recv().await {
            sleep_until(due).await;
            let target = *target.lock().expect("nobody panics");
            if let Some(target) = target {
                let _ = to.send_to(&datagram, target).await;
            }
        }
    };
    tokio::join!(receiving, sending);
}

/// Where the server is found behind the path.
fn path_to(server: SocketAddr, tasks: &mut JoinSet<()>) -> io::Result<SocketAddr> {
    let (near, far) = (socket()?, socket()?);
    let (client, server) = (Peer::default(), Arc::new(Mutex::new(Some(server))));
    tasks.spawn(one_way(near.clone(), client.clone(), far.clone(), server.clone()));
    tasks.spawn(one_way(far, server, near.clone(), client));
    near.local_addr()
}

/// MiB that come in a second, where both sides have these limits.
async fn rate(limits: Limits) -> f64 {
    let net = Net::quic();
    let server = net.start_with(net.server().with_limits(limits));
    server.register(BulkServer::new(Zeros(vec![0; MIB].into()))).expect("the first of its name");
    let mut tasks = JoinSet::new();
    let address = path_to(server.local_addr(), &mut tasks).expect("free ports");
    let channel = net.channel().with_limits(limits).with_max_connections(NonZero::<usize>::MIN);
    let channel = within(channel.connect(address.to_string())).await.expect("it listens");
    let (sender, mut got) = mpsc::unbounded_channel();
    for _ in 0..AT_A_TIME {
        let (client, sender) = (BulkClient::new(channel.clone()), sender.clone());
        tasks.spawn(async move {
            loop {
                let got = client.get().await.expect("answered");
                let _ = sender.send(got.len());
            }
        });
    }
    sleep(WARM_UP).await;
    while got.try_recv().is_ok() {}
    let began = Instant::now();
    sleep(MEASURED).await;
    let bytes: usize = std::iter::from_fn(|| got.try_recv().ok()).sum();
    bytes as f64 / MIB as f64 / began.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: half a minute, on a machine with nothing else to do"]
#[expect(clippy::print_stdout, reason = "what was measured is what it is run for")]
async fn a_long_path_carries_more_than_its_first_window() {
    let first = rate(Limits::default().with_receive_window(16 << 20)).await;
    let grown = rate(Limits::default()).await;
    println!(
        "MiB a second over {:?} there and back: {first:.0} within 16 MiB, {grown:.0} by default",
        2 * DELAY
    );
    let most = 16.0 / (2 * DELAY).as_secs_f64();
    assert!(first <= 1.05 * most, "{first} MiB a second");
    assert!(grown > 1.3 * most, "{grown} MiB a second");
}
