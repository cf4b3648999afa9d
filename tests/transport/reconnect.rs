//! Connections that are lost without a word, and come back.

use std::time::Duration;

use rpcnet::{Backoff, Channel, Code, Limits, Server, ServerConfigBuilder, ServerError};
use rpcnet_tests::{Event, Net, ProbeClient, ProbeServer, ProbeService, Probed, Relay, run, within};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
const SILENCE: Duration = Duration::from_millis(600);

/// A channel that notices a dead peer soon.
async fn impatient(net: &Net, relay: &Relay) -> Channel {
    let channel = net
        .channel()
        .with_limits(Limits::default().with_silence(SILENCE))
        .with_connect_timeout(300 * MS)
        .with_backoff(Backoff::new(50 * MS, 200 * MS))
        .connect(relay.addr().to_string());
    within(channel).await.expect("it listens")
}

/// Calls until one is answered; no other may have run.
async fn until_answered(client: &ProbeClient) -> String {
    within(async {
        loop {
            match client.server_name().await {
                Ok(name) => return name,
                Err(error) => {
                    assert_eq!(error.code(), Code::Unavailable, "{error}");
                    assert!(!error.maybe_executed(), "{error}");
                }
            }
            tokio::time::sleep(10 * MS).await;
        }
    })
    .await
}

fn start_at(config: ServerConfigBuilder, name: &str) -> Result<(Server, Probed), ServerError> {
    let server = Server::new(config.build().expect("complete"))?;
    let (service, probed) = ProbeService::new(name);
    server.register(ProbeServer::new(service)).expect("the first of its name");
    Ok((server, probed))
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_dead_and_found_again() {
    let net = Net::quic();
    let (server, mut probed) = net.start_probed("server");
    let relay = Relay::start(server.local_addr()).await;
    let channel = impatient(&net, &relay).await;
    let client = ProbeClient::new(channel.clone());
    let held = tokio::spawn(client.hold(1));
    assert_eq!(probed.event().await, Event::Started(1));

    relay.cut();
    let started = Instant::now();
    let error = within(held).await.expect("no panic").expect_err("its peer is silent");
    let took = started.elapsed();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.maybe_executed());
    assert!(error.to_string().contains("silent"), "it says why: {error}");
    assert!(took >= SILENCE / 2 && took < Duration::from_secs(20), "{took:?}");

    // While nothing gets through, calls fail soon and are known not to have run.
    let dials = relay.dials();
    while relay.dials() < dials + 2 {
        let started = Instant::now();
        let error = within(client.once(2)).await.expect_err("nobody answers");
        let took = started.elapsed();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(!error.maybe_executed(), "{error}");
        assert!(took < Duration::from_secs(10), "an attempt takes 300 ms, this took {took:?}");
        tokio::task::yield_now().await;
    }
    assert!(!channel.is_connected());
    relay.heal();
    assert_eq!(until_answered(&client).await, "server");
    assert!(!probed.executions().contains_key(&2));
}

#[tokio::test]
async fn a_call_that_crosses_a_short_cut_is_answered() {
    let net = Net::quic();
    let (server, mut probed) = net.start_probed("server");
    let relay = Relay::start(server.local_addr()).await;
    let channel = within(net.channel().connect(relay.addr().to_string())).await.expect("it listens");
    let client = ProbeClient::new(channel);
    let held = tokio::spawn(client.hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    relay.cut();
    probed.open_gate();
    assert_eq!(probed.event().await, Event::Finished(1));
    // Longer than a peer is trusted with new calls, shorter than it takes to be dead.
    tokio::time::sleep(500 * MS).await;
    relay.heal();
    assert_eq!(within(held).await.expect("no panic").expect("the reply is sent again"), "server");
    assert_eq!(relay.dials(), 1, "it was the same connection");
}

#[tokio::test]
async fn a_server_that_died_without_a_word_is_found_when_it_is_back() {
    let net = Net::quic();
    let (server, mut probed) = start_at(net.server(), "first").expect("a free port");
    let running = run(&server);
    let relay = Relay::start(server.local_addr()).await;
    let client = ProbeClient::new(impatient(&net, &relay).await);
    let held = tokio::spawn(client.hold(1));
    assert_eq!(probed.event().await, Event::Started(1));

    // Its goodbye is lost, as that of a process that was killed is.
    relay.cut();
    running.abort();
    drop(server);
    let (successor, _probed) = net.start_probed("second");
    relay.retarget(successor.local_addr());
    relay.heal();
    let error = within(held).await.expect("no panic").expect_err("its server is dead");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.maybe_executed());
    assert_eq!(until_answered(&client).await, "second");
}

