use rpcnet::{Streaming, rpc_trait};

#[rpc_trait]
pub trait WordCount {
    #[rpc(idempotent, hedge = 20)]
    async fn number(&self) -> rpcnet::Result<u64>;
    #[rpc(idempotent, hedge = "0ms")]
    async fn zero(&self) -> rpcnet::Result<u64>;
    #[rpc(idempotent, hedge = "20ms")]
    async fn stream(&self, lines: Streaming<String>) -> rpcnet::Result<u64>;
}

fn main() {}
