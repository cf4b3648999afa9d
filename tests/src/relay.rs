//! A network that can fail: a UDP relay between clients and a server.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    net::UdpSocket,
    task::{AbortHandle, JoinSet},
};

/// Forwards datagrams between clients, who dial [`addr`](Self::addr), and a server. Ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    cut: AtomicBool,
    server: Mutex<SocketAddr>,
    dials: Mutex<HashSet<Vec<u8>>>,
    /// Clients' addresses, and whether what comes from there is lost.
    flows: Mutex<HashMap<SocketAddr, bool>>,
}

impl Shared {
    fn server(&self) -> MutexGuard<'_, SocketAddr> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dials(&self) -> MutexGuard<'_, HashSet<Vec<u8>>> {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flows(&self) -> MutexGuard<'_, HashMap<SocketAddr, bool>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets whether packets from and to this client are lost.
    fn is_cut_for(&self, client: SocketAddr) -> bool {
        self.is_cut() || *self.flows().entry(client).or_default()
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }
}

impl Relay {
    /// A relay to this server.
    ///
    /// # Panics
    ///
    /// Where no socket can be bound on loopback.
    pub async fn start(server: SocketAddr) -> Self {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let addr = front.local_addr().expect("just bound");
        let shared = Arc::new(Shared {
            cut: AtomicBool::new(false),
            server: Mutex::new(server),
            dials: Mutex::default(),
            flows: Mutex::default(),
        });
        let task = tokio::spawn(forward(Arc::new(front), shared.clone())).abort_handle();
        Self { addr, shared, task }
    }

    /// Where clients dial.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on every datagram is lost, in both directions.
    pub fn cut(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
    }

    /// From now on every datagram is lost from and to the addresses from which clients have sent so far.
    pub fn cut_flows(&self) {
        self.shared.flows().values_mut().for_each(|cut| *cut = true);
    }

    /// From how many addresses clients have sent.
    pub fn flows(&self) -> usize {
        self.shared.flows().len()
    }

    /// Forwards again.
    pub fn heal(&self) {
        self.shared.cut.store(false, Ordering::SeqCst);
    }

    /// Forwards what clients send to another server from now on: to them it is the same address.
    pub fn retarget(&self, server: SocketAddr) {
        *self.shared.server() = server;
    }

    /// The number of dials by clients, whether they got through or not.
    pub fn dials(&self) -> usize {
        self.shared.dials().len()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(front: Arc<UdpSocket>, shared: Arc<Shared>) {
    // A socket a client, so that the server tells them apart. The tasks end with this future.
    let mut paths = HashMap::<SocketAddr, Arc<UdpSocket>>::new();
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; 65_536];
    loop {
        // An error tells of an earlier datagram that nobody took: it is lost, as it may be.
        let Ok((length, client)) = front.recv_from(&mut buffer).await else { continue };
        let datagram = &buffer[..length];
        if let Some(dial) = dial_id(datagram) {
            shared.dials().insert(dial.to_vec());
        }
        if shared.is_cut_for(client) {
            continue;
        }
        let path = match paths.get(&client) {
            Some(path) => path.clone(),
            None => {
                let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
                let back = Arc::new(back);
                tasks.spawn(back_to(client, front.clone(), back.clone(), shared.clone()));
                paths.insert(client, back.clone());
                back
            }
        };
        let server = *shared.server();
        let _ = path.send_to(datagram, server).await;
    }
}

async fn back_to(client: SocketAddr, front: Arc<UdpSocket>, back: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, _)) = back.recv_from(&mut buffer).await else { continue };
        if !shared.is_cut_for(client) {
            let _ = front.send_to(&buffer[..length], client).await;
        }
    }
}

/// The key of a dial: the client's connection id in its Initial packets (RFC 9000, section 17.2.2), the same in each
/// that it repeats. `None` for other packets.
fn dial_id(datagram: &[u8]) -> Option<&[u8]> {
    let (first, rest) = datagram.split_first()?;
    if first & 0xf0 != 0xc0 {
        return None;
    }
    let rest = rest.get(4..)?;
    let (length, rest) = rest.split_first()?;
    let rest = rest.get(usize::from(*length)..)?;
    let (length, rest) = rest.split_first()?;
    rest.get(..usize::from(*length))
}