#[tokio::test]
async fn a_server_on_the_same_port_is_found_again_and_again() {
    let net = Net::quic();
    let (mut server, _probed) = start_at(net.server(), "0").expect("a free port");
    let address = server.local_addr();
    let mut running = run(&server);
    let channel = net.channel().with_backoff(Backoff::new(20 * MS, 100 * MS)).connect(address.to_string());
    let client = ProbeClient::new(within(channel).await.expect("it listens"));
    for generation in 1..=5 {
        running.abort();
        drop(server);
        let name = generation.to_string();
        server = within(async {
            loop {
                match start_at(net.server().with_bind_addr(address), &name) {
                    Ok((server, _probed)) => break server,
                    // The socket is closed in a task of its own.
                    Err(ServerError::Bind { .. }) => tokio::time::sleep(10 * MS).await,
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await;
        running = run(&server);
        let found = within(async {
            loop {
                match client.server_name().await {
                    Ok(name) => break name,
                    Err(error) => assert_eq!(error.code(), Code::Unavailable, "{error}"),
                }
                tokio::time::sleep(10 * MS).await;
            }
        });
        assert_eq!(found.await, name);
    }
}

#[tokio::test]
async fn pauses_between_dials_grow() {
    let net = Net::quic();
    let server = net.start();
    server.stop_accepting().await;
    // It answers each dial, and sends each away at once.
    let relay = Relay::start(server.local_addr()).await;
    let channel = net.channel().with_backoff(Backoff::new(100 * MS, 800 * MS));
    let channel = channel.connect_lazy(relay.addr().to_string()).expect("an address");
    let client = ProbeClient::new(channel);
    let started = Instant::now();
    // Calls do not make it dial more often.
    while relay.dials() < 6 {
        let error = within(client.once(1)).await.expect_err("it takes nothing");
        assert!(!error.maybe_executed());
        tokio::time::sleep(5 * MS).await;
    }
    // Five pauses, each at least half of 100, 200, 400, 800 and 800 ms.
    let took = started.elapsed();
    assert!(took >= 1150 * MS, "{took:?}");
}

#[tokio::test]
async fn a_dead_address_is_dialled_no_more_once_the_channel_is_dropped() {
    let net = Net::quic();
    let (server, _probed) = net.start_probed("server");
    let relay = Relay::start(server.local_addr()).await;
    relay.cut();
    let channel = net
        .channel()
        .with_connect_timeout(100 * MS)
        .with_backoff(Backoff::new(20 * MS, 20 * MS))
        .connect_lazy(relay.addr().to_string())
        .expect("an address");
    within(async {
        while relay.dials() < 3 {
            tokio::time::sleep(5 * MS).await;
        }
    })
    .await;
    drop(channel);
    // Packets that are under way may still arrive.
    tokio::time::sleep(200 * MS).await;
    let dials = relay.dials();
    tokio::time::sleep(600 * MS).await;
    assert_eq!(relay.dials(), dials);
}

#[tokio::test(start_paused = true)]
async fn in_memory_a_server_at_the_same_address_is_found_again() {
    let net = Net::memory();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 7000));
    let (mut server, _probed) = start_at(net.server().with_bind_addr(address), "0").expect("free");
    let mut running = run(&server);
    let client = ProbeClient::new(net.connect(&server).await);
    for generation in 1..=20 {
        running.abort();
        let _ = running.await;
        drop(server);
        let name = generation.to_string();
        let started = start_at(net.server().with_bind_addr(address), &name);
        server = started.expect("the address is free again").0;
        running = run(&server);
        let found = within(async {
            loop {
                match client.server_name().await {
                    Ok(name) => break name,
                    Err(error) => assert_eq!(error.code(), Code::Unavailable, "{error}"),
                }
                tokio::time::sleep(10 * MS).await;
            }
        });
        assert_eq!(found.await, name);
    }
}
