//! Tests of a service, without sockets and without waiting. Run them with `cargo test --test testing`.

use std::{net::IpAddr, time::Duration};

use rpcnet::{Channel, Code, Server, ServerConfig, rpc_impl, rpc_trait, testing::Network};
use tokio::time::Instant;

#[rpc_trait(name = "greet.v1.Greeter")]
trait Greeter {
    #[rpc(idempotent, timeout = "1s")]
    async fn greet(&self, name: String) -> rpcnet::Result<String>;
}

struct English;

#[rpc_impl]
impl Greeter for English {
    async fn greet(&self, name: String) -> rpcnet::Result<String> {
        Ok(format!("hello, {name}"))
    }
}

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// A handler is an `async fn`. Most tests need no more.
#[tokio::test]
async fn a_handler() -> TestResult {
    assert_eq!(English.greet("Ada".into()).await?, "hello, Ada");
    Ok(())
}

/// A network in memory, on which a packet takes 10 to 30 ms and the path to the server can be cut.
///
/// With tokio's paused clock, time jumps ahead when every task waits: this test runs in milliseconds, and its times are
/// exact.
#[tokio::test(start_paused = true)]
async fn a_cut_ends_in_a_deadline() -> TestResult {
    let network = Network::with_seed(7);
    network.set_latency(Duration::from_millis(10)..Duration::from_millis(30));

    let config = ServerConfig::builder().with_network(&network).with_bind_addr("10.0.0.1:8080".parse()?);
    let server = Server::new(config.build()?)?;
    server.register(GreeterServer::new(English))?;
    let running = server.clone();
    tokio::spawn(async move { running.run().await });

    let here = IpAddr::from([10, 0, 0, 2]);
    let channel = Channel::builder().with_network(&network.host(here)).connect("10.0.0.1:8080").await?;
    let greeter = GreeterClient::new(channel);
    assert_eq!(greeter.greet("Ada".into()).await?, "hello, Ada");

    network.between(here, server.local_addr()).cut();
    let started = Instant::now();
    let error = greeter.greet("Ada".into()).await.expect_err("nothing gets through");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(started.elapsed(), Duration::from_secs(1));

    network.heal_all();
    while greeter.greet("Ada".into()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
