//! Bounds on the work that one peer can make for a server through its lane.

use std::collections::HashSet;

use rpcnet::{Limits, transport::Connection};
use rpcnet_tests::{
    Event, Net, Probed,
    by_hand::{Frame, HandLane, call, cancel, dial, method, method_of, preface, request, text},
    on_lanes, until, within,
};

use super::loads::{Here, LoadsServer};

on_lanes!(
    who_does_not_read_is_not_heard,
    nor_are_its_calls_started_that_wait,
    so_many_calls_run_and_the_rest_wait,
    calls_that_wait_run_when_others_end_without_an_answer,
    calls_that_wait_run_when_a_large_reply_has_left,
    who_drains_refuses_calls_that_wait,
    one_call_at_a_time_leaves_room_beside_the_lane,
);

/// A call on a stream of its own: what the server read before on other streams of this process has been dealt with.
async fn beside(connection: &Connection) {
    let (mut send, mut recv) = connection.open_bi().await.expect("it stands");
    send.write(request(&method("echo"), 0, &text("well")).into()).await.expect("it stands");
    send.finish();
    let reply = within(recv.read_to_end(100)).await.expect("a reply");
    assert!(reply.ends_with(b"well"), "{reply:?}");
}

/// Started and not ended, in the order in which they were.
async fn started(probed: &mut Probed, calls: usize) -> Vec<u64> {
    let mut started = Vec::new();
    while started.len() < calls {
        if let Event::Started(id) = probed.event().await {
            started.push(id);
        }
    }
    started
}

async fn who_does_not_read_is_not_heard(net: Net) {
    reads_nothing(net, "fill").await;
}

async fn nor_are_its_calls_started_that_wait(net: Net) {
    reads_nothing(net, "fill_later").await;
}

async fn reads_nothing(net: Net, method: &str) {
    const CALLS: u64 = 2000;
    const SIZE: usize = 10_000;
    let narrow = Limits::default()
        .with_lanes_on_any_path()
        .with_receive_window(64 << 10)
        .with_max_calls_per_connection(16);
    let (server, _probed) = net.start_probed_with("server", net.server().with_limits(narrow));
    let (here, _) = Here::on(&server);
    let connection = dial(&server, net.channel().with_limits(narrow)).await;
    let lane = HandLane::open(&connection).await;
    let fill = method_of(&LoadsServer::new(Here::new().0), method);
    // 10 000 as the codec writes it.
    let size = [251, (SIZE % 256) as u8, (SIZE / 256) as u8];
    let calls: Vec<u8> = (0..CALLS).flat_map(|id| call(id, &fill, 0, &size)).collect();
    let (mut send, mut answers) = lane.split();
    let writing = tokio::spawn(async move {
        send.write(calls.into()).await.expect("it stands");
        send
    });
    // As much as may wait, and what the transport holds.
    until(|| here.filled() * SIZE > 256 << 10).await;
    for _ in 0..200 {
        beside(&connection).await;
    }
    // 256 KiB that wait and as many being written, the calls at work, and the window.
    assert!(here.filled() * SIZE < 1200 << 10, "{} answers wait", here.filled());
    let mut answered = HashSet::new();
    for _ in 0..CALLS {
        match answers.frame().await {
            Frame::Value(id, body) => {
                assert_eq!(body.len(), SIZE + 3);
                assert!(answered.insert(id), "{id} is answered twice");
            }
            other => panic!("{other:?}"),
        }
    }
    within(writing).await.expect("all is written");
}

async fn so_many_calls_run_and_the_rest_wait(net: Net) {
    let limits = Limits::default().with_lanes_on_any_path().with_max_calls_per_connection(4);
    let (server, mut probed) = net.start_probed_with("server", net.server().with_limits(limits));
    let connection = dial(&server, net.channel()).await;
    let mut lane = HandLane::open(&connection).await;
    lane.write((0..20).flat_map(|id| call(id, &method("hold"), 0, &[id as u8])).collect()).await;
    assert_eq!(started(&mut probed, 4).await, [0, 1, 2, 3]);
    beside(&connection).await;
    assert_eq!((server.in_flight(), probed.try_event()), (4, None));
    // One that waits, and one for which others do.
    lane.write([cancel(4), cancel(0)].concat()).await;
    assert_eq!(probed.event().await, Event::Dropped(0));
    assert_eq!(probed.event().await, Event::Started(5), "the fourth has been given up");
    beside(&connection).await;
    assert_eq!((server.in_flight(), probed.try_event()), (4, None));
    probed.open_gate();
    let rest: Vec<u64> = (6..20).collect();
    assert_eq!(started(&mut probed, rest.len()).await, rest, "in the order in which they came");
    let mut answered = HashSet::new();
    for _ in 0..18 {
        match lane.frame().await {
            Frame::Value(id, _) => assert!(answered.insert(id)),
            other => panic!("{other:?}"),
        }
    }
    assert!(!answered.contains(&0) && !answered.contains(&4));
    assert_eq!(probed.executions().len(), 19);
}

