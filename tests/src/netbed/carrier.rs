//! Carries datagrams between hosts, in the router's namespace.
//!
//! Each address and port that takes part has a socket here, transparently bound to it: the servers' ports from the
//! start, a client's when its first datagram comes. What a host sends to an address is received by that address'
//! socket, and sent on to the host from the socket of the sender's address.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use rand::{SeedableRng as _, rngs::SmallRng};
use rustix::{fd::AsFd as _, thread::LinkNameSpaceType};
use tokio::{net::UdpSocket, runtime::Builder, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    netbed::{PORTS, namespace::Namespace},
    weather::{Courier, LARGEST, Link, Parcel, Weather, bind},
};

/// Datagrams from one host to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// The number that were sent.
    pub packets: u64,
    /// The bytes in them.
    pub bytes: u64,
    /// The number that were lost on the way.
    pub lost: u64,
}

/// Two addresses, in either order.
type Flow = [SocketAddr; 2];

fn flow(one: SocketAddr, other: SocketAddr) -> Flow {
    if one < other { [one, other] } else { [other, one] }
}

/// The conditions of the network, and what has passed. Shared with the thread that carries.
#[derive(Debug, Default)]
pub(super) struct Conditions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ways: HashMap<(IpAddr, IpAddr), Way>,
    unplugged: HashSet<IpAddr>,
    flows: HashSet<Flow>,
    dropped: HashSet<Flow>,
}

/// One direction between two hosts.
#[derive(Debug, Default)]
struct Way {
    weather: Weather,
    link: Link,
    traffic: Traffic,
}

impl Conditions {
    pub(super) fn set_weather(&self, from: Ipv4Addr, to: Ipv4Addr, weather: Weather) {
        self.state().ways.entry((from.into(), to.into())).or_default().weather = weather;
    }

    pub(super) fn traffic(&self, from: Ipv4Addr, to: Ipv4Addr) -> Traffic {
        self.state().ways.get(&(from.into(), to.into())).map(|way| way.traffic).unwrap_or_default()
    }

    pub(super) fn unplug(&self, host: Ipv4Addr) {
        self.state().unplugged.insert(host.into());
    }

    pub(super) fn plug(&self, host: Ipv4Addr) {
        self.state().unplugged.remove(&IpAddr::from(host));
    }

    pub(super) fn pin(&self, one: Ipv4Addr, other: Ipv4Addr) -> usize {
        let mut state = self.state();
        let hosts = [IpAddr::from(one), other.into()];
        let between = |flow: &&Flow| hosts.iter().all(|host| flow.iter().any(|addr| addr.ip() == *host));
        let flows: Vec<_> = state.flows.iter().filter(between).copied().collect();
        state.dropped.extend(&flows);
        flows.len()
    }

    /// Takes a datagram of so many bytes in. Returns how late each of its copies arrives.
    fn pass(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        size: usize,
        now: Instant,
        rng: &mut SmallRng,
    ) -> impl Iterator<Item = Duration> + use<> {
        let mut guard = self.state();
        let state = &mut *guard;
        let flow = flow(from, to);
        state.flows.insert(flow);
        let stopped = state.dropped.contains(&flow)
            || [from, to].iter().any(|addr| state.unplugged.contains(&addr.ip()));
        let way = state.ways.entry((from.ip(), to.ip())).or_default();
        let weather = if stopped { Weather::CUT } else { way.weather };
        let mut copies = way.link.pass(&weather, now, size, rng).peekable();
        way.traffic.packets += 1;
        way.traffic.bytes += size as u64;
        way.traffic.lost += u64::from(copies.peek().is_none());
        copies
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that carries; ends when this is dropped.
#[derive(Debug)]
pub(super) struct Carrier {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It has panicked, and said so.
            let _ = thread.join();
        }
    }
}

impl Carrier {
    /// Starts the thread in the router's namespace, and makes a router of that. Returns when the servers' ports are
    /// open.
    pub(super) fn start(
        router: &Namespace,
        hosts: &[Ipv4Addr],
        conditions: Arc<Conditions>,
    ) -> io::Result<Self> {
        let namespace = router.open()?;
        let ports = hosts.iter().flat_map(|host| PORTS.map(|port| SocketAddr::from((*host, port)))).collect();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("netbed".into()).spawn(move || {
            let entered = enter(&namespace).and_then(|()| Builder::new_current_thread().enable_all().build());
            let runtime = match entered {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(async {
                // Tasks that carry end with the runtime.
                let opened = Arc::new(Faces::new(conditions)).open(ports);
                let carries = opened.is_ok();
                let _ = ready.send(opened);
                if carries {
                    stopped.cancelled().await;
                }
            });
        })?;
        let carrier = Self { stop, thread: Some(thread) };
        started.recv().map_err(|_| io::Error::other("the thread has panicked"))??;
        Ok(carrier)
    }
}

/// Takes the calling thread into the namespace, and lets that forward packets from anybody to anybody.
fn enter(namespace: &std::fs::File) -> io::Result<()> {
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    for (setting, value) in
        [("ip_forward", "1"), ("conf/all/rp_filter", "0"), ("conf/default/rp_filter", "0")]
    {
        std::fs::write(format!("/proc/sys/net/ipv4/{setting}"), value)?;
    }
    Ok(())
}

/// A socket an address.
#[derive(Debug)]
struct Faces {
    conditions: Arc<Conditions>,
    courier: Courier,
    sockets: Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>,
}

impl Faces {
    fn new(conditions: Arc<Conditions>) -> Self {
        Self { conditions, courier: Courier::start(), sockets: Mutex::default() }
    }

    fn open(self: Arc<Self>, addrs: Vec<SocketAddr>) -> io::Result<()> {
        addrs.into_iter().try_for_each(|addr| self.face(addr).map(drop))
    }

    /// The socket of this address, which is made where there is none.
    fn face(self: &Arc<Self>, addr: SocketAddr) -> io::Result<Arc<UdpSocket>> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = sockets.get(&addr) {
            return Ok(socket.clone());
        }
        let socket = Arc::new(bind(addr, true)?);
        sockets.insert(addr, socket.clone());
        tokio::spawn(self.clone().carry(addr, socket.clone()));
        Ok(socket)
    }

    /// Carries what is sent to this address.
    async fn carry(self: Arc<Self>, to: SocketAddr, face: Arc<UdpSocket>) {
        let mut rng = SmallRng::from_rng(&mut rand::rng());
        let mut buffer = vec![0; LARGEST];
        loop {
            // An error tells of an earlier datagram that nobody took: it is lost, as it may be.
            let Ok((length, from)) = face.recv_from(&mut buffer).await else { continue };
            let copies = self.conditions.pass(from, to, length, Instant::now(), &mut rng);
            // Without a socket it is lost, as it may be.
            let Ok(sender) = self.face(from) else { continue };
            for late in copies {
                self.courier.send(late, Parcel::new(&buffer[..length], sender.clone(), to)).await;
            }
        }
    }
}
