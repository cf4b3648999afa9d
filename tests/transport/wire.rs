//! Peers that break the protocol: bytes written by hand on a connection for calls.

use std::time::Duration;

use rpcnet::{
    Code, Server,
    transport::{Connection, DialOptions, ReadError, RecvStream},
};
use rpcnet_tests::{
    Event, Net, ProbeClient, Probed,
    by_hand::{PROTOCOL, dial, header, method},
    over_both, within,
};

/// A server, and a bare connection to it.
async fn dialled(net: &Net) -> (Server, Probed, Connection) {
    let (server, probed) = net.start_probed_with("server", {
        net.server().with_limits(rpcnet::Limits::default().with_max_message(1000))
    });
    let connection = dial(&server, net.channel()).await;
    (server, probed, connection)
}

/// The code of a reply that is a status, whether its handler was started, and its text.
async fn status(mut reply: RecvStream) -> (Code, bool, String) {
    let bytes = within(reply.read_to_end(10_000)).await.expect("a reply");
    assert_eq!(bytes[0] >> 4, 1, "the version");
    let not_executed = bytes[1] & 2 != 0;
    (Code::from_u8(bytes[2]), !not_executed, String::from_utf8_lossy(&bytes[3..]).into_owned())
}

over_both!(
    the_server_ends_a_call_at_its_deadline_by_itself,
    a_request_over_the_servers_limit_is_refused_by_the_server,
    garbage_harms_its_own_stream_alone,
    a_request_that_breaks_off_never_runs,
    a_broken_control_stream_ends_the_connection,
    an_unknown_protocol_is_refused,
);

async fn the_server_ends_a_call_at_its_deadline_by_itself(net: Net) {
    let (_server, mut probed, connection) = dialled(&net).await;
    let (mut send, recv) = connection.open_bi().await.expect("it stands");
    let mut request = header(&method("hold"), 200_000, 1);
    request.push(7);
    send.write(request.into()).await.expect("it stands");
    assert_eq!(probed.event().await, Event::Started(7));
    let (code, executed, text) = status(recv).await;
    assert_eq!((code, executed), (Code::DeadlineExceeded, true), "{text}");
    assert_eq!(probed.event().await, Event::Dropped(7));
}

async fn a_request_over_the_servers_limit_is_refused_by_the_server(net: Net) {
    let (_server, mut probed, connection) = dialled(&net).await;
    // No hello was waited for, and no body is ever sent: the announced length is enough.
    let (mut send, recv) = connection.open_bi().await.expect("it stands");
    send.write(header(&method("once"), 0, 1001).into()).await.expect("it stands");
    let (code, executed, text) = status(recv).await;
    assert_eq!((code, executed), (Code::ResourceExhausted, false), "{text}");
    assert!(text.contains("test.v1.Probe/once has 1001 bytes, the server's limit is 1000"), "{text}");
    assert_eq!(within(send.stopped()).await, Ok(Some(3)), "it wants none of it");
    assert_eq!(probed.try_event(), None);
}

async fn garbage_harms_its_own_stream_alone(net: Net) {
    let (server, mut probed, connection) = dialled(&net).await;
    let mut endless_metadata = header(&method("once"), 0, 1);
    endless_metadata[1] = 1;
    endless_metadata.truncate(22);
    endless_metadata.extend([0xff; 8]);
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x20; 40], &endless_metadata, &[]] {
        let (mut send, mut recv) = connection.open_bi().await.expect("it stands");
        send.write(garbage.to_vec().into()).await.expect("it stands");
        send.finish();
        let read = within(recv.read_chunk(100)).await;
        assert_eq!(read, Err(ReadError::Reset(PROTOCOL)), "{garbage:?}");
    }
    // Arguments that are none.
    let (mut send, recv) = connection.open_bi().await.expect("it stands");
    let mut request = header(&method("echo"), 0, 3);
    request.extend([200, 1, 2]);
    send.write(request.into()).await.expect("it stands");
    let (code, executed, text) = status(recv).await;
    assert_eq!((code, executed), (Code::InvalidArgument, false), "{text}");

    assert_eq!(connection.close_reason(), None, "the connection is unharmed");
    let (mut send, mut recv) = connection.open_bi().await.expect("it stands");
    let mut request = header(&method("once"), 0, 1);
    request.push(5);
    send.write(request.into()).await.expect("it stands");
    let reply = within(recv.read_to_end(100)).await.expect("a reply");
    assert_eq!(reply[..3], [0x10, 0, 0]);
    assert_eq!(probed.event().await, Event::Started(5));
    assert_eq!(server.in_flight(), 0);
}

async fn a_request_that_breaks_off_never_runs(net: Net) {
    let (server, mut probed, connection) = dialled(&net).await;
    let whole = [&header(&method("once"), 0, 3)[..], &[250, 1, 0]].concat();
    for length in 1..whole.len() {
        // Reset half-way.
        let (mut send, _recv) = connection.open_bi().await.expect("it stands");
        send.write(whole[..length].to_vec().into()).await.expect("it stands");
        drop(send);
        // Finished half-way: the cut looks like an end.
        let (mut send, mut recv) = connection.open_bi().await.expect("it stands");
        send.write(whole[..length].to_vec().into()).await.expect("it stands");
        send.finish();
        assert!(matches!(within(recv.read_chunk(100)).await, Err(ReadError::Reset(_))), "cut at {length}");
    }
    let client = ProbeClient::new(net.connect(&server).await);
    client.once(9).await.expect("answered");
    assert_eq!(probed.event().await, Event::Started(9), "none before ran");
}

async fn a_broken_control_stream_ends_the_connection(net: Net) {
    let (server, _probed, connection) = dialled(&net).await;
    let mut control = connection.open_uni().await.expect("it stands");
    // A frame that claims to be longer than any may be.
    control.write(vec![0, 0xbf, 0xff, 0xff, 0xff].into()).await.expect("it stands");
    let error = within(connection.closed()).await;
    assert!(error.to_string().contains("control stream"), "{error}");
    let client = ProbeClient::new(net.connect(&server).await);
    assert_eq!(client.server_name().await.expect("others are unharmed"), "server");
}

async fn an_unknown_protocol_is_refused(net: Net) {
    let server = net.start();
    let dialler = net.channel().connector().expect("complete");
    let address = server.local_addr().to_string();
    let options = DialOptions::default();
    let dialled = dialler.dial(&address, b"other/7", &options);
    let error = tokio::time::timeout(Duration::from_secs(5), dialled).await.expect("at once");
    let error = error.expect_err("nobody speaks it").to_string();
    assert!(error.contains("does not speak this protocol"), "{error}");
}
