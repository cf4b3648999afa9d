//! A name stands for a set of addresses, some of which may not answer.

use std::time::Duration;

use rpcnet::{Channel, ConnectError, dev::DevCa};
use rpcnet_cluster::Mode;
use rpcnet_tests::{
    Names, Net, ProbeClient, Relay, SilentAddr, Worker, any_port, cluster_channel, local, ready_workers,
    start_director, until, within,
};
use tokio::time::Instant;

/// Less than any timeout that an address without an answer could cost, and more than a busy machine takes.
const SOON: Duration = Duration::from_millis(2500);

#[tokio::test]
async fn a_channel_connects_to_the_address_that_answers() {
    let (net, names, silent) = (Net::quic(), Names::default(), [SilentAddr::bind(), SilentAddr::bind()]);
    let (server, _probed) = net.start_probed("there");
    names.set("service", [silent[0].addr(), silent[1].addr(), server.local_addr()]);
    let since = Instant::now();
    let channel = net.channel().with_resolver(names).connect("service:1").await.expect("one answers");
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert_eq!(ProbeClient::new(channel).echo("7".into()).await.expect("it answers"), "7");
}

#[tokio::test]
async fn a_server_that_refuses_is_no_reason_not_to_try_the_next() {
    let (net, names, foreign) = (Net::quic(), Names::default(), Net::quic());
    let (other, _) = foreign.start_probed("of another CA");
    let (server, _) = net.start_probed("there");
    names.set("service", [other.local_addr(), server.local_addr()]);
    let channel = net.channel().with_resolver(names).connect("service:1").await.expect("one lets us in");
    assert_eq!(ProbeClient::new(channel).echo("7".into()).await.expect("it answers"), "7");
}

#[tokio::test]
async fn the_error_tells_of_every_address() {
    let (net, names, silent, foreign) =
        (Net::quic(), Names::default(), SilentAddr::bind(), Net::quic().start_probed("of another CA"));
    let foreign = foreign.0.local_addr();
    names.set("service", [silent.addr(), foreign]);
    let channel = net.channel().with_resolver(names).with_connect_timeout(Duration::from_secs(1));
    let error = channel.connect("service:1").await.expect_err("none lets us in");
    assert!(
        matches!(&error, ConnectError::Unreachable { addresses: 2, failures, .. } if failures.len() == 2)
    );
    let text = error.to_string();
    for told in ["service:1".to_owned(), silent.addr().to_string(), foreign.to_string(), "certificate".into()]
    {
        assert!(text.contains(&told), "{text}");
    }
    assert!(error.is_certificate());
}

#[tokio::test]
async fn the_connect_timeout_covers_the_resolver() {
    let net = Net::quic();
    let since = Instant::now();
    // It knows no name, and never answers.
    let channel = net.channel().with_resolver(Names::default()).with_connect_timeout(Duration::from_secs(1));
    let error = channel.connect("service:1").await.expect_err("nothing resolves");
    assert!(matches!(error, ConnectError::Resolve { .. }), "{error}");
    let took = since.elapsed();
    assert!(took >= Duration::from_secs(1) && took < SOON, "{took:?}");
}

#[tokio::test]
async fn an_address_is_not_a_url() {
    let error = Net::quic().channel().connect("http://127.0.0.1:80").await.expect_err("a URL");
    assert!(matches!(error, ConnectError::Address(_)) && error.to_string().contains("leave out the scheme"));
}

#[tokio::test]
async fn directors_behind_one_name_are_all_asked() {
    let (net, names, silent) = (Net::quic(), Names::default(), SilentAddr::bind());
    let (director, _director) = start_director(&net, any_port(), &[]).await;
    let _worker = Worker::start(&net, "worker", &[director.addr()]).await;
    names.set("directors", [silent.addr(), director.addr()]);
    for mode in [Mode::Direct, Mode::Relay] {
        let since = Instant::now();
        let channel = cluster_channel(&net, &[])
            .with_directors(["directors:1"])
            .with_channel(net.channel().with_resolver(names.clone()))
            .with_mode(mode);
        let channel = within(channel.connect()).await.expect("one answers");
        assert!(since.elapsed() < SOON, "{mode:?}: {:?}", since.elapsed());
        assert_eq!(ProbeClient::new(channel).echo("7".into()).await.expect("there is a worker"), "7");
    }
}

