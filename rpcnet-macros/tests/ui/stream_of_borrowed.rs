use rpcnet::{Streaming, rpc_trait};

#[rpc_trait]
pub trait WordCount {
    async fn load(&self, lines: Streaming<&'static str>) -> rpcnet::Result<u64>;
    async fn tail(&self) -> rpcnet::Result<Streaming<&str>>;
}

fn main() {}
