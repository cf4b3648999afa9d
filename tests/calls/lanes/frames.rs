//! Lanes byte by byte.

use rpcnet::{Code, Limits, Server, transport::Connection};
use rpcnet_tests::{
    Event, Net, ProbeClient, Probed,
    by_hand::{Frame, HandLane, PROTOCOL, call, cancel, dial, header, method, method_of, text, varint},
    on_lanes, until, within,
};

use super::loads::{Here, LoadsServer};

const MS: u32 = 1000;

async fn dialled(net: &Net, limits: Limits) -> (Server, Probed, Connection) {
    let (server, probed) = net.start_probed_with("server", net.server().with_limits(limits));
    let connection = dial(&server, net.channel()).await;
    (server, probed, connection)
}

fn loads(name: &str) -> rpcnet::Method {
    method_of(&LoadsServer::new(Here::new().0), name)
}

/// It answers, and nothing else came before.
async fn answers(lane: &mut HandLane, id: u64) {
    lane.write(call(id, &method("echo"), 0, &text("well"))).await;
    assert_eq!(lane.frame().await, Frame::Value(id, text("well")));
}

on_lanes!(
    answers_carry_the_ids_of_their_calls,
    a_call_that_is_given_up_is_dropped_and_not_answered,
    what_there_is_not_can_be_given_up,
    frames_come_in_any_pieces,
    a_second_lane_is_refused,
    where_there_are_no_lanes_none_is_taken,
    what_is_not_understood_ends_the_lane_alone,
    calls_end_with_their_lane,
    a_refused_call_is_answered,
    the_deadline_is_the_servers_too,
    a_call_that_is_given_up_at_once_tells_those_who_wait_for_it,
    a_panic_outside_a_handler_is_answered,
    a_peer_that_gives_up_too_many_calls_is_cut_off,
);

async fn answers_carry_the_ids_of_their_calls(net: Net) {
    let (_server, mut probed, connection) = dialled(&net, Limits::default().with_lanes_on_any_path()).await;
    let mut lane = HandLane::open(&connection).await;
    answers(&mut lane, 0).await;
    let most = (1 << 62) - 1;
    lane.write(call(most, &method("hold"), 0, &[1])).await;
    assert_eq!(probed.event().await, Event::Started(1));
    answers(&mut lane, 1 << 20).await;
    lane.write(call(7, &method("hold"), 0, &[2])).await;
    assert_eq!(probed.event().await, Event::Started(2));
    probed.open_gate();
    let (one, other) = (lane.frame().await, lane.frame().await);
    let both = [Frame::Value(most, text("server")), Frame::Value(7, text("server"))];
    assert!(both.contains(&one) && both.contains(&other) && one != other, "{one:?}, {other:?}");
}

async fn a_call_that_is_given_up_is_dropped_and_not_answered(net: Net) {
    let (server, mut probed, connection) = dialled(&net, Limits::default().with_lanes_on_any_path()).await;
    let mut lane = HandLane::open(&connection).await;
    lane.write(call(1, &method("hold"), 0, &[1])).await;
    assert_eq!(probed.event().await, Event::Started(1));
    lane.write(cancel(1)).await;
    assert_eq!(probed.event().await, Event::Dropped(1));
    until(|| server.in_flight() == 0).await;
    // Its id is free again.
    answers(&mut lane, 1).await;
    let text = server.metrics().render();
    assert!(text.contains("rpc_errors_total{type=\"cancelled\"} 1"), "{text}");
}

async fn what_there_is_not_can_be_given_up(net: Net) {
    let (_server, _probed, connection) = dialled(&net, Limits::default().with_lanes_on_any_path()).await;
    let mut lane = HandLane::open(&connection).await;
    lane.write([cancel(1), cancel(1 << 40)].concat()).await;
    answers(&mut lane, 1).await;
    lane.write(cancel(1)).await;
    answers(&mut lane, 2).await;
    // A caller refuses nothing, but it may say so.
    lane.write([vec![2], varint(1)].concat()).await;
    answers(&mut lane, 3).await;
}

