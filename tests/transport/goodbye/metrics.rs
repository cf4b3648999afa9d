//! The metrics about clients that leave.

use rpcnet::Server;
use rpcnet_tests::{
    Event, Net, ProbeClient, Worker, any_port,
    by_hand::{dial, hello, method, request},
    cluster_channel, over_both, start_director, until, within,
};

/// The sum of all series of this name whose labels include this text.
pub(crate) fn sum(server: &Server, name: &str, labels: &str) -> f64 {
    let rendered = server.metrics().render();
    let series = rendered.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
    let of_it =
        series.filter(|(shown, _)| (shown.is_empty() || shown.starts_with('{')) && shown.contains(labels));
    of_it.map(|(_, value)| value.parse::<f64>().expect("a number")).sum()
}

fn errors(server: &Server) -> f64 {
    sum(server, "rpc_errors_total", "")
}

over_both!(
    a_client_that_leaves_a_call_behind_is_no_error,
    a_call_that_is_given_up_is_an_error,
    a_client_that_breaks_off_is_an_error,
);

async fn a_client_that_leaves_a_call_behind_is_no_error(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    for id in 1..=2 {
        let channel = net.connect(&server).await;
        let held = tokio::spawn(ProbeClient::new(channel.clone()).hold(id).into_future());
        assert_eq!(probed.event().await, Event::Started(id));
        within(channel.close()).await;
        assert_eq!(probed.event().await, Event::Dropped(id));
        within(held).await.expect("no panic").expect_err("its connection is closed");
    }
    until(|| server.in_flight() == 0).await;
    let rendered = server.metrics().render();
    assert!((sum(&server, "rpc_abandoned_total", "") - 2.0).abs() < 0.1, "{rendered}");
    assert!(errors(&server) < 0.1, "{rendered}");
    // It was a call, and took its time.
    let hold = "test.v1.Probe/hold";
    assert!((sum(&server, "rpc_requests_total", hold) - 2.0).abs() < 0.1);
    assert!((sum(&server, "rpc_latency_seconds_count", hold) - 2.0).abs() < 0.1);
}

async fn a_call_that_is_given_up_is_an_error(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let channel = net.connect(&server).await;
    let held = tokio::spawn(ProbeClient::new(channel.clone()).hold(1).into_future());
    assert_eq!(probed.event().await, Event::Started(1));
    held.abort();
    assert_eq!(probed.event().await, Event::Dropped(1));
    until(|| server.in_flight() == 0).await;
    within(channel.close()).await;
    assert!((sum(&server, "rpc_errors_total", "cancelled") - 1.0).abs() < 0.1);
    assert!(sum(&server, "rpc_abandoned_total", "") < 0.1);
}

async fn a_client_that_breaks_off_is_an_error(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let connection = dial(&server, net.channel()).await;
    let _control = hello(&connection).await;
    let (mut send, _recv) = within(connection.open_bi()).await.expect("it stands");
    send.write(request(&method("hold"), 0, &[1]).into()).await.expect("it stands");
    send.finish();
    assert_eq!(probed.event().await, Event::Started(1));
    connection.close(1, "not in good order");
    assert_eq!(probed.event().await, Event::Dropped(1));
    until(|| server.in_flight() == 0).await;
    assert!((sum(&server, "rpc_errors_total", "cancelled") - 1.0).abs() < 0.1);
    assert!(sum(&server, "rpc_abandoned_total", "") < 0.1);
}

#[tokio::test]
async fn ten_clients_that_end_normally_leave_no_error() {
    let net = Net::quic();
    let (host, _director) = start_director(&net, any_port(), &[]).await;
    let worker = Worker::start(&net, "worker", &[host.addr()]).await;
    let servers = [&host.server, &worker.host.server];
    for client in 0..10 {
        let closes = client % 2 == 0;
        if client < 5 {
            let channel = net.connect(&worker.host.server).await;
            ProbeClient::new(channel.clone()).server_name().await.expect("it answers");
            if closes {
                within(channel.close()).await;
            }
        } else {
            let connecting = cluster_channel(&net, &[host.addr()]).connect();
            let channel = within(connecting).await.expect("the director answers");
            within(ProbeClient::new(channel.clone()).server_name()).await.expect("it answers");
            if closes {
                within(channel.close()).await;
            }
        }
    }
    let watch = "rpcnet.Directory/watch";
    assert!(sum(&host.server, "rpc_internal_requests_total", watch) >= 5.0);
    // Nobody watches any more, so what they did has been counted.
    until(|| sum(&host.server, "rpc_internal_in_flight", "") < 0.1).await;
    for server in servers {
        assert!(errors(server) < 0.1, "{}", server.metrics().render());
        assert!(sum(server, "rpc_abandoned_total", "") < 0.1, "{}", server.metrics().render());
        for name in ["rpc_requests_total", "rpc_latency_seconds_count"] {
            assert!(sum(server, name, "rpcnet.") < 0.1, "{}", server.metrics().render());
        }
    }
    assert!((sum(&worker.host.server, "rpc_requests_total", "test.v1.Probe") - 10.0).abs() < 0.1);
}
