//! Unary calls, over QUIC and in memory alike.

use std::time::Duration;

use rpcnet::{CallError, Code, Context, rpc_impl, rpc_trait};
use rpcnet_tests::Net;
use serde::{Deserialize, Serialize};

#[rpc_trait(name = "test.v1.Echo")]
trait Echo {
    #[rpc(idempotent)]
    async fn echo(&self, text: String) -> Result<String, EchoError>;
    async fn peer(&self, cx: &Context) -> rpcnet::Result<String>;
    async fn sleep(&self, millis: u64) -> rpcnet::Result<()>;
    async fn panics(&self) -> rpcnet::Result<()>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum EchoError {
    TooLong { max: usize },
}

struct Service;

#[rpc_impl]
impl Echo for Service {
    async fn echo(&self, text: String) -> Result<String, EchoError> {
        if text.len() > 1_000_000 { Err(EchoError::TooLong { max: 1_000_000 }) } else { Ok(text) }
    }

    async fn peer(&self, cx: &Context) -> rpcnet::Result<String> {
        Ok(format!("{} {:?}", cx.peer().name(), cx.metadata().get("x-tenant")))
    }

    async fn sleep(&self, millis: u64) -> rpcnet::Result<()> {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Ok(())
    }

    async fn panics(&self) -> rpcnet::Result<()> {
        panic!("on purpose")
    }
}

async fn suite(net: Net) {
    let server = net.start();
    server.register(EchoServer::new(Service)).expect("first");
    let client = EchoClient::new(net.connect(&server).await);

    assert_eq!(client.echo("hi".into()).await.expect("answered"), "hi");
    let long = "x".repeat(900_000);
    assert_eq!(client.echo(long.clone()).await.expect("answered"), long);
    match client.echo("x".repeat(1_000_001)).await {
        Err(CallError::Application(EchoError::TooLong { max })) => assert_eq!(max, 1_000_000),
        other => panic!("{other:?}"),
    }
    let error = client.sleep(60_000).timeout(Duration::from_millis(50)).await.expect_err("too slow");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    let error = client.panics().await.expect_err("it panicked");
    assert_eq!(error.code(), Code::Internal);
    let peer = client.peer().metadata("x-tenant", "a").await.expect("answered");
    assert!(peer.ends_with("Some(\"a\")"), "{peer}");
    server.shutdown().await.expect("no reason to fail");
}

#[tokio::test]
async fn over_quic() {
    suite(Net::quic()).await;
}

#[tokio::test(start_paused = true)]
async fn in_memory() {
    suite(Net::memory()).await;
}