async fn frames_come_in_any_pieces(net: Net) {
    let (_server, _probed, connection) = dialled(&net, Limits::default().with_lanes_on_any_path()).await;
    let mut lane = HandLane::open(&connection).await;
    let both = [call(70, &method("echo"), 0, &text("first")), call(71, &method("echo"), 0, &text("second"))];
    for byte in both.concat() {
        lane.write(vec![byte]).await;
    }
    assert_eq!(lane.frame().await, Frame::Value(70, text("first")));
    assert_eq!(lane.frame().await, Frame::Value(71, text("second")));
}

async fn a_second_lane_is_refused(net: Net) {
    let (_server, _probed, connection) = dialled(&net, Limits::default().with_lanes_on_any_path()).await;
    let mut first = HandLane::open(&connection).await;
    answers(&mut first, 1).await;
    let mut second = HandLane::open(&connection).await;
    assert_eq!(second.reset().await, PROTOCOL);
    answers(&mut first, 1).await;
    drop(first);
    // The server hears of it at some time: then another may begin.
    within(async {
        loop {
            let mut next = HandLane::open(&connection).await;
            let _ = next.try_write(call(1, &method("echo"), 0, &text("again"))).await;
            if next.frames.next().await == Ok(Frame::Value(1, text("again"))) {
                break;
            }
        }
    })
    .await;
    assert_eq!(connection.close_reason(), None);
}

async fn where_there_are_no_lanes_none_is_taken(net: Net) {
    let (_server, _probed, connection) = dialled(&net, Limits::default().with_lanes(false)).await;
    let mut lane = HandLane::open(&connection).await;
    assert_eq!(lane.reset().await, PROTOCOL);
    assert_eq!(connection.close_reason(), None);
}

async fn what_is_not_understood_ends_the_lane_alone(net: Net) {
    let (server, mut probed, connection) =
        dialled(&net, Limits::default().with_lanes_on_any_path().with_max_calls_per_connection(2)).await;
    let hold = |id: u64, number: u8| call(id, &method("hold"), 0, &[number]);
    let too_long = [vec![0, 9], header(&method("once"), 0, (32 << 10) + 1)].concat();
    let of_another_version = [vec![0, 9, 0x20], vec![0; 40]].concat();
    let endless = [vec![0, 9, 0x10, 1], vec![0; 9], vec![0xff; 8]].concat();
    let waits_already = [hold(5, 6), hold(6, 6), hold(6, 6)].concat();
    let wrong = [vec![9, 9], too_long, of_another_version, endless, hold(1, 2), waits_already];
    for (number, wrong) in wrong.into_iter().enumerate() {
        let number = number as u64 + 10;
        let mut lane = HandLane::open(&connection).await;
        lane.write(hold(1, number as u8)).await;
        assert_eq!(probed.event().await, Event::Started(number));
        lane.write(wrong).await;
        assert_eq!(lane.reset().await, PROTOCOL, "number {number}");
        loop {
            match probed.event().await {
                Event::Dropped(dropped) if dropped == number => break,
                Event::Started(6) | Event::Dropped(6) => {}
                other => panic!("{other:?}"),
            }
        }
        until(|| server.in_flight() == 0).await;
        assert_eq!(connection.close_reason(), None);
        while probed.try_event().is_some() {}
    }
}

async fn calls_end_with_their_lane(net: Net) {
    let limits = Limits::default().with_lanes_on_any_path().with_max_calls_per_connection(1);
    let (server, mut probed, connection) = dialled(&net, limits).await;
    let mut lane = HandLane::open(&connection).await;
    lane.write(call(1, &method("hold"), 0, &[1])).await;
    assert_eq!(probed.event().await, Event::Started(1));
    // One that waits, and one that breaks off.
    let broken = call(3, &method("once"), 0, &[3]);
    lane.write([&call(2, &method("once"), 0, &[2])[..], &broken[..broken.len() - 1]].concat()).await;
    drop(lane);
    assert_eq!(probed.event().await, Event::Dropped(1));
    until(|| server.in_flight() == 0).await;
    let client = ProbeClient::new(net.connect(&server).await);
    client.once(9).await.expect("answered");
    assert_eq!(probed.event().await, Event::Started(9), "none before ran");
}

