//! A UDP proxy in front of a node: others reach the node through it alone, and its packets have the weather of the day.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{SeedableRng as _, rngs::SmallRng};
use rpcnet_tests::weather::{Courier, LARGEST, Link, Parcel, Weather, bind};
use tokio::{
    net::UdpSocket,
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout},
};

use crate::sky::Sky;

/// A path that was not used for so long is forgotten: QUIC has given up its connections by then (30 s).
const FORGOTTEN: Duration = Duration::from_secs(45);

/// Forwards datagrams between whoever dials [`addr`](Self::addr) and a node. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    node: usize,
    sky: Arc<Sky>,
    front: Arc<UdpSocket>,
    target: Mutex<Option<SocketAddr>>,
    courier: Courier,
    paths: AtomicUsize,
    forgets: AtomicBool,
}

impl Proxy {
    /// A proxy to this node, which need not be there yet.
    pub(crate) async fn start(node: usize, sky: Arc<Sky>) -> io::Result<Self> {
        let front = Arc::new(any_socket()?);
        let addr = front.local_addr()?;
        let shared = Arc::new(Shared {
            node,
            sky,
            front,
            target: Mutex::default(),
            courier: Courier::start(),
            paths: AtomicUsize::new(0),
            forgets: AtomicBool::new(false),
        });
        let task = tokio::spawn(forward(shared.clone())).abort_handle();
        Ok(Self { addr, shared, task })
    }

    /// Where others reach the node.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the node is from now on.
    pub(crate) fn forward_to(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
    }

    /// With its next packet each peer comes from another address.
    pub(crate) fn rebind(&self) {
        self.shared.forgets.store(true, Ordering::Relaxed);
    }

    /// The number of sockets that it has open.
    pub(crate) fn sockets(&self) -> usize {
        1 + self.shared.paths.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn target(&self) -> Option<SocketAddr> {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket a peer, so that the node tells them apart.
struct Path {
    back: Arc<UdpSocket>,
    /// When the peer last sent.
    used: Instant,
    /// The way there.
    link: Link,
    task: AbortHandle,
}

impl Drop for Path {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A socket on a free port.
fn any_socket() -> io::Result<UdpSocket> {
    bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false)
}

async fn forward(shared: Arc<Shared>) {
    let mut rng = SmallRng::from_rng(&mut rand::rng());
    let mut paths = HashMap::<SocketAddr, Path>::new();
    // The tasks end with this future.
    let mut tasks = JoinSet::new();
    let mut swept = Instant::now();
    let mut buffer = vec![0; LARGEST];
    loop {
        if swept.elapsed() > FORGOTTEN / 3 {
            swept = Instant::now();
            paths.retain(|_, path| path.used.elapsed() < FORGOTTEN);
            while tasks.try_join_next().is_some() {}
            shared.paths.store(paths.len(), Ordering::Relaxed);
        }
        // An error tells of an earlier datagram that nobody took: it is lost, as it may be.
        let Ok(Ok((length, peer))) = timeout(FORGOTTEN, shared.front.recv_from(&mut buffer)).await else {
            continue;
        };
        if shared.forgets.swap(false, Ordering::Relaxed) {
            paths.clear();
            shared.paths.store(0, Ordering::Relaxed);
        }
        let Some(target) = shared.target() else { continue };
        let weather = shared.sky.towards(shared.node, peer);
        // A socket for the path only once something gets through.
        if weather == Weather::CUT {
            continue;
        }
        let path = match paths.entry(peer) {
            Entry::Occupied(path) => path.into_mut(),
            Entry::Vacant(vacant) => {
                // Without a socket the packet is lost, as it may be.
                let Ok(back) = any_socket() else { continue };
                let back = Arc::new(back);
                let task = tasks.spawn(answer(shared.clone(), peer, back.clone()));
                shared.paths.fetch_add(1, Ordering::Relaxed);
                vacant.insert(Path { back, used: Instant::now(), link: Link::default(), task })
            }
        };
        path.used = Instant::now();
        for late in path.link.pass(&weather, path.used, length, &mut rng) {
            shared.courier.send(late, Parcel::new(&buffer[..length], path.back.clone(), target)).await;
        }
    }
}

/// The way back to one peer.
async fn answer(shared: Arc<Shared>, peer: SocketAddr, back: Arc<UdpSocket>) {
    let mut rng = SmallRng::from_rng(&mut rand::rng());
    let mut link = Link::default();
    let mut buffer = vec![0; LARGEST];
    loop {
        let Ok((length, _)) = back.recv_from(&mut buffer).await else { continue };
        let weather = shared.sky.back(shared.node, peer);
        for late in link.pass(&weather, Instant::now(), length, &mut rng) {
            shared.courier.send(late, Parcel::new(&buffer[..length], shared.front.clone(), peer)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use rpcnet_tests::within;

    use super::*;
    use crate::schedule::Way;

    #[tokio::test]
    async fn datagrams_pass_unless_the_sky_says_no() {
        let sky = Arc::new(Sky::new(2));
        let proxy = Proxy::start(0, sky.clone()).await.unwrap();
        let node = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        proxy.forward_to(node.local_addr().unwrap());
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut buffer = [0; 16];

        peer.send_to(b"there", proxy.addr()).await.unwrap();
        let (length, seen) = within(node.recv_from(&mut buffer)).await.unwrap();
        assert_eq!(&buffer[..length], b"there");
        node.send_to(b"back", seen).await.unwrap();
        let (length, from) = within(peer.recv_from(&mut buffer)).await.unwrap();
        assert_eq!((&buffer[..length], from), (&b"back"[..], proxy.addr()));
        assert_eq!(proxy.sockets(), 2);

        // The lost packet came first: the proxy takes one after the other, so the second one shows that it was dropped.
        let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        sky.sends_from(1, other.local_addr().unwrap());
        sky.set_for_clients(0, Weather::CUT);
        peer.send_to(b"lost", proxy.addr()).await.unwrap();
        other.send_to(b"heard", proxy.addr()).await.unwrap();
        let (length, _) = within(node.recv_from(&mut buffer)).await.unwrap();
        assert_eq!(&buffer[..length], b"heard");

        sky.set_for_clients(0, Weather::default());
        sky.set(0, Way::In, Weather { delay: Duration::from_millis(30), ..Weather::default() });
        peer.send_to(b"late", proxy.addr()).await.unwrap();
        let (length, again) = within(node.recv_from(&mut buffer)).await.unwrap();
        assert_eq!((&buffer[..length], again), (&b"late"[..], seen));

        sky.set(0, Way::In, Weather::default());
        proxy.rebind();
        peer.send_to(b"elsewhere", proxy.addr()).await.unwrap();
        let (length, again) = within(node.recv_from(&mut buffer)).await.unwrap();
        assert_eq!(&buffer[..length], b"elsewhere");
        assert_ne!(again, seen);
    }
}
