//! Servers that do not keep to the rules, for those who call them. (Here the server calls back, on a connection that
//! was dialled by hand.)

use std::time::Duration;

use rpcnet::{
    Code, Limits, Server,
    transport::{Connection, RecvStream, SendStream},
};
use rpcnet_tests::{
    Net,
    by_hand::{Frame, HandLane, cancel, dial, hello, method_of, preface, reply, request, text, varint},
    on_lanes, within,
};
use tokio::time::Instant;

use super::loads::{Here, LoadsServer};

on_lanes!(
    a_deadline_does_not_depend_on_the_server,
    answers_to_nobody_are_dropped,
    when_its_lane_has_ended_calls_have_their_own_streams,
    when_the_server_takes_nothing_the_call_ends,
    a_deadline_holds_while_the_server_does_not_read,
    what_is_not_read_is_bounded,
    a_large_reply_comes_on_its_own_stream,
    a_large_reply_is_not_wanted_any_more,
);

/// Longer than any test.
const LONG: u32 = 60_000;

/// Lets the server call back with a text of this length and so much time.
fn ask(length: usize, millis: u32) -> Vec<u8> {
    let ask = method_of(&LoadsServer::new(Here::new().0), "ask");
    let length = length as u16;
    let mut body = [&[251][..], &length.to_le_bytes()].concat();
    body.extend(std::iter::repeat_n(b'x', length.into()));
    body.push(252);
    body.extend(millis.to_le_bytes());
    request(&ask, 0, &body)
}

/// The server's answer to the request.
struct Asked {
    _send: SendStream,
    recv: RecvStream,
}

async fn begin(connection: &Connection, length: usize, millis: u32) -> Asked {
    let (mut send, recv) = connection.open_bi().await.expect("it stands");
    send.write(ask(length, millis).into()).await.expect("it stands");
    send.finish();
    Asked { _send: send, recv }
}

impl Asked {
    async fn code(mut self) -> Code {
        let reply = within(self.recv.read_to_end(100_000)).await.expect("a reply");
        Code::from_u8(reply[2])
    }
}

/// A server, and a connection on which it may call.
async fn dialled(net: &Net) -> (Server, Connection, SendStream) {
    let server = net.start();
    Here::on(&server);
    let narrow = Limits::default().with_lanes_on_any_path().with_receive_window(64 << 10);
    let connection = dial(&server, net.channel().with_limits(narrow)).await;
    let control = hello(&connection).await;
    // It has been heard once something that came after it is answered.
    let fill = method_of(&LoadsServer::new(Here::new().0), "fill");
    let (mut send, mut recv) = connection.open_bi().await.expect("it stands");
    send.write(request(&fill, 0, &[1]).into()).await.expect("it stands");
    within(recv.read_to_end(100)).await.expect("a reply");
    (server, connection, control)
}

async fn next_call(lane: &mut HandLane) -> u64 {
    match lane.frame().await {
        Frame::Call(id, _) => id,
        other => panic!("{other:?}"),
    }
}

fn answer(id: u64, body: &[u8]) -> Vec<u8> {
    [vec![0], varint(id), reply(body)].concat()
}

/// Lets the server call, and answers it.
async fn goes_on(connection: &Connection, lane: &mut HandLane) {
    let asked = begin(connection, 1, LONG).await;
    let id = next_call(lane).await;
    lane.write(answer(id, &text("x"))).await;
    assert_eq!(asked.code().await, Code::Ok);
}

/// Lets the server call on a stream of its own, and answers it.
async fn goes_on_beside(connection: &Connection) {
    let asked = begin(connection, 1, LONG).await;
    let (mut send, mut recv) = within(connection.accept_bi()).await.expect("it stands");
    let request = within(recv.read_to_end(1000)).await.expect("a request");
    assert_eq!(request[1] & 128, 0, "no lane");
    send.write(reply(&text("x")).into()).await.expect("it stands");
    send.finish();
    assert_eq!(asked.code().await, Code::Ok);
}

async fn a_deadline_does_not_depend_on_the_server(net: Net) {
    let (_server, connection, _control) = dialled(&net).await;
    let asked = begin(&connection, 1, 50).await;
    let mut lane = HandLane::accept(&connection).await;
    let id = next_call(&mut lane).await;
    assert_eq!(asked.code().await, Code::DeadlineExceeded);
    assert_eq!(lane.frame().await, Frame::Cancel(id));
    // It answers all the same.
    lane.write(answer(id, &text("late"))).await;
    goes_on(&connection, &mut lane).await;
}

