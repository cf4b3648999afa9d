//! Connections and endpoints: identities, ends, datagrams.

use super::*;

pub(super) async fn the_two_sides_know_each_other(kind: Kind) {
    let Pair { client, server, dialler, listener } = kind.pair().await;
    assert_eq!((client.side(), server.side()), (Side::Client, Side::Server));
    assert_eq!((client.protocol(), server.protocol()), (PROTOCOL, PROTOCOL));
    assert_eq!(client.remote_addr(), listener.local_addr());
    assert_eq!(server.remote_addr(), dialler.local_addr());
    if let Kind::Quic(_) = kind {
        assert_eq!((client.peer().name(), server.peer().name()), ("listener", "dialler"));
    }
    assert_eq!((client.close_reason(), server.close_reason()), (None, None));
}

pub(super) async fn a_close_carries_its_code_and_ends_everything(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, mut receiver) = uni(&pair).await;
    let reading = tokio::spawn(async move { read(&mut receiver).await });
    let server = pair.server.clone();
    let accepting = tokio::spawn(async move { server.accept_bi().await.map(drop) });
    tokio::task::yield_now().await;
    pair.client.close(7, "bye");
    let told = ConnectionError::Closed { code: 7, reason: "bye".into() };
    assert_eq!(within(pair.server.closed()).await, told);
    assert_eq!(within(reading).await.expect("no panic"), Err(ReadError::Connection(told.clone())));
    assert_eq!(within(accepting).await.expect("no panic"), Err(told.clone()));
    assert_eq!(pair.server.close_reason(), Some(told.clone()));
    assert_eq!(within(pair.server.open_bi()).await.map(drop), Err(told.clone()));
    let datagram = pair.server.send_datagram(text("late"));
    assert_eq!(datagram, Err(DatagramError::Connection(told)));

    let ours = ConnectionError::LocallyClosed;
    assert_eq!(within(pair.client.closed()).await, ours);
    assert_eq!(pair.client.close_reason(), Some(ours.clone()));
    let written = within(sender.write(text("late"))).await;
    assert_eq!(written, Err(WriteError::Connection(ours.clone())));
    assert_eq!(within(sender.stopped()).await, Err(ours.clone()));
    assert_eq!(within(pair.client.open_uni()).await.map(drop), Err(ours));
}

pub(super) async fn the_last_drop_closes(kind: Kind) {
    let Pair { client, server, dialler: _dialler, listener: _listener } = kind.pair().await;
    let clone = client.clone();
    drop(client);
    assert!(waits(server.closed()).await, "a clone is left");
    drop(clone);
    let told = ConnectionError::Closed { code: 0, reason: String::new() };
    assert_eq!(within(server.closed()).await, told);
}

pub(super) async fn a_closed_endpoint_ends_its_connections(kind: Kind) {
    let pair = kind.pair().await;
    let (other, other_server) = connect(&pair.dialler, &pair.listener).await;
    pair.listener.close(9, "over");
    let told = ConnectionError::Closed { code: 9, reason: "over".into() };
    assert_eq!(within(pair.client.closed()).await, told);
    assert_eq!(within(other.closed()).await, told);
    assert_eq!(within(pair.server.closed()).await, ConnectionError::LocallyClosed);
    assert_eq!(within(other_server.closed()).await, ConnectionError::LocallyClosed);
    assert!(within(pair.listener.accept()).await.is_none());
    within(pair.listener.wait_idle()).await;

    pair.dialler.close(0, "");
    let options = DialOptions::default();
    let dial = pair.dialler.dial(pair.listener.local_addr(), "127.0.0.1", PROTOCOL, &options, ROOM);
    within(dial).await.expect_err("a closed endpoint does not dial");
}

pub(super) async fn datagrams_go_both_ways(kind: Kind) {
    let pair = kind.pair().await;
    for (from, to) in [(&pair.client, &pair.server), (&pair.server, &pair.client)] {
        for _ in 0..10 {
            from.send_datagram(text("ping")).expect("it is small");
            assert_eq!(within(to.read_datagram()).await, Ok(text("ping")));
        }
    }
}

pub(super) async fn datagrams_have_a_size(kind: Kind) {
    let pair = kind.pair().await;
    let most = pair.client.max_datagram_size().expect("the peer takes datagrams");
    assert!(most >= 1100, "gossip packets have 1100 bytes, a datagram {most}");
    pair.client.send_datagram(vec![0; most].into()).expect("it fits");
    let error = pair.client.send_datagram(vec![0; 70_000].into()).expect_err("larger than any packet");
    assert_eq!(error, DatagramError::TooLarge);
}