async fn a_refused_call_is_answered(net: Net) {
    let limits = Limits::default().with_lanes_on_any_path().with_max_message(100);
    let (_server, mut probed, connection) = dialled(&net, limits).await;
    let mut lane = HandLane::open(&connection).await;
    let status = |id, code| Frame::Status(id, code, false);
    lane.write(call(1, &method("once"), 0, &[0; 101])).await;
    assert_eq!(lane.frame().await, status(1, Code::ResourceExhausted));
    let mut unknown = call(2, &method("once"), 0, &[1]);
    unknown[4] ^= 1;
    lane.write(unknown).await;
    assert_eq!(lane.frame().await, status(2, Code::Unimplemented));
    let mut other_schema = call(3, &method("once"), 0, &[1]);
    other_schema[12] ^= 1;
    lane.write(other_schema).await;
    assert_eq!(lane.frame().await, status(3, Code::FailedPrecondition));
    lane.write(call(4, &method("echo"), 0, &[200, 1, 2])).await;
    assert_eq!(lane.frame().await, status(4, Code::InvalidArgument));
    answers(&mut lane, 5).await;
    assert_eq!(probed.try_event(), None);
}

async fn the_deadline_is_the_servers_too(net: Net) {
    let limits = Limits::default().with_lanes_on_any_path().with_max_calls_per_connection(1);
    let (_server, mut probed, connection) = dialled(&net, limits).await;
    let mut lane = HandLane::open(&connection).await;
    // The second has less time than it waits for its turn.
    let both = [call(1, &method("hold"), 100 * MS, &[1]), call(2, &method("once"), 50 * MS, &[2])];
    lane.write(both.concat()).await;
    assert_eq!(probed.event().await, Event::Started(1));
    assert_eq!(probed.event().await, Event::Dropped(1));
    assert_eq!(lane.frame().await, Frame::Status(1, Code::DeadlineExceeded, true));
    assert_eq!(lane.frame().await, Frame::Status(2, Code::DeadlineExceeded, false));
    assert_eq!(probed.try_event(), None);
}

async fn a_call_that_is_given_up_at_once_tells_those_who_wait_for_it(net: Net) {
    let (server, _probed, connection) = dialled(&net, Limits::default().with_lanes_on_any_path()).await;
    let (_here, mut told) = Here::on(&server);
    let mut lane = HandLane::open(&connection).await;
    // Its handler runs in place, and is given up before its task has run.
    lane.write([call(1, &loads("spawns"), 0, &[]), cancel(1)].concat()).await;
    within(told.recv()).await.expect("the service is there");
    answers(&mut lane, 2).await;
}

async fn a_panic_outside_a_handler_is_answered(net: Net) {
    let (server, _probed, connection) = dialled(&net, Limits::default().with_lanes_on_any_path()).await;
    Here::on(&server);
    let mut lane = HandLane::open(&connection).await;
    lane.write(call(1, &loads("bursts"), 50 * MS, &[])).await;
    assert_eq!(lane.frame().await, Frame::Status(1, Code::Internal, true));
    until(|| server.in_flight() == 0).await;
    answers(&mut lane, 1).await;
}

async fn a_peer_that_gives_up_too_many_calls_is_cut_off(net: Net) {
    let limits = Limits::default()
        .with_lanes_on_any_path()
        .with_max_resets_per_second(1)
        .with_max_calls_per_connection(3);
    let (_server, _probed, connection) = dialled(&net, limits).await;
    let mut lane = HandLane::open(&connection).await;
    // Calls in the queue count as well.
    let mut frames: Vec<u8> = (0..6).flat_map(|id| call(id, &method("hold"), 0, &[id as u8])).collect();
    frames.extend((0..6).flat_map(cancel));
    lane.write(frames).await;
    let error = within(connection.closed()).await.to_string();
    assert!(error.contains("too many calls given up"), "{error}");
}
