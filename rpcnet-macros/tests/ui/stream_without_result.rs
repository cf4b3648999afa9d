use rpcnet::{Streaming, rpc_trait};

#[rpc_trait]
pub trait WordCount {
    async fn tail(&self, from: u64) -> Streaming<String>;
}

fn main() {}