#[tokio::test]
async fn a_silent_resolver_holds_up_no_other_director() {
    let (net, names) = (Net::quic(), Names::default());
    let (director, _director) = start_director(&net, any_port(), &[]).await;
    let known = director.addr().to_string();
    let since = Instant::now();
    for mode in [Mode::Direct, Mode::Relay] {
        let channel = cluster_channel(&net, &[])
            .with_directors(["unknown:1", &known])
            .with_channel(net.channel().with_resolver(names.clone()))
            .with_mode(mode);
        within(channel.connect()).await.expect("one is known");
    }
    assert!(since.elapsed() < 2 * SOON, "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_name_that_gains_a_dead_address_is_followed_all_the_same() {
    let (net, names, silent) = (Net::quic(), Names::default(), SilentAddr::bind());
    let (first, director) = start_director(&net, any_port(), &[]).await;
    let worker = Worker::start(&net, "before", &[first.addr()]).await;
    names.set("directors", [first.addr()]);
    let channel = cluster_channel(&net, &[])
        .with_directors(["directors:1"])
        .with_channel(net.channel().with_resolver(names.clone()));
    let channel = within(channel.connect()).await.expect("it answers");
    ready_workers(&channel, 1).await;

    let (second, _director) = start_director(&net, any_port(), &[first.addr()]).await;
    names.set("directors", [silent.addr(), second.addr()]);
    drop(director);
    first.kill().await;
    let after = Worker::start_at(&net, "after", any_port(), local(&[second.addr()])).await;
    worker.host.kill().await;
    let addr = after.host.addr();
    until(|| channel.endpoints().iter().any(|endpoint| endpoint.addr == addr && endpoint.ready)).await;
    assert_eq!(ProbeClient::new(channel).echo("7".into()).await.expect("the new worker answers"), "7");
}

#[tokio::test]
async fn directors_that_refuse_a_certificate_are_not_waited_for() {
    let net = Net::quic();
    let (director, _director) = start_director(&net, any_port(), &[]).await;
    let other = DevCa::generate().expect("a CA");
    let issued = other.issue("stranger").expect("a certificate");
    let Net::Quic(ca) = &net else { unreachable!("it is QUIC") };
    let stranger = Channel::builder()
        .with_ca_cert(ca.ca_pem())
        .and_then(|channel| channel.with_cert_and_key(issued.cert, issued.key))
        .expect("just issued");
    let since = Instant::now();
    let channel = cluster_channel(&net, &[director.addr()]).with_channel(stranger);
    let error = within(channel.connect()).await.expect_err("it is of another CA");
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    let text = error.to_string();
    assert!(text.contains("certificate") && text.contains(&director.addr().to_string()), "{text}");
}

#[tokio::test]
async fn a_flow_that_is_dead_for_good_is_left_for_another_local_port() {
    let net = Net::quic();
    let (server, _probed) = net.start_probed("there");
    let relay = Relay::start(server.local_addr()).await;
    let channel = net.channel().with_connect_timeout(Duration::from_millis(300));
    let channel = channel.connect(relay.addr().to_string()).await.expect("it answers");
    let probe = ProbeClient::new(channel);
    assert_eq!(probe.echo("7".into()).await.expect("it answers"), "7");
    // As a middlebox whose entry for this flow leads nowhere, and stays for as long as packets come.
    relay.cut_flows();
    let again = async { while probe.echo("7".into()).timeout(Duration::from_secs(1)).await.is_err() {} };
    within(again).await;
    assert!(relay.flows() >= 2, "from another port");
}