pub(super) async fn datagrams_arrive_at_their_largest(kind: Kind) {
    let pair = kind.pair().await;
    let most = pair.client.max_datagram_size().expect("the peer takes datagrams");
    pair.client.send_datagram(vec![0; most].into()).expect("it fits");
    assert_eq!(within(pair.server.read_datagram()).await.map(|datagram| datagram.len()), Ok(most));
}

pub(super) async fn whatever_arrives_is_counted(kind: Kind) {
    let pair = kind.pair().await;
    let (mut sender, _receiver) = uni(&pair).await;
    for _ in 0..3 {
        let before = pair.client.stats().received_packets;
        send(&mut sender, "ping").await;
        // This is the acknowledgement, which the liveness check of a session relies on.
        within(async {
            while pair.client.stats().received_packets == before {
                tokio::time::sleep(MS).await;
            }
        })
        .await;
    }
}

pub(super) async fn a_protocol_that_nobody_speaks(kind: Kind) {
    let (dialler, listener) = (kind.endpoint("dialler"), kind.listener());
    let accepting = {
        let listener = listener.clone();
        tokio::spawn(async move { listener.accept().await?.handshake().await.err() })
    };
    let options = DialOptions::default();
    let dial = dialler.dial(listener.local_addr(), "127.0.0.1", b"other/1", &options, ROOM);
    let error = within(dial).await.expect_err("nobody speaks it");
    assert!(error.to_string().contains("does not speak this protocol"), "{error}");
    accepting.abort();
    // The listener speaks it from here on.
    listener.listen(vec![PROTOCOL.to_vec(), b"other/1".to_vec()], LISTEN).expect("a good configuration");
    let accept = async { listener.accept().await.expect("it is open").handshake().await };
    let dial = dialler.dial(listener.local_addr(), "127.0.0.1", b"other/1", &options, ROOM);
    let (client, server) = within(async { tokio::join!(dial, accept) }).await;
    assert_eq!(client.expect("both sides speak it").protocol(), b"other/1");
    assert_eq!(server.expect("both sides speak it").protocol(), b"other/1");
}

pub(super) async fn an_address_where_nobody_listens(kind: Kind) {
    let (dialler, deaf) = (kind.endpoint("dialler"), kind.endpoint("deaf"));
    let options = DialOptions::default().with_idle_timeout(300 * MS).with_keep_alive(None);
    let dial = dialler.dial(deaf.local_addr(), "127.0.0.1", PROTOCOL, &options, ROOM);
    within(dial).await.expect_err("nobody listens");
}

pub(super) async fn a_successor_takes_the_address_over(kind: Kind) {
    // For UDP sockets the operating system frees the address. The memory network has to keep its own books.
    let Kind::Memory(network) = &kind else { return };
    let first = kind.listener();
    let addr = first.local_addr();
    assert!(network.endpoint(addr).is_none(), "the address is taken");
    first.close(0, "");
    let second = Endpoint::Memory(network.endpoint(addr).expect("the address is free again"));
    second.listen(vec![PROTOCOL.to_vec()], LISTEN).expect("a good configuration");
    drop(first);
    connect(&kind.endpoint("dialler"), &second).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_datagram_does_not_come_again() {
    let Kind::Memory(network) = Kind::with_losses() else { unreachable!("losses are made in memory") };
    let pair = Kind::Memory(network.clone()).pair().await;
    for number in 0..500u16 {
        pair.client.send_datagram(number.to_be_bytes().to_vec().into()).expect("the connection is open");
    }
    let mut arrived = std::collections::HashSet::new();
    while let Ok(datagram) = timeout(Duration::from_secs(20), pair.server.read_datagram()).await {
        assert!(arrived.insert(datagram.expect("the connection is open")), "none comes twice");
    }
    assert!((400..490).contains(&arrived.len()), "{} of 500", arrived.len());

    network.set_latency(MS..MS);
    network.set_loss(0.0);
    pair.client.send_datagram(text("late")).expect("the connection is open");
    let started = tokio::time::Instant::now();
    assert_eq!(within(pair.server.read_datagram()).await, Ok(text("late")));
    assert_eq!(started.elapsed(), MS);
}
