//! Clients of a relay that do not play by its rules.

use std::time::Duration;

use rpcnet::{
    ConnectError,
    transport::{Connection, DialOptions, ReadError},
};
use rpcnet_tests::{
    Net,
    by_hand::{HandLane, PROTOCOL, call, header, hello, method, preface, text},
    on_lanes, within,
};

use super::place::Place;

on_lanes!(
    garbage_ends_its_own_stream,
    a_client_that_says_nothing_of_its_method,
    ids_that_a_client_invents_are_not_kept,
    calls_whose_answers_nobody_reads,
    a_server_that_forwards_nothing,
);

async fn dial(net: &Net, place: &Place) -> Connection {
    let connector = net.channel().connector().expect("complete");
    let addr = place.relays[0].addr().to_string();
    let connection =
        connector.dial(&addr, b"rpcnet-relay/1", &DialOptions::default()).await.expect("it listens");
    let closed = connection.clone();
    tokio::spawn(async move {
        closed.closed().await;
        drop(connector);
    });
    connection
}

async fn garbage_ends_its_own_stream(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    let connection = dial(&net, &place).await;
    let _control = hello(&connection).await;
    for garbage in [&b"\x20\x00"[..], b"\x10\x7f\x00", &[0x7f; 100], &[0xff; 70_000]] {
        let (mut send, mut recv) = connection.open_bi().await.expect("it stands");
        let _ = send.write(garbage.to_vec().into()).await;
        send.finish();
        let read = within(recv.read_to_end(1000)).await;
        assert!(matches!(read, Err(ReadError::Reset(PROTOCOL))), "{read:?}");
    }
    let (mut send, mut recv) = connection.open_bi().await.expect("it stands");
    send.write([preface(), vec![77; 100]].concat().into()).await.expect("it is read");
    let read = within(recv.read_to_end(1000)).await;
    assert!(matches!(read, Err(ReadError::Reset(PROTOCOL))), "{read:?}");

    let mut lane = HandLane::open(&connection).await;
    lane.write(call(1, &method("echo"), 5_000_000, &text("still here"))).await;
    assert_eq!(lane.frame().await, rpcnet_tests::by_hand::Frame::Value(1, text("still here")));
    within(place.client.once(1)).await.expect("others notice nothing");
    place.quiet().await;
}

async fn a_client_that_says_nothing_of_its_method(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    let connection = dial(&net, &place).await;
    let _control = hello(&connection).await;
    // Without, a call is one that has one answer and must not be repeated.
    let mut lane = HandLane::open(&connection).await;
    lane.write(call(1, &method("echo"), 5_000_000, &text("a"))).await;
    assert_eq!(lane.frame().await, rpcnet_tests::by_hand::Frame::Value(1, text("a")));
    // Arguments that the worker can't decode are its business.
    lane.write(call(2, &method("echo"), 5_000_000, b"\xff\xff\xff")).await;
    let frame = lane.frame().await;
    assert!(
        matches!(frame, rpcnet_tests::by_hand::Frame::Status(2, rpcnet::Code::InvalidArgument, false)),
        "{frame:?}"
    );
    // A time that is over already.
    lane.write(call(3, &method("echo"), 1, &text("a"))).await;
    assert!(matches!(
        lane.frame().await,
        rpcnet_tests::by_hand::Frame::Status(3, rpcnet::Code::DeadlineExceeded, _)
            | rpcnet_tests::by_hand::Frame::Value(3, _)
    ));
    place.quiet().await;
}

async fn ids_that_a_client_invents_are_not_kept(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    let connection = dial(&net, &place).await;
    let _control = hello(&connection).await;
    let mut lane = HandLane::open(&connection).await;
    for id in 0..5000u64 {
        let mut request = call(id, &method("echo"), 5_000_000, &text("a"));
        let at = request.len() - text("a").len() - 4 - 4 - 16;
        request[at..at + 8].copy_from_slice(&(id | 1 << 63).to_be_bytes());
        lane.write(request).await;
        let frame = lane.frame().await;
        assert!(
            matches!(frame, rpcnet_tests::by_hand::Frame::Status(_, rpcnet::Code::Unimplemented, false)),
            "{frame:?}"
        );
    }
    // Nor do they stand in the metrics.
    let rendered = place.relays[0].server.metrics().render();
    assert!(rendered.lines().count() < 200, "{rendered}");
    assert!(rendered.contains("rpc_requests_total{method=\"rpcnet.Relay/call\"}"), "{rendered}");
}

async fn calls_whose_answers_nobody_reads(net: Net) {
    let place = Place::start(&net, 1, 1).await;
    let connection = dial(&net, &place).await;
    let _control = hello(&connection).await;
    let (mut send, frames) = HandLane::open(&connection).await.split();
    let body = text(&"x".repeat(200));
    let mut made = 0u64;
    // The relay stops to hear this client once answers pile up.
    while tokio::time::timeout(
        Duration::from_secs(1),
        send.write(call(made, &method("echo"), 5_000_000, &body).into()),
    )
    .await
    .is_ok_and(|written| written.is_ok())
    {
        made += 1;
        assert!(made < 200_000, "nothing stops it");
    }
    within(place.client.once(1)).await.expect("others notice nothing");
    drop((send, frames));
    place.quiet().await;
}

async fn a_server_that_forwards_nothing(net: Net) {
    let place = Place::start(&net, 1, 0).await;
    let addr = place.workers[0].addr().to_string();
    let error =
        within(net.channel().with_relay().connect(&addr)).await.expect_err("it speaks no such protocol");
    assert!(matches!(error, ConnectError::Handshake { .. }), "{error}");
    let _ = header(&method("echo"), 1, 1);
}
