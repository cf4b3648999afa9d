//! Helpers of the tests of a session's parts, and a test of the size of its futures.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};

use super::*;
use crate::transport::{DialOptions, Endpoint, ListenOptions, memory::Network};

/// Both ends of a connection in memory, and the endpoints without which it would not stand.
pub(super) struct Pair {
    pub(super) client: Connection,
    pub(super) server: Connection,
    _endpoints: [Endpoint; 2],
}

pub(super) async fn pair() -> Pair {
    let network = Network::new();
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let [dialler, listener] =
        [(); 2].map(|()| Endpoint::Memory(network.endpoint(addr).expect("a free port")));
    let room = Limits::default().room();
    listener.listen(vec![proto::ALPN.to_vec()], ListenOptions { room, handshakes: 1 }).expect("it has room");
    let accept = async { listener.accept().await.expect("it is open").handshake().await };
    let options = DialOptions::default();
    let dial = dialler.dial(listener.local_addr(), "127.0.0.1", proto::ALPN, &options, room);
    let (client, server) = tokio::join!(dial, accept);
    Pair {
        client: client.expect("it listens"),
        server: server.expect("it dials"),
        _endpoints: [dialler, listener],
    }
}

/// Counts how often it is woken.
#[derive(Debug, Default)]
pub(super) struct Woken(AtomicUsize);

impl Woken {
    pub(super) fn times(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The test's own.
pub(super) fn runtime() -> Runtime {
    Runtime::current().expect("a test has one")
}

/// Each connection has one of each, mostly idle, so that a thousand of them take that much memory.
#[tokio::test(start_paused = true)]
async fn what_stands_as_long_as_a_connection_is_small() {
    let pair = pair().await;
    let (session, driver) =
        Session::forwarding(pair.server.clone(), Arc::default(), Limits::default(), runtime(), None);
    let (send, recv) = pair.client.open_bi().await.expect("it stands");
    let lane = inbound::begin_lane(&session, send, frame::FrameReader::new(recv)).expect("it is the first");
    // The lane's task holds no more than where that is.
    let (send, recv) = pair.client.open_bi().await.expect("it stands");
    let task = inbound::serve(session, send, recv);
    let sizes = [size_of_val(&driver.drive()), size_of_val(&*lane), size_of_val(&task)];
    assert!(sizes[0] <= 1152 && sizes[1] <= 448 && sizes[2] <= 32, "{sizes:?}");
}
