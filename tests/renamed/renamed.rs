//! Services in a crate that knows rpcnet by another name, `wire` (see its Cargo.toml).
//!
//! The first service names the dependency, the second a module that re-exports it.

use std::error::Error;

use serde::{Deserialize, Serialize};
use wire::{
    CallError, Channel, Context, Server, ServerConfig, Streaming, rpc_impl, rpc_trait, testing::Network,
};

mod inner {
    pub(crate) use wire as rpc;
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Refused;

/// Methods of every kind and with every option, so that the macro writes all it can write.
#[rpc_trait(crate = "wire")]
trait Every {
    #[rpc(idempotent, hedge = "20ms", key = text, timeout = "2s", max_message = "1MiB", priority = 1)]
    async fn count(&self, text: String) -> Result<u64, Refused>;

    #[rpc(idempotent, hedge)]
    async fn whoami(&self, cx: &Context) -> wire::Result<String>;

    #[rpc(resumable, item_timeout = "1s")]
    async fn tail(&self, from: u64) -> wire::Result<Streaming<u64>>;

    async fn load(&self, book: String, lines: Streaming<String>) -> wire::Result<u64>;

    async fn chat(&self, said: Streaming<String>) -> wire::Result<Streaming<String>> {
        Ok(said)
    }
}

#[rpc_trait(crate = "crate::inner::rpc", name = "inner.v1.Echo")]
trait Echo {
    async fn echo(&self, text: String) -> wire::Result<String>;
}

struct Worker;

#[rpc_impl(crate = "wire")]
impl Every for Worker {
    async fn count(&self, text: String) -> Result<u64, Refused> {
        if text.is_empty() { Err(Refused) } else { Ok(text.split_whitespace().count() as u64) }
    }

    async fn whoami(&self, cx: &Context) -> wire::Result<String> {
        Ok(cx.method().name().to_owned())
    }

    async fn tail(&self, from: u64) -> wire::Result<Streaming<u64>> {
        Ok(Streaming::iter(from..from + 3))
    }

    async fn load(&self, book: String, lines: Streaming<String>) -> wire::Result<u64> {
        Ok((book.len() + lines.collect().await?.len()) as u64)
    }
}

#[rpc_impl(crate = "crate::inner::rpc")]
impl Echo for Worker {
    async fn echo(&self, text: String) -> wire::Result<String> {
        Ok(text)
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_each_kind() -> Result<(), Box<dyn Error>> {
    let network = Network::new();
    let config = ServerConfig::builder().with_network(&network).with_bind_addr("10.0.0.1:8080".parse()?);
    let server = Server::new(config.build()?)?;
    server.register(EveryServer::new(Worker))?;
    server.register(EchoServer::new(Worker))?;
    tokio::spawn(async move { server.run().await });
    let channel = Channel::builder().with_network(&network).connect("10.0.0.1:8080").await?;

    let client = EveryClient::new(channel.clone());
    assert!(matches!(client.count("to be or not".into()).await, Ok(4)));
    assert!(matches!(client.count(String::new()).await, Err(CallError::Application(Refused))));
    assert_eq!(client.whoami().await?, "whoami");
    assert_eq!(client.tail(7).await?.collect().await?, [7, 8, 9]);
    assert_eq!(client.load("Hamlet".into(), Streaming::iter(["to be".to_owned()])).await?, 7);
    let said = Streaming::iter(["one".to_owned(), "two".to_owned()]);
    assert_eq!(client.chat(said).await?.collect().await?, ["one", "two"]);
    assert_eq!(EchoClient::new(channel).echo("hello".into()).await?, "hello");
    Ok(())
}
