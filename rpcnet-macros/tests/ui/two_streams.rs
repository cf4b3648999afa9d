use rpcnet::{Streaming, rpc_trait};

#[rpc_trait]
pub trait WordCount {
    async fn merge(&self, left: Streaming<String>, right: Streaming<u64>) -> rpcnet::Result<u64>;
    async fn apart(&self, left: Streaming<String>, by: u8, right: Streaming<u64>) -> rpcnet::Result<u64>;
}

fn main() {}
