//! Handlers that block their thread are named in the log.

use std::time::Duration;

use rpcnet::{rpc_impl, rpc_trait};
use rpcnet_tests::{Logs, Net, within};

#[rpc_trait(name = "test.v1.Blocking")]
trait Blocking {
    async fn block(&self) -> rpcnet::Result<()>;
    async fn wait(&self) -> rpcnet::Result<()>;
}

struct Service;

const LONG: Duration = Duration::from_millis(150);

#[rpc_impl]
impl Blocking for Service {
    async fn block(&self) -> rpcnet::Result<()> {
        #[expect(clippy::disallowed_methods, reason = "what it is about")]
        std::thread::sleep(LONG);
        Ok(())
    }

    async fn wait(&self) -> rpcnet::Result<()> {
        tokio::time::sleep(LONG).await;
        Ok(())
    }
}

#[tokio::test]
async fn a_handler_that_blocks_is_named_once_a_minute() {
    let logs = Logs::start();
    let net = Net::quic();
    let server = net.start();
    server.register(BlockingServer::new(Service)).expect("the first");
    let client = BlockingClient::new(net.connect(&server).await);
    for _ in 0..4 {
        within(client.wait()).await.expect("it is answered");
        within(client.block()).await.expect("it is answered");
    }
    let lines = logs.lines(&["a handler blocked its thread"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    for said in ["WARN", "method=test.v1.Blocking/block", "times=1", "spawn_blocking"] {
        assert!(lines[0].contains(said), "{}", lines[0]);
    }
}
