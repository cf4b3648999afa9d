use rpcnet::{Streaming, rpc_trait};

#[rpc_trait]
pub trait WordCount {
    #[rpc(item_timeout = 10)]
    async fn number(&self) -> rpcnet::Result<Streaming<String>>;
    #[rpc(item_timeout = "0ms")]
    async fn zero(&self) -> rpcnet::Result<Streaming<String>>;
}

fn main() {}