async fn calls_that_wait_run_when_others_end_without_an_answer(net: Net) {
    let limits = Limits::default().with_lanes_on_any_path().with_max_calls_per_connection(1);
    let (server, mut probed) = net.start_probed_with("server", net.server().with_limits(limits));
    let connection = dial(&server, net.channel()).await;
    let mut lane = HandLane::open(&connection).await;
    // All at once: nothing that the server writes tells it to look again.
    let frames = [call(1, &method("hold"), 0, &[1]), call(2, &method("once"), 0, &[2]), cancel(1)];
    lane.write(frames.concat()).await;
    assert_eq!(probed.event().await, Event::Started(1));
    assert_eq!(probed.event().await, Event::Dropped(1));
    assert_eq!(probed.event().await, Event::Started(2));
    assert_eq!(lane.frame().await, Frame::Value(2, text("server")));
}

async fn calls_that_wait_run_when_a_large_reply_has_left(net: Net) {
    let limits = Limits::default().with_lanes_on_any_path().with_max_calls_per_connection(1);
    let (server, _probed) = net.start_probed_with("server", net.server().with_limits(limits));
    Here::on(&server);
    let connection = dial(&server, net.channel()).await;
    let mut lane = HandLane::open(&connection).await;
    let fill = method_of(&LoadsServer::new(Here::new().0), "fill");
    // 50 000 as the codec writes it.
    let frames = [call(70, &fill, 0, &[251, 0x50, 0xc3]), call(2, &method("once"), 0, &[2])];
    lane.write(frames.concat()).await;
    let control = connection.accept_uni().await.expect("it stands");
    let mut large = within(connection.accept_uni()).await.expect("it stands");
    let reply = within(large.read_to_end(60_000)).await.expect("a reply");
    assert_eq!(reply[..4], [&preface()[..], &[0x40, 70]].concat());
    assert!(reply.len() > 50_000);
    assert_eq!(lane.frame().await, Frame::Value(2, text("server")));
    drop(control);
}

async fn who_drains_refuses_calls_that_wait(net: Net) {
    let limits = Limits::default().with_lanes_on_any_path().with_max_calls_per_connection(1);
    let (server, mut probed) = net.start_probed_with("server", net.server().with_limits(limits));
    let connection = dial(&server, net.channel()).await;
    let mut lane = HandLane::open(&connection).await;
    let hold = |id: u64| call(id, &method("hold"), 0, &[id as u8]);
    lane.write([hold(1), hold(2), hold(3)].concat()).await;
    assert_eq!(probed.event().await, Event::Started(1));
    server.stop_accepting().await;
    assert_eq!(lane.frame().await, Frame::Refused(2));
    assert_eq!(lane.frame().await, Frame::Refused(3));
    // The client, which does not know yet, sends more.
    for id in [4, 5] {
        lane.write(hold(id)).await;
        assert_eq!(lane.frame().await, Frame::Refused(id));
    }
    probed.open_gate();
    assert_eq!(lane.frame().await, Frame::Value(1, text("server")));
    within(server.wait_for_in_flight()).await;
    assert_eq!(probed.executions().len(), 1);
}

async fn one_call_at_a_time_leaves_room_beside_the_lane(net: Net) {
    let limits = Limits::default().with_lanes_on_any_path().with_max_calls_per_connection(1);
    let (server, _probed) = net.start_probed_with("server", net.server().with_limits(limits));
    let connection = dial(&server, net.channel()).await;
    let mut lane = HandLane::open(&connection).await;
    lane.write(call(1, &method("echo"), 0, &text("well"))).await;
    assert_eq!(lane.frame().await, Frame::Value(1, text("well")));
    for _ in 0..3 {
        beside(&connection).await;
    }
}
