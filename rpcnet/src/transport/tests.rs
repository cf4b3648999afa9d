//! The tests that every backend has to pass.

mod connections;
mod streams;
mod windows;

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;

use self::{connections::*, streams::*};
use super::{memory::Network, *};
use crate::{
    dev::DevCa,
    proto::reset,
    tls::{CaCertificates, OwnCertificate, Tls},
};

const PROTOCOL: &[u8] = b"test/1";
/// The number of bidirectional streams that each side allows the other.
const STREAMS: u32 = 256;
const ROOM: Room = Room { streams: STREAMS, window: 64 << 20 };
const LISTEN: ListenOptions = ListenOptions { room: ROOM, handshakes: 16 };
const MS: Duration = Duration::from_millis(1);

/// The backends under test. Each makes endpoints that reach each other.
enum Kind {
    Quic(Box<DevCa>),
    Memory(Network),
}

impl Kind {
    fn quic() -> Self {
        Self::Quic(Box::new(DevCa::generate().expect("a CA")))
    }

    fn memory() -> Self {
        Self::Memory(Network::new())
    }

    /// Packets have a latency, and overtake each other.
    fn far_away() -> Self {
        let network = Network::with_seed(1);
        network.set_latency(5 * MS..30 * MS);
        Self::Memory(network)
    }

    /// As `far_away`, and a tenth of the packets is lost.
    fn with_losses() -> Self {
        let network = Network::with_seed(2);
        network.set_latency(5 * MS..30 * MS);
        network.set_loss(0.1);
        Self::Memory(network)
    }

    fn endpoint(&self, name: &str) -> Endpoint {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        match self {
            Self::Quic(ca) => {
                let cert = ca.issue(name).expect("a certificate");
                let own = OwnCertificate::from_pem(cert.cert.as_bytes(), cert.key.as_bytes());
                let trust = CaCertificates::from_pem(ca.ca_pem().as_bytes()).expect("just made");
                let tls = Tls::new(Some(&own.expect("just issued")), &trust).expect("just made");
                Endpoint::bind(addr, tls).expect("a free port")
            }
            Self::Memory(network) => Endpoint::Memory(network.endpoint(addr).expect("a free port")),
        }
    }

    fn listener(&self) -> Endpoint {
        let endpoint = self.endpoint("listener");
        endpoint.listen(vec![PROTOCOL.to_vec()], LISTEN).expect("a good configuration");
        endpoint
    }

    async fn pair(&self) -> Pair {
        let (dialler, listener) = (self.endpoint("dialler"), self.listener());
        let (client, server) = connect(&dialler, &listener).await;
        Pair { client, server, dialler, listener }
    }
}

/// The two ends of a connection, and their endpoints, which keep it open.
struct Pair {
    client: Connection,
    server: Connection,
    dialler: Endpoint,
    listener: Endpoint,
}

async fn connect(dialler: &Endpoint, listener: &Endpoint) -> (Connection, Connection) {
    let accept = async { listener.accept().await.expect("it is open").handshake().await };
    let options = DialOptions::default();
    let dial = dialler.dial(listener.local_addr(), "127.0.0.1", PROTOCOL, &options, ROOM);
    let (client, server) = within(async { tokio::join!(dial, accept) }).await;
    (client.expect("the listener accepts"), server.expect("the dialler connects"))
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(60), future).await.expect("no timeout")
}

/// Returns true if the future waits for something that this test has not done yet.
async fn waits(future: impl Future) -> bool {
    timeout(100 * MS, future).await.is_err()
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn send(stream: &mut SendStream, what: &'static str) {
    within(stream.write(text(what))).await.expect("the peer reads");
}

async fn read(stream: &mut RecvStream) -> Result<Bytes, ReadError> {
    within(stream.read_to_end(1 << 20)).await
}

/// Opens a unidirectional stream and reads its first bytes.
async fn uni(pair: &Pair) -> (SendStream, RecvStream) {
    let mut sender = within(pair.client.open_uni()).await.expect("the connection is open");
    send(&mut sender, "first").await;
    let mut receiver = within(pair.server.accept_uni()).await.expect("the connection is open");
    assert_eq!(within(receiver.read_chunk(100)).await, Ok(Some(text("first"))));
    (sender, receiver)
}

macro_rules! suite {
    ($(#[$attribute:meta] $where:ident: $kind:ident, [$($name:ident),+ $(,)?];)+) => {
        $(
            mod $where {
                $(
                    #[$attribute]
                    async fn $name() {
                        super::$name(super::Kind::$kind()).await;
                    }
                )+
            }
        )+
    };
}

/// Makes the suites: `always` runs on all networks, `without_loss` only where all packets arrive.
macro_rules! suites {
    (always: [$($always:ident),+ $(,)?], without_loss: [$($without_loss:ident),+ $(,)?]) => {
        suite! {
            #[tokio::test] over_quic: quic, [$($always,)+ $($without_loss,)+];
            #[tokio::test(start_paused = true)] in_memory: memory, [$($always,)+ $($without_loss,)+];
            #[tokio::test(start_paused = true)] far_away: far_away, [$($always,)+ $($without_loss,)+];
            #[tokio::test(start_paused = true)] with_losses: with_losses, [$($always),+];
        }
    };
}

suites! {
    always: [
        both_sides_open_streams_of_both_kinds,
        the_two_sides_know_each_other,
        chunks_arrive_in_order_and_whole,
        a_finished_stream_outlives_its_sender,
        an_unfinished_stream_is_reset_when_it_is_dropped,
        a_reset_carries_its_code,
        a_stop_carries_its_code,
        a_dropped_receiver_stops_the_sender,
        a_sender_learns_that_all_has_arrived,
        what_is_over_the_limit_is_stopped,
        a_read_that_is_given_up_loses_nothing,
        a_read_wakes_the_task_that_polled_last,
        a_sender_is_watched_while_it_writes,
        a_writer_waits_for_its_reader,
        streams_are_bounded_in_number,
        more_streams_may_be_allowed,
        what_has_arrived_is_read_after_the_end,
        whatever_arrives_is_counted,
        datagrams_have_a_size,
        a_protocol_that_nobody_speaks,
        an_address_where_nobody_listens,
        a_successor_takes_the_address_over,
    ],
    // These depend on a close or a datagram, which are sent only once.
    without_loss: [
        the_end_wakes_those_who_wait,
        a_close_carries_its_code_and_ends_everything,
        the_last_drop_closes,
        a_closed_endpoint_ends_its_connections,
        datagrams_go_both_ways,
        datagrams_arrive_at_their_largest,
    ]
}
