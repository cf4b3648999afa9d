//! A memory connection with its driver: the state, the tasks, and the owning endpoints.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, MutexGuard},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::lock::Mutex;

use super::{
    super::{ConnectionError, DialOptions},
    end::EndSignals,
    network::Network,
    pair::{Io, Offer, Pair, Wire},
};

/// A connection with both ends. Each end has a task that drives it when a timer is due. One task would be enough, but
/// its runtime may be shut down before the other end's.
pub(super) struct MemoryLink {
    pub(super) id: u64,
    network: Network,
    /// The addresses of the dialler and the listener.
    pub(super) addrs: [SocketAddr; 2],
    pub(super) protocol: Vec<u8>,
    pub(super) signals: [Arc<EndSignals>; 2],
    state: Mutex<LinkState>,
    /// Signalled if something is due earlier than the tasks are scheduled for.
    sooner: Notify,
}

struct LinkState {
    pair: Pair,
    /// The ids of the two endpoints that own the ends.
    owners: [Option<u64>; 2],
    /// The time at which the tasks wake up.
    scheduled: Option<Instant>,
}

/// The next event of a connection.
enum NextDue {
    At(Instant),
    /// Nothing is due until somebody uses the connection.
    Nothing,
    Over,
}

impl MemoryLink {
    /// Creates a connection and sends its first packet.
    pub(super) fn dial(
        network: &Network,
        addrs: [SocketAddr; 2],
        owner: u64,
        protocol: &[u8],
        options: &DialOptions,
        streams: u32,
    ) -> Arc<Self> {
        let listener = DialOptions::default().with_keep_alive(None);
        let mut pair = Pair::new(options, &listener, Instant::now());
        // The listener's limits are read here before its answer arrives. No stream is opened before the answer.
        if let Some(theirs) = network.places().streams(addrs[1]) {
            pair.agree([streams, theirs]);
        }
        let signals = [0, 1].map(|side| pair.end(side).signals.clone());
        let link = network.enter(|id| Self {
            id,
            network: network.clone(),
            addrs,
            protocol: protocol.to_vec(),
            signals,
            state: Mutex::new(LinkState { pair, owners: [Some(owner), None], scheduled: None }),
            sooner: Notify::new(),
        });
        link.with(Pair::dial);
        link
    }

    /// Runs `act` on the connection, before and after which everything that is due happens.
    pub(super) fn with<T>(self: &Arc<Self>, act: impl FnOnce(&mut Pair, &mut Io<'_>) -> T) -> T {
        let mut state = self.state();
        let LinkState { pair, owners, scheduled } = &mut *state;
        let mut wire = Carrier { link: self, owners };
        let mut io = Io { now: Instant::now(), wire: &mut wire };
        pair.go_on(&mut io);
        let result = act(pair, &mut io);
        pair.go_on(&mut io);
        let deadline = pair.deadline(&wire);
        if let Some(deadline) = deadline
            && scheduled.is_none_or(|scheduled| deadline < scheduled)
        {
            *scheduled = Some(deadline);
            self.sooner.notify_waiters();
        }
        result
    }

    /// Reads the state.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Pair) -> T) -> T {
        look(&self.state().pair)
    }

    /// Waits until `act` returns something. Calls it again after each `signal`. Cancel-safe.
    pub(super) async fn until<T>(
        self: &Arc<Self>,
        signal: &Notify,
        mut act: impl FnMut(&mut Pair, &mut Io<'_>) -> Option<T>,
    ) -> T {
        loop {
            // The `Notified` is created, and the signal sent, with the lock held: no change in between is missed.
            match self.with(|pair, io| act(pair, io).ok_or_else(|| signal.notified())) {
                Ok(result) => return result,
                Err(changed) => changed.await,
            }
        }
    }

    /// Spawns a task that drives the connection.
    pub(super) fn drive(self: &Arc<Self>) {
        tokio::spawn(drive(self.clone()));
    }

    /// Closes the ends that belong to this endpoint.
    pub(super) fn close_owned(self: &Arc<Self>, owner: u64, code: u32, reason: &str) {
        let owned = self.state().owners.map(|other| other == Some(owner));
        for side in (0..2).filter(|side| owned[*side]) {
            self.with(|pair, io| pair.close(side, code, reason, io));
        }
    }

    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock()
    }

    /// Returns the next event, for which the tasks are then scheduled.
    fn next(self: &Arc<Self>) -> NextDue {
        self.with(|_, _| ());
        let mut state = self.state();
        let LinkState { pair, owners, scheduled } = &mut *state;
        if pair.is_over() {
            return NextDue::Over;
        }
        *scheduled = pair.deadline(&Carrier { link: self, owners });
        scheduled.map_or(NextDue::Nothing, NextDue::At)
    }
}

async fn drive(link: Arc<MemoryLink>) {
    loop {
        // Created before the state is read: it counts from its creation on.
        let sooner = link.sooner.notified();
        match link.next() {
            NextDue::At(deadline) => tokio::select! {
                biased;
                () = sooner => {}
                () = sleep_until(deadline) => {}
            },
            NextDue::Nothing => sooner.await,
            NextDue::Over => return,
        }
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.network.leave(self.id);
    }
}

impl fmt::Debug for MemoryLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLink").field("id", &self.id).field("addrs", &self.addrs).finish_non_exhaustive()
    }
}

/// The network from the point of view of one connection's packets.
struct Carrier<'a> {
    link: &'a Arc<MemoryLink>,
    owners: &'a mut [Option<u64>; 2],
}

impl Carrier<'_> {
    fn way(&self, from: usize) -> (SocketAddr, SocketAddr) {
        (self.link.addrs[from], self.link.addrs[1 - from])
    }
}

impl Wire for Carrier<'_> {
    fn carry(&mut self, from: usize, bytes: usize, now: Instant) -> Option<Instant> {
        let (from, to) = self.way(from);
        self.link.network.conditions().carry(from, to, bytes, now)
    }

    fn passes(&mut self, from: usize) -> bool {
        let (from, to) = self.way(from);
        self.link.network.conditions().passes(from, to)
    }

    fn is_frozen(&self, side: usize) -> bool {
        self.link.network.conditions().paths.is_frozen(self.link.addrs[side])
    }

    fn offer(&mut self) -> Offer {
        let (offer, owner) = self.link.network.offer(self.link);
        self.owners[1] = owner;
        offer
    }
}

/// A handle of one end. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) link: Arc<MemoryLink>,
    pub(super) side: usize,
}

impl Half {
    pub(super) fn closed(&self) -> Option<ConnectionError> {
        self.link.with(|pair, _| pair.end(self.side).ended.clone())
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.link.with(|pair, io| pair.close(self.side, 0, "", io));
    }
}