async fn answers_to_nobody_are_dropped(net: Net) {
    let (_server, connection, _control) = dialled(&net).await;
    let asked = begin(&connection, 1, LONG).await;
    let mut lane = HandLane::accept(&connection).await;
    let id = next_call(&mut lane).await;
    let nobody: Vec<u8> =
        [id + 1, id | 1 << 16, 1 << 61].iter().flat_map(|id| answer(*id, &text("to nobody"))).collect();
    lane.write(nobody).await;
    lane.write([cancel(id), answer(id, &text("x")), answer(id, &[])].concat()).await;
    assert_eq!(asked.code().await, Code::Ok, "the first counts");
    goes_on(&connection, &mut lane).await;
}

async fn when_its_lane_has_ended_calls_have_their_own_streams(net: Net) {
    let (_server, connection, _control) = dialled(&net).await;
    let asked = begin(&connection, 1, LONG).await;
    let mut lane = HandLane::accept(&connection).await;
    next_call(&mut lane).await;
    lane.write(vec![9, 9, 9]).await;
    assert_eq!(asked.code().await, Code::Internal);
    goes_on_beside(&connection).await;
    goes_on_beside(&connection).await;
    assert_eq!(connection.close_reason(), None);
}

async fn when_the_server_takes_nothing_the_call_ends(net: Net) {
    let (_server, connection, _control) = dialled(&net).await;
    let asked = begin(&connection, 1, LONG).await;
    let mut lane = HandLane::accept(&connection).await;
    next_call(&mut lane).await;
    lane.frames.recv.stop(1);
    // The server notices at its next write.
    let next = begin(&connection, 1, LONG).await;
    assert_eq!(asked.code().await, Code::Unavailable);
    drop(next);
    drop(lane);
}

async fn a_deadline_holds_while_the_server_does_not_read(net: Net) {
    let (_server, connection, _control) = dialled(&net).await;
    let mut patient = Vec::new();
    // More than either transport takes in.
    for _ in 0..60 {
        patient.push(begin(&connection, 10_000, LONG).await);
    }
    let _lane = HandLane::accept(&connection).await;
    let begun = Instant::now();
    let hasty = begin(&connection, 1, 100).await;
    assert_eq!(hasty.code().await, Code::DeadlineExceeded);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

async fn what_is_not_read_is_bounded(net: Net) {
    let (_server, connection, _control) = dialled(&net).await;
    begin(&connection, 1, 1).await.code().await;
    let _lane = HandLane::accept(&connection).await;
    // Each leaves 10 000 bytes that are never read. In the end they have streams of their own, which are bounded.
    let giving_up = async {
        loop {
            let mut asked = Vec::new();
            for _ in 0..16 {
                asked.push(begin(&connection, 10_000, 1).await);
            }
            for asked in asked {
                assert_eq!(asked.code().await, Code::DeadlineExceeded);
            }
        }
    };
    within(async {
        tokio::select! {
            () = giving_up => {}
            beside = connection.accept_bi() => {
                beside.expect("it stands");
            }
        }
    })
    .await;
}

async fn a_large_reply_comes_on_its_own_stream(net: Net) {
    let (_server, connection, _control) = dialled(&net).await;
    let asked = begin(&connection, 1, LONG).await;
    let mut lane = HandLane::accept(&connection).await;
    let id = next_call(&mut lane).await;
    let mut stray = connection.open_uni().await.expect("it stands");
    stray.write([preface(), varint(id + 1), reply(&[1; 40_000])].concat().into()).await.expect("it stands");
    stray.finish();
    let mut large = connection.open_uni().await.expect("it stands");
    let body = [&[251, 0x20, 0x4e], "x".repeat(20_000).as_bytes()].concat();
    large.write([preface(), varint(id), reply(&body)].concat().into()).await.expect("it stands");
    large.finish();
    assert_eq!(asked.code().await, Code::Ok);
    // This method's replies are too large for lanes, it seems.
    goes_on_beside(&connection).await;
}

async fn a_large_reply_is_not_wanted_any_more(net: Net) {
    let (_server, connection, _control) = dialled(&net).await;
    let asked = begin(&connection, 1, 200).await;
    let mut lane = HandLane::accept(&connection).await;
    let id = next_call(&mut lane).await;
    let mut large = connection.open_uni().await.expect("it stands");
    large
        .write([preface(), varint(id), reply(&[1; 20_000])].concat()[..10_000].to_vec().into())
        .await
        .expect("read");
    assert_eq!(asked.code().await, Code::DeadlineExceeded);
    assert_eq!(lane.frame().await, Frame::Cancel(id));
    // It begins after its caller has gone.
    let mut late = connection.open_uni().await.expect("it stands");
    late.write([preface(), varint(id), reply(&[1; 20_000])].concat()[..1000].to_vec().into())
        .await
        .expect("read");
    assert!(matches!(within(late.stopped()).await, Ok(Some(_))), "it wants none of it");
    drop(large);
    goes_on_beside(&connection).await;
}
