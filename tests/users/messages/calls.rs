//! Services that can't be registered, and calls that fail.

use std::{num::NonZero, time::Duration};

use rpcnet::{CallError, Limits, RegisterError, Server, ServerConfig, rpc_impl, rpc_trait};
use rpcnet_tests::{Net, ProbeClient, ProbeServer, ProbeService, within};
use serde::{Deserialize, Serialize};

use super::table::Table;

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Price {
    Whole(u64),
    Text(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    lines: Vec<Price>,
}

#[rpc_trait(name = "shop.v1.Orders")]
trait Orders {
    async fn put(&self, order: Order) -> rpcnet::Result<u64>;
}

struct Shop;

#[rpc_impl]
impl Orders for Shop {
    async fn put(&self, order: Order) -> rpcnet::Result<u64> {
        Ok(order.lines.len() as u64)
    }
}

/// The probe as another version has it.
mod other {
    use rpcnet::rpc_trait;

    #[rpc_trait(name = "test.v1.Probe")]
    pub(crate) trait Probe {
        async fn once(&self, id: String) -> rpcnet::Result<String>;
        async fn twice(&self, id: u64) -> rpcnet::Result<String>;
    }
}

fn probe() -> ProbeServer<ProbeService> {
    ProbeServer::new(ProbeService::new("server").0)
}

fn is_type(error: &RegisterError) -> bool {
    matches!(error, RegisterError::Type { .. })
}

pub(crate) fn registration(table: &mut Table) {
    table.section("Services");
    let net = Net::memory();
    let server = Server::new(net.server().build().expect("complete")).expect("a free port");
    server.register(probe()).expect("the first");
    let error = server.register(probe()).expect_err("the second");
    table.row("a service twice", &error, ["registered already", "test.v1.Probe", "another name"]);
    let error = server.register(OrdersServer::new(Shop)).expect_err("an untagged enum");
    assert!(is_type(&error), "{error:?}");
    table.row(
        "a type that can't be encoded",
        &error,
        ["can't be served", "shop.v1.Orders/put", "use a plain struct"],
    );
}

async fn failed<T: std::fmt::Debug>(call: impl IntoFuture<Output = Result<T, CallError>>) -> CallError {
    within(call.into_future()).await.expect_err("a mistake")
}

pub(crate) async fn calls(table: &mut Table) {
    table.section("Calls");
    let net = Net::memory();
    let server = net.start();
    let client = ProbeClient::new(net.connect(&server).await);
    let error = failed(client.once(1)).await;
    table.status(
        "a service that is not served",
        &error,
        ["test.v1.Probe/once", "rpcnet.Health", "register its service"],
    );
    server.register(probe()).expect("the first");
    let theirs = other::ProbeClient::new(client.caller().clone());
    let error = failed(theirs.twice(1)).await;
    table.status(
        "a method that is not served",
        &error,
        ["test.v1.Probe/twice", "the services are", "register its service"],
    );
    let error = failed(theirs.once("1".into())).await;
    table.status("a method with other types", &error, ["test.v1.Probe/once", "its types", "add a method"]);
    let small = Limits::default().with_max_message(1024);
    let channel = net.channel().with_limits(small).connect(net.address(&server)).await.expect("it listens");
    let error = failed(ProbeClient::new(channel).echo("x".repeat(2000))).await;
    table.status(
        "a request over the client's limit",
        &error,
        ["has 2003 bytes", "1024", "raise max_message"],
    );
    let frugal = net.start_with(net.server().with_limits(small));
    frugal.register(probe()).expect("the first");
    let error = failed(ProbeClient::new(net.connect(&frugal).await).echo("x".repeat(2000))).await;
    table.status("a request over the server's limit", &error, ["bytes", "1024", "limit"]);
    let error = failed(client.hold(1).timeout(Duration::from_millis(20))).await;
    table.status(
        "a call that takes longer than its deadline",
        &error,
        ["test.v1.Probe/hold", "no answer came in time", "timeout"],
    );
    let error = failed(client.once(1).metadata("Tenant", "a")).await;
    table.status("metadata with a capital in its name", &error, ["is no metadata name", "Tenant", "use a-z"]);
    client.caller().close().await;
    let error = failed(client.once(1)).await;
    table.status(
        "a call on a closed channel",
        &error,
        ["has been closed", "the channel", "connect another one"],
    );
    let full = ServerConfig::builder().with_max_connections_per_peer(1);
    let full = match &net {
        Net::Memory(network) => net.start_with(full.with_network(network)),
        _ => unreachable!("it is in memory"),
    };
    let one = NonZero::new(1).expect("not zero");
    let _first =
        net.channel().with_max_connections(one).connect(net.address(&full)).await.expect("the first");
    let error = net.channel().connect(net.address(&full)).await.expect_err("the second");
    table.row(
        "more connections than a server takes of one",
        &error,
        ["takes no further connection", "127.0.0.1", "with_max_connections"],
    );
}
